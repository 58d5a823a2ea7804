package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

const identityName = "gateway-id"

// Identity returns the id of the gateway that owns dir: a random UUID (RFC 9562,
// version 4), drawn at the first call and kept in the file gateway-id from then
// on, so that it lives exactly as long as the records beside it. Call it while
// holding the folder, after Open. entropy may be nil for crypto/rand.
func Identity(fsys FS, dir string, entropy io.Reader) (string, error) {
	name := filepath.Join(dir, identityName)
	id, err := readIdentity(fsys, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if entropy == nil {
		entropy = rand.Reader
	}
	drawn, err := uuid.NewRandomFromReader(entropy)
	if err != nil {
		return "", fmt.Errorf("gateway identity: drawing an id: %w", err)
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return "", fmt.Errorf("gateway identity: %w", err)
	}
	if err := writeAtomically(fsys, name, drawn.String()+"\n"); err != nil {
		return "", fmt.Errorf("gateway identity: writing %s: %w", name, err)
	}
	return drawn.String(), nil
}

func readIdentity(fsys FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", fmt.Errorf("gateway identity: %w", err)
	}
	defer f.Close()
	buf := make([]byte, 64)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !isEOF(err) {
		return "", fmt.Errorf("gateway identity: reading %s: %w", name, err)
	}
	text := strings.TrimSpace(string(buf[:n]))
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return "", fmt.Errorf("gateway identity: %s holds no UUID: restore it from a backup; or, once the spool is drained, "+
			"remove it, and the gateway gets a new id", name)
	}
	return text, nil
}

// writeAtomically leaves either no file or the whole one, whenever power fails.
func writeAtomically(fsys FS, name, content string) error {
	tmp := name + ".tmp"
	if err := removeIfThere(fsys, tmp); err != nil {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, removeIfThere(fsys, tmp))
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}
