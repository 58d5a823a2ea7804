package demo

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/testdata"
)

// run feeds the played edge until the end, under fake time.
func run(t *testing.T, e *playedEdge, cfg Config) Tally {
	t.Helper()
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range e.wrong {
		t.Error(w)
	}
	return f.Tally()
}

func feedOf(t *testing.T, tally Tally, name string) FeedTally {
	t.Helper()
	for _, f := range tally.Feeds {
		if f.Feed == name {
			if f.Clicks != f.Accepted+f.Malformed+f.Failed {
				t.Errorf("feed %s does not add up: %+v", name, f)
			}
			return f
		}
	}
	t.Fatalf("no feed %q in %v", name, tally.Feeds)
	return FeedTally{}
}

// agree compares the feed's account with the edge's.
func agree(t *testing.T, e *playedEdge, tally Tally) {
	t.Helper()
	if n := len(tally.Sources()); n != len(e.received) {
		t.Errorf("%d sources in the tally, %d at the edge", n, len(e.received))
	}
	for _, s := range tally.Sources() {
		if got := int64(e.received[s.Tenant+"/"+s.Source]); got < s.Received || got > s.Received+s.Unsure {
			t.Errorf("source %s/%s: the edge received %d, the tally says %d and %d unsure", s.Tenant, s.Source, got, s.Received, s.Unsure)
		}
	}
	if n := len(tally.Campaigns); n != len(e.accepted) {
		t.Errorf("%d campaigns in the tally, %d at the edge", n, len(e.accepted))
	}
}

// smallLog is how many lines of the log a small demo sends; all of them parse.
const smallLog = 1200

// small is a demo of a minute or two.
func small(t *testing.T, cfg Config) Config {
	t.Helper()
	text, err := testdata.AccessLog()
	if err != nil {
		t.Fatal(err)
	}
	end := 0
	for range smallLog {
		end += bytes.IndexByte(text[end:], '\n') + 1
	}
	cfg.Log = text[:end]
	cfg.Duration, cfg.Day, cfg.LogDuration = 130*time.Second, 90*time.Second, time.Minute
	cfg.AttackAfter, cfg.AttackFor = 20*time.Second, 30*time.Second
	cfg.Peak, cfg.AttackRate = 15, 50
	return cfg
}

func TestEverythingArrivesAndIsCounted(t *testing.T) {
	t.Parallel()
	e, cfg := newPlayedEdge(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := small(t, cfg)
		cfg.Log = nil // the embedded one, whole
		start := time.Now()
		tally := run(t, e, cfg)
		agree(t, e, tally)
		for _, s := range tally.Sources() {
			if s.Unsure != 0 || s.Received < 50 {
				t.Errorf("source %+v, nothing went wrong", s)
			}
		}
		for _, c := range tally.Campaigns {
			if got := int64(e.accepted[c.Tenant+"/"+c.Campaign]); got != c.Accepted || got == 0 {
				t.Errorf("campaign %s/%s: %d accepted, tally says %d", c.Tenant, c.Campaign, got, c.Accepted)
			}
		}
		log := feedOf(t, tally, "log")
		if log.Clicks != 10_000 || log.Malformed != 1 || e.malformed != 1 {
			t.Errorf("the log has 10000 lines and one is malformed: %+v", log)
		}
		if log.Redelivered < 50 || log.Redelivered > 1000 || int(log.Redelivered) != e.copies() {
			t.Errorf("%d redelivered, %d copies came", log.Redelivered, e.copies())
		}
		checkLog(t, e, cfg, start)
		checkPaid(t, e, tally)
		checkAttack(t, e, cfg, start)
	})
}

// checkLog wants every line at its scheduled time.
func checkLog(t *testing.T, e *playedEdge, cfg Config, start time.Time) {
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range f.log {
		if c.raw == "" {
			want = append(want, fmt.Sprint(c.offset.Microseconds(), c.ip, c.agent, c.referer, pathClass(c.path)))
		}
	}
	var got []string
	for _, a := range e.log {
		got = append(got, fmt.Sprint(a.at.Sub(start.Truncate(time.Microsecond)).Microseconds(), a.ip, a.agent, a.referer, a.placement))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines came, not the %d scheduled ones at their times", len(got), len(want))
	}
}

func checkPaid(t *testing.T, e *playedEdge, tally Tally) {
	doubles, want := 0, int64(0)
	for _, n := range e.opened {
		doubles += n - 1
	}
	for _, c := range tally.Campaigns {
		want += c.DoubleClicks
	}
	if int64(doubles) != want || doubles < 3 {
		t.Errorf("%d double clicks came, tally says %d", doubles, want)
	}
	crawlers := 0
	for _, c := range e.clicks {
		if strings.Contains(c.agent, "bot") {
			crawlers++
		}
	}
	if crawlers < 3 || crawlers > len(e.clicks)/10 {
		t.Errorf("%d clicks of crawlers", crawlers)
	}
	if other := feedOf(t, tally, "other"); other.Clicks < 30 || other.Tenant != OtherTenant {
		t.Errorf("the other tenant has %+v", other)
	}
}

