package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"clickgate/cmd/internal/report"
	"clickgate/gateway/control"
)

type controlGroup struct {
	Apply   controlApplyCmd   `cmd:"" help:"Bring the control entries to what a control file says: in the topic control.v1 with control.topic, else (and with --data) in the control file."`
	Diff    controlDiffCmd    `cmd:"" help:"Show what apply would change; exit status 1 when something would."`
	History controlHistoryCmd `cmd:"" help:"Show who changed what, when and why."`
	Retire  retireCmd         `cmd:"" name:"retire-gateway" help:"Release the hours that a gateway holds open which will not come back."`
}

type controlApplyCmd struct {
	File       string `arg:"" help:"Control file."`
	Why        string `help:"Why; part of the history." required:"" placeholder:"TEXT"`
	ActivateAt string `help:"When it takes force: RFC 3339, YYYY-MM-DD (UTC), or from now as +2h. At once when left out." placeholder:"TIME"`
	Base       string `help:"Refuse when the entries are not the version that diff showed." placeholder:"VERSION"`
	Prune      bool   `help:"Remove tenants that the file does not name."`
	Overtake   bool   `help:"Take force before planned versions of the same tenants, which then never do."`
}

func (c *controlApplyCmd) Run(s *session) error {
	m := control.Meta{Who: s.who(), Why: c.Why, Overtake: c.Overtake}
	var err error
	if m.ActivateAt, err = futureTime(c.ActivateAt, s.Now()); err != nil {
		return err
	}
	p, err := s.plan(c.File, c.Prune)
	if err != nil {
		return err
	}
	if c.Base != "" && c.Base != p.store.version() {
		return negative(control.ErrChanged)
	}
	if len(p.changes) == 0 {
		_, err := fmt.Fprintln(s.Stdout, "nothing changes")
		return err
	}
	if err := p.print(s.Stdout); err != nil {
		return err
	}
	return p.store.replace(s.ctx, s.Stdout, p, m)
}

type controlDiffCmd struct {
	File  string `arg:"" help:"Control file."`
	Prune bool   `help:"As for apply."`
}

func (c *controlDiffCmd) Run(s *session) error {
	p, err := s.plan(c.File, c.Prune)
	if err != nil {
		return err
	}
	if err := p.print(s.Stdout); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.Stdout, "base %s, %d tenants change\n", p.store.version(), len(p.changes)); err != nil {
		return err
	}
	if len(p.changes) > 0 {
		return negative(nil)
	}
	return nil
}

// plan is what a control file changes.
type plan struct {
	store   entries
	content []byte
	changes []control.Change
	kept    []string // tenants that the file does not name, and that stay
}

func (s *session) plan(path string, prune bool) (*plan, error) {
	p := &plan{}
	var err error
	if p.content, err = os.ReadFile(path); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	next, _, err := control.ParseFile(p.content)
	if err != nil {
		return nil, negative(fmt.Errorf("control file %s: %w", path, err))
	}
	if p.store, err = s.entries(); err != nil {
		return nil, err
	}
	present, err := p.store.read(s.ctx)
	if err != nil {
		return nil, err
	}
	changes, err := control.Changes(present, next)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if c.After == nil && !prune {
			p.kept = append(p.kept, c.Tenant)
			continue
		}
		p.changes = append(p.changes, c)
	}
	return p, nil
}

func (p *plan) print(w io.Writer) error {
	for i := range p.changes {
		lines, err := p.changes[i].Lines()
		if err != nil {
			return err
		}
		for _, l := range lines {
			if _, err := fmt.Fprintln(w, report.Visible(l)); err != nil {
				return err
			}
		}
	}
	for _, id := range p.kept {
		if _, err := fmt.Fprintf(w, "tenant %s is not in the file and stays; --prune removes it\n", id); err != nil {
			return err
		}
	}
	return nil
}

type controlHistoryCmd struct {
	Tenant string `help:"This tenant only." placeholder:"ID"`
	JSON   bool   `help:"Write JSON."`
}

func (c *controlHistoryCmd) Run(s *session) error {
	store, err := s.entries()
	if err != nil {
		return err
	}
	if _, err := store.read(s.ctx); err != nil {
		return err
	}
	rows, broken := store.history(c.Tenant)
	if c.JSON {
		err = report.WriteJSON(s.Stdout, rows)
	} else {
		err = table(s.Stdout, "written\ttenant\tversion\tprevious\tin force from\twho\taction\twhy\t", len(rows), func(i int) []any { return rows[i].cells() })
	}
	return errors.Join(broken, err)
}

// table writes rows under a head whose cells end in tabs.
func table(w io.Writer, head string, rows int, cells func(int) []any) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, head)
	for i := range rows {
		for _, c := range cells(i) {
			fmt.Fprintf(out, "%v\t", c)
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

// who is the author of a change.
func (s *session) who() string { return cmp.Or(s.User, "unknown") }

// futureTime reads the time of an activation; the zero time for none.
func futureTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var t time.Time
	ahead, relative := strings.CutPrefix(text, "+")
	if relative {
		d, err := time.ParseDuration(ahead)
		if err == nil {
			t = now.Add(d)
		}
	} else {
		t, _ = timeOf(text, now)
	}
	if !t.After(now) {
		return t, usage(fmt.Errorf("--activate-at %q: is no time to come; write 2026-11-10T12:00:00Z, 2026-11-10 or +2h", text))
	}
	return t, nil
}
