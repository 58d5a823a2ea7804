package scoring

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"clickgate/gateway/click"
	"clickgate/scoring/givt"
)

const start = 1_790_000_000_000_000 // Unix microseconds, at a whole second

const browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"

// embedded is loaded once: it is immutable, and slow under the race detector.
var embedded = sync.OnceValues(givt.Embedded)

func newScorer(t testing.TB) *Scorer {
	t.Helper()
	lists, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.MaxKeys = 4096
	s, err := New(cfg, lists, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// visit is one click as the gateway hands it over. Pseudonyms only have to be
// different for different entities.
func visit(ip, agent string, at int64) (click.Click, click.Signals) {
	c := click.Click{TenantID: "demo", EventTime: at}
	addr := netip.MustParseAddr(ip)
	b := addr.As16()
	copy(c.IPKey[:], b[:])
	binary.LittleEndian.PutUint64(c.AgentKey[:], hash(agent))
	return c, click.Signals{IP: addr, UserAgent: agent}
}

func hash(s string) (h uint64) {
	for _, b := range []byte(s) {
		h = h*1099511628211 + uint64(b) + 1
	}
	return h
}

func (s *Scorer) judge(ip, agent string, at int64) click.Verdict {
	c, sig := visit(ip, agent, at)
	s.Score(&c, &sig)
	return c.Verdict
}

// crowd lets a hundred ordinary people click about once a minute for a while, so
// that there are peers.
func crowd(s *Scorer, from int64, minutes int) (clicks, wrong int) {
	for m := range minutes {
		for person := range 100 {
			at := from + int64(m)*60e6 + int64(person*37%60)*1e6
			v := s.judge(fmt.Sprintf("203.0.%d.%d", 113+person/200, person%200+1), browser, at)
			clicks++
			if v.State != click.Valid {
				wrong++
			}
		}
	}
	return clicks, wrong
}

func TestOrdinaryCrowdIsValid(t *testing.T) {
	t.Parallel()
	if clicks, wrong := crowd(newScorer(t), start, 20); wrong != 0 || clicks != 2000 {
		t.Errorf("%d of %d ordinary clicks are not valid", wrong, clicks)
	}
}

// A new address that floods is told from its peers within a few clicks, though it
// has no past.
func TestFloodIsSIVT(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	crowd(s, start, 5)
	at, caught := int64(start+5*60e6), 0
	for i := range 200 {
		v := s.judge("198.51.100.7", browser, at+int64(i)*100_000)
		if v.State == click.SIVT && v.Reasons.Has(click.ReasonRateIPAgent) {
			caught++
		}
		if v.VectorVersion != VectorVersion || v.ListsHash == 0 || v.PolicyHash == 0 {
			t.Fatalf("verdict without its versions: %+v", v)
		}
	}
	if caught < 180 {
		t.Errorf("%d of 200 flood clicks are sivt, want at least 180", caught)
	}
	if clicks, wrong := crowd(s, start+6*60e6, 5); wrong != 0 {
		t.Errorf("%d of %d ordinary clicks beside the flood are not valid", wrong, clicks)
	}
}

// Many people behind one address, each with an agent of its own version: the
// address is busy, no pair is.
func TestSharedAddressIsNotSIVT(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	crowd(s, start, 5)
	sivt := 0
	for i := range 2000 {
		agent := strings.Replace(browser, "127.0.0.0", fmt.Sprintf("%d.0.%d.%d", 100+i%28, i%40, i%50), 1)
		if s.judge("203.0.113.200", agent, start+5*60e6+int64(i)*30_000).State == click.SIVT {
			sivt++
		}
	}
	if sivt != 0 {
		t.Errorf("%d of 2000 clicks of a shared address are sivt", sivt)
	}
}

// An entity that was busy for long is no anomaly while it stays so, however quiet
// its peers are.
func TestSteadyEntityIsValid(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	bad := 0
	for m := range 45 {
		at := int64(start + m*60e6)
		crowd(s, at, 1)
		for i := range 25 {
			if v := s.judge("198.51.100.9", browser, at+int64(i)*2e6); m > 31 && v.State != click.Valid {
				bad++
			}
		}
	}
	if bad != 0 {
		t.Errorf("%d clicks of a steadily busy entity are not valid", bad)
	}
}

// A flood does not become its own yardstick by going on, and does not look new at
// every full minute.
func TestLongFloodStaysSIVT(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	crowd(s, start, 5)
	missed, clicks := 0, 0
	for m := range 45 {
		at := int64(start + (5+m)*60e6)
		crowd(s, at, 1)
		for i := range 100 {
			clicks++
			if s.judge("198.51.100.7", browser, at+int64(i)*600_000).State != click.SIVT {
				missed++
			}
		}
	}
	if missed > 20 || clicks != 4500 {
		t.Errorf("%d of %d clicks of a long flood are not sivt", missed, clicks)
	}
}

// Right after a start nobody has a baseline; a flood does not pass all the same.
func TestFloodAtTheStart(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	sivt := 0
	for i := range 300 {
		if s.judge("198.51.100.7", browser, start+int64(i)*100_000).State == click.SIVT {
			sivt++
		}
	}
	if sivt < 260 {
		t.Errorf("%d of 300 flood clicks are sivt", sivt)
	}
	for i := range 10 {
		if v := s.judge("198.51.100.8", browser, start+int64(i)*3e6); v.State != click.Valid {
			t.Errorf("click %d of an ordinary person is %s", i, v.State)
		}
	}
}

func TestListsReachTheVerdict(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	for _, tc := range []struct {
		name, ip, agent string
		state           click.State
		reason          click.Reason
	}{
		{"browser", "203.0.113.90", browser, click.Valid, click.ReasonNone},
		{"crawler", "198.51.100.66", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", click.GIVT, click.ReasonCrawler},
		{"verified crawler", "66.249.66.1", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", click.GIVT, click.ReasonCrawlerVerified},
		{"tool", "203.0.113.90", "curl/8.9.1", click.GIVT, click.ReasonToolAgent},
		{"headless", "203.0.113.90", strings.Replace(browser, "Chrome/", "HeadlessChrome/", 1), click.GIVT, click.ReasonHeadless},
		{"handset", "203.0.113.90", "Mozilla/5.0 (Linux; Android 13; CUBOT KINGKONG 9 Build/TP1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Mobile Safari/537.36", click.Valid, click.ReasonNone},
		{"no agent", "203.0.113.90", "", click.Undecidable, click.ReasonNoAgent},
		{"dash", "203.0.113.90", "-", click.Undecidable, click.ReasonNoAgent},
		{"data centre", "1.178.4.9", browser, click.GIVT, click.ReasonDataCentre},
	} {
		v := s.judge(tc.ip, tc.agent, start)
		if v.State != tc.state || tc.reason != click.ReasonNone && !v.Reasons.Has(tc.reason) {
			t.Errorf("%s: %s %v, want %s with %s", tc.name, v.State, v.Reasons.Codes(), tc.state, tc.reason)
		}
	}
}

// Stored evidence gives the stored verdict, and one order of clicks gives equal
// bits in two scorers.
func TestReplayAndRecompute(t *testing.T) {
	t.Parallel()
	a, b := newScorer(t), newScorer(t)
	states := map[click.State]int{}
	for i := range 1500 {
		ip, agent := fmt.Sprintf("203.0.113.%d", 1+i%60), browser
		switch {
		case i%20 == 0:
			agent = "curl/8.9.1"
		case i > 1000 && i%2 == 0:
			ip = "198.51.100.7"
		}
		at := start + int64(i)*500_000
		va, vb := a.judge(ip, agent, at), b.judge(ip, agent, at)
		if va != vb {
			t.Fatalf("click %d: %+v in one scorer, %+v in the other", i, va, vb)
		}
		d := Decide(&a.policy, 0, &va.Vector)
		if d.State != va.State || d.Reasons != va.Reasons || d.Score != va.Score {
			t.Fatalf("click %d: recomputed %+v, stored %+v", i, d, va)
		}
		states[va.State]++
	}
	for _, s := range []click.State{click.Valid, click.GIVT, click.SIVT} {
		if states[s] < 50 {
			t.Errorf("only %d clicks are %s: %v", states[s], s, states)
		}
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	s := newScorer(t)
	c, sig := visit("203.0.113.9", browser, start)
	if n := testing.AllocsPerRun(1000, func() {
		c.Verdict = click.Verdict{}
		c.EventTime += 1000
		s.Score(&c, &sig)
	}); n != 0 {
		t.Errorf("scoring allocates %v times", n)
	}
}

func BenchmarkScore(b *testing.B) {
	s := newScorer(b)
	clicks := make([]click.Click, 1024)
	sigs := make([]click.Signals, 1024)
	for i := range clicks {
		clicks[i], sigs[i] = visit(fmt.Sprintf("203.%d.113.%d", i/200, 1+i%200), browser, start)
		clicks[i].PublisherID, clicks[i].CampaignID, clicks[i].IPPrefix = fmt.Sprint("pub", i%8), fmt.Sprint("cam", i%16), fmt.Sprint("prefix", i%64)
		clicks[i].Entry, sigs[i].AcceptLanguage = click.EntryClick, "en-US,en;q=0.9"
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c := &clicks[i&1023]
		c.Verdict = click.Verdict{}
		c.EventTime += 5_000_000
		s.Score(c, &sigs[i&1023])
		i++
	}
}

// A click is judged by the lists of its own time, and a tenant's lists win.
func TestListsOfEventTimeAndTenant(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	folder := fstest.MapFS{
		"kite": {Data: []byte("tool\t-\tKite/\tx\n")},
		"lists.yaml": {Data: []byte(fmt.Sprintf("lists: [{file: kite, kind: agents, sha256: %x, activates_at: %s}]",
			sha256.Sum256([]byte("tool\t-\tKite/\tx\n")), time.UnixMicro(start).UTC().Format(time.RFC3339)))},
	}
	v, err := givt.ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	line, err := v.Timeline()
	if err != nil {
		t.Fatal(err)
	}
	s.SwapLists(line)
	before, after := s.judge("203.0.113.9", "Kite/1", start-1), s.judge("203.0.113.9", "Kite/1", start)
	if before.State != click.Valid || after.State != click.GIVT || !after.Reasons.Has(click.ReasonToolAgent) || before.ListsHash == after.ListsHash {
		t.Errorf("before its time %+v, from then on %+v", before, after)
	}
	c, sig := visit("203.0.113.9", "Kite/1", start)
	sig.Lists = &click.OwnLists{AcceptedAgents: []string{"kite/"}, InvalidAddresses: []string{"203.0.113.10"}}
	if s.Score(&c, &sig); c.Verdict.State != click.Valid || c.Verdict.ListsHash == after.ListsHash {
		t.Errorf("accepted by the tenant: %+v", c.Verdict)
	}
	sig.IP = netip.MustParseAddr("203.0.113.10")
	if s.Score(&c, &sig); c.Verdict.State != click.GIVT || !c.Verdict.Reasons.Has(click.ReasonListed) {
		t.Errorf("invalid by the tenant: %+v", c.Verdict)
	}
}
