package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/scoring/givt"
)

type listsGroup struct {
	Show   listsShowCmd   `cmd:"" help:"Show the lists that are in force, planned and replaced."`
	Verify listsVerifyCmd `cmd:"" help:"Read lists before they go into force and tell what is wrong or strange; exit status 1 for an error."`
	Diff   listsDiffCmd   `cmd:"" help:"Show what two sets of lists say differently, and of whom; exit status 1 when something differs."`
}

// embeddedLists stands for the lists that clickgate brings along, as a folder.
const embeddedLists = "embedded"

// openVersions reads a folder of lists, or the embedded ones for "".
func openVersions(folder string) (*givt.Versions, error) {
	if folder == "" || folder == embeddedLists {
		return givt.EmbeddedVersions()
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, usage(fmt.Errorf("%s: is a file; name the folder that holds its %s", folder, givt.ManifestName))
	}
	v, err := givt.ReadFolder(os.DirFS(folder))
	if err != nil {
		return nil, negative(fmt.Errorf("%s: %w", folder, err))
	}
	return v, nil
}

type listsShowCmd struct {
	Folder string `help:"Folder of lists; the configuration's scoring.lists when left out." placeholder:"DIR"`
	At     string `help:"In force at this time: RFC 3339, YYYY-MM-DD (UTC), or back from now as -24h or -7d. Now when left out." placeholder:"TIME"`
	JSON   bool   `help:"Write JSON."`
}

// shownLists is what show says.
type shownLists struct {
	Folder string      `json:"folder"`
	At     time.Time   `json:"at"`
	Hash   string      `json:"hash"` // as it stands on verdicts of that time
	Lists  []shownList `json:"lists"`
}

type shownList struct {
	givt.Entry
	State   string `json:"state"`
	Entries int    `json:"entries"`
	AgeDays *int   `json:"age_days,omitempty"` // since it was published, else activated
}

func (c *listsShowCmd) Run(s *session) error {
	at, err := atTime(c.At, s.Now())
	if err != nil {
		return err
	}
	folder := c.Folder
	if folder == "" {
		cfg, err := config.Load(s.source(s.dataDir()))
		if err != nil {
			return usage(err)
		}
		folder = cfg.Scoring.Lists
	}
	v, err := openVersions(folder)
	if err != nil {
		return err
	}
	lists, err := givt.Load(v.At(at))
	if err != nil {
		return negative(err)
	}
	shown := shownLists{Folder: folder, At: at.UTC(), Hash: fmt.Sprintf("%016x", lists.Hash())}
	if folder == "" {
		shown.Folder = embeddedLists
	}
	for _, st := range v.Status(at) {
		l, err := showList(st, s.Now())
		if err != nil {
			return negative(err)
		}
		shown.Lists = append(shown.Lists, l)
	}
	if c.JSON {
		return report.WriteJSON(s.Stdout, shown)
	}
	return shown.write(s.Stdout)
}

func atTime(text string, now time.Time) (time.Time, error) {
	micros, err := parseTime("--at", text, now)
	if err != nil || micros == 0 {
		return now, err
	}
	return time.UnixMicro(micros), nil
}

func showList(st givt.Status, now time.Time) (shownList, error) {
	l := shownList{Entry: st.Entry, State: st.State}
	if !st.Remove {
		entries, err := givt.Entries(st.List())
		if err != nil {
			return l, err
		}
		l.Entries = len(entries)
	}
	since := st.PublishedAt
	if since.IsZero() {
		since = st.ActivatesAt
	}
	if !since.IsZero() && !since.After(now) {
		days := int(now.Sub(since).Hours() / 24)
		l.AgeDays = &days
	}
	return l, nil
}

func (l *shownLists) write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "list\tkind\tversion\tentries\tstate\tactivates\tage\tlicence\tsha256\tsource")
	for _, e := range l.Lists {
		activates, age := "-", "-"
		if !e.ActivatesAt.IsZero() {
			activates = e.ActivatesAt.UTC().Format(time.RFC3339)
		}
		if e.AgeDays != nil {
			age = fmt.Sprintf("%d d", *e.AgeDays)
		}
		kind := e.Kind
		if e.Owner != "" {
			kind += " of " + e.Owner
		}
		cells := []string{e.Name, kind, e.Version, fmt.Sprint(e.Entries), e.State, activates, age, e.Licence, short(e.SHA256), e.Source}
		for i, cell := range cells {
			if cells[i] = report.Visible(cell); cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "hash %s, from %s, at %s\n", l.Hash, report.Visible(l.Folder), l.At.Format(time.RFC3339))
	return err
}

// listFile says how a single file is to be read.
type listFile struct {
	Kind  string `help:"Kind of a single file, where its name is not that of an embedded list: crawlers, agents, drops, handsets, data_centres, data_centre_ranges, relays, vpns, tor_exits, crawler_ranges, accepted, robots, iab_include, iab_exclude or iab_addresses." placeholder:"KIND"`
	Owner string `help:"Whose ranges a single file of kind crawler_ranges holds." placeholder:"NAME"`
}

