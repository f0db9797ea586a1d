#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The fingerprint that the kernel's key led to is the one read from a capture of the same
# connection.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq tcpdump
lab_begin
make_network
start_server
start_agent
start_capture "$LAB/run.pcap"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.5.0.0/16 --count 30 \
	--profile openssl,curl-like,node-like,go-like,python-like,large || fail "load"
settle
stop_capture
"$FG" ja4 "$LAB/run.pcap" >"$LAB/ja4.tsv" || fail "farmgate ja4: exit $?"
[ "$(grep -vc '^#' "$LAB/ja4.tsv")" = 30 ] || fail "30 hellos, but ja4 printed
$(cat "$LAB/ja4.tsv")"
# hellos, ja4 and stem, one line a fingerprint
grep -v '^#' "$LAB/ja4.tsv" | cut -f 7,8 | LC_ALL=C sort | uniq -c |
	awk '{ print $1, $2, $3 }' >"$LAB/want"
[ "$(wc -l <"$LAB/want")" = 6 ] || fail "six profiles, but $(cat "$LAB/want")"
sorted_fingerprints() {
	query fingerprints '.fingerprints[] | "\(.hellos) \(.ja4) \(.stem)"' | LC_ALL=C sort
}
expect "hellos, JA4 and stem of six profiles" "$(LC_ALL=C sort "$LAB/want")" \
	sorted_fingerprints
