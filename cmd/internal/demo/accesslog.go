package demo

import (
	"bytes"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// logLine is a line of a combined log. One that does not parse has only its text,
// and the time of the line before it.
type logLine struct {
	at                       time.Time
	ip, path, referer, agent string
	raw                      string // of a line that does not parse
}

var combined = regexp.MustCompile(`^(\S+) \S+ \S+ \[([^\]]+)\] "(?:\S+ )?(\S*)[^"]*" \d{3} \S+ "([^"]*)" "([^"]*)"$`)

const combinedTime = "02/Jan/2006:15:04:05 -0700"

// parseLog reads the lines of a combined log (Apache HTTP Server, mod_log_config).
func parseLog(text []byte) []logLine {
	var lines []logLine
	last := time.Time{}
	for raw := range bytes.Lines(text) {
		raw = bytes.TrimRight(raw, "\r\n")
		if len(raw) == 0 {
			continue
		}
		l, ok := parseLine(string(raw))
		if !ok {
			l = logLine{at: last, raw: string(raw)}
		}
		last = l.at
		lines = append(lines, l)
	}
	return lines
}

func parseLine(raw string) (logLine, bool) {
	m := combined.FindStringSubmatch(raw)
	if m == nil {
		return logLine{}, false
	}
	at, err := time.Parse(combinedTime, m[2])
	if err != nil {
		return logLine{}, false
	}
	if _, err := netip.ParseAddr(m[1]); err != nil {
		return logLine{}, false
	}
	return logLine{at: at, ip: m[1], path: m[3], referer: absent(m[4]), agent: absent(m[5])}, true
}

// absent reads a dash as nothing.
func absent(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// sections are the parts of the site that serve as placements.
var sections = []string{"presentations", "blog", "images", "projects", "files", "articles", "misc", "scripts"}

// pathClass names the part of the site of a path: its first folder, "top" for
// what lies in none, "other" for folders that only a few know.
func pathClass(path string) string {
	path, _, _ = strings.Cut(path, "?")
	folder, _, ok := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch {
	case !ok:
		return "top"
	case slices.Contains(sections, folder):
		return folder
	}
	return "other"
}
