#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Blocks as routes, through a real exabgp whose process is `farmgate export exabgp --follow`, to a
# real BGP peer: what is blocked arrives with its communities and no-export, what is unblocked or
# has ended goes, also while the agent is dead; a restarted agent changes nothing, and the maximum
# holds.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs exabgp gobgpd gobgp jq ip

AS=64500 DISCARD4=192.0.2.254 DISCARD6=2001:db8:ff::dead

# Both speakers live on the edge: the one socket that matters is between them.
start_peer() {
	cat >"$LAB/peer.toml" <<-END
		[global.config]
		as = $AS
		router-id = "127.0.0.2"
		port = 1790
		local-address-list = ["127.0.0.2"]
		[[neighbors]]
		[neighbors.config]
		neighbor-address = "127.0.0.1"
		peer-as = $AS
		[neighbors.transport.config]
		passive-mode = true
		local-address = "127.0.0.2"
	END
	local family
	for family in ipv4-unicast ipv6-unicast ipv4-flowspec ipv6-flowspec; do
		printf '[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "%s"\n' \
			$family >>"$LAB/peer.toml"
	done
	spawn "$EDGE" gobgpd -t toml -f "$LAB/peer.toml" --api-hosts 127.0.0.1:50051 \
		>"$LAB/peer.log" 2>&1
	PEER_PID=$SPAWNED
	wait_until 20 peer_answers || fail "gobgpd does not answer: $(tail -n 3 "$LAB/peer.log")"
}

peer_answers() {
	in_edge gobgp -p 50051 global >/dev/null 2>&1
}

# start_exabgp OPTION…: with our process, whose pid it waits for.
start_exabgp() {
	cat >"$LAB/exabgp.conf" <<-END
		process farmgate {
			run $LAB/process;
			encoder text;
		}
		neighbor 127.0.0.2 {
			router-id 127.0.0.1;
			local-address 127.0.0.1;
			local-as $AS;
			peer-as $AS;
			family { ipv4 unicast; ipv6 unicast; ipv4 flow; ipv6 flow; }
			api { processes [ farmgate ]; }
		}
	END
	# The shell is there for the pid and for stderr only.
	cat >"$LAB/process" <<-END
		#!/bin/sh
		echo \$\$ >$LAB/process.pid
		while [ -e $LAB/hold ]; do sleep 0.1; done
		exec $FG --socket $LAB/farmgate.sock export exabgp --follow $* 2>>$LAB/process.log
	END
	chmod +x "$LAB/process"
	: >"$LAB/process.log"
	rm -f "$LAB/process.pid"
	spawn "$EDGE" env exabgp.tcp.port=1790 exabgp.daemon.user=root exabgp.api.cli=false \
		exabgp.log.destination=stderr exabgp "$LAB/exabgp.conf" >"$LAB/exabgp.log" 2>&1
	EXABGP_PID=$SPAWNED
	wait_until 20 test -s "$LAB/process.pid" || fail "exabgp: $(tail -n 5 "$LAB/exabgp.log")"
}

# Our routes at the peer: "PREFIX next-hop communities", sorted, a line each.
routes() { # FAMILY
	in_edge gobgp -p 50051 global rib -a "$1" -j 2>/dev/null | jq -r '
		def text: if . == 4294967041 then "no-export" else "\(. / 65536 | floor):\(. % 65536)" end;
		to_entries[].value[0] |
		"\(.nlri.prefix // ([.nlri.value[] | select(.type == 2).value.prefix] | join(" "))) " +
		"\([.attrs[] | select(.type == 3 or .type == 14).nexthop][0]) " +
		"\([.attrs[] | select(.type == 8).communities[] | text] | join(" "))" +
		([.attrs[] | select(.type == 16).value[] | select(.subtype == 6) | " rate \(.rate)"] | join(""))
	' 2>/dev/null | sort
}

all_routes() {
	local family
	for family in ipv4 ipv6 ipv4-flowspec ipv6-flowspec; do
		routes $family
	done
}

route_count() {
	all_routes | wc -l
}

tells() { # TEXT: our process said it
	grep -qF -- "$1" "$LAB/process.log"
}

lab_begin
make_network
start_agent
start_peer

# --- FlowSpec, the default --------------------------------------------------------------------

fg block 10.1.0.1 --ttl 10m --reason 'x"; } announce route 0.0.0.0/0' >/dev/null || fail "block: $?"
fg block 2001:db8:1000:7::/64 --ttl 10m >/dev/null || fail "block: $?"
start_exabgp
expect "a source's rule arrives" "10.1.0.1/32 0.0.0.0 no-export rate 0" routes ipv4-flowspec
expect "a /64's rule arrives" "2001:db8:1000:7::/64 :: no-export rate 0" routes ipv6-flowspec
expect "nothing else does" 2 route_count
fg unblock 10.1.0.1 >/dev/null || fail "unblock: $?"
expect "what is unblocked goes" "" routes ipv4-flowspec
fg block 10.1.0.0/24 --ttl 10m >/dev/null || fail "block: $?"
expect "a range is one rule" "10.1.0.0/24 0.0.0.0 no-export rate 0" routes ipv4-flowspec

