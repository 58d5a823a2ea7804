package load

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Bounds of a run, besides those of its profile.
const (
	maxConnections = 20_000
	maxArrivals    = 1_000_000_000
	maxItems       = 1000 // of a batch: what a gateway takes by default
	maxTokens      = 100_000
)

// Config describes a run. Start from DefaultConfig; Targets, Sender and Profile
// are missing there.
type Config struct {
	Targets []*Target // connections are spread over them
	Sender  *Sender

	Profile Profile
	Process Process
	Mix     Mix
	Seed    uint64 // decides instants, classes and people; ids are new in every run
	// Closed lets every connection send as soon as it has its answer, for the
	// Profile's duration: the way to find a gateway's capacity, not its latency.
	Closed bool

	// Attack is played instead of classes of Mix, nil for none.
	Attack *AttackConfig

	Connections int
	Timeout     time.Duration // of a request, connecting included
	Drain       time.Duration // how long overdue arrivals may still start after the end
	Items       int           // clicks in a batch
	Tokens      int           // of class reused; the first use of each is a fresh click
	Provokers   int           // malformed requests at once; what comes while all are busy is unsent
	Slow        SlowConfig

	Late      time.Duration // an arrival that starts later than this is behind
	MaxBehind float64       // a larger share of arrivals behind or unsent makes the run void

	AckLog   io.Writer // of acknowledged clicks; nil for none
	Progress func(Row) // once a second; nil for none

	Dial    Dialer
	Now     func() time.Time
	Entropy io.Reader // for ids and nonces
}

// DefaultConfig returns the defaults, without clock, network and entropy.
func DefaultConfig() Config {
	return Config{
		Mix: Mix{Paid: 1}, Seed: 1,
		Connections: 64, Timeout: 10 * time.Second, Drain: 5 * time.Second,
		Items: 50, Tokens: 16, Provokers: 64, Slow: SlowConfig{Every: 500 * time.Millisecond},
		Late: 10 * time.Millisecond, MaxBehind: 0.01,
	}
}

// Validate reports the first impossible value.
func (c *Config) Validate() error {
	switch {
	case len(c.Targets) == 0:
		return errors.New("target: there is none; name a gateway such as http://127.0.0.1:8080")
	case c.Sender == nil || c.Dial == nil || c.Now == nil || c.Entropy == nil:
		return errors.New("load: Sender, Dial, Now or Entropy is missing")
	case c.Mix.sum() == 0:
		return errors.New("mix: nothing would be sent; see ParseMix")
	case !(c.MaxBehind >= 0 && c.MaxBehind <= 1):
		return fmt.Errorf("max behind: %v is no share; use 0 to 1", c.MaxBehind)
	}
	for _, v := range []struct {
		name         string
		n, low, high int
	}{
		{"connections", c.Connections, 1, maxConnections},
		{"items", c.Items, 1, maxItems},
		{"tokens", c.Tokens, 1, maxTokens},
		{"provokers", c.Provokers, 1, maxConnections},
		{"slow connections", c.Slow.Connections, 0, maxConnections},
	} {
		if v.n < v.low || v.n > v.high {
			return fmt.Errorf("%s: %d is out of range; use %d to %d", v.name, v.n, v.low, v.high)
		}
	}
	for _, v := range []struct {
		name         string
		d, low, high time.Duration
	}{
		{"timeout", c.Timeout, time.Millisecond, 5 * time.Minute},
		{"drain", c.Drain, 0, 5 * time.Minute},
		{"slow interval", c.Slow.Every, time.Millisecond, time.Minute},
		{"late", c.Late, time.Microsecond, time.Minute},
	} {
		if v.d < v.low || v.d > v.high {
			return fmt.Errorf("%s: %s is out of range; use %s to %s", v.name, v.d, v.low, v.high)
		}
	}
	if err := c.Profile.Validate(); err != nil {
		return err
	}
	if n := c.Profile.Total(); n > maxArrivals {
		return fmt.Errorf("rate: the run would see %.0f arrivals; at most %d", n, maxArrivals)
	}
	return c.Sender.serves(&c.Mix)
}
