package storetest

import (
	"fmt"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const leaseFor = 15 * time.Second

// lease takes the alerts lease at Base.
func (e *env) leaseAlerts() aggregate.AlertsLease {
	e.Helper()
	l, err := e.store.LeaseAlerts(e.ctx(), "test", Base, leaseFor)
	e.must(err)
	return l
}

// newIncident is an open incident, told apart by n.
func newIncident(n int) aggregate.Incident {
	at := base + int64(n)*minute
	return aggregate.Incident{
		ID: fmt.Sprintf("%032x", n), TenantID: "acme", Title: "campaign \u2028 \"camp\" 🍋", Severity: aggregate.SeverityWarning,
		OpenedAt: at, UpdatedAt: at, ToldAt: at,
		Series: []aggregate.IncidentSeries{{
			Dimension: "campaign", Key: "camp", Kind: "volume", From: at, Peak: 56.9, PeakAt: at, Observed: 400, Expected: 40, Events: 400, Excess: 360,
		}},
		Money: map[string]int64{"EUR": 1 << 60, "JPY": 5},
	}
}

func page(a aggregate.PageAction, text string) *aggregate.NewPage {
	return &aggregate.NewPage{Action: a, Payload: []byte(text)}
}

// minuteCounts: events of equal keys add up over ad groups, and bounds are
// whole minutes.
func minuteCounts(e *env) {
	other := func(c *click.Click) { c.AdGroupID, c.AdvertiserID = "other", "other" }
	e.put(newRow(1, base), newRow(2, base+second, other), newRow(3, base, state(click.SIVT)), newRow(4, base+minute),
		newRow(5, base+minute, func(c *click.Click) { c.Currency = "" }), newRow(6, base+3*minute), again(newRow(1, base), 9))
	row := func(at int64, currency string, micros int64, counts [click.NumStates]int64) aggregate.MinuteCount {
		return aggregate.MinuteCount{
			TenantID: "acme", SourceID: "shop", CampaignID: "camp", PublisherID: "pub", Currency: currency, Minute: at, Counts: counts, Micros: micros,
		}
	}
	free := row(base+minute, "", 0, [click.NumStates]int64{click.Valid: 1})
	first := row(base, "EUR", 3*1_250_000, [click.NumStates]int64{click.Valid: 2, click.SIVT: 1, click.Redelivered: 1})
	second := row(base+minute, "EUR", 1_250_000, [click.NumStates]int64{click.Valid: 1})
	last := row(base+3*minute, "EUR", 1_250_000, [click.NumStates]int64{click.Valid: 1})
	for _, c := range []struct {
		from, to int64
		want     []aggregate.MinuteCount
	}{
		{base, base + 4*minute, []aggregate.MinuteCount{free, first, second, last}},
		{base, base + minute, []aggregate.MinuteCount{first}},
		{base + minute, base + 3*minute, []aggregate.MinuteCount{free, second}},
		{base + 4*minute, base + hour, nil},
	} {
		got, err := e.store.MinuteCounts(e.ctx(), c.from, c.to)
		e.must(err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			e.Errorf("minutes from %d to %d (-want +got):\n%s", c.from-base, c.to-base, diff)
		}
	}
	hours, err := e.store.HourCounts(e.ctx(), base-hour, base+2*hour)
	e.must(err)
	first.Minute, free.Minute, last.Minute = base-58*minute, base-58*minute, base+2*minute
	first.Counts[click.Valid], first.Micros = 3, 4*1_250_000
	if diff := cmp.Diff([]aggregate.MinuteCount{free, first, last}, hours); diff != "" {
		e.Errorf("hours (-want +got):\n%s", diff)
	}
}

// alertsLease: one at a time, fences rise, and a lease that ran out still writes
// until another one is given out.
func alertsLease(e *env) {
	first := e.leaseAlerts()
	equal(e, "judged at first", first.Judged, 0)
	_, err := e.store.LeaseAlerts(e.ctx(), "other", Base.Add(leaseFor-time.Second), leaseFor)
	e.wantErr("lease of another", err, aggregate.ErrLeased)
	e.must(e.store.PutIncidents(e.ctx(), first.Fence, base+5*minute, nil))
	e.must(e.store.PutIncidents(e.ctx(), first.Fence, base, nil)) // the judged minute never goes back
	e.must(e.store.RenewAlerts(e.ctx(), first.Fence, Base.Add(time.Minute)))
	_, err = e.store.LeaseAlerts(e.ctx(), "other", Base.Add(leaseFor), leaseFor)
	e.wantErr("lease of another after renewal", err, aggregate.ErrLeased)
	e.must(e.store.PutIncidents(e.ctx(), first.Fence, base, nil))

	again, err := e.store.LeaseAlerts(e.ctx(), "test", Base, leaseFor) // the owner itself need not wait
	e.must(err)
	second, err := e.store.LeaseAlerts(e.ctx(), "other", Base.Add(leaseFor), leaseFor)
	e.must(err)
	if again.Fence <= first.Fence || second.Fence <= again.Fence || second.Judged != base+5*minute {
		e.Errorf("leases %+v, %+v, %+v", first, again, second)
	}
	put := []aggregate.IncidentPut{{Incident: newIncident(1), Page: page(aggregate.PageTrigger, "x")}}
	for name, err := range map[string]error{
		"renewing": e.store.RenewAlerts(e.ctx(), again.Fence, Base.Add(time.Hour)),
		"incident": e.store.PutIncidents(e.ctx(), again.Fence, base+hour, put),
		"attempt":  e.store.AttemptPage(e.ctx(), again.Fence, 1, Base),
		"settling": e.store.SettlePages(e.ctx(), again.Fence, Base, []aggregate.PageEnd{{Seq: 1, Outcome: aggregate.PageSent}}),
	} {
		e.wantErr(name+" under an old fence", err, aggregate.ErrNotLeader)
	}
	list, err := e.store.ListIncidents(e.ctx(), aggregate.IncidentQuery{})
	e.must(err)
	equal(e, "incidents written by a zombie", len(list), 0)

	e.must(e.store.RenewAlerts(e.ctx(), second.Fence, Base.Add(-time.Second))) // given up
	third, err := e.store.LeaseAlerts(e.ctx(), "third", Base, leaseFor)
	e.must(err)
	equal(e, "judged minute of the third", third.Judged, base+5*minute)
}

// incidents: every field comes back, the newest state replaces the older one.
func incidents(e *env) {
	l := e.leaseAlerts()
	put := func(list ...aggregate.Incident) {
		puts := make([]aggregate.IncidentPut, len(list))
		for i := range list {
			puts[i].Incident = list[i]
		}
		e.must(e.store.PutIncidents(e.ctx(), l.Fence, base, puts))
	}
	one, two, foreign := newIncident(1), newIncident(2), newIncident(3)
	foreign.TenantID, foreign.Money, foreign.Series = "zoo", nil, nil
	put(one, two, foreign)
	one.Severity, one.UpdatedAt, one.ResolvedAt, one.Reopened = aggregate.SeverityCritical, base+9*minute, base+9*minute, 2
	one.QuietSince, one.Title = base+4*minute, "renamed"
	one.Series[0].To = base + 4*minute
	one.Series = append(one.Series, aggregate.IncidentSeries{Dimension: "publisher", Kind: "invalid_share"})
	put(one)
	for name, c := range map[string]struct {
		q    aggregate.IncidentQuery
		want []aggregate.Incident
	}{
		"all":                     {aggregate.IncidentQuery{}, []aggregate.Incident{foreign, two, one}},
		"tenant":                  {aggregate.IncidentQuery{TenantID: "acme"}, []aggregate.Incident{two, one}},
		"open":                    {aggregate.IncidentQuery{OpenOnly: true}, []aggregate.Incident{foreign, two}},
		"resolved since":          {aggregate.IncidentQuery{Since: base + 9*minute}, []aggregate.Incident{foreign, two, one}},
		"resolved before":         {aggregate.IncidentQuery{Since: base + 9*minute + 1}, []aggregate.Incident{foreign, two}},
		"newest":                  {aggregate.IncidentQuery{Limit: 1}, []aggregate.Incident{foreign}},
		"open ones of nobody":     {aggregate.IncidentQuery{TenantID: "acm", OpenOnly: true}, nil},
		"newest open of a tenant": {aggregate.IncidentQuery{TenantID: "acme", OpenOnly: true, Limit: 5}, []aggregate.Incident{two}},
	} {
		got, err := e.store.ListIncidents(e.ctx(), c.q)
		e.must(err)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			e.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	got, found, err := e.store.GetIncident(e.ctx(), one.ID)
	e.must(err)
	if diff := cmp.Diff(one, got); diff != "" || !found {
		e.Errorf("found %v (-want +got):\n%s", found, diff)
	}
	if _, found, err = e.store.GetIncident(e.ctx(), "nothing"); found || err != nil {
		e.Errorf("an unknown id: found %v, %v", found, err)
	}
}

// pages: they come with their incident or not at all, in order, and say what is
// known to have arrived.
func pages(e *env) {
	l := e.leaseAlerts()
	write := func(n int, a aggregate.PageAction, text string) {
		e.must(e.store.PutIncidents(e.ctx(), l.Fence, base, []aggregate.IncidentPut{{Incident: newIncident(n), Page: page(a, text)}}))
	}
	settle := func(seq int64, o aggregate.PageOutcome) {
		e.must(e.store.SettlePages(e.ctx(), l.Fence, Base, []aggregate.PageEnd{{Seq: seq, Outcome: o, Error: "why"}}))
	}
	pending := func(what string, want ...string) []aggregate.Page {
		e.Helper()
		list, err := e.store.PendingPages(e.ctx())
		e.must(err)
		var got []string
		for _, p := range list {
			got = append(got, fmt.Sprintf("%s %d %s tried %d, arrived %d, maybe %v", p.IncidentID[31:], p.Action, p.Payload, p.Attempts, p.Delivered, p.Maybe))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			e.Errorf("%s (-want +got):\n%s", what, diff)
		}
		return list
	}
	write(1, aggregate.PageTrigger, "a")
	write(2, aggregate.PageTrigger, "b")
	write(1, aggregate.PageTrigger, "c")
	if n, err := e.store.PageCalls(e.ctx(), base-minute, base+minute); n != 0 || err != nil {
		e.Errorf("%d calls before any: %v", n, err)
	}
	list := pending("written", "1 1 a tried 0, arrived 0, maybe false", "2 1 b tried 0, arrived 0, maybe false", "1 1 c tried 0, arrived 0, maybe false")
	e.must(e.store.AttemptPage(e.ctx(), l.Fence, list[0].Seq, Base))
	e.must(e.store.AttemptPage(e.ctx(), l.Fence, list[0].Seq, Base))
	pending("tried", "1 1 a tried 2, arrived 0, maybe true", "2 1 b tried 0, arrived 0, maybe false", "1 1 c tried 0, arrived 0, maybe true")
	settle(list[0].Seq, aggregate.PageCollapsed)
	pending("collapsed", "2 1 b tried 0, arrived 0, maybe false", "1 1 c tried 0, arrived 0, maybe true")
	e.must(e.store.AttemptPage(e.ctx(), l.Fence, list[2].Seq, Base))
	settle(list[2].Seq, aggregate.PageSent)
	write(1, aggregate.PageResolve, "d")
	list = pending("arrived", "2 1 b tried 0, arrived 0, maybe false", "1 2 d tried 0, arrived 1, maybe false")
	e.must(e.store.AttemptPage(e.ctx(), l.Fence, list[1].Seq, Base))
	settle(list[1].Seq, aggregate.PageSent)
	for name, c := range map[string]struct{ from, to, want int64 }{
		"all": {base - 1, base, 4}, "from is left out": {base, base + 1, 0}, "none yet": {base - 9, base - 1, 0}, // a twice, c, d
	} {
		n, err := e.store.PageCalls(e.ctx(), c.from, c.to)
		e.must(err)
		if n != c.want {
			e.Errorf("calls, %s: %d, want %d", name, n, c.want)
		}
	}
	settle(list[0].Seq, aggregate.PageRefused)
	settle(list[0].Seq, aggregate.PageSent) // it has ended: nothing changes
	write(1, aggregate.PageTrigger, "e")
	pending("reopened", "1 1 e tried 0, arrived 2, maybe false")
	if err := e.store.AttemptPage(e.ctx(), l.Fence, list[0].Seq, Base); err == nil {
		e.Error("a page that has ended was tried")
	}
	refused, err := e.store.RefusedPages(e.ctx(), 5)
	e.must(err)
	if len(refused) != 1 || refused[0].Error != "why" || string(refused[0].Payload) != "b" {
		e.Errorf("refused pages %+v", refused)
	}
	pageRecords(e)
}

// pageRecords: of what the pages above became, the newest first.
func pageRecords(e *env) {
	e.Helper()
	got, err := e.store.IncidentPages(e.ctx(), newIncident(1).ID, 10)
	e.must(err)
	want := []aggregate.PageRecord{
		{Action: aggregate.PageTrigger},
		{Action: aggregate.PageResolve, Attempts: 1, AttemptedAt: base, Outcome: aggregate.PageSent, EndedAt: base, Error: "why"},
		{Action: aggregate.PageTrigger, Attempts: 1, AttemptedAt: base, Outcome: aggregate.PageSent, EndedAt: base, Error: "why"},
		{Action: aggregate.PageTrigger, Attempts: 2, AttemptedAt: base, Outcome: aggregate.PageCollapsed, EndedAt: base, Error: "why"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(aggregate.PageRecord{}, "Seq")); diff != "" {
		e.Errorf("pages of an incident (-want +got):\n%s", diff)
	}
	for i := 1; i < len(got); i++ {
		if got[i].Seq >= got[i-1].Seq {
			e.Errorf("page %d stands behind page %d", got[i].Seq, got[i-1].Seq)
		}
	}
	newest, err := e.store.IncidentPages(e.ctx(), newIncident(1).ID, 1)
	e.must(err)
	other, err := e.store.IncidentPages(e.ctx(), newIncident(2).ID, 10)
	e.must(err)
	none, err := e.store.IncidentPages(e.ctx(), newIncident(3).ID, 10)
	e.must(err)
	if len(newest) != 1 || newest[0] != got[0] || len(other) != 1 || other[0].Outcome != aggregate.PageRefused || len(none) != 0 {
		e.Errorf("newest %+v, of another incident %+v, of none %+v", newest, other, none)
	}
}

// concurrentLeases: of many that ask at once one gets the lease.
func concurrentLeases(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for i := range 6 {
		wg.Go(func() {
			_, err := e.store.LeaseAlerts(e.ctx(), fmt.Sprint("owner ", i), Base, leaseFor)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got++
			}
		})
	}
	wg.Wait()
	equal(e, "leases given out at once", got, 1)
}
