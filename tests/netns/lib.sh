# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2034
# Sourced by the end-to-end tests and by scripts/quickstart: two network namespaces, `edge` with a
# real TLS server and the agent, and `clients` with as many source addresses as one likes.
#
# Owns: namespaces, server, agent, and taking all of it away again. The caller's whole work happens
# in a mount namespace of its own, with its own /run/netns and /sys/fs/bpf: whatever way the script
# ends, nothing stays behind, and pins of an agent that runs on this host are out of reach.
# Every process started here is ended by its pid.
#
# Bash. Expects: set -u. Gives: $EDGE $CLIENTS (namespace names), $LAB (scratch folder), $FG.

PATH=$PATH:/usr/sbin:/sbin
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
OUT=${OUT:-.out}
case $OUT in /*) ;; *) OUT=$ROOT/$OUT ;; esac
FG=${FG:-$OUT/farmgate}
TLSLOAD=$OUT/tests/tlsload
RAWSEND=$OUT/tests/rawsend
DELAY=$OUT/tests/delay

SERVER4=192.0.2.1 GATE4=192.0.2.2
SERVER6=2001:db8:ff::1 GATE6=2001:db8:ff::2
SOURCES4=10.0.0.0/8 SOURCES6=2001:db8:1000::/36
SNI=api.example.com

skip() {
	echo "$*"
	exit 77
}

# The reason comes last: the end of a log is what gets read.
fail() {
	if [ -s "${AGENT_LOG:-}" ]; then
		echo "--- agent's log" >&2
		tail -n 30 "$AGENT_LOG" >&2
	fi
	echo "FAILED: $*" >&2
	exit 1
}

# What the test stands on was not built as it should be: nothing can be said of the agent.
unfit() {
	echo "UNFIT: $*" >&2
	exit 75
}

need_programs() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "needs $program: scripts/deps test installs it"
	done
}

# --- Namespaces -------------------------------------------------------------------------------

# Call first, with "$@": starts the calling script again in a mount namespace of its own.
lab_private() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	# The pid stays the same through exec: a variable inherited from elsewhere is no mark.
	[ "${FG_LAB_PRIVATE:-}" = $$ ] && return
	mkdir -p /run/netns
	FG_LAB_PRIVATE=$$ exec unshare --mount --propagation private "$0" "$@"
}

lab_begin() {
	LAB=$(mktemp -d "${TMPDIR:-/tmp}/farmgate-lab.XXXXXX") || exit 1
	PIDS=() AGENT_PID='' AGENT_LOG=$LAB/agent.log
	EDGE=fg-edge-$$ CLIENTS=fg-clients-$$
	NAMESPACES=("$EDGE" "$CLIENTS")
	trap lab_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mount -t tmpfs -o mode=755 farmgate-lab /run/netns &&
		mount -t bpf farmgate-lab /sys/fs/bpf ||
		fail "cannot mount a private /run/netns and /sys/fs/bpf"
}

lab_end() {
	local status=$? pid ns
	[ -z "${AUTOGROUP:-}" ] || echo "$AUTOGROUP" >/proc/$$/autogroup
	trap - EXIT INT TERM HUP
	stop_agent TERM
	for pid in "${PIDS[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${PIDS[@]}"; do
		wait "$pid" 2>/dev/null
	done
	for ns in "${NAMESPACES[@]}"; do
		ip netns del "$ns" 2>/dev/null
	done
	umount /sys/fs/bpf /run/netns 2>/dev/null
	umount "$LAB"/full 2>/dev/null
	rm -rf "$LAB"
	exit "$status"
}

# in_edge COMMAND…, in_clients COMMAND…: the mount namespace stays, so pins and /sys stay visible.
in_edge() {
	nsenter --net="/run/netns/$EDGE" -- "$@"
}

in_clients() {
	nsenter --net="/run/netns/$CLIENTS" -- "$@"
}

# in_namespace NAMESPACE COMMAND…: any other one; add_namespace NAMESPACE…: until lab_end.
in_namespace() {
	nsenter --net="/run/netns/$1" -- "${@:2}"
}

add_namespace() {
	local ns
	for ns; do
		ip netns add "$ns" && NAMESPACES+=("$ns") || fail "cannot make a network namespace"
		ip -n "$ns" link set lo up
	done
}

# spawn NAMESPACE COMMAND…: in the background until lab_end; SPAWNED is the command's own pid. Shells
# without job control start background commands deaf to SIGINT: undone.
spawn() {
	nsenter --net="/run/netns/$1" -- env --default-signal=INT,QUIT "${@:2}" &
	SPAWNED=$!
	PIDS+=("$SPAWNED")
}

# Ends what spawn started and waits for it; sets STATUS.
finish() { # PID SIGNAL
	local pid kept=()
	kill -"$2" "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	STATUS=$?
	for pid in "${PIDS[@]}"; do
		[ "$pid" = "$1" ] || kept+=("$pid")
	done
	PIDS=("${kept[@]}")
}

# start_capture FILE [NAMESPACE INTERFACE]: what passes there, else the clients' end, on port 443.
# stop_capture: the file is whole.
start_capture() {
	spawn "${2:-$CLIENTS}" tcpdump -U -s 0 -i "${3:-veth0}" -w "$1" "tcp port 443" \
		2>"$LAB/tcpdump.log"
	CAPTURE_PID=$SPAWNED
	wait_until 10 grep -q "listening on" "$LAB/tcpdump.log" || fail "tcpdump did not start"
}

stop_capture() {
	finish "$CAPTURE_PID" INT
}

# Both namespaces, joined by veth. Every address of $SOURCES4 and $SOURCES6 is the clients' own
# (a local route instead of thousands of addresses), the edge routes them back there.
make_network() {
	local ns
	ip netns add "$EDGE" && ip netns add "$CLIENTS" || fail "cannot make network namespaces"
	ip link add veth0 netns "$EDGE" numrxqueues 2 numtxqueues 2 type veth \
		peer name veth0 netns "$CLIENTS" || fail "cannot make a veth pair"
	for ns in "$EDGE" "$CLIENTS"; do
		ip -n "$ns" link set lo up
		ip -n "$ns" link set veth0 up
	done
	ip -n "$EDGE" addr add "$SERVER4/24" dev veth0
	ip -n "$CLIENTS" addr add "$GATE4/24" dev veth0
	ip -n "$EDGE" route add "$SOURCES4" via "$GATE4"
	ip -n "$CLIENTS" route add local "$SOURCES4" dev lo
	# Port reuse: a source that comes back must not meet its own TIME_WAIT.
	in_clients sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range="1024 65000"
	[ -e /proc/net/if_inet6 ] || return 0
	ip -n "$EDGE" addr add "$SERVER6/64" dev veth0 nodad
	ip -n "$CLIENTS" addr add "$GATE6/64" dev veth0 nodad
	ip -n "$EDGE" -6 route add "$SOURCES6" via "$GATE6"
	ip -n "$CLIENTS" -6 route add local "$SOURCES6" dev lo
	# Unlike IPv4, a local route alone does not let IPv6 sockets bind.
	in_clients sysctl -qw net.ipv6.ip_nonlocal_bind=1
}

edge_mac() {
	in_edge ip -o link show veth0 | sed 's/.*link\/ether \([0-9a-f:]*\).*/\1/'
}

