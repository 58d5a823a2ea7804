package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func follow(t *testing.T, r *rig, k *kafkaTopic, cache string) *Follower {
	t.Helper()
	feed, err := NewKafkaFeed(k.name, k.opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(feed.Close)
	f, err := NewFollower(t.Context(), r.config(feed, cache))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func await(t *testing.T, f *Follower, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for inForce(f.Set().Current()) != want {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("in force %q, want %q\n", inForce(f.Set().Current()), want)
		}
	}
}

// From operator to gateway: what is published takes force, also after a restart
// and without Kafka, and no clear key is anywhere on the way.
func TestPublishAndFollow(t *testing.T) {
	t.Parallel()
	onKafka(t, testPublishAndFollow)
}

func testPublishAndFollow(t *testing.T, k *kafkaTopic) {
	r := newRig(t)
	p := r.publisher(k)
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v1.example"), r.tenant("beta", "v1.example")}}, meta)
	cache := filepath.Join(t.TempDir(), "control.cache")
	f := follow(t, r, k, cache)
	await(t, f, "acme1 beta1")
	f.Start()
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v2.example"), r.tenant("beta", "v1.example")}}, meta)
	await(t, f, "acme2 beta1")
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v3.example")}}, Meta{Who: "bob", Why: "soon", ActivateAt: time.Now().Add(300 * time.Millisecond)})
	await(t, f, "acme3")
	f.Stop()

	state, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var history string
	for _, e := range state.History("acme") {
		history += fmt.Sprintf("%s#%d %s %s;", e.Tenant.ID, e.Version, e.Who, e.Why)
		if e.Version > 1 && e.Previous != state.History("acme")[e.Version-2].Hash {
			t.Errorf("version %d does not name the one before", e.Version)
		}
	}
	if history != "acme#1 ada ticket 1;acme#2 ada ticket 1;acme#3 bob soon;" || len(state.History("")) != 5 {
		t.Errorf("history %s of %d", history, len(state.History("")))
	}
	records := k.records(t)
	if len(records) != 10 {
		t.Fatalf("%d records", len(records))
	}
	content, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{fmt.Sprintf("%s", records), string(content), r.log.String()} {
		if place == "" || strings.Contains(place, r.secret[:12]) {
			t.Errorf("a clear key, or nothing, in:\n%s", place)
		}
	}

	nobody, err := NewKafkaFeed(k.name, kgo.SeedBrokers("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	cfg := r.config(nobody, cache)
	cfg.FirstRead = 50 * time.Millisecond
	again, err := NewFollower(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	await(t, again, "acme3")
}

// The second of two operators who read the same state is refused, whether the
// first is done or still at it.
func TestConcurrentPublish(t *testing.T) {
	t.Parallel()
	onKafka(t, testConcurrentPublish)
}

func testConcurrentPublish(t *testing.T, k *kafkaTopic) {
	r := newRig(t)
	p := r.publisher(k)
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v1.example"), r.tenant("beta", "v1.example")}}, meta)
	base, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	change := func(tenant, landing string) []Change {
		next := r.tenant(tenant, landing)
		return []Change{{tenant, base.File().Tenant(tenant), &next}}
	}
	if _, err := p.Publish(t.Context(), base, change("acme", "v2.example"), meta); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), base, change("acme", "v3.example"), meta); !errors.Is(err, ErrChanged) {
		t.Errorf("a stale base: %v", err)
	}
	if _, err := p.Publish(t.Context(), base, change("beta", "v2.example"), meta); err != nil {
		t.Errorf("another tenant is not in the way: %v", err)
	}

	if base, err = p.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	const operators = 6
	results := make(chan error, operators)
	for range operators {
		go func() {
			_, err := p.Publish(t.Context(), base, change("acme", "v4.example"), meta)
			results <- err
		}()
	}
	won := 0
	for range operators {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, ErrChanged) {
			t.Errorf("refused without a word on what to do: %v", err)
		}
	}
	after, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after.History("acme")); won > 1 || n != 2+won || len(after.Bad) > 0 {
		t.Errorf("%d won, %d versions, bad %v", won, n, after.Bad)
	}
}

