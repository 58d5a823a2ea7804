package edge

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxURLBytes = 4096

// origin is what decides whether a landing is allowed. Hosts compare whole.
type origin struct {
	scheme string // "https" or "http"
	host   string // of NormaliseHost
	port   string // "" for the scheme's default
}

// AllowList is the set of places that unsealed click links may lead to. It is
// immutable. Names are compared as texts and never resolved.
type AllowList struct{ origins map[origin]struct{} }

// NewAllowList builds a list from entries: host, host:port, or either behind
// https:// or http://. Every entry allows https; one behind http:// allows http
// as well. Without a port the scheme's default is meant. Subdomains are not
// included and wildcards do not exist. IP literals are allowed only as entries
// of their own.
func NewAllowList(entries []string) (*AllowList, error) {
	a := &AllowList{origins: make(map[origin]struct{}, len(entries))}
	for _, entry := range entries {
		if err := a.add(entry); err != nil {
			return nil, fmt.Errorf("landing entry %q: %w; write shop.example, shop.example:8443 or http://shop.example", entry, err)
		}
	}
	return a, nil
}

func (a *AllowList) add(entry string) error {
	scheme, authority := "https", entry
	if s, rest, ok := cutScheme(entry); ok {
		scheme, authority = s, rest
	}
	for _, scheme := range [...]string{scheme, "https"} {
		o, err := parseOrigin(scheme, strings.TrimSuffix(authority, "/"))
		if err != nil {
			return err
		}
		a.origins[o] = struct{}{}
	}
	return nil
}

// Check judges a landing link and returns it as it may be put into a Location
// header, in ASCII, with its normal host. CodeBadURL and CodeBadHost mean that
// the link cannot be read in the one strict way; CodeOpenRedirect that it leads
// elsewhere. A link in normal form is returned as it is, without allocation;
// the results then alias raw.
//
// The link must be what was sent after one percent-decoding: white space,
// control characters and backslashes, which browsers drop or turn into
// slashes, are refused wherever they stand, as are user names.
func (a *AllowList) Check(raw string) (location, host string, err *Error) {
	l, err := readLink(raw)
	if err != nil {
		return "", "", err
	}
	if _, listed := a.origins[l.origin]; !listed {
		return "", "", fail(CodeOpenRedirect, "", "the link's host, port and scheme are not on the list of landings")
	}
	return l.location(), l.host, nil
}

// CheckUnlisted judges a landing link like AllowList.Check, but lets it lead to any
// place that https or http can name: for links that somebody trusted has sealed,
// and for those that only say where a click went.
func CheckUnlisted(raw string) (location, host string, err *Error) {
	l, err := readLink(raw)
	if err != nil {
		return "", "", err
	}
	return l.location(), l.host, nil
}

// link is a landing link that can be read in one way only:
// raw = scheme://authority + rest.
type link struct {
	origin
	raw, authority, rest string
}

func readLink(raw string) (l link, err *Error) {
	if err := checkLink(raw); err != nil {
		return link{}, err
	}
	scheme, rest, ok := cutScheme(raw)
	if !ok {
		return link{}, fail(CodeOpenRedirect, "", "a landing link must begin with https:// or, where listed, http://")
	}
	authority := rest
	if n := strings.IndexAny(rest, "/?#"); n >= 0 {
		authority = rest[:n]
	}
	o, err := parseOrigin(scheme, authority)
	return link{o, raw, authority, rest[len(authority):]}, err
}

// HostOf returns the normal host of an absolute URL of any scheme with an
// authority, such as a referer.
func HostOf(raw string) (string, *Error) {
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return "", fail(CodeBadURL, "", "an absolute URL is wanted")
	}
	if n := strings.IndexAny(rest, "/?#"); n >= 0 {
		rest = rest[:n]
	}
	host, _, err := splitPort(rest)
	if err != nil {
		return "", err
	}
	return NormaliseHost(host)
}

