package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"clickgate/aggregate"
	"clickgate/alerts"
	"clickgate/alerts/console"
	"clickgate/alerts/pagerduty"
	"clickgate/gateway"
	"clickgate/gateway/durable"
	"clickgate/gateway/hints"
	"clickgate/gateway/spool"
	"clickgate/gateway/stream"
	"clickgate/scoring"
)

// Config is the whole configuration.
type Config struct {
	Gateway   gateway.Config   `yaml:"gateway"`
	Spool     spool.Config     `yaml:"spool"`
	Durable   durable.Config   `yaml:"durable"`
	Kafka     stream.Config    `yaml:"kafka"`
	Redis     hints.Config     `yaml:"redis"`
	Control   Control          `yaml:"control"`
	Keys      Keys             `yaml:"keys"`
	Store     Store            `yaml:"store"`
	Aggregate aggregate.Config `yaml:"aggregate"`
	Scoring   scoring.Config   `yaml:"scoring"`
	Alerts    alerts.Config    `yaml:"alerts"`
	PagerDuty pagerduty.Config `yaml:"pagerduty"`
	Console   console.Config   `yaml:"console"`
	Log       Log              `yaml:"log"`
}

// Control says where the control entries are.
type Control struct {
	File  string `yaml:"file"`
	Topic bool   `yaml:"topic"` // follow the topic control.v1 instead of reading the file once
}

// Validate reports the first impossible value, by key and remedy.
func (c *Control) Validate() error {
	if c.File == "" && !c.Topic {
		return errors.New("control.file: is empty; name the control file with tenants, keys and campaigns, or set control.topic: true")
	}
	return nil
}

// Keys says where the master keys are; see LoadMasterKeys for the form.
type Keys struct {
	MasterFile string `yaml:"master_file"`
}

// Validate reports the first impossible value, by key and remedy.
func (k *Keys) Validate() error {
	if k.MasterFile == "" {
		return errors.New("keys.master_file: is empty; name the master key file, which `clickgate keys init` creates")
	}
	return nil
}

// Store says where rows go: PostgreSQL by DSN, or one SQLite file.
type Store struct {
	DSN         string `yaml:"dsn"` // secret
	SQLite      string `yaml:"sqlite"`
	MaxConns    int32  `yaml:"max_conns"`    // of PostgreSQL; 0 leaves it to the DSN
	NoExtension bool   `yaml:"no_extension"` // use plain PostgreSQL though TimescaleDB is offered
}

// Validate reports the first impossible value, by key and remedy.
func (s *Store) Validate() error {
	switch {
	case s.DSN == "" && s.SQLite == "":
		return errors.New("store.dsn: neither store.dsn nor store.sqlite is set; write the PostgreSQL connection string, or the path of an SQLite file")
	case s.DSN != "" && s.SQLite != "":
		return errors.New("store.sqlite: store.dsn is set as well; keep one of the two")
	case s.MaxConns < 0 || s.MaxConns > 10_000:
		return fmt.Errorf("store.max_conns: %d is out of range; use 1 to 10000, or 0 for the DSN's own", s.MaxConns)
	}
	return nil
}

