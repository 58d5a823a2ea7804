package alerts

import (
	"slices"
	"testing"
	"time"

	"clickgate/aggregate"

	"pgregory.net/rapid"
)

const patience = 5 * time.Minute

// stand is one look at the marks: what each gateway has stored everywhere.
type stand struct {
	marks  []aggregate.StoredMark
	passed time.Duration
}

func look(passed time.Duration, marks ...[]aggregate.StoredMark) stand {
	return stand{slices.Concat(marks...), passed}
}

// TestProgress: what is known of how far the store is, from the marks seen so far.
func TestProgress(t *testing.T) {
	t.Parallel()
	const s, hour = int64(1_000_000), int64(3_600_000_000)
	base := day0.UnixMicro()
	a := func(at int64) []aggregate.StoredMark { return marksOf("a", 1, base+at, false) }
	b := func(at int64) []aggregate.StoredMark { return marksOf("b", 1, base+at, false) }
	lag := []stand{look(0, a(0), b(0)), look(5*time.Second, a(5*s), b(4*s))}
	waits := func(n int, f func(n int64) stand) (out []stand) {
		for i := range n {
			out = append(out, f(int64(i)))
		}
		return out
	}
	for name, c := range map[string]struct {
		looks []stand
		want  int64 // after base; -1 for nothing known
	}{
		"no gateway":              {[]stand{look(0), look(5 * time.Second)}, -1},
		"one look tells nothing":  {lag[:1], -1},
		"the slowest counts":      {lag, 4 * s},
		"one stands still":        {append(lag, waits(10, func(n int64) stand { return look(10*time.Second, a((6+n)*s), b(4*s)) })...), 4 * s},
		"one is gone":             {append(lag, waits(30, func(n int64) stand { return look(10*time.Second, a((6+n)*s), b(4*s)) })...), 35 * s},
		"all stand still":         {append(lag, waits(400, func(int64) stand { return look(10*time.Second, a(5*s), b(4*s)) })...), 4 * s},
		"one of them moves again": {append(append(lag, waits(400, func(int64) stand { return look(10*time.Second, a(5*s), b(4*s)) })...), look(5*time.Second, a(900*s), b(4*s))), 4 * s},
		"a goodbye":               {append(lag, look(5*time.Second, a(9*s), marksOf("b", 1, base+5*s, true))), 9 * s},
		"all said goodbye":        {append(lag, look(5*time.Second, marksOf("a", 1, base+5*s, true), marksOf("b", 1, base+5*s, true))), -1},
		"a new start":             {append(lag, look(5*time.Second, a(9*s), b(4*s), marksOf("b", 2, base+8*s, false)[:1])), -1},
		"a new start, stored":     {append(lag, look(5*time.Second, a(9*s), b(4*s), marksOf("b", 2, base+8*s, false))), 8 * s},
		"dead for weeks":          {[]stand{look(0, a(0), b(-500*hour)), look(5*time.Second, a(5*s), b(-500*hour))}, 5 * s},
		"a clock that runs fast":  {[]stand{look(0, a(0), b(2*hour)), look(5*time.Second, a(5*s), b(2*hour+5*s))}, 5 * s},
	} {
		p := newProgress(patience)
		for _, l := range c.looks {
			p.take(l.marks, l.passed)
		}
		want := base + c.want
		if c.want < 0 {
			want = 0
		}
		if p.until != want {
			t.Errorf("%s: until %d after the base, want %d", name, p.until-base, c.want)
		}
	}
}

// TestProgressIsNeverAhead: whoever moved within the patience is not passed.
func TestProgressIsNeverAhead(t *testing.T) {
	t.Parallel()
	judged := 0
	rapid.Check(t, func(t *rapid.T) {
		at := map[string]int64{"a": 1, "b": 1, "c": 1}
		still := map[string]time.Duration{}
		p := newProgress(patience)
		for range rapid.IntRange(2, 60).Draw(t, "looks") {
			passed := time.Duration(rapid.IntRange(0, 10).Draw(t, "passed")) * time.Second
			var marks []aggregate.StoredMark
			for _, name := range []string{"a", "b", "c"} {
				still[name] += passed
				if n := int64(rapid.IntRange(0, 2).Draw(t, name)); n > 0 {
					at[name] += n
					still[name] = 0
				}
				marks = append(marks, marksOf(name, 1, at[name], false)...)
			}
			p.take(marks, passed)
			for name, d := range still {
				if d < patience && p.until > at[name] {
					t.Fatalf("until %d, gateway %s is at %d since %s", p.until, name, at[name], d)
				}
			}
			if p.until > 0 {
				judged++
			}
		}
	})
	if judged < 1000 {
		t.Errorf("only %d looks told anything", judged)
	}
}
