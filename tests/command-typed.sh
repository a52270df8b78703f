#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread scan --type", what scan
# takes of the mappings, and "pvmread rescan". Needs typed-target in /tests.
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
work=$tap/work
file=$work/file
mkdir "$work" "$work/small"
chmod 755 "$tap"
target=
trap '[ -z "$target" ] || kill -KILL $target; umount "$work/small" 2>/dev/null' EXIT

# start [ARGUMENT...] - a typed-target; its number is in $target, its input is 9
start() {
	rm -f "$work/in"
	mkfifo "$work/in"
	: >"$work/answers"
	"${0%/*}/typed-target" "$@" <"$work/in" >"$work/answers" &
	target=$!
	exec 9>"$work/in"
	answers 1
}

# answers N - wait until the target has printed so many lines
answers() {
	for _ in $(seq 3000); do
		[ "$(wc -l <"$work/answers")" -ge "$1" ] && return
		usleep 20000
	done
	echo "Bail out! typed-target does not answer"
	exit 1
}

# tell COMMAND - the target obeys
tell() {
	before=$(wc -l <"$work/answers")
	echo "$1" >&9
	answers $((before + 1))
}

stop() {
	exec 9>&-
	kill -KILL "$target"
	wait "$target" 2>/dev/null
	target=
}

# counts N COMMAND ARGUMENT... - with --count pvmread COMMAND says that there are N
counts() {
	want=$1
	command=$2
	shift 2
	[ "$want" = 0 ] && want_status=1 || want_status=0
	status "$want_status" pvmread "$command" --count "$@" || return
	[ "$(cat "$out")" = "$want" ] || { echo "$(cat "$out") found, not $want"; return 1; }
}

# finds N TYPE PREDICATE ARGUMENT... - among the known values
finds() {
	want=$1
	type=$2
	predicate=$3
	shift 3
	counts "$want" scan -t "$type" -r 0x20000000-0x20300000 "$@" -- "$target" \
		"$predicate"
}

# at ADDRESS TYPE PREDICATE ARGUMENT... - it is found there, and nowhere else
at() {
	addr=$1
	type=$2
	predicate=$3
	shift 3
	status 0 pvmread scan -t "$type" -r 0x20000000-0x20300000 "$@" -- "$target" \
		"$predicate" || return
	[ "$(wc -l <"$out")" = 1 ] && says "$out" "^$addr \\[anonymous\\]\\+"
}

# remain N PREDICATE... - so many candidates of $file pass
remain() {
	want=$1
	shift
	counts "$want" rescan "$file" "$@"
}

# save TYPE PREDICATE ARGUMENT... - what passes is in $file
save() {
	type=$1
	predicate=$2
	shift 2
	status 0 pvmread scan -t "$type" -r 0x20000000-0x20300000 --save "$file" "$@" -- \
		"$target" "$predicate"
}

# refuses PATTERN COMMAND... - exit status 2, stderr matches, and nothing is output
refuses() {
	pattern=$1
	shift
	status 2 "$@" && says "$err" "$pattern" && [ ! -s "$out" ] &&
		[ "$(wc -l <"$err")" = 1 ]
}

# is_damaged FILE - rescan says so, and FILE stays as it is
is_damaged() {
	cp "$1" "$work/copy"
	pvmread rescan "$1" >"$out" 2>"$err"
	[ $? = 2 ] && IFS= read -r line <"$err" && cmp "$1" "$work/copy" || return
	case $line in
	"pvmread rescan: $1: "*) ;;
	*) echo "$line"; return 1 ;;
	esac
}

# --- types ---

