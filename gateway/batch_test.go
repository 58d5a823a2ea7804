package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/token"
)

// itemJSON is a good item at t with further fields.
func itemJSON(t time.Time, n int, more string) string {
	return fmt.Sprintf(`{"id":"%s","ip":"203.0.113.77","user_agent":"Kite/1"%s}`, newID(t, n), more)
}

type answerItem struct {
	Index                            int
	ID, Status, Code, Field, Message string
}

type answerBody struct {
	Accepted, Malformed int
	Items               []answerItem
}

func (r *rig) parse(a reply) answerBody {
	r.tb.Helper()
	var b answerBody
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		r.tb.Fatalf("answer %+v: %v", a, err)
	}
	accepted := 0
	for i, it := range b.Items {
		if it.Index != i || it.Status != "accepted" && it.Status != "malformed" {
			r.tb.Fatalf("item %d is %+v", i, it)
		}
		if it.Status == "accepted" {
			accepted++
		}
	}
	if b.Accepted != accepted || b.Accepted+b.Malformed != len(b.Items) {
		r.tb.Fatalf("sums disagree: %+v", b)
	}
	return b
}

func TestBatchItemIsStoredWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	at := t0.Add(-time.Hour)
	id := newID(at, 1)
	body := `{"id":"` + id + `","event_time":"2026-11-10T12:00:00.0005+01:00","ip":"2001:db8::77","user_agent":"Kite/1","referer":"https://ref.example/x",` +
		`"accept_language":"en","campaign_id":"cmp-1","ad_group_id":"g","creative_id":"k","publisher_id":"p","placement_id":"slot\r\n7","country":"DE","landing_url":"https://any.example/x"}`
	if b := r.parse(r.batch(acmeKey, body)); b.Accepted != 1 || b.Items[0].ID != id {
		t.Fatalf("answer %+v", b)
	}
	c := r.one()
	got := *c
	got.Evidence, got.IPKey, got.AgentKey = nil, click.Key{}, click.Key{}
	eventID, _ := click.ParseID(id)
	want := click.Click{
		TenantID: "acme", SourceID: "api", EventID: eventID, IDTime: at.UnixMicro(), EventTime: at.UnixMicro() + 500, ReceivedAt: t0.UnixMicro(),
		Entry: click.EntryBatch, AdvertiserID: "adv-1", CampaignID: "cmp-1", AdGroupID: "g", CreativeID: "k", PublisherID: "p",
		PlacementID: "slot\r\n7", LandingHost: "any.example", RefererHost: "ref.example", Country: "DE",
		PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC, RateCard: "v2",
		KeyEpoch: c.KeyEpoch, IPPrefix: "2001:db8::/48", Verdict: click.Verdict{State: click.Valid},
	}
	if diff := diffClick(&got, &want); diff != "" {
		t.Error(diff)
	}
	wantEvidence := click.Evidence{IP: "2001:db8::77", UserAgent: "Kite/1", Referer: "https://ref.example/x", AcceptLanguage: "en"}
	if e := r.evidence(c); e != wantEvidence {
		t.Errorf("evidence %+v", e)
	}
}

func TestBatchToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	at := t0.Add(-time.Minute)
	b := r.parse(r.batch(acmeKey, itemJSON(at, 1, `,"token":"`+r.mint(nil)+`","campaign_id":"other","advertiser_id":"adv-9","publisher_id":"p"`)))
	c := r.one()
	if b.Accepted != 1 || c.ClickID.IsZero() || c.CampaignID != "cmp-1" || c.AdvertiserID != "adv-1" || c.PublisherID != "pub-1" ||
		c.PriceMicros != 120_000 || c.RateCard != "" || c.Flags != click.FlagSealedToken {
		t.Errorf("click %+v", c)
	}
	expired := r.mint(func(tok *token.Token) {
		tok.IssuedAt, tok.ExpiresAt = t0.Add(-2*time.Hour).UnixMicro(), t0.Add(-30*time.Minute).UnixMicro()
	})
	r.batch(acmeKey, itemJSON(t0.Add(-time.Hour), 2, `,"token":"`+expired+`"`)+"\n"+itemJSON(t0.Add(-time.Minute), 3, `,"token":"`+expired+`"`))
	clicks, _ := r.take()
	if len(clicks) != 2 || clicks[0].Flags&click.FlagTokenExpired != 0 || clicks[1].Flags&click.FlagTokenExpired == 0 {
		t.Errorf("expiry is not judged at the event time")
	}
}

