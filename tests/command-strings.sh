#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread strings". Needs
# layout-target and command-terminal in /tests, and busybox's strings.
. "${0%/*}/layout.sh"
command="strings"

# put OFFSET FORMAT - write bytes to $work/text, in printf(1)'s format
put() {
	# shellcheck disable=SC2059 # it is a format
	printf "$2" | dd of="$work/text" bs=1 seek="$(($1))" conv=notrunc 2>/dev/null
}

# finds TEXT ARGUMENT... - strings prints TEXT and no more
finds() {
	want=$1
	shift
	prints "$want" pvmread strings "$@" "$target"
}

# has TEXT ARGUMENT... - strings prints a line that is TEXT
has() {
	want=$1
	shift
	pvmread strings "$@" "$target" >"$out" 2>"$err"
	grep -qxF -e "$want" "$out" || { echo "no line $want"; return 1; }
}

head -c 2097152 /dev/urandom >"$work/random"
# 0x130000000 to 0x130200000, and two pages more that are read-only.
dd if=/dev/zero of="$work/text" bs=4096 count=514 2>/dev/null
put 0x000010 'four\0abc\0tab\tin\0del\177ete\0'
put 0x0ffffc 'crossing'
put 0x1ffffd 'neighbour'
put 0x201ffc 'last'
head -c 2097152 "$work/text" >"$work/rw"
tail -c 8192 "$work/text" >"$work/r"
# Text in other encodings
dd if=/dev/zero of="$work/text" bs=4096 count=512 2>/dev/null
put 0x0100 '\0Gr\303\274\303\237e \346\227\245\346\234\254 \360\237\224\221\0'
put 0x0140 'over\300\257long\0sur\355\240\200rogate\0'
put 0x0180 'csi1\302\2332345\0bidi\342\200\256turn\0priv\356\200\200ate.\0mark\342\200\217here\0'
put 0x01c0 'cut \303'
put 0x0200 'P\0\037\4 \0\60\4@\0\0\0'
put 0x0220 '\0\0o\0d\0d\0\344\0'
put 0x0241 'o\0d\0d\0\366\0'
put 0x0260 '\345e,g\236\212 \0=\330\21\335k\0'
put 0x02a0 '\37\4\60\4\100\4\76\4\73\4\114\4'
put 0x0280 '\0b\0i\0g\4\26'
put 0x0300 'w\0\0\0\374\0\0\0i\0\0\0\21\365\1\0'
put 0x0320 '\0\0\0B\0\0\0I\0\0\0G\0\1\365\21'
put 0x0400 'it is ASCII text\nand another line of it\nand one more'
put 0x0ffffe 'b\342\202\254yond'
put 0x1001fa 'p\0a\0r\0=\330\21\335'
put 0x1ffffa 'e\0n\0d\0'
cp "$work/text" "$work/encodings"
# 40 MiB in one string
head -c 41943040 /dev/zero | tr '\0' x >"$work/long"
printf '\0' >>"$work/long"
start 110000000:rw:"$work/random" 130000000:rw:"$work/rw" 130200000:r:"$work/r" \
	130202000:none:"$work/r" 140000000:rw:"$work/encodings" 150000000:rw:"$work/long" \
	1000000000:rw:+64
rm "$work/long"

# like_strings N ADDRESS LENGTH - pvmread prints the same as busybox's strings
like_strings() {
	pvmread read -r "$target" "$2" "$3" >"$work/bytes" || return
	strings -a -n "$1" -t d "$work/bytes" | sed 's/^ *//' >"$work/theirs"
	pvmread strings -n "$1" -t d -r "$2-$(printf 0x%x $(($2 + $3)))" "$target" |
		awk -v "base=$(($2))" '{
			at = index($0, " ")
			print substr($0, 1, at - 1) - base substr($0, at)
		}' >"$work/ours"
	[ -s "$work/theirs" ] && cmp "$work/ours" "$work/theirs"
}
for n in 1 4 8; do
	t "$n characters: as strings(1) in random bytes" like_strings $n 0x110000000 2097152
	t "$n characters: as strings(1) in text" like_strings $n 0x130000000 2097152
done
t "short strings are ignored, tabs are text" finds 'four
tab	in
crossing
neighbour
last' -r 0x130000000-0x130202000
t "--writable ends a string at read-only memory" finds 'nei' -n 3 -w \
	-r 0x1301fff00-0x130202000
