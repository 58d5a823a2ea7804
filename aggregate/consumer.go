package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"clickgate/gateway/stream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// Dependencies are what an Aggregator works with; it owns none of them.
type Dependencies struct {
	Store      Ingest
	Kafka      []kgo.Opt // brokers and client id
	Owner      string    // names this process in claims
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Aggregator consumes topics into the store: New's those of events, NewFeeds' those of
// the feeds, in a group of its own, so that neither waits for the other. Kafka's group only deals out
// partitions; positions and fences are the store's, so that a zombie or a lost
// offset commit cannot hurt.
type Aggregator struct {
	cfg     Config
	dep     Dependencies
	metrics *metrics
	topics  []string
	trim    func(context.Context) // nil: nothing is forgotten

	cancel context.CancelFunc
	done   chan struct{}
}

// New returns an aggregator; nothing runs before Start.
func New(cfg Config, dep Dependencies) (*Aggregator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Aggregator{
		cfg: cfg, dep: dep, metrics: newMetrics(dep.Registerer), done: make(chan struct{}),
		topics: []string{stream.ClicksTopic, stream.DeadLettersTopic},
	}, nil
}

// Start begins consuming.
func (a *Aggregator) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	go func() {
		defer close(a.done)
		var trimming sync.WaitGroup
		if a.trim != nil {
			trimming.Go(func() { a.trim(ctx) })
		}
		a.run(ctx)
		trimming.Wait()
	}()
}

// Stop ends consuming after the batch in hand, within ctx.
func (a *Aggregator) Stop(ctx context.Context) error {
	a.cancel()
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("aggregator did not stop in time: %w", ctx.Err())
	}
}

// run holds a group session at a time. Whatever ends one (a fence, a gap, a lost
// store) is said once, and the next begins from the store's positions.
func (a *Aggregator) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.session(ctx)
		if ctx.Err() != nil {
			return
		}
		a.metrics.sessionErrors.WithLabelValues(cause(err)).Inc()
		a.metrics.fail(err)
		a.dep.Logger.Error("consuming stopped; it starts again from the store's positions", "error", err, "pause", a.cfg.RetryPause)
		select {
		case <-time.After(a.cfg.RetryPause):
		case <-ctx.Done():
		}
	}
}

func cause(err error) string {
	switch {
	case errors.Is(err, ErrFenced):
		return "fenced"
	case errors.Is(err, ErrGap):
		return "gap"
	}
	return "other"
}

// session is one membership of the consumer group.
type session struct {
	*Aggregator
	client *kgo.Client
	ready  chan struct{} // closed once client is set; the group may call back before

	mu      sync.Mutex
	claims  map[string]map[int32]*owned
	stopped map[*owned]bool // partitions with a gap before their position
	failed  error           // of claiming, inside the client's callback

	looked time.Time // when the store was last asked for positions of stopped partitions
}

