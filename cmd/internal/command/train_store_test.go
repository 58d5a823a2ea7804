package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/retrain"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"
	"clickgate/scoring/iforest"

	"pgregory.net/rapid"
)

// withVectors stores clicks: of every ten one is givt and one is test, and half are
// of another tenant.
func (d *desk) withVectors(n int) {
	rows := make([]aggregate.ClickRow, n)
	for i := range rows {
		rows[i] = event(0, func(c *click.Click) {
			c.EventID, c.ClickID = click.ID{0: 1, 6: 0x70, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}, click.ID{0: 2, 14: byte(i >> 8), 15: byte(i)}
			c.EventTime += int64(i) * 1_000_000
			c.TenantID = []string{"acme", "Zoo"}[i%2]
			c.Ingest.Seq = uint64(i + 1)
			c.Verdict.VectorVersion = scoring.VectorVersion
			for j := range c.Verdict.Vector {
				c.Verdict.Vector[j] = float32(i * (j + 5) % (11 + j))
			}
			switch i % 10 {
			case 4:
				c.Verdict.State = click.GIVT
				c.Verdict.Vector[0] = 1e6
			case 5:
				c.Verdict.State = click.Test
				c.Verdict.Vector[0] = 1e6
			}
		})
		rows[i].Offset = int64(i)
	}
	d.apply(aggregate.Batch{Partition: part(stream.ClicksTopic), Next: int64(n), Clicks: rows})
}

func TestTrainFromStore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withVectors(1000)
	train := func(name string, args ...string) ([]byte, trained) {
		t.Helper()
		out := filepath.Join(d.dir, name)
		stdout, _ := d.run(ExitOK, append([]string{"train", "--from-store", "--out", out, "--json"}, args...)...)
		var summary trained
		if err := json.Unmarshal([]byte(stdout), &summary); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b, summary
	}
	all, summary := train("all.cgif")
	if summary.Clicks != 800 || summary.Rows != 800 || summary.VectorVersion != scoring.VectorVersion {
		t.Errorf("%+v", summary)
	}
	model, err := iforest.Open(all)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := iforest.NewHolder(scoring.Features, scoring.VectorVersion).Swap(model); err != nil {
		t.Errorf("a gateway refuses the model: %v", err)
	}
	some, summary := train("some.cgif", "--rows", "300")
	if summary.Clicks != 800 || summary.Rows != 300 {
		t.Errorf("%+v", summary)
	}
	if again, _ := train("again.cgif", "--rows", "300"); !bytes.Equal(again, some) {
		t.Error("the same draw gave another file")
	}
	if other, _ := train("other.cgif", "--rows", "300", "--seed", "2"); bytes.Equal(other, some) {
		t.Error("another seed gave the same file")
	}
	if _, summary := train("zoo.cgif", "--tenant", "Zoo"); summary.Clicks != 400 {
		t.Errorf("one tenant: %+v", summary)
	}
	text, _ := d.run(ExitOK, "train", "--from-store", "--out", filepath.Join(d.dir, "t.cgif"), "--from", "2026-11-10T11:35:00Z", "--to", "2026-11-10T11:45:00Z")
	demand(t, text, "drawn from 480 stored clicks")

	out := filepath.Join(d.dir, "m.cgif")
	d.must(ExitNegative, "only 0 stored clicks fit, and a tree wants 256: widen --from and --to", "train", "--from-store", "--tenant", "none", "--out", out)
	d.must(ExitUsage, "draw at least --sample (256)", "train", "--from-store", "--rows", "10", "--out", out)
	d.must(ExitUsage, "two sources", "train", out, "--from-store", "--out", out)
	d.must(ExitUsage, "nothing to train on", "train", "--out", out)
	d.must(ExitUsage, "use them with --from-store", "train", out, "--tenant", "acme", "--out", out)
}

// A sample does not depend on the order of the rows, and every row has its chance.
func TestDrawn(t *testing.T) {
	t.Parallel()
	row := func(n uint64) *aggregate.VectorRow {
		r := &aggregate.VectorRow{EventKey: aggregate.EventKey{TenantID: "acme", EventID: click.ID{15: byte(n), 14: byte(n >> 8)}}}
		r.Vector[0] = float32(n)
		return r
	}
	draw := func(seed uint64, size int, order []int) (picked []float32) {
		d := retrain.NewDraw(seed, size)
		for _, i := range order {
			r := row(uint64(i))
			d.Add(&r.EventKey, &r.Vector)
		}
		for _, r := range tableOf(d).Rows {
			picked = append(picked, r[0])
		}
		return picked
	}
	natural := make([]int, 100)
	for i := range natural {
		natural[i] = i
	}
	rapid.Check(t, func(t *rapid.T) {
		seed, size := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 120).Draw(t, "size")
		a, b := draw(seed, size, natural), draw(seed, size, rapid.Permutation(natural).Draw(t, "order"))
		if len(a) != min(size, 100) || len(a) != len(b) {
			t.Fatalf("%d and %d rows of size %d", len(a), len(b), size)
		}
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("row %d is %v and %v", i, a[i], b[i])
			}
		}
	})
	times := map[float32]int{}
	for seed := range uint64(1000) {
		for _, n := range draw(seed, 10, natural) {
			times[n]++
		}
	}
	for n := range 100 {
		if c := times[float32(n)]; c < 50 || c > 160 { // 100 expected, standard deviation 9.5
			t.Errorf("row %d was drawn %d times of 1000", n, c)
		}
	}
}
