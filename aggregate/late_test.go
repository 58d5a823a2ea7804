package aggregate_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// ledgerRows are the immutable rows, to be compared before and after.
func (d *desk) ledgerRows() (out []any) {
	d.Helper()
	for _, u := range d.units() {
		out = append(out, u)
	}
	bill, err := d.store.Billing(d.Context(), aggregate.BillingQuery{})
	d.must(err)
	for _, b := range bill {
		out = append(out, b)
	}
	return out
}

func (d *desk) statement() (aggregate.StatementData, *aggregate.Statement) {
	d.Helper()
	data, err := d.store.Statement(d.Context(), aggregate.BillingQuery{})
	d.must(err)
	s, err := aggregate.MakeStatement(&data)
	d.must(err)
	return data, s
}

// TestLateClicks: what comes after an hour closed is judged as if it had been there,
// changes nothing in the closed rows, and becomes an adjustment when it is valid.
func TestLateClicks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.click(1, aggregate.TestTime+10*second, token(1))
	plain := d.click(2, aggregate.TestTime+20*second, person(2))
	d.put(first, plain)
	d.ended(aggregate.TestTime + 2*hour)
	if n := d.round(); n != 1 {
		t.Fatalf("%d units closed", n)
	}
	before := d.ledgerRows()

	earlier := d.click(3, aggregate.TestTime+9*second, token(1))   // earlier than the billed one, still the second
	double := d.click(4, aggregate.TestTime+21_999_999, person(2)) // 1.999999 s after plain
	other := d.click(5, aggregate.TestTime+30*second, person(3))   // new
	twin := d.click(6, aggregate.TestTime+31*second, person(3))    // its double click, late as well
	bot := d.click(7, aggregate.TestTime+40*second, func(c *click.Click) { c.Verdict.State = click.GIVT })
	d.put(earlier, double, other, twin, bot)
	d.balanced()
	if diff := cmp.Diff(before, d.ledgerRows()); diff != "" {
		t.Errorf("closed rows changed with late clicks:\n%s", diff)
	}
	d.clock = d.clock.Add(time.Hour)
	if n := d.round(); n != 0 {
		t.Errorf("%d units closed again", n)
	}
	for c, want := range map[*click.Click]string{
		first: "valid []", plain: "valid []", earlier: "duplicate [DOUBLE_CLICK]", double: "duplicate [DOUBLE_CLICK]",
		other: "valid []", twin: "duplicate [DOUBLE_CLICK]", bot: "givt []",
	} {
		if got := d.state(c); fmt.Sprint(got.State, got.Reasons.Codes()) != want {
			t.Errorf("click %d is %v %v, want %s", c.Ingest.Seq-1, got.State, got.Reasons.Codes(), want)
		}
	}
	if diff := cmp.Diff(before, d.ledgerRows()); diff != "" {
		t.Errorf("closed rows changed with adjustments:\n%s", diff)
	}
	data, s := d.statement()
	if len(data.Adjustments) != 1 || data.Adjustments[0].EventID != other.EventID || data.Adjustments[0].Micros != 250_000 ||
		data.Adjustments[0].Cause != aggregate.CauseLate || data.Adjustments[0].Waived != "" {
		t.Errorf("adjustments %+v", data.Adjustments)
	}
	if s.Totals[0].DueMicros != 750_000 || s.Totals[0].DebitMicros != 250_000 {
		t.Errorf("totals %+v", s.Totals)
	}
	d.balanced()
	if n := d.round(); n != 0 || len(d.lateUnits()) != 0 {
		t.Errorf("late clicks are worked off twice: %d, %v", n, d.lateUnits())
	}
	if data, _ := d.statement(); len(data.Adjustments) != 1 {
		t.Errorf("adjustments after another round: %+v", data.Adjustments)
	}
}

func (d *desk) lateUnits() []aggregate.Unit {
	d.Helper()
	units, err := d.store.LateUnits(d.Context())
	d.must(err)
	return units
}

func (d *desk) decide(c *click.Click, decision aggregate.Decision) aggregate.Decided {
	d.Helper()
	out, err := aggregate.Decide(d.Context(), d.store, aggregate.DecisionRequest{
		TenantID: c.TenantID, EventID: c.EventID, Decision: decision, Seen: aggregate.AnyRevision, Who: "ana", Why: "looked", At: d.clock.UnixMicro(),
	})
	d.must(err)
	return out
}

