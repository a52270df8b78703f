// SPDX-License-Identifier: GPL-2.0
/*
 * Races: requests to a target that concurrently exits, execs, forks and moves its memory.
 *
 * A race has a target, which changes its memory in rounds, a crew that reads and writes
 * it (race_crew.c), and a neighbour that allocates pages as fast as they are freed. The
 * crew must find only data that the target had at that address at some time. Stamps in the
 * memory show that (race_stamp.c). A race continues until there were enough rounds.
 *
 * RACE_SECONDS is the minimum duration of a race. SEED selects the random numbers, but
 * not the scheduling.
 *
 * After a race every process must have ended and none may hang, every pin must be
 * released, no page of the target may have a reference, no memory may be lost, and the
 * module must unload.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <kselftest_harness.h>

#include "numbers.h"
#include "race_crew.h"
#include "swap.h"

#define SECONDS		2
/* The additional time for a race on a slow machine. */
#define EXTRA_S		900
/* A race fails if none of the missing events happens for this long. */
#define STALLED_MS	(5 * PATIENCE_MS)
#define TIMEOUT_S	(4 * 3600)
/* A round may need a new owner. be_secret_image() uses the owners from OWNER_SECRET on. */
#define MOST_ROUNDS	50000
#define OWNER_SECRET	60000
#define OWNER_NEIGHBOUR	64500
/* The tolerance for the memory of a target. */
#define TOLERANCE_KB	128
/* The tolerance for all memory: huge zero page, stack traces of checkers, per-CPU batches. */
#define TOLERANCE_ALL_KB 6144

#define HUGE_PAGES	512UL
#define ELSEWHERE	0x70000000UL

#define MODULE_READONLY	"/sys/module/pvmread/parameters/readonly"
#define KSM		"/sys/kernel/mm/ksm/"
#define THP		"/sys/kernel/mm/transparent_hugepage/"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static int board_fd = -1, memfd = -1;
static int seconds = SECONDS;
static pid_t target, crew, neighbour;
static uint32_t owner;

/* --- After a race --- */

struct trace {
	long pins;
	long stray;
	long used_kb;
	long refs;
};

static bool is_on(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? fgetc(f) : EOF;

	if (f)
		fclose(f);
	return c == 'Y';
}

/* Pages on the lists of each CPU, which are not counted as free. */
static long listed_kb(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	long pages = 0, value;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &value) == 1)
			pages += value;
	fclose(f);
	return pages * (PAGE / 1024);
}

/*
 * Memory that is not free, not in a cache, and not the kernel's own. It belongs to this
 * process, the only one left, or has a leaked reference. kmemleak checks the kernel's own
 * allocations.
 */
static long used_kb(void)
{
	static const char *const others[] = {
		"MemFree:", "Buffers:", "Cached:", "SwapCached:", "Slab:", "KernelStack:",
		"VmallocUsed:", "Percpu:",
	};
	long kb = proc_number("/proc/meminfo", "MemTotal:") - listed_kb();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		long value = proc_number("/proc/meminfo", others[i]);

		kb -= value > 0 ? value : 0;
	}
	return kb;
}

static struct trace trace(void)
{
	/* This also sums up the CPUs' memory counters, so it comes first. */
	long pins = pins_held();

	return (struct trace) {
		.pins = pins,
		.stray = stray_pages(),
		.used_kb = used_kb(),
		.refs = number_in(MODULE_REFS),
	};
}

/* Kill all our children. Return: the state of the last one, or 0 if there is none. */
static char kill_children(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char state, last = 0;
	char path[300];

	while (proc && (entry = readdir(proc))) {
		int pid, parent;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		if (atoi(entry->d_name) <= 0)
			continue;
		f = fopen(path, "re");
		if (!f)
			continue;
		/* Our process names have neither spaces nor parentheses. */
		if (fscanf(f, "%d (%*[^)]) %c %d", &pid, &state, &parent) == 3 &&
		    parent == getpid()) {
			kill(pid, SIGKILL);
			last = state;
		}
		fclose(f);
	}
	if (proc)
		closedir(proc);
	return last;
}

/*
 * The remaining processes: children of the target, for which we are the reaper. A
 * process that does not end is in uninterruptible sleep.
 */
static bool all_have_ended(void)
{
	long end = now_ms() + PATIENCE_MS;
	char state;

	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0)
			return true;
		state = kill_children();
		if (now_ms() > end)
			break;
		usleep(20000);
	}
	complain("a process does not end, state %c", state);
	return false;
}

/*
 * Return: the id of a task in uninterruptible sleep, including kernel threads; 0 if
 * there is none; -1 on failure.
 */
static int sleeper(void)
{
	int pid, found = 0;
	glob_t paths;
	char state;
	size_t i;

	if (glob("/proc/[0-9]*/task/*/stat", GLOB_NOSORT, NULL, &paths))
		return -1;
	for (i = 0; i < paths.gl_pathc && !found; i++) {
		FILE *f = fopen(paths.gl_pathv[i], "re");

		/* In a guest no name has a parenthesis. */
		if (f && fscanf(f, "%d (%*[^)]) %c", &pid, &state) == 2 && state == 'D')
			found = pid;
		if (f)
			fclose(f);
	}
	globfree(&paths);
	return found;
}

/* Many tasks are in uninterruptible sleep for a moment. */
static void expect_no_sleeper(struct __test_metadata *_metadata)
{
	long end = now_ms() + PATIENCE_MS;
	int pid;

	while ((pid = sleeper()) && now_ms() < end)
		usleep(50000);
	EXPECT_EQ(0, pid) {
		TH_LOG("task %d is in state D", pid);
	}
}

static void *window(unsigned int page)
{
	return (void *)(WINDOW + page * PAGE);
}

/* Data written to private mappings of a file is not in the file. */
static void expect_clean_file(struct __test_metadata *_metadata)
{
	unsigned int first = plan->anon + plan->shared;
	struct rule rule = rule_for(1, OWNERS);
	unsigned char page[PAGE];
	unsigned int i;
	uint32_t found;

	rule.quiet = 0;
	for (i = first; i < window_pages(); i++) {
		ASSERT_EQ((ssize_t)PAGE, pread(memfd, page, PAGE, (i - plan->anon) * PAGE));
		EXPECT_EQ(-1, inspect(page, (uintptr_t)window(i), PAGE, &rule, &found));
	}
}

/*
 * Wait for pending work of kernel workers. Return: false if more memory is in use,
 * which is a failure if this is the @last race.
 */
