package rawlog

import (
	"bytes"

	"clickgate/gateway/edge"
)

// combined reads the combined and the common log format, with the escapes of
// Apache and of nginx:
//
//	ip ident user [10/Nov/2026:12:00:00 +0000] "request" status bytes "referer" "agent"
//
// What follows the agent, or the bytes of a common log, is ignored. The user may
// hold spaces. A line that begins with # is a comment.
type combined struct {
	common bool
	clock  clock
}

// Reset implements Parser.
func (p *combined) Reset() {}

// Parse implements Parser.
func (p *combined) Parse(line []byte, rec *Record) (Kind, *edge.Error) {
	rec.reset(line)
	switch {
	case isBlank(line):
		return Blank, nil
	case line[0] == '#':
		return Comment, nil
	}
	ip, rest, _ := bytes.Cut(line, []byte{' '})
	at := timeStart(rest)
	if at < 0 {
		return badLine("there is no [time] followed by a quoted request")
	}
	rec.IP = parseAddr(view(ip))
	var err *edge.Error
	if rec.Time, err = p.clock.parseCLF(rest[at : at+clfTime]); err != nil {
		return Malformed, err
	}
	rest = rest[at+clfTime+len("] "):]
	request, rest, ok := rec.quoted(rest)
	if !ok {
		return badLine("the request does not end in a quote and a space; quotes inside must be escaped")
	}
	status, rest, _ := bytes.Cut(rest, []byte{' '})
	size, rest, _ := bytes.Cut(rest, []byte{' '})
	if !isSize(size) {
		return badLine("status and size do not follow the request")
	}
	if string(status) != "-" {
		if rec.Status, err = parseStatus(view(status)); err != nil {
			return Malformed, err
		}
	}
	if !p.common && !rec.setClient(rest) {
		return badLine("quoted referer and agent do not follow the size; the line was cut off, or its quotes are not escaped")
	}
	if !rec.setRequest(request) {
		return NotRequest, nil
	}
	return Request, nil
}

// setClient reads `"referer" "agent"`.
func (r *Record) setClient(b []byte) (ok bool) {
	var rest []byte
	if r.Referer, rest, ok = r.quoted(b); !ok {
		return false
	}
	if r.UserAgent, _, ok = r.quoted(rest); !ok {
		return false
	}
	r.Referer, r.UserAgent = dash(r.Referer), dash(r.UserAgent)
	return true
}

// dash drops the text that stands for an absent one.
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

const clfTime = len("10/Nov/2026:12:00:00 +0000")

// timeStart returns the index of the time. A user name is the client's choice
// and may look like a time, but no quote stands in it unescaped: the time is
// the first one that a quoted request follows.
func timeStart(b []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '[')
		if n < 0 {
			return -1
		}
		at += n + 1
		if end := at + clfTime; end+3 <= len(b) && string(b[end:end+3]) == `] "` {
			return at
		}
	}
}

// quoted reads a quoted text, which a space or the line's end must follow.
func (r *Record) quoted(b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return "", nil, false
	}
	b = b[1:]
	end := bytes.IndexByte(b, '"')
	escaped := end > 0 && bytes.IndexByte(b[:end], '\\') >= 0
	if escaped {
		end = escapedEnd(b)
	}
	switch {
	case end < 0:
		return "", nil, false
	case end+1 == len(b):
		rest = nil
	case b[end+1] != ' ':
		return "", nil, false
	default:
		rest = b[end+2:]
	}
	if escaped {
		return r.unescape(b[:end]), rest, true
	}
	return view(b[:end]), rest, true
}

// escapedEnd returns the index of the first quote that no backslash escapes.
func escapedEnd(b []byte) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

func isSize(b []byte) bool {
	if string(b) == "-" {
		return true
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

func isBlank(b []byte) bool { return skipSpace(b, 0) == len(b) }

func badLine(message string) (Kind, *edge.Error) {
	return Malformed, fail(CodeBadLine, "", message)
}
