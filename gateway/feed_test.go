package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/durable"
	"clickgate/gateway/edge"
	"clickgate/gateway/stream"
	"clickgate/gateway/token"
)

func feedID(n int) string { return fmt.Sprintf("01a211a8-50df-4540-8193-%012d", n) }

// impressionJSON and conversionJSON are good items with further fields.
func impressionJSON(n int, more string) string {
	return fmt.Sprintf(`{"click_id":"%s","event_time":"2026-11-10T11:59:00.25Z"%s}`, feedID(n), more)
}

func conversionJSON(n int, more string) string {
	return fmt.Sprintf(`{"click_id":"%s","event_time":1762774740250,"kind":"install"%s}`, feedID(n), more)
}

// fedAt is the time in both.
var fedAt = t0.Add(-time.Minute + 250*time.Millisecond)

func (r *rig) feed(path, key, body string, headers ...string) reply {
	r.tb.Helper()
	body = strings.ReplaceAll(body, "1762774740250", fmt.Sprint(fedAt.UnixMilli()))
	return r.send(peerAddr, request("POST", "/v1/"+path, body, slices.Concat([]string{"Authorization: Bearer " + key}, headers)...))
}

// fed returns the records since the last call, and demands that none is an event.
func (r *rig) fed() []durable.Record {
	r.tb.Helper()
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	records := r.log.records
	r.log.records = nil
	for i := range records {
		if !records[i].Kind.Fed() {
			r.tb.Errorf("record %d of a feed is of kind %c", i, records[i].Kind)
		}
	}
	return records
}

func TestImpressions(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	sealed := r.mint(nil)
	tokenID := click.ID{0: 1, 15: byte(r.serial)}
	body := impressionJSON(1, "") + "\n" + `{"token":"` + sealed + `","event_time":"2026-11-10T12:59:00.25+01:00"}` + "\r\n\r\n" +
		`{"token":"` + sealed + `","click_id":"` + tokenID.String() + `","event_time":"2026-11-10T11:59:00.25Z"}`
	if b := r.parse(r.feed("impressions", acmeKey, body)); b.Accepted != 3 || b.Items[0].ID != feedID(1) {
		t.Fatalf("answer %+v", b)
	}
	want, _ := click.ParseID(feedID(1))
	records := r.fed()
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	for i, id := range []click.ID{want, tokenID, tokenID} {
		got, err := click.DecodeImpression(records[i].Value)
		if err != nil || got != (click.Impression{TenantID: "acme", ClickID: id, ShownAt: fedAt.UnixMicro()}) || records[i].ID != id ||
			records[i].Kind != stream.KindImpression || records[i].TenantID != "acme" {
			t.Errorf("record %d is %+v of %+v, %v", i, got, records[i], err)
		}
	}
	if n := r.metric("feed_items_total", "impressions", "accepted"); n != 3 {
		t.Errorf("%v items counted, want 3", n)
	}
	if n := r.metric("events_total"); n != 0 {
		t.Errorf("%v clicks counted for a feed", n)
	}
}

func TestConversions(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	body := "[" + conversionJSON(1, `,"transaction_id":"order-1","value_micros":1500000,"currency":"EUR"`) + "," +
		conversionJSON(2, `,"transaction_id":"order-1"`) + "," + conversionJSON(1, "") + "," + conversionJSON(1, `,"transaction_id":""`) + "]"
	if b := r.parse(r.feed("conversions", acmeKey, body)); b.Accepted != 4 {
		t.Fatalf("answer %+v", b)
	}
	records := r.fed()
	if len(records) != 4 {
		t.Fatalf("%d records, want 4", len(records))
	}
	first, err := click.DecodeConversion(records[0].Value)
	id, _ := click.ParseID(feedID(1))
	if want := (click.Conversion{
		TenantID: "acme", SourceID: "api", ClickID: id, ConvertedAt: fedAt.UnixMicro(), ReceivedAt: t0.UnixMicro(),
		Kind: "install", TransactionID: "order-1", ValueMicros: 1_500_000, Currency: "EUR",
	}); err != nil || first != want {
		t.Errorf("conversion %+v, want %+v, %v", first, want, err)
	}
	if records[0].ID != records[1].ID || records[2].ID != records[3].ID || records[0].ID == records[2].ID {
		t.Error("a transaction id must name a conversion, and a blank one must not")
	}
}

