package pagerduty_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"clickgate/alerts/pagerduty"
	"clickgate/alerts/pagerduty/standin"
)

const key = "0123456789abcdefABCDEF0123456789"

func config() pagerduty.Config {
	cfg := pagerduty.DefaultConfig()
	cfg.RoutingKey = key
	return cfg
}

func client(t testing.TB, transport http.RoundTripper) *pagerduty.Client {
	t.Helper()
	c, err := pagerduty.New(config(), transport, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func trigger(dedup string) *pagerduty.Event {
	return &pagerduty.Event{
		Action: pagerduty.Trigger, DedupKey: dedup, Summary: "campaign spring: 9000 events a minute instead of 40",
		Source: "clickgate", Severity: pagerduty.Warning, Time: time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC), Link: "https://console.example/incidents/1",
	}
}

// TestLongNames is case 20 (a): taken at the first try, cut at the border of a
// character, with the link.
func TestLongNames(t *testing.T) {
	t.Parallel()
	s := standin.New(time.Now)
	e := trigger("k")
	e.Summary = "Campaign " + strings.Repeat("é", 600) + strings.Repeat("🍋", 600)
	e.Component, e.Source = strings.Repeat("🍋", 600), strings.Repeat("é", 600)+"\xff"
	if err := client(t, s.Transport()).Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got := s.Open()[0].Summary
	if n := len(utf16.Encode([]rune(got))); n > 1024 || n < 1020 || !utf8.ValidString(got) || strings.ContainsRune(got, utf8.RuneError) {
		t.Errorf("%d UTF-16 units, valid %v", n, utf8.ValidString(got))
	}
	if !strings.HasPrefix(got, "Campaign éé") || !strings.HasSuffix(got, "🍋… https://console.example/incidents/1") {
		t.Errorf("summary %q", got)
	}
}

// TestLargeDetails is case 20 (d): 1,000 clicks of 900 KB.
func TestLargeDetails(t *testing.T) {
	t.Parallel()
	s := standin.New(time.Now)
	e := trigger("k")
	for n := range 1000 {
		e.Items = append(e.Items, map[string]any{"click": n, "agent": strings.Repeat("ü<", 300)})
	}
	e.Details = map[string]any{"tenant": "acme"}
	if all, _ := json.Marshal(e.Items); len(all) < 900_000 {
		t.Fatalf("only %d bytes of details", len(all))
	}
	if err := client(t, s.Transport()).Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var d struct {
		Tenant string
		Items  []any
		More   string
	}
	if err := json.Unmarshal(s.Open()[0].Details, &d); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d more, see https://console.example/incidents/1", 1000-len(d.Items)); d.More != want || d.Tenant != "acme" || len(d.Items) < 100 || len(d.Items) > 999 {
		t.Errorf("%d items, more %q, want %q", len(d.Items), d.More, want)
	}

	huge := trigger("k2")
	huge.Details = map[string]any{"one": strings.Repeat("x", 600<<10)}
	if err := client(t, s.Transport()).Send(t.Context(), huge); err != nil {
		t.Fatal(err)
	}
	if d := string(s.Open()[1].Details); !strings.Contains(d, "too large, see https://") {
		t.Errorf("details %s", d)
	}
}

