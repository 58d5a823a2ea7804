package crash

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// meters add up counters of programs over all their lives, as far as a look now and
// then can see: what a life counted after the last look is missing.
type meters struct {
	mu   sync.Mutex
	last map[string]float64 // by address and name
	sums map[string]float64 // by name
}

const meterInterval = 250 * time.Millisecond

func newMeters() *meters {
	return &meters{last: make(map[string]float64), sums: make(map[string]float64)}
}

// follow looks at programs' metrics until ctx ends.
func (m *meters) follow(ctx context.Context, addresses []string) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(meterInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, a := range addresses {
			m.look(ctx, client, a)
		}
	}
}

func (m *meters) look(ctx context.Context, client *http.Client, address string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return
	}
	res, err := client.Do(req)
	if err != nil {
		return // between two lives
	}
	defer func() { _ = res.Body.Close() }()
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(name, "clickgate_") {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		key := address + " " + name
		if value < m.last[key] {
			m.last[key] = 0 // a new life
		}
		m.sums[name] += value - m.last[key]
		m.last[key] = value
	}
}

// sum returns what a counter, named with its labels, has come to.
func (m *meters) sum(name string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(m.sums[name])
}
