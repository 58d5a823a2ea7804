package pagerduty

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// DefaultURL is where events go. Accounts in the EU region use
// https://events.eu.pagerduty.com/v2/enqueue.
const DefaultURL = "https://events.pagerduty.com/v2/enqueue"

// MaxCalls is the highest allowed budget: PagerDuty's own limit for a routing key,
// over a sliding minute.
const MaxCalls = 120

// MaxTimeout bounds a call, because whoever makes calls must not act on longer than
// its right to do so lasts.
const MaxTimeout = 10 * time.Second

// Config is the `pagerduty:` section of the configuration.
type Config struct {
	RoutingKey     string        `yaml:"routing_key"`      // secret; 32 letters and digits
	RoutingKeyFile string        `yaml:"routing_key_file"` // or a file that holds it
	URL            string        `yaml:"url"`
	Timeout        time.Duration `yaml:"timeout"`          // of one call
	CallsPerMinute int           `yaml:"calls_per_minute"` // over any sliding minute
}

// DefaultConfig returns the defaults; the routing key is missing.
func DefaultConfig() Config {
	return Config{URL: DefaultURL, Timeout: MaxTimeout, CallsPerMinute: 60}
}

// Configured reports whether a routing key is set.
func (c *Config) Configured() bool { return c.RoutingKey != "" || c.RoutingKeyFile != "" }

// Validate reports the first impossible value, by key and remedy. A missing key is
// none: standalone runs without.
func (c *Config) Validate() error {
	switch {
	case c.RoutingKey != "" && c.RoutingKeyFile != "":
		return errors.New("pagerduty.routing_key_file: pagerduty.routing_key is set as well; keep one of the two")
	case c.RoutingKey != "" && !validKey(c.RoutingKey):
		return errors.New("pagerduty.routing_key: is no integration key; copy the 32 letters and digits of the service's Events API v2 integration")
	case c.Timeout < time.Second || c.Timeout > MaxTimeout:
		return fmt.Errorf("pagerduty.timeout: %s is out of range; use 1s to %s, because a call has to end before the lease of its sender does", c.Timeout, MaxTimeout)
	case c.CallsPerMinute < 1 || c.CallsPerMinute > MaxCalls:
		return fmt.Errorf("pagerduty.calls_per_minute: %d is out of range; use 1 to %d", c.CallsPerMinute, MaxCalls)
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return errors.New("pagerduty.url: is no address; write https://events.pagerduty.com/v2/enqueue, or its EU form")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return errors.New("pagerduty.url: would send the routing key in clear; write https://")
	}
	return nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func validKey(key string) bool {
	if len(key) != 32 {
		return false
	}
	for _, c := range []byte(key) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}

// Key returns the routing key, read from its file where that is configured.
func (c *Config) Key() (string, error) {
	if c.RoutingKeyFile == "" {
		return c.RoutingKey, nil
	}
	text, err := os.ReadFile(c.RoutingKeyFile)
	if err != nil {
		return "", fmt.Errorf("pagerduty.routing_key_file: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if !validKey(key) {
		return "", errors.New("pagerduty.routing_key_file: holds no integration key; write the 32 letters and digits of the service's Events API v2 integration into it")
	}
	return key, nil
}
