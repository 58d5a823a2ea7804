package gateway

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/edge"
	"clickgate/gateway/rawlog"
)

// Headers of POST /v1/raw.
const (
	HeaderBatch  = "X-Clickgate-Batch"  // the sender's name for the batch or file
	HeaderOffset = "X-Clickgate-Offset" // of the body's first byte in the unpacked batch
	HeaderFields = "X-Clickgate-Fields" // the #Fields in force at the body's start
	HeaderShift  = "X-Clickgate-Shift"  // microseconds to add to every time, whole days
)

const (
	codeBatchHeader = "bad_header"
	codeNoLog       = "no_log"
	codeShift       = "shift_refused"
	codeSampled     = "sampled_log"
	codeStopping    = "stopping"
)

// Day is the unit of shifts, in microseconds.
const Day = int64(24 * time.Hour / time.Microsecond)

// rawHeader is what a request says about its body.
type rawHeader struct {
	batch  string
	offset int64
	fields string
	shift  int64
}

// serveRaw answers POST /v1/raw once everything that the body holds is durable.
func (s *Server) serveRaw(a *rawAnswer, r *http.Request) {
	all := r.Header.Values("Authorization")
	var key *control.APIKey
	if len(all) == 1 {
		key = s.apiKey(all[0])
	}
	if key == nil {
		a.w.Header().Set("WWW-Authenticate", "Bearer")
		s.refuseRaw(a, 401, codeUnauthorized, "send a valid API key as Authorization: Bearer KEY")
		return
	}
	if key.Source.Log == nil {
		s.refuseRaw(a, 400, codeNoLog, fmt.Sprintf("source %q of this API key takes no logs; give it a log: section in the control file", key.Source.ID))
		return
	}
	header, f := readRawHeader(r.Header, key.Source.Log)
	if f != nil {
		s.refuseRaw(a, 400, f.Code, f.Message)
		return
	}
	if r.ContentLength > s.cfg.Batch.MaxBody {
		s.refuseRaw(a, 413, codeTooLarge, fmt.Sprintf("the body is longer than %d bytes; send it in pieces", s.cfg.Batch.MaxBody))
		return
	}
	if s.overQuota(all[0], a.begun.UnixMicro(), a.w.Header().Set) {
		s.shedRaw(a, key.Source, reasonQuota)
		return
	}
	if !s.admission.gate.LetsIn(admit.Bulk) {
		s.shedRaw(a, key.Source, admit.Closed.String())
		return
	}
	select {
	case s.raw.permits <- struct{}{}:
		defer func() { <-s.raw.permits }()
	default:
		s.shedRaw(a, key.Source, admit.Full.String())
		return
	}
	body := &pacedBody{
		body: http.MaxBytesReader(a.w, r.Body, s.cfg.Batch.MaxBody), conn: http.NewResponseController(a.w),
		stall: s.cfg.Batch.Stall, until: a.begun.Add(s.cfg.Batch.Timeout),
	}
	s.workRaw(a, body, key, header)
}

// shedRaw refuses a body for load or quota. Nobody read it, so it counts once.
func (s *Server) shedRaw(a *rawAnswer, source *control.Source, reason string) {
	s.metrics.shed.WithLabelValues(routeNames[routeRaw], admit.Bulk.String(), reason).Inc()
	s.dep.Log.Shed(source.Tenant.ID, source.ID)
	s.metrics.events[click.EntryLog][endShed].Inc()
	if reason == reasonQuota {
		a.send(429, rawBody{Code: codeQuota, Message: messageQuota})
		return
	}
	a.later(codeOverload, "too many batches at once; come again", nil)
}

// workRaw takes the lines of a body and answers.
func (s *Server) workRaw(a *rawAnswer, body io.Reader, key *control.APIKey, header rawHeader) {
	w := &rawWork{event: s.takeEvent(click.EntryLog), s: s, key: key, rawHeader: header, until: a.begun.Add(s.cfg.Batch.Timeout)}
	defer s.putEvent(w.event)
	w.belong(key.Source)
	bytes, err := w.scan(body)
	if end := w.settle(); end != nil {
		err = end // the lines before the damage are not durable: that comes first
	}
	switch {
	case errors.Is(err, errNotRecorded):
		a.later(codeNotDurable, err.Error(), &w.counts)
	case errors.Is(err, errStopping):
		a.later(codeStopping, err.Error(), &w.counts)
	case err != nil:
		w.count()
		w.answerDamage(a, bytes, err)
	default:
		w.count()
		a.send(200, rawBody{RawCounts: &w.counts})
	}
}

