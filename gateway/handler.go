package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"

	"github.com/valyala/fasthttp"
)

// handle serves one request. Whatever happens inside, the process lives on.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := s.routeOf(&ctx.Request.Header)
	defer s.settle(ctx, r)
	if !s.checkFraming(ctx, r) {
		return
	}
	switch r {
	case routeClick:
		s.serveClick(ctx)
	case routeBeacon:
		s.serveBeacon(ctx)
	case routeBatch, routeImpressions, routeConversions:
		s.serveBatch(ctx, r)
	}
}

// settle ends every request: it catches a panic, counts and measures.
func (s *Server) settle(ctx *fasthttp.RequestCtx, r route) {
	if p := recover(); p != nil {
		s.metrics.panics.Inc()
		// The value of a panic may quote a request, so only its type is logged.
		s.dep.Logger.Error("request ended in a panic", "route", routeNames[r], "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		ctx.Response.Reset()
		s.refuse(ctx, r, 500, codeInternal, "the gateway failed on this request")
		closeEarly(ctx)
	}
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
	s.metrics.answered(r, ctx.Response.StatusCode())
	if begun := ctx.Time(); s.metrics.sample() && !begun.IsZero() {
		s.metrics.seconds[r].Observe(time.Since(begun).Seconds())
	}
}

// routeOf matches the path as it was sent: a path that only means the same
// after decoding is another path. Without topics for them there are no feeds.
func (s *Server) routeOf(h *fasthttp.RequestHeader) route {
	r := routeOf(h)
	if r.fed() && !s.dep.Feeds {
		return routeOther
	}
	return r
}

func routeOf(h *fasthttp.RequestHeader) route {
	switch string(pathOf(h.RequestURI())) {
	case "/c":
		return routeClick
	case "/b":
		return routeBeacon
	case "/v1/clicks":
		return routeBatch
	case "/v1/impressions":
		return routeImpressions
	case "/v1/conversions":
		return routeConversions
	}
	return routeOther
}

// pathOf returns the path of a request target in origin or absolute form (RFC 9112
// section 3.2); other forms have none that is served.
func pathOf(target []byte) []byte {
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	if len(target) > 0 && target[0] == '/' {
		return target
	}
	_, rest, ok := bytes.Cut(target, []byte("://"))
	i := bytes.IndexByte(rest, '/')
	if !ok || i < 0 {
		return nil
	}
	return rest[i:]
}

// methods of every route, as the Allow header names them.
var methods = [numRoutes]struct {
	allow string
	list  []string
}{
	routeClick:  {"GET, HEAD", []string{"GET", "HEAD"}},
	routeBeacon: {"GET, HEAD, POST", []string{"GET", "HEAD", "POST"}},
	routeBatch:  {"POST", []string{"POST"}},

	routeImpressions: {"POST", []string{"POST"}},
	routeConversions: {"POST", []string{"POST"}},
}

// framing is why a request is refused before anything is read from it.
type framing struct {
	status        int
	code, message string
}

// checkFraming answers what may mean something else to another HTTP parser on the
// way, and bodies without a use. It returns false when it did.
func (s *Server) checkFraming(ctx *fasthttp.RequestCtx, r route) bool {
	f := s.framingOf(&ctx.Request.Header, r)
	if f.status == 0 {
		return true
	}
	if f.status == 405 {
		ctx.Response.Header.Set("Allow", methods[r].allow)
	}
	return s.refuseFraming(ctx, r, f.status, f.code, f.message)
}

// framingOf finds the fault of a request's head, status 0 for none: other versions,
// transfer encodings, folded headers, lines that end differently from others,
// methods in other letters, bodies without a use.
func (s *Server) framingOf(h *fasthttp.RequestHeader, r route) framing {
	raw := h.RawHeaders()
	switch version := h.Protocol(); {
	case string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0":
		return framing{505, codeVersion, "use HTTP/1.1 or HTTP/1.0"}
	case hasTransferEncoding(raw):
		return framing{411, codeTransferEncoding, "send the body with Content-Length and without Transfer-Encoding"}
	case hasFold(raw):
		return framing{400, codeFolding, "a header is folded over two lines"}
	case hasBareLF(raw):
		return framing{400, codeLineEnd, "a line ends with LF alone; end every line with CRLF"}
	case r == routeOther:
		return framing{404, codePath, "there is nothing at this path"}
	case !slices.Contains(methods[r].list, string(h.Method())):
		return framing{405, codeMethod, "use " + methods[r].allow}
	}
	return s.bodyFraming(h, r)
}

// bodyFraming finds the fault in what a head says of its body.
func (s *Server) bodyFraming(h *fasthttp.RequestHeader, r route) framing {
	length, limit := h.ContentLength(), s.bodyLimit(r, h.Method())
	switch {
	case (length > 0 || length == unwanted) && limit == 0:
		return framing{400, codeBody, "this request must not have a body"}
	case len(h.Peek("Content-Encoding")) > 0:
		return framing{415, codeContentEncoding, "send the body without Content-Encoding"}
	case length > limit || length == unwanted:
		return framing{413, codeTooLarge, fmt.Sprintf("the body is longer than %d bytes", limit)}
	}
	return framing{}
}

// unwanted stands for the length of a body that nobody will read. The HTTP server
// takes it for chunked and reads ahead only of other bodies: a refusal that the
// head alone decides must not wait for a body that may never come.
const unwanted = -1

// headerReceived looks at a head before the server reads ahead of its body.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() > 0 && s.framingOf(h, s.routeOf(h)).status != 0 {
		h.SetContentLength(unwanted)
	}
	return fasthttp.RequestConfig{}
}

