package load

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway"
	"clickgate/gateway/click"
	"clickgate/gateway/durable"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kfake"
)

// fullOverload measures at full length; without it the same code runs for a moment
// and only its account is checked. See tools/bench-overload.
var fullOverload = flag.Bool("overload.full", false, "measure overload at full length")

// edgeSettings are what a measured gateway is asked to be. Burn is work that no
// shipped gateway has: it makes an answer dear, so that one core can offer many
// times what another one answers.
type edgeSettings struct {
	Burn      time.Duration
	First     durable.First
	NoLimiter bool
	Brokers   []string // none: one in memory, in the gateway's process
	Control   string
	Dir       string
}

// edgeVariable holds the settings of the process that is the gateway.
const edgeVariable = "CLICKGATE_OVERLOAD_EDGE"

// burner keeps the processor busy for a time of its own before it scores.
type burner struct {
	gateway.Scorer
	rounds int
}

func (b burner) Score(c *click.Click, s *click.Signals) {
	burnSink.Add(burn(b.rounds))
	b.Scorer.Score(c, s)
}

// burnSink keeps the work from being left out.
var burnSink atomic.Uint64

func burn(rounds int) (x uint64) {
	for i := range rounds {
		x = x*6364136223846793005 + uint64(i)
	}
	return x
}

// burnRounds are the rounds that take d on this processor: the fastest of several
// tries, because others may have used it meanwhile.
func burnRounds(d time.Duration) int {
	const tried = 1 << 20
	best := time.Duration(math.MaxInt64)
	for range 20 {
		begun := time.Now()
		burnSink.Add(burn(tried))
		best = min(best, time.Since(begun))
	}
	return int(float64(d) / float64(best) * tried)
}

