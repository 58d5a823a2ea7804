package gateway

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	process "runtime/metrics"
	"strconv"
	"sync/atomic"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/control"

	"github.com/valyala/fasthttp"
)

// admission decides who comes in: package admit has the rules, and here requests
// get their class. A permit is taken before the rest of the body is read and
// returned after the answer is set, so it bounds everything in between; only while
// a body comes at its client's pace is it given back. (The server has read the
// first 8 KiB of a body before any handler runs; that much is bounded by the
// number of connections.)
type admission struct {
	gate      *admit.Gate
	reuse     *admit.Reuse
	addresses *admit.Addresses // nil: no bound
	quota     *admit.Quota     // nil: no bound
	reading   atomic.Int64     // bodies on their way
	memory    []process.Sample // of the goroutine that runs the gate
	files     float64          // connections that fit
}

func (s *Server) newAdmission() error {
	var seed [8]byte
	if _, err := io.ReadFull(s.dep.Entropy, seed[:]); err != nil {
		return fmt.Errorf("gateway: cannot seed admission: %w", err)
	}
	n := binary.LittleEndian.Uint64(seed[:])
	cfg, most := s.cfg.Admission, s.cfg.Limits.MaxInFlight
	if s.dep.Signals == nil {
		cfg.StartLimit = most
	}
	s.admission = admission{
		gate:      admit.NewGate(cfg, admit.Dependencies{MaxLimit: most, Now: s.dep.Now, Signals: s.signals, Seed: n}),
		reuse:     admit.NewReuse(&cfg, n+1),
		addresses: admit.NewAddresses(&cfg, s.dep.Hints.Seed(n+2)),
		quota:     admit.NewQuota(&cfg, n+3),
		memory:    []process.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gomemlimit:bytes"}},
		files:     min(float64(s.cfg.Limits.MaxConnections), fileLimit()),
	}
	return nil
}

// signals adds to the log's what the process itself runs out of. Live heap is what
// the last collection found in use: garbage alone never looks like a lack of
// memory.
func (s *Server) signals() admit.Signals {
	a := &s.admission
	out := s.dep.Signals()
	process.Read(a.memory)
	if limit := a.memory[1].Value.Uint64(); limit < math.MaxInt64 {
		out.Memory = float64(a.memory[0].Value.Uint64()) / float64(max(1, limit))
	}
	out.Files = float64(s.http.GetOpenConnectionsCount()) / a.files
	return out
}

// classify says what e, an event of a known tenant, is worth. A prefetch or a HEAD
// does not use a token up: the click itself is still to come.
func (s *Server) classify(e *event) {
	const unpaid = click.FlagPrefetch | click.FlagHead | click.FlagTest | click.FlagTokenExpired
	c, table := &e.click, s.admission.gate.Publishers()
	over := c.Flags&click.FlagAddressUnknown == 0 && s.admission.addresses.Over(e.signals.IP, c.ReceivedAt)
	// Only what a token or a key vouches for names a publisher: anybody can write
	// one into a URL, and so fill the table.
	e.class, e.publisher = admit.Organic, table.Find(c.TenantID, c.SourceID)
	if e.verified && e.token.PublisherID != "" {
		e.publisher = table.Find(c.TenantID, e.token.PublisherID)
	}
	if e.verified && c.Flags&unpaid == 0 {
		e.class = admit.Paid
		e.first = !s.admission.reuse.Seen(c.TenantID, c.ClickID, c.ReceivedAt)
		over = over || !e.first
	}
	if over {
		e.class = admit.Demoted
	}
}

// classifySender says what a batch is worth. Its clicks are paid for as well, but
// its sender keeps them and comes again, which the visitor of a page does not. Feeds
// are worth less than any click.
func (s *Server) classifySender(e *event, key *control.APIKey, r route) {
	e.class = admit.Organic
	if key.Test || key.Source.Backfill || r.fed() {
		e.class = admit.Bulk
	}
	e.publisher = s.admission.gate.Publishers().Find(key.Source.Tenant.ID, key.Source.ID)
}

// admit takes a permit for e unless it holds one already. It may wait for one.
func (s *Server) admit(e *event) admit.Decision {
	if e.permit {
		return admit.Admitted
	}
	d := s.admission.gate.Enter(admit.Request{Class: e.class, Publisher: e.publisher})
	e.permit = d == admit.Admitted
	return d
}

