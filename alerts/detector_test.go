package alerts

import (
	"math"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// feed observes values a minute apart and returns their scores and states.
func feed(d *Detector, from time.Time, values ...float64) (scores []float64, states []State) {
	for i, v := range values {
		s, st := d.Observe(from.Add(time.Duration(i)*time.Minute), v)
		scores, states = append(scores, s), append(states, st)
	}
	return scores, states
}

func repeated(n int, v float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// TestSeriesThatNeverMoves: spread 0 is no reason to be blind or to see ghosts, and
// fractions of the same series flag the same minutes.
func TestSeriesThatNeverMoves(t *testing.T) {
	t.Parallel()
	for _, scale := range []float64{1, 0.087} {
		cfg := DefaultDetector()
		if scale != 1 {
			cfg.Unit = scale
		}
		d := NewDetector(cfg)
		values := append(repeated(120, 40), 40, 41, 60, 400, 40, 40)
		for i := range values {
			values[i] *= scale
		}
		scores, states := feed(d, start, values...)
		for i, s := range scores {
			if math.IsNaN(s) || math.IsInf(s, 0) {
				t.Fatalf("scale %v: score %v at %d", scale, s, i)
			}
			if flagged := i == 123; i >= 20 && (s >= cfg.Open) != flagged {
				t.Errorf("scale %v: score %.2f of %v at %d", scale, s, values[i], i)
			}
		}
		for i, want := range map[int]float64{120: 0, 121: 0.16, 122: 3.16, 123: 56.9} {
			if math.Abs(scores[i]-want) > 0.05 {
				t.Errorf("scale %v: score %.3f at %d, want %.2f", scale, scores[i], i, want)
			}
		}
		if scores[124] != 0 || states[123] != Strange {
			t.Errorf("scale %v: after the peak %v, at it %v", scale, scores[124], states[123])
		}
	}
}

// TestYoungSeries has no baseline, which is neither 0 nor strange; zeros do not make
// the first event an alarm.
func TestYoungSeries(t *testing.T) {
	t.Parallel()
	d := NewDetector(DefaultDetector())
	if _, states := feed(d, start, 5, 5_000); states[0] != NoBaseline || states[1] != NoBaseline {
		t.Errorf("states %v", states)
	}
	d = NewDetector(DefaultDetector())
	scores, states := feed(d, start, append(repeated(119, 0), 1, 0, 50)...)
	if states[119] != Calm || states[121] != Strange || scores[121] < 12 {
		t.Errorf("one event after zeros: %v; fifty: %v with %v", states[119], states[121], scores[121])
	}
}

// TestNoFlapping: values around the threshold open once and close once.
func TestNoFlapping(t *testing.T) {
	t.Parallel()
	d := NewDetector(DefaultDetector())
	feed(d, start, repeated(60, 100)...)
	changes, before := 0, Calm
	for i := range 60 {
		v := 100.0
		if i < 40 && i%2 == 0 {
			v = 170
		}
		_, st := d.Observe(start.Add(time.Duration(60+i)*time.Minute), v)
		if st != before {
			changes, before = changes+1, st
		}
	}
	if changes != 2 || before != Calm {
		t.Errorf("%d changes, at the end %v", changes, before)
	}
}

// TestDetectorIsFinite for whatever comes.
func TestDetectorIsFinite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := NewDetector(DefaultDetector())
		for i, v := range rapid.SliceOfN(rapid.Float64(), 1, 150).Draw(t, "values") {
			if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
				v = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[i%3]
			}
			if s, _ := d.Observe(start.Add(time.Duration(i)*time.Minute), v); math.IsNaN(s) || math.IsInf(s, 0) {
				t.Fatalf("score %v of %v", s, v)
			}
		}
	})
}

