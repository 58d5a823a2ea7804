package scoring

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring/entity"
)

// dayTown is 22 hours and the two of a town, with people who come at any time of them.
func dayTown(seed uint64, people int) *town {
	w := newTown(seed, 0)
	for i := range people {
		ip := fmt.Sprintf("203.%d.%d.%d", i/60_000, i/250%240, i%250+1)
		agent, language := w.agent(), w.language()
		at := w.within(-22*60, 120)
		for range 1 + w.few() {
			w.press("people", at, ip, agent, language, w.publisher(), w.campaign())
			at += w.rng.Int64N(20 * minuteTown)
		}
	}
	return w
}

// comes lets visitors come so often, with pauses of at least so many minutes and at most
// half as much again, and click where on and of say.
func (w *town) comes(name string, visitors, visits int, pause int64, on, of func(visitor int) string) {
	for i := range visitors {
		ip, agent, at := fmt.Sprintf("198.20.%d.%d", i/250, i%250+1), w.agent(), w.within(-22*60, 120-pause*int64(visits-1)*5/4)
		for range visits {
			w.add(name, at, ip, agent, "en", on(i), of(i))
			at += (pause + w.rng.Int64N(pause/2)) * minuteTown
		}
	}
}

// Who comes back all day to one publisher or campaign is found, though he never clicks
// twice in two hours, and his nearest neighbours are not.
func TestDayFindsWhoComesBack(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	anywhere, whatever := (*town).publisher, (*town).campaign
	only := func(what string) func(*town) string { return func(*town) string { return what } }
	for name, tc := range map[string]struct {
		visitors, visits int
		pause            int64
		on, of           func(*town) string
		reason           click.Reason // none: at most one in a hundred is found
	}{
		"to a publisher":                     {200, 6, 125, only("pub6"), whatever, click.ReasonCollusion},
		"to a campaign":                      {200, 6, 125, anywhere, only("cam8"), click.ReasonOneTarget},
		"to whatever there is":               {200, 6, 125, anywhere, whatever, click.ReasonNone},
		"to a publisher, after a moment":     {900, 2, 8, only("pub6"), whatever, click.ReasonNone},
		"to a publisher, fewer than a crowd": {9, 6, 125, only("pub6"), whatever, click.ReasonNone},
		"never, from ever new addresses":     {1200, 1, 125, only("pub6"), whatever, click.ReasonNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dayTown(7, 12_000)
			w.comes("visitors", tc.visitors, tc.visits, tc.pause, func(int) string { return tc.on(w) }, func(int) string { return tc.of(w) })
			r := w.judge(t)
			least, most := 0.8, 1.0
			if tc.reason == click.ReasonNone {
				least, most = 0, 0.01
			}
			if n := r.total["visitors"]; n == 0 || r.share("visitors") < least || r.share("visitors") > most ||
				tc.reason != click.ReasonNone && r.reasons["visitors"][tc.reason.String()] < n*4/5 {
				t.Errorf("%d of %d clicks found, with reasons %v; want %v to %v of them, by %s", r.bad["visitors"], n, r.reasons["visitors"], least, most, tc.reason)
			}
			if r.total["people"] < 400 || r.bad["people"] > 1 {
				t.Errorf("%d of %d clicks of people are not billed: %v", r.bad["people"], r.total["people"], r.reasons["people"])
			}
		})
	}
}

// Where people come back to every publisher, it is their habit.
func TestDayKnowsHabits(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	w := dayTown(8, 12_000)
	w.comes("regulars", publishers*120, 3, 125, func(i int) string { return fmt.Sprint("pub", i%publishers) }, func(int) string { return w.campaign() })
	if r := w.judge(t); r.total["regulars"] < 30 || r.bad["regulars"] > 0 {
		t.Errorf("%d of %d clicks of regulars are not billed: %v", r.bad["regulars"], r.total["regulars"], r.reasons["regulars"])
	}
}

