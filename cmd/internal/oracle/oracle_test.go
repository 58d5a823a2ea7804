package oracle

import (
	"database/sql"
	"embed"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/entity"
	"clickgate/scoring/zscore"
	"clickgate/testdata/unwatched"

	"github.com/cespare/xxhash/v2"
)

//go:embed testdata/*.sql
var scripts embed.FS

// script is the parts from one on, in their order.
func script(t *testing.T, from int) (parts []string) {
	t.Helper()
	files, err := scripts.ReadDir("testdata")
	check(t, err)
	for _, f := range files[from-1:] {
		text, err := scripts.ReadFile("testdata/" + f.Name())
		check(t, err)
		parts = append(parts, string(text))
	}
	return parts
}

const tables = `
CREATE TABLE request (arrival INTEGER PRIMARY KEY, event TEXT, nth INTEGER, tenant TEXT, source TEXT, event_time INTEGER, ip_key TEXT, agent_key TEXT, ip_prefix TEXT,
  publisher TEXT, campaign TEXT, placement TEXT, click_id TEXT, flags INTEGER, agent TEXT, language TEXT, country TEXT, direct INTEGER, issued_at INTEGER,
  agent_class INTEGER, ranges INTEGER, fingerprint INTEGER, shown INTEGER);
CREATE TABLE click (event TEXT, tenant TEXT, source TEXT, event_time INTEGER, ip_key TEXT, agent_key TEXT, ip_prefix TEXT, publisher TEXT, campaign TEXT, placement TEXT,
  click_id TEXT, flags INTEGER, late INTEGER, round INTEGER);
CREATE TABLE pass (pass INTEGER PRIMARY KEY, tenant TEXT, source TEXT, hour INTEGER, round INTEGER, late INTEGER);
CREATE TABLE cell (kind TEXT, name TEXT, sixth INTEGER, eighth INTEGER, rank INTEGER, PRIMARY KEY (kind, name)) WITHOUT ROWID;`

// reference is an SQLite database with what is given.
func reference(t *testing.T, o *outcome) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	check(t, err)
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	_, err = db.Exec(tables)
	check(t, err)
	tx, err := db.Begin()
	check(t, err)
	rounds := o.giveRequests(t, tx)
	o.read(t, func(r storedRow) {
		put(t, tx, "INSERT INTO click VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", r.event, r.tenant, r.source, r.eventTime, r.ip, r.agent, r.prefix,
			r.publisher, r.campaign, r.placement, r.click, r.flags, r.late, rounds[r.event])
	})
	put(t, tx, "INSERT INTO pass VALUES (0, '', '', 0, 0, 0)")
	for i, p := range o.passes {
		put(t, tx, "INSERT INTO pass VALUES (?,?,?,?,?,?)", i+1, p.tenant, p.source, p.hour, p.round, p.late)
	}
	check(t, tx.Commit())
	return db
}

// giveRequests enters requests and cells, and returns the rounds of events.
func (o *outcome) giveRequests(t *testing.T, tx *sql.Tx) map[string]int {
	t.Helper()
	nth, rounds := map[string]int{}, map[string]int{}
	for i := range o.requests {
		r := o.requests[i]
		c, v := &r.event, &r.event.Verdict.Vector
		event := hexOf(c.EventID[:])
		nth[event]++
		if nth[event] == 1 {
			rounds[event] = r.round
		}
		id := ""
		if !c.ClickID.IsZero() {
			id = hexOf(c.ClickID[:])
		}
		ip, agent := hexOf(c.IPKey[:]), hexOf(c.AgentKey[:])
		direct := c.Entry == click.EntryClick || c.Entry == click.EntryBeacon
		put(t, tx, "INSERT INTO request VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", r.number, event, nth[event], c.TenantID, c.SourceID, c.EventTime, ip, agent,
			c.IPPrefix, c.PublisherID, c.CampaignID, c.PlacementID, id, int64(c.Flags), r.sig.UserAgent, r.sig.AcceptLanguage, c.Country, direct, r.sig.IssuedAt,
			int(v[scoring.SlotAgent]), int(v[scoring.SlotRanges]), int(v[scoring.SlotFingerprint]), r.shown)
		giveCell(t, tx, "agent", agent, zscore.Key(0, halves(c.AgentKey)...))
		target := strings.Join([]string{c.PublisherID, c.CampaignID, c.PlacementID}, "\x1f")
		giveCell(t, tx, "target", target, zscore.Key(0, xxhash.Sum64String(c.PublisherID), xxhash.Sum64String(c.CampaignID), xxhash.Sum64String(c.PlacementID)))
		giveCell(t, tx, "address", ip, entity.Mix(zscore.Key(1, halves(c.IPKey)...)))
	}
	return rounds
}

