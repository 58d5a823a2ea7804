package upgrade_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/durable"
	"clickgate/gateway/stream"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// afterAll is when the answers are given: behind everything that makes a generation.
const afterAll = 10 * time.Minute

// generate makes a generation in dir, which must not exist.
func generate(t *testing.T, dir, version string) {
	t.Helper()
	g := &generation{dir: t.TempDir(), manifest: manifest{Version: version, MadeAt: time.Now().UTC().Truncate(time.Second).Add(afterAll), Partitions: partitions}}
	must(t, config.CreateMasterKeys(filepath.Join(g.dir, masterName), deterministic{}))
	g.write(t, controlName, controlFile())
	makeStandalone(t, g)
	makeCluster(t, g)
	makeSpool(t, g)
	g.Topics = consumed(t, g, topicRecords(t, g))
	b, err := json.MarshalIndent(&g.manifest, "", " ")
	must(t, err)
	g.write(t, manifestName, append(b, '\n'))
	must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	must(t, os.CopyFS(dir, os.DirFS(g.dir))) // refuses files that exist
}

// deterministic is entropy for a key that protects nothing.
type deterministic struct{}

func (deterministic) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(7*i + 1)
	}
	return len(b), nil
}

func (g *generation) write(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join(g.dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, content, 0o644))
}

// keep writes down what is in a store and what the program says of it.
func (g *generation) keep(t *testing.T, db *database, o *office, s *story, under string) books {
	t.Helper()
	answers, said := o.ask(t, s, under)
	for name, text := range said {
		g.write(t, name, []byte(text))
	}
	b := books{States: db.states(t), Tables: db.read(t), Answers: answers}
	columns := slices.DeleteFunc(slices.Clone(b.Tables["units"].Columns), func(c string) bool { return c == "last_seen" })
	var err error
	b.Tables["units/closing"], err = db.digest(t.Context(), "units", columns)
	must(t, err)
	return b
}

// makeStandalone tells the story to a standalone.
func makeStandalone(t *testing.T, g *generation) {
	t.Helper()
	dir := g.desk(t)
	p := startStandalone(t, dir)
	db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
	s := &story{edge: p.edge, office: &office{flags: []string{"--data", dir}}, stored: awaitEvents(t, db)}
	s.tell(t)
	p.stop()
	putIncident(t, &config.Store{SQLite: filepath.Join(dir, config.SQLiteName)})
	s.office.now = g.MadeAt
	g.Standalone = g.keep(t, db, s.office, s, "standalone")
	must(t, db.Close())
	must(t, removeIfThere(filepath.Join(dir, "unmask-audit.log")))
	g.write(t, standaloneName, pack(t, dir))
}

