#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# CrowdSec's own bouncers, as Debian ships them and without CrowdSec, are fed by the agent: 25,000 blocks
# in nft sets, each with an end; then a new one, one taken back, one made longer, one that ends, and a
# flagged client that is refused while its neighbour is served. They outlive a restart of the agent, and
# are killed and find what happened meanwhile; a wrong key is told so. Nothing is permanent at any time.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
PYTHON=/usr/bin/python3
need_programs curl jq nft apt-get dpkg "$PYTHON"
lab_begin
make_network
start_server
API=http://127.0.0.1:8093 KEY=0123456789abcdef-bouncer BLOCKS=25000
PULL=/v1/decisions/stream

get_bouncers() {
	local name
	mkdir "$LAB/deb" && chmod 755 "$LAB" "$LAB/deb"
	for name in crowdsec-firewall-bouncer crowdsec-custom-bouncer; do
		# the mirror forgets versions that old lists name
		(cd "$LAB/deb" && { apt-get -q download "$name" ||
			{ apt-get -q update && apt-get -q download "$name"; }; } >"$LAB/apt.log" 2>&1) ||
			skip "cannot download $name: $(tail -n 1 "$LAB/apt.log")"
		dpkg -x "$LAB/deb/$name"_*.deb "$LAB/$name" || fail "dpkg -x $name"
	done
	FIREWALL=$LAB/crowdsec-firewall-bouncer/usr/bin/crowdsec-firewall-bouncer
	CUSTOM=$LAB/crowdsec-custom-bouncer/usr/bin/crowdsec-custom-bouncer
}
get_bouncers

CONF=$LAB/farmgate.yaml
cat >"$CONF" <<-END
	mode: enforce
	warmup: 0
	exports: []
	listen: {address: "127.0.0.1:8093", keys: $LAB/keys}
END
(umask 077 && echo "edge $KEY bouncer" >"$LAB/keys")

# --- The firewall's bouncer and what it made ----------------------------------------------------

firewall_conf() { # KEY
	cat >"$LAB/firewall.yaml" <<-END
		mode: nftables
		pid_dir: $LAB
		update_frequency: 1s
		daemonize: false
		log_mode: stdout
		log_level: info
		api_url: $API/
		api_key: $1
		disable_ipv6: false
		deny_action: DROP
		supported_decisions_types:
		  - ban
		blacklists_ipv4: crowdsec-blacklists
		blacklists_ipv6: crowdsec6-blacklists
		nftables:
		  ipv4: {enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}
		  ipv6: {enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}
		prometheus: {enabled: false}
	END
}

start_firewall() {
	spawn "$EDGE" "$FIREWALL" -c "$LAB/firewall.yaml" >>"$LAB/firewall.log" 2>&1
	FIREWALL_PID=$SPAWNED
}

elements() {
	in_edge nft -j list set ip crowdsec crowdsec-blacklists 2>/dev/null >"$LAB/set.json" || return
	jq -c '[.nftables[].set? | select(.) | .elem // [] | .[]]' "$LAB/set.json"
}

held() {
	elements | jq length
}

permanent() {
	elements | jq '[.[] | select((.elem.timeout // 0) <= 0)] | length'
}

# What is left of an element, in seconds; 0 where it is not there.
left() { # ADDRESS
	elements | jq --arg v "$1" '[.[].elem | select(.val == $v).expires][0] // 0'
}

holds() {
	[ "$(left "$1")" -gt 0 ]
}

holds_not() {
	[ "$(left "$1")" = 0 ]
}

holds_for_more_than() { # ADDRESS SECONDS
	[ "$(left "$1")" -gt "$2" ]
}

firewall_runs() {
	kill -0 "$FIREWALL_PID" 2>/dev/null || fail "the bouncer died: $(tail -n 5 "$LAB/firewall.log")"
}

pull() { # ARGUMENTS CURL-OPTION…
	in_edge curl -s -H "X-Api-Key: $KEY" "$API$PULL$1" "${@:2}"
}

# --- 25,000 blocks, as an operator's list would leave them --------------------------------------

