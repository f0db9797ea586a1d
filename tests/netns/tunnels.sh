#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# TLS inside real tunnels: from a peer that is named in `tunnels` the client inside is the source, proven
# and with its hello; from anybody else nothing that is inside counts.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq openssl curl
lab_begin
make_network
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -subj "/CN=$SNI" \
	-keyout "$LAB/key.pem" -out "$LAB/cert.pem" 2>/dev/null || fail "no certificate"

# tunnel KIND N OPTION…: a device of this kind at both ends, with 172.20.N.1 and .2, and a server there.
tunnel() {
	local kind=$1 n=$2
	shift 2
	ip -n "$EDGE" link add "t$n" type "$@" local "$SERVER4" remote "$GATE4" 2>"$LAB/ip.err" || return
	ip -n "$CLIENTS" link add "t$n" type "$@" local "$GATE4" remote "$SERVER4" || return
	ip -n "$EDGE" addr add "172.20.$n.1/24" dev "t$n"
	ip -n "$CLIENTS" addr add "172.20.$n.2/24" dev "t$n"
	ip -n "$EDGE" link set "t$n" up
	ip -n "$CLIENTS" link set "t$n" up
	spawn "$EDGE" openssl s_server -quiet -www -cert "$LAB/cert.pem" -key "$LAB/key.pem" \
		-accept "172.20.$n.1:443" >/dev/null 2>&1
	wait_until 10 serves "172.20.$n.1" || fail "$kind: the server does not listen"
	MADE+=("$kind $n")
}

serves() {
	in_edge ss -Hltn "sport = 443" | grep -qF "$1"
}

visit() { # N
	in_clients curl -sk --max-time 10 -o "$LAB/page" "https://172.20.$1.1/" && [ -s "$LAB/page" ]
}

MADE=()
tunnel ipip 1 ipip
tunnel gre 2 gre
tunnel gre-with-key 3 gre key 7 csum
tunnel gretap 4 gretap
tunnel vxlan 5 vxlan id 5 dstport 4789
tunnel geneve 6 geneve id 6 2>/dev/null ||
	{ ip -n "$EDGE" link add t6 type geneve id 6 remote "$GATE4" 2>/dev/null &&
		ip -n "$CLIENTS" link add t6 type geneve id 6 remote "$SERVER4" &&
		{
			for side in "$EDGE 1" "$CLIENTS 2"; do
				ip -n "${side% *}" addr add "172.20.6.${side#* }/24" dev t6
				ip -n "${side% *}" link set t6 up
			done
			spawn "$EDGE" openssl s_server -quiet -www -cert "$LAB/cert.pem" \
				-key "$LAB/key.pem" -accept 172.20.6.1:443 >/dev/null 2>&1
			wait_until 10 serves 172.20.6.1 && MADE+=("geneve 6")
		}; }
[ ${#MADE[@]} -gt 0 ] || skip "this kernel makes no tunnels: $(cat "$LAB/ip.err")"
echo "tunnels: ${MADE[*]}"

# Without a peer nothing inside is looked at.
start_agent --attach native
for made in "${MADE[@]}"; do
	visit "${made#* }" || fail "${made% *}: no page"
done
settle
expect "sources, nobody's tunnels are opened" 0 query sources .total
expect "hellos" 0 query status .hellos
stop_agent TERM

# A peer that is not the sender, then the sender.
CONF=$LAB/farmgate.yaml
for peer in 203.0.113.1 "$GATE4"; do
	echo "tunnels: [$peer]" >"$CONF"
	start_agent --attach native
	watch_frames
	for made in "${MADE[@]}"; do
		visit "${made#* }" || fail "${made% *}: no page"
		if [ "$peer" = "$GATE4" ]; then
			expect "${made% *}: connections, proven, hellos of the client inside" "1 1 1" \
				source_row "172.20.${made#* }.2" connections proven hellos
		fi
	done
	settle
	[ "$peer" = "$GATE4" ] || expect "sources, another peer is named" 0 query sources .total
	expect "sources outside" none source_row "$GATE4" connections
	expect_balance
	stop_agent TERM
done
