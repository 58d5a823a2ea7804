package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"clickgate/gateway/control"

	"github.com/twmb/franz-go/pkg/kgo"
)

// inForceKey is the key of the record that says what is in force; all others are under
// the hash of a model and hold its file.
const inForceKey = "in_force"

// TopicSource is the models topic, for gateways, which have no store. It keeps the files
// of the models that were in force, as the topic does.
type TopicSource struct {
	Feed    control.Feed
	inForce *InForce
	files   map[string][]byte
}

// InForce implements Source: it takes in what came since the last call.
func (s *TopicSource) InForce(ctx context.Context) (InForce, error) {
	records, err := s.Feed.Read(ctx)
	if err != nil {
		return InForce{}, fmt.Errorf("models topic: %w", err)
	}
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	var bad error
	for _, r := range records {
		if string(r.Key) != inForceKey {
			s.files[string(r.Key)] = r.Value
			continue
		}
		now := &InForce{}
		if bad = json.Unmarshal(r.Value, now); bad == nil && (s.inForce == nil || now.Version >= s.inForce.Version) {
			s.inForce = now
		}
	}
	switch {
	case bad != nil:
		return InForce{}, fmt.Errorf("models topic: %w", bad)
	case s.inForce == nil:
		return InForce{}, errors.New("models topic: nothing is in it; an aggregator writes it from the store, with scoring.model: managed")
	}
	return *s.inForce, nil
}

// File implements Source.
func (s *TopicSource) File(_ context.Context, hash string) ([]byte, error) {
	if file := s.files[hash]; file != nil {
		return file, nil
	}
	return nil, fmt.Errorf("models topic: the file of model %s is not in it yet", hash)
}

// Publisher copies what is in force from the store to the models topic. Several may run:
// what they write is the same, files before what names them. One that was overtaken may
// write an old version last; every repeat writes the newest again.
type Publisher struct {
	Source  Source
	Client  *kgo.Client // produces to the models topic's partition 0
	Topic   string
	Logger  *slog.Logger
	written InForce
	at      time.Time
	failing bool

	stop context.CancelFunc
	done sync.WaitGroup
}

const (
	publishEvery = 5 * time.Second
	// repeatEvery is how long an overtaken publisher's old version can stand.
	repeatEvery = time.Minute
)

// Start publishes until Stop.
func (p *Publisher) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.done.Go(func() {
		for {
			err := p.Publish(ctx, time.Now())
			if err != nil && ctx.Err() == nil && !p.failing {
				p.Logger.Error("gateways do not learn which models are in force", "error", err)
			}
			p.failing = err != nil
			select {
			case <-ctx.Done():
				return
			case <-time.After(publishEvery):
			}
		}
	})
}

// Stop ends publishing.
func (p *Publisher) Stop() {
	if p.stop != nil {
		p.stop()
		p.done.Wait()
	}
}

// Publish writes what is in force when it changed, or was written long ago.
func (p *Publisher) Publish(ctx context.Context, now time.Time) error {
	next, err := p.Source.InForce(ctx)
	if err != nil {
		return err
	}
	if next == p.written && now.Sub(p.at) < repeatEvery {
		return nil
	}
	var records []*kgo.Record
	for _, slot := range []Slot{next.Live, next.Shadow} {
		if slot.Hash == "" || slot.Hash == p.written.Live.Hash || slot.Hash == p.written.Shadow.Hash {
			continue
		}
		file, err := p.Source.File(ctx, slot.Hash)
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{Topic: p.Topic, Key: []byte(slot.Hash), Value: file})
	}
	value, err := json.Marshal(&next)
	if err != nil {
		return err
	}
	records = append(records, &kgo.Record{Topic: p.Topic, Key: []byte(inForceKey), Value: value})
	if err := p.Client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("models topic: %w", err)
	}
	p.written, p.at = next, now
	return nil
}
