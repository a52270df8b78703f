// SPDX-License-Identifier: GPL-2.0
/*
 * Permission: if process_vm_readv(2) or process_vm_writev(2) would refuse a caller access
 * to a process, the device must also refuse it, with the same errno.
 *
 * Each test has one target and one caller. The caller sends the same read and the same
 * write through all doors:
 *
 *  - the system calls
 *  - READV and WRITEV, by pid and by pidfd
 *  - a target file attached for this request, by pid and by pidfd
 *  - BATCH on such a file
 *
 * The results must be equal, and must be those of the kernel's rules, so that a common
 * error of all doors is also found. The fixture "everyone" pairs every caller with every
 * target; there the system calls define the expected results.
 *
 * The device is opened once, as root, and every caller inherits that open file: only
 * the caller counts, never the opener. The caller opens the pidfd itself. If it cannot,
 * the two doors with a pidfd are not tried.
 *
 * The tests of Yama's ptrace_scope 3 must be the last of this program, and this program
 * the last in its guest: the kernel never lowers that value again. The harness runs
 * fixtures and their variants in the order of this file, but the harness of some
 * kernels runs the tests of a variant in reverse order. Tests that find the value at 3
 * too early fail instead of being skipped.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "numbers.h"
#include "process.h"

#define YAMA_SCOPE	"/proc/sys/kernel/yama/ptrace_scope"

#define ALICE		1000
#define BOB		1001

#define SECRET		0x7365637265742121ULL	/* in the target */
#define UNREAD		0x5555555555555555ULL	/* where the caller reads to */
#define TOKEN(door)	(0x746f6b656e303030ULL + (door))	/* what it writes */

/* Exit statuses of a child: a step failed; the kernel lacks a feature that the child needs. */
#define BROKEN		2
#define MISSING		3

enum door { SYSCALL, IOCTL, IOCTL_BY_PIDFD, ATTACH, ATTACH_BY_PIDFD, BATCH, DOORS };

static const char * const door_names[DOORS] = {
	"syscall", "ioctl", "ioctl by pidfd", "attach", "attach by pidfd", "batch"
};

/* The value of @err if there is no pidfd. No errno is negative. */
#define NO_PIDFD	(-1)

struct answer {
	ssize_t ret;
	int err;
	uint64_t value;
};

/**
 * struct board - memory shared by tester, target and caller
 * @go: tells the caller to begin; if callers take turns, the number of the turn
 * @next: the caller that has the next turn
 * @asked: the caller has finished
 * @named: the pid that the caller names
 * @thread: if not 0, the number by which the caller names the target
 * @outer: the pid of process 1 of a pid namespace, as its parent sees it
 * @caller: the caller
 * @secret_at: where the target has SECRET
 * @inbox_at: where the target has @inbox
 * @inbox: what the caller wrote; shared memory, so that the tester sees it
 *	whatever the permissions are
 * @reads: the answers to the read
 * @writes: the answers to the write
 * @trouble: why a child is BROKEN, or what is MISSING
 */
struct board {
	int go;
	pid_t next;
	int asked;
	pid_t named;
	pid_t thread;
	pid_t outer;
	pid_t caller;
	uint64_t secret_at;
	uint64_t inbox_at;
	uint64_t inbox[DOORS];
	struct answer reads[DOORS];
	struct answer writes[DOORS];
	char trouble[200];
};

static struct board *board;
static int board_fd = -1;
/* A label for log lines, for tests with many callers and targets. */
static char meeting[160];
static int surprises;
static int dev = -1;
static bool pidfd_works;
static int ready_fd = -1;

/* Private to each process, so that a caller can read SECRET only from the target. */
static uint64_t secret;

static void report(const char *what)
{
	/* The first one is the cause of the others. */
	if (board->trouble[0])
		return;
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what,
		 strerror(errno));
}

static __attribute__((noreturn)) void broken(const char *what)
{
	report(what);
	_exit(BROKEN);
}

static __attribute__((noreturn)) void missing(const char *what)
{
	report(what);
	_exit(MISSING);
}

/* --- Identities of the children --- */

static void set_ids(uid_t ruid, uid_t euid, uid_t suid, gid_t rgid, gid_t egid,
		    gid_t sgid)
{
	if (setgroups(0, NULL) || setresgid(rgid, egid, sgid) ||
	    setresuid(ruid, euid, suid))
		broken("changing the user");
	/* The change made the process undumpable; that is another test. */
	if (prctl(PR_SET_DUMPABLE, 1))
		broken("PR_SET_DUMPABLE");
	die_with_parent();
}

static void as_root(void)
{
}

static void as_alice(void)
{
	set_ids(ALICE, ALICE, ALICE, ALICE, ALICE, ALICE);
}

static void as_bob(void)
{
	set_ids(BOB, BOB, BOB, BOB, BOB, BOB);
}

static void as_alice_in_another_group(void)
{
	set_ids(ALICE, ALICE, ALICE, BOB, BOB, BOB);
}

static void as_alice_with_fsuid_of_bob(void)
{
	set_ids(ALICE, ALICE, BOB, ALICE, ALICE, BOB);
	setfsuid(BOB);
	setfsgid(BOB);
	if (setfsuid(-1) != BOB || setfsgid(-1) != BOB)
		broken("setfsuid");
	die_with_parent();
}

static void as_alice_with_euid_of_bob(void)
{
	set_ids(ALICE, BOB, BOB, ALICE, ALICE, ALICE);
}

static void as_alice_with_egid_of_bob(void)
{
	set_ids(ALICE, ALICE, ALICE, ALICE, BOB, BOB);
}

static void as_bob_with_euid_of_alice(void)
{
	set_ids(BOB, ALICE, ALICE, BOB, ALICE, ALICE);
}

static void as_alice_with_suid_of_bob(void)
{
	set_ids(ALICE, ALICE, BOB, ALICE, ALICE, ALICE);
}

static void as_alice_with_sgid_of_bob(void)
{
	set_ids(ALICE, ALICE, ALICE, ALICE, ALICE, BOB);
}

static void as_undumpable_alice(void)
{
	as_alice();
	if (prctl(PR_SET_DUMPABLE, 0))
		broken("PR_SET_DUMPABLE");
}

static void set_caps(uint64_t permitted, uint64_t effective)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {
		{ .permitted = permitted, .effective = effective },
		{ .permitted = permitted >> 32, .effective = effective >> 32 },
	};

	if (syscall(SYS_capset, &head, data))
		broken("capset");
}

