package scoring

import (
	"sync"

	"clickgate/scoring/entity"
	"clickgate/scoring/givt"

	"github.com/cespare/xxhash/v2"
	useragent "github.com/medama-io/go-useragent"
)

// spelled is what can be read off an agent's text alone, by given lists.
type spelled struct {
	match   givt.AgentMatch
	family  string // of the parser's own constants
	engine  engine
	version int // of Chromium
}

// agents remembers what was read off agents, because most clicks have one of a few
// hundred: browsers tell less and less of themselves, and reading one takes longer than
// comparing it. What it says is what reading says: the whole text is compared. It has
// room for 1,024 agents of up to 512 bytes, about 600 KiB, and an agent takes the place of
// another by its hash. It is safe for concurrent use and allocates nothing.
type agents struct {
	families *useragent.Parser
	seed     uint64 // so that nobody outside knows which agents displace each other
	slots    [agentSlots]agentSlot
}

const (
	agentSlots = 1 << 10
	agentBytes = 512
)

type agentSlot struct {
	mu    sync.Mutex
	lists *givt.Lists
	size  int
	text  [agentBytes]byte
	spelled
}

func newAgents(seed uint64) *agents { return &agents{families: useragent.NewParser(), seed: seed} }

// spell returns what an agent's text says by lists. Nobody waits for another: whoever
// finds a place in use reads the text.
func (a *agents) spell(lists *givt.Lists, agent string) spelled {
	s := &a.slots[entity.Mix(xxhash.Sum64String(agent)^a.seed)%agentSlots]
	if len(agent) > agentBytes || !s.mu.TryLock() {
		return a.read(lists, agent)
	}
	defer s.mu.Unlock()
	if s.lists != lists || string(s.text[:s.size]) != agent {
		s.lists, s.size = lists, copy(s.text[:], agent)
		s.spelled = a.read(lists, agent)
	}
	return s.spelled
}

func (a *agents) read(lists *givt.Lists, agent string) (s spelled) {
	s.match = lists.Agent(agent)
	s.engine, s.version = engineOf(agent)
	s.family = string(a.families.Parse(agent).Browser())
	return s
}

// forget lets go of what was read, and of the lists it was read by. A click that is under
// way may bring those back in its place.
func (a *agents) forget() {
	for i := range a.slots {
		s := &a.slots[i]
		s.mu.Lock()
		s.lists = nil
		s.mu.Unlock()
	}
}
