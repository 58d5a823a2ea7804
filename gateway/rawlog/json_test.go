package rawlog

import (
	"fmt"
	"strings"
	"testing"

	"clickgate/gateway/edge"
)

// logpushLine is a line of http_requests; times are its time fields.
func logpushLine(ray, times string) string {
	return `{"RayID":"` + ray + `",` + times + `"ClientIP":"203.0.113.31","ClientRequestHost":"clk.example","ClientRequestMethod":"GET",` +
		`"ClientRequestURI":"/c?t=TOK-P1","ClientRequestPath":"/c","ClientRequestScheme":"https","ClientRequestProtocol":"HTTP/2","ClientRequestReferer":"",` +
		`"ClientRequestUserAgent":"Kite/3","ClientRequestSource":"eyeball","ClientCountry":"de","EdgeResponseStatus":302,"BotTags":["x"],"RequestHeaders":{"a":"b"}}`
}

func TestCase12LogpushTimes(t *testing.T) {
	t.Parallel()
	stamp := func(v string) string { return `"EdgeStartTimestamp":` + v + `,` }
	for _, tc := range []struct {
		name, times string
		want        int64
		precision   Precision
		fallback    bool
		code        string
	}{
		{"unixnano", stamp(`1790000000123000961`), 1_790_000_000_123_000, PrecisionMicro, false, ""},
		{"unix", stamp(`1790000000`), 1_790_000_000_000_000, PrecisionSecond, false, ""},
		{"rfc3339", stamp(`"2026-09-21T14:13:20Z"`), 1_790_000_000_000_000, PrecisionSecond, false, ""},
		{"rfc3339ms", stamp(`"2026-09-21T14:13:20.123Z"`), 1_790_000_000_123_000, PrecisionMilli, false, ""},
		{"rfc3339ns", stamp(`"2026-09-21T14:13:20.123000961Z"`), 1_790_000_000_123_000, PrecisionMicro, false, ""},
		{"unix as text", stamp(`"1790000000"`), 1_790_000_000_000_000, PrecisionSecond, false, ""},
		{"only Datetime", `"Datetime":"2026-09-21T14:13:20Z",`, 1_790_000_000_000_000, PrecisionSecond, true, ""},
		{"no time", ``, 0, 0, false, edge.CodeMissing},
		{"zero", stamp(`0`), 0, 0, false, edge.CodeOutOfRange},
		// More of the kind.
		{"null and Datetime", stamp(`null`) + `"Datetime":"2026-09-21T14:13:20Z",`, 1_790_000_000_000_000, PrecisionSecond, true, ""},
		{"both", stamp(`1790000001`) + `"Datetime":"2026-09-21T14:13:20Z",`, 1_790_000_001_000_000, PrecisionSecond, false, ""},
		{"zero and Datetime", stamp(`0`) + `"Datetime":"2026-09-21T14:13:20Z",`, 0, 0, false, edge.CodeOutOfRange},
		{"unixnano as text", stamp(`"1790000000123000961"`), 1_790_000_000_123_000, PrecisionMicro, false, ""},
		{"milliseconds", stamp(`1790000000123`), 0, 0, false, edge.CodeWrongUnit},
		{"microseconds", stamp(`1790000000123000`), 0, 0, false, edge.CodeWrongUnit},
		{"negative", stamp(`-1790000000`), 0, 0, false, edge.CodeOutOfRange},
		{"beyond 64 bits", stamp(`99999999999999999999999`), 0, 0, false, edge.CodeOutOfRange},
		{"exponent", stamp(`1.79e9`), 0, 0, false, edge.CodeBadTime},
		{"seconds with fraction", stamp(`1790000000.123456789`), 1_790_000_000_123_456, PrecisionMicro, false, ""},
		{"last second", stamp(`4102444799`), 4_102_444_799_000_000, PrecisionSecond, false, ""},
		{"2100", stamp(`4102444800`), 0, 0, false, edge.CodeOutOfRange},
		{"object", stamp(`{}`), 0, 0, false, edge.CodeWrongType},
		{"offset", stamp(`"2026-09-21T19:43:20+05:30"`), 1_790_000_000_000_000, PrecisionSecond, false, ""},
		{"no zone", stamp(`"2026-09-21T14:13:20"`), 0, 0, false, edge.CodeNoZone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, sum := scanAll(t, Format{Name: Logpush}, logpushLine("ray-1", tc.times))
			g := got[0]
			if code(g.Err) != tc.code {
				t.Fatalf("%v, want %q", g.Err, tc.code)
			}
			if tc.code != "" {
				if sum.Malformed != 1 {
					t.Errorf("%+v", sum)
				}
				return
			}
			if g.Time != tc.want || g.Precision != tc.precision || g.TimeFallback != tc.fallback {
				t.Errorf("time %d, precision %d, fallback %v", g.Time, g.Precision, g.TimeFallback)
			}
			if g.RequestID != "ray-1" || g.IP.String() != "203.0.113.31" || g.Path != "/c" || g.RawQuery != "t=TOK-P1" || g.Host != "clk.example" ||
				g.Scheme != "https" || g.Protocol != "HTTP/2" || g.Country != "DE" || g.Status != 302 || g.UserAgent != "Kite/3" || g.Subrequest || g.Sampled {
				t.Errorf("%+v", g.Record)
			}
		})
	}
}

