package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"clickgate/testdata"

	"golang.org/x/sync/errgroup"
)

// answerWithin is how long a request may take; it is more than the gateway takes
// to give up.
const answerWithin = 10 * time.Second

// Feed sends the demo's traffic.
type Feed struct {
	cfg    Config
	log    []logClick
	client *http.Client
	tally  *ledger
	clock  pace
}

// New prepares a feed.
func New(cfg Config) (*Feed, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	text := cfg.Log
	if text == nil {
		var err error
		if text, err = testdata.AccessLog(); err != nil {
			return nil, err
		}
	}
	f := &Feed{cfg: cfg, log: schedule(visits(parseLog(text)), cfg.LogDuration), tally: newLedger()}
	f.client = &http.Client{
		Transport: cfg.Transport,
		// The landing is nobody's business.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if cfg.Transport == nil {
		f.client.Transport = &http.Transport{MaxIdleConnsPerHost: 3 * cfg.Senders, DisableCompression: true}
	}
	return f, nil
}

// Tally returns the account so far. It may be called at any time.
func (f *Feed) Tally() Tally { return f.tally.read() }

// Run sends everything there is to send, until ctx is done at the latest. What is
// under way then is still waited for, at most 10 s, so that the account is whole.
// Run may be called once.
func (f *Feed) Run(ctx context.Context) error {
	defer f.client.CloseIdleConnections()
	f.clock = pace{start: f.cfg.Now(), speed: f.cfg.Speed, now: f.cfg.Now}
	feeds, err := f.feeds()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, feed := range feeds {
		g.Go(func() error { return feed(ctx) })
	}
	return g.Wait()
}

// feeds readies all feeds. Each has random numbers of its own, so that none
// depends on another's pace.
func (f *Feed) feeds() ([]func(context.Context) error, error) {
	log, err := f.newLogFeed()
	if err != nil {
		return nil, err
	}
	feeds := []func(context.Context) error{log.run}
	for _, p := range f.cfg.traffics() {
		paid, err := f.newPaidFeed(p)
		if err != nil {
			return nil, err
		}
		feeds = append(feeds, paid.run)
	}
	return feeds, nil
}

// entropy returns a cryptographic source of its own for one feed.
func (f *Feed) entropy() (*rand.ChaCha8, error) {
	var seed [32]byte
	if _, err := io.ReadFull(f.cfg.Entropy, seed[:]); err != nil {
		return nil, fmt.Errorf("demo: no random bytes for ids: %w", err)
	}
	return rand.NewChaCha8(seed), nil
}

// senders bounds the requests under way.
func (f *Feed) senders() *errgroup.Group {
	g := new(errgroup.Group)
	g.SetLimit(f.cfg.Senders)
	return g
}

// maxAnswer bounds what is read of an answer; those to batches are 6 KiB.
const maxAnswer = 64 << 10

// do sends a request and reads the answer. A request that was begun is not given
// up when the feed ends.
func (f *Feed) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, f.cfg.EdgeURL+path, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, errors.Join(err, resp.Body.Close())
}

// answer is the gateway's.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// pace turns offsets since the start into times.
type pace struct {
	start time.Time
	speed float64
	now   func() time.Time
}

func (p pace) at(offset time.Duration) time.Time {
	return p.start.Add(time.Duration(float64(offset) / p.speed))
}

// wait returns at t, or false when ctx is done.
func (p pace) wait(ctx context.Context, t time.Time) bool {
	d := t.Sub(p.now())
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
