package givt

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"clickgate/gateway/edge"
)

// ManifestName is the file of a folder that says which lists are in it.
const ManifestName = "lists.yaml"

// Bounds of a folder: what is beyond them is a slip.
const (
	maxListBytes = 256 << 20 // unpacked
	maxSteps     = 32        // times at which the lists in force change
)

// Manifest is the content of a folder's lists.yaml. Unknown keys are errors.
type Manifest struct {
	// WithoutEmbedded leaves out the lists that clickgate brings along.
	WithoutEmbedded bool    `yaml:"without_embedded"`
	Lists           []Entry `yaml:"lists"`
}

// Entry is one version of one list. Of the versions of a name, the one that was activated last is in force.
type Entry struct {
	Name    string `yaml:"name" json:"name"` // default: the file's name without .gz; an embedded list's name replaces it
	File    string `yaml:"file" json:"file,omitempty"`
	Kind    string `yaml:"kind" json:"kind"`
	Owner   string `yaml:"owner" json:"owner,omitempty"` // of crawler_ranges
	Version string `yaml:"version" json:"version,omitempty"`
	Source  string `yaml:"source" json:"source,omitempty"` // where it comes from
	Licence string `yaml:"licence" json:"licence,omitempty"`
	SHA256  string `yaml:"sha256" json:"sha256"` // of the file's bytes, in hex
	// PublishedAt is when its owner made it, for its age; zero when that is not known.
	PublishedAt time.Time `yaml:"published_at" json:"published_at,omitzero"`
	ActivatesAt time.Time `yaml:"activates_at" json:"activates_at,omitzero"` // zero: since ever
	Remove      bool      `yaml:"remove" json:"remove,omitempty"`            // no list of this name from here on; without a file
}

// versioned is an entry with its content.
type versioned struct {
	Entry
	list     Source
	embedded bool
}

// Versions are all versions of a folder's lists with the embedded ones behind them. Immutable.
type Versions struct {
	all []versioned // in order of precedence by name, then by activation
}

// ReadFolder reads a folder with a lists.yaml. Every file is held to its SHA-256, so that one that is half written, or
// was changed behind the manifest, is refused. Errors name file and entry; a list's content is checked by Load.
func ReadFolder(folder fs.FS) (*Versions, error) {
	text, err := fs.ReadFile(folder, ManifestName)
	if err != nil {
		return nil, fmt.Errorf("lists: %w; a folder of lists has a %s that names them", err, ManifestName)
	}
	var m Manifest
	if err := edge.UnmarshalYAML(text, &m); err != nil {
		return nil, fmt.Errorf("lists: %s: %w", ManifestName, err)
	}
	v := &Versions{}
	for i := range m.Lists {
		one, err := readEntry(folder, m.Lists[i])
		if err != nil {
			return nil, fmt.Errorf("lists: %s, lists[%d] (%q): %w", ManifestName, i, cmp.Or(m.Lists[i].Name, m.Lists[i].File), err)
		}
		v.all = append(v.all, one)
	}
	if err := v.order(!m.WithoutEmbedded); err != nil {
		return nil, fmt.Errorf("lists: %s: %w", ManifestName, err)
	}
	return v, nil
}

// EmbeddedVersions are the embedded lists alone.
func EmbeddedVersions() (*Versions, error) {
	v := &Versions{}
	return v, v.order(true)
}

func readEntry(folder fs.FS, e Entry) (versioned, error) {
	if e.Remove {
		if e.Name == "" || e.File != "" || e.ActivatesAt.IsZero() {
			return versioned{}, errors.New("remove: needs a name and a time in activates_at, and takes no file")
		}
		return versioned{Entry: e}, nil
	}
	if e.File == "" || !fs.ValidPath(e.File) {
		return versioned{}, fmt.Errorf("file: %q is no path inside the folder", e.File)
	}
	e.Name = cmp.Or(e.Name, strings.TrimSuffix(path.Base(e.File), ".gz"))
	kind, err := ParseKind(e.Kind)
	if err != nil {
		return versioned{}, err
	}
	data, err := fs.ReadFile(folder, e.File)
	if err != nil {
		return versioned{}, err
	}
	if sum := sha256.Sum256(data); !strings.EqualFold(e.SHA256, hex.EncodeToString(sum[:])) {
		return versioned{}, fmt.Errorf("sha256: the file's is %x, not %q; write the manifest after the file", sum, e.SHA256)
	}
	if data, err = Unpack(e.File, data); err != nil {
		return versioned{}, err
	}
	return versioned{Entry: e, list: Source{Name: e.Name, Kind: kind, Owner: e.Owner, Version: e.Version, Licence: e.Licence, Origin: e.Source, Data: data}}, nil
}

// Unpack returns a list's content: unpacked where its file's name ends in .gz.
func Unpack(file string, data []byte) ([]byte, error) {
	if !strings.HasSuffix(file, ".gz") {
		return data, nil
	}
	data, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, nil
}

