#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest that has loaded the module: "pvmread scan --type", the options by
# which scan selects mappings, and "pvmread rescan". Needs typed-target in /tests.
. "${0%/*}/tap.sh"
. "${0%/*}/reuse-pid.sh"
PATH=/bin:/usr/bin
export PATH
work=$tap/work
file=$work/file
mkdir "$work" "$work/small"
chmod 755 "$tap"
target=
trap '[ -z "$target" ] || kill -KILL $target; umount "$work/small" 2>/dev/null' EXIT

# start [ARGUMENT...] - a typed-target; its PID is in $target, file descriptor 9 is its input
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

# tell COMMAND - let the target carry it out
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

# counts N COMMAND ARGUMENT... - pvmread COMMAND --count prints N
counts() {
	want=$1
	command=$2
	shift 2
	[ "$want" = 0 ] && want_status=1 || want_status=0
	status "$want_status" pvmread "$command" --count "$@" || return
	[ "$(cat "$out")" = "$want" ] || { echo "$(cat "$out") found, not $want"; return 1; }
}

# finds N TYPE PREDICATE ARGUMENT... - scan finds N of the known values
finds() {
	want=$1
	type=$2
	predicate=$3
	shift 3
	counts "$want" scan -t "$type" -r 0x20000000-0x20300000 "$@" -- "$target" \
		"$predicate"
}

# at ADDRESS TYPE PREDICATE ARGUMENT... - scan finds a value there, and nowhere else
at() {
	addr=$1
	type=$2
	predicate=$3
	shift 3
	status 0 pvmread scan -t "$type" -r 0x20000000-0x20300000 "$@" -- "$target" \
		"$predicate" || return
	[ "$(wc -l <"$out")" = 1 ] && says "$out" "^$addr \\[anonymous\\]\\+"
}

# remain N PREDICATE... - N candidates of $file pass
remain() {
	want=$1
	shift
	counts "$want" rescan "$file" "$@"
}

# save TYPE PREDICATE ARGUMENT... - scan saves the matches in $file
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

# is_damaged FILE - rescan refuses FILE with one message, and does not change it
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
t "a negative number in hexadecimal" at 0x20000120 i32 -0x75bcd15
t "a negative number after =" status 0 pvmread scan -t i16 -w "$target" =-12345
t "a range from the lowest i64" finds 1 i64 -9223372036854775808..-1000000000000000000 \
	-r 0x20000130-0x20000138
t "  a range to the highest u64" \
	finds 1 u64 17000000000000000000..18446744073709551615 -r 0x20000170-0x20000178
t "a range includes its ends" finds 1 u32 3123456789..3123456789
t "  values outside do not match" finds 0 u32 3123456790..3200000000
t "a range of negative numbers" finds 1 i16 -20000..-1 -r 0x20000110-0x20000118
t "> excludes the number" finds 0 u16 '>54321' -r 0x20000150-0x20000160
t "  >= includes the number" finds 1 u16 '>=54321' -r 0x20000150-0x20000160
t "< excludes the number" finds 7 u16 '<54321' -r 0x20000150-0x20000160
t "  <= includes the number" finds 8 u16 '<=54321' -r 0x20000150-0x20000160
t "< with a negative number" finds 1 i16 '< -12344' -r 0x20000110-0x20000112
t "> with a negative number" finds 0 i16 '> -12345' -r 0x20000110-0x20000112
t "f32 >" finds 2 f32 '>1000.5' -r 0x20000200-0x20000210
t "  NaN is not less either" finds 1 f32 '<1000.5' -r 0x20000200-0x20000210
t "f32 range" finds 2 f32 1000..1001
t "--tolerance 0.11 matches 0.1" finds 2 f32 1000.5 --tolerance 0.11
t "  --tolerance 0.09 does not" finds 0 f32 1000.5 --tolerance 0.09
t "f32 with six digits" finds 1 f32 1000.4001
t "  fewer do not match" finds 0 f32 1000.41
t "infinity" finds 1 f32 inf
t "f64 with twelve digits" finds 1 f64 2.718281828459
t "  fewer do not match" finds 0 f64 2.7182818284
t "a different string is not found" finds 0 utf16 'zź😀x'
t "an unaligned value is not found" finds 0 u32 0xabcdef01
t "  --align 1 finds it" at 0x20000301 u32 0xabcdef01 --align 1
t "  --align 2 does not" finds 0 u32 0xabcdef01 --align 2
t "a value across chunks" at 0x200ffffe u32 0xabcdef02 --align 2
t "  with --align 4" at 0x201ffffc u64 0xabcdef0304050607 --align 4
t "a string at an odd address" finds 2 utf16 'zż😀x' --align 1
t "a range that begins at an odd address" finds 1 u32 0xabcdef02 --align 1 \
	-r 0x200fffff-0x20100002 -r 0x200ffffd-0x20100002
