#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The lab of scripts/quickstart, smaller: it counts what its clients did, flags its farm and nobody
# else, and leaves nothing behind, whether it ends by itself or by ^C. Bad arguments are refused.
# Runs alone: it takes the whole machine.
set -u
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip "needs root"
need_programs jq nginx openssl setpriv
# Its own temporary folder, so that what it leaves there can be told from others'.
WORK=$(mktemp -d "${TMPDIR:-/tmp}/farmgate-test.XXXXXX") || exit 1
trap 'rm -rf "$WORK"' EXIT
export ORDINARY=200 ORDINARY6=40 FARM=20 ORDINARY_RATE=0 ORDINARY6_RATE=0 FARM_RATE=300
unset OUT FG

left_behind() {
	ls -A "$WORK/tmp" 2>/dev/null
	pgrep -af "$WORK/tmp" || true
}

run() { # COMMAND…: output in $WORK/out
	mkdir -p "$WORK/tmp"
	TMPDIR=$WORK/tmp timeout -k 5 120 "$@" >"$WORK/out" 2>&1 </dev/null
}

run "$ROOT/scripts/quickstart" || fail "exit $?
$(tail -n 20 "$WORK/out")"
grep -q "^flagged  *20 of the farm's 20 sources, 0 others" "$WORK/out" ||
	fail "$(tail -n 20 "$WORK/out")"
DID=$(sed -n 's/^the clients did  *\([0-9]*\) connections from \([0-9]*\) sources.*/\1 \2/p' "$WORK/out")
SAW=$(sed -n 's/^the agent counted  *\([0-9]*\) connections, .*from \([0-9]*\) sources.*/\1 \2/p' \
	"$WORK/out")
[ -n "$DID" ] && [ "$DID" = "$SAW" ] || fail "clients did '$DID', agent saw '$SAW'"
[ -z "$(left_behind)" ] || fail "left behind: $(left_behind)"
echo "ok: the lab: $SAW; 20 of 20 flagged; nothing left"

mkdir -p "$WORK/tmp"
# what the first run wrote is no progress of the second
: >"$WORK/out"
FARM_RATE=10 TMPDIR=$WORK/tmp setsid env --default-signal=INT "$ROOT/scripts/quickstart" --keep \
	>"$WORK/out" 2>&1 </dev/null &
LAB_PID=$!
wait_until 60 grep -q "^[1-9][0-9]* s.*packets [1-9]" "$WORK/out" ||
	fail "no progress: $(cat "$WORK/out")"
# A terminal sends ^C to the whole group.
kill -INT -- "-$LAB_PID"
wait "$LAB_PID"
STATUS=$?
[ $STATUS = 130 ] || fail "^C: exit $STATUS: $(tail -n 5 "$WORK/out")"
[ -z "$(left_behind)" ] || fail "left behind after ^C: $(left_behind)"
echo "ok: ^C leaves nothing"

refused() { # WHAT EXIT PATTERN COMMAND…
	run "${@:4}"
	local got=$?
	[ $got = "$2" ] && grep -q "$3" "$WORK/out" || fail "$1: exit $got: $(cat "$WORK/out")"
	echo "ok: $1: $(head -n 1 "$WORK/out")"
}
refused "no such interface" 1 "nosuch0: no such interface" "$ROOT/scripts/quickstart" nosuch0
refused "no such option" 2 "usage: sudo scripts/quickstart" "$ROOT/scripts/quickstart" --fast
chmod 755 "$WORK"
refused "not root" 1 "needs root" setpriv --reuid=65534 --regid=65534 --clear-groups \
	bash "$ROOT/scripts/quickstart"
