#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread dump". Needs eu-readelf,
# and in /tests dump-target, dump-target-O0 and dump-target-O2, which are built with
# -g, -O0 and -O2. Also checks what gdb shows, if there is a gdb.
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

# start PROGRAM ARGUMENT... - its PID is in $target
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

# elf PATTERN - eu-readelf finds no error in the headers and notes, and a line matches
elf() {
	eu-readelf -h -l -n "$core" >"$work/elf" 2>"$work/elf.err" || return
	[ ! -s "$work/elf.err" ] || { head "$work/elf.err"; return 1; }
	says "$work/elf" "$1"
}

# elf_number PATTERN N - N lines of eu-readelf's output match
elf_number() {
	got=$(grep -cE -e "$1" "$work/elf")
	[ "$got" = "$2" ] || { echo "$got lines, not $2"; return 1; }
}

# debug COMMAND... - run gdb on the program and the core; its output is in $work/gdb
debug() {
	for _; do
		set -- "$@" -ex "$1"
		shift
	done
	gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off' \
		"$@" "$program" "$core" >"$work/gdb" 2>&1
}

# shows PATTERN - a line of gdb's output matches
shows() {
	says "$work/gdb" "$1" || { cat "$work/gdb"; return 1; }
}

# calls FRAME... - gdb's backtrace has these frames, one after the other
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

# nothing_left DIRECTORY - it has neither a core nor a temporary file
nothing_left() {
	[ -z "$(ls -A "$1")" ] || { ls -A "$1"; return 1; }
}

# --- the file ---

start dump-target
before=$(rss)
t "--resident" status 0 pvmread dump -R "$target" -o "$core"
t "  the RSS is unchanged" [ "$(rss)" = "$before" ]
stop
start dump-target away
if [ -e "/proc/$target/pagemap" ]; then
	t "--resident, command line not mapped" status 0 pvmread dump -R "$target" -o "$core"
	t "  it is still not mapped" [ "$(arguments_state)" = 0 ]
else
	skip "--resident, command line not mapped" "this kernel has no pagemap"
fi
stop
start dump-target
t "--all -v" status 0 pvmread dump -av "$target" -o "$core"
! grep -q '\[vvar' "/proc/$target/maps" ||
	t "  stderr names [vvar]" says "$err" 'skipped 0x[0-9a-f]+-0x[0-9a-f]+ \[vvar[^ ]* [0-9]+ bytes: '
t "  stderr names memory past its file" says "$err" \
	'skipped 0x20601000-0x20602000 .* 4096 bytes: past the end of its file'
t "  it is a core for x86-64" elf 'Type: +CORE'
t "  a segment shorter than its mapping" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20600000 0x0+ 0x0*1000 0x0*2000 RW'
t "a dump" status 0 pvmread dump "$target" -o "$core"
t "  nothing on stdout" [ ! -s "$out" ]
t "  no message about skipped memory" sh -c "! grep -q skipped $err"
t "  it is a core for x86-64" elf 'Machine: +AMD x86-64'
t "  the core has two threads" elf_number 'PRSTATUS' 2
t "  the main thread is first" \
	[ "$(grep -oE 'pid: [0-9]+' "$work/elf" | head -n 1)" = "pid: $target" ]
t "  the core has the process" elf_number 'PRPSINFO' 1
t "    its name" says "$work/elf" 'fname: dump-target'
t "    its command" says "$work/elf" 'psargs: .*dump-target'
t "  the auxiliary vector" says "$work/elf" 'AUXV'
t "    the entry" says "$work/elf" 'ENTRY: +0x'
t "  the files" says "$work/elf" 'libc\.so\.6$'
t "  a mapping is complete" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20000000 0x0+ 0x0*400000 0x0*400000 RW'
t "  the core has no bytes of an unmodified file" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20600000 0x0+ 0x0+ 0x0*2000 RW'
t "  each mapping has a segment" [ "$(grep -c LOAD "$work/elf")" -ge \
	"$(grep -vc vsyscall "/proc/$target/maps")" ]
t "  its mode is 600" [ "$(stat -c %a "$core")" = 600 ]
t "  the core is sparse" \
	[ "$(du -k "$core" | cut -f 1)" -lt "$(($(stat -c %s "$core") / 1024 - 1024))" ]

if [ -e "/proc/$target/syscall" ]; then
	t "  no warning about registers" sh -c "! grep -q registers $err"
else
	t "  stderr says it has no registers" says "$err" 'no registers in the core'
fi

