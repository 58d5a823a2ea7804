package hints

import (
	"errors"
	"fmt"
	"time"
)

// Config is the `redis:` section.
type Config struct {
	Addr     string `yaml:"addr"` // host:port; empty: gateways know nothing of each other
	Username string `yaml:"username"`
	Password string `yaml:"password"` // secret
	TLS      bool   `yaml:"tls"`
	DB       int    `yaml:"db"`
	Prefix   string `yaml:"prefix"` // of every key; gateways of one fleet share it
	// Timeout is how long a call may take before what it asked is unknown. After three
	// failures in a row nothing is asked for a second.
	Timeout time.Duration `yaml:"timeout"`
	// Window is how long a used click id is remembered.
	Window time.Duration `yaml:"window"`
	// ClicksPerMinute is what all gateways together expect at most; it sizes the sets
	// that ids stand in, and must be the same at every gateway. Above it Redis needs
	// more memory for a click, and that is all.
	ClicksPerMinute int `yaml:"clicks_per_minute"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Prefix: "clickgate", Timeout: 5 * time.Millisecond, Window: time.Hour, ClicksPerMinute: 300_000}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	switch {
	case c.DB < 0 || c.DB > 1023:
		return fmt.Errorf("redis.db: %d is out of range; use 0 to 1023", c.DB)
	case c.Prefix == "":
		return errors.New("redis.prefix: is empty; use a word that only this fleet uses in that Redis")
	case c.Timeout < time.Millisecond || c.Timeout > time.Second:
		return fmt.Errorf("redis.timeout: %s is out of range; use 1ms to 1s", c.Timeout)
	case c.Window < time.Minute || c.Window > 24*time.Hour:
		return fmt.Errorf("redis.window: %s is out of range; use 1m to 24h", c.Window)
	case c.ClicksPerMinute < 1 || c.ClicksPerMinute > 1<<30:
		return fmt.Errorf("redis.clicks_per_minute: %d is out of range; use 1 to 1073741824", c.ClicksPerMinute)
	}
	return nil
}

// perSet is how many ids a set holds at the expected rate. Redis keeps sets of at most
// 512 integers (set-max-intset-entries) in 8 bytes each, larger ones in some 80; half
// of that leaves room for minutes above the mean.
const perSet = 256

// sets returns how many sets the ids of a minute are spread over.
func (c *Config) sets() uint64 { return uint64((c.ClicksPerMinute + perSet - 1) / perSet) }
