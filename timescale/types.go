package timescale

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// micros is a timestamptz as Unix microseconds.
type micros int64

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (m *micros) ScanTimestamptz(v pgtype.Timestamptz) error {
	*m = micros(v.Time.UnixMicro())
	return nil
}

// TimestamptzValue implements pgtype.TimestamptzValuer.
func (m micros) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: time.UnixMicro(int64(m)), Valid: true}, nil
}

// bits64 is a uint64 that stands bit for bit in a bigint.
type bits64 uint64

// ScanInt64 implements pgtype.Int64Scanner.
func (b *bits64) ScanInt64(v pgtype.Int8) error {
	*b = bits64(v.Int64)
	return nil
}

// bits32 is a uint32 that stands bit for bit in an integer.
type bits32 uint32

// ScanInt64 implements pgtype.Int64Scanner.
func (b *bits32) ScanInt64(v pgtype.Int8) error {
	*b = bits32(v.Int64)
	return nil
}

// optional is a uuid column that may be NULL, which reads as zero.
type optional [16]byte

// ScanUUID implements pgtype.UUIDScanner.
func (o *optional) ScanUUID(v pgtype.UUID) error {
	*o = v.Bytes
	return nil
}
