# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# For tests of the command on a layout-target; to be sourced. It sources tap.sh.
#
#   start ARGUMENT...	starts a layout-target with these arguments; its pid is in $target,
#			and the pids of all are in $targets
#   fails PATTERN ARGUMENT...	"pvmread $command ARGUMENT..." exits with 2, prints nothing,
#				and a line of its messages matches
#   prints TEXT COMMAND...	succeeds if that is all that the command prints; its exit
#				status is in $prints_status
. "${0%/*}/tap.sh"
PATH=/bin:/usr/bin
export PATH
work=$tap/work
mkdir "$work"
chmod 755 "$tap"
targets=
# shellcheck disable=SC2086 # words on purpose
trap '[ -z "$targets" ] || kill -KILL $targets 2>/dev/null' EXIT

start() {
	: >"$work/ready"
	"${0%/*}/layout-target" "$@" >"$work/ready" &
	target=$!
	targets="$targets $target"
	for _ in $(seq 600); do
		[ -s "$work/ready" ] && return
		sleep 0.1
	done
	echo "Bail out! layout-target is not ready"
	exit 1
}

fails() {
	pattern=$1
	shift
	# shellcheck disable=SC2154 # the script that sources this sets it
	status 2 pvmread "$command" "$@" && says "$err" "$pattern" && [ ! -s "$out" ]
}

prints() {
	prints_text=$1
	shift
	prints_status=0
	# shellcheck disable=SC2034 # the script that sources this reads it
	"$@" >"$out" 2>"$err" || prints_status=$?
	[ "$(cat "$out")" = "$prints_text" ] || { echo "not $prints_text"; return 1; }
}
