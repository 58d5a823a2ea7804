package scoring

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring/iforest"
)

func newJudge(t testing.TB, model *iforest.Model) (*Judge, func(*click.Click) click.Verdict) {
	t.Helper()
	j, err := NewJudge(DefaultConfig(), model, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, judge, err := j.Begin("demo", "shop", start/hourMicros*hourMicros)
	if err != nil {
		t.Fatal(err)
	}
	return j, judge
}

// traffic is an hour in order of event time: a crowd with pauses, a steady machine, a
// flood, tools, clicks without a price and clicks behind a proxy that hides its client.
func traffic() (clicks []click.Click, sigs []click.Signals) {
	rng := rand.New(rand.NewPCG(3, 4))
	at := int64(start)
	for i := range 9_000 {
		at += rng.Int64N(800_000)
		ip, agent := fmt.Sprintf("203.0.%d.%d", 113+rng.IntN(2), 1+rng.IntN(100)), browser
		switch {
		case i%25 == 0:
			ip = "198.51.100.9"
		case i > 6_000 && i%3 == 0:
			ip = "198.51.100.7"
		case i%40 == 1:
			agent = "curl/8.9.1"
		case i%50 == 3:
			agent = ""
		}
		c, sig := visit(ip, agent, at)
		if i%30 == 7 {
			c.Verdict.Reasons = c.Verdict.Reasons.Set(click.ReasonNoPrice)
		}
		if i%60 == 11 {
			c.Flags |= click.FlagAddressUnknown
			if i%120 == 11 {
				sig.IP = netip.Addr{}
			}
		}
		if i%2_000 == 1_999 {
			at += 15 * 60e6 // a pause
		}
		clicks, sigs = append(clicks, c), append(sigs, sig)
	}
	return clicks, sigs
}

// forest is a model of random vectors: what counts is that it looks at every slot.
func forest(t testing.TB) *iforest.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	rows := make([][]float32, 600)
	for i := range rows {
		for range Features {
			rows[i] = append(rows[i], float32(rng.ExpFloat64()*10))
		}
	}
	m, err := iforest.Train(rows, iforest.Config{Seed: 1, VectorVersion: VectorVersion})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestJudgeIsTheLiveScorer: the second pass over stored clicks, in the order in which
// a fresh scorer saw them, makes its very verdicts, whatever the scorer's seed; what
// other gateways made of the rates before is gone.
func TestJudgeIsTheLiveScorer(t *testing.T) {
	t.Parallel()
	for _, model := range []*iforest.Model{nil, forest(t)} {
		live := newScorer(t)
		if err := live.SwapModel(model); err != nil {
			t.Fatal(err)
		}
		_, judge := newJudge(t, model)
		states, reasons := map[click.State]int{}, map[string]int{}
		clicks, sigs := traffic()
		for i := range clicks {
			c := &clicks[i]
			live.Score(c, &sigs[i])
			want := c.Verdict
			otherOrder(&c.Verdict)
			if got := judge(c); got != want {
				t.Fatalf("click %d: live %+v\nsecond pass %+v", i, want, got)
			}
			states[want.State]++
			for _, code := range want.Reasons.Codes() {
				reasons[code]++
			}
		}
		for s, n := range map[click.State]int{click.Valid: 4_000, click.GIVT: 100, click.SIVT: 500, click.Undecidable: 100} {
			if states[s] < n {
				t.Errorf("only %d clicks are %v: %v", states[s], s, states)
			}
		}
		if reasons["NO_PRICE"] < 100 || reasons["ADDRESS_UNKNOWN"] < 100 {
			t.Errorf("reasons are %v", reasons)
		}
	}
}

// otherOrder makes of a verdict what another gateway could have made of it, that saw
// other clicks before and was short of time.
func otherOrder(v *click.Verdict) {
	for slot := range v.Vector {
		switch slot {
		case SlotAgent, SlotRanges, SlotHeaders, SlotTokenAge, SlotFingerprint, SlotPublisherWeek, SlotWeekHours: // as the gateway saw it
		default:
			v.Vector[slot] = 77
		}
	}
	v.State, v.Score, v.PolicyHash, v.ModelHash, v.ModelSlot = click.Suspect, 0.4, 1, 2, click.ModelShadow
	for _, r := range []click.Reason{click.ReasonRateIP, click.ReasonRateIPAgent, click.ReasonBudget, click.ReasonModel, click.ReasonRepeat} {
		v.Reasons = v.Reasons.Set(r)
	}
}

// TestJudgeOfOtherVectors: a click whose vector is of another version, or that has
// none, keeps its verdict, and nobody's rate counts it.
func TestJudgeOfOtherVectors(t *testing.T) {
	t.Parallel()
	_, judge := newJudge(t, nil)
	for i := range 200 {
		c, _ := visit("203.0.113.9", browser, int64(start)+int64(i)*1000)
		c.Verdict = click.Verdict{
			State: [...]click.State{click.Valid, click.SIVT, click.Unscored}[i/3%3], Reasons: 1 << click.ReasonRateIP, Score: 0.25,
			VectorVersion: [...]uint32{0, mixedVersion, VectorVersion + 1}[i%3], PolicyHash: 9,
		}
		if got := judge(&c); got != c.Verdict {
			t.Fatalf("click %d: stored %+v, judged %+v", i, c.Verdict, got)
		}
	}
	c, _ := visit("203.0.113.9", browser, int64(start)+1e6)
	c.Verdict.VectorVersion = VectorVersion
	if v := judge(&c); v.State != click.Valid || v.Vector[SlotPair1m] != 1 {
		t.Errorf("after 200 of other versions a click is %v, the %v. of its minute", v.State, v.Vector[SlotPair1m])
	}
}

// TestPassCostsWhatItsClicksNeed: the memory of a pass follows its entities, not what
// a gateway reserves.
func TestPassCostsWhatItsClicksNeed(t *testing.T) {
	t.Parallel()
	j, _ := newJudge(t, nil)
	e, err := newEntities(j.tables())
	if err != nil {
		t.Fatal(err)
	}
	bytes := func(people int) int {
		for i := range people {
			c, _ := visit(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String(), browser, int64(start)+int64(i))
			e.observe(&c.Verdict.Vector, &c, true)
		}
		return e.addresses.Stats().Bytes + e.pairs.Stats().Bytes + e.seats.Stats().Bytes + e.habits.Stats().Bytes
	}
	few, many := bytes(50), bytes(20_000)
	t.Logf("50 people: %d KiB, 20,000: %d KiB", few>>10, many>>10)
	if few > 256<<10 || many < 10<<20 || many > 64<<20 {
		t.Errorf("%d bytes for 50 people, %d for 20,000", few, many)
	}
}
