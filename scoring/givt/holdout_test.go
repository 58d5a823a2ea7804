package givt

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
)

const (
	heldOutOneIn  = 5 // the share of crawler patterns that is taken away
	heldOutDraws  = 10
	heldOutRecall = 0.80  // at least, in every draw
	heldOutFalse  = 0.001 // at most, of the device agents
)

// trial is what one draw of held-out patterns gave.
type trial struct{ patterns, agents, stopped, devices, hit int }

func (r trial) recall() float64 { return float64(r.stopped) / float64(r.agents) }
func (r trial) falses() float64 { return float64(r.hit) / float64(r.devices) }

// TestHeldOutCrawlers takes a random fifth of the crawler patterns away and asks about the agents that those alone had
// named: crawlers as a list does not know them yet, so that only words.tsv is left to catch them. agents.tsv counts as
// names here; what it holds is nobody's merit. Each draw is one seed, so that anybody sees the same figures.
//
// The words were chosen by people who know the whole list. So the measure says what they catch of crawlers like the
// known ones; the spiders of TestRecallAndFalsePositives, of another source, are the check on that.
func TestHeldOutCrawlers(t *testing.T) {
	t.Parallel()
	t.Logf("%4s %8s %7s %11s %7s %8s %4s %8s", "seed", "patterns", "agents", "not billed", "recall", "devices", "hit", "false")
	draws := uint64(heldOutDraws)
	if raceEnabled {
		draws = 2
	}
	for seed := range draws {
		r := holdOut(t, seed, builtins(t, "words.tsv")[0].Data)
		t.Logf("%4d %8d %7d %11d %7.3f %8d %4d %8.5f", seed, r.patterns, r.agents, r.stopped, r.recall(), r.devices, r.hit, r.falses())
		if r.patterns < 200 || r.agents < 250 || r.devices < 15_000 {
			t.Errorf("seed %d: too little to mean anything: %+v", seed, r)
		}
		if r.recall() < heldOutRecall {
			t.Errorf("seed %d: only %d of %d agents of unknown crawlers are not billed", seed, r.stopped, r.agents)
		}
		if r.falses() > heldOutFalse {
			t.Errorf("seed %d: %d of %d device agents called invalid", seed, r.hit, r.devices)
		}
	}
}

// The measure must fall when the rules are too few, and notice when they are too many.
func TestHeldOutMeasureCanFail(t *testing.T) {
	t.Parallel()
	words := builtins(t, "words.tsv")[0].Data
	for _, c := range []struct {
		name   string
		words  []byte
		recall func(float64) bool
		falses func(float64) bool
	}{
		{"no words", nil, func(r float64) bool { return r == 0 }, nil},
		{"one word", []byte("crawler\t-\t(?i)spider\tx\n"), func(r float64) bool { return r > 0 && r < 0.4 }, nil},
		{"a word of every handset", slices.Concat(words, []byte("crawler\t-\tMobile\tx\n")), nil,
			func(f float64) bool { return f > 10*heldOutFalse }},
	} {
		r := holdOut(t, 1, c.words)
		if c.recall != nil && !c.recall(r.recall()) || c.falses != nil && !c.falses(r.falses()) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// holdOut makes one draw and judges all agents by the patterns that stay and the words.
func holdOut(t *testing.T, seed uint64, words []byte) trial {
	t.Helper()
	upstream := builtins(t, "crawler-user-agents.json")[0]
	names := builtins(t, "agents.tsv", "drops.tsv", "handsets.txt")
	rest, held := draw(t, upstream, seed)
	r := trial{patterns: held}
	all := load(t, append(names, upstream)...)
	known := load(t, append(names, rest)...)
	judged := load(t, append(names, rest, Source{Name: "words", Kind: KindAgents, Data: words})...)
	invalid := func(l *Lists, agent string) bool { return l.Match(agent, home).AgentInvalid(true) }
	for _, a := range agentsOf(t) {
		switch {
		case a.label == "device" && !fetcher(a.agent):
			r.devices++
			if invalid(judged, a.agent) {
				r.hit++
			}
		case invalid(all, a.agent) && !invalid(known, a.agent):
			r.agents++
			m := judged.Match(a.agent, home)
			if m.AgentInvalid(true) || m.Agent == NoAgent { // givt or undecidable: neither is billed
				r.stopped++
			}
		}
	}
	return r
}

// draw takes one pattern in heldOutOneIn out of the list, and says how many those were.
func draw(t *testing.T, list Source, seed uint64) (rest Source, held int) {
	t.Helper()
	var entries, kept []json.RawMessage
	if err := json.Unmarshal(list.Data, &entries); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, e := range entries {
		if rng.IntN(heldOutOneIn) != 0 {
			kept = append(kept, bytes.Clone(e))
		}
	}
	data, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	list.Data = data
	return list, len(entries) - len(kept)
}
