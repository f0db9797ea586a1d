#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sources that do far more than the population are flagged, with evidence, and nobody else is,
# though both sides have the same fingerprints. In observe nothing leaves the agent.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq
lab_begin
make_network
start_server
start_agent
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.0.0.0/9 --scatter --count 400 \
	--per-source 1-3 --profile node-like,curl-like --list "$LAB/ordinary.tsv" ||
	fail "ordinary load"
in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.128.0.0/9 --scatter --count 20 \
	--per-source 45 --profile farm --list "$LAB/farm.tsv" || fail "farm load"

flagged() {
	query "flagged --limit 1000" '.flagged[].source' | LC_ALL=C sort
}

expect "flagged are the farm's sources, all and only they" \
	"$(grep -v '^#' "$LAB/farm.tsv" | cut -f 1 | LC_ALL=C sort)" flagged
expect "tier, kind and family" "alert source volume" query flagged \
	'[.flagged[] | "\(.tier) \(.kind) \(.evidence[0].family)"] | unique | join(",")'
expect "evidence is whole" true query flagged \
	'[.flagged[] | .score >= 13.8 and (.evidence | length > 0) and
	  (.evidence[0] | .observed >= 20 and .expected < 10 and (.text | length > 40))] | all'
expect "the farm has a fingerprint of ordinary clients" true query flagged \
	'([.flagged[].ja4] | unique | length == 1)'
JA4=$(query flagged '.flagged[0].ja4')
expect "which more sources than the farm's show" true query fingerprints \
	'[.fingerprints[] | select(.ja4 == $v)][0].sources > 20' "$JA4"
SOURCE=$(grep -v '^#' "$LAB/farm.tsv" | head -n 1 | cut -f 1)
fg explain "$SOURCE" >"$LAB/explain" || fail "explain: exit $?"
grep -q "$SOURCE" "$LAB/explain" || fail "explain does not name the source: $(cat "$LAB/explain")"
[ -z "$(fg export plain)" ] || fail "observe exported something: $(fg export plain)"
echo "ok: observe exports nothing"