// TestContract: a life of an alert as PagerDuty has it.
func TestContract(t *testing.T) {
	t.Parallel()
	s := standin.New(time.Now)
	c := client(t, s.Transport())
	send := func(a pagerduty.Action, dedup string, severity pagerduty.Severity) {
		t.Helper()
		e := trigger(dedup)
		e.Action, e.Severity = a, severity
		if err := c.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	send(pagerduty.Resolve, "a", pagerduty.Warning) // nobody knows it: dropped
	send(pagerduty.Trigger, "a", pagerduty.Warning)
	send(pagerduty.Trigger, "a", pagerduty.Critical) // joins
	send(pagerduty.Acknowledge, "a", pagerduty.Critical)
	send(pagerduty.Trigger, "b", pagerduty.Info)
	open := s.Open()
	if len(open) != 2 || open[0].Triggers != 2 || open[0].Severity != "critical" || !open[0].Acked {
		t.Fatalf("open %+v", open)
	}
	send(pagerduty.Resolve, "a", pagerduty.Warning)
	send(pagerduty.Resolve, "a", pagerduty.Warning) // again: dropped
	send(pagerduty.Trigger, "a", pagerduty.Error)   // a new alert
	if open, all := s.Open(), s.Alerts(); len(open) != 2 || len(all) != 3 || all[0].ResolvedAt.IsZero() {
		t.Errorf("open %+v of %+v", open, all)
	}
	if lone, repeated := s.Resolves(); lone != 1 || repeated != 1 {
		t.Errorf("%d lone resolves, %d repeated", lone, repeated)
	}
}

// TestRefusedBeforeSending: what PagerDuty would refuse, or take for something
// else, never leaves.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	s := standin.New(time.Now)
	c := client(t, s.Transport())
	for name, spoil := range map[string]func(*pagerduty.Event){
		"no dedup key":   func(e *pagerduty.Event) { e.DedupKey = "" },
		"has 256 bytes":  func(e *pagerduty.Event) { e.DedupKey = strings.Repeat("k", 256) },
		"event action":   func(e *pagerduty.Event) { e.Action = "shout" },
		"severity":       func(e *pagerduty.Event) { e.Severity = "high" },
		"no summary":     func(e *pagerduty.Event) { e.Summary = "" },
		"or no source":   func(e *pagerduty.Event) { e.Source = "" },
		"json: unsuppor": func(e *pagerduty.Event) { e.Details = map[string]any{"f": func() {}} },
	} {
		e := trigger("k")
		spoil(e)
		var fault *pagerduty.Fault
		if err := c.Send(t.Context(), e); !errors.As(err, &fault) || !fault.Final || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.Calls()) != 0 {
		t.Errorf("calls %+v", s.Calls())
	}
}

// TestStandinHoldsToTheContract: every breach is answered 400 with a reason, so a
// client that breaks the contract is found.
func TestStandinHoldsToTheContract(t *testing.T) {
	t.Parallel()
	s := standin.New(time.Now)
	body := func(change func(event, payload map[string]any)) string {
		payload := map[string]any{"summary": "s", "source": "x", "severity": "info"}
		event := map[string]any{"routing_key": key, "event_action": "trigger", "dedup_key": "k", "payload": payload}
		change(event, payload)
		b, _ := json.Marshal(event)
		return string(b)
	}
	none := func(map[string]any, map[string]any) {}
	for want, text := range map[string]string{
		"routing_key":       body(func(e, _ map[string]any) { e["routing_key"] = "short" }),
		"event_action":      body(func(e, _ map[string]any) { e["event_action"] = "open" }),
		"dedup_key is long": body(func(e, _ map[string]any) { e["dedup_key"] = strings.Repeat("k", 256) }),
		"dedup_key is miss": body(func(e, _ map[string]any) { e["event_action"], e["dedup_key"] = "resolve", "" }),
		"payload is miss":   body(func(e, _ map[string]any) { delete(e, "payload") }),
		"summary is miss":   body(func(_, p map[string]any) { p["summary"] = "" }),
		"summary is longer": body(func(_, p map[string]any) { p["summary"] = strings.Repeat("🍋", 513) }),
		"source is missing": body(func(_, p map[string]any) { delete(p, "source") }),
		"severity":          body(func(_, p map[string]any) { p["severity"] = "urgent" }),
		"timestamp":         body(func(_, p map[string]any) { p["timestamp"] = "yesterday" }),
		"link":              body(func(e, _ map[string]any) { e["links"] = []any{map[string]any{"text": "x"}} }),
		"larger than 512":   body(func(_, p map[string]any) { p["custom_details"] = strings.Repeat("x", 512<<10) }),
		"not UTF-8":         strings.Replace(body(none), `"s"`, "\"\xff\"", 1),
		"not JSON":          "{",
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v2/enqueue", strings.NewReader(text)))
		if w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", want, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v2/enqueue", strings.NewReader(body(none))))
	if w.Code != 202 || len(s.Open()) != 1 {
		t.Errorf("a good event: %d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(w.Body.String(), `"summary": "s"`) || strings.Contains(w.Body.String(), key) {
		t.Errorf("list %s", w.Body)
	}
}

