#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [xdp]: an operator's block drops the source's SYNs at XDP, a prefix's as well; unblock lets it
# back in. A block with a stem drops that client and no other of the same source, and none of its
# connections that were open before. With drop: reset the client is told at once, in native, generic and
# tc mode.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl jq openssl clang
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

# --- Prefixes ---------------------------------------------------------------------------------

flagged_of() { # SOURCE FIELD
	query "flagged --tier observe" ".flagged[] | select(.source == \$v) | $2" "$1"
}

fg block 10.31.4.0/22 --ttl 10m >/dev/null || fail "prefix block: exit $?"
sleep 0.5
try 10.31.7.255
[ $? = 28 ] || fail "an address of a blocked prefix was answered"
try 10.31.8.0 || fail "the address behind the prefix was hit: $?"
expect "the entry counts" true flagged_of 10.31.4.0/22 '.hits > 0 and .last_hit > 0'
expect "a block that nothing met counts nothing, and is there" "0 null" flagged_of 10.30.0.5 \
	'"\(.hits - .hits) \(if .hits > 0 then null else .last_hit end)"'
expect "explain says so" true query "explain 10.30.0.5" \
	'[.sentences[] | select(test("^The gate dropped [0-9]+ of its hellos, the last at "))] | length == 1'
fg unblock 10.31.4.0/22 >/dev/null || fail "unblock of a prefix: exit $?"
sleep 0.5
try 10.31.7.255 || fail "the prefix was not let back in: $?"
# what the drop map cannot hold is said by name
fg block 2001:db8:1000::1:0/112 --ttl 10m >/dev/null && 
	expect "what it cannot hold is told" true query status \
		'[.degraded[] | select(test("export xdp.* 1 part of an IPv6 /64"))] | length == 1'
echo "ok: prefix block at XDP"

# --- Two clients behind one address -----------------------------------------------------------

NAT=10.30.0.7

curl_once() {
	in_clients curl -sk -o /dev/null --connect-timeout 2 --max-time 4 --interface $NAT \
		"https://$SERVER4/"
}

# openssl_once: exit 0 where the server's answer came back.
openssl_once() {
	printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$SNI" |
		in_clients timeout 4 openssl s_client -quiet -bind $NAT -connect "$SERVER4:443" \
			-servername "$SNI" >"$LAB/openssl" 2>"$LAB/openssl.err"
	grep -q hello "$LAB/openssl"
}

openssl_once || fail "openssl does not get through: $(tail -n 2 "$LAB/openssl.err")"
expect "openssl's client is seen" 1 query clients \
	"[.clients[] | select(.source == \"$NAT\")] | length"
STEM=$(query clients "[.clients[] | select(.source == \"$NAT\") | .stem][0]")
curl_once || fail "curl does not get through: $?"
expect "and curl's beside it" 2 query clients "[.clients[] | select(.source == \"$NAT\")] | length"
# A connection of openssl's that is open behind its handshake, and a request on it.
mkfifo "$LAB/open"
server_has_it() {
	in_edge ss -Htn state established "sport = 443 and dst = $1" | grep -q .
}
open_one() { # SOURCE
	# shellcheck disable=SC2016 # the inner shell expands
	spawn "$CLIENTS" sh -c 'exec openssl s_client -quiet -bind "$1" -connect "$2" -servername "$3" <>"$4"' \
		- "$1" "$SERVER4:443" "$SNI" "$LAB/open" >"$LAB/open.out" 2>"$LAB/open.err"
	wait_until 10 server_has_it "$1" || fail "the open connection is not there"
	wait_until 10 grep -q "verify return" "$LAB/open.err" || fail "its handshake does not end"
}
ask_on_it() {
	printf 'GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$SNI" >"$LAB/open"
}
open_one $NAT
fg block $NAT --stem "$STEM" --ttl 10m >/dev/null || fail "client block: exit $?"
sleep 0.5
openssl_once && fail "the blocked client got through"
curl_once || fail "the other client behind the same address was hit: $?"
ask_on_it
wait_until 10 grep -q hello "$LAB/open.out" || fail "the connection that was open before was cut"
echo "ok: of two clients behind one address one is blocked, and its open connection lives"
expect_balance

