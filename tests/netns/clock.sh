#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The wall clock is set while blocks stand: who counts a block down by another clock is told its end
# anew, so that all end when their verdict does. The agent's own clock is set, by libfaketime; the
# kernel, nft and ipset keep theirs.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl jq nft ipset bpftool faketime
FAKE=$(find /usr/lib -name libfaketimeMT.so.1 -print -quit)
[ -n "$FAKE" ] || fail "no libfaketime"
lab_begin
make_network
start_server
CONF=$LAB/farmgate.yaml
printf 'mode: enforce\nwarmup: 0\nexports: [xdp, nft, ipset]\nmemory_mb: 16\npins: /sys/fs/bpf/farmgate\n' >"$CONF"

try() { # SOURCE
	in_clients curl -sk -o /dev/null --connect-timeout 1 --max-time 4 --interface "$1" \
		"https://$SERVER4/"
}

set_clock() { # seconds from the host's
	echo "$1" >"$LAB/clock.new"
	mv "$LAB/clock.new" "$LAB/clock"
}

# Seconds that are left of the block of $1, as its holder counts them.
left_nft() {
	in_edge nft -j list set inet farmgate blocked4 |
		jq --arg a "$1" '[.nftables[].set?.elem[]?.elem | select(.val == $a) | .expires][0]'
}
left_ipset() {
	in_edge ipset list farmgate4 | awk -v a="$1" '$1 == a { print $3 }'
}
left_xdp() {
	local raw now
	raw=$(bpftool -j map dump pinned /sys/fs/bpf/farmgate/fg_drop_sources) || return
	now=$(bpftool -j map dump pinned /sys/fs/bpf/farmgate/fg_meta) || return
	python3 - "$1" "$raw" "$now" <<-'END'
	import ipaddress, json, sys
	want = ipaddress.ip_address("::ffff:" + sys.argv[1]).packed
	meta = json.loads(sys.argv[3])[0]["formatted"]["value"]
	for row in json.loads(sys.argv[2]):
	    row = row["formatted"]
	    if bytes(row["key"]["addr"]) == want:
	        ticks = row["value"]["until_ticks"] - meta["heartbeat_ticks"]
	        print(int(ticks * meta["tick_ns"] / 1e9))
	END
}

# Do all of them end the block of $1 in $2 to $3 seconds?
ends_in() {
	local holder left
	for holder in nft ipset xdp; do
		left=$("left_$holder" "$1")
		[ "${left:-null}" != null ] && [ "$left" -ge "$2" ] && [ "$left" -le "$3" ] || {
			echo "$holder: $left s left of $1" >"$LAB/left"
			return 1
		}
	done
}

nowhere() {
	local holder left
	for holder in nft ipset xdp; do
		left=$("left_$holder" "$1")
		[ "${left:-null}" = null ] || {
			echo "$holder: still $left s of $1" >"$LAB/left"
			return 1
		}
	done
}

set_clock +0
export LD_PRELOAD=$FAKE FAKETIME_TIMESTAMP_FILE=$LAB/clock FAKETIME_NO_CACHE=1 \
	FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
start_agent --attach native
unset LD_PRELOAD
fg block 10.50.9.1 --ttl 10m >/dev/null || fail "block: exit $?"
fg block 10.50.9.2 --ttl 30m >/dev/null || fail "block: exit $?"
wait_until 10 ends_in 10.50.9.1 570 605 || fail "as blocked: $(cat "$LAB/left")"

set_clock +300
wait_until 15 ends_in 10.50.9.1 200 305 || fail "set forwards by 5 min: $(cat "$LAB/left")"
wait_until 15 ends_in 10.50.9.2 1400 1505 || fail "set forwards by 5 min: $(cat "$LAB/left")"
grep -q "the clock was set forwards by 300.0 s: blocks get their ends anew" "$AGENT_LOG" ||
	fail "the log does not say it"
echo "ok: set forwards, blocks end sooner"

# The verdict is over at once: so is the block, though its holders had five minutes more.
set_clock +700
wait_until 15 nowhere 10.50.9.1 || fail "set behind the end: $(cat "$LAB/left")"
try 10.50.9.1 || fail "refused behind the block's end: $?"
try 10.50.9.2 && fail "the other block is gone as well"
echo "ok: set behind its end, a block is gone"

set_clock +100
wait_until 15 ends_in 10.50.9.2 1600 1705 || fail "set back by 10 min: $(cat "$LAB/left")"
grep -q "the clock was set back by 600.0 s: blocks get their ends anew" "$AGENT_LOG" ||
	fail "the log does not say it"
nowhere 10.50.9.1 || fail "a block that had ended is back: $(cat "$LAB/left")"
echo "ok: set back, blocks last as long as their verdicts"
