// Package clickgate_test holds the whole tree to its layout: which package may
// import which, that every package says what it is, and that no file carries what
// belongs to one machine or to unfinished work. The checks are pure functions, and
// seeded mistakes prove that each of them can fail.
package clickgate_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "clickgate"

// stages are the folders that hold packages, in the order of the data: a package
// imports its own stage and earlier ones. The longest match decides, so gateway is
// what is in gateway/ beside the folders named before it.
var stages = []string{
	"testdata",
	"gateway/click", "gateway/edge", "gateway/admit", "gateway/hints", "gateway/token", "gateway/seal", "gateway/rawlog", "gateway/control",
	"gateway/stream", "gateway/spool", "gateway/durable", "gateway/admin", "gateway",
	"scoring", "aggregate", "timescale", "alerts", "cmd",
}

// noServer are the stages that must not carry the edge's HTTP server with them,
// not even through another package.
var noServer = []string{"gateway/click", "scoring", "aggregate", "timescale", "alerts"}

const (
	server    = "github.com/valyala/fasthttp"
	broker    = "github.com/twmb/franz-go/pkg/kfake"
	brokerFor = "cmd/internal/standalone"
)

// helpers are packages for tests, which test files import across stages.
var helpers = []string{"storetest", "faultfs"}

var topLevel = []string{
	"gateway", "scoring", "aggregate", "timescale", "alerts", "cmd",
	"testdata", "docs", "deploy", "tools", ".ci",
	"README.md", "DESIGN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "Makefile",
	"go.mod", "go.sum", "layout_test.go", ".gitignore", ".gitattributes", ".golangci.yml", ".dockerignore",
	// What git ignores or keeps for itself.
	".git", "bin", ".services", "clickgate-data",
}

// pkg is a package as its files' headers show it. Folders are relative to the root.
type pkg struct {
	imports     []string // of files that are built into the program
	testImports []string
	documented  bool
	testOnly    bool
}

func TestEveryPackageIsDocumented(t *testing.T) {
	t.Parallel()
	report(t, undocumented(readPackages(t)))
}

func TestImportsFollowTheStages(t *testing.T) {
	t.Parallel()
	pkgs := readPackages(t)
	report(t, wrongImports(pkgs))
	report(t, serverImports(pkgs))
	report(t, brokerImports(pkgs))
}

func TestTopLevelIsFixed(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	report(t, strangers(names))
}

func TestFilesAreCleanOfMachineAndHaste(t *testing.T) {
	t.Parallel()
	n := 0
	walkFiles(t, func(name string) {
		if !authored(name) {
			return
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		n++
		report(t, blemishes(name, text))
	})
	if n < 20 {
		t.Errorf("only %d files were read", n)
	}
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// undocumented names packages without a package comment.
func undocumented(pkgs map[string]*pkg) (problems []string) {
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		if p := pkgs[dir]; !p.documented && !p.testOnly {
			problems = append(problems, dir+": no file has a package comment; say in one what the package is for")
		}
	}
	return problems
}

// stageOf returns the place of a folder in the order, -1 outside it.
func stageOf(dir string) int {
	best := -1
	for i, s := range stages {
		if within(dir, s) && (best < 0 || len(s) > len(stages[best])) {
			best = i
		}
	}
	return best
}

func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// inner returns the folder of an import path of this module.
func inner(importPath string) (dir string, ok bool) { return strings.CutPrefix(importPath, module+"/") }

// wrongImports names imports of a later stage, and packages outside all stages.
func wrongImports(pkgs map[string]*pkg) (problems []string) {
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		from := stageOf(dir)
		if from < 0 && !within(dir, "tools") && dir != "." {
			problems = append(problems, dir+": is in no stage; the stages are "+strings.Join(stages, ", "))
		}
		check := func(imports []string, kind string, allowed func(string) bool) {
			for _, i := range imports {
				if to, ok := inner(i); ok && stageOf(to) > from && !allowed(to) {
					problems = append(problems, fmt.Sprintf("%s: %s imports %s, which is a later stage; move what they share down", dir, kind, to))
				}
			}
		}
		check(pkgs[dir].imports, "the package", func(string) bool { return false })
		check(pkgs[dir].testImports, "a test", func(to string) bool { return slices.Contains(helpers, path.Base(to)) })
	}
	return problems
}

