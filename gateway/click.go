package gateway

import (
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/token"

	"github.com/valyala/fasthttp"
)

// serveClick answers GET /c.
func (s *Server) serveClick(ctx *fasthttp.RequestCtx) {
	e := s.takeEvent(click.EntryClick)
	defer s.putEvent(e)
	s.receive(ctx, e)
	s.serveOne(ctx, routeClick, e, ctx.URI().QueryString(), ctx.Request.Header.RequestURI())
}

// serveOne takes one click by URL parameters; raw is what a dead letter keeps of
// it. Refused is what names no tenant; malformed what names one and is no click.
func (s *Server) serveOne(ctx *fasthttp.RequestCtx, r route, e *event, query, raw []byte) {
	var p params
	f := p.read(query, &e.query)
	if f != nil && (p.ambiguous || p.token == "" && p.source == "") {
		s.refuse(ctx, r, 400, f.Code, f.Message)
		return
	}
	if !s.identify(ctx, r, e, &p) {
		return
	}
	landing := ""
	if f == nil {
		landing, f = e.landing(&p, r == routeClick)
	}
	if f == nil {
		f = e.describe(&p)
	}
	s.classify(e)
	if d := s.admit(e); d != admit.Admitted {
		s.overload(ctx, r, d, e, landing, f == nil)
		return
	}
	connOf(ctx).note(e.class, false)
	if f != nil {
		s.malformed(ctx, r, e, f, raw)
		return
	}
	e.signals.Query, _ = mend(view(query), maxQuery)
	c := &e.click
	c.EventID = s.ids.New(c.ReceivedAt)
	c.IDTime, c.EventTime = c.EventID.Time(), c.ReceivedAt
	e.complete(e.verified && e.token.CampaignID != "")
	s.answerOne(ctx, r, e, landing, s.record(e, e.redirects(r)))
}

// redirects reports whether the answer is a redirect even when nothing could be
// recorded: the visitor of a paid click never waits for our disks.
func (e *event) redirects(r route) bool {
	return r == routeClick && e.verified && e.click.Flags&click.FlagPrefetch == 0
}

// record gives e to the log and waits for its word.
func (s *Server) record(e *event, countLoss bool) result {
	o := beginOutcome(s.outcomes, e.click.TenantID, e.click.SourceID)
	if err := s.finish(e, o); err != nil {
		o.failed.Store(true)
	}
	return o.wait(s.cfg.Timeouts.Durable, countLoss)
}

// answerOne answers a click by what became of its record, never by its verdict.
func (s *Server) answerOne(ctx *fasthttp.RequestCtx, r route, e *event, landing string, res result) {
	c := &e.click
	if e.first && res == recorded {
		s.dep.Hints.Used(c.TenantID, c.ClickID, e.token.IssuedAt)
	}
	e.first = e.first && res == failed
	switch {
	case res == recorded:
		s.metrics.events[c.Entry][endAccepted].Inc()
	case !e.redirects(r):
		s.metrics.events[c.Entry][endNotDurable].Inc()
	case res == failed:
		s.lost(c.TenantID, c.SourceID)
	default:
		s.metrics.events[c.Entry][endLate].Inc() // and lost, if the log fails in the end
	}
	switch {
	case c.Flags&click.FlagPrefetch != 0:
		prefetched(ctx)
	case res != recorded && !e.redirects(r):
		s.comeAgain(ctx, r, codeNotDurable, "the click could not be recorded; come again")
	case r == routeClick:
		redirect(ctx, landing)
	default:
		noContent(ctx)
	}
}

// overload answers a click that got no permit: a verified one redirects at once
// and is counted as a loss, everything else has to come again.
func (s *Server) overload(ctx *fasthttp.RequestCtx, r route, d admit.Decision, e *event, landing string, sound bool) {
	if sound && e.redirects(r) {
		s.metrics.shed.WithLabelValues(routeNames[r], e.class.String(), d.String()).Inc()
		s.lost(e.click.TenantID, e.click.SourceID)
		s.turnAway(ctx, e.class)
		redirect(ctx, landing)
		return
	}
	s.shed(ctx, r, d, e)
}

// malformed answers what a known tenant's visitor or sender got wrong, once its
// dead letter is durable.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, r route, e *event, f *fault, raw []byte) {
	o := beginOutcome(s.outcomes, e.click.TenantID, e.click.SourceID)
	if err := s.bury(e, o, f, raw); err != nil {
		o.failed.Store(true)
	}
	if o.wait(s.cfg.Timeouts.Durable, false) != recorded {
		s.metrics.events[e.click.Entry][endNotDurable].Inc()
		s.comeAgain(ctx, r, codeNotDurable, "the request could not be recorded; come again")
		return
	}
	s.metrics.events[e.click.Entry][endMalformed].Inc()
	fail(ctx, r, 400, f.Code, f.Field, f.Message)
}

// identify finds whose click it is: by its sealed token, else by the public id of
// a source. It answers and returns false when nobody's.
func (s *Server) identify(ctx *fasthttp.RequestCtx, r route, e *event, p *params) bool {
	control := s.dep.Control.Current()
	switch {
	case p.token != "":
		if !e.open(p.token, control, s.dep.Now()) {
			s.refuse(ctx, r, 400, codeToken, "the token in t does not open")
			return false
		}
		tenant := control.Tenant(e.token.TenantID)
		if tenant == nil {
			s.refuse(ctx, r, 400, codeToken, "the token in t does not open")
			return false
		}
		e.belong(tenant.Edge)
		e.verify(e.click.ReceivedAt)
		return true
	case p.source != "":
		source := control.PublicSource(p.source)
		if source == nil {
			s.refuse(ctx, r, 400, codeSource, "s names no source")
			return false
		}
		e.belong(source)
		return true
	}
	s.refuse(ctx, r, 400, codeOrigin, "the URL has neither a token t nor a source s")
	return false
}

// open opens a token into e and reports whether it did. Why it did not is told
// to nobody: the reasons differ only for a forger.
func (e *event) open(text string, ring token.Keyring, now time.Time) bool {
	var err error
	e.opened, err = token.Open(text, ring, now, &e.token, e.opened)
	return err == nil
}

// verify takes over what the opened token says of the opportunity, for a click
// at t, Unix microseconds.
func (e *event) verify(t int64) {
	c, tok := &e.click, &e.token
	e.verified = true
	c.ClickID = tok.ClickID
	e.signals.IssuedAt = tok.IssuedAt
	c.Flags |= click.FlagSealedToken
	if tok.ExpiredAt(t) {
		c.Flags |= click.FlagTokenExpired
	}
	if tok.Test {
		c.Flags |= click.FlagTest
	}
	c.AdvertiserID, c.CampaignID, c.AdGroupID = tok.AdvertiserID, tok.CampaignID, tok.AdGroupID
	c.CreativeID, c.PublisherID, c.PlacementID = tok.CreativeID, tok.PublisherID, tok.PlacementID
}

// describe sets the ad hierarchy from token and URL.
func (e *event) describe(p *params) *fault {
	if f := p.check(e.verified); f != nil {
		return f
	}
	return e.setHierarchy(&p.hierarchy)
}
