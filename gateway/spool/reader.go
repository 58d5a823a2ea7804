package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Position is a place in the spool: the offset in bytes of a frame in a
// segment. The zero Position is the oldest record. A position whose segment
// was released stands for the start of the next one.
type Position struct {
	Segment uint64
	Offset  int64
}

// Entry is one durable record.
type Entry struct {
	Seq     uint64
	Payload []byte   // valid until the following Next; suffix included
	At      Position // of this record; At.Segment is what ReleaseBefore counts in
	Next    Position // of the record behind it: where to resume
}

// Reader walks durable records in file order and follows live appends over
// rotations. It belongs to one goroutine; a Spool may have many.
type Reader struct {
	s    *Spool
	wake chan struct{}
	pos  Position

	file  ReadFile // nil between segments
	sc    *scanner
	known int64 // durable length last seen
	// what of the scanner's losses is in the spool's counters already
	missing uint64
	damaged int64
}

// Reader starts at from. Close it when done.
func (s *Spool) Reader(from Position) *Reader {
	r := &Reader{s: s, wake: make(chan struct{}, 1), pos: from}
	s.mu.Lock()
	s.readers[r] = struct{}{}
	s.mu.Unlock()
	return r
}

// Next returns the next durable record and blocks while there is none.
// Damaged places are passed over and counted in Stats.
//
// Errors: the context's; ErrClosed after Close of the spool once everything
// durable was returned; a read error, after which Next may be tried again.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
		ended := isClosed(r.s.stopped) // before looking: what is durable by then is seen
		e, more, err := r.step()
		switch {
		case err != nil || e.Seq != 0:
			return e, err
		case more:
			continue
		case ended:
			return Entry{}, fmt.Errorf("spool %s: reading on: %w", r.s.cfg.Dir, ErrClosed)
		}
		select {
		case <-r.wake:
		case <-r.s.stopped:
		case <-ctx.Done():
		}
	}
}

// step returns a record, or whether it is worth stepping on at once.
func (r *Reader) step() (e Entry, more bool, err error) {
	if r.file == nil {
		if more, err = r.open(); r.file == nil {
			return Entry{}, more, err
		}
	}
	f, err := r.sc.next()
	r.countLosses()
	switch {
	case isEOF(err):
		return Entry{}, r.advance(), nil
	case err != nil:
		return Entry{}, false, readError(segmentPath(r.s.cfg.Dir, r.pos.Segment), err)
	}
	r.pos.Offset = r.sc.end
	if f.typ == typeVoid {
		return Entry{}, true, nil
	}
	at := Position{r.pos.Segment, r.sc.end - FrameOverhead - int64(len(f.payload))}
	return Entry{Seq: f.seq, Payload: f.payload, At: at, Next: r.pos}, true, nil
}

// open goes to the first segment at or behind the position.
func (r *Reader) open() (more bool, err error) {
	seg, ok := r.s.atOrBehind(r.pos.Segment)
	if !ok {
		return false, nil
	}
	file, err := r.s.fs.Open(segmentPath(r.s.cfg.Dir, seg.id))
	if errors.Is(err, fs.ErrNotExist) {
		if now, ok := r.s.atOrBehind(seg.id); !ok || now.id != seg.id {
			return true, nil // released meanwhile
		}
	}
	if err != nil {
		return false, readError(segmentPath(r.s.cfg.Dir, seg.id), err)
	}
	start, middle := int64(HeaderSize), false
	if r.pos.Segment == seg.id && r.pos.Offset > HeaderSize {
		start, middle = r.pos.Offset, true
	}
	r.file, r.known = file, seg.good
	r.sc = newScanner(file, seg.seed, start, seg.good, seg.firstSeq-1, seg.loose || middle)
	r.missing, r.damaged = 0, 0
	r.pos = Position{seg.id, start}
	return true, nil
}

// advance is called at the end of what is known. It reports whether there is
// more: new records in this segment, or a segment behind it.
func (r *Reader) advance() bool {
	r.s.mu.Lock()
	i, ok := find(r.s.segs, r.pos.Segment)
	var seg segment
	if ok {
		seg = r.s.segs[i]
	}
	r.s.mu.Unlock()
	if ok && seg.good > r.known {
		r.known, r.sc.limit = seg.good, seg.good
		return true
	}
	if ok && !seg.sealed {
		return false
	}
	if ok && !r.sc.loose && seg.lastSeq > r.sc.seq { // the end was lost since it was written or recovered
		r.s.lost(seg.lastSeq-r.sc.seq, max(0, seg.good-r.sc.end))
	}
	r.leave()
	r.pos = Position{Segment: r.pos.Segment + 1}
	return true
}

// countLosses passes on what the scanner had to skip.
func (r *Reader) countLosses() {
	if r.sc.missing != r.missing || r.sc.damaged != r.damaged {
		r.s.lost(r.sc.missing-r.missing, r.sc.damaged-r.damaged)
		r.missing, r.damaged = r.sc.missing, r.sc.damaged
	}
}

func (r *Reader) leave() {
	if r.file != nil {
		r.file.Close() // opened for reading: nothing to lose
		r.file, r.sc = nil, nil
	}
}

// Position is where the next record will be looked for.
func (r *Reader) Position() Position { return r.pos }

// Close lets go of the open segment. It must not be called during Next.
func (r *Reader) Close() {
	r.leave()
	r.s.mu.Lock()
	delete(r.s.readers, r)
	r.s.mu.Unlock()
}

// lost counts what a reader could not read.
func (s *Spool) lost(records uint64, bytes int64) {
	s.mu.Lock()
	s.stats.lostRecords += records
	s.stats.lostBytes += bytes
	s.mu.Unlock()
}

// atOrBehind returns the first segment whose id is not below id.
func (s *Spool) atOrBehind(id uint64) (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := find(s.segs, id)
	if i == len(s.segs) {
		return segment{}, false
	}
	return s.segs[i], true
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
