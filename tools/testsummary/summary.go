package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is one line of `go test -json`, as `go doc test2json` and `go help
// buildjson` describe it. Test is empty where the event is the package's.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

// summary counts tests and prints packages. It is used by one goroutine.
type summary struct {
	out      *bufio.Writer
	verbose  bool
	packages map[string]*packageRun
	reasons  map[string]int // of skips
	midLine  bool           // the last line printed has not ended

	passed, failed, skipped int
}

// packageRun is a package whose tests have not all ended.
type packageRun struct {
	lines []line
	tests map[string]*testRun
	// failed says that one of its tests did, so that the package's own failure
	// is not counted again.
	failed bool
}

// line is one line of output; test is empty for the package's own.
type line struct{ test, text string }

type testRun struct {
	outcome string // pass, fail or skip; empty while it runs
	log     string // what it logged last, which of a skipped test is the reason
}

func newSummary(out *bufio.Writer, verbose bool) *summary {
	return &summary{
		out: out, verbose: verbose,
		packages: map[string]*packageRun{}, reasons: map[string]int{},
	}
}

// read takes all events. A line that is no event is go's own word, and printed.
func (s *summary) read(in io.Reader) error {
	r := bufio.NewReader(in)
	for {
		text, err := r.ReadString('\n')
		if text != "" {
			var e event
			if json.Unmarshal([]byte(text), &e) != nil || e.Action == "" {
				s.print(text)
			} else {
				s.take(e)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
	}
	// Whatever has not ended was cut off, which is a failure.
	for _, name := range slices.Sorted(maps.Keys(s.packages)) {
		s.endPackage(name, "fail")
	}
	if s.midLine {
		s.print("\n") // the closing lines stand alone
	}
	return nil
}

func (s *summary) take(e event) {
	switch {
	case e.Action == "build-output":
		s.print(e.Output)
	case e.Package == "":
	case e.Action == "output":
		s.output(e)
	case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
		s.pkg(e.Package).test(e.Test)
	case e.Test == "":
		s.endPackage(e.Package, e.Action)
	default:
		s.endTest(e)
	}
}

func (s *summary) output(e event) {
	p := s.pkg(e.Package)
	if s.verbose {
		s.print(e.Output)
	} else {
		p.lines = append(p.lines, line{e.Test, e.Output})
	}
	if t := p.test(e.Test); t != nil {
		t.note(e.Output)
	}
}

func (s *summary) endTest(e event) {
	p := s.pkg(e.Package)
	t := p.test(e.Test)
	t.outcome = e.Action
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		s.reasons[cmp.Or(t.log, "no reason given")]++
	default:
		s.failed++
		p.failed = true
	}
}

// endPackage prints a package and forgets it. Tests that have not ended by then,
// as after a panic or the time limit, have failed.
func (s *summary) endPackage(name, outcome string) {
	p := s.pkg(name)
	delete(s.packages, name)
	if outcome == "fail" {
		for _, t := range p.tests {
			if t.outcome == "" {
				t.outcome = "fail"
				s.failed++
				p.failed = true
			}
		}
		if !p.failed {
			s.failed++ // it does not build, or failed outside its tests
		}
	}
	for _, l := range p.lines {
		if p.shows(l, outcome) {
			s.print(l.text)
		}
	}
	_ = s.out.Flush() // an error stays in the writer, where run finds it
}

// shows selects what is printed when not everything is: of a package that
// passes, its result; of one that fails, its own lines and those of failed tests.
func (p *packageRun) shows(l line, outcome string) bool {
	switch {
	case outcome == "fail" && l.test == "":
		return true
	case outcome == "fail":
		return p.tests[l.test].outcome == "fail"
	default:
		return l.test == "" && (strings.HasPrefix(l.text, "ok") || strings.HasPrefix(l.text, "?"))
	}
}

func (s *summary) pkg(name string) *packageRun {
	p := s.packages[name]
	if p == nil {
		p = &packageRun{tests: map[string]*testRun{}}
		s.packages[name] = p
	}
	return p
}

// test returns the named test, nil for the package itself.
func (p *packageRun) test(name string) *testRun {
	if name == "" {
		return nil
	}
	t := p.tests[name]
	if t == nil {
		t = &testRun{}
		p.tests[name] = t
	}
	return t
}

var logged = regexp.MustCompile(`^\s+[^\s:]+\.go:\d+: (.*)`)

// note keeps the last message that the test logged; its further lines are
// indented by eight.
func (t *testRun) note(output string) {
	text := strings.TrimRight(output, "\n")
	if m := logged.FindStringSubmatch(text); m != nil {
		t.log = strings.TrimSpace(m[1])
	} else if more, ok := strings.CutPrefix(text, "        "); ok && t.log != "" {
		t.log += " " + strings.TrimSpace(more)
	}
}

// print keeps errors in the writer, where run finds them.
func (s *summary) print(text string) {
	_, _ = s.out.WriteString(text)
	s.midLine = text != "" && !strings.HasSuffix(text, "\n")
}

// closing returns the closing lines, the most frequent reason first.
func (s *summary) closing() string {
	var b strings.Builder
	reasons := slices.SortedFunc(maps.Keys(s.reasons), func(x, y string) int {
		return cmp.Or(cmp.Compare(s.reasons[y], s.reasons[x]), cmp.Compare(x, y))
	})
	for _, reason := range reasons {
		fmt.Fprintf(&b, "skipped %d: %s\n", s.reasons[reason], reason)
	}
	fmt.Fprintf(&b, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return b.String()
}
