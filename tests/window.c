// SPDX-License-Identifier: GPL-2.0
/*
 * Windows: what mmap() of a target file promises and what it refuses, and processes that have
 * windows on each other. tests/cache.c loads from a window during each event that changes the
 * target's pages.
 *
 * Environment: RACE_SECONDS is the minimum duration of a race. CHANGES and LOADS are the
 * minimum numbers of changes and of checked loads in each race.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <kselftest_harness.h>

#include "load.h"
#include "numbers.h"
#include "process.h"
#include "random.h"
#include "uffd.h"
#include "vm.h"

#define PAGES		64U
#define SIZE		(PAGES * PAGE)
#define SECONDS		2
/* Nothing else is mapped there. */
#define MEMORY		((unsigned char *)0x50000000UL)
#define ELSEWHERE	((unsigned char *)0x60000000UL)

/* What the tester orders the target to do. */
enum order {
	NONE, WRITE, DROP, UNMAP, REMAP, PROTECT, UNPROTECT, WRITE_FAR, DROP_FAR, LEAVE, EXECUTE
};

/**
 * struct orders - what the tester tells the target
 * @order: the order in the low byte, a serial number above it
 * @done: the last order that was carried out
 * @value: written to the first word of the first page; each following page gets the
 *	next number
 */
struct orders {
	uint64_t order;
	uint64_t done;
	uint64_t value;
};

static struct orders *orders;

/* A mapping of the target. It has several page tables at each level except the highest. */
static unsigned char *far;
static size_t far_len;

static uint64_t *word(const unsigned char *at, size_t page)
{
	return (uint64_t *)(at + page * PAGE);
}

static void write_words(unsigned char *at, uint64_t value)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		__atomic_store_n(word(at, i), value + i, __ATOMIC_RELAXED);
}

