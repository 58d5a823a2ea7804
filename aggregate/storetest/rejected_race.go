package storetest

import (
	"slices"
	"sync"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rejectedAtOnce: several aggregators have copies of the same events, each in another
// order and each with records to look for, so that their pieces wait for each other in
// opposite orders. Every event counts once whoever gets it first, the refused ones too.
func rejectedAtOnce(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	const workers, rounds, events = 2, 2, 60
	var bad, copies, poisoned int
	for round := range rounds {
		places := []int{round, 7 * (round + 1), events - 1 - round}
		bad += len(places)
		var batches [workers]*aggregate.Batch
		for w := range workers {
			records := clickRecords(uint64(round*events+1), events, places...)
			if w%2 == 1 {
				slices.Reverse(records)
			}
			batches[w] = e.decoded(partition(int32(w)), moved(records, w*events/workers)...)
		}
		var results [workers]aggregate.Result
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				var err error
				if results[w], err = aggregate.Apply(e.ctx(), e.store, batches[w]); err != nil {
					e.Errorf("worker %d: %v", w, err)
				}
			})
		}
		wg.Wait()
		for w, b := range batches {
			e.claims[b.Partition] = aggregate.Claim{Fence: b.Fence, Next: b.Next}
			copies, poisoned = copies+results[w].OwnCopies, poisoned+results[w].Poison
		}
	}
	equal(e, "states", e.totals(), [10]int64{click.Valid: int64(rounds*events - bad), click.Malformed: int64(bad)})
	equal(e, "poison records", poisoned, workers*bad)
	equal(e, "own copies", copies, (workers-1)*rounds*events)
	equal(e, "clicks", e.count("SELECT count(*) FROM clicks"), int64(rounds*events-bad))
	e.books(rounds * events)
}

// moved lets records begin with those at from.
func moved(records []*kgo.Record, from int) []*kgo.Record {
	return slices.Concat(records[from:], records[:from])
}
