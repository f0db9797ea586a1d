#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# How far away TCP's other end is, and how far TLS's: real clients go to a server straight, through
# proxies that hand their TLS through (SOCKS5, HTTP CONNECT), through a tunnel with address
# translation, and through a gateway that ends their TLS, over wires of known length. First what a
# capture at the server says is held against the wires, then what the agent says against the capture.
#
#   direct    routed                                                   not relayed
#   socks     microsocks: the server's TCP ends at the proxy           relayed
#   connect   tinyproxy: the same                                      relayed
#   tunnel    VXLAN to the proxy's host, masqueraded there: a VPN      not relayed: TCP is the client's
#   inspect   nginx ends TCP and TLS, and opens both anew              not relayed: both are the gateway's
#
# With CAPTURE=DIR the captures stay there, one a scenario and pair of distances.
# Runs alone: it measures times.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_clients.sh"
. "$(dirname "$0")/lib_delay.sh"
lab_private "$@"
need_programs curl openssl jq tcpdump nft nginx microsocks tinyproxy go "$PYTHON"

SCENARIOS="direct socks connect tunnel inspect"
# d1 d2, one-way
DISTANCES=("20 5" "20 20" "50 5" "50 20")
TIMES=${TIMES:-5}

# server_of SCENARIO: each has an address of the server, so that routes tell them apart;
# source_of SCENARIO N: what the server sees at the Nth distance.
server_of() {
	case $1 in
	direct) echo 192.0.2.11 ;;
	socks) echo 192.0.2.12 ;;
	connect) echo 192.0.2.13 ;;
	tunnel) echo 192.0.2.14 ;;
	inspect) echo 192.0.2.15 ;;
	esac
}

source_of() {
	case $1 in
	direct) echo "10.1.$2.1" ;;
	socks) echo "10.2.$2.2" ;;
	connect) echo "10.2.$2.3" ;;
	tunnel) echo "10.2.$2.4" ;;
	inspect) echo "10.2.$2.5" ;;
	esac
}

# --- The far side -----------------------------------------------------------------------------

start_far_server() {
	local scenario
	HTTP_MORE="keepalive_timeout 0; server {"
	for scenario in $SCENARIOS; do
		ip -n "$EDGE" addr add "$(server_of "$scenario")/24" dev wire0
		HTTP_MORE+=" listen $(server_of "$scenario"):443 ssl;"
	done
	HTTP_MORE+="
		ssl_certificate $LAB/www/cert.pem;
		ssl_certificate_key $LAB/www/key.pem;
		ssl_protocols TLSv1.2 TLSv1.3;
		location / { return 200 '<p>hello</p>'; }
	}"
	start_server
}

# --- The proxy's host -------------------------------------------------------------------------

# One of each for every distance, so that the server sees an address of its own.
start_proxies() {
	local n servers=''
	for n in "${!DISTANCES[@]}"; do
		spawn "$PROXY" microsocks -i $NEAR_PROXY -p "108$n" -b "$(source_of socks "$n")" \
			>"$LAB/socks$n.log" 2>&1
		cat >"$LAB/tinyproxy$n.conf" <<-END
			Listen $NEAR_PROXY
			Port 888$n
			Bind $(source_of connect "$n")
			Timeout 60
			MaxClients 50
			ConnectPort 443
		END
		spawn "$PROXY" tinyproxy -d -c "$LAB/tinyproxy$n.conf" >"$LAB/connect$n.log" 2>&1
		servers+="
			server {
				listen $NEAR_PROXY:844$n ssl;
				ssl_certificate $LAB/www/cert.pem;
				ssl_certificate_key $LAB/www/key.pem;
				location / {
					proxy_pass https://$(server_of inspect);
					proxy_bind $(source_of inspect "$n");
					proxy_ssl_name $SNI;
					proxy_ssl_server_name on;
					proxy_ssl_session_reuse off;
				}
			}"
	done
	mkdir "$LAB/gateway"
	cat >"$LAB/gateway/nginx.conf" <<-END
		user root;
		daemon off;
		pid $LAB/gateway/pid;
		events { }
		http {
			access_log off;
			client_body_temp_path $LAB/gateway/body;
			proxy_temp_path $LAB/gateway/proxy;
			fastcgi_temp_path $LAB/gateway/fastcgi;
			uwsgi_temp_path $LAB/gateway/uwsgi;
			scgi_temp_path $LAB/gateway/scgi;
			$servers
		}
	END
	spawn "$PROXY" nginx -e "$LAB/gateway/error.log" -p "$LAB/gateway" \
		-c "$LAB/gateway/nginx.conf" >"$LAB/gateway/out" 2>&1
	wait_until 10 proxies_listen || fail "proxies: $(in_namespace "$PROXY" ss -Hltn)"
}

