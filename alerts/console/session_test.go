package console

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/gateway/stream"
)

func signIn(s *site, name, password string, header ...string) (status int, cookie string) {
	w := s.post("/login", url.Values{"name": {name}, "password": {password}, "next": {"/billing?tenant=a"}}, append([]string{"Cookie", ""}, header...)...)
	return w.Code, cookieOf(w)
}

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	s.add("anna", "t1", "billing")
	s.as("")
	for _, c := range [][2]string{{"anna", "wrong password, quite"}, {"nobody", goodPassword}, {"ANNA", goodPassword}, {"", ""}, {"anna", strings.Repeat("x", 5000)}} {
		if status, cookie := signIn(s, c[0], c[1]); status != 403 || cookie != "" {
			t.Errorf("%.20q: status %d, cookie %q", c, status, cookie)
		}
	}
	w := s.post("/login", url.Values{"name": {"anna"}, "password": {goodPassword}, "next": {"/billing?tenant=a"}})
	if w.Code != 303 || w.Header().Get("Location") != "/billing?tenant=a" {
		t.Fatalf("status %d to %q", w.Code, w.Header().Get("Location"))
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 0 || c.Secure || c.Name != "clickgate_session" {
		t.Errorf("cookie %+v", c)
	}
	s.cookie = cookieOf(w)
	s.get("/billing", 200)
	if out := s.post("/logout", nil); out.Code != 303 {
		t.Errorf("logout: %d", out.Code)
	}
	if got := s.do("GET", "/billing"); got.Code != 303 || !strings.HasPrefix(got.Header().Get("Location"), "/login?next=%2Fbilling") {
		t.Errorf("after the logout: %d to %s", got.Code, got.Header().Get("Location"))
	}
	got := f.actions()[len(f.actions())-7:]
	want := []string{"anna login.failed", "unknown login.failed", "unknown login.failed", "unknown login.failed", "anna login.failed", "anna login", "anna logout"}
	if !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
	if e := f.log[len(f.log)-1]; e.Prefix != "192.0.2.0/24" || e.TenantID != "t1" || e.At != now().UnixMicro() {
		t.Errorf("entry %+v", e)
	}
}

// TestLoginNeverLeaves holds that no link to the login ends at another site.
func TestLoginNeverLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	for _, next := range []string{"//evil.example", "https://evil.example", `/\evil.example`, "evil", "/\t/evil.example", "javascript:alert(1)", "", "/%0d%0aX: y\r\n"} {
		if w := s.do("GET", "/login?next="+url.QueryEscape(next)); w.Header().Get("Location") != "/" {
			t.Errorf("%q goes to %q", next, w.Header().Get("Location"))
		}
		if w := s.post("/login", url.Values{"name": {"root"}, "password": {goodPassword}, "next": {next}}, "Cookie", ""); w.Header().Get("Location") != "/" {
			t.Errorf("%q goes to %q", next, w.Header().Get("Location"))
		}
	}
}

// TestSessionTokenChangesAtLogin holds that a token from before the login is worth
// nothing after it.
func TestSessionTokenChangesAtLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	first := s.cookie
	_, second := signIn(s, "root", goodPassword, "Cookie", first)
	if second == "" || second == first {
		t.Fatalf("the token stays %q", first)
	}
	if w := s.do("GET", "/users", "Cookie", first); w.Code != 303 {
		t.Errorf("the old token opens a page: %d", w.Code)
	}
	if w := s.do("GET", "/users", "Cookie", "clickgate_session=made-up"); w.Code != 303 || cookieOf(w) != "" {
		t.Errorf("a token of a stranger's making: %d %v", w.Code, w.Result().Cookies())
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		s := newSiteWith(t, cfg, books(), time.Now)
		open := func(path string) bool { return s.do("GET", path).Code == 200 }
		for range 10 { // used, it outlives the idle time
			time.Sleep(cfg.IdleTimeout - time.Minute)
			if !open("/password") {
				t.Fatal("a used session ended")
			}
		}
		time.Sleep(cfg.IdleTimeout + time.Second)
		if open("/password") {
			t.Error("an idle session goes on")
		}
		s.as("root")
		for range 3 { // what the page asks for by itself is no use
			time.Sleep(cfg.IdleTimeout / 2)
			open("/live")
		}
		if open("/live") {
			t.Error("an open page keeps a session alive")
		}
		s.as("root")
		for elapsed := time.Duration(0); elapsed < cfg.SessionLifetime; elapsed += cfg.IdleTimeout / 2 {
			time.Sleep(cfg.IdleTimeout / 2)
			open("/password")
		}
		if open("/password") {
			t.Error("a session outlives its lifetime")
		}
	})
}

