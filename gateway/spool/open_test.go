package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

func TestLock(t *testing.T) {
	t.Parallel()
	genuine := small()
	genuine.Dir = filepath.Join(t.TempDir(), "deep", "spool")
	for name, tc := range map[string]struct {
		fs  spool.FS
		cfg spool.Config
	}{"os": {spool.OSFS{}, genuine}, "faultfs": {faultfs.New(), small()}} {
		t.Run(name, func(t *testing.T) {
			s, _ := mustOpen(t, tc.fs, tc.cfg)
			_, _, err := spool.Open(tc.fs, tc.cfg, spool.Options{})
			if !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), tc.cfg.Dir) || !strings.Contains(err.Error(), "stop it") {
				t.Fatalf("error %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, _ = mustOpen(t, tc.fs, tc.cfg)
			s.Close()
		})
	}
}

func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	fill(t, s, 1)
	s.Close()
	name := spool.SegmentPath(dir, 1)
	data := fs.Files(dir)[name]
	binary.LittleEndian.PutUint32(data[8:], 2)
	binary.LittleEndian.PutUint32(data[12:], crc32.Checksum(data[:12], crc32.MakeTable(crc32.Castagnoli)))
	fs.Put(name, data)
	_, _, err := spool.Open(fs, small(), spool.Options{})
	if !errors.Is(err, spool.ErrVersion) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "drained") {
		t.Fatalf("error %v", err)
	}
	if !bytes.Equal(fs.Files(dir)[name], data) {
		t.Fatal("the segment was changed")
	}
	data[8] = 1 // and back again: the failed start holds no lock
	binary.LittleEndian.PutUint32(data[12:], crc32.Checksum(data[:12], crc32.MakeTable(crc32.Castagnoli)))
	fs.Put(name, data)
	if got, _ := readAll(t, fs, small()); len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
}

func TestOSFS(t *testing.T) {
	t.Parallel()
	cfg := small()
	cfg.Dir = filepath.Join(t.TempDir(), "spool")
	var want uint64
	for life := range 4 {
		s, rec := mustOpen(t, spool.OSFS{}, cfg)
		if rec.Records != want || rec.NextSeq != want+1 || rec.Damaged() || rec.TornBytes != 0 && life != 3 {
			t.Fatalf("life %d: %v", life, rec)
		}
		fill(t, s, 30)
		want += 30
		s.Close()
		if life == 2 { // a torn end
			segs := s.Segments()
			name := spool.SegmentPath(cfg.Dir, segs[len(segs)-1].ID)
			if err := os.Truncate(name, segs[len(segs)-1].Bytes-1); err != nil {
				t.Fatal(err)
			}
			want--
		}
	}
	got, _ := readAll(t, spool.OSFS{}, cfg)
	if uint64(len(got)) != want || got[len(got)-1].Seq != want {
		t.Fatalf("%d records, want %d", len(got), want)
	}
	info, err := os.Stat(spool.SegmentPath(cfg.Dir, 1))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	entropy := rand.NewChaCha8([32]byte{9})
	fs := faultfs.New()
	var crashes []*faultfs.FS
	fs.Observe(func(faultfs.Op, string) {
		crashes = append(crashes, fs.Crash(nil), fs.Crash(rand.New(rand.NewPCG(1, 1))))
	})
	id, err := spool.Identity(fs, dir, entropy)
	if _, bad := uuid.Parse(id); err != nil || bad != nil {
		t.Fatalf("%q, %v", id, err)
	}
	fs.Observe(nil)
	for _, f := range append(crashes, fs.Crash(nil), fs) {
		first, err := spool.Identity(f, dir, entropy)
		if err != nil {
			t.Fatalf("after a crash: %v", err)
		}
		for _, again := range []*faultfs.FS{f, f.Crash(nil)} {
			if second, err := spool.Identity(again, dir, entropy); err != nil || second != first {
				t.Fatalf("%q, then %q, %v", first, second, err)
			}
		}
	}
	if again, _ := spool.Identity(fs.Crash(nil), dir, entropy); again != id || len(crashes) < 10 {
		t.Fatalf("%q became %q; %d crashes", id, again, len(crashes))
	}
	fs.Put(dir+"/gateway-id", []byte("nonsense\n"))
	if _, err := spool.Identity(fs, dir, entropy); err == nil || !strings.Contains(err.Error(), "gateway-id") {
		t.Fatalf("error %v", err)
	}
	if _, err := spool.Identity(faultfs.New(), dir, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := small().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*spool.Config){
		"dir":                 func(c *spool.Config) { c.Dir = "" },
		"segment_bytes":       func(c *spool.Config) { c.SegmentBytes = 100 },
		"max_bytes":           func(c *spool.Config) { c.MaxBytes = c.SegmentBytes },
		"max_record_bytes":    func(c *spool.Config) { c.MaxRecordBytes = spool.MaxPayload + 1 },
		"max_batch_records":   func(c *spool.Config) { c.MaxBatchRecords = 0 },
		"max_batch_bytes":     func(c *spool.Config) { c.MaxBatchBytes = c.MaxRecordBytes },
		"max_pending_records": func(c *spool.Config) { c.MaxPendingRecords = 0 },
		"max_pending_bytes":   func(c *spool.Config) { c.MaxPendingBytes = 1 },
		"retry_interval":      func(c *spool.Config) { c.RetryInterval = 0 },
	} {
		cfg := small()
		change(&cfg)
		if _, _, err := spool.Open(faultfs.New(), cfg, spool.Options{}); err == nil || !strings.Contains(err.Error(), want+" is") {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	cfg := small()
	cfg.MaxBytes = 2 * cfg.SegmentBytes
	s, _, err := spool.Open(faultfs.New(), cfg, spool.Options{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = appendWait(s, make([]byte, 400))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "/" + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	st := s.Stats()
	for name, want := range map[string]float64{
		"clickgate_spool_bytes":              float64(st.Bytes),
		"clickgate_spool_quota_bytes":        float64(cfg.MaxBytes),
		"clickgate_spool_up":                 1,
		"clickgate_spool_records_total":      float64(st.Records),
		"clickgate_spool_refused_total/full": 1,
		"clickgate_spool_commit_seconds":     float64(st.Groups),
		"clickgate_spool_group_records":      float64(st.Groups),
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	s.Close()
	if families, _ := reg.Gather(); len(families) != 0 || st.Records < 20 {
		t.Fatalf("%d families left after Close, %d records", len(families), st.Records)
	}
}
