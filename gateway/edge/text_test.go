package edge

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/currency"
)

func TestCheckText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "slot\r\n7": "", "🍋": "", strings.Repeat("é", 10): "", strings.Repeat("é", 10) + "x": CodeTooLong,
		"a\x00": CodeNULByte, "a\xC3\x28": CodeBadUTF8, "\xED\xA0\xBC": CodeBadUTF8,
	} {
		err := CheckText("placement_id", in, 20)
		if code(err) != want || err != nil && err.Field != "placement_id" {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestCheckID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"cmp-481": "", "a/b:c|d~{e}": "", strings.Repeat("a", 128): "", strings.Repeat("a", 129): CodeTooLong,
		"": CodeMissing, "a b": CodeBadID, "a\n": CodeBadID, "a\x00": CodeBadID, "é": CodeBadID, "a\x7F": CodeBadID, "\xFF": CodeBadID,
	} {
		if err := CheckID("campaign_id", in); code(err) != want {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestCheckCountryAndCurrency(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{"DE": true, "XK": true, "de": false, "DEU": false, "": false, "D": false, "D1": false, "ÄÖ": false} {
		if err := CheckCountry("country", in); (err == nil) != ok {
			t.Errorf("country %q: %v", in, err)
		}
	}
	for in, ok := range map[string]bool{
		"EUR": true, "USD": true, "JPY": true, "KWD": true, "XCG": true, "ZWG": true, "AED": true,
		"X": false, "": false, "eur": false, "EURO": false, "XAU": false, "XXX": false, "DEM": false, "HRK": false, "BGN": false, "ED ": false, "D A": false, "UR ": false,
	} {
		if err := CheckCurrency("currency", in); (err == nil) != ok {
			t.Errorf("currency %q: %v", in, err)
		}
	}
}

// The table against a second source. The source is older than some codes.
func TestCurrencyTable(t *testing.T) {
	t.Parallel()
	newer := map[string]bool{"MRU": true, "SLE": true, "VES": true, "VED": true, "XCG": true, "ZWG": true}
	codes := strings.Fields(currencies)
	if len(codes) < 150 || len(currencies) != 4*len(codes) {
		t.Fatalf("%d codes in %d bytes", len(codes), len(currencies))
	}
	for i, c := range codes {
		if i > 0 && codes[i-1] >= c {
			t.Errorf("%s is out of order", c)
		}
		if _, err := currency.ParseISO(c); err != nil && !newer[c] {
			t.Errorf("%s is unknown to CLDR", c)
		}
		mustNot(t, CheckCurrency("currency", c))
	}
	// The other way round: what CLDR calls a tender of today is in the table,
	// save for what has been withdrawn since.
	withdrawn := map[string]bool{"BGN": true, "HRK": true, "ANG": true, "CUC": true, "SLL": true, "ZWL": true, "BYR": true, "STD": true, "MRO": true, "VEF": true}
	seen := 0
	for it := currency.Query(); it.Next(); {
		c := it.Unit().String()
		if !it.IsTender() || withdrawn[c] {
			continue
		}
		seen++
		if err := CheckCurrency("currency", c); err != nil {
			t.Errorf("%s of %s is missing", c, it.Region())
		}
	}
	if seen < 150 {
		t.Errorf("CLDR named only %d tenders", seen)
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"🍋🍋", 7, "🍋"}, {"🍋", 3, ""}, {"🍋", 0, ""}, {"abc", -1, ""}, {"", -9, ""},
	} {
		if got, cut := Truncate(tc.in, tc.limit); got != tc.want || cut != (got != tc.in) {
			t.Errorf("%q to %d: %q, %v; want %q", tc.in, tc.limit, got, cut, tc.want)
		}
	}
	long := "https://ref.example/?q=" + strings.Repeat("é", 35_000)
	if got, cut := Truncate(long, 2048); !cut || !utf8.ValidString(got) || len(got) < 2045 {
		t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"slot\r\n7", "Kite/1 🍋", "a\x00", "\xC3\x28", "\xBF\xBF\xBF\xBF\xBF\xBF"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		got, cut := Truncate(s, limit)
		if !strings.HasPrefix(s, got) || cut != (len(got) < len(s)) || limit >= 0 && (len(got) > limit || cut && len(got) < limit-utf8.UTFMax) {
			t.Fatalf("Truncate(%q, %d) = %q, %v", s, limit, got, cut)
		}
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Fatalf("Truncate(%q, %d) = %q splits a character", s, limit, got)
		}
		if CheckText("f", s, limit) == nil && (!utf8.ValidString(s) || strings.Contains(s, "\x00") || len(s) > limit) {
			t.Fatalf("CheckText takes %q", s)
		}
		if CheckID("f", s) == nil && printable(s) != s {
			t.Fatalf("CheckID takes %q", s)
		}
	})
}

// printable returns what is left of s after everything but printable ASCII is removed.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7F {
			return r
		}
		return -1
	}, s)
}
