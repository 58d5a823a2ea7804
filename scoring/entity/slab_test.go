package entity

import (
	"testing"

	"pgregory.net/rapid"
)

// The index against a map: every key that is kept is found, and nothing else.
func TestSlabIndexAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "entries")
		s := NewSlab[int](n, rapid.Bool().Draw(t, "grow"))
		for range 300 {
			key := rapid.Uint64Range(0, 60).Draw(t, "key")
			s.Take(key, uint32(key%7)) // few hashes: long probes
			found := map[uint64]bool{}
			used := 0
			for _, slot := range s.index {
				if slot != 0 {
					used++
					found[s.entries[uint32(slot)-1].key] = true
				}
			}
			if used != len(s.entries) || len(found) != used || !found[key] {
				t.Fatalf("%d slots in use, %d keys, %d entries", used, len(found), len(s.entries))
			}
			for k := range found {
				pos := uint32(k%7) & uint32(len(s.index)-1)
				for s.index[pos] != 0 && s.entries[uint32(s.index[pos])-1].key != k {
					pos = (pos + 1) & uint32(len(s.index)-1)
				}
				if s.index[pos] == 0 {
					t.Fatalf("key %d cannot be reached", k)
				}
			}
		}
	})
}
