// SPDX-License-Identifier: GPL-2.0
/*
 * Lifetime: what is kept and what is freed if caller or target exits, execs or hangs in
 * the middle of a request.
 *
 * In the middle of its request the reader waits for a page of its buffer or of the target's
 * memory, until the tester serves the page through a userfaultfd.
 *
 * To observe whether the target's memory is held or freed, the target maps an unlinked
 * file on a tmpfs of the test. Only the target's mm keeps the file, and statfs(2)
 * counts its blocks.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include <kselftest_harness.h>

#include "process.h"

/*
 * No process here uses these addresses: the program is below, its heap begins at most 1 GiB
 * above it, and everything else is near the top.
 */
#define LOCAL		((unsigned char *)0x50000000UL)
#define REMOTE_FILE	((unsigned char *)0x60000000UL)
#define REMOTE_ANON	((unsigned char *)0x61000000UL)
#define REMOTE_LATE	((unsigned char *)0x62000000UL)	/* on userfaultfd */
#define LOCAL_PAGES	6UL
#define FILE_PAGES	64UL
#define ANON_PAGES	4UL

enum door { SYSCALL, IOCTL };

/**
 * struct board - memory shared by tester, target and reader
 * @go: tells the reader to begin
 * @exec: tells the target to exec
 * @close: tells the reader to close the device
 * @uffd: the reader's or target's userfaultfd, a number in its own file table
 * @done: the reader's request is over
 * @signals: how many signals the reader has handled
 * @ret: what the request returned
 * @err: its errno
 * @held: the block count of the tmpfs when it returned, before the reader went on
 * @wrong: index of the first wrong byte, or -1
 * @marks: set by the long transfer itself, one after the other
 * @trouble: why a child gave up
 */
struct board {
	int go;
	int exec;
	int close;
	int uffd;
	int done;
	int signals;
	ssize_t ret;
	int err;
	long held;
	long wrong;
	unsigned char marks[1024];
	char trouble[200];
};

static struct board *board;
static int dev = -1;
static enum door door;
static char dir[40];

static __attribute__((noreturn)) void broken(const char *what)
{
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what,
		 strerror(errno));
	_exit(2);
}

static void wait_for(int *flag)
{
	while (!get(flag))
		usleep(1000);
}

static ssize_t send_request(const struct request *req)
{
	return door == IOCTL ? send_ioctl(dev, req, NULL) : send_syscall(req);
}

/* --- Observing from outside --- */

/* Pages that files in our tmpfs use, with or without a name. */
static long held(void)
{
	struct statfs fs;

	if (statfs(dir, &fs))
		return -1;
	return fs.f_blocks - fs.f_bfree;
}

static long pins_before;

/* Call this after every process of a test has ended. */
static void expect_no_trace(struct __test_metadata *_metadata)
{
	EXPECT_EQ(0, held());
	EXPECT_EQ(pins_before, pins_held());
}

/* --- Contents --- */

/* The first byte of each page is unique and not 0. */
static unsigned char file_byte(size_t i)
{
	return 1 + i / PAGE + i % 7;
}

static unsigned char anon_byte(size_t i)
{
	return 0x80 + i / PAGE + i % 11;
}

static unsigned char image_byte(size_t i)
{
	return 0xc0 + i % 13;
}

static void fill(unsigned char *to, size_t len, unsigned char (*byte)(size_t))
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = byte(i);
}

static unsigned char *map(unsigned char *at, size_t len, int flags, int fd)
{
	unsigned char *p;

	p = mmap(at, len, PROT_READ | PROT_WRITE,
		 flags | MAP_FIXED_NOREPLACE, fd, 0);
	if (p != at)
		broken("mmap");
	return p;
}

/*
 * The request of all tests that wait: three remote segments, so three pins. The first
 * pin happens before the wait. The last two happen after it, on memory that the target
 * has touched and on pages that were in no page table before.
 */
static const struct iovec remote_vec[] = {
	{ REMOTE_FILE, PAGE },
	{ REMOTE_ANON, 2 * PAGE },
	{ REMOTE_FILE + PAGE, 3 * PAGE },
};

