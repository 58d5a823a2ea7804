package aggregate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type closerMetrics struct {
	units    *prometheus.CounterVec
	duration prometheus.Histogram
	errors   prometheus.Counter
	open     prometheus.Gauge
	overdue  prometheus.Gauge
	oldest   prometheus.Gauge
	feed     *prometheus.CounterVec
}

func newCloserMetrics(reg prometheus.Registerer) *closerMetrics {
	m := &closerMetrics{
		units: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_close_units_total",
			Help: "Hours of sources that were closed, in order or by force.",
		}, []string{"cause"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "clickgate_close_duration_seconds",
			Help:    "Time to close one hour of one source.",
			Buckets: prometheus.ExponentialBuckets(.01, 4, 9),
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_close_errors_total",
			Help: "Rounds in which an hour could not be closed.",
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_close_open_units",
			Help: "Hours of sources that are not closed.",
		}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_close_overdue_units",
			Help: "Hours of sources that are due and wait for a gateway or for an earlier hour.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_close_overdue_seconds",
			Help: "How long the oldest overdue hour has been due; 0 without one.",
		}),
	}
	m.feed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clickgate_close_impressions_units_total",
		Help: "Hours of sources that were closed, by their feed of impressions: used, thin (it has fewer than half of what was clicked, so no click is judged by it), behind (not whole when the hour closed), old (forgotten before it closed), none.",
	}, []string{"feed"})
	for _, cause := range []string{"due", "forced"} {
		m.units.WithLabelValues(cause)
	}
	for _, state := range feedStates {
		m.feed.WithLabelValues(state)
	}
	if reg != nil {
		reg.MustRegister(m.feed, m.units, m.duration, m.errors, m.open, m.overdue, m.oldest)
	}
	return m
}

func (m *closerMetrics) closed(forced bool, took time.Duration) {
	cause := "due"
	if forced {
		cause = "forced"
	}
	m.units.WithLabelValues(cause).Inc()
	m.duration.Observe(took.Seconds())
}

// observe shows what a round found before it closed anything.
func (m *closerMetrics) observe(plans []UnitPlan, now time.Time) {
	waiting, oldest := 0, now
	for i := range plans {
		if at := time.UnixMicro(plans[i].Due); plans[i].Hold != "" && at.Before(now) {
			waiting++
			if at.Before(oldest) {
				oldest = at
			}
		}
	}
	m.open.Set(float64(len(plans)))
	m.overdue.Set(float64(waiting))
	m.oldest.Set(now.Sub(oldest).Seconds())
}