// leave gives back what an event took: its permit, and its token if the click was
// not recorded, so that it is no replay when it comes again.
func (s *Server) leave(e *event) {
	if e.first {
		e.first = false
		s.admission.reuse.Forget(e.click.TenantID, e.click.ClickID)
	}
	s.leaveGate(e)
}

func (s *Server) leaveGate(e *event) {
	if e.permit {
		e.permit = false
		s.admission.gate.Leave()
	}
}

// preloaded is how much of a body the server has read before the handler runs.
const preloaded = 8 << 10

// takeBody takes a permit and appends the n bytes of the body to buf; when it
// cannot it answers and returns false. Nobody keeps a permit while the rest of a
// body is on its way, or a few slow clients would hold up everybody: such a
// request passes the gate twice, and in between counts for max_in_flight alone.
func (s *Server) takeBody(ctx *fasthttp.RequestCtx, r route, e *event, buf []byte, n int) ([]byte, bool) {
	d := s.admit(e)
	var err error
	switch {
	case d != admit.Admitted:
	case n <= preloaded:
		buf, err = readBody(ctx, buf, n)
	default:
		s.leaveGate(e)
		if d = admit.Full; s.admission.reading.Add(1) <= int64(s.cfg.Limits.MaxInFlight) {
			if buf, err = readBody(ctx, buf, n); err == nil {
				d = s.admit(e)
			}
		}
		s.admission.reading.Add(-1)
	}
	switch {
	case err != nil:
		s.refuseBody(ctx, r, err)
	case d != admit.Admitted:
		s.shed(ctx, r, d, e)
	default:
		connOf(ctx).note(e.class, false)
		return buf, true
	}
	return buf, false
}

// reasonQuota is the reason of a refusal that has nothing to do with load.
const reasonQuota = "quota"

// quotaOf is what a request's quota is kept under: its API key, and each feed of it by
// itself, so that impressions never use up what clicks may send.
func quotaOf(r route, ctx *fasthttp.RequestCtx) string {
	secret := view(ctx.Request.Header.Peek("Authorization"))
	if r.fed() {
		return secret + "\x00" + routeNames[r]
	}
	return secret
}

// overQuota asks for one request of an API key. set sets the headers of the
// answer, which say what the key may still do (draft-ietf-httpapi-ratelimit-headers).
func (s *Server) overQuota(secret string, at int64, set func(name, value string)) bool {
	q := s.admission.quota
	if q == nil {
		return false
	}
	a := q.Take(secret, at)
	burst, window := q.Policy()
	set("RateLimit-Policy", `"key";q=`+strconv.FormatInt(burst, 10)+`;w=`+strconv.FormatInt(window, 10))
	set("RateLimit", `"key";r=`+strconv.FormatInt(a.Remaining, 10)+`;t=`+strconv.FormatInt(a.Reset, 10))
	if !a.OK {
		set("Retry-After", strconv.FormatInt(a.RetryAfter, 10))
	}
	return !a.OK
}

// topPublishers is how many publishers /admission lists.
const topPublishers = 20

// serveAdmission shows why requests are refused: what the limit rests on, and whose
// requests they were. Publishers are listed here because as labels of a metric
// they would have no bound.
func (s *Server) serveAdmission(w http.ResponseWriter, _ *http.Request) {
	g := s.admission.gate
	st := g.Status()
	shed := map[string]map[string]uint64{}
	for c := range admit.NumClasses {
		for d := range admit.NumDecisions {
			if n := g.Refused(c, d); n > 0 {
				if shed[c.String()] == nil {
					shed[c.String()] = map[string]uint64{}
				}
				shed[c.String()][d.String()] = n
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	_ = out.Encode(map[string]any{ // a reader that has gone needs no answer
		"limit": g.Limit(), "in_flight": g.InFlight(), "waiting": g.Waiting(), "outside": g.Outside(),
		"lowest_class": (st.Open - 1).String(), "pressure": st.Pressure,
		"wait_seconds": st.Wait.Seconds(), "normal_wait_seconds": st.Normal.Seconds(),
		"fill": map[string]float64{"buffers": st.Signals.Buffered, "memory": st.Signals.Memory, "spool": st.Signals.Spool, "files": st.Signals.Files},
		"shed": shed, "publishers": g.Publishers().Top(topPublishers),
	})
}
