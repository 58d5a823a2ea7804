package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/scoring/iforest/eval"
)

func TestEvalIforest(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	dir := filepath.Join(d.dir, "sets")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.must(ExitUsage, "holds no file *.csv", "eval", "iforest", dir)
	var far strings.Builder // every anomaly is far out, and a set of this name was published at 0.986
	far.WriteString("a,b,label\n")
	for i := range 300 {
		fmt.Fprintf(&far, "%d,%d,0\n", i%17, i%13)
	}
	far.WriteString("900,900,1\n950,-500,1\n")
	d.write("sets/breastw.csv", far.String())
	d.write("sets/own.csv", strings.ReplaceAll(far.String(), "900", "800"))

	stdout, _ := d.run(ExitOK, "eval", "iforest", dir, "--seeds", "2")
	for _, want := range []string{"\nbreastw 302 2 0.66% 1.0000 ± 0.0000 1.0000 0 0.986 no 1.0000", "\nown 302 2 0.66% 1.0000 ± 0.0000 1.0000 0 - - 1.0000", "\n0 of 1 published values within"} {
		if !strings.Contains(words(stdout), want) {
			t.Errorf("lacks %q:\n%s", want, words(stdout))
		}
	}
	stdout, _ = d.run(ExitOK, "eval", "iforest", dir, "--seeds", "1", "--json")
	var results []eval.Result
	if err := json.Unmarshal([]byte(stdout), &results); err != nil || len(results) != 2 || results[0].Set != "breastw" || *results[0].Within || results[1].Published != nil || results[1].Extended.AUROC != 1 {
		t.Errorf("%v: %s", err, stdout)
	}

	d.must(ExitUsage, "--seeds 0: choose 1 or more", "eval", "iforest", dir, "--seeds", "0")
	d.must(ExitFailure, "no such file", "eval", "iforest", filepath.Join(d.dir, "none"))
	d.write("sets/unlabelled.csv", "a,b\n1,2\n3,4\n")
	d.must(ExitNegative, "unlabelled: 0 of 2 rows are labelled 1", "eval", "iforest", dir, "--seeds", "1")
}

func TestProgressIsForTerminals(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	quiet := newProgress(&text)
	quiet.show("at %d", 1)
	quiet.end()
	if text.Len() > 0 {
		t.Errorf("wrote %q where no terminal is", text.String())
	}
	loud := &progress{w: &text}
	loud.show("at %d", 1)
	loud.end()
	loud.end()
	if got := text.String(); got != clearLine+"at 1"+clearLine {
		t.Errorf("wrote %q", got)
	}
}
