package crash

import (
	"context"
	"fmt"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisProgram is Debian's, which tools/services uses as well.
const redisProgram = "redis-server"

// startRedis starts the run's own Redis, behind a proxy of its own. Where there is no
// redis-server the run goes on without, and its report says so.
func (w *world) startRedis(ctx context.Context) error {
	path, err := exec.LookPath(redisProgram)
	if err != nil {
		w.without = append(w.without, redisProgram+" is not there (Debian package redis-server): no run with hints")
		return nil //nolint:nilerr // a run goes on without
	}
	port, err := w.ports.free()
	if err != nil {
		return err
	}
	if w.toRedis, err = NewProxy(loopback(port)); err != nil {
		return err
	}
	w.redis, err = launch("redis", w.logFile("redis"), func() *exec.Cmd {
		return exec.Command(path, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", w.cfg.Dir, "--save", "", "--appendonly", "no")
	}, listening(loopback(port)))
	if err != nil {
		return err
	}
	w.redisAddr = loopback(port)
	// Longer than the default of 5 ms: on a machine that is busy with the whole world
	// a healthy Redis would look ill.
	w.hints = []string{"redis.addr=" + w.toRedis.Addr(), "redis.timeout=50ms"}
	return awaitAll(ctx, []*process{w.redis})
}

// redisFaults are those of Redis alone; each must have been at work in a run with one.
var redisFaults = []FaultKind{KillRedis, StopRedis, SlowRedis, ReadOnlyRedis, FullRedis}

// harmRedis makes Redis ill in one way at a time, so that what clients felt of it can
// be told apart from what they felt while it was well.
func (h *harms) harmRedis(ctx context.Context, f *Fault) {
	if h.redis == nil {
		return
	}
	h.illness.Lock()
	defer h.illness.Unlock()
	if err := awaitAll(ctx, []*process{h.redis}); err != nil {
		return // it does not live again after a kill, and the run counts one fault less
	}
	h.ill.Store(true)
	defer func() {
		h.healing.Add(1)
		time.AfterFunc(healTime, func() { h.healing.Add(-1) })
		h.ill.Store(false)
	}()
	switch f.Kind {
	case KillRedis:
		h.kill(f, h.redis)
		rest(ctx, f.Lasts)
	case StopRedis:
		h.stop(ctx, f, h.redis)
	case SlowRedis:
		h.note(f, "redis")
		h.toRedis.Set(Slow)
		rest(ctx, f.Lasts)
		h.toRedis.Set(Open)
	case ReadOnlyRedis:
		// A replica of nobody takes no writes.
		h.tellRedis(ctx, f, []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"})
	case FullRedis:
		h.tellRedis(ctx, f, []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"})
	}
}

// tellRedis gives Redis an order, and after a while the one that takes it back.
func (h *harms) tellRedis(ctx context.Context, f *Fault, order, back []any) {
	client := redis.NewClient(&redis.Options{Addr: h.redisAddr, DisableIdentity: true})
	defer func() { _ = client.Close() }()
	if err := client.Do(ctx, order...).Err(); err != nil {
		h.progress("%s: redis does not obey: %v", f.Kind, err)
		return
	}
	h.note(f, "redis")
	rest(ctx, f.Lasts)
	if err := client.Do(context.WithoutCancel(ctx), back...).Err(); err != nil {
		h.progress("%s: redis stays as it is until it is killed: %v", f.Kind, err)
	}
}

// weather is what is wrong in the world just now, for those who time answers.
type weather struct {
	ill     atomic.Bool  // Redis
	healing atomic.Int64 // it is well again, and not all gateways have noticed
	busy    atomic.Int64 // anything else
}

// healTime is how long after an illness a gateway may take to ask Redis again: a second
// until its breaker tries, and a second until it has something to ask.
const healTime = 2500 * time.Millisecond

// calm is how long after a kill its traces are looked for.
const calm = time.Second

// disturbed counts a fault that is not Redis's, until it is over and its traces gone.
func (w *weather) disturbed(f *Fault) (over func()) {
	w.busy.Add(1)
	return func() {
		time.AfterFunc(f.Lasts+calm, func() { w.busy.Add(-1) })
	}
}
