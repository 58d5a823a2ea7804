package command

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/rawlog"
	"clickgate/gateway/seal"
	"clickgate/gateway/stream"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

const replayControl = `
tenants:
  - id: acme
    sources:
      - {id: nginx, api_keys: [{sha256: "%x"}], log: {format: combined, allow_shift: true}}
      - {id: old, backfill: true, api_keys: [{sha256: "%x"}], log: {format: combined}}
      - {id: cf, backfill: true, api_keys: [{sha256: "%x"}], log: {format: w3c}}
      - {id: push, backfill: true, api_keys: [{sha256: "%x"}], log: {format: logpush}}
    campaigns: [{id: shoes, advertiser_id: adv}]
`

// memoryLog keeps events as a store would: by key. It refuses as often as it is told.
type memoryLog struct {
	mu      sync.Mutex
	refuse  int
	rows    map[string]click.Click
	again   int
	letters []*click.DeadLetter
}

func (l *memoryLog) Record(r *durable.Record, done durable.Waiter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse > 0 {
		l.refuse--
		return durable.ErrFull
	}
	if r.Kind == stream.KindDeadLetter {
		d, err := click.DecodeDeadLetter(r.Value)
		if err != nil {
			return err
		}
		l.letters = append(l.letters, d)
		go done.Done(nil)
		return nil
	}
	c := click.Click{}
	if err := click.DecodeClick(bytes.Clone(r.Value), &c); err != nil {
		return err
	}
	c.Evidence = nil
	key := fmt.Sprint(c.EventID, c.IDTime)
	if _, stored := l.rows[key]; stored {
		l.again++
	} else {
		l.rows[key] = c
	}
	go done.Done(nil)
	return nil
}

func (*memoryLog) Shed(string, string)                    {}
func (*memoryLog) Unrecorded(string, string)              {}
func (*memoryLog) Ready() error                           { return nil }
func (*memoryLog) Score(c *click.Click, _ *click.Signals) { c.Verdict.State = click.Valid }

// take returns rows and redeliveries, and forgets them.
func (l *memoryLog) take() (rows map[string]click.Click, again, letters int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows, again, letters = l.rows, l.again, len(l.letters)
	l.rows, l.again, l.letters = map[string]click.Click{}, 0, nil
	return rows, again, letters
}

// replayDesk is a desk beside a gateway with a batch listener.
type replayDesk struct {
	*desk
	log *memoryLog
	url string
}

func newReplayDesk(t *testing.T) *replayDesk {
	t.Helper()
	d := &replayDesk{desk: newDesk(t), log: &memoryLog{rows: map[string]click.Click{}}}
	sum := func(key string) [32]byte { return sha256.Sum256([]byte(key)) }
	snapshot, err := control.Parse(fmt.Appendf(nil, replayControl, sum("nginx"), sum("old"), sum("cf"), sum("push")))
	if err != nil {
		t.Fatal(err)
	}
	master, err := seal.NewMaster(1, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := gateway.DefaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.Batch.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	reg := prometheus.NewRegistry()
	srv, err := gateway.New(cfg, gateway.Dependencies{
		Control: control.NewSet(snapshot), Log: d.log, Scorer: d.log, Sealer: seal.NewSealer(master, rand.Reader),
		Pseudonyms: seal.NewPseudonymizer(master), Now: func() time.Time { return now }, Entropy: rand.Reader,
		Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg,
	})
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	d.url = "http://" + srv.BatchAddr().String()
	return d
}

// replay runs the command with the key of a source.
func (d *replayDesk) replay(status int, key string, args ...string) (stdout, stderr string) {
	d.t.Helper()
	return d.run(status, append([]string{"replay", "--url", d.url, "--key-file", d.write(key+".key", key+"\n")}, args...)...)
}

func logLine(at time.Time, target string) string {
	return fmt.Sprintf("203.0.113.11 - - [%s] \"GET %s HTTP/1.1\" 302 0 \"-\" \"Kite/1\"\n", at.Format("02/Jan/2006:15:04:05 -0700"), target)
}

// manyLines is a log of several pieces: every second line is a click, every
// hundredth is malformed.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		switch {
		case i%100 == 99:
			b.WriteString("cut off\n")
		case i%2 == 0:
			b.WriteString(logLine(now.Add(-time.Duration(i%3000)*time.Second), fmt.Sprintf("/c?cmp=shoes&n=%d&pad=%s", i, strings.Repeat("x", 300+i%200))))
		default:
			b.WriteString(logLine(now, "/index.html?"+strings.Repeat("y", 300)))
		}
	}
	return b.String()
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

