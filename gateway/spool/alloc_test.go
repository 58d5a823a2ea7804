package spool_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"clickgate/gateway/spool"
)

// answer is a reusable waiter, as a request handler would pool it.
type answer struct{ ch chan error }

func (a *answer) Done(_ uint64, err error) { a.ch <- err }

var answers = sync.Pool{New: func() any { return &answer{make(chan error, 1)} }}

func appendPooled(s *spool.Spool, payload []byte) error {
	a := answers.Get().(*answer)
	defer answers.Put(a)
	if err := s.Append(payload, stamp, a); err != nil {
		return err
	}
	return <-a.ch
}

func openReal(tb testing.TB) *spool.Spool {
	cfg := spool.DefaultConfig()
	cfg.Dir = filepath.Join(tb.TempDir(), "spool")
	s, _ := mustOpen(tb, spool.OSFS{}, cfg)
	tb.Cleanup(func() { s.Close() })
	return s
}

func TestAppendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := openReal(t)
	payload, a := make([]byte, 350), &answer{make(chan error, 64)}
	group := func() {
		for range 64 {
			if err := s.Append(payload, stamp, a); err != nil {
				t.Fatal(err)
			}
		}
		for range 64 {
			if err := <-a.ch; err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 10 {
		group()
	}
	// 64 records and their commits, counted over all goroutines.
	if n := testing.AllocsPerRun(50, group); n >= 1 {
		t.Fatalf("%v allocations for 64 records", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, writers := range map[string]int{"1": 1, "256": 256} {
		b.Run("writers="+name, func(b *testing.B) {
			s := openReal(b)
			payload := make([]byte, 350)
			b.ReportAllocs()
			b.SetBytes(350)
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := appendPooled(s, payload); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(s.Stats().Records)/float64(s.Stats().Groups), "records/group")
		})
	}
}

// BenchmarkWriteSync is the reference: a write and an fsync for each record.
func BenchmarkWriteSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	payload := make([]byte, 350)
	b.ReportAllocs()
	b.SetBytes(350)
	for b.Loop() {
		if _, err := f.Write(payload); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecovery reads a folder of sealed segments.
func BenchmarkRecovery(b *testing.B) {
	cfg := spool.DefaultConfig()
	cfg.Dir = filepath.Join(b.TempDir(), "spool")
	s, _ := mustOpen(b, spool.OSFS{}, cfg)
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for range 400 {
				if err := appendPooled(s, make([]byte, 350)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.Close()
	b.SetBytes(s.Stats().Bytes)
	for b.Loop() {
		s, rec := mustOpen(b, spool.OSFS{}, cfg)
		if rec.Records != 256*400 {
			b.Fatal(rec)
		}
		s.Close()
	}
}
