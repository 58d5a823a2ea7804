package iforest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// The model file, little-endian throughout:
//
//	 0  8  "CGIFORST"
//	 8  4  version of the format
//	12  4  features
//	16  4  trees
//	20  4  rows per tree
//	24  4  extension level
//	28  4  vector version
//	32  8  rows trained from
//	40  8  seed
//	48  4  slanted cuts
//	52  4  bytes of texts
//	56     texts: CreatedBy, then the names of features; each a length byte and UTF-8
//	       nodes: 4 bytes each, trees << height
//	       leaf sizes: 2 bytes each, trees << height
//	       slanted cuts: 12 bytes a term, column, origin and weight (float32)
//	       SHA-256 of everything before
const (
	magic      = "CGIFORST"
	version    = 1
	headerSize = 56
)

// FormatError says what is wrong with a model file, and where.
type FormatError struct {
	Offset  int64 // bytes from the file's start
	Problem string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("model file, offset %d: %s", e.Offset, e.Problem)
}

func wrong(offset int, format string, args ...any) error {
	return &FormatError{Offset: int64(offset), Problem: fmt.Sprintf(format, args...)}
}

// Bytes returns the model as a file. Equal models have equal bytes.
func (m *Model) Bytes() []byte { return append(m.forest().appendBody(nil), m.hash[:]...) }

func (f *forest) appendBody(b []byte) []byte {
	le := binary.LittleEndian
	texts := f.texts()
	b = append(b, magic...)
	for _, n := range []uint32{
		version, uint32(len(f.Names)), uint32(f.Trees), uint32(f.Sample), uint32(f.Extension), f.VectorVersion,
	} {
		b = le.AppendUint32(b, n)
	}
	b = le.AppendUint64(b, uint64(f.Rows))
	b = le.AppendUint64(b, f.Seed)
	b = le.AppendUint32(b, uint32(f.splits()))
	b = le.AppendUint32(b, uint32(len(texts)))
	b = append(b, texts...)
	for _, n := range f.nodes {
		b = le.AppendUint32(b, n)
	}
	for _, n := range f.sizes {
		b = le.AppendUint16(b, n)
	}
	for _, t := range f.cuts {
		b = le.AppendUint32(b, t.column)
		b = le.AppendUint32(b, math.Float32bits(t.origin))
		b = le.AppendUint32(b, math.Float32bits(t.weight))
	}
	return b
}

func (f *forest) texts() (b []byte) {
	for i := -1; i < len(f.Names); i++ {
		text := f.CreatedBy
		if i >= 0 {
			text = f.Names[i]
		}
		b = append(append(b, byte(len(text))), text...)
	}
	return b
}

// splits is the number of slanted cuts.
func (f *forest) splits() int {
	if f.Extension == 0 {
		return 0
	}
	return len(f.cuts) / f.terms()
}

// nodeOffset is where a node stands in the file.
func (f *forest) nodeOffset(node int) int64 { return int64(headerSize + len(f.texts()) + 4*node) }

// Open reads a model file. It checks the checksum and everything that scoring
// relies on, so that no file makes Score panic or run on; Verify checks what else
// a trained forest is. The model keeps nothing of file. Errors are *FormatError.
func Open(file []byte) (*Model, error) {
	r := &reader{rest: file, size: len(file)}
	f, err := r.header()
	if err != nil {
		return nil, err
	}
	splits, texts, err := r.sizes(f)
	if err != nil {
		return nil, err
	}
	body := len(file) - sha256.Size
	if sum := sha256.Sum256(file[:body]); !bytes.Equal(sum[:], file[body:]) {
		return nil, wrong(body, "the checksum is that of another content; the file is damaged, copy it again")
	}
	if err := r.texts(f, texts); err != nil {
		return nil, err
	}
	f.nodes = r.uint32s(f.Trees << f.height)
	f.sizes = r.uint16s(f.Trees << f.height)
	f.cuts = r.cuts(splits * f.terms())
	return f.model()
}

// reader reads what sizes has found to be there.
type reader struct {
	rest []byte
	size int
}

