#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The API over TCP: who has a key is let in, to what its role may; keys are read again when the file changes,
# and a wrong file changes nothing; what cannot be served is said with its reason. READY=1 comes when the
# port answers, with the blocks that stand. Blocklists are asked for again only where they changed.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
PYTHON=/usr/bin/python3
need_programs curl jq "$PYTHON"
lab_begin
make_network
CONF=$LAB/farmgate.yaml KEYS=$LAB/keys
READER=reader-reader-reader BOUNCER=bouncer-bouncer-bouncer OPERATOR=operator-operator-operator

write_keys() { # LINE…
	(umask 077 && printf '%s\n' "$@" >"$KEYS.new" && mv "$KEYS.new" "$KEYS")
}

configure() { # ADDRESS
	printf 'exports: []\nlisten: {address: "%s", keys: %s}\n' "$1" "$KEYS" >"$CONF"
}

# A start that must fail: MESSAGE
refused() {
	in_edge timeout 20 "$FG" --socket "$LAB/farmgate.sock" --state "$LAB/state" --config "$CONF" \
		run -i veth0 >"$LAB/out" 2>&1
	[ $? = 1 ] || fail "started, without '$1': $(cat "$LAB/out")"
	grep -qF "$1" "$LAB/out" || fail "no '$1' in: $(cat "$LAB/out")"
	echo "ok: refused: $1"
}

configure 127.0.0.1:8093
rm -f "$KEYS"
refused "listen.keys: $KEYS: No such file or directory"
write_keys "edge $BOUNCER bouncer"
chmod 644 "$KEYS"
refused "$KEYS: mode 0644 lets others read the keys"
chown 65534 "$KEYS" && chmod 600 "$KEYS"
refused "$KEYS: belongs to user 65534, who could change it"
chown 0 "$KEYS" && chmod 644 "$KEYS"
fg --config "$CONF" check-config "$CONF" >"$LAB/out" 2>&1 && fail "check-config takes it"
grep -q "lets others read" "$LAB/out" || fail "check-config: $(cat "$LAB/out")"
write_keys "# bouncers" "edge $BOUNCER bouncer" "ops short operator"
refused "$KEYS:3: the key has 5 characters"
write_keys "edge $BOUNCER bouncer"
configure 192.0.2.99:8093
refused "listen.address: 192.0.2.99:8093: no interface of this host has the address"
configure 127.0.0.1:8093
spawn "$EDGE" "$PYTHON" -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", 8093)); print("up", flush=True); time.sleep(600)' >"$LAB/squatter"
SQUATTER=$SPAWNED
wait_until 10 grep -q up "$LAB/squatter" || fail "no squatter"
refused "listen.address: 127.0.0.1:8093: the port is in use by another program"
finish "$SQUATTER" TERM

# --- Who may what -------------------------------------------------------------------------------

write_keys "grafana $READER read" "edge $BOUNCER bouncer" "ops $OPERATOR operator"
start_agent
api() { # KEY PATH CURL-OPTION…: the status code; the body is in $LAB/body
	in_edge curl -s -o "$LAB/body" -D "$LAB/head" -w '%{http_code}' -H "X-Api-Key: $1" \
		"http://127.0.0.1:8093$2" "${@:3}"
}
decisions() { # what a bouncer is told at its start
	api $BOUNCER "/v1/decisions/stream?startup=true" >/dev/null && jq -r '.new[].value' "$LAB/body"
}
expect "without a key" 401 api "" /v1/status
expect "a wrong key" 403 api wrong-wrong-wrong-wrong /v1/status
expect "a wrong key of a bouncer" 403 api wrong-wrong-wrong-wrong /v1/decisions/stream
expect "what it is told" '{"message":"access forbidden"}' cat "$LAB/body"
expect "a reader reads" 200 api $READER /v1/flagged
expect "and decides nothing" 403 api $READER /v1/block -d '{"prefix":"203.0.113.1"}'
expect "a bouncer has its decisions" 200 api $BOUNCER "/v1/decisions/stream?startup=true"
expect "and nothing else" 403 api $BOUNCER /v1/flagged
expect "an operator blocks" 200 api $OPERATOR /v1/block -d '{"prefix":"203.0.113.1","ttl":"2h"}'
expect "it is exported" 203.0.113.1 fg export plain
expect "also for bouncers" 203.0.113.1 decisions
expect "another block" 200 api $OPERATOR /v1/block -d '{"prefix":"203.0.113.2","reason":"ticket 7"}'
expect "taken back" 200 api $OPERATOR /v1/unblock -d '{"prefix":"203.0.113.2"}'
fg block 203.0.113.2 >/dev/null && fg unblock 203.0.113.2 >/dev/null || fail "a block over the socket"
expect "who did which is kept" "blocked operator:key ops, unblocked operator:key ops, \
blocked operator:$(id -un), unblocked operator:$(id -un)" query "history 203.0.113.2" \
	'.history | sort_by(.id) | map("\(.what) \(.who)") | join(", ")'
for _ in $(seq 12); do
	api wrong-wrong-wrong-wrong /v1/status >/dev/null
