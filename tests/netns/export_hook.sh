#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [hook, nft] with a script and a web server: both are told of what is added and removed, the
# server with a signature; a batch that failed comes again with the same id; a hook that sleeps holds
# nobody back, and is killed in the end.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_exports.sh"
lab_private "$@"
need_programs jq nft python3
"$FG" --version | grep -q 'built in:.* libcurl' || skip "built without libcurl"
lab_begin
make_network
LINES=$LAB/lines POSTS=$LAB/posts KEY=$LAB/key
: >"$LINES"
: >"$POSTS"
echo "a secret" >"$KEY"

# Takes all of it, or sleeps, or fails, as the file `mood` says.
cat >"$LAB/hook" <<-END
	#!/bin/sh
	mood=\$(cat "$LAB/mood" 2>/dev/null)
	[ "\$mood" = sleep ] && exec sleep 1000
	[ "\$mood" = fail ] && { echo "no mood for this" >&2; exit 4; }
	cat >>"$LINES"
END
chmod +x "$LAB/hook"

# Writes "STATUS SIGNATURE-IS-RIGHT BODY" for each POST; answers what the file `status` says.
cat >"$LAB/server.py" <<-'END'
	import hashlib, hmac, http.server, sys
	lab = sys.argv[1]
	class Handler(http.server.BaseHTTPRequestHandler):
	    protocol_version = "HTTP/1.1"
	    def do_POST(self):
	        body = self.rfile.read(int(self.headers["Content-Length"]))
	        key = open(lab + "/key", "rb").read().strip()
	        want = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
	        right = self.headers.get("X-Farmgate-Signature") == want
	        status = int(open(lab + "/status").read())
	        with open(lab + "/posts", "a") as f:
	            f.write("%d %s %s" % (status, right, body.decode()))
	        self.send_response(status)
	        self.send_header("Content-Length", "0")
	        self.end_headers()
	    def log_message(self, *args):
	        pass
	http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
END
echo 200 >"$LAB/status"
spawn "$EDGE" python3 "$LAB/server.py" "$LAB"
CONF=$LAB/farmgate.yaml
cat >"$CONF" <<-END
	exports: [hook, nft]
	hook:
	  command: [$LAB/hook]
	  url: http://127.0.0.1:8099/changes
	  key_file: $KEY
	  timeout: 10s
	  batch: 2
END

server_listens_on_8099() {
	in_edge ss -Hltn "sport = 8099" | grep -q 8099
}

# told ACTION VALUE, posted STATUS ACTION VALUE: the script's lines, the server's posts.
told() {
	jq -e --arg a "$1" --arg v "$2" -n '[inputs | select(.action == $a and .value == $v)] |
		length > 0' "$LINES" >/dev/null
}

posted() {
	sed -n "s/^$1 True //p" "$POSTS" | jq -e --arg a "$2" --arg v "$3" -n \
		'[inputs.changes[] | select(.action == $a and .value == $v)] | length > 0' >/dev/null
}

wait_until 10 server_listens_on_8099 || fail "the web server does not listen"
start_agent
block 10.20.0.9 10m
wait_until 10 told add 10.20.0.9 || fail "the script was not told: $(fg status)"
wait_until 10 posted 200 add 10.20.0.9 || fail "the server was not told: $(fg status; cat "$POSTS")"
jq -e 'select(.value == "10.20.0.9") | .reason == "end-to-end test" and .verdict > 0 and
	.duration > 500 and .until > 1e9 and .cohort == null and has("ja4")' "$LINES" >/dev/null ||
	fail "a line is not what the manual says: $(cat "$LINES")"
unblock 10.20.0.9
wait_until 10 told remove 10.20.0.9 || fail "the script was not told of a removal"
wait_until 10 posted 200 remove 10.20.0.9 || fail "the server was not told of a removal"
block 10.20.0.8 3s
wait_until 15 told remove 10.20.0.8 || fail "the script was not told of an end"
for i in 1 2 3 4 5; do block 2001:db8:1000:$i::/64 10m; done
wait_until 10 told add 2001:db8:1000:5::/64 || fail "not all of them were told"
grep -q False "$POSTS" && fail "a signature is wrong"
echo "ok: script and server are told of adds, removals and ends"

echo 503 >"$LAB/status"
block 10.20.0.7 10m
wait_until 10 posted 503 add 10.20.0.7 || fail "the server was not asked"
wait_until 10 export_is webhook failing true || fail "an answer of 503 is no error"
query status '.exports[] | select(.name == "webhook").error' | grep -q 'answers 503' ||
	fail "the error does not tell: $(cat "$LAB/answer.json")"
wait_until 10 told add 10.20.0.7 || fail "the script waited for the server"
echo 204 >"$LAB/status"
wait_until 60 posted 204 add 10.20.0.7 || fail "the batch was not sent again"
[ "$(sed -n 's/^[0-9]* True //p' "$POSTS" | jq -r 'select(.changes[].value == "10.20.0.7").id' |
	sort -u | wc -l)" = 1 ] || fail "the same batch came with another id: $(cat "$POSTS")"
wait_until 10 export_is webhook failing false || fail "it is still said to fail"
echo "ok: a batch that failed comes again with the same id"

echo sleep >"$LAB/mood"
errors=$(export_count hook errors)
block 10.20.0.6 10m
wait_until 9 in_nft blocked4 10.20.0.6 || fail "nft waited for a hook that sleeps"
[ "$(export_count hook errors)" = "$errors" ] || fail "the hook did not sleep while nft was written"
wait_until 30 export_is hook failing true || fail "nobody says that the hook sleeps"
query status '.exports[] | select(.name == "hook").error' | grep -q 'took longer than 10 s' ||
	fail "the error does not tell: $(cat "$LAB/answer.json")"
wait_until 10 posted 204 add 10.20.0.6 || fail "the server waited for the script"
echo fail >"$LAB/mood"
hook_says_no() {
	query status '.exports[] | select(.name == "hook").error' | grep -q 'no mood for this'
}
wait_until 60 hook_says_no || fail "what the script complains of is not told"
rm "$LAB/mood"
wait_until 90 told add 10.20.0.6 || fail "the script was not told once it was well again"
echo "ok: a hook that sleeps or fails holds nobody back, and is told later"
stop_agent TERM
[ "$AGENT_STATUS" = 0 ] || fail "the agent's exit status is $AGENT_STATUS"
