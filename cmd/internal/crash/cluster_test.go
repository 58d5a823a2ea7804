package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// jars is where make services puts Kafka.
const jars = "../../../.services/kafka/jars"

// realKafka is three brokers of Apache Kafka, each also a controller, with copies on
// all three and acks of at least two.
func realKafka(t *testing.T) Kafka {
	t.Helper()
	folder, err := filepath.Abs(jars)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("Kafka's jars are not installed (run: make services): %v", err)
	}
	java := func(class string, args ...string) *exec.Cmd {
		return exec.Command("java", append([]string{
			"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", folder + "/*", class}, args...)...)
	}
	return Kafka{Nodes: 3, Prepare: func(dir string, nodes []Node, free func() (int, error)) (starts []func() *exec.Cmd, _ []string, err error) {
		files, err := writeProperties(dir, nodes, free)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			format := java("kafka.tools.StorageTool", "format", "--cluster-id", "Y2xpY2tnYXRlLWNyYXNoAA", "--config", file)
			if out, err := format.CombinedOutput(); err != nil {
				return nil, nil, fmt.Errorf("formatting a broker's folder: %w\n%s", err, out)
			}
			starts = append(starts, func() *exec.Cmd { return java("kafka.Kafka", file) })
		}
		return starts, nil, nil
	}}
}

// writeProperties writes the brokers' settings. Clients come by way of proxies;
// brokers speak to each other directly.
func writeProperties(dir string, nodes []Node, free func() (int, error)) (files []string, err error) {
	var inner, quorum, voters []string
	for i := range nodes {
		for _, list := range []*[]string{&inner, &quorum} {
			port, err := free()
			if err != nil {
				return nil, err
			}
			*list = append(*list, loopback(port))
		}
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, quorum[i]))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for i, n := range nodes {
		text := strings.Join([]string{
			"process.roles=broker,controller",
			fmt.Sprintf("node.id=%d", i+1),
			"controller.quorum.voters=" + strings.Join(voters, ","),
			"controller.listener.names=CONTROLLER",
			"inter.broker.listener.name=INNER",
			fmt.Sprintf("listeners=OUTER://%s,INNER://%s,CONTROLLER://%s", n.Listen, inner[i], quorum[i]),
			fmt.Sprintf("advertised.listeners=OUTER://%s,INNER://%s", n.Advertise, inner[i]),
			"listener.security.protocol.map=OUTER:PLAINTEXT,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
			"log.dirs=" + filepath.Join(dir, fmt.Sprint(i+1)),
			"auto.create.topics.enable=false", "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000",
			"offsets.topic.num.partitions=1", "offsets.topic.replication.factor=3",
			"transaction.state.log.replication.factor=3", "transaction.state.log.min.isr=2",
			"broker.session.timeout.ms=6000", "replica.lag.time.max.ms=6000",
		}, "\n")
		file := filepath.Join(dir, fmt.Sprintf("%d.properties", i+1))
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
