package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
)

func TestReportBilling(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(ExitFailure, "start `clickgate standalone` first, or name the data folder with --data", "report", "billing")
	d.fill(8)
	table, _ := d.run(ExitOK, "report", "billing")
	const want = `tenant advertiser campaign hour status currency received test givt sivt undecidable suspect duplicate redelivered malformed unscored valid cost_micros cost
acme 2026-11-10T11:00:00Z provisional 1 0 0 0 0 0 0 0 1 0 0 0
acme adv shoes 2026-11-10T11:00:00Z provisional 1 0 0 0 0 0 0 0 0 0 1 0
acme adv shoes 2026-11-10T11:00:00Z provisional EUR 5 0 1 0 0 1 1 1 0 0 1 1428571 1.43
acme adv shoes 2026-11-10T11:00:00Z provisional JPY 1 0 0 0 0 0 0 0 0 0 1 12000000 12
total 2 0 0 0 0 0 0 0 1 0 1 0
total EUR 5 0 1 0 0 1 1 1 0 0 1 1428571 1.43
total JPY 1 0 0 0 0 0 0 0 0 0 1 12000000 12`
	if words(table) != want {
		t.Errorf("table:\n%s", table)
	}
	asCSV, _ := d.run(ExitOK, "report", "billing", "--format", "csv", "--advertiser", "adv")
	lines, err := csv.NewReader(strings.NewReader(asCSV)).ReadAll()
	if err != nil || len(lines) != 4 || lines[2][5] != "EUR" || lines[2][17] != "1428571" || lines[2][18] != "1.43" {
		t.Errorf("CSV: %v\n%s", err, asCSV)
	}
	asJSON, _ := d.run(ExitOK, "report", "billing", "--json", "--from", "-2h", "--to", "2026-11-11")
	var out struct {
		Rows   []struct{ Received int64 }
		Totals []struct {
			Currency   string
			CostMicros int64 `json:"cost_micros"`
		}
	}
	if err := json.Unmarshal([]byte(asJSON), &out); err != nil || len(out.Rows) != 4 || out.Totals[2].Currency != "JPY" || out.Totals[2].CostMicros != 12_000_000 {
		t.Errorf("JSON: %v\n%s", err, asJSON)
	}
	for _, args := range [][]string{{"--from", "2026-11-10T12:00:00Z"}, {"--to", "2026-11-10"}, {"--tenant", "Zoo"}, {"--campaign", "none"}} {
		if got, _ := d.run(ExitOK, append([]string{"report", "billing", "--format", "csv"}, args...)...); strings.Count(got, "\n") != 1 {
			t.Errorf("%v: %s", args, got)
		}
	}
	d.must(ExitUsage, `--from "yesterday": is no time`, "report", "billing", "--from", "yesterday")
	d.must(ExitUsage, "is not after --from", "report", "billing", "--from", "-1h", "--to", "-2h")
	d.must(ExitUsage, "--format must be one of", "report", "billing", "--format", "xml")
}

