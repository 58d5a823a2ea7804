package spool_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

// TestFailedCommit: nothing of the group is acknowledged, the sequences are
// burned, the next record goes into a fresh segment, and a crash afterwards
// shows exactly what was acknowledged.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.Sync} {
		for _, truncates := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, truncate works: %v", op, truncates), func(t *testing.T) {
				t.Parallel()
				fs := faultfs.New()
				s, _ := mustOpen(t, fs, small())
				fill(t, s, 5)
				fs.Fail(op, 0, 1, syscall.EIO)
				if !truncates {
					fs.Fail(faultfs.Truncate, 0, 1, syscall.EIO)
				}
				seq, err := appendWait(s, []byte("doomed"))
				if !errors.Is(err, spool.ErrFailed) || !errors.Is(err, syscall.EIO) || seq != 0 || !strings.Contains(err.Error(), dir) {
					t.Fatalf("sequence %d, error %v", seq, err)
				}
				if seq, err = appendWait(s, []byte("after")); err != nil || seq != 7 {
					t.Fatalf("the next record got sequence %d, error %v", seq, err)
				}
				st := s.Stats()
				if st.State != spool.StateOK || st.ActiveSegment != 2 || st.FailedRecords != 1 || st.FailedGroups != 1 || st.DurableSeq != 7 {
					t.Fatalf("%+v", st)
				}
				for _, after := range []*faultfs.FS{fs.Crash(nil), fs.Kill()} {
					got, rec := readAll(t, after, small())
					if len(got) != 6 || got[5].Payload != "after" || rec.Damaged() {
						t.Fatalf("%v: %q", rec, payloads(got))
					}
				}
				s.Close()
				if live := drain(t, s); len(live) != 6 {
					t.Fatalf("readers saw %d records", len(live))
				}
			})
		}
	}
}

// TestPageCacheIsNotBelieved: a sync failed, no fresh segment could be opened,
// the process was killed. Its successor reads the record from the page cache;
// if it gives it out, the record must survive the power cut that follows.
func TestPageCacheIsNotBelieved(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	fill(t, s, 3)
	fs.Fail(faultfs.Sync, 0, 1, syscall.EIO)
	fs.Fail(faultfs.Create, 0, -1, syscall.EIO)
	if _, err := appendWait(s, []byte("cached")); !errors.Is(err, spool.ErrFailed) {
		t.Fatal(err)
	}
	killed := fs.Kill()
	seen, _ := readAll(t, killed, small())
	if len(seen) != 4 {
		t.Fatalf("%d records in the page cache: the case was not built", len(seen))
	}
	after, rec := readAll(t, killed.Crash(nil), small())
	if !slices.Equal(after, seen) || rec.Damaged() {
		t.Fatalf("%d records given out, %d after the power cut: %v", len(seen), len(after), rec)
	}
}

func TestDiskFailsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New()
		cfg := small()
		s, _ := mustOpen(t, fs, cfg)
		defer s.Close()
		fill(t, s, 3)
		fs.Fail(faultfs.Sync, 0, -1, syscall.EIO)
		if _, err := appendWait(s, []byte("x")); !errors.Is(err, spool.ErrFailed) {
			t.Fatal(err)
		}
		probes := 0
		fs.Observe(func(op faultfs.Op, name string) {
			if op == faultfs.Create && strings.HasSuffix(name, "spool.probe") {
				probes++
			}
		})
		for range 50 {
			if err := s.Append([]byte("x"), nil, nil); !errors.Is(err, spool.ErrFailed) {
				t.Fatalf("while down: %v", err)
			}
			time.Sleep(cfg.RetryInterval / 5)
		}
		if synctest.Wait(); probes < 9 || probes > 11 {
			t.Fatalf("%d probes in 10 intervals", probes)
		}
		if err := s.Recover(); !errors.Is(err, spool.ErrFailed) || s.Stats().State != spool.StateFailed {
			t.Fatalf("recover: %v, %+v", err, s.Stats())
		}
		if err := s.Rotate(); !errors.Is(err, spool.ErrFailed) {
			t.Fatalf("rotate: %v", err)
		}
		fs.Heal()
		time.Sleep(cfg.RetryInterval + time.Millisecond)
		synctest.Wait()
		if seq, err := appendWait(s, []byte("y")); err != nil || seq != 5 {
			t.Fatalf("after healing: %d, %v", seq, err)
		}
	})
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New()
		cfg := small()
		s, _ := mustOpen(t, fs, cfg)
		l := newLedger(1)
		fs.SetSize(64 << 10)
		var err error
		for err == nil {
			err = l.append(s)
			synctest.Wait()
		}
		if !errors.Is(err, spool.ErrFull) || s.Stats().State != spool.StateFull || l.failed == 0 || len(l.acked) < 50 {
			t.Fatalf("%v, %+v, %d acked, %d failed", err, s.Stats(), len(l.acked), l.failed)
		}
		failed := l.failed
		time.Sleep(10 * cfg.RetryInterval) // probes burn neither records nor sequences
		if err := l.append(s); !errors.Is(err, spool.ErrFull) || l.failed != failed {
			t.Fatalf("%v, %d failed", err, l.failed)
		}
		startOnFullDisk(t, fs.Crash(nil), cfg)
		fs.SetSize(-1)
		time.Sleep(cfg.RetryInterval + time.Millisecond)
		if err := l.append(s); err != nil {
			t.Fatalf("space is back: %v", err)
		}
		s.Close()
		got, rec := readAll(t, fs.Crash(nil), cfg)
		if v := l.check(l.acked, got); v != (verdict{}) || rec.Damaged() {
			t.Fatalf("%+v, %v", v, rec)
		}
	})
}

