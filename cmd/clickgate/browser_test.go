package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// update: go test ./cmd/clickgate -run TestConsoleStory -update
var update = flag.Bool("update", false, "take the screenshots in docs/images anew")

// browserPatience bounds every single wait of a browser test.
const browserPatience = 4 * time.Minute

// browser is a headless Chromium with one tab, and what went wrong in it.
type browser struct {
	*testing.T
	ctx context.Context // of the tab

	mu       sync.Mutex
	faults   []string
	requests int
	pages    []string // paths of the documents, in order
}

// startBrowser starts Chromium, or skips the test where there is none.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := os.Getenv("CLICKGATE_TEST_CHROMIUM")
	if path == "" {
		var err error
		if path, err = exec.LookPath("chromium"); err != nil {
			t.Skip("CLICKGATE_TEST_CHROMIUM is not set and no chromium is in PATH; `make test` gets it (Debian package chromium)")
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own refuses root
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &browser{T: t}
	b.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(b.ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	if err := chromedp.Listen(b.ctx, b.note); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, audits.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// note takes an event of the tab.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := event.(*network.EventRequestWillBeSent); ok {
		b.requests++
		if e.Type == network.ResourceTypeDocument {
			_, path, _ := strings.Cut(strings.TrimPrefix(e.Request.URL, "http://"), "/")
			path, _, _ = strings.Cut(path, "?")
			b.pages = append(b.pages, "/"+path)
		}
	}
	if fault := faultOf(event); fault != "" {
		b.faults = append(b.faults, fault)
	}
}

// faultOf says what is wrong about an event, nothing when it is none of a fault.
func faultOf(event any) string {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		return "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			return fmt.Sprintf("console.%s", e.Type)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			return fmt.Sprintf("log of %s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		return fmt.Sprintf("issue: %s", e.Issue.Code)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			return fmt.Sprintf("status %d: %s", e.Response.Status, e.Response.URL)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled { // what the next page cuts off is no failure
			return "failed request: " + e.ErrorText
		}
	}
	return ""
}

// wrong returns the faults so far.
func (b *browser) wrong() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

// seen returns how many requests went out, and the paths of all documents.
func (b *browser) seen() (requests int, pages []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, slices.Clone(b.pages)
}

// do runs steps, each of which waits for what it needs.
func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%s: %v; faults so far: %q\n%s", what, err, b.wrong(), b.text())
	}
}

// text is what the page shows.
func (b *browser) text() string { return eval[string](b, "document.body.innerText") }

// eval returns the value of a JavaScript expression in the page.
func eval[T any](b *browser, js string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.Fatalf("%s: %v", js, err)
	}
	return v
}

// until waits for an expression to be true; between two looks it calls again, if
// there is such a thing.
func (b *browser) until(what, js string, again func()) {
	b.Helper()
	for deadline := time.Now().Add(browserPatience); !eval[bool](b, js); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s: waited %s in vain\n%s", what, browserPatience, b.text())
		}
		if again != nil {
			again()
		}
	}
}

// click presses what a selector names and waits for the page behind it.
func (b *browser) click(selector string) {
	b.Helper()
	eval[int](b, "window.left = 1")
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
	b.until("the page behind "+selector, `window.left === undefined && document.readyState === "complete"`, nil)
}

// rows are the body or foot of a table, by column.
type rows []map[string]string

// table reads the table in what has a test id; part is tbody or tfoot. A cell with a
// title, where the full value stands, counts as the title.
func (b *browser) table(testid, part string) (out rows) {
	b.Helper()
	js := fmt.Sprintf(`(() => {
	const table = document.querySelector('[data-testid=%s]');
	const heads = [...table.tHead.rows[0].cells].map(c => c.textContent.trim());
	return JSON.stringify([...table.querySelectorAll('%s tr')].filter(r => !r.querySelector('.empty')).map(row => {
		const out = {};
		let column = 0;
		for (const cell of row.cells) {
			const titled = cell.querySelector('[title]');
			out[heads[column]] = (titled ? titled.title : cell.textContent).trim().replace(/\s+/g, ' ');
			column += cell.colSpan;
		}
		return out;
	}));
})()`, testid, part)
	if err := json.Unmarshal([]byte(eval[string](b, js)), &out); err != nil {
		b.Fatal(err)
	}
	return out
}