fill() {
	"$PYTHON" - "$LAB/state/farmgate.db" "$BLOCKS" <<-'END'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		db.row_factory = sqlite3.Row
		model = dict(db.execute("SELECT * FROM verdict WHERE stem = 0").fetchone())
		first = max(r[0] for r in db.execute("SELECT id FROM verdict")) + 1
		rows = []
		for i in range(int(sys.argv[2]) - 1):
		    row = dict(model, id=first + i)
		    row["addr"] = bytes(10) + b"\xff\xff" + bytes([100, 64 + (i >> 16), i >> 8 & 255, i & 255])
		    rows.append(row)
		names = list(model)
		db.executemany("INSERT INTO verdict (%s) VALUES (%s)" % (
		    ",".join(names), ",".join(":" + n for n in names)), rows)
		db.commit()
	END
}

# Without the API it ends at once and leaves nothing: why its service needs Restart=always.
firewall_conf $KEY
start_firewall
wait "$FIREWALL_PID"
in_edge nft list table ip crowdsec >/dev/null 2>&1 && fail "a table without the API"
grep -q "connection refused" "$LAB/firewall.log" || fail "no API: $(cat "$LAB/firewall.log")"
echo "ok: without the API it ends at its start"

start_agent
fg block 203.0.113.1 --ttl 2h --reason "end-to-end test" >/dev/null || fail "block: exit $?"
stop_agent TERM
fill || fail "cannot fill the state"
start_agent
expect "decisions served" $BLOCKS query status .crowdsec.decisions

# A wrong key: told so, and no table is left.
firewall_conf wrong-key-wrong-key
start_firewall
wait "$FIREWALL_PID"
grep -q "403\|access forbidden" "$LAB/firewall.log" || fail "wrong key: $(cat "$LAB/firewall.log")"
in_edge nft list table ip crowdsec >/dev/null 2>&1 && fail "a table without a key"
expect "a wrong key is refused and counted" true query status '.http.wrong_key >= 1'

firewall_conf $KEY
start_firewall
holds_all() {
	firewall_runs
	[ "$(held)" = $BLOCKS ]
}
wait_until 120 holds_all || fail "holds $(held): $(tail -n 3 "$LAB/firewall.log")"
echo "ok: the bouncer's set holds all $BLOCKS"
expect "permanent elements" 0 permanent
expect "its answers are compressed" true query status '.http.compressed >= 1'
expect "it is known by key, address and program" \
	"key edge 127.0.0.1 crowdsec-firewall-bouncer 0" query status \
	'.crowdsec.bouncers[] | select(.program | startswith("crowdsec-firewall")) |
	 "\(.key) \(.address) \(.program | split("/")[0]) \(.behind)"'

# --- Changes ------------------------------------------------------------------------------------

fg block 203.0.113.7 --ttl 10m >/dev/null || fail "block: exit $?"
wait_until 30 holds 203.0.113.7 || fail "a new block is not in the set"
echo "ok: a new block"
fg block 203.0.113.7 --ttl 5h >/dev/null || fail "block: exit $?"
wait_until 30 holds_for_more_than 203.0.113.7 17000 ||
	fail "made longer, but the element ends in $(left 203.0.113.7) s"
echo "ok: a block made longer"
fg block 203.0.113.7 --ttl 1h >/dev/null || fail "block: exit $?"
is_shorter() {
	holds 203.0.113.7 && ! holds_for_more_than 203.0.113.7 3600
}
wait_until 30 is_shorter || fail "made shorter, but the element ends in $(left 203.0.113.7) s"
echo "ok: a block made shorter"
fg unblock 203.0.113.7 >/dev/null || fail "unblock: exit $?"
wait_until 30 holds_not 203.0.113.7 || fail "still in the set after unblock"
echo "ok: unblock"
fg block 203.0.113.8 --ttl 20s >/dev/null || fail "block: exit $?"
wait_until 30 holds 203.0.113.8 || fail "a short block is not in the set"
wait_until 60 holds_not 203.0.113.8 || fail "a short block did not end"
echo "ok: expiry"

