package durable

import (
	"sync/atomic"
	"time"

	"clickgate/gateway/admit"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load is what the log tells admission of itself. Waits and flushes are sampled,
// one event in sampleEvery.
type load struct {
	ticks, flushed, waits, flushes atomic.Uint64
	wait, flush                    atomic.Int64 // nanoseconds
}

const sampleEvery = 4

// sample reports whether this event is to be timed.
func (d *load) sample() bool { return d.ticks.Add(1)%sampleEvery == 0 }

// time adds a sample: how long an event waited for its flush, how long that took.
func (d *load) time(wait, flush time.Duration) {
	d.wait.Add(int64(max(0, wait)))
	d.waits.Add(1)
	d.flush.Add(int64(max(0, flush)))
	d.flushes.Add(1)
}

// Flushes learns from a Kafka client how long its produce requests take; give it
// to the client with kgo.WithHooks. It is safe for concurrent use.
type Flushes struct{ last atomic.Int64 }

var _ kgo.HookBrokerE2E = (*Flushes)(nil)

const produceKey = 0 // of the request in the Kafka protocol

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (f *Flushes) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == produceKey {
		f.last.Store(int64(e2e.DurationE2E()))
	}
}

// timeAck splits the time of an event that Kafka has just acked. The produce
// request that ended last is the event's own, or one of its moment; the rest of
// the time is what the event waited before it.
func (l *Log) timeAck(took time.Duration) {
	flush := took
	if l.dep.Flushes != nil {
		flush = min(took, time.Duration(l.dep.Flushes.last.Load()))
	}
	l.load.time(took-flush, flush)
}

// Signals tell admission how the log bears its load. Memory and Files are not the
// log's to know.
func (l *Log) Signals() admit.Signals {
	disk := l.dep.Spool.Stats()
	out := admit.Signals{
		Flushed: l.load.flushed.Load(), Waits: l.load.waits.Load(), Flushes: l.load.flushes.Load(),
		Wait: time.Duration(l.load.wait.Load()), Flush: time.Duration(l.load.flush.Load()),
		Buffered: max(fill(int64(disk.PendingRecords), int64(disk.MaxPending)), fill(disk.PendingBytes, disk.MaxPendingSize)),
		Spool:    fill(disk.Bytes, disk.MaxBytes),
	}
	if l.cfg.First == KafkaFirst && !l.degraded.Load() {
		out.Buffered = max(out.Buffered,
			fill(l.dep.Client.BufferedProduceRecords(), l.dep.MaxBuffered),
			fill(l.dep.Client.BufferedProduceBytes(), l.dep.MaxBufferedBytes))
	}
	return out
}

// Beside live traffic a replay has so many records in flight for each live one,
// hence so many times its throughput, and leastReplay in any case: whoever clicks
// now stands behind these few and not behind the backlog.
const (
	replayWeight = 2
	leastReplay  = 64
	// liveFor is how long a live record counts as traffic.
	liveFor = time.Second
)

// replayShare returns how many spooled records may be on their way to Kafka.
func (l *Log) replayShare() int {
	last := l.lastLive.Load()
	idle := time.Duration(l.dep.Now().UnixNano() - last)
	if last == 0 || idle > liveFor || idle < -liveFor { // it was set back
		return l.cfg.InFlight
	}
	return min(l.cfg.InFlight, max(leastReplay, replayWeight*int(l.live.Load())))
}

// fill is n of most, 0 when there is no bound.
func fill(n, most int64) float64 {
	if most <= 0 {
		return 0
	}
	return float64(n) / float64(most)
}
