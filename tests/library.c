// SPDX-License-Identifier: GPL-2.0
/*
 * libpvmread: what libpvmread.h promises, function by function. abi.c, target.c and
 * batch.c test the module.
 *
 * The tester is its own target, unless the target has to exit: two ranges of its memory
 * are the two sides.
 *
 * Environment: READONLY=1 when the module was loaded with readonly=1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "chunks.h"
#include "pvmread_test.h"

/*
 * The library, with a kernel that seems to move at most this many bytes in one call.
 * The real one moves 2 GiB, more than a guest has.
 */
static size_t most_bytes = SIZE_MAX;
static int calls;

static size_t cut(size_t len)
{
	calls++;
	return len < most_bytes ? len : most_bytes;
}

static ssize_t cut_pread(int fd, void *buf, size_t len, off_t pos)
{
	return pread(fd, buf, cut(len), pos);
}

static ssize_t cut_pwrite(int fd, const void *buf, size_t len, off_t pos)
{
	return pwrite(fd, buf, cut(len), pos);
}

static int cut_ioctl(int fd, unsigned long cmd, void *arg)
{
	if (cmd == PVMREAD_IOC_BATCH && most_bytes != SIZE_MAX) {
		struct pvmread_segment *segs =
			(void *)(uintptr_t)((struct pvmread_batch *)arg)->segments;

		segs->length = cut(segs->length);
	}
	return ioctl(fd, cmd, arg);
}

/* If not 0, refused_open() fails with this errno. */
static int open_error;

static int refused_open(const char *path, int flags)
{
	if (!open_error)
		return open(path, flags);
	errno = open_error;
	return -1;
}

#define open	refused_open
#define pread	cut_pread
#define pwrite	cut_pwrite
#define ioctl	cut_ioctl
#include "../tools/lib/libpvmread.c"
#undef open
#undef pread
#undef pwrite
#undef ioctl

/* The kernel places no mapping here by itself, so a hole stays a hole. */
#define NEAR	0x50000000UL	/* the caller's side */
#define FAR	0x60000000UL	/* the target's side */
#define PAGES	4		/* pages of each side; a hole follows them */
#define END	(FAR + PAGES * PAGE)
#define NOBODY	65534
#define NO_PID	0x3ffffff

static unsigned char pattern(size_t i)
{
	return i % 251 + 1;
}

static unsigned char *const near = (void *)NEAR;
static unsigned char *const far = (void *)FAR;

FIXTURE(library) {
	int dev;
	int target;	/* a target file of this process, writable unless writes are disabled */
	bool readonly;
};

