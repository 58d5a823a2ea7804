package gateway

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// answerKey names a sender's request: idempotency keys are the sender's own.
type answerKey struct{ tenant, source, key string }

// remembered is one request under an idempotency key. A nil answer means that
// it is still being worked on.
type remembered struct {
	key    answerKey
	body   [sha256.Size]byte
	answer []byte
	at     time.Time
}

// size is what an entry counts against the byte limit, its own structures included.
func (r *remembered) size() int64 {
	return int64(len(r.answer)+len(r.key.tenant)+len(r.key.source)+len(r.key.key)) + 256
}

// replay is what the memory says of a request.
type replay uint8

const (
	replayNew      replay = iota // work on it, then call finish
	replayAnswer                 // the stored answer holds
	replayInFlight               // the same request is being worked on
	replayReused                 // the key belongs to another body
)

// answers remembers successful answers by idempotency key: bounded in entries
// and bytes, least recently used first out, and in age. It lives in this process
// only; what it forgets is harmless, because the event ids make a repeat a
// redelivery. It is safe for concurrent use.
type answers struct {
	maxEntries int
	maxBytes   int64
	ttl        time.Duration
	now        func() time.Time

	mu     sync.Mutex
	byKey  map[answerKey]*list.Element // of *remembered
	recent *list.List                  // finished ones, newest first
	bytes  int64
}

func newAnswers(l *Limits, ttl time.Duration, now func() time.Time) *answers {
	return &answers{
		maxEntries: l.MaxAnswers, maxBytes: l.MaxAnswerBytes, ttl: ttl, now: now,
		byKey: make(map[answerKey]*list.Element), recent: list.New(),
	}
}

// begin looks a request up. After replayNew the caller must call finish.
func (a *answers) begin(key answerKey, body [sha256.Size]byte) (replay, []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if el := a.byKey[key]; el != nil {
		r := el.Value.(*remembered)
		switch {
		case r.answer != nil && a.now().Sub(r.at) > a.ttl:
			a.drop(el)
		case r.body != body:
			return replayReused, nil
		case r.answer == nil:
			return replayInFlight, nil
		default:
			a.recent.MoveToFront(el)
			return replayAnswer, r.answer
		}
	}
	// Requests in flight stand in the map alone: permits bound their number.
	a.byKey[key] = &list.Element{Value: &remembered{key: key, body: body}}
	return replayNew, nil
}

// finish stores the answer, which is copied, or forgets the request when answer
// is nil so that the sender may try again.
func (a *answers) finish(key answerKey, answer []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	el := a.byKey[key]
	delete(a.byKey, key)
	if answer == nil || el == nil {
		return
	}
	r := el.Value.(*remembered)
	r.answer, r.at = append([]byte{}, answer...), a.now()
	a.byKey[key] = a.recent.PushFront(r)
	a.bytes += r.size()
	for a.recent.Len() > a.maxEntries || a.bytes > a.maxBytes {
		a.drop(a.recent.Back())
	}
}

func (a *answers) drop(el *list.Element) {
	r := a.recent.Remove(el).(*remembered)
	delete(a.byKey, r.key)
	a.bytes -= r.size()
}

// stored returns how many answers are remembered.
func (a *answers) stored() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.recent.Len()
}
