#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# mode enforce, exports [nft]: a flagged source is in the nft set and its next SYN gets no answer;
# its neighbours go on; unblock lets it back in; allow wins; a flushed ruleset is put back, also where
# somebody made a set of our name with another type; without nft the agent goes on.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_exports.sh"
lab_private "$@"
need_programs curl jq nft
lab_begin
make_network
start_server
CONF=$LAB/farmgate.yaml
printf 'mode: enforce\nwarmup: 0\nguards: {holdback: 0}\nexports: [nft]\n' >"$CONF"
start_agent

try() { # SOURCE
	in_clients curl -sk -o /dev/null --connect-timeout 2 --interface "$1" "https://$SERVER4/"
}

in_set() { # SOURCE
	in_edge nft list set inet farmgate blocked4 2>/dev/null | grep -qw "${1//./[.]}"
}

not_in_set() {
	in_edge nft list set inet farmgate blocked4 >/dev/null 2>&1 && ! in_set "$1"
}

in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.20.0.0/16 --count 200 \
	--per-source 1-2 || fail "ordinary load"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.21.0.7 --per-source 80 ||
	fail "loud load"
wait_until 20 in_set 10.21.0.7 || fail "10.21.0.7 is not in the set:
$(in_edge nft list table inet farmgate 2>&1; fg flagged)"
expect "flagged in tier enforce" enforce query flagged \
	'.flagged[] | select(.source == "10.21.0.7").tier'
try 10.21.0.7 && fail "a blocked source was answered"
[ $? = 28 ] || fail "expected no answer at all (curl 28)"
echo "ok: flagged source gets no answer"
try 10.20.0.1 || fail "a neighbour was hit: curl said $?"

fg unblock 10.21.0.7 --reason "end-to-end test" >/dev/null || fail "unblock: exit $?"
wait_until 10 not_in_set 10.21.0.7 || fail "still in the set after unblock"
try 10.21.0.7 || fail "not let back in: curl said $?"
echo "ok: unblocked source is back"

fg block 10.20.0.9 --ttl 10m --reason "end-to-end test" >/dev/null || fail "block: exit $?"
wait_until 10 in_set 10.20.0.9 || fail "operator's block is not in the set"
try 10.20.0.9
[ $? = 28 ] || fail "operator's block does not hold"
in_edge nft flush ruleset
wait_until 90 in_set 10.20.0.9 || fail "the flushed ruleset was not put back"
echo "ok: flushed ruleset is put back"

in_edge nft delete table inet farmgate
in_edge nft add table inet farmgate
in_edge nft add set inet farmgate blocked4 '{ type ether_addr; }' || fail "cannot make a foreign set"
wait_until 90 in_set 10.20.0.9 || fail "a set of another type was not replaced: $(fg status)"
more_than nft rewrites 1 || fail "the rewrites were not counted"
echo "ok: a set of our name with another type is replaced"

mount --bind /dev/null /usr/sbin/nft || fail "cannot hide nft"
fg block 10.20.0.8 --ttl 10m --reason "end-to-end test" >/dev/null || fail "block: exit $?"
wait_until 20 export_is nft failing true || fail "without nft nothing fails"
fg status >"$LAB/status"
[ $? = 3 ] || fail "status does not exit with 3 without nft"
grep -q '^degraded .*export nft fails: nft does not start' "$LAB/status" ||
	fail "status does not say so: $(cat "$LAB/status")"
umount /usr/sbin/nft
wait_until 90 in_set 10.20.0.8 || fail "it was not tried again"
wait_until 10 export_is nft failing false || fail "it is still said to fail"
echo "ok: without nft the agent goes on, and writes all of it later"

fg allow 10.20.0.9 >/dev/null || fail "allow: exit $?"
wait_until 10 not_in_set 10.20.0.9 || fail "allow did not win over a standing block"
fg block 10.20.0.9 >"$LAB/refused" 2>&1 && fail "an allowed source could be blocked"
fg disallow 10.20.0.9 >/dev/null || fail "disallow: exit $?"
fg block 2001:db8:1000:7::/64 --ttl 10m >/dev/null || fail "block of a /64: exit $?"
in_set6() {
	in_edge nft list set inet farmgate blocked6 | grep -q "2001:db8:1000:7::"
}
wait_until 10 in_set6 || fail "the /64 is not in the set"
in_clients curl -sk -o /dev/null --connect-timeout 2 --interface 2001:db8:1000:7::5 \
	"https://[$SERVER6]/"
[ $? = 28 ] || fail "an address inside a blocked /64 was answered"
echo "ok: allow wins; IPv6 /64"
