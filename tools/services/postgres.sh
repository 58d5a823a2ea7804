# shellcheck shell=bash disable=SC2034,SC2154
# PostgreSQL from the system: a cluster of its own in a temporary folder, with
# fsync on, because tests ask it what survives.

title[postgres]=PostgreSQL
variable[postgres]=CLICKGATE_TEST_POSTGRES

# postgres_bin prints the folder of the server programs: Debian keeps them, one
# folder a version, out of PATH.
postgres_bin() {
	local dir
	while IFS= read -r dir; do
		if [[ -x $dir/postgres && -x $dir/initdb ]]; then
			printf '%s\n' "$dir"
			return 0
		fi
	done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)
	have postgres && have initdb && dirname "$(command -v postgres)"
}

postgres_install() { postgres_bin >/dev/null || apt_install postgresql || true; }

postgres_missing() {
	if ! postgres_bin >/dev/null; then
		echo "postgres not found (Debian package postgresql)"
	elif ! have perl; then
		echo "perl, which finds a free port, not found (Debian package perl)"
	elif [[ $EUID -eq 0 ]] && ! { have setpriv && id postgres >/dev/null 2>&1; }; then
		echo "the server refuses to run as root, and user postgres or setpriv is not there (Debian packages postgresql, util-linux)"
	fi
}

# as_postgres runs a command as a user that the server accepts. setpriv replaces
# itself by the command, so that the process id is the server's own.
as_postgres() {
	if [[ $EUID -eq 0 ]]; then
		exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
	fi
	exec "$@"
}

postgres_start() {
	local dir=$run/postgres bin
	bin=$(postgres_bin)
	mkdir -p "$dir"
	[[ $EUID -ne 0 ]] || chown postgres "$dir"
	(cd "$dir" && as_postgres "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync) >"$run/postgres.log" 2>&1 || return 1
	postgres_launch
}

postgres_launch() {
	local dir=$run/postgres bin
	bin=$(postgres_bin)
	postgres_port=$(free_port)
	(cd "$dir" && as_postgres "$bin/postgres" -D "$dir/data" -p "$postgres_port" -k "$dir" \
		-c listen_addresses=127.0.0.1 -c fsync=on -c max_connections=100 -c timezone=UTC) >>"$run/postgres.log" 2>&1 &
	pid[postgres]=$!
}

postgres_ready() {
	local psql try
	psql=$(postgres_bin)/psql
	[[ -x $psql ]] || psql=psql
	local url="postgres://postgres@127.0.0.1:$postgres_port/postgres?sslmode=disable"
	for try in 1 2 3 4 5; do
		if until_ready 30 "${pid[postgres]}" "$psql" -X -q -c 'select 1' "$url"; then
			version[postgres]="PostgreSQL $("$psql" -X -A -t -c 'show server_version' "$url" | cut -d' ' -f1)"
			export CLICKGATE_TEST_POSTGRES=$url
			return 0
		fi
		((try < 5)) || return 1
		postgres_stop # most likely somebody took the port
		postgres_launch
		url="postgres://postgres@127.0.0.1:$postgres_port/postgres?sslmode=disable"
	done
}

# INT is the fast shutdown: it ends sessions instead of waiting for them.
postgres_stop() { stop_process "${pid[postgres]}" INT; }
