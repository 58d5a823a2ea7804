package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

// reviewHours is how far back the queue looks where nobody says: hours close, and
// suspects end, within two days.
const reviewHours = 48

// reviewView is the queue of flagged clicks.
type reviewView struct {
	AllTenants       bool
	Tenant, Campaign string // as asked for
	Items            []aggregate.QueueItem
	All              int // cases there are
	Hours            int
}

func (s *Server) review(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	view := &reviewView{AllTenants: v.AllTenants(), Hours: reviewHours}
	for name, to := range map[string]*string{"tenant": &view.Tenant, "campaign": &view.Campaign} {
		if *to, err = parameter(q, name); err != nil {
			return err
		}
	}
	var groups []aggregate.FlaggedGroup
	err = s.query(r.Context(), func(ctx context.Context) (err error) {
		from := s.dep.Now().Add(-reviewHours * time.Hour).UnixMicro()
		groups, err = v.flagged(ctx, aggregate.FlaggedQuery{TenantID: view.Tenant, CampaignID: view.Campaign, From: from})
		return err
	})
	if err != nil {
		return err
	}
	view.Items = aggregate.Queue(groups, 0)
	view.All = len(view.Items)
	view.Items = view.Items[:min(len(view.Items), rowsShown)]
	return s.show(w, v, http.StatusOK, "review", &page{Title: "Review", Path: "/review", Body: view})
}

// caseView is the case of one address.
type caseView struct {
	*aggregate.Case
	Click    aggregate.StoredClick // in focus
	Reasons  []click.ReasonInfo
	Features []feature
	// NoFeatures says why the vector cannot be shown.
	NoFeatures string

	Address string
	Path    string
	Open    int // flagged clicks shown that nobody decided
	Problem string
	Why     string // as filled in
}

func (s *Server) reviewCase(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.showCase(w, r, v, http.StatusOK, "", "")
}

// caseOf reads the case that the address of the page names.
func (s *Server) caseOf(r *http.Request, v *visit, focus string) (*caseView, error) {
	key, ok := aggregate.ParseKey(r.PathValue("address"))
	if !ok {
		return nil, &problem{http.StatusNotFound, "this is no key of an address; open the case from the queue"}
	}
	var id click.ID
	if focus != "" {
		var wrong string
		if id, wrong = eventID(focus); wrong != "" {
			return nil, &problem{http.StatusBadRequest, wrong}
		}
	}
	tenant := r.PathValue("tenant")
	var found *aggregate.Case
	err := s.query(r.Context(), func(ctx context.Context) (err error) {
		found, err = v.caseOf(ctx, aggregate.AddressQuery{TenantID: tenant, IPKey: key}, id)
		return err
	})
	if errors.Is(err, aggregate.ErrNoCase) {
		return nil, &problem{http.StatusNotFound, "no click of this tenant is of that address"}
	}
	if err != nil {
		return nil, err
	}
	view := &caseView{Case: found, Click: found.Clicks[found.Focus], Address: r.PathValue("address")}
	view.Path = "/review/" + url.PathEscape(tenant) + "/" + view.Address
	view.Click.Reasons.Each(func(reason click.Reason) { view.Reasons = append(view.Reasons, reason.Info()) })
	view.Features, view.NoFeatures = features(&view.Click.Verdict)
	view.Open = len(undecided(found.Clicks))
	return view, nil
}

// undecided are the flagged clicks that wait for a decision.
func undecided(clicks []aggregate.StoredClick) (out []aggregate.StoredClick) {
	for i := range clicks {
		if clicks[i].Undecided() {
			out = append(out, clicks[i])
		}
	}
	return out
}

func (s *Server) showCase(w http.ResponseWriter, r *http.Request, v *visit, status int, wrong, why string) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	view, err := s.caseOf(r, v, q.Get("click"))
	if err != nil {
		return err
	}
	view.Problem, view.Why = wrong, why
	p := &page{Title: "Case", Path: "/review", Body: view, Flash: s.sessions.PopString(r.Context(), keyFlash)}
	return s.show(w, v, status, "case", p)
}

// decide takes a decision on the click in focus, or on all flagged clicks shown that
// nobody decided; each is one decision of its own.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, v *visit) error {
	form, err := postForm(r)
	if err != nil {
		return err
	}
	decision, ok := aggregate.ParseDecision(form.Get("decision"))
	if !ok || decision == aggregate.DecisionNone {
		return &problem{http.StatusBadRequest, "choose confirm, release or note"}
	}
	why := strings.TrimSpace(form.Get("why"))
	if why == "" {
		return s.showCase(w, r, v, http.StatusBadRequest, "Say why: the reason is kept with the decision.", "")
	}
	view, err := s.caseOf(r, v, r.URL.Query().Get("click"))
	if err != nil {
		return err
	}
	clicks := []aggregate.StoredClick{view.Click}
	if form.Get("all") != "" && decision != aggregate.DecisionNote {
		clicks = undecided(view.Clicks)
	} else if seen := form.Get("seen"); seen != fmt.Sprint(view.Click.Revision) {
		return s.showCase(w, r, v, http.StatusConflict, "Somebody decided in between; look at the click again.", why)
	}
	message, err := s.decideEach(r.Context(), v, clicks, decision, why)
	if err != nil {
		return err
	}
	s.sessions.Put(r.Context(), keyFlash, message)
	http.Redirect(w, r, view.Path+"?click="+view.Click.EventID.String(), http.StatusSeeOther)
	return nil
}

func (s *Server) decideEach(ctx context.Context, v *visit, clicks []aggregate.StoredClick, decision aggregate.Decision, why string) (string, error) {
	done, adjusted, refused := 0, 0, 0
	for i := range clicks {
		c := &clicks[i]
		out, err := s.dep.Decide(ctx, aggregate.DecisionRequest{
			TenantID: c.TenantID, EventID: c.EventID, Decision: decision, Seen: c.Revision, Who: v.user.Name, Why: why,
			At: s.dep.Now().UnixMicro(),
		})
		switch {
		case errors.Is(err, aggregate.ErrChanged), errors.Is(err, aggregate.ErrRefused), errors.Is(err, aggregate.ErrNoCase), errors.Is(err, aggregate.ErrNotLeased):
			refused++
			continue
		case err != nil:
			return "", err
		}
		done++
		if out.Adjustment != nil {
			adjusted++
		}
	}
	message := fmt.Sprintf("%s: %d of %d clicks.", decision, done, len(clicks))
	if adjusted > 0 {
		message += fmt.Sprintf(" %d of a closed hour: adjustments.", adjusted)
	}
	if refused > 0 {
		message += fmt.Sprintf(" %d not, because they changed meanwhile or can never be billed.", refused)
	}
	return message, nil
}

// Beside says what is usual beside a feature, for the rates of the address.
func (c *caseView) Beside(f feature) string {
	if f.Name != scoring.Slots[scoring.SlotAddress1m].Name {
		return ""
	}
	return fmt.Sprintf("own past: median %g, at most %d; peers: median %g, 95 %% at most %g", c.Normal.Median, c.Normal.Max, c.Peers.Median, c.Peers.P95)
}