// Case 05.
func TestBodiesOfWindowsTools(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	item := func(n int, more string) string { return itemJSON(t0, n, more) }
	lines := "\xEF\xBB\xBF" + item(1, "") + "\r\n\r\n" + item(2, `,"placement_id":"slot\r\n7"`) + "\n   \n" + item(3, "")
	array := "\xEF\xBB\xBF[" + item(1, "") + "," + item(2, `,"placement_id":"slot\r\n7"`) + " ,\r\n" + item(3, "") + "]"
	for name, body := range map[string]string{"lines": lines, "array": array, "array without mark": array[3:]} {
		b := r.parse(r.batch(acmeKey, body))
		clicks, letters := r.take()
		if len(clicks) != 3 || len(letters) != 0 || len(b.Items) != 3 || b.Malformed != 0 || clicks[1].PlacementID != "slot\r\n7" {
			t.Errorf("%s: %+v, %d clicks, %d letters", name, b, len(clicks), len(letters))
		}
		for i, it := range b.Items {
			if it.ID != newID(t0, i+1) {
				t.Errorf("%s: item %d has id %s", name, i, it.ID)
			}
		}
	}
	wide := "\xFF\xFE"
	for _, u := range utf16.Encode([]rune(item(1, ""))) {
		wide += string([]byte{byte(u), byte(u >> 8)})
	}
	for name, tt := range map[string]struct {
		body, code string
		status     int
	}{
		"UTF-16":            {wide, "bad_encoding", 400},
		"empty":             {"", "empty_body", 400},
		"blank":             {" \r\n\t ", "empty_body", 400},
		"mark alone":        {"\xEF\xBB\xBF", "empty_body", 400},
		"no JSON":           {"id,ip\n1,203.0.113.1\n", "not_json", 400},
		"too many":          {strings.Repeat("{}\n", 1001), "too_many", 413},
		"too many in array": {"[" + strings.Repeat("{},", 1001) + "{}]", "too_many", 413},
	} {
		a := r.batch(acmeKey, tt.body)
		if a.status != tt.status || !strings.HasPrefix(a.body, `{"code":"`+tt.code+`"`) {
			t.Errorf("%s: %+v", name, a)
		}
		if d := r.letter(); d.Code != tt.code || d.Entry != click.EntryBatch || r.raw(d) != tt.body {
			t.Errorf("%s: letter %+v", name, d)
		}
	}
	// A mark in the middle is that line's fault alone.
	if b := r.parse(r.batch(acmeKey, item(1, "")+"\n\xEF\xBB\xBF"+item(2, "")+"\n"+item(3, ""))); b.Accepted != 2 || b.Items[1].Code != "bad_bom" {
		t.Errorf("mark in the middle: %+v", b)
	}
	r.take()
	if b := r.parse(r.batch(acmeKey, "[]")); len(b.Items) != 0 {
		t.Errorf("empty array: %+v", b)
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
		t.Error("an empty array was recorded")
	}
}

// Case 06.
func TestTextsThatDatabasesRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	item := func(n int, agent string) string {
		return `{"id":"` + newID(t0, n) + `","ip":"203.0.113.77","user_agent":"` + agent + `"}`
	}
	items := []string{
		item(1, `Kite/1 \u0000x`), item(2, `Kite/1 \ud83c`), item(3, `Kite/1 \ud83c\udf4b`), item(4, "Kite/1 \xC3\x28"), item(5, `Kite/1 \\u0000`),
		`{"id":"` + newID(t0, 6) + `","ip":"203.0.113.77","user\u0000agent":"x"}`,
	}
	b := r.parse(r.batch(acmeKey, strings.Join(items, "\n")))
	clicks, letters := r.take()
	if b.Accepted != 2 || len(clicks) != 2 || len(letters) != 4 {
		t.Fatalf("%+v, %d clicks, %d letters", b, len(clicks), len(letters))
	}
	if a, c := r.evidence(clicks[0]).UserAgent, r.evidence(clicks[1]).UserAgent; a != "Kite/1 \U0001F34B" || c != `Kite/1 \u0000` {
		t.Errorf("agents %q and %q", a, c)
	}
	for i, want := range []struct {
		index       int
		code, field string
	}{{0, "nul_byte", "user_agent"}, {1, "lone_surrogate", "user_agent"}, {3, "bad_utf8", "user_agent"}, {5, "nul_byte", ""}} {
		it, d := b.Items[want.index], letters[i]
		if it.Code != want.code || it.Field != want.field || d.Code != it.Code || d.Field != it.Field || d.Message != it.Message || r.raw(d) != items[want.index] {
			t.Errorf("item %d: %+v, letter %+v", want.index, it, d)
		}
	}
}

