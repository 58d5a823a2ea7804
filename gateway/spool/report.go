package spool

import (
	"fmt"
	"strings"
)

// Recovery says what Open found and did. A clean start has zeros in all fields
// but Segments, Records, Bytes and NextSeq.
type Recovery struct {
	Segments int    // segments that stay
	Records  uint64 // in them, and in the last group, which moves to a new one
	Bytes    int64  // their size on disk
	NextSeq  uint64 // sequence of the next record

	// TornBytes at the end of the last segment were dropped: writes whose fsync had
	// not returned. None was acknowledged, unless the disk lied or was damaged.
	TornBytes int64
	// FailedBytes are what failed groups left; never acknowledged, ignored.
	FailedBytes int64
	// Removed files held no record: empty segments and those that never took over.
	Removed int

	// The rest is damage. Acknowledged records may be lost, unless only headers
	// are damaged.
	MissingRecords  uint64   // sequences that should be there and are not
	SkippedBytes    int64    // bytes between good records
	MissingSegments int      // borders at which at least one whole segment is missing
	DamagedHeaders  int      // segments read with a copy of the header or a neighbour's salt
	SetAside        []string // unreadable segments, renamed, for a human
}

// Damaged reports whether anything was found that no crash leaves behind.
func (r Recovery) Damaged() bool {
	return r.MissingRecords > 0 || r.SkippedBytes > 0 || r.MissingSegments > 0 || r.DamagedHeaders > 0 || len(r.SetAside) > 0
}

func (r Recovery) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records in %d segments (%d bytes), next sequence %d", r.Records, r.Segments, r.Bytes, r.NextSeq)
	part := func(n uint64, what string) {
		if n > 0 {
			fmt.Fprintf(&b, "; %d %s", n, what)
		}
	}
	part(uint64(r.TornBytes), "torn bytes dropped")
	part(uint64(r.FailedBytes), "bytes of failed groups ignored")
	part(uint64(r.Removed), "empty segments removed")
	part(r.MissingRecords, "RECORDS MISSING")
	part(uint64(r.SkippedBytes), "DAMAGED BYTES SKIPPED")
	part(uint64(r.MissingSegments), "GAPS OF WHOLE SEGMENTS")
	part(uint64(r.DamagedHeaders), "DAMAGED HEADERS")
	if len(r.SetAside) > 0 {
		fmt.Fprintf(&b, "; UNREADABLE, SET ASIDE: %s", strings.Join(r.SetAside, ", "))
	}
	return b.String()
}
