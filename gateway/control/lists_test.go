package control

import (
	"slices"
	"strings"
	"testing"
)

// A tenant's own lists are read, kept in the topic, seen by diff, and refused when they cannot be.
func TestOwnLists(t *testing.T) {
	t.Parallel()
	with := func(lists string) []byte {
		return []byte(strings.Replace(sampleFile(), "- id: acme\n", "- id: acme\n    lists: "+lists+"\n", 1))
	}
	f, s, err := ParseFile(with(`{accepted_agents: [HouseApp/], invalid_addresses: [192.0.2.0/24]}`))
	if err != nil {
		t.Fatal(err)
	}
	own := s.Tenant("acme").Lists
	if own == nil || !slices.Equal(own.AcceptedAgents, []string{"HouseApp/"}) || !slices.Equal(own.InvalidAddresses, []string{"192.0.2.0/24"}) {
		t.Fatalf("%+v", own)
	}
	r := newRig(t)
	e := r.entry("acme", 3, epoch)
	e.Tenant.Lists = f.Tenants[0].Lists
	value, err := e.encode(r.sealer)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(value, r.ring)
	if err != nil || got.Tenant.Lists == nil || !slices.Equal(got.Tenant.Lists.AcceptedAgents, own.AcceptedAgents) {
		t.Errorf("%v, from\n%s", err, value)
	}
	before, _, err := ParseFile([]byte(sampleFile()))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Changes(before, f)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	lines, err := changes[0].Lines()
	if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, "+   - HouseApp/") {
		t.Errorf("%v:\n%s", err, text)
	}
	for lists, want := range map[string]string{
		"{}": "lists.is empty", "{agents: [abc]}": "unknown field", "{invalid_addresses: [0.0.0.0/0]}": "lists.invalid_addresses[0]",
	} {
		if _, _, err := ParseFile(with(lists)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", lists, err, want)
		}
	}
}

// A time that cannot be read is refused: taken for none, it would keep a key alive for ever.
func TestTimesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tenants:\n  - id: acme\n    token_keys:\n      - {id: 1, key: x, retired: 2026-31-12T00:00:00Z}\n":                   "is no time",
		"tenants:\n  - id: acme\n    campaigns:\n      - {id: c, advertiser_id: a, rates: [{version: v, from: next week}]}\n": "is no time",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
