package admit

import (
	"fmt"
	"time"
)

// Config is the `gateway.admission:` section. The highest limit is not here: it
// is gateway.limits.max_in_flight.
type Config struct {
	StartLimit int `yaml:"start_limit"` // permits before anything is measured
	MinLimit   int `yaml:"min_limit"`   // permits in the worst case
	Waiting    int `yaml:"waiting"`     // requests that may wait for a permit, all classes together
	// PaidWait is how long a paid request waits for a permit at most. The others
	// wait LowWait once somebody has been waiting for StandingAfter without a
	// break, and until then no longer than to that moment.
	PaidWait      time.Duration `yaml:"paid_wait"`
	LowWait       time.Duration `yaml:"low_wait"`
	StandingAfter time.Duration `yaml:"standing_after"`
	// TargetWait is a mean wait before the flush that is never called queueing;
	// group commit causes some itself. Above it the limit allows Tolerance times
	// the wait that was learned as normal, of which at most MaxNormal is believed.
	TargetWait time.Duration `yaml:"target_wait"`
	Tolerance  float64       `yaml:"tolerance"`
	MaxNormal  time.Duration `yaml:"max_normal"`
	// MaxFlush is how long a flush, or none at all, may take before the limit
	// falls, whatever was learned.
	MaxFlush time.Duration `yaml:"max_flush"`
	// At a pressure of LowOff demoted and bulk requests are refused, at PaidOnly
	// all but paid ones. Pressure is the fullest of buffers, memory, spool and
	// file descriptors, 0 to 1.
	LowOff   float64 `yaml:"low_off"`
	PaidOnly float64 `yaml:"paid_only"`
	// Pause is how long at most the next request of a connection stays unread after
	// one that was refused; there is seldom a reason to wait for it, because permits
	// that come back call the connection in before. No more than half of the time
	// that an idle connection has counts.
	Pause time.Duration `yaml:"pause"`
	// AddressRate and PrefixRate are requests a second of one address (IPv6: one
	// /64) and of the prefix around it (IPv4 /24, IPv6 /48); above them requests
	// are demoted. 0: no bound.
	AddressRate int `yaml:"address_rate"`
	PrefixRate  int `yaml:"prefix_rate"`
	// KeyRate is requests a second of one API key, KeyBurst how many may come at
	// once; above that they are answered 429. 0: no bound.
	KeyRate  int `yaml:"key_rate"`
	KeyBurst int `yaml:"key_burst"`
	// ReuseWindow is how long a used click id is remembered at least, if no more
	// than ReuseIDs come in that time.
	ReuseWindow time.Duration `yaml:"reuse_window"`
	ReuseIDs    int           `yaml:"reuse_ids"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		StartLimit: 64, MinLimit: 4, Waiting: 64,
		PaidWait: 200 * time.Millisecond, LowWait: 20 * time.Millisecond, StandingAfter: 100 * time.Millisecond,
		TargetWait: 5 * time.Millisecond, Tolerance: 1.2, MaxNormal: 50 * time.Millisecond, MaxFlush: time.Second,
		LowOff: .92, PaidOnly: .95, Pause: 5 * time.Second,
		AddressRate: 100, PrefixRate: 1000,
		KeyRate: 0, KeyBurst: 100,
		ReuseWindow: 5 * time.Minute, ReuseIDs: 1 << 20,
	}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	if err := c.validateCounts(); err != nil {
		return err
	}
	for _, v := range []struct {
		key          string
		d, low, high time.Duration
	}{
		{"paid_wait", c.PaidWait, time.Millisecond, 10 * time.Second},
		{"low_wait", c.LowWait, time.Millisecond, 10 * time.Second},
		{"standing_after", c.StandingAfter, time.Millisecond, 10 * time.Second},
		{"target_wait", c.TargetWait, 100 * time.Microsecond, time.Second},
		{"max_normal", c.MaxNormal, time.Millisecond, 10 * time.Second},
		{"pause", c.Pause, time.Millisecond, 10 * time.Second},
		{"max_flush", c.MaxFlush, 10 * time.Millisecond, time.Minute},
		{"reuse_window", c.ReuseWindow, time.Second, 24 * time.Hour},
	} {
		if v.d < v.low || v.d > v.high {
			return fmt.Errorf("gateway.admission.%s: %s is out of range; use %s to %s", v.key, v.d, v.low, v.high)
		}
	}
	switch {
	case c.MinLimit > c.StartLimit:
		return fmt.Errorf("gateway.admission.min_limit: %d is above gateway.admission.start_limit (%d); choose at most that", c.MinLimit, c.StartLimit)
	case !(c.Tolerance >= 1 && c.Tolerance <= 10):
		return fmt.Errorf("gateway.admission.tolerance: %v is out of range; use 1 to 10", c.Tolerance)
	case !(c.LowOff > 0 && c.LowOff <= 1):
		return fmt.Errorf("gateway.admission.low_off: %v is out of range; use more than 0, at most 1", c.LowOff)
	case !(c.PaidOnly >= c.LowOff && c.PaidOnly <= 1):
		return fmt.Errorf("gateway.admission.paid_only: %v is out of range; use gateway.admission.low_off (%v) to 1", c.PaidOnly, c.LowOff)
	}
	return nil
}

func (c *Config) validateCounts() error {
	for _, v := range []struct {
		key          string
		n, low, high int
	}{
		{"start_limit", c.StartLimit, 1, 1 << 24},
		{"min_limit", c.MinLimit, 1, 1 << 24},
		{"waiting", c.Waiting, 0, 1 << 16},
		{"address_rate", c.AddressRate, 0, 1 << 20},
		{"prefix_rate", c.PrefixRate, 0, 1 << 20},
		{"key_rate", c.KeyRate, 0, 1 << 20},
		{"key_burst", c.KeyBurst, 1, 1 << 20},
		{"reuse_ids", c.ReuseIDs, 1 << 10, 1 << 28},
	} {
		if v.n < v.low || v.n > v.high {
			return fmt.Errorf("gateway.admission.%s: %d is out of range; use %d to %d", v.key, v.n, v.low, v.high)
		}
	}
	return nil
}
