package timescale

import (
	"sync"
	"testing"

	"clickgate/aggregate"
)

// lender returns stores for the cases of suite, each empty: one that an earlier
// case is done with, or else one in a new schema that goes with suite. Making
// tables costs more than most cases do.
func (s *server) lender(suite *testing.T) func(*testing.T) aggregate.Store {
	var mu sync.Mutex
	var idle []*Store
	return func(t *testing.T) aggregate.Store {
		mu.Lock()
		defer mu.Unlock()
		var store *Store
		if n := len(idle); n > 0 {
			store, idle = idle[n-1], idle[:n-1]
		} else {
			store = s.open(suite)
		}
		t.Cleanup(func() {
			if t.Failed() {
				return // whatever it left goes with suite
			}
			empty(t, store)
			mu.Lock()
			defer mu.Unlock()
			idle = append(idle, store)
		})
		return store
	}
}

// empty deletes all rows; partitions stay.
func empty(t *testing.T, s *Store) {
	ctx, cancel := cleanupContext()
	defer cancel()
	_, err := s.Pool().Exec(ctx, `
DELETE FROM positions; DELETE FROM clicks; DELETE FROM click_evidence; DELETE FROM click_minutes; DELETE FROM redeliveries;
DELETE FROM dead_letters; DELETE FROM poison_records; DELETE FROM marks; DELETE FROM mark_counts; DELETE FROM units;
DELETE FROM late_clicks; DELETE FROM billed_clicks; DELETE FROM billed_repeats; DELETE FROM retired_gateways; DELETE FROM users; TRUNCATE audit;
DELETE FROM incidents; DELETE FROM pages; DELETE FROM impressions; DELETE FROM conversions;
UPDATE alerts_lease SET owner = '', fence = 0, until = to_timestamp(0), judged = to_timestamp(0);
UPDATE model_book SET version = 0, live = 0, shadow = 0, previous = 0, fence = 0, live_since = to_timestamp(0), shadow_since = to_timestamp(0), trained_at = to_timestamp(0), until = to_timestamp(0), owner = ''; DELETE FROM models;
SET session_replication_role = replica; -- the append-only tables: their triggers rest
DELETE FROM verdict_revisions; DELETE FROM closed_units; DELETE FROM closed_hours; DELETE FROM adjustments;
DELETE FROM invoices; SET session_replication_role = DEFAULT`)
	if err != nil {
		t.Errorf("emptying the store: %v", err)
	}
}
