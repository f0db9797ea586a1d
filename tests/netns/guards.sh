#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Guards: an allow file that is missing at the start holds automatic blocks; a flagged source that is
# written into it while the agent runs is out of the nft set within two seconds; a bad line keeps the old
# list and is said with file and line; two automatic blocks above a cap of one trip it, and status says so
# with exit code 3.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq nft
lab_begin
make_network
start_server
CONF=$LAB/farmgate.yaml ALLOW=$LAB/allow.txt
printf 'mode: enforce\nwarmup: 0\nexports: [nft]\nallow_files: [%s]\nguards: {holdback: 0, max_blocks: 1}\n' \
	"$ALLOW" >"$CONF"
"$FG" check-config "$CONF" >"$LAB/out" 2>&1 && fail "check-config takes a missing allow file"
grep -q "$ALLOW: No such file" "$LAB/out" || fail "check-config: $(cat "$LAB/out")"
start_agent

in_set() { # SOURCE
	in_edge nft list set inet farmgate blocked4 2>/dev/null | grep -qw "${1//./[.]}"
}

not_in_set() {
	in_edge nft list set inet farmgate blocked4 >/dev/null 2>&1 && ! in_set "$1"
}

put_allow() { # LINE…
	printf '%s\n' "$@" >"$ALLOW.new" && mv "$ALLOW.new" "$ALLOW"
}

held_by() { # SOURCE
	query flagged '.flagged[] | select(.source == $v) | .held // "nothing"' "$1"
}

degraded_with() { # TEXT
	fg status >"$LAB/status.txt" 2>&1
	[ $? = 3 ] && grep -qF "$1" "$LAB/status.txt"
}

in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.20.0.0/16 --count 200 \
	--per-source 1-2 || fail "ordinary load"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.21.0.7 --per-source 80 ||
	fail "loud load"
expect "flagged, and held for want of the allow file" allow_files held_by 10.21.0.7
degraded_with "nothing automatic is blocked until it is right" ||
	fail "not degraded: $(cat "$LAB/status.txt")"
put_allow "# nobody yet"
wait_until 40 in_set 10.21.0.7 || fail "10.21.0.7 is not in the set: $(fg flagged --format json)"
fg export plain --dry-run >"$LAB/dry" || fail "dry run: exit $?"
grep -q "^address 10.21.0.7 until .* by detector .*: hits 1 known sources" "$LAB/dry" ||
	fail "dry run: $(cat "$LAB/dry")"
fg explain 10.21.0.7 | grep -q "It would be blocked as a source" || fail "explain: $(fg explain 10.21.0.7)"
echo "ok: blocked once the allow file is there, and told before"

put_allow "10.21.0.0/24 penetration test"
wait_until 2 not_in_set 10.21.0.7 || fail "still blocked two seconds after it was allowed"
echo "ok: allowed within two seconds"
expect "held by" allowed held_by 10.21.0.7
expect "with the reason of the line" "allowlisted: allow file allow.txt: penetration test" \
	query flagged '.flagged[] | select(.source == "10.21.0.7").reason'
fg block 10.21.0.0/16 >"$LAB/out" 2>&1 && fail "an allowed prefix could be blocked"
grep -q "allow file allow.txt: penetration test" "$LAB/out" || fail "refusal: $(cat "$LAB/out")"
put_allow "10.21.0.0/24" "10.22.0.0/8"
wait_until 5 degraded_with "$ALLOW:2: '10.22.0.0/8' is no address" ||
	fail "a bad line is not said: $(cat "$LAB/status.txt")"
not_in_set 10.21.0.7 || fail "a bad line took the old list away"
rm "$ALLOW"
wait_until 5 degraded_with "$ALLOW: No such file or directory; its old list stays" ||
	fail "a vanished file is not said: $(cat "$LAB/status.txt")"
put_allow "# nobody"
wait_until 10 answer_is 0 query status '.degraded | map(select(test("allow file"))) | length' ||
	fail "the fault stays: $(fg status)"
echo "ok: a bad line and a vanished file keep the old list"

# a tier that was lowered rises again a minute after nothing speaks against it any more
sleep 61
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.20.0.0/16 --count 200 \
	--per-source 1-2 || fail "ordinary load again"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.21.0.7 --per-source 80 ||
	fail "loud load again"
wait_until 20 in_set 10.21.0.7 || fail "not blocked again: $(fg flagged --format json)"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.21.0.8 --per-source 80 ||
	fail "second loud load"
wait_until 20 degraded_with "2 were wished, and guards.max_blocks is 1" ||
	fail "not tripped: $(fg status --format json)"
expect "all automatic blocks are held" max_blocks held_by 10.21.0.7
wait_until 5 not_in_set 10.21.0.7 || fail "tripped, and still in the set"
expect "status has it" true query status '.tripped and .guards.max_blocks == 2'
fg block 10.20.0.9 --ttl 10m >/dev/null || fail "block: exit $?"
wait_until 10 in_set 10.20.0.9 || fail "an operator's block was held"
echo "ok: a cap of one trips at two; the operator's own block leaves"
