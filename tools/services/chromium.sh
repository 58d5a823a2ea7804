# shellcheck shell=bash disable=SC2034,SC2154
# Chromium walks through the console as a user would. It is a program, not a server:
# the tests start it, without a window, and talk to it over its DevTools.

title[chromium]=Chromium
variable[chromium]=CLICKGATE_TEST_CHROMIUM

chromium_install() { need chromium chromium; }
chromium_missing() { have chromium || echo "chromium not found (Debian package chromium)"; }
chromium_start() { :; }

chromium_ready() {
	CLICKGATE_TEST_CHROMIUM=$(command -v chromium)
	export CLICKGATE_TEST_CHROMIUM
	version[chromium]=$(chromium_version)
	[[ -n ${version[chromium]} ]]
}

# chromium_version asks the program, not the package, because a package whose
# libraries are missing is of no use.
chromium_version() {
	"$CLICKGATE_TEST_CHROMIUM" --version 2>"$run/chromium.log" | sed -n 's/^\(Chromium [0-9.]*\).*/\1/p'
}

chromium_stop() { :; }
