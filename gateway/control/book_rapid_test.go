package control

import (
	"fmt"
	"math/rand"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever compaction and torn pairs leave, in whatever order the versions come,
// and however often time is looked at on the way: in force is the highest version
// whose time has come.
func TestBookIsDeterministic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	filled := 0
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(r.ring)
		best := map[string]uint64{}
		var records []Record
		now := epoch.Add(5 * time.Hour)
		for _, id := range []string{"acme", "beta"} {
			for v := range rapid.Uint64Range(0, 4).Draw(rt, id) {
				e := r.entry(id, v+1, epoch.Add(time.Duration(rapid.IntRange(0, 10).Draw(rt, "hours"))*time.Hour))
				if !e.ActivatesAt.After(now) {
					best[id] = e.Version
				}
				pair := r.records(t, e)
				switch rapid.IntRange(0, 2).Draw(rt, "left") {
				case 0:
					pair = pair[:1]
				case 1:
					pair = pair[1:]
				}
				records = append(records, pair...)
			}
		}
		rand.New(rand.NewSource(int64(rapid.Uint32().Draw(rt, "order")))).Shuffle(len(records), func(i, j int) {
			records[i], records[j] = records[j], records[i]
		})
		for _, record := range records {
			if err := b.add(record); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "look") {
				b.activate(now)
				b.forget()
			}
		}
		var want []string
		for id, v := range best {
			want = append(want, fmt.Sprintf("%s%d", id, v))
		}
		sort.Strings(want)
		filled += len(want)
		s, refused := b.activate(now)
		if got := inForce(s); got != strings.Join(want, " ") || len(refused) > 0 {
			rt.Fatalf("in force %q, want %q; refused %v", got, want, refused)
		}
	})
	if filled < 50 {
		t.Errorf("only %d tenants were in force in all runs", filled)
	}
}
