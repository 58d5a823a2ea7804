package load

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/malformed.md anew")

const (
	malformedPage = "../../../docs/malformed.md"
	malformedHead = `# Answers to malformed requests

What a gateway answers to the requests that ` + "`clickload run --mix malformed=1`" + ` sends: each is a good click but for one fault,
on a connection of its own, and none is taken for a click. What the answers mean is in [api.md](api.md#refused-requests).

This page is written by a test that sends them to a gateway: ` + "`go test ./cmd/internal/load -run OnARealGateway -update`." + `

| answer | requests |
|---|---|
`
)

// checkMalformedPage holds docs/malformed.md against the answers of a gateway.
func checkMalformedPage(t *testing.T, cases []CaseReport) {
	t.Helper()
	page, problems := malformedTable(cases)
	for _, p := range problems {
		t.Error(p)
	}
	if *update {
		if err := os.WriteFile(malformedPage, []byte(page), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(malformedPage); err != nil || string(written) != page {
		t.Errorf("docs/malformed.md is not what the gateway answers, %v; write it anew with -update:\n%s", err, page)
	}
}

// malformedTable groups the cases by their answers, each of which must always be the same.
func malformedTable(cases []CaseReport) (page string, problems []string) {
	byAnswer := map[string][]string{}
	for _, c := range cases {
		answers := slices.Sorted(maps.Keys(c.Outcomes))
		if len(answers) != 1 {
			problems = append(problems, fmt.Sprintf("%s is answered in %d ways: %v", c.Name, len(answers), c.Outcomes))
			continue
		}
		byAnswer[answers[0]] = append(byAnswer[answers[0]], c.Name)
	}
	var b strings.Builder
	b.WriteString(malformedHead)
	for _, answer := range slices.Sorted(maps.Keys(byAnswer)) {
		fmt.Fprintf(&b, "| %s | %s |\n", answer, strings.Join(byAnswer[answer], "; "))
	}
	return b.String(), problems
}

func TestMalformedTable(t *testing.T) {
	t.Parallel()
	page, problems := malformedTable([]CaseReport{
		{Name: "b", Outcomes: map[string]int64{"400": 2}}, {Name: "a", Outcomes: map[string]int64{"400": 1}},
		{Name: "c", Outcomes: map[string]int64{"408": 1}}, {Name: "d", Outcomes: map[string]int64{"400": 1, "closed": 1}},
		{Name: "e"},
	})
	if want := malformedHead + "| 400 | b; a |\n| 408 | c |\n"; page != want || len(problems) != 2 {
		t.Errorf("%q, problems %q", page, problems)
	}
}
