#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The application feed: what an application tells of its accounts finds a farm of thirty that nothing
# else would, and it is answered what stands against a connection that it has open, of the farm and of
# others. What is wrong is refused by name; where the socket cannot be made the agent says why.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
PYTHON=/usr/bin/python3
need_programs jq "$PYTHON"
lab_begin
make_network
start_server
FEED=$LAB/feed/feed.sock
CONF=$LAB/farmgate.yaml

# A start that must fail: CONFIGURATION MESSAGE
refused() {
	printf '%s\n' "$1" >"$CONF"
	in_edge timeout 20 "$FG" --socket "$LAB/farmgate.sock" --state "$LAB/state" --config "$CONF" \
		run -i veth0 >"$LAB/out" 2>&1
	[ $? = 1 ] || fail "started with '$1'"
	grep -qF "$2" "$LAB/out" || fail "no reason for '$1': $(cat "$LAB/out")"
	echo "ok: refused: $2"
}
touch "$LAB/file"
refused "feed: {socket: $LAB/file}" "farmgate: $LAB/file: is there and is no socket"
refused "feed: {socket: $FEED, group: no-such-group}" "no group 'no-such-group' on this host"
refused "feed: {socket: $LAB/farmgate.sock}" "give another feed.socket"

printf 'feed: {socket: %s, group: daemon}\n' "$FEED" >"$CONF"
start_agent
[ "$(stat -c '%a %G' "$FEED")" = "660 daemon" ] || fail "the socket: $(stat -c '%a %G' "$FEED")"
echo "ok: the socket is for its group only"
expect "status shows an idle feed" "0 0 0" query status \
	'"\(.feed.lines) \(.feed.accounts) \(.feed.pairs)"'

in_clients "$PYTHON" "$ROOT/tests/netns/feed.py" "$FEED" "$SERVER4" 100 >"$LAB/feed.out" ||
	fail "feed.py: $(tail -n 3 "$LAB/feed.out")"
answer() {
	tail -n 1 "$LAB/feed.out" | jq -r "$@"
}

expect "an open connection of the farm" "alert known a" answer \
	'.farm | "\(.tier) \(.client) \(.cohort[:1])"'
expect "an ordinary one" "observe known null null" answer \
	'.ordinary | "\(.tier) \(.client) \(.evidence) \(.cohort)"'
expect "one that is not there" "observe unknown" answer '.gone | "\(.tier) \(.client)"'
expect "what is wrong is named" "no JSON object,server: missing,client,account,outcome,result" \
	answer '.wrong | map(if startswith("server: m") then .[:15] else split(":")[0] end) | join(",")'

expect "messages, lookups and refusals are all the lines" true query status \
	'.feed | .lines == .messages + .lookups + ([.refused[]] | add)'
expect "every message counted" "$(answer .told)" query status .feed.messages
expect "of known clients" 1 query status .feed.client_unknown
expect "refused by name" "1 1 1 1 1 1" query status \
	'.feed.refused | "\(.json) \(.missing) \(.client) \(.account) \(.outcome) \(.unknown)"'
expect "accounts, clients, pairs" "110 104 320" query status \
	'.feed | "\(.accounts) \(.clients) \(.pairs)"'

flagged() {
	query "flagged --limit 1000" '.flagged[].source' | LC_ALL=C sort
}
exits() {
	for n in 1 2 3 4 5 6 7 8; do
		printf "10.$n.0.%s\n" 1 2 3
	done | LC_ALL=C sort
}
expect "flagged are the exits, all and only they" "$(exits)" flagged
expect "by one community, for what their accounts do" "1 accounts_together accounts_young true" \
	query flagged '"\([.flagged[].cohort] | unique | length) \(
	 [.flagged[].evidence[].name] | unique | join(" ")) \([.flagged[].score >= 13.8] | all)"'
SOURCE=$(answer .farm.evidence)
fg explain "$SOURCE" >"$LAB/explain" || fail "explain $SOURCE: exit $?"
grep -q "flagged for the accounts on it" "$LAB/explain" || fail "explain: $(cat "$LAB/explain")"
fg status >"$LAB/out" || [ $? = 3 ] || fail "status"
grep -q "accounts   110 on 104 clients, 320 pairs" "$LAB/out" || fail "status: $(cat "$LAB/out")"
stop_agent TERM
[ -s "$LAB/state/farmgate.db" ] || fail "no state"
grep -rqai "$(answer '.digits[:16]')\|someone@example" "$LAB/state" && fail "an account reached the disk"
[ ! -e "$FEED" ] || fail "the socket was left behind"
echo "ok: nothing stays behind"