// order puts the folder's names before the embedded ones, and takes an embedded name to its place.
func (v *Versions) order(embedded bool) error {
	var places []string // embedded names come last
	own := map[string]bool{}
	for _, e := range v.all {
		if !own[e.Name] {
			places = append(places, e.Name)
		}
		own[e.Name] = true
	}
	if embedded {
		lists, err := Builtin()
		if err != nil {
			return err
		}
		for _, l := range lists {
			places = slices.DeleteFunc(places, func(name string) bool { return name == l.Name })
			places = append(places, l.Name)
			v.all = append(v.all, versioned{list: l, embedded: true, Entry: embeddedEntry(&l)})
		}
	}
	slices.SortStableFunc(v.all, func(a, b versioned) int {
		return cmp.Or(cmp.Compare(slices.Index(places, a.Name), slices.Index(places, b.Name)), compareTimes(a, b))
	})
	for i := 1; i < len(v.all); i++ {
		a, b := &v.all[i-1], &v.all[i]
		if a.Name == b.Name && !a.embedded && a.ActivatesAt.Equal(b.ActivatesAt) {
			return fmt.Errorf("list %q has two versions from %s on; give each a time of its own", a.Name, a.ActivatesAt.Format(time.RFC3339))
		}
		if a.Name == b.Name && !b.Remove && !a.Remove && a.list.Kind != b.list.Kind {
			return fmt.Errorf("list %q is %s in one version and %s in another; give it another name", a.Name, a.list.Kind, b.list.Kind)
		}
	}
	if n := len(v.Steps()); n > maxSteps {
		return fmt.Errorf("the lists change at %d times, at most %d are kept; take out versions whose clicks were closed long ago", n, maxSteps)
	}
	return nil
}

// compareTimes puts an embedded version before all others of its name.
func compareTimes(a, b versioned) int {
	if a.embedded != b.embedded {
		if a.embedded {
			return -1
		}
		return 1
	}
	return a.ActivatesAt.Compare(b.ActivatesAt)
}

func embeddedEntry(l *Source) Entry {
	sum := sha256.Sum256(l.Data)
	return Entry{Name: l.Name, Kind: l.Kind.String(), Owner: l.Owner, Version: l.Version, Source: l.Origin, Licence: l.Licence, SHA256: hex.EncodeToString(sum[:])}
}

// Steps are the times at which the lists in force change, rising; the zero time comes first.
func (v *Versions) Steps() []time.Time {
	steps := []time.Time{{}}
	for _, e := range v.all {
		if !e.ActivatesAt.IsZero() {
			steps = append(steps, e.ActivatesAt.UTC())
		}
	}
	slices.SortFunc(steps, time.Time.Compare)
	return slices.CompactFunc(steps, time.Time.Equal)
}

// At returns the lists in force at a time, in order of precedence, for Load.
func (v *Versions) At(t time.Time) (sources []Source) {
	for _, s := range v.Status(t) {
		if s.State == InForce {
			sources = append(sources, s.list)
		}
	}
	return sources
}

// Words for what a version is at a time.
const (
	InForce  = "in force"
	Planned  = "planned"
	Replaced = "replaced"
	Removed  = "removed"
)

// Status is a version at a time.
type Status struct {
	Entry
	Embedded bool
	State    string
	list     Source
}

// List returns the version's content, the zero Source of one that removes.
func (s *Status) List() Source { return s.list }

// Status tells of every version what it is at a time, in order of precedence.
func (v *Versions) Status(t time.Time) []Status {
	all := make([]Status, len(v.all))
	for i, e := range v.all {
		all[i] = Status{Entry: e.Entry, Embedded: e.embedded, State: InForce, list: e.list}
		switch {
		case e.ActivatesAt.After(t):
			all[i].State = Planned
		case i+1 < len(v.all) && v.all[i+1].Name == e.Name && !v.all[i+1].ActivatesAt.After(t):
			all[i].State = Replaced
		case e.Remove:
			all[i].State = Removed
		}
	}
	return all
}

// Timeline are compiled lists over time. Immutable, safe for concurrent use.
type Timeline struct {
	from  []int64 // Unix microseconds, rising; the first is in force before all times, too
	lists []*Lists
}

// Always is a timeline on which nothing changes.
func Always(l *Lists) *Timeline { return &Timeline{[]int64{0}, []*Lists{l}} }

// At returns the lists in force at a time in Unix microseconds. It allocates nothing.
func (t *Timeline) At(micros int64) *Lists {
	for i := len(t.from) - 1; i > 0; i-- {
		if t.from[i] <= micros {
			return t.lists[i]
		}
	}
	return t.lists[0]
}

// Timeline compiles the versions of all times. Errors name list, line and, when it is not the first, the time.
func (v *Versions) Timeline() (*Timeline, error) {
	t := &Timeline{}
	for _, at := range v.Steps() {
		l, err := Load(v.At(at))
		if err != nil {
			if !at.IsZero() {
				err = fmt.Errorf("from %s on: %w", at.Format(time.RFC3339), err)
			}
			return nil, err
		}
		t.from, t.lists = append(t.from, at.UnixMicro()), append(t.lists, l)
	}
	return t, nil
}
