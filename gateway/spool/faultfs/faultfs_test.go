package faultfs_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

const name = "/d/f"

func create(t *testing.T, fs *faultfs.FS) spool.File {
	t.Helper()
	if err := fs.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, f spool.File, s string) {
	t.Helper()
	if n, err := f.Write([]byte(s)); err != nil || n != len(s) {
		t.Fatal(n, err)
	}
}

func expect(t *testing.T, what string, fs *faultfs.FS, want string, there bool) {
	t.Helper()
	got, ok := fs.Files("/d")[name]
	if ok != there || string(got) != want {
		t.Errorf("%s: %q, %v, want %q, %v", what, got, ok, want, there)
	}
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	f := create(t, fs)
	write(t, f, "one")
	f.Sync()
	expect(t, "folder not synced", fs.Crash(nil), "", false)
	expect(t, "killed", fs.Kill(), "one", true)
	fs.SyncDir("/d")
	write(t, f, "two")
	expect(t, "tail not synced", fs.Crash(nil), "one", true)
	expect(t, "killed, then crashed", fs.Kill().Crash(nil), "one", true)
	f.Sync()
	f.Truncate(2)
	expect(t, "truncation not synced", fs.Crash(nil), "onetwo", true)
	f.Sync()
	expect(t, "truncation synced", fs.Crash(nil), "on", true)
	fs.Rename(name, "/d/g")
	expect(t, "rename not synced", fs.Crash(nil), "on", true)
	fs.SyncDir("/d")
	expect(t, "rename synced", fs.Crash(nil), "", false)
}

func TestFailedSyncLosesThePages(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	f := create(t, fs)
	fs.SyncDir("/d")
	write(t, f, "lost")
	fs.Fail(faultfs.Sync, 0, 1, syscall.EIO)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	write(t, f, "kept")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	expect(t, "page cache", fs, "lostkept", true)
	expect(t, "disk", fs.Crash(nil), "\x00\x00\x00\x00kept", true)
}

func TestFullDiskAndFaults(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	f := create(t, fs)
	fs.SetSize(10)
	write(t, f, "12345678")
	if n, err := f.Write([]byte("9012")); n != 2 || !errors.Is(err, syscall.ENOSPC) || fs.Used() != 10 {
		t.Fatal(n, err, fs.Used())
	}
	f.Truncate(4)
	fs.Fail(faultfs.Write, 1, 1, syscall.EIO)
	write(t, f, "ab")
	if n, err := f.Write([]byte("cdef")); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Fatal(n, err)
	}
	write(t, f, "gh")
	expect(t, "content", fs, "1234abcdgh", true)
	if err := fs.Remove(name); err != nil || fs.Used() != 0 {
		t.Fatal(err, fs.Used())
	}
}

// TestTornCrash: synced bytes are never touched, and all kinds of tails occur.
func TestTornCrash(t *testing.T) {
	t.Parallel()
	fs := faultfs.New()
	f := create(t, fs)
	fs.SyncDir("/d")
	base, tail := bytes.Repeat([]byte("s"), 700), bytes.Repeat([]byte("u"), 3000)
	write(t, f, string(base))
	f.Sync()
	write(t, f, string(tail))
	rng := rand.New(rand.NewPCG(1, 2))
	prefixes, holes := 0, 0
	for range 200 {
		got := fs.Crash(rng).Files("/d")[name]
		if !bytes.HasPrefix(got, base) || len(got) > 3700 {
			t.Fatal("synced bytes were touched")
		}
		if bytes.Equal(got, append(base[:700:700], tail[:len(got)-700]...)) {
			prefixes++
		} else {
			holes++
		}
	}
	if prefixes < 20 || holes < 20 {
		t.Fatalf("%d prefixes, %d with holes", prefixes, holes)
	}
}
