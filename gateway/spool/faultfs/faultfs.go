package faultfs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"clickgate/gateway/spool"
)

// Op names a kind of operation, for faults and observers.
type Op string

const (
	Create   Op = "create"
	Open     Op = "open" // for reading or appending
	Read     Op = "read"
	Write    Op = "write"
	Sync     Op = "sync"
	SyncDir  Op = "syncdir"
	Truncate Op = "truncate"
	Remove   Op = "remove"
	Rename   Op = "rename"
)

// FS is the file system. All methods may be called from any goroutine.
type FS struct {
	mu      sync.Mutex
	live    map[string]*inode // names as the program sees them
	durable map[string]*inode // names after a crash
	pending []dirOp           // changes of names since the last SyncDir of their folder
	dirs    map[string]bool
	locks   map[string]bool
	faults  []fault
	used    int64
	size    int64 // of the disk; negative means endless
	observe func(Op, string)
}

type inode struct {
	data  []byte // as the program sees it
	disk  []byte // as a crash leaves it
	dirty int    // data and disk agree below this offset, or the bytes were lost by a failed sync
	cut   bool   // data was truncated below len(disk) since the last sync
}

type dirOp struct {
	op       Op // Create, Remove, Rename
	name, to string
	node     *inode
}

type fault struct {
	op          Op
	skip, count int
	err         error
}

var _ spool.FS = (*FS)(nil)

// New returns an empty file system on an endless disk.
func New() *FS {
	return &FS{
		live: map[string]*inode{}, durable: map[string]*inode{},
		dirs: map[string]bool{}, locks: map[string]bool{}, size: -1,
	}
}

// Fail lets skip operations of kind op pass and makes the next count fail with
// err; a negative count means all of them until Heal. A failing write has
// written half of its bytes.
func (f *FS) Fail(op Op, skip, count int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, fault{op, skip, count, err})
}

// Heal removes all faults.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// SetSize sets the size of the disk in bytes of content; negative is endless.
// A write beyond it writes what fits and returns ENOSPC.
func (f *FS) SetSize(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = n
}

// Used returns the bytes of content on the disk.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used
}

