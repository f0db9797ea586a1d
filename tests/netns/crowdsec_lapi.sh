#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [crowdsec] to a real CrowdSec local API of Debian, unpacked and never installed: login and
# what refuses it, decisions that a bouncer pulls, chunks, removal, a LAPI that is away and comes back
# with another secret, restarts, the operator's profiles, Debian's firewall bouncer behind it, TLS.
# usage: crowdsec_lapi.sh [TEST…]      default all
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl jq nft apt-get dpkg

"$FG" --version | grep -q '^built in:.* libcurl' || skip "built without libcurl"
lab_begin

unpack() {
	local package
	mkdir "$LAB/debs" && cd "$LAB/debs" || exit 1
	apt-get download crowdsec crowdsec-firewall-bouncer >"$LAB/apt.log" 2>&1 ||
		skip "needs the packages crowdsec and crowdsec-firewall-bouncer: $(tail -n 1 "$LAB/apt.log")"
	for package in *.deb; do
		dpkg -x "$package" "$LAB/debian" || fail "cannot unpack $package"
	done
	cd "$ROOT" || exit 1
	rm -rf "$LAB/debs"
}

# --- The LAPI: a database and a profile of its own, no hub, no central API ----------------------

LAPI=http://127.0.0.1:8080 CA_FILE=

write_lapi() {
	mkdir -p "$LAB/cs/data" "$LAB/cs/hub" "$LAB/cs/plugins" "$LAB/cs/notifications"
	echo '{}' >"$LAB/cs/hub/.index.json"
	echo 'simulation: off' >"$LAB/cs/simulation.yaml"
	: >"$LAB/cs/credentials.yaml"
	cat >"$LAB/cs/profiles.yaml" <<-END
		name: short_for_ip
		filters:
		 - Alert.Remediation == true && Alert.GetScope() == "Ip"
		decisions:
		 - type: ban
		   duration: 37m
		on_success: break
	END
	cat >"$LAB/cs/config.yaml" <<-END
		common: {daemonize: false, log_media: stdout, log_level: info, working_dir: .}
		config_paths:
		  config_dir: $LAB/cs
		  data_dir: $LAB/cs/data
		  simulation_path: $LAB/cs/simulation.yaml
		  hub_dir: $LAB/cs/hub
		  index_path: $LAB/cs/hub/.index.json
		  notification_dir: $LAB/cs/notifications
		  plugin_dir: $LAB/cs/plugins
		cscli: {output: human}
		db_config: {log_level: info, type: sqlite, db_path: $LAB/cs/data/crowdsec.db, use_wal: true}
		api:
		  client: {insecure_skip_verify: false, credentials_path: $LAB/cs/credentials.yaml}
		  server:
		    log_level: info
		    listen_uri: 127.0.0.1:8080
		    profiles_path: $LAB/cs/profiles.yaml
		prometheus: {enabled: false}
	END
}

# In another time zone than ours: its times carry an offset. Each start has another secret.
start_lapi() {
	spawn "$EDGE" env TZ=Asia/Tokyo "$LAB/debian/usr/bin/crowdsec" -c "$LAB/cs/config.yaml" -no-cs \
		>>"$LAB/cs/log" 2>&1
	LAPI_PID=$SPAWNED
	wait_until 30 in_edge curl -sk -o /dev/null "$LAPI/health" ||
		fail "the LAPI does not start: $(tail -n 5 "$LAB/cs/log")"
}

stop_lapi() {
	finish "$LAPI_PID" KILL
}

cscli() {
	in_edge "$LAB/debian/usr/bin/cscli" -c "$LAB/cs/config.yaml" "$@" 2>>"$LAB/cs/cscli.log"
}

# What a bouncer gets at its start.
pull() {
	in_edge curl -sk -H 'X-Api-Key: key1' "$LAPI/v1/decisions/stream?startup=true"
}

bans() { # JQ-FILTER
	pull | jq -r "[.new[]?] | $1"
}

