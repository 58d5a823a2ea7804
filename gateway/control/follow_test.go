package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// script is a Feed that answers what a test sends.
type script chan reading

func (s script) Read(ctx context.Context) ([]Record, error) {
	select {
	case r := <-s:
		return r.records, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s script) say(records ...[]Record) {
	var all []Record
	for _, r := range records {
		all = append(all, r...)
	}
	s <- reading{records: all}
}

var errAway = errors.New("broker is away")

func (r *rig) config(feed Feed, cache string) FollowerConfig {
	return FollowerConfig{
		Feed: feed, Cache: cache, FirstRead: 10 * time.Second, Ring: r.ring,
		Now: time.Now, Logger: r.logger(), Registerer: prometheus.NewRegistry(),
	}
}

// metric returns the value of the one series of a name, and its labels' values.
func metric(t *testing.T, cfg FollowerConfig, name string) (value float64, labels string) {
	t.Helper()
	families, err := cfg.Registerer.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name || len(f.GetMetric()) != 1 {
			continue
		}
		m := f.GetMetric()[0]
		for _, l := range m.GetLabel() {
			labels += l.GetValue()
		}
		return m.GetCounter().GetValue() + m.GetGauge().GetValue(), labels
	}
	t.Fatalf("no single series %s", name)
	return 0, ""
}

func TestFollowerActivatesInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, feed := newRig(t), make(script, 1)
		start := time.Now()
		feed.say(r.records(t, r.entry("acme", 1, start)), r.records(t, r.entry("acme", 2, start.Add(3*time.Hour))))
		cfg := r.config(feed, "")
		f, err := NewFollower(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		f.Start()
		defer f.Stop()
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := inForce(f.Set().Current()); got != want {
				t.Errorf("after %v: in force %q, want %q", time.Since(start), got, want)
			}
		}
		expect("acme1")
		time.Sleep(3*time.Hour - time.Nanosecond)
		expect("acme1")
		time.Sleep(time.Nanosecond)
		expect("acme2")

		bad := r.entry("acme", 3, time.Now())
		bad.Tenant.LandingHosts = []string{"no host/"}
		feed.say(r.records(t, bad), r.records(t, r.entry("beta", 1, time.Now())))
		expect("acme2 beta1")
		if n, _ := metric(t, cfg, "clickgate_control_refused_total"); n != 1 || !strings.Contains(r.log.String(), "tenant acme, version 3: ") {
			t.Errorf("%v refused\n%s", n, r.log.String())
		}
		if _, labels := metric(t, cfg, "clickgate_control_version_info"); labels != f.Set().Current().Version {
			t.Errorf("versions %q in force", labels)
		}
		feed.say(r.records(t, r.entry("acme", 4, time.Now().Add(time.Second))))
		expect("acme2 beta1")
		time.Sleep(time.Second)
		expect("acme4 beta1")
		if n, _ := metric(t, cfg, "clickgate_control_refused_total"); n != 1 {
			t.Errorf("%v refused, the bad entry counts once", n)
		}
		time.Sleep(time.Minute)
		if age, _ := metric(t, cfg, "clickgate_control_age_seconds"); age != 61 {
			t.Errorf("age %v, nothing was read for 61 s", age)
		}
	})
}

// A clock that is set forward is noticed.
func TestFollowerNoticesTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, feed := newRig(t), make(script, 1)
		start, ahead := time.Now(), time.Duration(0)
		feed.say(r.records(t, r.entry("acme", 1, start)), r.records(t, r.entry("acme", 2, start.Add(24*time.Hour))))
		cfg := r.config(feed, "")
		cfg.Now = func() time.Time { return time.Now().Add(ahead) }
		f, err := NewFollower(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		ahead = 24 * time.Hour // before the follower's goroutines run
		f.Start()
		defer f.Stop()
		time.Sleep(longestWait)
		synctest.Wait()
		if got := inForce(f.Set().Current()); got != "acme2" {
			t.Errorf("in force %q", got)
		}
	})
}

// The cache carries a gateway over a start without Kafka, plans included; the
// topic's word replaces it when it comes.
func TestFollowerStartsFromCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, feed := newRig(t), make(script, 1)
		cache := filepath.Join(t.TempDir(), "control.cache")
		start := time.Now()
		feed.say(r.records(t, r.entry("acme", 5, start)), r.records(t, r.entry("acme", 6, start.Add(time.Hour))), r.records(t, r.entry("beta", 1, start)))
		if _, err := NewFollower(t.Context(), r.config(feed, cache)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(cache)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("cache: %v, %v", info, err)
		}

		feed <- reading{err: errAway}
		f, err := NewFollower(t.Context(), r.config(feed, cache))
		if err != nil || inForce(f.Set().Current()) != "acme5 beta1" {
			t.Fatalf("%v", err)
		}
		f.Start()
		defer f.Stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := inForce(f.Set().Current()); got != "acme6 beta1" {
			t.Errorf("a cached plan: in force %q", got)
		}
		for _, step := range []struct {
			say  reading
			want string
		}{
			{reading{err: errAway}, "acme6 beta1"},
			{reading{}, "acme6 beta1"},                                           // an empty topic was lost; what is known stays
			{reading{records: r.records(t, r.entry("acme", 1, start))}, "acme1"}, // another topic, which begins anew
			{reading{}, "acme1"},
		} {
			feed <- step.say
			time.Sleep(2 * retryPause)
			synctest.Wait()
			if got := inForce(f.Set().Current()); got != step.want {
				t.Errorf("in force %q, want %q", got, step.want)
			}
		}
		for _, want := range []string{"come from the cache", "broker is away", "is read again"} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, r.log.String())
			}
		}
	})
}

func TestFollowerWithoutAnything(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged")
	feed := make(script, 1)
	feed.say(r.records(t, r.entry("acme", 1, epoch)))
	if _, err := NewFollower(t.Context(), r.config(feed, damaged)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, []byte(strings.Replace(string(content), "v1.example", "v2.example", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		say   reading
		cache string
		want  string
	}{
		"away, no cache kept": {reading{err: errAway}, "", "broker is away"},
		"away, no cache yet":  {reading{err: errAway}, filepath.Join(dir, "none"), "has not read the topic before"},
		"away, damaged cache": {reading{err: errAway}, damaged, "is damaged"},
		"empty":               {reading{}, "", "clickgate control apply FILE"},
	} {
		feed := make(script, 1)
		feed <- tc.say
		if _, err := NewFollower(t.Context(), r.config(feed, tc.cache)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
