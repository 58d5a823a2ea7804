package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"clickgate/cmd/internal/config"

	"github.com/alecthomas/kong"
)

// Exit statuses, those of clickgate.
const (
	exitOK       = 0
	exitNegative = 1 // the run is void, or a malformed request was taken for a click
	exitUsage    = 2
	exitFailure  = 3
)

// Env is what the command sees of its process.
type Env struct {
	Stdout, Stderr io.Writer
	Environ        []string // NAME=value
	Now            func() time.Time
	Entropy        io.Reader
	Version        string
}

// cli is the grammar.
type cli struct {
	Run       runCmd       `cmd:"" help:"Send clicks on a schedule that is fixed in advance, and report what became of each."`
	Attack    attackCmd    `cmd:"" help:"Play an attack of the fraud range against a gateway."`
	Compare   compareCmd   `cmd:"" help:"Measure servers beside each other in interleaved rounds: capacity, and latency at shares of it."`
	Reference referenceCmd `cmd:"" help:"Serve 204 to everything: what HTTP alone costs here."`
	Version   versionCmd   `cmd:"" help:"Show the version."`
}

// session is what a command's Run gets.
type session struct {
	Env
	ctx context.Context
}

// usageError is a mistake in flags or configuration.
type usageError struct{ error }

// errNegative says that the answer, which is printed already, is no good one.
var errNegative = errors.New("")

// exited ends kong's own commands, such as --help, from inside.
type exited int

// Main runs one command line, without the program's name, and returns the exit
// status: 0 ok; 1 a void run, or a malformed request that was taken for a click; 2
// a mistake in flags or configuration; 3 a failing file or service.
func Main(ctx context.Context, args []string, env Env) (status int) {
	defer func() {
		if r := recover(); r != nil {
			code, ok := r.(exited)
			if !ok {
				panic(r)
			}
			status = int(code)
		}
	}()
	err := mainErr(ctx, args, env)
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNegative):
		return exitNegative
	}
	fmt.Fprintf(env.Stderr, "clickload: %s\n", config.Redact(err.Error()))
	if errors.As(err, &wrong) {
		return exitUsage
	}
	return exitFailure
}

func mainErr(ctx context.Context, args []string, env Env) error {
	var c cli
	k, err := kong.New(&c,
		kong.Name("clickload"),
		kong.Description("Load for a clickgate gateway, in a process of its own.\n\nExit status: 0 ok, 1 void run or malformed request accepted, 2 usage or configuration error, 3 I/O or service error."),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return err
	}
	parsed, err := k.Parse(args)
	if err != nil {
		return usageError{fmt.Errorf("%w; see `clickload --help`", err)}
	}
	return parsed.Run(&session{env, ctx})
}

// keyFlags say where token key, campaign and API key are, as in clickgate.
type keyFlags struct {
	Config     string   `help:"YAML configuration file that names control.file; also $$CLICKGATE_CONFIG." placeholder:"FILE"`
	Set        []string `help:"Set one configuration key; repeatable." placeholder:"KEY=VALUE" sep:"none"`
	Data       string   `help:"Data folder with control.yaml and the demo's API key." placeholder:"DIR" default:"clickgate-data"`
	Tenant     string   `help:"Tenant whose clicks to send; the first one with a paid campaign and a live token key when left out." placeholder:"ID"`
	APIKeyFile string   `help:"File with the API key for batches; the demo's when left out." placeholder:"FILE" name:"api-key-file"`
}

func (f *keyFlags) sender(s *session) (*Sender, error) {
	src := config.Source{File: f.Config, Env: s.Environ, Set: f.Set, Data: f.Data}
	if src.File == "" {
		src.File = s.getenv("CLICKGATE_CONFIG")
	}
	cfg, err := config.Load(src)
	if err == nil {
		err = cfg.Validate(config.ForControl)
	}
	if err != nil {
		return nil, usageError{err}
	}
	if cfg.Control.File == "" {
		return nil, usageError{errors.New("control.file: is empty; clickload reads keys from a file only, name it with --set control.file=FILE")}
	}
	sender, err := NewSender(cfg.Control.File, f.Tenant, s.Now())
	if err != nil {
		return nil, err
	}
	return sender, sender.ReadAPIKey(f.APIKeyFile, cfg.Control.File, s.Now())
}

