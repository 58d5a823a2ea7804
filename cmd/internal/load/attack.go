package load

import (
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/gateway/token"
)

// AttackConfig is an attack of the fraud range to be played over HTTP: machines,
// agents, pace and ads are the range's, campaign and tenant are the Sender's.
type AttackConfig struct {
	Attack *fraudrange.Attack
	// Scale stretches the attack's time: 1 is its own pace, a half is twice as fast.
	Scale float64

	mu     sync.Mutex
	tokens map[uint64]sealed // of a replay, by opportunity
}

// attackHours is how long a world lasts in which an attack is drawn.
const attackHours = 24

// NewAttack draws the attack of a family and a seed. With a rate above 0, clicks per
// second on average, its time is stretched to that for a duration; else it keeps its
// own pace and size. The profile is what a run's Config needs.
func NewAttack(f fraudrange.Family, seed uint64, rate float64, duration time.Duration) (*AttackConfig, Profile, error) {
	w, err := fraudrange.New(fraudrange.Config{Seed: seed, Hours: attackHours, Rate: 4, Families: []fraudrange.Family{f}})
	if err != nil {
		return nil, nil, err
	}
	a := &w.Attacks[0]
	c := &AttackConfig{Attack: a, Scale: 1, tokens: map[uint64]sealed{}}
	if rate > 0 {
		drawn := w.Attack(f, max(1, int(rate*duration.Seconds())))
		c.Attack = &drawn
		c.Scale = own(c.Attack) / rate
	} else {
		rate = own(a)
	}
	return c, Constant(rate, duration), nil
}

// own is an attack's own rate in clicks per second.
func own(a *fraudrange.Attack) float64 { return float64(a.Ordered) / a.Lasts.Seconds() }

// String says what was drawn.
func (c *AttackConfig) String() string {
	parts := []string{fmt.Sprintf("%s of %d clicks from %d machines, its time times %.3g", c.Attack.Family, c.Attack.Ordered, c.Attack.Machines, c.Scale)}
	for _, d := range c.Attack.Parameters {
		parts = append(parts, d.String())
	}
	return strings.Join(parts, "; ")
}

// mix says how the attack is sent, for what a sender must have.
func (c *AttackConfig) mix() Mix {
	if c.Attack.Family == fraudrange.Skew {
		return Mix{Batch: 1}
	}
	return Mix{Paid: 1}
}

// class is the kind of arrival that a click is.
func (c *AttackConfig) class() Class {
	switch c.Attack.Family {
	case fraudrange.Skew:
		return Batch
	case fraudrange.Replay:
		return Reused
	}
	return Paid
}

// attackSource hands the attack's clicks out at their times, from its first one on.
type attackSource struct {
	mu    sync.Mutex
	next  func() (fraudrange.Click, bool)
	stop  func()
	cfg   *AttackConfig
	until time.Duration // no arrival after it
	end   time.Duration // no start after it
	count int64
}

func newAttackSource(cfg *AttackConfig, until, drain time.Duration) *attackSource {
	s := &attackSource{cfg: cfg, until: until, end: until + drain}
	s.next, s.stop = iter.Pull(cfg.Attack.Clicks)
	return s
}

func (s *attackSource) take(now time.Duration) (Arrival, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now > s.end {
		return Arrival{}, false
	}
	return s.pull(s.until)
}

func (s *attackSource) pull(until time.Duration) (Arrival, bool) {
	c, ok := s.next()
	if !ok {
		return Arrival{}, false
	}
	at := time.Duration(float64(c.At-s.cfg.Attack.Start) * s.cfg.Scale)
	if at > min(until, s.until) {
		s.stop() // the rest is later still
		return Arrival{}, false
	}
	s.count++
	return Arrival{At: at, Class: s.cfg.class(), attack: &c}, true
}

func (s *attackSource) giveBack(Arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
}

func (s *attackSource) offered(until time.Duration) (n [numClasses]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ok := s.pull(until); ok; _, ok = s.pull(until) {
	}
	n[s.cfg.class()] = s.count
	return n
}

