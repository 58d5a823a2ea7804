package console

import (
	"context"
	"encoding/hex"
	"net/http"

	"clickgate/aggregate"
)

// hoursView is the page of open and closed hours.
type hoursView struct {
	Open      []aggregate.UnitInfo
	Closed    []closedHour
	AllOpen   int
	AllClosed int
}

// closedHour is a closed unit as it is shown.
type closedHour struct {
	aggregate.ClosedUnit
	Sum string // SHA-256 in hex
}

// closedDays is how far back closed hours are listed.
const closedDays = 14

func (s *Server) hours(w http.ResponseWriter, r *http.Request, v *visit) error {
	view := &hoursView{}
	var closed []aggregate.ClosedUnit
	err := s.query(r.Context(), func(ctx context.Context) (err error) {
		if view.Open, err = v.openUnits(ctx); err != nil {
			return err
		}
		closed, err = v.closedUnits(ctx, aggregate.BillingQuery{From: s.dep.Now().AddDate(0, 0, -closedDays).UnixMicro()})
		return err
	})
	if err != nil {
		return err
	}
	view.AllOpen, view.AllClosed = len(view.Open), len(closed)
	view.Open = view.Open[:min(len(view.Open), rowsShown)]
	for i := len(closed) - 1; i >= 0 && len(view.Closed) < rowsShown; i-- { // the newest first
		view.Closed = append(view.Closed, closedHour{closed[i], hex.EncodeToString(closed[i].Hash[:])})
	}
	return s.show(w, v, http.StatusOK, "hours", &page{Title: "Hours", Path: "/hours", Body: view})
}
