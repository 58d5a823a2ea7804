package spool_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

// image is one segment as a crashed gateway leaves it: never sealed.
type image struct {
	cfg    spool.Config
	data   []byte
	seed   uint32
	frames []framed
}

type framed struct {
	spool.Scanned
	start, end int64
	group      int // of the commit it was written with
}

// newImage writes size bytes of records in groups of one to eight.
func newImage(t testing.TB, size int64) *image {
	cfg := small()
	cfg.SegmentBytes = size + 64<<10
	fs, l, rng := faultfs.New(), newLedger(5), rand.New(rand.NewPCG(5, 5))
	s, _ := mustOpen(t, fs, cfg)
	r := s.Reader(spool.Position{})
	defer r.Close()
	img := &image{cfg: cfg}
	for group := 0; s.Stats().Bytes < size; group++ {
		n := 1 + rng.IntN(cfg.MaxBatchRecords)
		hold := make(chan struct{})
		fs.Observe(func(op faultfs.Op, _ string) {
			if op == faultfs.Write {
				<-hold
			}
		})
		for range n {
			if err := l.append(s); err != nil {
				t.Fatal(err)
			}
		}
		close(hold)
		for range n {
			e, err := r.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			img.frames = append(img.frames, framed{
				spool.Scanned{Seq: e.Seq, Payload: string(e.Payload)}, e.At.Offset, e.Next.Offset, 0,
			})
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	img.data = fs.Files(dir)[spool.SegmentPath(dir, 1)]
	img.seed = spool.FrameSeed(spool.SaltOf(img.data), 1)
	group := -1
	for i := range img.frames {
		if binary.LittleEndian.Uint16(img.data[img.frames[i].start+17:]) == 0 {
			group++
		}
		img.frames[i].group = group
	}
	return img
}

func (img *image) last() int { return img.frames[len(img.frames)-1].group }

// open recovers a folder with data as its only segment.
func (img *image) open(t testing.TB, data []byte) ([]spool.Scanned, spool.Recovery) {
	fs := faultfs.New()
	fs.Put(spool.SegmentPath(dir, 1), data)
	return readAll(t, fs, img.cfg)
}

// prefix returns the records wholly before end.
func (img *image) prefix(end int64) []spool.Scanned {
	var out []spool.Scanned
	for _, f := range img.frames {
		if f.end <= end {
			out = append(out, f.Scanned)
		}
	}
	return out
}

func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	img := newImage(t, 72<<10)
	size := int64(len(img.data))
	first := 0 // frame to start from: those before are not touched by the cut
	opened := 0
	step := int64(1)
	if raceEnabled {
		step = 7
		t.Log("every 7th byte only: the race detector is on")
	}
	for cut := size - 64<<10; cut <= size; cut += step {
		for first+3 < len(img.frames) && img.frames[first+3].end <= cut {
			first++
		}
		start := img.frames[first]
		got, end := spool.Scan(img.data[:cut], img.seed, start.start, start.Seq-1)
		want := img.prefix(cut)[first:]
		if !slices.Equal(got, want) || cut-end > int64(len(img.frames[first].Payload)+1200) {
			t.Fatalf("cut at %d: %d records, want %d", cut, len(got), len(want))
		}
		if cut%397 != 0 && cut != end { // the whole way: sampled, and at every border
			continue
		}
		opened++
		got, rec := img.open(t, img.data[:cut])
		if want := img.prefix(cut); !slices.Equal(got, want) || rec.Damaged() || rec.TornBytes != cut-end {
			t.Fatalf("cut at %d: %v, want %d records and %d torn bytes", cut, rec, len(want), cut-end)
		}
	}
	if opened < 250/int(step) {
		t.Fatalf("only %d folders opened", opened)
	}
}

func TestTails(t *testing.T) {
	t.Parallel()
	img := newImage(t, 24<<10)
	all := img.prefix(int64(len(img.data)))
	last := all[len(all)-1].Seq
	rng := rand.New(rand.NewPCG(8, 8))
	rubbish := make([]byte, 9000)
	for i := range rubbish {
		rubbish[i] = byte(rng.Uint32())
	}
	otherSeed := spool.FrameSeed(spool.SaltOf(img.data), 2)
	foreign := spool.FrameSeed(spool.SaltOf(img.data)+1, 1)
	tails := map[string][]byte{
		"rubbish":         rubbish,
		"other segment":   spool.AppendFrame(nil, otherSeed, last+1, 0, []byte("stale")),
		"other folder":    spool.AppendFrame(nil, foreign, last+1, 0, []byte("stale")),
		"own old frame":   img.data[img.frames[3].start:img.frames[3].end],
		"own last frame":  img.data[img.frames[len(img.frames)-1].start:],
		"impossible jump": spool.AppendFrame(nil, img.seed, last+1000, 0, []byte("jump")),
		"its own header":  img.data[:spool.HeaderSize],
	}
	for _, n := range []int{1, 16, 18, 19, 20, 511, 512, 4096, 65536} {
		tails[fmt.Sprintf("%d zeros", n)] = make([]byte, n)
	}
	for name, tail := range tails {
		got, rec := img.open(t, slices.Concat(img.data, tail))
		if !slices.Equal(got, all) || rec.TornBytes != int64(len(tail)) || rec.Damaged() {
			t.Errorf("%s: %v, want %d records and %d torn bytes", name, rec, len(all), len(tail))
		}
	}
	for n := 0; n < 8<<10; n += 61 { // the length reached the disk, the end of the content did not
		data := slices.Clone(img.data)
		clear(data[len(data)-n:])
		got, rec := img.open(t, data)
		if want := img.prefix(int64(len(data) - n)); len(got) < len(want)-1 || !slices.Equal(got, all[:len(got)]) || rec.Damaged() {
			t.Errorf("%d bytes of the end zeroed: %v, want %d records", n, rec, len(want))
		}
	}
}

// TestBitFlips damages the segment in its two roles. Sealed, only the records
// that were hit may be missing, and they are counted one by one. As the last
// one, its last group ends at the first hit.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	img := newImage(t, 10<<10)
	sealed := faultfs.New()
	sealed.Put(spool.SegmentPath(dir, 1), img.data)
	s, _ := mustOpen(t, sealed, img.cfg) // moves the last group to segment 2
	fill(t, s, 3)
	s.Close()
	base := sealed.Files(dir)
	body := base[spool.SegmentPath(dir, 1)]
	everything, _ := readAll(t, sealed.Crash(nil), img.cfg)

	rng := rand.New(rand.NewPCG(21, 22))
	hits, rounds := 0, 5000
	if raceEnabled {
		rounds = 1500
		t.Logf("%d flips only: the race detector is on", rounds)
	}
	for range rounds {
		bits := 1 + rng.IntN(3)
		asLast := rng.IntN(2) == 0
		data := slices.Clone(body)
		if asLast {
			data = slices.Clone(img.data)
		}
		at := make([]int64, bits)
		for i := range at {
			at[i] = rng.Int64N(int64(len(data)))
			data[at[i]] ^= 1 << rng.IntN(8)
		}
		hit := func(f framed) bool {
			return slices.ContainsFunc(at, func(x int64) bool { return x >= f.start && x < f.end })
		}
		var got, want []spool.Scanned
		var rec spool.Recovery
		lost, dead := 0, false
		for _, f := range img.frames {
			dead = dead || asLast && f.group == img.last() && hit(f)
			if dead || f.end <= int64(len(data)) && hit(f) {
				lost++
			} else {
				want = append(want, f.Scanned)
			}
		}
		if asLast {
			got, rec = img.open(t, data)
		} else {
			want = append(want, everything[len(img.frames):]...)
			fs := faultfs.New()
			for name, b := range base {
				fs.Put(name, b)
			}
			fs.Put(spool.SegmentPath(dir, 1), data)
			got, rec = readAll(t, fs, img.cfg)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("flips at %d, last=%v: %d records, want %d: %v", at, asLast, len(got), len(want), rec)
		}
		if lost > 0 && !rec.Damaged() && rec.TornBytes == 0 {
			t.Fatalf("flips at %d, last=%v: %d records lost in silence", at, asLast, lost)
		}
		if !asLast && rec.MissingRecords != uint64(lost) {
			t.Fatalf("flips at %d: %d records lost, %d reported", at, lost, rec.MissingRecords)
		}
		hits += lost
	}
	if hits < rounds {
		t.Fatalf("only %d records were hit", hits)
	}
	t.Logf("%d records hit", hits)
}

