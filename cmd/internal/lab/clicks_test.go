package lab

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"clickgate/scoring/iforest/eval"

	"pgregory.net/rapid"
)

// Five clicks, by hand: invalid ones score 0.9 and 0.5, valid ones 0.5, 0.3 and 0.
func TestQualityByHand(t *testing.T) {
	t.Parallel()
	r := NewRanking(0, 1)
	for _, c := range []struct {
		score float32
		fraud bool
	}{{0.5, true}, {0, false}, {0.9, true}, {0.3, false}, {0.5, false}} {
		r.Add(c.score, c.fraud, nil)
	}
	q, ok := r.Quality()
	// Of the six pairs five are in order and one is a tie: 5.5/6. Precision at 0.9 is 1, at 0.5 2/3: the mean.
	if !ok || math.Abs(q.AUROC.Value-5.5/6) > 1e-12 || math.Abs(q.Precision.Value-(1+2.0/3)/2) > 1e-12 {
		t.Errorf("%+v", q)
	}
	for i, want := range []float64{0.5, 0.5, 0.5, 0.5} { // one valid click is a rate of 1/3 already
		if q.Recall[i].Value != want {
			t.Errorf("recall at %v: %v, want %v", FalseRates[i], q.Recall[i].Value, want)
		}
	}
	for _, fraud := range []bool{true, false} {
		one := NewRanking(3, 1)
		one.Add(1, fraud, []float64{1, 1, 1})
		if _, ok := one.Quality(); ok {
			t.Error("one kind of click has a quality")
		}
	}
}

// The figures against those of package eval, which come from gonum's ROC.
func TestQualityAgainstOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.IntRange(0, 9), 2, 60).Draw(t, "scores")
		r := NewRanking(0, 1)
		labels, values := []bool{true, false}, []float64{}
		for i, s := range scores {
			if i >= 2 {
				labels = append(labels, rapid.Bool().Draw(t, "fraud"))
			}
			values = append(values, float64(float32(s)/16))
			r.Add(float32(s)/16, labels[i], nil)
		}
		q, ok := r.Quality()
		auroc, precision := eval.Rank(values, labels)
		if !ok || math.Abs(q.AUROC.Value-auroc) > 1e-9 || math.Abs(q.Precision.Value-precision) > 1e-9 {
			t.Fatalf("%+v, gonum says %v and %v", q, auroc, precision)
		}
	})
}

// An interval must hold the truth about as often as it says: the area of two normals a deviation apart is known.
func TestIntervalsHoldTheTruth(t *testing.T) {
	t.Parallel()
	truth := 0.5 * (1 + math.Erf(1/2.0)) // P(N(1,1) > N(0,1)) = Phi(1/sqrt 2)
	const trials = 60
	inside, width := 0, 0.0
	for trial := range trials {
		rng := rand.New(rand.NewPCG(uint64(trial), 0))
		r := NewRanking(100, uint64(trial))
		var buf []float64
		for i := range 400 {
			fraud := i%4 == 0
			z := rng.NormFloat64() + 5
			if fraud {
				z++
			}
			buf = r.Weights(fmt.Sprintf("%d.%d", trial, i), buf)
			r.Add(float32(max(z, 0)), fraud, buf)
		}
		q, ok := r.Quality()
		if !ok {
			t.Fatal("no quality")
		}
		if q.AUROC.Low <= truth && truth <= q.AUROC.High {
			inside++
		}
		width += (q.AUROC.High - q.AUROC.Low) / trials
	}
	t.Logf("%d of %d intervals hold %.4f, mean width %.4f", inside, trials, truth, width)
	if inside < trials*85/100 || width < 0.05 || width > 0.2 {
		t.Errorf("%d of %d intervals of mean width %.4f", inside, trials, width)
	}
}

// Clicks of one address go together: a hundred of each say no more than one.
func TestIntervalsKnowAddresses(t *testing.T) {
	t.Parallel()
	of := func(copies int) float64 {
		rng := rand.New(rand.NewPCG(9, 0))
		r := NewRanking(100, 5)
		for i := range 100 {
			score, by := float32(rng.Float64()), r.Weights(fmt.Sprint(i), nil)
			for range copies {
				r.Add(score, i%2 == 0, by)
			}
		}
		q, _ := r.Quality()
		return q.AUROC.High - q.AUROC.Low
	}
	if a, b := of(1), of(100); math.Abs(a-b) > 1e-9 || a < 0.1 {
		t.Errorf("width %v for one click of each address, %v for a hundred", a, b)
	}
}

func TestPoissonWeights(t *testing.T) {
	t.Parallel()
	r := NewRanking(100, 3)
	sum, squares, n := 0.0, 0.0, 0.0
	for i := range 1000 {
		for _, w := range r.Weights(fmt.Sprint(i), nil) {
			sum, squares, n = sum+w, squares+w*w, n+1
		}
	}
	mean := sum / n
	if variance := squares/n - mean*mean; math.Abs(mean-1) > 0.02 || math.Abs(variance-1) > 0.05 {
		t.Errorf("mean %v, variance %v", mean, variance)
	}
}