func (r *reader) offset() int { return r.size - len(r.rest) }

func (r *reader) take(n int) []byte {
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }

// header reads all fields but the last two.
func (r *reader) header() (*forest, error) {
	if r.size < headerSize+sha256.Size {
		return nil, wrong(r.size, "ends here; a model has %d bytes at least", headerSize+sha256.Size)
	}
	if string(r.take(8)) != magic {
		return nil, wrong(0, "is no model of clickgate; make one with `clickgate train`")
	}
	if v := r.uint32(); v != version {
		return nil, wrong(8, "format version %d, this program reads %d; train again, or use the program that wrote it", v, version)
	}
	var n [5]uint32
	for i, most := range []uint32{MaxFeatures, MaxTrees, MaxSample, MaxFeatures, math.MaxUint32} {
		if n[i] = r.uint32(); n[i] > most {
			return nil, wrong(r.offset()-4, "%d, at most %d is possible", n[i], most)
		}
	}
	f := &forest{Info: Info{
		Trees: int(n[1]), Sample: int(n[2]), Extension: int(n[3]), VectorVersion: n[4],
		Names: make([]string, n[0]),
	}}
	rows := binary.LittleEndian.Uint64(r.take(8))
	f.Seed = binary.LittleEndian.Uint64(r.take(8))
	f.Rows = int(min(rows, math.MaxInt32))
	switch {
	case n[0] < 1:
		return nil, wrong(12, "no features")
	case f.Trees < 1:
		return nil, wrong(16, "no trees")
	case f.Sample < 2 || rows < uint64(n[2]):
		return nil, wrong(20, "%d rows per tree of %d rows", f.Sample, rows)
	case rows > math.MaxInt32:
		return nil, wrong(32, "%d rows", rows)
	case n[3] >= n[0]:
		return nil, wrong(24, "extension level %d of %d features", n[3], n[0])
	}
	f.height = height(f.Sample)
	return f, nil
}

// sizes reads the last two fields of the header and holds them against the file's
// length, before anything is made room for.
func (r *reader) sizes(f *forest) (splits, texts int, err error) {
	splits, texts = int(r.uint32()), int(r.uint32())
	if most := f.Trees << f.height; f.Extension == 0 && splits != 0 || splits >= most {
		return 0, 0, wrong(48, "%d slanted cuts at extension level %d, fewer than %d are possible", splits, f.Extension, most)
	}
	if texts > (len(f.Names)+1)*(1+maxText) {
		return 0, 0, wrong(52, "%d bytes of texts", texts)
	}
	want := headerSize + texts + (f.Trees<<f.height)*(4+2) + splits*f.terms()*12 + sha256.Size
	if r.size != want {
		return 0, 0, wrong(min(r.size, want), "the file has %d bytes, its header asks for %d; it is cut off or damaged, copy it again", r.size, want)
	}
	return splits, texts, nil
}

func (r *reader) texts(f *forest, size int) error {
	end := r.offset() + size
	for i := -1; i < len(f.Names); i++ {
		at := r.offset()
		if at >= end || at+1+int(r.rest[0]) > end {
			return wrong(at, "text %d of %d does not end where texts end", i+1, len(f.Names)+1)
		}
		text := string(r.take(1 + int(r.rest[0]))[1:])
		if !utf8.ValidString(text) {
			return wrong(at, "text %d is not UTF-8", i+1)
		}
		if i < 0 {
			f.CreatedBy = text
		} else {
			f.Names[i] = text
		}
	}
	if r.offset() != end {
		return wrong(r.offset(), "%d bytes behind the last text", end-r.offset())
	}
	return nil
}

func (r *reader) uint32s(n int) []uint32 {
	b, out := r.take(4*n), make([]uint32, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return out
}

func (r *reader) uint16s(n int) []uint16 {
	b, out := r.take(2*n), make([]uint16, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return out
}

func (r *reader) cuts(n int) cuts {
	out := make(cuts, n)
	for i := range out {
		out[i] = term{r.uint32(), math.Float32frombits(r.uint32()), math.Float32frombits(r.uint32())}
	}
	return out
}
