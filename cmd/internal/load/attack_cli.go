package load

import (
	"errors"
	"fmt"
	"net"
	"time"

	"clickgate/cmd/internal/fraudrange"
)

type attackCmd struct {
	keyFlags
	trafficFlags

	Family   string        `arg:"" help:"Which: flood, replay, agent-rotation, spoofed-ip, declared-crawler, masked-crawler, click-injection, drip, click-farm, residential-rotation, publisher-collusion, baseline-poisoning, clock-skew."`
	Target   []string      `arg:"" help:"Click listeners that trust this machine as a proxy, such as http://127.0.0.1:8080."`
	Rate     float64       `help:"Clicks per second on average: the attack's time is stretched to it, so that slow attacks become fast. 0 keeps its own pace." placeholder:"N"`
	Duration time.Duration `help:"How long it lasts at most." default:"1m"`
	Drain    time.Duration `help:"How long overdue arrivals may still start after the end." default:"5s"`
	Progress bool          `help:"Print a line a second on standard error."`
}

func (c *attackCmd) config(s *session) (cfg Config, err error) {
	families, err := fraudrange.ParseFamilies(c.Family)
	if err == nil && len(families) != 1 {
		err = fmt.Errorf("family %q: name one", c.Family)
	}
	if err == nil && !(c.Rate >= 0 && c.Rate <= MaxRate) {
		err = fmt.Errorf("rate: %v is out of range; use 0 to %v clicks per second", c.Rate, float64(MaxRate))
	}
	if err != nil {
		return cfg, usageError{err}
	}
	cfg = s.base()
	c.apply(&cfg)
	cfg.Drain = c.Drain
	if cfg.Attack, cfg.Profile, err = NewAttack(families[0], c.Seed, c.Rate, c.Duration); err != nil {
		return cfg, usageError{err}
	}
	cfg.Mix = cfg.Attack.mix()
	for _, text := range c.Target {
		target, err := NewTarget(s.ctx, text, c.Remote, net.DefaultResolver)
		if err != nil {
			return cfg, usageError{err}
		}
		cfg.Targets = append(cfg.Targets, target)
	}
	if cfg.Sender, err = c.sender(s); err != nil {
		return cfg, err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// Run plays the attack and prints its report.
func (c *attackCmd) Run(s *session) error {
	cfg, err := c.config(s)
	if err != nil {
		return err
	}
	if c.Progress {
		cfg.Progress = func(r Row) { writeProgress(s.Stderr, &r) }
	}
	rep, err := Run(s.ctx, cfg)
	if rep == nil {
		return err
	}
	err = errors.Join(err, rep.WriteText(s.Stdout), writeJSON(c.JSON, rep))
	if err == nil && rep.Void {
		return errNegative
	}
	return err
}
