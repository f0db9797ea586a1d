#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# TCP Fast Open: hellos that come in a SYN are read when the handshake is proven, whether the server
# takes the SYN's data or refuses it and the client sends it again.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl jq tcpdump
lab_begin
make_network
LISTEN=fastopen=256 start_server
start_agent --attach native
watch_frames
in_edge sysctl -qw net.ipv4.tcp_fastopen=3
in_clients sysctl -qw net.ipv4.tcp_fastopen=1
start_capture "$LAB/run.pcap"

requests() { # COUNT
	local i
	for ((i = 0; i < $1; i++)); do
		in_clients curl -sk --tcp-fastopen --interface 10.7.0.1 "https://$SERVER4/" |
			grep -q hello || fail "request $i got no page"
	done
}

# SYNs of the client with and without payload
syns() {
	tcpdump -nr "$LAB/run.pcap" "src 10.7.0.1 and tcp[tcpflags] & (tcp-syn | tcp-ack) == tcp-syn and
		ip[2:2] - 20 - (tcp[12] >> 4) * 4 $1 0" 2>/dev/null | wc -l
}

requests 10
# from now on the server refuses what comes in a SYN, and the client does not know it yet
in_edge sysctl -qw net.ipv4.tcp_fastopen=0
requests 1
settle
stop_capture
echo "capture: $(syns '>') SYNs with payload, $(syns '==') without"
[ "$(syns '>')" -ge 9 ] || skip "this curl or kernel sends no data in a SYN"
expect "connections, proven, hellos, incomplete" "11 11 11 0" \
	source_row 10.7.0.1 connections proven hellos incomplete
expect "one fingerprint for all of them" "1 11" query fingerprints \
	'[.fingerprints[].hellos] | "\(length) \(add)"'
expect "stashed segments" "$(syns '>')" query status '.events.stashed'
"$FG" ja4 "$LAB/run.pcap" | grep -v '^#' | cut -f 7,9 | sort -u >"$LAB/ja4"
[ "$(cat "$LAB/ja4")" = "$(query fingerprints '.fingerprints[0].ja4')	complete" ] ||
	fail "the capture's JA4: $(cat "$LAB/ja4")"
echo "ok: JA4 of the capture: $(cat "$LAB/ja4")"
expect_balance
