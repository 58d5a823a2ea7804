package crash

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"
	"clickgate/gateway/seal"
	"clickgate/gateway/token"
)

// controlText is the control file of a run: a source for beacons, one for batches,
// and a rate card for the batches' clicks.
const controlText = `
tenants:
  - id: crash
    landing_hosts: [shop.example]
    token_keys: [{id: 1, key: %q}]
    sources:
      - {id: edge, public_id: crash-web}
      - {id: ads, api_keys: [{sha256: %x}]}
    campaigns:
      - {id: paid, advertiser_id: acme}
      - id: list
        advertiser_id: acme
        rates: [{version: r1, from: 2000-01-01T00:00:00Z, price_micros: 50000, currency: EUR}]
`

// world is everything that runs.
type world struct {
	cfg     *Config
	ports   *ports
	db      *database
	sets    []string // configuration of all programs
	apiKey  string
	token   *token.Key
	keys    *seal.Ring
	brokers []*process
	// proxies: one to each broker, one to the store, one to each gateway
	toBroker, toGateway []*Proxy
	toStore, toRedis    *Proxy
	gateways            []*process
	aggregators         []*process
	spools, admins      []string // of gateways: folders, addresses of metrics
	controls            []string // of brokers that can be told to misbehave
	redis               *process // nil where there is no server
	redisAddr           string   // its own, past the proxy
	hints               []string // configuration of gateways for it
	without             []string // what the run goes on without
}

const (
	gateways    = 2
	aggregators = 2
	partitions  = 6
)

