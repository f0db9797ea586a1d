#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A browser's post-quantum hello spans two segments in native mode; each of its connections is
# proven and has one complete hello, as many as a capture of the same run shows.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs jq tcpdump
BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	skip "needs chromium: scripts/deps test installs it"
lab_begin
make_network
start_server
start_agent --attach native
watch_frames

start_capture "$LAB/run.pcap"

# Own home: the browser refuses to share a profile, and must not touch anybody's.
HOME=$LAB/home in_clients timeout -k 5 60 "$BROWSER" --headless --no-sandbox --disable-gpu \
	--disable-dev-shm-usage --ignore-certificate-errors --user-data-dir="$LAB/profile" \
	--disable-background-networking --dump-dom "https://$SERVER4/" \
	>"$LAB/dom.html" 2>"$LAB/browser.log"
grep -q hello "$LAB/dom.html" || fail "the browser got no page: $(tail -n 3 "$LAB/browser.log")"
settle
stop_capture

pcap_count() {
	tcpdump -nr "$LAB/run.pcap" "src $GATE4 and $1" 2>/dev/null | wc -l
}
SYNS=$(pcap_count 'tcp[tcpflags] & (tcp-syn | tcp-ack) == tcp-syn')
# TLS handshake record (22), ClientHello (1) at the start of the payload
HELLOS=$(pcap_count 'tcp[(tcp[12] >> 4) * 4] == 22 and tcp[(tcp[12] >> 4) * 4 + 5] == 1')
# ... whose record is longer than what its segment holds (IP length - headers - record header)
LONG=$(pcap_count 'tcp[(tcp[12] >> 4) * 4] == 22 and tcp[(tcp[12] >> 4) * 4 + 5] == 1 and
	tcp[(tcp[12] >> 4) * 4 + 3 : 2] > ip[2:2] - 20 - (tcp[12] >> 4) * 4 - 5')
echo "capture: $SYNS SYNs, $HELLOS hellos, $LONG of them in more than one segment"
[ "$HELLOS" -gt 0 ] || fail "no hello in the capture"
if [ "$LONG" = 0 ]; then
	skip "this browser's hello fits one segment"
fi
expect "syns, connections, hellos, incomplete" "$SYNS $HELLOS 0" \
	source_row "$GATE4" syns hellos incomplete
expect "every connection is proven" true query sources \
	'[.sources[] | .connections == .proven] | all'
expect "hellos by fingerprint" "$HELLOS" query fingerprints '[.fingerprints[].hellos] | add'
"$FG" ja4 "$LAB/run.pcap" | grep -v '^#' | cut -f 7 | sort -u >"$LAB/replay.ja4"
expect "JA4 of the capture" "$(tr '\n' ' ' <"$LAB/replay.ja4")" query fingerprints \
	'[.fingerprints[].ja4] | sort | map(. + " ") | add'
expect_balance
