package timescale

import "time"

// Config holds what a store can be told beside its DSN; the zero value is ready
// to use.
type Config struct {
	// MaxConns bounds the pool; 0 leaves the DSN's pool_max_conns or pgx's default.
	MaxConns int32
	// NoExtension leaves TimescaleDB uninstalled even where the server offers it.
	// Where it is installed already it is used.
	NoExtension bool
	// Now says which days deserve a partition on plain PostgreSQL; nil means
	// time.Now. Stored times come from the server's clock.
	Now func() time.Time
}
