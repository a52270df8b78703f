#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread scan". Needs
# dump-target in /tests, and su's and the shell's busybox.
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
work=$tap/work
mkdir "$work"
chmod 755 "$tap"
target=
trap '[ -z "$target" ] || kill -KILL $target' EXIT

# start ARGUMENT... - a dump-target; its number is in $target
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

# finds N ARGUMENT... - scan with these says that there are N
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
t "a string across two chunks is found once each" finds 40 needle
t "a string across two mappings is found once" finds 1 crossing
t "a string with a hole in it is not there" finds 0 halfway
t "what is in front of the hole is" finds 1 -e 'crossing\0{4000,}half'
t "case matters" finds 0 NEEDLE
t "unless told otherwise" finds 40 -i NEEDLE
t "a string is not an expression" finds 0 'n..dle'
t "an expression is" finds 40 -e 'n(e|E){2}dle(?=.)'
t "bytes in hexadecimal" finds 40 -x '6e 65 65 64 6c 65'
t "bytes in hexadecimal, some unknown" finds 40 -x '6e??65646c??'
t "an unknown byte may be a newline" finds 1 -x '74 77 6f ?? 6c 69 6e 65 73'
t "60,002 bytes across two chunks" finds 1 -e 'L0{60000}R'
t "200,000 bytes are cut, and none is lost" finds 2 -e 'K{50000,}'
t "where lines are long, the rest of one is not searched from each of its bytes" \
	status 1 timeout -s KILL 60 pvmread scan "$target" -e '.*nowhere'
t "^ and \\A are where a region begins only" finds 1 -e '(?s)\A.' -r 0x20000000-0x20401000
t "^ is not where a chunk begins" finds 1 -e '(?s)^\0' -r 0x20000000-0x20401000
t "\$ is where it ends" finds 1 -e 'half$' -r 0x20000000-0x20401000
t "a lookbehind sees the chunk before" finds 1 -e '(?<=L0{255})0(?=0{59743}0R)'
t "a lookbehind inside another one, too" finds 1 -e '(?<=(?<=\0\0)L0{255})0(?=0{59743}0R)'
t "what \\K leaves out is looked at" finds 1 -e 'cros\Ks' -r 0x20000000-0x20401000
t "  where a chunk ends, too" finds 1 -e 'L0{29999}\K0{30000}(?=0R|R)'
t "a word begins where it begins" finds 40 -e '\bneedle\b'
t "matches of no bytes are none" finds 0 -e 'x*' -r 0x20401000-0x20500000
t "nor do they stop the rest" finds 40 -e '(needle)?' -r 0x20100000-0x20250000
t "a character of three bytes across chunks" finds 1 --utf -e '\x{20ac}' -r 0x20080000-0x20400000
t "its last byte is none" finds 0 --utf -e '\x{ac}(?<=\x{20ac})'
t "UTF-8 among bytes that are not" finds 40 --utf -i 'NEEDLE'
t "two bytes are in a range" finds 1 -e '(?s)..' -r 0x20000000-0x20000002
t "a range by name" finds 0 needle -r '[stack]-[stack]+4096'
t "--max stops" finds 3 -m 3 needle
t "only what is writable" finds 0 -w 'xyz known text'
t "read-only mappings are not" finds 0 -w -e 'ing' -r 0x20400000-0x20401000

t "an address, a name, a dump" status 0 pvmread scan "$target" -c 4 crossing
t "  the address" says "$out" '^0x203ffffb \[anonymous\]\+0x3ffffb 8 bytes$'
t "  the bytes, and four around" says "$out" '^203ffff7: 0000 0000 6372 6f73 7369 6e67 0000 0000 '
t "  nothing else" [ "$(wc -l <"$out")" = 2 ]
t "no context" status 0 pvmread scan "$target" -c 0 crossing
t "  the bytes only" says "$out" '^203ffffb: 6372 6f73 7369 6e67 +crossing$'
t "context across a chunk" status 0 pvmread scan "$target" -c 8 -m 1 -e 'L0{30000}'
t "  starts before it" says "$out" '^200f8ac7: 0000 0000 0000 0000 4c30 '
t "a variable by the program's name" status 0 pvmread scan "$target" -c 0 'a known text'
t "  the name" says "$out" '^0x[0-9a-f]+ /.*/dump-target\+0x[0-9a-f]+ 12 bytes$'
t "what is in the heap" status 0 pvmread scan "$target" -c 0 'a piece'
t "  from where that begins" says "$out" '^0x[0-9a-f]+ \[heap\]\+0x[0-9a-f]+ 7 bytes$'
where=$(sed -n 's/^[^ ]* \([^ ]*\) 7 bytes$/\1/p' "$out")
t "  as pvmread read takes it" sh -c "[ \"\$(pvmread read $target '$where' 7)\" = 'a piece' ]"
t "JSON" status 0 pvmread scan "$target" --json crossing
t "  an object" says "$out" \
	'^\{"address":541065211,"length":8,"name":"","offset":4194299,"bytes":"63726f7373696e67"\}$'
