# shellcheck shell=bash disable=SC2034,SC2154
# Apache Kafka in KRaft mode: every node is broker and controller, in a folder of
# its own. One node; KAFKA_NODES=3 makes a cluster that survives the loss of one.

title[kafka]=Kafka
variable[kafka]=CLICKGATE_TEST_KAFKA

kafka_home=$store/kafka
kafka_sums=$here/kafka/sha256sums
kafka_nodes=${KAFKA_NODES:-1}
kafka_tries=5
declare -A kafka_pid kafka_port kafka_quorum # by node number

# kafka_java tells whether there is a Java that Kafka 4 runs on.
kafka_java() {
	have java && (($(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') >= 17))
}

# The sums are copied in last, so a copy equal to ours says that every jar was
# fetched and checked.
kafka_installed() { cmp -s "$kafka_sums" "$kafka_home/installed"; }

kafka_install() {
	kafka_installed && return 0
	kafka_java && have mvn || return 0
	say "installing Kafka's jars"
	rm -rf "$kafka_home"
	if ! mvn -B -q -Dstyle.color=never -f "$here/kafka/pom.xml" dependency:copy-dependencies \
		-DoutputDirectory="$kafka_home/jars" </dev/null >"$store/mvn.log" 2>&1; then
		grep -m 3 ERROR "$store/mvn.log" >&2 || tail -n 3 "$store/mvn.log" >&2
	elif ! (cd "$kafka_home/jars" && LC_ALL=C && sha256sum -- *.jar) | diff "$kafka_sums" - >"$store/kafka.diff"; then
		say "Kafka's jars are not those of tools/services/kafka/sha256sums (< wanted, > fetched):"
		cat "$store/kafka.diff" >&2
	else
		cp "$kafka_sums" "$kafka_home/installed"
	fi
}

kafka_missing() {
	if ! kafka_java; then
		echo "java 17 or newer not found (Debian package default-jre-headless)"
	elif ! kafka_installed && ! have mvn; then
		echo "mvn, which fetches its jars, not found (Debian package maven, then: make services)"
	elif ! kafka_installed; then
		echo "its jars are not installed (run: make services)"
	elif ! have perl; then
		echo "perl, which finds a free port, not found (Debian package perl)"
	fi
}

# kafka_run CLASS [ARGUMENT...] becomes a Java program of Kafka's. A test broker
# lives for minutes, so the flags favour a quick start over a fast end.
kafka_run() {
	exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		"-Dlog4j2.configurationFile=$here/kafka/log4j2.xml" -cp "$kafka_home/jars/*" "$@"
}

# kafka_each COMMAND...: run it for every node, whose number comes last.
kafka_each() {
	local node
	for ((node = 1; node <= kafka_nodes; node++)); do "$@" "$node" || return 1; done
}

# The ports are part of what nodes tell each other and their clients, so all are
# chosen before the first node starts.
kafka_choose_ports() {
	kafka_port[$1]=$(free_port)
	kafka_quorum[$1]=$(free_port)
}

kafka_voters() {
	local node list=''
	for ((node = 1; node <= kafka_nodes; node++)); do list+=,$node@127.0.0.1:${kafka_quorum[$node]}; done
	echo "${list#,}"
}

# kafka_properties NODE prints its settings: as many copies of Kafka's own topics
# as there are nodes, and no wait for more members of a new group.
kafka_properties() {
	local in_sync=$(((kafka_nodes + 1) / 2))
	cat <<-END
		process.roles=broker,controller
		node.id=$1
		controller.quorum.voters=$(kafka_voters)
		listeners=PLAINTEXT://127.0.0.1:${kafka_port[$1]},CONTROLLER://127.0.0.1:${kafka_quorum[$1]}
		controller.listener.names=CONTROLLER
		log.dirs=$run/kafka/$1
		auto.create.topics.enable=false
		group.initial.rebalance.delay.ms=0
		offsets.topic.num.partitions=1
		offsets.topic.replication.factor=$kafka_nodes
		transaction.state.log.num.partitions=1
		transaction.state.log.replication.factor=$kafka_nodes
		transaction.state.log.min.isr=$in_sync
		share.coordinator.state.topic.num.partitions=1
		share.coordinator.state.topic.replication.factor=$kafka_nodes
		share.coordinator.state.topic.min.isr=$in_sync
	END
}

kafka_format() {
	kafka_properties "$1" >"$run/kafka/$1.properties"
	(cd "$run/kafka" && kafka_run kafka.tools.StorageTool format \
		--cluster-id Y2xpY2tnYXRlLXRlc3RzLQ --config "$1.properties") >>"$run/kafka.log" 2>&1
}

kafka_launch() {
	(cd "$run/kafka" && kafka_run kafka.Kafka "$1.properties") >>"$run/kafka.log" 2>&1 &
	kafka_pid[$1]=$!
}

kafka_start() {
	mkdir -p "$run/kafka"
	kafka_each kafka_choose_ports
	kafka_each kafka_format || return 1
	kafka_each kafka_launch
	kafka_deadline=$((SECONDS + 60))
}

kafka_answers() {
	until_ready $((kafka_deadline - SECONDS)) "${kafka_pid[$1]}" grep -q "nodeId=$1\] Kafka Server started" "$run/kafka.log"
}

kafka_ready() {
	local try node list='' jar
	for ((try = 1; ; try++)); do
		if kafka_each kafka_answers; then break; fi
		# A node that ended has most likely found its port taken.
		((try < kafka_tries)) && ! kafka_each kafka_running || return 1
		kafka_stop
		rm -rf "$run/kafka"
		kafka_start || return 1
	done
	for ((node = 1; node <= kafka_nodes; node++)); do list+=,127.0.0.1:${kafka_port[$node]}; done
	jar=$(basename "$kafka_home"/jars/kafka_2.13-*.jar .jar)
	version[kafka]="Kafka ${jar#kafka_2.13-} (KRaft, nodes: $kafka_nodes)"
	export CLICKGATE_TEST_KAFKA=${list#,}
}

kafka_running() { running "${kafka_pid[$1]}"; }

# All nodes get the signal at once: the last ones would wait for a quorum that is
# gone.
kafka_stop() {
	local node
	for node in "${!kafka_pid[@]}"; do kill -s TERM "${kafka_pid[$node]}" 2>/dev/null || true; done
	for node in "${!kafka_pid[@]}"; do stop_process "${kafka_pid[$node]}" TERM; done
	kafka_pid=()
}
