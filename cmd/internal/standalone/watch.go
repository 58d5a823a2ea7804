package standalone

import (
	"context"
	"fmt"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
)

// watch prints a line a second until ctx ends, and lets the broker forget what
// the store has.
func (s *process) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for lines := 0; ; lines++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if lines%20 == 0 {
			fmt.Fprintln(s.opt.Stdout, header())
		}
		lag, done, err := s.backlog.records(ctx)
		if err == nil && s.broker != nil {
			err = s.backlog.trim(ctx, done)
		}
		if err != nil && ctx.Err() == nil {
			s.opt.Logger.Warn("the backlog cannot be read", "error", err)
			continue
		}
		fmt.Fprintln(s.opt.Stdout, s.line(lag))
	}
}

// columns of the line, after the time and received.
var columns = [...]click.State{
	click.Valid, click.GIVT, click.SIVT, click.Undecidable, click.Suspect, click.Test,
	click.Duplicate, click.Redelivered, click.Malformed,
}

func header() string {
	h := fmt.Sprintf("%-8s %9s", "time", "received")
	for _, c := range columns {
		h += fmt.Sprintf(" %11s", c)
	}
	return h + fmt.Sprintf(" %6s %6s", "shed", "lag")
}

// line shows what was stored since the start, and how many records are not yet.
func (s *process) line(lag int64) string {
	counts := s.aggregator.Counts()
	var received int64
	for _, n := range counts {
		received += n
	}
	l := fmt.Sprintf("%-8s %9d", time.Now().Format("15:04:05"), received)
	for _, c := range columns {
		l += fmt.Sprintf(" %11d", counts[c])
	}
	return l + fmt.Sprintf(" %6d %6d", s.gateway.Log.ShedTotal(), lag+int64(s.gateway.Log.Lag())) + s.incidentLine()
}

// printBooks prints the reconciliation and, with the demo, the feed's own tally
// beside it. It returns an error when the books do not balance.
func (s *process) printBooks(ctx context.Context) error {
	rec, err := aggregate.Books(ctx, s.aggregator.Store, aggregate.LedgerQuery{})
	if err != nil {
		return err
	}
	if err := report.Reconciliation(s.opt.Stdout, rec, report.Table); err != nil {
		return err
	}
	s.feed.print(s.opt.Stdout)
	if rec.Broken {
		return ErrBroken
	}
	return nil
}
