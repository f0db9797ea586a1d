#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Forged SYNs, hellos, data, FIN and RST segments move the counters of frames and of unproven
# things only: no source row is made, and a proven source's row stays as it is, whether the forger
# uses its address or others. VLAN tags in front of the header are read.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq
lab_begin
make_network
start_server
start_agent --attach native
watch_frames
MAC=$(edge_mac)
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.3.3.3 --per-source 3 || fail "load"

FIELDS="syns connections proven hellos incomplete exchanges bytes_in bytes_out fins rsts"
FORGED=0

forge() { # SOURCES KIND COUNT REPEAT [OPTION…]
	in_clients "$RAWSEND" --iface veth0 --mac "$MAC" --connect "$SERVER4" --sources "$1" --kind "$2" \
		--count "$3" --repeat "$4" "${@:5}" >"$LAB/rawsend.json" || fail "rawsend $2"
	FORGED=$((FORGED + $(jq .frames "$LAB/rawsend.json")))
}

accounted() { # NAME…
	local filter
	filter=$(printf '.accounted.%s,' "$@")
	query status "[${filter%,}] | map(tostring) | join(\" \")"
}

standing() {
	echo "$(query 'sources --limit 1' .total) $(query 'clients --limit 1' .total)" \
		"$(query 'fingerprints --limit 1' .total) $(query 'flagged --tier observe' .total)" \
		"$(source_row 10.3.3.3 $FIELDS)"
}

expect "the real source" "3 3 3" source_row 10.3.3.3 connections proven hellos
settle
BEFORE=$(standing)
SYNS=$(accounted syn)

# Addresses of the clients' own range get SYN-ACKs and answer them with RST; others get nothing.
forge 203.0.113.0/24 syn 200 1
forge 10.3.3.3 syn 1 50 --seed 2
forge 10.3.0.0/16 syn 100 1 --seed 3
forge 203.0.113.0/24 hello 200 2 --seed 4
forge 10.3.3.3 hello 1 60 --seed 5
forge 10.3.3.3 data 1 20 --seed 6
forge 10.3.3.3 ack 1 20 --seed 7
forge 10.3.3.3 fin 1 20 --seed 8
forge 10.3.3.3 rst 1 20 --seed 9
expect "forged SYNs are counted as frames" $((SYNS + 350)) accounted syn
settle
expect "nothing else stands, and the real source is as it was" "$BEFORE" standing

# Tags: one, and two.
forge 203.0.113.0/24 syn 10 1 --seed 10 --vlan 7
forge 203.0.113.0/24 syn 10 1 --seed 11 --vlan 7 --vlan 8
expect "SYNs behind one and two VLAN tags" $((SYNS + 370)) accounted syn
expect "still nothing" "$BEFORE" standing
expect_balance
echo "ok: $FORGED forged frames"