// giveCell enters where a name falls in sketches: the first six bits and the first
// eight of its hash, and how many zeros follow the six.
func giveCell(t *testing.T, tx *sql.Tx, kind, name string, hash uint64) {
	t.Helper()
	put(t, tx, "INSERT OR IGNORE INTO cell VALUES (?,?,?,?,?)", kind, name, hash>>58, entity.Cell(hash), bits.LeadingZeros64(hash<<6|1<<5)+1)
}

func halves(k click.Key) []uint64 {
	var out [2]uint64
	for i := range k {
		out[i/8] |= uint64(k[i]) << (i % 8 * 8)
	}
	return out[:]
}

func put(t *testing.T, tx *sql.Tx, query string, args ...any) {
	t.Helper()
	_, err := tx.Exec(query, args...)
	check(t, err)
}

// how a slot is held against the reference.
type how uint8

const (
	exact   how = iota // the column's value to 1e-9, before it became a float32
	peers              // so, unless it rests on a first minute; see rates.sql
	sketch             // exact by the cells given, and near the column _counted by bound
	carried            // the second pass keeps what the gateway recorded, which has another oracle
	code               // a hash: only what it must be the same for
	forest             // the forest's score of the slots that were rebuilt
)

// entry says how one slot is checked.
type entry struct {
	how     how
	hour    bool // known in the second pass only
	bound   func(counted float64) float64
	least   int    // different values, other than 0, that must have been there
	instead string // of rebuilding it
}

// linear is five deviations of linear counting over m cells, a half for rounding, and
// one, because of few names two may share a cell (Whang, Vander-Zanden, Taylor, 1990:
// variance m (e^t - t - 1) at load t).
func linear(m float64) func(float64) float64 {
	return func(n float64) float64 { return 1.5 + 5*math.Sqrt(m*(math.Exp(n/m)-n/m-1)) }
}

// hyperLogLog is five deviations of 1.04/sqrt(64) = 13 % (Flajolet and others, 2007),
// which bound linear counting of few, too.
func hyperLogLog(n float64) float64 { return 0.5 + 5*0.13*n }