// TestInvoiceEndsDebits: after the invoice nothing is charged, credits go on for 60
// days, and what is waived is still on record.
func TestInvoiceEndsDebits(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a, b, c := d.click(1, aggregate.TestTime), d.click(2, aggregate.TestTime), d.click(3, aggregate.TestTime)
	d.put(a, b, c)
	d.ended(aggregate.TestTime + 2*hour)
	d.round()
	if got := d.decide(a, aggregate.DecisionConfirm); got.Adjustment == nil || got.Adjustment.Micros != -250_000 || got.Adjustment.Waived != "" || !got.Closed {
		t.Errorf("before the invoice: %+v", got.Adjustment)
	}
	issued := aggregate.NextMonth(aggregate.TestTime)
	d.must(d.store.IssueInvoice(t.Context(), aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(aggregate.TestTime), IssuedAt: issued, IssuedBy: "bill"}))
	d.clock = time.UnixMicro(issued + aggregate.CreditWindow - 1)
	if got := d.decide(b, aggregate.DecisionConfirm); got.Adjustment.Waived != "" || got.Adjustment.Micros != -250_000 {
		t.Errorf("credit within 60 days: %+v", got.Adjustment)
	}
	d.put(d.click(9, aggregate.TestTime))
	d.round()
	if got := d.decide(a, aggregate.DecisionRelease); got.State != click.Valid || got.Adjustment.Waived == "" || got.Adjustment.Micros != 250_000 {
		t.Errorf("debit after the invoice: %+v", got)
	}
	d.clock = time.UnixMicro(issued + aggregate.CreditWindow)
	if got := d.decide(c, aggregate.DecisionConfirm); got.Adjustment.Waived == "" {
		t.Errorf("credit after 60 days: %+v", got.Adjustment)
	}
	_, s := d.statement()
	want := aggregate.StatementLine{
		TenantID: "acme", Currency: "EUR", ClosedClicks: 3, ClosedMicros: 750_000, CreditMicros: -250_000, DueMicros: 500_000,
		LaterMicros: -250_000, WaivedMicros: 250_000 + 250_000 - 250_000,
	}
	if diff := cmp.Diff([]aggregate.StatementLine{want}, s.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	d.balanced()
}

// issue issues the invoice of the test's month as soon as it is over, and puts the
// clock an hour behind that.
func (d *desk) issue() (at int64) {
	d.Helper()
	at = aggregate.NextMonth(aggregate.TestTime)
	d.must(d.store.IssueInvoice(d.Context(), aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(aggregate.TestTime), IssuedAt: at, IssuedBy: "bill"}))
	d.clock = time.UnixMicro(at + hour)
	return at
}

