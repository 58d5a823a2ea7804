package command

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/lab"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

type evalClicksCmd struct {
	File      string            `arg:"" help:"CSV table, plain or .gz, whose first line names the columns; - for standard input." placeholder:"FILE"`
	Label     string            `help:"Column that says whether a click is invalid." required:"" placeholder:"COLUMN"`
	Fraud     string            `help:"The label of an invalid click; all others are valid. Default: 1, and 0 for the column is_attributed." placeholder:"TEXT"`
	Map       map[string]string `help:"Where the table has what the scorer looks at: time, ip and agent, as agent=COLUMN or agent=COLUMN+COLUMN. Usual names are found without." placeholder:"FIELD=COLUMN" mapsep:"none"`
	Sort      bool              `help:"Sort the table by time, in memory; without, rows must be in order."`
	Bootstrap int               `help:"Replicates of the bootstrap that gives the intervals; 0 for none." default:"100" placeholder:"N"`
	Seed      uint64            `help:"Seed of scorer and bootstrap." default:"1" placeholder:"N"`
	JSON      bool              `help:"Write JSON."`
}

// clicksReport is what eval clicks says.
type clicksReport struct {
	Columns  lab.Columns    `json:"columns"`
	Clicks   int            `json:"clicks"`
	Fraud    int            `json:"invalid"` // by the label
	Damaged  int            `json:"damaged_lines"`
	Damage   []string       `json:"damage,omitempty"`
	False    []float64      `json:"false_positive_rates"`
	Scores   []rankedScore  `json:"scores"`
	Verdicts []verdictCount `json:"verdicts"`
}

type rankedScore struct {
	Name string `json:"name"`
	lab.Quality
}

type verdictCount struct {
	State string `json:"state"`
	Valid int    `json:"labelled_valid"`
	Fraud int    `json:"labelled_invalid"`
}

// ranked are the scores that a click has. The last one is what any counter would know, for comparison.
var ranked = []struct {
	name string
	of   func(*click.Verdict) float32
}{
	{"verdict score", func(v *click.Verdict) float32 { return float32(v.Score) }},
	{"isolation forest", func(v *click.Verdict) float32 { return v.Vector[scoring.SlotModel] }},
	{"clicks of the address, 1 h", func(v *click.Verdict) float32 { return v.Vector[scoring.SlotAddress1h] }},
}

