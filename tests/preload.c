// SPDX-License-Identifier: GPL-2.0
/*
 * The preload shim: process_vm_readv(2) and process_vm_writev(2), called through the C
 * library or syscall(2), return what the kernel's own system calls return, whatever else
 * the program does.
 *
 * The program puts itself under LD_PRELOAD, so it must be linked dynamically. On a
 * kernel without the two system calls it compares only with known results.
 *
 * Environment: READONLY=1 when the module was loaded with readonly=1; SHIM=PATH is
 * the shim.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "process.h"

#define SHIM	"/lib/libpvmread-preload.so"

#define NEAR	0x50000000UL	/* the caller's side */
#define FAR	0x60000000UL	/* the target's side */
#define PAGES	3		/* pages of each side, the last one read-only; a hole follows */
#define END	(PAGES * PAGE)
#define WIDE	((unsigned long)UINT_MAX + 1)
#define NOBODY	65534
#define NO_PID	0x3ffffff
#define UNTOUCHED	4321	/* no errno */

static unsigned char *const near = (void *)NEAR;
static unsigned char *const far = (void *)FAR;
static bool readonly;

/* The C library's own syscall(), which bypasses the shim. */
static long (*kernel)(long number, ...);

/* Does this kernel have the two system calls? */
static bool has_syscalls(void)
{
	return !kernel(SYS_process_vm_readv, 0, NULL, 0, NULL, 0, 0);
}

static void refill(void)
{
	size_t i;

	for (i = 0; i < (PAGES - 1) * PAGE; i++) {
		near[i] = i % 241;
		far[i] = i % 251 + 1;
	}
}

static bool make_sides(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

	if (mmap(near, END, PROT_READ | PROT_WRITE, flags, -1, 0) != near ||
	    mmap(far, END, PROT_READ | PROT_WRITE, flags, -1, 0) != far)
		return false;
	refill();
	return !mprotect(near + END - PAGE, PAGE, PROT_READ) &&
	       !mprotect(far + END - PAGE, PAGE, PROT_READ);
}

/* --- the ways to call them --- */

enum way { WRAPPER, SYSCALL, SHIMS, KERNEL = SHIMS };

struct call {
	bool write;
	long pid;
	const struct iovec *local;
	unsigned long local_count;
	const struct iovec *remote;
	unsigned long remote_count;
	unsigned long flags;
};

static ssize_t make(enum way way, const struct call *c)
{
	const long number = c->write ? SYS_process_vm_writev : SYS_process_vm_readv;

	errno = UNTOUCHED;
	switch (way) {
	case WRAPPER:
		return (c->write ? process_vm_writev : process_vm_readv)
			(c->pid, c->local, c->local_count, c->remote, c->remote_count, c->flags);
	case SYSCALL:
		return syscall(number, c->pid, c->local, c->local_count,
			       c->remote, c->remote_count, c->flags);
	default:
		return kernel(number, c->pid, c->local, c->local_count,
			      c->remote, c->remote_count, c->flags);
	}
}

/* Read 100 bytes of @pid. */
static bool works(pid_t pid)
{
	struct iovec local = { near, 100 }, remote = { far + 7, 100 };
	bool right;

	memset(near, 0, 100);
	errno = UNTOUCHED;
	right = process_vm_readv(pid, &local, 1, &remote, 1, 0) == 100 && errno == UNTOUCHED &&
		!memcmp(near, far + 7, 100);
	memset(near, 0, 100);
	return right && syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0) == 100 &&
	       errno == UNTOUCHED && !memcmp(near, far + 7, 100);
}

/* The shim's descriptor of the device, or -1. */
static int device_fd(void)
{
	struct stat device, st;
	int fd;

	if (stat(PVMREAD_DEVICE, &device))
		return -1;
	for (fd = 0; fd < 2048; fd++)
		if (!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == device.st_rdev)
			return fd;
	return -1;
}

FIXTURE(preload) {
	pid_t me;
};

FIXTURE_SETUP(preload)
{
	self->me = getpid();
	ASSERT_TRUE(make_sides());
}

FIXTURE_TEARDOWN(preload)
{
}

/* --- what they answer --- */

#define LOCAL(...)	((struct iovec[]){ __VA_ARGS__ })
#define N(off, len)	{ (void *)(NEAR + (off)), len }
#define F(off, len)	{ (void *)(FAR + (off)), len }
#define BOTH		-1

