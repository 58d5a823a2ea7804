package aggregate

import (
	"testing"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// TestOldCounts: of several marks the greatest counts, of hours that were over,
// in key order.
func TestOldCounts(t *testing.T) {
	t.Parallel()
	n := func(tenant, source string, hours int64, received, shed, unrecorded uint64) click.SourceCount {
		return click.SourceCount{
			TenantID: tenant, SourceID: source, Hour: testTime + hours*hour,
			Received: received, Shed: shed, Unrecorded: unrecorded,
		}
	}
	mark := func(boot uint64, at int64, counts ...click.SourceCount) click.Mark {
		m := newMark(1, 1)
		m.Boot, m.At, m.Counts = boot, at, counts
		return m
	}
	got := OldCounts([]click.Mark{
		mark(8, testTime, n("a", "s", 0, 9, 9, 9), n("a", "s", -1, 4, 0, 0)),
		mark(7, testTime+hour-1, n("b", "s", -1, 5, 1, 7), n("a", "t", -2, 1, 1, 1), n("a", "s", 0, 8, 8, 8)),
		mark(7, testTime+hour, n("b", "s", -1, 6, 0, 7), n("a", "s", 0, 10, 0, 0), n("a", "s", 1, 3, 3, 3)),
	})
	want := []BootCount{
		{"eu/g1", 7, n("a", "s", 0, 10, 0, 0)},
		{"eu/g1", 7, n("a", "t", -2, 1, 1, 1)},
		{"eu/g1", 7, n("b", "s", -1, 6, 1, 7)},
		{"eu/g1", 8, n("a", "s", -1, 4, 0, 0)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("old counts (-want +got):\n%s", diff)
	}
	if got := OldCounts(nil); len(got) != 0 {
		t.Errorf("no marks give %v", got)
	}
}
