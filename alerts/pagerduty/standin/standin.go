// Package standin plays PagerDuty's Events API v2 for tests and for standalone. It
// holds senders to the contract, where PagerDuty would silently drop or cut it says
// so, and keeps the alerts so that they can be looked at.
package standin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of the contract.
const (
	maxSummary  = 1024
	maxDedupKey = 255
	maxBody     = 512 << 10
	maxCalls    = 120 // per routing key and sliding minute
	// kept bounds the alerts and calls that are remembered.
	kept = 10_000
)

// Alert is one alert, from a trigger to its resolve.
type Alert struct {
	DedupKey   string          `json:"dedup_key"`
	Summary    string          `json:"summary"`
	Source     string          `json:"source"`
	Severity   string          `json:"severity"`
	Class      string          `json:"class,omitempty"`
	Details    json.RawMessage `json:"custom_details,omitempty"`
	Link       string          `json:"client_url,omitempty"` // where the case can be read
	OpenedAt   time.Time       `json:"opened_at"`
	ResolvedAt time.Time       `json:"resolved_at,omitzero"`
	Acked      bool            `json:"acknowledged"`
	Triggers   int             `json:"triggers"` // how many joined
}

// Call is one request and its answer.
type Call struct {
	At       time.Time
	Action   string
	DedupKey string
	Status   int
	Problem  string // what the contract has against it; empty for nothing
}

// Fault makes one call go wrong.
type Fault int

// Faults. Lost takes the event and loses the answer.
const (
	Healthy Fault = iota
	TooMany       // 429
	Broken        // 500
	Hang          // no answer until the caller gives up
	Away          // no connection; over HTTP an aborted one
	Lost
)

// Server is the stand-in. It is safe for concurrent use.
type Server struct {
	now func() time.Time

	mu     sync.Mutex
	faults func(call int) Fault
	calls  int
	seen   []Call
	alerts []*Alert
	open   map[string]*Alert // by hash of routing key, and dedup key
	known  map[string]bool   // keys that ever had an alert
	recent map[string][]time.Time

	lone, repeated int
}

// New returns a stand-in without alerts.
func New(now func() time.Time) *Server {
	return &Server{now: now, open: map[string]*Alert{}, known: map[string]bool{}, recent: map[string][]time.Time{}}
}

// SetFaults decides what goes wrong with the n-th call, from 1; nil for nothing.
func (s *Server) SetFaults(f func(n int) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Alerts returns all alerts, oldest first.
func (s *Server) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Alert, len(s.alerts))
	for i, a := range s.alerts {
		out[i] = *a
	}
	return out
}

// Open returns the alerts that are not resolved, oldest first.
func (s *Server) Open() []Alert {
	return slices.DeleteFunc(s.Alerts(), func(a Alert) bool { return !a.ResolvedAt.IsZero() })
}

// Calls returns the calls so far, those that met a fault too.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Resolves returns how many resolves found nothing: lone ones, whose key never had
// an alert, and repeated ones, whose alert was resolved before.
func (s *Server) Resolves() (lone, repeated int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lone, s.repeated
}

// ServeHTTP takes events at POST /v2/enqueue and lists the alerts at GET /.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v2/enqueue":
		s.enqueue(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/":
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(s.Alerts()) // the reader went away
	default:
		http.NotFound(w, r)
	}
}

// event is what a call may hold.
type event struct {
	RoutingKey string `json:"routing_key"`
	Action     string `json:"event_action"`
	DedupKey   string `json:"dedup_key"`
	Payload    *struct {
		Summary   string          `json:"summary"`
		Source    string          `json:"source"`
		Severity  string          `json:"severity"`
		Timestamp string          `json:"timestamp"`
		Component string          `json:"component"`
		Group     string          `json:"group"`
		Class     string          `json:"class"`
		Details   json.RawMessage `json:"custom_details"`
	} `json:"payload"`
	Client    string `json:"client"`
	ClientURL string `json:"client_url"`
	Links     []struct {
		Href string `json:"href"`
		Text string `json:"text"`
	} `json:"links"`
	Images []struct {
		Src  string `json:"src"`
		Href string `json:"href"`
		Alt  string `json:"alt"`
	} `json:"images"`
}

func (s *Server) enqueue(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the sender is gone
	}
	var e event
	problem := parse(body, &e)
	switch f := s.begin(); f {
	case Healthy, Lost:
		status := s.take(&e, problem)
		if f == Lost {
			panic(http.ErrAbortHandler)
		}
		answer(w, status, &e, problem)
	case TooMany:
		s.note(&e, http.StatusTooManyRequests, "")
		answer(w, http.StatusTooManyRequests, &e, nil)
	case Broken:
		s.note(&e, http.StatusInternalServerError, "")
		answer(w, http.StatusInternalServerError, &e, nil)
	case Hang:
		s.note(&e, 0, "")
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	default:
		s.note(&e, 0, "")
		panic(http.ErrAbortHandler)
	}
}

