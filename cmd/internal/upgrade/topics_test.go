package upgrade_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// record is a Kafka record as a line of JSON; bytes are in base64, null is none.
type record struct {
	Topic     string      `json:"topic"`
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	At        int64       `json:"at"` // Unix milliseconds
	Key       []byte      `json:"key"`
	Value     []byte      `json:"value"`
	Headers   [][2][]byte `json:"headers"`
}

// keepTopics writes down everything that stands in a broker's topics.
func keepTopics(t *testing.T, g *generation, b *broker) {
	t.Helper()
	topics := []string{stream.ClicksTopic, stream.DeadLettersTopic, stream.ControlTopic}
	ends, err := b.admin.ListCommittedOffsets(t.Context(), topics...)
	must(t, err)
	client, err := kgo.NewClient(append(b.kafka.ClientOptions("clickgate-upgrade"), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	must(t, err)
	defer client.Close()
	left := int64(0)
	for _, byPartition := range ends {
		for _, end := range byPartition {
			left += end.Offset
		}
	}
	var lines bytes.Buffer
	for left > 0 {
		fetches := client.PollFetches(t.Context())
		must(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			if r.Attrs.IsControl() {
				return // the end of a transaction
			}
			line := record{r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value, nil}
			for _, h := range r.Headers {
				line.Headers = append(line.Headers, [2][]byte{[]byte(h.Key), h.Value})
			}
			b, err := json.Marshal(&line)
			must(t, err)
			lines.Write(append(b, '\n'))
			g.Records++
		})
	}
	g.write(t, topicsName, gzipped(t, lines.Bytes()))
}

func topicRecords(t *testing.T, g *generation) (all []*kgo.Record) {
	t.Helper()
	for line := range bytes.Lines(gunzip(t, g.read(t, topicsName))) {
		var r record
		must(t, json.Unmarshal(line, &r))
		k := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: time.UnixMilli(r.At), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: string(h[0]), Value: h[1]})
		}
		all = append(all, k)
	}
	if len(all) != g.Records {
		t.Fatalf("%d records, the manifest says %d", len(all), g.Records)
	}
	return all
}

// fill makes topics and writes records into them, each where it stood.
func (b *broker) fill(t *testing.T, records []*kgo.Record) {
	t.Helper()
	_, err := stream.EnsureTopics(t.Context(), b.admin, &b.kafka)
	must(t, err)
	must(t, stream.EnsureControl(t.Context(), b.admin, &b.kafka))
	wanted := make([]int64, len(records))
	for i, r := range records {
		wanted[i] = r.Offset
	}
	must(t, b.client.ProduceSync(t.Context(), records...).FirstErr())
	for i, r := range records {
		if r.Offset != wanted[i] && r.Topic != stream.ControlTopic { // whose transactions' ends are offsets too
			t.Fatalf("%s-%d: offset %d is now %d", r.Topic, r.Partition, wanted[i], r.Offset)
		}
	}
}

// consume lets an aggregator store records in a store of a data folder.
func consume(t *testing.T, g *generation, records []*kgo.Record, dir, dsn string) {
	t.Helper()
	b := newBroker(t, g.Partitions)
	b.fill(t, records)
	c := newCluster(t, b, dir, dsn)
	c.cfg.Control.Topic = true
	c.startAggregator()
	c.stopAggregator()
}

// consumed is what stands in a new store after it.
func consumed(t *testing.T, g *generation, records []*kgo.Record) books {
	t.Helper()
	dir := g.desk(t)
	consume(t, g, records, dir, "")
	db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
	return books{States: db.states(t), Tables: db.arrived(t)}
}

// checkTopics stores the records with the present aggregator, and takes clicks with
// the present gateway behind them.
func checkTopics(t *testing.T, g *generation) {
	report(t, "after consuming", g.consumedOtherwise(t, topicRecords(t, g)))
	t.Run("gateway", func(t *testing.T) {
		dir := g.desk(t)
		b := newBroker(t, g.Partitions)
		b.fill(t, topicRecords(t, g))
		c := newCluster(t, b, dir, "")
		c.cfg.Control.Topic, c.cfg.Control.File = true, ""
		c.startGateway()
		s := &story{edge: "http://" + c.gateway.Server.Addr().String(), office: &office{flags: []string{"--data", dir}}, n: 1 << 20}
		s.hour(t, openHour) // with API keys and token keys of the old entries
		s.visit(t)
		c.startAggregator()
		c.stopGateway()
		c.stopAggregator()
		db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
		before := int64(0)
		for _, n := range g.Topics.States {
			before += n.Events
		}
		if got, err := db.events(t.Context()); err != nil || got != before+s.sent {
			t.Errorf("%d events are stored, want %d from before and %d new ones: %v", got, before, s.sent, err)
		}
		flags := append(b.sets(), "--set", "keys.master_file="+filepath.Join(dir, masterName))
		if got := (&office{flags, g.MadeAt}).must(t, "control", "history"); strings.Count(got, "the first entries") != 2 {
			t.Errorf("the history of the control entries is\n%s", got)
		}
	})
}

// consumedOtherwise says what is different in a new store that consumed records.
func (g *generation) consumedOtherwise(t *testing.T, records []*kgo.Record) []string {
	t.Helper()
	dir := g.desk(t)
	consume(t, g, records, dir, "")
	db := openSQLite(t, filepath.Join(dir, config.SQLiteName))
	problems := db.differences(t.Context(), g.Topics.Tables)
	return append(problems, otherStates(g.Topics.States, db.states(t))...)
}

func otherStates(want, got map[string]tally) (problems []string) {
	if !maps.Equal(want, got) {
		problems = append(problems, fmt.Sprintf("states are %v, they were %v", got, want))
	}
	return problems
}
