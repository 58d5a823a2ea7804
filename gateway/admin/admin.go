// Package admin serves what operators and their tools need of a process: health,
// readiness, metrics and profiles. It has a listener of its own, so it answers while
// the others are drowning, and is never exposed.
package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// New returns a server without a listener; the caller serves and closes it. ready
// says why the process cannot do its work now, nil when it can; it is called from
// many goroutines, with the request's context. pages come on top, by the pattern of
// http.ServeMux.
//
//	/healthz      200 while the process can answer at all
//	/readyz       200 while ready returns nil, else 503 with the reason
//	/metrics      Prometheus
//	/debug/pprof  Go profiles
func New(metrics prometheus.Gatherer, ready func(context.Context) error, pages map[string]http.HandlerFunc) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { ok(w) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		ok(w)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for pattern, page := range pages {
		mux.HandleFunc(pattern, page)
	}
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
}

func ok(w io.Writer) { _, _ = io.WriteString(w, "ok\n") }
