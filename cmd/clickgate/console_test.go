package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestConsoleStory walks through the console as its users do, in a real browser,
// while the demo is attacked: the incident, the review, the closed hour, the
// statement. Nothing in the whole walk may fail behind the user's back.
func TestConsoleStory(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	s := newStory(t, b)
	s.signIn()
	s.watchAttack()
	s.releaseInOpenHour()
	s.awaitEndOfTraffic()
	closed := s.closeHours()
	released := s.releaseInClosedHour()
	s.hoursUnchanged(closed)
	s.statementAddsUp(released)
	s.incidentResolves()
	s.visitTheRest()

	if faults := b.wrong(); len(faults) > 0 {
		t.Errorf("faults in the browser:\n%s", strings.Join(faults, "\n"))
	}
	requests, pages := b.seen()
	kinds := map[string]bool{}
	for _, p := range pages {
		kinds[strings.SplitN(p, "/", 3)[1]] = true
	}
	if requests < 60 || len(pages) < 20 || len(kinds) < 12 {
		t.Errorf("only %d requests, %d pages of %q; was anything tested?", requests, len(pages), slices.Sorted(maps.Keys(kinds)))
	}
	if status := s.interrupt(); status != 0 || !strings.Contains(s.text(), "\nbalanced\n") {
		t.Errorf("Ctrl-C ended with status %d:\n%s\n%s", status, s.text(), s.errs.String())
	}
}

// story is a demo and who looks at it.
type story struct {
	*process
	b       *browser
	data    string
	console string // URL
	pager   string // URL of the stand-in
	once    string // the link that signs in
}

// newStory starts a demo whose attack is over within twenty-five seconds, and whose
// minutes are judged as soon as they end. At that speed the attack fills a quarter of
// a minute at most, so one strange minute has to be enough.
func newStory(t *testing.T, b *browser) *story {
	t.Helper()
	s := &story{b: b, data: filepath.Join(t.TempDir(), "data")}
	s.process = startStandalone(t, standaloneArgs(s.data, "--demo", "--demo-speed", "4", "--demo-for", "40s",
		"--set", "alerts.settle=1s", "--set", "alerts.patience=2m", "--set", "alerts.calm_minutes=2", "--set", "alerts.at_once_score=6")...)
	for deadline := time.Now().Add(20 * time.Second); s.pager == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no console and no pager in\n%s", s.text())
		}
		for line := range strings.Lines(s.text()) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			url, _, whole := strings.Cut(strings.TrimSpace(rest), " ")
			switch {
			case name == "console" && whole:
				s.once = url
				s.console, _, _ = strings.Cut(url, "/login?")
			case name == "pager" && whole:
				s.pager = url
			}
		}
	}
	return s
}

// open goes to a page by its address.
func (s *story) open(path string) {
	s.t.Helper()
	s.b.do("open "+path, chromedp.Navigate(s.console+path))
}

// demand fails when the page does not show a text.
func (s *story) demand(texts ...string) {
	s.t.Helper()
	shown := s.b.text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			s.t.Errorf("%s does not show %q:\n%s", eval[string](s.b, "location.pathname"), text, shown)
		}
	}
}

func (s *story) signIn() {
	s.b.do("the link", chromedp.Navigate(s.once))
	s.b.click("[data-testid=login] button")
	s.demand("Live", "admin", "Received")
	s.b.until("the chart", `!!document.querySelector('#chart canvas')`, nil)
}

// watchAttack leaves the live page alone: it tells of the incident by itself.
func (s *story) watchAttack() {
	s.b.until("the live page tells of the incident", `document.querySelectorAll('[data-testid=incidents] li').length > 0`, nil)
	s.demand("at risk", "campaign acme-spring of tenant demo")
	if n := eval[int](s.b, `document.querySelectorAll('[data-testid=incidents] li').length`); n != 1 {
		s.t.Errorf("%d incidents on the live page, want 1", n)
	}
	s.b.click("[data-testid=incidents] li a")
	if status := eval[string](s.b, `document.querySelector('[data-testid=status]').textContent`); status != "open" {
		s.t.Errorf("the incident is %s", status)
	}
	s.demand("Money at risk", "acme-spring", "share of invalid clicks", "trigger")
	s.b.inspect("incident")
	s.b.click("[data-testid=to-review]")
	s.demand("Review", "acme-spring")
	s.open("/")
	s.b.until("the live page counts", `parseInt(document.querySelector('[data-testid=invalid] .big').textContent.replaceAll(',', '')) > 1000`, nil)
	s.b.inspect("live")
}

