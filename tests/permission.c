// SPDX-License-Identifier: GPL-2.0
/*
 * Permission: whoever may not use process_vm_readv(2) and process_vm_writev(2)
 * on a process must get nothing through the device either, and the same errno.
 *
 * Each test is one meeting of a target and a caller. The caller sends the same
 * read and the same write through all doors: the system calls, READV and WRITEV,
 * and a target file that it attaches for no more than this one, each with a pid
 * and with a pidfd; and BATCH on such a file. The answers must be equal, and they
 * must be those that the kernel's rules give, so that doors that are wrong alike
 * are seen too.
 *
 * The device is opened once, as root, and every caller inherits that open file:
 * what counts is who calls, never who opened. A pidfd is the caller's own: where
 * it cannot have one, two doors are closed before the device is asked.
 *
 * The tests of Yama's ptrace_scope 3 must be the last of this program, and this
 * program the last in its guest: the kernel never lowers that value again. The
 * harness runs fixtures, and the variants of each, as they stand in this file,
 * but some kernels' harness runs the tests of a variant backwards. Tests that
 * find the value at 3 too early fail, they are not skipped.
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
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "process.h"

#define YAMA_SCOPE	"/proc/sys/kernel/yama/ptrace_scope"

#define ALICE		1000
#define BOB		1001

#define SECRET		0x7365637265742121ULL	/* in the target */
#define UNREAD		0x5555555555555555ULL	/* where the caller reads to */
#define TOKEN(door)	(0x746f6b656e303030ULL + (door))	/* what it writes */

/* How a child ends that could not take its part. */
#define BROKEN		2
#define MISSING		3

enum door { SYSCALL, IOCTL, IOCTL_BY_PIDFD, ATTACH, ATTACH_BY_PIDFD, BATCH, DOORS };

static const char * const door_names[DOORS] = {
	"syscall", "ioctl", "ioctl by pidfd", "attach", "attach by pidfd", "batch"
};

/* What @err is when there is no pidfd to ask with. No errno is negative. */
#define NO_PIDFD	(-1)

struct answer {
	ssize_t ret;
	int err;
	uint64_t value;
};

/**
 * struct board - what tester, target and caller tell each other
 * @go: the caller may begin
 * @asked: the caller has finished
 * @named: the pid that the caller names
 * @thread: the target wants to be named so, if not 0
 * @outer: a process in a pid namespace, as its parent numbers it
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
static int dev = -1;
static bool pidfd_works;
static int ready_fd = -1;

/* Private to each process: what is read is the target's, not the caller's. */
static uint64_t secret;

static void report(const char *what)
{
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

static void wait_for(int *flag)
{
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
		usleep(1000);
}

/* --- Who the children become --- */

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
	/* First, for the rights to do the rest. */
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
	/* Or /proc/self belongs to root. */
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

/* Of Landlock, which restricts ptrace in every domain, whatever its rules are. */
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

/* The names of AppArmor profiles: one gives no capability, the other just this. */
#define NO_PTRACE	"pvmread-test-no-ptrace"
#define PTRACE		"pvmread-test-ptrace"

static void enter_profile(const char *name)
{
	char text[80];

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

/* --- Targets --- */

/* From here on this process can be read and written. */
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

/* Goes on as process 1 of a new pid namespace; @outer is set by then. */
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
	wait_for(&board->outer);
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

/* The state of a process as /proc shows it, or 0. */
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

/* Which of the two the caller names: the leader, or who survived it. */
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
	/* Of this thread alone, unlike exit(). */
	syscall(SYS_exit, 0);
}

static void allowing_the_caller(void)
{
	as_alice();
	if (prctl(PR_SET_PTRACER, board->caller))
		broken("PR_SET_PTRACER");
}

static void allowing_anyone(void)
{
	as_alice();
	if (prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY))
		broken("PR_SET_PTRACER_ANY");
}