// serverImports names packages of noServer that carry fasthttp with them.
func serverImports(pkgs map[string]*pkg) (problems []string) {
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		stage := stageOf(dir)
		if stage < 0 || !slices.Contains(noServer, stages[stage]) {
			continue
		}
		if way := wayTo(pkgs, dir, server, map[string]bool{}); way != nil {
			problems = append(problems, strings.Join(way, " imports ")+"; a consumer runs without the edge's server")
		}
	}
	return problems
}

// wayTo returns the chain of imports from a package to one outside the module.
func wayTo(pkgs map[string]*pkg, dir, target string, seen map[string]bool) []string {
	p := pkgs[dir]
	if p == nil || seen[dir] {
		return nil
	}
	seen[dir] = true
	for _, i := range p.imports {
		if within(i, target) {
			return []string{dir, i}
		}
		if to, ok := inner(i); ok {
			if way := wayTo(pkgs, to, target, seen); way != nil {
				return append([]string{dir}, way...)
			}
		}
	}
	return nil
}

// brokerImports names packages that bring the in-memory broker into the program.
func brokerImports(pkgs map[string]*pkg) (problems []string) {
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		if dir != brokerFor && slices.Contains(pkgs[dir].imports, broker) {
			problems = append(problems, fmt.Sprintf("%s: imports %s; only %s and tests do", dir, broker, brokerFor))
		}
	}
	return problems
}

// strangers names top-level entries that the layout does not know.
func strangers(names []string) (problems []string) {
	for _, n := range names {
		ignored := strings.HasSuffix(n, ".test") || strings.HasSuffix(n, ".prof")
		if !ignored && !slices.Contains(topLevel, n) {
			problems = append(problems, n+": is no part of the layout; put it into one of the folders, or add it to layout_test.go with a reason")
		}
	}
	return problems
}

// blemish is something that no file may hold. The words are a quick look: every match
// of the pattern holds one of them, whatever its case.
type blemish struct {
	what    string
	words   []string
	pattern *regexp.Regexp
}

// known are all of them. The texts hold their words in a form that they do not match
// themselves.
var known = []blemish{
	{
		"a path of one machine", []string{"/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/us" + "ers/", "/tm" + "p/", `:\us` + `ers\`},
		regexp.MustCompile("(?:^|[\\s\"'`(=:])(?:/wor[k]/|/roo[t]/|/hom[e]/\\w+/|/User[s]/\\w+/|/tm[p]/\\w|[A-Z]:\\\\User[s]\\\\)"),
	},
	{
		"a word of unfinished work", []string{"to" + "do", "fix" + "me", "ha" + "ck", "tb" + "d", "xx" + "x:", "for " + "now", "not yet " + "implemented", "coming " + "soon", "lorem " + "ipsum"},
		regexp.MustCompile(`\b(?:TO[D]O|FIX[M]E|HAC[K]|TB[D])\b|\bXX[X]:|(?i:\bfor no[w]\b|\bnot yet implemente[d]\b|\bcoming soo[n]\b|\blorem ipsu[m]\b)`),
	},
	{
		"a package registry's address", []string{"registry.npm" + "js", "proxy.go" + "lang", "deb.de" + "bian", "pypi" + ".org", "repo.ma" + "ven", "repo1.ma" + "ven", `"reso` + `lved":`},
		regexp.MustCompile(`registry\.npm[j]s|proxy\.golan[g]|deb\.debia[n]|pypi\.or[g]|repo1?\.mave[n]|"resolve[d]":`),
	},
}

// in reports whether a text in lower case may hold the blemish.
func (b *blemish) in(lower []byte) bool {
	return slices.ContainsFunc(b.words, func(w string) bool { return bytes.Contains(lower, []byte(w)) })
}

// blemishes names lines with a path of one machine, a word of unfinished work or a
// package registry's address.
func blemishes(name string, text []byte) (problems []string) {
	if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
		return nil // data, not text
	}
	lower := bytes.ToLower(text)
	for i := range known {
		b := &known[i]
		if !b.in(lower) {
			continue
		}
		number := 0
		for line := range bytes.Lines(text) {
			number++
			if !b.in(bytes.ToLower(line)) {
				continue
			}
			if m := b.pattern.Find(line); m != nil {
				problems = append(problems, fmt.Sprintf("%s:%d: %q is %s", name, number, m, b.what))
			}
		}
	}
	return problems
}

