// Package command is clickgate's command line: one struct and one file per
// command. Everything a command touches of its process comes in an Env, so that
// tests run whole commands in memory.
//
// Exit statuses: 0 ok; 1 a negative answer (broken, not found, invalid,
// refused); 2 a mistake in flags or configuration; 3 a failing file, disk, store
// or service.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"clickgate/cmd/internal/config"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	ExitOK       = 0
	ExitNegative = 1
	ExitUsage    = 2
	ExitFailure  = 3
)

// Env is what commands see of their process.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // NAME=value
	Now            func() time.Time
	Entropy        io.Reader
	User           string // of the operating system, for the audit log
	Version        string
}

// Globals are the flags of every command.
type Globals struct {
	Config string   `help:"YAML configuration file; also $$CLICKGATE_CONFIG." placeholder:"FILE"`
	Set    []string `help:"Set one configuration key; repeatable, wins over file and environment." placeholder:"KEY=VALUE" sep:"none"`
	Data   string   `help:"Data folder: clickgate.db, control.yaml, master.key and spool stand in for paths that the configuration does not name. Default: ./clickgate-data." placeholder:"DIR"`
}

// cli is the grammar.
type cli struct {
	Globals

	Standalone standaloneCmd `cmd:"" help:"Run every stage in one process, with embedded defaults."`
	Gateway    gatewayCmd    `cmd:"" help:"Run an edge gateway: clicks in, to Kafka."`
	Aggregate  aggregateCmd  `cmd:"" help:"Run an aggregator: Kafka to the store."`
	Alerts     alertsGroup   `cmd:"" help:"Watch the counts and ring PagerDuty; list incidents."`
	Replay     replayCmd     `cmd:"" help:"Send access logs or CDN logs through a gateway."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the store to the schema of this version; before aggregators and gateways are upgraded."`
	Token      tokenGroup    `cmd:"" help:"Mint and open click tokens."`
	Control    controlGroup  `cmd:"" help:"Tenants, keys, sources and rate cards: change them and see who did."`
	Source     sourceGroup   `cmd:"" help:"Senders of clicks and their API keys."`
	User_      userGroup     `cmd:"" name:"user" help:"Who may sign in to the console."`
	Keys       keysGroup     `cmd:"" help:"Master keys, which seal personal data."`
	Report     reportGroup   `cmd:"" help:"Billing and audit reports."`
	Hours      hoursGroup    `cmd:"" help:"Hours of sources: open, closed, what they wait for."`
	Review     reviewGroup   `cmd:"" help:"Flagged clicks: look, confirm, release."`
	DLQ        dlqGroup      `cmd:"" help:"Dead letters: events that could not be read and records that could not be stored."`
	Invoice    invoiceGroup  `cmd:"" help:"Months that were billed."`
	Lists      listsGroup    `cmd:"" help:"Lists of general invalid traffic: what is in force, whether new ones are sound, what they would change."`
	Train      trainCmd      `cmd:"" help:"Train an isolation forest from a table of vectors, or from stored clicks."`
	Model      modelGroup    `cmd:"" help:"Models in service: propose, promote, roll back, and who did so why."`
	Eval       evalGroup     `cmd:"" help:"Measure models on labelled data."`
	Trace      traceCmd      `cmd:"" help:"Show one event at every stage it passed."`
	Config_    configGroup   `cmd:"" name:"config" help:"Check and show the configuration."`
	Version    versionCmd    `cmd:"" help:"Show the version."`
}

// session is what a command's Run gets.
type session struct {
	Env
	*Globals
	ctx context.Context
}

// failure is an error with its exit status. A nil error says that the answer is
// printed already.
type failure struct {
	status int
	error
}

func (f *failure) Unwrap() error { return f.error }

func negative(err error) error { return &failure{ExitNegative, err} }
func usage(err error) error    { return &failure{ExitUsage, err} }

// exited ends kong's own commands, such as --help, from inside.
type exited int

// Run runs one command line, without the program's name, and returns the exit
// status. It ends early when ctx does.
func Run(ctx context.Context, args []string, env Env) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exited)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	err := run(ctx, args, env)
	if err == nil {
		return ExitOK
	}
	status = ExitFailure
	var f *failure
	if errors.As(err, &f) {
		status = f.status
		if f.error == nil {
			return status
		}
	}
	fmt.Fprintf(env.Stderr, "clickgate: %s\n", config.Redact(err.Error()))
	return status
}

func run(ctx context.Context, args []string, env Env) error {
	var c cli
	k, err := kong.New(&c,
		kong.Name("clickgate"),
		kong.Description("A fraud-aware ad-click ingestion gateway.\n\nExit status: 0 ok, 1 negative answer, 2 usage or configuration error, 3 I/O or service error."),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.WithHyphenPrefixedParameters(true), // --from -24h
	)
	if err != nil {
		return err
	}
	parsed, err := k.Parse(args)
	if err != nil {
		return usage(fmt.Errorf("%w; see `clickgate --help`", err))
	}
	return parsed.Run(&session{Env: env, Globals: &c.Globals, ctx: ctx})
}

// dataDir is the data folder.
func (s *session) dataDir() string { return cmp.Or(s.Data, config.DefaultData) }

func (s *session) source(data string) config.Source {
	src := config.Source{File: s.Globals.Config, Env: s.Environ, Set: s.Set, Data: data}
	if src.File == "" {
		src.File = s.getenv("CLICKGATE_CONFIG")
	}
	return src
}

func (s *session) getenv(name string) string {
	for _, entry := range s.Environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// load reads and checks the configuration, with the data folder's files for
// paths it leaves out.
func (s *session) load(use config.Use) (*config.Loaded, error) {
	return s.loadFrom(s.source(s.dataDir()), use)
}

// loadStrict is load without a default data folder, for the parts of a cluster:
// there, every path is chosen.
func (s *session) loadStrict(use config.Use) (*config.Loaded, error) {
	return s.loadFrom(s.source(s.Data), use)
}

func (s *session) loadFrom(src config.Source, use config.Use) (*config.Loaded, error) {
	cfg, err := config.Load(src)
	if err == nil {
		err = cfg.Validate(use)
	}
	if err != nil {
		return nil, usage(err)
	}
	return cfg, nil
}
