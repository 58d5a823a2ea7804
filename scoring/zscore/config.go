package zscore

import "fmt"

// Config sets the bounds of a Table.
type Config struct {
	// Entries is how many keys are kept at most, over all shards; about 420 bytes each with the index, reserved at the start and
	// touched as they fill. At least one for each shard.
	Entries int
	// Grow reserves nothing at the start: a shard doubles as its keys come, up to its part of Entries. It is for tables that
	// live for one pass over a few clicks or many; they allocate as they grow, and answer as others do.
	Grow bool
	// Shards is a power of two; 0 is 64. Keys of different shards do not wait for each other.
	Shards int
	// Seed scatters the keys over shards and slots. It must be kept for a replay to give equal bits, and kept secret
	// from those who choose keys, so that they cannot make them collide.
	Seed uint64
	// MinPeers is how many keys must be active in a minute for it to serve as the peers' baseline; 0 is 20.
	MinPeers int
}

func (c Config) withDefaults() (Config, error) {
	if c.Shards == 0 {
		c.Shards = 64
	}
	if c.MinPeers == 0 {
		c.MinPeers = 20
	}
	switch {
	case c.Shards < 1 || c.Shards > 1<<12 || c.Shards&(c.Shards-1) != 0:
		return c, fmt.Errorf("zscore: shards: %d is not a power of two from 1 to 4096", c.Shards)
	case c.Entries < c.Shards || c.Entries/c.Shards > 1<<28:
		return c, fmt.Errorf("zscore: entries: %d is not from 1 to 2^28 for each of %d shards", c.Entries, c.Shards)
	case c.MinPeers < MinBaseline:
		return c, fmt.Errorf("zscore: min peers: %d is below %d", c.MinPeers, MinBaseline)
	}
	return c, nil
}
