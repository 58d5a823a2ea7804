package lab

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clickgate/alerts/series"

	"pgregory.net/rapid"
)

var midnight = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func minutes(n int) (times []time.Time) {
	for i := range n {
		times = append(times, midnight.Add(time.Duration(i)*time.Minute))
	}
	return times
}

// detect gives 100 points a score of 1 at the given ones, and a window from 40 to 59.
func detect(at ...int) []Series {
	s := Series{Times: minutes(100), Scores: make([]float64, 100), Windows: []Window{{midnight.Add(40 * time.Minute), midnight.Add(59 * time.Minute)}}}
	for _, i := range at {
		s.Scores[i] = 1
	}
	return []Series{s}
}

// The benchmark's sigmoid 2/(1+e^5x)-1 is -tanh(5x/2), which makes these sums by other means.
func TestNABByHand(t *testing.T) {
	t.Parallel()
	inside := func(i int) float64 { return math.Tanh(2.5*float64(60-i)/20) / math.Tanh(2.5) }
	after := func(i int) float64 { return -math.Tanh(2.5 * float64(i-59) / 19) }
	for name, c := range map[string]struct {
		at    []int
		total float64 // standard profile; -1 without any detection
	}{
		"nothing":            {nil, -1},
		"perfect":            {[]int{40}, 1},
		"the first counts":   {[]int{45, 50, 59}, inside(45)},
		"the last point":     {[]int{59}, inside(59)},
		"before any window":  {[]int{30}, -1 - 0.11},
		"in the probation":   {[]int{14}, -1},
		"right behind it":    {[]int{15}, -1 - 0.11},
		"behind the window":  {[]int{60}, -1 + 0.11*after(60)},
		"late":               {[]int{69, 99}, -1 + 0.11*(after(69)+after(99))},
		"everything at once": {[]int{3, 30, 49, 69}, inside(49) - 0.11 + 0.11*after(69)},
	} {
		got := NAB(detect(c.at...), 1)
		if want := 100 * (c.total + 1) / 2; math.Abs(got[0].Score-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got[0].Score, want)
		}
	}
	r := NAB(detect(30, 49, 69), 1)
	for i, want := range []float64{
		100 * (inside(49) - 0.11 + 0.11*after(69) + 1) / 2, 100 * (inside(49) - 0.22 + 0.22*after(69) + 1) / 2,
		100 * (inside(49) - 0.11 + 0.11*after(69) + 2) / 3,
	} {
		if math.Abs(r[i].Score-want) > 1e-9 || r[i].Found != 1 || r[i].False != 2 || r[i].Windows != 1 {
			t.Errorf("%+v, want %v", r[i], want)
		}
	}
}

// Far behind a window, three of its widths, a detection costs all of its weight.
func TestWorthEnds(t *testing.T) {
	t.Parallel()
	for at, want := range map[float64]float64{-1: math.Tanh(2.5), 0: 0, 1: -math.Tanh(2.5), 3: -1, 100: -1} {
		if math.Abs(worth(at)-want) > 1e-12 {
			t.Errorf("at %v: %v, want %v", at, worth(at), want)
		}
	}
	if Probation(100) != 15 || Probation(5000) != 750 || Probation(22695) != 750 || Probation(6) != 0 {
		t.Error("probation is not 15 % of at most 5000 points")
	}
}

// The sweep must agree with judging every threshold anew, point by point.
func TestSweepAgainstEveryThreshold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []Series
		for range rapid.IntRange(1, 3).Draw(t, "series") {
			n := rapid.IntRange(20, 60).Draw(t, "points")
			s := Series{Times: minutes(n)}
			for range n {
				s.Scores = append(s.Scores, float64(rapid.IntRange(0, 6).Draw(t, "score"))/6)
			}
			for from := rapid.IntRange(10, 15).Draw(t, "window"); from+4 < n; from += 12 {
				s.Windows = append(s.Windows, Window{s.Times[from], s.Times[from+rapid.IntRange(1, 4).Draw(t, "width")]})
			}
			all = append(all, s)
		}
		best := math.Inf(-1)
		for k := range 8 {
			at := float64(k) / 6
			want := naive(all, at)
			if at > 0 {
				if got := NAB(all, at)[0].Score; math.Abs(got-want) > 1e-9 {
					t.Fatalf("threshold %v: %v, every point says %v", at, got, want)
				}
			}
			best = max(best, want)
		}
		if got := NAB(all, 0)[0].Score; math.Abs(got-best) > 1e-9 {
			t.Fatalf("best %v, every threshold says %v", got, best)
		}
	})
}

