package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/demo"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/gateway/token"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// gatewayRig is a gateway process, and a broker that it hands over to.
type gatewayRig struct {
	t     *testing.T
	setup *demo.Setup
	ids   *click.IDSource
	args  []string
	kafka *kfake.Cluster

	cmd         *exec.Cmd
	edge, admin string // addresses

	mu    sync.Mutex
	acked map[click.ID]bool
	left  string // what the log said of the spool at the end
}

func newGatewayRig(t *testing.T) *gatewayRig {
	t.Helper()
	dir := t.TempDir()
	setup, err := demo.Prepare(filepath.Join(dir, "control.yaml"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := click.NewIDSource(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "master.key")
	if err := config.CreateMasterKeys(keys, rand.Reader); err != nil {
		t.Fatal(err)
	}
	r := &gatewayRig{t: t, setup: setup, ids: ids, acked: map[click.ID]bool{}}
	if r.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(filepath.Join(dir, "kafka"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.kafka.Close() })
	r.args = []string{"gateway",
		"--set", "gateway.listen=127.0.0.1:0", "--set", "gateway.admin_listen=127.0.0.1:0",
		"--set", "kafka.brokers=" + strings.Join(r.kafka.ListenAddrs(), ","), "--set", "kafka.create_topics=true",
		"--set", "kafka.durability=single-node", "--set", "control.file=" + filepath.Join(dir, "control.yaml"),
		"--set", "keys.master_file=" + keys, "--set", "spool.dir=" + filepath.Join(dir, "spool"), "--set", "log.format=json",
		// A busy test machine looks like overload, which is not the matter here.
		"--set", "gateway.admission.start_limit=4096", "--set", "gateway.admission.min_limit=4096", "--set", "gateway.admission.address_rate=0",
	}
	return r
}

// start starts the process and waits until it serves.
func (r *gatewayRig) start() {
	r.t.Helper()
	r.cmd = exec.Command(os.Args[0], r.args...)
	r.cmd.Env = append(os.Environ(), asProgram+"=1")
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	cmd := r.cmd
	r.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	serving := make(chan struct{})
	var said strings.Builder
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			var line struct{ Msg, Listen, Admin, Left string }
			_ = json.Unmarshal(lines.Bytes(), &line) // what is no JSON has none of these
			r.mu.Lock()
			said.WriteString(lines.Text() + "\n")
			if line.Msg == "gateway serves" {
				r.edge, r.admin = line.Listen, line.Admin
				close(serving)
			}
			r.left += line.Left
			r.mu.Unlock()
		}
	}()
	select {
	case <-serving:
	case <-time.After(time.Minute):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.t.Fatalf("the gateway does not serve:\n%s", said.String())
	}
}

// terminate sends SIGTERM and returns the exit status.
func (r *gatewayRig) terminate() (wait func() int) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	return func() int {
		kill := time.AfterFunc(time.Minute, func() { _ = r.cmd.Process.Kill() })
		defer kill.Stop()
		_ = r.cmd.Wait()
		return r.cmd.ProcessState.ExitCode()
	}
}

// request is a paid click with a new id.
func (r *gatewayRig) request() (string, click.ID) {
	now := time.Now()
	id := r.ids.New(now.UnixMicro())
	text, err := r.setup.TokenKey.Seal(&token.Token{
		TenantID: demo.Tenant, ClickID: id, IssuedAt: now.UnixMicro(), ExpiresAt: now.Add(time.Hour).UnixMicro(),
		CampaignID: "acme-spring", LandingURL: "https://shop.example/", PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC,
	}, rand.Reader)
	if err != nil {
		r.t.Error(err)
	}
	// A beacon: its 204 says that the click is recorded, a redirect does not.
	return "GET /b?t=" + text + " HTTP/1.1\r\nHost: edge.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\r\n", id
}

// sending is what became of the requests of a load.
type sending struct {
	answered, refused, failed, closes atomic.Int64

	first atomic.Pointer[error]
	stop  atomic.Bool // as a load balancer that saw /readyz fail
	all   sync.WaitGroup
}

