// Package demomodel is the isolation forest that clickgate brings along: trained
// on synthetic ordinary traffic, good enough to show every click a model score,
// and no more. Train one on your own clicks with `clickgate train`.
package demomodel

import (
	_ "embed"
	"encoding/binary"
	"time"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/givt"
	"clickgate/scoring/iforest"
	"clickgate/scoring/synth"

	"github.com/cespare/xxhash/v2"
)

//go:generate go run ./generate

//go:embed demo.cgif
var file []byte

// Open returns the embedded model.
func Open() (*iforest.Model, error) { return iforest.Open(file) }

// Seed of traffic and training.
const Seed = 20261125

// Train makes the model anew from the seed; its bytes equal the embedded file's.
func Train() (*iforest.Model, error) {
	rows, err := vectors()
	if err != nil {
		return nil, err
	}
	cfg := iforest.Config{Names: scoring.FeatureNames(), Seed: Seed, VectorVersion: scoring.VectorVersion, CreatedBy: "go generate ./scoring/demomodel"}
	return iforest.Train(rows, cfg)
}

// start is the event time of the first synthetic click, Unix microseconds; it is
// at a full minute.
const start = 1_790_000_040_000_000

// vectors scores two hours of ordinary traffic, people and declared crawlers, and
// returns the vectors from when everybody has a baseline.
func vectors() ([][]float32, error) {
	lists, err := givt.Embedded()
	if err != nil {
		return nil, err
	}
	scorer, err := scoring.New(scoring.DefaultConfig(), lists, Seed, nil)
	if err != nil {
		return nil, err
	}
	p := synth.DefaultParams()
	p.Duration, p.Day, p.Peak, p.People = 2*time.Hour, 4*time.Hour, 8, 4000
	var rows [][]float32
	for c := range synth.Traffic(Seed, p) {
		e, s := event(&c)
		scorer.Score(&e, &s)
		if c.At >= 10*time.Minute {
			rows = append(rows, append([]float32(nil), e.Verdict.Vector[:scoring.Features]...))
		}
	}
	return rows, nil
}

// event is a synthetic click as the gateway hands it over. Pseudonyms only have to
// tell people apart.
func event(c *synth.Click) (click.Click, click.Signals) {
	e := click.Click{TenantID: "demo", EventTime: start + c.At.Microseconds()}
	ip := c.IP.As16()
	binary.LittleEndian.PutUint64(e.IPKey[:], xxhash.Sum64(ip[:]))
	binary.LittleEndian.PutUint64(e.AgentKey[:], xxhash.Sum64String(c.Agent))
	return e, click.Signals{IP: c.IP, UserAgent: c.Agent, AcceptLanguage: c.Language}
}
