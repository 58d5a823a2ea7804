package alerts

import (
	"fmt"
	"math"
	"net/url"
	"time"
)

// Config is the `alerts:` section of the configuration.
type Config struct {
	AdminListen string `yaml:"admin_listen"` // health and metrics of `clickgate alerts`; empty for none

	Settle   time.Duration `yaml:"settle"`   // after its end, before a minute is judged
	Patience time.Duration `yaml:"patience"` // with a gateway that says nothing while others do; then it is gone

	MinClicks     int     `yaml:"min_clicks"`     // fewer than these are never strange
	OpenScore     float64 `yaml:"open_score"`     // spreads off, in two of three minutes
	AtOnceScore   float64 `yaml:"at_once_score"`  // spreads off, in one minute
	CloseScore    float64 `yaml:"close_score"`    // spreads off, at most, while calm
	CalmMinutes   int     `yaml:"calm_minutes"`   // calm minutes that end it
	WindowMinutes int     `yaml:"window_minutes"` // the recent past
	WarmupMinutes int     `yaml:"warmup_minutes"` // before a series has a baseline

	ReopenWithin time.Duration `yaml:"reopen_within"` // after its end an incident goes on instead of a new one
	UpdateEvery  time.Duration `yaml:"update_every"`  // between two pages of an open incident
	MaxNew       int           `yaml:"max_new"`       // incidents of a tenant in one minute; more become one

	ErrorMoney    int64 `yaml:"error_money"`    // at risk, in whole units of any currency: severity error
	CriticalMoney int64 `yaml:"critical_money"` // severity critical

	MaxSeries int    `yaml:"max_series"`
	CaseURL   string `yaml:"case_url"` // an incident's id is appended; empty for no link
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	d := DefaultDetector()
	return Config{
		AdminListen: "127.0.0.1:8085",
		Settle:      10 * time.Second, Patience: 5 * time.Minute,
		MinClicks: 100, OpenScore: d.Open, AtOnceScore: d.AtOnce, CloseScore: d.Close, CalmMinutes: d.Calm,
		WindowMinutes: d.Window, WarmupMinutes: d.Warmup,
		ReopenWithin: 30 * time.Minute, UpdateEvery: 5 * time.Minute, MaxNew: 10,
		ErrorMoney: 100, CriticalMoney: 1000, MaxSeries: 10_000,
	}
}

// detector returns the configuration of the detectors of counts.
func (c *Config) detector() DetectorConfig {
	d := DefaultDetector()
	d.Window, d.Warmup, d.Calm = c.WindowMinutes, c.WarmupMinutes, c.CalmMinutes
	d.Open, d.AtOnce, d.Close = c.OpenScore, c.AtOnceScore, c.CloseScore
	return d
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	for _, d := range []struct {
		key       string
		value     time.Duration
		low, high time.Duration
	}{
		{"settle", c.Settle, 0, 10 * time.Minute},
		{"patience", c.Patience, 2 * time.Minute, time.Hour},
		{"reopen_within", c.ReopenWithin, 0, 24 * time.Hour},
		{"update_every", c.UpdateEvery, 5 * time.Minute, 24 * time.Hour},
	} {
		if d.value < d.low || d.value > d.high {
			return fmt.Errorf("alerts.%s: %s is out of range; use %s to %s", d.key, d.value, d.low, d.high)
		}
	}
	for _, n := range []struct {
		key              string
		value, low, high int64
	}{
		{"min_clicks", int64(c.MinClicks), 1, 1_000_000},
		{"calm_minutes", int64(c.CalmMinutes), 1, 1440},
		{"window_minutes", int64(c.WindowMinutes), 3, 1440},
		{"warmup_minutes", int64(c.WarmupMinutes), 3, int64(c.WindowMinutes)},
		{"max_new", int64(c.MaxNew), 1, 1000},
		{"error_money", c.ErrorMoney, 1, c.CriticalMoney},
		{"critical_money", c.CriticalMoney, 1, math.MaxInt64 / microsPerUnit},
		{"max_series", int64(c.MaxSeries), 1, 1_000_000},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("alerts.%s: %d is out of range; use %d to %d", n.key, n.value, n.low, n.high)
		}
	}
	return c.validateRest()
}

func (c *Config) validateRest() error {
	switch {
	case !(c.CloseScore > 0) || c.CloseScore > 1000:
		return fmt.Errorf("alerts.close_score: %v is out of range; use above 0 to 1000", c.CloseScore)
	case !(c.OpenScore > c.CloseScore) || c.OpenScore > 1000:
		return fmt.Errorf("alerts.open_score: %v is not above alerts.close_score %v, which would open and close without end; use 6", c.OpenScore, c.CloseScore)
	case !(c.AtOnceScore >= c.OpenScore) || c.AtOnceScore > 10_000:
		return fmt.Errorf("alerts.at_once_score: %v is below alerts.open_score %v; use 12", c.AtOnceScore, c.OpenScore)
	}
	if c.CaseURL == "" {
		return nil
	}
	if u, err := url.Parse(c.CaseURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("alerts.case_url: %q is no address of pages; write for example https://clickgate.example/incidents/", c.CaseURL)
	}
	return nil
}

const microsPerUnit = 1_000_000
