#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Small tables, and more than they hold: SYNs of sources that do not exist, then real handshakes of
# ever new sources. What is proven and open stays and goes on being counted to the byte; who found no
# room is counted in a sketch, never too low; status says which table is full, and that it is over.
# Runs alone: it measures times.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs openssl jq
lab_begin
CONF=$LAB/farmgate.yaml
make_network
start_server
echo "memory_mb: 1" >"$CONF" # the least: 8192 connections, 2048 sources, 2048 clients
start_agent --attach native
watch_frames
MAC=$(edge_mac)

request() {
	printf 'GET /%0250d HTTP/1.1\r\nHost: %s\r\n\r\n' 0 "$SNI"
}

# A connection that asks, is silent while the flood goes by, and asks again.
mkfifo "$LAB/say"
exec 9<>"$LAB/say"
in_clients openssl s_client -quiet -no_ign_eof -connect "$SERVER4:443" -servername "$SNI" \
	-bind 10.1.1.1:0 <"$LAB/say" 9>&- >"$LAB/kept.log" 2>&1 &
KEPT=$!
PIDS+=("$KEPT")
request >&9
expect "the connection that stays" "1 1 1 0" source_row 10.1.1.1 connections proven exchanges fins

in_clients "$RAWSEND" --iface veth0 --mac "$MAC" --connect "$SERVER4" --sources 198.18.0.0/15 \
	--kind syn --count 60000 >"$LAB/rawsend.json" || fail "rawsend"
expect "after SYNs of 60000 sources that do not exist: sources" 1 query "sources --limit 1" .total
expect "the connection that stays" "1 1 1 0" source_row 10.1.1.1 connections proven exchanges fins

in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.77.0.0/16 --count 6000 --per-source 2 \
	--list "$LAB/load.tsv" >"$LAB/load.json" || fail "load"
DONE=$(jq .connections "$LAB/load.json")
expect "status says so" true query status '.degraded | any(test("fg_sources is full"))'
settle
fg status >/dev/null
[ $? = 3 ] || fail "status exits with $?, not 3"

request >&9
expect "the connection that stayed" "1 1 2 0" source_row 10.1.1.1 connections proven exchanges fins
exec 9>&-
wait "$KEPT" 2>/dev/null
expect "its end" "1 1 2 1" source_row 10.1.1.1 connections proven exchanges fins

# Each connection is in a row or in the sketch.
expect "every frame" true query status \
	'([.interfaces[].packets] | add) == (([.accounted[]] | add) + ([.losses[]] | add))'
fg sources --limit 100000 --format json >"$LAB/sources.json" || [ $? = 3 ] || fail "sources"
jq -r '.sources[] | [.source, .proven] | @tsv' "$LAB/sources.json" | LC_ALL=C sort >"$LAB/rows.tsv"
grep -v '^#' "$LAB/load.tsv" | cut -f 1,2 | LC_ALL=C sort |
	LC_ALL=C join -t $'\t' -a 1 -e 0 -o 0,1.2,2.2 - "$LAB/rows.tsv" |
	awk -F '\t' '$3 > $2 { print "more", $0 } $3 < $2 { print "less", $0 }' >"$LAB/differ"
! grep -q '^more' "$LAB/differ" || fail "rows with more than there was: $(grep -c '^more' "$LAB/differ")"
LESS=$(grep -c '^less' "$LAB/differ")
[ "$LESS" -gt 0 ] || fail "there was no flood: every source of $DONE connections has its row"
echo "ok: of 6000 sources $LESS have no row, or less in it than they did"

checked=0
while read -r _ source did has; do
	fg explain "$source" --format json >"$LAB/explain.json" || [ $? = 3 ] || fail "explain"
	jq -e --argjson n $((did - has)) '.overflow >= $n' "$LAB/explain.json" >/dev/null ||
		fail "$source: the sketch has $(jq .overflow "$LAB/explain.json"), not $((did - has))"
	checked=$((checked + 1))
done < <(sort -R --random-source=<(yes) "$LAB/differ" | head -n 40)
echo "ok: the sketch has the rest of $checked of them"
wait_until 80 answer_is false query status '.degraded | any(test("fg_sources is full"))' ||
	fail "status still says so"
echo "ok: status says so no more"
