package crash

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is what came of a run.
type Report struct {
	Seed    uint64 `json:"seed"`
	Form    string `json:"form"`
	Mistake string `json:"mistake,omitempty"` // seeded; empty in an honest run

	LoadSeconds  float64 `json:"load_seconds"`
	DrainSeconds float64 `json:"drain_seconds"` // from the end of the load until everything was read
	CloseSeconds float64 `json:"close_seconds"`

	Activity  Activity         `json:"activity"`
	Processes []ProcessReport  `json:"processes"`
	Faults    map[string]int   `json:"faults"` // done, by name
	Wires     map[string]int   `json:"wires"`  // broken lines, by line and way
	Failures  map[string]int   `json:"failures"`
	Examples  []Failure        `json:"examples"` // the first of each rule, with what is known
	Unknown   []Unknown        `json:"unknown"`
	Void      []string         `json:"void,omitempty"` // what there was too little of
	Stored    map[string]int64 `json:"stored"`
	Felt      Felt             `json:"redis"`             // of an ill Redis
	Without   []string         `json:"without,omitempty"` // what the run went without
}

// ProcessReport is the life of one process.
type ProcessReport struct {
	Name     string `json:"name"`
	Kills    int    `json:"kills"`
	Stops    int    `json:"stops"`
	Lives    int    `json:"lives"`
	Stumbles int    `json:"ended_by_itself"`
}

// Activity is what happened in a run, and also what must have happened at least.
type Activity struct {
	Acked      int64 `json:"acked"`  // distinct ids
	Kills      int64 `json:"kills"`  // of all
	EachKilled int64 `json:"each"`   // of the component that was killed least
	Resent     int64 `json:"resent"` // batches sent again as they were
	Retries    int64 `json:"retries"`
	Redelivery int64 `json:"redelivered"` // rows
	Duplicates int64 `json:"duplicates"`  // clicks whose click id had one before
	Letters    int64 `json:"dead_letters"`
	Valid      int64 `json:"valid"`
	Lines      int64 `json:"lines_broken"`
	Zombies    int64 `json:"zombies"` // aggregators that were stopped until others had their partitions
	Fenced     int64 `json:"fenced"`  // batches that came from zombies and were refused
	Spooled    int64 `json:"spooled"` // records that gateways forwarded from their disks
	Late       int64 `json:"late"`    // clicks of hours that were closed
	Unsent     int64 `json:"unsent"`
	Diverted   int64 `json:"diverted"`   // records that the broker refused for good
	Redis      int64 `json:"redis"`      // faults of the kind that Redis had least
	Hints      int64 `json:"hints"`      // ids that Redis answered
	Poison     int64 `json:"poison"`     // records that are no event, on the topics
	Refused    int64 `json:"refused"`    // clicks that the database refused
	Jumps      int64 `json:"jumps"`      // of clocks, there and back
	Wrong      int64 `json:"wrong"`      // clicks stored that a wrong clock stamped
	Storeless  int64 `json:"storeless"`  // ids acknowledged while nobody reached the store
	Quorumless int64 `json:"quorumless"` // and while brokers had no quorum
	Commits    int64 `json:"commits"`    // whose connection ended with them
}

// lacks says what there was too little of.
func (a *Activity) lacks(least *Activity) (lacks []string) {
	for _, v := range []struct {
		name      string
		has, want int64
	}{
		{"acknowledged ids", a.Acked, least.Acked}, {"kills", a.Kills, least.Kills},
		{"kills of the component that was killed least", a.EachKilled, least.EachKilled},
		{"batches sent again", a.Resent, least.Resent}, {"retries", a.Retries, least.Retries},
		{"redelivered copies", a.Redelivery, least.Redelivery}, {"duplicates", a.Duplicates, least.Duplicates},
		{"dead letters", a.Letters, least.Letters}, {"valid clicks", a.Valid, least.Valid},
		{"broken lines", a.Lines, least.Lines}, {"zombies", a.Zombies, least.Zombies},
		{"spooled records", a.Spooled, least.Spooled}, {"late clicks", a.Late, least.Late},
		{"refused records", a.Diverted, least.Diverted},
		{"faults of the kind that Redis had least", a.Redis, least.Redis}, {"ids answered by Redis", a.Hints, least.Hints},
		{"poison records", a.Poison, least.Poison}, {"clicks that the database refused", a.Refused, least.Refused},
		{"jumps of clocks", a.Jumps, least.Jumps}, {"clicks stamped by a wrong clock", a.Wrong, least.Wrong},
		{"ids acknowledged while the store was away", a.Storeless, least.Storeless},
		{"ids acknowledged without a quorum", a.Quorumless, least.Quorumless}, {"commits cut", a.Commits, least.Commits},
	} {
		if v.has < v.want {
			lacks = append(lacks, fmt.Sprintf("%d %s, want %d", v.has, v.name, v.want))
		}
	}
	return lacks
}

