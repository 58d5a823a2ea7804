package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// entries is where the control entries are kept: in the topic of a cluster, or in
// the control file of a data folder. read comes first; what is written afterwards
// is refused when somebody else wrote since.
type entries interface {
	read(ctx context.Context) (*control.File, error)
	// version names what was read.
	version() string
	// replace brings the entries to a control file's content.
	replace(ctx context.Context, w io.Writer, p *plan, m control.Meta) error
	edit(ctx context.Context, w io.Writer, e *control.Edit, action string, m control.Meta) error
	history(tenant string) ([]historyRow, error)
}

// entries opens the store that the configuration names: with --data, or without
// control.topic, it is the control file.
func (s *session) entries() (entries, error) {
	cfg, err := s.load(config.ForControl)
	if err != nil {
		return nil, err
	}
	if !s.followsTopic(cfg) {
		return &fileEntries{store: &control.FileStore{Path: cfg.Control.File, Now: s.Now}}, nil
	}
	return s.topicEntries(cfg)
}

// followsTopic reports whether the entries are a cluster's: a data folder has its
// own.
func (s *session) followsTopic(cfg *config.Loaded) bool { return cfg.Control.Topic && s.Data == "" }

// topicControl reads the topic for commands that only look.
func (s *session) topicControl(cfg *config.Loaded) (*control.File, *control.Snapshot, error) {
	store, err := s.topicEntries(cfg)
	if err != nil {
		return nil, nil, err
	}
	file, err := store.read(s.ctx)
	if err != nil {
		return nil, nil, err
	}
	snapshot := store.base.Snapshot(s.Now())
	if snapshot == nil {
		return nil, nil, errors.New("the control topic has no tenant in force; write some with `clickgate control apply FILE`")
	}
	return file, snapshot, nil
}

// topicTimeout bounds what a command does with Kafka.
const topicTimeout = 30 * time.Second

func (s *session) topicEntries(cfg *config.Loaded) (*topicEntries, error) {
	if err := cfg.Validate(config.ForKeys); err != nil {
		return nil, usage(err)
	}
	if err := cfg.Kafka.Validate(); err != nil {
		return nil, usage(err)
	}
	keys, err := config.LoadMasterKeys(cfg.Keys.MasterFile)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(cfg.Kafka.ClientOptions("clickgate-control")...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.ctx, topicTimeout)
	defer cancel()
	if err := stream.EnsureControl(ctx, kadm.NewClient(client), &cfg.Kafka); err != nil {
		return nil, err
	}
	return &topicEntries{publisher: app.NewControlPublisher(&cfg.Config, keys, s.Entropy, s.Now), warn: s.Stderr}, nil
}

// fileEntries are the control file's.
type fileEntries struct {
	store *control.FileStore
	base  *control.FileState
}

func (f *fileEntries) read(context.Context) (*control.File, error) {
	var err error
	if f.base, err = f.store.Read(); err != nil {
		return nil, err
	}
	return f.base.File, nil
}

func (f *fileEntries) version() string { return f.base.Version }

func (f *fileEntries) replace(_ context.Context, w io.Writer, p *plan, m control.Meta) error {
	if len(p.kept) > 0 {
		return negative(fmt.Errorf("tenant %s is not in the file and would be removed; say so with --prune", p.kept[0]))
	}
	return f.write(w, p.content, "apply", "", m)
}

func (f *fileEntries) edit(_ context.Context, w io.Writer, e *control.Edit, action string, m control.Meta) error {
	content, err := e.ApplyText(f.base.Content)
	if err != nil {
		return negative(err)
	}
	return f.write(w, content, action, e.Tenant, m)
}

func (f *fileEntries) write(w io.Writer, content []byte, action, tenant string, m control.Meta) error {
	next, err := f.store.Write(f.base, content, action, tenant, m)
	if err != nil {
		return refusedChange(err)
	}
	_, err = fmt.Fprintf(w, "%s: version %s; a running standalone takes it within two seconds\n", f.store.Path, next.Version)
	return err
}

