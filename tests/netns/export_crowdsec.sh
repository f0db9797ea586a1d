#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# `cscli decisions import` of a real CrowdSec takes the crowdsec export whole: addresses, ranges and
# durations come back as they were. The package is unpacked, not installed: installing it would
# fetch things from the Internet and start a service.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs apt-get dpkg jq

# The programs, in $LAB/crowdsec.
unpack_crowdsec() {
	mkdir "$LAB/crowdsec" "$LAB/deb"
	(cd "$LAB/deb" && chmod 777 . && apt-get -q download crowdsec) >"$LAB/apt.log" 2>&1 ||
		skip "crowdsec cannot be downloaded: $(tail -n 1 "$LAB/apt.log")"
	dpkg -x "$LAB"/deb/crowdsec_*.deb "$LAB/crowdsec" || fail "dpkg -x: $?"
}

# A local API without a hub and without the central one.
start_crowdsec() {
	local etc=$LAB/crowdsec/etc/crowdsec
	mkdir -p "$LAB/cs/data" "$LAB/cs/hub" "$LAB/cs/notifications" "$LAB/cs/plugins"
	echo '{}' >"$LAB/cs/hub/.index.json"
	cat >"$LAB/cs/config.yaml" <<-END
		common: { daemonize: false, log_media: stdout, log_level: info }
		config_paths:
		  config_dir: $LAB/cs/
		  data_dir: $LAB/cs/data/
		  simulation_path: $etc/simulation.yaml
		  hub_dir: $LAB/cs/hub/
		  index_path: $LAB/cs/hub/.index.json
		  notification_dir: $LAB/cs/notifications/
		  plugin_dir: $LAB/cs/plugins/
		db_config: { type: sqlite, db_path: $LAB/cs/data/crowdsec.db, use_wal: true }
		api:
		  client: { credentials_path: $LAB/cs/credentials.yaml }
		  server: { listen_uri: "127.0.0.1:18080", profiles_path: $etc/profiles.yaml }
		prometheus: { enabled: false }
	END
	cscli machines add farmgate --password test -f "$LAB/cs/credentials.yaml" \
		--url http://127.0.0.1:18080 || fail "cscli machines add: $(cat "$LAB/cscli.log")"
	spawn "$EDGE" "$LAB/crowdsec/usr/bin/crowdsec" -no-cs -c "$LAB/cs/config.yaml" >"$LAB/cs.log" 2>&1
	wait_until 30 in_edge bash -c ': </dev/tcp/127.0.0.1/18080' 2>/dev/null ||
		fail "crowdsec does not listen: $(tail -n 3 "$LAB/cs.log")"
}

cscli() {
	in_edge "$LAB/crowdsec/usr/bin/cscli" -c "$LAB/cs/config.yaml" "$@" 2>"$LAB/cscli.log"
}

# "SCOPE VALUE TYPE SCENARIO" of each decision, sorted.
decisions() {
	cscli decisions list -a -o json | jq -r '.[].decisions[] | "\(.scope) \(.value) \(.type) \(.scenario)"' | sort
}

lab_begin
unpack_crowdsec
make_network
start_agent
start_crowdsec

fg block 10.1.0.1 --ttl 1h --reason $'it\'s "q"\nx' >/dev/null || fail "block: $?"
fg block 10.1.2.0/24 --ttl 24h >/dev/null || fail "block: $?"
fg block 2001:db8:1000:7::/64 --ttl 90s >/dev/null || fail "block: $?"
fg export crowdsec >"$LAB/decisions.json" || fail "export crowdsec: $?"
# without --scope '' the option's default, Ip, wins over the file
cscli decisions import --scope '' -i "$LAB/decisions.json" || fail "cscli decisions import: $(cat "$LAB/cscli.log")"
grep -q "3 decisions successfully imported" "$LAB/cscli.log" || fail "cscli: $(cat "$LAB/cscli.log")"
expect "what was imported" "Ip 10.1.0.1 ban farmgate/operator
Range 10.1.2.0/24 ban farmgate/operator
Range 2001:db8:1000:7::/64 ban farmgate/operator" decisions

# Durations: still there, and not longer than they were.
cscli decisions list -a -o json | jq -e '[.[].decisions[] | {key: .value, value: .duration}] | from_entries |
	(."10.1.0.1" | test("^(1h0m0|59m)")) and (."10.1.2.0/24" | test("^2[34]h")) and
	(."2001:db8:1000:7::/64" | test("^(1m)?[0-9.]+s$"))' >/dev/null ||
	fail "durations: $(cscli decisions list -a -o json | jq -c '[.[].decisions[] | [.value, .duration]]')"
echo "ok: durations"

fg unblock 10.1.0.1 >/dev/null && fg unblock 10.1.2.0/24 >/dev/null &&
	fg unblock 2001:db8:1000:7::/64 >/dev/null || fail "unblock: $?"
[ "$(fg export crowdsec)" = "[]" ] || fail "an empty set is no empty array"
