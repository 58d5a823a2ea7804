package edge

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

// judge reads a JSON value as an event time received at t0.
func judge(t *testing.T, value string, backfill bool) (int64, *Error) {
	t.Helper()
	us, err := EventTime(parseOne(t, `{"event_time":`+value+`}`))
	if err == nil {
		err = CheckWindow(us, t0.UnixMicro(), backfill)
	}
	return us, err
}

func TestEventTimeCase11(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) string { return `"` + t0.Add(d).Format(time.RFC3339Nano) + `"` }
	early := t0.Add(-time.Second) // 11:59:59
	ms := func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }
	for _, tc := range []struct {
		value string
		want  time.Time // of an accepted one
		code  string
	}{
		{at(80 * time.Second), t0.Add(80 * time.Second), ""},
		{at(5 * time.Minute), t0.Add(5 * time.Minute), ""},
		{at(5*time.Minute + time.Microsecond), t0, CodeFutureTime},
		{at(5*time.Minute + time.Second), t0, CodeFutureTime},
		{at(-71*time.Hour - 59*time.Minute), t0.Add(-71*time.Hour - 59*time.Minute), ""},
		{at(-72 * time.Hour), t0.Add(-72 * time.Hour), ""},
		{at(-72*time.Hour - time.Microsecond), t0, CodeLateTime},
		{at(-73 * time.Hour), t0, CodeLateTime},
		{`"1970-01-01T00:00:00Z"`, t0, CodeOutOfRange},
		{`"2026-02-30T10:00:00Z"`, t0, CodeNoSuchDate},
		{`"2026-11-10T11:59:60Z"`, t0, CodeLeapSecond},
		{`"2026-11-10 11:59:59+00"`, t0, CodeBadTime},
		{`"2026-11-10t11:59:59z"`, early, ""},
		{`"2026-11-10T17:29:59+05:30"`, early, ""},
		{`"2026-11-10T11:59:59,250Z"`, t0, CodeBadTime},
		{`"2026-11-10T11:59:59"`, t0, CodeNoZone},
		{`"2026-11-10T11:59:59.5"`, t0, CodeNoZone},
		{fmt.Sprint(early.Unix()), t0, CodeWrongUnit},
		{ms(early), early, ""},
		{fmt.Sprint(early.UnixMicro()), t0, CodeWrongUnit},
		{fmt.Sprint(early.UnixNano()), t0, CodeWrongUnit},
		{"-1", t0, CodeOutOfRange}, {"0", t0, CodeOutOfRange},
		{ms(t0.Add(5 * time.Minute)), t0.Add(5 * time.Minute), ""},
		{ms(t0.Add(5*time.Minute + time.Millisecond)), t0, CodeFutureTime},
		{ms(t0.Add(-72 * time.Hour)), t0.Add(-72 * time.Hour), ""},
		{ms(t0.Add(-72*time.Hour - time.Millisecond)), t0, CodeLateTime},
		{"1790000000.250", t0, CodeNotInteger}, {"1.79e12", t0, CodeNotInteger},
		{`"` + ms(early) + `"`, t0, CodeBadTime}, {`""`, t0, CodeMissing},
		{"null", t0, CodeWrongType}, {"true", t0, CodeWrongType}, {"{}", t0, CodeWrongType},
	} {
		us, err := judge(t, tc.value, false)
		if code(err) != tc.code || err != nil && err.Field != "event_time" || err == nil && us != tc.want.UnixMicro() {
			t.Errorf("%s: %d, %v; want %d, %q", tc.value, us, err, tc.want.UnixMicro(), tc.code)
		}
	}
	for name, value := range map[string]string{"seconds": fmt.Sprint(early.Unix()), "microseconds": fmt.Sprint(early.UnixMicro()), "nanoseconds": fmt.Sprint(early.UnixNano())} {
		if _, err := judge(t, value, false); err == nil || !strings.Contains(err.Message, name) {
			t.Errorf("%s not named: %v", name, err)
		}
	}
}

