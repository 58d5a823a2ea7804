package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"

	"github.com/alexedwards/scs/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of a connection, and of one read of the store.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	maxFormBytes      = 16 << 10
	storeTimeout      = 30 * time.Second
	maxStoreReads     = 2 // at once; the store has clicks to take
)

// Store is what the console needs of a store.
type Store interface {
	aggregate.Reports
	aggregate.Recent
	aggregate.Review
	aggregate.Users
	Incidents
	OpenUnits(ctx context.Context) ([]aggregate.UnitInfo, error)
}

// Incidents is what the console reads of alerts.
type Incidents interface {
	ListIncidents(ctx context.Context, q aggregate.IncidentQuery) ([]aggregate.Incident, error)
	GetIncident(ctx context.Context, id string) (i aggregate.Incident, found bool, err error)
	IncidentPages(ctx context.Context, incidentID string, limit int) ([]aggregate.PageRecord, error)
	MinuteCounts(ctx context.Context, from, to int64) ([]aggregate.MinuteCount, error)
}

// Dependencies are what the console is given. All but Hash and Registerer are
// required.
type Dependencies struct {
	Store Store
	// Decide is aggregate.Decide on the store.
	Decide func(context.Context, aggregate.DecisionRequest) (aggregate.Decided, error)
	// Amount shows micros in the form of a currency, such as -12.50.
	Amount func(micros int64, currency string) string
	// Verdict is one line about a reconciliation.
	Verdict func(*aggregate.Reconciliation) string
	// BillingCSV and BillingJSON write downloads.
	BillingCSV, BillingJSON func(io.Writer, []aggregate.BillingRow) error
	Hash                    auth.Params // of new passwords; zero: auth.DefaultParams
	Entropy                 io.Reader
	Now                     func() time.Time
	Logger                  *slog.Logger
	Registerer              prometheus.Registerer
}

// Server is the console's HTTP server.
type Server struct {
	cfg      Config
	dep      Dependencies
	pages    pages
	accounts *auth.Accounts
	sessions *scs.SessionManager
	links    links
	live     *live
	reads    chan struct{} // a place per read of the store
	metrics  *metrics

	http     *http.Server
	context  context.Context // of everything that runs
	cancel   context.CancelFunc
	listener net.Listener
	running  sync.WaitGroup
	stopping atomic.Bool
}

// New prepares a console; it opens nothing.
func New(cfg Config, dep Dependencies) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		return nil, errors.New("console.listen: is empty; name an address, for example 127.0.0.1:8082")
	}
	if dep.Hash == (auth.Params{}) {
		dep.Hash = auth.DefaultParams()
	}
	s := &Server{
		cfg: cfg, dep: dep, reads: make(chan struct{}, maxStoreReads), metrics: newMetrics(dep.Registerer),
		accounts: auth.NewAccounts(dep.Store, dep.Hash, dep.Entropy, dep.Now),
		links:    links{now: dep.Now, entropy: dep.Entropy},
	}
	var err error
	if s.pages, err = parsePages(&dep); err != nil {
		return nil, err
	}
	s.sessions = s.newSessions()
	s.live = newLive(s)
	s.context, s.cancel = context.WithCancel(context.Background())
	handler, err := s.handler()
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return s.context },
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(dep.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Accounts keeps the console's users.
func (s *Server) Accounts() *auth.Accounts { return s.accounts }

// Start listens and serves.
func (s *Server) Start() error {
	serve := s.http.Serve
	if s.cfg.TLSCert != "" {
		pair := &certificate{cert: s.cfg.TLSCert, key: s.cfg.TLSKey}
		if _, err := pair.get(); err != nil {
			return err
		}
		s.http.TLSConfig = pair.config()
		serve = func(ln net.Listener) error { return s.http.ServeTLS(ln, "", "") }
	}
	ln, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("console.listen: cannot listen on %s: %w; name another port with --set console.listen=127.0.0.1:PORT, or nothing for no console", s.cfg.Listen, err)
	}
	// The name localhost is whatever the machine resolves it to.
	addr, ok := ln.Addr().(*net.TCPAddr)
	if s.cfg.ownLoopback() && (!ok || !addr.IP.IsLoopback()) {
		return errors.Join(fmt.Errorf("console.listen: %s is %s here, which is no loopback address; write 127.0.0.1 instead", s.cfg.Listen, ln.Addr()), ln.Close())
	}
	s.listener = ln
	s.running.Go(func() {
		if err := serve(ln); !s.stopping.Load() {
			s.dep.Logger.Error("console stopped serving", "error", err)
		}
	})
	return nil
}

// Addr returns the bound address, once started.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is what a browser on this machine calls the console, once started.
func (s *Server) URL() string {
	switch {
	case s.cfg.PublicURL != "":
		return s.cfg.PublicURL
	case s.cfg.TLSCert != "":
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Stop ends what is being read and answers the requests inside. It is safe to
// call on a server that never started.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.cancel()
	var err error
	if s.listener != nil {
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(fmt.Errorf("console: requests were still inside at the end of the drain time: %w", err), s.http.Close())
		}
	}
	s.running.Wait()
	return err
}

// handler is all routes behind the guards; the first one named runs first.
func (s *Server) handler() (http.Handler, error) {
	mux, err := s.mux(s.routes())
	if err != nil {
		return nil, err
	}
	origin := http.NewCrossOriginProtection()
	if s.cfg.PublicURL != "" {
		if err := origin.AddTrustedOrigin(s.cfg.PublicURL); err != nil {
			return nil, fmt.Errorf("console.public_url: %w", err)
		}
	}
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, nil, &problem{http.StatusForbidden, "the request comes from another site; use the console's own pages"})
	}))
	return s.measured(s.withHeaders(s.ownHost(origin.Handler(s.routed(mux))))), nil
}

// query runs f with one of the few places for reading the store.
func (s *Server) query(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
		return f(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}
