package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin serves health, readiness and metrics of a process without a click
// listener. It is never exposed.
type admin struct {
	http     *http.Server
	listener net.Listener
}

// startAdmin listens on addr; ready says why the process cannot work now.
func startAdmin(addr string, metrics prometheus.Gatherer, ready func(context.Context) error) (*admin, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("aggregate.admin_listen: cannot listen on %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	a := &admin{http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, listener: ln}
	go a.serve()
	return a, nil
}

func (a *admin) serve() {
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		// Without it readiness fails, which is how the operator learns of it.
		_ = a.listener.Close()
	}
}

func (a *admin) close() error {
	if a == nil {
		return nil
	}
	return a.http.Close()
}
