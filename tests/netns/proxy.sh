#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A real HAProxy in front that sends PROXY headers, version 1 and 2: its clients are the sources, a block
# of one of them ends that one's hello and the others are served, and it has no row itself. A header of
# anybody else names nobody; a balancer without headers is said.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_exports.sh"
lab_private "$@"
need_programs curl jq haproxy openssl python3 nginx
lab_begin
make_network
LISTEN=proxy_protocol start_server
cat >"$LAB/haproxy.cfg" <<-END
	defaults
	  mode tcp
	  timeout connect 5s
	  timeout client 10s
	  timeout server 10s
	listen version1
	  bind $GATE4:8441
	  bind $GATE6:8441
	  server edge $SERVER4:443 send-proxy
	listen version2
	  bind $GATE4:8442
	  bind $GATE6:8442
	  server edge $SERVER4:443 send-proxy-v2 proxy-v2-options ssl,unique-id,authority
	listen none
	  bind $GATE4:8443
	  server edge $SERVER4:443
END
[ -e /proc/net/if_inet6 ] || sed -i "/bind .*::/d" "$LAB/haproxy.cfg"
spawn "$CLIENTS" haproxy -f "$LAB/haproxy.cfg" -db >"$LAB/haproxy.log" 2>&1
haproxy_listens() {
	in_clients ss -Hltn "sport = 8443" | grep -q "$GATE4"
}
wait_until 10 haproxy_listens || fail "haproxy does not listen: $(tail -n 3 "$LAB/haproxy.log")"

# A SOURCE's request through the balancer's listener on PORT.
through() { # SOURCE PORT
	in_clients curl -sk -o /dev/null --connect-timeout 3 --max-time 5 --interface "$1" \
		"https://${3:-$GATE4}:$2/"
}

load() { # SOURCES PORT PROFILE
	in_clients timeout 6 "$TLSLOAD" --connect "$GATE4:$2" --sources "$1" --profile "$3" >/dev/null
}

# --- Whose connection it is ---------------------------------------------------------------------

CONF=$LAB/farmgate.yaml
printf 'exports: [xdp]\nbalancers: [%s]\n' "$GATE4" >"$CONF"
start_agent --attach native
watch_frames
for n in 1 2 3; do
	through 10.20.0.1 8441 || fail "version 1: curl: $?"
	through 10.20.0.2 8442 || fail "version 2: curl: $?"
done
expect "version 1: connections, proven, hellos" "3 3 3" source_row 10.20.0.1 connections proven hellos
expect "version 2: connections, proven, hellos" "3 3 3" source_row 10.20.0.2 connections proven hellos
if [ -e /proc/net/if_inet6 ]; then
	through 2001:db8:1000:7::5 8441 "[$GATE6]" || fail "version 1, IPv6: curl: $?"
	through 2001:db8:1000:8::5 8442 "[$GATE6]" || fail "version 2, IPv6: curl: $?"
	expect "version 1, IPv6" "1 1 1" source_row 2001:db8:1000:7::/64 connections proven hellos
	expect "version 2, IPv6" "1 1 1" source_row 2001:db8:1000:8::/64 connections proven hellos
fi
expect "the balancer has no row" none source_row "$GATE4" connections
expect "one kind of client, without a stack" "[\"-\"]" query clients '[.clients[].stack] | unique | tojson'
expect "all by their own name" 1 query fingerprints .total
expect "the host knows the balancer's connections" '["socket"]' query clients \
	'[.clients[].proof] | unique | tojson'

# --- Blocks --------------------------------------------------------------------------------------

block 10.20.0.1 10m
sleep 0.5
through 10.20.0.1 8441 && fail "a blocked source was served"
through 10.20.0.2 8441 || fail "its neighbour behind the balancer was hit: $?"
expect "its hello was dropped" true query status '.events.dropped_source > 0'
unblock 10.20.0.1
sleep 0.5
through 10.20.0.1 8441 || fail "not let back in: $?"

load 10.30.0.5 8442 openssl || fail "load of profile openssl"
load 10.30.0.5 8442 go-like || fail "load of profile go-like"
expect "two clients behind one source behind one balancer" 2 query clients \
	'[.clients[] | select(.source == "10.30.0.5")] | length'
STEM=$(query clients '[.clients[] | select(.source == "10.30.0.5") | .stem |
	select(test("h2_"))][0]')
fg block 10.30.0.5 --stem "$STEM" --ttl 10m >/dev/null || fail "client block: exit $?"
sleep 0.5
load 10.30.0.5 8442 go-like && fail "the blocked client got through"
load 10.30.0.5 8442 openssl || fail "the other client of the same source was hit"
load 10.30.0.6 8442 go-like || fail "the same client of another source was hit"
expect "client block behind a balancer" true query status '.events.dropped_client > 0'
fg unblock 10.30.0.5 --stem "$STEM" >/dev/null || fail "unblock of the client: exit $?"
sleep 0.5
load 10.30.0.5 8442 go-like || fail "not let back in"
fg block "$GATE4" --ttl 10m >/dev/null 2>"$LAB/err"
expect "the balancer is exported to nobody" "" fg export plain --tier alert

# --- Headers that are not its own ----------------------------------------------------------------

in_clients python3 - "$SERVER4" <<-'END' || fail "a forged header: the server did not answer"
	import socket, ssl, sys
	s = socket.create_connection((sys.argv[1], 443), source_address=("10.20.0.66", 0))
	s.sendall(b"PROXY TCP4 10.99.99.99 192.0.2.1 40000 443\r\n")
	c = ssl.create_default_context()
	c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
	t = c.wrap_socket(s, server_hostname="localhost")
	t.sendall(b"GET / HTTP/1.0\r\n\r\n")
	assert t.recv(4096)
END
settle
expect "whom a stranger named" none source_row 10.99.99.99 connections
expect "the stranger's own connection" 1 source_row 10.20.0.66 connections
expect "of it a hello is not read" 0 source_row 10.20.0.66 hellos

missing() {
	[ "$(query status .events.proxy_missing)" -ge 110 ]
}
said() {
	fg status --format json | jq -e '.degraded[] | select(test("no PROXY header"))' >/dev/null
}
for n in $(seq 110); do
	in_clients curl -sk -o /dev/null --max-time 2 "https://$GATE4:8443/"
done
wait_until 10 missing || fail "connections without a header: $(query status '.events | tojson')"
wait_until 30 said || fail "nobody says that they are missing: $(query status '.degraded | tojson')"
settle
expect "the balancer still has no row" none source_row "$GATE4" connections
expect_balance
