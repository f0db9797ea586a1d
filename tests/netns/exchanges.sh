#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Exchanges that the agent counts without decrypting, against the requests in the server's access
# log: HTTP/1.1 and HTTP/2 of real clients, small and large bodies, answers at once and streamed, one
# after the other and at the same time. Each case has a source of its own.
#
#   =   one request at a time, each of 200 bytes or more and sent at once: exactly the requests
#   <=  at the same time: requests that leave together are one exchange, and the agent may not say
#       more than there were; at least one a connection
#   >=  bodies that take longer than a round trip: what a server says meanwhile without answering
#       (the tickets of TLS 1.3, once a connection; HTTP/2 settings and several window updates at
#       once) looks like an answer, and the rest of the body like another request: at least the
#       requests, at most three more
#   <   requests of less than 200 bytes (short headers; HTTP/2 sends a header it has sent before as
#       a byte): fewer than there were, and none is made up
# Runs alone: it measures times.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_delay.sh"
lab_private "$@"
need_programs curl h2load nghttp node nginx openssl jq

unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
FILL=$(printf '%0250d' 0)
CASE=0

start_service() {
	cat >"$LAB/service.js" <<-'END'
		// Reads the whole request; /stream tells its answer bit by bit, as models do.
		require("http").createServer((question, answer) => {
			question.resume().on("end", () => {
				if (!question.url.startsWith("/stream"))
					return answer.end("{\"ok\":true}\n");
				let n = 8;
				answer.writeHead(200, { "Content-Type": "text/event-stream" });
				const tick = setInterval(() => {
					answer.write(`data: {"token":${n}}\n\n`);
					if (--n === 0) {
						clearInterval(tick);
						answer.end("data: [DONE]\n\n");
					}
				}, 60);
			});
		}).listen(8080, "127.0.0.1");
	END
	spawn "$EDGE" node "$LAB/service.js" >"$LAB/service.log" 2>&1
	mkdir "$LAB/log"
	ip -n "$EDGE" addr add 192.0.2.3/24 dev wire0
	# shellcheck disable=SC2034 # for start_server
	HTTP_MORE="
		log_format truth '\$remote_addr \$connection \$status \$server_protocol \$request_length';
		server {
			listen 192.0.2.3:443 ssl http2;
			ssl_certificate $LAB/www/cert.pem;
			ssl_certificate_key $LAB/www/key.pem;
			ssl_protocols TLSv1.2 TLSv1.3;
			access_log $LAB/log/access truth;
			client_max_body_size 10m;
			keepalive_requests 10000;
			location / {
				proxy_pass http://127.0.0.1:8080;
				proxy_http_version 1.1;
				proxy_buffering off;
			}
		}"
	start_server
	wait_until 10 service_answers || fail "the service does not answer: $(cat "$LAB/service.log")"
}

service_answers() {
	[ "$(in_edge curl -s http://127.0.0.1:8080/)" = '{"ok":true}' ]
}

# --- Clients ----------------------------------------------------------------------------------

URL=https://$SNI

# urls N PATH: as many of them.
urls() {
	local i
	for ((i = 0; i < $1; i++)); do
		echo "$URL$2"
	done
}

curl_on() { # 1.1|2 N PATH OPTION…
	local version=$1 list
	mapfile -t list < <(urls "$2" "$3")
	in_clients curl -sSk --fail --max-time 20 "--http$version" --connect-to "$SNI:443:192.0.2.3:443" \
		"${@:4}" "${list[@]}"
}

h2load_on() { # OPTION…
	in_clients h2load --connect-to 192.0.2.3:443 "$@" "$URL/" >"$LAB/h2load.log" &&
		grep -q "0 failed, 0 errored, 0 timeout" "$LAB/h2load.log"
}

# nghttp goes where the URL says, and asks for all at once.
nghttp_on() { # N OPTION…
	local list
	mapfile -t list < <(urls "$1" / | sed "s/$SNI/192.0.2.3/")
	in_clients nghttp -n --no-verify-peer "${@:2}" "${list[@]}"
}

# --- Cases ------------------------------------------------------------------------------------

requests() {
	grep -c "^$1 .* 200 HTTP/$2 " "$LAB/log/access"
}

connections_of() {
	grep "^$1 " "$LAB/log/access" | cut -d ' ' -f 2 | sort -u | wc -l
}

log_has() {
	[ "$(requests "$1" "$2")" = "$3" ]
}

# try RELATION 1.1|2.0 REQUESTS WHAT COMMAND…: from a source of its own; its row is judged later.
try() {
	local relation=$1 version=$2 wanted=$3 what=$4 source
	CASE=$((CASE + 1))
	source=10.1.$CASE.1
	ip -n "$CLIENTS" route replace 192.0.2.3 via "$NEAR_PROXY" src "$source"
	"${@:5}" >"$LAB/client.log" 2>&1 || fail "$what: $(tail -n 3 "$LAB/client.log")"
	wait_until 5 log_has "$source" "$version" "$wanted" ||
		fail "$what: the server's log has $(requests "$source" "$version") requests, not $wanted"
	echo "$source	$relation	$wanted	$(connections_of "$source")	HTTP/$version $what" >>"$LAB/cases"
}

