package spool_test

import (
	"math/rand/v2"
	"testing"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
)

// Boot numbers rise even when the clock goes back and the machine crashes right
// after the call.
func TestNextBootRises(t *testing.T) {
	t.Parallel()
	fsys := faultfs.New()
	if err := fsys.MkdirAll("spool"); err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	for i, now := range []int64{1000, 2000, 500, 500, 2001, 1 << 60, 3} {
		boot, err := spool.NextBoot(fsys, "spool", now)
		if err != nil {
			t.Fatal(err)
		}
		if boot <= last || boot < uint64(now) {
			t.Errorf("start %d at %d: boot %d after %d", i, now, boot, last)
		}
		last = boot
		fsys = fsys.Crash(rand.New(rand.NewPCG(1, uint64(i))))
	}
}

func TestNextBootRefusesGarbage(t *testing.T) {
	t.Parallel()
	fsys := faultfs.New()
	if err := fsys.MkdirAll("spool"); err != nil {
		t.Fatal(err)
	}
	fsys.Put("spool/gateway-boot", []byte("tomorrow\n"))
	if boot, err := spool.NextBoot(fsys, "spool", 5); err == nil {
		t.Errorf("got boot %d from garbage", boot)
	}
}
