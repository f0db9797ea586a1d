#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Manual pages are clean mdoc, and farmgate.yaml(5) and the example name exactly the keys that
# the configuration reads.
. "$(dirname "$0")/lib.sh"

schema_keys() {
	grep -oE '(TEXTS?|ENUM|UINT|CYAML_FIELD_(FLOAT|SEQUENCE))\("[a-z_]+"' user/agent/conf_schema.c |
		sed 's/.*"\(.*\)"/\1/' | sort -u
}

manual_keys() {
	sed -n 's/^\.It Ic \([a-z_.]*\) :.*/\1/p' user/man/farmgate.yaml.5 | sed 's/.*\.//' | sort -u
}

example_keys() {
	sed -n 's/^# *\([a-z_]*\): [^ ].*/\1/p' scripts/farmgate.yaml | sort -u
}

check() {
	command -v mandoc >/dev/null || {
		echo "needs mandoc: scripts/deps test installs it"
		return 77
	}
	mandoc -Tlint -W warning user/man/*.[0-9] || return 1
	[ -f user/agent/conf_schema.c ] || return 0
	[ "$(schema_keys)" = "$(manual_keys)" ] || {
		echo "keys of user/agent/conf_schema.c and of farmgate.yaml(5):" $(schema_keys) / $(manual_keys)
		return 1
	}
	[ "$(schema_keys)" = "$(example_keys)" ] || {
		echo "keys of user/agent/conf_schema.c and of scripts/farmgate.yaml:" $(schema_keys) / $(example_keys)
		return 1
	}
}

self_test() {
	good user/man/a.8 <<-END
		.Dd November 23, 2026
		.Dt A 8
		.Os
		.Sh NAME
		.Nm a
		.Nd nothing
	END
	bad user/man/a.8 <<-END
		.Dd November 23, 2026
		.Dt A 8
		.Os
		.Sh NAME
		.Nm a
		.Nd nothing
		.Bl -tag
		.It x
	END
	base="user/man/farmgate.yaml.5 scripts/farmgate.yaml"
	good user/agent/conf_schema.c <"$top/user/agent/conf_schema.c"
	{
		cat "$top/user/agent/conf_schema.c"
		echo '	UINT("no_manual_names_this", struct raw, x),'
	} | bad user/agent/conf_schema.c
	grep -v 'UINT("shared_stems"' "$top/user/agent/conf_schema.c" | bad user/agent/conf_schema.c
}

main "$@"