// TestHourAfterItsInvoice: an hour whose first click comes after the invoice closes,
// and raises no bill; what it would have cost is on record.
func TestHourAfterItsInvoice(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.put(d.click(1, aggregate.TestTime))
	d.ended(aggregate.TestTime + 2*hour)
	d.round()
	issued := d.issue()
	_, before := d.statement()
	fresh := d.click(2, aggregate.TestTime+5*hour)
	double := d.click(3, fresh.EventTime+second, func(c *click.Click) { c.IPKey = fresh.IPKey })
	bot := d.click(4, fresh.EventTime, func(c *click.Click) { c.Verdict.State = click.GIVT })
	var more []*click.Click // so that there are several batches
	for n := range uint64(20) {
		more = append(more, d.click(10+n, fresh.EventTime+int64(n)*10*second))
	}
	d.put(append(more, fresh, double, bot)...)
	d.ended(issued + 3*hour)
	if n := d.round(); n != 1 {
		t.Fatalf("%d units closed", n)
	}
	data, after := d.statement()
	want := before.Totals[0]
	want.WaivedMicros = 21 * 250_000
	if diff := cmp.Diff([]aggregate.StatementLine{want}, after.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	for _, a := range data.Adjustments {
		if a.Waived == "" || a.Clicks != 1 || a.Cause != aggregate.CauseClose || a.From != click.Unscored {
			t.Errorf("adjustment %+v", a)
		}
	}
	if got := d.units()[1]; got.Clicks != 23 || got.Forced != "" {
		t.Errorf("closed %+v", got)
	}
	if d.state(fresh).State != click.Valid || d.state(double).State != click.Duplicate || d.state(bot).State != click.GIVT {
		t.Errorf("states %v, %v, %v", d.state(fresh).State, d.state(double).State, d.state(bot).State)
	}
	d.balanced()
	if a := d.decide(fresh, aggregate.DecisionConfirm).Adjustment; a.Waived == "" || a.Micros != -250_000 {
		t.Errorf("confirmed, what was not charged gives %+v", a)
	}
	d.balanced()
}

// TestCreditOfWhatWasCharged: a click is credited once, however often it is confirmed
// and released, and never when its debit was waived.
func TestCreditOfWhatWasCharged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before, after, other := d.click(1, aggregate.TestTime), d.click(2, aggregate.TestTime+minute), d.click(3, aggregate.TestTime+2*minute)
	sivt := d.click(4, aggregate.TestTime+3*minute, func(c *click.Click) { c.Verdict.State = click.SIVT })
	d.put(before, after, other, sivt)
	d.ended(aggregate.TestTime + 2*hour)
	d.round()
	moved := func(c *click.Click, decision aggregate.Decision) int64 {
		t.Helper()
		a := d.decide(c, decision).Adjustment
		if a == nil || a.Micros != a.Clicks*250_000 {
			t.Fatalf("%v gives %+v", decision, a)
		}
		if a.Waived != "" {
			return 0
		}
		return a.Micros
	}
	const confirm, release = aggregate.DecisionConfirm, aggregate.DecisionRelease
	for range 2 { // while nothing is issued, all of it moves money
		if a, b := moved(before, confirm), moved(before, release); a != -250_000 || b != 250_000 {
			t.Errorf("before the invoice: %d and %d", a, b)
		}
	}
	moved(before, confirm)
	moved(sivt, release)
	d.issue()
	late := d.click(5, aggregate.TestTime+4*minute)
	d.put(late)
	d.round()
	for i, c := range []struct {
		click    *click.Click
		decision aggregate.Decision
		want     int64
	}{
		{before, release, 0}, {before, confirm, 0}, // credited before the invoice
		{after, confirm, -250_000}, {after, release, 0}, {after, confirm, 0}, {after, release, 0}, {after, confirm, 0},
		{sivt, confirm, -250_000}, {sivt, release, 0}, {sivt, confirm, 0}, // charged before the invoice
		{late, confirm, 0}, {late, release, 0}, {late, confirm, 0}, // never charged
	} {
		if got := moved(c.click, c.decision); got != c.want {
			t.Errorf("step %d, %v: %d moves, want %d", i, c.decision, got, c.want)
		}
	}
	_, s := d.statement()
	if got := s.Totals[0]; got.DueMicros != 750_000 || got.LaterMicros != -500_000 {
		t.Errorf("totals %+v", got)
	}
	d.balanced()
}

// TestDecisions in open and closed hours, one after the other on the same click.
func TestDecisions(t *testing.T) {
	t.Parallel()
	flagged := func(s click.State, r click.Reason) func(*click.Click) {
		return func(c *click.Click) { c.Verdict.State, c.Verdict.Reasons = s, click.Reasons(0).Set(r) }
	}
	d := newDesk(t)
	sivt := d.click(1, aggregate.TestTime, flagged(click.SIVT, click.ReasonRateIP))
	valid := d.click(2, aggregate.TestTime, token(9))
	repeat := d.click(3, aggregate.TestTime+5*second, token(9))
	test := d.click(4, aggregate.TestTime, flagged(click.Test, click.ReasonTest))
	suspect := d.click(5, aggregate.TestTime, flagged(click.Suspect, click.ReasonRateIP))
	d.put(sivt, valid, repeat, test, suspect)

	if got := d.decide(sivt, aggregate.DecisionRelease); got.State != click.Valid || got.Closed || got.Adjustment != nil {
		t.Errorf("release in an open hour: %+v", got)
	}
	if got := d.decide(sivt, aggregate.DecisionNote); got.State != click.Valid {
		t.Errorf("a note changes the state to %v", got.State)
	}
	d.decide(suspect, aggregate.DecisionConfirm)
	d.balanced()
	for _, c := range []*click.Click{test} {
		_, err := aggregate.Decide(t.Context(), d.store, aggregate.DecisionRequest{
			TenantID: "acme", EventID: c.EventID, Decision: aggregate.DecisionRelease, Seen: -1, Who: "ana", Why: "x",
		})
		if !errors.Is(err, aggregate.ErrRefused) {
			t.Errorf("release of a test click: %v", err)
		}
	}
	_, err := aggregate.Decide(t.Context(), d.store, aggregate.DecisionRequest{
		TenantID: "acme", EventID: sivt.EventID, Decision: aggregate.DecisionConfirm, Seen: 1, Who: "ben", Why: "x",
	})
	if !errors.Is(err, aggregate.ErrChanged) {
		t.Errorf("a decision on an old verdict: %v", err)
	}
	d.ended(aggregate.TestTime + 2*hour)
	d.round()
	for c, want := range map[*click.Click]string{
		sivt: "valid [RELEASED]", valid: "valid []", repeat: "duplicate [REPEAT]", suspect: "sivt [RATE_IP CONFIRMED]",
	} {
		if got := d.state(c); fmt.Sprint(got.State, got.Reasons.Codes()) != want {
			t.Errorf("after closing %v %v, want %s", got.State, got.Reasons.Codes(), want)
		}
	}
	before := d.ledgerRows()
	if got := d.decide(repeat, aggregate.DecisionRelease); got.State != click.Duplicate || got.Adjustment != nil {
		t.Errorf("release of a repeat whose click is billed: %+v", got)
	}
	if got := d.decide(valid, aggregate.DecisionConfirm); got.State != click.SIVT || got.Adjustment.Micros != -250_000 {
		t.Errorf("confirm of a billed click: %+v", got)
	}
	if got := d.decide(repeat, aggregate.DecisionRelease); got.State != click.Valid || got.Adjustment.Micros != 250_000 {
		t.Errorf("release of a repeat whose click is not billed any more: %+v", got)
	}
	if diff := cmp.Diff(before, d.ledgerRows()); diff != "" {
		t.Errorf("closed rows changed:\n%s", diff)
	}
	d.balanced()
}

