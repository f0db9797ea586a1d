#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Proof where the socket table alone cannot give it: a server that answers with SYN cookies, and one
# that lives in another namespace behind this host (a container). Both fall to the handshake seen
# through the egress hook, or to the socket once the kernel has made it.
set -u
. "$(dirname "$0")/lib.sh"
need_programs openssl curl jq ip
lab_private "$@"

R=fg-router-$$ S=fg-server-$$ C=fg-client-$$ WORK=$(mktemp -d)
PIDS=''
cleanup() {
	for pid in $PIDS; do kill "$pid" 2>/dev/null; done
	wait
	for n in $R $S $C; do ip netns del "$n" 2>/dev/null; done
	rm -rf "$WORK"
}
trap cleanup EXIT

for n in $R $S $C; do
	ip netns add "$n"
	ip -n "$n" link set lo up
done
ip link add c0 netns "$C" type veth peer name r0 netns "$R"
ip link add s0 netns "$S" type veth peer name r1 netns "$R"
ip -n "$C" addr add 192.0.2.2/24 dev c0
ip -n "$R" addr add 192.0.2.1/24 dev r0
ip -n "$R" addr add 198.51.100.1/24 dev r1
ip -n "$S" addr add 198.51.100.2/24 dev s0
ip -n "$C" link set c0 up
ip -n "$R" link set r0 up
ip -n "$R" link set r1 up
ip -n "$S" link set s0 up
ip -n "$C" route add default via 192.0.2.1
ip -n "$S" route add default via 198.51.100.1
ip netns exec "$R" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 2 >/proc/sys/net/ipv4/tcp_syncookies'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout "$WORK/key" -out "$WORK/cert" \
	-nodes -subj /CN=example -days 1 2>/dev/null

# The router's own server is bound to its address: a wildcard listener would answer the look-up for
# the other one.
for at in $R:192.0.2.1 $S:198.51.100.2; do
	ip netns exec "${at%%:*}" openssl s_server -quiet -accept "${at#*:}:443" -cert "$WORK/cert" -key "$WORK/key" \
		-www >/dev/null 2>&1 &
	PIDS="$PIDS $!"
done
ip netns exec "$R" "$FG" --socket "$WORK/sock" --state "$WORK/state" run -i r0 2>"$WORK/log" &
PIDS="$PIDS $!"
for _ in $(seq 50); do
	"$FG" --socket "$WORK/sock" status >/dev/null 2>&1 && break
	sleep 0.1
done

ask() { # PATH FILTER
	curl -s --unix-socket "$WORK/sock" "http://localhost/v1/$1" | jq -c "$2"
}

requests() { # ADDRESS
	for _ in 1 2 3 4 5; do
		ip netns exec "$C" curl -sk --max-time 10 -o /dev/null "https://$1/" ||
			fail "no answer from $1"
	done
	sleep 2
}

is() { # WHAT EXPECTED SEEN
	[ "$2" = "$3" ] || { cat "$WORK/log"; fail "$1: $3 instead of $2"; }
	echo "ok: $1: $3"
}

requests 192.0.2.1
is "SYN cookies: connections, proven, hellos" '[5,5,5]' "$(ask status '[.connections,.proven,.hellos]')"
requests 198.51.100.2
is "container: connections, proven, hellos" '[10,10,10]' "$(ask status '[.connections,.proven,.hellos]')"
is "container: no socket here" 5 "$(ask status .events.socket_none)"
is "never a mismatch" 0 "$(ask status .events.socket_mismatch)"
is "proof of the clients' connections" '["handshake"]' "$(ask clients '[.clients[].proof]|unique')"
