package edge

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func list(t testing.TB, entries ...string) *AllowList {
	t.Helper()
	a, err := NewAllowList(entries)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLandingCase09Refused(t *testing.T) {
	t.Parallel()
	a := list(t, "shop.example", "bücher.example")
	for link, want := range map[string]string{
		"https://evil-shop.example/":                               CodeOpenRedirect,
		"https://shop.example.evil.example/":                       CodeOpenRedirect,
		"https://shop.example@evil.example/":                       CodeOpenRedirect,
		"https://shop.example:80@evil.example/":                    CodeOpenRedirect,
		"//evil.example/":                                          CodeOpenRedirect,
		"//shop.example/":                                          CodeOpenRedirect,
		`/\evil.example`:                                           CodeBadURL,
		`https:\\evil.example`:                                     CodeBadURL,
		`https://evil.example\@shop.example/`:                      CodeBadURL,
		`https://shop.example\.evil.example/`:                      CodeBadURL,
		"https:/evil.example":                                      CodeOpenRedirect,
		"https:evil.example":                                       CodeOpenRedirect,
		"https:///evil.example":                                    CodeMissing,
		"\thttps://evil.example":                                   CodeBadURL,
		"https://shop.example/\n":                                  CodeBadURL,
		" https://shop.example/":                                   CodeBadURL,
		"https://shop.example/a b":                                 CodeBadURL,
		"https://shop.example\u3000/":                              CodeBadURL,
		"https://shop.example/\u0085":                              CodeBadURL,
		"java\nscript:alert(1)":                                    CodeBadURL,
		"javascript:alert(1)":                                      CodeOpenRedirect,
		"javascript://shop.example/%0aalert(1)":                    CodeOpenRedirect,
		"data:text/html,x":                                         CodeOpenRedirect,
		"https://shop.example%2eevil.example/":                     CodeOpenRedirect,
		"https://shop.example%00.evil.example/":                    CodeOpenRedirect,
		"https://shop.example:8443/":                               CodeOpenRedirect,
		"https://shop.example:0443/":                               CodeBadURL,
		"https://shop.example:99999/":                              CodeBadURL,
		"https://shop.example:/":                                   CodeBadURL,
		"https://shop.example:+443/":                               CodeBadURL,
		"http://shop.example/":                                     CodeOpenRedirect, // only https is listed
		"https://büchеr.example/":                                  CodeOpenRedirect, // Cyrillic е
		"https://xn--bchr-0ra660c.example/":                        CodeOpenRedirect,
		"http://[::1]/":                                            CodeOpenRedirect,
		"https://[::1%25eth0]/":                                    CodeOpenRedirect,
		"https://[::ffff:7f00:1]/":                                 CodeOpenRedirect,
		"https://[::1/":                                            CodeBadURL,
		"https://127.0.0.1/":                                       CodeOpenRedirect,
		"https://127.1/":                                           CodeBadHost,
		"https://0x7f.1/":                                          CodeBadHost,
		"https://0x7f000001/":                                      CodeBadHost,
		"https://2130706433/":                                      CodeBadHost,
		"https://１２７.1/":                                           CodeBadHost,
		"https://shop.example../":                                  CodeBadHost,
		"https://.shop.example/":                                   CodeBadHost,
		"https://sub.shop.example/":                                CodeOpenRedirect,
		"https://shop.example;evil.example/":                       CodeBadHost,
		"https://shop.example,evil.example/":                       CodeBadHost,
		"https://shop.example／evil.example/":                       CodeBadHost,
		"https://xn--a/":                                           CodeBadHost,
		"https://xn--80ak6aa92e.example/":                          CodeOpenRedirect,
		"https://shop.example?@evil.example":                       "",
		"https://shop.example#@evil.example":                       "",
		"":                                                         CodeMissing,
		"https://":                                                 CodeMissing,
		"https://shop.example/\xFF":                                CodeBadUTF8,
		"https://shop.example/" + strings.Repeat("a", maxURLBytes): CodeTooLong,
	} {
		location, host, err := a.Check(link)
		if code(err) != want || err != nil && location+host != "" {
			t.Errorf("%.60q: %q, %q, %v; want %q", link, location, host, err, want)
		}
		if err == nil && !strings.HasPrefix(location, "https://shop.example/") {
			t.Errorf("%q leads to %q", link, location)
		}
		if err != nil && strings.Contains(err.Error(), "evil") {
			t.Errorf("%q is echoed: %v", link, err)
		}
	}
}

func TestLandingCase09Allowed(t *testing.T) {
	t.Parallel()
	a := list(t, "shop.example", "bücher.example", "http://plain.example", "ports.example:8443", "http://old.example:8080", "192.0.2.7", "https://[2001:DB8:0::1]:444/", "r4---sn-x.example")
	const book = "xn--bcher-kva.example"
	for _, tc := range []struct{ link, location, host string }{
		{"https://shop.example/", "https://shop.example/", "shop.example"},
		{"https://SHOP.example/", "https://shop.example/", "shop.example"},
		{"HTTPS://shop.example", "https://shop.example/", "shop.example"},
		{"https://shop.example./", "https://shop.example/", "shop.example"},
		{"https://shop.example:443/a", "https://shop.example/a", "shop.example"},
		{"https://shop.example.:443?a=b", "https://shop.example/?a=b", "shop.example"},
		{"https://shop.example/?next=//evil.example", "https://shop.example/?next=//evil.example", "shop.example"},
		{"https://shop.example/?mail=a@b.example#x:1", "https://shop.example/?mail=a@b.example#x:1", "shop.example"},
		{"https://shop.example#top", "https://shop.example/#top", "shop.example"},
		{"https://shop.example/50%/%zz", "https://shop.example/50%/%zz", "shop.example"},
		{"https://shop.example/grün?q=\"<é>\"", "https://shop.example/gr%C3%BCn?q=%22%3C%C3%A9%3E%22", "shop.example"},
		{"https://bücher.example/", "https://" + book + "/", book},
		{"https://BÜCHER.example/", "https://" + book + "/", book},
		{"https://bu\u0308cher.example/", "https://" + book + "/", book},
		{"https://xn--bcher-kva.example/", "https://" + book + "/", book},
		{"https://XN--BCHER-KVA.example/", "https://" + book + "/", book},
		{"https://bücher。example/", "https://" + book + "/", book},
		{"http://plain.example/", "http://plain.example/", "plain.example"},
		{"http://plain.example:80/", "http://plain.example/", "plain.example"},
		{"https://plain.example/", "https://plain.example/", "plain.example"},
		{"https://ports.example:8443/x", "https://ports.example:8443/x", "ports.example"},
		{"https://PORTS.example:8443", "https://ports.example:8443/", "ports.example"},
		{"http://old.example:8080/", "http://old.example:8080/", "old.example"},
		{"https://192.0.2.7/", "https://192.0.2.7/", "192.0.2.7"},
		{"https://[2001:db8::1]:444/", "https://[2001:db8::1]:444/", "[2001:db8::1]"},
		{"https://[2001:db8:0:0::1]:444/", "https://[2001:db8::1]:444/", "[2001:db8::1]"},
		{"https://r4---sn-x.example/", "https://r4---sn-x.example/", "r4---sn-x.example"},
	} {
		location, host, err := a.Check(tc.link)
		if err != nil || location != tc.location || host != tc.host {
			t.Errorf("%q: %q, %q, %v; want %q, %q", tc.link, location, host, err, tc.location, tc.host)
		}
	}
	for _, link := range []string{"https://ports.example/", "http://ports.example:8443/", "http://192.0.2.7/", "https://[::ffff:192.0.2.7]/", "https://[2001:db8::1]/"} {
		if location, _, err := a.Check(link); code(err) != CodeOpenRedirect {
			t.Errorf("%q: %q, %v", link, location, err)
		}
	}
}

func TestNewAllowListRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"", "*.shop.example", "shop.example/path", "ftp://shop.example", "a@shop.example", "shop.example:http", "shop example", "10.1"} {
		if _, err := NewAllowList([]string{"ok.example", entry}); err == nil {
			t.Errorf("%q taken", entry)
		} else if !strings.Contains(err.Error(), "write shop.example") {
			t.Errorf("%q: no remedy in %v", entry, err)
		}
	}
}

