package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

// A click whose vector cannot be read is reported without slots, and the report says
// why; a version that can be read shows its slots and says nothing.
func TestUnreadableVectors(t *testing.T) {
	t.Parallel()
	for version, note := range map[uint32]string{
		0: "", 1: "", 2: "vector version 2 cannot be read", scoring.VectorVersion: "", scoring.VectorVersion + 1: "not known to this build",
	} {
		c := &click.Click{TenantID: "acme", SourceID: "edge", EventID: click.ID{0: 1, 15: 2}, EventTime: hour0}
		c.Verdict = click.Verdict{State: click.SIVT, VectorVersion: version, Reasons: click.Reasons(0).Set(click.ReasonRateIP)}
		c.Verdict.Vector[1] = 41
		stored := NewStored(&aggregate.TraceRow{What: "click", Click: c, IngestedAt: hour0})
		found := &aggregate.Case{Clicks: []aggregate.StoredClick{{ClickRow: aggregate.ClickRow{Click: c}, State: c.Verdict.State, Reasons: c.Verdict.Reasons}}}
		texts := map[string]string{
			"trace":      printed(t, func(w *bytes.Buffer) error { return Trace(w, c.EventID, []Stored{stored}, Table) }),
			"case":       printed(t, func(w *bytes.Buffer) error { return Case(w, found, Table) }),
			"trace JSON": printed(t, func(w *bytes.Buffer) error { return Trace(w, c.EventID, []Stored{stored}, JSON) }),
			"case JSON":  printed(t, func(w *bytes.Buffer) error { return Case(w, found, JSON) }),
		}
		readable := version == 1 || version == scoring.VectorVersion
		for name, text := range texts {
			if !strings.Contains(text, "RATE_IP") || !strings.Contains(text, "sivt") {
				t.Errorf("version %d: the %s lacks the click:\n%s", version, name, text)
			}
			if strings.Contains(text, "address_clicks_1m") != readable || readable != strings.Contains(text, "41") {
				t.Errorf("version %d, readable %t: the %s is\n%s", version, readable, name, text)
			}
			if note != "" && !strings.Contains(text, note) || note == "" && strings.Contains(text, "cannot be read") {
				t.Errorf("version %d: the %s does not say %q:\n%s", version, name, note, text)
			}
		}
		var out struct{ Clicks []caseClick }
		if err := json.Unmarshal([]byte(texts["case JSON"]), &out); err != nil || len(out.Clicks) != 1 || (len(out.Clicks[0].Vector) > 0) != readable {
			t.Errorf("version %d: %v, %+v", version, err, out)
		}
	}
}
