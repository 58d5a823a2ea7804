package rawlog

import "io"

const (
	firstBuffer = 64 << 10
	readAhead   = 64 << 10 // room behind the longest line
	stuckReads  = 100      // reads without bytes or error before the reader is given up
)

// ended tells the end of a stream from an error in it. An io.EOF that another
// error wraps is trouble: something ended that should not.
func ended(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// finder looks for the end of a token in the next bytes of it. It returns the
// index of the byte that ends the token, or -1 for more; it sees each byte once.
type finder interface{ find(b []byte) int }

// token is a stretch of the stream. Its head is valid until the next take.
type token struct {
	head   []byte // its first bytes, all of them up to the limit and a little more
	offset int64
	length int64
	ended  bool // find found the end; it is not part of the token
}

// window is a sliding view of a stream. It holds at most limit bytes of a token
// and one read more, however long the token is.
type window struct {
	r          io.Reader
	buf        []byte
	start, end int   // unread bytes
	base       int64 // offset of buf[0] in the stream
	limit      int
	err        error // of the reader
}

func (w *window) reset(r io.Reader, limit int) {
	*w = window{r: r, buf: w.buf, limit: limit}
	if w.buf == nil {
		w.buf = make([]byte, min(firstBuffer, w.room()))
	}
}

func (w *window) room() int { return w.limit + readAhead }

func (w *window) offset() int64 { return w.base + int64(w.start) }

// take reads the next token. At the end of the stream it is what is left, and
// w.err says how the stream ended.
func (w *window) take(f finder) token {
	t := token{offset: w.offset()}
	seen, dropped := w.start, 0
	for {
		if n := f.find(w.buf[seen:w.end]); n >= 0 {
			return w.finish(t, seen+n, dropped, true)
		}
		seen = w.end
		if w.err != nil {
			return w.finish(t, seen, dropped, false)
		}
		if w.end == len(w.buf) {
			moved, gone := w.makeRoom()
			seen -= moved
			dropped += gone
		}
		w.fill()
	}
}

func (w *window) finish(t token, stop, dropped int, ended bool) token {
	t.head, t.ended = w.buf[w.start:stop], ended
	t.length = int64(stop-w.start) + int64(dropped)
	if dropped > 0 {
		t.head = t.head[:w.limit]
	}
	w.base += int64(dropped)
	w.start = stop
	if ended {
		w.start++
	}
	return t
}

// makeRoom makes the buffer longer than its content: by moving the content to
// the front, by growing, or, for a token beyond all limits, by dropping what
// follows its head. It returns how far the end moved, and how much is gone.
func (w *window) makeRoom() (moved, gone int) {
	switch {
	case w.start > 0:
		moved = w.start
		copy(w.buf, w.buf[w.start:w.end])
		w.base += int64(moved)
		w.start, w.end = 0, w.end-moved
	case len(w.buf) < w.room():
		grown := make([]byte, min(2*len(w.buf), w.room()))
		copy(grown, w.buf)
		w.buf = grown
	default:
		gone = w.end - w.limit
		moved = gone
		w.end = w.limit
	}
	return moved, gone
}

// fill reads once into the room behind the content.
func (w *window) fill() {
	for range stuckReads {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if n > 0 || err != nil {
			return
		}
	}
	w.err = io.ErrNoProgress
}

// peek returns the unread bytes, at least n of them unless the stream ends
// before. n is at most 4 KiB.
func (w *window) peek(n int) []byte {
	for w.end-w.start < n && w.err == nil {
		if w.end == len(w.buf) {
			w.makeRoom()
		}
		w.fill()
	}
	return w.buf[w.start:w.end]
}
