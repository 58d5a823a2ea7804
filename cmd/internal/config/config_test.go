package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/stream"
)

func parse(t *testing.T, text string) (*Loaded, error) {
	t.Helper()
	l := &Loaded{Config: DefaultConfig(), origins: map[string]Origin{}}
	return l, l.overlayYAML("clickgate.yaml", []byte(text))
}

func TestOrderOfSources(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "clickgate.yaml", "kafka:\n  partitions: 3\n  max_buffered: 30\n  ack_deadline: 3s\nlog: {level: warn}\n")
	l, err := Load(Source{
		File: file,
		Env:  []string{"CLICKGATE_KAFKA_MAX_BUFFERED=40", "CLICKGATE_KAFKA_ACK_DEADLINE=4s", "CLICKGATE_CONFIG=x", "CLICKGATE_TEST_DSN=y", "PATH=/bin", "CLICKGATE_LOG_FORMAT="},
		Set:  []string{"kafka.ack_deadline=5s", "kafka.brokers=a:9092, b:9092"},
		Data: "folder",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := stream.DefaultConfig()
	want.Partitions, want.MaxBuffered, want.AckDeadline = 3, 40, 5*time.Second
	want.Brokers = []string{"a:9092", "b:9092"}
	if !reflect.DeepEqual(l.Kafka, want) {
		t.Errorf("kafka = %+v, want %+v", l.Kafka, want)
	}
	for key, origin := range map[string]string{
		"kafka.partitions":        "clickgate.yaml:2",
		"kafka.max_buffered":      "environment variable CLICKGATE_KAFKA_MAX_BUFFERED",
		"kafka.ack_deadline":      "flag --set kafka.ack_deadline",
		"log.level":               "clickgate.yaml:5",
		"log.format":              "",
		"kafka.durability":        "",
		"store.sqlite":            "data folder",
		"keys.master_file":        "data folder",
		"aggregate.max_records":   "",
		"kafka.max_buffered_size": "",
	} {
		if got := l.origins[key].Text; got != origin {
			t.Errorf("origin of %s = %q, want %q", key, got, origin)
		}
	}
}

func TestDataFolderDoesNotCompeteWithADSN(t *testing.T) {
	t.Parallel()
	l, err := Load(Source{Set: []string{"store.dsn=postgres://h/db"}, Data: "folder"})
	if err != nil {
		t.Fatal(err)
	}
	if l.Store.SQLite != "" {
		t.Errorf("store.sqlite = %q beside a DSN", l.Store.SQLite)
	}
	if err := l.Validate(ForStore); err != nil {
		t.Error(err)
	}
}

func TestFileErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown key, near": {"kafka:\n  # a comment\n  brokerz: [a:1]\n",
			"kafka.brokerz: is unknown; did you mean brokers? (clickgate.yaml:3)\n>  3 |   brokerz: [a:1]\n         ^"},
		"unknown section": {"log:\n  level: info\nzzzzzzzzzzzzzzzzzz: 1\n",
			"zzzzzzzzzzzzzzzzzz: is unknown; known are aggregate, alerts, console, control,"},
		"duration without unit": {"kafka:\n  ack_deadline: 5\n",
			"kafka.ack_deadline: \"5\" is no duration; write a number and a unit, such as 500ms, 15m or 24h (clickgate.yaml:2)\n>  2 |   ack_deadline: 5\n                       ^"},
		"size with unit":       {"kafka:\n  max_buffered_size: 64MiB\n", "kafka.max_buffered_size: \"64MiB\" is no whole number in range; write digits only (sizes in bytes)"},
		"fraction":             {"kafka:\n  partitions: 1.5\n", "kafka.partitions: \"1.5\" is no whole number"},
		"overflow":             {"kafka:\n  partitions: 9223372036854775808\n", "kafka.partitions: \"9223372036854775808\" is no whole number in range"},
		"exponent":             {"kafka:\n  partitions: 1e3\n", "kafka.partitions: \"1e3\" is no whole number"},
		"truth value":          {"kafka:\n  create_topics: yes\n", "kafka.create_topics: \"yes\" is no truth value; write true or false (clickgate.yaml:2)"},
		"infinity":             {"scoring:\n  policy:\n    z_suspect: .inf\n", "scoring.policy.z_suspect: \".inf\" is no finite number"},
		"scalar for a list":    {"kafka:\n  brokers: a:9092\n", "kafka.brokers: is no list; write [a, b] (clickgate.yaml:2)"},
		"list for a scalar":    {"kafka:\n  partitions: [1]\n", "kafka.partitions: is a list or mapping where one value is expected"},
		"mapping for a scalar": {"kafka:\n  partitions:\n    a: 1\n", "kafka.partitions: is a list or mapping where one value is expected; write one value (clickgate.yaml:3)"},
		"scalar for a section": {"\n\nkafka: on\n", "kafka: is a value where keys are expected; write `key: value` lines below it (clickgate.yaml:3)"},
		"list at the top":      {"- a\n", "is a value where keys are expected"},
		"no value":             {"kafka:\n  durability:\n", "kafka.durability: has no value; write one, or remove the line to keep the default (clickgate.yaml:2)"},
		"anchor":               {"kafka:\n  durability: &a replicated\n", "kafka.durability: uses an anchor, alias or tag"},
		"alias":                {"log:\n  level: &a info\n  format: *a\n", "log.level: uses an anchor"},
		"merge":                {"log:\n  <<: {level: info}\n", "log: holds a key that is no plain name; anchors, aliases, merge keys and tags are not supported"},
		"tag":                  {"log:\n  level: !!str info\n", "log.level: uses an anchor, alias or tag"},
		"twice":                {"log:\n  level: info\n  level: warn\n", "(clickgate.yaml:3)\n>  3 |   level: warn"},
		"two documents":        {"log: {level: info}\n---\nlog: {level: warn}\n", "a second YAML document begins; keep one (clickgate.yaml:3)"},
		"syntax":               {"log:\n  level: \"info\n", "correct the YAML (clickgate.yaml:2)"},
		"tab":                  {"log:\n\tlevel: info\n", "correct the YAML (clickgate.yaml:2)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error:\n%v\nwant:\n%s", err, c.want)
			}
		})
	}
}

