#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Documents as their consumers take them: `ipset restore` (twice, and beside a set of another type),
# a real HAProxy that stops denying when a block ends, a real nginx with the geo file, nft, and a
# STIX bundle that is read strictly and twice. Reasons are full of what could break each of them.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs ipset iptables haproxy nginx nft curl jq python3

# set_row SET ENTRY: its line without what runs
set_row() {
	in_edge ipset list "$1" | sed -n "s|^$2 timeout [0-9]* packets 0 bytes 0 \(.*\)|\1|p"
}

set_size() {
	in_edge ipset list -t "$1" | sed -n 's/^Number of entries: //p'
}

# asks ADDRESS URL: the status that a client with this address gets
asks() {
	in_clients curl -s -o /dev/null -w '%{http_code}' --max-time 5 --interface "$1" "$2"
}

lab_begin
make_network
start_agent

evil=$'a "quoted", \\back\\ and\ttab\nadd farmgate4 10.9.9.9\rdestroy farmgate4;'
fg block 10.1.0.1 --ttl 10m --reason "$evil" >/dev/null || fail "block: $?"
fg block 10.1.2.0/24 --ttl 10m --reason "$evil" >/dev/null || fail "block: $?"
fg block 2001:db8:1000:7::/64 --ttl 10m --reason 'é "ü" $(id) `id`' >/dev/null || fail "block: $?"
fg block 2001:db8:1000:100::/56 --ttl 10m >/dev/null || fail "block: $?"

# --- ipset ------------------------------------------------------------------------------------

in_edge ipset create probe hash:ip 2>/dev/null || skip "this kernel has no ip_set"
in_edge ipset destroy probe
fg export ipset >"$LAB/sets" || fail "export ipset: $?"
for turn in first second; do
	in_edge ipset restore -exist <"$LAB/sets" || fail "$turn ipset restore: $?"
	for name in farmgate4 farmgate4n farmgate6 farmgate6n; do
		[ "$(set_size $name)" = 1 ] || fail "$turn restore: $name holds $(set_size $name)"
	done
	[ "$(in_edge ipset list -n | wc -l)" = 4 ] || fail "$turn restore leaves $(in_edge ipset list -n)"
	# a rule that uses it may not stand in the way of the next one
	[ $turn = second ] || { in_edge ipset create user list:set && in_edge ipset add user farmgate4 &&
		in_edge ipset destroy user; } || fail "a set cannot be used"
done
[ "$(set_row farmgate4 10.1.0.1)" = \
	"comment \"a 'quoted', 'back' and tab add farmgate4 10.9.9.9 destroy farmgate4;\"" ] ||
	fail "comment: $(in_edge ipset list farmgate4)"
[ "$(set_row farmgate6 2001:db8:1000:7::/64)" = "comment \"é 'ü' \$(id) \`id\`\"" ] ||
	fail "comment: $(in_edge ipset list farmgate6)"
in_edge ipset test farmgate4n 10.1.2.200 2>/dev/null || fail "an address of the range is not in its set"
in_edge ipset test farmgate6n 2001:db8:1000:1ff::5 2>/dev/null || fail "an address of the /56 is not in its set"
echo "ok: ipset, twice"

in_edge iptables -t raw -I PREROUTING -p tcp --dport 8082 --syn \
	-m set --match-set farmgate4 src -j DROP || fail "iptables cannot use the set: $?"
fg block 10.1.0.2 --ttl 10m >/dev/null && fg unblock 10.1.0.1 >/dev/null || fail "block: $?"
fg export ipset | in_edge ipset restore -exist || fail "ipset restore of a set in use: $?"
in_edge ipset test farmgate4 10.1.0.2 2>/dev/null || fail "the new one is not there"
in_edge ipset test farmgate4 10.1.0.1 2>/dev/null && fail "the old one is still there"
echo "ok: ipset, a set that is in use"

in_edge ipset destroy farmgate6n
in_edge ipset create farmgate6n hash:ip family inet6
in_edge ipset add farmgate6n 2001:db8::99
fg export ipset | in_edge ipset restore -exist 2>"$LAB/ipset.err" && fail "another type was not refused"
grep -qi "already exists" "$LAB/ipset.err" || fail "ipset says: $(cat "$LAB/ipset.err")"
in_edge ipset test farmgate6n 2001:db8::99 2>/dev/null || fail "a set of somebody else was emptied"
in_edge ipset test farmgate4 10.1.0.2 2>/dev/null || fail "the good set was lost"
echo "ok: ipset, a set of the same name and another type stays"

# --- HAProxy ----------------------------------------------------------------------------------

fg block 10.1.0.3 --ttl 20s >/dev/null || fail "block: $?"
short_until=$(($(date +%s) + 21))
fg export haproxy >"$LAB/farmgate.map" || fail "export haproxy: $?"
cat >"$LAB/haproxy.cfg" <<-END
	defaults
		mode http
		timeout connect 5s
		timeout client 5s
		timeout server 5s
	frontend web
		bind $SERVER4:8080
		bind [$SERVER6]:8080
		http-request set-var(txn.now) date
		http-request deny if { src,map_ip_int($LAB/farmgate.map,0),sub(txn.now) gt 0 }
		http-request return status 200
	frontend behind_ipset
		bind $SERVER4:8082
		http-request return status 200
