// Package upgrade_test starts the present program on what earlier versions left
// behind. Every folder of testdata/upgrade is a generation, frozen when its version
// was released: a standalone's data folder, a gateway's spool with clicks that were
// not passed on, the records of all topics, a dump of a PostgreSQL store, and what
// the program said of them then. The present one has to say the same of money,
// states and reasons; what it says beside that may grow.
//
// `make upgrade-fixtures VERSION=1.2.3` makes a generation and never touches an
// existing one. The tests make one of the present program too, so that the next
// release finds a generator that works.
package upgrade_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// folder holds the generations.
const folder = "../../../testdata/upgrade"

var newVersion = flag.String("upgrade.version", "", "make the generation of this version")

// Files of a generation.
const (
	manifestName   = "manifest.json"
	controlName    = "control.yaml"
	masterName     = "master.key" // of a world that never was; opens nothing else
	standaloneName = "standalone.tar.gz"
	spoolName      = "spool.tar.gz"
	topicsName     = "topics.jsonl.gz"
	dumpName       = "postgres.sql.gz"
)

// manifest says what must be true of a generation.
type manifest struct {
	Version    string    `json:"version"`
	MadeAt     time.Time `json:"made_at"`
	Partitions int       `json:"partitions"` // of clicks.v1
	Records    int       `json:"records"`    // in all topics

	Standalone books `json:"standalone"`
	Postgres   books `json:"postgres"`
	Topics     books `json:"topics"` // of a new store that consumed them
	Spool      books `json:"spool"`  // of a new store that got what was in it
}

// books are what is in a store.
type books struct {
	States  map[string]tally  `json:"states"` // by name of the state
	Tables  map[string]table  `json:"tables"`
	Answers map[string]answer `json:"answers"` // by name of the file in the generation
}

// tally is how many events are in a state and what they would cost.
type tally struct {
	Events int64 `json:"events"`
	Micros int64 `json:"micros"`
}

// answer is what a command said.
type answer struct {
	Args []string `json:"args"`
	// Exact answers are equal to the byte; of others, in JSON, all that was said
	// then must be said now, and more may be.
	Exact bool `json:"exact"`
}

// generation is a frozen folder.
type generation struct {
	dir string
	manifest
}

func openGeneration(t *testing.T, dir string) *generation {
	t.Helper()
	g := &generation{dir: dir}
	must(t, json.Unmarshal(g.read(t, manifestName), &g.manifest))
	return g
}

func (g *generation) read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(g.dir, name))
	must(t, err)
	return b
}

// desk returns a data folder of the generation's control file and master key.
func (g *generation) desk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{controlName, masterName} {
		must(t, os.WriteFile(filepath.Join(dir, name), g.read(t, name), 0o600))
	}
	return dir
}

// unpack copies an archived folder into one of the test's own.
func (g *generation) unpack(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	in := tar.NewReader(bytes.NewReader(gunzip(t, g.read(t, name))))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		must(t, err)
		content, err := io.ReadAll(in)
		must(t, err)
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, content, 0o600))
	}
}

// pack archives the files of a folder, but not its lock.
func pack(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "spool.lock" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(content)), Format: tar.FormatUSTAR}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err = out.Write(content)
		return err
	}))
	must(t, out.Close())
	return gzipped(t, b.Bytes())
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	must(t, err)
	_, err = z.Write(content)
	must(t, errors.Join(err, z.Close()))
	return b.Bytes()
}

func gunzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	content, err := io.ReadAll(z)
	must(t, err)
	return content
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestGenerations holds the present program to every version that was released.
func TestGenerations(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(folder, "*", manifestName))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no generation in %s: %v", folder, err)
	}
	for _, name := range dirs {
		dir := filepath.Dir(name)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			check(t, openGeneration(t, dir))
		})
	}
}

// TestPresent makes a generation of the present program and starts on it. With
// -upgrade.version it stays.
func TestPresent(t *testing.T) {
	t.Parallel()
	dir, version := filepath.Join(t.TempDir(), "present"), "present"
	if *newVersion != "" {
		dir, version = newGeneration(t, *newVersion), *newVersion
	}
	generate(t, dir, version)
	check(t, openGeneration(t, dir))
}

// newGeneration returns the folder of a version that has none.
func newGeneration(t *testing.T, version string) string {
	t.Helper()
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		t.Fatalf("version %q: is none; write it as 1.2.3", version)
	}
	dir := filepath.Join(folder, version)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("generation %s is frozen: it says what that version wrote; name the version that is to be released (%v)", version, err)
	}
	if server() == "" || pgDump() == "" {
		t.Fatal("a generation holds a dump of PostgreSQL: run it as `make upgrade-fixtures`, on a machine with pg_dump")
	}
	return dir
}

// check holds the present program to a generation.
func check(t *testing.T, g *generation) {
	if g.Records < 100 || len(g.Standalone.Answers) < 15 || len(g.Spool.Tables) < 3 || g.Spool.States["valid"].Events < 10 {
		t.Fatalf("the generation holds too little: %d records, %d answers", g.Records, len(g.Standalone.Answers))
	}
	for _, s := range []string{"malformed", "redelivered", "test", "givt", "sivt", "undecidable", "suspect", "duplicate", "valid"} {
		if g.Standalone.States[s].Events == 0 || g.Topics.States[s].Events == 0 {
			t.Errorf("the generation has no event of state %s", s)
		}
	}
	for name, part := range map[string]func(*testing.T, *generation){
		"standalone": checkStandalone, "spool": checkSpool, "topics": checkTopics, "postgres": checkPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, g)
		})
	}
}

// report fails the test with what a check found, the first of it.
func report(t *testing.T, when string, problems []string) {
	t.Helper()
	slices.Sort(problems)
	for i, p := range problems {
		if i == 10 {
			t.Errorf("%s: and %d more", when, len(problems)-i)
			break
		}
		t.Errorf("%s: %s", when, p)
	}
}
