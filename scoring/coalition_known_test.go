package scoring

import "testing"

// A click that was left out may be on a publisher that is none of the visitor's: its
// share of the visitor's publishers would be above 1.
func TestAlliesOfOtherPublishers(t *testing.T) {
	t.Parallel()
	const a, b, c = 1 << 40, 2 << 40, 3 << 40
	x := newCoalition([]ranked{{a, 40}, {b, 40}, {c, 40}})
	visitor := func(keys ...uint64) *sites {
		s := new(sites)
		for _, key := range keys {
			s.add(key)
		}
		return s
	}
	for range 10 {
		x.note(visitor(a, b))
	}
	x.settle()
	if _, _, share := x.strongest(visitor(a), b); share != 0 {
		t.Errorf("a publisher that is none of his has the share %v", share)
	}
	if common, _, share := x.strongest(visitor(a, b), b); common != 10 || share <= 0 || share > 1 {
		t.Errorf("of his own: %v visitors in common, share %v", common, share)
	}
}
