package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/retrain"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

type modelGroup struct {
	List     modelListCmd     `cmd:"" help:"List models: which is live, which is the shadow, who proposed them and why."`
	Show     modelShowCmd     `cmd:"" help:"Show a model's manifest, and what the guard found."`
	Propose  modelProposeCmd  `cmd:"" help:"Keep a model of a file, or one trained now from stored clicks; it becomes the shadow unless the guard refuses it."`
	Promote  modelPromoteCmd  `cmd:"" help:"Make a model live."`
	Rollback modelRollbackCmd `cmd:"" help:"Return to the model that was live before."`
	Retire   modelRetireCmd   `cmd:"" help:"Take the shadow out of force, or give up the file of a model that no stored click names."`
	Check    modelCheckCmd    `cmd:"" help:"Make the model scores of stored clicks again, bit for bit; exit status 1 when one is not what is stored, or its model is gone."`
}

// modelRow is a model as list shows it.
type modelRow struct {
	Hash    string `json:"hash"`
	Slot    string `json:"slot"` // live, shadow, previous, or empty
	At      string `json:"at"`
	Rows    int    `json:"rows"`
	Who     string `json:"who"`
	Why     string `json:"why"`
	Refused string `json:"refused,omitempty"`
	Retired string `json:"retired,omitempty"`
}

type modelListCmd struct {
	JSON bool `help:"Write JSON."`
}

func (c *modelListCmd) Run(s *session) error {
	return s.withDesk(func(d *retrain.Desk, _ *config.Loaded) error {
		b, err := d.Store.ModelBook(s.ctx)
		if err != nil {
			return err
		}
		rows := make([]modelRow, len(b.Models))
		for i := range b.Models {
			if rows[i], _, err = s.modelRow(d, &b, &b.Models[i]); err != nil {
				return err
			}
		}
		if c.JSON {
			return report.WriteJSON(s.Stdout, rows)
		}
		return table(s.Stdout, "model\tstate\tproposed\trows\twho\twhy\t", len(rows), func(i int) []any {
			r := &rows[i]
			return []any{r.Hash, r.state(), r.At, r.Rows, report.Visible(r.Who), report.Visible(r.Why)}
		})
	})
}

func (s *session) modelRow(d *retrain.Desk, b *aggregate.ModelBook, e *aggregate.ModelEntry) (r modelRow, m *retrain.Manifest, err error) {
	if m, err = retrain.ManifestOf(s.ctx, d.Store, e.Hash); err != nil {
		return r, nil, err
	}
	r = modelRow{Hash: fmt.Sprintf("%016x", e.Hash), At: clockTime(e.At), Rows: m.Rows, Who: m.Who, Why: m.Why, Refused: e.Refused}
	if e.RetiredAt != 0 {
		r.Retired = clockTime(e.RetiredAt)
	}
	switch e.Hash {
	case b.Live:
		r.Slot = "live"
	case b.Shadow:
		r.Slot = "shadow"
	case b.Previous:
		r.Slot = "previous"
	}
	return r, m, nil
}

// state is what a model may be used for, in a word.
func (r *modelRow) state() string {
	switch {
	case r.Retired != "":
		return "retired"
	case r.Slot != "":
		return r.Slot
	case r.Refused != "":
		return "refused"
	}
	return "kept"
}