/*
 * A copy of this program, run as the target: PROGRAM --target BOARD READY HOW.
 * HOW is "stay" as it is, "drop" what a set-uid bit gave, or be "undumpable".
 */
static char copy_dir[40];
static char copy_path[sizeof(copy_dir) + 8];
static const char *copy_how;

static __attribute__((noreturn)) void exec_target(const char *path, const char *how)
{
	char fds[2][12];

	snprintf(fds[0], sizeof(fds[0]), "%d", board_fd);
	snprintf(fds[1], sizeof(fds[1]), "%d", ready_fd);
	execl(path, path, "--target", fds[0], fds[1], how, NULL);
	broken(path);
}

static void alice_execs_the_copy(void)
{
	as_alice();
	exec_target(copy_path, copy_how);
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

/* A target file, attached for this direction. Return: as by_ioctl(). */
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

/* One thread alone changes its user, which glibc's setresuid() would not do. */
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

/* Makes the target a child of the caller. */
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
		become();
		publish();
		stay();
	}
	close(ready[1]);
	pfd = (struct pollfd){ .fd = ready[0], .events = POLLIN };
	if (poll(&pfd, 1, PATIENCE_MS) != 1 || read(ready[0], &c, 1) != 1)
		broken("the caller's child");
	board->named = pid;
}

