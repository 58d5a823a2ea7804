package gateway

import (
	"bytes"
	"crypto/sha256"
	"strings"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/edge"

	"github.com/valyala/fasthttp"
)

// batch is a POST of clicks, impressions or conversions at work: the event its items
// become one after the other, and the buffers it reads from and answers into. It is
// pooled.
type batch struct {
	*event
	route route
	key   *control.APIKey
	item  item
	visit func(string, edge.Value) *fault // bound once, so that parsing does not allocate
	fed   feedItem
	known *feedFields // of the feed; nil for clicks
	look  func(string, edge.Value) *fault

	scratch             edge.Scratch
	body                []byte
	results             []byte // item results as JSON, separated by commas
	answer              []byte
	accepted, malformed int
}

func newBatch() *batch {
	b := &batch{body: make([]byte, 0, 16<<10), results: make([]byte, 0, 8<<10)}
	b.visit, b.look = b.item.field, b.feedField
	return b
}

func (s *Server) takeBatch(e *event, r route) *batch {
	b := s.batches.Get().(*batch)
	b.route, b.known = r, feeds[r]
	b.event, b.body, b.results, b.answer = e, b.body[:0], b.results[:0], b.answer[:0]
	b.accepted, b.malformed = 0, 0
	return b
}

// maxPooledBody is how large the buffers of a batch may be to be kept.
const maxPooledBody = 1 << 20

func (s *Server) putBatch(b *batch) {
	b.event, b.key, b.item, b.fed = nil, nil, item{}, feedItem{}
	for _, buf := range []*[]byte{&b.body, &b.results, &b.answer} {
		if cap(*buf) > maxPooledBody {
			*buf = nil
		}
	}
	s.batches.Put(b)
}

// serveBatch answers POST /v1/clicks, /v1/impressions and /v1/conversions.
func (s *Server) serveBatch(ctx *fasthttp.RequestCtx, r route) {
	e := s.takeEvent(click.EntryBatch)
	defer s.putEvent(e)
	key := s.authenticate(ctx)
	if key == nil {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
		s.refuseFraming(ctx, r, 401, codeUnauthorized, "send a valid API key as Authorization: Bearer KEY")
		return
	}
	e.belong(key.Source)
	idempotency, ok := idempotencyKey(&ctx.Request.Header)
	if !ok {
		s.refuse(ctx, r, 400, codeKeyFormat, "Idempotency-Key must be 1 to 255 printable ASCII characters, once")
		return
	}
	s.classifySender(e, key, r)
	if s.overQuota(quotaOf(r, ctx), e.click.ReceivedAt, ctx.Response.Header.Set) {
		s.refuseQuota(ctx, r, e)
		return
	}
	b := s.takeBatch(e, r)
	defer s.putBatch(b)
	b.key = key
	if b.body, ok = s.takeBody(ctx, r, e, b.body, max(0, ctx.Request.Header.ContentLength())); !ok {
		return
	}
	if idempotency == "" {
		s.work(ctx, b)
		return
	}
	memory := s.answers
	if r.fed() {
		memory, idempotency = s.feedAnswers, routeNames[r]+" "+idempotency
	}
	s.replayBatch(ctx, b, memory, answerKey{e.source.Tenant.ID, e.source.ID, idempotency})
}

// work takes the items of b and answers. It returns the answer when it was a success.
func (s *Server) work(ctx *fasthttp.RequestCtx, b *batch) []byte {
	if b.route.fed() {
		return s.workFeed(ctx, b)
	}
	return s.workBatch(ctx, b)
}

// authenticate finds the API key of the request, nil when it has no valid one.
func (s *Server) authenticate(ctx *fasthttp.RequestCtx) *control.APIKey {
	all := ctx.Request.Header.PeekAll("Authorization")
	if len(all) != 1 {
		return nil
	}
	return s.apiKey(view(all[0]))
}

// apiKey finds the API key of an Authorization header, nil when it has no valid one.
func (s *Server) apiKey(authorization string) *control.APIKey {
	const scheme = "Bearer "
	if len(authorization) <= len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return nil
	}
	return s.dep.Control.Current().APIKey(authorization[len(scheme):])
}

// idempotencyKey returns the sender's key, empty when there is none.
func idempotencyKey(h *fasthttp.RequestHeader) (key string, ok bool) {
	all := h.PeekAll("Idempotency-Key")
	if len(all) == 0 {
		return "", true
	}
	if len(all) > 1 || len(all[0]) == 0 || len(all[0]) > 255 {
		return "", false
	}
	for _, c := range all[0] {
		if c < 0x20 || c > 0x7e {
			return "", false
		}
	}
	return strings.Clone(view(all[0])), true
}

