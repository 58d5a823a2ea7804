package demo

import (
	"cmp"
	"slices"
	"time"
)

const (
	visitEnds    = 30 * time.Minute // without a click
	longestPause = 10 * time.Second // between the starts of visits, before compression
)

// logClick is a line of the log and when it is sent, since the start.
type logClick struct {
	logLine
	offset time.Duration
}

// visit is the clicks of one address and agent without a long pause, by time.
type visit []logLine

// visits groups lines, in the order of their first clicks. Lines need not be in
// order; one that does not parse is a visit of its own.
func visits(lines []logLine) []visit {
	type client struct{ ip, agent string }
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b logLine) int { return a.at.Compare(b.at) })
	var all []visit
	current := map[client]int{} // index of the open visit
	for _, l := range sorted {
		if l.raw != "" {
			all = append(all, visit{l})
			continue
		}
		c := client{l.ip, l.agent}
		i, ok := current[c]
		if v := len(all); !ok || l.at.Sub(all[i][len(all[i])-1].at) > visitEnds {
			all, i = append(all, nil), v
			current[c] = i
		}
		all[i] = append(all[i], l)
	}
	return all
}

// schedule moves visits together so that all of them begin within span. Pauses
// between beginnings shrink, long ones most; within a visit every pause stays.
// The clicks are in order of their offsets.
func schedule(all []visit, span time.Duration) []logClick {
	starts := make([]time.Duration, len(all))
	total := time.Duration(0)
	for i := 1; i < len(all); i++ {
		total += min(all[i][0].at.Sub(all[i-1][0].at), longestPause)
		starts[i] = total
	}
	scale := 1.0
	if total > span {
		scale = float64(span) / float64(total)
	}
	var clicks []logClick
	for i, v := range all {
		start := time.Duration(float64(starts[i]) * scale)
		for _, l := range v {
			clicks = append(clicks, logClick{l, start + l.at.Sub(v[0].at)})
		}
	}
	slices.SortStableFunc(clicks, func(a, b logClick) int { return cmp.Compare(a.offset, b.offset) })
	return clicks
}
