package config

import (
	"fmt"
	"slices"
	"strings"
)

// nearest returns the candidate that is the fewest edits away, if that is few.
func nearest(name string, candidates []string) (string, bool) {
	best, at := "", max(3, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(name, c); d < at {
			best, at = c, d
		}
	}
	return best, best != ""
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// hint is the remedy for an unknown name.
func hint(name string, candidates []string) string {
	if len(name) <= 128 {
		if best, ok := nearest(name, candidates); ok {
			return fmt.Sprintf("did you mean %s?", best)
		}
	}
	slices.Sort(candidates)
	return "known are " + strings.Join(candidates, ", ")
}
