package edge

import (
	"testing"

	"pgregory.net/rapid"
)

func TestCheckUnlisted(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct {
		location, host string
		code           string
	}{
		"https://shop.example/p?x=1":       {"https://shop.example/p?x=1", "shop.example", ""},
		"http://shop.example":              {"http://shop.example/", "shop.example", ""},
		"HTTPS://Shop.Example:443/a b":     {"", "", CodeBadURL},
		"HTTPS://Shop.Example:443/a\"b":    {"https://shop.example/a%22b", "shop.example", ""},
		"https://shop.example:8443/":       {"https://shop.example:8443/", "shop.example", ""},
		"https://bücher.example/x":         {"https://xn--bcher-kva.example/x", "xn--bcher-kva.example", ""},
		"https://[2001:DB8::1]/":           {"https://[2001:db8::1]/", "[2001:db8::1]", ""},
		"https://me@shop.example/":         {"", "", CodeOpenRedirect},
		"javascript:alert(1)":              {"", "", CodeOpenRedirect},
		"//shop.example/":                  {"", "", CodeOpenRedirect},
		"https://shop.example\\@evil.test": {"", "", CodeBadURL},
		"https://127.1/":                   {"", "", CodeBadHost},
		"https:///x":                       {"", "", CodeMissing},
		"":                                 {"", "", CodeMissing},
	} {
		location, host, err := CheckUnlisted(raw)
		code := ""
		if err != nil {
			code = err.Code
		}
		if location != want.location || host != want.host || code != want.code {
			t.Errorf("%q: %q, %q, %q; want %+v", raw, location, host, code, want)
		}
	}
}

// A link is unlisted but readable exactly when a list of its own place takes it,
// and with the same result.
func TestUnlistedIsAListOfItsOwn(t *testing.T) {
	t.Parallel()
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		scheme := rapid.SampledFrom([]string{"https", "http", "HTTP", "ftp", ""}).Draw(t, "scheme")
		authority := rapid.OneOf(
			rapid.StringMatching(`[a-zA-Z0-9.:@%\[\]-]{0,12}(\.example)?(:[0-9]{1,5})?`),
			rapid.StringMatching(`[a-zA-Z0-9]{1,12}\.example`), // so that enough of them are good
		).Draw(t, "authority")
		rest := rapid.StringMatching(`([/?#][a-z"<\\ ?#/%]{0,8})?`).Draw(t, "rest")
		raw := scheme + "://" + authority + rest
		list, failed := NewAllowList([]string{scheme + "://" + authority})
		if failed != nil {
			list = &AllowList{}
		}
		wantLocation, wantHost, want := list.Check(raw)
		location, host, err := CheckUnlisted(raw)
		if (err == nil) != (want == nil) || location != wantLocation || host != wantHost {
			t.Fatalf("%q: %q, %q, %v; by a list %q, %q, %v", raw, location, host, err, wantLocation, wantHost, want)
		}
		if err == nil {
			taken++
		}
	})
	if taken < 10 {
		t.Errorf("only %d links were taken", taken)
	}
}

func TestUnlistedAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := CheckUnlisted("https://shop.example/spring?x=1"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
