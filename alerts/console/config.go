package console

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Config is the `console:` section of the configuration.
type Config struct {
	Listen  string `yaml:"listen"`   // host:port; empty: no console
	TLSCert string `yaml:"tls_cert"` // PEM files; read again when they change
	TLSKey  string `yaml:"tls_key"`
	// PublicURL is what browsers call the console where that is not its own
	// address, as behind a proxy: https://console.example.com.
	PublicURL string `yaml:"public_url"`
	// AllowPlain lets the console listen beyond loopback without TLS: on a network
	// that is encrypted itself, or behind a proxy on another machine.
	AllowPlain      bool          `yaml:"allow_plain"`
	IdleTimeout     time.Duration `yaml:"idle_timeout"`     // of a session without use
	SessionLifetime time.Duration `yaml:"session_lifetime"` // of any session
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:8082", IdleTimeout: time.Hour, SessionLifetime: 12 * time.Hour}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	if c.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("console.listen: %q is no address; write host:port, for example 127.0.0.1:8082, or nothing for no console", c.Listen)
	case !loopback(host) && c.TLSCert == "" && !c.AllowPlain:
		return fmt.Errorf("console.listen: %q can be reached from other machines, which would read passwords on the way; set console.tls_cert and console.tls_key, "+
			"or listen on 127.0.0.1:%s and reach it through `ssh -L %s:127.0.0.1:%s HOST`, or set console.allow_plain: true", c.Listen, port, port, port)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fmt.Errorf("console.tls_key: certificate and key belong together; set console.tls_cert and console.tls_key, or neither")
	case c.IdleTimeout < time.Minute || c.IdleTimeout > c.SessionLifetime:
		return fmt.Errorf("console.idle_timeout: %s is out of range; use 1m up to console.session_lifetime", c.IdleTimeout)
	case c.SessionLifetime > 30*24*time.Hour:
		return fmt.Errorf("console.session_lifetime: %s is out of range; use at most 720h", c.SessionLifetime)
	}
	return c.validateURL()
}

func (c *Config) validateURL() error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || c.PublicURL != u.Scheme+"://"+u.Host {
		return fmt.Errorf("console.public_url: %q is no address of a site; write scheme and host alone, for example https://console.example.com", c.PublicURL)
	}
	return nil
}

// secure reports whether browsers speak TLS to the console, or to the proxy
// before it.
func (c *Config) secure() bool { return c.TLSCert != "" || strings.HasPrefix(c.PublicURL, "https://") }

// ownLoopback reports whether only this machine reaches the console.
func (c *Config) ownLoopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && loopback(host)
}

// answersTo reports whether a request may name the console by a host. Whoever
// points a name of his own at a loopback address makes a page of the same origin
// as itself, and only the Host header tells it apart.
func (c *Config) answersTo(host string) bool {
	public := ""
	if u, err := url.Parse(c.PublicURL); err == nil {
		public = u.Hostname()
	}
	switch {
	case public != "" && strings.EqualFold(host, public):
		return true
	case c.ownLoopback():
		return loopback(host)
	}
	return public == "" && host != ""
}

// loopback reports whether a host names this machine to itself alone.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && addr.Unmap().IsLoopback()
}
