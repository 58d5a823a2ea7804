# shellcheck shell=bash disable=SC2034
# What the service files and both commands share. Sourced, never run.
#
# A service NAME is one file NAME.sh with four functions:
#   NAME_install   get what is missing, as far as this machine allows
#   NAME_missing   print why the service cannot run; nothing when it can
#   NAME_start     start it; set nothing but what NAME_ready needs
#   NAME_ready     wait for it (bounded), export its variable, set version[NAME]
# and the variables title[NAME] and variable[NAME].
# A further service is a further file and a word in `services`.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
store="$root/.services" # git-ignored: what is installed for tests alone

# The slowest to start come first. SERVICES='NAME...' leaves the others out.
read -ra services <<<"${SERVICES:-kafka timescale postgres redis promtool chromium}"
declare -A title variable version pid

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'services: %s\n' "$*" >&2; }

# apt_update fetches the package lists once a run, as root only; it is called only
# when something is missing.
apt_update() {
	[[ $EUID -eq 0 && -z ${apt_updated:-} ]] || return 0
	apt-get update -qq </dev/null >&2 || say "apt-get update failed; going on with the package lists that are there"
	apt_updated=1
}

# apt_install PACKAGE...: Debian packages, without questions, as root only.
apt_install() {
	[[ $EUID -eq 0 ]] && have apt-get || return 1
	export DEBIAN_FRONTEND=noninteractive
	apt_update
	say "installing $*"
	apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$store/apt.log" 2>&1 ||
		{ tail -n 3 "$store/apt.log" >&2; return 1; }
}

# apt_download PACKAGE: the package file into the present folder, by anybody whose
# machine has package lists. Debian downloads as a user of its own when it can,
# and warns when root's folder is closed to that one.
apt_download() {
	have apt-get && have dpkg-deb || return 1
	apt_update
	say "fetching $1"
	apt-get download -qq -o APT::Sandbox::User=root "$1" </dev/null >"$store/apt.log" 2>&1 ||
		{ tail -n 3 "$store/apt.log" >&2; return 1; }
}

# need COMMAND PACKAGE: get the command from the Debian package.
need() { have "$1" || apt_install "$2" || true; }

# free_port prints a loopback port that was free a moment ago. Another program
# may take it before the server does, so whoever uses it retries.
free_port() {
	perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

running() { kill -0 "$1" 2>/dev/null; }

# until_ready SECONDS PID COMMAND...: run COMMAND until it succeeds. Fails when
# the time is up or the process is gone.
until_ready() {
	local end=$((SECONDS + $1)) server=$2
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		running "$server" && ((SECONDS < end)) || return 1
		sleep 0.1
	done
}

# stop_process PID SIGNAL: end a process that this shell started and wait for it.
stop_process() {
	local end=$((SECONDS + 15))
	running "$1" || { wait "$1" 2>/dev/null || true; return 0; }
	kill -s "$2" "$1" 2>/dev/null || true
	while running "$1"; do
		if ((SECONDS >= end)); then kill -s KILL "$1" 2>/dev/null || true; break; fi
		sleep 0.05
	done
	wait "$1" 2>/dev/null || true
}

for name in "${services[@]}"; do
	# shellcheck source=/dev/null
	source "$here/$name.sh"
done
