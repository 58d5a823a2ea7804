package aggregate

import (
	"context"
	"errors"
	"time"

	"clickgate/gateway/click"
)

// ErrNotLeader is returned by writing methods of Incidents when another alerts
// process has taken the lease since: stop acting, and ask for the lease again.
var ErrNotLeader = errors.New("another alerts process has the lease")

// ErrLeased is returned by LeaseAlerts while somebody else's lease is in force.
var ErrLeased = errors.New("the alerts lease is held by another process")

// Incidents is what package alerts needs of a store: counts to look at, incidents
// and the pages about them, and a lease so that of several processes one acts.
// Every method is safe for concurrent use. Times are Unix microseconds.
//
// Writing methods take the fence of a lease and change nothing, returning
// ErrNotLeader, when a later lease was given out. A fence that is still the newest
// writes although its lease has run out: nobody else acted meanwhile.
type Incidents interface {
	// MinuteCounts returns the counts of [from, to) by minute, in the order of the
	// fields of MinuteCount. It reads these minutes alone.
	MinuteCounts(ctx context.Context, from, to int64) ([]MinuteCount, error)
	// HourCounts is MinuteCounts added up by hour; Minute is the hour's first.
	HourCounts(ctx context.Context, from, to int64) ([]MinuteCount, error)

	// LeaseAlerts takes the lease for owner until now + ttl, with a fence above all
	// before. It returns ErrLeased while the lease of another owner is in force.
	LeaseAlerts(ctx context.Context, owner string, now time.Time, ttl time.Duration) (AlertsLease, error)
	// RenewAlerts extends a lease until the given time; one in the past gives it up.
	RenewAlerts(ctx context.Context, fence int64, until time.Time) error

	// PutIncidents writes incidents with their pages, and how far minutes are
	// judged, in one transaction.
	PutIncidents(ctx context.Context, fence, judged int64, puts []IncidentPut) error
	// ListIncidents returns incidents, newest first.
	ListIncidents(ctx context.Context, q IncidentQuery) ([]Incident, error)
	// GetIncident returns one incident; found is false for an unknown id.
	GetIncident(ctx context.Context, id string) (i Incident, found bool, err error)

	// PendingPages returns the pages that are neither sent nor given up, in the
	// order in which they were written.
	PendingPages(ctx context.Context) ([]Page, error)
	// AttemptPage notes, before the call, that a page is about to be sent: after a
	// crash it may have arrived.
	AttemptPage(ctx context.Context, fence, seq int64, now time.Time) error
	// PageCalls returns how many calls the attempts of (from, to] were, among the
	// newest PagesCounted pages. A page keeps its last attempt alone; one that was
	// tried before may count up to MaxPageCalls times, so the number is never too low
	// for senders that wait between attempts.
	PageCalls(ctx context.Context, from, to int64) (int64, error)
	// SettlePages ends pending pages.
	SettlePages(ctx context.Context, fence int64, now time.Time, ends []PageEnd) error
	// RefusedPages returns the newest pages that PagerDuty refused for good.
	RefusedPages(ctx context.Context, limit int) ([]Page, error)
	// IncidentPages returns the newest pages about one incident, newest first, with
	// what became of them; limit is at least 1.
	IncidentPages(ctx context.Context, incidentID string, limit int) ([]PageRecord, error)
}

// MinuteCount counts the events of one minute that share tenant, source, campaign,
// publisher and currency. The minute is that of the event; redelivered and
// malformed events count in the minute of their receipt.
type MinuteCount struct {
	TenantID    string
	SourceID    string
	CampaignID  string
	PublisherID string
	Currency    string
	Minute      int64 // Unix microseconds
	Counts      [click.NumStates]int64
	Micros      int64 // what all of them would cost if they were valid
}

// AlertsLease is the right to act on incidents.
type AlertsLease struct {
	Fence  int64
	Judged int64 // the last minute that was judged by anybody; 0 for none
}

// Severity orders incidents by what is at risk. The numbers are stored.
type Severity uint8

// Severities, as PagerDuty names them.
const (
	SeverityInfo Severity = 1 + iota
	SeverityWarning
	SeverityError
	SeverityCritical
)