func checkAttack(t *testing.T, e *playedEdge, cfg Config, start time.Time) {
	addresses, n := map[string]string{}, 0
	for _, c := range e.clicks {
		if !strings.HasPrefix(c.ip, "198.51.100.") {
			continue
		}
		if at := c.at.Sub(start); at < cfg.AttackAfter || at > cfg.AttackAfter+cfg.AttackFor {
			t.Fatalf("the attack clicks at %s", at)
		}
		if agent, ok := addresses[c.ip]; ok && agent != c.agent || c.campaign != paidCampaign {
			t.Fatalf("an attacker changed its agent or clicks on %s", c.campaign)
		}
		addresses[c.ip] = c.agent
		n++
	}
	if want := cfg.AttackRate * cfg.AttackFor.Seconds(); len(addresses) != cfg.Attackers || math.Abs(float64(n)-want) > 5*math.Sqrt(want) {
		t.Errorf("the attack had %d addresses and %d clicks, want %d and about %.0f", len(addresses), n, cfg.Attackers, want)
	}
}

func TestFaultsAreAccountedFor(t *testing.T) {
	t.Parallel()
	e, cfg := newPlayedEdge(t)
	e.strict = false
	faults := map[fault]int{}
	e.fault = func(n int, r *http.Request) fault {
		f := map[int]fault{0: overload, 5: notDurable, 10: lostAnswer, 15: lostCall}[n%20]
		if r.Method == "GET" && f != lostCall && f != lostAnswer {
			f = healthy // a paid click is always redirected
		}
		faults[f]++
		return f
	}
	synctest.Test(t, func(t *testing.T) {
		tally := run(t, e, small(t, cfg))
		agree(t, e, tally)
		log, paid := feedOf(t, tally, "log"), feedOf(t, tally, "paid")
		if log.Clicks != smallLog || log.Accepted != smallLog || log.Failed != 0 || len(e.items) != smallLog {
			t.Errorf("a sender that retries loses nothing: %+v, %d arrived", log, len(e.items))
		}
		if log.Retries < 20 || log.Unsure == 0 || paid.Failed == 0 || paid.Unsure != paid.Failed {
			t.Errorf("faults left no trace: log %+v, paid %+v", log, paid)
		}
		for _, f := range []fault{overload, notDurable, lostAnswer, lostCall} {
			if faults[f] < 10 {
				t.Errorf("fault %d happened %d times only", f, faults[f])
			}
		}
	})
}

func TestRefusedBatchesAreNotRetried(t *testing.T) {
	t.Parallel()
	e, cfg := newPlayedEdge(t)
	cfg.APIKey = "not one"
	synctest.Test(t, func(t *testing.T) {
		cfg := small(t, cfg)
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := feedOf(t, f.Tally(), "log")
		if log.Failed != smallLog || log.Retries != 0 || log.Unsure != 0 || len(e.items) != 0 {
			t.Errorf("%+v", log)
		}
	})
}

func TestCancelKeepsTheAccountWhole(t *testing.T) {
	t.Parallel()
	e, cfg := newPlayedEdge(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := small(t, cfg)
		cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(300 * time.Millisecond) // of fake time: requests are under way at the end
			return e.RoundTrip(r)
		})
		e.strict = false
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begin := time.Now()
		err = f.Run(ctx)
		if took := time.Since(begin); err != nil || took < 30*time.Second || took > 31*time.Second {
			t.Errorf("ended after %s: %v", took, err)
		}
		tally := f.Tally()
		agree(t, e, tally)
		if paid, attack := feedOf(t, tally, "paid"), feedOf(t, tally, "attack"); paid.Clicks < 100 || attack.Clicks < 100 || paid.Failed+attack.Failed > 0 {
			t.Errorf("%+v %+v", paid, attack)
		}
		if log := feedOf(t, tally, "log"); log.Clicks < 200 || log.Clicks > smallLog-100 || log.Unsure != 0 {
			t.Errorf("%+v", log)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The seed decides who clicks when on what; the entropy decides ids and nonces.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	arrivals := func(seed, entropy uint64) (all []string, ids []string) {
		e, cfg := newPlayedEdge(t)
		synctest.Test(t, func(t *testing.T) {
			cfg := small(t, cfg)
			cfg.Seed, cfg.Entropy = seed, rand.NewChaCha8([32]byte{byte(entropy)})
			cfg.Duration = 40 * time.Second
			run(t, e, cfg)
		})
		for _, a := range append(e.log, e.clicks...) {
			ids = append(ids, a.opener)
			a.opener = ""
			all = append(all, fmt.Sprint(a))
		}
		slices.Sort(all)
		slices.Sort(ids)
		return all, ids
	}
	first, firstIDs := arrivals(1, 1)
	again, againIDs := arrivals(1, 1)
	fresh, freshIDs := arrivals(1, 2)
	other, _ := arrivals(2, 1)
	if len(first) < 800 {
		t.Fatalf("only %d clicks", len(first))
	}
	if !slices.Equal(first, again) || !slices.Equal(firstIDs, againIDs) {
		t.Error("the same seed and entropy made another demo")
	}
	if !slices.Equal(first, fresh) || slices.Equal(firstIDs, freshIDs) {
		t.Error("other entropy must change the ids and nothing else")
	}
	if slices.Equal(first, other) {
		t.Error("another seed made the same demo")
	}
}

