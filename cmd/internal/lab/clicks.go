package lab

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"clickgate/gateway/click"

	"github.com/cespare/xxhash/v2"
)

// Columns say where a table of labelled clicks has what the scorer looks at: names of columns. Empty ones are found by
// their usual names.
type Columns struct {
	Time  string
	IP    string
	Agent []string // several together tell devices apart where no agent was kept
	Label string
	// Fraud is the label's text for an invalid click; all others are valid. Default: 1, and 0 for the column
	// is_attributed, whose 1 says that an installation followed.
	Fraud string
}

// usual names of columns. Device and system of TalkingData's AdTracking table stand in for an agent.
var (
	timeNames  = []string{"click_time", "time", "timestamp", "event_time", "ts"}
	ipNames    = []string{"ip", "ip_address", "client_ip", "ipaddress"}
	agentNames = []string{"user_agent", "useragent", "agent", "ua"}
	deviceAnd  = []string{"device", "os"}
)

const attributed = "is_attributed"

// ErrOrder says that a table is not in order of time.
var ErrOrder = errors.New("is before the line above; sort the table by time, or have it sorted in memory with --sort")

// Row is one labelled click.
type Row struct {
	Time  int64 // Unix microseconds
	IP    string
	Agent string
	Fraud bool
}

// Table reads labelled clicks from a CSV file, plain or gzip, whose first line names the columns.
type Table struct {
	Damaged []string // what is wrong with lines that were left out, at most ten of them
	Left    int
	Columns Columns // as they were found

	in                      *csv.Reader
	time, ip, label, widest int
	agent                   []int
}

// NewTable reads the first line.
func NewTable(r io.Reader, want Columns) (*Table, error) {
	plain := bufio.NewReaderSize(r, 1<<16)
	if head, _ := plain.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		unpacked, err := gzip.NewReader(plain)
		if err != nil {
			return nil, err
		}
		plain = bufio.NewReaderSize(unpacked, 1<<16)
	}
	t := &Table{in: csv.NewReader(plain)}
	t.in.ReuseRecord, t.in.FieldsPerRecord, t.in.LazyQuotes = true, -1, true
	head, err := t.in.Read()
	if err != nil {
		return nil, fmt.Errorf("line 1: does not name the columns: %w", err)
	}
	return t, t.find(slices.Clone(head), want)
}

func (t *Table) find(head []string, want Columns) error {
	if len(head) > 0 {
		head[0] = strings.TrimPrefix(head[0], "\ufeff")
	}
	column := func(field, name string, usual ...string) (int, string, error) {
		for _, n := range append([]string{name}, usual...) {
			if i := slices.Index(head, n); i >= 0 && n != "" {
				return i, n, nil
			}
			if name != "" {
				return 0, "", fmt.Errorf("line 1: has no column %q for %s; it has %s", name, field, strings.Join(head, ", "))
			}
		}
		return 0, "", fmt.Errorf("line 1: has no column for %s; name it with --map %s=COLUMN; it has %s", field, field, strings.Join(head, ", "))
	}
	var err error
	if t.time, t.Columns.Time, err = column("time", want.Time, timeNames...); err != nil {
		return err
	}
	if t.ip, t.Columns.IP, err = column("ip", want.IP, ipNames...); err != nil {
		return err
	}
	if t.label, t.Columns.Label, err = column("label", want.Label); err != nil {
		return err
	}
	names := want.Agent
	if len(names) == 0 {
		names = deviceAnd
		if at := slices.IndexFunc(agentNames, func(n string) bool { return slices.Contains(head, n) }); at >= 0 {
			names = agentNames[at : at+1]
		}
	}
	for _, name := range names {
		i, _, err := column("agent", name)
		if err != nil {
			return err
		}
		t.agent = append(t.agent, i)
	}
	t.Columns.Agent, t.Columns.Fraud = names, cmp.Or(want.Fraud, "1")
	if want.Fraud == "" && t.Columns.Label == attributed {
		t.Columns.Fraud = "0"
	}
	t.widest = max(t.time, t.ip, t.label, slices.Max(t.agent))
	return nil
}