start
t "i8" at 0x20000100 i8 -101
t "i16" at 0x20000110 i16 -12345
t "i32" at 0x20000120 i32 -123456789
t "i64" at 0x20000130 i64 -1234567890123456789
t "u8" finds 1 u8 201 -r 0x20000140-0x20000150
t "u16" at 0x20000150 u16 54321
t "u32" at 0x20000160 u32 3123456789
t "u64" at 0x20000170 u64 17123456789012345678
t "f32" at 0x20000180 f32 3.14159
t "f64" at 0x20000190 f64 2.718281828459045
t "utf16" at 0x200001a0 utf16 'zż😀x'
t "a number in hexadecimal" at 0x20000160 u32 0xba2c2b15
t "a negative one" at 0x20000120 i32 -0x75bcd15
t "a negative one behind =" status 0 pvmread scan -t i16 -w "$target" =-12345
t "the lowest and the highest" finds 1 i64 -9223372036854775808..-1000000000000000000 \
	-r 0x20000130-0x20000138
t "  of u64" finds 1 u64 17000000000000000000..18446744073709551615 -r 0x20000170-0x20000178
t "a range holds its ends" finds 1 u32 3123456789..3123456789
t "  and nothing else" finds 0 u32 3123456790..3200000000
t "a range about 0" finds 1 i16 -20000..-1 -r 0x20000110-0x20000118
t "more than" finds 0 u16 '>54321' -r 0x20000150-0x20000160
t "  or as much" finds 1 u16 '>=54321' -r 0x20000150-0x20000160
t "less than" finds 7 u16 '<54321' -r 0x20000150-0x20000160
t "  or as much" finds 8 u16 '<=54321' -r 0x20000150-0x20000160
t "less than, of a negative number" finds 1 i16 '< -12344' -r 0x20000110-0x20000112
t "more than, of a negative number" finds 0 i16 '> -12345' -r 0x20000110-0x20000112
t "f32 more than" finds 2 f32 '>1000.5' -r 0x20000200-0x20000210
t "  but NaN, which is not less either" finds 1 f32 '<1000.5' -r 0x20000200-0x20000210
t "f32 between" finds 2 f32 1000..1001
t "a tolerance" finds 2 f32 1000.5 --tolerance 0.11
t "  that is less" finds 0 f32 1000.5 --tolerance 0.09
t "f32 to six digits" finds 1 f32 1000.4001
t "  and no fewer" finds 0 f32 1000.41
t "infinity" finds 1 f32 inf
t "f64 to twelve digits" finds 1 f64 2.718281828459
t "  and no fewer" finds 0 f64 2.7182818284
t "another string is not there" finds 0 utf16 'zź😀x'
t "what is not aligned is not found" finds 0 u32 0xabcdef01
t "  unless it is asked for" at 0x20000301 u32 0xabcdef01 --align 1
t "  nor with another alignment" finds 0 u32 0xabcdef01 --align 2
t "across what is read at once" at 0x200ffffe u32 0xabcdef02 --align 2
t "  and so aligned" at 0x201ffffc u64 0xabcdef0304050607 --align 4
t "a string at an odd address" finds 2 utf16 'zż😀x' --align 1
t "a range that begins at an odd address" finds 1 u32 0xabcdef02 --align 1 \
	-r 0x200fffff-0x20100002 -r 0x200ffffd-0x20100002
t "  has no value that begins before" finds 0 u32 0xabcdef02 --align 1 -r 0x200fffff-0x20100002
t "every byte" finds 4096 u8 0 -r 0x20010000-0x20011000
t "a byte that nobody has touched is none" counts 0 scan -t u8 -r 0x30000000-0x30001000 "$target" 0
t "--max stops" finds 3 u8 0 -m 3
t "resident memory only" finds 1 u32 3123456789 -R
t "a line has the address, the name, the value" status 0 pvmread scan -t f32 "$target" 3.14159
t "  in full and no longer" says "$out" '^0x20000180 \[anonymous\]\+0x180 3\.14159$'
t "JSON" status 0 pvmread scan -t u64 --json "$target" 17123456789012345678
t "  an object" says "$out" \
	'^\{"address":536871280,"name":"","offset":368,"type":"u64","value":17123456789012345678\}$'
t "JSON of a string" status 0 pvmread scan -t utf16 --json "$target" 'zż😀x' -m 1
t "  is UTF-8" says "$out" '"type":"utf16","value":"zż😀x"\}$'
t "JSON of what is no number" status 0 pvmread scan -t f32 --json "$target" inf \
	-r 0x20000200-0x20000210
