package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	gatewayadmin "clickgate/gateway/admin"

	"github.com/prometheus/client_golang/prometheus"
)

// admin serves health, readiness and metrics of a process without a click
// listener.
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
	a := &admin{http: gatewayadmin.New(metrics, ready, nil), listener: ln}
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