static void *map_memory(void *at, size_t len)
{
	return mmap(at, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

static void map_far(void)
{
	for (far_len = 16UL << 40; far_len >= 4UL << 30; far_len /= 4) {
		far = mmap(NULL, far_len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (far != MAP_FAILED)
			return;
	}
}

static bool carry_out(enum order what)
{
	switch (what) {
	case WRITE:
		write_words(MEMORY, orders->value);
		return true;
	case DROP:
		return !madvise(MEMORY, SIZE, MADV_DONTNEED);
	case UNMAP:
		return !munmap(MEMORY, SIZE);
	case REMAP:
		return map_memory(MEMORY, SIZE) == MEMORY;
	case PROTECT:
		return !mprotect(MEMORY, SIZE, PROT_NONE);
	case UNPROTECT:
		return !mprotect(MEMORY, SIZE, PROT_READ | PROT_WRITE);
	case WRITE_FAR:
		*(uint64_t *)far = orders->value;
		*(uint64_t *)(far + far_len - PAGE) = orders->value;
		return true;
	case DROP_FAR:
		return !madvise(far, far_len, MADV_DONTNEED);
	case EXECUTE:
		execl("/bin/busybox", "sleep", "600", NULL);
		return false;
	default:
		_exit(0);
	}
}

static __attribute__((noreturn)) void be_target(void)
{
	uint64_t seen = 0;

	die_with_parent();
	for (;;) {
		while (get(&orders->order) == seen)
			usleep(20);
		seen = get(&orders->order);
		if (!carry_out(seen & 0xff))
			_exit(1);
		set(&orders->done, seen);
	}
}

FIXTURE(window) {
	int dev;
	int fd;
	pid_t target;
	unsigned char *at;
	uint64_t serial;
	char path[64];
};

FIXTURE_SETUP(window)
{
	self->fd = -1;
	self->at = MAP_FAILED;
	self->dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev);
	if (!has_feature(self->dev, PVMREAD_FEATURE_WINDOW)) {
		EXPECT_EQ(-1, attach(self->dev, getpid(), PVMREAD_WINDOW, 0, 0));
		EXPECT_EQ(EOPNOTSUPP, errno);
		SKIP(return, "not in this kernel: windows");
	}
	orders = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, orders);
	ASSERT_EQ(MEMORY, map_memory(MEMORY, SIZE));
	madvise(MEMORY, SIZE, MADV_NOHUGEPAGE);
	map_far();
	ASSERT_NE(MAP_FAILED, far);
	self->target = fork();
	ASSERT_LE(0, self->target);
	if (!self->target)
		be_target();
	munmap(far, far_len);
	self->fd = attach(self->dev, self->target, PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
	snprintf(self->path, sizeof(self->path), "/proc/self/fdinfo/%d", self->fd);
	self->at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->fd, (uintptr_t)MEMORY);
	ASSERT_NE(MAP_FAILED, self->at);
}

FIXTURE_TEARDOWN(window)
{
	if (self->target > 0) {
		kill(self->target, SIGKILL);
		waitpid(self->target, NULL, 0);
	}
	if (self->at != MAP_FAILED)
		munmap(self->at, SIZE);
	munmap(MEMORY, SIZE);
	if (orders)
		munmap(orders, PAGE);
	orders = NULL;
	close(self->fd);
	close(self->dev);
}

static void order(FIXTURE_DATA(window) * self, enum order what)
{
	uint64_t word = ++self->serial << 8 | what;
	long end = now_ms() + PATIENCE_MS;

	set(&orders->order, word);
	while (get(&orders->done) != word && now_ms() < end)
		usleep(20);
}

/* Let the target write, and check that the window shows it. */
static bool shows(FIXTURE_DATA(window) * self, uint64_t value)
{
	uint64_t found;
	size_t i;

	orders->value = value;
	order(self, WRITE);
	for (i = 0; i < PAGES; i++)
		if (!load_word(word(self->at, i), &found) || found != value + i)
			return false;
	return true;
}

static bool is_zero(const unsigned char *at)
{
	uint64_t found;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (!load_word(word(at, i), &found) || found)
			return false;
	return true;
}

/* Does each load from the window raise this signal? */
static bool raises(const unsigned char *at, int sig)
{
	uint64_t found;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (load_signal(word(at, i), &found) != sig)
			return false;
	return true;
}

TEST_F(window, shows_the_targets_changes)
{
	EXPECT_TRUE(is_zero(self->at));
	EXPECT_TRUE(shows(self, 1000));
	order(self, DROP);
	EXPECT_TRUE(is_zero(self->at));
	EXPECT_TRUE(shows(self, 2000));
	order(self, PROTECT);
	EXPECT_TRUE(raises(self->at, SIGBUS));
	order(self, UNPROTECT);
	EXPECT_TRUE(shows(self, 3000));
	order(self, UNMAP);
	EXPECT_TRUE(raises(self->at, SIGBUS));
	order(self, REMAP);
	EXPECT_TRUE(is_zero(self->at));
	EXPECT_TRUE(shows(self, 4000));
	EXPECT_LE(4, proc_number(self->path, "zapped:"));
	EXPECT_LE(PAGES, proc_number(self->path, "mapped:"));
}

/* KVM has page tables of its own. tests/cache.c changes the target's pages in all ways. */
TEST_F(window, virtual_machine_may_only_read_its_memory)
{
	uint32_t value;
	struct vm vm;

	if (!vm_open(&vm, self->at, 16 * PAGE)) {
		ASSERT_EQ(ENOENT, errno);
		SKIP(return, "not in this kernel: KVM");
	}
	EXPECT_TRUE(shows(self, 1000));
	EXPECT_EQ(0, vm_load(&vm, 3 * PAGE, &value));
	EXPECT_EQ(1003, value);
	EXPECT_EQ(EROFS, vm_store(&vm, 3 * PAGE, 77));
	/* KVM has not seen this page yet, */
	EXPECT_EQ(EROFS, vm_store(&vm, 4 * PAGE, 77));
	EXPECT_EQ(0, vm_load(&vm, 4 * PAGE, &value));
	EXPECT_EQ(1004, value);
	EXPECT_EQ(0, vm_load(&vm, 3 * PAGE, &value));
	EXPECT_EQ(1003, value);
	/* and this one is also not in the window's page table. */
	order(self, DROP);
	EXPECT_EQ(EFAULT, vm_store(&vm, 5 * PAGE, 77));
	EXPECT_EQ(0, vm_load(&vm, 5 * PAGE, &value));
	EXPECT_EQ(0, value);
	EXPECT_TRUE(is_zero(self->at));

	ASSERT_EQ(0, munmap(self->at, SIZE));
	EXPECT_EQ(EFAULT, vm_load(&vm, 3 * PAGE, &value));
	self->at = MAP_FAILED;
	vm_close(&vm);
}

/* Most page tables of this window do not exist when the whole of its memory changes. */
TEST_F(window, change_of_a_large_range_reaches_its_first_and_last_page)
{
	unsigned char *at = mmap(NULL, far_len, PROT_READ, MAP_SHARED, self->fd, (uintptr_t)far);
	uint64_t *ends[] = { (uint64_t *)at, (uint64_t *)(at + far_len - PAGE) }, found;
	size_t i, turn;

	ASSERT_NE(MAP_FAILED, at);
	for (turn = 0; turn < 2; turn++) {
		orders->value = 77 + turn;
		order(self, WRITE_FAR);
		for (i = 0; i < ARRAY_SIZE(ends); i++) {
			ASSERT_TRUE(load_word(ends[i], &found));
			EXPECT_EQ(77 + turn, found);
		}
		if (turn)
			break;
		order(self, DROP_FAR);
		for (i = 0; i < ARRAY_SIZE(ends); i++) {
			ASSERT_TRUE(load_word(ends[i], &found));
			EXPECT_EQ(0, found);
		}
	}
	set(&orders->order, LEAVE);
	ASSERT_EQ(0, reap(self->target, LEAVE_MS));
	self->target = 0;
	for (i = 0; i < ARRAY_SIZE(ends); i++)
		EXPECT_EQ(SIGBUS, load_signal(ends[i], &found));
	EXPECT_EQ(0, munmap(at, far_len));
}

/* The windows overlap, contain each other, or share no page. */
TEST_F(window, each_of_many_windows_shows_its_own_pages)
{
	struct {
		unsigned char *at;
		size_t first, count;
	} part[100] = {};
	struct rng rng = { 1 };
	uint64_t found, value = 0;
	size_t i, n, round;

	for (round = 0; round < 300; round++) {
		i = below(&rng, ARRAY_SIZE(part));
		if (part[i].at) {
			EXPECT_EQ(0, munmap(part[i].at, part[i].count * PAGE));
			part[i].at = NULL;
		} else {
			part[i].first = below(&rng, PAGES);
			part[i].count = 1 + below(&rng, PAGES - part[i].first);
			part[i].at = mmap(NULL, part[i].count * PAGE, PROT_READ, MAP_SHARED,
					  self->fd, (uintptr_t)MEMORY + part[i].first * PAGE);
			ASSERT_NE(MAP_FAILED, part[i].at);
		}
		if (round % 20)
			continue;
		value = value ? 0 : 1000 * (round + 1);
		orders->value = value;
		order(self, value ? WRITE : DROP);
		for (i = 0; i < ARRAY_SIZE(part); i++) {
			for (n = 0; part[i].at && n < part[i].count; n++) {
				ASSERT_TRUE(load_word(word(part[i].at, n), &found));
				ASSERT_EQ(value ? value + part[i].first + n : 0, found);
			}
		}
	}
	for (i = 0; i < ARRAY_SIZE(part); i++)
		if (part[i].at)
			munmap(part[i].at, part[i].count * PAGE);
}

/* An invalidation also finds a page that lies far behind unmapped ones. */
TEST_F(window, invalidation_finds_a_lone_page)
{
	static const size_t pages[] = { 1, PAGES / 2, PAGES - 1 };
	uint64_t found;
	size_t i;

	ASSERT_EQ(0, madvise(self->at, SIZE, MADV_RANDOM));
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		orders->value = 1000;
		order(self, WRITE);
		ASSERT_TRUE(load_word(word(self->at, pages[i]), &found));
		EXPECT_EQ(1000 + pages[i], found);
		order(self, DROP);
		ASSERT_TRUE(load_word(word(self->at, pages[i]), &found));
		EXPECT_EQ(0, found);
		order(self, UNMAP);
		EXPECT_EQ(SIGBUS, load_signal(word(self->at, pages[i]), &found));
		order(self, REMAP);
	}
}