func TestReportReconcile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(8)
	stdout, _ := d.run(ExitOK, "report", "reconcile")
	for _, want := range []string{
		"\nacme edge 2026-11-10T11:00:00Z 8 0 1 0 0 1 1 1 1 0 3 0 1 0 0\n",
		"\ngateway boot final through void stored missing tail unknown\neu/gw-1 2026-11-06T21:20:00.000000Z yes 8 0 8 0 0 0\n",
	} {
		if !strings.Contains(words(stdout)+"\n", want) {
			t.Errorf("lacks %s:\n%s", want, words(stdout))
		}
	}
	if !strings.HasSuffix(stdout, "\nbalanced\n") {
		t.Errorf("got %s", stdout)
	}

	lost := newDesk(t) // the gateway vouches for one event more than there are rows
	lost.fill(9)
	stdout, stderr := lost.run(ExitNegative, "report", "reconcile")
	if !strings.HasSuffix(stdout, "\nBROKEN: gateway eu/gw-1 boot 2026-11-06T21:20:00.000000Z misses +1\n") || stderr != "" {
		t.Errorf("got %s%s", stdout, stderr)
	}
	stdout, _ = lost.run(ExitNegative, "report", "reconcile", "--json")
	var out struct {
		Balanced bool
		Boots    []struct{ Missing int64 }
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || out.Balanced || out.Boots[0].Missing != 1 {
		t.Errorf("JSON: %v\n%s", err, stdout)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.fill(8)
	masked, _ := d.run(ExitOK, "trace", ids.valid.String())
	for _, want := range []string{"click " + ids.valid.String(), "topic clicks.v1", "offset 1", "sequence 1", "state valid", "redelivery ", "sequence 7", "1.43 EUR (1428571 micros), cpc"} {
		if !strings.Contains(words(masked), want) {
			t.Errorf("trace lacks %q:\n%s", want, masked)
		}
	}
	asJSON, _ := d.run(ExitOK, "trace", ids.valid.String(), "--json", "--tenant", "acme")
	letter, _ := d.run(ExitOK, "trace", ids.letter.String())
	if !strings.Contains(words(letter), "code BAD_TIME") {
		t.Errorf("letter:\n%s", letter)
	}
	for _, text := range []string{masked, asJSON, letter} {
		for _, personal := range []string{"203.0.113.77", "canary"} {
			if strings.Contains(text, personal) {
				t.Errorf("personal data without --unmask:\n%s", text)
			}
		}
	}
	audit := filepath.Join(d.dir, auditName)
	if _, err := os.Stat(audit); err == nil {
		t.Error("an audit line without unmasking")
	}
	d.must(ExitUsage, "--unmask and --reason belong together", "trace", ids.valid.String(), "--unmask")
	d.must(ExitUsage, "--unmask and --reason belong together", "trace", ids.valid.String(), "--unmask", "--reason", " ")
	d.must(ExitNegative, "no event or dead letter has this id", "trace", click.ID{5}.String())
	d.must(ExitNegative, "no event or dead letter has this id", "trace", ids.valid.String(), "--tenant", "Zoo")
	d.must(ExitUsage, "id is neither", "trace", "zzz")

	d.must(ExitOK, secretAgent, "trace", ids.valid.String(), "--unmask", "--reason", "ticket 7\nforged line")
	d.must(ExitOK, "canary raw", "trace", ids.letter.String(), "--unmask", "--reason", "ticket 8")
	info, err := os.Stat(audit)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("audit log: %v, %v", info, err)
	}
	b, _ := os.ReadFile(audit)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 || lines[0] != `{"at":"2026-11-10T12:30:00Z","user":"ada","id":"`+ids.valid.String()+`","tenants":["acme"],"reason":"ticket 7\nforged line"}` {
		t.Errorf("audit log:\n%s", b)
	}
	if err := os.Remove(audit); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(audit, 0o700); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := d.run(ExitFailure, "trace", ids.valid.String(), "--unmask", "--reason", "x")
	if stdout != "" || !strings.Contains(stderr, "nothing was unmasked") {
		t.Errorf("without an audit log: %s%s", stdout, stderr)
	}
}

func TestKeysInit(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(ExitOK, "created ", "keys", "init")
	before, _ := os.ReadFile(filepath.Join(d.dir, config.MasterName))
	d.must(ExitNegative, "exists; keep it", "keys", "init")
	after, _ := os.ReadFile(filepath.Join(d.dir, config.MasterName))
	if len(before) < 44 || !bytes.Equal(before, after) {
		t.Error("the master key file changed")
	}
	d.must(ExitOK, "other.key", "keys", "init", "--set", "keys.master_file="+filepath.Join(d.dir, "new", "other.key"))
}