static uint64_t get_caps(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		broken("capget");
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void as_root_without_ptrace(void)
{
	uint64_t caps = get_caps() & ~(1ULL << CAP_SYS_PTRACE);

	set_caps(caps, caps);
	if (prctl(PR_SET_DUMPABLE, 1))
		broken("PR_SET_DUMPABLE");
}

static void as_someone_with(void (*someone)(void), uint64_t permitted,
			    uint64_t effective)
{
	if (prctl(PR_SET_KEEPCAPS, 1))
		broken("PR_SET_KEEPCAPS");
	someone();
	set_caps(permitted, effective);
	if (prctl(PR_SET_DUMPABLE, 1))
		broken("PR_SET_DUMPABLE");
	die_with_parent();
}

static void as_alice_also_in_the_group_of_bob(void)
{
	const gid_t group = BOB;

	as_someone_with(as_alice, 1ULL << CAP_SETGID, 1ULL << CAP_SETGID);
	if (setgroups(1, &group))
		broken("setgroups");
	set_caps(0, 0);
}

static void as_bob_with_ptrace(void)
{
	as_someone_with(as_bob, 1ULL << CAP_SYS_PTRACE, 1ULL << CAP_SYS_PTRACE);
}

static void as_bob_with_ptrace_unused(void)
{
	as_someone_with(as_bob, 1ULL << CAP_SYS_PTRACE, 0);
}

static void as_alice_with_another_capability(void)
{
	as_someone_with(as_alice, 1ULL << CAP_NET_ADMIN, 0);
}

/* CAP_DAC_OVERRIDE, CAP_SYS_ADMIN and so on. */
static void as_bob_with_all_but_ptrace(void)
{
	uint64_t caps = get_caps() & ~(1ULL << CAP_SYS_PTRACE);

	as_someone_with(as_bob, caps, caps);
}

static void as_root_with_euid_of_bob(void)
{
	set_ids(0, BOB, 0, 0, BOB, 0);
}

static void as_root_that_was_bob(void)
{
	as_root_with_euid_of_bob();
	/* Restore the euid first, because set_ids() needs root's rights. */
	if (seteuid(0))
		broken("seteuid");
	set_ids(0, 0, 0, 0, 0, 0);
}

static void must_write(const char *path, const char *text)
{
	if (write_file(path, text))
		broken(path);
}

static void enter_user_namespace(uid_t uid)
{
	char map[40];

	if (unshare(CLONE_NEWUSER))
		missing("an unprivileged user namespace");
	/* Otherwise /proc/self belongs to root. */
	if (prctl(PR_SET_DUMPABLE, 1))
		broken("PR_SET_DUMPABLE");
	must_write("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	must_write("/proc/self/uid_map", map);
	must_write("/proc/self/gid_map", map);
	if (geteuid() || getegid())
		broken("root of a user namespace");
	die_with_parent();
}

static void as_root_of_a_user_namespace(void)
{
	as_alice();
	enter_user_namespace(ALICE);
}

static void as_root_of_a_nested_user_namespace(void)
{
	enter_user_namespace(0);
}

/* The namespace of the process that the caller will name. */
static void as_root_of_the_same_user_namespace(void)
{
	char path[40];
	int fd;

	if (!board->named)
		missing("a user namespace to enter");
	snprintf(path, sizeof(path), "/proc/%d/ns/user", board->named);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	as_alice();
	if (fd < 0 || setns(fd, CLONE_NEWUSER) || geteuid())
		broken("entering a user namespace");
	close(fd);
	if (prctl(PR_SET_DUMPABLE, 1))
		broken("PR_SET_DUMPABLE");
	die_with_parent();
}

/* Enter a Landlock domain, which restricts ptrace whatever its rules are. */
static void enter_landlock_domain(void)
{
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE,
	};
	int fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (fd < 0)
		missing("Landlock");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, fd, 0))
		broken("entering a Landlock domain");
	close(fd);
}

static void as_root_in_a_landlock_domain(void)
{
	enter_landlock_domain();
}

static void as_alice_in_a_landlock_domain(void)
{
	as_alice();
	enter_landlock_domain();
}

static void as_bob_with_ptrace_in_a_landlock_domain(void)
{
	as_bob_with_ptrace();
	enter_landlock_domain();
}

/* The names of AppArmor profiles: one without capabilities, one with only CAP_SYS_PTRACE. */
#define NO_PTRACE	"pvmread-test-no-ptrace"
#define PTRACE		"pvmread-test-ptrace"
#define PROFILES	"/sys/kernel/security/apparmor/.replace"

static void enter_profile(const char *name)
{
	char text[80];

	if (access(PROFILES, F_OK))
		missing("AppArmor");
	snprintf(text, sizeof(text), "changeprofile %s", name);
	must_write("/proc/self/attr/apparmor/current", text);
}

static void as_root_under_a_profile_without_ptrace(void)
{
	enter_profile(NO_PTRACE);
}

static void as_alice_under_a_profile_without_ptrace(void)
{
	as_alice();
	enter_profile(NO_PTRACE);
}

static void as_alice_under_a_profile_with_ptrace(void)
{
	as_alice();
	enter_profile(PTRACE);
}

static void as_bob_under_a_profile_with_ptrace(void)
{
	as_bob();
	enter_profile(PTRACE);
}

static void as_bob_with_ptrace_under_a_profile_without_it(void)
{
	as_bob_with_ptrace();
	enter_profile(NO_PTRACE);
}

static void as_bob_with_ptrace_under_a_profile_with_it(void)
{
	as_bob_with_ptrace();
	enter_profile(PTRACE);
}

/* --- Targets --- */

/* From now on this process can be read and written. */
static void publish(void)
{
	secret = SECRET;
	board->secret_at = (uintptr_t)&secret;
	board->inbox_at = (uintptr_t)board->inbox;
	if (write(ready_fd, "r", 1) != 1)
		broken("telling that the target is ready");
}

static __attribute__((noreturn)) void stay(void)
{
	for (;;)
		pause();
}

/* Continue as process 1 of a new pid namespace, with @outer set. */
static void in_a_pid_namespace(void)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		missing("a pid namespace");
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (pid) {
		board->outer = pid;
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			_exit(BROKEN);
		_exit(WEXITSTATUS(status));
	}
	die_with_parent();
	while (!get(&board->outer))
		usleep(1000);
	if (getpid() != 1)
		broken("process 1 of a pid namespace");
}

static void as_alice_in_a_pid_namespace(void)
{
	in_a_pid_namespace();
	as_alice();
	board->thread = board->outer;
}

static void *second_thread(void *unused)
{
	(void)unused;
	board->thread = syscall(SYS_gettid);
	publish();
	stay();
}

static void as_alice_naming_a_thread(void)
{
	pthread_t thread;

	as_alice();
	if (pthread_create(&thread, NULL, second_thread, NULL))
		broken("pthread_create");
	stay();
}

/* Return: the state of a process in /proc, or 0. */
static char state_of(pid_t pid)
{
	char path[40], line[256], *end;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	line[len] = 0;
	end = strrchr(line, ')');
	return end && end[1] ? end[2] : 0;
}

/* True: the caller names the thread that has survived its leader, not the leader. */
static bool name_survivor;

static void *surviving_thread(void *unused)
{
	(void)unused;
	while (state_of(getpid()) != 'Z')
		usleep(1000);
	if (name_survivor)
		board->thread = syscall(SYS_gettid);
	publish();
	stay();
}

static void as_alice_whose_leader_left(void)
{
	pthread_t thread;

	as_alice();
	if (pthread_create(&thread, NULL, surviving_thread, NULL))
		broken("pthread_create");
	/* Exit only this thread, unlike exit(). */
	syscall(SYS_exit, 0);
}

static void as_alice_whose_leader_left_the_named(void)
{
	name_survivor = true;
	as_alice_whose_leader_left();
}

/* Traced by a root process that does nothing else until the target has ended. */
static void as_alice_who_is_traced(void)
{
	const pid_t target = getpid();
	pid_t pid = fork();

	if (pid < 0)
		broken("fork");
	if (!pid) {
		/* The signal on the parent's death arrives only if alice may send it. */
		alarm(LIFETIME_S);
		if (ptrace(PTRACE_SEIZE, target, 0, 0))
			broken("PTRACE_SEIZE");
		waitpid(target, NULL, __WALL);
		_exit(0);
	}
	while (proc_number("/proc/self/status", "TracerPid:") != pid) {
		if (waitpid(pid, NULL, WNOHANG))
			_exit(BROKEN);
		usleep(1000);
	}
	as_alice();
}

static void allowing(unsigned long whom)
{
	if (access(YAMA_SCOPE, F_OK))
		missing("Yama");
	as_alice();
	if (prctl(PR_SET_PTRACER, whom))
		broken("PR_SET_PTRACER");
}

static void allowing_the_caller(void)
{
	allowing(board->caller);
}

static void allowing_anyone(void)
{
	allowing(PR_SET_PTRACER_ANY);
}

/* Targets that make the caller name a process without memory, or an unused number. */

static void naming_a_kernel_thread(void)
{
	board->thread = 2;
}

