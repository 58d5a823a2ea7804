// Package aggregate turns the Kafka topics into rows: one database transaction
// per partition batch holds the position, the clicks, the minute counts, the
// redeliveries, the dead letters and the gateways' marks, so that each event
// counts exactly once whatever dies when.
//
// The interfaces here are what the package needs of a store. Two stores
// implement them, aggregate/sqlite and timescale; package storetest holds both
// to the same behaviour.
package aggregate

import (
	"context"
	"errors"
	"fmt"

	"clickgate/gateway/click"
)

// Partition names one partition of one incarnation of a topic. A topic that was
// deleted and made again has a new id, so its offsets never meet the old ones.
type Partition struct {
	ClusterID string
	TopicID   [16]byte
	Topic     string
	Number    int32
}

// String names the partition as Kafka tools do.
func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Number) }

// Claim is the right to write one partition. The store issues Fence; a later
// claim of the same partition makes every earlier fence worthless.
type Claim struct {
	Fence int64
	Next  int64 // offset of the first record not yet applied
}

// Errors of Tx.Advance and Apply.
var (
	// ErrFenced says that another aggregator owns the partition now: drop the
	// batch and stop working on the partition.
	ErrFenced = errors.New("partition is owned by another aggregator")
	// ErrApplied says that this very batch was committed before: go on behind it.
	ErrApplied = errors.New("batch is already applied")
	// ErrGap says that records between the stored position and the batch are
	// missing, by retention or truncation. Never skip it: stop and page.
	ErrGap = errors.New("records are missing between the stored position and the batch")
)

// Ingest is the writing side of a store. All methods are safe for concurrent use
// on different partitions.
type Ingest interface {
	// Claim takes a partition for owner, creating its position at offset 0, and
	// returns a fence higher than any before.
	Claim(ctx context.Context, p Partition, owner string) (Claim, error)
	// InTx runs f in one transaction, commits when f returns nil and rolls back
	// otherwise. A serialization failure or deadlock (SQLSTATE 40001, 40P01,
	// SQLITE_BUSY) is retried by running f again, so f must not keep state
	// between runs. A row that the store refuses for its values, whatever is tried,
	// fails with a RejectedError.
	InTx(ctx context.Context, f func(Tx) error) error
	// StoredThrough returns the next offset of every claimed partition of a
	// topic id, by partition number.
	StoredThrough(ctx context.Context, clusterID string, topicID [16]byte) (map[int32]int64, error)
}

// Tx is one open transaction. Slices returned have the length and order of the
// argument.
type Tx interface {
	// Advance moves the position from first to next under the fence:
	// compare-and-swap, so that a zombie writes nothing. It returns ErrFenced,
	// ErrApplied or ErrGap (see reliability of Advance in DESIGN.md).
	Advance(ctx context.Context, p Partition, fence, first, next int64) error
	// InsertClicks inserts rows in key order and reports which were new. Rows
	// whose key (tenant_id, event_id, id_time) exists are left alone.
	InsertClicks(ctx context.Context, rows []ClickRow) (inserted []bool, err error)
	// StoredIngest returns the ingest ids of stored clicks.
	StoredIngest(ctx context.Context, keys []EventKey) ([]click.IngestID, error)
	// BillableBefore finds, for each probe, the stored valid click that it would
	// repeat; zero Match means none. It takes no locks and sees nothing of the
	// clicks inserted by this transaction (it is called before InsertClicks).
	BillableBefore(ctx context.Context, probes []Probe) ([]Match, error)
	// MarkDuplicates sets state duplicate and the reasons on clicks that this
	// transaction inserted.
	MarkDuplicates(ctx context.Context, dups []DuplicateOf) error
	// InsertRedeliveries and InsertDeadLetters are unique on (tenant_id,
	// ingest id) and report which rows were new.
	InsertRedeliveries(ctx context.Context, rows []RedeliveryRow) (inserted []bool, err error)
	InsertDeadLetters(ctx context.Context, rows []DeadLetterRow) (inserted []bool, err error)
	// InsertPoison keeps records that could not become events, unique on partition
	// and offset.
	InsertPoison(ctx context.Context, rows []PoisonRow) error
	// Attempt runs f so that its failure undoes what f did and nothing else: the
	// transaction goes on. It returns f's error, as a RejectedError where the store
	// refused a row, or says that the undoing itself failed. Attempts may be nested.
	Attempt(ctx context.Context, f func() error) error
	// AddMinutes adds deltas to the minute counts.
	AddMinutes(ctx context.Context, deltas []MinuteDelta) error
	// TouchUnits registers units that are new, holds all of them open against
	// Seal until the transaction ends, and reports which are sealed or closed.
	// Units come in key order.
	TouchUnits(ctx context.Context, units []Unit) (sealed []bool, err error)
	// InsertLate keeps the keys of clicks that this transaction inserted although
	// their unit is sealed or closed.
	InsertLate(ctx context.Context, keys []EventKey, units []Unit) error
	// InsertImpressions and InsertConversions keep what the feeds tell, one row for each
	// tenant and click id, and for each tenant and key of a conversion: the first stays.
	// Rows have different keys and come in their order; those that were new are counted.
	// All copies of one stand in one partition, whose owner is fenced, so no two
	// transactions insert one impression at once.
	InsertImpressions(ctx context.Context, rows []click.Impression) (inserted int, err error)
	InsertConversions(ctx context.Context, rows []click.Conversion) (inserted int, err error)
	// PutMarks keeps, per gateway boot and partition, the mark with the highest
	// number, and of all marks the greatest OldCounts.
	PutMarks(ctx context.Context, p Partition, marks []click.Mark) error
}

