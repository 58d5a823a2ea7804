package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"

	"github.com/valyala/fasthttp"
)

// Server is the click edge. New makes it, Start binds and serves, Stop drains.
type Server struct {
	cfg         Config
	dep         Dependencies
	trust       *edge.Trust
	ids         *click.IDSource
	admission   admission
	answers     *answers
	feedAnswers *answers // apart, so that feeds do not displace what clicks are remembered by
	metrics     *metrics
	events      sync.Pool // of *event
	batches     sync.Pool // of *batch
	outcomes    *sync.Pool

	listen        func(network, addr string) (net.Listener, error)
	http          *fasthttp.Server
	admin         *http.Server
	raw           *rawServer // nil without a batch listener
	listener      net.Listener
	adminListener net.Listener
	door          *door // of listener
	draining      atomic.Bool
	cancel        context.CancelFunc    // ends the gate's controller
	broken        atomic.Pointer[error] // why serving ended by itself
	running       sync.WaitGroup
}

// New returns a server that does nothing yet. Errors name what is wrong in cfg
// or missing in dep.
func New(cfg Config, dep Dependencies) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := dep.check(); err != nil {
		return nil, err
	}
	trust, err := edge.NewTrust(cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	ids, err := click.NewIDSource(dep.Entropy)
	if err != nil {
		return nil, fmt.Errorf("gateway: cannot seed event ids: %w", err)
	}
	s := &Server{cfg: cfg, dep: dep, trust: trust, ids: ids, listen: net.Listen}
	if err := s.newAdmission(); err != nil {
		return nil, err
	}
	s.answers = newAnswers(&s.cfg.Limits, cfg.Timeouts.Answers, dep.Now)
	s.feedAnswers = newAnswers(feedMemory(cfg.Limits), cfg.Timeouts.Answers, dep.Now)
	s.outcomes = newOutcomePool(dep.Log, s.lost)
	s.events.New = func() any { return newEvent() }
	s.batches.New = func() any { return newBatch() }
	if s.metrics, err = newMetrics(dep.Registerer, s.admission.gate, s.answers); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s.http = s.newHTTP()
	if s.admin, err = s.newAdmin(); err != nil {
		return nil, err
	}
	if s.raw, err = s.newRaw(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) newHTTP() *fasthttp.Server {
	l, t := &s.cfg.Limits, &s.cfg.Timeouts
	return &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.refuseUnread,
		HeaderReceived:               s.headerReceived,
		ExpectHandler:                s.expect,
		Logger:                       quiet{},
		Concurrency:                  l.MaxConnections,
		ReadBufferSize:               l.MaxHeaderBytes,
		MaxRequestBodySize:           max(l.MaxBatchBytes, l.MaxBeaconBytes),
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ReadTimeout:                  t.Read,
		WriteTimeout:                 t.Write,
		IdleTimeout:                  t.Idle,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
}

// quiet drops the HTTP server's own log lines: they hold client addresses and
// bytes of requests. What they tell is counted by refuseUnread.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Start binds all addresses and serves. After an error nothing is left open.
func (s *Server) Start() error {
	ln, err := s.listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("gateway.listen: cannot listen on %s: %w", s.cfg.Listen, err)
	}
	adminLn, err := s.listen("tcp", s.cfg.AdminListen)
	if err != nil {
		return errors.Join(fmt.Errorf("gateway.admin_listen: cannot listen on %s: %w", s.cfg.AdminListen, err), ln.Close())
	}
	if s.raw != nil {
		if err := s.raw.bind(s); err != nil {
			return errors.Join(err, ln.Close(), adminLn.Close())
		}
		s.running.Go(func() { s.ended(s.raw.serve()) })
	}
	s.listener, s.adminListener = ln, adminLn
	if s.cfg.ProxyProtocol {
		ln = proxyListener(ln, s.trust, s.cfg.Timeouts.ProxyHeader)
	}
	s.door = s.newDoor(ln)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if s.dep.Signals != nil {
		s.running.Go(func() { s.admission.gate.Run(ctx) })
	}
	s.running.Go(func() { s.dep.Hints.Run(ctx, s.admission.addresses) })
	s.running.Go(func() { s.ended(s.http.Serve(s.door)) })
	s.running.Go(func() { s.ended(s.admin.Serve(adminLn)) })
	return nil
}

// ended remembers an end of serving that nobody asked for; readiness shows it.
func (s *Server) ended(err error) {
	if s.draining.Load() || err == nil {
		return
	}
	s.broken.CompareAndSwap(nil, &err)
	s.dep.Logger.Error("gateway stopped serving", "error", err)
}

// Addr returns the bound address of the click listener, once started.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// AdminAddr returns the bound address of the admin listener, once started.
func (s *Server) AdminAddr() net.Addr { return s.adminListener.Addr() }

// Handler returns what the click listener serves, for benchmarks and for servers
// of one's own.
func (s *Server) Handler() fasthttp.RequestHandler { return s.handle }

// Drain makes /readyz fail, so that load balancers turn away before Stop, and every
// answer end its connection, so that clients do as well.
func (s *Server) Drain() { s.draining.Store(true) }

// Stop drains: it accepts no more connections, answers the requests inside with
// Connection: close, and closes the admin listener last. Clients have half of the
// time to the deadline of ctx to send the rest of what they began, and a quarter
// more to take their answers. When ctx ends first it returns an error and requests
// may still be running.
func (s *Server) Stop(ctx context.Context) error {
	s.Drain()
	if s.listener == nil {
		return nil
	}
	if end, ok := ctx.Deadline(); ok {
		left := time.Until(end)
		reads, writes := time.Now().Add(min(left/2, s.cfg.Timeouts.Read)), end.Add(-left/4)
		s.door.stop(reads, writes)
		s.raw.hurry(reads, writes)
	}
	err := s.http.ShutdownWithContext(ctx)
	if err != nil {
		err = fmt.Errorf("gateway: %d requests were still inside at the end of the drain time: %w", s.admission.gate.InFlight(), err)
	}
	// Shutdown knows the listener only once Serve has begun, which a stop right
	// after the start may be ahead of; as a rule this closes it a second time.
	_ = s.listener.Close()
	err = errors.Join(err, s.raw.stop(ctx), s.admin.Close())
	s.cancel()
	s.running.Wait()
	return err
}
