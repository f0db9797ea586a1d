#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# doctor names what is wrong with an interface and with what a running agent sees, with the cure,
# and ends with 3; it changes nothing.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq
lab_begin
make_network
start_server

# doctor IF: sets STATUS; its answer is in $LAB/doctor.json
doctor() {
	in_edge "$FG" --socket "$LAB/farmgate.sock" doctor "$@" --format json >"$LAB/doctor.json"
	STATUS=$?
}

level_of() { # CHECK
	jq -r --arg c "$1" '[.checks[] | select(.check == $c).level] | unique | join(",")' \
		"$LAB/doctor.json"
}

doctor veth0
[ "$(level_of veth0)" = ok ] || fail "a plain veth: $(cat "$LAB/doctor.json")"
echo "ok: a plain veth is fine"
doctor nosuch0
[ "$STATUS $(level_of nosuch0)" = "3 fail" ] || fail "exit $STATUS: $(cat "$LAB/doctor.json")"
jq -e '[.checks[] | select(.level != "ok") | .cure | length > 0] | all' "$LAB/doctor.json" \
	>/dev/null || fail "a finding without a cure: $(cat "$LAB/doctor.json")"
echo "ok: an interface that is not there"
ip -n "$EDGE" link set veth0 down
doctor veth0
[ "$STATUS" = 3 ] || fail "an interface that is down: exit $STATUS"
ip -n "$EDGE" link set veth0 up
ip -n "$EDGE" route replace "$SOURCES4" via "$GATE4"
echo "ok: an interface that is down"
in_edge setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
	"$FG" --socket "$LAB/farmgate.sock" doctor veth0 --format json >"$LAB/doctor.json"
[ "$? $(level_of CAP_BPF)" = "3 fail" ] || fail "without privilege: $(cat "$LAB/doctor.json")"
echo "ok: no privilege"

start_agent
doctor veth0
[ "$(level_of veth0)" = ok ] || fail "our own program is taken for another's: $(cat "$LAB/doctor.json")"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.9.9.9 --per-source 1200 --requests 0 \
	--reset || fail "load"
balancer_named() {
	doctor veth0
	[ "$STATUS" = 3 ] && jq -r '.checks[] | select(.check == "agent").text' "$LAB/doctor.json" |
		grep -q balancer
}
wait_until 30 balancer_named || fail "one source makes every connection, and nobody says so:
$(cat "$LAB/doctor.json")"
echo "ok: all sources are one balancer"