// load sends on so many connections until the gateway is not ready any more.
func (r *gatewayRig) load(connections int) *sending {
	s := &sending{}
	for range connections {
		s.all.Go(func() {
			for !s.stop.Load() {
				if err := r.connection(s); err != nil {
					s.failed.Add(1)
					s.first.CompareAndSwap(nil, &err)
					return
				}
			}
		})
	}
	s.all.Go(func() {
		for !s.stop.Load() {
			res, err := http.Get("http://" + r.admin + "/readyz")
			if err != nil || res.StatusCode != http.StatusOK {
				s.stop.Store(true)
			}
			if err == nil {
				res.Body.Close()
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return s
}

// connection sends one request after the other until the gateway ends it.
func (r *gatewayRig) connection(s *sending) error {
	c, err := net.DialTimeout("tcp", r.edge, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	br := bufio.NewReader(c)
	for !s.stop.Load() {
		text, id := r.request()
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		res.Body.Close()
		switch res.StatusCode {
		case http.StatusNoContent:
			s.answered.Add(1)
			r.mu.Lock()
			r.acked[id] = true
			r.mu.Unlock()
		case http.StatusServiceUnavailable: // nothing was promised
			s.refused.Add(1)
		default:
			return fmt.Errorf("status %d", res.StatusCode)
		}
		if res.Close {
			s.closes.Add(1)
			return nil
		}
	}
	return nil
}

// awaitAnswers waits until so many requests were answered.
func (s *sending) awaitAnswers(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); s.answered.Load() < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) || s.failed.Load() > 0 {
			t.Fatalf("%d answers, %d failures: %v", s.answered.Load(), s.failed.Load(), s.err())
		}
	}
}

func (s *sending) err() error {
	if e := s.first.Load(); e != nil {
		return *e
	}
	return nil
}

// check demands that no request failed and that answers ended their connections.
func (s *sending) check(t *testing.T) {
	t.Helper()
	s.all.Wait()
	if s.failed.Load() != 0 || s.answered.Load() < 200 || s.closes.Load() == 0 {
		t.Errorf("%d answered, %d failed (%v), %d ended by the gateway", s.answered.Load(), s.failed.Load(), s.err(), s.closes.Load())
	}
	t.Logf("%d answered, %d refused for load, %d connections ended by answers", s.answered.Load(), s.refused.Load(), s.closes.Load())
}

// recorded demands that every acknowledged click stands in the topic.
func (r *gatewayRig) recorded() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.ListenAddrs()...),
		kgo.ConsumeTopics(stream.ClicksTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	missing := map[click.ID]bool{}
	for id := range r.acked {
		missing[id] = true
	}
	for len(missing) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("%d of %d acknowledged clicks are not in Kafka", len(missing), len(r.acked))
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			var c click.Click
			if kind, err := stream.KindOf(rec); err == nil && kind == stream.KindClick && click.DecodeClick(rec.Value, &c) == nil {
				delete(missing, c.ClickID)
			}
		})
	}
}

// halfBatch opens a batch and sends its first half; the rest is sent by finish.
func (r *gatewayRig) halfBatch(key string) (finish func() (status int, err error)) {
	r.t.Helper()
	item := fmt.Sprintf(`{"id":%q,"ip":"198.18.0.1","user_agent":"Mozilla/5.0 (X11)","campaign_id":"acme-log"}`+"\n", r.ids.New(time.Now().UnixMicro()))
	body := item + strings.Repeat(" ", 20_000)
	c, err := net.Dial("tcp", r.edge)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "POST /v1/clicks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body[:10_000]); err != nil {
		r.t.Fatal(err)
	}
	return func() (int, error) {
		if _, err := io.WriteString(c, body[10_000:]); err != nil {
			return 0, err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if !res.Close {
			return res.StatusCode, errors.New("the connection would go on")
		}
		return res.StatusCode, nil
	}
}

// SIGTERM under load: readiness goes first, what is inside is answered, nobody's
// connection is reset, slow clients hold nothing up, and the status is 0.
func TestSigtermUnderLoad(t *testing.T) {
	t.Parallel()
	r := newGatewayRig(t)
	r.start()
	s := r.load(16)
	s.awaitAnswers(t, 200)
	finish := r.halfBatch(r.setup.APIKey)
	_ = r.halfBatch(r.setup.APIKey) // its rest never comes
	wait := r.terminate()
	for deadline := time.Now().Add(time.Minute); !s.stop.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("/readyz does not fail")
		}
	}
	if status, err := finish(); status != http.StatusOK || err != nil {
		t.Errorf("a batch half sent before the signal: %d, %v", status, err)
	}
	if status := wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	s.check(t)
	// A broker that is slow on a busy machine leaves clicks in the spool.
	r.mu.Lock()
	left := r.left
	r.mu.Unlock()
	if left != "" {
		r.start()
		defer func() { r.terminate()() }()
	}
	r.recorded()
}

// With Kafka away what is acknowledged stays in the spool, the status is 0 all the
// same, and the next start passes it on.
func TestSigtermWithKafkaAway(t *testing.T) {
	t.Parallel()
	r := newGatewayRig(t)
	r.start()
	// Every produce fails from now on; the gateway takes its clicks all the same.
	var away atomic.Bool
	away.Store(true)
	r.kafka.ControlKey(int16(kmsg.Produce), func(_ kmsg.Request) (kmsg.Response, error, bool) {
		if !away.Load() {
			return nil, nil, false
		}
		r.kafka.KeepControl()
		return nil, errors.New("the broker is away"), true
	})
	s := r.load(8)
	s.awaitAnswers(t, 200)
	wait := r.terminate()
	if status := wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	s.check(t)
	r.mu.Lock()
	left := r.left
	r.mu.Unlock()
	if !strings.Contains(left, "wait for the next start") {
		t.Errorf("the log says of the spool: %q", left)
	}
	away.Store(false)
	r.start()
	r.recorded()
	if status := r.terminate()(); status != 0 {
		t.Errorf("the second exit status is %d", status)
	}
}
