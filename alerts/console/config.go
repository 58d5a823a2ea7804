package console

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Config is the `console:` section of the configuration.
type Config struct {
	Listen string `yaml:"listen"` // host:port on loopback; empty: no console
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8082"} }

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	if c.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("console.listen: %q is no address; write host:port, for example 127.0.0.1:8082, or nothing for no console", c.Listen)
	}
	if !loopback(host) {
		return fmt.Errorf("console.listen: %q can be reached from other machines, and the console asks nobody who they are; listen on 127.0.0.1:%s and reach it through `ssh -L %s:127.0.0.1:%s HOST`", c.Listen, port, port, port)
	}
	return nil
}

// loopback reports whether a host names this machine to itself alone.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && addr.Unmap().IsLoopback()
}