t "a range cuts a string" finds 'rossin' -r 0x1300ffffd-0x130100003
t "unreadable memory ends a string" finds 'last' -r 0x130201000-0x130203000
t "hexadecimal addresses" finds '1300ffffc crossing' -t x -r 0x1300ff000-0x130101000
t "decimal addresses" finds '5101322236 crossing' -t d -r 0x1300ff000-0x130101000
t "octal addresses" finds '46003777774 crossing' -t o -r 0x1300ff000-0x130101000
t "no string of ten characters" finds '' -n 10 -r 0x130000000-0x130202000
t "  no string is status 1" status 1 pvmread strings -n 10 -r 0x130000000-0x130202000 "$target"
t "JSON" finds '{"address":5101322236,"name":"","offset":1048572,"encoding":"s","text":"crossing","length":8}' \
	-j -r 0x1300ff000-0x130101000
t "JSON escapes a tab" finds '{"address":5100273690,"name":"","offset":26,"encoding":"s","text":"ab\tin","length":5}' \
	-j -r 0x13000001a-0x130000021
t "--resident finds a string" has 'crossing' -R
t "--nowait finds a string" has 'crossing' -N

# 40 MiB, with less memory than that
t "a string of 40 MiB in little memory" \
	sh -c "ulimit -v 36000; pvmread strings -r 0x150000000-0x152801000 $target >$work/o"
t "  it is complete" [ "$(wc -c <"$work/o")" = 41943041 ]
t "  it is one line" [ "$(wc -l <"$work/o")" = 1 ]
t "a string of 40 MiB in JSON" \
	sh -c "pvmread strings -j -r 0x150000000-0x152801000 $target >$work/o"
t "  it is complete" sh -c "tail -c 21 $work/o | grep -q '\"length\":41943040}'"
rm "$work/o"
t "64 GiB of untouched memory" status 1 timeout -s KILL 60 \
	pvmread strings -r 0x1000000000-0x2000000000 "$target"

utf8='-e u -r 0x140000000-0x140000200'
# shellcheck disable=SC2086 # words on purpose
t "invalid, control and private UTF-8 end strings" finds 'Grüße 日本 🔑
over
long
rogate
csi1
2345
bidi
turn
priv
ate.
mark
here
cut ' $utf8
t "  across a chunk boundary" finds 'b€yond' -e u -r 0x1400ffff0-0x140100100
t "  from the middle of a character" finds 'yond' -e u -r 0x140100000-0x140100100
t "UTF-16, in two alphabets" has 'PП а@' -e l
t "  is not found again one byte later" finds 'Пароль' -e l -r 0x1400002a0-0x140000300
t "  at an odd address" has 'oddö' -e l
t "  Chinese, and a surrogate pair" has '日本語 🔑k' -n 6 -e l
t "  a pair across a chunk boundary" has 'par🔑' -e l -r 0x140000202-0x140100300
t "  at the end of a mapping" finds 'end' -n 3 -e l -r 0x1401fff00-0x140200000
t "  big-endian" has 'bigЖ' -e b
t "  ASCII is not UTF-16" finds '' -e l -r 0x140000400-0x140000480
t "  ASCII is not big-endian UTF-16" finds '' -e b -r 0x140000400-0x140000480
t "UTF-32" finds 'wüi🔑' -e L -r 0x140000000-0x140000400
t "  big-endian" finds 'BIG🔑' -e B -r 0x140000000-0x140000400

if [ -e /dev/ptmx ]; then
	t "an ASCII terminal" "${0%/*}/command-terminal" never '' \
		pvmread strings -e u -r 0x140000100-0x140000120 "$target"
	"${0%/*}/command-terminal" never '' \
		pvmread strings -e u -r 0x140000100-0x140000120 "$target" >"$out" 2>"$err"
	t "  non-ASCII text is replaced by ?" says "$out" '^Gr[?]+e [?]+ [?]+.?$'
fi

t "no PID" fails 'no PID given'
t "no such process" fails 'process 999999: no such process' 999999
t "two PIDs" fails '"1" is one argument too many' "$target" 1
t "an unknown encoding" fails '--encoding "x": must be s, u, l, b, L or B' -e x "$target"
t "two encodings" fails '--encoding "su": must be' -e su "$target"
t "0 characters" fails '--bytes 0: must be from 1 to 1048576' -n 0 "$target"
t "2 Mi characters" fails '--bytes 2M: must be from 1' -n 2M "$target"
t "an unknown radix" fails '--radix "y": must be o, d or x' -t y "$target"
t "--json and --radix" fails 'cannot be combined' -j -t x "$target"
t "an invalid range" fails 'not START-END' -r 1 "$target"
t "a full disk" sh -c "! pvmread strings $target >/dev/full 2>$err"
t "  stderr says so" says "$err" 'standard output: No space left on device'
t "a closed pipe has the first string" \
	sh -c "pvmread strings $target 2>$err | head -n 1 | grep -q ."
kill -KILL "$target"
wait "$target" 2>/dev/null
t "a process that was killed" fails 'no such process' "$target"
end
