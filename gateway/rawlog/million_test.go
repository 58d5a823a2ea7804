package rawlog

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// linesEnv is how many lines of every format TestManyLines reads; `make bench-logs`
// sets a million.
const linesEnv = "CLICKGATE_BENCH_LOG_LINES"

const (
	manyRounds = 5
	// heapSlack is by how much a log of ten times the lines may raise the peak of the
	// heap: what a scan keeps does not depend on its length.
	heapSlack = 4 << 20
)

// madeAgents are those of made lines.
var madeAgents = []string{
	"Mozilla/5.0 (Linux; Android 14; Kite 3) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Mobile Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
	"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
}

// madeLine is a click whose every value comes from its number, so that equal
// numbers of lines are equal bytes.
type madeLine struct {
	n             int
	time          time.Time
	ip            string
	agent         string
	query, source string
	id            uint64
}

func makeLine(n int) madeLine {
	rng := rand.New(rand.NewPCG(uint64(n), 20261110))
	return madeLine{
		n: n, time: time.Unix(1_790_000_000+int64(n/200), 0).UTC(), id: rng.Uint64(),
		ip:     fmt.Sprintf("198.%d.%d.%d", 18+rng.IntN(2), rng.IntN(256), rng.IntN(256)),
		agent:  madeAgents[rng.IntN(len(madeAgents))],
		query:  fmt.Sprintf("t=TOK-%016x%016x&sub=%d&plc=slot+%d", rng.Uint64(), rng.Uint64(), rng.IntN(1000), rng.IntN(10)),
		source: fmt.Sprintf("https://news.example/%d/article-%d.html", 2020+rng.IntN(7), rng.IntN(100_000)),
	}
}

// madeLogs writes the lines of every format, behind its head.
var madeLogs = []struct {
	format Format
	write  func(w io.Writer, l madeLine) (int, error)
	head   string
}{
	{Format{Name: Combined}, func(w io.Writer, l madeLine) (int, error) {
		return fmt.Fprintf(w, "%s - - [%s] \"GET /c?%s HTTP/1.1\" 302 0 \"%s\" \"%s\"\n", l.ip, l.time.Format("02/Jan/2006:15:04:05 -0700"), l.query, l.source, l.agent)
	}, ""},
	{Format{Name: W3C}, func(w io.Writer, l madeLine) (int, error) {
		return fmt.Fprintf(w, "%s\t%s\t%s\tGET\tclk.example\t/c\t302\t%s\t%s\t%s\t%016x\n", l.time.Format(time.DateOnly), l.time.Format(time.TimeOnly), l.ip, l.source, escapeSpaces(l.agent), l.query, l.id)
	}, "#Version: 1.0\n#Fields: date time c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query x-edge-request-id\n"},
	{Format{Name: JSON, Unit: UnitSeconds, Absent: []string{"-"}, Decode: map[string]int{"user_agent": 1},
		Keys: map[string]string{"request_id": "reqId", "time": "reqTimeSec", "ip": "cliIP", "method": "reqMethod", "host": "reqHost",
			"path": "reqPath", "query": "queryStr", "status": "statusCode", "user_agent": "UA", "referer": "referer"}}, func(w io.Writer, l madeLine) (int, error) {
		return fmt.Fprintf(w, `{"reqId":"AK-%016x","reqTimeSec":"%d.250","cliIP":"%s","reqMethod":"GET","reqHost":"clk.example","reqPath":"c","queryStr":"%s","statusCode":"302","bytes":"0","UA":"%s","referer":"%s"}`+"\n",
			l.id, l.time.Unix(), l.ip, l.query, escapeSpaces(l.agent), l.source)
	}, ""},
	{Format{Name: Logpush}, func(w io.Writer, l madeLine) (int, error) {
		return fmt.Fprintf(w, `{"RayID":"%016x","EdgeStartTimestamp":%d,"ClientIP":"%s","ClientRequestMethod":"GET","ClientRequestHost":"clk.example","ClientRequestURI":"/c?%s","ClientRequestUserAgent":"%s","ClientRequestReferer":"%s","EdgeResponseStatus":302,"ClientCountry":"es"}`+"\n",
			l.id, l.time.UnixNano()+int64(l.n%1000), l.ip, l.query, l.agent, l.source)
	}, ""},
}

