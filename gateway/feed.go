package gateway

import (
	"strings"

	"clickgate/gateway/click"
	"clickgate/gateway/durable"
	"clickgate/gateway/edge"
	"clickgate/gateway/stream"

	"github.com/valyala/fasthttp"
)

// feedItem is one impression or conversion as its fields said it. Strings alias the
// body or the parser's scratch.
type feedItem struct {
	clickID     click.ID
	token       string
	at          int64 // Unix microseconds
	kind        string
	transaction string
	value       int64
	currency    string
}

// feedFields are all fields of an item of a feed; any other is an error, as in clicks.
type feedFields struct {
	read    map[string]func(*batch, edge.Value) *fault
	unknown string
}

func newFeedFields(what string, names []string) *feedFields {
	f := &feedFields{
		read:    make(map[string]func(*batch, edge.Value) *fault, len(names)),
		unknown: what + " has no such field; its fields are " + strings.Join(names, ", "),
	}
	for _, name := range names {
		f.read[name] = feedReaders[name]
	}
	return f
}

// feeds are the fields by route; nil for routes that are no feed.
var feeds = [numRoutes]*feedFields{
	routeImpressions: newFeedFields("an impression", []string{"click_id", "token", "event_time"}),
	routeConversions: newFeedFields("a conversion", []string{
		"click_id", "token", "event_time", "kind", "transaction_id", "value_micros", "currency",
	}),
}

var feedReaders = map[string]func(*batch, edge.Value) *fault{
	"click_id":   (*batch).readClickID,
	"token":      func(b *batch, v edge.Value) *fault { return readText(&b.fed.token, v) },
	"event_time": func(b *batch, v edge.Value) (f *fault) { b.fed.at, f = edge.EventTime(v); return f },
	"kind":       func(b *batch, v edge.Value) *fault { return readEntity(&b.fed.kind, "kind", v) },
	"transaction_id": func(b *batch, v edge.Value) *fault {
		return readEntity(&b.fed.transaction, "transaction_id", v)
	},
	"value_micros": (*batch).readValue,
	"currency":     (*batch).readCurrency,
}

// feedField takes one member of an item's object.
func (b *batch) feedField(key string, v edge.Value) *fault {
	read := b.known.read[key]
	if read == nil {
		unknown := fault{Code: codeUnknownField, Message: b.known.unknown}
		return unknown.In(key)
	}
	return read(b, v)
}

func (b *batch) readClickID(v edge.Value) *fault {
	s, f := v.String()
	if f != nil || s == "" {
		return f
	}
	id, err := click.ParseID(s)
	if err != nil || id.IsZero() {
		return &fault{Code: edge.CodeBadID, Field: "click_id", Message: "send the click id of the token: a UUID (8-4-4-4-12 hex digits) or a ULID (26 Crockford base32 digits)"}
	}
	b.item.id, b.fed.clickID = s, id
	return nil
}

func (b *batch) readValue(v edge.Value) *fault {
	n, f := v.Int64()
	if f != nil {
		return f
	}
	if n < 0 || n > click.MaxPriceMicros {
		return &fault{Code: edge.CodeOutOfRange, Field: "value_micros", Message: "a value is 0 to one million units of its currency, in micros"}
	}
	b.fed.value = n
	return nil
}

func (b *batch) readCurrency(v edge.Value) *fault {
	s, f := v.String()
	if f != nil || s == "" {
		return f
	}
	b.fed.currency = s
	return edge.CheckCurrency("currency", s)
}

// feedMemory is a quarter of what answers to clicks may take.
func feedMemory(l Limits) *Limits {
	l.MaxAnswers, l.MaxAnswerBytes = max(1, l.MaxAnswers/4), max(1, l.MaxAnswerBytes/4)
	return &l
}

