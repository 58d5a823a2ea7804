package retrain

import (
	"maps"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"

	"github.com/cespare/xxhash/v2"
)

const (
	hourMicros  = 3_600_000_000
	hoursOfWeek = 168
	// maxSources bounds the strata; clicks of sources beyond share one.
	maxSources = 64
	// heldOut of so many clicks are kept from training, to be scored.
	heldOut = 5
)

// Other is the stratum of sources beyond the first, and All that of all together.
const (
	Other = "other"
	All   = "all"
)

// Sample is a bounded random sample of clicks, by source: of each those whose keys have
// the smallest hashes under the seed. So every click of a source has the same chance,
// and the store's order does not matter.
type Sample struct {
	lots
	size   int
	strata map[string]*stratum
}

// stratum is one source.
type stratum struct {
	name    string
	valid   reservoir
	invalid reservoir
	hours   map[int64]int64 // valid clicks by hour
}

// NewSample returns an empty sample of up to size valid clicks of each source, and a
// quarter as many invalid ones.
func NewSample(seed uint64, size int) *Sample {
	return &Sample{lots: lots{seed: seed}, size: size, strata: map[string]*stratum{}}
}

// Add offers a click; nothing of it is kept but copies. One with a feature that is no
// number, or infinite, is passed over: no forest can be trained on it.
func (s *Sample) Add(c *aggregate.TrainingClick) {
	for _, x := range c.Vector[:scoring.Features] {
		if x-x != 0 {
			return
		}
	}
	st := s.of(c.TenantID, c.SourceID)
	to := &st.valid
	if c.State == click.Valid {
		st.hours[c.EventTime-c.EventTime%hourMicros]++
	} else {
		to = &st.invalid
	}
	row := s.draw(&c.EventKey)
	if !to.wants(&row) {
		return
	}
	row.Features = [scoring.Features]float32(c.Vector[:scoring.Features])
	row.Publisher, row.Agent = c.PublisherID, c.AgentFamily
	row.Network = hex16(xxhash.Sum64String(c.IPPrefix))
	to.put(row)
}

func (s *Sample) of(tenant, source string) *stratum {
	name := tenant + "/" + source
	if st := s.strata[name]; st != nil {
		return st
	}
	if len(s.strata) >= maxSources {
		name = Other
	}
	if st := s.strata[name]; st != nil {
		return st
	}
	st := &stratum{name: name, hours: map[int64]int64{}, valid: reservoir{size: s.size}, invalid: reservoir{size: s.size / 4}}
	s.strata[name] = st
	return st
}

// names are the strata in order.
func (s *Sample) names() []string { return slices.Sorted(maps.Keys(s.strata)) }

// Seen is the number of valid clicks that were offered.
func (s *Sample) Seen() (n int64) {
	for _, st := range s.strata {
		n += st.valid.seen
	}
	return n
}

// rows are the valid rows of strata, in order of strata and hashes.
func (s *Sample) rows(names []string) (rows []*Row) {
	for _, name := range names {
		rows = append(rows, s.strata[name].valid.sorted()...)
	}
	return rows
}

func (s *Sample) invalid() (rows []*Row) {
	for _, name := range s.names() {
		rows = append(rows, s.strata[name].invalid.sorted()...)
	}
	return rows
}
