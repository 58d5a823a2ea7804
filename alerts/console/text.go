package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"
	"clickgate/gateway/click"
)

// states is the order of verdicts on every page: what is billed first, then by
// how near it is to that.
var states = [...]click.State{
	click.Valid, click.Suspect, click.Duplicate, click.Undecidable, click.GIVT, click.SIVT,
	click.Test, click.Redelivered, click.Malformed, click.Unscored,
}

// columns are the verdicts of a table. Unscored is transient and rare, so it has a
// column only where it counts something.
func columns(unscored bool) []click.State {
	if unscored {
		return states[:]
	}
	return states[:len(states)-1]
}

// stateTexts explain verdicts in one sentence.
var stateTexts = [click.NumStates]string{
	click.Valid:       "Counted and, with a price, billed.",
	click.Suspect:     "Looks wrong, not proven; open until its hour closes.",
	click.Duplicate:   "Repeats a click that is billed already.",
	click.Undecidable: "Too little is known to judge; never billed.",
	click.GIVT:        "General invalid traffic: crawlers, tools, data centres, prefetches.",
	click.SIVT:        "Sophisticated invalid traffic: found by how it behaves.",
	click.Test:        "Marked as a test by key, token or campaign.",
	click.Redelivered: "The sender delivered a stored event again.",
	click.Malformed:   "Could not be read as a click; its bytes are kept, sealed.",
	click.Unscored:    "Passed without a verdict; gets one before its hour closes.",
}

// functions are what templates format with.
func functions(dep *Dependencies) template.FuncMap {
	return template.FuncMap{
		"count":   func(n int64) string { return grouped(strconv.FormatInt(n, 10)) },
		"ucount":  func(n uint64) string { return grouped(strconv.FormatUint(n, 10)) },
		"signed":  func(n int64) string { return grouped(fmt.Sprintf("%+d", n)) },
		"share":   share,
		"visible": visible,
		"hour":    hour,
		"instant": instant,
		"second":  func(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.DateTime) },
		"machine": machineTime,
		"seconds": func(micros int64) int64 { return micros / 1_000_000 },
		"bootAt":  func(boot uint64) int64 { return int64(boot) },
		"money":   func(micros int64, currency string) string { return grouped(dep.Amount(micros, currency)) },
		"span":    func(others int, columns []click.State) int { return others + len(columns) },
		"clock":   func(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.TimeOnly) },
		"link":    func(url, text string) anchor { return anchor{url, text} },
		"keyText": aggregate.KeyText,
		"int64":   func(n int) int64 { return int64(n) },
		"casePath": func(c aggregate.QueueItem) string {
			return "/review/" + url.PathEscape(c.TenantID) + "/" + aggregate.KeyText(c.IPKey)
		},
		"cash":  func(label string, micros int64, currency string) cash { return cash{label, micros, currency} },
		"sumOf": func(s sum, currency string) amount { return amount{s, currency} },
	}
}

// Arguments of the templates of one element; a template takes a single one.
type (
	navEntry struct {
		Path, Name string
		Current    bool
		roles      auth.Roles
	}
	anchor struct{ URL, Text string }
	amount struct {
		Sum      sum
		Currency string
	}
	cash struct {
		Label    string
		N        int64 // micros
		Currency string
	}
)

// grouped puts a comma between the thousands of a decimal number.
func grouped(number string) string {
	whole, fraction, hasPoint := strings.Cut(number, ".")
	digits := strings.TrimLeft(whole, "+-")
	sign := whole[:len(whole)-len(digits)]
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	if hasPoint {
		b.WriteString("." + fraction)
	}
	return b.String()
}

// share is n of whole in percent; a share that is not all or nothing never reads
// as 100 or 0 %.
func share(n, whole int64) string {
	if whole <= 0 {
		return "–"
	}
	p := 100 * float64(n) / float64(whole)
	switch {
	case n > 0 && p < 0.05:
		return "< 0.1 %"
	case n < whole && p >= 99.95:
		return "> 99.9 %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}

// visible spells out what a browser would not show or would act on, such as
// direction marks: ids hold what senders wrote.
func visible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func hour(micros int64) string { return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04") }

func instant(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.000000")
}

// machineTime is the datetime attribute of a time element.
func machineTime(micros int64) string {
	return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano)
}
