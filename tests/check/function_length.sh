#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# No function is longer than 90 lines: what does not fit a screen is not read as a whole.
. "$(dirname "$0")/lib.sh"

check() {
	c_files | xargs -r awk '
		FNR == 1 { start = 0 }
		/^[a-zA-Z_].*\(/ { name = $0 }
		/^\{/ { start = FNR }
		/^\}/ && start {
			if (FNR - start + 1 > 90) {
				printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start + 1, name
				bad = 1
			}
			start = 0
		}
		END { exit bad }'
}

# A function of N lines between its braces, these included.
function_of() {
	echo "static int f(void)"
	echo "{"
	yes "	g();" | head -n $(($1 - 2))
	echo "}"
}

self_test() {
	function_of 90 | good user/a.c
	function_of 91 | bad user/a.c
	{
		function_of 60
		function_of 60
	} | good user/a.c
	{
		echo "static const int table[] = {"
		yes "	1," | head -n 200
		echo "};"
	} | good user/a.c
}

main "$@"
