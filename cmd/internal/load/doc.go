// Package load sends clicks to a gateway on a schedule that was fixed before the
// first one, and reports what became of every one of them.
//
// The loop is open: an arrival has its instant whatever the gateway does, and its
// latency counts from that instant, never from the moment a connection was free
// to send it. So a gateway that stalls is charged with everybody who came during
// the stall (Gil Tene, "How NOT to Measure Latency": coordinated omission; Schroeder,
// Wierman and Harchol-Balter, "Open Versus Closed: A Cautionary Tale", NSDI 2006).
// Where the generator itself could not keep the schedule it says so, and beyond a
// share of such arrivals the run is void: then it measured something else.
//
// The package knows a gateway only from outside: by its address, an API key and a
// token key of its control file. Every run is bounded in arrivals, connections and
// time by its Config.
package load