static bool expect_no_trace(struct __test_metadata *_metadata, const struct trace *before,
			    bool last)
{
	long end = now_ms() + PATIENCE_MS / 2;
	struct trace now;

	for (;;) {
		now = trace();
		if (now.pins == before->pins && now.refs == before->refs &&
		    now.stray <= before->stray && now.used_kb - before->used_kb < TOLERANCE_ALL_KB)
			break;
		if (now_ms() > end)
			break;
		usleep(100000);
	}
	EXPECT_EQ(before->pins, now.pins);
	EXPECT_EQ(before->refs, now.refs);
	EXPECT_GE(before->stray, now.stray);
	if (last)
		EXPECT_GT(TOLERANCE_ALL_KB, now.used_kb - before->used_kb);
	ksft_print_msg("memory in use: %+ld KiB, pages that no process has mapped: %ld\n",
		       now.used_kb - before->used_kb, now.stray);

	/* Sealing fails while a reference to one of the file's pages exists. */
	if (memfd >= 0) {
		while (fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE) && now_ms() < end)
			usleep(100000);
		EXPECT_TRUE(fcntl(memfd, F_GET_SEALS) & F_SEAL_WRITE);
	}
	return now.used_kb - before->used_kb < TOLERANCE_ALL_KB;
}

/* --- The target --- */

static void map_pages(unsigned int first, unsigned int nr)
{
	const struct {
		unsigned int pages;
		int flags;
	} parts[] = {
		{ plan->anon, MAP_PRIVATE | MAP_ANONYMOUS },
		{ plan->shared, MAP_SHARED },
		{ plan->private, MAP_PRIVATE },
	};
	unsigned int begin = 0, end = first + nr, i;

	for (i = 0; i < ARRAY_SIZE(parts); begin += parts[i++].pages) {
		unsigned int from = first > begin ? first : begin;
		unsigned int to = begin + parts[i].pages;

		if (to > end)
			to = end;
		if (from >= to)
			continue;
		if (mmap(window(from), (to - from) * PAGE, PROT_READ | PROT_WRITE,
			 parts[i].flags | MAP_FIXED, i ? memfd : -1,
			 i ? (from - plan->anon) * PAGE : 0) == MAP_FAILED)
			broken("mmap");
	}
	if (plan->huge)
		madvise(window(first), nr * PAGE, MADV_HUGEPAGE);
	if (plan->mergeable && madvise(window(first), nr * PAGE, MADV_MERGEABLE))
		broken("MADV_MERGEABLE");
}

static void fill_pages(unsigned int first, unsigned int nr, unsigned char mark)
{
	for (; nr; first++, nr--)
		draw(window(first), (uintptr_t)window(first), PAGE,
		     plan->period ?: window_pages(), owner, mark);
}

/* The target's own mark, another one with each round. */
static unsigned char mark_of(unsigned int round)
{
	return 1 + round % (MARK_LOUD - 1);
}

static void introduce(unsigned int subject)
{
	set(&board->subject[subject], (uint64_t)getpid() << 32 | owner);
}

