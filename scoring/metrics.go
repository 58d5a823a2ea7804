package scoring

import (
	"clickgate/scoring/zscore"

	"github.com/prometheus/client_golang/prometheus"
)

// registerMetrics exposes the size of what scoring remembers; verdicts
// themselves are counted where they are stored.
func registerMetrics(s *Scorer, reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for name, table := range map[string]*zscore.Table{"address": s.entities.addresses, "pair": s.entities.pairs} {
		labels := prometheus.Labels{"table": name}
		gauge := func(name, help string, get func(zscore.Stats) float64) {
			reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "clickgate_scoring_" + name, Help: help, ConstLabels: labels,
			}, func() float64 { return get(table.Stats()) }))
		}
		gauge("entities", "Entities remembered.", func(st zscore.Stats) float64 { return float64(st.Entries) })
		gauge("entities_bytes", "Memory reserved for entities.", func(st zscore.Stats) float64 { return float64(st.Bytes) })
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "clickgate_scoring_evictions_total", Help: "Entities forgotten to make room.", ConstLabels: labels,
		}, func() float64 { return float64(table.Stats().Evictions) }))
	}
}
