package givt

import (
	"net/netip"
	"testing"
)

const (
	iabInclude = "# comment\nmozilla/|1|1\nopera|1|0\nkite/|1\nretired|0|0|01/31/2019\n"
	iabExclude = "robot|1|robotics, mr.robot||2|0|\nfetch/|1|||0|1|\nold bot|0|||2|0|06/30/2018\n"
	iabIPs     = "198.51.100.7\n192.0.2.9/28\n2001:db8::/64\n"
)

// The list's own order: include, exclude with exceptions, address; and the operator's entries before all.
func TestIABOrder(t *testing.T) {
	t.Parallel()
	l := load(t,
		Source{Name: "own", Kind: KindAgents, Data: []byte("accepted\t-\tHouseApp/\tour app\ninvalid\t-\tLoadTest\tour load test\n")},
		Source{Name: "own-ok", Kind: KindAccepted, Data: []byte("192.0.2.3\n")},
		Source{Name: "include", Kind: KindIABInclude, Data: []byte(iabInclude)},
		Source{Name: "exclude", Kind: KindIABExclude, Data: []byte(iabExclude)},
		Source{Name: "addresses", Kind: KindIABAddresses, Data: []byte(iabIPs)},
		Source{Name: "relay", Kind: KindRelays, Data: []byte("198.51.100.0/24\n")})
	for _, c := range []struct {
		agent, ip string
		want      Reason
	}{
		{"Mozilla/5.0 (X11)", "203.0.113.90", ""},
		{"x Mozilla/5.0 (X11)", "203.0.113.90", UnlistedAgent}, // only at the start
		{"The Opera of agents", "203.0.113.90", ""},
		{"Retired/1", "203.0.113.90", UnlistedAgent},
		{"Novelty/1", "203.0.113.90", UnlistedAgent},
		{"Mozilla/5.0 RoBoT", "203.0.113.90", UnverifiedCrawler},
		{"Mozilla/5.0 Robotics lab", "203.0.113.90", ""},
		{"Mozilla/5.0 mr.robot", "203.0.113.90", ""},
		{"Fetch/1 opera", "203.0.113.90", UnverifiedCrawler},
		{"Kite/ Fetch/1", "203.0.113.90", ""},
		{"Kite/ old bot", "203.0.113.90", ""},
		{"Mozilla/5.0", "198.51.100.7", ListedAddress}, // whatever relay it is
		{"Mozilla/5.0", "198.51.100.8", ""},
		{"Mozilla/5.0", "192.0.2.1", ListedAddress},
		{"Mozilla/5.0", "192.0.2.3", ""},
		{"Mozilla/5.0", "192.0.2.16", ""},
		{"Mozilla/5.0", "2001:db8::9", ListedAddress},
		{"HouseApp/3 robot", "203.0.113.90", ""},
		{"HouseApp/3 LoadTest", "203.0.113.90", ""},
		{"Mozilla/5.0 LoadTest", "203.0.113.90", ListedAgent},
		{"Mozilla/5.0 LoadTest robot", "203.0.113.90", ListedAgent},
		{"", "203.0.113.90", ""}, // no agent is a class of its own
	} {
		if m := l.Match(c.agent, netip.MustParseAddr(c.ip)); m.Reason(true) != c.want {
			t.Errorf("%q from %s: %q, want %q", c.agent, c.ip, m.Reason(true), c.want)
		}
	}
	if n := l.Info()[2].Entries; n != 3 {
		t.Errorf("%d active include records, want 3", n)
	}
}

// The shipped lists, and only a list of browsers added: nobody ordinary becomes unlisted by it, and it costs no memory.
func TestIABIncludeOverShippedLists(t *testing.T) {
	l := load(t, append(builtins(t, "agents.tsv", "words.tsv"), Source{Name: "include", Kind: KindIABInclude, Data: []byte("mozilla/|1|1\n")})...)
	if m := l.Match(chrome("Pixel 9"), home); m.Agent != None {
		t.Errorf("a browser is %v", m.Agent)
	}
	if m := l.Match("curl/8.9.1", home); m.Agent != Tool {
		t.Errorf("the finer class is lost: %v", m.Agent)
	}
	if m := l.Match("Novelty/1", home); m.Agent != Unlisted || m.Pattern != -1 {
		t.Errorf("an unknown agent is %v by pattern %d", m.Agent, m.Pattern)
	}
	if !raceEnabled {
		agent := chrome("Pixel 9")
		if n := testing.AllocsPerRun(100, func() { l.Match(agent, home) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// A crawler is spoofed only where its owner publishes ranges, and the address is known.
func TestSpoofedNeedsPublishedRanges(t *testing.T) {
	t.Parallel()
	agents := Source{Name: "agents", Kind: KindAgents, Data: []byte("crawler\tgoogle\tGooglebot\tx\ncrawler\tbing\tbingbot\tx\ncrawler\t-\tOtherbot\tx\n")}
	l := load(t, agents, Source{Name: "ranges", Kind: KindCrawlerRanges, Owner: "google", Data: []byte("192.0.2.0/24\n")})
	for _, c := range []struct {
		agent    string
		ip       netip.Addr
		verified bool
		spoofed  bool
	}{
		{"Googlebot", netip.MustParseAddr("192.0.2.1"), true, false},
		{"Googlebot", home, false, true},
		{"Googlebot", netip.Addr{}, false, false},
		{"bingbot", home, false, false}, // nothing of Bing's is loaded
		{"Otherbot", home, false, false},
		{"Googlebot bingbot", netip.MustParseAddr("192.0.2.1"), true, false},
		{"Mozilla/5.0", home, false, false},
	} {
		if m := l.Match(c.agent, c.ip); m.Verified != c.verified || m.Spoofed != c.spoofed {
			t.Errorf("%s from %v: verified %t, spoofed %t", c.agent, c.ip, m.Verified, m.Spoofed)
		}
	}
}

func TestKindNamesComeBack(t *testing.T) {
	t.Parallel()
	for k := Kind(1); k < numKinds; k++ {
		if back, err := ParseKind(k.String()); err != nil || back != k {
			t.Errorf("%d: %q reads %d, %v", k, k, back, err)
		}
	}
	for _, name := range []string{"", "unknown", "Agents"} {
		if k, err := ParseKind(name); err == nil {
			t.Errorf("%q reads %v", name, k)
		}
	}
}
