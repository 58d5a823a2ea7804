package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"clickgate/aggregate"
)

// Whoever gives up while his transaction begins leaves nothing open: the driver may have
// begun it all the same, and the next one would find it there for ever.
func TestGivingUpAtBegin(t *testing.T) {
	t.Parallel()
	s := openCopy(t)
	for name, use := range map[string]func(context.Context) error{
		"write": func(ctx context.Context) error { return s.InTx(ctx, func(aggregate.Tx) error { return nil }) },
		"read":  func(ctx context.Context) error { return s.snapshot(ctx, "nothing", func(*sql.Tx) error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gaveUp := 0
			for i := range 4000 {
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					time.Sleep(time.Duration(i%100) * time.Microsecond)
					cancel()
				}()
				if i%100 == 0 {
					cancel()
				}
				if err := use(ctx); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Fatalf("try %d: %v", i, err)
					}
					gaveUp++
				}
				cancel()
				if err := use(t.Context()); err != nil {
					t.Fatalf("after try %d: %v", i, err)
				}
			}
			if gaveUp < 20 {
				t.Errorf("only %d of 4000 gave up", gaveUp)
			}
		})
	}
}