func (s *session) getenv(name string) string {
	for _, entry := range s.Environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// base is a run with this process's clock, network and entropy.
func (s *session) base() Config {
	c := DefaultConfig()
	c.Dial, c.Now, c.Entropy = (&net.Dialer{}).DialContext, s.Now, s.Entropy
	return c
}

// trafficFlags are common to runs and comparisons.
type trafficFlags struct {
	Connections int           `help:"Connections that are kept open." default:"64" placeholder:"N"`
	Seed        uint64        `help:"Seed of instants, classes and people; ids are new in every run." default:"1" placeholder:"N"`
	Timeout     time.Duration `help:"How long a request may take." default:"10s"`
	Late        time.Duration `help:"An arrival that starts later than this is behind." default:"10ms"`
	MaxBehind   float64       `help:"Share of arrivals behind or unsent beyond which a run is void." default:"0.01" placeholder:"SHARE"`
	Remote      bool          `help:"Allow targets that are not this machine; have their owner's word."`
	JSON        string        `help:"Write the report as JSON to this file." placeholder:"FILE" name:"json"`
}

func (f *trafficFlags) apply(c *Config) {
	c.Connections, c.Seed, c.Timeout, c.Late, c.MaxBehind = f.Connections, f.Seed, f.Timeout, f.Late, f.MaxBehind
}

type runCmd struct {
	keyFlags
	trafficFlags

	Target   []string      `arg:"" help:"Click listeners, such as http://127.0.0.1:8080; connections are spread over them."`
	Rate     float64       `help:"Arrivals per second." placeholder:"N" xor:"rate"`
	Ramp     string        `help:"Rates over time: FROM:TO:DURATION, with commas between steps." placeholder:"STEPS" xor:"rate"`
	Closed   bool          `help:"Send as soon as there is an answer, to find the capacity; latencies are then those of a closed loop." xor:"rate"`
	Duration time.Duration `help:"How long a run with --rate or --closed lasts." default:"10s"`
	Arrivals string        `help:"How arrivals follow each other: ${enum}." enum:"poisson,uniform" default:"poisson"`
	Mix      string        `help:"Weights of classes: paid, organic, reused, batch, malformed." default:"paid=1" placeholder:"NAME=N,..."`
	Items    int           `help:"Clicks in a batch." default:"50" placeholder:"N"`
	Tokens   int           `help:"Tokens that class reused has." default:"16" placeholder:"N"`
	Drain    time.Duration `help:"How long overdue arrivals may still start after the end." default:"5s"`

	SlowConnections int           `help:"Connections beside the schedule that send a byte each so often." placeholder:"N"`
	SlowEvery       time.Duration `help:"How often." default:"500ms"`

	Log      string `help:"Write id and time of every acknowledged click to this file, as NDJSON." placeholder:"FILE"`
	Progress bool   `help:"Print a line a second on standard error."`
}

func (c *runCmd) config(s *session) (cfg Config, err error) {
	cfg = s.base()
	c.apply(&cfg)
	cfg.Closed, cfg.Drain, cfg.Items, cfg.Tokens = c.Closed, c.Drain, c.Items, c.Tokens
	cfg.Slow = SlowConfig{c.SlowConnections, c.SlowEvery}
	if cfg.Mix, err = ParseMix(c.Mix); err != nil {
		return cfg, usageError{err}
	}
	if cfg.Process, err = ParseProcess(c.Arrivals); err != nil {
		return cfg, usageError{err}
	}
	switch {
	case c.Ramp != "":
		if cfg.Profile, err = ParseRamp(c.Ramp); err != nil {
			return cfg, usageError{err}
		}
	case c.Closed:
		cfg.Profile = Constant(MaxRate, c.Duration) // its rate is of no account
	case c.Rate > 0:
		cfg.Profile = Constant(c.Rate, c.Duration)
	default:
		return cfg, usageError{errors.New("rate: is missing; write --rate N, --ramp STEPS or --closed")}
	}
	for _, text := range c.Target {
		t, err := NewTarget(s.ctx, text, c.Remote, net.DefaultResolver)
		if err != nil {
			return cfg, usageError{err}
		}
		cfg.Targets = append(cfg.Targets, t)
	}
	cfg.Sender, err = c.sender(s)
	if err == nil {
		if err = cfg.Validate(); err != nil {
			err = usageError{err}
		}
	}
	return cfg, err
}

// Run runs the load and prints the report.
func (c *runCmd) Run(s *session) (err error) {
	cfg, err := c.config(s)
	if err != nil {
		return err
	}
	if c.Log != "" {
		f, err := os.OpenFile(c.Log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		cfg.AckLog = f
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	if c.Progress {
		cfg.Progress = func(r Row) { writeProgress(s.Stderr, &r) }
	}
	rep, err := Run(s.ctx, cfg)
	if rep == nil {
		return err
	}
	err = errors.Join(err, rep.WriteText(s.Stdout), writeJSON(c.JSON, rep))
	if names := rep.accepted(); err == nil && len(names) > 0 {
		fmt.Fprintf(s.Stderr, "clickload: malformed requests were taken for clicks: %s\n", strings.Join(names, ", "))
		return errNegative
	}
	if err == nil && rep.Void {
		return errNegative
	}
	return err
}

func writeProgress(w io.Writer, r *Row) {
	fmt.Fprintf(w, "%6.1f s", r.AtS)
	for _, c := range r.Classes {
		fmt.Fprintf(w, "  %s: %d sent, %d acked, %d shed, %d failed, p99 %.1f ms", c.Class, c.Sent, c.Acked, c.Shed, c.Failed, c.P99)
	}
	fmt.Fprintf(w, "  behind: %d\n", r.Behind)
}

// writeJSON writes v to a file; an empty name writes nothing.
func writeJSON(name string, v any) error {
	if name == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(name, append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	return nil
}

type compareCmd struct {
	keyFlags
	trafficFlags

	Server []string      `arg:"" help:"Servers as NAME=URL, or NAME=URL#PID to measure their processor time; ratios are to the last one."`
	Rounds int           `help:"Rounds; the median counts." default:"5" placeholder:"N"`
	For    time.Duration `help:"Time of each of a server's three runs in a round." default:"2s"`
	Low    float64       `help:"Share of its capacity that counts as unloaded." default:"0.05" placeholder:"SHARE"`
	High   float64       `help:"Share of its capacity at which latency is measured." default:"0.7" placeholder:"SHARE"`

	OpenConnections int `help:"Connections of the open loops, so that a stall queues at the server and not for a connection." default:"1024" placeholder:"N"`
}

// Run measures and prints a table in Markdown.
func (c *compareCmd) Run(s *session) error {
	cmp := Comparison{Base: s.base(), Rounds: c.Rounds, For: c.For, Low: c.Low, High: c.High, OpenConnections: c.OpenConnections}
	c.apply(&cmp.Base)
	var err error
	if cmp.Base.Sender, err = c.sender(s); err != nil {
		return err
	}
	for _, text := range c.Server {
		server, err := c.server(s, text)
		if err != nil {
			return usageError{err}
		}
		cmp.Servers = append(cmp.Servers, server)
	}
	all, err := Compare(s.ctx, &cmp, s.Stderr)
	if err != nil {
		return err
	}
	return errors.Join(WriteCompared(s.Stdout, &cmp, all), writeJSON(c.JSON, all))
}

// server reads NAME=URL or NAME=URL#PID.
func (c *compareCmd) server(s *session, text string) (out Server, err error) {
	name, address, ok := strings.Cut(text, "=")
	if !ok {
		return out, fmt.Errorf("server %q: write NAME=URL", text)
	}
	address, pid, ok := strings.Cut(address, "#")
	if ok {
		if out.PID, err = strconv.Atoi(pid); err != nil || out.PID < 1 {
			return out, fmt.Errorf("server %q: %q is no process id", text, pid)
		}
	}
	out.Name = name
	out.Target, err = NewTarget(s.ctx, address, c.Remote, net.DefaultResolver)
	return out, err
}

type referenceCmd struct {
	Kind   string `arg:"" help:"Which: ${enum}." enum:"fasthttp,nethttp"`
	Listen string `help:"Address." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
}

// Run serves until the process is asked to stop.
func (c *referenceCmd) Run(s *session) error {
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := fmt.Fprintf(s.Stdout, "http://%s\n", ln.Addr()); err != nil {
		return errors.Join(err, ln.Close())
	}
	return ServeReference(s.ctx, c.Kind, ln)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s *session) error {
	_, err := fmt.Fprintf(s.Stdout, "clickload %s\n", s.Version)
	return err
}
