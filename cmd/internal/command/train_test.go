package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

func TestTrain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var names []string
	for _, slot := range scoring.Slots[:scoring.Features] {
		names = append(names, slot.Name)
	}
	var text strings.Builder
	text.WriteString(strings.Join(names, ",") + ",label\n")
	for i := range 400 {
		fmt.Fprint(&text, i%7)
		for j := 1; j < len(names); j++ {
			fmt.Fprintf(&text, ",%d", i*(j+5)%(11+j))
		}
		text.WriteString(",0\n")
	}
	table, out := d.write("vectors.csv", text.String()), filepath.Join(d.dir, "model.cgif")
	stdout, _ := d.run(ExitOK, "train", table, "--out", out, "--seed", "5")
	first, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	model, err := iforest.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := model.Verify(); err != nil {
		t.Error(err)
	}
	if info := model.Info(); info.Seed != 5 || info.Rows != 400 || info.CreatedBy != "clickgate v1.2.3" || info.VectorVersion != scoring.VectorVersion {
		t.Errorf("got %+v", info)
	}
	if _, err := iforest.NewHolder(click.VectorSize, scoring.VectorVersion).Swap(model); err != nil {
		t.Errorf("a model of click vectors is refused: %v", err)
	}
	for _, want := range []string{
		fmt.Sprintf("model %016x, %d bytes\n", model.Hash(), len(first)),
		fmt.Sprintf("rows 400, features %d (click vector version %d)\n", scoring.Features, scoring.VectorVersion), "trees 100 of 256 rows, seed 5, extension level 0\n", "scores of the rows: median 0.",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}

	stdout, _ = d.run(ExitOK, "train", table, "--out", out, "--seed", "5", "--json")
	var summary trained
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil || summary.Hash != fmt.Sprintf("%016x", model.Hash()) || !strings.HasPrefix(summary.SHA256, summary.Hash) || summary.Max <= summary.Median {
		t.Errorf("%v: %s", err, stdout)
	}
	if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, first) {
		t.Errorf("the same training gave another file (%v)", err)
	}
	if left, _ := filepath.Glob(out + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTrainAnswers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := filepath.Join(d.dir, "m.cgif")
	d.must(ExitOK, "no click vectors: no gateway takes this model", "train", d.write("two.csv", "a,b\n1,2\n3,4\n"), "--out", out, "--extended")
	d.must(ExitNegative, "row 1, column 1 (b) is NaN", "train", d.write("nan.csv", "a,b\n1,2\n3,NaN\n"), "--out", out)
	d.must(ExitNegative, "1 rows; a forest needs 2", "train", d.write("one.csv", "a,b\n1,2\n"), "--out", out)
	d.must(ExitNegative, `line 2, column 1 (a): "x" is no number`, "train", d.write("text.csv", "a,b\nx,2\n"), "--out", out)
	d.must(ExitFailure, "no such file", "train", filepath.Join(d.dir, "none.csv"), "--out", out)
	d.must(ExitFailure, "no such file", "train", filepath.Join(d.dir, "two.csv"), "--out", filepath.Join(d.dir, "none", "m.cgif"))
	d.must(ExitUsage, "--out", "train", filepath.Join(d.dir, "two.csv"))
}
