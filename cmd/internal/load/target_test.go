package load

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) (all []netip.Addr, err error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	for _, s := range n[host] {
		all = append(all, netip.MustParseAddr(s))
	}
	if all == nil {
		err = errors.New("no such host")
	}
	return all, err
}

func TestTargets(t *testing.T) {
	t.Parallel()
	dns := names{
		"localhost": {"127.0.0.1", "::1"}, "edge.example": {"192.0.2.7"}, "mixed.example": {"127.0.0.1", "192.0.2.7"},
		"mapped.example": {"::ffff:127.0.0.1"},
	}
	for text, tt := range map[string]struct {
		remote bool
		want   string // address, or a part of the error after a !
	}{
		"http://127.0.0.1:8080":      {false, "127.0.0.1:8080"},
		"http://127.9.9.9:8080/":     {false, "127.9.9.9:8080"},
		"http://[::1]:80":            {false, "[::1]:80"},
		"http://localhost":           {false, "127.0.0.1:80"},
		"http://mapped.example:1":    {false, "127.0.0.1:1"},
		"http://edge.example:8080":   {false, "!another machine"},
		"http://mixed.example:8080":  {false, "!another machine"},
		"http://0.0.0.0:8080":        {false, "!another machine"},
		"http://10.0.0.1:8080":       {false, "!another machine"},
		"http://nowhere.example:80":  {false, "!no address"},
		"https://127.0.0.1:8080":     {false, "!click listener"},
		"127.0.0.1:8080":             {false, "!click listener"},
		"http://127.0.0.1:8080/c":    {false, "!click listener"},
		"http://127.0.0.1:8080?x=y":  {false, "!click listener"},
		"http://u:p@127.0.0.1:8080":  {false, "!click listener"},
		"http://":                    {false, "!click listener"},
		"":                           {false, "!click listener"},
		"http://edge.example:8081":   {true, "192.0.2.7:8081"},
		"http://nowhere.example:443": {true, "!no address"},
	} {
		got, err := NewTarget(t.Context(), text, tt.remote, dns)
		part, wantErr := strings.CutPrefix(tt.want, "!")
		switch {
		case wantErr && (err == nil || !strings.Contains(err.Error(), part)):
			t.Errorf("%s: %+v, %v", text, got, err)
		case !wantErr && (err != nil || got.Address != tt.want || got.URL != text):
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestSenderOfADemo(t *testing.T) {
	t.Parallel()
	path := testControl(t)
	now := time.Now()
	s, err := NewSender(path, "", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ReadAPIKey("", path, now); err != nil {
		t.Fatal(err)
	}
	if s.Tenant != "demo" || s.Campaign != "acme-log" || s.Advertiser != "acme" || s.Landing != "https://shop.example/" ||
		s.PublicID != "demo-web" || s.BatchCampaign != "acme-log" || s.Key == nil || s.APIKey == "" {
		t.Errorf("%+v", *s)
	}
	for name, err := range map[string]error{
		"a tenant without paid campaign": second(NewSender(path, "other", now)),
		"an unknown tenant":              second(NewSender(path, "nobody", now)),
		"no file":                        second(NewSender(path+"x", "", now)),
		"a key file that is not there":   s.ReadAPIKey(path+"x", path, now),
		"a file that is no key":          s.ReadAPIKey(path, path, now),
	} {
		if err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func second(_ *Sender, err error) error { return err }
