#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every file of ours says its licence in its first three lines. Data has none: captures, corpora,
# tables; nor have the README and the licence itself. Vendored files carry their own.
. "$(dirname "$0")/lib.sh"

check() {
	find . -path ./.out -prune -o -path ./.git -prune -o -path '*.in/*' -prune -o -type f \
		! -name LICENSE ! -name '*.md' ! -name '*.pcap' ! -name '*.pcapng' ! -name '*.tsv' \
		! -name '*.json' ! -name '*.png' ! -name '*.patch' ! -name 'uPlot*' -print | sort |
		while read -r file; do
			head -n 3 "$file" | grep -q \
				'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' || echo "$file"
		done | awk '{ print $0 ": no SPDX line"; bad = 1 } END { exit bad }'
}

self_test() {
	good user/a.c <<-END
		/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
	END
	good scripts/a <<-END
		#!/bin/sh
		# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
	END
	good tests/fuzz/fuzz_a.in/1 <<-END
		x
	END
	bad user/a.c <<-END
		/* SPDX-License-Identifier: GPL-2.0-only */
	END
	bad scripts/a <<-END
		#!/bin/sh
	END
	bad Makefile <<-END
		all:



		# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
	END
}

main "$@"
