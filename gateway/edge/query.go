package edge

import (
	"bytes"
	"fmt"
)

// Limits of a click query.
const (
	MaxQueryBytes = 8192
	MaxQueryPairs = 128
)

// Pair is one parameter of a query, decoded.
type Pair struct {
	Key   string
	Value string
	Known int // index into the known parameters, -1 for another
}

// Query parses click queries; it is memory to reuse. The zero value is ready.
type Query struct {
	Pairs []Pair // in order; unknown keys may repeat, and may hold any bytes
	text  []byte
}

// Parse reads the query part of a click URL, without its question mark. Live
// requests and lines of access logs go through this one rule:
//
//   - only & separates; a semicolon is data;
//   - + is a space; a % that two hexadecimal digits do not follow is itself;
//   - a key without = has the empty value; pairs without a key are dropped;
//   - a known parameter must stand once (keys compare after decoding), and its
//     value must be UTF-8 without U+0000;
//   - other parameters may repeat and may hold any bytes.
//
// Errors are CodeRepeatedParameter, CodeBadUTF8, CodeNULByte, CodeTooLong and
// CodeTooMany; after one, Pairs is what was read before it. The strings of
// Pairs alias raw and q and are valid until either is reused.
func (q *Query) Parse(raw []byte, known []string) *Error {
	clear(q.Pairs)
	q.Pairs, q.text = q.Pairs[:0], q.text[:0]
	if len(raw) > MaxQueryBytes {
		return fail(CodeTooLong, "", fmt.Sprintf("a query is limited to %d bytes", MaxQueryBytes))
	}
	if cap(q.text) < len(raw) { // decoding never grows a text: it cannot move below
		q.text = make([]byte, 0, max(len(raw), 512))
	}
	for len(raw) > 0 {
		piece := raw
		if n := bytes.IndexByte(raw, '&'); n >= 0 {
			piece, raw = raw[:n], raw[n+1:]
		} else {
			raw = nil
		}
		if err := q.add(piece, known); err != nil {
			return err
		}
	}
	return nil
}

// Get returns the value of the known parameter with this index. Absent and
// empty are told apart by ok.
func (q *Query) Get(known int) (value string, ok bool) {
	for i := range q.Pairs {
		if q.Pairs[i].Known == known {
			return q.Pairs[i].Value, true
		}
	}
	return "", false
}

func (q *Query) add(piece []byte, known []string) *Error {
	key, value, _ := bytes.Cut(piece, []byte{'='})
	if len(key) == 0 {
		return nil
	}
	if len(q.Pairs) == MaxQueryPairs {
		return fail(CodeTooMany, "", fmt.Sprintf("a query is limited to %d parameters", MaxQueryPairs))
	}
	p := Pair{Key: q.decode(key), Value: q.decode(value), Known: -1}
	for i, name := range known {
		if p.Key == name {
			p.Known = i
			if err := q.checkKnown(name, p); err != nil {
				return err
			}
		}
	}
	q.Pairs = append(q.Pairs, p)
	return nil
}

func (q *Query) checkKnown(name string, p Pair) *Error {
	if _, repeated := q.Get(p.Known); repeated {
		return fail(CodeRepeatedParameter, name, "the parameter stands twice; send it once")
	}
	return CheckText(name, p.Value, MaxQueryBytes)
}

// decode undoes percent encoding: in place in q.text, or not at all if b has none.
func (q *Query) decode(b []byte) string {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return alias(b)
	}
	start := len(q.text)
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(b) && hexDigit(b[i+1]) >= 0 && hexDigit(b[i+2]) >= 0:
			c = byte(hexDigit(b[i+1])<<4 | hexDigit(b[i+2]))
			i += 2
		}
		q.text = append(q.text, c)
	}
	return alias(q.text[start:])
}
