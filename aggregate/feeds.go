package aggregate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

// Feeds is what a store does with impressions and conversions beside ingest: evidence
// about clicks, which no bill and no book counts.
type Feeds interface {
	// TrimImpressions forgets impressions of days that ended before a time, Unix
	// microseconds; of the day that it lies in they may stay. It is safe for concurrent
	// use, with itself and with ingest.
	TrimImpressions(ctx context.Context, before int64) error
	// Conversions returns the valid clicks of closed hours and what came of them, both in
	// no order. Each conversion of a click that is billed goes to each, in one snapshot.
	Conversions(ctx context.Context, q BillingQuery, each func(*Converted)) (ConversionCounts, error)
}

// Converted is a conversion with the billed click that it names.
type Converted struct {
	TenantID    string
	PublisherID string
	CampaignID  string
	Kind        string
	Gap         int64 // from the click to the conversion, microseconds; below 0 it came first
}

// ConversionCounts is what conversions are held against.
type ConversionCounts struct {
	Clicks []ConversionClicks
	// Strangers counts conversions that name no billed click, by tenant. The query's hours
	// are those of the conversion.
	Strangers map[string]int64
}

// ConversionClicks counts valid clicks of closed hours, as they were closed.
type ConversionClicks struct {
	TenantID    string
	PublisherID string
	CampaignID  string
	Count       int64
}

// The feeds, as indexes.
const (
	feedImpressions = iota
	feedConversions
	numFeeds
)

var feedNames = [numFeeds]string{"impressions", "conversions"}

// FedRows counts what came by a feed: rows that are new, and those that were there.
type FedRows struct{ New, Repeated int }

// feedsGroup is what the feeds' consumer group is called behind that of the events.
const feedsGroup = "-feeds"

// trimInterval is how often impressions that are old enough are forgotten.
const trimInterval = 10 * time.Minute

// NewFeeds returns the aggregator of the feeds, in a consumer group of its own; nothing
// runs before Start. While a topic does not exist, nothing comes of it. Its store must
// hold feeds too.
func NewFeeds(cfg Config, dep Dependencies, feeds Feeds) (*Aggregator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Group += feedsGroup
	a := &Aggregator{
		cfg: cfg, dep: dep, metrics: newFeedMetrics(dep.Registerer), done: make(chan struct{}),
		topics: []string{stream.ImpressionsTopic, stream.ConversionsTopic},
	}
	a.trim = func(ctx context.Context) { a.forget(ctx, feeds) }
	return a, nil
}

// forget forgets old impressions now and again until ctx ends.
func (a *Aggregator) forget(ctx context.Context, feeds Feeds) {
	for {
		before := a.dep.Now().Add(-a.cfg.Feeds.ImpressionsKeep).UnixMicro()
		if err := feeds.TrimImpressions(ctx, before); err != nil && ctx.Err() == nil {
			a.dep.Logger.Warn("old impressions could not be forgotten; trying again", "error", err, "pause", trimInterval)
		}
		select {
		case <-time.After(trimInterval):
		case <-ctx.Done():
			return
		}
	}
}

// addFed adds a record of a feed to the batch.
func (b *Batch) addFed(kind stream.Kind, value []byte) error {
	if kind == stream.KindImpression {
		i, err := click.DecodeImpression(value)
		if err != nil {
			return err
		}
		if err := checkImpression(&i); err != nil {
			return checkError{err}
		}
		b.Impressions = append(b.Impressions, i)
		return nil
	}
	c, err := click.DecodeConversion(value)
	if err != nil {
		return err
	}
	if err := checkConversion(&c); err != nil {
		return checkError{err}
	}
	b.Conversions = append(b.Conversions, c)
	return nil
}

func checkImpression(i *click.Impression) error {
	if i.ShownAt <= 0 || i.ShownAt > maxTime {
		return errors.New("a time is out of range")
	}
	return checkTexts([]string{i.TenantID})
}

