#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [xdp]: an operator's block drops the source's SYNs at XDP; unblock lets it back in. A
# block with a stem drops that client and no other of the same source.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl jq
lab_begin
make_network
start_server
CONF=$LAB/farmgate.yaml
printf 'mode: enforce\nwarmup: 0\nguards: {holdback: 0}\nexports: [xdp]\n' >"$CONF"
start_agent --attach native
watch_frames

try() { # SOURCE
	in_clients curl -sk -o /dev/null --connect-timeout 2 --max-time 4 --interface "$1" \
		"https://$SERVER4/"
}

load_one() { # SOURCE PROFILE
	in_clients timeout 4 "$TLSLOAD" --connect "$SERVER4:443" --sources "$1" --profile "$2" \
		>/dev/null
}

blocked() {
	query status .accounted.blocked
}

try 10.30.0.1 || fail "curl before any block: $?"
expect "nothing dropped yet" 0 blocked
fg block 10.30.0.1 --ttl 10m >/dev/null || fail "block: exit $?"
sleep 0.5
try 10.30.0.1
[ $? = 28 ] || fail "a blocked source was answered"
try 10.30.0.2 || fail "a neighbour was hit: $?"
expect "dropped frames are counted" true query status '.accounted.blocked > 0'
fg unblock 10.30.0.1 >/dev/null || fail "unblock: exit $?"
sleep 0.5
try 10.30.0.1 || fail "not let back in: $?"
echo "ok: source block at XDP"

load_one 10.30.0.5 openssl || fail "load of profile openssl"
load_one 10.30.0.5 go-like || fail "load of profile go-like"
expect "two clients behind one source" 2 query clients \
	'[.clients[] | select(.source == "10.30.0.5")] | length'
# go-like is the one whose JA4 names h2
STEM=$(query clients '[.clients[] | select(.source == "10.30.0.5") | .stem |
	select(test("h2_"))][0]')
fg block 10.30.0.5 --stem "$STEM" --ttl 10m >/dev/null || fail "client block: exit $?"
sleep 0.5
load_one 10.30.0.5 go-like && fail "the blocked client got through"
load_one 10.30.0.5 openssl || fail "the other client of the same source was hit"
load_one 10.30.0.6 go-like || fail "the same client of another source was hit"
echo "ok: client block leaves its neighbours alone"
fg block 10.30.0.5 --stem "~t13d0000_000000000000_000000000000" >"$LAB/out" 2>&1 &&
	fail "a stem never seen was accepted"
[ -s "$LAB/out" ] || fail "no reason for the refusal"
expect_balance
