package app_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/app"
	"clickgate/gateway/click"
	"clickgate/gateway/token"
)

// TestFeedsPath: clicks, their displays and what came of them go through two gateways,
// each feed twice; the hour closes by the displays, and the report has each conversion
// once, as clicks that are not billed have none.
func TestFeedsPath(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, open(t), fakeKafka(t))
			hour := time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Hour)
			const clicks, early = 120, 6
			shown, sold := newFeeds(t, c, hour, clicks, early)
			for g := range 2 {
				c.postTo(g, "impressions", shown)
				c.postTo(g, "conversions", sold)
			}
			c.stopGateways()
			account := c.account(clicks, 2)
			store := c.aggregator.Store
			c.eventually("the feed is whole", func() bool {
				marks, err := store.StoredMarks(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				through, _ := aggregate.FedThrough(marks, nil)
				return through > time.Now().UnixMicro()
			})
			report := func() *aggregate.ConversionReport {
				r, err := aggregate.Conversions(t.Context(), store, aggregate.BillingQuery{})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			c.eventually("conversions are stored", func() bool { return report().Strangers["acme"] == 6 })
			closer, err := app.NewCloser(t.Context(), &c.base, store, app.Options{Logger: options().Logger}, app.SourcesOf(c.gateways[0].Control))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := closer.RunOnce(t.Context()); n != 1 || err != nil {
				t.Fatalf("%d hours closed, %v; want 1", n, err)
			}
			invalid, err := store.Invalid(t.Context(), aggregate.BillingQuery{})
			if err != nil || len(invalid) != 1 || invalid[0].Count != early || !invalid[0].Reasons.Has(click.ReasonBeforeDisplay) || invalid[0].State != click.SIVT {
				t.Errorf("invalid clicks %+v, %v; want %d before their display", invalid, err, early)
			}
			r := report()
			if len(r.Rows) != 1 || r.Rows[0].Clicks != clicks-early || r.Rows[0].Conversions != 4 || r.Rows[0].Median != 90 || r.Strangers["acme"] != 2 {
				t.Errorf("conversions %+v of strangers %v; want 4 of %d clicks, and 2", r.Rows, r.Strangers, clicks-early)
			}
			if n := account.Hours[0].ByState[click.Malformed]; n != 0 {
				t.Errorf("%d malformed clicks by the feeds", n)
			}
			after, err := aggregate.Books(t.Context(), store, aggregate.LedgerQuery{})
			if err != nil {
				t.Fatal(err)
			}
			c.stop(after)
		})
	}
}

// newFeeds sends clicks of one hour, each with a token and by a visitor of its own, and
// returns their displays, some of them behind the click, and conversions: one of each of
// five clicks of which the last is early, that of the first in two messages, and one of a
// click that there never was.
func newFeeds(t *testing.T, c *cluster, hour time.Time, clicks, early int) (shown, sold string) {
	t.Helper()
	key, err := token.NewKey(1, "acme", bytes.Repeat([]byte{1}, 32), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := click.NewIDSource(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var body, displays, conversions strings.Builder
	convert := func(id click.ID, at time.Time, transaction string) {
		fmt.Fprintf(&conversions, `{"click_id":%q,"event_time":%q,"kind":"install","transaction_id":%q}`+"\n", id, at.Format(time.RFC3339), transaction)
	}
	for i := range clicks {
		at := hour.Add(time.Duration(i) * time.Hour / time.Duration(clicks))
		opened := token.Token{
			TenantID: "acme", ClickID: ids.New(at.UnixMicro()), IssuedAt: at.Add(-time.Minute).UnixMicro(), ExpiresAt: at.Add(23 * time.Hour).UnixMicro(),
			CampaignID: "spring", PublisherID: "news", LandingURL: "https://shop.example/",
		}
		sealed, err := key.Seal(&opened, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&body, `{"id":%q,"ip":"203.0.113.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/151.0","token":%q}`+"\n", ids.New(at.UnixMicro()), i+1, sealed)
		gap := 4 * time.Second
		if i%(clicks/early) == 5 {
			gap = -30 * time.Second
		}
		if i%2 == 0 {
			fmt.Fprintf(&displays, `{"click_id":%q,"event_time":%d}`+"\n", opened.ClickID, at.Add(-gap).UnixMilli())
		} else {
			fmt.Fprintf(&displays, `{"token":%q,"event_time":%d}`+"\n", sealed, at.Add(-gap).UnixMilli())
		}
		switch {
		case i < 4:
			convert(opened.ClickID, at.Add(90*time.Second), fmt.Sprint("order-", i))
		case i == 5:
			convert(opened.ClickID, at.Add(90*time.Second), "")
		}
	}
	convert(click.ID{9}, hour, "")
	c.post(0, body.String())
	return displays.String(), conversions.String()
}

// eventually polls until done, for as long as a slow machine may take.
func (c *cluster) eventually(what string, done func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
