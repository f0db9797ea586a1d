#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Maps and programs are named fg_…, at most 15 characters: the kernel cuts the rest, and then
# `bpftool` on a shared host does not show whose they are. Read from the built skeleton.
. "$(dirname "$0")/lib.sh"

check() {
	if [ ! -s .out/farmgate.skel.h ]; then
		echo "not built: make"
		return 77
	fi
	# .rodata, .bss and .data are libbpf's own names.
	awk '/struct bpf_(map|program|link) \*[a-z_A-Z0-9]+;/ {
		name = $3
		gsub(/[*;]/, "", name)
		seen++
		if (name ~ /^(rodata|bss|data)(_|$)/)
			next
		if (name !~ /^fg_/) {
			print name ": does not begin with fg_"
			bad = 1
		}
		if (length(name) > 15) {
			print name ": longer than 15 characters"
			bad = 1
		}
	}
	END {
		if (!seen)
			print "no map and no program in .out/farmgate.skel.h"
		exit bad || !seen
	}' .out/farmgate.skel.h
}

self_test() {
	good .out/farmgate.skel.h <<-END
		struct bpf_map *fg_sources;
		struct bpf_map *rodata;
		struct bpf_program *fg_xdp;
	END
	bad .out/farmgate.skel.h <<-END
		struct bpf_map *sources;
	END
	bad .out/farmgate.skel.h <<-END
		struct bpf_program *fg_xdp_and_so_on;
	END
	bad .out/farmgate.skel.h <<-END
		nothing
	END
}

main "$@"