done
expect "too many wrong keys" 429 api wrong-wrong-wrong-wrong /v1/status
expect "the right one from the same address" 200 api $READER /v1/status
expect "counted" true query status '.http | .wrong_key >= 14 and .limited >= 1 and .no_key == 1'

# --- Documents ----------------------------------------------------------------------------------

value() { # HEADER
	sed -n "s/^$1: \(.*\)\r$/\1/Ip" "$LAB/head"
}
sleep 1.2
expect "a blocklist" 200 api $BOUNCER /v1/blocklist
expect "its text" 203.0.113.1 cat "$LAB/body"
TAG=$(value etag) DATE=$(value last-modified)
[ -n "$TAG" ] && [ -n "$DATE" ] || fail "no ETag or no Last-Modified: $(cat "$LAB/head")"
expect "known by its tag" 304 api $BOUNCER /v1/blocklist -H "If-None-Match: $TAG"
expect "known by its date" 304 api $BOUNCER /v1/blocklist -H "If-Modified-Since: $DATE"
expect "its head" 200 api $BOUNCER /v1/blocklist -I
expect "as long as it is" 12 value content-length
for i in $(seq 300); do
	printf '{"prefix":"198.51.100.%d"}\n' $((i % 256)) >"$LAB/block.$i"
	printf 'next\nurl = "http://127.0.0.1:8093/v1/block"\ndata = "@%s"\nheader = "X-Api-Key: %s"\noutput = "/dev/null"\n' \
		"$LAB/block.$i" $OPERATOR
done | sed 1d >"$LAB/many"
in_edge curl -s -K "$LAB/many" || fail "300 blocks over one connection: curl said $?"
expect "changed" 200 api $BOUNCER /v1/blocklist -H "If-None-Match: $TAG"
expect "all of them" 257 sh -c "wc -l <'$LAB/body'"
expect "compressed" 200 api $BOUNCER /v1/blocklist -H "Accept-Encoding: gzip"
expect "says so" "gzip" value content-encoding
expect "varies by it" "Accept-Encoding" value vary
expect "the same text" 257 sh -c "gzip -dc <'$LAB/body' | wc -l"

# --- Keys that change ---------------------------------------------------------------------------

write_keys "edge new-new-new-new-new bouncer"
expect "a new key" 200 api new-new-new-new-new /v1/blocklist
expect "an old one is nobody's" 429 api $BOUNCER /v1/blocklist
write_keys "edge another-another-another bouncer" "broken"
expect "a wrong file is told" "listen.keys: $KEYS:2: too few words on the line: it is NAME KEY ROLE (the old keys stay)" \
	query status '.degraded[] | select(startswith("listen.keys"))'
expect "the old keys stay" 200 api new-new-new-new-new /v1/blocklist
write_keys "edge another-another-another bouncer"
expect "a right one is taken" 200 api another-another-another /v1/blocklist
expect "and nothing is degraded by it" 0 query status \
	'[.degraded[] | select(startswith("listen.keys"))] | length'
stop_agent TERM
[ "$AGENT_STATUS" = 0 ] || fail "stop: exit $AGENT_STATUS"

# --- Ready when it answers; other addresses -------------------------------------------------------

write_keys "edge $BOUNCER bouncer"
cat >"$LAB/ready.py" <<-'END'
	import json, socket, sys, urllib.request
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(sys.argv[1])
	print("bound", flush=True)
	while b"READY=1" not in s.recv(4096):
	    pass
	r = urllib.request.Request("http://127.0.0.1:8093/v1/decisions/stream?startup=true",
	                           headers={"X-Api-Key": sys.argv[2]})
	with urllib.request.urlopen(r, timeout=30) as answer:
	    print("ready", answer.status, len(json.load(answer)["new"]), flush=True)
END
spawn "$EDGE" "$PYTHON" "$LAB/ready.py" "$LAB/notify" $BOUNCER >"$LAB/ready" 2>&1
wait_until 10 grep -q bound "$LAB/ready" || fail "no notification socket: $(cat "$LAB/ready")"
NOTIFY_SOCKET=$LAB/notify start_agent
expect "when it says ready the port answers, with what stands" "ready 200 257" tail -n 1 "$LAB/ready"
stop_agent TERM

configure "[::1]:8093"
start_agent
expect "over IPv6" 200 in_edge curl -s -o "$LAB/body" -w '%{http_code}' -H "X-Api-Key: $BOUNCER" \
	"http://[::1]:8093/v1/blocklist"
stop_agent TERM
grep -q "can be reached from other hosts" "$AGENT_LOG" && fail "a loopback address is warned of"
configure "$SERVER4:8093"
start_agent
grep -q "$SERVER4:8093 can be reached from other hosts" "$AGENT_LOG" || fail "no warning"
expect "from another host" 200 in_clients curl -s -o "$LAB/body" -w '%{http_code}' \
	-H "X-Api-Key: $BOUNCER" "http://$SERVER4:8093/v1/decisions/stream?startup=true"
expect "known by its address" $GATE4 query status '.crowdsec.bouncers[].address'