// expect answers Expect: 100-continue (RFC 9110 section 10.1.1): what would be
// refused is refused before its body is sent.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	r := s.routeOf(&ctx.Request.Header)
	if s.checkFraming(ctx, r) {
		return fasthttp.StatusContinue
	}
	s.metrics.answered(r, ctx.Response.StatusCode())
	return ctx.Response.StatusCode()
}

// refuseFraming closes the connection too: what follows on it cannot be trusted.
func (s *Server) refuseFraming(ctx *fasthttp.RequestCtx, r route, status int, code, message string) bool {
	s.refuse(ctx, r, status, code, message)
	closeEarly(ctx)
	return false
}

func (s *Server) bodyLimit(r route, method []byte) int {
	switch {
	case string(method) != "POST":
		return 0
	case r.batch():
		return s.cfg.Limits.MaxBatchBytes
	default:
		return s.cfg.Limits.MaxBeaconBytes
	}
}

// hasTransferEncoding looks at the bytes themselves, because the HTTP server
// hides the header when it says identity.
func hasTransferEncoding(raw []byte) bool {
	const name = "transfer-encoding"
	for len(raw) > 0 {
		if len(raw) > len(name) && raw[0]|0x20 == 't' && bytes.EqualFold(raw[:len(name)], []byte(name)) {
			return true
		}
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return false
		}
		raw = raw[i+1:]
	}
	return false
}

// hasFold reports a line that begins with white space (RFC 9112 section 5.2).
func hasFold(raw []byte) bool {
	return bytes.Contains(raw, []byte("\n ")) || bytes.Contains(raw, []byte("\n\t"))
}

// hasBareLF reports a line of the headers that ends without CR. RFC 9112 section
// 2.2 lets a server take it for the end of a line; who reads it as part of the
// value sees other headers.
func hasBareLF(raw []byte) bool {
	for i := 0; ; i++ {
		n := bytes.IndexByte(raw[i:], '\n')
		if n < 0 {
			return false
		}
		if i += n; i == 0 || raw[i-1] != '\r' {
			return true
		}
	}
}

// errBody says that a body did not arrive whole.
var errBody = errors.New("body ended early")