FIXTURE_SETUP(library)
{
	size_t i;

	most_bytes = SIZE_MAX;
	open_error = 0;
	self->readonly = !!getenv("READONLY");
	ASSERT_EQ(near, mmap(near, PAGES * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	ASSERT_EQ(far, mmap(far, PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	for (i = 0; i < PAGES * PAGE; i++)
		far[i] = pattern(i);
	self->dev = pvmread_open(O_RDWR);
	ASSERT_GE(self->dev, 0);
	self->target = pvmread_attach(self->dev, getpid(),
				      self->readonly ? 0 : PVMREAD_WRITE, 0, 0);
	ASSERT_GE(self->target, 0);
}

FIXTURE_TEARDOWN(library)
{
	close(self->target);
	close(self->dev);
}

/* Are the @len bytes at @at those of the far side at @from? */
static bool holds(const unsigned char *at, uintptr_t from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (at[i] != pattern(from - FAR + i))
			return false;
	return true;
}

/* Is there nothing but zeros at the near side from @at on? */
static bool blank(const unsigned char *at)
{
	for (; at < near + PAGES * PAGE; at++)
		if (*at)
			return false;
	return true;
}

#define EXPECT_ERROR(error, call)	do {	\
	errno = 0;				\
	EXPECT_EQ(-1, call);			\
	EXPECT_EQ(error, errno);		\
} while (0)

/* A process with the same memory, until it is killed. */
static pid_t spawn(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(60);
	pause();
	_exit(0);
}

static void end_of(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- open, info --- */

TEST_F(library, opens_the_device)
{
	static const int modes[] = { O_RDONLY, O_RDWR };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		int fd = pvmread_open(modes[i]);

		ASSERT_GE(fd, 0);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		EXPECT_EQ(modes[i], fcntl(fd, F_GETFL) & O_ACCMODE);
		close(fd);
	}
}

TEST_F(library, open_refuses_other_flags)
{
	static const int flags[] = {
		O_WRONLY, O_ACCMODE, O_RDWR | O_CLOEXEC, O_CREAT | O_RDWR, O_TRUNC, O_PATH, -1,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++)
		EXPECT_ERROR(EINVAL, pvmread_open(flags[i]));
}

/* From now on /dev is empty, only for this process. */
static void empty_dev(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("none", "/dev", "ramfs", 0, NULL));
}

TEST_F(library, open_is_enodev_if_no_device)
{
	/* The last two have no driver. */
	const struct {
		mode_t type;
		dev_t dev;
	} rows[] = {
		{ S_IFREG, 0 }, { S_IFIFO, 0 }, { S_IFSOCK, 0 }, { S_IFCHR, makedev(1, 3) },
		{ S_IFCHR, makedev(240, 77) }, { S_IFBLK, makedev(240, 77) },
	};
	int lowest = dup(0);
	size_t i;

	close(lowest);
	empty_dev(_metadata);
	EXPECT_ERROR(ENODEV, pvmread_open(O_RDONLY));
	EXPECT_ERROR(ENODEV, pvmread_open(O_RDWR));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ASSERT_EQ(0, mknod(PVMREAD_DEVICE, rows[i].type | 0600, rows[i].dev));
		alarm(60);
		EXPECT_ERROR(ENODEV, pvmread_open(O_RDONLY));
		EXPECT_ERROR(ENODEV, pvmread_open(O_RDWR));
		ASSERT_EQ(0, unlink(PVMREAD_DEVICE));
	}
	ASSERT_EQ(0, mkdir(PVMREAD_DEVICE, 0700));
	EXPECT_ERROR(ENODEV, pvmread_open(O_RDONLY));
	EXPECT_ERROR(ENODEV, pvmread_open(O_RDWR));

	/* Other errors are returned as they are, */
	ASSERT_EQ(0, rmdir(PVMREAD_DEVICE));
	ASSERT_EQ(0, symlink(PVMREAD_DEVICE, PVMREAD_DEVICE));
	EXPECT_ERROR(ELOOP, pvmread_open(O_RDONLY));
	/* and no file was left open. */
	EXPECT_EQ(lowest, dup(0));
}

TEST_F(library, open_and_attach_return_emfile)
{
	struct rlimit limit = { self->target + 1, self->target + 1 };

	while (dup(0) <= self->target)
		;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_ERROR(EMFILE, pvmread_open(O_RDONLY));
	EXPECT_ERROR(EMFILE, pvmread_attach(self->dev, getpid(), 0, 0, 0));
}

TEST_F(library, open_by_nobody_is_eacces)
{
	ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	EXPECT_ERROR(EACCES, pvmread_open(O_RDONLY));
	EXPECT_ERROR(EACCES, pvmread_open(O_RDWR));
}

/* open(2) fails with EPERM in a container whose device cgroup does not allow the device. */
TEST_F(library, open_refused_by_a_device_cgroup_is_eacces)
{
	open_error = EPERM;
	EXPECT_ERROR(EACCES, pvmread_open(O_RDONLY));
	EXPECT_ERROR(EACCES, pvmread_open(O_RDWR));
}

TEST_F(library, read_only_device_node_allows_only_reads)
{
	struct iovec local = { near, 8 }, remote = { far, 8 };
	struct stat st;
	int dev;

	ASSERT_EQ(0, stat(PVMREAD_DEVICE, &st));
	empty_dev(_metadata);
	ASSERT_EQ(0, mknod(PVMREAD_DEVICE, S_IFCHR | 0600, st.st_rdev));
	ASSERT_EQ(0, chmod(PVMREAD_DEVICE, 0644));
	ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	EXPECT_ERROR(EACCES, pvmread_open(O_RDWR));
	dev = pvmread_open(O_RDONLY);
	ASSERT_GE(dev, 0);
	EXPECT_EQ(8, pvmread_readv(dev, getpid(), &local, 1, &remote, 1, 0));
	EXPECT_TRUE(holds(near, FAR, 8));
	near[0] = 0;
	EXPECT_ERROR(EBADF, pvmread_writev(dev, getpid(), &local, 1, &remote, 1, 0));
	EXPECT_ERROR(EBADF, pvmread_attach(dev, getpid(), PVMREAD_WRITE, 0, 0));
	EXPECT_TRUE(holds(far, FAR, 8));
}

TEST_F(library, get_info_returns_the_limits)
{
	struct pvmread_info info;
	int fd;

	memset(&info, 0xa5, sizeof(info));
	ASSERT_EQ(0, pvmread_get_info(self->dev, &info));
	EXPECT_EQ(sizeof(info), info.size);
	EXPECT_EQ(PVMREAD_ABI_VERSION, info.version);
	EXPECT_EQ(1024, info.max_segments);
	EXPECT_EQ(65536, info.max_batch);
	EXPECT_EQ(0x7fffffffUL & ~(PAGE - 1), info.max_bytes);
	EXPECT_EQ(self->readonly, !!(info.features & PVMREAD_FEATURE_READONLY));
	EXPECT_TRUE(info.features & PVMREAD_FEATURE_BATCH);

	EXPECT_ERROR(EBADF, pvmread_get_info(-1, &info));
	EXPECT_ERROR(ENODEV, pvmread_get_info(self->target, &info));
	fd = open("/dev/null", O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_ERROR(ENODEV, pvmread_get_info(fd, &info));
}

/* --- readv, writev --- */

TEST_F(library, reads_vectors)
{
	struct iovec local[] = { { near, 3 }, { near + 3, 97 } };
	struct iovec remote[] = { { far + PAGE - 10, 60 }, { far + PAGE + 50, 40 } };
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);

	EXPECT_EQ(100, pvmread_readv(self->dev, getpid(), local, 2, remote, 2, 0));
	EXPECT_TRUE(holds(near, FAR + PAGE - 10, 100));
	EXPECT_TRUE(blank(near + 100));

	memset(near, 0, 100);
	ASSERT_GE(pidfd, 0);
	EXPECT_EQ(100, pvmread_readv(self->dev, pidfd, local, 2, remote, 2,
				     PVMREAD_PIDFD | PVMREAD_NOWAIT | PVMREAD_RESIDENT));
	EXPECT_TRUE(holds(near, FAR + PAGE - 10, 100));

	/* Up to the hole */
	remote[1].iov_base = far + PAGES * PAGE - 7;
	EXPECT_EQ(67, pvmread_readv(self->dev, getpid(), local, 2, remote, 2, 0));
	EXPECT_EQ(0, pvmread_readv(self->dev, getpid(), local, 0, remote, 2, 0));
	EXPECT_EQ(0, pvmread_readv(self->dev, getpid(), local, 2, remote, 0, 0));
}

TEST_F(library, writes_vectors)
{
	struct iovec local[] = { { near, 3 }, { near + 3, 97 } };
	struct iovec remote[] = { { far + PAGE - 10, 60 }, { far + PAGE + 50, 40 } };

	if (self->readonly)
		SKIP(return, "the module was loaded with readonly=1");
	memset(near, 0xee, 100);
	EXPECT_EQ(100, pvmread_writev(self->dev, getpid(), local, 2, remote, 2, 0));
	EXPECT_TRUE(holds(far, FAR, PAGE - 10));
	EXPECT_EQ(0, memcmp(near, far + PAGE - 10, 100));
	EXPECT_TRUE(holds(far + PAGE + 90, FAR + PAGE + 90, PAGE));
}

TEST_F(library, bad_vectors_return_an_errno)
{
	/* The highest bit, which truncation to 32 bits would lose on 64-bit machines. */
	const unsigned long wide = ~(~0UL >> 1);
	struct iovec local = { near, 8 }, remote = { far, 8 }, hole = { (void *)END, 8 };
	struct iovec negative = { far, SIZE_MAX };
	const pid_t me = getpid();
	const int dev = self->dev;

	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, 1, &remote, 1, wide));
	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, 1, &remote, 1, wide | PVMREAD_NOWAIT));
	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, 1, &remote, 1, PVMREAD_WRITE));
	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, 1025, &remote, 1, 0));
	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, wide | 1, &remote, 1, 0));
	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, 1, &remote, wide | 1, 0));
	EXPECT_ERROR(EINVAL, pvmread_readv(dev, me, &local, 1, &negative, 1, 0));
	EXPECT_ERROR(EFAULT, pvmread_readv(dev, me, NULL, 1, &remote, 1, 0));
	EXPECT_ERROR(EFAULT, pvmread_readv(dev, me, &local, 1, NULL, 1, 0));
	EXPECT_ERROR(EFAULT, pvmread_readv(dev, me, &local, 1, &hole, 1, 0));
	EXPECT_ERROR(EFAULT, pvmread_readv(dev, me, &hole, 1, &remote, 1, 0));
	EXPECT_ERROR(ESRCH, pvmread_readv(dev, NO_PID, &local, 1, &remote, 1, 0));
	EXPECT_ERROR(ESRCH, pvmread_readv(dev, -1, &local, 1, &remote, 1, 0));
	EXPECT_ERROR(EBADF, pvmread_readv(dev, dev, &local, 1, &remote, 1, PVMREAD_PIDFD));
	EXPECT_ERROR(EBADF, pvmread_readv(-1, me, &local, 1, &remote, 1, 0));
	EXPECT_ERROR(ENOTTY, pvmread_readv(self->target, me, &local, 1, &remote, 1, 0));
	if (self->readonly)
		EXPECT_ERROR(EROFS, pvmread_writev(dev, me, &local, 1, &remote, 1, 0));
	else
		EXPECT_ERROR(EINVAL, pvmread_writev(dev, me, &local, 1, &remote, 1, wide));
	EXPECT_TRUE(blank(near));
	EXPECT_TRUE(holds(far, FAR, PAGES * PAGE));

	/* The harness runs as root. */
	ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	EXPECT_ERROR(EPERM, pvmread_readv(dev, getppid(), &local, 1, &remote, 1, 0));
	EXPECT_ERROR(EPERM, pvmread_attach(dev, getppid(), 0, 0, 0));
}