// The rules on the day's returning visitors, on quick clicks and on replays hold at their bounds and
// not beside them.
func TestDayRulesAtTheirBounds(t *testing.T) {
	t.Parallel()
	day := map[int]float32{SlotFacts: factsKnown, SlotDayVisits: 2, SlotDayHere: 0.9, SlotDayLoyal: 20, SlotDayExpected: 2}
	quick := map[int]float32{SlotFacts: factsKnown, SlotTokenAge: 1.2, SlotQuick: 30, SlotQuickExpected: 3}
	replay := map[int]float32{SlotFacts: factsKnown, SlotHourReplays: 12}
	for name, tc := range map[string]struct {
		of, but map[int]float32
		want    click.Reason
	}{
		"comes back":                 {day, nil, click.ReasonCollusion},
		"to a campaign":              {day, map[int]float32{SlotFacts: factsKnown | factsDayCampaign, SlotDayHere: 0.75}, click.ReasonOneTarget},
		"one visit":                  {day, map[int]float32{SlotDayVisits: 1}, click.ReasonNone},
		"elsewhere too":              {day, map[int]float32{SlotDayHere: 0.89}, click.ReasonNone},
		"with too few":               {day, map[int]float32{SlotDayLoyal: 9.9, SlotDayExpected: 0}, click.ReasonNone},
		"as usual":                   {day, map[int]float32{SlotDayExpected: 2.1}, click.ReasonNone},
		"through a relay":            {day, map[int]float32{SlotRanges: rangeRelay}, click.ReasonNone},
		"behind many agents":         {day, map[int]float32{SlotHourAgents: 6}, click.ReasonNone},
		"replays":                    {replay, nil, click.ReasonOneTarget},
		"replays, but few":           {replay, map[int]float32{SlotHourReplays: 11}, click.ReasonNone},
		"replays, through a relay":   {replay, map[int]float32{SlotRanges: rangeRelay}, click.ReasonNone},
		"quick":                      {quick, nil, click.ReasonTooFast},
		"quick, of unknown age":      {quick, map[int]float32{SlotTokenAge: 0}, click.ReasonNone},
		"quick, with too few":        {quick, map[int]float32{SlotQuick: 29, SlotQuickExpected: 0}, click.ReasonNone},
		"quick, as usual":            {quick, map[int]float32{SlotQuickExpected: 3.1}, click.ReasonNone},
		"quick, through a relay":     {quick, map[int]float32{SlotRanges: rangeRelay}, click.ReasonNone},
		"quick, as the whole source": {quick, map[int]float32{SlotFastShare: 0.21}, click.ReasonNone},
	} {
		p := DefaultConfig().Policy
		var v click.Vector
		for _, slots := range []map[int]float32{tc.of, tc.but} {
			for slot, x := range slots {
				v[slot] = x
			}
		}
		if d := Decide(&p, 0, &v); (d.State == click.SIVT) != (tc.want != click.ReasonNone) || tc.want != click.ReasonNone && !d.Reasons.Has(tc.want) {
			t.Errorf("%s: %v %v, want %v", name, d.State, d.Reasons.Codes(), tc.want)
		}
		p.GroupClicks, p.EntityClicks = 0, 0
		if d := Decide(&p, 0, &v); d.State != click.Valid {
			t.Errorf("%s: turned off it is %v %v", name, d.State, d.Reasons.Codes())
		}
	}
}

