package operations

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metric is one metric family as a process registers it.
type metric struct {
	name, kind, help string
	labels           []string // in order of the alphabet
	processes        []string // that show it, in order of the alphabet
	// values are those that labels have from the start. A metric has all of them or,
	// where they appear with their first event, none.
	values map[string][]string
}

// component is the part of the program that a metric belongs to, by its name.
func (m *metric) component() string {
	rest, _ := strings.CutPrefix(m.name, "clickgate_")
	name, _, _ := strings.Cut(rest, "_")
	return name
}

// units are the base units of Prometheus that occur here, by the suffix they ask
// for. What has none of them is a count or a state.
var units = []string{"seconds", "bytes", "ratio"}

func (m *metric) unit() string {
	words := strings.Split(strings.TrimSuffix(m.name, "_total"), "_")
	if last := words[len(words)-1]; slices.Contains(units, last) {
		return last
	}
	return ""
}

// recorder is a registry that remembers its collectors, because a registry tells
// neither types nor metrics that have had no event yet.
type recorder struct {
	*prometheus.Registry
	collectors []prometheus.Collector
}

func newRecorder() *recorder { return &recorder{Registry: prometheus.NewRegistry()} }

func (r *recorder) Register(c prometheus.Collector) error {
	err := r.Registry.Register(c)
	if err == nil {
		r.collectors = append(r.collectors, c)
	}
	return err
}

func (r *recorder) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// metrics returns what was registered, in order of the names.
func (r *recorder) metrics() ([]metric, error) {
	byName := map[string]metric{}
	for _, c := range r.collectors {
		found, err := metricsOf(c)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if other, ok := byName[m.name]; ok && !slices.Equal(other.labels, m.labels) {
				return nil, fmt.Errorf("%s: has labels %v and %v", m.name, other.labels, m.labels)
			}
			byName[m.name] = m
		}
	}
	return inOrder(byName), nil
}

func inOrder(byName map[string]metric) []metric {
	list := make([]metric, 0, len(byName))
	for _, m := range byName {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	return list
}

// metricsOf asks a collector for what it describes, and for the types of it.
func metricsOf(c prometheus.Collector) ([]metric, error) {
	kinds, values, err := samples(c)
	if err != nil {
		return nil, err
	}
	var list []metric
	for _, d := range descriptions(c) {
		m, err := parseDesc(d)
		if err != nil {
			return nil, err
		}
		if m.kind = cmp.Or(kinds[d], vecKind(c)); m.kind == "" {
			return nil, fmt.Errorf("%s: its type cannot be told; it is neither a vector nor does it collect anything", m.name)
		}
		m.values = values[d]
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("a collector of type %T describes nothing, so nobody can know its metrics", c)
	}
	return list, nil
}

func descriptions(c prometheus.Collector) (list []string) {
	ch := make(chan *prometheus.Desc)
	go func() { c.Describe(ch); close(ch) }()
	for d := range ch {
		if !slices.Contains(list, d.String()) {
			list = append(list, d.String())
		}
	}
	return list
}

// samples reads types and label values off what a collector has already, by
// description.
func samples(c prometheus.Collector) (kinds map[string]string, values map[string]map[string][]string, err error) {
	ch := make(chan prometheus.Metric)
	go func() { c.Collect(ch); close(ch) }()
	kinds, values = map[string]string{}, map[string]map[string][]string{}
	var errs []error
	for m := range ch {
		var value dto.Metric
		errs = append(errs, m.Write(&value))
		d := m.Desc().String()
		kinds[d] = kindOf(&value)
		if values[d] == nil {
			values[d] = map[string][]string{}
		}
		for _, l := range value.GetLabel() {
			values[d][l.GetName()] = append(values[d][l.GetName()], l.GetValue())
		}
	}
	return kinds, values, errors.Join(errs...)
}

func kindOf(m *dto.Metric) string {
	switch {
	case m.Counter != nil:
		return "counter"
	case m.Gauge != nil:
		return "gauge"
	case m.Histogram != nil:
		return "histogram"
	case m.Summary != nil:
		return "summary"
	}
	return "untyped"
}

// vecKind is the type of a vector, which has no values before its first event.
func vecKind(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	case *prometheus.SummaryVec:
		return "summary"
	}
	return ""
}

// A description tells its parts only in its printed form.
var (
	descForm   = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constLabel = regexp.MustCompile(`([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"`)
)

func parseDesc(d string) (metric, error) {
	parts := descForm.FindStringSubmatch(d)
	if parts == nil {
		return metric{}, fmt.Errorf("the library prints descriptions in another form now: %s", d)
	}
	var m metric
	var err, helpErr error
	m.name, err = strconv.Unquote(parts[1])
	m.help, helpErr = strconv.Unquote(parts[2])
	for _, l := range constLabel.FindAllStringSubmatch(parts[3], -1) {
		m.labels = append(m.labels, l[1])
	}
	if parts[4] != "" {
		m.labels = append(m.labels, strings.Split(parts[4], ",")...)
	}
	slices.Sort(m.labels)
	return m, errors.Join(err, helpErr)
}
