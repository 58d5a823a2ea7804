package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"

	"pgregory.net/rapid"
)

var cheap = Params{Memory: 8, Passes: 1, Threads: 1}

const password = "correct horse battery staple"

func TestHash(t *testing.T) {
	t.Parallel()
	h := NewHasher(cheap, rand.Reader)
	stored, err := h.Hash(t.Context(), password)
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=8,t=1,p=1$") || strings.Contains(stored, "=$") {
		t.Fatalf("%s, %v", stored, err)
	}
	again, err := h.Hash(t.Context(), password)
	if err != nil || again == stored {
		t.Errorf("no salt: %s, %v", again, err)
	}
	other := NewHasher(Params{Memory: 16, Passes: 2, Threads: 2}, rand.Reader) // costs come from the hash
	for _, c := range []struct {
		stored, password string
		want             bool
	}{
		{stored, password, true}, {again, password, true}, {stored, password + " ", false}, {stored, "", false}, {"", password, false},
		{"", "", false}, {stored, strings.Repeat("x", MaxPassword+1), false},
	} {
		if got, err := other.Verify(t.Context(), c.stored, c.password); got != c.want || err != nil {
			t.Errorf("%.20q with %.20q: %v, %v", c.stored, c.password, got, err)
		}
	}
	accents, err := h.Hash(t.Context(), "cafe\u0301 "+password)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := h.Verify(t.Context(), accents, "café "+password); !ok {
		t.Error("two ways to type one letter are two passwords")
	}
	for _, bad := range []string{"", "fourteen chars", strings.Repeat("x", MaxPassword+1), "correct horse \xff battery"} {
		if _, err := h.Hash(t.Context(), bad); !errors.Is(err, ErrPassword) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if _, err := NewHasher(cheap, strings.NewReader("")).Hash(t.Context(), password); err == nil {
		t.Error("hashed without entropy")
	}
}

// TestKnownHash is a vector of another implementation: the reference
// implementation's test.c (phc-winner-argon2, CC0), argon2id version 19.
func TestKnownHash(t *testing.T) {
	t.Parallel()
	const stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if ok, err := NewHasher(cheap, rand.Reader).Verify(t.Context(), stored, "password"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// TestHashesAreFewAtOnce: two hash, some wait, the others are told to come back,
// and who waits can give up.
func TestHashesAreFewAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(cheap, rand.Reader)
		leave := make(chan struct{})
		inside, results := make(chan struct{}, 100), make(chan error, 100)
		ctx, cancel := context.WithCancel(t.Context())
		for range hashesAtOnce + hashesWaiting + 5 {
			go func() { results <- h.within(ctx, func() { inside <- struct{}{}; <-leave }) }()
		}
		synctest.Wait()
		if len(inside) != hashesAtOnce || len(results) != 5 {
			t.Errorf("%d hash, %d were sent away", len(inside), len(results))
		}
		for range 5 {
			if err := <-results; !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
		}
		cancel()
		synctest.Wait()
		if len(results) != hashesWaiting {
			t.Errorf("%d of %d who wait gave up", len(results), hashesWaiting)
		}
		close(leave)
	})
}

func FuzzParseHash(f *testing.F) {
	good, err := NewHasher(cheap, rand.Reader).Hash(context.Background(), password)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		good, "", "$", "$argon2id$v=19$m=8,t=1,p=1$$", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=0,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=08,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1,p=256$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := parseHash(text)
		if err != nil {
			if strings.Contains(err.Error(), text) && len(text) > 8 {
				t.Errorf("the error tells the hash: %v", err)
			}
			return
		}
		p := x.params
		if p.Memory > maxMemory || p.Passes < 1 || p.Passes > maxPasses || p.Threads < 1 || p.Threads > maxThreads || len(x.key) < 16 || len(x.salt) < 8 {
			t.Errorf("%q costs %+v", text, p)
		}
		if x.String() != text {
			t.Errorf("%q is written as %q", text, x)
		}
	})
}

