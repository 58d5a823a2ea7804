package spool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/spool"
)

const dir = "/var/spool/clickgate"

// small makes segments rotate and groups split after a few records.
func small() spool.Config {
	cfg := spool.DefaultConfig()
	cfg.Dir = dir
	cfg.SegmentBytes = 8 << 10
	cfg.MaxBytes = 8 << 20
	cfg.MaxRecordBytes = 1 << 10
	cfg.MaxBatchRecords = 8
	cfg.MaxBatchBytes = 4 << 10
	cfg.MaxPendingBytes = 1 << 20
	cfg.RetryInterval = 100 * time.Millisecond
	return cfg
}

func mustOpen(t testing.TB, fs spool.FS, cfg spool.Config) (*spool.Spool, spool.Recovery) {
	t.Helper()
	s, rec, err := spool.Open(fs, cfg, spool.Options{Entropy: rand.NewChaCha8([32]byte{1})})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s, rec
}

// stamp appends the sequence, as the gateway does with ingest ids.
func stamp(record []byte, seq uint64) []byte { return binary.BigEndian.AppendUint64(record, seq) }

// ledger remembers what was appended and what became of it. The spool is
// checked against it, never against itself.
type ledger struct {
	mu      sync.Mutex
	rng     *rand.Rand
	n       int
	offered map[string]bool   // payloads without stamp
	acked   map[uint64]string // by sequence, payloads with stamp
	floor   uint64            // sequences below were released and may be gone
	total   int               // acknowledgements over all lives
	failed  int
	waiting int
	twice   int // calls of Done for a record that had its answer
}

func newLedger(seed uint64) *ledger {
	return &ledger{rng: rand.New(rand.NewPCG(seed, 7)), offered: map[string]bool{}, acked: map[uint64]string{}}
}

type ticket struct {
	l       *ledger
	payload string
	done    bool
}

func (t *ticket) Done(seq uint64, err error) {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	if t.done {
		t.l.twice++
	}
	t.done = true
	t.l.waiting--
	if err != nil {
		t.l.failed++
		return
	}
	t.l.total++
	t.l.acked[seq] = t.payload + string(binary.BigEndian.AppendUint64(nil, seq))
}

// append offers one record of a random size with a content found nowhere else.
func (l *ledger) append(s *spool.Spool) error {
	l.mu.Lock()
	l.n++
	payload := fmt.Sprintf("record %d %s", l.n, strings.Repeat("x", l.rng.IntN(600)))
	l.offered[payload] = true
	l.waiting++
	l.mu.Unlock()
	err := s.Append([]byte(payload), stamp, &ticket{l: l, payload: payload})
	if err != nil {
		l.mu.Lock()
		l.waiting--
		l.mu.Unlock()
	}
	return err
}

func (l *ledger) snapshot() map[uint64]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// release forgets what may be gone after ReleaseBefore(segment).
func (l *ledger) release(s *spool.Spool, rng *rand.Rand) error {
	segs := s.Segments()
	keep := segs[rng.IntN(len(segs))]
	l.mu.Lock()
	l.floor = max(l.floor, keep.FirstSeq)
	l.mu.Unlock()
	return s.ReleaseBefore(keep.ID)
}

// verdict is what a check found wrong; alarms are starts that reported damage.
type verdict struct{ lost, changed, phantom, disorder, alarms int }

// check compares what a spool returned with what it had acknowledged.
func (l *ledger) check(acked map[uint64]string, got []spool.Scanned) (v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bySeq := map[uint64]string{}
	var last uint64
	for _, e := range got {
		if e.Seq <= last {
			v.disorder++
		}
		last = e.Seq
		bySeq[e.Seq] = e.Payload
		body, stamped := e.Payload[:max(0, len(e.Payload)-8)], e.Payload[max(0, len(e.Payload)-8):]
		if !l.offered[body] || stamped != string(binary.BigEndian.AppendUint64(nil, e.Seq)) {
			v.phantom++
		}
	}
	for seq, payload := range acked {
		switch got, ok := bySeq[seq]; {
		case seq < l.floor:
		case !ok:
			v.lost++
		case got != payload:
			v.changed++
		}
	}
	return v
}

// readAll opens what is in fs, closes it and returns all it holds.
func readAll(t testing.TB, fs spool.FS, cfg spool.Config) ([]spool.Scanned, spool.Recovery) {
	t.Helper()
	s, rec := mustOpen(t, fs, cfg)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return drain(t, s), rec
}

// drain reads a closed spool to its end.
func drain(t testing.TB, s *spool.Spool) (out []spool.Scanned) {
	t.Helper()
	r := s.Reader(spool.Position{})
	defer r.Close()
	for {
		e, err := r.Next(context.Background())
		if errors.Is(err, spool.ErrClosed) {
			return out
		}
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		out = append(out, spool.Scanned{Seq: e.Seq, Payload: string(e.Payload)})
	}
}

// appendWait appends and waits for the answer.
func appendWait(s *spool.Spool, payload []byte) (uint64, error) {
	type answer struct {
		seq uint64
		err error
	}
	ch := make(chan answer, 1)
	if err := s.Append(payload, nil, spool.WaiterFunc(func(seq uint64, err error) { ch <- answer{seq, err} })); err != nil {
		return 0, err
	}
	a := <-ch
	return a.seq, a.err
}

func fill(t testing.TB, s *spool.Spool, n int) {
	t.Helper()
	for i := range n {
		if _, err := appendWait(s, fmt.Appendf(nil, "fill %d %s", i, strings.Repeat("f", 300))); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
}

func payloads(es []spool.Scanned) []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, e := range es {
			if !yield(e.Payload) {
				return
			}
		}
	})
}
