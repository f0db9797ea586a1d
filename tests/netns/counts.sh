#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What openssl, curl and a load of many sources did is what the agent counted, exactly and for each
# source, in native and in generic mode, over IPv4 and IPv6. Frames received are all accounted for.
set -u
. "$(dirname "$0")/lib.sh"
lab_private "$@"
need_programs curl openssl jq
lab_begin
make_network
start_server

FILL=$(printf '%0250d' 0)

openssl_once() { # SOURCE
	sleep 0.3 | in_clients timeout 10 openssl s_client -connect "$SERVER4:443" -servername "$SNI" \
		-bind "$1:0" >"$LAB/s_client.log" 2>&1 ||
		fail "openssl s_client: $(tail -n 2 "$LAB/s_client.log")"
}

# Two requests on one connection.
curl_twice() { # SOURCE SERVER
	in_clients curl -sk -H "X-Fill: $FILL" --interface "$1" \
		--resolve "$SNI:443:$2" "https://$SNI/" "https://$SNI/again" >/dev/null ||
		fail "curl from $1: exit $?"
}

# source connections requests to_server to_client, of every source: as tlsload and as the agent say.
load_account() {
	grep -hv '^#' "$LAB"/load4.tsv "$LAB"/load6.tsv | cut -f 1-5 | LC_ALL=C sort
}

agent_account() {
	query "sources --limit 1000000" '.sources[] | select(.source | test("^10[.]77|^2001:db8:1077"))
		| [.source, .proven, .exchanges, .bytes_in, .bytes_out] | @tsv' | LC_ALL=C sort
}

account_equal() {
	agent_account >"$LAB/agent.tsv"
	cmp -s "$LAB/load.tsv" "$LAB/agent.tsv"
}

run_mode() { # MODE
	start_agent --attach "$1"
	expect "attached" "$1" query status '.interfaces[0].attach'
	watch_frames
	for _ in 1 2 3; do openssl_once 10.1.1.1; done
	for _ in 1 2; do curl_twice 10.1.1.2 "$SERVER4"; done
	curl_twice 2001:db8:1000:5::9 "$SERVER6"
	in_clients "$TLSLOAD" --connect "$SERVER4:443" --sources 10.77.0.0/16 --count 150 \
		--per-source 1-4 --requests 2 --profile openssl,curl-like,node-like,go-like,large \
		--list "$LAB/load4.tsv" || fail "load over IPv4"
	in_clients "$TLSLOAD" --connect "[$SERVER6]:443" --sources 2001:db8:1077::/48 --count 50 \
		--per-source 2 --list "$LAB/load6.tsv" || fail "load over IPv6"
	load_account >"$LAB/load.tsv"

	local fields="connections proven hellos incomplete syns fins"
	expect "$1: openssl, three connections" "3 3 3 0 3 3" source_row 10.1.1.1 $fields
	expect "$1: curl, two connections" "2 2 2 0 2 2" source_row 10.1.1.2 $fields
	expect "$1: curl, four exchanges" "4 1" source_row 10.1.1.2 exchanges fingerprints
	expect "$1: curl over IPv6, a /64" "1 1 1 0 1 1" source_row 2001:db8:1000:5::/64 $fields
	wait_until 15 account_equal ||
		fail "$1: accounts of sources differ:
$(diff "$LAB/load.tsv" "$LAB/agent.tsv" | head -n 20)"
	echo "ok: $1: connections, exchanges and bytes of $(wc -l <"$LAB/load.tsv") sources"
	expect "$1: no other source" $((3 + $(wc -l <"$LAB/load.tsv"))) \
		query "sources --limit 1" .total
	expect "$1: five profiles, openssl and curl" true query fingerprints \
		'[.fingerprints[] | select(.ja4 | test("^t13d[0-9]{4}(h2|h1|00)_[0-9a-f]{12}_[0-9a-f]{12}$"))]
		 | length == (. | unique_by(.ja4) | length) and length >= 5'
	expect_balance
	stop_agent TERM
	[ "$AGENT_STATUS" = 0 ] || fail "the agent ended with $AGENT_STATUS"
	rm -rf "$LAB/state"
}

run_mode native
run_mode generic
