# shellcheck shell=bash disable=SC2034,SC2154
# promtool checks deploy/prometheus and deploy/grafana. It is a program, not a
# server, so there is nothing to start. Only the one file is taken out of Debian's
# package, because installing the package would start a Prometheus here.

title[promtool]=promtool
variable[promtool]=CLICKGATE_TEST_PROMTOOL

promtool_path() {
	if [[ -x $store/promtool/promtool ]]; then
		printf '%s\n' "$store/promtool/promtool"
	else
		command -v promtool
	fi
}

promtool_install() {
	promtool_path >/dev/null && return
	local work=$store/promtool.part
	rm -rf "$work"
	mkdir -p "$work"
	if (cd "$work" && apt_download prometheus && dpkg-deb -x prometheus_*.deb .); then
		mkdir -p "$store/promtool"
		mv "$work/usr/bin/promtool" "$store/promtool/"
	fi
	rm -rf "$work"
}

promtool_missing() { promtool_path >/dev/null || echo "promtool not found (Debian package prometheus)"; }
promtool_start() { :; }

promtool_ready() {
	CLICKGATE_TEST_PROMTOOL=$(promtool_path)
	export CLICKGATE_TEST_PROMTOOL
	version[promtool]=$(promtool_version) || return 1
}

promtool_version() {
	"$CLICKGATE_TEST_PROMTOOL" --version 2>"$run/promtool.log" | sed -n 's/^\(promtool\), version \([^ +]*\).*/\1 \2/p'
}

promtool_stop() { :; }