TEST_F(preload, results_match_the_kernel)
{
	struct iovec *n = LOCAL(N(8, 100)), *f = LOCAL(F(PAGE + 3, 100));
	struct iovec *n2 = LOCAL(N(8, 3), N(0, 0), N(90, 97));
	struct iovec *f2 = LOCAL(F(PAGE - 10, 60), F(PAGE + 50, 40));
	struct iovec many[1025] = { { near, 1 } };
	const pid_t me = self->me;
	const struct {
		int write;	/* or BOTH */
		ssize_t ret;
		int error;
		struct call call;
	} rows[] = {
		{ BOTH, 100, 0, { 0, me, n, 1, f, 1, 0 } },
		{ BOTH, 100, 0, { 0, me, n2, 3, f2, 2, 0 } },
		{ BOTH, 100, 0, { 0, me, n, 1, LOCAL(F(0, 500)), 1, 0 } },
		{ BOTH, 30, 0, { 0, me, n, 1, LOCAL(F(5, 30)), 1, 0 } },
		/* Only the low half of the pid matters. */
		{ BOTH, 100, 0, { 0, WIDE | me, n, 1, f, 1, 0 } },
		/* Up to a hole, of either side */
		{ 0, 40, 0, { 0, me, n, 1, LOCAL(F(END - 40, 100)), 1, 0 } },
		{ 0, 10, 0, { 0, me, n, 1, LOCAL(F(9, 10), F(END, 1), F(20, 10)), 3, 0 } },
		{ 1, 40, 0, { 0, me, LOCAL(N(END - 40, 100)), 1, f, 1, 0 } },
		{ 0, 40, 0, { 0, me, LOCAL(N(END - PAGE - 40, 100)), 1, f, 1, 0 } },
		{ 1, 40, 0, { 0, me, n, 1, LOCAL(F(END - PAGE - 40, 100)), 1, 0 } },
		{ BOTH, -1, EFAULT, { 0, me, n, 1, LOCAL(F(END, 100)), 1, 0 } },
		{ BOTH, -1, EFAULT, { 0, me, LOCAL(N(END, 100)), 1, f, 1, 0 } },
		{ 0, -1, EFAULT, { 0, me, LOCAL(N(END - PAGE, 100)), 1, f, 1, 0 } },
		{ 1, -1, EFAULT, { 0, me, n, 1, LOCAL(F(END - PAGE, 100)), 1, 0 } },
		{ BOTH, -1, EFAULT, { 0, me, n, 1, LOCAL({ (void *)-PAGE, 8 }), 1, 0 } },
		{ BOTH, -1, EFAULT, { 0, me, LOCAL({ (void *)-PAGE, 8 }), 1, f, 1, 0 } },
		/* Moving nothing succeeds, even if the process does not exist. */
		{ BOTH, 0, 0, { 0, me, n, 0, f, 1, 0 } },
		{ BOTH, 0, 0, { 0, me, n, 1, f, 0, 0 } },
		{ BOTH, 0, 0, { 0, NO_PID, NULL, 0, NULL, 0, 0 } },
		{ BOTH, 0, 0, { 0, NO_PID, LOCAL(N(0, 0)), 1, f, 1, 0 } },
		{ BOTH, 0, 0, { 0, NO_PID, n, 1, LOCAL(F(0, 0)), 1, 0 } },
		/* Only the low half of the local count matters. */
		{ BOTH, 100, 0, { 0, me, n, WIDE | 1, f, 1, 0 } },
		{ BOTH, 0, 0, { 0, me, n, WIDE, f, 1, 0 } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, f, WIDE | 1, 0 } },
		{ BOTH, 1, 0, { 0, me, many, 1024, f, 1, 0 } },
		{ BOTH, 1, 0, { 0, me, n, 1, many, 1024, 0 } },
		{ BOTH, -1, EINVAL, { 0, me, many, 1025, f, 1, 0 } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, many, 1025, 0 } },
		{ BOTH, -1, EINVAL, { 0, me, LOCAL(N(8, SIZE_MAX)), 1, f, 1, 0 } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, LOCAL(F(8, SIZE_MAX)), 1, 0 } },
		{ BOTH, -1, EFAULT, { 0, me, NULL, 1, f, 1, 0 } },
		{ BOTH, -1, EFAULT, { 0, me, n, 1, NULL, 1, 0 } },
		{ BOTH, -1, ESRCH, { 0, NO_PID, n, 1, f, 1, 0 } },
		{ BOTH, -1, ESRCH, { 0, -1, n, 1, f, 1, 0 } },
		{ BOTH, -1, ESRCH, { 0, 0, n, 1, f, 1, 0 } },
		/* The flags are checked first. */
		{ BOTH, -1, EINVAL, { 0, NO_PID, NULL, 1, NULL, 1, 1UL << 2 } },
		{ BOTH, -1, EINVAL, { 0, me, n, 0, f, 0, 1UL << 3 } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, f, 1, 1UL << 31 } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, f, 1, WIDE } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, f, 1, WIDE | PVMREAD_NOWAIT } },
		{ BOTH, -1, EINVAL, { 0, me, n, 1, f, 1, ULONG_MAX } },
	};
	unsigned char *after = malloc(2 * END);
	int i, way, first;

	ASSERT_NE(NULL, after);
	/* Fill the array, because the kernel reads all of it. */
	for (i = 1; i < 1025; i++)
		many[i] = (struct iovec){ near, 0 };
	for (i = 0; i < 2 * (int)ARRAY_SIZE(rows); i++) {
		struct call call = rows[i / 2].call;
		ssize_t ret = rows[i / 2].ret;
		int error = rows[i / 2].error ?: UNTOUCHED;

		call.write = i % 2;
		if (rows[i / 2].write != BOTH && rows[i / 2].write != call.write)
			continue;
		if (call.write && readonly && !call.flags) {
			ret = -1;
			error = EPERM;
		}
		/* The first way sets the bytes that the other ways must match. */
		first = has_syscalls() && error != EPERM ? KERNEL : SYSCALL;
		for (way = first; way >= 0; way--) {
			refill();
			EXPECT_EQ(ret, make(way, &call))
				TH_LOG("row %d, write %d, way %d", i / 2, call.write, way);
			EXPECT_EQ(error, errno)
				TH_LOG("row %d, write %d, way %d", i / 2, call.write, way);
			if (way == first) {
				memcpy(after, near, END);
				memcpy(after + END, far, END);
				continue;
			}
			EXPECT_EQ(0, memcmp(after, near, END));
			EXPECT_EQ(0, memcmp(after + END, far, END));
		}
	}
}