t "  a value from before it does not match" \
	finds 0 u32 0xabcdef02 --align 1 -r 0x200fffff-0x20100002
t "each zero byte of a page" finds 4096 u8 0 -r 0x20010000-0x20011000
t "untouched memory does not match" counts 0 scan -t u8 -r 0x30000000-0x30001000 "$target" 0
t "--max limits the matches" finds 3 u8 0 -m 3
t "--resident finds a value" finds 1 u32 3123456789 -R
t "a match prints one line" status 0 pvmread scan -t f32 "$target" 3.14159
t "  address, name and shortest value" says "$out" '^0x20000180 \[anonymous\]\+0x180 3\.14159$'
t "JSON" status 0 pvmread scan -t u64 --json "$target" 17123456789012345678
t "  one object a line" says "$out" \
	'^\{"address":536871280,"name":"","offset":368,"type":"u64","value":17123456789012345678\}$'
t "JSON of a string" status 0 pvmread scan -t utf16 --json "$target" 'zż😀x' -m 1
t "  is UTF-8" says "$out" '"type":"utf16","value":"zż😀x"\}$'
t "JSON of infinity" status 0 pvmread scan -t f32 --json "$target" inf \
	-r 0x20000200-0x20000210
t "  the value is null" says "$out" '"value":null\}$'

# --- bad usage ---

t "an unknown type" refuses 'not one of i8, .*utf16$' pvmread scan -t u128 "$target" 1
t "a number out of range" refuses '"256": out of the range of u8, from 0 to 255$' \
	pvmread scan -t u8 "$target" 256
t "  below the range" refuses '"-129": out of the range of i8, from -128 to 127$' \
	pvmread scan -t i8 "$target" =-129
t "  over u64" refuses 'out of the range of u64' pvmread scan -t u64 "$target" \
	18446744073709551616
t "  negative, for an unsigned type" \
	refuses 'out of the range of u32' pvmread scan -t u32 "$target" =-1
t "  over f32" refuses 'out of the range of f32' pvmread scan -t f32 "$target" 1e39
t "  a comparison that no value meets" \
	refuses 'no u8 value can match' pvmread scan -t u8 "$target" '>255'
t "a word as a value" refuses 'not an integer' pvmread scan -t u8 "$target" ten
t "0x as a value" refuses 'not an integer' pvmread scan -t u8 "$target" 0x
t "a number with a suffix" refuses 'not a number' pvmread scan -t f32 "$target" 1.5x
t "NaN" refuses 'NaN matches nothing' pvmread scan -t f32 "$target" nan
t "a range that ends before it begins" refuses 'ends before it begins' \
	pvmread scan -t i32 "$target" 2..-2
t "a range without an end" refuses 'not an integer' pvmread scan -t i32 "$target" 2..
t "a tolerance for integers" refuses 'only with f32 and f64' \
	pvmread scan -t u8 --tolerance 1 "$target" 2
t "  for a range" refuses 'single value' pvmread scan -t f32 --tolerance 1 "$target" 2..3
t "  below 0" refuses 'at least 0' pvmread scan -t f32 --tolerance=-1 "$target" 2
t "an alignment of 3" status 2 pvmread scan -t u8 --align 3 "$target" 2
t "  stderr says why" says "$err" 'power of two'
t "a type with --regex" status 2 pvmread scan -t u8 -e "$target" 2
t "--save without a type" status 2 pvmread scan --save "$file" "$target" 2
t "none of these creates a file" [ ! -e "$file" ]

# --- mappings ---

