package spool

import "bytes"

// scan reads the frames of f up to limit. With split, the last group is kept
// apart and the segment ends before it.
func (rec *recovered) scan(fsys FS, dir string, f found, limit int64, split bool) (segment, place, error) {
	name := segmentPath(dir, f.id)
	r, err := fsys.Open(name)
	if err != nil {
		return segment{}, place{}, readError(name, err)
	}
	defer r.Close()
	before := rec.nextSeq - 1
	if f.sound {
		before = f.header.firstSeq - 1
	}
	seg := segment{id: f.id, firstSeq: before + 1, seed: frameSeed(f.salt, f.id), loose: !f.sound, size: f.size}
	sc := newScanner(r, seg.seed, HeaderSize, limit, before, !f.sound)
	at := place{seq: before, end: HeaderSize}
	var g lastGroup
	for {
		fr, err := sc.next()
		if isEOF(err) {
			break
		}
		if err != nil {
			return segment{}, place{}, readError(name, err)
		}
		now := place{at.records, sc.seq, sc.end, sc.missing, sc.damaged}
		if fr.typ == typeData {
			now.records++
		}
		if split {
			g.add(fr, at, now)
		}
		at = now
	}
	settled := at
	if g.start > 0 {
		settled, at = g.settled, g.kept
		rec.carry = g.frames
	}
	seg.records, seg.lastSeq, seg.good = settled.records, settled.seq, settled.end
	return seg, at, nil
}

// place is how far a scan has come.
type place struct {
	records uint64
	seq     uint64
	end     int64
	missing uint64
	damaged int64
}

// lastGroup collects the frames of the last group of a segment up to the first
// hole: a group with a hole was never synced.
type lastGroup struct {
	start   uint64 // its first sequence
	settled place  // before it: all that was certainly synced
	kept    place  // behind its last good frame
	holed   bool
	frames  []carried
}

// carried is a frame that moves to another segment.
type carried struct {
	typ     byte
	payload []byte
}

// add takes the frame found between the places before and after.
func (g *lastGroup) add(f frame, before, after place) {
	if start := f.seq - min(f.seq-1, uint64(f.index)); start > g.start {
		if start-1 > before.seq { // the end of the group before is lost, and it was synced
			before.missing += start - 1 - before.seq
			before.seq = start - 1
		}
		*g = lastGroup{start: start, settled: before, kept: before, frames: g.frames[:0]}
	}
	g.holed = g.holed || f.seq != g.start+uint64(len(g.frames))
	if g.holed {
		return
	}
	g.frames = append(g.frames, carried{f.typ, bytes.Clone(f.payload)})
	g.kept = after
}
