package demo

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
)

func TestPrepare(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "control.yaml")
	first, err := Prepare(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Prepare(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Created || again.Created || first.APIKey != again.APIKey || first.TokenKey.ID != again.TokenKey.ID {
		t.Errorf("the second demo does not go on with the first one's keys")
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files were left, want 2: %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v: %v", f.Name(), info.Mode(), err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil || bytes.Contains(content, []byte(first.APIKey)) {
		t.Errorf("the control file holds the API key itself: %v", err)
	}
	fresh, err := Prepare(filepath.Join(t.TempDir(), "control.yaml"), rand.Reader)
	if err != nil || fresh.APIKey == first.APIKey {
		t.Errorf("two demos share a key: %v", err)
	}
}

func TestPrepareLeavesForeignFilesAlone(t *testing.T) {
	t.Parallel()
	ours, key, err := Control(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ control, key, want string }{
		"another key":     {string(ours), "cgk_x", "does not know"},
		"no key":          {string(ours), "", "not beside it"},
		"no control file": {"tenants: nonsense", key, "demo: control file"},
		"retired key":     {strings.Replace(string(ours), "{id: 2,", "{id: 2, retired: 2026-01-01T00:00:00Z,", 1), key, "no live token key"},
		"tenant missing":  {strings.Replace(string(ours), "id: other", "id: third", 1), key, "tenant other"},
		"another source":  {strings.Replace(string(ours), "id: adserver", "id: third", 1), key, "does not know"},
	} {
		path := filepath.Join(t.TempDir(), "control.yaml")
		if err := os.WriteFile(path, []byte(tc.control), 0o600); err != nil {
			t.Fatal(err)
		}
		if tc.key != "" {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), KeyName), []byte(tc.key), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Prepare(path, rand.Reader); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if after, _ := os.ReadFile(path); string(after) != tc.control {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := Prepare(filepath.Join(t.TempDir(), "control.yaml"), iotest.ErrReader(errors.New("empty"))); err == nil {
		t.Error("keys were made without entropy")
	}
}

func TestControlPricesTheDemo(t *testing.T) {
	t.Parallel()
	file, key, err := Control(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := control.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	demo := s.Tenant(Tenant)
	rate, ok := demo.Campaign(LogCampaign).RateAt(time.Now().UnixMicro())
	if !ok || rate.PriceMicros != 50_000 || rate.Currency != "EUR" || rate.Pricing != click.PricingCPC {
		t.Errorf("the log's clicks cost %+v", rate)
	}
	if _, ok := demo.Campaign(paidCampaign).RateAt(time.Now().UnixMicro()); ok {
		t.Error("the paid campaign has a rate card beside its tokens")
	}
	if !demo.Campaign(testCampaign).Test || s.PublicSource("demo-web") != demo.Edge || s.APIKey(key).Test {
		t.Error("test campaign, public source or API key is not as described")
	}
	if s.Tenant(OtherTenant).Campaign(otherCampaign) == nil {
		t.Error("the other tenant has no campaign")
	}
}