t "--anonymous finds a value" counts 1 scan -t u32 --anonymous "$target" 3123456789
t "  --anonymous skips files" counts 0 scan --anonymous "$target" 'not one of step'
t "--file finds a string" status 0 pvmread scan --file typed-target "$target" 'not one of step'
t "  by its path" status 0 pvmread scan --file "$(readlink "/proc/$target/exe")" "$target" \
	'not one of step'
t "  --file skips anonymous memory" counts 0 scan -t u32 --file typed-target "$target" \
	3123456789
t "a file that is not mapped" refuses '"nothing.so": no mapped file' \
	pvmread scan --file nothing.so "$target" x
t "--heap skips other memory" counts 0 scan -t u32 --heap "$target" 3123456789
t "  --heap finds a byte" status 0 pvmread scan -t u8 --heap -m 1 "$target" '>=0'
t "  --anonymous includes the heap" status 0 pvmread scan -t u8 --anonymous -m 1 "$target" '>=0' \
	-r '[heap]-[heap]+16'
t "--writable skips read-only memory" counts 0 scan --writable --file typed-target "$target" \
	'not one of step'
t "--heap with --anonymous" status 2 pvmread scan --heap --anonymous "$target" x

# --- rescan ---

for value in i8:-101 i16:-12345 i32:-123456789 i64:-1234567890123456789 u8:201 u16:54321 \
	u32:3123456789 u64:17123456789012345678 f32:3.14159 f64:2.718281828459045; do
	type=${value%%:*}
	file=$work/$type
	t "$type: scan --save" save "$type" "${value#*:}" -r 0x20000100-0x20000200
	t "  the mode is 600" [ "$(stat -c %a "$file")" = 600 ]
	t "  rescan unchanged finds it" remain 1 unchanged
	t "  rescan without a test finds it" remain 1
done
file=$work/utf16
t "utf16: scan --save" save utf16 'zż😀x'
t "  rescan unchanged finds it" remain 1 unchanged
cp "$work/u32" "$work/u32-changed"
cp "$work/i8" "$work/i8-by"
tell step
for type in i8 i16 i32 i64 u8 u16 u32 u64 f32 f64; do
	file=$work/$type
	cp "$file" "$work/$type-up"
	t "$type: rescan increased" remain 1 increased
	file=$work/$type-up
	t "  rescan increased 1" remain 1 increased 1
	t "  not increased again" remain 0 increased
done
file=$work/u32
t "rescan prints the new value" status 0 pvmread rescan "$file"
t "  stdout has it" says "$out" '^0x20000160 \[anonymous\]\+0x160 3123456790$'
t "  rescan --json" status 0 pvmread rescan "$file" --json
t "  stdout has it as JSON" says "$out" '"offset":352,"type":"u32","value":3123456790\}$'
t "  rescan of a range" remain 1 3123456790..3123456799
t "  rescan >" remain 1 '>3123456789'
t "  rescan =" remain 1 =3123456790
t "  the old value does not match" remain 0 3123456789
t "  no candidate is left" remain 0
file=$work/u32-changed
t "rescan changed" remain 1 changed
t "  then rescan unchanged" remain 1 unchanged
file=$work/i8-by
t "increased by 2 does not match" counts 0 rescan "$file" increased 2 --save "$work/none"
t "  --save FILE keeps the old file" remain 1 increased 1
t "decreased does not match" counts 0 rescan "$file" decreased --save "$work/none"
file=$work/utf16
t "a changed string" status 0 pvmread rescan "$file" changed
t "  stdout has it" says "$out" '^0x200001a0 \[anonymous\]\+0x1a0 \{'
t "  is equal to itself" remain 1 '={ż😀x'
t "  it is equal to its beginning" remain 1 '={ż'
t "  then only that is compared" status 0 pvmread rescan "$file" --json unchanged
t "    only that is printed" says "$out" '"value":"\{ż"\}$'
for predicate in increased '>1'; do
	t "a string cannot be $predicate" refuses 'utf16 takes only =TEXT, changed and unchanged' \
		pvmread rescan "$work/utf16" "$predicate"
done
file=$work/f32
t "f32: scan --save" save f32 4.14159
tell step
t "  rescan changed" counts 1 rescan "$file" changed --save "$work/none"
t "  not changed within the tolerance" counts 0 rescan "$file" changed --tolerance 1.01 \
	--save "$work/none"
