package demo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/demomodel"
	"clickgate/scoring/givt"
)

// copied is a played edge that also notes when copies of items came.
type copied struct {
	*playedEdge
	mu     sync.Mutex
	seen   map[string]bool
	copies []time.Time
}

func (c *copied) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var items []item
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, err
		}
		c.mu.Lock()
		for _, it := range items {
			if c.seen[it.ID] {
				c.copies = append(c.copies, time.Now())
			}
			c.seen[it.ID] = true
		}
		c.mu.Unlock()
	}
	return c.playedEdge.RoundTrip(r)
}

// traffic is what a demo sent, with verdicts.
type traffic struct {
	start time.Time
	at    []time.Time
	rows  []aggregate.MinuteCount // of one event each
}

// record plays a demo for a time and judges every click as a gateway and a store
// do.
func record(t *testing.T, lasts time.Duration, change func(*Config)) *traffic {
	t.Helper()
	e, cfg := newPlayedEdge(t)
	c := &copied{playedEdge: e, seen: map[string]bool{}}
	cfg.Transport, cfg.Duration = c, lasts
	change(&cfg)
	out := &traffic{}
	synctest.Test(t, func(t *testing.T) {
		out.start = time.Now()
		run(t, e, cfg)
	})
	scorer := newScorer(t)
	billed := map[string]bool{}
	all := append(slices.Clone(e.log), e.clicks...)
	slices.SortStableFunc(all, func(a, b arrived) int { return a.at.Compare(b.at) })
	for _, a := range all {
		state := verdict(scorer, &a)
		if state == click.Valid && a.opener != "" {
			if billed[a.opener] {
				state = click.Duplicate
			}
			billed[a.opener] = true
		}
		out.add(a.at, &a, state)
	}
	for _, at := range c.copies {
		out.add(at, &arrived{tenant: Tenant, campaign: LogCampaign}, click.Redelivered)
	}
	return out
}

func newScorer(t *testing.T) *scoring.Scorer {
	t.Helper()
	lists, err := givt.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	s, err := scoring.New(scoring.DefaultConfig(), lists, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	model, err := demomodel.Open()
	if err == nil {
		err = s.SwapModel(model)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verdict(s *scoring.Scorer, a *arrived) click.State {
	ip := netip.MustParseAddr(a.ip)
	c := click.Click{TenantID: a.tenant, EventTime: a.at.UnixMicro()}
	agent := fnv.New64a()
	_, _ = io.WriteString(agent, a.agent)
	wide := ip.As16()
	copy(c.IPKey[:], wide[:])
	binary.LittleEndian.PutUint64(c.AgentKey[:], agent.Sum64())
	s.Score(&c, &click.Signals{IP: ip, UserAgent: a.agent, Referer: a.referer})
	return c.Verdict.State
}

func (tr *traffic) add(at time.Time, a *arrived, state click.State) {
	r := aggregate.MinuteCount{TenantID: a.tenant, CampaignID: a.campaign, Currency: "EUR"}
	r.SourceID, r.PublisherID, r.Micros = "edge", strings.Trim(strings.TrimPrefix(a.referer, "https://"), "/"), priceMicros
	if a.campaign == LogCampaign {
		r.SourceID, r.PublisherID, r.Micros = LogSource, "semicomplete", 50_000
	}
	if state == click.Redelivered {
		r.Micros = 0
	}
	r.Counts[state] = 1
	tr.at, tr.rows = append(tr.at, at), append(tr.rows, r)
}

// minutes adds the events up by minute, as if the demo had begun that long after a
// full minute.
func (tr *traffic) minutes(after time.Duration) (rows []aggregate.MinuteCount, from, to int64) {
	type key struct {
		minute                              int64
		tenant, source, campaign, publisher string
	}
	sums := map[key]*aggregate.MinuteCount{}
	base := tr.start.Truncate(time.Minute)
	for n, at := range tr.at {
		r := tr.rows[n]
		r.Minute = base.Add(at.Sub(tr.start) + after).Truncate(time.Minute).UnixMicro()
		k := key{r.Minute, r.TenantID, r.SourceID, r.CampaignID, r.PublisherID}
		sum := sums[k]
		if sum == nil {
			sum = &aggregate.MinuteCount{TenantID: r.TenantID, SourceID: r.SourceID, CampaignID: r.CampaignID, PublisherID: r.PublisherID, Currency: r.Currency, Minute: r.Minute}
			sums[k] = sum
		}
		for s, c := range r.Counts {
			sum.Counts[s] += c
		}
		sum.Micros += r.Micros
		to = max(to, r.Minute+time.Minute.Microseconds())
	}
	for _, r := range sums {
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b aggregate.MinuteCount) int {
		return cmp.Or(cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.SourceID, b.SourceID),
			cmp.Compare(a.CampaignID, b.CampaignID), cmp.Compare(a.PublisherID, b.PublisherID))
	})
	return rows, base.UnixMicro(), to
}

// TestAlertsOnTheAttack: wherever in a minute the demo begins, its attack opens one
// incident, within two minutes of its begin, and it resolves.
func TestAlertsOnTheAttack(t *testing.T) {
	t.Parallel()
	var attack, lasts time.Duration
	tr := record(t, 12*time.Minute, func(c *Config) { attack, lasts = c.AttackAfter, c.AttackFor })
	for after := time.Duration(0); after < time.Minute; after += 5 * time.Second {
		rows, from, to := tr.minutes(after)
		ids, resolved, opened := map[string]bool{}, 0, int64(0)
		ends := (after + attack + lasts).Microseconds()
		for _, p := range alerts.Replay(alerts.DefaultConfig(), rows, from, to) {
			if !ids[p.ID] {
				opened = p.UpdatedAt + time.Minute.Microseconds() - from
			}
			ids[p.ID] = true
			if !p.Open() {
				resolved++
				if p.ResolvedAt+time.Minute.Microseconds() < from+ends {
					t.Errorf("begun %s after a minute: resolved before the attack ends", after)
				}
			}
		}
		if len(ids) != 1 || resolved != 1 {
			t.Errorf("begun %s after a minute: %d incidents, %d resolved", after, len(ids), resolved)
		}
		if late := time.Duration(opened)*time.Microsecond - after - attack; late > 2*time.Minute || late < 0 {
			t.Errorf("begun %s after a minute: rings %s after the attack began", after, late)
		}
	}
}

// TestOrdinaryDemoIsQuiet: more than half an hour of the demo without its attack
// opens no incident.
func TestOrdinaryDemoIsQuiet(t *testing.T) {
	t.Parallel()
	tr := record(t, 33*time.Minute, func(c *Config) { c.AttackFor = 0 })
	if len(tr.at) < 25_000 {
		t.Fatalf("only %d events", len(tr.at))
	}
	for after := time.Duration(0); after < time.Minute; after += 10 * time.Second {
		rows, from, to := tr.minutes(after)
		for _, p := range alerts.Replay(alerts.DefaultConfig(), rows, from, to) {
			t.Fatalf("begun %s after a minute, minute %d: %s %+v", after, (p.UpdatedAt-from)/time.Minute.Microseconds(), p.Title, p.Series)
		}
	}
}
