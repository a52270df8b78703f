#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs inside a guest: strace, proot, eu-stack, stress-ng, Open MPI and UCX, as
# Debian ships them, without the preload shim and with it.
#
#   /tests/programs.sh absent|present
#
# says whether the kernel lacks process_vm_readv(2) or has it. Another strace, the
# witness, runs the program and records its system calls.
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
kernel=${1-}
shim=libpvmread-preload.so
work=/tmp/programs
trace='^pvmread-preload: '
word='ptrace\(PTRACE_(PEEK|POKE)(DATA|TEXT),'
mkdir $work

# --- Running a program ---

# run NAME COMMAND... - four times: without the shim and with it, each alone and
# under the witness. Leaves NAME.plain.FILE and NAME.shim.FILE in $work. FILE is
# status, out or err of the program alone, or calls or seen.err under the witness.
run() {
	name=$1
	shift
	alone "$name.plain" "$@"
	alone "$name.shim" env LD_PRELOAD=$shim PVMREAD_TRACE=1 "$@"
	seen "$name.plain" "$@"
	seen "$name.shim" -E LD_PRELOAD=$shim -E PVMREAD_TRACE=1 "$@"
}

alone() {
	to=$work/$1
	shift
	"$@" >"$to.out" 2>"$to.err" </dev/null
	echo $? >"$to.status"
}

seen() {
	to=$work/$1
	# stress-ng makes the calls in a child. Do not follow a child of strace, which strace
	# itself traces: a process cannot have two tracers.
	case $1 in
	stress-ng.*)	follow=-f ;;
	*)		follow= ;;
	esac
	shift
	# shellcheck disable=SC2086 # an option or nothing
	strace $follow -o "$to.calls" -e trace=process_vm_readv,process_vm_writev,ptrace,ioctl \
		"$@" >"$to.seen.out" 2>"$to.seen.err" </dev/null
}

# --- What it did ---

# lines FILE PATTERN - how many lines of FILE match
lines() {
	grep -cE -e "$2" "$1"
}

# counted FILE - the calls that succeeded through the device. The shim writes its
# counters to FILE when a process ends
counted() {
	sed -nE "s/$trace.*: device: ([0-9]+) calls, ([0-9]+) failed.*kernel: ([0-9]+) .*/\1 \2 \3/p" \
		"$1" | awk '{ moved += $1 - $2; kernel += $3 }
			    END { print kernel ? kernel " by the kernel" : moved + 0 }'
}

# refused NAME - each process_vm_readv(2) and process_vm_writev(2) failed with ENOSYS
refused() {
	file=$work/$1.plain.calls
	[ "$(lines "$file" 'process_vm_')" -gt 0 ] &&
	[ "$(lines "$file" 'process_vm_')" = "$(lines "$file" 'process_vm_.* = -1 ENOSYS')" ]
}

# by_word NAME MIN - the program moved at least MIN words with ptrace(2)
by_word() {
	words=$(lines $work/"$1".plain.calls "$word")
	echo "$words words"
	[ "$words" -ge "$2" ]
}

# by_syscall NAME - the system call moved bytes, and ptrace(2) moved none
by_syscall() {
	file=$work/$1.plain.calls
	[ "$(lines "$file" 'process_vm_.* = [1-9]')" -gt 0 ] &&
	[ "$(lines "$file" "ENOSYS|$word")" = 0 ]
}

# by_device NAME - the system call and ptrace(2) moved no bytes, and the shim has
# counted each ioctl
by_device() {
	file=$work/$1.shim.calls
	ioctls=$(lines "$file" 'ioctl\([0-9]+, _IOC\(_IOC_NONE, 0xd5, 0x[12], 0\).* = 0$')
	counted=$(counted "$work/$1.shim.seen.err")
	alone=$(counted "$work/$1.shim.err")
	echo "$ioctls ioctls; counted: $counted, and without the witness $alone"
	[ "$(lines "$file" "process_vm_|$word")" = 0 ] &&
	[ "$ioctls" -gt 0 ] && [ "$ioctls" = "$counted" ] && [ "$alone" -gt 0 ]
}