func checkConversion(c *click.Conversion) error {
	switch {
	case c.ConvertedAt <= 0 || c.ConvertedAt > maxTime || c.ReceivedAt <= 0 || c.ReceivedAt > maxTime:
		return errors.New("a time is out of range")
	case c.SourceID == "" || c.Kind == "":
		return errors.New("source_id or kind is missing")
	case c.ValueMicros < 0 || c.ValueMicros > click.MaxPriceMicros || c.Currency != "" && len(c.Currency) != 3:
		return fmt.Errorf("value %d in currency %q is not possible", c.ValueMicros, c.Currency)
	}
	return checkTexts([]string{c.TenantID, c.SourceID, c.Kind, c.TransactionID, c.Currency})
}

// applyFeeds writes what came by the feeds, once for each key.
func applyFeeds(ctx context.Context, tx Tx, b *Batch, res *Result) error {
	if len(b.Impressions) > 0 {
		rows := firstOf(b.Impressions, func(i *click.Impression) fedKey { return fedKey{i.TenantID, i.ClickID} })
		n, err := tx.InsertImpressions(ctx, rows)
		if err != nil {
			return err
		}
		res.Fed[feedImpressions] = FedRows{n, len(b.Impressions) - n}
	}
	if len(b.Conversions) > 0 {
		rows := firstOf(b.Conversions, func(c *click.Conversion) fedKey { return fedKey{c.TenantID, c.Key()} })
		n, err := tx.InsertConversions(ctx, rows)
		if err != nil {
			return err
		}
		res.Fed[feedConversions] = FedRows{n, len(b.Conversions) - n}
	}
	return nil
}

// fedKey is the unique key of a row of a feed.
type fedKey struct {
	tenant string
	id     click.ID
}

// firstOf returns the first row of each key, in key order.
func firstOf[R any](rows []R, key func(*R) fedKey) []R {
	type keyed struct {
		fedKey
		row int
	}
	list := make([]keyed, len(rows))
	for i := range rows {
		list[i] = keyed{key(&rows[i]), i}
	}
	slices.SortFunc(list, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), slices.Compare(a.id[:], b.id[:]), cmp.Compare(a.row, b.row))
	})
	out := make([]R, 0, len(rows))
	for i, k := range list {
		if i == 0 || k.fedKey != list[i-1].fedKey {
			out = append(out, rows[k.row])
		}
	}
	return out
}

// FeedConfig is how long what the feeds tell is kept.
type FeedConfig struct {
	// ImpressionsKeep is how long impressions are kept, by the time of the display. Hours
	// that close later than this less TokenLife after they began are judged without them.
	ImpressionsKeep time.Duration `yaml:"impressions_keep"`
}

// TokenLife is how long an ad may stand before it is clicked, in microseconds: a token
// expires after a day.
const TokenLife = 24 * hourMicros

// Validate reports the first impossible value, by key and remedy.
func (c *FeedConfig) Validate() error {
	if c.ImpressionsKeep < 26*time.Hour || c.ImpressionsKeep > 31*24*time.Hour {
		return fmt.Errorf("aggregate.feeds.impressions_keep: %s is out of range; use 26h to 744h: an ad may stand for a day before it is clicked, and then its hour has to close", c.ImpressionsKeep)
	}
	return nil
}

// FedThrough returns up to when, Unix microseconds, the store has all impressions that
// gateways answered for, from their newest marks in every partition; 0 while that cannot
// be told. taken says whether a gateway takes impressions at all; those that take none, and
// those that are retired, hold nothing back.
func FedThrough(marks []StoredMark, retired []Retirement) (through int64, taken bool) {
	boots := newestBoots(marks, retired)
	fed := lowest(marks, stream.ImpressionsTopic)
	through = math.MaxInt64
	for gateway, boot := range boots {
		l, ok := fed[BootID{gateway, boot}]
		switch {
		case !ok && !takesImpressions(marks, gateway, boot):
			continue
		case !ok || l.seen < l.mark.ImpressionPartitions:
			return 0, true
		}
		taken = true
		if !l.mark.Final {
			through = min(through, l.mark.At)
		}
	}
	if !taken {
		return 0, false
	}
	return through, true
}

// takesImpressions reports whether a boot says so in a partition of any topic.
func takesImpressions(marks []StoredMark, gateway string, boot uint64) bool {
	return slices.ContainsFunc(marks, func(m StoredMark) bool {
		return m.Mark.Gateway == gateway && m.Mark.Boot == boot && m.Mark.ImpressionPartitions > 0
	})
}