// TestCase12OneEvent: the same request in two time formats is one event.
func TestCase12OneEvent(t *testing.T) {
	t.Parallel()
	ids := map[string]int{}
	for _, times := range []string{`"EdgeStartTimestamp":1790000000123000961,`, `"EdgeStartTimestamp":1790000000,`, `"EdgeStartTimestamp":"2026-09-21T14:13:20.123Z",`, `"Datetime":"2026-09-21T14:13:20Z",`} {
		got, _ := scanAll(t, Format{Name: Logpush}, logpushLine("ray-1", times))
		ids[EventID("tenant", "source", "batch", &got[0].Record).String()]++
		if IDTime(got[0].Time) != 1_790_000_000_000_000 {
			t.Errorf("id time %d", IDTime(got[0].Time))
		}
	}
	if len(ids) != 1 {
		t.Errorf("one request has the ids %v", ids)
	}
}

func TestLogpushBodies(t *testing.T) {
	t.Parallel()
	line := func(i int) string { return logpushLine(fmt.Sprintf("ray-%d", i), `"EdgeStartTimestamp":1790000000,`) }
	three := []string{line(1), line(2), line(3)}
	for name, body := range map[string]string{
		"lines":              strings.Join(three, "\n") + "\n",
		"lines, no last end": strings.Join(three, "\r\n"),
		"array":              "[" + strings.Join(three, ",") + "]",
		"array over lines":   "\xEF\xBB\xBF \n[\n" + strings.Join(three, ",\n") + "\n]\n",
		"wrapped":            `{"events":[` + strings.Join(three, ",") + `]}`,
		"wrapped, loose":     ` { "events" : [ ` + strings.Join(three, " , ") + ` ] , "n":"}" }` + "\n",
		"batches":            `{"events":[` + three[0] + `]}` + "\n" + `{"events":[]}[]` + "\n[" + three[1] + "," + three[2] + "]\n",
		"batch, then lines":  "[" + three[0] + "]\n" + three[1] + "\n" + three[2] + "\n",
	} {
		got, sum := scanAll(t, Format{Name: Logpush}, body)
		if sum.Requests != 3 || sum.Lines != 3 {
			t.Fatalf("%s: %+v", name, sum)
		}
		for i, g := range got {
			if g.RequestID != fmt.Sprintf("ray-%d", i+1) || g.line != three[i] || body[g.Offset:g.Offset+g.Length] != three[i] {
				t.Errorf("%s: line %d is %q at %d", name, i, g.line, g.Offset)
			}
		}
	}
}