proxies_listen() {
	[ "$(in_namespace "$PROXY" ss -Hltn src $NEAR_PROXY | wc -l)" = $((3 * ${#DISTANCES[@]})) ]
}

# The tunnel between client and proxy's host; what comes out of it gets the proxy's address, and what
# goes to the gateway's server is turned to the gateway without the client's knowing.
make_tunnel() {
	local n rules=''
	ip -n "$CLIENTS" link add tun0 type vxlan id 7 local $NEAR_CLIENT remote $NEAR_PROXY \
		dstport 4789 || skip "this kernel has no VXLAN"
	ip -n "$PROXY" link add tun0 type vxlan id 7 local $NEAR_PROXY remote $NEAR_CLIENT dstport 4789
	ip -n "$CLIENTS" link set tun0 address 02:00:00:00:01:01 up
	ip -n "$PROXY" link set tun0 address 02:00:00:00:01:02 up
	give_address "$CLIENTS" tun0 10.3.255.1 "$PROXY" tun0 10.3.255.2
	ip -n "$CLIENTS" route add local 10.3.0.0/16 dev lo
	ip -n "$PROXY" route add 10.3.0.0/16 dev tun0 via 10.3.255.1
	for n in "${!DISTANCES[@]}"; do
		rules+="
			add rule ip lab post ip saddr 10.3.$n.1 snat to $(source_of tunnel "$n")
			add rule ip lab pre ip saddr 10.1.$n.5 ip daddr $(server_of inspect) tcp dport 443 \
				dnat to $NEAR_PROXY:844$n"
	done
	in_namespace "$PROXY" nft -f - <<-END || skip "this kernel has no address translation"
		add table ip lab
		add chain ip lab pre { type nat hook prerouting priority dstnat; }
		add chain ip lab post { type nat hook postrouting priority srcnat; }
		$rules
	END
}

# --- Clients ----------------------------------------------------------------------------------

# Own address at the Nth distance, by route: most programs cannot be told one.
come_from_here() {
	ip -n "$CLIENTS" route replace "$(server_of direct)" via $NEAR_PROXY src "10.1.$1.1"
	ip -n "$CLIENTS" route replace "$(server_of inspect)" via $NEAR_PROXY src "10.1.$1.5"
	ip -n "$CLIENTS" route replace "$(server_of tunnel)" via 10.3.255.2 src "10.3.$1.1"
}

# connect_CLIENT ADDRESS PROXY-URL: one connection after the other.
connect_curl() {
	local i
	for ((i = 0; i < TIMES; i++)); do
		in_clients curl -sSk --max-time 10 ${2:+--proxy "$2"} --connect-to "$SNI:443:$1:443" \
			"${@:3}" "https://$SNI/" || return
	done
}

connect_curl12() {
	connect_curl "$1" "$2" --tls-max 1.2
}

connect_openssl() {
	local i
	for ((i = 0; i < TIMES; i++)); do
		printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$SNI" |
			in_clients timeout 10 openssl s_client -ign_eof -connect "$1:443" -servername "$SNI" \
				${2:+-proxy "${2#*//}"} || return
	done
}

connect_go() {
	local i urls=()
	for ((i = 0; i < TIMES; i++)); do
		urls+=("https://$1/")
	done
	SERVER_NAME=$SNI HTTPS_PROXY=$2 client_go "${urls[@]}"
}

# Every client in one scenario at the Nth distance. openssl knows no SOCKS.
run_scenario() { # SCENARIO N
	local client proxy=''
	case $1 in
	socks) proxy=socks5://$NEAR_PROXY:108$2 ;;
	connect) proxy=http://$NEAR_PROXY:888$2 ;;
	esac
	for client in curl curl12 openssl go; do
		[ "$1 $client" = "socks openssl" ] && continue
		connect_$client "$(server_of "$1")" "$proxy" >"$LAB/$1.$client.$2" 2>&1 || {
			echo "$1, $client: $(tail -n 3 "$LAB/$1.$client.$2")"
			return 1
		}
	done
}

# --- What the agent says ----------------------------------------------------------------------

# The capture alone tells the same connections.
expect_replay() {
	local told kept
	kept=$(awk -F '\t' '{ clients[$1 $7]; sources[$1] }
		END { print NR, NR, length(sources), length(clients) }' "$LAB/hellos")
	told=$("$FG" replay "$LAB/run.pcap" --format json |
		jq -r '"\(.connections) \(.hellos) \(.sources) \(.clients)"')
	[ "$told" = "$kept" ] || fail "replay: connections hellos sources clients: $told, not $kept"
	echo "ok: replay: connections hellos sources clients: $told"
}

# The agent's answer against the truth. Sets COMPARED.
compare() { # WHAT CLIENTS.json
	"$PYTHON" "$ROOT/tests/netns/relay.py" "$LAB/plan" "$LAB/rounds" "$LAB/hellos" "${2:-}"
	COMPARED=$?
	case $COMPARED in
	0) echo "ok: $1" ;;
	75) unfit "the wires are not as long as they were built" ;;
	77) ;;
	*) fail "$1" ;;
	esac
}

