package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/seal"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

var epoch = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

// rig is a control topic's keys, and everything that was logged.
type rig struct {
	sealer Sealer
	ring   *seal.Ring
	log    lockedBuffer
	secret string // a token key of every tenant that tenant makes
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	secret := make([]byte, 64)
	rand.Read(secret)
	master, err := seal.NewMaster(7, secret[:32])
	if err != nil {
		t.Fatal(err)
	}
	return &rig{
		sealer: Sealer{master, rand.Reader}, ring: seal.NewRing(master),
		secret: base64.StdEncoding.EncodeToString(secret[32:]),
	}
}

func (r *rig) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&r.log, nil)) }

// tenant is a small tenant; landing tells its versions apart.
func (r *rig) tenant(id, landing string) TenantEntry {
	sum := 0
	for _, c := range id {
		sum = sum*31 + int(c)
	}
	return TenantEntry{
		ID: id, LandingHosts: []string{landing},
		TokenKeys: []TokenKeyEntry{{ID: uint32(sum), Key: r.secret}},
		Sources:   []SourceEntry{{ID: "ads", Grace: 90 * time.Minute, APIKeys: []APIKeyEntry{{SHA256: hash(id)}}}},
		Campaigns: []CampaignEntry{{ID: "c", AdvertiserID: "a", Rates: []RateEntry{{Version: "r1", From: epoch.Add(time.Millisecond), PriceMicros: 5, Currency: "EUR"}}}},
	}
}

func (r *rig) entry(id string, version uint64, at time.Time) *Entry {
	return &Entry{
		Version: version, ActivatesAt: at, WrittenAt: epoch, Who: "ada", Why: "test",
		Tenant: r.tenant(id, fmt.Sprintf("v%d.example", version)),
	}
}

// records are both records of an entry: history first.
func (r *rig) records(t testing.TB, e *Entry) []Record {
	t.Helper()
	value, err := e.encode(r.sealer)
	if err != nil {
		t.Fatal(err)
	}
	return []Record{{[]byte(e.historyKey()), value}, {[]byte(e.key()), value}}
}

// inForce lists tenants with the version that the landing host tells.
func inForce(s *Snapshot) string {
	if s == nil {
		return ""
	}
	var all []string
	for _, t := range s.Tenants() {
		version := "?"
		for v := range 20 {
			if _, _, bad := t.Landing.Check(fmt.Sprintf("https://v%d.example/", v)); bad == nil {
				version = fmt.Sprint(v)
			}
		}
		all = append(all, t.ID+version)
	}
	return strings.Join(all, " ")
}

// kafkaTopic is a control topic of a test.
type kafkaTopic struct {
	name string
	opts []kgo.Opt
}

// onKafka runs a test on the broker in memory and, where one is there, on Apache
// Kafka.
func onKafka(t *testing.T, test func(*testing.T, *kafkaTopic)) {
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		k, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		test(t, newTopic(t, k.ListenAddrs()))
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		t.Parallel()
		addresses := os.Getenv("CLICKGATE_TEST_KAFKA")
		if addresses == "" {
			t.Skip("CLICKGATE_TEST_KAFKA is not set; `make test` starts a broker")
		}
		test(t, newTopic(t, strings.Split(addresses, ",")))
	})
}

func newTopic(t *testing.T, brokers []string) *kafkaTopic {
	t.Helper()
	k := &kafkaTopic{name: "control-test-" + strings.ToLower(rand.Text()), opts: []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.ClientID("test")}}
	client, err := kgo.NewClient(k.opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	adm := kadm.NewClient(client)
	compact := "compact"
	if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, k.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := adm.DeleteTopic(context.WithoutCancel(t.Context()), k.name); err != nil {
			t.Error(err)
		}
	})
	return k
}

// produce writes records past the publisher, as a broken tool would.
func (k *kafkaTopic) produce(t *testing.T, records ...Record) {
	t.Helper()
	client, err := kgo.NewClient(append(k.opts[:len(k.opts):len(k.opts)], kgo.DefaultProduceTopic(k.name))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, r := range records {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Key: r.Key, Value: r.Value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// records reads the whole topic.
func (k *kafkaTopic) records(t *testing.T) []Record {
	t.Helper()
	feed, err := NewKafkaFeed(k.name, k.opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	records, err := feed.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func (r *rig) publisher(k *kafkaTopic) *Publisher {
	return &Publisher{Topic: k.name, Options: k.opts, Sealer: r.sealer, Ring: r.ring, Now: time.Now}
}

// publish brings the topic to the tenants of after.
func publish(t *testing.T, p *Publisher, after *File, m Meta) {
	t.Helper()
	state, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Changes(state.File(), after)
	if err != nil || len(changes) == 0 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	if _, err := p.Publish(t.Context(), state, changes, m); err != nil {
		t.Fatal(err)
	}
}

var meta = Meta{Who: "ada", Why: "ticket 1"}
