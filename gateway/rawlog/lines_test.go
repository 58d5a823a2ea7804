package rawlog

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"clickgate/gateway/edge"

	"pgregory.net/rapid"
)

// readLines returns all lines, copied.
func readLines(t interface{ Fatalf(string, ...any) }, r io.Reader, limit int) (out []Line, err error) {
	l := NewLineReader(r, limit)
	for {
		line, err := l.Next()
		if err != nil {
			return out, err
		}
		if len(line.Bytes) > limit || len(l.w.buf) > limit+readAhead {
			t.Fatalf("%d bytes of a line, a buffer of %d for a limit of %d", len(line.Bytes), len(l.w.buf), limit)
		}
		line.Bytes = []byte(string(line.Bytes))
		out = append(out, line)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200_000)
	for name, tc := range map[string]struct {
		in    string
		limit int
		want  []string // "offset length text"
	}{
		"empty":             {"", 10, nil},
		"one":               {"abc\n", 10, []string{"0 3 abc"}},
		"no last end":       {"abc\ndef", 10, []string{"0 3 abc", "4 3 def"}},
		"CRLF":              {"abc\r\n\r\ndef\r\n", 10, []string{"0 3 abc", "5 0 ", "7 3 def"}},
		"CR alone":          {"a\rb\rc\n", 10, []string{"0 5 a\rb\rc"}},
		"two CR":            {"a\r\r\n", 10, []string{"0 2 a\r"}},
		"CR at the end":     {"abc\r", 10, []string{"0 3 abc"}},
		"blank lines":       {"\n\n \n", 10, []string{"0 0 ", "1 0 ", "2 1  "}},
		"mark":              {"\xEF\xBB\xBFabc\n", 10, []string{"3 3 abc"}},
		"mark alone":        {"\xEF\xBB\xBF", 10, nil},
		"mark elsewhere":    {"a\n\xEF\xBB\xBFb", 10, []string{"0 1 a", "2 4 \xEF\xBB\xBFb"}},
		"NUL hole":          {"\x00\x00\x00\x00\x00\x00a\n", 10, []string{"0 7 \x00\x00\x00\x00\x00\x00a"}},
		"as long as may be": {"0123456789\r\nb\n", 10, []string{"0 10 0123456789", "12 1 b"}},
		"one too many":      {"0123456789x\r\nb\n", 10, []string{"0 11 0123456789", "13 1 b"}},
		"far too long":      {"a\n" + long + "\nb\n", 10, []string{"0 1 a", "2 200000 xxxxxxxxxx", "200003 1 b"}},
		"too long and last": {"a\n" + long, 10, []string{"0 1 a", "2 200000 xxxxxxxxxx"}},
		"two of them":       {long + "\n" + long + "\nb", 10, []string{"0 200000 xxxxxxxxxx", "200001 200000 xxxxxxxxxx", "400002 1 b"}},
	} {
		for _, r := range []io.Reader{strings.NewReader(tc.in), &dribble{r: strings.NewReader(tc.in)}, iotest.DataErrReader(strings.NewReader(tc.in))} {
			got, err := readLines(t, r, tc.limit)
			if !ended(err) {
				t.Errorf("%s: %v", name, err)
			}
			var texts []string
			for _, l := range got {
				texts = append(texts, fmt.Sprintf("%d %d %s", l.Offset, l.Length, l.Bytes))
				if tooLong := l.TooLong(); (tooLong != nil) != (l.Length > int64(tc.limit)) || tooLong != nil && tooLong.Code != CodeLineTooLong {
					t.Errorf("%s: %v for %d bytes", name, tooLong, l.Length)
				}
			}
			if strings.Join(texts, "|") != strings.Join(tc.want, "|") {
				t.Errorf("%s: %.200q, want %.200q", name, texts, tc.want)
			}
		}
	}
}

func TestWideEncodingsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\xFF\xFEa\x00b\x00": "UTF-16LE", "\xFE\xFF\x00a\x00b": "UTF-16BE", "a\x00b\x00": "UTF-16LE", "\x00a\x00b": "UTF-16BE",
		"\xFF\xFE\x00\x00a\x00\x00\x00": "UTF-32LE", "\x00\x00\xFE\xFF\x00\x00\x00a": "UTF-32BE", "a\x00\x00\x00": "UTF-32LE", "\x00\x00\x00a": "UTF-32BE",
	} {
		for _, f := range []Format{{Name: Combined}, {Name: Logpush}} {
			sum, err := Scan(strings.NewReader(in), f, Limits{}, func(*Entry) error { return errors.New("visited") })
			var fault *edge.Error
			if !errors.As(err, &fault) || fault.Code != edge.CodeBadEncoding || !strings.Contains(fault.Message, want) || sum.Lines != 0 {
				t.Errorf("%q as %s: %v, want %s", in, f.Name, err, want)
			}
		}
	}
}

