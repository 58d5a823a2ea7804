package demomodel

import (
	"bytes"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/givt"
	"clickgate/scoring/synth"
)

// The committed file is what the committed code makes.
func TestEmbeddedModelIsReproducible(t *testing.T) {
	t.Parallel()
	m, err := Train()
	if err != nil {
		t.Fatal(err)
	}
	if m.Info().Rows < 20_000 {
		t.Errorf("trained from %d rows only", m.Info().Rows)
	}
	if !bytes.Equal(m.Bytes(), file) {
		t.Error("the embedded model is another one; run go generate ./scoring/demomodel and commit what it writes")
	}
	opened, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Verify(); err != nil {
		t.Error(err)
	}
}

// The model sets a flood apart from ordinary people, and every click carries its
// score and hash.
func TestModelScoresEveryClick(t *testing.T) {
	t.Parallel()
	lists, err := givt.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	s, err := scoring.New(scoring.DefaultConfig(), lists, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SwapModel(m); err != nil {
		t.Fatal(err)
	}
	p := synth.DefaultParams()
	p.Duration, p.Day, p.Peak, p.People = 30*60e9, 4*3600e9, 8, 4000
	p.Families = []synth.Family{synth.Flood{Start: 15 * 60e9, Lasts: 5 * 60e9, Rate: 20, Addresses: 4}}
	var sum, n [2]float64
	for c := range synth.Traffic(9, p) {
		e, sig := event(&c)
		s.Score(&e, &sig)
		if e.Verdict.ModelHash != m.Hash() || e.Verdict.ModelSlot != click.ModelLive {
			t.Fatalf("a click without its model: %+v", e.Verdict)
		}
		kind := 0
		switch c.Label {
		case synth.Attack:
			kind = 1
		case synth.Crawler, synth.DoubleClick:
			continue
		}
		sum[kind] += float64(e.Verdict.Vector[scoring.SlotModel])
		n[kind]++
	}
	people, flood := sum[0]/n[0], sum[1]/n[1]
	t.Logf("mean model score: people %.3f of %.0f, flood %.3f of %.0f", people, n[0], flood, n[1])
	if n[0] < 1000 || n[1] < 1000 || flood < people+0.1 || people > 0.6 {
		t.Errorf("people %.3f of %.0f, flood %.3f of %.0f", people, n[0], flood, n[1])
	}
}