/* Announce that the window is filled, and wake the waiters. */
static void present(void)
{
	set(&board->filled, owner);
	syscall(SYS_futex, &board->filled, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void be_target(void)
{
	long kb, more;
	unsigned int i;

	be_child();
	introduce(0);
	map_pages(0, window_pages());
	fill_pages(0, window_pages(), 0);
	present();
	kb = proc_number("/proc/self/smaps_rollup", "Anonymous:");
	for (i = 0; get(&board->stop) < STOP_ALL; i++) {
		if (plan->churn) {
			plan->churn(i);
			count(&board->rounds);
		} else {
			usleep(1000);
			fill_pages(draw_lot(window_pages()), 1, mark_of(i));
		}
	}
	map_pages(0, window_pages());
	fill_pages(0, window_pages(), 0);
	more = proc_number("/proc/self/smaps_rollup", "Anonymous:") - kb;
	if (more > TOLERANCE_KB || more < -TOLERANCE_KB)
		complain("the target's anonymous memory has changed by %ld KiB", more);
}

#define NEIGHBOUR_PAGES	16U

static void be_neighbour(void)
{
	size_t len = NEIGHBOUR_PAGES * PAGE, at;

	be_child();
	while (!get(&board->stop)) {
		void *p = mmap(window(0), len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		if (p == MAP_FAILED)
			broken("mmap");
		for (at = WINDOW; at < WINDOW + len; at += PAGE)
			draw((void *)at, at, PAGE, NEIGHBOUR_PAGES, OWNER_NEIGHBOUR, 0);
		munmap(p, len);
		pass_time(4000);
	}
}

/* --- A target that execs --- */

#define IMAGE_PAGES	32U

/* What the new image must know of the race's plan. */
static const struct plan plan_of_image = { .anon = IMAGE_PAGES };

/* The arguments of an image: the board, the owner, two files to execute next. */
enum { ARG_IMAGE = 1, ARG_BOARD, ARG_OWNER, ARG_FILE, ARG_SETUID, ARGS };

#define NO_SETUID	"-"

static __attribute__((noreturn)) void exec_image(char **argv, const char *file, uint32_t next)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", next);
	argv[ARG_OWNER] = text;
	execv(file, argv);
	broken(file);
}

static char **image_argv;

static void *exec_from_thread(void *unused)
{
	(void)unused;
	exec_image(image_argv, image_argv[ARG_FILE], owner + 1);
}

/* Its memory belongs to root: the crew may neither read nor write it. */
static __attribute__((noreturn)) void be_secret_image(char **argv)
{
	uint32_t next = owner + 1, found;
	uid_t uid = getuid();
	struct rule rule;

	owner = OWNER_SECRET + owner % 4000;
	map_pages(0, IMAGE_PAGES);
	fill_pages(0, IMAGE_PAGES, 0);
	pass_time(3000);
	rule = rule_for(owner, owner);
	rule.quiet = 0;
	if (inspect(window(0), WINDOW, IMAGE_PAGES * PAGE, &rule, &found) >= 0)
		complain("the memory of a setuid program was written");
	count(&board->goals);
	if (setresuid(uid, uid, uid))
		broken("setresuid");
	exec_image(argv, argv[ARG_FILE], next);
}

static __attribute__((noreturn)) void be_image(int argc, char **argv)
{
	pthread_t thread;

	if (argc != ARGS)
		_exit(2);
	plan = &plan_of_image;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     atoi(argv[ARG_BOARD]), 0);
	if (board == MAP_FAILED)
		_exit(2);
	owner = atoi(argv[ARG_OWNER]);
	seed = owner;
	limit_s = LIFETIME_S;
	be_child();
	if (geteuid() != getuid())
		be_secret_image(argv);

	introduce(0);
	/* For the Yama setting that lets only ancestors attach. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	map_pages(0, IMAGE_PAGES);
	fill_pages(0, IMAGE_PAGES, 0);
	present();
	pass_time(4000);
	count(&board->rounds);
	if (get(&board->stop))
		_exit(0);
	if (strcmp(argv[ARG_SETUID], NO_SETUID))
		exec_image(argv, argv[ARG_SETUID], owner);
	image_argv = argv;
	/* Sometimes a thread that is not the leader calls execve(2). */
	if (owner % 3 == 0 && !pthread_create(&thread, NULL, exec_from_thread, NULL))
		for (;;)
			pause();
	exec_image(argv, argv[ARG_FILE], owner + 1);
}

#define FILE_OF_IMAGE	"/tmp/race-image"
#define SETUID_FILE	"/tmp/race-setuid"

static void replace_program(const char *path, mode_t mode)
{
	/* A race that was killed may have left the file. */
	unlink(path);
	if (copy_program(path, mode))
		broken(path);
}

static void begin_image(void)
{
	char number[16];
	char *argv[ARGS + 1] = { "race" };

	argv[ARG_IMAGE] = "--image";
	argv[ARG_BOARD] = number;
	argv[ARG_FILE] = FILE_OF_IMAGE;
	argv[ARG_SETUID] = plan->uid ? SETUID_FILE : NO_SETUID;
	be_child();
	snprintf(number, sizeof(number), "%d", board_fd);
	if (plan->uid)
		become(plan->uid);
	exec_image(argv, FILE_OF_IMAGE, owner);
}

/* --- The tester --- */

/* fork(2) that reports a failure. */
static pid_t split_off(void)
{
	pid_t pid = fork();

	if (pid < 0)
		complain("fork: %s", strerror(errno));
	return pid;
}

static pid_t start(void (*be)(void))
{
	pid_t pid = split_off();

	if (!pid) {
		be();
		_exit(0);
	}
	return pid;
}

static void await_window(void)
{
	const struct timespec tenth = { .tv_nsec = 100000000 };
	long end = now_ms() + PATIENCE_MS;
	uint32_t filled;

	while ((filled = get(&board->filled)) < owner && !get(&board->complaints)) {
		if (now_ms() > end)
			complain("the target does not come up");
		syscall(SYS_futex, &board->filled, FUTEX_WAIT, filled, &tenth, NULL, 0);
	}
}

static void start_target(void)
{
	owner++;
	target = start(be_target);
	await_window();
}

static void start_image(void)
{
	owner++;
	target = start(begin_image);
	await_window();
}

static void end_with(pid_t *pid, int want, const char *name)
{
	int status = reap(*pid, PATIENCE_MS);

	*pid = 0;
	if (status != want)
		complain("the %s ended with status %#x", name, status);
}

static unsigned long moved(bool write)
{
	return get(&board->moved[0][write]) + get(&board->moved[1][write]);
}

/* Return: the number of missing events. A surplus of one kind does not offset another kind. */
static unsigned int missing(void)
{
	unsigned int rounds = get(&board->rounds), goals = get(&board->goals);

	return (rounds < plan->rounds ? plan->rounds - rounds : 0) +
	       (goals < plan->goals ? plan->goals - goals : 0) +
	       !moved(false) + (plan->writes && !moved(true)) +
	       (plan->refused && !get(&board->answers[EPERM]));
}

/* Continue until the time is up and nothing is missing, while there is progress. */
static void run_race(void)
{
	long begin = now_ms(), news = begin, now;
	unsigned int most = plan->most ?: MOST_ROUNDS, last = 0, left;
	long least = 1000L * (plan->least_s > seconds ? plan->least_s : seconds);

	while (!get(&board->complaints) && get(&board->rounds) < most) {
		now = now_ms();
		left = missing();
		if (now - begin >= least && !left)
			break;
		if (left != last)
			news = now;
		last = left;
		if (now - begin >= least && now - news > STALLED_MS)
			complain("the missing events do not happen");
		if (plan->step)
			plan->step();
		else
			usleep(2000);
	}
	set(&board->stop, STOP_CREW);
}

static void tell_figures(long ms)
{
	char text[300] = "";
	size_t len = 0;
	int i;

	for (i = 1; i < (int)ARRAY_SIZE(board->answers) && len < sizeof(text) - 40; i++)
		if (board->answers[i])
			len += snprintf(text + len, sizeof(text) - len, ", %s %lu",
					strerrorname_np(i), board->answers[i]);
	ksft_print_msg("%ld ms, %u rounds, %u goals, %lu reads, %lu writes%s\n", ms, board->rounds,
		       board->goals, moved(false), moved(true), text);
}

static bool end_race(struct __test_metadata *_metadata, const struct trace *before, long begin,
		     bool last)
{
	EXPECT_TRUE(all_have_ended());
	expect_no_sleeper(_metadata);
	EXPECT_EQ(0, missing()) {
		TH_LOG("there must be %u rounds and %u goals", plan->rounds, plan->goals);
	}
	EXPECT_EQ(0, board->complaints) {
		TH_LOG("%s", board->complaint);
	}
	tell_figures(now_ms() - begin);
	return expect_no_trace(_metadata, before, last);
}

static bool race_once(struct __test_metadata *_metadata, const struct plan *p, bool last)
{
	struct trace before = trace();
	long begin = now_ms();
	pid_t witness = 0;
	bool good;

	alarm(limit_s);
	plan = p;
	if (plan->shared || plan->private) {
		memfd = memfd_create("race", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ASSERT_LE(0, memfd);
		ASSERT_EQ(0, ftruncate(memfd, (plan->shared + plan->private) * PAGE));
	}
	if (!plan->image)
		start_target();
	else
		start_image();
	crew = start(plan->crew ?: be_crew);
	neighbour = start(be_neighbour);
	if (plan->witness)
		witness = start(plan->witness);
	run_race();
	end_with(&crew, 0, "crew");
	end_with(&neighbour, 0, "neighbour");
	if (plan->witness)
		end_with(&witness, 0, "witness");
	set(&board->stop, STOP_ALL);
	end_with(&target, 0, "target");
	if (plan->finish)
		plan->finish();
	good = end_race(_metadata, &before, begin, last);
	if (plan->private)
		expect_clean_file(_metadata);
	return good;
}

/* If more memory is in use, race again: a leak repeats, but a kernel cache is filled once. */
static void race(struct __test_metadata *_metadata, const struct plan *p)
{
	if (race_once(_metadata, p, false))
		return;
	close(memfd);
	memfd = -1;
	memset(board, 0, sizeof(*board));
	owner = 0;
	race_once(_metadata, p, true);
}

static void prepare_board(struct __test_metadata *_metadata)
{
	signal(SIGALRM, SIG_DFL);
	alarm(limit_s);
	/* To also reap processes whose parent was killed. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	board_fd = memfd_create("board", 0);
	ASSERT_LE(0, board_fd);
	ASSERT_EQ(0, ftruncate(board_fd, sizeof(*board)));
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
	ASSERT_NE(MAP_FAILED, board);
}

static bool was_readonly;

static int load_again(void)
{
	return load(was_readonly ? "readonly=1 windows=1" : "windows=1");
}

/* A setting that a race has changed, and its old value. */
FIXTURE(race) {
	struct {
		const char *path;
		long old;
	} settings[4];
	unsigned int nr;
};

static bool change(FIXTURE_DATA(race) * const self, const char *path, const char *value)
{
	self->settings[self->nr].path = path;
	self->settings[self->nr++].old = number_in(path);
	return !write_file(path, value);
}

FIXTURE_SETUP(race)
{
	if (access(MODULE_READONLY, R_OK) == 0 && is_on(MODULE_READONLY))
		SKIP(return, "the module was loaded with readonly=1");
	prepare_board(_metadata);
	ASSERT_TRUE(module_refs_become(0));
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
}

/* The parent does this, because a test that is killed or fails an assertion cannot. */
FIXTURE_TEARDOWN_PARENT(race)
{
	char text[24];

	close(dev);
	while (self->nr) {
		snprintf(text, sizeof(text), "%ld", self->settings[--self->nr].old);
		write_file(self->settings[self->nr].path, text);
	}
	swap_off();
	unlink(FILE_OF_IMAGE);
	unlink(SETUID_FILE);
	if (access(MODULE_FILE, R_OK))
		return;
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load_again());
}

/* --- The target moves its memory --- */

/* Some pages of the window. */
static unsigned int lot_of_pages(unsigned int *first)
{
	*first = draw_lot(window_pages());
	return 1 + draw_lot(window_pages() - *first);
}

static void churn_munmap(unsigned int round)
{
	unsigned int first, nr = lot_of_pages(&first);

	if (munmap(window(first), nr * PAGE))
		broken("munmap");
	sched_yield();
	map_pages(first, nr);
	sched_yield();
	fill_pages(first, nr, mark_of(round));
}

/* Move the pages at once, or one by one if earlier moves left them in several mappings. */
static void move_pages(uintptr_t from, uintptr_t to, unsigned int nr, int flags)
{
	unsigned int i;

	flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
	if (mremap((void *)from, nr * PAGE, nr * PAGE, flags, (void *)to) != MAP_FAILED)
		return;
	for (i = 0; i < nr * PAGE; i += PAGE)
		if (mremap((void *)(from + i), PAGE, PAGE, flags, (void *)(to + i)) == MAP_FAILED)
			broken("mremap");
}

/* Move pages between the window's halves, or away and back. The halves have equal stamps. */
static void churn_mremap(unsigned int round)
{
	unsigned int half = plan->period, first = draw_lot(half);
	unsigned int nr = 1 + draw_lot(half - first);
	uintptr_t here = WINDOW + first * PAGE, there = here + half * PAGE;

	switch (round % 3) {
	case 0:
		move_pages(here, there, nr, 0);
		sched_yield();
		map_pages(first, nr);
		break;
	case 1:
		/* This leaves an empty mapping where the pages were. */
		move_pages(there, here, nr, MREMAP_DONTUNMAP);
		first += half;
		break;
	default:
		move_pages(here, ELSEWHERE, nr, 0);
		sched_yield();
		move_pages(ELSEWHERE, here, nr, 0);
	}
	fill_pages(first, nr, mark_of(round));
}

static void churn_mprotect(unsigned int round)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	unsigned int first, nr = lot_of_pages(&first), i;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		if (mprotect(window(first), nr * PAGE, prots[i]))
			broken("mprotect");
		sched_yield();
	}
	fill_pages(first, nr, mark_of(round));
}