TEST_F(preload, reads_and_writes)
{
	struct iovec local = { near + 1, 9 }, remote = { far + PAGE - 4, 9 };

	EXPECT_TRUE(works(self->me));
	if (readonly)
		SKIP(return, "the module was loaded with readonly=1");
	memset(near, 0xee, 100);
	EXPECT_EQ(9, process_vm_writev(self->me, &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, memcmp(near, far + PAGE - 4, 9));
	EXPECT_NE(0xee, far[PAGE - 5]);
	EXPECT_NE(0xee, far[PAGE + 5]);
	local.iov_base = near + PAGE;
	EXPECT_EQ(9, syscall(SYS_process_vm_writev, self->me, &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, memcmp(near + PAGE, far + PAGE - 4, 9));
}

TEST_F(preload, accepts_the_flags_of_the_module)
{
	struct iovec local = { near, 100 }, remote = { far, 100 };
	int pidfd = syscall(SYS_pidfd_open, self->me, 0), way;
	struct call call = { 0, pidfd, &local, 1, &remote, 1, 0 };

	ASSERT_GE(pidfd, 0);
	for (way = 0; way < SHIMS; way++) {
		memset(near, 0, 100);
		call.pid = pidfd;
		call.flags = PVMREAD_PIDFD;
		EXPECT_EQ(100, make(way, &call));
		EXPECT_EQ(UNTOUCHED, errno);
		EXPECT_EQ(0, memcmp(near, far, 100));
		call.flags = PVMREAD_PIDFD | PVMREAD_NOWAIT;
		EXPECT_EQ(100, make(way, &call));
		call.pid = 0;
		EXPECT_EQ(-1, make(way, &call));
		EXPECT_EQ(EBADF, errno);
		call.pid = self->me;
		call.flags = PVMREAD_NOWAIT;
		EXPECT_EQ(100, make(way, &call));
		call.flags = PVMREAD_RESIDENT;
		EXPECT_EQ(-1, make(way, &call));
		EXPECT_EQ(EINVAL, errno);
		call = (struct call){ 1, 0, &local, 1, &remote, 1, PVMREAD_PIDFD };
		EXPECT_EQ(-1, make(way, &call));
		EXPECT_EQ(readonly ? EPERM : EBADF, errno);
		call.write = false;
	}
}

/* From now on /dev has only @node, for this process only. */
static void replace_dev(struct __test_metadata *_metadata, mode_t node, dev_t dev)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("none", "/dev", "ramfs", 0, NULL));
	if (node) {
		ASSERT_EQ(0, mknod(PVMREAD_DEVICE, node, dev));
		ASSERT_EQ(0, chmod(PVMREAD_DEVICE, node & 07777));
	}
}

static void become_nobody(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
}

TEST_F(preload, no_access_is_eperm)
{
	struct iovec local = { near, 100 }, remote = { far, 100 };
	struct call call = { 0, getppid(), &local, 1, &remote, 1, 0 };
	int way;

	/* The shim opens the device while it has permission. */
	ASSERT_TRUE(works(self->me));
	become_nobody(_metadata);
	for (way = has_syscalls() ? KERNEL : SYSCALL; way >= 0; way--) {
		EXPECT_EQ(-1, make(way, &call));
		EXPECT_EQ(EPERM, errno);
	}
	EXPECT_GE(device_fd(), 0);
}

TEST_F(preload, write_through_a_read_only_node_is_eperm)
{
	struct iovec local = { near, 100 }, remote = { far, 100 };
	struct call call = { 1, self->me, &local, 1, &remote, 1, 0 };
	struct stat st;
	int way;

	ASSERT_EQ(0, stat(PVMREAD_DEVICE, &st));
	replace_dev(_metadata, S_IFCHR | 0644, st.st_rdev);
	become_nobody(_metadata);
	/* An undumpable process may still access itself. */
	EXPECT_TRUE(works(self->me));
	EXPECT_GE(device_fd(), 0);
	for (way = 0; way < SHIMS; way++) {
		EXPECT_EQ(-1, make(way, &call));
		EXPECT_EQ(EPERM, errno);
	}
	EXPECT_NE(near[50], far[50]);
}