func clockTime(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

type modelShowCmd struct {
	Model   string `arg:"" help:"The model's hash, or its first digits."`
	Profile bool   `help:"With the profile of its sample, which later candidates are held against."`
}

func (c *modelShowCmd) Run(s *session) error {
	return s.withDesk(func(d *retrain.Desk, _ *config.Loaded) error {
		b, hash, err := s.modelNamed(d, c.Model)
		if err != nil {
			return err
		}
		row, m, err := s.modelRow(d, b, b.Find(hash))
		if err != nil {
			return err
		}
		if !c.Profile {
			m.Profile = nil
		}
		return report.WriteJSON(s.Stdout, struct {
			modelRow
			Manifest *retrain.Manifest `json:"manifest"`
		}{row, m})
	})
}

type modelProposeCmd struct {
	File   string  `arg:"" optional:"" help:"Model file that clickgate train made; left out, a model is trained now as scoring.retrain says." placeholder:"FILE"`
	Why    string  `help:"Why; part of the audit trail." required:"" placeholder:"TEXT"`
	Beyond float64 `help:"With a file: the score from which a click is unlike its training traffic; clickgate train prints quantiles." placeholder:"SCORE"`
	Dry    bool    `help:"Train and judge, but keep nothing." name:"dry-run"`
}

func (c *modelProposeCmd) Run(s *session) error {
	if c.File != "" && !(c.Beyond > 0.5 && c.Beyond < 1) {
		return usage(fmt.Errorf("model propose: --beyond %v is no threshold; write a score between 0.5 and 1, such as the 99%% quantile that train prints", c.Beyond))
	}
	return s.withDesk(func(d *retrain.Desk, cfg *config.Loaded) error {
		candidate, err := c.candidate(s, d, cfg)
		if err != nil {
			return err
		}
		if !c.Dry {
			if err := d.Propose(s.ctx, candidate, c.Why, 0, 0); err != nil {
				return err
			}
		}
		return printCandidate(s.Stdout, candidate)
	})
}

func (c *modelProposeCmd) candidate(s *session, d *retrain.Desk, cfg *config.Loaded) (*retrain.Candidate, error) {
	if c.File != "" {
		return fileCandidate(c.File, c.Beyond)
	}
	store, ok := d.Store.(retrain.Store)
	if !ok {
		return nil, errors.New("model propose: the store has no clicks to train on")
	}
	b, err := store.ModelBook(s.ctx)
	if err != nil {
		return nil, err
	}
	t := retrain.NewTrainer(cfg.Scoring.Retrain, retrain.TrainerDependencies{Store: store, Version: s.Version, Now: s.Now})
	to := s.Now().Truncate(time.Hour)
	candidate, err := t.Candidate(s.ctx, &b, to.Add(-cfg.Scoring.Retrain.Window).UnixMicro(), to.UnixMicro())
	var few *retrain.TooFewError
	if errors.As(err, &few) {
		return nil, negative(err)
	}
	return candidate, err
}

// fileCandidate is a model that was made elsewhere: nobody here knows its traffic.
func fileCandidate(path string, beyond float64) (*retrain.Candidate, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := iforest.Open(file)
	if err == nil {
		err = m.Verify()
	}
	if err == nil {
		err = m.Fits(scoring.Features, scoring.VectorVersion)
	}
	if err != nil {
		return nil, negative(fmt.Errorf("model propose: %s: %w", path, err))
	}
	info := m.Info()
	return &retrain.Candidate{Model: m, Manifest: retrain.Manifest{
		SHA256: fmt.Sprintf("%x", m.Checksum()), VectorVersion: info.VectorVersion, Rows: info.Rows, Seed: info.Seed, CreatedBy: info.CreatedBy,
		Data: "a file", Beyond: beyond,
	}}, nil
}

func printCandidate(w io.Writer, c *retrain.Candidate) error {
	m := &c.Manifest
	fmt.Fprintf(w, "model %016x: %d rows of %d valid clicks, %d left out as of hours with incidents, beyond from %.4f\n", c.Model.Hash(), m.Rows, m.Clicks, m.LeftOut, m.Beyond)
	g := m.Guard
	if g == nil {
		_, err := fmt.Fprintln(w, "guard: nothing is known of the traffic that it was trained on")
		return err
	}
	for i := range g.Worst {
		fmt.Fprintf(w, "guard: %s\n", report.Visible(g.Worst[i].String()))
	}
	if g.Refused != "" {
		_, err := fmt.Fprintf(w, "refused: %s\n", report.Visible(g.Refused))
		return errors.Join(err, negative(nil))
	}
	if g.Reference == "" {
		_, err := fmt.Fprintln(w, "guard: no accepted model to compare with; look at the traffic before you promote it")
		return err
	}
	_, err := fmt.Fprintln(w, "accepted")
	return err
}

type modelPromoteCmd struct {
	Model   string `arg:"" help:"The model's hash, or its first digits."`
	Why     string `help:"Why; part of the audit trail." required:"" placeholder:"TEXT"`
	Despite bool   `help:"Although the guard refused it." name:"despite-guard"`
}

func (c *modelPromoteCmd) Run(s *session) error {
	return s.withDesk(func(d *retrain.Desk, _ *config.Loaded) error {
		_, hash, err := s.modelNamed(d, c.Model)
		if err != nil {
			return err
		}
		if err := d.Promote(s.ctx, hash, c.Why, c.Despite); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Stdout, "model %016x is live\n", hash)
		return err
	})
}

type modelRollbackCmd struct {
	Why string `help:"Why; part of the audit trail." required:"" placeholder:"TEXT"`
}

func (c *modelRollbackCmd) Run(s *session) error {
	return s.withDesk(func(d *retrain.Desk, _ *config.Loaded) error {
		hash, err := d.Rollback(s.ctx, c.Why)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Stdout, "model %016x is live\n", hash)
		return err
	})
}

type modelRetireCmd struct {
	Model string `arg:"" help:"The model's hash, or its first digits."`
	Why   string `help:"Why; part of the audit trail." required:"" placeholder:"TEXT"`
}