TEST_F(window, ends_when_the_target_exits)
{
	EXPECT_TRUE(shows(self, 1000));
	set(&orders->order, LEAVE);
	ASSERT_EQ(0, reap(self->target, LEAVE_MS));
	self->target = 0;
	EXPECT_TRUE(raises(self->at, SIGBUS));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->fd,
				   (uintptr_t)MEMORY));
	EXPECT_EQ(ESRCH, errno);
}

TEST_F(window, ends_when_the_target_calls_execve)
{
	long end = now_ms() + PATIENCE_MS;
	uint64_t found;

	EXPECT_TRUE(shows(self, 1000));
	set(&orders->order, EXECUTE);
	while (load_word(word(self->at, 0), &found) && now_ms() < end)
		ASSERT_EQ(1000, found);
	EXPECT_TRUE(raises(self->at, SIGBUS));
}

TEST_F(window, stays_when_the_file_descriptor_is_closed)
{
	close(self->fd);
	EXPECT_TRUE(shows(self, 1000));
	order(self, DROP);
	EXPECT_TRUE(is_zero(self->at));
	EXPECT_EQ(-1, unload(O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	self->fd = -1;
}

TEST_F(window, bad_mmap_arguments_fail)
{
	const struct {
		int prot, flags;
		size_t length;
		uint64_t offset;
		int error;
	} cases[] = {
		{ PROT_READ, MAP_PRIVATE, PAGE, (uintptr_t)MEMORY, EINVAL },
		{ PROT_READ | PROT_WRITE, MAP_SHARED, PAGE, (uintptr_t)MEMORY, EACCES },
		{ PROT_WRITE, MAP_SHARED, PAGE, (uintptr_t)MEMORY, EACCES },
		{ PROT_READ | PROT_EXEC, MAP_SHARED, PAGE, (uintptr_t)MEMORY, EACCES },
		{ PROT_READ, MAP_SHARED, PAGE, (uintptr_t)MEMORY - PAGE, ENXIO },
		{ PROT_READ, MAP_SHARED, PAGE, (uintptr_t)MEMORY + SIZE, ENXIO },
		{ PROT_READ, MAP_SHARED, SIZE, (uintptr_t)MEMORY + PAGE, ENXIO },
		{ PROT_READ, MAP_SHARED, SIZE + PAGE, (uintptr_t)MEMORY, ENXIO },
		{ PROT_READ, MAP_SHARED, PAGE, 1ULL << 63, ENXIO },
		{ PROT_READ, MAP_SHARED, PAGE, 0, ENXIO },
	};
	int plain, range, writable, exec_error = EACCES;
	void *got;
	size_t i;

	/* Newer kernels do not allow files of the anonymous inode to be mapped executable. */
	plain = epoll_create1(EPOLL_CLOEXEC);
	got = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, plain, 0);
	ASSERT_EQ(MAP_FAILED, got);
	if (errno == EPERM)
		exec_error = EPERM;
	close(plain);
	range = attach(self->dev, self->target, PVMREAD_WINDOW, (uintptr_t)MEMORY, SIZE);
	ASSERT_LE(0, range);
	writable = attach(self->dev, self->target, PVMREAD_WINDOW | PVMREAD_WRITE,
			  (uintptr_t)MEMORY, SIZE);
	ASSERT_LE(0, writable);
	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const typeof(*cases) *c = &cases[i / 2];

		got = mmap(NULL, c->length, c->prot, c->flags, i % 2 ? writable : range,
			   c->offset);
		EXPECT_EQ(MAP_FAILED, got);
		/* For a read-only file, the kernel refuses PROT_WRITE before ->mmap(). */
		EXPECT_EQ(c->prot & PROT_EXEC ? exec_error : c->error, errno) {
			TH_LOG("case %zu", i);
		}
	}
	/* The attached range itself can be mapped. */
	got = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, range, (uintptr_t)MEMORY);
	EXPECT_NE(MAP_FAILED, got);
	munmap(got, SIZE);
	close(range);
	close(writable);

	plain = attach(self->dev, self->target, 0, 0, 0);
	ASSERT_LE(0, plain);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ, MAP_SHARED, plain, (uintptr_t)MEMORY));
	EXPECT_EQ(ENODEV, errno);
	close(plain);
	EXPECT_EQ(-1, attach(self->dev, self->target, PVMREAD_WINDOW | PVMREAD_NOWAIT, 0, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, attach(self->dev, self->target, PVMREAD_WINDOW | PVMREAD_RESIDENT, 0, 0));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(window, cannot_be_split)
{
	unsigned char *at = self->at;

	EXPECT_TRUE(shows(self, 1000));
	EXPECT_EQ(-1, munmap(at + 4 * PAGE, PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, munmap(at, PAGE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, mprotect(at + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, madvise(at + PAGE, PAGE, MADV_RANDOM));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(at + PAGE, PAGE, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mremap(at, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mremap(at, SIZE, 2 * SIZE, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(at, SIZE, SIZE - PAGE, 0));
	EXPECT_EQ(MAP_FAILED, mremap(at, SIZE, SIZE, MREMAP_MAYMOVE | 4 /* DONTUNMAP */));
	/* The refused calls left the window intact. */
	EXPECT_TRUE(shows(self, 2000));
	order(self, DROP);
	EXPECT_TRUE(is_zero(at));
}

TEST_F(window, can_only_be_read)
{
	EXPECT_TRUE(shows(self, 1000));
	EXPECT_EQ(-1, mprotect(self->at, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(self->at, SIZE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(0, mprotect(self->at, SIZE, PROT_NONE));
	EXPECT_TRUE(raises(self->at, SIGSEGV));
	orders->value = 2000;
	order(self, WRITE);
	order(self, DROP);
	ASSERT_EQ(0, mprotect(self->at, SIZE, PROT_READ));
	EXPECT_TRUE(is_zero(self->at));
	EXPECT_TRUE(shows(self, 3000));
}

TEST_F(window, cannot_be_pinned)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)self->at, SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	uint64_t got = 0;
	struct iovec local = { &got, 8 }, remote = { self->at, 8 };
	struct iovec buffer = { self->at, SIZE };
	struct io_uring_params params = {};
	struct request req = { getpid(), false, &local, 1, &remote, 1 };
	int uffd, mem, self_fd, ring;

	EXPECT_TRUE(shows(self, 1000));
	EXPECT_EQ(-1, send_syscall(&req));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, send_ioctl(self->dev, &req, NULL));
	EXPECT_EQ(EFAULT, errno);
	self_fd = attach(self->dev, getpid(), PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self_fd);
	EXPECT_EQ(-1, pread(self_fd, &got, 8, (uintptr_t)self->at));
	EXPECT_EQ(EIO, errno);
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pread(mem, &got, 8, (uintptr_t)self->at));
	EXPECT_EQ(EIO, errno);
	close(mem);
	/* A window on the window is refused as well. */
	remote.iov_base = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self_fd, (uintptr_t)self->at);
	ASSERT_NE(MAP_FAILED, remote.iov_base);
	EXPECT_TRUE(raises(remote.iov_base, SIGBUS));
	munmap(remote.iov_base, SIZE);
	close(self_fd);

	ring = syscall(SYS_io_uring_setup, 1, &params);
	ASSERT_LE(0, ring);
	EXPECT_EQ(-1, syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1));
	EXPECT_EQ(EFAULT, errno);
	close(ring);

	uffd = open_uffd();
	if (uffd < 0)
		return;
	EXPECT_EQ(-1, ioctl(uffd, UFFDIO_REGISTER, &reg));
	reg.mode = UFFDIO_REGISTER_MODE_WP;
	EXPECT_EQ(-1, ioctl(uffd, UFFDIO_REGISTER, &reg));
	close(uffd);
}

TEST_F(window, accepts_only_harmless_advice)
{
	static const int harmless[] = { MADV_NORMAL, MADV_SEQUENTIAL, MADV_DONTFORK };
	static const int refused[] = {
		MADV_DONTNEED, MADV_FREE, MADV_DOFORK, MADV_DODUMP, MADV_REMOVE,
		20 /* COLD */, 21 /* PAGEOUT */, 22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */,
	};
	uint64_t found;
	long before;
	size_t i;

	EXPECT_TRUE(shows(self, 1000));
	for (i = 0; i < ARRAY_SIZE(harmless); i++)
		EXPECT_EQ(0, madvise(self->at, SIZE, harmless[i]));
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		EXPECT_EQ(-1, madvise(self->at, SIZE, refused[i])) TH_LOG("%d", refused[i]);
	mlock(self->at, SIZE);
	munlock(self->at, SIZE);
	EXPECT_TRUE(shows(self, 2000));

	/* With MADV_RANDOM a fault maps one page. */
	order(self, DROP);
	orders->value = 3000;
	order(self, WRITE);
	ASSERT_EQ(0, madvise(self->at, SIZE, MADV_RANDOM));
	before = proc_number(self->path, "mapped:");
	for (i = 0; i < 8; i++) {
		ASSERT_TRUE(load_word(word(self->at, 7 * i), &found));
		EXPECT_EQ(3000 + 7 * i, found);
	}
	EXPECT_EQ(before + 8, proc_number(self->path, "mapped:"));
}

TEST_F(window, is_not_inherited_by_a_child)
{
	uint64_t found;
	pid_t pid;

	EXPECT_TRUE(shows(self, 1000));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(load_signal(word(self->at, 0), &found) != SIGSEGV);
	EXPECT_EQ(0, reap(pid, LEAVE_MS));
	EXPECT_TRUE(shows(self, 2000));
}

/* A system call that gets an unmapped address of a window fails; no signal is raised. */
TEST_F(window, syscall_on_a_hole_is_efault)
{
	int fds[2];

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	orders->value = 1000;
	order(self, WRITE);
	EXPECT_EQ(8, write(fds[1], self->at, 8));
	order(self, UNMAP);
	EXPECT_EQ(-1, write(fds[1], self->at, 8));
	EXPECT_EQ(EFAULT, errno);
	close(fds[0]);
	close(fds[1]);
}

/* A fault maps only pages that the target has mapped. */
TEST_F(window, maps_pages_beside_a_hole)
{
	uint64_t found;
	size_t i;

	orders->value = 1000;
	order(self, WRITE);
	set(&orders->order, LEAVE);
	ASSERT_EQ(0, reap(self->target, LEAVE_MS));
	/* This process becomes the target, with holes in its memory. */
	write_words(MEMORY, 5000);
	for (i = 0; i < PAGES; i += 3)
		ASSERT_EQ(0, munmap(MEMORY + i * PAGE, PAGE));
	close(self->fd);
	self->target = 0;
	self->fd = attach(self->dev, getpid(), PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(self->at, mmap(self->at, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, self->fd,
				 (uintptr_t)MEMORY));
	for (i = PAGES; i-- > 0;) {
		ASSERT_EQ(i % 3 != 0, load_word(word(self->at, i), &found)) TH_LOG("%zu", i);
		if (i % 3)
			EXPECT_EQ(5000 + i, found);
	}
}

/* --- faults that wait --------------------------------------------------------- */

struct waiter {
	const uint64_t *from;
	uint64_t found;
	int sig;
	pid_t tid;
};

static void *wait_for_load(void *arg)
{
	struct waiter *waiter = arg;

	set(&waiter->tid, gettid());
	waiter->sig = load_signal(waiter->from, &waiter->found);
	return NULL;
}

/* Is this thread sleeping? */
static bool sleeps(pid_t tid)
{
	char path[64], text[256] = "";
	char *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	state = strrchr(text, ')');
	return state && strchr("SD", state[2]);
}

FIXTURE(waiting) {
	int dev;
	int uffd;
	int fd;
	unsigned char *page;
	unsigned char *at;
	pthread_t thread;
	struct waiter waiter;
};

/* A window of this process on its own page, which a userfaultfd must serve. */
FIXTURE_SETUP(waiting)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	long end = now_ms() + PATIENCE_MS;

	self->dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev);
	if (!has_feature(self->dev, PVMREAD_FEATURE_WINDOW))
		SKIP(return, "not in this kernel: windows");
	self->uffd = open_uffd();
	ASSERT_LE(0, self->uffd);
	self->page = map_memory(NULL, PAGE);
	ASSERT_NE(MAP_FAILED, self->page);
	reg.range.start = (uintptr_t)self->page;
	reg.range.len = PAGE;
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	self->fd = attach(self->dev, getpid(), PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
	self->at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, (uintptr_t)self->page);
	ASSERT_NE(MAP_FAILED, self->at);
	self->waiter.from = (uint64_t *)self->at;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, wait_for_load, &self->waiter));
	while (!get(&self->waiter.tid) || !sleeps(get(&self->waiter.tid))) {
		ASSERT_GT(end, now_ms());
		usleep(1000);
	}
}

