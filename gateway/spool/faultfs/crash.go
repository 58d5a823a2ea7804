package faultfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns a new file system with what a power cut at this moment leaves;
// f itself is unchanged and can go on. Faults, locks, the observer and the disk
// size are not taken over.
//
// With rng nil only what was synced is there. Otherwise each unsynced change
// of a name may or may not have reached the disk, and each file may keep a part
// of its unsynced bytes: a prefix, of which some 512-byte sectors hold zeros or
// rubbish, as disks that reorder writes leave them.
func (f *FS) Crash(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := maps.Clone(f.durable)
	if rng != nil {
		for _, op := range f.pending {
			if rng.IntN(2) == 0 {
				op.apply(names)
			}
		}
	}
	after := New()
	after.dirs = maps.Clone(f.dirs)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		after.Put(name, names[name].survivor(rng))
	}
	return after
}

// Kill returns a new file system as a killed process leaves it: nothing is
// lost, but what was not synced still is not.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := New()
	after.dirs = maps.Clone(f.dirs)
	after.used, after.size = f.used, -1
	copies := map[*inode]*inode{}
	dup := func(n *inode) *inode {
		if n != nil && copies[n] == nil {
			copies[n] = &inode{slices.Clone(n.data), slices.Clone(n.disk), n.dirty, n.cut}
		}
		return copies[n]
	}
	for name, n := range f.live {
		after.live[name] = dup(n)
	}
	for name, n := range f.durable {
		after.durable[name] = dup(n)
	}
	for _, op := range f.pending {
		op.node = dup(op.node)
		after.pending = append(after.pending, op)
	}
	return after
}

const sector = 512

func (n *inode) survivor(rng *rand.Rand) []byte {
	if rng == nil || len(n.data) <= n.dirty && !n.cut {
		return n.disk
	}
	if n.cut && rng.IntN(2) == 0 { // the truncation did not reach the disk
		return n.disk
	}
	out := append([]byte{}, n.disk[:min(len(n.disk), n.dirty)]...)
	if gap := n.dirty - len(out); gap > 0 {
		out = append(out, make([]byte, gap)...)
	}
	tail := slices.Clone(n.data[n.dirty:])
	tail = tail[:rng.IntN(len(tail)+1)]
	for at := 0; at < len(tail); {
		end := min(len(tail), (n.dirty+at)/sector*sector+sector-n.dirty)
		switch part := tail[at:end]; rng.IntN(6) {
		case 0:
			clear(part)
		case 1:
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
		}
		at = end
	}
	return append(out, tail...)
}
