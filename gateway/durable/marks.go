package durable

import (
	"context"
	"errors"
	"sync"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// marker writes the gateway's statements into every partition. A statement waits
// until the spool has been forwarded past everything it vouches for, so that in
// each partition a mark stands behind all events it counts.
type marker struct {
	log *Log

	order   sync.Mutex // held from a statement to producing its mark, so that numbers rise in every partition
	mu      sync.Mutex
	number  uint64
	pending []pendingStatement // oldest first
	ended   bool               // the final mark is taken; none may follow it
}

type pendingStatement struct {
	statement
	spoolEnd uint64 // spool sequence that must be in Kafka first
}

// maxPending bounds the statements kept while Kafka is away; in between they are
// merged.
const maxPending = 64

func newMarker(l *Log) *marker { return &marker{log: l} }

func (m *marker) run(ctx context.Context) {
	tick := time.NewTicker(m.log.cfg.MarkInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.order.Lock()
		m.state()
		if mark, ok := m.ready(false); ok {
			m.send(ctx, mark, nil)
		}
		m.order.Unlock()
	}
}

// state takes a statement. The order matters: first the account, then the end of
// the spool, so that every event the account calls durable lies before the end.
func (m *marker) state() {
	st := m.log.account.state(m.log.dep.Now().UnixMicro())
	end := m.log.dep.Spool.Stats().DurableSeq
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = append(m.pending, pendingStatement{st, end})
	if n := len(m.pending); n > maxPending {
		for k, t := range m.pending[n-2].given {
			keepOldest(m.pending[n-1].given, k, t)
		}
		m.pending[n-1].inherit(&m.pending[n-2].statement)
		m.pending = append(m.pending[:n-2], m.pending[n-1])
	}
}

// ready returns the mark of the newest statement that may be written, and
// forgets it and the older ones. After the last one it returns none.
func (m *marker) ready(last bool) (*click.Mark, bool) {
	sent := m.log.forward.sent()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil, false
	}
	m.ended = last
	newest := -1
	for i := range m.pending {
		if m.pending[i].spoolEnd <= sent {
			newest = i
		}
	}
	if newest < 0 {
		return nil, false
	}
	st := m.pending[newest]
	for i := newest - 1; i >= 0; i-- {
		st.inherit(&m.pending[i].statement)
	}
	m.pending = m.pending[newest+1:]
	m.number++
	mark := &click.Mark{
		Gateway: m.log.dep.Gateway, Boot: m.log.dep.Boot, Number: m.number,
		ThroughSeq: st.through, Void: st.void, At: st.at, Counts: st.counts,
		Oldest:               m.unsent(&st),
		ClickPartitions:      m.log.dep.Topics.Clicks.Partitions,
		DeadLetterPartitions: m.log.dep.Topics.DeadLetters.Partitions,
		ImpressionPartitions: m.log.dep.Topics.Impressions.Partitions,
	}
	return mark, true
}

// unsent returns the oldest event time per source of all sequences that the
// statement does not vouch for.
func (m *marker) unsent(st *pendingStatement) []click.SourceTime {
	oldest := st.open
	for _, later := range m.pending {
		for k, t := range later.given {
			keepOldest(oldest, k, t)
		}
	}
	for k, t := range m.log.account.givenSince() {
		keepOldest(oldest, k, t)
	}
	out := make([]click.SourceTime, 0, len(oldest))
	for k, t := range oldest {
		out = append(out, click.SourceTime{TenantID: k.tenant, SourceID: k.source, OldestUnsent: t})
	}
	return out
}

// send produces a mark to every partition. done, if not nil, gets one outcome
// per partition.
func (m *marker) send(ctx context.Context, mark *click.Mark, done chan<- error) int {
	value, err := mark.Encode()
	if err != nil {
		// Only invalid UTF-8 in an id can do this, and ids are checked at the edge.
		m.log.dep.Logger.Error("a mark could not be encoded", "error", err)
		return 0
	}
	fed, err := mark.OfFeed().Encode()
	if err != nil {
		m.log.dep.Logger.Error("a mark could not be encoded", "error", err)
		return 0
	}
	sent := 0
	for topic, partitions := range map[string]int{
		stream.ClicksTopic:      mark.ClickPartitions,
		stream.DeadLettersTopic: mark.DeadLetterPartitions,
		stream.ImpressionsTopic: mark.ImpressionPartitions,
	} {
		value := value
		if topic == stream.ImpressionsTopic {
			value = fed
		}
		for p := range int32(partitions) {
			m.log.dep.Client.TryProduce(context.WithoutCancel(ctx), stream.NewMark(topic, p, value), func(_ *kgo.Record, err error) {
				if err != nil {
					m.log.metrics.produceErrors.Inc()
				}
				if done != nil {
					done <- err
				}
			})
			sent++
		}
	}
	return sent
}

// final writes the boot's last mark and waits until every partition has it.
func (m *marker) final(ctx context.Context) error {
	m.order.Lock()
	defer m.order.Unlock()
	m.state()
	mark, ok := m.ready(true)
	if !ok {
		return errors.New("the final mark would overtake events; this boot will be reconciled from its rows")
	}
	mark.Final = len(mark.Oldest) == 0
	done := make(chan error, mark.ClickPartitions+mark.DeadLetterPartitions+mark.ImpressionPartitions)
	var failed error
	for range m.send(ctx, mark, done) {
		select {
		case err := <-done:
			failed = errors.Join(failed, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}
