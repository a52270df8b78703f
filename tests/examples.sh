#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Tests that the programs of examples/ do what they say. Runs as root inside a guest, with the
# programs in /examples, examples-target and tap.sh beside it, and the module loaded.
here=$(dirname "$0")
. "$here/tap.sh"
target=

cleanup() {
	[ -z "$target" ] || kill -KILL "$target" 2>/dev/null
	rm -rf "$tap"
}
trap cleanup EXIT

# line FILE N PATTERN - all of line N of FILE ('$': the last one) matches PATTERN
line() {
	sed -n "$2p" "$1" | grep -qxE -e "$3" || { echo "line $2 of $1 does not match $3"; return 1; }
}

# lines FILE N - FILE has N lines
lines() {
	[ "$(wc -l <"$1")" = "$2" ] || { echo "$1 does not have $2 lines"; return 1; }
}

# --- grant ---

t "grant: it succeeds" status 0 /examples/grant
t "grant: the grantee reads the range" line "$out" 1 'granted: shared'
t "grant: the grantee reads nothing outside the range" line "$out" 2 'outside the range: not mapped.*'
t "grant: the grantee reads nothing after the granter has exited" line "$out" 3 'after the granter exited: no such process.*'
t "grant: it prints nothing else" lines "$out" 3
t "grant: it prints no error" lines "$err" 0

# --- sample-stack ---

mkfifo "$tap/addresses"
"$here/examples-target" >"$tap/addresses" &
target=$!
read -r code counter <"$tap/addresses"

# seen ADDRESS LEAST - sample-stack has seen it at least LEAST times
seen() {
	awk -v address="$1" -v least="$2" \
		'$2 == address && $1 >= least { found = 1 } END { exit !found }' "$out" ||
		{ echo "$1 was seen fewer than $2 times"; return 1; }
}
t "sample-stack: it succeeds" status 0 /examples/sample-stack $target 50
t "sample-stack: it takes 50 samples" line "$out" 1 '50 samples, (not )?cached'
t "sample-stack: each sample has the return address into main()" seen "$code" 50
t "sample-stack: it prints no error" lines "$err" 0
t "sample-stack: it fails if there is no such process" status 1 /examples/sample-stack 99999999
t "sample-stack: it says so" line "$err" 1 'sample-stack: process 99999999: no such process.*'
t "sample-stack: it exits with 2 without arguments" status 2 /examples/sample-stack

# --- target_file.py ---

first=$(sed -n '1s/-.*//p' /proc/$target/maps)
head -c 64 /proc/$target/exe >"$tap/first"
t "target_file.py: it succeeds" status 0 "$here/python3" "$here/target_file.py" $target \
	"0x$first" 64
t "target_file.py: it prints the first bytes of the program" cmp "$tap/first" "$out"
t "README.md's Python: it succeeds" status 0 "$here/python3" "$here/readme.py" $target "0x$first"
t "README.md's Python: it reads the same" cmp "$tap/first" "$out"
t "target_file.py: it fails if the address is not mapped" status 1 "$here/python3" \
	"$here/target_file.py" $target 0x10 8
t "target_file.py: it says so" line "$err" '$' 'OSError: .*Input/output error'

# --- watch-counter ---

# grows - from the second line on, each value is the previous one plus the difference
grows() {
	awk '{ sub("[+]", "", $2) }
	     NR > 1 && ($1 <= old || $1 != old + $2) { bad = 1 }
	     { old = $1 }
	     END { exit bad || NR != 5 || old < 1005 }' "$out"
}
t "watch-counter: it exits after 5 changes" status 0 /examples/watch-counter $target "$counter" 5
t "watch-counter: values and differences agree" grows
t "watch-counter: it fails at an address that is not mapped" status 1 /examples/watch-counter $target 0x10 5
t "watch-counter: it says so" line "$err" 1 'watch-counter: 0x10: .*'

/examples/watch-counter $target "$counter" >"$tap/watched" 2>&1 &
watcher=$!
until [ -s "$tap/watched" ] || ! kill -0 $watcher 2>/dev/null; do usleep 10000; done
kill -KILL $target
t "watch-counter: it exits with the process" wait $watcher
t "watch-counter: it says so" line "$tap/watched" '$' "process $target has exited"
end
