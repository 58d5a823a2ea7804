package gateway

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// nilRegisterer registers nothing, for servers beside another.
type nilRegisterer struct{}

func (nilRegisterer) Register(prometheus.Collector) error  { return nil }
func (nilRegisterer) MustRegister(...prometheus.Collector) {}
func (nilRegisterer) Unregister(prometheus.Collector) bool { return true }

// FuzzRaw sends bytes as a body of every format. Nothing may panic, the counts add
// up, and what is answered with 200 is with the log.
func FuzzRaw(f *testing.F) {
	r := newIdleRig(f, func(c *Config) { c.Batch.Listen = "127.0.0.1:0"; c.Batch.MaxDecompressed = 1 << 20 })
	log := &nullLog{}
	r.srv.dep.Log, r.srv.dep.Scorer = log, nullScorer{}
	r.srv.outcomes = newOutcomePool(log, r.srv.lost)
	line := clf(0, "/c?t="+r.mint(nil), browser)
	for i, seed := range []string{
		line + clf(1, "/c?cmp=cmp-1&cmp=x", "a") + "broken\n\n#x\n",
		"#Fields: date time c-ip cs-uri-stem cs-uri-query\n2026-11-10\t12:00:00\t203.0.113.5\t/c\tcmp=cmp-1\n",
		`{"ts":"2026-11-10T12:00:00Z","client":"203.0.113.5","url":"/go/x?cmp=cmp-1"}`,
		`[{"RayID":"a","EdgeStartTimestamp":1790000000,"ClientIP":"203.0.113.5","ClientRequestURI":"/c?t=1"}]`,
	} {
		f.Add([]byte(seed), uint8(i), "", int64(0))
		f.Add(zipped(seed), uint8(i), "date time c-ip cs-uri", int64(7))
	}
	keys := []string{"access-key", "w3c-key", "json-key", "push-key", "fresh-key"}
	f.Fuzz(func(t *testing.T, body []byte, key uint8, fields string, offset int64) {
		r.tb = t
		before := log.records
		req := httptest.NewRequest("POST", "/v1/raw", bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+keys[int(key)%len(keys)])
		req.Header.Set(HeaderBatch, "b")
		req.Header.Set(HeaderOffset, itoa(int(offset)))
		req.Header.Set(HeaderFields, fields)
		p := r.answer(req)
		if logged := r.logged.String(); logged != "" { // the only thing logged is a panic
			t.Fatal(logged)
		}
		switch p.status {
		case 200, 400, 413:
			if got := int64(log.records - before); got != p.Clicks+p.Malformed {
				t.Fatalf("%d records for %s", got, p)
			}
		default:
			t.Fatalf("%s", p)
		}
	})
}
