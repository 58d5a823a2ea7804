package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Feeds.
const (
	logFeedName    = "log"
	paidFeedName   = "paid"
	attackFeedName = "attack"
	otherFeedName  = "other"
)

// Tally is the feed's own account, in clicks.
type Tally struct {
	Feeds     []FeedTally     // by name
	Campaigns []CampaignTally // by tenant and campaign
}

// FeedTally is the account of one feed. Clicks = Accepted + Malformed + Failed,
// once the feed has ended.
type FeedTally struct {
	Feed, Tenant, Source string

	Clicks      int64 // different clicks that were sent
	Accepted    int64 // answered with 302, or accepted in a batch's answer
	Malformed   int64 // answered as malformed
	Failed      int64 // never answered so, nor as malformed
	Redelivered int64 // copies sent again after their answer, and accepted
	Retries     int64 // requests that were sent again for want of an answer
	Unsure      int64 // copies without a clear answer: the gateway may hold them or not
}

// Received is what the gateway must have received at least: redelivered copies
// and malformed ones count, and copies in Unsure come on top if it holds them.
// Redirects that it answered without a record, which reconcile shows as
// unrecorded, are to be taken off.
func (t *FeedTally) Received() int64 { return t.Accepted + t.Malformed + t.Redelivered }

// CampaignTally counts a campaign's accepted clicks. Those of the log, of which
// nobody knows the truth, are in Accepted only.
type CampaignTally struct {
	Tenant, Campaign string

	Accepted     int64
	DoubleClicks int64
	Crawlers     int64
	Attack       int64
}

// SourceTally is what a source sent over all feeds, to be compared with the line
// of `clickgate report reconcile`.
type SourceTally struct {
	Tenant, Source   string
	Received, Unsure int64
}

// Sources adds feeds up by tenant and source.
func (t *Tally) Sources() []SourceTally {
	var all []SourceTally
	for _, f := range t.Feeds {
		i := slices.IndexFunc(all, func(s SourceTally) bool { return s.Tenant == f.Tenant && s.Source == f.Source })
		if i < 0 {
			i, all = len(all), append(all, SourceTally{Tenant: f.Tenant, Source: f.Source})
		}
		all[i].Received += f.Received()
		all[i].Unsure += f.Unsure
	}
	slices.SortFunc(all, func(a, b SourceTally) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Source, b.Source))
	})
	return all
}

// String returns three tables: feeds, sources and campaigns.
func (t *Tally) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "feed\tclicks\taccepted\tmalformed\tfailed\tredelivered\tretries\tunsure\t")
	for _, f := range t.Feeds {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
			f.Feed, f.Clicks, f.Accepted, f.Malformed, f.Failed, f.Redelivered, f.Retries, f.Unsure)
	}
	fmt.Fprintln(w, "\ntenant\tsource\treceived\tunsure\t")
	for _, s := range t.Sources() {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t\n", s.Tenant, s.Source, s.Received, s.Unsure)
	}
	fmt.Fprintln(w, "\ntenant\tcampaign\taccepted\tdouble clicks\tcrawlers\tattack\t")
	for _, c := range t.Campaigns {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t\n", c.Tenant, c.Campaign, c.Accepted, c.DoubleClicks, c.Crawlers, c.Attack)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}
