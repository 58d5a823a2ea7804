package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

const bootName = "gateway-boot"

// NextBoot returns the number of this run of the gateway that owns dir: now, in
// Unix microseconds, or one more than the last when the clock was set back. It is
// on disk before it is used, so that no two runs ever share a number, and with it
// an ingest id. Call it once per run, after Open.
func NextBoot(fsys FS, dir string, now int64) (uint64, error) {
	name := filepath.Join(dir, bootName)
	last, err := readBoot(fsys, name)
	if err != nil {
		return 0, fmt.Errorf("gateway boot number: %w", err)
	}
	boot := max(uint64(now), last+1)
	if err := writeAtomically(fsys, name, strconv.FormatUint(boot, 10)+"\n"); err != nil {
		return 0, fmt.Errorf("gateway boot number: writing %s: %w", name, err)
	}
	return boot, nil
}

// readBoot returns 0 when there was no run yet.
func readBoot(fsys FS, name string) (uint64, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 32)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !isEOF(err) {
		return 0, err
	}
	boot, err := strconv.ParseUint(strings.TrimSpace(string(buf[:n])), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s holds no number: remove it if the clock was never set back behind the last start", name)
	}
	return boot, nil
}
