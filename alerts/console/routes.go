package console

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"clickgate/alerts/console/auth"
)

// route is one row of the permission matrix: a route, and who may use it.
type route struct {
	pattern string     // method and path of http.ServeMux
	roles   auth.Roles // who may
	open    bool       // everybody may, signed in or not
	nav     string     // name in the navigation; empty for none
	passive bool       // asked for by the page itself: does not keep a session alive
	handle  func(http.ResponseWriter, *http.Request, *visit) error
}

// The sets of roles that pages are for.
const (
	forMoney   = auth.Billing | auth.Admin
	forTraffic = auth.Analyst | auth.Admin
)

// routes is the permission matrix, and all there is to serve. A page is a file with
// its handlers, a template, and its rows here; the order is the navigation's.
func (s *Server) routes() []route {
	csv := s.download("text/csv; charset=utf-8", "csv", s.billingCSV)
	json := s.download("application/json", "json", s.dep.BillingJSON)
	return []route{
		{pattern: "GET /{$}", roles: auth.Everyone, nav: "Live", handle: s.home},
		{pattern: "GET /live", roles: auth.Everyone, passive: true, handle: s.fragment},
		// Everybody sees incidents, because the live page names them; the flagged clicks
		// behind one are for those who review.
		{pattern: "GET /incidents", roles: auth.Everyone, nav: "Incidents", handle: s.incidentList},
		{pattern: "GET /incidents/{id}", roles: auth.Everyone, handle: s.incidentPage},
		{pattern: "GET /review", roles: forTraffic, nav: "Review", handle: s.review},
		{pattern: "GET /review/{tenant}/{address}", roles: forTraffic, handle: s.reviewCase},
		{pattern: "POST /review/{tenant}/{address}", roles: forTraffic, handle: s.decide},
		{pattern: "GET /billing", roles: forMoney, nav: "Billing", handle: s.billing},
		{pattern: "GET /billing.csv", roles: forMoney, handle: csv},
		{pattern: "GET /billing.json", roles: forMoney, handle: json},
		{pattern: "GET /statement", roles: forMoney, nav: "Statement", handle: s.statement},
		{pattern: "GET /hours", roles: auth.Everyone, nav: "Hours", handle: s.hours},
		{pattern: "GET /reconcile", roles: forMoney, nav: "Reconciliation", handle: s.reconcile},
		{pattern: "GET /trace", roles: forTraffic, nav: "Trace", handle: s.trace},
		{pattern: "GET /users", roles: auth.Admin, nav: "Users", handle: s.users},
		{pattern: "POST /users", roles: auth.Admin, handle: s.addUser},
		{pattern: "POST /users/{name}/disable", roles: auth.Admin, handle: s.setDisabled(true)},
		{pattern: "POST /users/{name}/enable", roles: auth.Admin, handle: s.setDisabled(false)},
		{pattern: "POST /users/{name}/password", roles: auth.Admin, handle: s.resetPassword},
		{pattern: "GET /audit", roles: auth.Admin, nav: "Audit", handle: s.audit},
		{pattern: "GET /password", roles: auth.Everyone, handle: s.passwordForm},
		{pattern: "POST /password", roles: auth.Everyone, handle: s.changePassword},
		{pattern: "POST /logout", roles: auth.Everyone, handle: s.logout},
		{pattern: "GET /login", open: true, handle: s.loginForm},
		{pattern: "POST /login", open: true, handle: s.login},
		{pattern: "GET /static/{name}", open: true, passive: true, handle: s.static},
	}
}

// path is the route's path, of one without wildcards.
func (rt *route) path() string {
	_, path, _ := strings.Cut(rt.pattern, " ")
	return strings.TrimSuffix(path, "{$}")
}

// mux registers routes. A route that says nothing about who may use it is a
// mistake in the program, and so is one that is open and has roles.
func (s *Server) mux(routes []route) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	for _, rt := range routes {
		if rt.open == (rt.roles != 0) {
			return nil, fmt.Errorf("console: route %q: does not say who may use it; give it roles, or open it to everybody", rt.pattern)
		}
		if rt.nav != "" {
			s.pages.nav = append(s.pages.nav, navEntry{Path: rt.path(), Name: rt.nav, roles: rt.roles})
		}
		mux.Handle(rt.pattern, s.serve(rt))
	}
	return mux, nil
}

// serve is a route behind its guard.
func (s *Server) serve(rt route) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		v, err := s.admit(r, &rt)
		if err == nil && !storable(r.URL.Path) {
			err = &problem{http.StatusNotFound, "there is no such page"}
		}
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
			err = rt.handle(w, r, v)
		}
		if err != nil {
			s.fail(w, r, v, err)
		}
	})
	if rt.passive {
		return s.peek(h)
	}
	return s.sessions.LoadAndSave(h)
}