func (c *modelRetireCmd) Run(s *session) error {
	return s.withDesk(func(d *retrain.Desk, _ *config.Loaded) error {
		_, hash, err := s.modelNamed(d, c.Model)
		if err != nil {
			return err
		}
		if err := d.Retire(s.ctx, hash, c.Why); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Stdout, "model %016x is retired\n", hash)
		return err
	})
}

type modelCheckCmd struct {
	Tenant string `help:"Clicks of this tenant only." placeholder:"ID"`
	period
}

// checked counts the clicks of one model.
type checked struct{ same, wrong, gone int64 }

func (c *modelCheckCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withDesk(func(d *retrain.Desk, cfg *config.Loaded) error {
		store, ok := d.Store.(aggregate.VectorReader)
		if !ok {
			return errors.New("model check: the store has no vectors")
		}
		found, first, err := s.rescore(store, findModels(s.ctx, d, cfg), aggregate.VectorQuery{TenantID: c.Tenant, From: from, To: to, Version: scoring.VectorVersion})
		if err != nil {
			return err
		}
		return errors.Join(printChecked(s.Stdout, found), first)
	})
}

// findModels looks in the store, then at the models that need none.
func findModels(ctx context.Context, d *retrain.Desk, cfg *config.Loaded) func(uint64) (*iforest.Model, error) {
	inStore := retrain.Finder(ctx, d.Store)
	others := map[uint64]*iforest.Model{}
	for _, name := range []string{app.EmbeddedModel, cfg.Scoring.Model} {
		if m, err := app.OpenModel(name); err == nil && m != nil {
			others[m.Hash()] = m
		}
	}
	return func(hash uint64) (*iforest.Model, error) {
		if m := others[hash]; m != nil {
			return m, nil
		}
		return inStore(hash)
	}
}

// rescore makes the scores of clicks again. first is the first one that failed, as a
// negative answer.
func (s *session) rescore(store aggregate.VectorReader, find func(uint64) (*iforest.Model, error), q aggregate.VectorQuery) (found map[uint64]*checked, first, err error) {
	found = map[uint64]*checked{}
	err = store.Vectors(s.ctx, q, func(r *aggregate.VectorRow) error {
		if r.ModelHash == 0 {
			return nil
		}
		n := found[r.ModelHash]
		if n == nil {
			n = &checked{}
			found[r.ModelHash] = n
		}
		v := r.Verdict()
		err := scoring.Rescore(&v, find)
		switch {
		case err == nil:
			n.same++
		case errors.Is(err, scoring.ErrModelGone):
			n.gone++
		default:
			n.wrong++
		}
		if err != nil && first == nil {
			first = negative(fmt.Errorf("model check: click %s: %w", r.EventID, err))
		}
		return nil
	})
	return found, first, err
}

func printChecked(w io.Writer, found map[uint64]*checked) error {
	hashes := slices.Sorted(maps.Keys(found))
	return table(w, "model\tclicks\tscore is the same\tis another\tmodel is gone\t", len(hashes), func(i int) []any {
		n := found[hashes[i]]
		return []any{fmt.Sprintf("%016x", hashes[i]), n.same + n.wrong + n.gone, n.same, n.wrong, n.gone}
	})
}

// modelNamed reads the book and finds a model in it.
func (s *session) modelNamed(d *retrain.Desk, text string) (*aggregate.ModelBook, uint64, error) {
	b, err := d.Store.ModelBook(s.ctx)
	if err != nil {
		return nil, 0, err
	}
	hash, err := retrain.ParseHash(&b, strings.TrimSpace(text))
	if err != nil {
		return nil, 0, negative(err)
	}
	return &b, hash, nil
}

// withDesk opens the store, which running processes may have open too, and hands its
// models to f.
func (s *session) withDesk(f func(*retrain.Desk, *config.Loaded) error) error {
	cfg, err := s.load(config.ForStore)
	if err != nil {
		return err
	}
	if err := cfg.Scoring.Retrain.Validate(); err != nil {
		return usage(err)
	}
	store, err := openUsers(s.ctx, &cfg.Store)
	if err != nil {
		return err
	}
	if err = store.CheckSchema(s.ctx); err == nil {
		err = f(&retrain.Desk{Store: store, Now: s.Now, Who: "os:" + s.who()}, cfg)
	}
	for _, refused := range []error{aggregate.ErrModelsChanged, aggregate.ErrNoModel, aggregate.ErrModelForgotten, aggregate.ErrModelNamed, retrain.ErrRefused, retrain.ErrSlot} {
		if errors.Is(err, refused) {
			err = negative(err)
			break
		}
	}
	return errors.Join(err, store.Close())
}
