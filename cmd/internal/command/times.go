package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"clickgate/cmd/internal/report"
)

// period is the time range of a report.
type period struct {
	From string `help:"Start, included: RFC 3339, YYYY-MM-DD (UTC), or back from now as -24h or -7d." placeholder:"TIME"`
	To   string `help:"End, excluded; same forms." placeholder:"TIME"`
}

// bounds returns Unix microseconds, 0 for open.
func (p *period) bounds(now time.Time) (from, to int64, err error) {
	if from, err = parseTime("--from", p.From, now); err != nil {
		return 0, 0, err
	}
	if to, err = parseTime("--to", p.To, now); err != nil {
		return 0, 0, err
	}
	if to != 0 && to <= from {
		return 0, 0, usage(fmt.Errorf("--to %s: is not after --from %s; name a later end", p.To, p.From))
	}
	return from, to, nil
}

func parseTime(flag, text string, now time.Time) (int64, error) {
	if text == "" {
		return 0, nil
	}
	t, ok := timeOf(text, now)
	if !ok || t.UnixMicro() <= 0 {
		return 0, usage(fmt.Errorf("%s %q: is no time; write 2026-11-10T12:00:00Z, 2026-11-10, -24h or -7d", flag, text))
	}
	return t.UnixMicro(), nil
}

func timeOf(text string, now time.Time) (time.Time, bool) {
	if back, ok := strings.CutPrefix(text, "-"); ok {
		if days, ok := strings.CutSuffix(back, "d"); ok {
			n, err := strconv.ParseUint(days, 10, 16)
			return now.AddDate(0, 0, -int(n)), err == nil
		}
		d, err := time.ParseDuration(back)
		return now.Add(-d), err == nil && d >= 0
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// output is how a report is written.
type output struct {
	Format string `help:"Format: ${enum}." enum:"table,csv,json" default:"table"`
	JSON   bool   `help:"Short for --format json."`
}

func (o *output) format() report.Format {
	if o.JSON {
		return report.JSON
	}
	return report.Format(o.Format)
}