const talkingData = `ip,app,device,os,channel,click_time,attributed_time,is_attributed
87540,12,1,13,497,2017-11-07 09:30:38,,0
105560,25,1,17,259,2017-11-07 13:40:27,,0
broken
101424,12,1,19,212,yesterday,,0
94584,13,1,13,477,2017-11-07 04:58:08,,1
,13,1,13,477,2017-11-07 14:58:08,,1
68413,12,1,1,178,2017-11-09 09:00:09,,
93663,3,1,17,115,2017-11-09 01:22:13,,1
`

func TestTable(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, talkingData); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]io.Reader{"plain": strings.NewReader(talkingData), "gzip": &packed} {
		table, err := NewTable(in, Columns{Label: "is_attributed"})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := table.Rows(true, func(r Row) error {
			got += fmt.Sprintf("%d %s %s %t\n", r.Time/1e6, r.IP, r.Agent, r.Fraud)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := "1510030688 94584 Mozilla/5.0 (device 1; os 13) false\n1510047038 87540 Mozilla/5.0 (device 1; os 13) true\n" +
			"1510062027 105560 Mozilla/5.0 (device 1; os 17) true\n1510190533 93663 Mozilla/5.0 (device 1; os 17) false\n"
		if got != want {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
		}
		if text := strings.Join(table.Damaged, "; "); table.Left != 4 || text != `line 4: has 1 columns; line 5: click_time: timestamp "yesterday": is no time; write 2026-11-10 12:00:00; line 7: ip: is empty; line 8: is_attributed: is empty` {
			t.Errorf("%s: %d damaged: %s", name, table.Left, text)
		}
	}
	table, err := NewTable(strings.NewReader(talkingData), Columns{Label: "is_attributed"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = table.Rows(false, func(Row) error { n++; return nil })
	if !errors.Is(err, ErrOrder) || !strings.HasPrefix(err.Error(), "line 6: 2017-11-07 04:58:08 is before") || n != 2 {
		t.Errorf("out of order: %d rows, %v", n, err)
	}
}

func TestTableColumns(t *testing.T) {
	t.Parallel()
	for head, c := range map[string]struct {
		want  Columns
		found string // time, ip, agent, fraud; or the error
	}{
		"ip,user_agent,time,fraud":              {Columns{Label: "fraud"}, "time ip [user_agent] 1"},
		"\ufeffip,ua,timestamp,x":               {Columns{Label: "x", Fraud: "bad"}, "timestamp ip [ua] bad"},
		"a,b,c,d,e":                             {Columns{Time: "c", IP: "a", Agent: []string{"b", "d"}, Label: "e"}, "c a [b d] 1"},
		"ip,device,os,click_time,is_attributed": {Columns{Label: "is_attributed"}, "click_time ip [device os] 0"},
		"ip,click_time,label":                   {Columns{Label: "label"}, "no column \"device\" for agent"},
		"ip,agent,label":                        {Columns{Label: "label"}, "no column for time; name it with --map time=COLUMN"},
		"ip,agent,time":                         {Columns{Label: "fraud"}, "no column \"fraud\" for label"},
		"ip,agent,time,label":                   {Columns{Label: "label", Time: "when"}, "no column \"when\" for time"},
	} {
		table, err := NewTable(strings.NewReader(head+"\n"), c.want)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s %s %v %s", table.Columns.Time, table.Columns.IP, table.Columns.Agent, table.Columns.Fraud)
		}
		if !strings.Contains(got, c.found) {
			t.Errorf("%s: %q, want %q", head, got, c.found)
		}
	}
	if _, err := NewTable(strings.NewReader(""), Columns{Label: "x"}); err == nil {
		t.Error("an empty file is a table")
	}
}

func TestClickTimes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"2017-11-07 09:30:38": 1510047038_000000, "2017-11-07T09:30:38Z": 1510047038_000000, "1510047038": 1510047038_000000,
		"1510047038.5": 1510047038_500000, "1510047038123": 1510047038_123000, " 2017-11-07 09:30 ": 1510047000_000000,
		"12": 0, "1e300": 0, "-1": 0, "": 0, "1969-12-31 00:00:00": 0, "1510047038123456": 0,
	} {
		got, err := clickTime(text)
		if (err != nil) != (want == 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add(talkingData)
	f.Add("ip,agent,time,is_attributed\n\"1,a\n2,b,1510047038,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := NewTable(strings.NewReader(text), Columns{Label: "is_attributed"})
		if err != nil {
			return
		}
		n := 0
		if err := table.Rows(true, func(r Row) error {
			n++
			c, sig := r.Visit()
			if r.IP == "" || !sig.IP.IsValid() || c.EventTime <= 0 {
				t.Errorf("row %+v", r)
			}
			return nil
		}); err != nil && !strings.Contains(err.Error(), "gzip") && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}
