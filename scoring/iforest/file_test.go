package iforest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
)

func smallModel(extension int) *Model {
	return must(Train(normalRows(60, 3, 2), Config{
		Trees: 3, Sample: 16, Seed: 1, Extension: extension, Names: []string{"a", "bb", "ccc"}, CreatedBy: "tests", VectorVersion: 1,
	}))
}

// reseal gives changed bytes a right checksum, as a faulty writer would.
func reseal(file []byte) []byte {
	body := file[:len(file)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	for _, extension := range []int{0, 1} {
		file := smallModel(extension).Bytes()
		for i := range file {
			for _, bit := range []byte{1, 0x80} {
				broken := bytes.Clone(file)
				broken[i] ^= bit
				if _, err := Open(broken); !hasOffset(err, len(file)) {
					t.Fatalf("byte %d changed: error %v", i, err)
				}
			}
		}
		for n := range file {
			if _, err := Open(file[:n]); !hasOffset(err, len(file)) {
				t.Fatalf("cut off at %d: error %v", n, err)
			}
		}
		if _, err := Open(append(bytes.Clone(file), 0)); !hasOffset(err, len(file)+1) {
			t.Errorf("a byte too many: error %v", err)
		}
	}
}

func hasOffset(err error, size int) bool {
	var f *FormatError
	return errors.As(err, &f) && f.Offset >= 0 && f.Offset <= int64(size)
}

// TestSeededMistakes: every check of Open and Verify can fail, at the place it names.
func TestSeededMistakes(t *testing.T) {
	t.Parallel()
	const texts = 1 + 5 + 1 + 1 + 1 + 2 + 1 + 3
	const nodes, sizes = headerSize + texts, headerSize + texts + 3*16*4
	const slanted = sizes + 3*16*2
	le := binary.LittleEndian
	put := func(at int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[at:], v) } }
	root := le.Uint32(smallModel(0).Bytes()[nodes+4:])
	for name, c := range map[string]struct {
		extension int
		change    func(b []byte)
		offset    int64
		want      string
	}{
		"magic":              {0, put(0, 0), 0, "is no model"},
		"version":            {0, put(8, 2), 8, "format version 2"},
		"features":           {0, put(12, 1<<20), 12, "at most 1024"},
		"no features":        {0, put(12, 0), 12, "no features"},
		"no trees":           {0, put(16, 0), 16, "no trees"},
		"trees":              {0, put(16, 1<<30), 16, "at most 4096"},
		"sample":             {0, put(20, 1), 20, "1 rows per tree"},
		"sample of few rows": {0, put(32, 5), 20, "16 rows per tree of 5 rows"},
		"rows":               {0, put(36, 5), 32, "rows"},
		"extension":          {0, put(24, 3), 24, "extension level 3 of 3"},
		"cuts":               {0, put(48, 9), 48, "9 slanted cuts at extension level 0"},
		"texts":              {0, put(52, 1<<31), 52, "bytes of texts"},
		"fewer texts":        {0, put(52, texts-1), sizesEnd(t, 0) - 1, "header asks for"},
		"long text":          {0, func(b []byte) { b[headerSize] = 200 }, headerSize, "text 0 of 4"},
		"short text":         {0, func(b []byte) { b[headerSize] = 0; b[headerSize+1] = 0 }, 0, "text"},
		"not UTF-8":          {0, func(b []byte) { b[headerSize+2] = 0xff }, headerSize, "text 0 is not UTF-8"},
		"column":             {0, put(nodes+4, root|15), nodes + 4, "column 15 of 3"},
		"stray node":         {0, put(nodes, 1<<10), nodes + 4, "that no path leads to"},
		"leaf rows":          {0, func(b []byte) { b[sizes+15*2]++ }, nodes + 4, "tree 0 has"},
		"large leaf":         {0, func(b []byte) { b[sizes+15*2+1] = 1 }, 0, "the sample has 16"},
		"useless cut":        {0, put(nodes+4, root&15|16), nodes + 8, "sends nothing to one side"},
		"slanted cut":        {1, put(nodes+4, 999), nodes + 4, "slanted cut 999 of"},
		"slanted column":     {1, put(slanted, 3), nodes + 4, "column 3 of 3"},
		"slanted weight":     {1, put(slanted+8, 0), nodes + 4, "weight 0"},
		"slanted origin":     {1, put(slanted+4, math.Float32bits(float32(math.Inf(1)))), nodes + 4, "origin +Inf"},
		"column twice":       {1, func(b []byte) { copy(b[slanted:slanted+4], b[slanted+12:]) }, nodes + 4, "after"},
		"cut twice":          {1, put(nodes+4, 2), nodes + 4, "slanted cut 2, the next unused one is 1"},
	} {
		file := smallModel(c.extension).Bytes()
		c.change(file)
		m, err := Open(reseal(file))
		if err == nil {
			err = m.Verify()
		}
		var f *FormatError
		if !errors.As(err, &f) || !strings.Contains(f.Problem, c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		} else if c.offset != 0 && f.Offset != c.offset {
			t.Errorf("%s: offset %d, want %d: %v", name, f.Offset, c.offset, err)
		}
	}
}