// attack returns the request of an attack's click, good until the next call.
func (w *writer) attack(cfg *AttackConfig, c *fraudrange.Click) ([]byte, error) {
	w.sent, w.clicks = w.sent[:0], 1
	if c.Batch {
		return w.attackItem(c)
	}
	text, id, err := w.attackToken(cfg, c)
	if err != nil {
		return nil, err
	}
	w.sent = append(w.sent, id)
	method := "GET"
	if c.Head {
		method = "HEAD"
	}
	w.buf = append(append(append(append(w.buf[:0], method...), " /c?t="...), text...), w.host...)
	w.buf = append(w.buf, attackHeaders(c)...)
	return w.buf, nil
}

// attackHeaders are those of a click. The proxy in front of the gateway adds the
// address that it sees to whatever the client wrote.
func attackHeaders(c *fraudrange.Click) string {
	var b strings.Builder
	header := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	forwarded := c.IP.String()
	if c.Forwarded != "" {
		forwarded = c.Forwarded + ", " + forwarded
	}
	header("X-Forwarded-For", forwarded)
	header("User-Agent", c.Agent)
	header("Referer", c.Referer)
	header("Accept-Language", c.Language)
	b.WriteString("\r\n")
	return b.String()
}

// attackToken seals the click's token; copies of a replay get the one that was sealed
// first.
func (w *writer) attackToken(cfg *AttackConfig, c *fraudrange.Click) (text []byte, id click.ID, err error) {
	if c.Family != fraudrange.Replay {
		id, text, err = w.sealShown(c, nil)
		return text, id, err
	}
	cfg.mu.Lock()
	defer cfg.mu.Unlock()
	have, ok := cfg.tokens[c.Opportunity]
	if !ok {
		if have.id, have.text, err = w.sealShown(c, nil); err != nil {
			return nil, id, err
		}
		cfg.tokens[c.Opportunity] = have
	}
	return have.text, have.id, nil
}

// sealShown appends a token that was issued when the click's ad was shown.
func (w *writer) sealShown(c *fraudrange.Click, dst []byte) (id click.ID, text []byte, err error) {
	s := w.sender
	issued := w.now().Add(c.Shown - c.At)
	id = w.ids.New(issued.UnixMicro())
	text, w.scratch, err = s.Key.AppendSeal(dst, &token.Token{
		TenantID: s.Tenant, ClickID: id, IssuedAt: issued.UnixMicro(), ExpiresAt: issued.Add(token.Lifetime).UnixMicro(),
		AdvertiserID: s.Advertiser, CampaignID: s.Campaign, PublisherID: c.Publisher, PlacementID: c.Placement,
		LandingURL: s.Landing,
	}, w.entropy, w.scratch)
	return id, text, err
}

// attackItem makes a batch of one click, whose id carries the time that the sender
// claims.
func (w *writer) attackItem(c *fraudrange.Click) ([]byte, error) {
	id := w.ids.New(w.now().Add(c.Event - c.At).UnixMicro())
	w.sent = append(w.sent, id)
	body, err := json.Marshal([]any{struct {
		ID        string `json:"id"`
		IP        string `json:"ip"`
		Agent     string `json:"user_agent"`
		Referer   string `json:"referer"`
		Language  string `json:"accept_language,omitempty"`
		Campaign  string `json:"campaign_id,omitempty"`
		Publisher string `json:"publisher_id"`
		Placement string `json:"placement_id"`
	}{id.String(), c.IP.String(), c.Agent, c.Referer, c.Language, w.sender.BatchCampaign, c.Publisher, c.Placement}})
	if err != nil {
		return nil, err
	}
	w.buf = append(append(append(w.buf[:0], "POST /v1/clicks"...), w.host...), "Authorization: Bearer "...)
	w.buf = append(append(w.buf, w.sender.APIKey...), "\r\nContent-Type: application/json\r\nContent-Length: "...)
	w.buf = append(strconv.AppendInt(w.buf, int64(len(body)), 10), "\r\n\r\n"...)
	w.buf = append(w.buf, body...)
	return w.buf, nil
}