// minuteOf is one minute of a campaign: ordinary clicks, and invalid ones of an attack.
func minuteOf(minute int64, valid, sivt int64) []aggregate.MinuteCount {
	row := aggregate.MinuteCount{
		TenantID: "acme", SourceID: "edge", CampaignID: "spring", PublisherID: "news", Currency: "EUR", Minute: minute,
		Micros: (valid + sivt) * 250_000,
	}
	row.Counts[click.Valid], row.Counts[click.SIVT] = valid, sivt
	other := aggregate.MinuteCount{TenantID: "acme", SourceID: "log", CampaignID: "autumn", PublisherID: "radio", Currency: "EUR", Minute: minute, Micros: 200 * 250_000}
	other.Counts[click.Valid] = 200
	return []aggregate.MinuteCount{row, other}
}

// play judges minutes with an attack from one minute to another and returns all
// incidents by id, and the pages.
func play(cfg Config, minutes, from, to int) (map[string]aggregate.Incident, []aggregate.IncidentPut) {
	e, tr := NewEngine(cfg), newTracker(cfg, nil)
	seen := map[string]aggregate.Incident{}
	var pages []aggregate.IncidentPut
	for m := range minutes {
		minute := start.Add(time.Duration(m) * time.Minute).UnixMicro()
		sivt := int64(2)
		if m >= from && m < to {
			sivt = 6_000
		}
		wobble := int64(m%7) * 9
		for _, p := range tr.take(e.Judge(minute, minuteOf(minute, 700+wobble, sivt))) {
			seen[p.ID] = p.Incident
			if p.Page != nil {
				pages = append(pages, p)
			}
		}
	}
	return seen, pages
}

// TestAnAttackIsOneIncident: campaign, publisher and source of the same clicks join,
// it is told once, at most every five minutes again, and resolved after its end.
func TestAnAttackIsOneIncident(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]int{"with a past": 40, "from the first minute": 0} {
		seen, pages := play(DefaultConfig(), 70, from, from+12)
		if len(seen) != 1 {
			t.Errorf("%s: %d incidents: %+v", name, len(seen), seen)
			continue
		}
		for _, i := range seen {
			if i.Open() || len(i.Series) < 3 || i.Money["EUR"] < 5_000*250_000 || i.Severity < aggregate.SeverityError {
				t.Errorf("%s: %+v", name, i)
			}
		}
		triggers := 0
		for n, p := range pages {
			switch {
			case p.Page.Action == aggregate.PageTrigger:
				triggers++
			case n != len(pages)-1:
				t.Errorf("%s: resolved before the end", name)
			}
		}
		if triggers < 1 || triggers > 6 || len(pages) != triggers+1 {
			t.Errorf("%s: %d triggers of %d pages", name, triggers, len(pages))
		}
	}
}

// TestOrdinaryTrafficRingsForNothing, with the wobble of a day's minutes.
func TestOrdinaryTrafficRingsForNothing(t *testing.T) {
	t.Parallel()
	if seen, _ := play(DefaultConfig(), 180, -1, -1); len(seen) != 0 {
		t.Errorf("incidents %+v", seen)
	}
}

// TestReopened: an attack that comes back within half an hour goes on as the same
// incident; later it is another one.
func TestReopened(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pause, want int }{{15, 1}, {60, 2}} {
		cfg := DefaultConfig()
		e, tr := NewEngine(cfg), newTracker(cfg, nil)
		ids := map[string]int{}
		for m := range 140 {
			sivt := int64(2)
			if m >= 40 && m < 46 || m >= 46+c.pause && m < 52+c.pause {
				sivt = 6_000
			}
			minute := start.Add(time.Duration(m) * time.Minute).UnixMicro()
			for _, p := range tr.take(e.Judge(minute, minuteOf(minute, 700, sivt))) {
				ids[p.ID] = p.Reopened
			}
		}
		if len(ids) != c.want {
			t.Errorf("pause of %d minutes: %d incidents, want %d", c.pause, len(ids), c.want)
		}
	}
}
