package aggregate

import (
	"fmt"
	"net"
	"time"
)

// Config is the aggregator's part of the configuration.
type Config struct {
	AdminListen string        `yaml:"admin_listen"` // health, metrics; never expose it; empty for none
	Group       string        `yaml:"group"`        // Kafka consumer group
	MaxRecords  int           `yaml:"max_records"`  // per partition batch
	MaxWait     time.Duration `yaml:"max_wait"`     // longest wait for a batch to fill on the broker
	RetryPause  time.Duration `yaml:"retry_pause"`  // between tries while the store is away
	// SessionTimeout is how long the partitions of an aggregator that died wait for
	// another. The store's fence makes a wrong guess harmless, so it may be short;
	// brokers refuse less than their group.min.session.timeout.ms, 6 s by default.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	Close          CloseConfig   `yaml:"close"`
	Audit          AuditConfig   `yaml:"audit"`
	Feeds          FeedConfig    `yaml:"feeds"`
}

// CloseConfig is how hours are closed.
type CloseConfig struct {
	Interval time.Duration `yaml:"interval"` // between looks for hours that may close; 0 closes none in this process
	Lease    time.Duration `yaml:"lease"`    // how long a closer that died keeps its hour
	Batch    int           `yaml:"batch"`    // clicks read at once
	// SuspectValidBelow is the score below which a suspect click is valid when its
	// hour closes; the others are invalid. 0: none is billed.
	SuspectValidBelow float64 `yaml:"suspect_valid_below"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		AdminListen:    "127.0.0.1:8084",
		Group:          "clickgate-aggregate",
		MaxRecords:     5_000,
		MaxWait:        100 * time.Millisecond,
		RetryPause:     time.Second,
		SessionTimeout: 10 * time.Second,
		Close:          CloseConfig{Interval: 10 * time.Second, Lease: 5 * time.Minute, Batch: 5_000},
		Audit:          AuditConfig{Interval: 5 * time.Minute},
		Feeds:          FeedConfig{ImpressionsKeep: 36 * time.Hour},
	}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	if c.AdminListen != "" {
		if _, _, err := net.SplitHostPort(c.AdminListen); err != nil {
			return fmt.Errorf("aggregate.admin_listen: %q is no address; write host:port, for example 127.0.0.1:8084", c.AdminListen)
		}
	}
	switch {
	case c.Group == "":
		return fmt.Errorf("aggregate.group: is empty; name the Kafka consumer group")
	case c.MaxRecords < 1 || c.MaxRecords > 100_000:
		return fmt.Errorf("aggregate.max_records: %d is out of range; use 1 to 100000", c.MaxRecords)
	case c.MaxWait < time.Millisecond || c.MaxWait > 10*time.Second:
		return fmt.Errorf("aggregate.max_wait: %s is out of range; use 1ms to 10s", c.MaxWait)
	case c.RetryPause < 10*time.Millisecond || c.RetryPause > time.Minute:
		return fmt.Errorf("aggregate.retry_pause: %s is out of range; use 10ms to 1m", c.RetryPause)
	case c.SessionTimeout < time.Second || c.SessionTimeout > 5*time.Minute:
		return fmt.Errorf("aggregate.session_timeout: %s is out of range; use 1s to 5m", c.SessionTimeout)
	}
	if err := c.Close.Validate(); err != nil {
		return err
	}
	if err := c.Feeds.Validate(); err != nil {
		return err
	}
	return c.Audit.Validate()
}

// Validate reports the first impossible value, by key and remedy.
func (c *CloseConfig) Validate() error {
	switch {
	case c.Interval != 0 && (c.Interval < 10*time.Millisecond || c.Interval > time.Hour):
		return fmt.Errorf("aggregate.close.interval: %s is out of range; use 10ms to 1h, or 0 to close no hours in this process", c.Interval)
	case c.Lease < time.Second || c.Lease > time.Hour:
		return fmt.Errorf("aggregate.close.lease: %s is out of range; use 1s to 1h", c.Lease)
	case c.Batch < 1 || c.Batch > 100_000:
		return fmt.Errorf("aggregate.close.batch: %d is out of range; use 1 to 100000", c.Batch)
	case !(c.SuspectValidBelow >= 0 && c.SuspectValidBelow <= 1):
		return fmt.Errorf("aggregate.close.suspect_valid_below: %v is out of range; use 0 to 1", c.SuspectValidBelow)
	}
	return nil
}
