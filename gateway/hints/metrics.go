package hints

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

type metrics struct {
	ids  struct{ first, repeated, unknown, omitted prometheus.Counter }
	call prometheus.Histogram
}

func newMetrics(h *Hints, reg prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "clickgate", "hints"
	ids := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "ids_total",
		Help: "Click ids new to this gateway, by what Redis says of them: first, repeated (used elsewhere), unknown (no answer), omitted (not asked, too many at once).",
	}, []string{"answer"})
	m := &metrics{call: prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "call_seconds",
		Help:    "Time of one call to Redis, failed ones too.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25},
	})}
	m.ids.first, m.ids.repeated = ids.WithLabelValues("first"), ids.WithLabelValues("repeated")
	m.ids.unknown, m.ids.omitted = ids.WithLabelValues("unknown"), ids.WithLabelValues("omitted")
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{ids, m.call,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "redis_up",
			Help: "1 while Redis answers; 0 from three failures in a row until it does again.",
		}, func() float64 {
			if h.breaker.State() == gobreaker.StateClosed {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "fleet_over",
			Help: "Addresses and prefixes over their rate at all gateways together.",
		}, func() float64 { return float64(h.fleet.over.Load()) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("hints: %w", err)
		}
	}
	return m, nil
}
