package aggregate

import (
	"context"

	"clickgate/gateway/click"
)

// Reports is the reading side of a store, for billing and audit. Every method
// reads one consistent snapshot.
type Reports interface {
	// Billing returns rows in order of tenant, advertiser, campaign, hour,
	// currency: closed units as they were closed, open ones from minute counts.
	Billing(ctx context.Context, q BillingQuery) ([]BillingRow, error)
	// Statement returns what a statement is made of, in one snapshot.
	Statement(ctx context.Context, q BillingQuery) (StatementData, error)
	// Invalid counts the clicks that are not valid, by state and set of reasons, in
	// order of tenant, advertiser, campaign, publisher, currency, state, reasons.
	Invalid(ctx context.Context, q BillingQuery) ([]InvalidRow, error)
	// ClosedUnits returns closed units in order of tenant, hour, source; the
	// query's advertiser and campaign are not looked at.
	ClosedUnits(ctx context.Context, q BillingQuery) ([]ClosedUnit, error)
	// Totals counts events by tenant, source and state, once from rows and once
	// from minute counts.
	Totals(ctx context.Context) ([]Total, error)
	// Ledger returns what Reconcile compares, in one snapshot: every stored mark,
	// the counts that marks carry no more and, cut at the proven sequence of each
	// gateway boot, the stored rows; the totals; and what closed units lack of
	// their minute counts. The query cuts Counts and Rows, and is kept.
	Ledger(ctx context.Context, q LedgerQuery) (Ledger, error)
	// Trace returns all that is stored of one event; tenant may be empty to look
	// through all tenants. It returns an empty result for an unknown id.
	Trace(ctx context.Context, tenantID string, id click.ID) ([]TraceRow, error)
}

// BillingQuery selects hours; empty strings mean all.
type BillingQuery struct {
	TenantID     string
	AdvertiserID string
	CampaignID   string
	From, To     int64 // Unix microseconds, [From, To); 0 means open
}

// BillingRow counts one advertiser, campaign and hour in one currency. Clicks
// without a price stand in a row with an empty currency and cost nothing.
type BillingRow struct {
	TenantID     string
	AdvertiserID string
	CampaignID   string
	Hour         int64 // Unix microseconds, UTC hour of event_time
	Currency     string
	Counts       [click.NumStates]int64
	CostMicros   int64 // of valid clicks
	SavedMicros  int64 // of the others
	Provisional  bool  // part of it is of a unit that is not closed
	OpenClicks   int64 // that part's valid clicks, and what they cost
	OpenMicros   int64
}

// StatementData is what a statement is made of: the hours, what changed in them
// after they closed, and the invoices that were issued for them.
type StatementData struct {
	Rows        []BillingRow
	Adjustments []Adjustment // in order of At, tenant, event id, revision
	Invoices    []Invoice
	OpenUnits   int64 // units of these hours that are not closed, of every campaign
}

// InvalidRow counts clicks of one state and set of reasons.
type InvalidRow struct {
	TenantID     string
	AdvertiserID string
	CampaignID   string
	PublisherID  string
	Currency     string
	State        click.State
	Reasons      click.Reasons
	Count        int64
	Micros       int64 // what they would cost if they were valid
}

// Total counts one tenant, source and state.
type Total struct {
	TenantID string
	SourceID string
	State    click.State
	Rows     int64 // click, redelivery and dead-letter rows
	Minutes  int64 // sum of minute counts
}

// LedgerQuery selects receipt hours; the zero value selects all.
type LedgerQuery struct {
	TenantID string
	From, To int64 // Unix microseconds, [From, To); 0 means open
}

// has reports whether the query selects a tenant's receipt hour, Unix
// microseconds. An hour is whole or out: a bound inside it leaves it out as From
// and in as To, like the stores' rows.
func (q *LedgerQuery) has(tenant string, hour int64) bool {
	return q.of(tenant) &&
		(q.From == 0 || hour >= q.From) && (q.To == 0 || hour < q.To)
}

func (q *LedgerQuery) of(tenant string) bool { return q.TenantID == "" || q.TenantID == tenant }

// Ledger is one snapshot of marks and rows.
type Ledger struct {
	Query  LedgerQuery // what was asked; Reconcile cuts the marks' counts by it
	Marks  []StoredMark
	Counts []BootCount
	Rows   []RowCount
	Boots  []BootRows
	Totals []Total
	Closed []ClosedDifference
}

// ClosedDifference is a closed unit in which the hour as it was closed and its
// adjustments, moved or waived, are not the minute counts of now.
type ClosedDifference struct {
	Unit
	CampaignID string
	Currency   string
	Clicks     int64 // valid clicks: closed plus adjustments minus minute counts
	Micros     int64
}

// BootCount is what a gateway boot counted in one receipt hour, as the highest of
// its stored marks said when the hour was already over (see OldCounts).
type BootCount struct {
	Gateway string
	Boot    uint64
	click.SourceCount
}

// StoredMark is the newest mark of a gateway boot in one partition.
type StoredMark struct {
	Partition Partition
	Mark      click.Mark
}

// RowCount counts the stored events of one tenant, source, receipt hour, gateway
// boot and state; Proven of them have a sequence up to the boot's proven one.
type RowCount struct {
	TenantID string
	SourceID string
	Hour     int64 // receipt hour, Unix microseconds
	Gateway  string
	Boot     uint64
	State    click.State
	Proven   int64
	Tail     int64 // sequence above the proven one
}

// BootRows counts all stored events of a gateway boot, over all hours.
type BootRows struct {
	Gateway string
	Boot    uint64
	Proven  int64 // rows with a sequence up to the proven one
	Tail    int64
	MaxSeq  uint64
}

// TraceRow is one stored copy of an event: a click, a redelivery or a dead letter.
type TraceRow struct {
	What       string // "click", "redelivery" or "dead letter"
	Click      *click.Click
	DeadLetter *click.DeadLetter
	Redelivery *RedeliveryRow
	// Revisions are the later words on a click's verdict, oldest first, and
	// Adjustments what they changed in a closed hour.
	Revisions   []Revision
	Adjustments []Adjustment
	Partition   int32
	Offset      int64 // -1 where not kept
	IngestedAt  int64 // Unix microseconds, store clock
}

// Store is everything a process needs of a store.
type Store interface {
	Ingest
	Closing
	Reports
	Review
	Recent
	Users
	Incidents
	DeadLetters
	Feeds
	Models
	// Migrate brings the schema to this version; it is safe to run concurrently.
	Migrate(ctx context.Context) error
	// CheckSchema returns a SchemaError when the schema is not this version's.
	CheckSchema(ctx context.Context) error
	// Ping reports whether the store answers.
	Ping(ctx context.Context) error
	Close() error
}
