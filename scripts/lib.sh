# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share. To be sourced, after "set -euo pipefail".
# shellcheck disable=SC2034 # used where this is sourced

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Outside the checkout, so that "make clean" and a fresh clone keep the kernels.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/pvmread

# progress TEXT - on a terminal, show TEXT in a line that the next call replaces; an empty
# TEXT clears the line
PROGRESS=
progress() {
	[[ -t 2 && ($PROGRESS || $1) ]] || return 0
	PROGRESS=${1:0:$((${COLUMNS:-80} - 1))}
	printf '\r\e[K%s' "$PROGRESS" >&2
}

# Results go to stdout, so all that a person reads goes to stderr.
say() {
	progress ''
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	say "error: $*"
	exit 1
}

[[ $ROOT != *[[:space:]]* ]] ||
	die "kbuild cannot build in a directory with a blank in its name: $ROOT"

# stopped STATUS - exit on a signal. A second signal must not interrupt the cleanup,
# because make forwards SIGTERM to a script that has already received it.
stopped() {
	trap '' INT TERM
	exit "$1"
}

# took START - seconds since START (a value of $SECONDS), as text
took() {
	printf '%d min %02d s' $(((SECONDS - $1) / 60)) $(((SECONDS - $1) % 60))
}

# lacks TOOL WHAT - true if TOOL is not installed; then print a TAP skip for WHAT
lacks() {
	! command -v "$1" >/dev/null || return 1
	echo "ok - $2 # SKIP $1 is not installed"
}

# lock NAME - let one process at a time use NAME; the lock is held until the script ends
lock() {
	[[ $CACHE != *[[:space:]]* ]] ||
		die "kbuild cannot build in a directory with a blank in its name: $CACHE"
	mkdir -p "$CACHE/locks"
	exec {LOCK_FD}>"$CACHE/locks/$1"
	if ! flock -n "$LOCK_FD"; then
		say "waiting for another run that uses $1"
		# In the background, so that a signal to us ends the wait.
		flock "$LOCK_FD" &
		wait $!
	fi
}

# run_logged LOG COMMAND... - run it in the background and show progress: on a terminal
# in a line that changes, elsewhere in a line each minute. On failure show the path and
# the end of the log. The caller's cleanup must call stop_logged. The children do not
# inherit the lock, because a child that outlives us would hold it.
RUN_PID=
run_logged() {
	local log=$1 start=$SECONDS status=0 show=say every=60 next
	shift
	if [[ -t 2 ]]; then
		show=progress every=2
	fi
	next=$((start + every))

	mkdir -p "$(dirname "$log")"
	# A process group of its own, so that stop_logged kills all children of a make.
	setsid "$@" >"$log" 2>&1 {LOCK_FD}>&- </dev/null &
	RUN_PID=$!
	while kill -0 "$RUN_PID" 2>/dev/null; do
		sleep 0.2
		if ((SECONDS >= next)); then
			"$show" "  $(took "$start"), $(grep -cE '^ +(CC|AS|LD|AR|HOSTCC) ' "$log" || true) objects"
			next=$((SECONDS + every))
		fi
	done
	wait "$RUN_PID" || status=$?
	RUN_PID=
	progress ''
	if ((status)); then
		tail -n 30 "$log" >&2
		say "failed ($*); the whole log: $log"
	fi
	return "$status"
}

stop_logged() {
	if [[ $RUN_PID ]]; then
		kill -TERM -- "-$RUN_PID" 2>/dev/null || true
	fi
}

# child COMMAND... - run a script in the background and wait for it: bash handles a signal only
# after a command in the foreground has ended. The caller's cleanup must call stop_child.
CHILD=
child() {
	local status=0
	"$@" &
	CHILD=$!
	wait "$CHILD" || status=$?
	CHILD=
	return "$status"
}

stop_child() {
	[[ $CHILD ]] || return 0
	kill -TERM "$CHILD" 2>/dev/null || true
	wait "$CHILD" 2>/dev/null || true
}

# tree_version TREE - print the version in a kernel tree's Makefile
tree_version() {
	awk '$2 == "=" && $1 == "VERSION" { v = $3 }
	     $2 == "=" && $1 == "PATCHLEVEL" { p = $3 }
	     $2 == "=" && $1 == "SUBLEVEL" { s = $3 }
	     $1 == "EXTRAVERSION" { e = $3; exit }
	     END { if (v == "" || p == "") exit 1; print v "." p "." s e }' \
		"$1/Makefile"
}

# kernel_arch DIR - print Debian's name of a kernel's architecture, or of this machine's if
# the list below lacks it; DIR is a build directory or what scripts/kernel-stock printed
kernel_arch() {
	local config option arch
	for config in "$1/.config" "$1/build/.config"; do
		[[ ! -e $config ]] || break
	done
	while read -r option arch; do
		! grep -qs "^CONFIG_$option=y" "$config" || { echo "$arch"; return; }
	done <<-END
		X86_64 amd64
		X86_32 i386
		ARM64 arm64
		ARM armhf
		S390 s390x
		PPC64 ppc64el
		RISCV riscv64
	END
	debian_arch
}