FIXTURE_TEARDOWN(waiting)
{
	close(self->uffd);
	close(self->fd);
	close(self->dev);
}

/* What the userfaultfd serves. */
static const uint64_t content[PAGE / 8] = { 77 };

TEST_F(waiting, load_gets_the_page_when_it_arrives)
{
	ASSERT_TRUE(serve_page(self->uffd, (uintptr_t)self->page, content));
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(0, self->waiter.sig);
	EXPECT_EQ(77, self->waiter.found);
	munmap(self->at, PAGE);
}

/* The waiting thread holds no lock, and notices that the window is gone. */
TEST_F(waiting, another_thread_can_unmap_the_window)
{
	ASSERT_EQ(0, munmap(self->at, PAGE));
	ASSERT_TRUE(serve_page(self->uffd, (uintptr_t)self->page, content));
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(SIGSEGV, self->waiter.sig);
}

/* Unmap the page, and wake its waiters. */
static bool unmap(int uffd, void *page)
{
	struct uffdio_range range = { (uintptr_t)page, PAGE };

	return !munmap(page, PAGE) && !ioctl(uffd, UFFDIO_WAKE, &range);
}

/* The load reads the mapping that replaced the window. */
TEST_F(waiting, another_thread_can_replace_the_window)
{
	ASSERT_EQ(self->at, map_memory(self->at, PAGE));
	*(uint64_t *)self->at = 88;
	ASSERT_TRUE(unmap(self->uffd, self->page));
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(0, self->waiter.sig);
	EXPECT_EQ(88, self->waiter.found);
}

