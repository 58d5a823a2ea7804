package control

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"clickgate/gateway/seal"
)

// Record is a record of the control topic.
type Record struct{ Key, Value []byte }

// book holds what the control topic says: the versions of every tenant, and
// which of them are in force. Not safe for concurrent use.
type book struct {
	ring    *seal.Ring
	tenants map[string][]*page // by rising version
	inForce map[string]*page
}

// page is one version with the value it came in.
type page struct {
	*Entry
	value   []byte
	archive bool // its history record was seen
	refused bool // as last tried; the reason was reported
}

func newBook(ring *seal.Ring) *book {
	return &book{ring: ring, tenants: map[string][]*page{}, inForce: map[string]*page{}}
}

// clone shares the pages and nothing else that changes.
func (b *book) clone() *book {
	c := &book{ring: b.ring, tenants: maps.Clone(b.tenants), inForce: maps.Clone(b.inForce)}
	for id, pages := range c.tenants {
		c.tenants[id] = slices.Clone(pages)
	}
	return c
}

// add takes a record in. A version that is there already, as every version comes
// under two keys, changes nothing. The error names no secret.
func (b *book) add(r Record) error {
	e, err := decode(r.Value, b.ring)
	if err != nil {
		return fmt.Errorf("entry %s: %w", shownKey(r.Key), err)
	}
	archive := string(r.Key) == e.historyKey()
	if !archive && string(r.Key) != e.key() {
		return fmt.Errorf("entry %s: its content is version %d of tenant %s", shownKey(r.Key), e.Version, e.Tenant.ID)
	}
	pages := b.tenants[e.Tenant.ID]
	at, found := slices.BinarySearchFunc(pages, e.Version, func(p *page, v uint64) int { return cmp.Compare(p.Version, v) })
	if !found {
		b.tenants[e.Tenant.ID] = slices.Insert(pages, at, &page{Entry: e, value: r.Value, archive: archive})
		return nil
	}
	if pages[at].Hash != e.Hash {
		return fmt.Errorf("entry %s: version %d is there with another content; the first one stays", shownKey(r.Key), e.Version)
	}
	pages[at].archive = pages[at].archive || archive
	return nil
}

// shownKey bounds a key that may hold anything.
func shownKey(key []byte) string { return fmt.Sprintf("%.80q", key) }

// refusal is an entry that stays out of force.
type refusal struct {
	entry *Entry
	err   error
}

// activate puts in force, for every tenant, the highest version whose time has
// come, and returns the snapshot of them, nil when there is no tenant. A version
// with which there is no valid snapshot stays out, and the one before it in;
// fresh refusals are returned. It is tried again at the next call, because what
// it collides with may go.
func (b *book) activate(now time.Time) (*Snapshot, []refusal) {
	refused := map[*page]error{}
	for {
		picks := b.due(now, refused)
		if s, err := build(picks); err == nil {
			b.inForce = picks
			return s, b.note(refused)
		} else if errors.Is(err, errNoTenants) {
			b.inForce = picks
			return nil, b.note(refused)
		}
		known := len(refused)
		if b.refuse(picks, refused); len(refused) == known {
			return nil, b.note(refused)
		}
	}
}

// due picks what should be in force.
func (b *book) due(now time.Time, refused map[*page]error) map[string]*page {
	picks := map[string]*page{}
	for id, pages := range b.tenants {
		for _, p := range slices.Backward(pages) {
			if !p.ActivatesAt.After(now) && refused[p] == nil {
				picks[id] = p
				break
			}
		}
	}
	return picks
}

// refuse finds at least one page with which there is no snapshot: they join what
// is in force one by one, those of an earlier time first.
func (b *book) refuse(picks map[string]*page, refused map[*page]error) {
	base := map[string]*page{}
	for id, p := range b.inForce {
		if refused[p] == nil {
			base[id] = p
		}
	}
	order := slices.SortedFunc(maps.Values(picks), func(x, y *page) int {
		return cmp.Or(x.ActivatesAt.Compare(y.ActivatesAt), strings.Compare(x.Tenant.ID, y.Tenant.ID))
	})
	for _, p := range order {
		if base[p.Tenant.ID] == p {
			continue
		}
		with := maps.Clone(base)
		with[p.Tenant.ID] = p
		if _, err := build(with); err != nil && !errors.Is(err, errNoTenants) {
			refused[p] = err
			continue
		}
		base = with
	}
}

// note remembers which refusals were reported and returns the fresh ones.
func (b *book) note(refused map[*page]error) (fresh []refusal) {
	for _, pages := range b.tenants {
		for _, p := range pages {
			err := refused[p]
			if err != nil && !p.refused {
				fresh = append(fresh, refusal{p.Entry, err})
			}
			p.refused = err != nil
		}
	}
	return fresh
}

// next returns when the next version takes force, zero when none is planned.
func (b *book) next(now time.Time) (at time.Time) {
	for _, pages := range b.tenants {
		for _, p := range slices.Backward(pages) {
			if !p.ActivatesAt.After(now) {
				break // lower ones are overtaken
			}
			if at.IsZero() || p.ActivatesAt.Before(at) {
				at = p.ActivatesAt
			}
		}
	}
	return at
}

// forget drops versions that can never be in force again.
func (b *book) forget() {
	for id, p := range b.inForce {
		b.tenants[id] = slices.DeleteFunc(b.tenants[id], func(x *page) bool { return x.Version < p.Version })
		if len(b.tenants[id]) == 0 {
			delete(b.tenants, id)
		}
	}
}

var errNoTenants = errors.New("no tenants")

// newest picks the highest version of every tenant, whenever it takes force.
func (b *book) newest() map[string]*page {
	picks := map[string]*page{}
	for id, pages := range b.tenants {
		picks[id] = pages[len(pages)-1]
	}
	return picks
}

// build makes the snapshot of the pages.
func build(picks map[string]*page) (*Snapshot, error) {
	f := fileOf(picks)
	if len(f.Tenants) == 0 {
		return nil, errNoTenants
	}
	return f.snapshot(sumOf(picks))
}

// fileOf returns the tenants that are not removed, in order of their ids.
func fileOf(picks map[string]*page) *File {
	f := &File{}
	for _, id := range slices.Sorted(maps.Keys(picks)) {
		if p := picks[id]; !p.Removed {
			f.Tenants = append(f.Tenants, p.Tenant)
		}
	}
	return f
}

// sumOf names a set of versions.
func sumOf(picks map[string]*page) [sha256.Size]byte {
	sum := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(picks)) {
		fmt.Fprintf(sum, "%s#%d %s\n", id, picks[id].Version, picks[id].Hash)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}