func removeIfThere(path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// putIncident leaves an attack that is over, and the page about it.
func putIncident(t *testing.T, cfg *config.Store) {
	t.Helper()
	store, err := app.OpenStore(t.Context(), cfg)
	must(t, err)
	now := time.Now()
	lease, err := store.LeaseAlerts(t.Context(), "upgrade", now.Add(time.Hour), time.Minute) // behind a lease that was left
	must(t, err)
	at := firstHour.Add(30 * time.Minute).UnixMicro()
	incident := aggregate.Incident{
		ID: strings.Repeat("5a", 16), TenantID: "acme", Title: "campaign spring: too many clicks", Severity: aggregate.SeverityError,
		OpenedAt: at, UpdatedAt: at + 600e6, ResolvedAt: at + 600e6, QuietSince: at + 120e6, ToldAt: at, Money: map[string]int64{"EUR": 5_900_000},
		Series: []aggregate.IncidentSeries{{
			Dimension: "campaign", Key: "spring", Kind: "volume", From: at, To: at + 60e6, Peak: 17.5, PeakAt: at, Observed: 60, Expected: 1, Events: 60, Excess: 59,
		}},
	}
	must(t, store.PutIncidents(t.Context(), lease.Fence, at, []aggregate.IncidentPut{{
		Incident: incident, Page: &aggregate.NewPage{Action: aggregate.PageTrigger, Payload: []byte(`{"summary":"too many clicks"}`)},
	}}))
	pages, err := store.PendingPages(t.Context())
	must(t, err)
	for _, p := range pages {
		must(t, store.AttemptPage(t.Context(), lease.Fence, p.Seq, now))
		must(t, store.SettlePages(t.Context(), lease.Fence, now, []aggregate.PageEnd{{Seq: p.Seq, Outcome: aggregate.PageSent}}))
	}
	must(t, store.RenewAlerts(t.Context(), lease.Fence, now.Add(-time.Second)))
	must(t, store.Close())
}

// makeCluster tells the story to a gateway on a broker, with an aggregator that
// writes PostgreSQL where there is one, and keeps the topics.
func makeCluster(t *testing.T, g *generation) {
	t.Helper()
	dir, dsn := g.desk(t), ""
	if server() != "" {
		dsn = createDatabase(t)
	}
	b := newBroker(t, partitions)
	flags := append(b.sets(), "--set", "keys.master_file="+filepath.Join(dir, masterName))
	(&office{flags: flags}).must(t, "control", "apply", filepath.Join(dir, controlName), "--why", "the first entries")
	c := newCluster(t, b, dir, dsn)
	c.cfg.Control.Topic = true
	c.startGateway()
	c.startAggregator()
	db, o := c.look(t, dir, dsn)
	s := &story{edge: "http://" + c.gateway.Server.Addr().String(), office: o, stored: awaitEvents(t, db)}
	s.tell(t)
	must(t, b.client.ProduceSync(t.Context(), poison()).FirstErr())
	c.stopGateway()
	c.stopAggregator()
	if dsn != "" {
		putIncident(t, &c.cfg.Store)
		o.now = g.MadeAt
		g.Postgres = g.keep(t, db, o, s, "postgres")
		dump(t, g, dsn)
	}
	keepTopics(t, g, b)
}

// look returns the store of a cluster, seen from outside.
func (c *cluster) look(t *testing.T, dir, dsn string) (*database, *office) {
	t.Helper()
	o := &office{flags: []string{"--data", dir}}
	if dsn == "" {
		return openSQLite(t, filepath.Join(dir, config.SQLiteName)), o
	}
	o.flags = append(o.flags, "--set", "store.dsn="+dsn)
	return openPostgres(t, dsn), o
}

// poison is a record that no version can read.
func poison() *kgo.Record {
	r := stream.NewMark(stream.ClicksTopic, 0, []byte("no click"))
	r.Headers[0].Value = []byte{byte(stream.KindClick)}
	return r
}

// makeSpool leaves clicks in the spool of a gateway whose broker went away.
func makeSpool(t *testing.T, g *generation) {
	t.Helper()
	dir := g.desk(t)
	b := newBroker(t, partitions)
	c := newCluster(t, b, dir, "")
	c.startGateway()
	b.Cluster.Close()
	s := &story{edge: "http://" + c.gateway.Server.Addr().String(), office: &office{flags: []string{"--data", dir}}}
	s.hour(t, firstHour)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, c.gateway.Server.Stop(ctx))
	passing, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if err := c.gateway.Log.Stop(passing); !errors.Is(err, durable.ErrUnsent) {
		t.Fatalf("nothing was left in the spool: %v", err)
	}
	must(t, c.gateway.Close(ctx))
	g.write(t, spoolName, pack(t, c.cfg.Spool.Dir))
	g.Spool = replayed(t, g, c.cfg.Spool.Dir)
}

// A server of PostgreSQL, empty for none.
func server() string { return os.Getenv("CLICKGATE_TEST_POSTGRES") }

// pgDump is the newest of the system's, empty for none.
func pgDump() string {
	if path, err := exec.LookPath("pg_dump"); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	slices.Sort(found)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// createDatabase makes an empty database that goes with the test.
func createDatabase(t *testing.T) (dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server())
	must(t, err)
	name := "upgrade_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	must(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		if err := errors.Join(err, conn.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server())
	must(t, err)
	u.Path = "/" + name
	return u.String()
}

// dump keeps a database as plain SQL that every server from 15 on takes.
func dump(t *testing.T, g *generation, dsn string) {
	t.Helper()
	if pgDump() == "" {
		t.Log("there is no pg_dump; this generation has no dump")
		return
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), pgDump(), "--inserts", "--no-owner", "--no-privileges", dsn)
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, errs.String())
	}
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte(`\`)) && !bytes.HasPrefix(line, []byte("SET transaction_timeout")) {
			kept = append(kept, line...)
		}
	}
	g.write(t, dumpName, gzipped(t, kept))
}
