package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"
	"clickgate/gateway/click"
)

// matrix is what is expected of every route: which roles may use it, "open" for
// everybody. target is a request that succeeds.
var matrix = map[string]struct {
	roles  string
	target string
	form   url.Values
	status int
}{
	"GET /{$}":                        {"analyst, billing, admin", "/", nil, 200},
	"GET /live":                       {"analyst, billing, admin", "/live", nil, 200},
	"GET /incidents":                  {"analyst, billing, admin", "/incidents", nil, 200},
	"GET /incidents/{id}":             {"analyst, billing, admin", "/incidents/0123456789abcdef0123456789abcdef", nil, 200},
	"GET /review":                     {"analyst, admin", "/review", nil, 200},
	"GET /review/{tenant}/{address}":  {"analyst, admin", "/review/t1/01000000000000000000000000000000", nil, 200},
	"POST /review/{tenant}/{address}": {"analyst, admin", "/review/t1/01000000000000000000000000000000", url.Values{"decision": {"release"}, "why": {"known"}, "seen": {"0"}}, 303},
	"GET /statement":                  {"billing, admin", "/statement", nil, 200},
	"GET /hours":                      {"analyst, billing, admin", "/hours", nil, 200},
	"GET /billing":                    {"billing, admin", "/billing", nil, 200},
	"GET /billing.csv":                {"billing, admin", "/billing.csv", nil, 200},
	"GET /billing.json":               {"billing, admin", "/billing.json", nil, 200},
	"GET /reconcile":                  {"billing, admin", "/reconcile", nil, 200},
	"GET /trace":                      {"analyst, admin", "/trace", nil, 200},
	"GET /users":                      {"admin", "/users", nil, 200},
	"POST /users":                     {"admin", "/users", url.Values{"name": {"newbie"}, "role": {"analyst"}, "tenant": {"t1"}}, 303},
	"POST /users/{name}/disable":      {"admin", "/users/victim/disable", nil, 303},
	"POST /users/{name}/enable":       {"admin", "/users/victim/enable", nil, 303},
	"POST /users/{name}/password":     {"admin", "/users/victim/password", nil, 303},
	"GET /audit":                      {"admin", "/audit", nil, 200},
	"GET /password":                   {"analyst, billing, admin", "/password", nil, 200},
	"POST /password":                  {"analyst, billing, admin", "/password", url.Values{"old": {goodPassword}, "new": {goodPassword + "!"}, "again": {goodPassword + "!"}}, 303},
	"POST /logout":                    {"analyst, billing, admin", "/logout", nil, 303},
	"GET /login":                      {"open", "/login", nil, 200},
	"POST /login":                     {"open", "/login", url.Values{"name": {"victim"}, "password": {goodPassword}}, 303},
	"GET /static/{name}":              {"open", "/static/console.css", nil, 200},
}

// TestPermissionMatrix walks every route with every role of one tenant and of all,
// and with nobody.
func TestPermissionMatrix(t *testing.T) {
	t.Parallel()
	served := newSite(t, books()).server.routes()
	if len(served) != len(matrix) {
		t.Errorf("%d routes, %d expected", len(served), len(matrix))
	}
	for _, rt := range served {
		want, ok := matrix[rt.pattern]
		if !ok {
			t.Errorf("route %q has no expectation; decide who may use it", rt.pattern)
			continue
		}
		for _, role := range append(auth.RoleNames(), "nobody") {
			for _, tenant := range []string{"t1", aggregate.AllTenants} {
				s := newSite(t, books())
				s.add("victim", "t1", "analyst")
				name := "nobody"
				if s.as(""); role != name {
					name = role + "-user"
					s.add(name, tenant, role)
				}
				allowed := want.roles == "open" || strings.Contains(want.roles, role)
				s.try(rt.pattern, role, want.target, want.form, want.status, allowed)
			}
		}
	}
}

// try makes one request and compares its answer with the expectation.
func (s *site) try(pattern, role, target string, form url.Values, success int, allowed bool) {
	s.Helper()
	before := len(s.actions())
	get := strings.HasPrefix(pattern, "GET ")
	w := s.do("GET", target)
	if !get {
		w = s.post(target, form)
	}
	want := success
	switch {
	case role != "nobody" && pattern == "GET /login":
		want = http.StatusSeeOther // who is signed in already goes on
	case !allowed && role == "nobody" && get:
		want = http.StatusSeeOther
	case !allowed:
		want = http.StatusForbidden
	}
	if w.Code != want {
		s.Errorf("%s as %s: status %d, want %d", pattern, role, w.Code, want)
	}
	if location := w.Header().Get("Location"); !allowed && w.Code == http.StatusSeeOther && !strings.HasPrefix(location, "/login") {
		s.Errorf("%s as %s: goes to %s", pattern, role, location)
	}
	if !allowed && len(s.actions()) != before {
		s.Errorf("%s as %s: a refused request did %v", pattern, role, s.actions()[before:])
	}
}

