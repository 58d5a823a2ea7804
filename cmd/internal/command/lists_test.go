package command

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listFolder writes lists and their manifest; entries are "file kind settings".
func (d *desk) listFolder(name string, files map[string]string, entries ...string) string {
	d.t.Helper()
	dir := filepath.Join(d.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	manifest := "lists:\n"
	for _, e := range entries {
		f := strings.SplitN(e, " ", 3)
		manifest += fmt.Sprintf("  - {file: %s, kind: %s, sha256: %x, %s}\n", f[0], f[1], sha256.Sum256([]byte(files[f[0]])), f[2])
	}
	for file, text := range files {
		d.write(filepath.Join(name, file), text)
	}
	d.write(filepath.Join(name, "lists.yaml"), manifest)
	return dir
}

func TestListsShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stdout, _ := d.run(ExitOK, "lists", "show")
	for _, want := range []string{
		"googlebot.txt crawler_ranges of google 14dd971b 65 in force - - CC0-1.0", "x4b-datacentres.txt data_centres 167937a7 51318 in force",
		"from embedded, at 2026-11-10T12:30:00Z",
	} {
		if !strings.Contains(words(stdout), want) {
			t.Errorf("lacks %q:\n%s", want, words(stdout))
		}
	}
	dir := d.listFolder("lists", map[string]string{"a": "192.0.2.0/24\n", "b": "198.51.100.0/24\n203.0.113.0/24\n"},
		"a tor_exits name: tor-exits.txt, version: x, licence: CC0-1.0, source: \"https://lists.example/tor\", published_at: 2026-11-01T00:00:00Z",
		"b tor_exits name: tor-exits.txt, activates_at: 2026-11-20T00:00:00Z")
	show := func(args ...string) (shown shownLists) {
		stdout, _ := d.run(ExitOK, append([]string{"lists", "show", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &shown); err != nil {
			t.Fatal(err)
		}
		return shown
	}
	states := func(s shownLists) (text string) {
		for _, l := range s.Lists {
			if l.Name == "tor-exits.txt" {
				text += fmt.Sprintf("%s %s %d;", l.Version, l.State, l.Entries)
			}
		}
		return text
	}
	today := show("--folder", dir)
	if got := states(today); got != "47d10e9b replaced 2277;x in force 1; planned 2;" {
		t.Error(got)
	}
	if age := today.Lists[10].AgeDays; age == nil || *age != 9 || today.Lists[10].Source != "https://lists.example/tor" {
		t.Errorf("%+v", today.Lists[10])
	}
	// The configuration names the folder as well as the flag does.
	if set := show("--set", "scoring.lists="+dir); states(set) != states(today) || set.Hash != today.Hash {
		t.Errorf("by configuration %+v", set)
	}
	later := show("--folder", dir, "--at", "2026-11-21")
	if got := states(later); got != "47d10e9b replaced 2277;x replaced 1; in force 2;" || later.Hash == today.Hash {
		t.Error(got)
	}
	d.must(ExitUsage, "is no time", "lists", "show", "--at", "soon")
	d.must(ExitFailure, "no such file", "lists", "show", "--folder", filepath.Join(d.dir, "none"))
	d.must(ExitUsage, "is a file", "lists", "show", "--folder", filepath.Join(dir, "a"))
	d.write("lists/a", "192.0.2.0/25\n")
	d.must(ExitNegative, "sha256: the file's is", "lists", "show", "--folder", dir)
}

func TestListsVerify(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	verify := func(status int, args ...string) (v verified) {
		stdout, _ := d.run(status, append([]string{"lists", "verify", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	good := d.write("tor-exits.txt", "185.10.3.4\n185.10.3.5\n")
	if v := verify(ExitOK, good); v.Lists != 1 || v.Entries != 2 || len(v.Findings) != 0 {
		t.Errorf("a good file: %+v", v)
	}
	if v := verify(ExitOK, good, "--all"); len(v.Findings) < 5 {
		t.Errorf("with the embedded ones: %+v", v)
	}
	bad := d.write("own.txt", "0.0.0.0/0\n10.0.0.0/8\n")
	v := verify(ExitNegative, bad, "--kind", "data_centres")
	if v.Errors != 1 || v.Warnings != 2 || v.Entries != 0 || !strings.Contains(v.Findings[0].Text, "line 1: 0.0.0.0/0") {
		t.Errorf("a bad file: %+v", v)
	}
	browsers := d.write("own.tsv", "tool\t-\tSafari/537\tx\n")
	stdout, _ := d.run(ExitNegative, "lists", "verify", browsers, "--kind", "agents")
	if want := "error    own.tsv: pattern Safari/537 matches agents of people's devices ("; !strings.Contains(stdout, want) {
		t.Errorf("lacks %q: %s", want, stdout)
	}
	private := d.write("private.txt", "10.1.0.0/16\n")
	d.run(ExitOK, "lists", "verify", private, "--kind", "vpns")
	d.run(ExitNegative, "lists", "verify", private, "--kind", "vpns", "--strict")
	d.must(ExitUsage, "say what it is with --kind", "lists", "verify", private)
	d.must(ExitUsage, "kind \"vpn\" is none of", "lists", "verify", private, "--kind", "vpn")
	d.must(ExitUsage, "whose ranges", "lists", "verify", private, "--kind", "crawler_ranges")
	d.must(ExitFailure, "no such file", "lists", "verify", filepath.Join(d.dir, "none"))
	// A version that is only planned is checked as well.
	dir := d.listFolder("lists", map[string]string{"a": "185.10.3.4\n", "b": "nobody\n"},
		"a robots version: 1", "b robots name: a, activates_at: 2026-12-01T00:00:00Z")
	if v := verify(ExitNegative, dir); v.Lists != 2 || v.Errors != 1 || !strings.Contains(v.Findings[0].Text, "nobody") {
		t.Errorf("a folder: %+v", v)
	}
}

func TestListsDiff(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	diff := func(status int, args ...string) (v listsDiff) {
		stdout, _ := d.run(status, append([]string{"lists", "diff", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := diff(ExitOK, "embedded", "embedded"); v.Before != v.After || v.Changed != 0 || v.Clicks < 3000 {
		t.Errorf("nothing differs: %+v", v)
	}
	one := d.write("one.tsv", "tool\t-\tKite/\tx\ntool\t-\tHarrier/\tx\n")
	two := d.write("two.tsv", "headless\t-\tKite/\tx\ntool\t-\tHarrier/\tx\ninvalid\t-\tMerlin/\tx\n")
	agents := d.write("agents.txt", "Merlin/9\r\nKite/1\n203.0.113.9\tKite/2\nnowhere\tKite/3\nMerlin/1\nHarrier/2\n")
	v := diff(ExitNegative, one, two, "--kind", "agents", "--agents", agents)
	want := `[{(file) 2 1 false [headless	Kite/ invalid	Merlin/] [tool	Kite/]}] [{TOOL HEADLESS 2 [Kite/1 Kite/2]} {none LISTED_AGENT 2 [Merlin/9 Merlin/1]}]`
	if got := fmt.Sprint(v.Lists, v.Changes); got != want || v.Clicks != 5 || v.Damaged != 1 || v.Changed != 4 {
		t.Errorf("%s, %+v", got, v)
	}
	if v := diff(ExitNegative, one, two, "--kind", "agents", "--agents", agents, "--last", "2"); v.Clicks != 2 || v.Changed != 1 {
		t.Errorf("the last two: %+v", v)
	}
	log := d.write("access.log", `203.0.113.9 - - [10/Nov/2026:12:00:00 +0000] "GET /c HTTP/1.1" 302 0 "-" "Kite/1"
broken
198.51.100.9 - - [10/Nov/2026:12:00:01 +0000] "GET /c HTTP/1.1" 302 0 "-" "Mozilla/5.0"
`)
	ranges := d.write("x4b-datacentres.txt", "198.51.100.0/24\n")
	v = diff(ExitNegative, "embedded", ranges, "--log", log)
	if fmt.Sprint(v.Changes) != "[{none DATA_CENTRE 1 [Mozilla/5.0]}]" || v.Clicks != 2 || v.Damaged != 1 || v.Lists[0].Added != 1 || v.Lists[0].Removed != 51318 {
		t.Errorf("a log: %+v", v)
	}
	dir := d.listFolder("lists", map[string]string{"a": "198.51.100.0/24\n"}, "a robots activates_at: 2026-12-01T00:00:00Z")
	if v := diff(ExitOK, "embedded", dir); len(v.Lists) != 0 {
		t.Errorf("before it is in force: %+v", v)
	}
	stdout, _ := d.run(ExitNegative, "lists", "diff", "embedded", dir, "--at", "2026-12-02", "--log", log)
	for _, want := range []string{"a: 1 added, 0 removed\n  + 198.51.100.0/24\n", "      1  none -> LISTED_ADDRESS\n", "of 2 agents, 1 would be judged otherwise"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	d.must(ExitUsage, "--last -1", "lists", "diff", "embedded", "embedded", "--last", "-1")
	d.must(ExitUsage, "can't be used together", "lists", "diff", "embedded", "embedded", "--log", log, "--agents", agents)
	d.must(ExitNegative, "neither a prefix", "lists", "diff", "embedded", d.write("bad", "x\n"), "--kind", "vpns")
}
