package control

import (
	"slices"
	"strings"
	"testing"

	"clickgate/gateway/rawlog"
)

const logSample = `
tenants:
  - id: acme
    sources:
      - id: plain
      - id: nginx
        log: {format: combined, allow_shift: true}
      - id: edge
        log:
          format: json
          fields: []
          mapping: {time: ts, uri: url, ip: net.client}
          unit: us
          decode: {query: 1, user_agent: -1}
          absent: ["-"]
          wrappers: [records]
          skip_prefix: true
          clicks:
            paths: [/c, /go/*]
            methods: [GET]
            statuses: [302, 200-299]
            hosts: [clk.example]
`

func TestLogSection(t *testing.T) {
	t.Parallel()
	s, err := Parse([]byte(logSample))
	if err != nil {
		t.Fatal(err)
	}
	sources := s.Tenant("acme").Sources()
	byID := map[string]*Log{}
	for _, src := range sources {
		byID[src.ID] = src.Log
	}
	if byID["plain"] != nil || byID["nginx"] == nil || !byID["nginx"].AllowShift || byID["nginx"].Format.Name != rawlog.Combined || byID["nginx"].Pushed() {
		t.Errorf("logs %+v", byID)
	}
	l := byID[EdgeSource]
	if l == nil || l.AllowShift || l.Format.Unit != rawlog.UnitMicros || l.Format.Keys["ip"] != "net.client" || l.Format.Decode["user_agent"] != -1 ||
		!l.Format.SkipPrefix || !slices.Equal(l.Format.Wrappers, []string{"records"}) || !slices.Equal(l.Format.Absent, []string{"-"}) {
		t.Fatalf("log %+v", l)
	}
	r := l.Rule
	if !slices.Equal(r.Paths, []string{"/c"}) || !slices.Equal(r.Prefixes, []string{"/go/"}) || !slices.Equal(r.Methods, []string{"GET"}) ||
		!slices.Equal(r.Statuses, []rawlog.StatusRange{{From: 302, To: 302}, {From: 200, To: 299}}) || !slices.Equal(r.Hosts, []string{"clk.example"}) {
		t.Errorf("rule %+v", r)
	}
}

func TestLogSectionRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, want string }{
		"no format":      {"format: combined, ", "", "log.format: is missing"},
		"format":         {"format: combined", "format: apache", "use combined"},
		"unknown key":    {"unit: us", "units: us", "units"},
		"fields of JSON": {"fields: []", "fields: [time, uri]", "log.fields: format \"json\" does not read it"},
		"mapping":        {"format: combined", "format: combined, mapping: {time: t}", "use it with json"},
		"skip":           {"format: combined", "format: combined, skip_prefix: true", "log.skip_prefix"},
		"field":          {"time: ts", "tme: ts", "\"tme\" is unknown"},
		"no request":     {"uri: url, ", "", "no key holds the request"},
		"unit":           {"unit: us", "unit: min", "unit \"min\""},
		"layers":         {"query: 1", "query: 9", "layers"},
		"path":           {"/go/*", "go", "log.clicks.paths[1]"},
		"path in middle": {"/go/*", "/go/*/x", "log.clicks.paths[1]"},
		"method":         {"[GET]", "[get]", "log.clicks.methods[0]"},
		"status":         {"200-299", "2xx", "log.clicks.statuses[1]"},
		"status range":   {"200-299", "299-200", "200-399 for a range"},
		"host":           {"[clk.example]", "[\"https://clk.example\"]", "log.clicks.hosts[0]"},
	} {
		content := strings.Replace(logSample, tc.old, tc.new, 1)
		if content == logSample {
			t.Errorf("%s: the mistake was not made", name)
		}
		if _, err := Parse([]byte(content)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	w3c := "tenants: [{id: a, sources: [{id: cf, log: {format: w3c, fields: [date, time, c-ip]}}]}]"
	if _, err := Parse([]byte(w3c)); err == nil || !strings.Contains(err.Error(), "no column holds the request") {
		t.Error(err)
	}
}
