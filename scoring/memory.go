package scoring

import "sync"

// memory keeps who came in the closed hours of the last day, of many sources, so that
// they need not be read again for each hour that closes. It holds a bounded number of
// visitors; when that is full, it drops what belongs to the source that was asked for
// longest ago, and its next pass reads the day again. Safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	most  int // visitors
	held  int
	turn  uint64
	pasts map[pastOf]*past
}

// pastOf is whose past it is, and under which policy: that decides whose clicks count.
type pastOf struct {
	tenantID, sourceID string
	policy             uint64
}

// past is what is kept of a source.
type past struct {
	used  uint64
	hours map[int64][]visitor
}

func newMemory(most int) *memory { return &memory{most: most, pasts: map[pastOf]*past{}} }

// recall gives a day those of its hours that are remembered, and returns the first hour
// whose clicks it must see: that before the last one, or the first that is not remembered.
func (m *memory) recall(of pastOf, d *day) (from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from = d.hour - 1
	var hours map[int64][]visitor
	if p := m.pasts[of]; p != nil {
		m.turn++
		p.used, hours = m.turn, p.hours
	}
	for i := dayHours - 3; i >= 0; i-- {
		hour := d.hour - dayHours + 1 + int64(i)
		if d.hours[i], d.known[i] = hours[hour]; !d.known[i] {
			from = hour
		}
	}
	return from
}

// keep takes over the closed hours of a day. Its last is not closed yet, and where late
// clicks are worked off they stand in it.
func (m *memory) keep(of pastOf, d *day) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pasts[of]
	if p == nil {
		p = &past{hours: map[int64][]visitor{}}
		m.pasts[of] = p
	}
	m.turn++
	p.used = m.turn
	newest := d.hour - 1
	for hour := range p.hours {
		newest = max(newest, hour)
	}
	for i := range dayHours - 1 {
		hour := d.hour - dayHours + 1 + int64(i)
		if _, known := p.hours[hour]; !known && hour > newest-dayHours {
			p.hours[hour] = d.hours[i]
			m.held += len(d.hours[i])
		}
	}
	for hour, visitors := range p.hours {
		if hour <= newest-dayHours {
			m.held -= len(visitors)
			delete(p.hours, hour)
		}
	}
	m.forget()
}

// forget drops the pasts that were asked for longest ago, until the rest has room.
func (m *memory) forget() {
	for m.held > m.most {
		var oldest pastOf
		used := m.turn + 1
		for of, p := range m.pasts {
			if p.used < used {
				oldest, used = of, p.used
			}
		}
		for _, visitors := range m.pasts[oldest].hours {
			m.held -= len(visitors)
		}
		delete(m.pasts, oldest)
	}
}
