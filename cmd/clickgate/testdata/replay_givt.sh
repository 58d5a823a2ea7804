#!/bin/sh
# Judges an access log by the lists of general invalid traffic, without any code
# of clickgate: the oracle of TestReplayIsRepeatable.
# Usage: replay_givt.sh ACCESS_LOG LISTS_FOLDER
#
# It prints one line for each line of the log, in order: "malformed", "no click",
# or "click" and the reasons for which the click is general invalid traffic or
# cannot be decided. Which lines are clicks is written here once more, as
# replayControl has it.
#
# What it does by other means: a pattern is tried on every agent with awk's own
# expressions, a prefix is looked up by its length. What it does not do, and stops
# at: agents that hold the name of a handset, or are longer than 640 bytes, and
# IPv6. The log has none of them.
set -eu
LC_ALL=C awk -v source="$1" -v lists="$2" '
function fail(text) { print "replay_givt.sh: " text > "/dev/stderr"; exit 1 }
function unpacked(name) { return name ~ /\.gz$/ ? "gzip -dc " lists "/" name : "cat " lists "/" name }
function number(ip,   p) { return split(ip, p, ".") == 4 ? ((p[1] * 256 + p[2]) * 256 + p[3]) * 256 + p[4] : -1 }
function comment(line) { return line ~ /^#/ || line ~ /^[ \t\r]*$/ }

# Patterns are RE2; these are all the things in them that awk writes otherwise.
function add(class, owner, text) {
	n++
	class_of[n] = class; owner_of[n] = owner; text_of[n] = text
	folded[n] = sub(/^\(\?i\)/, "", text)
	if (folded[n]) text = tolower(text)
	gsub(/\\\//, "/", text)
	gsub(/\[\\s\\S\]/, ".", text)
	gsub(/\\d/, "[0-9]", text)
	if (text ~ /\(\?|\\[a-zA-Z0-9]/) fail("pattern " text " is not understood")
	expression[n] = text
}
function tabbed(name,   line, f, cmd) {
	cmd = unpacked(name)
	while ((cmd | getline line) > 0)
		if (!comment(line)) { split(line, f, "\t"); add(f[1] == "app-library" ? "tool" : f[1], f[2], f[3]) }
	close(cmd)
}
function upstream(name,   line, text, cmd, class) {
	cmd = unpacked(name)
	while ((cmd | getline line) > 0) {
		if (!match(line, /"pattern": "([^"\\]|\\.)*"/)) continue
		text = substr(line, RSTART + 12, RLENGTH - 13)
		gsub(/\\\\/, "\001", text); gsub(/\\"/, "\"", text); gsub(/\001/, "\\", text)
		if (text in dropped) continue
		class = "crawler"
		if (line ~ /"http-library"/) class = "tool"
		if (line ~ /"browser-automation"/) class = "headless"
		add(class, "-", text)
	}
	close(cmd)
}
# kind: d data centre, s suspends the rule for them, or the owner of the ranges.
function prefixes(name, kind,   line, p, cmd, bits) {
	cmd = unpacked(name)
	while ((cmd | getline line) > 0) {
		gsub(/[ \t\r]/, "", line)
		if (comment(line) || line ~ /:/) continue
		bits = split(line, p, "/") == 2 ? p[2] + 0 : 32
		lengths[bits]
		held[kind, bits, int(number(p[1]) / 2 ^ (32 - bits))]
	}
	close(cmd)
}
function ranges(name,   line, f, cmd) {
	cmd = unpacked(name)
	while ((cmd | getline line) > 0)
		if (!comment(line) && line !~ /:/) { split(line, f, ","); from[++m] = number(f[1]); to[m] = number(f[2]) }
	close(cmd)
}
function holds(kind, ip,   b) {
	for (b in lengths) if ((kind, b, int(ip / 2 ^ (32 - b))) in held) return 1
	return 0
}
function data_centre(ip,   i) {
	if (holds("s", ip)) return 0
	if (holds("d", ip)) return 1
	for (i = 1; i <= m; i++) if (from[i] <= ip && ip <= to[i]) return 1
	return 0
}

BEGIN {
	CONVFMT = "%.0f" # addresses are keys, and whole numbers beyond 2^31
	cmd = unpacked("drops.tsv")
	while ((cmd | getline line) > 0) if (!comment(line)) { split(line, f, "\t"); dropped[f[1]] }
	close(cmd)
	tabbed("agents.tsv"); upstream("crawler-user-agents.json.gz"); tabbed("words.tsv")
	ranges("ipcat-datacentres.csv.gz"); prefixes("x4b-datacentres.txt.gz", "d")
	prefixes("apple-relay.txt.gz", "s"); prefixes("x4b-vpn.txt.gz", "s"); prefixes("tor-exits.txt.gz", "s")
	prefixes("googlebot.txt.gz", "google"); prefixes("bingbot.txt.gz", "bing")
	prefixes("pingdom.txt.gz", "pingdom"); prefixes("statuscake.txt.gz", "statuscake")
	if (n < 1500 || m < 4000) fail("the lists hold only " n " patterns and " m " ranges")

	while ((getline line < source) > 0) {
		lines++
		if (split(line, part, "\"") != 7) { kind[lines] = "malformed"; continue }
		split(part[1], client, " "); split(part[2], request, " "); split(part[3], answer, " ")
		path = request[2]; sub(/[?#].*/, "", path)
		agent = part[6]; gsub(/^[ \t\r"\047]+|[ \t\r"\047]+$/, "", agent)
		if (path !~ /^\/$|^\/(presentations|blog|images|projects|files|articles|misc|about)\// ||
		    request[1] !~ /^(GET|HEAD)$/ || answer[1] < 200 || answer[1] > 399) { kind[lines] = "no click"; continue }
		kind[lines] = "click"; ip_of[lines] = client[1]; agent_of[lines] = agent; head[lines] = request[1] == "HEAD"
		seen[agent]; address[client[1]]
		if (length(agent) > 640) fail("an agent of " length(agent) " bytes")
		if (client[1] ~ /:/) fail("an IPv6 address")
	}

	cmd = unpacked("handsets.txt")
	while ((cmd | getline line) > 0)
		if (!comment(line)) for (a in seen) if (index(tolower(a), tolower(line))) fail("a handset: " a)
	close(cmd)
	for (i = 1; i <= n; i++)
		for (a in seen) if ((folded[i] ? tolower(a) : a) ~ expression[i]) {
			if (!(a in class)) class[a] = class_of[i]
			if (owner_of[i] != "-") owners[a] = owners[a] " " owner_of[i]
		}
	for (ip in address) hosted[ip] = data_centre(number(ip))

	for (i = 1; i <= lines; i++) {
		out = kind[i]
		if (out == "click") {
			a = agent_of[i]; ip = ip_of[i]
			if (a == "" || a == "-") out = out " NO_AGENT"
			else if (class[a] == "crawler") {
				verified = 0
				k = split(owners[a], o, " ")
				while (k > 0) if (holds(o[k--], number(ip))) verified = 1
				out = out (verified ? " CRAWLER_VERIFIED" : owners[a] == "" ? " CRAWLER" : " CRAWLER CRAWLER_SPOOFED")
			}
			else if (class[a] == "headless") out = out " HEADLESS"
			else if (class[a] == "tool") out = out " TOOL_AGENT"
			if (hosted[ip]) out = out " DATA_CENTRE"
			if (head[i]) out = out " HEAD_REQUEST"
		}
		print out
	}
}'