// TestLimiterNeverLetsMoreThrough: whatever the order of attempts, no key gets
// more of them than the delays allow, and memory is bounded.
func TestLimiterNeverLetsMoreThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := LimitConfig{Free: 3, First: time.Second, Most: 8 * time.Second, Keep: time.Hour, Size: 4}
		at := time.Unix(0, 0)
		l := NewLimiter(cfg, func() time.Time { return at })
		taken := map[string][]time.Time{}
		for range rapid.IntRange(1, 120).Draw(t, "attempts") {
			at = at.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key")
			if wait := l.Take(key); wait == 0 {
				taken[key] = append(taken[key], at)
			} else if wait < 0 || wait > cfg.Most {
				t.Fatalf("waits %s", wait)
			}
			if len(l.keys) > cfg.Size {
				t.Fatalf("%d keys", len(l.keys))
			}
		}
		for key, times := range taken {
			for i := cfg.Free; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); i > cfg.Free && gap < min(cfg.First<<(i-cfg.Free-1), cfg.Most) {
					t.Fatalf("attempt %d of %s came %s after the one before", i+1, key, gap)
				}
			}
		}
	})
}

// TestLimiterKeepsThoseUnderAttack: a flood of new keys washes away none that
// failed often.
func TestLimiterKeepsThoseUnderAttack(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	l := NewLimiter(LimitConfig{Free: 1, First: time.Hour, Most: time.Hour, Keep: 3 * time.Hour, Size: 16}, func() time.Time { return at })
	for range 2 {
		l.Take("victim")
	}
	for i := range 1000 {
		at = at.Add(time.Second)
		l.Take(strings.Repeat("x", i%100) + string(rune('a'+i%26)))
	}
	if l.Take("victim") == 0 {
		t.Error("a flood made the limiter forget")
	}
	at = at.Add(4 * time.Hour)
	if l.Take("victim") != 0 {
		t.Error("nothing is ever forgotten")
	}
	l.Reset("victim")
	if l.Take("victim") != 0 || l.Take("other") != 0 {
		t.Error("Reset left something")
	}
}

// TestDeletedSessionsStayDeleted: a request that was inside at the logout does not
// bring its session back.
func TestDeletedSessionsStayDeleted(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	s := NewSessions(3, func() time.Time { return at })
	put := func(token string, life time.Duration) {
		if err := s.Commit(token, []byte(token), at.Add(life)); err != nil {
			t.Fatal(err)
		}
	}
	has := func(token string) bool {
		data, found, err := s.Find(token)
		if err != nil || found && string(data) != token {
			t.Fatalf("%q, %v", data, err)
		}
		return found
	}
	put("a", time.Hour)
	if err := s.Delete("a"); err != nil || has("a") {
		t.Errorf("deleted: %v", err)
	}
	put("a", time.Hour)
	if has("a") {
		t.Error("a late commit brought the session back")
	}
	put("b", time.Minute)
	put("c", time.Hour)
	put("d", time.Hour) // the one that ends first makes room
	if has("b") || !has("c") || !has("d") || len(s.kept) > 3 {
		t.Errorf("kept %v", s.kept)
	}
	at = at.Add(time.Hour)
	if has("c") || has("unknown") {
		t.Error("found what is over")
	}
}

func accounts(t *testing.T) (*Accounts, aggregate.Users) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), t.TempDir()+"/clicks.db", sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return NewAccounts(store, cheap, rand.Reader, time.Now), store
}

