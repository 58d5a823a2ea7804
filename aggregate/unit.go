package aggregate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clickgate/gateway/click"
)

// Unit is what closes as one: the clicks of one source whose event time lies in
// one UTC hour.
type Unit struct {
	TenantID string
	SourceID string
	Hour     int64 // Unix microseconds, start of the UTC hour
}

// UnitOf returns the unit that c belongs to.
func UnitOf(c *click.Click) Unit { return Unit{c.TenantID, c.SourceID, hourOf(c.EventTime)} }

// String names the unit in errors and logs.
func (u Unit) String() string {
	return fmt.Sprintf("tenant %q, source %q, hour %s", u.TenantID, u.SourceID, time.UnixMicro(u.Hour).UTC().Format("2006-01-02T15"))
}

// UnitState says how far a unit is. It only rises.
type UnitState uint8

// Unit states.
const (
	UnitOpen   UnitState = iota // clicks come in; every number is provisional
	UnitSealed                  // the second pass runs; clicks that come now are late
	UnitClosed                  // final; what changes later is an adjustment
)

var unitStateNames = [...]string{"open", "sealed", "closed"}

// String returns the lower-case name used in reports.
func (s UnitState) String() string {
	if int(s) < len(unitStateNames) {
		return unitStateNames[s]
	}
	return "unknown"
}

// UnitInfo is a unit as the store knows it.
type UnitInfo struct {
	Unit
	State        UnitState
	FirstSeen    int64 // store clock at its first click, Unix microseconds
	LastReceived int64 // store clock when clicks of it last came; up to UnitSeenStep early
}

// ErrUnitClosed says that the unit is closed already, by another closer for example.
var ErrUnitClosed = errors.New("the unit is closed already")

// UnitSeenStep is how far a unit's LastReceived may lag behind, in microseconds:
// writing it with every batch would make aggregators wait for each other.
const UnitSeenStep = 60 * 1_000_000

// ErrNotLeased says that another closer holds the unit, or took it over since.
var ErrNotLeased = errors.New("the unit is leased by another closer")

// Closing is the closer's side of a store. All methods are safe for concurrent
// use; the lease of a unit keeps two closers from working on one.
type Closing interface {
	// OpenUnits returns the units that are not closed, in order of tenant, hour,
	// source.
	OpenUnits(ctx context.Context) ([]UnitInfo, error)
	// StoredMarks returns the newest mark of every gateway boot and partition.
	StoredMarks(ctx context.Context) ([]StoredMark, error)
	// RetireGateway releases the hours that a gateway holds which will not come
	// back; of several retirements of one gateway the latest stays.
	// RetiredGateways returns them in order of gateway.
	RetireGateway(ctx context.Context, r Retirement) error
	RetiredGateways(ctx context.Context) ([]Retirement, error)
	// Lease gives owner the unit for ttl microseconds of the store's clock and a
	// fence higher than any before, or ErrNotLeased while another owner's lease
	// runs. A unit that no click ever touched is another error.
	Lease(ctx context.Context, u Unit, owner string, ttl int64) (fence int64, err error)
	// Seal moves an open unit to sealed, after every ingest transaction that
	// touched it has ended: a click stored later stands among the late ones. A
	// sealed unit stays sealed and is no error; a closed one is ErrUnitClosed, so
	// that a closer whose plan is old does no second pass for nothing. Only then may
	// its clicks be read: where Seal failed in between, new clicks are late already
	// and the unit still counts as open.
	Seal(ctx context.Context, u Unit, fence int64) error
	// InClosing runs f in one transaction that holds the unit against other
	// closers, checks the fence (ErrNotLeased), commits when f returns nil and
	// rolls back otherwise; serialization failures run f again.
	InClosing(ctx context.Context, u Unit, fence int64, f func(ClosingTx) error) error
	// LateUnits returns the closed units with late clicks that are not settled.
	LateUnits(ctx context.Context) ([]Unit, error)
	// IssueInvoice freezes a tenant's month: no debit may follow, credits may for
	// CreditWindow. A second issue of one month is ErrInvoiceIssued.
	IssueInvoice(ctx context.Context, inv Invoice) error
	// Invoices returns the issued invoices of a tenant, all tenants when empty.
	Invoices(ctx context.Context, tenantID string) ([]Invoice, error)
}

