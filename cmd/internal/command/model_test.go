package command

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"
	"clickgate/scoring/demomodel"
	"clickgate/scoring/iforest"
)

// withHours stores n valid clicks a day back, in hours that then close.
func (d *desk) withHours(n int, change func(i int, c *click.Click)) {
	rows := make([]aggregate.ClickRow, n)
	for i := range rows {
		rows[i] = event(0, func(c *click.Click) {
			c.EventID, c.ClickID = click.ID{0: 1, 6: 0x70, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}, click.ID{0: 2, 14: byte(i >> 8), 15: byte(i)}
			c.EventTime = now.Add(-24*time.Hour).UnixMicro() + int64(i)*1_000_000
			c.Ingest.Seq = uint64(i + 1)
			c.IPKey, c.AgentKey, c.IPPrefix = click.Key{1, byte(i >> 8), byte(i)}, click.Key{2, byte(i % 50)}, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255)
			c.PublisherID, c.CampaignID, c.Flags = fmt.Sprint("pub", i%7), fmt.Sprint("camp", i%5), 0
			c.Verdict.State, c.Verdict.VectorVersion = click.Valid, scoring.VectorVersion
			for j := range scoring.Features {
				c.Verdict.Vector[j] = float32(i * (j + 5) % (11 + j))
			}
			if change != nil {
				change(i, c)
			}
		})
		rows[i].Offset = int64(i)
	}
	d.apply(aggregate.Batch{Partition: part(stream.ClicksTopic), Next: int64(n), Clicks: rows})
}

func (d *desk) models() (rows []modelRow) {
	d.t.Helper()
	stdout, _ := d.run(ExitOK, "model", "list", "--json")
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
		d.t.Fatal(err)
	}
	return rows
}

// The life of two models by commands: one of a file, one trained from the store.
func TestModelCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.withHours(900, nil)
	d.run(ExitOK, "hours", "close", "--close-now", "--before", now.Format(time.RFC3339), "--why", "test")
	file := filepath.Join(d.dir, "own.cgif")
	d.run(ExitOK, "train", "--from-store", "--out", file, "--seed", "9")
	d.must(ExitUsage, "--beyond 0 is no threshold", "model", "propose", file, "--why", "x")
	d.must(ExitUsage, "missing flags: --why", "model", "propose")
	d.run(ExitOK, "model", "propose", file, "--why", "by hand", "--beyond", "0.62")
	first := d.models()
	if len(first) != 1 || first[0].Slot != "shadow" || first[0].Who != "os:ada" || first[0].Why != "by hand" {
		t.Fatalf("%+v", first)
	}
	d.run(ExitOK, "model", "promote", first[0].Hash[:6], "--why", "looks right")
	d.must(ExitNegative, "is live already", "model", "promote", first[0].Hash, "--why", "x")
	d.must(ExitNegative, "no model before", "model", "rollback", "--why", "x")

	if stdout, _ := d.run(ExitOK, "model", "propose", "--why", "try", "--dry-run"); !strings.Contains(stdout, "no accepted model to compare with") {
		t.Errorf("dry run: %s", stdout)
	}
	if len(d.models()) != 1 {
		t.Error("a dry run kept a model")
	}
	d.run(ExitOK, "model", "propose", "--why", "from the store")
	both := d.models()
	if len(both) != 2 {
		t.Fatalf("%+v", both)
	}
	second := both[0]
	if second.Hash == first[0].Hash {
		second = both[1]
	}
	d.run(ExitOK, "model", "promote", second.Hash, "--why", "guarded from now on")
	stdout, _ := d.run(ExitOK, "model", "rollback", "--why", "too many suspects")
	if !strings.Contains(stdout, first[0].Hash) {
		t.Errorf("rolled back to %s", stdout)
	}
	stdout, _ = d.run(ExitOK, "model", "show", second.Hash, "--profile")
	for _, want := range []string{`"slot": "previous"`, `"sources"`, `"guard"`, `"profile"`, `"seed": 1`, `"who": "os:ada"`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("show lacks %s:\n%s", want, stdout)
		}
	}
	if stdout, _ = d.run(ExitOK, "model", "list"); !strings.Contains(stdout, "live") || !strings.Contains(stdout, "previous") {
		t.Errorf("list:\n%s", stdout)
	}
	d.must(ExitNegative, "no model begins so", "model", "show", "zz")
	d.must(ExitNegative, "is live", "model", "retire", first[0].Hash, "--why", "x")
}

// check makes scores again: of the embedded model, and of one that is not here, which it
// says; and it tells a score that is not the model's.
func TestModelCheck(t *testing.T) {
	t.Parallel()
	m, err := demomodel.Open()
	if err != nil {
		t.Fatal(err)
	}
	scored := func(m *iforest.Model, by uint64) func(int, *click.Click) {
		return func(_ int, c *click.Click) {
			c.Verdict.Vector[scoring.SlotModel] = float32(m.Score(c.Verdict.Vector[:scoring.Features]))
			c.Verdict.ModelHash, c.Verdict.ModelSlot = by, click.ModelLive
		}
	}
	for _, c := range []struct {
		name, want string
		status     int
		change     func(int, *click.Click)
	}{
		{"as stored", "", ExitOK, scored(m, m.Hash())},
		{"a model that is gone", "is not kept", ExitNegative, scored(m, 77)},
		{"another score", "the click says", ExitNegative, func(i int, c *click.Click) {
			scored(m, m.Hash())(i, c)
			if i == 5 {
				c.Verdict.Vector[scoring.SlotModel] += 0.01
			}
		}},
	} {
		d := newDesk(t)
		d.withHours(50, c.change)
		stdout, stderr := d.run(c.status, "model", "check")
		if !strings.Contains(stderr, c.want) || !strings.Contains(stdout, "50") {
			t.Errorf("%s: %s%s", c.name, stdout, stderr)
		}
		if c.status == ExitOK && !strings.Contains(stdout, fmt.Sprintf("%016x", m.Hash())) {
			t.Errorf("%s: %s", c.name, stdout)
		}
	}
}
