package storetest

import (
	"errors"
	"slices"
	"sync"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

func newUser(name, tenant, role string) aggregate.User {
	return aggregate.User{
		Name: name, TenantID: tenant, Role: role, Hash: "$argon2id$" + name,
		Version: 1, CreatedAt: base, ChangedAt: base + 1,
	}
}

func entry(who, tenant, action string) aggregate.AuditEntry {
	return aggregate.AuditEntry{At: base, Who: who, TenantID: tenant, Prefix: "192.0.2.0/24", Action: action, Target: "t", Detail: "d"}
}

func (e *env) addUser(u aggregate.User) {
	e.Helper()
	a := entry("root", u.TenantID, "user.add")
	e.must(e.store.AddUser(e.ctx(), &u, &a))
}

// users: what is stored comes back, names are unique, tenants are apart.
func users(e *env) {
	anna, bob, carl := newUser("anna", "acme", "analyst"), newUser("bob", "*", "admin"), newUser("carl", "acmf", "billing")
	for _, u := range []aggregate.User{carl, anna, bob} {
		e.addUser(u)
	}
	twice, a := newUser("anna", "*", "admin"), entry("root", "*", "user.add")
	e.wantErr("a taken name", e.store.AddUser(e.ctx(), &twice, &a), aggregate.ErrUserExists)
	for _, c := range []struct {
		tenant string
		want   []aggregate.User
	}{{"", []aggregate.User{anna, bob, carl}}, {"acme", []aggregate.User{anna}}, {"*", []aggregate.User{bob}}, {"none", nil}} {
		got, err := e.store.ListUsers(e.ctx(), c.tenant)
		e.must(err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			e.Errorf("users of %q (-want +got):\n%s", c.tenant, diff)
		}
	}
	got, err := e.store.User(e.ctx(), "anna")
	e.must(err)
	equal(e, "user", got, anna)
	for _, name := range []string{"Anna", "", "anna "} {
		_, err := e.store.User(e.ctx(), name)
		e.wantErr("an unknown name", err, aggregate.ErrNoUser)
	}
	entries, err := e.store.ReadAudit(e.ctx(), &aggregate.AuditQuery{})
	e.must(err)
	equal(e, "audit entries; a refused change leaves none", len(entries), 3)
}

// userChanges: of several who change one version, one wins.
func userChanges(e *env) {
	e.addUser(newUser("anna", "acme", "analyst"))
	u := newUser("anna", "*", "admin")
	u.Hash, u.Disabled, u.CreatedAt, u.ChangedAt = "other", true, 0, base+9
	a := entry("root", "*", "user.change")
	e.must(e.store.ChangeUser(e.ctx(), &u, &a))
	want := u
	want.Version, want.CreatedAt = 2, base
	got, err := e.store.User(e.ctx(), "anna")
	e.must(err)
	equal(e, "changed user", got, want)
	e.wantErr("an old version", e.store.ChangeUser(e.ctx(), &u, &a), aggregate.ErrUserChanged)
	unknown := newUser("zoe", "*", "admin")
	e.wantErr("an unknown user", e.store.ChangeUser(e.ctx(), &unknown, &a), aggregate.ErrUserChanged)

	const writers = 4
	var wg sync.WaitGroup
	won := make(chan error, writers)
	for range writers {
		wg.Go(func() { won <- e.store.ChangeUser(e.ctx(), &want, &a) })
	}
	wg.Wait()
	close(won)
	wins := 0
	for err := range won {
		if err == nil {
			wins++
		} else if !errors.Is(err, aggregate.ErrUserChanged) {
			e.Error(err)
		}
	}
	equal(e, "winners", wins, 1)
	entries, err := e.store.ReadAudit(e.ctx(), &aggregate.AuditQuery{Action: "user.change"})
	e.must(err)
	equal(e, "entries of changes", len(entries), 2)
}

// audit: the newest first, filtered, and never changed.
func audit(e *env) {
	for _, a := range []aggregate.AuditEntry{
		entry("anna", "acme", "login"), entry("bob", "*", "login"), entry("anna", "acme", "logout"), entry("anna", "acme", "login"),
	} {
		e.must(e.store.WriteAudit(e.ctx(), &a))
	}
	all, err := e.store.ReadAudit(e.ctx(), &aggregate.AuditQuery{})
	e.must(err)
	if len(all) != 4 || !slices.IsSortedFunc(all, func(a, b aggregate.AuditEntry) int { return int(b.ID - a.ID) }) {
		e.Fatalf("entries are not the newest first: %+v", all)
	}
	want := entry("anna", "acme", "logout")
	want.ID = all[1].ID
	equal(e, "entry", all[1], want)
	for _, c := range []struct {
		q    aggregate.AuditQuery
		want []int // places in all
	}{
		{aggregate.AuditQuery{TenantID: "acme"}, []int{0, 1, 3}},
		{aggregate.AuditQuery{Who: "bob"}, []int{2}},
		{aggregate.AuditQuery{Action: "login", Limit: 2}, []int{0, 2}},
		{aggregate.AuditQuery{TenantID: "acme", Action: "login", Before: all[0].ID}, []int{3}},
		{aggregate.AuditQuery{Who: "nobody"}, nil},
	} {
		got, err := e.store.ReadAudit(e.ctx(), &c.q)
		e.must(err)
		var want []aggregate.AuditEntry
		for _, i := range c.want {
			want = append(want, all[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			e.Errorf("audit of %+v (-want +got):\n%s", c.q, diff)
		}
	}
}

// recent: steps, tenants, sources, currencies; nothing outside the bounds.
func recent(e *env) {
	usd := func(c *click.Click) { c.Currency, c.PriceMicros = "USD", 3 }
	source := func(c *click.Click) { c.SourceID = "zoo" }
	e.put(newRow(1, base), newRow(2, base+second), newRow(3, base+minute, usd), newRow(4, base+minute, state(click.GIVT)),
		newRow(5, base+5*minute, source), newRow(6, base-day), newRow(7, base+minute, tenant("acmf")))
	m := func(start int64, tenant, source, currency string, s click.State, n, micros int64) aggregate.RecentCount {
		return aggregate.RecentCount{Start: start, TenantID: tenant, SourceID: source, Currency: currency, State: s, Count: n, Micros: micros}
	}
	first := m(base, "acme", "shop", "EUR", click.Valid, 2, 2_500_000)
	givt := m(base+minute, "acme", "shop", "EUR", click.GIVT, 1, 1_250_000)
	dollar := m(base+minute, "acme", "shop", "USD", click.Valid, 1, 3)
	other := m(base+minute, "acmf", "shop", "EUR", click.Valid, 1, 1_250_000)
	late := m(base+5*minute, "acme", "zoo", "EUR", click.Valid, 1, 1_250_000)
	h, next := base-base%hour, base-base%hour+hour
	for _, c := range []struct {
		q    aggregate.RecentQuery
		want []aggregate.RecentCount
	}{
		{aggregate.RecentQuery{From: base}, []aggregate.RecentCount{first, givt, dollar, other, late}},
		{aggregate.RecentQuery{From: base, TenantID: "acme", To: base + 5*minute}, []aggregate.RecentCount{first, givt, dollar}},
		{aggregate.RecentQuery{From: base + minute, TenantID: "acmf"}, []aggregate.RecentCount{other}},
		{aggregate.RecentQuery{From: base + 6*minute}, nil},
		{aggregate.RecentQuery{From: base, TenantID: "none"}, nil},
		{aggregate.RecentQuery{From: h, Step: hour}, []aggregate.RecentCount{
			m(h, "acme", "shop", "EUR", click.GIVT, 1, 1_250_000), m(h, "acme", "shop", "EUR", click.Valid, 2, 2_500_000),
			m(h, "acme", "shop", "USD", click.Valid, 1, 3), m(h, "acmf", "shop", "EUR", click.Valid, 1, 1_250_000),
			m(next, "acme", "zoo", "EUR", click.Valid, 1, 1_250_000),
		}},
	} {
		got, err := e.store.Recent(e.ctx(), c.q)
		e.must(err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			e.Errorf("recent counts of %+v (-want +got):\n%s", c.q, diff)
		}
	}
}