// look is a size and a colour scheme in which pages are looked at.
type look struct {
	name          string
	width, height int64
	scheme        string
	phone         bool
}

var looks = []look{
	{"light", 1280, 860, "light", false},
	{"dark", 1280, 860, "dark", false},
	{"phone", 390, 844, "light", true},
	{"phone-dark", 390, 844, "dark", true},
}

// wear puts on a look.
func (b *browser) wear(l look) {
	b.Helper()
	params := emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.phone}
	_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, params)
	if err == nil {
		_, err = chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: l.scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // colours do not glide while they are measured
		}})
	}
	if err != nil {
		b.Fatalf("look %s: %v", l.name, err)
	}
	// Two frames later the page is laid out and painted anew.
	eval[chromedp.Void](b, "window.framed = 0, requestAnimationFrame(() => requestAnimationFrame(() => window.framed = 1))")
	b.until("frames", "window.framed === 1", nil)
}

// pictured are the pages that the documentation shows.
var pictured = []string{"live", "incident", "review", "case", "hours", "statement"}

// inspect looks at the present page in every look: nothing sticks out, nothing is
// cut, everything can be read. With -update it also takes the picture of a page that
// is pictured.
func (b *browser) inspect(name string) {
	b.Helper()
	for _, l := range looks {
		b.wear(l)
		texts := 0
		for _, line := range eval[[]string](b, measureJS) {
			if strings.HasPrefix(line, "texts ") {
				_, _ = fmt.Sscanf(line, "texts %d", &texts)
				continue
			}
			b.Errorf("%s, %s: %s", name, l.name, line)
		}
		if texts < 15 {
			b.Errorf("%s, %s: only %d texts were measured", name, l.name, texts)
		}
		if *update && slices.Contains(pictured, name) && l.name != "phone-dark" {
			b.picture("console-" + name + "-" + l.name)
		}
	}
	b.wear(looks[0])
}

// measureJS returns what is wrong about the page's looks, and how many texts it
// measured. Contrast is that of WCAG 2.2, success criterion 1.4.3: 4.5 to 1, for
// large text 3 to 1.
const measureJS = `(() => {
	const out = [];
	const root = document.documentElement;
	if (root.scrollWidth > root.clientWidth) {
		const widest = [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest('.scroll, nav'));
		out.push('the page is ' + root.scrollWidth + ' px wide in ' + root.clientWidth + ': ' + widest.slice(0, 3).map(e => e.outerHTML.slice(0, 90)).join(' | '));
	}
	const parse = (text) => {
		const n = text.match(/[\d.]+/g).map(Number);
		return { r: n[0], g: n[1], b: n[2], a: n.length > 3 ? n[3] : 1 };
	};
	const over = (top, below) => {
		const mix = (k) => top[k] * top.a + below[k] * (1 - top.a);
		return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 };
	};
	const luminance = (c) => {
		const [r, g, b] = [c.r, c.g, c.b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		if (!e) return { r: 255, g: 255, b: 255, a: 1 };
		const own = parse(getComputedStyle(e).backgroundColor);
		return own.a === 1 ? own : over(own, behind(e.parentElement));
	};
	let texts = 0;
	const check = (e, pseudo, text) => {
		const style = getComputedStyle(e, pseudo);
		const back = behind(e);
		const [light, dark] = [luminance(over(parse(style.color), back)), luminance(back)].sort((a, b) => b - a);
		const ratio = (light + 0.05) / (dark + 0.05);
		const size = parseFloat(style.fontSize);
		const large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
		texts++;
		if (ratio < (large ? 3 : 4.5)) out.push('contrast ' + ratio.toFixed(2) + ' of ' + JSON.stringify(text.trim().slice(0, 40)) + ', ' + style.color);
	};
	for (const e of document.body.querySelectorAll('*')) {
		if (!e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || e.closest('svg, .skip, thead') && getComputedStyle(e.closest('svg, .skip, thead')).position === 'absolute') continue;
		if (e.placeholder && !e.value) check(e, '::placeholder', e.placeholder);
		const text = [...e.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data).join('');
		if (!text.trim()) continue;
		check(e, null, text);
		const style = getComputedStyle(e);
		if (style.display !== 'inline' && style.overflowX === 'hidden' && e.scrollWidth > e.clientWidth + 1) out.push('cut: ' + text.trim().slice(0, 60));
	}
	out.push('texts ' + texts);
	return out;
})()`

