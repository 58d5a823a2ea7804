package rawlog

import (
	"bytes"
	"fmt"
	"io"

	"clickgate/gateway/edge"
)

// Line is a line as it stands in the decompressed stream.
type Line struct {
	Bytes  []byte // without its end; of a line beyond the limit the first bytes
	Offset int64  // of its first byte in the decompressed stream
	Length int64  // of the whole line; more than len(Bytes) says that it was too long
}

// TooLong returns CodeLineTooLong if the line is beyond the limit, else nil.
func (l *Line) TooLong() *edge.Error {
	if l.Length == int64(len(l.Bytes)) {
		return nil
	}
	return fail(CodeLineTooLong, "", fmt.Sprintf("the line has %d bytes, more than the limit; its first %d are kept", l.Length, len(l.Bytes)))
}

// LineReader reads lines of any length in bounded memory.
type LineReader struct {
	w     window
	begun bool
}

// NewLineReader returns a reader of the lines of r, which must be plain text
// (see Decompress). limit is the longest line in bytes; 0 means 1 MiB.
func NewLineReader(r io.Reader, limit int) *LineReader {
	l := &LineReader{}
	l.reset(r, Limits{LineBytes: limit}.withDefaults().LineBytes)
	return l
}

func (l *LineReader) reset(r io.Reader, limit int) {
	l.w.reset(r, limit)
	l.begun = false
}

// Next returns the next line; its Bytes are valid until the next call. LF and
// CRLF end a line, the last one needs no end. A UTF-8 byte order mark at byte 0
// is skipped. A line beyond the limit comes cut, and reading goes on behind it.
//
// The error is io.EOF at the end, an *edge.Error of CodeBadEncoding if the
// stream begins as UTF-16 or UTF-32, or the reader's. Then Line holds what there
// is of a line that the error broke off, often nothing.
func (l *LineReader) Next() (Line, error) {
	if !l.begun {
		l.begun = true
		if err := l.w.begin(); err != nil {
			return Line{}, err
		}
	}
	return l.line()
}

type lineEnd struct{}

func (lineEnd) find(b []byte) int { return bytes.IndexByte(b, '\n') }

func (l *LineReader) line() (Line, error) {
	t := l.w.take(lineEnd{})
	line := Line{Bytes: t.head, Offset: t.offset, Length: t.length}
	if n := len(line.Bytes); int64(n) == t.length && n > 0 && line.Bytes[n-1] == '\r' {
		line.Bytes, line.Length = line.Bytes[:n-1], line.Length-1
	}
	if len(line.Bytes) > l.w.limit {
		line.Bytes = line.Bytes[:l.w.limit]
	}
	switch {
	case t.ended || ended(l.w.err) && t.length > 0:
		return line, nil
	default:
		return line, l.w.err
	}
}

// begin skips a byte order mark and refuses wide encodings by name.
func (w *window) begin() error {
	head := w.peek(4)
	if name := wideEncoding(head); name != "" {
		return fail(edge.CodeBadEncoding, "", "the log is "+name+"; convert it to UTF-8")
	}
	if bytes.HasPrefix(head, []byte("\xEF\xBB\xBF")) {
		w.start += 3
	}
	return nil
}

// wideEncoding names UTF-16 and UTF-32 by their byte order marks or, as logs
// begin with two ASCII characters, by where their NUL bytes stand. Four NULs are
// no encoding: rotated files have holes.
func wideEncoding(head []byte) string {
	for _, m := range [...]struct{ mark, name string }{
		{"\x00\x00\xFE\xFF", "UTF-32BE"}, {"\xFF\xFE\x00\x00", "UTF-32LE"}, // before the mark that is its prefix
		{"\xFE\xFF", "UTF-16BE"}, {"\xFF\xFE", "UTF-16LE"},
	} {
		if bytes.HasPrefix(head, []byte(m.mark)) {
			return m.name
		}
	}
	if len(head) < 4 {
		return ""
	}
	switch [4]bool{head[0] == 0, head[1] == 0, head[2] == 0, head[3] == 0} {
	case [4]bool{false, true, false, true}:
		return "UTF-16LE"
	case [4]bool{true, false, true, false}:
		return "UTF-16BE"
	case [4]bool{false, true, true, true}:
		return "UTF-32LE"
	case [4]bool{true, true, true, false}:
		return "UTF-32BE"
	}
	return ""
}
