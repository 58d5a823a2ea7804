package scoring

import (
	"encoding/binary"
	"math"

	"clickgate/gateway/click"

	"github.com/cespare/xxhash/v2"
)

// For returns the policy for clicks of a source: p, but for what the source sets.
// A nil source policy is p itself. If both are valid, so is the result. It
// allocates nothing.
func (p *Policy) For(source *click.SourcePolicy) Policy {
	own := *p
	if source == nil {
		return own
	}
	for _, f := range [...]struct {
		to  *float64
		set *float64
	}{
		{&own.ZSuspect, source.ZSuspect}, {&own.ZInvalid, source.ZInvalid}, {&own.ZAddress, source.ZAddress},
		{&own.ZInexcusable, source.ZInexcusable}, {&own.MinClicks, source.MinClicks}, {&own.SelfMinutes, source.SelfMinutes},
		{&own.PriorMedian, source.PriorMedian}, {&own.ModelSuspect, source.ModelSuspect},
		{&own.EntityClicks, source.EntityClicks}, {&own.GapOctaves, source.GapOctaves}, {&own.ZFocus, source.ZFocus},
		{&own.HeavyClicks, source.HeavyClicks}, {&own.GroupClicks, source.GroupClicks}, {&own.ZGroup, source.ZGroup},
		{&own.FastSeconds, source.FastSeconds},
	} {
		if f.set != nil {
			*f.to = *f.set
		}
	}
	if source.AppsAreTools != nil {
		own.AppsAreTools = *source.AppsAreTools
	}
	return own
}

// rules counts how often the rules over vectors of the present version changed, or the
// bounds that are no policy's. It is in the hash, so that verdicts of other rules are not
// taken for these.
const rules = 3

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
