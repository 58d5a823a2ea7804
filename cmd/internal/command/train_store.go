package command

import (
	"fmt"

	"clickgate/aggregate"
	"clickgate/aggregate/retrain"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/iforest/eval"
)

// leftOut are clicks that a model never has to judge: tests, and what the lists and
// parameter checks stop at the edge already. Trained on them, the forest would find
// crawlers ordinary and spend its cuts on what is decided without it.
var leftOut = []click.State{click.Test, click.GIVT}

// tableOf is a sample in order of the hashes.
func tableOf(d *retrain.Draw) *eval.Table {
	t := &eval.Table{Names: scoring.FeatureNames()}
	for _, r := range d.Rows() {
		t.Rows = append(t.Rows, r.Features[:])
	}
	return t
}

// draw reads the vectors of stored clicks.
func (c *trainCmd) draw(s *session) (table *eval.Table, seen int, err error) {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return nil, 0, err
	}
	if c.Rows < c.Sample {
		return nil, 0, usage(fmt.Errorf("train --rows %d: is less than a tree sees; draw at least --sample (%d)", c.Rows, c.Sample))
	}
	d := retrain.NewDraw(c.Seed, c.Rows)
	q := aggregate.VectorQuery{TenantID: c.Tenant, From: from, To: to, Version: scoring.VectorVersion, Without: leftOut}
	err = s.withReports(func(r reader) error {
		return r.Vectors(s.ctx, q, func(row *aggregate.VectorRow) error { d.Add(&row.EventKey, &row.Vector); return nil })
	})
	switch {
	case err != nil:
		return nil, 0, err
	case d.Seen() < c.Sample:
		return nil, 0, negative(fmt.Errorf("train --from-store: only %d stored clicks fit, and a tree wants %d: widen --from and --to, leave out --tenant, "+
			"wait for more traffic, or lower --sample; clicks that are test or givt, and those of another vector version, are left out", d.Seen(), c.Sample))
	}
	return tableOf(d), d.Seen(), nil
}