TEST_F(waiting, a_load_fails_when_the_page_is_unmapped)
{
	ASSERT_TRUE(unmap(self->uffd, self->page));
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(SIGBUS, self->waiter.sig);
	munmap(self->at, PAGE);
}

TEST(a_waiting_reader_can_be_killed)
{
	int dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC), fd;
	unsigned char *page, *at;
	uint64_t found;
	pid_t pid;

	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_WINDOW))
		SKIP(return, "not in this kernel: windows");
	page = map_unserved(PAGE);
	ASSERT_NE(NULL, page);
	fd = attach(dev, getpid(), PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, fd);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (uintptr_t)page);
		load_word((uint64_t *)at, &found);
		_exit(1);
	}
	usleep(300000);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	kill(pid, SIGKILL);
	EXPECT_EQ(SIGKILL, reap(pid, LEAVE_MS));
	close(fd);
	close(dev);
}

/* --- windows on windows --------------------------------------------------------- */

/*
 * Map a window that shows the addresses where it lies, or those @shift bytes below.
 * Unmapping it invalidates the memory that it shows.
 */
static void map_and_unmap_on_itself(struct __test_metadata *_metadata, size_t shift)
{
	int dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC), fd;
	unsigned char *at = ELSEWHERE;
	uint64_t found;
	pid_t pid;
	int i;

	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_WINDOW))
		SKIP(return, "not in this kernel: windows");
	fd = attach(dev, getpid(), PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, fd);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(at, mmap(at, 16 * SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
				   (uintptr_t)at - shift));
		EXPECT_EQ(SIGBUS, load_signal(word(at, 100), &found));
		ASSERT_EQ(0, munmap(at, 16 * SIZE));
	}
	/* Exit with such a window mapped. */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		fd = attach(dev, getpid(), PVMREAD_WINDOW, 0, 0);
		at = mmap(at, 16 * SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			  (uintptr_t)at - shift);
		_exit(load_signal(word(at, 100), &found) != SIGBUS);
	}
	EXPECT_EQ(0, reap(pid, LEAVE_MS));
	close(fd);
	close(dev);
}