/* --- what else the program may do --- */

TEST_F(preload, other_syscalls_pass_through)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), error;
	unsigned char page[PAGE];
	struct stat st;
	void *map;

	errno = UNTOUCHED;
	EXPECT_EQ(self->me, syscall(SYS_getpid));
	EXPECT_EQ(UNTOUCHED, errno);
	EXPECT_EQ(-1, kernel(-1L));
	error = errno;
	errno = 0;
	EXPECT_EQ(-1, syscall(-1L));
	EXPECT_EQ(error, errno);
	EXPECT_EQ(-1, syscall(SYS_close, -1));
	EXPECT_EQ(EBADF, errno);

	/* syscall(2) passes on all six arguments. */
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_GT(st.st_size, 2 * (off_t)PAGE);
	ASSERT_EQ(PAGE, pread(fd, page, PAGE, PAGE));
	map = (void *)syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, memcmp(page, map, PAGE));
}

TEST_F(preload, leaves_low_fd_numbers_to_the_program)
{
	int lowest = dup(0), fd;
	struct rlimit limit = { 40, 40 };

	close(lowest);
	ASSERT_TRUE(works(self->me));
	EXPECT_EQ(lowest, dup(0));
	fd = device_fd();
	EXPECT_GE(fd, 512);
	EXPECT_LT(fd, 1024);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	close(fd);

	/* Also with a low limit on descriptors */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_TRUE(works(self->me));
	EXPECT_EQ(lowest + 1, dup(0));
	fd = device_fd();
	EXPECT_GE(fd, 30);
	EXPECT_LT(fd, 40);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
}

TEST_F(preload, reopens_after_the_program_closes_all_fds)
{
	struct stat st, null;
	int fd, file;

	ASSERT_TRUE(works(self->me));
	fd = device_fd();
	closefrom(3);
	EXPECT_EQ(-1, device_fd());
	EXPECT_TRUE(works(self->me));
	EXPECT_EQ(fd, device_fd());

	/* The device's number now names a file of the program, which must stay open. */
	file = open("/dev/null", O_RDWR);
	ASSERT_GE(file, 0);
	ASSERT_EQ(0, fstat(file, &null));
	ASSERT_EQ(fd, dup2(file, fd));
	EXPECT_TRUE(works(self->me));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(null.st_rdev, st.st_rdev);
	EXPECT_NE(fd, device_fd());
	EXPECT_GT(device_fd(), 512);
	/* A file without ioctls */
	file = open("/", O_RDONLY | O_DIRECTORY);
	fd = device_fd();
	ASSERT_EQ(fd, dup2(file, fd));
	EXPECT_TRUE(works(self->me));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_TRUE(S_ISDIR(st.st_mode));
}

/* Make ioctl(@fd, PVMREAD_IOC_READV) end with @action; false if the kernel has no seccomp */
static bool filter_ioctl(int fd, unsigned int action)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, fd, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PVMREAD_IOC_READV, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* The filter stands for a driver that returns 0 for every ioctl. */
TEST_F(preload, ignores_success_of_another_file)
{
	int file = open("/dev/null", O_RDWR), fd;
	struct stat st, null;

	ASSERT_GE(file, 0);
	ASSERT_EQ(0, fstat(file, &null));
	ASSERT_TRUE(works(self->me));
	fd = device_fd();
	if (!filter_ioctl(fd, SECCOMP_RET_ERRNO | 0))
		SKIP(return, "not in this kernel: seccomp");
	/* The shim has just checked its descriptor, so the next call skips fstat(2). */
	process_vm_writev(self->me, NULL, 0, NULL, 0, 0);
	ASSERT_EQ(fd, dup2(file, fd));
	EXPECT_TRUE(works(self->me));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(null.st_rdev, st.st_rdev);
	EXPECT_NE(fd, device_fd());
}

TEST_F(preload, sends_no_ioctl_to_another_file)
{
	int file = open("/dev/null", O_RDWR), fd;

	ASSERT_GE(file, 0);
	ASSERT_TRUE(works(self->me));
	fd = device_fd();
	if (!filter_ioctl(fd, SECCOMP_RET_KILL_PROCESS))
		SKIP(return, "not in this kernel: seccomp");
	ASSERT_EQ(fd, dup2(file, fd));
	/* Wait a few ticks of the kernel's clock: the shim checks its descriptor once in each. */
	usleep(100000);
	EXPECT_TRUE(works(self->me));
	EXPECT_NE(fd, device_fd());
}

