package gateway

import (
	"io"
	"strconv"
	"strings"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/rawlog"
)

// scan gives every line of a body to the log. It returns how many bytes it read,
// unpacked, and why it ended before the end.
func (w *rawWork) scan(body io.Reader) (int64, error) {
	cfg, l := &w.s.cfg.Batch, w.key.Source.Log
	limits := rawlog.Limits{LineBytes: cfg.MaxLine, StreamBytes: cfg.MaxDecompressed, Ratio: cfg.MaxRatio}
	if w.fields != "" && l.Format.Name == rawlog.W3C {
		return w.scanRest(body, limits)
	}
	sum, err := rawlog.Scan(body, l.Format, limits, w.visit)
	w.note(&sum)
	return sum.Bytes, err
}

// scanRest scans a body that starts in mid-file: as if the #Fields line in force
// there stood before it.
func (w *rawWork) scanRest(body io.Reader, limits rawlog.Limits) (int64, error) {
	head := "#Fields: " + w.fields + "\n"
	plain := rawlog.Decompress(body, limits)
	limits.StreamBytes, limits.Ratio = rawlog.Unbounded, rawlog.Unbounded
	w.offset -= int64(len(head))
	sum, err := rawlog.Scan(io.MultiReader(strings.NewReader(head), plain), w.key.Source.Log.Format, limits, w.visit)
	w.offset += int64(len(head))
	sum.Lines--
	sum.Comments--
	w.note(&sum)
	return plain.Good(), err
}

// note completes the counts: visit has seen all but comments and blank lines.
func (w *rawWork) note(sum *rawlog.Summary) {
	w.counts.Lines, w.counts.Comments, w.counts.Blank = sum.Lines, sum.Comments, sum.Blank
}

// visit makes a line a click, a dead letter, or nothing.
func (w *rawWork) visit(e *rawlog.Entry) error {
	var f *fault
	switch e.Kind {
	case rawlog.Request:
		if isClick, _ := w.key.Source.Log.Rule.Match(&e.Record); !isClick {
			w.counts.NotClicks++
			return nil
		}
		w.start()
		f = w.fillLine(&e.Record)
	case rawlog.Malformed:
		w.start()
		f = e.Err
	default:
		w.counts.NotClicks++
		return nil
	}
	o := w.taking()
	if f != nil {
		w.counts.malformed(f.Code)
		w.malformed++
		return w.given(w.s.bury(w.event, o, f, e.Line))
	}
	w.counts.Clicks++
	w.clicks++
	return w.given(w.s.finish(w.event, o))
}

// start readies the event for the next line.
func (w *rawWork) start() {
	w.begin(click.EntryLog, w.s.dep.Now().UnixMicro())
	w.belong(w.key.Source)
}

// fillLine turns a click's line into the event, or says why it is no click. The
// rules are those of the live edge and of batches; the client is what the log
// says, never the peer who sent it.
func (w *rawWork) fillLine(rec *rawlog.Record) *fault {
	c := &w.click
	if rec.Sampled {
		return &fault{Code: codeSampled, Message: "the log holds a sample of the requests only, which cannot be billed; set its sample rate to 1"}
	}
	if f := checkClient(rec); f != nil {
		return f
	}
	if f := w.setLineTime(rec); f != nil {
		return f
	}
	var p params
	if f := p.read(bytesOf(rec.RawQuery), &w.query); f != nil {
		return f
	}
	fillIn(&p.token, rec.Token)
	if p.token != "" {
		if f := w.s.openSent(w.event, p.token, "t", rec.Time); f != nil {
			return f
		}
	}
	if f := w.setLanding(&p); f != nil {
		return f
	}
	if f := w.describe(&p); f != nil {
		return f
	}
	w.setClient(rec.IP, rec.UserAgent, rec.Referer, "")
	w.signals.Query, _ = mend(rec.RawQuery, maxQuery)
	c.Country = rec.Country
	if w.key.Test {
		c.Flags |= click.FlagTest
	}
	w.complete(true)
	return nil
}

func checkClient(rec *rawlog.Record) *fault {
	if f := rec.Check(); f != nil {
		return f
	}
	if rec.IP.IsUnspecified() || rec.IP.IsMulticast() {
		return &fault{Code: codeAddress, Field: "ip", Message: "the client's column holds an address that no client has"}
	}
	return nil
}

// setLineTime sets the times of a line, and its id, which depends on them. The id
// of a moved line is made of the moved time and, where the place makes the id, of
// the days, so that id_time stays a function of the id.
func (w *rawWork) setLineTime(rec *rawlog.Record) *fault {
	c := &w.click
	if rec.RequestID == "" && w.batch == "" {
		return &fault{Code: edge.CodeMissing, Field: "request_id", Message: "the line has no request id, and the batch no name; log the one, or send " + HeaderBatch}
	}
	c.Flags |= rec.Flags()
	c.EventTime = rec.Time + w.shift
	w.s.metrics.skew.observe(c.TenantID, c.SourceID, c.ReceivedAt-c.EventTime)
	if _, f := edge.ParseMillis(c.EventTime / 1000); f != nil {
		return f.In("event_time")
	}
	named := rawlog.Record{
		Offset: rec.Offset + w.rawHeader.offset, Time: c.EventTime,
		RequestID: rec.RequestID, Host: rec.Host, Path: rec.Path, RawQuery: rec.RawQuery,
	}
	c.EventID = rawlog.EventID(c.TenantID, c.SourceID, w.batchName(), &named)
	c.IDTime = rawlog.IDTime(c.EventTime)
	return edge.CheckWindow(c.EventTime, c.ReceivedAt, w.source.Backfill)
}

// batchName is the name that ids of lines are made of.
func (w *rawWork) batchName() string {
	if w.shift == 0 {
		return w.batch
	}
	return w.batch + "\x00" + strconv.FormatInt(w.shift/Day, 10)
}

// setLanding notes the host of the landing. The visitor was sent there long ago,
// so there is no allow-list to keep and no landing to miss.
func (w *rawWork) setLanding(p *params) *fault {
	url, _, f := w.destination(p.landing)
	if f == nil && url != "" {
		_, w.click.LandingHost, f = edge.CheckUnlisted(url)
	}
	return f.In("u")
}