TEST(a_window_can_map_itself)
{
	map_and_unmap_on_itself(_metadata, 0);
}

TEST(a_window_can_map_itself_and_a_page_before_it)
{
	map_and_unmap_on_itself(_metadata, PAGE);
}

/* --- many at a time ------------------------------------------------------------ */

/**
 * struct crowd - memory shared by processes with windows on each other
 * @floor: for each process and page, the least number that the page can hold
 * @loads: number of loads that were checked
 * @changes: number of pages that were dropped, unmapped or remapped
 * @wrong: a load found a wrong number
 * @stop: the processes must end
 * @ready: number of processes that have mapped their memory
 */
struct crowd {
	uint64_t floor[3][PAGES];
	uint64_t loads;
	uint64_t changes;
	uint64_t wrong;
	int stop;
	int ready;
};

static struct crowd *crowd;

/* Where process @i has its memory. */
static unsigned char *memory_of(unsigned int i)
{
	return MEMORY + i * 2 * SIZE;
}

/* Change a page in one of several ways, then write the next number to it. */
static void churn(unsigned int me, uint64_t *state, uint64_t number)
{
	size_t page = (*state = mix(*state)) % PAGES;
	unsigned char *at = memory_of(me) + page * PAGE;

	switch (*state >> 32 & 3) {
	case 0:
		madvise(at, PAGE, MADV_DONTNEED);
		break;
	case 1:
		munmap(at, PAGE);
		map_memory(at, PAGE);
		break;
	case 2:
		mprotect(at, PAGE, PROT_NONE);
		mprotect(at, PAGE, PROT_READ | PROT_WRITE);
		break;
	default:
		mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       memory_of(me) + SIZE + page * PAGE);
		memset(memory_of(me) + SIZE + page * PAGE, 0xee, PAGE);
		map_memory(at, PAGE);
	}
	__atomic_fetch_add(&crowd->changes, 1, __ATOMIC_RELAXED);
	__atomic_store_n((uint64_t *)at, number, __ATOMIC_RELEASE);
	set(&crowd->floor[me][page], number);
}