// workFeed is work for impressions and conversions. What cannot be read is answered and
// counted, and kept nowhere: no bill and no book knows of it.
func (s *Server) workFeed(ctx *fasthttp.RequestCtx, b *batch) []byte {
	counts := &s.metrics.fed[b.route]
	items, f := b.split(view(ctx.Request.Header.ContentType()), &s.cfg.Limits)
	if f != nil {
		status := 400
		if f.Code == edge.CodeTooMany {
			status = 413
		}
		counts[endMalformed].Inc()
		fail(ctx, b.route, status, f.Code, f.Field, f.Message)
		return nil
	}
	// Nothing is lost to anybody's bill, so an end behind the time limit counts nowhere.
	o := beginOutcome(s.outcomes, "", "")
	for item, ok := items.Next(); ok && !o.failed.Load(); item, ok = items.Next() {
		s.takeFed(b, o, &item)
	}
	if o.wait(s.cfg.Timeouts.Durable, false) != recorded {
		counts[endNotDurable].Add(float64(b.accepted + b.malformed))
		s.comeAgain(ctx, b.route, codeNotDurable, "not every item could be recorded; send the batch again")
		return nil
	}
	counts[endAccepted].Add(float64(b.accepted))
	counts[endMalformed].Add(float64(b.malformed))
	answer := b.finish()
	answerBatch(ctx, answer)
	return answer
}

// takeFed gives one item to the log and notes its result. What a test key sends is
// checked and answered alike, and goes no further.
func (s *Server) takeFed(b *batch, o *outcome, it *edge.Item) {
	b.begin(click.EntryBatch, b.click.ReceivedAt)
	b.belong(b.key.Source)
	b.item, b.fed = item{}, feedItem{}
	f := it.Err
	if f == nil {
		f = edge.ParseObject(it.Raw, &b.scratch, b.look)
	}
	if f == nil {
		f = s.fillFed(b)
	}
	b.result(it.Index, f)
	if f != nil {
		b.malformed++
		return
	}
	b.accepted++
	if !b.key.Test {
		b.encodeFed()
		o.record(&b.record)
	}
}

// fillFed checks what belongs together, and opens a token.
func (s *Server) fillFed(b *batch) *fault {
	it := &b.fed
	if it.at == 0 {
		return &fault{Code: edge.CodeMissing, Field: "event_time", Message: "say when it happened"}
	}
	if f := edge.CheckWindow(it.at, b.click.ReceivedAt, b.source.Backfill); f != nil {
		return f
	}
	if it.token != "" {
		if f := s.openSent(b.event, it.token, "token", it.at); f != nil {
			return f
		}
		if !it.clickID.IsZero() && it.clickID != b.token.ClickID {
			return &fault{Code: codeClickMismatch, Field: "click_id", Message: "click_id and token name two opportunities; send one of them"}
		}
		it.clickID = b.token.ClickID
	}
	if it.clickID.IsZero() {
		return &fault{Code: edge.CodeMissing, Field: "click_id", Message: "name the opportunity, by the click id of its token or by the token itself"}
	}
	if b.route == routeImpressions {
		return nil
	}
	if it.kind == "" {
		return &fault{Code: edge.CodeMissing, Field: "kind", Message: "say what it is, such as install or sale"}
	}
	if it.value != 0 && it.currency == "" {
		return &fault{Code: edge.CodeMissing, Field: "currency", Message: "a value needs its currency"}
	}
	return nil
}

// encodeFed makes the record. Its strings outlive the request.
func (b *batch) encodeFed() {
	it, tenant := &b.fed, b.source.Tenant.ID
	b.record = durable.Record{
		Kind: stream.KindImpression, TenantID: tenant, SourceID: b.source.ID, ID: it.clickID,
		EventTime: it.at, ReceivedAt: b.click.ReceivedAt,
	}
	if b.route == routeImpressions {
		b.value = click.AppendImpression(b.value[:0], &click.Impression{TenantID: tenant, ClickID: it.clickID, ShownAt: it.at})
	} else {
		c := click.Conversion{
			TenantID: tenant, SourceID: b.source.ID, ClickID: it.clickID, ConvertedAt: it.at, ReceivedAt: b.click.ReceivedAt,
			Kind: it.kind, TransactionID: it.transaction, ValueMicros: it.value, Currency: it.currency,
		}
		b.value = click.AppendConversion(b.value[:0], &c)
		b.record.Kind, b.record.ID = stream.KindConversion, c.Key()
	}
	b.record.Value = b.value
}
