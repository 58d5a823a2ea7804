package edge

import (
	"bytes"
	"fmt"
)

const (
	maxDepth = 8   // of nested objects and arrays, the item itself included
	maxKeys  = 128 // of one object; bounds the search for repeated ones
)

var byteOrderMark = []byte("\xEF\xBB\xBF")

// Scratch is reusable memory for ParseObject. The zero value is ready.
type Scratch struct {
	text []byte   // unescaped strings, appended to and never overwritten within one parse
	keys []string // keys of the objects that are open
}

// ParseObject reads one JSON object (RFC 8259) and calls visit for each member
// in order. It is stricter than the standard: in every part of the object it
// refuses repeated keys (compared after unescaping), invalid UTF-8, lone
// surrogates, U+0000, and nesting of more than 8; a byte order mark and
// anything but white space after the object are refused too. So no two readers
// can understand an accepted item differently.
//
// Keys and strings alias b or s and are valid until either is reused. An error
// of visit ends the parse and is returned as it is. When an error comes, visit
// may have run for earlier members: drop what it stored.
func ParseObject(b []byte, s *Scratch, visit func(key string, v Value) *Error) *Error {
	clear(s.keys[:cap(s.keys)]) // let go of the previous request's memory
	s.keys, s.text = s.keys[:0], s.text[:0]
	r := reader{b: b, s: s}
	if bytes.HasPrefix(b, byteOrderMark) {
		return r.fail(CodeBadBOM, "a byte order mark is allowed at the first byte of the body only")
	}
	r.space()
	if r.peek() != '{' {
		return r.fail(CodeNotObject, "a click must be a JSON object")
	}
	if err := r.object(visit); err != nil {
		return err
	}
	r.space()
	if r.i < len(b) {
		r.field = ""
		return r.fail(CodeTrailingData, "nothing may follow the object")
	}
	return nil
}

// reader walks b once from left to right; i is the next byte.
type reader struct {
	b     []byte
	i     int
	depth int
	field string // key of the outermost object that is being read
	s     *Scratch
}

func (r *reader) fail(code, message string) *Error {
	return fail(code, r.field, fmt.Sprintf("at byte %d: %s", r.i, message))
}

// peek returns the next byte, and 0 at the end: no grammar rule wants a NUL.
func (r *reader) peek() byte {
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

func (r *reader) accept(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.i++
	return true
}

func (r *reader) space() {
	for r.i < len(r.b) && isSpace(r.b[r.i]) {
		r.i++
	}
}

// isSpace reports white space of JSON.
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func (r *reader) enter() *Error {
	if r.depth == maxDepth {
		return r.fail(CodeTooDeep, fmt.Sprintf("nesting is limited to %d", maxDepth))
	}
	r.depth++
	r.i++
	r.space()
	return nil
}

func (r *reader) object(visit func(string, Value) *Error) *Error {
	if err := r.enter(); err != nil {
		return err
	}
	first := len(r.s.keys)
	for more := !r.accept('}'); more; {
		key, err := r.key(first)
		if err != nil {
			return err
		}
		v, err := r.value()
		if err != nil {
			return err
		}
		if visit != nil {
			if err := visit(key, v); err != nil {
				return err
			}
		}
		if more, err = r.next('}'); err != nil {
			return err
		}
	}
	r.s.keys = r.s.keys[:first]
	r.depth--
	return nil
}

func (r *reader) array() *Error {
	if err := r.enter(); err != nil {
		return err
	}
	for more := !r.accept(']'); more; {
		if _, err := r.value(); err != nil {
			return err
		}
		var err *Error
		if more, err = r.next(']'); err != nil {
			return err
		}
	}
	r.depth--
	return nil
}

// next reads what follows a member: a comma, or the closing byte.
func (r *reader) next(closing byte) (more bool, err *Error) {
	r.space()
	switch {
	case r.accept(','):
		r.space()
		return true, nil
	case r.accept(closing):
		return false, nil
	}
	return false, r.fail(CodeBadJSON, "a comma or a closing bracket is missing")
}

// key reads a key and its colon, and refuses one that the open object, whose
// keys begin at first, holds already.
func (r *reader) key(first int) (string, *Error) {
	if r.depth == 1 {
		r.field = ""
	}
	if r.peek() != '"' {
		return "", r.fail(CodeBadJSON, "a quoted key is missing")
	}
	raw, escaped, err := r.str()
	if err != nil {
		return "", err
	}
	key := r.s.unquote(raw, escaped)
	if r.depth == 1 {
		r.field = key
	}
	for _, k := range r.s.keys[first:] {
		if k == key {
			return "", r.fail(CodeRepeatedKey, "the key stands twice in one object")
		}
	}
	if len(r.s.keys)-first == maxKeys {
		return "", r.fail(CodeTooMany, fmt.Sprintf("an object is limited to %d keys", maxKeys))
	}
	r.s.keys = append(r.s.keys, key)
	r.space()
	if !r.accept(':') {
		return "", r.fail(CodeBadJSON, "a colon is missing after a key")
	}
	r.space()
	return key, nil
}

func (r *reader) value() (v Value, err *Error) {
	start := r.i
	switch c := r.peek(); {
	case c == '"':
		v.kind = KindString
		_, v.escaped, err = r.str()
	case c == '{':
		v.kind = KindObject
		err = r.object(nil)
	case c == '[':
		v.kind = KindArray
		err = r.array()
	case c == '-' || isDigit(c):
		v.kind = KindNumber
		err = r.number()
	default:
		v.kind, err = r.literal()
	}
	v.raw, v.field, v.scratch = r.b[start:r.i], r.field, r.s
	return v, err
}

func (r *reader) literal() (Kind, *Error) {
	rest := r.b[r.i:]
	switch {
	case bytes.HasPrefix(rest, []byte("true")):
		r.i += len("true")
		return KindBool, nil
	case bytes.HasPrefix(rest, []byte("false")):
		r.i += len("false")
		return KindBool, nil
	case bytes.HasPrefix(rest, []byte("null")):
		r.i += len("null")
		return KindNull, nil
	}
	return KindNull, r.fail(CodeBadJSON, "a value is missing")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// digits skips digits and returns their number.
func (r *reader) digits() (n int) {
	for isDigit(r.peek()) {
		r.i++
		n++
	}
	return n
}

func (r *reader) number() *Error {
	r.accept('-')
	if !r.accept('0') && r.digits() == 0 {
		return r.fail(CodeBadJSON, "a minus sign without digits")
	}
	if r.accept('.') && r.digits() == 0 {
		return r.fail(CodeBadJSON, "a decimal point without digits")
	}
	if r.accept('e') || r.accept('E') {
		if !r.accept('+') {
			r.accept('-')
		}
		if r.digits() == 0 {
			return r.fail(CodeBadJSON, "an exponent without digits")
		}
	}
	return nil
}
