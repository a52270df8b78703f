# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# For tests in which another process reuses a PID; to be sourced.
#
#   low_pids			new processes have PIDs from 300 to 399, until high_pids
#   high_pids			restores the limit
#   reuse PID COMMAND...	runs COMMAND in the background with that PID; $reuser is the
#				PID, or another one if 500 tries failed
low_pids() {
	old_pid_max=$(cat /proc/sys/kernel/pid_max)
	echo 400 >/proc/sys/kernel/pid_max
	# After the highest PID the kernel goes on at 300. It never reuses a PID below.
	for _ in $(seq 500); do
		! sh -c '[ $$ -ge 300 ] && [ $$ -lt 350 ]' || return 0
	done
	high_pids
	echo "Bail out! no process gets a PID from 300 to 349"
	exit 1
}

high_pids() {
	echo "$old_pid_max" >/proc/sys/kernel/pid_max
}

reuse() {
	reuse_pid=$1
	shift
	for _ in $(seq 500); do
		# A process that gets another PID exits without running COMMAND. User mode
		# Linux 6.12 panics if a process is killed in fork(2), and COMMAND may fork.
		# shellcheck disable=SC2016 # for the inner shell
		sh -c '[ $$ != "$0" ] || exec "$@"' "$reuse_pid" "$@" &
		reuser=$!
		[ "$reuser" != "$reuse_pid" ] || return 0
		wait "$reuser"
	done
}
