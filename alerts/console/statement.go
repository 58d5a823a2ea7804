package console

import (
	"context"
	"net/http"
	"time"

	"clickgate/aggregate"
)

// statementView is what a month costs.
type statementView struct {
	*aggregate.Statement
	Month          string // YYYY-MM
	AllTenants     bool
	Tenant         string
	AllLines       int
	AllAdjustments int
	Problem        string
}

func (s *Server) statement(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	view := &statementView{AllTenants: v.AllTenants(), Month: q.Get("month"), Statement: &aggregate.Statement{}}
	if view.Tenant, err = parameter(q, "tenant"); err != nil {
		return err
	}
	if view.Month == "" {
		view.Month = s.dep.Now().UTC().Format("2006-01")
	}
	month, err := time.Parse("2006-01", view.Month)
	if err != nil {
		view.Month, view.Problem = "", "This is no month; write it as 2026-11."
		return s.show(w, v, http.StatusBadRequest, "statement", &page{Title: "Statement", Path: "/statement", Body: view})
	}
	from := month.UnixMicro()
	err = s.query(r.Context(), func(ctx context.Context) error {
		data, err := v.statementData(ctx, aggregate.BillingQuery{TenantID: view.Tenant, From: from, To: aggregate.NextMonth(from)})
		if err == nil {
			view.Statement, err = aggregate.MakeStatement(&data)
		}
		return err
	})
	if err != nil {
		return err
	}
	view.AllLines, view.AllAdjustments = len(view.Lines), len(view.Adjustments)
	view.Lines = view.Lines[:min(len(view.Lines), rowsShown)]
	view.Adjustments = view.Adjustments[max(0, len(view.Adjustments)-rowsShown):] // the newest
	return s.show(w, v, http.StatusOK, "statement", &page{Title: "Statement", Path: "/statement", Body: view})
}
