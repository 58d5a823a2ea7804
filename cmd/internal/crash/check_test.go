package crash

import (
	"slices"
	"testing"

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
	}
	return entries, &Stored{
		Clicks: []StoredClick{
			{EventID: testID(1), State: click.Valid, Ingest: testIngest(1)},
			{EventID: testID(2), State: click.Valid, Ingest: testIngest(2)},
			{EventID: testID(41), ClickID: testID(4), State: click.Valid, Ingest: testIngest(3)},
			{EventID: testID(42), ClickID: testID(4), State: click.Duplicate, Ingest: testIngest(4)},
		},
		Redelivered: []StoredCopy{{testID(2), testIngest(5)}},
		Letters:     []StoredCopy{{testID(3), testIngest(6)}},
		Billed:      map[click.ID]click.ID{testID(4): testID(41)},
		Unknown:     []Unknown{{"crash/a", 1, 1}},
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
			s.Clicks = append(s.Clicks, StoredClick{EventID: testID(43), ClickID: testID(4), Ingest: testIngest(7)})
		}},
		"an own copy as a redelivery": {Doubled, func(_ map[click.ID]*Entry, s *Stored) {
			s.Redelivered = append(s.Redelivered, StoredCopy{testID(1), testIngest(7)})
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
		"poison":                           {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Poison = 1 }},
		"an hour that does not close":      {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Unclosed = 1 }},
		"the books":                        {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Books = "BROKEN" }},
		"too much is unknown":              {Account, func(_ map[click.ID]*Entry, s *Stored) { s.Unknown[0].Sequences = 2 }},
	} {
		entries, stored := sound()
		c.change(entries, stored)
		failures := Check(entries, stored)
		if !slices.ContainsFunc(failures, func(f Failure) bool { return f.Rule == c.rule }) {
			t.Errorf("%s: %+v, want %q", name, failures, c.rule)
		}
	}
}
