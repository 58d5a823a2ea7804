package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"
)

// MaxSuffix is how many bytes a Suffix may add to a record.
const MaxSuffix = 128

// Suffix finishes a record at the durable write: it gets the payload and the
// sequence and returns the payload with up to MaxSuffix bytes appended, in
// place. It runs in the writer goroutine, must not block and must not keep
// record. A function without captured variables costs no allocation.
type Suffix func(record []byte, seq uint64) []byte

// Waiter learns the fate of one record. Done is called exactly once: with the
// sequence and nil after the fsync, or with 0 and an error. It runs in the
// writer goroutine: it must not block nor call Close, Rotate or Recover.
type Waiter interface {
	Done(seq uint64, err error)
}

// WaiterFunc makes a Waiter of a function.
type WaiterFunc func(seq uint64, err error)

// Done calls f.
func (f WaiterFunc) Done(seq uint64, err error) { f(seq, err) }

// segment is a segment that holds, or may come to hold, durable records.
type segment struct {
	id       uint64
	firstSeq uint64
	lastSeq  uint64 // last durable one; firstSeq-1 if none
	records  uint64
	good     int64 // durable length in bytes: readers stop here
	size     int64 // length on disk, for the quota
	seed     uint32
	loose    bool // header lost: firstSeq is a lower bound
	sealed   bool
}

// Spool is the log. All methods may be called from any goroutine.
type Spool struct {
	fs   FS
	cfg  Config
	now  func() time.Time
	lock io.Closer
	m    *metrics

	wake    chan struct{} // something is pending; capacity 1
	control chan request  // Rotate, Recover
	closing chan struct{}
	stopped chan struct{} // the writer has ended
	closer  sync.Once
	closed  error // of Close

	release sync.Mutex // one goroutine removes segments at a time

	mu             sync.Mutex
	queue          *queue // being filled
	pendingRecords int    // queued or being written
	pendingBytes   int64  // upper bound of their frames
	segs           []segment
	doomed         []segment // released, not yet removed from disk
	strays         []segment // files without records outside the chain, likewise
	bytes          int64     // of all these on disk
	refuse         error     // what Append answers; nil while writing works
	readers        map[*Reader]struct{}
	stats          counters

	w writer // the writer goroutine's own
}

type request struct {
	run   func() error
	reply chan error
}

// Open locks cfg.Dir, recovers what is there and starts the writer. A disk
// without space does not keep the spool from opening: its records can be read
// and released, and Append answers ErrFull until there is space.
//
// Errors: an invalid setting, ErrLocked, ErrVersion, or what the disk says.
func Open(fsys FS, cfg Config, opt Options) (*Spool, Recovery, error) {
	if err := cfg.Validate(); err != nil {
		return nil, Recovery{}, err
	}
	if err := fsys.MkdirAll(cfg.Dir); err != nil {
		return nil, Recovery{}, fmt.Errorf("spool %s: creating the folder: %w", cfg.Dir, err)
	}
	lock, err := fsys.Lock(filepath.Join(cfg.Dir, lockName))
	if errors.Is(err, ErrLocked) {
		return nil, Recovery{}, fmt.Errorf("spool %s: %w: another gateway runs with this folder; stop it, or give this one its own spool.dir", cfg.Dir, ErrLocked)
	} else if err != nil {
		return nil, Recovery{}, fmt.Errorf("spool %s: locking: %w", cfg.Dir, err)
	}
	s, report, err := open(fsys, cfg, opt, lock)
	if err != nil {
		return nil, report, errors.Join(err, lock.Close())
	}
	go s.run()
	return s, report, nil
}

