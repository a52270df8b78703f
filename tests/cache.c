// SPDX-License-Identifier: GPL-2.0
/*
 * Cache: a target file with PVMREAD_CACHE, and a window on it, show what the target's memory
 * holds at the time of the call or load, whatever the target and the kernel do to its pages.
 *
 * Each variant of the fixture is one event that changes translations. The target causes
 * it again and again, and after each event writes the number of the round to all its
 * pages. First tester and target take turns: the tester reads all pages until the cache
 * has them, then the target causes the next event, and the tester must see it. Then both
 * run at the same time for RACE_SECONDS, and the tester checks each read against the
 * target's announcements before and after it.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <kselftest_harness.h>

#include "numbers.h"
#include "process.h"
#include "load.h"
#include "random.h"
#include "swap.h"
#include "vm.h"

#define PAGES		8U
/* Unused in every process here, and aligned to a huge page. */
#define WINDOW		((unsigned char *)0x50000000UL)
#define ELSEWHERE	((unsigned char *)0x60000000UL)
#define TWIN		((unsigned char *)0x70000000UL)

#define TURNS		20U
#define SECONDS		2

/* The expected contents in a turn: newly mapped memory is zero. */
enum { CHANGING, HOLDS_ROUND, IS_ZERO, IS_GONE };

/**
 * struct board - memory shared by target and tester
 * @state: number of the stage; the low two bits are the state of the memory
 * @floor: the smallest number that a page can still hold
 * @round: the number that is being written
 * @turn: the stage that the tester has read; UINT64_MAX: the target waits for no read
 * @stop: tells the target to end
 * @trouble: why the target gave up
 */
struct board {
	uint64_t state;
	uint64_t floor;
	uint64_t round;
	uint64_t turn;
	int stop;
	char trouble[128];
};

static struct board *board;
static int dev = -1;

static __attribute__((noreturn)) void broken(const char *what)
{
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what, strerror(errno));
	_exit(2);
}

#define must(what)	do { if (!(what)) broken(#what); } while (0)

/* --- the target ------------------------------------------------------------ */

static int memfd = -1;

static uint64_t *word(unsigned char *at, unsigned int page)
{
	return (uint64_t *)(at + page * PAGE + page * 8);
}

static void map_at(unsigned char *at, size_t len, int flags, int fd)
{
	must(mmap(at, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == at);
}

static void map_anonymous(void)
{
	map_at(WINDOW, PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static bool is_racing(void)
{
	return get(&board->turn) == UINT64_MAX;
}

/*
 * Announce the state of the memory. When taking turns, wait until the tester has read
 * it; in the race, continue at once or after a short delay.
 */
static void stage(int kind)
{
	uint64_t state = (get(&board->state) | 3) + 1;

	set(&board->state, state | kind);
	if (is_racing() && state / 4 % 5 == 0)
		usleep(100);
	while (get(&board->turn) < state && !get(&board->stop))
		usleep(10);
	set(&board->state, state | CHANGING);
}

static void write_round_at(unsigned char *at)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		__atomic_store_n(word(at, i), board->round, __ATOMIC_RELAXED);
}

/* Write the number of the round to all pages, and let the tester check them. */
static void hold_round(void)
{
	write_round_at(WINDOW);
	set(&board->floor, board->round);
	stage(HOLDS_ROUND);
}

static void do_munmap(void)
{
	must(!munmap(WINDOW, PAGES * PAGE));
	stage(IS_GONE);
	map_anonymous();
}

static void do_map_over(void)
{
	map_anonymous();
	stage(IS_ZERO);
}

static void do_dontneed(void)
{
	must(!madvise(WINDOW, PAGES * PAGE, MADV_DONTNEED));
}

/* The tester's reads map the zero page, which the next write replaces. */
static void do_zero_page(void)
{
	do_dontneed();
	stage(IS_ZERO);
}

static void do_free(void)
{
	must(!madvise(WINDOW, PAGES * PAGE, MADV_FREE));
	must(!madvise(WINDOW, PAGES * PAGE, MADV_PAGEOUT));
}

static void do_mremap(void)
{
	must(mremap(WINDOW, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    ELSEWHERE) == ELSEWHERE);
	stage(IS_GONE);
	write_round_at(ELSEWHERE);
	must(mremap(ELSEWHERE, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    WINDOW) == WINDOW);
}

static void do_mprotect(void)
{
	must(!mprotect(WINDOW, PAGES * PAGE, PROT_NONE));
	stage(IS_GONE);
	must(!mprotect(WINDOW, PAGES * PAGE, PROT_READ | PROT_WRITE));
}

/* The pages are shared with a child until the target writes. */
static pid_t fork_child(bool writes)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid) {
		die_with_parent();
		if (writes)
			memset(WINDOW, 0xee, PAGES * PAGE);
		else
			pause();
		_exit(0);
	}
	return pid;
}

static void do_cow(void)
{
	pid_t pid = fork_child(false);

	write_round_at(WINDOW);
	kill(pid, SIGKILL);
	must(waitpid(pid, NULL, 0) == pid);
}

/* The child's writes must not be visible. */
static void do_cow_in_child(void)
{
	pid_t pid = fork_child(true);

	must(waitpid(pid, NULL, 0) == pid);
}

static void do_truncate(void)
{
	must(!ftruncate(memfd, 0));
	stage(IS_GONE);
	must(!ftruncate(memfd, HUGE_PAGE));
}

static void do_punch(void)
{
	must(!fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE_PAGE));
	stage(IS_ZERO);
}

