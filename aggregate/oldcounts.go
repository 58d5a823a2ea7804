package aggregate

import (
	"cmp"
	"slices"

	"clickgate/gateway/click"
)

// OldCounts returns, in key order, the counts of marks whose receipt hour was over
// when the mark was made: those that later marks stop carrying. Of several marks
// of a boot each count is the greatest, for counts only rise. The present hour
// stays out, so that a store writes little, and nothing at all while no event of
// an older hour settles.
func OldCounts(marks []click.Mark) []BootCount {
	type key struct {
		BootID
		hourKey
	}
	greatest := make(map[key]*BootCount)
	for i := range marks {
		m := &marks[i]
		for _, c := range m.Counts {
			if c.Hour >= hourOf(m.At) {
				continue
			}
			k := key{BootID{m.Gateway, m.Boot}, keyOf(&c)}
			old := greatest[k]
			if old == nil {
				greatest[k] = &BootCount{m.Gateway, m.Boot, c}
				continue
			}
			old.Received, old.Shed = max(old.Received, c.Received), max(old.Shed, c.Shed)
			old.Unrecorded = max(old.Unrecorded, c.Unrecorded)
		}
	}
	out := make([]BootCount, 0, len(greatest))
	for _, c := range greatest {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b BootCount) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Boot, b.Boot),
			cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.SourceID, b.SourceID), cmp.Compare(a.Hour, b.Hour))
	})
	return out
}

func hourOf(t int64) int64 { return t - t%hourMicros }