func open(fsys FS, cfg Config, opt Options, lock io.Closer) (*Spool, Recovery, error) {
	rec, err := recoverDir(fsys, cfg.Dir)
	if err != nil {
		return nil, Recovery{}, err
	}
	if !rec.salted {
		if rec.salt, err = newSalt(opt.Entropy); err != nil {
			return nil, rec.report, err
		}
	}
	s := &Spool{
		fs: fsys, cfg: cfg, now: opt.Now, lock: lock,
		wake: make(chan struct{}, 1), control: make(chan request),
		closing: make(chan struct{}), stopped: make(chan struct{}),
		queue: new(queue), segs: rec.segs, strays: rec.empties, bytes: rec.report.Bytes,
		readers: map[*Reader]struct{}{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	for i := range s.segs {
		s.segs[i].sealed = true
	}
	s.stats.durableSeq = rec.nextSeq - 1
	s.w = writer{
		Spool: s, salt: rec.salt, nextID: rec.nextID, nextSeq: rec.nextSeq, prev: rec.prev,
		carry: rec.carry, left: rec.left, spare: new(queue),
	}
	if s.m, err = newMetrics(s, opt.Registerer); err != nil {
		return nil, rec.report, err
	}
	if err := s.w.start(); err != nil {
		s.m.unregister()
		return nil, rec.report, err
	}
	return s, rec.report, nil
}

func newSalt(entropy io.Reader) (uint64, error) {
	if entropy == nil {
		entropy = rand.Reader
	}
	var b [8]byte
	if _, err := io.ReadFull(entropy, b[:]); err != nil {
		return 0, fmt.Errorf("spool: drawing a salt: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// Append copies payload and queues it for the next group commit. If it returns
// nil, w.Done will be called once; if it returns an error, never. It does not
// block on the disk. suffix may be nil.
//
// Errors, to be compared with errors.Is: ErrFull, ErrBusy, ErrTooLarge,
// ErrFailed, ErrClosed.
func (s *Spool) Append(payload []byte, suffix Suffix, w Waiter) error {
	size := int64(FrameOverhead + len(payload))
	if suffix != nil {
		size += MaxSuffix
	}
	if size > int64(s.cfg.MaxRecordBytes)+FrameOverhead {
		s.m.refused.tooLarge.Add(1)
		return ErrTooLarge
	}
	s.mu.Lock()
	if err := s.admit(size); err != nil {
		s.mu.Unlock()
		s.m.count(err)
		return err
	}
	s.pendingRecords++
	s.pendingBytes += size
	s.queue.add(payload, suffix, w)
	s.mu.Unlock()
	notify(s.wake)
	return nil
}

// admit decides about size more bytes. The quota leaves room for the header of
// the segment that the record may open.
func (s *Spool) admit(size int64) error {
	switch {
	case s.refuse != nil:
		return s.refuse
	case s.bytes+s.pendingBytes+size+HeaderSize > s.cfg.MaxBytes:
		return ErrFull
	case s.pendingRecords >= s.cfg.MaxPendingRecords, s.pendingBytes+size > int64(s.cfg.MaxPendingBytes):
		return ErrBusy
	}
	return nil
}

// Rotate seals the segment being written, if it holds records, so that it can
// be released. Records appended before are in it or in an earlier one.
func (s *Spool) Rotate() error { return s.ask(s.w.rotateNow) }

// Recover probes a disk that refused writes at once instead of at the next
// RetryInterval. It returns nil if the spool takes records.
func (s *Spool) Recover() error { return s.ask(s.w.recoverNow) }

func (s *Spool) ask(run func() error) error {
	req := request{run, make(chan error, 1)}
	select {
	case s.control <- req:
		return <-req.reply
	case <-s.stopped:
		return ErrClosed
	}
}

// Close commits what is pending, ends the writer and unlocks the folder.
// Readers still return what is durable, then ErrClosed. Later calls return the
// first one's result.
func (s *Spool) Close() error {
	s.closer.Do(func() {
		s.mu.Lock()
		s.refuse = ErrClosed
		s.mu.Unlock()
		close(s.closing)
		<-s.stopped
		s.closed = errors.Join(s.w.closeErr, s.lock.Close())
		s.m.unregister()
	})
	return s.closed
}

// notify wakes a goroutine that waits on ch, of capacity 1, without blocking.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