/* --- attach --- */

TEST_F(library, attaches)
{
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	int fd = pvmread_attach(self->dev, pidfd, PVMREAD_PIDFD, FAR + 10, 100);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(FAR + 10, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(100, pvmread_read(fd, FAR + 10, near, 1000));
	EXPECT_TRUE(holds(near, FAR + 10, 100));
	EXPECT_TRUE(blank(near + 100));
	EXPECT_ERROR(EIO, pvmread_read(fd, FAR + 9, near, 2));
	EXPECT_ERROR(EIO, pvmread_read(fd, FAR + 110, near, 1));
	EXPECT_ERROR(EBADF, pvmread_write(fd, FAR + 10, near, 1));
	EXPECT_TRUE(holds(far, FAR, PAGE));
}

TEST_F(library, bad_attach_returns_an_errno)
{
	const pid_t me = getpid();
	const int dev = self->dev;
	int reader = pvmread_open(O_RDONLY);

	ASSERT_GE(reader, 0);
	EXPECT_ERROR(EINVAL, pvmread_attach(dev, me, 0, FAR, 0));
	EXPECT_ERROR(EINVAL, pvmread_attach(dev, me, 0, UINT64_MAX, 2));
	EXPECT_ERROR(EINVAL, pvmread_attach(dev, me, PVMREAD_STOP, 0, 0));
	EXPECT_ERROR(EINVAL, pvmread_attach(dev, me, UINT_MAX, 0, 0));
	EXPECT_ERROR(EBADF, pvmread_attach(reader, me, PVMREAD_WRITE, 0, 0));
	EXPECT_ERROR(EBADF, pvmread_attach(dev, dev, PVMREAD_PIDFD, 0, 0));
	EXPECT_ERROR(EBADF, pvmread_attach(-1, me, 0, 0, 0));
	EXPECT_ERROR(ESRCH, pvmread_attach(dev, NO_PID, 0, 0, 0));
	if (self->readonly)
		EXPECT_ERROR(EROFS, pvmread_attach(dev, me, PVMREAD_WRITE, 0, 0));
}

/* --- read, write --- */

TEST_F(library, reads_any_number_of_bytes)
{
	static const ssize_t lens[] = { 1, 8, PAGE - 1, PAGE, PAGE + 1, PAGES * PAGE - 5 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		memset(near, 0, PAGES * PAGE);
		EXPECT_EQ(lens[i], pvmread_read(self->target, FAR + 5, near, lens[i]));
		EXPECT_TRUE(holds(near, FAR + 5, lens[i]));
		EXPECT_TRUE(blank(near + lens[i]));
	}
	memset(near, 0, PAGES * PAGE);
	EXPECT_EQ(0, pvmread_read(self->target, FAR, near, 0));
	EXPECT_TRUE(blank(near));

	/* A read stops at the hole, whatever its length. The next one fails with the reason. */
	EXPECT_EQ(100, pvmread_read(self->target, END - 100, near, 200));
	EXPECT_EQ(100, pvmread_read(self->target, END - 100, near, SIZE_MAX / 4));
	EXPECT_EQ(100, pvmread_read(self->target, END - 100, near, SSIZE_MAX));
	EXPECT_EQ(100, pvmread_read(self->target, END - 100, near, SIZE_MAX));
	EXPECT_TRUE(holds(near, END - 100, 100));
	EXPECT_TRUE(blank(near + 100));
	EXPECT_ERROR(EIO, pvmread_read(self->target, END, near, 200));
	/* The caller's own hole */
	EXPECT_EQ(PAGE, pvmread_read(self->target, FAR, near + 3 * PAGE, 2 * PAGE));
	EXPECT_ERROR(EFAULT, pvmread_read(self->target, FAR, near + 4 * PAGE, 1));
}

TEST_F(library, writes_any_number_of_bytes)
{
	if (self->readonly)
		SKIP(return, "the module was loaded with readonly=1");
	memset(near, 0xee, PAGES * PAGE);
	EXPECT_EQ(PAGE + 2, pvmread_write(self->target, FAR + PAGE - 1, near, PAGE + 2));
	EXPECT_TRUE(holds(far, FAR, PAGE - 1));
	EXPECT_EQ(0, memcmp(near, far + PAGE - 1, PAGE + 2));
	EXPECT_TRUE(holds(far + 2 * PAGE + 1, FAR + 2 * PAGE + 1, 2 * PAGE - 1));
	EXPECT_EQ(100, pvmread_write(self->target, END - 100, near, PAGE));
	EXPECT_ERROR(EIO, pvmread_write(self->target, END, near, 1));
	EXPECT_ERROR(EFAULT, pvmread_write(self->target, FAR, near + PAGES * PAGE, 1));
	EXPECT_TRUE(holds(far, FAR, PAGE - 1));
}

TEST_F(library, continues_after_a_short_transfer)
{
	const size_t len = 2 * PAGE + 1807;
	const size_t rest = PAGE + 904;
	const size_t sizes[] = { 1, 7, PAGE - 1, PAGE, len };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		most_bytes = sizes[i];
		memset(near, 0, PAGES * PAGE);
		EXPECT_EQ((ssize_t)len, pvmread_read(self->target, FAR + 1, near, len));
		EXPECT_TRUE(holds(near, FAR + 1, len));
		EXPECT_TRUE(blank(near + len));
		EXPECT_EQ(333, pvmread_read(self->target, END - 333, near, len));
		EXPECT_TRUE(holds(near, END - 333, 333));
		if (self->readonly)
			continue;
		memset(near, i, PAGES * PAGE);
		EXPECT_EQ((ssize_t)len, pvmread_write(self->target, FAR, near, len));
		EXPECT_EQ(0, memcmp(near, far, len));
		EXPECT_EQ((ssize_t)rest, pvmread_read(self->target, END - rest, far, len));
		EXPECT_EQ((ssize_t)rest, pvmread_write(self->target, END - rest, near, len));
		for (size_t j = 0; j < PAGES * PAGE; j++)
			far[j] = pattern(j);
	}
	/* No unnecessary call */
	most_bytes = 10;
	calls = 0;
	EXPECT_EQ(30, pvmread_read(self->target, FAR, near, 30));
	EXPECT_EQ(3, calls);
}

