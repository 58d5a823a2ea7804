package fraudrange

import (
	"fmt"
	"math"
)

// Config says which traffic to make.
type Config struct {
	Seed     uint64
	Hours    int      // how long it lasts
	Rate     float64  // clicks of people per second, averaged over a week
	Families []Family // attacks in it; nil for none
}

// Bounds of a Config.
const (
	MaxHours = 14 * 24
	MinRate  = 0.05 // below it the smallest groups have nobody
	MaxRate  = 10_000
)

// Validate reports the first impossible value.
func (c *Config) Validate() error {
	switch {
	case c.Hours < 1 || c.Hours > MaxHours:
		return fmt.Errorf("hours: %d is out of range; use 1 to %d", c.Hours, MaxHours)
	case !(c.Rate >= MinRate && c.Rate <= MaxRate) || math.IsNaN(c.Rate):
		return fmt.Errorf("rate: %v is out of range; use %v to %v clicks per second", c.Rate, MinRate, MaxRate)
	}
	for _, f := range c.Families {
		if f == NoFamily || f >= NumFamilies {
			return fmt.Errorf("families: there is none with the number %d", f)
		}
	}
	return nil
}

// Seeds for tuning and for reporting. What is reported was never looked at before.
const (
	FirstTuning, LastTuning       = 1, 99
	FirstReporting, LastReporting = 1000, 1019
)
