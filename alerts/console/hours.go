package console

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"clickgate/aggregate"
)

// hoursView is the page of open and closed hours.
type hoursView struct {
	Open      []aggregate.UnitInfo
	Closed    []closedHour
	AllOpen   int
	AllClosed int
}

// closedHour is a closed unit as it is shown.
type closedHour struct {
	aggregate.ClosedUnit
	Sum string // SHA-256 in hex
}

// closedDays is how far back closed hours are listed.
const closedDays = 14

func (s *Server) hours(w http.ResponseWriter, r *http.Request, v *visit) error {
	view := &hoursView{}
	var closed []aggregate.ClosedUnit
	err := s.query(r.Context(), func(ctx context.Context) (err error) {
		if view.Open, err = v.openUnits(ctx); err != nil {
			return err
		}
		closed, err = v.closedUnits(ctx, aggregate.BillingQuery{From: s.dep.Now().AddDate(0, 0, -closedDays).UnixMicro()})
		return err
	})
	if err != nil {
		return err
	}
	view.AllOpen, view.AllClosed = len(view.Open), len(closed)
	view.Open = view.Open[:min(len(view.Open), rowsShown)]
	for i := len(closed) - 1; i >= 0 && len(view.Closed) < rowsShown; i-- { // the newest first
		view.Closed = append(view.Closed, closedHour{closed[i], hex.EncodeToString(closed[i].Hash[:])})
	}
	return s.show(w, v, http.StatusOK, "hours", &page{Title: "Hours", Path: "/hours", Body: view})
}

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