static void naming_a_zombie(void)
{
	siginfo_t info;
	pid_t pid;

	as_alice();
	pid = fork();
	if (!pid)
		_exit(0);
	if (pid < 0 || waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
		broken("a zombie");
	board->thread = pid;
}

static void naming_nobody(void)
{
	board->thread = INT_MAX;
}

/*
 * A copy of this program, run as the target: PROGRAM --target BOARD READY HOW.
 * HOW is "stay" (no change), "setuid" (keep the set-uid rights), "drop" (drop them) or
 * "undumpable".
 */
static char copy_dir[40];
static char copy_path[sizeof(copy_dir) + 8];

static __attribute__((noreturn)) void exec_target(const char *path, const char *how)
{
	char fds[2][12];

	snprintf(fds[0], sizeof(fds[0]), "%d", board_fd);
	snprintf(fds[1], sizeof(fds[1]), "%d", ready_fd);
	execl(path, path, "--target", fds[0], fds[1], how, NULL);
	broken(path);
}

static void alice_execs_the_copy(mode_t mode, const char *how)
{
	struct statvfs fs;

	if (chmod(copy_path, mode) || statvfs(copy_path, &fs))
		broken(copy_path);
	if (mode & 04000 && fs.f_flag & ST_NOSUID)
		missing("set-uid programs in /tmp");
	as_alice();
	exec_target(copy_path, how);
}

static void alice_execs_a_program(void)
{
	alice_execs_the_copy(0755, "stay");
}

static void alice_execs_a_program_she_may_not_read(void)
{
	alice_execs_the_copy(0711, "stay");
}

static void alice_execs_a_set_uid_program(void)
{
	alice_execs_the_copy(04755, "setuid");
}

static void alice_execs_a_set_uid_program_that_drops_root(void)
{
	alice_execs_the_copy(04755, "drop");
}

static int main_of_target(char **argv)
{
	board_fd = atoi(argv[2]);
	ready_fd = atoi(argv[3]);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     board_fd, 0);
	if (board == MAP_FAILED)
		return BROKEN;
	die_with_parent();
	if (!strcmp(argv[4], "drop")) {
		if (geteuid() == getuid())
			broken("the set-uid bit had no effect");
		if (setresuid(getuid(), getuid(), getuid()))
			broken("setresuid");
		die_with_parent();
	} else if (!strcmp(argv[4], "undumpable")) {
		if (prctl(PR_SET_DUMPABLE, 0))
			broken("PR_SET_DUMPABLE");
	} else if (!strcmp(argv[4], "setuid")) {
		if (geteuid() == getuid())
			broken("the set-uid bit had no effect");
	}
	publish();
	stay();
}

/* --- Callers --- */

/* READV or WRITEV. Return: bytes moved, or -1 with errno set. */
static ssize_t by_ioctl(int pid, unsigned int flags, const struct request *req)
{
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.flags = flags,
		.pid = pid,
		.local = (uintptr_t)req->local,
		.local_count = req->local_count,
		.remote = (uintptr_t)req->remote,
		.remote_count = req->remote_count,
	};

	if (ioctl(dev, req->write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &rw))
		return -1;
	return rw.transferred;
}

static ssize_t by_batch(int file, const struct request *req)
{
	struct pvmread_segment seg = {
		.remote = (uintptr_t)req->remote->iov_base,
		.local = (uintptr_t)req->local->iov_base,
		.length = req->local->iov_len,
	};
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = req->write ? PVMREAD_WRITE : 0,
		.segments = (uintptr_t)&seg,
		.count = 1,
	};

	if (ioctl(file, PVMREAD_IOC_BATCH, &batch))
		return -1;
	errno = seg.error;
	return seg.error ? -1 : (ssize_t)seg.done;
}

/* Use a target file attached for this direction. Return: as by_ioctl(). */
static ssize_t by_file(enum door door, int pid, unsigned int flags,
		       const struct request *req)
{
	struct pvmread_attach attach = {
		.size = sizeof(attach),
		.flags = flags | (req->write ? PVMREAD_WRITE : 0),
		.pid = pid,
	};
	const off_t at = (uintptr_t)req->remote->iov_base;
	int file = ioctl(dev, PVMREAD_IOC_ATTACH, &attach);
	ssize_t ret;

	if (file < 0)
		return -1;
	if (door == BATCH)
		ret = by_batch(file, req);
	else if (req->write)
		ret = pwritev(file, req->local, req->local_count, at);
	else
		ret = preadv(file, req->local, req->local_count, at);
	close(file);
	return ret;
}

static struct answer ask_one(enum door door, bool write, uint64_t remote_at,
			     uint64_t *value)
{
	struct iovec local = { value, sizeof(*value) };
	struct iovec remote = { (void *)(uintptr_t)remote_at, sizeof(*value) };
	struct request req = {
		.pid = board->named,
		.write = write,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};
	struct answer answer = { .ret = -1, .err = NO_PIDFD };
	unsigned int flags = 0;
	int pid = board->named;

	if (door == IOCTL_BY_PIDFD || door == ATTACH_BY_PIDFD) {
		flags = PVMREAD_PIDFD;
		pid = pidfd_works ? syscall(SYS_pidfd_open, board->named, 0) : -1;
	}
	if (!flags || pid >= 0) {
		if (door == SYSCALL)
			answer.ret = send_syscall(&req);
		else if (door == IOCTL || door == IOCTL_BY_PIDFD)
			answer.ret = by_ioctl(pid, flags, &req);
		else
			answer.ret = by_file(door, pid, flags, &req);
		answer.err = answer.ret < 0 ? errno : 0;
	}
	if (flags && pid >= 0)
		close(pid);
	answer.value = *value;
	return answer;
}

static void ask(void)
{
	enum door door;

	for (door = SYSCALL; door < DOORS; door++) {
		uint64_t value = UNREAD;

		board->reads[door] = ask_one(door, false, board->secret_at,
					     &value);
		value = TOKEN(door);
		board->writes[door] = ask_one(door, true, board->inbox_at +
					      door * sizeof(value), &value);
	}
	board->asked = 1;
}

static void forget_the_answers(void)
{
	memset(board->inbox, 0, sizeof(board->inbox));
	memset(board->reads, 0, sizeof(board->reads));
	memset(board->writes, 0, sizeof(board->writes));
	board->asked = 0;
}

/* For a caller with many targets: each target's board and process. */
static struct seat {
	struct board *board;
	int fd;
	pid_t pid;
} seats[64];

/* As root, trace each target that can be traced and has no tracer yet. */
static void as_alice_tracing_the_targets(void)
{
	size_t i;

	if (board->named)
		ptrace(PTRACE_SEIZE, board->named, 0, 0);
	for (i = 0; i < ARRAY_SIZE(seats) && seats[i].board; i++) {
		if (seats[i].board->named)
			ptrace(PTRACE_SEIZE, seats[i].board->named, 0, 0);
	}
	as_alice();
}

static void naming_itself(void)
{
	secret = SECRET;
	board->secret_at = (uintptr_t)&secret;
	board->inbox_at = (uintptr_t)board->inbox;
	board->named = getpid();
}

static void undumpable_bob_naming_itself(void)
{
	as_bob();
	if (prctl(PR_SET_DUMPABLE, 0))
		broken("PR_SET_DUMPABLE");
	naming_itself();
}

/* Change the user of one thread only, which glibc's setresuid() would not do. */
static void *ask_as_another_user(void *unused)
{
	(void)unused;
	if (syscall(SYS_setresuid, BOB, BOB, BOB))
		broken("setresuid");
	ask();
	return NULL;
}

static __attribute__((noreturn)) void thread_of_bob_naming_its_leader(void)
{
	pthread_t thread;

	naming_itself();
	if (pthread_create(&thread, NULL, ask_as_another_user, NULL) ||
	    pthread_join(thread, NULL))
		broken("pthread_create");
	_exit(0);
}

static void alice_naming_herself(void)
{
	as_alice();
	naming_itself();
}

static void inside_naming_itself(void)
{
	in_a_pid_namespace();
	naming_itself();
}

static void inside_naming_itself_from_outside(void)
{
	in_a_pid_namespace();
	naming_itself();
	board->named = board->outer;
}

/* Make the target a child of the caller; or a grandchild, if @become also calls adopt(). */
static void adopt(void (*become)(void))
{
	int ready[2];
	struct pollfd pfd;
	pid_t pid;
	char c;

	if (pipe(ready))
		broken("pipe");
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (!pid) {
		die_with_parent();
		ready_fd = ready[1];
		board->named = getpid();
		become();
		publish();
		stay();
	}
	close(ready[1]);
	pfd = (struct pollfd){ .fd = ready[0], .events = POLLIN };
	if (poll(&pfd, 1, PATIENCE_MS) != 1 || read(ready[0], &c, 1) != 1)
		broken("the caller's child");
	close(ready[0]);
}

static void alice_with_a_child(void)
{
	as_alice();
	adopt(as_root);		/* as it is */
}

static void with_a_child(void)
{
	adopt(as_root);
}

static void alice_with_a_grandchild(void)
{
	as_alice();
	adopt(with_a_child);
}

static void become_undumpable(void)
{
	if (prctl(PR_SET_DUMPABLE, 0))
		broken("PR_SET_DUMPABLE");
}

static void exec_undumpable(void)
{
	exec_target("/proc/self/exe", "undumpable");
}

static void ns_root_with_a_child(void)
{
	as_root_of_a_user_namespace();
	adopt(as_root);
}