func sizesEnd(t *testing.T, extension int) int64 {
	t.Helper()
	return int64(len(smallModel(extension).Bytes()))
}

func TestVerifySeesChangedMemory(t *testing.T) {
	t.Parallel()
	m := smallModel(0)
	m.nodes[1]++
	if err := m.Verify(); err == nil || !strings.Contains(err.Error(), "not the one that was opened") {
		t.Errorf("error %v", err)
	}
}

// FuzzOpen: whatever Open takes can be scored, explained, verified, and written
// as the same bytes.
func FuzzOpen(f *testing.F) {
	for _, extension := range []int{0, 1, 2} {
		file := smallModel(extension).Bytes()
		f.Add(file)
		f.Add(file[:len(file)/2])
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) >= sha256.Size {
			check(t, reseal(file))
		}
		check(t, file)
	})
}

func check(t *testing.T, file []byte) {
	m, err := Open(file)
	if err != nil {
		if !hasOffset(err, len(file)) {
			t.Fatalf("no offset in %v", err)
		}
		return
	}
	if !bytes.Equal(m.Bytes(), file) {
		t.Fatal("written again, the file is another")
	}
	if err := m.Verify(); err != nil && !hasOffset(err, len(file)) {
		t.Fatalf("no offset in %v", err)
	}
	dst := make([]Length, m.Features())
	for _, x := range odd(m.Features()) {
		if s := m.Score(x); !(s > 0 && s <= 1) {
			t.Fatalf("score %v", s)
		}
		sum := Length(0)
		expected := m.Contributions(dst, x)
		for _, d := range dst {
			sum += d
		}
		if sum != expected-m.PathLength(x) {
			t.Fatal("contributions do not sum up")
		}
	}
}

func TestHolder(t *testing.T) {
	t.Parallel()
	h := NewHolder(3, 1)
	if h.Load() != nil {
		t.Fatal("a new holder has a model")
	}
	a, b := smallModel(0), smallModel(1)
	if before, err := h.Swap(a); before != nil || err != nil || h.Load() != a {
		t.Fatalf("%v, %v", before, err)
	}
	for _, refusing := range []*Holder{NewHolder(2, 1), NewHolder(3, 2)} {
		if _, err := refusing.Swap(a); err == nil || !strings.Contains(err.Error(), "train it on those") || refusing.Load() != nil {
			t.Errorf("a model of other vectors: error %v", err)
		}
	}
	x := []float32{1, 2, 3}
	want := map[uint64]float64{a.Hash(): a.Score(x), b.Hash(): b.Score(x)}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if m := h.Load(); m.Score(x) != want[m.Hash()] {
					t.Error("a score and a hash of two models")
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 500 {
			must(h.Swap([]*Model{a, b}[i%2]))
		}
	})
	wg.Wait()
	if before, err := h.Swap(nil); before != b || err != nil || h.Load() != nil {
		t.Errorf("taking the model away: %v, %v", before, err)
	}
}
