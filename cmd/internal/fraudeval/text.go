package fraudeval

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report as tables.
func (rep *Report) WriteText(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%d seeds (%s) of %d hours, %g clicks of people per second; %d clicks; policy %s, lists %s, model %s; %.0f s\n",
		len(rep.Seeds), seedList(rep.Seeds), rep.Hours, rep.Rate, rep.Clicks, rep.Policy, rep.Lists, rep.Model, rep.ElapsedS)
	fmt.Fprintln(out, "low and high: one-sided bounds of 95 %, seeds as clusters. Recall: givt + sivt when the hour has closed.")
	rep.writeFamilies(out)
	rep.writePeople(out)
	rep.writeRoutine(out)
	rep.writeReasons(out)
	rep.writeMissed(out)
	rep.writeGoals(out)
	return out.Flush()
}

// seedList writes runs of seeds as FIRST-LAST.
func seedList(seeds []uint64) string {
	var parts []string
	for i := 0; i < len(seeds); {
		j := i
		for j+1 < len(seeds) && seeds[j+1] == seeds[j]+1 {
			j++
		}
		if j == i {
			parts = append(parts, fmt.Sprint(seeds[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", seeds[i], seeds[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func (rep *Report) writeFamilies(w io.Writer) {
	fmt.Fprintln(w, "\nattack\tclicks\trecall\tlow\tby money\tlow\tnot charged\tat edge\tseen in\tafter\tclicks before\tforest\twithout it\t")
	for i := range rep.Families {
		a := &rep.Families[i]
		kind := "slow "
		if a.Loud {
			kind = "loud "
		}
		fmt.Fprintf(w, "%s%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t", kind, a.Family, a.Recall.Of, percent(a.Recall.Value), percent(a.Recall.Low),
			percent(a.Money.Value), percent(a.Money.Low), percent(a.Unbilled.Value), percent(a.AtEdge.Value),
			a.Detected, a.Seeds, seconds(a.TimeS), number(a.Clicks))
		if a.Forest == nil {
			fmt.Fprint(w, "-\t-\t\n")
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t\n", percent(a.Forest.With), percent(a.Forest.Without))
	}
	m := &rep.Money
	fmt.Fprintf(w, "money of attacks %s: saved %s, lost %s; of people %s, withheld %s\n",
		money(m.Fraud), money(m.Saved), money(m.Lost), money(m.People), money(m.Withheld))
	if len(rep.Training) > 0 {
		fmt.Fprintf(w, "forest: recall of an isolation forest alone at 0.1 %% false positives, trained on seeds %s with and without the family\n", seedList(rep.Training))
	}
}

func (rep *Report) writePeople(w io.Writer) {
	fmt.Fprintln(w, "\npeople\tclicks\tfalse positives\thigh\tnot charged\thigh\twithheld\t")
	for i := range rep.People {
		p := &rep.People[i]
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", p.Segment, p.Clicks, permille(p.False.Value), permille(p.False.High),
			permille(p.Unbilled.Value), permille(p.Unbilled.High), money(p.Withheld))
	}
	fmt.Fprintf(w, "relay users: %d, of whom %d had a click flagged or not charged\n", rep.RelayUser.Users, rep.RelayUser.Wrong)
}

func (rep *Report) writeRoutine(w io.Writer) {
	fmt.Fprintln(w, "\nroutine\tclicks\tought to be\tare\tlow\tstates\t")
	for i := range rep.Routine {
		r := &rep.Routine[i]
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t\n", r.Label, r.Clicks, r.Ought, percent(r.Right.Value), percent(r.Right.Low), counts(r.States))
	}
}

func (rep *Report) writeReasons(w io.Writer) {
	fmt.Fprintln(w, "\nreasons in the end (clicks):")
	for i := range rep.Families {
		fmt.Fprintf(w, "  %s: %s\n", rep.Families[i].Family, counts(rep.Families[i].Reasons))
	}
	for i := range rep.People {
		fmt.Fprintf(w, "  people, %s: %s\n", rep.People[i].Segment, counts(rep.People[i].Reasons))
	}
}

func (rep *Report) writeMissed(w io.Writer) {
	fmt.Fprintln(w, "\nnot caught, and why:")
	for i := range rep.Families {
		a := &rep.Families[i]
		if a.Missed == nil {
			fmt.Fprintf(w, "  %s: nothing\n", a.Family)
			continue
		}
		fmt.Fprintf(w, "  %s: %d clicks, %s (%s); %s\n", a.Family, a.Missed.Clicks, money(a.Missed.Micros), counts(a.Missed.States), a.Missed.Why)
	}
}

func (rep *Report) writeGoals(w io.Writer) {
	met := 0
	for _, g := range rep.Goals {
		if g.Met {
			met++
		}
	}
	missed := "; not met:"
	if met == len(rep.Goals) {
		missed = ""
	}
	fmt.Fprintf(w, "\ngoals: %d of %d met%s\n", met, len(rep.Goals), missed)
	for _, g := range rep.Goals {
		if !g.Met {
			fmt.Fprintf(w, "  %s: bound %.4g, goal %.4g\n", g.What, g.Bound, g.Goal)
		}
	}
}

func percent(x float64) string  { return fmt.Sprintf("%.1f%%", 100*x) }
func permille(x float64) string { return fmt.Sprintf("%.3f%%", 100*x) }
func money(micros int64) string { return fmt.Sprintf("%.2f USD", float64(micros)/1e6) }

func seconds(s *float64) string {
	if s == nil {
		return "never"
	}
	d := time.Duration(*s * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func number(n *float64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", *n)
}

// counts writes the most frequent first.
func counts(m map[string]int64) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("%s %d", k, m[k])
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
