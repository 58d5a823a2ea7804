package control

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"clickgate/gateway/seal"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrChanged says that somebody else wrote since the caller read.
var ErrChanged = errors.New("the control entries changed meanwhile; run diff again")

// Publisher writes control entries. Writers exclude each other by one
// transactional id, clickgate- and the topic's name: who begins later fences who began earlier, reads the topic to
// its end and only then writes, so that no version is ever written twice.
type Publisher struct {
	Topic   string
	Options []kgo.Opt // brokers and client id
	Sealer  Sealer
	Ring    *seal.Ring
	Now     func() time.Time
}

// writeTimeout bounds how long a writer that died holds up first readings.
const writeTimeout = 10 * time.Second

// Meta says who changes what for which reason.
type Meta struct {
	Who, Why   string
	ActivateAt time.Time // zero for at once
	// Overtake lets the change take force before versions that are planned, which
	// then never do.
	Overtake bool
}

func (m *Meta) check() error {
	switch {
	case m.Who == "":
		return errors.New("who: is empty; every change names its author")
	case strings.TrimSpace(m.Why) == "":
		return errors.New("why: is empty; say in a few words what the change is for, as --why 'ticket 123'")
	}
	return nil
}

// State is what the topic held at one moment.
type State struct {
	Bad  []error // records that no entry can be read from
	book *book
	// blocked tenants have a version above all readable ones.
	blocked map[string]error
}

// Version names the state: 16 hex digits.
func (s *State) Version() string {
	sum := sumOf(s.book.newest())
	return hex.EncodeToString(sum[:8])
}

// File returns the newest version of every tenant, planned ones included.
func (s *State) File() *File { return fileOf(s.book.newest()) }

// History returns the versions of a tenant, or of all for "", oldest first.
func (s *State) History(tenant string) (all []*Entry) {
	for id, pages := range s.book.tenants {
		if tenant == "" || tenant == id {
			for _, p := range pages {
				all = append(all, p.Entry)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *Entry) int {
		if c := a.WrittenAt.Compare(b.WrittenAt); c != 0 {
			return c
		}
		return strings.Compare(a.historyKey(), b.historyKey())
	})
	return all
}

// Read returns the topic's present state.
func (p *Publisher) Read(ctx context.Context) (*State, error) {
	feed, err := NewKafkaFeed(p.Topic, p.Options...)
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	records, err := feed.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", p.Topic, err)
	}
	return newState(records, p.Ring), nil
}

func newState(records []Record, ring *seal.Ring) *State {
	s := &State{book: newBook(ring), blocked: map[string]error{}}
	bad := map[string]error{}
	for _, r := range records {
		if err := s.book.add(r); err != nil {
			s.Bad = append(s.Bad, err)
			bad[string(r.Key)] = err
		}
	}
	for key, err := range bad {
		at := strings.LastIndexByte(key, '#')
		if at < 0 {
			continue // the next version replaces it
		}
		version, numErr := strconv.ParseUint(key[at+1:], 10, 64)
		pages := s.book.tenants[key[:at]]
		if numErr == nil && (len(pages) == 0 || version > pages[len(pages)-1].Version) {
			s.blocked[key[:at]] = err
		}
	}
	return s
}

// Publish writes the next version of every changed tenant, all or none. base is
// the state that the changes were made from; ErrChanged when one of their tenants
// has a newer version by now.
func (p *Publisher) Publish(ctx context.Context, base *State, changes []Change, m Meta) ([]*Entry, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(p.Options[:len(p.Options):len(p.Options)],
		kgo.TransactionalID("clickgate-"+p.Topic), kgo.TransactionTimeout(writeTimeout), kgo.DefaultProduceTopic(p.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()))...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	if _, _, err := client.ProducerID(ctx); err != nil { // from here on, earlier writers fail
		return nil, fmt.Errorf("topic %s: %w", p.Topic, err)
	}
	state, err := p.Read(ctx)
	if err != nil {
		return nil, err
	}
	pages, err := state.extend(base, changes, m, p.Sealer, p.Now())
	if err != nil {
		return nil, err
	}
	if err := commit(ctx, client, recordsOf(pages, state)); err != nil {
		return nil, fmt.Errorf("topic %s: %w; `clickgate control history` tells what was written", p.Topic, err)
	}
	entries := make([]*Entry, len(pages))
	for i := range pages {
		entries[i] = pages[i].Entry
	}
	return entries, nil
}