// TestSessionsEndWithTheUser: disabled, reset, or changed elsewhere.
func TestSessionsEndWithTheUser(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"disable", "password"} {
		s := newSite(t, books())
		admin := s.cookie
		s.add("anna", "t1", "analyst")
		anna := s.cookie
		if w := s.post("/users/anna/"+action, nil, "Cookie", admin); w.Code != 303 {
			t.Fatalf("%s: %d", action, w.Code)
		}
		if w := s.do("GET", "/trace", "Cookie", anna); w.Code != 303 {
			t.Errorf("after %s the session goes on: %d", action, w.Code)
		}
		if status, _ := signIn(s, "anna", goodPassword); status != 403 {
			t.Errorf("after %s the old password signs in: %d", action, status)
		}
	}
}

func TestNewPasswordsWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	s.as("root")
	w := s.post("/users", url.Values{"name": {"carl"}, "role": {"billing"}, "tenant": {"t1"}})
	if w.Code != 303 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	shown := textOf(s.get("/users", 200))
	_, after, _ := strings.Cut(shown, "shown this once: ")
	password, _, _ := strings.Cut(after, " ")
	if strings.Contains(textOf(s.get("/users", 200)), password) {
		t.Error("the password is shown twice")
	}
	admin := s.cookie
	status, carl := signIn(s, "carl", password)
	if status != 303 {
		t.Fatalf("the drawn password %q: %d", password, status)
	}
	s.cookie = carl
	for _, c := range []struct {
		old, first, second string
		status             int
	}{
		{password, "short", "short", 400}, {password, goodPassword, "other", 400}, {"wrong", goodPassword, goodPassword, 403}, {password, goodPassword, goodPassword, 303},
	} {
		w := s.post("/password", url.Values{"old": {c.old}, "new": {c.first}, "again": {c.second}})
		if w.Code != c.status {
			t.Errorf("%q: %d, want %d", c.first, w.Code, c.status)
		}
		if next := cookieOf(w); next != "" {
			s.cookie = next
		}
	}
	s.get("/billing", 200) // the own session goes on, others do not
	if w := s.do("GET", "/billing", "Cookie", carl); w.Code != 303 {
		t.Errorf("the old session goes on: %d", w.Code)
	}
	s.cookie = admin
	for target, status := range map[string]int{"/users/root/disable": 409, "/users/nobody/disable": 404} {
		if w := s.post(target, nil); w.Code != status {
			t.Errorf("%s: %d, want %d", target, w.Code, status)
		}
	}
	if w := s.post("/users", url.Values{"name": {"carl"}, "role": {"billing"}, "tenant": {"t1"}}); w.Code != 409 || !strings.Contains(w.Body.String(), "exists already") {
		t.Errorf("a name twice: %d", w.Code)
	}
}

func TestLoginLinkOpensOnce(t *testing.T) {
	t.Parallel()
	at := now()
	s := newSiteWith(t, DefaultConfig(), books(), func() time.Time { return at })
	token, err := s.server.links.make("root")
	if err != nil {
		t.Fatal(err)
	}
	s.link(token, 200, 303)
	s.link(token, 403, 403)
	s.link(token+"x", 403, 403)
	s.link("%", 400, 403)
	if token, err = s.server.links.make("root"); err != nil {
		t.Fatal(err)
	}
	at = at.Add(linkLife)
	s.link(token, 403, 403)
}

// link looks at a link and uses it.
func (s *site) link(token string, look, use int) {
	s.Helper()
	s.cookie = ""
	if w := s.do("GET", "/login?once="+token); w.Code != look {
		s.Errorf("looking at the link: %d, want %d", w.Code, look)
	}
	if w := s.post("/login", url.Values{"once": {token}}); w.Code != use || (cookieOf(w) != "") != (use == 303) {
		s.Errorf("using the link: %d, want %d", w.Code, use)
	}
}

// TestGuessingIsSlowedDown: growing delays, and the right password waits too.
func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	at := now()
	s := newSiteWith(t, DefaultConfig(), books(), func() time.Time { return at })
	s.as("")
	refused, tries := 0, 0
	for refused < 8 {
		w := s.post("/login", url.Values{"name": {"root"}, "password": {"guess"}})
		if tries++; tries > 200 {
			t.Fatal("no end")
		}
		switch w.Code {
		case 403:
			refused++
		case 429:
			if got, _ := signIn(s, "root", goodPassword); got != 429 {
				t.Fatalf("the right password does not wait: %d", got)
			}
			if w.Header().Get("Retry-After") == "" {
				t.Error("nothing says when to try again")
			}
			at = at.Add(time.Second)
		default:
			t.Fatal(w.Code)
		}
	}
	if waited := at.Sub(now()); waited != 7*time.Second { // 1 + 2 + 4 behind four free failures and three more
		t.Errorf("waited %s", waited)
	}
	at = at.Add(time.Minute)
	if got, _ := signIn(s, "root", goodPassword); got != 303 {
		t.Errorf("after the delay: %d", got)
	}
}

