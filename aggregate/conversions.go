package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// Bounds of what the report calls strange. About three of four installs come within an
// hour of their click, 94 of 100 within a day, and hardly any within ten seconds, because
// an app has to be fetched first (AppsFlyer and Adsafee on click-to-install time).
const (
	fastGap           = 10 * 1_000_000
	lateGap           = 24 * hourMicros
	leastConversions  = 20   // of a publisher, and of all others, from which shares say anything
	fastShare         = 0.1  // of a publisher's conversions, from which so many are no chance
	fastTimes         = 3    // and how much more than others'
	lateShare         = 0.25 // the same of late ones
	lateTimes         = 2
	strangeFast       = "FAST_CONVERSIONS"
	strangeLate       = "LATE_CONVERSIONS"
	conversionSeconds = 1_000_000
)

// ConversionRow is what came of the valid clicks of a publisher and campaign.
type ConversionRow struct {
	TenantID    string
	PublisherID string
	CampaignID  string
	Kind        string // empty where nothing came of the clicks
	Clicks      int64  // valid ones of closed hours
	Conversions int64
	// Gaps from the click to the conversion: quarters in whole seconds, of those after two
	// minutes in minutes, after two days in hours.
	First, Median, Third int64
	Before               int64 // conversions that came before their click
	Fast                 int64 // within ten seconds of it, those before it too
	Late                 int64 // later than a day
	// Strange is why the publisher's conversions of this kind, of all its campaigns, want a
	// look: a code and a sentence; both are empty for none.
	Strange, Why string
}

// ConversionReport is the whole report, in order of tenant, publisher, campaign, kind.
type ConversionReport struct {
	Rows []ConversionRow
	// Strangers counts conversions of no billed click, by tenant.
	Strangers map[string]int64
}

// conversionKey is a row's key; CampaignID is empty for all of a publisher.
type conversionKey struct{ tenant, publisher, campaign, kind string }

// gapCounts counts conversions by how long after their click they came: a bucket of
// gapBucket's, below 0 for those before it.
type gapCounts map[int64]int64

func (g gapCounts) sum(of func(bucket int64) bool) (n int64) {
	for bucket, count := range g {
		if of(bucket) {
			n += count
		}
	}
	return n
}

func anyGap(int64) bool        { return true }
func earlyGap(gap int64) bool  { return gap < 0 }
func isFastGap(gap int64) bool { return gap < fastGap/conversionSeconds }
func isLateGap(gap int64) bool { return gap >= lateGap/conversionSeconds }

// gapBucket rounds a gap in microseconds down to seconds, minutes or hours, so that few
// numbers stand for any number of conversions. It returns seconds.
func gapBucket(gap int64) int64 {
	switch s := gap / conversionSeconds; {
	case gap < 0:
		return -1
	case s < 120:
		return s
	case s < 48*3600:
		return s - s%60
	default:
		return s - s%3600
	}
}

// quantile returns the bucket that a share of the conversions lies in or below.
func (g gapCounts) quantile(share float64) int64 {
	want, seen := int64(share*float64(g.sum(anyGap))), int64(0)
	for _, bucket := range slices.Sorted(maps.Keys(g)) {
		if seen += g[bucket]; seen > want {
			return max(0, bucket)
		}
	}
	return 0
}

// Conversions makes the report of what came of clicks. It is evidence for people: hours are
// closed long before conversions come, so no verdict goes by it.
func Conversions(ctx context.Context, store Feeds, q BillingQuery) (*ConversionReport, error) {
	rows := make(map[conversionKey]gapCounts)
	counts, err := store.Conversions(ctx, q, func(c *Converted) {
		k := conversionKey{c.TenantID, c.PublisherID, c.CampaignID, c.Kind}
		if rows[k] == nil {
			rows[k] = gapCounts{}
		}
		rows[k][gapBucket(c.Gap)]++
	})
	if err != nil {
		return nil, err
	}
	clicks := make(map[conversionKey]int64)
	for _, c := range counts.Clicks {
		clicks[conversionKey{c.TenantID, c.PublisherID, c.CampaignID, ""}] += c.Count
	}
	for k := range rows {
		idle := k
		idle.kind = ""
		if _, known := clicks[idle]; !known {
			clicks[idle] = 0
		}
	}
	return &ConversionReport{conversionRows(rows, clicks), counts.Strangers}, nil
}