// TestFeedItems: what is no item is told by its code, is kept nowhere, and does not hurt
// the others.
func TestFeedItems(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	foreign := r.mintWith(2, func(tok *token.Token) { tok.TenantID = "globex" })
	mine := r.mint(nil)
	for name, tt := range map[string]struct{ path, item, code, field string }{
		"no id":              {"impressions", `{"event_time":"2026-11-10T11:59:00Z"}`, edge.CodeMissing, "click_id"},
		"empty id":           {"impressions", `{"click_id":"","event_time":"2026-11-10T11:59:00Z"}`, edge.CodeMissing, "click_id"},
		"zero id":            {"impressions", `{"click_id":"00000000-0000-0000-0000-000000000000","event_time":"2026-11-10T11:59:00Z"}`, edge.CodeBadID, "click_id"},
		"bad id":             {"impressions", `{"click_id":"01a211a8-50df-4540-8193-00000000000g","event_time":"2026-11-10T11:59:00Z"}`, edge.CodeBadID, "click_id"},
		"id is a number":     {"impressions", `{"click_id":7,"event_time":"2026-11-10T11:59:00Z"}`, edge.CodeWrongType, "click_id"},
		"no time":            {"impressions", `{"click_id":"` + feedID(1) + `"}`, edge.CodeMissing, "event_time"},
		"seconds":            {"impressions", `{"click_id":"` + feedID(1) + `","event_time":1762774740}`, edge.CodeWrongUnit, "event_time"},
		"no zone":            {"impressions", `{"click_id":"` + feedID(1) + `","event_time":"2026-11-10T11:59:00"}`, edge.CodeNoZone, "event_time"},
		"future":             {"impressions", `{"click_id":"` + feedID(1) + `","event_time":"2026-11-10T12:05:01Z"}`, edge.CodeFutureTime, "event_time"},
		"late":               {"impressions", `{"click_id":"` + feedID(1) + `","event_time":"2026-11-07T11:59:59Z"}`, edge.CodeLateTime, "event_time"},
		"broken token":       {"impressions", `{"token":"x` + mine + `","event_time":"2026-11-10T11:59:00Z"}`, codeToken, "token"},
		"foreign token":      {"impressions", `{"token":"` + foreign + `","event_time":"2026-11-10T11:59:00Z"}`, codeTokenTenant, "token"},
		"two opportunities":  {"impressions", impressionJSON(9, `,"token":"`+mine+`"`), codeClickMismatch, "click_id"},
		"field of clicks":    {"impressions", impressionJSON(1, `,"ip":"203.0.113.1"`), codeUnknownField, "ip"},
		"field of the other": {"impressions", impressionJSON(1, `,"kind":"install"`), codeUnknownField, "kind"},
		"key twice":          {"impressions", impressionJSON(1, `,"event_time":"2026-11-10T11:59:00Z"`), edge.CodeRepeatedKey, "event_time"},
		"no object":          {"impressions", `[1]`, edge.CodeNotObject, ""},
		"NUL":                {"impressions", `{"click_id":"\u0000","event_time":"2026-11-10T11:59:00Z"}`, edge.CodeNULByte, "click_id"},
		"no kind":            {"conversions", impressionJSON(1, ""), edge.CodeMissing, "kind"},
		"kind with space":    {"conversions", impressionJSON(1, `,"kind":"an install"`), edge.CodeBadID, "kind"},
		"blank transaction":  {"conversions", conversionJSON(1, `,"transaction_id":" "`), edge.CodeBadID, "transaction_id"},
		"long transaction":   {"conversions", conversionJSON(1, `,"transaction_id":"`+strings.Repeat("x", 129)+`"`), edge.CodeTooLong, "transaction_id"},
		"null transaction":   {"conversions", conversionJSON(1, `,"transaction_id":null`), edge.CodeWrongType, "transaction_id"},
		"negative value":     {"conversions", conversionJSON(1, `,"value_micros":-1,"currency":"EUR"`), edge.CodeOutOfRange, "value_micros"},
		"vast value":         {"conversions", conversionJSON(1, `,"value_micros":1000000000001,"currency":"EUR"`), edge.CodeOutOfRange, "value_micros"},
		"value in units":     {"conversions", conversionJSON(1, `,"value_micros":1.5,"currency":"EUR"`), edge.CodeNotInteger, "value_micros"},
		"no currency":        {"conversions", conversionJSON(1, `,"value_micros":1`), edge.CodeMissing, "currency"},
		"no such currency":   {"conversions", conversionJSON(1, `,"value_micros":1,"currency":"EUX"`), edge.CodeUnknownCurrency, "currency"},
	} {
		good := impressionJSON(1, "")
		if tt.path == "conversions" {
			good = conversionJSON(1, "")
		}
		b := r.parse(r.feed(tt.path, acmeKey, "["+good+","+tt.item+","+good+"]"))
		if b.Accepted != 2 || b.Malformed != 1 {
			t.Errorf("%s: %+v", name, b)
			continue
		}
		if it := b.Items[1]; it.Code != tt.code || it.Field != tt.field {
			t.Errorf("%s: %s of %q, want %s of %q", name, it.Code, it.Field, tt.code, tt.field)
		}
		if n := len(r.fed()); n != 2 {
			t.Errorf("%s: %d records, want those of the other two items", name, n)
		}
	}
}

