package crash

import (
	"slices"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

func testID(n byte) click.ID { return click.ID{0: 1, 6: 7 << 4, 15: n} }

func testIngest(seq uint64) click.IngestID {
	return click.IngestID{Gateway: "crash/a", Boot: 1, Seq: seq}
}

// sound is a run with everything that may happen: an item, one delivered twice of
// which only one answer came, a malformed one, a token clicked twice, and one that
// was sent in vain.
func sound() (map[click.ID]*Entry, *Stored) {
	entries := map[click.ID]*Entry{
		testID(1): {Kind: Item, Sent: 1, Acked: 1, First: 1},
		testID(2): {Kind: Item, Sent: 2, Acked: 1, First: 1},
		testID(3): {Kind: Broken, Sent: 1, Acked: 1, First: 1},
		testID(4): {Kind: Token, Sent: 2, Acked: 2, First: 1},
		testID(5): {Kind: Item, Sent: 1},
		testID(6): {Kind: Unstorable, Sent: 1, Acked: 1, First: 1},
		testID(7): {Kind: Item, Sent: 1, Acked: 1, Ahead: 1, First: 1},
	}
	refused := click.Click{
		TenantID: tenant, SourceID: "ads", EventID: testID(6), IDTime: 1, EventTime: 1, Country: unstorable, Ingest: testIngest(7),
	}
	venom := &Venom{Value: []byte{0xff, 1}, Class: aggregate.ClassDecode, Acked: true, Records: 1}
	return entries, &Stored{
		Clicks: []StoredClick{
			{EventID: testID(1), State: click.Valid, Ingest: testIngest(1)},
			{EventID: testID(2), State: click.Valid, Ingest: testIngest(2)},
			{EventID: testID(41), ClickID: testID(4), State: click.Valid, Ingest: testIngest(3)},
			{EventID: testID(42), ClickID: testID(4), State: click.Duplicate, Ingest: testIngest(4)},
		},
		Redelivered: []StoredCopy{{ID: testID(2), Ingest: testIngest(5)}},
		Letters:     []StoredCopy{{ID: testID(3), Ingest: testIngest(6)}, {ID: testID(7), Ingest: testIngest(8), Ahead: true}},
		Poison: []PoisonRow{
			{
				Class: refusedClass(testID(6)), Value: click.AppendIngest(click.AppendClick(nil, &refused), &refused.Ingest),
				Event: testID(6), Ingest: testIngest(7),
			},
			{Class: venom.Class, Value: venom.Value},
		},
		PoisonLetters: []click.IngestID{testIngest(7)},
		Venom:         []*Venom{venom},
		Billed:        map[click.ID]click.ID{testID(4): testID(41)},
		Unknown:       []Unknown{{"crash/a", 1, 1}},
	}
}

// TestCheckSeesMistakes: what is sound passes, and each single change is found by
// its rule.
func TestCheckSeesMistakes(t *testing.T) {
	t.Parallel()
	if failures := Check(sound()); len(failures) > 0 {
		t.Fatalf("a sound run fails: %+v", failures)
	}
	for name, c := range map[string]struct {
		rule   string
		change func(map[click.ID]*Entry, *Stored)
	}{
		"an acked item is nowhere":   {Lost, func(_ map[click.ID]*Entry, s *Stored) { s.Clicks = s.Clicks[1:] }},
		"an acked letter is nowhere": {Lost, func(_ map[click.ID]*Entry, s *Stored) { s.Letters = nil }},
		"an acked token is nowhere":  {Lost, func(_ map[click.ID]*Entry, s *Stored) { s.Clicks = s.Clicks[:2] }},
		"an acked copy of two":       {Missing, func(e map[click.ID]*Entry, s *Stored) { e[testID(2)].Acked, s.Redelivered = 2, nil }},
		"an acked use of a token":    {Missing, func(_ map[click.ID]*Entry, s *Stored) { s.Clicks = s.Clicks[:3] }},
		"a copy that nobody sent":    {Doubled, func(e map[click.ID]*Entry, _ *Stored) { e[testID(2)].Sent = 1 }},
		"a token's event again": {Doubled, func(_ map[click.ID]*Entry, s *Stored) {
			s.Clicks = append(s.Clicks, StoredClick{EventID: testID(43), ClickID: testID(4), Ingest: testIngest(9)})
		}},
		"an own copy as a redelivery": {Doubled, func(_ map[click.ID]*Entry, s *Stored) {
			s.Redelivered = append(s.Redelivered, StoredCopy{ID: testID(1), Ingest: testIngest(9)})
		}},
		"a redelivery as a click": {Twice, func(_ map[click.ID]*Entry, s *Stored) {
			s.Clicks, s.Redelivered = append(s.Clicks, StoredClick{EventID: testID(2), Ingest: testIngest(5)}), nil
		}},
		"a redelivery of no click":         {Twice, func(_ map[click.ID]*Entry, s *Stored) { s.Clicks = slices.Delete(s.Clicks, 1, 2) }},
		"an ingest id twice":               {Twice, func(_ map[click.ID]*Entry, s *Stored) { s.Letters[0].Ingest = testIngest(1) }},
		"a click id billed twice":          {Billable, func(_ map[click.ID]*Entry, s *Stored) { s.Clicks[3].State = click.Valid }},
		"a valid click that is not billed": {Billable, func(_ map[click.ID]*Entry, s *Stored) { s.Billed = nil }},
		"the wrong event is billed":        {Billable, func(_ map[click.ID]*Entry, s *Stored) { s.Billed[testID(4)] = testID(42) }},
		"a click that nobody sent":         {Phantom, func(_ map[click.ID]*Entry, s *Stored) { s.Clicks[0].EventID = testID(9) }},
		"a redelivery that nobody sent":    {Phantom, func(_ map[click.ID]*Entry, s *Stored) { s.Redelivered[0].ID = testID(9) }},
		"a letter that nobody sent":        {Phantom, func(_ map[click.ID]*Entry, s *Stored) { s.Letters[0].ID = testID(9) }},
		"a sound item as a letter":         {Phantom, func(_ map[click.ID]*Entry, s *Stored) { s.Letters[0].ID = testID(1) }},
		"a minute count":                   {Counts, func(_ map[click.ID]*Entry, s *Stored) { s.Minutes = []MinuteDifference{{Counted: 1}} }},
		"a position":                       {Position, func(_ map[click.ID]*Entry, s *Stored) { s.Backwards = []string{"clicks.v1-0"} }},
		"records that were not read":       {Position, func(_ map[click.ID]*Entry, s *Stored) { s.Unread = []string{"clicks.v1-0"} }},
		"poison without a row":             {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison = s.Poison[:1] }},
		"poison lost on the way to Kafka":  {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison, s.Venom[0].Records = s.Poison[:1], 0 }},
		"poison of two records, and a row": {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Venom[0].Records = 2 }},
		"poison twice":                     {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison = append(s.Poison, s.Poison[1]) }},
		"poison of another class":          {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison[1].Class = aggregate.ClassCheck }},
		"poison with other bytes":          {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison[1].Value = []byte{0xff, 2} }},
		"poison that nobody sent":          {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Venom = nil }},
		"a refused click is nowhere":       {Lost, func(_ map[click.ID]*Entry, s *Stored) { s.Poison, s.PoisonLetters = s.Poison[1:], nil }},
		"a refused click without a letter": {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.PoisonLetters = nil }},
		"a letter without its poison":      {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.PoisonLetters = append(s.PoisonLetters, testIngest(9)) }},
		"a refused click in part":          {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison[0].Value = s.Poison[0].Value[:9] }},
		"a refused click of another class": {Poisoned, func(_ map[click.ID]*Entry, s *Stored) { s.Poison[0].Class = aggregate.ClassDecode }},
		"a neighbour in the poison":        {Phantom, func(e map[click.ID]*Entry, _ *Stored) { e[testID(6)].Kind = Item }},
		"a refused click as a click": {Twice, func(e map[click.ID]*Entry, s *Stored) {
			e[testID(6)].Sent = 2
			s.Clicks = append(s.Clicks, StoredClick{EventID: testID(6), Ingest: testIngest(9)})
		}},
		"an item from the future, and no letter":        {Lost, func(_ map[click.ID]*Entry, s *Stored) { s.Letters = s.Letters[:1] }},
		"an item that was accepted, and only a letter":  {Lost, func(e map[click.ID]*Entry, _ *Stored) { e[testID(7)].Ahead = 0 }},
		"an item as a letter, by a clock that is right": {Phantom, func(_ map[click.ID]*Entry, s *Stored) { s.Letters[1].Ahead = false }},
		"refusals because of Redis": {Turned, func(_ map[click.ID]*Entry, s *Stored) {
			s.Felt = Felt{Acks: [2]int{1000, 50}, Refused: [2]int{10, 60}}
		}},
		"an hour that does not close": {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Unclosed = 1 }},
		"the books":                   {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Books = "BROKEN" }},
		"too much is unknown":         {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Unknown[0].Sequences = 2 }},
	} {
		entries, stored := sound()
		c.change(entries, stored)
		failures := Check(entries, stored)
		if !slices.ContainsFunc(failures, func(f Failure) bool { return f.Rule == c.rule }) {
			t.Errorf("%s: %+v, want %q", name, failures, c.rule)
		}
	}
}

