#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [nft, haproxy] with a real HAProxy and the rules of farmgate.yaml(5): a blocked client is
# refused in HTTP and in TCP mode, its neighbour is served; a map that was cleared or a restarted
# HAProxy has it again; one that hangs holds nobody back; an entry of a dead agent ends by the clock.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_exports.sh"
lab_private "$@"
need_programs curl jq nft haproxy python3
lab_begin
make_network
MAP=$LAB/farmgate.map SOCK=$LAB/haproxy.sock
: >"$MAP"
cat >"$LAB/haproxy.cfg" <<-END
	global
	  stats socket $SOCK level admin
	defaults
	  timeout connect 5s
	  timeout client 5s
	  timeout server 5s
	frontend web
	  mode http
	  bind $SERVER4:8080
	  bind $SERVER6:8080
	  http-request set-var(txn.until) src,map_ip_int($MAP,0)
	  http-request deny if { date,neg,add(txn.until) -m int gt 0 }
	  http-request return status 200 content-type text/plain string "hello"
	frontend tunnel
	  mode tcp
	  bind $SERVER4:8081
	  tcp-request connection set-var(sess.until) src,map_ip_int($MAP,0)
	  tcp-request connection reject if { date,neg,add(sess.until) -m int gt 0 }
	  default_backend web
	backend web
	  mode tcp
	  server web $SERVER4:8080
END
[ -e /proc/net/if_inet6 ] || sed -i '/bind .*::/d' "$LAB/haproxy.cfg"

# ask COMMAND: on HAProxy's socket.
ask() {
	python3 - "$SOCK" "$1" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(5)
		s.connect(sys.argv[1])
		s.sendall(sys.argv[2].encode() + b"\n")
		while part := s.recv(65536):
		    sys.stdout.write(part.decode())
	END
}

haproxy_listens() {
	in_edge ss -Hltn "sport = 8081" | grep -q "$SERVER4"
}

start_haproxy() {
	spawn "$EDGE" haproxy -f "$LAB/haproxy.cfg" -db >>"$LAB/haproxy.log" 2>&1
	HAPROXY=$SPAWNED
	wait_until 10 haproxy_listens || fail "haproxy does not listen: $(tail -n 3 "$LAB/haproxy.log")"
}

in_map() { # KEY
	ask "show map $MAP" | grep -q " ${1//./[.]} "
}

not_in_map() {
	! in_map "$1"
}

start_haproxy
CONF=$LAB/farmgate.yaml
printf 'exports: [nft, haproxy]\nhaproxy: {socket: %s, map: %s}\n' "$SOCK" "$MAP" >"$CONF"
start_agent
WEB=http://$SERVER4:8080/ TUNNEL=http://$SERVER4:8081/
answers 200 10.20.0.9 "$WEB" && answers 200 10.20.0.9 "$TUNNEL" || fail "haproxy serves nobody"

block 10.20.0.9 10m
wait_until 10 in_map 10.20.0.9 || fail "the block is not in the map: $(fg status)"
answers 403 10.20.0.9 "$WEB" || fail "the blocked client gets $(answer 10.20.0.9 "$WEB")"
answers 000 10.20.0.9 "$TUNNEL" || fail "TCP mode: it gets $(answer 10.20.0.9 "$TUNNEL")"
answers 200 10.20.0.8 "$WEB" && answers 200 10.20.0.8 "$TUNNEL" || fail "its neighbour was hit"
echo "ok: the blocked client is refused, its neighbour is served"

block 10.30.0.0/16 10m
block 2001:db8:1000:7::/64 10m
wait_until 10 in_map 2001:db8:1000:7::/64 || fail "a /64 is not in the map"
answers 403 10.30.4.5 "$WEB" || fail "a blocked range was served"
answers 403 2001:db8:1000:7::5 "http://[$SERVER6]:8080/" || fail "a blocked /64 was served"
answers 200 2001:db8:1000:8::5 "http://[$SERVER6]:8080/" || fail "the /64 beside it was hit"
unblock 10.30.0.0/16
wait_until 10 not_in_map 10.30.0.0/16 || fail "still in the map after unblock"
answers 200 10.30.4.5 "$WEB" || fail "not let back in"
grep -q '^10.20.0.9 ' "$MAP" && ! grep -q '^10.30' "$MAP" || fail "the file is not the map: $(cat "$MAP")"
echo "ok: ranges and IPv6; unblock; the file is kept, too"

block 10.20.0.7 4s
wait_until 10 in_map 10.20.0.7 || fail "a short block is not in the map"
wait_until 15 not_in_map 10.20.0.7 || fail "an entry that ended was not taken out"
ask "clear map $MAP" >/dev/null
wait_until 40 in_map 10.20.0.9 || fail "the cleared map was not written again"
wait_until 5 more_than haproxy rewrites 0 || fail "no rewrite was counted: $(fg status)"
finish "$HAPROXY" TERM
start_haproxy
answers 403 10.20.0.9 "$WEB" || fail "a restarted HAProxy lets it in"
echo "ok: ends are told, a cleared map is written again, a restart reads the file"

errors=$(export_count haproxy errors)
kill -STOP "$HAPROXY"
block 10.20.0.6 10m
wait_until 8 in_nft blocked4 10.20.0.6 || fail "nft waited for a HAProxy that hangs"
[ "$(export_count haproxy errors)" = "$errors" ] || fail "HAProxy did not hang while nft was written"
block 10.20.0.5 10m
wait_until 8 in_nft blocked4 10.20.0.5 || fail "nft waited for a HAProxy that hangs"
wait_until 30 export_is haproxy failing true || fail "nobody says that it hangs"
fg status >"$LAB/status"
[ $? = 3 ] || fail "status does not exit with 3 while an export fails"
grep -q '^degraded .*export haproxy fails: .*no answer in time' "$LAB/status" ||
	fail "status does not say what fails: $(cat "$LAB/status")"
kill -CONT "$HAPROXY"
wait_until 90 in_map 10.20.0.5 || fail "it was not written once it answered again"
in_map 10.20.0.6 || fail "what came while it hung is not there"
wait_until 10 export_is haproxy failing false || fail "it is still said to fail"
echo "ok: a HAProxy that hangs holds nobody back, and has all of it later"

block 10.20.0.4 8s
wait_until 5 in_map 10.20.0.4 || fail "a short block is not in the map"
stop_agent KILL
answers 403 10.20.0.4 "$WEB" || fail "the entry of a dead agent does not hold"
wait_until 20 answers 200 10.20.0.4 "$WEB" || fail "the entry of a dead agent does not end"
in_map 10.20.0.4 || fail "the entry went by itself: this test proves nothing"
answers 403 10.20.0.9 "$WEB" || fail "a longer block of the dead agent is gone"
start_agent
wait_until 20 not_in_map 10.20.0.4 || fail "the next agent did not take the old entry out"
in_map 10.20.0.9 || fail "the next agent forgot what stands"
echo "ok: with the agent dead entries hold until their end, and no longer"

printf 'exports: [nft, haproxy]\nhaproxy: {socket: %s, map: %s}\n' "$SOCK" "$LAB/other.map" >"$CONF"
stop_agent TERM
start_agent
wait_until 20 export_is haproxy failing true || fail "a map that no rule uses is no error"
query status '.exports[] | select(.name == "haproxy").error' | grep -q 'no rule .* uses the map' ||
	fail "the error does not tell: $(cat "$LAB/answer.json")"
echo "ok: a map that no rule uses is said"