static void do_collapse(void)
{
	if (madvise(WINDOW, HUGE_PAGE, 25 /* MADV_COLLAPSE */) && errno != EAGAIN)
		broken("MADV_COLLAPSE");
	hold_round();
	/* This page is after the tested memory, but in the same huge page. */
	must(!madvise(WINDOW + HUGE_PAGE - PAGE, PAGE, MADV_DONTNEED));
	must(!madvise(WINDOW, PAGES * PAGE, MADV_DONTNEED));
}

/* New pages can be anywhere in memory. Compaction moves them towards its end. */
static void do_compact(void)
{
	do_dontneed();
	hold_round();
	set(&board->round, board->round + 1);
	must(!write_file("/proc/sys/vm/compact_memory", "1"));
}

/* Move the pages to the other of two nodes. */
static void do_migrate(void)
{
	int nodes[PAGES], status[PAGES];
	void *pages[PAGES];
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		pages[i] = WINDOW + i * PAGE;
		nodes[i] = board->round % 2;
	}
	must(syscall(SYS_move_pages, 0, PAGES, pages, nodes, status, 0) >= 0);
}

#define KSM	"/sys/kernel/mm/ksm/"

/* Give all pages the same bytes, so that KSM merges them until they are written. */
static void do_ksm(void)
{
	long scans = number_in(KSM "full_scans");
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		memset(WINDOW + i * PAGE, 0, PAGE);
		memset(WINDOW + i * PAGE + PAGE / 2, 0x77, PAGE / 2);
	}
	while (number_in(KSM "full_scans") < scans + 3 && !get(&board->stop))
		usleep(1000);
	stage(IS_ZERO);
}

