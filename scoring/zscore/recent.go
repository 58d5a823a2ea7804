package zscore

const (
	slotMicros = 5_000_000
	slots      = 16
)

// recent counts the events of the last slots of 5 s.
type recent struct {
	counts [slots]uint32
	newest uint32
}

func (r *recent) add(slot uint32) {
	if slot > r.newest {
		if slot-r.newest >= slots {
			r.counts = [slots]uint32{}
		} else {
			for i := r.newest + 1; i <= slot; i++ {
				r.counts[i%slots] = 0
			}
		}
		r.newest = slot
	}
	if c := &r.counts[slot%slots]; r.newest-slot < slots && *c < 1<<32-1 {
		*c++
	}
}

// sums gives the events of the 10 s and the minute that end with the slot, at least 1 for the event itself.
func (r *recent) sums(slot uint32) (tenSeconds, minute float64) {
	var ten, all uint64
	for i := range uint32(12) {
		if back := r.newest - slot + i; back < slots && slot >= i {
			c := uint64(r.counts[(slot-i)%slots])
			if all += c; i < 2 {
				ten += c
			}
		}
	}
	return float64(max(1, ten)), float64(max(1, all))
}