static const struct iovec local_vec[] = {
	{ LOCAL, LOCAL_PAGES * PAGE },
};

static unsigned char old_byte(size_t i)
{
	if (i < PAGE)
		return file_byte(i);
	if (i < 3 * PAGE)
		return anon_byte(i - PAGE);
	return file_byte(i - 2 * PAGE);
}

/* --- Userfaultfd --- */

static void leave_to_tester(unsigned char *page)
{
	board->uffd = hold_back((uintptr_t)page, PAGE);
	if (board->uffd < 0)
		broken("userfaultfd");
}

/* Return: true once a fault on @page is waiting. */
static bool is_waited_for(int uffd, const unsigned char *page)
{
	return page_asked_for(uffd, PATIENCE_MS) == (uintptr_t)page;
}

static const unsigned char zeros[PAGE];

/* --- Target and reader --- */

static void map_target_memory(void)
{
	char path[sizeof(dir) + 8];
	unsigned char page[PAGE];
	size_t i, j;
	int fd;

	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || unlink(path))
		broken(path);
	for (i = 0; i < FILE_PAGES; i++) {
		for (j = 0; j < PAGE; j++)
			page[j] = file_byte(i * PAGE + j);
		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			broken("filling the file");
	}
	map(REMOTE_FILE, FILE_PAGES * PAGE, MAP_SHARED, fd);
	close(fd);
	map(REMOTE_ANON, ANON_PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(REMOTE_ANON, ANON_PAGES * PAGE, anon_byte);
}

static void be_target(void)
{
	char fd[12];

	map_target_memory();
	tell();
	wait_for(&board->exec);
	/* Not close-on-exec, because the new image also reports. */
	snprintf(fd, sizeof(fd), "%d", told[1]);
	execl("/proc/self/exe", "lifetime", "--image", fd, NULL);
	broken("exec");
}

