package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const casePath = "/review/t1/01000000000000000000000000000000"

// TestReviewStory: from the queue into the case, why it was flagged, what is usual,
// and a decision that is written with who and why.
func TestReviewStory(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	queue := s.do("GET", "/review")
	demandBody(t, queue.Body.String(), casePath, "203.0.113.0/24", "RATE_IP", "0.25")
	page := s.do("GET", casePath).Body.String()
	demandBody(t, page, "RATE_IP", "769", "median of 3 addresses", "sivt")

	if w := s.post(casePath, url.Values{"decision": {"release"}, "seen": {"0"}}); w.Code != http.StatusBadRequest || len(f.decided) != 0 {
		t.Errorf("a decision without a reason: %d, %v", w.Code, f.decided)
	}
	if w := s.post(casePath, url.Values{"decision": {"release"}, "seen": {"7"}, "why": {"x"}}); w.Code != http.StatusConflict || len(f.decided) != 0 {
		t.Errorf("a decision on an old revision: %d, %v", w.Code, f.decided)
	}
	if w := s.post(casePath, url.Values{"decision": {"erase"}, "seen": {"0"}, "why": {"x"}}); w.Code != http.StatusBadRequest {
		t.Errorf("an unknown decision: %d", w.Code)
	}
	w := s.post(casePath, url.Values{"decision": {"confirm"}, "why": {" a load test "}, "all": {"1"}})
	if w.Code != http.StatusSeeOther || len(f.decided) != 1 {
		t.Fatalf("%d, %v", w.Code, f.decided)
	}
	if d := f.decided[0]; d.Decision != aggregate.DecisionConfirm || d.Who != "root" || d.Why != "a load test" || d.Seen != 0 || d.TenantID != "t1" {
		t.Errorf("decided %+v", d)
	}
	demandBody(t, s.do("GET", w.Header().Get("Location")).Body.String(), "confirm: 1 of 1 clicks.")
}

func demandBody(t *testing.T, body string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(body, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
}

// TestReviewIsSafe: what senders wrote is text, whatever it holds.
func TestReviewIsSafe(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	for _, target := range []string{"/review", casePath} {
		body := s.do("GET", target).Body.String()
		for _, bad := range []string{"<script>pub", "<img src=x"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %q", target, bad)
			}
		}
	}
	if body := s.do("GET", casePath).Body.String(); !strings.Contains(body, "&lt;script&gt;pub") {
		t.Error("the publisher is not shown at all")
	}
}

// TestReviewOfOthers: a user of another tenant sees and decides nothing.
func TestReviewOfOthers(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	s.add("ana", "t2", "analyst")
	if body := s.do("GET", "/review").Body.String(); strings.Contains(body, casePath) {
		t.Error("another tenant's case is in the queue")
	}
	if w := s.do("GET", casePath); w.Code != http.StatusForbidden {
		t.Errorf("another tenant's case: %d", w.Code)
	}
	if w := s.post(casePath, url.Values{"decision": {"release"}, "why": {"x"}, "seen": {"0"}}); w.Code != http.StatusForbidden || len(f.decided) != 0 {
		t.Errorf("a decision on another tenant's click: %d, %v", w.Code, f.decided)
	}
	if body := s.do("GET", "/hours").Body.String(); !strings.Contains(body, "secret") || strings.Contains(body, ">edge<") {
		t.Error("the hours shown are not the tenant's own")
	}
}

// TestUndecided: notes decide nothing, and what is valid waits for nobody.
func TestUndecided(t *testing.T) {
	t.Parallel()
	c := (&fake{}).flaggedClick()
	suspect, decided, valid := c, c, c
	suspect.State, decided.Decision, valid.State = click.Suspect, aggregate.DecisionConfirm, click.Valid
	if got := undecided([]aggregate.StoredClick{c, decided, valid, suspect}); len(got) != 2 {
		t.Errorf("%d clicks wait", len(got))
	}
}

// TestStatementPage: a month that is none is told so, and another month is empty.
func TestStatementPage(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	demandBody(t, s.do("GET", "/statement?month=2026-11").Body.String(), "Due = closed + debits + credits", f.rows[0].CampaignID)
	if w := s.do("GET", "/statement?month=2026-13"); w.Code != http.StatusBadRequest {
		t.Errorf("month 13: %d", w.Code)
	}
}

// TestReviewOfUnreadableVectors: a click whose vector cannot be read is shown and can be
// decided, and the page says why its features are not there.
func TestReviewOfUnreadableVectors(t *testing.T) {
	t.Parallel()
	f := books()
	f.vectorVersion = 2
	s := newSite(t, f)
	page := s.do("GET", casePath).Body.String()
	demandBody(t, page, "RATE_IP", "median of 3 addresses", "vector version 2 cannot be read", "two layouts")
	if strings.Contains(page, "address_clicks_1m") {
		t.Error("the page shows features of a vector that cannot be read")
	}
	w := s.post(casePath, url.Values{"decision": {"release"}, "seen": {"0"}, "why": {"x"}, "all": {"1"}})
	if w.Code != http.StatusSeeOther || len(f.decided) != 1 {
		t.Errorf("%d, %v", w.Code, f.decided)
	}
	f.vectorVersion = 1
	if page := s.do("GET", casePath).Body.String(); !strings.Contains(page, "address_clicks_1m") || strings.Contains(page, "cannot be read") {
		t.Error("a vector of version 1 is not shown")
	}
}
