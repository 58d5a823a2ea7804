package oracle

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/demomodel"
	"clickgate/scoring/givt"
	"clickgate/scoring/iforest"
	"clickgate/timescale"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// scored is a request after the gateway, with the vector that it made.
type scored struct {
	sent
	number int // of the event, from 1: sent again it has another one
	round  int // of closing, in which it is worked off when it is late
}

// passed is one pass of closing.
type passed struct {
	tenant, source string
	hour           int64
	late           bool
	round          int
	vectors        map[click.ID]click.Vector
}

// outcome is all that the product made of the traffic.
type outcome struct {
	requests []*scored
	first    map[string]*scored // by event
	passes   []*passed
	model    *iforest.Model
	read     func(t *testing.T, f func(storedRow)) // the rows of the store
}

// storedRow is a row of table clicks by its raw columns, and the vector.
type storedRow struct {
	tenant, source, event                             string
	eventTime                                         int64
	ip, agent, prefix, publisher, campaign, placement string
	click                                             string
	flags                                             int64
	late                                              bool
	vector                                            []byte
}

// recorder is the judge of the product, and keeps what it says. It answers for the feed of
// displays, so that what is asked of it is the traffic's.
type recorder struct {
	*scoring.Judge
	round  int
	shown  map[click.ID]int64 // by event
	passes []*passed
}

func (r *recorder) Begin(tenant, source string, hour int64) (from int64, look func(*click.Click), judge func(*click.Click) click.Verdict, err error) {
	from, see, inner, err := r.Judge.Begin(tenant, source, hour)
	p := &passed{tenant: tenant, source: source, round: r.round, vectors: map[click.ID]click.Vector{}}
	r.passes = append(r.passes, p)
	feed := func(c *click.Click) {
		if c.EventTime/hourMicros == hour/hourMicros {
			c.ShownAt = r.shown[c.EventID]
		}
	}
	return from, func(c *click.Click) { feed(c); see(c) }, func(c *click.Click) click.Verdict {
		feed(c)
		v := inner(c)
		p.hour = max(p.hour, c.EventTime/hourMicros)
		p.vectors[c.EventID] = v.Vector
		return v
	}, err
}

const (
	hourMicros = 3_600_000_000
	batchSize  = 500
)

// product is a gateway's scorer, a store and a closer.
type product struct {
	t         *testing.T
	store     aggregate.Store
	scorer    *scoring.Scorer
	judge     *recorder
	closer    *aggregate.Closer
	claim     aggregate.Claim
	partition aggregate.Partition
	batch     []aggregate.ClickRow
	offset    int64
	now       int64
	out       outcome
}

func newProduct(t *testing.T, store aggregate.Store) *product {
	t.Helper()
	p := &product{t: t, store: store, partition: aggregate.Partition{ClusterID: "oracle", TopicID: [16]byte{1}, Topic: "clicks.v1"}}
	lists, err := givt.Embedded()
	check(t, err)
	cfg := scoring.DefaultConfig()
	cfg.MaxKeys = 1 << 16 // nobody is forgotten
	p.scorer, err = scoring.New(cfg, lists, 1, nil)
	check(t, err)
	p.out.model, err = demomodel.Open()
	check(t, err)
	check(t, p.scorer.SwapModel(p.out.model))
	judge, err := scoring.NewJudge(cfg, p.out.model, nil)
	check(t, err)
	p.judge = &recorder{Judge: judge, shown: map[click.ID]int64{}}
	p.closer, err = aggregate.NewCloser(aggregate.DefaultConfig().Close, aggregate.CloserDependencies{
		Store: store, Judge: p.judge, Owner: "oracle", Version: "oracle", Logger: slog.New(slog.DiscardHandler),
		Terms: func(string, string) aggregate.SourceTerms { return aggregate.SourceTerms{Grace: graceMicros} },
		Now:   func() time.Time { return time.UnixMicro(p.now) },
	})
	check(t, err)
	p.claim, err = store.Claim(t.Context(), p.partition, "oracle")
	check(t, err)
	return p
}

const graceMicros = 15 * 60_000_000

// run sends the traffic through: scored as it comes, stored in batches, closed when an
// hour's grace is over, and all of it at the end.
func (p *product) run(all []sent, start int64) {
	next := start + hourMicros + graceMicros
	p.out.first = map[string]*scored{}
	for i := range all {
		s := &scored{sent: all[i], number: i + 1, round: p.judge.round + 1}
		for ; s.at >= next; next += hourMicros {
			p.now = next
			p.flush()
			p.close(next - graceMicros)
			s.round = p.judge.round + 1
		}
		s.event.ReceivedAt = s.at
		s.event.Ingest = click.IngestID{Gateway: "oracle/1", Boot: 1, Seq: uint64(s.number)}
		p.judge.shown[s.event.EventID] = s.shown
		p.scorer.Score(&s.event, &s.sig)
		p.out.requests = append(p.out.requests, s)
		if event := hexOf(s.event.EventID[:]); p.out.first[event] == nil {
			p.out.first[event] = s
		}
		p.add(s)
	}
	p.now = next + 2*hourMicros
	p.flush()
	p.close(0)
	p.out.passes = p.judge.passes
	seen := map[string]bool{}
	for _, x := range p.out.passes {
		unit := fmt.Sprint(x.tenant, x.source, x.hour)
		x.late, seen[unit] = seen[unit], true
	}
}

