package scoring

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"clickgate/gateway/click"

	"github.com/cespare/xxhash/v2"
)

// For returns p, but for what others set otherwise, the most specific last; see
// click.Policies. Nil ones set nothing. If all are valid, so is the result: thresholds
// whose order matters are set together. It allocates nothing.
func (p *Policy) For(others ...*click.SourcePolicy) Policy {
	own := *p
	for _, other := range others {
		if other != nil {
			own.set(other)
		}
	}
	return own
}

// of is the policy of a campaign's clicks.
func (p *Policy) of(own *click.Policies, campaignID string) Policy {
	others := own.Of(campaignID)
	return p.For(others[:]...)
}

// hashOfUnit names all policies of a source's clicks: the source's hash, and where
// campaigns decide anything xxHash64 over it and over id, a byte 0 and hash of each of
// them, in order of their ids.
func (p *Policy) hashOfUnit(own *click.Policies) uint64 {
	source := p.of(own, "")
	hash := source.Hash()
	if own == nil || len(own.Campaigns) == 0 {
		return hash
	}
	b := binary.LittleEndian.AppendUint64(nil, hash)
	for _, id := range slices.Sorted(maps.Keys(own.Campaigns)) {
		policy := p.of(own, id)
		b = append(append(b, id...), 0)
		b = binary.LittleEndian.AppendUint64(b, policy.Hash())
	}
	return xxhash.Sum64(b)
}

// set sets what a source, a tenant or a campaign does.
func (p *Policy) set(source *click.SourcePolicy) {
	for _, f := range [...]struct {
		to  *float64
		set *float64
	}{
		{&p.ZSuspect, source.ZSuspect}, {&p.ZInvalid, source.ZInvalid}, {&p.ZAddress, source.ZAddress},
		{&p.ZInexcusable, source.ZInexcusable}, {&p.MinClicks, source.MinClicks}, {&p.SelfMinutes, source.SelfMinutes},
		{&p.PriorMedian, source.PriorMedian}, {&p.ModelSuspect, source.ModelSuspect},
		{&p.EntityClicks, source.EntityClicks}, {&p.GapOctaves, source.GapOctaves}, {&p.ZFocus, source.ZFocus},
		{&p.HeavyClicks, source.HeavyClicks}, {&p.GroupClicks, source.GroupClicks}, {&p.ZGroup, source.ZGroup},
		{&p.FastSeconds, source.FastSeconds},
	} {
		if f.set != nil {
			*f.to = *f.set
		}
	}
	if source.AppsAreTools != nil {
		p.AppsAreTools = *source.AppsAreTools
	}
}

// rules counts how often the rules changed, or the bounds that are no policy's. It is in
// the hash, so that verdicts of other rules are not taken for these.
const rules = 4

// Hash names the policy and the meaning of the vector it reads: xxHash64 over
// version, rules, thresholds and a byte 1 if apps are tools, little endian. It allocates
// nothing.
func (p *Policy) Hash() uint64 { return p.HashOf(VectorVersion) }

// HashOf is the hash that verdicts over vectors of a version bear. Version 1 knew
// nothing of the second pass's bounds and had one set of rules.
func (p *Policy) HashOf(version uint32) uint64 {
	var buf [4 + 4 + 15*8 + 1]byte
	b := binary.LittleEndian.AppendUint32(buf[:0], version)
	if version > 1 {
		b = binary.LittleEndian.AppendUint32(b, rules)
	}
	for i, v := range [...]float64{
		p.ZSuspect, p.ZInvalid, p.ZAddress, p.MinClicks, p.SelfMinutes, p.ZInexcusable, p.PriorMedian, p.ModelSuspect,
		p.EntityClicks, p.GapOctaves, p.ZFocus, p.HeavyClicks, p.GroupClicks, p.ZGroup, p.FastSeconds,
	} {
		if version > 1 || i < 8 {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	if p.AppsAreTools {
		b = append(b, 1)
	}
	return xxhash.Sum64(b)
}
