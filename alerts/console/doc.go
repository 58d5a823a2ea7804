// Package console is the web console: pages for analysts, billing and
// administrators, from templates and files inside the program. It shows no
// personal data.
//
//	/             the last hour and day; refreshes itself
//	/billing      verdicts and cost per campaign and hour; /billing.csv, /billing.json
//	/reconcile    what gateways took against what is stored
//	/trace?id=    one event through all stages
//	/users        who may sign in
//	/audit        who did what
//
// Routes stand in one table (routes.go) with the roles that may use them; a route
// without roles stops the start. A page reads the store through the desk of the
// one who looks, which knows one tenant or all (desk.go). Users, passwords, limits
// and sessions are in package auth.
package console
