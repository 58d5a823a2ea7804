package control

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/seal"

	"github.com/goccy/go-yaml"
)

// Entry is one version of one tenant in the control topic. A record's value is
// the entry as YAML; its key is the tenant's id for the newest version, and
// id#version for the copy that stays: the topic is compacted, so the first form
// keeps the present and the second the history. Both are written in one
// transaction, and a reader takes a version from either.
//
// The keys of Tenant.TokenKeys are sealed in the topic and in caches, and in the
// clear in memory; API keys are hashes everywhere.
type Entry struct {
	Version     uint64      `yaml:"version"`      // rises by one per tenant, from 1
	ActivatesAt time.Time   `yaml:"activates_at"` // in force from here on, until a higher version is
	WrittenAt   time.Time   `yaml:"written_at"`
	Who         string      `yaml:"who"`
	Why         string      `yaml:"why"`
	Previous    string      `yaml:"previous"` // Hash of the version before, empty for the first
	Removed     bool        `yaml:"removed"`  // the tenant is no more; Tenant is its id alone
	Tenant      TenantEntry `yaml:"tenant"`

	// Hash is the SHA-256 of the record's value in hex. Not part of the value.
	Hash string `yaml:"-"`
}

// Sealer seals token keys for the topic.
type Sealer struct {
	Master  *seal.Master
	Entropy io.Reader
}

const sealedPrefix = "sealed:"

// encode returns the record's value and sets Hash.
func (e *Entry) encode(s Sealer) ([]byte, error) {
	sealed := *e
	sealed.Tenant.TokenKeys = slices.Clone(e.Tenant.TokenKeys)
	for i := range sealed.Tenant.TokenKeys {
		k := &sealed.Tenant.TokenKeys[i]
		blob, err := s.Master.SealBytes(keyPurpose(e.Tenant.ID, k.ID), []byte(k.Key), s.Entropy)
		if err != nil {
			return nil, fmt.Errorf("sealing token key %d: %w", k.ID, err)
		}
		k.Key = sealedPrefix + base64.StdEncoding.EncodeToString(blob)
	}
	value, err := marshal(&sealed)
	if err != nil {
		return nil, err
	}
	e.Hash = hashOf(value)
	return value, nil
}

// decode reads a record's value and opens its token keys. It never reads other
// files: a topic must not choose what a gateway opens.
func decode(value []byte, ring *seal.Ring) (*Entry, error) {
	var e Entry
	if err := edge.UnmarshalYAML(value, &e); err != nil {
		return nil, err
	}
	e.Hash = hashOf(value)
	switch {
	case e.Version == 0:
		return nil, errors.New("version: is missing or 0")
	case e.ActivatesAt.IsZero():
		return nil, errors.New("activates_at: is missing")
	}
	if err := checkTopicID(e.Tenant.ID); err != nil {
		return nil, err
	}
	for i := range e.Tenant.TokenKeys {
		if err := openKey(e.Tenant.ID, &e.Tenant.TokenKeys[i], ring); err != nil {
			return nil, fmt.Errorf("token_keys[%d]: %w", i, err)
		}
	}
	return &e, nil
}

func openKey(tenant string, k *TokenKeyEntry, ring *seal.Ring) error {
	text, ok := strings.CutPrefix(k.Key, sealedPrefix)
	if !ok || k.KeyFile != "" {
		return errors.New("key: is not sealed; write entries with `clickgate control apply`")
	}
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return errors.New("key: is no sealed key")
	}
	plain, err := ring.OpenBytes(keyPurpose(tenant, k.ID), blob)
	if err != nil {
		return fmt.Errorf("key: %w; keys.master_file must hold the master key it was sealed under", err)
	}
	k.Key = string(plain)
	return nil
}

// keyPurpose binds a sealed key to its place.
func keyPurpose(tenant string, id uint32) string {
	return "control token key\x00" + tenant + "\x00" + strconv.FormatUint(uint64(id), 10)
}

func (e *Entry) key() string        { return e.Tenant.ID }
func (e *Entry) historyKey() string { return e.Tenant.ID + "#" + strconv.FormatUint(e.Version, 10) }

// checkTopicID keeps the two key forms apart.
func checkTopicID(id string) error {
	if err := checkID("id", id); err != nil {
		return err
	}
	if strings.Contains(id, "#") {
		return fmt.Errorf("id: %q holds #, which separates id and version in the control topic", id)
	}
	return nil
}

func hashOf(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

func marshal(v any) ([]byte, error) { return yaml.MarshalWithOptions(v, yaml.OmitZero()) }

// resolve returns the tenant as the topic holds it: keys that a file names are
// read, and what has a canonical form gets it, so that equal tenants are equal.
func (e *TenantEntry) resolve() (TenantEntry, error) {
	t := *e
	t.TokenKeys = slices.Clone(e.TokenKeys)
	for i := range t.TokenKeys {
		k := &t.TokenKeys[i]
		if k.KeyFile != "" {
			b, err := os.ReadFile(k.KeyFile)
			if err != nil {
				return t, fmt.Errorf("token_keys[%d].key_file: %w", i, err)
			}
			k.Key, k.KeyFile = string(b), ""
		}
		k.Key = trimSpace(k.Key)
	}
	return t, nil
}

// ParseFile reads a control file's content and checks it like Parse; keys that a
// file names are read into the entries.
func ParseFile(b []byte) (*File, *Snapshot, error) {
	s, err := Parse(b)
	if err != nil {
		return nil, nil, err
	}
	var f File
	if err := edge.UnmarshalYAML(b, &f); err != nil {
		return nil, nil, err
	}
	for i := range f.Tenants {
		if f.Tenants[i], err = f.Tenants[i].resolve(); err != nil {
			return nil, nil, fmt.Errorf("tenants[%d] (%q): %w", i, f.Tenants[i].ID, err)
		}
	}
	return &f, s, nil
}

// ParsePolicy reads a source's policy from its keys and values as a control file
// would hold them. It is checked when the source is added.
func ParsePolicy(settings map[string]string) (*click.SourcePolicy, error) {
	if len(settings) == 0 {
		return nil, nil
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if strings.ContainsAny(key+settings[key], "\r\n") {
			return nil, fmt.Errorf("policy: %q: a line end is no part of a setting", key)
		}
		fmt.Fprintf(&text, "%s: %s\n", key, settings[key])
	}
	p := new(click.SourcePolicy)
	if err := yaml.UnmarshalWithOptions([]byte(text.String()), p, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("policy: %s", yaml.FormatError(err, false, false))
	}
	return p, nil
}

// Tenant finds a tenant's entry, nil when there is none.
func (f *File) Tenant(id string) *TenantEntry {
	for i := range f.Tenants {
		if f.Tenants[i].ID == id {
			return &f.Tenants[i]
		}
	}
	return nil
}

// Source finds a source's entry, nil when there is none.
func (e *TenantEntry) Source(id string) *SourceEntry {
	for i := range e.Sources {
		if e.Sources[i].ID == id {
			return &e.Sources[i]
		}
	}
	return nil
}

// LogOf returns how a source's logs are read.
func (f *File) LogOf(tenant, source string) (*Log, error) {
	_, s, err := f.find(tenant, source)
	if err != nil {
		return nil, err
	}
	if s.Log == nil {
		return nil, fmt.Errorf("source %s of tenant %s: has no log: section; add one to its entry", source, tenant)
	}
	l, err := s.Log.log()
	if err != nil {
		return nil, fmt.Errorf("source %s of tenant %s: log.%w", source, tenant, err)
	}
	return l, nil
}