// TestOverloadEdge is no test: it is the gateway that the measurements start in a
// process of its own. It serves until its standard input ends.
func TestOverloadEdge(t *testing.T) {
	text := os.Getenv(edgeVariable)
	if text == "" {
		t.Skip("this is the gateway's process of the overload measurements, which start it themselves")
	}
	var set edgeSettings
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		t.Fatal(err)
	}
	if set.Brokers == nil {
		kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		defer kafka.Close()
		set.Brokers = kafka.ListenAddrs()
	}
	cfg := set.config()
	if err := config.CreateMasterKeys(cfg.Keys.MasterFile, rand.Reader); err != nil {
		t.Fatal(err)
	}
	rounds := burnRounds(set.Burn)
	g, err := app.NewGateway(t.Context(), cfg, app.Options{
		Logger: slog.New(slog.DiscardHandler), Registry: app.NewRegistry(),
		Scorer: func(s gateway.Scorer) gateway.Scorer { return burner{s, rounds} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("serving %s %s\n", g.Server.Addr(), g.Server.AdminAddr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = g.Stop(ctx) // what is left of a measurement nobody needs
	_ = g.Close(ctx)
}

func (set *edgeSettings) config() *config.Config {
	cfg := config.DefaultConfig()
	cfg.Kafka.Brokers, cfg.Kafka.CreateTopics, cfg.Kafka.Durability = set.Brokers, true, stream.SingleNode
	cfg.Durable.First, cfg.Control.File = set.First, set.Control
	cfg.Keys.MasterFile, cfg.Spool.Dir = filepath.Join(set.Dir, "master.key"), filepath.Join(set.Dir, "spool")
	cfg.Gateway.Listen, cfg.Gateway.AdminListen, cfg.Gateway.Batch.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	if a := &cfg.Gateway.Admission; set.NoLimiter {
		a.StartLimit, a.MinLimit = cfg.Gateway.Limits.MaxInFlight, cfg.Gateway.Limits.MaxInFlight
	}
	return &cfg
}

// measured is a gateway in a process of its own, and what drives it.
type measured struct {
	*child
	t      *testing.T
	target *Target
	sender *Sender
	admin  string
}

// cores are those of the machine; runtime.NumCPU knows those of this process alone.
func cores() int {
	b, _ := os.ReadFile("/proc/cpuinfo") // nothing where there is none
	return strings.Count(string(b), "processor\t:")
}

// child is a process of this test program in another role.
type child struct {
	pid  int
	said []string // the words behind "serving"
	stop func()   // waits for its end; a second call does nothing
}

// startChild starts a role, which is a test that reads its settings from a variable and
// prints a line "serving ADDRESS ...". With -overload.full it is on that core where there
// are taskset and a second one; tools/bench-overload has put this process on core 1.
func startChild(t *testing.T, role, variable string, settings any, core int) *child {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{os.Args[0], "-test.run=^" + role + "$", "-test.timeout=15m"}
	if path, err := exec.LookPath("taskset"); err == nil && *fullOverload && cores() > 1 {
		args = append([]string{path, "-c", strconv.Itoa(core)}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), variable+"="+string(text), "GOMAXPROCS=4")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{pid: cmd.Process.Pid, stop: sync.OnceFunc(func() {
		in.Close()
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	})}
	t.Cleanup(c.stop)
	lines := bufio.NewScanner(out)
	for c.said == nil && lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "serving" {
			c.said = words[1:]
		}
	}
	if c.said == nil {
		t.Fatalf("%s did not say where it serves", role)
	}
	go io.Copy(io.Discard, out) // until it ends
	return c
}

// target is where a child serves.
func (c *child) target(t *testing.T) *Target {
	t.Helper()
	target, err := NewTarget(t.Context(), "http://"+c.said[0], false, net.DefaultResolver)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// startMeasured starts a gateway in a process of its own.
func startMeasured(t *testing.T, set edgeSettings) *measured {
	t.Helper()
	set.Control, set.Dir = testControl(t), t.TempDir()
	c := startChild(t, "TestOverloadEdge", edgeVariable, set, 0)
	m := &measured{t: t, child: c, target: c.target(t), admin: c.said[1]}
	var err error
	if m.sender, err = NewSender(set.Control, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	return m
}

// dialCrowd opens each connection from another loopback address, as different
// visitors do: behind a single one all would be one client, over its rate.
func dialCrowd() Dialer {
	var mu sync.Mutex
	rng := mathrand.New(mathrand.NewPCG(1, 1))
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		from := net.IPv4(127, byte(1+rng.IntN(250)), byte(rng.IntN(250)), byte(1+rng.IntN(250)))
		mu.Unlock()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
		c, err := d.DialContext(ctx, network, address)
		if err != nil { // systems whose loopback is one address
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return c, nil
	}
}

// load is what runs have in common.
func (m *measured) load(mix Mix, connections int) Config {
	cfg := DefaultConfig()
	cfg.Dial, cfg.Now, cfg.Entropy = dialCrowd(), time.Now, rand.Reader
	cfg.Sender, cfg.Targets, cfg.Mix, cfg.Connections = m.sender, []*Target{m.target}, mix, connections
	return cfg
}

// run sends one mix.
func (m *measured) run(mix Mix, connections int, change func(*Config)) *Report {
	m.t.Helper()
	cfg := m.load(mix, connections)
	cfg.Drain, cfg.MaxBehind = 0, 1
	change(&cfg)
	r, err := Run(m.t.Context(), cfg)
	if err != nil {
		m.t.Error(err)
		return &Report{}
	}
	return r
}

// capacity asks as fast as answers come and returns acknowledged clicks a second, and
// what one costs the processor in seconds.
func (m *measured) capacity(lasts time.Duration, connections int) (perSecond, cost float64) {
	m.t.Helper()
	before := m.counters()
	r := m.run(Mix{Paid: 1, Organic: 9}, connections, func(c *Config) { c.Closed, c.Profile = true, Constant(MaxRate, lasts) })
	seen := m.counters().since(before)
	return seen.accepted / r.ElapsedS, seen.cpu / max(1, seen.accepted)
}

// counters are what the gateway itself counts.
type counters struct{ accepted, unrecorded, paidShed, lowShed, paused, spooled, heap, cpu float64 }

func (c counters) since(b counters) counters {
	return counters{c.accepted - b.accepted, c.unrecorded - b.unrecorded, c.paidShed - b.paidShed, c.lowShed - b.lowShed, c.paused - b.paused, c.spooled, c.heap, c.cpu - b.cpu}
}

func (m *measured) counters() (c counters) {
	m.t.Helper()
	res, err := http.Get("http://" + m.admin + "/metrics")
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch {
		case strings.HasPrefix(name, "clickgate_gateway_events_total{") && strings.Contains(name, `outcome="accepted"`):
			c.accepted += n
		case name == "clickgate_gateway_unrecorded_total":
			c.unrecorded += n
		case strings.HasPrefix(name, "clickgate_gateway_shed_total{") && strings.Contains(name, `class="paid"`):
			c.paidShed += n
		case strings.HasPrefix(name, "clickgate_gateway_shed_total{"):
			c.lowShed += n
		case name == "clickgate_gateway_reads_paused_total":
			c.paused = n
		case name == "clickgate_durable_spool_lag_records":
			c.spooled = n
		case name == "go_memstats_heap_inuse_bytes":
			c.heap = n
		case name == "process_cpu_seconds_total":
			c.cpu = n
		}
	}
	return c
}

// phases are how long the parts of one measurement last.
type phases struct{ calm, load, after time.Duration }

// overloaded is one row of O2.
type overloaded struct {
	times, offered           float64 // of capacity, clicks a second
	goodput                  float64 // of capacity
	core                     float64 // share of a core that the gateway had under load
	useful                   float64 // share of that in which, at the capacity's cost of a click, it answered
	paid                     ClassReport
	paidBehind               float64 // share of paid clicks that the generator sent late
	paidShed                 float64 // share
	low                      ClassReport
	lowAdmitted              float64 // share of what was offered
	paidTimes, lowTimes      float64 // p99 to unloaded p99
	heap                     float64
	recoveryShed             int64 // a second after the load and later
	recoveryTimes            float64
	paused, recoveryOffered  int64
	unloadedP99, recoveryP99 float64
}

// overload offers times the capacity, a tenth of it paid, each class on connections
// of its own clients, and then .7 of the capacity.
func (m *measured) overload(capacity, cost, times float64, p phases) *overloaded {
	m.t.Helper()
	o := &overloaded{times: times, offered: times * capacity}
	rate := func(r float64, d time.Duration) func(*Config) {
		return func(c *Config) { c.Profile = Constant(r, d) }
	}
	unloaded := m.run(Mix{Paid: 1, Organic: 9}, 256, rate(.05*capacity, p.calm))
	o.unloadedP99 = unloaded.Total.Latency.P99
	before := m.counters()
	var paid, low *Report
	var both sync.WaitGroup
	both.Go(func() { paid = m.run(Mix{Paid: 1}, 512, rate(.1*o.offered, p.load)) })
	both.Go(func() { low = m.run(Mix{Organic: 1}, 2048, rate(.9*o.offered, p.load)) })
	both.Wait()
	seen := m.counters().since(before)
	after := m.run(Mix{Paid: 1, Organic: 9}, 256, rate(.7*capacity, p.after))

	o.goodput = seen.accepted / max(paid.ElapsedS, low.ElapsedS) / capacity
	o.core, o.useful = seen.cpu/max(paid.ElapsedS, low.ElapsedS), seen.accepted*cost/max(seen.cpu, .001)
	o.paid, o.low, o.paidBehind = paid.Total, low.Total, paid.Late.Share
	o.paidShed = seen.unrecorded / float64(paid.Total.Offered)
	o.lowAdmitted = float64(low.Total.Acked) / float64(low.Total.Offered)
	o.paidTimes, o.lowTimes = paid.Total.Latency.P99/o.unloadedP99, low.Total.Latency.P99/o.unloadedP99
	o.heap, o.paused = seen.heap, int64(seen.paused)
	o.recoveryP99, o.recoveryTimes = after.Total.Latency.P99, after.Total.Latency.P99/o.unloadedP99
	o.recoveryOffered = after.Total.Offered
	for _, row := range after.Series {
		if row.AtS > 1.5 {
			for i := range row.Classes {
				o.recoveryShed += row.Classes[i].Shed
			}
		}
	}
	return o
}

// row writes a row beside its goals, those of reliability.md A.6 (O1, O2, O4).
func (o *overloaded) row(name string) string {
	met := func(ok bool) string {
		if ok {
			return ""
		}
		return " (missed)"
	}
	goal := map[bool]float64{true: .8, false: .6}[o.times <= 2]
	paidGoal := map[bool]float64{true: 0, false: .02}[o.times <= 5]
	return fmt.Sprintf("| %s | %.0fx = %.0f/s | %.0f %%, goal %.0f %%%s | %.2f %%, goal %.0f %%%s | %.1f %% | %.1fx, goal 3x%s | %.1fx, goal 5x%s | %d of %d refused%s, p99 %.1fx%s | %.2f ms, %.1f %% late, %d unsent low, %d pauses, heap %.0f MB; %.0f %% of a core, %.0f %% of it for answers |",
		name, o.times, o.offered,
		100*o.goodput, 100*goal, met(o.goodput >= goal),
		100*o.paidShed, 100*paidGoal, met(o.paidShed <= paidGoal),
		100*o.lowAdmitted,
		o.paidTimes, met(o.paidTimes <= 3), o.lowTimes, met(o.lowTimes <= 5 || o.low.Acked == 0),
		o.recoveryShed, o.recoveryOffered, met(o.recoveryShed == 0), o.recoveryTimes, met(o.recoveryTimes < 2),
		o.unloadedP99, 100*o.paidBehind, o.low.Unsent, o.paused, o.heap/1e6, 100*o.core, 100*o.useful)
}

const overloadHead = "| handler | offered | answered, of capacity | paid shed | low admitted | paid p99 to unloaded | low p99 to unloaded | back at 0.7x, from the second second on | unloaded p99; paid sent late; beside it |\n|---|---|---|---|---|---|---|---|---|"

// TestOverloadOnTheRealHandler is O2: a whole gateway, bound by its processor, at
// many times its capacity. Without -overload.full it runs for a moment and checks
// that something was measured; figures are printed and never judged here, because
// they are the machine's.
func TestOverloadOnTheRealHandler(t *testing.T) {
	p, capacityFor := phases{300 * time.Millisecond, 500 * time.Millisecond, 300 * time.Millisecond}, 300*time.Millisecond
	handlers := []struct {
		burn  time.Duration
		times []float64
	}{{time.Millisecond, []float64{3}}}
	if *fullOverload {
		p, capacityFor = phases{2 * time.Second, 5 * time.Second, 3 * time.Second}, 3*time.Second
		handlers = append(handlers[:0], struct {
			burn  time.Duration
			times []float64
		}{0, []float64{2}}, struct {
			burn  time.Duration
			times []float64
		}{500 * time.Microsecond, []float64{2, 5, 10}})
	}
	var table strings.Builder
	for _, h := range handlers {
		m := startMeasured(t, edgeSettings{Burn: h.burn, First: durable.KafkaFirst})
		m.capacity(capacityFor/3, 64) // warm
		capacity, cost := m.capacity(capacityFor, 64)
		name := "as shipped"
		if h.burn > 0 {
			name = fmt.Sprintf("and %s of work", h.burn)
		}
		fmt.Fprintf(&table, "%s: capacity %.0f clicks/s of %.0f us each (closed loop, 64 connections)\n", name, capacity, 1e6*cost)
		for _, times := range h.times {
			o := m.overload(capacity, cost, times, p)
			fmt.Fprintln(&table, o.row(name))
			if o.goodput <= 0 || o.paid.Offered < 10 || o.low.Offered < 90 || math.IsNaN(o.paidTimes) {
				t.Errorf("nothing was measured: %+v", *o)
			}
		}
	}
	fmt.Printf("%s\n%s\n", overloadHead, table.String())
}

// TestLimiterCostsLittle holds the limit to group commit: at 256 connections that
// all wait for the same fsync it must not take waiting for a flush for overload. A
// gateway with and one without a limit run by turns, at the same disk; the median of
// the ratios counts.
func TestLimiterCostsLittle(t *testing.T) {
	rounds, lasts := 1, 300*time.Millisecond
	if *fullOverload {
		rounds, lasts = 5, 2*time.Second
	}
	with := startMeasured(t, edgeSettings{First: durable.SpoolFirst})
	without := startMeasured(t, edgeSettings{First: durable.SpoolFirst, NoLimiter: true})
	const connections = 256
	with.capacity(lasts/2, connections)
	without.capacity(lasts/2, connections)
	var ratios []float64
	for i := range rounds {
		var a, b float64
		if i%2 == 0 {
			a, _ = with.capacity(lasts, connections)
			b, _ = without.capacity(lasts, connections)
		} else {
			b, _ = without.capacity(lasts, connections)
			a, _ = with.capacity(lasts, connections)
		}
		if a < 10 || b < 10 {
			t.Fatalf("%.0f and %.0f clicks a second: nothing was measured", a, b)
		}
		fmt.Printf("round %d: %.0f clicks/s with the limit, %.0f without: %.3f\n", i+1, a, b, a/b)
		ratios = append(ratios, a/b)
	}
	median := middle(ratios)
	verdict := "met"
	if median < .95 {
		verdict = "missed"
	}
	fmt.Printf("group commit at %d connections: %.1f %% of the throughput without a limit, goal 95 %%: %s\n", connections, 100*median, verdict)
}
