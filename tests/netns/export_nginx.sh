#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [nginx] with a real nginx and a geo block: a blocked client gets 403, its neighbour is
# served; several changes are one reload; a configuration that nginx refuses puts the old file back;
# a foreign file is replaced; a clean stop takes the blocks out, a crash leaves them.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_exports.sh"
lab_private "$@"
need_programs curl jq nginx
lab_begin
make_network
GEO=$LAB/geo/farmgate.geo
mkdir "$LAB/geo"
: >"$GEO"
HTTP_MORE="
	geo \$farmgate { default 0; include $GEO; }
	server {
		listen $SERVER4:8080;
		$([ -e /proc/net/if_inet6 ] && echo "listen [$SERVER6]:8080;")
		if (\$farmgate) { return 403; }
		location / { return 200 hello; }
	}"
start_server
NGINX="nginx, -e, $LAB/www/error.log, -p, $LAB/www, -c, $LAB/www/nginx.conf"
CONF=$LAB/farmgate.yaml
cat >"$CONF" <<-END
	exports: [nginx]
	nginx:
	  file: $GEO
	  test: [$NGINX, -t]
	  reload: [$NGINX, -s, reload]
	  interval: 10s
END
start_agent
WEB=http://$SERVER4:8080/
answers 200 10.20.0.9 "$WEB" || fail "nginx serves nobody: $(tail -n 3 "$LAB/www/error.log")"

block 10.20.0.9 10m
wait_until 30 answers 403 10.20.0.9 "$WEB" || fail "the blocked client is served: $(fg status)"
answers 200 10.20.0.8 "$WEB" || fail "its neighbour was hit"
echo "ok: the blocked client is refused, its neighbour is served"

before=$(export_count nginx batches)
block 10.20.0.7 10m
block 10.30.0.0/16 10m
block 2001:db8:1000:7::/64 10m
unblock 10.20.0.7
wait_until 30 answers 403 10.30.4.5 "$WEB" || fail "a blocked range is served"
wait_until 10 answers 403 2001:db8:1000:7::5 "http://[$SERVER6]:8080/" || fail "a /64 is served"
answers 200 2001:db8:1000:8::5 "http://[$SERVER6]:8080/" || fail "the /64 beside it was hit"
answers 200 10.20.0.7 "$WEB" || fail "an unblocked one was hit"
wait_until 5 export_is nginx batches $((before + 1)) ||
	fail "four changes took $(($(export_count nginx batches) - before)) reloads"
echo "ok: what comes within the interval is one reload"

cp "$LAB/www/nginx.conf" "$LAB/good.conf"
cp "$GEO" "$LAB/good.geo"
echo "nonsense;" >>"$LAB/www/nginx.conf"
block 10.20.0.6 10m
wait_until 30 export_is nginx failing true || fail "nginx -t failed and nobody says so"
query status '.exports[].error' | grep -q 'nonsense.*the old file was put back' ||
	fail "the error does not tell: $(query status '.exports[].error')"
cmp -s "$GEO" "$LAB/good.geo" || fail "the old file was not put back"
answers 403 10.20.0.9 "$WEB" || fail "what stood was lost"
cp "$LAB/good.conf" "$LAB/www/nginx.conf"
wait_until 60 answers 403 10.20.0.6 "$WEB" || fail "it was not tried again: $(fg status)"
wait_until 5 export_is nginx failing false || fail "it is still said to fail"
echo "ok: a refused file is put back and tried again"

: >"$GEO"
wait_until 40 grep -q '^10.20.0.9 1;' "$GEO" || fail "a foreign file was not replaced"
wait_until 5 more_than nginx rewrites 0 || fail "no rewrite was counted"
echo "ok: a foreign file is replaced"

stop_agent KILL
sleep 1
answers 403 10.20.0.9 "$WEB" || fail "after a crash the blocks are gone: the manual says otherwise"
start_agent
wait_until 20 more_than nginx batches 0 || fail "the next agent did not write"
answers 403 10.20.0.9 "$WEB" || fail "the next agent forgot what stands"
stop_agent TERM
[ "$AGENT_STATUS" = 0 ] || fail "the agent's exit status is $AGENT_STATUS"
wait_until 10 answers 200 10.20.0.9 "$WEB" || fail "a clean stop left a block without an end"
grep -v '^#' "$GEO" && fail "the file still has entries"
echo "ok: a clean stop takes the blocks out"