static uint64_t frame_of(const void *addr)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (pread(fd, &entry, 8, (uintptr_t)addr / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* Swap all pages out. In the race, the tester swaps some of them in meanwhile. */
static void swap_out(void)
{
	long end = now_ms() + PATIENCE_MS;
	unsigned int swapped;

	for (;;) {
		must(!madvise(WINDOW, PAGES * PAGE, MADV_PAGEOUT));
		swapped = count_swapped(WINDOW, PAGES);
		if (swapped == PAGES || (swapped && is_racing()) || get(&board->stop))
			break;
		errno = ETIMEDOUT;
		must(now_ms() < end);
		/* MADV_PAGEOUT skips pages in another CPU's LRU batch: drain the batches. */
		must(!write_file("/proc/sys/vm/drop_caches", "1"));
	}
	/* Let other pages take the old frames, so that swapped pages return to different ones. */
	map_at(TWIN, 8 * PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(TWIN, 0xee, 8 * PAGES * PAGE);
}

/* The pages are first swapped in by the tester's read, then by the target's write. */
static void do_swap(void)
{
	uint64_t frames[PAGES];
	unsigned int moved = 0, i;

	swap_out();
	stage(HOLDS_ROUND);
	for (i = 0; i < PAGES; i++)
		frames[i] = frame_of(word(WINDOW, i));
	swap_out();
	write_round_at(WINDOW);
	for (i = 0; i < PAGES; i++)
		moved += frame_of(word(WINDOW, i)) != frames[i];
	must(moved || is_racing());
}

static void *sleep_always(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

/* NUMA balancing skips the node that a process with one thread runs on. */
static void prepare_two_threads(void)
{
	pthread_t thread;

	map_anonymous();
	must(!pthread_create(&thread, NULL, sleep_always, NULL));
}

/* Do not sleep: the kernel makes a task scan its memory once the task has run for a while. */
static void await_hinting(void)
{
	long before = proc_number("/proc/vmstat", "numa_pte_updates");
	long end = now_ms() + PATIENCE_MS;

	while (proc_number("/proc/vmstat", "numa_pte_updates") < before + PAGES) {
		errno = ETIMEDOUT;
		must(now_ms() < end);
		if (get(&board->stop))
			break;
	}
}

/* The pages become PROT_NONE, until the target touches them. */
static void do_numa_hinting(void)
{
	long end = now_ms() + PATIENCE_MS, faults;
	unsigned int i;

	do {
		errno = ETIMEDOUT;
		must(now_ms() < end);
		await_hinting();
		stage(HOLDS_ROUND);
		faults = proc_number("/proc/vmstat", "numa_hint_faults");
		for (i = 0; i < PAGES; i++)
			__atomic_load_n(word(WINDOW, i), __ATOMIC_RELAXED);
		/* Other memory may have been scanned first. */
	} while (proc_number("/proc/vmstat", "numa_hint_faults") < faults + PAGES &&
		 !get(&board->stop));
}

/* As linux/userfaultfd.h has it since 6.8 */
struct uffd_move {
	uint64_t dst;
	uint64_t src;
	uint64_t len;
	uint64_t mode;
	int64_t move;
};

#define UFFD_MOVE	_IOWR(0xaa, 0x05, struct uffd_move)

static int uffd = -1;

static void prepare_uffd_move(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = 1 << 16 /* MOVE */ };
	struct uffdio_register reg = {
		.range = { (uintptr_t)ELSEWHERE, PAGES * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	map_anonymous();
	map_at(ELSEWHERE, PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	must(uffd >= 0);
	must(!ioctl(uffd, UFFDIO_API, &api));
	must(!ioctl(uffd, UFFDIO_REGISTER, &reg));
}

static void do_uffd_move(void)
{
	struct uffd_move move = {
		.dst = (uintptr_t)ELSEWHERE,
		.src = (uintptr_t)WINDOW,
		.len = PAGES * PAGE,
	};

	must(!ioctl(uffd, UFFD_MOVE, &move));
	/* The tester's next read maps the zero page. */
	stage(IS_ZERO);
	must(!madvise(ELSEWHERE, PAGES * PAGE, MADV_DONTNEED));
}

static void map_memfd(int fd)
{
	memfd = fd;
	must(fd >= 0);
	must(!ftruncate(fd, HUGE_PAGE));
	map_at(WINDOW, HUGE_PAGE, MAP_SHARED, fd);
}

static void prepare_shmem(void)
{
	map_memfd(memfd_create("cache", MFD_CLOEXEC));
}

static void prepare_hugetlb(void)
{
	map_memfd(memfd_create("cache", MFD_CLOEXEC | MFD_HUGETLB));
}

static void prepare_hugetlb_private(void)
{
	map_at(WINDOW, HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
}

static void prepare_huge(void)
{
	map_at(WINDOW, HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	must(!madvise(WINDOW, HUGE_PAGE, MADV_HUGEPAGE));
}

static void prepare_mergeable(void)
{
	map_anonymous();
	must(!madvise(WINDOW, PAGES * PAGE, MADV_MERGEABLE));
}

/* --- requirements on the kernel ---------------------------------------------- */

static bool has_huge_pages(void)
{
	write_file("/proc/sys/vm/nr_hugepages", "4");
	return proc_number("/proc/meminfo", "HugePages_Free:") >= 3;
}

static bool has_thp(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK);
}

static bool has_compaction(void)
{
	return !access("/proc/sys/vm/compact_memory", F_OK);
}

static bool has_two_nodes(void)
{
	return !access("/sys/devices/system/node/node1", F_OK);
}

static bool has_ksm(void)
{
	if (access(KSM "run", F_OK))
		return false;
	write_file(KSM "sleep_millisecs", "1");
	write_file(KSM "pages_to_scan", "1000");
	write_file(KSM "smart_scan", "0");
	write_file(KSM "run", "1");
	return true;
}

#define BALANCING	"/proc/sys/kernel/numa_balancing"
#define BALANCING_DEBUG	"/sys/kernel/debug/sched/numa_balancing/"

/* The setting before the tests. */
static long was_balancing;

/* Enable it. Processes that start from now on are scanned often. */
static bool has_numa_balancing(void)
{
	write_file(BALANCING_DEBUG "scan_delay_ms", "1");
	write_file(BALANCING_DEBUG "scan_period_min_ms", "1");
	write_file(BALANCING_DEBUG "scan_period_max_ms", "20");
	write_file(BALANCING_DEBUG "scan_size_mb", "16");
	return !write_file(BALANCING, "1");
}

static void restore_balancing(void)
{
	if (was_balancing >= 0)
		write_file(BALANCING, was_balancing ? "1" : "0");
}

static bool has_uffd_move(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = 1 << 16 };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	bool there = fd >= 0 && !ioctl(fd, UFFDIO_API, &api);

	close(fd);
	return there;
}

/* --- the tester ------------------------------------------------------------ */

/*
 * The ways to read all pages: by one pread(2), by one for each page, by BATCH, by loads from
 * the window, and by a virtual machine whose memory is the window.
 */
enum way { READ, READ_EACH, BATCH, LOAD, MACHINE };

FIXTURE(cache) {
	pid_t target;
	int fd;
	unsigned char *window;
	struct vm vm;
	unsigned int ways;
	unsigned long reads;
	char path[64];
};

/**
 * FIXTURE_VARIANT(cache) - one event
 * @make: causes it, once per round; the round's number is then written to the memory
 * @prepare: maps the memory; map_anonymous() if NULL
 * @needs: whether this kernel supports it; NULL: every kernel does
 * @lacks: the feature that the kernel lacks if @needs() is false
 * @counts: counters of /proc/vmstat that show that the event took place
 * @slow: divides the number of rounds
 * @huge: the memory may be a huge page
 */
FIXTURE_VARIANT(cache) {
	void (*make)(void);
	void (*prepare)(void);
	bool (*needs)(void);
	const char *lacks;
	const char *counts[2];
	unsigned int slow;
	bool huge;
};

FIXTURE_VARIANT_ADD(cache, munmap) {
	.make = do_munmap,
};

FIXTURE_VARIANT_ADD(cache, map_over) {
	.make = do_map_over,
};

FIXTURE_VARIANT_ADD(cache, dontneed) {
	.make = do_dontneed,
};

FIXTURE_VARIANT_ADD(cache, zero_page) {
	.make = do_zero_page,
};

FIXTURE_VARIANT_ADD(cache, free) {
	.make = do_free,
};

FIXTURE_VARIANT_ADD(cache, mremap) {
	.make = do_mremap,
};

FIXTURE_VARIANT_ADD(cache, mprotect) {
	.make = do_mprotect,
};

FIXTURE_VARIANT_ADD(cache, cow) {
	.make = do_cow,
};

FIXTURE_VARIANT_ADD(cache, cow_in_child) {
	.make = do_cow_in_child,
};

FIXTURE_VARIANT_ADD(cache, truncate) {
	.make = do_truncate,
	.prepare = prepare_shmem,
};

FIXTURE_VARIANT_ADD(cache, punch) {
	.make = do_punch,
	.prepare = prepare_shmem,
};

FIXTURE_VARIANT_ADD(cache, collapse) {
	.make = do_collapse,
	.prepare = prepare_huge,
	.needs = has_thp,
	.lacks = "huge pages",
	.slow = 4,
	.huge = true,
};

FIXTURE_VARIANT_ADD(cache, compact) {
	.make = do_compact,
	.needs = has_compaction,
	.lacks = "compaction",
	.slow = 4,
};

FIXTURE_VARIANT_ADD(cache, migrate) {
	.make = do_migrate,
	.needs = has_two_nodes,
	.lacks = "a second NUMA node",
};

FIXTURE_VARIANT_ADD(cache, ksm) {
	.make = do_ksm,
	.prepare = prepare_mergeable,
	.needs = has_ksm,
	.lacks = "KSM",
	.slow = 10,
};

FIXTURE_VARIANT_ADD(cache, swap) {
	.make = do_swap,
	.needs = swap_on,
	.lacks = "swap space",
	.counts = { "pswpout", "pswpin" },
};

FIXTURE_VARIANT_ADD(cache, numa_hinting) {
	.make = do_numa_hinting,
	.prepare = prepare_two_threads,
	.needs = has_numa_balancing,
	.lacks = "NUMA balancing",
	.counts = { "numa_pte_updates", "numa_hint_faults" },
	.slow = 4,
};

FIXTURE_VARIANT_ADD(cache, uffd_move) {
	.make = do_uffd_move,
	.prepare = prepare_uffd_move,
	.needs = has_uffd_move,
	.lacks = "UFFDIO_MOVE",
};

FIXTURE_VARIANT_ADD(cache, hugetlb_punch) {
	.make = do_punch,
	.prepare = prepare_hugetlb,
	.needs = has_huge_pages,
	.lacks = "free huge pages",
	.huge = true,
};

FIXTURE_VARIANT_ADD(cache, hugetlb_cow) {
	.make = do_cow,
	.prepare = prepare_hugetlb_private,
	.needs = has_huge_pages,
	.lacks = "free huge pages",
	.huge = true,
};

static __attribute__((noreturn)) void be_target(void (*prepare)(void), void (*make)(void))
{
	die_with_parent();
	prepare();
	for (;;) {
		hold_round();
		if (get(&board->stop))
			_exit(0);
		set(&board->round, board->round + 1);
		make();
	}
}

static bool wait_until(uint64_t *what, uint64_t least)
{
	long end = now_ms() + PATIENCE_MS;

	while (get(what) < least && !board->trouble[0] && now_ms() < end)
		usleep(10);
	return get(what) >= least;
}

FIXTURE_SETUP(cache)
{
	bool window;

	self->fd = -1;
	self->window = MAP_FAILED;
	self->vm = VM_NONE;
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_CACHE))
		SKIP(return, "not in this kernel: MMU notifiers");
	window = has_feature(dev, PVMREAD_FEATURE_WINDOW);
	if (variant->needs && !variant->needs())
		SKIP(return, "not in this kernel: %s", variant->lacks);

	board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, board);
	board->round = 1;
	self->target = fork();
	ASSERT_LE(0, self->target);
	if (!self->target)
		be_target(variant->prepare ?: map_anonymous, variant->make);
	ASSERT_TRUE(wait_until(&board->state, 4)) TH_LOG("%s", board->trouble);
	self->fd = attach(dev, self->target, PVMREAD_CACHE | (window ? PVMREAD_WINDOW : 0),
			  (uintptr_t)WINDOW, PAGES * PAGE);
	ASSERT_LE(0, self->fd);
	self->ways = LOAD;
	if (window) {
		self->window = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, self->fd,
				    (uintptr_t)WINDOW);
		ASSERT_NE(MAP_FAILED, self->window);
		self->ways = MACHINE;
		/* KVM of Linux 6.12 refuses PTEs that map a part of a huge page. */
		if (!variant->huge || kernel_version() >= 6013) {
			if (vm_open(&self->vm, self->window, PAGES * PAGE))
				self->ways++;
			else
				ASSERT_EQ(ENOENT, errno);
		}
	}
	snprintf(self->path, sizeof(self->path), "/proc/self/fdinfo/%d", self->fd);
}

FIXTURE_TEARDOWN(cache)
{
	if (self->target > 0) {
		kill(self->target, SIGKILL);
		waitpid(self->target, NULL, 0);
	}
	if (board)
		munmap(board, PAGE);
	board = NULL;
	vm_close(&self->vm);
	if (self->window != MAP_FAILED)
		munmap(self->window, PAGES * PAGE);
	close(self->fd);
	close(dev);
	write_file(KSM "run", "2");
	write_file("/proc/sys/vm/nr_hugepages", "0");
	restore_balancing();
	swap_off();
}

/**
 * struct look - the result of a read
 * @error: 0, or the errno
 * @values: the value of each page, if there was no error
 */
struct look {
	int error;
	uint64_t values[PAGES];
};

/* Read all pages. */
static void look(const FIXTURE_DATA(cache) * self, unsigned int way, struct look *found)
{
	static unsigned char bytes[PAGES * PAGE];
	struct pvmread_segment segs[PAGES];
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.segments = (uintptr_t)segs,
		.count = PAGES,
	};
	ssize_t got = PAGES * PAGE;
	unsigned int i, tries;
	int fd = self->fd;
	uint32_t half;

	found->error = 0;
	switch (way % self->ways) {
	case READ:
		got = pread(fd, bytes, sizeof(bytes), (uintptr_t)WINDOW);
		for (i = 0; i < PAGES; i++)
			found->values[i] = *word(bytes, i);
		break;
	case READ_EACH:
		for (i = 0; i < PAGES && got > 0; i++)
			got = pread(fd, &found->values[i], 8, (uintptr_t)word(WINDOW, i));
		got = got == 8 ? (ssize_t)sizeof(bytes) : got;
		break;
	case BATCH:
		for (i = 0; i < PAGES; i++)
			segs[i] = (struct pvmread_segment){
				.remote = (uintptr_t)word(WINDOW, i),
				.local = (uintptr_t)&found->values[i],
				.length = 8,
			};
		if (ioctl(fd, PVMREAD_IOC_BATCH, &batch))
			got = -1;
		for (i = 0; i < PAGES; i++)
			if (segs[i].error)
				got = -1, errno = segs[i].error;
		break;
	case LOAD:
		for (i = 0; i < PAGES && got; i++)
			if (!load_word(word(self->window, i), &found->values[i]))
				got = 0;
		break;
	default:
		for (i = 0; i < PAGES && got > 0; i++) {
			/* Unlike a CPU, KVM does not retry while the page is being replaced. */
			for (tries = 0; tries < 10; tries++) {
				errno = vm_load(&self->vm, i * PAGE + i * 8, &half);
				if (errno != EFAULT)
					break;
			}
			found->values[i] = half;
			if (errno)
				got = errno == EFAULT ? 0 : -1;
		}
	}
	if (got < 0)
		found->error = errno;
	else if (got < (ssize_t)sizeof(bytes))
		found->error = EIO;
}

/* Check a read against the announcements before and after it. Return: it was right. */
static bool is_right(const struct look *found, uint64_t before, uint64_t floor,
		     uint64_t after, uint64_t round)
{
	const int kind = before == after ? before & 3 : CHANGING;
	unsigned int i;

	if (found->error)
		return found->error == EIO && (kind == IS_GONE || kind == CHANGING);
	if (kind == IS_GONE)
		return false;
	for (i = 0; i < PAGES; i++) {
		uint64_t value = found->values[i];

		/* @round may be a later one: it was read after @after. */
		if (kind == HOLDS_ROUND ? value != floor :
		    kind == IS_ZERO ? value != 0 :
		    value && (value < floor || value > round))
			return false;
	}
	return true;
}

static bool look_and_judge(FIXTURE_DATA(cache) * self, unsigned int way)
{
	uint64_t before, floor, after, round;
	struct look found;
	unsigned int i;

	before = get(&board->state);
	floor = get(&board->floor);
	look(self, way, &found);
	after = get(&board->state);
	round = get(&board->round);
	self->reads++;
	if (is_right(&found, before, floor, after, round))
		return true;
	say("way %u, state %llx to %llx, floor %llu, round %llu, error %d", way % self->ways,
	    (unsigned long long)before, (unsigned long long)after, (unsigned long long)floor,
	    (unsigned long long)round, found.error);
	for (i = 0; i < PAGES && !found.error; i++)
		say("page %u holds %llu", i, (unsigned long long)found.values[i]);
	return false;
}

static long figure(FIXTURE_DATA(cache) * self, const char *name)
{
	return proc_number(self->path, name);
}

/* Read each stage in all ways, then let the target continue. */
static void take_turns(struct __test_metadata *_metadata, FIXTURE_DATA(cache) * self,
		       unsigned int turns)
{
	unsigned int way;

	while (get(&board->round) < turns) {
		uint64_t state = get(&board->state);
		long end = now_ms() + PATIENCE_MS, hits;

		/* Repeat until the cache has the pages, if there are any. */
		do {
			hits = figure(self, "hits:");
			for (way = 0; way < self->ways; way++)
				ASSERT_TRUE(look_and_judge(self, way));
			ASSERT_GT(end, now_ms());
		} while ((state & 3) != IS_GONE && figure(self, "hits:") < hits + 2 * PAGES + 1);
		set(&board->turn, state & ~3ULL);
		/* The next stage has begun when its kind is set. */
		while (get(&board->state) <= (state | 3) || !(get(&board->state) & 3)) {
			ASSERT_EQ(0, board->trouble[0]) TH_LOG("%s", board->trouble);
			usleep(10);
		}
	}
}

/* Expect that the counters of the event have grown by @least, and take new start values. */
static void expect_counts(struct __test_metadata *_metadata,
			  const FIXTURE_VARIANT(cache) * variant, long counts[2], long least)
{
	unsigned int i;

	for (i = 0; i < 2 && variant->counts[i]; i++) {
		long count = proc_number("/proc/vmstat", variant->counts[i]);

		EXPECT_LE(counts[i] + least, count) TH_LOG("%s", variant->counts[i]);
		counts[i] = count;
	}
}

/* Has the race, which began at @rounds and @hits, had enough reads, a whole event and a hit? */
static bool has_raced(FIXTURE_DATA(cache) * self, long rounds, long hits)
{
	return self->reads >= 100 && (long)get(&board->round) > rounds + 1 &&
	       figure(self, "hits:") > hits;
}

TEST_F(cache, shows_each_change)
{
	const char *limit = getenv("RACE_SECONDS");
	unsigned int slow = variant->slow ?: 1, way = 0;
	long begin, end, hits, misses, rounds, invalidations;
	long counts[2] = {};
	struct look found;

	expect_counts(_metadata, variant, counts, 0);
	take_turns(_metadata, self, 2);
	/* The cache has all pages now, and misses those that an event removes. */
	misses = figure(self, "misses:");
	take_turns(_metadata, self, TURNS / slow + 2);
	invalidations = figure(self, "invalidations:");
	/* An event may advance the round number by two. */
	EXPECT_LE(TURNS / slow / 2, invalidations);
	EXPECT_LE(TURNS / slow / 2, figure(self, "misses:") - misses);
	expect_counts(_metadata, variant, counts, PAGES * TURNS / slow);

	hits = figure(self, "hits:");
	rounds = board->round;
	self->reads = 0;
	set(&board->turn, UINT64_MAX);
	begin = now_ms();
	end = begin + 1000 * (limit ? strtol(limit, NULL, 10) : SECONDS);
	/* A slow guest may need longer to reach each minimum. */
	while (now_ms() < end ||
	       (!has_raced(self, rounds, hits) && now_ms() < begin + PATIENCE_MS)) {
		ASSERT_TRUE(look_and_judge(self, way++));
		ASSERT_EQ(0, board->trouble[0]) TH_LOG("%s", board->trouble);
	}
	EXPECT_TRUE(has_raced(self, rounds, hits));
	say("%lu reads during %ld rounds were right; %ld hits, %ld invalidations", self->reads,
	    (long)get(&board->round) - rounds, figure(self, "hits:") - hits,
	    figure(self, "invalidations:") - invalidations);
	expect_counts(_metadata, variant, counts, 1);

	set(&board->stop, 1);
	ASSERT_EQ(0, reap(self->target, LEAVE_MS));
	self->target = 0;
	for (way = 0; way < self->ways; way++) {
		look(self, way, &found);
		EXPECT_EQ(way >= LOAD ? EIO : ESRCH, found.error);
	}
	if (self->ways > LOAD)
		EXPECT_LE(TURNS / slow / 2, figure(self, "zapped:"));
}

/* The tests above leave the virtual machine out if there is no KVM; this one reports it. */
TEST(virtual_machine_loads_its_memory)
{
	unsigned char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t value = 0;
	struct vm vm;
	size_t at;

	ASSERT_NE(MAP_FAILED, memory);
	if (!vm_open(&vm, memory, PAGES * PAGE)) {
		ASSERT_EQ(ENOENT, errno);
		SKIP(return, "not in this kernel: KVM");
	}
	for (at = 0; at < PAGES * PAGE; at += PAGE / 2) {
		memory[at + 1] = at / PAGE + 1;
		EXPECT_EQ(0, vm_load(&vm, at, &value));
		EXPECT_EQ((at / PAGE + 1) << 8, value);
	}
	ASSERT_EQ(0, munmap(memory, PAGE));
	EXPECT_EQ(EFAULT, vm_load(&vm, 0, &value));
	EXPECT_EQ(0, vm_load(&vm, PAGE, &value));
	vm_close(&vm);
	munmap(memory, PAGES * PAGE);
}

/* --- a target at rest ---------------------------------------------------- */

FIXTURE(cached) {
	int fd;
	int plain;
	char path[64];
};

FIXTURE_SETUP(cached)
{
	self->fd = -1;
	self->plain = -1;
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_CACHE)) {
		EXPECT_EQ(-1, attach(dev, getpid(), PVMREAD_CACHE, 0, 0));
		EXPECT_EQ(EOPNOTSUPP, errno);
		SKIP(return, "not in this kernel: MMU notifiers");
	}
	self->plain = attach(dev, getpid(), 0, 0, 0);
	self->fd = attach(dev, getpid(), PVMREAD_CACHE, 0, 0);
	ASSERT_LE(0, self->fd);
	snprintf(self->path, sizeof(self->path), "/proc/self/fdinfo/%d", self->fd);
}