static void ns_root_with_an_undumpable_child(void)
{
	as_root_of_a_user_namespace();
	adopt(become_undumpable);
}

static void ns_root_with_an_undumpable_exec(void)
{
	as_root_of_a_user_namespace();
	adopt(exec_undumpable);
}

static void ns_root_with_a_child_in_a_nested_one(void)
{
	as_root_of_a_user_namespace();
	adopt(as_root_of_a_nested_user_namespace);
}

/* Continue as a child that names its parent, whose identity does not change any more. */
static void leave_the_parent_behind(void)
{
	int status;
	pid_t pid;

	naming_itself();
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (pid) {
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			_exit(BROKEN);
		_exit(WEXITSTATUS(status));
	}
	die_with_parent();
}

static void nested_ns_root_naming_the_outer(void)
{
	as_root_of_a_user_namespace();
	leave_the_parent_behind();
	as_root_of_a_nested_user_namespace();
}

static void in_a_landlock_domain_with_a_child(void)
{
	as_alice_in_a_landlock_domain();
	adopt(as_root);
}

static void in_a_landlock_domain_with_a_child_in_a_nested_one(void)
{
	as_alice_in_a_landlock_domain();
	adopt(enter_landlock_domain);
}

static void in_a_nested_landlock_domain_naming_the_outer(void)
{
	as_alice_in_a_landlock_domain();
	leave_the_parent_behind();
	enter_landlock_domain();
}

static void in_a_landlock_domain_naming_the_parent_outside(void)
{
	as_alice();
	leave_the_parent_behind();
	enter_landlock_domain();
}

static void in_a_landlock_domain_naming_itself(void)
{
	as_alice_in_a_landlock_domain();
	naming_itself();
}

static void under_a_profile_naming_itself(void)
{
	as_alice_under_a_profile_without_ptrace();
	naming_itself();
}

/* --- Target and caller together --- */

/* Start a child; it runs @become, then @rest, which does not return. */
static pid_t start(void (*become)(void), void (*rest)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	die_with_parent();
	become();
	rest();
	_exit(0);
}

static void rest_of_target(void)
{
	publish();
	stay();
}

static void rest_of_caller(void)
{
	while (!get(&board->go))
		usleep(1000);
	ask();
}

