package scoring

import (
	"fmt"
	"testing"

	"clickgate/gateway/click"
)

// display gives every click of the last hour a display some seconds before it.
func (w *town) display() {
	w.between(60, 120, func(c *town1) { w.show(c, -1_000_000-w.rng.Int64N(40_000_000)) })
}

// show sets the display of a click, so much after it.
func (w *town) show(c *town1, after int64) { c.ShownAt = c.EventTime + after }

// lose takes a share of the displays away at random.
func (w *town) lose(share float64) {
	w.between(60, 120, func(c *town1) {
		if w.rng.Float64() < share {
			c.ShownAt = click.ShownNever
		}
	})
}

// found is how many clicks of a name bear a reason that only displays can give.
func (r tally) found(name string) int {
	return r.reasons[name]["NO_IMPRESSION"] + r.reasons[name]["CLICK_BEFORE_DISPLAY"]
}

// TestDisplayFindsAttacks: who clicks what was not displayed, not yet or only just, beside
// people of whom one in twenty loses the message of the display.
func TestDisplayFindsAttacks(t *testing.T) {
	t.Parallel()
	for reason, tt := range map[string]struct {
		attack func(*town, string)
		share  float64 // of the attack's clicks that have the reason
	}{
		"CLICK_BEFORE_DISPLAY": {func(w *town, name string) {
			for i := range 60 {
				c := w.add(name, w.within(60, 120), fmt.Sprintf("198.53.0.%d", i+1), w.agent(), "en", w.publisher(), w.campaign())
				w.show(c, 8_000_000+w.rng.Int64N(60_000_000))
			}
		}, 1},
		"NO_IMPRESSION": {func(w *town, name string) {
			for i := range 60 {
				c := w.add(name, w.within(60, 120), fmt.Sprintf("198.53.0.%d", i%10+1), w.agents[i%10], "en", w.publisher(), w.campaign())
				c.ShownAt = click.ShownNever
			}
		}, 1},
		"TOO_FAST": {func(w *town, name string) {
			for i := range 60 {
				c := w.add(name, w.within(60, 120), fmt.Sprintf("198.53.0.%d", i+1), w.agent(), "en", w.publisher(), w.campaign())
				w.show(c, -20_000-w.rng.Int64N(300_000)) // while the token is older
			}
		}, 1},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			w := newTown(31, 2500)
			w.display()
			w.lose(0.05)
			tt.attack(w, "attack")
			r := w.judge(t)
			if n := r.reasons["attack"][reason]; float64(n) < tt.share*float64(r.total["attack"]) || r.total["attack"] < 50 {
				t.Errorf("%d of %d clicks of the attack have %s", n, r.total["attack"], reason)
			}
			if r.share("attack") < 1 {
				t.Errorf("%d of %d clicks of the attack are billed", r.total["attack"]-r.bad["attack"], r.total["attack"])
			}
			if n := r.reasons["people"][reason]; n > 0 || r.total["people"] < 1000 {
				t.Errorf("%s stands on %d of %d clicks of people", reason, n, r.total["people"])
			}
		})
	}
}

// TestDisplayBlamesNoOutage: whatever a feed does not say, or says with a wrong clock, makes
// nobody's click invalid, and what the attack beside it did goes unfound rather.
func TestDisplayBlamesNoOutage(t *testing.T) {
	t.Parallel()
	never := func(c *town1) { c.ShownAt = click.ShownNever }
	for name, tt := range map[string]struct {
		fault func(*town)
		blind bool // the attack is not found either
	}{
		"whole":                   {func(*town) {}, false},
		"nobody feeds":            {func(w *town) { w.lose(1) }, true},
		"most is lost":            {func(w *town) { w.lose(0.6) }, true},
		"one server of five":      {func(w *town) { w.lose(0.2) }, false}, // the order of what is there still tells
		"away for twelve minutes": {func(w *town) { w.between(70, 82, never) }, false},
		"away, and shown again when people come back": {func(w *town) {
			w.between(70, 82, func(c *town1) {
				if w.rng.IntN(3) == 0 {
					w.show(c, 90_000_000)
				} else {
					never(c)
				}
			})
		}, false},
		"one publisher feeds nothing": {func(w *town) { w.of("pub1", never) }, false},
		"one publisher's clock":       {func(w *town) { w.of("pub1", func(c *town1) { w.show(c, 60_000_000) }) }, false},
		"a clock a minute ahead":      {func(w *town) { w.between(60, 120, func(c *town1) { w.show(c, 30_000_000) }) }, true},
		"a clock behind":              {func(w *town) { w.between(60, 120, func(c *town1) { w.show(c, -100_000) }) }, false},
		"nobody asked":                {func(w *town) { w.between(60, 120, func(c *town1) { c.ShownAt = 0 }) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(37, 2500)
			w.display()
			tt.fault(w)
			for i := range 20 {
				c := w.add("attack", w.within(90, 120), fmt.Sprintf("198.53.0.%d", i+1), w.agent(), "en", "pub3", w.campaign())
				w.show(c, 20_000_000)
			}
			r := w.judge(t)
			if n := r.found("people"); n > 0 || r.total["people"] < 1000 {
				t.Errorf("%d of %d clicks of people are blamed for the feed", n, r.total["people"])
			}
			if n := r.reasons["people"]["TOO_FAST"]; n > 0 {
				t.Errorf("%d clicks of people are too fast", n)
			}
			if found := r.found("attack") > 0; found == tt.blind {
				t.Errorf("the attack was found: %v", found)
			}
		})
	}
}

// between changes the clicks of some minutes, of those of that were displayed.
func (w *town) between(from, to int64, change func(*town1)) {
	for i := range w.clicks {
		if at := w.clicks[i].EventTime - townStart; at >= from*minuteTown && at < to*minuteTown {
			change(&w.clicks[i])
		}
	}
}

func (w *town) of(publisher string, change func(*town1)) {
	w.between(60, 120, func(c *town1) {
		if c.PublisherID == publisher {
			change(c)
		}
	})
}

// A visitor whose browser keeps the message of the display back is nobody's fraud while
// he clicks as people do, and many behind one address are not one visitor.
func TestDisplayLeavesFewAlone(t *testing.T) {
	t.Parallel()
	w := newTown(41, 2500)
	w.display()
	for i := range 60 {
		ip := fmt.Sprintf("198.53.0.%d", i/3+1)
		for range 2 { // twice in the hour
			w.add("blocker", w.within(60, 120), ip, w.agents[i%80], "en", w.publisher(), w.campaign()).ShownAt = click.ShownNever
		}
	}
	r := w.judge(t)
	if n := r.found("blocker"); n > 0 || r.total["blocker"] < 100 {
		t.Errorf("%d of %d clicks of people with a blocker are blamed", n, r.total["blocker"])
	}
}
