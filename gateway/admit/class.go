package admit

// Class is what a request is worth; lower is worth more.
type Class uint8

// Classes in the order in which they are kept.
const (
	Paid    Class = iota // a sealed token that bills names the opportunity
	Organic              // a known source, and nobody pays for this very click
	Demoted              // would be one of the above, but for its rate or a used token
	Bulk                 // replays and backfills, which come again by themselves
	NumClasses
)

var classNames = [NumClasses]string{"paid", "organic", "demoted", "bulk"}

func (c Class) String() string { return classNames[c] }

// Decision is what became of a request; all but Admitted are reasons of a refusal.
type Decision uint8

// Decisions.
const (
	Admitted  Decision = iota // the caller holds a permit and must give it back
	Full                      // no place in the waiting room, and nothing in it is worth less
	Displaced                 // had a place, and gave it to a request that is worth more
	Expired                   // waited as long as its class may
	Closed                    // the pressure is so high that its class is not let in
	waits                     // inside the package only: it has a place and no answer yet
	NumDecisions
)

var decisionNames = [NumDecisions]string{"admitted", "full", "displaced", "expired", "pressure", "waits"}

func (d Decision) String() string { return decisionNames[d] }

// rank orders requests within their class as well: those above their publisher's
// usual rate come after the others of their class.
type rank uint8

const numRanks = rank(2 * NumClasses)

func rankOf(c Class, excess bool) rank {
	r := rank(c) * 2
	if excess {
		r++
	}
	return r
}

func (r rank) class() Class { return Class(r / 2) }
