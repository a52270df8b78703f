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
t "  the rest is told of" says "$err" 'not resident and are not in the core$'
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
t "a dump, for what follows" status 0 pvmread dump -R "$target" -o "$core"
t "  it is ELF" elf 'Type: +CORE'
t "a dump" status 1 pvmread dump "$target" -o "$core"
t "  nothing on stdout" [ ! -s "$out" ]
! grep -q '\[vvar' "/proc/$target/maps" || t "  [vvar] is told of" says "$err" 'skipped 0x[0-9a-f]+-0x[0-9a-f]+ \[vvar[^ ]* [0-9]+ bytes: '
t "  what its file does not reach is" says "$err" \
	'skipped 0x20601000-0x20602000 .* 4096 bytes: past the end of its file'
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
t "  one whose end cannot be read" says "$work/elf" \
	'LOAD +0x[0-9a-f]+ 0x0*20600000 0x0+ 0x0*1000 0x0*2000 RW'
t "  all of them" elf_number 'LOAD' \
	"$(grep -vc vsyscall "/proc/$target/maps")"
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
	t "  the libraries" shows '0x[0-9a-f]+ +0x[0-9a-f]+ +(Yes|Yes \(\*\)) +.*libc\.so\.6'
	t "  the threads" shows '^\* 1 '
	t "  both" shows '^  2 '
	t "gdb without the program" gdb -nx -batch -c "$core" -ex 'x/s 0x203ffffb'
	stop
	for level in O0 O2; do
		start dump-target-$level
		t "$level: a dump" status 1 pvmread dump "$target" -o "$core"
		if [ ! -e "/proc/$target/syscall" ]; then
			skip "$level: gdb: the calls" "this kernel does not tell where threads wait"
			stop
			continue
		fi
		t "  gdb" debug bt 'thread 2' bt
		t "  the calls of the main thread" calls innermost middle outermost main
		debug 'thread 2' bt
		t "  of the other one" calls thread_waits thread_calls thread_starts
		t "$level: --resident" status 0 pvmread dump -R "$target" -o "$core"
		t "  gdb" debug bt
		t "  the calls of the main thread" calls innermost middle outermost main
		stop
	done
	start dump-target busy
	t "a thread that runs" status 1 pvmread dump "$target" -o "$core"
	[ ! -e "/proc/$target/syscall" ] ||
		t "  is told of" says "$err" '1 of 2 threads are running: without registers'
	t "  gdb opens the core" debug 'x/s known_text'
	t "  and finds the variable" shows '"a known text"'
else
	skip "what gdb shows" "there is no gdb"
fi
stop

start dump-target hole
t "a hole in a mapping" status 1 pvmread dump "$target" -o "$core"
t "  is told of" says "$err" \
	'skipped 0x20701000-0x20702000 \[anonymous\], 4096 bytes: '
t "  is in one segment with what is around" elf \
	'LOAD +0x[0-9a-f]+ 0x0*20700000 0x0+ 0x0*3000 0x0*3000 RW'
where=$(awk '$1 == "LOAD" && $3 ~ /^0x0*20700000$/ { print $3 }' "$work/elf")
t "  what is before it" memory_at "$where" 0 before
t "  what is behind it" memory_at "$where" 8192 behind
t "  zeros are in it" [ "$(dd if="$core" bs=1 count=4096 skip="$((offset + 4096))" \
	2>/dev/null | tr -d '\0' | wc -c)" = 0 ]
stop

# --- large ones ---

start dump-target sparse
t "4 GiB of which two pages are there" status 0 pvmread dump -R "$target" -o "$core"
t "  in a small file" [ "$(stat -c %s "$core")" -lt 16777216 ]
t "  one of them" elf 'LOAD +0x[0-9a-f]+ 0x0*24d200000 0x0+ 0x0*1000 0x0*1000 RW'
stop
start dump-target many
t "more segments than 65,535" status 0 pvmread dump -R "$target" -o "$core"
t "  eu-readelf counts them" elf '0x0*41116e000 .* 0x0*1000 0x0*1000 RW'
t "  all" [ "$(grep -c LOAD "$work/elf")" -gt 70000 ]
stop

# --- trouble ---

start dump-target stuck
mkdir "$work/dir" "$work/small"
echo old >"$work/dir/core"
for signal in TERM HUP INT; do
	# Not in the background, where the shell has SIGINT ignored.
	timeout -s $signal 1 pvmread dump "$target" -o "$work/dir/core" 2>"$err"
	got=$?
	t "SIG$signal ends it" [ "$got" -gt 128 ]
	t "  the old file is there" [ "$(head -c 4 "$work/dir/core")" = old ]
	t "  alone" [ "$(find "$work/dir" -type f | wc -l)" = 1 ]
done
rm "$work/dir/core"
pvmread dump "$target" -o "$work/dir/core" 2>"$err" &
dump=$!
until [ -n "$(ls "$work/dir")" ] || ! kill -0 $dump; do usleep 100000; done
sleep 1
kill -KILL "$target"
wait "$target" 2>/dev/null
wait $dump
t "the process dies meanwhile" [ $? = 2 ]
t "  said" says "$err" ' of process [0-9]+ \(dump-target\): (has exited|runs another)'
t "  nothing is left" nothing_left "$work/dir"

# Of what is gone nothing is resident: that must not pass for a core. The dump waits
# for the reader of its many words when the process executes another program.
start dump-target many
: >"$work/ready"
{
	got=0
	pvmread dump -v -R "$target" -o "$work/dir/core" 2>&1 || got=$?
	echo "$got" >"$work/status"
} | {
	until [ -n "$(ls "$work/dir")" ]; do
		usleep 100000
	done
	sleep 1
	kill -USR1 "$target"
	until [ -s "$work/ready" ]; do
		usleep 100000
	done
	cat >"$err"
}
t "the process executes another program meanwhile" [ "$(cat "$work/status")" = 2 ]
t "  said" says "$err" 'process [0-9]+ \(dump-target\): .*runs another program'
t "  nothing is left" nothing_left "$work/dir"
stop

start dump-target
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
t "a file that is there" status 1 pvmread dump "$target" -o "$work/dir/core"
t "  is replaced" sh -c "head -c 4 $work/dir/core | grep -q ELF"
rm "$work/dir/core"
t "no directory" status 2 pvmread dump "$target" -o "$work/none/core"
t "  said" says "$err" 'No such file or directory'
t "a device" status 2 pvmread dump "$target" -o /dev/null
t "  said" says "$err" '/dev/null: not a regular file'
t "a directory" status 2 pvmread dump "$target" -o "$work/dir"
t "  said" says "$err" 'not a regular file'
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
