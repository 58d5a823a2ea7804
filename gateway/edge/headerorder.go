package edge

import "bytes"

// orderBits is how many bits name a header in an order, and ordered the headers that
// count: those that a browser sends with every request of a kind. Others come and go with
// the page.
const orderBits = 3

var ordered = [...]string{"user-agent", "accept", "accept-language", "accept-encoding", "sec-ch-ua", "sec-fetch-site"}

// HeaderOrder names the order in which a request's headers came, from its raw header lines
// as they were received: three bits for each of User-Agent, Accept, Accept-Language,
// Accept-Encoding, Sec-CH-UA and Sec-Fetch-Site that is there, by its first line, the last
// in the lowest bits. Names count without regard to case. It is 0 when none is there. What
// stands in front of a server may reorder headers, and HTTP/2 ones come in what order it
// likes. It allocates nothing.
func HeaderOrder(raw []byte) (order uint32) {
	seen := 0
	for len(raw) > 0 {
		line := raw
		if end := bytes.IndexByte(raw, '\n'); end >= 0 {
			line, raw = raw[:end], raw[end+1:]
		} else {
			raw = nil
		}
		if n := orderedHeader(line); n > 0 && seen&(1<<n) == 0 {
			seen |= 1 << n
			order = order<<orderBits | uint32(n)
		}
	}
	return order
}

// orderedHeader is the place of a line's header among those that count, from 1; else 0.
func orderedHeader(line []byte) int {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return 0
	}
	for i, name := range ordered {
		if len(name) == colon && equalFold(line[:colon], name) {
			return i + 1
		}
	}
	return 0
}

// equalFold compares bytes with a name in lower case, of the same length.
func equalFold(b []byte, name string) bool {
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}