func (a *Aggregator) session(ctx context.Context) error {
	s := newSession(a)
	defer a.metrics.goOn()
	life, end := context.WithCancel(context.Background())
	defer end()
	opts := append([]kgo.Opt{
		kgo.WithContext(life),
		kgo.ConsumerGroup(a.cfg.Group),
		kgo.ConsumeTopics(a.topics...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(), // offsets in Kafka are for lag tools only
		kgo.FetchMaxWait(a.cfg.MaxWait),
		kgo.SessionTimeout(a.cfg.SessionTimeout),
		kgo.HeartbeatInterval(a.cfg.SessionTimeout / 4),
		kgo.RebalanceTimeout(2 * a.cfg.SessionTimeout), // a member that does not answer holds all others
		// A position outside the log means lost records: an error, never a reset.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.AdjustFetchOffsetsFn(s.claim),
		kgo.OnPartitionsAssigned(s.joined),
		kgo.OnPartitionsRevoked(s.drop),
		kgo.OnPartitionsLost(s.drop),
	}, a.dep.Kafka...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	s.client = client
	close(s.ready)
	defer leave(client, end)
	watching, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watchBrokers(watching) })
	defer watch.Wait()
	defer unwatch()
	for {
		fetches := s.poll(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.claimFailure(); err != nil {
			return err
		}
		if err := s.fetchErrors(fetches); err != nil {
			return err
		}
		if err := s.apply(ctx, fetches); err != nil {
			return err
		}
		if err := s.moved(ctx); err != nil {
			return err
		}
		client.AllowRebalance()
	}
}

func newSession(a *Aggregator) *session {
	return &session{
		Aggregator: a, ready: make(chan struct{}),
		claims: make(map[string]map[int32]*owned), stopped: make(map[*owned]bool),
	}
}

// leaveTimeout bounds a goodbye. The client waits for a join under way, and a join
// waits for members that may be dead; whoever leaves without a goodbye is missed
// after the session timeout.
const leaveTimeout = 5 * time.Second

// leave closes a client whose life end ends.
func leave(client *kgo.Client, end context.CancelFunc) {
	impatience := time.AfterFunc(leaveTimeout, end)
	defer impatience.Stop()
	client.CloseAllowingRebalance()
}

// poll waits for records; while a partition stands still, not for ever.
func (s *session) poll(ctx context.Context) kgo.Fetches {
	if s.standing() == nil {
		return s.client.PollRecords(ctx, s.cfg.MaxRecords)
	}
	ctx, cancel := context.WithTimeout(ctx, s.untilLook())
	defer cancel()
	return s.client.PollRecords(ctx, s.cfg.MaxRecords)
}

// fetchErrors stops partitions whose fetch tells of missing records, and returns the
// first other error.
func (s *session) fetchErrors(fetches kgo.Fetches) error {
	var first error
	fetches.EachError(func(topic string, partition int32, err error) {
		if topic == "" && partition < 0 && errors.Is(err, context.DeadlineExceeded) {
			return // poll's own: a broker that cannot be dialled is the same error, of a partition or the group
		}
		err = fetchError(topic, partition, err)
		if o := s.owned(topic, partition); o != nil && errors.Is(err, ErrGap) {
			s.stop(o, err)
		} else if first == nil {
			first = err
		}
	})
	return first
}

func fetchError(topic string, partition int32, err error) error {
	var lost *kgo.ErrDataLoss
	if errors.Is(err, kerr.OffsetOutOfRange) || errors.As(err, &lost) {
		err = fmt.Errorf("%w (%w)", ErrGap, err)
	}
	return fmt.Errorf("fetching %s-%d: %w", topic, partition, err)
}

// parallelBatches bounds the transactions under way at once.
const parallelBatches = 4

// apply writes what a poll brought, a transaction per partition.
func (s *session) apply(ctx context.Context, fetches kgo.Fetches) error {
	g, ctx := errgroup.WithContext(context.WithoutCancel(ctx))
	g.SetLimit(parallelBatches)
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) > 0 {
			g.Go(func() error { return s.applyOrStop(ctx, f.Records, f.HighWatermark) })
		}
	})
	return g.Wait()
}

// applyOrStop writes a batch. A gap before it stops its partition alone.
func (s *session) applyOrStop(ctx context.Context, records []*kgo.Record, end int64) error {
	o := s.owned(records[0].Topic, records[0].Partition)
	if o == nil || s.standsStill(o) {
		return nil // revoked or stopped between the fetch and now
	}
	err := s.applyPartition(ctx, records, end)
	if errors.Is(err, ErrGap) {
		s.stop(o, err)
		return nil
	}
	return err
}

// applyPartition writes a batch; end is the offset behind the partition's last
// record as the broker told it.
func (s *session) applyPartition(ctx context.Context, records []*kgo.Record, end int64) error {
	first := records[0]
	o := s.owned(first.Topic, first.Partition)
	if o == nil {
		return nil // revoked between the fetch and now; its new owner reads it
	}
	s.metrics.left(o.partition, end-o.claim.Next)
	for i, r := range records {
		if want := o.claim.Next + int64(i); r.Offset != want {
			return fmt.Errorf("%w: %s has offset %d next, the store wants %d", ErrGap, o.partition, r.Offset, want)
		}
	}
	batch := DecodeBatch(o.partition, o.claim, records)
	res, err := Apply(ctx, s.dep.Store, batch)
	if err != nil && !errors.Is(err, ErrApplied) {
		return fmt.Errorf("writing %s at offset %d: %w", o.partition, batch.First, err)
	}
	o.claim.Next = batch.Next
	s.metrics.left(o.partition, end-batch.Next)
	s.metrics.batch(&res, batch, s.dep.Now())
	// For lag tools only; losing it does not matter.
	s.client.MarkCommitRecords(records[len(records)-1])
	return nil
}
