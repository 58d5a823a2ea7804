#!/bin/sh
# Counts what stands in an access log, without any code of this package: the
# oracle of TestAccessLogAgainstOracle. Usage: access_log.sh FILE.gz
# A line counts as malformed if it has not exactly six quotes; that is enough for
# a log without escaped quotes, whose number is printed too.
set -eu
gzip -dc "$1" | LC_ALL=C awk -F'"' '
	{ lines++; bytes += length($0) + 1 }
	/\\"/ { escaped++ }
	NF != 7 { malformed++; next }
	{
		split($1, client, " ")
		split($2, request, " ")
		split($3, answer, " ")
		split(client[4], time, ":")
		method[request[1]]++
		protocol[request[3]]++
		status[answer[1]]++
		day[substr(time[1], 2)]++
		if (!(client[1] in ip)) { ip[client[1]]; ips++ }
		if (!($6 in agent)) { agent[$6]; agents++ }
		if ($6 == "-") no_agent++
		if ($4 == "-") no_referer++
		if (index(request[2], "?")) query++
	}
	END {
		print "lines", lines
		print "bytes", bytes
		print "escaped_quotes", escaped + 0
		print "malformed", malformed + 0
		print "ips", ips
		print "agents", agents
		print "no_agent", no_agent + 0
		print "no_referer", no_referer + 0
		print "with_query", query + 0
		for (m in method) print "method_" m, method[m]
		for (p in protocol) print "protocol_" p, protocol[p]
		for (s in status) print "status_" s, status[s]
		for (d in day) print "day_" d, day[d]
	}' | LC_ALL=C sort
