#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# The pvmread command: maps, read, write, watch, and what users do wrong. Runs
# as root inside a guest, with pvmread in the PATH and command-target and tap.sh
# beside it; loads the module MODULE itself.
here=$(dirname "$0")
# shellcheck source=tests/tap.sh
. "$here/tap.sh"
# shellcheck source=tests/reuse-pid.sh
. "$here/reuse-pid.sh"
module=${MODULE:-/pvmread.ko}
work=$tap/work
pids=

cleanup() {
	# shellcheck disable=SC2086 # words on purpose
	kill -KILL $pids 2>/dev/null
	umount "$work/small" 2>/dev/null
	rm -rf "$tap"
}
trap cleanup EXIT
mkdir -p "$work/small"
chmod 755 "$tap" "$work"

# want STATUS FILE PATTERN COMMAND... - its exit status, and a line of its output
want() {
	want_status=$1
	want_file=$2
	want_pattern=$3
	shift 3
	status "$want_status" "$@" && says "$want_file" "$want_pattern"
}

# start NAME COMMAND... - a target; sets $pid and writes its places to $work/NAME
start() {
	start_file=$work/$1
	shift
	# An earlier target of that name may have printed "ready" here.
	: >"$start_file"
	"$@" >"$start_file" 2>&1 &
	pid=$!
	pids="$pids $pid"
	until grep -q ready "$start_file"; do
		kill -0 "$pid" 2>/dev/null || { cat "$start_file"; return 1; }
		sleep 0.05
	done
}

# at PLACE [NAME] - the address of a place in a target
at() {
	awk -v "place=$1" '$1 == place { print $2 }' "$work/${2:-target}"
}

# as_user PROGRAM ARGUMENT... - run it as a user without privileges
grep -q '^user:' /etc/passwd 2>/dev/null ||
	{ mkdir -p /etc && echo 'user:x:1000:1000::/:/bin/sh' >>/etc/passwd; }
as_user() {
	as_program=$1
	shift
	start-stop-daemon -S -q -c user -x "$as_program" -- "$@"
}

# bytes ADDRESS LENGTH - of the target, in hexadecimal
bytes() {
	pvmread read -r "$pid" "$1" "$2" | xxd -p | tr -d '\n'
}

