package aggregate

import (
	"testing"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// fresh is one candidate of a table: when it happened, and which stored click it
// met.
type fresh struct {
	at     int64        // microseconds after testTime
	id     uint64       // order of event ids
	match  int64        // event time of the stored match, or none
	state  click.State  // 0: valid
	reason click.Reason // wanted
}

const none = int64(-1) << 62

func samePerson(c *click.Click) { c.IPKey = click.Key{1} }
func sameToken(c *click.Click)  { c.ClickID = click.ID{9} }

// TestProvisionalDuplicates: who repeats whom depends on event times alone, never
// on the order of arrival.
func TestProvisionalDuplicates(t *testing.T) {
	t.Parallel()
	const double, repeat = click.ReasonDoubleClick, click.ReasonRepeat
	for name, c := range map[string]struct {
		change func(*click.Click)
		clicks []fresh // in order of arrival
	}{
		"alone":                     {samePerson, []fresh{{0, 1, none, 0, 0}}},
		"person, 1,999,999 us":      {samePerson, []fresh{{0, 1, none, 0, 0}, {1_999_999, 2, none, 0, double}}},
		"person, 2,000,000 us":      {samePerson, []fresh{{0, 1, none, 0, 0}, {2_000_000, 2, none, 0, 0}}},
		"token, 1,999,999 us":       {sameToken, []fresh{{0, 1, none, 0, 0}, {1_999_999, 2, none, 0, double}}},
		"token, 2,000,000 us":       {sameToken, []fresh{{0, 1, none, 0, 0}, {2_000_000, 2, none, 0, repeat}}},
		"token, 20 h":               {sameToken, []fresh{{0, 1, none, 0, 0}, {20 * hour, 2, none, 0, repeat}}},
		"later one arrives first":   {samePerson, []fresh{{second, 1, none, 0, double}, {0, 2, none, 0, 0}}},
		"equal times":               {samePerson, []fresh{{0, 2, none, 0, double}, {0, 1, none, 0, 0}}},
		"a repeat is no click":      {samePerson, []fresh{{0, 1, none, 0, 0}, {1_500_000, 2, none, 0, double}, {3_000_000, 3, none, 0, 0}}},
		"token, three times":        {sameToken, []fresh{{5 * second, 1, none, 0, repeat}, {0, 2, none, 0, 0}, {second, 3, none, 0, double}}},
		"a suspect uses nothing up": {samePerson, []fresh{{0, 1, none, click.Suspect, 0}, {second, 2, none, 0, 0}}},
		"a suspect stays suspect":   {samePerson, []fresh{{0, 1, none, 0, 0}, {second, 2, none, click.Suspect, 0}}},
		"stored person, 1,999,999":  {samePerson, []fresh{{1_999_999, 1, 0, 0, double}}},
		"stored person, 2,000,000":  {samePerson, []fresh{{2_000_000, 1, 0, 0, 0}}},
		"stored later, 1,999,999":   {samePerson, []fresh{{0, 1, 1_999_999, 0, double}}},
		"stored later, 2,000,000":   {samePerson, []fresh{{0, 1, 2_000_000, 0, 0}}},
		"stored token":              {sameToken, []fresh{{3 * second, 1, 0, 0, repeat}}},
		"stored token, later":       {sameToken, []fresh{{0, 1, 3 * second, 0, repeat}}},
		// Out of order: the stored click lies between or behind fresh ones.
		"between a fresh and a stored one": {samePerson, []fresh{{0, 1, none, 0, 0}, {2_500_000, 2, 4_000_000, 0, double}}},
		"token between":                    {sameToken, []fresh{{0, 1, none, 0, 0}, {8 * second, 2, 9 * second, 0, double}}},
	} {
		rows, candidates := make([]ClickRow, len(c.clicks)), make([]candidate, len(c.clicks))
		for i, f := range c.clicks {
			rows[i] = newRow(f.id, testTime+f.at, c.change)
			rows[i].EventID = eventID(testTime, f.id)
			if f.state != 0 {
				rows[i].Verdict.State = f.state
			}
		}
		for run := range 2 { // a transaction that is retried starts from the same rows
			for i, f := range c.clicks {
				candidates[i] = newCandidate(rows[i])
				if f.match != none {
					candidates[i].match = Match{eventID(testTime, 99), testTime + f.match}
				}
			}
			dups := provisionalDuplicates(candidates, nil)
			wantDups := 0
			for i, f := range c.clicks {
				before := rows[i].Verdict.State
				state, reasons := before, click.Reasons(0)
				if f.reason != click.ReasonNone {
					state, reasons = click.Duplicate, reasons.Set(f.reason)
					wantDups++
				}
				if got := candidates[i]; got.state != state || got.reasons != reasons {
					t.Errorf("%s, run %d: click %d is %v with %v, want %v with %v", name, run, i,
						got.state, got.reasons.Codes(), state, reasons.Codes())
				}
				if rows[i].Verdict.Reasons != 0 || rows[i].Verdict.State == click.Duplicate {
					t.Errorf("%s, run %d: the row of click %d was changed", name, run, i)
				}
			}
			if len(dups) != wantDups {
				t.Errorf("%s, run %d: %d changes, want %d", name, run, len(dups), wantDups)
			}
		}
	}
}

// TestDuplicatesKeepReasons: the change carries the key, and the reasons that the
// click had.
func TestDuplicatesKeepReasons(t *testing.T) {
	t.Parallel()
	relay := click.Reasons(0).Set(click.ReasonRelay)
	a := newRow(1, testTime, samePerson)
	b := newRow(2, testTime+second, samePerson, func(c *click.Click) { c.Verdict.Reasons = relay })
	other := newRow(3, testTime+second, samePerson, func(c *click.Click) { c.TenantID = "acmf" })
	got := provisionalDuplicates([]candidate{newCandidate(b), newCandidate(other), newCandidate(a)}, nil)
	want := []DuplicateOf{{KeyOf(b.Click), relay.Set(click.ReasonDoubleClick)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestRepeatKey: each part of the key tells clicks apart, and parts do not run
// into one another.
func TestRepeatKey(t *testing.T) {
	t.Parallel()
	seen := make(map[int64]string)
	for name, change := range map[string]func(*click.Click){
		"as it is":  func(*click.Click) {},
		"tenant":    func(c *click.Click) { c.TenantID = "x" },
		"campaign":  func(c *click.Click) { c.CampaignID = "x" },
		"placement": func(c *click.Click) { c.PlacementID = "x" },
		"address":   func(c *click.Click) { c.IPKey[0]++ },
		"agent":     func(c *click.Click) { c.AgentKey[0]++ },
		"moved":     func(c *click.Click) { c.TenantID, c.CampaignID = "acmecamp", "" },
		"moved on":  func(c *click.Click) { c.CampaignID, c.PlacementID = "", "camp" },
	} {
		k := RepeatKey(newClick(1, testTime, change))
		if k == 0 || seen[k] != "" {
			t.Errorf("%s: key %d is 0 or that of %q", name, k, seen[k])
		}
		seen[k] = name
	}
	same := newClick(2, testTime+hour, func(c *click.Click) { c.IPKey = newClick(1, testTime).IPKey })
	if seen[RepeatKey(same)] != "as it is" {
		t.Error("the key depends on time or id")
	}
}