func conversionRows(rows map[conversionKey]gapCounts, clicks map[conversionKey]int64) []ConversionRow {
	strange := strangeConversions(rows)
	converts := make(map[conversionKey]bool)
	var out []ConversionRow
	for k, gaps := range rows {
		idle := k
		idle.kind = ""
		converts[idle] = true
		r := ConversionRow{
			TenantID: k.tenant, PublisherID: k.publisher, CampaignID: k.campaign, Kind: k.kind, Clicks: clicks[idle],
			Conversions: gaps.sum(anyGap), First: gaps.quantile(0.25), Median: gaps.quantile(0.5), Third: gaps.quantile(0.75),
			Before: gaps.sum(earlyGap), Fast: gaps.sum(isFastGap), Late: gaps.sum(isLateGap),
		}
		k.campaign = ""
		r.Strange, r.Why = strange[k][0], strange[k][1]
		out = append(out, r)
	}
	for k, n := range clicks {
		if !converts[k] {
			out = append(out, ConversionRow{TenantID: k.tenant, PublisherID: k.publisher, CampaignID: k.campaign, Clicks: n})
		}
	}
	slices.SortFunc(out, func(a, b ConversionRow) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.PublisherID, b.PublisherID),
			cmp.Compare(a.CampaignID, b.CampaignID), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// conversionShares are what a publisher is compared by.
type conversionShares struct{ all, fast, late int64 }

func (s *conversionShares) add(g gapCounts) {
	s.all += g.sum(anyGap)
	s.fast += g.sum(isFastGap)
	s.late += g.sum(isLateGap)
}

func shareOf(n, of int64) float64 { return float64(n) / float64(max(1, of)) }

// strangeConversions finds the publishers whose conversions of a kind come unlike those of the
// tenant's other publishers, with code and sentence, by their key without a campaign.
func strangeConversions(rows map[conversionKey]gapCounts) map[conversionKey][2]string {
	own, total := make(map[conversionKey]*conversionShares), make(map[conversionKey]*conversionShares)
	add := func(to map[conversionKey]*conversionShares, k conversionKey, g gapCounts) {
		if to[k] == nil {
			to[k] = &conversionShares{}
		}
		to[k].add(g)
	}
	for k, g := range rows {
		k.campaign = ""
		add(own, k, g)
		k.publisher = ""
		add(total, k, g)
	}
	out := make(map[conversionKey][2]string)
	for k, s := range own {
		t := *total[conversionKey{k.tenant, "", "", k.kind}]
		others := conversionShares{t.all - s.all, t.fast - s.fast, t.late - s.late}
		if code, why := judgeConversions(*s, others); code != "" {
			out[k] = [2]string{code, why}
		}
	}
	return out
}

// judgeConversions says what is strange about a publisher's conversions beside the others'.
func judgeConversions(own, others conversionShares) (code, why string) {
	if own.all < leastConversions || others.all < leastConversions {
		return "", ""
	}
	fast, usual := shareOf(own.fast, own.all), shareOf(others.fast, others.all)
	if fast >= fastShare && fast >= fastTimes*usual {
		return strangeFast, fmt.Sprintf("%.0f%% come within 10 s of the click or before it, %.0f%% at other publishers: "+
			"so it looks when a click is sent for what was under way already (click injection).", 100*fast, 100*usual)
	}
	late, usual := shareOf(own.late, own.all), shareOf(others.late, others.all)
	if late >= lateShare && late >= lateTimes*usual {
		return strangeLate, fmt.Sprintf("%.0f%% come later than a day after the click, %.0f%% at other publishers: "+
			"so it looks when clicks are sent for people who never saw the ad (click flooding).", 100*late, 100*usual)
	}
	return "", ""
}