func TestReplayCountsNothingTwice(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	const n = 6_000
	text := manyLines(n)
	if len(text) < 2*pieceGoal {
		t.Fatalf("%d bytes are no several pieces", len(text))
	}
	plain, zipped := d.write("access.log", text), d.write("access.log.gz", packed(text))
	want := fmt.Sprintf("%d %d %d %d 0 0 ", n, n/2, n/100, n/2-n/100)
	out, _ := d.replay(ExitOK, "nginx", plain)
	if got := strings.Join(strings.Fields(out), " "); !strings.Contains(got, want) || !strings.Contains(out, "malformed: 60 bad_line") {
		t.Errorf("got %s, want %s", out, want)
	}
	first, again, letters := d.log.take()
	if len(first) != n/2 || again != 0 || letters != n/100 {
		t.Fatalf("%d rows, %d redelivered, %d letters", len(first), again, letters)
	}
	// The same file again, packed; and the same log as one body of /v1/raw.
	d.log.mu.Lock()
	d.log.rows = first
	d.log.mu.Unlock()
	d.replay(ExitOK, "nginx", zipped)
	rows, again, _ := d.log.take()
	if len(rows) != n/2 || again != n/2 {
		t.Errorf("the second run made %d rows, %d redelivered", len(rows)-n/2, again)
	}
	batch, err := rawlog.Fingerprint(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.url+"/v1/raw", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer nginx")
	req.Header.Set(gateway.HeaderBatch, batch)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	whole, _, _ := d.log.take()
	if len(whole) != len(first) {
		t.Fatalf("%d rows of one body, %d of the replay", len(whole), len(first))
	}
	for key, c := range whole {
		other := first[key]
		c.Ingest, other.Ingest = click.IngestID{}, click.IngestID{}
		if fmt.Sprintf("%+v", c) != fmt.Sprintf("%+v", other) {
			t.Fatalf("one body made %+v, the replay %+v", c, other)
		}
	}
}

// Case 04, by replay: a long line costs itself at most.
func TestReplayLongLines(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	for _, size := range []int{70_000, 2 << 20, 4 << 20} {
		long := strings.Replace(logLine(now, "/c?cmp=shoes&n=2"), `"-"`, `"https://ref.example/?q=`+strings.Repeat("é", size/2)+`"`, 1)
		good := 1
		if size < 1<<20 {
			good = 0
		}
		for i, text := range []string{
			logLine(now, "/c?n=1") + long + logLine(now, "/c?n=3"),
			logLine(now, "/c?n=1") + logLine(now, "/c?n=3") + strings.TrimSuffix(long, "\n"),
		} {
			out, _ := d.replay(ExitOK, "nginx", d.write(fmt.Sprintf("%d-%d.log", size, i), text))
			if got := strings.Join(strings.Fields(out), " "); !strings.Contains(got, fmt.Sprintf(" 3 %d %d 0 0 0 ", 3-good, good)) {
				t.Errorf("%d bytes, file %d: %s", size, i, out)
			}
			rows, _, letters := d.log.take()
			if len(rows) != 3-good || letters != good {
				t.Errorf("%d bytes, file %d: %d rows, %d letters", size, i, len(rows), letters)
			}
			last := strings.LastIndex(text, "203.0.113.11")
			if id := rawlog.LineEventID("acme", "nginx", mustFingerprint(t, text), int64(last)); good == 1 && i == 0 && !hasEvent(rows, id) {
				t.Errorf("%d bytes: the line behind has another place", size)
			}
		}
	}
}

func hasEvent(rows map[string]click.Click, id click.ID) bool {
	for _, c := range rows {
		if c.EventID == id {
			return true
		}
	}
	return false
}

func mustFingerprint(t *testing.T, text string) string {
	t.Helper()
	f, err := rawlog.Fingerprint(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A file with #Fields lines is read alike however it is cut.
func TestReplayW3CInPieces(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	var b strings.Builder
	b.WriteString("#Version: 1.0\n#Fields: date time c-ip cs-uri-stem cs-uri-query\n")
	line := func(i int) {
		if i == 3_000 {
			b.WriteString("#Fields: c-ip\tcs-uri-query cs-uri-stem time date sc-status x-größe\n")
		}
		at := now.Add(-time.Duration(i) * time.Second)
		if i < 3_000 {
			fmt.Fprintf(&b, "%s\t%s\t203.0.113.5\t/c\tcmp=shoes&n=%d&pad=%0300d\n", at.Format(time.DateOnly), at.Format(time.TimeOnly), i, i)
			return
		}
		fmt.Fprintf(&b, "203.0.113.5\tcmp=shoes&n=%d&pad=%0300d\t/c\t%s\t%s\t302\tx\n", i, i, at.Format(time.TimeOnly), at.Format(time.DateOnly))
	}
	for i := range 6_000 {
		line(i)
	}
	out, _ := d.replay(ExitOK, "cf", d.write("cf.log", b.String()))
	if got := strings.Join(strings.Fields(out), " "); !strings.Contains(got, " 6003 6000 0 0 3 0 ") {
		t.Errorf("%s", out)
	}
	rows, again, _ := d.log.take()
	if len(rows) != 6_000 || again != 0 {
		t.Errorf("%d rows, %d redelivered", len(rows), again)
	}
	for _, c := range rows {
		if c.CampaignID != "shoes" || c.EventTime > now.UnixMicro() || c.EventTime <= now.Add(-6_000*time.Second).UnixMicro() {
			t.Fatalf("misread: %+v", c)
		}
	}
}

func TestReplayDamagedFile(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	text := packed(manyLines(6_000))
	out, errs := d.replay(ExitFailure, "nginx", d.write("cut.gz", text[:len(text)/2]))
	rows, _, _ := d.log.take()
	if len(rows) < 300 || !strings.Contains(errs, "gzip_truncated") || !strings.Contains(errs, " at byte ") || !strings.Contains(out, "cut.gz") {
		t.Errorf("%d rows; %s%s", len(rows), out, errs)
	}
	d.log.mu.Lock()
	d.log.rows = rows
	d.log.mu.Unlock()
	n := len(rows)
	d.replay(ExitOK, "nginx", d.write("whole.gz", text))
	if rows, again, _ := d.log.take(); len(rows) != 3_000 || again != n {
		t.Errorf("the whole file made %d rows, %d redelivered; %d were sent before", len(rows), again, n)
	}
	_, errs = d.replay(ExitFailure, "nginx", d.write("cut.gz", text[:len(text)/2]), "--time", "shift")
	if rows, _, letters := d.log.take(); len(rows)+letters != 0 || !strings.Contains(errs, "nothing was sent") {
		t.Errorf("%d rows of a damaged file with a shift; %s", len(rows), errs)
	}
	_, errs = d.replay(ExitFailure, "nginx", d.write("tiny.gz", text[:40]))
	if rows, _, letters := d.log.take(); len(rows)+letters != 0 || !strings.Contains(errs, "nothing was sent") {
		t.Errorf("%d rows; %s", len(rows), errs)
	}
}

// A gateway that refuses for a while gets everything in the end.
func TestReplayTriesAgain(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	d.log.refuse = 2
	out, _ := d.replay(ExitOK, "nginx", d.write("a.log", logLine(now, "/c?n=1")+logLine(now, "/c?n=2")))
	if rows, _, _ := d.log.take(); len(rows) != 2 || d.log.refuse != 0 {
		t.Errorf("%d rows; %s", len(rows), out)
	}
	d.log.refuse = 1
	events := `{"events":[{"RayID":"a","EdgeStartTimestamp":1730000000,"ClientIP":"203.0.113.5","ClientRequestURI":"/c?cmp=shoes"}]}`
	d.replay(ExitOK, "push", d.write("push.json.gz", packed(events)))
	if rows, _, _ := d.log.take(); len(rows) != 1 || d.log.refuse != 0 {
		t.Errorf("%d rows of a file without lines", len(rows))
	}
}

// Arrays and wrapped arrays have no lines to cut them at and go as they are.
func TestReplayBatchesWithoutLines(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	var all []string
	for i := range 3000 {
		all = append(all, fmt.Sprintf(`{"RayID":"r%d","EdgeStartTimestamp":1730000000,"ClientIP":"203.0.113.5","ClientRequestURI":"/c?cmp=shoes","pad":"%0100d"}`, i, i))
	}
	for name, text := range map[string]string{
		"lines": strings.Join(all, "\n"), "array": " [" + strings.Join(all, ",") + "]", "wrapped": `{ "events" : [` + strings.Join(all, ",\n") + "]}",
	} {
		out, _ := d.replay(ExitOK, "push", d.write(name+".json", text))
		if rows, _, _ := d.log.take(); len(rows) != 3000 || !strings.Contains(out, "3000") {
			t.Errorf("%s: %d rows; %s", name, len(rows), out)
		}
	}
	cut := packed("[" + strings.Join(all, ",") + "]")
	_, errs := d.replay(ExitFailure, "push", d.write("cut.json.gz", cut[:len(cut)/2]))
	if !strings.Contains(errs, "gzip_truncated") {
		t.Error(errs)
	}
}

func TestReplayTimes(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	old := now.Add(-100*24*time.Hour - 3*time.Hour)
	file := d.write("old.log", logLine(old.Add(-time.Hour), "/c?n=1")+logLine(old, "/index")+logLine(old.Add(-time.Minute), "/c?n=2"))
	out, _ := d.replay(ExitOK, "nginx", file)
	if rows, _, letters := d.log.take(); len(rows) != 0 || letters != 2 || !strings.Contains(out, "malformed: 2 late_time") || !strings.Contains(out, "marked backfill") {
		t.Errorf("%d rows; %s", len(rows), out)
	}
	d.replay(ExitOK, "old", file)
	if rows, _, _ := d.log.take(); len(rows) != 2 {
		t.Errorf("%d rows in a backfill source", len(rows))
	}
	out, _ = d.replay(ExitOK, "nginx", file, "--time", "shift")
	first, _, _ := d.log.take()
	d.replay(ExitOK, "nginx", file, "--time", "shift", "--json")
	second, _, _ := d.log.take()
	if len(first) != 2 || !strings.Contains(out, "moved by 100 days") {
		t.Errorf("%d rows; %s", len(first), out)
	}
	for key, c := range first {
		if _, same := second[key]; !same || c.EventTime < now.Add(-5*time.Hour).UnixMicro() || c.IDTime != c.EventTime {
			t.Errorf("click at %v, redelivered: %v", time.UnixMicro(c.EventTime).UTC(), same)
		}
	}
	if _, errs := d.replay(ExitNegative, "old", file, "--time", "shift"); !strings.Contains(errs, "log.allow_shift") {
		t.Error(errs)
	}
}

// A gateway that is never ready is a failing service, not a negative answer.
func TestReplayGivesUp(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	d.log.refuse = maxTries + 1
	to, err := newSender(d.url+"/v1/raw", "nginx", "")
	if err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	to.sleep = func(_ context.Context, w time.Duration) error { waits = append(waits, w); return nil }
	in, err := openInput(d.write("a.log", logLine(now, "/c")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	err = to.file(t.Context(), in, 0, func(int64, *gateway.RawCounts) { t.Error("counts of a body that was not taken") })
	var refused *refusedError
	if !errors.As(err, &refused) || !refused.later || !strings.Contains(err.Error(), "given up after 40 tries") || len(waits) != maxTries-1 {
		t.Errorf("%v after %d waits", err, len(waits))
	}
	if waits[0] < time.Second || waits[len(waits)-1] != lastWait {
		t.Errorf("waits %v do not follow Retry-After and grow to %v", waits, lastWait)
	}
}

func TestReplayMistakes(t *testing.T) {
	t.Parallel()
	d := newReplayDesk(t)
	file := d.write("a.log", logLine(now, "/c"))
	none := filepath.Join(d.dir, "none")
	key := d.write("nginx.key", "nginx")
	for name, tc := range map[string]struct {
		status int
		args   []string
		want   string
	}{
		"key in clear":     {ExitUsage, []string{"--url", "http://example.com:8083", file}, "use https"},
		"no URL":           {ExitUsage, []string{"--url", "example.com", file}, "--url"},
		"unknown format":   {ExitUsage, []string{"--source-format", "x", "--time", "shift", file}, "--source-format"},
		"two inputs":       {ExitUsage, []string{"-", file}, "alone"},
		"no file":          {ExitFailure, []string{none}, "none"},
		"folder":           {ExitFailure, []string{d.dir}, "folder"},
		"no key file":      {ExitFailure, []string{"--key-file", none, file}, "--key-file"},
		"no CA file":       {ExitFailure, []string{"--ca-file", none, file}, "--ca-file"},
		"CA file is none":  {ExitUsage, []string{"--ca-file", key, file}, "no PEM"},
		"wrong key":        {ExitNegative, []string{"--key-file", d.write("x.key", "wrong"), file}, "unauthorized"},
		"no such path":     {ExitNegative, []string{"--url", d.url + "/other", file}, "not_found"},
		"second file gone": {ExitFailure, []string{file, none}, "none"},
	} {
		args := append([]string{"replay", "--url", d.url, "--key-file", key}, tc.args...)
		stdout, stderr := d.run(tc.status, args...)
		if !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: %s", name, stderr)
		}
		if name == "second file gone" && !strings.Contains(stdout, "total") {
			t.Errorf("what was sent is not shown: %s", stdout)
		}
	}
}

// TestPiecesCoverTheFile holds that pieces are the file: whole lines, in order, at
// their offsets.
func TestPiecesCoverTheFile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`(#Fields: [ab ]{0,9}|[^\n]{0,60})`)).Draw(t, "lines")
		text := strings.Join(lines, "\n")
		p := newPieces(strings.NewReader(text))
		p.goal, p.maxLine = rapid.IntRange(1, 200).Draw(t, "goal"), rapid.IntRange(20, 400).Draw(t, "line")
		at, fields, count := 0, "", 0
		for {
			piece, err := p.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || int(piece.offset) != at || piece.fields != fields || len(piece.data) == 0 {
				t.Fatalf("piece %+v at %d with %q: %v", piece, at, fields, err)
			}
			for line := range strings.Lines(string(piece.data)) {
				whole := text[at:]
				if i := strings.IndexByte(whole, '\n'); i >= 0 {
					whole = whole[:i+1]
				}
				if line != whole && (len(whole) <= p.maxLine || line != whole[:p.maxLine]) {
					t.Fatalf("line %q, want %q", line, whole)
				}
				at += len(whole)
				count++
				if names, ok := strings.CutPrefix(line, "#Fields:"); ok {
					fields = strings.Join(strings.Fields(names), " ")
				}
			}
		}
		if at != len(text) || count == 0 && len(text) > 0 {
			t.Fatalf("%d of %d bytes", at, len(text))
		}
	})
}

func TestBarLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		read, size, lines int64
		want              string
	}{
		{0, 4e6, 0, "a.log [........................]   0%  0.0 MB of 4.0 MB  0 lines/s  ? left"},
		{1e6, 4e6, 2000, "a.log [######..................]  25%  1.0 MB of 4.0 MB  1000 lines/s  6s left"},
		{4e6, 4e6, 8000, "a.log [########################] 100%  4.0 MB of 4.0 MB  4000 lines/s  0s left"},
		{5e6, 0, 8000, "a.log  5.0 MB  4000 lines/s"},
	} {
		if got := barLine("logs/a.log", tc.read, tc.size, tc.lines, 2*time.Second); got != tc.want {
			t.Errorf("got  %q\nwant %q", got, tc.want)
		}
	}
	var nobar *bar
	nobar.show(&replayed{})
	nobar.end()
	if newBar(&bytes.Buffer{}, "x", nil) != nil {
		t.Error("a bar without a terminal")
	}
}