TEST_F(preload, returns_the_errno_of_seccomp)
{
	struct iovec local = { near, 100 }, remote = { far, 100 };

	ASSERT_TRUE(works(self->me));
	if (!filter_ioctl(device_fd(), SECCOMP_RET_ERRNO | EDOM))
		SKIP(return, "not in this kernel: seccomp");
	EXPECT_EQ(-1, process_vm_readv(self->me, &local, 1, &remote, 1, 0));
	EXPECT_EQ(EDOM, errno);
}

TEST_F(preload, works_after_fork)
{
	const struct rlimit none = { 0, 0 };
	int status, i;
	pid_t pid;

	/* A child without a descriptor of the device, and one with the parent's */
	for (i = 0; i < 2; i++) {
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			/* The child's own bytes would differ. */
			memset(far, 0, PAGE);
			if (works(getppid()))
				_exit(1);
			refill();
			_exit(!works(getppid()) || !works(getpid()));
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_TRUE(works(self->me));
	}
	pid = vfork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		closefrom(3);
		_exit(!works(getpid()));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(works(self->me));

	/* After a failed open(2) in a child of vfork(), the parent still tries. */
	close(device_fd());
	pid = vfork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		setrlimit(RLIMIT_NOFILE, &none);
		works(getpid());
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(works(self->me));
	EXPECT_GE(device_fd(), 512);
}

static atomic_bool stop;
static atomic_int wrong;

/* Read into a buffer on this thread's stack. */
static void read_once(size_t from)
{
	unsigned char buf[500] = "";
	struct iovec local = { buf, sizeof(buf) }, remote = { far + from, sizeof(buf) };

	errno = UNTOUCHED;
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != sizeof(buf) ||
	    errno != UNTOUCHED || memcmp(buf, remote.iov_base, sizeof(buf)))
		wrong++;
}

static void *reader(void *from)
{
	int i;

	for (i = 0; i < 1000; i++)
		read_once((size_t)from);
	return NULL;
}

/* Close the shim's descriptor again and again, mostly by its usual number. */
static void *closer(void *unused)
{
	int number = device_fd(), fd;

	while (!stop) {
		for (fd = 0; fd < 1000; fd++) {
			close(number);
			sched_yield();
		}
		for (fd = 512; fd < 1024; fd++)
			close(fd);
	}
	return unused;
}

TEST_F(preload, is_thread_safe)
{
	pthread_t readers[4], other;
	size_t i;
	int round;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_create(&readers[i], NULL, reader, (void *)(i * 99)));
		if (round)
			ASSERT_EQ(0, pthread_create(&other, NULL, closer, NULL));
		for (i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_join(readers[i], NULL));
		if (!round)
			continue;
		stop = true;
		ASSERT_EQ(0, pthread_join(other, NULL));
	}
	EXPECT_EQ(0, atomic_load(&wrong));
	EXPECT_TRUE(works(self->me));
	/* A thread that lost the race to open the device has closed its own descriptor. */
	close(device_fd());
	EXPECT_EQ(-1, device_fd());
}

static atomic_int handled;

static void on_alarm(int signal)
{
	int saved = errno;

	read_once(signal);
	closefrom(512);
	handled++;
	errno = saved;
}

TEST_F(preload, is_signal_safe)
{
	struct itimerval soon = { .it_value = { 0, 100 } };
	int armed = -1;

	signal(SIGALRM, on_alarm);
	while (handled < 100) {
		/* Arm the timer only once per signal: a slow guest may get no further otherwise. */
		if (armed < handled) {
			armed = handled;
			ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
		}
		wrong += !works(self->me);
	}
	EXPECT_EQ(0, atomic_load(&wrong));
}

static void *cancelled(void *done)
{
	pthread_cancel(pthread_self());
	read_once(0);
	*(bool *)done = true;
	pthread_testcancel();
	*(bool *)done = false;
	return NULL;
}

TEST_F(preload, is_no_cancellation_point)
{
	pthread_t thread;
	bool done = false;
	void *result;
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-1, device_fd());
		ASSERT_EQ(0, pthread_create(&thread, NULL, cancelled, &done));
		ASSERT_EQ(0, pthread_join(thread, &result));
		EXPECT_TRUE(done);
		EXPECT_EQ(PTHREAD_CANCELED, result);
		close(device_fd());
		/* Again without the device: the shim then prints a line on stderr. */
		if (!i)
			replace_dev(_metadata, 0, 0);
	}
	EXPECT_EQ(has_syscalls() ? 0 : 1, atomic_load(&wrong));
}

/* Make the two system calls fail with EDOM; false if the kernel has no seccomp */
static bool forbid_syscalls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST_F(preload, needs_no_process_vm_readv)
{
	struct iovec local = { near, 100 }, remote = { far, 100 };
	struct call call = { 0, self->me, &local, 1, &remote, 1, 0 };

	if (!forbid_syscalls())
		SKIP(return, "not in this kernel: seccomp");
	EXPECT_EQ(-1, make(KERNEL, &call));
	EXPECT_EQ(EDOM, errno);
	EXPECT_TRUE(works(self->me));
}

