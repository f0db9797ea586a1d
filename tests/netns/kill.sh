#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The agent is killed at random moments of a stream of decisions, $FG_KILL_ROUNDS times. While it is dead
# nothing is blocked that has no verdict in the state file, and blocks hold and end by themselves; the
# next one takes the programs over, and gate, firewall and state file say the same.
# `make kill` does it 200 times.
# Runs alone: it takes the whole machine.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl jq bpftool nft python3
ROUNDS=${FG_KILL_ROUNDS:-8}
lab_begin
make_network
start_server
CONF=$LAB/farmgate.yaml
printf 'mode: enforce\nwarmup: 0\nexports: [xdp, nft]\nmemory_mb: 16\n' >"$CONF"
DB=$LAB/state/farmgate.db
PINS=/sys/fs/bpf/farmgate
KILL=$ROOT/tests/netns/kill.py

try() { # SOURCE
	in_clients curl -sk -o /dev/null --connect-timeout 2 --max-time 4 --interface "$1" \
		"https://$SERVER4/"
}

equal() {
	in_edge "$KILL" equal "$DB" "$PINS" "$LAB/standing" >"$LAB/unequal" 2>&1
}

attached() {
	in_edge ip -d link show veth0 | grep -qw 'prog/xdp'
}

# --- Dead, and still blocking -----------------------------------------------------------------
start_agent --attach native
try 10.50.9.1 || fail "curl before any block: $?"
stem() {
	STEM=$(query clients '[.clients[] | select(.source == "10.50.9.1") | .stem][0] // ""')
	[ -n "$STEM" ]
}
wait_until 10 stem || fail "no client is seen"
fg block 10.50.9.1 --ttl 6s >/dev/null || fail "block: exit $?"
fg block 10.50.9.2 --stem "$STEM" --ttl 6s >/dev/null || fail "client block: exit $?"
wait_until 10 equal || fail "$(cat "$LAB/unequal")"
ENDS=$((SECONDS + 7))
stop_agent KILL
# the firewall's table is the other export: the gate alone shall do it
in_edge nft delete table inet farmgate || fail "no nft table"
attached || fail "nothing is attached once the agent is dead"
try 10.50.9.1
[ $? = 28 ] || fail "a blocked source was answered while the agent is dead"
try 10.50.9.2 && fail "a blocked client was answered while the agent is dead"
try 10.50.9.3 || fail "a neighbour was refused while the agent is dead: $?"
echo "ok: blocks hold without an agent"
in_edge "$FG" --config "$CONF" --socket "$LAB/farmgate.sock" doctor veth0 >"$LAB/out"
grep -q "pins .*ago left [12] links in place and . blocks" "$LAB/out" ||
	fail "doctor: $(grep pins "$LAB/out")"
grep -A 1 "^warn *pins" "$LAB/out"
while [ $SECONDS -lt $ENDS ]; do sleep 0.2; done
try 10.50.9.1 || fail "a source is refused behind its block's end: $?"
try 10.50.9.2 || fail "a client is refused behind its block's end: $?"
echo "ok: blocks end without an agent"

# --- Killed amid decisions --------------------------------------------------------------------
MOST=0
begun() {
	[ -s "$LAB/decisions" ]
}
start_agent --attach auto
wait_until 15 equal || fail "after the first restart: $(cat "$LAB/unequal")"
for ((round = 1; round <= ROUNDS; round++)); do
	# the stem is known to the new agent once it has seen a hello of it
	try 10.50.9.4 || fail "round $round: a client is refused: $?"
	rm -f "$LAB/decisions"
	"$KILL" decide "$LAB/farmgate.sock" "$LAB/decisions" $round "$STEM" 2>"$LAB/decide.err" &
	DECIDES=$!
	wait_until 20 begun || fail "round $round: no decision: $(cat "$LAB/decide.err")"
	sleep 0.$((RANDOM % 4))$((RANDOM % 10))$((RANDOM % 10))
	stop_agent KILL
	wait "$DECIDES" || fail "round $round: $(cat "$LAB/decide.err")"
	attached || fail "round $round: nothing is attached"
	in_edge "$KILL" within "$DB" "$PINS" "$LAB/decisions" "$LAB/standing" >"$LAB/out" 2>&1 ||
		fail "round $round, while dead: $(cat "$LAB/out")"
	read -r sources clients _ <"$LAB/out"
	[ $((sources + clients)) -le $MOST ] || MOST=$((sources + clients))
	start_agent --attach auto
	wait_until 15 equal || fail "round $round, after the restart: $(cat "$LAB/unequal")"
done
[ $MOST -gt 20 ] || fail "at most $MOST blocks were held: this test decided nothing"
echo "ok: killed $ROUNDS times, up to $MOST blocks"

# --- And what the commands say is what is there -----------------------------------------------
fg export json >"$LAB/export.json" || fail "export: exit $?"
[ "$(jq length "$LAB/export.json")" = "$(bpftool -j map dump pinned $PINS/fg_drop_sources | jq length)" ] ||
	fail "export and gate differ"
grep -q "tables of an agent before this one go on" "$AGENT_LOG" || fail "nothing was taken over"
# entries that the state does not want are removed at the start, whoever put them there
VALUE_BYTES=$(bpftool -j map show pinned $PINS/fg_drop_sources | jq .bytes_value)
# shellcheck disable=SC2046 # a byte is a word
bpftool map update pinned $PINS/fg_drop_sources key hex 00 00 00 00 00 00 00 00 00 00 ff ff 0a 32 09 09 \
	value hex ff ff ff ff ff ff ff 0f $(yes 00 | head -n $((VALUE_BYTES - 8))) ||
	fail "bpftool cannot write"
stop_agent KILL
try 10.50.9.9
[ $? = 28 ] || fail "this test's own entry blocks nobody"
start_agent --attach auto
wait_until 15 equal || fail "$(cat "$LAB/unequal")"
try 10.50.9.9 || fail "an entry of nobody outlived the restart: $?"
echo "ok: an entry without a verdict is gone with the restart"

# --- Stops ------------------------------------------------------------------------------------
fg block 10.50.9.5 --ttl 10m >/dev/null || fail "block: exit $?"
wait_until 10 equal || fail "$(cat "$LAB/unequal")"
stop_agent TERM
attached && fail "on_stop: detach leaves programs"
[ -z "$(find /sys/fs/bpf -mindepth 1 ! -name '*.debug' -print -quit)" ] || fail "pins are left"
in_edge nft delete table inet farmgate
echo 'on_stop: keep' >>"$CONF"
start_agent --attach auto
wait_until 10 equal || fail "$(cat "$LAB/unequal")"
stop_agent TERM
[ "$AGENT_STATUS" = 0 ] || fail "SIGTERM: exit $AGENT_STATUS"
in_edge nft delete table inet farmgate
try 10.50.9.5
[ $? = 28 ] || fail "on_stop: keep lets a blocked source in"
rm -r "$PINS"
gone() {
	! attached
}
wait_until 10 gone || fail "programs outlive their pins"
try 10.50.9.5 || fail "refused after the pins were removed: $?"
echo "ok: on_stop, and removing the pins detaches"
