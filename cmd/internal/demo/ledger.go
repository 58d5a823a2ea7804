package demo

import (
	"cmp"
	"slices"
	"sync"

	"clickgate/gateway/control"
	"clickgate/scoring/synth"
)

// ledger is the account under work; all feeds write it.
type ledger struct {
	mu        sync.Mutex
	feeds     map[string]*FeedTally
	campaigns map[[2]string]*CampaignTally
}

func newLedger() *ledger {
	return &ledger{feeds: map[string]*FeedTally{}, campaigns: map[[2]string]*CampaignTally{}}
}

// feed returns the account of a feed; mu must be held.
func (l *ledger) feed(name, tenant, source string) *FeedTally {
	f := l.feeds[name]
	if f == nil {
		f = &FeedTally{Feed: name, Tenant: tenant, Source: source}
		l.feeds[name] = f
	}
	return f
}

// campaign returns the account of a campaign; mu must be held.
func (l *ledger) campaign(tenant, id string) *CampaignTally {
	c := l.campaigns[[2]string{tenant, id}]
	if c == nil {
		c = &CampaignTally{Tenant: tenant, Campaign: id}
		l.campaigns[[2]string{tenant, id}] = c
	}
	return c
}

// paid notes what became of a click on an ad.
func (l *ledger) paid(feed, tenant string, c *synth.Click, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.feed(feed, tenant, control.EdgeSource)
	f.Clicks++
	if !accepted {
		f.Failed++
		f.Unsure++
		return
	}
	f.Accepted++
	t := l.campaign(tenant, c.Campaign)
	t.Accepted++
	switch c.Label {
	case synth.DoubleClick:
		t.DoubleClicks++
	case synth.Crawler:
		t.Crawlers++
	case synth.Attack:
		t.Attack++
	}
}

// log changes the account of the log's feed.
func (l *ledger) log(change func(*FeedTally)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.feed(logFeedName, Tenant, LogSource))
}

// batch notes what became of n clicks of the log.
func (l *ledger) batch(n int64, got taken, ok bool) {
	l.log(func(f *FeedTally) {
		f.Clicks += n
		f.Accepted += got.Accepted
		f.Malformed += got.Malformed
		if !ok {
			f.Failed += n
			return
		}
		l.campaign(Tenant, LogCampaign).Accepted += got.Accepted
	})
}

// read returns a copy in order.
func (l *ledger) read() (t Tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.feeds {
		t.Feeds = append(t.Feeds, *f)
	}
	for _, c := range l.campaigns {
		t.Campaigns = append(t.Campaigns, *c)
	}
	slices.SortFunc(t.Feeds, func(a, b FeedTally) int { return cmp.Compare(a.Feed, b.Feed) })
	slices.SortFunc(t.Campaigns, func(a, b CampaignTally) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Campaign, b.Campaign))
	})
	return t
}
