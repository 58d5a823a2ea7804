package durable

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"clickgate/gateway/click"
)

const hourMicros = 3600 * 1_000_000

// account is the gateway's own book of one boot: it hands out sequences and
// counts, per tenant, source and receipt hour, what became durable. It is kept
// apart from the rows on purpose, so that comparing the two proves something.
//
// A sequence is open until settle says what became of it. All below base are
// settled and counted; a mark vouches for exactly those.
type account struct {
	mu     sync.Mutex
	base   uint64 // lowest open sequence
	next   uint64 // next sequence to give
	slots  []slot // ring over [base, next); length is a power of two
	void   uint64 // settled below base without a durable write
	tally  map[tallyKey]*tally
	past   map[tallyKey]*tally // forgotten, for a clock that is set back
	oldest map[sourceKey]int64 // oldest event time given since the last statement

	horizon int64 // of the last statement: older hours are forgotten
}

type slotState uint8

const (
	slotOpen slotState = iota
	slotDurable
	slotVoid
)

type slot struct {
	count     *tally
	eventTime int64
	state     slotState
}

type sourceKey struct{ tenant, source string }

type tallyKey struct {
	sourceKey
	hour int64
}

// tally counts one source and receipt hour; open sequences still point to it.
type tally struct {
	click.SourceCount
	open int
}

func newAccount() *account {
	return &account{
		base: 1, next: 1, slots: make([]slot, 1024),
		tally:  make(map[tallyKey]*tally),
		past:   make(map[tallyKey]*tally),
		oldest: make(map[sourceKey]int64),
	}
}

// give returns the next sequence for an event. It allocates only for a source or
// hour it has not seen.
func (a *account) give(tenant, source string, eventTime, receivedAt int64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next-a.base == uint64(len(a.slots)) {
		a.grow()
	}
	seq := a.next
	a.next++
	t := a.count(tenant, source, receivedAt)
	t.open++
	a.slots[seq&a.mask()] = slot{count: t, eventTime: eventTime}
	k := sourceKey{tenant, source}
	if old, ok := a.oldest[k]; !ok {
		a.oldest[k.clone()] = eventTime
	} else if eventTime < old {
		a.oldest[k] = eventTime
	}
	return seq
}

func (a *account) mask() uint64 { return uint64(len(a.slots) - 1) }

func (a *account) grow() {
	bigger := make([]slot, 2*len(a.slots))
	for s := a.base; s < a.next; s++ {
		bigger[s&uint64(len(bigger)-1)] = a.slots[s&a.mask()]
	}
	a.slots = bigger
}

func (a *account) count(tenant, source string, receivedAt int64) *tally {
	k := tallyKey{sourceKey{tenant, source}, receivedAt - receivedAt%hourMicros}
	c := a.tally[k]
	if c == nil {
		c = a.recall(k)
	}
	if c == nil {
		k.sourceKey = k.clone()
		c = &tally{SourceCount: click.SourceCount{TenantID: k.tenant, SourceID: k.source, Hour: k.hour}}
		a.tally[k] = c
	}
	return c
}

// pastHours is for how many hours more a forgotten count can come back: a clock may
// jump ahead by as much and be set right again.
const pastHours = 24

// recall takes an hour back that was forgotten: by the clock as it is now it is not
// over, and a count that began anew would deny what was counted before.
func (a *account) recall(k tallyKey) *tally {
	t := a.past[k]
	if t != nil {
		a.tally[k] = t
		delete(a.past, k)
	}
	return t
}

// sortPast recalls hours that are not over by the clock as it is now, and lets go of
// those that no clock brings back.
func (a *account) sortPast() {
	for k := range a.past {
		if k.hour >= a.horizon {
			a.recall(k)
		} else if k.hour < a.horizon-pastHours*hourMicros {
			delete(a.past, k)
		}
	}
}

// clone copies strings that alias a request.
func (k sourceKey) clone() sourceKey {
	return sourceKey{strings.Clone(k.tenant), strings.Clone(k.source)}
}

// settle says what became of a sequence. Void ones at the end stay open until a
// later one is durable: until then a crash could still bring them back.
func (a *account) settle(seq uint64, durable bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.slots[seq&a.mask()]
	s.state = slotVoid
	if !durable {
		return
	}
	s.state = slotDurable
	for end := a.settledEnd(); a.base < end; a.base++ {
		s := &a.slots[a.base&a.mask()]
		if s.state == slotVoid {
			a.void++
		} else {
			s.count.Received++
		}
		s.count.open--
		*s = slot{}
	}
}

// settledEnd returns the sequence behind the last durable one that has no open
// one below it.
func (a *account) settledEnd() uint64 {
	end := a.base
	for s := a.base; s < a.next; s++ {
		switch a.slots[s&a.mask()].state {
		case slotOpen:
			return end
		case slotDurable:
			end = s + 1
		}
	}
	return end
}

// shed and unrecorded count at once: these events have no sequence.
func (a *account) shed(tenant, source string, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count(tenant, source, at).Shed++
}

func (a *account) unrecorded(tenant, source string, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count(tenant, source, at).Unrecorded++
}

// statement is the account at one moment.
type statement struct {
	at      int64 // Unix microseconds
	through uint64
	void    uint64
	counts  []click.SourceCount
	given   map[sourceKey]int64 // oldest event time given since the previous statement
	open    map[sourceKey]int64 // oldest event time of the sequences above through
}

// state returns the account now and begins a new interval. Hours older than
// click.MarkHours leave the account behind the statement that ends them; the
// store keeps their counts, which do not change any more.
func (a *account) state(now int64) statement {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := statement{at: now, through: a.base - 1, void: a.void, given: a.oldest, open: a.openTimes()}
	a.oldest = make(map[sourceKey]int64, len(a.oldest))
	horizon := now - now%hourMicros - click.MarkHours*hourMicros
	if horizon != a.horizon {
		a.horizon = horizon
		a.sortPast()
	}
	for k, t := range a.tally {
		st.counts = append(st.counts, t.SourceCount)
		if k.hour < horizon && t.open == 0 {
			a.past[k] = t
			delete(a.tally, k)
		}
	}
	return st
}

// inherit takes over the counts of hours that the account has forgotten since an
// earlier statement, which will not be sent itself. They were final when they
// were forgotten.
func (st *statement) inherit(earlier *statement) {
	for _, c := range earlier.counts {
		known := slices.ContainsFunc(st.counts, func(k click.SourceCount) bool {
			return k.TenantID == c.TenantID && k.SourceID == c.SourceID && k.Hour == c.Hour
		})
		if !known {
			st.counts = append(st.counts, c)
		}
	}
}

func (a *account) openTimes() map[sourceKey]int64 {
	open := make(map[sourceKey]int64)
	for seq := a.base; seq < a.next; seq++ {
		s := &a.slots[seq&a.mask()]
		keepOldest(open, sourceKey{s.count.TenantID, s.count.SourceID}, s.eventTime)
	}
	return open
}

// givenSince returns the oldest event times of the interval under way.
func (a *account) givenSince() map[sourceKey]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.oldest)
}

func keepOldest(m map[sourceKey]int64, k sourceKey, t int64) {
	if old, ok := m[k]; !ok || t < old {
		m[k] = t
	}
}