/* Return: the exit status of a child, or -1 if it has none in time. */
static int exit_status(pid_t pid)
{
	int status = reap(pid, PATIENCE_MS);

	if (status == -1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return status == -1 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

/* Return: the pid of the ready target, or minus its exit status. */
static pid_t start_target(void (*become)(void))
{
	struct pollfd pfd = { .events = POLLIN };
	int ready[2], status;
	pid_t pid;
	char c;

	/* Not close-on-exec: a target may exec. */
	if (pipe(ready))
		return -BROKEN;
	ready_fd = ready[1];
	pid = start(become, rest_of_target);
	close(ready[1]);
	pfd.fd = ready[0];
	if (pid > 0 && (poll(&pfd, 1, PATIENCE_MS) != 1 ||
			read(ready[0], &c, 1) != 1)) {
		/* End of file: it ended, or is about to. */
		status = exit_status(pid);
		pid = status == MISSING ? -MISSING : -BROKEN;
	}
	close(ready[0]);
	return pid;
}

/* Can the named process have a pidfd? A thread or an unused number cannot. */
static bool has_pidfd(int err)
{
	if (!pidfd_works || err == ESRCH)
		return false;
	return !board->thread || board->thread == board->outer;
}

static void expect_answer(struct __test_metadata *_metadata, bool write,
			  int err)
{
	const struct answer *a = write ? board->writes : board->reads;
	const ssize_t ret = err ? -1 : (ssize_t)sizeof(uint64_t);
	uint64_t value, left;
	enum door door;

	for (door = SYSCALL; door < DOORS; door++) {
		if (a[door].err == NO_PIDFD && !has_pidfd(err))
			continue;
		if (write) {
			left = board->inbox[door];
			value = err ? 0 : TOKEN(door);
		} else {
			left = a[door].value;
			value = err ? UNREAD : SECRET;
		}
		if (a[door].ret != ret || a[door].err != err || left != value) {
			TH_LOG("%s%s by %s: %zd, %s", meeting, write ? "write" : "read",
			       door_names[door], a[door].ret,
			       strerror(a[door].err));
			surprises++;
		}
		EXPECT_EQ(a[SYSCALL].ret, a[door].ret);
		EXPECT_EQ(a[SYSCALL].err, a[door].err);
		EXPECT_EQ(ret, a[door].ret);
		EXPECT_EQ(err, a[door].err);
		EXPECT_EQ(value, left);
	}
}

static void expect(struct __test_metadata *_metadata, int err)
{
	ASSERT_EQ(1, board->asked);
	expect_answer(_metadata, false, err);
	expect_answer(_metadata, true, err);
}

/**
 * meet_in_order() - run a target and a caller, and check the results
 * @_metadata: the test
 * @target: makes the target; NULL if the caller knows the process to name
 * @caller: makes the caller
 * @caller_first: the target needs to know the caller
 * @err: the expected errno, or 0 for success
 */
static void meet_in_order(struct __test_metadata *_metadata,
			  void (*target)(void), void (*caller)(void),
			  bool caller_first, int err)
{
	pid_t pid = 0;
	int status;

	if (caller_first)
		board->caller = start(caller, rest_of_caller);
	if (target) {
		pid = start_target(target);
		if (pid == -MISSING)
			SKIP(return, "not in this kernel: %s", board->trouble);
		ASSERT_GT(pid, 0) {
			TH_LOG("target: %s", board->trouble);
		}
		board->named = board->thread ? board->thread : pid;
	}
	board->go = 1;
	if (!caller_first)
		board->caller = start(caller, rest_of_caller);
	status = exit_status(board->caller);
	if (status == MISSING)
		SKIP(return, "not in this kernel: %s", board->trouble);
	ASSERT_EQ(0, status) {
		TH_LOG("caller: %s", board->trouble);
	}
	expect(_metadata, err);
	if (pid) {
		/* Otherwise the result was about another process than expected. */
		EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
}

static void meet(struct __test_metadata *_metadata, void (*target)(void),
		 void (*caller)(void), int err)
{
	meet_in_order(_metadata, target, caller, false, err);
}

/* Let the caller name @pid, without starting a target. */
static void meet_pid(struct __test_metadata *_metadata, pid_t pid,
		     void (*caller)(void), int err)
{
	secret = SECRET;
	board->secret_at = (uintptr_t)&secret;
	board->inbox_at = (uintptr_t)board->inbox;
	board->named = pid;
	meet(_metadata, NULL, caller, err);
}

static void put_up_a_board(struct __test_metadata *_metadata)
{
	board_fd = memfd_create("board", 0);
	ASSERT_LE(0, board_fd);
	ASSERT_EQ(0, ftruncate(board_fd, sizeof(*board)));
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     board_fd, 0);
	ASSERT_NE(MAP_FAILED, board);
}

static void set_up(struct __test_metadata *_metadata, int wanted_scope)
{
	struct pvmread_info info = { .size = sizeof(info) };

	if (wanted_scope < 3) {
		ASSERT_NE(3, number_in(YAMA_SCOPE)) {
			TH_LOG("ptrace_scope is 3 already: boot the guest again");
		}
	}
	if (!access(YAMA_SCOPE, F_OK)) {
		ASSERT_EQ(0, set_number(YAMA_SCOPE, wanted_scope));
		ASSERT_EQ(wanted_scope, number_in(YAMA_SCOPE));
	}
	put_up_a_board(_metadata);
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	ASSERT_EQ(0, ioctl(dev, PVMREAD_IOC_INFO, &info));
	pidfd_works = info.features & PVMREAD_FEATURE_PIDFD;
	if (!pidfd_works)
		TH_LOG("this kernel has no PVMREAD_PIDFD");
}

FIXTURE(permission) {
};

FIXTURE_SETUP(permission)
{
	/* Yama is tested in the last fixtures: disable it here. */
	set_up(_metadata, 0);
}

static void remove_copy(void)
{
	if (copy_path[0]) {
		unlink(copy_path);
		rmdir(copy_dir);
	}
}

FIXTURE_TEARDOWN(permission)
{
	remove_copy();
}

/* A test: the target, the caller, and the expected errno or 0. */
#define MEETING(name, target, caller, err)			\
TEST_F(permission, name)					\
{								\
	meet(_metadata, target, caller, err);			\
}

/* --- Users and groups --- */

MEETING(same_user_may, as_alice, as_alice, 0)
MEETING(another_user_may_not, as_alice, as_bob, EPERM)
MEETING(user_may_not_access_root, as_root, as_alice, EPERM)
MEETING(same_user_in_another_group_may_not, as_alice, as_alice_in_another_group, EPERM)

/* PTRACE_MODE_ATTACH_REALCREDS: only the real ids of the caller count. */
MEETING(fsuid_of_the_caller_does_not_count, as_alice, as_alice_with_fsuid_of_bob, 0)
MEETING(euid_of_the_caller_does_not_count, as_alice, as_alice_with_euid_of_bob, 0)
MEETING(egid_of_the_caller_does_not_count, as_alice, as_alice_with_egid_of_bob, 0)
MEETING(real_uid_of_the_caller_counts, as_alice, as_bob_with_euid_of_alice, EPERM)

/* Neither the caller's nor the target's supplementary groups count. */
MEETING(supplementary_group_of_the_caller_does_not_count,
	as_alice_in_another_group, as_alice_also_in_the_group_of_bob, EPERM)
MEETING(supplementary_group_of_the_target_does_not_count,
	as_alice_also_in_the_group_of_bob, as_alice, 0)

/* The target's real, effective and saved ids count. */
MEETING(euid_of_the_target_counts, as_alice_with_euid_of_bob, as_alice, EPERM)
MEETING(egid_of_the_target_counts, as_alice_with_egid_of_bob, as_alice, EPERM)
MEETING(saved_uid_of_the_target_counts, as_alice_with_suid_of_bob, as_alice, EPERM)
MEETING(saved_gid_of_the_target_counts, as_alice_with_sgid_of_bob, as_alice, EPERM)
MEETING(saved_uid_counts_if_target_has_another_fsuid,
	as_alice_with_fsuid_of_bob, as_alice, EPERM)

/* --- Capabilities --- */

MEETING(root_may, as_alice, as_root, 0)
MEETING(root_without_cap_sys_ptrace_may_not, as_alice, as_root_without_ptrace, EPERM)
MEETING(root_may_not_access_more_capable_root, as_root, as_root_without_ptrace, EPERM)
MEETING(equal_roots_without_cap_sys_ptrace_may,
	as_root_without_ptrace, as_root_without_ptrace, 0)
MEETING(another_user_with_cap_sys_ptrace_may, as_alice, as_bob_with_ptrace, 0)
MEETING(cap_sys_ptrace_that_is_not_effective_does_not_count,
	as_alice, as_bob_with_ptrace_unused, EPERM)
MEETING(same_user_may_not_access_more_capable_target,
	as_alice_with_another_capability, as_alice, EPERM)
MEETING(same_user_may_if_both_have_the_capability,
	as_alice_with_another_capability, as_alice_with_another_capability, 0)
MEETING(user_with_all_caps_except_sys_ptrace_may_not,
	as_alice, as_bob_with_all_but_ptrace, EPERM)

/* A process that opened the device as root has only the rights that it has at the call. */
MEETING(root_with_the_euid_of_a_user_may_not, as_alice, as_root_with_euid_of_bob, EPERM)
MEETING(root_that_restored_its_euid_may, as_alice, as_root_that_was_bob, 0)

/* --- Pid namespaces --- */

MEETING(outer_pid_finds_target_in_a_pid_namespace, as_alice_in_a_pid_namespace, as_alice, 0)
MEETING(target_outside_the_pid_namespace_is_not_found, as_alice, in_a_pid_namespace, ESRCH)
MEETING(process_in_a_pid_namespace_finds_itself_by_inner_pid, NULL, inside_naming_itself, 0)
MEETING(outer_pid_is_not_found_in_a_pid_namespace,
	NULL, inside_naming_itself_from_outside, ESRCH)

/* --- User namespaces --- */

MEETING(user_namespace_owner_may_access_a_target_in_it, as_root_of_a_user_namespace, as_alice, 0)
MEETING(other_user_may_not_access_user_namespace_target,
	as_root_of_a_user_namespace, as_bob, EPERM)
MEETING(root_outside_may_access_user_namespace_target, as_root_of_a_user_namespace, as_root, 0)
MEETING(user_namespace_root_may_not_access_its_user_outside,
	as_alice, as_root_of_a_user_namespace, EPERM)
MEETING(user_namespace_root_may_not_access_another_one,
	as_root_of_a_user_namespace, as_root_of_a_user_namespace, EPERM)
MEETING(user_namespace_root_may_inside_it, NULL, ns_root_with_a_child, 0)
MEETING(root_of_the_same_user_namespace_may,
	as_root_of_a_user_namespace, as_root_of_the_same_user_namespace, 0)

/* Memory belongs to the user namespace in which exec() made it. */
MEETING(user_namespace_root_may_not_access_older_undumpable_mm,
	NULL, ns_root_with_an_undumpable_child, EPERM)
MEETING(user_namespace_root_may_access_newer_undumpable_mm,
	NULL, ns_root_with_an_undumpable_exec, 0)
MEETING(user_namespace_root_may_access_a_nested_one,
	NULL, ns_root_with_a_child_in_a_nested_one, 0)
MEETING(nested_user_namespace_root_may_not_access_outer_one,
	NULL, nested_ns_root_naming_the_outer, EPERM)

/* --- Undumpable targets --- */

MEETING(undumpable_target_is_closed_to_its_user, as_undumpable_alice, as_alice, EPERM)
MEETING(undumpable_target_is_open_to_root, as_undumpable_alice, as_root, 0)

static void copy_this_program(struct __test_metadata *_metadata)
{
	snprintf(copy_dir, sizeof(copy_dir), "/tmp/pvmread-permission.XXXXXX");
	ASSERT_TRUE(mkdtemp(copy_dir) && !chmod(copy_dir, 0755));
	snprintf(copy_path, sizeof(copy_path), "%s/copy", copy_dir);
	ASSERT_EQ(0, copy_program(copy_path, 0700)) {
		TH_LOG("copying this program: %s", strerror(errno));
	}
}

static void meet_copy(struct __test_metadata *_metadata, void (*target)(void),
		      void (*caller)(void), int err)
{
	copy_this_program(_metadata);
	meet(_metadata, target, caller, err);
}

#define MEETING_OF_COPY(name, target, caller, err)		\
TEST_F(permission, name)					\
{								\
	meet_copy(_metadata, target, caller, err);		\
}

MEETING_OF_COPY(program_that_exec_started_is_open_to_its_user, alice_execs_a_program, as_alice, 0)
MEETING_OF_COPY(set_uid_program_is_closed_to_its_starter,
		alice_execs_a_set_uid_program, as_alice, EPERM)
MEETING_OF_COPY(set_uid_program_is_open_to_root, alice_execs_a_set_uid_program, as_root, 0)
MEETING_OF_COPY(set_uid_program_stays_closed_after_it_dropped_root,
		alice_execs_a_set_uid_program_that_drops_root, as_alice, EPERM)
MEETING_OF_COPY(unreadable_program_is_closed_to_its_user,
		alice_execs_a_program_she_may_not_read, as_alice, EPERM)
MEETING_OF_COPY(unreadable_program_is_open_to_root,
		alice_execs_a_program_she_may_not_read, as_root, 0)

/* A process whose rights change becomes undumpable (0), dumpable (1) or dumpable by root (2). */
#define SUID_DUMPABLE	"/proc/sys/fs/suid_dumpable"

FIXTURE(suid_dumpable) {
	char before[8];
};

FIXTURE_SETUP(suid_dumpable)
{
	int fd = open(SUID_DUMPABLE, O_RDONLY | O_CLOEXEC);

	ASSERT_LT(0, read(fd, self->before, sizeof(self->before) - 1));
	close(fd);
	set_up(_metadata, 0);
}

FIXTURE_TEARDOWN(suid_dumpable)
{
	must_write(SUID_DUMPABLE, self->before);
	remove_copy();
}

TEST_F(suid_dumpable, set_uid_program_that_dropped_root_is_open_to_its_starter_if_1)
{
	must_write(SUID_DUMPABLE, "1");
	meet_copy(_metadata, alice_execs_a_set_uid_program_that_drops_root, as_alice, 0);
}

TEST_F(suid_dumpable, set_uid_program_that_dropped_root_is_closed_to_its_starter_if_2)
{
	must_write(SUID_DUMPABLE, "2");
	meet_copy(_metadata, alice_execs_a_set_uid_program_that_drops_root, as_alice, EPERM);
}

TEST_F(suid_dumpable, set_uid_program_that_dropped_root_is_open_to_root_if_2)
{
	must_write(SUID_DUMPABLE, "2");
	meet_copy(_metadata, alice_execs_a_set_uid_program_that_drops_root, as_root, 0);
}

TEST_F(suid_dumpable, set_uid_program_is_closed_to_its_starter_if_1)
{
	must_write(SUID_DUMPABLE, "1");
	meet_copy(_metadata, alice_execs_a_set_uid_program, as_alice, EPERM);
}

/* --- Targets without memory, or that do not exist --- */

static bool is_kernel_thread(pid_t pid)
{
	char path[40], c;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, &c, 1);
	close(fd);
	return !len && state_of(pid) != 'Z';
}

TEST_F(permission, kernel_thread_is_esrch)
{
	ASSERT_TRUE(is_kernel_thread(2));
	meet_pid(_metadata, 2, as_root, ESRCH);
}

/* Missing memory is detected before the permission check. */
TEST_F(permission, kernel_thread_is_esrch_for_a_user_too)
{
	ASSERT_TRUE(is_kernel_thread(2));
	meet_pid(_metadata, 2, as_alice, ESRCH);
}

TEST_F(permission, zombie_is_esrch)
{
	siginfo_t info;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(0);
	ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	ASSERT_EQ('Z', state_of(pid));
	meet_pid(_metadata, pid, as_root, ESRCH);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
}

TEST_F(permission, process_that_was_reaped_is_not_found)
{
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(0);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	meet_pid(_metadata, pid, as_root, ESRCH);
}

TEST_F(permission, pid_zero_is_not_found)
{
	meet_pid(_metadata, 0, as_root, ESRCH);
}

TEST_F(permission, negative_pid_is_not_found)
{
	meet_pid(_metadata, -1, as_root, ESRCH);
}

TEST_F(permission, smallest_pid_is_not_found)
{
	meet_pid(_metadata, INT_MIN, as_root, ESRCH);
}

TEST_F(permission, largest_pid_is_not_found)
{
	meet_pid(_metadata, INT_MAX, as_root, ESRCH);
}

/* --- Threads --- */

MEETING(thread_that_is_no_leader_can_be_named, as_alice_naming_a_thread, as_alice, 0)
MEETING(thread_that_is_no_leader_is_closed_to_others, as_alice_naming_a_thread, as_bob, EPERM)
MEETING(leader_that_left_its_threads_has_no_memory, as_alice_whose_leader_left, as_alice, ESRCH)
MEETING(thread_whose_leader_left_can_be_named, as_alice_whose_leader_left_the_named, as_alice, 0)

/* --- Traced targets --- */

MEETING(traced_target_is_open_to_its_user, as_alice_who_is_traced, as_alice, 0)
MEETING(traced_target_is_closed_to_others, as_alice_who_is_traced, as_bob, EPERM)

/* --- Oneself --- */

MEETING(everyone_may_name_itself, NULL, alice_naming_herself, 0)
MEETING(undumpable_process_may_name_itself, NULL, undumpable_bob_naming_itself, 0)
MEETING(thread_of_another_user_may_name_its_own_memory, NULL, thread_of_bob_naming_its_leader, 0)

/* --- Seccomp --- */

static void behind_a_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { ARRAY_SIZE(code), code };

	as_alice();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		broken("PR_SET_NO_NEW_PRIVS");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		missing("seccomp filters");
}