# Ranges: written out up to /28, the rest counted.
fg block 203.0.113.32/30 --ttl 1h >/dev/null && fg block 198.51.0.0/16 --ttl 1h >/dev/null &&
	fg block 2001:db8:1000:7::/64 --ttl 1h >/dev/null || fail "block: exit $?"
wait_until 30 holds 203.0.113.35 || fail "a /30 is not written out"
expect "of a /30 all, of a /16 and a /64 nothing" $((BLOCKS + 4)) held
expect "these are counted" 2 query status .crowdsec.unexportable
in_edge nft list set ip6 crowdsec6 crowdsec6-blacklists | grep -q "2001:db8" && fail "a /64 in a set"
fg status >"$LAB/out" || [ $? = 3 ] || fail "status"
grep -q "unexportable 2 blocks that no bouncer can hold" "$LAB/out" || fail "status: $(cat "$LAB/out")"
live() { # ADDRESS
	in_edge curl -s -H "X-Api-Key: $KEY" "$API/v1/decisions?ip=$1" |
		jq -r 'if . == null then "null" else .[] | "\(.type) \(.scope) \(.value)" end'
}
expect "who asks about one client: in the /16" "ban Ip 198.51.7.7" live 198.51.7.7
expect "in the /64" "ban Ip 2001:db8:1000:7::5" live 2001:db8:1000:7::5
expect "in none" null live 192.0.2.77

# A client flagged by the detectors: the bouncer's rule refuses it, not its neighbour.
try() { # SOURCE
	in_clients curl -sk -o /dev/null --connect-timeout 2 --interface "$1" "https://$SERVER4/"
}
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.20.0.0/16 --count 200 \
	--per-source 1-2 || fail "ordinary load"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.21.0.7 --per-source 80 ||
	fail "loud load"
wait_until 30 holds 10.21.0.7 || fail "10.21.0.7 is not in the set: $(fg flagged)"
try 10.21.0.7
[ $? = 28 ] || fail "the bouncer does not refuse a flagged client"
try 10.20.0.1 || fail "a neighbour was hit: curl said $?"
echo "ok: a flagged client is refused, its neighbour served"

# --- Restarts -----------------------------------------------------------------------------------

# One is made longer and the bouncer does not hear of it: it is stopped, and the agent that knew how far it
# had come is gone when it goes on.
fg block 9.9.9.9 --ttl 10m >/dev/null || fail "block: exit $?"
wait_until 30 holds 9.9.9.9 || fail "a new block is not in the set"
kill -STOP "$FIREWALL_PID"
fg block 9.9.9.9 --ttl 5h >/dev/null || fail "block: exit $?"
before=$(held)
stop_agent TERM
kill -CONT "$FIREWALL_PID"
sleep 3
firewall_runs
expect "without the agent its elements stay" "$before" held
start_agent
is_synced() {
	query status '[.crowdsec.bouncers[] | select(.program | startswith("crowdsec-firewall")) |
		.behind == 0] | any' | grep -q true && [ "$(held)" -ge "$before" ]
}
wait_until 120 is_synced || fail "after the agent's restart: $(held) of $before"
firewall_runs
expect "told everything again" true query status '.crowdsec.resyncs >= 1'
fg block 203.0.113.9 --ttl 1h >/dev/null || fail "block: exit $?"
wait_until 30 holds 203.0.113.9 || fail "no changes after the agent's restart: $(tail -n 5 "$LAB/firewall.log")"
wait_until 60 holds_for_more_than 9.9.9.9 17000 ||
	fail "made longer unheard, and the element ends in $(left 9.9.9.9) s"
[ "$(held)" -gt $((before - 600)) ] || fail "a refresh opened the gate: $(held) of $before"
echo "ok: the bouncer outlives a restart of the agent, and is refreshed bit by bit"

