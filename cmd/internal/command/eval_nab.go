package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"clickgate/alerts/series"
	"clickgate/cmd/internal/lab"
	"clickgate/cmd/internal/report"
)

type evalNabCmd struct {
	Dir       string  `arg:"" help:"The Numenta Anomaly Benchmark, or its data folder, or any folder of files *.csv with columns timestamp and value." placeholder:"DIR"`
	Out       string  `help:"Write the scores below this folder, as the benchmark's own results: clickgate/CATEGORY/clickgate_FILE.csv." placeholder:"SCORES"`
	Labels    string  `help:"The benchmark's labels/combined_windows.json: label the results and print the benchmark's score, beside that of a simple baseline." placeholder:"FILE"`
	Threshold float64 `help:"Anomaly score from which a point is a detection; 0: for each profile the one with the best score, as the benchmark chooses it." default:"0" placeholder:"X"`
	JSON      bool    `help:"Write JSON."`
}

// nabReport is what eval nab says.
type nabReport struct {
	Files   []nabFile    `json:"files"`
	Points  int          `json:"points"`
	Rings   int          `json:"rings"`
	Damaged int          `json:"damaged_lines"`
	Chosen  []lab.Result `json:"scores,omitempty"`          // at the threshold asked for, or the best
	Rung    []lab.Result `json:"scores_of_rings,omitempty"` // at one half, where the detector rings
	Simple  []lab.Result `json:"baseline,omitempty"`        // the windowed Gaussian, at thresholds as Chosen
	Folders []nabFolder  `json:"folders,omitempty"`
	Missing []string     `json:"files_not_labelled,omitempty"`
}

// nabFolder is a folder's part in the standard profile, with the windows of the folder making its hundred.
type nabFolder struct {
	Name   string     `json:"name"`
	Files  int        `json:"files"`
	Chosen lab.Result `json:"scores"`          // at the threshold of all folders
	Rung   lab.Result `json:"scores_of_rings"` // at one half
	Simple lab.Result `json:"baseline"`        // at its threshold of all folders
}

type nabFile struct {
	Name    string   `json:"name"`
	Points  int      `json:"points"`
	Rings   int      `json:"rings"` // behind the probation
	Windows int      `json:"windows"`
	Found   int      `json:"windows_found"`    // by rings
	False   int      `json:"false_detections"` // rings outside windows
	Left    int      `json:"damaged_lines"`
	Damaged []string `json:"damage,omitempty"`
	Out     string   `json:"out,omitempty"`
}

// rings is the anomaly score at which the detector rings.
const rings = 0.5

func (c *evalNabCmd) Run(s *session) error {
	if c.Threshold < 0 || c.Threshold > 1 {
		return usage(fmt.Errorf("eval nab --threshold %v: scores are 0 to 1", c.Threshold))
	}
	labels, err := c.labels()
	if err != nil {
		return err
	}
	folder := lab.DataFolder(c.Dir)
	if c.Out != "" && inside(folder, c.Out) {
		return usage(fmt.Errorf("eval nab --out %s: is inside %s, where the next run would take results for series; name a folder beside it", c.Out, folder))
	}
	names, err := lab.DataFiles(folder)
	if err != nil {
		return err
	}
	var r nabReport
	var all, simple []lab.Series
	progress := newProgress(s.Stderr)
	defer progress.end()
	for i, name := range names {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		progress.show("%d/%d %s", i+1, len(names), name)
		judged, baseline, err := c.judge(folder, name, labels, &r)
		if err != nil {
			return err
		}
		all, simple = append(all, judged), append(simple, baseline)
	}
	progress.end()
	if labels != nil {
		r.score(all, simple, c.Threshold)
	}
	if c.JSON {
		return report.WriteJSON(s.Stdout, r)
	}
	return r.write(s.Stdout)
}