// TestReorderedBlocks swaps and stales sectors: what comes out must be records.
func TestReorderedBlocks(t *testing.T) {
	t.Parallel()
	img := newImage(t, 24<<10)
	all := img.prefix(int64(len(img.data)))
	valid := map[spool.Scanned]bool{}
	for _, e := range all {
		valid[e] = true
	}
	rng := rand.New(rand.NewPCG(31, 32))
	for range 400 {
		data := slices.Clone(img.data)
		blocks := len(data) / 512
		first := len(data)
		for range 1 + rng.IntN(4) {
			a, b := 1+rng.IntN(blocks-1), 1+rng.IntN(blocks-1)
			copy(data[a*512:(a+1)*512], img.data[b*512:(b+1)*512])
			first = min(first, a*512)
		}
		got, rec := img.open(t, data)
		for _, e := range got {
			if !valid[e] {
				t.Fatalf("phantom record %d", e.Seq)
			}
		}
		if before := img.prefix(int64(first)); len(got) < len(before)-8 || len(got) < len(all) && rec.TornBytes == 0 && !rec.Damaged() {
			t.Fatalf("%d records of %d before the damage: %v", len(got), len(before), rec)
		}
	}
}

// TestSmuggledFrame: a sender who knows the format hides frames in payloads;
// when damage makes recovery look for frames, they are not taken for records.
func TestSmuggledFrame(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	for seq := uint64(1); seq <= 10; seq++ {
		payload := []byte("honest ")
		for guess := seq; guess < seq+4; guess++ {
			payload = spool.AppendFrame(payload, spool.FrameSeed(0, 1), guess, 0, []byte("smuggled"))
		}
		if _, err := appendWait(s, payload); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	data := fs.Files(dir)[spool.SegmentPath(dir, 1)]
	for at := spool.HeaderSize; at < len(data)-1; at += 7 {
		damaged := slices.Clone(data)
		damaged[at] ^= 0x40
		after := faultfs.New()
		after.Put(spool.SegmentPath(dir, 1), damaged)
		got, _ := readAll(t, after, small())
		for _, p := range payloads(got) {
			if !strings.HasPrefix(p, "honest ") {
				t.Fatalf("damage at %d: %q became a record", at, p)
			}
		}
		if len(got) < 8 {
			t.Fatalf("damage at %d: only %d records", at, len(got))
		}
	}
}

// TestLostParts: what no crash does is reported, with numbers.
func TestLostParts(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	s, _ := mustOpen(t, fs, small())
	fill(t, s, 100)
	segs := s.Segments()
	s.Close()
	path := func(i int) string { return spool.SegmentPath(dir, segs[i].ID) }
	for _, tc := range []struct {
		name   string
		damage func(fs *faultfs.FS, files map[string][]byte)
		want   func(r spool.Recovery) bool
		lost   int
	}{
		{"sealed segment cut short", func(fs *faultfs.FS, files map[string][]byte) {
			fs.Put(path(1), files[path(1)][:spool.HeaderSize])
		}, func(r spool.Recovery) bool { return r.MissingRecords == segs[1].Records }, int(segs[1].Records)},
		{"segment removed", func(fs *faultfs.FS, _ map[string][]byte) { fs.Remove(path(1)) },
			func(r spool.Recovery) bool { return r.MissingSegments == 1 && r.MissingRecords == segs[1].Records }, int(segs[1].Records)},
		{"one header copy", func(fs *faultfs.FS, files map[string][]byte) {
			clear(files[path(1)][:72])
			fs.Put(path(1), files[path(1)])
		}, func(r spool.Recovery) bool { return r.DamagedHeaders == 1 && r.MissingRecords == 0 }, 0},
		{"both header copies", func(fs *faultfs.FS, files map[string][]byte) {
			clear(files[path(1)][:spool.HeaderSize])
			fs.Put(path(1), files[path(1)])
		}, func(r spool.Recovery) bool { return r.DamagedHeaders == 1 && r.MissingRecords == 0 }, 0},
		{"all of a segment", func(fs *faultfs.FS, files map[string][]byte) {
			clear(files[path(1)])
			fs.Put(path(1), files[path(1)])
		}, func(r spool.Recovery) bool { return len(r.SetAside) == 1 && r.MissingRecords == segs[1].Records }, int(segs[1].Records)},
		{"another segment's content", func(fs *faultfs.FS, files map[string][]byte) { fs.Put(path(1), files[path(2)]) },
			func(r spool.Recovery) bool { return len(r.SetAside) == 1 && r.MissingRecords == segs[1].Records }, int(segs[1].Records)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			after := fs.Crash(nil)
			tc.damage(after, after.Files(dir))
			got, rec := readAll(t, after, small())
			if !tc.want(rec) || !rec.Damaged() || len(got) != 100-tc.lost {
				t.Errorf("%d records; %+v", len(got), rec)
			}
			if rec.NextSeq != 101 {
				t.Errorf("next sequence is %d", rec.NextSeq)
			}
		})
	}
}

