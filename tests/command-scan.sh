#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread scan". Needs
# dump-target in /tests, and a busybox with su.
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
work=$tap/work
mkdir "$work"
chmod 755 "$tap"
target=
trap '[ -z "$target" ] || kill -KILL $target' EXIT

# start ARGUMENT... - a dump-target; its PID is in $target
start() {
	: >"$work/ready"
	"${0%/*}/dump-target" "$@" >"$work/ready" &
	target=$!
	for _ in $(seq 600); do
		[ -s "$work/ready" ] && return
		sleep 0.1
	done
	echo "Bail out! dump-target is not ready"
	exit 1
}

# finds N ARGUMENT... - scan --count with these arguments prints N
finds() {
	want=$1
	shift
	[ "$want" = 0 ] && want_status=1 || want_status=0
	status "$want_status" pvmread scan --count "$target" "$@" || return
	[ "$(cat "$out")" = "$want" ] || { echo "$(cat "$out") found, not $want"; return 1; }
}

# fails PATTERN ARGUMENT... - scan exits with 2, and stderr matches
fails() {
	pattern=$1
	shift
	status 2 pvmread scan "$@" && says "$err" "$pattern" && [ ! -s "$out" ]
}

start
t "a string across two chunks is found once" finds 40 needle
t "a string across two mappings is found once" finds 1 crossing
t "a string across a hole is not found" finds 0 halfway
t "a string before the hole is found" finds 1 -e 'crossing\0{4000,}half'
t "the case matters by default" finds 0 NEEDLE
t "-i ignores the case" finds 40 -i NEEDLE
t "a string is not a regex by default" finds 0 'n..dle'
t "-e searches a regex" finds 40 -e 'n(e|E){2}dle(?=.)'
t "-x searches hexadecimal bytes" finds 40 -x '6e 65 65 64 6c 65'
t "?? in -x matches any byte" finds 40 -x '6e??65646c??'
t "?? in -x matches a newline" finds 1 -x '74 77 6f ?? 6c 69 6e 65 73'
t "a match of 60,002 bytes across chunks" finds 1 -e 'L0{60000}R'
t "a match of 200,000 bytes is split in two" finds 2 -e 'K{50000,}'
t ".* in long lines does not take quadratic time" \
	status 1 timeout -s KILL 60 pvmread scan "$target" -e '.*nowhere'
t "^ and \\A match only at a region's start" finds 1 -e '(?s)\A.' -r 0x20000000-0x20401000
t "^ does not match at a chunk's start" finds 1 -e '(?s)^\0' -r 0x20000000-0x20401000
t "\$ matches at a region's end" finds 1 -e 'half$' -r 0x20000000-0x20401000
t "a lookbehind sees the previous chunk" finds 1 -e '(?<=L0{255})0(?=0{59743}0R)'
t "so does a nested lookbehind" finds 1 -e '(?<=(?<=\0\0)L0{255})0(?=0{59743}0R)'
t "\\K works at a region's start" finds 1 -e 'cros\Ks' -r 0x20000000-0x20401000
t "  and at a chunk's end" finds 1 -e 'L0{29999}\K0{30000}(?=0R|R)'
t "word boundaries match around a word" finds 40 -e '\bneedle\b'
t "empty matches are not counted" finds 0 -e 'x*' -r 0x20401000-0x20500000
t "an empty match does not end the scan" finds 40 -e '(needle)?' -r 0x20100000-0x20250000
t "a character of three bytes across chunks" finds 1 --utf -e '\x{20ac}' -r 0x20080000-0x20400000
t "its last byte is not a character" finds 0 --utf -e '\x{ac}(?<=\x{20ac})'
t "UTF-8 among other bytes" finds 40 --utf -i 'NEEDLE'
t "a range of two bytes has one match" finds 1 -e '(?s)..' -r 0x20000000-0x20000002
t "a range by name" finds 0 needle -r '[stack]-[stack]+4096'
t "--max limits the matches" finds 3 -m 3 needle
t "--writable finds text in writable memory" finds 40 -w needle
t "--writable skips read-only mappings" finds 0 -w -e 'ing' -r 0x20400000-0x20401000

t "a match prints two lines" status 0 pvmread scan "$target" -c 4 crossing
t "  address, name and length" says "$out" '^0x203ffffb \[anonymous\]\+0x3ffffb 8 bytes$'
t "  a dump with four bytes around" \
	says "$out" '^203ffff7: 0000 0000 6372 6f73 7369 6e67 0000 0000 '
t "  nothing else" [ "$(wc -l <"$out")" = 2 ]
t "no context" status 0 pvmread scan "$target" -c 0 crossing
t "  only the bytes of the match" says "$out" '^203ffffb: 6372 6f73 7369 6e67 +crossing$'
t "context across a chunk" status 0 pvmread scan "$target" -c 8 -m 1 -e 'L0{30000}'
t "  the dump starts before the match" says "$out" '^200f8ac7: 0000 0000 0000 0000 4c30 '
t "a match in the program's data" status 0 pvmread scan "$target" -c 0 'a known text'
t "  the file's name and the offset" \
	says "$out" '^0x[0-9a-f]+ /.*/dump-target\+0x[0-9a-f]+ 12 bytes$'
