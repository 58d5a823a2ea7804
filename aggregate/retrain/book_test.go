package retrain

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

// The life of models, with what each step leaves in the book and in the audit trail.
func TestDesk(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	now := monday
	d := &Desk{Store: s, Now: func() time.Time { return now }, Who: "os:ana"}
	a, b, bad := candidate(t, 1), candidate(t, 2), candidate(t, 3)
	bad.Manifest.Guard.Refused = "half of it is new"
	ha, hb, hbad := a.Model.Hash(), b.Model.Hash(), bad.Model.Hash()
	step := func(what string, err error, target error, live, shadow, previous uint64) {
		t.Helper()
		now = now.Add(time.Minute)
		if !errors.Is(err, target) {
			t.Fatalf("%s: %v, want %v", what, err, target)
		}
		got := s.book(t).ModelSlots
		if got.Live != live || got.Shadow != shadow || got.Previous != previous {
			t.Errorf("%s: live %x, shadow %x, previous %x", what, got.Live, got.Shadow, got.Previous)
		}
	}
	_, err := d.Rollback(t.Context(), "x")
	step("rollback of nothing", err, ErrSlot, 0, 0, 0)
	step("propose", d.Propose(t.Context(), a, "first", 0, 0), nil, 0, ha, 0)
	step("promote the shadow", d.Promote(t.Context(), ha, "looks right", false), nil, ha, 0, 0)
	step("promote again", d.Promote(t.Context(), ha, "x", false), ErrSlot, ha, 0, 0)
	step("propose a refused one", d.Propose(t.Context(), bad, "try", 0, 0), nil, ha, 0, 0)
	again := *bad
	again.Manifest.Guard = nil // as from a file
	step("propose a refused one again", d.Propose(t.Context(), &again, "try", 0, 0), nil, ha, 0, 0)
	step("promote a refused one", d.Promote(t.Context(), hbad, "x", false), ErrRefused, ha, 0, 0)
	step("propose another", d.Propose(t.Context(), b, "second", 0, 0), nil, ha, hb, 0)
	step("promote it", d.Promote(t.Context(), hb, "x", false), nil, hb, 0, ha)
	_, err = d.Rollback(t.Context(), "too many suspects")
	step("roll back", err, nil, ha, 0, hb)
	_, err = d.Rollback(t.Context(), "they were right")
	step("and forth", err, nil, hb, 0, ha)
	step("retire the live one", d.Retire(t.Context(), hb, "x"), ErrSlot, hb, 0, ha)
	step("retire the one before", d.Retire(t.Context(), ha, "x"), ErrSlot, hb, 0, ha)
	step("promote in spite of the guard", d.Promote(t.Context(), hbad, "a new publisher, ticket 7", true), nil, hbad, 0, hb)
	step("retire", d.Retire(t.Context(), ha, "old"), nil, hbad, 0, hb)
	step("promote a retired one", d.Promote(t.Context(), ha, "x", false), aggregate.ErrModelForgotten, hbad, 0, hb)
	step("propose it again", d.Propose(t.Context(), a, "x", 0, 0), aggregate.ErrModelForgotten, hbad, 0, hb)
	step("an unknown one", d.Promote(t.Context(), 5, "x", false), aggregate.ErrNoModel, hbad, 0, hb)
	for _, nobody := range []*Desk{{Store: s, Now: d.Now}, d} {
		if err := nobody.Promote(t.Context(), hb, " ", false); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("a change without author or reason: %v", err)
		}
	}
	entries, err := s.ReadAudit(t.Context(), &aggregate.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range entries {
		actions = append(actions, e.Action)
		if e.Who != "os:ana" || e.Detail == "" || e.Target == "" || e.TenantID != aggregate.AllTenants {
			t.Errorf("entry %+v", e)
		}
	}
	const want = "[model.retire model.promote model.rollback model.rollback model.promote model.propose model.propose model.propose model.promote model.propose]"
	if fmt.Sprint(actions) != want || entries[1].Detail != "a new publisher, ticket 7" || entries[2].Target != hex16(hb) {
		t.Errorf("audit %v, want %s", actions, want)
	}
	m, err := ManifestOf(t.Context(), s, hb)
	if err != nil || m.Who != "os:ana" || m.Why != "second" || m.Profile[All].Rows != b.Manifest.Profile[All].Rows || m.SHA256 != fmt.Sprintf("%x", b.Model.Checksum()) {
		t.Errorf("manifest %+v, %v", m, err)
	}
}

// Of two changes made from one book the second is told to look again.
func TestDeskChangedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	d := &Desk{Store: s, Now: func() time.Time { return monday }, Who: "os:ana"}
	err := d.change(t.Context(), "model.promote", 0, "x", func(*aggregate.ModelBook, *aggregate.ModelChange) error {
		return d.Propose(t.Context(), candidate(t, 1), "meanwhile", 0, 0)
	})
	if !errors.Is(err, aggregate.ErrModelsChanged) {
		t.Errorf("%v", err)
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	b := &aggregate.ModelBook{Models: []aggregate.ModelEntry{{Hash: 0xab12}, {Hash: 0xab00000000000000}, {Hash: 0xab01000000000000}}}
	for _, c := range []struct {
		text string
		want uint64
		err  string
	}{
		{"ab00", 0xab00000000000000, ""}, {"AB01", 0xab01000000000000, ""}, {"000000000000ab12", 0xab12, ""}, {"ab", 0, "2 models begin so"},
		{"", 0, "no model begins so"}, {"zz", 0, "no model begins so"}, {"ffffffffffffffff", 0, "knows no model"},
	} {
		got, err := ParseHash(b, c.text)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %x, %v", c.text, got, err)
		}
	}
}

// A model whose file is gone, and one that never was here, are said to be gone.
func TestFinder(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	d := &Desk{Store: s, Now: func() time.Time { return monday }, Who: "os:ana"}
	a, b := candidate(t, 1), candidate(t, 2)
	for _, c := range []*Candidate{a, b} {
		if err := d.Propose(t.Context(), c, "x", 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Retire(t.Context(), a.Model.Hash(), "old"); err != nil {
		t.Fatal(err)
	}
	find := Finder(t.Context(), s)
	m, err := find(b.Model.Hash())
	if err != nil || m.Hash() != b.Model.Hash() {
		t.Errorf("%v, %v", m, err)
	}
	if again, err := find(b.Model.Hash()); err != nil || again != m {
		t.Errorf("read twice: %v", err)
	}
	for hash, want := range map[uint64]string{a.Model.Hash(): "is retired", 99: "knows no model"} {
		if _, err := find(hash); !errors.Is(err, scoring.ErrModelGone) || !strings.Contains(err.Error(), want) {
			t.Errorf("model %x: %v", hash, err)
		}
	}
}

// A model that does not fit a Kafka message is refused before it is kept.
func TestProposeRefusesLargeModels(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	rows := make([][]float32, 300)
	for i, c := range traffic(1, "web", 300, monday, false) {
		rows[i] = c.Vector[:scoring.Features]
	}
	m, err := iforest.Train(rows, iforest.Config{Trees: 1000, VectorVersion: scoring.VectorVersion})
	if err != nil {
		t.Fatal(err)
	}
	d := &Desk{Store: s, Now: func() time.Time { return monday }, Who: "os:ana"}
	if err := d.Propose(t.Context(), &Candidate{Model: m}, "x", 0, 0); err == nil || !strings.Contains(err.Error(), "fewer trees") {
		t.Errorf("a model of %d bytes: %v", len(m.Bytes()), err)
	}
}
