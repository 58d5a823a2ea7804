package retrain

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/control"
	"clickgate/scoring"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// scorers returns what two parts of a process score with.
func scorers(t testing.TB) []*scoring.Models {
	t.Helper()
	var out []*scoring.Models
	for range 2 {
		j, err := scoring.NewJudge(scoring.DefaultConfig(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, j.Models())
	}
	return out
}

func wantInForce(t *testing.T, set []*scoring.Models, live, shadow uint64) {
	t.Helper()
	for _, m := range set {
		if l, s := m.Hashes(); l != live || s != shadow {
			t.Errorf("in force %x and %x, want %x and %x", l, s, live, shadow)
		}
	}
}

// fakeSource is what a test says.
type fakeSource struct {
	now   InForce
	files map[string][]byte
	err   error
}

func (s *fakeSource) InForce(context.Context) (InForce, error) { return s.now, s.err }
func (s *fakeSource) File(_ context.Context, hash string) ([]byte, error) {
	if f := s.files[hash]; f != nil {
		return f, nil
	}
	return nil, errors.New("no such file")
}

// What is read whole takes force in all parts at once; what is not leaves everything as
// it was, and the cache holds what was last in force.
func TestFollower(t *testing.T) {
	t.Parallel()
	a, b := candidate(t, 1), candidate(t, 2)
	ha, hb := hex16(a.Model.Hash()), hex16(b.Model.Hash())
	src := &fakeSource{files: map[string][]byte{ha: a.Model.Bytes(), hb: b.Model.Bytes()}, err: errors.New("away")}
	cache := filepath.Join(t.TempDir(), "models.cache")
	follower := func() (*Follower, []*scoring.Models) {
		set := scorers(t)
		return NewFollower(FollowerConfig{Source: src, Every: time.Hour, Set: set, Cache: cache, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}), set
	}
	f, set := follower()
	if err := f.Poll(t.Context()); err == nil {
		t.Error("a source that is away was read")
	}
	wantInForce(t, set, 0, 0)
	src.err, src.now = nil, InForce{Version: 2, Live: Slot{ha, 0.6}, Shadow: Slot{hb, 0.7}}
	if err := f.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantInForce(t, set, a.Model.Hash(), b.Model.Hash())
	for name, spoil := range map[string]func(){
		"a file that is missing": func() { src.now.Live.Hash = "0123456789abcdef" },
		"a damaged file":         func() { src.files["0123456789abcdef"] = bytes.Repeat([]byte{1}, 200) },
		"another model":          func() { src.files["0123456789abcdef"] = b.Model.Bytes() },
	} {
		src.now = InForce{Version: 3, Live: Slot{"0123456789abcdef", 0.6}}
		delete(src.files, "0123456789abcdef")
		spoil()
		if err := f.Poll(t.Context()); err == nil {
			t.Errorf("%s took force", name)
		}
		wantInForce(t, set, a.Model.Hash(), b.Model.Hash())
	}
	src.now = InForce{Version: 1, Live: Slot{hb, 0.6}} // of a publisher that was overtaken
	if err := f.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantInForce(t, set, a.Model.Hash(), b.Model.Hash())
	if n := testutil.ToFloat64(f.refused); n != 4 {
		t.Errorf("%v readings refused", n)
	}

	src.err = errors.New("away")
	next, set := follower()
	next.Start()
	next.Stop()
	wantInForce(t, set, a.Model.Hash(), b.Model.Hash())
	if err := os.WriteFile(cache, []byte(`{"version":9,"live":{"hash":"`+ha+`"},"files":{"`+ha+`":"AAAA"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	next, set = follower()
	next.Start()
	next.Stop()
	wantInForce(t, set, 0, 0)
}

// What a person promotes in the store is in force at a gateway that only has the topic,
// and so is what is rolled back, without a restart of anything.
func TestStoreToGateway(t *testing.T) {
	t.Parallel()
	const topic = "models.v1"
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	feed, err := control.NewKafkaFeed(topic, kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(feed.Close)

	s := newStore(t)
	d := &Desk{Store: s, Now: time.Now, Who: "os:ana"}
	p := &Publisher{Source: NewStoreSource(s), Client: client, Topic: topic, Logger: slog.New(slog.DiscardHandler)}
	set := scorers(t)
	f := NewFollower(FollowerConfig{Source: &TopicSource{Feed: feed}, Set: set, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err := f.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing is in it") {
		t.Errorf("an empty topic: %v", err)
	}
	clock := time.Now()
	arrives := func(what string, live, shadow uint64) {
		t.Helper()
		clock = clock.Add(time.Second)
		if err := p.Publish(t.Context(), clock); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := f.Poll(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		wantInForce(t, set, live, shadow)
	}
	arrives("an empty book", 0, 0)
	a, b := candidate(t, 1), candidate(t, 2)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Propose(t.Context(), a, "first", 0, 0))
	arrives("propose", 0, a.Model.Hash())
	must(d.Promote(t.Context(), a.Model.Hash(), "x", false))
	must(d.Propose(t.Context(), b, "second", 0, 0))
	arrives("promote and propose", a.Model.Hash(), b.Model.Hash())
	must(d.Promote(t.Context(), b.Model.Hash(), "x", false))
	arrives("promote", b.Model.Hash(), 0)
	_, err = d.Rollback(t.Context(), "x")
	must(err)
	arrives("roll back", a.Model.Hash(), 0)

	// A publisher that begins anew writes all again; a gateway that begins anew reads it.
	again := &Publisher{Source: NewStoreSource(s), Client: client, Topic: topic, Logger: slog.New(slog.DiscardHandler)}
	must(again.Publish(t.Context(), clock))
	feed2, err := control.NewKafkaFeed(topic, kgo.SeedBrokers(k.ListenAddrs()...))
	must(err)
	t.Cleanup(feed2.Close)
	fresh := scorers(t)
	must(NewFollower(FollowerConfig{Source: &TopicSource{Feed: feed2}, Set: fresh, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}).Poll(t.Context()))
	wantInForce(t, fresh, a.Model.Hash(), 0)
}

// What is unchanged is written again after a while, and only then.
func TestPublisherRepeats(t *testing.T) {
	t.Parallel()
	const topic = "models.v1"
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := &Publisher{Source: &fakeSource{now: InForce{Version: 4}}, Client: client, Topic: topic, Logger: slog.New(slog.DiscardHandler)}
	at := time.Unix(1_800_000_000, 0)
	for _, after := range []time.Duration{0, time.Second, repeatEvery - 1, repeatEvery, repeatEvery + time.Second} {
		if err := p.Publish(t.Context(), at.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	records := 0
	for records < 2 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		records += fetches.NumRecords()
	}
	if records != 2 {
		t.Errorf("%d records", records)
	}
}
