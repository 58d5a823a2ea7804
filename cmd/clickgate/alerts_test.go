package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/alerts/pagerduty/standin"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

const (
	routingKey = "0123456789abcdefABCDEF0123456789"
	// killsAtEach is how often the process dies in each of the two windows, for the
	// beginning of the incident and for its end.
	killsAtEach = 3
)

// TestAlertsKilled kills `clickgate alerts` with SIGKILL again and again: while what
// it wrote to the store is not at PagerDuty yet, and while PagerDuty has it and the
// store does not know. Between them there is one page, and one end of it.
func TestAlertsKilled(t *testing.T) {
	t.Parallel()
	a := newAlertsRun(t)
	for _, phase := range []struct {
		action string
		until  time.Time // how far the marks are
	}{{"trigger", a.attackEnd}, {"resolve", a.now}} {
		a.mark(phase.until.Add(15 * time.Second))
		for range killsAtEach {
			a.killAt(phase.action, holdsBefore)
		}
		for range killsAtEach {
			a.killAt(phase.action, holdsAfter)
		}
		a.settle()
	}
	alerts := a.pager.Alerts()
	lone, repeated := a.pager.Resolves()
	if len(alerts) != 1 || alerts[0].ResolvedAt.IsZero() || alerts[0].Triggers != killsAtEach+1 {
		t.Errorf("alerts %+v", alerts)
	}
	if lone != 0 || repeated != killsAtEach {
		t.Errorf("%d lone resolves, %d repeated ones", lone, repeated)
	}
	for _, c := range a.pager.Calls() {
		if c.Problem != "" || c.DedupKey != alerts[0].DedupKey {
			t.Errorf("call %+v", c)
		}
	}
	if len(a.died) != 4 {
		t.Fatalf("windows %v", a.died)
	}
	for window, n := range a.died {
		if n != killsAtEach {
			t.Errorf("%s: died %d times", window, n)
		}
	}
	if text := a.output.String(); text == "" || bytes.Contains([]byte(text), []byte(routingKey)) {
		t.Errorf("output:\n%s", text)
	}
}

// Where PagerDuty holds a call.
const (
	holdsNothing int32 = iota
	holdsBefore        // it is there, and nothing came of it
	holdsAfter         // it is taken, and the answer does not come
)

// alertsRun is a store with an attack, a stand-in that holds calls, and the processes
// between them.
type alertsRun struct {
	*testing.T
	store          *sqlite.Store
	pager          *standin.Server
	config         string
	now, attackEnd time.Time
	marks          uint64

	hold   atomic.Int32
	held   chan struct{} // one for each call that is held
	died   map[string]int
	output lockedBuffer
}

func newAlertsRun(t *testing.T) *alertsRun {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "clicks.db")
	store, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a := &alertsRun{
		T: t, store: store, pager: standin.New(time.Now), config: filepath.Join(dir, "clickgate.yaml"),
		now: time.Now().Truncate(time.Minute), held: make(chan struct{}, 100), died: map[string]int{},
	}
	a.attackEnd = a.now.Add(-10 * time.Minute)
	a.must(store.Migrate(t.Context()))
	a.attack()
	server := httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(server.Close)
	key := filepath.Join(dir, "key")
	a.must(os.WriteFile(key, []byte(routingKey+"\n"), 0o600))
	a.must(os.WriteFile(a.config, []byte("store: {sqlite: "+path+"}\nalerts: {admin_listen: ''}\n"+
		"pagerduty: {url: '"+server.URL+"/v2/enqueue', routing_key_file: "+key+"}\n"), 0o600))
	return a
}