func TestToken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mint := func(args ...string) (text string, f tokenFields) {
		t.Helper()
		text, _ = d.run(ExitOK, append([]string{"token", "mint"}, args...)...)
		if strings.Count(text, "\n") != 1 {
			t.Errorf("mint printed %q", text)
		}
		text = strings.TrimSpace(text)
		opened, _ := d.run(ExitOK, "token", "open", "--json", text)
		if err := json.Unmarshal([]byte(opened), &f); err != nil {
			t.Fatal(err)
		}
		return text, f
	}
	text, f := mint()
	want := tokenFields{
		State: "live", Tenant: "acme", ClickID: f.ClickID, IssuedAt: "2026-11-10T12:30:00Z", ExpiresAt: "2026-11-11T12:30:00Z",
		Advertiser: "adv", Campaign: "shoes", LandingURL: "https://shop.example/", Pricing: "none",
	}
	if f != want || len(f.ClickID) != 36 {
		t.Errorf("mint without flags: %+v", f)
	}
	if _, again := mint(); again.ClickID == f.ClickID {
		t.Error("two tokens of one click id")
	}
	_, f = mint("--tenant", "acme", "--campaign", "a-free", "--advertiser", "x", "--publisher", "p", "--placement", "top slot", "--ad-group", "g", "--creative", "c",
		"--landing", "https://shop.example/a?b=c", "--price", "0.25", "--currency", "USD", "--pricing", "cpm", "--ttl", "1h", "--test", "--click-id", "01ARZ3NDEKTSV4RRFFQ69G5FAV")
	want = tokenFields{
		State: "live", Tenant: "acme", ClickID: "01563e3a-b5d3-d676-4c61-efb99302bd5b", IssuedAt: "2026-11-10T12:30:00Z", ExpiresAt: "2026-11-10T13:30:00Z",
		Advertiser: "x", Campaign: "a-free", AdGroup: "g", Creative: "c", Publisher: "p", Placement: "top slot", LandingURL: "https://shop.example/a?b=c",
		PriceMicros: 250_000, Currency: "USD", Pricing: "cpm", Test: true,
	}
	if f != want {
		t.Errorf("mint with all flags: %+v", f)
	}
	if _, f = mint("--price-micros", "7"); f.PriceMicros != 7 || f.Currency != "EUR" || f.Pricing != "cpc" {
		t.Errorf("price in the rate card's currency: %+v", f)
	}
	d.must(ExitOK, "by rate card", "token", "open", text)
	d.must(ExitNegative, "token does not open under the key it names", "token", "open", text[:len(text)-2]+"AA")
	d.must(ExitNegative, "token is not base64url", "token", "open", "nonsense")
	for flags, want := range map[string]string{
		"--tenant nobody":               "--tenant nobody: is not in the control file",
		"--tenant Zoo":                  "tenant Zoo has no campaign with a price",
		"--tenant acme --campaign none": "tenant acme has no campaign none",
		"--price 0.0000001":             `--price "0.0000001": is no price`,
		"--price 1 --price-micros 1":    "can't be used together",
		"--price-micros -1":             "is negative",
		"--price 1 --currency EURO":     "name it with --currency",
		"--campaign a-free --price 1":   "name it with --currency",
		"--currency EUR":                "means nothing without a price",
		"--ttl 0s":                      "--ttl 0s: is not positive",
		"--click-id 7":                  "--click-id: id is neither",
		"--publisher a/b\x01":           "token mint: ",
	} {
		d.must(ExitUsage, want, append([]string{"token", "mint"}, strings.Fields(flags)...)...)
	}
	d.must(ExitFailure, "no tenant in the control file has a live token key and such a campaign", "token", "mint", "--campaign", "none")
	d.must(ExitFailure, "control.file: open absent.yaml: no such file or directory", "token", "mint", "--set", "control.file=absent.yaml")
}