TEST_F(library, addresses_from_2_63_are_eio)
{
	static const uint64_t addrs[] = {
		INT64_MAX - 3, INT64_MAX, (uint64_t)INT64_MAX + 1, 0xffff888000000000, -PAGE,
		UINT64_MAX - 7, UINT64_MAX,
	};
	pid_t pid = spawn();
	int target = pvmread_attach(self->dev, pid, 0, 0, 0);
	size_t i;

	ASSERT_GE(target, 0);
	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		EXPECT_ERROR(EIO, pvmread_read(self->target, addrs[i], near, 1));
		EXPECT_ERROR(EIO, pvmread_read(self->target, addrs[i], near, PAGE));
		EXPECT_ERROR(EIO, pvmread_read(self->target, addrs[i], near, SIZE_MAX));
		EXPECT_ERROR(EIO, pvmread_read_string(self->target, addrs[i], (char *)near, 9));
		EXPECT_ERROR(EBADF, pvmread_write(target, addrs[i], near, PAGE));
		EXPECT_ERROR(EBADF, pvmread_read(-1, addrs[i], near, PAGE));
		EXPECT_TRUE(blank(near));
		if (!self->readonly)
			EXPECT_ERROR(EIO, pvmread_write(self->target, addrs[i], near, PAGE));
	}
	end_of(pid);
	for (i = 0; i < ARRAY_SIZE(addrs); i++)
		EXPECT_ERROR(ESRCH, pvmread_read(target, addrs[i], near, 1));
}

