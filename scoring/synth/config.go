package synth

import (
	"fmt"
	"math"
	"time"
)

// Params describe traffic.
type Params struct {
	Duration time.Duration // the clicks are before it; 0 has no end
	Day      time.Duration // how long a day of 24 hours takes
	Opening  time.Duration // the hour of the day at the start, 0 to 24 h

	Peak   float64 // clicks of people per second, on average, at the busiest time of the day
	People int     // among whom the clicks are spread

	DoubleClicks float64 // share of clicks that are clicked twice
	Crawlers     float64 // crawlers' clicks for each click of a person, over a day

	Campaigns  []Share
	Publishers []Publisher
	Families   []Family
}

// Share is an id and how often it comes compared with the others.
type Share struct {
	ID     string
	Weight float64
}

// Publisher is a publisher, its weight and its placements.
type Publisher struct {
	Share
	Placements []Share
}

// Family is traffic besides that of every day: Flood or Crowd.
type Family interface {
	validate() error
	clicks(w *world, stream uint64, yield func(Click) bool)
}

// DefaultParams returns a real day of a small campaign on three publishers: 1 %
// double clicks, and crawlers near the 1.05 % of invalid traffic that TAG
// certified channels were measured to have in 2020.
func DefaultParams() Params {
	day := 24 * time.Hour
	return Params{
		Duration: day, Day: day, Peak: 1, People: 20_000,
		DoubleClicks: 0.01, Crawlers: 0.01,
		Campaigns: []Share{{"campaign", 1}},
		Publishers: []Publisher{
			{Share{"news.example", 5}, []Share{{"top", 3}, {"article", 5}, {"footer", 1}}},
			{Share{"weather.example", 3}, []Share{{"map", 2}, {"sidebar", 1}}},
			{Share{"recipes.example", 2}, []Share{{"list", 1}, {"recipe", 2}}},
		},
	}
}

// Validate reports the first impossible value and what to write instead.
func (p *Params) Validate() error {
	switch {
	case p.Duration < 0:
		return fmt.Errorf("synth: Duration %s is negative; use 0 for traffic without an end", p.Duration)
	case p.Day <= 0:
		return fmt.Errorf("synth: Day %s is not above 0; 24h is a real day", p.Day)
	case p.Opening < 0 || p.Opening > 24*time.Hour:
		return fmt.Errorf("synth: Opening %s is no hour of the day; use 0 to 24h", p.Opening)
	case !(p.Peak >= 0) || math.IsInf(p.Peak, 0):
		return fmt.Errorf("synth: Peak %v is no rate; use clicks per second, 0 for none", p.Peak)
	case p.People < 1:
		return fmt.Errorf("synth: People %d is below 1", p.People)
	case !isShare(p.DoubleClicks):
		return fmt.Errorf("synth: DoubleClicks %v is no share; use 0 to 1", p.DoubleClicks)
	case !isShare(p.Crawlers):
		return fmt.Errorf("synth: Crawlers %v is no share; use 0 to 1", p.Crawlers)
	}
	if err := checkShares("Campaigns", p.Campaigns); err != nil {
		return err
	}
	publishers := make([]Share, len(p.Publishers))
	for i, pub := range p.Publishers {
		publishers[i] = pub.Share
		if err := checkShares("placements of publisher "+pub.ID, pub.Placements); err != nil {
			return err
		}
	}
	if err := checkShares("Publishers", publishers); err != nil {
		return err
	}
	for i, f := range p.Families {
		if err := f.validate(); err != nil {
			return fmt.Errorf("synth: Families[%d]: %w", i, err)
		}
	}
	return nil
}

func isShare(x float64) bool { return x >= 0 && x <= 1 }

func checkShares(what string, shares []Share) error {
	if len(shares) == 0 {
		return fmt.Errorf("synth: %s: there is none", what)
	}
	for _, s := range shares {
		if s.ID == "" || !(s.Weight > 0) || math.IsInf(s.Weight, 0) {
			return fmt.Errorf("synth: %s: %q has weight %v; an id and a weight above 0 are wanted", what, s.ID, s.Weight)
		}
	}
	return nil
}