// begin counts a call and says what goes wrong with it.
func (s *Server) begin() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.faults == nil {
		return Healthy
	}
	return s.faults(s.calls)
}

func (s *Server) note(e *event, status int, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(e, status, problem)
}

func (s *Server) noteLocked(e *event, status int, problem string) {
	if len(s.seen) == kept {
		s.seen = slices.Delete(s.seen, 0, kept/2)
	}
	s.seen = append(s.seen, Call{At: s.now(), Action: e.Action, DedupKey: e.DedupKey, Status: status, Problem: problem})
}

// take does what the event asks for and returns the answer's status.
func (s *Server) take(e *event, problem error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if problem != nil {
		s.noteLocked(e, http.StatusBadRequest, problem.Error())
		return http.StatusBadRequest
	}
	routing := sha256.Sum256([]byte(e.RoutingKey)) // the key itself is nobody's business
	id := hex.EncodeToString(routing[:8])
	now := s.now()
	calls := slices.DeleteFunc(s.recent[id], func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(calls) >= maxCalls {
		s.recent[id] = calls
		s.noteLocked(e, http.StatusTooManyRequests, "more than 120 calls in a minute")
		return http.StatusTooManyRequests
	}
	s.recent[id] = append(calls, now)
	if e.DedupKey == "" {
		e.DedupKey = fmt.Sprintf("made-%d", s.calls)
	}
	s.apply(e, id+"/"+e.DedupKey, now)
	s.noteLocked(e, http.StatusAccepted, "")
	return http.StatusAccepted
}

func (s *Server) apply(e *event, id string, now time.Time) {
	a := s.open[id]
	switch {
	case e.Action == "trigger":
		if a == nil {
			a = &Alert{DedupKey: e.DedupKey, OpenedAt: now}
			if len(s.alerts) == kept {
				s.alerts = slices.Delete(s.alerts, 0, kept/2)
			}
			s.open[id], s.known[id] = a, true
			s.alerts = append(s.alerts, a)
		}
		p := e.Payload
		a.Summary, a.Source, a.Severity, a.Class, a.Details = p.Summary, p.Source, p.Severity, p.Class, p.Details
		a.Link = e.ClientURL
		a.Triggers++
	case a != nil && e.Action == "acknowledge":
		a.Acked = true
	case a != nil:
		a.ResolvedAt = now
		delete(s.open, id)
	case e.Action == "resolve" && s.known[id]:
		s.repeated++
	case e.Action == "resolve":
		s.lone++
	}
}

// parse holds an event to the contract.
func parse(body []byte, e *event) error {
	if len(body) > maxBody {
		return errors.New("event is larger than 512 KB")
	}
	if !utf8.Valid(body) {
		return errors.New("event is not UTF-8")
	}
	if err := json.Unmarshal(body, e); err != nil {
		return fmt.Errorf("event is not JSON of the right form: %w", err)
	}
	switch {
	case len(e.RoutingKey) != 32:
		return errors.New("routing_key has not 32 characters")
	case len(utf16.Encode([]rune(e.DedupKey))) > maxDedupKey:
		return errors.New("dedup_key is longer than 255 characters")
	}
	switch e.Action {
	case "trigger":
		return e.checkPayload()
	case "acknowledge", "resolve":
		if e.DedupKey == "" {
			return errors.New("dedup_key is missing")
		}
		return nil
	}
	return fmt.Errorf("event_action %q is unknown", e.Action)
}

func (e *event) checkPayload() error {
	p := e.Payload
	if p == nil {
		return errors.New("payload is missing")
	}
	if p.Timestamp != "" {
		if _, err := time.Parse(time.RFC3339, p.Timestamp); err != nil {
			return errors.New("payload.timestamp is not ISO 8601")
		}
	}
	switch {
	case p.Summary == "":
		return errors.New("payload.summary is missing")
	case len(utf16.Encode([]rune(p.Summary))) > maxSummary:
		return errors.New("payload.summary is longer than 1024 characters")
	case p.Source == "":
		return errors.New("payload.source is missing")
	case !slices.Contains([]string{"critical", "error", "warning", "info"}, p.Severity):
		return fmt.Errorf("payload.severity %q is unknown", p.Severity)
	}
	for _, l := range e.Links {
		if l.Href == "" {
			return errors.New("a link has no href")
		}
	}
	return nil
}

func answer(w http.ResponseWriter, status int, e *event, problem error) {
	out := map[string]any{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey}
	switch {
	case problem != nil:
		out = map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{problem.Error()}}
	case status == http.StatusTooManyRequests:
		out = map[string]any{"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly"}
	case status >= 500:
		out = map[string]any{"message": "Internal Server Error"}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // the sender may be gone
}

// Transport returns a way to the stand-in without sockets, for tests in virtual
// time.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ s *Server }

var errAway = errors.New("connection refused")

// RoundTrip serves one request in memory.
func (t transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			resp, err = nil, abort(r.Context())
		}
	}()
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.s.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Request: r,
		ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()),
	}, nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

func abort(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return errAway
}
