package givt

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// folderOf makes a folder of files, and its manifest from lines "file kind settings".
func folderOf(files map[string]string, entries ...string) fstest.MapFS {
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	manifest := "without_embedded: true\nlists:\n"
	for _, e := range entries {
		f := strings.SplitN(e, " ", 3)
		manifest += fmt.Sprintf("  - {file: %s, kind: %s, sha256: %x", f[0], f[1], sha256.Sum256(folder[f[0]].Data))
		if len(f) == 3 {
			manifest += ", " + f[2]
		}
		manifest += "}\n"
	}
	folder[ManifestName] = &fstest.MapFile{Data: []byte(manifest)}
	return folder
}

// A click is judged by the lists in force at its own time, and each version has its own hash.
func TestListsOfTheEventTime(t *testing.T) {
	t.Parallel()
	folder := folderOf(map[string]string{"one": "192.0.2.0/24\n", "two": "198.51.100.0/24\n", "agents": "tool\t-\tKite/\tx\n"},
		"one data_centres name: dc", "two data_centres name: dc, activates_at: 2026-11-20T00:00:00Z", "agents agents activates_at: 2026-11-25T00:00:00Z")
	folder[ManifestName].Data = append(folder[ManifestName].Data, "  - {name: dc, remove: true, activates_at: 2026-11-28T00:00:00Z}\n"...)
	v, err := ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	line, err := v.Timeline()
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[uint64]bool{}
	for _, c := range []struct {
		at   time.Time
		want string // who is invalid: 1 of the first range, 2 of the second, k the agent
	}{
		{time.Time{}, "1"}, {day.Add(-time.Microsecond), "1"}, {day, "2"}, {day.Add(5*24*time.Hour - 1), "2"},
		{day.Add(5 * 24 * time.Hour), "2k"}, {day.Add(8 * 24 * time.Hour), "k"}, {day.Add(1000 * time.Hour), "k"},
	} {
		l, got := line.At(c.at.UnixMicro()), ""
		for _, click := range []struct{ mark, agent, ip string }{{"1", "x", "192.0.2.9"}, {"2", "x", "198.51.100.9"}, {"k", "Kite/1", "203.0.113.90"}} {
			if l.Match(click.agent, addr(t, click.ip)).Reason(true) != "" {
				got += click.mark
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.at, got, c.want)
		}
		hashes[l.Hash()] = true
	}
	if len(hashes) != 4 {
		t.Errorf("4 sets of lists have %d hashes", len(hashes))
	}
	if got := len(v.Steps()); got != 4 {
		t.Errorf("%d steps", got)
	}
	var states []string
	for _, s := range v.Status(day.Add(time.Hour)) {
		states = append(states, s.Name+" "+s.State)
	}
	if got := strings.Join(states, ", "); got != "dc replaced, dc in force, dc planned, agents planned" {
		t.Error(got)
	}
}

// A folder's list of an embedded name takes its place, the embedded one stays in force until then, and other names go
// before all embedded ones.
func TestFolderOverEmbedded(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("203.0.113.0/24\n")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	folder := folderOf(map[string]string{"tor-exits.txt.gz": packed.String(), "own.tsv": "accepted\t-\tGooglebot\tours\n"},
		"tor-exits.txt.gz tor_exits activates_at: 2026-11-20T00:00:00Z", "own.tsv agents")
	folder[ManifestName].Data = bytes.Replace(folder[ManifestName].Data, []byte("without_embedded: true\n"), nil, 1)
	v, err := ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	line, err := v.Timeline()
	if err != nil {
		t.Fatal(err)
	}
	before, after := line.At(day.UnixMicro()-1), line.At(day.UnixMicro())
	if before.Match("x", home).Tor || !after.Match("x", home).Tor {
		t.Error("the Tor list does not follow its activation")
	}
	if m := before.Match(googlebot, home); m.Agent != None || m.Spoofed {
		t.Errorf("an accepted agent is %v", m.Agent)
	}
	shippedOnes, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Lists{before, after} {
		info := l.Info()
		if len(info) != len(shippedOnes)+1 || info[0].Name != "own.tsv" || info[10].Name != shippedOnes[9].Name {
			t.Errorf("order: %+v", info)
		}
	}
	if only, err := EmbeddedVersions(); err != nil || len(only.Steps()) != 1 {
		t.Errorf("embedded alone: %v", err)
	} else if l, err := only.Timeline(); err != nil || l.At(0).Hash() != listsOf(t).Hash() {
		t.Errorf("the embedded timeline is not the embedded lists: %v", err)
	}
}

func TestBadFolders(t *testing.T) {
	t.Parallel()
	file := map[string]string{"a": "192.0.2.0/24\n", "b.gz": "no gzip"}
	for name, c := range map[string]struct {
		entries []string
		more    string
		want    string
	}{
		"no such file":      {nil, "  - {file: z, kind: vpns}\n", "z"},
		"outside":           {nil, "  - {file: ../a, kind: vpns}\n", "no path inside"},
		"unknown kind":      {[]string{"a vpn"}, "", "is none of crawlers, agents"},
		"unknown key":       {[]string{"a vpns sha1: x"}, "", "unknown field"},
		"another content":   {nil, "  - {file: a, kind: vpns, sha256: 00}\n", "sha256: the file's is"},
		"no time":           {[]string{"a vpns activates_at: 2026-11-31T00:00:00Z"}, "", "is no time"},
		"no hash":           {nil, "  - {file: a, kind: vpns}\n", "sha256"},
		"no gzip":           {[]string{"b.gz vpns"}, "", "b.gz"},
		"two at once":       {[]string{"a vpns", "a vpns"}, "", "two versions"},
		"two kinds":         {[]string{"a vpns", "a relays activates_at: 2026-11-20T00:00:00Z"}, "", "is vpns in one version"},
		"remove with file":  {nil, "  - {file: a, name: a, remove: true}\n", "remove:"},
		"remove since ever": {nil, "  - {name: a, remove: true}\n", "remove:"},
	} {
		folder := folderOf(file, c.entries...)
		folder[ManifestName].Data = append(folder[ManifestName].Data, c.more...)
		if _, err := ReadFolder(folder); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFolder(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), ManifestName) {
		t.Errorf("an empty folder: %v", err)
	}
	v, err := ReadFolder(folderOf(map[string]string{"a": "x\n"}, "a vpns activates_at: 2026-11-20T00:00:00Z"))
	if err == nil {
		_, err = v.Timeline()
	}
	if err == nil || !strings.Contains(err.Error(), "from 2026-11-20T00:00:00Z on: givt: list a, line 1") {
		t.Errorf("a bad list of a later time: %v", err)
	}
	var many []string
	for i := range maxSteps {
		many = append(many, fmt.Sprintf("a vpns activates_at: %s", day.AddDate(0, 0, i).Format(time.RFC3339)))
	}
	if _, err := ReadFolder(folderOf(file, many...)); err == nil || !strings.Contains(err.Error(), "at most 32") {
		t.Errorf("many steps: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add("lists:\n  - {file: a, kind: vpns, activates_at: 2026-11-20T00:00:00Z}\n")
	f.Add("without_embedded: true\nlists: [{name: x, remove: true, activates_at: 2026-11-20T00:00:00Z}]")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ReadFolder(fstest.MapFS{ManifestName: {Data: []byte(text)}, "a": {Data: []byte("192.0.2.0/24")}})
		if err == nil && len(v.Steps()) == 0 {
			t.Error("no step")
		}
	})
}
