package scoring

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"clickgate/gateway/click"
)

// chromiumHints are those of Chrome of a version.
func chromiumHints(version int, mobile, platform string) click.ClientHints {
	return click.ClientHints{
		Brands: fmt.Sprintf(`"Chromium";v="%d", "Google Chrome";v="%d", "Not-A.Brand";v="99"`, version, version),
		Mobile: mobile, Platform: `"` + platform + `"`,
	}
}

const (
	phone   = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Mobile Safari/537.36"
	tablet  = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"
	desktop = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"
	firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
	safari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
	ipad    = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/127.0.0.0 Mobile/15E148 Safari/604.1"
)

// Each oddity beside its nearest neighbour that has none.
func TestHintOddities(t *testing.T) {
	t.Parallel()
	of := chromiumHints
	for name, tc := range map[string]struct {
		agent string
		hints click.ClientHints
		want  int
	}{
		"no hints":                       {browser, click.ClientHints{}, 0},
		"Windows":                        {browser, of(127, "?0", "Windows"), headersHints},
		"Windows that is Linux":          {browser, of(127, "?0", "Linux"), headersHints | headersPlatform},
		"a platform nobody knows":        {browser, of(127, "?0", "Unknown"), headersHints},
		"a telephone":                    {phone, of(127, "?1", "Android"), headersHints},
		"a telephone that is a server":   {phone, of(127, "?0", "Linux"), headersHints | headersPlatform | headersMobile},
		"a telephone's desktop site":     {desktop, of(127, "?0", "Android"), headersHints},
		"the same, still a telephone":    {desktop, of(127, "?1", "Android"), headersHints},
		"a desktop that is a telephone":  {desktop, of(127, "?1", "Linux"), headersHints | headersMobile},
		"a tablet":                       {tablet, of(127, "?0", "Android"), headersHints},
		"a telephone that is a tablet":   {phone, of(127, "?0", "Android"), headersHints | headersMobile},
		"Windows that is a telephone":    {browser, of(127, "?1", "Windows"), headersHints | headersMobile},
		"another version":                {browser, of(126, "?0", "Windows"), headersHints | headersVersion},
		"another vendor's version":       {browser, click.ClientHints{Brands: `"Opera";v="113", "Chromium";v="127"`}, headersHints},
		"no Chromium among the brands":   {browser, click.ClientHints{Brands: `"Not A;Brand";v="99"`}, headersHints},
		"a brand made up to be ignored":  {browser, click.ClientHints{Brands: `"\"Not\\A;Brand";v="99", "Chromium";v="127"`}, headersHints},
		"a version that is no number":    {browser, click.ClientHints{Brands: `"Chromium";v="x"`}, headersHints},
		"not closed":                     {browser, click.ClientHints{Brands: `"Chromium`}, headersHints},
		"Firefox":                        {firefox, of(127, "?0", "Windows"), headersHints | headersVersion},
		"Safari":                         {safari, of(127, "?0", "macOS"), headersHints | headersVersion},
		"Chrome on an iPad":              {ipad, of(127, "?1", "iOS"), headersHints},
		"a browser without a screen":     {browser, click.ClientHints{Brands: `"HeadlessChrome";v="127", "Chromium";v="127"`}, headersHints | headersHeadless},
		"a brand that only sounds alike": {browser, click.ClientHints{Brands: `"Not;HeadlessChrome";v="8", "Chromium";v="127"`}, headersHints},
		"Chrome OS":                      {"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36", of(127, "?0", "Chrome OS"), headersHints},
	} {
		if got := hintOddities(tc.agent, &tc.hints); got != tc.want {
			t.Errorf("%s: %012b, want %012b", name, got, tc.want)
		}
	}
}