# version_between LOW V HIGH - LOW <= V <= HIGH as version numbers
version_between() {
	[[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]] &&
	[[ $(printf '%s\n' "$2" "$3" | sort -V | tail -n 1) == "$3" ]]
}

# --- Debian's kernel packages, without a change to the machine's apt ---

# is_debian - true if this machine has apt and runs Debian, not a derivative with other kernels
is_debian() {
	command -v apt-get >/dev/null || return 1
	# shellcheck source=/dev/null
	(. /etc/os-release && [[ ${ID-} == debian ]])
}

# debian_codename - the code name in os-release, or "stable" if it has none
debian_codename() {
	# shellcheck source=/dev/null
	(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
}

# debian_suite KERNEL - print the Debian suite that has that kernel, for this release
debian_suite() {
	case $(debian_codename):$1 in
	bookworm:6.12)	echo bookworm-backports ;;
	*:6.12)		echo trixie ;;
	*:7.3)		echo trixie-backports ;;
	*)		die "Debian packages no kernel $1: set KSRC to a tree" ;;
	esac
}

# debian_port_suite SUITE ARCH - print SUITE, or trixie if SUITE does not have ARCH
debian_port_suite() {
	case $1:$2 in
	bookworm*:riscv64)	echo trixie ;;
	*)			echo "$1" ;;
	esac
}

# debian_mirror - print the URI of the archive that apt uses
debian_mirror() {
	local codename uri
	codename=$(debian_codename)
	# shellcheck disable=SC2016 # apt's variables
	uri=$(apt-get indextargets --format \
		'$(RELEASE) $(COMPONENT) $(CREATED_BY) $(REPO_URI)' |
	      awk -v c="$codename" '($1 == c || $1 == "stable") && $2 == "main" &&
				     $3 == "Packages" { print $4; exit }')
	[[ $uri ]] || die "apt has no source for $codename main: set KSRC to a kernel tree"
	echo "$uri"
}

# debian_arch - Debian's name of this machine's architecture
debian_arch() {
	local machine
	! dpkg --print-architecture 2>/dev/null || return 0
	machine=$(uname -m)
	case $machine in
	x86_64)		echo amd64 ;;
	aarch64)	echo arm64 ;;
	armv7l)		echo armhf ;;
	ppc64le)	echo ppc64el ;;
	*)		echo "$machine" ;;
	esac
}

# The exit status of scripts/kernel-stock and scripts/cross if the mirror lacks a file: some
# mirrors do not have all architectures, and some are incomplete for a while after a release.
MIRROR_LACKS=3

# no_download LOG WHAT - exit because apt-get failed
no_download() {
	cat "$1" >&2
	grep -q '404 *Not Found' "$1" || die "$2"
	say "error: $2: the mirror lacks a file"
	exit "$MIRROR_LACKS"
}

# private_apt SUITE [ARCH] - set APT to apt-get's and apt-cache's options for that
# suite with package lists of its own. Download the lists for this machine's
# architecture and for ARCH.
private_apt() {
	local suite=$1 host arch mirror start=$SECONDS dir LOCK_FD
	host=$(debian_arch)
	arch=${2:-$host}
	dir=$CACHE/apt/$suite
	[[ $arch == "$host" ]] || dir+=-$arch

	command -v apt-get >/dev/null || die "no apt here: set KSRC to a kernel tree"
	# Scripts that hold different locks may use the same package lists.
	lock "apt-${dir##*/}"
	mirror=$(debian_mirror)
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	cat >"$dir/sources.list" <<-END
		deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main
	END
	# The machine's settings (for example a proxy) still apply. Its hooks do not,
	# because they would act on the system's lists.
	cat >"$dir/apt.conf" <<-END
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		Dir::Etc::SourceList "$dir/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "$dir/lists";
		Dir::Cache "$dir";
		Dir::Cache::archives "$dir/archives";
		APT::Sandbox::User "root";
		APT::Architectures { "$host"; "$arch"; };
		Acquire::Languages "none";
		Acquire::Retries "3";
	END
	APT=(-q -c "$dir/apt.conf")
	apt-get "${APT[@]}" update >"$dir/update.log" 2>&1 ||
		no_download "$dir/update.log" "cannot read the package lists of $suite"
	say "package lists of Debian's $suite from $mirror ($(took "$start"))"
}

# download_debs DIR PACKAGE... - download packages into DIR, from the suite of private_apt
download_debs() {
	local dir=$1
	shift
	(cd "$dir" && apt-get "${APT[@]}" download "$@" >"$dir.log" 2>&1) ||
		no_download "$dir.log" "the download failed"
}