// Case 07.
func TestRepeatsAndIdempotency(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	line := func(n int, at time.Time) string {
		return fmt.Sprintf(`{"id":"%s","event_time":%d,"ip":"203.0.113.77"}`, newID(t0, n), at.UnixMilli())
	}
	a, b, c, d := line(1, t0), line(2, t0), line(3, t0), line(4, t0)
	first := r.batch(acmeKey, a+"\n"+b+"\n"+c, "Idempotency-Key: K1")
	if got := r.parse(first); got.Accepted != 3 {
		t.Fatalf("batch 1: %+v", got)
	}
	second := r.parse(r.batch(acmeKey, b+"\n"+d+"\n"+b+"\n"+line(1, t0.Add(time.Millisecond)), "Idempotency-Key: K2"))
	if second.Accepted != 4 {
		t.Errorf("batch 2: %+v", second)
	}
	clicks, _ := r.take()
	unique := map[string]int{}
	for _, k := range clicks {
		unique[fmt.Sprint(k.TenantID, k.EventID, k.IDTime)]++ // the unique key of the store
	}
	if len(clicks) != 7 || len(unique) != 4 {
		t.Errorf("%d clicks under %d keys, want 7 under 4", len(clicks), len(unique))
	}
	third := r.batch(acmeKey, a+"\n"+b+"\n"+c, "Idempotency-Key: K1")
	if third.status != 200 || third.body != first.body || third.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("batch 3: %+v", third)
	}
	fourth := r.batch(acmeKey, a, "Idempotency-Key: K1")
	if fourth.status != 422 || !strings.Contains(fourth.body, "idempotency_key_reused") {
		t.Errorf("batch 4: %+v", fourth)
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
		t.Error("a replay was recorded")
	}
	if got := r.parse(r.batch(acmeKey, strings.Repeat(b+"\n", 200))); got.Accepted != 200 {
		t.Errorf("batch 5: %+v", got.Accepted)
	}
	if got := r.parse(r.batch(globexKey, a, "Idempotency-Key: K1")); got.Accepted != 1 {
		t.Error("idempotency keys of two tenants met")
	}
	for _, h := range [][]string{{"Idempotency-Key: " + strings.Repeat("k", 256)}, {"Idempotency-Key: "}, {"Idempotency-Key: a", "Idempotency-Key: b"}, {"Idempotency-Key: \xff"}} {
		if got := r.batch(acmeKey, a, h...); got.status != 400 {
			t.Errorf("%q: %+v", h, got)
		}
	}
}

func TestOnlySuccessIsRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.log.set(func(l *fakeLog) { l.fail = errTestLog })
	if a := r.batch(acmeKey, itemJSON(t0, 1, ""), "Idempotency-Key: K"); a.status != 503 {
		t.Fatalf("%+v", a)
	}
	r.log.set(func(l *fakeLog) { l.fail = nil; l.hold = true })
	done := make(chan reply)
	go func() {
		a, _ := r.trySend(peerAddr, request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "Authorization: Bearer "+acmeKey, "Idempotency-Key: K"))
		done <- a
	}()
	waitFor(t, "the retry is inside", func() bool { _, _, held := r.log.counts(); return held == 1 })
	if a := r.batch(acmeKey, itemJSON(t0, 1, ""), "Idempotency-Key: K"); a.status != 409 {
		t.Errorf("in flight: %+v", a)
	}
	if a := r.batch(acmeKey, itemJSON(t0, 2, ""), "Idempotency-Key: K"); a.status != 422 {
		t.Errorf("in flight, other body: %+v", a)
	}
	r.log.release(nil)
	if a := <-done; a.status != 200 {
		t.Errorf("retry: %+v", a)
	}
}

