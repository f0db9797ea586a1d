#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What an operator gets wrong gives one line on stderr that names the thing, the right exit code,
# and leaves nothing attached.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq bpftool setpriv
lab_begin
make_network

# refused WHAT EXIT PATTERN COMMAND…
refused() {
	local what=$1 want=$2 pattern=$3 got
	shift 3
	timeout -k 2 20 "$@" >"$LAB/out" 2>"$LAB/err" </dev/null
	got=$?
	[ $got = "$want" ] || fail "$what: exit $got instead of $want: $(cat "$LAB/err")"
	# How far a start came is said before; what went wrong is one line.
	sed -i '/^farmgate: info: /d' "$LAB/err"
	[ "$(wc -l <"$LAB/err")" = 1 ] || fail "$what: not one line: $(cat "$LAB/err")"
	grep -q "^farmgate: .*$pattern" "$LAB/err" || fail "$what: no '$pattern' in: $(cat "$LAB/err")"
	echo "ok: $what: $(cat "$LAB/err")"
}

attached() {
	in_edge bpftool -j net show dev veth0 | jq '[.[] | .[] | select(type == "array")[]] | length'
}

NET=(nsenter "--net=/run/netns/$EDGE" --)
RUN=("${NET[@]}" "$FG" --socket "$LAB/other.sock" --state "$LAB/other" run)
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all)

refused "no such interface" 1 nosuch0 "${RUN[@]}" -i nosuch0
refused "one of two interfaces is missing" 1 nosuch0 "${RUN[@]}" -i veth0,nosuch0
refused "interface name that can't be" 1 averyveryverylongname "${RUN[@]}" -i averyveryverylongname
refused "no interface" 2 "" "${RUN[@]}"
refused "port 0" 2 "0" "${RUN[@]}" -i veth0 --protect 0
refused "port 65536" 2 65536 "${RUN[@]}" -i veth0 --protect 443,65536
refused "no such role" 2 guard "${RUN[@]}" -i veth0 --role guard
refused "no such attach mode" 2 fast "${RUN[@]}" -i veth0 --attach fast
refused "no such option" 2 frobnicate "${RUN[@]}" -i veth0 --frobnicate
mkdir -m 777 "$LAB/nobody"
chmod 755 "$LAB"
refused "no privilege" 1 "" "${NET[@]}" "${NOBODY[@]}" "$FG" --socket "$LAB/nobody/s" \
	--state "$LAB/nobody/state" run -i veth0

printf 'mode: observe\ncolour: red\n' >"$LAB/bad.yaml"
refused "unknown key" 1 "bad.yaml:2.*colour" "${NET[@]}" "$FG" --config "$LAB/bad.yaml" \
	--socket "$LAB/other.sock" --state "$LAB/other" run -i veth0
printf 'mode: [observe\n' >"$LAB/broken.yaml"
refused "broken YAML" 1 "broken.yaml" "${NET[@]}" "$FG" --config "$LAB/broken.yaml" \
	--socket "$LAB/other.sock" --state "$LAB/other" run -i veth0
refused "configuration that is not there" 1 "absent.yaml" "${NET[@]}" "$FG" \
	--config "$LAB/absent.yaml" --socket "$LAB/other.sock" --state "$LAB/other" run -i veth0

printf '192.0.2.0/24\t1\tcastle\tDE\n' >"$LAB/networks"
printf 'asn:\n  file: %s\n' "$LAB/networks" >"$LAB/asn.yaml"
refused "table of networks without a good line" 1 "networks:1: the class" "${NET[@]}" "$FG" \
	--config "$LAB/asn.yaml" --socket "$LAB/other.sock" --state "$LAB/other" run -i veth0
refused "the same, asked before" 1 "networks:1: the class" "$FG" check-config "$LAB/asn.yaml"

