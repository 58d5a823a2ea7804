package spool_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

// TestCrashAtEveryOperation cuts the power before each operation of a run and
// checks the acknowledgements given until then.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, torn := range []bool{false, true} {
		t.Run(fmt.Sprintf("torn=%v", torn), func(t *testing.T) {
			t.Parallel()
			fs, l := faultfs.New(), newLedger(3)
			rng := rand.New(rand.NewPCG(11, 12))
			crashes, checked := 0, 0
			fs.Observe(func(op faultfs.Op, _ string) {
				if op == faultfs.Read || op == faultfs.Open {
					return // changes nothing
				}
				acked := l.snapshot()
				var after *faultfs.FS
				if torn {
					after = fs.Crash(rng)
				} else {
					after = fs.Crash(nil)
				}
				if ok, _ := after.ReadDir(dir); len(ok) == 0 {
					return
				}
				got, rec := readAll(t, after, small())
				if v := l.check(acked, got); v != (verdict{}) {
					t.Errorf("crash %d before %s: %+v", crashes, op, v)
				}
				if rec.Damaged() {
					t.Errorf("crash %d before %s reported as damage: %v", crashes, op, rec)
				}
				crashes++
				checked += len(acked)
			})
			s, _ := mustOpen(t, fs, small())
			for range 550 {
				if err := l.append(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if crashes < 200 || len(l.acked) != 550 || l.twice != 0 {
				t.Fatalf("only %d crashes, %d acked, %d answered twice", crashes, len(l.acked), l.twice)
			}
			t.Logf("%d crashes, %d acknowledgements checked", crashes, checked)
		})
	}
}

// lives runs a spool through many lives with faults and crashes, on file
// systems seen through wrap, and returns all that was wrong.
func lives(t *testing.T, seed uint64, wrap func(*faultfs.FS) spool.FS) (sum verdict, l *ledger) {
	rng := rand.New(rand.NewPCG(seed, 99))
	fs := faultfs.New()
	l = newLedger(seed)
	synctest.Test(t, func(t *testing.T) {
		for range 12 {
			fs.Heal()
			s, rec := mustOpen(t, wrap(fs), small())
			if rec.Damaged() {
				sum.alarms++
			}
			live(t, fs, s, l, rng)
			acked := l.snapshot() // before the crash: later acknowledgements are not in its file system
			var after *faultfs.FS
			switch rng.IntN(4) {
			case 0:
				after = fs.Crash(nil)
			case 1:
				after = fs.Kill()
			default:
				after = fs.Crash(rng)
			}
			fs.Heal()
			s.Close()
			got, _ := readAll(t, wrap(after.Crash(nil)), small())
			v := l.check(acked, got)
			sum.lost += v.lost
			sum.changed += v.changed
			sum.phantom += v.phantom
			sum.disorder += v.disorder
			fs = after
			l.mu.Lock() // a crashed life's late answers do not count, nor is a loss counted again
			l.acked = map[uint64]string{}
			for _, e := range got {
				l.acked[e.Seq] = e.Payload
			}
			l.mu.Unlock()
		}
	})
	return sum, l
}

// live is one life: appends, now and then a fault, a rotation, a pause.
func live(t *testing.T, fs *faultfs.FS, s *spool.Spool, l *ledger, rng *rand.Rand) {
	for range 160 {
		switch rng.IntN(80) {
		case 0:
			fs.Fail(faultfs.Sync, rng.IntN(3), 1, syscall.EIO)
		case 1:
			fs.Fail(faultfs.Write, rng.IntN(3), 1+rng.IntN(3), syscall.EIO)
		case 2:
			fs.Fail(faultfs.Write, rng.IntN(3), 1, syscall.ENOSPC)
		case 3:
			fs.Fail(faultfs.SyncDir, 0, 1, syscall.EIO)
		case 4:
			fs.Fail(faultfs.Create, 0, 1+rng.IntN(2), syscall.EMFILE)
		case 5:
			fs.Fail(faultfs.Truncate, 0, 1, syscall.EIO)
		case 6:
			_ = s.Rotate() // may meet a fault
		case 7, 8, 9, 15, 16, 17, 18, 19:
			_ = s.Recover()
		case 10, 11:
			synctest.Wait()
		case 12:
			fs.Fail(faultfs.Remove, 0, 1, syscall.EIO)
		case 13:
			fs.Fail(faultfs.Rename, 0, 1, syscall.EIO)
		case 14:
			_ = l.release(s, rng) // may meet a fault
		}
		_ = l.append(s) // refused while the disk is down; accepted ones get an answer
	}
	if rng.IntN(2) == 0 {
		synctest.Wait()
	}
}

func TestNothingAckedIsLost(t *testing.T) {
	t.Parallel()
	acked, failed := 0, 0
	for seed := range uint64(25) {
		v, l := lives(t, seed, func(fs *faultfs.FS) spool.FS { return fs })
		if v != (verdict{}) {
			t.Errorf("seed %d: %+v", seed, v)
		}
		if l.waiting != 0 || l.twice != 0 {
			t.Errorf("seed %d: %d records never answered, %d answered twice", seed, l.waiting, l.twice)
		}
		acked += l.total
		failed += l.failed
	}
	if acked < 10_000 || failed < 500 {
		t.Fatalf("only %d acknowledged and %d failed: the test did not test", acked, failed)
	}
	t.Logf("%d acknowledged, %d failed", acked, failed)
}

// seeded is a file system with a seeded mistake in how files are synced.
type seeded struct {
	spool.FS
	sync func(spool.File) error
}

type seededFile struct {
	spool.File
	sync func(spool.File) error
}

func (f seededFile) Sync() error { return f.sync(f.File) }

func (m seeded) Create(name string) (spool.File, error) {
	f, err := m.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return seededFile{f, m.sync}, nil
}

// seededDir never syncs folders.
type seededDir struct{ spool.FS }

func (seededDir) SyncDir(string) error { return nil }

// TestSeededMistakes: the checker that finds nothing in the spool finds each of
// these.
func TestSeededMistakes(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(*faultfs.FS) spool.FS{
		"acknowledged before the sync": func(fs *faultfs.FS) spool.FS {
			return seeded{fs, func(spool.File) error { return nil }}
		},
		"failed sync tried again and believed": func(fs *faultfs.FS) spool.FS {
			return seeded{fs, func(f spool.File) error {
				if f.Sync() == nil {
					return nil
				}
				return f.Sync()
			}}
		},
		"failed sync ignored": func(fs *faultfs.FS) spool.FS {
			return seeded{fs, func(f spool.File) error { _ = f.Sync(); return nil }}
		},
		"folder not synced": func(fs *faultfs.FS) spool.FS { return seededDir{fs} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				if v, _ := lives(t, seed, wrap); v.lost > 0 {
					return
				}
			}
			t.Fatal("not caught")
		})
	}
}
