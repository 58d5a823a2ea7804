package click

import (
	"slices"
	"strings"
	"testing"
)

func TestOwnLists(t *testing.T) {
	t.Parallel()
	good := OwnLists{
		AcceptedAgents: []string{"HouseApp/"}, InvalidAgents: []string{"Load Test"},
		AcceptedAddresses: []string{"192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.8"}, InvalidAddresses: []string{"198.51.100.0/24"},
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if p, err := ParseOwnAddress("::ffff:192.0.2.8"); err != nil || p.String() != "192.0.2.8/32" {
		t.Errorf("%v, %v", p, err)
	}
	for want, bad := range map[string]*OwnLists{
		"is empty":                           {},
		"accepted_agents[1]":                 {AcceptedAgents: []string{"abc", "ab"}},
		"invalid_agents[0]":                  {InvalidAgents: []string{" abc"}},
		"invalid_agents: 1001 entries":       {InvalidAgents: slices.Repeat([]string{"abc"}, 1001)},
		"accepted_agents: hold 8200 bytes":   {AcceptedAgents: slices.Repeat([]string{strings.Repeat("x", 200)}, 41)},
		"accepted_addresses[0]: \"0.0.0.0/0": {AcceptedAddresses: []string{"0.0.0.0/0"}},
		"invalid_addresses[0]: \"::/0":       {InvalidAddresses: []string{"::/0"}},
		"invalid_addresses[1]":               {InvalidAddresses: []string{"192.0.2.1", "192.0.2.1/24"}},
		"fe80::1%eth0":                       {InvalidAddresses: []string{"fe80::1%eth0"}},
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	calls := 0
	for range 3 {
		if got := good.Compiled(func(*OwnLists) any { calls++; return 7 }); got != 7 || calls != 1 {
			t.Errorf("%v after %d calls", got, calls)
		}
	}
}