static void churn_madvise(unsigned int round)
{
	unsigned int first, nr = lot_of_pages(&first);

	if (madvise(window(first), nr * PAGE, MADV_DONTNEED))
		broken("MADV_DONTNEED");
	/* Anonymous pages are zero now. The file's pages still have their data. */
	sched_yield();
	fill_pages(first, nr / 2, mark_of(round));
}

/* ftruncate(2) removes the file's pages from every mapping, including private copies. */
static void churn_truncate(unsigned int round)
{
	unsigned int pages = plan->shared + plan->private, from = draw_lot(pages), i;
	unsigned char page[PAGE];

	if (round % 2 ? ftruncate(memfd, from * PAGE + draw_lot(PAGE)) :
			fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from * PAGE,
				  (1 + draw_lot(pages - from)) * PAGE))
		broken("ftruncate");
	sched_yield();
	if (ftruncate(memfd, pages * PAGE))
		broken("ftruncate");
	/* Write the file, not the mapping, because reads of the mapping come from the file. */
	for (i = from; i < pages; i++) {
		draw(page, (uintptr_t)window(plan->anon + i), PAGE, window_pages(), owner,
		     mark_of(round));
		if (pwrite(memfd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			broken("pwrite");
	}
	fill_pages(0, window_pages(), mark_of(round));
}

static long huge_kb(void)
{
	return proc_number("/proc/self/smaps_rollup", "AnonHugePages:");
}

/*
 * Make huge pages of the window. That often fails, because a task holds one of the pages
 * (EAGAIN) or is splitting one (EINVAL: its entries are not present). Return: the window has
 * more huge pages than before.
 */
static bool collapse_window(void)
{
	long before = huge_kb();
	int tries;

	for (tries = 0; tries < 8; tries++) {
		madvise(window(0), window_pages() * PAGE, MADV_COLLAPSE);
		if (huge_kb() > before)
			return true;
	}
	return false;
}

/* Drop a page or two of a window of huge pages, and fill it again. */
static void churn_huge(unsigned int round)
{
	unsigned int first = draw_lot(window_pages()), nr = 1 + draw_lot(3);
	static long splits_before;
	bool is_huger;
	long splits;

	if (!round)
		splits_before = proc_number("/proc/vmstat", "thp_split_page");
	if (nr > window_pages() - first)
		nr = window_pages() - first;
	switch (round % 4) {
	case 0:
		map_pages(first, nr);
		break;
	case 1:
		if (madvise(window(first), nr * PAGE, MADV_DONTNEED))
			broken("MADV_DONTNEED");
		break;
	case 2:
		if (mprotect(window(first), nr * PAGE, PROT_NONE) ||
		    mprotect(window(first), nr * PAGE, PROT_READ | PROT_WRITE))
			broken("mprotect");
		break;
	default:
		map_pages(0, window_pages());
	}
	sched_yield();
	fill_pages(0, window_pages(), mark_of(round));
	is_huger = collapse_window();
	/* All of the window was present, and some huge pages must have been split. */
	splits = proc_number("/proc/vmstat", "thp_split_page");
	if (is_huger && splits > splits_before) {
		splits_before = splits;
		count(&board->goals);
	}
}

TEST_F_TIMEOUT(race, target_unmaps_and_remaps_memory, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_munmap, .rounds = 20, .writes = 96,
		.anon = 64, .shared = 32, .private = 32,
	});
}

