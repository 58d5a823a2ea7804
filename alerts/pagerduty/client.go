package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Fault says what became of a call that did not end with 202.
type Fault struct {
	Status     int           // of the answer; 0 when there was none
	Message    string        // PagerDuty's words, or those of the network, cut and without the key
	RetryAfter time.Duration // the least wait that was asked for; 0 for none
	// Final says that the same event will be refused again.
	Final bool
}

// Error says what happened; it never holds the routing key.
func (f *Fault) Error() string {
	if f.Status == 0 {
		return "PagerDuty did not answer: " + f.Message
	}
	return fmt.Sprintf("PagerDuty answered %d: %s", f.Status, f.Message)
}

// Client sends events. It is safe for concurrent use.
type Client struct {
	key     string
	url     string
	timeout time.Duration
	http    *http.Client
	budget  *budget
}

// New returns a client. A nil transport is one of its own for plain HTTPS.
func New(cfg Config, transport http.RoundTripper, now func() time.Time) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	key, err := cfg.Key()
	if err == nil && key == "" {
		err = errors.New("pagerduty.routing_key: is empty; copy it from the service's Events API v2 integration, or name a file with pagerduty.routing_key_file")
	}
	if err != nil {
		return nil, err
	}
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConns: 2, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: cfg.Timeout, ForceAttemptHTTP2: true,
		}
	}
	return &Client{
		key: key, url: cfg.URL, timeout: cfg.Timeout, budget: newBudget(cfg.CallsPerMinute, now),
		// A redirect would carry the key to who knows where.
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Wait returns when another call is within the budget, or with the context's
// error.
func (c *Client) Wait(ctx context.Context) error { return c.budget.wait(ctx) }

// Send makes one call, within the budget, and returns nil when PagerDuty took the
// event, a *Fault when it did not, or the context's error when there was no call.
func (c *Client) Send(ctx context.Context, e *Event) error {
	body, err := e.encode(c.key)
	if err != nil {
		return &Fault{Message: err.Error(), Final: true}
	}
	if err := c.budget.take(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return &Fault{Message: c.clean(err.Error())}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return &Fault{Message: c.clean(withoutURL(err).Error())}
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status says all that matters
	return c.judge(resp, text)
}

const (
	maxAnswer  = 16 << 10
	maxMessage = 300
)

// judge reads an answer. Refusals of the event itself are final; what a wrong
// address, a proxy or a revoked key answers is not, since whoever repairs it still
// wants the page.
func (c *Client) judge(resp *http.Response, text []byte) error {
	if resp.StatusCode == http.StatusAccepted {
		return nil
	}
	f := &Fault{Status: resp.StatusCode, Message: c.clean(message(text))}
	switch f.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		f.Final = true
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		f.RetryAfter = time.Duration(min(s, 3600)) * time.Second
	}
	return f
}

// message reads PagerDuty's error object, or takes the text as it is.
func message(text []byte) string {
	var answer struct {
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}
	if json.Unmarshal(text, &answer) == nil && answer.Message != "" {
		return strings.Join(append([]string{answer.Message}, answer.Errors...), "; ")
	}
	return string(text)
}

// clean makes a text of others fit for logs and stores.
func (c *Client) clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), c.key, "REDACTED")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if s == "" {
		return "no reason given"
	}
	return clamp(s, maxMessage)
}

// withoutURL drops the address that net/http puts before every error.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
