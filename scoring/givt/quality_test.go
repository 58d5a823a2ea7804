package givt

import (
	"strings"
	"testing"
)

// fetchers are agents that the device corpus files under the telephone they name, although no person's browser sends
// them: WhatsApp's link preview, and blogs that call back. They are rightly general invalid traffic, and so are the two
// agents that name themselves spiders.
func fetcher(agent string) bool {
	return strings.HasPrefix(agent, "WhatsApp") || strings.HasPrefix(agent, "WordPress/") ||
		agent == "Http Connector Spider, contact Alcatel-Lucent IDOL Search" ||
		strings.HasPrefix(agent, "Huaweisymantecspider ")
}

func TestRecallAndFalsePositives(t *testing.T) {
	t.Parallel()
	l := listsOf(t)
	var n, hit = map[string]int{}, map[string]int{}
	for _, a := range agentsOf(t) {
		label := a.label
		if label == "device" && fetcher(a.agent) {
			label = "fetcher"
		}
		n[label]++
		m := l.Match(a.agent, home)
		if m.AgentInvalid(true) {
			hit[label]++
			if label == "device" {
				p, _ := l.Pattern(m.Pattern)
				t.Logf("device called %v by %q: %s", m.Agent, p.Text, a.agent)
			}
		} else if label == "spider" || label == "crawler" {
			t.Logf("%s missed: %s", label, a.agent)
		}
	}
	for label := range n {
		t.Logf("%-8s %5d of %5d called invalid, %.4f", label, hit[label], n[label], float64(hit[label])/float64(n[label]))
	}
	rate := func(label string) float64 { return float64(hit[label]) / float64(n[label]) }
	if n["crawler"] < 2000 || rate("crawler") < 0.98 {
		t.Errorf("recall on the instances of the crawler list: %d of %d", hit["crawler"], n["crawler"])
	}
	if n["spider"] < 70 || rate("spider") < 0.85 {
		t.Errorf("recall on the independent spiders: %d of %d", hit["spider"], n["spider"])
	}
	if n["device"] < 15_000 || rate("device") > 0.001 {
		t.Errorf("device agents called invalid: %d of %d", hit["device"], n["device"])
	}
	if n["fetcher"] != hit["fetcher"] || n["fetcher"] < 60 {
		t.Errorf("link previews and call-backs: %d of %d", hit["fetcher"], n["fetcher"])
	}
}