t "a match in the heap" status 0 pvmread scan "$target" -c 0 'a piece'
t "  [heap] and the offset" says "$out" '^0x[0-9a-f]+ \[heap\]\+0x[0-9a-f]+ 7 bytes$'
where=$(sed -n 's/^[^ ]* \([^ ]*\) 7 bytes$/\1/p' "$out")
t "  pvmread read accepts that place" \
	sh -c "[ \"\$(pvmread read $target '$where' 7)\" = 'a piece' ]"
t "JSON" status 0 pvmread scan "$target" --json crossing
t "  one object a line" says "$out" \
	'^\{"address":541065211,"length":8,"name":"","offset":4194299,"bytes":"63726f7373696e67"\}$'
t "--resident finds the same" finds 40 -R needle
t "--nowait finds the same" finds 40 -N needle
t "-v" status 0 pvmread scan -v "$target" crossing
t "  stderr names skipped memory" says "$err" 'skipped 0x20601000-0x20602000'

t "no such process" fails 'pvmread scan: process 999999: no such process' 999999 x
t "an invalid PID" fails '"12x" is not a process number' 12x x
t "no PATTERN" fails 'it takes PID and PATTERN' "$target"
t "an empty pattern" fails 'the pattern is empty' "$target" ''
t "(*UTF) without --utf" fails 'using UTF is disabled' "$target" -e '(*UTF)a'
t "\\C with --utf" fails 'using \\C is disabled' "$target" --utf -e 'a\C'
t "an invalid regex" fails '"a\(b": missing closing parenthesis at byte 3' "$target" -e 'a(b'
t "invalid -x bytes" fails '"4g": not hexadecimal bytes' "$target" -x '4g'
t "half a byte in -x" fails 'not hexadecimal bytes' "$target" -x '48 ?'
t "no bytes in -x" fails 'no bytes given' "$target" -x ' '
t "-x with -e" fails 'cannot be combined' -x -e "$target" x
t "a context over 4096" fails 'over 4096' -c4097 "$target" x
t "a range that ends before it begins" fails 'END must be above START' "$target" x -r1-0
t "an invalid range" fails 'not START-END' "$target" x -r1
t "a regex over the match limit" fails 'failed in .* from 0x20[0-9a-f]+ on: .*limit' \
	-r0x202f0000-0x20300000 "$target" -e '(K+K+)+[XY]'
chmod 666 /dev/pvmread
mkdir -p /etc
grep -qs ^alice: /etc/passwd || echo 'alice:x:1000:1000::/:/bin/sh' >>/etc/passwd
t "no permission" status 2 su alice -s /bin/sh -c "pvmread scan $target x"
t "  stderr says so" says "$err" 'permission denied'
chmod 600 /dev/pvmread
t "a full disk" sh -c "! timeout -s KILL 60 pvmread scan $target -e '(?s).' >/dev/full 2>$err"
t "  stderr says so" says "$err" 'standard output: No space left on device'
t "a closed pipe has the first match" \
	sh -c "pvmread scan $target -e . 2>$err | head -n 1 | grep -q ^0x"
kill -KILL "$target"
wait "$target" 2>/dev/null
t "a process that was killed" fails 'no such process' "$target" x

# The target exits while the scan waits for the reader of its output. No page of the target is
# resident from then on.
start
{
	got=0
	pvmread scan -R -w "$target" KKK 2>"$err" || got=$?
	echo "$got" >"$work/status"
} | {
	IFS= read -r first
	echo "$first" >"$out"
	kill -KILL "$target"
	sleep 0.2
	cat >>"$out"
}
wait "$target" 2>/dev/null
t "target exits during scan -R: status 2" [ "$(cat "$work/status")" = 2 ]
t "  stdout has the earlier matches" says "$out" 'KKK'
t "  stderr says that it exited" says "$err" 'process [0-9]+ \(dump-target\): (has exited|runs another)'

start stray
t "UTF-8 among stray continuation bytes" finds 2 --utf -e 'whi?sper' -r 0x20800000-0x20b00000
t "  also without the JIT" finds 2 --utf -e '(*NO_JIT)whi?sper' \
	-r 0x20800000-0x20b00000
kill -KILL "$target"
wait "$target" 2>/dev/null

start sparse
t "4 GiB with few pages present" finds 1 -R 'last touched'
kill -KILL "$target"
wait "$target" 2>/dev/null

start hole
t "an unserved userfaultfd page is skipped" \
	status 1 timeout -s KILL 60 pvmread scan "$target" -e 'never[0-9]'
t "  the pages around it are searched" finds 1 before -r 0x20700000-0x20703000
kill -KILL "$target"
wait "$target" 2>/dev/null

# The scan waits for the reader of the FIFO.
start
mkfifo "$work/fifo"
pvmread scan "$target" -e 'K' >"$work/fifo" 2>"$err" &
scan=$!
exec 8<"$work/fifo"
sleep 1
kill -TERM $scan
wait $scan
t "SIGTERM ends it with status 143" [ $? = 143 ]
exec 8<&-
end
