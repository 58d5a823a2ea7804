package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
	"clickgate/gateway/click"
)

// mutantEnv names the seeded mistake that TestMutant runs with.
const mutantEnv = "CLICKGATE_STORE_MUTANT"

// mutants are seeded mistakes, each with the case that must catch it.
var mutants = map[string]struct {
	caughtBy string
	change   func(*mutantTx)
}{
	"zombies may write":           {"FencedBatchWritesNothing", func(m *mutantTx) { m.forgiven = aggregate.ErrFenced }},
	"gaps are skipped":            {"Gap", func(m *mutantTx) { m.forgiven = aggregate.ErrGap }},
	"batches apply again":         {"AmbiguousCommit", func(m *mutantTx) { m.forgiven = aggregate.ErrApplied }},
	"every copy is new":           {"CopiesAcrossBatches", func(m *mutantTx) { m.allNew = true }},
	"redeliveries are all new":    {"CopiesInOneBatch", func(m *mutantTx) { m.allNew = true }},
	"letters are all new":         {"DeadLetters", func(m *mutantTx) { m.allNew = true }},
	"duplicates stay valid":       {"DuplicateRules", func(m *mutantTx) { m.noMarking = true }},
	"earlier clicks are missed":   {"DuplicatesAcrossBatches", func(m *mutantTx) { m.noMatches = true }},
	"tenants share click ids":     {"TenantsNeverMeet", func(m *mutantTx) { m.oneTenant = true }},
	"a minute count gets lost":    {"CopiesInOneBatch", func(m *mutantTx) { m.loseMinute = true }},
	"old marks replace new ones":  {"Marks", func(m *mutantTx) { m.firstMark = true }},
	"kept counts are ignored":     {"LongBoot", func(m *mutantTx) { m.noKept = true }},
	"the last count replaces":     {"MarkCounts", func(m *mutantTx) { m.lastCount = true }},
	"the query is forgotten":      {"LongBoot", func(m *mutantTx) { m.noQuery = true }},
	"attempts undo nothing":       {"Attempts", func(m *mutantTx) { m.noUndo = true }},
	"attempts undo everything":    {"RejectedRows", func(m *mutantTx) { m.allUndo = true }},
	"poison is thrown away":       {"Poison", func(m *mutantTx) { m.noPoison = true }},
	"tenants share impressions":   {"Impressions", func(m *mutantTx) { m.oneTenant = true }},
	"impressions are stored anew": {"Impressions", func(m *mutantTx) { m.newDisplays = true }},
	"transaction ids are ignored": {"Conversions", func(m *mutantTx) { m.noTransactions = true }},
	"cancelled batches commit":    {"Cancelled", func(m *mutantTx) { m.deaf = true }},

	"late clicks are ordinary":       {"LateClicks", func(m *mutantTx) { m.nothingSealed = true }},
	"sealed sets grow":               {"SealDuringIngest", func(m *mutantTx) { m.nothingSealed = true }},
	"late clicks get lost":           {"LateClicks", func(m *mutantTx) { m.noLate = true }},
	"seals do nothing":               {"UnitLife", func(m *mutantTx) { m.noSeal = true }},
	"units come in any order":        {"UnitOrder", func(m *mutantTx) { m.anyOrder = true }},
	"two closers at once":            {"UnitLeases", func(m *mutantTx) { m.oneOwner = true }},
	"leases never end":               {"LeaseExpires", func(m *mutantTx) { m.longLease = true }},
	"old closers write":              {"LeaseExpires", func(m *mutantTx) { m.noFence = true }},
	"pages skip ties":                {"UnitPaging", func(m *mutantTx) { m.skipTies = true }},
	"late pages skip ties":           {"LatePaging", func(m *mutantTx) { m.skipTies = true }},
	"only the held unit can be read": {"UnitBorders", func(m *mutantTx) { m.heldOnly = true }},
	"settled clicks come back":       {"LateClicks", func(m *mutantTx) { m.noSettling = true }},
	"revisions are turned round":     {"Revisions", func(m *mutantTx) { m.turnedRound = true }},
	"notes are releases":             {"Decisions", func(m *mutantTx) { m.noNotes = true }},
	"an opportunity is billed twice": {"BillTokens", func(m *mutantTx) { m.noBilled = true }},
	"double clicks are billed":       {"BillRepeats", func(m *mutantTx) { m.noBilled = true }},
	"the window has its end in it":   {"BillRepeats", func(m *mutantTx) { m.wideWindow = true }},
	"a click meets itself":           {"BillTokens", func(m *mutantTx) { m.meetsItself = true }},
	"racing closers both bill":       {"BillingRaces", func(m *mutantTx) { m.noBilled = true }},
	"identities stay taken":          {"Unbill", func(m *mutantTx) { m.noUnbill = true }},
	"deltas lose their sign":         {"ClosingMinutes", func(m *mutantTx) { m.noSign = true }},
	"adjustments repeat":             {"Adjustments", func(m *mutantTx) { m.adjustAgain = true }},
	"months are issued again":        {"Invoices", func(m *mutantTx) { m.issueAgain = true }},
	"months are those of Madrid":     {"Invoices", func(m *mutantTx) { m.shifted = hourMicros }},
	"open units are closed":          {"Finish", func(m *mutantTx) { m.sealFirst = true }},
	"old retirements replace":        {"Retirements", func(m *mutantTx) { m.lastRetired = true }},
	"texts get lost":                 {"ClosingValues", func(m *mutantTx) { m.noText = true }},
	"bad text is mended":             {"ClosingBadText", func(m *mutantTx) { m.noText = true }},
	"any unit's rows are taken":      {"ForeignUnits", func(m *mutantTx) { m.anyUnit = true }},
	"what failed stays":              {"ClosingRollsBack", func(m *mutantTx) { m.noRollback = true }},
	"late clicks miss the books":     {"CloserRaces", func(m *mutantTx) { m.noLate = true }},
	"racing closers bill everything": {"CloserRaces", func(m *mutantTx) { m.noBilled = true }},
	"closed units are closed again":  {"OldPlan", func(m *mutantTx) { m.sealAgain = true }},
	"the ledger can be changed":      {"ClosingAppendOnly", func(m *mutantTx) { m.noTrigger = true }},
}

