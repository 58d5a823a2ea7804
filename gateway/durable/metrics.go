package durable

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	produceErrors prometheus.Counter
	undecodable   prometheus.Counter
}

func newMetrics(l *Log, reg prometheus.Registerer) *metrics {
	m := &metrics{
		produceErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_durable_produce_errors_total",
			Help: "Records that Kafka refused for good; they are in the spool and tried again.",
		}),
		undecodable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clickgate_durable_undecodable_total",
			Help: "Spooled records that no version here can decode; forwarded as they are.",
		}),
	}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clickgate_durable_spool_lag_records",
		Help: "Durable spooled records that Kafka has not acknowledged.",
	}, func() float64 { return float64(l.forward.lag()) })
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clickgate_durable_spool_age_seconds",
		Help: "Time since the receipt of the oldest spooled record that Kafka has not acknowledged; 0 for none.",
	}, func() float64 { return l.forward.age(l.dep.Now()).Seconds() })
	degraded := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clickgate_durable_degraded",
		Help: "1 while events go to the spool first because Kafka does not answer in time.",
	}, func() float64 {
		if l.degraded.Load() {
			return 1
		}
		return 0
	})
	if reg != nil {
		reg.MustRegister(m.produceErrors, m.undecodable, lag, age, degraded)
	}
	return m
}
