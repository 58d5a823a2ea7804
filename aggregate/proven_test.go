package aggregate

import (
	"testing"

	"clickgate/gateway/click"
)

// TestProven: a boot is proven through the lowest mark of all partitions of both
// topics, and not at all while one of them has none.
func TestProven(t *testing.T) {
	t.Parallel()
	in := func(p Partition, m click.Mark) StoredMark {
		m.ClickPartitions, m.DeadLetterPartitions = 2, 2
		return StoredMark{p, m}
	}
	full := func(boot uint64, c0, c1, d0, d1 uint64) (marks []StoredMark) {
		for i, number := range []uint64{c0, c1, d0, d1} {
			m := newMark(number, 10*number)
			m.Boot = boot
			p := clicksPartition(int32(i))
			if i > 1 {
				p = lettersPartition(int32(i - 2))
			}
			marks = append(marks, in(p, m))
		}
		return marks
	}
	anew := func(marks []StoredMark) []StoredMark { // the clicks topic was made again
		for i := range marks {
			if marks[i].Partition.Topic == clicksPartition(0).Topic {
				marks[i].Partition.TopicID = [16]byte{3}
			}
		}
		return marks
	}
	join := func(lists ...[]StoredMark) (all []StoredMark) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	for name, c := range map[string]struct {
		marks []StoredMark
		want  map[uint64]uint64 // boot to number
	}{
		"no marks":                       {nil, nil},
		"all at one":                     {full(7, 4, 4, 4, 4), map[uint64]uint64{7: 4}},
		"a clicks partition behind":      {full(7, 9, 4, 9, 9), map[uint64]uint64{7: 4}},
		"a dead-letter partition behind": {full(7, 9, 8, 9, 3), map[uint64]uint64{7: 3}},
		"a clicks partition unseen":      {full(7, 9, 9, 9, 9)[1:], nil},
		"a dead-letter partition unseen": {full(7, 9, 9, 9, 9)[:3], nil},
		"one topic only":                 {full(7, 9, 9, 9, 9)[:2], nil},
		"two boots":                      {join(full(7, 5, 6, 7, 8), full(8, 2, 1, 1, 2)), map[uint64]uint64{7: 5, 8: 1}},
		"two boots, one in part":         {join(full(7, 5, 6, 7, 8), full(8, 2, 1, 1, 2)[:3]), map[uint64]uint64{7: 5}},
		"made again, all seen":           {join(full(7, 5, 5, 9, 9), anew(full(7, 8, 7, 9, 9))[:2]), map[uint64]uint64{7: 7}},
		"made again, one unseen":         {join(full(7, 5, 5, 9, 9), anew(full(7, 8, 7, 9, 9))[:1]), nil},
		"made again, marks older":        {join(full(7, 5, 5, 9, 9), anew(full(7, 1, 1, 9, 9))[:2]), map[uint64]uint64{7: 5}},
	} {
		got := Proven(c.marks)
		if len(got) != len(c.want) {
			t.Errorf("%s: proven %v, want %v", name, got, c.want)
			continue
		}
		for boot, number := range c.want {
			if m := got[BootID{"eu/g1", boot}]; m.Number != number || m.ThroughSeq != 10*number {
				t.Errorf("%s: boot %d is proven by mark %d through %d, want %d", name, boot, m.Number, m.ThroughSeq, number)
			}
		}
	}
}

// TestProvenGateways: boots of different gateways have equal numbers.
func TestProvenGateways(t *testing.T) {
	t.Parallel()
	other := newMark(3, 30)
	other.Gateway = "us/g1"
	got := Proven([]StoredMark{
		{clicksPartition(0), newMark(2, 20)},
		{lettersPartition(0), newMark(2, 20)},
		{clicksPartition(0), other},
		{lettersPartition(0), other},
	})
	if len(got) != 2 || got[BootID{"eu/g1", 7}].Number != 2 || got[BootID{"us/g1", 7}].Number != 3 {
		t.Errorf("proven %v", got)
	}
}
