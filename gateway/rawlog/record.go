package rawlog

import (
	"net/netip"
	"strings"
	"unsafe"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
)

// Precision says how fine a logged time is. Whole seconds make the features
// between clicks coarse.
type Precision uint8

// Precisions, by what the log writes.
const (
	PrecisionSecond Precision = iota
	PrecisionMilli
	PrecisionMicro // microseconds or finer
)

// Record is the request that one line tells of. Texts alias the line or the
// scan's buffers, and an absent one is empty. They hold whatever bytes were
// logged; only JSON logs guarantee UTF-8.
type Record struct {
	Offset int64  // of the line in the decompressed stream
	Line   []byte // as it was logged

	Time         int64 // Unix microseconds, UTC
	Precision    Precision
	TimeFallback bool // Time is from another field than the documented one

	IP       netip.Addr // unmapped, without zone; invalid if the log holds none
	Method   string
	Scheme   string
	Host     string
	Path     string // as it was sent: not decoded
	RawQuery string // without the question mark: not decoded
	Protocol string // as in HTTP/1.1; HTTP/0.9 for a request without version
	Status   int    // 0: absent

	UserAgent string
	Referer   string
	RequestID string // the edge's own id of the request
	Country   string // ISO 3166-1 alpha-2, upper case; empty if the log holds no such code
	Token     string // from a column of its own; usually it is in the query

	Subrequest bool // not sent by a client: the CDN's own code made it
	Sampled    bool // the log holds a sample of the requests only

	text []byte // unescaped texts; appended to, so that earlier ones stay whole
}

func (r *Record) reset(line []byte) {
	*r = Record{Offset: r.Offset, Line: line, text: r.text[:0]}
}

// Check judges what a click cannot be without, its client address. It is not
// part of parsing, because in other lines of a site's log it does not matter.
func (r *Record) Check() *edge.Error {
	if !r.IP.IsValid() {
		return fail(CodeBadAddress, "ip", "the line holds no client address; log it as an IP address and name its column")
	}
	return nil
}

// IsHead reports a HEAD request, which is counted as a click of a crawler.
func (r *Record) IsHead() bool { return r.Method == "HEAD" }

// Flags returns the facts about the line that go into the click.
func (r *Record) Flags() (f click.Flags) {
	if r.TimeFallback {
		f |= click.FlagTimeFallback
	}
	if r.Precision == PrecisionSecond {
		f |= click.FlagTimeCoarse
	}
	if r.IsHead() {
		f |= click.FlagHead
	}
	if !r.IP.IsValid() {
		f |= click.FlagAddressUnknown
	}
	return f
}

// setRequest reads a request line, as in `GET /c?t=x HTTP/1.1`, and reports
// whether it is one. Spaces inside the target are kept: some servers let them
// pass. Without version, `GET /path` is a request of HTTP/0.9.
func (r *Record) setRequest(s string) bool {
	method, target, ok := strings.Cut(s, " ")
	if !ok || !isMethod(method) {
		return false
	}
	protocol := "HTTP/0.9"
	if i := strings.LastIndexByte(target, ' '); i >= 0 {
		target, protocol = target[:i], target[i+1:]
	} else if method != "GET" {
		return false
	}
	if !isProtocol(protocol) || !isTarget(method, target) {
		return false
	}
	r.Method, r.Protocol = method, protocol
	r.setTarget(target)
	return true
}

// setTarget splits a request target (RFC 9112, section 3.2). A fragment, which
// no client should send, is cut off as the live edge does.
func (r *Record) setTarget(target string) {
	if scheme, rest, ok := strings.Cut(target, "://"); ok && (scheme == "http" || scheme == "https") {
		r.Scheme = scheme
		n := strings.IndexAny(rest, "/?#")
		if n < 0 {
			n = len(rest)
		}
		r.Host, target = rest[:n], rest[n:]
	}
	target, _, _ = strings.Cut(target, "#")
	r.Path, r.RawQuery, _ = strings.Cut(target, "?")
}

// isMethod accepts upper-case method names, which is what servers know.
func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func isProtocol(s string) bool {
	return len(s) > len("HTTP/") && s[:len("HTTP/")] == "HTTP/" && s[len("HTTP/")] >= '0' && s[len("HTTP/")] <= '9'
}

func isTarget(method, s string) bool {
	return strings.HasPrefix(s, "/") || s == "*" || method == "CONNECT" ||
		strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// parseAddr reads an address; zones and everything else are invalid.
func parseAddr(s string) netip.Addr {
	if len(s) < 2 || len(s) > 45 || strings.IndexByte(s, '%') >= 0 {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// parseStatus reads a status of one to three digits.
func parseStatus(s string) (int, *edge.Error) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i == 3 {
			return 0, fail(CodeBadStatus, "status", "the status is no number of up to three digits")
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, nil
}

// view reads b as a string without a copy; it is valid as long as b is left alone.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
