package rawlog

import (
	"slices"
	"strings"
)

// Rule says which requests of a log are clicks. An empty list means its default.
type Rule struct {
	Paths    []string      // equal to the path as it was sent; default /c, if there are no Prefixes either
	Prefixes []string      // beginnings of the path
	Methods  []string      // default GET and HEAD
	Statuses []StatusRange // default 200 to 399: what failed was no click
	Hosts    []string      // without port, any letter case; default every host
}

// StatusRange is a range of HTTP statuses, ends included.
type StatusRange struct{ From, To int }

// Reasons of Match.
const (
	WhyHead       = "head" // a click, of a client that only looked
	WhySubrequest = "subrequest"
	WhyHost       = "host"
	WhyPath       = "path"
	WhyMethod     = "method"
	WhyStatus     = "status"
)

// Match tells whether a request is a click. why names what spoke against it; for
// a HEAD request, which is a click of a crawler, it is WhyHead. Method and status
// that a log does not hold speak against nothing. A record whose token has a
// column of its own has no path to judge.
func (r *Rule) Match(rec *Record) (click bool, why string) {
	switch {
	case rec.Subrequest:
		return false, WhySubrequest
	case !r.matchPath(rec):
		return false, WhyPath
	case len(r.Hosts) > 0 && !slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.EqualFold(bareHost(h), bareHost(rec.Host)) }):
		return false, WhyHost
	case rec.Method != "" && !r.matchMethod(rec.Method):
		return false, WhyMethod
	case rec.Status != 0 && !r.matchStatus(rec.Status):
		return false, WhyStatus
	case rec.IsHead():
		return true, WhyHead
	}
	return true, ""
}

func (r *Rule) matchPath(rec *Record) bool {
	switch {
	case rec.Path == "":
		return rec.Token != ""
	case len(r.Paths) == 0 && len(r.Prefixes) == 0:
		return rec.Path == "/c"
	}
	return slices.Contains(r.Paths, rec.Path) ||
		slices.ContainsFunc(r.Prefixes, func(p string) bool { return strings.HasPrefix(rec.Path, p) })
}

func (r *Rule) matchMethod(method string) bool {
	if len(r.Methods) == 0 {
		return method == "GET" || method == "HEAD"
	}
	return slices.Contains(r.Methods, method)
}

func (r *Rule) matchStatus(status int) bool {
	if len(r.Statuses) == 0 {
		return status >= 200 && status <= 399
	}
	return slices.ContainsFunc(r.Statuses, func(s StatusRange) bool { return s.From <= status && status <= s.To })
}

// bareHost returns a host without port and final dot.
func bareHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}
