package edge

import "testing"

// code returns the code of err, "" for none.
func code(err *Error) string {
	if err == nil {
		return ""
	}
	return err.Code
}

func mustNot(t testing.TB, err *Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// item is an ordinary click of a batch, about 350 bytes.
const item = `{"event_id":"019a6d3c-8c00-7c3e-9a10-2f6b1c0d4e5f","event_time":"2026-11-10T12:00:00.250Z",` +
	`"campaign_id":"cmp-481","publisher_id":"pub-77","placement_id":"slot 7","ip":"203.0.113.9",` +
	`"user_agent":"Mozilla/5.0 (Linux; Android 14; Kite 3) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Mobile Safari/537.36",` +
	`"price_micros":120000,"currency":"EUR","test":false}`

func wantNoAllocs(t *testing.T, f func()) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector allocates on its own")
	}
	f() // scratch memory grows at first use
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