// TestCase04LongLines: lines far beyond 64 KiB cost nothing but themselves.
func TestCase04LongLines(t *testing.T) {
	t.Parallel()
	referer := func(n int) string { return "https://ref.example/?q=" + strings.Repeat("é", (n-23)/2) }
	for name, tc := range map[string]struct {
		bytes     int
		last      bool
		malformed int64
	}{
		"70,000":           {70_000, false, 0},
		"70,000 and last":  {70_000, true, 0},
		"2 MiB":            {2 << 20, false, 1},
		"2 MiB and last":   {2 << 20, true, 1},
		"just the limit":   {DefaultLineBytes - len(clickLine("TOK-E2", "")), false, 0},
		"beyond the limit": {DefaultLineBytes - len(clickLine("TOK-E2", "")) + 2, false, 1},
	} {
		e2 := clickLine("TOK-E2", referer(tc.bytes))
		text := clickLine("TOK-E1", "-") + "\n" + e2 + "\n" + clickLine("TOK-E3", "-") + "\n"
		if tc.last {
			text = clickLine("TOK-E1", "-") + "\n" + clickLine("TOK-E3", "-") + "\n" + e2
		}
		for _, body := range []string{text, string(packed(t, text))} {
			got, sum := scanAll(t, Format{Name: Combined}, body)
			if sum.Lines != 3 || sum.Malformed != tc.malformed || sum.Bytes != int64(len(text)) {
				t.Fatalf("%s: %+v", name, sum)
			}
			tokens := map[string]int{}
			for _, g := range got {
				tokens[g.RawQuery]++
				if g.Kind != Malformed {
					continue
				}
				if g.Err.Code != CodeLineTooLong || g.Length != int64(len(e2)) || g.line != e2[:DefaultLineBytes] || g.Offset != int64(strings.Index(text, e2)) {
					t.Errorf("%s: %v, %d bytes at %d", name, g.Err, g.Length, g.Offset)
				}
			}
			if tokens["t=TOK-E1"] != 1 || tokens["t=TOK-E3"] != 1 || tokens["t=TOK-E2"] != int(1-tc.malformed) {
				t.Errorf("%s: %v", name, tokens)
			}
		}
	}
}

// endless hands out n bytes without a line end.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.n)
	for i := range p[:n] {
		p[i] = 'x'
	}
	e.n -= n
	return n, nil
}

func TestMemoryIsBoundedByTheLimit(t *testing.T) {
	const limit, length = 128 << 10, 32 << 20
	for _, f := range []Format{{Name: Combined}, {Name: Logpush}} {
		s, err := NewScanner(f, Limits{LineBytes: limit})
		mustNot(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sum, err := s.Scan(io.MultiReader(strings.NewReader("["), &endless{length}), func(*Entry) error { return nil })
		mustNot(t, err)
		runtime.ReadMemStats(&after)
		if sum.Malformed != 1 || sum.Bytes != length+1 {
			t.Errorf("%s: %+v", f.Name, sum)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8*limit {
			t.Errorf("%s: %d bytes were allocated for one line of %d", f.Name, grown, length)
		}
	}
}

// TestLinesAreAccountedFor holds the reader against a plain split of the text.
func TestLinesAreAccountedFor(t *testing.T) {
	t.Parallel()
	cut := 0
	rapid.Check(t, func(rt *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{"a", "\n", "\r\n", "\r", "é", "0123456789", strings.Repeat("y", 70_000)})).Draw(rt, "pieces")
		text := "first line\n" + strings.Join(pieces, "")
		limit := rapid.IntRange(1, 100_000).Draw(rt, "limit")
		got, err := readLines(rt, strings.NewReader(text), limit)
		if !ended(err) {
			rt.Fatalf("%v", err)
		}
		want := strings.SplitAfter(text, "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		if len(got) != len(want) {
			rt.Fatalf("%d lines, want %d", len(got), len(want))
		}
		offset := int64(0)
		for i, l := range got {
			full := strings.TrimSuffix(want[i], "\n")
			if l.Length <= int64(limit) {
				full = strings.TrimSuffix(full, "\r")
			} else {
				cut++
			}
			if d := int64(len(full)) - l.Length; l.Offset != offset || d < 0 || d > 1 || string(l.Bytes) != full[:min(int64(limit), l.Length)] {
				rt.Fatalf("line %d: %d at %d, want %d at %d", i, l.Length, l.Offset, len(full), offset)
			}
			offset += int64(len(want[i]))
		}
	})
	if cut == 0 {
		t.Error("no line was too long")
	}
}

func TestReaderThatDoesNothing(t *testing.T) {
	t.Parallel()
	if _, err := NewLineReader(idle{}, 10).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }
