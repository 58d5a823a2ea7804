package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"time"

	"clickgate/aggregate"
)

// Actions of audit entries.
const (
	ActionLogin        = "login"
	ActionLoginLink    = "login.link" // with a one-time link
	ActionLoginFailed  = "login.failed"
	ActionLogout       = "logout"
	ActionPassword     = "password"        // changed by the user
	ActionPasswordFail = "password.failed" // the old one was wrong
	ActionAdd          = "user.add"
	ActionDisable      = "user.disable"
	ActionEnable       = "user.enable"
	ActionReset        = "user.password" // set by somebody else
)

// Errors of Accounts.
var (
	ErrRefused = errors.New("name or password is wrong, or the user is disabled")
	ErrName    = errors.New("a user's name is 1 to 64 of a-z, 0-9 and . _ - @ +, and starts with a letter or digit")
	ErrTenant  = errors.New("a tenant is an id, or * for all tenants")
	ErrRole    = errors.New("the role is unknown; use analyst, billing or admin")
	ErrSelf    = errors.New("nobody disables the own user; ask another administrator")
	ErrScope   = errors.New("an administrator of one tenant keeps users of that tenant only")
)

// DelayError says that an attempt came too early after failed ones.
type DelayError struct{ Wait time.Duration }

func (e *DelayError) Error() string {
	return fmt.Sprintf("too many failed attempts; try again in %s", (e.Wait + time.Second - 1).Truncate(time.Second))
}

// Actor is who does something, and from where.
type Actor struct {
	Name     string // user; "os:" and a name for one of the operating system
	TenantID string // aggregate.AllTenants, or the only tenant
	From     netip.Addr
}

// ActorOf returns the actor that a signed-in user is.
func ActorOf(u *aggregate.User, from netip.Addr) Actor { return Actor{u.Name, u.TenantID, from} }

// Accounts signs users in and keeps them. It is safe for concurrent use.
type Accounts struct {
	users     aggregate.Users
	hasher    *Hasher
	byName    *Limiter
	byAddress *Limiter
	now       func() time.Time
}

// Limits of guessing. A name's delay stays short, or strangers could lock its
// owner out; an address has no owner to protect.
func limitByName() LimitConfig {
	return LimitConfig{Free: 4, First: time.Second, Most: time.Minute, Keep: time.Hour, Size: 4096}
}

func limitByAddress() LimitConfig {
	return LimitConfig{Free: 10, First: time.Second, Most: 15 * time.Minute, Keep: time.Hour, Size: 4096}
}

// NewAccounts returns accounts over a store's users.
func NewAccounts(users aggregate.Users, params Params, entropy io.Reader, now func() time.Time) *Accounts {
	return &Accounts{
		users: users, hasher: NewHasher(params, entropy), now: now,
		byName: NewLimiter(limitByName(), now), byAddress: NewLimiter(limitByAddress(), now),
	}
}

// SignIn returns the user of a name and password. It returns ErrRefused without
// telling what was wrong, and takes as long for a name that nobody has; a
// DelayError after failures; ErrBusy under load.
func (a *Accounts) SignIn(ctx context.Context, name, password string, from netip.Addr) (*aggregate.User, error) {
	if !nameForm.MatchString(name) {
		name = ""
	}
	u, err := a.check(ctx, name, password, from, ActionLoginFailed)
	if err != nil {
		return nil, err
	}
	return u, a.users.WriteAudit(ctx, a.entry(ActorOf(u, from), u.TenantID, ActionLogin, "", ""))
}

// check compares a password, under the limits, and notes a failure.
func (a *Accounts) check(ctx context.Context, name, password string, from netip.Addr, failed string) (*aggregate.User, error) {
	address := prefix(from, fullBits).String()
	if wait := a.byAddress.Take(address); wait > 0 {
		return nil, &DelayError{wait}
	}
	if wait := a.byName.Take(name); wait > 0 {
		a.byAddress.Refund(address)
		return nil, &DelayError{wait}
	}
	u, err := a.users.User(ctx, name)
	if err != nil && !errors.Is(err, aggregate.ErrNoUser) {
		a.refund(name, address)
		return nil, err
	}
	known := err == nil
	right, err := a.hasher.Verify(ctx, u.Hash, password)
	if err != nil {
		a.refund(name, address)
		return nil, err
	}
	if right && !u.Disabled {
		a.byName.Reset(name)
		a.byAddress.Refund(address)
		return &u, nil
	}
	return nil, cmp.Or(a.noteFailure(ctx, &u, known, from, failed), ErrRefused)
}

func (a *Accounts) refund(name, address string) {
	a.byName.Refund(name)
	a.byAddress.Refund(address)
}

// noteFailure writes an audit entry. It leaves out names that nobody has: people
// type passwords into the wrong field.
func (a *Accounts) noteFailure(ctx context.Context, u *aggregate.User, known bool, from netip.Addr, action string) error {
	actor := Actor{Name: "unknown", TenantID: aggregate.AllTenants, From: from}
	detail := "no user of this name"
	if known {
		actor, detail = ActorOf(u, from), "wrong password"
		if u.Disabled {
			detail = "the user is disabled"
		}
	}
	return a.users.WriteAudit(ctx, a.entry(actor, actor.TenantID, action, "", detail))
}

// ByLink returns the user that a one-time link stands for.
func (a *Accounts) ByLink(ctx context.Context, name string, from netip.Addr) (*aggregate.User, error) {
	u, err := a.users.User(ctx, name)
	if errors.Is(err, aggregate.ErrNoUser) || err == nil && u.Disabled {
		return nil, ErrRefused
	}
	if err != nil {
		return nil, err
	}
	return &u, a.users.WriteAudit(ctx, a.entry(ActorOf(&u, from), u.TenantID, ActionLoginLink, "", ""))
}