// checkLink refuses what readers of URLs are known to disagree about.
func checkLink(raw string) *Error {
	if raw == "" {
		return fail(CodeMissing, "", "the link is empty")
	}
	if len(raw) > maxURLBytes {
		return fail(CodeTooLong, "", fmt.Sprintf("a link is limited to %d bytes", maxURLBytes))
	}
	for i := 0; i < len(raw); {
		r, n := rune(raw[i]), 1
		if r >= utf8.RuneSelf {
			if r, n = utf8.DecodeRuneInString(raw[i:]); n == 1 {
				return fail(CodeBadUTF8, "", "the link holds bytes that are no UTF-8")
			}
		}
		if r <= ' ' || r == 0x7F || r == '\\' || n > 1 && (unicode.IsSpace(r) || unicode.IsControl(r)) {
			return fail(CodeBadURL, "", "a link holds no white space, control character or backslash; percent-encode them")
		}
		i += n
	}
	return nil
}

// cutScheme splits off https:// or http:// in any letter case.
func cutScheme(raw string) (scheme, rest string, ok bool) {
	for _, scheme := range [...]string{"https", "http"} {
		n := len(scheme)
		if len(raw) >= n+3 && raw[n:n+3] == "://" && strings.EqualFold(raw[:n], scheme) {
			return scheme, raw[n+3:], true
		}
	}
	return "", "", false
}

func parseOrigin(scheme, authority string) (origin, *Error) {
	host, port, err := splitPort(authority)
	if err != nil {
		return origin{}, err
	}
	if host, err = NormaliseHost(host); err != nil {
		return origin{}, err
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	return origin{scheme: scheme, host: host, port: port}, nil
}

// splitPort splits host[:port]. A host in brackets keeps them.
func splitPort(authority string) (host, port string, err *Error) {
	if strings.ContainsAny(authority, "@%") {
		return "", "", fail(CodeOpenRedirect, "", "a user name or a percent sign before the path hides where a link leads")
	}
	colon := strings.IndexByte(authority, ':')
	if strings.HasPrefix(authority, "[") {
		colon = strings.IndexByte(authority, ']') + 1
	}
	if colon < 0 || colon == len(authority) {
		return authority, "", nil
	}
	host, port = authority[:colon], authority[colon:]
	if !validPort(port) {
		return "", "", fail(CodeBadURL, "", "the port is not a number from 1 to 65535")
	}
	return host, port[1:], nil
}

// validPort reports a colon and a decimal port without leading zeros.
func validPort(s string) bool {
	if len(s) < 2 || s[0] != ':' || s[1] == '0' || len(s) > 6 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	n, err := strconv.Atoi(s[1:])
	return err == nil && n <= 65535
}

// location writes the link in normal form.
func (l *link) location() string {
	written := l.authority
	if l.port != "" {
		written = strings.TrimSuffix(written[:len(written)-len(l.port)], ":")
	}
	if strings.HasPrefix(l.raw, l.scheme) && written == l.host && strings.HasPrefix(l.rest, "/") && !needsEscape(l.rest) {
		return l.raw
	}
	var b strings.Builder
	b.Grow(len(l.raw) + 8)
	b.WriteString(l.scheme)
	b.WriteString("://")
	b.WriteString(l.host)
	if l.port != "" {
		b.WriteString(":")
		b.WriteString(l.port)
	}
	if !strings.HasPrefix(l.rest, "/") {
		b.WriteByte('/')
	}
	for i := range len(l.rest) {
		if c := l.rest[i]; mustEscape(c) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func needsEscape(s string) bool {
	for i := range len(s) {
		if mustEscape(s[i]) {
			return true
		}
	}
	return false
}

// mustEscape reports bytes that RFC 3986 allows nowhere in a URI. A percent
// sign is left as it is: what stands behind it is the landing page's business.
func mustEscape(c byte) bool {
	return c >= 0x7F || c <= ' ' || strings.IndexByte("\"<>\\^`{|}", c) >= 0
}
