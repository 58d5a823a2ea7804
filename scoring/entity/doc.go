// Package entity remembers facts of many entities in bounded memory: a table that
// forgets idle keys first, and the small sketches that stand in its entries, for
// distinct counts, for how evenly clicks come, and for whether clicks spread as those
// of a crowd do.
//
// State depends on the order of events alone, and what is stored is integers: replaying
// one order with one goroutine gives equal bits. Nothing here allocates per event.
package entity
