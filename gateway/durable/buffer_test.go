package durable

import (
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// hang lets a broker stand still at produce requests until the returned function is
// called.
func hang(k *kfake.Cluster) (release func()) {
	released := make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		k.SleepControl(func() { <-released })
		return nil, nil, false
	})
	return func() { close(released) }
}

// recordLarge records a dead letter of size bytes, and returns how long that took.
func (r *rig) recordLarge(a *acks, n uint64, size int) time.Duration {
	id := click.ID{byte(n), byte(n >> 8), byte(n >> 16), 9, byte(r.log.dep.Boot)}
	now := time.Now().UnixMicro()
	raw := make([]byte, size)
	for i := range raw { // nothing that compresses away
		raw[i] = byte(uint32(i+int(n)) * 2654435761 >> 24)
	}
	rec := &Record{
		Kind: stream.KindDeadLetter, TenantID: "demo", SourceID: "s", ID: id, EventTime: now, ReceivedAt: now,
		Value: click.AppendDeadLetter(nil, &click.DeadLetter{TenantID: "demo", SourceID: "s", ReceivedAt: now, Code: "x", LetterID: id, Raw: raw}),
	}
	a.wg.Add(1)
	start := time.Now()
	if err := r.log.Record(rec, &ackWaiter{a: a, id: id}); err != nil {
		r.t.Fatal(err)
	}
	return time.Since(start)
}

// Kafka stands still and the client's buffer is full, by records or by bytes: what does
// not fit goes to the spool at once, long before the deadline, and nobody is blocked.
// When Kafka goes on, everything is there once.
func TestFullBufferGoesToTheSpool(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		records, bytes int // the client's bounds
		size, n        int // of what is recorded
		buffered       int // of it, at most
	}{
		"by records": {50, 64 << 20, 20, 400, 50},
		"by bytes":   {50_000, 1 << 20, 200 << 10, 40, 5},
		"largest":    {50_000, 1 << 20, 960 << 10, 8, 1}, // the most that a gateway keeps of one event
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, cfg := newKafka(t)
			cfg.MaxBuffered, cfg.MaxBufferedSize, cfg.AckDeadline = c.records, c.bytes, time.Minute
			r := startSilentRig(t, k, cfg, faultfs.New(), KafkaFirst, 1, time.Minute)
			release := hang(k)
			a := newAcks()
			slowest := time.Duration(0)
			for i := range c.n {
				slowest = max(slowest, r.recordLarge(a, uint64(i), c.size))
			}
			t.Logf("%d records of %d bytes, the slowest call took %s", c.n, c.size, slowest)
			waited := time.Now().Add(time.Minute)
			acked := func() int {
				a.mu.Lock()
				defer a.mu.Unlock()
				return len(a.acked)
			}
			for acked() < c.n-c.buffered {
				if time.Now().After(waited) {
					t.Fatalf("%d of %d acked while Kafka stands still, want %d at least; failures %v", acked(), c.n, c.n-c.buffered, a.failed)
				}
				time.Sleep(time.Millisecond)
			}
			if n := r.spool.Stats().Records; n < uint64(c.n-c.buffered) {
				t.Errorf("the spool took %d records, want %d at least", n, c.n-c.buffered)
			}
			if n := acked(); n == c.n {
				t.Error("nothing waits for Kafka: its buffer was never used")
			}
			release()
			a.wg.Wait()
			if len(a.failed) != 0 || len(a.acked) != c.n {
				t.Fatalf("%d acked, failures %v", len(a.acked), a.failed)
			}
			r.stop()
			d := r.read()
			d.checkOnce(t, a)
			d.checkFinal(t, 1, c.n)
		})
	}
}
