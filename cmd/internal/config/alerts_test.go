package config

import (
	"bytes"
	"strings"
	"testing"
)

// TestRoutingKeyIsSecret: the key shows in no dump and no error, wherever it comes
// from and whatever is wrong beside it.
func TestRoutingKeyIsSecret(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdefABCDEF0123456789"
	shown := 0
	for name, src := range map[string]Source{
		"file":      {File: writeFile(t, "c.yaml", "pagerduty:\n  routing_key: "+key+"\n")},
		"flow":      {File: writeFile(t, "c.yaml", "pagerduty: {timeout: 1x, routing_key: "+key+"}\n")},
		"variable":  {Env: []string{"CLICKGATE_PAGERDUTY_ROUTING_KEY=" + key}},
		"flag":      {Set: []string{"pagerduty.routing_key=" + key}},
		"too long":  {Set: []string{"pagerduty.routing_key=" + key + "0"}},
		"both":      {Set: []string{"pagerduty.routing_key=" + key, "pagerduty.routing_key_file=f"}},
		"neighbour": {File: writeFile(t, "c.yaml", "pagerduty:\n  routing_key: "+key+"\n  uri: x\n")},
		"wrong url": {Set: []string{"pagerduty.url=https://" + key + "@h/"}},
	} {
		var out bytes.Buffer
		src.Data = "d"
		l, err := Load(src)
		if err == nil {
			if d := l.Dump(&out); d != nil {
				t.Fatal(d)
			}
			err = l.Validate(ForAlerts)
		}
		if err != nil {
			out.WriteString(err.Error())
		}
		if strings.Contains(out.String(), "pagerduty") {
			shown++
		}
		if name != "wrong url" && strings.Contains(out.String(), key) || err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("%s: key shown:\n%s", name, out.String())
		}
	}
	if shown != 8 {
		t.Errorf("%d cases showed anything", shown)
	}
}

func TestUnknownAlertKeys(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"alerts:\n  setle: 1s\n":                      "alerts.setle: is unknown; did you mean settle?",
		"pagerduty:\n  routing_kee: x\n":              "pagerduty.routing_kee: is unknown; did you mean routing_key?",
		"pagerduty:\n  timeout: 11s\n":                "pagerduty.timeout: 11s is out of range; use 1s to 10s",
		"alerts:\n  patience: 30s\n":                  "alerts.patience: 30s is out of range",
		"alerts:\n  open_score: 2\n":                  "alerts.open_score: 2 is not above alerts.close_score 3",
		"pagerduty: {url: 'http://pager.example/'}\n": "pagerduty.url: would send the routing key in clear",
	} {
		l, err := parse(t, text)
		if err == nil {
			l.Store.SQLite = "x"
			err = l.Validate(ForAlerts)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
