package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	"clickgate/gateway/token"
)

// Config describes a feed. Start from DefaultConfig.
type Config struct {
	EdgeURL  string     // such as http://127.0.0.1:8080
	APIKey   string     // of the source that posts the log
	TokenKey *token.Key // of tenant demo
	OtherKey *token.Key // of tenant other; nil for no clicks of it

	Log []byte // access log in combined format; nil for the embedded one

	Seed  uint64  // decides who clicks when on what
	Speed float64 // how much faster than real time everything goes, pauses included
	// Duration is how long to feed, in real time. With 0 the log goes out once,
	// and paid clicks until the context is done.
	Duration time.Duration

	LogDuration time.Duration // in which the visits of the log begin
	Day         time.Duration // how long a day of the paid campaign takes
	Peak        float64       // paid clicks per second at the busiest time of the day
	OtherPeak   float64       // the same of tenant other

	AttackAfter time.Duration
	AttackFor   time.Duration // 0 for no attack
	AttackRate  float64       // clicks per second, all addresses together
	Attackers   int           // addresses, 1 to 254

	Senders int // requests under way at once, per feed

	Transport http.RoundTripper // nil for plain HTTP to EdgeURL
	Now       func() time.Time
	Entropy   io.Reader // for ids and nonces
}

// DefaultConfig returns a demo of ten minutes; EdgeURL and keys are missing.
func DefaultConfig() Config {
	return Config{
		Seed: 1, Speed: 1,
		LogDuration: 10 * time.Minute,
		Day:         10 * time.Minute, Peak: 40, OtherPeak: 1,
		AttackAfter: 30 * time.Second, AttackFor: time.Minute, AttackRate: 150, Attackers: 12,
		Senders: 64,
		Now:     time.Now, Entropy: rand.Reader,
	}
}

// Validate reports the first impossible value and what to write instead.
func (c *Config) Validate() error {
	u, err := url.Parse(c.EdgeURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "":
		return fmt.Errorf("demo: EdgeURL %q is no address of a gateway; write http://host:port", c.EdgeURL)
	case c.APIKey == "" || c.TokenKey == nil:
		return errors.New("demo: APIKey or TokenKey is missing; Prepare makes both")
	case c.TokenKey.TenantID != Tenant || c.OtherKey != nil && c.OtherKey.TenantID != OtherTenant:
		return errors.New("demo: TokenKey or OtherKey is another tenant's; use those of Prepare")
	case !(c.Speed > 0) || math.IsInf(c.Speed, 0):
		return fmt.Errorf("demo: Speed %v is not above 0; 1 is real time", c.Speed)
	case c.Duration < 0:
		return fmt.Errorf("demo: Duration %s is negative; use 0 to feed until stopped", c.Duration)
	case c.LogDuration <= 0:
		return fmt.Errorf("demo: LogDuration %s is not above 0", c.LogDuration)
	case c.AttackAfter < 0 || c.AttackFor < 0:
		return fmt.Errorf("demo: an attack after %s for %s is impossible; neither may be negative", c.AttackAfter, c.AttackFor)
	case c.Senders < 1:
		return fmt.Errorf("demo: Senders %d is below 1", c.Senders)
	case c.Now == nil || c.Entropy == nil:
		return errors.New("demo: Now or Entropy is missing; start from DefaultConfig")
	}
	for _, p := range c.traffics() {
		if err := p.Validate(); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// end is the offset at which feeding ends, 0 for never.
func (c *Config) end() time.Duration { return time.Duration(float64(c.Duration) * c.Speed) }