// releaseInOpenHour releases one click of the case on top of the queue.
func (s *story) releaseInOpenHour() {
	s.open("/review")
	queue := s.b.table("queue", "tbody")
	if len(queue) < 3 || !strings.Contains(queue[0]["Campaigns"], "acme-spring") || !sortedByMoney(queue) {
		s.t.Fatalf("the queue: %v", queue)
	}
	s.b.inspect("review")
	s.b.click("[data-testid=queue] [data-testid=case]")
	s.demand("RATE_IP", "clicks of the address", "median of", "Decide")
	if reasons := s.b.table("reasons", "tbody"); len(reasons) < 1 || reasons[0]["Meaning"] == "" || reasons[0]["Class"] == "" {
		s.t.Errorf("the reasons: %v", reasons)
	}
	usual := eval[[]float64](s.b, `[...document.querySelectorAll('[data-testid=normal] .big')].map(e => parseFloat(e.textContent.replaceAll(',', '')))`)
	before := eval[float64](s.b, `parseFloat(document.querySelectorAll('[data-testid=normal] .sub')[1].textContent.replaceAll(',', '').match(/at most (\d+)/)[1])`)
	// Most of the attack may lie in the minute before.
	if len(usual) != 3 || max(usual[0], before) < 100 || usual[2] < 1 || usual[2] > 10 {
		s.t.Errorf("this minute, own hour and peers: %v; at most %v before", usual, before)
	}
	s.b.inspect("case")
	if flash := s.release("a load test of the advertiser"); flash != "release: 1 of 1 clicks." {
		s.t.Errorf("released: %q", flash)
	}
}

// release releases the click in focus and returns what the console says.
func (s *story) release(why string) string {
	s.b.do("the reason", chromedp.SendKeys(chromedp.CSS("[data-testid=decide] [name=why]"), why))
	s.b.click("[data-testid=decide] [value=release]")
	return eval[string](s.b, `document.querySelector('[data-testid=flash]').textContent`)
}

func sortedByMoney(queue rows) bool {
	return slices.IsSortedFunc(queue, func(a, b map[string]string) int { return int(micros(b["Money"]) - micros(a["Money"])) })
}

// micros reads an amount as pages show it; what is none is -1.
func micros(text string) int64 {
	whole, fraction, _ := strings.Cut(strings.ReplaceAll(text, ",", ""), ".")
	n, err := strconv.ParseInt(whole+(fraction + "000000")[:6], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// awaitEndOfTraffic waits until the demo has sent everything and it is stored.
func (s *story) awaitEndOfTraffic() {
	last, same := "", 0
	for deadline := time.Now().Add(browserPatience); same < 3; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the demo does not end:\n%s", s.text())
		}
		lines := strings.Split(strings.TrimSpace(s.text()), "\n")
		now := lines[len(lines)-1]
		cells := strings.Fields(now)
		if n := receivedIn(now); n == 0 || len(cells) < 13 || cells[12] != "0" {
			continue // a heading, or records that are not stored
		}
		if same++; cells[1] != last {
			last, same = cells[1], 0
		}
	}
}

// closeHours closes by force, as docs/billing.md says, and returns what the page
// then tells of closed hours, hashes included.
func (s *story) closeHours() rows {
	s.open("/hours")
	if open := s.b.table("open", "tbody"); len(open) < 3 {
		s.t.Errorf("open hours: %v", open)
	}
	status, stdout, stderr := program(s.t, "hours", "close", "--close-now", "--why", "the end of the walk", "--data", s.data)
	if status != 0 || strings.Count(stdout, "closed: ") < 3 {
		s.t.Fatalf("hours close: status %d\n%s%s", status, stdout, stderr)
	}
	s.open("/hours")
	closed := s.b.table("closed", "tbody")
	if open := s.b.table("open", "tbody"); len(open) != 0 || len(closed) < 3 {
		s.t.Fatalf("open %v, closed %v", open, closed)
	}
	for _, row := range closed {
		if len(row["SHA-256"]) != 64 || !strings.Contains(row["Forced"], "the end of the walk") {
			s.t.Errorf("closed hour: %v", row)
		}
	}
	s.b.inspect("hours")
	return closed
}