func (c *evalClicksCmd) Run(s *session) error {
	columns, err := c.columns()
	if err != nil {
		return err
	}
	scorer, err := c.scorer(s)
	if err != nil {
		return err
	}
	in, err := openInput(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // read only: nothing can be lost
	table, err := lab.NewTable(in, columns)
	if err != nil {
		return negative(fmt.Errorf("%s: %w", c.File, err))
	}
	r, err := c.measure(s, table, scorer)
	if err != nil {
		return err
	}
	if c.JSON {
		return report.WriteJSON(s.Stdout, r)
	}
	return r.write(s.Stdout)
}

func (c *evalClicksCmd) columns() (lab.Columns, error) {
	want := lab.Columns{Label: c.Label, Fraud: c.Fraud}
	for field, column := range c.Map {
		switch field {
		case "time":
			want.Time = column
		case "ip":
			want.IP = column
		case "agent":
			want.Agent = strings.Split(column, "+")
		default:
			return want, usage(fmt.Errorf("eval clicks --map %s=%s: the scorer looks at time, ip and agent", field, column))
		}
	}
	if c.Bootstrap < 0 || c.Bootstrap > 1000 {
		return want, usage(fmt.Errorf("eval clicks --bootstrap %d: choose 0 to 1000", c.Bootstrap))
	}
	return want, nil
}

// scorer is a gateway's, by the configuration.
func (c *evalClicksCmd) scorer(s *session) (*scoring.Scorer, error) {
	cfg, err := config.Load(s.source(s.dataDir()))
	if err != nil {
		return nil, usage(err)
	}
	if err := cfg.Scoring.Validate(); err != nil {
		return nil, usage(err)
	}
	return app.NewScorer(&cfg.Scoring, c.Seed, nil)
}

func (c *evalClicksCmd) measure(s *session, table *lab.Table, scorer *scoring.Scorer) (*clicksReport, error) {
	rankings := make([]*lab.Ranking, len(ranked))
	for i := range rankings {
		rankings[i] = lab.NewRanking(c.Bootstrap, c.Seed)
	}
	r := &clicksReport{Columns: table.Columns, False: lab.FalseRates}
	var states [click.NumStates]verdictCount
	var weights []float64
	progress := newProgress(s.Stderr)
	defer progress.end()
	err := table.Rows(c.Sort, func(row lab.Row) error {
		visit, signals := row.Visit()
		scorer.Score(&visit, &signals)
		weights = rankings[0].Weights(row.IP, weights)
		for i, score := range ranked {
			rankings[i].Add(score.of(&visit.Verdict), row.Fraud, weights)
		}
		r.Clicks++
		if row.Fraud {
			r.Fraud++
			states[visit.Verdict.State].Fraud++
		} else {
			states[visit.Verdict.State].Valid++
		}
		if r.Clicks%10_000 == 0 {
			progress.show("%d clicks", r.Clicks)
			return s.ctx.Err()
		}
		return nil
	})
	progress.end()
	if errors.Is(err, lab.ErrOrder) {
		return nil, negative(fmt.Errorf("%s: %w", c.File, err))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.File, err)
	}
	r.Damaged, r.Damage = table.Left, table.Damaged
	for i, score := range ranked {
		q, ok := rankings[i].Quality()
		if !ok {
			return nil, negative(fmt.Errorf("%s: %d of %d clicks are invalid by %s=%s, %d damaged lines; there must be some of both kinds%s",
				c.File, r.Fraud, r.Clicks, table.Columns.Label, table.Columns.Fraud, table.Left, firstOf(table.Damaged)))
		}
		r.Scores = append(r.Scores, rankedScore{score.name, q})
	}
	for state, n := range states {
		if n.State = click.State(state).String(); n.Valid+n.Fraud > 0 {
			r.Verdicts = append(r.Verdicts, n)
		}
	}
	return r, nil
}

func firstOf(damage []string) string {
	if len(damage) == 0 {
		return ""
	}
	return "; " + damage[0]
}

func (r *clicksReport) write(w io.Writer) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	line("time from %s, address from %s, agent from %s; invalid where %s is %s", report.Visible(r.Columns.Time), report.Visible(r.Columns.IP),
		report.Visible(strings.Join(r.Columns.Agent, "+")), report.Visible(r.Columns.Label), report.Visible(r.Columns.Fraud))
	line("%d clicks, %d of them invalid (%.4f); %d damaged lines", r.Clicks, r.Fraud, float64(r.Fraud)/float64(r.Clicks), r.Damaged)
	for _, d := range r.Damage {
		line("  %s", report.Visible(d))
	}
	head := fmt.Sprintf("%-27s  %-24s  %-24s", "score", "AUROC", "average precision")
	for _, rate := range r.False {
		head += fmt.Sprintf("  %-24s", fmt.Sprintf("recall at FPR %g", rate))
	}
	line("")
	line("%s", strings.TrimRight(head, " "))
	for _, s := range r.Scores {
		text := fmt.Sprintf("%-27s", s.Name)
		for _, i := range append([]lab.Interval{s.AUROC, s.Precision}, s.Recall...) {
			text += fmt.Sprintf("  %-24s", fmt.Sprintf("%.4f (%.4f-%.4f)", i.Value, i.Low, i.High))
		}
		line("%s", strings.TrimRight(text, " "))
	}
	line("")
	line("%-11s  %9s  %9s", "verdict", "valid", "invalid")
	for _, v := range r.Verdicts {
		line("%-11s  %9d  %9d", v.State, v.Valid, v.Fraud)
	}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