# SIGTERM: everything is withdrawn, and exabgp starts another one that announces it again.
first=$(cat "$LAB/process.pid")
kill -TERM "$first"
restarted() { [ "$(cat "$LAB/process.pid")" != "$first" ] && [ "$(route_count)" = 2 ]; }
wait_until 20 restarted || fail "exabgp's next process announces $(route_count) of 2"
tells "the end: 3 announced, 3 withdrawn, 0 refused, 0 taken over" || {
	cat "$LAB/process.log"
	fail "the process that ended did not withdraw everything"
}
echo "ok: a process that is ended withdraws, the next one announces"

# SIGKILL: nothing is withdrawn, and what ended meanwhile is not left in the routers.
first=$(cat "$LAB/process.pid")
touch "$LAB/hold"
kill -KILL "$first"
fg unblock 10.1.0.0/24 >/dev/null || fail "unblock: $?"
fg block 10.1.0.7 --ttl 10m >/dev/null || fail "block: $?"
wait_until 20 restarted || fail "a killed process's routes went, or exabgp starts no other"
rm "$LAB/hold"
expect "what a killed process left behind is withdrawn" "10.1.0.7/32 0.0.0.0 no-export rate 0" \
	routes ipv4-flowspec
expect "and what stands, stands" "2001:db8:1000:7::/64 :: no-export rate 0" routes ipv6-flowspec

finish "$EXABGP_PID" TERM
expect "exabgp's end takes all along" 0 route_count
fg unblock 10.1.0.7 >/dev/null && fg unblock 2001:db8:1000:7::/64 >/dev/null || fail "unblock: $?"

# --- S-RTBH -----------------------------------------------------------------------------------

# The agent is away when exabgp starts: its process waits, and does not make exabgp give up.
stop_agent TERM
start_exabgp --bgp rtbh --next-hop $DISCARD4,$DISCARD6 --community 65535:666,64500:13 --max 3
wait_until 10 tells "no agent is serving there" || fail "the missing agent is not told"
start_agent
fg block 10.2.0.1 --ttl 10m >/dev/null && fg block 2001:db8:1000:8::/64 --ttl 10m >/dev/null ||
	fail "block: $?"
expect "S-RTBH of a source" "10.2.0.1/32 $DISCARD4 65535:666 64500:13 no-export" routes ipv4
expect "S-RTBH of a /64" "2001:db8:1000:8::/64 $DISCARD6 65535:666 64500:13 no-export" routes ipv6
tells "the agent answers again" || fail "the agent's return is not told"

fg block 10.2.0.2 --ttl 10m >/dev/null && fg block 10.2.0.3 --ttl 10m >/dev/null || fail "block: $?"
wait_until 15 tells "1 blocks are left out: above the maximum" || fail "what is left out is not told"
expect "the maximum holds" 3 route_count
[ "$(grep -c "left out" "$LAB/process.log")" = 1 ] || fail "what is left out is told again and again"
fg unblock 10.2.0.3 >/dev/null && fg unblock 10.2.0.2 >/dev/null || fail "unblock: $?"
expect "the rest stays" 2 route_count

# --- Without the agent ------------------------------------------------------------------------

fg block 10.2.0.9 --ttl 12s >/dev/null || fail "block: $?"
expect "a short one is announced" 3 route_count
kill -KILL "$AGENT_PID"
wait "$AGENT_PID" 2>/dev/null
wait_until 10 tells "routes stay until their time is up" || fail "the dead agent is not told"
expect "the agent is dead, and only what has ended goes" 2 route_count
AGENT_PID=
start_agent
before=$(all_routes)
wait_until 10 answer_is 2 grep -c "the agent answers again" "$LAB/process.log" ||
	fail "the agent's return is not told"
[ "$(all_routes)" = "$before" ] || fail "a restarted agent changes the routes: $(all_routes)"
grep -c "route removed from" "$LAB/exabgp.log" >"$LAB/removed"
expect "a restarted agent changes nothing" 2 route_count

# --- A peer that comes back gets everything again; exabgp's words are read ----------------------

finish "$PEER_PID" TERM
start_peer
wait_until 60 answer_is 2 route_count || fail "after the peer's restart: $(route_count) of 2"
echo "ok: the peer's restart"
grep -qF "refused '" "$LAB/process.log" && fail "exabgp refused: $(grep refused "$LAB/process.log")"
finish "$EXABGP_PID" TERM
expect "exabgp's end takes all along" 0 route_count
echo "ok: exabgp refused nothing"