func TestFileAccepts(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":               "",
		"comment":             "# nothing\n",
		"section of comments": "kafka:\n  # brokers: [a]\nlog:\n  level: info\n",
		"flow":                "{log: {level: info}, kafka: {brokers: [\"a:1\", b]}}\n",
		"CRLF":                "log:\r\n  level: info\r\n",
		"block text":          "store:\n  dsn: >-\n    postgres://h/db\n",
		"document start":      "---\nlog:\n  level: info\n",
	} {
		l, err := parse(t, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if l.Log.Level != "info" {
			t.Errorf("%s: level %q", name, l.Log.Level)
		}
	}
	l, err := parse(t, "kafka:\n  brokers:\n    - a:1\n    - b:2\n  create_topics: true\nscoring: {policy: {z_suspect: 2}}\n")
	if err != nil || len(l.Kafka.Brokers) != 2 || !l.Kafka.CreateTopics || l.Scoring.Policy.ZSuspect != 2 {
		t.Errorf("block list: %v, %+v", err, l.Kafka)
	}
}

func TestEnvironmentAndFlagErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		src  Source
		want string
	}{
		"unknown variable": {Source{Env: []string{"CLICKGATE_KAFKA_BROKER=a"}},
			"CLICKGATE_KAFKA_BROKER: is no setting; did you mean CLICKGATE_KAFKA_BROKERS? (environment)"},
		"bad variable": {Source{Env: []string{"CLICKGATE_KAFKA_PARTITIONS=many"}},
			"kafka.partitions: \"many\" is no whole number in range; write digits only (sizes in bytes), such as 67108864 (environment variable CLICKGATE_KAFKA_PARTITIONS)"},
		"unknown flag": {Source{Set: []string{"kafka.broker=a"}},
			"kafka.broker: is unknown; did you mean kafka.brokers? (flag --set)"},
		"section":  {Source{Set: []string{"kafka=a"}}, "kafka: is unknown"},
		"no value": {Source{Set: []string{"kafka.brokers"}}, "kafka.brokers: has no value; write --set key=value (flag --set)"},
		"no file":  {Source{File: "absent.yaml"}, "name a readable file with --config or CLICKGATE_CONFIG"},
	} {
		_, err := Load(c.src)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
}

