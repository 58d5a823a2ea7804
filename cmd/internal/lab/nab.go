package lab

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Detector is the name under which results are written.
const Detector = "clickgate"

// maxDamaged is how many damaged lines of a file are named.
const maxDamaged = 10

// File is one series of the benchmark: a line timestamp,value, then times that never fall, each with a value.
type File struct {
	Name    string   // below the data folder, as the labels have it: category/file.csv
	Damaged []string // what is wrong with lines that were left out, at most ten of them
	Left    int      // lines left out

	stamps []string // as they were written
	values []string
	times  []time.Time
	points []float64
}

// layouts of timestamps; the benchmark uses the first.
var layouts = []string{time.DateTime, time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04:05", time.DateOnly}

func parseStamp(text string) (time.Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("timestamp %q: is no time; write 2026-11-10 12:00:00", text)
}

// ReadFile reads a series. Lines without a time or value are left out and named; a file without the two columns is an
// error.
func ReadFile(r io.Reader, name string) (*File, error) {
	f := &File{Name: name}
	in := csv.NewReader(bufio.NewReaderSize(r, 1<<16))
	in.FieldsPerRecord = -1
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: has no first line timestamp,value: %w", name, err)
	}
	stamp, value := slices.Index(head, "timestamp"), slices.Index(head, "value")
	if stamp < 0 || value < 0 {
		return nil, fmt.Errorf("%s: line 1: has no columns timestamp and value", name)
	}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err == nil && max(stamp, value) < len(record) {
			err = f.add(record[stamp], record[value])
		} else if err == nil {
			err = fmt.Errorf("has %d columns", len(record))
		}
		var broken *csv.ParseError
		if err != nil && !errors.As(err, &broken) {
			line, _ := in.FieldPos(0)
			err = fmt.Errorf("line %d: %w", line, err)
		}
		if err == nil {
			continue
		}
		if f.Left++; len(f.Damaged) < maxDamaged {
			f.Damaged = append(f.Damaged, err.Error())
		}
		if broken == nil && errors.Is(err, io.ErrUnexpectedEOF) {
			return f, nil
		}
	}
}

func (f *File) add(stamp, value string) error {
	t, err := parseStamp(stamp)
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("value %q: is no finite number", value)
	}
	if n := len(f.times); n > 0 && t.Before(f.times[n-1]) {
		return fmt.Errorf("timestamp %q: is before the one of the line above", stamp)
	}
	f.stamps, f.values = append(f.stamps, stamp), append(f.values, value)
	f.times, f.points = append(f.times, t), append(f.points, v)
	return nil
}

// Judge replays the series through a detector, such as one of package alerts/series, which sees one point after the
// other.
func (f *File) Judge(observe func(time.Time, float64) float64) []float64 {
	scores := make([]float64, len(f.points))
	for i, v := range f.points {
		scores[i] = observe(f.times[i], v)
	}
	return scores
}

// Labels are the benchmark's combined_windows.json: windows by file.
type Labels map[string][]Window

// ReadLabels reads labels/combined_windows.json.
func ReadLabels(r io.Reader) (Labels, error) {
	var raw map[string][][2]string
	if err := json.NewDecoder(r).Decode(&raw); err != nil {
		return nil, fmt.Errorf("is not the benchmark's combined_windows.json: %w", err)
	}
	labels := Labels{}
	for name, windows := range raw {
		list := []Window{}
		for _, w := range windows {
			from, err := time.Parse("2006-01-02 15:04:05.999999", w[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			to, err := time.Parse("2006-01-02 15:04:05.999999", w[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if to.Before(from) || len(list) > 0 && !from.After(list[len(list)-1].To) {
				return nil, fmt.Errorf("%s: window %s to %s ends before it starts, or starts in the one before", name, w[0], w[1])
			}
			list = append(list, Window{from, to})
		}
		labels[name] = list
	}
	return labels, nil
}

// DataFolder returns the folder below dir that holds the categories: dir, or its data where dir is the whole benchmark.
func DataFolder(dir string) string {
	if info, err := os.Stat(filepath.Join(dir, "data")); err == nil && info.IsDir() {
		return filepath.Join(dir, "data")
	}
	return dir
}

// DataFiles returns the names of the files *.csv below a folder, with / and sorted.
func DataFiles(dir string) (names []string, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, ".csv") {
			names = append(names, name)
		}
		return err
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s: holds no file *.csv", dir)
	}
	return names, err
}

// ResultName is where the benchmark looks for a detector's scores of a file, below its results folder.
func ResultName(name string) string {
	return path.Join(Detector, path.Dir(name), Detector+"_"+path.Base(name))
}

// WriteResult writes scores in the benchmark's format: timestamp, value, anomaly_score and label, which is 1 inside
// windows. Times and values stand as they were read.
func (f *File) WriteResult(w io.Writer, scores []float64, windows []Window) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "timestamp,value,anomaly_score,label")
	for i := range scores {
		label := 0
		for _, win := range windows {
			if !f.times[i].Before(win.From) && !f.times[i].After(win.To) {
				label = 1
			}
		}
		fmt.Fprintf(out, "%s,%s,%s,%d\n", f.stamps[i], f.values[i], strconv.FormatFloat(scores[i], 'g', -1, 64), label)
	}
	return out.Flush()
}

// Series joins times and scores with a file's windows.
func (f *File) Series(scores []float64, windows []Window) Series {
	return Series{Times: f.times, Scores: scores, Windows: windows}
}
