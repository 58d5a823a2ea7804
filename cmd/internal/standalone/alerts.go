package standalone

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"clickgate/alerts/pagerduty/standin"
	"clickgate/cmd/internal/app"
)

// startAlerts watches the store in this process. Without a routing key a stand-in
// takes the pages, on a loopback address of its own, where its alerts can be read.
// Where nobody says what pages link to, it is this process's console.
func (s *process) startAlerts(opt app.Options) error {
	cfg := *s.cfg
	if cfg.Alerts.CaseURL == "" && s.console != nil {
		cfg.Alerts.CaseURL = strings.TrimSuffix(s.console.URL(), "/") + "/incidents/"
	}
	if !cfg.PagerDuty.Configured() {
		var err error
		if s.pager, err = startStandIn(); err != nil {
			return err
		}
		cfg.PagerDuty.URL = s.pager.url + "/v2/enqueue"
		cfg.PagerDuty.RoutingKey = strings.ToLower(rand.Text() + rand.Text())[:32]
	}
	service, err := app.NewAlertService(&cfg, s.aggregator.Store, opt)
	if err != nil {
		return err
	}
	s.alerts = service
	s.alerts.Start()
	return nil
}

// standIn is a served stand-in for PagerDuty.
type standIn struct {
	*standin.Server
	url  string
	http *http.Server
	done chan error
}

func startStandIn() (*standIn, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &standIn{Server: standin.New(time.Now), url: "http://" + listener.Addr().String(), done: make(chan error, 1)}
	s.http = &http.Server{Handler: s.Server, ReadHeaderTimeout: 5 * time.Second}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

func (s *standIn) close() {
	_ = s.http.Close()
	<-s.done //nolint:errcheck // it says that it was closed
}

// incidentLine tells of the oldest open incident, empty for none.
func (s *process) incidentLine() string {
	open := s.alerts.Open()
	switch len(open) {
	case 0:
		return ""
	case 1:
		return "  1 incident open: " + open[0].Title
	}
	return fmt.Sprintf("  %d incidents open: %s", len(open), open[0].Title)
}
