package scoring

import (
	"strings"
	"testing"
	"time"
)

func TestRetrainDue(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ at, now, want string }{
		{"Mon 03:00", "2026-11-09T03:00:00Z", "2026-11-09T03:00:00Z"}, // a Monday
		{"Mon 03:00", "2026-11-09T02:59:59Z", "2026-11-02T03:00:00Z"},
		{"Mon 03:00", "2026-11-15T23:00:00Z", "2026-11-09T03:00:00Z"},
		{"Mon 03:00", "2026-11-09T04:30:00+02:00", "2026-11-02T03:00:00Z"}, // 02:30 UTC
		{"23:30", "2026-11-09T12:00:00Z", "2026-11-08T23:30:00Z"},
		{"00:00", "2026-11-09T00:00:00Z", "2026-11-09T00:00:00Z"},
	} {
		cfg := RetrainConfig{At: c.at}
		if got := cfg.Due(at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("%q at %s: due %s, want %s", c.at, c.now, got, c.want)
		}
	}
	if never := (&RetrainConfig{}).Due(at("2026-11-09T00:00:00Z")); !never.IsZero() {
		t.Errorf("never is due at %s", never)
	}
}

func TestRetrainConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spoil func(*Config)
		want  string
	}{
		{func(c *Config) { c.Model, c.Retrain.At = ManagedModel, "Mon 03:00" }, ""},
		{func(c *Config) { c.Retrain.At = "03:00" }, "scoring.retrain.at"}, // nothing would use the model
		{func(c *Config) { c.Model, c.Retrain.At = ManagedModel, "Monday 03:00" }, "scoring.retrain.at"},
		{func(c *Config) { c.Model, c.Retrain.At = ManagedModel, "25:00" }, "scoring.retrain.at"},
		{func(c *Config) { c.Retrain.Window = 90 * time.Minute }, "scoring.retrain.window"},
		{func(c *Config) { c.Retrain.RowsPerSource = 10 }, "scoring.retrain.rows_per_source"},
		{func(c *Config) { c.Retrain.MaxForeign = 0 }, "scoring.retrain.max_foreign"},
		{func(c *Config) { c.Retrain.MaxShift = 1 }, "scoring.retrain.max_shift"},
		{func(c *Config) { c.Retrain.MaxGrowth = 0.5 }, "scoring.retrain.max_growth"},
		{func(c *Config) { c.Retrain.PromoteAfter = time.Second }, "scoring.retrain.promote_after"},
	} {
		cfg := DefaultConfig()
		c.spoil(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want+": ") {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}
