package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/cmd/internal/load"
	"clickgate/gateway/click"
	"clickgate/gateway/token"
)

// Shape of the load.
const (
	batchItems   = 20
	maxRequests  = 400 // at once; what comes then is not sent, and counted
	maxTries     = 4   // of a request without an answer
	answerLimit  = 6 * time.Second
	resentShare  = 0.10   // of batches: one that was sent before, as it was
	brokenShare  = 0.02   // of items
	agedShare    = 0.02   // of items: of an hour that is closed already, or closing
	badShare     = 0.0004 // of items: the database refuses them; more would have every batch halved
	remembered   = 256    // batches and tokens that may come again
	tenant       = "crash"
	tokenPrice   = 250_000
	landing      = "https://shop.example/"
	listCampaign = "list"
	paidCampaign = "paid"
)

// mix of arrivals: batches, tokens, and tokens that were clicked before.
var mix = load.Mix{load.Batch: 60, load.Paid: 30, load.Reused: 10}

// item is one click of a batch, as it is sent every time.
type item struct {
	id   click.ID
	kind Kind
	text string
}

// senders send the load and note the answers.
type senders struct {
	ledger  *Ledger
	targets []string // base URLs, one a gateway
	client  *http.Client
	apiKey  string
	key     *token.Key
	entropy *rand.ChaCha8 // nonces; guarded by mu
	ids     *click.IDSource
	watch   watch

	mu      sync.Mutex
	batches [][]item
	tokens  []sentToken

	slots               chan struct{}
	unsent, resent      atomic.Int64
	retries, unexpected atomic.Int64
	surprise            atomic.Pointer[string] // the first answer that should not be
}

type sentToken struct {
	id   click.ID
	text string
}

func newSenders(ledger *Ledger, targets []string, apiKey string, key *token.Key, seed [32]byte) (*senders, error) {
	s := &senders{
		ledger: ledger, targets: targets, apiKey: apiKey, key: key, entropy: rand.NewChaCha8(seed),
		slots: make(chan struct{}, maxRequests),
		client: &http.Client{
			Timeout:   answerLimit,
			Transport: &http.Transport{MaxIdleConnsPerHost: maxRequests, IdleConnTimeout: 20 * time.Second},
		},
	}
	var err error
	s.ids, err = click.NewIDSource(s.entropy)
	return s, err
}

// run sends arrivals on their schedule until it ends, and returns when every answer
// is in. Retries of what ctx cuts off do not happen.
func (s *senders) run(ctx context.Context, seed uint64, rate float64, lasts time.Duration) {
	schedule := load.NewSchedule(seed, load.Constant(rate, lasts), load.Poisson, mix)
	var under sync.WaitGroup
	defer under.Wait()
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		a, ok := schedule.Next()
		if !ok {
			return
		}
		timer.Reset(a.At - time.Since(began))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		select {
		case s.slots <- struct{}{}:
			under.Go(func() {
				defer func() { <-s.slots }()
				s.arrival(ctx, a)
			})
		default:
			s.unsent.Add(1)
		}
	}
}

func (s *senders) arrival(ctx context.Context, a load.Arrival) {
	rng := rand.New(rand.NewPCG(a.Draw, 4))
	if a.Class == load.Batch {
		s.retried(ctx, rng, s.batch(rng))
		return
	}
	t, err := s.token(rng, a.Class == load.Reused)
	if err != nil {
		s.surprised("no token: %v", err)
		return
	}
	s.retried(ctx, rng, func(ctx context.Context, gateway int) bool { return s.beacon(ctx, rng, gateway, t) })
}

// retried sends until there is an answer, as senders should: with the same ids,
// after a pause, to whichever gateway.
func (s *senders) retried(ctx context.Context, rng *rand.Rand, send func(ctx context.Context, gateway int) bool) {
	gateway := rng.IntN(len(s.targets))
	for try := range maxTries {
		if send(context.WithoutCancel(ctx), gateway) {
			return
		}
		s.retries.Add(1)
		select {
		case <-time.After(time.Duration(100+rng.IntN(400<<try)) * time.Millisecond):
		case <-ctx.Done():
			return
		}
		if rng.IntN(2) == 0 {
			gateway = rng.IntN(len(s.targets))
		}
	}
}

// batch returns what sends a new batch, or one from before.
func (s *senders) batch(rng *rand.Rand) func(context.Context, int) bool {
	var items []item
	s.mu.Lock()
	if n := len(s.batches); n > 0 && rng.Float64() < resentShare {
		items = s.batches[rng.IntN(n)]
		s.resent.Add(1)
	}
	s.mu.Unlock()
	if items == nil {
		items = s.newItems(rng)
		s.mu.Lock()
		if len(s.batches) < remembered {
			s.batches = append(s.batches, items)
		} else {
			s.batches[rng.IntN(remembered)] = items
		}
		s.mu.Unlock()
	}
	return func(ctx context.Context, gateway int) bool { return s.post(ctx, gateway, items) }
}

func (s *senders) newItems(rng *rand.Rand) []item {
	items := make([]item, batchItems)
	for i := range items {
		at := time.Now()
		if rng.Float64() < agedShare {
			at = at.Add(-time.Duration((1.5 + 1.5*rng.Float64()) * float64(time.Hour)))
		}
		it := item{id: s.ids.New(at.UnixMicro())}
		if rng.Float64() < brokenShare {
			it.kind, it.text = Broken, fmt.Sprintf(`{"id":%q,"ip":"nowhere"}`, it.id)
		} else {
			country := "NL"
			if rng.Float64() < badShare {
				it.kind, country = Unstorable, unstorable
			}
			it.text = fmt.Sprintf(`{"id":%q,"ip":%q,"user_agent":%q,"campaign_id":%q,"country":%q}`, it.id, address(rng), agent(rng), listCampaign, country)
		}
		items[i] = it
	}
	return items
}

