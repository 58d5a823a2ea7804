package command

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"clickgate/cmd/internal/report"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
	"clickgate/scoring/iforest/eval"

	"gonum.org/v1/gonum/stat"
)

type trainCmd struct {
	Table    string `arg:"" optional:"" name:"csv" help:"CSV file of vectors, plain or .gz: a line of column names, then numbers. A last column label is left out." placeholder:"CSV"`
	Out      string `help:"Model file to write; an older one is replaced at once." required:"" placeholder:"model.cgif"`
	Seed     uint64 `help:"Seed; the same table, seed and settings give the same file." default:"1" placeholder:"N"`
	Trees    int    `help:"Trees." default:"100" placeholder:"N"`
	Sample   int    `help:"Rows per tree." default:"256" placeholder:"N"`
	Extended bool   `help:"Train the fully extended forest, with slanted cuts; scores slower."`
	JSON     bool   `help:"Write the summary as JSON."`

	FromStore bool   `help:"Train on the vectors of stored clicks instead of a table; clicks that are test or givt are left out."`
	Tenant    string `help:"With --from-store: clicks of this tenant only." placeholder:"ID"`
	Rows      int    `help:"With --from-store: how many clicks to draw at most; the same store and seed give the same ones." default:"100000" placeholder:"N"`
	period
}

// trained is the summary. Quantiles are of the training rows' scores: what a
// threshold would catch.
type trained struct {
	File          string  `json:"file"`
	Hash          string  `json:"hash"`
	SHA256        string  `json:"sha256"`
	Bytes         int     `json:"bytes"`
	Clicks        int     `json:"clicks,omitempty"` // stored ones that the rows were drawn from
	Rows          int     `json:"rows"`
	Features      int     `json:"features"`
	VectorVersion uint32  `json:"vector_version"` // 0: no click vector
	Trees         int     `json:"trees"`
	Sample        int     `json:"sample"`
	Seed          uint64  `json:"seed"`
	Extension     int     `json:"extension"`
	Median        float64 `json:"score_median"`
	P99           float64 `json:"score_p99"`
	P999          float64 `json:"score_p999"`
	Max           float64 `json:"score_max"`
}

func (c *trainCmd) Run(s *session) error {
	table, clicks, err := c.source(s)
	if err != nil {
		return err
	}
	cfg := iforest.Config{
		Trees: c.Trees, Sample: c.Sample, Seed: c.Seed, Names: table.Names,
		VectorVersion: versionOf(table.Names), CreatedBy: "clickgate " + s.Version,
	}
	if c.Extended {
		cfg.Extension = iforest.FullExtension
	}
	model, err := iforest.Train(table.Rows, cfg)
	if err != nil {
		return negative(fmt.Errorf("train %s: %w; row 0 is the one after the names", cmp.Or(c.Table, "--from-store"), err))
	}
	if err := replaceFile(c.Out, model.Bytes()); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return c.summarise(s, model, table.Rows, clicks)
}

// source is what to train on; clicks is 0 for a file.
func (c *trainCmd) source(s *session) (table *eval.Table, clicks int, err error) {
	switch {
	case c.FromStore && c.Table != "":
		return nil, 0, usage(fmt.Errorf("train: %s and --from-store are two sources; name one", c.Table))
	case c.FromStore:
		return c.draw(s)
	case c.Table == "":
		return nil, 0, usage(errors.New("train: nothing to train on; name a CSV file of vectors, or use --from-store"))
	case c.Tenant != "" || c.From != "" || c.To != "":
		return nil, 0, usage(errors.New("train: --tenant, --from and --to choose stored clicks; use them with --from-store"))
	}
	table, err = readTable(c.Table)
	return table, 0, err
}

// readTable tells a file that cannot be read from one that holds no table.
func readTable(path string) (*eval.Table, error) {
	t, err := eval.ReadFile(path)
	var file *fs.PathError
	if err != nil && !errors.As(err, &file) {
		err = negative(err)
	}
	return t, err
}

// versionOf recognises a table of click vectors by its columns: all named slots in
// their order.
func versionOf(names []string) uint32 {
	if !slices.Equal(names, scoring.FeatureNames()) {
		return 0
	}
	return scoring.VectorVersion
}

func (c *trainCmd) summarise(s *session, m *iforest.Model, rows [][]float32, clicks int) error {
	scores := make([]float64, len(rows))
	m.ScoreBatch(scores, rows)
	slices.Sort(scores)
	quantile := func(p float64) float64 { return stat.Quantile(p, stat.Empirical, scores, nil) }
	info := m.Info()
	t := trained{
		File: c.Out, Hash: fmt.Sprintf("%016x", m.Hash()), SHA256: fmt.Sprintf("%x", m.Checksum()), Bytes: len(m.Bytes()),
		Clicks: clicks, Rows: info.Rows, Features: m.Features(), VectorVersion: info.VectorVersion,
		Trees: info.Trees, Sample: info.Sample, Seed: info.Seed, Extension: info.Extension,
		Median: quantile(0.5), P99: quantile(0.99), P999: quantile(0.999), Max: quantile(1),
	}
	if c.JSON {
		return report.WriteJSON(s.Stdout, t)
	}
	vectors := fmt.Sprintf("click vector version %d", t.VectorVersion)
	if t.VectorVersion == 0 {
		vectors = "no click vectors: no gateway takes this model"
	}
	if clicks > 0 {
		vectors += fmt.Sprintf(", drawn from %d stored clicks", clicks)
	}
	_, err := fmt.Fprintf(s.Stdout, `%s: model %s, %d bytes
rows %d, features %d (%s)
trees %d of %d rows, seed %d, extension level %d
scores of the rows: median %.4f, 99%% %.4f, 99.9%% %.4f, highest %.4f
`, report.Visible(t.File), t.Hash, t.Bytes, t.Rows, t.Features, vectors,
		t.Trees, t.Sample, t.Seed, t.Extension, t.Median, t.P99, t.P999, t.Max)
	return err
}

// replaceFile writes a file under another name, makes it durable and moves it into
// its place, so that who reads it never sees a part.
func replaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
