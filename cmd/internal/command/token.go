package command

import (
	"errors"
	"fmt"
	"os"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"

	"github.com/goccy/go-yaml"
)

type tokenGroup struct {
	Mint tokenMintCmd `cmd:"" help:"Mint a click token; without flags one of the first paid campaign in the control file."`
	Open tokenOpenCmd `cmd:"" help:"Show what a token says; exit status 1 when it does not open."`
}

// control reads the control file, or the topic, as text entries and as a snapshot.
func (s *session) control() (*control.File, *control.Snapshot, error) {
	cfg, err := s.load(config.ForControl)
	if err != nil {
		return nil, nil, err
	}
	if s.followsTopic(cfg) {
		return s.topicControl(cfg)
	}
	snapshot, err := control.Load(cfg.Control.File)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w; `clickgate standalone` creates one in its data folder", err)
		}
		return nil, nil, err
	}
	b, err := os.ReadFile(cfg.Control.File)
	if err != nil {
		return nil, nil, fmt.Errorf("control.file: %w", err)
	}
	var file control.File
	if err := yaml.UnmarshalWithOptions(b, &file, yaml.Strict()); err != nil {
		return nil, nil, fmt.Errorf("control.file: changed while it was read; try again")
	}
	return &file, snapshot, nil
}
