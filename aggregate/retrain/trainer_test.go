package retrain

import (
	"errors"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

const week = 7 * 24 * time.Hour

func run(t *testing.T, tr *Trainer) {
	t.Helper()
	if err := tr.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A trainer trains once when it is due, proposes what it made, and a person's promotion
// makes it what the next is held against.
func TestTrainer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.clicks = append(traffic(1, "web", 2000, monday, false), traffic(2, "web", 2000, monday.Add(week), false)...)
	now := monday.Add(-time.Minute)
	tr := s.trainer(config(), &now, "a")
	// A new book has missed all trainings before: the one of a week ago is due.
	run(t, tr)
	if b := s.book(t); len(b.Models) != 0 || b.TrainedAt != monday.Add(-week).UnixMicro() || testutil.ToFloat64(tr.runs.WithLabelValues("failed")) != 1 {
		t.Fatalf("trained from nothing: %+v", b)
	}
	run(t, tr)
	now = monday.Add(2 * time.Minute)
	for range 3 {
		run(t, tr)
	}
	b := s.book(t)
	if len(b.Models) != 1 || b.Shadow != b.Models[0].Hash || b.Live != 0 || b.TrainedAt != monday.UnixMicro() {
		t.Fatalf("after the first training: %+v", b.ModelSlots)
	}
	m, err := ManifestOf(t.Context(), s, b.Models[0].Hash)
	if err != nil || m.From != monday.Add(-week).UnixMicro() || m.To != monday.UnixMicro() || m.Clicks != 2000 || m.Who != Author {
		t.Errorf("manifest %+v, %v", m, err)
	}
	d := &Desk{Store: s, Now: func() time.Time { return now }, Who: "os:ana"}
	if err := d.Promote(t.Context(), b.Shadow, "looks right", false); err != nil {
		t.Fatal(err)
	}
	live := b.Shadow
	// An attack that no rule found, in the second week.
	s.clicks = append(s.clicks, traffic(3, "web", 200, monday.Add(week), true)...)
	now = monday.Add(week)
	run(t, tr)
	b = s.book(t)
	if len(b.Models) != 2 || b.Live != live || b.Shadow != 0 || b.Models[0].Refused == "" || testutil.ToFloat64(tr.runs.WithLabelValues("refused")) != 1 {
		t.Fatalf("after the attack: %+v, %q", b.ModelSlots, b.Models[0].Refused)
	}
}

// Hours in which a tenant had an incident are not learned from: with them the guard
// refuses, without them there is nothing to refuse.
func TestTrainerLeavesIncidentsOut(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		s := newStore(t)
		now := monday
		tr := s.trainer(config(), &now, "a")
		s.clicks = traffic(1, "web", 2000, monday, false)
		run(t, tr)
		if err := (&Desk{Store: s, Now: func() time.Time { return now }, Who: "os:ana"}).Promote(t.Context(), s.book(t).Shadow, "x", false); err != nil {
			t.Fatal(err)
		}
		now = monday.Add(week)
		attack := traffic(3, "web", 300, now, true)
		began := now.Add(-30 * time.Hour)
		for i := range attack {
			attack[i].EventTime = began.Add(time.Duration(i) * time.Minute).UnixMicro()
		}
		s.clicks = append(traffic(2, "web", 2000, now, false), attack...)
		if told {
			s.incidents = []aggregate.Incident{
				{TenantID: "acme", OpenedAt: began.UnixMicro(), ResolvedAt: began.Add(5 * time.Hour).UnixMicro()},
				{TenantID: "zoo", OpenedAt: now.Add(-week).UnixMicro()},
			}
		}
		run(t, tr)
		b := s.book(t)
		m, err := ManifestOf(t.Context(), s, b.Models[0].Hash)
		if err != nil || (b.Models[0].Refused == "") != told || (m.LeftOut >= 300) != told {
			t.Errorf("incident told: %v; refused %q, %d left out, %v", told, b.Models[0].Refused, m.LeftOut, err)
		}
	}
}

// Of several trainers one trains; one that lost the lease meanwhile writes nothing.
func TestTrainersDoNotMeet(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.clicks = traffic(1, "web", 1000, monday, false)
	now, later := monday, monday.Add(2*trainTTL)
	a, b := s.trainer(config(), &now, "a"), s.trainer(config(), &later, "b")
	reads := 0
	s.read = func() {
		reads++
		if reads > 1 {
			return
		}
		c := s.trainer(config(), &now, "c")
		run(t, c) // finds the lease taken
		run(t, b) // a's is over by its clock
	}
	if err := a.RunOnce(t.Context()); !errors.Is(err, aggregate.ErrModelsChanged) {
		t.Errorf("who lost the lease: %v", err)
	}
	if got := s.book(t); reads != 2 || len(got.Models) != 1 || got.TrainedAt != monday.UnixMicro() {
		t.Errorf("%d trainings, book %+v", reads, got.ModelSlots)
	}
	s.read = nil
	run(t, a) // done already
	if got := s.book(t); len(got.Models) != 1 {
		t.Errorf("trained again: %+v", got.ModelSlots)
	}
}

// A shadow becomes live by itself only where that is configured, after its time, and not
// when the guard refused something since.
func TestPromotionByTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		after   time.Duration
		refused bool
		at      time.Duration
		want    bool
	}{
		{"off", 0, false, 400 * time.Hour, false}, {"too early", 48 * time.Hour, false, 47 * time.Hour, false},
		{"in time", 48 * time.Hour, false, 48 * time.Hour, true}, {"after an alarm", 48 * time.Hour, true, 48 * time.Hour, false},
	} {
		s := newStore(t)
		now := monday
		cfg := config()
		cfg.At, cfg.PromoteAfter = "", c.after
		tr := s.trainer(cfg, &now, "a")
		good, bad := candidate(t, 1), candidate(t, 2)
		if err := tr.desk.Propose(t.Context(), good, "x", 0, 0); err != nil {
			t.Fatal(err)
		}
		if c.refused {
			now = now.Add(time.Hour)
			bad.Manifest.Guard.Refused = "an attack"
			if err := tr.desk.Propose(t.Context(), bad, "x", 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		now = monday.Add(c.at)
		run(t, tr)
		if b := s.book(t); (b.Live == good.Model.Hash()) != c.want || c.want && b.Shadow != 0 {
			t.Errorf("%s: %+v", c.name, b.ModelSlots)
		}
	}
}

// A store that fails is tried again, and nothing is noted as trained.
func TestTrainerFails(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	now := monday
	tr := s.trainer(config(), &now, "a")
	broken := traffic(1, "web", 1000, monday, false)
	s.clicks = broken
	s.read = func() { s.Close() }
	if err := tr.RunOnce(t.Context()); err == nil || strings.Contains(err.Error(), "clicks to learn from") {
		t.Errorf("%v", err)
	}
}
