package series

import (
	"fmt"
	"slices"
)

// Config sets a Detector, in points of the series.
type Config struct {
	Window   int   // points remembered, 8 times Apart to 65536
	Apart    int   // points that count as one occurrence, 2 or more
	Patterns []int // lengths of patterns, each 1 or more; 1 is the value alone
	Level    int   // length of the mean and scatter that are compared, 2 or more
	Period   int   // the score is one half for what comes once in so many points
	Quiet    int   // for so many points after a ring, none rings but what is four times as rare
}

// Default returns the configuration for series of unknown kind. Its numbers were chosen on the artificial and the
// traffic files of the Numenta Anomaly Benchmark, and on the same files thinned out, bent, and with a shorter memory:
// where the results of all of these are flat, not where one is best.
func Default() Config {
	return Config{Window: 4096, Apart: 24, Patterns: []int{1, 4, 20}, Level: 32, Period: 600, Quiet: 36}
}

// Validate reports the first impossible value.
func (c *Config) Validate() error {
	switch {
	case c.Apart < 2:
		return fmt.Errorf("series: Apart %d is out of range; use 2 points or more", c.Apart)
	case c.Window < 8*c.Apart || c.Window > 1<<16:
		return fmt.Errorf("series: Window %d is out of range; use 8 times Apart to 65536 points", c.Window)
	case len(c.Patterns) == 0 || slices.Min(c.Patterns) < 1 || slices.Max(c.Patterns) > c.Window:
		return fmt.Errorf("series: Patterns %v are out of range; use 1 to Window points", c.Patterns)
	case c.Level < 2 || c.Level > c.Window:
		return fmt.Errorf("series: Level %d is out of range; use 2 to Window points", c.Level)
	case c.Period < 1:
		return fmt.Errorf("series: Period %d is out of range; use 1 point or more", c.Period)
	case c.Quiet < 0:
		return fmt.Errorf("series: Quiet %d is out of range; use 0 points or more", c.Quiet)
	}
	return nil
}
