package upgrade_test

import (
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"clickgate/alerts/console/auth"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"

	"github.com/jackc/pgx/v5"
)

// ofTheStart are tables in which every start of a process leaves something, and the
// one that knows when clicks came last, were it copies alone.
var ofTheStart = []string{"positions", "marks", "mark_counts", "alerts_lease", "audit", "units"}

func withoutStart(all map[string]table) map[string]table {
	kept := maps.Clone(all)
	for _, name := range ofTheStart {
		delete(kept, name)
	}
	return kept
}

// checkStandalone migrates a data folder, starts on it twice, and demands what the
// manifest says after each step.
func checkStandalone(t *testing.T, g *generation) {
	dir := g.unpack(t, standaloneName)
	db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
	report(t, "as it was packed", db.differences(t.Context(), g.Standalone.Tables))
	o := &office{flags: []string{"--data", dir}, now: g.MadeAt}
	o.must(t, "migrate")
	report(t, "migrated", append(db.differences(t.Context(), g.Standalone.Tables), o.compare(t, g, &g.Standalone)...))
	for _, start := range []string{"first start", "second start"} {
		startStandalone(t, dir).stop()
		problems := db.differences(t.Context(), withoutStart(g.Standalone.Tables))
		problems = append(problems, otherStates(g.Standalone.States, db.states(t))...)
		report(t, start, append(problems, o.compare(t, g, &g.Standalone)...))
	}
	signIn(t, &config.Store{SQLite: filepath.Join(dir, config.SQLiteName)})
}

// signIn demands that the users of the story come in, or do not, as before.
func signIn(t *testing.T, cfg *config.Store) {
	t.Helper()
	store, err := app.OpenStore(t.Context(), cfg)
	must(t, err)
	defer store.Close()
	accounts := auth.NewAccounts(store, auth.DefaultParams(), deterministic{}, time.Now)
	from := netip.MustParseAddr("198.18.0.1")
	if u, err := accounts.SignIn(t.Context(), "grace", password, from); err != nil || u.Role != "admin" {
		t.Errorf("grace cannot sign in: %v", err)
	}
	if _, err := accounts.SignIn(t.Context(), "alan", password, from); err == nil {
		t.Error("alan is disabled and signs in")
	}
}

// checkPostgres restores a dump, migrates it, and lets an aggregator read the old
// topics again, twice: the store has every event already.
func checkPostgres(t *testing.T, g *generation) {
	switch {
	case server() == "":
		t.Skip("CLICKGATE_TEST_POSTGRES is not set; `make test` starts a server")
	case len(g.Postgres.Tables) == 0:
		t.Skip("this generation was made without PostgreSQL")
	}
	dsn, dir := createDatabase(t), g.desk(t)
	restore(t, g, dsn)
	db := openPostgres(t, dsn)
	report(t, "restored", db.differences(t.Context(), g.Postgres.Tables))
	o := &office{flags: []string{"--data", dir, "--set", "store.dsn=" + dsn}, now: g.MadeAt}
	o.must(t, "migrate")
	report(t, "migrated", append(db.differences(t.Context(), g.Postgres.Tables), o.compare(t, g, &g.Postgres)...))
	for _, start := range []string{"first start", "second start"} {
		consume(t, g, topicRecords(t, g), dir, dsn)
		stable := withoutStart(g.Postgres.Tables)
		delete(stable, "poison_records") // has a row for each place where the record stands
		problems := db.differences(t.Context(), stable)
		problems = append(problems, otherStates(g.Postgres.States, db.states(t))...)
		report(t, start, append(problems, o.compare(t, g, &g.Postgres)...))
	}
	signIn(t, &config.Store{DSN: dsn})
}

func restore(t *testing.T, g *generation, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	_, err = conn.PgConn().Exec(t.Context(), string(gunzip(t, g.read(t, dumpName)))).ReadAll()
	must(t, errors.Join(err, conn.Close(t.Context())))
}

// checkSpool lets a gateway pass on what is in an old spool, and starts it again.
func checkSpool(t *testing.T, g *generation) {
	report(t, "after the replay", g.replayedOtherwise(t, g.unpack(t, spoolName)))
}

// replayedOtherwise says what is different in a new store behind a gateway with that
// spool, after its first and its second start.
func (g *generation) replayedOtherwise(t *testing.T, spool string) (problems []string) {
	t.Helper()
	dir := g.desk(t)
	db := replay(t, g, dir, spool)
	for _, start := range []string{"first start: ", "second start: "} {
		if start == "second start: " {
			db = replay(t, g, dir, spool)
		}
		for _, p := range append(db.differences(t.Context(), g.Spool.Tables), otherStates(g.Spool.States, db.states(t))...) {
			problems = append(problems, start+p)
		}
	}
	return problems
}

// replayed is what stands in a new store behind a copy of a spool.
func replayed(t *testing.T, g *generation, spool string) books {
	t.Helper()
	db := replay(t, g, g.desk(t), copyDir(t, spool))
	tables := db.arrived(t, "rec_offset", "partition", "topic")
	delete(tables, "mark_counts") // of the start that replays
	return books{States: db.states(t), Tables: tables}
}

// replay starts a gateway on a spool, and an aggregator on the store of a folder, and
// stops both in their order.
func replay(t *testing.T, g *generation, dir, spool string) *database {
	t.Helper()
	c := newCluster(t, newBroker(t, g.Partitions), dir, "")
	c.cfg.Spool.Dir = spool
	c.startAggregator()
	c.startGateway()
	c.stopGateway()
	c.stopAggregator()
	return openSQLite(t, filepath.Join(dir, config.SQLiteName))
}
