// Package edge turns the untrusted bytes of a click request into checked
// values: batch bodies, JSON items, times, click queries, landing links, client
// addresses and texts. It is a leaf of pure functions. It opens no connection,
// resolves no name, reads no clock and logs nothing.
//
// # Errors
//
// Every refusal is an [*Error] with a stable code ([Codes] lists them all), the
// field it concerns and a message that says what was wrong and what to do. A
// message never repeats what the sender wrote, so that no address, agent or
// link reaches a log by way of an error.
//
// # Memory
//
// On the path of a good click nothing is allocated. Strings and slices that are
// handed out alias the input, or the scratch memory that the caller passed in;
// each function says which and for how long. Whatever must live longer has to
// be copied. An Error owns its memory.
//
// # Concurrency
//
// [AllowList] and [Trust] are immutable and safe for concurrent use. [Scratch],
// [Query] and [Items] belong to one goroutine at a time.
package edge
