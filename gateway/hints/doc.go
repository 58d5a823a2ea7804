// Package hints lets gateways know of each other through Redis: which click ids were
// used at another gateway, and what an address sends to all of them together.
//
// All of it is advice. No request waits for it, no click is refused or dropped by it,
// and what is billed is decided by the store alone; so Redis may be slow, full,
// read-only or gone, and a gateway then knows only what it has seen itself. What is
// stored there lives for an hour at most, under keyed hashes that say nothing to
// anybody without the master key.
package hints
