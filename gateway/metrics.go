package gateway

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
)

// route is the label of a request's path; paths themselves are unbounded.
type route uint8

const (
	routeOther route = iota
	routeClick
	routeBeacon
	routeBatch
	routeRaw
	routeImpressions
	routeConversions
	numRoutes
)

var routeNames = [numRoutes]string{"other", "c", "b", "batch", "raw", "impressions", "conversions"}

// fed reports whether what comes by r is evidence about clicks and no click.
func (r route) fed() bool { return r == routeImpressions || r == routeConversions }

// batch reports whether items come by r, which are answered in JSON.
func (r route) batch() bool { return r == routeBatch || r.fed() }

// ending is what became of one event.
type ending uint8

const (
	endAccepted   ending = iota // a durable click
	endMalformed                // a durable dead letter
	endShed                     // refused for load
	endUnrecorded               // redirected without a durable record
	endNotDurable               // the sender was told to come again
	endLate                     // redirected before the log said whether it is durable
	numEndings
)

var endingNames = [numEndings]string{"accepted", "malformed", "shed", "unrecorded", "not_durable", "late"}

// statuses are all the codes that answers have.
var statuses = [...]int{200, 204, 302, 400, 401, 404, 405, 408, 409, 411, 413, 415, 422, 429, 431, 500, 501, 503, 505}

const numEntries = int(click.EntryLog) + 1

// metrics of the gateway. Everything the accept path touches is resolved ahead,
// so that counting does not allocate.
type metrics struct {
	requests   [numRoutes]map[int]prometheus.Counter
	events     [numEntries][numEndings]prometheus.Counter
	refused    *prometheus.CounterVec
	malformed  *prometheus.CounterVec
	shed       *prometheus.CounterVec
	fed        [numRoutes][numEndings]prometheus.Counter // of the feeds' routes alone
	unrecorded prometheus.Counter
	panics     prometheus.Counter
	replayed   prometheus.Counter

	connectionsRefused, readsPaused prometheus.Counter

	logLines *prometheus.CounterVec
	damaged  *prometheus.CounterVec
	seconds  [numRoutes]prometheus.Observer
	skew     *skewMetric
	ticks    atomic.Uint32
}