// answers is a transport with one fixed answer.
type answers struct {
	status int
	body   string
	header http.Header
	err    error
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, _ := io.ReadAll(r.Body)
	if a.err != nil {
		return nil, a.err
	}
	body := strings.ReplaceAll(a.body, "BODY", string(sent))
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// TestFaults: what is final, what passes, and no key in any of it.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer answers
		final  bool
		retry  time.Duration
		text   string
	}{
		"bad request":  {answers{status: 400, body: `{"status":"invalid event","message":"Event object is invalid","errors":["'severity' is invalid"]}`}, true, 0, "PagerDuty answered 400: Event object is invalid; 'severity' is invalid"},
		"echo":         {answers{status: 400, body: "your event: BODY"}, true, 0, "REDACTED"},
		"too large":    {answers{status: 413}, true, 0, "413: no reason given"},
		"too many":     {answers{status: 429, header: http.Header{"Retry-After": {"90"}}}, false, 90 * time.Second, "429"},
		"broken":       {answers{status: 503, body: "<html>\x00oops\n</html>"}, false, 0, "503: <html> oops </html>"},
		"proxy":        {answers{status: 407}, false, 0, "407"},
		"wrong page":   {answers{status: 404}, false, 0, "404"},
		"redirect":     {answers{status: 307, header: http.Header{"Location": {"https://elsewhere.example/"}}}, false, 0, "307"},
		"other 2xx":    {answers{status: 200}, false, 0, "200"},
		"no network":   {answers{err: errors.New("connection reset by peer")}, false, 0, "PagerDuty did not answer: connection reset by peer"},
		"key in error": {answers{err: fmt.Errorf("tls: %s", key)}, false, 0, "tls: REDACTED"},
	} {
		err := client(t, c.answer).Send(t.Context(), trigger("k"))
		var fault *pagerduty.Fault
		if !errors.As(err, &fault) || fault.Final != c.final || fault.RetryAfter != c.retry || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %#v: %v", name, fault, err)
		}
		if err != nil && (strings.Contains(err.Error(), key) || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\x00")) {
			t.Errorf("%s: key or noise shown: %q", name, err)
		}
	}
}

// TestHang: a call ends at its own time limit.
func TestHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := standin.New(time.Now)
		s.SetFaults(func(int) standin.Fault { return standin.Hang })
		start := time.Now()
		err := client(t, s.Transport()).Send(t.Context(), trigger("k"))
		var fault *pagerduty.Fault
		if took := time.Since(start); !errors.As(err, &fault) || fault.Final || took != 10*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		if err := client(t, s.Transport()).Send(ctx, trigger("k")); err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("caller gave up: %v after %s", err, time.Since(start))
		}
	})
}

