package load

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Case is a malformed request. What it names as {t} is replaced by a good token,
// {host} by the target's host and {key} by the API key, so that only the mistake
// it is about can be the reason of a refusal.
type Case struct {
	Name string
	Raw  string // the whole request; a prefix of one waits for the gateway to give up
}

// CaseReport is what became of one case.
type CaseReport struct {
	Name     string           `json:"name"`
	Sent     int64            `json:"sent"`
	Outcomes map[string]int64 `json:"outcomes"` // status, closed, timeout, no connection, not HTTP
}

// accepted counts answers that take the request for a click.
func (c *CaseReport) accepted() (n int64) {
	for outcome, k := range c.Outcomes {
		if status, err := strconv.Atoi(outcome); err == nil && recorded(status) {
			n += k
		}
	}
	return n
}

// Corpus returns malformed requests, every one of which a strict edge refuses or
// drops: request lines, framing (RFC 9112 sections 3, 5, 6 and 11.2), sizes,
// queries, bodies and requests that never end.
func Corpus() []Case {
	var all []Case
	for _, group := range [][]Case{requestLines(), headerFaults(), framingFaults(), sizes(), queries(), bodies(), partials()} {
		all = append(all, group...)
	}
	return all
}

const hostLine = "Host: {host}\r\n"

// click is a click request with a fault in its first line or its headers.
func faultyClick(line, headers string) string { return line + "\r\n" + headers + "\r\n" }

func requestLines() []Case {
	line := func(name, first string) Case { return Case{name, faultyClick(first, hostLine)} }
	return []Case{
		line("lower-case method", "get /c?t={t} HTTP/1.1"),
		line("unknown method", "BREW /c?t={t} HTTP/1.1"),
		line("DELETE", "DELETE /c?t={t} HTTP/1.1"),
		line("CONNECT", "CONNECT {host} HTTP/1.1"),
		line("HTTP/0.9", "GET /c?t={t}"),
		line("HTTP/2.0", "GET /c?t={t} HTTP/2.0"),
		line("HTTP/9.9", "GET /c?t={t} HTTP/9.9"),
		line("version in lower case", "GET /c?t={t} http/1.1"),
		line("version without number", "GET /c?t={t} HTTP/"),
		line("no target", "GET HTTP/1.1"),
		line("space in the target", "GET /c?t={t}& x HTTP/1.1"),
		line("no method", " /c?t={t} HTTP/1.1"),
		line("dots in the path", "GET /x/../c?t={t} HTTP/1.1"),
		line("encoded path", "GET /%63?t={t} HTTP/1.1"),
		{"TLS on the plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"},
		{"PROXY v1 from a stranger", "PROXY TCP4 203.0.113.1 192.0.2.1 1 2\r\n" + faultyClick("GET /c?t={t} HTTP/1.1", hostLine)},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	}
}

func headerFaults() []Case {
	header := func(name, headers string) Case { return Case{name, faultyClick("GET /c?t={t} HTTP/1.1", headers)} }
	return []Case{
		header("no Host", "X: y\r\n"),
		header("two Hosts", hostLine+hostLine),
		header("folded header", hostLine+"X-A: b\r\n c\r\n"),
		header("header folded by a tab", hostLine+"X-A: b\r\n\tc\r\n"),
		header("header without colon", hostLine+"nonsense\r\n"),
		header("empty header name", hostLine+": b\r\n"),
		header("NUL in a header", hostLine+"X: a\x00b\r\n"),
		header("bare CR in a header", hostLine+"X: a\rb\r\n"),
		header("space before the colon", hostLine+"X : y\r\n"),
	}
}

const item = `{"id":"00000000-0000-7000-8000-000000000000","ip":"192.0.2.1"}`

// post is a batch; more are further headers.
func post(name, more, body string) Case {
	return Case{name, "POST /v1/clicks HTTP/1.1\r\n" + hostLine + "Authorization: Bearer {key}\r\nContent-Type: application/json\r\n" + more + "\r\n" + body}
}