// ErrInvoiceIssued says that the tenant's month was issued before.
var ErrInvoiceIssued = errors.New("the invoice of this month is issued already")

// CreditWindow is how long after an invoice credits are given.
const CreditWindow = 60 * 24 * hourMicros

// Retirement says who declared a gateway gone, and why.
type Retirement struct {
	Gateway string // "region/gateway id", as in its marks
	At      int64  // Unix microseconds
	Who     string
	Why     string
}

// Invoice is a month of a tenant that was billed.
type Invoice struct {
	TenantID string
	Month    int64 // Unix microseconds, first instant of the UTC month
	IssuedAt int64 // Unix microseconds
	IssuedBy string
}

// ClosingTx is one transaction on a sealed or closed unit. Slices returned have
// the length and order of the argument.
type ClosingTx interface {
	// UnitClicks returns the next at most limit clicks of u behind after (zero
	// value: from the start) in order of event time and event id, with what was
	// decided since they were stored. Late clicks are left out unless late is
	// set; then only those late ones that are not settled are returned. Evidence
	// is left empty.
	UnitClicks(ctx context.Context, u Unit, late bool, after ClickPosition, limit int) ([]StoredClick, error)
	// Bill enters clicks as the billable ones of their identity. Where the
	// identity is taken, by a closed unit or an earlier click of this pass, it
	// enters nothing and returns that click. Identity is (tenant, click id); for
	// clicks without one it is the repeat key within less than DoubleClickWindow
	// on either side; of several such the earliest by event time and id is
	// returned. Rows are entered one after the other, so one may meet another of
	// the same call. A click that has its identity already gets it again.
	Bill(ctx context.Context, rows []Billing) ([]Billed, error)
	// Unbill takes clicks out of the billable table, so that their identity is
	// free again; those that are not there are no error.
	Unbill(ctx context.Context, keys []EventKey) error
	// Revise appends revisions of verdicts, each numbered one above the stored
	// ones of its click, in the order given.
	Revise(ctx context.Context, revisions []Revision) error
	// AddMinutes adds signed deltas to the minute counts (Partition is
	// ClosingPartition).
	AddMinutes(ctx context.Context, deltas []MinuteDelta) error
	// Adjust appends adjustments of a closed unit, at most one for a revision of
	// a click.
	Adjust(ctx context.Context, adjustments []Adjustment) error
	// InvoiceOf returns the invoice that covers an hour of the tenant, zero for
	// none. The answer holds until the transaction ends: IssueInvoice waits.
	InvoiceOf(ctx context.Context, tenantID string, hour int64) (Invoice, error)
	// ShownAt returns when the ads of a tenant's opportunities were displayed, Unix
	// microseconds: the earliest impression of each click id, 0 for none.
	ShownAt(ctx context.Context, tenantID string, clickIDs []click.ID) ([]int64, error)
	// SettleLate marks late clicks as worked off; others are no error.
	SettleLate(ctx context.Context, keys []EventKey) error
	// Finish closes the unit: its immutable row and those of its hour. The unit
	// must be sealed.
	Finish(ctx context.Context, c *ClosedUnit, rows []ClosedHour) error
}

// ClosingPartition is the partition of the minute counts that closing and review
// move; no aggregator ever locks its rows.
const ClosingPartition = -1

// ClickPosition is a place in a unit's order.
type ClickPosition struct {
	EventTime int64
	EventID   click.ID
}

// Within returns p, or the place before u's first click when p lies before that.
func (p ClickPosition) Within(u Unit) ClickPosition {
	if p.EventTime >= u.Hour {
		return p
	}
	start := ClickPosition{EventTime: u.Hour - 1}
	for i := range start.EventID {
		start.EventID[i] = 0xff
	}
	return start
}

