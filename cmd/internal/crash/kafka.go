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
	var brokers []string
	for _, p := range w.toBroker {
		brokers = append(brokers, p.Addr())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("clickgate-crash"))
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
