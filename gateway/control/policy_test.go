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
	p := s.APIKey("k1").Source.Policies.Source
	if p == nil || p.AppsAreTools == nil || *p.AppsAreTools || p.ModelSuspect == nil || *p.ModelSuspect != 0 || *p.MinClicks != 20 || p.ZSuspect != nil {
		t.Fatalf("%+v", p)
	}
	if s.Tenant("acme").Edge.Policies != nil {
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

// Tenants and campaigns set thresholds as sources do. Each source's clicks get what holds
// for them, the entry keeps it, a diff shows it, and what cannot be is refused with its
// place.
func TestPoliciesOfTenantAndCampaign(t *testing.T) {
	t.Parallel()
	with := func(tenant, campaign string) []byte {
		text := strings.Replace(sampleFile(), "    sources:", "    policy: "+tenant+"\n    sources:", 1)
		return []byte(strings.Replace(text, "advertiser_id: adv\n", "advertiser_id: adv\n        policy: "+campaign+"\n", 1))
	}
	f, s, err := ParseFile(with("{min_clicks: 20}", "{apps_are_tools: false, fast_seconds: 0}"))
	if err != nil {
		t.Fatal(err)
	}
	tenant := s.Tenant("acme")
	if len(tenant.Sources()) < 2 {
		t.Fatal("the sample has one source only")
	}
	campaign := f.Tenants[0].Campaigns[0].ID
	for _, source := range tenant.Sources() {
		of := source.Policies.Of(campaign)
		if of[0] == nil || *of[0].MinClicks != 20 || of[1] != nil || of[2] == nil || *of[2].AppsAreTools || *of[2].FastSeconds != 0 {
			t.Errorf("source %s: %+v", source.ID, of)
		}
		if other := source.Policies.Of("another"); other[2] != nil || other[0] != of[0] {
			t.Errorf("source %s, another campaign: %+v", source.ID, other)
		}
	}
	for _, other := range s.Tenants() {
		if other.ID != "acme" && other.Edge.Policies != nil {
			t.Errorf("tenant %s has policies", other.ID)
		}
	}
	r := newRig(t)
	e := r.entry("acme", 3, epoch)
	e.Tenant.Policy, e.Tenant.Campaigns = f.Tenants[0].Policy, f.Tenants[0].Campaigns
	value, err := e.encode(r.sealer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(value, r.ring); err != nil || !reflect.DeepEqual(got.Tenant.Policy, e.Tenant.Policy) || !reflect.DeepEqual(got.Tenant.Campaigns, e.Tenant.Campaigns) {
		t.Errorf("%+v, %v, from\n%s", got, err, value)
	}
	g, _, err := ParseFile(with("{min_clicks: 21}", "{apps_are_tools: true, fast_seconds: 0}"))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Changes(f, g)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%v, %v", changes, err)
	}
	lines, err := changes[0].Lines()
	text := strings.Join(lines, "\n")
	for _, want := range []string{"-   min_clicks: 20", "+   min_clicks: 21", "apps_are_tools: false", "apps_are_tools: true"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%v: the diff lacks %q:\n%s", err, want, text)
		}
	}
	for _, tc := range []struct{ tenant, campaign, want string }{
		{"{min_click: 20}", "{min_clicks: 20}", `unknown field "min_click"`},
		{"{min_clicks: 20}", "{min_click: 20}", `unknown field "min_click"`},
		{"{}", "{min_clicks: 20}", `tenants[0] ("acme"): policy.is empty`},
		{"{min_clicks: 20}", "{}", "policy.is empty"},
		{"{min_clicks: 1}", "{min_clicks: 20}", "policy.min_clicks: 1 is out of range"},
		{"{min_clicks: 20}", "{z_invalid: 5}", `campaigns[0] ("` + campaign + `"): policy.z_suspect: z_suspect, z_invalid`},
		{"{min_clicks: 20}", "{z_group: 5}", "policy.z_group: is about a source's publishers"},
		{"{min_clicks: 20}", "{group_clicks: 0}", "policy.group_clicks: is about a source's publishers"},
	} {
		if _, err := Parse(with(tc.tenant, tc.campaign)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s and %s: got %v, want %q", tc.tenant, tc.campaign, err, tc.want)
		}
	}
}
