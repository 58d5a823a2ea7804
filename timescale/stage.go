package timescale

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"clickgate/aggregate"
)

// Clicks go by way of a staging table, because COPY cannot skip rows that exist
// and INSERT ... ON CONFLICT can. The staging table goes with the transaction.
const (
	createStageSQL = `CREATE TEMP TABLE stage_clicks (LIKE clicks INCLUDING DEFAULTS, n integer NOT NULL) ON COMMIT DROP`
	copyStageSQL   = `COPY stage_clicks (n, ` + clickColumns + `) FROM STDIN (FORMAT binary)`

	// Rows go in in key order, so that two writers with the same rows wait for
	// each other instead of deadlocking; n settles which of two equal keys comes
	// first.
	insertClicksSQL = `INSERT INTO clicks (` + clickColumns + `) SELECT ` + clickColumns + ` FROM stage_clicks
ORDER BY tenant_id, event_id, id_time, n
ON CONFLICT (tenant_id, event_id, id_time) DO NOTHING RETURNING tenant_id, event_id, id_time`
)

var copyBufs = sync.Pool{New: func() any { return new(copyBuf) }}

// stage fills the staging table, which it makes at the first use and empties
// later.
func (t *tx) stage(ctx context.Context, rows []aggregate.ClickRow) error {
	sql := createStageSQL
	if t.staged {
		sql = "TRUNCATE stage_clicks"
	}
	if _, err := t.exec(ctx, "clicks: staging", sql); err != nil {
		return err
	}
	t.staged = true
	return t.copyIn(ctx, "clicks", copyStageSQL, len(rows), func(c *copyBuf, i int) {
		c.row(clickCount + 1)
		c.int4(int32(i))
		encodeClick(c, &rows[i])
	})
}

// copyIn runs a binary COPY of count rows.
func (t *tx) copyIn(ctx context.Context, what, sql string, count int, encode func(*copyBuf, int)) error {
	c := copyBufs.Get().(*copyBuf)
	defer copyBufs.Put(c)
	c.start()
	for i := range count {
		encode(c, i)
	}
	c.end()
	_, err := t.tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(c.b), sql)
	if err != nil {
		return fmt.Errorf("%s: COPY: %w", what, err)
	}
	return nil
}

// inserted tells which rows were new, given the keys of all rows and of those
// that the statement inserted.
func inserted[K comparable](keys func(int) K, count int, got []K) []bool {
	out := make([]bool, count)
	if len(got) == count { // the usual case: all are new, so all differ
		for i := range out {
			out[i] = true
		}
		return out
	}
	left := make(map[K]struct{}, len(got))
	for _, k := range got {
		left[k] = struct{}{}
	}
	for i := range out {
		k := keys(i)
		if _, out[i] = left[k]; out[i] {
			delete(left, k)
		}
	}
	return out
}
