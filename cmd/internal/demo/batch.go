package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"clickgate/gateway/click"

	"golang.org/x/sync/errgroup"
)

const (
	batchItems = 50
	batchWait  = 100 * time.Millisecond // how long the first item of a batch waits for others
	repeats    = 0.03                   // share of batches sent again though they were answered
	retryFirst = 200 * time.Millisecond
	retryMost  = 5 * time.Second
)

// item is one click of POST /v1/clicks.
type item struct {
	ID        string `json:"id"`
	EventTime string `json:"event_time"`
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent,omitempty"`
	Referer   string `json:"referer,omitempty"`
	Campaign  string `json:"campaign_id,omitempty"`
	Publisher string `json:"publisher_id,omitempty"`
	Placement string `json:"placement_id,omitempty"`
}

// logFeed posts the access log as an ad server does.
type logFeed struct {
	*Feed
	ids    *click.IDSource
	random *rand.Rand // which batches are repeated
	sent   *errgroup.Group
}

// batch is items that go out together. It does not change once it is sent.
type batch struct {
	items     []item
	malformed bool // holds a line that is no click
	repeat    bool // is sent again after its answer, as by a sender that missed it
	due       time.Time
}

func (f *Feed) newLogFeed() (*logFeed, error) {
	entropy, err := f.entropy()
	if err != nil {
		return nil, err
	}
	ids, err := click.NewIDSource(entropy)
	return &logFeed{f, ids, rand.New(rand.NewPCG(f.cfg.Seed, 1)), f.senders()}, err
}

func (f *logFeed) run(ctx context.Context) error {
	var b batch
	for i := range f.log {
		l := &f.log[i]
		if end := f.cfg.end(); end > 0 && l.offset >= end {
			break
		}
		at := f.clock.at(l.offset)
		if len(b.items) > 0 && at.After(b.due) {
			if !f.clock.wait(ctx, b.due) {
				break
			}
			f.flush(ctx, &b)
		}
		if !f.clock.wait(ctx, at) {
			break
		}
		if f.add(&b, l, at); len(b.items) == batchItems {
			f.flush(ctx, &b)
		}
	}
	f.flush(ctx, &b)
	return f.sent.Wait()
}

// add appends a line that happened at t. A line that does not parse goes out as
// the sender has it, in the first field that it could not fill.
func (f *logFeed) add(b *batch, l *logClick, t time.Time) {
	if len(b.items) == 0 {
		b.due = t.Add(batchWait)
	}
	it := item{
		ID: f.ids.New(t.UnixMicro()).String(), EventTime: t.UTC().Format("2006-01-02T15:04:05.000000Z"),
		IP: l.ip, UserAgent: l.agent, Referer: l.referer, Campaign: LogCampaign,
	}
	if l.raw != "" {
		it.IP, b.malformed = l.raw, true
	} else {
		it.Publisher, it.Placement = "semicomplete", pathClass(l.path)
	}
	b.items = append(b.items, it)
}

// flush sends b and empties it. It waits while too many batches are under way.
func (f *logFeed) flush(ctx context.Context, b *batch) {
	if len(b.items) == 0 {
		return
	}
	// A malformed item has no identity by which its copy could be told.
	b.repeat = f.random.Float64() < repeats && !b.malformed
	full := *b
	*b = batch{}
	f.sent.Go(func() error { return f.send(ctx, &full) })
}

func (f *logFeed) send(ctx context.Context, b *batch) error {
	body, err := json.Marshal(b.items)
	if err != nil {
		return fmt.Errorf("demo: batch of the access log: %w", err)
	}
	n := int64(len(b.items))
	got, ok := f.deliver(ctx, body, n)
	f.tally.batch(n, got, ok)
	if ok && b.repeat {
		copies, _ := f.deliver(ctx, body, n)
		f.tally.log(func(t *FeedTally) { t.Redelivered += copies.Accepted })
	}
	return nil
}

// taken is what the gateway made of a batch.
type taken struct {
	Accepted  int64 `json:"accepted"`
	Malformed int64 `json:"malformed"`
}

// deliver posts n items until they are taken; ok is false when that did not
// happen before the feed ended, or the gateway refused them.
func (f *logFeed) deliver(ctx context.Context, body []byte, n int64) (got taken, ok bool) {
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + f.cfg.APIKey}}
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		a, err := f.do(ctx, http.MethodPost, "/v1/clicks", bytes.NewReader(body), header.Clone())
		if err == nil && a.status == http.StatusOK {
			if got, err = a.taken(n); err == nil {
				return got, true
			}
		}
		if !a.refused() {
			f.tally.log(func(t *FeedTally) { t.Unsure += n })
		}
		if err == nil && a.final() || !f.clock.wait(ctx, f.cfg.Now().Add(max(pause, a.retryAfter()))) {
			return taken{}, false
		}
		f.tally.log(func(t *FeedTally) { t.Retries++ })
	}
}

// taken reads the answer to a batch of n items.
func (a *answer) taken(n int64) (t taken, err error) {
	if err := json.Unmarshal(a.body, &t); err != nil {
		return taken{}, err
	}
	if t.Accepted+t.Malformed != n {
		return taken{}, fmt.Errorf("%d items were answered of %d", t.Accepted+t.Malformed, n)
	}
	return t, nil
}

// refused reports whether nothing of the request was recorded for certain: what
// is wrong with the request as a whole, or was too much, is answered at once.
func (a *answer) refused() bool {
	return a != nil && (a.final() || a.status == 429 || bytes.Contains(a.body, []byte(`"code":"overload"`)))
}

// final reports whether trying again is of no use.
func (a *answer) final() bool { return a.status >= 300 && a.status < 500 && a.status != 429 }

func (a *answer) retryAfter() time.Duration {
	if a == nil {
		return 0
	}
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second
}