func TestLogpushTrouble(t *testing.T) {
	t.Parallel()
	good := logpushLine("ray-1", `"EdgeStartTimestamp":1790000000,`)
	for name, tc := range map[string]struct {
		body                         string
		requests, malformed, comment int64
		code                         string
	}{
		"probe":                   {`{"content":"tests"}`, 0, 0, 1, ""},
		"probe with line end":     {`{"content":"tests"}` + "\n", 0, 0, 1, ""},
		"no probe":                {`{"content":"tests","x":1}`, 0, 1, 0, edge.CodeMissing},
		"empty":                   {"", 0, 0, 0, ""},
		"empty array":             {"[]", 0, 0, 0, ""},
		"empty wrapper":           {`{"events":[ ]}`, 0, 0, 0, ""},
		"broken line":             {good + "\n{\"RayID\":\n" + good, 2, 1, 0, edge.CodeBadJSON},
		"text in an array":        {"[" + good + `,"x",` + good + "]", 2, 1, 0, edge.CodeNotObject},
		"two commas":              {"[" + good + ",," + good + "]", 2, 1, 0, edge.CodeBadJSON},
		"comma at the end":        {"[" + good + ",]", 1, 1, 0, edge.CodeBadJSON},
		"array without end":       {"[" + good + "," + good, 1, 1, 0, edge.CodeBadJSON},
		"array cut at a comma":    {"[" + good + ",", 1, 1, 0, edge.CodeBadJSON},
		"wrapper without end":     {`{"events":[` + good + "]", 1, 1, 0, edge.CodeBadJSON},
		"quote missing":           {"[" + good + `,{"a":"x},` + good + "]", 1, 1, 0, edge.CodeBadJSON},
		"forged by a third":       {`[{"a":"x},{"b":"y},{\"c\":1},{\"c\":2},{\"c\":3}"},` + good + "]", 0, 2, 0, edge.CodeBadJSON},
		"brackets crossed":        {"[" + good + ",{]}," + good + "]", 1, 1, 0, edge.CodeBadJSON},
		"garbage behind":          {"[" + good + "]]", 1, 1, 0, edge.CodeNotObject},
		"other wrapper is a line": {`{"items":[` + good + `]}`, 0, 1, 0, edge.CodeMissing},
		"NUL in the agent":        {strings.Replace(good, "Kite/3", `Kite\u0000`, 1), 0, 1, 0, edge.CodeNULByte},
		"bad UTF-8":               {strings.Replace(good, "Kite/3", "Kite\xC3\x28", 1), 0, 1, 0, edge.CodeBadUTF8},
		"repeated key":            {strings.Replace(good, "{", `{"ClientIP":"203.0.113.1",`, 1), 0, 1, 0, edge.CodeRepeatedKey},
		"status as words":         {strings.Replace(good, ":302", `:"found"`, 1), 0, 1, 0, CodeBadStatus},
	} {
		got, sum := scanAll(t, Format{Name: Logpush}, tc.body)
		if sum.Requests != tc.requests || sum.Malformed != tc.malformed || sum.Comments != tc.comment {
			t.Errorf("%s: %+v", name, sum)
		}
		for _, g := range got {
			if g.Kind == Malformed && code(g.Err) != tc.code {
				t.Errorf("%s: %v, want %s", name, g.Err, tc.code)
			}
		}
	}
}

func TestLogpushSubrequestsAndSamples(t *testing.T) {
	t.Parallel()
	good := logpushLine("ray-1", `"EdgeStartTimestamp":1790000000,`)
	for replace, want := range map[string]struct{ subrequest, sampled bool }{
		`"ClientRequestSource":"eyeball"`:                         {false, false},
		`"ClientRequestSource":"edgeWorkerFetch"`:                 {true, false},
		`"ClientRequestSource":""`:                                {false, false},
		`"ClientRequestSource":"eyeball","SampleRate":1`:          {false, false},
		`"ClientRequestSource":"eyeball","sample_rate":"1.000"`:   {false, false},
		`"ClientRequestSource":"eyeball","sample_rate":0.1`:       {false, true},
		`"ClientRequestSource":"eyeball","SampleRate":"0.999999"`: {false, true},
	} {
		got, _ := scanAll(t, Format{Name: Logpush}, strings.Replace(good, `"ClientRequestSource":"eyeball"`, replace, 1))
		g := got[0]
		if g.Kind != Request || g.Subrequest != want.subrequest || g.Sampled != want.sampled {
			t.Errorf("%s: %v %v %v", replace, g.Kind, g.Subrequest, g.Sampled)
		}
		if click, why := new(Rule).Match(&g.Record); click == want.subrequest || want.subrequest && why != WhySubrequest {
			t.Errorf("%s: click %v, %s", replace, click, why)
		}
	}
}

