// Package synth makes labelled click traffic for demos, tests and the evaluation
// of scoring: people over the hours of a day, their double clicks, declared
// crawlers, and families of attacks and of harmless crowds that look like one.
//
// Traffic is a function of seed and Params alone, and a longer Duration only goes
// on where a shorter one ends. Each kind of traffic draws from
// a stream of its own, so adding an attack leaves everybody else's clicks as they
// were and an evaluation can compare the two.
//
// All addresses are from ranges set aside for documentation and benchmarks
// (RFC 5737, RFC 3849, RFC 2544): they belong to nobody and are on no list of
// data centres, so only behaviour and agent tell people from bots.
package synth

import (
	"iter"
	"net/netip"
	"time"
)

// Label is the truth about a click.
type Label uint8

// Labels.
const (
	Ordinary    Label = iota // a person meant it
	DoubleClick              // the same person's second click on the same ad, within a second
	Crawler                  // a robot that says so in its agent
	Attack                   // made to be billed
	Labels                   // how many there are
)

// String returns the label's name.
func (l Label) String() string {
	return [...]string{"ordinary", "double_click", "crawler", "attack", "unknown"}[min(l, Labels)]
}

// Click is one click and the truth about it.
type Click struct {
	At       time.Duration // since the start
	Person   uint64        // one value per person or robot: equal address and agent
	IP       netip.Addr
	Agent    string
	Language string // Accept-Language; robots send none

	Campaign, Publisher, Placement string
	// Opportunity numbers the shown ad; a double click has that of the click
	// before it, all others have their own.
	Opportunity uint64

	Label  Label
	Family string // "people", "crawlers" or the family of the attack or crowd
}

// Traffic returns all clicks of p in order of At; equal times are in the order
// people, crawlers, families. p must be valid. The sequence can be run many times,
// also at once.
func Traffic(seed uint64, p Params) iter.Seq[Click] {
	w := &world{Params: p, seed: seed}
	streams := []iter.Seq[Click]{w.people, w.crawlers}
	for i, f := range p.Families {
		streams = append(streams, func(yield func(Click) bool) { f.clicks(w, firstFamily+uint64(i), yield) })
	}
	return Merge(streams, func(c *Click) time.Duration { return c.At })
}