// readBody appends the n bytes of the body to buf as they come: what a client
// only promises costs no memory.
func readBody(ctx *fasthttp.RequestCtx, buf []byte, n int) ([]byte, error) {
	stream := ctx.Request.BodyStream()
	if stream == nil {
		return append(buf, ctx.Request.Body()...), nil
	}
	start := len(buf)
	for len(buf)-start < n {
		buf = slices.Grow(buf, min(n-(len(buf)-start), 16<<10))
		m, err := stream.Read(buf[len(buf):min(cap(buf), start+n)])
		buf = buf[:len(buf)+m]
		if err != nil && len(buf)-start < n {
			if isTimeout(err) {
				return buf, err
			}
			return buf, errBody
		}
	}
	return buf, nil
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// refuseBody answers a body that did not arrive.
func (s *Server) refuseBody(ctx *fasthttp.RequestCtx, r route, err error) {
	if errors.Is(err, errBody) {
		s.refuseFraming(ctx, r, 400, codeBodyEarly, "the body is shorter than its Content-Length")
		return
	}
	s.refuseFraming(ctx, r, 408, codeTimeout, "the body did not arrive in time")
}

// refuseUnread answers requests that the HTTP server could not read.
func (s *Server) refuseUnread(ctx *fasthttp.RequestCtx, err error) {
	status, code := 400, codeHTTP
	var small *fasthttp.ErrSmallBuffer
	if errors.As(err, &small) {
		status, code = 431, codeHeaderTooLarge
	} else if isTimeout(err) {
		status, code = 408, codeTimeout
	}
	s.refuse(ctx, routeOther, status, code, "the request is not HTTP as this server reads it")
	closeEarly(ctx)
	s.metrics.answered(routeOther, status)
}

// receive reads what every entry path wants to know of the client.
func (s *Server) receive(ctx *fasthttp.RequestCtx, e *event) {
	h := &ctx.Request.Header
	sig := &e.signals
	var known bool
	if sig.IP, known = s.clientAddr(ctx); !known {
		e.click.Flags |= click.FlagAddressUnknown
	}
	var cut [3]bool
	sig.UserAgent, cut[0] = mend(view(h.UserAgent()), maxAgent)
	sig.Referer, cut[1] = mend(view(h.Referer()), maxReferer)
	sig.AcceptLanguage, cut[2] = mend(view(h.Peek("Accept-Language")), maxLanguage)
	if cut[0] || cut[1] || cut[2] {
		e.click.Flags |= click.FlagTruncated
	}
	sig.Hints = click.ClientHints{
		Brands: hint(h, "Sec-Ch-Ua"), Mobile: hint(h, "Sec-Ch-Ua-Mobile"), Platform: hint(h, "Sec-Ch-Ua-Platform"),
	}
	sig.HeaderOrder = edge.HeaderOrder(h.RawHeaders())
	if isPrefetch(h) {
		e.click.Flags |= click.FlagPrefetch
	}
	if ctx.IsHead() {
		e.click.Flags |= click.FlagHead
	}
}

// maxHint is how long a client hint is read; browsers' are far below it.
const maxHint = 256

// hint is a client hint as it came, which is scored and kept nowhere; none where it is
// too long for one.
func hint(h *fasthttp.RequestHeader, name string) string {
	v := h.Peek(name)
	if len(v) > maxHint {
		return ""
	}
	return view(v)
}

// clientAddr is the one client address that limits, lists, features and store
// use. When it is not known it is the nearest address that can be vouched for.
func (s *Server) clientAddr(ctx *fasthttp.RequestCtx) (addr netip.Addr, known bool) {
	peer := addrOf(ctx.RemoteAddr())
	if addr, known = s.trust.Client(peer, nil); known {
		return addr, true // no proxy of ours, so that what it says of others is not read
	}
	return s.trust.Client(peer, ctx.Request.Header.PeekAll("X-Forwarded-For"))
}

// prefetchHeaders are the ways browsers say that nobody clicked yet.
var prefetchHeaders = [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"}

func isPrefetch(h *fasthttp.RequestHeader) bool {
	for _, name := range prefetchHeaders {
		v := h.Peek(name)
		for _, word := range [...]string{"prefetch", "prerender", "preview"} {
			if containsFold(v, word) {
				return true
			}
		}
	}
	return false
}

// containsFold looks for an ASCII word in lower case.
func containsFold(b []byte, word string) bool {
	for ; len(b) >= len(word); b = b[1:] {
		if bytes.EqualFold(b[:len(word)], []byte(word)) {
			return true
		}
	}
	return false
}
