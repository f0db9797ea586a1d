#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# exports [ipset, nft] with the iptables rules of farmgate.yaml(5): a blocked client gets no answer,
# its neighbour does; flushed sets are filled again; a set of our name that is somebody else's is
# named, never touched, and holds nobody back; entries end with the agent dead.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_exports.sh"
lab_private "$@"
need_programs curl jq nft ipset iptables ip6tables
lab_begin
make_network
in_edge ipset create probe hash:ip timeout 10 counters comment 2>/dev/null &&
	in_edge iptables -t raw -A OUTPUT -m set --match-set probe src 2>/dev/null ||
	skip "this kernel has no ipset, or no set match for iptables"
in_edge iptables -t raw -F OUTPUT
in_edge ipset destroy probe
start_server
CONF=$LAB/farmgate.yaml
printf 'exports: [ipset, nft]\n' >"$CONF"

in_set() { # SET ELEMENT
	in_edge ipset save "$1" 2>/dev/null | grep -qw "add $1 ${2//./[.]}"
}

not_in_set() {
	! in_set "$1" "$2"
}

# A set of that name which is not ours.
in_edge ipset create farmgate4n hash:ip,port
in_edge ipset add farmgate4n 192.0.2.77,tcp:80
start_agent
wait_until 20 export_is ipset failing true || fail "a set of another type is no error"
query status '.exports[] | select(.name == "ipset").error' |
	grep -q 'set farmgate4n of type hash:ip,port' ||
	fail "the error does not name it: $(cat "$LAB/answer.json")"
block 10.20.0.9 10m
wait_until 10 in_nft blocked4 10.20.0.9 || fail "nft waited for ipset"
in_edge ipset save farmgate4n | grep -q '192.0.2.77' || fail "the foreign set was touched"
in_edge ipset list -n | grep -qx farmgate4 && fail "half of the sets were made"
echo "ok: a foreign set is named and left alone; nft goes on"
in_edge ipset destroy farmgate4n
wait_until 90 in_set farmgate4 10.20.0.9 || fail "not written once the name was free: $(fg status)"
wait_until 10 export_is ipset failing false || fail "it is still said to fail"

# From here on the rules of iptables alone decide.
stop_agent TERM
printf 'exports: [ipset]\n' >"$CONF"
in_edge nft delete table inet farmgate
for set in farmgate4 farmgate4n; do
	in_edge iptables -t raw -A PREROUTING -p tcp --syn --dport 443 \
		-m set --match-set $set src -j DROP || fail "iptables refuses $set"
done
for set in farmgate6 farmgate6n; do
	in_edge ip6tables -t raw -A PREROUTING -p tcp --syn --dport 443 \
		-m set --match-set $set src -j DROP || fail "ip6tables refuses $set"
done
start_agent
WEB=https://$SERVER4/
wait_until 10 in_set farmgate4 10.20.0.9 || fail "the next agent forgot what stands"
answers 000 10.20.0.9 "$WEB" || fail "the blocked client was answered"
answers 200 10.20.0.8 "$WEB" || fail "its neighbour was hit"
block 10.30.0.0/16 10m
block 2001:db8:1000:7::/64 10m
block 2001:db8:1fff::/48 10m
wait_until 10 in_set farmgate6n 2001:db8:1fff::/48 || fail "a /48 is not in farmgate6n"
in_set farmgate4n 10.30.0.0/16 && in_set farmgate6 2001:db8:1000:7::/64 || fail "in the wrong sets"
answers 000 10.30.4.5 "$WEB" || fail "a blocked range was answered"
answers 000 2001:db8:1000:7::5 "https://[$SERVER6]/" || fail "a blocked /64 was answered"
answers 200 2001:db8:1000:8::5 "https://[$SERVER6]/" || fail "the /64 beside it was hit"
unblock 10.20.0.9
wait_until 10 not_in_set farmgate4 10.20.0.9 || fail "still in the set after unblock"
answers 200 10.20.0.9 "$WEB" || fail "not let back in"
echo "ok: the blocked client gets no answer, its neighbour does; ranges and IPv6; unblock"

in_edge ipset flush farmgate4n
wait_until 40 in_set farmgate4n 10.30.0.0/16 || fail "the flushed set was not filled again"
answers 000 10.30.4.5 "$WEB" || fail "the rule lost its set"
wait_until 5 more_than ipset rewrites 0 || fail "no rewrite was counted"
in_edge ipset add farmgate4 203.0.113.9
wait_until 40 not_in_set farmgate4 203.0.113.9 || fail "a stranger's element was not taken out"
echo "ok: what others change is written again"

block 10.20.0.4 6s
wait_until 5 in_set farmgate4 10.20.0.4 || fail "a short block is not in the set"
stop_agent KILL
wait_until 15 not_in_set farmgate4 10.20.0.4 || fail "it does not end with the agent dead"
in_set farmgate4n 10.30.0.0/16 || fail "a longer block is gone"
echo "ok: entries end with the agent dead"