// replayBatch answers from memory when the sender repeats a request under its
// idempotency key, and otherwise works on it and remembers a successful answer.
func (s *Server) replayBatch(ctx *fasthttp.RequestCtx, b *batch, memory *answers, key answerKey) {
	state, stored := memory.begin(key, sha256.Sum256(b.body))
	switch state {
	case replayReused:
		fail(ctx, b.route, 422, codeKeyReused, "", "this Idempotency-Key was used with another body; use a new key for a new request")
		return
	case replayInFlight:
		fail(ctx, b.route, 409, codeKeyInFlight, "", "a request with this Idempotency-Key is being worked on; come again")
		ctx.Response.Header.SetCanonical(headerRetryAfter, valueRetry)
		return
	case replayAnswer:
		s.metrics.replayed.Inc()
		ctx.Response.Header.Set("Idempotency-Replayed", "true")
		answerBatch(ctx, stored)
		return
	}
	var answer []byte
	defer func() { memory.finish(key, answer) }()
	answer = s.work(ctx, b)
}

// workBatch is work for clicks.
func (s *Server) workBatch(ctx *fasthttp.RequestCtx, b *batch) []byte {
	items, f := b.split(view(ctx.Request.Header.ContentType()), &s.cfg.Limits)
	if f != nil {
		s.malformedBody(ctx, b, f)
		return nil
	}
	o := beginOutcome(s.outcomes, b.click.TenantID, b.click.SourceID)
	// Once the log refuses, the sender has to repeat the batch: the rest would
	// only be written twice.
	for item, ok := items.Next(); ok && !o.failed.Load(); item, ok = items.Next() {
		if err := s.takeItem(b, o, &item); err != nil {
			o.failed.Store(true)
		}
	}
	taken := float64(b.accepted + b.malformed)
	if o.wait(s.cfg.Timeouts.Durable, false) != recorded {
		s.metrics.events[click.EntryBatch][endNotDurable].Add(taken)
		s.comeAgain(ctx, routeBatch, codeNotDurable, "not every click could be recorded; send the batch again with the same ids")
		return nil
	}
	s.metrics.events[click.EntryBatch][endAccepted].Add(float64(b.accepted))
	s.metrics.events[click.EntryBatch][endMalformed].Add(float64(b.malformed))
	answer := b.finish()
	answerBatch(ctx, answer)
	return answer
}

func answerBatch(ctx *fasthttp.RequestCtx, answer []byte) {
	noStore(ctx)
	ctx.Response.Header.SetCanonical(headerContentType, valueJSON)
	ctx.SetBody(answer)
}

// malformedBody keeps a body that holds no items as one dead letter.
func (s *Server) malformedBody(ctx *fasthttp.RequestCtx, b *batch, f *fault) {
	s.malformed(ctx, routeBatch, b.event, f, b.body)
	if f.Code == edge.CodeTooMany && ctx.Response.StatusCode() == 400 {
		ctx.SetStatusCode(413)
	}
}

// split opens the body, or says why no part of it can be an item.
func (b *batch) split(contentType string, l *Limits) (edge.Items, *fault) {
	items, f := edge.Split(b.body, contentType, edge.Limits{Items: l.MaxBatchItems, ItemBytes: l.MaxItemBytes})
	if f != nil {
		return items, f
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(b.body, []byte("\xEF\xBB\xBF")))
	if len(text) == 0 {
		return items, &fault{Code: codeEmpty, Message: "the body is empty; send a JSON array of items or one item per line"}
	}
	if text[0] == '[' {
		return items, nil
	}
	ahead := items
	for item, ok := ahead.Next(); ok; item, ok = ahead.Next() {
		if bytes.HasPrefix(bytes.TrimSpace(item.Raw), []byte("{")) {
			return items, nil
		}
	}
	return items, &fault{Code: codeNotJSON, Message: "the body is no JSON; send a JSON array of items or one item per line"}
}

// takeItem makes one item a click or a dead letter and notes its result. It
// returns an error when nothing was given to the log.
func (s *Server) takeItem(b *batch, o *outcome, it *edge.Item) error {
	b.begin(click.EntryBatch, b.click.ReceivedAt)
	b.belong(b.key.Source)
	b.item = item{}
	f := it.Err
	if f == nil {
		f = edge.ParseObject(it.Raw, &b.scratch, b.visit)
	}
	if f == nil {
		f = s.fill(b)
	}
	b.result(it.Index, f)
	if f != nil {
		b.malformed++
		return s.bury(b.event, o, f, it.Raw)
	}
	b.accepted++
	return s.finish(b.event, o)
}

// result notes what became of an item, without its verdict.
func (b *batch) result(index int, f *fault) {
	r := b.results
	if len(r) > 0 {
		r = append(r, ',')
	}
	r = appendInt(append(r, `{"index":`...), index)
	if b.item.id != "" {
		r = appendJSON(append(r, `,"id":`...), b.item.id)
	}
	if f == nil {
		b.results = append(r, `,"status":"accepted"}`...)
		return
	}
	r = appendJSON(append(r, `,"status":"malformed","code":`...), f.Code)
	if f.Field != "" {
		r = appendJSON(append(r, `,"field":`...), f.Field)
	}
	b.results = append(appendJSON(append(r, `,"message":`...), f.Message), '}')
}

// finish returns the whole answer.
func (b *batch) finish() []byte {
	a := appendInt(append(b.answer[:0], `{"accepted":`...), b.accepted)
	a = appendInt(append(a, `,"malformed":`...), b.malformed)
	a = append(append(a, `,"items":[`...), b.results...)
	b.answer = append(a, "]}\n"...)
	return b.answer
}
