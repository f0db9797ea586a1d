#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A block of one QUIC client, live: source and stem. Its next connection gets no answer, another QUIC
# client and one over TCP behind the same address get theirs, as does the same client elsewhere; behind
# the unblock it is served again. The agent reads the hello when the server has it already, so what is
# dropped is the rest: a wire with a round trip of 100 ms lies between, as it does outside of a lab.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_quic.sh"
. "$(dirname "$0")/lib_delay.sh"
lab_private "$@"
need_programs jq caddy gtlsclient curl openssl
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
lab_begin
make_delayed_network 10 40

start_quic_server

CONF=$LAB/farmgate.yaml
printf 'mode: enforce\nwarmup: 0\nguards: {holdback: 0}\nexports: [xdp]\n' >"$CONF"
start_agent --attach native

# quic_get [OPTION…]: exit 0 where the page came, within $PATIENCE seconds.
PATIENCE=20
quic_get() {
	rm -f "$LAB/got/index.html"
	mkdir -p "$LAB/got"
	in_clients timeout -k 2 $PATIENCE gtlsclient --exit-on-all-streams-close --handshake-timeout=4s \
		--download="$LAB/got" "$@" "$SERVER4" 443 "https://localhost/index.html" \
		>"$LAB/client.log" 2>&1
	grep -q hello "$LAB/got/index.html" 2>/dev/null
}

# The end of the handshake for both of them (RFC 9001 section 4.1.2).
is_confirmed() {
	grep -q "HANDSHAKE_DONE" "$LAB/client.log"
}

# The other client's own list of ciphers makes its stem another one.
other_get() {
	quic_get --ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM
}

tcp_get() {
	in_clients curl -sk --connect-timeout 4 --max-time 8 --resolve "$SNI:443:$SERVER4" \
		"https://$SNI/" >"$LAB/curl.out" 2>&1
	grep -q hello "$LAB/curl.out"
}

# come_from ADDRESS: clients that do not choose come from there.
come_from() {
	ip -n "$CLIENTS" route replace "$SERVER4/32" via $NEAR_PROXY src "$1" ||
		fail "no route from $1"
}

clients_of() { # SOURCE FILTER
	query clients "[.clients[] | select(.source == \$v)] | $2" "$1"
}

counted() {
	query status ".events.$1"
}

NAT=10.1.0.7 ELSEWHERE=10.1.0.8
come_from $NAT
quic_get || fail "gtlsclient before any block: $(tail -n 3 "$LAB/client.log")"
is_confirmed || fail "gtlsclient does not tell that its handshake ended"
expect "its client is seen" "1 quic" clients_of $NAT '"\(length) \(.[0].stack)"'
STEM=$(clients_of $NAT '.[0].stem')
other_get || fail "gtlsclient with other ciphers: $(tail -n 3 "$LAB/client.log")"
expect "that is another client" 2 clients_of $NAT length
tcp_get || fail "curl: $(cat "$LAB/curl.out")"
expect "and so is curl" 3 clients_of $NAT length
come_from $ELSEWHERE
quic_get || fail "gtlsclient from another source: $(tail -n 3 "$LAB/client.log")"
expect "the same client elsewhere" "$STEM" clients_of $ELSEWHERE '.[0].stem'
for event in dropped_client dropped_behind late_block; do
	expect "no block: $event" 0 counted $event
done

come_from $NAT
fg block $NAT --stem "$STEM" --ttl 10m >/dev/null || fail "client block: exit $?"
sleep 0.5
PATIENCE=6 quic_get && fail "the blocked client got its page"
# It has all that the server says to a hello; the server never hears that, and so never confirms.
is_confirmed && fail "the handshake of the blocked client ended"
expect "its hello is counted" 1 counted dropped_client
expect "as one that the server has the beginning of" 1 counted late_block
expect "and what came behind" true counted "dropped_behind > 0"
expect "it is what was dropped" true query status '.accounted.blocked == .events.dropped_behind'
settle
expect "its connection counts as none" 1 clients_of $NAT \
	"map(select(.stem == \"$STEM\"))[0].connections"
BEHIND=$(counted dropped_behind)
other_get || fail "another QUIC client of the address was hit: $(tail -n 3 "$LAB/client.log")"
tcp_get || fail "a client over TCP of the address was hit: $(cat "$LAB/curl.out")"
come_from $ELSEWHERE
quic_get || fail "the same client elsewhere was hit: $(tail -n 3 "$LAB/client.log")"
come_from $NAT
settle
expect "none of them was dropped" "1 $BEHIND" query status \
	'"\(.events.dropped_client) \(.events.dropped_behind)"'
PATIENCE=6 quic_get && fail "the blocked client got its page the second time"
expect "and the second hello" 2 counted dropped_client

fg unblock $NAT >/dev/null || fail "unblock: exit $?"
sleep 0.5
quic_get || fail "not let back in: $(tail -n 3 "$LAB/client.log")"
expect "its connection counts" 2 clients_of $NAT "map(select(.stem == \"$STEM\"))[0].connections"
expect "no third hello" 2 counted dropped_client
settle
expect "frames received = accounted + losses" true query status \
	'([.interfaces[].packets] | add) == (([.accounted[]] | add) + ([.losses[]] | add))'