// slots is every slot of the vector by name. One that is not here fails the test.
var slots = map[string]entry{
	"address_clicks_10s": {least: 20}, "address_clicks_1m": {least: 20}, "address_clicks_1h": {least: 50},
	"address_z_self": {least: 20}, "address_z_peers": {how: peers, least: 20},
	"pair_clicks_10s": {least: 10}, "pair_clicks_1m": {least: 20}, "pair_clicks_1h": {least: 50},
	"pair_z_self": {least: 20}, "pair_z_peers": {how: peers, least: 20},
	"address_fence": {how: peers, least: 20}, "pair_fence": {how: peers, least: 20}, "baselines": {how: peers, least: 6},
	"agent_class": {how: carried, least: 3, instead: "cmd/clickgate/testdata/replay_givt.sh"}, "address_ranges": {how: carried, least: 3, instead: "cmd/clickgate/testdata/replay_givt.sh"},
	"address_minutes": {least: 50}, "pair_minutes": {least: 50},
	"prefix_clicks_1m": {least: 20}, "prefix_clicks_1h": {least: 50}, "prefix_z_peers": {how: peers, least: 20},
	"publisher_clicks_1m": {least: 10}, "publisher_clicks_1h": {least: 50}, "publisher_z_self": {least: 20},
	"campaign_clicks_1m": {least: 10}, "campaign_clicks_1h": {least: 50}, "campaign_z_self": {least: 20},
	"address_agents": {how: sketch, bound: linear(64), least: 10}, "pair_targets": {how: sketch, bound: linear(64), least: 10},
	"pair_gaps": {least: 50}, "pair_gap_octaves": {least: 500},
	"headers": {least: 5}, "token_age": {least: 1000}, "fingerprint": {how: code, least: 100}, "model_score": {how: forest, least: 500},
	"address_agents_even": {least: 50}, "address_twice": {least: 3},

	"hour_facts": {hour: true, least: 3}, "hour_pair_clicks": {hour: true, least: 20}, "hour_pair_flood": {hour: true, least: 2},
	"hour_pair_gaps": {hour: true, least: 20}, "hour_pair_gap_octaves": {hour: true, least: 200}, "hour_pair_gap": {hour: true, least: 500},
	"hour_pair_focus_z": {hour: true, least: 100}, "hour_pair_sweep_z": {hour: true, least: 5},
	"hour_address_clicks": {hour: true, least: 20}, "hour_address_agents": {how: sketch, bound: linear(256), hour: true, least: 10},
	"hour_address_agents_z": {hour: true, least: 20}, "hour_address_focus_z": {hour: true, least: 100},
	"hour_address_gaps": {hour: true, least: 20}, "hour_address_gap_octaves": {hour: true, least: 200}, "hour_address_gap": {hour: true, least: 500},
	"group_clicks": {hour: true, least: 10}, "group_addresses": {how: sketch, bound: hyperLogLog, hour: true, least: 10},
	"group_share": {hour: true, least: 50}, "group_share_elsewhere": {hour: true, least: 50}, "group_share_before": {hour: true, least: 20},
	"group_z": {hour: true, least: 5}, "group_odd": {hour: true, least: 20}, "scope_clicks": {hour: true, least: 50}, "scope_clicks_before": {hour: true, least: 50},
	"scope_concentration": {hour: true, least: 50}, "scope_concentration_z": {hour: true, least: 5},
	"publisher_loyal": {hour: true, least: 20}, "publisher_loyal_z": {hour: true, least: 2}, "hour_pair_here": {hour: true, least: 10},
	"group_again": {hour: true, least: 20}, "again_elsewhere": {hour: true, least: 20}, "hour_address_agents_even": {hour: true, least: 50},
	"ally_visitors": {hour: true, least: 3}, "ally_expected": {hour: true, least: 10}, "ally_share": {hour: true, least: 3},
	"hour_address_twice": {hour: true, least: 3}, "hour_twice_usual": {hour: true, least: 50}, "fast_share": {hour: true, least: 3},
	"day_visits": {hour: true, least: 3}, "day_here": {hour: true, least: 2}, "day_returning": {hour: true, least: 3}, "day_returning_usual": {hour: true, least: 3},
	"publisher_quick": {hour: true, least: 5}, "publisher_quick_usual": {hour: true, least: 5}, "hour_pair_replays": {hour: true, least: 3},

	"publisher_surprise": {instead: "TestSurpriseAgainstSQL, as three hours have no week before them"}, "publisher_surprise_hours": {instead: "TestSurpriseAgainstSQL"},
	"display_gap": {hour: true, least: 500}, "undisplayed_z": {hour: true, least: 3},
}

// TestEverySlotIsChecked: whoever adds a slot says here how it is checked.
func TestEverySlotIsChecked(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, s := range scoring.Slots {
		known[s.Name] = true
		if _, ok := slots[s.Name]; !ok {
			t.Errorf("slot %s is not checked: add a column %[1]s to testdata/6_features.sql that works it out from raw rows, and an entry to slots in oracle_test.go", s.Name)
		}
	}
	for name := range slots {
		if !known[name] {
			t.Errorf("%s is no slot any more: take it out of slots in oracle_test.go and of testdata/6_features.sql", name)
		}
	}
}

// inSQL work features out in SQL, which has one goroutine, and takes a quarter of an hour
// under the race detector.
var inSQL = unwatched.These("TestFeaturesAgainstSQL", "TestSurpriseAgainstSQL")

// TestFeaturesAgainstSQL: more than ten thousand clicks of two tenants through gateway,
// store and second pass, and their features worked out in SQL from the store's rows.
func TestFeaturesAgainstSQL(t *testing.T) {
	t.Parallel()
	if inSQL.Done(t) {
		return
	}
	for name, product := range map[string]func(*testing.T) *outcome{"SQLite": inSQLite, "PostgreSQL": inPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := product(t)
			o.mixed(t)
			if name == "SQLite" {
				t.Run("mistakes", func(t *testing.T) {
					t.Parallel()
					o.mistakesAreSeen(t, "south", 3, false)
					o.mistakesAreSeen(t, "north", 1, true)
				})
			}
			t.Run("all", func(t *testing.T) {
				t.Parallel()
				db := reference(t, o)
				run(t, db, script(t, 1))
				holds(t, db)
				o.against(t, db).report(t)
			})
		})
	}
}

