package storetest

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// modelChange proposes a model of a hash from version on.
func modelChange(version int64, hash uint64, at int64) *aggregate.ModelChange {
	e := entry("anna", "*", "model.propose")
	e.At = at
	return &aggregate.ModelChange{Version: version, Entry: e, Add: &aggregate.NewModel{
		ModelEntry: aggregate.ModelEntry{Hash: hash, At: at}, Manifest: []byte(`{"seed": 1}`), File: []byte{1, 0, 255},
	}}
}

// models: what is written comes back, bit for bit; a version is used once; an entry is
// written with every change and with none that is refused.
func models(e *env) {
	const high, low = uint64(1)<<63 | 5, uint64(7)
	b, err := e.store.ModelBook(e.ctx())
	e.must(err)
	equal(e, "slots of a new store", b.ModelSlots, aggregate.ModelSlots{})
	e.must(e.store.ChangeModels(e.ctx(), modelChange(b.Version, high, base)))
	second := modelChange(b.Version+1, low, base+minute)
	second.Add.Refused = "half of it is new"
	second.ModelSlots = aggregate.ModelSlots{Live: high, Shadow: low, Previous: 3, LiveSince: base, ShadowSince: base + 1, TrainedAt: base + 2}
	e.must(e.store.ChangeModels(e.ctx(), second))
	e.wantErr("an old version", e.store.ChangeModels(e.ctx(), modelChange(b.Version+1, 9, base)), aggregate.ErrModelsChanged)
	e.wantErr("a version to come", e.store.ChangeModels(e.ctx(), modelChange(b.Version+3, 9, base)), aggregate.ErrModelsChanged)

	got, err := e.store.ModelBook(e.ctx())
	e.must(err)
	want := aggregate.ModelBook{ModelSlots: second.ModelSlots, Version: b.Version + 2, Models: []aggregate.ModelEntry{
		second.Add.ModelEntry, {Hash: high, At: base},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		e.Errorf("book (-want +got):\n%s", diff)
	}
	file, err := e.store.ModelFile(e.ctx(), high)
	if err != nil || !bytes.Equal(file, []byte{1, 0, 255}) {
		e.Errorf("file %v, %v", file, err)
	}
	manifest, err := e.store.ModelManifest(e.ctx(), high)
	if err != nil || string(manifest) != `{"seed": 1}` {
		e.Errorf("manifest %s, %v", manifest, err)
	}
	_, err = e.store.ModelManifest(e.ctx(), 9)
	e.wantErr("the manifest of an unknown model", err, aggregate.ErrNoModel)
	_, err = e.store.ModelFile(e.ctx(), 9)
	e.wantErr("an unknown model", err, aggregate.ErrNoModel)

	again := modelChange(got.Version, high, base+day)
	again.Add.File, again.ModelSlots = []byte{9}, got.ModelSlots
	e.must(e.store.ChangeModels(e.ctx(), again))
	got, err = e.store.ModelBook(e.ctx())
	e.must(err)
	if m := got.Find(high); len(got.Models) != 2 || m == nil || m.At != base {
		e.Errorf("a model that is known was written again: %+v", got.Models)
	}
	entries, err := e.store.ReadAudit(e.ctx(), &aggregate.AuditQuery{Action: "model.propose"})
	e.must(err)
	equal(e, "audit entries; a refused change leaves none", len(entries), 3)
}

// modelRaces: of several who change one version, one wins.
func modelRaces(e *env) {
	b, err := e.store.ModelBook(e.ctx())
	e.must(err)
	const writers = 4
	var wg sync.WaitGroup
	won := make(chan error, writers)
	for i := range uint64(writers) {
		wg.Go(func() { won <- e.store.ChangeModels(e.ctx(), modelChange(b.Version, i+1, base)) })
	}
	wg.Wait()
	close(won)
	wins := 0
	for err := range won {
		if err == nil {
			wins++
		} else if !errors.Is(err, aggregate.ErrModelsChanged) {
			e.Error(err)
		}
	}
	equal(e, "winners", wins, 1)
	after, err := e.store.ModelBook(e.ctx())
	e.must(err)
	equal(e, "models", len(after.Models), 1)
}

// modelForgotten: a file stays while anything stored names it, and the entry for good.
func modelForgotten(e *env) {
	by := func(hash uint64) func(*click.Click) { return func(c *click.Click) { c.Verdict.ModelHash = hash } }
	const named, free = uint64(1)<<63 | 5, uint64(7)
	e.put(newRow(1, base, by(named)))
	version := int64(0)
	for _, hash := range []uint64{named, free} {
		e.must(e.store.ChangeModels(e.ctx(), modelChange(version, hash, base)))
		version++
	}
	forget := func(hash uint64) error {
		a := entry("anna", "*", "model.retire")
		a.At = base + hour
		return e.store.ChangeModels(e.ctx(), &aggregate.ModelChange{Version: version, Forget: hash, Entry: a})
	}
	e.wantErr("a model that a click names", forget(named), aggregate.ErrModelNamed)
	e.wantErr("an unknown model", forget(99), aggregate.ErrNoModel)
	e.must(forget(free))
	version++
	e.wantErr("a file that is gone", forget(free), aggregate.ErrNoModel)
	_, err := e.store.ModelFile(e.ctx(), free)
	e.wantErr("its file", err, aggregate.ErrModelForgotten)
	if _, err := e.store.ModelFile(e.ctx(), named); err != nil {
		e.Errorf("the named model: %v", err)
	}
	b, err := e.store.ModelBook(e.ctx())
	e.must(err)
	if _, err := e.store.ModelManifest(e.ctx(), free); err != nil {
		e.Errorf("the manifest of a retired model: %v", err)
	}
	if m := b.Find(free); b.Version != version || m == nil || m.RetiredAt != base+hour {
		e.Errorf("book after retiring: %+v", b)
	}
}

// trainingLease: one at a time, and who lost it writes nothing.
func trainingLease(e *env) {
	now := time.UnixMicro(base)
	first, err := e.store.LeaseTraining(e.ctx(), "a", now, time.Hour)
	e.must(err)
	_, err = e.store.LeaseTraining(e.ctx(), "b", now.Add(time.Minute), time.Hour)
	e.wantErr("a second trainer", err, aggregate.ErrTraining)
	later, err := e.store.LeaseTraining(e.ctx(), "b", now.Add(time.Hour), time.Hour)
	e.must(err)
	if later <= first {
		e.Errorf("fence %d after %d", later, first)
	}
	c := modelChange(0, 5, base)
	c.Fence = first
	e.wantErr("who lost the lease", e.store.ChangeModels(e.ctx(), c), aggregate.ErrModelsChanged)
	c.Fence = later
	e.must(e.store.ChangeModels(e.ctx(), c))
}

// trainingClicks: of closed hours alone, valid by the edge and by the last word; and
// those that the last word calls sivt.
func trainingClicks(e *env) {
	odd := newRow(1, base, vector(1, 10), func(c *click.Click) { c.PublisherID, c.IPPrefix, c.AgentFamily = "p", "192.0.2.0/24", "Opera" })
	short := func(c *click.Click) { clear(c.Verdict.Vector[5:]) }
	valid, revised := newRow(2, base+second, vector(1, 20), short), newRow(3, base+2*second, vector(1, 30))
	e.put(odd, valid, revised,
		newRow(4, base+3*second, vector(1, 40), state(click.SIVT)),
		newRow(5, base+4*second, vector(1, 50), state(click.GIVT)),
		newRow(6, base+5*second, vector(1, 60), state(click.Suspect)),
		newRow(7, base+6*second, vector(2, 70)),
		newRow(8, base+7*second),
		newRow(9, base+hour, vector(1, 90)), // of an hour that is open
	)
	released := newRow(10, base+8*second, vector(1, 100), state(click.SIVT))
	e.put(released)
	closeIt := func(u aggregate.Unit, revisions ...aggregate.Revision) {
		e.ingestUnit(u)
		fence := e.seal(u)
		e.closing(u, fence, func(tx aggregate.ClosingTx) error {
			if err := tx.Revise(e.ctx(), revisions); err != nil {
				return err
			}
			return tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: u, ClosedAt: base + hour}, nil)
		})
	}
	revision := func(r aggregate.ClickRow, from, to click.State) aggregate.Revision {
		v := r.Verdict
		v.State = to
		return aggregate.Revision{EventKey: aggregate.KeyOf(r.Click), Unit: shop, At: base, From: from, Verdict: v, Cause: aggregate.CauseClose}
	}
	closeIt(shop, revision(revised, click.Valid, click.SIVT), revision(released, click.SIVT, click.Valid))
	read := func(from, to int64, version uint32) map[aggregate.EventKey]aggregate.TrainingClick {
		got := map[aggregate.EventKey]aggregate.TrainingClick{}
		e.must(e.store.TrainingClicks(e.ctx(), aggregate.TrainingQuery{From: from, To: to, Version: version}, func(r *aggregate.TrainingClick) error {
			got[r.EventKey] = *r
			return nil
		}))
		return got
	}
	got := read(shop.Hour, shop.Hour+2*hour, 1)
	states := map[click.ID]click.State{}
	for k, r := range got {
		states[k.EventID] = r.State
	}
	want := map[click.ID]click.State{eventID(base, 1): click.Valid, eventID(base+second, 2): click.Valid,
		eventID(base+2*second, 3): click.SIVT, eventID(base+3*second, 4): click.SIVT}
	if diff := cmp.Diff(want, states); diff != "" {
		e.Errorf("training clicks (-want +got):\n%s", diff)
	}
	equal(e, "a whole row", got[aggregate.KeyOf(odd.Click)], aggregate.TrainingClick{
		EventKey: aggregate.KeyOf(odd.Click), SourceID: "shop", EventTime: base, State: click.Valid,
		PublisherID: "p", IPPrefix: "192.0.2.0/24", AgentFamily: "Opera", Vector: odd.Verdict.Vector,
	})
	equal(e, "slots that are not stored", got[aggregate.KeyOf(valid.Click)].Vector, valid.Verdict.Vector)
	equal(e, "of another version", len(read(shop.Hour, shop.Hour+hour, 2)), 1)
	equal(e, "of other hours", len(read(shop.Hour+hour, shop.Hour+2*hour, 1)), 0)
	stop := errors.New("stop")
	err := e.store.TrainingClicks(e.ctx(), aggregate.TrainingQuery{From: shop.Hour, To: shop.Hour + hour, Version: 1}, func(*aggregate.TrainingClick) error { return stop })
	e.wantErr("an error of the caller", err, stop)
}

// ingestUnit registers a unit whose clicks are stored.
func (e *env) ingestUnit(u aggregate.Unit) {
	e.Helper()
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		_, err := tx.TouchUnits(e.ctx(), []aggregate.Unit{u})
		return err
	}))
}
