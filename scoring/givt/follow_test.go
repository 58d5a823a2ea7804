package givt

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A folder that changes is in force within a period; one that is half written never is, and takes nothing away.
func TestFollower(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() // of the disk, which needs no lock between the test and the follower
		write := func(name string, data []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put := func(file, text string, entries ...string) {
			for name, f := range folderOf(map[string]string{file: text}, entries...) {
				write(name, f.Data)
			}
		}
		put("a", "192.0.2.0/24\n", "a data_centres")
		var line *Timeline
		swaps := 0
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		f, err := NewFollower(FollowerConfig{Folder: os.DirFS(dir), Every: 5 * time.Second, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Registerer: reg, Swap: func(l *Timeline) { line, swaps = l, swaps+1 }})
		if err != nil || swaps != 1 {
			t.Fatal(swaps, err)
		}
		invalid := func(ip string) bool { return line.At(0).Match("x", addr(t, ip)).AddressInvalid() }
		if !invalid("192.0.2.1") || invalid("198.51.100.1") {
			t.Error("the first lists are not in force")
		}
		f.Start()
		time.Sleep(time.Minute)
		if synctest.Wait(); swaps != 1 {
			t.Errorf("%d swaps of an unchanged folder", swaps)
		}
		write("a", []byte("198.51.100.0/24\n")) // the manifest comes later
		time.Sleep(11 * time.Second)
		if synctest.Wait(); swaps != 1 || !invalid("192.0.2.1") {
			t.Error("a file without its manifest took force")
		}
		if n := strings.Count(log.String(), "is refused"); n != 1 || !strings.Contains(log.String(), "sha256") {
			t.Errorf("told %d times: %s", n, log.String())
		}
		put("a", "198.51.100.0/24\n", "a data_centres")
		time.Sleep(6 * time.Second)
		if synctest.Wait(); swaps != 2 || invalid("192.0.2.1") || !invalid("198.51.100.1") {
			t.Errorf("%d swaps, the new lists are not in force", swaps)
		}
		if err := os.Remove(filepath.Join(dir, ManifestName)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if synctest.Wait(); swaps != 2 || !invalid("198.51.100.1") {
			t.Error("a lost manifest took the lists away")
		}
		f.Stop()
		var refused dto.Metric
		if err := f.refused.Write(&refused); err != nil || refused.GetCounter().GetValue() < 3 {
			t.Errorf("%v refusals counted, %v", refused.GetCounter().GetValue(), err)
		}
	})
	if _, err := NewFollower(FollowerConfig{Folder: fstest.MapFS{}}); err == nil {
		t.Error("a folder without a manifest is followed")
	}
}