TEST_F_TIMEOUT(race, target_moves_memory_with_mremap, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_mremap, .rounds = 20, .writes = 96,
		.anon = 128, .period = 64,
	});
}

TEST_F_TIMEOUT(race, target_changes_protection_with_mprotect, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_mprotect, .rounds = 20, .writes = 96,
		.anon = 64, .shared = 32, .private = 32,
	});
}

TEST_F_TIMEOUT(race, target_drops_pages_with_madvise, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_madvise, .rounds = 20, .writes = 96,
		.anon = 64, .shared = 32, .private = 32,
	});
}

TEST_F_TIMEOUT(race, target_truncates_a_mapped_file, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_truncate, .rounds = 20, .writes = 96,
		.anon = 8, .shared = 48, .private = 48,
	});
}

/* --- The kernel moves memory --- */

/* Split every huge page of the target, including shared ones. */
static void step_split(void)
{
	char text[80];

	snprintf(text, sizeof(text), "%d,%#lx,%#lx,0", target, WINDOW,
		 WINDOW + window_pages() * PAGE);
	if (write_file("/sys/kernel/debug/split_huge_pages", text))
		complain("split_huge_pages: %s", strerror(errno));
	pass_time(20000);
}

TEST_F_TIMEOUT(race, huge_pages_are_split_and_collapsed, TIMEOUT_S)
{
	if (access(THP "enabled", F_OK))
		SKIP(return, "not in this kernel: transparent huge pages");
	ASSERT_TRUE(change(self, THP "khugepaged/scan_sleep_millisecs", "20"));
	ASSERT_TRUE(change(self, THP "khugepaged/alloc_sleep_millisecs", "20"));
	race(_metadata, &(struct plan){
		.churn = churn_huge, .step = step_split, .rounds = 8, .goals = 2, .writes = 96,
		.anon = 2 * HUGE_PAGES, .longest = 320, .huge = true,
	});
}

/*
 * The twin maps a window with the same contents as the target's window, whose two halves
 * are equal. The crew writes only to the first half of the target's window. The twin must
 * not see those writes, although KSM has merged its pages with the target's.
 */
static void be_twin(void)
{
	struct rule rule = rule_for(owner, owner);
	uint32_t found;
	ssize_t at;

	be_child();
	map_pages(0, window_pages());
	fill_pages(0, window_pages(), mark_of(0));
	rule.quiet = 0;
	while (!get(&board->stop)) {
		at = inspect(window(0), WINDOW, window_pages() * PAGE, &rule, &found);
		if (at >= 0)
			complain("a write into a merged page shows in another process, %#zx", at);
		count(&board->looks);
		pass_time(3000);
	}
}

/* Wait until @number has grown by @more, or the race has ended. */
static void await_more(const unsigned long *number, unsigned long more)
{
	unsigned long before = get(number);

	while (get(number) < before + more && !get(&board->stop))
		usleep(500);
}

/*
 * Fill the first half of the window again, sometimes all of it, so that KSM merges the
 * pages again. From then on only the crew writes: if a merged page is split, a request
 * has written it.
 */
static void churn_ksm(unsigned int round)
{
	long splits, scans;

	fill_pages(0, round % 64 ? plan->quiet : window_pages(), mark_of(0));
	splits = proc_number("/proc/vmstat", "cow_ksm");
	/* Wait for a scan that began earlier, one that sees the pages, and one that merges them. */
	scans = number_in(KSM "full_scans");
	while (number_in(KSM "full_scans") < scans + 3 && !get(&board->stop))
		usleep(500);
	/* Each thread of the crew may have begun a write earlier. */
	await_more(&board->moved[0][true], THREADS + 1);
	if (proc_number("/proc/vmstat", "cow_ksm") == splits)
		return;
	/* Wait for a check that began earlier, and for one that would see the write. */
	await_more(&board->looks, 2);
	if (!get(&board->stop))
		count(&board->goals);
}

TEST_F_TIMEOUT(race, ksm_merges_pages_and_writes_split_them, TIMEOUT_S)
{
	if (access(KSM "run", F_OK))
		SKIP(return, "not in this kernel: KSM");
	ASSERT_TRUE(change(self, KSM "sleep_millisecs", "2"));
	ASSERT_TRUE(change(self, KSM "pages_to_scan", "1000"));
	/* This setting skips pages that were not equal to others before. */
	ASSERT_TRUE(change(self, KSM "smart_scan", "0"));
	ASSERT_TRUE(change(self, KSM "run", "1"));
	race(_metadata, &(struct plan){
		.churn = churn_ksm, .witness = be_twin, .rounds = 4, .goals = 4, .writes = 8,
		.anon = 64, .period = 32, .quiet = 32, .mergeable = true, .solid = true,
	});
	/* Unmerge the pages that are still merged. */
	write_file(KSM "run", "2");
}

#define MOVED_PAGES	64U

static void step_move_pages(void)
{
	int nodes[MOVED_PAGES], was[MOVED_PAGES], is[MOVED_PAGES];
	void *pages[MOVED_PAGES];
	static int node;
	unsigned int i;

	node = !node;
	for (i = 0; i < MOVED_PAGES; i++) {
		pages[i] = window(i);
		nodes[i] = node;
	}
	if (syscall(SYS_move_pages, target, MOVED_PAGES, pages, NULL, was, 0) ||
	    /* Pinned pages cannot be moved. */
	    syscall(SYS_move_pages, target, MOVED_PAGES, pages, nodes, is, 1 << 2 /* ALL */) < 0 ||
	    syscall(SYS_move_pages, target, MOVED_PAGES, pages, NULL, is, 0))
		complain("move_pages: %s", strerror(errno));
	for (i = 0; i < MOVED_PAGES; i++)
		if (was[i] == !node && is[i] == node)
			count(&board->goals);
}

TEST_F_TIMEOUT(race, pages_migrate_between_nodes, TIMEOUT_S)
{
	if (access("/sys/devices/system/node/node1", F_OK))
		SKIP(return, "not in this kernel: a second NUMA node");
	race(_metadata, &(struct plan){
		.step = step_move_pages, .goals = 10 * MOVED_PAGES, .writes = 96,
		.anon = 48, .shared = 8, .private = 8, .solid = true,
	});
}

#define COMPACTED_PAGES	256U

/* The frames of the window's pages; 0 for a page that is not present. */
static void find_frames(uint64_t frames[COMPACTED_PAGES])
{
	const size_t len = COMPACTED_PAGES * sizeof(*frames);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned int i;

	if (pread(fd, frames, len, WINDOW / PAGE * sizeof(*frames)) != (ssize_t)len)
		broken("/proc/self/pagemap");
	close(fd);
	for (i = 0; i < COMPACTED_PAGES; i++)
		frames[i] &= frames[i] >> 63 ? (1ULL << 55) - 1 : 0;
}

