package config

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"clickgate/gateway/seal"
)

// MasterKeys are the keys of a master key file.
type MasterKeys struct {
	Newest *seal.Master // the highest id: it seals
	Oldest *seal.Master // the lowest id: pseudonyms and seeds stay the same when keys rotate
	Ring   *seal.Ring   // all of them: they open
}

// LoadMasterKeys reads a master key file: a key a line, "ID base64(32 bytes)",
// where ID is a number from 1; blank lines and lines that start with # are passed
// over. A new key is added with a higher id, and old ones stay for as long as
// evidence sealed under them is kept. Errors name the line, never its content.
func LoadMasterKeys(path string) (*MasterKeys, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keys.master_file: %w; create it with `clickgate keys init`", err)
	}
	if err != nil {
		return nil, fmt.Errorf("keys.master_file: %w; make it readable for this user", err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	keys, err := parseMasterKeys(f)
	if err != nil {
		return nil, fmt.Errorf("keys.master_file: %s: %w", path, err)
	}
	return keys, nil
}

func parseMasterKeys(r io.Reader) (*MasterKeys, error) {
	var masters []*seal.Master
	seen := map[uint32]bool{}
	keys, highest, lowest := &MasterKeys{}, uint32(0), uint32(math.MaxUint32)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		id, m, err := parseMasterKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if seen[id] {
			return nil, fmt.Errorf("line %d: id %d appears twice; every key has its own", n, id)
		}
		seen[id] = true
		masters = append(masters, m)
		if id > highest {
			keys.Newest, highest = m, id
		}
		if id <= lowest {
			keys.Oldest, lowest = m, id
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(masters) == 0 {
		return nil, errors.New("holds no key; create a file with `clickgate keys init`")
	}
	keys.Ring = seal.NewRing(masters...)
	return keys, nil
}

func parseMasterKey(line string) (uint32, *seal.Master, error) {
	number, text, _ := strings.Cut(line, " ")
	id, err := strconv.ParseUint(number, 10, 32)
	if err != nil || id == 0 {
		return 0, nil, errors.New("does not start with an id; write a number from 1, a space, and the key")
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(secret) != 32 {
		return 0, nil, errors.New("key is not base64 of 32 bytes; make one with `openssl rand -base64 32`")
	}
	m, err := seal.NewMaster(uint32(id), secret)
	return uint32(id), m, err
}

// CreateMasterKeys makes a master key file with key 1, readable by its owner
// alone, and its folder. It never overwrites: whoever loses a master key loses
// all that is sealed under it. The file is on disk when it returns.
func CreateMasterKeys(path string, entropy io.Reader) (err error) {
	var secret [32]byte
	if _, err := io.ReadFull(entropy, secret[:]); err != nil {
		return fmt.Errorf("master key: cannot draw 32 random bytes: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keys.master_file: %w; name a folder that can be written", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keys.master_file: %w; keep it, or add a line with a higher id to rotate", err)
	}
	if err != nil {
		return fmt.Errorf("keys.master_file: %w; name a folder that can be written", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text := "# clickgate master keys: ID base64(32 bytes); the highest id seals. Keep secret, keep a copy.\n" +
		"1 " + base64.StdEncoding.EncodeToString(secret[:]) + "\n"
	if _, err := f.WriteString(text); err != nil {
		return fmt.Errorf("keys.master_file: %w", err)
	}
	return f.Sync()
}
