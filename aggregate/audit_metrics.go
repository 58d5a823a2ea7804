package aggregate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxGateways bounds the values of label gateway; all others are otherGateways.
const (
	maxGateways   = 64
	otherGateways = "others"
)

type auditMetrics struct {
	durable, stored, lost, doubled, redelivered, unknown *prometheus.GaugeVec

	differences prometheus.Gauge
	broken      prometheus.Gauge
	checked     prometheus.Gauge
	errors      prometheus.Counter
}

func newAuditMetrics(reg prometheus.Registerer) *auditMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "clickgate_audit_" + name, Help: help}, []string{"gateway"})
	}
	m := &auditMetrics{
		durable:     gauge("durable_events", "Events that the gateway's marks vouch for: sequences without those whose write failed."),
		stored:      gauge("stored_events", "Rows of those events: clicks, redeliveries and dead letters."),
		lost:        gauge("lost_events", "Events that marks vouch for and that have no row."),
		doubled:     gauge("doubled_events", "Rows beyond the events that marks vouch for."),
		redelivered: gauge("redelivered_events", "Rows of events that a sender delivered again."),
		unknown:     gauge("unknown_events", "Gaps behind the newest mark: on their way, or never acknowledged."),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_audit_differences",
			Help: "Hours, gateway boots, totals and closed hours that did not add up in the last account.",
		}),
		broken: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_audit_broken",
			Help: "1 while the last account does not balance, as report reconcile says.",
		}),
		checked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_audit_checked_timestamp_seconds",
			Help: "When the last account was made; 0 before the first.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_audit_errors_total",
			Help: "Accounts that could not be made.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.durable, m.stored, m.lost, m.doubled, m.redelivered, m.unknown, m.differences, m.broken, m.checked, m.errors)
	}
	return m
}

// show sets the metrics to an account and reports whether it is broken.
func (m *auditMetrics) show(r *Reconciliation, gateways []gatewayAccount, now time.Time) bool {
	for _, vec := range []*prometheus.GaugeVec{m.durable, m.stored, m.lost, m.doubled, m.redelivered, m.unknown} {
		vec.Reset() // gateways that moved to the others
	}
	for _, g := range gateways {
		m.durable.WithLabelValues(g.gateway).Set(float64(g.durable))
		m.stored.WithLabelValues(g.gateway).Set(float64(g.stored))
		m.lost.WithLabelValues(g.gateway).Set(float64(g.lost))
		m.doubled.WithLabelValues(g.gateway).Set(float64(g.doubled))
		m.redelivered.WithLabelValues(g.gateway).Set(float64(g.redelivered))
		m.unknown.WithLabelValues(g.gateway).Set(float64(g.unknown))
	}
	m.differences.Set(float64(differences(r)))
	m.broken.Set(0)
	if r.Broken {
		m.broken.Set(1)
	}
	m.checked.Set(float64(now.UnixMicro()) / 1e6)
	return r.Broken
}
