#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The hellos of real TLS clients in many small segments, live: none is lost, counted twice or named
# otherwise than by an independent reader of the capture, and none gets another JA4 or stem than the
# same client's hello in ordinary segments.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_clients.sh"
lab_private "$@"
find_clients
lab_begin
make_network
start_servers
start_agent --attach native
watch_frames
start_capture "$LAB/run.pcap"

# The MSS that the server announces is what clients keep to: ordinary for sources 1 to 8, too small
# for any hello from 101 on. A segment is a frame: none are sent glued together.
ip -n "$CLIENTS" link set veth0 gso_max_segs 1
visit_all 0 "https://$PAGE4/" "https://$PAGE6/"
ip -n "$EDGE" route replace "$SOURCES4" via "$GATE4" advmss 100
ip -n "$EDGE" -6 route replace "$SOURCES6" via "$GATE6" advmss 100
forget_browsers
visit_all 100 "https://$PAGE4/" "https://$PAGE6/" "https://$RETRY4/" "https://$RETRY6/"

read_capture
check_replay
check_live
expect_balance

for name in "${!SOURCE_OF[@]}"; do
	least=$(hellos_of "$name" | awk -F '\t' '$4 { print $5 }' | sort -n | head -n 1)
	[ "$least" -ge 3 ] || fail "$name: a hello in $least segments: the MSS was not kept"
	small=$(hellos_of "$name" | awk -F '\t' '$4 { print $7 }' | sort -u)
	SOURCE_OF[$name]=$((SOURCE_OF[$name] - 100))
	large=$(hellos_of "$name" | awk -F '\t' '$4 { print $7 }' | sort -u)
	[ "$small" = "$large" ] || fail "$name: $large, in small segments $small"
	echo "ok: $name: $small in $least segments and more"
done
end_clients
