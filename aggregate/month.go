package aggregate

import "time"

// MonthOf returns the first instant of t's UTC month, both in Unix microseconds.
func MonthOf(t int64) int64 {
	at := time.UnixMicro(t).UTC()
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC).UnixMicro()
}
