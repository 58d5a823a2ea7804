package edge

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain marks the bytes of a string that need no second look.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// str reads a string and returns what stands between its quotes.
func (r *reader) str() (raw []byte, escaped bool, err *Error) {
	r.i++
	start := r.i
	for {
		r.plainText()
		switch c := r.peek(); {
		case r.i == len(r.b):
			return nil, false, r.fail(CodeBadJSON, "a string does not end")
		case c == '"':
			r.i++
			return r.b[start : r.i-1], escaped, nil
		case c == '\\':
			escaped = true
			if err := r.escape(); err != nil {
				return nil, false, err
			}
		case c == 0:
			return nil, false, r.fail(CodeNULByte, "a string holds a NUL byte")
		case c < ' ':
			return nil, false, r.fail(CodeControlCharacter, "a control character in a string must be escaped")
		default:
			_, n := utf8.DecodeRune(r.b[r.i:])
			if n == 1 {
				return nil, false, r.fail(CodeBadUTF8, "a string holds bytes that are no UTF-8")
			}
			r.i += n
		}
	}
}

// plainText skips bytes that need no second look, the bulk of every item.
func (r *reader) plainText() {
	b := r.b[r.i:]
	for n, c := range b {
		if !plain[c] {
			r.i += n
			return
		}
	}
	r.i = len(r.b)
}

// escape reads one escape, or two that make a surrogate pair.
func (r *reader) escape() *Error {
	if r.i+1 < len(r.b) && simpleEscape(r.b[r.i+1]) != 0 {
		r.i += 2
		return nil
	}
	c := hex4(r.b[r.i:])
	switch {
	case c < 0:
		return r.fail(CodeBadJSON, "an unknown escape in a string")
	case c == 0:
		return r.fail(CodeNULByte, "a string holds U+0000")
	case c >= 0xD800 && c < 0xDC00:
		low := hex4(r.b[r.i+6:])
		if low < 0xDC00 || low > 0xDFFF {
			return r.fail(CodeLoneSurrogate, "a high surrogate needs a low one after it")
		}
		r.i += 6
	case c >= 0xDC00 && c < 0xE000:
		return r.fail(CodeLoneSurrogate, "a low surrogate needs a high one before it")
	}
	r.i += 6
	return nil
}

// unquote returns the text of a checked string body: body itself, or without
// escapes in s. Text never grows by unescaping, and s.text is only appended to,
// so earlier strings stay whole even when it moves.
func (s *Scratch) unquote(body []byte, escaped bool) string {
	if !escaped {
		return alias(body)
	}
	start := len(s.text)
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			s.text = append(s.text, body[i])
			i++
			continue
		}
		if c := simpleEscape(body[i+1]); c != 0 {
			s.text = append(s.text, c)
			i += 2
			continue
		}
		c := hex4(body[i:])
		i += 6
		if utf16.IsSurrogate(c) {
			c = utf16.DecodeRune(c, hex4(body[i:]))
			i += 6
		}
		s.text = utf8.AppendRune(s.text, c)
	}
	return alias(s.text[start:])
}

// simpleEscape returns what a two-byte escape stands for, 0 for another byte.
func simpleEscape(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// hex4 returns the code unit of a \uXXXX at the start of b, else -1.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		d := hexDigit(c)
		if d < 0 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	return r
}

// hexDigit returns the value of a hexadecimal digit, else -1.
func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
