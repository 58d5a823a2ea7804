package admit

// idSet is a set of keys by open addressing with linear probing (Knuth, volume 3,
// algorithm L): a look-up is one cache miss, which it is not in a map. Keys are
// ids mixed with a secret, so their own bits serve as hash. It grows to twice its
// size when half full, and keeps its memory. The zero value is empty.
type idSet struct {
	slots []reuseKey // a power of two of them; the zero key is a free slot
	n     int
}

// reuseKey is a click id mixed with its tenant; never zero.
type reuseKey [2]uint64

func (s *idSet) home(k reuseKey) int { return int(mix(k[0], k[1]|1) & uint64(len(s.slots)-1)) }

// find returns the slot of k, or the free one where it would be.
func (s *idSet) find(k reuseKey) int {
	i := s.home(k)
	for s.slots[i] != k && s.slots[i] != (reuseKey{}) {
		i = (i + 1) & (len(s.slots) - 1)
	}
	return i
}

func (s *idSet) has(k reuseKey) bool { return s.n > 0 && s.slots[s.find(k)] == k }

// add reports whether k is new.
func (s *idSet) add(k reuseKey) bool {
	if 2*s.n >= len(s.slots) {
		s.grow()
	}
	i := s.find(k)
	if s.slots[i] == k {
		return false
	}
	s.slots[i] = k
	s.n++
	return true
}

func (s *idSet) grow() {
	old := s.slots
	s.slots = make([]reuseKey, max(16, 2*len(old)))
	for _, k := range old {
		if k != (reuseKey{}) {
			s.slots[s.find(k)] = k
		}
	}
}

// remove takes k out and closes the gap (algorithm R).
func (s *idSet) remove(k reuseKey) {
	if !s.has(k) {
		return
	}
	last := len(s.slots) - 1
	gap := s.find(k)
	for i := (gap + 1) & last; s.slots[i] != (reuseKey{}); i = (i + 1) & last {
		// What is at i may move into the gap if its home is not behind the gap.
		if (i-s.home(s.slots[i]))&last >= (i-gap)&last {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = reuseKey{}
	s.n--
}

func (s *idSet) clear() {
	clear(s.slots)
	s.n = 0
}
