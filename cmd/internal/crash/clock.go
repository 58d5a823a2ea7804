package crash

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"clickgate/gateway/click"
)

// ClockEnv names a file that holds by how many seconds the wall clock of a process is
// wrong. Programs of the tests alone honour it; see testdata/overlay/app.go.txt.
const ClockEnv = "CLICKGATE_TEST_CLOCK"

// jumps are how wrong a clock gets, one after the other. Each is followed by the jump
// back to the right time.
var jumps = []time.Duration{time.Hour, -time.Hour, 5 * time.Hour, -4 * time.Minute}

// skewed is the number of the gateway, and of the aggregator, whose clock jumps.
const skewed = 1

// clockFile is where a skewed process finds its clock's error.
func (w *world) clockFile(name string) string { return w.path("clock-" + name) }

// jump sets the clock of a gateway or an aggregator wrong, for a while.
func (h *harms) jump(ctx context.Context, f *Fault) {
	if h.cfg.Skewed == "" && h.cfg.Mutated == "" {
		return
	}
	turn := int(f.Draw & 0xff)
	name, by := []string{"gateway", "aggregator"}[turn%2], jumps[turn/2%len(jumps)]
	h.clocks.Lock()
	defer h.clocks.Unlock()
	if err := setClock(h.clockFile(name), by); err != nil {
		h.progress("%s: %v", f.Kind, err)
		return
	}
	h.note(f, fmt.Sprintf("%s %d by %s", name, skewed+1, by))
	rest(ctx, f.Lasts)
	if err := setClock(h.clockFile(name), 0); err != nil {
		h.progress("%s: %v", f.Kind, err)
	}
}

// setClock replaces the file in one step, for those who read it meanwhile.
func setClock(file string, by time.Duration) error {
	if err := os.WriteFile(file+".tmp", []byte(strconv.FormatInt(int64(by/time.Second), 10)), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// future is how far ahead of its gateway's clock an item is malformed.
const future = 5 * time.Minute

// ahead reports whether a dead letter says of itself that its gateway's clock was
// behind: only then may a sound item be one.
func ahead(code string, item click.ID, receivedAt int64) bool {
	return code == futureTime && item.Time() > receivedAt+future.Microseconds()
}

// futureTime is the code of items from the future (docs/api.md).
const futureTime = "future_time"