// startOnFullDisk: the spool opens, gives out what it has, and takes records
// again once some of it was released.
func startOnFullDisk(t *testing.T, after *faultfs.FS, cfg spool.Config) {
	after.SetSize(after.Used())
	s, rec := mustOpen(t, after, cfg)
	if err := s.Append([]byte("x"), nil, nil); !errors.Is(err, spool.ErrFull) || rec.Damaged() {
		t.Fatalf("%v, %v", err, rec)
	}
	if err := s.ReleaseBefore(s.Segments()[2].ID); err != nil {
		t.Fatal(err)
	}
	time.Sleep(cfg.RetryInterval + time.Millisecond)
	seq, err := appendWait(s, []byte("x"))
	if err != nil || seq < rec.NextSeq {
		t.Fatalf("after a release: %d, %v", seq, err)
	}
	s.Close()
	if got := drain(t, s); got[len(got)-1].Seq != seq || uint64(len(got)) >= rec.Records {
		t.Fatalf("%d records of %d", len(got), rec.Records)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	cfg := small()
	cfg.MaxBytes = 2 * cfg.SegmentBytes
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, cfg)
	defer s.Close()
	n := 0
	var err error
	for ; err == nil; n++ {
		_, err = appendWait(s, make([]byte, 500))
		if used := fs.Used(); used > cfg.MaxBytes {
			t.Fatalf("%d bytes used, quota %d", used, cfg.MaxBytes)
		}
	}
	if !errors.Is(err, spool.ErrFull) || n < 25 {
		t.Fatalf("after %d records: %v", n, err)
	}
	if err := s.ReleaseBefore(s.Stats().ActiveSegment); err != nil {
		t.Fatal(err)
	}
	if _, err := appendWait(s, make([]byte, 500)); err != nil {
		t.Fatalf("after a release: %v", err)
	}
	if st := s.Stats(); st.Bytes != fs.Used() {
		t.Fatalf("counted %d bytes, %d on disk", st.Bytes, fs.Used())
	}
}

func TestAppendRefusals(t *testing.T) {
	t.Parallel()
	cfg := small()
	cfg.MaxPendingRecords = 3
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, cfg)
	if err := s.Append(make([]byte, cfg.MaxRecordBytes+1), nil, nil); !errors.Is(err, spool.ErrTooLarge) {
		t.Fatal(err)
	}
	if err := s.Append(make([]byte, cfg.MaxRecordBytes), stamp, nil); !errors.Is(err, spool.ErrTooLarge) {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	fs.Observe(func(op faultfs.Op, _ string) {
		if op == faultfs.Sync {
			<-hold
		}
	})
	for range 3 {
		if err := s.Append([]byte("x"), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append([]byte("x"), nil, nil); !errors.Is(err, spool.ErrBusy) {
		t.Fatal(err)
	}
	close(hold)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Append([]byte("x"), nil, nil); !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
	if err := s.Rotate(); !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
	if got := drain(t, s); len(got) != 3 {
		t.Fatalf("%d records after close", len(got))
	}
}

// TestSuffixTooLong: the record fails, its sequence is accounted for, its
// neighbours are untouched.
func TestSuffixTooLong(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	long := func(record []byte, _ uint64) []byte { return append(record, make([]byte, spool.MaxSuffix+1)...) }
	fill(t, s, 1)
	got := make(chan error, 2)
	if err := s.Append([]byte("x"), long, spool.WaiterFunc(func(_ uint64, err error) { got <- err })); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, spool.ErrTooLarge) {
		t.Fatal(err)
	}
	fill(t, s, 1)
	s.Close()
	all, rec := readAll(t, fs, small())
	if len(all) != 2 || all[1].Seq != 3 || rec.Damaged() || rec.Records != 2 || len(got) != 0 {
		t.Fatalf("%v, %v", all, rec)
	}
}