// Duration ends everything, also the log.
func TestDuration(t *testing.T) {
	t.Parallel()
	e, cfg := newPlayedEdge(t)
	synctest.Test(t, func(t *testing.T) {
		cfg := small(t, cfg)
		cfg.Speed, cfg.Duration = 2, 15*time.Second
		begin := time.Now()
		tally := run(t, e, cfg)
		agree(t, e, tally)
		if took := time.Since(begin); took < 14*time.Second || took > 16*time.Second {
			t.Errorf("15 s took %s", took)
		}
		log, attack := feedOf(t, tally, "log"), feedOf(t, tally, "attack")
		if log.Clicks < 200 || log.Clicks > smallLog-100 || attack.Clicks < 300 {
			t.Errorf("half a minute at double speed: %+v %+v", log, attack)
		}
	})
}

// Over real sockets: redirects are not followed, and speed shortens everything.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	e, cfg := newPlayedEdge(t)
	e.strict = false
	server := httptest.NewServer(e)
	defer server.Close()
	cfg = small(t, cfg)
	cfg.EdgeURL, cfg.Transport, cfg.Speed, cfg.Duration = server.URL, nil, 200, 450*time.Millisecond
	cfg.LogDuration = 20 * time.Second
	begin := time.Now()
	tally := run(t, e, cfg)
	agree(t, e, tally)
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("half a second at 200 times the speed took %s", took)
	}
	if log, attack := feedOf(t, tally, "log"), feedOf(t, tally, "attack"); log.Accepted != smallLog || attack.Accepted < 1000 || attack.Failed > 0 {
		t.Errorf("%+v %+v", log, attack)
	}
}

func TestTallyText(t *testing.T) {
	t.Parallel()
	tally := Tally{
		Feeds: []FeedTally{
			{Feed: "attack", Tenant: "demo", Source: "edge", Clicks: 5, Accepted: 5},
			{Feed: "log", Tenant: "demo", Source: "adserver", Clicks: 10, Accepted: 8, Malformed: 1, Failed: 1, Redelivered: 3, Retries: 2, Unsure: 4},
			{Feed: "paid", Tenant: "demo", Source: "edge", Clicks: 7, Accepted: 7},
		},
		Campaigns: []CampaignTally{{Tenant: "demo", Campaign: "acme-spring", Accepted: 12, Attack: 5}},
	}
	want := []SourceTally{{"demo", "adserver", 12, 4}, {"demo", "edge", 12, 0}}
	if got := tally.Sources(); !slices.Equal(got, want) {
		t.Errorf("sources %+v, want %+v", got, want)
	}
	text := tally.String()
	for _, line := range []string{"log 10 8 1 1 3 2 4", "demo adserver 12 4", "demo acme-spring 12 0 0 5"} {
		if !slices.ContainsFunc(strings.Split(text, "\n"), func(l string) bool { return strings.Join(strings.Fields(l), " ") == line }) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	_, good := newPlayedEdge(t)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"EdgeURL":     func(c *Config) { c.EdgeURL = "edge:80/path" },
		"APIKey":      func(c *Config) { c.APIKey = "" },
		"TokenKey":    func(c *Config) { c.TokenKey = c.OtherKey },
		"Speed":       func(c *Config) { c.Speed = 0 },
		"LogDuration": func(c *Config) { c.LogDuration = 0 },
		"attack":      func(c *Config) { c.AttackFor = -1 },
		"Senders":     func(c *Config) { c.Senders = 0 },
		"Entropy":     func(c *Config) { c.Entropy = nil },
		"Day":         func(c *Config) { c.Day = 0 },
		"Addresses":   func(c *Config) { c.Attackers = 300 },
		"Peak":        func(c *Config) { c.OtherPeak = -1 },
		"Duration":    func(c *Config) { c.Duration = -time.Second },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