// Exit statuses of a run.
const (
	Green = 0
	Red   = 1
	Void  = 4 // too little happened: nothing is proven
)

// Status is Red where something is wrong, Void where too little happened to say
// so, and Green.
func (r *Report) Status() int {
	switch {
	case len(r.Failures) > 0:
		return Red
	case len(r.Void) > 0:
		return Void
	}
	return Green
}

// WriteJSON writes the whole report.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the report for people; its last line is the verdict.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	a := &r.Activity
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "seed\t%d\tform %s%s\n", r.Seed, r.Form, cmp.Or(mistaken(r.Mistake), ""))
	fmt.Fprintf(t, "time\t%.0f s of load\tdrained in %.1f s, hours closed in %.1f s\n", r.LoadSeconds, r.DrainSeconds, r.CloseSeconds)
	fmt.Fprintf(t, "load\t%d ids acknowledged\t%d batches again, %d retries, %d not sent\n", a.Acked, a.Resent, a.Retries, a.Unsent)
	fmt.Fprintf(t, "stored\t%d valid\t%d redelivered, %d duplicates, %d dead letters, %d late\n", a.Valid, a.Redelivery, a.Duplicates, a.Letters, a.Late)
	fmt.Fprintf(t, "on the way\t%d spooled\t%d refused by the broker, %d batches fenced\n", a.Spooled, a.Diverted, a.Fenced)
	fmt.Fprintf(t, "poison\t%d records\t%d clicks refused by the database\n", a.Poison, a.Refused)
	fmt.Fprintf(t, "clocks\t%d jumps\t%d clicks stamped by a wrong clock\n", a.Jumps, a.Wrong)
	fmt.Fprintf(t, "without\t%d ids without the store\t%d ids without a quorum; %d commits cut\n", a.Storeless, a.Quorumless, a.Commits)
	for _, p := range r.Processes {
		fmt.Fprintf(t, "%s\t%d kills, %d stops\t%d lives, %d ended by themselves\n", p.Name, p.Kills, p.Stops, p.Lives, p.Stumbles)
	}
	fmt.Fprintf(t, "faults\t%d kills\t%s\n", a.Kills, list(r.Faults))
	fmt.Fprintf(t, "lines\t%d broken\t%s\n", a.Lines, list(r.Wires))
	for _, u := range r.Unknown {
		fmt.Fprintf(t, "unknown\t%d of %s\t%d copies were not acknowledged\n", u.Sequences, u.Gateway, u.InDoubt)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Without) == 0 {
		fmt.Fprintf(&b, "redis: %d ids answered; %s\n", a.Hints, &r.Felt)
	}
	for _, text := range r.Without {
		fmt.Fprintf(&b, "WITHOUT: %s\n", text)
	}
	for _, f := range r.Examples {
		fmt.Fprintf(&b, "%s %s: %s\n", strings.ToUpper(f.Rule), f.Name, f.Text)
	}
	b.WriteString(r.Verdict() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func mistaken(name string) string {
	if name == "" {
		return ""
	}
	return ", seeded mistake: " + name
}

// Verdict is the report in a line.
func (r *Report) Verdict() string {
	switch r.Status() {
	case Red:
		return fmt.Sprintf("RED: %s; repeat with seed %d", list(r.Failures), r.Seed)
	case Void:
		return fmt.Sprintf("VOID: %s; nothing is proven", strings.Join(r.Void, "; "))
	}
	return fmt.Sprintf("GREEN: of %d acknowledged ids none is lost, none is double, all counts are their rows'", r.Activity.Acked)
}

// list writes counts in order of their names.
func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
