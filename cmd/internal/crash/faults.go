package crash

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// FaultKind is what is done to whom.
type FaultKind uint8

// Kinds of fault.
const (
	KillGateway FaultKind = iota
	KillAggregator
	KillBroker
	KillStore      // its sessions; the whole server where it is the run's own
	StopGateway    // SIGSTOP for a while
	StopAggregator // for longer than its group waits: it comes back as a zombie
	StopBroker
	BreakLine     // a proxy's wire, for a while
	MoveLeaders   // of all partitions
	RefuseRecords // the broker refuses some for good
	Doubt         // the broker takes some and says that it timed out
	Storm         // the broker stands still, and gateways die on full spools
	KillRedis
	StopRedis     // SIGSTOP for a while
	SlowRedis     // by its proxy, beyond every timeout
	ReadOnlyRedis // a replica of nobody
	FullRedis     // no memory left, nothing evicted
	JumpClock     // of a gateway or an aggregator, forward or back, and right again
	LoseStore     // nobody reaches it for Config.StoreAway
	CutCommits    // its connections end as a COMMIT passes
	NoQuorum      // brokers have not enough replicas for a write
	numFaults
)

var faultNames = [numFaults]string{
	"kill gateway", "kill aggregator", "kill broker", "kill store", "stop gateway", "stop aggregator", "stop broker",
	"break line", "move leaders", "refuse records", "doubt", "storm",
	"kill redis", "stop redis", "slow redis", "read-only redis", "full redis", "jump clock",
	"lose store", "cut commits", "no quorum",
}

// String returns the name that reports use.
func (k FaultKind) String() string {
	if k >= numFaults {
		return fmt.Sprintf("fault(%d)", uint8(k))
	}
	return faultNames[k]
}

// Fault is one entry of a schedule.
type Fault struct {
	At    time.Duration // since the start of the load
	Kind  FaultKind
	Draw  uint64        // decides which of several, and which wire
	Lasts time.Duration // until it is mended, or a process starts again
}

// Deck is how often each kind of fault comes in a run.
type Deck [numFaults]int

// Plan spreads a deck over a time, in an order and with durations that follow from
// the seed alone. zombie is how long a stopped aggregator stays away: until
// the group has given it up, and the other one has its partitions.
func Plan(seed uint64, deck Deck, lasts, zombie time.Duration) []Fault {
	rng := rand.New(rand.NewPCG(seed, 3))
	var plan []Fault
	for kind, n := range deck {
		// Draws of one kind follow each other, so that everybody has a turn.
		for first := range n {
			f := Fault{Kind: FaultKind(kind), Draw: rng.Uint64()<<8 | uint64(first)}
			switch f.Kind {
			case KillGateway, KillAggregator, KillBroker, KillStore:
				f.Lasts = between(rng, 50, 550)
			case StopAggregator:
				f.Lasts = zombie + between(rng, 0, 1000)
			case StopGateway, BreakLine:
				f.Lasts = between(rng, 200, 2500)
			case StopBroker:
				f.Lasts = between(rng, 1000, 3000)
			case Storm:
				f.Lasts = between(rng, 2500, 4000)
			case KillRedis, StopRedis, SlowRedis, ReadOnlyRedis, FullRedis:
				f.Lasts = between(rng, 800, 1800)
			case JumpClock:
				f.Lasts = between(rng, 1500, 3000)
			case CutCommits:
				f.Lasts = between(rng, 500, 1500)
			case NoQuorum:
				f.Lasts = between(rng, 2000, 4000)
			}
			plan = append(plan, f)
		}
	}
	rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	step := lasts / time.Duration(len(plan)+1)
	for i := range plan {
		plan[i].At = time.Duration(i+1)*step + time.Duration((rng.Float64()-0.5)*0.8*float64(step))
		if plan[i].Kind == LoseStore {
			plan[i].At = min(plan[i].At, lasts/2) // it takes long
		}
	}
	slices.SortStableFunc(plan, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return plan
}

func between(rng *rand.Rand, low, high int) time.Duration {
	return time.Duration(low+rng.IntN(high-low)) * time.Millisecond
}