pulled() { # VALUE
	[ "$(bans "map(select(.value == \"$1\")) | length")" = 1 ]
}

not_pulled() { # VALUE
	[ "$(bans "map(select(.value == \"$1\")) | length")" = 0 ]
}

database() { # SQL, as it stands
	python3 -c 'import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row, sep="|")' \
		"$LAB/cs/data/crowdsec.db" "$1"
}

# What the alert says that brought a decision on VALUE.
reason_of() {
	cscli alerts inspect -o json "$(database "select alert_decisions from decisions where value = '$1'")" |
		jq -r '[(if type == "array" then .[] else . end).events[].meta[] | select(.key == "reason").value][0]'
}

decisions_of_alerts() { # those after ID
	database "select count(*) from decisions where alert_decisions > $1 group by alert_decisions" | xargs
}

alerts_on() { # VALUE…
	local value
	for value; do
		database "select count(*) from alerts where source_value = '$value'"
	done | xargs
}

most_on_one() {
	database "select max(n) from (select count(*) n from decisions
		where until > datetime('now') and (scenario like 'farmgate/%') group by value)"
}

# --- farmgate -----------------------------------------------------------------------------------

configure() { # DECISIONS [EXPORTS]
	CONF=$LAB/farmgate.yaml
	cat >"$CONF" <<-END
		mode: enforce
		warmup: 0
		exports: [${2:-crowdsec}]
		crowdsec:
		  url: $LAPI/
		  machine: farmgate1
		  password_file: $LAB/password
		  decisions: $1
		${CA_FILE:+  ca_file: $CA_FILE}
	END
}

degraded_says() {
	query status '.degraded[]' | grep -qF "$1"
}

not_degraded() {
	! query status '.degraded[]' | grep -q crowdsec
}

others_degraded() {
	query status '[.degraded[] | select(contains("crowdsec") | not)] | length'
}

restart_agent() {
	stop_agent TERM
	start_agent
}

many() { # block|unblock FIRST LAST: in one go
	local i ttl=
	[ "$1" = unblock ] || ttl=',\"ttl\":\"2h\"'
	for i in $(seq "$2" "$3"); do
		printf 'unix-socket = "%s/farmgate.sock"\nurl = "http://x/v1/%s"\noutput = /dev/null\n' "$LAB" "$1"
		printf 'data = "{\\"prefix\\":\\"10.100.%d.%d\\",\\"reason\\":\\"many\\"%s}"\n' \
			$((i / 256)) $((i % 256)) "$ttl"
		[ "$i" = "$3" ] || echo next
	done >"$LAB/blocks"
	curl -sf -K "$LAB/blocks" || fail "$1 $2 to $3: curl said $?"
}

# --- The tests ----------------------------------------------------------------------------------

logins() {
	echo wrong-password >"$LAB/password"
	chmod 644 "$LAB/password"
	configure push
	in_edge "$FG" --config "$CONF" --socket "$LAB/no.sock" --state "$LAB/no" run -i veth0 \
		>"$LAB/refused" 2>&1 && fail "a password for anybody to read was taken"
	grep -q 'chmod 600' "$LAB/refused" || fail "the refusal does not say why: $(cat "$LAB/refused")"
	chmod 600 "$LAB/password"
	start_agent
	wait_until 20 degraded_says "knows no machine farmgate1: cscli machines add" ||
		fail "unknown machine: $(query status '.degraded[]')"
	echo "ok: unknown machine is told, with the cure"
	in_edge curl -s -A farmgate/0.1 -d '{"machine_id":"farmgate1","password":"right-password"}' \
		"$LAPI/v1/watchers"
	wait_until 30 degraded_says "not validated: cscli machines validate farmgate1" ||
		fail "not validated: $(query status '.degraded[]')"
	echo "ok: not validated is told, with the cure"
	cscli machines validate farmgate1 || fail "cscli machines validate"
	wait_until 30 degraded_says "wrong password" || fail "wrong: $(query status '.degraded[]')"
	echo "ok: wrong password is told"
	echo right-password >"$LAB/password"
	wait_until 30 not_degraded || fail "still degraded: $(query status '.degraded[]')"
	echo "ok: works without a restart"
}

pushes() {
	fg block 192.0.2.77 --ttl 10m --reason "ticket 4711" >/dev/null || fail "block"
	fg block 2001:db8:1000:7::/64 --ttl 10m >/dev/null || fail "block of a /64"
	wait_until 20 pulled 192.0.2.77 || fail "the bouncer does not get it: $(pull)"
	wait_until 20 pulled 2001:db8:1000:7::/64 || fail "the bouncer does not get the /64: $(pull)"
	expect "decision" "farmgate ban Ip farmgate/operator true" bans 'map(select(.value == "192.0.2.77"))[0] |
		"\(.origin) \(.type) \(.scope) \(.scenario) \(.duration | test("^9m[345]"))"'
	expect "scope of a /64" Range bans 'map(select(.value | test(":")))[0].scope'
	expect "reason in the alert" "ticket 4711" reason_of 192.0.2.77
	# without --all cscli shows only origins that it knows
	[ "$(cscli decisions list --all -o json | jq '[.[].decisions[]] | length')" = 2 ] ||
		fail "cscli decisions list: $(cscli decisions list --all)"
	cscli alerts list --all | grep -q farmgate/operator || fail "cscli alerts list: $(cscli alerts list --all)"
	fg unblock 192.0.2.77 >/dev/null || fail "unblock"
	wait_until 20 not_pulled 192.0.2.77 || fail "unblocked and still there"
	echo "ok: unblock takes the decision back"
	wait_until 20 heartbeat || fail "no heartbeat: $(database 'select * from machines')"
	echo "ok: heartbeat"
}

heartbeat() {
	[ "$(database "select count(*) from machines where machine_id = 'farmgate1' and last_heartbeat is not null")" = 1 ]
}

restarts() {
	local before
	before=$(database "select count(*) from alerts")
	restart_agent
	wait_until 20 agent_logged "serving" || fail "no start"
	fg block 192.0.2.78 --ttl 10m >/dev/null || fail "block"
	wait_until 20 pulled 192.0.2.78 || fail "not pushed after a restart"
	expect "alerts after a restart and one block" $((before + 1)) database "select count(*) from alerts"
	stop_agent TERM
	configure push xdp
	start_agent
	fg unblock 192.0.2.78 >/dev/null || fail "unblock"
	configure push
	restart_agent
	wait_until 20 not_pulled 192.0.2.78 || fail "what fell meanwhile was not taken back"
	pulled 2001:db8:1000:7::/64 || fail "what stands was taken back"
	echo "ok: a restart sends nothing twice and takes back what no longer stands"
}

agent_logged() {
	grep -q "$1" "$AGENT_LOG"
}

away() {
	local first others
	first=$(database "select max(id) from alerts")
	others=$(others_degraded)
	stop_lapi
	many block 1 2500
	wait_until 30 degraded_says "crowdsec fails" || fail "a LAPI that is away is not told"
	expect "what else is degraded by it" "$others" others_degraded
	start_lapi
	wait_until 60 bans_are 2501 || fail "$(bans length) of 2501 arrived: $(query status '.degraded[]')"
	expect "decisions of each alert" "1000 1000 500" decisions_of_alerts "$first"
	expect "decisions on one address" 1 most_on_one
	echo "ok: a LAPI that was away gets 2,500 blocks in 3 alerts, once, with a new token"
	many unblock 1 700
	wait_until 60 bans_are 1801 || fail "$(bans length) are left: $(query status '.degraded[]')"
	echo "ok: 700 of them taken back"
}

bans_are() {
	[ "$(bans length)" = "$1" ]
}

# A block that is made longer: Debian's bouncer holds it on past the first end.
# With IPv6: without, it writes a decision on an IPv6 source as an IPv4 element without a key, which
# the kernel refuses together with what else is left of that answer.
bouncer() {
	mkdir "$LAB/fw"
	cat >"$LAB/fw/config.yaml" <<-END
		mode: nftables
		pid_dir: $LAB/fw
		update_frequency: 2s
		daemonize: false
		log_mode: stdout
		log_dir: $LAB/fw
		log_level: info
		api_url: $LAPI/
		api_key: key1
		disable_ipv6: false
		deny_action: DROP
		supported_decisions_types: [ban]
		blacklists_ipv4: crowdsec-blacklists
		blacklists_ipv6: crowdsec6-blacklists
		nftables:
		  ipv4: {enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}
		  ipv6: {enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}
		prometheus: {enabled: false}
	END
	spawn "$EDGE" "$LAB/debian/usr/bin/crowdsec-firewall-bouncer" -c "$LAB/fw/config.yaml" \
		>"$LAB/fw/log" 2>&1
	# what stands comes with its first pull; the short one must not end meanwhile
	wait_until 60 in_set 10.100.9.196 || fail "the bouncer does not start: $(tail -n 3 "$LAB/fw/log")"
	fg block 10.21.0.9 --ttl 30s >/dev/null || fail "block"
	wait_until 30 in_set 10.21.0.9 || fail "not in the bouncer's set: $(tail -n 3 "$LAB/fw/log")"
	fg block 10.21.0.9 --ttl 10m >/dev/null || fail "block for longer"
	wait_until 90 in_set_for 10.21.0.9 '[89]m' || fail "the longer block never came to the bouncer:
$(in_edge nft list table ip crowdsec | head -n 30)"
	echo "ok: a block that is made longer outlasts the first end in Debian's bouncer"
	in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.20.0.0/16 --count 200 \
		--per-source 1-2 || fail "ordinary load"
	in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.21.0.7 --per-source 80 ||
		fail "loud load"
	wait_until 40 in_set 10.21.0.7 || fail "10.21.0.7 is not in the bouncer's set: $(fg flagged)"
	in_clients curl -sk -o /dev/null --connect-timeout 2 --interface 10.21.0.7 "https://$SERVER4/" &&
		fail "a flagged source was answered"
	in_clients curl -sk -o /dev/null --connect-timeout 5 --interface 10.20.0.1 "https://$SERVER4/" ||
		fail "a neighbour was hit: curl said $?"
	expect "scenario of a flagged source" farmgate/source bans 'map(select(.value == "10.21.0.7"))[0].scenario'
	echo "ok: a flagged source is refused by Debian's bouncer, its neighbour is not"
}

in_set() {
	in_edge nft list table ip crowdsec 2>/dev/null | grep -qw "${1//./[.]}"
}

in_set_for() {
	in_edge nft list table ip crowdsec 2>/dev/null | tr ',' '\n' | grep -w "${1//./[.]}" | grep -q "expires $2"
}

profiles() {
	stop_agent TERM
	configure profile
	start_agent
	fg block 192.0.2.90 --ttl 10m >/dev/null || fail "block"
	wait_until 20 pulled 192.0.2.90 || fail "the profile made no decision: $(query status '.degraded[]')"
	expect "the profile's decision" "crowdsec true" bans 'map(select(.value == "192.0.2.90"))[0] |
		"\(.origin) \(.duration | test("^3[67]m"))"'
	fg block 2001:db8:1000:9::/64 --ttl 10m >/dev/null || fail "block of a /64"
	wait_until 20 alerted 2001:db8:1000:9::/64 || fail "no alert on a range"
	not_pulled 2001:db8:1000:9::/64 || fail "a decision that no profile made"
	restart_agent
	fg block 192.0.2.91 --ttl 10m >/dev/null || fail "block"
	wait_until 20 pulled 192.0.2.91 || fail "no alert after a restart"
	expect "alerts on what is known already" "1 1" alerts_on 192.0.2.90 2001:db8:1000:9::/64
	fg unblock 192.0.2.90 >/dev/null || fail "unblock"
	wait_until 20 not_pulled 192.0.2.90 || fail "unblocked, and the profile's decision stands"
	pulled 192.0.2.91 || fail "another one was taken back"
	echo "ok: profiles decide; unblock ends their decision; a restart says nothing twice"
}

alerted() {
	[ "$(alerts_on "$1")" = 1 ]
}

# A certificate that nobody knows is refused; one that ca_file names is not.
encrypted() {
	stop_agent TERM
	stop_lapi
	cscli machines add farmgate1 --password right-password --force -f /dev/null ||
		fail "cscli machines add: $(tail -n 3 "$LAB/cs/cscli.log")"
	printf 'right-password' >"$LAB/password"
	chmod 600 "$LAB/password"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=lapi \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$LAB/cs/key.pem" -out "$LAB/cs/cert.pem" \
		2>/dev/null || fail "openssl cannot make a certificate"
	cp "$LAB/cs/config.yaml" "$LAB/cs/plain.yaml"
	sed -i "s|^    listen_uri:.*|&\n    tls: {cert_file: $LAB/cs/cert.pem, key_file: $LAB/cs/key.pem}|" \
		"$LAB/cs/config.yaml"
	LAPI=https://127.0.0.1:8080
	start_lapi
	configure push
	start_agent
	fg block 192.0.2.95 --ttl 10m >/dev/null || fail "block"
	wait_until 20 degraded_says "certificate" || fail "not verified: $(query status '.degraded[]')"
	not_pulled 192.0.2.95 || fail "sent to a stranger"
	CA_FILE=$LAB/cs/cert.pem
	configure push
	restart_agent
	wait_until 20 pulled 192.0.2.95 || fail "not over TLS: $(query status '.degraded[]')"
	echo "ok: TLS, verified"
	stop_agent TERM
	stop_lapi
	cp "$LAB/cs/plain.yaml" "$LAB/cs/config.yaml"
	LAPI=http://127.0.0.1:8080 CA_FILE=
	configure push
	start_lapi
	start_agent
	wait_until 20 not_degraded || fail "in clear again: $(query status '.degraded[]')"
}

# A server that is none: whatever it says becomes an error, and the agent goes on. In two rows with a
# recovery after each: the wait between two tries doubles with each that fails, up to a minute.
garbage() {
	local row how n=0
	fg block 192.0.2.89 --ttl 10m >/dev/null || fail "block"
	wait_until 30 pulled 192.0.2.89 || fail "not sent: $(query status '.degraded[]')"
	for row in "garbage token half" "500 redirect hang"; do
		stop_lapi
		for how in $row; do
			n=$((n + 1))
			out_of_order "$how" "198.51.100.$n"
		done
		start_lapi
		wait_until 90 not_degraded || fail "does not recover: $(query status '.degraded[]')"
		wait_until 30 pulled "198.51.100.$n" || fail "recovers and did not send 198.51.100.$n"
		echo "ok: recovers after $row"
	done
	expect "decisions on one address after all that" 1 most_on_one
}

out_of_order() { # HOW ADDRESS
	spawn "$EDGE" python3 "$(dirname "$0")/lapi_bad.py" "$1"
	BAD_PID=$SPAWNED
	wait_until 30 listens || fail "lapi_bad.py does not listen"
	fg block "$2" --ttl 10m >/dev/null || fail "block"
	wait_until 90 degraded_says "$(said "$1")" || fail "$1 is told as: $(query status '.degraded[]')"
	finish "$BAD_PID" KILL
	echo "ok: $1: $(query status '.degraded[]' | grep crowdsec)"
}

listens() {
	in_edge ss -Hltn "sport = 8080" | grep -q 127.0.0.1
}

said() {
	case $1 in
	garbage) echo "answer is no list of alerts" ;; # the token holds still
	half) echo "holds no token" ;;
	500) echo "says 500: out of order" ;;
	redirect) echo "says 302" ;;
	hang) echo "timed out" ;;
	token) echo "refuses the token that it has just given" ;;
	esac
}

unpack
make_network
start_server
write_lapi
cscli bouncers add b1 -k key1 >/dev/null || fail "cscli bouncers add: $(tail -n 3 "$LAB/cs/cscli.log")"
cscli machines add cscli --password cscli -f "$LAB/cs/credentials.yaml" ||
	fail "cscli machines add: $(tail -n 3 "$LAB/cs/cscli.log")"
start_lapi
for test in ${*:-logins pushes restarts away bouncer profiles encrypted garbage}; do
	"$test"
done
