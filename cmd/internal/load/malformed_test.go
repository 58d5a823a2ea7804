package load

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCorpusIsLargeAndDistinct(t *testing.T) {
	t.Parallel()
	names, raws := map[string]bool{}, map[string]bool{}
	for _, c := range Corpus() {
		if names[c.Name] || raws[c.Raw] || c.Raw == "" {
			t.Errorf("%s stands twice, or is empty", c.Name)
		}
		names[c.Name], raws[c.Raw] = true, true
	}
	if len(names) < 40 {
		t.Errorf("%d cases; at least 40 are promised", len(names))
	}
}

// Each case arrives byte for byte, and its outcome stands in the table: here of a
// server that refuses, hangs up, or waits, by turns.
func TestMalformedRequestsArriveAndAreTabulated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got [][]byte
		dial := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				raw, buf := []byte(nil), make([]byte, 256<<10)
				_ = theirs.SetReadDeadline(time.Now().Add(time.Second))
				for err := error(nil); err == nil; {
					var n int
					n, err = theirs.Read(buf)
					raw = append(raw, buf[:n]...)
				}
				if len(raw) == 0 {
					return // a connection for clicks
				}
				mu.Lock()
				defer mu.Unlock()
				if got = append(got, raw); len(got)%2 == 0 {
					_, _ = theirs.Write([]byte("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
				}
			}()
			return ours, nil
		}
		cfg := testConfig(t, dial)
		n := len(Corpus())
		cfg.Mix, cfg.Process, cfg.Profile = Mix{Malformed: 1}, Uniform, Constant(float64(n), time.Second)
		cfg.Provokers, cfg.Connections = n, 1
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		c := classNamed(t, r, "malformed")
		if c.Sent != int64(n) || c.Answers["400"] != int64(n/2) || c.Errors["closed"] != int64(n-n/2) || c.Closes != c.Answers["400"] {
			t.Errorf("%+v", *c)
		}
		for i, tc := range Corpus() {
			begin, _, _ := strings.Cut(tc.Raw, "{")
			if k := countPrefix(got, begin); k == 0 {
				t.Errorf("%s did not arrive", tc.Name)
			}
			if r.Malformed[i].Name != tc.Name || r.Malformed[i].Sent != 1 {
				t.Errorf("%s: %+v", tc.Name, r.Malformed[i])
			}
		}
		for _, raw := range got {
			if bytes.Contains(raw, []byte("{t}")) || bytes.Contains(raw, []byte("{host}")) || bytes.Contains(raw, []byte("{key}")) {
				t.Errorf("%q is not filled", raw)
			}
		}
	})
}

func countPrefix(all [][]byte, prefix string) (n int) {
	for _, raw := range all {
		if bytes.HasPrefix(raw, []byte(prefix)) {
			n++
		}
	}
	return n
}

// What comes while all provokers are busy is offered but unsent, so that requests
// that wait for a server's patience are bounded.
func TestProvokersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open, most int
		var mu sync.Mutex
		dial := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			mu.Lock()
			open++
			most = max(most, open)
			mu.Unlock()
			go func() {
				for buf := make([]byte, 4096); ; {
					if _, err := theirs.Read(buf); err != nil {
						break
					}
				}
				mu.Lock()
				open--
				mu.Unlock()
			}()
			return ours, nil
		}
		cfg := testConfig(t, dial)
		cfg.Mix, cfg.Process, cfg.Profile = Mix{Malformed: 1}, Uniform, Constant(100, time.Second)
		cfg.Provokers, cfg.Connections, cfg.Timeout = 5, 1, 10*time.Second
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if c := classNamed(t, r, "malformed"); c.Sent != 5 || c.Unsent != 95 || c.Errors["timeout"] != 5 || most != 6 || !r.Void {
			t.Errorf("up to %d connections, %+v", most, *c)
		}
	})
}
