#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread dump". Needs in
# /tests dump-target, dump-target-O0 and dump-target-O2 (built so, with -g), and
# eu-readelf; what gdb shows is looked at if it is there.
#
# Without /proc/PID/syscall, as in User mode Linux, a core has no registers.
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
tests=${0%/*}
work=$tap/work
core=$work/core
mkdir "$work"
chmod 755 "$tap"
target=
trap '[ -z "$target" ] || kill -KILL $target; umount "$work/small" 2>/dev/null' EXIT

# start PROGRAM ARGUMENT... - its number is in $target
start() {
	program=$tests/$1
	shift
	: >"$work/ready"
	"$program" "$@" >"$work/ready" &
	target=$!
	for _ in $(seq 600); do
		[ -s "$work/ready" ] && sleep 0.2 && return
		sleep 0.1
	done
	echo "Bail out! $program is not ready"
	exit 1
}

stop() {
	kill -KILL "$target"
	wait "$target" 2>/dev/null
	target=
	rm -f "$core"
}

# elf PATTERN - eu-readelf finds nothing wrong with the headers and notes and says so
elf() {
	eu-readelf -h -l -n "$core" >"$work/elf" 2>"$work/elf.err" || return
	[ ! -s "$work/elf.err" ] || { head "$work/elf.err"; return 1; }
	says "$work/elf" "$1"
}

# elf_number PATTERN N - so many lines of it match
elf_number() {
	got=$(grep -cE -e "$1" "$work/elf")
	[ "$got" = "$2" ] || { echo "$got lines, not $2"; return 1; }
}

# debug COMMAND... - gdb's answers, with the program, in $work/gdb
debug() {
	for _; do
		set -- "$@" -ex "$1"
		shift
	done
	gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off' \
		"$@" "$program" "$core" >"$work/gdb" 2>&1
}

# shows PATTERN - gdb said it
shows() {
	says "$work/gdb" "$1" || { cat "$work/gdb"; return 1; }
}

# calls FRAME... - gdb said these frames, one after the other
calls() {
	awk -v want="$*" '
		BEGIN { n = split(want, name, " "); at = 1 }
		/^#[0-9]+ / && at <= n {
			if (index($0, " " name[at] " (") || index($0, name[at] " (") == 5)
				at++
			else if (at > 1)
				exit
		}
		END { exit at <= n }' "$work/gdb" || { cat "$work/gdb"; return 1; }
}

rss() {
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$target/status"
}

# arguments_state - the upper four bits of the pagemap entry of the page to which "away"
# moves the command line: 0 if the page is neither present nor swapped
arguments_state() {
	dd if="/proc/$target/pagemap" bs=8 skip=$((0x30000000 / 4096)) count=1 2>/dev/null |
		od -An -tx8 | tr -d ' \n' | cut -c 1
}

# nothing_left DIRECTORY - neither the core nor what would become one
nothing_left() {
	[ -z "$(ls -A "$1")" ] || { ls -A "$1"; return 1; }
}

# --- the file ---

start dump-target
before=$(rss)
t "a dump that leaves the resident set alone" status 0 pvmread dump -R "$target" -o "$core"
t "  to the page" [ "$(rss)" = "$before" ]
stop
start dump-target away
if [ -e "/proc/$target/pagemap" ]; then
	t "a command line that nobody has touched" status 0 pvmread dump -R "$target" -o "$core"
	t "  stays so" [ "$(arguments_state)" = 0 ]
else
	skip "a command line that nobody has touched" "this kernel has no pagemap"
fi
stop
start dump-target
t "a dump of all" status 0 pvmread dump -av "$target" -o "$core"
! grep -q '\[vvar' "/proc/$target/maps" ||
	t "  [vvar] is told of" says "$err" 'skipped 0x[0-9a-f]+-0x[0-9a-f]+ \[vvar[^ ]* [0-9]+ bytes: '
t "  so is what its file does not reach" says "$err" \
	'skipped 0x20601000-0x20602000 .* 4096 bytes: past the end of its file'
t "  it is ELF" elf 'Type: +CORE'
t "  one whose end cannot be read" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20600000 0x0+ 0x0*1000 0x0*2000 RW'
t "a dump" status 0 pvmread dump "$target" -o "$core"
t "  nothing on stdout" [ ! -s "$out" ]
t "  nothing of what is not in it" sh -c "! grep -q skipped $err"
t "  it is ELF" elf 'Machine: +AMD x86-64'
t "  two threads" elf_number 'PRSTATUS' 2
t "  the main one first" [ "$(grep -oE 'pid: [0-9]+' "$work/elf" | head -n 1)" = "pid: $target" ]
t "  the process" elf_number 'PRPSINFO' 1
t "    its name" says "$work/elf" 'fname: dump-target'
t "    its command" says "$work/elf" 'psargs: .*dump-target'
t "  the auxiliary vector" says "$work/elf" 'AUXV'
t "    the entry" says "$work/elf" 'ENTRY: +0x'
t "  the files" says "$work/elf" 'libc\.so\.6$'
t "  a mapping, whole" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20000000 0x0+ 0x0*400000 0x0*400000 RW'
t "  a file that nobody has written to is not in it" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20600000 0x0+ 0x0+ 0x0*2000 RW'
t "  all of them" [ "$(grep -c LOAD "$work/elf")" -ge \
	"$(grep -vc vsyscall "/proc/$target/maps")" ]
t "  for nobody else" [ "$(stat -c %a "$core")" = 600 ]
t "  sparse" [ "$(du -k "$core" | cut -f 1)" -lt "$(($(stat -c %s "$core") / 1024 - 1024))" ]

if [ -e "/proc/$target/syscall" ]; then
	t "  no complaint about registers" sh -c "! grep -q registers $err"
else
	t "  no registers, and it says so" says "$err" 'no registers in the core'
fi

# memory_at SEGMENT OFFSET TEXT - the core has the text there
memory_at() {
	offset=$(awk -v at="$1" '$1 == "LOAD" && $3 == at { print $2 }' "$work/elf")
	dd if="$core" bs=1 skip="$((offset + $2))" count=${#3} 2>/dev/null | grep -qF "$3"
}
where=$(awk '$1 == "LOAD" && $3 ~ /^0x0*20000000$/ { print $3 }' "$work/elf")
t "  bytes in their places" memory_at "$where" 4194299 cross
t "  others" memory_at "$where" 2097152 needle

# --- what a debugger makes of it ---

if command -v gdb >/dev/null; then
	t "gdb: a variable" debug 'x/s known_text' 'info sharedlibrary' 'info threads' 'info files'
	t "  its text" shows '^0x[0-9a-f]+ <known_text>:.*"a known text"'
	# shellcheck disable=SC2016 # a register of gdb
	t "  the base of the thread-local variables" debug 'print *(long *)$fs_base == $fs_base' \
		'print $fs_base != 0' 'thread 2' 'print *(long *)$fs_base == $fs_base'
	t "  points to itself" [ "$(grep -cE '^[$][0-9]+ = 1$' "$work/gdb")" = 3 ]
	debug 'x/s known_text' 'info sharedlibrary' 'info threads' 'info files'
	t "  the libraries" shows '0x[0-9a-f]+ +0x[0-9a-f]+ +(Yes|Yes \(\*\)) +.*libc\.so\.6'
	t "  the threads" shows '^\* 1 '
	t "  both" shows '^  2 '
	t "gdb without the program" gdb -nx -batch -c "$core" -ex 'x/s 0x203ffffb'
	stop
	for level in O0 O2; do
		start dump-target-$level
		t "$level: a dump" status 0 pvmread dump --guess-frame-pointer "$target" -o "$core"
		if [ ! -e "/proc/$target/syscall" ]; then
			skip "$level: gdb: the calls" "this kernel does not tell where threads wait"
			stop
			continue
		fi
		t "  gdb" debug bt 'thread 2' bt
		t "  the calls of the main thread" calls innermost middle outermost main
		debug 'thread 2' bt
		t "  of the other one" calls thread_waits thread_calls thread_starts
		t "$level: --resident" status 0 \
			pvmread dump -R --guess-frame-pointer "$target" -o "$core"
		t "  gdb" debug bt
		t "  the calls of the main thread" calls innermost middle outermost main
		stop
	done
	start dump-target busy
	t "a thread that runs" status 0 pvmread dump "$target" -o "$core"
	[ ! -e "/proc/$target/syscall" ] ||
		t "  is told of" says "$err" '1 of 2 threads are running: without registers'
	t "  gdb opens the core" debug 'x/s known_text'
	t "  and finds the variable" shows '"a known text"'
else
	skip "what gdb shows" "there is no gdb"
fi
stop

start dump-target hole
if [ -e "/proc/$target/smaps" ]; then
	t "what a userfaultfd does not serve is not waited for" \
		status 1 timeout -s KILL 60 pvmread dump "$target" -o "$core"
	t "  is told of" says "$err" \
		'skipped 0x20701000-0x20702000 \[anonymous\], 4096 bytes: .*userfaultfd'
	t "  does not look like zeros" elf \
		'LOAD +0x[0-9a-f]+ 0x0*20700000 0x0+ 0x0*1000 0x0*2000 RW'
	t "  what is before it" memory_at 0x0000000020700000 0 before
	t "  what is behind it" memory_at 0x0000000020702000 0 behind
else
	skip "what a userfaultfd does not serve" "this kernel has no smaps"
fi
stop

# --- large ones ---

start dump-target sparse
t "4 GiB of which two pages are there" status 0 pvmread dump "$target" -o "$core"
t "  in a small file" [ "$(stat -c %s "$core")" -lt 16777216 ]
t "  one of them" elf 'LOAD +0x[0-9a-f]+ 0x0*24d200000 0x0+ 0x0*1000 0x0*b2dff000 RW'
stop
old_max=$(cat /proc/sys/vm/max_map_count)
echo 100000 >/proc/sys/vm/max_map_count
start dump-target many
t "more segments than 65,535" status 0 pvmread dump "$target" -o "$core"
t "  eu-readelf counts them" elf '0x0*41116f000 .* 0x0*1000 0x0*1000 RW'
t "  all" [ "$(grep -c LOAD "$work/elf")" -gt 70000 ]
stop
echo "$old_max" >/proc/sys/vm/max_map_count

# --- trouble ---

start dump-target large
mkdir "$work/dir" "$work/small"
# dump_and_stop - a dump into $work/dir/core that does not go on; its number is in $dump
dump_and_stop() {
	pvmread dump "$target" -o "$work/dir/core" 2>"$err" &
	dump=$!
	until [ -n "$(find "$work/dir" -name 'core.*')" ] || ! kill -0 $dump; do :; done
	kill -STOP $dump
}
for signal in TERM HUP; do
	echo old >"$work/dir/core"
	dump_and_stop
	kill -$signal $dump
	kill -CONT $dump
	wait $dump
	got=$?
	t "SIG$signal ends it" [ "$got" -gt 128 ]
	t "  the old file is there" [ "$(head -c 4 "$work/dir/core")" = old ]
	t "  alone" [ "$(find "$work/dir" -type f | wc -l)" = 1 ]
done
rm "$work/dir/core"
dump_and_stop
kill -KILL "$target"
wait "$target" 2>/dev/null
kill -CONT $dump
wait $dump
t "the process dies meanwhile" [ $? = 2 ]
t "  said" says "$err" ' process [0-9]+ \(dump-target\): .*(has exited|runs another)'
t "  nothing is left" nothing_left "$work/dir"

# Of what is gone nothing is resident: that must not pass for a core.
start dump-target large
: >"$work/ready"
dump_and_stop
kill -USR1 "$target"
until [ -s "$work/ready" ]; do
	usleep 100000
done
kill -CONT $dump
wait $dump
t "the process executes another program meanwhile" [ $? = 2 ]
t "  said" says "$err" ' process [0-9]+ \(dump-target\): .*runs another program'
t "  nothing is left" nothing_left "$work/dir"
stop

# --- into a pipe ---

start dump-target large
t "a dump into a file" status 0 pvmread dump "$target" -o "$core"
t "a dump into a pipe" sh -c "pvmread dump $target -o - 2>$err | cat >$work/piped"
t "  it is as long" [ "$(stat -c %s "$work/piped")" = "$(stat -c %s "$core")" ]
t "  it is the same" cmp -n 67108864 "$work/piped" "$core"
t "a pipe that nobody reads any more" sh -c "pvmread dump $target -o - 2>$err | head -c 4 | grep -q ELF"
stop

start dump-target large
mount -t tmpfs -o size=1m none "$work/small"
t "a full disk" status 2 pvmread dump "$target" -o "$work/small/core"
t "  said" says "$err" 'pvmread dump: write .*/core: No space left on device'
t "  nothing is left" nothing_left "$work/small"
umount "$work/small"
t "a file that may not grow so large" \
	status 2 sh -c "ulimit -f 100; pvmread dump $target -o $work/dir/core"
t "  said" says "$err" 'write .*/core: [0-9.]+M bytes with holes: File too large; try --resident'
t "  before it reads" sh -c "! grep -q skipped $err"
t "  nothing is left" nothing_left "$work/dir"
echo old >"$work/dir/core"
t "a file that is there" status 0 pvmread dump "$target" -o "$work/dir/core"
t "  is replaced" sh -c "head -c 4 $work/dir/core | grep -q ELF"
rm "$work/dir/core"
t "no directory" status 2 pvmread dump "$target" -o "$work/none/core"
t "  said" says "$err" 'No such file or directory'
t "a device" status 0 pvmread dump "$target" -o /dev/null
t "a directory" status 2 pvmread dump "$target" -o "$work/dir"
t "  said" says "$err" 'Is a directory'
t "no file" status 2 pvmread dump "$target"
t "  said" says "$err" 'no file given: -o FILE'
t "no process" status 2 pvmread dump -o "$work/dir/core"
t "  said" says "$err" 'no PID given'
t "a process that is not there" status 2 pvmread dump 999999 -o "$work/dir/core"
t "  said" says "$err" 'process 999999: no such process'
t "a kernel thread" status 2 pvmread dump 2 -o "$work/dir/core"
t "  said" says "$err" 'has no memory'
chmod 666 /dev/pvmread
chmod 777 "$work/dir"
mkdir -p /etc
grep -qs ^alice: /etc/passwd || echo 'alice:x:1000:1000::/:/bin/sh' >>/etc/passwd
t "no permission" status 2 su alice -s /bin/sh -c "pvmread dump $target -o $work/dir/core"
t "  said" says "$err" 'permission denied'
chmod 600 /dev/pvmread
t "nothing is left of all these" nothing_left "$work/dir"
stop
end
