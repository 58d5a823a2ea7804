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

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of a connection, and of one read of the store.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	storeTimeout      = 30 * time.Second
	maxStoreReads     = 2 // at once; the store has clicks to take
)

// Dependencies are what the console is given. All but Registerer are required.
type Dependencies struct {
	Reports aggregate.Reports
	// Amount shows micros in the form of a currency, such as -12.50.
	Amount func(micros int64, currency string) string
	// Verdict is one line about a reconciliation.
	Verdict func(*aggregate.Reconciliation) string
	// BillingCSV and BillingJSON write downloads.
	BillingCSV, BillingJSON func(io.Writer, []aggregate.BillingRow) error
	Now                     func() time.Time
	Logger                  *slog.Logger
	Registerer              prometheus.Registerer
}

// Server is the console's HTTP server.
type Server struct {
	cfg     Config
	dep     Dependencies
	pages   pages
	live    *live
	reads   chan struct{} // a place per read of the store
	metrics *metrics

	http     *http.Server
	cancel   context.CancelFunc // ends the reads of all requests
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
		return nil, errors.New("console.listen: is empty; name a loopback address, for example 127.0.0.1:8082")
	}
	s := &Server{cfg: cfg, dep: dep, reads: make(chan struct{}, maxStoreReads), metrics: newMetrics(dep.Registerer)}
	var err error
	if s.pages, err = parsePages(&dep); err != nil {
		return nil, err
	}
	s.live = newLive(dep.Reports, dep.Now)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(dep.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Start listens and serves.
func (s *Server) Start() error {
	ln, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("console.listen: cannot listen on %s: %w; name another port with --set console.listen=127.0.0.1:PORT, or nothing for no console", s.cfg.Listen, err)
	}
	// The name localhost is whatever the machine resolves it to.
	if addr, ok := ln.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("console.listen: %s is %s here, which is no loopback address; write 127.0.0.1 instead", s.cfg.Listen, ln.Addr()), ln.Close())
	}
	s.listener = ln
	s.running.Go(func() {
		if err := s.http.Serve(ln); !s.stopping.Load() {
			s.dep.Logger.Error("console stopped serving", "error", err)
		}
	})
	return nil
}

// Addr returns the bound address, once started.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Stop ends what is being read and answers the requests inside. It is safe to
// call on a server that never started.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.cancel()
	if s.listener == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("console: requests were still inside at the end of the drain time: %w", err), s.http.Close())
	}
	s.running.Wait()
	return err
}

// handler is all routes behind the guards; the first one named runs first.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page(s.home))
	mux.HandleFunc("GET /live", s.page(s.fragment))
	mux.HandleFunc("GET /billing", s.page(s.billing))
	mux.HandleFunc("GET /billing.csv", s.page(s.download("text/csv; charset=utf-8", "csv", s.dep.BillingCSV)))
	mux.HandleFunc("GET /billing.json", s.page(s.download("application/json", "json", s.dep.BillingJSON)))
	mux.HandleFunc("GET /reconcile", s.page(s.reconcile))
	mux.HandleFunc("GET /trace", s.page(s.trace))
	mux.HandleFunc("GET /static/{name}", s.page(s.static))

	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(s.page(func(http.ResponseWriter, *http.Request) error {
		return &problem{http.StatusForbidden, "the request comes from another site; use the console's own pages"}
	}))
	return s.measured(withHeaders(s.ownHost(origin.Handler(s.routed(mux)))))
}

// query runs f with one of the few places for reading the store.
func (s *Server) query(r *http.Request, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
		return f(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}
