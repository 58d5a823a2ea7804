package storetest

import (
	"encoding/binary"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

// Base is the time around which all events lie: two minutes before an hour and a
// day end, so that hours, days and chunks change in the middle. Stores with a
// clock of their own must run at it.
var Base = time.Date(2026, 11, 20, 23, 58, 0, 0, time.UTC)

const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

var base = Base.UnixMicro()

const (
	testGateway = "eu/g1"
	testBoot    = uint64(1_700_000_000_000_000)
)

// partition is a partition of the clicks topic.
func partition(n int32) aggregate.Partition {
	return aggregate.Partition{ClusterID: "cluster", TopicID: [16]byte{1, 2, 3}, Topic: stream.ClicksTopic, Number: n}
}

func letterPartition(n int32) aggregate.Partition {
	return aggregate.Partition{ClusterID: "cluster", TopicID: [16]byte{9, 8, 7}, Topic: stream.DeadLettersTopic, Number: n}
}

// eventID is a UUIDv7 of time t, told apart by n.
func eventID(t int64, n uint64) (id click.ID) {
	binary.BigEndian.PutUint64(id[:8], uint64(t/1000)<<16|7<<12|n>>50&0xfff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|n&(1<<62-1))
	return id
}

// newRow is a valid, priced click of time t, told apart by n, without a token;
// change turns it into what a case needs. The double-click key is worked out last.
func newRow(n uint64, t int64, change ...func(*click.Click)) aggregate.ClickRow {
	id := eventID(t, n)
	c := &click.Click{
		TenantID: "acme", SourceID: "shop", EventID: id, IDTime: id.Time(), EventTime: t, ReceivedAt: t + second,
		Entry: click.EntryBatch, AdvertiserID: "adv", CampaignID: "camp", AdGroupID: "group", CreativeID: "creative",
		PublisherID: "pub", PlacementID: "place", LandingHost: "example.com", RefererHost: "news.example", Country: "ES",
		PriceMicros: 1_250_000, Currency: "EUR", Pricing: click.PricingCPC, RateCard: "v1",
		KeyEpoch: 3, IPPrefix: "192.0.2.0/24", ASN: 64500, AgentFamily: "Firefox", Evidence: []byte{1, 2, 3},
		Verdict: click.Verdict{State: click.Valid, Score: 0.25, ListsHash: 1, PolicyHash: 2},
		Ingest:  click.IngestID{Gateway: testGateway, Boot: testBoot, Seq: n},
	}
	binary.BigEndian.PutUint64(c.IPKey[:], n) // another person for every n
	for _, f := range change {
		f(c)
	}
	row := aggregate.ClickRow{Click: c}
	if c.ClickID.IsZero() {
		row.RepeatKey = aggregate.RepeatKey(c)
	}
	return row
}

// again is one more copy of row, by another ingest.
func again(row aggregate.ClickRow, seq uint64) aggregate.ClickRow {
	c := *row.Click
	c.Ingest.Seq, c.ReceivedAt = seq, c.ReceivedAt+second
	row.Click = &c
	return row
}

func state(s click.State) func(*click.Click) { return func(c *click.Click) { c.Verdict.State = s } }

func token(n byte) func(*click.Click) {
	return func(c *click.Click) { c.ClickID = click.ID{15: n, 0: 0xee} }
}

func person(n byte) func(*click.Click) {
	return func(c *click.Click) { c.IPKey = click.Key{0: n} }
}

func tenant(id string) func(*click.Click) { return func(c *click.Click) { c.TenantID = id } }

// newLetter is a dead letter received at t.
func newLetter(n uint64, t int64) aggregate.DeadLetterRow {
	return aggregate.DeadLetterRow{DeadLetter: &click.DeadLetter{
		TenantID: "acme", SourceID: "shop", Entry: click.EntryLog, ReceivedAt: t, Code: "bad_time",
		Field: "event_time", Message: "event_time is 4 days old", Raw: []byte{0, 255, byte(n)},
		LetterID: eventID(t, n), Ingest: click.IngestID{Gateway: testGateway, Boot: testBoot, Seq: n},
	}, Offset: int64(n)}
}

// newMark says that everything up to through stands before it.
func newMark(number, through uint64) click.Mark {
	return click.Mark{
		Gateway: testGateway, Boot: testBoot, Number: number, ThroughSeq: through, At: base,
		Counts:          []click.SourceCount{{TenantID: "acme", SourceID: "shop", Hour: base - base%hour, Received: through}},
		ClickPartitions: 2, DeadLetterPartitions: 1,
	}
}
