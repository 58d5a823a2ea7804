package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newAdmin serves what operators and their tools need. It has its own listener,
// so it answers while the click listener is drowning, and is never exposed.
//
//	/healthz      200 while the process can answer at all
//	/readyz       200 while clicks would be taken, else 503 with the reason
//	/metrics      Prometheus
//	/admission    why requests are refused, and whose they are
//	/debug/pprof  Go profiles
func (s *Server) newAdmin() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.dep.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /admission", s.serveAdmission)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

var errDraining = errors.New("the gateway is draining")

// Ready reports why clicks would not be taken now, nil when they would.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errDraining
	}
	if err := s.broken.Load(); err != nil {
		return fmt.Errorf("the click listener ended: %w", *err)
	}
	return s.dep.Log.Ready()
}
