package oracle

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/gateway/seal"
)

// market is a tenant with its traffic. Seeds are for tuning.
type market struct {
	tenant string
	seed   uint64
	rate   float64
	tokens float64 // share of clicks with a token
	late   bool    // some come after their hour was closed
}

var markets = []market{{"north", 7, 0.35, 1, false}, {"south", 8, 0.16, 0.6, true}}

const hours = 3

// sent is one request and when it comes in.
type sent struct {
	at    int64 // Unix microseconds
	event click.Click
	sig   click.Signals
	shown int64 // what the feed of displays says: when, never, or 0 that nobody asked
}

// traffic is what all markets send, in order of arrival.
func traffic(t *testing.T) (out []sent, start int64) {
	t.Helper()
	for _, m := range markets {
		w, err := fraudrange.New(fraudrange.Config{Seed: m.seed, Hours: hours, Rate: m.rate, Families: fraudrange.Families()})
		if err != nil {
			t.Fatal(err)
		}
		// All markets have the same three hours.
		start = time.Date(2026, 11, 3, 17, 0, 0, 0, time.UTC).UnixMicro()
		out = append(out, newTrouble(t, m, start).all(w)...)
	}
	slices.SortStableFunc(out, func(a, b sent) int { return cmp.Compare(a.at, b.at) })
	return out, start
}

// trouble makes requests of a market's clicks, and what goes wrong on the way.
type trouble struct {
	market
	*rand.Rand
	start      int64
	ids        *click.IDSource
	pseudonyms *seal.Pseudonymizer
	feed       *rand.Rand
	replays    *rand.Rand
	out        []sent
}

func newTrouble(t *testing.T, m market, start int64) *trouble {
	t.Helper()
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], m.seed)
	master, err := seal.NewMaster(1, seed[:])
	if err != nil {
		t.Fatal(err)
	}
	ids, err := click.NewIDSource(rand.NewChaCha8(seed))
	if err != nil {
		t.Fatal(err)
	}
	return &trouble{market: m, Rand: rand.New(rand.NewPCG(m.seed, 1)), start: start, feed: rand.New(rand.NewPCG(m.seed, 2)), replays: rand.New(rand.NewPCG(m.seed, 3)), ids: ids, pseudonyms: seal.NewPseudonymizer(master)}
}

func (m *trouble) one(in float64) bool { return m.Float64()*in < 1 }

func (m *trouble) all(w *fraudrange.World) []sent {
	var some fraudrange.Click
	for c := range w.Clicks() {
		some = c
		m.send(&c)
	}
	m.faithful(some)
	return m.out
}

// faithful are forty visitors who come back to one publisher every half an hour, and some
// of them elsewhere too.
func (m *trouble) faithful(some fraudrange.Click) {
	for i := range 40 {
		for k := range 4 {
			c := some
			c.IP = netip.AddrFrom4([4]byte{198, 18, 40, byte(i + 1)})
			c.At = time.Duration(10+35*k)*time.Minute + time.Duration(30*i)*time.Second
			c.Event, c.Shown, c.Opportunity = c.At, c.At-30*time.Second, 1<<40+uint64(4*i+k)
			if c.Publisher = "returned-to"; k > 4-i%4 {
				c.Publisher = some.Publisher
			}
			m.send(&c)
		}
	}
}

var countries = []string{"DE", "US", "GB", ""}

