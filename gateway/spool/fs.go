package spool

import "io"

// FS is all that the spool asks of a file system. It is small so that a test
// version can lose what was not synced and refuse syncs (package faultfs).
// Errors must answer errors.Is for fs.ErrNotExist, syscall.ENOSPC and, from
// Lock, ErrLocked. All methods may be called at the same time.
type FS interface {
	// MkdirAll creates dir and its missing parents, durably.
	MkdirAll(dir string) error
	// Create makes a new empty file for appending; an existing one is an error.
	// The name is durable only after SyncDir.
	Create(name string) (File, error)
	// OpenAppend opens an existing file for appending.
	OpenAppend(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (ReadFile, error)
	// ReadDir returns the names of the files in dir, sorted.
	ReadDir(dir string) ([]string, error)
	Remove(name string) error
	// Rename replaces newName atomically; durable only after SyncDir.
	Rename(oldName, newName string) error
	// SyncDir makes created, renamed and removed names of dir durable.
	SyncDir(dir string) error
	// Lock takes name for this process until the result is closed or the
	// process ends, or returns ErrLocked at once.
	Lock(name string) (io.Closer, error)
}

// File is a file being appended to, by one goroutine at a time.
type File interface {
	io.Writer
	// Sync returns nil only if all written bytes and the length are durable.
	Sync() error
	Truncate(size int64) error
	Close() error
}

// ReadFile is a file being read, possibly while it grows.
type ReadFile interface {
	io.ReaderAt
	Size() (int64, error)
	Close() error
}
