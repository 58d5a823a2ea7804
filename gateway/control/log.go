package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clickgate/gateway/rawlog"
)

// LogEntry is the `log:` section of a source: how the logs that its API keys send
// are read, and which of their lines are clicks. Names of fields are those of
// rawlog.Fields.
type LogEntry struct {
	Format string `yaml:"format"` // combined, common, w3c, json or logpush
	// Fields are the columns of W3C logs that have no #Fields line, in order.
	Fields []string `yaml:"fields"`
	// Mapping gives the JSON key of a field: {time: ts, path: request.path}.
	Mapping map[string]string `yaml:"mapping"`
	// Unit of times that are numbers: s, ms, us or ns.
	Unit string `yaml:"unit"`
	// Decode is how many layers of percent encoding the log added to path, query,
	// referer and user_agent: 0, 1, 2, or -1 to decode until nothing is left.
	Decode map[string]int `yaml:"decode"`
	// Absent are texts that stand for no value.
	Absent []string `yaml:"absent"`
	// Wrappers are keys of an object that holds the lines in an array.
	Wrappers []string `yaml:"wrappers"`
	// SkipPrefix ignores what stands before the first brace of a JSON line.
	SkipPrefix bool          `yaml:"skip_prefix"`
	Clicks     LogClickEntry `yaml:"clicks"`
	// AllowShift lets senders move the times of lines by whole days, for demos and
	// tests: who may do so decides in which hour a click is billed.
	AllowShift bool `yaml:"allow_shift"`
}

// LogClickEntry says which requests of a log are clicks; see rawlog.Rule for what
// an empty list means.
type LogClickEntry struct {
	Paths    []string `yaml:"paths"`    // whole paths, or beginnings that end in *
	Methods  []string `yaml:"methods"`  // in upper case
	Statuses []string `yaml:"statuses"` // 302, or 200-399
	Hosts    []string `yaml:"hosts"`
}

// Log is how a source's logs are read.
type Log struct {
	Format     rawlog.Format
	Rule       rawlog.Rule
	AllowShift bool
}

// Pushed reports a log whose lines name themselves by the edge's request id, so
// that batches of them need no name.
func (l *Log) Pushed() bool { return l.Format.Name == rawlog.Logpush }

// log checks the section and turns it into what readers of logs work with.
func (e *LogEntry) log() (*Log, error) {
	if e.Format == "" {
		return nil, errors.New("format: is missing; use combined, common, w3c, json or logpush")
	}
	l := &Log{AllowShift: e.AllowShift, Format: rawlog.Format{
		Name: e.Format, Columns: e.Fields, Keys: e.Mapping, Unit: rawlog.Unit(e.Unit), Decode: e.Decode,
		Absent: e.Absent, Wrappers: e.Wrappers, SkipPrefix: e.SkipPrefix,
	}}
	if err := e.misplaced(); err != nil {
		return nil, err
	}
	if _, err := l.Format.Parser(); err != nil {
		return nil, fmt.Errorf("%w (columns stand in log.fields, keys in log.mapping)", err)
	}
	var err error
	if l.Rule, err = e.Clicks.rule(); err != nil {
		return nil, fmt.Errorf("clicks.%w", err)
	}
	return l, nil
}

// misplaced refuses settings that the format does not read: they would be
// believed to do something.
func (e *LogEntry) misplaced() error {
	isJSON, isW3C := e.Format == rawlog.JSON || e.Format == rawlog.Logpush, e.Format == rawlog.W3C
	for _, s := range []struct {
		key      string
		set, use bool
		format   string
	}{
		{"fields", len(e.Fields) > 0, isW3C, "w3c"},
		{"mapping", len(e.Mapping) > 0, isJSON, "json and logpush"},
		{"unit", e.Unit != "", e.Format == rawlog.JSON || isW3C, "json and w3c"},
		{"decode", len(e.Decode) > 0, isJSON || isW3C, "json, logpush and w3c"},
		{"absent", len(e.Absent) > 0, isJSON || isW3C, "json, logpush and w3c"},
		{"wrappers", len(e.Wrappers) > 0, isJSON, "json and logpush"},
		{"skip_prefix", e.SkipPrefix, isJSON, "json and logpush"},
	} {
		if s.set && !s.use {
			return fmt.Errorf("%s: format %q does not read it; leave it out, or use it with %s", s.key, e.Format, s.format)
		}
	}
	return nil
}

func (e *LogClickEntry) rule() (r rawlog.Rule, err error) {
	for i, p := range e.Paths {
		prefix, isPrefix := strings.CutSuffix(p, "*")
		switch {
		case p == "" || p[0] != '/' || strings.ContainsAny(prefix, "*?# "):
			return r, fmt.Errorf("paths[%d]: %q is no path; write it as it is sent, such as /c, or /go/* for all below", i, p)
		case isPrefix:
			r.Prefixes = append(r.Prefixes, prefix)
		default:
			r.Paths = append(r.Paths, p)
		}
	}
	for i, m := range e.Methods {
		if m == "" || strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return r, fmt.Errorf("methods[%d]: %q is no method; write for example GET", i, m)
		}
	}
	for i, h := range e.Hosts {
		if h == "" || strings.ContainsAny(h, "/*@ ") {
			return r, fmt.Errorf("hosts[%d]: %q is no host; write the bare name, such as clk.example", i, h)
		}
	}
	for i, s := range e.Statuses {
		from, to, ok := statusRange(s)
		if !ok {
			return r, fmt.Errorf("statuses[%d]: %q is no status; write 302, or 200-399 for a range", i, s)
		}
		r.Statuses = append(r.Statuses, rawlog.StatusRange{From: from, To: to})
	}
	r.Methods, r.Hosts = slices.Clone(e.Methods), slices.Clone(e.Hosts)
	return r, nil
}

func statusRange(s string) (from, to int, ok bool) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, err := strconv.Atoi(low)
	if err != nil {
		return 0, 0, false
	}
	to, err = strconv.Atoi(high)
	return from, to, err == nil && from >= 100 && from <= to && to <= 599
}
