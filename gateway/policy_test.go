package gateway

import (
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
)

// The scorer is handed what a tenant and its campaigns set, for every source, and reads
// the campaign's by the click.
func TestPoliciesReachTheScorer(t *testing.T) {
	t.Parallel()
	text := strings.Replace(string(controlYAML()), "- id: cmp-1\n", "- id: cmp-1\n        policy: {apps_are_tools: false}\n", 1)
	text = strings.Replace(text, "    sources:", "    policy: {min_clicks: 20}\n    sources:", 1)
	snapshot, err := control.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	r.srv.dep.Control.Swap(snapshot)
	type key struct {
		source, campaign string
		tenant, own      bool
	}
	got := map[key]int{}
	r.scorer.set(func(c *click.Click, s *click.Signals) {
		c.Verdict.State = click.Valid
		of := s.Policies.Of(c.CampaignID)
		got[key{strings.Clone(c.SourceID), strings.Clone(c.CampaignID), of[0] != nil && *of[0].MinClicks == 20, of[2] != nil && !*of[2].AppsAreTools}]++
	})
	r.get("/c?t=" + r.mint(nil))
	r.get("/c?s=pub-acme&cmp=cmp-1&u=https%3A%2F%2Fshop.example%2F")
	r.get("/c?s=pub-acme&cmp=cmp-2&u=https%3A%2F%2Fshop.example%2F")
	r.batch(acmeKey, itemJSON(t0, 1, ""))
	for k, n := range got {
		if !k.tenant || k.own != (k.campaign == "cmp-1") {
			t.Errorf("%+v: %d", k, n)
		}
	}
	if got[key{"edge", "cmp-1", true, true}] != 1 || got[key{"web", "cmp-1", true, true}] != 1 || got[key{"web", "cmp-2", true, false}] != 1 {
		t.Errorf("%+v", got)
	}
}

// Hints and the order of headers reach the scorer as they came, of visitors alone; what is
// too long for a hint is none.
func TestHeadersReachTheScorer(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var got []click.Signals
	r.scorer.set(func(c *click.Click, s *click.Signals) {
		c.Verdict.State = click.Valid
		own := *s
		own.Hints = click.ClientHints{Brands: strings.Clone(s.Hints.Brands), Mobile: strings.Clone(s.Hints.Mobile), Platform: strings.Clone(s.Hints.Platform)}
		got = append(got, own)
	})
	const brands = `"Chromium";v="127", "Not-A.Brand";v="99"`
	r.get("/c?t="+r.mint(nil), "sec-ch-ua: "+brands, "Accept: text/html", "SEC-CH-UA-MOBILE: ?0", `Sec-CH-UA-Platform: "Windows"`, "Accept-Language: de")
	r.get("/c?t="+r.mint(nil), "Accept-Language: de", "Accept: text/html", `Sec-CH-UA-Platform: "`+strings.Repeat("x", maxHint)+`"`)
	r.batch(acmeKey, itemJSON(t0, 1, ""))
	if len(got) != 3 {
		t.Fatalf("%d clicks", len(got))
	}
	if want := (click.ClientHints{Brands: brands, Mobile: "?0", Platform: `"Windows"`}); got[0].Hints != want {
		t.Errorf("hints %+v", got[0].Hints)
	}
	if got[1].Hints != (click.ClientHints{}) || got[2].Hints != (click.ClientHints{}) || got[2].HeaderOrder != 0 {
		t.Errorf("without hints: %+v, %+v", got[1].Hints, got[2])
	}
	if got[0].HeaderOrder == 0 || got[1].HeaderOrder == 0 || got[0].HeaderOrder == got[1].HeaderOrder {
		t.Errorf("orders %o and %o", got[0].HeaderOrder, got[1].HeaderOrder)
	}
}

// The scorer is handed the policy of the click's source at every entry, and none
// for a source that has none.
func TestSourcePolicyReachesTheScorer(t *testing.T) {
	t.Parallel()
	text := string(controlYAML())
	for _, id := range []string{"id: access,", "id: web,"} {
		text = strings.Replace(text, id, id+" policy: {apps_are_tools: false},", 1)
	}
	text = strings.Replace(text, "- id: api\n", "- id: api\n        policy: {apps_are_tools: false}\n", 1)
	got := map[string][]bool{}
	prepare := func(r *rig) {
		snapshot, err := control.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r.srv.dep.Control.Swap(snapshot)
		r.scorer.set(func(c *click.Click, s *click.Signals) {
			c.Verdict.State = click.Valid
			got[c.SourceID] = append(got[c.SourceID], s.Policies != nil && s.Policies.Source != nil && !*s.Policies.Source.AppsAreTools)
		})
	}
	logs := newRawRig(t, nil)
	prepare(logs)
	logs.pushText("access-key", clf(0, "/c?cmp=cmp-1", browser)+clf(0, "/c?cmp=cmp-1&n=2", browser), 2, 0, 0)
	logs.pushText("fresh-key", clf(0, "/c?cmp=cmp-1", browser), 1, 0, 0)
	r := newRig(t, nil)
	prepare(r)
	r.get("/c?t=" + r.mint(nil))
	r.get("/c?s=pub-acme&cmp=cmp-1&u=https%3A%2F%2Fshop.example%2F")
	r.batch(acmeKey, itemJSON(t0, 1, ""))
	for source, want := range map[string][]bool{"access": {true, true}, "fresh": {false}, "edge": {false}, "web": {true}, "api": {true}} {
		if len(got[source]) != len(want) || len(want) > 0 && got[source][0] != want[0] {
			t.Errorf("source %s: %v, want %v", source, got[source], want)
		}
	}
}
