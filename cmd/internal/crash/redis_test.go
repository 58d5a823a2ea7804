package crash

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestWithoutRedis: a run goes on where there is no redis-server, says so, and does not
// demand what it cannot have.
func TestWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	cfg := Short()
	w := &world{cfg: &cfg, ports: newPorts()}
	if err := w.startRedis(t.Context()); err != nil || w.redis != nil || len(w.without) != 1 {
		t.Fatalf("%v, %+v", err, w.without)
	}
	r := &run{world: w}
	least := r.least()
	if least.Redis != 0 || least.Hints != 0 || least.Acked != cfg.Least.Acked || cfg.Least.Redis == 0 {
		t.Errorf("least %+v", least)
	}
	var table strings.Builder
	if err := (&Report{Without: w.without}).WriteTable(&table); err != nil || !strings.Contains(table.String(), "WITHOUT: "+redisProgram) {
		t.Errorf("%v, the table says nothing of it:\n%s", err, table.String())
	}
	h := newHarms(w, time.Now(), t.Logf)
	h.harmRedis(t.Context(), &Fault{Kind: FullRedis})
	if len(h.faults) != 0 {
		t.Errorf("faults without Redis: %v", h.faults)
	}
}

// TestRedisFaults: each fault has its effect, is counted, and is over afterwards.
func TestRedisFaults(t *testing.T) {
	if _, err := exec.LookPath(redisProgram); err != nil {
		t.Skipf("%v (Debian package redis-server)", err)
	}
	t.Parallel()
	cfg := Config{Dir: t.TempDir()}
	w := &world{cfg: &cfg, ports: newPorts()}
	if err := w.startRedis(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.end(context.Background()); err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	})
	h := newHarms(w, time.Now(), t.Logf)
	client := redis.NewClient(&redis.Options{Addr: w.toRedis.Addr(), MaxRetries: -1, DisableIdentity: true})
	defer client.Close()
	write := func() (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := client.Set(ctx, "k", "v", 0).Err()
		return time.Since(began), err
	}
	for kind, ill := range map[FaultKind]func(time.Duration, error) bool{
		KillRedis:     func(_ time.Duration, err error) bool { return err != nil },
		StopRedis:     func(took time.Duration, err error) bool { return took > slowness || err != nil },
		SlowRedis:     func(took time.Duration, _ error) bool { return took > slowness },
		ReadOnlyRedis: func(_ time.Duration, err error) bool { return err != nil && strings.Contains(err.Error(), "READONLY") },
		FullRedis:     func(_ time.Duration, err error) bool { return err != nil && strings.Contains(err.Error(), "OOM") },
	} {
		over := make(chan struct{})
		go func() { defer close(over); h.harmRedis(t.Context(), &Fault{Kind: kind, Lasts: time.Second}) }()
		felt := false
		for done := false; !done; {
			select {
			case <-over:
				done = true
			default:
				felt = ill(write()) || felt
			}
		}
		if !felt || h.faults[kind.String()] != 1 {
			t.Errorf("%s: felt %v, counted %d times", kind, felt, h.faults[kind.String()])
		}
		began := time.Now()
		for _, err := write(); err != nil; _, err = write() {
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: Redis stays ill: %v", kind, err)
			}
		}
	}
}
