package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
)

// contentPolicy lets a page use this server's own style, script, pictures and
// answers, and nothing else: no inline script, no frame, no other origin.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// withHeaders sets what every answer carries, errors and redirects included.
func (s *Server) withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.cfg.secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost answers requests that name the console by a host of its own, with any
// port, as an SSH tunnel may use another one.
func (s *Server) ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !s.cfg.answersTo(host) {
			s.fail(w, r, nil, &problem{http.StatusMisdirectedRequest, "the console does not answer to this host; open it by 127.0.0.1 or localhost, or by the host of console.public_url"})
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

// fail answers with an error page; v may be nil. What the store says goes to the
// log, because it may tell of the machine.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	if errors.Is(err, errSignIn) {
		s.askToSignIn(w, r)
		return
	}
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = &problem{http.StatusServiceUnavailable, "the store did not answer as it should; the program's log says why"}
		if errors.Is(err, context.DeadlineExceeded) {
			p.text = "the store took too long; select less, or try again when it has less to do"
		}
		if !errors.Is(err, context.Canceled) { // whoever went away wants no answer
			s.dep.Logger.Warn("console page failed", "page", r.Pattern, "error", err)
		}
	}
	err = s.show(w, v, p.status, "problem", &page{Title: http.StatusText(p.status), Body: sentence(p)})
	if err != nil {
		s.dep.Logger.Error("console cannot show an error", "error", err)
	}
}

// sentence makes a sentence of an error that people read.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
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
			p = &problem{http.StatusMethodNotAllowed, "this page has no such method; use the console's own links and forms"}
		}
		s.fail(w, r, nil, p)
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