// String returns PagerDuty's name.
func (s Severity) String() string {
	switch s {
	case SeverityInfo:
		return "info"
	case SeverityWarning:
		return "warning"
	case SeverityError:
		return "error"
	case SeverityCritical:
		return "critical"
	}
	return "unknown"
}

// Incident is one attack or fault: the strange series that belong together.
type Incident struct {
	ID         string           `json:"id"` // a hash: no names, no severity, the same for good
	TenantID   string           `json:"tenant"`
	Title      string           `json:"title"`
	Severity   Severity         `json:"severity"`    // never falls
	OpenedAt   int64            `json:"opened_at"`   // the first strange minute
	UpdatedAt  int64            `json:"updated_at"`  // the last minute that was judged
	ResolvedAt int64            `json:"resolved_at"` // 0 while it is open
	QuietSince int64            `json:"quiet_since"` // since when every series is calm; 0 while one is not
	ToldAt     int64            `json:"told_at"`     // the minute of the newest page
	Reopened   int              `json:"reopened"`    // how often it came back soon after its end
	Series     []IncidentSeries `json:"series"`      // in the order of their joining
	Money      map[string]int64 `json:"money"`       // micros at risk by currency
}

// Open reports whether the incident is not resolved.
func (i *Incident) Open() bool { return i.ResolvedAt == 0 }

// IncidentSeries is one strange series of an incident, with the evidence.
type IncidentSeries struct {
	Dimension string  `json:"dimension"` // "source", "campaign" or "publisher"
	Key       string  `json:"key"`       // its id; empty for events that name none
	Kind      string  `json:"kind"`      // "volume", "invalid_share" or "repeated_share"
	From      int64   `json:"from"`      // first strange minute
	To        int64   `json:"to"`        // 0 while it is strange
	Peak      float64 `json:"peak"`      // the score farthest from 0
	PeakAt    int64   `json:"peak_at"`
	Observed  float64 `json:"observed"` // at the peak: events a minute, or a share from 0 to 1
	Expected  float64 `json:"expected"` // at the peak
	Events    int64   `json:"events"`   // in its strange minutes
	Excess    int64   `json:"excess"`   // how many of them are beyond what was expected
}

// IncidentQuery selects incidents; the zero value selects all.
type IncidentQuery struct {
	TenantID string // empty for all
	OpenOnly bool
	Since    int64 // open ones, and those resolved at or after; 0 for all
	Limit    int   // 0 for all
}

// PageAction says what a page is to do. The numbers are stored.
type PageAction uint8

// Actions.
const (
	PageTrigger PageAction = 1
	PageResolve PageAction = 2
)

// Bounds of Incidents.PageCalls.
const (
	PagesCounted = 10_000
	MaxPageCalls = 5
)

// IncidentPut is an incident's new state, and what to tell about it, if anything.
type IncidentPut struct {
	Incident
	Page *NewPage
}

// NewPage is a page to be written with its incident.
type NewPage struct {
	Action  PageAction
	Payload []byte // JSON, without any key
}

// Page is a row of the outbox.
type Page struct {
	Seq        int64
	IncidentID string
	Action     PageAction
	Payload    []byte
	Attempts   int64
	Error      string // why it was refused

	// Delivered is the last action about this incident that PagerDuty took for
	// certain; 0 for none. Maybe says that a trigger after that was attempted and
	// nobody knows whether it arrived.
	Delivered PageAction
	Maybe     bool
}

// PageOutcome ends a page. The numbers are stored.
type PageOutcome uint8

// Outcomes; 0 is pending.
const (
	PageSent      PageOutcome = 1
	PageCollapsed PageOutcome = 2 // a newer page says all, or there is nothing to tell any more
	PageRefused   PageOutcome = 3 // PagerDuty does not want it, and trying again is of no use
)

// PageEnd is the outcome of one page.
type PageEnd struct {
	Seq     int64
	Outcome PageOutcome
	Error   string
}

// PageRecord is what became of a page.
type PageRecord struct {
	Seq         int64
	Action      PageAction
	Attempts    int64
	AttemptedAt int64       // of the last attempt; 0 before the first
	Outcome     PageOutcome // 0 while it is pending
	EndedAt     int64       // 0 while it is pending
	Error       string      // why it was refused
}
