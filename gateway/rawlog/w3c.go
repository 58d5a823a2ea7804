package rawlog

import (
	"bytes"
	"errors"
	"fmt"

	"clickgate/gateway/edge"
)

// w3c reads the W3C extended log format and CloudFront's forms of it. Values are
// separated by tabs, or by spaces in a line without a tab. #Fields may come again
// and counts from there on; unknown columns are skipped with their values.
type w3c struct {
	configured []field // columns of logs without #Fields
	columns    []field
	headed     bool // columns are from a #Fields line, which names them all
	cells      cells
}

func newW3C(columns []string, c cells) (Parser, error) {
	p := &w3c{cells: c}
	p.cells.ready()
	for _, name := range columns {
		p.configured = append(p.configured, columnField(name))
	}
	p.configured = resolveTime(p.configured)
	if err := usable(p.configured); err != nil && len(columns) > 0 {
		return nil, fmt.Errorf("columns: %w", err)
	}
	p.Reset()
	return p, nil
}

// Reset implements Parser.
func (p *w3c) Reset() { p.columns, p.headed = append(p.columns[:0], p.configured...), false }

// Parse implements Parser.
func (p *w3c) Parse(line []byte, rec *Record) (Kind, *edge.Error) {
	rec.reset(line)
	switch {
	case isBlank(line):
		return Blank, nil
	case line[0] == '#':
		if names, ok := bytes.CutPrefix(line, []byte("#Fields:")); ok {
			p.setColumns(names)
		}
		return Comment, nil
	case len(p.columns) == 0:
		return Malformed, fail(CodeNoFields, "", "no #Fields line with time and request came before; configure the columns of logs without header")
	}
	if n := p.split(line); n < len(p.columns) || p.headed && n > len(p.columns) {
		return Malformed, fail(CodeBadLine, "", fmt.Sprintf("the line has %d values for %d columns", n, len(p.columns)))
	}
	return p.cells.record(rec)
}

// split stores the values and returns their number.
func (p *w3c) split(line []byte) (n int) {
	p.cells.clear()
	separator := byte('\t')
	if bytes.IndexByte(line, '\t') < 0 {
		separator = ' '
	}
	for more := true; more; n++ {
		value := line
		at := bytes.IndexByte(line, separator)
		if more = at >= 0; more {
			value, line = line[:at], line[at+1:]
		}
		if n < len(p.columns) && p.columns[n] != fieldNone {
			p.cells.set(p.columns[n], view(value))
		}
	}
	return n
}

// setColumns reads the names of a #Fields line, separated by spaces or tabs. If
// they are of no use, the lines that follow are malformed, not misread.
func (p *w3c) setColumns(names []byte) {
	p.columns, p.headed = p.columns[:0], true
	for len(names) > 0 {
		names = names[skipSpace(names, 0):]
		end := bytes.IndexAny(names, " \t\r")
		if end < 0 {
			end = len(names)
		}
		if end > 0 {
			p.columns = append(p.columns, columnField(string(names[:end])))
		}
		names = names[end:]
	}
	p.columns = resolveTime(p.columns)
	if usable(p.columns) != nil {
		p.columns = p.columns[:0]
	}
}

// resolveTime reads a column "time" without "date" as the whole time.
func resolveTime(columns []field) []field {
	clock := -1
	for i, f := range columns {
		switch f {
		case fieldDate:
			return columns
		case fieldClock:
			clock = i
		}
	}
	if clock >= 0 {
		columns[clock] = fieldTime
	}
	return columns
}

// usable refuses columns that could not give a request, or give two values for
// one field.
func usable(columns []field) error {
	var seen [numFields]bool
	for _, f := range columns {
		if f != fieldNone && seen[f] {
			return errors.New("two columns mean the same")
		}
		seen[f] = true
	}
	switch {
	case !seen[fieldTime] && !(seen[fieldDate] && seen[fieldClock]):
		return errors.New("no column holds the time; name timestamp, or date and time")
	case !seen[fieldPath] && !seen[fieldURI] && !seen[fieldToken]:
		return errors.New("no column holds the request; name cs-uri-stem, uri or token")
	}
	return nil
}
