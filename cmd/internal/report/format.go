package report

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Format is how a report is written.
type Format string

// Formats.
const (
	Table Format = "table"
	CSV   Format = "csv"
	JSON  Format = "json"
)

func unknown(f Format) error {
	return fmt.Errorf("format %q is unknown; use table, csv or json", f)
}

// grid is a table of text: its columns line up, numbers to the right.
type grid struct {
	head  []string
	right []bool // by column
	rows  [][]string
}

// newGrid takes the column names; those that start with > are numbers.
func newGrid(columns ...string) *grid {
	g := &grid{}
	for _, c := range columns {
		name, right := strings.CutPrefix(c, ">")
		g.head, g.right = append(g.head, name), append(g.right, right)
	}
	return g
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

func (g *grid) write(w io.Writer) error {
	all := append([][]string{g.head}, g.rows...)
	widths := make([]int, len(g.head))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(Visible(cell)))
		}
	}
	out := bufio.NewWriter(w)
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			cell = Visible(cell)
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if g.right[i] {
				cell = pad + cell
			} else {
				cell += pad
			}
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell)
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
	return out.Flush()
}

func (g *grid) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	lines := [][]string{g.head}
	for _, row := range g.rows {
		line := slices.Clone(row)
		for i, cell := range line {
			if !g.right[i] {
				line[i] = guarded(cell)
			}
		}
		lines = append(lines, line)
	}
	if err := out.WriteAll(lines); err != nil {
		return err
	}
	return out.Error()
}

// guarded puts an apostrophe before a text that a spreadsheet would take for a
// formula (OWASP, CSV Injection): ids may hold what senders wrote. A text with an
// apostrophe of its own in front gets another, so that taking one off always gives
// the text.
func guarded(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n'", rune(text[0])) {
		return "'" + text
	}
	return text
}

// Visible escapes what a terminal would act on: ids and messages hold what
// senders wrote.
func Visible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// WriteJSON writes v indented.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeGrid writes a report that is one table; lines is what it is in JSON.
func writeGrid(w io.Writer, g *grid, lines any, format Format) error {
	switch format {
	case Table:
		return g.write(w)
	case CSV:
		return g.writeCSV(w)
	case JSON:
		return WriteJSON(w, lines)
	}
	return unknown(format)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// hour shows an hour, Unix microseconds, as UTC.
func hour(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

// monthName shows the month that begins at micros, Unix microseconds.
func monthName(micros int64) string { return time.UnixMicro(micros).UTC().Format("2006-01") }

// instant shows a time, Unix microseconds, as UTC to the microsecond.
func instant(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z07:00")
}
