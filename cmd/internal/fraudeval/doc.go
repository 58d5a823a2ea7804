// Package fraudeval measures the detectors on the traffic of package fraudrange.
//
// Every click goes through the scorer as a gateway gives it there, in order of
// arrival, and through the closer's second pass when its hour is whole: the parts
// are those of the product, only the store is a small one in memory that keeps two
// hours. What comes out is compared with the truth about each click, which none of
// the parts sees.
package fraudeval