// inside reports whether a path is below a folder, or is it.
func inside(folder, path string) bool {
	from, err1 := filepath.Abs(folder)
	to, err2 := filepath.Abs(path)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(from, to)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func (c *evalNabCmd) labels() (lab.Labels, error) {
	if c.Labels == "" {
		return nil, nil
	}
	f, err := os.Open(c.Labels)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	labels, err := lab.ReadLabels(f)
	if err != nil {
		return nil, negative(fmt.Errorf("%s: %w", c.Labels, err))
	}
	return labels, nil
}

// judge replays one file through the detector and the baseline, and writes the detector's result.
func (c *evalNabCmd) judge(folder, name string, labels lab.Labels, r *nabReport) (judged, baseline lab.Series, err error) {
	in, err := os.Open(filepath.Join(folder, filepath.FromSlash(name)))
	if err != nil {
		return judged, baseline, err
	}
	defer func() { _ = in.Close() }() // read only: nothing can be lost
	f, err := lab.ReadFile(in, name)
	if err != nil {
		return judged, baseline, negative(err)
	}
	windows, known := labels[name]
	if labels != nil && !known {
		r.Missing = append(r.Missing, name)
	}
	scores := f.Judge(series.New(series.Default()).Observe)
	judged, baseline = f.Series(scores, windows), f.Series(f.Judge(new(lab.Gaussian).Observe), windows)
	one := nabFile{Name: name, Points: len(scores), Left: f.Left, Damaged: f.Damaged}
	for _, score := range scores[lab.Probation(len(scores)):] {
		if score >= rings {
			one.Rings++
		}
	}
	of := lab.NAB([]lab.Series{judged}, rings)[0]
	one.Windows, one.Found, one.False = of.Windows, of.Found, of.False
	if c.Out != "" {
		one.Out = filepath.Join(c.Out, filepath.FromSlash(lab.ResultName(name)))
		if err := writeScores(one.Out, func(w io.Writer) error { return f.WriteResult(w, scores, windows) }); err != nil {
			return judged, baseline, err
		}
	}
	r.Files = append(r.Files, one)
	r.Points, r.Rings, r.Damaged = r.Points+one.Points, r.Rings+one.Rings, r.Damaged+one.Left
	return judged, baseline, nil
}

// score scores all files and each folder. The baseline's threshold is always its best one: it has no scale of its own.
func (r *nabReport) score(all, simple []lab.Series, threshold float64) {
	r.Chosen, r.Rung, r.Simple = lab.NAB(all, threshold), lab.NAB(all, rings), lab.NAB(simple, 0)
	for from := 0; from < len(r.Files); {
		to, name := from+1, path.Dir(r.Files[from].Name)
		for to < len(r.Files) && path.Dir(r.Files[to].Name) == name {
			to++
		}
		r.Folders = append(r.Folders, nabFolder{
			Name: name, Files: to - from,
			Chosen: lab.NAB(all[from:to], r.Chosen[0].Threshold)[0], Rung: lab.NAB(all[from:to], rings)[0],
			Simple: lab.NAB(simple[from:to], r.Simple[0].Threshold)[0],
		})
		from = to
	}
}

func writeScores(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (r *nabReport) write(w io.Writer) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	r.writeFiles(line)
	if r.Chosen != nil {
		r.writeScores(line)
	}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

func (r *nabReport) writeFiles(line func(string, ...any)) {
	width := len("file")
	for _, f := range r.Files {
		width = max(width, len(report.Visible(f.Name)))
	}
	line("%-*s  points  rings  damaged  windows found  false", width, "file")
	found, windows, wrong := 0, 0, 0
	for _, f := range r.Files {
		line("%-*s  %6d  %5d  %7d  %9d/%-3d  %5d", width, report.Visible(f.Name), f.Points, f.Rings, f.Left, f.Found, f.Windows, f.False)
		for _, d := range f.Damaged {
			line("  %s", report.Visible(d))
		}
		found, windows, wrong = found+f.Found, windows+f.Windows, wrong+f.False
	}
	line("%-*s  %6d  %5d  %7d  %9d/%-3d  %5d", width, "all", r.Points, r.Rings, r.Damaged, found, windows, wrong)
	for _, name := range r.Missing {
		line("%s: is not in the labels, and counts as a file without anomalies", report.Visible(name))
	}
}

// writeScores writes the tables of profiles and folders. A folder without windows has no hundred, so what its false
// detections cost stands there.
func (r *nabReport) writeScores(line func(string, ...any)) {
	line("")
	line("%-20s  %9s  %7s  %s  %s    %s    %s", "profile", "threshold", "score", "windows found", "false", "score of what rings", "windowed Gaussian, for comparison")
	for i, p := range r.Chosen {
		s := r.Simple[i]
		line("%-20s  %9.6f  %7.2f  %9d/%-3d  %5d    %19.2f    %7.2f, %d/%d, %d false", p.Profile, p.Threshold, p.Score, p.Found, p.Windows, p.False,
			r.Rung[i].Score, s.Score, s.Found, s.Windows, s.False)
	}
	width := len("folder, standard")
	for _, f := range r.Folders {
		width = max(width, len(report.Visible(f.Name)))
	}
	line("")
	line("%-*s  files  %7s  %s  %s    %s    %s", width, "folder, standard", "score", "windows found", "false", "score of what rings", "windowed Gaussian, for comparison")
	for _, f := range r.Folders {
		line("%-*s  %5d  %7.2f  %9d/%-3d  %5d    %19.2f    %7.2f, %d/%d, %d false", width, report.Visible(f.Name), f.Files, f.Chosen.Score, f.Chosen.Found,
			f.Chosen.Windows, f.Chosen.False, f.Rung.Score, f.Simple.Score, f.Simple.Found, f.Simple.Windows, f.Simple.False)
	}
}
