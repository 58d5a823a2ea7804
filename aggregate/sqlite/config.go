package sqlite

import "time"

// Config holds what a store can be told; the zero value is ready to use.
type Config struct {
	// BusyTimeout is how long a statement waits for a lock that another process
	// holds; 0 means 5 s.
	BusyTimeout time.Duration
	// Readers is the number of connections that read; 0 means 4.
	Readers int
	// Now is the clock of ingested_at and claimed_at; nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
