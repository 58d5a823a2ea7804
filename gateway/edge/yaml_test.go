package edge

import (
	"strings"
	"testing"
	"time"
)

// A time that is none must not become the zero time: a key would never retire, a list be in force since ever.
func TestTimesInYAML(t *testing.T) {
	t.Parallel()
	type list struct {
		Items []struct {
			At   time.Time `yaml:"at"`
			Name string    `yaml:"name"`
		} `yaml:"items"`
	}
	for text, want := range map[string]string{
		"2026-11-21T00:00:00Z":        "2026-11-21T00:00:00Z",
		"2026-11-21T10:00:00.5+01:00": "2026-11-21T09:00:00.5Z",
		"\"2026-11-21T00:00:00Z\"":    "2026-11-21T00:00:00Z",
		"2026-11-21":                  "2026-11-21T00:00:00Z",
		"2026-11-21 # the day after":  "2026-11-21T00:00:00Z",
		"2026-11-21 10:00:00":         "2026-11-21T10:00:00Z",
		"":                            "0001-01-01T00:00:00Z",
		"bogusT00:00:00Z":             "",
		"2026-13-01T00:00:00Z":        "",
		"2026-02-30":                  "",
		"2026-11-21T00:00:00":         "", // of no zone
		"\"soon\"":                    "",
		"5":                           "",
		"[1]":                         "",
	} {
		var v list
		err := UnmarshalYAML([]byte("items:\n  - name: x\n    at: "+text+"\n"), &v)
		if want == "" {
			if err == nil || !strings.Contains(text, "[") && !strings.Contains(err.Error(), "is no time") {
				t.Errorf("%s: %v, %v", text, v, err)
			}
			continue
		}
		if err != nil || v.Items[0].At.UTC().Format(time.RFC3339Nano) != want || v.Items[0].Name != "x" {
			t.Errorf("%s: %v, %v, want %s", text, v, err, want)
		}
	}
	var v list
	if err := UnmarshalYAML([]byte("items: [{name: x, atx: 1}]"), &v); err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("an unknown key: %v", err)
	}
}
