package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"clickgate/gateway/admin"

	"github.com/prometheus/client_golang/prometheus"
)

// newAdmin serves the gateway's own state, and shows it as a metric too: what an
// alert asks is this gateway's answer, not that of the load balancer in front.
func (s *Server) newAdmin() (*http.Server, error) {
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "clickgate", Subsystem: "gateway", Name: "ready",
		Help: "1 while clicks would be taken, as /readyz says.",
	}, func() float64 {
		if s.Ready() != nil {
			return 0
		}
		return 1
	})
	if err := s.dep.Registerer.Register(ready); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	pages := map[string]http.HandlerFunc{"GET /admission": s.serveAdmission}
	return admin.New(s.dep.Gatherer, func(context.Context) error { return s.Ready() }, pages), nil
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
