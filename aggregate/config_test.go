package aggregate_test

import (
	"strings"
	"testing"

	"clickgate/aggregate"
)

// TestConfig: a value out of range is refused by name and with a remedy.
func TestConfig(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*aggregate.Config){
		"aggregate.group":           func(c *aggregate.Config) { c.Group = "" },
		"aggregate.max_records":     func(c *aggregate.Config) { c.MaxRecords = 0 },
		"aggregate.max_wait":        func(c *aggregate.Config) { c.MaxWait = 0 },
		"aggregate.retry_pause":     func(c *aggregate.Config) { c.RetryPause = 0 },
		"aggregate.session_timeout": func(c *aggregate.Config) { c.SessionTimeout = 0 },
	} {
		cfg := aggregate.DefaultConfig()
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		_, err := aggregate.New(cfg, aggregate.Dependencies{})
		if err == nil || !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s: error %v", key, err)
		}
	}
}
