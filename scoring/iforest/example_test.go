package iforest_test

import (
	"fmt"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

// A model learns the vectors of stored clicks, lives in a Holder and scores the
// vectors of new ones.
func Example() {
	var vectors []click.Vector
	for i := range 1000 {
		vectors = append(vectors, click.Vector{scoring.SlotAddress1m: float32(i % 7), scoring.SlotAddress1h: float32(i % 40)})
	}
	rows := make([][]float32, len(vectors))
	for i := range vectors {
		rows[i] = vectors[i][:]
	}
	model, err := iforest.Train(rows, iforest.Config{Seed: 1, VectorVersion: scoring.VectorVersion})
	if err != nil {
		fmt.Println(err)
		return
	}
	holder := iforest.NewHolder(click.VectorSize, scoring.VectorVersion)
	if _, err := holder.Swap(model); err != nil {
		fmt.Println(err)
		return
	}

	score := func(c *click.Verdict) {
		if m := holder.Load(); m != nil {
			c.Score, c.ModelHash, c.ModelSlot = m.Score(c.Vector[:]), m.Hash(), click.ModelLive
		}
	}
	usual := click.Verdict{Vector: vectors[17]}
	flood := click.Verdict{Vector: click.Vector{scoring.SlotAddress1m: 300, scoring.SlotAddress1h: 300}}
	score(&usual)
	score(&flood)
	fmt.Println(flood.Score > usual.Score, flood.ModelHash == model.Hash())

	contributions := make([]iforest.Length, model.Features())
	expected := model.Contributions(contributions, flood.Vector[:])
	fmt.Println(expected-model.PathLength(flood.Vector[:]) == contributions[scoring.SlotAddress1m]+contributions[scoring.SlotAddress1h])
	// Output:
	// true true
	// true
}
