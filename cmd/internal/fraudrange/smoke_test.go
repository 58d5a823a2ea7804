package fraudrange

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	if os.Getenv("SMOKE") == "" {
		t.Skip()
	}
	for _, h := range []int{2, 24} {
		w, err := New(Config{Seed: 3, Hours: h, Rate: 5, Families: Families()})
		if err != nil {
			t.Fatal(err)
		}
		b := time.Now()
		n := 0
		m := map[string]int{}
		last := time.Duration(0)
		for c := range w.Clicks() {
			n++
			m[c.Label.String()]++
			m["s:"+c.Segment.String()]++
			m["f:"+c.Family.String()]++
			if c.At < last {
				t.Fatal("order")
			}
			last = c.At
		}
		fmt.Println(h, n, time.Since(b)/time.Duration(n), w.expected, m, w.pool)
		fmt.Println(w.Drawn)
		for _, a := range w.Attacks {
			fmt.Println(a.Family, a.Start, a.Lasts, a.Ordered, a.Machines, a.Parameters)
		}
	}
}
