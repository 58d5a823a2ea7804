package command

import (
	"errors"

	"clickgate/aggregate"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
)

type alertsGroup struct {
	Run  alertsRunCmd  `cmd:"" default:"1" help:"Watch the minute counts and ring PagerDuty."`
	List alertsListCmd `cmd:"" help:"Incidents, newest first."`
}

type alertsRunCmd struct{}

// Run watches until the process is asked to stop.
func (c *alertsRunCmd) Run(s *session) error {
	cfg, err := s.loadStrict(config.ForAlerts)
	if err != nil {
		return err
	}
	log := s.logger(&cfg.Log)
	registry := app.NewRegistry()
	a, err := app.NewAlerts(s.ctx, &cfg.Config, app.Options{Logger: log, Registry: registry})
	if err != nil {
		return err
	}
	if addr := cfg.Alerts.AdminListen; addr != "" {
		bound, err := a.ServeAdmin(addr, registry)
		if err != nil {
			return errors.Join(err, a.Stop())
		}
		log.Info("alerts' health and metrics", "listen", bound.String())
	}
	a.Start()
	log.Info("alerts watch")
	<-s.ctx.Done()
	log.Info("alerts stop")
	return a.Stop()
}

type alertsListCmd struct {
	Tenant string `help:"Only this tenant." placeholder:"ID"`
	Open   bool   `help:"Only incidents that are not resolved."`
	Limit  int    `help:"At most so many." default:"50" placeholder:"N"`
	output
}

func (c *alertsListCmd) Run(s *session) error {
	return s.withReports(func(r reader) error {
		list, err := r.ListIncidents(s.ctx, aggregate.IncidentQuery{TenantID: c.Tenant, OpenOnly: c.Open, Limit: c.Limit})
		if err != nil {
			return err
		}
		return report.Incidents(s.Stdout, list, c.format())
	})
}
