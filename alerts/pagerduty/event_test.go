package pagerduty

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const key = "0123456789abcdef0123456789ABCDEF"

func trigger() *Event {
	return &Event{Action: Trigger, DedupKey: "clickgate/1", Summary: "s", Source: "clickgate", Severity: Error, Link: "https://console.example/incidents/1"}
}

// decoded is the body that would be sent.
func decoded(t *testing.T, e *Event) (wire, []byte) {
	t.Helper()
	body, err := e.encode(key)
	if err != nil {
		t.Fatal(err)
	}
	var w wire
	if err := json.Unmarshal(body, &w); err != nil {
		t.Fatal(err)
	}
	return w, body
}

// TestLongSummary is cut at a character's border and names the case.
func TestLongSummary(t *testing.T) {
	t.Parallel()
	e := trigger()
	e.Summary = "Campaign " + strings.Repeat("é", 600) + strings.Repeat("🍋", 600)
	w, _ := decoded(t, e)
	s := w.Payload.Summary
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxSummary || len(utf16.Encode([]rune(s))) > MaxSummary {
		t.Errorf("%d characters, %d units", utf8.RuneCountInString(s), len(utf16.Encode([]rune(s))))
	}
	if !strings.HasPrefix(s, "Campaign é") || !strings.HasSuffix(s, e.Link) {
		t.Errorf("summary %.40q … %q", s, s[len(s)-60:])
	}
}

// TestManyDetails are cut to what fits, and say how many more there are.
func TestManyDetails(t *testing.T) {
	t.Parallel()
	e := trigger()
	for i := range 1000 {
		e.Items = append(e.Items, map[string]string{"event": fmt.Sprint(i), "text": strings.Repeat("ü", 450)})
	}
	w, body := decoded(t, e)
	if len(body) > MaxBody {
		t.Errorf("%d bytes", len(body))
	}
	more, _ := w.Payload.Details["more"].(string)
	items, _ := w.Payload.Details["items"].([]any)
	if len(items) < 100 || more != fmt.Sprintf("%d more, see %s", 1000-len(items), e.Link) {
		t.Errorf("%d items, %q", len(items), more)
	}
}

// TestRefusedEvents: what PagerDuty would refuse is not sent, and keys are never cut:
// two long ones that begin alike would become one.
func TestRefusedEvents(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Event){
		"no key":       func(e *Event) { e.DedupKey = "" },
		"long key":     func(e *Event) { e.DedupKey = strings.Repeat("k", MaxDedupKey+1) },
		"broken key":   func(e *Event) { e.DedupKey = "\xff" },
		"no summary":   func(e *Event) { e.Summary = "" },
		"no source":    func(e *Event) { e.Source = "" },
		"bad severity": func(e *Event) { e.Severity = "bad" },
		"bad action":   func(e *Event) { e.Action = "erase" },
	} {
		e := trigger()
		change(e)
		if body, err := e.encode(key); err == nil {
			t.Errorf("%s: %s", name, body)
		}
	}
	longest := trigger()
	longest.DedupKey = strings.Repeat("k", MaxDedupKey)
	decoded(t, longest)
}

// TestClamp: the result is valid, within its limits, and begins as the text does.
func TestClamp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, limit := rapid.String().Draw(t, "text"), rapid.IntRange(2, 40).Draw(t, "limit")
		got := clampWith(s, limit, rapid.SampledFrom([]string{"", "https://x.example/1"}).Draw(t, "link"))
		if !utf8.ValidString(got) || units(got) > limit {
			t.Fatalf("%q: %d units of %d", got, units(got), limit)
		}
		if head, _, cut := strings.Cut(got, "…"); cut && !strings.HasPrefix(strings.ToValidUTF8(s, "\uFFFD"), head) {
			t.Fatalf("%q does not begin as %q", got, s)
		}
	})
}

// TestAnswers: which answers end an event, and that no error holds the key, even when
// the answer does.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		header string
		final  bool
		wait   time.Duration
	}{{202, "", false, 0}, {400, "", true, 0}, {413, "", true, 0}, {429, "7", false, 7 * time.Second}, {429, "x", false, 0}, {500, "", false, 0}, {302, "", false, 0}, {401, "", false, 0}} {
		followed := false
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			followed = followed || r.URL.Path != "/v2/enqueue"
			w.Header().Set("Location", "/elsewhere")
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.status)
			fmt.Fprintf(w, `{"message": "the key %s is no good", "errors": ["a\nb"]}`, key)
		}))
		cfg := DefaultConfig()
		cfg.RoutingKey, cfg.URL = key, server.URL+"/v2/enqueue"
		client, err := New(cfg, nil, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Send(t.Context(), trigger())
		server.Close()
		var f *Fault
		switch {
		case c.status == 202:
			if err != nil {
				t.Errorf("202: %v", err)
			}
		case !errors.As(err, &f) || f.Final != c.final || f.RetryAfter != c.wait || f.Status != c.status:
			t.Errorf("%d: %+v", c.status, err)
		case strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%d: the error holds what it must not: %q", c.status, err)
		}
		if followed {
			t.Errorf("%d: the key went elsewhere", c.status)
		}
		if err = client.Send(t.Context(), trigger()); !errors.As(err, &f) || f.Final || strings.Contains(err.Error(), key) {
			t.Errorf("nobody there: %v", err)
		}
	}
}
