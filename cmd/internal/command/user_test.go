package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/alerts/console/auth"
)

// runWith runs a command line with a standard input.
func (d *desk) runWith(stdin io.Reader, status int, args ...string) (stdout, stderr string) {
	d.t.Helper()
	var out, errs bytes.Buffer
	got := Run(context.Background(), append(args, "--data", d.dir), Env{
		Stdin: stdin, Stdout: &out, Stderr: &errs, Environ: d.env, Now: func() time.Time { return now },
		Entropy: rand.Reader, User: "ada", Version: "v1.2.3",
	})
	if got != status {
		d.t.Fatalf("%v: status %d, want %d\nstdout: %s\nstderr: %s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestUsers(t *testing.T) {
	t.Parallel()
	const first, second = "correct horse battery staple", "another five words of it"
	d := newDesk(t)
	d.must(ExitFailure, "start `clickgate standalone` first", "user", "list")
	store, err := sqlite.Open(t.Context(), filepath.Join(d.dir, "clickgate.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // as a console that runs meanwhile
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.runWith(strings.NewReader(first+"\r\n"), ExitOK, "user", "add", "anna", "--role", "billing", "--tenant", "acme")
	for _, c := range []struct {
		stdin, want string
		status      int
		args        []string
	}{
		{first, "exists already", ExitNegative, []string{"add", "anna", "--role", "admin", "--tenant", "*"}},
		{"short", "too short", ExitNegative, []string{"add", "bob", "--role", "admin", "--tenant", "*"}},
		{"", "too short", ExitNegative, []string{"add", "bob", "--role", "admin", "--tenant", "*"}},
		{first, "role is unknown", ExitNegative, []string{"add", "bob", "--role", "root", "--tenant", "*"}},
		{first, "unexpected argument", ExitUsage, []string{"add", "bob", first, "--role", "admin", "--tenant", "*"}},
		{first, "no such user", ExitNegative, []string{"passwd", "bob"}},
		{"", "no such user", ExitNegative, []string{"disable", "bob"}},
	} {
		_, stderr := d.runWith(strings.NewReader(c.stdin), c.status, append([]string{"user"}, c.args...)...)
		if !strings.Contains(stderr, c.want) || strings.Contains(stderr, first) && c.status != ExitUsage {
			t.Errorf("%v: %s", c.args, stderr)
		}
	}
	d.runWith(nil, ExitUsage, "user", "passwd", "anna")

	accounts := auth.NewAccounts(store, auth.DefaultParams(), rand.Reader, time.Now)
	signsIn := func(password string) bool {
		_, err := accounts.SignIn(t.Context(), "anna", password, netip.Addr{})
		return err == nil
	}
	if !signsIn(first) {
		t.Error("the first password does not sign in")
	}
	d.runWith(strings.NewReader(second), ExitOK, "user", "passwd", "anna")
	if signsIn(first) || !signsIn(second) {
		t.Error("the second password is not in force")
	}
	d.run(ExitOK, "user", "disable", "anna")
	if signsIn(second) {
		t.Error("a disabled user signs in")
	}
	if list, _ := d.run(ExitOK, "user", "list"); !strings.Contains(words(list), "anna billing acme disabled 2026-11-10T12:30:00Z") {
		t.Error(list)
	}
	d.run(ExitOK, "user", "enable", "anna")
	entries, err := store.ReadAudit(t.Context(), &aggregate.AuditQuery{Who: "os:ada"})
	if err != nil || len(entries) != 4 || entries[0].Action != auth.ActionEnable || entries[3].Detail != "role billing, tenant acme" {
		t.Errorf("%+v, %v", entries, err)
	}
}
