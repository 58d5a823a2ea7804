package command

import (
	"fmt"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
)

type migrateCmd struct{}

func (c *migrateCmd) Run(s *session) error {
	cfg, err := s.loadStrict(config.ForStore)
	if err != nil {
		return err
	}
	if err := app.Migrate(s.ctx, &cfg.Store); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Stdout, "the store has the schema of this version")
	return err
}
