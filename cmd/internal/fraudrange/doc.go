// Package fraudrange makes labelled click traffic to shoot at: people by the
// hundred thousand over the hours of a week, behind home lines, carriers' NAT,
// offices, universities, privacy relays and VPNs; crowds that look like an attack
// and are none; and thirteen families of attacks, loud and slow.
//
// Everything is drawn from a seed: shares, sizes and paces come from Ranges, each
// with its source, so no single choice of numbers decides what a detector is worth.
// Nothing here knows a threshold of scoring, and nothing here changes in one commit
// with a detector. Seeds 1 to 99 are for tuning, 1000 to 1019 for reporting.
//
// Clicks come in order of arrival, one at a time. What is kept grows with open
// visits and with an attack's machines, never with the clicks that are over. Every
// kind of traffic draws from a stream of its own: leaving a family out changes
// nobody else's clicks.
//
// Addresses that belong to somebody are used only where that is the point: exits of
// relays and VPNs, data centres and verified crawlers, from the lists in data. All
// others are from ranges that are set aside: 240.0.0.0/4 (RFC 1112) and 3fff::/20
// (RFC 9637).
package fraudrange
