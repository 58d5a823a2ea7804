package givt

import (
	"testing"

	"clickgate/gateway/click"
)

// A tenant's lists win over all others, accepted over invalid, and stand in the hash.
func TestOwnListsWin(t *testing.T) {
	l := load(t, append(builtins(t, "agents.tsv", "words.tsv"),
		Source{Name: "dc", Kind: KindDataCentres, Data: []byte("192.0.2.0/24\n")}, Source{Name: "ok", Kind: KindAccepted, Data: []byte("198.51.100.0/24\n")})...)
	lists := &click.OwnLists{
		AcceptedAgents: []string{"HouseApp/", "kite"}, InvalidAgents: []string{"LoadTest", "Kite/9"},
		AcceptedAddresses: []string{"192.0.2.128/25"}, InvalidAddresses: []string{"203.0.113.0/24", "192.0.2.200", "198.51.100.7"},
	}
	if err := lists.Validate(); err != nil {
		t.Fatal(err)
	}
	own := OwnOf(lists)
	for _, c := range []struct {
		agent, ip string
		want      Reason
	}{
		{"curl/8.9.1", "198.18.0.1", ToolAgent},
		{"curl/8.9.1 houseapp/2", "198.18.0.1", ""},
		{"Mozilla/5.0 loadtest", "198.18.0.1", ListedAgent},
		{"Googlebot LoadTest", "198.18.0.1", ListedAgent},
		{"HouseApp/1 LoadTest", "198.18.0.1", ""},
		{"KITE/9", "198.18.0.1", ""},
		{"Mozilla/5.0", "192.0.2.1", DataCentreAddress},
		{"Mozilla/5.0", "192.0.2.129", ""},
		{"Mozilla/5.0", "192.0.2.200", ""}, // accepted, although invalid too
		{"Mozilla/5.0", "203.0.113.9", ListedAddress},
		{"Mozilla/5.0", "::ffff:203.0.113.9", ListedAddress},
		{"Mozilla/5.0", "198.51.100.7", ListedAddress}, // the operator accepts it, the tenant does not
		{"Mozilla/5.0", "198.51.100.8", ""},
	} {
		m := l.Match(c.agent, addr(t, c.ip))
		own.Apply(&m, c.agent, addr(t, c.ip))
		if m.Reason(true) != c.want {
			t.Errorf("%q from %s: %q, want %q", c.agent, c.ip, m.Reason(true), c.want)
		}
	}
	m := l.Match("", home)
	if own.Apply(&m, "", home); m.Agent != NoAgent {
		t.Errorf("no agent became %v", m.Agent)
	}
	other := OwnOf(&click.OwnLists{InvalidAgents: []string{"LoadTest"}})
	if a, b := own.Hash(l.Hash()), other.Hash(l.Hash()); a == b || a == l.Hash() || a != newOwn(lists).Hash(l.Hash()) {
		t.Errorf("hashes %x and %x", a, b)
	}
	if !raceEnabled {
		if n := testing.AllocsPerRun(100, func() {
			m := l.Match("Mozilla/5.0 loadtest", home)
			own.Apply(&m, "Mozilla/5.0 loadtest", home)
			own.Hash(l.Hash())
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
