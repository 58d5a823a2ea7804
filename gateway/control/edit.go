package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// Edit is a change of one source, made alike in an entry and in the text of a
// control file. Comments of the file stay, except those within an api_keys list
// that loses keys.
type Edit struct {
	Tenant, Source string

	add  *SourceEntry  // a new source
	key  *APIKeyEntry  // a key for an existing one
	keep []APIKeyEntry // all its keys from now on
}

// AddSource adds a source to a tenant.
func AddSource(tenant string, e SourceEntry) *Edit {
	return &Edit{Tenant: tenant, Source: e.ID, add: &e}
}

// AddAPIKey adds a key to a source, behind those it has.
func AddAPIKey(tenant, source string, k APIKeyEntry) *Edit {
	return &Edit{Tenant: tenant, Source: source, key: &k}
}

// DropOldAPIKeys leaves a source its newest key, the last one; keys of the other
// kind (test or not) stay.
func DropOldAPIKeys(f *File, tenant, source string, test bool) (*Edit, error) {
	_, e, err := f.find(tenant, source)
	if err != nil {
		return nil, err
	}
	edit := &Edit{Tenant: tenant, Source: source}
	found := false
	for _, k := range slices.Backward(e.APIKeys) {
		if k.Test != test || !found {
			edit.keep = append(edit.keep, k)
		}
		found = found || k.Test == test
	}
	if len(edit.keep) == len(e.APIKeys) {
		return nil, fmt.Errorf("source %s of tenant %s: has no old key to drop", source, tenant)
	}
	slices.Reverse(edit.keep)
	return edit, nil
}

func (f *File) find(tenant, source string) (t *TenantEntry, s *SourceEntry, err error) {
	if t = f.Tenant(tenant); t == nil {
		return nil, nil, fmt.Errorf("tenant %s: is not in the control entries; add it there or name another", tenant)
	}
	if s = t.Source(source); s == nil {
		return t, nil, fmt.Errorf("source %s: tenant %s has none of this id; `clickgate source list` shows what there is", source, tenant)
	}
	return t, s, nil
}

// Apply returns the edited tenant; f stays as it is.
func (e *Edit) Apply(f *File) (*TenantEntry, error) {
	old, src, err := f.find(e.Tenant, e.Source)
	if old == nil || err != nil && e.add == nil {
		return nil, err
	}
	if e.add != nil && src != nil {
		return nil, fmt.Errorf("source %s: tenant %s has one already; `clickgate source rotate` gives it another key", e.Source, e.Tenant)
	}
	t := *old
	t.Sources = slices.Clone(old.Sources)
	if e.add != nil {
		t.Sources = append(t.Sources, *e.add)
		return &t, nil
	}
	next := t.Source(e.Source)
	next.APIKeys = e.keep
	if e.key != nil {
		next.APIKeys = append(slices.Clone(src.APIKeys), *e.key)
	}
	return &t, nil
}

// ApplyText returns the control file's content with the edit in it. What comes out
// is read again and compared with Apply, so that a file in a form that cannot be
// edited safely is refused instead of damaged.
func (e *Edit) ApplyText(content []byte) ([]byte, error) {
	f, _, err := ParseFile(content)
	if err != nil {
		return nil, err
	}
	want, err := e.Apply(f)
	if err != nil {
		return nil, err
	}
	next := f.with(want)
	if _, err := next.snapshot([sha256.Size]byte{}); err != nil {
		return nil, err
	}
	text, addition, err := e.text(content, f)
	if err == nil && !holds(text, next) {
		err = errors.New("the control file is in a form that this command cannot edit")
	}
	if err != nil {
		return nil, fmt.Errorf("%w; add it by hand under %s of tenant %s: %s", err, e.place(), e.Tenant, strings.TrimSpace(addition))
	}
	return text, nil
}

// holds reports whether a control file's content says exactly this.
func holds(content []byte, want *File) bool {
	got, _, err := ParseFile(content)
	if err != nil {
		return false
	}
	changes, err := Changes(got, want)
	return err == nil && len(changes) == 0
}

func (f *File) with(t *TenantEntry) *File {
	next := &File{Tenants: slices.Clone(f.Tenants)}
	*next.Tenant(t.ID) = *t
	return next
}

func (e *Edit) place() string {
	if e.add != nil {
		return "sources"
	}
	return "api_keys of source " + e.Source
}

// text edits the syntax tree. What is added is written in flow style, which fits
// into both styles of YAML.
func (e *Edit) text(content []byte, f *File) (edited []byte, addition string, err error) {
	tree, err := parser.ParseBytes(content, parser.ParseComments)
	if err != nil {
		return nil, "", errors.New(yaml.FormatError(err, false, false))
	}
	at, key, list, value, replace := e.target(f)
	b, err := yaml.MarshalWithOptions(value, yaml.OmitZero(), yaml.Flow(true))
	if err != nil {
		return nil, "", err
	}
	addition = string(b)
	if !list { // the list itself is new
		at, addition = at[:len(at)-len(key)-1], fmt.Sprintf("{%s: %s}", key, strings.TrimSpace(addition))
	}
	path, err := yaml.PathString(at)
	if err != nil {
		return nil, "", err
	}
	if replace {
		err = path.ReplaceWithReader(tree, strings.NewReader(addition))
	} else {
		err = path.MergeFromReader(tree, strings.NewReader(addition))
	}
	if err != nil {
		return nil, addition, errors.New(yaml.FormatError(err, false, false))
	}
	text := tree.String()
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return []byte(text), addition, nil
}

// target is where the edit goes: the path of a list, its key, whether the list is
// there, and what is merged into it or replaces it.
func (e *Edit) target(f *File) (path, key string, list bool, value any, replace bool) {
	i := slices.IndexFunc(f.Tenants, func(t TenantEntry) bool { return t.ID == e.Tenant })
	t := &f.Tenants[i]
	sources := fmt.Sprintf("$.tenants[%d].sources", i)
	if e.add != nil {
		return sources, "sources", len(t.Sources) > 0, []*SourceEntry{e.add}, false
	}
	j := slices.IndexFunc(t.Sources, func(s SourceEntry) bool { return s.ID == e.Source })
	path = fmt.Sprintf("%s[%d].api_keys", sources, j)
	if e.key != nil {
		return path, "api_keys", len(t.Sources[j].APIKeys) > 0, []*APIKeyEntry{e.key}, false
	}
	return path, "api_keys", true, e.keep, true
}