// Hints come from the visitor's own request alone, and a browser without a screen that
// names itself there is one, in both passes, from what is stored.
func TestHintsDecide(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	_, judge := newJudge(t, nil)
	headless := click.ClientHints{Brands: `"HeadlessChrome";v="127", "Chromium";v="127"`}
	for entry, want := range map[click.Entry]click.State{click.EntryClick: click.GIVT, click.EntryBeacon: click.GIVT, click.EntryBatch: click.Valid, click.EntryLog: click.Valid} {
		c, sig := visit("203.0.113.9", browser, start)
		c.Entry, sig.AcceptLanguage, sig.Hints, sig.HeaderOrder = entry, "de", headless, 0o12
		s.Score(&c, &sig)
		if v := c.Verdict; v.State != want || v.Reasons.Has(click.ReasonHeadless) != (want == click.GIVT) {
			t.Errorf("entry %v: %v, %v", entry, v.State, v.Reasons.Codes())
		}
		if known := int(c.Verdict.Vector[SlotHeaders])&headersHints != 0; known != (want == click.GIVT) {
			t.Errorf("entry %v: headers %v", entry, c.Verdict.Vector[SlotHeaders])
		}
		if v := judge(&c); v.State != want || v.Vector[SlotHeaders] != c.Verdict.Vector[SlotHeaders] {
			t.Errorf("entry %v: the second pass says %v", entry, v.State)
		}
	}
}

// No agent of people's devices is odd beside the hints that its browser would send, were
// it new enough to send any.
func TestPeoplesAgentsFitTheirHints(t *testing.T) {
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
	rows := csv.NewReader(z)
	rows.FieldsPerRecord = -1
	platforms := map[system]string{windows: "Windows", macOS: "macOS", iOS: "iOS", android: "Android", chromeOS: "Chrome OS", linux: "Linux"}
	hinted := map[system]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		agent := row[0]
		e, version := engineOf(agent)
		on := systemOf(agent)
		if row[len(row)-1] != "device" || e != chromium || version == 0 || on == unknownSystem {
			continue
		}
		mobile := "?0"
		if on == android && strings.Contains(agent, "Mobile") {
			mobile = "?1"
		}
		hints := chromiumHints(version, mobile, platforms[on])
		if got := hintOddities(agent, &hints); got != headersHints {
			t.Errorf("%s with %+v: %012b", agent, hints, got)
		}
		hinted[on]++
	}
	t.Log(hinted)
	if len(hinted) < 3 || hinted[android] < 1000 {
		t.Errorf("only %v were asked", hinted)
	}
}

