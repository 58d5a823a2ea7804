package load

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stored reads so many clicks from the broker. A gateway that found the broker slow has
// sent some twice, by way of its spool: those copies bear one ingest id.
func (e *edge) stored(t *testing.T, want int64) (all []click.Click) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append(e.config.Kafka.ClientOptions("clickload-test"),
		kgo.ConsumeTopics(stream.ClicksTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	copies := map[click.IngestID]bool{}
	for int64(len(all)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d clicks: %v", len(all), want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if kind, err := stream.KindOf(r); err != nil || kind != stream.KindClick {
				return
			}
			var c click.Click
			if err := click.DecodeClick(r.Value, &c); err != nil {
				t.Error(err)
			}
			if !copies[c.Ingest] {
				copies[c.Ingest] = true
				all = append(all, c)
			}
		})
	}
	return all
}

// playAttacks plays families one after the other and returns what the gateway stored.
func playAttacks(t *testing.T, families ...fraudrange.Family) []click.Click {
	t.Helper()
	e := newEdge(t)
	target, err := NewTarget(t.Context(), "http://"+e.gateway.Server.Addr().String(), false, net.DefaultResolver)
	if err != nil {
		t.Fatal(err)
	}
	acked := int64(0)
	for _, f := range families {
		cfg := testConfig(t, (&net.Dialer{}).DialContext)
		if cfg.Attack, cfg.Profile, err = NewAttack(f, 7, 150, time.Second); err != nil {
			t.Fatal(err)
		}
		if cfg.Sender, err = NewSender(e.config.Control.File, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Sender.ReadAPIKey("", e.config.Control.File, time.Now()); err != nil {
			t.Fatal(err)
		}
		cfg.Targets, cfg.Mix, cfg.Connections = []*Target{target}, cfg.Attack.mix(), 8
		cfg.Timeout, cfg.Drain, cfg.MaxBehind = 2*time.Minute, 4*time.Minute, 1
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if r.Total.Sent < 60 || r.Total.Acked != r.Total.Sent || !strings.HasPrefix(r.Attack, f.String()) {
			t.Errorf("%s: %d sent, %d acked, attack %q; answers %v, errors %v", f, r.Total.Sent, r.Total.Acked, r.Attack, r.Total.Answers, r.Total.Errors)
		}
		acked += r.Total.Acked
	}
	return e.stored(t, acked)
}

func distinct[K comparable](all []click.Click, key func(*click.Click) K) int {
	seen := map[K]bool{}
	for i := range all {
		seen[key(&all[i])] = true
	}
	return len(seen)
}

func addressOf(c *click.Click) click.Key { return c.IPKey }
func agentOf(c *click.Click) click.Key   { return c.AgentKey }
func tokenOf(c *click.Click) click.ID    { return c.ClickID }

// What an attack is made of arrives at a real gateway as it was drawn.
func TestAttacksOnARealGateway(t *testing.T) {
	t.Parallel()
	few := 9 // machines of a loud attack, at most ten
	t.Run("spoofed-ip", func(t *testing.T) {
		t.Parallel()
		all := playAttacks(t, fraudrange.Spoof)
		if n := distinct(all, addressOf); n > 5 || distinct(all, tokenOf) != len(all) {
			t.Errorf("%d clicks with made-up addresses have %d of their own", len(all), n)
		}
	})
	t.Run("agent-rotation", func(t *testing.T) {
		t.Parallel()
		all := playAttacks(t, fraudrange.Rotation)
		if a, b := distinct(all, addressOf), distinct(all, agentOf); a > few+1 || b < 10 {
			t.Errorf("%d addresses, %d agents", a, b)
		}
	})
	t.Run("replay", func(t *testing.T) {
		t.Parallel()
		all := playAttacks(t, fraudrange.Replay)
		if n := distinct(all, tokenOf); n > 50 || n*2 > len(all) {
			t.Errorf("%d clicks have %d tokens", len(all), n)
		}
	})
	t.Run("clock-skew", func(t *testing.T) {
		t.Parallel()
		all := playAttacks(t, fraudrange.Skew)
		early, late := int64(0), int64(0)
		for i := range all {
			c := &all[i]
			early, late = min(early, c.EventTime-c.ReceivedAt), max(late, c.EventTime-c.ReceivedAt)
			if c.Entry != click.EntryBatch {
				t.Fatalf("entry %s", c.Entry)
			}
		}
		minute := time.Minute.Microseconds()
		if early > -5*minute || early < -16*minute || late < minute/2 || late > 5*minute {
			t.Errorf("times from %d to %d s", early/1e6, late/1e6)
		}
	})
	t.Run("the others", func(t *testing.T) {
		t.Parallel()
		others := slices.DeleteFunc(fraudrange.Families(), func(f fraudrange.Family) bool {
			return f == fraudrange.Spoof || f == fraudrange.Rotation || f == fraudrange.Replay || f == fraudrange.Skew
		})
		all := playAttacks(t, others...)
		if n := distinct(all, func(c *click.Click) string { return c.PublisherID }); n < 8 {
			t.Errorf("only %d publishers", n)
		}
		if n := distinct(all, tokenOf); n != len(all) {
			t.Errorf("%d clicks have %d tokens", len(all), n)
		}
	})
}

// An attack's clicks come at its own times, stretched to the rate that was asked for.
func TestAttackKeepsItsSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: constantly(time.Millisecond, found)}
		cfg := testConfig(t, p.dial)
		var err error
		if cfg.Attack, cfg.Profile, err = NewAttack(fraudrange.Flood, 3, 50, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		cfg.Mix = cfg.Attack.mix()
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if r.Void || r.Total.Sent < 450 || r.Total.Sent > 550 || r.ElapsedS < 8.5 || r.ElapsedS > 11 {
			t.Errorf("%d sent in %.1f s, void %v", r.Total.Sent, r.ElapsedS, r.Reasons)
		}
	})
}

func TestAttackHeaders(t *testing.T) {
	t.Parallel()
	attack, _, err := NewAttack(fraudrange.Spoof, 1, 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for c := range attack.Attack.Clicks {
		h := attackHeaders(&c)
		if !strings.Contains(h, "X-Forwarded-For: "+c.Forwarded+", "+c.IP.String()+"\r\n") || c.Forwarded == "" || !strings.HasSuffix(h, "\r\n\r\n") || strings.Count(h, "\r\n\r\n") != 1 {
			t.Fatalf("headers %q", h)
		}
		if n++; n == 100 {
			break
		}
	}
	if n < 100 {
		t.Fatalf("only %d clicks", n)
	}
}

func TestAttackCommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want string
		args []string
	}{
		"family":     {"is unknown; use flood", []string{"attack", "floods", "http://127.0.0.1:1"}},
		"families":   {"name one", []string{"attack", "loud", "http://127.0.0.1:1"}},
		"rate":       {"is out of range", []string{"attack", "flood", "http://127.0.0.1:1", "--rate=-1"}},
		"far target": {"is another machine", []string{"attack", "flood", "http://192.0.2.1:8080"}},
	} {
		var stdout, stderr bytes.Buffer
		env := Env{Stdout: &stdout, Stderr: &stderr, Now: time.Now, Entropy: bytes.NewReader(nil), Version: "test"}
		if status := Main(t.Context(), c.args, env); status != exitUsage || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%s: status %d, %s", name, status, stderr.String())
		}
	}
}