t "  is null" says "$out" '"value":null\}$'

# --- bad usage ---

t "no type" refuses 'not one of i8, .*utf16$' pvmread scan -t u128 "$target" 1
t "out of range" refuses '"256": out of the range of u8, from 0 to 255$' \
	pvmread scan -t u8 "$target" 256
t "  below it" refuses '"-129": out of the range of i8, from -128 to 127$' \
	pvmread scan -t i8 "$target" =-129
t "  of u64" refuses 'out of the range of u64' pvmread scan -t u64 "$target" \
	18446744073709551616
t "  negative" refuses 'out of the range of u32' pvmread scan -t u32 "$target" =-1
t "  of f32" refuses 'more than an f32' pvmread scan -t f32 "$target" 1e39
t "  beyond it" refuses 'no u8 value can match' pvmread scan -t u8 "$target" '>255'
t "no number" refuses 'not an integer' pvmread scan -t u8 "$target" ten
t "half a number" refuses 'not an integer' pvmread scan -t u8 "$target" 0x
t "a number and more" refuses 'not a number' pvmread scan -t f32 "$target" 1.5x
t "NaN" refuses 'NaN matches nothing' pvmread scan -t f32 "$target" nan
t "a range that ends before it begins" refuses 'ends before it begins' \
	pvmread scan -t i32 "$target" 2..-2
t "half a range" refuses 'not an integer' pvmread scan -t i32 "$target" 2..
t "a tolerance of integers" refuses 'f32 and f64 only' \
	pvmread scan -t u8 --tolerance 1 "$target" 2
t "  of a range" refuses 'single value' pvmread scan -t f32 --tolerance 1 "$target" 2..3
t "  that is negative" refuses 'at least 0' pvmread scan -t f32 --tolerance=-1 "$target" 2
t "an alignment of 3" refuses 'power of two' sh -c "pvmread scan -t u8 --align 3 $target 2 2>&1 |
	head -n 1 >&2; exit 2"
t "a type and an expression" status 2 pvmread scan -t u8 -e "$target" 2
t "--save without a type" status 2 pvmread scan --save "$file" "$target" 2
t "none of them made a file" [ ! -e "$file" ]

# --- mappings ---

t "anonymous memory" counts 1 scan -t u32 --anonymous "$target" 3123456789
t "  is not a file's" counts 0 scan --anonymous "$target" 'not one of step'
t "a file's memory" status 0 pvmread scan --file typed-target "$target" 'not one of step'
t "  by its path" status 0 pvmread scan --file "$(readlink "/proc/$target/exe")" "$target" \
	'not one of step'
t "  is not anonymous memory" counts 0 scan -t u32 --file typed-target "$target" \
	3123456789
t "a file that is not mapped" refuses '"nothing.so": no mapped file' \
	pvmread scan --file nothing.so "$target" x
t "the heap" counts 0 scan -t u32 --heap "$target" 3123456789
t "  has something" status 0 pvmread scan -t u8 --heap -m 1 "$target" '>=0'
t "  and is anonymous" status 0 pvmread scan -t u8 --anonymous -m 1 "$target" '>=0' \
	-r '[heap]-[heap]+16'
t "writable memory" counts 0 scan --writable --file typed-target "$target" \
	'not one of step'
t "two kinds" status 2 pvmread scan --heap --anonymous "$target" x

# --- rescan ---

for value in i8:-101 i16:-12345 i32:-123456789 i64:-1234567890123456789 u8:201 u16:54321 \
	u32:3123456789 u64:17123456789012345678 f32:3.14159 f64:2.718281828459045; do
	type=${value%%:*}
	file=$work/$type
	t "$type saved" save "$type" "${value#*:}" -r 0x20000100-0x20000200
	t "  for its owner only" [ "$(stat -c %a "$file")" = 600 ]
	t "  is as it was" remain 1 unchanged
	t "  and read again" remain 1
