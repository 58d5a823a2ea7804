package aggregate

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/gateway/stream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errReached is what reachedStore says to every transaction.
var errReached = errors.New("the batch reached the store")

type reachedStore struct{ Ingest }

func (reachedStore) InTx(context.Context, func(Tx) error) error { return errReached }

// TestHoles: only records that follow the store's position without a hole reach
// the store, and a partition of somebody else's is left alone.
func TestHoles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		partition int32
		offsets   []int64
		want      error
	}{
		"in order":            {0, []int64{5, 6, 7}, errReached},
		"a hole before":       {0, []int64{6, 7}, ErrGap},
		"a hole within":       {0, []int64{5, 6, 8}, ErrGap},
		"a record again":      {0, []int64{5, 5, 6}, ErrGap},
		"before the position": {0, []int64{4, 5}, ErrGap},
		"another's partition": {1, []int64{5}, nil},
	} {
		s := &session{
			Aggregator: &Aggregator{dep: Dependencies{Store: reachedStore{}}, metrics: newMetrics(prometheus.NewRegistry())},
			claims:     make(map[string]map[int32]*owned),
		}
		s.own(clicksPartition(0), Claim{Fence: 1, Next: 5})
		var records []*kgo.Record
		for _, o := range c.offsets {
			records = append(records, &kgo.Record{Topic: stream.ClicksTopic, Partition: c.partition, Offset: o})
		}
		if err := s.applyPartition(t.Context(), records, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if next := s.owned(stream.ClicksTopic, 0).claim.Next; next != 5 {
			t.Errorf("%s: the position moved to %d", name, next)
		}
	}
}

// TestFetchErrors: what tells of missing records is a gap, whichever way the
// client found out.
func TestFetchErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{kerr.OffsetOutOfRange, "gap"},
		{fmt.Errorf("wrapped: %w", &kgo.ErrDataLoss{Topic: stream.ClicksTopic}), "gap"},
		{kerr.UnknownTopicOrPartition, "other"},
	} {
		if err := fetchError(stream.ClicksTopic, 3, c.err); cause(err) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v: %v, cause %q, want %q", c.err, err, cause(err), c.want)
		}
	}
	s := newSession(&Aggregator{metrics: newMetrics(prometheus.NewRegistry())})
	for _, c := range []struct{ err, want error }{
		{nil, nil}, {context.DeadlineExceeded, context.DeadlineExceeded}, {kerr.UnknownTopicOrPartition, kerr.UnknownTopicOrPartition},
		{kerr.OffsetOutOfRange, ErrGap}, // of a partition that is not ours (any more)
	} {
		err := s.fetchErrors(kgo.Fetches{{Topics: []kgo.FetchTopic{{
			Topic: stream.ClicksTopic, Partitions: []kgo.FetchPartition{{Partition: 3, Err: c.err}},
		}}}})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("a fetch with %v: %v, want %v", c.err, err, c.want)
		}
	}
	if err := s.fetchErrors(kgo.NewErrFetch(context.DeadlineExceeded)); err != nil {
		t.Errorf("the end of a poll's own time: %v", err)
	}
	group := kgo.Fetches{{Topics: []kgo.FetchTopic{{Partitions: []kgo.FetchPartition{{Err: &kgo.ErrGroupSession{Err: context.DeadlineExceeded}}}}}}}
	if err := s.fetchErrors(group); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a group whose coordinator does not answer: %v", err)
	}
	if cause(fmt.Errorf("writing: %w", ErrFenced)) != "fenced" {
		t.Error("a fence has another cause")
	}
}

// positions answers for a store that only tells positions.
type positions struct {
	Ingest
	asked int
	next  map[int32]int64
}

func (p *positions) StoredThrough(context.Context, string, [16]byte) (map[int32]int64, error) {
	p.asked++
	return p.next, nil
}

// TestStandingAsksSeldom: partitions that stand still beside a busy one cost the store
// one question in five retry pauses, and a position that was moved is seen by then.
func TestStandingAsksSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &positions{next: map[int32]int64{0: 10, 1: 20}}
		cfg := DefaultConfig()
		s := newSession(&Aggregator{cfg: cfg, dep: Dependencies{Store: store}, metrics: newMetrics(prometheus.NewRegistry())})
		busy := func(polls int) (err error) {
			for range polls {
				if err = s.moved(t.Context()); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // a poll that brings something at once
			}
			return nil
		}
		if err := busy(1000); err != nil || store.asked != 0 {
			t.Fatalf("%v, %d questions while nothing stands still", err, store.asked)
		}
		for number, next := range store.next {
			s.stopped[&owned{Partition{Topic: stream.ClicksTopic, Number: number}, Claim{Next: next}}] = true
		}
		const looks = 6
		polls := looks * gapChecks * int(cfg.RetryPause/time.Millisecond)
		if err := busy(polls); err != nil || store.asked != looks {
			t.Errorf("%v, %d questions in %d polls, want %d", err, store.asked, polls, looks)
		}
		store.next[1] = 25
		if err := busy(polls); !errors.Is(err, errMoved) || store.asked != looks+1 {
			t.Errorf("%v after %d questions, want it to see the move at the next", err, store.asked)
		}
	})
}
