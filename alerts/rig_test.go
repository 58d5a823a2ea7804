package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/alerts/pagerduty"
	"clickgate/alerts/pagerduty/standin"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

const testKey = "0123456789abcdefABCDEF0123456789"

// migrated is the file of an empty store.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "clickgate-alerts-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "clicks.db")
	s, err := sqlite.Open(context.Background(), path, sqlite.Config{})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.Migrate(context.Background()), s.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// rig is a store, a stand-in and services on both, under virtual time.
type rig struct {
	t        *testing.T
	store    Store
	pager    *standin.Server
	services int
	stalled  atomic.Int64 // since when the aggregator stores nothing; 0 while it does
	closeIt  func() error
}

// stocked is a store whose marks are those of one gateway that is well, as far as
// the aggregator is.
type stocked struct {
	aggregate.Incidents
	stalled *atomic.Int64
}

func (s stocked) StoredMarks(context.Context) ([]aggregate.StoredMark, error) {
	at := time.Now().UnixMicro()
	if stalled := s.stalled.Load(); stalled != 0 {
		at = stalled
	}
	return marksOf("edge-1", 1, at, false), nil
}

// marksOf is the newest mark of a gateway in the one partition of each topic.
func marksOf(gateway string, boot uint64, at int64, final bool) []aggregate.StoredMark {
	m := click.Mark{Gateway: gateway, Boot: boot, Number: uint64(at), At: at, Final: final, ClickPartitions: 1, DeadLetterPartitions: 1}
	return []aggregate.StoredMark{
		{Partition: aggregate.Partition{Topic: stream.ClicksTopic}, Mark: m},
		{Partition: aggregate.Partition{Topic: stream.DeadLettersTopic}, Mark: m},
	}
}

// newMemoryRig is a rig on a store in memory.
func newMemoryRig(t *testing.T) *rig {
	r := &rig{t: t, pager: standin.New(time.Now), closeIt: func() error { return nil }}
	r.store = stocked{newMemory(), &r.stalled}
	return r
}

// newRig opens a store, which a test in a bubble of synctest closes itself.
func newRig(t *testing.T) *rig {
	t.Helper()
	file, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "clicks.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, pager: standin.New(time.Now), closeIt: store.Close}
	r.store = stocked{store, &r.stalled}
	return r
}

func (r *rig) close() { r.must(r.closeIt()) }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) client() *pagerduty.Client {
	r.t.Helper()
	cfg := pagerduty.DefaultConfig()
	cfg.RoutingKey = testKey
	c, err := pagerduty.New(cfg, r.pager.Transport(), time.Now)
	r.must(err)
	return c
}

// service returns a service of a process of its own.
func (r *rig) service(store Store) *Service {
	r.t.Helper()
	r.services++
	return New(DefaultConfig(), Dependencies{
		Store: store, Pager: r.client(), Calls: pagerduty.DefaultConfig().CallsPerMinute, Owner: fmt.Sprint("process ", r.services),
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
}

// sender is the part of a service that sends, with a lease of its own.
func (r *rig) sender(store Store) (*sender, int64) {
	r.t.Helper()
	r.services++
	// Long after the lease of the one before.
	lease, err := r.store.LeaseAlerts(r.t.Context(), fmt.Sprint("process ", r.services), time.Now().Add(time.Hour*time.Duration(r.services)), time.Second)
	r.must(err)
	return &sender{
		store: store, pager: r.client(), calls: 60, now: time.Now, logger: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), plan: planPages,
	}, lease.Fence
}

// count adds rows to the minute counts, as an aggregator does.
func (r *rig) count(minute int64, rows ...aggregate.MinuteCount) {
	r.t.Helper()
	store := r.store.(stocked).Incidents
	if m, ok := store.(*memory); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, row := range rows {
			row.Minute = minute
			m.rows = append(m.rows, row)
		}
		return
	}
	var deltas []aggregate.MinuteDelta
	for _, row := range rows {
		for state, n := range row.Counts {
			if n > 0 {
				deltas = append(deltas, aggregate.MinuteDelta{MinuteKey: aggregate.MinuteKey{
					TenantID: row.TenantID, SourceID: row.SourceID, CampaignID: row.CampaignID, PublisherID: row.PublisherID,
					Currency: row.Currency, Minute: minute, State: click.State(state),
				}, Count: n, Micros: 250_000 * n})
			}
		}
	}
	r.must(store.(*sqlite.Store).InTx(r.t.Context(), func(tx aggregate.Tx) error { return tx.AddMinutes(r.t.Context(), deltas) }))
}

// settled holds PagerDuty to what the store says is open.
func (r *rig) settled() {
	r.t.Helper()
	for _, p := range r.problems() {
		r.t.Error(p)
	}
}