/* A target file for windows. Return: false if this module has none. */
static bool attach_for_windows(struct __test_metadata *_metadata, int dev, pid_t pid,
			       uint64_t start, uint64_t length, int *target)
{
	struct pvmread_info info;

	*target = pvmread_attach(dev, pid, PVMREAD_WINDOW, start, length);
	EXPECT_EQ(0, pvmread_get_info(dev, &info));
	if (info.features & PVMREAD_FEATURE_WINDOW) {
		EXPECT_GE(*target, 0);
		return true;
	}
	EXPECT_EQ(-1, *target);
	EXPECT_EQ(EOPNOTSUPP, errno);
	return false;
}

TEST_F(library, maps_a_window)
{
	const unsigned char *window;
	int target, range;

	if (!attach_for_windows(_metadata, self->dev, getpid(), 0, 0, &target))
		SKIP(return, "not in this kernel: windows");
	window = pvmread_map(target, FAR + 100, PAGE);
	ASSERT_NE(NULL, window);
	EXPECT_EQ(100, (uintptr_t)window % PAGE);
	EXPECT_TRUE(holds(window, FAR + 100, PAGE));
	far[100] = 7;
	EXPECT_EQ(7, window[0]);
	EXPECT_EQ(0, pvmread_unmap(window, PAGE));
	/* Whole pages must be in the range. */
	ASSERT_TRUE(attach_for_windows(_metadata, self->dev, getpid(), FAR, PAGE + 1, &range));
	EXPECT_EQ(NULL, pvmread_map(range, FAR, PAGE + 1));
	EXPECT_EQ(ENXIO, errno);
	window = pvmread_map(range, FAR + PAGE - 1, 1);
	ASSERT_NE(NULL, window);
	EXPECT_EQ(pattern(PAGE - 1), *window);
	EXPECT_EQ(0, pvmread_unmap(window, 1));
	EXPECT_EQ(NULL, pvmread_map(target, FAR, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, pvmread_map(target, UINT64_MAX - 5, 7));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, pvmread_map(target, FAR, SIZE_MAX - 5));
	EXPECT_EQ(NULL, pvmread_map(self->target, FAR, 1));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(NULL, pvmread_map(-1, FAR, 1));
	EXPECT_EQ(EBADF, errno);
	close(range);
	close(target);
}

TEST_F(library, copies_from_a_window_up_to_a_hole)
{
	const size_t size = PAGES * PAGE;
	const unsigned char *window;
	int target;
	pid_t pid;

	if (process_vm_writev(getpid(), NULL, 0, NULL, 0, 0) && errno == ENOSYS)
		SKIP(return, "not in this kernel: process_vm_writev");
	pid = spawn();
	if (!attach_for_windows(_metadata, self->dev, pid, 0, 0, &target)) {
		end_of(pid);
		SKIP(return, "not in this kernel: windows");
	}
	window = pvmread_map(target, FAR, size + PAGE);
	ASSERT_NE(NULL, window);
	EXPECT_EQ(size, pvmread_map_read(window, 0, near, size));
	EXPECT_TRUE(holds(near, FAR, size));
	memset(near, 0, size);
	EXPECT_EQ(50, pvmread_map_read(window, size - 50, near, 100));
	EXPECT_TRUE(holds(near, END - 50, 50));
	EXPECT_ERROR(EIO, pvmread_map_read(window, size, near, 1));
	EXPECT_EQ(0, pvmread_map_read(window, 0, near, 0));
	end_of(pid);
	EXPECT_ERROR(EIO, pvmread_map_read(window, 0, near, 8));
	EXPECT_EQ(0, pvmread_unmap(window, size + PAGE));
	close(target);
}