func TestNormaliseHost(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"shop.example": "shop.example", "Shop.Example.": "shop.example", "localhost": "localhost", "bücher.example": "xn--bcher-kva.example",
		"192.0.2.7": "192.0.2.7", "[2001:DB8::7]": "[2001:db8::7]", "1und1.example": "1und1.example", "straße.example": "xn--strae-oqa.example",
		label + ".example": label + ".example",
		"":                 CodeMissing, ".": CodeBadHost, "a..b": CodeBadHost, "shop.example:443": CodeBadHost, "a_b.example": CodeBadHost, "-a.example": CodeBadHost, "a-.example": CodeBadHost,
		"192.0.2.07": CodeBadHost, "192.0.2": CodeBadHost, "example.1": CodeBadHost, "[192.0.2.7]": CodeBadHost, "[fe80::1%eth0]": CodeBadHost, "[": CodeBadHost, "2001:db8::7": CodeBadHost,
		"a%2eb": CodeBadHost, "a@b": CodeBadHost, "a b": CodeBadHost, "a\x00b": CodeBadHost, "bücher.example\xFF": CodeBadHost, "example\uFFFD": CodeBadHost,
		label + "a.example": CodeBadHost, strings.Repeat("abc.", 64) + "example": CodeTooLong, strings.Repeat("é", 600): CodeTooLong,
		strings.Repeat("中", 64) + ".example": CodeBadHost, "xn--" + strings.Repeat("a", 60) + ".example": CodeBadHost,
	} {
		got, err := NormaliseHost(in)
		if err != nil {
			got = err.Code
		}
		if got != want {
			t.Errorf("%.40q: %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestHostOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://Ref.example/?a=\"b\"": "ref.example", "http://ref.example:8080": "ref.example", "android-app://com.kite.app/": "com.kite.app",
		"https://[2001:db8::7]:1/": "[2001:db8::7]", "https://bücher.example#x": "xn--bcher-kva.example",
		"ref.example": CodeBadURL, "-": CodeBadURL, "https://user@ref.example/": CodeOpenRedirect, "https:///x": CodeMissing, "https://a b/": CodeBadHost,
	} {
		got, err := HostOf(in)
		if err != nil {
			got = err.Code
		}
		if got != want {
			t.Errorf("%q: %q (%v), want %q", in, got, err, want)
		}
	}
}

func FuzzLanding(f *testing.F) {
	a := list(f, "shop.example", "bücher.example", "http://plain.example:8080", "192.0.2.7")
	for _, seed := range []string{
		"https://SHOP.example./", "https://shop.example@evil.example/", `https:\\evil.example`, "https://bu\u0308cher.example/é", "https://shop.example%2eevil.example/", "http://plain.example:8080?x",
		"https://192.0.2.7/", "https://shop.example:443#@", "https://büchеr.example/", "https://１９２.0.2.7/",
	} {
		f.Add(seed)
	}
	listed := map[string]bool{"shop.example": true, "xn--bcher-kva.example": true, "plain.example": true, "192.0.2.7": true}
	f.Fuzz(func(t *testing.T, link string) {
		location, host, err := a.Check(link)
		if err != nil {
			return
		}
		if !listed[host] {
			t.Fatalf("%q: host %q", link, host)
		}
		for i := range len(location) {
			if location[i] <= ' ' || location[i] >= 0x7F || location[i] == '\\' {
				t.Fatalf("%q: location %q", link, location)
			}
		}
		again, _, err := a.Check(location)
		if err != nil || again != location {
			t.Fatalf("%q: %q becomes %q, %v", link, location, again, err)
		}
		// A second reader, after the broken percents that we leave to the page.
		u, perr := url.Parse(strings.ReplaceAll(location, "%", "%25"))
		if perr != nil || u.Hostname() != host || u.User != nil || u.Scheme != "https" && u.Host != "plain.example:8080" {
			t.Fatalf("%q: net/url reads %q as %v, %v", link, location, u, perr)
		}
	})
}

func FuzzNormaliseHost(f *testing.F) {
	for _, seed := range []string{"Shop.Example.", "bu\u0308cher.example", "xn--bcher-kva.example", "[2001:DB8::7]", "0x7f.1", "a%2eb", "１２７.0.0.1", "xn--a", "r4---sn-x.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, err := NormaliseHost(in)
		if err != nil {
			return
		}
		if again, err := NormaliseHost(host); err != nil || again != host {
			t.Fatalf("%q: %q becomes %q, %v", in, host, again, err)
		}
		if len(host) > maxHostBytes || host == "" || strings.ToLower(host) != host || utf8.RuneCountInString(host) != len(host) || strings.ContainsAny(host, " /\\?#@%_") {
			t.Fatalf("%q: %q", in, host)
		}
	})
}

func TestLandingAllocs(t *testing.T) {
	a := list(t, "shop.example", "ports.example:8443")
	for _, link := range []string{"https://shop.example/a?b=c&d=50%25#x", "https://ports.example:8443/"} {
		wantNoAllocs(t, func() {
			location, host, err := a.Check(link)
			if err != nil || location != link || host == "" {
				t.Fatal(location, host, err)
			}
		})
	}
	wantNoAllocs(t, func() {
		if _, err := HostOf("https://ref.example/path"); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkLanding(b *testing.B) {
	a := list(b, "shop.example", "bücher.example")
	for name, link := range map[string]string{"normal": "https://shop.example/a?b=c&d=50%25", "idn": "https://BÜCHER.example/"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := a.Check(link); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
