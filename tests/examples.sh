#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# The programs of examples/ do what they say. Runs as root inside a guest, with the
# programs in /examples, examples-target and tap.sh beside it, and the module loaded.
here=$(dirname "$0")
. "$here/tap.sh"
target=

cleanup() {
	[ -z "$target" ] || kill -KILL "$target" 2>/dev/null
	rm -rf "$tap"
}
trap cleanup EXIT

# line FILE N PATTERN - line N of FILE, or the last one for '$', is PATTERN, all of it
line() {
	sed -n "$2p" "$1" | grep -qxE -e "$3" || { echo "line $2 of $1 is not $3"; return 1; }
}

# lines FILE N
lines() {
	[ "$(wc -l <"$1")" = "$2" ] || { echo "$1 has not $2 lines"; return 1; }
}

# --- grant ---

t "grant: it ends well" status 0 /examples/grant
t "grant: the grantee reads the range" line "$out" 1 'granted: shared'
t "grant: and nothing outside of it" line "$out" 2 'outside of it: no memory there.*'
t "grant: nor after the granter has ended" line "$out" 3 'without the granter: no such process.*'
t "grant: no more" lines "$out" 3
t "grant: no error" lines "$err" 0

# --- sample-stack ---

mkfifo "$tap/addresses"
"$here/examples-target" >"$tap/addresses" &
target=$!
read -r code counter <"$tap/addresses"

# seen ADDRESS LEAST - how often sample-stack has seen it
seen() {
	awk -v address="$1" -v least="$2" \
		'$2 == address && $1 >= least { found = 1 } END { exit !found }' "$out" ||
		{ echo "$1 was not seen $2 times"; return 1; }
}
t "sample-stack: it ends well" status 0 /examples/sample-stack $target 50
t "sample-stack: it has taken the samples" line "$out" 1 '50 samples, (not )?cached'
t "sample-stack: each of them has a caller that is on the stack" seen "$code" 50
t "sample-stack: no error" lines "$err" 0
t "sample-stack: no such process" status 1 /examples/sample-stack 99999999
t "sample-stack: it says so" line "$err" 1 'sample-stack: process 99999999: no such process.*'
t "sample-stack without arguments: the usage" status 2 /examples/sample-stack

# --- target_file.py ---

first=$(sed -n '1s/-.*//p' /proc/$target/maps)
head -c 64 /proc/$target/exe >"$tap/first"
t "target_file.py: it ends well" status 0 "$here/python3" "$here/target_file.py" $target \
	"0x$first" 64
t "target_file.py: it has read the program's first bytes" cmp "$tap/first" "$out"
t "target_file.py: an address that is not mapped" status 1 "$here/python3" \
	"$here/target_file.py" $target 0x10 8
t "target_file.py: it says so" line "$err" '$' 'OSError: .*Input/output error'

# --- watch-counter ---

# grows - each value is the one before and what is added, from the second line on
grows() {
	awk '{ sub("[+]", "", $2) }
	     NR > 1 && ($1 <= old || $1 != old + $2) { bad = 1 }
	     { old = $1 }
	     END { exit bad || NR != 5 || old < 1005 }' "$out"
}
t "watch-counter: it ends after 5 changes" status 0 /examples/watch-counter $target "$counter" 5
t "watch-counter: the counter grows as it says" grows
t "watch-counter: an address that is not mapped" status 1 /examples/watch-counter $target 0x10 5
t "watch-counter: it says so" line "$err" 1 'watch-counter: 0x10: .*'

/examples/watch-counter $target "$counter" >"$tap/watched" 2>&1 &
watcher=$!
until [ -s "$tap/watched" ] || ! kill -0 $watcher 2>/dev/null; do usleep 10000; done
kill -KILL $target
t "watch-counter: it ends with the process" wait $watcher
t "watch-counter: it says so" line "$tap/watched" '$' "process $target has ended"
end
