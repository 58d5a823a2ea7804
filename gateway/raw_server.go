package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// rawServer is the batch listener: net/http, for TLS, HTTP/2 and bodies of any
// length.
type rawServer struct {
	http     *http.Server
	listener net.Listener
	door     *door         // of listener
	permits  chan struct{} // one per request at work
}

// newRaw returns the batch listener, nil when there is none.
func (s *Server) newRaw() (*rawServer, error) {
	cfg := &s.cfg.Batch
	if cfg.Listen == "" {
		return nil, nil
	}
	raw := &rawServer{permits: make(chan struct{}, cfg.MaxRequests)}
	raw.http = &http.Server{
		Handler:           http.HandlerFunc(s.handleRaw),
		ReadHeaderTimeout: s.cfg.Timeouts.Read,
		ReadTimeout:       cfg.Timeout,
		WriteTimeout:      cfg.Timeout + s.cfg.Timeouts.Durable,
		IdleTimeout:       s.cfg.Timeouts.Idle,
		MaxHeaderBytes:    16 << 10,

		DisableGeneralOptionsHandler: true,

		ErrorLog: log.New(io.Discard, "", 0), // its lines hold client addresses
	}
	if cfg.TLSCert == "" {
		return raw, nil
	}
	cert, err := loadCertificate(cfg.TLSCert, cfg.TLSKey, s.dep.Now, s.dep.Logger)
	if err != nil {
		return nil, err
	}
	raw.http.TLSConfig = cert.config()
	return raw, nil
}

// bind opens the listener's socket.
func (b *rawServer) bind(s *Server) (err error) {
	if b.listener, err = s.listen("tcp", s.cfg.Batch.Listen); err != nil {
		return fmt.Errorf("gateway.batch.listen: cannot listen on %s: %w", s.cfg.Batch.Listen, err)
	}
	b.door = s.newDoor(b.listener)
	return nil
}

func (b *rawServer) serve() error {
	if b.http.TLSConfig != nil {
		return b.http.ServeTLS(b.door, "", "")
	}
	return b.http.Serve(b.door)
}

// hurry ends reads and writes in time for a stop.
func (b *rawServer) hurry(reads, writes time.Time) {
	if b != nil {
		b.door.stop(reads, writes)
	}
}

// stop waits for the requests inside, which end after the events that they hold.
func (b *rawServer) stop(ctx context.Context) error {
	if b == nil {
		return nil
	}
	if err := b.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("gateway: %d batches were still inside at the end of the drain time: %w", len(b.permits), err), b.http.Close())
	}
	return nil
}

// BatchAddr returns the bound address of the batch listener once started, nil
// when there is none.
func (s *Server) BatchAddr() net.Addr {
	if s.raw == nil {
		return nil
	}
	return s.raw.listener.Addr()
}

// BatchHandler returns what the batch listener serves, for tests and for servers
// of one's own; nil when there is no batch listener.
func (s *Server) BatchHandler() http.Handler {
	if s.raw == nil {
		return nil
	}
	return s.raw.http.Handler
}

// handleRaw serves one request. Whatever happens inside, the process lives on.
func (s *Server) handleRaw(w http.ResponseWriter, r *http.Request) {
	a := &rawAnswer{w: w, begun: time.Now()}
	defer s.settleRaw(a)
	// A length beside a chunked body is hidden from us; another parser may go by it
	// and see the next request elsewhere. So there is no next one.
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 || s.draining.Load() {
		a.close()
	}
	switch {
	case r.ProtoMajor == 1 && r.ProtoMinor > 1:
		a.close()
		s.refuseRaw(a, 505, codeVersion, "use HTTP/2, HTTP/1.1 or HTTP/1.0")
	case r.URL.EscapedPath() != "/v1/raw":
		s.refuseRaw(a, 404, codePath, "there is nothing at this path; send logs to /v1/raw")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		s.refuseRaw(a, 405, codeMethod, "use POST")
	default:
		s.serveRaw(a, r)
	}
}

// settleRaw ends every request: it catches a panic, counts and measures.
func (s *Server) settleRaw(a *rawAnswer) {
	if p := recover(); p != nil {
		s.metrics.panics.Inc()
		// The value of a panic may quote a request, so only its type is logged.
		s.dep.Logger.Error("request ended in a panic", "route", routeNames[routeRaw], "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		if a.status == 0 {
			a.close()
			s.refuseRaw(a, 500, codeInternal, "the gateway failed on this request")
		}
	}
	s.metrics.answered(routeRaw, a.status)
	s.metrics.seconds[routeRaw].Observe(time.Since(a.begun).Seconds())
}

// rawAnswer is the answer to one request. The counts are there once the body was
// looked at: they tell what is durable, or what was seen of a body that failed.
type rawAnswer struct {
	w      http.ResponseWriter
	begun  time.Time
	status int
}

// rawBody is the JSON of an answer.
type rawBody struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	*RawCounts
	Offset *int64 `json:"offset,omitempty"`
}

// RawCounts say what became of the lines of a body. Lines is the sum of the five
// counts behind it.
type RawCounts struct {
	Lines     int64 `json:"lines"`
	Clicks    int64 `json:"clicks"`
	Malformed int64 `json:"malformed"`
	NotClicks int64 `json:"not_clicks"`
	Comments  int64 `json:"comments"`
	Blank     int64 `json:"blank"`
	// Codes counts the malformed lines by code.
	Codes map[string]int64 `json:"codes,omitempty"`
}

func (c *RawCounts) malformed(code string) {
	c.Malformed++
	if c.Codes == nil {
		c.Codes = map[string]int64{}
	}
	c.Codes[code]++
}

// close ends the connection behind the answer; one of HTTP/2 takes no new requests
// and finishes those under way.
func (a *rawAnswer) close() { a.w.Header().Set("Connection", "close") }

func (a *rawAnswer) send(status int, body rawBody) {
	a.status = status
	h := a.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // numbers and our own texts
	}
	a.w.WriteHeader(status)
	_, _ = a.w.Write(append(text, '\n')) // a sender that has gone sends again
}

// refuseRaw answers and counts a request whose body nobody looked at.
func (s *Server) refuseRaw(a *rawAnswer, status int, code, message string) {
	s.metrics.refused.WithLabelValues(code).Inc()
	a.send(status, rawBody{Code: code, Message: message})
}

// later asks the sender to send the body again: the ids of its lines make what
// was recorded a redelivery.
func (a *rawAnswer) later(code, message string, counts *RawCounts) {
	a.w.Header().Set("Retry-After", string(valueRetry))
	a.send(503, rawBody{Code: code, Message: message, RawCounts: counts})
}
