package rawlog

import (
	"bytes"
	"io"
	"slices"

	"clickgate/gateway/edge"
)

// splitter cuts a stream into lines, or into what stands for one. An *edge.Error
// concerns this line; an error ends the stream.
type splitter interface {
	reset(r io.Reader, limit int)
	next() (Line, *edge.Error, error)
}

func (l *LineReader) next() (Line, *edge.Error, error) {
	line, err := l.Next()
	return line, nil, err
}

// jsonSplitter reads the three forms of JSON logs: a value per line, arrays, and
// arrays inside an object, as in {"events":[…]}. Batches may follow each other.
type jsonSplitter struct {
	LineReader
	wrappers []string
	form     jsonForm
	scan     jsonScan
	first    bool // no element of this array was read yet
	wrapped  bool
	batches  bool // there was one: white space that follows is no line
}

type jsonForm uint8

const (
	formUnknown jsonForm = iota
	formLines
	formArray
	formClosing // behind the array of a wrapper
)

// lookAhead is how far the opening of a batch may reach.
const lookAhead = 4 << 10

func (s *jsonSplitter) reset(r io.Reader, limit int) {
	s.LineReader.reset(r, limit)
	s.form, s.batches = formUnknown, false
}

func (s *jsonSplitter) next() (Line, *edge.Error, error) {
	if !s.begun {
		s.begun = true
		if err := s.w.begin(); err != nil {
			return Line{}, nil, err
		}
	}
	for {
		switch s.form {
		case formLines:
			line, err := s.line()
			return line, nil, err
		case formArray, formClosing:
			line, fault, ok := s.inBatch()
			if ok {
				return line, fault, nil
			}
			if err := s.broken(); err != nil {
				return line, nil, err
			}
		default:
			s.detect()
		}
	}
}

func (s *jsonSplitter) inBatch() (Line, *edge.Error, bool) {
	if s.form == formArray {
		return s.element()
	}
	return s.closeWrapper()
}

// broken returns the error of a stream that broke off, once all of it was read.
func (s *jsonSplitter) broken() error {
	if s.w.start < s.w.end || ended(s.w.err) {
		return nil
	}
	return s.w.err
}

// detect tells the form of what comes, and opens a batch.
func (s *jsonSplitter) detect() {
	head := s.w.peek(lookAhead)
	at := skipSpace(head, 0)
	if s.batches {
		s.w.start += at
		head, at = head[at:], 0
	}
	s.form = formLines
	switch {
	case at == len(head):
	case head[at] == '[':
		s.open(at+1, false)
	case head[at] == '{':
		if n := s.wrapperEnd(head, at); n > 0 {
			s.open(n, true)
		}
	}
}

func (s *jsonSplitter) open(n int, wrapped bool) {
	s.w.start += n
	s.form, s.first, s.wrapped, s.batches = formArray, true, wrapped, true
}

// wrapperEnd returns the index behind {"name":[ with the name of a wrapper, else 0.
func (s *jsonSplitter) wrapperEnd(b []byte, at int) int {
	at = skipSpace(b, at+1)
	if at == len(b) || b[at] != '"' {
		return 0
	}
	n := bytes.IndexByte(b[at+1:], '"')
	if n < 0 || !slices.Contains(s.wrappers, string(b[at+1:at+1+n])) {
		return 0
	}
	for _, c := range [...]byte{':', '['} {
		if c == ':' {
			at += n + 1
		}
		at = skipSpace(b, at+1)
		if at == len(b) || b[at] != c {
			return 0
		}
	}
	return at + 1
}

// element reads the next element of an array; ok is false when the array ends.
// From the place on where no element can be delimited, the rest of the stream is
// one malformed line: behind a quote that went missing, texts and structure have
// changed places, and a text of a third party could pass for an element.
func (s *jsonSplitter) element() (Line, *edge.Error, bool) {
	s.scan = jsonScan{}
	t := s.w.take(&s.scan)
	body, lead := trimSpace(t.head)
	line := Line{Bytes: body, Offset: t.offset + int64(lead), Length: t.length - int64(len(t.head)-len(body))}
	switch {
	case !t.ended && !ended(s.w.err):
		return line, nil, false
	case !t.ended:
		s.form = formLines
		return s.cut(line), fail(edge.CodeBadJSON, "", "the array is broken from here on: it does not end, or its brackets or quotes do not match"), true
	}
	empty := s.first && line.Length == 0 && s.scan.last == ']'
	s.first = false
	if s.scan.last == ']' {
		s.form = formUnknown
		if s.wrapped {
			s.form = formClosing
		}
	}
	switch {
	case empty:
		return Line{}, nil, false
	case line.Length == 0:
		return line, fail(edge.CodeBadJSON, "", "an element of the array is missing"), true
	}
	return s.cut(line), nil, true
}

func (s *jsonSplitter) cut(line Line) Line {
	if len(line.Bytes) > s.w.limit {
		line.Bytes = line.Bytes[:s.w.limit]
	}
	return line
}

// closeWrapper skips to the end of the object around an array.
func (s *jsonSplitter) closeWrapper() (Line, *edge.Error, bool) {
	s.scan = jsonScan{closing: true}
	t := s.w.take(&s.scan)
	s.form = formUnknown
	if t.ended || !ended(s.w.err) {
		return Line{}, nil, false
	}
	line := s.cut(Line{Bytes: t.head, Offset: t.offset, Length: t.length})
	return line, fail(edge.CodeBadJSON, "", "the object around the array does not end"), true
}

// jsonScan finds the end of an array's element, at a comma or bracket, or of the
// object around it. It counts curly and square brackets apart, so that any depth
// needs no memory; the parser of the element is strict.
type jsonScan struct {
	curly, square     int
	quoted, escaped   bool
	closing, hopeless bool
	last              byte // the byte that ended the token
}

func (s *jsonScan) find(b []byte) int {
	for i := 0; i < len(b) && !s.hopeless; i++ {
		if s.quoted {
			i = s.text(b, i)
			continue
		}
		switch b[i] {
		case '"':
			s.quoted = true
		case '{':
			s.curly++
		case '[':
			s.square++
		case '}':
			s.curly--
		case ']':
			s.square--
		case '\\':
			s.hopeless = true
		case ',':
		default:
			continue
		}
		if s.ends(b[i]) {
			s.last = b[i]
			return i
		}
	}
	return -1
}

// ends tells whether c, which was counted already, ends the token.
func (s *jsonScan) ends(c byte) bool {
	switch {
	case s.closing && c == '}' && s.curly == -1 && s.square == 0,
		!s.closing && c == ']' && s.square == -1 && s.curly == 0,
		!s.closing && c == ',' && s.square == 0 && s.curly == 0:
		return true
	}
	s.hopeless = s.hopeless || s.curly < 0 || s.square < 0
	return false
}

// text skips text of a quoted string from i and returns the last index skipped.
func (s *jsonScan) text(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch {
		case s.escaped:
			s.escaped = false
		case b[i] == '\\':
			s.escaped = true
		case b[i] == '"':
			s.quoted = false
			return i
		}
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// trimSpace returns b without white space around it, and how much led it.
func trimSpace(b []byte) (trimmed []byte, lead int) {
	lead = skipSpace(b, 0)
	b = b[lead:]
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b, lead
}
