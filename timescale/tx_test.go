package timescale

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestRetries: serialization failures and deadlocks run the transaction again, a
// bounded number of times; other errors and the context end it.
func TestRetries(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []struct {
		name      string
		ctx       context.Context
		code      string
		failures  int
		want      int
		succeeded bool
	}{
		{"deadlock", t.Context(), "40P01", 2, 3, true},
		{"serialization failure", t.Context(), "40001", 2, 3, true},
		{"for ever", t.Context(), "40001", 1000, txTries, false},
		{"another error", t.Context(), "23505", 1000, 1, false},
		{"cancelled meanwhile", ctx, "40001", 1000, 1, false},
	} {
		tries := 0
		err := s.InTx(c.ctx, func(aggregate.Tx) error {
			tries++
			if c.ctx == ctx {
				cancel()
			}
			if tries <= c.failures {
				return fmt.Errorf("clicks: %w", &pgconn.PgError{Code: c.code})
			}
			return nil
		})
		if tries != c.want || (err == nil) != c.succeeded {
			t.Errorf("%s: %d tries, error %v; want %d tries, success %v", c.name, tries, err, c.want, c.succeeded)
		}
		if c.ctx == ctx && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

// TestDeadlock: two transactions lock two partitions' positions in opposite order;
// the server ends one, which then runs again.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	var parts [2]aggregate.Partition
	var fences [2]int64
	for i := range parts {
		parts[i] = aggregate.Partition{ClusterID: "c", Topic: "t", Number: int32(i)}
		c, err := s.Claim(t.Context(), parts[i], "test")
		if err != nil {
			t.Fatal(err)
		}
		fences[i] = c.Fence
	}
	var met [2]chan struct{}
	met[0], met[1] = make(chan struct{}), make(chan struct{})
	results, tries := make(chan error, 2), [2]int{}
	for w := range 2 {
		go func() {
			results <- s.InTx(t.Context(), func(tx aggregate.Tx) error {
				tries[w]++
				for k, i := range [2]int{w, 1 - w} {
					err := tx.Advance(t.Context(), parts[i], fences[i], 0, 0)
					if err != nil {
						return err
					}
					if k == 0 && tries[w] == 1 {
						close(met[w])
						<-met[1-w]
					}
				}
				return nil
			})
		}()
	}
	if err := errors.Join(<-results, <-results); err != nil {
		t.Fatal(err)
	}
	if tries[0]+tries[1] != 3 {
		t.Errorf("transactions ran %v times, want one of them twice", tries)
	}
}

// TestEncodeAllocatesNothing: rows are encoded into a buffer that is kept.
func TestEncodeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own")
	}
	row := clickAt(1, storetest.Base)
	c := new(copyBuf)
	encode := func() {
		c.start()
		for range 100 {
			c.row(clickCount)
			encodeClick(c, &row)
		}
		c.end()
	}
	encode()
	if n := testing.AllocsPerRun(20, encode); n != 0 {
		t.Errorf("encoding 100 clicks allocates %v times", n)
	}
}
