package edge

import (
	"strings"
	"testing"
)

// The order is that of the headers that count, whatever stands between them, however
// they are written, and however often they come.
func TestHeaderOrder(t *testing.T) {
	t.Parallel()
	const chrome = "Host: clk.example\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"124\"\r\nsec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\n" +
		"User-Agent: Mozilla/5.0: x\r\nAccept: text/html\r\nSec-Fetch-Site: cross-site\r\nReferer: https://news.example/\r\nAccept-Encoding: gzip\r\nAccept-Language: de\r\n"
	want := HeaderOrder([]byte(chrome))
	if want != 0o512643 {
		t.Errorf("Chrome's order is %o", want)
	}
	for name, same := range map[string]string{
		"in lower case":  strings.ToLower(chrome),
		"a cookie":       strings.Replace(chrome, "Accept: ", "Cookie: accept: x\r\nAccept: ", 1),
		"one twice":      chrome + "Accept: again\r\n",
		"no carriage":    strings.ReplaceAll(chrome, "\r", ""),
		"no end of line": strings.TrimSuffix(chrome, "\r\n"),
	} {
		if got := HeaderOrder([]byte(same)); got != want {
			t.Errorf("%s: %o, want %o", name, got, want)
		}
	}
	for name, other := range map[string]string{
		"two changed places": strings.Replace(chrome, "Accept-Encoding: gzip\r\nAccept-Language: de", "Accept-Language: de\r\nAccept-Encoding: gzip", 1),
		"one is missing":     strings.Replace(chrome, "Accept-Language: de\r\n", "", 1),
		"nothing":            "",
		"no header":          "Host: clk.example\r\nAccept text\r\n",
	} {
		if got := HeaderOrder([]byte(other)); got == want || len(other) < 40 && got != 0 {
			t.Errorf("%s: %o", name, got)
		}
	}
}

func TestHeaderOrderAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	raw := []byte("Host: x\r\nUser-Agent: y\r\nAccept: z\r\n")
	if n := testing.AllocsPerRun(100, func() {
		if HeaderOrder(raw) != 0o12 {
			t.Error("the order is another")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzHeaderOrder(f *testing.F) {
	f.Add([]byte("User-Agent: x\r\naccept: y\r\n"))
	f.Add([]byte(":\n:accept:\nACCEPT:"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		order, seen := HeaderOrder(raw), 0
		if order >= 1<<(orderBits*len(ordered)) {
			t.Fatalf("%o has more than each once", order)
		}
		for ; order != 0; order >>= orderBits {
			n := int(order & (1<<orderBits - 1))
			if n < 1 || n > len(ordered) || seen&(1<<n) != 0 {
				t.Fatalf("%d in the order of %q", n, raw)
			}
			seen |= 1 << n
		}
	})
}
