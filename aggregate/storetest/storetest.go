// Package storetest holds every implementation of aggregate.Store to one
// behaviour. A store passes when Run passes; Compare shows that two stores give
// equal reports for the same history; Bench measures what a batch costs.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"

	"clickgate/aggregate"
)

// Options says what the store under test can do.
type Options struct {
	// Serial, when not empty, says why concurrent cases are skipped.
	Serial string
	// Histories is the number of random histories to play; 0 means 3.
	Histories int
	// DB reads the tables of a store; poison records have no report.
	DB func(aggregate.Store) *sql.DB
	// Signed32 says that unsigned 32-bit numbers stand bit for bit in signed columns.
	Signed32 bool
	// Exec runs a statement that writes, in a transaction of its own.
	Exec func(s aggregate.Store, statement string) error
	// Refuse makes a store refuse new rows of table for which condition holds, an SQL
	// expression of NEW, with an SQLSTATE where the store has them. It returns what ends
	// it.
	Refuse func(s aggregate.Store, table, condition, sqlState string) (end func() error, err error)
	// Passing are SQLSTATEs of failures that are not a row's fault.
	Passing []string
	// Changes are the ways to change rows of a table that Exec must refuse.
	Changes func(table string) []string
}

// Run runs every case, each on a store of its own. open returns an empty and
// migrated store and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) aggregate.Store, opts Options) {
	t.Helper()
	if opts.Histories == 0 {
		opts.Histories = 3
	}
	cases := []testCase{
		{"Claims", claims},
		{"StoredThrough", storedThrough},
		{"FencedBatchWritesNothing", fencedBatch},
		{"AmbiguousCommit", ambiguousCommit},
		{"Gap", gap},
		{"CopiesInOneBatch", copiesInOneBatch},
		{"CopiesAcrossBatches", copiesAcrossBatches},
		{"RawInsertTwice", rawInsertTwice},
		{"RawInsertMany", rawInsertMany},
		{"DuplicateRules", duplicateRules},
		{"DuplicatesAcrossBatches", duplicatesAcrossBatches},
		{"OnlyValidConsumes", onlyValidConsumes},
		{"EarliestMatch", earliestMatch},
		{"RetriedTransaction", retriedTransaction},
		{"TenantsNeverMeet", tenantsNeverMeet},
		{"Values", values},
		{"BadText", badText},
		{"MoneyOverflow", moneyOverflow},
		{"DeadLetters", deadLetters},
		{"Poison", poison},
		{"Attempts", attempts},
		{"RejectedRows", rejectedRows},
		{"RejectedAtBorder", rejectedAtBorder},
		{"RejectedCopies", rejectedCopies},
		{"RejectedOthers", rejectedOthers},
		{"RejectedAtOnce", rejectedAtOnce},
		{"PassingFailures", passingFailures},
		{"Letters", letters},
		{"Replays", replays},
		{"ReplaysHeal", replaysHeal},
		{"ReplaysLate", replaysLate},
		{"Marks", marks},
		{"MarkCounts", markCounts},
		{"LongBoot", longBoot},
		{"Ledger", ledger},
		{"Billing", billing},
		{"Trace", trace},
		{"RevisedCounts", revisedCounts},
		{"ClosedBilling", closedBilling},
		{"Invalid", invalid},
		{"Flagged", flagged},
		{"Addresses", addresses},
		{"Recent", recent},
		{"Users", users},
		{"UserChanges", userChanges},
		{"Audit", audit},
		{"MinuteCounts", minuteCounts},
		{"AlertsLease", alertsLease},
		{"Incidents", incidents},
		{"Pages", pages},
		{"ConcurrentLeases", concurrentLeases},
		{"Vectors", vectors},
		{"Models", models},
		{"ModelRaces", modelRaces},
		{"ModelForgotten", modelForgotten},
		{"TrainingLease", trainingLease},
		{"TrainingClicks", trainingClicks},
		{"Cancelled", cancelled},
		{"PanicRollsBack", panicRollsBack},
		{"MigrateAgain", migrateAgain},
		{"Concurrent", concurrent},
		{"ConcurrentClaims", concurrentClaims},
		{"Histories", histories},
	}
	for _, c := range slices.Concat(cases, closingCases, feedCases) {
		t.Run(c.name, func(t *testing.T) {
			if opts.Serial == "" {
				t.Parallel()
			}
			c.run(&env{T: t, store: open(t), opts: opts, open: open, claims: map[aggregate.Partition]aggregate.Claim{}})
		})
	}
}

type testCase struct {
	name string
	run  func(*env)
}

// env is one case with its store.
type env struct {
	*testing.T
	store  aggregate.Store
	opts   Options
	open   func(*testing.T) aggregate.Store
	claims map[aggregate.Partition]aggregate.Claim
}

func (e *env) ctx() context.Context { return e.Context() }

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// wantErr demands that err is target.
func (e *env) wantErr(what string, err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Fatalf("%s: error %v, want %v", what, err, target)
	}
}

// equal compares two comparable values.
func equal[V comparable](e *env, what string, got, want V) {
	e.Helper()
	if got != want {
		e.Errorf("%s is %v, want %v", what, got, want)
	}
}

// batch makes the next batch of p, claiming p at first.
func (e *env) batch(p aggregate.Partition, rows ...aggregate.ClickRow) *aggregate.Batch {
	e.Helper()
	c, ok := e.claims[p]
	if !ok {
		var err error
		c, err = e.store.Claim(e.ctx(), p, "test")
		e.must(err)
		e.claims[p] = c
	}
	for i := range rows {
		rows[i].Partition, rows[i].Offset = p.Number, c.Next+int64(i)
	}
	return &aggregate.Batch{Partition: p, Fence: c.Fence, First: c.Next, Next: c.Next + int64(len(rows)) + 1, Clicks: rows}
}

// apply applies b and moves the position on.
func (e *env) apply(b *aggregate.Batch) aggregate.Result {
	e.Helper()
	res, err := aggregate.Apply(e.ctx(), e.store, b)
	if err != nil {
		e.Fatalf("Apply of %v from %d: %v", b.Partition, b.First, err)
	}
	e.claims[b.Partition] = aggregate.Claim{Fence: b.Fence, Next: b.Next}
	return res
}

// put applies one batch of clicks to partition 0.
func (e *env) put(rows ...aggregate.ClickRow) aggregate.Result {
	e.Helper()
	return e.apply(e.batch(partition(0), rows...))
}

// totals returns the totals summed by state, after checking rows = minutes.
func (e *env) totals() (byState [10]int64) {
	e.Helper()
	totals, err := e.store.Totals(e.ctx())
	e.must(err)
	for _, x := range totals {
		if x.Rows != x.Minutes {
			e.Errorf("%s %s %v: %d rows but %d in minute counts", x.TenantID, x.SourceID, x.State, x.Rows, x.Minutes)
		}
		byState[x.State] += x.Rows
	}
	return byState
}

// count reads a number from the tables.
func (e *env) count(query string) (n int64) {
	e.Helper()
	e.must(e.opts.DB(e.store).QueryRowContext(e.ctx(), query).Scan(&n))
	return n
}