func (s *site) actions() []string { return s.server.dep.Store.(*fake).actions() }

// TestTenantsAreApart looks with users of one tenant at everything another owns.
func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	id, c := event(t)
	c.TenantID = "other-tenant"
	f := books()
	for i := range f.rows {
		if f.rows[i].TenantID == "t2" {
			f.rows[i].TenantID, f.rows[i].CampaignID = "other-tenant", "other-campaign"
		}
	}
	for i := range f.counts {
		if f.counts[i].TenantID == "t2" {
			f.counts[i].TenantID = "other-tenant"
		}
	}
	f.ledger = ledger(10, 10)
	f.ledger.Rows = append(f.ledger.Rows, aggregate.RowCount{TenantID: "other-tenant", SourceID: "edge", Hour: hour7, State: click.Valid, Proven: 5})
	f.events = map[click.ID][]aggregate.TraceRow{id: {{What: "click", Click: c}}}
	theirs := attack("other-tenant", "other-campaign")
	theirs.ID = "ffff"
	f.alerts = append(f.alerts, theirs)
	f.minutes = []aggregate.MinuteCount{{TenantID: "other-tenant", SourceID: "edge", CampaignID: "other-campaign", Minute: theirs.OpenedAt}}
	s := newSite(t, f)
	s.add("them", "other-tenant", "admin")
	pages := map[string]int{
		"/incidents": 200, "/incidents/ffff": 404, "/incidents/0123456789abcdef0123456789abcdef": 200,
		"/": 200, "/live": 200, "/billing": 200, "/billing.csv": 200, "/billing.json": 200, "/reconcile": 200, "/users": 200, "/audit": 200,
		"/billing?tenant=t1": 200, "/billing?tenant=other-tenant": 403, "/billing.csv?tenant=other-tenant": 403,
		"/trace?id=" + id.String(): 404, "/trace?id=" + id.String() + "&tenant=other-tenant": 403,
	}
	s.as("root")
	seen := 0
	for path := range pages {
		if strings.Contains(s.do("GET", path).Body.String(), "other-") {
			seen++
		}
	}
	if seen < 10 {
		t.Fatalf("all tenants' administrator sees the other one on %d pages only; was anything tested?", seen)
	}
	s.add("us", "t1", "admin")
	for path, status := range pages {
		w := s.do("GET", path)
		body := strings.ReplaceAll(w.Body.String(), `value="other-tenant"`, "")
		if w.Code != status || strings.Contains(body, "other-") || strings.Contains(body, "them") && path == "/users" {
			t.Errorf("%s: status %d, want %d\n%.300s", path, w.Code, status, body)
		}
	}
	for target, form := range map[string]url.Values{
		"/users/them/disable": nil, "/users/root/password": nil, "/users/root/disable": nil,
		"/users": {"name": {"spy"}, "role": {"admin"}, "tenant": {"*"}},
	} {
		before := len(s.actions())
		if w := s.post(target, form); w.Code != 404 && w.Code != 403 || len(s.actions()) != before {
			t.Errorf("POST %s: status %d, %v", target, w.Code, s.actions()[before:])
		}
	}
}

// TestRoutesSayWhoMayUseThem holds that a route without an entry does not serve.
func TestRoutesSayWhoMayUseThem(t *testing.T) {
	t.Parallel()
	s := newSite(t, books()).server
	for _, rt := range []route{{pattern: "GET /new", handle: s.home}, {pattern: "GET /new", open: true, roles: auth.Admin, handle: s.home}} {
		if _, err := s.mux([]route{rt}); err == nil || !strings.Contains(err.Error(), "GET /new") {
			t.Errorf("%+v: %v", rt, err)
		}
	}
}

// TestOnlyDesksReadTenantsData holds the source to it: nothing but the desk, and
// the account of all books behind it, touches the store's reports.
func TestOnlyDesksReadTenantsData(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"desk.go": true, "bookscheck.go": true, "server.go": true, "session.go": true}
	uses := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok && (x.Sel.Name == "Store" || x.Sel.Name == "store") {
				uses++
				if !allowed[e.Name()] {
					t.Errorf("%s reaches for the store; go through the desk", e.Name())
				}
			}
			return true
		})
	}
	if uses < 5 {
		t.Errorf("only %d uses were seen", uses)
	}
}
