package alerts

import (
	"cmp"
	"slices"

	"clickgate/aggregate"
)

// plan is what is to be done with pending pages: some are over without a call, and
// one is next.
type plan struct {
	ends []aggregate.PageEnd
	next *aggregate.Page // nil when there is nothing to send
}

// planPages collapses the outbox to the newest state of each incident and picks
// what is sent next: what was tried least often, then what is oldest, so that one
// page that fails does not hold up the others.
//
// A resolve goes out only for an incident of which PagerDuty has, or may have, an
// alert. When a trigger may have arrived it is sent again first, which joins the
// alert that is there, so no resolve is ever sent alone and none is left out.
func planPages(pending []aggregate.Page) plan {
	var p plan
	byIncident := map[string][]*aggregate.Page{}
	var order []string
	for i := range pending {
		page := &pending[i]
		if byIncident[page.IncidentID] == nil {
			order = append(order, page.IncidentID)
		}
		byIncident[page.IncidentID] = append(byIncident[page.IncidentID], page)
	}
	var ready []*aggregate.Page
	for _, id := range order {
		pages := byIncident[id]
		keep := needed(pages)
		for _, page := range pages {
			if !slices.Contains(keep, page) {
				p.ends = append(p.ends, aggregate.PageEnd{Seq: page.Seq, Outcome: aggregate.PageCollapsed})
			}
		}
		if len(keep) > 0 {
			ready = append(ready, keep[0])
		}
	}
	if len(ready) > 0 {
		p.next = slices.MinFunc(ready, func(a, b *aggregate.Page) int {
			return cmp.Or(cmp.Compare(a.Attempts, b.Attempts), cmp.Compare(a.Seq, b.Seq))
		})
	}
	return p
}

// needed returns the pages of one incident that have to be sent, in order.
func needed(pages []*aggregate.Page) []*aggregate.Page {
	newest := pages[len(pages)-1]
	if newest.Action == aggregate.PageTrigger || newest.Delivered == aggregate.PageTrigger {
		return []*aggregate.Page{newest}
	}
	if !newest.Maybe {
		return nil // it began and ended before PagerDuty heard of it
	}
	for _, page := range slices.Backward(pages) {
		if page.Action == aggregate.PageTrigger {
			return []*aggregate.Page{page, newest}
		}
	}
	return []*aggregate.Page{newest} // the trigger was refused after it may have arrived
}
