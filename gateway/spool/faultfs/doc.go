// Package faultfs is a file system in memory that knows what a power cut would
// leave. It implements spool.FS for tests: [FS.Crash] returns what was synced,
// faults make chosen operations fail, and a size makes the disk full.
//
// It is stricter than ext4 where POSIX is: a new file whose folder was not
// synced is gone after a crash, even if its own content was synced. And it
// does what Linux does after a failed fsync: the pages count as clean, later
// syncs succeed, and the bytes are never durable.
package faultfs