static void *churn_for_ever(void *arg)
{
	unsigned int me = (uintptr_t)arg;
	uint64_t state = me + 1, number = 1;

	while (!get(&crowd->stop)) {
		churn(me, &state, ++number);
		/* Leave time for loads from mapped pages. */
		if (number % 8 == 0)
			usleep(500);
	}
	return NULL;
}

/* Load from a window on process @of. A page may be zero between its change and the write. */
static void check_loads(const unsigned char *at, unsigned int of, uint64_t *state,
			unsigned int count)
{
	uint64_t floor, found, checked = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		size_t page = (*state = mix(*state)) % PAGES;

		floor = get(&crowd->floor[of][page]);
		if (!load_word(word(at, page), &found) || !found)
			continue;
		if (found < floor || found >> 32) {
			say("page %zu of process %u holds %llu, must hold at least %llu", page, of,
			    (unsigned long long)found, (unsigned long long)floor);
			set(&crowd->wrong, 1);
		}
		checked++;
	}
	__atomic_fetch_add(&crowd->loads, checked, __ATOMIC_RELAXED);
}

/*
 * Act as process @me: change its own memory, load from windows on the next process, and
 * map and unmap those windows.
 */
static int be_one(int dev, int me, int count, const pid_t *pids)
{
	int of = (me + 1) % count;
	uint64_t state = me + 100;
	pthread_t thread;
	int fd = -1;

	die_with_parent();
	if (map_memory(memory_of(me), 2 * SIZE) != memory_of(me))
		return 1;
	__atomic_fetch_add(&crowd->ready, 1, __ATOMIC_RELEASE);
	/* Wait until all processes have mapped their memory. */
	while (get(&crowd->ready) < count || !get(&pids[of]))
		usleep(100);
	if (pthread_create(&thread, NULL, churn_for_ever, (void *)(uintptr_t)me))
		return 1;
	fd = attach(dev, pids[of], PVMREAD_WINDOW, 0, 0);
	while (fd >= 0 && !get(&crowd->stop)) {
		unsigned char *at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd,
					 (uintptr_t)memory_of(of));
		unsigned int i;

		if (at == MAP_FAILED)
			return 1;
		for (i = 0; i < 200 && !get(&crowd->stop); i++)
			check_loads(at, of, &state, 2000);
		munmap(at, SIZE);
	}
	pthread_join(thread, NULL);
	close(fd);
	return fd < 0;
}

