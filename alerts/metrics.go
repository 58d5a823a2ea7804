package alerts

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	leader   prometheus.Gauge
	judged   prometheus.Counter
	open     prometheus.Gauge
	opened   prometheus.Counter
	pending  prometheus.Gauge
	pages    *prometheus.CounterVec
	failures prometheus.Counter
	errors   prometheus.Counter
	behind   prometheus.Gauge
	series   prometheus.Gauge
	cut      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		leader:   gauge("clickgate_alerts_leader", "1 while this process acts on incidents."),
		judged:   counter("clickgate_alerts_judged_total", "Minutes that were judged."),
		open:     gauge("clickgate_alerts_open_incidents", "Incidents that are not resolved."),
		opened:   counter("clickgate_alerts_incidents_opened_total", "Incidents opened."),
		pending:  gauge("clickgate_alerts_pending_pages", "Pages that PagerDuty has not taken."),
		failures: counter("clickgate_alerts_page_failures_total", "Calls to PagerDuty that are tried again."),
		errors:   counter("clickgate_alerts_errors_total", "Rounds that failed, mostly because the store was away."),
		behind:   gauge("clickgate_alerts_behind_seconds", "Age of the newest judged minute's end, where this process acts."),
		series:   gauge("clickgate_alerts_series", "Series that are watched."),
		cut:      counter("clickgate_alerts_series_cut_total", "Minutes of series that are not watched because there are too many."),
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_alerts_pages_total",
			Help: "Pages by outcome: sent, collapsed into a newer one, or refused by PagerDuty for good.",
		}, []string{"outcome"}),
	}
	for _, o := range []string{"sent", "collapsed", "refused"} {
		m.pages.WithLabelValues(o)
	}
	if reg != nil {
		reg.MustRegister(m.leader, m.judged, m.open, m.opened, m.pending, m.pages, m.failures, m.errors, m.behind, m.series, m.cut)
	}
	return m
}