// naive is the standard profile's score at one threshold.
func naive(all []Series, threshold float64) float64 {
	total, windows := 0.0, 0
	for _, s := range all {
		skip := Probation(len(s.Times))
		index := func(t time.Time) int { return slices.IndexFunc(s.Times, t.Equal) }
		for _, w := range s.Windows {
			from, to := index(w.From), index(w.To)
			if to < skip {
				continue
			}
			windows++
			part := -1.0
			for i := max(from, skip); i <= to; i++ {
				if s.Scores[i] >= threshold {
					part = math.Tanh(2.5*float64(to-i+1)/float64(to-from+1)) / math.Tanh(2.5)
					break
				}
			}
			total += part
		}
		for i := skip; i < len(s.Times); i++ {
			position := 3.0
			in := false
			for _, w := range s.Windows {
				from, to := index(w.From), index(w.To)
				in = in || from <= i && i <= to
				if to < i {
					position = float64(i-to) / float64(to-from)
				}
			}
			if !in && s.Scores[i] >= threshold {
				cost := -math.Tanh(2.5 * position)
				if position >= 3 {
					cost = -1
				}
				total += 0.11 * cost
			}
		}
	}
	if windows == 0 {
		return total
	}
	return 100 * (total + float64(windows)) / (2 * float64(windows))
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	text := "timestamp,value\n2026-11-20 00:00:00,1.50\n2026-11-20 00:05:00,\n2026-11-20 00:10:00,NaN\nyesterday,3\n2026-11-20 00:15:00,4,more\n" +
		"2026-11-20 00:14:00,5\n\n2026-11-20 00:15:00,6\n2026-11-20\n2026-11-20 00:20:00,\"7\n"
	f, err := ReadFile(strings.NewReader(text), "c/x.csv")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(f.points) != "[1.5 4 6]" || f.Left != 6 {
		t.Errorf("points %v, %d left out: %q", f.points, f.Left, f.Damaged)
	}
	for i, want := range []string{"line 3: value", "line 4: value", "line 5: timestamp", "line 7: timestamp", "line 10: has 1 columns", "line"} {
		if i >= len(f.Damaged) || !strings.Contains(f.Damaged[i], want) {
			t.Errorf("damaged %q, want %q", f.Damaged, want)
		}
	}
	var out bytes.Buffer
	if err := f.WriteResult(&out, []float64{0, 0.25, 1}, []Window{{f.times[1], f.times[1]}}); err != nil {
		t.Fatal(err)
	}
	want := "timestamp,value,anomaly_score,label\n2026-11-20 00:00:00,1.50,0,0\n2026-11-20 00:15:00,4,0.25,1\n2026-11-20 00:15:00,6,1,1\n"
	if out.String() != want {
		t.Errorf("wrote %q", out.String())
	}
	for _, text := range []string{"", "a,b\n1,2\n", "timestamp\n1\n"} {
		if _, err := ReadFile(strings.NewReader(text), "x"); err == nil {
			t.Errorf("%q is a series", text)
		}
	}
	if got := ResultName("c/x.csv"); got != "clickgate/c/clickgate_x.csv" {
		t.Error(got)
	}
}

