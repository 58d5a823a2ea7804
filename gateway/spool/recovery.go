package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// found is one segment file during recovery.
type found struct {
	id     uint64
	size   int64
	header header
	sound  bool // the header is
	worn   bool // the copies of the header differ
	salt   uint64
}

// recovered is what Open goes on with.
type recovered struct {
	report  Recovery
	segs    []segment
	empties []segment // to be removed once a newer segment carries the sequence on
	left    *segment  // the last one, with bytes behind its settled end
	carry   []carried // its last group
	salt    uint64
	salted  bool
	nextID  uint64
	nextSeq uint64
	prev    chain
}

// recoverDir reads every segment of dir and changes none.
//
// The last group of the last segment is the only one whose fsync may not have
// returned, or may have failed: it may be readable from the page cache and yet
// not be on disk, and syncing its file again would prove nothing. So its records
// are carried over into the next segment, whose own fsync does prove it.
func recoverDir(fsys FS, dir string) (*recovered, error) {
	rec := &recovered{nextID: 1, nextSeq: 1}
	all, err := rec.list(fsys, dir)
	if err != nil {
		return nil, err
	}
	rec.shareSalt(all)
	for i, f := range all {
		next, last := successor(all[i+1:])
		if next != nil && next.prev.segment < f.id {
			rec.drop(f) // a later segment took over from an earlier one than this
			continue
		}
		if err := rec.segment(fsys, dir, f, next, last); err != nil {
			return nil, err
		}
	}
	for _, c := range rec.carry {
		if c.typ == typeData {
			rec.report.Records++
		}
	}
	rec.report.NextSeq = rec.nextSeq + uint64(len(rec.carry))
	return rec, nil
}

// successor finds the next header that can be trusted, or nil, in the files
// that follow a segment. last: none of those files can hold records.
func successor(later []found) (next *header, last bool) {
	last = true
	for i := range later {
		if later[i].sound {
			return &later[i].header, false
		}
		last = last && later[i].size <= HeaderSize
	}
	return nil, last
}

func (rec *recovered) list(fsys FS, dir string) ([]found, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool %s: reading the folder: %w", dir, err)
	}
	var all []found
	for _, name := range names {
		id, ok := segmentID(strings.TrimSuffix(name, damagedSuffix))
		if !ok {
			continue
		}
		rec.nextID = max(rec.nextID, id+1)
		if strings.HasSuffix(name, damagedSuffix) {
			continue
		}
		f, err := readHead(fsys, dir, id)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.id, b.id) })
	return all, nil
}

