#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread diff". Needs layout-target
# in /tests. Compares cores of gdb and of the kernel where these are available.
. "${0%/*}/layout.sh"
command="diff"
old=$work/old
new=$work/new
# The addresses of the layouts. The other mappings of two programs always differ.
ours=0x110000000-0x3000000000

# differs TEXT ARGUMENT... - diff prints TEXT and exits with 1, or with 0 if TEXT is ""
differs() {
	want=$1
	shift
	prints "$want" pvmread diff "$@" || return
	[ "$prints_status" = $(($(wc -c <"$out") > 0)) ] ||
		{ echo "status $prints_status"; return 1; }
}

# change ADDRESS BYTES - of the target
change() {
	pvmread write -y -x "$2" "$target" "$1"
}

head -c 2097152 /dev/urandom >"$work/random"
printf '\0\0\0\0\0\0\0\0abcdefgh01234567' |
	dd of="$work/random" bs=1 seek=4096 conv=notrunc 2>/dev/null
printf '0123456789abcdef' | dd of="$work/random" bs=1 seek=1048568 conv=notrunc 2>/dev/null
printf '\0\0\0\0\0\0\0\0' | dd of="$work/random" bs=1 seek=2097144 conv=notrunc 2>/dev/null
head -c 8192 "$work/random" >"$work/small"
start 110000000:rw:"$work/random" 110200000:r:"$work/small" 120000000:none:"$work/small" \
	1000000000:rw:+64
pvmread dump -o "$old" "$target" >"$out" 2>"$err"
t "an unchanged process has no difference" differs '' -r $ours "$old" "$target"
t "a core has no difference from itself" differs '' "$old" "$old"
t "64 GiB of untouched memory take no time" timeout -s KILL 60 pvmread diff "$old" "$old"

change 0x110001008 '41'
change 0x110001017 '58 59'
change 0x1100ffff8 '2d 2d 2d 2d 2d 2d 2d 2d 2d'
change 0x1101fffff '01'
change 0x1400000010 'ff'
changes='0x110001008-0x110001019 [anonymous]+0x1008 3 bytes changed
0x1100ffff8-0x110100001 [anonymous]+0xffff8 9 bytes changed
0x1101fffff-0x110200000 [anonymous]+0x1fffff 1 bytes changed
0x1400000010-0x1400000011 [anonymous]+0x400000010 1 bytes changed'
t "each change of a process" differs "$changes" -r $ours "$old" "$target"
t "the same changes from process to core" differs "$changes" -r $ours "$target" "$old"
t "a range shows only its changes" \
	differs "$(echo "$changes" | sed -n 2p)" -r 0x110002000-0x110180000 "$old" \
	"$target"
t "a range cuts a change" differs '0x1100ffff8-0x1100ffffa [anonymous]+0xffff8 2 bytes changed' \
	-r 0x110002000-0x1100ffffa "$old" "$target"
t "a gap over --gap splits changes" \
	differs '0x110001008-0x110001009 [anonymous]+0x1008 1 bytes changed
0x110001017-0x110001019 [anonymous]+0x1017 2 bytes changed' -g 14 \
	-r 0x110001000-0x110002000 "$old" "$target"
t "a large --gap joins changes" \
	differs '0x110001008-0x110200000 [anonymous]+0x1008 13 bytes changed' \
	-g 2M -r 0x110000000-0x110202000 "$old" "$target"
t "--bytes shows old and new bytes" \
	differs '0x110001008-0x110001019 [anonymous]+0x1008 3 bytes changed
-110001000: 0000 0000 0000 0000 6162 6364 6566 6768  ........abcdefgh
+110001000: 0000 0000 0000 0000 4162 6364 6566 6768  ........Abcdefgh
-110001010: 3031 3233 3435 3637'"$(xxd -s 4120 -l 8 "$work/random" | cut -c 10-29)"'  01234567'"\
$(xxd -s 4120 -l 8 "$work/random" | cut -c 52-)"'
+110001010: 3031 3233 3435 3658'"$(xxd -s 4120 -l 8 "$work/random" | cut -c 10-29 |
	sed 's/^ ../ 59/')"'  0123456XY'"\
