package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the outcome of a run. For every class Offered = Sent + Unsent, and
// Sent is the sum of Answers and Errors.
type Report struct {
	Started     time.Time `json:"started"`
	Mode        string    `json:"mode"` // open or closed loop
	Targets     []string  `json:"targets"`
	Rate        string    `json:"rate,omitempty"` // of an open loop
	Mix         string    `json:"mix"`
	Attack      string    `json:"attack,omitempty"` // what was drawn; then Mix only says how it was sent
	Seed        uint64    `json:"seed"`
	Connections int       `json:"connections"`
	ElapsedS    float64   `json:"elapsed_s"` // until the last answer to a click
	Interrupted bool      `json:"interrupted,omitempty"`

	// Void says that the generator did not keep its schedule, so that the figures
	// are not those of the load that was asked for.
	Void    bool     `json:"void"`
	Reasons []string `json:"reasons,omitempty"` // why void, and what to do

	Late      Late          `json:"late"`
	Classes   []ClassReport `json:"classes"` // that had arrivals
	Total     ClassReport   `json:"total"`
	Malformed []CaseReport  `json:"malformed,omitempty"`
	Slow      *SlowReport   `json:"slow,omitempty"`
	Series    []Row         `json:"series"`
}

// Late tells how far behind its schedule the generator started to send: because
// its own timers came late, or because all connections were busy.
type Late struct {
	LimitMS float64 `json:"limit_ms"` // a later start counts as behind
	Behind  int64   `json:"behind"`
	Unsent  int64   `json:"unsent"` // never started before the run ended
	Share   float64 `json:"share"`  // of both in what was offered
	Latency         // of all starts
}

// Latency is a distribution in milliseconds.
type Latency struct {
	N    int64   `json:"n"` // how many there are; the others are 0 without any
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	v := h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9, 100})
	ms := func(i int) float64 { return float64(v[i]) / 1000 }
	return Latency{h.TotalCount(), ms(0), ms(1), ms(2), ms(3), ms(4)}
}

// cell is a value in a table.
func (l *Latency) cell(ms float64) string {
	if l.N == 0 {
		return "-"
	}
	return strconv.FormatFloat(ms, 'f', 2, 64)
}

// ClassReport is the account of one class, or of all.
type ClassReport struct {
	Class    string           `json:"class"`
	Offered  int64            `json:"offered"`
	Sent     int64            `json:"sent"`
	Unsent   int64            `json:"unsent"`
	Answers  map[string]int64 `json:"answers"` // by status
	Errors   map[string]int64 `json:"errors"`  // by kind, without an answer
	Closes   int64            `json:"closes"`  // answers that end the connection
	Acked    int64            `json:"acked"`   // clicks that answers of 2xx and 3xx acknowledge
	Goodput  float64          `json:"goodput_per_s"`
	Latency  Latency          `json:"latency"`  // of answers of 2xx and 3xx, from the scheduled instant
	Refusals Latency          `json:"refusals"` // of all other answers
}

func classReport(name string, c *classRecord, offered int64, elapsed time.Duration) ClassReport {
	r := ClassReport{
		Class: name, Offered: offered, Sent: c.sent, Unsent: offered - c.sent, Closes: c.closes, Acked: c.acked,
		Answers: map[string]int64{}, Errors: map[string]int64{},
		Latency: latencyOf(c.good), Refusals: latencyOf(c.refused),
	}
	for status, n := range &c.statuses {
		if n > 0 {
			r.Answers[strconv.Itoa(status)] = n
		}
	}
	for f, n := range &c.failures {
		if n > 0 {
			r.Errors[failureNames[f]] = n
		}
	}
	if elapsed > 0 {
		r.Goodput = float64(c.acked) / elapsed.Seconds()
	}
	return r
}

// Row is a second of the run, by the time of the answer.
type Row struct {
	AtS     float64    `json:"at_s"` // end of the second, since the start
	Behind  int64      `json:"behind"`
	Classes []RowClass `json:"classes"` // that were sent
}

