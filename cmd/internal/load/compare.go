package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Comparison describes how servers are measured beside each other: in rounds,
// each server once in every round, so that what else happens on the machine hits
// all of them alike. The middle of the rounds counts.
type Comparison struct {
	Base    Config // of every run; its Targets and Profile are set per run
	Servers []Server
	Rounds  int
	For     time.Duration // of each run
	// High and Low are shares of a server's own capacity, measured just before, at
	// which its latency is measured in an open loop.
	High, Low float64
	// OpenConnections are those of the open loops: more than Base has for the closed
	// one, because the queue of a stall must be the server's and not that for a
	// free connection.
	OpenConnections int
}

// Server is one of the compared.
type Server struct {
	Name   string
	Target *Target
	PID    int // of its process, whose processor time is measured; 0 for unknown
}

// Compared is what came out for one server, each value the median of the rounds.
type Compared struct {
	Name     string       `json:"name"`
	Capacity float64      `json:"capacity_per_s"`   // closed loop, acknowledged clicks
	Ratio    float64      `json:"ratio"`            // to the last server, median of the rounds' ratios
	CPU      float64      `json:"cpu_us,omitempty"` // of the server per acknowledged click, at capacity
	Low      ComparedLoad `json:"low"`
	High     ComparedLoad `json:"high"`
}

// ComparedLoad is one server at one share of its capacity.
type ComparedLoad struct {
	Rate    float64 `json:"rate_per_s"` // that was offered
	Goodput float64 `json:"goodput_per_s"`
	P50     float64 `json:"p50_ms"` // from the scheduled instant
	P99     float64 `json:"p99_ms"`
	Behind  float64 `json:"behind"` // share of late starts
	Void    int     `json:"void"`   // rounds in which the generator fell behind
}

// lap is one server in one round.
type lap struct {
	capacity  float64
	cpu       float64 // microseconds per acknowledged click
	low, high *Report
}

// Compare measures. An error ends it; servers that answer nothing are one.
func Compare(ctx context.Context, c *Comparison, progress io.Writer) ([]Compared, error) {
	if len(c.Servers) == 0 || c.Rounds < 1 || !(c.Low > 0 && c.Low <= 1) || !(c.High > 0 && c.High <= 1) {
		return nil, errors.New("compare: servers, rounds, or shares from 0 to 1 are missing")
	}
	laps := make([][]lap, len(c.Servers))
	for round := range c.Rounds {
		for i := range c.Servers {
			l, err := c.lap(ctx, &c.Servers[i], uint64(round))
			if err != nil {
				return nil, fmt.Errorf("compare: %s: %w", c.Servers[i].Name, err)
			}
			laps[i] = append(laps[i], l)
			fmt.Fprintf(progress, "round %d of %d, %s: %.0f/s, p99 %.2f ms at %.0f/s\n",
				round+1, c.Rounds, c.Servers[i].Name, l.capacity, l.high.Total.Latency.P99, c.High*l.capacity)
		}
	}
	var all []Compared
	for i := range laps {
		all = append(all, c.compared(c.Servers[i].Name, laps[i], laps[len(laps)-1]))
	}
	return all, nil
}

func (c *Comparison) lap(ctx context.Context, s *Server, round uint64) (l lap, err error) {
	cfg := c.Base
	cfg.Targets, cfg.Seed = []*Target{s.Target}, c.Base.Seed+round
	if err := c.capacity(ctx, s, cfg, &l); err != nil {
		return l, err
	}
	cfg.Closed, cfg.Connections = false, c.OpenConnections
	cfg.Profile = Constant(c.Low*l.capacity, c.For)
	if l.low, err = Run(ctx, cfg); err != nil {
		return l, err
	}
	cfg.Profile = Constant(c.High*l.capacity, c.For)
	l.high, err = Run(ctx, cfg)
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return l, err
}

// capacity measures a server in a closed loop.
func (c *Comparison) capacity(ctx context.Context, s *Server, cfg Config, l *lap) error {
	before, err := s.cpu()
	if err != nil {
		return err
	}
	cfg.Closed, cfg.Profile = true, Constant(1/c.For.Seconds()+1, c.For) // its rate is of no account
	rep, err := Run(ctx, cfg)
	if err != nil {
		return err
	}
	if l.capacity = rep.Total.Goodput; l.capacity < 1/(c.Low*c.For.Seconds()) {
		return fmt.Errorf("acknowledged %.0f clicks a second; answers: %s", l.capacity, listed(rep.Total.Answers, rep.Total.Errors))
	}
	after, err := s.cpu()
	l.cpu = float64((after - before).Microseconds()) / float64(rep.Total.Acked)
	return err
}

func (s *Server) cpu() (time.Duration, error) {
	if s.PID == 0 {
		return 0, nil
	}
	return cpuTime(s.PID)
}

func (c *Comparison) compared(name string, laps, reference []lap) Compared {
	out := Compared{Name: name, Capacity: median(laps, func(l lap) float64 { return l.capacity })}
	ratios := make([]lap, len(laps))
	for i := range laps {
		ratios[i].capacity = laps[i].capacity / reference[i].capacity
	}
	out.Ratio = median(ratios, func(l lap) float64 { return l.capacity })
	out.CPU = median(laps, func(l lap) float64 { return l.cpu })
	out.Low = comparedLoad(laps, c.Low, func(l lap) *Report { return l.low })
	out.High = comparedLoad(laps, c.High, func(l lap) *Report { return l.high })
	return out
}

func comparedLoad(laps []lap, share float64, of func(lap) *Report) (c ComparedLoad) {
	c.Rate = share * median(laps, func(l lap) float64 { return l.capacity })
	c.Goodput = median(laps, func(l lap) float64 { return of(l).Total.Goodput })
	c.P50 = median(laps, func(l lap) float64 { return of(l).Total.Latency.P50 })
	c.P99 = median(laps, func(l lap) float64 { return of(l).Total.Latency.P99 })
	c.Behind = median(laps, func(l lap) float64 { return of(l).Late.Share })
	for _, l := range laps {
		if of(l).Void {
			c.Void++
		}
	}
	return c
}

// median of something about laps.
func median(laps []lap, of func(lap) float64) float64 {
	v := make([]float64, len(laps))
	for i, l := range laps {
		v[i] = of(l)
	}
	return middle(v)
}

// middle is the median of values, which it sorts; of an even number the mean of the
// middle two.
func middle(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// WriteCompared writes a table in Markdown.
func WriteCompared(w io.Writer, c *Comparison, all []Compared) error {
	last := all[len(all)-1].Name
	out := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintf(out, "| server\t| acked/s\t| ratio to %s\t| server CPU us per click\t| p50 / p99 ms at %.0f %%\t| p50 / p99 ms at %.0f %%\t| late starts there\t|\n", last, 100*c.Low, 100*c.High)
	fmt.Fprintln(out, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, s := range all {
		fmt.Fprintf(out, "| %s\t| %.0f\t| %.2f\t| %.1f\t| %.2f / %.2f\t| %.2f / %.2f\t| %.2f %%, %d of %d rounds void\t|\n",
			s.Name, s.Capacity, s.Ratio, s.CPU, s.Low.P50, s.Low.P99, s.High.P50, s.High.P99, 100*s.High.Behind, s.High.Void, c.Rounds)
	}
	return out.Flush()
}
