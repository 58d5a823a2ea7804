package givt

import (
	"bytes"
	"log/slog"
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
		folder := fstest.MapFS{}
		put := func(file, text string, entries ...string) {
			for name, f := range folderOf(map[string]string{file: text}, entries...) {
				f.ModTime = time.Now()
				folder[name] = f
			}
		}
		put("a", "192.0.2.0/24\n", "a data_centres")
		var line *Timeline
		swaps := 0
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		f, err := NewFollower(FollowerConfig{Folder: folder, Every: 5 * time.Second, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
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
		folder["a"] = &fstest.MapFile{Data: []byte("198.51.100.0/24\n"), ModTime: time.Now()} // the manifest comes later
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
		delete(folder, ManifestName)
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
