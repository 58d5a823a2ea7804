package control

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
)

const secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

const sample = `
tenants:
  - id: acme
    landing_hosts: [shop.example]
    token_keys:
      - {id: 2, key: "` + secret + `", retired: 2026-11-01T00:00:00Z}
      - {id: 1, key: "` + secret + `"}
    sources:
      - id: ads
        grace: 1h
        backfill: true
        api_keys:
          - {sha256: KEY1}
          - {sha256: KEY2, test: true}
      - {id: edge, public_id: acme-web}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates:
          - {version: old, from: 2026-01-01T00:00:00Z, price_micros: 100000, currency: EUR}
          - {version: new, from: 2026-06-01T00:00:00Z, price_micros: 200000, currency: EUR, pricing: cpm}
      - {id: trial, advertiser_id: adv, test: true}
  - id: beta
`

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func sampleFile() string {
	return strings.NewReplacer("KEY1", hash("k1"), "KEY2", hash("k2")).Replace(sample)
}

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := Parse([]byte(sampleFile()))
	if err != nil {
		t.Fatal(err)
	}
	acme, beta := s.Tenant("acme"), s.Tenant("beta")
	if acme == nil || beta == nil || s.Tenant("other") != nil || len(s.Tenants()) != 2 || len(s.Version) != 16 {
		t.Fatalf("tenants %v, version %q", s.Tenants(), s.Version)
	}
	if k := acme.TokenKeys(); len(k) != 2 || k[0].ID != 1 || k[1].ID != 2 || s.TokenKey(2) != k[1] || s.TokenKey(3) != nil {
		t.Errorf("token keys %v: live ones come first", k)
	}
	k1, k2 := s.APIKey("k1"), s.APIKey("k2")
	if k1 == nil || k2 == nil || k1.Test || !k2.Test || k1.Source != k2.Source || k1.Source.Tenant != acme || s.APIKey("k3") != nil || s.APIKey("") != nil {
		t.Errorf("API keys %+v, %+v", k1, k2)
	}
	if k1.Source.ID != "ads" || k1.Source.Grace != time.Hour || !k1.Source.Backfill {
		t.Errorf("source %+v", k1.Source)
	}
	if s.PublicSource("acme-web") != acme.Edge || acme.Edge.ID != EdgeSource || acme.Edge.Grace != DefaultGrace {
		t.Errorf("edge source %+v", acme.Edge)
	}
	if beta.Edge == nil || len(beta.Sources()) != 1 || len(acme.Sources()) != 2 {
		t.Errorf("every tenant has an edge source: %v, %v", beta.Sources(), acme.Sources())
	}
	if c := acme.Campaign("trial"); c == nil || !c.Test || acme.Campaign("none") != nil || len(acme.Campaigns()) != 2 {
		t.Errorf("campaigns %v", acme.Campaigns())
	}
}

func TestRateAt(t *testing.T) {
	t.Parallel()
	s, err := Parse([]byte(sampleFile()))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Tenant("acme").Campaign("spring")
	june := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	january := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for _, tc := range []struct {
		at      int64
		version string
		pricing click.Pricing
	}{
		{january - 1, "", click.PricingNone}, {january, "old", click.PricingCPC}, {june - 1, "old", click.PricingCPC},
		{june, "new", click.PricingCPM}, {june * 2, "new", click.PricingCPM},
	} {
		r, ok := c.RateAt(tc.at)
		if ok != (tc.version != "") || r.Version != tc.version || ok && r.Pricing != tc.pricing {
			t.Errorf("at %d: %+v, %v; want %q", tc.at, r, ok, tc.version)
		}
	}
}

// Every mistake is refused with a message that says where and what to do, and
// that holds no secret.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, want string }{
		"unknown key":        {"backfill: true", "backfil: true", "unknown field \"backfil\""},
		"no tenants":         {sampleFile(), "tenants: []", "describe at least one tenant"},
		"tenant id":          {"id: beta", "id: \"be ta\"", "tenants[1]"},
		"tenant twice":       {"id: beta", "id: acme", "tenant ids are unique"},
		"landing":            {"[shop.example]", "[\"shop.example/path\"]", "landing_hosts"},
		"key size":           {secret, "AAEC", "AES-256 needs 32"},
		"key text":           {secret, "***", "openssl rand -base64 32"},
		"key id twice":       {"id: 2, key", "id: 1, key", "unique over all tenants"},
		"key id zero":        {"id: 2, key", "id: 0, key", "is 0 or taken"},
		"source twice":       {"id: edge,", "id: ads,", "source ids are unique"},
		"grace":              {"grace: 1h", "grace: 49h", "use 0 to 48h"},
		"api key":            {hash("k2"), "abc", "sha256sum"},
		"api key twice":      {hash("k2"), hash("k1"), "belongs to one source"},
		"public id twice":    {"- id: beta", "- id: beta\n    sources: [{id: edge, public_id: acme-web}]", "public ids are unique"},
		"campaign twice":     {"id: trial", "id: spring", "campaign ids are unique"},
		"advertiser":         {"id: trial, advertiser_id: adv", "id: trial", "advertiser_id"},
		"rate version":       {"version: old", "version: \"\"", "stored with every click"},
		"rate from":          {"from: 2026-01-01T00:00:00Z, ", "", "2026-01-01T00:00:00Z"},
		"rate price":         {"price_micros: 100000", "price_micros: -1", "is negative"},
		"rate currency":      {"price_micros: 100000, currency: EUR", "price_micros: 100000, currency: Euro", "currency"},
		"rate pricing":       {"pricing: cpm", "pricing: cpx", "use cpc, cpm, cpa or flat"},
		"two rates at once":  {"from: 2026-06-01", "from: 2026-01-01", "start at the same time"},
		"key file not there": {"key: \"" + secret + "\"}", "key_file: /nowhere/key}", "key_file"},
	} {
		content := strings.Replace(sampleFile(), tc.old, tc.new, 1)
		if content == sampleFile() {
			t.Errorf("%s: the mistake was not made", name)
		}
		_, err := Parse([]byte(content))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("%s: the error holds a key", name)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "token.key")
	if err := os.WriteFile(keyFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control.yaml")
	content := strings.Replace(sampleFile(), "key: \""+secret+"\"}", "key_file: "+keyFile+"}", 1)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil || len(s.Tenant("acme").TokenKeys()) != 2 {
		t.Fatalf("%v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); err == nil || !strings.Contains(err.Error(), "control.file") {
		t.Errorf("a missing file: %v", err)
	}
	set := NewSet(s)
	next, err := Parse([]byte("tenants: [{id: solo}]"))
	if err != nil {
		t.Fatal(err)
	}
	set.Swap(next)
	if set.Current() != next || set.Current().Tenant("acme") != nil {
		t.Error("the swap did not take effect")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sampleFile())
	f.Add("tenants: [{id: a}]")
	f.Fuzz(func(t *testing.T, content string) {
		if strings.Contains(content, "key_file") {
			return // reads files of the machine
		}
		if s, err := Parse([]byte(content)); err == nil && len(s.Tenants()) == 0 {
			t.Fatal("a control file without tenants was taken")
		}
	})
}

func TestAPIKeyAllocatesNothing(t *testing.T) {
	s, err := Parse([]byte(sampleFile()))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { s.APIKey("k1") }); n != 0 {
		t.Errorf("looking up a key allocates %v times", n)
	}
}