func TestOnlySegmentUnreadable(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	fs.Put(spool.SegmentPath(dir, 7), slices.Repeat([]byte("not a segment "), 100))
	s, rec := mustOpen(t, fs, small())
	defer s.Close()
	if len(rec.SetAside) != 1 || s.Stats().ActiveSegment != 8 {
		t.Fatalf("%v, %+v", rec, s.Stats())
	}
	if seq, err := appendWait(s, []byte("x")); err != nil || seq != rec.NextSeq || seq < 1400/spool.FrameOverhead {
		t.Fatalf("sequence %d, %v: sequences of the lost segment may be given again", seq, err)
	}
}

func FuzzScan(f *testing.F) {
	img := newImage(f, 3<<10)
	f.Add(img.data[spool.HeaderSize:], uint64(0))
	f.Add(img.data[img.frames[2].start+1:], uint64(1))
	f.Add(make([]byte, 100), ^uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, seq uint64) {
		got, end := spool.Scan(data, img.seed, 0, seq)
		used := int64(0)
		for _, e := range got {
			if e.Seq <= seq || !strings.Contains(string(data), e.Payload) {
				t.Fatalf("sequence %d after %d, %d bytes", e.Seq, seq, len(e.Payload))
			}
			seq = e.Seq
			used += spool.FrameOverhead + int64(len(e.Payload))
		}
		if used > end || end > int64(len(data)) {
			t.Fatalf("%d bytes of frames in %d of %d", used, end, len(data))
		}
	})
}

