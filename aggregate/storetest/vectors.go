package storetest

import (
	"errors"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

func vector(version uint32, first float32) func(*click.Click) {
	return func(c *click.Click) {
		c.Verdict.VectorVersion = version
		for i := range c.Verdict.Vector {
			c.Verdict.Vector[i] = first + float32(i)
		}
	}
}

// vectors: those of the query, each once, bit for bit; none of redeliveries and of
// clicks without a vector.
func vectors(e *env) {
	reader, ok := e.store.(aggregate.VectorReader)
	if !ok {
		e.Fatalf("%T is no aggregate.VectorReader", e.store)
	}
	odd := func(c *click.Click) {
		c.Verdict.Vector[3], c.Verdict.Vector[15] = float32(math.Inf(1)), math.Float32frombits(1)
	}
	// Slots of 0 at the end are not stored: they must not be those of the row before.
	short := func(c *click.Click) { clear(c.Verdict.Vector[20:]) }
	rows := []aggregate.ClickRow{
		newRow(1, base, vector(1, 10), odd, func(c *click.Click) { c.Verdict.ModelHash = math.MaxUint64 - 3 }),
		newRow(2, base+minute, vector(1, 20), state(click.SIVT)),
		newRow(3, base+2*minute, vector(1, 30), state(click.Suspect)),
		newRow(4, base+3*minute, vector(1, 40), tenant("acmf")),
		newRow(5, base, vector(1, 50), state(click.GIVT)),
		newRow(6, base, vector(1, 60), state(click.Test)),
		newRow(7, base, vector(2, 70)),
		newRow(8, base),
		newRow(10, base+minute, vector(2, 80), short),
		newRow(11, base+2*minute, vector(2, 90), short),
	}
	e.put(append(rows, again(rows[0], 9))...)
	byKey := map[aggregate.EventKey]*click.Click{}
	for _, r := range rows {
		byKey[aggregate.KeyOf(r.Click)] = r.Click
	}
	read := func(q aggregate.VectorQuery) map[aggregate.EventKey]click.Vector {
		got := map[aggregate.EventKey]click.Vector{}
		calls := 0
		e.must(reader.Vectors(e.ctx(), q, func(r *aggregate.VectorRow) error {
			got[r.EventKey] = r.Vector
			if want := byKey[r.EventKey]; r.ModelHash != want.Verdict.ModelHash || r.Version != want.Verdict.VectorVersion {
				e.Errorf("model %x, version %d of %v", r.ModelHash, r.Version, r.EventKey)
			}
			calls++
			return nil
		}))
		equal(e, "calls for a click", calls, len(got))
		return got
	}
	without := []click.State{click.Test, click.GIVT}
	for _, c := range []struct {
		what string
		q    aggregate.VectorQuery
		want []int // numbers of rows, from 1
	}{
		{"all of the version", aggregate.VectorQuery{Version: 1}, []int{1, 2, 3, 4, 5, 6}},
		{"without test and givt", aggregate.VectorQuery{Version: 1, Without: without}, []int{1, 2, 3, 4}},
		{"another version", aggregate.VectorQuery{Version: 2, Without: without}, []int{7, 9, 10}},
		{"one tenant", aggregate.VectorQuery{Version: 1, Without: without, TenantID: "acme"}, []int{1, 2, 3}},
		{"from, included", aggregate.VectorQuery{Version: 1, Without: without, From: base + minute}, []int{2, 3, 4}},
		{"to, excluded", aggregate.VectorQuery{Version: 1, Without: without, To: base + 2*minute}, []int{1, 2}},
		{"both", aggregate.VectorQuery{Version: 1, From: base + minute, To: base + minute + 1}, []int{2}},
		{"nothing", aggregate.VectorQuery{Version: 1, TenantID: "none"}, nil},
	} {
		want := map[aggregate.EventKey]click.Vector{}
		for _, n := range c.want {
			want[aggregate.KeyOf(rows[n-1].Click)] = rows[n-1].Verdict.Vector
		}
		if diff := cmp.Diff(want, read(c.q)); diff != "" {
			e.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
	stop, calls := errors.New("stop"), 0
	err := reader.Vectors(e.ctx(), aggregate.VectorQuery{Version: 1}, func(*aggregate.VectorRow) error { calls++; return stop })
	e.wantErr("an error of the caller", err, stop)
	equal(e, "calls after an error", calls, 1)
}
