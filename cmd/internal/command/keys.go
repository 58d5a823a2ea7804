package command

import (
	"errors"
	"fmt"
	"io/fs"

	"clickgate/cmd/internal/config"
)

type keysGroup struct {
	Init keysInitCmd `cmd:"" help:"Create the master key file, readable by its owner alone; never overwrites."`
}

type keysInitCmd struct{}

func (c *keysInitCmd) Run(s *session) error {
	cfg, err := s.load(config.ForKeys)
	if err != nil {
		return err
	}
	path := cfg.Keys.MasterFile
	err = config.CreateMasterKeys(path, s.Entropy)
	if errors.Is(err, fs.ErrExist) {
		return negative(err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Stdout, "created %s; keep a copy: what is sealed under it opens with nothing else\n", path)
	return err
}