/* --- its messages --- */

/* Run if the program has an argument: three reads, two writes. */
static void some_calls(void)
{
	struct iovec local = { near, 100 }, remote = { far, 100 }, hole = { far + END, 1 };

	process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0);
	process_vm_readv(getpid(), &local, 1, &hole, 1, 0);
	local.iov_len = 30;
	process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	process_vm_writev(getpid(), &hole, 1, &remote, 1, 0);
}

/* Read an untouched page, then one that never arrives; an alarm ends that after a second. */
static int read_hostile(void)
{
	unsigned char *fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec local = { near, 100 }, remote = { fresh, 100 };
	ssize_t ret;

	ret = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	printf("fresh: %s\n", ret < 0 ? strerrorname_np(errno) : "read");
	remote.iov_base = map_unserved(PAGE);
	if (!remote.iov_base) {
		printf("no userfaultfd\n");
		return 3;
	}
	fflush(stdout);
	alarm(1);
	ret = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	printf("unserved: %s\n", ret < 0 ? strerrorname_np(errno) : "read");
	return 3;
}

static int child_main(const char *how)
{
	pid_t pid = 1;

	if (!make_sides())
		return 99;
	if (!strcmp(how, "nothing"))
		return 3;
	if (!strcmp(how, "hostile"))
		return read_hostile();
	some_calls();
	if (!strcmp(how, "exit"))
		exit(3);
	if (!strcmp(how, "_exit"))
		_exit(3);
	if (!strcmp(how, "_Exit"))
		((void (*)(int))dlsym(RTLD_DEFAULT, how))(3);
	if (!strcmp(how, "quick_exit"))
		quick_exit(3);
	if (!strcmp(how, "exit_group"))
		syscall(SYS_exit_group, 3);
	if (!strcmp(how, "fclose"))
		fclose(stderr);
	if (!strcmp(how, "closefrom"))
		closefrom(3);
	if (!strcmp(how, "data")) {
		/* Descriptor 2 is now a data file of the program. */
		closefrom(2);
		if (open("/tmp/preload-data", O_CREAT | O_RDWR | O_TRUNC, 0600) != 2)
			return 99;
	}
	if (!strcmp(how, "fork"))
		pid = fork();
	if (!strcmp(how, "clone"))
		pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!strcmp(how, "vfork")) {
		pid = vfork();
		if (!pid) {
			some_calls();
			_exit(0);
		}
	}
	if (!pid) {
		some_calls();
		some_calls();
		exit(0);
	}
	if (pid > 1)
		waitpid(pid, NULL, 0);
	return 3;
}

/**
 * struct run - a run of the program
 * @pid: its pid
 * @status: its exit status, from wait(2)
 * @out: what it wrote to stdout
 * @err: and to stderr
 */
struct run {
	pid_t pid;
	int status;
	char out[4096];
	char err[4096];
};

/* Run the program; with @err_closed its stderr is a pipe without a reader. */
static void run(struct __test_metadata *_metadata, struct run *run, const char *how,
		const char *trace, bool err_closed)
{
	size_t len = 0;
	int err[2], out[2];
	ssize_t n;

	memset(run, 0, sizeof(*run));
	ASSERT_EQ(0, pipe(err));
	ASSERT_EQ(0, pipe(out));
	run->pid = fork();
	ASSERT_GE(run->pid, 0);
	if (!run->pid) {
		dup2(out[1], 1);
		dup2(err[1], 2);
		closefrom(3);
		setenv("PVMREAD_TRACE", trace, 1);
		execl("/proc/self/exe", "preload", how, NULL);
		kernel(SYS_exit_group, 98);
	}
	close(out[1]);
	close(err[1]);
	if (err_closed)
		close(err[0]);
	while (!err_closed && (n = read(err[0], run->err + len, sizeof(run->err) - 1 - len)) > 0)
		len += n;
	n = read(out[0], run->out, sizeof(run->out) - 1);
	ASSERT_EQ(run->pid, waitpid(run->pid, &run->status, 0));
	close(out[0]);
	close(err[0]);
}

/* Expect that @run reports @times some_calls() by @pid, through the device or the kernel. */
static void expect_report(struct __test_metadata *_metadata, const struct run *run, pid_t pid,
			  int times, bool device)
{
	const int writes = readonly && device ? 0 : times;
	char counts[4][64], text[1024];
	const char *const none = "0 calls, 0 failed, 0 bytes";

	snprintf(counts[0], sizeof(counts[0]), "%d calls, %d failed, %d bytes",
		 3 * times, times, 200 * times);
	snprintf(counts[1], sizeof(counts[1]), "%d calls, %d failed, %d bytes",
		 2 * times, 2 * times - writes, 30 * writes);
	snprintf(text, sizeof(text),
		 "pvmread-preload: pid %d: process_vm_readv: device: %s; kernel: %s\n"
		 "pvmread-preload: pid %d: process_vm_writev: device: %s; kernel: %s\n",
		 pid, device ? counts[0] : none, device ? none : counts[0],
		 pid, device ? counts[1] : none, device ? none : counts[1]);
	EXPECT_NE(NULL, strstr(run->err, text)) {
		TH_LOG("missing: %s", text);
		TH_LOG("stderr: %s", run->err);
	}
}

