package spool

import "errors"

// State says whether the spool takes records.
type State string

const (
	StateOK     State = "ok"
	StateFull   State = "full"   // the disk has no space; the quota alone does not lead here
	StateFailed State = "failed" // the disk refuses writes or syncs
	StateClosed State = "closed"
)

// Stats is a snapshot. Counters start at zero with each Open.
type Stats struct {
	State          State
	Bytes          int64 // on disk, headers and segments being removed included
	MaxBytes       int64 // the quota
	Segments       int   // readable ones, the one being written included
	OldestSegment  uint64
	ActiveSegment  uint64 // 0 if the disk refuses writes
	PendingRecords int    // queued or being written
	PendingBytes   int64  // upper bound of their frames
	MaxPending     int    // bound of PendingRecords
	MaxPendingSize int64  // bound of PendingBytes
	DurableSeq     uint64 // highest sequence behind an fsync, 0 if none

	Records       uint64 // committed
	Groups        uint64 // commits
	FailedGroups  uint64
	FailedRecords uint64 // in failed groups: gaps in the sequence
	LostRecords   uint64 // missing from what readers came past: damage
	LostBytes     int64
}

// counters are the parts of Stats that are kept, under Spool.mu.
type counters struct {
	durableSeq                  uint64
	records, groups             uint64
	failedGroups, failedRecords uint64
	lostRecords                 uint64
	lostBytes                   int64
}

// Stats returns a consistent snapshot.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		State: s.state(), Bytes: s.bytes, MaxBytes: s.cfg.MaxBytes, Segments: len(s.segs),
		PendingRecords: s.pendingRecords, PendingBytes: s.pendingBytes, DurableSeq: s.stats.durableSeq,
		MaxPending: s.cfg.MaxPendingRecords, MaxPendingSize: int64(s.cfg.MaxPendingBytes),
		Records: s.stats.records, Groups: s.stats.groups,
		FailedGroups: s.stats.failedGroups, FailedRecords: s.stats.failedRecords,
		LostRecords: s.stats.lostRecords, LostBytes: s.stats.lostBytes,
	}
	if n := len(s.segs); n > 0 {
		st.OldestSegment = s.segs[0].id
		if last := s.segs[n-1]; !last.sealed {
			st.ActiveSegment = last.id
		}
	}
	return st
}

func (s *Spool) state() State {
	switch {
	case s.refuse == nil:
		return StateOK
	case errors.Is(s.refuse, ErrClosed):
		return StateClosed
	case errors.Is(s.refuse, ErrFull):
		return StateFull
	}
	return StateFailed
}
