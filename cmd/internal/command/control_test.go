package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/control"
	"clickgate/scoring"

	"github.com/twmb/franz-go/pkg/kfake"
)

// office is a cluster's control topic and the operators' machine.
type office struct {
	*desk
	set []string
	now time.Time
}

func newOffice(t *testing.T) *office {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	d := newDesk(t)
	d.run(ExitOK, "keys", "init")
	o := &office{desk: d, now: time.Now()}
	for _, set := range []string{
		"kafka.brokers=" + broker.ListenAddrs()[0], "kafka.durability=single-node", "kafka.create_topics=true",
		"control.topic=true", "keys.master_file=" + filepath.Join(d.dir, "master.key"),
	} {
		o.set = append(o.set, "--set", set)
	}
	return o
}

// run runs a command without a data folder, so on the topic.
func (o *office) run(status int, args ...string) (stdout, stderr string) {
	o.t.Helper()
	var out, errs bytes.Buffer
	got := Run(context.Background(), append(args, o.set...), Env{
		Stdout: &out, Stderr: &errs, Environ: o.env, Now: func() time.Time { return o.now }, Entropy: rand.Reader, User: "ada", Version: "v1.2.3",
	})
	if got != status {
		o.t.Fatalf("%v: status %d, want %d\nstdout: %s\nstderr: %s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func demand(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

// apiKey splits what a command wrote into the note and the key behind it.
func apiKey(stdout, _ string) (note, key string) {
	at := strings.LastIndexByte(strings.TrimSuffix(stdout, "\n"), '\n')
	return stdout[:at+1], strings.TrimSpace(stdout[at+1:])
}

func (d *desk) controlFile() string {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "control.yaml"))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// secrets are the clear token keys of the control file.
func (d *desk) secrets() []string {
	var keys []string
	for _, part := range strings.Split(d.controlFile(), `key: "`)[1:] {
		keys = append(keys, part[:strings.IndexByte(part, '"')])
	}
	if len(keys) != 3 {
		d.t.Fatalf("%d keys in the control file", len(keys))
	}
	return keys
}

func TestControlTopic(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.write("first.yaml", o.controlFile())
	second := o.write("second.yaml", strings.Replace(o.controlFile(), "price_micros: 250000", "price_micros: 300000", 1))
	var said strings.Builder
	run := func(status int, args ...string) string {
		t.Helper()
		stdout, stderr := o.run(status, args...)
		said.WriteString(stdout + stderr)
		return stdout + stderr
	}
	demand(t, run(ExitNegative, "control", "diff", first), "tenant Zoo (new)\n", "tenant acme (new)\n", "2 tenants change\n")
	demand(t, run(ExitOK, "control", "apply", first, "--why", "begin"), "tenant acme: version 1, in force from ", "tenant Zoo: version 1")
	demand(t, run(ExitOK, "control", "apply", first, "--why", "again"), "nothing changes")
	demand(t, run(ExitOK, "control", "diff", first), "0 tenants change")
	diff := run(ExitNegative, "control", "diff", second)
	demand(t, diff, "-     price_micros: 250000", "+     price_micros: 300000", "1 tenants change")
	base := strings.Fields(diff[strings.LastIndex(diff, "base "):])[1]
	base = strings.TrimSuffix(base, ",")

	demand(t, run(ExitUsage, "control", "apply", second, "--why", "x", "--activate-at", "2020-01-01"), "is no time to come")
	demand(t, run(ExitNegative, "control", "apply", second, "--why", "x", "--base", "0123456789abcdef"), "run diff again")
	demand(t, run(ExitOK, "control", "apply", second, "--why", "prices rise", "--base", base, "--activate-at", "+48h"), "tenant acme: version 2")
	demand(t, run(ExitFailure, "source", "add", "--tenant", "acme", "--id", "ads"), "--overtake")
	note, key := apiKey(o.run(ExitOK, "source", "add", "--tenant", "Zoo", "--id", "ads", "--grace", "2h", "--format", "json", "--mapping", "uri=u", "--mapping", "time=ts", "--click-path", "/go/*", "--why", "ticket 7"))
	demand(t, note, "tenant Zoo: version 2")
	demand(t, run(ExitOK, "source", "list", "--tenant", "Zoo"), "ads", "2h0m0s", "json")
	demand(t, run(ExitOK, "control", "apply", second, "--why", "a file without the new source", "--prune", "--overtake"), "- sources:")
	demand(t, run(ExitOK, "control", "history", "--tenant", "Zoo"), "begin", "ticket 7", "a file without the new source")
	var rows []historyRow
	if err := json.Unmarshal([]byte(run(ExitOK, "control", "history", "--json")), &rows); err != nil || len(rows) != 5 || rows[0].Who != "ada" || rows[4].Previous == "" {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	small := o.write("small.yaml", "tenants: [{id: acme}]\n")
	demand(t, run(ExitOK, "control", "apply", small, "--why", "x", "--overtake"), "tenant Zoo is not in the file and stays")
	demand(t, run(ExitOK, "control", "apply", small, "--why", "x", "--prune"), "tenant Zoo (removed)")
	if !strings.HasPrefix(key, "cgk_") || strings.Contains(said.String(), key) {
		t.Errorf("the API key is shown once: %q", key)
	}
	for _, secret := range o.secrets() {
		if strings.Contains(said.String(), secret[:12]) {
			t.Error("a clear token key was shown")
		}
	}
}

func TestTokenMintFromTopic(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, stderr := o.run(ExitFailure, "token", "mint")
	demand(t, stderr, "no tenant in force")
	o.run(ExitOK, "control", "apply", o.write("c.yaml", o.controlFile()), "--why", "begin")
	token, _ := o.run(ExitOK, "token", "mint", "--tenant", "acme")
	opened, _ := o.run(ExitOK, "token", "open", strings.TrimSpace(token))
	demand(t, opened, "shoes")
}

func TestControlFile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write("control.yaml", "# ours\n"+d.controlFile())
	secrets := d.secrets()
	stdout, _ := d.run(ExitOK, "control", "history")
	demand(t, stdout, "written")
	note, key := apiKey(d.run(ExitOK, "source", "add", "--tenant", "acme", "--id", "ads", "--why", "ticket 7"))
	demand(t, note, "a running standalone takes it within two seconds")
	_, again := apiKey(d.run(ExitOK, "source", "rotate", "--tenant", "acme", "--id", "ads"))
	keysOf := func() (old, fresh bool) {
		t.Helper()
		s, err := control.Parse([]byte(d.controlFile()))
		if err != nil {
			t.Fatal(err)
		}
		return s.APIKey(key) != nil, s.APIKey(again) != nil
	}
	if old, fresh := keysOf(); !old || !fresh {
		t.Errorf("both keys are good until the old one is dropped: %v, %v", old, fresh)
	}
	d.run(ExitOK, "source", "rotate", "--tenant", "acme", "--id", "ads", "--drop-old")
	if old, fresh := keysOf(); old || !fresh {
		t.Errorf("the old key is gone: %v, %v", old, fresh)
	}
	d.must(ExitNegative, "has no old key", "source", "rotate", "--tenant", "acme", "--id", "ads", "--drop-old")
	d.must(ExitNegative, "source rotate", "source", "add", "--tenant", "acme", "--id", "ads")
	d.must(ExitNegative, "tenant none", "source", "add", "--tenant", "none", "--id", "ads")
	d.must(ExitNegative, "log.", "source", "add", "--tenant", "acme", "--id", "logs", "--format", "apache")
	demand(t, d.controlFile(), "# ours\n", "- {id: a-free, advertiser_id: adv}")
	list, _ := d.run(ExitOK, "source", "list", "--json")
	var rows []sourceRow
	if err := json.Unmarshal([]byte(list), &rows); err != nil || len(rows) != 1 || rows[0].Grace != "15m0s" || len(rows[0].Keys) != 1 {
		t.Errorf("%s, %v", list, err)
	}

	small := d.write("small.yaml", "tenants: [{id: acme}]\n")
	d.must(ExitNegative, "--prune", "control", "apply", small, "--why", "x")
	d.must(ExitFailure, "control.topic: true", "control", "apply", small, "--why", "x", "--prune", "--activate-at", "+1h")
	d.must(ExitNegative, "at least one tenant", "control", "diff", d.write("none.yaml", "tenants: []"))
	d.run(ExitOK, "control", "apply", small, "--why", "close", "--prune")
	if d.controlFile() != "tenants: [{id: acme}]\n" {
		t.Errorf("got %s", d.controlFile())
	}
	history, _ := d.run(ExitOK, "control", "history", "--tenant", "acme")
	demand(t, history, "source add", "ticket 7", "source rotate --drop-old", "close", "ada")
	audit, err := os.ReadFile(filepath.Join(d.dir, "control.yaml"+control.AuditSuffix))
	if err != nil || strings.Count(string(audit), "\n") != 4 {
		t.Errorf("audit %s, %v", audit, err)
	}
	for _, secret := range append(secrets, key, again) {
		if strings.Contains(string(audit)+history+list, secret[:12]) {
			t.Errorf("a secret in\n%s%s%s", audit, history, list)
		}
	}
}

func TestSourceTest(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.run(ExitOK, "source", "add", "--tenant", "acme", "--id", "nginx", "--format", "combined", "--click-path", "/c")
	d.run(ExitOK, "source", "add", "--tenant", "acme", "--id", "plain")
	file := d.write("access.log", `203.0.113.5 - - [10/Nov/2026:12:00:00 +0000] "GET /c?t=abc HTTP/1.1" 302 0 "-" "Kite/1"
203.0.113.5 - - [10/Nov/2026:12:00:01 +0000] "GET /logo.png HTTP/1.1" 200 9 "-" "Kite/1"
no log line at all
203.0.113.6 - - [10/Nov/2026:12:00:02 +0000] "GET /c?t=def HTTP/1.1" 302 0 "-" "Kite/2"
`)
	out, _ := d.run(ExitOK, "source", "test", file, "--tenant", "acme", "--id", "nginx", "--lines", "3")
	demand(t, words(out)+"\n", "1 click 2026-11-10T12:00:00Z 203.0.113.5 GET", "2 nothing path", "3 malformed", "3 lines: 1 clicks, 1 malformed, 1 neither")
	d.must(ExitFailure, "has no log: section", "source", "test", file, "--tenant", "acme", "--id", "plain")
}

// A source's policy is added, shown and checked, and its hash is that of the policy
// that its clicks are judged by.
func TestSourcePolicy(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.run(ExitOK, "source", "add", "--tenant", "acme", "--id", "plain", "--no-key")
	d.run(ExitOK, "source", "add", "--tenant", "acme", "--id", "app", "--no-key", "--policy", "apps_are_tools=false", "--policy", "min_clicks=20")
	demand(t, d.controlFile(), "apps_are_tools: false", "min_clicks: 20")
	text, _ := d.run(ExitOK, "source", "list")
	demand(t, text, "policy", "min_clicks=20 apps_are_tools=false")
	list, _ := d.run(ExitOK, "source", "list", "--json")
	var rows []sourceRow
	if err := json.Unmarshal([]byte(list), &rows); err != nil {
		t.Fatal(err)
	}
	process := scoring.DefaultConfig().Policy
	own := process
	own.AppsAreTools, own.MinClicks = false, 20
	found := 0
	for _, r := range rows {
		want := process
		if r.ID == "app" {
			want = own
			found++
		}
		if r.PolicyHash != fmt.Sprintf("%016x", want.Hash()) || (r.Policy != nil) != (r.ID == "app") {
			t.Errorf("%+v", r)
		}
	}
	if found != 1 || len(rows) < 2 {
		t.Errorf("rows %+v", rows)
	}
	file := strings.Replace(d.controlFile(), "- id: shoes", "- policy: {heavy_clicks: 90}\n        id: shoes", 1)
	d.write("control.yaml", strings.Replace(file, "\n    campaigns:", "\n    policy: {min_clicks: 30}\n    campaigns:", 1))
	list, _ = d.run(ExitOK, "source", "list", "--json", "--tenant", "acme")
	rows = nil
	if err := json.Unmarshal([]byte(list), &rows); err != nil || len(rows) < 2 {
		t.Fatalf("%v\n%s", err, list)
	}
	for _, r := range rows {
		want := process
		if want.MinClicks = 30; r.ID == "app" {
			want.AppsAreTools, want.MinClicks = false, 20
		}
		free := want
		free.HeavyClicks = 90
		if r.PolicyHash != fmt.Sprintf("%016x", want.Hash()) || len(r.CampaignHashes) != 1 || r.CampaignHashes["shoes"] != fmt.Sprintf("%016x", free.Hash()) {
			t.Errorf("%+v", r)
		}
	}
	d.must(ExitUsage, "apps_are_tool", "source", "add", "--tenant", "acme", "--id", "app2", "--no-key", "--policy", "apps_are_tool=false")
	d.must(ExitNegative, "set all four or none", "source", "add", "--tenant", "acme", "--id", "app2", "--no-key", "--policy", "z_suspect=3")
}
