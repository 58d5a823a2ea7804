package console

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// contentPolicy lets a page use this server's own style, script, pictures and
// answers, and nothing else: no inline script, no frame, no other origin.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// withHeaders sets what every answer carries, errors and redirects included.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// ownHost answers requests that name a loopback host, with any port, as an SSH
// tunnel may use another one. A site that resolves its own name to 127.0.0.1 is
// of the same origin as itself, and only the Host header tells it apart.
func (s *Server) ownHost(next http.Handler) http.Handler {
	refuse := s.page(func(http.ResponseWriter, *http.Request) error {
		return &problem{http.StatusMisdirectedRequest, "the console answers to 127.0.0.1 and localhost only; open it by one of these names"}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(host) {
			refuse(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// problem is an answer that is no page. Its text may be shown.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

// page turns a handler's error into an error page. What the store says goes to
// the log, because it may tell of the machine.
func (s *Server) page(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		p, ok := errors.AsType[*problem](err)
		if !ok {
			p = &problem{http.StatusServiceUnavailable, "the store did not answer as it should; the program's log says why"}
			if errors.Is(err, context.DeadlineExceeded) {
				p.text = "the store took too long; select less, or try again when it has less to do"
			}
			if r.Context().Err() == nil {
				s.dep.Logger.Warn("console page failed", "page", r.Pattern, "error", err)
			}
		}
		s.showProblem(w, p)
	}
}

func (s *Server) showProblem(w http.ResponseWriter, p *problem) {
	err := s.pages.write(w, p.status, "problem", &view{Title: http.StatusText(p.status), Body: p.text})
	if err != nil {
		s.dep.Logger.Error("console cannot show an error", "error", err)
	}
}

// routed answers paths and methods that no route takes with an error page.
func (s *Server) routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// The mux knows whether it is the path or the method, and which are allowed.
		probe := &statusProbe{header: http.Header{}}
		h.ServeHTTP(probe, r)
		p := &problem{http.StatusNotFound, "there is no such page"}
		if probe.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", probe.header.Get("Allow"))
			p = &problem{http.StatusMethodNotAllowed, "this page can be read and nothing else"}
		}
		s.showProblem(w, p)
	})
}

// statusProbe keeps an answer's header and drops its body.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
