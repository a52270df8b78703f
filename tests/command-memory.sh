#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: what the pvmread command does with
# memory of all kinds, with threads, 32-bit programs and PID namespaces. It must not
# make the target larger, and must not spend time on pages that are not present. Needs
# memory-target and eu-readelf.
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
tests=${0%/*}
work=$tap/work
core=$work/core
mkdir "$work"
chmod 755 "$tap"
target=
trap '[ -z "$target" ] || kill -KILL $target; echo 0 >/proc/sys/vm/nr_hugepages' EXIT

# start KIND [BYTES] - its PID is in $target, the address in $at; false if it fails
program=$tests/memory-target
start() {
	: >"$work/ready"
	"$program" "$@" >"$work/ready" 2>"$work/why" &
	target=$!
	until grep -q ready "$work/ready"; do
		if ! kill -0 "$target" 2>/dev/null; then
			wait "$target"
			[ $? = 77 ] || cat "$work/why"
			target=
			return 1
		fi
		usleep 20000
	done
	at=$(awk '$1 == "at" { print $2 }' "$work/ready")
}

stop() {
	kill -KILL "$target"
	wait "$target" 2>/dev/null
	target=
	rm -f "$core"
}

# size - print the size of the target and its files, and the number of free huge pages
size() {
	awk '/^(VmRSS|VmPTE|VmSwap):/' "/proc/$target/status"
	stat -L -c '%s bytes in %b blocks' "/proc/$target/map_files/"*
	awk '/^HugePages_(Free|Rsvd):/' /proc/meminfo
}

# leaves_alone COMMAND... - it ends within $limit seconds, and the target is as large as before
leaves_alone() {
	size >"$work/before"
	got=0
	timeout -s KILL "$limit" "$@" >"$out" 2>"$err" || got=$?
	size >"$work/after"
	[ "$got" -lt 2 ] || { echo "exit status $got"; return 1; }
	cmp -s "$work/before" "$work/after" || { cat "$work/before" "$work/after"; return 1; }
}

# both NAME - scan, dump and maps leave the target alone
both() {
	t "$1: scan" leaves_alone pvmread scan "$target" 'never[0-9]to be found'
	t "$1: dump" leaves_alone pvmread dump "$target" -o "$core"
	t "$1: maps" leaves_alone pvmread maps "$target"
}

finds() {
	status 0 pvmread scan --count "$target" "$1" && says "$out" "^$2\$"
}

elf() {
	eu-readelf -h -l -n "$core" >"$work/elf" 2>"$work/elf.err" || return
	[ ! -s "$work/elf.err" ] || { head "$work/elf.err"; return 1; }
	says "$work/elf" "$1"
}

limit=2
# An emulated CPU takes longer.
! grep -q QEMU /sys/class/dmi/id/sys_vendor 2>/dev/null || limit=4

# --- memory that is not present ---

# large WHAT KIND BYTES [TEXT] - the commands leave it alone, and scan finds TEXT
large() {
	if ! start "$2" "$3"; then
		skip "$1" "no room for it in this kernel"
		return
	fi
	both "$1"
	[ -z "$4" ] || t "  scan finds the present page" finds "$4" 1
	stop
}

large "64 GiB with two pages present" private 68719476736 'at the end'
large "16 TiB of reserved addresses" reserved 17592186044416
large "16 TiB with two pages present" private 17592186044416 'at the end'
large "700 MiB of shared memory with one page" shared 734003200 'shared by all'
large "1 TiB mapping of a one-page file" tail 1099511627776 'a short file'
large "16 GiB mapping of a one-page file" tail 17179869184 'a short file'
large "64 MiB of zero pages" zeros 67108864
echo 20 >/proc/sys/vm/nr_hugepages 2>/dev/null
large "ten huge pages, one present" hugetlb 20971520 'a huge page'
start written 1048576
both "a tmpfs file that is in no page table"
t "  scan finds its bytes" finds 'written and unmapped' 1
t "  scan -R does not" status 1 pvmread scan -R "$target" 'written and unmapped'
t "  dump succeeds" status 0 pvmread dump "$target" -o "$core"
t "  the core has its bytes" grep -q 'written and unmapped' "$core"
stop

# --- memory that a core leaves out ---

if start guard; then
	t "a guard page: dump succeeds" status 0 pvmread dump "$target" -o "$core"
	t "  stderr does not name it" sh -c "! grep -v registers '$err'"
	t "  dump -v succeeds" status 0 pvmread dump -v "$target" -o "$core"
	t "  stderr names the guard page" says "$err" 'a guard page'
	t "a guard page: scan succeeds" status 0 pvmread scan -c 0 "$target" gggg
	stop
else
	skip "guard pages" "not in this kernel: MADV_GUARD_INSTALL"
fi

start secret
if [ -e "/proc/$target/smaps" ]; then
	t "MADV_DONTDUMP: dump" status 0 pvmread dump -v "$target" -o "$core"
	t "  the core does not have it" sh -c "! grep -q 'kept out of cores' $core"
	t "  stderr of -v says so" says "$err" 'bytes with MADV_DONTDUMP'
	t "--all: dump" status 0 pvmread dump --all "$target" -o "$core"
	t "  it is in the core" grep -q 'kept out of cores' "$core"
	t "  stderr says so" says "$err" 'asked to keep out of cores'
else
	skip "MADV_DONTDUMP" "this kernel has no smaps"
fi
stop
start shared
t "default coredump_filter" status 0 pvmread dump "$target" -o "$core"
t "  the core has shared memory" grep -q 'shared by all' "$core"
if [ -e "/proc/$target/coredump_filter" ]; then
	echo 0x31 >"/proc/$target/coredump_filter"
	t "coredump_filter without shared memory" status 0 pvmread dump "$target" -o "$core"
	t "  the core does not have it" sh -c "! grep -q 'shared by all' $core"
else
	skip "coredump_filter without shared memory" "this kernel has no core dumps"
fi
t "--filter without shared memory" status 0 pvmread dump --filter 0x31 "$target" -o "$core"
t "  the core does not have it" sh -c "! grep -q 'shared by all' $core"
t "--filter overrides coredump_filter" status 0 pvmread dump --filter 0x33 "$target" -o "$core"
t "  it is in the core" grep -q 'shared by all' "$core"
for wrong in x 0x 0x1000 ' '; do
	t "--filter \"$wrong\"" status 2 pvmread dump --filter "$wrong" "$target" -o "$core"
done
t "--filter and --all" status 2 pvmread dump --filter 1 --all "$target" -o "$core"
stop

# --- threads ---

start leaderless
t "exited main thread: maps" status 0 pvmread maps "$target"
t "  maps shows the mappings" says "$out" 'memory-target$'
t "exited main thread: read" status 0 pvmread read -x "$target" "$at" 16
t "  the bytes are right" says "$out" 'at the beginning'
t "exited main thread: scan" finds 'at the end' 1
t "exited main thread: dump" status 0 pvmread dump "$target" -o "$core"
t "  the core has a thread" elf 'PRSTATUS'
tid=
for task in "/proc/$target/task/"*; do
	[ "${task##*/}" = "$target" ] || tid=${task##*/}