// mixed sees to it that there was something to look at.
func (o *outcome) mixed(t *testing.T) {
	t.Helper()
	rows, late := 0, 0
	units := map[string]bool{}
	o.read(t, func(r storedRow) {
		rows++
		if r.late {
			late++
		}
		units[r.tenant+"/"+r.source] = true
		o.asStored(t, &r)
	})
	again, back, latePasses := len(o.requests)-rows, 0, 0
	for i := 1; i < len(o.requests); i++ {
		if o.requests[i].event.EventTime < o.requests[i-1].event.EventTime {
			back++
		}
	}
	for _, p := range o.passes {
		if p.late {
			latePasses++
		}
	}
	t.Logf("%d clicks of %d sources, %d late, %d sent again, %d out of order, %d passes, %d of them of late clicks", rows, len(units), late, again, back, len(o.passes), latePasses)
	if rows < 10_000 || len(units) < 3 || late < 50 || again < 50 || back < 200 || latePasses < 3 {
		t.Error("that is too little to look at")
	}
}

// asStored: the store has the vector that the gateway made.
func (o *outcome) asStored(t *testing.T, r *storedRow) {
	t.Helper()
	want := o.first[r.event]
	var v click.Vector
	if err := v.Unpack(r.vector); err != nil || want == nil || v != want.event.Verdict.Vector {
		t.Fatalf("event %s is not stored as it was scored: %v", r.event, err)
	}
}

// result is what a comparison found.
type result struct {
	clicks  int                             // vectors that were compared
	differ  map[string]int                  // by slot
	first   map[string]string               // the first difference
	values  map[string]map[float32]struct{} // other than 0
	inexact map[string]int                  // left out, see peers
}

func newResult() *result {
	return &result{differ: map[string]int{}, first: map[string]string{}, values: map[string]map[float32]struct{}{}, inexact: map[string]int{}}
}

func (r *result) wrong(slot, format string, args ...any) {
	if r.differ[slot]++; r.differ[slot] == 1 {
		r.first[slot] = fmt.Sprintf(format, args...)
	}
}

func (r *result) report(t *testing.T) {
	t.Helper()
	for _, slot := range slices.Sorted(maps.Keys(r.differ)) {
		t.Errorf("%s differs in %d of %d vectors, first: %s", slot, r.differ[slot], r.clicks, r.first[slot])
	}
	for name, e := range slots {
		if n := len(r.values[name]); n < e.least {
			t.Errorf("%s took %d different values, which is too few to say it was checked; want %d", name, n, e.least)
		}
		if n := r.inexact[name]; n*4 > r.clicks {
			t.Errorf("%s: %d of %d values rest on a first minute and were left out", name, n, r.clicks)
		}
	}
	t.Logf("%d vectors compared, left out: %v", r.clicks, r.inexact)
}

// run works the features out.
func run(t *testing.T, db *sql.DB, parts []string) {
	t.Helper()
	for _, part := range parts {
		_, err := db.Exec(part)
		check(t, err)
	}
}

// holds checks what the reference stands on.
func holds(t *testing.T, db *sql.DB) {
	t.Helper()
	var problem string
	check(t, db.QueryRow("SELECT coalesce(group_concat(n || ' ' || problem), '') FROM problems WHERE n > 0").Scan(&problem))
	if problem != "" {
		t.Fatalf("the reference does not hold: %s", problem)
	}
}

