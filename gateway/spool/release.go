package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ReleaseBefore deletes the sealed segments with an id below segment, oldest
// first; the caller vouches that their records are safe elsewhere. Each removal
// is synced before the next, so that a crash never leaves a hole in the chain.
// On an error the rest stays counted in the quota and is tried again by the
// next call.
func (s *Spool) ReleaseBefore(segment uint64) error {
	s.release.Lock()
	defer s.release.Unlock()
	s.doom(segment)
	if err := s.sweep(); err != nil {
		return err
	}
	for {
		seg, ok := s.firstDoomed()
		if !ok {
			return nil
		}
		err := removeIfThere(s.fs, segmentPath(s.cfg.Dir, seg.id))
		if err == nil {
			err = s.fs.SyncDir(s.cfg.Dir)
		}
		if err != nil {
			return fmt.Errorf("spool %s: releasing segment %d: %w", s.cfg.Dir, seg.id, err)
		}
		s.buryFirst()
	}
}

// sweep removes the strays for good. It comes before any segment goes: a stray
// is known for one by the segments that stand around it.
func (s *Spool) sweep() error {
	s.mu.Lock()
	strays := slices.Clone(s.strays)
	s.mu.Unlock()
	if len(strays) == 0 {
		return nil
	}
	var err error
	for _, stray := range strays {
		err = errors.Join(err, removeIfThere(s.fs, segmentPath(s.cfg.Dir, stray.id)))
	}
	if err = errors.Join(err, s.fs.SyncDir(s.cfg.Dir)); err != nil {
		return fmt.Errorf("spool %s: removing empty segments: %w", s.cfg.Dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stray := range strays {
		s.bytes -= stray.size
	}
	s.strays = slices.Delete(s.strays, 0, len(strays)) // the writer only appends
	return nil
}

// doom hides the segments from readers before their files go.
func (s *Spool) doom(before uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.segs) && s.segs[n].sealed && s.segs[n].id < before {
		n++
	}
	s.doomed = append(s.doomed, s.segs[:n]...)
	s.segs = slices.Delete(s.segs, 0, n)
}

func (s *Spool) firstDoomed() (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.doomed) == 0 {
		return segment{}, false
	}
	return s.doomed[0], true
}

func (s *Spool) buryFirst() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.doomed[0].size
	s.doomed = slices.Delete(s.doomed, 0, 1)
}

// find returns the index of id in segs, or where it would be.
func find(segs []segment, id uint64) (int, bool) {
	return slices.BinarySearchFunc(segs, id, func(s segment, id uint64) int { return cmp.Compare(s.id, id) })
}

// SegmentInfo describes one segment that can be read.
type SegmentInfo struct {
	ID       uint64
	FirstSeq uint64
	LastSeq  uint64 // FirstSeq-1 while it is empty
	Records  uint64
	Bytes    int64
	Sealed   bool // may be released
}

// Segments lists the readable segments, oldest first.
func (s *Spool) Segments() []SegmentInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make([]SegmentInfo, len(s.segs))
	for i, g := range s.segs {
		infos[i] = SegmentInfo{g.id, g.firstSeq, g.lastSeq, g.records, g.size, g.sealed}
	}
	return infos
}
