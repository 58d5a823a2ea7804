package aggregate

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"clickgate/gateway/click"
)

// Review is the analyst's reading side of a store. Every method reads one
// consistent snapshot. A case is an address: the flagged clicks of one address of
// a tenant, whatever agents, campaigns and publishers they name.
type Review interface {
	// Flagged returns the suspect and sivt clicks that no analyst decided, grouped,
	// in no particular order.
	Flagged(ctx context.Context, q FlaggedQuery) ([]FlaggedGroup, error)
	// AddressClicks returns clicks of one address, newest first, with what was
	// decided since. Evidence is left empty.
	AddressClicks(ctx context.Context, q AddressQuery) ([]StoredClick, error)
	// AddressMinutes returns how many clicks an address made in each event minute
	// in which it made any, in order of time.
	AddressMinutes(ctx context.Context, q AddressQuery) ([]AddressMinute, error)
	// PeerCounts returns how many clicks each address of a source made in one event
	// minute, in rising order.
	PeerCounts(ctx context.Context, tenantID, sourceID string, minute int64) ([]int64, error)
	// ClickOf returns one click by its event id, false when the tenant has none.
	ClickOf(ctx context.Context, tenantID string, id click.ID) (StoredClick, bool, error)
}

// FlaggedQuery selects event times; an empty tenant means all.
type FlaggedQuery struct {
	TenantID   string
	CampaignID string
	From, To   int64 // Unix microseconds, [From, To); 0 means open
}

// FlaggedGroup counts undecided flagged clicks that agree in what is named here.
type FlaggedGroup struct {
	TenantID   string
	IPKey      click.Key
	IPPrefix   string
	CampaignID string
	Currency   string // empty: nothing says what the clicks cost
	State      click.State
	Reasons    click.Reasons
	Clicks     int64
	Micros     int64 // what they would cost if they were valid
	First      int64 // event times, Unix microseconds
	Last       int64
}

// AddressQuery selects clicks of one address; Limit bounds clicks, 0 means 500.
type AddressQuery struct {
	TenantID string
	IPKey    click.Key
	From, To int64 // event times, Unix microseconds, [From, To); 0 means open
	Limit    int
}

// DefaultAddressLimit is how many clicks of an address are read where nobody says.
const DefaultAddressLimit = 500

// AddressMinute counts the clicks of an address in one event minute.
type AddressMinute struct {
	Minute int64 // Unix microseconds
	Count  int64
}

// QueueItem is one case of the review queue.
type QueueItem struct {
	TenantID  string
	IPKey     click.Key
	IPPrefix  string
	Currency  string
	Clicks    int64
	Suspects  int64 // of them, to be decided when their hour closes
	Micros    int64
	Campaigns []string
	Reasons   click.Reasons
	First     int64
	Last      int64
}

// Queue makes cases of groups, most money first; an address with two currencies is
// two cases. It is a pure function; limit 0 means all.
func Queue(groups []FlaggedGroup, limit int) []QueueItem {
	type key struct {
		tenant, currency string
		ip               click.Key
	}
	byKey := make(map[key]*QueueItem)
	for i := range groups {
		g := &groups[i]
		k := key{g.TenantID, g.Currency, g.IPKey}
		c := byKey[k]
		if c == nil {
			c = &QueueItem{TenantID: g.TenantID, IPKey: g.IPKey, IPPrefix: g.IPPrefix, Currency: g.Currency, First: g.First, Last: g.Last}
			byKey[k] = c
		}
		c.Clicks, c.Micros = c.Clicks+g.Clicks, c.Micros+g.Micros
		if g.State == click.Suspect {
			c.Suspects += g.Clicks
		}
		if !slices.Contains(c.Campaigns, g.CampaignID) {
			c.Campaigns = append(c.Campaigns, g.CampaignID)
		}
		c.Reasons |= g.Reasons
		c.First, c.Last = min(c.First, g.First), max(c.Last, g.Last)
	}
	items := make([]QueueItem, 0, len(byKey))
	for _, c := range byKey {
		slices.Sort(c.Campaigns)
		items = append(items, *c)
	}
	slices.SortFunc(items, func(a, b QueueItem) int {
		return cmp.Or(cmp.Compare(b.Micros, a.Micros), cmp.Compare(b.Clicks, a.Clicks), cmp.Compare(a.TenantID, b.TenantID),
			slices.Compare(a.IPKey[:], b.IPKey[:]), cmp.Compare(a.Currency, b.Currency))
	})
	if limit > 0 && len(items) > limit {
		items = items[:limit]
	}
	return items
}

