package control

import (
	"reflect"
	"strings"
	"testing"
)

// A source's policy is read, kept in the topic and in an edited file, and refused
// when it cannot be.
func TestSourcePolicy(t *testing.T) {
	t.Parallel()
	with := func(policy string) []byte {
		return []byte(strings.Replace(sampleFile(), "grace: 1h", "grace: 1h\n        policy: "+policy, 1))
	}
	f, s, err := ParseFile(with("{apps_are_tools: false, model_suspect: 0, min_clicks: 20}"))
	if err != nil {
		t.Fatal(err)
	}
	p := s.APIKey("k1").Source.Policy
	if p == nil || p.AppsAreTools == nil || *p.AppsAreTools || p.ModelSuspect == nil || *p.ModelSuspect != 0 || *p.MinClicks != 20 || p.ZSuspect != nil {
		t.Fatalf("%+v", p)
	}
	if s.Tenant("acme").Edge.Policy != nil {
		t.Error("another source has the policy")
	}
	r := newRig(t)
	e := r.entry("acme", 3, epoch)
	e.Tenant.Sources[0].Policy = f.Tenants[0].Sources[0].Policy
	value, err := e.encode(r.sealer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(value, r.ring); err != nil || !reflect.DeepEqual(got.Tenant.Sources[0].Policy, p) {
		t.Errorf("%+v, %v, from\n%s", got, err, value)
	}
	text, err := AddSource("acme", SourceEntry{ID: "app", Policy: p}).ApplyText([]byte(sampleFile()))
	if err != nil || !strings.Contains(string(text), "apps_are_tools: false") {
		t.Errorf("%v\n%s", err, text)
	}
	for policy, want := range map[string]string{
		"{apps_are_tool: false}":  `unknown field "apps_are_tool"`,
		"{}":                      "policy.is empty",
		"{z_suspect: 3}":          "policy.z_suspect: z_suspect, z_invalid",
		"{min_clicks: 1}":         "policy.min_clicks: 1 is out of range",
		"{apps_are_tools: maybe}": "of type bool",
	} {
		if _, err := Parse(with(policy)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", policy, err, want)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	p, err := ParsePolicy(map[string]string{"apps_are_tools": "false", "min_clicks": "20"})
	if err != nil || *p.AppsAreTools || *p.MinClicks != 20 || p.Validate() != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := ParsePolicy(nil); p != nil || err != nil {
		t.Errorf("nothing is %+v, %v", p, err)
	}
	for _, bad := range []map[string]string{{"apps": "false"}, {"min_clicks": "many"}, {"min_clicks": "20\nself_minutes: 3"}, {"min_clicks": "[1]"}, {"": ""}} {
		if p, err := ParsePolicy(bad); err == nil {
			t.Errorf("%v is %+v", bad, p)
		}
	}
}
