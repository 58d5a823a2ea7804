package rawlog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clickgate/gateway/edge"
)

// Kind says what a line turned out to be.
type Kind uint8

// Kinds of lines. Every line is exactly one.
const (
	Malformed  Kind = iota // the line is not what its format promises
	Request                // the record holds a request
	NotRequest             // the line is sound but no request was made: a TLS hello, an empty connection
	Comment                // a directive, a comment or a validation probe: counts as nothing
	Blank                  // white space
)

var kindNames = [...]string{"malformed", "request", "not_request", "comment", "blank"}

// String returns the snake_case name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Parser reads lines of one log. It remembers what the log's own directives say
// (#Fields), so every log needs a fresh or a Reset one.
type Parser interface {
	// Parse fills rec from a line without its end. The error is not nil exactly
	// for Malformed. The record's texts are valid until the next Parse, and as
	// long as line is left alone. Offset is not touched.
	Parse(line []byte, rec *Record) (Kind, *edge.Error)
	// Reset forgets what the log said.
	Reset()
}

// Names of formats.
const (
	Combined = "combined" // Apache and nginx, with referer and agent
	Common   = "common"   // NCSA common log format; what follows the size is ignored
	W3C      = "w3c"      // W3C extended: CloudFront standard and, with Columns, real-time logs
	JSON     = "json"     // JSON objects, read by Keys
	Logpush  = "logpush"  // Cloudflare Logpush, dataset http_requests
)

// Format says how the lines of a source are to be read. Only Name is needed.
//
// Columns, Keys and Decode use the names of fields that [Fields] lists.
type Format struct {
	Name string

	// Columns of W3C logs that have no #Fields line, in order: names of W3C or
	// CloudFront columns or of fields, others are skipped. Lines may have more
	// columns than these, because CDNs append new ones.
	Columns []string

	// Keys of JSON logs by field: a key of the object, or "outer.inner". For
	// Logpush they come on top of its own.
	Keys map[string]string

	// Unit of times that are numbers. Default: s for W3C, ms for JSON; Logpush's
	// own two are fixed.
	Unit Unit

	// Decode is how many layers of percent encoding the log added to the fields
	// path, query, referer and user_agent: 0, 1, 2 or Auto. A value cannot tell.
	// W3C default: query 1, referer 1, user_agent Auto; else none.
	Decode map[string]int

	// Absent are texts that stand for no value, beside the empty one: "-" is
	// always among them for W3C, nothing for JSON.
	Absent []string

	// Wrappers are keys of JSON logs that hold an array of records, when the body
	// is an object around it. Default: events.
	Wrappers []string

	// SkipPrefix ignores what stands before the first { of a JSON line, as
	// syslog-like senders write it. Such logs have a record per line, no arrays.
	SkipPrefix bool
}

// Fields returns the names of fields, sorted. uri is path and query in one;
// fallback_time is read when time is absent; a request_source other than eyeball
// is a subrequest of the CDN; a sample_rate other than 1 marks a sampled log.
func Fields() []string { return slices.Sorted(maps.Keys(fieldsByName)) }

// Parser returns a parser, or says which setting is wrong.
func (f Format) Parser() (Parser, error) {
	cells, err := f.cells()
	if err == nil {
		err = f.misplaced()
	}
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", f.Name, err)
	}
	switch f.Name {
	case Combined, Common:
		return &combined{common: f.Name == Common}, nil
	case W3C:
		return newW3C(f.Columns, cells)
	case JSON, Logpush:
		return newJSON(f, cells)
	}
	return nil, fmt.Errorf("format %q is unknown; use %s, %s, %s, %s or %s", f.Name, Combined, Common, W3C, JSON, Logpush)
}

// misplaced names a setting that this format would ignore.
func (f Format) misplaced() error {
	json := f.Name == JSON || f.Name == Logpush
	for _, s := range [...]struct {
		name     string
		set, has bool
	}{
		{"columns", len(f.Columns) > 0, f.Name == W3C},
		{"keys", len(f.Keys) > 0, json},
		{"unit", f.Unit != "", f.Name == W3C || f.Name == JSON},
		{"decode", len(f.Decode) > 0, f.Name == W3C || json},
		{"absent", len(f.Absent) > 0, f.Name == W3C || json},
		{"wrappers", len(f.Wrappers) > 0, json},
		{"skip_prefix", f.SkipPrefix, json},
	} {
		if s.set && !s.has {
			return fmt.Errorf("%s: this format has no such setting; remove it", s.name)
		}
	}
	return nil
}

// splitter returns the way from a stream to lines of this format.
func (f Format) splitter() splitter {
	if f.Name != JSON && f.Name != Logpush || f.SkipPrefix { // a prefix may begin like an array
		return &LineReader{}
	}
	wrappers := f.Wrappers
	if wrappers == nil {
		wrappers = []string{"events"}
	}
	return &jsonSplitter{wrappers: wrappers}
}

// cells resolves the settings that W3C and JSON share.
func (f Format) cells() (cells, error) {
	c := cells{unit: f.Unit, absent: slices.Clone(f.Absent)}
	switch f.Name {
	case W3C:
		c.absent = append(c.absent, "-")
		c.layers = map[field]int{fieldQuery: 1, fieldReferer: 1, fieldAgent: Auto}
		c.unit = orUnit(f.Unit, UnitSeconds)
	case JSON:
		c.unit = orUnit(f.Unit, UnitMillis)
	case Logpush:
		c.unit = UnitLogpush
	}
	if c.unit != "" && !c.unit.valid() {
		return cells{}, fmt.Errorf("unit %q is unknown; use s, ms, us or ns", f.Unit)
	}
	for name, layers := range f.Decode {
		id := fieldsByName[name]
		if id != fieldPath && id != fieldQuery && id != fieldReferer && id != fieldAgent {
			return cells{}, fmt.Errorf("decode: %q cannot be decoded; path, query, referer and user_agent can", name)
		}
		if layers < Auto || layers > maxLayers {
			return cells{}, fmt.Errorf("decode: %s: %d layers are not supported; use 0, 1, 2 or -1 for automatic", name, layers)
		}
		c.setLayers(id, layers)
	}
	return c, nil
}

func orUnit(u, fallback Unit) Unit {
	if u == "" {
		return fallback
	}
	return u
}

// columnField returns the field of a column, fieldNone for one to skip.
func columnField(name string) field {
	name = strings.ToLower(name)
	if id, ok := columnsByName[name]; ok {
		return id
	}
	return fieldsByName[name]
}