// SignedOut notes the end of a session.
func (a *Accounts) SignedOut(ctx context.Context, by Actor) error {
	return a.users.WriteAudit(ctx, a.entry(by, by.TenantID, ActionLogout, "", ""))
}

// Current returns the user that a session was opened for, or ErrRefused when the
// user was changed or disabled since.
func (a *Accounts) Current(ctx context.Context, name string, version int64) (*aggregate.User, error) {
	u, err := a.users.User(ctx, name)
	if errors.Is(err, aggregate.ErrNoUser) || err == nil && (u.Disabled || u.Version != version) {
		return nil, ErrRefused
	}
	return &u, err
}

// ChangePassword sets a user's own password and returns the changed user. All
// sessions of the version before end.
func (a *Accounts) ChangePassword(ctx context.Context, u *aggregate.User, old, password string, from netip.Addr) (*aggregate.User, error) {
	if err := CheckPassword(password); err != nil {
		return nil, err
	}
	checked, err := a.check(ctx, u.Name, old, from, ActionPasswordFail)
	if err != nil {
		return nil, err
	}
	if checked.Hash, err = a.hasher.Hash(ctx, password); err != nil {
		return nil, err
	}
	return a.change(ctx, ActorOf(u, from), checked, ActionPassword)
}

// Add stores a new user.
func (a *Accounts) Add(ctx context.Context, by Actor, name, tenant, role, password string) error {
	switch _, known := ParseRole(role); {
	case !nameForm.MatchString(name):
		return ErrName
	case !tenantForm.MatchString(tenant):
		return ErrTenant
	case !known:
		return ErrRole
	case by.TenantID != aggregate.AllTenants && by.TenantID != tenant:
		return ErrScope
	}
	hash, err := a.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	now := a.now().UnixMicro()
	u := &aggregate.User{Name: name, TenantID: tenant, Role: role, Hash: hash, Version: 1, CreatedAt: now, ChangedAt: now}
	return a.users.AddUser(ctx, u, a.entry(by, tenant, ActionAdd, name, "role "+role+", tenant "+tenant))
}

// SetDisabled disables or enables a user.
func (a *Accounts) SetDisabled(ctx context.Context, by Actor, name string, disabled bool) error {
	if name == by.Name {
		return ErrSelf
	}
	u, err := a.within(ctx, by, name)
	if err != nil || u.Disabled == disabled {
		return err
	}
	u.Disabled = disabled
	action := ActionEnable
	if disabled {
		action = ActionDisable
	}
	_, err = a.change(ctx, by, u, action)
	return err
}

// SetPassword sets somebody else's password.
func (a *Accounts) SetPassword(ctx context.Context, by Actor, name, password string) error {
	u, err := a.within(ctx, by, name)
	if err != nil {
		return err
	}
	if u.Hash, err = a.hasher.Hash(ctx, password); err != nil {
		return err
	}
	if _, err = a.change(ctx, by, u, ActionReset); err == nil {
		a.byName.Reset(name)
	}
	return err
}

// List returns the users that an actor keeps.
func (a *Accounts) List(ctx context.Context, by Actor) ([]aggregate.User, error) {
	return a.users.ListUsers(ctx, scope(by))
}

// Audit returns the audit entries that an actor may read.
func (a *Accounts) Audit(ctx context.Context, by Actor, q aggregate.AuditQuery) ([]aggregate.AuditEntry, error) {
	q.TenantID = scope(by)
	return a.users.ReadAudit(ctx, &q)
}

// scope is the tenant in a query; empty for all.
func scope(by Actor) string {
	if by.TenantID == aggregate.AllTenants {
		return ""
	}
	return by.TenantID
}

// within returns a user whom the actor keeps; others do not exist.
func (a *Accounts) within(ctx context.Context, by Actor, name string) (*aggregate.User, error) {
	u, err := a.users.User(ctx, name)
	if err == nil && by.TenantID != aggregate.AllTenants && by.TenantID != u.TenantID {
		err = aggregate.ErrNoUser
	}
	return &u, err
}

// change stores a user and returns it as it is stored then.
func (a *Accounts) change(ctx context.Context, by Actor, u *aggregate.User, action string) (*aggregate.User, error) {
	u.ChangedAt = a.now().UnixMicro()
	target := u.Name
	if target == by.Name {
		target = ""
	}
	if err := a.users.ChangeUser(ctx, u, a.entry(by, u.TenantID, action, target, "")); err != nil {
		return nil, err
	}
	u.Version++
	return u, nil
}

func (a *Accounts) entry(by Actor, tenant, action, target, detail string) *aggregate.AuditEntry {
	e := &aggregate.AuditEntry{
		At: a.now().UnixMicro(), Who: by.Name, TenantID: tenant, Action: action, Target: target, Detail: detail,
	}
	if by.From.IsValid() {
		e.Prefix = prefix(by.From, prefixBits).String()
	}
	return e
}

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)
	tenantForm = regexp.MustCompile(`^(\*|[^\s*\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,127})$`)
)

// bits are the lengths of prefixes in IPv4 and IPv6.
type bits struct{ v4, v6 int }

// An address guesses by itself in IPv4 and by its /64 in IPv6; what is written
// down is as short as in click rows.
var (
	fullBits   = bits{32, 64}
	prefixBits = bits{24, 48}
)

// prefix cuts an address.
func prefix(addr netip.Addr, n bits) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	length := n.v6
	if addr.Is4() {
		length = n.v4
	}
	p, err := addr.Prefix(length)
	if err != nil { // only for the zero address
		return netip.Prefix{}
	}
	return p
}