TEST_F(library, exited_target_is_esrch)
{
	struct pvmread_segment seg = { .remote = FAR, .local = NEAR, .length = 8 };
	pid_t pid = spawn();
	int target = pvmread_attach(self->dev, pid, self->readonly ? 0 : PVMREAD_WRITE, 0, 0);

	ASSERT_GE(target, 0);
	EXPECT_EQ(8, pvmread_read(target, FAR, near, 8));
	EXPECT_TRUE(holds(near, FAR, 8));
	EXPECT_EQ(1, pvmread_batch(target, &seg, 1, 0));
	end_of(pid);
	EXPECT_ERROR(ESRCH, pvmread_read(target, FAR, near, 8));
	EXPECT_ERROR(ESRCH, pvmread_read(target, FAR, near, 0));
	EXPECT_ERROR(ESRCH, pvmread_read_string(target, FAR, (char *)near, 8));
	EXPECT_ERROR(ESRCH, pvmread_read_string(target, FAR, (char *)near, 0));
	EXPECT_ERROR(ESRCH, pvmread_batch(target, &seg, 1, 0));
	EXPECT_ERROR(ESRCH, pvmread_batch(target, &seg, 0, 0));
	if (!self->readonly)
		EXPECT_ERROR(ESRCH, pvmread_write(target, FAR, near, 8));
	EXPECT_ERROR(ESRCH, pvmread_attach(self->dev, pid, 0, 0, 0));
}

/* --- strings --- */

/*
 * Read a string of @len bytes at @at of the far side into @size bytes. The far side has
 * no other NUL.
 */
static void expect_string(struct __test_metadata *_metadata, int target,
			  size_t at, size_t len, size_t size)
{
	size_t copied = len < size ? len : size ? size - 1 : 0;

	memset(near, 0xa5, PAGES * PAGE);
	far[at + len] = '\0';
	EXPECT_EQ((ssize_t)(len < size ? len : size),
		  pvmread_read_string(target, FAR + at, (char *)near, size)) {
		TH_LOG("at %zu, length %zu, size %zu, cut to %zu", at, len, size, most_bytes);
	}
	EXPECT_TRUE(holds(near, FAR + at, copied));
	if (size)
		EXPECT_EQ(0, near[copied]);
	/* Nothing was written past the string or past its buffer. */
	EXPECT_EQ(0xa5, near[size < len + 1 ? size : len + 1]);
	far[at + len] = pattern(at + len);
}

TEST_F(library, reads_strings)
{
	static const size_t lens[] = { 0, 1, 2, 62, 63, 64, 65, 100, PAGE - 1, PAGE, PAGE + 1 };
	static const size_t cuts[] = { SIZE_MAX, 1, 50, PAGE };
	size_t i, j, c;

	for (c = 0; c < ARRAY_SIZE(cuts); c++)
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			size_t len = lens[i];
			/* Inside a page, at its end, across it, before the hole */
			const size_t ats[] = {
				0, 1, PAGE - 1, PAGE, 2 * PAGE - len - 1, 2 * PAGE - len,
				2 * PAGE - len + 1, PAGES * PAGE - len - 1,
			};

			most_bytes = cuts[c];
			/* One byte per call is slow */
			if (most_bytes == 1 && len > 100)
				continue;
			for (j = 0; j < ARRAY_SIZE(ats); j++) {
				expect_string(_metadata, self->target, ats[j], len, len + 1);
				expect_string(_metadata, self->target, ats[j], len, len + 2);
				expect_string(_metadata, self->target, ats[j], len, len);
				expect_string(_metadata, self->target, ats[j], len, len / 2);
				expect_string(_metadata, self->target, ats[j], len, 2 * PAGE);
				expect_string(_metadata, self->target, ats[j], len, 0);
			}
		}
}

TEST_F(library, unterminated_string_is_eio)
{
	const int target = self->target;

	EXPECT_ERROR(EIO, pvmread_read_string(target, END, (char *)near, 1));
	EXPECT_ERROR(EIO, pvmread_read_string(target, END - 3, (char *)near, 4));
	EXPECT_ERROR(EIO, pvmread_read_string(target, END - PAGE, (char *)near, 2 * PAGE));
	EXPECT_EQ(3, pvmread_read_string(target, END - 3, (char *)near, 3));
	most_bytes = 2;
	EXPECT_ERROR(EIO, pvmread_read_string(target, END - 3, (char *)near, 4));
	EXPECT_ERROR(EIO, pvmread_read_string(target, END - 4, (char *)near, 6));
	most_bytes = SIZE_MAX;
	/* The caller's own hole */
	EXPECT_ERROR(EFAULT, pvmread_read_string(target, FAR, (char *)near + PAGES * PAGE - 2, 9));
	EXPECT_ERROR(EFAULT, pvmread_read_string(target, FAR, (char *)UINTPTR_MAX - 8, 9));
	EXPECT_ERROR(EBADF, pvmread_read_string(-1, FAR, (char *)near, 9));
	EXPECT_ERROR(ENOTTY, pvmread_read_string(self->dev, FAR, (char *)near, 9));
	EXPECT_EQ(0, pvmread_read_string(target, END, (char *)near, 0));
}

