package hints

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
)

// Dependencies are what Hints work with.
type Dependencies struct {
	// Seed keys hashes of click ids and addresses. It is the same at every gateway of
	// the fleet and known to nobody else.
	Seed       uint64
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for none
}

// Hints exchange what gateways know. Used is safe for concurrent use; so is a nil
// *Hints, which knows nothing.
type Hints struct {
	cfg     Config
	dep     Dependencies
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[[]redis.Cmder]
	metrics *metrics
	queue   chan used
	fleet   fleet
}

// queued is how many ids wait for their batch at most; more are not asked for.
const queued = 8192

// New returns hints that ask nothing before Run; nil when cfg names no Redis. It does
// not connect, so a Redis that is away delays nobody's start.
func New(cfg Config, dep Dependencies) (*Hints, error) {
	if cfg.Addr == "" {
		return nil, nil
	}
	h := &Hints{cfg: cfg, dep: dep, queue: make(chan used, queued)}
	var err error
	if h.metrics, err = newMetrics(h, dep.Registerer); err != nil {
		return nil, err
	}
	quiet()
	h.client = redis.NewClient(options(&cfg))
	h.breaker = gobreaker.NewCircuitBreaker[[]redis.Cmder](gobreaker.Settings{
		Name: "redis", MaxRequests: 1, Timeout: time.Second,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= 3 },
		OnStateChange: func(_ string, from, to gobreaker.State) { h.changed(from, to) },
	})
	return h, nil
}

// quiet ends the client library's own log, which goes to standard error past every
// setting and has a line for each call that fails.
var quiet = sync.OnceFunc(logging.Disable)

// options make a client that gives up in time. By default it would wait for a Redis
// that hangs whatever its context says, and dial again for each call that failed.
func options(cfg *Config) *redis.Options {
	o := &redis.Options{
		Addr: cfg.Addr, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB,
		MaxRetries: -1, ContextTimeoutEnabled: true, DialTimeout: time.Second, DialerRetries: 1,
		PoolSize: 4, PipelinePoolSize: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if cfg.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o
}

// Run exchanges hints until ctx ends: ids as they come, loads of addresses, which may
// be nil, once a second. It closes the connections and must be called once.
func (h *Hints) Run(ctx context.Context, addresses *admit.Addresses) {
	if h == nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { h.ask(ctx) })
	both.Go(func() { h.exchange(ctx, addresses) })
	both.Wait()
	_ = h.client.Close() // nothing is in flight, and nothing is owed
}

// Used tells the others that a click id was used here, for the first time as far as
// this gateway knows. issued is when its token was made, Unix microseconds. It never
// blocks and allocates nothing; when too many wait the id is left out.
func (h *Hints) Used(tenant string, id click.ID, issued int64) {
	if h == nil {
		return
	}
	select {
	case h.queue <- used{admit.ClickHash(h.dep.Seed, tenant, id), issued / minute}:
	default:
		h.metrics.ids.omitted.Inc()
	}
}

// do sends a pipeline unless Redis has failed too often lately. Any command that
// fails, as all do on a full or read-only Redis, is a failure of the whole.
func (h *Hints) do(ctx context.Context, timeout time.Duration, fill func(redis.Pipeliner)) ([]redis.Cmder, error) {
	return h.breaker.Execute(func() ([]redis.Cmder, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		began := time.Now()
		pipe := h.client.Pipeline()
		fill(pipe)
		answers, err := pipe.Exec(ctx)
		h.metrics.call.Observe(time.Since(began).Seconds())
		return answers, err
	})
}

func (h *Hints) changed(from, to gobreaker.State) {
	switch {
	case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
		h.dep.Logger.Warn("redis does not answer; gateways know nothing of each other until it does", "redis.addr", h.cfg.Addr)
	case to == gobreaker.StateClosed:
		h.dep.Logger.Info("redis answers again", "redis.addr", h.cfg.Addr)
	}
}

// Seed is what addresses are hashed with: own while there is no fleet to agree with.
func (h *Hints) Seed(own uint64) uint64 {
	if h == nil {
		return own
	}
	return h.dep.Seed
}
