package rawlog

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// noise is a text that hardly shrinks.
func noise(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + rng.IntN(90))
	}
	return string(b)
}

func TestDecompress(t *testing.T) {
	t.Parallel()
	a, b := noise(100_000), noise(50_000)
	pa, pb := string(packed(t, a)), string(packed(t, b))
	damaged := pa[:len(pa)/2] + "\xFF\x00\xFF\x00" + pa[len(pa)/2+4:]
	named := "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03name.without.end"
	for name, tc := range map[string]struct {
		in, want string // want: all of it, or what it begins with after an error
		code     string
		verified int64
	}{
		"plain":                    {a, a, "", 0},
		"empty":                    {"", "", "", 0},
		"one byte":                 {"\x1f", "\x1f", "", 0},
		"one member":               {pa, a, "", 0},
		"two members":              {pa + pb, a + b, "", 0},
		"members of nothing":       {string(packed(t, "")) + pa + string(packed(t, "")), a, "", 0},
		"magic alone":              {"\x1f\x8b", "", CodeGzipTruncated, 0},
		"cut in a name":            {named, "", CodeGzipTruncated, 0},
		"cut in the second's name": {pa + named, a, CodeGzipTruncated, 100_000},
		"cut in the data":          {pa[:len(pa)/2], a[:20_000], CodeGzipTruncated, 0},
		"cut in the checksum":      {pa[:len(pa)-2], a, CodeGzipTruncated, 0},
		"cut in the second":        {pa + pb[:len(pb)/2], a, CodeGzipTruncated, 100_000},
		"wrong checksum":           {pa[:len(pa)-8] + "\x00\x00\x00\x00" + pa[len(pa)-4:], a, CodeGzipDamaged, 0},
		"damaged data":             {damaged, a[:20_000], CodeGzipDamaged, 0},
		"garbage behind":           {pa + "plain text behind", a, CodeGzipDamaged, 100_000},
		"other method":             {"\x1f\x8b\x07" + pa[3:], "", CodeGzipDamaged, 0},
	} {
		s := Decompress(iotest.HalfReader(strings.NewReader(tc.in)), Limits{})
		got, err := io.ReadAll(s)
		if tc.code == "" {
			if err != nil || string(got) != tc.want || s.Good() != int64(len(got)) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			continue
		}
		var broken *StreamError
		if !errors.As(err, &broken) || broken.Code != tc.code || broken.Good != int64(len(got)) || broken.Verified != tc.verified {
			t.Errorf("%s: %d bytes, %+v", name, len(got), err)
		}
		if all := a + b; !strings.HasPrefix(string(got), tc.want) || tc.code == CodeGzipTruncated && !strings.HasPrefix(all, string(got)) {
			t.Errorf("%s: the %d bytes before the end are not the right ones", name, len(got))
		}
		if _, again := s.Read(make([]byte, 1)); !errors.Is(again, err) {
			t.Errorf("%s: another read gives %v", name, again)
		}
	}
}

func TestDecompressBounds(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 10<<20)
	bomb := string(packed(t, zeros))
	for name, tc := range map[string]struct {
		in     string
		limits Limits
		good   int64
		code   string
	}{
		"size to the byte":   {"0123456789", Limits{StreamBytes: 10}, 10, ""},
		"one byte more":      {"0123456789x", Limits{StreamBytes: 10}, 10, CodeTooLarge},
		"packed":             {string(packed(t, "0123456789x")), Limits{StreamBytes: 10}, 10, CodeTooLarge},
		"bomb":               {bomb, Limits{}, -1, CodeRatio},
		"bomb by size":       {bomb, Limits{Ratio: Unbounded, StreamBytes: 1 << 20}, 1 << 20, CodeTooLarge},
		"unbounded":          {bomb, Limits{Ratio: Unbounded, StreamBytes: Unbounded}, 10 << 20, ""},
		"ratio allowed":      {bomb, Limits{Ratio: 1100}, 10 << 20, ""},
		"small and high":     {string(packed(t, zeros[:4<<20])), Limits{}, 4 << 20, ""},
		"plain has no ratio": {zeros, Limits{Ratio: 1}, 10 << 20, ""},
	} {
		s := Decompress(strings.NewReader(tc.in), tc.limits)
		n, err := io.Copy(io.Discard, s)
		var broken *StreamError
		errors.As(err, &broken)
		if (broken != nil) != (tc.code != "") || broken != nil && broken.Code != tc.code || tc.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if tc.good >= 0 && n != tc.good || tc.good < 0 && (n < ratioFloor || n > ratioFloor+64<<10) {
			t.Errorf("%s: %d bytes came through", name, n)
		}
	}
}

func TestSourceErrorsPassThrough(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection lost")
	text := clickLine("TOK-1", "-") + "\n" + clickLine("TOK-2", "-") + "\n"
	for name, start := range map[string]string{"plain": text[:len(text)-10], "gzip": string(packed(t, text))[:80], "nothing": ""} {
		sum, err := Scan(io.MultiReader(strings.NewReader(start), iotest.ErrReader(cause)), Format{Name: Combined}, Limits{}, func(*Entry) error { return nil })
		if !errors.Is(err, cause) || name == "plain" && (sum.Lines != 1 || sum.Broken != int64(len(clickLine("TOK-2", "-"))-9)) {
			t.Errorf("%s: %v %+v", name, err, sum)
		}
		balanced(t, sum)
	}
}
