package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/testdata"
)

// What makes a replay repeatable is fixed: the master key, from which pseudonyms
// and the scatter of the tables come, the control file, and the file's content,
// from which the ids come.
const replayMaster = "1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"

// replayControl counts requests of pages and pictures as clicks, as
// testdata/replay_givt.sh does by its own means.
const replayControl = `
tenants:
  - id: acme
    sources:
      - id: site
        backfill: true
        api_keys: [{sha256: %x}]
        log:
          format: combined
          clicks:
            paths: [/, /presentations/*, /blog/*, /images/*, /projects/*, /files/*, /articles/*, /misc/*, /about/*]
            statuses: [200-399]
            methods: [GET, HEAD]
`

// replayed is what one replay left behind.
type replayed struct {
	store  string // the database's path
	counts replayCounts
	clicks []replayedClick // in the order in which the gateway took them
}

type replayCounts struct {
	Lines     int64 `json:"lines"`
	Clicks    int64 `json:"clicks"`
	Malformed int64 `json:"malformed"`
	NotClicks int64 `json:"not_clicks"`
}

// replayedClick is a click's verdict as it is stored, bit for bit.
type replayedClick struct {
	seq, eventTime       int64
	id                   string
	state                click.State
	reasons              click.Reasons
	score                uint64 // bits
	vector               string // bytes
	lists, policy, model int64
}

// slot reads a feature.
func (c *replayedClick) slot(i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32([]byte(c.vector[4*i:])))
}