func (r *rig) problems() (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	list, err := r.store.ListIncidents(r.t.Context(), aggregate.IncidentQuery{OpenOnly: true})
	r.must(err)
	var want, got []string
	for i := range list {
		want = append(want, DedupKey(list[i].ID))
	}
	for _, a := range r.pager.Open() {
		got = append(got, a.DedupKey)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		say("PagerDuty has %v open, the store %v", got, want)
	}
	if lone, _ := r.pager.Resolves(); lone != 0 {
		say("%d lone resolves", lone)
	}
	calls := r.pager.Calls()
	for n, c := range calls {
		if c.Problem != "" {
			say("call %+v", c)
		}
		if n >= 60 && c.At.Sub(calls[n-60].At) < time.Minute {
			say("61 calls within %s", c.At.Sub(calls[n-60].At))
		}
	}
	return problems
}

// dying is a store that dies with its process at a given call.
type dying struct {
	Store
	beforeAttempt, afterAttempt, beforeSettle bool
}

var errDied = errors.New("the process died here")

func (d *dying) AttemptPage(ctx context.Context, fence, seq int64, now time.Time) error {
	if d.beforeAttempt {
		return errDied
	}
	if err := d.Store.AttemptPage(ctx, fence, seq, now); err != nil || !d.afterAttempt {
		return err
	}
	return errDied
}

func (d *dying) SettlePages(ctx context.Context, fence int64, now time.Time, ends []aggregate.PageEnd) error {
	if d.beforeSettle {
		return errDied
	}
	return d.Store.SettlePages(ctx, fence, now, ends)
}

// memory keeps counts, incidents and pages as the stores do, and is fast enough for
// hundreds of histories. TestServiceRingsOnce and the tests of single pages run on a
// real store.
type memory struct {
	aggregate.Incidents // nil: what is not below is not called

	mu        sync.Mutex
	rows      []aggregate.MinuteCount
	lease     aggregate.AlertsLease
	owner     string
	until     time.Time
	incidents map[string]aggregate.Incident
	pages     []memoryPage
}

type memoryPage struct {
	aggregate.Page
	outcome aggregate.PageOutcome
	tried   time.Time
}

func newMemory() *memory { return &memory{incidents: map[string]aggregate.Incident{}} }

func (m *memory) MinuteCounts(_ context.Context, from, to int64) (out []aggregate.MinuteCount, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.Minute >= from && r.Minute < to {
			out = append(out, r)
		}
	}
	return out, nil
}

func (m *memory) HourCounts(context.Context, int64, int64) ([]aggregate.MinuteCount, error) {
	return nil, nil
}

func (m *memory) LeaseAlerts(_ context.Context, owner string, now time.Time, ttl time.Duration) (aggregate.AlertsLease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if owner != m.owner && now.Before(m.until) {
		return aggregate.AlertsLease{}, aggregate.ErrLeased
	}
	m.lease.Fence++
	m.owner, m.until = owner, now.Add(ttl)
	return m.lease, nil
}

// fenced runs f under the lock when the fence is the newest.
func (m *memory) fenced(fence int64, f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fence != m.lease.Fence {
		return aggregate.ErrNotLeader
	}
	f()
	return nil
}

func (m *memory) RenewAlerts(_ context.Context, fence int64, until time.Time) error {
	return m.fenced(fence, func() { m.until = until })
}

func (m *memory) PutIncidents(_ context.Context, fence, judged int64, puts []aggregate.IncidentPut) error {
	return m.fenced(fence, func() {
		m.lease.Judged = max(m.lease.Judged, judged)
		for _, p := range puts {
			m.incidents[p.ID] = p.Incident
			if p.Page != nil {
				m.pages = append(m.pages, memoryPage{Page: aggregate.Page{
					Seq: int64(len(m.pages) + 1), IncidentID: p.ID, Action: p.Page.Action, Payload: p.Page.Payload,
				}})
			}
		}
	})
}

func (m *memory) ListIncidents(_ context.Context, q aggregate.IncidentQuery) (out []aggregate.Incident, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.incidents {
		if i.Open() || !q.OpenOnly && i.ResolvedAt >= q.Since {
			out = append(out, i)
		}
	}
	return out, nil
}

func (m *memory) PendingPages(context.Context) (out []aggregate.Page, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pages {
		if p.outcome != 0 {
			continue
		}
		for _, o := range m.pages {
			switch {
			case o.IncidentID != p.IncidentID:
			case o.outcome == aggregate.PageSent:
				p.Delivered, p.Maybe = o.Action, false
			case o.Action == aggregate.PageTrigger && o.Attempts > 0 && o.outcome != aggregate.PageRefused:
				p.Maybe = true
			}
		}
		out = append(out, p.Page)
	}
	return out, nil
}

func (m *memory) AttemptPage(_ context.Context, fence, seq int64, now time.Time) error {
	return m.fenced(fence, func() {
		m.pages[seq-1].Attempts++
		m.pages[seq-1].tried = now
	})
}

func (m *memory) PageCalls(_ context.Context, from, to int64) (n int64, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pages {
		if at := p.tried.UnixMicro(); at > from && at <= to {
			n += min(p.Attempts, aggregate.MaxPageCalls)
		}
	}
	return n, nil
}

func (m *memory) SettlePages(_ context.Context, fence int64, _ time.Time, ends []aggregate.PageEnd) error {
	return m.fenced(fence, func() {
		for _, e := range ends {
			if p := &m.pages[e.Seq-1]; p.outcome == 0 {
				p.outcome = e.Outcome
			}
		}
	})
}
