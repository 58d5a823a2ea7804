package admit

import (
	"sync"
	"time"
)

// rate allows a request per period, and burst of them at once.
type rate struct {
	period int64 // nanoseconds
	burst  int64
}

func perSecond(n, burst int) rate {
	return rate{period: int64(time.Second) / int64(max(1, n)), burst: int64(max(1, burst))}
}

// take is the generic cell rate algorithm (ITU-T I.371) as a pure function: arrival
// is the theoretical arrival time of the next request, which is all the state there
// is. When the request does not conform the state stays and wait is how long until
// one does. Times are in nanoseconds.
func (r rate) take(arrival, now int64) (next int64, ok bool, wait int64) {
	next = max(arrival, now) + r.period
	if early := next - r.period*r.burst - now; early > 0 {
		return arrival, false, early
	}
	return next, true, 0
}

// rateTable holds theoretical arrival times by keyed hash: at most tableSets *
// tableWays of them. When a set is full the key that has been quiet for longest
// goes, which loses nothing as long as its burst had come back.
type rateTable struct {
	locks [tableLocks]sync.Mutex
	sets  [tableSets][tableWays]rateEntry
}

type rateEntry struct {
	key     uint64
	arrival int64
}

const (
	tableSets  = 16_384
	tableWays  = 4
	tableLocks = 256
)

// take asks for one request of the key.
func (t *rateTable) take(key uint64, r rate, now int64) (next int64, ok bool, wait int64) {
	n := key % tableSets
	lock := &t.locks[n%tableLocks]
	lock.Lock()
	defer lock.Unlock()
	set := &t.sets[n]
	quiet := &set[0]
	for i := range set {
		e := &set[i]
		if e.key == key {
			e.arrival, ok, wait = r.take(e.arrival, now)
			return e.arrival, ok, wait
		}
		if e.arrival < quiet.arrival {
			quiet = e
		}
	}
	*quiet = rateEntry{key: key}
	quiet.arrival, ok, wait = r.take(0, now)
	return quiet.arrival, ok, wait
}