// RowClass is one class in one second.
type RowClass struct {
	Class    string  `json:"class"`
	Sent     int64   `json:"sent"`
	Acked    int64   `json:"acked"`
	Shed     int64   `json:"shed"` // 503 and 429
	Failed   int64   `json:"failed"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	Refusals float64 `json:"refusals_p99_ms"`
}

func rowOf(r *record, at time.Duration) Row {
	row := Row{AtS: at.Seconds(), Behind: r.behind}
	for i := range r.classes {
		c := &r.classes[i]
		if c.sent == 0 {
			continue
		}
		l := latencyOf(c.good)
		row.Classes = append(row.Classes, RowClass{
			Class: Class(i).String(), Sent: c.sent, Acked: c.acked, Shed: c.statuses[503] + c.statuses[429],
			Failed: c.failed(), P50: l.P50, P99: l.P99, Max: l.Max, Refusals: latencyOf(c.refused).P99,
		})
	}
	return row
}

func (c *counts) failed() (n int64) {
	for _, f := range &c.failures {
		n += f
	}
	return n
}

// accepted names malformed requests that were answered as if they were clicks.
func (r *Report) accepted() (names []string) {
	for _, c := range r.Malformed {
		if c.accepted() > 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

// WriteText writes the report as tables.
func (r *Report) WriteText(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	r.writeHead(out)
	r.writeClasses(out)
	r.writeMalformed(out)
	r.Slow.write(out)
	return out.Flush()
}

func (r *Report) writeHead(w io.Writer) {
	fmt.Fprintf(w, "%s loop, %s, %d connections, %.1f s", r.Mode, r.Mix, r.Connections, r.ElapsedS)
	if r.Rate != "" {
		fmt.Fprintf(w, ", %s per second", r.Rate)
	}
	fmt.Fprintf(w, ", seed %d\n", r.Seed)
	if r.Attack != "" {
		fmt.Fprintf(w, "attack: %s\n", r.Attack)
	}
	if r.Mode == closedLoop {
		fmt.Fprintln(w, "the loop is closed: a slow gateway is asked less, so its latencies are not those of an open loop")
	} else {
		fmt.Fprintf(w, "behind: %d of %d started more than %g ms late, %d were never sent (%.2f %%); starts late by p50 %.2f, p99 %.2f, max %.2f ms\n",
			r.Late.Behind, r.Total.Offered, r.Late.LimitMS, r.Late.Unsent, 100*r.Late.Share, r.Late.P50, r.Late.P99, r.Late.Max)
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "VOID: %s\n", reason)
	}
	fmt.Fprintln(w)
}

func (r *Report) writeClasses(w io.Writer) {
	fmt.Fprintln(w, "class\toffered\tsent\tacked\tacked/s\tshed\terrors\tcloses\tp50 ms\tp90\tp99\tp99.9\tmax\trefusals p99\t")
	rows := r.Classes
	if len(rows) > 1 {
		rows = append(slices.Clone(rows), r.Total)
	}
	for i := range rows {
		c := &rows[i]
		l := &c.Latency
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.0f\t%d\t%d\t%d\t", c.Class, c.Offered, c.Sent, c.Acked, c.Goodput,
			c.Answers["503"]+c.Answers["429"], sum(c.Errors), c.Closes)
		for _, ms := range []float64{l.P50, l.P90, l.P99, l.P999, l.Max} {
			fmt.Fprint(w, l.cell(ms), "\t")
		}
		fmt.Fprint(w, c.Refusals.cell(c.Refusals.P99), "\t\n")
	}
	fmt.Fprintln(w)
	for i := range r.Classes {
		c := &r.Classes[i]
		fmt.Fprintf(w, "%s answers: %s\n", c.Class, listed(c.Answers, c.Errors))
	}
}

func (r *Report) writeMalformed(w io.Writer) {
	if len(r.Malformed) == 0 {
		return
	}
	fmt.Fprintln(w, "\nmalformed request\tsent\toutcome\t")
	for _, c := range r.Malformed {
		mark := ""
		if c.accepted() > 0 {
			mark = " ACCEPTED"
		}
		fmt.Fprintf(w, "%s\t%d\t%s%s\t\n", c.Name, c.Sent, listed(c.Outcomes), mark)
	}
}

// listed writes counts in the order of their names: "302: 12, timeout: 1".
func listed(all ...map[string]int64) string {
	var parts []string
	for _, m := range all {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, fmt.Sprintf("%s: %d", k, m[k]))
		}
	}
	return strings.Join(parts, ", ")
}

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}
