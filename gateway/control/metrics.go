package control

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refused    prometheus.Counter
	readErrors prometheus.Counter
	version    *prometheus.GaugeVec
	changed    prometheus.Gauge
	current    atomic.Int64 // Unix nanoseconds of the last complete reading
}

func newMetrics(reg prometheus.Registerer, now func() time.Time) *metrics {
	m := &metrics{
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_control_refused_total",
			Help: "Control entries that are not valid; the version before stays in force.",
		}),
		readErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_control_read_errors_total",
			Help: "Failed readings of the control topic.",
		}),
		version: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clickgate_control_version_info",
			Help: "1 for the version of the control entries in force.",
		}, []string{"version"}),
		changed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_control_changed_timestamp_seconds",
			Help: "When the control entries in force were put in force here.",
		}),
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clickgate_control_age_seconds",
		Help: "Time since the control entries were known to be the topic's newest; grows while Kafka is away.",
	}, func() float64 { return now().Sub(time.Unix(0, m.current.Load())).Seconds() })
	if reg != nil {
		reg.MustRegister(m.refused, m.readErrors, m.version, m.changed, age)
	}
	return m
}

func (m *metrics) inForce(version string, at time.Time) {
	m.version.Reset()
	m.version.WithLabelValues(version).Set(1)
	m.changed.Set(float64(at.UnixMilli()) / 1000)
}