$(xxd -s 4121 -l 7 "$work/random" | cut -c 52-)" -b -r 0x110001000-0x110002000 "$old" "$target"
t "--bytes across a chunk boundary" \
	status 1 pvmread diff -b -r 0x110002000-0x110180000 "$old" "$target"
t "  the old bytes before it" says "$out" '^-1100ffff0: .*  .{8}01234567$'
t "  the old bytes after it" says "$out" '^-110100000: 38'
t "  the new bytes before it" says "$out" '^[+]1100ffff0: .* 2d2d 2d2d 2d2d 2d2d  .*--------$'
t "  the new bytes after it" says "$out" '^[+]110100000: 2d'
t "JSON" differs '{"what":"changed","start":4564451320,"end":4564451329,"bytes":9,"name":"","offset":1048568}' \
	-j -r 0x110002000-0x110180000 "$old" "$target"
t "JSON with bytes" differs '{"what":"changed","start":4565499903,"end":4565499904,"bytes":1,"name":"","offset":2097151,"shown":4565499888,"old":"'"$(tail -c 16 "$work/random" | xxd -p)"'","new":"'"$(tail -c 16 "$work/random" | xxd -p | cut -c 1-30)"'01"}' \
	-jb -r 0x110180000-0x110202000 "$old" "$target"
t "--writable ignores read-only memory" \
	fails 'no memory that can be compared' -w -r 0x110200000-0x110202000 \
	"$old" "$target"
t "--resident finds the same" differs "$changes" -R -r $ours "$old" "$target"
t "--nowait finds the same" differs "$changes" -N -r $ours "$old" "$target"

pvmread dump -o "$new" "$target" >"$out" 2>"$err"
t "two cores" differs "$changes" -r $ours "$old" "$new"
t "-v of a whole process" status 1 pvmread diff -v "$old" "$target"
t "  stderr names ranges not compared" \
	says "$err" '^pvmread diff: not compared 0x[0-9a-f]+-0x[0-9a-f]+, '
t "  stderr gives their size" \
	says "$err" '^pvmread diff: [0-9]+ bytes were not compared: .*/old does not'

# --- memory of only one input ---

first=$target
start 110000000:rw:"$work/random" 110300000:rw:"$work/small" 120000000:none:"$work/small"
pvmread dump -o "$new" "$target" >"$out" 2>"$err"
only="0x110001008-0x110001019 [anonymous]+0x1008 3 bytes changed
0x1100ffff8-0x110100001 [anonymous]+0xffff8 9 bytes changed
0x1101fffff-0x110200000 [anonymous]+0x1fffff 1 bytes changed
0x110200000-0x110202000 [anonymous]+0x0 8192 bytes only in FIRST
0x110300000-0x110302000 [anonymous]+0x0 8192 bytes only in SECOND
0x1000000000-0x2000000000 [anonymous]+0x0 68719476736 bytes only in FIRST"
only() {
	echo "$only" | sed -e "s,FIRST,$1," -e "s,SECOND,$2,"
}
t "memory of only one of two processes" differs "$(only "process $first (layout-target)" \
	"process $target (layout-target)")" -r $ours "$first" "$target"
t "a process and another one's core" differs "$(only "process $first (layout-target)" \
	"$new")" -r 0x110000000-0x3000000000 "$first" "$new"
t "memory of only one input in JSON" differs '{"what":"only","in":"'"$new"'","start":4566548480,"end":4566556672,"bytes":8192,"name":"","offset":0}' \
	-j -r 0x110300000-0x110400000 "$first" "$new"

# --- cores by gdb and by the kernel ---

if command -v gdb >/dev/null; then
	gdb -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off' \
		-p "$target" -ex "generate-core-file $work/gdb" >"$work/log" 2>&1
	t "a core by gdb has no difference" \
		differs '' -r 0x110000000-0x120000000 "$work/gdb" "$target"
	t "  nor from our own core" differs '' -r 0x110000000-0x120000000 "$work/gdb" "$new"
	# The process has run since, so its stack has changed.
	t "  it lacks program text" sh -c \
		"pvmread diff $work/gdb $target >$out 2>$err; [ \$? -le 1 ]"
	t "  stderr says so" says "$err" 'bytes were not compared: .*/gdb does not have them'
	t "  that is no difference" sh -c "! grep only $out"
