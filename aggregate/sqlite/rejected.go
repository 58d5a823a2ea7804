package sqlite

import (
	"context"
	"errors"
	"fmt"

	"clickgate/aggregate"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// classText is the class of rows that checkText refuses.
const classText = "text"

// rejected turns the error of a row that is refused for its values into a
// RejectedError and leaves every other as it is.
func rejected(err error) error {
	var bad *textError
	if errors.As(err, &bad) {
		return &aggregate.RejectedError{Class: classText, Reason: bad.Error(), Err: err}
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return &aggregate.RejectedError{Class: fmt.Sprint("SQLITE ", e.Code()), Reason: e.Error(), Err: err}
	}
	return err
}

// Attempt implements aggregate.Tx.
func (t *tx) Attempt(_ context.Context, f func() error) error {
	if err := t.run("SAVEPOINT attempt"); err != nil {
		return err
	}
	failed := rejected(f())
	if failed != nil {
		if err := t.run("ROLLBACK TO attempt"); err != nil {
			return fmt.Errorf("cannot undo what failed: %w", err)
		}
	}
	if err := t.run("RELEASE attempt"); err != nil {
		return err
	}
	return failed
}

// run executes a statement that is not worth preparing.
func (t *tx) run(statement string) error {
	_, err := t.w.conn.ExecContext(context.Background(), statement)
	return err
}