// Next returns the next row, io.EOF behind the last one. Damaged lines are left out. The row's texts are its own.
func (t *Table) Next() (Row, int, error) {
	for {
		record, err := t.in.Read()
		if err != nil {
			var broken *csv.ParseError
			if !errors.As(err, &broken) {
				return Row{}, 0, err
			}
			t.leave(broken.Line, broken.Err)
			continue
		}
		line, _ := t.in.FieldPos(0)
		row, err := t.row(record)
		if err != nil {
			t.leave(line, err)
			continue
		}
		return row, line, nil
	}
}

func (t *Table) leave(line int, err error) {
	if t.Left++; len(t.Damaged) < maxDamaged {
		t.Damaged = append(t.Damaged, fmt.Sprintf("line %d: %s", line, err))
	}
}

func (t *Table) row(record []string) (Row, error) {
	if len(record) <= t.widest {
		return Row{}, fmt.Errorf("has %d columns", len(record))
	}
	at, err := clickTime(record[t.time])
	if err != nil {
		return Row{}, fmt.Errorf("%s: %w", t.Columns.Time, err)
	}
	ip, label := strings.TrimSpace(record[t.ip]), strings.TrimSpace(record[t.label])
	switch {
	case ip == "":
		return Row{}, fmt.Errorf("%s: is empty", t.Columns.IP)
	case label == "":
		return Row{}, fmt.Errorf("%s: is empty", t.Columns.Label)
	}
	row := Row{Time: at, IP: strings.Clone(ip), Fraud: label == t.Columns.Fraud}
	if len(t.agent) == 1 {
		row.Agent = strings.Clone(record[t.agent[0]])
		return row, nil
	}
	parts := make([]string, len(t.agent))
	for i, c := range t.agent {
		parts[i] = t.Columns.Agent[i] + " " + record[c]
	}
	row.Agent = "Mozilla/5.0 (" + strings.Join(parts, "; ") + ")"
	return row, nil
}

// clickTime reads a timestamp, or a number of seconds or milliseconds since 1970.
func clickTime(text string) (micros int64, err error) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case n >= 1e8 && n < 1e11:
			return int64(n * 1e6), nil
		case n >= 1e11 && n < 1e14:
			return int64(n * 1e3), nil
		}
		return 0, fmt.Errorf("%q: is no time; numbers are seconds or milliseconds since 1970", text)
	}
	t, err := parseStamp(text)
	if err == nil && t.UnixMicro() <= 0 {
		err = fmt.Errorf("timestamp %q: is before 1970", text)
	}
	return t.UnixMicro(), err
}

// Visit makes a click of a row, as a gateway would hand it to the scorer. An address that is only a number or a name gets
// one of its own in fd00::/8, which no list holds.
func (r *Row) Visit() (click.Click, click.Signals) {
	c := click.Click{TenantID: "lab", SourceID: "lab", EventTime: r.Time, IDTime: r.Time, ReceivedAt: r.Time}
	ip, err := netip.ParseAddr(r.IP)
	if err != nil {
		local := [16]byte{0: 0xfd}
		h := pair(r.IP)
		copy(local[1:], h[:15])
		ip = netip.AddrFrom16(local)
	}
	c.IPKey, c.AgentKey = pair(r.IP), pair(r.Agent)
	return c, click.Signals{IP: ip.Unmap().WithZone(""), UserAgent: r.Agent}
}

// pair hashes a text to a key; the two halves have their own seeds.
func pair(text string) (k click.Key) {
	for half := range 2 {
		d := xxhash.NewWithSeed(uint64(half))
		_, _ = d.WriteString(text) // never fails
		for i, sum := 0, d.Sum64(); i < 8; i++ {
			k[8*half+i] = byte(sum >> (8 * i))
		}
	}
	return k
}

// Rows reads a whole table in order of time: as it comes, which must be rising, or sorted in memory.
func (t *Table) Rows(sorted bool, visit func(Row) error) error {
	var all []Row
	last := int64(0)
	for {
		row, line, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if sorted {
			all = append(all, row)
			continue
		}
		if row.Time < last {
			return fmt.Errorf("line %d: %s %w", line, time.UnixMicro(row.Time).UTC().Format(time.DateTime), ErrOrder)
		}
		last = row.Time
		if err := visit(row); err != nil {
			return err
		}
	}
	slices.SortStableFunc(all, func(a, b Row) int { return cmp.Compare(a.Time, b.Time) })
	for _, row := range all {
		if err := visit(row); err != nil {
			return err
		}
	}
	return nil
}
