package gateway

import (
	"context"
	"testing"
	"time"
)

// A stop may come before the goroutines that serve have begun, as when a process
// is told to end while it starts. It must not wait for them for ever.
func TestStopRightAfterStart(t *testing.T) {
	t.Parallel()
	for range 50 {
		r := newIdleRig(t, func(c *Config) {
			c.Listen, c.AdminListen, c.Batch.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
		})
		if err := r.srv.Start(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		stopped := make(chan error, 1)
		go func() { stopped <- r.srv.Stop(ctx) }()
		select {
		case err := <-stopped:
			if err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			t.Fatal("the stop waits for a server that nobody ends")
		}
		cancel()
	}
}