/*
 * Not desirable, but documented: a filter that forbids the system calls does not stop
 * the device. This is the only test in which the doors differ.
 */
TEST_F(permission, seccomp_filter_of_the_syscalls_does_not_stop_the_ioctl)
{
	enum door door;
	int status;
	pid_t pid;

	pid = start_target(as_alice);
	ASSERT_LT(0, pid);
	board->named = pid;
	board->go = 1;
	status = exit_status(start(behind_a_filter, rest_of_caller));
	if (status == MISSING)
		SKIP(return, "not in this kernel: %s", board->trouble);
	ASSERT_EQ(0, status) {
		TH_LOG("caller: %s", board->trouble);
	}
	ASSERT_EQ(1, board->asked);
	for (door = SYSCALL; door < DOORS; door++) {
		int err = door == SYSCALL ? EDOM : 0;

		EXPECT_EQ(err, board->reads[door].err);
		EXPECT_EQ(err, board->writes[door].err);
		EXPECT_EQ(err ? UNREAD : SECRET, board->reads[door].value);
		EXPECT_EQ(err ? 0 : TOKEN(door), board->inbox[door]);
	}
	kill(pid, SIGKILL);
}

/* --- Landlock: no door leads out of a domain --- */

MEETING(process_in_a_landlock_domain_may_not_access_one_outside,
	as_alice, as_alice_in_a_landlock_domain, EPERM)
MEETING(process_in_a_landlock_domain_may_not_access_its_parent_outside,
	NULL, in_a_landlock_domain_naming_the_parent_outside, EPERM)
MEETING(root_in_a_landlock_domain_may_not_access_a_process_outside,
	as_alice, as_root_in_a_landlock_domain, EPERM)
MEETING(process_in_a_landlock_domain_may_not_access_one_in_another,
	as_alice_in_a_landlock_domain, as_alice_in_a_landlock_domain, EPERM)
MEETING(process_in_a_nested_landlock_domain_may_not_access_the_outer_one,
	NULL, in_a_nested_landlock_domain_naming_the_outer, EPERM)
MEETING(process_outside_may_access_one_in_a_landlock_domain,
	as_alice_in_a_landlock_domain, as_alice, 0)
MEETING(process_may_access_one_in_its_landlock_domain, NULL, in_a_landlock_domain_with_a_child, 0)
MEETING(process_in_a_landlock_domain_may_access_a_nested_one,
	NULL, in_a_landlock_domain_with_a_child_in_a_nested_one, 0)
MEETING(process_in_a_landlock_domain_may_name_itself, NULL, in_a_landlock_domain_naming_itself, 0)
MEETING(cap_sys_ptrace_does_not_lead_out_of_a_landlock_domain,
	as_alice, as_bob_with_ptrace_in_a_landlock_domain, EPERM)

/* Read and write through a file that was attached before access was denied. */
static void use_the_file(int file)
{
	const uint64_t token = TOKEN(ATTACH);
	uint64_t value = UNREAD;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { (void *)(uintptr_t)board->secret_at, sizeof(value) };
	const struct request req = {
		.local = &local, .local_count = 1, .remote = &remote, .remote_count = 1,
	};

	if (pread(file, &value, sizeof(value), board->secret_at) != sizeof(value) ||
	    value != SECRET)
		broken("reading a target file");
	value = UNREAD;
	if (by_batch(file, &req) != sizeof(value) || value != SECRET)
		broken("a BATCH on a target file");
	if (pwrite(file, &token, sizeof(token), board->inbox_at) != sizeof(token) ||
	    board->inbox[0] != token)
		broken("writing a target file");
	board->inbox[0] = 0;
}

static void entering_a_landlock_domain_with_a_target_file(void)
{
	struct pvmread_attach attach = {
		.size = sizeof(attach),
		.flags = PVMREAD_WRITE,
		.pid = board->named,
	};
	int file;

	as_alice();
	file = ioctl(dev, PVMREAD_IOC_ATTACH, &attach);
	if (file < 0)
		broken("ATTACH");
	enter_landlock_domain();
	use_the_file(file);
}

/* An open file still works, like any other; a new one cannot be attached. */
MEETING(target_file_taken_into_a_landlock_domain_still_works,
	as_alice, entering_a_landlock_domain_with_a_target_file, EPERM)

/* --- AppArmor --- */

/* The type codes in the kernel's binary policy format, version 5. */
enum policy_code { POLICY_U32 = 2, POLICY_NAME = 4, POLICY_STRING, POLICY_STRUCT = 7, POLICY_END };