// Log sets the program's own log, on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Validate reports the first impossible value, by key and remedy.
func (l *Log) Validate() error {
	if _, ok := levels[l.Level]; !ok {
		return fmt.Errorf("log.level: %q is unknown; use debug, info, warn or error", l.Level)
	}
	if l.Format != "text" && l.Format != "json" {
		return fmt.Errorf("log.format: %q is unknown; use text or json", l.Format)
	}
	return nil
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// SlogLevel returns the level; Validate has checked it.
func (l *Log) SlogLevel() slog.Level { return levels[l.Level] }

// DefaultConfig returns every component's defaults.
func DefaultConfig() Config {
	return Config{
		Gateway:   gateway.DefaultConfig(),
		Spool:     spool.DefaultConfig(),
		Durable:   durable.DefaultConfig(),
		Kafka:     stream.DefaultConfig(),
		Redis:     hints.DefaultConfig(),
		Aggregate: aggregate.DefaultConfig(),
		Scoring:   scoring.DefaultConfig(),
		Alerts:    alerts.DefaultConfig(),
		PagerDuty: pagerduty.DefaultConfig(),
		Console:   console.DefaultConfig(),
		Log:       Log{Level: "info", Format: "text"},
	}
}

// DefaultData is the data folder of a command line that names none.
const DefaultData = "clickgate-data"

// Files of a data folder.
const (
	ControlName = "control.yaml"
	MasterName  = "master.key"
	SQLiteName  = "clickgate.db"
	SpoolName   = "spool"
)

// Source says where values come from.
type Source struct {
	File string   // YAML file; empty for none
	Env  []string // NAME=value, as os.Environ gives them
	Set  []string // key=value
	// Defaults are a command's own, key=value; everything else wins over them.
	Defaults []string
	// Data is the folder whose files stand in for paths that nothing else
	// names. Empty for none, as in a cluster: there, a spool in a folder that
	// nobody chose would lose acknowledged clicks with its container.
	Data string
}

// Loaded is a configuration that knows where its values come from.
type Loaded struct {
	Config
	origins map[string]Origin
	file    *source
}

// Load reads all sources. Its error names the key, the place and a remedy, and
// holds no secret. Values are checked by Validate.
func Load(src Source) (*Loaded, error) {
	l := &Loaded{Config: DefaultConfig(), origins: map[string]Origin{}}
	if err := l.overlayDefaults(src.Defaults); err != nil {
		return nil, err
	}
	if err := l.overlayFile(src.File); err != nil {
		return nil, err
	}
	if err := l.overlayEnv(src.Env); err != nil {
		return nil, err
	}
	if err := l.overlaySet(src.Set); err != nil {
		return nil, err
	}
	if src.Data != "" {
		l.fillPaths(src.Data)
	}
	return l, nil
}

// fillPaths puts the data folder's files where no path was given.
func (l *Loaded) fillPaths(dir string) {
	fill := func(key, name string, dst *string) {
		if *dst == "" {
			*dst = filepath.Join(dir, name)
			l.origins[key] = Origin{Text: "data folder"}
		}
	}
	fill("control.file", ControlName, &l.Control.File)
	fill("keys.master_file", MasterName, &l.Keys.MasterFile)
	fill("spool.dir", SpoolName, &l.Spool.Dir)
	if l.Store.DSN == "" {
		fill("store.sqlite", SQLiteName, &l.Store.SQLite)
	}
}

// Use says which parts of a configuration a command needs.
type Use uint8

// Uses, to be combined.
const (
	ForGateway Use = 1 << iota
	ForAggregate
	ForStore // reads the store, or migrates it
	ForStandalone
	ForKeys
	ForControl
	ForAlerts
)

// Validate checks the parts that use needs, and names the key, where its value
// comes from, and the remedy.
func (l *Loaded) Validate(use Use) error {
	errs := []error{l.finite()}
	add := func(uses Use, validate func() error) {
		if use&uses != 0 {
			errs = append(errs, validate())
		}
	}
	add(ForGateway|ForStandalone, l.Gateway.Validate)
	add(ForGateway|ForStandalone, l.Spool.Validate)
	add(ForGateway|ForStandalone, l.Durable.Validate)
	add(ForGateway|ForStandalone, l.Redis.Validate)
	add(ForGateway|ForAggregate|ForStandalone, l.Scoring.Validate)
	if use&(ForGateway|ForAggregate) != 0 || len(l.Kafka.Brokers) > 0 {
		add(ForGateway|ForAggregate|ForStandalone, l.Kafka.Validate)
	}
	add(ForGateway|ForStandalone|ForControl, l.Control.Validate)
	add(ForGateway|ForStandalone|ForKeys, l.Keys.Validate)
	add(ForAggregate|ForStandalone|ForStore|ForAlerts, l.Store.Validate)
	add(ForAggregate|ForStandalone, l.Aggregate.Validate)
	add(ForAlerts|ForStandalone, l.Alerts.Validate)
	add(ForAlerts|ForStandalone, l.PagerDuty.Validate)
	add(ForStandalone, l.Console.Validate)
	errs = append(errs, l.Log.Validate())
	for _, err := range errs {
		if err != nil {
			return l.locate(err)
		}
	}
	return nil
}

// locate adds where the value of the key that err names comes from. Where a
// component reports several values, the first one is shown.
func (l *Loaded) locate(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 0 {
		err = many.Unwrap()[0]
	}
	key, text := l.keyOf(err.Error())
	origin := l.origins[key]
	return &Error{Key: key, Text: text, Where: cmp.Or(origin.Text, "default"), at: origin, file: l.file}
}

// keyOf finds the key a message starts with: "section.key: ...", or
// "section: key ...", whose text is returned in the first form.
func (l *Loaded) keyOf(msg string) (key, text string) {
	head, rest, found := strings.Cut(msg, ": ")
	if !found {
		return "", msg
	}
	if l.known(head) {
		return head, rest
	}
	word, rest2, _ := strings.Cut(rest, " ")
	if k := head + "." + strings.TrimSuffix(word, ":"); l.known(k) {
		return k, rest2
	}
	return head, rest
}