mkdir "$LAB/full"
mount -t tmpfs -o size=16k farmgate-lab "$LAB/full" || fail "cannot mount a small tmpfs"
head -c 16384 /dev/zero >"$LAB/full/filler" 2>/dev/null
refused "full disk" 1 "$LAB/full" "${NET[@]}" "$FG" --socket "$LAB/other.sock" \
	--state "$LAB/full/state" run -i veth0
umount "$LAB/full"

head -c 3000 /dev/urandom >"$LAB/noise.pcap"
refused "not a capture" 1 noise.pcap "$FG" replay "$LAB/noise.pcap"
refused "capture that is not there" 1 absent.pcap "$FG" replay "$LAB/absent.pcap"
refused "no agent" 1 "$LAB/absent.sock" "$FG" --socket "$LAB/absent.sock" status
[ "$(attached)" = 0 ] || fail "something was left attached"

start_agent
BEFORE=$(attached)
refused "another agent has the pins" 1 "another agent has /sys/fs/bpf/farmgate" "${RUN[@]}" -i veth0
printf 'pins: /sys/fs/bpf/other\n' >"$LAB/other.yaml"
refused "another XDP program is there" 1 veth0 "${NET[@]}" "$FG" --config "$LAB/other.yaml" \
	--socket "$LAB/other.sock" --state "$LAB/other" run -i veth0
[ ! -e /sys/fs/bpf/other ] || fail "an agent that did not start leaves pins"
refused "socket is served by a live agent" 1 "$LAB/farmgate.sock" "${NET[@]}" "$FG" \
	--socket "$LAB/farmgate.sock" --state "$LAB/other" run -i lo
[ "$(attached)" = "$BEFORE" ] || fail "the running agent's programs were touched"
fg status >/dev/null || [ $? = 3 ] || fail "the running agent no longer answers"
refused "source that is no address" 2 "10.0.0" "$FG" --socket "$LAB/farmgate.sock" block 10.0.0
refused "TTL beyond a day" 2 "25h" "$FG" --socket "$LAB/farmgate.sock" block 10.0.0.1 --ttl 25h
stop_agent TERM

# A state that is not ours, or no good, keeps nobody from starting, and is said.
degraded() { # PATTERN
	query status '[.degraded[] | select(test($v))] | length > 0' "$1"
}
fg_block() { # SOURCE
	fg block "$1" --ttl 10m >/dev/null || fail "block $1: exit $?"
}
start_agent
fg_block 10.77.0.1
stop_agent TERM
printf 'a%.0s' {1..32} >"$LAB/state/instance"
start_agent
expect "another instance's state is said" true degraded "another instance.s and is now .*foreign-"
expect "and nothing of it is taken over" 0 query flagged '.flagged | length'
[ -s "$LAB"/state/farmgate.db.foreign-???????? ] || fail "it is gone"
fg_block 10.77.0.2
stop_agent TERM
# its last page is cut off
truncate -s -4096 "$LAB/state/farmgate.db"
start_agent
expect "a damaged state is said" true degraded "was damaged and is now .*damaged"
expect "and read as far as it goes" 10.77.0.2 query flagged '[.flagged[].source] | join(",")'
stop_agent TERM
# Where nothing can be pinned the agent runs, and says so.
printf 'pins: %s/pins\n' "$LAB" >"$LAB/unpinned.yaml"
CONF=$LAB/unpinned.yaml start_agent
expect "no bpf file system is said" true degraded "nothing is pinned, .* lies on no bpf file system"
stop_agent KILL
[ "$(attached)" = 0 ] || fail "unpinned programs outlive the agent"
rm -f "$LAB/farmgate.sock"
: >"$LAB/farmgate.sock"
refused "something else in the socket's place" 1 "$LAB/farmgate.sock" "${NET[@]}" "$FG" \
	--socket "$LAB/farmgate.sock" --state "$LAB/other" run -i veth0
[ "$(attached)" = 0 ] || fail "something was left attached"
