package scoring

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"clickgate/gateway/click"
)

//go:embed testdata/verdicts_v1.txt
var verdictsV1 string

// Verdicts that the first version stored come out of their evidence bit for bit, under
// the policy hash that they bear. Each line of the file, which that version wrote, is
// model_suspect, apps_are_tools, flags, 16 slots, state, reasons, score and policy hash.
func TestRecomputeVersionOne(t *testing.T) {
	t.Parallel()
	states := map[string]int{}
	for line := range strings.Lines(verdictsV1) {
		f := strings.Fields(line)
		p := DefaultConfig().Policy
		p.ModelSuspect, _ = strconv.ParseFloat(f[0], 64)
		p.AppsAreTools = f[1] == "true"
		flags, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || len(f) != 23 {
			t.Fatalf("line %q: %v", line, err)
		}
		v := click.Verdict{VectorVersion: 1}
		for i := range 16 {
			bits, err := strconv.ParseUint(f[3+i], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			v.Vector[i] = math.Float32frombits(uint32(bits))
		}
		d, err := Recompute(&p, click.Flags(flags), &v)
		got := fmt.Sprintf("%v %d %016x %016x", d.State, uint64(d.Reasons), math.Float64bits(d.Score), p.HashOf(1))
		if want := strings.Join(f[19:], " "); err != nil || got != want {
			t.Errorf("recomputed %s, %v; stored %s", got, err, want)
		}
		states[f[19]]++
	}
	for _, s := range []string{"valid", "givt", "sivt", "suspect", "undecidable", "test"} {
		if states[s] < 5 {
			t.Errorf("only %d stored verdicts are %s", states[s], s)
		}
	}
}

// A click that a gateway of the first version scored is judged like the others.
func TestJudgeTakesVersionOne(t *testing.T) {
	t.Parallel()
	_, judge := newJudge(t, nil)
	caught := 0
	for i := range int64(100) {
		c, _ := visit("203.0.113.9", browser, int64(start)+i*100_000)
		c.Verdict = click.Verdict{State: click.Valid, VectorVersion: 1, PolicyHash: 9}
		c.Verdict.Vector[modelV1] = 0.7 // its model's score
		v := judge(&c)
		if v.VectorVersion != VectorVersion || v.Vector[SlotModel] != 0 || v.Vector[SlotPrefix1m] != 0 {
			t.Fatalf("judged %+v", v)
		}
		if v.State == click.SIVT {
			caught++
		}
	}
	if caught < 60 {
		t.Errorf("%d of 100 flood clicks of version 1 are sivt", caught)
	}
}

func TestRecomputeOfOtherVersions(t *testing.T) {
	t.Parallel()
	p := DefaultConfig().Policy
	for version, want := range map[uint32]string{
		0: "not scored", 2: "version 2 cannot be read: builds before a release wrote it in two layouts", VectorVersion + 1: "reads 1 and 3",
	} {
		if _, err := Recompute(&p, 0, &click.Verdict{VectorVersion: version}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a vector of version %d: %v", version, err)
		}
		if slots, err := SlotsOf(version); slots != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %d has %d slots, %v", version, len(slots), err)
		}
	}
	if now, err := SlotsOf(VectorVersion); err != nil || len(now) != int(numSlots) || numSlots > click.VectorSize {
		t.Errorf("version %d has %d slots, %v; a vector has room for %d", VectorVersion, len(now), err, click.VectorSize)
	}
	if one, err := SlotsOf(1); err != nil || len(one) != 16 || one[modelV1].Name != "model_score" || one[3].Name != "address_z_self" {
		t.Errorf("version 1 is %v", one)
	}
}