// releaseInClosedHour releases a click of an hour that never changes again.
func (s *story) releaseInClosedHour() (why string) {
	s.open("/review")
	s.b.click("[data-testid=queue] [data-testid=case]")
	why = "the advertiser's partner clicked"
	if flash := s.release(why); !strings.HasPrefix(flash, "release: 1 of 1 clicks. 1 of a closed hour") {
		s.t.Errorf("released: %q", flash)
	}
	return why
}

func (s *story) hoursUnchanged(before rows) {
	s.open("/hours")
	if after := s.b.table("closed", "tbody"); !slices.EqualFunc(before, after, maps.Equal) {
		s.t.Errorf("closed hours were\n%v\nand are\n%v", before, after)
	}
}

// statementAddsUp does the sums of the page again.
func (s *story) statementAddsUp(why string) {
	s.open("/statement")
	lines, totals := s.b.table("statement", "tbody"), s.b.table("statement", "tfoot")
	adjustments := s.b.table("adjustments", "tbody")
	for _, problem := range sums(lines, totals, adjustments) {
		s.t.Error(problem)
	}
	found := slices.ContainsFunc(adjustments, func(a map[string]string) bool {
		return a["Why"] == why && a["Who"] == "admin" && micros(a["Amount"]) == 250_000 && a["Clicks"] == "+1" && a["To"] == "valid" && a["Waived"] == "–"
	})
	if !found {
		s.t.Errorf("the release is no debit of 0.25: %v", adjustments)
	}
	if len(lines) < 3 || len(totals) < 2 || micros(lines[0]["Closed"]) <= 0 {
		s.t.Errorf("lines %v, totals %v", lines, totals)
	}
	s.b.inspect("statement")
}

// sums checks a statement: what is due of each line, the totals, and that the
// adjustments are the debits and credits.
func sums(lines, totals, adjustments rows) (problems []string) {
	columns := []string{"Clicks", "Closed", "Debits", "Credits", "Due", "After the invoice", "Waived", "Open"}
	type key struct{ tenant, currency string }
	added := map[key]map[string]int64{}
	debits, credits := int64(0), int64(0)
	for _, l := range lines {
		if micros(l["Closed"])+micros(l["Debits"])+micros(l["Credits"]) != micros(l["Due"]) {
			problems = append(problems, fmt.Sprintf("due is not closed + debits + credits: %v", l))
		}
		k := key{l["Tenant"], l["Currency"]}
		if added[k] == nil {
			added[k] = map[string]int64{}
		}
		for _, c := range columns {
			added[k][c] += micros(l[c])
		}
		debits, credits = debits+micros(l["Debits"]), credits+micros(l["Credits"])
	}
	for _, total := range totals {
		for _, c := range columns {
			if want := added[key{total["Tenant"], total["Currency"]}][c]; micros(total[c]) != want {
				problems = append(problems, fmt.Sprintf("total of %s is %s, its lines add up to %d micros: %v", c, total[c], want, total))
			}
		}
	}
	if len(totals) != len(added) {
		problems = append(problems, fmt.Sprintf("%d totals of %d tenants and currencies", len(totals), len(added)))
	}
	adjusted := int64(0)
	for _, a := range adjustments {
		if a["Waived"] == "–" && a["Amount"] != "–" {
			adjusted += micros(a["Amount"])
		}
	}
	if adjusted != debits+credits {
		problems = append(problems, fmt.Sprintf("adjustments add up to %d micros, debits and credits to %d", adjusted, debits+credits))
	}
	return problems
}

