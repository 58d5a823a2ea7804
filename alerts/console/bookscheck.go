package console

import (
	"context"
	"errors"
	"sync"
	"time"

	"clickgate/aggregate"
)

const (
	// The account reads every stored row, so it is made seldom, in the background,
	// and takes at most this share of the time.
	booksAge   = 5 * time.Minute
	booksShare = 20
	// After an account that took too long or failed.
	booksPause = time.Hour
)

// booksCheck makes the account of all books while somebody looks at the live page.
type booksCheck struct {
	server *Server

	mu     sync.Mutex
	busy   bool
	next   time.Time
	last   *aggregate.Reconciliation
	at     time.Time
	failed string
}

// booksView is the box of the books.
type booksView struct {
	Known   bool
	Broken  bool
	At      int64  // Unix microseconds
	Problem string // why nothing newer is known; empty for none
}

func newBooksCheck(s *Server) *booksCheck { return &booksCheck{server: s} }

// view returns what is known, and has it made anew when it is due.
func (b *booksCheck) view(d desk) booksView {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.server.dep.Now()
	if !b.busy && !now.Before(b.next) && !b.server.stopping.Load() {
		b.busy = true
		b.server.running.Go(b.check)
	}
	v := booksView{Known: b.last != nil, At: b.at.UnixMicro(), Problem: b.failed}
	if v.Known {
		v.Broken = d.own(b.last).Broken
	}
	return v
}

func (b *booksCheck) check() {
	ctx, cancel := context.WithTimeout(b.server.context, storeTimeout)
	defer cancel()
	start := b.server.dep.Now()
	account, err := aggregate.Books(ctx, b.server.dep.Store, aggregate.LedgerQuery{})
	end := b.server.dep.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
	if err != nil {
		b.next, b.failed = end.Add(booksPause), "the store could not be read; the log says why"
		if errors.Is(err, context.DeadlineExceeded) {
			b.failed = "too much is stored to check it from here; run clickgate report reconcile"
		}
		if b.server.context.Err() == nil {
			b.server.dep.Logger.Warn("console cannot check the books", "error", err)
		}
		return
	}
	b.last, b.at, b.failed = account, start, ""
	b.next = end.Add(max(booksAge, (booksShare-1)*end.Sub(start)))
}
