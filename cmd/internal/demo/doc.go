// Package demo feeds a gateway with traffic that shows what clickgate does: an
// access log replayed as an ad server's batches, a paid campaign with people,
// double clicks and crawlers, one attack on it, and a second tenant.
//
// It knows the gateway only from outside, through its address, an API key and
// token keys, and keeps its own account of what was sent and answered: a Tally
// that must agree with `clickgate report reconcile`. The gateway must run until
// Run returns, and trust the feed's address as a proxy, because the feed names
// the clients in X-Forwarded-For.
package demo