// TestSuiteCatchesMistakes runs the conformance suite once per mistake, in a
// process of its own, and demands that it fails.
func TestSuiteCatchesMistakes(t *testing.T) {
	t.Parallel()
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMutant$/^"+m.caughtBy+"$", "-test.v")
			cmd.Env = append(os.Environ(), mutantEnv+"="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), "--- FAIL: TestMutant/"+m.caughtBy) {
				t.Errorf("case %s did not catch it (%v):\n%s", m.caughtBy, err, out)
			}
		})
	}
}

// TestMutant is the suite on a store with the mistake of the environment.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantEnv)
	if name == "" {
		t.Skip("runs in the processes that TestSuiteCatchesMistakes starts")
	}
	storetest.Run(t, func(t *testing.T) aggregate.Store {
		m := &mutant{Store: open(t, filepath.Join(t.TempDir(), "clicks.db"))}
		mutants[name].change(&m.tx)
		m.breakTable(t)
		return m
	}, storetest.Options{
		DB:      func(s aggregate.Store) *sql.DB { return s.(*mutant).DB() },
		Exec:    func(s aggregate.Store, statement string) error { return execute(s.(*mutant).Store, statement) },
		Changes: changes, Refuse: refuse,
	})
}

type mutant struct {
	*Store
	tx mutantTx // what every transaction does wrong
}

func (m *mutant) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	if m.tx.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	return m.Store.InTx(ctx, func(tx aggregate.Tx) error {
		wrong := m.tx
		wrong.Tx = tx
		return f(&wrong)
	})
}

func (m *mutant) Ledger(ctx context.Context, q aggregate.LedgerQuery) (aggregate.Ledger, error) {
	l, err := m.Store.Ledger(ctx, q)
	if m.tx.noKept {
		l.Counts = nil
	}
	if m.tx.noQuery {
		l.Query = aggregate.LedgerQuery{}
	}
	return l, err
}

