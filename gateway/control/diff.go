package control

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Change is what happens to one tenant.
type Change struct {
	Tenant string
	Before *TenantEntry // nil: the tenant is new
	After  *TenantEntry // nil: the tenant is removed
}

// Changes compares two sets of tenants and returns what differs, in order of the
// ids.
func Changes(before, after *File) ([]Change, error) {
	var changes []Change
	for i := range after.Tenants {
		next := &after.Tenants[i]
		old := before.Tenant(next.ID)
		same, err := equal(old, next)
		if err != nil {
			return nil, err
		}
		if !same {
			changes = append(changes, Change{next.ID, old, next})
		}
	}
	for i := range before.Tenants {
		if id := before.Tenants[i].ID; after.Tenant(id) == nil {
			changes = append(changes, Change{Tenant: id, Before: &before.Tenants[i]})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Tenant, b.Tenant) })
	return changes, nil
}

func equal(a, b *TenantEntry) (bool, error) {
	if a == nil || b == nil {
		return a == b, nil
	}
	x, err := marshal(a)
	if err != nil {
		return false, err
	}
	y, err := marshal(b)
	return string(x) == string(y), err
}

// Lines shows the change like a unified diff without context numbers: "+ " and
// "- " before lines that come and go, "  " before those that stay. Of token keys
// a fingerprint is shown.
func (c *Change) Lines() ([]string, error) {
	before, err := shown(c.Before)
	if err != nil {
		return nil, err
	}
	after, err := shown(c.After)
	if err != nil {
		return nil, err
	}
	head := "tenant " + c.Tenant
	switch {
	case c.Before == nil:
		head += " (new)"
	case c.After == nil:
		head += " (removed)"
	}
	return append([]string{head}, lineDiff(before, after)...), nil
}

func shown(e *TenantEntry) ([]string, error) {
	if e == nil {
		return nil, nil
	}
	masked := *e
	masked.TokenKeys = slices.Clone(e.TokenKeys)
	for i := range masked.TokenKeys {
		masked.TokenKeys[i].Key = fingerprint(masked.TokenKeys[i].Key)
	}
	b, err := marshal(&masked)
	return strings.Split(strings.TrimRight(string(b), "\n"), "\n"), err
}

// fingerprint tells two keys apart: a few digits of a hash of 32 random bytes
// say nothing else of them.
func fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("(secret %s)", hex.EncodeToString(sum[:4]))
}

// lineDiff aligns by the longest common subsequence. Lines far from any change
// are left out.
func lineDiff(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return nearChanges(out)
}

const contextLines = 3

func nearChanges(lines []string) []string {
	keep := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] != ' ' {
			for j := max(0, i-contextLines); j <= min(len(lines)-1, i+contextLines); j++ {
				keep[j] = true
			}
		}
	}
	var out []string
	for i, l := range lines {
		switch {
		case keep[i]:
			out = append(out, l)
		case i == 0 || keep[i-1]:
			out = append(out, "  ...")
		}
	}
	return out
}
