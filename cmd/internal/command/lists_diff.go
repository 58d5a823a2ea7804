package command

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"clickgate/cmd/internal/report"
	"clickgate/gateway/rawlog"
	"clickgate/scoring/givt"
)

type listsDiffCmd struct {
	A string `arg:"" help:"Lists before: a folder with a lists.yaml, one list, or the word embedded." placeholder:"A"`
	B string `arg:"" help:"Lists after, likewise." placeholder:"B"`
	listFile
	At     string `help:"Compare the lists that folders have in force at this time. Now when left out." placeholder:"TIME"`
	Agents string `help:"Judge these by both: a file, plain or .gz, with an agent on each line, or an address, a tab and an agent. The embedded agents of people's devices when left out." placeholder:"FILE" xor:"clicks"`
	Log    string `help:"Judge by both the requests of an access log in the combined format, plain or .gz." placeholder:"FILE" xor:"clicks"`
	Last   int    `help:"Of --agents or --log, the last N only; 0 for all." default:"0" placeholder:"N"`
	JSON   bool   `help:"Write JSON."`
}

// listsDiff is what diff says.
type listsDiff struct {
	Before  string        `json:"hash_before"`
	After   string        `json:"hash_after"`
	Lists   []changedList `json:"lists"`
	Clicks  int           `json:"clicks"` // judged by both
	Damaged int           `json:"damaged_lines,omitempty"`
	Changed int           `json:"changed"`
	Changes []givt.Change `json:"changes"`
}

// changedList is a list that differs, with a few entries of each kind.
type changedList struct {
	Name    string   `json:"name"`
	Added   int      `json:"added"`
	Removed int      `json:"removed"`
	Moved   bool     `json:"moved,omitempty"` // the same entries at another place, or of another owner
	New     []string `json:"added_examples,omitempty"`
	Gone    []string `json:"removed_examples,omitempty"`
}

func (c *listsDiffCmd) Run(s *session) error {
	at, err := atTime(c.At, s.Now())
	if err != nil {
		return err
	}
	if c.Last < 0 {
		return usage(fmt.Errorf("--last %d: choose 1 or more, or 0 for all", c.Last))
	}
	before, err := c.lists(c.A, at)
	if err != nil {
		return err
	}
	after, err := c.lists(c.B, at)
	if err != nil {
		return err
	}
	d, err := c.compare(before, after)
	if err != nil {
		return err
	}
	if c.JSON {
		err = report.WriteJSON(s.Stdout, d)
	} else {
		err = d.write(s.Stdout)
	}
	if err == nil && d.Before != d.After {
		return negative(nil)
	}
	return err
}

// lists returns one side; a single file stands among the embedded lists.
func (c *listsDiffCmd) lists(path string, at time.Time) ([]givt.Source, error) {
	if path != embeddedLists {
		folder, err := isFolder(path)
		if err != nil {
			return nil, err
		}
		if !folder {
			l, builtin, err := c.read(path)
			if err != nil {
				return nil, err
			}
			if c.Kind != "" {
				l.Name = "(file)" // of two files with names of their own, one is the other's successor
			}
			return among(builtin, l), nil
		}
	}
	v, err := openVersions(path)
	if err != nil {
		return nil, err
	}
	return v.At(at), nil
}

func (c *listsDiffCmd) compare(before, after []givt.Source) (*listsDiff, error) {
	a, err := givt.Load(before)
	if err != nil {
		return nil, negative(fmt.Errorf("%s: %w", c.A, err))
	}
	b, err := givt.Load(after)
	if err != nil {
		return nil, negative(fmt.Errorf("%s: %w", c.B, err))
	}
	d := &listsDiff{Before: fmt.Sprintf("%016x", a.Hash()), After: fmt.Sprintf("%016x", b.Hash()), Lists: []changedList{}}
	if err := d.entries(before, after); err != nil {
		return nil, negative(err)
	}
	visits, damaged, err := c.visits()
	if err != nil {
		return nil, err
	}
	seen := givt.Comparison{Before: a, After: b}
	for _, v := range visits {
		seen.Add(v.agent, v.ip)
	}
	d.Clicks, d.Damaged, d.Changes = seen.Clicks, damaged, seen.Changes()
	for _, ch := range d.Changes {
		d.Changed += ch.Count
	}
	return d, nil
}

const entryExamples = 5

