package command

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring/demomodel"
)

// twoPaths stores one click that came by the edge and, earlier by its time, in a log.
func (d *desk) twoPaths() (edge, log click.ID) {
	d.t.Helper()
	rows := []aggregate.ClickRow{
		event(5, func(c *click.Click) { c.SourceID, c.ClickID = "alog", click.ID{0: 2, 15: 1} }),
		event(6, func(c *click.Click) { c.ClickID = click.ID{0: 2, 15: 1} }),
	}
	d.apply(aggregate.Batch{Partition: part(stream.ClicksTopic), Next: 2, Clicks: rows})
	return rows[1].EventID, rows[0].EventID
}

// withStore looks into the desk's store.
func (d *desk) withStore(f func(context.Context, aggregate.Store)) {
	d.t.Helper()
	store, err := sqlite.Open(context.Background(), filepath.Join(d.dir, config.SQLiteName), sqlite.Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer store.Close()
	f(context.Background(), store)
}

func (d *desk) closedUnits() (units []aggregate.ClosedUnit) {
	d.t.Helper()
	d.withStore(func(ctx context.Context, store aggregate.Store) {
		var err error
		if units, err = store.ClosedUnits(ctx, aggregate.BillingQuery{}); err != nil {
			d.t.Error(err)
		}
	})
	return units
}

func (d *desk) stateOf(id click.ID) (state string) {
	d.t.Helper()
	d.withStore(func(ctx context.Context, store aggregate.Store) {
		c, ok, err := store.ClickOf(ctx, "acme", id)
		if err != nil || !ok {
			d.t.Error(err, ok)
		}
		state = c.State.String()
	})
	return state
}

const logSource = "\n    sources: [{id: alog, grace: 26h}]\n    campaigns:\n      - {id: a-free"

// TestHoursClose closes in the order that the sources' grace gives, wherever that is
// written: the edge is due first and has the click.
func TestHoursClose(t *testing.T) {
	t.Parallel()
	withGrace := func(d *desk) string {
		return strings.Replace(d.controlFile(), "\n    campaigns:\n      - {id: a-free", logSource, 1)
	}
	check := func(t *testing.T, d *desk, edge, log click.ID) {
		t.Helper()
		if got := [2]string{d.stateOf(edge), d.stateOf(log)}; got != [2]string{"valid", "duplicate"} {
			t.Errorf("edge and log are %v, want valid and duplicate", got)
		}
		units := d.closedUnits()
		if len(units) != 2 {
			t.Fatalf("closed %+v", units)
		}
		for _, u := range units {
			if !strings.HasPrefix(u.Forced, "closed by ada: to see (it waited: ") || u.Version != "v1.2.3" {
				t.Errorf("%v: forced %q, version %q", u.Unit, u.Forced, u.Version)
			}
		}
	}
	t.Run("control file", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		d.write("control.yaml", withGrace(d))
		edge, log := d.twoPaths()
		list, _ := d.run(ExitOK, "hours", "list", "--open")
		demand(t, words(list), "acme edge 2026-11-10T11:00:00Z open 2026-11-10T12:15:00", "acme alog 2026-11-10T11:00:00Z open 2026-11-11T14:00:00")
		d.must(ExitUsage, "--close-now", "hours", "close", "--why", "to see")
		d.run(ExitOK, "hours", "close", "--close-now", "--why", "to see")
		check(t, d, edge, log)
		model, err := demomodel.Open()
		if err != nil {
			t.Fatal(err)
		}
		if u := d.closedUnits()[0]; u.ModelHash != model.Hash() {
			t.Errorf("closed by model %x; standalone goes by %x", u.ModelHash, model.Hash())
		}
		d.must(ExitNegative, "no open hour", "hours", "close", "--close-now", "--why", "again")
	})
	t.Run("control topic", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		edge, log := o.twoPaths()
		o.set = append(o.set, "--set", "store.sqlite="+filepath.Join(o.dir, config.SQLiteName))
		_, warning := o.run(ExitOK, "hours", "list")
		demand(t, warning, "default grace")
		o.run(ExitFailure, "hours", "close", "--close-now", "--why", "no control entries yet")
		o.run(ExitOK, "control", "apply", o.write("next.yaml", withGrace(o.desk)), "--why", "begin")
		list, _ := o.run(ExitOK, "hours", "list")
		demand(t, words(list), "acme alog 2026-11-10T11:00:00Z open 2026-11-11T14:00:00")
		o.run(ExitOK, "hours", "close", "--close-now", "--why", "to see")
		check(t, o.desk, edge, log)
		if u := o.closedUnits()[0]; u.ModelHash != 0 {
			t.Errorf("closed by model %x; aggregators here have none", u.ModelHash)
		}
	})
}

// TestRetireGateway wants a gateway that is known, and keeps who and why.
func TestRetireGateway(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(7)
	d.must(ExitNegative, "never been heard of", "control", "retire-gateway", "eu/gw-2", "--why", "typo")
	d.must(ExitOK, "is retired", "control", "retire-gateway", "eu/gw-1", "--why", "disk lost")
	d.withStore(func(ctx context.Context, store aggregate.Store) {
		got, err := store.RetiredGateways(ctx)
		if err != nil || len(got) != 1 || got[0].Who != "ada" || got[0].Why != "disk lost" || got[0].At != now.UnixMicro() {
			t.Errorf("retired %+v, %v", got, err)
		}
	})
}
