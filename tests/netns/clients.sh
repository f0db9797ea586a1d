#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Real TLS clients, live: connections, hellos, JA4 and stem that the agent counted in native mode are
# exactly those of a capture of the same run, read by both engines and by a reader of its own. One
# connection in three meets a HelloRetryRequest: one hello each, named by the first.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_clients.sh"
lab_private "$@"
find_clients
lab_begin
make_network
start_servers
start_agent --attach native
watch_frames
start_capture "$LAB/run.pcap"
visit_all 0 "https://$PAGE4/" "https://$PAGE6/" "https://$RETRY4/" "https://$PAGE6/" "https://$PAGE4/" \
	"https://$RETRY6/"
read_capture

# The scripted ones did what they were told, three connections of each family.
for name in "${!SOURCE_OF[@]}"; do
	case $name in chromium | firefox) continue ;; esac
	for source in "$(source4 "${SOURCE_OF[$name]}")" "$(source6 "${SOURCE_OF[$name]}" | as_source)"; do
		expect "$name from $source: connections proven hellos incomplete" "3 3 3 0" \
			source_row "$source" connections proven hellos incomplete
	done
done

check_replay
check_live
expect_balance

# Only the servers that want another key share were sent a second hello, by every client there is.
awk -F '\t' '$4 > ($3 ~ /[.:]4$/ ? 2 : 1) { print; bad = 1 } END { exit bad }' "$LAB/hellos" ||
	fail "connections with more hellos than the server made them send"
for name in "${!SOURCE_OF[@]}"; do
	retried=$(hellos_of "$name" | awk -F '\t' '$4 == 2' | cut -f 1 | sort -u | wc -l)
	[ "$retried" = 2 ] || fail "$name: HelloRetryRequest in $retried address families instead of 2"
done
echo "ok: HelloRetryRequest: two hellos, the first one counted"

# Kinds of clients are told apart; one client is one.
for name in "${!SOURCE_OF[@]}"; do
	hellos_of "$name" | cut -f 6,7 | sort -u | sed "s/^/$name	/"
done | sort >"$LAB/names"
cat "$LAB/names"
[ "$(cut -f 1,3 "$LAB/names" | sort -u | wc -l)" = ${#SOURCE_OF[@]} ] || fail "a client has two stems"
[ "$(cut -f 2 "$LAB/names" | sort | uniq -d)" = '' ] || fail "two kinds of clients have one JA4"
[ "$(cut -f 3 "$LAB/names" | sort -u | wc -l)" = ${#SOURCE_OF[@]} ] || fail "two clients have one stem"
echo "ok: ${#SOURCE_OF[@]} kinds of clients, each with a stem and JA4 of its own"

if [ -z "${ABSENT[chromium]:-}" ]; then
	sent=$(hellos_of chromium | awk -F '\t' '$4' | wc -l)
	orders=$(hellos_of chromium | cut -f 9 | sort -u | wc -l)
	[ "$sent" -ge 10 ] || fail "chromium made only $sent connections"
	[ "$orders" -ge 10 ] || fail "chromium sent $orders orders of extensions in $sent hellos"
	echo "ok: chromium: $sent hellos in $orders orders of extensions, one stem"
fi
end_clients