// send is one click with its troubles: late, out of order, sent again, pressed again,
// without a token, a publisher or a campaign, with headers that no browser sends.
func (m *trouble) send(c *fraudrange.Click) {
	if m.one(100) {
		c.Language = "de;q=?!"
	}
	if m.one(100) {
		c.Agent = "Mozilla/5.0 (Windows NT 10.0; Win64) (X11; Linux)" + c.Agent[min(len(c.Agent), 60):]
	}
	if m.one(50) {
		c.Agent, c.Language = []string{"curl/8.9.1", "", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/128.0.0.0 Safari/537.36"}[m.IntN(3)], ""
	}
	if m.one(50) {
		c.Publisher, c.Placement = "", ""
	}
	if m.one(50) {
		c.Campaign = ""
	}
	s := m.request(c)
	s.shown = m.display(c, s.event.EventTime)
	switch { // a draw for each
	case m.one(200):
		s.event.Flags |= click.FlagTest
	case m.one(200): //nolint:gocritic // another draw
		s.event.Flags |= click.FlagAddressUnknown
	case m.one(200): //nolint:gocritic // another draw
		s.event.Flags |= click.FlagTimeCoarse
	}
	untold := m.Float64() >= m.tokens
	if !untold && m.replays.IntN(150) == 0 { // one token again and again
		for i := range 1 + m.replays.Int64N(7) {
			m.again(s, (i+1)*(1_000_000+m.replays.Int64N(5_000_000)))
		}
	}
	if untold {
		s.event.ClickID = click.ID{}
		s.event.Flags &^= click.FlagSealedToken
		s.sig.IssuedAt, s.shown = 0, 0
		if m.one(8) { // and pressed again, soon or not so soon
			m.again(s, m.Int64N(4_000_000))
		}
	}
	if m.one(30) { // a little late
		s.at += m.Int64N(3 * 60_000_000)
	}
	if m.late && m.one(30) { // and a lot
		s.at += m.Int64N(90 * 60_000_000)
	}
	m.out = append(m.out, s)
	if m.one(80) { // the sender tries again
		s.at += m.Int64N(60_000_000)
		m.out = append(m.out, s)
	}
}

// again sends another click of the same ad, so many microseconds later.
func (m *trouble) again(s sent, wait int64) {
	s.event.EventTime += wait
	s.event.EventID = m.ids.New(s.event.EventTime)
	s.event.IDTime = s.event.EventID.Time()
	s.at += wait
	m.out = append(m.out, s)
}

// display is when the feed says that the click's ad was seen. It loses one in a hundred and
// all of a few addresses, tells of others after the click, was away for ten minutes, and
// knows little of a publisher of the tenant that has late clicks.
func (m *trouble) display(c *fraudrange.Click, at int64) int64 {
	ip := c.IP.As16()
	lost := m.feed.IntN(100)
	away := at%hourMicros/600_000_000 == 2 && (at-m.start)/hourMicros == 1
	thin := m.late && len(c.Publisher) > 0 && c.Publisher[len(c.Publisher)-1]%4 == 0 && lost < 70
	if ip[15]%24 == 5 || lost == 0 || away || thin {
		return click.ShownNever
	}
	if lost == 1 {
		return at + m.feed.Int64N(20_000_000)
	}
	return at - m.feed.Int64N(max(1, at-m.start-c.Shown.Microseconds()+1))
}

// request is a click as a gateway would take it.
func (m *trouble) request(c *fraudrange.Click) sent {
	at, event := m.start+c.At.Microseconds(), m.start+c.Event.Microseconds()
	id := m.ids.New(event)
	epoch := seal.Epoch(event)
	out := click.Click{
		TenantID: m.tenant, SourceID: "edge", EventID: id, IDTime: id.Time(), EventTime: event, ReceivedAt: at, Entry: click.EntryClick,
		Flags: click.FlagSealedToken, AdvertiserID: c.Advertiser, CampaignID: c.Campaign, PublisherID: c.Publisher, PlacementID: c.Placement,
		PriceMicros: c.PriceMicros, Currency: fraudrange.Currency, Pricing: click.PricingCPC, KeyEpoch: epoch,
		IPKey: m.pseudonyms.Address(m.tenant, epoch, c.IP), IPPrefix: seal.Prefix(c.IP).String(), Country: countries[int(c.IP.As16()[13])%len(countries)],
	}
	binary.BigEndian.PutUint64(out.ClickID[8:], c.Opportunity)
	out.ClickID[0] = 1
	if c.Batch {
		out.Entry, out.SourceID = click.EntryBatch, "server"
	}
	for _, f := range []struct {
		set  bool
		flag click.Flags
	}{{c.Prefetch, click.FlagPrefetch}, {c.Head, click.FlagHead}} {
		if f.set {
			out.Flags |= f.flag
		}
	}
	if c.Agent != "" {
		out.AgentKey = m.pseudonyms.Agent(m.tenant, epoch, c.Agent)
	}
	return sent{at: at, event: out, sig: click.Signals{
		IP: c.IP, UserAgent: c.Agent, Referer: c.Referer, AcceptLanguage: c.Language, IssuedAt: m.start + c.Shown.Microseconds(),
	}}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