func (a *alertsRun) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// attack stores an hour of ordinary minutes, four of an attack, ten ordinary ones,
// and that nothing of the attack is judged.
func (a *alertsRun) attack() {
	begun := a.attackEnd.Add(-4 * time.Minute)
	var deltas []aggregate.MinuteDelta
	for at := begun.Add(-time.Hour); at.Before(a.now); at = at.Add(time.Minute) {
		invalid := int64(6)
		if !at.Before(begun) && at.Before(a.attackEnd) {
			invalid = 9000
		}
		for state, n := range map[click.State]int64{click.Valid: 600, click.SIVT: invalid} {
			deltas = append(deltas, aggregate.MinuteDelta{MinuteKey: aggregate.MinuteKey{
				TenantID: "acme", SourceID: "edge", CampaignID: "spring", PublisherID: "news", Currency: "EUR", Minute: at.UnixMicro(), State: state,
			}, Count: n, Micros: 250_000 * n})
		}
	}
	a.must(a.store.InTx(a.Context(), func(tx aggregate.Tx) error { return tx.AddMinutes(a.Context(), deltas) }))
	lease, err := a.store.LeaseAlerts(a.Context(), "test", time.Now(), 0)
	a.must(err)
	a.must(a.store.PutIncidents(a.Context(), lease.Fence, begun.Add(-time.Minute).UnixMicro(), nil))
}

// mark stores that a gateway's clicks are stored up to a time.
func (a *alertsRun) mark(until time.Time) {
	a.Helper()
	a.marks++
	m := click.Mark{Gateway: "edge-1", Boot: 1, Number: a.marks, At: until.UnixMicro(), ClickPartitions: 1, DeadLetterPartitions: 1}
	a.must(a.store.InTx(a.Context(), func(tx aggregate.Tx) error {
		for n, topic := range []string{stream.ClicksTopic, stream.DeadLettersTopic} {
			p := aggregate.Partition{Topic: topic, TopicID: [16]byte{byte(n)}}
			if err := tx.PutMarks(a.Context(), p, []click.Mark{m}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// serve is PagerDuty.
func (a *alertsRun) serve(w http.ResponseWriter, r *http.Request) {
	switch a.hold.Load() {
	case holdsBefore:
		_, _ = io.Copy(io.Discard, r.Body) // only then a server sees that the caller is gone
	case holdsAfter:
		a.pager.ServeHTTP(httptest.NewRecorder(), r)
	default:
		a.pager.ServeHTTP(w, r)
		return
	}
	a.held <- struct{}{}
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func (a *alertsRun) start() *exec.Cmd {
	a.Helper()
	cmd := exec.Command(os.Args[0], "alerts", "--config", a.config)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asProgram+"=1"), &a.output, &a.output
	a.must(cmd.Start())
	a.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// killAt starts a process and kills it while PagerDuty holds its call.
func (a *alertsRun) killAt(action string, where int32) {
	a.Helper()
	taken := len(a.pager.Calls())
	a.hold.Store(where)
	cmd := a.start()
	select {
	case <-a.held:
	case <-time.After(90 * time.Second):
		a.Fatalf("no %s is sent:\n%s", action, a.output.String())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	pending, err := a.store.PendingPages(a.Context())
	a.must(err)
	arrived := len(a.pager.Calls()) - taken
	if len(pending) != 1 || pending[0].Attempts == 0 || arrived != int(where-holdsBefore) {
		a.Fatalf("killed elsewhere: %d calls taken, pending %+v", arrived, pending)
	}
	window := action + " before it is sent"
	if arrived == 1 {
		window = action + " before it is noted"
	}
	a.died[window]++
	// The lease of the dead one runs out.
	_, err = a.store.LeaseAlerts(a.Context(), "time", time.Now().Add(time.Hour), -2*time.Hour)
	a.must(err)
}

// settle lets a process live until everything is told, and stops it.
func (a *alertsRun) settle() {
	a.Helper()
	a.hold.Store(holdsNothing)
	cmd := a.start()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		pending, err := a.store.PendingPages(a.Context())
		a.must(err)
		if len(pending) == 0 {
			break
		}
		if time.Now().After(end) {
			a.Fatalf("pending for good: %+v\n%s", pending, a.output.String())
		}
	}
	a.must(cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		a.Errorf("%v:\n%s", err, a.output.String())
	}
}

// lockedBuffer is a buffer that several processes write to.
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