// entries compares lists of the same name.
func (d *listsDiff) entries(before, after []givt.Source) error {
	named := func(all []givt.Source, name string) (int, givt.Source) {
		at := slices.IndexFunc(all, func(l givt.Source) bool { return l.Name == name })
		if at < 0 {
			return at, givt.Source{}
		}
		return at, all[at]
	}
	names := []string{}
	for _, l := range append(slices.Clone(before), after...) {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	for _, name := range names {
		i, a := named(before, name)
		j, b := named(after, name)
		added, removed, err := givt.Changed(a, b)
		if err != nil {
			return err
		}
		c := changedList{Name: name, Added: len(added), Removed: len(removed), New: added[:min(entryExamples, len(added))], Gone: removed[:min(entryExamples, len(removed))]}
		c.Moved = len(added)+len(removed) == 0 && (a.Owner != b.Owner || a.Kind != b.Kind || i != j && len(before) == len(after))
		if c.Added+c.Removed > 0 || c.Moved {
			d.Lists = append(d.Lists, c)
		}
	}
	return nil
}

// listVisit is a click to judge; the zero address is an unknown one.
type listVisit struct {
	agent string
	ip    netip.Addr
}

func (c *listsDiffCmd) visits() (visits []listVisit, damaged int, err error) {
	if path := cmp.Or(c.Agents, c.Log); path == "" {
		people, err := givt.Devices()
		for _, agent := range people {
			visits = append(visits, listVisit{agent: agent})
		}
		return visits, 0, err
	}
	keep := func(v listVisit) {
		if visits = append(visits, v); c.Last > 0 && len(visits) >= 2*c.Last { // memory stays bounded
			visits = visits[:copy(visits, visits[len(visits)-c.Last:])]
		}
	}
	if c.Log != "" {
		damaged, err = readLogVisits(c.Log, keep)
	} else {
		damaged, err = readAgentLines(c.Agents, keep)
	}
	if c.Last > 0 {
		visits = visits[max(0, len(visits)-c.Last):]
	}
	return visits, damaged, err
}

// readLogVisits reads the requests of an access log.
func readLogVisits(path string, visit func(listVisit)) (damaged int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	sum, err := rawlog.Scan(f, rawlog.Format{Name: rawlog.Combined}, rawlog.Limits{}, func(e *rawlog.Entry) error {
		if e.Kind == rawlog.Request {
			visit(listVisit{strings.Clone(e.UserAgent), e.IP})
		}
		return nil
	})
	if err != nil {
		return int(sum.Malformed), negative(fmt.Errorf("%s: %w", path, err))
	}
	return int(sum.Malformed), nil
}

// readAgentLines reads agents, each with an address and a tab before it or without. A line whose address cannot be
// read, or that is longer than a log's, is damaged.
func readAgentLines(path string, visit func(listVisit)) (damaged int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	in := bufio.NewScanner(rawlog.Decompress(f, rawlog.Limits{}))
	in.Buffer(make([]byte, 1<<16), maxLine)
	for in.Scan() {
		line := string(bytes.TrimRight(in.Bytes(), "\r"))
		v := listVisit{agent: line}
		if ip, agent, ok := strings.Cut(line, "\t"); ok {
			if v.ip, err = netip.ParseAddr(ip); err != nil {
				damaged++
				continue
			}
			v.agent = agent
		}
		visit(v)
	}
	if err := in.Err(); err != nil {
		return damaged, negative(fmt.Errorf("%s: %w", path, err))
	}
	return damaged, nil
}

func (d *listsDiff) write(w io.Writer) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	for _, l := range d.Lists {
		moved := ""
		if l.Moved {
			moved = ", at another place or of another owner"
		}
		line("%s: %d added, %d removed%s", report.Visible(l.Name), l.Added, l.Removed, moved)
		for _, e := range l.New {
			line("  + %s", report.Visible(strings.ReplaceAll(e, "\t", " ")))
		}
		for _, e := range l.Gone {
			line("  - %s", report.Visible(strings.ReplaceAll(e, "\t", " ")))
		}
	}
	for _, c := range d.Changes {
		line("%7d  %s -> %s", c.Count, c.From, c.To)
		for _, e := range c.Examples {
			line("         %s", report.Visible(e))
		}
	}
	if d.Damaged > 0 {
		line("%d damaged lines were left out", d.Damaged)
	}
	line("hash %s -> %s; of %d agents, %d would be judged otherwise", d.Before, d.After, d.Clicks, d.Changed)
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
