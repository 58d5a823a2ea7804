package stream

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A control topic that could lose entries, or their order, is refused.
func TestEnsureControlRefuses(t *testing.T) {
	t.Parallel()
	sound := map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "cleanup.policy": "compact"}
	with := func(key, value string) map[string]string {
		changed := map[string]string{}
		for k, v := range sound {
			changed[k] = v
		}
		changed[key] = value
		return changed
	}
	for name, tc := range map[string]struct {
		partitions int32
		replicas   int16
		settings   map[string]string
		single     bool
		err        string // part of it; empty: accepted
	}{
		"sound":                      {1, 3, sound, false, ""},
		"two partitions":             {2, 3, sound, false, "create it with one"},
		"one replica":                {1, 1, sound, false, "has 1 replicas"},
		"one replica, accepted":      {1, 1, with("min.insync.replicas", "1"), true, ""},
		"acks may rest on one":       {1, 3, with("min.insync.replicas", "1"), false, "min.insync.replicas is \"1\""},
		"entries vanish":             {1, 3, with("cleanup.policy", "delete"), false, "set it to compact"},
		"entries vanish on one node": {1, 1, with("cleanup.policy", "compact,delete"), true, "set it to compact"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adm, cfg := cluster(t, 3)
			values := map[string]*string{}
			for k, v := range tc.settings {
				values[k] = kadm.StringPtr(v)
			}
			if _, err := adm.CreateTopic(t.Context(), tc.partitions, tc.replicas, values, ControlTopic); err != nil {
				t.Fatal(err)
			}
			if tc.single {
				cfg.Durability = SingleNode
			}
			err := EnsureControl(t.Context(), adm, &cfg)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("got %v, want %q", err, tc.err)
			}
		})
	}
}

func TestEnsureControlCreates(t *testing.T) {
	t.Parallel()
	adm, cfg := cluster(t, 3)
	if err := EnsureControl(t.Context(), adm, &cfg); err == nil || !strings.Contains(err.Error(), "kafka.create_topics") {
		t.Errorf("got %v, want an error that names the remedy", err)
	}
	adm, cfg = cluster(t, 3)
	cfg.CreateTopics = true
	for range 2 {
		if err := EnsureControl(t.Context(), adm, &cfg); err != nil {
			t.Fatal(err)
		}
	}
}
