package operations

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/app"

	"github.com/goccy/go-yaml"
)

const deploy = "../../../deploy"

// promtool runs Prometheus's own checker in a folder and returns what it says.
func promtool(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	path := os.Getenv("CLICKGATE_TEST_PROMTOOL")
	if path == "" {
		t.Skip("CLICKGATE_TEST_PROMTOOL is not set; `make test` gets promtool (Debian package prometheus)")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err
}

// ruleFile is the part of Prometheus's rule files that is used here.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Alert       string            `yaml:"alert,omitempty"`
	Record      string            `yaml:"record,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func readRules(t *testing.T) *ruleFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, "prometheus", "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range f.Groups {
		n += len(g.Rules)
	}
	if n < 20 {
		t.Fatalf("only %d rules were read", n)
	}
	return &f
}

// writeRules writes rules into a folder of their own.
func writeRules(t *testing.T, f *ruleFile) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeYAML(t, filepath.Join(dir, "rules.yml"), f)
	return dir
}

func writeYAML(t *testing.T, path string, content any) {
	t.Helper()
	text, err := yaml.Marshal(content)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ruleTests is a file of unit tests.
type ruleTests struct {
	RuleFiles          []string   `yaml:"rule_files"`
	EvaluationInterval string     `yaml:"evaluation_interval"`
	Tests              []ruleTest `yaml:"tests"`
}

type ruleTest struct {
	Interval    string              `yaml:"interval"`
	InputSeries []map[string]string `yaml:"input_series"`
	Queries     []ruleQuery         `yaml:"promql_expr_test"`
}

type ruleQuery struct {
	Expr       string           `yaml:"expr"`
	EvalTime   string           `yaml:"eval_time"`
	ExpSamples []map[string]any `yaml:"exp_samples"`
}

func readTests(t *testing.T) *ruleTests {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, "prometheus", "rules_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var f ruleTests
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if len(f.Tests) < 20 {
		t.Fatalf("only %d unit tests were read", len(f.Tests))
	}
	return &f
}

// asked are the alerts that a unit test asks for.
var asked = regexp.MustCompile(`alertname="(\w+)"`)

// writeTests writes every unit test with the rules that it asks for into files of its own,
// and returns the names of the tests' files: all rules with every test would be forty times
// the work. No rule reads what another makes, which is checked.
func writeTests(t *testing.T, rules *ruleFile, tests *ruleTests) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	for i, test := range tests.Tests {
		var alerts []string
		for _, q := range test.Queries {
			for _, m := range asked.FindAllStringSubmatch(q.Expr, -1) {
				alerts = append(alerts, m[1])
			}
		}
		own := &ruleFile{}
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				if strings.Contains(r.Expr, "ALERTS") || r.Record != "" {
					t.Fatalf("%s reads or makes what other rules do", r.Alert+r.Record)
				}
				if slices.Contains(alerts, r.Alert) {
					own.Groups = append(own.Groups, ruleGroup{Name: r.Alert, Rules: []rule{r}})
				}
			}
		}
		if len(own.Groups) == 0 {
			t.Fatalf("unit test %d asks for no alert: %+v", i+1, test.Queries)
		}
		rulesName, name := fmt.Sprintf("rules%d.yml", i), fmt.Sprintf("test%d.yml", i)
		writeYAML(t, filepath.Join(dir, rulesName), own)
		writeYAML(t, filepath.Join(dir, name), &ruleTests{[]string{rulesName}, tests.EvaluationInterval, []ruleTest{test}})
		names = append(names, name)
	}
	return dir, names
}

// known are the names that queries may use: of registered metrics, of their parts,
// and of the Go runtime and the process.
func known(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{"up": true, "ALERTS": true}
	for _, m := range append(registered(t), booksMetrics(t)...) {
		names[m.name] = true
		if m.kind == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				names[m.name+part] = true
			}
			delete(names, m.name) // it is no series
		}
	}
	families, err := app.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names[f.GetName()] = true
	}
	return names
}

var (
	metricName = regexp.MustCompile(`\b(?:clickgate|go|process)_[a-z0-9_]+`)
)

// unknownNames returns the names in a query that no process shows. Names stand in
// matchers on __name__ as well, as alternatives.
func unknownNames(query string, names map[string]bool) (unknown []string) {
	for _, n := range metricName.FindAllString(query, -1) {
		if !names[n] {
			unknown = append(unknown, n)
		}
	}
	return unknown
}

// matched are labels that a query asks for.
var matched = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)

// unknownLabels returns labels in matchers that no metric of the query has.
func unknownLabels(query string, list []metric) (unknown []string) {
	have := []string{"instance", "job", "le", "quantile", "alertname", "alertstate", "__name__"}
	for _, m := range list {
		if strings.Contains(query, m.name) {
			have = append(have, m.labels...)
		}
	}
	for _, l := range matched.FindAllStringSubmatch(query, -1) {
		if !slices.Contains(have, l[1]) {
			unknown = append(unknown, l[1])
		}
	}
	return unknown
}

// selector is a metric with its matchers; a part of a histogram counts as the whole.
var (
	selector = regexp.MustCompile(`\b(clickgate_[a-z0-9_]+?)(?:_bucket|_sum|_count)?\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
)