# same NAME - the same output and status, with the shim and without
same() {
	for file in status out err; do
		for how in plain shim; do
			normal $work/"$1".$how.$file >$work/$how
		done
		diff $work/plain $work/shim || return 1
	done
}

# normal FILE - without the shim's own lines, and without what differs between two
# runs of stress-ng: process ids, times, rates, how much memory is available
normal() {
	sed -E -e "/$trace/d" -e '/^stress-ng: (info|metrc): /s/[0-9][0-9.]*[KMGT]?/N/g' \
		-e 's/ secs?$/ s/' -e 's/ +/ /g' "$1"
}

# said NAME.HOW - print the program's stdout and stderr: stress-ng logs to stdout since
# 0.15.08, to stderr before
said() {
	cat $work/"$1".out $work/"$1".err
}

# program NAME WORDS COMMAND... - all these checks, of a program that also works
# without the system call: it then moves at least WORDS words with ptrace(2)
program() {
	name=$1
	words=$2
	shift 2
	run "$name" "$@"
	if [ "$kernel" = absent ]; then
		t "$name, no shim: every call answers ENOSYS" refused "$name"
		t "$name, no shim: word by word instead" by_word "$name" "$words"
	else
		t "$name, no shim: by the system call" by_syscall "$name"
	fi
	t "$name, no shim: the output is right" "right_$(echo "$name" | tr - _)" plain
	t "$name, shim: the output is right" "right_$(echo "$name" | tr - _)" shim
	t "$name, shim: all by the device" by_device "$name"
	t "$name: the same output with the shim and without" same "$name"
	summary "$name"
}

summary() {
	echo "# $1: without the shim $(lines $work/"$1".plain.calls process_vm_) system calls and" \
		"$(lines $work/"$1".plain.calls "$word") words, exit status $(cat $work/"$1".plain.status);" \
		"with it $(counted $work/"$1".shim.seen.err) transfers by the device," \
		"exit status $(cat $work/"$1".shim.status)"
}

# --- The right output: right_NAME plain|shim ---

# ends_well NAME.HOW - it ended with status 0
ends_well() {
	[ "$(cat $work/"$1".status)" = 0 ] || { cat $work/"$1".status $work/"$1".err; return 1; }
}

right_strace() {
	ends_well strace."$1" && cmp $work/text $work/strace."$1".out &&
	grep -qxF "openat(AT_FDCWD, \"$work/text\", O_RDONLY) = 3" $work/strace."$1".err &&
	grep -qxF -f $work/write $work/strace."$1".err
}

right_proot() {
	ends_well proot."$1" && diff $work/proot.want $work/proot."$1".out
}

right_eu_stack() {
	ends_well eu-stack."$1" &&
	sed -n 's/^#[0-9]* *0x[0-9a-f]* //p' $work/eu-stack."$1".out >$work/functions &&
	head -n 5 $work/functions | diff $work/stack.want - &&
	[ "$(tail -n 1 $work/functions)" = _start ]
}

right_stress_ng() {
	said stress-ng."$1" >$work/said
	ends_well stress-ng."$1" && [ "$(lines $work/said 'fail:')" = 0 ] &&
	says $work/said ' vm-rw +10 '
}

# --- The tests ---

case $kernel in
absent)		answer=ENOSYS ;;
present)	answer=memory ;;
*)		echo "usage: $0 absent|present" >&2; exit 2 ;;
esac
t "insmod pvmread.ko" insmod /pvmread.ko

printf 'process_vm_readv: %s\nsyscall: %s\n' "$answer" "$answer" >$work/answer
printf 'process_vm_readv: memory\nsyscall: memory\n' >$work/memory
target probe >$work/probe.plain
LD_PRELOAD=$shim target probe >$work/probe.shim
t "no shim: the system call is $kernel" diff $work/answer $work/probe.plain
t "shim: the call works, by its function and by syscall(2)" diff $work/memory $work/probe.shim

