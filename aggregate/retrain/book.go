package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

// MaxFile bounds a model's file: what stands in the models topic must fit one Kafka
// message of a broker's default size. A forest of 100 trees has 154 kB.
const MaxFile = 900_000

// ErrRefused says that the guard refused the model.
var ErrRefused = errors.New("the guard refused this model")

// ErrSlot says that what a change asks of the slots makes no sense.
var ErrSlot = errors.New("the models in force do not allow this")

// Desk changes the book of models. Every change names its author and a reason, which
// stand in the audit trail. It is safe for concurrent use: of two changes at once one is
// told to look again.
type Desk struct {
	Store aggregate.Models
	Now   func() time.Time
	Who   string
}

// ParseHash reads the 16 hexadecimal digits that name a model, or what they begin with,
// from the book.
func ParseHash(b *aggregate.ModelBook, text string) (uint64, error) {
	var found []uint64
	for i := range b.Models {
		if h := b.Models[i].Hash; text != "" && strings.HasPrefix(hex16(h), strings.ToLower(text)) {
			found = append(found, h)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, fmt.Errorf("model %s: %d models begin so; write more digits", text, len(found))
	}
	if h, err := strconv.ParseUint(text, 16, 64); err == nil && len(text) == 16 {
		return 0, fmt.Errorf("model %016x: %w", h, aggregate.ErrNoModel)
	}
	return 0, fmt.Errorf("model %q: no model begins so; `clickgate model list` shows them", text)
}

// Propose keeps a model with its manifest, whose author and reason it sets. Unless it is
// refused it becomes the shadow. fence is that of the training lease and trainedAt what
// the book is to say then; 0 for a person's proposal.
func (d *Desk) Propose(ctx context.Context, c *Candidate, why string, fence, trainedAt int64) error {
	c.Manifest.Who, c.Manifest.Why = d.Who, why
	manifest, err := json.Marshal(&c.Manifest)
	if err != nil {
		return err
	}
	file := c.Model.Bytes()
	if len(file) > MaxFile {
		return fmt.Errorf("the model has %d bytes, at most %d go to gateways; train with fewer trees or a smaller sample", len(file), MaxFile)
	}
	now := d.Now().UnixMicro()
	entry := aggregate.ModelEntry{Hash: c.Model.Hash(), At: now}
	if g := c.Manifest.Guard; g != nil {
		entry.Refused = g.Refused
	}
	return d.change(ctx, "model.propose", entry.Hash, why, func(b *aggregate.ModelBook, m *aggregate.ModelChange) error {
		refused := entry.Refused
		if known := b.Find(entry.Hash); known != nil {
			if known.RetiredAt != 0 {
				return fmt.Errorf("model %016x: %w", entry.Hash, aggregate.ErrModelForgotten)
			}
			refused = known.Refused // what the guard said of it stays said
		}
		m.Fence, m.Add = fence, &aggregate.NewModel{ModelEntry: entry, Manifest: manifest, File: file}
		m.TrainedAt = max(m.TrainedAt, trainedAt)
		if refused == "" && m.Live != entry.Hash && m.Shadow != entry.Hash {
			m.Shadow, m.ShadowSince = entry.Hash, now
		}
		return nil
	})
}

// Trained notes that a scheduled training came to nothing, so that it is not tried again
// before the next is due.
func (d *Desk) Trained(ctx context.Context, why string, fence, trainedAt int64) error {
	return d.change(ctx, "model.train", 0, why, func(_ *aggregate.ModelBook, m *aggregate.ModelChange) error {
		m.Fence, m.TrainedAt = fence, trainedAt
		return nil
	})
}

// Promote makes a model live; the one before is what a rollback returns to. One that the
// guard refused is promoted only with despite.
func (d *Desk) Promote(ctx context.Context, hash uint64, why string, despite bool) error {
	return d.change(ctx, "model.promote", hash, why, func(b *aggregate.ModelBook, m *aggregate.ModelChange) error {
		entry, err := kept(b, hash)
		switch {
		case err != nil:
			return err
		case m.Live == hash:
			return fmt.Errorf("%w: model %016x is live already", ErrSlot, hash)
		case entry.Refused != "" && !despite:
			return fmt.Errorf("%w: %s", ErrRefused, entry.Refused)
		}
		m.Live, m.Previous, m.LiveSince = hash, m.Live, d.Now().UnixMicro()
		if m.Shadow == hash {
			m.Shadow, m.ShadowSince = 0, 0
		}
		return nil
	})
}

// Rollback makes the model live that was so before the present one, and the other way
// round, so that a second rollback undoes the first.
func (d *Desk) Rollback(ctx context.Context, why string) (hash uint64, err error) {
	err = d.change(ctx, "model.rollback", 0, why, func(b *aggregate.ModelBook, m *aggregate.ModelChange) error {
		if m.Previous == 0 {
			return fmt.Errorf("%w: there is no model before the live one to return to", ErrSlot)
		}
		if _, err := kept(b, m.Previous); err != nil {
			return err
		}
		hash = m.Previous
		m.Live, m.Previous, m.LiveSince = m.Previous, m.Live, d.Now().UnixMicro()
		m.Entry.Target = hex16(hash)
		return nil
	})
	return hash, err
}

// Retire takes a shadow out of force, or gives up the file of a model that is in no slot
// and that no stored click names; its manifest stays for good.
func (d *Desk) Retire(ctx context.Context, hash uint64, why string) error {
	return d.change(ctx, "model.retire", hash, why, func(b *aggregate.ModelBook, m *aggregate.ModelChange) error {
		if _, err := kept(b, hash); err != nil {
			return err
		}
		switch hash {
		case m.Shadow:
			m.Shadow, m.ShadowSince = 0, 0
		case m.Live:
			return fmt.Errorf("%w: model %016x is live; promote another first", ErrSlot, hash)
		case m.Previous:
			return fmt.Errorf("%w: model %016x is what a rollback returns to; it can go after the next promotion", ErrSlot, hash)
		default:
			m.Forget = hash
		}
		return nil
	})
}

// kept returns the entry of a model whose file is there.
func kept(b *aggregate.ModelBook, hash uint64) (*aggregate.ModelEntry, error) {
	entry := b.Find(hash)
	switch {
	case entry == nil:
		return nil, fmt.Errorf("model %016x: %w", hash, aggregate.ErrNoModel)
	case entry.RetiredAt != 0:
		return nil, fmt.Errorf("model %016x: %w", hash, aggregate.ErrModelForgotten)
	}
	return entry, nil
}

// change writes the next version of the book, which edit makes from the present one.
func (d *Desk) change(ctx context.Context, action string, hash uint64, why string, edit func(*aggregate.ModelBook, *aggregate.ModelChange) error) error {
	switch {
	case d.Who == "":
		return errors.New("who: is empty; every change of models names its author")
	case strings.TrimSpace(why) == "":
		return errors.New("why: is empty; say in a few words what the change is for, as --why 'ticket 123'")
	}
	b, err := d.Store.ModelBook(ctx)
	if err != nil {
		return err
	}
	m := &aggregate.ModelChange{Version: b.Version, ModelSlots: b.ModelSlots, Entry: aggregate.AuditEntry{
		At: d.Now().UnixMicro(), Who: d.Who, TenantID: aggregate.AllTenants, Action: action, Detail: why,
	}}
	if hash != 0 {
		m.Entry.Target = hex16(hash)
	}
	if err := edit(&b, m); err != nil {
		return err
	}
	return d.Store.ChangeModels(ctx, m)
}

// ManifestOf reads the manifest of a model.
func ManifestOf(ctx context.Context, store aggregate.Models, hash uint64) (*Manifest, error) {
	b, err := store.ModelManifest(ctx, hash)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("model %016x: its manifest: %w", hash, err)
	}
	return m, nil
}

// open reads a model that the book names.
func open(ctx context.Context, store aggregate.Models, hash uint64) (*iforest.Model, error) {
	file, err := store.ModelFile(ctx, hash)
	if err != nil {
		return nil, err
	}
	return openNamed(hex16(hash), file)
}

// Finder returns models of the store by hash, as scoring.Rescore asks for them, each read
// once.
func Finder(ctx context.Context, store aggregate.Models) func(hash uint64) (*iforest.Model, error) {
	found := map[uint64]*iforest.Model{}
	return func(hash uint64) (*iforest.Model, error) {
		if m := found[hash]; m != nil {
			return m, nil
		}
		m, err := open(ctx, store, hash)
		switch {
		case err == nil:
			found[hash] = m
		case errors.Is(err, aggregate.ErrNoModel), errors.Is(err, aggregate.ErrModelForgotten):
			err = fmt.Errorf("%w: %w", scoring.ErrModelGone, err)
		}
		return m, err
	}
}