# --- TLS server -------------------------------------------------------------------------------

# Certificate and a real server on port 443 of the edge, both families; $LISTEN adds to its options,
# $HTTP_MORE lines to the http block.
start_server() {
	need_programs nginx openssl
	mkdir "$LAB/www"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$SNI" \
		-keyout "$LAB/www/key.pem" -out "$LAB/www/cert.pem" 2>/dev/null ||
		fail "openssl cannot make a certificate"
	cat >"$LAB/www/nginx.conf" <<-END
		user root;
		daemon off;
		worker_processes 2;
		pid $LAB/www/pid;
		error_log $LAB/www/error.log;
		events { worker_connections 8192; }
		http {
			access_log off;
			client_body_temp_path $LAB/www/body;
			proxy_temp_path $LAB/www/proxy;
			fastcgi_temp_path $LAB/www/fastcgi;
			uwsgi_temp_path $LAB/www/uwsgi;
			scgi_temp_path $LAB/www/scgi;
			server {
				listen $SERVER4:443 ssl backlog=4096 ${LISTEN:-};
				listen [$SERVER6]:443 ssl backlog=4096 ${LISTEN:-};
				ssl_certificate $LAB/www/cert.pem;
				ssl_certificate_key $LAB/www/key.pem;
				location / { default_type text/html; return 200 "<p>hello</p>\n"; }
			}
			${HTTP_MORE:-}
		}
	END
	[ -e /proc/net/if_inet6 ] || sed -i '/listen \[/d' "$LAB/www/nginx.conf"
	spawn "$EDGE" nginx -e "$LAB/www/error.log" -p "$LAB/www" -c "$LAB/www/nginx.conf" \
		>"$LAB/www/out" 2>&1
	wait_until 10 server_listens || fail "nginx does not listen: $(tail -n 3 "$LAB/www/error.log")"
}