// unknownValues returns label values in a query that a metric with all its values
// from the start does not have.
func unknownValues(query string, list []metric) (unknown []string) {
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		i := slices.IndexFunc(list, func(m metric) bool { return m.name == s[1] })
		if i < 0 {
			continue
		}
		for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
			have := list[i].values[l[1]]
			for _, v := range strings.Split(l[2], "|") {
				if len(have) > 0 && !slices.Contains(have, v) {
					unknown = append(unknown, l[1]+"="+v)
				}
			}
		}
	}
	return unknown
}

// TestRules checks every alert: known metrics and labels, a severity, a summary and
// a runbook entry that exists.
func TestRules(t *testing.T) {
	t.Parallel()
	names, list, entries := known(t), registered(t), runbook(t)
	seen := map[string]bool{}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if !strings.HasPrefix(r.Alert, "Clickgate") || seen[r.Alert] {
				t.Errorf("%q is no alert's name, or there twice", r.Alert)
			}
			seen[r.Alert] = true
			for _, n := range unknownNames(r.Expr, names) {
				t.Errorf("%s: no process shows %s", r.Alert, n)
			}
			for _, l := range unknownLabels(r.Expr, list) {
				t.Errorf("%s: its metrics have no label %s", r.Alert, l)
			}
			for _, v := range unknownValues(r.Expr, list) {
				t.Errorf("%s: its metric never has %s", r.Alert, v)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if !strings.HasSuffix(r.Annotations["summary"], ".") {
				t.Errorf("%s: summary %q is no sentence", r.Alert, r.Annotations["summary"])
			}
			if link, want := r.Annotations["runbook_url"], "/docs/operations.md#"+strings.ToLower(r.Alert); !strings.HasSuffix(link, want) {
				t.Errorf("%s: runbook_url %q does not end in %s", r.Alert, link, want)
			}
			if !entries[r.Alert] {
				t.Errorf("%s: docs/operations.md has no entry for it in its runbook", r.Alert)
			}
		}
	}
	for e := range entries {
		if !seen[e] {
			t.Errorf("docs/operations.md has an entry for %s, which is no alert", e)
		}
	}
}

// runbook returns the alerts that the runbook has an entry for. An entry has the
// three parts that a reader at night looks for.
func runbook(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(text), "\n## Runbook\n")
	if !ok {
		t.Fatal("docs/operations.md has no section Runbook")
	}
	if end := strings.Index(part, "\n## "); end >= 0 {
		part = part[:end]
	}
	entries := map[string]bool{}
	for _, entry := range strings.Split(part, "\n#### ")[1:] {
		name, body, _ := strings.Cut(entry, "\n")
		entries[name] = true
		for _, word := range []string{"**Meaning.**", "**Look.**", "**Do.**"} {
			if !strings.Contains(body, word) {
				t.Errorf("the runbook's entry for %s has no %s", name, word)
			}
		}
	}
	return entries
}

