package console

import (
	"context"
	"time"
)

// cached keeps a value that takes time to read, for everybody who looks. It is
// read at most once per age, and reading takes at most one share of the time: a
// store that needs a second to count is asked every share seconds, however many
// people look.
type cached[T any] struct {
	age   time.Duration
	share int
	now   func() time.Time

	turn chan struct{} // held by the one who reads; guards the rest
	last *T
	next time.Time
}

func newCached[T any](age time.Duration, share int, now func() time.Time) *cached[T] {
	return &cached[T]{age: age, share: share, now: now, turn: make(chan struct{}, 1)}
}

// get returns the value, of read when it is due. While one reads, the others wait
// for what it finds.
func (c *cached[T]) get(ctx context.Context, read func(context.Context) (*T, error)) (*T, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	start := c.now()
	if c.last != nil && start.Before(c.next) {
		return c.last, nil
	}
	v, err := read(ctx)
	if err != nil {
		return nil, err
	}
	end := c.now()
	c.last, c.next = v, end.Add(max(c.age, time.Duration(c.share-1)*end.Sub(start)))
	return v, nil
}