// Each half of a torn pair is enough to read, and the next version completes the
// history.
func TestTornPair(t *testing.T) {
	t.Parallel()
	onKafka(t, testTornPair)
}

func testTornPair(t *testing.T, k *kafkaTopic) {
	r := newRig(t)
	one, two := r.records(t, r.entry("acme", 1, epoch)), r.records(t, r.entry("beta", 1, epoch))
	k.produce(t, one[1], two[0]) // acme without history, beta without the newest
	f := follow(t, r, k, "")
	await(t, f, "acme1 beta1")
	p := r.publisher(k)
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v2.example"), r.tenant("beta", "v2.example")}}, meta)
	newest := map[string]string{} // what compaction leaves
	for _, record := range k.records(t) {
		newest[string(record.Key)] = string(record.Value)
	}
	if newest["acme#1"] != string(one[1].Value) || newest["beta#1"] == "" || newest["acme"] != newest["acme#2"] || newest["beta"] != newest["beta#2"] || len(newest) != 6 {
		t.Errorf("after compaction: %d keys", len(newest))
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	onKafka(t, testPublishRefuses)
}

func testPublishRefuses(t *testing.T, k *kafkaTopic) {
	r := newRig(t)
	p := r.publisher(k)
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v1.example")}}, meta)
	publish(t, p, &File{Tenants: []TenantEntry{r.tenant("acme", "v2.example")}}, Meta{Who: "ada", Why: "plan", ActivateAt: time.Now().Add(time.Hour)})
	k.produce(t, Record{[]byte("old#9"), []byte("color: red")}, Record{[]byte("odd"), []byte("color: red")})
	base, err := p.Read(t.Context())
	if err != nil || len(base.Bad) != 2 {
		t.Fatalf("%v, bad %v", err, base.Bad)
	}
	valid, taken, odd := r.tenant("acme", "v3.example"), r.tenant("beta", "v1.example"), r.tenant("a#1", "v1.example")
	taken.Sources[0].APIKeys[0].SHA256 = hash("acme")
	blocked := r.tenant("old", "v1.example")
	for name, tc := range map[string]struct {
		change Change
		meta   Meta
		want   string
	}{
		"nobody":             {Change{Tenant: "acme", After: &valid}, Meta{Why: "x"}, "who"},
		"no reason":          {Change{Tenant: "acme", After: &valid}, Meta{Who: "x", Why: " "}, "--why"},
		"before a plan":      {Change{Tenant: "acme", After: &valid}, meta, "--overtake"},
		"key of another":     {Change{Tenant: "beta", After: &taken}, meta, "belongs to one source"},
		"last tenant":        {Change{Tenant: "acme"}, Meta{Who: "a", Why: "b", Overtake: true}, "no tenant would be left"},
		"hash sign":          {Change{Tenant: "a#1", After: &odd}, meta, "separates id and version"},
		"unreadable version": {Change{Tenant: "old", After: &blocked}, meta, "cannot be read here"},
	} {
		if _, err := p.Publish(t.Context(), base, []Change{tc.change}, tc.meta); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), r.secret[:12]) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	if after, err := p.Read(t.Context()); err != nil || after.Version() != base.Version() {
		t.Errorf("a refused change was written: %v", err)
	}
	if _, err := p.Publish(t.Context(), base, []Change{{Tenant: "acme", After: &valid}}, Meta{Who: "a", Why: "b", Overtake: true}); err != nil {
		t.Error(err)
	}
	healed := r.tenant("odd", "v1.example")
	if _, err := p.Publish(t.Context(), base, []Change{{Tenant: "odd", After: &healed}}, meta); err != nil {
		t.Errorf("a broken newest record is replaced: %v", err)
	}
}
