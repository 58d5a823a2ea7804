package upgrade_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/command"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/spool"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// newerSQL is what the migration of a version to come leaves.
const newerSQL = `INSERT INTO schema_versions (version_id, is_applied) VALUES (4711, true)`

// TestNewerStore gives commands and processes a store that a newer program migrated.
func TestNewerStore(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := first(t).unpack(t, standaloneName)
		path := filepath.Join(dir, config.SQLiteName)
		db := openSQLite(t, path)
		_, err := db.ExecContext(t.Context(), newerSQL)
		must(t, errors.Join(err, db.Close()))
		before := contents(t, dir)
		refuseStore(t, []string{"--data", dir}, path, "standalone", "report billing", "migrate", "hours list", "user list", "trace 01a139a3-d280-7000-8000-000000000001")
		for name, sum := range contents(t, dir) {
			if old, there := before[name]; there && old != sum {
				t.Errorf("%s was changed", name)
			}
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if server() == "" {
			t.Skip("CLICKGATE_TEST_POSTGRES is not set; `make test` starts a server")
		}
		g, dsn := first(t), createDatabase(t)
		restore(t, g, dsn)
		db := openPostgres(t, dsn)
		_, err := db.ExecContext(t.Context(), newerSQL)
		must(t, err)
		refuseStore(t, []string{"--data", g.desk(t), "--set", "store.dsn=" + dsn}, "store.dsn (database upgrade_", "standalone", "report billing", "migrate")
		report(t, "after it", db.differences(t.Context(), g.Postgres.Tables))
		c := newCluster(t, newBroker(t, g.Partitions), g.desk(t), dsn)
		var refused *aggregate.SchemaError
		if _, err := app.NewAggregator(t.Context(), &c.cfg, options()); !errors.As(err, &refused) {
			t.Errorf("an aggregator starts: %v", err)
		}
	})
}

// refuseStore demands of each command that it names the store, both versions and what
// to do.
func refuseStore(t *testing.T, flags []string, name string, commands ...string) {
	t.Helper()
	for _, c := range commands {
		args := strings.Fields(c)
		if c == "standalone" {
			args = append(args, "--set", "gateway.listen=127.0.0.1:0", "--set", "gateway.admin_listen=127.0.0.1:0", "--set", "console.listen=127.0.0.1:0",
				"--set", "gateway.batch.listen=127.0.0.1:0")
		}
		stdout, stderr, status := (&office{flags: flags}).run(t, "", args...)
		for _, text := range []string{name, "schema version 4711, this program knows ", "run that version, or restore the backup", "Nothing was changed"} {
			if !strings.Contains(stderr, text) {
				t.Errorf("%s: says %q, want %q in it", c, stderr, text)
			}
		}
		if status != command.ExitFailure || stdout != "" {
			t.Errorf("%s: status %d, %q", c, status, stdout)
		}
	}
}

// TestOlderStore asks for a report of a store that was not migrated.
func TestOlderStore(t *testing.T) {
	t.Parallel()
	dir := first(t).unpack(t, standaloneName)
	db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
	_, err := db.ExecContext(t.Context(), `DELETE FROM schema_versions WHERE version_id = (SELECT max(version_id) FROM schema_versions)`)
	must(t, err)
	_, stderr, status := (&office{flags: []string{"--data", dir}}).run(t, "", "report", "billing")
	if status != command.ExitFailure || !strings.Contains(stderr, "run `clickgate migrate`") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// contents are the checksums of a folder's files.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(b)
		return err
	}))
	if len(sums) < 2 {
		t.Fatalf("%s holds %d files", dir, len(sums))
	}
	return sums
}

// TestNewerSpool starts a gateway on a spool of a format to come. Where the version
// stands in a segment's header, and its checksum, are the same in all of them.
func TestNewerSpool(t *testing.T) {
	t.Parallel()
	g := first(t)
	dir := g.unpack(t, spoolName)
	path := onlySegment(t, dir)
	b, err := os.ReadFile(path)
	must(t, err)
	for _, at := range []int{0, spool.HeaderSize / 2} {
		binary.LittleEndian.PutUint32(b[at+8:], 4711)
		binary.LittleEndian.PutUint32(b[at+12:], crc32.Checksum(b[at:at+12], crc32.MakeTable(crc32.Castagnoli)))
	}
	must(t, os.WriteFile(path, b, 0o600))
	before := contents(t, dir)
	c := newCluster(t, newBroker(t, g.Partitions), g.desk(t), "")
	c.cfg.Spool.Dir = dir
	_, err = app.NewGateway(t.Context(), &c.cfg, options())
	if err == nil || !errors.Is(err, spool.ErrVersion) {
		t.Fatalf("the gateway starts: %v", err)
	}
	for _, text := range []string{path, "4711, this program knows 1", "run the version of clickgate that wrote it until it is drained"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("says %q, want %q in it", err, text)
		}
	}
	after := contents(t, dir)
	for name, sum := range before {
		if after[name] != sum {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestNewerRecords lets an aggregator meet records of a kind to come: it goes on, says
// so, and keeps them byte for byte for `dlq replay` after its upgrade.
func TestNewerRecords(t *testing.T) {
	t.Parallel()
	g := first(t)
	records := topicRecords(t, g)
	strange := &kgo.Record{
		Topic: stream.ClicksTopic, Partition: 0, Offset: 0, Key: []byte("acme\x00key"), Value: []byte("\x0a\x04acme of a time to come"),
		Headers: []kgo.RecordHeader{{Key: stream.HeaderKind, Value: []byte("z")}, {Key: stream.HeaderTenant, Value: []byte("acme")}},
	}
	for _, r := range records {
		if r.Topic == stream.ClicksTopic && r.Partition == 0 {
			strange.Offset = max(strange.Offset, r.Offset+1)
		}
	}
	dir := g.desk(t)
	consume(t, g, append(records, strange), dir, "")
	db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
	want := g.Topics
	delete(want.Tables, "poison_records")
	report(t, "beside it", append(db.differences(t.Context(), want.Tables), otherStates(want.States, db.states(t))...))
	var kind, value []byte
	var reason string
	must(t, db.QueryRowContext(t.Context(), `SELECT kind, value, reason FROM poison_records WHERE rec_offset = ? AND partition = 0`, strange.Offset).
		Scan(&kind, &value, &reason))
	if string(kind) != "z" || string(value) != string(strange.Value) {
		t.Errorf("kind %q and value %q were kept", kind, value)
	}
	for _, text := range []string{`found "z"`, "known are c, d, i, m, v (", "topic clicks.v1", "upgrade the aggregator", "dlq replay"} {
		if !strings.Contains(reason, text) {
			t.Errorf("the reason is %q, want %q in it", reason, text)
		}
	}
}