t "resident memory only" finds 40 -R needle
t "without waiting" finds 40 -N needle
t "-v tells what was skipped" status 0 pvmread scan -v "$target" crossing
t "  [vvar], a file that ends" says "$err" 'skipped 0x20601000-0x20602000'

t "no such process" fails 'pvmread scan: process 999999: no such process' 999999 x
t "no number" fails '"12x" is no process number' 12x x
t "no pattern" fails 'it takes PID and PATTERN' "$target"
t "an empty pattern" fails 'the pattern is empty' "$target" ''
t "UTF-8 where it was not asked for" fails 'using UTF is disabled' "$target" -e '(*UTF)a'
t "half a character" fails 'using \\C is disabled' "$target" --utf -e 'a\C'
t "a bad expression" fails '"a\(b": missing closing parenthesis at its byte 3' "$target" -e 'a(b'
t "bad bytes" fails '"4g": not hexadecimal bytes' "$target" -x '4g'
t "half a byte" fails 'not hexadecimal bytes' "$target" -x '48 ?'
t "no bytes" fails 'no bytes given' "$target" -x ' '
t "two kinds" fails 'exclude each other' -x -e "$target" x
t "a bad context" fails 'over 4096' -c4097 "$target" x
t "a range that ends before it begins" fails 'it ends before it begins' "$target" x -r1-0
t "no range" fails 'not START-END' "$target" x -r1
t "an expression that takes for ever" fails '0x20[0-9a-f]+ on: .*limit' \
	-r0x202f0000-0x20300000 "$target" -e '(K+K+)+[XY]'
chmod 666 /dev/pvmread
mkdir -p /etc
grep -qs ^alice: /etc/passwd || echo 'alice:x:1000:1000::/:/bin/sh' >>/etc/passwd
t "no permission" status 2 su alice -s /bin/sh -c "pvmread scan $target x"
t "  says so" says "$err" 'permission denied'
chmod 600 /dev/pvmread
t "a full disk" sh -c "! timeout -s KILL 60 pvmread scan $target -e '(?s).' >/dev/full 2>$err"
t "  said" says "$err" 'standard output: No space left on device'
t "a closed pipe" sh -c "pvmread scan $target -e . 2>$err | head -n 1 | grep -q ^0x"
kill -KILL "$target"
wait "$target" 2>/dev/null
t "a process that was killed" fails 'no such process' "$target" x

# Of what has ended nothing is resident. The scan waits for its reader meanwhile.
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
t "the process dies while what is resident is searched" [ "$(cat "$work/status")" = 2 ]
t "  what was found is told" says "$out" 'KKK'
t "  and why there is no more" says "$err" 'process [0-9]+ \(dump-target\): (has exited|runs another)'

start stray
t "UTF-8 among bytes that begin no character" finds 2 --utf -e 'whi?sper' -r 0x20800000-0x20b00000
t "  without a compiled expression, too" finds 2 --utf -e '(*NO_JIT)whi?sper' \
	-r 0x20800000-0x20b00000
kill -KILL "$target"
wait "$target" 2>/dev/null

start sparse
t "4 GiB with little in them" finds 1 -R 'last touched'
kill -KILL "$target"
wait "$target" 2>/dev/null

start hole
t "what a userfaultfd does not serve is not waited for" \
	status 1 timeout -s KILL 60 pvmread scan "$target" -e 'never[0-9]'
t "  what is around it is searched" finds 1 before -r 0x20700000-0x20703000
kill -KILL "$target"
wait "$target" 2>/dev/null

# It waits for its reader.
start
mkfifo "$work/fifo"
pvmread scan "$target" -e 'K' >"$work/fifo" 2>"$err" &
scan=$!
exec 8<"$work/fifo"
sleep 1
kill -TERM $scan
wait $scan
t "a signal ends it as a signal does" [ $? = 143 ]
exec 8<&-
end