/* New pages may be anywhere. Compaction moves them to the end of memory. */
static void churn_compact(unsigned int round)
{
	uint64_t was[COMPACTED_PAGES], is[COMPACTED_PAGES];
	unsigned int i;

	if (madvise(window(0), window_pages() * PAGE, MADV_DONTNEED))
		broken("MADV_DONTNEED");
	fill_pages(0, window_pages(), mark_of(round));
	find_frames(was);
	if (write_file("/proc/sys/vm/compact_memory", "1"))
		broken("compact_memory");
	find_frames(is);
	for (i = 0; i < COMPACTED_PAGES; i++)
		if (was[i] && is[i] && was[i] != is[i])
			count(&board->goals);
}

TEST_F_TIMEOUT(race, memory_is_compacted, TIMEOUT_S)
{
	if (access("/proc/sys/vm/compact_memory", F_OK))
		SKIP(return, "not in this kernel: compaction");
	race(_metadata, &(struct plan){
		.churn = churn_compact, .rounds = 5, .goals = 64, .writes = 96,
		.anon = COMPACTED_PAGES - 64, .shared = 32, .private = 32, .solid = true,
	});
}

/* The crew and the write of the round swap the pages in again. */
static void churn_swap(unsigned int round)
{
	unsigned int first, nr = lot_of_pages(&first);

	if (madvise(window(first), nr * PAGE, MADV_PAGEOUT))
		broken("MADV_PAGEOUT");
	if (count_swapped(window(first), nr))
		count(&board->goals);
	sched_yield();
	fill_pages(first, nr, mark_of(round));
}

TEST_F_TIMEOUT(race, pages_are_swapped_out_and_in, TIMEOUT_S)
{
	if (!swap_on())
		SKIP(return, "not in this kernel: swap space");
	race(_metadata, &(struct plan){
		.churn = churn_swap, .rounds = 20, .goals = 20, .writes = 96,
		.anon = 64, .solid = true,
	});
}

/* --- The target forks --- */

/* A child may differ from its initial state by the data written to it. */
static ssize_t differs(const uint64_t *first, uint32_t own)
{
	size_t words = window_pages() * PAGE / 8, i;

	for (i = 0; i < words; i++) {
		uint64_t word = ((volatile uint64_t *)WINDOW)[i];
		uint64_t written = stamp(own, i * 8 / PAGE % window_pages(), 0);
		int byte;

		if (word == first[i])
			continue;
		if (!own || ((word ^ first[i]) & 0xff && (word & 0xff) < MARK_CHILD))
			return i * 8;
		/* A write may begin in the middle of a word. */
		for (byte = 1; byte < 8; byte++) {
			unsigned char has = word >> 8 * byte;

			if (has != (unsigned char)(first[i] >> 8 * byte) &&
			    has != (unsigned char)(written >> 8 * byte))
				return i * 8;
		}
	}
	return -1;
}

#define WRITES_SEEN	6

/*
 * A child of the target, which at first shares all of its pages. @own is the owner of
 * the data that the crew writes into it; if 0, nothing is written, and it must not
 * change.
 */
static void be_forked(uint32_t own)
{
	long end = now_ms() + PATIENCE_MS / 6;
	size_t len = window_pages() * PAGE;
	unsigned long parents, mine;
	uint64_t *first, me;
	bool shares;
	ssize_t at;

	be_child();
	shares = !plan->huge || huge_kb() > 0;
	first = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (first == MAP_FAILED)
		broken("mmap");
	memcpy(first, window(0), len);
	parents = get(&board->moved[0][true]);
	mine = get(&board->moved[1][true]);
	if (own) {
		owner = own;
		introduce(1);
	}
	me = get(&board->subject[1]);
	while (get(&board->moved[0][true]) < parents + WRITES_SEEN ||
	       (own && get(&board->moved[1][true]) < mine + WRITES_SEEN)) {
		if (get(&board->stop) || get(&board->complaints) || now_ms() > end)
			break;
		usleep(500);
	}
	if (shares && get(&board->moved[0][true]) >= parents + WRITES_SEEN)
		count(&board->goals);
	if (own)
		__atomic_compare_exchange_n(&board->subject[1], &me, 0, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
	at = differs(first, own);
	if (at >= 0)
		complain("a write into another process shows in a forked child: %#llx became %#llx",
			 (unsigned long long)first[at / 8],
			 (unsigned long long)*(uint64_t *)(WINDOW + at));
}

static pid_t fork_child(uint32_t own)
{
	pid_t pid = split_off();

	if (!pid) {
		be_forked(own);
		_exit(0);
	}
	return pid;
}

static bool has_ended(pid_t child)
{
	int status;

	if (child <= 0 || !waitpid(child, &status, WNOHANG))
		return false;
	if (status)
		complain("a forked child ended with status %#x", status);
	return true;
}

/* The parent also writes: the first writer gets the copy. */
static void churn_fork(unsigned int round)
{
	/* The owner of the written child differs from the parent's in one byte. */
	pid_t silent = fork_child(0), written = fork_child(2 + round % 250);
	struct rule rule = rule_for(owner, owner);
	uint32_t found;
	ssize_t at;

	while (silent > 0 || written > 0) {
		fill_pages(draw_lot(window_pages()), 1, mark_of(round));
		at = inspect(window(0), WINDOW, window_pages() * PAGE, &rule, &found);
		if (at >= 0)
			complain("a write into a forked child shows in its parent, %#zx", at);
		if (has_ended(silent))
			silent = 0;
		if (has_ended(written))
			written = 0;
		pass_time(1000);
	}
	if (plan->huge)
		collapse_window();
}

TEST_F_TIMEOUT(race, no_write_shows_in_parent_or_sibling, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_fork, .rounds = 10, .goals = 10, .writes = 128,
		.anon = 32, .private = 16, .parent = 1, .mortal = true, .solid = true,
	});
}

TEST_F_TIMEOUT(race, no_write_shows_in_parent_or_sibling_that_shares_huge_pages, TIMEOUT_S)
{
	if (access(THP "enabled", F_OK))
		SKIP(return, "not in this kernel: transparent huge pages");
	race(_metadata, &(struct plan){
		.churn = churn_fork, .rounds = 4, .goals = 4, .writes = 128,
		.anon = 2 * HUGE_PAGES, .huge = true, .parent = 1, .mortal = true, .solid = true,
	});
}

/* --- The target ends --- */

static void *end_from_thread(void *unused)
{
	(void)unused;
	_exit(0);
}

/* In half of the rounds a second thread exits while the first one is busy. */
static void churn_exit(unsigned int round)
{
	unsigned long reads = moved(false);
	pthread_t thread;

	(void)round;
	while (moved(false) < reads + 4 && !get(&board->stop)) {
		fill_pages(draw_lot(window_pages()), 1, 1);
		usleep(100);
	}
	pass_time(3000);
	if (owner % 2 && !pthread_create(&thread, NULL, end_from_thread, NULL))
		for (;;)
			fill_pages(draw_lot(window_pages()), 1, 2);
	_exit(0);
}

static void step_replace(void)
{
	end_with(&target, 0, "target");
	count(&board->rounds);
	start_target();
}

TEST_F_TIMEOUT(race, target_exits, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_exit, .step = step_replace, .rounds = 10, .writes = 96,
		.anon = 256, .mortal = true,
	});
}

static void step_kill(void)
{
	unsigned long reads = moved(false);
	long end = now_ms() + PATIENCE_MS;

	/* Wait until the crew reads, then for a random time. */
	while (moved(false) < reads + 4 && now_ms() < end)
		usleep(200);
	pass_time(4000);
	kill(target, SIGKILL);
	end_with(&target, SIGKILL, "killed target");
	count(&board->rounds);
	start_target();
}

TEST_F_TIMEOUT(race, target_is_killed, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.step = step_kill, .rounds = 10, .writes = 96, .anon = 256, .mortal = true,
	});
}

/* Kill the crew during its requests; a new one takes over. */
static void step_kill_crew(void)
{
	unsigned long reads = moved(false);
	long end = now_ms() + PATIENCE_MS;

	while (moved(false) < reads + 4 && now_ms() < end)
		usleep(500);
	pass_time(5000);
	kill(crew, SIGKILL);
	end_with(&crew, SIGKILL, "killed crew");
	count(&board->goals);
	crew = start(be_crew);
}

TEST_F_TIMEOUT(race, readers_and_writers_are_killed, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.churn = churn_munmap, .step = step_kill_crew, .rounds = 10, .goals = 10,
		.writes = 96, .anon = 512, .shared = 128, .private = 128, .longest = 320,
	});
}

/* --- The target execs --- */

TEST_F_TIMEOUT(race, target_execs, TIMEOUT_S)
{
	replace_program(FILE_OF_IMAGE, 0755);
	race(_metadata, &(struct plan){
		.rounds = 6, .writes = 96, .anon = IMAGE_PAGES, .image = true, .mortal = true,
	});
}

TEST_F_TIMEOUT(race, target_execs_an_unreadable_setuid_program, TIMEOUT_S)
{
	replace_program(FILE_OF_IMAGE, 0755);
	replace_program(SETUID_FILE, 04755);
	race(_metadata, &(struct plan){
		.rounds = 4, .goals = 4, .writes = 96, .anon = IMAGE_PAGES, .image = true,
		.mortal = true, .uid = USER, .refused = true,
	});
}

/* --- The target's pid is reused --- */

#define KEPT	4

static struct handle kept[2 * KEPT] = { [0 ... 2 * KEPT - 1].fd = -1 };

/* Start a target with the pid of the last one. */
static void start_namesake(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};

	owner++;
	target = syscall(SYS_clone3, &args, sizeof(args));
	if (!target) {
		be_target();
		_exit(0);
	}
	if (target != pid)
		complain("clone3: %s", strerror(errno));
	await_window();
}

static uint32_t owner_by(int fd, pid_t pid, unsigned int flags)
{
	struct iovec remote = { (void *)WINDOW, 8 };
	uint64_t word = 0;
	struct iovec local = { &word, 8 };
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.flags = flags,
		.pid = pid,
		.local = (uintptr_t)&local,
		.local_count = 1,
		.remote = (uintptr_t)&remote,
		.remote_count = 1,
	};
	ssize_t ret;

	errno = 0;
	if (fd >= 0)
		ret = pread(fd, &word, 8, WINDOW);
	else
		ret = ioctl(dev, PVMREAD_IOC_READV, &rw) ? -1 : (ssize_t)rw.transferred;
	return ret == 8 ? stamp_owner(word) : 0;
}

/*
 * An old target file reads the old memory while a request of the crew keeps it alive.
 * After that it fails with ESRCH.
 */
static void expect_gone(const struct handle *file, bool wait)
{
	long end = now_ms() + PATIENCE_MS;
	uint32_t found;

	do {
		found = owner_by(file->fd, 0, 0);
		if (!found && errno == ESRCH)
			return;
		if (found != file->first)
			break;
		if (wait)
			usleep(200);
	} while (wait && now_ms() < end);
	if (wait || found != file->first)
		complain("a file of owner %u reads owner %u, %s", file->first, found,
			 strerror(errno));
}

static void step_reuse(void)
{
	unsigned int round = get(&board->rounds), i;
	struct handle *file = &kept[2 * (round % KEPT)], *pidfd = file + 1;
	pid_t pid = target;

	if (round >= KEPT) {
		expect_gone(file, true);
		drop_handle(file);
		drop_handle(pidfd);
	}
	file->first = owner;
	file->fd = attach(dev, pid, 0, 0, 0);
	pidfd->fd = open_pidfd(pid);
	if (owner_by(file->fd, 0, 0) != owner ||
	    owner_by(-1, pidfd->fd, PVMREAD_PIDFD) != owner)
		complain("the process itself cannot be read: %s", strerror(errno));

	kill(pid, SIGKILL);
	end_with(&target, SIGKILL, "killed target");
	start_namesake(pid);
	count(&board->rounds);
	if (owner_by(-1, target, 0) != owner)
		complain("the newcomer cannot be read: %s", strerror(errno));
	for (i = 0; i < KEPT && i <= round; i++) {
		uint32_t found = owner_by(-1, kept[2 * i + 1].fd, PVMREAD_PIDFD);

		if (found || errno != ESRCH)
			complain("an old pidfd reads owner %u, %s", found, strerror(errno));
		expect_gone(&kept[2 * i], false);
	}
}

static void close_kept(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		drop_handle(&kept[i]);
}

/* 1,000 times. A short race reuses pids for 30 seconds, but at least 50 times. */
TEST_F_TIMEOUT(race, pid_is_reused_many_times, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.step = step_reuse, .finish = close_kept, .rounds = seconds < 20 ? 50 : 1000,
		.most = 1000, .least_s = 30, .writes = 96, .anon = 8, .calm = 4000, .mortal = true,
		.renumbered = true,
	});
}

/* --- Target files are passed on --- */

#define PEERS		4
#define PASSED		6

static int sockets[PEERS][2];

static int attach_to_pass(bool write)
{
	int fd = attach(dev, subject_pid(get(&board->subject[0])), write ? PVMREAD_WRITE : 0, 0, 0);

	if (fd < 0)
		broken("ATTACH");
	return fd;
}

/* Use the file @times times, or until it is closed. */
static void use_passed(int fd, unsigned int times)
{
	bool may_write = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR, write;
	struct rule rule = rule_for(owner, owner);
	unsigned char buf[3 * PAGE];
	uint32_t found;
	ssize_t ret;

	while (times--) {
		uintptr_t addr = WINDOW + draw_lot(window_pages() * PAGE);
		size_t len = 1 + draw_lot(sizeof(buf));

		write = may_write && draw_lot(256) < plan->writes;
		if (write)
			draw(buf, addr, len, rule.period, owner, lot_of_marks(0));
		ret = write ? pwrite(fd, buf, len, addr) : pread(fd, buf, len, addr);
		if (ret < 0 && errno == EBADF)
			return;
		if (ret < 0 ? errno != EIO :
			      !write && inspect(buf, addr, ret, &rule, &found) >= 0)
			complain("a file that was passed on: %s",
				 ret < 0 ? strerror(errno) : "wrong bytes");
		if (ret > 0)
			count(&board->moved[0][write]);
	}
}

static void *use_in_thread(void *fd)
{
	use_passed(*(int *)fd, 16);
	return NULL;
}

/* Leave a file in flight for ever, in the queue of a socket that is in the same queue. */
static void lose(int fd)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		broken("socketpair");
	if (send_fd(pair[0], fd) || send_fd(pair[0], pair[1]))
		broken("losing a file");
	close(pair[0]);
	close(pair[1]);
}

/* Pass the file on while a thread uses it and a child closes its own copy. */
static void hand_on(int fd, int to)
{
	int status, copy = fd;
	pthread_t thread;
	pid_t child;

	if (pthread_create(&thread, NULL, use_in_thread, &copy))
		broken("pthread_create");
	child = split_off();
	if (!child) {
		use_passed(fd, 1);
		close(fd);
		_exit(0);
	}
	if (!draw_lot(8)) {
		lose(fd);
		close(fd);
		pthread_join(thread, NULL);
		fd = attach_to_pass(draw_lot(2));
		send_fd(to, fd);
		close(fd);
	} else {
		send_fd(to, fd);
		close(fd);
		pthread_join(thread, NULL);
	}
	if (waitpid(child, &status, 0) != child || status)
		complain("a child that closes its file ended with %#x", status);
	count(&board->goals);
}

static void be_peer(unsigned int nr)
{
	struct pollfd pfd = { .fd = sockets[nr][0], .events = POLLIN };
	int fd;

	be_child();
	while (!get(&board->stop)) {
		if (poll(&pfd, 1, 50) != 1)
			continue;
		fd = receive_fd(pfd.fd);
		if (fd < 0)
			broken("receiving a file");
		hand_on(fd, sockets[(nr + 1) % PEERS][1]);
	}
}

/* Files in flight at the end are never received. */
static void be_peers(void)
{
	int status, i;

	be_child();
	for (i = 0; i < PEERS; i++)
		if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets[i]))
			broken("socketpair");
	for (i = 0; i < PASSED; i++) {
		int fd = attach_to_pass(i % 2);

		if (send_fd(sockets[i % PEERS][1], fd))
			broken("the first files");
		close(fd);
	}
	for (i = 0; i < PEERS; i++)
		if (!split_off()) {
			be_peer(i);
			_exit(0);
		}
	while (wait(&status) > 0)
		if (status)
			complain("a peer ended with status %#x", status);
}

TEST_F_TIMEOUT(race, children_pass_on_and_close_target_files, TIMEOUT_S)
{
	race(_metadata, &(struct plan){
		.crew = be_peers, .churn = churn_munmap, .rounds = 20, .goals = 20,
		.writes = 96, .anon = 64, .shared = 16,
	});
}

/* --- The module comes and goes --- */

FIXTURE(module) {
};

FIXTURE_SETUP(module)
{
	if (access(MODULE_FILE, R_OK))
		SKIP(return, "no %s to load again", MODULE_FILE);
	was_readonly = is_on(MODULE_READONLY);
	prepare_board(_metadata);
}

FIXTURE_TEARDOWN(module)
{
	/* The test programs after this one need the module. */
	if (access(PVMREAD_DEVICE, F_OK))
		load_again();
}

/* The device may be missing, but if it exists, it works. */
static void be_user(void)
{
	const uint64_t word = stamp(OWNER_NEIGHBOUR, 0, 1);
	struct pvmread_info info = { .size = sizeof(info) };
	uint64_t got;
	long begin;
	int file;

	be_child();
	/* Pause longer than the module is in use, so that it can be unloaded. */
	for (; !get(&board->stop); pass_time(10000 + 4000 * (now_ms() - begin))) {
		begin = now_ms();
		dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
		if (dev < 0) {
			count(&board->answers[errno & 255]);
			if (errno != ENOENT && errno != ENXIO && errno != ENODEV)
				complain("open: %s", strerror(errno));
			continue;
		}
		if (ioctl(dev, PVMREAD_IOC_INFO, &info) || info.version != PVMREAD_ABI_VERSION)
			complain("INFO: %s", strerror(errno));
		file = attach(dev, getpid(), 0, 0, 0);
		if (file < 0)
			complain("ATTACH: %s", strerror(errno));
		/* From now on the target file holds the module. */
		close(dev);
		got = 0;
		if (pread(file, &got, sizeof(got), (uintptr_t)&word) != sizeof(got) ||
		    got != word)
			complain("pread: %s", strerror(errno));
		close(file);
		count(&board->moved[0][false]);
	}
}

static void step_reload(void)
{
	if (!unload(O_NONBLOCK)) {
		pass_time(3000);
		if (load_again())
			complain("finit_module: %s", strerror(errno));
		count(&board->rounds);
	} else if (errno == EWOULDBLOCK) {
		count(&board->answers[EWOULDBLOCK]);
	} else {
		complain("delete_module: %s", strerror(errno));
	}
	pass_time(3000);
}

TEST_F_TIMEOUT(module, is_reloaded_while_processes_use_it, TIMEOUT_S)
{
	struct plan reloads = { .step = step_reload, .rounds = 10 };
	struct trace before = trace();
	long begin = now_ms();
	pid_t users[THREADS];
	int i;

	plan = &reloads;
	for (i = 0; i < THREADS; i++)
		users[i] = start(be_user);
	run_race();
	for (i = 0; i < THREADS; i++)
		end_with(&users[i], 0, "user of the device");
	end_race(_metadata, &before, begin, true);
	EXPECT_EQ(was_readonly, is_on(MODULE_READONLY));
}

int main(int argc, char **argv)
{
	const char *text = getenv("RACE_SECONDS");

	if (argc > ARG_IMAGE && !strcmp(argv[ARG_IMAGE], "--image"))
		be_image(argc, argv);
	if (text && atoi(text) > 0)
		seconds = atoi(text);
	limit_s = seconds + EXTRA_S;
	text = getenv("SEED");
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)now_ms() ^ (uint64_t)getpid() << 32;
	printf("# seed %#llx, %d s a race\n", (unsigned long long)seed, seconds);
	fflush(stdout);
	return test_harness_run(argc, argv);
}
