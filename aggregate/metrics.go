package aggregate

import (
	"sync"
	"time"

	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	mu      sync.Mutex
	byState [click.NumStates]int64
	behind  map[Partition]int64 // records not stored, of the partitions held
	named   map[string]bool     // gateways that have a label of their own
	stopped map[Partition]error // why partitions held stand still
	away    error               // no broker answers
	failed  error               // of the last session, nil once another has got on

	events        *prometheus.CounterVec
	copies        prometheus.Counter
	copiesOf      *prometheus.CounterVec
	poison        prometheus.Counter
	records       prometheus.Histogram
	freshness     prometheus.Histogram
	sessionErrors *prometheus.CounterVec
	fed           *prometheus.CounterVec // of the feeds' aggregator alone, which counts no events
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := makeMetrics("aggregate")
	if reg != nil {
		reg.MustRegister(m.newLagGauge("aggregate"), m.newStoppedGauge("aggregate"), m.events, m.copies, m.copiesOf, m.poison, m.records,
			m.freshness, m.sessionErrors)
	}
	return m
}

func newFeedMetrics(reg prometheus.Registerer) *metrics {
	m := makeMetrics("feeds")
	m.fed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clickgate_feeds_rows_total",
		Help: "Impressions and conversions read from Kafka: new ones are stored, repeated ones were there.",
	}, []string{"feed", "row"})
	for _, name := range feedNames {
		m.fed.WithLabelValues(name, "new")
		m.fed.WithLabelValues(name, "repeated")
	}
	if reg != nil {
		reg.MustRegister(m.newLagGauge("feeds"), m.newStoppedGauge("feeds"), m.fed, m.poison, m.records, m.sessionErrors)
	}
	return m
}

// makeMetrics makes what both kinds of aggregators measure, and what the one of events does.
func makeMetrics(kind string) *metrics {
	m := &metrics{
		behind:  make(map[Partition]int64),
		stopped: make(map[Partition]error),
		named:   make(map[string]bool),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_aggregate_events_total",
			Help: "Events stored for the first time, by provisional state.",
		}, []string{"state"}),
		copies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_aggregate_own_copies_total",
			Help: "Records dropped because the same ingest was stored already.",
		}),
		copiesOf: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_aggregate_gateway_copies_total",
			Help: "Records dropped because the same ingest was stored already, by the gateway that wrote them.",
		}, []string{"gateway"}),
		poison: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_" + kind + "_poison_records_total",
			Help: "Records that do not decode or that the store refuses, kept in poison_records.",
		}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "clickgate_" + kind + "_batch_records",
			Help:    "Records per transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		freshness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "clickgate_aggregate_freshness_seconds",
			Help:    "Time from the receipt of a batch's oldest click to its commit.",
			Buckets: prometheus.ExponentialBuckets(.005, 2, 14),
		}),
		sessionErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_" + kind + "_session_errors_total",
			Help: "Ends of consumer sessions by cause: fenced or other; partitions that stopped: gap.",
		}, []string{"cause"}),
	}
	return m
}

func (m *metrics) newLagGauge(kind string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clickgate_" + kind + "_lag_records",
		Help: "Records of the partitions held that were in Kafka at the last fetch and are not stored.",
	}, m.lag)
}

func (m *metrics) batch(res *Result, b *Batch, now time.Time) {
	m.mu.Lock()
	for state, n := range res.ByState {
		m.byState[state] += n
	}
	m.mu.Unlock()
	for state, n := range res.ByState {
		if n > 0 {
			m.events.WithLabelValues(click.State(state).String()).Add(float64(n))
		}
	}
	m.copies.Add(float64(res.OwnCopies))
	for gateway, n := range res.CopiesOf {
		m.copiesOf.WithLabelValues(m.gateway(gateway)).Add(float64(n))
	}
	m.poison.Add(float64(res.Poison))
	m.records.Observe(float64(res.Records))
	if m.fed != nil {
		for feed, n := range res.Fed {
			m.fed.WithLabelValues(feedNames[feed], "new").Add(float64(n.New))
			m.fed.WithLabelValues(feedNames[feed], "repeated").Add(float64(n.Repeated))
		}
	}
	if len(b.Clicks) > 0 {
		oldest := b.Clicks[0].ReceivedAt
		for _, c := range b.Clicks {
			oldest = min(oldest, c.ReceivedAt)
		}
		m.freshness.Observe(now.Sub(time.UnixMicro(oldest)).Seconds())
	}
}

// gateway returns the label of a gateway: the first maxGateways have one of their own.
func (m *metrics) gateway(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.named[name] {
		if len(m.named) >= maxGateways {
			return otherGateways
		}
		m.named[name] = true
	}
	return name
}

// left notes how many records of a partition are still to be stored.
func (m *metrics) left(p Partition, records int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.behind[p] = max(0, records)
}

// forget leaves a partition to its next owner.
func (m *metrics) forget(p Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.behind, p)
}

func (m *metrics) lag() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum int64
	for _, n := range m.behind {
		sum += n
	}
	return float64(sum)
}

// Counts returns the events stored for the first time since the start, by
// provisional state.
func (a *Aggregator) Counts() [click.NumStates]int64 {
	a.metrics.mu.Lock()
	defer a.metrics.mu.Unlock()
	return a.metrics.byState
}
