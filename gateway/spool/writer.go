package spool

import (
	"errors"
	"time"
)

// writer is the state of the one goroutine that writes. Only that goroutine
// touches it; what others see is in Spool under mu.
type writer struct {
	*Spool
	salt    uint64
	nextID  uint64
	nextSeq uint64
	prev    chain // last segment with durable records, for the next header

	active   File // nil while the disk refuses writes
	id       uint64
	size     int64 // of active, all of it synced
	seed     uint32
	carry    []carried // for the next segment to begin with
	left     *segment  // ended segment with bytes behind its good length
	spare    *queue
	out      []byte
	closeErr error
}

// start opens the first segment of this process. No space is no reason to
// refuse the start: the spool begins in the state that a full disk leads to.
func (w *writer) start() error {
	err := w.openSegment()
	if err == nil {
		w.tidy()
		return nil
	}
	err = diskError(w.cfg.Dir, "starting a segment", err)
	if !errors.Is(err, ErrFull) {
		return err
	}
	w.setRefuse(err)
	return nil
}

func (s *Spool) run() {
	defer close(s.stopped)
	w := &s.w
	for {
		var retry <-chan time.Time
		if w.active == nil {
			retry = time.After(s.cfg.RetryInterval)
		}
		select {
		case <-s.wake:
			w.drain()
		case <-retry:
			w.reopen()
		case req := <-s.control:
			w.drain()
			req.reply <- req.run()
		case <-s.closing:
			w.drain()
			w.stop()
			return
		}
	}
}

// rotate seals the active segment, all of it synced, and opens the next.
func (w *writer) rotate() error {
	err := w.active.Close()
	w.active = nil
	w.seal()
	if err == nil {
		err = w.openSegment()
	}
	if err == nil {
		w.tidy()
		return nil
	}
	w.setRefuse(diskError(w.cfg.Dir, "starting a segment", err))
	w.reopen()
	return err
}

// abandon ends the active segment at its last good length. Its file is cut
// only after a later segment exists: until then the bytes on disk keep their
// sequences from being given again after a crash.
func (w *writer) abandon() {
	_ = w.active.Close() // its error says nothing new
	w.active = nil
	w.mu.Lock()
	seg := &w.segs[len(w.segs)-1]
	seg.size += int64(len(w.out))
	w.bytes += int64(len(w.out))
	left := *seg
	w.left = &left
	w.mu.Unlock()
	w.seal()
}

func (w *writer) seal() {
	w.mu.Lock()
	w.segs[len(w.segs)-1].sealed = true
	for r := range w.readers {
		notify(r.wake)
	}
	w.mu.Unlock()
}

func (w *writer) setRefuse(err error) {
	w.mu.Lock()
	if w.refuse != ErrClosed { //nolint:errorlint // the very value that Close sets
		w.refuse = err
	}
	w.mu.Unlock()
}

func (w *writer) refusal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse == nil {
		return ErrFailed
	}
	return w.refuse
}

func (w *writer) rotateNow() error {
	if w.active == nil {
		return w.refusal()
	}
	if w.size == HeaderSize {
		return nil
	}
	if err := w.rotate(); err != nil && w.active == nil {
		return w.refusal()
	}
	return nil
}

func (w *writer) recoverNow() error {
	if w.active == nil {
		w.reopen()
	}
	if w.active == nil {
		return w.refusal()
	}
	return nil
}

func (w *writer) stop() {
	if w.active != nil {
		w.closeErr = w.active.Close()
		w.active = nil
	}
}
