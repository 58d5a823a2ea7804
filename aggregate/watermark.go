package aggregate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"clickgate/gateway/click"
)

// ForcedAfter is how long after its hour, or its first click where that came later,
// a unit waits at most, in microseconds.
const ForcedAfter = 48 * hourMicros

// SourceTerms is what closing must know of a source.
type SourceTerms struct {
	Grace    int64 // how long after the hour its clicks may still come, microseconds
	Backfill bool  // old clicks come at any time: grace counts from the last one
}

// Watermarks tells which units may close, from what the gateways said and who of
// them is gone. It is a snapshot.
//
// A gateway has passed an hour and its grace when the newest mark that every
// partition has stored was made after both and knows of no unsent click of the
// source in that hour. Event times alone move nothing, so a click from the future
// closes nothing. The first mark of a boot waits for what earlier boots left in the
// spool, so a gateway's newest boot speaks for all of them. A final mark is a
// goodbye: that boot has sent everything and takes no more.
type Watermarks struct {
	gateways []gatewayMark
}

// gatewayMark is the newest boot of a gateway with what is proven of it.
type gatewayMark struct {
	gateway string
	boot    uint64
	proven  bool
	mark    click.Mark
}

// NewWatermarks reads stored marks; gateways that are retired hold nothing.
func NewWatermarks(marks []StoredMark, retired []Retirement) *Watermarks {
	newest := newestBoots(marks, retired)
	proven := Proven(marks)
	w := &Watermarks{}
	for gateway, boot := range newest {
		m, ok := proven[BootID{gateway, boot}]
		w.gateways = append(w.gateways, gatewayMark{gateway, boot, ok, m})
	}
	slices.SortFunc(w.gateways, func(a, b gatewayMark) int { return cmp.Compare(a.gateway, b.gateway) })
	return w
}

// newestBoots returns the newest boot of every gateway that is not retired.
func newestBoots(marks []StoredMark, retired []Retirement) map[string]uint64 {
	newest := make(map[string]uint64)
	for i := range marks {
		m := &marks[i].Mark
		newest[m.Gateway] = max(newest[m.Gateway], m.Boot)
	}
	for _, r := range retired {
		// A gateway that came back after it was retired is known again.
		if boot, ok := newest[r.Gateway]; ok && int64(boot) <= r.At {
			delete(newest, r.Gateway)
		}
	}
	return newest
}

// due is when a unit may close at the earliest.
func due(u *UnitInfo, terms SourceTerms) int64 {
	from := u.Hour + hourMicros
	if terms.Backfill {
		from = max(from, u.LastReceived+UnitSeenStep)
	}
	return from + terms.Grace
}

// overdue is when a unit closes whatever is missing.
func overdue(u *UnitInfo) int64 { return max(u.Hour+hourMicros, u.FirstSeen) + ForcedAfter }

// Hold returns why u may not close yet, empty when it may. now is Unix
// microseconds.
func (w *Watermarks) Hold(u *UnitInfo, terms SourceTerms, now int64) string {
	at := due(u, terms)
	if now < at {
		return "due " + clock(at)
	}
	if len(w.gateways) == 0 {
		return "no gateway has sent a mark"
	}
	for i := range w.gateways {
		if why := w.gateways[i].holds(u, u.Hour+hourMicros+terms.Grace); why != "" {
			return why
		}
	}
	return ""
}

func (g *gatewayMark) holds(u *UnitInfo, passed int64) string {
	switch {
	case !g.proven:
		return fmt.Sprintf("gateway %s: no mark of its newest start has reached every partition", g.gateway)
	case g.mark.Final:
		return ""
	}
	for _, o := range g.mark.Oldest {
		if o.TenantID == u.TenantID && o.SourceID == u.SourceID && o.OldestUnsent < u.Hour+hourMicros {
			return fmt.Sprintf("gateway %s: has unsent clicks of this source from %s", g.gateway, clock(o.OldestUnsent))
		}
	}
	if g.mark.At < passed {
		return fmt.Sprintf("gateway %s: its last mark is of %s, must be of %s", g.gateway, clock(g.mark.At), clock(passed))
	}
	return ""
}

func clock(micros int64) string { return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05Z") }

// closingOrder sorts the units of a tenant into the order in which they close: by
// due time, then source, then hour. The time that a backfill source's clicks came at
// plays no part in it, so that arrival cannot change the order.
func closingOrder(units []UnitInfo, terms func(tenantID, sourceID string) SourceTerms) {
	key := func(u *UnitInfo) int64 { return u.Hour + hourMicros + terms(u.TenantID, u.SourceID).Grace }
	slices.SortFunc(units, func(a, b UnitInfo) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(key(&a), key(&b)),
			cmp.Compare(a.SourceID, b.SourceID), cmp.Compare(a.Hour, b.Hour))
	})
}