# The agent's exchanges and connections of every case stand where they must.
judge() {
	local source relation wanted connections what got exchanges good=0 bad=0 verdict
	printf '%-10s %-50s %8s %11s %9s\n' source case requests connections exchanges
	while IFS=$'\t' read -r source relation wanted connections what; do
		got=$(source_row "$source" connections exchanges)
		exchanges=${got#* }
		case $relation in
		=) [ "$got" = "$connections $wanted" ] ;;
		"<=") [ "${got% *}" = "$connections" ] && [ "$exchanges" -le "$wanted" ] &&
			[ "$exchanges" -ge "$connections" ] ;;
		">=") [ "${got% *}" = "$connections" ] && [ "$exchanges" -ge "$wanted" ] &&
			[ "$exchanges" -le $((wanted + 3)) ] ;;
		"<") [ "${got% *}" = "$connections" ] && [ "$exchanges" -lt "$wanted" ] ;;
		esac
		verdict=$?
		printf '%-10s %-50s %8s %11s %2s %6s%s\n' "$source" "$what" "$wanted" "$connections" \
			"$relation" "$exchanges" "$([ $verdict = 0 ] || echo "  WRONG: $got")"
		if [ $verdict = 0 ]; then good=$((good + 1)); else bad=$((bad + 1)); fi
	done <"$LAB/cases"
	[ $bad = 0 ] || fail "$bad of $((good + bad)) cases"
	echo "ok: exchanges of $good cases"
}

lab_begin
make_delayed_network 3 2
start_service
start_agent
head -c 300 /dev/zero | tr '\0' x >"$LAB/body300"
head -c 40000 /dev/zero | tr '\0' x >"$LAB/body40k"
head -c 200000 /dev/zero | tr '\0' x >"$LAB/body200k"

try "=" 1.1 6 "questions in the header, kept alive" curl_on 1.1 6 / -H "X-Fill: $FILL"
try "=" 1.1 5 "bodies of 300 B" curl_on 1.1 5 / --data-binary "@$LAB/body300"
try ">=" 1.1 5 "bodies of 40 kB" curl_on 1.1 5 / --data-binary "@$LAB/body40k"
try ">=" 1.1 5 "bodies of 200 kB" curl_on 1.1 5 / --data-binary "@$LAB/body200k"
try "=" 1.1 5 "TLS 1.2, bodies of 200 kB" \
	curl_on 1.1 5 / --tls-max 1.2 --data-binary "@$LAB/body200k"
try "<" 1.1 5 "short questions" curl_on 1.1 5 /
try "=" 1.1 3 "streamed answers" curl_on 1.1 3 /stream --data-binary "@$LAB/body300"
try "=" 1.1 20 "h2load, one by one" h2load_on --h1 -n 20 -d "$LAB/body300"
try "<=" 1.1 12 "streamed, 4 connections at once" \
	curl_on 1.1 12 /stream --parallel --parallel-max 4 --data-binary "@$LAB/body300"
try "=" 2.0 5 "bodies of 300 B" curl_on 2 5 / --data-binary "@$LAB/body300"
try ">=" 2.0 5 "bodies of 40 kB" curl_on 2 5 / --data-binary "@$LAB/body40k"
try ">=" 2.0 5 "bodies of 200 kB" curl_on 2 5 / --data-binary "@$LAB/body200k"
try "=" 2.0 5 "TLS 1.2, bodies of 300 B" \
	curl_on 2 5 / --tls-max 1.2 --data-binary "@$LAB/body300"
try "<" 2.0 6 "the same long header each time" curl_on 2 6 / -H "X-Fill: $FILL"
try "=" 2.0 3 "streamed answers" curl_on 2 3 /stream --data-binary "@$LAB/body300"
try "=" 2.0 20 "h2load, one by one" h2load_on -n 20 -d "$LAB/body300"
try "<=" 2.0 40 "h2load, 8 at once" h2load_on -n 40 -m 8 -d "$LAB/body300"
try "<=" 2.0 60 "h2load, 3 connections, 5 at once" h2load_on -n 60 -c 3 -m 5 -d "$LAB/body300"
try "<=" 2.0 12 "curl, 4 at once" \
	curl_on 2 12 / --parallel --parallel-max 4 --data-binary "@$LAB/body300"
try "<=" 2.0 6 "streamed, 6 at once" \
	curl_on 2 6 /stream --parallel --data-binary "@$LAB/body300"
try "<=" 2.0 1 "nghttp, one body" nghttp_on 1 -d "$LAB/body300"
settle
judge