func TestRulesByPromtool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(deploy, "prometheus")
	if out, err := promtool(t, dir, "check", "rules", "rules.yml"); err != nil || !strings.Contains(out, "SUCCESS") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := promtool(t, dir, "test", "rules", "rules_test.yml"); err != nil || !strings.Contains(out, "SUCCESS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRulesAreTested breaks every alert in two ways, so that it never fires and so
// that it always does. The unit tests must notice both, of each, and nothing of those
// that are as they should be.
func TestRulesAreTested(t *testing.T) {
	t.Parallel()
	tests := readTests(t)
	for name, broken := range map[string]func(r *rule){
		"as it should": func(*rule) {},
		"never":        func(r *rule) { r.Expr, r.For = "vector(1) > 2", "" },
		"always":       func(r *rule) { r.Expr, r.For = "("+strings.TrimSpace(r.Expr)+") or vector(1)", "" },
	} {
		all := readRules(t)
		for g := range all.Groups {
			for i := range all.Groups[g].Rules {
				broken(&all.Groups[g].Rules[i])
			}
		}
		dir, names := writeTests(t, all, tests)
		out, err := promtool(t, dir, append([]string{"test", "rules"}, names...)...)
		if name == "as it should" {
			if err != nil || strings.Count(out, "SUCCESS") != len(names) {
				t.Errorf("split into files, the unit tests fail: %v\n%s", err, out)
			}
			continue
		}
		for _, g := range all.Groups {
			for _, r := range g.Rules {
				if err == nil || !strings.Contains(out, `alertname="`+r.Alert+`"`) {
					t.Errorf("%s fires %s and no unit test notices", r.Alert, name)
				}
			}
		}
	}
}

// TestCheckersFindMistakes proves the checks of this file.
func TestCheckersFindMistakes(t *testing.T) {
	t.Parallel()
	names := map[string]bool{"clickgate_a_total": true, "clickgate_b_seconds_bucket": true}
	list := []metric{{name: "clickgate_a_total", labels: []string{"code"}, values: map[string][]string{"code": {"x", "y"}}}}
	for query, want := range map[string]string{
		`rate(clickgate_a_total{code="x"}[5m])`:        "",
		`rate(clickgate_a_totals[5m])`:                 "clickgate_a_totals",
		`clickgate_b_seconds`:                          "clickgate_b_seconds",
		`{__name__=~"clickgate_a_total|clickgate_c"}`:  "clickgate_c",
		`clickgate_a_total{cod="x"}`:                   "cod",
		`clickgate_a_total{instance=~"$x",state!="y"}`: "state",
		`clickgate_a_total{code=~"x|z"}`:               "code=z",
	} {
		got := strings.Join(append(unknownNames(query, names), append(unknownLabels(query, list), unknownValues(query, list)...)...), " ")
		if got != want {
			t.Errorf("%s: found %q, want %q", query, got, want)
		}
	}
}

// booksMetrics runs deploy/prometheus/books on a program that says all is well and
// returns the metrics it writes.
func booksMetrics(t *testing.T) []metric {
	t.Helper()
	text, status := runBooks(t, 0)
	if status != 0 {
		t.Fatalf("exit status %d", status)
	}
	var list []metric
	for _, m := range regexp.MustCompile(`(?m)^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)\n`).FindAllStringSubmatch(text, -1) {
		list = append(list, metric{name: m[1], help: m[2], kind: m[3], processes: []string{"books"}})
	}
	if len(list) != strings.Count(text, "# TYPE") || len(list) < 3 {
		t.Fatalf("%d metrics were read from\n%s", len(list), text)
	}
	return list
}

func runBooks(t *testing.T, status int) (text string, exit int) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("sh not found; deploy/prometheus/books needs one")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "clickgate")
	script := "#!/bin/sh\n[ \"$*\" = 'report reconcile --config a b.yaml' ] || exit 64\necho books\nexit " + string(rune('0'+status)) + "\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sh, filepath.Join(deploy, "prometheus", "books"), dir, "--config", "a b.yaml")
	cmd.Env = append(os.Environ(), "CLICKGATE="+program)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if told := strings.Contains(string(out), "books"); told != (status != 0) {
		t.Errorf("status %d: said %q", status, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "clickgate_books.prom"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := fs.Glob(os.DirFS(dir), ".clickgate*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind %q, %v", left, err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// TestBooks holds the script to what it writes after each exit status.
func TestBooks(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{0: "broken 0 failed 0", 1: "broken 1 failed 0", 3: "broken 0 failed 1"} {
		text, exit := runBooks(t, status)
		if exit != status {
			t.Errorf("exit status %d after %d", exit, status)
		}
		value := func(name string) string {
			m := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("no %s in\n%s", name, text)
			}
			return m[1]
		}
		if got := "broken " + value("clickgate_books_broken") + " failed " + value("clickgate_books_check_failed"); got != want {
			t.Errorf("status %d: %s, want %s", status, got, want)
		}
		at, err := time.ParseDuration(value("clickgate_books_checked_timestamp_seconds") + "s")
		if age := time.Since(time.Unix(0, 0).Add(at)); err != nil || age < -time.Minute || age > time.Hour {
			t.Errorf("checked %v ago, %v", age, err)
		}
	}
}