keep_captures() { # DIR
	local source scenario d1 d2
	mkdir -p "$1" || fail "CAPTURE=$1"
	while read -r source scenario d1 d2; do
		tcpdump -Z root -r "$LAB/run.pcap" -w "$1/relay-$scenario-$d1-$d2.pcap" \
			host "$source" 2>/dev/null || fail "CAPTURE=$1: $source"
	done <"$LAB/plan"
	cp "$LAB/plan" "$LAB/rounds" "$LAB/hellos" "$1" || fail "CAPTURE=$1"
	echo "captures, and what is true of them, are in $1"
}

lab_begin
make_delayed_network 0 0
start_far_server
start_proxies
make_tunnel
build_go || fail "go does not build its client"
start_agent
start_capture "$LAB/run.pcap" "$EDGE" wire0

for n in "${!DISTANCES[@]}"; do
	read -r d1 d2 <<<"${DISTANCES[n]}"
	set_hold near "$d1"
	set_hold far "$d2"
	come_from_here "$n"
	running=()
	for scenario in $SCENARIOS; do
		echo "$(source_of "$scenario" "$n") $scenario $d1 $d2" >>"$LAB/plan"
		run_scenario "$scenario" "$n" &
		running+=($!)
	done
	for pid in "${running[@]}"; do
		wait "$pid" || fail "a client got no answer"
	done
done
settle
stop_capture
grep -q "^0 packets dropped" "$LAB/tcpdump.log" || fail "capture: $(tail -n 3 "$LAB/tcpdump.log")"
"$PYTHON" "$ROOT/tests/netns/rounds.py" "$LAB/run.pcap" >"$LAB/rounds" || fail "rounds.py"
"$PYTHON" "$ROOT/tests/netns/hellos.py" "$LAB/run.pcap" >"$LAB/hellos" || fail "hellos.py"
[ -z "${CAPTURE:-}" ] || keep_captures "$CAPTURE"
fg clients --limit 100000 --format json >"$LAB/clients.json" || fail "clients: exit $?"

expect_replay
compare "the agent's signals are those of the wires" "$LAB/clients.json"
for wire in near far; do
	echo "$wire wire: $(wire_counts $wire)"
done
[ "$COMPARED" != 77 ] || skip "skipped: wires and capture agree; \`clients\` has no signals"
