package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// KafkaFeed reads a control topic from its start, committed transactions only.
// It is for one goroutine at a time.
type KafkaFeed struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string

	pending  []Record // read, not yet returned
	position int64    // behind the last record seen, transaction markers included
	whole    bool     // the end was reached once
}

const (
	// quiet is how long a Read waits for news before it says that there are none.
	quiet = 5 * time.Second
	// quietEnd is how long a first reading waits for the records before the end:
	// compaction may have removed the last ones, or a writer died in a transaction.
	quietEnd = 10 * time.Second
	// askTimeout bounds the question where the end is.
	askTimeout = 5 * time.Second
)

// NewKafkaFeed prepares to read a topic; nothing is read yet.
func NewKafkaFeed(topic string, opts ...kgo.Opt) (*KafkaFeed, error) {
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last one is often a marker, and the position must pass it
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &KafkaFeed{client: client, admin: kadm.NewClient(client), topic: topic}, nil
}

// Close ends reading.
func (k *KafkaFeed) Close() { k.client.Close() }

// Read implements Feed.
func (k *KafkaFeed) Read(ctx context.Context) ([]Record, error) {
	if !k.whole {
		if err := k.readToEnd(ctx); err != nil {
			return nil, err
		}
		k.whole = true
		return k.take(), nil
	}
	err := k.poll(ctx, quiet)
	if err == nil && len(k.pending) == 0 {
		_, err = k.end(ctx) // silence of a broker that is away is no news
	}
	if err != nil {
		return nil, err
	}
	return k.take(), nil
}

func (k *KafkaFeed) take() []Record {
	records := k.pending
	k.pending = nil
	return records
}

func (k *KafkaFeed) readToEnd(ctx context.Context) error {
	end, err := k.end(ctx)
	progress := time.Now()
	for err == nil && k.position < end {
		before := k.position
		if err = k.poll(ctx, quietEnd); err != nil {
			break
		}
		switch {
		case k.position > before:
			progress = time.Now()
		case time.Since(progress) < quietEnd: // an answer without records comes early
		case k.position > 0:
			return nil
		default:
			err = errors.New("the broker gives its end but no records")
		}
	}
	return err
}

// end returns the offset behind the last record, whether committed or not: when a
// writer is told of its commit, the markers may be on their way still, and who
// reads after it must not miss it.
func (k *KafkaFeed) end(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ctx = kadm.WithAuthorizedOps(ctx) // past the client's cache of topics
	for {
		ends, err := k.admin.ListEndOffsets(ctx, k.topic)
		if err != nil {
			return 0, err
		}
		end, ok := ends.Lookup(k.topic, 0)
		if ok && !errors.Is(end.Err, kerr.UnknownTopicOrPartition) {
			return end.Offset, end.Err
		}
		// A broker may not have heard yet of a topic that was just created.
		select {
		case <-time.After(pauseUnknown):
		case <-ctx.Done():
			return 0, fmt.Errorf("topic %s: no broker knows its partition 0", k.topic)
		}
	}
}

const pauseUnknown = 100 * time.Millisecond

// poll waits for records and adds them to pending; none in time is no error.
func (k *KafkaFeed) poll(ctx context.Context, wait time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	fetches := k.client.PollFetches(waiting)
	fetches.EachRecord(func(r *kgo.Record) {
		k.position = max(k.position, r.Offset+1)
		if !r.Attrs.IsControl() {
			k.pending = append(k.pending, Record{r.Key, r.Value})
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var err error
	fetches.EachError(func(_ string, _ int32, e error) {
		if waiting.Err() == nil || !errors.Is(e, waiting.Err()) {
			err = e
		}
	})
	return err
}
