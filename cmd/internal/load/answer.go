package load

import (
	"bytes"
	"errors"
	"strconv"
)

// errProtocol says that an answer is no HTTP/1.x as this client reads it.
var errProtocol = errors.New("the answer is no HTTP/1.1 answer")

// Lengths of a body that no header states.
const (
	lengthChunked = -1 // in chunks
	lengthClose   = -2 // until the connection ends
)

// maxStatus is the highest status there is (RFC 9110 section 15).
const maxStatus = 599

// maxLength bounds a stated body length; no answer of a gateway comes near it.
const maxLength = 16 << 20

// head is what counts of an answer's status line and headers.
type head struct {
	status int
	length int  // of the body, or one of the above
	close  bool // the connection ends after this answer
}

// parseHead reads the head of an answer at the start of b. n is its length, 0 while
// its end has not come. It does not allocate.
func parseHead(b []byte) (h head, n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return head{}, 0, nil
	}
	line, rest := cutLine(b[:end+2])
	if h, err = parseStatus(line); err != nil {
		return head{}, 0, err
	}
	stated := false
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		if err := h.header(line, &stated); err != nil {
			return head{}, 0, err
		}
	}
	if h.status < 200 || h.status == 204 || h.status == 304 {
		h.length = 0
	}
	h.close = h.close || h.length == lengthClose
	return h, end + 4, nil
}

// cutLine returns a line without its CRLF, and what follows. b ends in CRLF.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.Index(b, []byte("\r\n"))
	return b[:i], b[i+2:]
}

// parseStatus reads "HTTP/1.1 204 No Content".
func parseStatus(line []byte) (head, error) {
	const version = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || string(line[:len(version)]) != version || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return head{}, errProtocol
	}
	status, ok := number(line[9:12])
	if !ok || status < 100 || status > maxStatus || line[7] != '0' && line[7] != '1' {
		return head{}, errProtocol
	}
	return head{status: status, length: lengthClose, close: line[7] == '0'}, nil
}

// header reads one header. Two statements of the body's length are an error.
func (h *head) header(line []byte, stated *bool) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return errProtocol
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, ok := number(value)
		if !ok || n > maxLength || *stated {
			return errProtocol
		}
		h.length, *stated = n, true
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if !bytes.EqualFold(value, []byte("chunked")) || *stated {
			return errProtocol
		}
		h.length, *stated = lengthChunked, true
	case bytes.EqualFold(name, []byte("Connection")):
		h.close = h.close && !bytes.EqualFold(value, []byte("keep-alive")) || bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// number reads decimal digits and nothing else, up to 9 of them.
func number(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// chunk reads a chunk's size line at the start of b. n is the length of the line, 0
// while its end has not come. Extensions are passed over.
func chunk(b []byte) (size, n int, err error) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		if len(b) > 256 {
			return 0, 0, errProtocol
		}
		return 0, 0, nil
	}
	digits, _, _ := bytes.Cut(b[:end], []byte(";"))
	v, err := strconv.ParseUint(string(digits), 16, 32)
	if err != nil || v > maxLength || digits[0] == '+' {
		return 0, 0, errProtocol
	}
	return int(v), end + 2, nil
}