static void alice_with_a_child(void)
{
	as_alice();
	adopt(as_root);		/* as it is */
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

/* Goes on as a child that names its parent; that one stays what it is by now. */
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

/* --- The meeting --- */

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
	wait_for(&board->go);
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

/* Return: the target, ready to be asked, or minus what it ended with. */
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

/* Is there a pidfd of who is named? Not of a thread, nor of nobody. */
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
		EXPECT_EQ(a[SYSCALL].ret, a[door].ret);
		EXPECT_EQ(a[SYSCALL].err, a[door].err);
		if (a[door].ret != ret || a[door].err != err)
			TH_LOG("%s by %s: %zd, %s", write ? "write" : "read",
			       door_names[door], a[door].ret,
			       strerror(a[door].err));
		EXPECT_EQ(ret, a[door].ret);
		EXPECT_EQ(err, a[door].err);
		if (write) {
			left = board->inbox[door];
			value = err ? 0 : TOKEN(door);
		} else {
			left = a[door].value;
			value = err ? UNREAD : SECRET;
		}
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
 * meet_in_order() - a target and a caller, and what must come of it
 * @_metadata: the test
 * @target: who the target becomes, or NULL: the caller knows whom to name
 * @caller: who the caller becomes
 * @caller_first: the target needs to know the caller
 * @err: what the caller must get, 0 for the bytes
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
		/* Or the answer was about another process than we think. */
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

/* Ask about a pid that needs no target. */
static void meet_pid(struct __test_metadata *_metadata, pid_t pid,
		     void (*caller)(void), int err)
{
	secret = SECRET;
	board->secret_at = (uintptr_t)&secret;
	board->inbox_at = (uintptr_t)board->inbox;
	board->named = pid;
	meet(_metadata, NULL, caller, err);
}

static int scope(void)
{
	char c = 0;
	int fd = open(YAMA_SCOPE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c ? c - '0' : -1;
}

static int set_scope(int value)
{
	char c = '0' + value;
	int fd = open(YAMA_SCOPE, O_WRONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = write(fd, &c, 1) == 1 ? 0 : -1;
	close(fd);
	return ret;
}

static void set_up(struct __test_metadata *_metadata)
{
	struct pvmread_info info = { .size = sizeof(info) };

	board_fd = memfd_create("board", 0);
	ASSERT_LE(0, board_fd);
	ASSERT_EQ(0, ftruncate(board_fd, sizeof(*board)));
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     board_fd, 0);
	ASSERT_NE(MAP_FAILED, board);
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
	/* Yama is for the last fixture: here it adds nothing to the rules. */
	ASSERT_NE(3, scope()) {
		TH_LOG("ptrace_scope is 3 already: boot the guest again");
	}
	if (scope() > 0)
		ASSERT_EQ(0, set_scope(0));
	set_up(_metadata);
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

/* --- Users and groups --- */

TEST_F(permission, same_user_may)
{
	meet(_metadata, as_alice, as_alice, 0);
}

TEST_F(permission, another_user_may_not)
{
	meet(_metadata, as_alice, as_bob, EPERM);
}

TEST_F(permission, user_may_not_with_root)
{
	meet(_metadata, as_root, as_alice, EPERM);
}

TEST_F(permission, same_user_in_another_group_may_not)
{
	meet(_metadata, as_alice, as_alice_in_another_group, EPERM);
}

/* PTRACE_MODE_ATTACH_REALCREDS: of the caller the real ids count, no other. */
TEST_F(permission, fsuid_of_the_caller_does_not_count)
{
	meet(_metadata, as_alice, as_alice_with_fsuid_of_bob, 0);
}

TEST_F(permission, euid_of_the_caller_does_not_count)
{
	meet(_metadata, as_alice, as_alice_with_euid_of_bob, 0);
}

TEST_F(permission, egid_of_the_caller_does_not_count)
{
	meet(_metadata, as_alice, as_alice_with_egid_of_bob, 0);
}

TEST_F(permission, real_uid_of_the_caller_counts)
{
	meet(_metadata, as_alice, as_bob_with_euid_of_alice, EPERM);
}

/* And all of the target's. */
TEST_F(permission, euid_of_the_target_counts)
{
	meet(_metadata, as_alice_with_euid_of_bob, as_alice, EPERM);
}

TEST_F(permission, egid_of_the_target_counts)
{
	meet(_metadata, as_alice_with_egid_of_bob, as_alice, EPERM);
}

TEST_F(permission, saved_uid_of_the_target_counts)
{
	meet(_metadata, as_alice_with_suid_of_bob, as_alice, EPERM);
}

TEST_F(permission, saved_gid_of_the_target_counts)
{
	meet(_metadata, as_alice_with_sgid_of_bob, as_alice, EPERM);
}

TEST_F(permission, fsuid_of_the_target_does_not_count_but_its_saved_one)
{
	meet(_metadata, as_alice_with_fsuid_of_bob, as_alice, EPERM);
}

/* --- Capabilities --- */

TEST_F(permission, root_may)
{
	meet(_metadata, as_alice, as_root, 0);
}

TEST_F(permission, root_without_cap_sys_ptrace_may_not)
{
	meet(_metadata, as_alice, as_root_without_ptrace, EPERM);
}

TEST_F(permission, root_may_not_with_a_root_that_can_more)
{
	meet(_metadata, as_root, as_root_without_ptrace, EPERM);
}

TEST_F(permission, root_without_cap_sys_ptrace_may_with_its_like)
{
	meet(_metadata, as_root_without_ptrace, as_root_without_ptrace, 0);
}

TEST_F(permission, another_user_with_cap_sys_ptrace_may)
{
	meet(_metadata, as_alice, as_bob_with_ptrace, 0);
}

TEST_F(permission, cap_sys_ptrace_that_is_not_effective_does_not_count)
{
	meet(_metadata, as_alice, as_bob_with_ptrace_unused, EPERM);
}

TEST_F(permission, same_user_may_not_with_one_that_has_a_capability)
{
	meet(_metadata, as_alice_with_another_capability, as_alice, EPERM);
}

TEST_F(permission, same_user_may_if_both_have_the_capability)
{
	meet(_metadata, as_alice_with_another_capability,
	     as_alice_with_another_capability, 0);
}

TEST_F(permission, every_capability_but_cap_sys_ptrace_does_not_count)
{
	meet(_metadata, as_alice, as_bob_with_all_but_ptrace, EPERM);
}

/* Whoever opened the device as root has the rights of who it is when it calls. */
TEST_F(permission, root_with_the_euid_of_a_user_may_not)
{
	meet(_metadata, as_alice, as_root_with_euid_of_bob, EPERM);
}

TEST_F(permission, root_that_was_a_user_for_a_while_may)
{
	meet(_metadata, as_alice, as_root_that_was_bob, 0);
}

/* --- Pid namespaces --- */

TEST_F(permission, target_in_a_pid_namespace_is_named_from_outside)
{
	meet(_metadata, as_alice_in_a_pid_namespace, as_alice, 0);
}

TEST_F(permission, target_outside_cannot_be_named_in_a_pid_namespace)
{
	meet(_metadata, as_alice, in_a_pid_namespace, ESRCH);
}

TEST_F(permission, process_in_a_pid_namespace_names_itself_by_its_number_there)
{
	meet(_metadata, NULL, inside_naming_itself, 0);
}

TEST_F(permission, number_from_outside_means_nothing_in_a_pid_namespace)
{
	meet(_metadata, NULL, inside_naming_itself_from_outside, ESRCH);
}

/* --- User namespaces --- */

TEST_F(permission, owner_of_a_user_namespace_may_with_a_target_in_it)
{
	meet(_metadata, as_root_of_a_user_namespace, as_alice, 0);
}

TEST_F(permission, other_user_may_not_with_a_target_in_a_user_namespace)
{
	meet(_metadata, as_root_of_a_user_namespace, as_bob, EPERM);
}

TEST_F(permission, root_outside_may_with_a_target_in_a_user_namespace)
{
	meet(_metadata, as_root_of_a_user_namespace, as_root, 0);
}

TEST_F(permission, root_of_a_user_namespace_may_not_with_its_user_outside)
{
	meet(_metadata, as_alice, as_root_of_a_user_namespace, EPERM);
}

TEST_F(permission, root_of_a_user_namespace_may_not_with_another_one)
{
	meet(_metadata, as_root_of_a_user_namespace, as_root_of_a_user_namespace, EPERM);
}

TEST_F(permission, root_of_a_user_namespace_may_inside)
{
	meet(_metadata, NULL, ns_root_with_a_child, 0);
}

/* Memory belongs to the user namespace in which exec() made it. */
TEST_F(permission, root_of_a_user_namespace_may_not_with_undumpable_old_memory)
{
	meet(_metadata, NULL, ns_root_with_an_undumpable_child, EPERM);
}

TEST_F(permission, root_of_a_user_namespace_may_with_undumpable_new_memory)
{
	meet(_metadata, NULL, ns_root_with_an_undumpable_exec, 0);
}

TEST_F(permission, root_of_a_user_namespace_may_with_a_nested_one)
{
	meet(_metadata, NULL, ns_root_with_a_child_in_a_nested_one, 0);
}

TEST_F(permission, root_of_a_nested_user_namespace_may_not_with_the_outer_one)
{
	meet(_metadata, NULL, nested_ns_root_naming_the_outer, EPERM);
}

/* --- What cannot be dumped --- */

TEST_F(permission, undumpable_target_is_closed_to_its_user)
{
	meet(_metadata, as_undumpable_alice, as_alice, EPERM);
}

TEST_F(permission, undumpable_target_is_open_to_root)
{
	meet(_metadata, as_undumpable_alice, as_root, 0);
}

/* Return: 0, 1 if set-uid has no effect there, -1 for a failure. */
static int copy_program(mode_t mode)
{
	int in, out, ret = -1;
	struct statvfs fs;
	char buf[8192];
	ssize_t len;

	snprintf(copy_dir, sizeof(copy_dir), "%s",
		 "/tmp/pvmread-permission.XXXXXX");
	if (!mkdtemp(copy_dir) || chmod(copy_dir, 0755))
		return -1;
	snprintf(copy_path, sizeof(copy_path), "%s/copy", copy_dir);
	in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	out = open(copy_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (in < 0 || out < 0)
		goto out;
	while ((len = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, len) != len)
			goto out;
	}
	if (!len && !fchmod(out, mode) && !fstatvfs(out, &fs))
		ret = fs.f_flag & ST_NOSUID ? 1 : 0;
out:
	close(in);
	close(out);
	return ret;
}

static void meet_copy(struct __test_metadata *_metadata, mode_t mode,
		      const char *how, void (*caller)(void), int err)
{
	int ret = copy_program(mode);

	ASSERT_LE(0, ret) {
		TH_LOG("copying this program: %s", strerror(errno));
	}
	if (ret && mode & 04000)
		SKIP(return, "/tmp is mounted nosuid");
	copy_how = how;
	meet(_metadata, alice_execs_the_copy, caller, err);
}

TEST_F(permission, program_that_exec_started_is_open_to_its_user)
{
	meet_copy(_metadata, 0755, "stay", as_alice, 0);
}

TEST_F(permission, set_uid_program_is_closed_to_its_starter)
{
	meet_copy(_metadata, 04755, "setuid", as_alice, EPERM);
}

TEST_F(permission, set_uid_program_is_open_to_root)
{
	meet_copy(_metadata, 04755, "setuid", as_root, 0);
}

TEST_F(permission, set_uid_program_stays_closed_after_it_dropped_root)
{
	meet_copy(_metadata, 04755, "drop", as_alice, EPERM);
}

TEST_F(permission, program_that_its_user_may_not_read_is_closed_to_the_user)
{
	meet_copy(_metadata, 0711, "stay", as_alice, EPERM);
}

TEST_F(permission, program_that_its_user_may_not_read_is_open_to_root)
{
	meet_copy(_metadata, 0711, "stay", as_root, 0);
}

/* What a process becomes whose rights change: 0 undumpable, 2 readable by root. */
#define SUID_DUMPABLE	"/proc/sys/fs/suid_dumpable"

FIXTURE(suid_dumpable) {
	char before[8];
};

FIXTURE_SETUP(suid_dumpable)
{
	int fd = open(SUID_DUMPABLE, O_RDONLY | O_CLOEXEC);

	ASSERT_NE(3, scope()) {
		TH_LOG("ptrace_scope is 3 already: boot the guest again");
	}
	if (scope() > 0)
		ASSERT_EQ(0, set_scope(0));
	ASSERT_LT(0, read(fd, self->before, sizeof(self->before) - 1));
	close(fd);
	set_up(_metadata);
}

FIXTURE_TEARDOWN(suid_dumpable)
{
	must_write(SUID_DUMPABLE, self->before);
	remove_copy();
}

TEST_F(suid_dumpable, set_uid_program_that_dropped_root_is_open_to_its_starter_if_1)
{
	must_write(SUID_DUMPABLE, "1");
	meet_copy(_metadata, 04755, "drop", as_alice, 0);
}

TEST_F(suid_dumpable, set_uid_program_that_dropped_root_is_closed_to_its_starter_if_2)
{
	must_write(SUID_DUMPABLE, "2");
	meet_copy(_metadata, 04755, "drop", as_alice, EPERM);
}

TEST_F(suid_dumpable, set_uid_program_that_dropped_root_is_open_to_root_if_2)
{
	must_write(SUID_DUMPABLE, "2");
	meet_copy(_metadata, 04755, "drop", as_root, 0);
}

TEST_F(suid_dumpable, set_uid_program_is_closed_to_its_starter_if_1)
{
	must_write(SUID_DUMPABLE, "1");
	meet_copy(_metadata, 04755, "setuid", as_alice, EPERM);
}

/* --- What has no memory, or does not exist --- */

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

TEST_F(permission, kernel_thread_has_no_memory)
{
	ASSERT_TRUE(is_kernel_thread(2));
	meet_pid(_metadata, 2, as_root, ESRCH);
}

/* That there is nothing is found before the question who may see it. */
TEST_F(permission, kernel_thread_has_no_memory_for_a_user_either)
{
	ASSERT_TRUE(is_kernel_thread(2));
	meet_pid(_metadata, 2, as_alice, ESRCH);
}

TEST_F(permission, zombie_has_no_memory)
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

TEST_F(permission, thread_that_is_no_leader_can_be_named)
{
	meet(_metadata, as_alice_naming_a_thread, as_alice, 0);
}

TEST_F(permission, thread_that_is_no_leader_is_closed_to_others)
{
	meet(_metadata, as_alice_naming_a_thread, as_bob, EPERM);
}

TEST_F(permission, leader_that_left_its_threads_has_no_memory)
{
	meet(_metadata, as_alice_whose_leader_left, as_alice, ESRCH);
}

TEST_F(permission, thread_whose_leader_left_can_be_named)
{
	name_survivor = true;
	meet(_metadata, as_alice_whose_leader_left, as_alice, 0);
}

/* --- Oneself --- */

TEST_F(permission, everyone_may_name_itself)
{
	meet(_metadata, NULL, alice_naming_herself, 0);
}

TEST_F(permission, undumpable_process_may_name_itself)
{
	meet(_metadata, NULL, undumpable_bob_naming_itself, 0);
}

TEST_F(permission, thread_of_another_user_may_name_its_own_memory)
{
	meet(_metadata, NULL, thread_of_bob_naming_its_leader, 0);
}

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
 * Not as it should be but as it is, and documented: a filter that forbids the
 * system calls does not know the device. Here alone the doors differ.
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

/* --- Landlock: of a domain, no way leads out --- */

TEST_F(permission, process_in_a_landlock_domain_may_not_with_one_outside)
{
	meet(_metadata, as_alice, as_alice_in_a_landlock_domain, EPERM);
}

TEST_F(permission, process_in_a_landlock_domain_may_not_with_its_parent_outside)
{
	meet(_metadata, NULL, in_a_landlock_domain_naming_the_parent_outside, EPERM);
}

TEST_F(permission, root_in_a_landlock_domain_may_not_with_one_outside)
{
	meet(_metadata, as_alice, as_root_in_a_landlock_domain, EPERM);
}

TEST_F(permission, process_in_a_landlock_domain_may_not_with_one_in_another)
{
	meet(_metadata, as_alice_in_a_landlock_domain, as_alice_in_a_landlock_domain, EPERM);
}

TEST_F(permission, process_in_a_nested_landlock_domain_may_not_with_the_outer_one)
{
	meet(_metadata, NULL, in_a_nested_landlock_domain_naming_the_outer, EPERM);
}

TEST_F(permission, process_outside_may_with_one_in_a_landlock_domain)
{
	meet(_metadata, as_alice_in_a_landlock_domain, as_alice, 0);
}

TEST_F(permission, process_may_in_its_landlock_domain)
{
	meet(_metadata, NULL, in_a_landlock_domain_with_a_child, 0);
}

TEST_F(permission, process_in_a_landlock_domain_may_with_a_nested_one)
{
	meet(_metadata, NULL, in_a_landlock_domain_with_a_child_in_a_nested_one, 0);
}

TEST_F(permission, process_in_a_landlock_domain_may_name_itself)
{
	meet(_metadata, NULL, in_a_landlock_domain_naming_itself, 0);
}

/* Reads and writes through a file that was attached before its door was closed. */
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

/* As with any other file that is open; all doors to a new one are closed. */
TEST_F(permission, target_file_taken_into_a_landlock_domain_serves_on)
{
	meet(_metadata, as_alice, entering_a_landlock_domain_with_a_target_file, EPERM);
}

/* --- AppArmor --- */

/* The codes of what follows in a policy as the kernel takes it, version 5. */
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
 * A profile without a rule but @caps. One that says nothing of ptrace asks for
 * CAP_SYS_PTRACE, but of those under the same profile.
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

	fd = open("/sys/kernel/security/apparmor/.replace", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (write(fd, policy, at - policy) == at - policy)
		ret = 0;
	close(fd);
	return ret;
}

FIXTURE(apparmor) {
};

FIXTURE_SETUP(apparmor)
{
	if (access("/sys/kernel/security/apparmor/.replace", W_OK))
		SKIP(return, "not in this kernel: AppArmor");
	ASSERT_NE(3, scope()) {
		TH_LOG("ptrace_scope is 3 already: boot the guest again");
	}
	if (scope() > 0)
		ASSERT_EQ(0, set_scope(0));
	ASSERT_EQ(0, load_profile(NO_PTRACE, 0));
	ASSERT_EQ(0, load_profile(PTRACE, 1U << CAP_SYS_PTRACE));
	set_up(_metadata);
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

TEST_F(apparmor, process_under_a_profile_without_ptrace_may_not_with_another_profile)
{
	meet(_metadata, as_alice_under_a_profile_with_ptrace,
	     as_alice_under_a_profile_without_ptrace, EPERM);
}

TEST_F(apparmor, process_under_a_profile_with_ptrace_may)
{
	meet(_metadata, as_alice, as_alice_under_a_profile_with_ptrace, 0);
}

/* What the profile allows is no more than the kernel's other rules allow. */
TEST_F(apparmor, other_user_under_a_profile_with_ptrace_may_not)
{
	meet(_metadata, as_alice, as_bob_under_a_profile_with_ptrace, EPERM);
}

TEST_F(apparmor, process_may_under_its_own_profile)
{
	meet(_metadata, as_alice_under_a_profile_without_ptrace,
	     as_alice_under_a_profile_without_ptrace, 0);
}

TEST_F(apparmor, process_under_a_profile_may_name_itself)
{
	meet(_metadata, NULL, under_a_profile_naming_itself, 0);
}

/* --- Yama. Keep this fixture, and its variant scope_3, the last. --- */

FIXTURE(yama) {
};

/*
 * The errno for a caller of the same user that is the target's parent; a
 * stranger; a stranger whom the target allowed; one of all whom it allowed; a
 * stranger with CAP_SYS_PTRACE.
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
	if (variant->scope < 3) {
		ASSERT_NE(3, scope()) {
			TH_LOG("ptrace_scope is 3 already: boot the guest again");
		}
	}
	if (scope() != variant->scope)
		ASSERT_EQ(0, set_scope(variant->scope));
	ASSERT_EQ(variant->scope, scope());
	set_up(_metadata);
}

FIXTURE_TEARDOWN(yama)
{
}

TEST_F(yama, parent)
{
	meet(_metadata, NULL, alice_with_a_child, variant->parent);
}

TEST_F(yama, stranger_of_the_same_user)
{
	meet(_metadata, as_alice, as_alice, variant->stranger);
}

TEST_F(yama, stranger_whom_the_target_allowed)
{
	meet_in_order(_metadata, allowing_the_caller, as_alice, true,
		      variant->allowed);
}

TEST_F(yama, anyone_whom_the_target_allowed)
{
	meet(_metadata, allowing_anyone, as_alice, variant->anyone);
}

/* What Yama allows is no more than the kernel's other rules allow. */
TEST_F(yama, other_user_whom_the_target_allowed)
{
	meet(_metadata, allowing_anyone, as_bob, EPERM);
}

TEST_F(yama, root)
{
	meet(_metadata, as_alice, as_root, variant->root);
}

TEST_F(yama, oneself)
{
	meet(_metadata, NULL, alice_naming_herself, 0);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "--target"))
		return main_of_target(argv);
	return test_harness_run(argc, argv);
}
