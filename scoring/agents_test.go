package scoring

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"clickgate/scoring/givt"
)

// twoLists returns lists that differ in what they say of agents with Kite.
func twoLists(t *testing.T) (before, after *givt.Lists) {
	t.Helper()
	text := []byte("tool\t-\tKite/\tx\n")
	v, err := givt.ReadFolder(fstest.MapFS{
		"kite": {Data: text},
		"lists.yaml": {Data: []byte(fmt.Sprintf("lists: [{file: kite, kind: agents, sha256: %x, activates_at: %s}]",
			sha256.Sum256(text), time.UnixMicro(start).UTC().Format(time.RFC3339)))},
	})
	if err != nil {
		t.Fatal(err)
	}
	line, err := v.Timeline()
	if err != nil {
		t.Fatal(err)
	}
	return line.At(start - 1), line.At(start)
}

// agentNumber is one of many agents, more than are remembered; some are too long for it.
func agentNumber(n int) string {
	switch system := fmt.Sprintf("(Windows NT 10.0; build %d)", n); n % 6 {
	case 0:
		return "Mozilla/5.0 " + system + " Gecko/20100101 Firefox/140.0"
	case 1:
		return "Kite/" + system
	case 2:
		return "Mozilla/5.0 " + system + strings.Repeat(" x", agentBytes/2) + " Chrome/142.0.0.0 Safari/537.36"
	case 3:
		return strings.Repeat("-", n%3)
	default:
		return fmt.Sprintf("Mozilla/5.0 %s AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", system, 100+n%50)
	}
}

// Whatever was asked before, by which lists, and by how many at once: an agent is read as
// if nothing was remembered.
func TestAgentsAreWhatReadingSays(t *testing.T) {
	t.Parallel()
	a := newAgents(7)
	first, second := twoLists(t)
	if first == second {
		t.Fatal("the lists do not differ")
	}
	const different = 3 * agentSlots
	var want [2][]spelled
	for i, lists := range []*givt.Lists{first, second} {
		for n := range different {
			want[i] = append(want[i], a.read(lists, agentNumber(n)))
		}
	}
	if want[0][1] == want[1][1] || want[0][4] == want[0][0] {
		t.Fatal("the agents do not differ")
	}
	var all sync.WaitGroup
	var wrong atomic.Int64
	for worker := range 4 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 20_000 {
				n, i := rng.IntN(different), rng.IntN(2)
				if rng.IntN(2) == 0 {
					n %= 64 // those that most have
				}
				if got := a.spell([]*givt.Lists{first, second}[i], agentNumber(n)); got != want[i][n] {
					wrong.Add(1)
				}
				if rng.IntN(5000) == 0 {
					a.forget()
				}
			}
		})
	}
	all.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of 80000 agents were read as another, or by other lists", n)
	}
}

// An agent is read once, and by other lists once more.
func TestAgentsAreRemembered(t *testing.T) {
	t.Parallel()
	a := newAgents(7)
	first, second := twoLists(t)
	agent := agentNumber(4)
	at := func() *agentSlot {
		for i := range a.slots {
			if a.slots[i].lists != nil {
				return &a.slots[i]
			}
		}
		return nil
	}
	a.spell(first, agent)
	slot := at()
	if slot == nil || string(slot.text[:slot.size]) != agent {
		t.Fatal("nothing is remembered")
	}
	slot.family = "seen"
	if got := a.spell(first, agent).family; got != "seen" {
		t.Errorf("family %q: it was read again", got)
	}
	if got := a.spell(second, agent).family; got == "seen" {
		t.Error("what other lists said counts")
	}
	if a.forget(); at() != nil {
		t.Error("lists are held that nobody uses")
	}
}
