package edge

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var clickParams = []string{"t", "u", "pub", "sub"}

func pairs(q *Query) (out []string) {
	for _, p := range q.Pairs {
		out = append(out, p.Key+"="+p.Value)
	}
	return out
}

func TestQueryCase10(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		raw  string
		want []string
		code string
	}{
		{"t=TOK-N1&q=red;blue&pct=50%&bad=%zz&plus=a+b&sub=", []string{"t=TOK-N1", "q=red;blue", "pct=50%", "bad=%zz", "plus=a b", "sub="}, ""},
		{"t=TOK-N2&pub=p7;t=TOK-N9", []string{"t=TOK-N2", "pub=p7;t=TOK-N9"}, ""},
		{"t=TOK-N3&t=TOK-N4", []string{"t=TOK-N3"}, CodeRepeatedParameter},
		{"t=TOK-N3&%74=TOK-N4", []string{"t=TOK-N3"}, CodeRepeatedParameter},
		{"t=TOK-N3&t", []string{"t=TOK-N3"}, CodeRepeatedParameter},
		{"1234&t=TOK-N5&&=x&t2", []string{"1234=", "t=TOK-N5", "t2="}, ""},
		{"", nil, ""}, {"&&&", nil, ""}, {"=", nil, ""},
		{"q=1&q=2&q=1", []string{"q=1", "q=2", "q=1"}, ""},
		{"t=a=b=c", []string{"t=a=b=c"}, ""},
		{"a=%", []string{"a=%"}, ""}, {"a=%4", []string{"a=%4"}, ""}, {"a=%4g", []string{"a=%4g"}, ""},
		{"a=%%41", []string{"a=%A"}, ""}, {"a=%2541", []string{"a=%41"}, ""},
		{"a%3Db=c%26d", []string{"a=b=c&d"}, ""},
		{"T=1&t=2", []string{"T=1", "t=2"}, ""},
		{"pub=%C3%28", nil, CodeBadUTF8}, {"pub=\xC3\x28", nil, CodeBadUTF8},
		{"pub=a%00b", nil, CodeNULByte}, {"pub=a\x00b", nil, CodeNULByte},
		{"x=%C3%28&y=%00", []string{"x=\xC3\x28", "y=\x00"}, ""},
		{"pub=%F0%9F%8D%8B", []string{"pub=🍋"}, ""},
		{strings.Repeat("a&", MaxQueryPairs) + "t=1", slices.Repeat([]string{"a="}, MaxQueryPairs), CodeTooMany},
		{strings.Repeat("a", MaxQueryBytes+1), nil, CodeTooLong},
	} {
		var q Query
		err := q.Parse([]byte(tc.raw), clickParams)
		if code(err) != tc.code || !slices.Equal(pairs(&q), tc.want) {
			t.Errorf("%.60q: %q, %v; want %q, %q", tc.raw, pairs(&q), err, tc.want, tc.code)
		}
	}
}

func TestQueryGet(t *testing.T) {
	t.Parallel()
	var q Query
	mustNot(t, q.Parse([]byte("sub=&t=TOK-N1&x=1"), clickParams))
	for i, want := range []struct {
		value string
		ok    bool
	}{{"TOK-N1", true}, {"", false}, {"", false}, {"", true}} {
		if value, ok := q.Get(i); value != want.value || ok != want.ok {
			t.Errorf("%s: %q, %v; want %v", clickParams[i], value, ok, want)
		}
	}
	err := q.Parse([]byte("pub=1&pub=2"), clickParams)
	if code(err) != CodeRepeatedParameter || err.Field != "pub" {
		t.Error(err)
	}
	mustNot(t, q.Parse([]byte("t=%41+b"), clickParams))
	if got := pairs(&q); !slices.Equal(got, []string{"t=A b"}) {
		t.Errorf("reuse gives %q", got)
	}
}

// slowQuery states the rule of Parse in the plainest way.
func slowQuery(raw string) (out []string) {
	for piece := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(piece, "=")
		if key != "" {
			out = append(out, slowDecode(key)+"="+slowDecode(value))
		}
	}
	return out
}

func slowDecode(s string) string {
	if s == "" {
		return ""
	}
	if s[0] == '%' && len(s) >= 3 {
		if b, err := hex.DecodeString(s[1:3]); err == nil {
			return string(b) + slowDecode(s[3:])
		}
	}
	if s[0] == '+' {
		return " " + slowDecode(s[1:])
	}
	return s[:1] + slowDecode(s[1:])
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"t=TOK-N1&q=red;blue&pct=50%&bad=%zz&plus=a+b&sub=", "t=TOK-N2&pub=p7;t=TOK-N9", "t=TOK-N3&t=TOK-N4", "1234&t=TOK-N5&&=x&t2", "%74=1&t=2", "a=%C3%28&b=%00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q Query
		err := q.Parse(raw, clickParams)
		if code(err) == CodeTooLong {
			return
		}
		got, want := pairs(&q), slowQuery(string(raw))
		if err == nil && !slices.Equal(got, want) || len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("%q: %q, want %q", raw, got, want)
		}
		seen := map[int]bool{-1: false}
		for _, p := range q.Pairs {
			if p.Known < 0 {
				continue
			}
			if seen[p.Known] || clickParams[p.Known] != p.Key || !utf8.ValidString(p.Value) || strings.Contains(p.Value, "\x00") {
				t.Fatalf("%q: bad known parameter %+v", raw, p)
			}
			seen[p.Known] = true
		}
	})
}

// On queries that net/url can read, both agree.
func TestQueryAgreesWithStandard(t *testing.T) {
	t.Parallel()
	tried := 0
	rapid.Check(t, func(r *rapid.T) {
		want := url.Values{}
		for k, vs := range rapid.MapOfN(rapid.StringN(1, 8, -1), rapid.SliceOfN(rapid.String(), 1, 3), 0, 6).Draw(r, "values") {
			want[k] = vs
		}
		var q Query
		if err := q.Parse([]byte(want.Encode()), nil); err != nil {
			r.Skip(err) // beyond a limit
		}
		got := url.Values{}
		for _, p := range q.Pairs {
			got.Add(p.Key, p.Value)
		}
		if got.Encode() != want.Encode() {
			r.Fatalf("%q, want %q", got, want)
		}
		tried++
	})
	if tried < 50 {
		t.Errorf("only %d queries tried", tried)
	}
}

var clickQuery = []byte("t=" + strings.Repeat("Zm9vYmFy", 40) + "&u=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc&sub=red+blue&pub=p7&x=1")

func TestQueryAllocs(t *testing.T) {
	var q Query
	wantNoAllocs(t, func() {
		if err := q.Parse(clickQuery, clickParams); err != nil {
			t.Fatal(err)
		}
	})
	if u, _ := q.Get(1); u != "https://shop.example/a?b=c" {
		t.Error(u)
	}
}

func BenchmarkQuery(b *testing.B) {
	var q Query
	b.ReportAllocs()
	b.SetBytes(int64(len(clickQuery)))
	for b.Loop() {
		if err := q.Parse(clickQuery, clickParams); err != nil {
			b.Fatal(err)
		}
	}
}

// As many parameters as the limit allows, all of them escaped.
func BenchmarkQueryHostile(b *testing.B) {
	var raw strings.Builder
	for i := range MaxQueryPairs {
		fmt.Fprintf(&raw, "%s=%%41%d&", strings.Repeat("%61", 9), i)
	}
	in := []byte(raw.String())
	var q Query
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Parse(in, clickParams); err != nil {
			b.Fatal(err)
		}
	}
}
