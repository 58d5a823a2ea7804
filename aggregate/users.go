package aggregate

import (
	"context"
	"errors"
)

// AllTenants is the tenant of a user who belongs to all of them.
const AllTenants = "*"

// Errors of Users.
var (
	// ErrNoUser says that no user has the name.
	ErrNoUser = errors.New("there is no such user")
	// ErrUserExists says that a new user's name is taken.
	ErrUserExists = errors.New("a user of this name exists already")
	// ErrUserChanged says that somebody else changed the user since it was read.
	ErrUserChanged = errors.New("the user was changed by somebody else meanwhile; look again")
)

// User is one who may sign in to the console. What a role may do is the
// console's matter.
type User struct {
	Name      string
	TenantID  string // AllTenants, or the only tenant the user sees
	Role      string
	Hash      string // of the password, with its parameters; never shown
	Disabled  bool
	Version   int64 // rises with every change: what was granted to an earlier one ends
	CreatedAt int64 // Unix microseconds
	ChangedAt int64
}

// AuditEntry says who did what, and when. It is written once and never changed.
type AuditEntry struct {
	ID       int64  // rises with time; given by the store
	At       int64  // Unix microseconds
	Who      string // user, or "os:" and a user of the operating system
	TenantID string // whose administrators may read it; AllTenants for administrators of all
	Prefix   string // network the request came from; empty for a command
	Action   string // such as login or user.disable
	Target   string // what it was done to; may be empty
	Detail   string
}

// AuditQuery selects audit entries; zero values mean all.
type AuditQuery struct {
	TenantID string
	Who      string
	Action   string
	Before   int64 // only ids below
	Limit    int   // at most so many; 0: all
}

// Users keeps the console's users and what they did. Every change is stored
// together with its audit entry or not at all. All methods are safe for concurrent
// use.
type Users interface {
	// User returns the user of a name, or ErrNoUser.
	User(ctx context.Context, name string) (User, error)
	// ListUsers returns users in order of names; tenant may be empty for all.
	ListUsers(ctx context.Context, tenantID string) ([]User, error)
	// AddUser stores a new user with version 1, or returns ErrUserExists.
	AddUser(ctx context.Context, u *User, e *AuditEntry) error
	// ChangeUser stores all of u but its name and times of creation, with the next
	// version. It returns ErrUserChanged when the stored version is not u.Version.
	ChangeUser(ctx context.Context, u *User, e *AuditEntry) error
	// WriteAudit appends an entry.
	WriteAudit(ctx context.Context, e *AuditEntry) error
	// ReadAudit returns entries, the newest first.
	ReadAudit(ctx context.Context, q *AuditQuery) ([]AuditEntry, error)
}