# memory_at SEGMENT OFFSET TEXT - the core has the text there
memory_at() {
	offset=$(awk -v at="$1" '$1 == "LOAD" && $3 == at { print $2 }' "$work/elf")
	dd if="$core" bs=1 skip="$((offset + $2))" count=${#3} 2>/dev/null | grep -qF "$3"
}
where=$(awk '$1 == "LOAD" && $3 ~ /^0x0*20000000$/ { print $3 }' "$work/elf")
t "  bytes at the end of a mapping" memory_at "$where" 4194299 cross
t "  bytes in the middle of it" memory_at "$where" 2097152 needle

# --- what a debugger shows ---

if command -v gdb >/dev/null; then
	t "gdb opens the core" \
		debug 'x/s known_text' 'info sharedlibrary' 'info threads' 'info files'
	t "  it shows a variable" shows '^0x[0-9a-f]+ <known_text>:.*"a known text"'
	# shellcheck disable=SC2016 # a register of gdb
	t "  it reads the TLS base of each thread" debug 'print *(long *)$fs_base == $fs_base' \
		'print $fs_base != 0' 'thread 2' 'print *(long *)$fs_base == $fs_base'
	t "  the TLS base points to itself" [ "$(grep -cE '^[$][0-9]+ = 1$' "$work/gdb")" = 3 ]
	debug 'x/s known_text' 'info sharedlibrary' 'info threads' 'info files'
	t "  it shows the libraries" \
		shows '0x[0-9a-f]+ +0x[0-9a-f]+ +(Yes|Yes \(\*\)) +.*libc\.so\.6'
	t "  it shows the main thread" shows '^\* 1 '
	t "  it shows the other thread" shows '^  2 '
	t "gdb opens the core without the program" gdb -nx -batch -c "$core" -ex 'x/s 0x203ffffb'
	stop
	for level in O0 O2; do
		start dump-target-$level
		t "$level: a dump" status 0 pvmread dump --guess-frame-pointer "$target" -o "$core"
		if [ ! -e "/proc/$target/syscall" ]; then
			skip "$level: gdb: the backtraces" \
				"this kernel does not tell where threads wait"
			stop
			continue
		fi
		t "  gdb opens the core" debug bt 'thread 2' bt
		t "  the main thread's backtrace" calls innermost middle outermost main
		debug 'thread 2' bt
		t "  the other thread's backtrace" calls thread_waits thread_calls thread_starts
		t "$level: --resident" status 0 \
			pvmread dump -R --guess-frame-pointer "$target" -o "$core"
		t "  gdb opens the core" debug bt
		t "  the main thread's backtrace" calls innermost middle outermost main
		stop
	done
	start dump-target busy
	t "a running thread" status 0 pvmread dump "$target" -o "$core"
	[ ! -e "/proc/$target/syscall" ] ||
		t "  stderr says it has no registers" says "$err" '1 of 2 threads are running, so the core has no registers'
	t "  gdb opens the core" debug 'x/s known_text'
	t "  gdb shows a variable" shows '"a known text"'
else
	skip "what gdb shows" "there is no gdb"
fi
stop

start dump-target hole
if [ -e "/proc/$target/smaps" ]; then
	t "an unserved userfaultfd page is skipped" \
		status 1 timeout -s KILL 60 pvmread dump "$target" -o "$core"
	t "  stderr says so" says "$err" \
		'skipped 0x20701000-0x20702000 \[anonymous\], 4096 bytes: .*userfaultfd'
	t "  the segment ends before it" elf \
		'LOAD +0x[0-9a-f]+ 0x0*20700000 0x0+ 0x0*1000 0x0*2000 RW'
	t "  the page before it is there" memory_at 0x0000000020700000 0 before
	t "  the page after it is there" memory_at 0x0000000020702000 0 behind
else
	skip "an unserved userfaultfd page" "this kernel has no smaps"
fi
stop

# --- large or many mappings ---

start dump-target sparse
t "4 GiB with two pages present" status 0 pvmread dump "$target" -o "$core"
t "  the core is small" [ "$(stat -c %s "$core")" -lt 16777216 ]
t "  the segment has one page" elf 'LOAD +0x[0-9a-f]+ 0x0*24d200000 0x0+ 0x0*1000 0x0*b2dff000 RW'
stop
old_max=$(cat /proc/sys/vm/max_map_count)
echo 100000 >/proc/sys/vm/max_map_count
start dump-target many
t "more than 65,535 segments" status 0 pvmread dump "$target" -o "$core"
t "  eu-readelf finds the last one" elf '0x0*41116f000 .* 0x0*1000 0x0*1000 RW'
t "  eu-readelf counts all" [ "$(grep -c LOAD "$work/elf")" -gt 70000 ]
stop
echo "$old_max" >/proc/sys/vm/max_map_count

# --- trouble ---

start dump-target large
mkdir "$work/dir" "$work/small"
# dump_and_stop - begin a dump into $work/dir/core, and stop it; its PID is in $dump
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
	t "SIG$signal ends pvmread" [ "$got" -gt 128 ]
	t "  the old file is unchanged" [ "$(head -c 4 "$work/dir/core")" = old ]
	t "  no other file is left" [ "$(find "$work/dir" -type f | wc -l)" = 1 ]
done
rm "$work/dir/core"
dump_and_stop
kill -KILL "$target"
wait "$target" 2>/dev/null
kill -CONT $dump
wait $dump
t "target exits during the dump" [ $? = 2 ]
t "  stderr says so" says "$err" ' process [0-9]+ \(dump-target\): .*(has exited|runs another)'
t "  no file is left" nothing_left "$work/dir"

# execve(2) drops the memory that is still to be dumped. dump must not leave it out silently.
start dump-target large
: >"$work/ready"
dump_and_stop
kill -USR1 "$target"
until [ -s "$work/ready" ] || ! kill -0 "$target"; do
	usleep 100000
done
kill -CONT $dump
wait $dump
t "target execs during the dump" [ $? = 2 ]
t "  stderr says so" says "$err" ' process [0-9]+ \(dump-target\): .*runs another program'
t "  no file is left" nothing_left "$work/dir"
stop

# --- into a pipe ---

start dump-target large
t "a dump into a file" status 0 pvmread dump "$target" -o "$core"
t "a dump into a pipe" sh -c "pvmread dump $target -o - 2>$err | cat >$work/piped"
t "  it is as long as the file" [ "$(stat -c %s "$work/piped")" = "$(stat -c %s "$core")" ]
t "  its bytes are the same" cmp -n 67108864 "$work/piped" "$core"
t "a closed pipe has the first bytes" sh -c "pvmread dump $target -o - 2>$err | head -c 4 | grep -q ELF"
stop

start dump-target large
mount -t tmpfs -o size=1m none "$work/small"
t "a full disk" status 2 pvmread dump "$target" -o "$work/small/core"
t "  stderr says so" says "$err" 'pvmread dump: write .*/core: No space left on device'
t "  no file is left" nothing_left "$work/small"
umount "$work/small"
t "a file over the size limit" \
	status 2 sh -c "ulimit -f 100; pvmread dump $target -o $work/dir/core"
t "  stderr says so" says "$err" 'write .*/core: [0-9.]+M bytes, including holes: File too large; try --resident'
t "  it fails before it reads" sh -c "! grep -q skipped $err"
t "  no file is left" nothing_left "$work/dir"
echo old >"$work/dir/core"
t "an existing file" status 0 pvmread dump "$target" -o "$work/dir/core"
t "  is replaced" sh -c "head -c 4 $work/dir/core | grep -q ELF"
rm "$work/dir/core"
t "a missing directory" status 2 pvmread dump "$target" -o "$work/none/core"
t "  stderr says so" says "$err" 'No such file or directory'
t "a device" status 0 pvmread dump "$target" -o /dev/null
t "a directory" status 2 pvmread dump "$target" -o "$work/dir"
t "  stderr says so" says "$err" 'Is a directory'
t "no -o option" status 2 pvmread dump "$target"
t "  stderr says so" says "$err" 'no output file given; use -o FILE'
t "no PID" status 2 pvmread dump -o "$work/dir/core"
t "  stderr says so" says "$err" 'no PID given'
t "a PID without a process" status 2 pvmread dump 999999 -o "$work/dir/core"
t "  stderr says so" says "$err" 'process 999999: no such process'
t "a kernel thread" status 2 pvmread dump 2 -o "$work/dir/core"
t "  stderr says so" says "$err" 'has no memory'
chmod 666 /dev/pvmread
chmod 777 "$work/dir"
mkdir -p /etc
grep -qs ^alice: /etc/passwd || echo 'alice:x:1000:1000::/:/bin/sh' >>/etc/passwd
t "no permission" status 2 su alice -s /bin/sh -c "pvmread dump $target -o $work/dir/core"
t "  stderr says so" says "$err" 'permission denied'
chmod 600 /dev/pvmread
t "no file is left by these failures" nothing_left "$work/dir"
stop
end
