package rawlog

import (
	"slices"
	"strings"

	"clickgate/gateway/edge"
)

// field is what a column or a JSON key means.
type field uint8

const (
	fieldNone field = iota
	fieldTime
	fieldFallbackTime
	fieldDate  // W3C: day of fieldClock
	fieldClock // W3C: time of day
	fieldIP
	fieldMethod
	fieldScheme
	fieldHost
	fieldViewerHost // what the client asked for, where the log's host is the CDN's own
	fieldURI
	fieldPath
	fieldQuery
	fieldProtocol
	fieldStatus
	fieldReferer
	fieldAgent
	fieldRequestID
	fieldCountry
	fieldToken
	fieldRequestSource
	fieldSampleRate
	numFields
)

var fieldsByName = map[string]field{
	"time": fieldTime, "fallback_time": fieldFallbackTime, "ip": fieldIP, "method": fieldMethod, "scheme": fieldScheme,
	"host": fieldHost, "uri": fieldURI, "path": fieldPath, "query": fieldQuery, "protocol": fieldProtocol,
	"status": fieldStatus, "referer": fieldReferer, "user_agent": fieldAgent, "request_id": fieldRequestID,
	"country": fieldCountry, "token": fieldToken, "request_source": fieldRequestSource, "sample_rate": fieldSampleRate,
}

// columnsByName are the columns of the W3C extended format and of CloudFront's
// standard and real-time logs, in lower case. x-forwarded-for is not among them:
// its left end is the client's own invention.
var columnsByName = map[string]field{
	"timestamp": fieldTime, "ts": fieldTime, "date": fieldDate, "time": fieldClock, "c-ip": fieldIP,
	"cs-method": fieldMethod, "cs-protocol": fieldScheme, "cs(host)": fieldHost, "cs-host": fieldHost,
	"x-host-header": fieldViewerHost, "cs-uri-stem": fieldPath, "cs-uri-query": fieldQuery, "cs-uri": fieldURI,
	"cs-protocol-version": fieldProtocol, "cs-version": fieldProtocol, "sc-status": fieldStatus,
	"cs(referer)": fieldReferer, "cs-referer": fieldReferer, "cs(user-agent)": fieldAgent, "cs-user-agent": fieldAgent,
	"x-edge-request-id": fieldRequestID, "c-country": fieldCountry,
}

// cells are the values of one line by field, and the rules to read them by.
type cells struct {
	value  [numFields]string // empty: absent
	unit   Unit
	absent []string
	layers map[field]int // settings; depth is what they come to
	depth  [numFields]int8
	clock  clock
}

func (c *cells) setLayers(f field, n int) {
	if c.layers == nil {
		c.layers = map[field]int{}
	}
	c.layers[f] = n
}

// ready makes the settings fast to look up.
func (c *cells) ready() {
	for f, n := range c.layers {
		c.depth[f] = int8(n)
	}
}

func (c *cells) clear() { clear(c.value[:]) }

// set stores the value of a field; texts that stand for no value are dropped.
func (c *cells) set(f field, s string) {
	if slices.Contains(c.absent, s) {
		s = ""
	}
	c.value[f] = s
}

// record turns the values into a record.
func (c *cells) record(rec *Record) (Kind, *edge.Error) {
	if err := c.setTime(rec); err != nil {
		return Malformed, err
	}
	var err *edge.Error
	if rec.Status, err = parseStatus(c.value[fieldStatus]); err != nil {
		return Malformed, err
	}
	rec.IP = parseAddr(c.value[fieldIP])
	rec.Method = c.value[fieldMethod]
	rec.Protocol = c.value[fieldProtocol]
	rec.Referer = rec.decode(c.value[fieldReferer], int(c.depth[fieldReferer]))
	rec.UserAgent = rec.decode(c.value[fieldAgent], int(c.depth[fieldAgent]))
	rec.RequestID = c.value[fieldRequestID]
	rec.Token = c.value[fieldToken]
	rec.Country = rec.country(c.value[fieldCountry])
	rec.Subrequest = c.value[fieldRequestSource] != "" && !strings.EqualFold(c.value[fieldRequestSource], "eyeball")
	rec.Sampled = sampled(c.value[fieldSampleRate])
	c.setTarget(rec)
	if rec.Path == "" && rec.Token == "" {
		return NotRequest, nil
	}
	return Request, nil
}

func (c *cells) setTime(rec *Record) (err *edge.Error) {
	switch v := &c.value; {
	case v[fieldTime] != "":
		rec.Time, rec.Precision, err = parseTime(v[fieldTime], c.unit)
	case v[fieldDate] != "" && v[fieldClock] != "":
		rec.Time, rec.Precision, err = c.clock.parseW3C(v[fieldDate], v[fieldClock])
	case v[fieldFallbackTime] != "":
		rec.TimeFallback = true
		rec.Time, rec.Precision, err = parseTime(v[fieldFallbackTime], c.unit)
	default:
		err = fail(edge.CodeMissing, "time", "the line holds no time; add the time to the log, its arrival cannot stand in for it")
	}
	return err
}

// setTarget sets what was asked for: from the URI in one, or from path and
// query. A path that holds its query, as in CloudFront's real-time logs, gives
// it unless the log has it apart too.
func (c *cells) setTarget(rec *Record) {
	target := c.value[fieldURI]
	if target == "" {
		target = c.value[fieldPath]
	}
	rec.setTarget(target)
	if c.value[fieldURI] == "" && c.value[fieldQuery] != "" {
		rec.RawQuery, _, _ = strings.Cut(c.value[fieldQuery], "#")
	}
	rec.Path = rec.rooted(rec.decode(rec.Path, int(c.depth[fieldPath])))
	rec.RawQuery = rec.decode(rec.RawQuery, int(c.depth[fieldQuery]))
	for _, f := range [...]field{fieldHost, fieldViewerHost} {
		if c.value[f] != "" {
			rec.Host = c.value[f]
		}
	}
	if c.value[fieldScheme] != "" {
		rec.Scheme = c.value[fieldScheme]
	}
}

// rooted returns a path with the slash that some CDNs leave out.
func (r *Record) rooted(path string) string {
	if path == "" || path[0] == '/' || path == "*" || r.Method == "CONNECT" {
		return path
	}
	start := len(r.text)
	r.text = append(r.text, '/')
	r.text = append(r.text, path...)
	return view(r.text[start:])
}

// country returns a code of two letters in upper case; others, such as T1 for
// Tor, name no country.
func (r *Record) country(s string) string {
	if len(s) != 2 {
		return ""
	}
	start := len(r.text)
	r.text = append(r.text, s[0]&^0x20, s[1]&^0x20)
	if upper := view(r.text[start:]); edge.CheckCountry("country", upper) == nil {
		return upper
	}
	return ""
}

// sampled reports a stated sample rate other than 1.
func sampled(rate string) bool {
	whole, zeros, _ := strings.Cut(rate, ".")
	return rate != "" && (whole != "1" || strings.Trim(zeros, "0") != "")
}