func newMetrics(reg prometheus.Registerer, g *admit.Gate, remembered *answers) (*metrics, error) {
	const ns, sub = "clickgate", "gateway"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, f)
	}
	requests := counter("requests_total", "Requests answered, by route and status code.", "route", "code")
	events := counter("events_total", "Events of known tenants, by entry path and what became of them.", "entry", "outcome")
	fed := counter("feed_items_total", "Impressions and conversions of known tenants, by feed and what became of them; a request that is shed counts once.", "feed", "outcome")
	unrecorded := counter("unrecorded_total", "Redirects that left no durable record; never billed.")
	panics := counter("panics_total", "Requests that ended in a caught panic and were answered 500.")
	replayed := counter("replayed_answers_total", "Batches answered from memory by their idempotency key.")
	connections := counter("connections_refused_total", "Connections of clients that had as many as they may.")
	paused := counter("reads_paused_total", "Times that the next request of a connection was left unread, because requests of its class are refused.")
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: ns, Subsystem: sub, Name: "request_seconds",
		Help:    "Time from a request's header to its answer, sampled one in eight.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"route"})
	m := &metrics{
		refused:    counter("refused_total", "Requests refused before their tenant was known, by code.", "code"),
		malformed:  counter("malformed_total", "Dead letters, by code.", "code"),
		shed:       counter("shed_total", "Requests refused for load, by route, class and reason.", "route", "class", "reason"),
		logLines:   counter("log_lines_total", "Lines of logs by tenant, source and what they were.", "tenant", "source", "kind"),
		damaged:    counter("damaged_bodies_total", "Bodies of logs that could not be read to their end, by code.", "code"),
		unrecorded: unrecorded.WithLabelValues(),
		panics:     panics.WithLabelValues(),
		replayed:   replayed.WithLabelValues(),

		connectionsRefused: connections.WithLabelValues(), readsPaused: paused.WithLabelValues(),

		skew: newSkewMetric(),
	}
	m.resolve(requests, events, seconds)
	for _, r := range [...]route{routeImpressions, routeConversions} {
		for _, o := range [...]ending{endAccepted, endMalformed, endShed, endNotDurable} {
			m.fed[r][o] = fed.WithLabelValues(routeNames[r], endingNames[o])
		}
	}
	for _, c := range []prometheus.Collector{
		requests, events, fed, unrecorded, panics, replayed, connections, paused, seconds, m.refused, m.malformed, m.shed, m.logLines, m.damaged, m.skew.seconds,
		gauge("in_flight", "Requests between permit and answer.", func() float64 { return float64(g.InFlight()) }),
		gauge("in_flight_limit", "Permits.", func() float64 { return float64(g.Limit()) }),
		gauge("waiting", "Requests that wait for a permit.", func() float64 { return float64(g.Waiting()) }),
		gauge("classes_open", "Classes of requests that are let in: 4 all, 2 paid and organic, 1 paid.", func() float64 { return float64(g.Status().Open) }),
		gauge("pressure", "The fullest of buffers, memory, spool and file descriptors, 0 to 1.", func() float64 { return g.Status().Pressure }),
		gauge("queueing_seconds", "Mean time that events wait before their flush begins.", func() float64 { return g.Status().Wait.Seconds() }),
		gauge("remembered_answers", "Answers kept under idempotency keys.", func() float64 { return float64(remembered.stored()) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) resolve(requests, events *prometheus.CounterVec, seconds *prometheus.HistogramVec) {
	for r := range numRoutes {
		m.requests[r] = make(map[int]prometheus.Counter, len(statuses))
		for _, code := range statuses {
			m.requests[r][code] = requests.WithLabelValues(routeNames[r], strconv.Itoa(code))
		}
		m.seconds[r] = seconds.WithLabelValues(routeNames[r])
	}
	for _, e := range []click.Entry{click.EntryClick, click.EntryBeacon, click.EntryBatch, click.EntryLog} {
		for o := range numEndings {
			m.events[e][o] = events.WithLabelValues(e.String(), endingNames[o])
		}
	}
}

// answered counts a request.
func (m *metrics) answered(r route, code int) {
	if c := m.requests[r][code]; c != nil {
		c.Inc()
	}
}

// sample reports whether this request's duration is to be measured.
func (m *metrics) sample() bool { return m.ticks.Add(1)%8 == 0 }

// maxSkewSources bounds the label set of the skew metric.
const maxSkewSources = 256

// skewMetric shows how far the clocks of sources are from the gateway's.
type skewMetric struct {
	seconds *prometheus.HistogramVec
	mu      sync.RWMutex
	sources map[skewKey]prometheus.Observer
	other   prometheus.Observer
}

type skewKey struct{ tenant, source string }

func newSkewMetric() *skewMetric {
	s := &skewMetric{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "clickgate", Subsystem: "gateway", Name: "event_skew_seconds",
			Help:    "Receipt time minus stated event time of batch items, refused ones too; negative ahead of the gateway's clock. Sources beyond the first 256 share the label other.",
			Buckets: []float64{-300, -60, -5, -1, 0, 1, 5, 60, 900, 3600, 86400, 259200},
		}, []string{"tenant", "source"}),
		sources: make(map[skewKey]prometheus.Observer),
	}
	s.other = s.seconds.WithLabelValues("other", "other")
	return s
}

// observe takes a difference in microseconds.
func (s *skewMetric) observe(tenant, source string, micros int64) {
	s.of(tenant, source).Observe(float64(micros) / float64(time.Second/time.Microsecond))
}

func (s *skewMetric) of(tenant, source string) prometheus.Observer {
	key := skewKey{tenant, source}
	s.mu.RLock()
	o, full := s.sources[key], len(s.sources) >= maxSkewSources
	s.mu.RUnlock()
	if o != nil {
		return o
	}
	if full {
		return s.other
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o = s.sources[key]; o == nil {
		o = s.seconds.WithLabelValues(tenant, source)
		s.sources[key] = o
	}
	return o
}
