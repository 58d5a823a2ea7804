package operations

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const metricsPage = "../../../docs/metrics.md"

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// bounds says of every label what keeps its values few. A label that is not here
// may not be used: values that senders choose would grow without end.
var bounds = map[string]string{
	"answer":  "answers in the program's text",
	"cause":   "causes in the program's text",
	"class":   "classes of requests: paid, organic, demoted, bulk",
	"code":    "status codes, or error codes of docs/api.md",
	"entry":   "ways that a click may come: c, b, batch, log",
	"feed":    "impressions or conversions; of closed hours what the feed was: used, thin, behind, old, none",
	"row":     "new or repeated",
	"gateway": "gateways that sent something, 64 at most; the others together are others",
	"kind":    "kinds of log lines",
	"outcome": "outcomes in the program's text",
	"page":    "routes of the console",
	"pass":    "edge: as a click passes; hour: when its hour closes, and in the pass over the hour after",
	"reason":  "reasons in the program's text",
	"route":   "routes of the gateway",
	"slot":    "live, shadow",
	"source":  "sources of the control entries, 256 at most where others send the value",
	"state":   "states of docs/scoring.md",
	"status":  "status codes",
	"table":   "tables of the scorer",
	"tenant":  "tenants of the control entries",
	"version": "one at a time: the version in force",
}

// TestMetricsPage holds docs/metrics.md to what the processes register.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	want := page(registered(t))
	if *update {
		if err := os.WriteFile(metricsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsPage)
	if err != nil || string(got) != want {
		t.Errorf("docs/metrics.md is not what the processes register (%v); run `make generate` and look at the difference:\n%s", err, difference(string(got), want))
	}
}

// difference names the lines that only one of two texts has.
func difference(got, want string) string {
	var b strings.Builder
	lines := func(s string) []string { return strings.Split(s, "\n") }
	for _, l := range lines(got) {
		if !slices.Contains(lines(want), l) {
			fmt.Fprintln(&b, "-", l)
		}
	}
	for _, l := range lines(want) {
		if !slices.Contains(lines(got), l) {
			fmt.Fprintln(&b, "+", l)
		}
	}
	return b.String()
}

func page(list []metric) string {
	var b strings.Builder
	b.WriteString(`# Metrics

Every metric of clickgate, written by ` + "`make generate`" + ` from what the processes register. A gateway and a standalone
serve them on ` + "`gateway.admin_listen`" + `, an aggregator on ` + "`aggregate.admin_listen`" + `, an alerts process on ` + "`alerts.admin_listen`" + `,
at ` + "`/metrics`" + `; those of the Go runtime (` + "`go_`" + `) and of the process (` + "`process_`" + `) come on top. A counter or histogram with labels
appears with its first event, so alerts must not wait for a zero. What to watch and what to do is in
[operations.md](operations.md#runbook).
`)
	component := ""
	for _, m := range list {
		if c := m.component(); c != component {
			component = c
			fmt.Fprintf(&b, "\n## %s\n\n| name | type | unit | labels | processes | meaning |\n|---|---|---|---|---|---|\n", c)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n",
			m.name, m.kind, m.unit(), strings.Join(m.labels, ", "), strings.Join(m.processes, ", "), strings.ReplaceAll(m.help, "|", `\|`))
	}
	b.WriteString("\n## Labels\n\nNo label has values without bound:\n\n| label | values |\n|---|---|\n")
	for _, l := range slices.Sorted(maps.Keys(bounds)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", l, bounds[l])
	}
	return b.String()
}

// TestMetricsKeepConventions holds names, units, labels and help to the naming
// rules of Prometheus (https://prometheus.io/docs/practices/naming/).
func TestMetricsKeepConventions(t *testing.T) {
	t.Parallel()
	list := registered(t)
	used := map[string]bool{}
	for i := range list {
		for _, problem := range breaches(&list[i]) {
			t.Errorf("%s: %s", list[i].name, problem)
		}
		for _, l := range list[i].labels {
			used[l] = true
		}
	}
	for l := range bounds {
		if !used[l] {
			t.Errorf("no metric has label %s; take it out of the list", l)
		}
	}
	if len(list) < 40 {
		t.Errorf("only %d metrics are registered", len(list))
	}
}