# A string of more than a page, which strace reads in pieces.
yes "a line of a text that is longer than a page" | head -n 100 >$work/text
awk -v n="$(wc -c <$work/text)" 'BEGIN { printf "write(1, \"" } { printf "%s\\n", $0 }
	END { printf "\", %d) = %d\n", n, n }' $work/text >$work/write
program strace 500 strace -E LD_PRELOAD -s 8192 -e trace=openat,write target show $work/text

# The program shows a file of the other root, a file bound into it, and proot's uname(2).
mkdir -p $work/root/bin $work/root/etc
cp /bin/busybox $work/root/bin
echo "the other root" >$work/root/etc/name
echo "bound" >$work/bound
: >$work/root/etc/bound
cat >$work/root/etc/commands <<-'END'
	read -r name <name && echo "$name" && read -r name </etc/bound && echo "$name" && pwd
	exec /bin/busybox uname -r
END
printf '%s\n' "the other root" bound /etc 9.9.9-proot >$work/proot.want
program proot 50 proot -r $work/root -b $work/bound:/etc/bound -k 9.9.9-proot -w /etc \
	/bin/busybox sh /etc/commands
t "proot, shim: it writes by the device" says $work/proot.shim.calls '0xd5, 0x2, '

printf '%s\n' pause third_function second_function first_function main >$work/stack.want
mkfifo $work/ready
target block >$work/ready &
blocked=$!
# Once it has printed "ready", wait until it sleeps.
if read -r _ <$work/ready; then
	until grep -q '^State:.S' /proc/$blocked/status || ! kill -0 $blocked; do sleep 0.1; done
fi
program eu-stack 8 eu-stack -p $blocked
kill $blocked

run stress-ng stress-ng --vm-rw 1 --vm-rw-ops 10 --vm-rw-bytes 256k --verify --metrics-brief
if [ "$kernel" = absent ]; then
	t "stress-ng, no shim: the call answers ENOSYS" refused stress-ng
	said stress-ng.plain >$work/said
	t "stress-ng, no shim: it reports ENOSYS and gives up" says $work/said \
		'fail: .* vm-rw: process_vm_readv failed, errno=38 \(Function not implemented\)'
	t "stress-ng, no shim: it completes 0 operations" says $work/said ' vm-rw +0 '
else
	t "stress-ng, no shim: by the system call" by_syscall stress-ng
	t "stress-ng, no shim: verified, 10 operations" right_stress_ng plain
	t "stress-ng: the same output with the shim and without" same stress-ng
fi
t "stress-ng, shim: verified, 10 operations" right_stress_ng shim
t "stress-ng, shim: all by the device" by_device stress-ng
summary stress-ng

LD_PRELOAD=$shim strace -o $work/inherited -e trace=openat target show $work/bound >$work/out
t "a shim that the traced program inherits changes nothing" cmp $work/bound $work/out
t "it is inherited" says $work/inherited "^openat\(.*$shim\".* = 3"

# strace counts the system calls of a child to find out what the kernel can do.
t "strace --seccomp-bpf, shim: it works" status 0 env LD_PRELOAD=$shim \
	strace -f --seccomp-bpf -E LD_PRELOAD -s 8192 -e trace=openat,write target show $work/text
t "strace --seccomp-bpf, shim: the same output" diff $work/strace.plain.err "$err"

# --- Two processes of MPI ---

# Open MPI 5 executes prterun.
if [ -x /usr/bin/prterun ]; then
	mpirun="mpirun"
	ob1="--mca btl self,sm --mca smsc cma"
else
	mpirun="mpirun --mca plm isolated"
	ob1="--mca btl self,vader --mca btl_vader_single_copy_mechanism cma"
fi