static char *put_u32(char *at, uint32_t value)
{
	*at++ = POLICY_U32;
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static char *put_text(char *at, enum policy_code code, const char *text)
{
	uint16_t len = strlen(text) + 1;

	*at++ = code;
	memcpy(at, &len, sizeof(len));
	return memcpy(at + sizeof(len), text, len) + len;
}

/*
 * A profile with no rule except @caps. A profile without ptrace rules requires
 * CAP_SYS_PTRACE, except for targets under the same profile.
 */
static int load_profile(const char *name, uint32_t caps)
{
	char policy[256], *at = policy;
	int fd, i, ret = -1;

	at = put_u32(put_text(at, POLICY_NAME, "version"), 5);
	at = put_text(at, POLICY_NAME, "profile");
	*at++ = POLICY_STRUCT;
	at = put_text(put_text(at, POLICY_STRING, name), POLICY_NAME, "flags");
	*at++ = POLICY_STRUCT;
	for (i = 0; i < 3; i++)		/* no hat, enforced, no audit */
		at = put_u32(at, 0);
	*at++ = POLICY_END;
	at = put_u32(at, caps);
	for (i = 0; i < 3; i++)		/* audited, quiet, inherited */
		at = put_u32(at, 0);
	*at++ = POLICY_END;

	fd = open(PROFILES, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (write(fd, policy, at - policy) == at - policy)
		ret = 0;
	close(fd);
	return ret;
}

static void load_profiles(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, load_profile(NO_PTRACE, 0));
	ASSERT_EQ(0, load_profile(PTRACE, 1U << CAP_SYS_PTRACE));
}

FIXTURE(apparmor) {
};

FIXTURE_SETUP(apparmor)
{
	if (access(PROFILES, F_OK))
		SKIP(return, "not in this kernel: AppArmor");
	load_profiles(_metadata);
	set_up(_metadata, 0);
}

FIXTURE_TEARDOWN(apparmor)
{
}

TEST_F(apparmor, process_under_a_profile_without_ptrace_may_not)
{
	meet(_metadata, as_alice, as_alice_under_a_profile_without_ptrace, EPERM);
}

TEST_F(apparmor, root_under_a_profile_without_ptrace_may_not)
{
	meet(_metadata, as_alice, as_root_under_a_profile_without_ptrace, EPERM);
}

TEST_F(apparmor, profile_without_ptrace_may_not_access_another_profile)
{
	meet(_metadata, as_alice_under_a_profile_with_ptrace,
	     as_alice_under_a_profile_without_ptrace, EPERM);
}

TEST_F(apparmor, process_under_a_profile_with_ptrace_may)
{
	meet(_metadata, as_alice, as_alice_under_a_profile_with_ptrace, 0);
}

/* A profile allows no more than the kernel's other rules. */
TEST_F(apparmor, other_user_under_a_profile_with_ptrace_may_not)
{
	meet(_metadata, as_alice, as_bob_under_a_profile_with_ptrace, EPERM);
}

TEST_F(apparmor, cap_sys_ptrace_under_a_profile_without_it_does_not_count)
{
	meet(_metadata, as_alice, as_bob_with_ptrace_under_a_profile_without_it, EPERM);
}

TEST_F(apparmor, cap_sys_ptrace_under_a_profile_with_it_counts)
{
	meet(_metadata, as_alice, as_bob_with_ptrace_under_a_profile_with_it, 0);
}

TEST_F(apparmor, same_profile_without_ptrace_may)
{
	meet(_metadata, as_alice_under_a_profile_without_ptrace,
	     as_alice_under_a_profile_without_ptrace, 0);
}

TEST_F(apparmor, process_under_a_profile_may_read_itself)
{
	meet(_metadata, NULL, under_a_profile_naming_itself, 0);
}

/* --- Every caller with every target, for the Yama values that can be restored --- */

enum part { BOTH, CALLER, TARGET };

static const struct who {
	const char *name;
	void (*become)(void);
	enum part part;
} everyone[] = {
#define WHO(become, part)	{ #become, become, part }
	WHO(as_root, BOTH),
	WHO(as_alice, BOTH),
	WHO(as_bob, BOTH),
	WHO(as_alice_in_another_group, BOTH),
	WHO(as_alice_also_in_the_group_of_bob, BOTH),
	WHO(as_alice_with_fsuid_of_bob, BOTH),
	WHO(as_alice_with_euid_of_bob, BOTH),
	WHO(as_alice_with_egid_of_bob, BOTH),
	WHO(as_bob_with_euid_of_alice, BOTH),
	WHO(as_alice_with_suid_of_bob, BOTH),
	WHO(as_alice_with_sgid_of_bob, BOTH),
	WHO(as_undumpable_alice, BOTH),
	WHO(as_root_without_ptrace, BOTH),
	WHO(as_bob_with_ptrace, BOTH),
	WHO(as_bob_with_ptrace_unused, BOTH),
	WHO(as_alice_with_another_capability, BOTH),
	WHO(as_bob_with_all_but_ptrace, BOTH),
	WHO(as_root_with_euid_of_bob, BOTH),
	WHO(as_root_that_was_bob, BOTH),
	WHO(as_alice_in_a_pid_namespace, BOTH),
	WHO(as_root_of_a_user_namespace, BOTH),
	WHO(as_root_of_a_nested_user_namespace, BOTH),
	WHO(as_root_in_a_landlock_domain, BOTH),
	WHO(as_alice_in_a_landlock_domain, BOTH),
	WHO(as_bob_with_ptrace_in_a_landlock_domain, BOTH),
	WHO(as_root_under_a_profile_without_ptrace, BOTH),
	WHO(as_alice_under_a_profile_without_ptrace, BOTH),
	WHO(as_alice_under_a_profile_with_ptrace, BOTH),
	WHO(as_bob_under_a_profile_with_ptrace, BOTH),
	WHO(as_bob_with_ptrace_under_a_profile_without_it, BOTH),
	WHO(as_bob_with_ptrace_under_a_profile_with_it, BOTH),
	WHO(in_a_pid_namespace, CALLER),
	WHO(as_root_of_the_same_user_namespace, CALLER),
	WHO(as_alice_tracing_the_targets, CALLER),
	WHO(as_alice_naming_a_thread, TARGET),
	WHO(as_alice_whose_leader_left, TARGET),
	WHO(as_alice_whose_leader_left_the_named, TARGET),
	WHO(as_alice_who_is_traced, TARGET),
	WHO(allowing_the_caller, TARGET),
	WHO(allowing_anyone, TARGET),
	WHO(alice_execs_a_program, TARGET),
	WHO(alice_execs_a_program_she_may_not_read, TARGET),
	WHO(alice_execs_a_set_uid_program, TARGET),
	WHO(alice_execs_a_set_uid_program_that_drops_root, TARGET),
	WHO(naming_a_kernel_thread, TARGET),
	WHO(naming_a_zombie, TARGET),
	WHO(naming_nobody, TARGET),
	/* Last, because it gives the caller the secret. */
	{ "itself", NULL, TARGET },
#undef WHO
};

/* The current caller; the board of all callers; the process that targets allow to trace. */
static const struct who *caller;
static struct board *callers_board;
static pid_t tester;

/* Continue with the board of this target. */
static void turn_to(size_t i)
{
	board = seats[i].board;
	board_fd = seats[i].fd;
}

/* Return: 0; or -1 if a target cannot start, and then @board is its board. */
static int start_targets(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		struct seat *seat = &seats[i];

		turn_to(i);
		memset(board, 0, sizeof(*board));
		if (everyone[i].part == CALLER || !everyone[i].become)
			continue;
		board->caller = tester;
		seat->pid = start_target(everyone[i].become);
		if (seat->pid > 0)
			board->named = board->thread ? board->thread : seat->pid;
		else if (seat->pid != -MISSING)
			return -1;
	}
	board = callers_board;
	return 0;
}

static void become_caller(void)
{
	size_t i;

	/* The caller that enters a user namespace enters that of this target. */
	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		if (everyone[i].become == as_root_of_a_user_namespace)
			board->named = seats[i].board->named;
	}
	caller->become();
}

static void ask_of_everyone(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		turn_to(i);
		if (!everyone[i].become)
			naming_itself();
		if (board->named)
			ask();
	}
}

/* Wait until the previous caller has ended and the tester has read its results. */
static void wait_for_turn(int turn, int before)
{
	struct pollfd pfd = { .fd = before, .events = POLLIN };

	if (before >= 0)
		poll(&pfd, 1, -1);
	while (__atomic_load_n(&board->go, __ATOMIC_ACQUIRE) != turn) {
		if (kill(tester, 0))
			_exit(BROKEN);
		usleep(1000);
	}
}

