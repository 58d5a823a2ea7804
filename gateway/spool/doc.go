// Package spool is the gateway's disk spool: an append-only log of opaque
// records whose fsync allows a click to be acknowledged when Kafka did not
// take it, and always in standalone mode.
//
// One writer goroutine commits in groups without linger: it takes all that is
// pending, writes once, syncs once, then reports. While a sync is under way
// the next group gathers, so a slow disk makes bigger groups and not a longer
// queue.
//
// # Promises
//
//   - Done(seq, nil) is called only after the fsync that covers the record, and
//     such a record is returned by every later [Reader] until its segment is
//     released. A Reader never returns a record that is not yet synced.
//   - Sequences increase by one from record to record, over restarts too. Only
//     a failed group leaves a gap: its sequences are never given again while
//     the process lives, and Done reports them as 0, so nobody outside knows one.
//   - Nothing of a failed group is acknowledged. Its records do not come back
//     once a later segment exists; if the process dies before that, they may.
//     The same holds for records that were in flight when the process died.
//   - A segment that was released may come back after a crash. Whoever reads
//     the spool must tolerate a record seen twice.
//   - Damage never becomes a record and never goes unreported: [Recovery] and
//     [Stats] count it in records where the format allows, else in bytes.
//
// # Failed writes
//
// After a failed write or fsync the state of the file is unknown: the kernel
// may have thrown the pages away and report success the next time. The spool
// never syncs that file again to believe it. The group fails, the segment ends
// at its last good length, and a fresh segment takes over after a probe file
// has proved that the disk takes a whole group again. Until it does, Append
// answers ErrFull or ErrFailed at once, and the probe is repeated at a bounded
// pace.
package spool
