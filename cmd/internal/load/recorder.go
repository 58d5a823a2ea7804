package load

import (
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// failure is why a request has no answer.
type failure uint8

const (
	answered failure = iota
	failDial
	failClosed
	failTimeout
	failProtocol
	numFailures
)

var failureNames = [numFailures]string{"answered", "no connection", "closed", "timeout", "not HTTP"}

func failureOf(err error) failure {
	switch {
	case err == nil:
		return answered
	case errors.Is(err, errDial):
		return failDial
	case errors.Is(err, errTimeout):
		return failTimeout
	case errors.Is(err, errProtocol):
		return failProtocol
	}
	return failClosed
}

// result is what became of one arrival that was sent.
type result struct {
	class   Class
	failure failure
	status  int // 0 without an answer
	close   bool
	acked   int           // clicks that are acknowledged
	latency time.Duration // from the scheduled instant to the answer
	late    time.Duration // from the scheduled instant to the start of sending
}

// recorded reports whether the answer says that clicks are recorded.
func recorded(status int) bool { return status >= 200 && status < 400 }

// maxLatency is where histograms end; what takes longer counts as this.
const maxLatency = time.Hour

// newHistogram counts microseconds with three digits: 180 KB.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), 3)
}

func note(h *hdrhistogram.Histogram, d time.Duration) {
	us := min(max(d, 0), maxLatency).Microseconds()
	_ = h.RecordValue(us) // within the range of newHistogram
}

// counts are the numbers of one class. A plain value: it can be added and copied.
type counts struct {
	sent     int64
	statuses [maxStatus + 1]int64
	failures [numFailures]int64 // without answered
	closes   int64              // answers after which the server ends the connection
	acked    int64              // clicks
}

func (c *counts) add(o *counts) {
	c.sent += o.sent
	for i, n := range &o.statuses {
		c.statuses[i] += n
	}
	for i, n := range &o.failures {
		c.failures[i] += n
	}
	c.closes += o.closes
	c.acked += o.acked
}

func (c *counts) record(r *result) {
	c.sent++
	if r.failure != answered {
		c.failures[r.failure]++
		return
	}
	c.statuses[r.status]++
	c.acked += int64(r.acked)
	if r.close {
		c.closes++
	}
}

// classRecord is one class over some time. Latencies of refusals stand apart: they
// are quick, and would make an overloaded gateway look fast.
type classRecord struct {
	counts
	good, refused *hdrhistogram.Histogram
}

// record is all classes over some time.
type record struct {
	classes [numClasses]classRecord
	late    *hdrhistogram.Histogram
	behind  int64 // started later than the limit
}

func newRecord() *record {
	r := &record{late: newHistogram()}
	for i := range r.classes {
		r.classes[i].good, r.classes[i].refused = newHistogram(), newHistogram()
	}
	return r
}

// drain moves what r holds into the others and empties it.
func (r *record) drain(into ...*record) {
	for _, o := range into {
		for i := range r.classes {
			o.classes[i].counts.add(&r.classes[i].counts)
			merge(o.classes[i].good, r.classes[i].good)
			merge(o.classes[i].refused, r.classes[i].refused)
		}
		merge(o.late, r.late)
		o.behind += r.behind
	}
	for i := range r.classes {
		c := &r.classes[i]
		c.counts = counts{}
		reset(c.good)
		reset(c.refused)
	}
	reset(r.late)
	r.behind = 0
}

func merge(into, from *hdrhistogram.Histogram) {
	if from.TotalCount() > 0 {
		into.Merge(from) // of one shape, so nothing is dropped
	}
}

func reset(h *hdrhistogram.Histogram) {
	if h.TotalCount() > 0 {
		h.Reset()
	}
}

// shard is what some connections record into, so that not all of them meet at one
// lock. It does not allocate.
type shard struct {
	mu  sync.Mutex
	now *record // since the last second
}

// recorder keeps the account of a run: of the second under way in shards, and of
// everything before it in total and rows.
type recorder struct {
	shards []*shard
	limit  time.Duration // a later start is behind

	mu     sync.Mutex
	second *record // scratch of roll
	total  *record
	rows   []Row
}

func newRecorder(shards int, limit time.Duration) *recorder {
	r := &recorder{limit: limit, second: newRecord(), total: newRecord()}
	for range shards {
		r.shards = append(r.shards, &shard{now: newRecord()})
	}
	return r
}

// put records one arrival; connections number themselves.
func (r *recorder) put(connection int, res *result) {
	s := r.shards[connection%len(r.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.now.classes[res.class]
	c.record(res)
	if res.failure == answered {
		h := c.refused
		if recorded(res.status) {
			h = c.good
		}
		note(h, res.latency)
	}
	note(s.now.late, res.late)
	if res.late > r.limit {
		s.now.behind++
	}
}

// roll ends a second: it makes a row of what came since the last one.
func (r *recorder) roll(at time.Duration) Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		s.mu.Lock()
		s.now.drain(r.second)
		s.mu.Unlock()
	}
	row := rowOf(r.second, at)
	r.rows = append(r.rows, row)
	r.second.drain(r.total)
	return row
}
