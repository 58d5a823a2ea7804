package auth

import (
	"sync"
	"time"
)

// Sessions is an scs.Store in memory of bounded size. It is safe for concurrent
// use.
type Sessions struct {
	size int
	now  func() time.Time

	mu   sync.Mutex
	kept map[string]session
}

type session struct {
	data   []byte // nil: deleted
	expiry time.Time
}

// gravestone is how long a deleted session is remembered: a request that was
// inside at the time would bring it back to life with its own commit.
const gravestone = 5 * time.Minute

// NewSessions returns an empty store of at most size sessions; beyond it, those
// that end first make room.
func NewSessions(size int, now func() time.Time) *Sessions {
	return &Sessions{size: size, now: now, kept: map[string]session{}}
}

// Find implements scs.Store.
func (s *Sessions) Find(token string) (data []byte, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.kept[token]
	if !ok || !s.now().Before(x.expiry) {
		delete(s.kept, token)
		return nil, false, nil
	}
	return x.data, x.data != nil, nil
}

// Commit implements scs.Store.
func (s *Sessions) Commit(token string, data []byte, expiry time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, known := s.kept[token]
	if known && x.data == nil && s.now().Before(x.expiry) {
		return nil
	}
	if !known && len(s.kept) >= s.size {
		s.room()
	}
	s.kept[token] = session{data, expiry}
	return nil
}

// Delete implements scs.Store.
func (s *Sessions) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.kept[token]; known {
		s.kept[token] = session{expiry: s.now().Add(gravestone)}
	}
	return nil
}

// room deletes what is over, and at least one session.
func (s *Sessions) room() {
	now, first := s.now(), ""
	for token, x := range s.kept {
		if !now.Before(x.expiry) {
			delete(s.kept, token)
		} else if first == "" || x.expiry.Before(s.kept[first].expiry) {
			first = token
		}
	}
	if len(s.kept) >= s.size {
		delete(s.kept, first)
	}
}