done
file=$work/utf16
t "utf16 saved" save utf16 'zż😀x'
t "  is as it was" remain 1 unchanged
cp "$work/u32" "$work/u32-changed"
cp "$work/i8" "$work/i8-by"
tell step
for type in i8 i16 i32 i64 u8 u16 u32 u64 f32 f64; do
	file=$work/$type
	cp "$file" "$work/$type-up"
	t "$type has increased" remain 1 increased
	file=$work/$type-up
	t "  by 1" remain 1 increased 1
	t "  and now has not" remain 0 increased
done
file=$work/u32
t "the new value" status 0 pvmread rescan "$file"
t "  is printed" says "$out" '^0x20000160 \[anonymous\]\+0x160 3123456790$'
t "  as JSON" status 0 pvmread rescan "$file" --json
t "  too" says "$out" '"offset":352,"type":"u32","value":3123456790\}$'
t "  in a range" remain 1 3123456790..3123456799
t "  is more" remain 1 '>3123456789'
t "  is that" remain 1 =3123456790
t "  and not that" remain 0 3123456789
t "  so that there is none left" remain 0
file=$work/u32-changed
t "what has changed" remain 1 changed
t "  has not since" remain 1 unchanged
file=$work/i8-by
t "an increase by more" counts 0 rescan "$file" increased 2 --save "$work/none"
t "  leaves the file" remain 1 increased 1
t "no decrease" counts 0 rescan "$file" decreased --save "$work/none"
file=$work/utf16
t "a string that has changed" status 0 pvmread rescan "$file" changed
t "  is printed" says "$out" '^0x200001a0 \[anonymous\]\+0x1a0 \{'
t "  is equal to itself" remain 1 '={ż😀x'
t "  and to its beginning" remain 1 '={ż'
t "  which is what counts then" status 0 pvmread rescan "$file" --json unchanged
t "    and no more" says "$out" '"value":"\{ż"\}$'
for predicate in increased '>1'; do
	t "a string is not $predicate" refuses 'utf16 takes =TEXT, changed and unchanged only' \
		pvmread rescan "$work/utf16" "$predicate"
done
file=$work/f32
t "a float" save f32 4.14159
tell step
t "  has changed" counts 1 rescan "$file" changed --save "$work/none"
t "  but not with a tolerance" counts 0 rescan "$file" changed --tolerance 1.01 \
	--save "$work/none"
t "  not increased by more than the tolerance" counts 0 rescan "$file" increased --tolerance 1.01 \
	--save "$work/none"
t "a tolerance of integers" refuses 'f32 and f64' pvmread rescan "$work/i8" changed --tolerance 1
t "BY without a change" refuses 'increased and decreased only' pvmread rescan "$work/i8" 5 1
t "BY of 0" refuses 'BY is from 1 to 255' pvmread rescan "$work/i8" increased 0
t "no such file" refuses 'No such file' pvmread rescan "$work/nothing"
t "a FIFO" refuses 'not a regular file' pvmread rescan "$work/in"
t "a directory" refuses 'not a regular file' pvmread rescan "$work"
t "--save to a FIFO" refuses 'not a regular file' \
	pvmread scan -t u8 --save "$work/in" "$target" 201

# --- damaged files ---

