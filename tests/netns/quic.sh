#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# HTTP/3, live: a browser and a client of another library against two QUIC servers. Each connection
# is proven by the server's connection ID, has one hello, and its fingerprint is that of a capture of
# the same run; Initials that nobody answers move nothing but their own counter.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_quic.sh"
lab_private "$@"
need_programs jq tcpdump caddy gtlsclient gtlsserver openssl python3
BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	skip "needs chromium: scripts/deps test installs it"
lab_begin
make_network

start_quic_server
spawn "$EDGE" gtlsserver -q --htdocs="$LAB/www/page" "$SERVER6" 443 "$LAB/www/key.pem" \
	"$LAB/www/cert.pem" >"$LAB/www/log6" 2>&1
wait_until 15 in_edge sh -c "ss -Hlun 'sport = 443' | grep -qF '[$SERVER6]:443'" ||
	fail "gtlsserver does not listen: $(tail -n 3 "$LAB/www/log6")"

start_agent --attach native
watch_frames
spawn "$CLIENTS" tcpdump -U -s 0 -i veth0 -w "$LAB/run.pcap" "udp port 443" 2>"$LAB/tcpdump.log"
CAPTURE_PID=$SPAWNED
wait_until 10 grep -q "listening on" "$LAB/tcpdump.log" || fail "tcpdump did not start"

# get SERVER [OPTION…]: one connection, one request. Of an address this client says "localhost".
get() {
	in_clients timeout -k 2 20 gtlsclient -q --exit-on-all-streams-close "${@:2}" \
		"$1" 443 "https://localhost/" >"$LAB/client.log" 2>&1
}
for round in 1 2 3; do
	get "$SERVER4" || fail "gtlsclient over IPv4: $(tail -n 3 "$LAB/client.log")"
	get "$SERVER6" || fail "gtlsclient over IPv6: $(tail -n 3 "$LAB/client.log")"
done
HOME=$LAB/home in_clients timeout -k 5 60 "$BROWSER" --headless --no-sandbox --disable-gpu \
	--disable-dev-shm-usage --ignore-certificate-errors --user-data-dir="$LAB/profile" \
	--disable-background-networking --enable-quic --origin-to-force-quic-on="$SNI:443" \
	--ignore-certificate-errors-spki-list="$(openssl x509 -in "$LAB/www/cert.pem" -pubkey -noout |
		openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)" \
	--host-resolver-rules="MAP $SNI $SERVER4" --dump-dom "https://$SNI/" \
	>"$LAB/dom.html" 2>"$LAB/browser.log"
grep -q hello "$LAB/dom.html" || fail "the browser got no page: $(tail -n 3 "$LAB/browser.log")"
settle
finish "$CAPTURE_PID" INT

"$FG" ja4 "$LAB/run.pcap" | grep -v '^#' >"$LAB/hellos"
cat "$LAB/hellos"
HELLOS=$(grep -c 'complete$' "$LAB/hellos")
HELLOS4=$(awk -F '\t' -v s="$GATE4" '$1 == "quic" && $2 == s' "$LAB/hellos" | wc -l)
[ "$HELLOS4" -ge 4 ] || fail "only $HELLOS4 hellos over IPv4 in the capture"
[ "$(grep -c '^quic.*complete$' "$LAB/hellos")" = "$HELLOS" ] || fail "not all hellos are of QUIC"
expect "hellos that the agent counted" "$HELLOS" query status .hellos
expect "incomplete" 0 query status '[.incomplete[]] | add'
expect "connections of IPv4, proven, with hello" "$HELLOS4 $HELLOS4 $HELLOS4" \
	source_row "$GATE4" connections proven hellos
expect "connections of IPv6, proven, with hello" "3 3 3" \
	source_row "${GATE6%::2}::/64" connections proven hellos
cut -f 7 "$LAB/hellos" | sort -u >"$LAB/ja4"
expect "JA4 of the capture" "$(tr '\n' ' ' <"$LAB/ja4")" query fingerprints \
	'[.fingerprints[].ja4] | sort | map(. + " ") | add'
expect "the stack of every client" quic query clients '[.clients[].stack] | unique | join(" ")'
expect "exchanges were seen" true query clients '[.clients[].exchanges] | add > 0'
expect_balance

# Forged: whole Initials of made-up sources; they are read, and count against nobody.
python3 - "$LAB/run.pcap" "$LAB/forged.hex" <<'END'
import struct, sys
data = open(sys.argv[1], 'rb').read()
at, best = 24, None
while at < len(data):
    n = struct.unpack('<I', data[at + 8:at + 12])[0]
    frame = data[at + 16:at + 16 + n]
    if frame[12:14] == b'\x08\x00' and frame[23] == 17 and frame[42] >> 4 == 0xc and best is None:
        best = frame[42:]
    at += 16 + n
open(sys.argv[2], 'wb').write(best)
END
before=$(query sources .total)
in_clients python3 - "$SERVER4" "$LAB/forged.hex" <<'END'
import socket, sys
payload = open(sys.argv[2], 'rb').read()
for i in range(2000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('10.9.%d.%d' % (i >> 8, i & 255), 0))
    s.sendto(payload, (sys.argv[1], 443))
    s.close()
END
wait_until 15 query status '.events.quic_initials > 2000' >/dev/null
settle
expect "sources, behind 2,000 forged Initials" "$before" query sources .total
expect "connections of a forged source" none source_row 10.9.0.1 connections
expect_balance
