package eval

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// labelColumn is the name of the last column where it is not a feature.
const labelColumn = "label"

// Table is a data set.
type Table struct {
	Names     []string // of the features
	Rows      [][]float32
	Labels    []bool // true: anomaly; nil when the table has no labels
	Anomalies int
}

// ReadFile reads a CSV file, plain or packed with gzip. See Read.
func ReadFile(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	t, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Read reads a CSV table, plain or packed with gzip: a line of column names, then
// numbers, which become float32. A last column of the name label is 1 for an
// anomaly and 0 otherwise.
func Read(r io.Reader) (*Table, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(unpacked, 1<<16)
	}
	lines := csv.NewReader(in)
	lines.ReuseRecord = true
	head, err := lines.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("is empty; the first line names the columns")
	}
	if err != nil {
		return nil, err
	}
	t, err := newTable(head)
	if err != nil {
		return nil, err
	}
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err == nil {
			err = t.add(record, lines)
		}
		if err != nil {
			return nil, err
		}
	}
}

func newTable(head []string) (*Table, error) {
	t := &Table{}
	for i, name := range head {
		if _, err := strconv.ParseFloat(name, 64); err == nil {
			return nil, fmt.Errorf("line 1, column %d: %q is a number; the first line names the columns", i+1, name)
		}
		t.Names = append(t.Names, name)
	}
	if last := len(t.Names) - 1; t.Names[last] == labelColumn {
		t.Names, t.Labels = t.Names[:last], []bool{}
	}
	if len(t.Names) == 0 {
		return nil, errors.New("line 1: names no feature")
	}
	return t, nil
}

func (t *Table) add(record []string, at *csv.Reader) error {
	row := make([]float32, len(t.Names))
	for i := range row {
		x, err := strconv.ParseFloat(record[i], 32)
		if err != nil {
			line, _ := at.FieldPos(i)
			return fmt.Errorf("line %d, column %d (%s): %q is no number that a float32 holds", line, i+1, t.Names[i], record[i])
		}
		row[i] = float32(x)
	}
	t.Rows = append(t.Rows, row)
	if t.Labels == nil {
		return nil
	}
	i := len(row)
	label, err := strconv.ParseFloat(record[i], 64)
	if err != nil || label != 0 && label != 1 {
		line, _ := at.FieldPos(i)
		return fmt.Errorf("line %d, column %d (%s): %q; write 1 for an anomaly and 0 otherwise", line, i+1, labelColumn, record[i])
	}
	t.Labels = append(t.Labels, label == 1)
	t.Anomalies += int(label)
	return nil
}