// FuzzSegment is best run with -fuzzminimizetime=1x: the spool's goroutines make
// its coverage vary from run to run.
func FuzzSegment(f *testing.F) {
	img := newImage(f, 6<<10)
	f.Add(img.data)
	f.Add(img.data[:len(img.data)-100])
	f.Add(img.data[:spool.HeaderSize])
	f.Add(slices.Concat(img.data, make([]byte, 64)))
	f.Add(spool.AppendFrame(spool.AppendHeader(nil, 1, 1<<63, 0), spool.FrameSeed(0, 1), 1<<63, 0, []byte("x")))
	f.Add(spool.AppendFrame(spool.AppendHeader(nil, 1, ^uint64(0)-1, 0), spool.FrameSeed(0, 1), ^uint64(0)-1, 9, []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := faultfs.New()
		fs.Put(spool.SegmentPath(dir, 1), data)
		s, rec, err := spool.Open(fs, img.cfg, spool.Options{})
		if err != nil {
			return
		}
		s.Close()
		got := drain(t, s)
		if uint64(len(got)) != rec.Records {
			t.Fatalf("recovery counts %d records, the reader returns %d", rec.Records, len(got))
		}
		for i := 1; i < len(got); i++ {
			if got[i].Seq <= got[i-1].Seq {
				t.Fatalf("sequence %d after %d", got[i].Seq, got[i-1].Seq)
			}
		}
		again, rec2 := readAll(t, fs.Crash(nil), img.cfg)
		if !slices.Equal(again, got) || rec2.NextSeq != rec.NextSeq || rec2.TornBytes != 0 {
			t.Fatalf("a second start sees another spool: %v, then %v", rec, rec2)
		}
	})
}