func framingFaults() []Case {
	length := fmt.Sprintf("Content-Length: %d\r\n", len(item))
	const coding = "Transfer-Encoding: chunked\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(item), item)
	return []Case{
		post("chunked", coding, chunked),
		post("length, then chunked", length+coding, chunked),
		post("chunked, then length", coding+length, chunked),
		post("identity coding", length+"Transfer-Encoding: identity\r\n", item),
		post("coding in other letters", length+"tRANSFER-encoding: identity\r\n", item),
		post("gzip coding", length+"Transfer-Encoding: gzip, chunked\r\n", item),
		post("two codings", coding+coding, chunked),
		post("space before the coding's colon", length+"Transfer-Encoding : chunked\r\n", chunked),
		post("two equal lengths", length+length, item),
		post("two different lengths", length+"Content-Length: 1\r\n", item),
		post("list of lengths", fmt.Sprintf("Content-Length: %d, %d\r\n", len(item), len(item)), item),
		post("negative length", "Content-Length: -1\r\n", item),
		post("signed length", fmt.Sprintf("Content-Length: +%d\r\n", len(item)), item),
		post("length in hex", "Content-Length: 0x10\r\n", item),
		post("huge length", "Content-Length: 99999999999999999999\r\n", item),
		post("broken chunk size", coding, "zz\r\n"+item+"\r\n0\r\n\r\n"),
		{"body on GET", faultyClick("GET /c?t={t} HTTP/1.1", hostLine+"Content-Length: 1\r\n") + "x"},
	}
}

func sizes() []Case {
	return []Case{
		{"header of 9 kB", faultyClick("GET /c?t={t} HTTP/1.1", hostLine+"X: "+strings.Repeat("x", 9000)+"\r\n")},
		{"target of 9 kB", faultyClick("GET /c?t={t}&x="+strings.Repeat("x", 9000)+" HTTP/1.1", hostLine)},
		{"10,000 headers", faultyClick("GET /c?t={t} HTTP/1.1", hostLine+strings.Repeat("A: b\r\n", 10_000))},
		post("length over the limit", "Content-Length: 1048577\r\n", ""),
		{"129 parameters", faultyClick("GET /c?t={t}"+strings.Repeat("&a=b", 128)+" HTTP/1.1", hostLine)},
	}
}

func queries() []Case {
	query := func(name, q string) Case { return Case{name, faultyClick("GET /c?"+q+" HTTP/1.1", hostLine)} }
	return []Case{
		query("broken percent in the landing", "t={t}&u=https%3A%2F%2Fshop.example%2F%zz"),
		query("cut percent in the landing", "t={t}&u=https%3A%2F%2Fshop.example%2F%"),
		query("token twice", "t={t}&t={t}"),
		query("token cut short", "t=AQAAAAE"),
		query("token with padding", "t={t}=="),
		query("broken percent in the token", "t={t}%zz"),
		query("landing of another host", "t={t}&u=https%3A%2F%2Fevil.example%2F"),
		query("neither token nor source", "x=y"),
	}
}

func bodies() []Case {
	body := func(name, text string) Case {
		return post(name, fmt.Sprintf("Content-Length: %d\r\n", len(text)), text)
	}
	return []Case{
		body("empty batch body", ""),
		body("no JSON", "hello"),
		body("UTF-16", "\xff\xfe[\x00]\x00"),
		post("gzip body", "Content-Encoding: gzip\r\nContent-Length: 4\r\n", "\x1f\x8b\x08\x00"),
		{"batch without a key", "POST /v1/clicks HTTP/1.1\r\n" + hostLine + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(item)) + item},
		{"JSON to the beacon", "POST /b HTTP/1.1\r\n" + hostLine + "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"t\":1}"},
	}
}

// partials are requests of which the rest never comes.
func partials() []Case {
	return []Case{
		{"nothing but a method", "GET"},
		{"half a request line", "GET /c?t={t}"},
		{"headers without end", "GET /c?t={t} HTTP/1.1\r\n" + hostLine + "X-A: b\r\n"},
		post("half a body", "Content-Length: 60000\r\n", item),
	}
}

// filled is the case with a token, a host and a key in place.
func (c *Case) filled(host string, m *material) []byte {
	token := "AQAAAAE"
	if len(m.reused) > 0 {
		token = string(m.reused[0].text)
	}
	return []byte(strings.NewReplacer("{t}", token, "{host}", host, "{key}", m.sender.APIKey).Replace(c.Raw))
}

// provoke sends raw bytes on a connection of their own and returns what came back.
func provoke(ctx context.Context, dial Dialer, address string, raw []byte, timeout time.Duration, now time.Time) (answer, error) {
	c := &client{dial: dial, address: address, timeout: timeout}
	if err := c.ready(ctx, now); err != nil {
		return answer{}, err
	}
	defer c.shut()
	return c.do(raw, now)
}

// outcome names what came back in a table.
func outcome(a answer, err error) string {
	if f := failureOf(err); f != answered {
		return failureNames[f]
	}
	return strconv.Itoa(a.status)
}