server_listens() {
	in_edge ss -Hltn "sport = 443" | grep -q "$SERVER4"
}

# --- Agent ------------------------------------------------------------------------------------

# fg COMMAND…: the command line against the lab's agent.
fg() {
	"$FG" --socket "$LAB/farmgate.sock" --state "$LAB/state" "$@"
}

# start_agent [OPTION…] [-- GLOBAL…]: farmgate run on the edge's veth. $CONF names a configuration
# where set; $AGENT_ON other interfaces.
start_agent() {
	spawn "$EDGE" "$FG" --socket "$LAB/farmgate.sock" --state "$LAB/state" \
		${CONF:+--config "$CONF"} run -i "${AGENT_ON:-veth0}" "$@" >>"$AGENT_LOG" 2>&1
	AGENT_PID=$SPAWNED
	wait_until 20 agent_answers_or_gone
	agent_answers || fail "the agent did not start"
}

agent_answers() {
	fg status --format json >"$LAB/status.json" 2>/dev/null || [ $? = 3 ]
}

agent_answers_or_gone() {
	! kill -0 "$AGENT_PID" 2>/dev/null || agent_answers
}

# stop_agent SIGNAL: waits; sets AGENT_STATUS.
stop_agent() {
	[ -n "$AGENT_PID" ] || return 0
	finish "$AGENT_PID" "$1"
	AGENT_STATUS=$STATUS
	AGENT_PID=
}

# --- Waiting and comparing --------------------------------------------------------------------

# wait_until SECONDS COMMAND…: polls; how long it took is nobody's business.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# query COMMAND JQ-FILTER [VALUE]: one value of the agent's answer; $v is VALUE.
query() {
	# shellcheck disable=SC2086 # the command may hold words
	fg $1 --format json >"$LAB/answer.json" 2>"$LAB/answer.err" || [ $? = 3 ] || {
		# Runs in a subshell: what is wrong becomes the value that nobody expects.
		cat "$LAB/answer.err"
		return 1
	}
	jq -r --arg v "${3:-}" "$2" "$LAB/answer.json"
}

# source_row SOURCE FIELD…: its counters, blank between them; "none" where it has no row.
source_row() {
	local source=$1 filter
	shift
	filter=$(printf '.%s,' "$@")
	query "sources --limit 1000000" \
		".sources | map(select(.source == \$v)) | if length == 0 then \"none\" else
		 .[0] | [${filter%,}] | map(tostring) | join(\" \") end" "$source"
}

answer_is() {
	local want=$1
	shift
	[ "$("$@")" = "$want" ]
}

# expect WHAT WANT COMMAND…: the command must print WANT, at the latest some epochs from now.
expect() {
	local what=$1 want=$2
	shift 2
	wait_until 15 answer_is "$want" "$@" || fail "$what: expected '$want', got '$("$@")'"
	echo "ok: $what: $want"
}

# Counts settle when an epoch has passed without traffic: waits until two answers are equal.
settle() {
	local last now=
	for _ in $(seq 20); do
		last=$now
		now=$(query status '[.accounted, .losses] | tostring')
		[ "$now" = "$last" ] && return
		sleep 1.3
	done
	fail "counters do not come to rest"
}

# Frames that the clients' end of the cable sent, as its driver counts them.
clients_sent() {
	ip -n "$CLIENTS" -s -j link show veth0 | jq '.[0].stats64.tx.packets'
}

# Sets SENT and RECEIVED, once two epochs have passed without a frame: an idle IPv6 link still says
# a word now and then, and what was sent since the last epoch is not in the answer yet.
frames_at_rest() {
	local last now=
	for _ in $(seq 20); do
		last=$now
		now="$(clients_sent) $(query status '[.interfaces[].packets] | add')"
		if [ "$now" = "$last" ]; then
			SENT=${now% *}
			RECEIVED=${now#* }
			return
		fi
		sleep 2.2
	done
	fail "frames do not come to rest"
}

# Call before the traffic: what was sent before the agent could see it.
watch_frames() {
	frames_at_rest
	SENT_BEFORE=$((SENT - RECEIVED))
}

# Every frame sent to the interface is received and is either accounted for or a named loss.
expect_balance() {
	frames_at_rest
	expect "frames received, of those sent" $((SENT - SENT_BEFORE)) echo "$RECEIVED"
	expect "frames received = accounted + losses" true query status \
		'([.interfaces[].packets] | add) == (([.accounted[]] | add) + ([.losses[]] | add))'
}
