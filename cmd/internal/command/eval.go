package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clickgate/cmd/internal/report"
	"clickgate/scoring/iforest/eval"

	"github.com/mattn/go-isatty"
)

type evalGroup struct {
	Iforest evalIforestCmd `cmd:"" name:"iforest" help:"Rank labelled data sets by isolation forests, beside the values of Liu, Ting and Zhou."`
	Nab     evalNabCmd     `cmd:"" name:"nab" help:"Replay the files of the Numenta Anomaly Benchmark through the series detector and score it by that benchmark's rule."`
	Clicks  evalClicksCmd  `cmd:"" name:"clicks" help:"Score a table of labelled clicks in order of time and tell how well the scores put invalid ones first."`
	Fraud   evalFraudCmd   `cmd:"" name:"fraud" help:"Measure the detectors on simulated traffic with thirteen families of attacks: recall, false positives, time and money."`
}

type evalIforestCmd struct {
	Dir   string `arg:"" help:"Folder of CSV files, plain or .gz: a line of names, numbers, label (1: anomaly) in the last column." placeholder:"DIR"`
	Seeds int    `help:"Forests per data set, with seeds 1 to N." default:"10" placeholder:"N"`
	JSON  bool   `help:"Write JSON."`
}

func (c *evalIforestCmd) Run(s *session) error {
	if c.Seeds < 1 {
		return usage(fmt.Errorf("eval iforest --seeds %d: choose 1 or more", c.Seeds))
	}
	files, err := dataSets(c.Dir)
	if err != nil {
		return err
	}
	results := make([]*eval.Result, 0, len(files))
	progress := newProgress(s.Stderr)
	defer progress.end()
	for i, file := range files {
		table, err := readTable(file)
		if err != nil {
			return err
		}
		set := setName(file)
		r, err := eval.Evaluate(s.ctx, set, table, eval.Options{
			Seeds: c.Seeds, Now: s.Now,
			Progress: func(forest string, seed int) {
				progress.show("%d/%d %s, %s forest, seed %d/%d", i+1, len(files), set, forest, seed, c.Seeds)
			},
		})
		if err != nil {
			return negative(err)
		}
		results = append(results, r)
	}
	progress.end()
	if c.JSON {
		return report.WriteJSON(s.Stdout, results)
	}
	return writeResults(s.Stdout, results)
}

// dataSets returns the tables of a folder in the order of their names.
func dataSets(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz") {
			files = append(files, filepath.Join(dir, name))
		}
	}
	if len(files) == 0 {
		return nil, usage(fmt.Errorf("eval iforest %s: holds no file *.csv or *.csv.gz", dir))
	}
	return files, nil
}

func setName(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".csv")
}

func writeResults(w io.Writer, results []*eval.Result) error {
	width, known, within := len("data set"), 0, 0
	for _, r := range results {
		width = max(width, len(report.Visible(r.Set)))
	}
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	const numbers = "%7d %5d %6.2f%%   %.4f ± %.4f  %.4f  %7.0f   %-6s %-7s   %.4f ± %.4f  %.4f  %7.0f"
	line("%-*s  %7s %5s %7s   %-15s  %-6s  %7s   %-6s %-7s   %-15s  %-6s  %7s", width, "", "", "", "", "standard", "", "", "paper", "", "extended", "", "")
	line("%-*s  %7s %5s %7s   %-15s  %-6s  %7s   %-6s %-7s   %-15s  %-6s  %7s", width, "data set", "rows", "feat.", "anom.", "AUROC ± SE", "AP", "ns", "AUROC", "within", "AUROC ± SE", "AP", "ns")
	for _, r := range results {
		paper, verdict := "-", "-"
		if r.Published != nil {
			known++
			paper, verdict = strings.TrimSuffix(fmt.Sprintf("%.4f", *r.Published), "0"), "no"
			if *r.Within {
				within++
				verdict = "yes"
			}
		}
		a, b := r.Standard, r.Extended
		line("%-*s  "+numbers, width, report.Visible(r.Set), r.Rows, r.Features, 100*r.Anomalies,
			a.AUROC, a.AUROCError, a.Precision, a.Nanos, paper, verdict, b.AUROC, b.AUROCError, b.Precision, b.Nanos)
	}
	line("%d of %d published values within 0.01 or two standard errors", within, known)
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// progress shows one changing line where standard error is a terminal.
type progress struct {
	w     io.Writer // nil: nowhere
	shown bool
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		return &progress{w: w}
	}
	return &progress{}
}

// clearLine goes back to the line's start and erases it (ECMA-48).
const clearLine = "\r\x1b[K"

func (p *progress) show(format string, args ...any) {
	if p.w != nil {
		fmt.Fprint(p.w, clearLine+report.Visible(fmt.Sprintf(format, args...)))
		p.shown = true
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, clearLine)
		p.shown = false
	}
}