// against compares all vectors with the table features.
func (o *outcome) against(t *testing.T, db *sql.DB) *result {
	t.Helper()
	rows, err := db.Query("SELECT * FROM features ORDER BY pass, place")
	check(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	check(t, err)
	r := newResult()
	codes := map[string]float32{}
	for rows.Next() {
		f := readFeatures(t, rows, columns)
		v := o.vector(t, f)
		r.clicks++
		for i, s := range scoring.Slots {
			r.compare(f, s.Name, v[i])
		}
		o.compareForest(r, f, v)
		o.compareCode(r, codes, f, v)
	}
	check(t, rows.Err())
	return r
}

// features is a row of the table by column; null is 0.
type features struct {
	pass, place int
	event       string
	value       map[string]float64
}

func readFeatures(t *testing.T, rows *sql.Rows, columns []string) *features {
	t.Helper()
	f := &features{value: make(map[string]float64, len(columns))}
	cells := make([]any, len(columns))
	for i, c := range columns {
		switch {
		case i < 2:
			cells[i] = []*int{&f.pass, &f.place}[i]
		case c == "event":
			cells[i] = &f.event
		default:
			cells[i] = new(sql.NullFloat64)
		}
	}
	check(t, rows.Scan(cells...))
	for i, c := range columns {
		if n, ok := cells[i].(*sql.NullFloat64); ok {
			f.value[c] = n.Float64
		}
	}
	return f
}

// vector is the product's of a row.
func (o *outcome) vector(t *testing.T, f *features) *click.Vector {
	t.Helper()
	if f.pass == 0 {
		return &o.requests[f.place-1].event.Verdict.Vector
	}
	p := o.passes[f.pass-1]
	v, ok := p.vectors[o.first[f.event].event.EventID]
	if !ok {
		t.Fatalf("the pass of %s/%s hour %d did not judge event %s", p.tenant, p.source, p.hour, f.event)
	}
	return &v
}

// compare holds one slot of one vector against its column.
func (r *result) compare(f *features, name string, got float32) {
	e, ok := slots[name]
	if !ok {
		return // TestEverySlotIsChecked says so
	}
	if r.values[name] == nil {
		r.values[name] = map[float32]struct{}{}
	}
	if got != 0 {
		r.values[name][got] = struct{}{}
	}
	if e.how == forest || e.how == code {
		return
	}
	want, ok := f.value[name]
	if !ok {
		r.wrong(name, "testdata/6_features.sql has no such column")
		return
	}
	if e.how == peers && !restsOnWhole(f, name) {
		if r.inexact[name]++; name != "baselines" {
			return
		}
		got, want = float32(int(got)&15), float64(int(want)&15) // whether a MAD is 0 is what it rests on
	}
	if !same(got, want) {
		r.wrong(name, "pass %d, event %s: %v, the reference says %v", f.pass, f.event, got, want)
	}
	if e.how == sketch {
		counted := f.value[name+"_counted"]
		if away := math.Abs(float64(got) - counted); away > e.bound(counted) {
			r.wrong(name, "pass %d, event %s: %v, and there are %v", f.pass, f.event, got, counted)
		}
	}
}

// restsOnWhole reports whether what a slot says of peers rests on whole minutes.
func restsOnWhole(f *features, name string) bool {
	of := []string{strings.TrimSuffix(strings.TrimSuffix(name, "_z_peers"), "_fence")}
	if name == "baselines" {
		of = []string{"address", "pair"}
	}
	return !slices.ContainsFunc(of, func(kind string) bool { return f.value[kind+"_peers_exact"] == 0 })
}

// same reports whether a value to 1e-9 became this float32.
func same(got float32, want float64) bool {
	away := 1e-9 * max(1, math.Abs(want))
	return float32(want-away) <= got && got <= float32(want+away)
}

// compareForest asks the forest about the slots as the reference has them.
func (o *outcome) compareForest(r *result, f *features, v *click.Vector) {
	var rebuilt click.Vector
	for i := range scoring.Features {
		name := scoring.Slots[i].Name
		rebuilt[i] = float32(f.value[name])
		if !same(v[i], f.value[name]) {
			return // said already
		}
		rebuilt[i] = v[i]
	}
	if want := float32(o.model.Score(rebuilt[:scoring.Features])); v[scoring.SlotModel] != want {
		r.wrong("model_score", "pass %d, event %s: %v, the forest says %v", f.pass, f.event, v[scoring.SlotModel], want)
	}
}

// compareCode: a fingerprint is 0 without a language, and a function of agent and
// language with one.
func (o *outcome) compareCode(r *result, codes map[string]float32, f *features, v *click.Vector) {
	got := v[scoring.SlotFingerprint]
	s := o.first[f.event]
	key := hexOf(s.event.AgentKey[:]) + s.sig.AcceptLanguage
	if before, ok := codes[key]; ok && before != got || (got == 0) != (s.sig.AcceptLanguage == "") || got > 1023 {
		r.wrong("fingerprint", "event %s: %v, before %v, of language %q", f.event, got, before, s.sig.AcceptLanguage)
	}
	codes[key] = got
}

// mistakes are what the reference might say otherwise, by part and text, and a slot in
// which that shows.
var mistakes = []struct {
	part         int
	right, wrong string
	slot         string
	north        bool // of the first hour of the tenant north, else of the last of south
}{
	{2, "a.slot - 11", "a.slot - 10", "address_clicks_1m", false},
	{2, "w.minute + 60 ORDER", "w.minute + 59 ORDER", "publisher_clicks_1h", false},
	{2, "/ max(1.4826 * coalesce(s.mad, 0)", "/ max(coalesce(s.mad, 0)", "publisher_z_self", false},
	{2, "max(c.in_minute, c.in_1m)", "c.in_minute", "pair_z_peers", false},
	{3, "b.bucket >= a.pair_hour - 1 THEN b.target", "b.bucket >= a.pair_hour THEN b.target", "pair_targets", false},
	{3, "max(gap, 500000)", "max(gap, 1)", "pair_gap_octaves", false},
	{4, "OR c.flags & 15 <> 0", "OR c.flags & 7 <> 0 AND 0", "scope_clicks", false},
	{6, "(coalesce(p.firsts, 0) + 1)", "coalesce(p.firsts, 0)", "hour_pair_focus_z", false},
	{4, "max(1.4826 * mad, least, 0.25 * median,", "max(mad, least,", "group_z", true},
	{4, ">= 0.8 * clicks AND alone", ">= 0.8 * clicks", "publisher_loyal", false},
	{4, "0.75 * sum(weight)", "0.5 * sum(weight)", "ally_expected", false},
	{2, "(p.q3 - p.q1, 1.349", "(p.q3 - p.q1, 1", "pair_fence", false},
	{4, "rank = 3 * n / 4 + 1", "rank = n / 2 + 1", "publisher_quick_usual", true},
	{4, "- missing + 1)", "+ 1)", "undisplayed_z", true},
	{4, "share < 0.75", "share < 0", "hour_facts", false},
	{5, "OVER of_day < 15", "OVER of_day < 0", "day_visits", false},
	{5, "(two + 0.5)", "two", "day_returning_usual", false},
	{4, "pressed > 1 AS more", "pressed > 2 AS more", "hour_pair_replays", false},
	{6, "+ max(0, g.n - g.told) * g.again_elsewhere", "", "group_again", false},
}

// mistakesAreSeen: the comparison notices each of the mistakes in one pass, which agrees
// when there is none.
func (o *outcome) mistakesAreSeen(t *testing.T, market string, round int, north bool) {
	t.Helper()
	db := reference(t, o)
	_, err := db.Exec("DELETE FROM pass WHERE NOT (late = 0 AND source = 'edge' AND tenant = ? AND round = ?)", market, round)
	check(t, err)
	for part := 1; part <= 6; part++ {
		for _, m := range mistakes {
			if m.part == part && m.north == north {
				o.mistakeIsSeen(t, db, part, m.right, m.wrong, m.slot)
			}
		}
		run(t, db, script(t, part)[:1])
	}
	if r := o.against(t, db); len(r.differ) > 0 || r.clicks < 500 {
		t.Errorf("without a mistake: %d vectors, differences %v", r.clicks, r.first)
	}
}

// mistakeIsSeen goes on from the parts before with a mistake, and back to them.
func (o *outcome) mistakeIsSeen(t *testing.T, db *sql.DB, part int, right, wrong, slot string) {
	t.Helper()
	parts := script(t, part)
	if !strings.Contains(parts[0], right) {
		t.Errorf("part %d does not say %q", part, right)
		return
	}
	_, err := db.Exec("SAVEPOINT mistake")
	check(t, err)
	parts[0] = strings.ReplaceAll(parts[0], right, wrong)
	run(t, db, parts)
	if r := o.against(t, db); r.differ[slot] == 0 {
		t.Errorf("nobody notices %q instead of %q; what differs is %v", wrong, right, r.differ)
	}
	_, err = db.Exec("ROLLBACK TO mistake; RELEASE mistake")
	check(t, err)
}
