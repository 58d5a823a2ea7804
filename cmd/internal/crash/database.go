package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
	"clickgate/gateway/seal"
	"clickgate/timescale"

	"github.com/jackc/pgx/v5"
)

// database is one run's own database on a PostgreSQL server.
type database struct {
	server string // DSN of the server's maintenance database
	name   string
	dsn    string // of the database itself, without a proxy
}

// createDatabase makes an empty database on the server that dsn names.
func createDatabase(ctx context.Context, dsn string, now time.Time) (*database, error) {
	d := &database{server: dsn, name: fmt.Sprintf("crash_%d", now.UnixNano())}
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" {
		return nil, errors.New("crash: the PostgreSQL server must be named by a postgres:// URL")
	}
	u.Path = "/" + d.name
	d.dsn = u.String()
	return d, d.onServer(ctx, "CREATE DATABASE "+d.name)
}

func (d *database) onServer(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, d.server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// await waits for a server that recovers from its log.
func (d *database) await(ctx context.Context) error {
	for {
		err := d.onServer(ctx, "SELECT 1")
		if err == nil || ctx.Err() != nil {
			return err
		}
		rest(ctx, 100*time.Millisecond)
	}
}

func (d *database) drop(ctx context.Context) error {
	return d.onServer(ctx, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
}

// through returns the DSN by way of a proxy.
func (d *database) through(p *Proxy) string {
	u, err := url.Parse(d.dsn)
	if err != nil {
		return d.dsn // not reached: it was parsed before
	}
	u.Host = p.Addr()
	return u.String()
}

// host is the server's address, host:port.
func (d *database) host() string {
	u, err := url.Parse(d.dsn)
	if err != nil {
		return ""
	}
	return u.Host
}

// killSessions ends every session of the run's database, whatever they are doing.
func (d *database) killSessions(ctx context.Context) error {
	return d.onServer(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", d.name)
}

// backend returns the process id of a session of the run's database, 0 for none.
// To kill it makes the whole server start again from its log.
func (d *database) backend(ctx context.Context) (pid int, err error) {
	conn, err := pgx.Connect(ctx, d.server)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = conn.QueryRow(ctx, `SELECT coalesce(min(pid), 0) FROM pg_stat_activity
		WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()`, d.name).Scan(&pid)
	return pid, err
}

// watchSQL notes every position that moves back: no right program ever does that,
// and no count at the end shows that one did.
const watchSQL = `
CREATE SCHEMA crash;
CREATE TABLE crash.backwards (at timestamptz NOT NULL DEFAULT clock_timestamp(), text text NOT NULL);
CREATE FUNCTION crash.watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.next < OLD.next OR NEW.fence < OLD.fence THEN
    INSERT INTO crash.backwards (text) VALUES (format('%s-%s went from offset %s (fence %s) to offset %s (fence %s, owner %s)',
      OLD.topic, OLD.partition, OLD.next, OLD.fence, NEW.next, NEW.fence, NEW.owner));
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE ON positions FOR EACH ROW EXECUTE FUNCTION crash.watch()`

func (d *database) watch(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, d.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, watchSQL+";"+refuseSQL)
	return err
}

const storedClicksSQL = `
SELECT c.event_id, c.click_id, coalesce(r.state, c.state), c.gateway, c.boot, c.seq FROM clicks AS c LEFT JOIN (
  SELECT DISTINCT ON (tenant_id, event_id, id_time) tenant_id, event_id, id_time, state
  FROM verdict_revisions ORDER BY tenant_id, event_id, id_time, revision DESC) AS r USING (tenant_id, event_id, id_time)`

// lettersSQL leaves out those that stand for poison records.
const lettersSQL = `
SELECT letter_id, tenant_id, raw, gateway, boot, seq, code, (extract(epoch FROM received_at) * 1000000)::bigint
FROM dead_letters WHERE code <> '` + aggregate.CodePoison + "'"

// minutesSQL counts rows again, by what redeliveries have of a minute count's key,
// and returns where the minute counts differ.
const minutesSQL = `
WITH said AS (
  SELECT c.*, coalesce(r.state, c.state) AS final FROM clicks AS c LEFT JOIN (
    SELECT DISTINCT ON (tenant_id, event_id, id_time) tenant_id, event_id, id_time, state
    FROM verdict_revisions ORDER BY tenant_id, event_id, id_time, revision DESC) AS r USING (tenant_id, event_id, id_time)
), counted AS (
  SELECT source_id, campaign_id, date_trunc('minute', event_time) AS minute, final AS state, count(*) AS rows,
    coalesce(sum(price_micros) FILTER (WHERE pricing = 1 AND currency <> ''), 0) AS micros
  FROM said GROUP BY 1, 2, 3, 4
  UNION ALL SELECT source_id, campaign_id, date_trunc('minute', received_at), 2, count(*), 0 FROM redeliveries GROUP BY 1, 2, 3
  UNION ALL SELECT source_id, '', date_trunc('minute', received_at), 1, count(*), 0 FROM dead_letters GROUP BY 1, 3
), minutes AS (
  SELECT source_id, campaign_id, minute, state, sum(count) AS rows, sum(micros) AS micros FROM click_minutes GROUP BY 1, 2, 3, 4)
SELECT format('source %s campaign %s minute %s state %s', source_id, campaign_id, minute, state),
  coalesce(m.rows, 0)::bigint, coalesce(c.rows, 0)::bigint, coalesce(m.micros, 0)::bigint, coalesce(c.micros, 0)::bigint
FROM counted AS c FULL JOIN minutes AS m USING (source_id, campaign_id, minute, state)
WHERE coalesce(m.rows, 0) <> coalesce(c.rows, 0) OR coalesce(m.micros, 0) <> coalesce(c.micros, 0) ORDER BY 1`

// read reads everything that Check wants to know but Unread and Unknown.
func (d *database) read(ctx context.Context, keys *seal.Ring) (*Stored, error) {
	conn, err := pgx.Connect(ctx, d.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	s := &Stored{Billed: make(map[click.ID]click.ID)}
	r := reader{ctx: ctx, conn: conn}
	r.each(storedClicksSQL, func(rows pgx.Rows) error {
		var c StoredClick
		var clickID *[16]byte
		err := rows.Scan((*[16]byte)(&c.EventID), &clickID, (*uint8)(&c.State), &c.Ingest.Gateway, &c.Ingest.Boot, &c.Ingest.Seq)
		if clickID != nil {
			c.ClickID = *clickID
		}
		s.Clicks = append(s.Clicks, c)
		return err
	})
	r.each("SELECT event_id, gateway, boot, seq FROM redeliveries", func(rows pgx.Rows) error {
		var c StoredCopy
		err := rows.Scan((*[16]byte)(&c.ID), &c.Ingest.Gateway, &c.Ingest.Boot, &c.Ingest.Seq)
		s.Redelivered = append(s.Redelivered, c)
		return err
	})
	r.each(lettersSQL, func(rows pgx.Rows) error {
		c, err := letter(rows, keys)
		s.Letters = append(s.Letters, c)
		return err
	})
	r.each("SELECT click_id, event_id FROM billed_clicks", func(rows pgx.Rows) error {
		var c, e [16]byte
		err := rows.Scan(&c, &e)
		s.Billed[c] = e
		return err
	})
	r.each(minutesSQL, func(rows pgx.Rows) error {
		var m MinuteDifference
		err := rows.Scan(&m.Key, &m.Counted, &m.Rows, &m.CountedMicros, &m.Micros)
		s.Minutes = append(s.Minutes, m)
		return err
	})
	r.each("SELECT text FROM crash.backwards ORDER BY at LIMIT 100", func(rows pgx.Rows) error {
		var text string
		err := rows.Scan(&text)
		s.Backwards = append(s.Backwards, text)
		return err
	})
	s.Poison = readPoison(&r)
	r.each("SELECT gateway, boot, seq FROM dead_letters WHERE code = '"+aggregate.CodePoison+"'", func(rows pgx.Rows) error {
		var i click.IngestID
		err := rows.Scan(&i.Gateway, &i.Boot, &i.Seq)
		s.PoisonLetters = append(s.PoisonLetters, i)
		return err
	})
	r.each("SELECT count(*) FROM units WHERE state < 2", func(rows pgx.Rows) error { return rows.Scan(&s.Unclosed) })
	return s, r.err
}

// reader runs queries until one fails.
type reader struct {
	ctx  context.Context
	conn *pgx.Conn
	err  error
}

func (r *reader) each(sql string, row func(pgx.Rows) error) {
	if r.err != nil {
		return
	}
	rows, err := r.conn.Query(r.ctx, sql)
	if err != nil {
		r.err = err
		return
	}
	defer rows.Close()
	for rows.Next() && r.err == nil {
		r.err = row(rows)
	}
	r.err = errors.Join(r.err, rows.Err())
}

// letter reads a dead letter, whose sender knows it by the id in its raw bytes.
func letter(rows pgx.Rows, keys *seal.Ring) (c StoredCopy, err error) {
	var tenant string
	var raw []byte
	var id click.ID
	var code string
	var receivedAt int64
	if err := rows.Scan((*[16]byte)(&id), &tenant, &raw, &c.Ingest.Gateway, &c.Ingest.Boot, &c.Ingest.Seq, &code, &receivedAt); err != nil {
		return c, err
	}
	plain, err := keys.Open(tenant, id, raw)
	if err != nil {
		return c, fmt.Errorf("dead letter %s: %w", id, err)
	}
	var item struct{ ID string }
	if err := json.Unmarshal(plain, &item); err != nil {
		return c, fmt.Errorf("dead letter %s holds no item of ours: %w", id, err)
	}
	c.ID, err = click.ParseID(item.ID)
	c.Ahead = ahead(code, c.ID, receivedAt)
	return c, err
}

// books returns the account of the gateways against the rows, and what it says of
// sequences whose fate is unknown, by gateway.
func (d *database) books(ctx context.Context) (verdict string, unknown map[string]int64, err error) {
	store, err := timescale.Open(ctx, d.dsn, timescale.Config{})
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	books, err := aggregate.Books(ctx, store, aggregate.LedgerQuery{})
	if err != nil {
		return "", nil, err
	}
	unknown = make(map[string]int64)
	for _, b := range books.Boots {
		unknown[b.Gateway] += b.Unknown
	}
	if books.Broken {
		verdict = report.Verdict(books)
	}
	return verdict, unknown, nil
}

// count returns the one number of a query.
func (d *database) count(ctx context.Context, sql string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, d.dsn)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = conn.QueryRow(ctx, sql).Scan(&n)
	return n, err
}

func micros(t int64) string {
	if t == 0 {
		return "never"
	}
	return time.UnixMicro(t).UTC().Format("15:04:05.000")
}
