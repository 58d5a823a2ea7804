package gateway

import (
	"fmt"
	"net"
	"regexp"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/edge"
)

// Config is the `gateway:` section of the configuration.
type Config struct {
	Listen      string `yaml:"listen"`       // clicks: host:port
	AdminListen string `yaml:"admin_listen"` // health, metrics, profiles; never expose it
	Region      string `yaml:"region"`       // first part of the gateway's name in every ingest id
	// TrustedProxies are the addresses and prefixes whose X-Forwarded-For and
	// PROXY headers are believed; nobody's by default.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// ProxyProtocol makes trusted proxies speak PROXY protocol v2, always; other
	// peers must not.
	ProxyProtocol bool     `yaml:"proxy_protocol"`
	Limits        Limits   `yaml:"limits"`
	Timeouts      Timeouts `yaml:"timeouts"`
	// Admission says who comes in when not all can.
	Admission admit.Config `yaml:"admission"`
	Batch     BatchConfig  `yaml:"batch"`
}

// Limits bound what clients may ask for.
type Limits struct {
	MaxConnections      int   `yaml:"max_connections"`
	MaxConnectionsPerIP int   `yaml:"max_connections_per_ip"` // of one client (IPv6: one /64), trusted proxies apart; 0: no bound
	MaxInFlight         int   `yaml:"max_in_flight"`          // requests between permit and answer: the highest the limit may go
	MaxHeaderBytes      int   `yaml:"max_header_bytes"`       // request line included
	MaxBeaconBytes      int   `yaml:"max_beacon_bytes"`
	MaxBatchBytes       int   `yaml:"max_batch_bytes"`
	MaxItemBytes        int   `yaml:"max_item_bytes"`
	MaxBatchItems       int   `yaml:"max_batch_items"`
	MaxAnswers          int   `yaml:"max_answers"`      // remembered under idempotency keys
	MaxAnswerBytes      int64 `yaml:"max_answer_bytes"` // of all of them together
}

// Timeouts bound how long a client or the durable log may take.
type Timeouts struct {
	Read        time.Duration `yaml:"read"`         // a whole request
	Write       time.Duration `yaml:"write"`        // a whole answer
	Idle        time.Duration `yaml:"idle"`         // between requests of a connection
	ProxyHeader time.Duration `yaml:"proxy_header"` // the PROXY header of a connection
	Durable     time.Duration `yaml:"durable"`      // then the client is told that nothing was recorded
	// Lead is how long a gateway that was told to end still takes everything, while
	// /readyz already fails and every answer ends its connection.
	Lead time.Duration `yaml:"lead"`
	// Drain bounds the stop behind that, the log's part included.
	Drain   time.Duration `yaml:"drain"`
	Answers time.Duration `yaml:"answers"` // how long an idempotency key is remembered
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Listen:      ":8080",
		AdminListen: "127.0.0.1:8081",
		Region:      "local",
		Limits: Limits{
			MaxConnections: 65_536,
			// A sixteenth: many subscribers may stand behind one address.
			MaxConnectionsPerIP: 4096,
			MaxInFlight:         4096,
			MaxHeaderBytes:      8 << 10,
			MaxBeaconBytes:      8 << 10,
			MaxBatchBytes:       1 << 20,
			MaxItemBytes:        64 << 10,
			MaxBatchItems:       1000,
			MaxAnswers:          10_000,
			MaxAnswerBytes:      64 << 20,
		},
		Timeouts: Timeouts{
			Read:        5 * time.Second,
			Write:       5 * time.Second,
			Idle:        60 * time.Second,
			ProxyHeader: time.Second,
			Durable:     5 * time.Second,
			Lead:        time.Second,
			Drain:       5 * time.Second,
			Answers:     24 * time.Hour,
		},
		Batch:     defaultBatchConfig(),
		Admission: admit.DefaultConfig(),
	}
}

// region is also a label and a part of keys, so it is kept plain.
var region = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"admin_listen", c.AdminListen}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("gateway.%s: %q is no address; write host:port, for example 127.0.0.1:8080", a.key, a.addr)
		}
	}
	if !region.MatchString(c.Region) {
		return fmt.Errorf("gateway.region: %q is no region name; use up to 32 of a-z, 0-9 and -", c.Region)
	}
	if _, err := edge.NewTrust(c.TrustedProxies); err != nil {
		return fmt.Errorf("gateway.trusted_proxies: %w", err)
	}
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		return fmt.Errorf("gateway.proxy_protocol: nobody may speak it; name the load balancers in gateway.trusted_proxies")
	}
	if err := c.Limits.validate(); err != nil {
		return err
	}
	if err := c.Timeouts.validate(); err != nil {
		return err
	}
	if err := c.Admission.Validate(); err != nil {
		return err
	}
	return c.Batch.Validate()
}

func (l *Limits) validate() error {
	for _, v := range []struct {
		key          string
		n, low, high int64
	}{
		{"max_connections", int64(l.MaxConnections), 1, 1 << 24},
		{"max_connections_per_ip", int64(l.MaxConnectionsPerIP), 0, 1 << 24},
		{"max_in_flight", int64(l.MaxInFlight), 1, 1 << 24},
		{"max_header_bytes", int64(l.MaxHeaderBytes), 1 << 10, 64 << 10},
		{"max_beacon_bytes", int64(l.MaxBeaconBytes), 256, 64 << 10},
		{"max_batch_bytes", int64(l.MaxBatchBytes), 1 << 10, 16 << 20},
		{"max_item_bytes", int64(l.MaxItemBytes), 1 << 10, 512 << 10},
		{"max_batch_items", int64(l.MaxBatchItems), 1, 100_000},
		{"max_answers", int64(l.MaxAnswers), 1, 1 << 24},
		{"max_answer_bytes", l.MaxAnswerBytes, 1 << 16, 16 << 30},
	} {
		if v.n < v.low || v.n > v.high {
			return fmt.Errorf("gateway.limits.%s: %d is out of range; use %d to %d", v.key, v.n, v.low, v.high)
		}
	}
	return nil
}

func (t *Timeouts) validate() error {
	for _, v := range []struct {
		key          string
		d, low, high time.Duration
	}{
		{"read", t.Read, 100 * time.Millisecond, 5 * time.Minute},
		{"write", t.Write, 100 * time.Millisecond, 5 * time.Minute},
		{"idle", t.Idle, time.Second, time.Hour},
		{"proxy_header", t.ProxyHeader, 10 * time.Millisecond, time.Minute},
		{"durable", t.Durable, 10 * time.Millisecond, time.Minute},
		{"lead", t.Lead, 0, 5 * time.Minute},
		{"drain", t.Drain, 100 * time.Millisecond, 5 * time.Minute},
		{"answers", t.Answers, time.Minute, 7 * 24 * time.Hour},
	} {
		if v.d < v.low || v.d > v.high {
			return fmt.Errorf("gateway.timeouts.%s: %s is out of range; use %s to %s", v.key, v.d, v.low, v.high)
		}
	}
	return nil
}
