package command

import (
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// poisoned fills the store and adds three records that become poison: one that the
// store refuses until mend is called, a broken one and one that tells nothing.
func (d *desk) poisoned() (mend func()) {
	d.t.Helper()
	path := filepath.Join(d.dir, config.SQLiteName)
	exec := func(statement string) {
		d.t.Helper()
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			d.t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.ExecContext(d.t.Context(), statement); err != nil {
			d.t.Fatal(err)
		}
	}
	exec("CREATE TRIGGER refused BEFORE INSERT ON clicks WHEN NEW.country = 'XX' BEGIN SELECT RAISE(ABORT, 'not from there'); END")
	refused := event(20, func(c *click.Click) { c.Country, c.Evidence = "XX", []byte("canary sealed") })
	broken := event(21, func(c *click.Click) { c.Currency = "X" })
	var records []*kgo.Record
	for _, row := range []aggregate.ClickRow{refused, broken} {
		value := click.AppendIngest(click.AppendClick(nil, row.Click), &row.Ingest)
		records = append(records, stream.NewRecord(stream.KindClick, "acme", stream.AppendKey(nil, "acme", row.EventID), value, 1))
	}
	records = append(records, &kgo.Record{Topic: stream.ClicksTopic, Value: []byte("canary garbage")})
	store, err := sqlite.Open(d.t.Context(), path, sqlite.Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	claim, err := store.Claim(d.t.Context(), part(stream.ClicksTopic), "test")
	if err != nil {
		d.t.Fatal(err)
	}
	for i, r := range records {
		r.Offset = claim.Next + int64(i)
	}
	res, err := aggregate.Apply(d.t.Context(), store, aggregate.DecodeBatch(part(stream.ClicksTopic), claim, records))
	if err != nil || res.Poison != 3 {
		d.t.Fatalf("%+v, %v; want 3 poison records", res, err)
	}
	return func() { exec("DROP TRIGGER refused") }
}

func TestDLQ(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.fill(8)
	mend := d.poisoned()

	table, _ := d.run(ExitOK, "dlq", "list")
	for _, want := range []string{
		"tenant source code field count replayed first last\n", "acme edge BAD_TIME event_time 1 0 ", "acme edge poison SQLITE ", "acme edge poison check 1 0 ", "\npoison decode 1 0 ",
	} {
		if !strings.Contains(words(table), want) {
			t.Errorf("list lacks %q:\n%s", want, words(table))
		}
	}
	var each []struct{ ID, Code, Field, Message, Event string }
	asJSON, _ := d.run(ExitOK, "dlq", "list", "--each", "--waiting", "--json")
	if err := json.Unmarshal([]byte(asJSON), &each); err != nil || len(each) != 3 {
		t.Fatalf("waiting: %v\n%s", err, asJSON)
	}
	name := make(map[string]string)
	for _, l := range each {
		name[strings.Fields(l.Field)[0]] = l.ID
	}
	d.must(ExitOK, "canary", "dlq", "show", ids.letter.String(), "--unmask", "--reason", "ticket 9")
	shown, _ := d.run(ExitOK, "dlq", "show", ids.letter.String())
	if strings.Contains(shown, "canary") || !strings.Contains(words(shown), "code BAD_TIME") {
		t.Errorf("masked: %s", shown)
	}
	shown, _ = d.run(ExitOK, "dlq", "show", name["SQLITE"], "--json")
	if strings.Contains(shown, "canary") || !strings.Contains(shown, `"seq": 20`) || !strings.Contains(shown, "not from there") {
		t.Errorf("masked: %s", shown)
	}
	d.must(ExitOK, "canary garbage", "dlq", "show", name["decode"], "--unmask", "--reason", "ticket 10")
	d.must(ExitUsage, "--unmask and --reason belong together", "dlq", "show", name["decode"], "--unmask")
	d.must(ExitNegative, "there is no such dead letter", "dlq", "show", "clicks.v1-0@99")
	d.must(ExitUsage, "names no poison record", "dlq", "show", "clicks.v1@99")
	d.must(ExitUsage, "names no dead letter", "dlq", "show", "clicks")
	d.audited(name["decode"])

	d.must(ExitUsage, "missing flags: --why", "dlq", "replay", "--all")
	d.must(ExitUsage, "name poison records, or say --all", "dlq", "replay", "--why", "x")
	d.must(ExitUsage, "its sender has to send it again", "dlq", "replay", ids.letter.String(), "--why", "x")
	d.must(ExitNegative, "3 of 3 records stay as they are", "dlq", "replay", "--all", "--why", "x")
	mend()
	before, _ := d.run(ExitOK, "report", "billing", "--format", "csv")
	out, _ := d.run(ExitNegative, "dlq", "replay", "--all", "--why", "constraint dropped")
	if !strings.Contains(words(out), name["SQLITE"]+" valid") || !strings.Contains(out, "check: price") {
		t.Errorf("replay:\n%s", out)
	}
	after, _ := d.run(ExitOK, "report", "billing", "--format", "csv")
	out, _ = d.run(ExitOK, "dlq", "replay", name["SQLITE"], "--why", "again", "--json")
	if !strings.Contains(out, `"became": "valid"`) || !strings.Contains(out, `"already": true`) {
		t.Errorf("replay again:\n%s", out)
	}
	if again, _ := d.run(ExitOK, "report", "billing", "--format", "csv"); before == after || again != after {
		t.Errorf("bills before, after and after a second replay:\n%s\n%s\n%s", before, after, again)
	}
	d.must(ExitOK, "became       valid", "dlq", "show", name["SQLITE"])
	d.must(ExitOK, "click 01000000", "trace", event(20, nil).EventID.String())
}

// audited demands that an unmasking stands in both audit logs.
func (d *desk) audited(target string) {
	d.t.Helper()
	file, err := os.ReadFile(filepath.Join(d.dir, auditName))
	if err != nil || !strings.Contains(string(file), target) {
		d.t.Errorf("the audit log does not name %s: %v\n%s", target, err, file)
	}
	store, err := sqlite.OpenReadOnly(d.t.Context(), filepath.Join(d.dir, config.SQLiteName), sqlite.Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	entries, err := store.ReadAudit(d.t.Context(), &aggregate.AuditQuery{Action: "dlq.unmask"})
	if err != nil || len(entries) != 2 || entries[0].Target != target || entries[0].Who != "os:ada" || entries[0].Detail != "ticket 10" {
		d.t.Errorf("audit rows %+v, %v", entries, err)
	}
}
