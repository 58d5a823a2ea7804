package rawlog

import (
	"bufio"
	"bytes"
	"crypto/sha1" // RFC 9562 fixes it for UUIDv5; nothing is secured by it
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"

	"clickgate/gateway/click"
)

// namespace is the UUID that all ids of log lines are derived in:
// 7d3f6c1a-52b8-4e0d-9c47-a16be05f2d93. It must never change.
var namespace = [16]byte{0x7d, 0x3f, 0x6c, 0x1a, 0x52, 0xb8, 0x4e, 0x0d, 0x9c, 0x47, 0xa1, 0x6b, 0xe0, 0x5f, 0x2d, 0x93}

// EventID names the event of a record: by the edge's own request id if the log
// holds one (RequestEventID), else by its place (LineEventID).
func EventID(tenant, source, batch string, rec *Record) click.ID {
	if rec.RequestID != "" {
		return RequestEventID(tenant, source, rec)
	}
	return LineEventID(tenant, source, batch, rec.Offset)
}

// RequestEventID is the UUIDv5 (RFC 9562, section 5.5) of tenant, source, edge
// request id, whole second of the edge time, host and URI. Edge request ids alone
// are not unique; whole seconds make two time formats of one request agree. So a
// line is the same event however often and in whatever batch it comes.
func RequestEventID(tenant, source string, rec *Record) click.ID {
	n := newName('r', tenant, source)
	n = addText(n, rec.RequestID)
	n = binary.BigEndian.AppendUint64(n, uint64(IDTime(rec.Time)))
	n = addText(n, rec.Host)
	n = addText(n, rec.Path)
	n = addText(n, rec.RawQuery)
	return uuid5(n)
}

// LineEventID is the UUIDv5 of tenant, source, batch id and the line's offset in
// the decompressed batch. For files the batch id is their Fingerprint, for pushes
// the sender's id of the batch.
func LineEventID(tenant, source, batch string, offset int64) click.ID {
	n := newName('l', tenant, source)
	n = addText(n, batch)
	n = binary.BigEndian.AppendUint64(n, uint64(offset))
	return uuid5(n)
}

// IDTime returns the time that belongs to an id of this package: the whole
// second of the edge time, in Unix microseconds.
func IDTime(eventTime int64) int64 { return eventTime - eventTime%1e6 }

// newName begins a name. Every text has its length before it, so that no two
// lists of texts give one name.
func newName(kind byte, tenant, source string) []byte {
	n := append(make([]byte, 0, 1024), namespace[:]...)
	n = append(n, kind)
	n = addText(n, tenant)
	return addText(n, source)
}

func addText(n []byte, s string) []byte {
	n = binary.BigEndian.AppendUint32(n, uint32(len(s)))
	return append(n, s...)
}

func uuid5(name []byte) (id click.ID) {
	sum := sha1.Sum(name)
	copy(id[:], sum[:])
	id[6] = id[6]&0x0F | 5<<4
	id[8] = id[8]&0x3F | 2<<6
	return id
}

// fingerprintBytes is how much of a file tells it from others.
const fingerprintBytes = 1 << 10

// Fingerprint names a log file by its content: the SHA-256, in hexadecimal, of
// the first KiB behind the # lines at its beginning. r is the plain stream (see
// Decompress), so that a file keeps its name when it is packed, moved or grows
// beyond its first KiB. A file that is shorter has another name when it grew.
func Fingerprint(r io.Reader) (string, error) {
	b := bufio.NewReaderSize(r, 4<<10)
	if mark, _ := b.Peek(3); string(mark) == "\xEF\xBB\xBF" {
		_, _ = b.Discard(len(mark))
	}
	for {
		if head, _ := b.Peek(1); !bytes.HasPrefix(head, []byte{'#'}) {
			break
		}
		if err := skipLine(b); err != nil {
			return "", err
		}
	}
	hash := sha256.New()
	if _, err := io.CopyN(hash, b, fingerprintBytes); err != nil && !ended(err) {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func skipLine(b *bufio.Reader) error {
	for {
		_, err := b.ReadSlice('\n')
		switch {
		case err == nil || ended(err):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
