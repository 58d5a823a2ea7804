package gateway

import (
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
)

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
			got[c.SourceID] = append(got[c.SourceID], s.Policy != nil && s.Policy.AppsAreTools != nil && !*s.Policy.AppsAreTools)
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
