#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash source-path=SCRIPTDIR
#
# Runs as root inside a guest that has loaded the module: the files that "pvmread
# read -o" writes, and users who attack it with their own files. Needs pvmread in the
# PATH, command-target, command-swap and tap.sh beside it.
here=${0%/*}
. "$here/tap.sh"
PATH=/bin:/usr/bin
export PATH
work=$tap/work
sticky=$work/sticky
plain=$work/plain
user=1000
pid=
reader=

cleanup() {
	# shellcheck disable=SC2086 # words on purpose
	kill -KILL $pid $reader 2>/dev/null
	umount "$work/mount" "$plain/mounted" 2>/dev/null
	chattr -ai "$plain"/* "$plain" 2>/dev/null
	rm -rf "$tap"
}
trap cleanup EXIT
chmod 755 "$tap"
mkdir "$work" "$plain" "$sticky" "$work/mount"
chmod 777 "$plain"
chmod 1777 "$sticky"
grep -qs "^user:" /etc/passwd ||
	{ mkdir -p /etc && echo "user:x:$user:$user::/:/bin/sh" >>/etc/passwd; }

"$here/command-target" 1000 >"$work/target" &
pid=$!
for _ in $(seq 600); do
	! grep -q ready "$work/target" || break
	usleep 100000
done
text=$(awk '$1 == "text" { print $2 }' "$work/target")
big=$(awk '$1 == "big" { print $2 }' "$work/target")

# udev creates these links, and a guest has no udev.
for name in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
	[ -e "/dev/${name%:*}" ] || ln -s "${name#*:}" "/dev/${name%:*}"
done

# protect N - set the protected_* sysctls to N; protected_symlinks is at most 1
protect() {
	echo $(($1 != 0)) >/proc/sys/fs/protected_symlinks
	echo "$1" >/proc/sys/fs/protected_fifos
	echo "$1" >/proc/sys/fs/protected_regular
}

# save FILE [LENGTH] - read memory into it
save() {
	pvmread read -o "$1" "$pid" "$text" "${2:-16}"
}

# has FILE - it has what save() reads
has() {
	[ "$(head -c 100 "$1")" = 'pvmread was here' ] || { ls -l "$1"; return 1; }
}

# holds DIRECTORY NAME... - it has these files and no other
holds() {
	holds_directory=$1
	shift
	[ -d "$holds_directory" ] || return
	holds_names=$(cd "$holds_directory" && find . -mindepth 1 -maxdepth 1 | sort | tr '\n' ' ')
	holds_want=$(for name; do echo "./$name"; done | sort | tr '\n' ' ')
	[ "$holds_names" = "$holds_want" ] || { echo "there are: $holds_names"; return 1; }
}

clear_all() {
	rm -rf "${plain:?}"/* "${sticky:?}"/* "$work/elsewhere"
	mkdir "$work/elsewhere"
}

# mode_of FILE - owner and permissions
mode_of() {
	stat -c '%u %a' "$1"
}

# --- as the shell's > ---

# make KIND FILE - "user KIND" belongs to the user
make() {
	case $1 in
	*nothing)	;;
	*file)		echo old >"$2" ;;
	*fifo)		mkfifo -m 666 "$2" ;;
	*device)	mknod -m 666 "$2" c 1 3 ;;
	*dangling*)	ln -s "$work/elsewhere/new" "$2" ;;
	*link)		echo old >"$work/elsewhere/old" && ln -s "$work/elsewhere/old" "$2" ;;
	*directory)	mkdir "$2" ;;
	esac
	case $1 in
	user*)	chown -h "$user:$user" "$2" ;;
	esac
	case $1 in
	*fifo)	cat "$2" >/dev/null &
		reader=$! ;;
	esac
}

unmake() {
	[ -z "$reader" ] || { kill "$reader"; wait "$reader"; } 2>/dev/null
	reader=
	clear_all
}

shell_writes() {
	echo new >"$1"
}

# as_shell KIND FILE - save() fails if the shell's > fails, and for the same reason
as_shell() {
	make "$1" "$2"
	as_shell_reason=
	if (shell_writes "$2") 2>"$work/shell"; then
		as_shell_want=0
	else
		as_shell_want=2
		as_shell_reason=$(grep -oE 'Permission denied|Is a directory' "$work/shell")
	fi
	unmake
	make "$1" "$2"
	as_shell_failed=0
	status $as_shell_want save "$2" || as_shell_failed=1
	[ -z "$as_shell_reason" ] || says "$err" "$as_shell_reason" || as_shell_failed=1
	[ "$as_shell_want" = 2 ] || case $1 in
	*nothing | *file | *link | *dangling)	has "$2" || as_shell_failed=1 ;;
	esac
	unmake
	return $as_shell_failed
}

clear_all
for setting in 0:1777 1:1777 1:1775 1:777 2:1775; do
	protect "${setting%:*}"
	chmod "${setting#*:}" "$sticky"
	for kind in nothing file 'user file' fifo 'user fifo' device 'user device' link \
		'user link' dangling 'user dangling' directory; do
		t "$kind, directory ${setting#*:}, protected ${setting%:*}: as the shell's >" \
			as_shell "$kind" "$sticky/f"
	done
done
chmod 1777 "$sticky"
protect 1

# as_shell() also passes if neither is refused, so check the refusals themselves.
for kind in 'user file' 'user fifo' 'user device' 'user link' 'user dangling'; do
	make "$kind" "$sticky/f"
	t "$kind in a sticky directory is refused" status 2 save "$sticky/f"
	t "$kind: stderr says why" \
		says "$err" 'belongs to another user, in a sticky.*: Permission denied$'
	t "$kind: no file is left" holds "$sticky" f
	unmake
done

# --- regular files ---

echo old >"$plain/f"
chmod 644 "$plain/f"
ln "$plain/f" "$plain/other"
t "a file with two names" save "$plain/f"
t "  it has the bytes" has "$plain/f"
t "  it is a new file" [ "$(mode_of "$plain/f")" = '0 600' ]
t "  the other name has the old bytes" says "$plain/other" '^old$'
t "  no other file is left" holds "$plain" f other

# written_by_user FILE WRITTEN - the user tries to write it once; WRITTEN is 0 if refused
written_by_user() {
	status 0 su user -s /bin/sh -c "$here/command-swap 1 $user $1 $1/no $1/no x" &&
		says "$out" "^written $2 "
}
t "a user replaces root's file" written_by_user "$plain/f" 1
t "  it belongs to the user" [ "$(mode_of "$plain/f")" = "$user 600" ]
clear_all
chmod 755 "$plain"
echo old >"$plain/f"
chmod 666 "$plain/f"
t "a user's file in a directory that the user cannot write to" written_by_user "$plain/f" 0
t "  the file is unchanged" says "$plain/f" '^old$'
t "  no other file is left" holds "$plain" f
chmod 777 "$plain"
clear_all

echo old >"$work/elsewhere/old"
ln -s ../elsewhere/old "$plain/link"
ln -s link "$plain/link2"
t "a link to a link to a file" save "$plain/link2"
t "  the file has the bytes" has "$work/elsewhere/old"
t "  the first link is left" [ -h "$plain/link2" ]
t "  the second link is left" [ -h "$plain/link" ]
t "  no other file is left" holds "$plain" link link2
t "  no other file is left beside it" holds "$work/elsewhere" old

ln -s ../elsewhere/new "$plain/dangling"
t "a link to a new file" save "$plain/dangling"
t "  the file has the bytes" has "$work/elsewhere/new"
t "  it belongs to root" [ "$(mode_of "$work/elsewhere/new")" = '0 600' ]
t "  the link is left" [ -h "$plain/dangling" ]
t "  no other file is left" holds "$work/elsewhere" new old
ln -s ../nowhere/new "$plain/nowhere"
t "a link into a missing directory" status 2 save "$plain/nowhere"
t "  stderr says so" says "$err" 'plain/nowhere: No such file'
ln -s round "$plain/round"
t "a link to itself" status 2 save "$plain/round"
t "  stderr says so" says "$err" 'plain/round: Too many'

mount -t tmpfs -o size=1M none "$work/mount"
ln -s "$work/mount/new" "$plain/small"
t "a full disk, by a link to a new file" \
	status 2 pvmread read -o "$plain/small" "$pid" "$big" 4M
t "  no file is left" holds "$work/mount"
interrupt() {
	pvmread read -xo "$1" "$pid" "$big" 128M &
	interrupt_pid=$!
	until [ -n "$(ls "$2")" ] || ! kill -0 $interrupt_pid; do :; done
	kill -TERM $interrupt_pid
	wait $interrupt_pid
}
ln -s "$work/elsewhere/dir/new" "$plain/slow"
mkdir "$work/elsewhere/dir"
t "interrupted, by a link to a new file" \
	status 143 interrupt "$plain/slow" "$work/elsewhere/dir"
t "  no file is left" holds "$work/elsewhere/dir"
mount -o remount,ro "$work/mount"
t "a read-only filesystem" status 2 save "$work/mount/f"
t "  stderr says so" says "$err" 'beside .*mount/f: Read-only file system'
umount "$work/mount"
clear_all

echo old >"$plain/mounted"
echo old >"$work/elsewhere/old"
mount --bind "$work/elsewhere/old" "$plain/mounted"
t "a mount point" status 2 save "$plain/mounted"
t "  stderr says so" says "$err" 'plain/mounted is a mount point and cannot be replaced'
t "  the file is unchanged" says "$work/elsewhere/old" '^old$'
t "  no other file is left" holds "$plain" mounted
umount "$plain/mounted"
clear_all
for attribute in a i; do
	echo old >"$plain/f"
	if chattr +$attribute "$plain/f" 2>"$work/chattr"; then
		t "a file with chattr +$attribute" status 2 save "$plain/f"
		t "  stderr says so" says "$err" 'plain/f is immutable or append-only: Operation'
		t "  the file is unchanged" says "$plain/f" '^old$'
		t "  no other file is left" holds "$plain" f
		chattr -$attribute "$plain/f"
	else
		skip "a file with chattr +$attribute" "$(head -n 1 "$work/chattr")"
	fi
	clear_all
done
if chattr +a "$plain" 2>"$work/chattr"; then
	t "a directory with chattr +a" status 2 save "$plain/f"
	t "  stderr says so" \
		says "$err" 'directory of .*plain/f is append-only: Operation not permitted'
	t "  no file is left" holds "$plain"
	chattr -a "$plain"
else
	skip "a directory with chattr +a" "$(head -n 1 "$work/chattr")"
fi
clear_all

# --- names ---

name=$(head -c 255 /dev/zero | tr '\0' n)
t "a name of 255 bytes" save "$plain/$name"
t "  it has the bytes" has "$plain/$name"
t "  no other file is left" holds "$plain" "$name"
name=a$(for _ in $(seq 127); do printf '\303\251'; done)
t "a name of 255 bytes in UTF-8" save "$plain/$name"
t "  it has the bytes" has "$plain/$name"
t "a name of 256 bytes" status 2 save "$plain/n$name"
t "  stderr says so" says "$err" 'File name too long'
clear_all
echo old >"$plain/f"
for name in f/ f/. nothing/ nothing/. . .. ../plain/ ''; do
	t "FILE \"$name\"" status 2 save "$plain/$name"
	t "  stderr says so" says "$err" 'Not a directory|No such file|Is a directory'
done
t "  the file is unchanged" says "$plain/f" '^old$'
t "  no file is left" holds "$plain" f
t "FILE dir/../f" save "$plain/../plain/f"
t "  it has the bytes" has "$plain/f"
in_directory() {
	(cd "$plain" && save "$1")
}
t "FILE without a directory" in_directory g
t "  it has the bytes" has "$plain/g"
t "FILE ./-" in_directory ./-
t "  it has the bytes" has "$plain/-"
t "FILE -" status 0 in_directory -
t "  is standard output" has "$out"
echo old >"$plain/f (deleted)"
ln -s 'f (deleted)' "$plain/l"
t "a link to a name that ends in (deleted)" status 2 save "$plain/l"
t "  stderr says so" \
	says "$err" 'plain/l: the file that the link leads to has no name: ".*/f \(deleted\)"'
t "  the file is unchanged" says "$plain/f (deleted)" '^old$'
clear_all

# --- files that are open ---

for name in /dev/stdout /dev/fd/1 /proc/self/fd/1; do
	piped() {
		save "$name" | cat >"$plain/f"
	}
	t "$name, a pipe" piped
	t "  it has the bytes" has "$plain/f"
	rm -f "$plain/f"
	redirected() {
		save "$name" >"$plain/f"
	}
	t "$name, a file" redirected
	t "  it has the bytes" has "$plain/f"
	t "  no other file is left" holds "$plain" f
	to_null() {
		save "$name" >/dev/null
	}
	t "$name, a device" to_null
	t "  the device is left" [ -c /dev/null ]
	to_deleted() {
		(exec >"$plain/d" && rm "$plain/d" && save "$name")
	}
	t "$name, a deleted file" status 2 to_deleted
	t "  stderr says so" says "$err" 'has no name: ".*/d \(deleted\)"'
	clear_all
done
third() {
	save /dev/fd/3 3>"$plain/f"
}
t "/dev/fd/3" third
t "  it has the bytes" has "$plain/f"
t "/dev/fd/9, not open" status 2 save /dev/fd/9
# The command may use these numbers for its own files.
for name in 3 4 5 6 7; do
	t "/dev/fd/$name, not open" status 2 save /dev/fd/$name
done
to_deleted_fifo() {
	mkfifo "$plain/fifo"
	cat "$plain/fifo" >"$plain/f" &
	(exec >"$plain/fifo" && rm "$plain/fifo" && save /dev/stdout)
	wait $!
}
t "/dev/stdout, a deleted FIFO" to_deleted_fifo
t "  it has the bytes" has "$plain/f"
clear_all

# --- FIFOs ---

to_fifo() {
	mkfifo "$plain/fifo"
	cat "$plain/fifo" >"$plain/f" &
	save "$plain/fifo" && wait $!
}
t "a FIFO" to_fifo
t "  it has the bytes" has "$plain/f"
t "  no other file is left" holds "$plain" f fifo
t "a FIFO without a reader waits" status 143 timeout -k 5 1 pvmread read -o "$plain/fifo" \
	"$pid" "$text" 16
clear_all

# --- races ---

# race COUNT DIRECTORY TARGET [COMMAND...] - for the name DIRECTORY/a
race() {
	race_count=$1
	race_directory=$2
	race_target=$3
	shift 3
	status 0 "$here/command-swap" "$race_count" "$user" "$race_directory/a" \
		"$race_directory/a" "$race_directory/b" "$race_target" "$@" || return
	echo "# $(cat "$out")" >&3
}
exec 3>&1
victim=$work/elsewhere/victim
echo victim >"$victim"
chmod 644 "$victim"
before=$(ls -il "$victim")
is_unchanged() {
	[ "$(ls -il "$victim")" = "$before" ] && says "$victim" '^victim$'
}
some='written [1-9][0-9]+ refused [1-9][0-9]+ swaps [1-9][0-9]{2,}'

t "a file and a link are exchanged" race 20000 "$sticky" "$victim"
t "  all runs are refused" says "$out" '^written 0 refused 20000 swaps [1-9][0-9]{3,}'
t "  the victim is unchanged" is_unchanged
t "  no file is left" holds "$sticky" a b
echo 0 >/proc/sys/fs/protected_regular
t "a file that may be replaced and a link are exchanged" race 20000 "$sticky" "$victim"
t "  some runs are refused" says "$out" "^$some"
t "  the victim is unchanged" is_unchanged
t "  no file is left" holds "$sticky" a b
t "  no file is left beside it" holds "$work/elsewhere" victim
t "pvmread read, while a user exchanges a file and a link" race 300 "$sticky" "$victim" \
	pvmread read -o "$sticky/a" "$pid" "$text" 16
t "  some runs are refused" says "$out" "^$some"
t "  the victim is unchanged" is_unchanged
t "  no file is left" holds "$sticky" a b
t "a file and a dangling link are exchanged" race 5000 "$sticky" "$work/elsewhere/new"
t "  some runs are refused" says "$out" "^$some"
t "  nothing is created" holds "$work/elsewhere" victim
t "  no file is left" holds "$sticky" a b
t "a file and a FIFO are exchanged" race 20000 "$sticky" ''
t "  some runs are refused" says "$out" "^$some"
t "  the FIFO's owner gets no byte" says "$out" 'leaked 0$'
t "  no file is left" holds "$sticky" a b
t "pvmread read, while a user exchanges a file and a FIFO" race 100 "$sticky" '' \
	pvmread read -o "$sticky/a" "$pid" "$text" 16
t "  some runs are refused" says "$out" "^$some leaked 0\$"
echo 0 >/proc/sys/fs/protected_fifos
t "a file and a FIFO that may be written are exchanged" race 1000 "$sticky" ''
t "  the FIFO's owner gets bytes" says "$out" 'leaked [1-9]'
t "  no file is left" holds "$sticky" a b
clear_all

# Links may be followed here, but pvmread must rename the file in the directory of its creation.
protect 0
chown "$user:$user" "$plain"
mkdir "$plain/a"
ln -s "$work/elsewhere" "$plain/b"
t "a directory and a link are exchanged" status 0 "$here/command-swap" 5000 "$user" \
	"$plain/a/f" "$plain/a" "$plain/b" ''
echo "# $(cat "$out")"
t "  no run is refused" says "$out" '^written 5000 refused 0 swaps [1-9][0-9]{3,}'
t "  one directory has the file" holds "$work/elsewhere" f
if [ -h "$plain/b" ]; then name=a; else name=b; fi
t "  the other directory also has it" holds "$plain/$name" f
rm -rf "${plain:?}"/* "$work/elsewhere/f"
t "a file and a dangling link that may be followed are exchanged" \
	race 5000 "$plain" "$work/elsewhere/new"
t "  the link is followed" holds "$work/elsewhere" new
t "  no file is left" holds "$plain" a b
protect 1
end