// build makes the world, in order; after an error nothing runs.
func build(ctx context.Context, cfg *Config) (w *world, err error) {
	w = &world{cfg: cfg, ports: newPorts()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.end(context.WithoutCancel(ctx)))
		}
	}()
	if err := w.secrets(); err != nil {
		return w, err
	}
	if w.db, err = createDatabase(ctx, cfg.Postgres, time.Now()); err != nil {
		return w, err
	}
	if w.toStore, err = NewProxy(w.db.host()); err != nil {
		return w, err
	}
	for _, start := range []func(context.Context) error{w.startBrokers, w.startRedis, w.migrate, w.startAggregators, w.startGateways} {
		if err := start(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) path(name string) string { return filepath.Join(w.cfg.Dir, name) }

func (w *world) secrets() error {
	var secrets [2][32]byte
	for i := range secrets {
		if _, err := rand.Read(secrets[i][:]); err != nil {
			return err
		}
	}
	w.apiKey = "cgk_" + base64.RawURLEncoding.EncodeToString(secrets[0][:])
	text := fmt.Sprintf(controlText, base64.StdEncoding.EncodeToString(secrets[1][:]), sha256.Sum256([]byte(w.apiKey)))
	if err := os.WriteFile(w.path("control.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	snapshot, err := control.Load(w.path("control.yaml"))
	if err != nil {
		return err
	}
	w.token = snapshot.TokenKey(1)
	if err := config.CreateMasterKeys(w.path("master.key"), rand.Reader); err != nil {
		return err
	}
	keys, err := config.LoadMasterKeys(w.path("master.key"))
	if err != nil {
		return err
	}
	w.keys = keys.Ring
	return nil
}

func (w *world) startBrokers(ctx context.Context) error {
	k := w.cfg.Kafka
	nodes := make([]Node, k.Nodes)
	var addresses []string
	for i := range nodes {
		port, err := w.ports.free()
		if err != nil {
			return err
		}
		p, err := NewProxy(loopback(port))
		if err != nil {
			return err
		}
		w.toBroker = append(w.toBroker, p)
		addresses = append(addresses, p.Addr())
		nodes[i] = Node{Listen: loopback(port), Advertise: p.Addr()}
	}
	commands, controls, err := k.Prepare(w.path("kafka"), nodes, w.ports.free)
	if err != nil {
		return err
	}
	w.controls = controls
	for i, command := range commands {
		name := fmt.Sprintf("broker %d", i+1)
		b, err := launch(name, w.logFile(name), command, listening(nodes[i].Listen))
		if err != nil {
			return err
		}
		w.brokers = append(w.brokers, b)
	}
	w.sets = []string{
		"kafka.brokers=" + strings.Join(addresses, ","), fmt.Sprintf("kafka.partitions=%d", partitions), "kafka.ack_deadline=1s", "kafka.max_buffered=20000",
		"control.file=" + w.path("control.yaml"), "keys.master_file=" + w.path("master.key"),
	}
	return awaitAll(ctx, w.brokers)
}

func (w *world) logFile(name string) string {
	return w.path(strings.ReplaceAll(name, " ", "-") + ".log")
}

// run runs a command of the program to its end.
func (w *world) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.cfg.Program, args...)
	for _, set := range w.sets {
		cmd.Args = append(cmd.Args, "--set", set)
	}
	w.seedMistake(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("clickgate %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

func (w *world) migrate(ctx context.Context) error {
	if _, err := w.run(ctx, "migrate", "--set", "store.dsn="+w.db.dsn); err != nil {
		return err
	}
	return w.db.watch(ctx)
}

func (w *world) startAggregators(ctx context.Context) error {
	for i := range aggregators {
		name := fmt.Sprintf("aggregator %d", i+1)
		port, err := w.ports.free()
		if err != nil {
			return err
		}
		a, err := launch(name, w.logFile(name), w.command(i, "aggregate",
			"store.dsn="+w.db.through(w.toStore), "store.max_conns=8", "aggregate.admin_listen="+loopback(port),
			"aggregate.session_timeout="+w.cfg.Session.String(), "aggregate.retry_pause=200ms", "aggregate.max_records=1000",
			"aggregate.close.interval=1s", "aggregate.close.lease=5s"), listening(loopback(port)))
		if err != nil {
			return err
		}
		w.aggregators = append(w.aggregators, a)
	}
	return awaitAll(ctx, w.aggregators)
}

// startGateways starts one that acks on Kafka and one that acks on its disk. The
// disks are small, so that a broker that is away fills them.
func (w *world) startGateways(ctx context.Context) error {
	for i := range gateways {
		name := fmt.Sprintf("gateway %d", i+1)
		listen, err := w.ports.free()
		if err != nil {
			return err
		}
		admin, err := w.ports.free()
		if err != nil {
			return err
		}
		p, err := NewProxy(loopback(listen))
		if err != nil {
			return err
		}
		w.toGateway = append(w.toGateway, p)
		spool := w.path(fmt.Sprintf("spool-%d", i+1))
		w.spools, w.admins = append(w.spools, spool), append(w.admins, loopback(admin))
		g, err := launch(name, w.logFile(name), w.command(i, "gateway", append(w.hints,
			"gateway.listen="+loopback(listen), "gateway.admin_listen="+loopback(admin), "gateway.batch.listen=",
			"gateway.region=crash", "gateway.trusted_proxies=127.0.0.0/8",
			"spool.dir="+spool, "spool.max_record_bytes=262144", "spool.max_batch_bytes=524288", "spool.segment_bytes=524288",
			"spool.max_bytes="+fmt.Sprint(w.cfg.SpoolBytes), "durable.in_flight=4000", "durable.first="+[]string{"kafka", "spool"}[i%2],
			"kafka.create_topics=true", "kafka.durability=replicated")...), listening(loopback(listen)))
		if err != nil {
			return err
		}
		w.gateways = append(w.gateways, g)
		if err := awaitAll(ctx, w.gateways); err != nil { // the first one makes the topics
			return err
		}
	}
	return nil
}

// command returns what makes the n-th process of a kind. Every second one runs the
// program whose file system loses what was not synced, or at least the one whose clock
// may be set wrong, where there is one.
func (w *world) command(n int, name string, sets ...string) func() *exec.Cmd {
	return func() *exec.Cmd {
		program := w.cfg.Program
		if w.cfg.Mutated != "" && (w.cfg.Mistake != "" || n%2 == 1) {
			program = w.cfg.Mutated
		} else if w.cfg.Skewed != "" && n == skewed {
			program = w.cfg.Skewed
		}
		cmd := exec.Command(program, name)
		for _, set := range append(w.sets, sets...) {
			cmd.Args = append(cmd.Args, "--set", set)
		}
		w.seedMistake(cmd)
		if n == skewed {
			cmd.Env = append(cmd.Environ(), ClockEnv+"="+w.clockFile(name))
		}
		return cmd
	}
}

// seedMistake tells a mutated program which mistake to make, and that its disk may
// lose power.
func (w *world) seedMistake(cmd *exec.Cmd) {
	if w.cfg.Mutated != "" && cmd.Args[0] == w.cfg.Mutated {
		cmd.Env = append(os.Environ(), MistakeEnv+"="+w.cfg.Mistake, PowerCutEnv+"=1")
	}
}

func awaitAll(ctx context.Context, all []*process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, p := range all {
		if err := p.awaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// listening is ready when somebody accepts connections.
func listening(address string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// ports gives out loopback ports below those that systems take for outgoing
// connections: between two lives of a process nobody else may take its port.
type ports struct{ next int }

const firstPort, lastPort = 20_000, 32_000

func newPorts() *ports { return &ports{firstPort + mathrand.IntN(lastPort-firstPort)} }

// free returns a port that nobody listens on, another one each time.
func (p *ports) free() (int, error) {
	for range lastPort - firstPort {
		if p.next++; p.next >= lastPort {
			p.next = firstPort
		}
		if ln, err := net.Listen("tcp", loopback(p.next)); err == nil {
			return p.next, ln.Close()
		}
	}
	return 0, fmt.Errorf("crash: no free port from %d to %d", firstPort, lastPort)
}

func (w *world) proxies() []*Proxy {
	return slices.Concat(w.toBroker, w.toGateway, []*Proxy{w.toStore})
}

func (w *world) processes() []*process {
	all := slices.Concat(w.gateways, w.aggregators, w.brokers)
	if w.redis != nil {
		all = append(all, w.redis)
	}
	return all
}

// end ends everything at once, and removes the database unless it is to be kept.
func (w *world) end(ctx context.Context) error {
	for _, p := range w.processes() {
		p.abort()
	}
	var errs []error
	for _, p := range append(w.proxies(), w.toRedis) {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if w.db != nil && !w.cfg.Keep {
		errs = append(errs, w.db.drop(ctx))
	}
	return errors.Join(errs...)
}