file=$work/damaged
t "a file for that" save u32 3123456791
head=96
t "  is as long as its header and a candidate" [ "$(stat -c %s "$file")" = $((head + 9)) ]
cut_anywhere() {
	i=0
	while [ $i -lt $((head + 9)) ]; do
		head -c $i "$file" >"$work/cut"
		is_damaged "$work/cut" || { echo "cut to $i bytes"; return 1; }
		i=$((i + 1))
	done
}
t "cut anywhere, it is refused" cut_anywhere
# One bit of each byte, another one each time
flip_anywhere() {
	bit=1
	before=
	after=$(xxd -p "$file" | tr -d '\n')
	while [ "$after" ]; do
		rest=${after#??}
		byte=${after%"$rest"}
		printf '%s%02x%s' "$before" $((0x$byte ^ bit)) "$rest" | xxd -r -p >"$work/flip"
		is_damaged "$work/flip" || { echo "bit $bit after $before"; return 1; }
		before=$before$byte
		after=$rest
		bit=$((bit == 128 ? 1 : 2 * bit))
	done
}
t "a bit of any byte changed, it is refused" flip_anywhere
cp "$file" "$work/longer"
echo >>"$work/longer"
t "with a byte more, it is refused" is_damaged "$work/longer"
t "another file" refuses 'not a file of "pvmread scan --save"' pvmread rescan "$(command -v pvmread)"
t "the file itself is good" remain 1 unchanged

# --- a full disk ---

mount -t tmpfs -o size=16k none "$work/small"
cp "$file" "$work/small/file"
t "a full disk" refuses 'small/many: No space left on device' \
	pvmread scan -t u8 --count -r 0x20000000-0x20100000 --save "$work/small/many" "$target" 0
t "  leaves nothing behind" [ "$(ls -A "$work/small")" = file ]
dd if=/dev/zero of="$work/small/zeros" bs=4k 2>/dev/null
t "a full disk for rescan" refuses 'No space left' pvmread rescan "$work/small/file"
t "  leaves the file" cmp "$file" "$work/small/file"
umount "$work/small"

# --- another program, another process ---

tell exec
t "execve in between" refuses 'has called execve since; scan anew$' pvmread rescan "$file"
t "a new file" save u32 3123456789
stop
t "the process has exited" refuses 'no such process' pvmread rescan "$file"

# A low number comes again soon: after the highest follows 300.
old_max=$(cat /proc/sys/kernel/pid_max)
echo 400 >/proc/sys/kernel/pid_max
until sh -c '[ $$ -lt 350 ]'; do :; done
start
victim=$target
t "a file of $victim" save u32 3123456789
stop
tries=0
until [ $tries = 500 ]; do
	sleep 1000 &
	target=$!
	[ "$target" != "$victim" ] || break
	kill -KILL "$target"
	wait "$target" 2>/dev/null
	tries=$((tries + 1))
done
echo "$old_max" >/proc/sys/kernel/pid_max
t "the number is given to another process" [ "$target" = "$victim" ]
t "  which is not taken for it" refuses 'has exited, and .* has the number now; scan anew$' \
	pvmread rescan "$file"
stop

# --- a million ---

# hundredths - of a second since the boot
hundredths() {
	cut -d ' ' -f 1 /proc/uptime | tr -d .
}

# within SECONDS COMMAND... - it takes no longer
within() {
	limit=$1
	shift
	begin=$(hundredths)
	"$@" || return
	took=$(($(hundredths) - begin))
	echo "# $took hundredths of a second: $*" >&3
	[ "$took" -le $((100 * limit)) ]
}
exec 3>&1
start 1000000
file=$work/million
t "a million values" within 10 counts 1000000 scan -t u32 --save "$file" "$target" 77777777
t "  are read again" within 3 remain 1000000 unchanged
tell step
t "  have increased" within 3 remain 1000000 increased
t "  are printed" status 0 pvmread rescan "$file" -m 2 77777778
t "    as far as is wanted" [ "$(wc -l <"$out")" = 2 ]
t "    and it says so" says "$err" ' 999998 more are in '
tell unmap
t "  are there by half" remain 499712
t "    and it says so" says "$err" '500288 of 1000000 candidates cannot be read any more'

# It waits for its reader when the process dies.
cp "$file" "$work/copy"
{
	got=0
	pvmread rescan "$file" 2>"$err" || got=$?
	echo "$got" >"$work/status"
} | {
	IFS= read -r _
	kill -KILL "$target"
	sleep 0.2
	cat >/dev/null
}
t "the process dies meanwhile" [ "$(cat "$work/status")" = 2 ]
t "  said" says "$err" ' of process [0-9]+ \(typed-target\): (has exited|runs another)|: process'
t "  leaves the file" cmp "$file" "$work/copy"
wait "$target" 2>/dev/null
target=
end