FIXTURE_TEARDOWN(cached)
{
	close(self->fd);
	close(self->plain);
	close(dev);
}

static unsigned char *map_pages(size_t pages)
{
	unsigned char *mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/*
 * Read until the cache hits: after an invalidation a worker must run before pages are
 * cached again. Return: false if that does not happen.
 */
static bool warm(int fd, const char *path, const void *addr, size_t len)
{
	static unsigned char copy[8 * HUGE_PAGE];
	long end = now_ms() + PATIENCE_MS, hits;
	int k;

	do {
		hits = proc_number(path, "hits:");
		for (k = 0; k < 2; k++)
			if (pread(fd, copy, len, (uintptr_t)addr) != (ssize_t)len)
				return false;
		if (proc_number(path, "hits:") >= hits + (long)(len / (64 * 1024) + 1))
			return true;
		usleep(100);
	} while (now_ms() < end);
	return false;
}

/* The table has 64 entries at first, and at most 4,096. */
TEST_F(cached, reads_any_number_of_pages_right)
{
	static const size_t counts[] = { 1, 63, 64, 65, 500, 4096, 6000 };
	uint64_t value, state = 1;
	unsigned char *mem;
	size_t i, c;

	mem = map_pages(6000);
	ASSERT_NE(NULL, mem);
	for (i = 0; i < 6000; i++)
		*(uint64_t *)(mem + i * PAGE) = mix(i);
	ASSERT_TRUE(warm(self->fd, self->path, mem, 8));
	for (c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
		long hits = 0, tries;

		/* After an invalidation a worker must run before pages are cached again. */
		for (tries = 0; tries < 50 && hits < (long)counts[c]; tries++) {
			hits = -proc_number(self->path, "hits:");
			for (i = 0; i < 4 * counts[c]; i++) {
				size_t page = i;

				if (i >= counts[c])
					page = (state = mix(state)) % counts[c];
				ASSERT_EQ(8, pread(self->fd, &value, 8,
						   (uintptr_t)mem + page * PAGE));
				ASSERT_EQ(mix(page), value);
			}
			hits += proc_number(self->path, "hits:");
		}
		say("%zu pages: %ld of %zu reads hit", counts[c], hits, 4 * counts[c]);
		EXPECT_LE((long)counts[c], hits);
	}
	munmap(mem, 6000 * PAGE);
}

/* A request with RWF_NOWAIT uses the cache, but does not fill it. */
TEST_F(cached, nowait_adds_no_pages)
{
	uint64_t value = 7, got = 0;
	struct iovec local = { &got, 8 };
	int k;

	for (k = 0; k < 5; k++) {
		ASSERT_EQ(8, preadv2(self->fd, &local, 1, (uintptr_t)&value, RWF_NOWAIT));
		ASSERT_EQ(value, got);
	}
	EXPECT_EQ(0, proc_number(self->path, "hits:"));
	EXPECT_EQ(5, proc_number(self->path, "misses:"));
	ASSERT_TRUE(warm(self->fd, self->path, &value, 8));
	k = proc_number(self->path, "hits:");
	got = 0;
	ASSERT_EQ(8, preadv2(self->fd, &local, 1, (uintptr_t)&value, RWF_NOWAIT));
	EXPECT_EQ(value, got);
	EXPECT_EQ(k + 1, proc_number(self->path, "hits:"));
}

/* No request through a NOWAIT or RESIDENT file could fill a cache. */
TEST_F(cached, nowait_and_resident_files_have_no_cache)
{
	static const unsigned int flags[] = { PVMREAD_NOWAIT, PVMREAD_RESIDENT };
	uint64_t value = 7, got = 0;
	size_t i;

	for (i = 0; i < 2; i++) {
		char path[64];
		int fd = attach(dev, getpid(), PVMREAD_CACHE | flags[i], 0, 0);

		ASSERT_LE(0, fd);
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		ASSERT_EQ(8, pread(fd, &got, 8, (uintptr_t)&value));
		ASSERT_EQ(value, got);
		EXPECT_EQ(-1, proc_number(path, "hits:"));
		close(fd);
	}
}

/* The write replaces the zero page, and the next read must see the new page. */
TEST_F(cached, read_sees_a_write_to_the_same_file)
{
	unsigned char *mem = map_pages(1);
	uint64_t value = 5, got = 1;
	char path[64];
	int fd;

	ASSERT_NE(NULL, mem);
	fd = attach(dev, getpid(), PVMREAD_CACHE | PVMREAD_WRITE, 0, 0);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	/* The zero page */
	ASSERT_TRUE(warm(fd, path, mem, 8));
	ASSERT_EQ(8, pread(fd, &got, 8, (uintptr_t)mem));
	EXPECT_EQ(0, got);
	ASSERT_EQ(8, pwrite(fd, &value, 8, (uintptr_t)mem));
	ASSERT_EQ(8, pread(fd, &got, 8, (uintptr_t)mem));
	EXPECT_EQ(5, got);
	close(fd);
	munmap(mem, PAGE);
}

TEST_F(cached, read_is_esrch_after_exec)
{
	unsigned char *mem = map_pages(1);
	int fds[2], fd, k;
	char path[64], c;
	pid_t pid;

	ASSERT_NE(NULL, mem);
	*mem = 1;
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		die_with_parent();
		if (read(fds[0], &c, 1) == 1)
			execl("/bin/busybox", "sleep", "600", NULL);
		_exit(1);
	}
	fd = attach(dev, pid, PVMREAD_CACHE, 0, 0);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	ASSERT_TRUE(warm(fd, path, mem, 1));
	ASSERT_EQ(1, write(fds[1], "", 1));
	for (k = 0; k < PATIENCE_MS && pread(fd, &c, 1, (uintptr_t)mem) == 1; k++)
		usleep(1000);
	EXPECT_EQ(-1, pread(fd, &c, 1, (uintptr_t)mem));
	EXPECT_EQ(ESRCH, errno);
	close(fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(mem, PAGE);
}

/* Read once or, if @path (a cache's fdinfo) is not NULL, until the cache has all pages. */
static bool read_for_references(int fd, const char *path, const void *addr, size_t len)
{
	static unsigned char copy[8 * HUGE_PAGE];

	return path ? warm(fd, path, addr, len) :
	       pread(fd, copy, len, (uintptr_t)addr) == (ssize_t)len;
}

/*
 * A write by the only owner of a page reuses the page, unless another task has a reference.
 * Return: how many of the pages were kept.
 */
static unsigned int count_kept(int fd, const char *path, unsigned int pages)
{
	unsigned char *mem = map_pages(pages);
	unsigned int kept = 0, i;
	uint64_t frame;
	pid_t pid;

	if (!mem)
		return 0;
	memset(mem, 1, pages * PAGE);
	pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	if (!read_for_references(fd, path, mem, pages * PAGE))
		return 0;
	for (i = 0; i < pages; i++) {
		frame = frame_of(mem + i * PAGE);
		mem[i * PAGE] = 2;
		kept += frame && frame == frame_of(mem + i * PAGE);
	}
	munmap(mem, pages * PAGE);
	return kept;
}

TEST_F(cached, does_not_stop_cow_page_reuse)
{
	unsigned int plain, cached, tries;

	/* Even without a cache some pages are copied: another CPU's LRU batch may hold them. */
	for (tries = 0; tries < 20; tries++) {
		plain = count_kept(self->plain, NULL, 64);
		cached = count_kept(self->fd, self->path, 64);
		if (plain && cached >= plain)
			break;
	}
	EXPECT_LT(0, plain);
	EXPECT_LE(plain, cached);
}

#define SPLIT	"/sys/kernel/debug/split_huge_pages"

/* Return: how many of the @huge huge pages the kernel could split; -1: there were none. */
static long count_split(int fd, const char *path, unsigned int huge)
{
	long begin, split = -1;
	char text[80];

	if (mmap(WINDOW, huge * HUGE_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != WINDOW)
		return -1;
	madvise(WINDOW, huge * HUGE_PAGE, MADV_HUGEPAGE);
	memset(WINDOW, 1, huge * HUGE_PAGE);
	if (!read_for_references(fd, path, WINDOW, huge * HUGE_PAGE))
		goto unmap;
	if (proc_number("/proc/self/smaps_rollup", "AnonHugePages:") * 1024 <
	    (long)(huge * HUGE_PAGE))
		goto unmap;
	begin = proc_number("/proc/vmstat", "thp_split_page");
	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx", getpid(), (unsigned long)WINDOW,
		 (unsigned long)WINDOW + huge * HUGE_PAGE);
	if (!write_file(SPLIT, text))
		split = proc_number("/proc/vmstat", "thp_split_page") - begin;
unmap:
	munmap(WINDOW, huge * HUGE_PAGE);
	return split;
}

TEST_F(cached, does_not_stop_thp_split)
{
	long plain, cached;

	if (access(SPLIT, F_OK))
		SKIP(return, "not in this kernel: huge pages to split");
	plain = count_split(self->plain, NULL, 4);
	cached = count_split(self->fd, self->path, 4);
	if (plain < 0 || cached < 0)
		SKIP(return, "no huge pages");
	EXPECT_EQ(4, plain);
	EXPECT_EQ(4, cached);
}

#define MERGED	64U

/* Return: how many of the @pages equal pages KSM has merged; -1 on failure. */
static long count_merged(int fd, const char *path, unsigned int pages)
{
	unsigned char *mem = map_pages(pages);
	long end, scans, merged = -1;

	if (!mem)
		return -1;
	memset(mem, 0x77, pages * PAGE);
	if (madvise(mem, pages * PAGE, MADV_MERGEABLE) ||
	    !read_for_references(fd, path, mem, pages * PAGE))
		goto unmap;
	scans = number_in(KSM "full_scans");
	end = now_ms() + PATIENCE_MS;
	/* This enables KSM. */
	has_ksm();
	/* The first scan may have begun earlier. */
	while (number_in(KSM "full_scans") < scans + 4 && now_ms() < end)
		usleep(1000);
	merged = number_in(KSM "pages_shared") + number_in(KSM "pages_sharing");
	write_file(KSM "run", "2");
unmap:
	munmap(mem, pages * PAGE);
	return merged;
}

TEST_F(cached, does_not_stop_ksm_merging)
{
	long plain, cached;

	if (access(KSM "run", F_OK))
		SKIP(return, "not in this kernel: KSM");
	plain = count_merged(self->plain, NULL, MERGED);
	cached = count_merged(self->fd, self->path, MERGED);
	say("merged pages: %ld without a cache, %ld with one", plain, cached);
	EXPECT_EQ(MERGED, plain);
	EXPECT_EQ(MERGED, cached);
}

/* Pages to compact. With the free ones between them, they must fit into a guest's memory. */
#define COMPACTED	(PAGE > 16384 ? 32U : 512U)
/* The number of free pages after each. */
#define GAP		31U

/*
 * Map pages with free pages between them in physical memory. So compaction has pages to
 * move, and room to move them to.
 */
static unsigned char *map_apart(unsigned int pages)
{
	unsigned char *mem = map_pages(pages), *gaps = map_pages(pages * GAP);
	unsigned int i, k;

	if (!mem || !gaps)
		return NULL;
	/* Compaction moves no huge pages. */
	madvise(mem, pages * PAGE, MADV_NOHUGEPAGE);
	madvise(gaps, pages * GAP * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < pages; i++) {
		mem[i * PAGE] = 1;
		for (k = 0; k < GAP; k++)
			gaps[(i * GAP + k) * PAGE] = 1;
	}
	munmap(gaps, pages * GAP * PAGE);
	return mem;
}

/* Return: how many of the @pages pages compaction has moved; -1 on failure. */
static long count_compacted(int fd, const char *path, unsigned int pages)
{
	unsigned char *mem = map_apart(pages);
	static uint64_t frames[COMPACTED];
	long moved = -1;
	unsigned int i;

	if (!mem)
		return -1;
	if (!read_for_references(fd, path, mem, pages * PAGE))
		goto unmap;
	for (i = 0; i < pages; i++)
		frames[i] = frame_of(mem + i * PAGE);
	if (write_file("/proc/sys/vm/compact_memory", "1"))
		goto unmap;
	for (moved = 0, i = 0; i < pages; i++)
		moved += frame_of(mem + i * PAGE) != frames[i];
unmap:
	munmap(mem, pages * PAGE);
	return moved;
}

TEST_F(cached, does_not_stop_compaction)
{
	long plain, cached;
	unsigned int tries;

	if (!has_compaction())
		SKIP(return, "not in this kernel: compaction");
	/* The first compactions also move other memory, to the same free pages. */
	for (tries = 0; tries < 5; tries++) {
		plain = count_compacted(self->plain, NULL, COMPACTED);
		cached = count_compacted(self->fd, self->path, COMPACTED);
		say("moved pages: %ld without a cache, %ld with one", plain, cached);
		if (plain >= COMPACTED / 4 && cached >= plain / 2)
			break;
	}
	EXPECT_LE(COMPACTED / 4, plain);
	EXPECT_LE(plain / 2, cached);
}

int main(int argc, char **argv)
{
	int ret;

	was_balancing = number_in(BALANCING);
	ret = test_harness_run(argc, argv);
	/* A test that was killed did not do this. */
	restore_balancing();
	swap_off();
	return ret;
}