// TestJSONMapping reads the lines of case 14 by a mapping of its own.
func TestJSONMapping(t *testing.T) {
	t.Parallel()
	f := Format{Name: JSON, Unit: UnitSeconds, Absent: []string{"-", "^"}, Decode: map[string]int{"user_agent": 1, "referer": 1},
		Keys: map[string]string{"request_id": "reqId", "time": "reqTimeSec", "ip": "cliIP", "method": "reqMethod", "host": "reqHost",
			"path": "reqPath", "query": "queryStr", "status": "statusCode", "user_agent": "UA", "referer": "referer", "country": "geo.country"}}
	got, sum := scanAll(t, f, `{"reqId":"AK-1","reqTimeSec":"1790000000.250","cliIP":"203.0.113.41","reqMethod":"GET","reqHost":"clk.example","reqPath":"c","queryStr":"t=TOK-Q1","statusCode":"302","bytes":"","UA":"Mozilla%2F5.0%20(Linux%3B%20Android%2014)%20Ketch%2F3.1","referer":"-","asn":"^","geo":{"country":"ES","city":"Vigo"}}
{"reqId":"AK-2","reqTimeSec":"1790000001","cliIP":"2001:db8::41","reqMethod":"GET","reqHost":"clk.example","reqPath":"c","queryStr":"t=TOK-Q2","statusCode":302,"geo.country":"PT"}
{"reqId":"AK-3","reqTimeSec":"1790000002.5","cliIp":"203.0.113.43","reqMethod":"GET","reqHost":"clk.example","reqPath":"c","queryStr":"t=TOK-Q3","UA":"-"}
{"reqId":"AK-1","reqTimeSec":"1790000000.250","cliIP":"203.0.113.41","reqMethod":"GET","reqHost":"clk.example","reqPath":"c","queryStr":"t=TOK-Q1"}
{"reqId":"AK-5","reqTimeSec":1790000000.250,"reqPath":"c","geo":{"country":"ES"},"geo.country":"PT"}
`)
	if sum.Requests != 4 || sum.Malformed != 1 || code(got[4].Err) != edge.CodeRepeatedKey || got[4].Err.Field != "country" {
		t.Fatalf("%+v %v", sum, got[4].Err)
	}
	if g := got[0]; g.Time != 1_790_000_000_250_000 || g.UserAgent != "Mozilla/5.0 (Linux; Android 14) Ketch/3.1" || g.Referer != "" || g.Path != "/c" || g.RawQuery != "t=TOK-Q1" || g.Status != 302 || g.Country != "ES" {
		t.Errorf("AK-1: %+v", g.Record)
	}
	if g := got[1]; g.Time != 1_790_000_001_000_000 || g.UserAgent != "" || g.Status != 302 || g.Country != "PT" || g.IP.String() != "2001:db8::41" {
		t.Errorf("AK-2: %+v", g.Record)
	}
	if g := got[2]; code(g.Check()) != CodeBadAddress {
		t.Errorf("AK-3: %v, ip %v", g.Check(), g.IP)
	}
	for i, g := range got[:4] {
		if click, why := new(Rule).Match(&g.Record); !click {
			t.Errorf("line %d is no click: %s", i+1, why)
		}
	}
	if a, b := RequestEventID("t", "s", &got[0].Record), RequestEventID("t", "s", &got[3].Record); a != b {
		t.Error("the fourth line is not the first again")
	}
}

func TestJSONPrefix(t *testing.T) {
	t.Parallel()
	f := Format{Name: JSON, SkipPrefix: true, Keys: map[string]string{"time": "ts", "uri": "url"}}
	if _, sum := scanAll(t, f, `[cache-1] {"ts":1790000000250,"url":"/c"}`+"\n"+`[cache-2] {"ts":1790000000250,"url":"/c"}`); sum.Requests != 2 {
		t.Errorf("%+v", sum)
	}
	got, _ := scanAll(t, f, `<134>2026-11-10T12:00:00Z cache-1 log[1]: {"ts":1790000000250,"url":"/c?t=1"}`)
	if g := got[0]; g.Kind != Request || g.Time != 1_790_000_000_250_000 || g.RawQuery != "t=1" || !strings.HasPrefix(g.line, "<134>") {
		t.Errorf("%v %+v", g.Err, g.Record)
	}
}

func TestFormatSettings(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"time": "ts", "path": "p"}
	for name, tc := range map[string]struct {
		f    Format
		want string // in the error, "" for none
	}{
		"plain":              {Format{Name: Combined}, ""},
		"unknown":            {Format{Name: "csv"}, `"csv" is unknown`},
		"columns":            {Format{Name: W3C, Columns: []string{"c-ip", "cs-uri-stem"}}, "no column holds the time"},
		"no request":         {Format{Name: W3C, Columns: []string{"date", "time"}}, "no column holds the request"},
		"twice":              {Format{Name: W3C, Columns: []string{"ts", "timestamp", "uri"}}, "two columns"},
		"columns misplaced":  {Format{Name: JSON, Keys: keys, Columns: []string{"ts"}}, "columns"},
		"decode misplaced":   {Format{Name: Combined, Decode: map[string]int{"query": 1}}, "no such setting"},
		"unit of Logpush":    {Format{Name: Logpush, Unit: UnitMillis}, "no such setting"},
		"unit":               {Format{Name: JSON, Keys: keys, Unit: "h"}, `unit "h"`},
		"layers":             {Format{Name: W3C, Decode: map[string]int{"query": 3}}, "3 layers"},
		"layers of the host": {Format{Name: W3C, Decode: map[string]int{"host": 1}}, `"host" cannot be decoded`},
		"no keys":            {Format{Name: JSON}, "no key holds the time"},
		"no path":            {Format{Name: JSON, Keys: map[string]string{"time": "ts"}}, "no key holds the request"},
		"unknown field":      {Format{Name: JSON, Keys: map[string]string{"when": "ts"}}, `"when" is unknown`},
		"empty key":          {Format{Name: JSON, Keys: map[string]string{"time": ""}}, "empty"},
		"key twice":          {Format{Name: JSON, Keys: map[string]string{"time": "x", "path": "x"}}, "another field"},
		"more Logpush keys":  {Format{Name: Logpush, Keys: map[string]string{"token": "RequestHeaders.x-token"}}, ""},
	} {
		_, err := tc.f.Parser()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