// count adds lines that need not come again to the metrics.
func (w *rawWork) count() {
	source := w.key.Source
	for kind, n := range map[string]int64{
		"click": w.counts.Clicks, "malformed": w.counts.Malformed, "not_click": w.counts.NotClicks, "comment": w.counts.Comments,
	} {
		w.s.metrics.logLines.WithLabelValues(source.Tenant.ID, source.ID, kind).Add(float64(n))
	}
}

// answerDamage answers a body that ended early, whose lines before that are
// durable. bytes is how far it could be read, unpacked.
func (w *rawWork) answerDamage(a *rawAnswer, bytes int64, err error) {
	a.close() // where the next request begins nobody knows
	offset := w.offset + bytes
	body := rawBody{RawCounts: &w.counts, Offset: &offset}
	status := 400
	var broken *rawlog.StreamError
	var refused *edge.Error
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &broken):
		body.Code = broken.Code
		body.Message = fmt.Sprintf("%s at byte %d of the unpacked batch; the lines before were recorded (a checksum vouches for %d bytes of this body)",
			broken.Message, offset, broken.Verified)
		if broken.Code == rawlog.CodeRatio || broken.Code == rawlog.CodeTooLarge {
			status = 413
		}
	case errors.As(err, &refused):
		body.Code, body.Message = refused.Code, refused.Message
	case errors.As(err, &long):
		status, body.Code = 413, codeTooLarge
		body.Message = fmt.Sprintf("the body is longer than %d bytes; send it in pieces", long.Limit)
	case isTimeout(err):
		status, body.Code, body.Message = 408, codeTimeout, "the body did not arrive in time; the lines that did are recorded"
	default:
		body.Code, body.Message = codeBodyEarly, "the body ended early; the lines that arrived are recorded"
	}
	w.s.metrics.damaged.WithLabelValues(body.Code).Inc()
	a.send(status, body)
}

// readRawHeader reads the headers of a request for a source of the given log.
func readRawHeader(h http.Header, l *control.Log) (r rawHeader, f *fault) {
	bad := func(name, message string) (rawHeader, *fault) {
		return rawHeader{}, &fault{Code: codeBatchHeader, Message: name + " " + message}
	}
	for _, name := range [...]string{HeaderBatch, HeaderOffset, HeaderFields, HeaderShift} {
		if len(h[textproto.CanonicalMIMEHeaderKey(name)]) > 1 {
			return bad(name, "stands twice; send it once")
		}
	}
	r.batch, r.fields = h.Get(HeaderBatch), h.Get(HeaderFields)
	if r.batch == "" && !l.Pushed() {
		return bad(HeaderBatch, "is missing; send a name of the batch or file, the same in every repetition: it makes the ids of the lines")
	}
	if !printable(r.batch, 128) {
		return bad(HeaderBatch, "must be 1 to 128 printable ASCII characters")
	}
	var ok bool
	if r.offset, ok = readMicros(h, HeaderOffset); !ok || r.offset < 0 {
		return bad(HeaderOffset, "must be the number of unpacked bytes of the batch before this body, in digits")
	}
	if r.shift, ok = readMicros(h, HeaderShift); !ok || r.shift%Day != 0 {
		return bad(HeaderShift, "must be a whole number of days in microseconds, so that a repetition makes the same ids")
	}
	if r.shift != 0 && !l.AllowShift {
		return rawHeader{}, &fault{Code: codeShift, Message: "this source does not let its sender move times; set log.allow_shift in the control file, for demos and tests only"}
	}
	return r, nil
}

// readMicros reads a header that is a whole number; absent is 0.
func readMicros(h http.Header, name string) (int64, bool) {
	text := h.Get(name)
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > -math.MaxInt64/2 && n < math.MaxInt64/2
}

// printable reports whether s is at most limit characters of printable ASCII.
func printable(s string, limit int) bool {
	return len(s) <= limit && strings.IndexFunc(s, func(c rune) bool { return c < 0x20 || c > 0x7e }) < 0
}
