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

// storable reports whether a store takes a text: PostgreSQL refuses zero bytes and
// what is no UTF-8, which would look as if the store were down.
func storable(v string) bool { return utf8.ValidString(v) && !strings.ContainsRune(v, 0) }

// parameter returns a GET parameter that a store can be asked for.
func parameter(q url.Values, name string) (string, error) {
	v := q.Get(name)
	if len(v) > maxParameter || !storable(v) {
		return "", &problem{http.StatusBadRequest, fmt.Sprintf("%s is no id; write UTF-8 text of at most %d bytes", name, maxParameter)}
	}
	return v, nil
}

// reconcileView is the reconciliation page.
type reconcileView struct {
	*aggregate.Reconciliation
	Verdict            string
	Whole              bool // of all tenants; one tenant has no accounts of boots
	AllHours, AllBoots int
	Columns            []click.State
}

func (s *Server) reconcile(w http.ResponseWriter, r *http.Request, v *visit) error {
	var account *aggregate.Reconciliation
	err := s.query(r.Context(), func(ctx context.Context) (err error) {
		account, err = v.books(ctx)
		return err
	})
	if err != nil {
		return err
	}
	unscored := slices.ContainsFunc(account.Hours, func(h aggregate.HourAccount) bool { return h.ByState[click.Unscored] != 0 })
	body := &reconcileView{account, s.dep.Verdict(account), v.AllTenants(), len(account.Hours), len(account.Boots), columns(unscored)}
	account.Hours = worstFirst(account.Hours, func(h aggregate.HourAccount) bool { return h.Difference != 0 })
	account.Boots = worstFirst(account.Boots, func(b aggregate.BootAccount) bool { return b.Missing != 0 })
	return s.show(w, v, http.StatusOK, "reconcile", &page{Title: "Reconciliation", Path: "/reconcile", Body: body})
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
