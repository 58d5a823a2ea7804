package auth

import "strings"

// Roles is a set of roles.
type Roles uint8

// The roles. A user has one.
const (
	Analyst Roles = 1 << iota // looks into traffic
	Billing                   // looks at money
	Admin                     // both, and keeps users
)

// Everyone is every role, but not those who have not signed in.
const Everyone = Analyst | Billing | Admin

var roleNames = [...]string{"analyst", "billing", "admin"}

// RoleNames lists the names of all roles.
func RoleNames() []string { return roleNames[:] }

// ParseRole returns the role of a name; ok is false for an unknown one.
func ParseRole(name string) (role Roles, ok bool) {
	for i, n := range roleNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// Has reports whether a role is in the set.
func (r Roles) Has(role Roles) bool { return r&role != 0 }

// String lists the names.
func (r Roles) String() string {
	var names []string
	for i, n := range roleNames {
		if r.Has(1 << i) {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}
