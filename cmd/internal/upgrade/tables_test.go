package upgrade_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"clickgate/gateway/click"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// table is what a table holds, in the columns it had when that was written down.
type table struct {
	Rows    int      `json:"rows"`
	Columns []string `json:"columns"`
	SHA256  string   `json:"sha256"` // of the rows as texts, in their order as texts
}

// database is a store's, for looking at it from outside.
type database struct {
	*sql.DB
	tables, columns string // statements
	text            string // a column as text
}

func openSQLite(t *testing.T, path string) *database {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_pragma=busy_timeout(10000)")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return &database{
		DB:      db,
		tables:  `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`,
		columns: `SELECT name FROM pragma_table_info(?)`,
		text:    `quote("%s")`,
	}
}

func openPostgres(t *testing.T, dsn string) *database {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	must(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(t.Context(), "SET TimeZone = 'UTC'")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return &database{
		DB: db,
		tables: `SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
			AND relnamespace = current_schema()::regnamespace`,
		columns: `SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`,
		text:    `"%s"::text`,
	}
}

// migrationsTable grows with the versions; every other table keeps what it has.
const migrationsTable = "schema_versions"

// read returns all tables but that of migrations, without the columns that skip names.
func (d *database) read(t *testing.T, skip ...string) map[string]table {
	t.Helper()
	all := map[string]table{}
	names, err := d.strings(t.Context(), d.tables)
	must(t, err)
	for _, name := range names {
		if name == migrationsTable {
			continue
		}
		columns, err := d.strings(t.Context(), d.columns, name)
		must(t, err)
		columns = slices.DeleteFunc(columns, func(c string) bool { return slices.Contains(skip, c) })
		slices.Sort(columns)
		all[name], err = d.digest(t.Context(), name, columns)
		must(t, err)
	}
	return all
}

// arrived returns the tables that a store fills from the topics alone, in the columns
// that are equal at every time and place. Of a click and its repeat, whichever comes
// first is the valid one, so verdicts are compared apart from the clicks they are of.
// The reason of poison quotes package protobuf, whose texts differ from build to build.
func (d *database) arrived(t *testing.T, skip ...string) map[string]table {
	t.Helper()
	all := d.read(t, append(skip, "ingested_at", "cluster_id", "topic_id", "vector", "state", "reasons", "reason")...)
	for name := range all {
		if !slices.Contains([]string{"clicks", "click_evidence", "redeliveries", "dead_letters", "poison_records", "mark_counts"}, name) {
			delete(all, name)
		}
	}
	var err error
	all["clicks/verdicts"], err = d.digest(t.Context(), "clicks", []string{"state", "reasons", "score", "vector_version"})
	must(t, err)
	return all
}

// differences names the tables that do not hold what is wanted any more.
func (d *database) differences(ctx context.Context, want map[string]table) (problems []string) {
	for name, w := range want {
		switch got, err := d.digest(ctx, name, w.Columns); {
		case err != nil:
			problems = append(problems, fmt.Sprintf("table %s: %v", name, err))
		case got.Rows != w.Rows:
			problems = append(problems, fmt.Sprintf("table %s has %d rows, it had %d", name, got.Rows, w.Rows))
		case got.SHA256 != w.SHA256:
			problems = append(problems, fmt.Sprintf("table %s: its %d rows say something else than they did", name, got.Rows))
		}
	}
	return problems
}

func (d *database) digest(ctx context.Context, name string, columns []string) (table, error) {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = fmt.Sprintf(d.text, c)
	}
	name, _, _ = strings.Cut(name, "/") // behind it stands which part of the table is meant
	rows, err := d.QueryContext(ctx, "SELECT "+strings.Join(texts, ", ")+` FROM "`+name+`"`)
	if err != nil {
		return table{}, err
	}
	defer rows.Close()
	cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	var lines []string
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return table{}, err
		}
		var line strings.Builder
		for _, c := range cells {
			if c.Valid {
				line.WriteString(strconv.Quote(c.String))
			}
			line.WriteByte('|')
		}
		lines = append(lines, line.String())
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return table{Rows: len(lines), Columns: columns, SHA256: hex.EncodeToString(sum[:])}, rows.Err()
}

func (d *database) strings(ctx context.Context, query string, args ...any) (all []string, err error) {
	rows, err := d.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// states adds up the minute counts.
func (d *database) states(t *testing.T) map[string]tally {
	t.Helper()
	rows, err := d.QueryContext(t.Context(), "SELECT state, sum(count), sum(micros) FROM click_minutes GROUP BY state HAVING sum(count) <> 0")
	must(t, err)
	defer rows.Close()
	all := map[string]tally{}
	for rows.Next() {
		var state uint8
		var n tally
		must(t, rows.Scan(&state, &n.Events, &n.Micros))
		all[click.State(state).String()] = n
	}
	must(t, rows.Err())
	return all
}

// events is how many events are counted.
func (d *database) events(ctx context.Context) (n int64, err error) {
	err = d.QueryRowContext(ctx, "SELECT coalesce(sum(count), 0) FROM click_minutes").Scan(&n)
	return n, err
}
