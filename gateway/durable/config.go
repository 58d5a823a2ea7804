package durable

import (
	"fmt"
	"time"
)

// First says where an event is made durable first.
type First string

// Orders.
const (
	// KafkaFirst acks when Kafka has the event, and falls back to the spool.
	KafkaFirst First = "kafka"
	// SpoolFirst acks on the spool's fsync; Kafka is only transport.
	SpoolFirst First = "spool"
)

// Config is the durable log's part of the configuration.
type Config struct {
	First        First         `yaml:"first"`
	MarkInterval time.Duration `yaml:"mark_interval"`
	InFlight     int           `yaml:"in_flight"` // spooled records on their way to Kafka
	StopTimeout  time.Duration `yaml:"stop_timeout"`
	// Silence is after how long without any ack of Kafka's the spool gets copies,
	// if that is sooner than kafka.ack_deadline: what waits for a dead Kafka holds
	// permits that paid clicks wait for.
	Silence time.Duration `yaml:"silence"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{First: KafkaFirst, MarkInterval: time.Second, InFlight: 10_000, StopTimeout: 5 * time.Second, Silence: 150 * time.Millisecond}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	switch {
	case c.First != KafkaFirst && c.First != SpoolFirst:
		return fmt.Errorf("durable.first: %q is unknown; use %q or %q", c.First, KafkaFirst, SpoolFirst)
	case c.MarkInterval < 10*time.Millisecond || c.MarkInterval > time.Minute:
		return fmt.Errorf("durable.mark_interval: %s is out of range; use 10ms to 1m", c.MarkInterval)
	case c.InFlight < 1:
		return fmt.Errorf("durable.in_flight: %d is out of range; use at least 1", c.InFlight)
	case c.Silence < 10*time.Millisecond || c.Silence > time.Minute:
		return fmt.Errorf("durable.silence: %s is out of range; use 10ms to 1m", c.Silence)
	case c.StopTimeout <= 0:
		return fmt.Errorf("durable.stop_timeout: %s is out of range; use more than 0", c.StopTimeout)
	}
	return nil
}