// TestDecisionsTogether: decisions on clicks of one hour at once, by one person and
// by two, all come to pass; of several on one click that saw the same, one does.
func TestDecisionsTogether(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var clicks []*click.Click
	for i := range 16 {
		clicks = append(clicks, d.click(uint64(i+1), aggregate.TestTime+int64(i)*second))
	}
	d.put(clicks...)
	contested := clicks[0]
	request := func(c *click.Click, who string) aggregate.DecisionRequest {
		return aggregate.DecisionRequest{
			TenantID: "acme", EventID: c.EventID, Decision: aggregate.DecisionConfirm, Seen: 0, Who: who, Why: "looked", At: d.clock.UnixMicro(),
		}
	}
	var wg sync.WaitGroup
	var won, lost atomic.Int32
	for _, who := range []string{"ana", "ana", "ben"} {
		wg.Go(func() {
			switch _, err := aggregate.Decide(t.Context(), d.store, request(contested, who)); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, aggregate.ErrChanged):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	for w := range 3 {
		wg.Go(func() {
			for i := 1 + w; i < len(clicks); i += 3 {
				if _, err := aggregate.Decide(t.Context(), d.store, request(clicks[i], []string{"ana", "ana", "ben"}[w])); err != nil {
					t.Errorf("click %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 2 {
		t.Errorf("of three decisions on one click %d came to pass and %d saw that another did", won.Load(), lost.Load())
	}
	for _, c := range clicks {
		if got := d.state(c); got.State != click.SIVT || got.Revision != 1 {
			t.Errorf("a click is %v after %d revisions", got.State, got.Revision)
		}
	}
	d.balanced()
}

// TestFencedCloser: a closer that lost its lease writes nothing.
func TestFencedCloser(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.put(d.click(1, aggregate.TestTime))
	u := aggregate.UnitOf(d.click(1, aggregate.TestTime))
	d.ended(aggregate.TestTime + 2*hour)
	old, err := d.store.Lease(t.Context(), u, "zombie", minute)
	d.must(err)
	if n := d.round(); n != 0 {
		t.Fatalf("%d units closed under another's lease", n)
	}
	d.clock = d.clock.Add(time.Minute)
	if n := d.round(); n != 1 {
		t.Fatalf("%d units closed after the lease ended", n)
	}
	err = d.store.InClosing(t.Context(), u, old, func(aggregate.ClosingTx) error {
		t.Error("the zombie is let in")
		return nil
	})
	if !errors.Is(err, aggregate.ErrNotLeased) {
		t.Errorf("the zombie's transaction: %v", err)
	}
}

// TestCloseNow closes what is not due, in order, and says who asked.
func TestCloseNow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.put(d.click(1, aggregate.TestTime), d.click(2, aggregate.TestTime+hour), d.click(3, aggregate.TestTime, source("other")))
	closed, err := d.closer.CloseNow(t.Context(), "acme", "shop", aggregate.TestTime+hour, "ana", "demo")
	d.must(err)
	units := d.units()
	if len(closed) != 1 || len(units) != 1 || units[0].Forced != "closed by ana: demo (it waited: due 2026-11-10T13:15:00Z)" || units[0].SourceID != "shop" {
		t.Fatalf("closed %v: %+v", closed, units)
	}
	d.put(d.click(4, aggregate.TestTime+second))
	d.round()
	if data, _ := d.statement(); len(data.Adjustments) != 1 {
		t.Errorf("adjustments %+v", data.Adjustments)
	}
}

// TestClosedHoursAddUp: whatever is decided, closed, late and invoiced in whatever
// order, closed hours and adjustments explain the counts, no identity is billed twice,
// no click is charged or credited twice, and no bill rises behind its invoice.
func TestClosedHoursAddUp(t *testing.T) {
	t.Parallel()
	worlds := 8
	if raceEnabled {
		worlds = 2 // SQLite is twenty times slower then
	}
	adjustments, invoices, waived := 0, 0, 0
	for range worlds {
		d := newDesk(t)
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 0))
		var clicks []*click.Click
		n, back := uint64(0), int64(0)
		add := func() *click.Click {
			n++
			at := aggregate.TestTime + rng.Int64N(hour) - back
			c := d.click(n, at, person(byte(rng.IntN(4))), func(c *click.Click) {
				c.Verdict.State = []click.State{click.Valid, click.Valid, click.Suspect, click.SIVT, click.GIVT}[rng.IntN(5)]
				if rng.IntN(2) == 0 {
					c.ClickID = click.ID{0: 0xee, 15: byte(rng.IntN(6))}
				}
			})
			clicks = append(clicks, c)
			return c
		}
		for range 12 {
			add()
		}
		d.put(clicks...)
		d.ended(aggregate.TestTime + 2*hour)
		invoiced := int64(-1)
		due := func() (sum int64) {
			_, s := d.statement()
			for _, x := range s.Totals {
				sum += x.DueMicros
			}
			return sum
		}
		for i := range 40 {
			// After the invoice, of an hour that nobody knew as well.
			if back = 0; invoiced >= 0 {
				back = hour * rng.Int64N(2)
			}
			switch x := rng.IntN(4); {
			case x == 0:
				d.put(add())
			case x == 1:
				d.round()
			case i > 8 && invoiced < 0 && rng.IntN(2) == 0:
				d.round()
				d.ended(d.issue() + hour)
				invoices++
				invoiced = due()
			default:
				_, err := aggregate.Decide(t.Context(), d.store, aggregate.DecisionRequest{
					TenantID: "acme", EventID: clicks[rng.IntN(len(clicks))].EventID, Decision: aggregate.Decision(1 + rng.IntN(3)),
					Seen: aggregate.AnyRevision, Who: "ana", Why: "looked", At: d.clock.UnixMicro(),
				})
				if err != nil && !errors.Is(err, aggregate.ErrRefused) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			d.balanced()
			if invoiced >= 0 && due() != invoiced {
				t.Fatalf("seed %d: %d was invoiced, %d is due", seed, invoiced, due())
			}
		}
		d.round()
		d.balanced()
		for _, c := range clicks {
			waived += d.chargedOnce(c)
		}
		billed := map[click.ID]int{}
		for _, c := range clicks {
			if got := d.state(c); got.State == click.Valid && !c.ClickID.IsZero() {
				if billed[c.ClickID]++; billed[c.ClickID] > 1 {
					t.Fatalf("seed %d: click %v is billed twice", seed, c.ClickID)
				}
			}
		}
		data, _ := d.statement()
		adjustments += len(data.Adjustments)
	}
	if adjustments < 3*worlds || invoices < worlds/2 || waived < worlds/2 {
		t.Errorf("only %d adjustments were made, %d of them waived, and %d invoices", adjustments, waived, invoices)
	}
}

// chargedOnce demands that a click costs its price or nothing at any time, and returns
// how many of its adjustments were waived.
func (d *desk) chargedOnce(c *click.Click) (waived int) {
	d.Helper()
	rows, err := d.store.Trace(d.Context(), c.TenantID, c.EventID)
	d.must(err)
	list := rows[0].Adjustments
	if len(list) == 0 {
		return 0
	}
	var micros int64
	if list[0].From == click.Valid {
		micros = c.PriceMicros
	}
	for _, a := range list {
		if a.Waived != "" {
			waived++
			continue
		}
		if micros += a.Micros; micros != 0 && micros != c.PriceMicros {
			d.Errorf("click %s costs %d of %d: %+v", c.EventID, micros, c.PriceMicros, list)
		}
	}
	return waived
}