func TestExpiredToken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	text, _ := d.run(ExitOK, "token", "mint", "--ttl", "1us")
	var out bytes.Buffer
	status := Run(context.Background(), []string{"token", "open", "--data", d.dir, strings.TrimSpace(text)},
		Env{Stdout: &out, Stderr: &out, Now: func() time.Time { return now.Add(time.Second) }})
	if status != ExitOK || !strings.Contains(out.String(), "state") || !strings.Contains(out.String(), "expired") {
		t.Errorf("status %d: %s", status, out.String())
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := d.write("clickgate.yaml", "kafka:\n  brokers: [\"a:9092\"]\n  partitions: 0\nstore:\n  dsn: postgres://u:Canary7wq@h/db\n")
	_, stderr := d.run(ExitNegative, "config", "check", "--config", file)
	if stderr != "clickgate: kafka.partitions: 0 is out of range; use 1 to 1024 (clickgate.yaml:3)\n>  3 |   partitions: 0\n         ^\n" {
		t.Errorf("got %s", stderr)
	}
	d.must(ExitOK, "configuration for aggregate is valid", "config", "check", "--for", "aggregate", "--config", file, "--set", "kafka.partitions=3")
	d.must(ExitUsage, "--for must be one of", "config", "check", "--for", "laptop")
	d.env = []string{"CLICKGATE_CONFIG=" + file, "CLICKGATE_KAFKA_PARTITIONS=5"}
	dump, _ := d.run(ExitOK, "config", "dump")
	for _, want := range []string{"  partitions: 5 # environment variable CLICKGATE_KAFKA_PARTITIONS\n", "  dsn: \"postgres://u:REDACTED@h/db\" # clickgate.yaml:5\n", "  sqlite: \"\"\n"} {
		if !strings.Contains(dump, want) {
			t.Errorf("dump lacks %q:\n%s", want, dump)
		}
	}
	d.must(ExitOK, "brokers: [\"b:1\", \"c:2\"] # flag --set kafka.brokers", "config", "dump", "--set", "kafka.brokers=b:1,c:2")
	if strings.Contains(dump, "Canary7wq") {
		t.Error("dump shows the password")
	}
	d.env = []string{"CLICKGATE_KAFKA_BROKER=a"}
	d.must(ExitUsage, "did you mean CLICKGATE_KAFKA_BROKERS?", "report", "billing")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(ExitOK, "clickgate v1.2.3 (go1", "version")
	d.must(ExitOK, `"version": "v1.2.3"`, "version", "--json")
	d.must(ExitOK, "Exit status: 0 ok, 1 negative answer", "--help")
	d.must(ExitOK, "-24h", "report", "billing", "--help")
	d.must(ExitUsage, "unexpected argument rport", "rport")
	d.must(ExitUsage, "unknown flag --bogus", "version", "--bogus")
	if _, stderr := d.run(ExitUsage, "postgres://u:Canary7wq@h/db"); strings.Contains(stderr, "Canary") {
		t.Errorf("a password from the command line is shown: %s", stderr)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(ExitOK, "the store has the schema of this version", "migrate")
	d.must(ExitOK, "the store has the schema of this version", "migrate")
	table, _ := d.run(ExitOK, "report", "billing")
	if strings.Count(table, "\n") != 1 {
		t.Errorf("a new store's report: %s", table)
	}
}

// TestClusterPathsAreChosen: without a data folder on the command line, no part
// of a cluster falls back to one.
func TestClusterPathsAreChosen(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{"gateway": "spool.dir", "aggregate": "store.dsn", "migrate": "store.dsn"} {
		var errs bytes.Buffer
		status := Run(context.Background(), []string{command, "--set", "kafka.brokers=127.0.0.1:1"}, Env{Stdout: &errs, Stderr: &errs, Now: time.Now, Entropy: rand.Reader})
		if status != ExitUsage || !strings.HasPrefix(errs.String(), "clickgate: "+want+": ") {
			t.Errorf("%s: status %d: %s", command, status, errs.String())
		}
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2026-11-10T13:00:00+01:00": now.Add(-30 * time.Minute),
		"2026-11-10":                time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC),
		"-24h":                      now.Add(-24 * time.Hour),
		"-7d":                       now.AddDate(0, 0, -7),
	} {
		if got, err := parseTime("--from", text, now); err != nil || got != want.UnixMicro() {
			t.Errorf("%s: %v, %v", text, time.UnixMicro(got).UTC(), err)
		}
	}
	for _, text := range []string{"24h", "--24h", "-x", "-d", "-70000d", "2026-02-30", "2026-11-10T12:00:00", "1960-01-01", "-999999h"} {
		if _, err := parseTime("--from", text, now); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"-24h", "-7d", "2026-11-10", "2026-11-10T12:00:00Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if micros, err := parseTime("--from", text, now); err == nil && text != "" && micros <= 0 {
			t.Errorf("%q is %d", text, micros)
		}
	})
}
