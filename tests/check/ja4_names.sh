#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Only JA4, the TLS client fingerprint, is free to ship. Its sister methods have names of JA4 and a
# few letters more, and none of them may stand here; this check knows none of them either.
. "$(dirname "$0")/lib.sh"

check() {
	! find . -path ./.out -prune -o -path ./.git -prune -o -type f ! -name '*.pcap*' -print0 |
		xargs -0 -r grep -nIE '(^|[^A-Za-z0-9])[Jj][Aa]4([A-Z]|[a-z]{1,5}([^a-z]|$)|\+)' -- |
		grep -v '^\./tests/check/ja4_names\.sh:'
}

self_test() {
	good user/a.c <<-END
		/* JA4 as text, ja4_r too: fg_ja4_print(), FG_JA4_MAX, "ja4":"t13d" */
	END
	printf '/* JA4%s */\n' Q | bad user/a.c
	printf 'ja4%s = 1\n' qq | bad scripts/a
	printf 'the JA4%s suite\n' + | bad README.md
}

main "$@"
