package spool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

// TestGroupCommit: while one sync is under way the next group gathers, and no
// reader sees a record before its sync.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New()
		cfg := small()
		cfg.MaxBatchRecords = 100
		s, _ := mustOpen(t, fs, cfg)
		hold := make(chan struct{})
		fs.Observe(func(op faultfs.Op, _ string) {
			if op == faultfs.Sync {
				<-hold
			}
		})
		read, acked := 0, 0
		go func() {
			r := s.Reader(spool.Position{})
			defer r.Close()
			for {
				if _, err := r.Next(t.Context()); err != nil {
					return
				}
				read++
			}
		}()
		done := spool.WaiterFunc(func(uint64, error) { acked++ })
		s.Append([]byte("first"), nil, done)
		synctest.Wait()
		for range 50 {
			s.Append([]byte("gathering"), nil, done)
		}
		synctest.Wait()
		if read != 0 || acked != 0 {
			t.Fatalf("%d read and %d acknowledged before the sync", read, acked)
		}
		hold <- struct{}{}
		synctest.Wait()
		if read != 1 || acked != 1 {
			t.Fatalf("%d read and %d acknowledged after the first sync", read, acked)
		}
		close(hold)
		synctest.Wait()
		if st := s.Stats(); read != 51 || acked != 51 || st.Groups != 2 || st.PendingRecords != 0 || st.PendingBytes != 0 {
			t.Fatalf("%d read, %d acknowledged, %+v", read, acked, st)
		}
		s.Close()
	})
}

func TestReaderFollowsWriters(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	const writers, each = 8, 250
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := appendWait(s, fmt.Appendf(nil, "writer %d record %d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	r := s.Reader(spool.Position{})
	defer r.Close()
	next := map[int]int{}
	for want := uint64(1); want <= writers*each; want++ {
		e, err := r.Next(t.Context())
		if err != nil || e.Seq != want {
			t.Fatalf("sequence %d, want %d, error %v", e.Seq, want, err)
		}
		var w, i int
		if _, err := fmt.Sscanf(string(e.Payload), "writer %d record %d", &w, &i); err != nil || i != next[w] {
			t.Fatalf("%q after %d records of that writer", e.Payload, next[w])
		}
		next[w]++
		if want%500 == 0 {
			if err := s.ReleaseBefore(e.At.Segment); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	if st := s.Stats(); st.ActiveSegment < 5 || st.OldestSegment == 1 || st.LostRecords != 0 {
		t.Fatalf("no rotation or no release: %+v", st)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.Close()
	if _, err := r.Next(t.Context()); !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
}

// TestPositions: every position given out resumes at the right record, also
// in another life of the spool.
func TestPositions(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	fill(t, s, 60)
	s.Close()
	s, _ = mustOpen(t, fs, small())
	defer s.Close()
	all := s.Reader(spool.Position{})
	defer all.Close()
	for seq := uint64(1); seq <= 60; seq++ {
		e, err := all.Next(t.Context())
		if err != nil || e.Seq != seq {
			t.Fatal(e.Seq, err)
		}
		for from, want := range map[spool.Position]uint64{e.At: seq, e.Next: seq + 1} {
			if want > 60 {
				continue
			}
			r := s.Reader(from)
			if e, err := r.Next(t.Context()); err != nil || e.Seq != want {
				t.Fatalf("from %v: sequence %d, want %d, error %v", from, e.Seq, want, err)
			}
			r.Close()
		}
	}
	if st := s.Stats(); st.LostRecords != 0 || st.LostBytes != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestRotateAndRelease(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	if err := s.Rotate(); err != nil || s.Stats().ActiveSegment != 1 {
		t.Fatalf("an empty segment was rotated: %v, %+v", err, s.Stats())
	}
	fill(t, s, 2)
	if err := errors.Join(s.Rotate(), s.ReleaseBefore(99)); err != nil {
		t.Fatal(err)
	}
	if segs := s.Segments(); len(segs) != 1 || segs[0].Sealed || segs[0].ID != 2 || segs[0].FirstSeq != 3 {
		t.Fatalf("%+v", segs)
	}
	if st := s.Stats(); st.Bytes != spool.HeaderSize || st.Bytes != fs.Used() {
		t.Fatalf("%+v, %d bytes on disk", st, fs.Used())
	}
	s.Close()
	for range 3 { // nothing is left but the sequence
		after := fs.Crash(nil)
		got, rec := readAll(t, after, small())
		if len(got) != 0 || rec.NextSeq != 3 || rec.Damaged() {
			t.Fatalf("%v", rec)
		}
		fs = after
	}
	if files := fs.Files(dir); len(files) != 1 {
		t.Fatalf("restarts pile up %d files", len(files))
	}
}

func TestReleaseFails(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	defer s.Close()
	fill(t, s, 60)
	before := s.Stats()
	fs.Fail(faultfs.Remove, 1, 1, errors.New("refused"))
	if err := s.ReleaseBefore(before.ActiveSegment); err == nil {
		t.Fatal("no error")
	}
	if st := s.Stats(); st.Bytes != fs.Used() || st.Segments != 1 {
		t.Fatalf("%+v, %d bytes on disk", st, fs.Used())
	}
	if err := s.ReleaseBefore(0); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Bytes != fs.Used() || len(fs.Files(dir)) != 1 {
		t.Fatalf("%+v, %d bytes on disk", st, fs.Used())
	}
}

// TestReaderMeetsDamage: bits that rot under a running spool are counted.
func TestReaderMeetsDamage(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	defer s.Close()
	fill(t, s, 10)
	if err := s.Rotate(); err != nil {
		t.Fatal(err)
	}
	name := spool.SegmentPath(dir, 1)
	data := slices.Clone(fs.Files(dir)[name])
	data[1000] ^= 1
	fs.Put(name, data[:len(data)-10])
	fill(t, s, 1)
	r := s.Reader(spool.Position{})
	defer r.Close()
	n := 0
	for {
		e, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n++; e.Seq == 11 {
			break
		}
	}
	if st := s.Stats(); n != 9 || st.LostRecords != 2 || st.LostBytes == 0 {
		t.Fatalf("%d records, %+v", n, st)
	}
}