t "  not increased beyond the tolerance" counts 0 rescan "$file" increased --tolerance 1.01 \
	--save "$work/none"
t "a tolerance for integers" refuses 'f32 and f64' pvmread rescan "$work/i8" changed --tolerance 1
t "BY without a change test" \
	refuses 'only with increased and decreased' pvmread rescan "$work/i8" 5 1
t "BY of 0" refuses 'BY must be from 1 to 255' pvmread rescan "$work/i8" increased 0
t "a missing file" refuses 'No such file' pvmread rescan "$work/nothing"
t "a FIFO" refuses 'not a regular file' pvmread rescan "$work/in"
t "a directory" refuses 'not a regular file' pvmread rescan "$work"
t "--save to a FIFO" refuses 'not a regular file' \
	pvmread scan -t u8 --save "$work/in" "$target" 201

# --- damaged files ---

file=$work/damaged
t "scan --save" save u32 3123456791
head=96
t "  the file has a header and one candidate" [ "$(stat -c %s "$file")" = $((head + 9)) ]
cut_anywhere() {
	i=0
	while [ $i -lt $((head + 9)) ]; do
		head -c $i "$file" >"$work/cut"
		is_damaged "$work/cut" || { echo "cut to $i bytes"; return 1; }
		i=$((i + 1))
	done
}
t "a truncated file is refused" cut_anywhere
# Flip bit 0 of the first byte, then bit 1 of the second byte instead, and so on.
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
t "a file with a flipped bit is refused" flip_anywhere
cp "$file" "$work/longer"
echo >>"$work/longer"
t "a file with an extra byte is refused" is_damaged "$work/longer"
t "a file of another kind" refuses 'not written by "pvmread scan --save"' pvmread rescan "$(command -v pvmread)"
t "the undamaged file is accepted" remain 1 unchanged

# --- a full disk ---

mount -t tmpfs -o size=16k none "$work/small"
cp "$file" "$work/small/file"
t "a full disk" refuses 'small/many: No space left on device' \
	pvmread scan -t u8 --count -r 0x20000000-0x20100000 --save "$work/small/many" "$target" 0
t "  no file is left" [ "$(ls -A "$work/small")" = file ]
dd if=/dev/zero of="$work/small/zeros" bs=4k 2>/dev/null
t "a full disk for rescan" refuses 'No space left' pvmread rescan "$work/small/file"
t "  the file is unchanged" cmp "$file" "$work/small/file"
umount "$work/small"

# --- another program, another process ---

tell exec
t "rescan after execve" \
	refuses 'has called execve since the scan; scan again$' pvmread rescan "$file"
t "a new file" save u32 3123456789
stop
t "rescan after the process exited" refuses 'no such process' pvmread rescan "$file"

low_pids
start
victim=$target
t "a file of process $victim" save u32 3123456789
stop
reuse "$victim" sleep 1000
target=$reuser
high_pids
t "the PID is reused" [ "$target" = "$victim" ]
t "  rescan refuses the new process" refuses 'has exited, and .* has reused its PID; scan again$' \
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
t "a million matches take under 10 s" \
	within 10 counts 1000000 scan -t u32 --save "$file" "$target" 77777777
t "  rescan unchanged takes under 3 s" within 3 remain 1000000 unchanged
tell step
t "  rescan increased takes under 3 s" within 3 remain 1000000 increased
t "  rescan -m 2" status 0 pvmread rescan "$file" -m 2 77777778
t "    it prints two" [ "$(wc -l <"$out")" = 2 ]
t "    stderr counts the others" says "$err" ' 999998 more are in '
tell unmap
t "  after munmap, half of them remain" remain 499712
t "    stderr counts the others" says "$err" '500288 of 1000000 candidates can no longer be read'

# rescan waits for the reader of its output when the target dies.
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
t "target exits during rescan" [ "$(cat "$work/status")" = 2 ]
t "  stderr says so" \
	says "$err" ' of process [0-9]+ \(typed-target\): (has exited|runs another)|: process'
t "  the file is unchanged" cmp "$file" "$work/copy"
wait "$target" 2>/dev/null
target=
end
