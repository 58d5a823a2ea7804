package aggregate

import (
	"encoding/binary"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

var testTime = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC).UnixMicro()

const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
)

// eventID is a UUIDv7 of time t, told apart by n.
func eventID(t int64, n uint64) (id click.ID) {
	binary.BigEndian.PutUint64(id[:8], uint64(t/1000)<<16|7<<12)
	binary.BigEndian.PutUint64(id[8:], 1<<63|n)
	return id
}

// newClick is a valid click of time t, told apart by n, without a token.
func newClick(n uint64, t int64, change ...func(*click.Click)) *click.Click {
	id := eventID(t, n)
	c := &click.Click{
		TenantID: "acme", SourceID: "shop", EventID: id, IDTime: id.Time(), EventTime: t, ReceivedAt: t + second,
		Entry: click.EntryBatch, CampaignID: "camp", PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC,
		IPKey:   click.Key{8: byte(n >> 8), 9: byte(n), 15: 1}, // another person for every n
		Verdict: click.Verdict{State: click.Valid},
		Ingest:  click.IngestID{Gateway: "eu/g1", Boot: 7, Seq: n + 1},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func newRow(n uint64, t int64, change ...func(*click.Click)) ClickRow {
	row := ClickRow{Click: newClick(n, t, change...)}
	if row.ClickID.IsZero() {
		row.RepeatKey = RepeatKey(row.Click)
	}
	return row
}

func newLetter(n uint64, t int64) *click.DeadLetter {
	return &click.DeadLetter{
		TenantID: "acme", SourceID: "shop", Entry: click.EntryLog, ReceivedAt: t, Code: "bad_time", Field: "event_time",
		Message: "event_time is 4 days old", Raw: []byte{1, 2}, LetterID: eventID(t, n),
		Ingest: click.IngestID{Gateway: "eu/g1", Boot: 7, Seq: n + 1},
	}
}

// newMark counts nothing and stands in one partition of each topic.
func newMark(number, through uint64) click.Mark {
	return click.Mark{
		Gateway: "eu/g1", Boot: 7, Number: number, ThroughSeq: through, At: testTime,
		ClickPartitions: 1, DeadLetterPartitions: 1,
	}
}

func clicksPartition(n int32) Partition {
	return Partition{ClusterID: "c", TopicID: [16]byte{1}, Topic: stream.ClicksTopic, Number: n}
}

func lettersPartition(n int32) Partition {
	return Partition{ClusterID: "c", TopicID: [16]byte{2}, Topic: stream.DeadLettersTopic, Number: n}
}
