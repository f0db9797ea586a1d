#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# tests/run counts what test programs say, and what they no longer could say.
. "$(dirname "$0")/lib.sh"

# says TOTALS <<END: what the runner makes of a program with this body.
says() {
	out=$(mktemp -d)
	mkdir -p "$out/tests/unit"
	{
		echo "#!/bin/sh"
		cat
	} >"$out/tests/unit/lib_num_test"
	chmod +x "$out/tests/unit/lib_num_test"
	code=0
	OUT=$out TEST_TIMEOUT=1 tests/run tests/unit/lib_num_test.c >"$out/report" || code=$?
	last=$(tail -n 1 "$out/report")
	case $1 in *" 0 failed,"*) want=0 ;; *) want=1 ;; esac
	if [ "$last" != "$1" ] || [ $code != $want ]; then
		cat "$out/report"
		echo "expected: $1, exit $want; got exit $code"
		rm -rf "$out"
		return 1
	fi
	rm -rf "$out"
}

check() {
	says "2 passed, 0 failed, 0 skipped" <<-END
		echo 1..2
		echo ok 1 - a
		echo ok 2 - b
	END
	says "1 passed, 1 failed, 1 skipped" <<-END
		echo 1..3
		echo ok 1 - a
		echo not ok 2 - b
		echo "not ok 3 # SKIP c"
		exit 1
	END
	says "3 passed, 0 failed, 0 skipped" <<-END
		echo 1..2
		echo ok 1 - a
		echo ok 2 - b
		echo 1..1
		echo ok 1 - c
	END
	# Cut off: what the plan promised and nobody reported has failed.
	says "1 passed, 2 failed, 0 skipped" <<-END
		echo 1..3
		echo ok 1 - a
		kill -SEGV \$\$
	END
	says "1 passed, 1 failed, 0 skipped" <<-END
		echo 1..2
		echo ok 1 - a
		exec sleep 5
	END
	# What it stands on was not built as told: again, but not for ever.
	says "1 passed, 0 failed, 0 skipped" <<-END
		[ -e "\$OUT/tried" ] || { touch "\$OUT/tried"; echo UNFIT: busy; exit 75; }
		echo 1..1
		echo ok 1 - a
	END
	says "0 passed, 1 failed, 0 skipped" <<-END
		echo UNFIT: busy
		exit 75
	END
	# A leak found at exit, or no test at all.
	says "1 passed, 1 failed, 0 skipped" <<-END
		echo 1..1
		echo ok 1 - a
		exit 23
	END
	says "0 passed, 1 failed, 0 skipped" <<-END
		exit 0
	END
	says "0 passed, 1 failed, 0 skipped" <<-END
		echo 1..0
	END
}

# The runner is the thing under test here: it must not agree with a wrong total.
self_test() {
	if says "9 passed, 0 failed, 0 skipped" >/dev/null <<-END; then
		echo 1..1
		echo ok 1 - a
	END
		echo "a wrong total was taken for right"
		return 1
	fi
}

main "$@"
