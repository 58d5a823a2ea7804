package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
)

// # Segment format, version 1
//
// All numbers are little-endian; all checksums are CRC-32C (Castagnoli,
// RFC 3720). A segment is the file <id, 20 digits>.seg: the header twice, then
// frames without padding. The file is only ever appended to, by the process
// that created it; the next process starts a new one.
//
//	header copy, 72 bytes
//	  0  8  magic "CGSPOOL\n"
//	  8  4  version
//	 12  4  checksum of bytes 0..12      the same in all versions
//	 16  8  segment id, > 0
//	 24  8  sequence of the first record, > 0
//	 32  8  salt of the folder
//	 40  8  previous: id of the last segment before that holds records, or 0
//	 48  8  previous: its length in bytes at its last successful fsync
//	 56  8  previous: the last sequence in it
//	 64  4  checksum of bytes 0..64
//	 68  4  zero
//
//	frame, 19 bytes + payload
//	  0  4  checksum of (salt, segment id, bytes 4 to the end)
//	  4  4  payload length
//	  8  8  sequence
//	 16  1  type: 1 data, 2 void (a sequence without a record)
//	 17  2  index of the frame in its group
//	 19  n  payload
//
// Why so:
//   - The salt is random and the checksum starts from salt and segment id, so
//     that neither a frame of another segment, nor an old disk block, nor bytes
//     that a sender smuggled into a payload can pass for a frame of this one.
//   - Sequences in a segment are dense, so a reader that lost its place knows
//     which sequences can come next, and how many records are missing.
//   - A group is written and synced as a whole, and only after the group before.
//     So a frame with an index proves that all sequences before its group were
//     durable: a hole there is damage, while a hole in the very last group is
//     what a crash leaves.
//   - "previous" says where the segment before truly ended. What a failed group
//     left behind that point is ignored, and a lost end is noticed. A segment
//     between "previous" and this one never had an acknowledged record.
//   - Two copies of the header, because without the salt nothing can be read.
const (
	formatVersion = 1
	headerCopy    = 72
	// HeaderSize is the length of the segment header in bytes.
	HeaderSize = 2 * headerCopy
	// FrameOverhead is what a frame adds to its payload, in bytes.
	FrameOverhead = 19
	// MaxPayload is the largest payload the format allows, in bytes.
	MaxPayload = 16 << 20
	// MaxGroup is the largest number of frames in a group.
	MaxGroup = 1 << 16

	typeData = 1
	typeVoid = 2

	segmentSuffix = ".seg"
	damagedSuffix = ".damaged"
	lockName      = "spool.lock"
	probeName     = "spool.probe"
	nextName      = "spool.next" // a segment before it has its name
)

var (
	magic      = [8]byte{'C', 'G', 'S', 'P', 'O', 'O', 'L', '\n'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// chain is the "previous" of a header.
type chain struct {
	segment uint64
	length  int64
	lastSeq uint64
}

type header struct {
	segment  uint64
	firstSeq uint64
	salt     uint64
	prev     chain
}

// append adds both copies to dst.
func (h header) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, magic[:]...)
	dst = le.AppendUint32(dst, formatVersion)
	dst = le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	dst = le.AppendUint64(dst, h.segment)
	dst = le.AppendUint64(dst, h.firstSeq)
	dst = le.AppendUint64(dst, h.salt)
	dst = le.AppendUint64(dst, h.prev.segment)
	dst = le.AppendUint64(dst, uint64(h.prev.length))
	dst = le.AppendUint64(dst, h.prev.lastSeq)
	dst = le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	dst = le.AppendUint32(dst, 0)
	return append(dst, dst[start:]...)
}

// parseHeader reads the first sound copy in b. ok is false if there is none;
// the error is ErrVersion alone.
func parseHeader(b []byte) (h header, ok bool, err error) {
	for i := 0; i < 2 && len(b) >= headerCopy; i, b = i+1, b[headerCopy:] {
		if h, ok, err = parseHeaderCopy(b[:headerCopy]); ok || err != nil {
			return h, ok, err
		}
	}
	return header{}, false, nil
}

func parseHeaderCopy(b []byte) (header, bool, error) {
	if [8]byte(b) != magic || le.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return header{}, false, nil
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return header{}, false, fmt.Errorf("%w %d, this program knows %d: run the version of clickgate that wrote it until it is drained",
			ErrVersion, v, formatVersion)
	}
	if le.Uint32(b[64:]) != crc32.Checksum(b[:64], castagnoli) {
		return header{}, false, nil
	}
	h := header{
		segment:  le.Uint64(b[16:]),
		firstSeq: le.Uint64(b[24:]),
		salt:     le.Uint64(b[32:]),
		prev:     chain{le.Uint64(b[40:]), int64(le.Uint64(b[48:])), le.Uint64(b[56:])},
	}
	sane := h.segment > 0 && h.firstSeq > h.prev.lastSeq && h.segment > h.prev.segment && h.prev.length >= 0
	return h, sane, nil
}

// frameSeed is where the checksum of a segment's frames starts.
func frameSeed(salt, segment uint64) uint32 {
	var b [16]byte
	le.PutUint64(b[:], salt)
	le.PutUint64(b[8:], segment)
	return crc32.Checksum(b[:], castagnoli)
}

// sealFrame fills in the first FrameOverhead bytes of b, whose rest is the payload.
func sealFrame(b []byte, seed uint32, seq uint64, typ byte, index int) {
	le.PutUint32(b[4:], uint32(len(b)-FrameOverhead))
	le.PutUint64(b[8:], seq)
	b[16] = typ
	le.PutUint16(b[17:], uint16(index))
	le.PutUint32(b, crc32.Update(seed, castagnoli, b[4:]))
}

// frame is one parsed frame; payload points into the scanner's window, index
// is its place in its group.
type frame struct {
	seq     uint64
	typ     byte
	index   uint16
	payload []byte
}

// frameHead reads what can be judged before the payload is at hand.
func frameHead(b []byte) (size int64, seq uint64, ok bool) {
	n, typ := le.Uint32(b[4:]), b[16]
	ok = (typ == typeData || typ == typeVoid && n == 0) && n <= MaxPayload
	return FrameOverhead + int64(n), le.Uint64(b[8:]), ok
}

// openFrame checks a whole frame whose head was found plausible.
func openFrame(b []byte, seed uint32) (frame, bool) {
	if le.Uint32(b) != crc32.Update(seed, castagnoli, b[4:]) {
		return frame{}, false
	}
	return frame{seq: le.Uint64(b[8:]), typ: b[16], index: le.Uint16(b[17:]), payload: b[FrameOverhead:]}, true
}

func segmentPath(dir string, id uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", id, segmentSuffix))
}

// segmentID reads the id from a file name; ok is false for other files.
func segmentID(name string) (id uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentSuffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && id > 0
}
