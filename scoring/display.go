package scoring

import (
	"math"

	"clickgate/gateway/click"
)

// Bounds of the rules over displays that are no matter of taste; docs/feeds.md says
// what each is for.
const (
	displaySkew  = 5.0  // s that the clock of displays may be ahead of that of clicks
	displaysHalf = 0.5  // share of clicks with their display in order from which a feed works
	displaysNear = 0.75 // the same in the minutes around a click, where a feed begins or ends
	displaysMost = 0.9  // the same from which one that is missing says something
	displaySlice = 300 * 1_000_000
	slicesOfHour = hourMicros / displaySlice
	leastUnseen  = 3.0 // missing displays from which they are a habit
)

// displays counts clicks whose display was asked for, and how many have it in order: it
// is there, and did not come after the click. A feed that was away for a while and one
// with a wrong clock look alike here, and neither is believed.
type displays struct{ asked, ordered uint32 }

func (d *displays) add(gap float64, seen bool) {
	d.asked++
	if seen && gap >= -displaySkew {
		d.ordered++
	}
}

func (d *displays) share() float64 { return float64(d.ordered) / max(1, float64(d.asked)) }

// displayed is what an hour knows of the displays of its clicks.
type displayed struct {
	all    displays
	fast   float64                // clicks too soon after their display
	slices [slicesOfHour]displays // by time of the click
}

// displayGap returns the seconds from the display of the click's ad to the click, whether
// there was one, and whether anybody asked.
func displayGap(c *click.Click) (gap float64, seen, asked bool) {
	if c.ShownAt <= 0 {
		return 0, false, c.ShownAt == click.ShownNever
	}
	return float64(c.EventTime-c.ShownAt) / 1e6, true, true
}

func sliceOf(c *click.Click) int { return int(c.EventTime % hourMicros / displaySlice) }

// worked reports whether the feed worked over the hour, and in the slices around a click:
// of one in which it went away or came back, the next one tells.
func (d *displayed) worked(c *click.Click) bool {
	at := sliceOf(c)
	for i := max(0, at-1); i <= min(at+1, slicesOfHour-1); i++ {
		if d.slices[i].asked > 0 && d.slices[i].share() < displaysNear {
			return false
		}
	}
	return d.all.share() >= displaysHalf
}

// display notes the display of a click of the hour. Only the second pass asks for any.
func (s *survey) display(c *click.Click, pairKey uint64, publisher uint64) {
	gap, seen, asked := displayGap(c)
	if !asked {
		return
	}
	d := &s.displayed
	d.all.add(gap, seen)
	d.slices[sliceOf(c)].add(gap, seen)
	if seen && gap > 0 && gap < s.policy.FastSeconds {
		d.fast++
	}
	if x := s.scopes.Find(publisher); x != nil {
		x.displays.add(gap, seen)
	}
	if p := s.pairs.Find(pairKey); p != nil {
		p.asked++
		if !seen {
			p.unseen++
		}
	}
}

// fillDisplay writes what the display of a click says, where its feed can be believed: of
// the whole hour, of the minutes around it, and of its publisher most clicks have theirs.
func (s *survey) fillDisplay(v *click.Vector, c *click.Click, publisher uint64, p *pairHour) (facts int) {
	gap, seen, asked := displayGap(c)
	d := &s.displayed
	if !asked || !d.worked(c) {
		return 0
	}
	if x := s.scopes.Find(publisher); x != nil && x.displays.share() < displaysHalf {
		return 0
	}
	if seen {
		v[SlotDisplayGap] = float32(math.Copysign(max(math.Abs(gap), 1e-6), gap))
		facts = factsDisplay
		if d.fast <= float64(fastCommon*float64(d.all.asked)) {
			facts |= factsPace
		}
		return facts
	}
	if p != nil && d.all.share() >= displaysMost {
		v[SlotUnseenZ] = float32(s.unseen(p))
	}
	return factsDisplay
}

// unseen is how many more displays of a visitor are missing than chance loses of
// everybody's: the z-score of a binomial count. One or two are nobody's habit, nor is
// what is less than all of them.
func (s *survey) unseen(p *pairHour) float64 {
	n, missing := float64(p.asked), float64(p.unseen)
	if missing < leastUnseen || missing < float64(mostly*n) {
		return 0
	}
	d := &s.displayed.all
	lost := (float64(d.asked) - float64(d.ordered) - missing) + 1
	share := float64(max(1, lost) / max(2, float64(d.asked)-n+2)) // of the others, with one added
	return max(0, (missing-float64(n*share))/math.Sqrt(max(0.25, float64(n*share*(1-share)))))
}

// beforeDisplay: nobody clicks what is not there yet.
func (h *hour) beforeDisplay() (click.Reason, float64) {
	if h.facts&factsDisplay == 0 || h.at(SlotDisplayGap) >= 0 {
		return 0, 0
	}
	return click.ReasonBeforeDisplay, over(-h.at(SlotDisplayGap), displaySkew)
}

// noDisplay: a visitor, as far as one can be told, keeps clicking ads that nobody's
// browser displayed. It is no proof: some people's browsers keep the message back.
func (h *hour) noDisplay() (click.Reason, float64) {
	if h.facts&factsDisplay == 0 || !h.single() {
		return 0, 0
	}
	return click.ReasonNoDisplay, over(h.at(SlotUnseenZ), h.p.ZFocus)
}

// fastDisplay is tooFast from the time of the display, which is nearer to the click than
// that of the token.
func (h *hour) fastDisplay() float64 {
	gap := h.at(SlotDisplayGap)
	if h.facts&factsPace == 0 || gap <= 0 {
		return 0
	}
	return over(h.p.FastSeconds, gap)
}
