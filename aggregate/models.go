package aggregate

import (
	"context"
	"errors"
	"time"

	"clickgate/gateway/click"
)

// Errors of Models.
var (
	// ErrModelsChanged says that somebody else changed the book of models, or took the
	// training lease, since it was read.
	ErrModelsChanged = errors.New("the models were changed by somebody else meanwhile; look again")
	// ErrNoModel says that the store knows no model of this hash.
	ErrNoModel = errors.New("the store knows no model of this hash")
	// ErrModelForgotten says that the model's file was given up when it was retired; its
	// manifest is still there.
	ErrModelForgotten = errors.New("the model is retired and its file is not kept any more")
	// ErrModelNamed says that a model's file must stay: stored clicks name it.
	ErrModelNamed = errors.New("stored clicks name the model, so it is kept: their scores must stay recomputable")
	// ErrTraining says that another process has the training lease.
	ErrTraining = errors.New("another process trains")
)

// Models is the book of isolation forests: every model with its manifest and file, which
// of them is live, which is the shadow, and who may train the next. Every change is one
// transaction with its audit entry, and goes by the version of the book that it was made
// from. All methods are safe for concurrent use. Times are Unix microseconds.
type Models interface {
	// ModelBook returns the book, models newest first.
	ModelBook(ctx context.Context) (ModelBook, error)
	// ModelManifest returns the manifest of a model, or ErrNoModel. It is not in the book,
	// which is read every few seconds, because it may be large.
	ModelManifest(ctx context.Context, hash uint64) ([]byte, error)
	// ModelFile returns the bytes of a model: ErrNoModel, or ErrModelForgotten, where
	// there are none.
	ModelFile(ctx context.Context, hash uint64) ([]byte, error)
	// ChangeModels writes the next version of the book. It returns ErrModelsChanged when
	// the stored version is not that of the change, or a later lease was given out than
	// the change's, and ErrModelNamed when it would forget a file that clicks name.
	ChangeModels(ctx context.Context, c *ModelChange) error
	// LeaseTraining gives owner the right to train until now + ttl, with a fence above
	// all before, or ErrTraining while another owner's lease runs.
	LeaseTraining(ctx context.Context, owner string, now time.Time, ttl time.Duration) (fence int64, err error)
	// TrainingClicks calls f for the clicks of closed hours that training looks at, in no
	// particular order, and ends with the first error of f. The row is valid during the call.
	TrainingClicks(ctx context.Context, q TrainingQuery, f func(*TrainingClick) error) error
}

// ModelSlots say which models are in force; 0 is none.
type ModelSlots struct {
	Live, Shadow, Previous uint64 // Previous is what a rollback makes live
	LiveSince, ShadowSince int64
	TrainedAt              int64 // when the newest scheduled training began
}

// ModelBook is the book at one moment.
type ModelBook struct {
	ModelSlots
	Version int64
	Models  []ModelEntry
}

// Find returns the entry of a model, nil for one that is not known.
func (b *ModelBook) Find(hash uint64) *ModelEntry {
	for i := range b.Models {
		if b.Models[i].Hash == hash {
			return &b.Models[i]
		}
	}
	return nil
}

// ModelEntry is a model without its manifest and file.
type ModelEntry struct {
	Hash    uint64
	At      int64  // when it was proposed
	Refused string // why it must not be used; empty for a sound one
	// RetiredAt is when its file was given up; 0 while it is kept.
	RetiredAt int64
}

// ModelChange is the next version of the book.
type ModelChange struct {
	Version int64 // of the book that it was made from
	Fence   int64 // of the lease that it was made under; 0 for none
	ModelSlots
	Add    *NewModel // nil for none; one that is known already keeps its entry
	Forget uint64    // a model whose file goes; 0 for none
	Entry  AuditEntry
}

// NewModel is a model to be kept.
type NewModel struct {
	ModelEntry
	Manifest []byte // JSON; see package retrain
	File     []byte
}

// TrainingQuery selects clicks of closed hours: Valid, those that neither the edge nor
// the last word on them found anything but valid; SIVT, those whose last word is sivt.
type TrainingQuery struct {
	From, To int64  // hours, Unix microseconds, [From, To)
	Version  uint32 // of the vector
}

// TrainingClick is what training sees of a click.
type TrainingClick struct {
	EventKey
	SourceID    string
	EventTime   int64
	State       click.State // Valid or SIVT
	PublisherID string
	IPPrefix    string
	AgentFamily string
	Vector      click.Vector // as the edge stored it
}