var (
	nameForm  = regexp.MustCompile(`^clickgate_[a-z]+(_[a-z0-9]+)+$`)
	otherUnit = regexp.MustCompile(`_(ms|millis|milliseconds|micros|microseconds|us|ns|nanoseconds|minutes|hours|days|kb|mb|kilobytes|megabytes|bits|percent)(_|$)`)
	suffix    = regexp.MustCompile(`_(count|sum|bucket)$`) // a histogram's own
)

// breaches says which conventions a metric breaks.
func breaches(m *metric) (problems []string) {
	rule := func(kept bool, problem string, args ...any) {
		if !kept {
			problems = append(problems, fmt.Sprintf(problem, args...))
		}
	}
	rule(nameForm.MatchString(m.name), "is not named clickgate_component_what, in lower case")
	rule(!otherUnit.MatchString(m.name), "has a unit that is no base unit; use %v", units)
	rule(!suffix.MatchString(m.name), "ends like a part of a histogram")
	total := strings.HasSuffix(m.name, "_total")
	rule(total || m.kind != "counter", "is a counter, so its name must end in _total")
	rule(!total || m.kind == "counter", "ends in _total but is a %s", m.kind)
	rule(slices.Contains([]string{"counter", "gauge", "histogram"}, m.kind), "is of type %s", m.kind)
	rule(strings.HasSuffix(m.help, ".") && strings.TrimSpace(m.help) == m.help && len(m.help) > 5, "help %q is no sentence with a full stop", m.help)
	for _, l := range m.labels {
		rule(bounds[l] != "", "label %s has no bound; name one in this test, or take the label away", l)
	}
	return problems
}

func TestConventionsSeededMistakes(t *testing.T) {
	t.Parallel()
	good := metric{name: "clickgate_edge_clicks_total", kind: "counter", help: "Clicks that came.", labels: []string{"state"}}
	if p := breaches(&good); len(p) > 0 {
		t.Errorf("a good metric: %q", p)
	}
	for want, spoil := range map[string]func(*metric){
		"not named clickgate": func(m *metric) { m.name = "edge_clicks_total" },
		"lower case":          func(m *metric) { m.name = "clickgate_edge_Clicks_total" },
		"no base unit":        func(m *metric) { m.name, m.kind = "clickgate_edge_age_ms", "gauge" },
		"part of a histogram": func(m *metric) { m.name, m.kind = "clickgate_edge_clicks_count", "gauge" },
		"must end in _total":  func(m *metric) { m.name = "clickgate_edge_clicks" },
		"but is a gauge":      func(m *metric) { m.kind = "gauge" },
		"of type summary":     func(m *metric) { m.name, m.kind = "clickgate_edge_age_seconds", "summary" },
		"no sentence":         func(m *metric) { m.help = "Clicks that came" },
		"has no bound":        func(m *metric) { m.labels = []string{"address"} },
	} {
		m := good
		spoil(&m)
		if p := breaches(&m); len(p) != 1 || !strings.Contains(p[0], want) {
			t.Errorf("%s: found %q", want, p)
		}
	}
}

// TestRecorderFindsEverything proves that vectors without a value, constant
// labels and collectors of one's own are seen, and that what cannot be told is an
// error.
func TestRecorderFindsEverything(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	r.MustRegister(
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a_total", Help: `A "quoted".`}, []string{"y", "x"}),
		prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "b_seconds", Help: "B."}, []string{"x"}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "c", Help: "C.", ConstLabels: prometheus.Labels{"k": `v="}`}}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "c", Help: "C.", ConstLabels: prometheus.Labels{"k": "w"}}, func() float64 { return 1 }),
		ownCollector{prometheus.NewDesc("d_total", "D.", []string{"x"}, nil), true},
	)
	list, err := r.metrics()
	var got []string
	for _, m := range list {
		got = append(got, fmt.Sprint(m.name, m.kind, m.help, m.labels))
	}
	want := []string{`a_totalcounterA "quoted".[x y]`, "b_secondshistogramB.[x]", "cgaugeC.[k]", "d_totalcounterD.[x]"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q, %v\nwant %q", got, err, want)
	}
	r.MustRegister(ownCollector{prometheus.NewDesc("e", "E.", nil, nil), false})
	if _, err := r.metrics(); err == nil || !strings.Contains(err.Error(), "e: its type cannot be told") {
		t.Errorf("a metric without a type: %v", err)
	}
}

type ownCollector struct {
	desc  *prometheus.Desc
	value bool
}

func (c ownCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c ownCollector) Collect(ch chan<- prometheus.Metric) {
	if c.value {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, 1, "x")
	}
}
