package rawlog

import (
	"io"

	"clickgate/gateway/edge"
)

// Entry is one line of a scan. All of it is valid until the visitor returns.
type Entry struct {
	Kind   Kind
	Err    *edge.Error // why a line is Malformed, else nil
	Length int64       // of the whole line in bytes; more than len(Line) if only its beginning is kept
	Record             // Offset and Line always; the rest for Request, and what there is for NotRequest
}

// Summary accounts for a scan: Lines is the sum of the five counts behind it.
type Summary struct {
	Lines       int64
	Requests    int64
	NotRequests int64
	Comments    int64
	Blank       int64
	Malformed   int64

	Bytes  int64 // decompressed bytes read
	Broken int64 // bytes of a last line that a damaged stream broke off; it is no line
}

func (s *Summary) count(k Kind) {
	s.Lines++
	switch k {
	case Request:
		s.Requests++
	case NotRequest:
		s.NotRequests++
	case Comment:
		s.Comments++
	case Blank:
		s.Blank++
	default:
		s.Malformed++
	}
}

// Scan reads a log, plain or gzip, and calls visit for each line that is a
// Request, NotRequest or Malformed; comments and blank lines are only counted.
//
// The error is visit's own, which ends the scan behind its line, or says that
// the stream is no log to its end: a *StreamError, an *edge.Error of
// CodeBadEncoding, or the error of r. Lines before that were visited and stand in
// the Summary.
func Scan(r io.Reader, f Format, limits Limits, visit func(*Entry) error) (Summary, error) {
	s, err := NewScanner(f, limits)
	if err != nil {
		return Summary{}, err
	}
	return s.Scan(r, visit)
}

// Scanner scans one log after the other with the same memory. Batches of small
// records, such as those of Firehose, are why it exists.
type Scanner struct {
	parser   Parser
	splitter splitter
	stream   Stream
	limits   Limits
	entry    Entry
}

// NewScanner returns a scanner, or says which setting of the format is wrong.
func NewScanner(f Format, limits Limits) (*Scanner, error) {
	p, err := f.Parser()
	if err != nil {
		return nil, err
	}
	return &Scanner{parser: p, splitter: f.splitter(), limits: limits.withDefaults()}, nil
}

// Scan is like the function Scan.
func (s *Scanner) Scan(r io.Reader, visit func(*Entry) error) (sum Summary, err error) {
	s.parser.Reset()
	s.stream.reset(r, s.limits)
	s.splitter.reset(&s.stream, s.limits.LineBytes)
	defer func() { sum.Bytes = s.stream.Good() }()
	for {
		line, fault, err := s.splitter.next()
		if ended(err) {
			return sum, nil
		}
		if err != nil {
			sum.Broken = line.Length
			return sum, err
		}
		s.read(line, fault)
		sum.count(s.entry.Kind)
		if s.entry.Kind == Comment || s.entry.Kind == Blank {
			continue
		}
		if err := visit(&s.entry); err != nil {
			return sum, err
		}
	}
}

// read turns a line into the entry.
func (s *Scanner) read(line Line, fault *edge.Error) {
	e := &s.entry
	e.Offset, e.Length = line.Offset, line.Length
	if fault == nil {
		fault = line.TooLong()
	}
	if fault != nil {
		e.reset(line.Bytes)
		e.Kind, e.Err = Malformed, fault
		return
	}
	e.Kind, e.Err = s.parser.Parse(line.Bytes, &e.Record)
}