has_bytes() {
	[ "$(bytes "$2" $((${#1} / 2)))" = "$1" ] || { bytes "$2" $((${#1} / 2)); return 1; }
}

# is_empty DIRECTORY
is_empty() {
	[ -z "$(ls -A "$1")" ] || { ls -lA "$1"; return 1; }
}

same() {
	cmp "$1" "$2"
}

rmmod pvmread 2>/dev/null
t "insmod" insmod "$module"

mkdir -p "$work/a" "$work/b"
for file in a/libtwice.so.1 b/libtwice.so.1 a/libonce.so.2 a/lib++.so a/both.so a/both.so.1 \
	a/gone.so a/replaced.so b/replaced.so a/foo-bar 'a/two words: one' "a/two
lines"; do
	echo "$file" >"$work/$file"
done
# A name with an escape sequence, a byte that is not UTF-8, a C1 control character, and an é.
echo evil >"$work/a/$(printf 'evil\033[31m\377\302\233\303\251')"
t "the target starts" start target "$here/command-target" 1000 "$work"/a/* "$work"/b/*
rm "$work/a/gone.so" "$work/a/replaced.so"

# --- options and help ---

commands='maps read write scan strings dump diff watch'
t "no command: usage, status 2" want 2 "$err" '^Usage: pvmread' pvmread
t "--help" status 0 pvmread --help
for name in $commands rescan; do
	t "--help lists $name" says "$out" "^  $name "
done
for name in $commands rescan; do
	t "$name --help" want 0 "$out" "^Usage: pvmread $name " pvmread "$name" --help
	t "help $name" want 0 "$out" "^Usage: pvmread $name " pvmread help "$name"
	t "$name without arguments is status 2" want 2 "$err" "^pvmread $name: " pvmread "$name"
	t "$name: an unknown option is status 2" status 2 pvmread "$name" --wrong
	# rescan takes a file in place of a PID.
	[ "$name" != rescan ] || continue
	for wrong in x 0 -1 12x 99999999999 ''; do
		case $name in
		scan)	set -- x ;;
		dump)	set -- -o "$work/core" ;;
		maps | strings) set -- ;;
		diff)	set -- "$work/core" ;;
		write)	set -- --hex 00 0x1000 ;;
		*)	set -- 0x1000 16 ;;
		esac
		t "$name: PID \"$wrong\" is refused" status 2 pvmread "$name" -- "$wrong" "$@"
	done
done
t "help" want 0 "$out" '^  maps ' pvmread help
t "help with an unknown command" want 2 "$err" '"nope" is not a command' pvmread help nope
t "an unknown command" want 2 "$err" '"nope" is not a command; .*pvmread help' pvmread nope
t "--version" want 0 "$out" '^pvmread [0-9]' pvmread --version
t "a subcommand's --version" want 0 "$out" '^pvmread [0-9]' pvmread read --version
t "help on a full disk" sh -c 'pvmread help >/dev/full; [ $? = 2 ]'

# --- maps ---

t "maps" status 0 pvmread maps "$pid"
t "maps: a header" says "$out" '^ +start +end +size +rss +% perm name$'
t "maps: the heap" says "$out" '4\.0K|K .* rw-p \[heap\]$'
t "maps: 128 MiB of untouched memory" says "$out" ' 128M +0 +0% rw-p'
t "maps: a file" says "$out" " r--p $work/a/libonce.so.2\$"
t "maps: control bytes in a name become ?" says "$out" '/evil\?\[31m\?{5}$'
t "maps: an unreadable mapping" says "$out" ' 4\.0K +0 +0% ---p$'
t "maps: as many mappings as /proc/PID/maps" \
	[ "$(wc -l <"$out")" = $(($(wc -l <"/proc/$pid/maps") + 2)) ]
t "maps: the total" says "$out" "^ +mappings: +$(wc -l <"/proc/$pid/maps") +1[23][0-9]M "
t "maps --json" want 0 "$out" '"name": ?"\[heap\]"' pvmread maps --json "$pid"
t "maps --json: the pid" says "$out" "\"pid\": ?$pid,"
t "maps --json: addresses are numbers" says "$out" "\"start\": ?$(($(at bytes))),"
t "maps --json: invalid UTF-8 in a name" \
	[ "$(grep evil "$out" | xxd -p | tr -d '\n' | grep -c '6defbfbdefbfbdefbfbdc3a9')" = 1 ]
t "maps: two PIDs are refused" want 2 "$err" 'one argument too many' pvmread maps "$pid" "$pid"
t "maps of a kernel thread" want 2 "$err" 'no memory' pvmread maps 2
t "maps on a full disk" sh -c "pvmread maps $pid >/dev/full; [ \$? = 2 ]"

# --- read ---

place=$(at bytes)
t "read to a pipe is raw" status 0 pvmread read "$pid" "$place" 8192
cp "$out" "$work/raw"
t "read: 8192 bytes" [ "$(wc -c <"$work/raw")" = 8192 ]
t "read: the first bytes" [ "$(head -c 6 "$work/raw" | xxd -p)" = 00070e151c23 ]
t "read: the last bytes" [ "$(tail -c 4 "$work/raw" | xxd -p)" = 030a1118 ]
for length in 1 15 16 17 300; do
	pvmread read -x "$pid" "$place" "$length" | sed 's/^[0-9a-f]*//' >"$work/ours"
	head -c "$length" "$work/raw" | xxd | sed 's/^[0-9a-f]*//' >"$work/theirs"
	t "read --hex of $length bytes is what xxd prints" same "$work/ours" "$work/theirs"
done
t "read --hex begins at the address" want 0 "$out" "^${place#0x}: 0007 0e15 " \
	pvmread read --hex "$pid" "$place" 32
t "read --hex: the next line's address" says "$out" \
	"^$(printf %x $((place + 16))): 7077 "
t "read -o" status 0 pvmread read -o "$work/o" "$pid" "$place" 8K
t "read -o: nothing on standard output" [ ! -s "$out" ]
t "read -o: the bytes" same "$work/o" "$work/raw"
t "read -o -x is a hexdump" pvmread read -xo "$work/o" "$pid" "$place" 16
t "read -o replaces a file" says "$work/o" "^${place#0x}: "
ln -s o "$work/link"
t "read -o through a link" pvmread read -o "$work/link" "$pid" "$place" 0x2000
t "read -o through a link replaces the file" same "$work/o" "$work/raw"
t "read -o through a link leaves the link" [ -h "$work/link" ]
t "read -o /dev/null" pvmread read -o /dev/null "$pid" "$place" 4K
t "read -o /dev/null leaves the device" [ -c /dev/null ]
t "read -o - is standard output" want 0 "$out" 'pvmread was here' \
	pvmread read -o - "$pid" "$(at text)" 16
t "read of 0 bytes" status 0 pvmread read "$pid" "$place" 0
t "read of 0 bytes prints nothing" [ ! -s "$out" ]

t "read [heap]" want 0 "$out" '^[0-9a-f]+: ' pvmread read -x "$pid" '[heap]' 16
t "read [heap]+OFFSET" want 0 "$out" '^hhhh$' \
	pvmread read "$pid" "[heap]+$(($(at heap) - 0x$(grep '\[heap\]' "/proc/$pid/maps" |
		cut -d - -f 1)))" 4
t "read [stack]" status 0 pvmread read "$pid" '[stack]+0x100' 16
t "read by the name of a file" want 0 "$out" '^a/libonce' pvmread read "$pid" libonce.so.2 10
t "read by a name without its version" want 0 "$out" '^once' pvmread read "$pid" libonce.so+5 4
t "read by a name with a +" want 0 "$out" '^\+\+' pvmread read "$pid" lib++.so+5 2
t "read by a path" want 0 "$out" '^b/lib' pvmread read "$pid" "$work/b/libtwice.so.1" 5
t "read by the end of a path" want 0 "$out" '^b/lib' pvmread read "$pid" b/libtwice.so 5
t "a full file name wins over a prefix" want 0 "$out" '^a/both.so$' \
	pvmread read "$pid" both.so 10
t "read by the name of a deleted file" want 0 "$out" '^a/gone' \
	pvmread read "$pid" gone.so 6
t "  with (deleted) after it" want 0 "$out" '^a/gone' pvmread read "$pid" 'gone.so (deleted)' 6
t "an existing file wins over a deleted one" want 0 "$out" '^b/replaced' \
	pvmread read "$pid" replaced.so 10
t "  with (deleted) it is the deleted one" want 0 "$out" '^a/replaced' \
	pvmread read "$pid" "$work/a/replaced.so (deleted)" 10
t "read by a name with blanks and a colon" want 0 "$out" '^a/two words' \
	pvmread read "$pid" 'two words: one' 11
t "read by a name with a newline" want 0 "$out" '^a/two' pvmread read "$pid" 'two
lines' 5
t "an address as maps prints it" status 0 pvmread read "$pid" \
	"$(pvmread maps "$pid" | awk '/foo-bar$/ { print $1 }')" 4
t "-r with a name that has dashes" want 0 "$out" '^1$' \
	pvmread scan --count -r foo-bar-foo-bar+0x10 "$pid" a/foo-bar
t "address as NUMBER+NUMBER" want 0 "$out" '^was here' pvmread read "$pid" "$(at text)+0x8" 8
t "an ambiguous name" want 2 "$err" '"libtwice.so" is ambiguous.*whole path' \
	pvmread read "$pid" libtwice.so 4
t "an ambiguous name: stderr lists the files" says "$err" "[ab]/libtwice.so.1 at 0x.* and .*[ab]/libtwice.so.1 at 0x"
for wrong in libnope.so '' once.so 1000g 7fff0000 -1 +5 libonce.so+ libonce.so+x 0x \
	99999999999999999999 0xffffffffffffffff+2; do
	t "address \"$wrong\"" status 2 pvmread read -- "$pid" "$wrong" 4
	t "address \"$wrong\": stdout is empty" [ ! -s "$out" ]
done
for wrong in -1 x 1X 1KK 0x 16E '' 17179869184G 99999999999999999999; do
	t "LEN \"$wrong\"" want 2 "$err" 'LEN ".*": not a number' \
		pvmread read -- "$pid" "$place" "$wrong"
done
t "read: an argument too few" want 2 "$err" 'takes PID, ADDR and LEN' pvmread read "$pid" 16
t "read: an argument too many" want 2 "$err" '"5" is one' pvmread read "$pid" "$place" 4 5
t "read: --hex and --raw" want 2 "$err" 'cannot be combined' pvmread read -xr "$pid" "$place" 4

t "a read into a hole is status 1" want 1 "$err" \
	"^pvmread read: stopped at $(at unreadable) of process $pid \(command-target\), after 8192 of 12288" \
	pvmread read "$pid" "$place" 12K
t "a read into a hole: the bytes before it" same "$out" "$work/raw"
t "a read into a hole: stderr says why" \
	says "$err" "mapped, but not readable; see \"pvmread maps $pid\""
t "an unmapped address" want 1 "$err" "$(at hole) .* after 0 of 4 bytes: not mapped; see" \
	pvmread read "$pid" "$(at hole)" 4
t "past the end of a file" want 1 "$err" 'after 4096 of 8192 .*past the end of its file' \
	pvmread read "$pid" "$(at short)" 8K
t "-o, into a hole: status 1" status 1 pvmread read -o "$work/part" "$pid" "$place" 12K
t "-o, into a hole: the bytes before it" same "$work/part" "$work/raw"
echo old >"$work/old"
t "-o, unmapped address: status 1" status 1 pvmread read -o "$work/old" "$pid" "$(at hole)" 4
t "-o, unmapped address: the old file stays" says "$work/old" '^old$'
t "2^63 bytes" want 1 "$err" 'after [0-9]+ of 9223372036854775808 bytes: .*mapped' \
	pvmread read "$pid" "$(at last)" 9223372036854775808
t "2^64 - 1 bytes" want 2 "$err" 'above 2\^64' \
	pvmread read "$pid" "$(at last)" 18446744073709551615
t "2^63 bytes at 2^63 + 1" want 2 "$err" 'above 2\^64' \
	pvmread read "$pid" 0x8000000000000001 0x8000000000000000
t "2^63 bytes at 2^63 are status 1" want 1 "$err" 'not an address|not mapped' \
	pvmread read "$pid" 0x8000000000000000 0x8000000000000000
t "--resident, resident memory" pvmread read --resident "$pid" "$place" 4K
t "--resident, memory not resident" want 1 "$err" 'not resident; try without --resident' \
	pvmread read --resident "$pid" "$(at untouched)" 4
t "--nowait" want 0 "$out" 'was here' pvmread read --nowait "$pid" "$(at text)" 16
t "without --resident it is faulted in" status 0 pvmread read "$pid" "$(at untouched)" 4

mount -t tmpfs -o size=1M none "$work/small"
t "full disk, -o" want 2 "$err" 'small/f: No space left' \
	pvmread read -o "$work/small/f" "$pid" "$(at big)" 4M
t "full disk, -o: no file is left" is_empty "$work/small"
t "full disk, -o -x" want 2 "$err" 'small/f: No space left' \
	pvmread read -xo "$work/small/f" "$pid" "$(at big)" 1M
t "full disk, -o -x: no file is left" is_empty "$work/small"
full() {
	pvmread read "$pid" "$(at big)" 4M >"$work/small/g"
}
t "full disk, standard output" want 2 "$err" 'standard output: No space left' full
t "/dev/full by -o" want 2 "$err" '/dev/full: No space' pvmread read -o /dev/full "$pid" "$place" 4
t "-o in a missing directory" \
	want 2 "$err" '/nowhere/f' pvmread read -o /nowhere/f "$pid" "$place" 4
t "-o is a directory" want 2 "$err" "$work/a: " pvmread read -o "$work/a" "$pid" "$place" 4
closed() {
	{ pvmread read "$pid" "$(at big)" 128M; echo $? >"$work/status"; } | head -c 1 >/dev/null
	read -r closed_status <"$work/status"
	return "$closed_status"
}
t "closed pipe: SIGPIPE ends it" status 141 closed
t "closed pipe: no message" [ ! -s "$err" ]
closed_ignored() {
	(trap '' PIPE; closed)
}
t "closed pipe, SIGPIPE ignored: a message" want 2 "$err" 'standard output: Broken pipe' \
	closed_ignored

# interrupt SIGNAL - send it while a read fills $work/int/f; return the read's status
interrupt() {
	# A hexdump takes long enough.
	pvmread read -xo "$work/int/f" "$pid" "$(at big)" 128M &
	reader=$!
	until ls "$work"/int/f.* >/dev/null 2>&1; do
		kill -0 "$reader" 2>/dev/null || break
	done
	kill "-$1" "$reader"
	wait "$reader"
}
mkdir "$work/int"
t "interrupted while it waits for a page" status 143 \
	timeout -k 5 1 pvmread read "$pid" "$(at stuck)" 8K
t "watch: interrupted while it waits for a page" status 143 \
	timeout -k 5 1 pvmread watch "$pid" "$(at stuck)" 8K
for signal in TERM:143 HUP:129; do
	t "interrupted by SIG${signal%:*}" status "${signal#*:}" interrupt "${signal%:*}"
	t "interrupted: no file is left" is_empty "$work/int"
done
echo old >"$work/int/f"
t "interrupted, -o of an existing file" status 143 interrupt TERM
t "interrupted: the old file is unchanged" says "$work/int/f" '^old$'
t "interrupted: no other file is left" [ "$(ls -A "$work/int")" = f ]

limited() {
	# shellcheck disable=SC3045 # busybox has it
	(ulimit -f 8 && pvmread read -o "$work/int/f" "$pid" "$(at big)" 1M)
}
t "a file over the size limit" want 2 "$err" 'int/f: File too large' limited
t "a file over the limit: no other is left" [ "$(ls -A "$work/int")" = f ]
unheard() {
	{ pvmread dump -No "$work/int/core" "$pid" 2>&1; echo $? >"$work/status"; } |
		head -n 1 >/dev/null
	read -r unheard_status <"$work/status"
	return "$unheard_status"
}
if [ "$(uname -m)" = x86_64 ]; then
	t "dump: closed stderr pipe: status 1" status 1 unheard
	t "dump: closed stderr pipe: core is complete" \
		[ "$(cd "$work/int" && echo ./* ./.[!.]*)" = './core ./f ./.[!.]*' ]
	rm -f "$work/int/core"
else
	t "dump fails on other architectures and says why" want 2 "$err" 'dump works only on x86-64' \
		pvmread dump -o "$work/core" "$pid"
	skip "dump: closed stderr pipe" "dump works only on x86-64"
fi

# --- closed files ---

t "closed standard output" want 2 "$err" 'standard output: Bad file' sh -c "pvmread maps $pid >&-"
t "closed standard output, with -o" status 0 \
	sh -c "pvmread read -o '$work/o' $pid $place 8K >&-"
t "closed standard output, with -o: the bytes" same "$work/o" "$work/raw"
t "closed standard input" want 2 "$err" 'standard input: Bad file' \
	sh -c "pvmread write $pid $place <&-"
t "-o with an empty name" \
	want 2 "$err" 'output file "": No such' pvmread read -o '' "$pid" "$place" 4

# --- write ---

place=$(at last)
t "write --hex" status 0 pvmread write "$pid" "$place" --hex '50 564D 0a'
t "write --hex: the bytes" has_bytes 50564d0a6c6c "$place"
from_stdin() {
	printf 'from\0stdin' | pvmread write "$pid" "$place+0x10"
}
t "write from standard input" status 0 from_stdin
t "write from standard input: the bytes" has_bytes 66726f6d00737464696e6c "$place+16"
for wrong in '' ' ' 4 4g '4 8' 0x48 48,49 "48 8"; do
	t "write --hex \"$wrong\"" status 2 pvmread write --hex "$wrong" "$pid" "$place"
done
t "write of 0 bytes" want 2 "$err" 'standard input is empty' pvmread write "$pid" "$place"
too_much() {
	head -c 67108865 /dev/zero | pvmread write "$pid" "$(at big)"
}
t "write of over 64 MiB" want 2 "$err" 'standard input: over 64M' too_much
t "write to read-only memory" want 2 "$err" 'not writable; .*nothing was written' \
	pvmread write "$pid" "$(at readonly)" --hex 00
t "write to unmapped memory" want 2 "$err" "$(at hole) .*not mapped; .*nothing" \
	pvmread write "$pid" "$(at hole)" --hex 00
t "write into a hole" want 2 "$err" "$(at hole) .*nothing was written" \
	pvmread write "$pid" "$(at untouched)+8190" --hex 414243
t "write into a hole changes nothing" has_bytes 0000 "$(at untouched)+8190"
partial() {
	head -c 8192 /dev/zero | tr '\0' z | pvmread write "$pid" "$(at short)"
}
t "write that ends early, status 1" want 1 "$err" \
	'past the end of its file.*; 4096 of 8192 bytes were written' partial
t "write that ends early: the bytes before" has_bytes 7a7a "$(at short)+4094"
t "write past 2^64" want 2 "$err" 'above 2\^64' \
	pvmread write "$pid" 0xffffffffffffffff --hex 0000
t "write: an argument too many" want 2 "$err" '"4" is one' pvmread write "$pid" "$place" 4

# --- watch ---

t "watch -c" status 0 pvmread watch -n 0.1 -c 3 "$pid" "$(at counter)" 4
t "watch: three times" [ "$(grep -cE '^[0-9-]{10} [0-9:.]{12}$' "$out")" = 3 ]
t "watch: three different values" \
	[ "$(grep -E '^[0-9a-f]+: ' "$out" | sort -u | wc -l)" = 3 ]
watch_still() {
	pvmread watch -n 0.05 "$pid" "$(at text)" 16 &
	watcher=$!
	until grep -q 'was here' "$out" || ! kill -0 "$watcher"; do usleep 50000; done
	sleep 1
	kill -TERM "$watcher"
	wait "$watcher"
}
t "watch: SIGTERM ends it" status 143 watch_still
t "watch: an unchanged value is shown once" [ "$(grep -c 'pvmread was here' "$out")" = 1 ]
t "watch of a hole" want 1 "$err" "$(at hole) .*not mapped" pvmread watch "$pid" "$(at hole)" 4
t "watch of part of a hole" want 1 "$err" "$(at hole) .*not mapped" \
	pvmread watch "$pid" "$(at untouched)+8190" 4
for wrong in 0 1025K 2G 9223372036854775808; do
	t "watch: LEN $wrong" want 2 "$err" 'from 1 to 1M' pvmread watch "$pid" "$place" "$wrong"
done
for wrong in 0 -1 x nan 1x '' 1e9; do
	t "watch: -n \"$wrong\"" want 2 "$err" 'SECONDS must be from' \
		pvmread watch -n "$wrong" "$pid" "$place" 4
done
t "watch: -c 0" status 2 pvmread watch -c 0 "$pid" "$place" 4

# end_of_target OPTION... - watch a target that is killed once a value was shown
end_of_target() {
	start short "$here/command-target" 1000 || return
	{
		for _ in $(seq 600); do
			! grep -q '^[0-9a-f]*: ' "$out" || break
			usleep 100000
		done
		kill -KILL "$pid"
	} &
	timeout 120 pvmread watch "$@" "$pid" "$(at counter short)" 4
}
first=$pid
t "watch ends when the target does" want 0 "$err" \
	'^pvmread watch: process [0-9]+ \(command-target\) has exited$' end_of_target -n 0.2
t "watch -n 1000 ends at exit, with status 1" want 1 "$err" 'has exited' \
	end_of_target -n 1000 -c 5
pid=$first

# --- on a terminal ---

# on_terminal EXPECT INPUT COMMAND...
on_terminal() {
	timeout 60 "$here/command-terminal" "$@"
}
place=$(at last)
if [ -e /dev/ptmx ]; then
	t "a second Ctrl-C ends read" status 130 \
		on_terminal 'left' "$(printf '\003\003')" \
		pvmread read -xo "$work/int/f" "$pid" "$(at big)" 128M
	t "a second Ctrl-C: no other file is left" [ "$(ls -A "$work/int")" = f ]
	for answer in n "$(printf '\004')" maybe; do
		t "write asks: \"$answer\"" want 1 "$out" 'nothing was written' \
			on_terminal '[y/N]' "$answer
" pvmread write --hex 4e4f "$pid" "$place"
	done
	t "write asks: shows the old bytes" says "$out" "^${place#0x}: 5056 "
	t "write asks: names the process" says "$out" "^Write 2 bytes at $place of process $pid .command-target.[?]"
	t "write asks: Ctrl-C ends it" status 130 \
		on_terminal '[y/N]' "$(printf '\003')" pvmread write --hex 4e4f "$pid" "$place"
	t "write asks: Ctrl-C writes nothing" has_bytes 5056 "$place"
	t "write asks: y" status 0 on_terminal '[y/N]' "y
" pvmread write --hex 5945 "$pid" "$place"
	t "write asks: y writes" has_bytes 5945 "$place"
	t "write --yes does not ask" status 0 on_terminal x x pvmread write -y --hex 5341 "$pid" "$place"
	t "write --yes writes" has_bytes 5341 "$place"

	t "watch on a terminal: Ctrl-C ends it" status 130 \
		on_terminal "$(printf '\033[1;31m')" "$(printf '\003')" \
		pvmread watch -n 0.2 "$pid" "$(at counter)" 4
	t "watch on a terminal: other screen" says "$out" "$(printf '\033\\[\\?1049h')"
	t "watch on a terminal: screen is restored" [ "$(grep -c "$(printf '\033\\[?1049l')" "$out")" = 1 ]
	t "watch on a terminal: resized while Ctrl-S holds the output" status 0 \
		on_terminal every "$(printf '\023')" \
		pvmread watch -n 0.05 -c 40 "$pid" "$(at counter)" 4
	t "watch on a terminal: Ctrl-C while it waits for a page" status 130 \
		on_terminal '^@' "$(printf '\003')" sh -c \
		"printf '^@'; exec pvmread watch $pid $(at stuck)+4090 10"
else
	skip "on a terminal" "this kernel has no pseudoterminals"
fi

# --- processes that have ended, or belong to another user ---

start dead "$here/command-target" 1000
kill -KILL "$pid"
wait "$pid" 2>/dev/null
t "a dead process" want 2 "$err" "process $pid: no such process" pvmread read "$pid" 0x1000 4
t "a dead process: maps" want 2 "$err" 'no such process' pvmread maps "$pid"
t "a dead process: write" want 2 "$err" 'no such process' pvmread write --hex 0 "$pid" 0x1000
t "a dead process: watch" want 2 "$err" 'no such process' pvmread watch "$pid" 0x1000 4

t "a zombie" want 2 "$err" 'has exited' pvmread maps "$(at zombie)"
pid=$first

# Another process gets the PID while "write" waits for its input.
low_pids
start victim "$here/command-target" 1000
mkfifo "$work/fifo"
pvmread write "$pid" "$(at last victim)" <"$work/fifo" >"$work/write" 2>&1 &
writer=$!
pids="$pids $writer"
exec 9>"$work/fifo"
# Wait until "write" has a target file.
until grep -q '^range:' "/proc/$writer/fdinfo/"* 2>/dev/null; do
	kill -0 "$writer" || break
	sleep 0.05
done
kill -KILL "$pid"
wait "$pid" 2>/dev/null
victim=$pid
# The target must not inherit the FIFO, or the writer would never see end-of-file.
reuse "$victim" "$here/command-target" 1000 >"$work/again" 9>&-
pid=$reuser
high_pids
pids="$pids $pid"
until grep -q ready "$work/again" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
t "PID $victim is reused" [ "$pid" = "$victim" ]
printf wrong >&9
exec 9>&-
wait "$writer"
t "write to a reused PID: status 2" [ $? = 2 ]
t "write to a reused PID: says it exited" says "$work/write" "process $victim.* exited"
t "write to a reused PID: writes nothing" has_bytes 6c6c6c6c "$(at last again)"
pid=$first

pvmread=$(command -v pvmread)
t "device of root: status 2" want 2 "$err" '^pvmread read: /dev/pvmread: .*(group|root)' \
	as_user "$pvmread" read "$pid" "$(at text)" 4
chmod 666 /dev/pvmread
t "another user's process: status 2" want 2 "$err" \
	"process $pid \(command-target\): permission denied: not yours" \
	as_user "$pvmread" read "$pid" "$(at text)" 4
t "another user's process: no output" [ ! -s "$out" ]
cp "$here/command-target" "$work/user-target"
t "a user's own target starts" start user \
	start-stop-daemon -S -q -c user -x "$work/user-target" -- 1000
scope=/proc/sys/kernel/yama/ptrace_scope
[ ! -e $scope ] || echo 0 >$scope
t "a user's -o where only root may write" want 2 "$err" 'beside /f: Permission denied$' \
	as_user "$pvmread" read -o /f "$pid" "$(at text user)" 4
if [ -e $scope ]; then
	t "a user's own process" want 0 "$out" 'was here' \
		as_user "$pvmread" read "$pid" "$(at text user)" 16
	echo 1 >$scope
	t "Yama: status 2" want 2 "$err" 'denied by Yama: kernel.yama.ptrace_scope is 1; try as root' \
		as_user "$pvmread" read "$pid" "$(at text user)" 16
	t "Yama allows root" want 0 "$out" 'was here' pvmread read "$pid" "$(at text user)" 16
else
	skip "Yama" "this kernel does not have it"
fi
pid=$first

cp "$here/command-target" "$work/$(printf 'e\033[31m')"
t "a program with an escape in its name" start evil "$work/$(printf 'e\033[31m')" 1000
t "control bytes in its name become ?" want 1 "$err" "process $pid \\(e\\?\\[31m\\)" \
	pvmread read "$pid" 0x1000 4

if [ -e /usr/lib/locale/C.utf8/LC_CTYPE ]; then
	cp "$here/command-target" "$work/$(printf '\303\274\342\200\256x')"
	t "a program with a bidirectional control in its name" \
		start turned "$work/$(printf '\303\274\342\200\256x')" 1000
	t "the control becomes ?, a letter stays" want 1 "$err" \
		"process $pid \\($(printf '\303\274')[?][?][?]x\\)" \
		env LC_CTYPE=C.UTF-8 pvmread read "$pid" 0x1000 4
else
	skip "a bidirectional control in a name" "no UTF-8 locale here"
fi

# --- completion: not in every guest ---

completion=${COMPLETION:-/etc/pvmread.bash-completion}
# complete WORD... - the words that bash would offer for the last one
complete() {
	bash -c '. "$0"; COMP_WORDS=(pvmread "$@"); COMP_CWORD=$#; _pvmread
		 printf "%s\n" "${COMPREPLY[@]}"' "$completion" "$@"
}
if [ -e "$completion" ] && command -v bash >/dev/null; then
	cp "$here/command-target" "$work/\$(touch pwned)"
	[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
	cd "$work" && start tempting "$work/\$(touch pwned)" 1000
	t "completion: commands" want 0 "$out" '^watch$' complete w
	t "completion: a process" want 0 "$out" "^$pid\$" complete read "$pid"
	t "completion: a name" want 0 "$out" '^.\[heap.\]$' complete read "$pid" '[h'
	t "completion: a name that is a command" want 0 "$out" '^.\$.\(touch. pwned.\)$' \
		complete read "$pid" ''
	t "completion: a process after --filter" want 0 "$out" "^$pid\$" \
		complete dump --filter 0x33 "$pid"
	t "completion: a name after --output=FILE" want 0 "$out" '^.\[heap.\]$' \
		complete read --output = file "$pid" '[h'
	t "completion: a type" want 0 "$out" '^u32$' complete scan -t u
	t "completion: a test" want 0 "$out" '^increased$' complete rescan file i
	t "completion: that command is not run" [ ! -e pwned ]
else
	skip "completion" "no bash here"
fi
pid=$first

# --- no module, and readonly=1 ---

rmmod pvmread
t "no module: status 2" want 2 "$err" '^pvmread read: /dev/pvmread: .*(load|insmod|modprobe)' \
	pvmread read "$pid" "$(at text)" 4
t "insmod readonly=1" insmod "$module" readonly=1
t "readonly=1: read" status 0 pvmread read "$pid" "$(at text)" 4
before=$(bytes "$(at last)" 8)
t "readonly=1: write" want 2 "$err" 'readonly' pvmread write "$pid" "$(at last)" --hex 00
t "readonly=1: nothing was written" has_bytes "$before" "$(at last)"
t "rmmod" rmmod pvmread

cleanup
trap - EXIT
end