// TestFeedBodies: what refuses a batch of clicks refuses a feed.
func TestFeedBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.MaxBatchItems, c.Limits.MaxBatchBytes = 2, 4096 })
	good := impressionJSON(1, "")
	for name, tt := range map[string]struct {
		raw    string
		status int
		code   string
	}{
		"no key":         {request("POST", "/v1/impressions", good), 401, codeUnauthorized},
		"another key":    {request("POST", "/v1/conversions", good, "Authorization: Bearer nobody"), 401, codeUnauthorized},
		"get":            {request("GET", "/v1/impressions", ""), 405, codeMethod},
		"empty":          {request("POST", "/v1/impressions", "", "Authorization: Bearer "+acmeKey, "Content-Length: 0"), 400, codeEmpty},
		"no JSON":        {request("POST", "/v1/conversions", "click_id=1", "Authorization: Bearer "+acmeKey), 400, codeNotJSON},
		"too many":       {request("POST", "/v1/impressions", "["+good+","+good+","+good+"]", "Authorization: Bearer "+acmeKey), 413, edge.CodeTooMany},
		"too large":      {request("POST", "/v1/impressions", strings.Repeat(" ", 4097), "Authorization: Bearer "+acmeKey), 413, codeTooLarge},
		"compressed":     {request("POST", "/v1/impressions", good, "Authorization: Bearer "+acmeKey, "Content-Encoding: gzip"), 415, codeContentEncoding},
		"idempotency":    {request("POST", "/v1/impressions", good, "Authorization: Bearer "+acmeKey, "Idempotency-Key: \x80"), 400, codeKeyFormat},
		"path in encode": {request("POST", "/v1/%69mpressions", good, "Authorization: Bearer "+acmeKey), 404, codePath},
	} {
		a := r.send(peerAddr, tt.raw)
		if a.status != tt.status || !strings.Contains(a.body, tt.code) {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, tt.status, tt.code)
		}
	}
	if records := r.fed(); len(records) != 0 {
		t.Errorf("%d records of refused requests", len(records))
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) != 0 {
		t.Errorf("%d clicks and %d dead letters", len(clicks), len(letters))
	}
}

