package stream

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func cluster(t *testing.T, brokers int) (*kadm.Client, Config) {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cfg := DefaultConfig()
	cfg.Brokers = k.ListenAddrs()
	client, err := kgo.NewClient(cfg.ClientOptions("test")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client), cfg
}

// topic makes both topics with the given replicas and settings.
func topics(t *testing.T, adm *kadm.Client, replicas int16, settings map[string]string) {
	t.Helper()
	values := map[string]*string{}
	for k, v := range settings {
		values[k] = kadm.StringPtr(v)
	}
	for _, name := range []string{ClicksTopic, DeadLettersTopic} {
		if _, err := adm.CreateTopic(t.Context(), 3, replicas, values, name); err != nil {
			t.Fatal(err)
		}
	}
}

// A gateway refuses to start on topics that can lose an acknowledged click, and
// says what to set.
func TestEnsureTopicsRefusesWhatLosesClicks(t *testing.T) {
	t.Parallel()
	sound := map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
	for name, tc := range map[string]struct {
		replicas int16
		settings map[string]string
		single   bool
		err      string // part of it; empty: accepted
	}{
		"sound":                 {3, sound, false, ""},
		"one replica":           {1, sound, false, "has 1 replicas"},
		"two replicas":          {2, sound, false, "use at least 3"},
		"one replica, accepted": {1, sound, true, ""},
		"acks may rest on one":  {3, map[string]string{"min.insync.replicas": "1"}, false, "min.insync.replicas is \"1\""},
		"unclean election":      {3, map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}, false, "unclean.leader.election.enable is true"},
		"anything, accepted":    {1, map[string]string{"unclean.leader.election.enable": "true"}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adm, cfg := cluster(t, 3)
			topics(t, adm, tc.replicas, tc.settings)
			if tc.single {
				cfg.Durability = SingleNode
			}
			got, err := EnsureTopics(t.Context(), adm, &cfg)
			if tc.err == "" {
				if err != nil || got.Clicks.Partitions != 3 || got.DeadLetters.Partitions != 3 || got.Clicks.ID == got.DeadLetters.ID || got.ClusterID == "" {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), "topic ") {
				t.Errorf("got %v, want an error with %q", err, tc.err)
			}
		})
	}
}

func TestEnsureTopicsMissing(t *testing.T) {
	t.Parallel()
	adm, cfg := cluster(t, 3)
	if _, err := EnsureTopics(t.Context(), adm, &cfg); err == nil || !strings.Contains(err.Error(), "kafka.create_topics") {
		t.Errorf("got %v, want an error that names the remedy", err)
	}
}

// What clickgate creates passes its own check, and creating twice changes nothing.
func TestEnsureTopicsCreates(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		brokers    int
		durability Durability
	}{"replicated": {3, Replicated}, "single node": {1, SingleNode}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adm, cfg := cluster(t, tc.brokers)
			cfg.CreateTopics, cfg.Durability, cfg.Partitions = true, tc.durability, 6
			first, err := EnsureTopics(t.Context(), adm, &cfg)
			if err != nil || first.Clicks.Partitions != 6 || first.DeadLetters.Partitions != 4 {
				t.Fatalf("%+v, %v", first, err)
			}
			again, err := EnsureTopics(t.Context(), adm, &cfg)
			if err != nil || again != first {
				t.Errorf("the second time: %+v, %v", again, err)
			}
		})
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := DefaultConfig()
	good.Brokers = []string{"kafka:9092"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for key, change := range map[string]func(*Config){
		"kafka.brokers":           func(c *Config) { c.Brokers = nil },
		"kafka.durability":        func(c *Config) { c.Durability = "maybe" },
		"kafka.partitions":        func(c *Config) { c.Partitions = 0 },
		"kafka.max_buffered":      func(c *Config) { c.MaxBuffered = 0 },
		"kafka.max_buffered_size": func(c *Config) { c.MaxBufferedSize = 5 },
		"kafka.ack_deadline":      func(c *Config) { c.AckDeadline = 0 },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key+":") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}
