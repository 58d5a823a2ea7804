package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newStore(t *testing.T, content string) *FileStore {
	t.Helper()
	s := &FileStore{Path: filepath.Join(t.TempDir(), "control.yaml"), Now: func() time.Time { return epoch }}
	if err := os.WriteFile(s.Path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFileStore(t *testing.T) {
	t.Parallel()
	s := newStore(t, sampleFile())
	base, line, err := s.Reload()
	if err != nil || line.New != base.Version || line.Old != "" || line.Action != "found" {
		t.Fatalf("%+v, %v", line, err)
	}
	text := strings.Replace(sampleFile(), "grace: 1h", "grace: 2h", 1)
	next, err := s.Write(base, []byte(text), "apply", "", meta)
	if err != nil || next.File.Tenant("acme").Source("ads").Grace != 2*time.Hour {
		t.Fatal(err)
	}
	if _, err := s.Write(base, []byte(sampleFile()), "apply", "", meta); !errors.Is(err, ErrChanged) {
		t.Errorf("a stale base: %v", err)
	}
	for range 2 { // a reload of what a command wrote adds nothing
		if _, line, err = s.Reload(); err != nil || line.Who != "ada" || line.Why != "ticket 1" || line.Old != base.Version || line.New != next.Version {
			t.Errorf("%+v, %v", line, err)
		}
	}
	if err := os.WriteFile(s.Path, []byte(sampleFile()+"# by hand\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, line, err = s.Reload(); err != nil || line.Who != "unknown" || line.Old != next.Version {
		t.Errorf("%+v, %v", line, err)
	}
	lines, err := s.History()
	if err != nil || len(lines) != 3 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	info, err := os.Stat(s.Path + AuditSuffix)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("audit file: %v, %v", info, err)
	}
	audit, err := os.ReadFile(s.Path + AuditSuffix)
	if err != nil || strings.Contains(string(audit), secret[:12]) {
		t.Errorf("a clear key in the audit file, or %v", err)
	}
}

func TestFileStoreRefuses(t *testing.T) {
	t.Parallel()
	s := newStore(t, sampleFile())
	base, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		content string
		meta    Meta
		want    string
	}{
		"invalid": {"tenants: []", meta, "at least one tenant"},
		"no why":  {sampleFile(), Meta{Who: "ada"}, "--why"},
		"planned": {sampleFile(), Meta{Who: "ada", Why: "x", ActivateAt: epoch}, "control.topic: true"},
	} {
		if _, err := s.Write(base, []byte(tc.content), "apply", "", tc.meta); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	if lines, err := s.History(); err != nil || len(lines) > 0 {
		t.Errorf("%v, %v", lines, err)
	}
	if now, err := s.Read(); err != nil || string(now.Content) != sampleFile() {
		t.Errorf("a refused change was written: %v", err)
	}
}

const commented = `# top
tenants:
  - id: acme # the first
    # its keys
    token_keys: [{id: 1, key: "` + secret + `"}]
    sources: # who sends
      - id: ads # the ad server
        grace: 1h
        api_keys:
          - sha256: KEY1 # of 2025
          - {sha256: KEY2, test: true}
      - id: bare
    campaigns:
      - {id: c, advertiser_id: a} # one
  - id: beta # has no sources
`

// Edits change what they say and leave every comment, in block and flow style.
func TestEdit(t *testing.T) {
	t.Parallel()
	content := strings.NewReplacer("KEY1", hash("k1"), "KEY2", hash("k2")).Replace(commented)
	flow := "tenants: [{id: acme, sources: [{id: ads, api_keys: [{sha256: " + hash("k1") + "}]}, {id: bare}]}, {id: beta}] # all\n"
	source := SourceEntry{ID: "new", PublicID: "p", Grace: 48 * time.Hour, Backfill: true, APIKeys: []APIKeyEntry{{SHA256: hash("k3")}}, Log: &LogEntry{Format: "combined"}}
	for name, tc := range map[string]struct {
		edit    *Edit
		content string
		lines   int // that come
		gone    int // that go
	}{
		"source":               {AddSource("acme", source), content, 1, 0},
		"first source":         {AddSource("beta", source), content, 1, 0},
		"key":                  {AddAPIKey("acme", "ads", APIKeyEntry{SHA256: hash("k3"), Test: true}), content, 1, 0},
		"first key":            {AddAPIKey("acme", "bare", APIKeyEntry{SHA256: hash("k3")}), content, 1, 0},
		"flow source":          {AddSource("acme", source), flow, 1, 1},
		"flow first source":    {AddSource("beta", source), flow, 1, 1},
		"flow key":             {AddAPIKey("acme", "ads", APIKeyEntry{SHA256: hash("k3")}), flow, 1, 1},
		"flow first key":       {AddAPIKey("acme", "bare", APIKeyEntry{SHA256: hash("k3")}), flow, 1, 1},
		"edge source is added": {AddSource("acme", SourceEntry{ID: EdgeSource, PublicID: "w"}), content, 1, 0},
	} {
		got, err := tc.edit.ApplyText([]byte(tc.content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		come, gone := 0, 0
		for _, l := range lineDiff(strings.Split(tc.content, "\n"), strings.Split(string(got), "\n")) {
			switch l[0] {
			case '+':
				come++
			case '-':
				gone++
			}
		}
		if come != tc.lines || gone != tc.gone || strings.Count(string(got), "#") != strings.Count(tc.content, "#") {
			t.Errorf("%s: %d lines come, %d go:\n%s", name, come, gone, got)
		}
	}
}

func TestEditDropsOldKeys(t *testing.T) {
	t.Parallel()
	content := []byte(strings.NewReplacer("KEY1", hash("k1"), "KEY2", hash("k2")).Replace(commented))
	f, _, err := ParseFile(content)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DropOldAPIKeys(f, "acme", "ads", false); err == nil || !strings.Contains(err.Error(), "no old key") {
		t.Errorf("dropped the only key: %v", err)
	}
	if content, err = AddAPIKey("acme", "ads", APIKeyEntry{SHA256: hash("k3")}).ApplyText(content); err != nil {
		t.Fatal(err)
	}
	if f, _, err = ParseFile(content); err != nil {
		t.Fatal(err)
	}
	edit, err := DropOldAPIKeys(f, "acme", "ads", false)
	if err != nil {
		t.Fatal(err)
	}
	if content, err = edit.ApplyText(content); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(content)
	if err != nil || s.APIKey("k1") != nil || s.APIKey("k2") == nil || s.APIKey("k3") == nil {
		t.Errorf("%v\n%s", err, content)
	}
	for _, comment := range []string{"# top", "# the first", "# its keys", "# who sends", "# the ad server", "# one", "# has no sources"} {
		if !strings.Contains(string(content), comment) {
			t.Errorf("lost %q:\n%s", comment, content)
		}
	}
}

func TestEditRefuses(t *testing.T) {
	t.Parallel()
	content := sampleFile()
	for name, tc := range map[string]struct {
		edit    *Edit
		content string
		want    string
	}{
		"no tenant":    {AddSource("none", SourceEntry{ID: "x"}), content, "tenant none"},
		"no source":    {AddAPIKey("acme", "none", APIKeyEntry{SHA256: hash("k")}), content, "clickgate source list"},
		"source twice": {AddSource("acme", SourceEntry{ID: "ads"}), content, "source rotate"},
		"key twice":    {AddAPIKey("acme", "ads", APIKeyEntry{SHA256: hash("k1")}), content, "belongs to one source"},
		"anchors":      {AddSource("b", SourceEntry{ID: "x"}), "tenants:\n  - {id: a, sources: &s [{id: y}]}\n  - {id: b, sources: *s}\n", "by hand under sources of tenant b"},
	} {
		if got, err := tc.edit.ApplyText([]byte(tc.content)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q\n%s", name, err, tc.want, got)
		}
	}
}

// An edit of any file either says exactly what was wanted or is refused.
func FuzzEdit(f *testing.F) {
	f.Add(sampleFile())
	f.Add("tenants: [{id: acme, sources: [{id: ads}]}]")
	f.Add("tenants:\n- &a {id: acme, sources: [{id: ads}]}\n")
	f.Fuzz(func(t *testing.T, content string) {
		if strings.Contains(content, "key_file") {
			return // reads files of the machine
		}
		for _, e := range []*Edit{
			AddSource("acme", SourceEntry{ID: "new", APIKeys: []APIKeyEntry{{SHA256: hash("k9")}}}),
			AddAPIKey("acme", "ads", APIKeyEntry{SHA256: hash("k9")}),
		} {
			text, err := e.ApplyText([]byte(content))
			if err != nil {
				continue
			}
			s, err := Parse(text)
			if err != nil || s.APIKey("k9") == nil {
				t.Errorf("%v\n%s", err, text)
			}
		}
	})
}