// TestBudget: over any sliding minute at most 60 calls, however many want to.
func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := standin.New(time.Now)
		c := client(t, s.Transport())
		start := time.Now()
		for n := range 200 {
			if err := c.Send(t.Context(), trigger(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
		}
		calls := s.Calls()
		for n := 60; n < len(calls); n++ {
			if gap := calls[n].At.Sub(calls[n-60].At); gap < time.Minute {
				t.Fatalf("61 calls within %s", gap)
			}
		}
		if took := time.Since(start); len(calls) != 200 || took < 3*time.Minute || took > 4*time.Minute {
			t.Errorf("%d calls in %s", len(calls), took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for ctx.Err() == nil {
			if err := c.Send(ctx, trigger("late")); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
	})
}

// TestStandinLimit: the stand-in itself refuses the 121st call of a minute.
func TestStandinLimit(t *testing.T) {
	t.Parallel()
	s := standin.New(func() time.Time { return time.Unix(0, 0) })
	body := []byte(`{"routing_key":"` + key + `","event_action":"resolve","dedup_key":"k"}`)
	for n := 1; n <= 121; n++ {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v2/enqueue", bytes.NewReader(body)))
		if want := map[bool]int{true: 202, false: 429}[n <= 120]; w.Code != want {
			t.Fatalf("call %d: %d", n, w.Code)
		}
	}
}

// TestOverHTTP: the real transport against the stand-in behind a socket.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	s := standin.New(time.Now)
	server := httptest.NewServer(s)
	defer server.Close()
	cfg := config()
	cfg.URL = server.URL + "/v2/enqueue"
	c, err := pagerduty.New(cfg, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s.SetFaults(func(n int) standin.Fault {
		return []standin.Fault{standin.TooMany, standin.Broken, standin.Lost, standin.Healthy}[n-1]
	})
	for n, ok := range []bool{false, false, false, true} {
		if err := c.Send(t.Context(), trigger("k")); (err == nil) != ok {
			t.Errorf("call %d: %v", n+1, err)
		}
	}
	if all := s.Alerts(); len(all) != 1 || all[0].Triggers != 2 {
		t.Errorf("alerts %+v", all)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(" " + key + "\n")
	cfg := pagerduty.DefaultConfig()
	cfg.RoutingKeyFile = file
	if got, err := cfg.Key(); err != nil || got != key || !cfg.Configured() {
		t.Errorf("key from a file: %v", err)
	}
	write("not a key " + key)
	if _, err := cfg.Key(); err == nil || strings.Contains(err.Error(), key) {
		t.Errorf("wrong file: %v", err)
	}
	cfg.RoutingKeyFile = file + ".absent"
	if _, err := cfg.Key(); err == nil || !strings.HasPrefix(err.Error(), "pagerduty.routing_key_file: ") {
		t.Errorf("absent file: %v", err)
	}
	none := pagerduty.DefaultConfig()
	if _, err := pagerduty.New(none, nil, time.Now); err == nil || !strings.HasPrefix(err.Error(), "pagerduty.routing_key: ") {
		t.Errorf("no key: %v", err)
	}
	for want, spoil := range map[string]func(*pagerduty.Config){
		"routing_key: is no":    func(c *pagerduty.Config) { c.RoutingKey = key + "x" },
		"routing_key_file: pag": func(c *pagerduty.Config) { c.RoutingKeyFile = file },
		"timeout: 1ms":          func(c *pagerduty.Config) { c.Timeout = time.Millisecond },
		"timeout: 10.001s":      func(c *pagerduty.Config) { c.Timeout = pagerduty.MaxTimeout + time.Millisecond },
		"calls_per_minute: ":    func(c *pagerduty.Config) { c.CallsPerMinute = 121 },
		"url: would send":       func(c *pagerduty.Config) { c.URL = "http://events.pagerduty.com/v2/enqueue" },
		"url: is no":            func(c *pagerduty.Config) { c.URL = "https://user:" + key + "@h/" },
	} {
		c := config()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "pagerduty."+want) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzEvent: whatever an event holds, what is sent is within the contract.
func FuzzEvent(f *testing.F) {
	f.Add("key", "summary", "source", "link", 3)
	f.Add("k", strings.Repeat("🍋", 700), "\xff", "https://x.example/"+strings.Repeat("a", 2000), 2000)
	f.Fuzz(func(t *testing.T, dedup, summary, source, link string, items int) {
		s := standin.New(time.Now)
		e := trigger(dedup)
		e.Summary, e.Source, e.Link = summary, source, link
		for range max(0, min(items, 2000)) {
			e.Items = append(e.Items, summary)
		}
		err := client(t, s.Transport()).Send(t.Context(), e)
		for _, c := range s.Calls() {
			if c.Problem != "" {
				t.Errorf("PagerDuty would refuse it: %s (%v)", c.Problem, err)
			}
		}
	})
}