func TestReadLabels(t *testing.T) {
	t.Parallel()
	l, err := ReadLabels(strings.NewReader(`{"c/x.csv": [["2026-11-20 00:00:00.000000", "2026-11-20 01:00:00.000000"]], "c/y.csv": []}`))
	if err != nil || len(l) != 2 || l["c/x.csv"][0].To != midnight.Add(time.Hour) {
		t.Errorf("%v, %v", l, err)
	}
	for _, text := range []string{"", "[]", `{"x": [["a", "b"]]}`, `{"x": [["2026-11-20 02:00:00", "2026-11-20 01:00:00"]]}`,
		`{"x": [["2026-11-20 01:00:00", "2026-11-20 02:00:00"], ["2026-11-20 02:00:00", "2026-11-20 03:00:00"]]}`} {
		if _, err := ReadLabels(strings.NewReader(text)); err == nil {
			t.Errorf("%s has labels", text)
		}
	}
}

// Two real files: what the detector finds there must not be lost unnoticed, and no point may know of a later one.
func TestOnBenchmarkFiles(t *testing.T) {
	t.Parallel()
	folder := DataFolder("testdata/nab")
	names, err := DataFiles(folder)
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	text, err := os.ReadFile("testdata/nab/labels/combined_windows.json")
	if err != nil {
		t.Fatal(err)
	}
	labels, err := ReadLabels(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var all, written, simple []Series
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := ReadFile(bytes.NewReader(content), name)
		if err != nil || f.Left > 0 {
			t.Fatal(f.Damaged, err)
		}
		scores := f.Judge(series.New(series.Default()).Observe)
		all = append(all, f.Series(scores, labels[name]))
		simple = append(simple, f.Series(f.Judge(new(Gaussian).Observe), labels[name]))
		written = append(written, reread(t, f, scores, labels[name]))
		half := *f
		half.times, half.points = f.times[:600], f.points[:600]
		for i, s := range half.Judge(series.New(series.Default()).Observe) {
			if s != scores[i] {
				t.Fatalf("%s: point %d scores %v, and %v where the rest is not known", name, i, scores[i], s)
			}
		}
	}
	r := NAB(all, 0.5)[0]
	t.Logf("%+v", r)
	if again := naive(written, 0.5); math.Abs(again-r.Score) > 1e-9 {
		t.Errorf("what is written scores %v, not %v", again, r.Score)
	}
	if simple := NAB(simple, 0)[0]; simple.Windows != r.Windows || simple.Found == 0 || simple.Score >= r.Score {
		t.Errorf("windowed Gaussian %+v", simple)
	}
	if r.Windows != 5 || r.Found < 4 || r.False > 5 {
		t.Errorf("%+v", r)
	}
}

// reread reads a written result as another scorer does.
func reread(t *testing.T, f *File, scores []float64, windows []Window) (s Series) {
	t.Helper()
	var out bytes.Buffer
	if err := f.WriteResult(&out, scores, windows); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		at, err1 := time.Parse(time.DateTime, row[0])
		score, err2 := strconv.ParseFloat(row[2], 64)
		if err1 != nil || err2 != nil {
			t.Fatal(row)
		}
		s.Times, s.Scores = append(s.Times, at), append(s.Scores, score)
	}
	s.Windows = windows
	return s
}

func TestGaussian(t *testing.T) {
	t.Parallel()
	g := new(Gaussian)
	var last float64
	for i := range 3 * gaussianWindow { // 0, 2, 0, 2: mean and deviation are 1
		last = g.Observe(midnight, float64(i%2*2))
		if i > 10 && math.Abs(last-0.5) > 0.05 {
			t.Fatalf("point %d: %v of one deviation", i, last)
		}
	}
	if last = g.Observe(midnight, 10); math.Abs(last-0.9) > 1e-6 {
		t.Errorf("%v of nine deviations", last)
	}
	g = new(Gaussian)
	for i, want := range []float64{0, 0, 0, 1} {
		if got := g.Observe(midnight, []float64{5, 5, 5, 6}[i]); got != want {
			t.Errorf("point %d: %v, want %v", i, got, want)
		}
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add("timestamp,value\n2026-11-20 00:00:00,1\n2026-11-20 00:05:00,2\n")
	f.Add("value,timestamp\n\"1,2026-11-20\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadFile(strings.NewReader(text), "x")
		if err != nil {
			return
		}
		for _, score := range s.Judge(series.New(series.Default()).Observe) {
			if !(score >= 0 && score <= 1) {
				t.Errorf("score %v", score)
			}
		}
	})
}