# --- drop: reset ------------------------------------------------------------------------------

# code COMMAND…: its exit status.
code() {
	"$@" >"$LAB/code" 2>&1
	echo $?
}

counted() {
	query status ".events.$1"
}

# Blocks are kept in the state: source 10.30.0.8, and openssl behind $NAT.
told_at_once() { # MODE
	stop_agent TERM
	start_agent --attach "$1"
	expect "$1: the mode" "$1" query status '.interfaces[0].attach'
	sleep 1.5
	local began=$SECONDS
	# 7: could not connect, 35: the TLS handshake failed; a time-out is 28, and 4 s
	expect "$1: a blocked source is refused" 7 code try 10.30.0.8
	expect "$1: a blocked prefix is refused" 7 code try 10.32.0.1
	openssl_once && fail "$1: the blocked client got through"
	grep -q "Connection reset by peer\|errno=104" "$LAB/openssl.err" ||
		fail "$1: no reset at the hello: $(cat "$LAB/openssl.err")"
	curl_once || fail "$1: the other client behind the address was hit: $?"
	[ ! -e /proc/net/if_inet6 ] ||
		expect "$1: IPv6 as well" 7 code try6 2001:db8:1000:8::1
	expect "$1: RSTs are counted" true counted 'reset_sent >= 3'
	expect "$1: none failed" 0 counted reset_failed
	echo "ok: $1: told at once ($((SECONDS - began)) s for all of it)"
}

try6() { # SOURCE
	in_clients curl -sk -o /dev/null --connect-timeout 2 --max-time 4 --interface "$1" \
		"https://[$SERVER6]/"
}

printf 'mode: enforce\nwarmup: 0\nexports: [xdp]\ndrop: reset\n' >"$CONF"
for blocked in 10.30.0.8 10.32.0.0/16 2001:db8:1000:8::/64; do
	fg block $blocked --ttl 10m >/dev/null || fail "block $blocked: exit $?"
done
# A veth hands over what XDP_TX of its other end sent only where it runs an XDP program itself.
cat >"$LAB/pass.c" <<-'END'
	#include <linux/bpf.h>
	__attribute__((section("xdp"), used)) int pass(struct xdp_md *ctx) { return XDP_PASS; }
	char terms[] __attribute__((section("license"), used)) = "GPL";
END
clang -O2 -g -target bpf -idirafter "/usr/include/$(gcc -print-multiarch)" -c "$LAB/pass.c" \
	-o "$LAB/pass.o" || fail "the peer's program cannot be built"
in_clients ip link set dev veth0 xdpdrv obj "$LAB/pass.o" sec xdp ||
	fail "the peer's program cannot be attached"
told_at_once native
in_clients ip link set dev veth0 xdpdrv off
told_at_once generic
told_at_once tc
expect_balance_after_reset() {
	frames_at_rest
	expect "frames received = accounted + losses" true query status \
		'([.interfaces[].packets] | add) == (([.accounted[]] | add) + ([.losses[]] | add))'
}
expect_balance_after_reset

# --- established: end -------------------------------------------------------------------------

stop_agent TERM
printf 'mode: enforce\nwarmup: 0\nexports: [xdp]\nestablished: end\n' >"$CONF"
start_agent --attach native
OPEN=10.30.0.20
open_one $OPEN
fg block $OPEN --ttl 10m >/dev/null || fail "block: exit $?"
sleep 0.5
ask_on_it
counted_behind() {
	[ "$(query status '.events.dropped_behind > 0')" = true ]
}
wait_until 10 counted_behind || fail "what was open before its block goes on: dropped_behind is 0"
grep -q hello "$LAB/open.out" && fail "what was open before its block was answered"
try 10.30.0.21 || fail "a neighbour was hit: $?"
echo "ok: told to, a block ends what was open before it"
