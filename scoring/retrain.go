package scoring

import (
	"fmt"
	"strings"
	"time"
)

// ManagedModel is the value of scoring.model that stands for the models which `clickgate
// model` puts in force.
const ManagedModel = "managed"

// RetrainConfig says when a process trains the next isolation forest, and from what.
// Package aggregate/retrain does it.
type RetrainConfig struct {
	// At is when to train, UTC: "03:00" every day, "Mon 03:00" every Monday; empty for
	// never.
	At string `yaml:"at"`
	// Window is how far back the closed hours go whose clicks are learned from.
	Window time.Duration `yaml:"window"`
	// RowsPerSource bounds the clicks drawn of each source, so that a large one does not
	// decide for the others, and memory is bounded.
	RowsPerSource int `yaml:"rows_per_source"`
	// Seed draws clicks and cuts: the same store, hours and seed give the same model.
	Seed uint64 `yaml:"seed"`
	// MaxForeign is the share of clicks that may be of another kind than those of the
	// accepted model, by its scores and by who sent them; above it the guard refuses the
	// candidate. MaxShift is the same by single features, which drift with ordinary traffic.
	MaxForeign float64 `yaml:"max_foreign"`
	MaxShift   float64 `yaml:"max_shift"`
	// MaxGrowth is how many times as many valid clicks as usual in the same hours of the
	// week a source may have.
	MaxGrowth float64 `yaml:"max_growth"`
	// PromoteAfter is how long a candidate must have been the shadow until it becomes live
	// by itself; 0: a person does it.
	PromoteAfter time.Duration `yaml:"promote_after"`
}

func defaultRetrain() RetrainConfig {
	return RetrainConfig{Window: 7 * 24 * time.Hour, RowsPerSource: 2000, Seed: 1, MaxForeign: 0.02, MaxShift: 0.1, MaxGrowth: 2}
}

// MinRowsPerSource is the least number of clicks that says anything of a source.
const MinRowsPerSource = 256

// Validate reports the first impossible value, by key and remedy.
func (c *RetrainConfig) Validate() error {
	if _, _, err := c.schedule(); err != nil {
		return err
	}
	switch {
	case c.Window < time.Hour || c.Window > 92*24*time.Hour || c.Window%time.Hour != 0:
		return fmt.Errorf("scoring.retrain.window: %s is out of range; use whole hours from 1h to 2208h", c.Window)
	case c.RowsPerSource < MinRowsPerSource || c.RowsPerSource > 20_000:
		return fmt.Errorf("scoring.retrain.rows_per_source: %d is out of range; use %d to 20000", c.RowsPerSource, MinRowsPerSource)
	case !(c.MaxForeign > 0 && c.MaxForeign < 1):
		return fmt.Errorf("scoring.retrain.max_foreign: %v is out of range; use a share above 0 and below 1", c.MaxForeign)
	case !(c.MaxShift > 0 && c.MaxShift < 1):
		return fmt.Errorf("scoring.retrain.max_shift: %v is out of range; use a share above 0 and below 1", c.MaxShift)
	case !(c.MaxGrowth >= 1 && c.MaxGrowth <= 100):
		return fmt.Errorf("scoring.retrain.max_growth: %v is out of range; use 1 to 100", c.MaxGrowth)
	case c.PromoteAfter != 0 && (c.PromoteAfter < time.Hour || c.PromoteAfter > 92*24*time.Hour):
		return fmt.Errorf("scoring.retrain.promote_after: %s is out of range; use 1h to 2208h, or 0 to leave it to a person", c.PromoteAfter)
	}
	return nil
}

// anyDay stands for no weekday in a schedule.
const anyDay = time.Weekday(-1)

// schedule reads At.
func (c *RetrainConfig) schedule() (time.Weekday, time.Duration, error) {
	day, text := anyDay, c.At
	if name, rest, found := strings.Cut(c.At, " "); found {
		for d := time.Sunday; d <= time.Saturday; d++ {
			if d.String()[:3] == name {
				day, text = d, rest
			}
		}
	}
	if text == "" {
		return day, 0, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, 0, fmt.Errorf("scoring.retrain.at: %q is no time; write \"03:00\" for every day or \"Mon 03:00\", in UTC, or nothing for never", c.At)
	}
	return day, time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// Due returns the newest time of the schedule that is not after now; the zero time
// where nothing is scheduled.
func (c *RetrainConfig) Due(now time.Time) time.Time {
	day, at, err := c.schedule()
	if c.At == "" || err != nil {
		return time.Time{}
	}
	now = now.UTC()
	for back := range 8 {
		t := time.Date(now.Year(), now.Month(), now.Day()-back, 0, 0, 0, 0, time.UTC).Add(at)
		if !t.After(now) && (day == anyDay || t.Weekday() == day) {
			return t
		}
	}
	return time.Time{}
}
