package standalone

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"
)

// transcript collects what a running standalone says.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits for a condition and returns how long it took.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(what)
		}
	}
	return time.Since(start)
}

// A change of the control file takes effect while standalone runs, an invalid one
// does not, and no clear key is told.
func TestControlFileIsReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg, err := config.Load(config.Source{Data: dir, Set: []string{
		"gateway.listen=127.0.0.1:0", "gateway.admin_listen=127.0.0.1:0", "gateway.batch.listen=127.0.0.1:0", "console.listen=", "aggregate.admin_listen=",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Prepare(&cfg.Config); err != nil {
		t.Fatal(err)
	}
	var out, log transcript
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{Config: &cfg.Config, Dir: dir, Version: "test", Stdout: &out, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	}()
	edge := regexp.MustCompile(`edge +(http://\S+)`)
	eventually(t, 20*time.Second, "start", func() bool { return edge.MatchString(out.String()) || len(done) > 0 })
	if len(done) > 0 {
		t.Fatalf("ended with %v\n%s", <-done, log.String())
	}
	url := edge.FindStringSubmatch(out.String())[1] + "/v1/clicks"
	status := func(key string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close() // only the status counts
		return answer.StatusCode
	}
	store := &control.FileStore{Path: cfg.Control.File, Now: time.Now}
	addKey := func(key string) {
		t.Helper()
		base, err := store.Read()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(key))
		content, err := control.AddAPIKey("demo", "adserver", control.APIKeyEntry{SHA256: hex.EncodeToString(sum[:])}).ApplyText(base.Content)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Write(base, content, "source rotate", "demo", control.Meta{Who: "ada", Why: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := status("canary-one"); got != 401 {
		t.Fatalf("an unknown key: status %d", got)
	}
	addKey("canary-one")
	took := eventually(t, 10*time.Second, "the key", func() bool { return status("canary-one") != 401 })
	t.Logf("a change took effect after %v", took)

	good, err := os.ReadFile(cfg.Control.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.Control.File, []byte("tenants: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the refusal", func() bool { return strings.Contains(log.String(), "the control file is refused") })
	if got := status("canary-one"); got == 401 {
		t.Error("the entries in force did not stay")
	}
	if err := os.WriteFile(cfg.Control.File, good, 0o600); err != nil {
		t.Fatal(err)
	}
	addKey("canary-two")
	eventually(t, 10*time.Second, "the second key", func() bool { return status("canary-two") != 401 })
	if n := strings.Count(log.String(), "the control file is refused"); n != 1 {
		t.Errorf("the refusal was told %d times", n)
	}

	cancel()
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	cache, err := os.ReadFile(filepath.Join(cfg.Spool.Dir, "control.cache"))
	if err != nil {
		t.Fatal(err)
	}
	audit, err := os.ReadFile(cfg.Control.File + control.AuditSuffix)
	if err != nil || strings.Count(string(audit), "\n") < 3 {
		t.Fatalf("audit %s, %v", audit, err)
	}
	told := fmt.Sprint(out.String(), log.String(), string(cache), string(audit))
	file, err := store.Read()
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"canary-one", "canary-two"}
	for _, tenant := range file.File.Tenants {
		secrets = append(secrets, tenant.TokenKeys[0].Key)
	}
	for _, secret := range secrets {
		if secret == "" || strings.Contains(told, secret) {
			t.Errorf("a secret, or none to look for, in what was told:\n%s", told)
		}
	}
}