/* --- batch --- */

#define MANY	200000
#define ARRAY	(MANY * sizeof(struct pvmread_segment))

/* Eight bytes each, from all over the far side to separate places. */
static struct pvmread_segment *many(uint64_t *values)
{
	struct pvmread_segment *segs = mmap(NULL, ARRAY, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	for (i = 0; segs != MAP_FAILED && i < MANY; i++)
		segs[i] = (struct pvmread_segment){
			.remote = FAR + i / 16 % (PAGES * PAGE - 8),
			.local = (uintptr_t)&values[i],
			.length = 8,
			.error = 0xa5,
			.done = 0xa5,
		};
	return segs;
}

TEST_F(library, batch_over_max_batch_moves_all_segments)
{
	uint64_t *values = calloc(MANY, sizeof(*values));
	struct pvmread_segment *segs = many(values);
	size_t i, wrong = 0;

	ASSERT_NE(MAP_FAILED, segs);
	for (i = 0; i < MANY; i += 1000)
		segs[i].remote = END;
	ASSERT_EQ(MANY, pvmread_batch(self->target, segs, MANY, 0));
	for (i = 0; i < MANY; i++) {
		bool hole = i % 1000 == 0;

		wrong += segs[i].error != (hole ? EIO : 0);
		wrong += segs[i].done != (hole ? 0 : 8);
		wrong += hole ? !!values[i] :
				memcmp(&values[i], (void *)(uintptr_t)segs[i].remote, 8) != 0;
	}
	EXPECT_EQ(0, wrong);

	if (self->readonly)
		SKIP(return, "the module was loaded with readonly=1");
	for (i = 0; i < MANY; i++) {
		segs[i].remote = FAR + i % 100 * 8;
		values[i] = i;
	}
	ASSERT_EQ(MANY, pvmread_batch(self->target, segs, MANY, PVMREAD_WRITE));
	for (i = 0; i < 100; i++)
		EXPECT_EQ(MANY - 100 + i, ((uint64_t *)far)[i]);
}

TEST_F(library, stop_ends_at_bad_segment)
{
	static const ssize_t at[] = {
		0, 1, 24999, 25000, 49999, 50000, 65535, 65536, 99999, 131071, 131072, MANY - 1,
	};
	uint64_t *values = calloc(MANY, sizeof(*values));
	size_t i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		struct pvmread_segment *segs = many(values);

		ASSERT_NE(MAP_FAILED, segs);
		segs[at[i]].remote = END - 3;
		segs[at[i]].local = NEAR;
		EXPECT_EQ(at[i] + 1, pvmread_batch(self->target, segs, MANY, PVMREAD_STOP));
		EXPECT_EQ(EIO, segs[at[i]].error);
		EXPECT_EQ(3, segs[at[i]].done);
		if (at[i])
			EXPECT_EQ(8, segs[at[i] - 1].done);
		if (at[i] < MANY - 1)
			EXPECT_EQ(0xa5, segs[at[i] + 1].done);
		munmap(segs, ARRAY);
	}
}

/* The process copies its own memory onto itself. */
TEST_F(library, stop_ends_at_truncated_segment)
{
	const size_t size = CHUNKS * CHUNK;
	uint64_t value = 0;
	size_t i;
	char *at;

	if (sizeof(void *) < 8)
		SKIP(return, "32-bit processes have no room for a segment that is truncated");
	at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, at);
	ASSERT_TRUE(map_chunks(at));

	for (i = 0; i < 2; i++) {
		struct pvmread_segment segs[] = {
			{ .remote = (uintptr_t)at, .local = (uintptr_t)at,
			  .length = size, .done = 0xa5 },
			{ .remote = FAR, .local = (uintptr_t)&value, .length = 8, .done = 0xa5 },
		};

		EXPECT_EQ(i ? 1 : 2, pvmread_batch(self->target, segs, 2, i ? PVMREAD_STOP : 0));
		EXPECT_EQ(0, segs[0].error);
		EXPECT_EQ(INT_MAX / PAGE * PAGE, segs[0].done);
		EXPECT_EQ(i ? 0xa5 : 8, segs[1].done);
	}
	munmap(at, size);
}

