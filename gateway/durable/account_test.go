package durable

import (
	"slices"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool/faultfs"

	"pgregory.net/rapid"
)

// The account vouches for exactly the durable sequences of a prefix, in whatever
// order they are settled, and void ones at the end stay open.
func TestAccountCountsAPrefix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := newAccount()
		const base = 400_000 * hourMicros
		var open []uint64
		outcome := map[uint64]bool{}
		source := map[uint64]string{}
		given, settled := 0, 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(open) == 0 || rapid.Bool().Draw(t, "give") {
				src := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "source")
				seq := a.give("t", src, base, base)
				open = append(open, seq)
				source[seq] = src
				given++
				continue
			}
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			seq := open[i]
			open = slices.Delete(open, i, i+1)
			outcome[seq] = rapid.IntRange(0, 9).Draw(t, "durable") > 0
			a.settle(seq, outcome[seq])
			settled++
		}
		st := a.state(base)
		var want, void uint64
		for seq, bySource := uint64(1), map[string]uint64{}; seq <= st.through; seq++ {
			durable, done := outcome[seq]
			if !done {
				t.Fatalf("through %d, but sequence %d is open", st.through, seq)
			}
			if !durable {
				void++
				continue
			}
			want++
			bySource[source[seq]]++
		}
		var got uint64
		for _, c := range st.counts {
			got += c.Received
		}
		if got != want || st.void != void {
			t.Fatalf("through %d: received %d void %d, want %d and %d", st.through, got, st.void, want, void)
		}
		if st.through > 0 && !outcome[st.through] {
			t.Fatalf("through %d ends in a void sequence", st.through)
		}
		if next, done := outcome[st.through+1]; done && next {
			t.Fatalf("through %d stops before a durable sequence", st.through)
		}
	})
}

func TestAccountOldestUnsent(t *testing.T) {
	t.Parallel()
	a := newAccount()
	const now = 400_000 * hourMicros
	first := a.give("t", "a", now-50, now)
	a.give("t", "b", now-10, now)
	st := a.state(now)
	k := func(s string) sourceKey { return sourceKey{"t", s} }
	if st.open[k("a")] != now-50 || st.open[k("b")] != now-10 || len(st.open) != 2 {
		t.Errorf("open %v", st.open)
	}
	a.settle(first, true)
	a.give("t", "c", now-99, now)
	if got := a.givenSince(); len(got) != 1 || got[k("c")] != now-99 {
		t.Errorf("given since the statement: %v", got)
	}
	st = a.state(now)
	if _, ok := st.open[k("a")]; ok || st.open[k("b")] != now-10 || st.open[k("c")] != now-99 {
		t.Errorf("open after settling a: %v", st.open)
	}
}

func TestAccountForgetsOldHours(t *testing.T) {
	t.Parallel()
	a := newAccount()
	const now = 400_000 * hourMicros
	a.settle(a.give("t", "old", now, now), true)
	stuck := a.give("t", "stuck", now, now)
	a.shed("t", "old", now)
	later := int64(now + (click.MarkHours+1)*hourMicros)
	if n := len(a.state(later).counts); n != 2 {
		t.Fatalf("%d counts in the last statement that has the hour, want 2", n)
	}
	a.settle(stuck, true)
	st := a.state(later)
	if len(st.counts) != 1 || st.counts[0] != (click.SourceCount{TenantID: "t", SourceID: "stuck", Hour: now, Received: 1}) {
		t.Fatalf("the hour with an open sequence must stay until that is counted: %+v", st.counts)
	}
	if n := len(a.state(later).counts); n != 0 {
		t.Fatalf("%d counts kept", n)
	}
}

// A clock that jumps ahead, past hours that marks count, and is set right again leaves
// the counts of those hours what they were.
func TestAccountSurvivesJumps(t *testing.T) {
	t.Parallel()
	const now = int64(400_000 * hourMicros)
	for _, jump := range []int64{1, click.MarkHours + 2, click.MarkHours + pastHours} {
		a := newAccount()
		received := func(at int64) (counts map[int64]uint64) {
			counts = make(map[int64]uint64)
			for _, c := range a.state(at).counts {
				counts[(c.Hour-now)/hourMicros] += c.Received
			}
			return counts
		}
		a.settle(a.give("t", "s", now, now), true)
		a.shed("t", "quiet", now)
		received(now + jump*hourMicros) // the last statement with the hour
		a.settle(a.give("t", "s", now, now+jump*hourMicros), true)
		received(now + jump*hourMicros)
		if got := received(now + 1); got[0] != 1 || got[jump] != 1 {
			t.Errorf("a jump of %d hours and back: %v, want one in either hour", jump, got)
		}
		a.settle(a.give("t", "s", now, now+2), true)
		if got := received(now + 3); got[0] != 2 || got[jump] != 1 {
			t.Errorf("a jump of %d hours, and one event more: %v, want two in the hour", jump, got)
		}
		for i := range int64(2) { // out of the account, and beyond recall
			a.state(now + (1000+30*i)*hourMicros)
		}
		if n := len(a.tally) + len(a.past); n != 0 {
			t.Errorf("%d counts are kept for ever", n)
		}
	}
}

// While Kafka is away no statement is sent, and the account forgets hours in the
// meantime: their counts must still reach the first mark that goes out.
func TestCountsSurviveALongOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), SpoolFirst, 1)
	m := newMarker(r.log)
	now := int64(400_000 * hourMicros)
	r.log.dep.Now = func() time.Time { return time.UnixMicro(now) }
	const hours, perHour = 10, 40 // more statements than are kept
	for range hours {
		for range perHour {
			r.log.account.settle(r.log.account.give("t", "s", now, now), true)
			m.state()
			now += hourMicros / perHour
		}
	}
	mark, ok := m.ready(false)
	if !ok {
		t.Fatal("no mark, although nothing waits in the spool")
	}
	var received uint64
	for _, c := range mark.Counts {
		received += c.Received
	}
	if len(mark.Counts) != hours || received != hours*perHour || mark.ThroughSeq != received {
		t.Errorf("%d hours with %d received through %d; want %d with %d", len(mark.Counts), received, mark.ThroughSeq, hours, hours*perHour)
	}
}

func BenchmarkAccount(b *testing.B) {
	a := newAccount()
	b.ReportAllocs()
	for b.Loop() {
		a.settle(a.give("tenant", "source", 5, 5), true)
	}
}