done
t "  it is the live thread" says "$work/elf" "pid: $tid"
t "by thread ID: read" status 0 pvmread read -x "$tid" "$at" 16
t "  the bytes are right" says "$out" 'at the beginning'
t "by thread ID: maps" status 0 pvmread maps "$tid"
t "by thread ID: dump" status 0 pvmread dump "$tid" -o "$core"
stop
start private
for task in "/proc/$target/task/"*; do
	[ "${task##*/}" = "$target" ] || tid=${task##*/}
done
t "by thread ID, live main thread: read" status 0 pvmread read -x "$tid" "$at" 16
t "  the bytes are right" says "$out" 'at the beginning'
stop
t "an exited thread" status 2 pvmread read "$tid" "$at" 16
t "  stderr says so" says "$err" 'no such process'

# --- a 32-bit program ---

program=$tests/memory-target32
if start private 2>/dev/null; then
	t "a 32-bit program: dump" status 0 pvmread dump "$target" -o "$core"
	t "  the core is 32-bit" elf 'Class: +ELF32'
	t "  the core is for 80386" says "$work/elf" 'Machine: +Intel 80386'
	t "  the core has two threads" [ "$(grep -c PRSTATUS "$work/elf")" = 2 ]
	t "  the core has its name" says "$work/elf" 'fname: memory-target32'
	t "  the core has its entry point" says "$work/elf" 'ENTRY: +0x'
	t "  the core names its file" says "$work/elf" '/tests/memory-target32$'
	t "  the core has its memory" grep -q 'at the beginning' "$core"
	[ ! -e "/proc/$target/syscall" ] ||
		t "  the core has its registers" says "$work/elf" 'eip: +(0x0*)?[1-9a-f]'
	if command -v gdb >/dev/null; then
		t "  gdb opens it" gdb -nx -batch "$program" "$core" -ex "x/s $at" -ex 'info threads'
		gdb -nx -batch "$program" "$core" -ex "x/s $at" -ex 'info threads' >"$out" 2>"$err"
		t "  gdb shows its memory" says "$out" '"at the beginning"'
		t "  gdb shows both threads" says "$out" '^  2 '
	fi
	stop
else
	skip "a 32-bit program" "this kernel does not run it"
fi
program=$tests/memory-target

# --- /proc ---

start private
foreign() {
	unshare -pf "$@"
}
if foreign true 2>/dev/null; then
	t "/proc of another namespace: maps" status 2 foreign pvmread maps 1
	t "  stderr says so" says "$err" '/proc belongs to another PID namespace'
	t "/proc of another namespace: scan" status 2 foreign pvmread scan 1 x
	t "/proc of another namespace: dump" status 2 foreign pvmread dump 1 -o "$core"
	t "  no core is left" [ ! -e "$core" ]
	t "/proc of another namespace: read by name" status 2 foreign pvmread read 1 '[heap]' 4
	t "/proc of another namespace: read by address" status 1 foreign pvmread read 1 4096 4
	t "  the message names no program" says "$err" 'of process 1, '
else
	skip "/proc of another namespace" "no unshare(1) here"
fi
if unshare -m true 2>/dev/null; then
	hidden="umount -l /proc && exec pvmread"
	t "no /proc: read" status 0 unshare -m sh -c "$hidden read -x $target $at 16"
	t "  the bytes are right" says "$out" 'at the beginning'
	t "no /proc: maps" status 2 unshare -m sh -c "$hidden maps $target"
	t "  stderr says so" says "$err" '/proc is not mounted'
else
	skip "no /proc" "no unshare(1) here"
fi
stop
end
