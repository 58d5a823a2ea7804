package gateway

import (
	"crypto/sha256"

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
		location, e.click.LandingHost, f = edge.CheckUnlisted(url)
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
