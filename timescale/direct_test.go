package timescale

import (
	"slices"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
)

// TestTakenMeanwhile: a key that another transaction takes between the search and the
// COPY is sorted out by the staging table; the others are new.
func TestTakenMeanwhile(t *testing.T) {
	t.Parallel()
	store := postgres.open(t)
	var rows []aggregate.ClickRow
	for i := range 5 {
		rows = append(rows, clickAt(byte(i), storetest.Base))
	}
	slices.SortFunc(rows, func(a, b aggregate.ClickRow) int {
		return aggregate.CompareKeys(aggregate.KeyOf(a.Click), aggregate.KeyOf(b.Click))
	})
	insert := func(tx aggregate.Tx, rows ...aggregate.ClickRow) (fresh []bool) {
		fresh, err := tx.InsertClicks(t.Context(), rows)
		if err != nil {
			t.Error(err)
		}
		return fresh
	}
	held, commit, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := store.InTx(t.Context(), func(tx aggregate.Tx) error {
			insert(tx, rows[2])
			close(held)
			<-commit
			return nil
		}); err != nil {
			t.Error(err)
		}
	}()
	<-held
	go func() {
		defer close(commit)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			var waiting int
			if err := store.Pool().QueryRow(t.Context(), `
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY clicks %'`).Scan(&waiting); err != nil {
				t.Error(err)
				return
			}
			if waiting > 0 {
				return
			}
		}
		t.Error("the second transaction never waited for the first")
	}()
	if err := store.InTx(t.Context(), func(tx aggregate.Tx) error {
		if fresh := insert(tx, rows...); !slices.Equal(fresh, []bool{true, true, false, true, true}) {
			t.Errorf("new rows %v", fresh)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	<-done
	var clicks, evidence int
	if err := store.Pool().QueryRow(t.Context(), "SELECT (SELECT count(*) FROM clicks), (SELECT count(*) FROM click_evidence)").Scan(&clicks, &evidence); err != nil {
		t.Fatal(err)
	}
	if clicks != 5 {
		t.Errorf("%d clicks, want 5", clicks)
	}
	if n := len(slices.DeleteFunc(slices.Clone(rows), func(r aggregate.ClickRow) bool { return len(r.Evidence) == 0 })); evidence != n {
		t.Errorf("%d rows of evidence, want %d", evidence, n)
	}
}
