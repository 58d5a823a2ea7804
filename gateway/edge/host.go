package edge

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxHostBytes  = 253 // RFC 1035, without the trailing dot
	maxLabelBytes = 63
)

// NormaliseHost returns the ASCII form of a host name or IP literal (IPv6 in
// brackets), the one value under which a host is stored and compared. Names are
// lower-cased and converted by IDNA (UTS 46, lookup profile), one trailing dot
// is dropped. It takes no port, no user and no percent encoding. The error is
// CodeBadHost, CodeMissing or CodeTooLong. It allocates only for hosts that are
// not yet in normal form.
func NormaliseHost(raw string) (string, *Error) {
	if raw == "" {
		return "", fail(CodeMissing, "", "the host is empty")
	}
	if len(raw) > 4*maxHostBytes {
		return "", fail(CodeTooLong, "", "a host name is limited to 253 bytes in ASCII form")
	}
	if raw[0] == '[' {
		return literalV6(raw)
	}
	host, err := toASCII(raw)
	if err != nil {
		return "", err
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > maxHostBytes {
		return "", fail(CodeTooLong, "", "a host name is limited to 253 bytes in ASCII form")
	}
	if !validLabels(host) {
		return "", badHost()
	}
	// Browsers read 127.1 and 0x7f.0.0.1 as addresses, so a name whose last
	// label is a number must be an address in its plain form (WHATWG URL, 4.3).
	if endsInNumber(host) {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", badHost()
		}
	}
	return host, nil
}

func badHost() *Error {
	return fail(CodeBadHost, "", "no valid host name; send it plain, without port, user or percent encoding")
}

func literalV6(raw string) (string, *Error) {
	if !strings.HasSuffix(raw, "]") {
		return "", badHost()
	}
	addr, err := netip.ParseAddr(raw[1 : len(raw)-1])
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", badHost()
	}
	return "[" + addr.String() + "]", nil
}

// toASCII lower-cases an ASCII name itself and leaves the others, and all with
// punycode, to IDNA. The profile would refuse ASCII labels such as r4---sn that
// exist.
func toASCII(raw string) (string, *Error) {
	ascii, upper := true, false
	for i := range len(raw) {
		ascii = ascii && raw[i] < 0x80
		upper = upper || raw[i] >= 'A' && raw[i] <= 'Z'
	}
	if ascii && upper {
		raw = strings.ToLower(raw)
	}
	if ascii && !strings.HasPrefix(raw, "xn--") && !strings.Contains(raw, ".xn--") {
		return raw, nil
	}
	if !fitForIDNA(raw) {
		return "", badHost()
	}
	host, err := idna.Lookup.ToASCII(raw)
	if err != nil {
		return "", badHost()
	}
	return host, nil
}

// fitForIDNA refuses what the library does not: invalid UTF-8, which it takes
// for U+FFFD and converts, and labels that cannot end up within the limit, for
// which punycode needs quadratic time.
func fitForIDNA(raw string) bool {
	for label := range strings.SplitSeq(raw, ".") {
		if utf8.RuneCountInString(label) > maxLabelBytes {
			return false
		}
	}
	return !strings.ContainsRune(raw, utf8.RuneError) // finds invalid bytes too
}

// validLabels reports that host consists of letter-digit-hyphen labels in lower
// case (RFC 952, RFC 1123).
func validLabels(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabelBytes || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && !isDigit(c) && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.HasPrefix(last, "0x") {
		return strings.Trim(last[2:], "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
