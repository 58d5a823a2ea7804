package gateway

import (
	"crypto/sha256"
	"strings"

	"clickgate/gateway/edge"
)

// landing finds where the click goes, as it may stand in a Location header, and
// notes its host. What a token seals needs no allow-list; everything else must
// be on the tenant's. A beacon sends nobody anywhere, so it may go without one.
func (e *event) landing(p *params, needed bool) (location string, f *fault) {
	url, sealed, f := e.destination(p.landing)
	switch {
	case f != nil:
		return "", f
	case url == "" && needed:
		return "", &fault{Code: codeLandingMissing, Field: "u", Message: "neither the token nor u names a landing"}
	case url == "":
		return "", nil
	case sealed:
		location, e.click.LandingHost, f = plainLanding(url)
	default:
		location, e.click.LandingHost, f = e.source.Tenant.Landing.Check(url)
	}
	return location, f.In("u")
}

// destination chooses between the token's landing and that of the URL; sealed
// says that the token answers for it.
func (e *event) destination(u string) (url string, sealed bool, f *fault) {
	t := &e.token
	switch {
	case !e.verified:
		return u, false, nil
	case t.LandingURL != "":
		if u != "" && u != t.LandingURL {
			return "", false, &faultOtherLanding
		}
		return t.LandingURL, true, nil
	case t.LandingSHA256 != [sha256.Size]byte{}:
		if u != "" && sha256.Sum256(bytesOf(u)) != t.LandingSHA256 {
			return "", false, &faultOtherLanding
		}
		return u, true, nil
	}
	return u, false, nil
}

var faultOtherLanding = fault{Code: codeLandingOther, Field: "u", Message: "u is not the landing that the token was made for"}

// plainLanding reads an absolute http or https URL as strictly as an allow-list
// does, wherever it leads. A URL in normal form is returned as it is, without
// allocation.
func plainLanding(url string) (location, host string, f *fault) {
	authority, ok := plainAuthority(url)
	if ok {
		if host, f = edge.NormaliseHost(authority); f == nil && host == authority {
			return url, host, nil
		}
	}
	// Other forms go through a list of this one place.
	scheme, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	list, err := edge.NewAllowList([]string{scheme + "://" + rest})
	if err != nil {
		list = &edge.AllowList{} // the check says what is wrong
	}
	return list.Check(url)
}

// plainAuthority returns the host of a URL that can only be read in one way
// and needs no change: lower-case scheme and host, a path, printable ASCII.
func plainAuthority(url string) (authority string, ok bool) {
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(url, "http://"); !ok {
			return "", false
		}
	}
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 || len(url) > 4096 {
		return "", false
	}
	for i := range slash {
		if c := rest[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return "", false // a port too: its forms are the list's business
		}
	}
	for i := slash; i < len(rest); i++ {
		if c := rest[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return "", false
		}
	}
	return rest[:slash], true
}
