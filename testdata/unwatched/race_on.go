//go:build race

package unwatched

const watched = true
