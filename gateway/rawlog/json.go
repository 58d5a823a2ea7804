package rawlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"clickgate/gateway/edge"
)

// logpushKeys are the fields of Cloudflare's dataset http_requests that matter.
var logpushKeys = map[string]string{
	"request_id": "RayID", "time": "EdgeStartTimestamp", "fallback_time": "Datetime", "ip": "ClientIP",
	"method": "ClientRequestMethod", "scheme": "ClientRequestScheme", "host": "ClientRequestHost",
	"uri": "ClientRequestURI", "path": "ClientRequestPath", "protocol": "ClientRequestProtocol",
	"status": "EdgeResponseStatus", "referer": "ClientRequestReferer", "user_agent": "ClientRequestUserAgent",
	"country": "ClientCountry", "request_source": "ClientRequestSource", "sample_rate": "SampleRate",
}

// jsonParser reads one JSON object per line by a table of keys. It is as strict
// as package edge: what two readers could understand differently is malformed.
type jsonParser struct {
	keys       map[string]field
	parents    map[string]*jsonParent
	skipPrefix bool
	probe      bool // {"content":"tests"} is Logpush's trial of its destination

	cells   cells
	scratch edge.Scratch
	visit   func(string, edge.Value) *edge.Error
	content string
	members int
}

// jsonParent is an inner object that holds fields. Each has its own scratch
// memory, because texts of all of them live as long as the line.
type jsonParent struct {
	keys    map[string]field
	scratch edge.Scratch
	visit   func(string, edge.Value) *edge.Error
}

func newJSON(f Format, c cells) (Parser, error) {
	p := &jsonParser{keys: map[string]field{}, parents: map[string]*jsonParent{}, skipPrefix: f.SkipPrefix, cells: c}
	p.cells.ready()
	p.visit = p.member
	if f.Name == Logpush {
		p.probe = true
		for name, key := range logpushKeys {
			p.keys[key] = fieldsByName[name]
		}
		p.keys["sample_rate"] = fieldSampleRate
	}
	var seen [numFields]bool
	for _, id := range p.keys {
		seen[id] = true
	}
	for name, key := range f.Keys {
		id := fieldsByName[name]
		if id == fieldNone {
			return nil, fmt.Errorf("keys: field %q is unknown; use one of %s", name, strings.Join(Fields(), ", "))
		}
		if err := p.bind(id, key); err != nil {
			return nil, fmt.Errorf("keys: %s: %w", name, err)
		}
		seen[id] = true
	}
	switch {
	case !seen[fieldTime] && !seen[fieldFallbackTime]:
		return nil, errors.New("keys: no key holds the time")
	case !seen[fieldPath] && !seen[fieldURI] && !seen[fieldToken]:
		return nil, errors.New("keys: no key holds the request; name path, uri or token")
	}
	return p, nil
}

// bind makes a key mean a field: the key itself, and "outer.inner" also as a
// member of an inner object.
func (p *jsonParser) bind(id field, key string) error {
	if key == "" {
		return errors.New("the key is empty")
	}
	if other, taken := p.keys[key]; taken && other != id {
		return fmt.Errorf("the key %q means another field already", key)
	}
	p.keys[key] = id
	outer, inner, ok := strings.Cut(key, ".")
	if !ok {
		return nil
	}
	parent := p.parents[outer]
	if parent == nil {
		parent = &jsonParent{keys: map[string]field{}}
		parent.visit = func(key string, v edge.Value) *edge.Error { return p.store(parent.keys, key, v) }
		p.parents[outer] = parent
	}
	parent.keys[inner] = id
	return nil
}

// Reset implements Parser.
func (p *jsonParser) Reset() {}

// Parse implements Parser.
func (p *jsonParser) Parse(line []byte, rec *Record) (Kind, *edge.Error) {
	rec.reset(line)
	if isBlank(line) {
		return Blank, nil
	}
	if at := bytes.IndexByte(line, '{'); p.skipPrefix && at > 0 {
		line = line[at:]
	}
	p.cells.clear()
	p.content, p.members = "", 0
	if err := edge.ParseObject(line, &p.scratch, p.visit); err != nil {
		return Malformed, err
	}
	if p.probe && p.members == 1 && p.content == "tests" {
		return Comment, nil
	}
	return p.cells.record(rec)
}

func (p *jsonParser) member(key string, v edge.Value) *edge.Error {
	p.members++
	if p.probe && key == "content" && v.Kind() == edge.KindString {
		p.content, _ = v.String()
	}
	if parent := p.parents[key]; parent != nil && v.Kind() == edge.KindObject {
		return edge.ParseObject(v.Raw(), &parent.scratch, parent.visit)
	}
	return p.store(p.keys, key, v)
}

// store keeps the value of a key that means something. Numbers are kept as they
// are written.
func (p *jsonParser) store(keys map[string]field, key string, v edge.Value) *edge.Error {
	id := keys[key]
	if id == fieldNone {
		return nil
	}
	var s string
	switch v.Kind() {
	case edge.KindNull:
		return nil
	case edge.KindString:
		s, _ = v.String()
	case edge.KindNumber:
		s = view(v.Raw())
	default:
		return fail(edge.CodeWrongType, fieldNames[id], "the value must be a text or a number")
	}
	if p.cells.value[id] != "" {
		return fail(edge.CodeRepeatedKey, fieldNames[id], "two keys of the line mean this field; which one is right cannot be known")
	}
	p.cells.set(id, s)
	return nil
}

var fieldNames = func() (names [numFields]string) {
	for name, id := range fieldsByName {
		names[id] = name
	}
	return names
}()
