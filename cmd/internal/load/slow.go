package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// SlowConfig describes connections that send a byte each so often.
type SlowConfig struct {
	Connections int           // at once, 0 for none
	Every       time.Duration // between two bytes
}

// SlowReport is what became of slow connections.
type SlowReport struct {
	Connections int              `json:"connections"` // at once, at most
	Opened      int64            `json:"opened"`
	Refused     int64            `json:"refused"` // could not be opened
	Answers     map[string]int64 `json:"answers"` // by status, before the end
	Ended       int64            `json:"ended"`   // by the gateway
	Open        int64            `json:"open"`    // at the end of the run
	Bytes       int64            `json:"bytes"`   // that were sent
	LongestS    float64          `json:"longest_s"`
}

func (r *SlowReport) write(w io.Writer) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "\nslow: %d connections at once, %d opened, %d refused, %d ended by the gateway (answers: %s), %d open at the end; the longest lived %.1f s\n",
		r.Connections, r.Opened, r.Refused, r.Ended, listed(r.Answers), r.Open, r.LongestS)
}

// slowKinds are what slow connections send, byte by byte; each is a beginning of
// a request that has more bytes than a run has seconds to spare.
func slowKinds(host string) []string {
	return []string{
		"GET /b?s=x HTTP/1.1\r\nHost: " + host + "\r\nX-A: ",
		"POST /b HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: text/plain\r\nContent-Length: 8000\r\n\r\n",
	}
}

// slow keeps slow connections, each with a goroutine of its own.
type slow struct {
	cfg     SlowConfig
	dial    Dialer
	targets []*Target
	now     func() time.Time

	mu     sync.Mutex
	report SlowReport
}

// beginWithin is over how many bytes' time the connections begin.
const beginWithin = 10

// run keeps the connections until ctx ends. They begin spread over the time of some
// bytes, as clients that know nothing of each other do: bytes of all of them at once
// would be another attack, and so would new connections, after a gateway's timeout has
// ended all that began at once. A connection that the gateway ends is opened again, not
// before the time of a byte has passed.
func (s *slow) run(ctx context.Context) {
	s.report.Connections = s.cfg.Connections
	var all sync.WaitGroup
	for i := range s.cfg.Connections {
		t := s.targets[i%len(s.targets)]
		kinds := slowKinds(t.Host)
		begin := kinds[i/len(s.targets)%len(kinds)]
		apart := beginWithin * s.cfg.Every * time.Duration(i) / time.Duration(s.cfg.Connections)
		all.Go(func() {
			for ok := wait(ctx, apart); ok; ok = s.once(ctx, t, begin) && wait(ctx, s.cfg.Every) {
			}
		})
	}
	all.Wait()
}

// wait returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once opens one connection and drips on it; false when ctx ended.
func (s *slow) once(ctx context.Context, t *Target, begin string) bool {
	conn, err := s.dial(ctx, "tcp", t.Address)
	if err != nil {
		s.note(func(r *SlowReport) { r.Refused++ })
		return ctx.Err() == nil
	}
	// The end of the run ends the reads and writes under way.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	opened := s.now()
	sent, status := s.drip(ctx, conn, begin)
	lived := s.now().Sub(opened)
	_ = conn.Close() // nothing is under way on it
	ended := ctx.Err() != nil
	s.note(func(r *SlowReport) {
		r.Opened++
		r.Bytes += sent
		r.LongestS = max(r.LongestS, lived.Seconds())
		if ended {
			r.Open++
			return
		}
		r.Ended++
		if status > 0 {
			if r.Answers == nil {
				r.Answers = map[string]int64{}
			}
			r.Answers[strconv.Itoa(status)]++
		}
	})
	return !ended
}

// drip sends begin and then one letter after the other until the connection or ctx
// ends. It returns the bytes sent and the status of an answer, 0 without one.
func (s *slow) drip(ctx context.Context, conn net.Conn, begin string) (sent int64, status int) {
	var in []byte
	buf := make([]byte, 512)
	for i := 0; ; i++ {
		next := byte('x')
		if i < len(begin) {
			next = begin[i]
		}
		if !s.limit(ctx, conn) {
			return sent, statusOf(in)
		}
		n, err := conn.Write([]byte{next})
		sent += int64(n)
		if err != nil && !isTimeout(err) || !s.limit(ctx, conn) {
			return sent, statusOf(in)
		}
		err = nil
		for err == nil && len(in) <= maxHead {
			n, err = conn.Read(buf)
			in = append(in, buf[:n]...)
		}
		if len(in) > maxHead || !isTimeout(err) {
			return sent, statusOf(in)
		}
	}
}

// limit gives the next read or write the time of a byte; false when the run has
// ended. In this order, or the deadline could undo that of the run's end.
func (s *slow) limit(ctx context.Context, conn net.Conn) bool {
	return conn.SetDeadline(s.now().Add(s.cfg.Every)) == nil && ctx.Err() == nil
}

func statusOf(in []byte) int {
	h, n, err := parseHead(in)
	if err != nil || n == 0 {
		return 0
	}
	return h.status
}

func (s *slow) note(change func(*SlowReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
}
