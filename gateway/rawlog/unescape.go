package rawlog

import "strings"

// Auto is a number of layers: decode once, and once more if %20 is left. It is
// the rule for agents of CloudFront, where both forms are in use.
const Auto = -1

// maxLayers bounds the layers of percent encoding that a log may add.
const maxLayers = 2

// decode removes layers of percent encoding from s. A plus is a plus, and a
// percent sign without two hexadecimal digits is itself.
func (r *Record) decode(s string, layers int) string {
	if layers == Auto {
		s = r.unpercent(s)
		if strings.Contains(s, "%20") {
			s = r.unpercent(s)
		}
		return s
	}
	for range layers {
		s = r.unpercent(s)
	}
	return s
}

func (r *Record) unpercent(s string) string {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s
	}
	start := len(r.text)
	for ; at >= 0; at = strings.IndexByte(s, '%') {
		r.text = append(r.text, s[:at]...)
		c, ok := hexByte(s[at+1:])
		if ok {
			s = s[at+3:]
		} else {
			c, s = '%', s[at+1:]
		}
		r.text = append(r.text, c)
	}
	r.text = append(r.text, s...)
	return view(r.text[start:])
}

// unescape undoes what Apache and nginx do to the texts of their logs: \" \\
// \n \r \t \b \v \f and \xHH. Anything else that a backslash begins is itself.
func (r *Record) unescape(b []byte) string {
	start := len(r.text)
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			if d := simpleEscape(b[i+1]); d != 0 {
				c = d
				i++
			} else if d, ok := hexByte(view(b[i+2:])); ok && b[i+1] == 'x' {
				c = d
				i += 3
			}
		}
		r.text = append(r.text, c)
	}
	return view(r.text[start:])
}

// simpleEscape returns what a two-byte escape stands for, 0 for another byte.
func simpleEscape(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'v':
		return '\v'
	case 'f':
		return '\f'
	}
	return 0
}

// hexByte reads two hexadecimal digits at the start of s.
func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	high, low := hexDigit(s[0]), hexDigit(s[1])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// hexDigit returns the value of a hexadecimal digit, else -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
