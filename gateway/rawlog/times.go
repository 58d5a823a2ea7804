package rawlog

import (
	"math"

	"clickgate/gateway/edge"
)

// Unit is the unit of epoch times that are written as numbers.
type Unit string

// Units. A number whose magnitude says another unit is refused, never guessed.
const (
	UnitSeconds Unit = "s" // with or without a fraction
	UnitMillis  Unit = "ms"
	UnitMicros  Unit = "us"
	UnitNanos   Unit = "ns"
	UnitLogpush Unit = "s|ns" // the two of Logpush's settings unix and unixnano
)

func (u Unit) valid() bool { return u == UnitLogpush || u.nanos() > 0 }

// nanos returns the nanoseconds of a unit, 0 for one that is unknown.
func (u Unit) nanos() int64 {
	switch u {
	case UnitSeconds:
		return 1e9
	case UnitMillis:
		return 1e6
	case UnitMicros:
		return 1e3
	case UnitNanos:
		return 1
	}
	return 0
}

// Years of event times, as in package edge: 2000 to 2099, in Unix seconds.
const (
	firstSecond = 946_684_800
	endSecond   = 4_102_444_800
)

// parseTime reads a number in the unit, or an RFC 3339 text. Arithmetic is in
// integers: a float64 has no room for the nanoseconds of this century.
func parseTime(s string, unit Unit) (us int64, p Precision, err *edge.Error) {
	if isNumber(s) {
		return epoch(s, unit)
	}
	us, err = edge.ParseTime(s)
	return us, textPrecision(s), err.In("time")
}

// isNumber tells an epoch time from a date, which has a second dash or a colon.
func isNumber(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && (c != '-' || i > 0) {
			return false
		}
	}
	return s != ""
}

// textPrecision counts the fraction's digits of an RFC 3339 text.
func textPrecision(s string) Precision {
	if len(s) < 20 || s[19] != '.' {
		return PrecisionSecond
	}
	n := 20
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return fractionPrecision(n - 20)
}

func fractionPrecision(digits int) Precision {
	switch {
	case digits == 0:
		return PrecisionSecond
	case digits <= 3:
		return PrecisionMilli
	}
	return PrecisionMicro
}

// epoch reads digits with an optional fraction. Digits of the fraction beyond
// nanoseconds are cut off.
func epoch(s string, unit Unit) (int64, Precision, *edge.Error) {
	if s[0] == '-' {
		return 0, 0, outsideYears()
	}
	var whole int64
	i := 0
	for ; i < len(s) && s[i] != '.'; i++ {
		if s[i] == '-' || whole > (math.MaxInt64-9)/10 {
			return 0, 0, outsideYears()
		}
		whole = whole*10 + int64(s[i]-'0')
	}
	if unit == UnitLogpush {
		unit = UnitNanos
		if whole < endSecond {
			unit = UnitSeconds
		}
	}
	per := unit.nanos()
	if whole/(1e9/per) < firstSecond || whole/(1e9/per) >= endSecond {
		return 0, 0, wrongMagnitude(whole, unit)
	}
	nanos, digits, err := epochFraction(s[i:], per)
	if err != nil {
		return 0, 0, err
	}
	return (whole*per + nanos) / 1e3, epochPrecision(unit, digits), nil
}

// epochFraction reads an optional point and digits as a fraction of per
// nanoseconds.
func epochFraction(s string, per int64) (nanos int64, digits int, err *edge.Error) {
	if s == "" {
		return 0, 0, nil
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, 0, brokenNumber()
		}
		per /= 10
		nanos += int64(s[i]-'0') * per
	}
	if len(s) == 1 {
		return 0, 0, brokenNumber()
	}
	return nanos, len(s) - 1, nil
}

func epochPrecision(unit Unit, digits int) Precision {
	switch unit {
	case UnitSeconds:
		return fractionPrecision(digits)
	case UnitMillis:
		if digits == 0 {
			return PrecisionMilli
		}
	}
	return PrecisionMicro
}

// wrongMagnitude names the unit that a number would make sense in.
func wrongMagnitude(n int64, unit Unit) *edge.Error {
	for _, u := range [...]struct {
		unit Unit
		name string
	}{{UnitSeconds, "seconds"}, {UnitMillis, "milliseconds"}, {UnitMicros, "microseconds"}, {UnitNanos, "nanoseconds"}} {
		if s := n / (1e9 / u.unit.nanos()); u.unit != unit && s >= firstSecond && s < endSecond {
			return fail(edge.CodeWrongUnit, "time", "the number looks like epoch "+u.name+"; set the unit of the source or of the log job")
		}
	}
	return outsideYears()
}

func brokenNumber() *edge.Error {
	return fail(edge.CodeBadTime, "time", "the time is no number with one point and digits on both sides")
}

func outsideYears() *edge.Error {
	return fail(edge.CodeOutOfRange, "time", "the time is not in the years 2000 to 2099")
}

// clock reads the times of a log whose neighbouring lines mostly share their
// second: it keeps the last one.
type clock struct {
	text  [40]byte // RFC 3339, composed from the log's own form
	last  [40]byte
	n     int // bytes of last that count
	value int64
}

// parse reads the first n bytes of text.
func (c *clock) parse(n int) (int64, *edge.Error) {
	if n == c.n && string(c.text[:n]) == string(c.last[:n]) {
		return c.value, nil
	}
	us, err := edge.ParseTime(view(c.text[:n]))
	if err != nil {
		return 0, err.In("time")
	}
	c.last, c.n, c.value = c.text, n, us
	return us, nil
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// parseCLF reads the time of the common log format: 10/Nov/2026:12:00:00 +0000.
func (c *clock) parseCLF(b []byte) (int64, *edge.Error) {
	if len(b) != 26 || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[20] != ' ' {
		return 0, fail(edge.CodeBadTime, "time", "the time is not written as 10/Nov/2026:12:00:00 +0000")
	}
	month := 0
	for i := 0; i < len(months) && month == 0; i += 3 {
		if months[i:i+3] == string(b[3:6]) {
			month = i/3 + 1
		}
	}
	t := append(c.text[:0], b[7:11]...)
	t = append(t, '-', byte('0'+month/10), byte('0'+month%10), '-')
	t = append(t, b[0:2]...)
	t = append(t, 'T')
	t = append(t, b[12:20]...)
	t = append(t, b[21:24]...)
	t = append(t, ':')
	t = append(t, b[24:26]...)
	return c.parse(len(t))
}

// parseW3C reads the columns date and time of the W3C format, which are UTC.
func (c *clock) parseW3C(date, tod string) (int64, Precision, *edge.Error) {
	if len(date)+len(tod)+2 > len(c.text) {
		return 0, 0, fail(edge.CodeBadTime, "time", "date and time are not written as 2026-11-10 and 12:00:00")
	}
	t := append(c.text[:0], date...)
	t = append(t, 'T')
	t = append(t, tod...)
	t = append(t, 'Z')
	us, err := c.parse(len(t))
	return us, textPrecision(view(t)), err
}
