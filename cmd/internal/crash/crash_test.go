package crash

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	seed    = flag.Uint64("crash.seed", 0, "seed of the schedules; 0 takes one from the clock")
	program = flag.String("crash.program", "", "clickgate to be killed; empty builds it")
	form    = flag.String("crash.form", "", "form of TestForm: short, long or cluster")
	own     = flag.Bool("crash.ownserver", false, "nobody else uses the PostgreSQL server, so it may be crashed")
	jsonTo  = flag.String("crash.json", "", "file for the report in JSON")
	dir     = flag.String("crash.dir", "", "folder for logs and data, which then stay")
)

// server returns the PostgreSQL server of the tests.
func server(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("CLICKGATE_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("CLICKGATE_TEST_POSTGRES is not set; `make test` and `make crash` start a server")
	}
	return dsn
}

// clickgate returns the path of the program as it is shipped.
func clickgate(t *testing.T) string {
	t.Helper()
	if *program != "" {
		return *program
	}
	path := filepath.Join(t.TempDir(), "clickgate")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "clickgate/cmd/clickgate").CombinedOutput()
	if err != nil {
		t.Fatalf("building clickgate: %v\n%s", err, out)
	}
	return path
}

func seedOf() uint64 {
	if *seed != 0 {
		return *seed
	}
	return uint64(time.Now().UnixNano())
}

func folder(t *testing.T) string {
	t.Helper()
	if *dir != "" {
		err := os.MkdirAll(*dir, 0o700)
		var run string
		if err == nil {
			run, err = os.MkdirTemp(*dir, "run-")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("logs and data in %s", run)
		return run
	}
	return t.TempDir()
}

// runForm runs a form and prints its report.
func runForm(t *testing.T, cfg Config) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cfg.Lasts+10*time.Minute)
	defer cancel()
	rep, err := Run(ctx, cfg)
	if err != nil {
		t.Fatalf("seed %d: %v", cfg.Seed, err)
	}
	if err := rep.WriteTable(t.Output()); err != nil {
		t.Fatal(err)
	}
	return rep
}

// voidRuns is how many runs may prove nothing on a machine that is busy with others.
const voidRuns = 2

// TestShortForm is a minute of the real thing: processes, sockets, disks, a server. A
// run in which too little happened is repeated with the next seed, and is never green.
func TestShortForm(t *testing.T) {
	if testing.Short() {
		t.Skip("a run takes a minute; -short leaves it out")
	}
	cfg := Short()
	cfg.Seed, cfg.Program, cfg.Postgres, cfg.Kafka, cfg.Dir, cfg.Progress = seedOf(), clickgate(t), server(t), fakeKafka(), folder(t), t.Output()
	cfg.Skewed = buildMutated(t)
	rep := runForm(t, cfg)
	for n := 0; n < voidRuns && rep.Status() == Void; n++ {
		t.Logf("%s", rep.Verdict())
		cfg.Seed, cfg.Dir = cfg.Seed+1, folder(t)
		rep = runForm(t, cfg)
	}
	if rep.Status() != Green {
		t.Errorf("%s", rep.Verdict())
	}
}

// TestForm runs the form that -crash.form names, for make crash and make
// crash-cluster. A void run is no failure: it has an exit status of its own.
func TestForm(t *testing.T) {
	var cfg Config
	switch *form {
	case "":
		t.Skip("-crash.form names none; see make crash")
	case "short":
		cfg = Short()
	case "long":
		cfg = Long()
	case "cluster":
		cfg = Cluster()
	default:
		t.Fatalf("-crash.form: %q is unknown; use short, long or cluster", *form)
	}
	cfg.Kafka = fakeKafka()
	if *form == "cluster" {
		cfg.Kafka = realKafka(t)
	}
	cfg.Seed, cfg.Program, cfg.Postgres, cfg.OwnServer, cfg.Dir, cfg.Progress = seedOf(), clickgate(t), server(t), *own, folder(t), t.Output()
	cfg.Skewed = buildMutated(t)
	rep := runForm(t, cfg)
	if *jsonTo != "" {
		f, err := os.Create(*jsonTo)
		if err == nil {
			err = errors.Join(rep.WriteJSON(f), f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	switch exit = rep.Status(); exit {
	case Red:
		t.Error(rep.Verdict())
	case Void:
		t.Log(rep.Verdict())
	}
}

// TestMistakesApply: the edits fit the source, and the program builds with them.
func TestMistakesApply(t *testing.T) {
	if testing.Short() {
		t.Skip("building a program takes a while; -short leaves it out")
	}
	if path := buildMutated(t); len(mutants) < 10 || path == "" {
		t.Errorf("%d mistakes in %q", len(mutants), path)
	}
}

var only = flag.String("crash.mutants", "", "mistakes of TestAllMistakes with commas between them, or all, which begins with an honest run")

// TestAllMistakes prints the table of make crash-mutants.
func TestAllMistakes(t *testing.T) {
	if *only == "" {
		t.Skip("-crash.mutants names none; see make crash-mutants")
	}
	names := []string{""}
	for _, m := range mutants {
		names = append(names, m.name)
	}
	if *only != "all" {
		names = strings.Split(*only, ",")
	}
	program := buildMutated(t)
	table := tabwriter.NewWriter(t.Output(), 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "mistake\tcaught by\truns\tseconds\tseed\n")
	for _, name := range names {
		t.Run(cmp.Or(name, "honest"), func(t *testing.T) {
			began := time.Now()
			rep, runs := wantCaught(t, program, name)
			fmt.Fprintf(table, "%s\t%s\t%d\t%.0f\t%d\n", cmp.Or(name, "(none)"), list(rep.Failures), runs, time.Since(began).Seconds(), rep.Seed)
		})
	}
	if err := table.Flush(); err != nil {
		t.Error(err)
	}
}

// TestMistakesAreCaught: of three stages of a click a mistake each. All of them are
// caught by make crash-mutants.
func TestMistakesAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("three runs take a minute; -short leaves them out")
	}
	server(t)
	program := buildMutated(t)
	for _, name := range []string{"ack before fsync", "minute counts of rows that were not new", "click id billed twice"} {
		t.Run(name, func(t *testing.T) { wantCaught(t, program, name) })
	}
}

// tries of a mistake: which moment a kill hits is the machine's, and two runs are
// within a minute.
const tries = 2

// wantCaught wants a mistake to be found by one of its rules, and an honest run to
// be green.
func wantCaught(t *testing.T, program, name string) (rep *Report, runs int) {
	t.Helper()
	for runs = 1; ; runs++ {
		var err error
		if rep, err = catch(t, program, name); err != nil {
			t.Fatal(err)
		}
		switch {
		case name == "" && rep.Status() == Green, name != "" && caught(name, rep):
			t.Log(rep.Verdict())
			return rep, runs
		case name != "" && runs < tries:
			t.Logf("not yet: %s", rep.Verdict())
			continue
		}
		if err := rep.WriteTable(t.Output()); err != nil {
			t.Error(err)
		}
		t.Errorf("%q: %s; want an honest run green, and a mistake caught by one of its rules", name, rep.Verdict())
		return rep, runs
	}
}

func caught(name string, rep *Report) bool {
	for _, m := range mutants {
		if m.name == name {
			return slices.ContainsFunc(m.rules, func(rule string) bool { return rep.Failures[rule] > 0 })
		}
	}
	return false
}
