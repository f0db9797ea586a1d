#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Verdicts, and what is known of sources, outlive the agent, whether it is stopped or killed. A stop
# leaves nothing attached, pinned or listening.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq bpftool
lab_begin
make_network
start_server

attached() {
	in_edge bpftool -j net show dev veth0 | jq '[.[] | .[] | select(type == "array")[]] | length'
}

nothing_left() {
	local what=$1
	in_edge ip -d link show veth0 | grep -qw 'prog/xdp' && fail "$what: XDP program still attached"
	[ "$(attached)" = 0 ] || fail "$what: still attached: $(in_edge bpftool net show dev veth0)"
	[ -z "$(in_edge tc filter show dev veth0 egress)$(in_edge tc filter show dev veth0 ingress)" ] ||
		fail "$what: tc filters are left"
	[ -z "$(find /sys/fs/bpf -mindepth 1 ! -name '*.debug' -print -quit)" ] || fail "$what: pins are left"
	[ ! -e "$LAB/farmgate.sock" ] || fail "$what: socket is left"
	echo "ok: $what: nothing left"
}

verdicts() {
	query "flagged --tier observe" '[.flagged[] | "\(.source) \(.tier) \(.first_flagged)"] | sort |
		join(",")'
}

[ "$(attached)" = 0 ] || fail "something is attached before we start"
start_agent
[ "$(attached)" != 0 ] || fail "this test cannot see what is attached"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.40.0.0/16 --count 200 \
	--per-source 1-2 || fail "ordinary load"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.41.0.7 --per-source 80 ||
	fail "loud load"
fg block 10.40.0.1 --ttl 2h --reason "end-to-end test" >/dev/null || fail "block: exit $?"
fg allow 10.42.0.0/16 >/dev/null || fail "allow: exit $?"
expect "flagged" true query flagged '[.flagged[].source] | index("10.41.0.7") != null'
BEFORE=$(verdicts)

stop_agent TERM
[ "$AGENT_STATUS" = 0 ] || fail "SIGTERM: exit $AGENT_STATUS"
nothing_left "after SIGTERM"
start_agent
expect "verdicts after a restart" "$BEFORE" verdicts
expect "a source after a restart" "80 80" source_row 10.41.0.7 connections proven
fg block 10.42.0.1 >/dev/null 2>&1 && fail "the allowlist was forgotten"
echo "ok: allowlist after a restart"
stop_agent INT
[ "$AGENT_STATUS" = 0 ] || fail "SIGINT: exit $AGENT_STATUS"
nothing_left "after SIGINT"

start_agent
stop_agent KILL
start_agent
expect "verdicts after SIGKILL" "$BEFORE" verdicts
expect "a source after SIGKILL" "80 80" source_row 10.41.0.7 connections proven
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.43.0.1 --per-source 2 || fail "load"
expect "and it counts again" "2 2" source_row 10.43.0.1 connections proven
stop_agent TERM
nothing_left "after a stop that followed a kill"