// StoredClick is a click as it was stored, with its newest revision.
type StoredClick struct {
	ClickRow
	// Revision is the number of the newest revision, 0 for none. Then State and
	// Reasons are those of the stored row.
	Revision int
	State    click.State
	Reasons  click.Reasons
	// Decision is the analyst's newest confirm or release, whatever was noted or
	// closed since; DecisionNone for none.
	Decision Decision
}

// Decision is what an analyst makes of a click. Numbers are stored: append only.
type Decision uint8

// Decisions.
const (
	DecisionNone    Decision = iota
	DecisionConfirm          // invalid traffic
	DecisionRelease          // an ordinary click
	DecisionNote             // nothing changes; a remark
)

var decisionNames = [...]string{"none", "confirm", "release", "note"}

// String returns the lower-case name used in reports and columns.
func (d Decision) String() string {
	if int(d) < len(decisionNames) {
		return decisionNames[d]
	}
	return "unknown"
}

// ParseDecision is the inverse of String.
func ParseDecision(name string) (Decision, bool) {
	for i, n := range decisionNames {
		if n == name {
			return Decision(i), true
		}
	}
	return DecisionNone, false
}

// Billing is a click that wants to be the billable one of its identity.
type Billing struct {
	EventKey
	ClickID   click.ID // zero: RepeatKey is the identity
	RepeatKey int64
	EventTime int64
	SourceID  string
	Hour      int64
}

// Billed is the click that has an identity already; EventID is zero when the
// asking click got it.
type Billed struct {
	EventKey
	EventTime int64
	SourceID  string
	Hour      int64
}

// Cause says what a revision comes from. Numbers are stored: append only.
type Cause uint8

// Causes.
const (
	CauseClose  Cause = iota + 1 // the second pass
	CauseLate                    // the click came after its unit was sealed
	CauseReview                  // an analyst
)

var causeNames = [...]string{"", "close", "late", "review"}

// String returns the lower-case name used in reports and columns.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// Revision is a later word on a click's verdict. The stored click never changes.
type Revision struct {
	EventKey
	Unit     Unit
	Number   int   // set by the store
	At       int64 // Unix microseconds
	From     click.State
	Verdict  click.Verdict // State, Reasons, Score, Vector and the hashes they came from
	Cause    Cause
	Decision Decision // CauseReview only
	Who      string   // user name; "closer" for the second pass
	Why      string
}

// Adjustment is a change of money or counts after a unit closed.
type Adjustment struct {
	EventKey
	Unit     Unit
	Revision int // of the click; set by the store to the newest
	At       int64

	AdvertiserID string
	CampaignID   string
	AdGroupID    string
	PublisherID  string
	Currency     string

	From, To click.State
	Clicks   int64 // change of valid clicks: +1, 0 or -1
	Micros   int64 // change of cost: above 0 a debit, below a credit
	Cause    Cause
	Who      string
	Why      string
	// Waived says why the money is not moved: the invoice is issued (debit), or
	// the credit window is over. Empty: it is moved.
	Waived string
}

// ClosedUnit is the immutable row of a closed unit.
type ClosedUnit struct {
	Unit
	ClosedAt   int64 // Unix microseconds
	Clicks     int64
	Hash       [32]byte // SHA-256 over the canonical rows; see UnitHash
	PolicyHash uint64
	ModelHash  uint64
	Version    string // of clickgate
	// Forced says why the unit closed without everything that it waits for;
	// empty in the ordinary case.
	Forced string
}

// ClosedHour counts one advertiser, campaign, ad group, publisher, currency and
// state of a closed unit. It is immutable.
type ClosedHour struct {
	Unit
	AdvertiserID string
	CampaignID   string
	AdGroupID    string
	PublisherID  string
	Currency     string
	State        click.State
	Count        int64
	Micros       int64 // what the clicks cost, or would if they were valid
}
