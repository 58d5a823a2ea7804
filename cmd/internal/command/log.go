package command

import (
	"log/slog"

	"clickgate/cmd/internal/config"
)

// logger writes the program's log to standard error, so that standard output
// stays a command's answer.
func (s *session) logger(c *config.Log) *slog.Logger {
	opt := &slog.HandlerOptions{Level: c.SlogLevel()}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(s.Stderr, opt))
	}
	return slog.New(slog.NewTextHandler(s.Stderr, opt))
}
