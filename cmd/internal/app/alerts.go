package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts"
	"clickgate/alerts/pagerduty"
	"clickgate/cmd/internal/config"

	"github.com/prometheus/client_golang/prometheus"
)

// Alerts is one alerts process: minute counts to PagerDuty.
type Alerts struct {
	store   aggregate.Store
	service *alerts.Service
	admin   *admin // nil without one
}

// NewAlerts opens the store, whose schema must be this version's.
func NewAlerts(ctx context.Context, cfg *config.Config, opt Options) (*Alerts, error) {
	store, err := OpenStore(ctx, &cfg.Store)
	if err != nil {
		return nil, err
	}
	a := &Alerts{store: store}
	if err = store.CheckSchema(ctx); err == nil {
		a.service, err = NewAlertService(cfg, store, opt)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return a, nil
}

// NewAlertService returns the service on an open store; nothing runs before its
// Start.
func NewAlertService(cfg *config.Config, store alerts.Store, opt Options) (*alerts.Service, error) {
	pager, err := pagerduty.New(cfg.PagerDuty, nil, time.Now)
	if err != nil {
		return nil, err
	}
	// Containers may share a host name and a process id; no two processes may share a
	// lease.
	dep := alerts.Dependencies{
		Store: store, Pager: pager, Calls: cfg.PagerDuty.CallsPerMinute, Owner: owner() + " " + rand.Text()[:8], Now: time.Now, Logger: opt.Logger,
	}
	if opt.Registry != nil {
		dep.Registerer = opt.Registry
	}
	return alerts.New(cfg.Alerts, dep), nil
}

// Start begins to watch.
func (a *Alerts) Start() { a.service.Start() }

// ServeAdmin serves health, readiness and metrics on an address of its own.
func (a *Alerts) ServeAdmin(addr string, metrics prometheus.Gatherer) (net.Addr, error) {
	var err error
	if a.admin, err = startAdmin(addr, metrics, a.store.Ping); err != nil {
		return nil, err
	}
	return a.admin.listener.Addr(), nil
}

// Stop gives the lease up and closes the store.
func (a *Alerts) Stop() error {
	a.service.Stop()
	return errors.Join(a.admin.close(), a.store.Close())
}