# mpi ob1|ucx plain|shim - the receiver of a long message reads it from the sender's memory,
# by Open MPI's own transport or by that of UCX
mpi() {
	case $1 in
	ob1)	options="--mca pml ob1 $ob1" ;;
	ucx)	options="--mca pml ucx --mca pml_ucx_tls any --mca pml_ucx_devices any \
			-x UCX_TLS=self,sysv,cma -x UCX_RNDV_THRESH=4k" ;;
	esac
	case $2 in
	shim)	set -- -x LD_PRELOAD=$shim -x PVMREAD_TRACE=1 ;;
	*)	set -- ;;
	esac
	# shellcheck disable=SC2086 # one word each
	timeout -s KILL 120 $mpirun --allow-run-as-root --oversubscribe -n 2 $options "$@" mpi
}

# by_device_alone FILE MIN - MIN transfers or more by the device, none by the kernel
by_device_alone() {
	counted=$(counted "$1")
	echo "counted: $counted"
	[ "$counted" -ge "$2" ]
}

if [ ! -x /usr/bin/mpi ]; then
	skip "MPI between two processes" "Open MPI is not here"
else
	for transport in ob1 ucx; do
		t "mpirun, $transport, shim: it ends well" status 0 mpi $transport shim
		t "mpirun, $transport, shim: each message of 1 KiB to 16 MiB is right" \
			[ "$(lines "$out" 'bytes right$')" = 30 ]
		t "mpirun, $transport, shim: all by the device" by_device_alone "$err" 20
		if [ "$kernel $transport" = "absent ob1" ] && [ ! -x /usr/bin/prterun ]; then
			mpi ob1 plain >$work/mpi.plain 2>&1
			t "mpirun, ob1, no shim: the call answers ENOSYS" says $work/mpi.plain 'errno = 38'
			continue
		fi
		# Without the system call Open MPI 5 and UCX use shared memory.
		t "mpirun, $transport, no shim: it ends well" status 0 mpi $transport plain
		t "mpirun, $transport, no shim: each message is right" \
			[ "$(lines "$out" 'bytes right$')" = 30 ]
	done
fi

# --- A page that never arrives ---

# hostile SECONDS COMMAND... - run "strace -e trace=write target hostile" for at most SECONDS;
# COMMAND, an env(1), sets its environment
hostile() {
	seconds=$1
	shift
	timeout -s KILL "$seconds" "$@" strace -E LD_PRELOAD -e trace=write target hostile
}

# hangs COMMAND... - strace prints the first write(2), then hangs at the second until killed
hangs() {
	status 137 hostile 5 "$@" && says "$out" '^ready$' &&
	says "$err" '^write\(1, "ready' && ! says "$err" '^write\(-1.* = '
}

# ends COMMAND... - strace exits, and prints the address in place of the string
ends() {
	status 0 hostile 60 "$@" && says "$out" '^ready$' &&
	says "$err" '^write\(-1, 0x[0-9a-f]+, 16\) += -1 EBADF'
}

# On a kernel without process_vm_readv(2), strace uses PTRACE_PEEKDATA, which fails there.
[ "$kernel" = absent ] ||
	t "strace of a page that never arrives, no shim: it hangs" hangs env
t "strace of a page that never arrives, shim: it hangs" hangs env LD_PRELOAD=$shim
t "with PVMREAD_FLAGS=nowait: it exits" ends env LD_PRELOAD=$shim PVMREAD_FLAGS=nowait
t "with PVMREAD_FLAGS=nowait: it prints a string that is mapped" says "$err" '^write\(1, "ready'
t "with PVMREAD_FLAGS=resident: it exits" ends env LD_PRELOAD=$shim PVMREAD_FLAGS=resident
t "with PVMREAD_FLAGS=never: it hangs" hangs env LD_PRELOAD=$shim PVMREAD_FLAGS=never
t "with PVMREAD_FLAGS=never: the shim says why" [ "$(lines "$err" "PVMREAD_FLAGS is ignored: unknown word 'never'")" = 1 ]

t "rmmod pvmread" rmmod pvmread
t "no module: strace works all the same" status 0 \
	env LD_PRELOAD=$shim strace -E LD_PRELOAD -s 8192 -e trace=write target show $work/text
t "no module: its output is right" grep -qxF -f $work/write "$err"
t "no module: the shim says once what to do" [ "$(lines "$err" 'pvmread.*modprobe')" = 1 ]
end
