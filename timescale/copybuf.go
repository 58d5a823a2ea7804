package timescale

import (
	"encoding/binary"
	"math"
)

// copyBuf builds the binary form of COPY (PostgreSQL manual, "COPY", file
// formats) by hand: one pass, no boxing of values. Its methods append one field
// each, in column order.
type copyBuf struct{ b []byte }

const (
	copyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	// epoch2000 is PostgreSQL's zero time in Unix microseconds.
	epoch2000 = 946_684_800 * 1_000_000
)

func (c *copyBuf) start()           { c.b = append(c.b[:0], copyHeader...) }
func (c *copyBuf) end()             { c.b = binary.BigEndian.AppendUint16(c.b, math.MaxUint16) }
func (c *copyBuf) row(fields int)   { c.b = binary.BigEndian.AppendUint16(c.b, uint16(fields)) }
func (c *copyBuf) null()            { c.size(-1) }
func (c *copyBuf) size(n int)       { c.b = binary.BigEndian.AppendUint32(c.b, uint32(int32(n))) }
func (c *copyBuf) text(s string)    { c.size(len(s)); c.b = append(c.b, s...) }
func (c *copyBuf) bytes(v []byte)   { c.size(len(v)); c.b = append(c.b, v...) }
func (c *copyBuf) time(us int64)    { c.int8(us - epoch2000) }
func (c *copyBuf) float8(f float64) { c.int8(int64(math.Float64bits(f))) }

func (c *copyBuf) int8(v int64) {
	c.size(8)
	c.b = binary.BigEndian.AppendUint64(c.b, uint64(v))
}

func (c *copyBuf) int4(v int32) {
	c.size(4)
	c.b = binary.BigEndian.AppendUint32(c.b, uint32(v))
}

func (c *copyBuf) int2(v uint8) {
	c.size(2)
	c.b = append(c.b, 0, v)
}
