package click

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A vector comes back bit for bit, without its zeros at the end, and one of the first
// version, which had sixteen slots, reads as zero behind them.
func TestVectorComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var v, got Vector
		for i := range rapid.IntRange(0, VectorSize).Draw(t, "slots") {
			v[i] = math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		}
		for i := range got {
			got[i] = 7 // what was there before
		}
		b := v.Append(nil)
		if err := got.Unpack(b); err != nil {
			t.Fatal(err)
		}
		for i := range v {
			if math.Float32bits(v[i]) != math.Float32bits(got[i]) {
				t.Fatalf("slot %d is %x, was %x", i, math.Float32bits(got[i]), math.Float32bits(v[i]))
			}
		}
		if len(b) < 64 || len(b) > 64 && math.Float32bits(v[len(b)/4-1]) == 0 {
			t.Fatalf("%d bytes", len(b))
		}
	})
	old := make([]byte, 64)
	old[63] = 0x40
	var v Vector
	if err := v.Unpack(old); err != nil || v[15] != 2 || v[16] != 0 {
		t.Errorf("a vector of version 1 reads %v, %v", v, err)
	}
	for _, n := range []int{0, 4, 60, 65, 66, 4*VectorSize + 4} {
		if v.Unpack(make([]byte, n)) == nil {
			t.Errorf("%d bytes were read", n)
		}
	}
}
