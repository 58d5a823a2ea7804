package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Class is a kind of arrival; classes are reported apart.
type Class uint8

// Classes.
const (
	Paid      Class = iota // GET /c with a token of its own
	Organic                // GET /c or /b with a source's public id
	Reused                 // GET /c with one of a few tokens, again and again
	Batch                  // POST /v1/clicks with an API key
	Malformed              // one of Corpus, on a connection of its own
	numClasses
)

var classNames = [numClasses]string{"paid", "organic", "reused", "batch", "malformed"}

// String returns the name that flags and reports use.
func (c Class) String() string {
	if c >= numClasses {
		return "class(" + strconv.Itoa(int(c)) + ")"
	}
	return classNames[c]
}

// Mix gives every class its weight: a class of weight w has the share w / sum of
// arrivals. A weight is 0 to MaxWeight.
type Mix [numClasses]int

// MaxWeight bounds a weight.
const MaxWeight = 1_000_000

// ParseMix reads NAME=WEIGHT,..., for example paid=10,organic=60,batch=5. Classes
// that are not named have no share. An error says which part is wrong.
func ParseMix(text string) (m Mix, err error) {
	seen := [numClasses]bool{}
	for part := range strings.SplitSeq(text, ",") {
		name, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		c := classOf(name)
		switch {
		case !ok || c == numClasses:
			return Mix{}, fmt.Errorf("mix: %q is no share; write NAME=WEIGHT with a name of %s", part, strings.Join(classNames[:], ", "))
		case seen[c]:
			return Mix{}, fmt.Errorf("mix: %s stands twice; give each class one weight", name)
		}
		seen[c] = true
		if m[c], err = strconv.Atoi(number); err != nil || m[c] < 0 || m[c] > MaxWeight {
			return Mix{}, fmt.Errorf("mix: %s=%q: the weight is no whole number from 0 to %d", name, number, MaxWeight)
		}
	}
	if m.sum() == 0 {
		return Mix{}, fmt.Errorf("mix: %q: all weights are 0, so nothing would be sent", text)
	}
	return m, nil
}

// classOf returns numClasses for a name that is none.
func classOf(name string) Class {
	for c := range numClasses {
		if classNames[c] == name {
			return c
		}
	}
	return numClasses
}

// String returns the mix in the form that ParseMix reads, without zero weights.
func (m Mix) String() string {
	var parts []string
	for c, w := range m {
		if w > 0 {
			parts = append(parts, Class(c).String()+"="+strconv.Itoa(w))
		}
	}
	return strings.Join(parts, ",")
}

func (m *Mix) sum() (n int) {
	for _, w := range m {
		n += w
	}
	return n
}

// pick draws a class.
func (m *Mix) pick(r *rand.Rand) Class {
	n := r.IntN(m.sum())
	for c, w := range m {
		if n < w {
			return Class(c)
		}
		n -= w
	}
	return Paid // not reached: n is below the sum
}