// A judge that closed all hours and one that begins with the last make the same verdicts,
// and the one that remembers reads two hours only.
func TestDayIsRememberedOrRead(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	w := dayTown(9, 12_000)
	w.comes("visitors", 200, 6, 125, func(int) string { return "pub6" }, func(int) string { return w.campaign() })
	w.sort()
	w.clicks = slices.DeleteFunc(w.clicks, func(c town1) bool { return c.EventTime >= townStart+120*minuteTown })
	live := newScorer(t)
	for i := range w.clicks {
		live.Score(&w.clicks[i].Click, &w.clicks[i].sig)
	}
	newJudge := func() *Judge {
		j, err := NewJudge(DefaultConfig(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	closed := func(j *Judge, at int64) (from int64, verdicts []click.Verdict) {
		from, look, judge, err := j.Begin("demo", "shop", at)
		if err != nil {
			t.Fatal(err)
		}
		each := func(from int64, f func(*click.Click)) {
			for i := range w.clicks {
				if c := &w.clicks[i].Click; c.EventTime >= from && c.EventTime < at+hourMicros {
					f(c)
				}
			}
		}
		each(from, look)
		each(at-hourMicros, func(c *click.Click) {
			if v := judge(c); c.EventTime >= at {
				verdicts = append(verdicts, v)
			}
		})
		return from, verdicts
	}
	remembers, found := newJudge(), 0
	for at := int64(townStart - 22*hourMicros); at <= townStart+hourMicros; at += hourMicros {
		from, warm := closed(remembers, at)
		if first := at == townStart-22*hourMicros; !first && from != at-hourMicros || first && from != at-23*hourMicros {
			t.Fatalf("the hour %d reads from %d on", at/hourMicros, from/hourMicros)
		}
		from, cold := closed(newJudge(), at)
		if from != at-23*hourMicros || !slices.Equal(warm, cold) || len(warm) == 0 {
			t.Fatalf("the hour %d has other verdicts when it is read from %d on", at/hourMicros, from/hourMicros)
		}
		for _, v := range warm {
			if v.Vector[SlotDayVisits] >= firstTier && v.State == click.SIVT {
				found++
			}
		}
	}
	if found < 500 {
		t.Errorf("%d clicks of visitors who came back were found", found)
	}
	// An hour that was closed long ago is read, and does not push out what is remembered.
	if from, _ := closed(remembers, townStart-20*hourMicros); from == townStart-21*hourMicros {
		t.Error("what is no more remembered was not asked for")
	}
	if from, _ := closed(remembers, townStart+hourMicros); from != townStart {
		t.Error("an old hour pushed out what was remembered")
	}
}

// The memory holds no more visitors than it may, and forgets who was asked for longest ago.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory(1000)
	p := DefaultConfig().Policy
	pass := func(source string, hour int64, visitors int) (from int64) {
		d, err := newDay(&p, entity.Config{Entries: 4096, Shards: 1, Grow: true}, hour)
		if err != nil {
			t.Fatal(err)
		}
		of := pastOf{"demo", source, 1}
		from = m.recall(of, d)
		d.hours[dayHours-2] = make([]visitor, visitors)
		m.keep(of, d)
		return from
	}
	for hour := range int64(100) {
		if from := pass("a", hour, 20); hour > 0 && from != hour-1 {
			t.Fatalf("hour %d is read from %d on", hour, from)
		}
		if len(m.pasts[pastOf{"demo", "a", 1}].hours) > dayHours {
			t.Fatalf("%d hours are kept", len(m.pasts[pastOf{"demo", "a", 1}].hours))
		}
	}
	for i := range 10 {
		pass("a", 100, 20)
		pass(fmt.Sprint("b", i), 100, 400)
	}
	held := 0
	for _, p := range m.pasts {
		for _, hour := range p.hours {
			held += len(hour)
		}
	}
	if held > 1000 || held != m.held {
		t.Errorf("%d visitors are held and %d counted, of at most 1000", held, m.held)
	}
	if m.pasts[pastOf{"demo", "a", 1}] == nil || m.pasts[pastOf{"demo", "b0", 1}] != nil {
		t.Error("not the one that was asked for longest ago was forgotten")
	}
	if from := pass("b0", 101, 1); from != 101-dayHours+1 {
		t.Errorf("a forgotten past is read from %d on", from)
	}
}

// Visits are told apart by a quarter of an hour, also across the border of two hours, and
// whom nobody can tell from others is no visitor.
func TestDayCountsVisits(t *testing.T) {
	t.Parallel()
	const hour = 100
	p := DefaultConfig().Policy
	for name, tc := range map[string]struct {
		minutes []int64 // since the hour before began
		shared  bool
		agents  int
		want    int
	}{
		"once":                          {[]int64{70}, false, 1, 0},
		"a visit of an hour":            {[]int64{60, 74, 88, 102}, false, 1, 0},
		"two":                           {[]int64{60, 75}, false, 1, 2},
		"two, in two hours":             {[]int64{50, 65}, false, 1, 2},
		"a visit in two hours":          {[]int64{50, 64}, false, 1, 0},
		"three":                         {[]int64{1, 31, 61}, false, 1, 3},
		"not in the hour":               {[]int64{1, 31}, false, 1, 0},
		"through a relay":               {[]int64{1, 31, 61}, true, 1, 0},
		"behind an address of many":     {[]int64{1, 31, 61}, false, 9, 0},
		"behind an address of a family": {[]int64{1, 31, 61}, false, 3, 3},
	} {
		d, err := newDay(&p, entity.Config{Entries: 4096, Shards: 1, Grow: true}, hour)
		if err != nil {
			t.Fatal(err)
		}
		keys := [kinds + 1]uint64{1 << 40, 2 << 40, 3 << 40}
		for _, minute := range tc.minutes {
			for agent := range tc.agents {
				c := click.Click{EventTime: (hour-1)*hourMicros + minute*60_000_000, AgentKey: click.Key{byte(agent)}}
				d.note(&c, 7, 100+uint64(agent), tc.shared, &keys)
			}
		}
		d.settle()
		if got := d.returned[100].visits; got != tc.want {
			t.Errorf("%s: %d visits, want %d", name, got, tc.want)
		}
		if x := d.scopes[ofPublisher][siteOf(keys[ofPublisher])]; tc.want >= firstTier && (x == nil || x.loyal[0] != float64(tc.agents)) {
			t.Errorf("%s: the publisher has %+v", name, x)
		}
	}
}

// The day's memory of an hour is a visitor each, and no more visitors than keys.
func TestRegisterIsBounded(t *testing.T) {
	t.Parallel()
	r, err := newRegister(entity.Config{Entries: 1024, Shards: 1, Grow: true})
	if err != nil {
		t.Fatal(err)
	}
	keys := [kinds + 1]uint64{1 << 40, 2 << 40, 3 << 40}
	for i := range uint64(50_000) {
		c := click.Click{EventTime: int64(i)}
		r.note(&c, i, i, false, &keys)
	}
	all := r.visitors()
	if len(all) > 1024 || len(all) < 1000 {
		t.Errorf("%d visitors of a table of 1024", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b visitor) int {
		if a.key < b.key {
			return -1
		}
		return 1
	}) {
		t.Error("visitors are not in order of their keys")
	}
}

// Chance brings few back: of everybody's two visits both are on a publisher of a tenth of
// the visitors in one of a hundred.
func TestDayExpectsChance(t *testing.T) {
	t.Parallel()
	d := day{visitors: 1000}
	d.visits[0] = [mostVisits + 1]float64{2: 500, 3: 100, 4: 100}
	d.visits[1] = [mostVisits + 1]float64{3: 100, 4: 100}
	x := &dayScope{visitors: 100}
	often := 100*0.001 + 100*0.0001
	if got, want := d.expect(ofPublisher, 0, x), 500*0.01+often; math.Abs(got-want) > 1e-9 {
		t.Errorf("chance brings %v back twice, want %v", got, want)
	}
	if got := d.expect(ofPublisher, 1, x); math.Abs(got-often) > 1e-9 {
		t.Errorf("chance brings %v back three times, want %v", got, often)
	}
	d.usual[ofPublisher] = [tiers]float64{0.2}
	if got := d.expect(ofPublisher, 0, x); got != 20 {
		t.Errorf("a fifth of the peers' visitors comes back, of these %v", got)
	}
}
