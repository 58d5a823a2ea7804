package console

import (
	"net/http"
	"net/url"
	"strconv"

	"clickgate/aggregate"
)

const auditShown = 100

// auditView is the page of audit entries.
type auditView struct {
	Who, Action string
	Entries     []aggregate.AuditEntry
	Older       string // address of the entries before; empty for none
}

func (s *Server) audit(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	view := &auditView{}
	if view.Who, err = parameter(q, "who"); err != nil {
		return err
	}
	if view.Action, err = parameter(q, "action"); err != nil {
		return err
	}
	before := int64(0)
	if text := q.Get("before"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return &problem{http.StatusBadRequest, "before is no number of an entry; use the links"}
		}
	}
	query := aggregate.AuditQuery{Who: view.Who, Action: view.Action, Before: before, Limit: auditShown + 1}
	if view.Entries, err = s.accounts.Audit(r.Context(), v.actor, query); err != nil {
		return err
	}
	if len(view.Entries) > auditShown {
		view.Entries = view.Entries[:auditShown]
		view.Older = view.older(view.Entries[auditShown-1].ID)
	}
	return s.show(w, v, http.StatusOK, "audit", &page{Title: "Audit", Path: "/audit", Body: view})
}

func (v *auditView) older(id int64) string {
	q := url.Values{"before": {strconv.FormatInt(id, 10)}}
	if v.Who != "" {
		q.Set("who", v.Who)
	}
	if v.Action != "" {
		q.Set("action", v.Action)
	}
	return "/audit?" + q.Encode()
}
