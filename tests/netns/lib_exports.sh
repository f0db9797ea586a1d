# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
# Sourced behind lib.sh by the tests of live exports: what an export did, and what a client gets.

# export_is NAME FIELD WANT: of the agent's status.
export_is() {
	[ "$(query status ".exports[] | select(.name == \$v).$2" "$1")" = "$3" ]
}

export_count() { # NAME FIELD
	query status ".exports[] | select(.name == \$v).$2" "$1"
}

more_than() { # NAME FIELD COUNT
	[ "$(export_count "$1" "$2")" -gt "$3" ]
}

# answer SOURCE URL [OPTION…]: the HTTP status, 000 where there was none.
answer() {
	in_clients curl -sk -o /dev/null -w '%{http_code}' --connect-timeout 2 --max-time 4 \
		--interface "$1" "${@:3}" "$2"
}

answers() { # WANT SOURCE URL
	[ "$(answer "$2" "$3")" = "$1" ]
}

in_nft() { # SET ELEMENT
	in_edge nft list set inet farmgate "$1" 2>/dev/null | grep -qw "${2//./[.]}"
}

block() { # PREFIX TTL
	fg block "$1" --ttl "$2" --reason "end-to-end test" >/dev/null || fail "block $1: exit $?"
}

unblock() { # PREFIX
	fg unblock "$1" --reason "end-to-end test" >/dev/null || fail "unblock $1: exit $?"
}