/* @count processes, each with windows on the next one. A single process has them on itself. */
static void form_ring(struct __test_metadata *_metadata, unsigned int count)
{
	unsigned int i, seconds = number_from("RACE_SECONDS", SECONDS);
	uint64_t changes = number_from("CHANGES", 1000), loads = number_from("LOADS", 100000);
	int dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	pid_t *pids;

	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_WINDOW))
		SKIP(return, "not in this kernel: windows");
	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, crowd);
	pids = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, pids);
	for (i = 0; i < count; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid)
			_exit(be_one(dev, i, count, pids));
		set(&pids[i], pid);
	}
	/* A slow guest may need longer to reach both minimums. */
	for (i = 0; !get(&crowd->wrong) && i < seconds * 10 + PATIENCE_MS / 100; i++) {
		if (i >= seconds * 10 && get(&crowd->loads) >= loads &&
		    get(&crowd->changes) >= changes)
			break;
		usleep(100000);
	}
	set(&crowd->stop, 1);
	for (i = 0; i < count; i++)
		EXPECT_EQ(0, reap(pids[i], LEAVE_MS));
	say("%llu loads during %llu changes", (unsigned long long)crowd->loads,
	    (unsigned long long)crowd->changes);
	EXPECT_EQ(0, crowd->wrong);
	EXPECT_LE(changes, crowd->changes);
	EXPECT_LE(loads, crowd->loads);
	munmap(crowd, sizeof(*crowd));
	munmap(pids, PAGE);
	close(dev);
}

TEST(windows_on_oneself_show_no_stale_data)
{
	form_ring(_metadata, 1);
}

TEST(windows_on_each_other_show_no_stale_data)
{
	form_ring(_metadata, 2);
}

TEST(windows_in_a_ring_of_three_show_no_stale_data)
{
	form_ring(_metadata, 3);
}

TEST_HARNESS_MAIN