func TestBackfillHasNoPastLimit(t *testing.T) {
	t.Parallel()
	if _, err := judge(t, `"2019-01-01T00:00:00Z"`, true); err != nil {
		t.Error(err)
	}
	if _, err := judge(t, `"2026-11-10T12:05:01Z"`, true); code(err) != CodeFutureTime {
		t.Error(err)
	}
	if _, err := judge(t, `"1970-01-01T00:00:00Z"`, true); code(err) != CodeOutOfRange {
		t.Error(err)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-11-10T11:59:59.1Z":          "2026-11-10T11:59:59.1Z",
		"2026-11-10T11:59:59.123456789Z":  "2026-11-10T11:59:59.123456Z", // cut, not rounded
		"2026-11-10T11:59:59.9999999Z":    "2026-11-10T11:59:59.999999Z",
		"2026-11-10T11:59:59-00:00":       "2026-11-10T11:59:59Z",
		"2026-11-10T23:59:59.25-12:45":    "2026-11-11T12:44:59.25Z",
		"2028-02-29T00:00:00Z":            "2028-02-29T00:00:00Z",
		"2000-01-01T00:00:00Z":            "2000-01-01T00:00:00Z",
		"2026-12-31T23:59:59+00:01":       "2026-12-31T23:58:59Z",
		"2026-11-10T11:59:59.1234567890Z": CodeBadTime,
		"2026-11-10T11:59:59.Z":           CodeBadTime,
		"2027-02-29T00:00:00Z":            CodeNoSuchDate,
		"2026-13-01T00:00:00Z":            CodeNoSuchDate,
		"2026-00-01T00:00:00Z":            CodeNoSuchDate,
		"2026-11-00T00:00:00Z":            CodeNoSuchDate,
		"2026-11-10T24:00:00Z":            CodeNoSuchDate,
		"2026-11-10T23:60:00Z":            CodeNoSuchDate,
		"2026-11-10T23:59:61Z":            CodeNoSuchDate,
		"2026-11-10T23:59:59+24:00":       CodeNoSuchDate,
		"2026-11-10T23:59:59+05:60":       CodeNoSuchDate,
		"2026-11-10T23:59:59+0530":        CodeBadTime,
		"2026-11-10T23:59:59+05":          CodeBadTime,
		"2026-11-10T23:59:59 Z":           CodeBadTime,
		"2026-11-10T23:59:59ZZ":           CodeBadTime,
		"2026-11-10T23:59:59\u221205:30":  CodeBadTime,
		"2026-11-10T23:59Z":               CodeBadTime,
		"2026-1-10T23:59:59Z":             CodeBadTime,
		"+2026-11-10T23:59:59Z":           CodeBadTime,
		"２０２６-11-10T11:59:59Z":            CodeBadTime,
		"2026/11/10T11:59:59Z":            CodeBadTime,
		"Tue, 10 Nov 2026 11:59:59 GMT":   CodeBadTime,
		"2100-01-01T00:00:00Z":            CodeOutOfRange,
		"2099-12-31T23:59:59-00:01":       CodeOutOfRange,
		"1999-12-31T23:59:59Z":            CodeOutOfRange,
		"0000-01-01T00:00:00Z":            CodeOutOfRange,
	} {
		us, err := ParseTime(in)
		got := code(err)
		if err == nil {
			got = time.UnixMicro(us).UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestParseMillisNeverGuesses(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{math.MinInt64, -1, 0, 1, 946_684_799_999, 4_102_444_800_000, math.MaxInt64, 20261110} {
		if us, err := ParseMillis(n); err == nil {
			t.Errorf("%d taken as %d", n, us)
		}
	}
	if us, err := ParseMillis(1_790_000_000_123); us != 1_790_000_000_123_000 || err != nil {
		t.Error(us, err)
	}
}

// Every instant, however it is written, is read as itself.
func TestTimeProperty(t *testing.T) {
	t.Parallel()
	tried := 0
	rapid.Check(t, func(r *rapid.T) {
		us := rapid.Int64Range((firstSecond+86400)*1e6, (endSecond-86400)*1e6).Draw(r, "us")
		offset := rapid.IntRange(-23*60-59, 23*60+59).Draw(r, "zone")
		s := time.UnixMicro(us).In(time.FixedZone("", offset*60)).Format(time.RFC3339Nano)
		if got, err := ParseTime(s); err != nil || got != us {
			r.Fatalf("%s: %d, %v; want %d", s, got, err, us)
		}
		if got, err := ParseMillis(us / 1000); err != nil || got != us/1000*1000 {
			r.Fatalf("%d: %d, %v", us/1000, got, err)
		}
		tried++
	})
	if tried < 50 {
		t.Errorf("only %d times tried", tried)
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{
		"2026-11-10T12:00:00Z", "2026-11-10t11:59:59z", "2026-11-10T17:29:59+05:30", "2026-11-10T11:59:59,250Z", "2026-11-10 11:59:59+00",
		"2026-02-30T10:00:00Z", "2026-11-10T11:59:60Z", "2026-11-10T11:59:59", "2026-09-21T14:13:20.123000961Z", "1970-01-01T00:00:00Z", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		us, err := ParseTime(s)
		if err != nil {
			return
		}
		std, stdErr := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
		if stdErr != nil {
			t.Fatalf("%q accepted; time.Parse: %v", s, stdErr)
		}
		if std.UnixMicro() != us {
			t.Fatalf("%q: %d, time.Parse reads %d", s, us, std.UnixMicro())
		}
	})
}

func TestParseTimeAllocs(t *testing.T) {
	wantNoAllocs(t, func() {
		us, err := ParseTime("2026-11-10T17:29:59.250+05:30")
		if err != nil || CheckWindow(us, t0.UnixMicro(), false) != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkParseTime(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTime("2026-11-10T17:29:59.250+05:30"); err != nil {
			b.Fatal(err)
		}
	}
}
