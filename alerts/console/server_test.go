package console

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConfigRefusesOtherMachines(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:8082": "", "127.8.8.8:1": "", "[::1]:8082": "", "localhost:0": "", "[::ffff:127.0.0.1]:8082": "", "": "",
		":8082":                   "ssh -L 8082:127.0.0.1:8082",
		"0.0.0.0:8082":            "ssh -L",
		"[::]:8082":               "ssh -L",
		"192.0.2.1:8082":          "ssh -L",
		"10.0.0.1:8082":           "ssh -L",
		"example.com:8082":        "ssh -L",
		"localhost.evil.example:": "ssh -L",
		"127.0.0.1.nip.io:8082":   "ssh -L",
		"127.0.0.1":               "write host:port",
	} {
		c := DefaultConfig()
		c.Listen = listen
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "console.listen: ")) {
			t.Errorf("%q: %v, want %q", listen, err, want)
		}
		if _, err := New(c, Dependencies{Logger: slog.New(slog.DiscardHandler), Store: &fake{}, Now: now, Entropy: rand.Reader}); (want != "" || listen == "") != (err != nil) {
			t.Errorf("%q: New says %v", listen, err)
		}
	}
	if c := DefaultConfig(); c.Listen == "" || c.Validate() != nil {
		t.Error("the default does not listen on loopback")
	}
}

func start(t *testing.T, f *fake) *site {
	t.Helper()
	s := newSite(t, f)
	s.server.cfg.Listen = "127.0.0.1:0"
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// fetch asks a started console as the site's user.
func (s *site) fetch(path string) (*http.Response, error) {
	r, err := http.NewRequest("GET", "http://"+s.server.Addr().String()+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Cookie", s.cookie)
	return http.DefaultClient.Do(r)
}

func TestStartServesAndStopEnds(t *testing.T) {
	t.Parallel()
	s := start(t, books())
	answer, err := s.fetch("/billing")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), "1,234,567.89") {
		t.Errorf("status %d, %v", answer.StatusCode, err)
	}
	_ = answer.Body.Close()

	second := newSite(t, books()).server
	second.cfg.Listen = s.server.Addr().String()
	if err := second.Start(); err == nil || !strings.Contains(err.Error(), "console.listen: cannot listen on") {
		t.Errorf("a taken port: %v", err)
	}
	for _, x := range []*Server{s.server, second} {
		if err := x.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.fetch("/billing"); err == nil {
		t.Error("it serves after Stop")
	}
}

// TestStopEndsReads holds that a slow store does not hold up the end.
func TestStopEndsReads(t *testing.T) {
	t.Parallel()
	inside := make(chan struct{})
	var once sync.Once
	f := &fake{during: func(ctx context.Context) error {
		once.Do(func() { close(inside) })
		<-ctx.Done()
		return ctx.Err()
	}}
	s := start(t, f)
	status := make(chan int, 1)
	go func() {
		answer, err := s.fetch("/")
		if err != nil {
			status <- 0
			return
		}
		_ = answer.Body.Close()
		status <- answer.StatusCode
	}()
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.server.Stop(ctx); err != nil {
		t.Error(err)
	}
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
}

// TestLiveSparesTheStore holds that many who look cost what one costs, and that
// counting takes at most a tenth of the time.
func TestLiveSparesTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := books()
		f.during = func(context.Context) error { time.Sleep(500 * time.Millisecond); return nil }
		s := newSiteWith(t, DefaultConfig(), f, time.Now)
		for range 20 {
			go s.do("GET", "/live")
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if f.reads.Load() != 1 {
			t.Errorf("%d reads for 20 at once", f.reads.Load())
		}
		for range 60 { // a minute of somebody who looks every second
			s.do("GET", "/live")
			time.Sleep(time.Second)
		}
		if n := f.reads.Load(); n < 10 || n > 15 {
			t.Errorf("%d reads of half a second in a minute", n)
		}
	})
}

func TestLiveReadsAgainAfterAnError(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	f.err = errors.New("away")
	s.get("/live", 503)
	f.err = nil
	s.get("/live", 200)
}

// TestReadsAreFew holds that slow readers do not crowd the store.
func TestReadsAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		inside, most := 0, 0
		step := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			inside += n
			most = max(most, inside)
		}
		f := books()
		f.during = func(context.Context) error {
			step(1)
			time.Sleep(time.Second)
			step(-1)
			return nil
		}
		s := newSite(t, f)
		done := make(chan int, 8)
		for range 8 {
			go func() { done <- s.do("GET", "/reconcile").Code }()
		}
		for range 8 {
			if code := <-done; code != 200 {
				t.Errorf("status %d", code)
			}
		}
		if most != maxStoreReads {
			t.Errorf("%d reads at once, want %d", most, maxStoreReads)
		}
	})
}

// TestSlowStoreGivesUp holds the bound of one read.
func TestSlowStoreGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := books()
		f.during = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		s := newSite(t, f)
		begin := time.Now()
		if got := textOf(s.get("/reconcile", 503)); !strings.Contains(got, "took too long") {
			t.Error(got)
		}
		if took := time.Since(begin); took != storeTimeout {
			t.Errorf("gave up after %s", took)
		}
	})
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "12": "12", "999": "999", "1000": "1,000", "-1000": "-1,000", "+123456": "+123,456", "1234567.89": "1,234,567.89",
		"-0.05": "-0.05", "": "", "9223372036854775807": "9,223,372,036,854,775,807", "-9223372036854775808": "-9,223,372,036,854,775,808", "1234.5678": "1,234.5678",
	} {
		if got := grouped(in); got != want {
			t.Errorf("grouped(%q) = %q, want %q", in, got, want)
		}
	}
	for _, c := range []struct {
		n, whole int64
		want     string
	}{{0, 0, "–"}, {0, 5, "0.0 %"}, {5, 5, "100.0 %"}, {1, 3, "33.3 %"}, {1, 100_000, "< 0.1 %"}, {99_999, 100_000, "> 99.9 %"}} {
		if got := share(c.n, c.whole); got != c.want {
			t.Errorf("share(%d, %d) = %q, want %q", c.n, c.whole, got, c.want)
		}
	}
}
