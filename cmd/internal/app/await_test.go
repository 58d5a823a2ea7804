package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
)

// lines is a log that tests wait on.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// await waits until the log holds all of some texts, in whatever order.
func (l *lines) await(t *testing.T, texts ...string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		text := l.text.String()
		l.mu.Unlock()
		missing := ""
		for _, want := range texts {
			if !strings.Contains(text, want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the log never holds %q:\n%s", missing, text)
		}
	}
}

func (l *lines) options() app.Options {
	return app.Options{Logger: slog.New(slog.NewTextHandler(l, nil)), Registry: app.NewRegistry()}
}

// listening is the address that the log names for health and metrics.
func (l *lines) listening(t *testing.T) string {
	t.Helper()
	l.await(t, "health and metrics")
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := strings.Cut(l.text.String(), "listen=")
	return strings.Fields(rest)[0]
}

func readyz(t *testing.T, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

type started struct {
	a   *app.Aggregator
	err error
}

func startAggregator(ctx context.Context, cfg *config.Config, log *lines) <-chan started {
	done := make(chan started, 1)
	go func() {
		a, err := app.AwaitAggregator(ctx, cfg, log.options())
		done <- started{a, err}
	}()
	return done
}

func aggregatorConfig(store config.Store) *config.Config {
	cfg := config.DefaultConfig()
	cfg.Store, cfg.Aggregate.AdminListen, cfg.Aggregate.RetryPause = store, "127.0.0.1:0", 10*time.Millisecond
	return &cfg
}

// An aggregator whose store has no tables yet is alive and not ready, says what is
// wanted, and goes on by itself after `clickgate migrate`.
func TestAggregatorWaitsForTables(t *testing.T) {
	t.Parallel()
	cfg, log := aggregatorConfig(config.Store{SQLite: filepath.Join(t.TempDir(), "clicks.db")}), &lines{}
	done := startAggregator(t.Context(), cfg, log)
	log.await(t, "cannot start yet", "run `clickgate migrate`")
	if status, text := readyz(t, log.listening(t)); status != http.StatusServiceUnavailable || !strings.Contains(text, "clickgate migrate") {
		t.Errorf("readiness while it waits: %d %q", status, text)
	}
	if err := app.Migrate(t.Context(), &cfg.Store); err != nil {
		t.Fatal(err)
	}
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if status, text := readyz(t, log.listening(t)); status != http.StatusOK {
		t.Errorf("readiness after the wait: %d %q", status, text)
	}
	if err := got.a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// An aggregator whose PostgreSQL is away is alive and not ready, tries again and again,
// and ends in order when it is asked to. A DSN that is none is an error at once.
func TestAggregatorWaitsForStore(t *testing.T) {
	t.Parallel()
	cfg, log := aggregatorConfig(config.Store{DSN: "postgres://nobody@127.0.0.1:1/none"}), &lines{}
	ctx, cancel := context.WithCancel(t.Context())
	done := startAggregator(ctx, cfg, log)
	log.await(t, "cannot start yet", "pause=10ms", "pause=20ms", "pause=40ms") // back-off
	if status, text := readyz(t, log.listening(t)); status != http.StatusServiceUnavailable || !strings.Contains(text, "no answer from PostgreSQL") {
		t.Errorf("readiness while it waits: %d %q", status, text)
	}
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("a wait that was ended: %v", got.err)
	}
	cfg.Store.DSN = "postgres://nobody@127.0.0.1:port/none"
	if _, err := app.AwaitAggregator(t.Context(), cfg, log.options()); err == nil || !strings.Contains(err.Error(), "store.dsn") {
		t.Errorf("a DSN that is none: %v", err)
	}
}

// A gateway that starts for the first time while Kafka is away waits for it; the next
// ones start on their spool (TestGatewayStartsWithoutKafka).
func TestGatewayWaitsForKafka(t *testing.T) {
	t.Parallel()
	r, log := newAwayRig(t), &lines{}
	type result struct {
		g   *app.Gateway
		err error
	}
	done := make(chan result, 1)
	go func() {
		g, err := app.AwaitGateway(t.Context(), &r.cfg, log.options)
		done <- result{g, err}
	}()
	log.await(t, "cannot start yet", "kafka does not answer")
	r.broker()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	if err := got.g.Start(); err != nil {
		t.Fatal(err)
	}
	if status := r.click(got.g); status != http.StatusFound {
		t.Errorf("a click after the wait: status %d", status)
	}
	r.stop(got.g)

	r.cfg.Control.File = filepath.Join(t.TempDir(), "none.yaml")
	if _, err := app.AwaitGateway(t.Context(), &r.cfg, log.options); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("no waiting makes a control file: %v", err)
	}
}