else
	skip "a core by gdb has no difference" "there is no gdb"
fi
if [ -e /proc/sys/kernel/core_pattern ] && [ -e "/proc/$target/coredump_filter" ]; then
	echo "$work/kernel" >/proc/sys/kernel/core_pattern
	# shellcheck disable=SC3045 # busybox has it
	ulimit -c unlimited
	second=$target
	start 110000000:rw:"$work/random" 110300000:rw:"$work/small" 120000000:none:"$work/small"
	kill -SEGV "$target"
	wait "$target" 2>/dev/null
	target=$second
	t "a core by the kernel has no difference" \
		differs '' -r 0x110000000-0x130000000 "$work/kernel" "$new"
else
	skip "a core by the kernel has no difference" "this kernel writes none"
fi

# --- damaged cores ---

# survives FILE - diff of FILE and the whole core does not crash; status 2 has one message
survives() {
	survives_status=0
	timeout -s KILL 60 pvmread diff -r 0x110000000-0x110100000 "$1" "$new" >"$out" 2>"$err" ||
		survives_status=$?
	[ "$survives_status" -le 2 ] || { echo "status $survives_status"; return 1; }
	[ "$survives_status" -lt 2 ] || [ "$(wc -l <"$err")" = 1 ] || { cat "$err"; return 1; }
}

# cut_anywhere - a truncated core is status 2, wherever it ends
cut_anywhere() {
	size=$(stat -c %s "$new")
	for length in $(seq 0 63) $(seq 64 56 4000) $(seq 4096 $((size / 50)) "$size"); do
		[ "$length" -lt "$size" ] || continue
		head -c "$length" "$new" >"$work/cut"
		survives "$work/cut" || return
		[ "$survives_status" = 2 ] || { echo "$length bytes: $survives_status"; return 1; }
	done
}

# overwrite_headers BYTE - diff survives BYTE in place of any one byte of the ELF header and the
# first program headers
overwrite_headers() {
	dd if="$new" of="$work/cut" bs=1M 2>/dev/null
	for at in $(seq 0 300); do
		# shellcheck disable=SC2059 # it is a format
		printf "$1" | dd of="$work/cut" bs=1 seek="$at" conv=notrunc 2>/dev/null
		survives "$work/cut" || { echo "byte $at"; return 1; }
		dd if="$new" of="$work/cut" bs=1 seek="$at" skip="$at" count=1 conv=notrunc \
			2>/dev/null
	done
}
t "a truncated core is status 2" cut_anywhere
t "  stderr is one line" says "$err" '^pvmread diff: .*/cut: truncated: '
t "0xff in any header byte gives no crash" overwrite_headers '\377'
t "0 in any header byte gives no crash" overwrite_headers '\0'
head -c 64 "$new" >"$work/cut"
head -c 4096 /dev/urandom >>"$work/cut"
t "random program headers give no crash" survives "$work/cut"

# --- trouble ---

t "one argument is missing" fails 'two arguments are needed' "$target"
t "one argument is too many" fails 'one argument too many' 1 2 3
t "a missing file" fails '/nowhere: No such file' /nowhere "$target"
t "a directory" fails ': not a regular file' "$work" "$target"
t "a file that is not ELF" fails 'random: not an ELF file' "$work/random" "$target"
t "an ELF file that is not a core" \
	fails 'an ELF file, but not a core file' "${0%/*}/layout-target" "$target"
t "no such process" fails 'process 999999: no such process' 999999 "$new"
t "./NUMBER is a file" fails '/999999: No such file' ./999999 "$new"
t "a range without memory" fails 'no memory that can be compared' -r 0x1000-0x2000 "$new" "$target"
t "an invalid range" fails 'not START-END' -r 1 "$new" "$target"
t "a gap of 0" fails '--gap 0: must be at least 1' -g 0 "$new" "$target"
t "--resident with two cores" fails 'for processes, not for core files' -R "$old" "$new"
t "a full disk" sh -c "pvmread diff $old $new >/dev/full 2>$err; [ \$? = 2 ]"
t "  stderr says so" says "$err" 'standard output: No space left on device'
kill -KILL "$first"
wait "$first" 2>/dev/null
t "a process that was killed" fails 'no such process' "$first" "$new"
end
