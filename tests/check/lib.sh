# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sourced by the checks of the source tree. A check defines
#   check       looks at the tree in the current directory, prints what is wrong, returns 1 then
#   self_test   proves with good and bad that check can do both
# and ends with `main "$@"`: without argument it checks this tree, with --self-test itself.
set -eu

# Write stdin to PATH in a tree that is empty but for the files of ours that $base names, and
# check that.
base=
judge() {
	tree=$(mktemp -d)
	for path in $base "$1"; do
		mkdir -p "$tree/$(dirname "$path")"
		[ "$path" = "$1" ] || cp "$top/$path" "$tree/$path"
	done
	mkdir -p "$tree/user" "$tree/bpf" "$tree/include"
	cat >"$tree/$1"
	verdict=good
	(cd "$tree" && check) >"$tree.log" 2>&1 || verdict=bad
	rm -rf "$tree"
}

# expect VERDICT PATH <<END
expect() {
	judge "$2"
	if [ "$verdict" != "$1" ]; then
		echo "self-test: $2 was found $verdict, should be $1"
		sed 's/^/    /' "$tree.log"
		rm -f "$tree.log"
		exit 1
	fi
	rm -f "$tree.log"
}

good() { expect good "$1"; }
bad() { expect bad "$1"; }

# C files of the tree, one a line.
c_files() {
	find . -path ./.out -prune -o -path ./.git -prune -o -name '*.[ch]' -type f -print | sort
}

main() {
	top=$(cd "$(dirname "$0")/../.." && pwd)
	cd "$top"
	if [ "${1-}" = --self-test ]; then
		self_test
	else
		check
	fi
}
