package aggregate

import "time"

// MonthOf returns the first instant of t's UTC month, both in Unix microseconds.
func MonthOf(t int64) int64 {
	at := time.UnixMicro(t).UTC()
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC).UnixMicro()
}

// NextMonth returns the first instant of the month after the one t lies in.
func NextMonth(t int64) int64 {
	year, month, _ := time.UnixMicro(t).UTC().Date()
	return time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
}
