package spool

import (
	"errors"
	"io"
)

// scanWindow is how much of a segment is read at once, in bytes.
const scanWindow = 256 << 10

// scanner walks the frames of one segment up to limit. Recovery and Reader
// share it, so that both see the same records.
//
// After damage it tries every byte, and accepts only a frame whose checksum
// holds and whose sequence is one of those that fit into the damaged bytes.
type scanner struct {
	r     io.ReaderAt
	seed  uint32
	limit int64
	end   int64  // behind the last good frame
	seq   uint64 // of the last good frame; sequences up to it are not accepted
	// loose: seq is a lower bound only (lost header, start in the middle), so
	// the first frame may carry any later sequence and reveals no gap.
	loose bool

	buf  []byte // window of the file, starting at base
	base int64

	missing uint64 // records lost between good frames
	damaged int64  // bytes between good frames
}

func newScanner(r io.ReaderAt, seed uint32, start, limit int64, seq uint64, loose bool) *scanner {
	return &scanner{r: r, seed: seed, limit: limit, end: start, seq: seq, loose: loose}
}

// next returns the next good frame, or io.EOF when none is left before limit.
// The payload is valid until the following call. After io.EOF limit may be
// raised and next called again.
func (s *scanner) next() (frame, error) {
	for off := s.end; off+FrameOverhead <= s.limit; off++ {
		f, ok, err := s.frameAt(off)
		if err != nil {
			return frame{}, err
		}
		if ok {
			s.accept(f, off)
			return f, nil
		}
	}
	return frame{}, io.EOF
}

func (s *scanner) accept(f frame, off int64) {
	if !s.loose {
		s.missing += f.seq - s.seq - 1
	}
	s.damaged += off - s.end
	s.seq, s.loose = f.seq, false
	s.end = off + FrameOverhead + int64(len(f.payload))
}

func (s *scanner) frameAt(off int64) (frame, bool, error) {
	head, err := s.peek(off, FrameOverhead)
	if err != nil || head == nil {
		return frame{}, false, err
	}
	size, seq, ok := frameHead(head)
	if !ok || off+size > s.limit || !s.plausible(seq, off) {
		return frame{}, false, nil
	}
	whole, err := s.peek(off, int(size))
	if err != nil || whole == nil {
		return frame{}, false, err
	}
	f, ok := openFrame(whole, s.seed)
	return f, ok, nil
}

// plausible: every record lost in between took at least FrameOverhead bytes.
func (s *scanner) plausible(seq uint64, off int64) bool {
	if seq <= s.seq {
		return false
	}
	return s.loose || seq-s.seq-1 <= uint64(off-s.end)/FrameOverhead
}

// peek returns n bytes at off, or nil if the file has become shorter than limit.
func (s *scanner) peek(off int64, n int) ([]byte, error) {
	if at := off - s.base; at >= 0 && at+int64(n) <= int64(len(s.buf)) {
		return s.buf[at : at+int64(n)], nil
	}
	want := max(n, int(min(scanWindow, s.limit-off)))
	if cap(s.buf) < want {
		s.buf = make([]byte, max(want, min(2*cap(s.buf), scanWindow))) // live tails come in small steps
	}
	got, err := s.r.ReadAt(s.buf[:want], off)
	s.buf, s.base = s.buf[:got], off
	if got >= n {
		return s.buf[:n], nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	s.limit = off + int64(got)
	return nil, nil
}
