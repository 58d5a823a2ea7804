package crash

import (
	"io"
	"os/exec"
	"time"
)

// Names of environment variables that mutated programs alone honour.
const (
	MistakeEnv  = "CLICKGATE_TEST_MISTAKE"  // the seeded mistake
	PowerCutEnv = "CLICKGATE_TEST_POWERCUT" // spool files lose what was not synced
)

// Config describes a run.
type Config struct {
	Form     string // its name in the report
	Seed     uint64
	Program  string // path of clickgate
	Mutated  string // path of the program of BuildMutated; empty for none
	Mistake  string // of Mutants; empty for none
	Skewed   string // path of a program that honours ClockEnv; empty for none
	Postgres string // URL of a server on which databases may be made
	// OwnServer says that nobody else uses the server, so that it may be crashed.
	OwnServer bool
	Kafka     Kafka
	Dir       string // of logs, spools and Kafka's data
	Keep      bool   // keep the database

	Lasts      time.Duration // of the load
	Rate       float64       // arrivals per second; a batch is one
	Deck       Deck
	Session    time.Duration // the group's patience with an aggregator
	StoreAway  time.Duration // how long nobody reaches the store
	SpoolBytes int64         // quota of a gateway's disk
	ReadLimit  time.Duration // how long the aggregators may take to read the rest
	Least      Activity      // below it the run is void
	Progress   io.Writer     // a line for every fault; nil for none
}

// Kafka is how brokers are started.
type Kafka struct {
	Nodes int
	// Prepare makes the brokers' files in a folder and returns what starts their
	// processes, and the control addresses of those that can be told to move
	// leaders and refuse records. free gives out ports.
	Prepare func(dir string, nodes []Node, free func() (int, error)) (processes []func() *exec.Cmd, controls []string, err error)
}

// Node is one broker's addresses, host:port: its own, and the one that clients are
// told, which is a proxy's.
type Node struct{ Listen, Advertise string }

// Forms. The decks hold what a form must at least survive; the least activity is
// well below what they make happen on two cores.

// Short takes about a minute, and belongs to the tests.
func Short() Config {
	return Config{
		Form: "short", Lasts: 25 * time.Second, Rate: 60, Session: 2 * time.Second, StoreAway: 4 * time.Second, SpoolBytes: 8 << 20, ReadLimit: 45 * time.Second,
		Deck: Deck{
			KillGateway: 6, KillAggregator: 6, KillBroker: 3, KillStore: 2, StopGateway: 1, StopAggregator: 2,
			BreakLine: 5, MoveLeaders: 1, RefuseRecords: 2, Doubt: 1,
			KillRedis: 1, StopRedis: 1, SlowRedis: 1, ReadOnlyRedis: 1, FullRedis: 1, JumpClock: 4,
			LoseStore: 1, CutCommits: 2, NoQuorum: 1,
		},
		Least: Activity{
			Acked: 5_000, Kills: 12, EachKilled: 1, Resent: 10, Retries: 10, Redelivery: 100, Duplicates: 50, Letters: 50,
			Valid: 3_000, Lines: 3, Spooled: 100, Late: 5, Diverted: 1, Zombies: 1,
			Redis: 1, Hints: 20, Poison: 20, Refused: 1, Jumps: 4, Wrong: 10,
			Storeless: 100, Quorumless: 20, Commits: 1,
		},
	}
}

// Long takes about five minutes.
func Long() Config {
	c := Short()
	c.Form, c.Lasts, c.Rate, c.Session, c.SpoolBytes = "long", 200*time.Second, 140, 3*time.Second, 16<<20
	c.StoreAway, c.ReadLimit = time.Minute, 2*time.Minute // that minute has to be caught up
	c.Deck = Deck{
		KillGateway: 24, KillAggregator: 20, KillBroker: 8, KillStore: 6, StopGateway: 4, StopAggregator: 9, StopBroker: 3,
		BreakLine: 24, MoveLeaders: 6, RefuseRecords: 6, Doubt: 6, Storm: 4,
		KillRedis: 4, StopRedis: 4, SlowRedis: 4, ReadOnlyRedis: 4, FullRedis: 4, JumpClock: 16,
		LoseStore: 1, CutCommits: 10, NoQuorum: 4,
	}
	c.Least = Activity{
		Acked: 200_000, Kills: 40, EachKilled: 3, Resent: 500, Retries: 500, Redelivery: 10_000, Duplicates: 1_000, Letters: 1_000,
		Valid: 100_000, Lines: 12, Spooled: 10_000, Late: 500, Diverted: 10, Zombies: 5,
		Redis: 3, Hints: 1_000, Poison: 200, Refused: 25, Jumps: 10, Wrong: 1_000,
		Storeless: 10_000, Quorumless: 1_000, Commits: 20,
	}
	return c
}

// Cluster takes ten minutes on three real brokers of which one is down at a time.
func Cluster() Config {
	c := Long()
	c.Form, c.Lasts, c.Rate, c.Session = "cluster", 10*time.Minute, 80, 6*time.Second
	c.Deck = Deck{
		KillGateway: 24, KillAggregator: 20, KillBroker: 15, KillStore: 8, StopGateway: 6, StopAggregator: 8, StopBroker: 6, BreakLine: 40,
		KillRedis: 6, StopRedis: 5, SlowRedis: 5, ReadOnlyRedis: 5, FullRedis: 5, JumpClock: 24,
		LoseStore: 2, CutCommits: 12, NoQuorum: 4,
	}
	c.Least.EachKilled, c.Least.Diverted = 5, 0
	return c
}