// read reads a single file as a list, and the embedded ones: it may have the name of one
// of them.
func (f *listFile) read(path string) (l givt.Source, builtin []givt.Source, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return l, nil, err
	}
	if data, err = givt.Unpack(path, data); err != nil {
		return l, nil, negative(err)
	}
	if builtin, err = givt.Builtin(); err != nil {
		return l, nil, err
	}
	l = givt.Source{Name: strings.TrimSuffix(filepath.Base(path), ".gz"), Owner: f.Owner, Data: data}
	at := slices.IndexFunc(builtin, func(b givt.Source) bool { return b.Name == l.Name })
	switch {
	case f.Kind != "":
		if l.Kind, err = givt.ParseKind(f.Kind); err != nil {
			return l, nil, usage(fmt.Errorf("--kind: %w", err))
		}
	case at < 0:
		return l, nil, usage(fmt.Errorf("%s: is no embedded list's name; say what it is with --kind", path))
	default:
		l.Kind = builtin[at].Kind
		if l.Owner == "" {
			l.Owner = builtin[at].Owner
		}
	}
	if l.Kind == givt.KindCrawlerRanges && l.Owner == "" {
		return l, nil, usage(fmt.Errorf("%s: whose ranges are these? Say so with --owner", path))
	}
	return l, builtin, nil
}

// among puts a list in the place of the embedded one of its name, or before all.
func among(builtin []givt.Source, l givt.Source) []givt.Source {
	all := slices.Clone(builtin)
	if at := slices.IndexFunc(all, func(b givt.Source) bool { return b.Name == l.Name && b.Kind == l.Kind }); at >= 0 {
		all[at] = l
		return all
	}
	return append([]givt.Source{l}, all...)
}

func isFolder(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return info.IsDir(), nil
}

type listsVerifyCmd struct {
	Path string `arg:"" help:"A folder with a lists.yaml, or one list, which is tried among the embedded ones." placeholder:"FILE|DIR"`
	listFile
	All    bool `help:"Tell about the embedded lists, too."`
	Strict bool `help:"Take warnings for errors in the exit status."`
	JSON   bool `help:"Write JSON."`
}

// verified is what verify says.
type verified struct {
	Lists    int            `json:"lists"`
	Entries  int            `json:"entries"`
	Errors   int            `json:"errors"`
	Warnings int            `json:"warnings"`
	Findings []givt.Finding `json:"findings"`
}

func (c *listsVerifyCmd) Run(s *session) error {
	people, err := givt.Devices()
	if err != nil {
		return err
	}
	v, err := c.check(people)
	if err != nil {
		return err
	}
	if c.JSON {
		err = report.WriteJSON(s.Stdout, v)
	} else {
		err = v.write(s.Stdout, c.Path)
	}
	if err == nil && (v.Errors > 0 || c.Strict && v.Warnings > 0) {
		return negative(nil)
	}
	return err
}

func (c *listsVerifyCmd) check(people []string) (*verified, error) {
	v := &verified{Findings: []givt.Finding{}}
	folder, err := isFolder(c.Path)
	if err != nil {
		return nil, err
	}
	if !folder {
		l, builtin, err := c.read(c.Path)
		if err != nil {
			return nil, err
		}
		v.count(l)
		v.take(givt.Check(among(builtin, l), people), func(name string) bool { return c.All || name == l.Name })
		return v, nil
	}
	versions, err := openVersions(c.Path)
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, st := range versions.Status(time.Time{}) {
		if !st.Embedded {
			own[st.Name] = true
			v.count(st.List())
		}
	}
	for _, at := range versions.Steps() {
		v.take(givt.Check(versions.At(at), people), func(name string) bool { return c.All || own[name] })
	}
	return v, nil
}

func (v *verified) count(l givt.Source) {
	if l.Kind == 0 {
		return // it removes a list
	}
	v.Lists++
	if entries, err := givt.Entries(l); err == nil {
		v.Entries += len(entries)
	}
}

// take adds the findings of one time, each once.
func (v *verified) take(findings []givt.Finding, told func(list string) bool) {
	for _, f := range findings {
		same := func(g givt.Finding) bool {
			return g.List == f.List && g.Code == f.Code && g.Text == f.Text && g.Count == f.Count
		}
		if f.Severity != givt.Error && !told(f.List) || slices.ContainsFunc(v.Findings, same) {
			continue
		}
		switch f.Severity {
		case givt.Error:
			v.Errors++
		case givt.Warning:
			v.Warnings++
		}
		v.Findings = append(v.Findings, f)
	}
}

func (v *verified) write(w io.Writer, path string) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	for _, f := range v.Findings {
		count := ""
		if f.Count > 0 {
			count = fmt.Sprintf(" (%d)", f.Count)
		}
		line("%-7s  %s: %s%s", f.Severity, report.Visible(f.List), report.Visible(f.Text), count)
		for _, e := range f.Examples {
			line("         %s", report.Visible(e))
		}
	}
	line("%s: %d lists, %d entries, %d errors, %d warnings", report.Visible(path), v.Lists, v.Entries, v.Errors, v.Warnings)
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
