// Package admit decides which requests a gateway takes when it cannot take all.
//
//	Gate        permits under an adaptive limit, and a small waiting room in which
//	            the less valuable gives way to the more valuable
//	Reuse       has this click id been here before?
//	Addresses   is this client address, or the prefix around it, over its rate?
//	Quota       has this API key used up its requests?
//	Publishers  who is above their usual rate, and so shed first?
//
// The order of value is strict: 0 verified paid, 1 organic, 2 demoted, 3 bulk.
// No paid request is refused while a request of a lower class holds a place in
// the waiting room.
//
// The limit follows what waits in front of the durable log's flush, not how long
// a flush takes: group commit makes every request slower as soon as two overlap,
// and that is no overload. The rule is a relative of TCP Vegas (Brakmo and
// Peterson, 1995); what it may call normal is learned only while more requests in
// flight go with more throughput, as in Uber's Cinnamon, and only up to a fixed
// bound, so that a long incident cannot teach that slow is normal.
//
// Decisions are pure functions of state and time; the clock and the seeds are
// injected. Entering and leaving cost two atomic operations and allocate nothing.
package admit
