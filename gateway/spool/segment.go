package spool

import (
	"errors"
	"path/filepath"
	"slices"
)

// reopen tries to get a writable segment. On failure the spool refuses
// records until the next try.
func (w *writer) reopen() {
	err := w.probe()
	if err == nil {
		err = w.openSegment()
	}
	if err != nil {
		w.setRefuse(diskError(w.cfg.Dir, "probing the disk", err))
		return
	}
	w.tidy()
	w.setRefuse(nil)
}

// probe proves that a whole group fits and can be synced, at no cost to the
// sequence: a try with live records would burn theirs each time.
func (w *writer) probe() error {
	name := filepath.Join(w.cfg.Dir, probeName)
	if err := removeIfThere(w.fs, name); err != nil {
		return err
	}
	f, err := w.fs.Create(name)
	if err != nil {
		return err
	}
	size := w.cfg.MaxBatchBytes
	w.out = slices.Grow(w.out[:0], size)[:size]
	clear(w.out)
	_, err = f.Write(w.out)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), removeIfThere(w.fs, name))
}

// openSegment creates the next segment, beginning with the carried group. It
// gets its name only after its content is synced, so that a header never
// vouches for records that are not there. A failed try may leave a file, so
// its id is not used again.
func (w *writer) openSegment() error {
	id := w.nextID
	w.nextID++
	name, tmp := segmentPath(w.cfg.Dir, id), filepath.Join(w.cfg.Dir, nextName)
	if err := removeIfThere(w.fs, tmp); err != nil {
		return err
	}
	f, err := w.fs.Create(tmp)
	if err != nil {
		return err
	}
	seg := segment{id: id, firstSeq: w.nextSeq, seed: frameSeed(w.salt, id)}
	h := header{segment: id, firstSeq: w.nextSeq, salt: w.salt, prev: w.prev}
	w.out = w.encodeCarry(h.append(w.out[:0]), &seg)
	_, err = f.Write(w.out)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = w.fs.Rename(tmp, name)
	}
	if err == nil {
		err = w.fs.SyncDir(w.cfg.Dir)
	}
	if err != nil {
		w.mu.Lock()
		w.strays = append(w.strays, segment{id: id}) // whatever has become of it
		w.mu.Unlock()
		return errors.Join(err, f.Close())
	}
	w.adopt(f, seg)
	return nil
}

func (w *writer) encodeCarry(out []byte, seg *segment) []byte {
	seg.lastSeq = seg.firstSeq - 1
	for i, c := range w.carry {
		start := len(out)
		out = append(out, make([]byte, FrameOverhead)...)
		out = append(out, c.payload...)
		seg.lastSeq++
		sealFrame(out[start:], seg.seed, seg.lastSeq, c.typ, i)
		if c.typ == typeData {
			seg.records++
		}
	}
	seg.good, seg.size = int64(len(out)), int64(len(out))
	return out
}

// adopt makes a durable new segment the active one.
func (w *writer) adopt(f File, seg segment) {
	w.active, w.id, w.size, w.seed = f, seg.id, seg.size, seg.seed
	w.nextSeq = seg.lastSeq + 1
	w.mu.Lock()
	defer w.mu.Unlock()
	w.segs = append(w.segs, seg)
	w.bytes += seg.size
	if len(w.carry) > 0 {
		w.prev = chain{segment: seg.id, length: seg.good, lastSeq: seg.lastSeq}
		w.stats.durableSeq = seg.lastSeq
		w.carry = nil
	}
	for r := range w.readers {
		notify(r.wake)
	}
}

// tidy frees what a later segment has made void: bytes behind the good length
// of the one before, and files without records. Failing is harmless: the newer
// header says the same.
func (w *writer) tidy() {
	if left := w.left; left != nil {
		w.left = nil
		if left.lastSeq < left.firstSeq {
			w.expel(left.id)
		} else if w.cut(left) == nil {
			w.resize(left.id, left.good)
		}
	}
	if w.release.TryLock() { // else ReleaseBefore is at it
		_ = w.sweep()
		w.release.Unlock()
	}
}

func (w *writer) cut(seg *segment) error {
	f, err := w.fs.OpenAppend(segmentPath(w.cfg.Dir, seg.id))
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(seg.good), f.Close())
}

func (w *writer) resize(id uint64, size int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range [][]segment{w.segs, w.doomed} {
		if i, ok := find(list, id); ok {
			w.bytes -= list[i].size - size
			list[i].size = size
		}
	}
}

// expel makes a stray of a segment without records.
func (w *writer) expel(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i, ok := find(w.segs, id); ok {
		w.strays = append(w.strays, w.segs[i])
		w.segs = slices.Delete(w.segs, i, i+1)
	}
}