var (
	root = Actor{Name: "os:root", TenantID: aggregate.AllTenants}
	home = netip.MustParseAddr("2001:db8:1:2:3::4")
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	a, store := accounts(t)
	local := Actor{Name: "lead", TenantID: "t1", From: home}
	for _, c := range []struct {
		by                       Actor
		name, tenant, role, with string
		want                     error
	}{
		{root, "anna", "t1", "analyst", password, nil},
		{root, "bob@example.com", "*", "admin", password, nil},
		{local, "carl", "t1", "billing", password, nil},
		{local, "dora", "t2", "billing", password, ErrScope},
		{local, "dora", "*", "admin", password, ErrScope},
		{root, "anna", "t2", "admin", password, aggregate.ErrUserExists},
		{root, "Anna", "t1", "admin", password, ErrName}, {root, "os:x", "t1", "admin", password, ErrName}, {root, "", "t1", "admin", password, ErrName},
		{root, "x", "", "admin", password, ErrTenant}, {root, "x", "a\nb", "admin", password, ErrTenant}, {root, "x", "*a", "admin", password, ErrTenant},
		{root, "x", "t1", "root", password, ErrRole}, {root, "x", "t1", "admin", "short", ErrPassword},
	} {
		if err := a.Add(t.Context(), c.by, c.name, c.tenant, c.role, c.with); !errors.Is(err, c.want) {
			t.Errorf("%s adds %s of %s: %v, want %v", c.by.Name, c.name, c.tenant, err, c.want)
		}
	}
	for what, err := range map[string]error{
		"disabling another tenant's": a.SetDisabled(t.Context(), local, "bob@example.com", true),
		"resetting another tenant's": a.SetPassword(t.Context(), local, "bob@example.com", password),
		"disabling nobody":           a.SetDisabled(t.Context(), root, "nobody", true),
	} {
		if !errors.Is(err, aggregate.ErrNoUser) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if users, err := a.List(t.Context(), local); err != nil || len(users) != 2 {
		t.Errorf("%+v, %v", users, err)
	}
	if err := a.SetDisabled(t.Context(), local, "anna", true); err != nil {
		t.Error(err)
	}
	if _, err := a.SignIn(t.Context(), "anna", password, home); !errors.Is(err, ErrRefused) {
		t.Errorf("a disabled user: %v", err)
	}
	if err := a.SetDisabled(t.Context(), root, "anna", false); err != nil {
		t.Error(err)
	}
	u, err := a.SignIn(t.Context(), "anna", password, home)
	if err != nil || u.Version != 3 {
		t.Fatalf("%+v, %v", u, err)
	}
	if _, err := a.Current(t.Context(), "anna", u.Version-1); !errors.Is(err, ErrRefused) {
		t.Errorf("an old version is current: %v", err)
	}
	entries, err := a.Audit(t.Context(), local, aggregate.AuditQuery{Who: "anna"})
	if err != nil || len(entries) != 2 || entries[0].Action != ActionLogin || entries[1].Detail != "the user is disabled" || entries[0].Prefix != "2001:db8:1::/48" {
		t.Errorf("%+v, %v", entries, err)
	}
	all, err := store.ReadAudit(t.Context(), &aggregate.AuditQuery{})
	if err != nil || len(all) != 7 {
		t.Errorf("%d entries, %v: %+v", len(all), err, all)
	}
	for _, e := range all {
		if strings.Contains(e.Detail+e.Target+e.Who, password) {
			t.Errorf("a password is written down: %+v", e)
		}
	}
}

// TestManyGuessesAtOnce: attempts are counted before they are checked.
func TestManyGuessesAtOnce(t *testing.T) {
	t.Parallel()
	a, _ := accounts(t)
	if err := a.Add(t.Context(), root, "anna", "t1", "analyst", password); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	outcomes := make(chan error, 30)
	for range cap(outcomes) {
		wg.Go(func() {
			_, err := a.SignIn(t.Context(), "anna", "a wrong password", home)
			outcomes <- err
		})
	}
	wg.Wait()
	close(outcomes)
	checked := 0
	for err := range outcomes {
		if errors.Is(err, ErrRefused) {
			checked++
		} else if _, delayed := errors.AsType[*DelayError](err); !delayed {
			t.Error(err)
		}
	}
	if free := limitByName().Free; checked != free+1 {
		t.Errorf("%d guesses at once were checked, want %d", checked, free+1)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, name := range RoleNames() {
		role, ok := ParseRole(name)
		if !ok || role.String() != name || !Everyone.Has(role) {
			t.Errorf("%s: %v %v", name, role, ok)
		}
	}
	if _, ok := ParseRole("analyst, billing"); ok || Everyone.String() != "analyst, billing, admin" || Roles(0).Has(Admin) {
		t.Error("sets and roles are mixed up")
	}
}
