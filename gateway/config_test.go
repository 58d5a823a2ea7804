package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestDefaultConfigIsValid(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := yaml.UnmarshalWithOptions(text, &back, yaml.Strict()); err != nil || back.Limits != c.Limits || back.Timeouts != c.Timeouts {
		t.Errorf("config does not survive YAML: %v\n%s", err, text)
	}
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*Config){
		"listen":                        func(c *Config) { c.Listen = "8080" },
		"admin_listen":                  func(c *Config) { c.AdminListen = "" },
		"region":                        func(c *Config) { c.Region = "EU West" },
		"trusted_proxies":               func(c *Config) { c.TrustedProxies = []string{"0.0.0.0/0"} },
		"proxy_protocol":                func(c *Config) { c.ProxyProtocol = true },
		"limits.max_connections_per_ip": func(c *Config) { c.Limits.MaxConnectionsPerIP = -1 },
		"timeouts.lead":                 func(c *Config) { c.Timeouts.Lead = -1 },
		"timeouts.drain":                func(c *Config) { c.Timeouts.Drain = 0 },
		"admission.pause":               func(c *Config) { c.Admission.Pause = 0 },
		"limits.max_connections":        func(c *Config) { c.Limits.MaxConnections = 0 },
		"limits.max_in_flight":          func(c *Config) { c.Limits.MaxInFlight = 0 },
		"admission.waiting":             func(c *Config) { c.Admission.Waiting = -1 },
		"limits.max_header_bytes":       func(c *Config) { c.Limits.MaxHeaderBytes = 100 },
		"limits.max_beacon_bytes":       func(c *Config) { c.Limits.MaxBeaconBytes = 1 << 20 },
		"limits.max_batch_bytes":        func(c *Config) { c.Limits.MaxBatchBytes = 1 << 30 },
		"limits.max_item_bytes":         func(c *Config) { c.Limits.MaxItemBytes = 1 },
		"limits.max_batch_items":        func(c *Config) { c.Limits.MaxBatchItems = 0 },
		"limits.max_answers":            func(c *Config) { c.Limits.MaxAnswers = 0 },
		"limits.max_answer_bytes":       func(c *Config) { c.Limits.MaxAnswerBytes = 1 },
		"timeouts.read":                 func(c *Config) { c.Timeouts.Read = 0 },
		"timeouts.write":                func(c *Config) { c.Timeouts.Write = time.Hour },
		"timeouts.idle":                 func(c *Config) { c.Timeouts.Idle = 0 },
		"timeouts.proxy_header":         func(c *Config) { c.Timeouts.ProxyHeader = 0 },
		"timeouts.durable":              func(c *Config) { c.Timeouts.Durable = 0 },
		"timeouts.answers":              func(c *Config) { c.Timeouts.Answers = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "gateway."+key+": ") {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if _, err := New(c, Dependencies{}); err == nil {
			t.Errorf("%s: New takes it", key)
		}
	}
	if _, err := New(DefaultConfig(), Dependencies{}); err == nil || !strings.Contains(err.Error(), "dependency") {
		t.Errorf("no dependencies: %v", err)
	}
}

func TestStartNamesTheAddressItCannotHave(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"listen", "admin_listen"} {
		r := newIdleRig(t, func(c *Config) {
			c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
			if key == "listen" {
				c.Listen = "256.0.0.1:1"
			} else {
				c.AdminListen = "256.0.0.1:1"
			}
		})
		if err := r.srv.Start(); err == nil || !strings.HasPrefix(err.Error(), "gateway."+key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
	r := newIdleRig(t, nil)
	if err := r.srv.Stop(t.Context()); err != nil {
		t.Errorf("Stop before Start: %v", err)
	}
}

func TestRealSockets(t *testing.T) {
	t.Parallel()
	r := newIdleRig(t, func(c *Config) { c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0" })
	if err := r.srv.Start(); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(r.srv.Addr().String(), ":0") || strings.HasSuffix(r.srv.AdminAddr().String(), ":0") {
		t.Errorf("addresses %s and %s", r.srv.Addr(), r.srv.AdminAddr())
	}
	a := overTCP(t, r.srv.Addr().String(), request("GET", "/c?t="+r.mint(nil), ""))
	if a.status != 302 {
		t.Errorf("answer %+v", a)
	}
	if e := r.evidence(r.one()); e.IP != "127.0.0.1" {
		t.Errorf("ip %q", e.IP)
	}
	if err := r.srv.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