// Observe calls fn before every operation, outside of all locks: it may block,
// to hold the operation, and may call Crash. nil ends it.
func (f *FS) Observe(fn func(op Op, name string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observe = fn
}

// begin runs the observer, then locks f and returns the fault that is due.
func (f *FS) begin(op Op, name string) error {
	f.mu.Lock()
	if fn := f.observe; fn != nil {
		f.mu.Unlock()
		fn(op, name)
		f.mu.Lock()
	}
	for i := range f.faults {
		ft := &f.faults[i]
		switch {
		case ft.op != op || ft.count == 0:
		case ft.skip > 0:
			ft.skip--
		default:
			ft.count--
			return &fs.PathError{Op: string(op), Path: name, Err: ft.err}
		}
	}
	return nil
}

// MkdirAll is durable at once.
func (f *FS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := path.Clean(dir); !f.dirs[d]; d = path.Dir(d) {
		f.dirs[d] = true
	}
	return nil
}

// Create implements spool.FS.
func (f *FS) Create(name string) (spool.File, error) {
	err := f.begin(Create, name)
	defer f.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case !f.dirs[path.Dir(name)]:
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	case f.live[name] != nil:
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	n := &inode{}
	f.live[name] = n
	f.pending = append(f.pending, dirOp{op: Create, name: name, node: n})
	return &file{f, name, n}, nil
}

func (f *FS) open(name string) (*file, error) {
	err := f.begin(Open, name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n := f.live[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{f, name, n}, nil
}

// OpenAppend implements spool.FS.
func (f *FS) OpenAppend(name string) (spool.File, error) {
	h, err := f.open(name)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Open implements spool.FS.
func (f *FS) Open(name string) (spool.ReadFile, error) {
	h, err := f.open(name)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// ReadDir implements spool.FS.
func (f *FS) ReadDir(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirs[path.Clean(dir)] {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	for name := range f.live {
		if path.Dir(name) == path.Clean(dir) {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove implements spool.FS.
func (f *FS) Remove(name string) error {
	err := f.begin(Remove, name)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	n := f.live[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(f.live, name)
	f.used -= int64(len(n.data))
	f.pending = append(f.pending, dirOp{op: Remove, name: name})
	return nil
}

// Rename implements spool.FS.
func (f *FS) Rename(oldName, newName string) error {
	err := f.begin(Rename, oldName)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	n := f.live[oldName]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: oldName, Err: fs.ErrNotExist}
	}
	if over := f.live[newName]; over != nil {
		f.used -= int64(len(over.data))
	}
	delete(f.live, oldName)
	f.live[newName] = n
	f.pending = append(f.pending, dirOp{op: Rename, name: oldName, to: newName, node: n})
	return nil
}

// SyncDir implements spool.FS.
func (f *FS) SyncDir(dir string) error {
	err := f.begin(SyncDir, dir)
	defer f.mu.Unlock()
	if err != nil {
		return err
	}
	var rest []dirOp
	for _, op := range f.pending {
		if path.Dir(op.name) == path.Clean(dir) {
			op.apply(f.durable)
		} else {
			rest = append(rest, op)
		}
	}
	f.pending = rest
	return nil
}

func (op dirOp) apply(names map[string]*inode) {
	if op.op != Create {
		delete(names, op.name)
	}
	switch op.op {
	case Create:
		names[op.name] = op.node
	case Rename:
		names[op.to] = op.node
	}
}

// Lock holds until closed. A crashed copy has no locks.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, spool.ErrLocked)
	}
	f.locks[name] = true
	return unlock(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.locks, name)
	}), nil
}

type unlock func()

func (u unlock) Close() error { u(); return nil }

// Files returns the content of every file under dir as the program sees it.
func (f *FS) Files(dir string) map[string][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string][]byte{}
	for name, n := range f.live {
		if strings.HasPrefix(name, path.Clean(dir)+"/") {
			out[name] = slices.Clone(n.data)
		}
	}
	return out
}

// Put sets a file's content, durably, to build damaged folders.
func (f *FS) Put(name string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := path.Dir(name); !f.dirs[d]; d = path.Dir(d) {
		f.dirs[d] = true
	}
	if old := f.live[name]; old != nil {
		f.used -= int64(len(old.data))
	}
	n := &inode{data: slices.Clone(data), disk: slices.Clone(data), dirty: len(data)}
	f.used += int64(len(data))
	f.live[name], f.durable[name] = n, n
}

// file is an open handle; it works on after Remove.
type file struct {
	fs   *FS
	name string
	node *inode
}

func (h *file) Write(b []byte) (int, error) {
	err := h.fs.begin(Write, h.name)
	defer h.fs.mu.Unlock()
	n := len(b)
	if err != nil {
		n /= 2
	}
	if room := h.fs.size - h.fs.used; h.fs.size >= 0 && int64(n) > room {
		n = int(max(0, room))
		err = &fs.PathError{Op: "write", Path: h.name, Err: syscall.ENOSPC}
	}
	h.node.data = append(h.node.data, b[:n]...)
	h.fs.used += int64(n)
	return n, err
}

// Sync on failure drops the dirty bytes for good, as Linux does.
func (h *file) Sync() error {
	err := h.fs.begin(Sync, h.name)
	defer h.fs.mu.Unlock()
	n := h.node
	if err == nil {
		if n.cut {
			n.disk = n.disk[:min(len(n.disk), n.dirty)]
			n.cut = false
		}
		if gap := n.dirty - len(n.disk); gap > 0 {
			n.disk = append(n.disk, make([]byte, gap)...)
		}
		n.disk = append(n.disk[:n.dirty], n.data[n.dirty:]...)
	}
	n.dirty = len(n.data)
	return err
}

func (h *file) Truncate(size int64) error {
	err := h.fs.begin(Truncate, h.name)
	defer h.fs.mu.Unlock()
	if err != nil {
		return err
	}
	n := h.node
	if grow := int(size) - len(n.data); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
		h.fs.used += int64(grow)
		return nil
	}
	h.fs.used -= int64(len(n.data)) - size
	n.data = n.data[:size]
	if int(size) < n.dirty {
		n.dirty, n.cut = int(size), true
	}
	return nil
}

func (h *file) ReadAt(b []byte, off int64) (int, error) {
	err := h.fs.begin(Read, h.name)
	defer h.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return int64(len(h.node.data)), nil
}

func (h *file) Close() error { return nil }