// Case 11.
func TestEventTimes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ms := func(d time.Duration) string { return fmt.Sprint(t0.Add(d).UnixMilli()) }
	for _, tt := range []struct {
		stated string
		idAt   time.Duration // from t0
		code   string        // empty: accepted
		want   time.Duration // from t0
	}{
		{ms(80 * time.Second), 80 * time.Second, "", 80 * time.Second},
		{ms(5 * time.Minute), 5 * time.Minute, "", 5 * time.Minute},
		{ms(5*time.Minute + time.Second), 5*time.Minute + time.Second, "future_time", 0},
		{ms(-71*time.Hour - 59*time.Minute), -71*time.Hour - 59*time.Minute, "", -71*time.Hour - 59*time.Minute},
		{ms(-73 * time.Hour), -73 * time.Hour, "late_time", 0},
		{`"1970-01-01T00:00:00Z"`, 0, "out_of_range", 0},
		{`"2026-02-30T10:00:00Z"`, 0, "no_such_date", 0},
		{`"2026-11-10T11:59:60Z"`, 0, "leap_second", 0},
		{`"2026-11-10 11:59:59+00"`, -time.Second, "bad_time", 0},
		{`"2026-11-10t11:59:59z"`, -time.Second, "", -time.Second},
		{`"2026-11-10T17:29:59+05:30"`, -time.Second, "", -time.Second},
		{`"2026-11-10T11:59:59,250Z"`, -time.Second, "bad_time", 0},
		{`"2026-11-10T11:59:59"`, -time.Second, "no_zone", 0},
		{fmt.Sprint(t0.Unix()), 0, "wrong_unit", 0},
		{fmt.Sprint(t0.UnixMicro()), 0, "wrong_unit", 0},
		{ms(0), 0, "", 0},
		{"-1", 0, "out_of_range", 0},
		{"1e3", 0, "not_integer", 0},
		{"null", 0, "wrong_type", 0},
		{"", -time.Minute, "", -time.Minute}, // absent: the id's time
		{ms(time.Second), 0, "", time.Second},
		{ms(1001 * time.Millisecond), 0, "time_mismatch", 0},
		{ms(-1001 * time.Millisecond), 0, "time_mismatch", 0},
	} {
		more := ""
		if tt.stated != "" {
			more = `,"event_time":` + tt.stated
		}
		b := r.parse(r.batch(acmeKey, itemJSON(t0.Add(tt.idAt), 1, more)))
		if tt.code == "" {
			if c := r.one(); c.EventTime != t0.Add(tt.want).UnixMicro() || c.IDTime != t0.Add(tt.idAt).UnixMicro() {
				t.Errorf("%q: event time %d", tt.stated, c.EventTime)
			}
			continue
		}
		if d := r.letter(); b.Items[0].Code != tt.code || b.Items[0].Field != "event_time" || d.Code != tt.code {
			t.Errorf("%q: %+v", tt.stated, b.Items[0])
		}
	}
	old := t0.Add(-365 * 24 * time.Hour)
	if b := r.parse(r.batch(acmeOldKey, itemJSON(old, 1, ""))); b.Accepted != 1 {
		t.Errorf("backfill: %+v", b)
	}
	if b := r.parse(r.batch(acmeOldKey, `{"id":"00000000000000000000000000","ip":"203.0.113.1"}`)); b.Malformed != 1 || b.Items[0].Field != "id" {
		t.Errorf("backfill of 1970: %+v", b)
	}
	r.take()
	r.clock.Store(t0.Add(-time.Hour).UnixMicro()) // the gateway's clock is set back
	if b := r.parse(r.batch(acmeKey, itemJSON(t0.Add(-time.Hour), 2, ""))); b.Accepted != 1 {
		t.Errorf("after the clock was set back: %+v", b)
	}
	if families, err := r.reg.Gather(); err != nil || !slices.ContainsFunc(families, func(f *metricFamily) bool {
		return f.GetName() == "clickgate_gateway_event_skew_seconds" && len(f.GetMetric()) >= 3
	}) {
		t.Error("no skew per source:", err)
	}
}

