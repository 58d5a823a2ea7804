package timescale

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5/pgconn"
)

// rejected turns the error of a row that is refused for its values into a
// RejectedError and leaves every other as it is. PostgreSQL manual, appendix A: class
// 22 is data exceptions, class 23 violated constraints; 54000 is an index row that is
// too long. The reason is put together without the server's message, which may hold
// values.
func rejected(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	if class := pg.Code[:min(2, len(pg.Code))]; class != "22" && class != "23" && pg.Code != "54000" {
		return err
	}
	var what []string
	for _, part := range [][2]string{{"constraint", pg.ConstraintName}, {"column", pg.ColumnName}, {"table", pg.TableName}} {
		if part[1] != "" {
			what = append(what, part[0]+" "+part[1])
		}
	}
	if len(what) == 0 {
		what = append(what, "a value that the tables do not take")
	}
	return &aggregate.RejectedError{Class: "SQLSTATE " + pg.Code, Reason: strings.Join(what, ", "), Err: err}
}

// Attempt implements aggregate.Tx.
func (t *tx) Attempt(ctx context.Context, f func() error) error {
	if _, err := t.exec(ctx, "attempt", "SAVEPOINT attempt"); err != nil {
		return err
	}
	staged := t.staged
	failed := rejected(f())
	if failed != nil {
		if _, err := t.exec(ctx, "undoing an attempt", "ROLLBACK TO SAVEPOINT attempt"); err != nil {
			return fmt.Errorf("cannot undo what failed: %w", err)
		}
		t.staged = staged // a table made in the attempt went with it
	}
	if _, err := t.exec(ctx, "attempt", "RELEASE SAVEPOINT attempt"); err != nil {
		return err
	}
	return failed
}
