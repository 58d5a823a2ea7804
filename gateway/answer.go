package gateway

import (
	"strconv"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"

	"github.com/valyala/fasthttp"
)

// Codes of requests that are refused before their tenant is known. They are
// label values, so the set is closed.
const (
	codeVersion          = "http_version"
	codeTransferEncoding = "transfer_encoding"
	codeFolding          = "header_folding"
	codeLineEnd          = "line_end"
	codePath             = "not_found"
	codeMethod           = "method_not_allowed"
	codeBody             = "unexpected_body"
	codeTooLarge         = "body_too_large"
	codeBodyEarly        = "body_incomplete"
	codeContentEncoding  = "content_encoding"
	codeContentType      = "content_type"
	codeHTTP             = "bad_http"
	codeHeaderTooLarge   = "header_too_large"
	codeTimeout          = "timeout"
	codeInternal         = "internal"
	codeUnauthorized     = "unauthorized"
	codeOverload         = "overload"
	codeQuota            = "over_quota"
	codeNotDurable       = "not_durable"
	codeToken            = "bad_token"
	codeSource           = "unknown_source"
	codeOrigin           = "missing_token"
	codeKeyFormat        = "bad_idempotency_key"
	codeKeyReused        = "idempotency_key_reused"
	codeKeyInFlight      = "idempotency_key_in_flight"
)

const messageQuota = "this API key sends more requests than it may; come again after Retry-After seconds"

// Header names and values in the form that sets them without conversion.
var (
	headerCacheControl   = []byte("Cache-Control")
	headerContentType    = []byte("Content-Type")
	headerLocation       = []byte("Location")
	headerReferrerPolicy = []byte("Referrer-Policy")
	headerRetryAfter     = []byte("Retry-After")
	valueNoStore         = []byte("no-store")
	valueOrigin          = []byte("strict-origin-when-cross-origin")
	valueJSON            = []byte("application/json")
	valueText            = []byte("text/plain; charset=utf-8")
	valueRetry           = []byte("1") // seconds
)

// noStore keeps every answer out of caches: a cached redirect hides the second click.
func noStore(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetCanonical(headerCacheControl, valueNoStore)
}

// redirect sends the browser on. The referrer policy keeps the path of the page
// where the ad stood from the landing.
func redirect(ctx *fasthttp.RequestCtx, location string) {
	noStore(ctx)
	ctx.SetStatusCode(302)
	ctx.Response.Header.SetCanonical(headerReferrerPolicy, valueOrigin)
	ctx.Response.Header.SetCanonical(headerLocation, bytesOf(location))
}

func noContent(ctx *fasthttp.RequestCtx) {
	noStore(ctx)
	ctx.SetStatusCode(204)
}

// prefetched asks a browser that looked ahead to come again with the real click.
func prefetched(ctx *fasthttp.RequestCtx) {
	noStore(ctx)
	ctx.SetStatusCode(503)
}

// fail answers with a code and a message for the reader: JSON for senders of
// batches, one line of text for browsers. Neither repeats what was sent.
func fail(ctx *fasthttp.RequestCtx, r route, status int, code, field, message string) {
	noStore(ctx)
	ctx.SetStatusCode(status)
	b := make([]byte, 0, 256)
	if r.batch() {
		ctx.Response.Header.SetCanonical(headerContentType, valueJSON)
		b = append(b, `{"code":`...)
		b = appendJSON(b, code)
		if field != "" {
			b = appendJSON(append(b, `,"field":`...), field)
		}
		b = appendJSON(append(b, `,"message":`...), message)
		b = append(b, "}\n"...)
	} else {
		ctx.Response.Header.SetCanonical(headerContentType, valueText)
		b = append(append(b, code...), ": "...)
		if field != "" {
			b = append(append(b, field...), ": "...)
		}
		b = append(append(b, message...), '\n')
	}
	ctx.Response.SetBodyRaw(b)
}

// refuse answers and counts a request whose tenant is not known.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, r route, status int, code, message string) {
	s.metrics.refused.WithLabelValues(code).Inc()
	fail(ctx, r, status, code, "", message)
}

// comeAgain answers an event that could not be made durable: nothing of it
// counts, and the sender may repeat it.
func (s *Server) comeAgain(ctx *fasthttp.RequestCtx, r route, code, message string) {
	fail(ctx, r, 503, code, "", message)
	ctx.Response.Header.SetCanonical(headerRetryAfter, valueRetry)
}

// shed answers a request refused for load; a batch, whose body nobody reads,
// counts once.
func (s *Server) shed(ctx *fasthttp.RequestCtx, r route, d admit.Decision, e *event) {
	s.metrics.shed.WithLabelValues(routeNames[r], e.class.String(), d.String()).Inc()
	switch {
	case r.fed():
		s.metrics.fed[r][endShed].Inc() // no click, so the account knows nothing of it
	case e.source != nil:
		s.dep.Log.Shed(e.source.Tenant.ID, e.source.ID)
		s.metrics.events[e.click.Entry][endShed].Inc()
	default:
		s.metrics.refused.WithLabelValues(codeOverload).Inc()
	}
	s.comeAgain(ctx, r, codeOverload, "too many requests at once; come again")
	s.turnAway(ctx, e.class)
}

// turnAway decides what becomes of the connection of a request refused for load. On
// a busy machine even refusing costs, so its next request is left unread for a
// while; see conn.Read. It closes when a body is on its way, and what is worth
// little gives up its descriptor while the pressure is high. A proxy's connection is
// neither left nor closed without need: others' requests come on it.
func (s *Server) turnAway(ctx *fasthttp.RequestCtx, class admit.Class) {
	c := connOf(ctx)
	c.note(class, true)
	switch {
	case ctx.Request.Header.ContentLength() > preloaded:
		closeEarly(ctx)
	case class >= admit.Demoted && !s.admission.gate.LetsIn(class) && (c == nil || !c.trusted):
		ctx.SetConnectionClose()
	}
}

// refuseQuota answers a batch whose key has used up its requests; the headers
// that say so are set.
func (s *Server) refuseQuota(ctx *fasthttp.RequestCtx, r route, e *event) {
	s.metrics.shed.WithLabelValues(routeNames[r], e.class.String(), reasonQuota).Inc()
	if r.fed() {
		s.metrics.fed[r][endShed].Inc()
	} else {
		s.dep.Log.Shed(e.source.Tenant.ID, e.source.ID)
		s.metrics.events[e.click.Entry][endShed].Inc()
	}
	fail(ctx, r, 429, codeQuota, "", messageQuota)
}

// lost counts a redirect whose click nobody holds.
func (s *Server) lost(tenant, source string) {
	s.dep.Log.Unrecorded(tenant, source)
	s.metrics.unrecorded.Inc()
	s.metrics.events[click.EntryClick][endUnrecorded].Inc()
}

const hexDigits = "0123456789abcdef"

// appendJSON appends s, which must be valid UTF-8, as a JSON string.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }
