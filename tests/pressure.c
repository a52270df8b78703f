// SPDX-License-Identifier: GPL-2.0
/*
 * Windows under pressure: a target that is busy, killed, reaped or out of memory, readers that
 * come and go, and invalidations with locks of the kernel held.
 *
 * Environment: RACE_SECONDS is the minimum duration of a race.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <kselftest_harness.h>

#include "load.h"
#include "numbers.h"
#include "process.h"
#include "random.h"

#define PAGES		16U
#define SIZE		(PAGES * PAGE)
#define SECONDS		2
/* Nothing else is mapped there. Each is aligned to a huge page. */
#define MEMORY		((unsigned char *)0x50000000UL)
#define SHARED		((unsigned char *)0x60000000UL)
#define HUGETLB		((unsigned char *)0x70000000UL)

/* What the readers of a busy target do. */
enum how { IDLE, SYSCALL, WINDOWS, HOWS };

#define READERS		10U

/**
 * struct board - memory shared by tester, target and readers
 * @how: what readers do, one of enum how
 * @stop: tells target and readers to end
 * @rounds: number of times that the target changed its memory
 * @reads: for each reader and each enum how, number of times that it read all of MEMORY
 * @loads: number of loads that were checked
 * @wrong: a reader found a wrong value
 */
struct board {
	uint64_t how;
	uint64_t stop;
	uint64_t rounds;
	uint64_t reads[READERS][HOWS];
	uint64_t loads;
	uint64_t wrong;
};

static struct board *board;
static int dev = -1;

static uint64_t *word(const unsigned char *at, size_t page)
{
	return (uint64_t *)(at + page * PAGE);
}

static void *map_at(void *at, size_t len, int flags, int fd)
{
	return mmap(at, len, PROT_READ | PROT_WRITE, flags | (at ? MAP_FIXED : 0), fd, 0);
}

static void write_words(unsigned char *at, uint64_t value)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		__atomic_store_n(word(at, i), value, __ATOMIC_RELAXED);
}

static void *map_window(int fd, const void *of, size_t len)
{
	return mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (uintptr_t)of);
}

/* Does each page of a window hold this number? */
static bool holds(const unsigned char *at, uint64_t value)
{
	uint64_t found;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (!load_word(word(at, i), &found) || found != value)
			return false;
	return true;
}

static bool raises_sigbus(const unsigned char *at)
{
	uint64_t found;
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (load_word(word(at, i), &found))
			return false;
	return true;
}

FIXTURE(pressure) {
	int fd;
	pid_t target;
	pid_t readers[READERS];
};

FIXTURE_SETUP(pressure)
{
	self->fd = -1;
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_WINDOW))
		SKIP(return, "not in this kernel: windows");
	ASSERT_EQ(0, pipe2(told, O_CLOEXEC));
	board = map_at(NULL, sizeof(*board), MAP_SHARED | MAP_ANONYMOUS, -1);
	ASSERT_NE(MAP_FAILED, board);
}

static void kill_and_reap(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

FIXTURE_TEARDOWN(pressure)
{
	unsigned int i;

	kill_and_reap(&self->target);
	for (i = 0; i < READERS; i++)
		kill_and_reap(&self->readers[i]);
	close(self->fd);
	close(dev);
	write_file("/proc/sys/vm/nr_hugepages", "0");
}

/* Start a target, wait until it is ready, and attach to it. */
static void start_target(struct __test_metadata *_metadata, FIXTURE_DATA(pressure) * self,
			 void (*be)(void))
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		die_with_parent();
		be();
		_exit(0);
	}
	self->target = await_ready(pid);
	ASSERT_LT(0, self->target);
	self->fd = attach(dev, self->target, PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
}

/* --- a busy target ---------------------------------------------------------- */

/* Take mmap_lock for writing all the time. */
static void be_busy(void)
{
	void *at;

	if (map_at(MEMORY, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1) != MEMORY)
		_exit(1);
	write_words(MEMORY, 1);
	tell();
	while (!get(&board->stop)) {
		at = map_at(NULL, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		*(unsigned char *)at = 1;
		munmap(at, SIZE);
		__atomic_fetch_add(&board->rounds, 1, __ATOMIC_RELAXED);
	}
}

/* Map a window and fault it in. Return: false if it did not show the target's memory. */
static bool read_window(int fd)
{
	unsigned char *at = map_window(fd, MEMORY, SIZE);
	bool right = at != MAP_FAILED && holds(at, 1);

	return right && !munmap(at, SIZE);
}

static bool read_by_syscall(pid_t target)
{
	static unsigned char copy[SIZE];
	struct iovec local = { copy, SIZE }, remote = { MEMORY, SIZE };

	return process_vm_readv(target, &local, 1, &remote, 1, 0) == (ssize_t)SIZE &&
	       holds(copy, 1);
}

static void be_reader_of_busy(unsigned int me, int fd, pid_t target)
{
	while (!get(&board->stop)) {
		enum how how = get(&board->how);

		bool right = true;

		if (how == IDLE)
			usleep(1000);
		else
			right = how == SYSCALL ? read_by_syscall(target) : read_window(fd);
		/* After @stop the target may have exited. */
		if (!right && !get(&board->stop))
			set(&board->wrong, 1);
		board->reads[me][how]++;
	}
}

/* Return: how often the target changed its memory in half a second. */
static uint64_t rounds_beside(enum how how)
{
	uint64_t before;

	set(&board->how, how);
	usleep(100000);
	before = get(&board->rounds);
	usleep(500000);
	return get(&board->rounds) - before;
}

TEST_F(pressure, ten_readers_slow_a_target_no_more_than_the_syscall)
{
	uint64_t rounds[HOWS] = {}, reads[HOWS] = {};
	unsigned int i, how;

	start_target(_metadata, self, be_busy);
	for (i = 0; i < READERS; i++) {
		self->readers[i] = fork();
		ASSERT_LE(0, self->readers[i]);
		if (!self->readers[i]) {
			die_with_parent();
			be_reader_of_busy(i, self->fd, self->target);
			_exit(0);
		}
	}
	/* Alternate, so that other load on the machine slows each kind of reading down alike. */
	for (i = 0; i < 4 * SECONDS; i++)
		for (how = IDLE; how < HOWS; how++)
			rounds[how] += rounds_beside(how);
	set(&board->stop, 1);
	for (i = 0; i < READERS; i++) {
		EXPECT_EQ(0, reap(self->readers[i], LEAVE_MS));
		self->readers[i] = 0;
		/* No reader starves, however busy the target is. */
		EXPECT_LE(1, board->reads[i][SYSCALL]);
		EXPECT_LE(1, board->reads[i][WINDOWS]);
		for (how = SYSCALL; how < HOWS; how++)
			reads[how] += board->reads[i][how];
	}
	EXPECT_EQ(0, board->wrong);
	say("target's rounds: %llu alone, %llu beside the syscall, %llu beside windows",
	    (unsigned long long)rounds[IDLE], (unsigned long long)rounds[SYSCALL],
	    (unsigned long long)rounds[WINDOWS]);
	say("readers' rounds: %llu by the syscall, %llu by windows",
	    (unsigned long long)reads[SYSCALL], (unsigned long long)reads[WINDOWS]);
	EXPECT_LE(rounds[SYSCALL] * 8, rounds[WINDOWS] * 10);
}

/* --- a target that is killed ------------------------------------------------- */

static void be_still(void)
{
	if (map_at(MEMORY, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1) != MEMORY ||
	    map_at(SHARED, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1) != SHARED)
		_exit(1);
	write_words(MEMORY, 1);
	write_words(SHARED, 2);
	tell();
	for (;;)
		pause();
}

/* Do at once what the OOM reaper does. Return: 0, or an errno. */
static int reap_memory(pid_t pid)
{
	int pidfd = open_pidfd(pid);
	int err = syscall(448 /* process_mrelease */, pidfd, 0) ? errno : 0;

	close(pidfd);
	return err;
}

/* The reaper cannot sleep, so it skips memory that a window maps, and frees the rest. */
TEST_F(pressure, oom_reaper_frees_what_no_window_maps)
{
	unsigned char *at, *other;
	uint64_t found;
	int cached, status;

	start_target(_metadata, self, be_still);
	cached = attach(dev, self->target, PVMREAD_CACHE, 0, 0);
	ASSERT_LE(0, cached);
	at = map_window(self->fd, MEMORY, SIZE);
	ASSERT_NE(MAP_FAILED, at);
	other = map_window(self->fd, SHARED, SIZE);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_TRUE(holds(at, 1));
	ASSERT_EQ(8, pread(cached, &found, 8, (uintptr_t)SHARED));

	/* The tracer keeps the target from freeing its memory. */
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, self->target, 0, PTRACE_O_TRACEEXIT));
	ASSERT_EQ(0, kill(self->target, SIGKILL));
	ASSERT_EQ(self->target, waitpid(self->target, &status, __WALL));
	ASSERT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8, status >> 8);
	EXPECT_EQ(EAGAIN, reap_memory(self->target));
	EXPECT_TRUE(holds(at, 1));
	/* Reaped memory can no longer be faulted in, so loads fail instead of reading zeros. */
	EXPECT_TRUE(raises_sigbus(other));
	EXPECT_EQ(-1, pread(cached, &found, 8, (uintptr_t)SHARED));
	EXPECT_EQ(EIO, errno);

	EXPECT_EQ(0, munmap(at, SIZE));
	EXPECT_EQ(0, reap_memory(self->target));
	at = map_window(self->fd, MEMORY, SIZE);
	ASSERT_NE(MAP_FAILED, at);
	EXPECT_TRUE(raises_sigbus(at));
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, self->target, 0, 0));
	EXPECT_EQ(SIGKILL, reap(self->target, LEAVE_MS));
	self->target = 0;
	EXPECT_TRUE(raises_sigbus(other));
	munmap(at, SIZE);
	munmap(other, SIZE);
	close(cached);
}

/* A load finds the target's value, or fails. */
TEST_F(pressure, load_is_right_or_fails_if_target_dies)
{
	uint64_t state = choose_seed(), found, loads = 0;
	long end = now_ms() + 1000 * number_from("RACE_SECONDS", SECONDS), gone;
	unsigned int targets = 0;

	do {
		unsigned char *at;
		pid_t killer;
		size_t i = 0;

		start_target(_metadata, self, be_still);
		at = map_window(self->fd, MEMORY, SIZE);
		ASSERT_NE(MAP_FAILED, at);
		ASSERT_EQ(0, madvise(at, SIZE, MADV_RANDOM));
		state = mix(state);
		killer = fork();
		ASSERT_LE(0, killer);
		if (!killer) {
			usleep(state % 1000);
			_exit(kill(self->target, SIGKILL));
		}
		while (load_word(word(at, i++ % PAGES), &found)) {
			ASSERT_EQ(1, found);
			loads++;
		}
		ASSERT_EQ(0, reap(killer, LEAVE_MS));
		ASSERT_EQ(SIGKILL, reap(self->target, LEAVE_MS));
		self->target = 0;
		/* A fault in progress may hold the last reference to the memory. */
		gone = now_ms() + LEAVE_MS;
		while (!raises_sigbus(at)) {
			ASSERT_TRUE(!load_word(word(at, 0), &found) || found == 1);
			ASSERT_GT(gone, now_ms());
		}
		munmap(at, SIZE);
		close(self->fd);
		self->fd = -1;
		targets++;
	} while (now_ms() < end || targets < 10);
	say("%u targets, %llu loads", targets, (unsigned long long)loads);
}

/* --- memory cgroups ----------------------------------------------------------- */

#define CGROUPS		"/tmp/pvmread-cgroups"
#define LIMITED		CGROUPS "/limited"

/* Make a cgroup with a limit. Return: false if this kernel has no memory cgroups. */
static bool make_cgroup(const char *limit)
{
	mkdir(CGROUPS, 0700);
	return !mount("none", CGROUPS, "cgroup2", 0, NULL) &&
	       !write_file(CGROUPS "/cgroup.subtree_control", "+memory") &&
	       !mkdir(LIMITED, 0700) && !write_file(LIMITED "/memory.max", limit);
}

static void remove_cgroup(void)
{
	long end = now_ms() + LEAVE_MS;

	/* The cgroup is busy until the processes in it are gone. */
	while (rmdir(LIMITED) && errno == EBUSY && now_ms() < end)
		usleep(10000);
	umount2(CGROUPS, MNT_DETACH);
	rmdir(CGROUPS);
}

static void join_cgroup(void)
{
	if (write_file(LIMITED "/cgroup.procs", "0"))
		_exit(1);
}

FIXTURE(limited) {
	int fd;
	pid_t child;
};

FIXTURE_SETUP(limited)
{
	self->fd = -1;
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	if (!has_feature(dev, PVMREAD_FEATURE_WINDOW))
		SKIP(return, "not in this kernel: windows");
	if (!make_cgroup("4M"))
		SKIP(return, "not in this kernel: memory cgroups");
	ASSERT_EQ(0, pipe2(told, O_CLOEXEC));
}

FIXTURE_TEARDOWN(limited)
{
	kill_and_reap(&self->child);
	close(self->fd);
	close(dev);
	remove_cgroup();
}

#define SPARSE		(16UL << 20)

/* Pages that a load faults in are charged to the target. */
TEST_F(limited, target_over_its_memory_limit_is_killed)
{
	const unsigned char *at;
	uint64_t found;
	size_t i;

	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		die_with_parent();
		join_cgroup();
		if (map_at(MEMORY, SPARSE, MAP_SHARED | MAP_ANONYMOUS, -1) != MEMORY)
			_exit(1);
		tell();
		for (;;)
			pause();
	}
	ASSERT_TRUE(is_told());
	self->fd = attach(dev, self->child, PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
	at = map_window(self->fd, MEMORY, SPARSE);
	ASSERT_NE(MAP_FAILED, at);
	for (i = 0; i < SPARSE / PAGE && load_word(word(at, i), &found); i++)
		ASSERT_EQ(0, found);
	say("%zu pages until it was killed", i);
	EXPECT_LT(0, i);
	EXPECT_GE((4UL << 20) / PAGE, i);
	EXPECT_EQ(SIGKILL, reap(self->child, LEAVE_MS));
	self->child = 0;
	EXPECT_LE(1, proc_number(LIMITED "/memory.events", "oom_kill"));
	EXPECT_EQ(0, munmap((void *)at, SPARSE));
}

#define TABLES		2048UL

/* The page tables of a window are charged to the reader. */
TEST_F(limited, reader_with_page_tables_over_its_limit_is_killed)
{
	unsigned char *memory;
	uint64_t found;
	size_t i;

	memory = mmap(NULL, TABLES * HUGE_PAGE, PROT_READ,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, memory);
	ASSERT_EQ(0, madvise(memory, TABLES * HUGE_PAGE, MADV_NOHUGEPAGE));
	self->fd = attach(dev, getpid(), PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		unsigned char *at;

		die_with_parent();
		join_cgroup();
		at = map_window(self->fd, memory, TABLES * HUGE_PAGE);
		tell();
		for (i = 0; i < TABLES; i++)
			if (!load_word((uint64_t *)(at + i * HUGE_PAGE), &found) || found)
				_exit(2);
		_exit(0);
	}
	ASSERT_TRUE(is_told());
	EXPECT_EQ(SIGKILL, reap(self->child, PATIENCE_MS));
	self->child = 0;
	EXPECT_LE(1, proc_number(LIMITED "/memory.events", "oom_kill"));
	munmap(memory, TABLES * HUGE_PAGE);
}

/* --- readers that come and go ---------------------------------------------------- */

static int shared_file = -1, huge_file = -1;

static void map_files(void)
{
	if (map_at(SHARED, SIZE, MAP_SHARED, shared_file) != SHARED ||
	    (huge_file >= 0 && map_at(HUGETLB, HUGE_PAGE, MAP_SHARED, huge_file) != HUGETLB))
		_exit(1);
}

/*
 * Change memory so that the kernel calls the notifiers with a file's i_mmap_rwsem,
 * hugetlb's locks or an anon_vma's lock held.
 */
static void be_changing(void)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	uint64_t round;

	map_files();
	if (map_at(MEMORY, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1) != MEMORY)
		_exit(1);
	tell();
	for (round = 1; !get(&board->stop); round++) {
		set(&board->rounds, round);
		write_words(MEMORY, round);
		write_words(SHARED, round);
		if (huge_file >= 0) {
			set(word(HUGETLB, 0), round);
			fallocate(huge_file, punch, 0, HUGE_PAGE);
		}
		fallocate(shared_file, punch, 0, SIZE);
		madvise(MEMORY, SIZE, MADV_FREE);
		madvise(MEMORY, SIZE, MADV_PAGEOUT);
	}
}

/* Load from windows on all memory that the target changes. */
static void load_from_windows(int fd, unsigned int times)
{
	static unsigned char *const memory[] = { MEMORY, SHARED, HUGETLB };
	const unsigned int nr = huge_file >= 0 ? 3 : 2;
	unsigned char *at[3];
	uint64_t found;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		at[i] = map_window(fd, memory[i], SIZE);
		if (at[i] == MAP_FAILED)
			_exit(3);
	}
	for (i = 0; i < times && !get(&board->stop); i++) {
		if (!load_word(word(at[i % nr], i / nr % PAGES), &found))
			continue;
		/* If the kernel poisons freed pages, the poison is a larger number. */
		if (found > get(&board->rounds))
			set(&board->wrong, found);
		__atomic_fetch_add(&board->loads, 1, __ATOMIC_RELAXED);
	}
}

/*
 * Act as a process that gets its first notifier, for which the kernel takes the locks
 * of all its files and anon_vmas. Then exit, or call execve(2), with windows mapped.
 */
static void be_fresh(int fd, bool execs)
{
	map_files();
	*MEMORY = 1;
	load_from_windows(fd, 3 * PAGES);
	if (execs)
		execl("/bin/busybox", "true", NULL);
	_exit(0);
}

TEST_F(pressure, readers_do_not_hang_in_changes_under_mm_locks)
{
	long seconds = number_from("RACE_SECONDS", SECONDS), begin;
	unsigned int i, fresh;

	shared_file = memfd_create("shared", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(shared_file, SIZE));
	write_file("/proc/sys/vm/nr_hugepages", "2");
	if (proc_number("/proc/meminfo", "HugePages_Free:") >= 2)
		huge_file = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (huge_file >= 0)
		ASSERT_EQ(0, ftruncate(huge_file, HUGE_PAGE));
	start_target(_metadata, self, be_changing);
	for (i = 0; i < 2; i++) {
		self->readers[i] = fork();
		ASSERT_LE(0, self->readers[i]);
		if (!self->readers[i]) {
			die_with_parent();
			map_files();
			load_from_windows(self->fd, ~0U);
			_exit(0);
		}
	}
	begin = now_ms();
	/* A slow guest may need longer for enough readers and rounds. */
	for (fresh = 0; now_ms() < begin + 1000 * seconds + PATIENCE_MS; fresh++) {
		pid_t pid;

		if (now_ms() > begin + 1000 * seconds && fresh >= 50 &&
		    get(&board->rounds) >= 100)
			break;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			die_with_parent();
			if (map_at(MEMORY, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1) != MEMORY)
				_exit(1);
			be_fresh(self->fd, fresh % 2);
		}
		ASSERT_EQ(0, reap(pid, LEAVE_MS));
		ASSERT_EQ(0, board->wrong) TH_LOG("%llx", (unsigned long long)board->wrong);
	}
	set(&board->stop, 1);
	EXPECT_EQ(0, reap(self->target, LEAVE_MS));
	self->target = 0;
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, reap(self->readers[i], LEAVE_MS));
		self->readers[i] = 0;
	}
	say("%u readers, %llu rounds of the target, %llu loads", fresh,
	    (unsigned long long)board->rounds, (unsigned long long)board->loads);
	EXPECT_LE(50, fresh);
	EXPECT_LE(100, board->rounds);
	EXPECT_LE(1000, board->loads);
	close(shared_file);
	close(huge_file);
}

/* --- core dumps -------------------------------------------------------------------- */

#define CORE		"/tmp/pvmread-core"
#define SECRET		0x7b1f90d2c4a6e853UL

static void be_secret(void)
{
	if (map_at(MEMORY, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1) != MEMORY)
		_exit(1);
	write_words(MEMORY, SECRET);
	tell();
	for (;;)
		pause();
}

/* Return: how often @value occurs in the file, or -1 if there is no file. */
static long count_in_file(const char *path, uint64_t value)
{
	uint64_t words[512];
	FILE *f = fopen(path, "re");
	size_t got, i;
	long count = 0;

	if (!f)
		return -1;
	while ((got = fread(words, 8, 512, f)) > 0)
		for (i = 0; i < got; i++)
			count += words[i] == value;
	fclose(f);
	return count;
}

TEST_F(pressure, core_dump_of_the_reader_omits_windows)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	uint64_t *own;
	char pattern[128] = "";
	int fd, status;
	pid_t pid;

	fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, pattern, sizeof(pattern) - 1) < 0)
		SKIP(return, "not in this kernel: no core dumps");
	close(fd);
	start_target(_metadata, self, be_secret);
	ASSERT_EQ(0, write_file("/proc/sys/kernel/core_pattern", CORE));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		const unsigned char *at = map_window(self->fd, MEMORY, SIZE);

		own = map_at(NULL, PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		*own = ~SECRET;
		if (!holds(at, SECRET) || setrlimit(RLIMIT_CORE, &unlimited))
			_exit(1);
		abort();
	}
	ASSERT_LE(0, reap_in(pid, PATIENCE_MS, &status));
	EXPECT_EQ(0, write_file("/proc/sys/kernel/core_pattern", pattern));
	EXPECT_TRUE(WIFSIGNALED(status) && WCOREDUMP(status));
	/* The process's own memory is in the core. */
	EXPECT_LE(1, count_in_file(CORE, ~SECRET));
	/* Registers and the stack may also hold the word. */
	EXPECT_GT(PAGES, count_in_file(CORE, SECRET));
	unlink(CORE);
}

TEST_HARNESS_MAIN
