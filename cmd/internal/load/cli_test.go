package load

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// command runs a command line.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	status = Main(t.Context(), args, Env{Stdout: &out, Stderr: &errs, Now: time.Now, Entropy: rand.Reader, Version: "v1"})
	return status, out.String(), errs.String()
}

// reference starts a reference server.
func reference(t *testing.T, kind string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- ServeReference(ctx, kind, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func TestMistakesInFlags(t *testing.T) {
	t.Parallel()
	data := filepath.Dir(testControl(t))
	const here = "http://127.0.0.1:9"
	for name, tt := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"nothing":         {nil, 2, "expected one of"},
		"no target":       {[]string{"run", "--rate", "1"}, 2, "target"},
		"no rate":         {[]string{"run", here, "--data", data}, 2, "rate: is missing"},
		"rate and ramp":   {[]string{"run", here, "--rate", "1", "--ramp", "1:2:1s"}, 2, "can't be used together"},
		"wrong ramp":      {[]string{"run", here, "--ramp", "1:2"}, 2, "ramp: \"1:2\" is no step"},
		"wrong mix":       {[]string{"run", here, "--rate", "1", "--mix", "x=1"}, 2, "mix: \"x=1\" is no share"},
		"wrong arrivals":  {[]string{"run", here, "--rate", "1", "--arrivals", "x"}, 2, "--arrivals must be one of"},
		"another machine": {[]string{"run", "http://192.0.2.1:80", "--rate", "1", "--data", data}, 2, "another machine"},
		"no control file": {[]string{"run", here, "--rate", "1", "--data", data + "/x"}, 3, "control.file"},
		"too many":        {[]string{"run", here, "--rate", "1", "--data", data, "--connections", "99999"}, 2, "connections: 99999 is out of range"},
		"no such key":     {[]string{"run", here, "--rate", "1", "--data", data, "--set", "x.y=1"}, 2, "x.y"},
		"no API key file": {[]string{"run", here, "--rate", "1", "--data", data, "--api-key-file", data + "/x"}, 3, "api key"},
		"nameless server": {[]string{"compare", here, "--data", data}, 2, "write NAME=URL"},
		"no process":      {[]string{"compare", "x=" + here + "#0", "--data", data}, 2, "no process id"},
		"no such server":  {[]string{"reference", "nginx"}, 2, "must be one of"},
		"topic only":      {[]string{"run", here, "--rate", "1", "--data", "", "--set", "control.topic=true"}, 2, "from a file only"},
	} {
		status, stdout, stderr := command(t, tt.args...)
		if status != tt.status || !strings.HasPrefix(stderr, "clickload: ") || !strings.Contains(stderr, tt.want) || stdout != "" {
			t.Errorf("%s: status %d\n%s%s", name, status, stdout, stderr)
		}
	}
	if status, stdout, _ := command(t, "run", "--help"); status != 0 || !strings.Contains(stdout, "--ramp") {
		t.Errorf("help: status %d\n%s", status, stdout)
	}
	if status, stdout, _ := command(t, "version"); status != 0 || stdout != "clickload v1\n" {
		t.Errorf("version: status %d\n%s", status, stdout)
	}
}

func TestRunCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	report, log := filepath.Join(dir, "report.json"), filepath.Join(dir, "acks.ndjson")
	status, stdout, stderr := command(t, "run", reference(t, "nethttp"), reference(t, "fasthttp"), "--data", filepath.Dir(testControl(t)),
		"--ramp", "50:150:500ms,100:100:1s", "--mix", "paid=3,organic=1", "--connections", "4", "--arrivals", "uniform",
		"--max-behind", "1", "--json", report, "--log", log, "--progress")
	if status != 0 || !strings.Contains(stdout, "paid=3,organic=1") || !strings.Contains(stdout, "p99.9") || !strings.Contains(stderr, "acked") {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	var r Report
	if err := json.Unmarshal(mustRead(t, report), &r); err != nil {
		t.Fatal(err)
	}
	balanced(t, &r)
	if r.Total.Offered != 150 || r.Total.Answers["204"] != 150 || len(r.Targets) != 2 || len(r.Series) < 2 || r.Rate != "50:150:500ms,100:100:1s" {
		t.Errorf("%+v", r)
	}
	if lines := ackLines(t, mustRead(t, log)); int64(len(lines)) != classNamed(t, &r, "paid").Acked {
		t.Errorf("%d lines in the log", len(lines))
	}
}

// The check of malformed requests can fail: a server that says 204 to everything
// takes some of them for clicks.
func TestAcceptedMalformedRequestsAreANegativeAnswer(t *testing.T) {
	t.Parallel()
	n := len(Corpus())
	status, stdout, stderr := command(t, "run", reference(t, "fasthttp"), "--data", filepath.Dir(testControl(t)),
		"--ramp", (Profile{{float64(n), float64(n), time.Second}}).String(), "--mix", "malformed=1", "--arrivals", "uniform", "--timeout", "1s", "--max-behind", "1")
	if status != 1 || !strings.Contains(stdout, "ACCEPTED") || !strings.Contains(stderr, "taken for clicks: ") || !strings.Contains(stderr, "identity coding") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}

func TestVoidRunIsANegativeAnswer(t *testing.T) {
	t.Parallel()
	// Nobody can start within a microsecond of the instant every time.
	status, stdout, _ := command(t, "run", reference(t, "fasthttp"), "--data", filepath.Dir(testControl(t)),
		"--rate", "500", "--duration", "1s", "--late", "1us", "--max-behind", "0")
	if status != 1 || !strings.Contains(stdout, "VOID") {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

func TestCompareCommand(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "report.json")
	status, stdout, stderr := command(t, "compare", "one="+reference(t, "nethttp"), "two="+reference(t, "fasthttp"),
		"--data", filepath.Dir(testControl(t)), "--rounds", "2", "--for", "500ms", "--low", "0.5", "--connections", "4", "--open-connections", "32", "--json", report)
	if status != 0 || !strings.Contains(stdout, "| one") || !strings.Contains(stdout, "ratio to two") || strings.Count(stderr, "round ") != 4 {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	var all []Compared
	if err := json.Unmarshal(mustRead(t, report), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[1].Ratio != 1 || all[0].Ratio <= 0 || !slices.ContainsFunc(all, func(c Compared) bool { return c.Capacity > 0 && c.Low.P99 > 0 && c.High.P99 > 0 }) {
		t.Errorf("%+v", all)
	}
	if status, _, stderr := command(t, "compare", "gone=http://127.0.0.1:9", "--data", filepath.Dir(testControl(t)), "--rounds", "1", "--for", "100ms"); status != 3 || !strings.Contains(stderr, "gone: acknowledged 0") {
		t.Errorf("nobody listens: status %d, %s", status, stderr)
	}
}

func TestProcessorTime(t *testing.T) {
	t.Parallel()
	// The name of a process may look like the rest of the line.
	line := "42 (a) b 1 2 3 4 5) S 1 42 42 0 -1 4194304 1 0 0 0 150 25 7 7 20 0 9 0 100 1 1"
	if d, err := parseStat([]byte(line)); err != nil || d != 1750*time.Millisecond {
		t.Errorf("%s, %v", d, err)
	}
	for _, wrong := range []string{"", "42 (a) S 1", strings.Replace(line, "150", "x", 1)} {
		if d, err := parseStat([]byte(wrong)); err == nil {
			t.Errorf("%q: %s", wrong, d)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	laps := func(v ...float64) (all []lap) {
		for _, x := range v {
			all = append(all, lap{capacity: x})
		}
		return all
	}
	of := func(l lap) float64 { return l.capacity }
	if m := median(laps(9, 1, 5), of); m != 5 {
		t.Errorf("of 9, 1, 5: %v", m)
	}
	if m := median(laps(9, 1, 5, 2), of); m != 3.5 {
		t.Errorf("of 9, 1, 5, 2: %v", m)
	}
}