TEST_F(library, batch_returns_the_number_of_completed_segments)
{
	uint64_t *values = calloc(MANY, sizeof(*values));
	struct pvmread_segment *segs = many(values);
	const size_t bytes = ARRAY / 2 / PAGE * PAGE, whole = bytes / sizeof(*segs);

	ASSERT_NE(MAP_FAILED, segs);
	/* These requests are wrong as a whole */
	EXPECT_ERROR(EINVAL, pvmread_batch(self->target, segs, MANY, PVMREAD_PIDFD));
	EXPECT_ERROR(EINVAL, pvmread_batch(self->target, segs, 1, 1U << 31));
	EXPECT_ERROR(EINVAL, pvmread_batch(self->target, segs, 0, 1U << 31));
	EXPECT_ERROR(EBADF, pvmread_batch(-1, segs, MANY, 0));
	EXPECT_ERROR(ENOTTY, pvmread_batch(self->dev, segs, MANY, 0));
	EXPECT_ERROR(EFAULT, pvmread_batch(self->target, NULL, MANY, 0));
	EXPECT_ERROR(EFAULT, pvmread_batch(self->target, NULL, SIZE_MAX, 0));
	if (self->readonly)
		EXPECT_ERROR(EBADF, pvmread_batch(self->target, segs, MANY, PVMREAD_WRITE));
	EXPECT_EQ(0xa5, segs[0].done);
	EXPECT_EQ(0, pvmread_batch(self->target, NULL, 0, 0));

	/* The array ends in the middle */
	ASSERT_EQ(0, munmap((char *)segs + bytes, ARRAY - bytes));
	EXPECT_EQ(whole, pvmread_batch(self->target, segs, MANY, 0));
	EXPECT_EQ(8, segs[whole - 1].done);
	EXPECT_ERROR(EFAULT, pvmread_batch(self->target, segs + whole, 1, 0));
}

/* --- threads, signals --- */

#define THREADS	4
#define ROUNDS	300

struct worker {
	pthread_t thread;
	int dev;
	int target;
	size_t id;
	unsigned long wrong;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char buf[3000], string[200];
	struct iovec local = { buf, sizeof(buf) };
	int i;

	for (i = 0; i < ROUNDS; i++) {
		size_t from = w->id * 1000 + i;
		struct iovec remote = { far + from, sizeof(buf) };
		struct pvmread_segment segs[2] = {
			{ .remote = FAR + from, .local = (uintptr_t)buf, .length = 100 },
			{ .remote = END, .local = (uintptr_t)buf, .length = 100 },
		};
		int fd = pvmread_attach(w->dev, getpid(), 0, FAR + from, 10);

		w->wrong += pvmread_read(w->target, FAR + from, buf, 3000) != 3000;
		w->wrong += !holds(buf, FAR + from, 3000);
		w->wrong += pvmread_read_string(w->target, END - 100 - w->id, (char *)string,
						sizeof(string)) != -1 || errno != EIO;
		w->wrong += pvmread_readv(w->dev, getpid(), &local, 1, &remote, 1, 0) != 3000;
		w->wrong += !holds(buf, FAR + from, 3000);
		w->wrong += pvmread_batch(w->target, segs, 2, 0) != 2 || segs[0].done != 100 ||
			    segs[1].error != EIO;
		w->wrong += pvmread_read(fd, FAR + from, buf, 11) != 10;
		close(fd);
	}
	return NULL;
}

TEST_F(library, is_thread_safe)
{
	struct worker worker[THREADS];
	size_t i;

	for (i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ .dev = self->dev, .target = self->target, .id = i };
		ASSERT_EQ(0, pthread_create(&worker[i].thread, NULL, work, &worker[i]));
	}
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(0, worker[i].wrong);
	}
}

/* --- strerror --- */

TEST(strerror_says_what_to_do)
{
	static const struct {
		int error;
		const char *word;
	} rows[] = {
		{ ENODEV, "modprobe pvmread" }, { EACCES, "group" }, { EPERM, "ptrace_scope" },
		{ EROFS, "readonly=1" }, { EAGAIN, "PVMREAD_NOWAIT" }, { ESRCH, "exited" },
		{ EIO, "/proc/PID/maps" }, { EFAULT, "caller" }, { EBADF, "O_RDWR" },
		{ EOPNOTSUPP, "PVMREAD_PIDFD" }, { ENOTTY, "update" }, { E2BIG, "update" },
		{ EINVAL, "flag" }, { ENOMEM, "memory" }, { EINTR, "signal" },
		{ EOPNOTSUPP, "windows=1" }, { ENXIO, "attached" },
	};
	int error;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		EXPECT_NE(NULL, strstr(pvmread_strerror(rows[i].error), rows[i].word))
			TH_LOG("%s", pvmread_strerror(rows[i].error));
	for (error = -4; error < 4096; error++) {
		const char *text = pvmread_strerror(error);

		ASSERT_NE(NULL, text);
		EXPECT_TRUE(*text && !strchr(text, '\n'));
	}
	EXPECT_STREQ("No space left on device", pvmread_strerror(ENOSPC));
	EXPECT_STREQ("Success", pvmread_strerror(0));
	EXPECT_STREQ("unknown error", pvmread_strerror(-1));
	EXPECT_STREQ("unknown error", pvmread_strerror(INT_MAX));
}

TEST_HARNESS_MAIN
