package auth

import (
	"sync"
	"time"
)

// LimitConfig is how guessing is slowed down.
type LimitConfig struct {
	Free  int           // failures that cost nothing
	First time.Duration // after the next one; doubles with each further
	Most  time.Duration
	Keep  time.Duration // without a failure for so long, all is forgotten
	Size  int           // keys in memory
}

// Limiter delays attempts by key, longer with each failure. It is safe for
// concurrent use, and never holds more than LimitConfig.Size keys.
type Limiter struct {
	cfg LimitConfig
	now func() time.Time

	mu   sync.Mutex
	keys map[string]*tries
}

// tries are the failures of one key.
type tries struct {
	fails int
	last  time.Time
}

// NewLimiter returns an empty limiter.
func NewLimiter(cfg LimitConfig, now func() time.Time) *Limiter {
	return &Limiter{cfg: cfg, now: now, keys: map[string]*tries{}}
}

// Take counts an attempt as a failure, before it is known to be one, so that many
// at once are no way around. With a wait above zero it is not to be made.
func (l *Limiter) Take(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	t := l.keys[key]
	if t != nil && now.Sub(t.last) > l.cfg.Keep {
		delete(l.keys, key)
		t = nil
	}
	if t == nil {
		l.room(now)
		t = &tries{}
		l.keys[key] = t
	} else if wait := t.last.Add(l.delay(t.fails)).Sub(now); wait > 0 {
		return wait
	}
	t.fails++
	t.last = now
	return 0
}

// Refund takes one attempt back that was none to be counted.
func (l *Limiter) Refund(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.keys[key]; t != nil {
		if t.fails--; t.fails <= 0 {
			delete(l.keys, key)
		}
	}
}

// Reset forgets a key.
func (l *Limiter) Reset(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, key)
}

// delay is the pause after so many failures.
func (l *Limiter) delay(fails int) time.Duration {
	if fails <= l.cfg.Free {
		return 0
	}
	d := l.cfg.First
	for range fails - l.cfg.Free - 1 {
		if d *= 2; d >= l.cfg.Most {
			return l.cfg.Most
		}
	}
	return min(d, l.cfg.Most)
}

// room makes place for a key: what is old goes, else the key with the fewest
// failures, so that a flood of new keys does not wash away those under attack.
func (l *Limiter) room(now time.Time) {
	if len(l.keys) < l.cfg.Size {
		return
	}
	least := ""
	var at *tries
	for k, t := range l.keys {
		if now.Sub(t.last) > l.cfg.Keep {
			delete(l.keys, k)
			continue
		}
		if at == nil || t.fails < at.fails || t.fails == at.fails && t.last.Before(at.last) {
			least, at = k, t
		}
	}
	if len(l.keys) >= l.cfg.Size {
		delete(l.keys, least)
	}
}
