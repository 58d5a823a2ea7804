package durable

import (
	"testing"
	"time"

	"clickgate/gateway/spool/faultfs"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSignals: both orders count what they flushed, and time some of it.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, first := range []First{SpoolFirst, KafkaFirst} {
		r := newRig(t, faultfs.New(), first, 1)
		before := r.log.Signals()
		a := newAcks()
		r.recordMany(a, 0, 400)
		a.wg.Wait()
		s := r.log.Signals()
		if s.Flushed-before.Flushed != 400 || s.Waits < 400/sampleEvery/2 || s.Flushes != s.Waits || s.Flush <= 0 || s.Wait < 0 {
			t.Errorf("%s: %+v", first, s)
		}
		if s.Buffered < 0 || s.Buffered > 1 || s.Spool < 0 || s.Spool > 1 {
			t.Errorf("%s: %+v", first, s)
		}
		if first == SpoolFirst && s.Wait == 0 {
			t.Errorf("%s: nothing waited: %+v", first, s)
		}
	}
}

// TestFlushesSplitTheTime: what an event waited is its time less its flush's.
func TestFlushesSplitTheTime(t *testing.T) {
	t.Parallel()
	l := &Log{dep: Dependencies{Flushes: &Flushes{}}}
	l.dep.Flushes.OnBrokerE2E(kgo.BrokerMetadata{}, produceKey, kgo.BrokerE2E{TimeToWrite: time.Millisecond, ReadWait: 4 * time.Millisecond, TimeToRead: time.Millisecond})
	l.dep.Flushes.OnBrokerE2E(kgo.BrokerMetadata{}, produceKey+1, kgo.BrokerE2E{TimeToWrite: time.Hour})
	l.timeAck(10 * time.Millisecond)
	l.timeAck(2 * time.Millisecond) // shorter than the flush it is measured with
	if wait, flush := time.Duration(l.load.wait.Load()), time.Duration(l.load.flush.Load()); wait != 4*time.Millisecond || flush != 8*time.Millisecond {
		t.Errorf("waited %s, flushed %s", wait, flush)
	}
	l.dep.Flushes = nil
	l.timeAck(time.Second)
	if wait := time.Duration(l.load.wait.Load()); wait != 4*time.Millisecond {
		t.Errorf("without a hook all time is flush; %s waited", wait)
	}
	if fill(5, 0) != 0 || fill(5, 10) != .5 {
		t.Error("fill")
	}
}
