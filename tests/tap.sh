# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# TAP for test scripts; to be sourced. Works in busybox's sh and in bash.
#
#   t "what is expected" COMMAND...	passes if the command succeeds
#   status N COMMAND...			succeeds if the command exits with N;
#					its output is in $out and $err
#   says FILE PATTERN			succeeds if a line of FILE matches (grep -E)
#   skip "what" "why"
#   end					the plan; exits 1 if something failed
tap_count=0
tap_failed=0
tap=$(mktemp -d)
out=$tap/out
err=$tap/err

t() {
	tap_what=$1
	shift
	tap_count=$((tap_count + 1))
	if "$@" >"$tap/t" 2>&1; then
		echo "ok $tap_count $tap_what"
	else
		tap_failed=$((tap_failed + 1))
		# As in the other tests, the cause comes before the result.
		echo "# $*"
		for tap_file in t out err; do
			[ ! -s "$tap/$tap_file" ] || head -n 20 "$tap/$tap_file" |
				sed "s/^/# $tap_file: /"
		done
		echo "not ok $tap_count $tap_what"
	fi
}

status() {
	tap_want=$1
	shift
	tap_got=0
	"$@" >"$out" 2>"$err" || tap_got=$?
	[ "$tap_got" = "$tap_want" ] || { echo "exit status $tap_got, not $tap_want"; return 1; }
}

says() {
	grep -qE -e "$2" "$1" || { echo "no line like $2"; return 1; }
}

skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count $1 # SKIP $2"
}

end() {
	echo "1..$tap_count"
	rm -rf "$tap"
	[ "$tap_failed" = 0 ] || exit 1
}