static void be_target_on_userfaultfd(void)
{
	map(REMOTE_LATE, PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	leave_to_tester(REMOTE_LATE);
	tell();
	for (;;)
		pause();
}

/* The target's second life: other bytes at the same addresses. */
static __attribute__((noreturn)) void main_of_image(char **argv)
{
	static struct board nowhere;

	board = &nowhere;
	told[1] = atoi(argv[2]);
	die_with_parent();
	map(REMOTE_FILE, FILE_PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map(REMOTE_ANON, ANON_PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(REMOTE_FILE, FILE_PAGES * PAGE, image_byte);
	fill(REMOTE_ANON, ANON_PAGES * PAGE, image_byte);
	tell();
	for (;;)
		pause();
}

static pid_t whom;

static void count_signal(int sig)
{
	(void)sig;
	board->signals++;
}

static void note_answer(ssize_t ret)
{
	board->err = ret < 0 ? errno : 0;
	board->ret = ret;
	board->held = held();
	set(&board->done, 1);
}

static void compare(const unsigned char *at, size_t len,
		    unsigned char (*byte)(size_t))
{
	size_t i;

	board->wrong = -1;
	for (i = 0; i < len; i++) {
		if (at[i] != byte(i)) {
			board->wrong = i;
			break;
		}
	}
}

static struct request the_request(void)
{
	return (struct request){
		.pid = whom,
		.local = local_vec,
		.local_count = 1,
		.remote = remote_vec,
		.remote_count = 3,
	};
}

/* Reads the target into a buffer whose first page the tester must serve. */
static void be_reader(void)
{
	struct request req = the_request();

	map(LOCAL, LOCAL_PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	leave_to_tester(LOCAL);
	tell();
	wait_for(&board->go);
	note_answer(send_request(&req));
	compare(LOCAL, LOCAL_PAGES * PAGE, old_byte);
}

/* The byte that the_request() reads at @i after the target's execve(2). */
static unsigned char new_byte(size_t i)
{
	if (i < PAGE)
		return image_byte(i);
	if (i < 3 * PAGE)
		return image_byte(i - PAGE);
	return image_byte(i - 2 * PAGE);
}

/* Like be_reader(), but repeats the request once the target has its new image. */
static void be_reader_twice(void)
{
	struct request req = the_request();

	be_reader();
	if (board->wrong >= 0 || board->ret != (ssize_t)(LOCAL_PAGES * PAGE))
		return;
	if (send_request(&req) != board->ret)
		broken("reading the new image");
	compare(LOCAL, LOCAL_PAGES * PAGE, new_byte);
}

static unsigned char late_byte(size_t i)
{
	return 0x40 + i % 17;
}

/* Reads the target's page that the tester must serve. */
static void be_reader_of_late(void)
{
	struct iovec local = { LOCAL, PAGE };
	struct iovec remote = { REMOTE_LATE, PAGE };
	struct request req = {
		.pid = whom,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};
	struct sigaction action = { .sa_handler = count_signal };

	sigaction(SIGUSR1, &action, NULL);
	map(LOCAL, PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	tell();
	wait_for(&board->go);
	note_answer(send_request(&req));
	compare(LOCAL, PAGE, late_byte);
}

static pid_t start(void (*what)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	die_with_parent();
	what();
	_exit(0);
}

static pid_t start_and_wait(void (*what)(void))
{
	return await_ready(start(what));
}

static void assert_started(struct __test_metadata *_metadata, pid_t pid)
{
	ASSERT_LT(0, pid) {
		TH_LOG("%s", board->trouble);
	}
}

/* --- The request --- */

struct partners {
	pid_t target;
	pid_t reader;
	int uffd;
};

FIXTURE(lifetime) {
	struct partners of;
};

FIXTURE_VARIANT(lifetime) {
	enum door door;
};

FIXTURE_VARIANT_ADD(lifetime, syscall) {
	.door = SYSCALL,
};

FIXTURE_VARIANT_ADD(lifetime, ioctl) {
	.door = IOCTL,
};

FIXTURE_SETUP(lifetime)
{
	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	door = variant->door;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, board);
	ASSERT_EQ(0, pipe(told));
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	/* A tmpfs that only this test uses, and that is unmounted when the process ends. */
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	snprintf(dir, sizeof(dir), "/tmp/pvmread-lifetime.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(dir));
	ASSERT_EQ(0, mount("none", dir, "tmpfs", 0, "size=16m"));
	ASSERT_EQ(0, held());
	pins_before = pins_held();
}

FIXTURE_TEARDOWN(lifetime)
{
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

/* Start both. Wait until the reader has pinned the first page and waits for its own buffer. */
static void start_both(struct __test_metadata *_metadata,
		       struct partners *of, void (*reader)(void))
{
	of->target = start_and_wait(be_target);
	assert_started(_metadata, of->target);
	whom = of->target;
	of->reader = start_and_wait(reader);
	assert_started(_metadata, of->reader);
	of->uffd = take_fd(of->reader, board->uffd);
	ASSERT_LE(0, of->uffd);
	set(&board->go, 1);
	ASSERT_TRUE(is_waited_for(of->uffd, LOCAL));
	ASSERT_EQ(0, get(&board->done));
	ASSERT_EQ((long)FILE_PAGES, held());
}

static void kill_target(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_LE(0, reap_in(pid, PATIENCE_MS, &status));
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(-1, kill(pid, 0));
	ASSERT_EQ(ESRCH, errno);
}

static void kill_reader(struct __test_metadata *_metadata, pid_t pid)
{
	int status = 0;
	long ms;

	/* The reader must still be in its request. */
	ASSERT_EQ(0, get(&board->done));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ms = reap_in(pid, LEAVE_MS, &status);
	ASSERT_LE(0, ms) {
		TH_LOG("the reader is still there after %d ms", LEAVE_MS);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, get(&board->done));
}

static void expect_old_bytes(struct __test_metadata *_metadata, pid_t reader)
{
	int status = -1;

	ASSERT_LE(0, reap_in(reader, PATIENCE_MS, &status));
	ASSERT_EQ(0, status) {
		TH_LOG("%s", board->trouble);
	}
	EXPECT_EQ(1, board->done);
	EXPECT_EQ(0, board->err);
	EXPECT_EQ((ssize_t)(LOCAL_PAGES * PAGE), board->ret);
	EXPECT_EQ(-1, board->wrong);
}

TEST_F(lifetime, read_continues_after_target_exit_and_frees_its_memory)
{
	start_both(_metadata, &self->of, be_reader);
	kill_target(_metadata, self->of.target);
	/* Now only the reader holds the target's memory. */
	usleep(50000);
	ASSERT_EQ((long)FILE_PAGES, held());
	ASSERT_TRUE(serve_page(self->of.uffd, (uintptr_t)LOCAL, zeros));
	expect_old_bytes(_metadata, self->of.reader);
	/* The call freed the memory, not the reader's exit. */
	EXPECT_EQ(0, board->held);
	expect_no_trace(_metadata);
}

TEST_F(lifetime, reader_killed_after_target_exit_frees_its_memory)
{
	start_both(_metadata, &self->of, be_reader);
	kill_target(_metadata, self->of.target);
	ASSERT_EQ((long)FILE_PAGES, held());
	kill_reader(_metadata, self->of.reader);
	expect_no_trace(_metadata);
}

TEST_F(lifetime, reader_killed_in_its_own_page_fault_keeps_target_intact)
{
	unsigned char c = 0;
	struct iovec local = { &c, 1 };
	struct iovec remote = { REMOTE_ANON, 1 };
	struct request req = {
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};

	start_both(_metadata, &self->of, be_reader);
	kill_reader(_metadata, self->of.reader);
	EXPECT_EQ((long)FILE_PAGES, held());
	req.pid = self->of.target;
	EXPECT_EQ(1, send_request(&req));
	EXPECT_EQ(anon_byte(0), c);
	kill_target(_metadata, self->of.target);
	expect_no_trace(_metadata);
}

TEST_F(lifetime, read_continues_on_the_old_image_after_target_exec)
{
	start_both(_metadata, &self->of, be_reader_twice);
	set(&board->exec, 1);
	ASSERT_TRUE(is_told());
	EXPECT_EQ((long)FILE_PAGES, held());
	ASSERT_TRUE(serve_page(self->of.uffd, (uintptr_t)LOCAL, zeros));
	expect_old_bytes(_metadata, self->of.reader);
	EXPECT_EQ(0, board->held);
	kill_target(_metadata, self->of.target);
	expect_no_trace(_metadata);
}

static void start_late(struct __test_metadata *_metadata,
		       struct partners *of)
{
	of->target = start_and_wait(be_target_on_userfaultfd);
	assert_started(_metadata, of->target);
	whom = of->target;
	of->uffd = take_fd(of->target, board->uffd);
	ASSERT_LE(0, of->uffd);
	of->reader = start_and_wait(be_reader_of_late);
	assert_started(_metadata, of->reader);
	set(&board->go, 1);
	ASSERT_TRUE(is_waited_for(of->uffd, REMOTE_LATE));
	ASSERT_EQ(0, get(&board->done));
}

TEST_F(lifetime, reader_killed_in_the_targets_page_fault_exits)
{
	start_late(_metadata, &self->of);
	kill_reader(_metadata, self->of.reader);
	kill_target(_metadata, self->of.target);
	expect_no_trace(_metadata);
}

TEST_F(lifetime, handled_signal_waits_for_the_targets_page_fault)
{
	unsigned char page[PAGE];
	int status = -1;

	start_late(_metadata, &self->of);
	ASSERT_EQ(0, kill(self->of.reader, SIGUSR1));
	usleep(200000);
	EXPECT_EQ(0, get(&board->done));
	EXPECT_EQ(0, board->signals);
	fill(page, PAGE, late_byte);
	ASSERT_TRUE(serve_page(self->of.uffd, (uintptr_t)REMOTE_LATE, page));
	ASSERT_LE(0, reap_in(self->of.reader, PATIENCE_MS, &status));
	ASSERT_EQ(0, status);
	EXPECT_EQ((ssize_t)PAGE, board->ret);
	EXPECT_EQ(-1, board->wrong);
	EXPECT_EQ(1, board->signals);
	kill_target(_metadata, self->of.target);
	expect_no_trace(_metadata);
}

/* --- The long transfer --- */

#define CHUNK		(4UL << 20)
#define CHUNKS		511UL	/* chunks and marks: just below MAX_RW_COUNT */

/*
 * Read the same 4 MiB again and again, and after each time one byte into shared memory.
 * So the transfer itself shows its progress.
 */
static void be_reader_of_much(void)
{
	static struct iovec local[2 * CHUNKS], remote[2 * CHUNKS];
	static unsigned char mark = 1;
	struct request req = {
		.pid = getppid(),
		.local = local,
		.local_count = 2 * CHUNKS,
		.remote = remote,
		.remote_count = 2 * CHUNKS,
	};
	size_t i;

	map(LOCAL, CHUNK, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	for (i = 0; i < CHUNKS; i++) {
		local[2 * i] = (struct iovec){ LOCAL, CHUNK };
		local[2 * i + 1] = (struct iovec){ &board->marks[i], 1 };
		remote[2 * i] = (struct iovec){ REMOTE_ANON, CHUNK };
		remote[2 * i + 1] = (struct iovec){ &mark, 1 };
	}
	note_answer(send_request(&req));
}

static size_t marks(void)
{
	size_t i;

	for (i = 0; i < CHUNKS; i++) {
		if (!__atomic_load_n(&board->marks[i], __ATOMIC_ACQUIRE))
			break;
	}
	return i;
}

TEST_F(lifetime, reader_killed_in_a_long_transfer_exits)
{
	long begin, ms;
	size_t before, after;
	int status = 0;

	/* The tester is the target. */
	map(REMOTE_ANON, CHUNK, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	self->of.reader = start(be_reader_of_much);
	ASSERT_LT(0, self->of.reader);
	begin = now_ms();
	while (!marks() && now_ms() - begin < PATIENCE_MS)
		usleep(1000);
	before = marks();
	ASSERT_EQ(0, kill(self->of.reader, SIGKILL));
	ASSERT_LT(0, before) {
		TH_LOG("%zd, %s, %s", board->ret, strerror(board->err),
		       board->trouble);
	}
	ms = reap_in(self->of.reader, LEAVE_MS, &status);
	after = marks();
	TH_LOG("killed after %zu of %lu MiB, left after %ld ms and %zu MiB",
	       before * (CHUNK >> 20), CHUNKS * (CHUNK >> 20), ms,
	       after * (CHUNK >> 20));
	ASSERT_LE(0, ms) {
		kill(self->of.reader, SIGKILL);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	/* If this one fails, the machine is too fast for this test. */
	ASSERT_GT(CHUNKS, before);
	EXPECT_GT(CHUNKS, after);
	EXPECT_EQ(0, board->done);
	expect_no_trace(_metadata);
}

/* --- Pins --- */

/* Return: number of pages pinned and unpinned since @before, or -1 if these differ. */
static long pins_since(struct pins before)
{
	struct pins p = pins();

	if (p.acquired - before.acquired != p.released - before.released)
		return -1;
	return p.acquired - before.acquired;
}

TEST_F(lifetime, page_pins_are_released)
{
	const size_t len = 40 * PAGE;	/* more page pointers than fit on the stack */
	unsigned char *local, *remote;
	struct iovec lvec, rvec;
	struct request req = {
		.pid = getpid(),
		.local = &lvec,
		.local_count = 1,
		.remote = &rvec,
		.remote_count = 1,
	};
	struct pins before = pins();

	if (before.acquired < 0)
		SKIP(return, "not in this kernel: nr_foll_pin_* in vmstat");
	local = LOCAL;
	remote = mmap(NULL, len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, remote);
	for (req.write = false; ; req.write = true) {
		ASSERT_EQ(0, munmap(local, len));
		map(local, len, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		ASSERT_EQ(0, mprotect(remote, len, PROT_READ | PROT_WRITE));
		lvec = (struct iovec){ local, len };
		rvec = (struct iovec){ remote, len };

		/* Success. */
		before = pins();
		EXPECT_EQ((ssize_t)len, send_request(&req));
		EXPECT_LE(40, pins_since(before));

		/* The target's memory ends: after some bytes, and before the first. */
		ASSERT_EQ(0, mprotect(remote + 3 * PAGE, PAGE, PROT_NONE));
		before = pins();
		EXPECT_EQ((ssize_t)(3 * PAGE), send_request(&req));
		EXPECT_LE(3, pins_since(before));
		ASSERT_EQ(0, mprotect(remote, PAGE, PROT_NONE));
		before = pins();
		EXPECT_EQ(-1, send_request(&req));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(0, pins_since(before));

		/* The caller's memory ends after the target's was pinned. */
		ASSERT_EQ(0, mprotect(remote, len, PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, munmap(local + 2 * PAGE, PAGE));
		before = pins();
		EXPECT_EQ((ssize_t)(2 * PAGE), send_request(&req));
		EXPECT_LE(2, pins_since(before));
		ASSERT_EQ(0, munmap(local, PAGE));
		before = pins();
		EXPECT_EQ(-1, send_request(&req));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_LE(1, pins_since(before));
		if (req.write)
			break;
	}
}

/* --- The open file in another process --- */

FIXTURE(handover) {
	int sock[2];
};

FIXTURE_SETUP(handover)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, board);
	ASSERT_EQ(0, pipe(told));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, self->sock));
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	door = IOCTL;
}

FIXTURE_TEARDOWN(handover)
{
}

/* Private to each process: after fork() it can differ. */
static unsigned char mine;

/* Return: the byte that @pid has in "mine", or minus errno. */
static int read_mine(pid_t pid)
{
	unsigned char c = 0;
	struct iovec local = { &c, 1 };
	struct iovec remote = { &mine, 1 };
	struct request req = {
		.pid = pid,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};
	ssize_t ret = send_request(&req);

	return ret == 1 ? c : ret < 0 ? -errno : -EIO;
}

static void use_inherited(void)
{
	mine = 2;
	if (read_mine(getpid()) != 2)
		broken("the child's own memory");
	if (read_mine(getppid()) != 1)
		broken("the parent's memory");
	tell();
}

TEST_F(handover, fd_inherited_by_fork_works_in_the_child)
{
	int status = -1;
	pid_t pid;

	mine = 1;
	pid = start_and_wait(use_inherited);
	assert_started(_metadata, pid);
	ASSERT_LE(0, reap_in(pid, PATIENCE_MS, &status));
	EXPECT_EQ(0, status);
	/* It still serves the opener. */
	EXPECT_EQ(1, read_mine(getpid()));
}

static int sock_of_child;
static pid_t opener;

static void wait_to_be_read(void)
{
	mine = 3;
	tell();
	for (;;)
		pause();
}

/* A user that cannot open the device receives the open file from root. */
static void use_received(void)
{
	pid_t child;

	close(dev);
	if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
	    setresuid(1000, 1000, 1000) || prctl(PR_SET_DUMPABLE, 1))
		broken("changing the user");
	die_with_parent();
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev >= 0 || errno != EACCES)
		broken("the device is open to everyone");
	tell();
	dev = receive_fd(sock_of_child);
	if (dev < 0)
		broken("receiving the file");
	mine = 2;
	if (read_mine(getpid()) != 2)
		broken("the receiver's own memory");
	if (read_mine(opener) != -EPERM)
		broken("the opener's memory");
	/* The target is its child, which Yama permits. */
	child = start_and_wait(wait_to_be_read);
	if (child < 0 || read_mine(child) != 3)
		broken("the receiver's child");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

TEST_F(handover, fd_passed_by_socket_has_the_receivers_rights)
{
	int status = -1;
	pid_t pid;

	mine = 1;
	opener = getpid();
	sock_of_child = self->sock[1];
	pid = start_and_wait(use_received);
	assert_started(_metadata, pid);
	ASSERT_EQ(0, send_fd(self->sock[0], dev));
	ASSERT_LE(0, reap_in(pid, PATIENCE_MS, &status));
	EXPECT_EQ(0, status) {
		TH_LOG("%s", board->trouble);
	}
}

/* --- The module --- */

FIXTURE(module) {
};

FIXTURE_SETUP(module)
{
	if (access(MODULE_FILE, R_OK))
		SKIP(return, "no %s to load again", MODULE_FILE);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, board);
	ASSERT_EQ(0, pipe(told));
	ASSERT_EQ(0, access(PVMREAD_DEVICE, F_OK));
	door = IOCTL;
}

FIXTURE_TEARDOWN(module)
{
	/* The programs after this one need the module. */
	if (access(PVMREAD_DEVICE, F_OK))
		load("windows=1");
}

/* delete_module(2) fails with EWOULDBLOCK; the text of rmmod(8) varies. */
TEST_F(module, stays_while_the_device_is_open)
{
	struct pvmread_info info = { .size = sizeof(info) };

	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev);
	EXPECT_EQ(-1, unload(O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(-1, unload(0));
	EXPECT_EQ(EWOULDBLOCK, errno);
	/* And it still works. */
	EXPECT_EQ(0, ioctl(dev, PVMREAD_IOC_INFO, &info));
	EXPECT_EQ(PVMREAD_ABI_VERSION, info.version);
	EXPECT_EQ(0, close(dev));
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load("windows=1"));
}

static void *send_in_thread(void *unused)
{
	unsigned char *page = REMOTE_ANON;
	struct iovec local = { LOCAL, PAGE };
	struct iovec remote = { page, PAGE };
	struct request req = {
		.pid = getpid(),
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};

	(void)unused;
	note_answer(send_request(&req));
	compare(LOCAL, PAGE, anon_byte);
	return NULL;
}

/* Closes the device while another thread is in a request. */
static void be_reader_that_closes(void)
{
	pthread_t thread;

	map(LOCAL, PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map(REMOTE_ANON, PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(REMOTE_ANON, PAGE, anon_byte);
	leave_to_tester(LOCAL);
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		broken(PVMREAD_DEVICE);
	if (pthread_create(&thread, NULL, send_in_thread, NULL))
		broken("pthread_create");
	tell();
	wait_for(&board->close);
	if (close(dev))
		broken("close");
	tell();
	pthread_join(thread, NULL);
}

TEST_F(module, stays_while_a_request_is_running)
{
	int status = -1;
	pid_t reader;
	int uffd;

	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	reader = start_and_wait(be_reader_that_closes);
	assert_started(_metadata, reader);
	uffd = take_fd(reader, board->uffd);
	ASSERT_LE(0, uffd);
	ASSERT_TRUE(is_waited_for(uffd, LOCAL));
	EXPECT_EQ(-1, unload(O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	/* Now only the request holds the file, which holds the module. */
	set(&board->close, 1);
	ASSERT_TRUE(is_told());
	EXPECT_EQ(-1, unload(O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, get(&board->done));
	ASSERT_TRUE(serve_page(uffd, (uintptr_t)LOCAL, zeros));
	ASSERT_LE(0, reap_in(reader, PATIENCE_MS, &status));
	EXPECT_EQ(0, status);
	EXPECT_EQ((ssize_t)PAGE, board->ret);
	EXPECT_EQ(-1, board->wrong);
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load("windows=1"));
}

TEST_F(module, can_be_unloaded_and_loaded_again)
{
	int round;

	mine = 7;
	for (round = 0; round < 8; round++) {
		ASSERT_EQ(0, unload(O_NONBLOCK));
		ASSERT_EQ(-1, access(PVMREAD_DEVICE, F_OK));
		ASSERT_EQ(-1, unload(O_NONBLOCK));
		ASSERT_EQ(ENOENT, errno);
		ASSERT_EQ(0, load("windows=1"));
		dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, dev);
		EXPECT_EQ(7, read_mine(getpid()));
		ASSERT_EQ(0, close(dev));
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--image"))
		main_of_image(argv);
	return test_harness_run(argc, argv);
}