// TestFeedIsDurable: an answer comes behind the record, and a failure is to be repeated.
func TestFeedIsDurable(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, broken := range map[string]func(*fakeLog){
		"refused": func(l *fakeLog) { l.refuse = durable.ErrFeed },
		"failed":  func(l *fakeLog) { l.refuse, l.fail = nil, errTestLog },
	} {
		r.log.set(broken)
		if a := r.feed("impressions", acmeKey, impressionJSON(1, "")); a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, codeNotDurable) {
			t.Errorf("%s: %+v", name, a)
		}
	}
	r.log.set(func(l *fakeLog) { l.fail, l.refuse = nil, nil })
	if len(r.log.shed)+len(r.log.unrecorded) != 0 {
		t.Errorf("the account heard of a feed: shed %v, unrecorded %v", r.log.shed, r.log.unrecorded)
	}
	if n := r.metric("feed_items_total", "impressions", "not_durable"); n != 2 {
		t.Errorf("%v not durable, want 2", n)
	}
	r.fed()
	for i, want := range []string{"", "true"} {
		a := r.feed("impressions", acmeKey, impressionJSON(1, ""), "Idempotency-Key: k")
		if a.status != 200 || a.header.Get("Idempotency-Replayed") != want {
			t.Errorf("request %d: %+v", i, a)
		}
	}
	if a := r.feed("impressions", acmeKey, impressionJSON(2, ""), "Idempotency-Key: k"); a.status != 422 {
		t.Errorf("another body under the key: %+v", a)
	}
	if a := r.feed("conversions", acmeKey, conversionJSON(2, ""), "Idempotency-Key: k"); a.status != 200 || a.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("another feed under the key: %+v", a)
	}
	if n := len(r.fed()); n != 2 {
		t.Errorf("%d records, want one of each feed", n)
	}
}

// TestFeedIsBulk: feeds go first where not all can come in, and use up no quota of clicks.
func TestFeedIsBulk(t *testing.T) {
	t.Parallel()
	r := newRig(t, crowded(0))
	c := r.holdPermit(t, request("GET", "/b?t="+r.mint(nil), ""))
	defer c.Close()
	if a := r.feed("impressions", acmeKey, impressionJSON(1, "")); a.status != 503 || !strings.Contains(a.body, codeOverload) {
		t.Errorf("answer %+v", a)
	}
	if n := r.metric("shed_total", "impressions", admit.Bulk.String()); n != 1 || len(r.log.shed) != 0 {
		t.Errorf("%v shed as bulk, the account has %v", n, r.log.shed)
	}

	r = newRig(t, func(c *Config) { c.Admission.KeyRate, c.Admission.KeyBurst = 1, 1 })
	for i, want := range []int{200, 429, 429} {
		if a := r.feed("impressions", acmeKey, impressionJSON(1, "")); a.status != want {
			t.Errorf("request %d of a feed: %d, want %d", i, a.status, want)
		}
	}
	if a := r.batch(acmeKey, itemJSON(t0, 1, "")); a.status != 200 {
		t.Errorf("clicks behind a busy feed: %d", a.status)
	}
	if len(r.log.shed) != 0 {
		t.Errorf("the account heard of a feed: %v", r.log.shed)
	}
}

// A test key's items are checked, and change nothing.
func TestFeedOfTestKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if b := r.parse(r.feed("impressions", acmeTestKey, impressionJSON(1, "")+"\n"+impressionJSON(2, `,"x":1`))); b.Accepted != 1 || b.Malformed != 1 {
		t.Errorf("answer %+v", b)
	}
	if n := len(r.fed()); n != 0 {
		t.Errorf("%d records of a test key", n)
	}
}

// Without topics for them the feeds are not there.
func TestNoFeeds(t *testing.T) {
	t.Parallel()
	r := newIdleRig(t, nil)
	r.srv.dep.Feeds = false
	r.startInMemory()
	for _, path := range []string{"impressions", "conversions"} {
		if a := r.feed(path, acmeKey, impressionJSON(1, "")); a.status != 404 {
			t.Errorf("%s: %+v", path, a)
		}
	}
}
