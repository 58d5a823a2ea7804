package gateway

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp/fasthttputil"
)

// FuzzRequest sends raw bytes as one connection. Nothing may panic, every answer
// must be HTTP, a redirect may only lead where a token or the list says, and
// what must be refused must not be answered with success.
func FuzzRequest(f *testing.F) {
	r := newIdleRig(f, nil)
	log := &nullLog{}
	r.srv.dep.Log, r.srv.dep.Scorer = log, nullScorer{}
	r.srv.outcomes = newOutcomePool(log, r.srv.lost)
	for _, seed := range []string{
		request("GET", "/c?t="+r.mint(nil), ""),
		request("HEAD", "/c?s=pub-acme&u=https://shop.example/", ""),
		request("GET", "/c?s=pub-acme&u=https://evil.example/", ""),
		request("POST", "/b", "s=pub-acme&cmp=cmp-1"),
		request("POST", "/v1/clicks", itemJSON(t0, 1, "")+"\n"+itemJSON(t0, 2, `,"x":1`), "Authorization: Bearer "+acmeKey, "Idempotency-Key: k"),
		request("POST", "/v1/clicks", "["+itemJSON(t0, 1, "")+"]", "Authorization: Bearer "+acmeKey),
		request("POST", "/v1/impressions", impressionJSON(1, ""), "Authorization: Bearer "+acmeKey, "Idempotency-Key: k"),
		request("POST", "/v1/conversions", "["+conversionJSON(1, `,"transaction_id":"t"`)+"]", "Authorization: Bearer "+acmeKey),
		"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ns=a\r\n0\r\n\r\n",
		"GET /c HTTP/9.9\r\nHost: a\r\n\r\n",
		"GET /b?s=pub-acme HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pipe := fasthttputil.NewPipeConns()
		server, client := pipe.Conn1(), pipe.Conn2()
		client.Write(raw)
		client.Close()
		answers := &recorder{}
		// The pipe ends for reading after raw; answers are caught on their way out.
		r.srv.http.ServeConn(recordingConn{peerConn{server, addrFor(peerAddr)}, answers})
		if logged := r.logged.String(); logged != "" { // the only thing logged is a panic
			t.Fatal(logged)
		}
		br := bufio.NewReader(&answers.b)
		first := true
		for {
			a, err := readReply(br, first && bytes.HasPrefix(raw, []byte("HEAD ")))
			if err != nil {
				break
			}
			location := a.header.Get("Location")
			if a.status == 302 != (location != "") || location != "" && !strings.HasPrefix(location, "https://shop.example/") && !strings.HasPrefix(location, "https://xn--bcher-kva.example/") {
				t.Fatalf("%d to %q", a.status, location)
			}
			if first && a.status < 400 && mustRefuse(raw) {
				t.Fatalf("%d for a request that must be refused", a.status)
			}
			first = false
		}
	})
}

// mustRefuse judges the first request of a connection with another eye than the
// handler's: by its text alone.
func mustRefuse(raw []byte) bool {
	lines := strings.Split(strings.ReplaceAll(string(bytes.TrimLeft(raw, "\r\n")), "\r\n", "\n"), "\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 || parts[0] != "GET" && parts[0] != "HEAD" && parts[0] != "POST" || parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0" {
		return true
	}
	for _, l := range lines[1:] {
		if l == "" {
			break
		}
		if strings.HasPrefix(strings.ToLower(l), "transfer-encoding:") || strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") {
			return true
		}
	}
	return false
}

type recorder struct{ b bytes.Buffer }

type recordingConn struct {
	peerConn
	to *recorder
}

func (c recordingConn) Write(p []byte) (int, error) { return c.to.b.Write(p) }

// TestMustRefuseIsStrict proves the fuzz target's judge with known mistakes.
func TestMustRefuseIsStrict(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"GET /c HTTP/1.1\r\nHost: a\r\n\r\n":                                false,
		"POST /b HTTP/1.0\r\nContent-Length: 1\r\n\r\nx":                    false,
		"get /c HTTP/1.1\r\nHost: a\r\n\r\n":                                true,
		"GET /c HTTP/1.2\r\nHost: a\r\n\r\n":                                true,
		"GET /c HTTP/1.1\r\nTRANSFER-ENCODING: identity\r\nHost: a\r\n\r\n": true,
		"GET /c HTTP/1.1\r\nHost: a\r\n b\r\n\r\n":                          true,
	} {
		if got := mustRefuse([]byte(raw)); got != want {
			t.Errorf("%q: %v", raw, got)
		}
	}
}

var _ io.Writer = recordingConn{}