// address is of the range for benchmarks (RFC 2544), which belongs to nobody.
func address(rng *rand.Rand) string {
	n := rng.Uint32()
	return fmt.Sprintf("198.%d.%d.%d", 18+n>>16&1, n>>8&255, n&255)
}

func agent(rng *rand.Rand) string {
	return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 130+rng.IntN(15))
}

// post sends a batch and reports whether there was an answer that ends it.
func (s *senders) post(ctx context.Context, gateway int, items []item) bool {
	var body strings.Builder
	for _, it := range items {
		s.ledger.Send(gateway, it.kind, it.id)
		body.WriteString(it.text + "\n")
	}
	left, began := s.watch.now(), time.Now()
	status, answer := s.do(ctx, http.MethodPost, s.targets[gateway]+"/v1/clicks", strings.NewReader(body.String()),
		"Authorization", "Bearer "+s.apiKey, "Content-Type", "application/x-ndjson")
	switch {
	case status == http.StatusOK:
		s.watch.answered(left, time.Since(began), true)
		s.acknowledge(gateway, items, answer)
		return true
	case refused(status, answer):
		s.watch.answered(left, time.Since(began), false)
		for _, it := range items {
			s.ledger.Refused(gateway, it.id)
		}
	case !unanswered(status):
		s.surprised("a batch was answered %d: %s", status, answer)
	}
	return false
}

// refused reports whether an answer says that nothing was taken.
func refused(status int, answer []byte) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && bytes.Contains(answer, []byte("overload"))
}

// unanswered reports whether a status says nothing of what became of a request: none,
// 503, and 408 to one whose bytes a stalled line held back.
func unanswered(status int) bool {
	return status == 0 || status == http.StatusServiceUnavailable || status == http.StatusRequestTimeout
}

// acknowledge notes what the answer to a batch says of each item.
func (s *senders) acknowledge(gateway int, items []item, answer []byte) {
	var got struct {
		Items []struct {
			Index        int
			Status, Code string
		}
	}
	if err := json.Unmarshal(answer, &got); err != nil || len(got.Items) != len(items) {
		s.surprised("the answer to %d items cannot be read: %v", len(items), err)
		return
	}
	now := time.Now()
	for _, g := range got.Items {
		it := items[g.Index]
		if gateway == skewed && it.kind != Broken && g.Code == futureTime {
			s.ledger.Ahead(gateway, now, it.id)
			continue
		}
		if want := map[Kind]string{Item: "accepted", Broken: "malformed", Unstorable: "accepted"}[it.kind]; g.Status != want {
			s.surprised("item %s was answered %q, want %q", it.id, g.Status, want)
			continue
		}
		s.ledger.Ack(gateway, now, it.id)
	}
}

// token returns a new token, or one from before.
func (s *senders) token(rng *rand.Rand, again bool) (sentToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.tokens); again && n > 0 {
		return s.tokens[rng.IntN(n)], nil
	}
	issued := time.Now().Add(-2 * time.Second).UnixMicro()
	t := sentToken{id: s.ids.New(issued)}
	var err error
	t.text, err = s.key.Seal(&token.Token{
		TenantID: tenant, ClickID: t.id, IssuedAt: issued, ExpiresAt: issued + token.Lifetime.Microseconds(),
		AdvertiserID: "acme", CampaignID: paidCampaign, PublisherID: "news.example", PlacementID: "top",
		LandingURL: landing, PriceMicros: tokenPrice, Currency: "EUR", Pricing: click.PricingCPC,
	}, s.entropy)
	if len(s.tokens) < remembered {
		s.tokens = append(s.tokens, t)
	} else {
		s.tokens[rng.IntN(remembered)] = t
	}
	return t, err
}

// beacon sends a token. Beacons and not redirects, because a redirect comes even
// when nothing could be recorded; and by POST, because Go's client repeats a GET by
// itself, which the ledger would not know of.
func (s *senders) beacon(ctx context.Context, rng *rand.Rand, gateway int, t sentToken) bool {
	s.ledger.Send(gateway, Token, t.id)
	left, began := s.watch.now(), time.Now()
	status, answer := s.do(ctx, http.MethodPost, s.targets[gateway]+"/b", strings.NewReader("t="+t.text),
		"X-Forwarded-For", address(rng), "User-Agent", agent(rng), "Content-Type", "text/plain")
	switch {
	case status == http.StatusNoContent:
		s.watch.answered(left, time.Since(began), true)
		s.ledger.Ack(gateway, time.Now(), t.id)
		return true
	case refused(status, answer):
		s.watch.answered(left, time.Since(began), false)
		s.ledger.Refused(gateway, t.id)
	case !unanswered(status):
		s.surprised("a beacon was answered %d: %s", status, answer)
	}
	return false
}

// do returns status 0 when there was no whole answer.
func (s *senders) do(ctx context.Context, method, url string, body io.Reader, headers ...string) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		s.surprised("%v", err)
		return 0, nil
	}
	req.GetBody = nil // the client must repeat nothing by itself
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}

// surprised notes an answer that no gateway should give.
func (s *senders) surprised(format string, args ...any) {
	s.unexpected.Add(1)
	text := fmt.Sprintf(format, args...)
	s.surprise.CompareAndSwap(nil, &text)
}