// Every row of the table of fields, right and wrong.
func TestItemFields(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := newID(t0, 1)
	otherTenant := r.mintWith(2, func(tok *token.Token) { tok.TenantID = "globex" })
	covered := map[string]bool{}
	base := func(drop string, more string) string {
		fields := []string{}
		for _, f := range [][2]string{{"id", `"` + id + `"`}, {"ip", `"203.0.113.77"`}} {
			if f[0] != drop {
				fields = append(fields, `"`+f[0]+`":`+f[1])
			}
		}
		if more != "" {
			fields = append(fields, more)
		}
		return "{" + strings.Join(fields, ",") + "}"
	}
	for _, tt := range []struct{ drop, field, value, code string }{
		{"id", "id", "", "missing"},
		{"id", "id", `""`, "bad_id"},
		{"id", "id", `7`, "wrong_type"},
		{"id", "id", `"0191b5a0-0000-4000-8000-000000000000"`, "bad_id"},
		{"id", "id", `"` + strings.ReplaceAll(id, "-", "") + `"`, "bad_id"},
		{"id", "id", `"` + strings.ToUpper(id) + `"`, ""},
		{"ip", "ip", "", "missing"},
		{"ip", "ip", `"203.0.113.77:80"`, "bad_ip"},
		{"ip", "ip", `"[2001:db8::1]"`, "bad_ip"},
		{"ip", "ip", `"fe80::1%eth0"`, "bad_ip"},
		{"ip", "ip", `"0.0.0.0"`, "bad_ip"},
		{"ip", "ip", `"unknown"`, "bad_ip"},
		{"ip", "ip", `"::ffff:203.0.113.9"`, ""},
		{"ip", "ip", `3405803785`, "wrong_type"},
		{"", "event_time", `true`, "wrong_type"},
		{"", "token", `"x"`, "bad_token"},
		{"", "token", `"` + otherTenant + `"`, "token_tenant"},
		{"", "token", `""`, ""},
		{"", "user_agent", `null`, "wrong_type"},
		{"", "user_agent", `""`, ""},
		{"", "user_agent", `"` + strings.Repeat("9", 4000) + `"`, ""},
		{"", "referer", `{}`, "wrong_type"},
		{"", "referer", `"no url"`, ""},
		{"", "accept_language", `[]`, "wrong_type"},
		{"", "accept_language", `"de"`, ""},
		{"", "advertiser_id", `"a b"`, "bad_id"},
		{"", "advertiser_id", `"` + strings.Repeat("x", 129) + `"`, "too_long"},
		{"", "advertiser_id", `"adv-7","campaign_id":"cmp-1"`, "advertiser_mismatch"},
		{"", "advertiser_id", `"adv-1","campaign_id":"cmp-1"`, ""},
		{"", "campaign_id", `"café"`, "bad_id"},
		{"", "campaign_id", `"unheard-of"`, ""},
		{"", "ad_group_id", `1`, "wrong_type"},
		{"", "creative_id", `"\n"`, "bad_id"},
		{"", "publisher_id", `" "`, "bad_id"},
		{"", "publisher_id", `""`, ""},
		{"", "placement_id", `"` + strings.Repeat("x", 129) + `"`, "too_long"},
		{"", "placement_id", `"any text ü"`, ""},
		{"", "country", `"de"`, "unknown_country"},
		{"", "country", `"DE"`, ""},
		{"", "landing_url", `"/relative"`, "open_redirect"},
		{"", "landing_url", `"https://a b/"`, "bad_url"},
		{"", "landing_url", `"HTTP://Any.Example"`, ""},
		{"", "landing_url", `"https://any.example:8443/"`, ""},
		{"", "unknown_thing", `1`, "unknown_field"},
	} {
		more := ""
		if tt.value != "" {
			more = `"` + tt.field + `":` + tt.value
		}
		covered[tt.field] = true
		raw := base(tt.drop, more)
		neighbour := itemJSON(t0, 2, "")
		b := r.parse(r.batch(acmeKey, neighbour+"\n"+raw+"\n"+neighbour))
		clicks, letters := r.take()
		if len(b.Items) != 3 || b.Items[0].Status != "accepted" || b.Items[2].Status != "accepted" {
			t.Fatalf("%s: the neighbours suffered: %+v", raw, b)
		}
		if tt.code == "" {
			if len(clicks) != 3 {
				t.Errorf("%s: %+v", raw, b.Items[1])
			}
			continue
		}
		it := b.Items[1]
		if !slices.ContainsFunc(Codes(), func(d edge.CodeDoc) bool { return d.Code == tt.code }) {
			t.Errorf("code %s is not documented", tt.code)
		}
		if it.Code != tt.code || it.Field != tt.field || it.Message == "" || len(clicks) != 2 || len(letters) != 1 || letters[0].Code != tt.code || r.raw(letters[0]) != raw {
			t.Errorf("%s: %+v, want %s", raw, it, tt.code)
		}
	}
	for _, f := range itemFields {
		if !covered[f.name] {
			t.Errorf("field %s has no row", f.name)
		}
	}
	for raw, code := range map[string]string{
		`{"id":`:                       "bad_json",
		base("", `"ip":"203.0.113.1"`): "repeated_key",
		base("", "") + "x":             "trailing_data",
		`[1]`:                          "not_object",
		base("", `"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)): "too_deep",
		base("", `"user_agent":"`+strings.Repeat("x", 70_000)+`"`):       "too_long",
	} {
		b := r.parse(r.batch(acmeKey, itemJSON(t0, 2, "")+"\n"+raw))
		if d := r.letter2(); b.Items[1].Code != code || r.raw(d) != raw {
			t.Errorf("%.80s: %+v, want %s", raw, b.Items[1], code)
		}
	}
}

// letter2 returns the one dead letter beside one click.
func (r *rig) letter2() *click.DeadLetter {
	r.tb.Helper()
	clicks, letters := r.take()
	if len(clicks) != 1 || len(letters) != 1 {
		r.tb.Fatalf("got %d clicks and %d letters", len(clicks), len(letters))
	}
	return letters[0]
}

func TestTenantsWithEqualIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	body := itemJSON(t0, 1, `,"campaign_id":"cmp-1"`)
	r.batch(acmeKey, body)
	r.batch(globexKey, body)
	clicks, _ := r.take()
	if len(clicks) != 2 {
		t.Fatalf("%d clicks", len(clicks))
	}
	a, g := clicks[0], clicks[1]
	if a.TenantID != "acme" || g.TenantID != "globex" || a.EventID != g.EventID || a.IPKey == g.IPKey || a.AgentKey == g.AgentKey {
		t.Error("tenants share a key, or do not share the id")
	}
	if g.AdvertiserID != "" || g.Billable() || !a.Billable() {
		t.Error("globex got acme's campaign")
	}
	if _, err := r.ring.Open("globex", a.EventID, a.Evidence); err == nil {
		t.Error("acme's evidence opens for globex")
	}
}

func TestTestKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.batch(acmeTestKey, itemJSON(t0, 1, ""))
	if c := r.one(); c.Flags != click.FlagTest {
		t.Errorf("flags %b", c.Flags)
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, headers := range [][]string{
		nil, {"Authorization: Bearer"}, {"Authorization: Bearer "}, {"Authorization: Bearer wrong"}, {"Authorization: Basic " + acmeKey},
		{"Authorization: " + acmeKey}, {"Authorization: Bearer " + acmeKey + "x"}, {"Authorization: Bearer " + sumHex(acmeKey)},
		{"Authorization: Bearer " + acmeKey, "Authorization: Bearer " + globexKey},
	} {
		a := r.send(peerAddr, request("POST", "/v1/clicks", itemJSON(t0, 1, ""), headers...))
		if a.status != 401 || a.header.Get("WWW-Authenticate") != "Bearer" || !strings.HasPrefix(a.body, `{"code":"unauthorized"`) {
			t.Errorf("%q: %+v", headers, a)
		}
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) > 0 || r.metric("refused_total", "unauthorized") != 9 {
		t.Error("recorded, or not counted")
	}
	if a := r.send(peerAddr, request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "authorization: bearer "+acmeKey)); a.status != 200 {
		t.Errorf("other letter case: %+v", a)
	}
}

func TestItemsInheritNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	full := itemJSON(t0, 1, `,"token":"`+r.mint(nil)+`","country":"DE","referer":"https://ref.example/","accept_language":"de","landing_url":"https://any.example/"`)
	bare := `{"id":"` + newID(t0, 2) + `","ip":"203.0.113.78"}`
	r.batch(acmeKey, full+"\n"+bare)
	clicks, _ := r.take()
	if len(clicks) != 2 {
		t.Fatalf("%d clicks", len(clicks))
	}
	got := *clicks[1]
	id, _ := click.ParseID(newID(t0, 2))
	want := click.Click{
		TenantID: "acme", SourceID: "api", EventID: id, IDTime: t0.UnixMicro(), EventTime: t0.UnixMicro(), ReceivedAt: t0.UnixMicro(),
		Entry: click.EntryBatch, IPKey: got.IPKey, KeyEpoch: got.KeyEpoch, IPPrefix: "203.0.113.0/24", Evidence: got.Evidence,
		Verdict: click.Verdict{State: click.Valid, Reasons: click.Reasons(0).Set(click.ReasonNoPrice)},
	}
	if diff := diffClick(&got, &want); diff != "" {
		t.Error(diff)
	}
	if e := r.evidence(clicks[1]); e != (click.Evidence{IP: "203.0.113.78"}) {
		t.Errorf("evidence %+v", e)
	}
}
