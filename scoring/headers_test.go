package scoring

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring/givt"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entry                    click.Entry
		agent, language, country string
		class                    givt.AgentClass
		want                     int
	}{
		"a browser":            {click.EntryClick, browser, "de-DE,de;q=0.9, *;q=0.1", "DE", givt.None, headersKnown},
		"no language":          {click.EntryClick, browser, "", "", givt.None, headersKnown | headersNoLanguage},
		"no language, an app":  {click.EntryClick, "Shop/1.0 (iPhone)", "", "", givt.None, headersKnown},
		"no language in a log": {click.EntryLog, browser, "", "", givt.None, 0},
		"a sender's language":  {click.EntryBatch, browser, "fr", "FR", givt.None, headersKnown},
		"unreadable":           {click.EntryClick, browser, "de_DE", "", givt.None, headersKnown | headersBadLanguage},
		"only signs":           {click.EntryClick, browser, ",;=", "", givt.None, headersKnown | headersBadLanguage},
		"abroad":               {click.EntryClick, browser, "en-US,en;q=0.5", "BR", givt.None, headersKnown | headersForeign},
		"at home as well":      {click.EntryClick, browser, "en-US,pt-br;q=0.5", "BR", givt.None, headersKnown},
		"no region":            {click.EntryClick, browser, "en", "BR", givt.None, headersKnown},
		"a script":             {click.EntryClick, browser, "zh-Hans", "CN", givt.None, headersKnown},
		"two systems":          {click.EntryClick, "Mozilla/5.0 (iPhone; x) Chrome/1 (Windows NT 10.0)", "en", "", givt.None, headersKnown | headersBadAgent},
		"a crawler":            {click.EntryClick, "Bot/1", "", "", givt.Crawler, 0},
	} {
		c := &click.Click{Entry: tc.entry, Country: tc.country}
		if got := oddities(c, &click.Signals{UserAgent: tc.agent, AcceptLanguage: tc.language}, tc.class); got != tc.want {
			t.Errorf("%s: %05b, want %05b", name, got, tc.want)
		}
	}
}

func TestTokenAge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		issued, at int64
		flags      click.Flags
		want       float32
	}{
		{start, start + 1_500_000, 0, 1.5}, {0, start, 0, 0}, {start + 1, start, 0, 0}, {start, start, 0, 0},
		{start, start + 400_000, click.FlagTimeCoarse, 0},
	} {
		c := &click.Click{EventTime: tc.at, Flags: tc.flags}
		if got := tokenAge(c, &click.Signals{IssuedAt: tc.issued}); got != tc.want {
			t.Errorf("%+v: age %v", tc, got)
		}
	}
}

// Of agents of people's devices hardly any contradicts itself.
func TestPeoplesAgentsDoNotContradict(t *testing.T) {
	t.Parallel()
	f, err := os.Open("givt/testdata/agents.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	devices, odd := 0, 0
	rows := csv.NewReader(z)
	rows.FieldsPerRecord = -1
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row[len(row)-1] != "device" {
			continue
		}
		devices++
		if contradicts(row[0]) {
			odd++
			t.Log(row)
		}
	}
	if devices < 10_000 || odd*1000 > devices {
		t.Errorf("%d of %d agents of devices contradict themselves", odd, devices)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("de-DE,de;q=0.9", "DE", browser)
	f.Add("-", "XX", "(")
	f.Add("aa-bb", "bb", "Mozilla/5.0 (iPhone; (X11;")
	f.Fuzz(func(t *testing.T, language, country, agent string) {
		c := &click.Click{Entry: click.EntryClick, Country: country}
		got := oddities(c, &click.Signals{UserAgent: agent, AcceptLanguage: language}, givt.None)
		if got&headersKnown == 0 || got >= 2*headersOrder {
			t.Errorf("%05b", got)
		}
		if x := fingerprint(c, language); (x == 0) != (language == "") || x < 0 || x > 1023 {
			t.Errorf("fingerprint %v", x)
		}
	})
}

// Every table shows its size and what it forgets.
func TestMetrics(t *testing.T) {
	t.Parallel()
	lists, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	s, err := New(DefaultConfig(), lists, 1, reg)
	if err != nil {
		t.Fatal(err)
	}
	c, sig := visit("203.0.113.9", browser, start)
	c.PublisherID, c.CampaignID, c.IPPrefix, c.Entry = "p", "c", "203.0.113.0/24", click.EntryClick
	s.Score(&c, &sig)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, f := range families {
		for _, m := range f.Metric {
			seen[f.GetName()]++
			if f.GetName() == "clickgate_scoring_entities" && m.GetGauge().GetValue() != 1 {
				t.Errorf("table %v has %v entities", m.Label, m.GetGauge().GetValue())
			}
		}
	}
	for _, name := range []string{"clickgate_scoring_entities", "clickgate_scoring_entities_bytes", "clickgate_scoring_evictions_total"} {
		if seen[name] != 9 {
			t.Errorf("%s is there for %d tables", name, seen[name])
		}
	}
}
