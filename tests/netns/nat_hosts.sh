#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# How many hosts are behind one address: 1, 3 and 10 namespaces behind address translation, a real
# client making several connections in each.
#
# All namespaces share one kernel and its clock. So that they are hosts, each is told to send the bare
# clock, and its wire moves that to another time: what systems send that draw an offset when they
# start. Then what this kernel does of itself (since 6.18 or so the offset depends on the ports too:
# no two connections have the same), hosts that surely begin anew with each connection (from another
# private address each), hosts of both sorts, and hosts without timestamps.
# Runs alone: it measures times.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_delay.sh"
lab_private "$@"
need_programs curl jq nft nginx openssl python3 tcpdump

PYTHON=/usr/bin/python3
TIMES=6
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

# Hosts 1 to 10, each on a wire of its own; ports say whose a translated connection is.
make_hosts() {
	local n ns
	in_clients sysctl -qw net.ipv4.ip_forward=1
	for n in $(seq 10); do
		ns=fg-host$n-$$
		add_namespace "$ns"
		start_wire "host$n" "$ns" wire0 "$CLIENTS" "host$n" 0 \
			--clock $((n * 2654435761 % 4294967296))
		give_address "$ns" wire0 "172.16.$n.1" "$CLIENTS" "host$n" "172.16.$n.254"
		ip -n "$ns" route add default via "172.16.$n.254"
	done
}

# hide_behind ADDRESS: everything from the bridge has that address from now on.
hide_behind() {
	in_clients nft -f - <<-END || skip "this kernel has no address translation"
		table ip lab
		delete table ip lab
		table ip lab {
			chain post {
				type nat hook postrouting priority srcnat;
				ip saddr 172.16.0.0/16 oifname veth0 snat to $1
			}
		}
	END
}

# host_connects N keep|new|kernel|none: one connection after the other, now and then.
host_connects() {
	local i port ns=fg-host$1-$$ from=172.16.$1.1 timestamps=1
	case $2 in
	keep) timestamps=2 ;;
	none) timestamps=0 ;;
	esac
	in_namespace "$ns" sysctl -qw net.ipv4.tcp_timestamps=$timestamps
	for ((i = 0; i < TIMES; i++)); do
		if [ "$2" = new ]; then
			from=172.16.$1.$((i + 2))
			ip -n "$ns" addr replace "$from/24" dev wire0
		fi
		# Private addresses that drew the same port would have it translated to a stranger's.
		port=$((20000 + $1 * 1000 + i * 100))
		in_namespace "$ns" curl -sSk --max-time 10 --interface "$from" \
			--local-port "$port-$((port + 99))" --connect-to "$SNI:443:$SERVER4:443" "https://$SNI/" || return
		sleep "0.$((RANDOM % 4 + 1))"
	done
}

# try SOURCE HOSTS KIND: see nat_hosts.py.
try() {
	local n kind running=()
	hide_behind "$1"
	for n in $(seq "$2"); do
		kind=$3
		if [ "$3" = mixed ]; then
			[ "$n" -gt 3 ] && kind=new || kind=keep
		fi
		host_connects "$n" "$kind" >"$LAB/client$n.log" 2>&1 &
		running+=($!)
	done
	for n in "${running[@]}"; do
		wait "$n" || fail "a host got no answer: $(tail -qn 1 "$LAB"/client*.log)"
	done
	echo "$1 $2 $3" >>"$LAB/plan"
}

explain_all() {
	local source
	mkdir "$LAB/explained"
	while read -r source _; do
		fg explain "$source" --format json >"$LAB/explained/$source.json" ||
			fail "explain $source: $(cat "$LAB/explained/$source.json")"
	done <"$LAB/plan"
}

lab_begin
make_network
make_hosts
start_server
start_agent
start_capture "$LAB/run.pcap"
try 10.40.1.1 1 keep
try 10.40.3.1 3 keep
try 10.40.10.1 10 keep
try 10.41.1.1 1 kernel
try 10.41.3.1 3 kernel
try 10.42.1.1 1 new
try 10.42.5.1 5 mixed
try 10.43.3.1 3 none
settle
stop_capture
"$PYTHON" "$ROOT/tests/netns/rounds.py" "$LAB/run.pcap" >"$LAB/rounds" || fail "rounds.py"
explain_all
while read -r source hosts _; do
	expect "$source: connections" $((hosts * TIMES)) source_row "$source" connections
done <"$LAB/plan"
"$PYTHON" "$ROOT/tests/netns/nat_hosts.py" "$LAB/plan" "$LAB/rounds" "$LAB/explained"
case $? in
0) echo "ok: the agent tells the hosts behind each address" ;;
75) unfit "the hosts are not as they were built" ;;
77) skip "skipped: capture and hosts agree; \`explain\` tells no hosts" ;;
*) fail "hosts behind an address" ;;
esac