func (p *product) add(s *scored) {
	c := s.event
	row := aggregate.ClickRow{Click: &c, Offset: p.offset + int64(len(p.batch))}
	if c.ClickID.IsZero() {
		row.RepeatKey = aggregate.RepeatKey(&c)
	}
	if p.batch = append(p.batch, row); len(p.batch) == batchSize {
		p.flush()
	}
}

func (p *product) flush() {
	p.t.Helper()
	if len(p.batch) == 0 {
		return
	}
	next := p.offset + int64(len(p.batch))
	_, err := aggregate.Apply(p.t.Context(), p.store, &aggregate.Batch{
		Partition: p.partition, Fence: p.claim.Fence, First: p.offset, Next: next, Clicks: p.batch,
	})
	check(p.t, err)
	p.offset, p.batch = next, nil
}

func (p *product) close(before int64) {
	p.t.Helper()
	p.judge.round++
	_, err := p.closer.CloseNow(p.t.Context(), "", "", before, "oracle", "its grace is over")
	check(p.t, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inSQLite runs the traffic through a store in a file.
func inSQLite(t *testing.T) *outcome {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clickgate.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	check(t, err)
	t.Cleanup(func() { check(t, store.Close()) })
	check(t, store.Migrate(t.Context()))
	p := newProduct(t, store)
	p.run(traffic(t))
	p.out.read = func(t *testing.T, f func(storedRow)) {
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro")
		check(t, err)
		defer db.Close()
		readRows(t, db, "lower(hex(c.event_id))", "c.event_time", "lower(hex(c.ip_key))", "lower(hex(c.agent_key))", "coalesce(lower(hex(c.click_id)), '')", f)
	}
	return &p.out
}

// inPostgres runs the traffic through a database server.
func inPostgres(t *testing.T) *outcome {
	t.Helper()
	dsn := os.Getenv("CLICKGATE_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("CLICKGATE_TEST_POSTGRES is not set; `make test` starts a server")
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	check(t, err)
	schema := fmt.Sprintf("oracle_%d", time.Now().UnixNano())
	_, err = conn.Exec(t.Context(), "CREATE SCHEMA "+schema)
	check(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		check(t, err)
		check(t, conn.Close(context.Background()))
	})
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	dsn += separator + "search_path=" + schema
	all, start := traffic(t)
	store, err := timescale.Open(t.Context(), dsn, timescale.Config{MaxConns: 3, NoExtension: true, Now: func() time.Time { return time.UnixMicro(start) }})
	check(t, err)
	t.Cleanup(func() { _ = store.Close() })
	check(t, store.Migrate(t.Context()))
	p := newProduct(t, store)
	p.run(all, start)
	p.out.read = func(t *testing.T, f func(storedRow)) {
		db, err := sql.Open("pgx", dsn)
		check(t, err)
		defer db.Close()
		readRows(t, db, "encode(uuid_send(c.event_id), 'hex')", "(extract(epoch FROM c.event_time) * 1000000)::bigint",
			"encode(c.ip_key, 'hex')", "encode(c.agent_key, 'hex')", "coalesce(encode(uuid_send(c.click_id), 'hex'), '')", f)
	}
	return &p.out
}

func readRows(t *testing.T, db *sql.DB, event, at, ip, agent, id string, f func(storedRow)) {
	t.Helper()
	rows, err := db.Query(fmt.Sprintf(`SELECT c.tenant_id, c.source_id, %s, %s, %s, %s, c.ip_prefix, c.publisher_id, c.campaign_id, c.placement_id, %s, c.flags,
		EXISTS (SELECT 1 FROM late_clicks l WHERE l.tenant_id = c.tenant_id AND l.event_id = c.event_id AND l.id_time = c.id_time), c.vector FROM clicks c`,
		event, at, ip, agent, id))
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var r storedRow
		check(t, rows.Scan(&r.tenant, &r.source, &r.event, &r.eventTime, &r.ip, &r.agent, &r.prefix, &r.publisher, &r.campaign, &r.placement, &r.click, &r.flags, &r.late, &r.vector))
		f(r)
	}
	check(t, rows.Err())
}
