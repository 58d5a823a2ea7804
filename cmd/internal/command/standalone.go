package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/standalone"
)

type standaloneCmd struct {
	Demo      bool          `help:"Feed the gateway with labelled demo traffic, clean and fraudulent."`
	DemoSeed  uint64        `help:"Seed of the demo traffic: the same seed sends the same." default:"1" placeholder:"N"`
	DemoSpeed float64       `help:"Speed of the demo traffic; 1 is real time." default:"1" placeholder:"X"`
	DemoFor   time.Duration `help:"Stop the demo traffic after this time; it runs until the end when left out." placeholder:"DURATION"`
}

// Run runs all stages in this process until it is asked to stop, and ends with
// the reconciliation.
func (c *standaloneCmd) Run(s *session) error {
	dir := s.dataDir()
	cfg, err := s.loadStandalone(dir, c.Demo)
	if err != nil {
		return err
	}
	if !(c.DemoSpeed > 0) {
		return usage(fmt.Errorf("standalone: --demo-speed %v: is not positive; write for example 1", c.DemoSpeed))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w; name one that can be written with --data", err)
	}
	if err := standalone.Prepare(&cfg.Config); err != nil {
		return err
	}
	err = standalone.Run(s.ctx, standalone.Options{
		Config: &cfg.Config, Dir: dir, DataFlag: dataFlag(dir), Version: s.Version,
		Demo:   standalone.Demo{On: c.Demo, Seed: c.DemoSeed, Speed: c.DemoSpeed, For: c.DemoFor},
		Stdout: s.Stdout, Logger: s.logger(&cfg.Log),
	})
	if errors.Is(err, standalone.ErrBroken) {
		return negative(err)
	}
	return err
}

// defaultModel is standalone's, where nobody names one.
const defaultModel = "scoring.model=" + app.EmbeddedModel

// loadStandalone is load with defaults for one machine: it listens on loopback,
// and with the demo it believes the feed, which names its clients in
// X-Forwarded-For.
func (s *session) loadStandalone(dir string, demo bool) (*config.Loaded, error) {
	src := s.source(dir)
	src.Defaults = []string{"gateway.listen=127.0.0.1:8080", "gateway.batch.listen=127.0.0.1:8083", defaultModel}
	if demo {
		src.Defaults = append(src.Defaults, "gateway.trusted_proxies=127.0.0.0/8")
	}
	return s.loadFrom(src, config.ForStandalone)
}

// dataFlag is what other commands need to find a data folder.
func dataFlag(dir string) string {
	if filepath.Clean(dir) == config.DefaultData {
		return ""
	}
	return " --data " + dir
}
