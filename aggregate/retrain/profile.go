package retrain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"

	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

const (
	maxBins = 16 // of a feature
	maxTops = 32 // publishers, networks, agents named in a profile
)

// Profile is what the sample of a model was like, by source; it is what the next sample
// is held against. Shares are of the source's sampled valid clicks.
type Profile map[string]*SourceProfile

// SourceProfile is that of one source.
type SourceProfile struct {
	Rows   int   `json:"rows"`   // sampled
	Clicks int64 `json:"clicks"` // of which they were drawn
	// Usual are valid clicks in an hour by hour of the week, from Thursday 00:00 UTC as
	// Unix time begins; hours that were not seen are -1. Nil for all sources together.
	Usual      []float64          `json:"usual,omitempty"`
	Features   map[string]Bins    `json:"features"`
	Scores     Bins               `json:"scores"` // by the model itself
	Publishers map[string]float64 `json:"publishers"`
	Networks   map[string]float64 `json:"networks"` // by hash
	Agents     map[string]float64 `json:"agents"`
}

// Bins are shares of values: Shares[i] of those from Edges[i] to below Edges[i+1]; the
// first begins at the smallest, the last has no end.
type Bins struct {
	Edges  []float64 `json:"edges"`
	Shares []float64 `json:"shares"`
}

// newBins makes up to maxBins bins of about equal shares.
func newBins(values []float64) Bins {
	slices.Sort(values)
	var b Bins
	for i := range maxBins {
		edge := values[i*len(values)/maxBins]
		if i == 0 || edge > b.Edges[len(b.Edges)-1] {
			b.Edges = append(b.Edges, edge)
		}
	}
	if top := values[len(values)-1-len(values)/100]; top > b.Edges[len(b.Edges)-1] {
		b.Edges = append(b.Edges, top) // the last hundredth, where attacks begin
	}
	b.Shares = b.sharesOf(values)
	return b
}

// sharesOf counts sorted values by these edges; the first bin takes what is below it too.
func (b *Bins) sharesOf(values []float64) []float64 {
	shares := make([]float64, len(b.Edges))
	from := 0
	for i := range b.Edges {
		to := len(values)
		if i+1 < len(b.Edges) {
			to = sort.SearchFloat64s(values, b.Edges[i+1])
		}
		shares[i] = float64(to-from) / float64(len(values))
		from = to
	}
	return shares
}

// profile describes a sample that model was trained from. Sources that were only looked
// at are in it, but not among all.
func profile(s *Sample, known []string, model *iforest.Model) Profile {
	p := Profile{All: profileOf(s.rows(known), s.Seen(), model)}
	for _, name := range s.names() {
		if st := s.strata[name]; len(st.valid.heap) > 0 {
			p[name] = profileOf(st.valid.sorted(), st.valid.seen, model)
			p[name].Usual = st.usual()
		}
	}
	return p
}

func profileOf(rows []*Row, clicks int64, model *iforest.Model) *SourceProfile {
	p := &SourceProfile{Rows: len(rows), Clicks: clicks, Features: map[string]Bins{}, Scores: newBins(scores(model, rows))}
	for i, slot := range scoring.Slots[:scoring.Features] {
		p.Features[slot.Name] = newBins(column(rows, i))
	}
	p.Publishers = tops(rows, func(r *Row) string { return r.Publisher })
	p.Networks = tops(rows, func(r *Row) string { return r.Network })
	p.Agents = tops(rows, func(r *Row) string { return r.Agent })
	return p
}

func column(rows []*Row, i int) []float64 {
	values := make([]float64, len(rows))
	for n, r := range rows {
		values[n] = float64(r.Features[i])
	}
	return values
}

func scores(model *iforest.Model, rows []*Row) []float64 {
	values := make([]float64, len(rows))
	for n, r := range rows {
		values[n] = model.Score(r.Features[:])
	}
	return values
}

func sharesBy(rows []*Row, of func(*Row) string) map[string]float64 {
	shares := map[string]float64{}
	for _, r := range rows {
		shares[of(r)] += 1 / float64(len(rows))
	}
	return shares
}

// tops are the greatest shares.
func tops(rows []*Row, of func(*Row) string) map[string]float64 {
	shares := sharesBy(rows, of)
	names := slices.SortedFunc(maps.Keys(shares), func(a, b string) int {
		return cmp.Or(cmp.Compare(shares[b], shares[a]), cmp.Compare(a, b))
	})
	top := map[string]float64{}
	for _, name := range names[:min(len(names), maxTops)] {
		top[name] = shares[name]
	}
	return top
}

// usual are the mean valid clicks by hour of the week.
func (st *stratum) usual() []float64 {
	sum, hours := make([]float64, hoursOfWeek), make([]float64, hoursOfWeek)
	for hour, n := range st.hours {
		sum[slotOf(hour)] += float64(n)
		hours[slotOf(hour)]++
	}
	for i := range sum {
		if hours[i] == 0 {
			sum[i] = -1
		} else {
			sum[i] /= hours[i]
		}
	}
	return sum
}

func slotOf(hour int64) int { return int(hour / hourMicros % hoursOfWeek) }

func hex16(n uint64) string { return fmt.Sprintf("%016x", n) }
