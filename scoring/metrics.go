package scoring

import (
	"clickgate/scoring/entity"
	"clickgate/scoring/zscore"

	"github.com/prometheus/client_golang/prometheus"
)

// registerMetrics exposes the size of what scoring remembers; verdicts
// themselves are counted where they are stored.
func registerMetrics(s *Scorer, reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	e := s.entities
	for name, stats := range map[string]func() entity.Stats{
		"address": statsOf(e.addresses), "pair": statsOf(e.pairs), "prefix": statsOf(e.prefixes), "publisher": statsOf(e.publishers),
		"campaign": statsOf(e.campaigns), "agents": e.seats.Stats, "habits": e.habits.Stats,
		"weeks": s.live.weeks.Stats, "manners": s.live.manners.Stats,
	} {
		labels := prometheus.Labels{"table": name}
		gauge := func(name, help string, get func(entity.Stats) float64) {
			reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "clickgate_scoring_" + name, Help: help, ConstLabels: labels,
			}, func() float64 { return get(stats()) }))
		}
		gauge("entities", "Entities remembered.", func(st entity.Stats) float64 { return float64(st.Entries) })
		gauge("entities_bytes", "Memory reserved for entities.", func(st entity.Stats) float64 { return float64(st.Bytes) })
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "clickgate_scoring_evictions_total", Help: "Entities forgotten to make room.", ConstLabels: labels,
		}, func() float64 { return float64(stats().Evictions) }))
	}
}

// statsOf are those of a table of rates.
func statsOf(t *zscore.Table) func() entity.Stats {
	return func() entity.Stats {
		st := t.Stats()
		return entity.Stats{Entries: st.Entries, Bytes: st.Bytes, Evictions: st.Evictions}
	}
}
