package scoring

import "fmt"

// Config is the verdict policy: its hash stands on every verdict, so that a
// verdict can be recomputed under the thresholds it was made with.
type Config struct {
	// ZSuspect and ZInvalid are robust z-scores of the clicks an address and
	// agent made in a minute, against its peers or its own past.
	ZSuspect float64 `yaml:"z_suspect"`
	ZInvalid float64 `yaml:"z_invalid"`
	// MinClicks is the count in a minute below which no rate is called anomalous.
	MinClicks float64 `yaml:"min_clicks"`
	// ZAddress is the z-score from which the rate of an address alone, over all
	// its agents, makes a click suspect. It is higher, because many people share
	// an address.
	ZAddress float64 `yaml:"z_address"`
	// MaxKeys bounds the entities remembered per table.
	MaxKeys int `yaml:"max_keys"`
}

// DefaultConfig returns the defaults; docs/scoring.md says where they come from.
func DefaultConfig() Config {
	return Config{ZSuspect: 4, ZInvalid: 8, MinClicks: 10, ZAddress: 20, MaxKeys: 1 << 18}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	switch {
	case !(c.ZSuspect > 0):
		return fmt.Errorf("scoring.z_suspect: %v must be above 0", c.ZSuspect)
	case !(c.ZInvalid >= c.ZSuspect):
		return fmt.Errorf("scoring.z_invalid: %v must be at least scoring.z_suspect (%v)", c.ZInvalid, c.ZSuspect)
	case !(c.ZAddress >= c.ZSuspect):
		return fmt.Errorf("scoring.z_address: %v must be at least scoring.z_suspect (%v)", c.ZAddress, c.ZSuspect)
	case !(c.MinClicks >= 1):
		return fmt.Errorf("scoring.min_clicks: %v must be at least 1", c.MinClicks)
	case c.MaxKeys < 1024:
		return fmt.Errorf("scoring.max_keys: %d is too few to tell anything; use at least 1024", c.MaxKeys)
	}
	return nil
}