// TestSumsSeeMistakes: a statement that does not add up is told.
func TestSumsSeeMistakes(t *testing.T) {
	t.Parallel()
	line := func(campaign, closed, debits, due string) map[string]string {
		return map[string]string{
			"Tenant": "t", "Campaign": campaign, "Currency": "EUR", "Clicks": "1", "Closed": closed, "Debits": debits, "Credits": "-0.50", "Due": due,
			"After the invoice": "0.00", "Waived": "0.00", "Open": "0.00",
		}
	}
	statement := func() (lines, totals, adjustments rows) {
		lines = rows{line("a", "1,000.25", "0.75", "1,000.50"), line("b", "2.00", "0.50", "2.00")}
		total := line("", "1,002.25", "1.25", "1,002.50")
		total["Clicks"], total["Credits"] = "2", "-1.00"
		return lines, rows{total}, rows{{"Amount": "1.25", "Waived": "–"}, {"Amount": "-1.00", "Waived": "–"}, {"Amount": "9.00", "Waived": "invoiced"}}
	}
	if problems := sums(statement()); len(problems) != 0 {
		t.Fatalf("a right statement: %q", problems)
	}
	for name, spoil := range map[string]func(lines, totals, adjustments rows){
		"due":        func(l, _, _ rows) { l[0]["Due"] = "1,000.51" },
		"total":      func(_, f, _ rows) { f[0]["Closed"] = "1,002.24" },
		"clicks":     func(_, f, _ rows) { f[0]["Clicks"] = "3" },
		"adjustment": func(_, _, a rows) { a[2]["Waived"] = "–" },
		"currency":   func(_, f, _ rows) { f[0]["Currency"] = "USD" },
	} {
		lines, totals, adjustments := statement()
		spoil(lines, totals, adjustments)
		if problems := sums(lines, totals, adjustments); len(problems) == 0 {
			t.Errorf("%s: nothing is told", name)
		}
	}
}

// incidentResolves waits for the end of the attack as an analyst sees it: one
// incident, resolved, and PagerDuty was told of both.
func (s *story) incidentResolves() {
	s.open("/incidents")
	s.b.until("the incident is resolved", `document.querySelectorAll('[data-testid=resolved-incidents] [data-testid=incident]').length > 0`, func() {
		time.Sleep(time.Second)
		s.open("/incidents")
	})
	if open, resolved := s.b.table("open-incidents", "tbody"), s.b.table("resolved-incidents", "tbody"); len(open) != 0 || len(resolved) != 1 {
		s.t.Errorf("open %v, resolved %v", open, resolved)
	}
	s.b.inspect("incidents")
	s.b.click("[data-testid=resolved-incidents] [data-testid=incident]")
	told := func() string {
		var words []string
		for _, p := range s.b.table("pages", "tbody") {
			words = append(words, p["Page"]+" "+p["Status"])
		}
		return strings.Join(words, ", ")
	}
	for deadline := time.Now().Add(browserPatience); !strings.HasPrefix(told(), "resolve sent"); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			s.t.Fatalf("pages: %s", told())
		}
		s.b.do("reload", chromedp.Reload())
	}
	if !strings.HasSuffix(told(), "trigger sent") {
		s.t.Errorf("pages: %s", told())
	}
	series := s.b.table("series", "tbody")
	if len(series) < 1 || series[0]["Of"] != "campaign" || series[0]["Id"] != "acme-spring" || series[0]["Until (UTC)"] == "strange" {
		s.t.Errorf("series: %v", series)
	}
	s.pagerWasTold(eval[string](s.b, "location.href"))
}

// pagerWasTold: one alert, over, that says where to read about it.
func (s *story) pagerWasTold(link string) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.pager, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := string(text); strings.Count(got, `"dedup_key"`) != 1 || !strings.Contains(got, `"client_url": "`+link+`"`) || !strings.Contains(got, `"resolved_at"`) {
		s.t.Errorf("PagerDuty was not told of one incident, over, to be read at %s:\n%s", link, got)
	}
}

// visitTheRest looks at the pages that the story did not come by.
func (s *story) visitTheRest() {
	s.open("/")
	paths := eval[[]string](s.b, `[...document.querySelectorAll('[data-testid=nav] a')].map(a => a.getAttribute('href'))`)
	if len(paths) < 10 {
		s.t.Errorf("the navigation: %q", paths)
	}
	for _, path := range append(paths, "/password") {
		s.open(path)
		if eval[int](s.b, `document.querySelectorAll('h1').length`) != 1 {
			s.t.Errorf("%s has no heading, or several", path)
		}
		if name := strings.Trim(path, "/"); !slices.Contains([]string{"", "review", "hours", "statement", "incidents"}, name) {
			s.b.inspect(name)
		}
	}
	s.b.click("[data-testid=logout]")
	s.demand("Sign in", "Password")
}
