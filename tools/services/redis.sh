# shellcheck shell=bash disable=SC2034,SC2154
# Redis from the system, in memory only: clickgate keeps nothing but hints there.

title[redis]=Redis
variable[redis]=CLICKGATE_TEST_REDIS

redis_install() { need redis-server redis-server; }

redis_missing() {
	if ! have redis-server; then
		echo "redis-server not found (Debian package redis-server)"
	elif ! have perl; then
		echo "perl, which finds a free port, not found (Debian package perl)"
	fi
}

redis_start() {
	redis_port=$(free_port)
	redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$run" --save '' --appendonly no \
		--daemonize no >>"$run/redis.log" 2>&1 &
	pid[redis]=$!
}

# redis_ping speaks the protocol over bash's own socket: the client program is a
# package of its own.
redis_ping() {
	local answer
	exec {conn}<>"/dev/tcp/127.0.0.1/$redis_port" || return 1
	printf 'PING\r\n' >&"$conn"
	IFS= read -r -t 5 answer <&"$conn" || true
	exec {conn}>&-
	[[ $answer == +PONG* ]]
}

redis_ready() {
	local try
	for try in 1 2 3 4 5; do
		if until_ready 15 "${pid[redis]}" redis_ping; then
			version[redis]="Redis $(redis-server --version | sed -n 's/.* v=\([^ ]*\).*/\1/p')"
			export CLICKGATE_TEST_REDIS=127.0.0.1:$redis_port
			return 0
		fi
		((try < 5)) || return 1
		redis_stop # most likely somebody took the port
		redis_start
	done
}

redis_stop() { stop_process "${pid[redis]}" TERM; }
