// Package crash kills a whole clickgate under load and proves, click by click, that
// nothing acknowledged is lost and nothing is counted twice.
//
// A run has two gateways, two aggregators and a broker, each a process of its own,
// a database of its own, and a fault proxy in every line between them. A generator
// sends on a schedule that was fixed before the first click and notes what it was
// answered; a second schedule, from the same seed, kills, stops, cuts and delays.
// Then the faults end, everything is read to the end offsets of the topics, hours
// are closed, and Check compares the notes with the rows. The same seed gives the
// same two schedules; how processes interleave between them is the machine's.
//
// A run in which too little happened is void: that is no success and has an exit
// status of its own. Seeded mistakes (Mutants) show that the checks can fail; they
// are source texts that a build overlay puts into a program for this package alone,
// so no program that is shipped can have them.
//
// What a run cannot show stands in docs/reliability.md.
package crash
