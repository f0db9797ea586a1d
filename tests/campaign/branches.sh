#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What the table of the campaign rests on: a scenario that branches off a common past has the same row
# as one that was simulated alone, but for what the process counts of itself.
set -eu
cd "$(dirname "$0")/../.."

CAMPAIGN=${OUT:-.out}/tests/campaign
SCENARIOS="F3a F7 F9 N1 N12"
WORLD="--seed 3 --sources 250 --scale 0.02 --days 10 --farm-day 6"
DIR=$(mktemp -d "${TMPDIR:-/tmp}/farmgate-branches.XXXXXX")
trap 'rm -r "$DIR"' EXIT

# The row up to the first column that is the process's own.
judged() {
	awk -F'\t' 'NR == 1 { while ($(++n) != "connections"); }
		{ for (i = 1; i < n; i++) printf "%s\t", $i; print "" }' "$1"
}

# shellcheck disable=SC2086 # options
"$CAMPAIGN" branches $WORLD --branches "${SCENARIOS// /,}" --rows "$DIR" --jobs 2 2>"$DIR/trunk.log"
for scenario in $SCENARIOS; do
	# shellcheck disable=SC2086
	"$CAMPAIGN" run $WORLD --scenario "$scenario" >"$DIR/alone" 2>"$DIR/alone.log"
	judged "$DIR/alone" >"$DIR/a"
	judged "$DIR/$scenario-3.tsv" >"$DIR/b"
	if ! cmp -s "$DIR/a" "$DIR/b"; then
		diff "$DIR/a" "$DIR/b" || true
		echo "FAILED: $scenario: alone and as a branch it is not the same"
		exit 1
	fi
	echo "ok: $scenario"
done