static int lines(const char *text)
{
	int count = 0;

	while ((text = strchr(text, '\n'))) {
		count++;
		text++;
	}
	return count;
}

TEST_F(preload, counts_calls)
{
	static const char *const ways[] = {
		"exit", "_exit", "_Exit", "quick_exit", "exit_group", "return", "fclose",
		"closefrom",
	};
	struct run r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		run(_metadata, &r, ways[i], "1", false);
		EXPECT_EQ(3, WEXITSTATUS(r.status));
		expect_report(_metadata, &r, r.pid, 1, true);
		EXPECT_EQ(2, lines(r.err)) {
			TH_LOG("by %s: %s", ways[i], r.err);
		}
		EXPECT_STREQ("", r.out);
	}
	run(_metadata, &r, "nothing", "1", false);
	EXPECT_EQ(3, WEXITSTATUS(r.status));
	EXPECT_STREQ("", r.err);

	/* PVMREAD_TRACE requests no report. */
	run(_metadata, &r, "exit", "", false);
	EXPECT_STREQ("", r.err);
	run(_metadata, &r, "exit", "0", false);
	EXPECT_STREQ("", r.err);
	EXPECT_EQ(3, WEXITSTATUS(r.status));
}

TEST_F(preload, counts_per_process)
{
	static const char *const ways[] = { "fork", "clone" };
	struct run r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		const char *second;

		run(_metadata, &r, ways[i], "1", false);
		EXPECT_EQ(4, lines(r.err));
		expect_report(_metadata, &r, r.pid, 1, true);
		/* The child's report is first, with its own pid and calls. */
		second = strstr(r.err, "pid ");
		ASSERT_NE(NULL, second);
		EXPECT_NE(r.pid, atoi(second + 4));
		expect_report(_metadata, &r, atoi(second + 4), 2, true);
	}
	/* The calls of a vfork() child count for the owner of the memory. */
	run(_metadata, &r, "vfork", "1", false);
	EXPECT_EQ(2, lines(r.err));
	expect_report(_metadata, &r, r.pid, 2, true);
}

TEST_F(preload, env_adds_flags)
{
	static const struct {
		const char *flags;
		const char *out;
		bool hangs;
	} rows[] = {
		{ NULL, "fresh: read\n", true },
		{ "", "fresh: read\n", true },
		{ ",", "fresh: read\n", true },
		{ "nowait", "fresh: read\nunserved: EFAULT\n", false },
		{ "resident", "fresh: EFAULT\nunserved: EFAULT\n", false },
		{ "nowait,resident", "fresh: EFAULT\nunserved: EFAULT\n", false },
		{ "resident,nowait,", "fresh: EFAULT\nunserved: EFAULT\n", false },
	};
	struct run r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].flags)
			setenv("PVMREAD_FLAGS", rows[i].flags, 1);
		run(_metadata, &r, "hostile", "0", false);
		if (strstr(r.out, "no userfaultfd"))
			SKIP(return, "not in this kernel: userfaultfd");
		EXPECT_STREQ(rows[i].out, r.out);
		EXPECT_STREQ("", r.err);
		/* If it hangs, its alarm kills it. */
		EXPECT_EQ(rows[i].hangs, WIFSIGNALED(r.status)) {
			TH_LOG("PVMREAD_FLAGS=%s", rows[i].flags ?: "(unset)");
		}
	}
}

TEST_F(preload, reports_an_unknown_flag)
{
	/* One unknown word makes the shim ignore the whole list. */
	static const char *const flags[] = {
		"now", "nowait2", "NOWAIT", "resident, nowait", "resident,x", "2",
	};
	struct run r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *word = strrchr(flags[i], ',');
		char quoted[40];

		setenv("PVMREAD_FLAGS", flags[i], 1);
		run(_metadata, &r, "hostile", "0", false);
		EXPECT_EQ(0, strncmp(r.out, "fresh: read\n", 12));
		EXPECT_EQ(1, lines(r.err));
		EXPECT_NE(NULL, strstr(r.err, "PVMREAD_FLAGS"));
		snprintf(quoted, sizeof(quoted), "'%s'", word ? word + 1 : flags[i]);
		EXPECT_NE(NULL, strstr(r.err, quoted)) {
			TH_LOG("%s is not in: %s", quoted, r.err);
		}
	}
	/* A child does not complain again. A process that makes no call does not complain. */
	run(_metadata, &r, "fork", "0", false);
	EXPECT_EQ(1, lines(r.err));
	run(_metadata, &r, "nothing", "0", false);
	EXPECT_STREQ("", r.err);
}

