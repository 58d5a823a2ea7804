package crash

import (
	"context"
	"fmt"
	"slices"
	"time"

	"clickgate/gateway/stream"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// awaitRead waits until the store's positions are the topics' end offsets, and
// returns the partitions that are not read when its time is up.
func (w *world) awaitRead(ctx context.Context) (unread []string, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokerAddrs()...), kgo.ClientID("clickgate-crash"))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	conn, err := pgx.Connect(ctx, w.db.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	limit := time.After(w.cfg.ReadLimit)
	for {
		unread, err = w.unread(ctx, kadm.NewClient(client), conn)
		if err != nil || len(unread) == 0 {
			return unread, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limit:
			return unread, nil
		case <-ctx.Done():
			return unread, nil
		}
	}
}

// find counts the records of the clicks topic that hold each of some values.
func (w *world) find(ctx context.Context, venom []*Venom) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokerAddrs()...), kgo.ClientID("clickgate-crash"),
		kgo.ConsumeTopics(stream.ClicksTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, stream.ClicksTopic)
	if err != nil {
		return err
	}
	wanted := make(map[string]*Venom, len(venom))
	for _, v := range venom {
		wanted[string(v.Value)] = v
	}
	open := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			open[o.Partition] = o.Offset
		}
	})
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("reading %s to its end: %w", stream.ClicksTopic, ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if v := wanted[string(r.Value)]; v != nil {
				v.Records++
			}
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
		})
	}
	return nil
}

// brokerAddrs are those that clients are told.
func (w *world) brokerAddrs() (addresses []string) {
	for _, p := range w.toBroker {
		addresses = append(addresses, p.Addr())
	}
	return addresses
}

// unread names the partitions with records behind the stored position.
func (w *world) unread(ctx context.Context, adm *kadm.Client, conn *pgx.Conn) (unread []string, err error) {
	ends, err := adm.ListEndOffsets(ctx, stream.ClicksTopic, stream.DeadLettersTopic)
	if err != nil {
		return nil, err
	}
	type partition struct {
		topic  string
		number int32
	}
	stored := make(map[partition]int64)
	r := reader{ctx: ctx, conn: conn}
	r.each("SELECT topic, partition, next FROM positions", func(rows pgx.Rows) error {
		var p partition
		var next int64
		err := rows.Scan(&p.topic, &p.number, &next)
		stored[p] = next
		return err
	})
	ends.Each(func(o kadm.ListedOffset) {
		if next := stored[partition{o.Topic, o.Partition}]; next != o.Offset {
			unread = append(unread, fmt.Sprintf("%s-%d is stored through offset %d of %d", o.Topic, o.Partition, next, o.Offset))
		}
		if o.Err != nil {
			unread = append(unread, fmt.Sprintf("%s-%d has no end offset: %v", o.Topic, o.Partition, o.Err))
		}
	})
	slices.Sort(unread)
	return unread, r.err
}
