# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034
# Sourced after lib.sh by tests that need distance: instead of lib.sh's make_network, a line of three
# namespaces and two long wires (tests/harness/delay.c):
#
#   $CLIENTS near0 ---- d1 ---- near0 $PROXY far0 ---- d2 ---- wire0 $EDGE, the agent, the server
#   198.51.100.1                198.51.100.2 192.0.2.2                192.0.2.1
#
# $PROXY routes, so what clients send to the server straight has a round trip of 2 (d1 + d2), to the
# server's TCP as to its TLS. Where a program in $PROXY ends the clients' TCP and opens another, the
# server's TCP has 2 d2, and its TLS, handed through, still 2 (d1 + d2).
#
# Sources that the server sees: 10.1.0.0/16 are the clients' own, 10.2.0.0/16 the proxy's.

# Frames that wait for a processor are as late as if the wire were longer. Where sessions are groups to
# the scheduler, niceness counts within one only, and each has one of its own (but those that were
# never given one, as everything that init starts without setsid: their file is empty). A host that
# refuses is no failure: a capture that is late for it says so itself (unfit).
renice -n -15 -p $$ >/dev/null || echo "lab: no higher priority here"
if [ "${FG_LAB_PRIVATE:-}" = $$ ]; then
	AUTOGROUP=$(sed -n 's/.* nice //p' /proc/$$/autogroup 2>/dev/null)
	[ -z "$AUTOGROUP" ] || echo -15 >/proc/$$/autogroup || echo "lab: no higher priority here"
fi

NEAR_CLIENT=198.51.100.1 NEAR_PROXY=198.51.100.2
declare -A WIRES=()

# make_delayed_network D1 D2: one-way milliseconds.
make_delayed_network() {
	PROXY=fg-proxy-$$ AGENT_ON=wire0
	ip netns add "$EDGE" && ip netns add "$CLIENTS" || fail "cannot make network namespaces"
	ip -n "$EDGE" link set lo up
	ip -n "$CLIENTS" link set lo up
	add_namespace "$PROXY"
	start_wire near "$CLIENTS" near0 "$PROXY" near0 "$1"
	start_wire far "$PROXY" far0 "$EDGE" wire0 "$2"
	give_address "$CLIENTS" near0 $NEAR_CLIENT "$PROXY" near0 $NEAR_PROXY
	give_address "$PROXY" far0 "$GATE4" "$EDGE" wire0 "$SERVER4"
	in_namespace "$PROXY" sysctl -qw net.ipv4.ip_forward=1
	in_clients sysctl -qw net.ipv4.tcp_tw_reuse=1
	in_namespace "$PROXY" sysctl -qw net.ipv4.tcp_tw_reuse=1
	ip -n "$CLIENTS" route add default via $NEAR_PROXY
	ip -n "$CLIENTS" route add local 10.1.0.0/16 dev lo
	ip -n "$PROXY" route add 10.1.0.0/16 via $NEAR_CLIENT
	ip -n "$PROXY" route add local 10.2.0.0/16 dev lo
	ip -n "$EDGE" route add "$SOURCES4" via "$GATE4"
	# Only so that the server can listen where lib.sh tells it to.
	[ ! -e /proc/net/if_inet6 ] || ip -n "$EDGE" addr add "$SERVER6/128" dev lo nodad
}

# start_wire NAME NAMESPACE INTERFACE NAMESPACE INTERFACE D [OPTION…]
start_wire() {
	mkfifo "$LAB/$1.control"
	spawn "$2" "$DELAY" --end "/run/netns/$2:$3" --end "/run/netns/$4:$5" --hold "$6" \
		--control "$LAB/$1.control" "${@:7}" >"$LAB/$1.wire" 2>&1
	WIRES[$1]=$SPAWNED
	wait_until 10 grep -q ready "$LAB/$1.wire" || fail "wire $1: $(cat "$LAB/$1.wire")"
	# A neighbour that has to be asked for would be asked at the wire's speed, once in a while.
	ip -n "$2" link set "$3" address 02:00:00:00:01:01 up
	ip -n "$4" link set "$5" address 02:00:00:00:01:02 up
}

give_address() { # NAMESPACE INTERFACE ADDRESS NAMESPACE INTERFACE ADDRESS
	ip -n "$1" addr add "$3/24" dev "$2"
	ip -n "$4" addr add "$6/24" dev "$5"
	ip -n "$1" neigh replace "$6" lladdr 02:00:00:00:01:02 nud permanent dev "$2"
	ip -n "$4" neigh replace "$3" lladdr 02:00:00:00:01:01 nud permanent dev "$5"
}

# set_hold NAME MS: one-way; frames under way keep theirs.
set_hold() {
	echo "$2" >"$LAB/$1.control"
	wait_until 5 hold_taken "$1" "$2" || fail "wire $1 did not take a hold of $2 ms"
}

hold_taken() {
	[ "$(tail -n 1 "$LAB/$1.wire")" = "hold $2" ]
}

# wire_counts NAME: ends the wire; what passed it, as JSON.
wire_counts() {
	finish "${WIRES[$1]}" TERM
	tail -n 1 "$LAB/$1.wire"
}