func (f *fileEntries) history(tenant string) ([]historyRow, error) {
	lines, err := f.store.History()
	if err != nil {
		return nil, err
	}
	var rows []historyRow
	for _, l := range lines {
		if tenant == "" || l.Tenant == "" || l.Tenant == tenant {
			rows = append(rows, historyRow{At: l.At, Tenant: l.Tenant, Version: l.New, Previous: l.Old, Activates: l.At, Who: l.Who, Action: l.Action, Why: l.Why})
		}
	}
	return rows, nil
}

// topicEntries are the control topic's.
type topicEntries struct {
	publisher *control.Publisher
	base      *control.State
	warn      io.Writer
}

func (t *topicEntries) read(ctx context.Context) (*control.File, error) {
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	var err error
	if t.base, err = t.publisher.Read(ctx); err != nil {
		return nil, err
	}
	for _, bad := range t.base.Bad {
		fmt.Fprintf(t.warn, "warning: %s\n", config.Redact(bad.Error()))
	}
	return t.base.File(), nil
}

func (t *topicEntries) version() string { return t.base.Version() }

func (t *topicEntries) replace(ctx context.Context, w io.Writer, p *plan, m control.Meta) error {
	return t.publish(ctx, w, p.changes, m)
}

func (t *topicEntries) edit(ctx context.Context, w io.Writer, e *control.Edit, _ string, m control.Meta) error {
	file := t.base.File()
	after, err := e.Apply(file)
	if err != nil {
		return negative(err)
	}
	return t.publish(ctx, w, []control.Change{{Tenant: e.Tenant, Before: file.Tenant(e.Tenant), After: after}}, m)
}

func (t *topicEntries) publish(ctx context.Context, w io.Writer, changes []control.Change, m control.Meta) error {
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	written, err := t.publisher.Publish(ctx, t.base, changes, m)
	if err != nil {
		return refusedChange(err)
	}
	for _, e := range written {
		if _, err := fmt.Fprintf(w, "tenant %s: version %d, in force from %s\n", e.Tenant.ID, e.Version, e.ActivatesAt.Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return nil
}

// history also holds the versions against each other: each names the hash of the
// one before.
func (t *topicEntries) history(tenant string) ([]historyRow, error) {
	var rows []historyRow
	var broken error
	last := map[string]*control.Entry{}
	for _, e := range t.base.History(tenant) {
		id := e.Tenant.ID
		if before := last[id]; before != nil && (e.Version != before.Version+1 || e.Previous != before.Hash) {
			broken = negative(fmt.Errorf("tenant %s: version %d does not follow from version %d; the history is not complete, or was altered", id, e.Version, before.Version))
		}
		last[id] = e
		action := "change"
		if e.Removed {
			action = "remove"
		}
		rows = append(rows, historyRow{
			At: e.WrittenAt, Tenant: id, Version: fmt.Sprint(e.Version), Previous: short(e.Previous), Hash: short(e.Hash),
			Activates: e.ActivatesAt, Who: e.Who, Action: action, Why: e.Why,
		})
	}
	return rows, broken
}

func short(hash string) string { return hash[:min(len(hash), 16)] }

// refusedChange gives a refusal the status of a negative answer.
func refusedChange(err error) error {
	if errors.Is(err, control.ErrChanged) {
		return negative(err)
	}
	return err
}

// historyRow is a line of `control history`.
type historyRow struct {
	At        time.Time `json:"at"`
	Tenant    string    `json:"tenant,omitempty"`
	Version   string    `json:"version"`
	Previous  string    `json:"previous,omitempty"`
	Hash      string    `json:"hash,omitempty"`
	Activates time.Time `json:"activates_at"`
	Who       string    `json:"who"`
	Action    string    `json:"action"`
	Why       string    `json:"why"`
}

func (r *historyRow) cells() []any {
	return []any{r.At.UTC().Format(time.RFC3339), r.Tenant, r.Version, r.Previous, r.Activates.UTC().Format(time.RFC3339), report.Visible(r.Who), r.Action, report.Visible(r.Why)}
}