func FuzzHints(f *testing.F) {
	f.Add(browser, `"Chromium";v="124", "Not-A.Brand";v="99"`, "?0", `"Windows"`)
	f.Add("Chrome/", `"\`, "?", `"`)
	f.Fuzz(func(t *testing.T, agent, brands, mobile, platform string) {
		h := click.ClientHints{Brands: brands, Mobile: mobile, Platform: platform}
		got := hintOddities(agent, &h)
		if (got == 0) != (h == click.ClientHints{}) || got&^(headersHints|headersPlatform|headersMobile|headersVersion|headersHeadless) != 0 {
			t.Errorf("%012b", got)
		}
		if got&headersHeadless != 0 && !strings.Contains(brands, `"HeadlessChrome"`) {
			t.Errorf("headless by %q", brands)
		}
	})
}

// direct is a click of a visitor with his headers.
func direct(source, agent string, h click.ClientHints, order uint32, i int) (click.Click, click.Signals) {
	c, sig := visit(fmt.Sprintf("203.0.%d.%d", i/200%100, i%200+1), agent, start+int64(i)*1_000_000)
	c.SourceID, c.Entry = source, click.EntryClick
	sig.AcceptLanguage, sig.Hints, sig.HeaderOrder = "de", h, order
	return c, sig
}

// Where a source's clicks of one engine have client hints and an order of headers, one
// without them, or in another order, is unlike them; where they have not, as over plain
// HTTP and behind something that reorders, or where too few are known, nobody is.
func TestMannersAreLearned(t *testing.T) {
	t.Parallel()
	const usual, other = 0o512643, 0o123456
	hints := chromiumHints(127, "?0", "Windows")
	for name, tc := range map[string]struct {
		before    int
		hints     click.ClientHints // of the clicks before
		mixed     int               // one in so many of them is like the last
		last      click.ClientHints
		order     uint32
		agent     string
		want, not int
	}{
		"like the others":          {before: 2000, hints: hints, last: hints, order: usual, agent: browser, not: headersBare | headersOrder},
		"no hints":                 {before: 2000, hints: hints, order: usual, agent: browser, want: headersBare, not: headersOrder},
		"another order":            {before: 2000, hints: hints, last: hints, order: other, agent: browser, want: headersOrder, not: headersBare},
		"no order is known":        {before: 2000, hints: hints, last: hints, agent: browser, not: headersOrder},
		"too few before":           {before: mannered - 1, hints: hints, order: other, agent: browser, not: headersBare | headersOrder},
		"plain HTTP":               {before: 2000, order: usual, agent: browser, not: headersBare | headersOrder},
		"some come so":             {before: 2000, hints: hints, mixed: 30, order: other, agent: browser, not: headersBare | headersOrder},
		"an old Chrome":            {before: 2000, hints: hints, order: usual, agent: strings.Replace(browser, "Chrome/127", "Chrome/88", 1), not: headersBare},
		"a view within an app":     {before: 2000, hints: hints, order: usual, agent: strings.Replace(phone, "; K)", "; wv)", 1), not: headersBare},
		"Firefox, never seen here": {before: 2000, hints: hints, order: other, agent: firefox, not: headersBare | headersOrder},
	} {
		s := newScorer(t)
		early := 0
		for i := range tc.before {
			c, sig := direct("shop", browser, tc.hints, usual, i)
			if tc.mixed > 0 && i%tc.mixed == 0 {
				sig.Hints, sig.HeaderOrder = tc.last, tc.order
			}
			s.Score(&c, &sig)
			if tc.mixed == 0 && int(c.Verdict.Vector[SlotHeaders])&(headersBare|headersOrder) != 0 {
				early++
			}
		}
		c, sig := direct("shop", tc.agent, tc.last, tc.order, tc.before)
		s.Score(&c, &sig)
		if got := int(c.Verdict.Vector[SlotHeaders]); got&tc.want != tc.want || got&tc.not != 0 || early != 0 {
			t.Errorf("%s: %012b, want %012b and not %012b; %d of those before", name, got, tc.want, tc.not, early)
		}
		if c.Verdict.State != click.Valid {
			t.Errorf("%s: %v by headers that are learned", name, c.Verdict.State)
		}
		c, sig = direct("other", tc.agent, tc.last, tc.order, tc.before+1)
		if s.Score(&c, &sig); int(c.Verdict.Vector[SlotHeaders])&(headersBare|headersOrder) != 0 {
			t.Errorf("%s: another source's clicks are held against these", name)
		}
	}
}

// A new version of a browser becomes usual, and however many orders come, the common
// ones stay known.
func TestMannersFollowAndStayBounded(t *testing.T) {
	t.Parallel()
	var m manners
	odd := 0
	for i := range 200_000 {
		order := uint32(1)
		switch {
		case i%50 == 7:
			order = uint32(100 + i)
		case i > 100_000:
			order = 2
		}
		got := m.note(order, false)
		switch {
		case order > 2 && i > 1_000 && got == 0:
			t.Fatalf("click %d: an order that nobody had is usual", i)
		case order == 1 && got != 0, order == 2 && i > 103_000 && got != 0:
			odd++
		}
	}
	if odd != 0 {
		t.Errorf("%d clicks in a usual order are odd", odd)
	}
	if m.clicks >= forgotten {
		t.Errorf("%d clicks are counted", m.clicks)
	}
	for range 5_000 {
		m.note(0, true) // hints are gone for good, as behind a proxy that takes them off
	}
	if m.note(0, true) != 0 {
		t.Error("what most clicks lack is missed")
	}
}