/*
 * Each caller is the parent of the next one, and the last is the parent of a process
 * that starts the targets. So every caller is an ancestor of all targets. A caller may
 * exit after its requests.
 */
static void line_up(void)
{
	int ready = ready_fd, before = -1, self;
	size_t i;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		if (everyone[i].part == TARGET)
			continue;
		self = open_pidfd(getpid());
		pid = fork();
		if (self < 0 || pid < 0)
			broken("fork");
		if (pid) {
			wait_for_turn(i + 1, before);
			board->next = pid;
			caller = &everyone[i];
			become_caller();
			ask_of_everyone();
			_exit(0);
		}
		alarm(LIFETIME_S);
		before = self;
	}
	if (start_targets()) {
		memcpy(callers_board->trouble, board->trouble, sizeof(board->trouble));
		_exit(BROKEN);
	}
	ready_fd = ready;
	publish();
	wait_for_turn(i + 1, before);
	_exit(0);
}

FIXTURE(everyone) {
};

FIXTURE_VARIANT(everyone) {
	int scope;
	bool ancestors;		/* are the callers ancestors of the targets? */
};

FIXTURE_VARIANT_ADD(everyone, strangers_in_scope_0) {
	.scope = 0,
};

FIXTURE_VARIANT_ADD(everyone, strangers_in_scope_1) {
	.scope = 1,
};

FIXTURE_VARIANT_ADD(everyone, strangers_in_scope_2) {
	.scope = 2,
};

/* Ancestry counts only in this scope. */
FIXTURE_VARIANT_ADD(everyone, ancestors_in_scope_1) {
	.scope = 1,
	.ancestors = true,
};

FIXTURE_SETUP(everyone)
{
	size_t i;

	if (variant->scope && access(YAMA_SCOPE, F_OK))
		SKIP(return, "not in this kernel: Yama (no %s)", YAMA_SCOPE);
	if (!access(PROFILES, F_OK))
		load_profiles(_metadata);
	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		put_up_a_board(_metadata);
		seats[i] = (struct seat){ .board = board, .fd = board_fd };
	}
	set_up(_metadata, variant->scope);
	copy_this_program(_metadata);
}

FIXTURE_TEARDOWN(everyone)
{
	remove_copy();
}

/* The rules are not repeated here: the system calls define the expected results. */
TEST_F(everyone, gets_the_syscalls_errno_from_every_command)
{
	int meetings = 0, allowed = 0, refused = 0, not_found = 0, status;
	pid_t pid = 0;
	size_t i, j;

	callers_board = board;
	tester = getpid();
	if (variant->ancestors) {
		/* Adopt each caller whose parent, the previous caller, has exited. */
		ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
		pid = start_target(line_up);
		ASSERT_LT(0, pid) {
			TH_LOG("target: %s", board->trouble);
		}
	} else {
		ASSERT_EQ(0, start_targets()) {
			TH_LOG("target: %s", board->trouble);
		}
	}
	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		caller = &everyone[i];
		if (caller->part == TARGET)
			continue;
		board = callers_board;
		memset(board, 0, sizeof(*board));
		if (variant->ancestors)
			__atomic_store_n(&board->go, i + 1, __ATOMIC_RELEASE);
		else
			pid = start(become_caller, ask_of_everyone);
		status = exit_status(pid);
		pid = board->next;
		if (status == MISSING) {
			say("no caller %s: %s", caller->name, board->trouble);
			continue;
		}
		ASSERT_EQ(0, status) {
			TH_LOG("%s: %s", caller->name, board->trouble);
		}
		for (j = 0; j < ARRAY_SIZE(everyone); j++) {
			int err;

			turn_to(j);
			if (!board->named)
				continue;
			err = board->reads[SYSCALL].err;
			meetings++;
			allowed += !err;
			refused += err == EPERM;
			not_found += err == ESRCH;
			snprintf(meeting, sizeof(meeting), "%s with %s: ", caller->name,
				 everyone[j].name);
			expect(_metadata, err);
			/* The first few failures are enough. */
			ASSERT_GT(60, surprises);
			forget_the_answers();
		}
	}
	for (i = 0; i < ARRAY_SIZE(everyone); i++) {
		turn_to(i);
		if (everyone[i].part == TARGET && !board->named)
			say("no target %s: %s", everyone[i].name, board->trouble);
		if (seats[i].pid > 0) {
			EXPECT_EQ(0, waitpid(seats[i].pid, &status, WNOHANG));
			kill(seats[i].pid, SIGKILL);
			waitpid(seats[i].pid, &status, 0);
		}
	}
	if (variant->ancestors) {
		__atomic_store_n(&callers_board->go, i + 1, __ATOMIC_RELEASE);
		EXPECT_EQ(0, exit_status(pid));
	}
	say("%d meetings: %d allowed, %d refused, %d with no such process",
	    meetings, allowed, refused, not_found);
	EXPECT_LT(0, allowed);
	EXPECT_LT(0, refused);
	EXPECT_LT(0, not_found);
	EXPECT_EQ(meetings, allowed + refused + not_found);
}

/* --- Yama. Keep this fixture, and its variant scope_3, the last. --- */

FIXTURE(yama) {
};

/**
 * FIXTURE_VARIANT(yama) - the errno for each kind of caller
 * @scope: the value of ptrace_scope
 * @parent: for the target's parent or another ancestor
 * @stranger: for another process of the same user
 * @allowed: for a stranger that the target allowed, or that traces it
 * @anyone: for a stranger, if the target allowed all processes
 * @root: for a stranger with CAP_SYS_PTRACE
 */
FIXTURE_VARIANT(yama) {
	int scope;
	int parent;
	int stranger;
	int allowed;
	int anyone;
	int root;
};

FIXTURE_VARIANT_ADD(yama, scope_0) {
	.scope = 0,
};

FIXTURE_VARIANT_ADD(yama, scope_1) {
	.scope = 1,
	.stranger = EPERM,
};

FIXTURE_VARIANT_ADD(yama, scope_2) {
	.scope = 2,
	.parent = EPERM,
	.stranger = EPERM,
	.allowed = EPERM,
	.anyone = EPERM,
};

FIXTURE_VARIANT_ADD(yama, scope_3) {
	.scope = 3,
	.parent = EPERM,
	.stranger = EPERM,
	.allowed = EPERM,
	.anyone = EPERM,
	.root = EPERM,
};

FIXTURE_SETUP(yama)
{
	if (access(YAMA_SCOPE, F_OK))
		SKIP(return, "not in this kernel: Yama (no %s)", YAMA_SCOPE);
	set_up(_metadata, variant->scope);
}

FIXTURE_TEARDOWN(yama)
{
}

TEST_F(yama, parent)
{
	meet(_metadata, NULL, alice_with_a_child, variant->parent);
}

TEST_F(yama, grandparent)
{
	meet(_metadata, NULL, alice_with_a_grandchild, variant->parent);
}

TEST_F(yama, stranger_of_the_same_user)
{
	meet(_metadata, as_alice, as_alice, variant->stranger);
}

TEST_F(yama, stranger_allowed_by_the_target)
{
	meet_in_order(_metadata, allowing_the_caller, as_alice, true,
		      variant->allowed);
}

/* The caller starts to trace as root, which is impossible in scope 3. */
TEST_F(yama, stranger_that_traces_the_target)
{
	meet(_metadata, as_alice, as_alice_tracing_the_targets, variant->allowed);
}

TEST_F(yama, anyone_allowed_by_the_target)
{
	meet(_metadata, allowing_anyone, as_alice, variant->anyone);
}

/* Yama allows no more than the kernel's other rules. */
TEST_F(yama, other_user_allowed_by_the_target)
{
	meet(_metadata, allowing_anyone, as_bob, EPERM);
}

TEST_F(yama, root)
{
	meet(_metadata, as_alice, as_root, variant->root);
}

TEST_F(yama, root_of_the_same_user_namespace)
{
	meet(_metadata, as_root_of_a_user_namespace, as_root_of_the_same_user_namespace,
	     variant->root);
}

TEST_F(yama, self)
{
	meet(_metadata, NULL, alice_naming_herself, 0);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "--target"))
		return main_of_target(argv);
	return test_harness_run(argc, argv);
}