// authored tells what people wrote here from data, which speaks of its own world:
// crawler names, logged URLs, licences.
func authored(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".md", ".mjs", ".js", ".css", ".html", ".sh", ".sql", ".proto", ".yml", ".yaml", ".mod":
		return true
	case "":
		return name != "LICENSE" && !within(filepath.ToSlash(name), "testdata")
	}
	return filepath.Base(name) == "package.json" || filepath.Base(name) == "package-lock.json"
}

// walkFiles calls f for the files of the project, but not for what git ignores.
func walkFiles(t *testing.T, f func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", ".services", "clickgate-data"}, name) || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if name != ".git" && d.Type().IsRegular() { // a worktree has a file .git
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readPackages reads the headers of all Go files, whatever system they are for.
// Below a folder testdata there is data, except for the one at the root, which
// embeds its own.
func readPackages(t *testing.T) map[string]*pkg {
	t.Helper()
	pkgs := map[string]*pkg{}
	walkFiles(t, func(name string) {
		dir := filepath.ToSlash(filepath.Dir(name))
		if filepath.Ext(name) != ".go" || strings.Contains(dir, "/testdata") || strings.HasPrefix(dir, "testdata/") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		if pkgs[dir] == nil {
			pkgs[dir] = &pkg{testOnly: true}
		}
		pkgs[dir].add(file, strings.HasSuffix(name, "_test.go"))
	})
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages were found", len(pkgs))
	}
	return pkgs
}

func (p *pkg) add(file *ast.File, test bool) {
	imports := &p.imports
	if test {
		imports = &p.testImports
	} else {
		p.testOnly = false
		p.documented = p.documented || file.Doc != nil
	}
	for _, spec := range file.Imports {
		if importPath, err := strconv.Unquote(spec.Path.Value); err == nil {
			*imports = append(*imports, importPath)
		}
	}
}

