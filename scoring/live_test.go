package scoring

import (
	"fmt"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring/zscore"
)

// pageviews plays clicks of a publisher, so many an hour, each by somebody else, and
// returns the last verdict.
func pageviews(s *Scorer, from, hours, each int) (v click.Verdict) {
	for h := from; h < from+hours; h++ {
		for i := range each {
			at := townStart + int64(h)*hourMicros + int64(i)*hourMicros/int64(each)
			c, sig := visit(fmt.Sprintf("203.%d.%d.%d", h%200, i/200, i%200+1), browser, at)
			c.PublisherID = "news"
			s.Score(&c, &sig)
			v = c.Verdict
		}
	}
	return v
}

// A rush on a publisher is a surprise for the hour, is none after days of it, and makes
// no click invalid: a crowd that follows the news does the same. The second pass keeps
// what the gateway knew.
func TestPublisherSurprise(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	s := newScorer(t)
	pageviews(s, 0, 4*24, 20)
	usual := pageviews(s, 4*24, 1, 20)
	rush := pageviews(s, 4*24+1, 1, 400)
	pageviews(s, 4*24+2, 5*24, 400)
	after := pageviews(s, 9*24+2, 1, 400)
	for name, tc := range map[string]struct {
		v     click.Verdict
		least float32
		most  float32
	}{"as always": {usual, 0, 1}, "a rush": {rush, 30, 1e6}, "days later": {after, 0, 6}} {
		z, hours := tc.v.Vector[SlotPublisherWeek], tc.v.Vector[SlotWeekHours]
		if z < tc.least || z > tc.most || hours < zscore.MinBaseline || tc.v.State != click.Valid || tc.v.Reasons != 0 {
			t.Errorf("%s: z %v of %v hours, %v", name, z, hours, tc.v)
		}
	}
	c, _ := visit("203.0.113.9", browser, start)
	c.PublisherID, c.Verdict = "news", rush
	_, judge := newJudge(t, nil)
	if v := judge(&c); v.Vector[SlotPublisherWeek] != rush.Vector[SlotPublisherWeek] || v.Vector[SlotWeekHours] != rush.Vector[SlotWeekHours] {
		t.Errorf("the second pass makes %v of %v hours", v.Vector[SlotPublisherWeek], v.Vector[SlotWeekHours])
	}
}

// Who has no publisher, or whose publisher nobody knew before, has no surprise.
func TestNoSurpriseWithoutPast(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	if v := pageviews(s, 0, 48, 20); v.Vector[SlotPublisherWeek] != 0 || v.Vector[SlotWeekHours] != 0 {
		t.Errorf("after two days: %v of %v hours", v.Vector[SlotPublisherWeek], v.Vector[SlotWeekHours])
	}
	c, sig := visit("203.0.113.9", browser, start)
	if s.Score(&c, &sig); c.Verdict.Vector[SlotWeekHours] != 0 || s.live.weeks.Stats().Entries != 1 {
		t.Errorf("without a publisher: %v, %+v", c.Verdict.Vector[SlotWeekHours], s.live.weeks.Stats())
	}
}

// Whoever makes up publishers does not make a gateway grow, and the busiest stay known.
func TestLiveStaysBounded(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	before := s.live.weeks.Stats()
	limit := DefaultConfig().MaxKeys
	for i := range 20_000 {
		c, sig := direct(fmt.Sprint("source", i), browser, click.ClientHints{}, 1, i)
		if c.PublisherID = fmt.Sprint("made up ", i); i%10 == 0 {
			c.PublisherID, c.SourceID = "news", "shop"
		}
		s.Score(&c, &sig)
	}
	for name, st := range map[string]struct{ bytes, entries, evictions int }{
		"weeks":   {s.live.weeks.Stats().Bytes, s.live.weeks.Stats().Entries, int(s.live.weeks.Stats().Evictions)},
		"manners": {s.live.manners.Stats().Bytes, s.live.manners.Stats().Entries, int(s.live.manners.Stats().Evictions)},
	} {
		if st.entries > limit/64 || st.evictions < 10_000 {
			t.Errorf("%s: %+v", name, st)
		}
	}
	if after := s.live.weeks.Stats(); after.Bytes != before.Bytes {
		t.Errorf("%d bytes became %d", before.Bytes, after.Bytes)
	}
}

// Where half of the peers have one count, a rate beyond z_invalid is invalid when it is
// far out of their quartiles too; where a quarter of them come near, it is suspect, unless
// nothing excuses it.
func TestFenceOfFlatPeers(t *testing.T) {
	t.Parallel()
	p := DefaultConfig().Policy
	for name, tc := range map[string]struct {
		z, fence  float32
		baselines int
		want      click.State
	}{
		"measured":                    {13, 0, hasPairPeers, click.SIVT},
		"far out":                     {13, 3.01, hasPairPeers | flatPairPeers, click.SIVT},
		"within":                      {13, 3, hasPairPeers | flatPairPeers, click.Suspect},
		"within, nothing excuses":     {36, 3, hasPairPeers | flatPairPeers, click.SIVT},
		"within, below z_invalid":     {7, 3, hasPairPeers | flatPairPeers, click.Suspect},
		"only the address's are flat": {13, 0, hasPairPeers | flatAddressPeers, click.SIVT},
		"within, below z_suspect":     {5, 3, hasPairPeers | flatPairPeers, click.Valid},
	} {
		var v click.Vector
		v[SlotPair1m], v[SlotPairZPeers], v[SlotPairFence], v[SlotBaselines] = 14, tc.z, tc.fence, float32(tc.baselines)
		if d := Decide(&p, 0, &v); d.State != tc.want || d.Reasons.Has(click.ReasonRateIPAgent) != (tc.want != click.Valid) {
			t.Errorf("%s: %v, %v", name, d.State, d.Reasons.Codes())
		}
	}
}

// A town in which a third of the entities click eight times a minute, as networks do, and
// all others once: fourteen clicks are nothing sure there, and are where all click once.
func TestFenceSparesWhatAQuarterDoes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		busy int
		want click.State
	}{"all once": {0, click.SIVT}, "a third eight times": {8, click.Suspect}} {
		s := newScorer(t)
		for m := range 6 {
			for person := range 100 {
				n := 1
				if person%3 == 0 && tc.busy > 0 {
					n = tc.busy
				}
				for i := range n {
					s.judge(fmt.Sprintf("203.0.113.%d", person+1), browser, start+int64(m)*60e6+int64(i)*1e6)
				}
			}
		}
		var v click.Verdict
		for i := range int64(14) {
			v = s.judge("198.51.100.7", browser, start+6*60e6+i*1e6)
		}
		if v.State != tc.want || int(v.Vector[SlotBaselines])&flatPairPeers == 0 {
			t.Errorf("%s: %v, z %v, fence %v", name, v.State, v.Vector[SlotPairZPeers], v.Vector[SlotPairFence])
		}
	}
}
