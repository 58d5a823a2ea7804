package durable

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// throttle makes a broker take no more than rate records a second.
func throttle(k *kfake.Cluster, rate int) {
	var mu sync.Mutex
	var busy time.Time // until then
	k.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		n := 0
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				var batch kmsg.RecordBatch
				if batch.ReadFrom(p.Records) == nil {
					n += int(batch.NumRecords)
				}
			}
		}
		mu.Lock()
		if now := time.Now(); busy.Before(now) {
			busy = now
		}
		busy = busy.Add(time.Duration(n) * time.Second / time.Duration(rate))
		until := busy
		mu.Unlock()
		k.SleepControl(func() { time.Sleep(time.Until(until)) })
		return nil, nil, false
	})
}

type toldLater chan error

func (t toldLater) Done(err error) { t <- err }

// TestThrottledBrokerIsOverload: what this log reports of a real client at a slow
// broker makes the limit of a real gate fall, which was far too high. Nothing here
// depends on how fast the machine is: a slower one is overloaded sooner.
func TestThrottledBrokerIsOverload(t *testing.T) {
	t.Parallel()
	k, cfg := newKafka(t)
	cfg.AckDeadline = time.Minute
	r := startRig(t, k, cfg, faultfs.New(), KafkaFirst, 1)
	throttle(k, 1000)
	settings := admit.DefaultConfig()
	settings.StartLimit = 1024
	gate := admit.NewGate(settings, admit.Dependencies{MaxLimit: 4096, Now: time.Now, Signals: r.log.Signals, Seed: 1})
	go gate.Run(t.Context())

	var served [admit.NumClasses]atomic.Int64
	var clients sync.WaitGroup
	rng := rand.New(rand.NewPCG(1, 1))
	next := time.Now()
	for n := uint64(0); gate.Limit() > 128 && n < 100_000; n++ { // 4,000 a second until the limit is down
		next = next.Add(time.Duration(rng.ExpFloat64() / 4000 * float64(time.Second)))
		time.Sleep(time.Until(next))
		class := admit.Organic
		if n%10 == 0 {
			class = admit.Paid
		}
		clients.Go(func() {
			if gate.Enter(admit.Request{Class: class}) == admit.Admitted {
				r.recordAndWait(n)
				served[class].Add(1)
				gate.Leave()
			}
		})
	}
	clients.Wait()
	st := gate.Status()
	t.Logf("limit %d, mean wait %s, normal %s, %d paid and %d organic served", st.Limit, st.Wait, st.Normal, served[admit.Paid].Load(), served[admit.Organic].Load())
	if gate.Limit() > 128 || served[admit.Paid].Load() == 0 || served[admit.Organic].Load() == 0 {
		t.Errorf("the limit stands at %d", gate.Limit())
	}
	if gate.InFlight() != 0 || gate.Waiting() != 0 {
		t.Errorf("%d permits are out, %d wait", gate.InFlight(), gate.Waiting())
	}
}

// recordAndWait records one click and returns when it is answered.
func (r *rig) recordAndWait(n uint64) {
	now := time.Now().UnixMicro()
	id := click.ID{byte(n), byte(n >> 8), byte(n >> 16), 7, 1}
	done := make(toldLater, 1)
	err := r.log.Record(&Record{
		Kind: stream.KindClick, TenantID: "demo", SourceID: "s", ID: id, EventTime: now, ReceivedAt: now,
		Value: click.AppendClick(nil, &click.Click{TenantID: "demo", SourceID: "s", EventID: id, IDTime: now, EventTime: now, ReceivedAt: now}),
	}, done)
	if err == nil {
		err = <-done
	}
	if err != nil {
		r.t.Error(err)
	}
}