// TestSeededMistakes proves that every check above finds what it is for, and only
// that.
func TestSeededMistakes(t *testing.T) {
	t.Parallel()
	one := func(dir string, p pkg) map[string]*pkg { return map[string]*pkg{dir: &p} }
	for name, c := range map[string]struct {
		got  []string
		want string // in the one problem; empty for none
	}{
		"no package comment":      {undocumented(one("scoring", pkg{})), "scoring: no file"},
		"package comment":         {undocumented(one("scoring", pkg{documented: true})), ""},
		"tests alone":             {undocumented(one("scoring", pkg{testOnly: true})), ""},
		"later stage":             {wrongImports(one("aggregate", pkg{imports: []string{"clickgate/timescale"}})), "imports timescale"},
		"later leaf":              {wrongImports(one("gateway/click", pkg{imports: []string{"clickgate/gateway/stream"}})), "imports gateway/stream"},
		"leaf of its server":      {wrongImports(one("gateway/spool", pkg{imports: []string{"clickgate/gateway"}})), "imports gateway,"},
		"command":                 {wrongImports(one("alerts", pkg{imports: []string{"clickgate/cmd/internal/app"}})), "imports cmd/internal/app"},
		"earlier stage":           {wrongImports(one("timescale", pkg{imports: []string{"clickgate/aggregate", "fmt"}})), ""},
		"own stage":               {wrongImports(one("scoring", pkg{imports: []string{"clickgate/scoring/iforest"}})), ""},
		"unknown folder":          {wrongImports(one("util", pkg{})), "util: is in no stage"},
		"tool uses program":       {wrongImports(one("tools/x", pkg{imports: []string{"clickgate/gateway"}})), "imports gateway,"},
		"test with later stage":   {wrongImports(one("aggregate", pkg{testImports: []string{"clickgate/timescale"}})), "a test imports timescale"},
		"test with helper":        {wrongImports(one("gateway/click", pkg{testImports: []string{"clickgate/aggregate/storetest"}})), ""},
		"program with helper":     {wrongImports(one("gateway/click", pkg{imports: []string{"clickgate/aggregate/storetest"}})), "imports aggregate/storetest"},
		"server":                  {serverImports(one("aggregate", pkg{imports: []string{server}})), "aggregate imports " + server},
		"part of the server":      {serverImports(one("scoring/givt", pkg{imports: []string{server + "/fasthttputil"}})), "scoring/givt imports"},
		"server in the gateway":   {serverImports(one("gateway", pkg{imports: []string{server}})), ""},
		"broker":                  {brokerImports(one("cmd/internal/app", pkg{imports: []string{broker}})), "only " + brokerFor},
		"broker in its place":     {brokerImports(one(brokerFor, pkg{imports: []string{broker}})), ""},
		"broker in a test":        {brokerImports(one("gateway/stream", pkg{testImports: []string{broker}})), ""},
		"top-level stranger":      {strangers([]string{"gateway", "pkg"}), "pkg: is no part"},
		"top level":               {strangers([]string{"gateway", "go.mod", "cpu.prof", ".services"}), ""},
		"server by another":       {serverImports(map[string]*pkg{"timescale": {imports: []string{"clickgate/gateway"}}, "gateway": {imports: []string{server}}}), "timescale imports gateway imports " + server},
		"imports in a ring":       {serverImports(map[string]*pkg{"scoring": {imports: []string{"clickgate/scoring/a"}}, "scoring/a": {imports: []string{"clickgate/scoring"}}}), ""},
		"home":                    {blemishes("x", []byte("ok\nsee "+"/ho"+"me/me/x\n")), "x:2:"},
		"work folder":             {blemishes("x", []byte(`dir = "`+"/wo"+`rk/main"`)), "path of one machine"},
		"temporary file":          {blemishes("x", []byte("cat "+"/tm"+"p/x")), "path of one machine"},
		"system path, URL":        {blemishes("x", []byte("/usr/lib/postgresql /var/lib/clickgate https://example.com/home/me/x")), ""},
		"unfinished":              {blemishes("x", []byte("// TO"+"DO: later")), "unfinished"},
		"makeshift":               {blemishes("x", []byte("// good enough For "+"Now.")), "unfinished"},
		"words that contain such": {blemishes("x", []byte("mastodon, for nowhere, hacker, XXXL")), ""},
		"registry":                {blemishes("x", []byte("https://registry.npm"+"js.org/x")), "registry"},
		"data":                    {blemishes("x", []byte("\x00 FIX"+"ME")), ""},
	} {
		switch {
		case c.want == "" && len(c.got) > 0:
			t.Errorf("%s: found %q", name, c.got)
		case c.want != "" && (len(c.got) != 1 || !strings.Contains(c.got[0], c.want)):
			t.Errorf("%s: found %q, want one problem with %q", name, c.got, c.want)
		}
	}
}

// TestWordsAreWhatPatternsMatch proves that the quick look passes nothing over: every
// alternative of a pattern is found through the words, and through one of them alone.
func TestWordsAreWhatPatternsMatch(t *testing.T) {
	t.Parallel()
	samples := map[string][]string{
		"a path of one machine": {
			" /wo" + "rk/", "\"/ro" + "ot/", "=/ho" + "me/me/", "(/Us" + "ers/me/", ":/tm" + "p/x", `C:\Us` + `ers\`,
		},
		"a word of unfinished work": {
			"TO" + "DO", "FIX" + "ME", "HA" + "CK", "TB" + "D", "XX" + "X:", "For " + "Now", "not Yet " + "implemented", "Coming " + "soon", "Lorem " + "ipsum",
		},
		"a package registry's address": {
			"registry.npm" + "js", "proxy.go" + "lang", "deb.de" + "bian", "pypi" + ".org", "repo.ma" + "ven", "repo1.ma" + "ven", `"reso` + `lved":`,
		},
	}
	for _, b := range known {
		seen := samples[b.what]
		// The pattern's own text tells how many alternatives it has, and none was forgotten.
		if n := len(regexp.MustCompile(`\[[a-zA-Z]\]`).FindAllString(b.pattern.String(), -1)); len(seen) != len(b.words) || n > len(seen) {
			t.Errorf("%s: %d alternatives, %d samples, %d words", b.what, n, len(seen), len(b.words))
		}
		for _, s := range seen {
			if len(blemishes("x", []byte("a line\n"+s+"\n"))) != 1 {
				t.Errorf("%s: %q was not found", b.what, s)
			}
		}
	}
}
