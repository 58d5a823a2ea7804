package load

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// canned is a connection to a server that is always ready with the same answer.
type canned struct {
	net.Conn
	answer string
}

func (c *canned) Write(b []byte) (int, error)      { return len(b), nil }
func (c *canned) Read(b []byte) (int, error)       { return copy(b, c.answer), nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
func (c *canned) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *canned) Close() error                     { return nil }

// oneWorker is a connection of a run on its own.
func oneWorker(tb testing.TB, mix Mix, answer string) *worker {
	tb.Helper()
	cfg := testConfig(tb, func(context.Context, string, string) (net.Conn, error) { return &canned{answer: answer}, nil })
	cfg.Mix, cfg.Connections, cfg.Profile = mix, 1, Constant(1000, 24*time.Hour)
	r, err := newRun(&cfg)
	if err != nil {
		tb.Fatal(err)
	}
	r.began = time.Now()
	all, err := r.workers()
	if err != nil {
		tb.Fatal(err)
	}
	return all[0]
}

// From the schedule to the account of the answer nothing is allocated, whatever
// the class, tokens and batches included.
func TestSendingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const answer = "HTTP/1.1 302 Found\r\nDate: Sat, 28 Nov 2026 06:57:40 GMT\r\nContent-Length: 0\r\nCache-Control: no-store\r\nLocation: https://shop.example/\r\n\r\n"
	for _, class := range []Class{Paid, Organic, Reused, Batch} {
		mix := Mix{}
		mix[class] = 1
		w := oneWorker(t, mix, answer)
		ctx, draw := t.Context(), uint64(0)
		send := func() {
			a, _ := w.source.take(0)
			draw += 0x9e3779b97f4a7c15
			a.At, a.Draw = w.elapsed(), draw
			w.send(ctx, a)
		}
		for range 2000 { // buffers grow to the longest request
			send()
		}
		if n := testing.AllocsPerRun(1000, send); n != 0 {
			t.Errorf("%s: %v allocations a request", class, n)
		}
		w.recorder.roll(time.Second)
		if c := &w.recorder.total.classes[class]; c.sent < 3000 || c.statuses[302] != c.sent {
			t.Errorf("%s: %d sent, %d answered", class, c.sent, c.statuses[302])
		}
	}
}

// BenchmarkSend is the generator's own work for an arrival: schedule, request,
// parsing the answer, account; the network costs nothing here.
func BenchmarkSend(b *testing.B) {
	for _, class := range []Class{Paid, Organic, Batch} {
		b.Run(class.String(), func(b *testing.B) {
			mix := Mix{}
			mix[class] = 1
			w := oneWorker(b, mix, found)
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				a, _ := w.source.take(0)
				a.At = w.elapsed()
				w.send(ctx, a)
			}
		})
	}
}

// BenchmarkClient is a round trip, with fasthttp's client doing the same in turns:
// ratio is its time through ours. Alone, both talk to a connection that costs
// nothing; over loopback, server and kernel are most of it.
func BenchmarkClient(b *testing.B) {
	b.Run("alone", func(b *testing.B) {
		clients(b, "127.0.0.1:80", func(context.Context, string, string) (net.Conn, error) { return &canned{answer: found}, nil })
	})
	b.Run("loopback", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- ServeReference(ctx, "fasthttp", ln) }()
		defer func() { cancel(); <-served }()
		clients(b, ln.Addr().String(), (&net.Dialer{}).DialContext)
	})
}

func clients(b *testing.B, address string, dial Dialer) {
	ours, theirs := ourTrip(b, address, dial), fasthttpTrip(address, dial)
	var own, other time.Duration
	for b.Loop() {
		own += timed(b, ours)
		other += timed(b, theirs)
	}
	b.ReportMetric(0, "ns/op") // of both together
	b.ReportMetric(float64(own.Nanoseconds())/float64(b.N), "ours-ns/op")
	b.ReportMetric(float64(other.Nanoseconds())/float64(b.N), "fasthttp-ns/op")
	b.ReportMetric(float64(other)/float64(own), "ratio")
	b.ReportMetric(testing.AllocsPerRun(100, func() { _ = ours() }), "ours-allocs/op")
}

func timed(b *testing.B, trip func() error) time.Duration {
	start := time.Now()
	for range 8 { // so that reading the clock does not weigh
		if err := trip(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / 8
}

func ourTrip(b *testing.B, address string, dial Dialer) func() error {
	w := oneWorker(b, Mix{Organic: 1}, "")
	w.client.dial, w.client.address = dial, address
	request := append([]byte(nil), mustRequest(b, w)...)
	return func() error {
		now := time.Now()
		if err := w.client.ready(context.Background(), now); err != nil {
			return err
		}
		_, err := w.client.do(request, now)
		return err
	}
}

// mustRequest is an organic click.
func mustRequest(tb testing.TB, w *worker) []byte {
	tb.Helper()
	request, err := w.writer.request(Organic, 7)
	if err != nil {
		tb.Fatal(err)
	}
	return request
}

func fasthttpTrip(address string, dial Dialer) func() error {
	c := &fasthttp.Client{
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		Dial: func(address string) (net.Conn, error) { return dial(context.Background(), "tcp", address) },
	}
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	req.SetRequestURI("http://" + address + "/c?s=demo-web&cmp=acme-log&u=https%3A%2F%2Fshop.example%2F")
	req.Header.SetUserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36")
	req.Header.Set("X-Forwarded-For", "198.18.0.1")
	req.Header.Set("Referer", "https://news.example/")
	return func() error { return c.Do(req, res) }
}
