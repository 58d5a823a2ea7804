package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// BatchConfig is the `gateway.batch:` section: the listener that takes logs. It is
// apart from the click listener, so that big bodies never stand in a click's way.
type BatchConfig struct {
	Listen string `yaml:"listen"` // host:port; empty: no batch listener
	// TLSCert and TLSKey are PEM files. With them the listener speaks TLS, with
	// HTTP/2, and takes changed files over by itself.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`

	MaxRequests     int   `yaml:"max_requests"`     // at work at once; each needs memory
	MaxBody         int64 `yaml:"max_body"`         // bytes of a body as it is sent
	MaxDecompressed int64 `yaml:"max_decompressed"` // bytes of a body unpacked
	MaxRatio        int64 `yaml:"max_ratio"`        // unpacked to sent, judged beyond 8 MiB
	MaxLine         int   `yaml:"max_line"`         // bytes of a line; longer ones are malformed
	// Timeout is how long a body may take to arrive and to be worked on.
	Timeout time.Duration `yaml:"timeout"`
	// Stall is how long 16 KiB of a body may take to arrive.
	Stall time.Duration `yaml:"stall"`
}

func defaultBatchConfig() BatchConfig {
	return BatchConfig{
		MaxRequests:     16,
		MaxBody:         256 << 20,
		MaxDecompressed: 1 << 30,
		MaxRatio:        250,
		MaxLine:         1 << 20,
		Timeout:         10 * time.Minute,
		Stall:           30 * time.Second,
	}
}

// Validate reports the first impossible value, by key and remedy.
func (b *BatchConfig) Validate() error {
	if b.Listen != "" {
		if err := b.validateListen(); err != nil {
			return err
		}
	}
	for _, v := range []struct {
		key          string
		n, low, high int64
	}{
		{"max_requests", int64(b.MaxRequests), 1, 1 << 16},
		{"max_body", b.MaxBody, 1 << 10, 16 << 30},
		{"max_decompressed", b.MaxDecompressed, 1 << 10, 256 << 30},
		{"max_ratio", b.MaxRatio, 1, 1100},
		{"max_line", int64(b.MaxLine), 1 << 10, 2 << 20}, // replay cuts lines at 3 MiB
	} {
		if v.n < v.low || v.n > v.high {
			return fmt.Errorf("gateway.batch.%s: %d is out of range; use %d to %d", v.key, v.n, v.low, v.high)
		}
	}
	if b.Timeout < time.Second || b.Timeout > 24*time.Hour {
		return fmt.Errorf("gateway.batch.timeout: %s is out of range; use 1s to 24h", b.Timeout)
	}
	if b.Stall < 100*time.Millisecond || b.Stall > time.Hour {
		return fmt.Errorf("gateway.batch.stall: %s is out of range; use 100ms to 1h", b.Stall)
	}
	return nil
}

// validateListen also holds that API keys never travel in clear over a network.
func (b *BatchConfig) validateListen() error {
	host, _, err := net.SplitHostPort(b.Listen)
	if err != nil {
		return fmt.Errorf("gateway.batch.listen: %q is no address; write host:port, for example 127.0.0.1:8083", b.Listen)
	}
	switch {
	case b.TLSCert == "" && b.TLSKey != "":
		return fmt.Errorf("gateway.batch.tls_cert: is empty but gateway.batch.tls_key is set; name both PEM files")
	case b.TLSCert != "" && b.TLSKey == "":
		return fmt.Errorf("gateway.batch.tls_key: is empty but gateway.batch.tls_cert is set; name both PEM files")
	case b.TLSCert == "" && !isLoopback(host):
		return fmt.Errorf("gateway.batch.listen: %q can be reached from outside, and without TLS it would show API keys to the network; "+
			"name gateway.batch.tls_cert and gateway.batch.tls_key, or listen on 127.0.0.1", b.Listen)
	}
	return nil
}

// isLoopback takes addresses and the one name that RFC 6761 keeps for them.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
