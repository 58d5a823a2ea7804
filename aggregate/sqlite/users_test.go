package sqlite

import (
	"strings"
	"testing"

	"clickgate/aggregate"
)

// TestAuditIsAppendOnly: not even a mistake in the program changes an entry.
func TestAuditIsAppendOnly(t *testing.T) {
	t.Parallel()
	s := openCopy(t)
	if err := s.WriteAudit(t.Context(), &aggregate.AuditEntry{At: 1, Who: "anna", Action: "login"}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE audit SET who = 'bob'", "DELETE FROM audit"} {
		err := s.InTx(t.Context(), func(a aggregate.Tx) error {
			_, err := a.(*tx).exec("change", statement)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if entries, err := s.ReadAudit(t.Context(), &aggregate.AuditQuery{}); err != nil || len(entries) != 1 || entries[0].Who != "anna" {
		t.Errorf("%+v, %v", entries, err)
	}
}

// TestRecentReadsWhatItIsAskedFor: the plan searches by the whole key's beginning
// and never scans the table.
func TestRecentReadsWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	s := openCopy(t)
	rows, err := s.DB().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+recentSQL, "acme", 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	searches := 0
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(detail, "SCAN click_minutes") {
			t.Errorf("the whole table is read: %s", detail)
		}
		if strings.Contains(detail, "SEARCH click_minutes USING PRIMARY KEY (tenant_id=? AND source_id=? AND minute>? AND minute<?)") {
			searches++
		}
	}
	if searches != 1 {
		t.Errorf("%d searches by tenant, source and minutes, want 1", searches)
	}
}
