package command

import (
	"fmt"

	"clickgate/cmd/internal/config"
)

type configGroup struct {
	Check configCheckCmd `cmd:"" help:"Load and check the configuration; exit status 1 when it is wrong."`
	Dump  configDumpCmd  `cmd:"" help:"Write the configuration in force as YAML, with where each value comes from; secrets are redacted."`
}

// configCheckCmd answers about one part, because a gateway needs other keys than
// a laptop.
type configCheckCmd struct {
	For string `help:"What the configuration is for: ${enum}." enum:"standalone,gateway,aggregate" default:"standalone"`
}

var uses = map[string]config.Use{
	"standalone": config.ForStandalone, "gateway": config.ForGateway, "aggregate": config.ForAggregate,
}

func (c *configCheckCmd) Run(s *session) error {
	src := s.source(s.Data)
	if c.For == "standalone" {
		src = s.source(s.dataDir())
	}
	cfg, err := config.Load(src)
	if err == nil {
		err = cfg.Validate(uses[c.For])
	}
	if err != nil {
		return negative(err)
	}
	_, err = fmt.Fprintf(s.Stdout, "configuration for %s is valid\n", c.For)
	return err
}

type configDumpCmd struct {
	Defaults bool `help:"Leave out the data folder's paths."`
}

func (c *configDumpCmd) Run(s *session) error {
	data := s.dataDir()
	if c.Defaults {
		data = ""
	}
	cfg, err := config.Load(s.source(data))
	if err != nil {
		return usage(err)
	}
	return cfg.Dump(s.Stdout)
}
