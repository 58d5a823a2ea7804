package edge

import (
	"fmt"
	"time"
)

// The window of event times around the receipt, borders included.
const (
	MaxAhead  = 5 * time.Minute
	MaxBehind = 72 * time.Hour
)

// Years that an event time may lie in, as Unix seconds. They catch unset and
// mistaken clocks of backfill sources too, and keep the magnitudes of the epoch
// units apart.
const (
	firstSecond = 946_684_800   // 2000-01-01T00:00:00Z
	endSecond   = 4_102_444_800 // 2100-01-01T00:00:00Z
)

// EventTime reads a time field of an item: an RFC 3339 string (ParseTime) or an
// integer of epoch milliseconds (ParseMillis). It returns Unix microseconds.
func EventTime(v Value) (int64, *Error) {
	switch v.Kind() {
	case KindNumber:
		n, err := v.Int64()
		if err != nil {
			return 0, err
		}
		us, err := ParseMillis(n)
		return us, err.In(v.field)
	case KindString:
		s, err := v.String()
		if err != nil {
			return 0, err
		}
		us, err := ParseTime(s)
		return us, err.In(v.field)
	}
	return 0, v.wrongType("an RFC 3339 string or integer epoch milliseconds are wanted")
}

// ParseMillis converts integer epoch milliseconds, the one unit that clickgate
// takes numbers in, to Unix microseconds. Seconds, microseconds and nanoseconds
// of the years 2000 to 2099 have other magnitudes and are CodeWrongUnit.
func ParseMillis(n int64) (int64, *Error) {
	for _, u := range [...]struct {
		perSecond int64
		name      string
	}{{1, "seconds"}, {1e6, "microseconds"}, {1e9, "nanoseconds"}} {
		if n/u.perSecond >= firstSecond && n/u.perSecond < endSecond {
			return 0, fail(CodeWrongUnit, "", "the number looks like epoch "+u.name+"; send milliseconds")
		}
	}
	if n < firstSecond*1e3 || n >= endSecond*1e3 {
		return 0, outsideYears()
	}
	return n * 1e3, nil
}

func outsideYears() *Error {
	return fail(CodeOutOfRange, "", "the time is not in the years 2000 to 2099; send RFC 3339 or integer epoch milliseconds")
}

// ParseTime reads an RFC 3339 time (section 5.6) and returns Unix microseconds.
// T and Z may be lower case; a fraction has 1 to 9 digits, of which those
// beyond microseconds are cut off. Forms that RFC 3339 leaves to taste are
// refused: a space instead of T, a comma before the fraction, an offset without
// minutes, second 60.
func ParseTime(s string) (int64, *Error) {
	if s == "" {
		return 0, fail(CodeMissing, "", "the time is empty")
	}
	if err := checkShape(s); err != nil {
		return 0, err
	}
	year, month, day := number(s[0:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	micros, rest, err := fraction(s[19:])
	if err != nil {
		return 0, err
	}
	offset, err := zone(rest)
	if err != nil {
		return 0, err
	}
	if second == 60 {
		return 0, fail(CodeLeapSecond, "", "second 60 cannot be stored; send 59")
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, fail(CodeNoSuchDate, "", "there is no such day or time of day")
	}
	unix := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix() - int64(offset)
	if unix < firstSecond || unix >= endSecond {
		return 0, outsideYears()
	}
	return unix*1e6 + micros, nil
}

// checkShape holds the first 19 bytes of s against 2026-11-10T12:00:00.
func checkShape(s string) *Error {
	const shape = "0000-00-00T00:00:00"
	if len(s) < len(shape) {
		return fail(CodeBadTime, "", "the time is too short; write 2026-11-10T12:00:00Z")
	}
	for i := range len(shape) {
		c := s[i]
		switch want := shape[i]; {
		case want == '0' && !isDigit(c), (want == '-' || want == ':') && c != want:
			return fail(CodeBadTime, "", "the time is not written as 2026-11-10T12:00:00Z")
		case want == 'T' && c != 'T' && c != 't':
			return fail(CodeBadTime, "", "a T must stand between date and time")
		}
	}
	return nil
}

// number returns the value of a text of digits.
func number(s string) (n int) {
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// fraction reads an optional fraction of a second at the start of s.
func fraction(s string) (micros int64, rest string, err *Error) {
	if s == "" || s[0] != '.' && s[0] != ',' {
		return 0, s, nil
	}
	if s[0] == ',' {
		return 0, "", fail(CodeBadTime, "", "a fraction of a second begins with a point")
	}
	n := 1
	for unit := int64(100_000); n < len(s) && isDigit(s[n]); n++ {
		micros += int64(s[n]-'0') * unit
		unit /= 10
	}
	if n < 2 || n > 10 {
		return 0, "", fail(CodeBadTime, "", "a fraction of a second has 1 to 9 digits")
	}
	return micros, s[n:], nil
}

// zone reads Z or ±hh:mm, all of s, and returns seconds east of UTC.
func zone(s string) (int, *Error) {
	switch {
	case s == "":
		return 0, fail(CodeNoZone, "", "the time has no zone; end it with Z or an offset such as +05:30")
	case s == "Z" || s == "z":
		return 0, nil
	case len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' || !isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[4]) || !isDigit(s[5]):
		return 0, fail(CodeBadTime, "", "the zone is neither Z nor an offset such as +05:30")
	}
	hours, minutes := number(s[1:3]), number(s[4:6])
	if hours > 23 || minutes > 59 {
		return 0, fail(CodeNoSuchDate, "", "there is no such zone offset")
	}
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		return -offset, nil
	}
	return offset, nil
}

// CheckWindow judges an event time against the time of receipt, both in Unix
// microseconds: more than MaxAhead in the future is CodeFutureTime, more than
// MaxBehind in the past CodeLateTime. Sources marked backfill have no past
// limit. Times are never clamped.
func CheckWindow(event, now int64, backfill bool) *Error {
	if event > now+MaxAhead.Microseconds() {
		return fail(CodeFutureTime, "event_time", fmt.Sprintf("%d s ahead of the gateway's clock, at most %v are allowed", (event-now)/1e6, MaxAhead))
	}
	if !backfill && event < now-MaxBehind.Microseconds() {
		return fail(CodeLateTime, "event_time", fmt.Sprintf("%d s behind the gateway's clock, at most %v are allowed; older events need a backfill source", (now-event)/1e6, MaxBehind))
	}
	return nil
}
