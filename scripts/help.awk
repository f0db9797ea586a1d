# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# `make help`: targets from their "##" comments, then the variables a user may set.
BEGIN { FS = ":.*## "; print "targets:" }
/^[a-z-]+:.*## / { printf "  %-14s %s\n", $1, $2 }
END {
	print "variables:"
	print "  V=1            show commands            WERROR=1       warnings are errors"
	print "  CC CLANG       host and BPF compiler    CFLAGS         host, default -O2 -g"
	print "  BPFTOOL        bpftool to use           SAN=           host sanitizers"
	print "  DESTDIR PREFIX SYSCONFDIR               install paths, default / /usr/local /etc"
	print "  DIR=           captures of conformance  FUZZ_SECONDS=  per fuzz target, default 20"
	print "  VERSION=       version to build in, default from git, else 0.1.0"
}
