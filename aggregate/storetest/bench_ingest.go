package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// Way is one way of writing batches of clicks, into a store of its own.
type Way struct {
	Name string
	Open func(b *testing.B) aggregate.Store
	// Write writes the clicks of a batch alone; nil is aggregate.Apply, with all that
	// belongs to a batch.
	Write func(b *testing.B, s aggregate.Store, rows []aggregate.ClickRow)
}

const (
	ingestRounds = 5
	ingestRows   = 10_000 // of one way in one round
)

// BenchIngest measures ways against the last of them, in turns: in each of five rounds
// every way writes 10,000 clicks, in batches of each of BatchSizes, and the median round
// counts. A batch of aggregate.Apply has 2 % redeliveries and a mark; a plain way writes
// its new rows alone.
func BenchIngest(b *testing.B, ways ...Way) {
	for _, size := range BatchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var table strings.Builder
			for b.Loop() {
				rates := ingestRates(b, ways, size)
				plain := rates[len(rates)-1]
				for i, w := range ways {
					b.ReportMetric(rates[i], w.Name+"-rows/s")
					b.ReportMetric(rates[i]/plain, w.Name+"-ratio")
					fmt.Fprintf(&table, "| %d | %s | %.0f | %.2f |\n", size, w.Name, rates[i], rates[i]/plain)
				}
			}
			b.ReportMetric(0, "ns/op") // all together say nothing
			b.Log("\n" + table.String())
		})
	}
}

// ingestRates returns the median rows/s of each way.
func ingestRates(b *testing.B, ways []Way, size int) []float64 {
	stores, loads := make([]aggregate.Store, len(ways)), make([]*Load, len(ways))
	for i, w := range ways {
		stores[i] = w.Open(b)
		loads[i] = NewLoad(b, stores[i], size)
		write(b, &w, stores[i], loads[i]) // statements prepared, days made
	}
	rates := make([][]float64, len(ways))
	for round := range ingestRounds {
		for k := range ways {
			i := (round + k) % len(ways)
			rows, start := 0, time.Now()
			for rows < ingestRows {
				rows += write(b, &ways[i], stores[i], loads[i])
			}
			rates[i] = append(rates[i], float64(rows)/time.Since(start).Seconds())
		}
	}
	medians := make([]float64, len(ways))
	for i, r := range rates {
		slices.Sort(r)
		medians[i] = r[len(r)/2]
	}
	return medians
}

// write writes the next batch and returns how many rows it has.
func write(b *testing.B, w *Way, s aggregate.Store, l *Load) int {
	batch := l.Next()
	if w.Write != nil {
		rows := fresh(batch.Clicks)
		w.Write(b, s, rows)
		return len(rows)
	}
	mark := newMark(l.n, l.n)
	batch.Marks = []click.Mark{mark}
	if _, err := aggregate.Apply(b.Context(), s, batch); err != nil {
		b.Fatal(err)
	}
	return len(batch.Clicks)
}
