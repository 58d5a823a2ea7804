package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// rowsShown bounds a table: a browser is no place for a hundred thousand rows,
// and a download has all of them.
const rowsShown = 1000

func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	v, err := s.counts(r)
	if err != nil {
		return err
	}
	return s.pages.write(w, http.StatusOK, "live", &view{Title: "Live", Path: "/", Live: true, Body: v})
}

// fragment answers with the moving part of the first page alone.
func (s *Server) fragment(w http.ResponseWriter, r *http.Request) error {
	v, err := s.counts(r)
	if err != nil {
		return err
	}
	return s.pages.execute(w, http.StatusOK, "live", "moving", v)
}

// counts returns the newest counts. While one request reads, the others wait
// for what it finds.
func (s *Server) counts(r *http.Request) (v *liveView, err error) {
	select {
	case s.live.turn <- struct{}{}:
		defer func() { <-s.live.turn }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if v = s.live.fresh(); v != nil {
		return v, nil
	}
	err = s.query(r, func(ctx context.Context) error {
		v, err = s.live.read(ctx)
		return err
	})
	return v, err
}

// parameters returns the GET parameters. A half of them would be another question.
func parameters(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem{http.StatusBadRequest, "the address cannot be read behind the question mark; use the form"}
	}
	return q, nil
}

// maxParameter is longer than any id that a click may carry.
const maxParameter = 1024

// parameter returns a GET parameter that a store can be asked for.
func parameter(q url.Values, name string) (string, error) {
	v := q.Get(name)
	if len(v) > maxParameter || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return "", &problem{http.StatusBadRequest, fmt.Sprintf("%s is no id; write UTF-8 text of at most %d bytes", name, maxParameter)}
	}
	return v, nil
}

// reconcileView is the reconciliation page.
type reconcileView struct {
	*aggregate.Reconciliation
	Verdict            string
	AllHours, AllBoots int
	Columns            []click.State
}

func (s *Server) reconcile(w http.ResponseWriter, r *http.Request) error {
	var account *aggregate.Reconciliation
	err := s.query(r, func(ctx context.Context) (err error) {
		account, err = aggregate.Books(ctx, s.dep.Reports, aggregate.LedgerQuery{})
		return err
	})
	if err != nil {
		return err
	}
	unscored := slices.ContainsFunc(account.Hours, func(h aggregate.HourAccount) bool { return h.ByState[click.Unscored] != 0 })
	v := &reconcileView{account, s.dep.Verdict(account), len(account.Hours), len(account.Boots), columns(unscored)}
	account.Hours = worstFirst(account.Hours, func(h aggregate.HourAccount) bool { return h.Difference != 0 })
	account.Boots = worstFirst(account.Boots, func(b aggregate.BootAccount) bool { return b.Missing != 0 })
	return s.pages.write(w, http.StatusOK, "reconcile", &view{Title: "Reconciliation", Path: "/reconcile", Body: v})
}

// worstFirst cuts rows to what is shown, but never one that does not add up
// before one that does.
func worstFirst[T any](rows []T, broken func(T) bool) []T {
	slices.SortStableFunc(rows, func(a, b T) int {
		switch {
		case broken(a) == broken(b):
			return 0
		case broken(a):
			return -1
		}
		return 1
	})
	return rows[:min(len(rows), rowsShown)]
}