// ErrNoCase says that a tenant has no click of that id or address.
var ErrNoCase = errors.New("no click of this tenant has that id or address")

// Case is all that an analyst needs to judge an address.
type Case struct {
	TenantID string
	IPKey    click.Key
	IPPrefix string
	Clicks   []StoredClick // newest first
	Focus    int           // place of the click that Normal and Peers are about
	// Normal is the address's own past: its clicks in each of the 60 minutes before
	// the focus' minute, zeros included; Minute is that minute's count up to now.
	Minute int64
	Normal Spread
	// Peers are the addresses of the same source in that minute.
	Peers Spread
	// History are the minutes with clicks in the day up to the focus.
	History []AddressMinute
}

// Spread describes a set of counts.
type Spread struct {
	Size   int
	Median float64
	P95    float64
	Max    int64
}

// SpreadOf describes counts, which must be in rising order. Quantiles are the
// nearest rank's; the median of an even number is the middle two's mean.
func SpreadOf(counts []int64) Spread {
	n := len(counts)
	if n == 0 {
		return Spread{}
	}
	s := Spread{Size: n, Max: counts[n-1], P95: float64(counts[(n*95+99)/100-1])}
	s.Median = float64(counts[(n-1)/2]+counts[n/2]) / 2
	return s
}

const dayMicros = 24 * hourMicros

// ReadCase reads the case of an address. Its focus is the click of that id or, for
// a zero id, the one with the highest score, newest first. It returns ErrNoCase
// where there is nothing.
func ReadCase(ctx context.Context, r Review, q AddressQuery, focus click.ID) (*Case, error) {
	clicks, err := r.AddressClicks(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(clicks) == 0 {
		return nil, ErrNoCase
	}
	c := &Case{TenantID: q.TenantID, IPKey: q.IPKey, IPPrefix: clicks[0].IPPrefix, Clicks: clicks}
	if c.Focus = focusOf(clicks, focus); c.Focus < 0 {
		// The click is older than those that fit.
		found, ok, err := r.ClickOf(ctx, q.TenantID, focus)
		if err != nil {
			return nil, err
		}
		if !ok || found.IPKey != q.IPKey {
			return nil, ErrNoCase
		}
		c.Focus, c.Clicks = len(clicks), append(clicks, found)
	}
	return c, c.compare(ctx, r)
}

func focusOf(clicks []StoredClick, id click.ID) int {
	if !id.IsZero() {
		return slices.IndexFunc(clicks, func(c StoredClick) bool { return c.EventID == id })
	}
	best := 0
	for i := range clicks {
		if clicks[i].before(&clicks[best]) {
			best = i
		}
	}
	return best
}

// before reports whether c is to be looked at before o: what waits for a decision
// comes first, then what scores higher.
func (c *StoredClick) before(o *StoredClick) bool {
	if c.Undecided() != o.Undecided() {
		return c.Undecided()
	}
	return c.Verdict.Score > o.Verdict.Score
}

// Undecided reports whether the click is flagged and waits for an analyst.
func (c *StoredClick) Undecided() bool {
	return (c.State == click.SIVT || c.State == click.Suspect) && c.Decision == DecisionNone
}

// compare reads what is usual for the address and for its peers.
func (c *Case) compare(ctx context.Context, r Review) error {
	focus := &c.Clicks[c.Focus]
	minute := focus.EventTime - focus.EventTime%minuteMicros
	history, err := r.AddressMinutes(ctx, AddressQuery{
		TenantID: c.TenantID, IPKey: c.IPKey, From: minute + minuteMicros - dayMicros, To: minute + minuteMicros,
	})
	if err != nil {
		return err
	}
	c.History = history
	past := make([]int64, 60)
	for _, m := range history {
		switch back := (minute - m.Minute) / minuteMicros; {
		case back == 0:
			c.Minute = m.Count
		case back <= 60:
			past[back-1] = m.Count
		}
	}
	slices.Sort(past)
	c.Normal = SpreadOf(past)
	peers, err := r.PeerCounts(ctx, focus.TenantID, focus.SourceID, minute)
	c.Peers = SpreadOf(peers)
	return err
}

// KeyText shows a pseudonym as reports and URLs do; ParseKey is its inverse.
func KeyText(k click.Key) string { return hex.EncodeToString(k[:]) }

// ParseKey reads a pseudonym as KeyText writes it.
func ParseKey(text string) (k click.Key, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(k) {
		return k, false
	}
	return click.Key(b), true
}