// EventKey is the unique key of a click row.
type EventKey struct {
	TenantID string
	EventID  click.ID
	IDTime   int64 // Unix microseconds
}

// KeyOf returns the unique key of c.
func KeyOf(c *click.Click) EventKey { return EventKey{c.TenantID, c.EventID, c.IDTime} }

// ClickRow is a click with where it came from. Partition and Offset are for
// tracing only.
type ClickRow struct {
	*click.Click
	RepeatKey int64 // double-click key; 0 when ClickID is set
	Partition int32
	Offset    int64
}

// Probe asks for an earlier billable click: by ClickID when it is set, else by
// RepeatKey with an event time less than DoubleClickWindow away.
type Probe struct {
	TenantID  string
	ClickID   click.ID
	RepeatKey int64
	EventTime int64 // Unix microseconds
}

// Match is the valid click a probe would repeat; EventID is zero for none.
// Where several match, it is the earliest by (EventTime, EventID).
type Match struct {
	EventID   click.ID
	EventTime int64
}

// DuplicateOf changes an inserted click to duplicate.
type DuplicateOf struct {
	EventKey
	Reasons click.Reasons
}

// RedeliveryRow is one more copy of a stored event, by another ingest.
type RedeliveryRow struct {
	EventKey
	SourceID   string
	CampaignID string
	Entry      click.Entry
	ReceivedAt int64 // Unix microseconds
	Ingest     click.IngestID

	// Not stored: the campaign's other keys, so that its redeliveries are counted
	// beside its clicks.
	AdvertiserID string
	AdGroupID    string
	PublisherID  string
	Currency     string
}

// DeadLetterRow is a malformed event of a known tenant.
type DeadLetterRow struct {
	*click.DeadLetter
	Partition int32
	Offset    int64
}

// PoisonRow is a record that could not become an event, kept byte for byte.
type PoisonRow struct {
	Partition Partition
	Offset    int64
	Class     string // what kind of failure: ClassDecode, ClassCheck or the store's own code
	Reason    string
	Origin    Origin // the zero Origin where the record does not tell
	Key       []byte // nil stays nil
	Value     []byte // nil (a tombstone) stays nil
	Kind      string // value of the kind header, or empty
}

// MinuteKey is the key of a minute count. The Kafka partition is part of it, so
// that two aggregators never lock the same row.
type MinuteKey struct {
	TenantID     string
	SourceID     string
	Minute       int64 // event minute; receipt minute for redelivered and malformed
	AdvertiserID string
	CampaignID   string
	AdGroupID    string
	PublisherID  string
	Currency     string // empty: nothing says what the click costs
	State        click.State
	Partition    int32
}

// MinuteDelta adds to a minute count. Micros is what the clicks would cost if
// they were valid: cost in state valid, money kept from fraud elsewhere.
type MinuteDelta struct {
	MinuteKey
	Count  int64
	Micros int64
}
