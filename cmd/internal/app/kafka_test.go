package app_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRealKafka runs the cluster on Apache Kafka. The topics' names are fixed, so
// the tests on one broker come one after the other, each with topics of its own.
func TestRealKafka(t *testing.T) {
	t.Parallel() // with tests that have another broker
	addresses := os.Getenv("CLICKGATE_TEST_KAFKA")
	if addresses == "" {
		t.Skip("CLICKGATE_TEST_KAFKA is not set; `make test` starts a broker")
	}
	kafka := kafkaConfig(strings.Split(addresses, ","))
	client, err := kgo.NewClient(kafka.ClientOptions("clickgate-test")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	adm := kadm.NewClient(client)
	for _, test := range []struct {
		name string
		run  func(*testing.T, stream.Config, *kadm.Client)
	}{
		{"counts like the brokers in memory", testCountsAlike},
		{"topics made again between two runs of the gateways", testTopicsMadeAgain},
		{"topics made again under the gateways", testTopicsMadeAgainUnderGateways},
	} {
		passed := t.Run(test.name, func(t *testing.T) {
			deleteTopics(t, adm)
			test.run(t, kafka, adm)
		})
		if !passed {
			break // what it left running would write into the next one's topics
		}
		deleteTopics(t, adm)
	}
}

func testCountsAlike(t *testing.T, kafka stream.Config, _ *kadm.Client) {
	clicks := newLoad(t, 18)
	got := newCluster(t, anyStore(t), kafka).run(clicks)
	want := newCluster(t, anyStore(t), fakeKafka(t)).run(clicks)
	if got.states != loadStates {
		t.Errorf("states %v, want %v", got.states, loadStates)
	}
	if !slices.Equal(got.totals, want.totals) {
		t.Errorf("totals on Kafka %+v\nin memory %+v", got.totals, want.totals)
	}
	bill, inMemory := overHours(got.billing), overHours(want.billing)
	if !maps.Equal(bill, inMemory) {
		t.Errorf("billing on Kafka %+v\nin memory %+v", bill, inMemory)
	}
	spring := aggregate.BillingRow{TenantID: "acme", AdvertiserID: "adv", CampaignID: "spring", Currency: "EUR"}
	if cost := bill[spring].CostMicros; cost != loadBatches*loadSize*100_000 {
		t.Errorf("billed %d micros: %+v", cost, bill)
	}
}

// overHours adds up rows that only differ in the hour, under a key of the other
// names: what is malformed counts where it was received, and the hour may turn
// between two runs.
func overHours(rows []aggregate.BillingRow) map[aggregate.BillingRow]aggregate.BillingRow {
	sums := make(map[aggregate.BillingRow]aggregate.BillingRow)
	for _, r := range rows {
		key := aggregate.BillingRow{TenantID: r.TenantID, AdvertiserID: r.AdvertiserID, CampaignID: r.CampaignID, Currency: r.Currency}
		sum := sums[key]
		for state, n := range r.Counts {
			sum.Counts[state] += n
		}
		sum.CostMicros += r.CostMicros
		sum.SavedMicros += r.SavedMicros
		sums[key] = sum
	}
	return sums
}

// The topics go and come back while no gateway runs. The aggregator runs on and
// reads the new ones from their start; old events that come again are repeats.
func testTopicsMadeAgain(t *testing.T, kafka stream.Config, adm *kadm.Client) {
	c := newCluster(t, anyStore(t), kafka)
	first, second := newLoad(t, 18), newLoad(t, 19)
	c.send(first)
	c.stopGateways()
	c.account(loadEvents, 2)
	before := readTopics(t, adm, &kafka)
	deleteTopics(t, adm)

	c.startGateways()
	c.send(second)
	c.send(first)
	c.stopGateways()
	account := c.account(3*loadEvents, 4)
	c.wantReadFromStart(adm, before)
	wantFirstAgain(t, c.stop(account))
}

// The topics go and come back under running gateways. Their producers refuse the
// new ones, so they ack from their spools; the next start delivers.
func testTopicsMadeAgainUnderGateways(t *testing.T, kafka stream.Config, adm *kadm.Client) {
	c := newCluster(t, anyStore(t), kafka)
	first, second := newLoad(t, 18), newLoad(t, 19)
	c.send(first)
	c.account(loadEvents, 0)
	before := readTopics(t, adm, &kafka)
	deleteTopics(t, adm)
	if _, err := stream.EnsureTopics(t.Context(), adm, &kafka); err != nil {
		t.Fatal(err)
	}

	c.send(second)
	c.abandonGateways()
	c.startGateways()
	c.send(first)
	c.stopGateways()
	account := c.account(3*loadEvents, 2)
	c.wantReadFromStart(adm, before)
	wantFirstAgain(t, c.stop(account))
}

// wantFirstAgain checks two loads of which the first came twice.
func wantFirstAgain(t *testing.T, got result) {
	t.Helper()
	want := [click.NumStates]int64{
		click.Valid:       2 * loadStates[click.Valid],
		click.Redelivered: 2*loadStates[click.Redelivered] + loadStates[click.Valid] + loadStates[click.Redelivered],
		click.Malformed:   3 * loadStates[click.Malformed],
	}
	if got.states != want {
		t.Errorf("states %v, want %v", got.states, want)
	}
}

// abandonGateways ends gateways that cannot reach their topics any more.
func (c *cluster) abandonGateways() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, g := range c.gateways {
		short, cancel := context.WithTimeout(ctx, time.Second)
		if err := g.Stop(short); !errors.Is(err, context.DeadlineExceeded) {
			c.t.Errorf("the gateway ended with %v; want its spool's records to wait for the next start", err)
		}
		cancel()
		if err := g.Close(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
}

// wantReadFromStart checks that the topics are not those of before, that nothing
// is missing at their start, and that all of every partition is stored.
func (c *cluster) wantReadFromStart(adm *kadm.Client, before stream.Topics) {
	c.t.Helper()
	topics := readTopics(c.t, adm, &c.base.Kafka)
	for name, ids := range map[string][2][16]byte{
		stream.ClicksTopic:      {before.Clicks.ID, topics.Clicks.ID},
		stream.DeadLettersTopic: {before.DeadLetters.ID, topics.DeadLetters.ID},
	} {
		if ids[0] == ids[1] {
			c.t.Errorf("topic %s was not made again", name)
		}
		starts, err := adm.ListStartOffsets(c.t.Context(), name)
		if err != nil {
			c.t.Fatal(err)
		}
		ends, err := adm.ListEndOffsets(c.t.Context(), name)
		if err != nil {
			c.t.Fatal(err)
		}
		stored, err := c.aggregator.Store.StoredThrough(c.t.Context(), topics.ClusterID, ids[1])
		if err != nil {
			c.t.Fatal(err)
		}
		start, end := make(map[int32]int64), make(map[int32]int64)
		starts.Each(func(o kadm.ListedOffset) { start[o.Partition] = o.Offset })
		ends.Each(func(o kadm.ListedOffset) { end[o.Partition] = o.Offset })
		for p, from := range start {
			if from != 0 || end[p] == 0 {
				c.t.Errorf("topic %s, partition %d: has offsets [%d, %d); want some from 0 on", name, p, from, end[p])
			}
		}
		if !maps.Equal(stored, end) {
			c.t.Errorf("topic %s: stored through %v of %v", name, stored, end)
		}
	}
}

func readTopics(t *testing.T, adm *kadm.Client, kafka *stream.Config) stream.Topics {
	t.Helper()
	as := *kafka
	as.CreateTopics = false
	topics, err := stream.EnsureTopics(t.Context(), adm, &as)
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

// deleteTopics returns when every trace of the topics is gone.
func deleteTopics(t *testing.T, adm *kadm.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	names := []string{stream.ClicksTopic, stream.DeadLettersTopic}
	for gone := false; !gone; {
		deleted, err := adm.DeleteTopics(ctx, names...)
		if err != nil {
			t.Fatal(err)
		}
		gone = true
		for _, d := range deleted {
			if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
				t.Fatalf("topic %s: cannot delete it: %v", d.Topic, d.Err)
			}
			gone = gone && d.Err != nil
		}
	}
}

// anyStore is PostgreSQL where it is there, else SQLite.
func anyStore(t *testing.T) config.Store {
	t.Helper()
	kind := "SQLite"
	if os.Getenv("CLICKGATE_TEST_POSTGRES") != "" {
		kind = "PostgreSQL"
	}
	return stores()[kind](t)
}