func readHead(fsys FS, dir string, id uint64) (found, error) {
	name := segmentPath(dir, id)
	f, err := fsys.Open(name)
	if err != nil {
		return found{}, readError(name, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return found{}, readError(name, err)
	}
	head := make([]byte, min(size, HeaderSize))
	if _, err := f.ReadAt(head, 0); err != nil && len(head) > 0 {
		return found{}, readError(name, err)
	}
	h, ok, err := parseHeader(head)
	if err != nil {
		return found{}, fmt.Errorf("spool segment %s: %w", name, err)
	}
	return found{
		id: id, size: size, header: h, salt: h.salt,
		sound: ok && h.segment == id, // under another name it is no segment of this place
		worn:  size > HeaderSize && !bytes.Equal(head[:headerCopy], head[headerCopy:]),
	}, nil
}

func readError(name string, err error) error {
	return fmt.Errorf("spool segment %s: reading: %w (check the volume; moving the file away lets the gateway start without its records)", name, err)
}

// shareSalt lends the folder's salt to segments that lost their header.
func (rec *recovered) shareSalt(all []found) {
	for _, f := range all {
		if f.sound {
			rec.salt, rec.salted = f.salt, true
		}
	}
	for i := range all {
		if !all[i].sound {
			all[i].salt = rec.salt
		}
	}
}

func (rec *recovered) drop(f found) {
	rec.empties = append(rec.empties, segment{id: f.id})
	rec.report.Removed++
	if f.size > HeaderSize {
		rec.report.FailedBytes += f.size - HeaderSize
	}
}

// segment takes one file in.
func (rec *recovered) segment(fsys FS, dir string, f found, next *header, last bool) error {
	if !f.sound && f.size <= HeaderSize { // the crash came before its header was synced
		rec.report.TornBytes += f.size
		rec.report.Removed++
		rec.empties = append(rec.empties, segment{id: f.id})
		return nil
	}
	rec.checkChain(f)
	if f.worn || !f.sound {
		rec.report.DamagedHeaders++
	}
	if !f.sound && !rec.salted { // any salt we guessed, a sender could have guessed
		return rec.setAside(fsys, dir, f, next == nil)
	}
	limit, want := f.size, chain{}
	if next != nil && next.prev.segment == f.id {
		want = next.prev
		limit = min(f.size, want.length)
		rec.report.FailedBytes += f.size - limit
	}
	seg, at, err := rec.scan(fsys, dir, f, limit, last && f.sound)
	if err != nil {
		return err
	}
	if !f.sound && seg.records == 0 {
		return rec.setAside(fsys, dir, f, next == nil)
	}
	rec.report.SkippedBytes += at.damaged
	rec.report.MissingRecords += at.missing
	if want.lastSeq > seg.lastSeq {
		rec.report.MissingRecords += want.lastSeq - seg.lastSeq
		rec.report.SkippedBytes += max(0, limit-at.end)
	}
	if last {
		rec.report.TornBytes += max(0, f.size-at.end)
	}
	rec.nextSeq = max(rec.nextSeq, seg.lastSeq+1, want.lastSeq+1)
	rec.keep(seg, want, last)
	return nil
}

// checkChain notices whole segments missing between the one before and f, and
// keeps the sequence that only f's header may still know.
func (rec *recovered) checkChain(f found) {
	if !f.sound {
		return
	}
	prev := f.header.prev
	if n := len(rec.segs); n > 0 && rec.segs[n-1].id < prev.segment {
		rec.report.MissingSegments++
		rec.report.MissingRecords += prev.lastSeq - min(prev.lastSeq, rec.segs[n-1].lastSeq)
	}
	rec.nextSeq = max(rec.nextSeq, f.header.firstSeq)
	if prev.segment > rec.prev.segment {
		rec.prev = prev
	}
}

// keep takes a scanned segment into the list.
func (rec *recovered) keep(seg segment, want chain, last bool) {
	// A segment without frames at the end of the chain has nothing to say. In
	// the middle it is a damaged one whose place must stay known.
	if last && seg.lastSeq < seg.firstSeq {
		rec.empties = append(rec.empties, segment{id: seg.id})
		rec.report.Removed++
		return
	}
	if last && seg.size > seg.good {
		rec.left = &seg
	}
	rec.segs = append(rec.segs, seg)
	rec.prev = want
	if want.segment != seg.id {
		rec.prev = chain{segment: seg.id, length: seg.good, lastSeq: seg.lastSeq}
	}
	rec.report.Segments++
	rec.report.Records += seg.records
	rec.report.Bytes += seg.size
}

// setAside keeps a file that nothing can be read from for a human. If no later
// header knows better, as many sequences are left out as may be in it.
func (rec *recovered) setAside(fsys FS, dir string, f found, skip bool) error {
	name := segmentPath(dir, f.id)
	err := fsys.Rename(name, name+damagedSuffix)
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("spool segment %s: setting it aside: %w", name, err)
	}
	if skip {
		rec.nextSeq += uint64(f.size) / FrameOverhead
	}
	rec.report.SetAside = append(rec.report.SetAside, filepath.Base(name)+damagedSuffix)
	return nil
}

// removeIfThere is Remove for files that may be gone already.
func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
