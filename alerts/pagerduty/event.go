package pagerduty

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the Events API v2. Characters are counted twice, as code points and as
// UTF-16 units, because the documentation does not say which.
const (
	MaxSummary  = 1024
	MaxDedupKey = 255
	MaxBody     = 512 << 10 // bytes of a whole event

	// maxText bounds the short texts, for which no limit is documented.
	maxText = 255
	// bodyRoom is what an event is cut to: the proxies on the way may write it
	// with other escapes.
	bodyRoom = 448 << 10
)

// Action is what an event does to an alert.
type Action string

// Actions.
const (
	Trigger     Action = "trigger"
	Acknowledge Action = "acknowledge"
	Resolve     Action = "resolve"
)

// Severity of an alert.
type Severity string

// Severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Error    Severity = "error"
	Critical Severity = "critical"
)

// Event is one call, without the routing key, so that it can be stored. Only
// Action and DedupKey mean something in an acknowledge or resolve.
type Event struct {
	Action   Action `json:"action"`
	DedupKey string `json:"dedup_key"`

	Summary   string    `json:"summary,omitempty"`
	Source    string    `json:"source,omitempty"`
	Severity  Severity  `json:"severity,omitempty"`
	Time      time.Time `json:"time,omitzero"`
	Component string    `json:"component,omitempty"`
	Group     string    `json:"group,omitempty"`
	Class     string    `json:"class,omitempty"`

	// Details are shown with the alert. Items are a list among them, in order of
	// importance: of a large one the end is cut.
	Details map[string]any `json:"details,omitempty"`
	Items   []any          `json:"items,omitempty"`

	Client string `json:"client,omitempty"` // who sends
	Link   string `json:"link,omitempty"`   // where the case can be read
}

// wire is the event as PagerDuty wants it.
type wire struct {
	RoutingKey string   `json:"routing_key"`
	Action     Action   `json:"event_action"`
	DedupKey   string   `json:"dedup_key"`
	Payload    *payload `json:"payload,omitempty"`
	Client     string   `json:"client,omitempty"`
	ClientURL  string   `json:"client_url,omitempty"`
	Links      []link   `json:"links,omitempty"`
}

type payload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  Severity       `json:"severity"`
	Timestamp string         `json:"timestamp,omitempty"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// encode returns the body of a call, within all limits. It fails for an event that
// PagerDuty would refuse whatever is cut.
func (e *Event) encode(routingKey string) ([]byte, error) {
	switch {
	case e.DedupKey == "":
		return nil, errors.New("event has no dedup key")
	case len(e.DedupKey) > MaxDedupKey || !utf8.ValidString(e.DedupKey):
		// Cutting it would make two incidents one.
		return nil, fmt.Errorf("dedup key has %d bytes; %d of UTF-8 are allowed: hash what it is made from", len(e.DedupKey), MaxDedupKey)
	}
	w := wire{RoutingKey: routingKey, Action: e.Action, DedupKey: e.DedupKey}
	switch e.Action {
	case Acknowledge, Resolve:
		return json.Marshal(&w)
	case Trigger:
	default:
		return nil, fmt.Errorf("event action %q is unknown", e.Action)
	}
	switch e.Severity {
	case Info, Warning, Error, Critical:
	default:
		return nil, fmt.Errorf("severity %q is unknown", e.Severity)
	}
	if e.Summary == "" || e.Source == "" {
		return nil, errors.New("event has no summary or no source")
	}
	e.fill(&w)
	return fit(&w, e)
}

func (e *Event) fill(w *wire) {
	w.Payload = &payload{
		Summary: clampWith(e.Summary, MaxSummary, e.Link), Source: clamp(e.Source, maxText), Severity: e.Severity,
		Component: clamp(e.Component, maxText), Group: clamp(e.Group, maxText), Class: clamp(e.Class, maxText),
	}
	if !e.Time.IsZero() {
		w.Payload.Timestamp = e.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	w.Client = clamp(e.Client, maxText)
	if e.Link != "" {
		w.ClientURL, w.Links = e.Link, []link{{Href: e.Link, Text: "Open the case"}}
	}
}

// fit marshals w with as many of the items as there is room for.
func fit(w *wire, e *Event) ([]byte, error) {
	try := func(n int) ([]byte, error) {
		w.Payload.Details = e.details(n)
		return json.Marshal(w)
	}
	body, err := try(len(e.Items))
	if err != nil || len(body) <= bodyRoom {
		return body, err
	}
	// The first number of items that is one too many.
	over := sort.Search(len(e.Items), func(n int) bool {
		b, err := try(n)
		return err != nil || len(b) > bodyRoom
	})
	if over > 0 {
		return try(over - 1)
	}
	w.Payload.Details = map[string]any{"cut": "the details are too large" + at(e.Link)}
	if body, err = json.Marshal(w); err == nil && len(body) > MaxBody {
		err = fmt.Errorf("event has %d bytes without its details; %d are allowed", len(body), MaxBody)
	}
	return body, err
}

// details returns the details with the first n items.
func (e *Event) details(n int) map[string]any {
	if len(e.Items) == 0 {
		return e.Details
	}
	d := map[string]any{"items": e.Items[:n]}
	for k, v := range e.Details {
		d[k] = v
	}
	if cut := len(e.Items) - n; cut > 0 {
		d["more"] = fmt.Sprintf("%d more", cut) + at(e.Link)
	}
	return d
}

func at(link string) string {
	if link == "" {
		return ""
	}
	return ", see " + link
}

// clamp cuts a text to limit characters and UTF-16 units at the border of a
// character, with an ellipsis in place of what is gone.
func clamp(s string, limit int) string { return clampWith(s, limit, "") }

// clampWith is clamp with a link behind the ellipsis, as long as it leaves room.
func clampWith(s string, limit int, link string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if units(s) <= limit {
		return s
	}
	tail := "…"
	if n := units(link); link != "" && n < limit/2 {
		tail = "… " + link
	}
	room := limit - units(tail)
	for i, r := range s {
		if room -= unitsOf(r); room < 0 {
			return s[:i] + tail
		}
	}
	return s
}

// units counts UTF-16 units, of which there are never fewer than code points.
func units(s string) (n int) {
	for _, r := range s {
		n += unitsOf(r)
	}
	return n
}

func unitsOf(r rune) int {
	if r > 0xFFFF {
		return 2
	}
	return 1
}