finish "$FIREWALL_PID" KILL
holds 203.0.113.9 || fail "a killed bouncer's elements are gone"
fg unblock 203.0.113.9 >/dev/null && fg block 203.0.113.10 --ttl 1h >/dev/null || fail "decisions"
start_firewall
wait_until 60 holds 203.0.113.10 || fail "a bouncer that begins again: $(tail -n 3 "$LAB/firewall.log")"
wait_until 30 holds_not 203.0.113.9 || fail "what was taken back while it was away stands"
echo "ok: a killed bouncer begins again and finds what was taken back"
expect "permanent elements" 0 permanent

# --- The other bouncer: a program of one's own, with the same key --------------------------------

cat >"$LAB/program" <<-END
	#!/bin/sh
	exec cat >>$LAB/program.out
END
chmod 755 "$LAB/program"
cat >"$LAB/custom.yaml" <<-END
	bin_path: $LAB/program
	feed_via_stdin: true
	total_retries: 0
	piddir: $LAB
	update_frequency: 1s
	cache_retention_duration: 10s
	daemonize: false
	log_mode: stdout
	log_level: info
	api_url: $API/
	api_key: $KEY
	prometheus: {enabled: false}
END
spawn "$EDGE" "$CUSTOM" -c "$LAB/custom.yaml" >"$LAB/custom.log" 2>&1
told() { # ACTION ADDRESS
	jq -r --arg a "$1" --arg v "$2" 'select(.action == $a and .value == $v) |
		"\(.origin) \(.type) \(.scope) \(.scenario)"' "$LAB/program.out" 2>/dev/null | tail -n 1
}
is_told() {
	[ "$(told "$1" "$2")" = "farmgate ban Ip farmgate/account-farm" ]
}
wait_until 60 is_told add 203.0.113.10 || fail "custom bouncer: $(tail -n 3 "$LAB/custom.log")"
fg unblock 203.0.113.10 >/dev/null || fail "unblock: exit $?"
wait_until 30 is_told del 203.0.113.10 || fail "the program is not told of an unblock"
wait_until 30 holds_not 203.0.113.10 || fail "with one key for two, one missed a change"
echo "ok: a program is told of blocks and unblocks; two bouncers share a key"

# --- By hand ------------------------------------------------------------------------------------

pull "?startup=true" >"$LAB/all.json"
expect "all seven fields, a duration above zero, one scope" 0 jq '[.new[] |
	select((keys | sort) != (["duration", "id", "origin", "scenario", "scope", "type", "value"]) or
	 (.duration | test("^([0-9]+h)?([0-9]+m)?([0-9.]+)s$") | not) or
	 (.duration | test("^0?\\.?0*s$")) or .scope != "Ip" or .type != "ban")] | length' "$LAB/all.json"
expect "ids are distinct" true jq '[.new[].id] | length == (unique | length)' "$LAB/all.json"
expect "nothing new since" "null null" sh -c "nsenter --net=/run/netns/$EDGE -- \
	curl -s -H 'X-Api-Key: $KEY' '$API$PULL?' | jq -r '\"\(.new) \(.deleted)\"'"
expect "another origin is asked for" "null" sh -c "nsenter --net=/run/netns/$EDGE -- \
	curl -s -H 'X-Api-Key: $KEY' '$API$PULL?startup=true&origins=cscli' | jq -r .new"
head=$(pull "?startup=true" -I)
grep -q "^HTTP/1.1 200" <<<"$head" && grep -qi "^Content-Length: [0-9]\{6\}" <<<"$head" ||
	fail "HEAD: $head"
pull "?startup=true" --compressed -D "$LAB/headers" -o "$LAB/all2.json"
grep -qi "^Content-Encoding: gzip" "$LAB/headers" || fail "not compressed: $(cat "$LAB/headers")"
expect "compressed is the same" "$(jq '.new | length' "$LAB/all.json")" jq '.new | length' "$LAB/all2.json"
[ "$(in_edge curl -s -o /dev/null -w '%{http_code}' -H "X-Api-Key: $KEY" -d '{}' \
	"$API/v1/usage-metrics")" = 201 ] || fail "usage-metrics"
echo "ok: HEAD, gzip, usage-metrics"
firewall_runs
