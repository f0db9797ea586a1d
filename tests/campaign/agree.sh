#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Two days of small worlds as epochs (the level that rates are proven on) and as frames through the
# stages: the agent must know the same of both, field by field. F12 is QUIC's.
set -eu
cd "$(dirname "$0")/../.."

for scenario in none N4 F3a F12; do
	echo "--- $scenario"
	if ! "${OUT:-.out}/tests/campaign" agree --scenario "$scenario" --seed 2 --sources 120 \
		--scale 0.002 --days 2 --farm-day 1; then
		echo "FAILED: $scenario: epochs and frames do not agree"
		exit 1
	fi
done