// TestBlame: a machine that refuses for load does so in either weather, which Redis is
// not blamed for.
func TestBlame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		felt Felt
		want bool
	}{
		"nothing refused":          {Felt{Acks: [2]int{1000, 100}}, false},
		"a few":                    {Felt{Acks: [2]int{1000, 10}, Refused: [2]int{0, leastRefused - 1}}, false},
		"a small part":             {Felt{Acks: [2]int{1000, 500}, Refused: [2]int{0, 100}}, false},
		"as many while it is well": {Felt{Acks: [2]int{1000, 100}, Refused: [2]int{1000, 100}}, false},
		"nearly all":               {Felt{Acks: [2]int{1000, 2}, Refused: [2]int{0, 100}}, true},
	} {
		if got := c.felt.blames(); got != c.want {
			t.Errorf("%s: blamed %v, want %v", name, got, c.want)
		}
	}
}

// TestWeather: answers are told apart by what was wrong when the request left, and
// those during a change belong to neither side.
func TestWeather(t *testing.T) {
	t.Parallel()
	w := &watch{weather: &weather{}}
	well := w.now()
	w.answered(well, time.Millisecond, true)
	w.weather.ill.Store(true)
	w.answered(well, time.Hour, true)
	for range 3 {
		w.answered(w.now(), time.Second, true)
	}
	w.answered(w.now(), time.Second, false)
	w.weather.ill.Store(false)
	w.weather.healing.Add(1)
	w.answered(w.now(), time.Hour, false)
	w.weather.busy.Add(1)
	w.answered(w.now(), time.Hour, true)
	if f := w.felt(); f.Acks != [2]int{1, 3} || f.Refused != [2]int{0, 1} || f.P99Seconds != [2]float64{0.001, 1} || w.beside != 3 {
		t.Errorf("%+v, %d beside", f, w.beside)
	}
	if f := (&watch{}).felt(); f.P99Seconds != [2]float64{} {
		t.Errorf("of nothing: %+v", f)
	}
}
