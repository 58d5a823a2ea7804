package spool

import (
	"errors"
	"fmt"
	"syscall"
)

// Errors of the spool. Returned errors wrap one of them: compare with errors.Is.
var (
	// ErrFull: the quota or the disk is exhausted. Appends are taken again by
	// themselves as soon as segments are released or the disk has space.
	ErrFull = errors.New("spool is full")
	// ErrBusy: MaxPendingRecords or MaxPendingBytes wait for the disk already.
	ErrBusy = errors.New("spool has too many records waiting for the disk")
	// ErrTooLarge: the record is over MaxRecordBytes, or a Suffix over MaxSuffix.
	ErrTooLarge = errors.New("record is too large for the spool")
	// ErrFailed: the disk refuses writes or syncs. The spool keeps trying.
	ErrFailed = errors.New("spool cannot write")
	// ErrClosed: the spool or the Reader was closed.
	ErrClosed = errors.New("spool is closed")
	// ErrLocked: another process holds the folder.
	ErrLocked = errors.New("spool folder is in use")
	// ErrVersion: a segment was written in another format version.
	ErrVersion = errors.New("spool segment has an unknown format version")
)

// diskError classifies what a write, sync or create returned: no space is
// ErrFull (it heals by itself), all else is ErrFailed.
func diskError(dir, what string, err error) error {
	kind, remedy := ErrFailed, "check the volume and the kernel log; writing is tried again by itself"
	if isNoSpace(err) {
		kind, remedy = ErrFull, "free space on the volume or lower the quota; writing resumes by itself"
	}
	return fmt.Errorf("spool %s: %s: %w: %w (%s)", dir, what, kind, err, remedy)
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
