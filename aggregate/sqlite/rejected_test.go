package sqlite

import (
	"errors"
	"fmt"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// TestFullDisk: a disk that is full makes no record poison; the batch goes in when
// there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := openCopy(t)
	p := aggregate.Partition{ClusterID: "c", TopicID: [16]byte{1}, Topic: stream.ClicksTopic}
	claim, err := s.Claim(t.Context(), p, "test")
	if err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for i := range uint64(2_000) {
		c := click.Click{
			TenantID: "acme", SourceID: "shop", EventID: click.ID{15: byte(i), 14: byte(i >> 8), 0: 1}, IDTime: 1e15, EventTime: 1e15, ReceivedAt: 1e15,
			IPKey: click.Key{byte(i), byte(i >> 8)}, Verdict: click.Verdict{State: click.Valid}, Ingest: click.IngestID{Gateway: "g", Boot: 1, Seq: i + 1},
		}
		r := stream.NewRecord(stream.KindClick, c.TenantID, nil, click.AppendIngest(click.AppendClick(nil, &c), &c.Ingest), 1)
		r.Offset = int64(i)
		records = append(records, r)
	}
	var pages int64
	if err := s.DB().QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if err := execute(s, fmt.Sprint("PRAGMA max_page_count = ", pages+20)); err != nil {
		t.Fatal(err)
	}
	_, err = aggregate.Apply(t.Context(), s, aggregate.DecodeBatch(p, claim, records))
	var e *driver.Error
	var refused *aggregate.RejectedError
	if !errors.As(err, &e) || e.Code() != lib.SQLITE_FULL || errors.As(err, &refused) {
		t.Fatalf("a batch on a full disk: %v", err)
	}
	count := func() (poison, clicks int64) {
		t.Helper()
		err := s.DB().QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM poison_records), (SELECT count(*) FROM clicks)").Scan(&poison, &clicks)
		if err != nil {
			t.Fatal(err)
		}
		return poison, clicks
	}
	if before, clicks := count(); before != 0 || clicks != 0 {
		t.Errorf("%d poison records and %d clicks of a batch that found no room", before, clicks)
	}
	if err := execute(s, "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if res, err := aggregate.Apply(t.Context(), s, aggregate.DecodeBatch(p, claim, records)); err != nil || res.ByState[click.Valid] != 2_000 {
		t.Errorf("with room again: %+v, %v", res, err)
	}
	if poison, clicks := count(); poison != 0 || clicks != 2_000 {
		t.Errorf("%d poison records, %d clicks", poison, clicks)
	}
}