TEST_F(preload, does_not_write_to_program_files)
{
	struct stat st;
	struct run r;

	run(_metadata, &r, "data", "1", false);
	EXPECT_EQ(3, WEXITSTATUS(r.status));
	ASSERT_EQ(0, stat("/tmp/preload-data", &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_STREQ("", r.err);
	unlink("/tmp/preload-data");

	/* The shim does not kill the program if its stderr has no reader. */
	run(_metadata, &r, "exit", "1", true);
	EXPECT_TRUE(WIFEXITED(r.status));
	EXPECT_EQ(3, WEXITSTATUS(r.status));
}

TEST_F(preload, reports_a_missing_device)
{
	struct iovec local = { near, 100 }, remote = { far, 100 };
	struct call call = { 0, self->me, &local, 1, &remote, 1, 0 };
	bool has = has_syscalls();
	int way, error;
	struct run r;
	ssize_t ret;

	replace_dev(_metadata, S_IFREG | 0600, 0);
	ret = make(KERNEL, &call);
	error = errno;
	EXPECT_EQ(has ? 100 : -1, ret);
	for (way = 0; way < SHIMS; way++) {
		EXPECT_EQ(ret, make(way, &call));
		EXPECT_EQ(error, errno);
	}
	run(_metadata, &r, "exit", "0", false);
	EXPECT_EQ(3, WEXITSTATUS(r.status));
	EXPECT_EQ(1, lines(r.err));
	EXPECT_NE(NULL, strstr(r.err, "modprobe pvmread"));
	EXPECT_EQ(NULL, strstr(r.err, "PVMREAD_FLAGS"));
	setenv("PVMREAD_FLAGS", "nowait", 1);
	run(_metadata, &r, "exit", "0", false);
	EXPECT_EQ(1, lines(r.err));
	EXPECT_NE(NULL, strstr(r.err, "without PVMREAD_FLAGS"));
	unsetenv("PVMREAD_FLAGS");
	/* The child also prints the line once. */
	run(_metadata, &r, "fork", "0", false);
	EXPECT_EQ(2, lines(r.err));
	run(_metadata, &r, "nothing", "0", false);
	EXPECT_STREQ("", r.err);
	run(_metadata, &r, "exit", "1", false);
	EXPECT_EQ(3, lines(r.err));
	if (has)
		expect_report(_metadata, &r, r.pid, 1, false);
	ASSERT_EQ(0, unlink(PVMREAD_DEVICE));
	run(_metadata, &r, "exit", "0", true);
	EXPECT_EQ(3, WEXITSTATUS(r.status));

	if (!forbid_syscalls())
		SKIP(return, "not in this kernel: seccomp");
	for (way = 0; way < SHIMS; way++) {
		EXPECT_EQ(-1, make(way, &call));
		EXPECT_EQ(EDOM, errno);
	}
}

TEST_F(preload, finds_a_device_created_later)
{
	long begin = now_ms();
	struct stat st;
	pid_t pid;
	int fd;

	ASSERT_EQ(0, stat(PVMREAD_DEVICE, &st));
	replace_dev(_metadata, 0, 0);
	EXPECT_EQ(has_syscalls(), works(self->me));
	EXPECT_EQ(-1, device_fd());
	ASSERT_EQ(0, mknod(PVMREAD_DEVICE, S_IFCHR | 0600, st.st_rdev));
	if (has_syscalls()) {
		/* The parent waits a second before it tries again. A child tries at once. */
		EXPECT_TRUE(works(self->me));
		fd = device_fd();
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid)
			_exit(!works(getpid()) || device_fd() < 512);
		if (now_ms() < begin + 1000)
			EXPECT_EQ(-1, fd);
		EXPECT_EQ(0, reap(pid, PATIENCE_MS));
		usleep(1100000);
	}
	EXPECT_TRUE(works(self->me));
	EXPECT_GE(device_fd(), 512);
}

/* Run the program under the shim, and check that the shim is loaded. */
static int under_shim(char **argv)
{
	const char *shim = getenv("SHIM") ?: SHIM;
	void *libc;

	if (!getenv("LD_PRELOAD")) {
		setenv("LD_PRELOAD", shim, 1);
		execv("/proc/self/exe", argv);
		return -1;
	}
	libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	if (!libc)
		return -1;
	kernel = (long (*)(long, ...))dlsym(libc, "syscall");
	return kernel && kernel != syscall ? 0 : -1;
}

int harness_main(int argc, char **argv);

int main(int argc, char **argv)
{
	if (under_shim(argv)) {
		printf("Bail out! the shim is not loaded: link dynamically, or set SHIM\n");
		return 1;
	}
	readonly = !!getenv("READONLY");
	if (argc == 2 && *argv[1] != '-')
		return child_main(argv[1]);
	return harness_main(argc, argv);
}

#define main	harness_main
TEST_HARNESS_MAIN