func escapeSpaces(s string) string {
	b := make([]byte, 0, len(s)+32)
	for i := range len(s) {
		if s[i] == ' ' {
			b = append(b, "%20"...)
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// makeLog writes a packed log and returns its path and unpacked size.
func makeLog(t *testing.T, i, lines int) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), fmt.Sprintf("%s-%d.log.gz", madeLogs[i].format.Name, lines))
	f, err := os.Create(path)
	mustNot(t, err)
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	mustNot(t, err)
	w := bufio.NewWriterSize(z, 1<<16)
	n, err := io.WriteString(w, madeLogs[i].head)
	mustNot(t, err)
	size = int64(n)
	for line := range lines {
		n, err := madeLogs[i].write(w, makeLine(line))
		mustNot(t, err)
		size += int64(n)
	}
	mustNot(t, w.Flush())
	mustNot(t, z.Close())
	mustNot(t, f.Close())
	return path, size
}

// readLog scans a file. peak is how far the heap rose above its start.
func readLog(t *testing.T, path string, format Format) (sum Summary, took time.Duration, peak int64) {
	t.Helper()
	f, err := os.Open(path)
	mustNot(t, err)
	defer f.Close()
	runtime.GC()
	before := heap()
	visited := 0
	begun := time.Now()
	sum, err = Scan(f, format, Limits{StreamBytes: Unbounded, Ratio: Unbounded}, func(*Entry) error {
		if visited++; visited%8192 == 0 {
			peak = max(peak, heap()-before)
		}
		return nil
	})
	took = time.Since(begun)
	mustNot(t, err)
	return sum, took, max(peak, heap()-before)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// splitLog unpacks a file with the same library and finds its lines.
func splitLog(t *testing.T, path string) (lines int, took time.Duration) {
	t.Helper()
	f, err := os.Open(path)
	mustNot(t, err)
	defer f.Close()
	begun := time.Now()
	z, err := gzip.NewReader(f)
	mustNot(t, err)
	for l := NewLineReader(z, 0); ; lines++ {
		if _, err := l.Next(); ended(err) {
			return lines, time.Since(begun)
		}
	}
}

// TestManyLines reads long made logs of every format: all lines are requests, and
// memory does not depend on their number. It prints what reading costs, beside
// unpacking and splitting the same bytes in turns of the same run.
func TestManyLines(t *testing.T) {
	lines, rounds := 20_000, 1
	if raceEnabled {
		lines = 2_000
	}
	if text := os.Getenv(linesEnv); text != "" {
		n, err := strconv.Atoi(text)
		mustNot(t, err)
		lines, rounds = n, manyRounds
	}
	t.Logf("%d lines of each format, median of %d rounds, one core", lines, rounds)
	t.Logf("%-9s %10s %8s %12s %12s %14s %14s", "format", "lines/s", "MB/s", "times split", "MB unpacked", "heap at 1/10", "heap at all")
	for i, log := range madeLogs {
		short, _ := makeLog(t, i, lines/10)
		_, _, few := readLog(t, short, log.format)
		path, size := makeLog(t, i, lines)
		var scans, ratios []float64
		var many int64
		for range rounds {
			n, plain := splitLog(t, path)
			sum, took, peak := readLog(t, path, log.format)
			if sum.Requests != int64(lines) || sum.Lines != int64(n) || sum.Bytes != size || sum.Malformed != 0 {
				t.Fatalf("%s: %+v of %d lines, %d bytes", log.format.Name, sum, n, size)
			}
			scans = append(scans, took.Seconds())
			ratios = append(ratios, took.Seconds()/plain.Seconds())
			many = max(many, peak)
		}
		took := median(scans)
		t.Logf("%-9s %10.0f %8.0f %12.2f %12.0f %11.2f MiB %11.2f MiB", log.format.Name, float64(lines)/took, float64(size)/1e6/took,
			median(ratios), float64(size)/1e6, float64(few)/(1<<20), float64(many)/(1<<20))
		if many > few+heapSlack {
			t.Errorf("%s: %d lines raise the heap by %d bytes, a tenth of them by %d", log.format.Name, lines, many, few)
		}
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