// replay runs a standalone on a fresh folder, replays a log into it and stops it.
func replay(t *testing.T, log string) replayed {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	write := func(name, text string) string {
		path := filepath.Join(data, name)
		if err := cmp.Or(os.MkdirAll(data, 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("master.key", replayMaster)
	write("control.yaml", fmt.Sprintf(replayControl, sha256.Sum256([]byte("site-key"))))
	key := write("site.key", "site-key\n")
	p := startStandalone(t, standaloneArgs(data)...)
	status, stdout, stderr := program(t, "replay", "--url", p.logs, "--key-file", key, "--time", "original", "--json", log)
	if status != 0 {
		t.Fatalf("replay: status %d\n%s%s", status, stdout, stderr)
	}
	var out struct{ Total replayCounts }
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(data, "clickgate.db")
	awaitStored(t, path, out.Total.Clicks)
	if status := p.interrupt(); status != 0 || !strings.Contains(p.text(), "\nbalanced\n") {
		t.Fatalf("the drain ended with status %d:\n%s\n%s", status, p.text(), p.errs.String())
	}
	r := replayed{store: path, counts: out.Total}
	r.clicks = readReplayed(t, r.store)
	return r
}

// awaitStored waits for clicks to be stored: a slow machine needs longer for ten
// thousand than a drain may take.
func awaitStored(t *testing.T, path string, clicks int64) {
	t.Helper()
	db := attach(t, path)
	var n int64
	for range 1200 {
		if err := db.QueryRow("SELECT count(*) FROM store.clicks").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n >= clicks {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Fatalf("%d of %d clicks are stored after five minutes", n, clicks)
}

// readReplayed reads the verdicts as the gateway made them. Which of two near
// clicks is the repeat is decided by the store as they arrive, and again when their
// hour closes: until then it depends on where batches end, so it is taken off here
// and has a check of its own (checkRepeats).
func readReplayed(t *testing.T, path string) (clicks []replayedClick) {
	t.Helper()
	db := attach(t, path)
	rows, err := db.Query(`SELECT seq, event_time, hex(event_id), state, reasons, score, vector, lists_hash, policy_hash, model_hash
		FROM store.clicks ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c replayedClick
		var score float64
		var reasons int64
		if err := rows.Scan(&c.seq, &c.eventTime, &c.id, &c.state, &reasons, &score, &c.vector, &c.lists, &c.policy, &c.model); err != nil {
			t.Fatal(err)
		}
		c.reasons, c.score = click.Reasons(reasons), math.Float64bits(score)
		if c.state == click.Duplicate {
			c.state = click.Valid
			c.reasons &^= click.Reasons(0).Set(click.ReasonDoubleClick).Set(click.ReasonRepeat)
		}
		clicks = append(clicks, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return clicks
}

// attach opens an empty database with a store's file beside it.
func attach(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("ATTACH ? AS store", "file:"+(&url.URL{Path: path}).EscapedPath()); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestReplayIsRepeatable replays ten thousand real lines, each time into a fresh
// folder: all verdicts are the same bit for bit. Lists are held against
// testdata/replay_givt.sh, rates against testdata/replay_rates.sql, which share no
// code with what they check.
//
// All lines of the log fall into minute 5 of their hour, so nobody has a recent
// past and there are never peers. In the second log every hour is a minute, and
// both are in force.
func TestReplayIsRepeatable(t *testing.T) {
	t.Parallel()
	text, err := testdata.AccessLog()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		log      []byte
		mistakes bool // the oracles are tried out, too
		least    func(rateCounts) bool
	}{
		{"as it is", text, true, func(n rateCounts) bool {
			return n.suspect > 100 && n.invalid > 100 && n.address > 10 && n.self > 5_000 && n.inexact == 0
		}},
		{"hours as minutes", hoursAsMinutes(t, text), false, func(n rateCounts) bool {
			return n.suspect > 50 && n.invalid > 500 && n.address > 100 && n.self > 4_000 && n.peers > 10_000 && n.inexact < 800 && n.moving > 500
		}},
	} {
		// One after the other: each runs two whole processes.
		t.Run(c.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "access.log")
			if err := os.WriteFile(log, c.log, 0o600); err != nil {
				t.Fatal(err)
			}
			first, second := replay(t, log), replay(t, log)
			if d := differences(first.clicks, second.clicks); first.counts != second.counts || len(d) > 0 {
				t.Errorf("two replays differ: %+v, %+v, %d clicks, the first ones:\n%s", first.counts, second.counts, len(d), strings.Join(d[:min(5, len(d))], "\n"))
			}
			if n := first.counts; n.Lines != 10_000 || n.Clicks < 7_000 || n.NotClicks < 2_000 || n.Malformed == 0 || int64(len(first.clicks)) != n.Clicks {
				t.Errorf("too little happened: %+v, %d stored", n, len(first.clicks))
			}
			script := readFile(t, "testdata/replay_rates.sql")
			checkLists(t, &first, log)
			checkRates(t, &first, script, c.least)
			checkRepeats(t, &first)
			if c.mistakes {
				listsOracleCanFail(t, &first, log)
				ratesOracleCanFail(t, &first, script)
			}
		})
	}
}

var logTime = regexp.MustCompile(`\[(\d\d/May/2015:\d\d):\d\d(:\d\d \+0000)\]`)

// hoursAsMinutes makes every hour of the log a minute.
func hoursAsMinutes(t *testing.T, text []byte) []byte {
	t.Helper()
	start := time.Date(2015, 5, 17, 10, 0, 0, 0, time.UTC)
	return logTime.ReplaceAllFunc(text, func(m []byte) []byte {
		part := logTime.FindSubmatch(m)
		hour, err := time.Parse("02/Jan/2006:15", string(part[1]))
		if err != nil {
			t.Fatal(err)
		}
		minute := start.Add(time.Duration(hour.Sub(start).Hours()) * time.Minute)
		return []byte("[" + minute.Format("02/Jan/2006:15:04") + string(part[2]) + "]")
	})
}

// differences names the clicks that differ.
func differences(a, b []replayedClick) (d []string) {
	if len(a) != len(b) {
		return []string{fmt.Sprintf("%d and %d clicks", len(a), len(b))}
	}
	for i := range a {
		if a[i] != b[i] {
			d = append(d, fmt.Sprintf("%+v\n%+v", a[i], b[i]))
		}
	}
	return d
}

// listsFolder holds the lists that are built in.
const listsFolder = "../../scoring/givt/lists"

func checkLists(t *testing.T, r *replayed, log string) {
	t.Helper()
	for _, tool := range []string{"sh", "awk", "gzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("%s is not installed: the lists' verdicts stand unchecked", tool)
			return
		}
	}
	if d := againstLists(t, r, log, listsFolder); len(d) > 0 {
		t.Errorf("the lists' oracle differs %d times:\n%s", len(d), strings.Join(d[:min(10, len(d))], "\n"))
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// listsOracleCanFail: it notices one changed line, and one lost list.
func listsOracleCanFail(t *testing.T, r *replayed, log string) {
	t.Helper()
	if _, err := exec.LookPath("awk"); err != nil {
		return // checkLists has told
	}
	changed := filepath.Join(t.TempDir(), "changed.log")
	mistake := strings.Replace(readFile(t, log), " 200 ", " 404 ", 1)
	if err := os.WriteFile(changed, []byte(mistake), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(againstLists(t, r, changed, listsFolder)) == 0 {
		t.Error("the lists' oracle does not notice a changed line")
	}
	if fewer := withoutWords(t); len(againstLists(t, r, log, fewer)) == 0 {
		t.Error("the lists' oracle does not notice a changed list")
	}
}

// withoutWords copies the lists without the general words.
func withoutWords(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(listsFolder)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "words.tsv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listReasons are those that the lists' oracle tells apart, in its order.
var listReasons = []click.Reason{
	click.ReasonNoAgent, click.ReasonCrawlerVerified, click.ReasonCrawler, click.ReasonCrawlerSpoofed, click.ReasonHeadless, click.ReasonToolAgent,
	click.ReasonDataCentre, click.ReasonHeadRequest,
}

// againstLists holds every line's fate against the oracle's.
func againstLists(t *testing.T, r *replayed, log, lists string) (d []string) {
	t.Helper()
	cmd := exec.Command("sh", "testdata/replay_givt.sh", log, lists)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var n replayCounts
	reasons := map[string]int{}
	for line := range strings.Lines(string(out)) {
		n.Lines++
		switch line = strings.TrimSpace(line); line {
		case "malformed":
			n.Malformed++
			continue
		case "no click":
			n.NotClicks++
			continue
		}
		reasons[line]++
		if int(n.Clicks) < len(r.clicks) {
			if got := judgedByLists(&r.clicks[n.Clicks]); got != line {
				d = append(d, fmt.Sprintf("line %d: %s, the oracle says %s", n.Lines, got, line))
			}
		}
		n.Clicks++
	}
	if n != r.counts {
		d = append(d, fmt.Sprintf("counts %+v, the oracle says %+v", r.counts, n))
	}
	if len(d) == 0 {
		t.Logf("lists: %+v, %v", n, reasons)
	}
	return d
}

func judgedByLists(c *replayedClick) string {
	text, given := "click", false
	for _, reason := range listReasons {
		if c.reasons.Has(reason) {
			text += " " + reason.String()
			given = given || reason != click.ReasonNoAgent
		}
	}
	if given != (c.state == click.GIVT) {
		text += " but " + c.state.String()
	}
	return text
}

// rateCounts say how much the rates' oracle had to judge, rows of both kinds.
type rateCounts struct{ suspect, invalid, address, self, peers, inexact, moving int }

func checkRates(t *testing.T, r *replayed, script string, least func(rateCounts) bool) {
	t.Helper()
	n, d := againstRates(t, r, r.store, script)
	t.Logf("rates: %+v", n)
	if len(d) > 0 {
		t.Errorf("the rates' oracle differs %d times:\n%s", len(d), strings.Join(d[:min(10, len(d))], "\n"))
	}
	if !least(n) {
		t.Errorf("too little to judge: %+v", n)
	}
}

// firstOf is what r was after its first n clicks: a click's rates depend on those
// before it alone.
func firstOf(t *testing.T, r *replayed, n int64) *replayed {
	t.Helper()
	first := replayed{store: damaged(t, r.store, fmt.Sprintf("DELETE FROM clicks WHERE seq > %d", n))}
	for _, c := range r.clicks {
		if c.seq <= n {
			first.clicks = append(first.clicks, c)
		}
	}
	return &first
}

// ratesOracleCanFail: it notices another threshold, a lost click, and other times. A
// part of the log will do, which the oracle agrees with when it is sound.
func ratesOracleCanFail(t *testing.T, all *replayed, script string) {
	t.Helper()
	r := firstOf(t, all, 2_500)
	if n, d := againstRates(t, r, r.store, script); len(d) > 0 || n.suspect+n.invalid < 30 {
		t.Fatalf("the first clicks: %+v, differences %v", n, d)
	}
	for name, mistake := range map[string]func(path string) (string, string){
		"another prior": func(path string) (string, string) {
			return path, strings.Replace(script, "4.0 AS prior", "3.0 AS prior", 1)
		},
		"another count": func(path string) (string, string) {
			return damaged(t, path, "DELETE FROM clicks WHERE seq = (SELECT seq FROM clicks GROUP BY ip_key ORDER BY count(*) DESC LIMIT 1)"), script
		},
		"another time": func(path string) (string, string) {
			return damaged(t, path, "UPDATE clicks SET event_time = event_time + 1 - event_time % 60000000 WHERE reasons & 2048 AND seq % 7 = 0"), script
		},
	} {
		path, changed := mistake(r.store)
		if _, d := againstRates(t, r, path, changed); len(d) == 0 {
			t.Errorf("the rates' oracle does not notice %s", name)
		}
	}
}

// damaged copies a store and changes the copy.
func damaged(t *testing.T, path, change string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	to := filepath.Join(t.TempDir(), "damaged.db")
	if err := cmp.Or(err, os.WriteFile(to, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", to)
	if err != nil {
		t.Fatal(err)
	}
	res, err := db.Exec(change)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed nothing, %v", change, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}

// againstRates holds the rates of all clicks against the oracle's, and what follows
// from them: the reasons, and whether a click is more than suspect.
func againstRates(t *testing.T, r *replayed, store, script string) (n rateCounts, d []string) {
	t.Helper()
	db := attach(t, store)
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	var problem string
	if err := db.QueryRow("SELECT coalesce(group_concat(n || ' ' || problem), '') FROM problems WHERE n > 0").Scan(&problem); err != nil || problem != "" {
		return n, append(d, problem, fmt.Sprint(err))
	}
	bySeq := make(map[int64]*replayedClick, len(r.clicks))
	for i := range r.clicks {
		bySeq[r.clicks[i].seq] = &r.clicks[i]
	}
	rows, err := db.Query(`SELECT kind = 'pair', seq, in_10s, in_1m, in_1h, z_self, z_peers, closed, has_self, has_peers, peers_exact, flagged FROM rates`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	judged := 0
	for rows.Next() {
		var o rates
		if err := rows.Scan(&o.pair, &o.seq, &o.want[0], &o.want[1], &o.want[2], &o.want[3], &o.want[4], &o.minutes, &o.self, &o.peers, &o.exact, &o.flagged); err != nil {
			t.Fatal(err)
		}
		c := bySeq[o.seq]
		if c == nil {
			t.Fatalf("no click has the sequence %d", o.seq)
		}
		judged++
		n.add(&o)
		if text := o.compare(c); text != "" {
			d = append(d, text)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if judged != 2*len(r.clicks) {
		d = append(d, fmt.Sprintf("%d clicks, the oracle judges %d of both kinds", len(r.clicks), judged))
	}
	return n, d
}

// rates are the oracle's of one click.
type rates struct {
	pair, self, peers, exact bool
	seq                      int64
	want                     [5]float64 // in the order of the vector
	minutes                  float64
	flagged                  int
}

func (n *rateCounts) add(o *rates) {
	count := func(to *int, is bool) {
		if is {
			*to++
		}
	}
	count(&n.suspect, o.pair && o.flagged == 1)
	count(&n.invalid, o.pair && o.flagged == 2)
	count(&n.address, !o.pair && o.flagged == 1)
	count(&n.self, o.self)
	count(&n.peers, o.peers)
	count(&n.inexact, !o.exact)
	count(&n.moving, o.self && o.want[3] != math.Trunc(o.want[3])) // a past that is not just quiet
}

// compare says where a click's vector and reasons are not the oracle's.
func (o *rates) compare(c *replayedClick) string {
	at, minutes, bit := scoring.SlotAddress10s, scoring.SlotAddressMinutes, 1
	if o.pair {
		at, minutes, bit = scoring.SlotPair10s, scoring.SlotPairMinutes, 4
	}
	baselines := int(c.slot(scoring.SlotBaselines))
	same := c.slot(minutes) == float32(o.minutes) && (baselines&bit != 0) == o.self &&
		(baselines&(2*bit) != 0 == o.peers || !o.exact)
	for i, want := range o.want {
		if i == 4 && !o.exact {
			continue
		}
		same = same && math.Float32bits(c.slot(at+i)) == math.Float32bits(float32(want))
	}
	if o.exact {
		same = same && o.sameVerdict(c)
	}
	if same {
		return ""
	}
	slots := make([]float32, len(c.vector)/4)
	for i := range slots {
		slots[i] = c.slot(i)
	}
	return fmt.Sprintf("click %d is %s %v with %v, but the oracle says %+v", c.seq, c.state, c.reasons, slots, *o)
}

func (o *rates) sameVerdict(c *replayedClick) bool {
	if !o.pair {
		const hidden = 2 | 4 | 8 // relay, VPN, Tor
		return c.reasons.Has(click.ReasonRateIP) == (o.flagged == 1 && int(c.slot(scoring.SlotRanges))&hidden == 0)
	}
	sivt := c.state == click.SIVT
	return c.reasons.Has(click.ReasonRateIPAgent) == (o.flagged > 0) && (sivt == (o.flagged == 2) || c.state == click.GIVT)
}

// checkRepeats: of two clicks that are billed none repeats the other, and every
// repeat has a billed click within two seconds.
func checkRepeats(t *testing.T, r *replayed) {
	t.Helper()
	db := attach(t, r.store)
	var repeats, orphans, twice int
	err := db.QueryRow(`WITH near AS (
			SELECT a.state AS state, b.state AS other FROM store.clicks a LEFT JOIN store.clicks b
			ON b.repeat_key = a.repeat_key AND b.seq <> a.seq AND b.state = 9 AND abs(b.event_time - a.event_time) < 2000000
			WHERE a.state IN (8, 9))
		SELECT sum(state = 8), sum(state = 8 AND other IS NULL), sum(state = 9 AND other IS NOT NULL) FROM near`).Scan(&repeats, &orphans, &twice)
	if err != nil || orphans != 0 || twice != 0 || repeats < 50 {
		t.Errorf("%d repeats, %d of nothing, %d billed clicks that repeat another, %v", repeats, orphans, twice, err)
	}
}
