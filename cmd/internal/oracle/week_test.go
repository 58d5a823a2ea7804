package oracle

import (
	"database/sql"
	_ "embed"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/givt"
)

//go:embed testdata/week/week.sql
var weekScript string

// TestSurpriseAgainstSQL: five weeks of a publisher through the gateway's scorer, and how
// unusual each fifth click's hour is worked out in SQL.
func TestSurpriseAgainstSQL(t *testing.T) {
	t.Parallel()
	if inSQL.Done(t) {
		return
	}
	vectors := fiveWeeks(t)
	if clicks, loud, differ := surprises(t, vectors, weekScript); differ > 0 || clicks < 1000 || loud < 300 {
		t.Errorf("%d of %d clicks differ, %d are unusual", differ, clicks, loud)
	}
	for right, wrong := range map[string]string{"SELECT 168, 4": "SELECT 168, 3", "median / 8": "median / 9", "SELECT n, min(z)": "SELECT n, max(z)", "% 60 + 1)": "% 60)"} {
		if _, _, differ := surprises(t, vectors, strings.Replace(weekScript, right, wrong, 1)); differ == 0 {
			t.Errorf("nobody notices %q instead of %q", wrong, right)
		}
	}
}

// observed is a click's minute and its vector.
type observed struct {
	minute int64
	vector click.Vector
}

// fiveWeeks is quiet at night, busier by day and at week-ends, and now and then a rush.
func fiveWeeks(t *testing.T) (out []observed) {
	t.Helper()
	lists, err := givt.Embedded()
	check(t, err)
	scorer, err := scoring.New(scoring.DefaultConfig(), lists, 1, nil)
	check(t, err)
	rng := rand.New(rand.NewPCG(5, 1))
	start := time.Date(2026, 9, 28, 5, 40, 0, 0, time.UTC).UnixMicro()
	for hour := range int64(5*168 + 30) {
		n := int64(2 + rng.IntN(4))
		if h := hour % 24; h > 2 && h < 15 {
			n += 10 + int64(rng.IntN(6)) + hour%168/120*15
			if h < 5 {
				n += 80
			}
		}
		if rng.IntN(30) == 0 {
			n += int64(60 + rng.IntN(120))
		}
		for i := range n {
			c := click.Click{TenantID: "north", SourceID: "edge", PublisherID: "weekly", EventTime: start + hour*hourMicros + i*hourMicros/n, Entry: click.EntryClick, Flags: click.FlagAddressUnknown}
			scorer.Score(&c, &click.Signals{IP: netip.MustParseAddr("192.0.2.1")})
			out = append(out, observed{c.EventTime / 60_000_000, c.Verdict.Vector})
		}
	}
	return out
}

// surprises compares vectors with what a script makes of them, and says how many clicks
// there were, how many of them unusual, and how many differ.
func surprises(t *testing.T, vectors []observed, script string) (clicks, loud, differ int) {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	check(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE click (n INTEGER PRIMARY KEY, minute INTEGER, pace INTEGER)")
	check(t, err)
	tx, err := db.Begin()
	check(t, err)
	for n := range vectors {
		put(t, tx, "INSERT INTO click VALUES (?,?,?)", n, vectors[n].minute, int64(vectors[n].vector[scoring.SlotPublisher1h]))
	}
	check(t, tx.Commit())
	run(t, db, []string{script})
	rows, err := db.Query("SELECT click.n, coalesce(z, 0), coalesce(hours, 0) FROM click LEFT JOIN surprise USING (n) WHERE click.n % 5 = 0")
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var n int
		var z, hours float64
		check(t, rows.Scan(&n, &z, &hours))
		v := &vectors[n].vector
		clicks++
		if z > 3 {
			loud++
		}
		if !same(v[scoring.SlotPublisherWeek], z) || !same(v[scoring.SlotWeekHours], hours) {
			if differ++; differ == 1 {
				t.Logf("click %d, minute %d: %v of %v hours, the reference says %v of %v", n, vectors[n].minute, v[scoring.SlotPublisherWeek], v[scoring.SlotWeekHours], z, hours)
			}
		}
	}
	check(t, rows.Err())
	return clicks, loud, differ
}