const (
	imagesDir   = "../../docs/images"
	maxPNGBytes = 150_000
)

// picture writes a screenshot of what is in view.
func (b *browser) picture(name string) {
	b.Helper()
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if shot, err = fewerColours(shot); err == nil {
		err = os.MkdirAll(imagesDir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(imagesDir, name+".png"), shot, 0o644)
	}
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	if len(shot) > maxPNGBytes {
		b.Errorf("%s has %d bytes; a page of the documentation is to load quickly", name, len(shot))
	}
}

// fewerColours writes a PNG with at most 256 colours, those that it has most of, which
// takes a third of the bytes.
func fewerColours(shot []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	counts := map[color.NRGBA]int{}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[color.NRGBAModel.Convert(full.At(x, y)).(color.NRGBA)]++
		}
	}
	colours := make([]color.NRGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.NRGBA) int { return counts[b] - counts[a] })
	palette := color.Palette{}
	for _, c := range colours { // neighbours of those that are there are not needed
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(p color.Color) bool { return near(p.(color.NRGBA), c) }) {
			palette = append(palette, c)
		}
	}
	small := image.NewPaletted(bounds, palette)
	draw.Draw(small, bounds, full, bounds.Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small)
	return out.Bytes(), err
}

// near reports whether nobody sees the difference between two colours.
func near(a, b color.NRGBA) bool {
	square := func(x, y uint8) int { return (int(x) - int(y)) * (int(x) - int(y)) }
	return square(a.R, b.R)+square(a.G, b.G)+square(a.B, b.B) < 64
}

// TestBrowserSeesFaults plants every kind of fault in a page: a walk that meets one
// must not pass.
func TestBrowserSeesFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ page, want string }{
		"exception":      {`<script nonce="n">throw new Error("planted")</script>`, "exception: "},
		"console":        {`<script nonce="n">console.error("planted")</script>`, "console.error"},
		"rejection":      {`<script nonce="n">Promise.reject(new Error("planted"))</script>`, "exception: "},
		"inline script":  {`<script>1</script>`, "issue: ContentSecurityPolicyIssue"},
		"inline style":   {`<p style="color: red">planted</p>`, "log of security: "},
		"foreign image":  {`<img src="http://127.0.0.1:9/x.png">`, "failed request: "},
		"missing file":   {`<img src="/missing.png">`, "status 404: "},
		"nothing at all": {`<p>a page</p>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBrowser(t)
			b.do("planted page", chromedp.Navigate(serveText(t, c.page)+"/"))
			for deadline := time.Now().Add(10 * time.Second); c.want != "" && len(b.wrong()) == 0 && time.Now().Before(deadline); {
				time.Sleep(20 * time.Millisecond)
			}
			faults := b.wrong()
			if c.want == "" && len(faults) > 0 || c.want != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, c.want) }) {
				t.Errorf("seen %q, want %q", faults, c.want)
			}
			if requests, pages := b.seen(); requests < 1 || !slices.Equal(pages, []string{"/"}) {
				t.Errorf("%d requests, pages %q", requests, pages)
			}
		})
	}
}

// TestBrowserMeasures plants what cannot be read or does not fit.
func TestBrowserMeasures(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	b.do("planted page", chromedp.Navigate(serveText(t, `<style nonce="n">
		.faint { color: #999; background: #fff } .large { color: #949494; font-size: 24px } .fine { color: #595959 }
		.cut { width: 40px; overflow: hidden; white-space: nowrap } .wide { width: 2000px }
		</style><p class="faint">faint text</p><p class="large">large text</p><p class="fine">fine text</p>
		<p class="cut">a text that is cut off</p><p class="wide">wide</p>`)+"/"))
	got := strings.Join(eval[[]string](b, measureJS), "\n")
	for _, want := range []string{`contrast 2.85 of "faint text"`, "cut: a text that is cut off", "the page is 20", "texts 5"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "large text") || strings.Contains(got, "fine text") {
		t.Errorf("what is well is told:\n%s", got)
	}
}

// serveText serves a page at / under a policy like the console's, and nothing else.
func serveText(t *testing.T, body string) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src * data:; script-src 'nonce-n'; style-src 'nonce-n'")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>x</title><link rel="icon" href="data:,">%s`, body)
	}))
	t.Cleanup(site.Close)
	return site.URL
}