func TestValidateSaysWhereFrom(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "clickgate.yaml", "store:\n  sqlite: a.db\nkafka:\n  brokers: [a:1]\n  partitions: 0\n")
	for name, c := range map[string]struct {
		src  Source
		use  Use
		want string
	}{
		"file": {Source{File: file}, ForAggregate,
			"kafka.partitions: 0 is out of range; use 1 to 1024 (clickgate.yaml:5)\n>  5 |   partitions: 0\n         ^"},
		"variable": {Source{Env: []string{"CLICKGATE_KAFKA_BROKERS=a", "CLICKGATE_KAFKA_PARTITIONS=-1"}}, ForAggregate,
			"kafka.partitions: -1 is out of range; use 1 to 1024 (environment variable CLICKGATE_KAFKA_PARTITIONS)"},
		"flag": {Source{Set: []string{"aggregate.group=", "store.sqlite=x"}, Data: "d"}, ForStandalone,
			"aggregate.group: is empty; name the Kafka consumer group (flag --set aggregate.group)"},
		"default":      {Source{}, ForAggregate, "kafka.brokers: is empty; name at least one broker as host:port, or run `clickgate standalone` (default)"},
		"two stores":   {Source{Set: []string{"store.dsn=x", "store.sqlite=y"}}, ForStore, "store.sqlite: store.dsn is set as well; keep one of the two (flag --set store.sqlite)"},
		"no store":     {Source{}, ForStore, "store.dsn: neither store.dsn nor store.sqlite is set"},
		"log":          {Source{Set: []string{"log.level=loud"}}, 0, "log.level: \"loud\" is unknown; use debug, info, warn or error (flag --set log.level)"},
		"another form": {Source{Set: []string{"spool.max_bytes=5"}, Data: "d"}, ForStandalone, "(flag --set spool.max_bytes)"},
		"no spool":     {Source{Set: []string{"kafka.brokers=a"}}, ForGateway, "spool.dir"},
	} {
		l, err := Load(c.src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = l.Validate(c.use)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	l, err := Load(Source{Data: "folder"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Validate(ForStandalone); err != nil {
		t.Error(err)
	}
	l, err = Load(Source{Data: "folder", Set: []string{"kafka.brokers=a:9092"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Validate(ForGateway | ForAggregate | ForStore); err != nil {
		t.Error(err)
	}
}

func TestVariableNamesAreUnique(t *testing.T) {
	t.Parallel()
	l := &Loaded{Config: DefaultConfig()}
	seen := map[string]string{}
	for _, key := range l.keys() {
		name := EnvName(key)
		if seen[name] != "" {
			t.Errorf("%s names both %s and %s", name, seen[name], key)
		}
		if name == envConfig || strings.HasPrefix(name, envTests) {
			t.Errorf("%s of %s is reserved", name, key)
		}
		seen[name] = key
	}
	if len(seen) < 25 {
		t.Errorf("only %d settings found", len(seen))
	}
}

// TestEverySettingCanBeSet sets each setting in all three forms to its own value.
func TestEverySettingCanBeSet(t *testing.T) {
	t.Parallel()
	l := &Loaded{Config: DefaultConfig()}
	for f := range l.fields() {
		text := scalarText(f.value)
		if isList(f.value) {
			text = "192.0.2.0/24"
		}
		if text == "" {
			text = "x"
		}
		for _, src := range []Source{
			{Set: []string{f.key + "=" + text}},
			{Env: []string{EnvName(f.key) + "=" + text}},
		} {
			got, err := Load(src)
			if err != nil {
				t.Errorf("%v: %v", src, err)
				continue
			}
			if got.origins[f.key].Text == "" {
				t.Errorf("%v: no origin", src)
			}
		}
	}
}

func TestDumpLoadsAgain(t *testing.T) {
	t.Parallel()
	first, err := Load(Source{
		Set:  []string{"kafka.brokers=a:9092,b:9092", "log.format=json", "kafka.ack_deadline=1500ms", "control.file=a # b: \"c\"", "scoring.policy.z_suspect=2.25", "aggregate.group=yes"},
		Data: "folder",
	})
	if err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if err := first.Dump(&dump); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  brokers: [\"a:9092\", \"b:9092\"] # flag --set kafka.brokers\n", "  partitions: 12\n", "  ack_deadline: 1.5s #", "  group: \"yes\" #",
		"  sqlite: folder/clickgate.db # data folder\n", "  retry_pause: 1s\n",
	} {
		if !strings.Contains(dump.String(), want) {
			t.Errorf("dump lacks %q:\n%s", want, dump.String())
		}
	}
	second, err := parse(t, dump.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, dump.String())
	}
	if !reflect.DeepEqual(first.Config, second.Config) {
		t.Errorf("reloaded dump differs:\n%+v\n%+v", first.Config, second.Config)
	}
}

func TestSnake(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Dir": "dir", "MaxBatchBytes": "max_batch_bytes", "DSN": "dsn", "HTTPListen": "http_listen"} {
		if got := snake(name); got != want {
			t.Errorf("snake(%s) = %s, want %s", name, got, want)
		}
	}
}

// FuzzLoad: any text loads or fails with a message on a line of the text; what
// loads can be dumped and loaded again.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "kafka:\n  brokers: [a, b]\n", "log: {level: info}", "a: &a [*a]", "? x", "%YAML 1.2\n---\n", "\xff", "store:\n  dsn: |\n    x\n", "- - -",
		"kafka: {ack_deadline: 5}", "log:\n\tlevel: x", "{{{{{{", "!!binary x", "\"\\", "k: 'v",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &Loaded{Config: DefaultConfig(), origins: map[string]Origin{}}
		if err := l.overlayYAML("f.yaml", b); err != nil {
			if err.Error() == "" {
				t.Error("empty message")
			}
			return
		}
		_ = l.Validate(ForGateway | ForAggregate | ForStandalone)
		l.Store.DSN = ""
		var dump bytes.Buffer
		if err := l.Dump(&dump); err != nil {
			t.Fatal(err)
		}
		again := &Loaded{Config: DefaultConfig(), origins: map[string]Origin{}}
		if err := again.overlayYAML("f.yaml", dump.Bytes()); err != nil {
			t.Fatalf("dump does not load: %v\n%s", err, dump.String())
		}
	})
}
