package spool

import "bytes"

// What the tests need of the format; they live outside the package because
// faultfs imports it.

type Scanned struct {
	Seq     uint64
	Payload string
}

// Scan reads the frames of a segment image from start on.
func Scan(image []byte, seed uint32, start int64, seq uint64) (out []Scanned, end int64) {
	sc := newScanner(bytes.NewReader(image), seed, start, int64(len(image)), seq, false)
	for {
		f, err := sc.next()
		if err != nil {
			return out, sc.end
		}
		out = append(out, Scanned{f.seq, string(f.payload)})
	}
}

func AppendFrame(dst []byte, seed uint32, seq uint64, index int, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, FrameOverhead)...)
	dst = append(dst, payload...)
	sealFrame(dst[start:], seed, seq, typeData, index)
	return dst
}

func AppendHeader(dst []byte, segment, firstSeq, salt uint64) []byte {
	return header{segment: segment, firstSeq: firstSeq, salt: salt}.append(dst)
}

func SaltOf(image []byte) uint64 {
	h, _, _ := parseHeader(image)
	return h.salt
}

var (
	FrameSeed   = frameSeed
	SegmentPath = segmentPath
)