// extend makes the next versions and proves that gateways will take them, now and
// at every planned time.
func (s *State) extend(base *State, changes []Change, m Meta, sealer Sealer, now time.Time) ([]*page, error) {
	if m.ActivateAt.IsZero() {
		m.ActivateAt = now
	}
	next := s.book.clone()
	next.activate(now)
	var pages []*page
	for i := range changes {
		c := &changes[i]
		if err := s.blocked[c.Tenant]; err != nil {
			return nil, fmt.Errorf("tenant %s has a version that cannot be read here: %w", c.Tenant, err)
		}
		last, known := s.last(c.Tenant), base.last(c.Tenant)
		if last.Hash != known.Hash {
			return nil, fmt.Errorf("tenant %s: %w", c.Tenant, ErrChanged)
		}
		if last.ActivatesAt.After(m.ActivateAt) && !m.Overtake {
			return nil, fmt.Errorf("tenant %s: version %d is planned for %s, and a change before would bring it forward; "+
				"activate at that time or later, or overtake it with `clickgate control apply FILE --overtake`",
				c.Tenant, last.Version, last.ActivatesAt.Format(time.RFC3339))
		}
		e := &Entry{
			Version: last.Version + 1, ActivatesAt: m.ActivateAt.UTC(), WrittenAt: now.UTC(),
			Who: m.Who, Why: m.Why, Previous: last.Hash, Removed: c.After == nil, Tenant: TenantEntry{ID: c.Tenant},
		}
		if c.After != nil {
			e.Tenant = *c.After
		}
		value, err := e.encode(sealer)
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", c.Tenant, err)
		}
		if err := next.add(Record{[]byte(e.historyKey()), value}); err != nil {
			return nil, err
		}
		pages = append(pages, next.newest()[c.Tenant])
	}
	return pages, next.prove(now)
}

// last is the newest version of a tenant, the zero Entry when there is none.
func (s *State) last(tenant string) Entry {
	if pages := s.book.tenants[tenant]; len(pages) > 0 {
		return *pages[len(pages)-1].Entry
	}
	return Entry{}
}

// prove activates everything that is planned and returns the first refusal.
func (b *book) prove(now time.Time) error {
	for at := now; !at.IsZero(); at = b.next(at) {
		s, refused := b.activate(at)
		if len(refused) > 0 {
			r := refused[0]
			return fmt.Errorf("tenant %s, version %d: %w", r.entry.Tenant.ID, r.entry.Version, r.err)
		}
		if s == nil {
			return errors.New("no tenant would be left; keep at least one")
		}
	}
	return nil
}

// recordsOf are both records of every new version. Where the history record of the
// version before is missing, it is written again: the record under the tenant's id
// is about to be replaced.
func recordsOf(pages []*page, before *State) (records []*kgo.Record) {
	for _, p := range pages {
		old := before.book.tenants[p.Tenant.ID]
		if n := len(old); n > 0 && !old[n-1].archive {
			records = append(records, record(old[n-1].historyKey(), old[n-1].value))
		}
		records = append(records, record(p.historyKey(), p.value), record(p.key(), p.value))
	}
	return records
}

func record(key string, value []byte) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: value} }

// commit writes the records in one transaction.
func commit(ctx context.Context, client *kgo.Client, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	err := client.BeginTransaction()
	if err == nil {
		err = client.ProduceSync(ctx, records...).FirstErr()
	}
	if err == nil {
		err = client.EndTransaction(ctx, kgo.TryCommit)
	} else {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		err = errors.Join(err, client.EndTransaction(ending, kgo.TryAbort))
	}
	for _, fenced := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState} {
		if errors.Is(err, fenced) {
			return fmt.Errorf("%w (another operator writes at this moment)", ErrChanged)
		}
	}
	return err
}

// Snapshot returns what is in force at a moment, nil when no tenant is.
func (s *State) Snapshot(now time.Time) *Snapshot {
	snapshot, _ := s.book.clone().activate(now)
	return snapshot
}