type mutantTx struct {
	aggregate.Tx
	forgiven                                                                       error
	allNew, noMarking, noMatches, oneTenant, loseMinute, firstMark, noPoison, deaf bool
	noUndo, allUndo                                                                bool
	newDisplays, noTransactions                                                    bool
	noKept, noQuery, lastCount                                                     bool
	closingFaults
}

func (m *mutantTx) Advance(ctx context.Context, p aggregate.Partition, fence, first, next int64) error {
	err := m.Tx.Advance(ctx, p, fence, first, next)
	if m.forgiven != nil && errors.Is(err, m.forgiven) {
		return nil
	}
	return err
}

// all turns a report of new rows into what the mutant says.
func (m *mutantTx) all(inserted []bool, err error) ([]bool, error) {
	for i := range inserted {
		inserted[i] = inserted[i] || m.allNew
	}
	return inserted, err
}

func (m *mutantTx) InsertClicks(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	return m.all(m.Tx.InsertClicks(ctx, rows))
}

func (m *mutantTx) InsertRedeliveries(ctx context.Context, rows []aggregate.RedeliveryRow) ([]bool, error) {
	return m.all(m.Tx.InsertRedeliveries(ctx, rows))
}

func (m *mutantTx) InsertDeadLetters(ctx context.Context, rows []aggregate.DeadLetterRow) ([]bool, error) {
	return m.all(m.Tx.InsertDeadLetters(ctx, rows))
}

func (m *mutantTx) MarkDuplicates(ctx context.Context, dups []aggregate.DuplicateOf) error {
	if m.noMarking {
		return nil
	}
	return m.Tx.MarkDuplicates(ctx, dups)
}

func (m *mutantTx) BillableBefore(ctx context.Context, probes []aggregate.Probe) ([]aggregate.Match, error) {
	for i := range probes {
		if m.oneTenant {
			probes[i].TenantID = "acme"
		}
	}
	matches, err := m.Tx.BillableBefore(ctx, probes)
	if m.noMatches {
		clear(matches)
	}
	return matches, err
}

func (m *mutantTx) AddMinutes(ctx context.Context, deltas []aggregate.MinuteDelta) error {
	if m.loseMinute {
		deltas = deltas[1:]
	}
	return m.Tx.AddMinutes(ctx, deltas)
}

func (m *mutantTx) PutMarks(ctx context.Context, p aggregate.Partition, marks []click.Mark) error {
	if m.firstMark {
		marks = marks[:1]
	}
	if m.lastCount {
		if _, err := m.Tx.(*tx).exec("mutant", "DELETE FROM mark_counts"); err != nil {
			return err
		}
	}
	return m.Tx.PutMarks(ctx, p, marks)
}

var errUndo = errors.New("undone though nothing failed")

// Attempt undoes what failed, unless the mutant lets it stay, or what did not fail too.
func (m *mutantTx) Attempt(ctx context.Context, f func() error) error {
	switch {
	case m.noUndo:
		return rejected(f())
	case m.allUndo:
		err := m.Tx.Attempt(ctx, func() error { return cmp.Or(f(), errUndo) })
		if errors.Is(err, errUndo) {
			return nil
		}
		return err
	}
	return m.Tx.Attempt(ctx, f)
}

func (m *mutantTx) InsertImpressions(ctx context.Context, rows []click.Impression) (int, error) {
	for i := range rows {
		if m.oneTenant {
			rows[i].TenantID = "acme"
		}
		if m.newDisplays {
			if _, err := m.Tx.(*tx).exec("mutant", "DELETE FROM impressions WHERE click_id = ?", rows[i].ClickID[:]); err != nil {
				return 0, err
			}
		}
	}
	return m.Tx.InsertImpressions(ctx, rows)
}

func (m *mutantTx) InsertConversions(ctx context.Context, rows []click.Conversion) (int, error) {
	for i := range rows {
		if m.noTransactions {
			rows[i].TransactionID = ""
		}
	}
	return m.Tx.InsertConversions(ctx, rows)
}

func (m *mutantTx) InsertPoison(ctx context.Context, rows []aggregate.PoisonRow) error {
	if m.noPoison {
		return nil
	}
	return m.Tx.InsertPoison(ctx, rows)
}
