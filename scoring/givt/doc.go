// Package givt finds general invalid traffic by lists: declared crawlers, tools and headless browsers by their
// agent, data centres by their address (MRC Invalid Traffic Detection and Filtration Standard, general class;
// IAB/ABC decision order of include list, then exclude list).
//
// The package gives evidence, not a verdict. Membership of a relay, VPN or Tor range suspends the data-centre rule,
// because the published data-centre ranges also hold the exits of relays that people use, and is never enough alone.
// A missing agent is a class of its own: it is not invalid traffic by list, and not valid either.
//
// # What counts as a match
//
// A pattern is an RE2 expression, searched anywhere in the agent, and case counts unless the pattern says (?i).
// Before that, spaces and quotes around the agent are taken off, and bytes past MaxAgent are not read.
// All patterns are looked for in one pass: a literal of each pattern is in an Aho-Corasick automaton (Aho and
// Corasick, 1975) that folds ASCII case, so the automaton only proposes; the literal's exact bytes and anchors, or for
// patterns that are more than a few literals the expression itself, decide. Under (?i), only ASCII letters fold.
// A match that lies inside a handset phrase (KindHandsets) does not count; one elsewhere in the same agent does, so a
// crawler gains nothing from naming a telephone.
//
// Lists are immutable and carry a hash of their content, so that a stored verdict can name the lists it was made with.
package givt
