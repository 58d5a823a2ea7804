package admit

import "time"

// Quota bounds the requests of each API key. It is safe for concurrent use.
type Quota struct {
	seed  hashSeed
	rate  rate
	table rateTable
}

// NewQuota returns a quota of which nothing is used; nil when cfg bounds nothing.
func NewQuota(cfg *Config, seed uint64) *Quota {
	if cfg.KeyRate == 0 {
		return nil
	}
	return &Quota{seed: newHashSeed(seed), rate: perSecond(cfg.KeyRate, cfg.KeyBurst)}
}

// Allowance says what a key may still do; it is what the headers RateLimit and
// Retry-After tell (draft-ietf-httpapi-ratelimit-headers).
type Allowance struct {
	OK         bool
	Remaining  int64 // requests that may come at once
	Reset      int64 // seconds until all of the burst is back, rounded up
	RetryAfter int64 // seconds until one request may come, rounded up; 0 if OK
}

// Take asks for one request of a key, which is any text that names it, at a time
// in Unix microseconds.
func (q *Quota) Take(key string, at int64) Allowance {
	now := at * 1000
	next, ok, wait := q.table.take(q.seed.text(0, key), q.rate, now)
	return q.rate.allowance(next, ok, wait, now)
}

// Policy returns the burst and the seconds in which it comes back.
func (q *Quota) Policy() (burst, window int64) {
	return q.rate.burst, ceilSeconds(q.rate.burst * q.rate.period)
}

// allowance puts the state of a key into words; it is a pure function.
func (r rate) allowance(next int64, ok bool, wait, now int64) Allowance {
	used := max(0, next-now)
	return Allowance{
		OK:         ok,
		Remaining:  max(0, (r.burst*r.period-used)/r.period),
		Reset:      ceilSeconds(used),
		RetryAfter: ceilSeconds(wait),
	}
}

func ceilSeconds(ns int64) int64 { return (ns + int64(time.Second) - 1) / int64(time.Second) }
