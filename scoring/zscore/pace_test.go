package zscore

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever baselines come, what is believed is never above them, follows them down at
// once, and never rises faster than the pace allows: one event a minute in each eight
// minutes, or a 64th a minute, and the headroom.
func TestPaceBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p pace
		minute := uint32(1000)
		lowest := [4]uint64{}
		for i := range rapid.IntRange(2, 80).Draw(t, "baselines") {
			step := rapid.Uint32Range(0, 5).Draw(t, "step")
			minute += step
			b := usual{baseline: baseline{rapid.Uint64Range(0, 400).Draw(t, "median2"), rapid.Uint64Range(0, 400).Draw(t, "mad4")}}
			b.q1 = rapid.Uint64Range(0, 200).Draw(t, "q1")
			b.q3 = b.q1 + rapid.Uint64Range(0, 200).Draw(t, "IQR")
			got := p.bound(b, minute)
			raw, believed := values(&b), values(&got)
			if got.q1 > got.q3 {
				t.Fatalf("%+v is believed as %+v, its quartiles out of order", b, got)
			}
			if i == 0 {
				if got != b {
					t.Fatalf("the first, %+v, is believed as %+v", b, got)
				}
				for i := range lowest {
					lowest[i] = raw[i] * fine
				}
				continue
			}
			for i, unit := range [4]uint64{2, 4, 1, 1} {
				for range step {
					lowest[i] += max(lowest[i]/64, unit*fine/leveling)
				}
				if believed[i] > raw[i] || believed[i] > lowest[i]/fine+unit*headroom {
					t.Fatalf("%+v is believed as %+v, faster than to %v", b, got, lowest)
				}
				lowest[i] = min(lowest[i], raw[i]*fine)
			}
		}
	})
}

func values(u *usual) [4]uint64 { return [4]uint64{u.median2, u.mad4, u.q1, u.q3} }

// A thousand entities of an attacker that click twenty times a minute each, beside a
// hundred people who click once: within ten minutes the peers' median is at most what
// the pace allows, and a flood of fifty is still seen for what it is; once the attack
// ends, the median is the people's again.
func TestPeersResistPoisoning(t *testing.T) {
	t.Parallel()
	table, err := NewTable(Config{Entries: 8192, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	const first = 29_000_000
	minute := func(m, entities, each int, from uint64) {
		for i := range entities {
			for j := range each {
				table.Observe(from+uint64(i), int64(first+m)*minuteMicros+int64(j)*1_000_000)
			}
		}
	}
	for m := range 10 {
		minute(m, 100, 1, 1_000)
	}
	if median, _, ok := table.Peers(); !ok || median != 1 {
		t.Fatalf("people have median %v", median)
	}
	worst := 0.0
	for m := 10; m < 20; m++ {
		minute(m, 100, 1, 1_000)
		minute(m, 1_000, 20, 10_000)
		median, _, _ := table.Peers()
		worst = max(worst, median)
	}
	if worst > 1+headroom+2 || worst < 2 {
		t.Errorf("the attack makes %v the peers' median", worst)
	}
	z := 0.0
	for j := range 50 {
		z = table.Observe(7, int64(first+19)*minuteMicros+int64(j)*1_000_000).ZPeers
	}
	if z < 12 {
		t.Errorf("a flood of fifty has z %v", z)
	}
	for m := 20; m < 26; m++ {
		minute(m, 100, 1, 1_000)
	}
	if median, mad, _ := table.Peers(); median != 1 || mad != 0 {
		t.Errorf("after the attack median %v, MAD %v", median, mad)
	}
}