// TestFormsAreRefusedFromElsewhere goes through every route that changes anything.
func TestFormsAreRefusedFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	s.add("victim", "t1", "analyst")
	s.as("root")
	forms := 0
	for pattern, m := range matrix {
		if !strings.HasPrefix(pattern, "POST ") {
			continue
		}
		forms++
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "http://127.0.0.1:9999"}, {"Sec-Fetch-Site", "", "Origin", "null"}} {
			before := len(s.actions())
			if w := s.post(m.target, m.form, header...); w.Code != 403 || len(s.actions()) != before || cookieOf(w) != "" {
				t.Errorf("%s with %v: %d", pattern, header, w.Code)
			}
		}
	}
	if forms < 6 {
		t.Errorf("only %d forms", forms)
	}
}

func TestSecureBehindTLS(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.PublicURL = "https://console.example.com"
	s := newSiteWith(t, cfg, books(), now)
	w := s.post("/login", url.Values{"name": {"root"}, "password": {goodPassword}}, "Host", "console.example.com", "Origin", "https://console.example.com")
	c := w.Result().Cookies()
	if w.Code != 303 || len(c) != 1 || !c[0].Secure || c[0].Name != "__Host-clickgate_session" || w.Header().Get("Strict-Transport-Security") == "" {
		t.Errorf("%d, %v", w.Code, c)
	}
	if w := s.do("GET", "/login", "Host", "evil.example"); w.Code != 421 {
		t.Errorf("another host: %d", w.Code)
	}
	for name, bad := range map[string]Config{
		"console.public_url":       {Listen: "127.0.0.1:1", PublicURL: "https://a/path", IdleTimeout: time.Hour, SessionLifetime: time.Hour},
		"console.tls_key":          {Listen: "0.0.0.0:1", TLSCert: "x", IdleTimeout: time.Hour, SessionLifetime: time.Hour},
		"console.idle_timeout":     {Listen: "127.0.0.1:1", IdleTimeout: 2 * time.Hour, SessionLifetime: time.Hour},
		"console.session_lifetime": {Listen: "127.0.0.1:1", IdleTimeout: time.Hour, SessionLifetime: 10000 * time.Hour},
	} {
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	open := DefaultConfig()
	open.Listen, open.AllowPlain = "0.0.0.0:1", true
	if err := open.Validate(); err != nil {
		t.Error(err)
	}
}

// TestTLS serves with a certificate, and with a renewed one without a restart.
func TestTLS(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	dir := t.TempDir()
	cfg.Listen, cfg.TLSCert, cfg.TLSKey = "127.0.0.1:0", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s := newSiteWith(t, cfg, books(), now)
	if err := s.server.Start(); err == nil || !strings.HasPrefix(err.Error(), "console.tls_cert: ") {
		t.Fatalf("without files: %v", err)
	}
	serial := func() string {
		conn, err := tls.Dial("tcp", s.server.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	write := func(number int64, at time.Time) {
		for name, text := range selfSigned(t, number) {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(1, now())
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != "1" || !strings.HasPrefix(s.server.URL(), "https://") {
		t.Errorf("certificate %s at %s", got, s.server.URL())
	}
	write(2, now().Add(time.Hour))
	if got := serial(); got != "2" {
		t.Errorf("after the renewal: certificate %s", got)
	}
	if err := os.WriteFile(cfg.TLSKey, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != "2" {
		t.Errorf("during a renewal: certificate %s", got)
	}
}

// selfSigned makes a certificate and its key as PEM files.
func selfSigned(t *testing.T, number int64) map[string][]byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
}

// TestStaticFilesAreWhatSourcesSays compares files of others with their checksums.
func TestStaticFilesAreWhatSourcesSays(t *testing.T) {
	t.Parallel()
	sources, err := os.ReadFile("static/SOURCES.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range []string{"htmx.min.js", "uplot.min.js", "uplot.min.css"} {
		body, err := staticFiles.ReadFile("static/" + name)
		sum := sha256.Sum256(body)
		if err != nil || !bytes.Contains(sources, []byte("| "+name+" |")) || !bytes.Contains(sources, []byte(hex.EncodeToString(sum[:]))) {
			t.Errorf("%s is not what SOURCES.md says (%v)", name, err)
		}
		n++
	}
	w := newSite(t, books()).do("GET", "/static/console.css?v="+version(mustRead(t, "console.css")))
	if n != 3 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("a versioned file is not kept: %s", w.Header().Get("Cache-Control"))
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	body, err := staticFiles.ReadFile("static/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestStoredPayloadsStayText puts payloads through the real store and looks at
// every page.
func TestStoredPayloadsStayText(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), sqlite.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := aggregate.Partition{ClusterID: "c", TopicID: [16]byte{1}, Topic: stream.ClicksTopic}
	claim, err := store.Claim(t.Context(), p, "test")
	if err != nil {
		t.Fatal(err)
	}
	b := &aggregate.Batch{Partition: p, Fence: claim.Fence}
	ids := map[string]string{} // by payload
	for i, text := range payloads {
		id, c := event(t)
		id[15] = byte(i + 1)
		c.EventID, c.IDTime, c.EventTime = id, hour7, hour7
		c.TenantID, c.SourceID, c.CampaignID, c.AdvertiserID, c.AgentFamily, c.RefererHost, c.PublisherID = text, text, text, text, text, text, text
		c.Ingest.Seq = uint64(i + 1)
		ids[text] = id.String()
		b.Clicks = append(b.Clicks, aggregate.ClickRow{Click: c, RepeatKey: int64(i + 1)})
		if err := store.WriteAudit(t.Context(), &aggregate.AuditEntry{At: hour7, Who: text, TenantID: text, Action: text, Target: text, Detail: text}); err != nil {
			t.Fatal(err)
		}
	}
	b.Next = int64(len(b.Clicks))
	if _, err := aggregate.Apply(t.Context(), store, b); err != nil {
		t.Fatal(err)
	}
	s := newSiteWith(t, DefaultConfig(), store, now)
	for _, text := range payloads {
		q := url.QueryEscape(text)
		for _, path := range []string{"/", "/live", "/billing", "/reconcile", "/audit", "/trace?id=" + ids[text], "/billing?campaign=" + q, "/audit?who=" + q, "/login?next=" + q} {
			inspect(t, s, path, text, !strings.HasPrefix(path, "/login"))
		}
	}
	if got := s.do("GET", "/").Header().Get("Content-Security-Policy"); got != contentPolicy {
		t.Errorf("policy %q", got)
	}
}

func TestCSVHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\tx": "'\tx", "\rx": "'\rx", "a=b": "a=b", "": "", "'a": "'a", "ümlaut": "ümlaut",
	} {
		if got := plainCell(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f := books()
	f.rows[0].CampaignID, f.rows[0].CostMicros = "=HYPERLINK(1)", -5
	s := newSite(t, f)
	if got := s.do("GET", "/billing.csv").Body.String(); !strings.HasPrefix(got, "t1,'=HYPERLINK(1),-5\n") {
		t.Errorf("%.80s", got)
	}
	if f.rows[0].CampaignID != "=HYPERLINK(1)" || !strings.Contains(s.do("GET", "/billing.json").Body.String(), `"=HYPERLINK(1)"`) {
		t.Error("JSON is changed too")
	}
}

func TestBillingDays(t *testing.T) {
	t.Parallel()
	f := billingFilter{From: "2026-11-25", To: "2026-11-26"}
	q, err := f.query()
	if want := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC); err != nil || q.From != want.UnixMicro() || q.To != want.AddDate(0, 0, 2).UnixMicro() {
		t.Errorf("%+v, %v", q, err)
	}
	if got := f.Narrow("campaign", "a&b"); got != "/billing?campaign=a%26b&from=2026-11-25&to=2026-11-26" {
		t.Error(got)
	}
	for _, bad := range []billingFilter{{From: "25.11.2026"}, {To: "2026-13-01"}, {From: "2026-11-26", To: "2026-11-25"}, {From: "0001-01-01"}} {
		if _, err := bad.query(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestBooksCheckGivesUp holds that a store that is too large is said to be so, and
// left alone for a while.
func TestBooksCheckGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &slowBooks{fake: books()}
		s := newSiteWith(t, DefaultConfig(), f, time.Now)
		s.get("/live", 200)
		time.Sleep(storeTimeout + time.Second)
		for range 3 {
			if got := textOf(s.get("/live", 200)); !strings.Contains(got, "too much is stored to check it from here") {
				t.Errorf("%.400s", got)
			}
		}
		if f.asked != 1 {
			t.Errorf("asked %d times", f.asked)
		}
	})
}

type slowBooks struct {
	*fake
	asked int
}

func (f *slowBooks) Ledger(ctx context.Context, _ aggregate.LedgerQuery) (aggregate.Ledger, error) {
	f.asked++
	<-ctx.Done()
	return aggregate.Ledger{}, ctx.Err()
}

func TestRemote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]netip.Addr{"192.0.2.1:5": netip.MustParseAddr("192.0.2.1"), "[::ffff:192.0.2.1]:5": netip.MustParseAddr("192.0.2.1"), "": {}, "pipe": {}} {
		if got := remote(&http.Request{RemoteAddr: in}); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}
