package gateway

import (
	"bytes"

	"clickgate/gateway/click"

	"github.com/valyala/fasthttp"
)

// serveBeacon answers GET and POST /b. A body, as navigator.sendBeacon sends it,
// and the query are read as one list of parameters.
func (s *Server) serveBeacon(ctx *fasthttp.RequestCtx) {
	e := s.takeEvent(click.EntryBeacon)
	defer s.putEvent(e)
	s.receive(ctx, e)
	query, raw := ctx.URI().QueryString(), ctx.Request.Header.RequestURI()
	if n := ctx.Request.Header.ContentLength(); n > 0 {
		if !isForm(ctx.Request.Header.ContentType()) {
			s.refuseFraming(ctx, routeBeacon, 415, codeContentType, "send the body as application/x-www-form-urlencoded or text/plain")
			return
		}
		e.joined = append(e.joined[:0], query...)
		if len(query) > 0 {
			e.joined = append(e.joined, '&')
		}
		at := len(e.joined)
		var ok bool
		if e.joined, ok = s.takeBody(ctx, routeBeacon, e, e.joined, n); !ok {
			return
		}
		query, raw = e.joined, e.joined[at:]
	}
	s.serveOne(ctx, routeBeacon, e, query, raw)
}

// isForm accepts the content types that browsers send without asking first.
func isForm(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte{';'})
	kind = bytes.TrimSpace(kind)
	return len(kind) == 0 ||
		bytes.EqualFold(kind, []byte("application/x-www-form-urlencoded")) ||
		bytes.EqualFold(kind, []byte("text/plain"))
}
