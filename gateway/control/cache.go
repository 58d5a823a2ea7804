package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"clickgate/gateway/seal"
)

// cacheFile is what a gateway keeps on its disk of the control topic, as JSON:
// the values of the versions in force and planned. Token keys in them are sealed.
type cacheFile struct {
	Format  int       `json:"format"`
	ReadAt  time.Time `json:"read_at"` // when the topic said so
	Entries []string  `json:"entries"` // values of records
	SHA256  string    `json:"sha256"`  // over the entries, each with a NUL behind it
}

const cacheFormat = 1

// writeCache replaces the cache at path.
func writeCache(path string, b *book, readAt time.Time) error {
	c := cacheFile{Format: cacheFormat, ReadAt: readAt}
	for _, id := range slices.Sorted(maps.Keys(b.tenants)) {
		for _, p := range b.tenants[id] {
			c.Entries = append(c.Entries, string(p.value))
		}
	}
	c.SHA256 = c.sum()
	content, err := json.MarshalIndent(&c, "", " ")
	if err != nil {
		return err
	}
	return writeFile(path, append(content, '\n'))
}

func (c *cacheFile) sum() string {
	h := sha256.New()
	for _, e := range c.Entries {
		h.Write([]byte(e))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readCache returns the cached versions and when they were current.
func readCache(path string, ring *seal.Ring) (*book, time.Time, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	var c cacheFile
	switch err := json.Unmarshal(content, &c); {
	case err == nil && c.Format > cacheFormat:
		return nil, time.Time{}, fmt.Errorf("has format %d, this program knows %d: run the clickgate that wrote it, or let this one read the topic", c.Format, cacheFormat)
	case err != nil || c.Format != cacheFormat || c.SHA256 != c.sum():
		return nil, time.Time{}, errors.New("is damaged")
	}
	b := newBook(ring)
	var errs []error
	for _, value := range c.Entries {
		e, err := decode([]byte(value), ring)
		if err == nil {
			err = b.add(Record{[]byte(e.key()), []byte(value)})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("an entry: %w", err))
		}
	}
	return b, c.ReadAt, errors.Join(errs...)
}
