package standalone

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
)

// consoleProcess is the console part of a process over a data folder.
func consoleProcess(t *testing.T, dir string) (*process, string) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, config.SQLiteName), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := config.DefaultConfig()
	cfg.Console.Listen = "127.0.0.1:0"
	s := &process{
		opt: Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}, cfg: &cfg,
		aggregator: &app.Aggregator{Store: store},
	}
	if err := s.startConsole(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.console.Stop(t.Context()) })
	var out bytes.Buffer
	if err := s.announceConsole(&out); err != nil {
		t.Fatal(err)
	}
	return s, out.String()
}

// TestFirstStartMakesAnAdministrator follows the printed link, once, and signs in
// with the password of the file at the second start.
func TestFirstStartMakesAnAdministrator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, printed := consoleProcess(t, dir)
	_, link, found := strings.Cut(printed, "  console  ")
	link, _, _ = strings.Cut(link, " ")
	if !found || !strings.Contains(link, "/login?once=") {
		t.Fatalf("no link in %q", printed)
	}
	path := filepath.Join(dir, passwordName)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("password file: %v, %v", info, err)
	}
	password, err := os.ReadFile(path)
	if err != nil || len(password) != 27 || strings.Contains(printed, strings.TrimSpace(string(password))) {
		t.Fatalf("password of %d bytes, %v; printed %q", len(password), err, printed)
	}
	base, token, _ := strings.Cut(link, "/login?once=")
	for use, want := range []string{"Live", "used already"} {
		if got := submit(t, base, url.Values{"once": {token}}); !strings.Contains(got, want) {
			t.Errorf("use %d of the link lacks %q: %.200s", use+1, want, got)
		}
	}

	second, printed := consoleProcess(t, dir)
	if strings.Contains(printed, "once=") || !strings.Contains(printed, "first password in "+path) {
		t.Errorf("second start: %q", printed)
	}
	form := url.Values{"name": {firstUser}, "password": {strings.TrimSpace(string(password))}}
	if got := submit(t, second.console.URL(), form); !strings.Contains(got, "Live") {
		t.Errorf("the password does not sign in: %.200s", got)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, password) {
		t.Errorf("the second start changed the password: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
	if _, printed := consoleProcess(t, dir); strings.Contains(printed, "password") {
		t.Errorf("a file that is gone is named: %q", printed)
	}
}

// submit signs in like a browser and returns the page it ends at.
func submit(t *testing.T, base string, form url.Values) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Jar: jar}).PostForm(base+"/login", form)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}