END
haproxy -c -f "$LAB/haproxy.cfg" >"$LAB/haproxy.log" 2>&1 || fail "haproxy -c: $(cat "$LAB/haproxy.log")"
spawn "$EDGE" haproxy -db -f "$LAB/haproxy.cfg" >"$LAB/haproxy.log" 2>&1
expect "HAProxy answers others" 200 asks 10.5.0.1 "http://$SERVER4:8080/"
expect "others pass the set" 200 asks 10.5.0.1 "http://$SERVER4:8082/"
expect "a source in the set does not" 000 asks 10.1.0.2 "http://$SERVER4:8082/"
expect "HAProxy denies a source" 403 asks 10.1.0.2 "http://$SERVER4:8080/"
expect "HAProxy denies a range" 403 asks 10.1.2.77 "http://$SERVER4:8080/"
expect "HAProxy denies a /64" 403 asks 2001:db8:1000:7::9 "http://[$SERVER6]:8080/"
[ "$(asks 10.1.0.3 "http://$SERVER4:8080/")" = 403 ] || [ "$(date +%s)" -ge $((short_until - 2)) ] ||
	fail "HAProxy does not deny a block that stands"
while [ "$(date +%s)" -le "$short_until" ]; do sleep 1; done
expect "HAProxy, a block that has ended in an old map" 200 asks 10.1.0.3 "http://$SERVER4:8080/"

# --- nginx ------------------------------------------------------------------------------------

fg export nginx >"$LAB/farmgate.geo" || fail "export nginx: $?"
HTTP_MORE="geo \$farmgate { default 0; include $LAB/farmgate.geo; }
	server {
		listen $SERVER4:8081; listen [$SERVER6]:8081;
		if (\$farmgate) { return 403; }
		location / { return 200; }
	}"
start_server
in_edge nginx -t -e "$LAB/www/error.log" -p "$LAB/www" -c "$LAB/www/nginx.conf" 2>"$LAB/nginx.err" ||
	fail "nginx -t: $(cat "$LAB/nginx.err")"
expect "nginx answers others" 200 asks 10.5.0.1 "http://$SERVER4:8081/"
expect "nginx denies a source" 403 asks 10.1.0.2 "http://$SERVER4:8081/"
expect "nginx denies a range" 403 asks 10.1.2.77 "http://$SERVER4:8081/"
expect "nginx denies a /64" 403 asks 2001:db8:1000:7::9 "http://[$SERVER6]:8081/"

# --- nft, lists, STIX ---------------------------------------------------------------------------

fg export nft | in_edge nft -c -f - || fail "nft -c: $?"
[ "$(fg export plain | wc -l)" = 4 ] || fail "export plain: $(fg export plain)"
fg export json | jq -e 'length == 4 and all(.[]; keys == ["duration","reason","scope","type","value"])' \
	>/dev/null || fail "export json: $(fg export json)"
fg export csv | python3 -c '
import csv, sys
rows = list(csv.reader(sys.stdin, strict=True))
assert rows[0] == ["duration", "scope", "type", "value", "reason"], rows[0]
assert len(rows) == 5 and all(len(r) == 5 for r in rows), rows' || fail "export csv: $(fg export csv)"
echo "ok: nft, plain, json, csv"

fg export stix >"$LAB/first.stix" || fail "export stix: $?"
[ "$("$ROOT/tests/netns/stix_check.py" "$LAB/first.stix")" = "ok 4 indicators" ] ||
	fail "STIX: $("$ROOT/tests/netns/stix_check.py" "$LAB/first.stix" 2>&1)"
fg unblock 10.1.0.2 >/dev/null && fg block 10.1.0.4 >/dev/null || fail "block: $?"
stop_agent TERM
start_agent
fg export stix --tlp green >"$LAB/second.stix" || fail "export stix: $?"
[ "$(jq -r '.objects[] | select(.type == "marking-definition").name' "$LAB/second.stix")" = TLP:GREEN ] ||
	fail "the marking is not green"
# the marking is part of an object: with another one it is another version, which nobody makes here
fg export stix >"$LAB/second.stix" || fail "export stix: $?"
"$ROOT/tests/netns/stix_check.py" "$LAB/second.stix" "$LAB/first.stix" >"$LAB/stix.out" 2>&1 ||
	fail "STIX again: $(cat "$LAB/stix.out")"
echo "ok: STIX, read twice, over a restart"

# --- Following documents ------------------------------------------------------------------------

spawn "$EDGE" "$FG" --socket "$LAB/farmgate.sock" export json --follow >"$LAB/followed" 2>"$LAB/followed.err"
wait_until 10 test -s "$LAB/followed" || fail "nothing is followed"
kill -KILL "$AGENT_PID"
wait "$AGENT_PID" 2>/dev/null
AGENT_PID=
wait_until 10 grep -q "waiting for it" "$LAB/followed.err" || fail "the dead agent is not told"
start_agent
wait_until 10 grep -q "answers again" "$LAB/followed.err" || fail "the agent's return is not told"
fg block 10.1.0.5 >/dev/null || fail "block: $?"
wait_until 10 grep -q 10.1.0.5 "$LAB/followed" || fail "the change after the restart is not followed"
jq -es 'length >= 3 and (.[-1] | length) == 5' "$LAB/followed" >/dev/null ||
	fail "what was followed: $(cat "$LAB/followed")"
{ fg export plain --follow 2>"$LAB/pipe.err"; echo $? >"$LAB/pipe.status"; } | head -n 1 >/dev/null
[ "$(cat "$LAB/pipe.status")" = 1 ] && grep -q "stdout: Broken pipe" "$LAB/pipe.err" ||
	fail "a reader that goes: exit $(cat "$LAB/pipe.status"), $(cat "$LAB/pipe.err")"
echo "ok: a follower outlives the agent, not its reader"
