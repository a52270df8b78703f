// SPDX-License-Identifier: GPL-2.0
/*
 * Target files: what ATTACH returns, every way to read and write it, permissions, and
 * the file's behaviour after the target has exited.
 *
 * The target has other bytes than the tester at the same addresses, so that an access
 * to the wrong process is noticed. Tests check the target's memory with
 * process_vm_readv(2), not with the file.
 *
 * A page that makes a request wait is registered with a userfaultfd of the target. The
 * tester has a copy of that descriptor, and serves the page at any time or never.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#include <liburing.h>

#include <kselftest_harness.h>

#include "numbers.h"
#include "process.h"

/*
 * No process here uses these addresses: the program is below, its heap begins at most 1 GiB
 * above it, and everything else is near the top.
 */
#define LOCAL		((unsigned char *)0x50000000UL)
#define WINDOW		0x60000000UL
#define BIG		0x61000000UL
#define LATE		0x68000000UL

/*
 * The module moves about MOST bytes in one hold, so it moves BIG_LEN in many. io_uring locks
 * LOCAL_LEN bytes, which fit in 8 MiB, the default RLIMIT_MEMLOCK since Linux 5.16.
 */
#define MOST		65536UL
#define BIG_LEN		(69 * MOST)
#define LATE_PAGES	96UL
#define LOCAL_LEN	(BIG_LEN + 4 * PAGE)
#define LOCAL_END	(LOCAL + LOCAL_LEN)	/* a hole */

/* The window: four pages, a hole, a page, two with fewer permissions, a hole. */
#define HOLE		4
#define ALONE		5
#define READ_ONLY	6
#define NO_ACCESS	7
#define WINDOW_PAGES	9
#define F(page, off)	(WINDOW + (page) * PAGE + (off))

/* Not an address of user space: not canonical, or the kernel's on 32-bit machines */
#define NOT_CANONICAL	(sizeof(long) == 8 ? 0x0000800000000000ULL : 0xf0000000ULL)
#define KERNEL_ADDR	0xffff888000000000ULL

#define PAGE_SPLICE	15	/* pages that fit into a pipe even if unaligned */
#define GARBAGE		0xa5

#define ALICE		1001
#define BOB		1002

#define YAMA_SCOPE	"/proc/sys/kernel/yama/ptrace_scope"

/* The errno of the test's own errors: no call here fails with it. */
#define NONSENSE	EDOM

/**
 * struct board - memory shared by the tester and its children
 * @uffd: the target's userfaultfd, a number in its own file table
 * @other: a thread or a process that a child has started
 * @result: a child's result; its meaning depends on the child
 * @trouble: why a child gave up
 */
struct board {
	int uffd;
	pid_t other;
	long result[4];
	char trouble[200];
};

static struct board *board;
static int dev = -1;
static int orders[2], sock[2];
/* Inputs of a child: an inherited target file, and a process or an address. */
static int inherited = -1;
static pid_t whom;

static __attribute__((noreturn)) void broken(const char *what)
{
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what,
		 strerror(errno));
	_exit(2);
}

/* --- Contents --- */

/* Bits that differ from old_byte() and tell whose bytes these are. */
enum flavour {
	OLD	= 0,		/* the target's initial bytes */
	NEW	= 0xff,		/* the bytes written to the target */
	MINE	= 0xaa,		/* the tester's */
	IMAGE	= 0x55,		/* the target's bytes after execve(2) */
};

/* No two pages are equal, nor any two parts of a page. */
static unsigned char old_byte(uint64_t at)
{
	return (uint32_t)(at * 2654435761U) >> 24;
}

/* Fill @to with the @len bytes that belong at address @at. */
static void fill(void *to, size_t len, uint64_t at, enum flavour flavour)
{
	unsigned char *byte = to;
	size_t i;

	for (i = 0; i < len; i++)
		byte[i] = old_byte(at + i) ^ flavour;
}

/* Return: index of the first byte that differs from those of @at, or @len. */
static size_t differs(const void *from, size_t len, uint64_t at, enum flavour flavour)
{
	const unsigned char *byte = from;
	size_t i;

	for (i = 0; i < len; i++)
		if (byte[i] != (unsigned char)(old_byte(at + i) ^ flavour))
			break;
	return i;
}

static bool is_all(const unsigned char *from, size_t len, unsigned char byte)
{
	while (len && *from == byte) {
		from++;
		len--;
	}
	return !len;
}

static void *map(uint64_t at, size_t len)
{
	void *want = (void *)(uintptr_t)at;
	void *p = mmap(want, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != want)
		broken("mmap");
	return p;
}

static bool window_has(size_t page)
{
	return page != HOLE && page < WINDOW_PAGES - 1;
}

static void map_window(enum flavour flavour)
{
	size_t page;

	for (page = 0; page < WINDOW_PAGES; page++) {
		void *at = (void *)F(page, 0);

		if (!window_has(page))
			continue;
		fill(map(F(page, 0), PAGE), PAGE, F(page, 0), flavour);
		if (page == READ_ONLY && mprotect(at, PAGE, PROT_READ))
			broken("mprotect");
		if (page == NO_ACCESS && mprotect(at, PAGE, PROT_NONE))
			broken("mprotect");
	}
}

/* --- The target's memory by the system calls --- */

static bool peek(pid_t pid, uint64_t at, void *buf, size_t len)
{
	struct iovec local = { buf, len };
	struct iovec remote = { (void *)(uintptr_t)at, len };
	struct request req = {
		.pid = pid,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};

	return send_syscall(&req) == (ssize_t)len;
}

static bool poke(pid_t pid, uint64_t at, const void *buf, size_t len)
{
	struct iovec local = { (void *)buf, len };
	struct iovec remote = { (void *)(uintptr_t)at, len };
	struct request req = {
		.pid = pid,
		.write = true,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};

	return send_syscall(&req) == (ssize_t)len;
}

/* Is the window NEW from @from to @to, and OLD elsewhere? */
static bool window_is_new(pid_t pid, uint64_t from, uint64_t to)
{
	unsigned char buf[PAGE];
	size_t page, i;

	for (page = 0; page < WINDOW_PAGES; page++) {
		if (!window_has(page) || page == NO_ACCESS)
			continue;
		if (!peek(pid, F(page, 0), buf, PAGE))
			return false;
		for (i = 0; i < PAGE; i++) {
			uint64_t at = F(page, i);
			enum flavour flavour = at >= from && at < to ? NEW : OLD;

			if (differs(&buf[i], 1, at, flavour) != 1)
				return false;
		}
	}
	return true;
}

/* Make the window OLD again. */
static bool restore_window(pid_t pid)
{
	unsigned char buf[PAGE];
	size_t page;

	for (page = 0; page < READ_ONLY; page++) {
		fill(buf, PAGE, F(page, 0), OLD);
		if (window_has(page) && !poke(pid, F(page, 0), buf, PAGE))
			return false;
	}
	return true;
}

/* --- Children --- */

static pid_t children[64];
static unsigned int nr_children;

/* A child gets its orders through a pipe of its own. */
static pid_t start(void (*what)(void))
{
	pid_t pid;

	if (pipe2(orders, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		die_with_parent();
		what();
		_exit(0);
	}
	if (pid > 0)
		children[nr_children++ % ARRAY_SIZE(children)] = pid;
	return pid;
}

/* Return: a child that is ready, or -1. */
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

/* Wait for the end of a process that need not be a child. It is not reaped here. */
static bool ends(pid_t pid)
{
	struct pollfd pfd = { .fd = open_pidfd(pid), .events = POLLIN };
	bool ended = pfd.fd >= 0 && poll(&pfd, 1, PATIENCE_MS) == 1;

	close(pfd.fd);
	return ended;
}

static bool kill_and_reap(pid_t pid)
{
	int status;

	if (kill(pid, SIGKILL))
		return false;
	status = reap(pid, PATIENCE_MS);
	return status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Return: a child's exit status, or -1. */
static int run(void (*what)(void))
{
	pid_t pid = start(what);
	int status = pid > 0 ? reap(pid, PATIENCE_MS) : -1;

	return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Kill the children that a test left: they would keep the device open in the next test. */
static void end_children(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(children); i++) {
		if (children[i] > 0 && !waitpid(children[i], NULL, WNOHANG)) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
		children[i] = 0;
	}
	if (board->other > 0)
		kill(board->other, SIGKILL);
}

/* Return: a child's next order, one of the letters that its function knows. */
static char await_order(void)
{
	char c;

	if (read(orders[0], &c, 1) != 1)
		broken("waiting for an order");
	return c;
}

/* Send an order to the child started last. */
static void order(char c)
{
	if (write(orders[1], &c, 1) != 1)
		abort();
}

static void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		broken("changing the user");
	/* The change made the process undumpable, which another test covers. */
	if (prctl(PR_SET_DUMPABLE, 1))
		broken("PR_SET_DUMPABLE");
	die_with_parent();
}

static __attribute__((noreturn)) void stay(void)
{
	for (;;)
		pause();
}

/*
 * The target's second life: PROGRAM --image TOLD [root]. It has other bytes at the
 * same addresses. With "root" it fails unless a set-uid bit has made it root.
 */
static const char *image = "/proc/self/exe", *image_user;

static __attribute__((noreturn)) void exec_image(void)
{
	char fd[12];

	/* Not close-on-exec, because the new image also reports. */
	snprintf(fd, sizeof(fd), "%d", told[1]);
	execl(image, "target", "--image", fd, image_user, NULL);
	broken("exec");
}

static __attribute__((noreturn)) void main_of_image(int argc, char **argv)
{
	static struct board nowhere;

	board = &nowhere;
	told[1] = atoi(argv[2]);
	die_with_parent();
	if (argc == 4 && (geteuid() || !getuid()))
		_exit(3);
	map_window(IMAGE);
	tell();
	stay();
}

/* What most targets do once they are ready. */
static void obey(void)
{
	for (;;) {
		switch (await_order()) {
		case 'e':
			exec_image();
		case 'q':
			_exit(0);
		case 'l':
			/* Only the leader exits. exit() would also end the other threads. */
			syscall(SYS_exit, 0);
			break;
		default:
			broken("unknown order");
		}
	}
}

static void map_target_memory(void)
{
	size_t page;

	for (page = 0; page < WINDOW_PAGES; page++)
		munmap((void *)F(page, 0), PAGE);
	map_window(OLD);
}

static void be_target(void)
{
	map_target_memory();
	tell();
	obey();
}

static void be_big_target(void)
{
	map_target_memory();
	fill(map(BIG, BIG_LEN), BIG_LEN, BIG, OLD);
	tell();
	obey();
}

/* A resident page, late pages, an untouched page. */
static void be_late_target(void)
{
	map_target_memory();
	fill(map(LATE - PAGE, PAGE), PAGE, LATE - PAGE, OLD);
	map(LATE, LATE_PAGES * PAGE);
	map(LATE + LATE_PAGES * PAGE, PAGE);
	board->uffd = hold_back(LATE, LATE_PAGES * PAGE);
	if (board->uffd < 0)
		broken("userfaultfd");
	tell();
	obey();
}

/* --- Target files --- */

static int attach_all(pid_t pid, unsigned int flags)
{
	return attach(dev, pid, flags, 0, 0);
}

static int batch(int fd, unsigned int flags, struct pvmread_segment *segment, uint64_t count)
{
	struct pvmread_batch arg = {
		.size = sizeof(arg),
		.flags = flags,
		.segments = (uintptr_t)segment,
		.count = count,
	};

	return ioctl(fd, PVMREAD_IOC_BATCH, &arg);
}

/* Return: 0 or errno; NONSENSE if the call returned more than 0. */
static int errno_of(ssize_t ret)
{
	return ret > 0 ? NONSENSE : ret < 0 ? errno : 0;
}

/**
 * struct info - /proc/PID/fdinfo/FD of a target file
 * @fields: number of the fields below that were found
 */
struct info {
	int fields;
	int pid;
	char range[40];
	char mode[40];
	unsigned long long read;
	unsigned long long written;
	unsigned long long faults;
};

static struct info read_info(const char *proc, int fd)
{
	struct info info = {};
	char line[256];
	FILE *f;

	snprintf(line, sizeof(line), "%s/self/fdinfo/%d", proc, fd);
	f = fopen(line, "re");
	if (!f)
		return info;
	while (fgets(line, sizeof(line), f)) {
		info.fields += sscanf(line, "pid: %d", &info.pid) == 1;
		info.fields += sscanf(line, "range: %39[^\n]", info.range) == 1;
		info.fields += sscanf(line, "mode: %39[^\n]", info.mode) == 1;
		info.fields += sscanf(line, "read: %llu", &info.read) == 1;
		info.fields += sscanf(line, "written: %llu", &info.written) == 1;
		info.fields += sscanf(line, "faults: %llu", &info.faults) == 1;
	}
	fclose(f);
	return info;
}

#define INFO_FIELDS	6

/* --- Userfaultfd --- */

/* Serve a page with its OLD bytes. */
static int serve(int uffd, uint64_t page)
{
	unsigned char contents[PAGE];

	fill(contents, PAGE, page, OLD);
	return serve_page(uffd, page, contents) ? 0 : -1;
}

/**
 * struct server - a thread that serves pages, each some time after the fault
 * @thread: the thread
 * @uffd: the userfaultfd
 * @pages: number of pages to serve
 * @served: number of pages served
 */
struct server {
	pthread_t thread;
	int uffd;
	unsigned int pages;
	unsigned int served;
};

static void *be_server(void *arg)
{
	struct server *server = arg;

	while (server->served < server->pages) {
		uint64_t page = page_asked_for(server->uffd, PATIENCE_MS);

		usleep(20000);
		if (!page || serve(server->uffd, page))
			break;
		server->served++;
	}
	return NULL;
}

static bool start_server(struct server *server, int uffd, unsigned int pages)
{
	*server = (struct server){ .uffd = uffd, .pages = pages };
	return !pthread_create(&server->thread, NULL, be_server, server);
}

static bool has_served(struct server *server)
{
	return !pthread_join(server->thread, NULL) && server->served == server->pages;
}

/* --- Doors: every way to move bytes --- */

static struct io_uring *the_ring(void)
{
	static struct io_uring ring;
	static pid_t owner;

	if (owner == getpid())
		return &ring;
	if (io_uring_queue_init(32, &ring, 0))
		return NULL;
	owner = getpid();
	return &ring;
}

/* Return: the result of the request whose user data is @data, or -ETIME. */
static int uring_result(struct io_uring *ring, uint64_t data)
{
	struct __kernel_timespec ts = { .tv_sec = PATIENCE_MS / 1000 };
	struct io_uring_cqe *cqe;
	int res;

	if (io_uring_wait_cqe_timeout(ring, &cqe, &ts))
		return -ETIME;
	res = cqe->user_data == data ? cqe->res : -NONSENSE;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

enum vectored { PLAIN, VECTOR, FIXED };

/**
 * struct uring_request - one read or write through io_uring
 * @write: the direction
 * @how: READ, READV or READ_FIXED, or the same of WRITE
 * @flags: IOSQE_ASYNC and the like
 * @rw_flags: RWF_NOWAIT and the like
 * @data: user data of its result
 */
struct uring_request {
	bool write;
	enum vectored how;
	unsigned int flags;
	int rw_flags;
	uint64_t data;
};

/* Split into three pieces and an empty one; @buf can have any length. */
static void cut(struct iovec iov[4], const void *buf, size_t len)
{
	char *at = (char *)buf;
	size_t first = len ? 1 : 0;
	size_t second = (len - first) / 3;

	iov[0] = (struct iovec){ at, first };
	iov[1] = (struct iovec){ at, 0 };
	iov[2] = (struct iovec){ at + first, second };
	iov[3] = (struct iovec){ at + first + second, len - first - second };
}

/* The vector of a request must exist until the kernel has copied it. */
static struct iovec uring_iov[16][4];

/* Queue @req; FIXED needs the whole local buffer registered. */
static bool uring_queue(struct io_uring *ring, const struct uring_request *req, int fd,
			const void *buf, size_t len, uint64_t at)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	static unsigned int turn;
	struct iovec *iov = uring_iov[turn++ % ARRAY_SIZE(uring_iov)];

	if (!sqe)
		return false;
	cut(iov, buf, len);
	if (req->how == VECTOR && req->write)
		io_uring_prep_writev(sqe, fd, iov, 4, at);
	else if (req->how == VECTOR)
		io_uring_prep_readv(sqe, fd, iov, 4, at);
	else if (req->how == FIXED && req->write)
		io_uring_prep_write_fixed(sqe, fd, buf, len, at, 0);
	else if (req->how == FIXED)
		io_uring_prep_read_fixed(sqe, fd, (void *)buf, len, at, 0);
	else if (req->write)
		io_uring_prep_write(sqe, fd, buf, len, at);
	else
		io_uring_prep_read(sqe, fd, (void *)buf, len, at);
	sqe->flags |= req->flags;
	sqe->rw_flags = req->rw_flags;
	sqe->user_data = req->data;
	return true;
}

static bool uring_register_local(struct io_uring *ring)
{
	struct iovec local = { LOCAL, LOCAL_LEN };

	return !io_uring_register_buffers(ring, &local, 1);
}

static ssize_t by_uring(const struct uring_request *req, int fd, const void *buf, size_t len,
			uint64_t at)
{
	struct io_uring *ring = the_ring();
	static pid_t registered;
	int res = -NONSENSE;

	if (ring && req->how == FIXED && registered != getpid() && uring_register_local(ring))
		registered = getpid();
	if (ring && uring_queue(ring, req, fd, buf, len, at) && io_uring_submit(ring) == 1)
		res = uring_result(ring, req->data);
	if (res >= 0)
		return res;
	errno = -res;
	return -1;
}

/*
 * On POWER, lseek() of glibc calls _llseek(2) instead, which does not return positions above
 * LLONG_MAX. 32-bit programs need it: their lseek(2) takes 32 bits of a position.
 */
static off_t seek(int fd, off_t offset, int whence)
{
	return sizeof(long) == 8 ? syscall(SYS_lseek, fd, offset, whence) :
				   lseek(fd, offset, whence);
}

static bool go_to(int fd, uint64_t at)
{
	if (seek(fd, at, SEEK_SET) == (off_t)at && seek(fd, 0, SEEK_CUR) == (off_t)at)
		return true;
	errno = NONSENSE;
	return false;
}

static ssize_t by_pread(int fd, void *buf, size_t len, uint64_t at)
{
	return pread(fd, buf, len, at);
}

static ssize_t by_pwrite(int fd, const void *buf, size_t len, uint64_t at)
{
	return pwrite(fd, buf, len, at);
}

static ssize_t by_read(int fd, void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? read(fd, buf, len) : -1;
}

static ssize_t by_write(int fd, const void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? write(fd, buf, len) : -1;
}

static ssize_t by_readv(int fd, void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return go_to(fd, at) ? readv(fd, iov, 4) : -1;
}

static ssize_t by_writev(int fd, const void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return go_to(fd, at) ? writev(fd, iov, 4) : -1;
}

static ssize_t by_preadv(int fd, void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return preadv(fd, iov, 4, at);
}

static ssize_t by_pwritev(int fd, const void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return pwritev(fd, iov, 4, at);
}

static ssize_t by_preadv2(int fd, void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return preadv2(fd, iov, 4, at, RWF_NOWAIT);
}

static ssize_t by_pwritev2(int fd, const void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return pwritev2(fd, iov, 4, at, RWF_NOWAIT);
}

/* The offset -1 means the file's position. */
static ssize_t by_preadv2_current(int fd, void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return go_to(fd, at) ? preadv2(fd, iov, 4, -1, 0) : -1;
}

static ssize_t by_pwritev2_current(int fd, const void *buf, size_t len, uint64_t at)
{
	struct iovec iov[4];

	cut(iov, buf, len);
	return go_to(fd, at) ? pwritev2(fd, iov, 4, -1, 0) : -1;
}

#define URING_READ(name, kind, sqe_flags) \
static ssize_t by_uring_read##name(int fd, void *buf, size_t len, uint64_t at) \
{ \
	static const struct uring_request req = { false, kind, sqe_flags, 0, 1 }; \
	\
	return by_uring(&req, fd, buf, len, at); \
}

#define URING_WRITE(name, kind, sqe_flags) \
static ssize_t by_uring_write##name(int fd, const void *buf, size_t len, uint64_t at) \
{ \
	static const struct uring_request req = { true, kind, sqe_flags, 0, 2 }; \
	\
	return by_uring(&req, fd, buf, len, at); \
}

URING_READ(, PLAIN, 0)
URING_READ(_async, PLAIN, IOSQE_ASYNC)
URING_READ(v, VECTOR, 0)
URING_READ(v_async, VECTOR, IOSQE_ASYNC)
URING_READ(_fixed, FIXED, 0)
URING_READ(_fixed_async, FIXED, IOSQE_ASYNC)
URING_WRITE(, PLAIN, 0)
URING_WRITE(_async, PLAIN, IOSQE_ASYNC)
URING_WRITE(v, VECTOR, 0)
URING_WRITE(v_async, VECTOR, IOSQE_ASYNC)
URING_WRITE(_fixed, FIXED, 0)
URING_WRITE(_fixed_async, FIXED, IOSQE_ASYNC)

static ssize_t by_uring_read_current(int fd, void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? by_uring_read(fd, buf, len, -1) : -1;
}

static ssize_t by_uring_write_current(int fd, const void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? by_uring_write(fd, buf, len, -1) : -1;
}

/*
 * Read what arrived at @fd after a call that returned @ret. If it is not exactly @ret
 * bytes, the call returned a wrong count.
 */
static ssize_t take(int fd, void *buf, ssize_t ret)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t len, done = 0;
	int err = errno;

	while (done < ret) {
		len = poll(&pfd, 1, 0) == 1 ? read(fd, (char *)buf + done, ret - done) : 0;
		if (len <= 0)
			break;
		done += len;
	}
	errno = err;
	if (done == (ret < 0 ? 0 : ret) && !poll(&pfd, 1, 0))
		return ret;
	errno = NONSENSE;
	return -1;
}

static ssize_t splice_on(int fd, off_t *off, int out, size_t len)
{
	return splice(fd, off, out, NULL, len, 0);
}

static ssize_t sendfile_on(int fd, off_t *off, int out, size_t len)
{
	return sendfile(out, fd, off, len);
}

/*
 * Move bytes into a pipe until none arrive, and then out again. Each call moves only as many
 * pages as the kernel can allocate at once, sometimes one.
 */
static ssize_t through_pipe(ssize_t (*send)(int fd, off_t *off, int out, size_t len),
			    int fd, off_t *off, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;
	int p[2];

	if (pipe2(p, O_CLOEXEC))
		return -1;
	do {
		ret = send(fd, off, p[1], len - done);
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < len);
	ret = take(p[0], buf, done ? (ssize_t)done : ret);
	close(p[0]);
	close(p[1]);
	return ret;
}

static ssize_t splice_in(int fd, const void *buf, size_t len, off_t *off)
{
	ssize_t ret = -1;
	int p[2], err;

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK))
		return -1;
	if (write(p[1], buf, len) == (ssize_t)len)
		ret = splice(p[0], NULL, fd, off, len, 0);
	else
		errno = NONSENSE;
	err = errno;
	close(p[0]);
	close(p[1]);
	errno = err;
	return ret;
}

/* The offset must have moved on by @ret. */
static ssize_t check_offset(off_t off, uint64_t at, ssize_t ret)
{
	if ((uint64_t)off == at + (ret < 0 ? 0 : ret))
		return ret;
	errno = NONSENSE;
	return -1;
}

static ssize_t by_splice(int fd, void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? through_pipe(splice_on, fd, NULL, buf, len) : -1;
}

static ssize_t by_splice_at(int fd, void *buf, size_t len, uint64_t at)
{
	off_t off = at;
	ssize_t ret = through_pipe(splice_on, fd, &off, buf, len);

	return check_offset(off, at, ret);
}

static ssize_t by_splice_in(int fd, const void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? splice_in(fd, buf, len, NULL) : -1;
}

static ssize_t by_splice_in_at(int fd, const void *buf, size_t len, uint64_t at)
{
	off_t off = at;
	ssize_t ret = splice_in(fd, buf, len, &off);

	return check_offset(off, at, ret);
}

static ssize_t sendfile_to_file(int fd, void *buf, size_t len, off_t *off)
{
	int sink = memfd_create("sink", MFD_CLOEXEC);
	ssize_t ret = sendfile(sink, fd, off, len);
	int err = errno;
	struct stat st;

	if (fstat(sink, &st) || st.st_size != (ret < 0 ? 0 : ret) ||
	    pread(sink, buf, st.st_size, 0) != st.st_size) {
		err = NONSENSE;
		ret = -1;
	}
	close(sink);
	errno = err;
	return ret;
}

static ssize_t by_sendfile(int fd, void *buf, size_t len, uint64_t at)
{
	return go_to(fd, at) ? sendfile_to_file(fd, buf, len, NULL) : -1;
}

static ssize_t by_sendfile_at(int fd, void *buf, size_t len, uint64_t at)
{
	off_t off = at;
	ssize_t ret = sendfile_to_file(fd, buf, len, &off);

	return check_offset(off, at, ret);
}

static ssize_t by_sendfile_to_pipe(int fd, void *buf, size_t len, uint64_t at)
{
	off_t off = at;
	ssize_t ret = through_pipe(sendfile_on, fd, &off, buf, len);

	return check_offset(off, at, ret);
}

static ssize_t by_sendfile_to_socket(int fd, void *buf, size_t len, uint64_t at)
{
	ssize_t ret;
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s))
		return -1;
	ret = go_to(fd, at) ? sendfile(s[1], fd, NULL, len) : -1;
	ret = take(s[0], buf, ret);
	close(s[0]);
	close(s[1]);
	return ret;
}

static ssize_t by_sendfile_in(int fd, const void *buf, size_t len, uint64_t at)
{
	int source = memfd_create("source", MFD_CLOEXEC);
	off_t off = 0;
	ssize_t ret = -1;
	int err;

	errno = NONSENSE;
	if (write(source, buf, len) == (ssize_t)len && go_to(fd, at))
		ret = sendfile(fd, source, &off, len);
	err = errno;
	close(source);
	errno = err;
	return ret;
}

/**
 * struct door - a way to read or write a target file at an address
 * @name: for a failure's report
 * @read: reads with the arguments and the result of pread(2), or NULL
 * @write: writes with the arguments and the result of pwrite(2), or NULL
 * @seeks: it uses and moves the file's position
 * @memory: the other side is the caller's memory, which may fault
 * @small: it moves at most what a pipe holds
 * @unsigned_at: it accepts addresses above LLONG_MAX
 */
struct door {
	const char *name;
	ssize_t (*read)(int fd, void *buf, size_t len, uint64_t at);
	ssize_t (*write)(int fd, const void *buf, size_t len, uint64_t at);
	bool seeks, memory, small, unsigned_at;
};

static const struct door doors[] = {
	{ "pread, pwrite", by_pread, by_pwrite, .memory = true },
	{ "read, write", by_read, by_write,
	  .seeks = true, .memory = true, .unsigned_at = true },
	{ "readv, writev", by_readv, by_writev,
	  .seeks = true, .memory = true, .unsigned_at = true },
	{ "preadv, pwritev", by_preadv, by_pwritev, .memory = true },
	{ "preadv2, pwritev2 with RWF_NOWAIT", by_preadv2, by_pwritev2, .memory = true },
	{ "preadv2, pwritev2 at the position", by_preadv2_current, by_pwritev2_current,
	  .seeks = true, .memory = true, .unsigned_at = true },
	{ "io_uring", by_uring_read, by_uring_write,
	  .memory = true, .unsigned_at = true },
	{ "io_uring at the position", by_uring_read_current, by_uring_write_current,
	  .seeks = true, .memory = true, .unsigned_at = true },
	{ "io_uring, async", by_uring_read_async, by_uring_write_async,
	  .memory = true, .unsigned_at = true },
	{ "io_uring, vector", by_uring_readv, by_uring_writev,
	  .memory = true, .unsigned_at = true },
	{ "io_uring, vector, async", by_uring_readv_async, by_uring_writev_async,
	  .memory = true, .unsigned_at = true },
	{ "io_uring, fixed", by_uring_read_fixed, by_uring_write_fixed,
	  .unsigned_at = true },
	{ "io_uring, fixed, async", by_uring_read_fixed_async, by_uring_write_fixed_async,
	  .unsigned_at = true },
	{ "splice", by_splice, by_splice_in,
	  .seeks = true, .small = true, .unsigned_at = true },
	{ "splice with an offset", by_splice_at, by_splice_in_at,
	  .small = true, .unsigned_at = true },
	{ "sendfile", by_sendfile, by_sendfile_in, .seeks = true },
	{ "sendfile with an offset", .read = by_sendfile_at },
	{ "sendfile to a pipe, with an offset", .read = by_sendfile_to_pipe, .small = true },
	{ "sendfile to a socket", .read = by_sendfile_to_socket,
	  .seeks = true, .small = true },
};

/**
 * struct span - a piece of the target, and the results of moving it
 * @at: its address
 * @len: its length
 * @read: how many bytes a read returns, or minus errno
 * @write: the same for a write
 */
struct span {
	uint64_t at;
	size_t len;
	ssize_t read;
	ssize_t write;
};

/* Read @span and check the number of bytes, the errno, and each byte of the buffer. */
static void expect_read(struct __test_metadata *_metadata, const struct door *door, int fd,
			const struct span *span)
{
	unsigned char *buf = LOCAL + 11;
	size_t moved = span->read < 0 ? 0 : span->read;
	ssize_t ret;

	memset(LOCAL, GARBAGE, span->len + 22);
	errno = 0;
	ret = door->read(fd, buf, span->len, span->at);
	if (ret < 0)
		ret = -errno;
	EXPECT_EQ(span->read, ret);
	EXPECT_EQ(moved, differs(buf, moved, span->at, OLD));
	EXPECT_TRUE(is_all(LOCAL, 11, GARBAGE));
	EXPECT_TRUE(is_all(buf + moved, span->len + 11 - moved, GARBAGE));
	if (_metadata->exit_code)
		TH_LOG("%s: read %zu bytes at %#llx", door->name, span->len,
		       (unsigned long long)span->at);
}

/* Write @span and check the number of bytes, the errno, and the whole window. */
static void expect_write(struct __test_metadata *_metadata, const struct door *door, int fd,
			 pid_t pid, const struct span *span)
{
	size_t moved = span->write < 0 ? 0 : span->write;
	ssize_t ret;

	fill(LOCAL, span->len, span->at, NEW);
	errno = 0;
	ret = door->write(fd, LOCAL, span->len, span->at);
	if (ret < 0)
		ret = -errno;
	EXPECT_EQ(span->write, ret);
	EXPECT_TRUE(window_is_new(pid, span->at, span->at + moved));
	EXPECT_EQ(span->len, differs(LOCAL, span->len, span->at, NEW));
	EXPECT_TRUE(!moved || restore_window(pid));
	if (_metadata->exit_code)
		TH_LOG("%s: write %zu bytes at %#llx", door->name, span->len,
		       (unsigned long long)span->at);
}

/* Is there another door to try? Stop at an error, because other doors would repeat it. */
static bool goes_on(const struct __test_metadata *_metadata, const struct door *door)
{
	return door < doors + ARRAY_SIZE(doors) && !_metadata->exit_code;
}

/* Read and write, through every door. */
static void expect_spans(struct __test_metadata *_metadata, int fd, pid_t pid,
			 const struct span *spans, size_t count)
{
	const struct door *door;
	size_t i;

	for (door = doors; goes_on(_metadata, door); door++) {
		for (i = 0; i < count && !_metadata->exit_code; i++) {
			/* In the VFS of a 32-bit kernel a file ends at 16 TiB. */
			if (!has_64_bit_kernel() && spans[i].at >> 44)
				continue;
			expect_read(_metadata, door, fd, &spans[i]);
			if (door->write && !_metadata->exit_code)
				expect_write(_metadata, door, fd, pid, &spans[i]);
		}
	}
}

/* --- The tests --- */

static void set_up(struct __test_metadata *_metadata)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, board);
	ASSERT_EQ(0, pipe(told));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, sock));
	ASSERT_TRUE(module_refs_become(0));
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	map((uintptr_t)LOCAL, LOCAL_LEN);
	map_window(MINE);
}

FIXTURE(target) {
	pid_t pid;
};

FIXTURE_SETUP(target)
{
	set_up(_metadata);
	self->pid = start_and_wait(be_target);
	assert_started(_metadata, self->pid);
}

FIXTURE_TEARDOWN(target)
{
	end_children();
}

/* --- ATTACH --- */

/* Does @fd read the target, and no other process? */
static bool reads(int fd, enum flavour flavour)
{
	unsigned char buf[100];

	return pread(fd, buf, sizeof(buf), F(0, 5)) == sizeof(buf) &&
	       differs(buf, sizeof(buf), F(0, 5), flavour) == sizeof(buf);
}

static void *be_thread(void *unused)
{
	(void)unused;
	board->other = syscall(SYS_gettid);
	tell();
	stay();
}

static void be_target_with_thread(void)
{
	pthread_t thread;

	map_target_memory();
	if (pthread_create(&thread, NULL, be_thread, NULL))
		broken("pthread_create");
	obey();
}

TEST_F(target, attached_by_pid_by_thread_id_and_by_pidfd)
{
	pid_t pid = start_and_wait(be_target_with_thread);
	int pidfd, fd[3];
	size_t i;

	assert_started(_metadata, pid);
	ASSERT_NE(pid, board->other);
	pidfd = open_pidfd(pid);
	ASSERT_LE(0, pidfd);
	fd[0] = attach_all(pid, 0);
	fd[1] = attach_all(board->other, 0);
	fd[2] = attach_all(pidfd, PVMREAD_PIDFD);
	/* The number is looked up only once. */
	close(pidfd);
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		ASSERT_LE(0, fd[i]);
		EXPECT_TRUE(reads(fd[i], OLD));
	}
	for (i = 0; i < ARRAY_SIZE(fd); i++)
		EXPECT_EQ(pid, read_info("/proc", fd[i]).pid);

	/* A pidfd of a single thread names the process if the thread leads it. */
	pidfd = syscall(SYS_pidfd_open, pid, O_EXCL);
	if (pidfd < 0)
		return;
	EXPECT_TRUE(reads(attach_all(pidfd, PVMREAD_PIDFD), OLD));
	close(pidfd);
	pidfd = syscall(SYS_pidfd_open, board->other, O_EXCL);
	ASSERT_LE(0, pidfd);
	EXPECT_EQ(ESRCH, errno_of(attach_all(pidfd, PVMREAD_PIDFD)));
}

TEST_F(target, attaches_to_itself)
{
	int pidfd = open_pidfd(getpid());
	int fd[] = {
		attach_all(getpid(), 0),
		attach_all(pidfd, PVMREAD_PIDFD),
		attach(dev, getpid(), 0, F(0, 0), PAGE),
		attach(dev, getpid(), PVMREAD_WRITE, F(0, 5), 100),
	};
	unsigned char buf[50];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		ASSERT_LE(0, fd[i]);
		EXPECT_TRUE(reads(fd[i], MINE));
	}
	/* The last file can be written. */
	fill(buf, sizeof(buf), F(0, 10), NEW);
	EXPECT_EQ((ssize_t)sizeof(buf), pwrite(fd[3], buf, sizeof(buf), F(0, 10)));
	EXPECT_EQ(sizeof(buf), differs((void *)F(0, 10), sizeof(buf), F(0, 10), NEW));
	EXPECT_EQ(10, differs((void *)F(0, 0), 10, F(0, 0), MINE));
	EXPECT_EQ(10, differs((void *)F(0, 60), 10, F(0, 60), MINE));
}

static void nothing(void)
{
}

TEST_F(target, attach_needs_a_process_with_memory)
{
	int pipefd[2], zombie_pidfd, proc;
	char path[40];
	siginfo_t info;
	pid_t zombie;

	/* A zombie, which still has its number, */
	zombie = start(nothing);
	ASSERT_LT(0, zombie);
	zombie_pidfd = open_pidfd(zombie);
	ASSERT_LE(0, zombie_pidfd);
	ASSERT_EQ(0, waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));
	EXPECT_EQ(ESRCH, errno_of(attach_all(zombie, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach_all(zombie_pidfd, PVMREAD_PIDFD)));
	/* and an unused number */
	ASSERT_EQ(zombie, waitpid(zombie, NULL, 0));
	EXPECT_EQ(ESRCH, errno_of(attach_all(zombie, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach_all(zombie_pidfd, PVMREAD_PIDFD)));

	/* A kernel thread, and a number that no process can have */
	EXPECT_EQ(ESRCH, errno_of(attach_all(2, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach_all(0, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach_all(-1, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach_all(INT_MIN, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach_all(INT_MAX, 0)));

	/* Files that are not pidfds */
	ASSERT_EQ(0, pipe2(pipefd, O_CLOEXEC));
	snprintf(path, sizeof(path), "/proc/%d", self->pid);
	proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, proc);
	EXPECT_EQ(EBADF, errno_of(attach_all(pipefd[0], PVMREAD_PIDFD)));
	EXPECT_EQ(EBADF, errno_of(attach_all(dev, PVMREAD_PIDFD)));
	EXPECT_EQ(EBADF, errno_of(attach_all(proc, PVMREAD_PIDFD)));
	EXPECT_EQ(EBADF, errno_of(attach_all(-1, PVMREAD_PIDFD)));
	EXPECT_EQ(EBADF, errno_of(attach_all(1000000, PVMREAD_PIDFD)));
	close(pipefd[0]);
	EXPECT_EQ(EBADF, errno_of(attach_all(pipefd[0], PVMREAD_PIDFD)));
	/* A pid, where a descriptor is expected */
	EXPECT_EQ(EBADF, errno_of(attach_all(self->pid, PVMREAD_PIDFD)));
}

TEST_F(target, refuses_an_empty_or_overflowing_range)
{
	static const struct {
		uint64_t start, length;
	} bad[] = {
		{ 1, 0 }, { F(0, 0), 0 }, { 1ULL << 63, 0 }, { ~0ULL, 0 },
		{ 2, ~0ULL }, { ~0ULL, 2 }, { ~0ULL, ~0ULL }, { F(0, 0), ~0ULL },
		{ (1ULL << 63) + 1, 1ULL << 63 }, { 1ULL << 63, (1ULL << 63) + 1 },
		{ F(0, 0), -F(0, 0) + 1 }, { -PAGE, PAGE + 1 }, { -PAGE, 1ULL << 63 },
	};
	int writer = open(PVMREAD_DEVICE, O_WRONLY | O_CLOEXEC);
	int refs = number_in(MODULE_REFS);
	size_t i;

	ASSERT_LE(0, writer);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(EINVAL, errno_of(attach(dev, self->pid, 0, bad[i].start,
						  bad[i].length))) {
			TH_LOG("%#llx and %#llx bytes", (unsigned long long)bad[i].start,
			       (unsigned long long)bad[i].length);
		}
		/* The range is checked first. */
		EXPECT_EQ(EINVAL, errno_of(attach(writer, -1, PVMREAD_WRITE | PVMREAD_PIDFD,
						  bad[i].start, bad[i].length)));
	}
	EXPECT_EQ(refs, number_in(MODULE_REFS));
}

/* The end of such a range would be 2^64, which is not an address. */
TEST_F(target, refuses_a_range_that_ends_at_2_64)
{
	static const struct {
		uint64_t start, length;
	} bad[] = {
		{ 1, ~0ULL }, { ~0ULL, 1 }, { 1ULL << 63, 1ULL << 63 },
		{ (1ULL << 63) + 1, ~0ULL >> 1 }, { F(0, 0), -F(0, 0) }, { -PAGE, PAGE },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(EINVAL, errno_of(attach(dev, self->pid, 0, bad[i].start,
						  bad[i].length)));
}

TEST_F(target, accepts_every_range_that_ends_below_2_64)
{
	static const struct {
		uint64_t start, length;
	} good[] = {
		{ 0, 1 }, { 0, ~0ULL }, { 1, ~0ULL - 1 }, { 0, 1ULL << 63 }, { ~0ULL - 1, 1 },
		{ 1ULL << 63, ~0ULL >> 1 }, { NOT_CANONICAL, PAGE }, { KERNEL_ADDR, PAGE },
		{ KERNEL_ADDR + 1, 1 }, { F(HOLE, 0), 1 },
	};
	unsigned char c = GARBAGE;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		int fd = attach(dev, self->pid, PVMREAD_WRITE, good[i].start, good[i].length);

		/* A 32-bit kernel has no such address. */
		if (!has_64_bit_kernel() && good[i].start + good[i].length > UINT32_MAX) {
			EXPECT_EQ(EINVAL, errno_of(fd));
			continue;
		}
		ASSERT_LE(0, fd) {
			TH_LOG("%#llx and %#llx bytes", (unsigned long long)good[i].start,
			       (unsigned long long)good[i].length);
		}
		/* The position is the first byte of the range, where nothing is mapped. */
		if ((off_t)good[i].start < -4095 || (off_t)good[i].start >= 0)
			EXPECT_EQ((off_t)good[i].start, seek(fd, 0, SEEK_CUR));
		EXPECT_EQ(EIO, errno_of(read(fd, &c, 1)));
		EXPECT_EQ(EIO, errno_of(write(fd, &c, 1)));
		EXPECT_EQ(GARBAGE, c);
		close(fd);
	}
}

TEST_F(target, is_close_on_exec_and_read_only_by_default)
{
	int pidfd = open_pidfd(self->pid);
	int fd[] = { attach_all(self->pid, 0), attach_all(self->pid, PVMREAD_WRITE),
		     attach_all(pidfd, PVMREAD_PIDFD | PVMREAD_WRITE) };
	unsigned char c = old_byte(F(0, 0));
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		int mode = i ? O_RDWR : O_RDONLY;
		const char *shown = i ? "rw" : "r";

		ASSERT_LE(0, fd[i]);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd[i], F_GETFD));
		EXPECT_EQ(mode, fcntl(fd[i], F_GETFL) & O_ACCMODE);
		EXPECT_STREQ(shown, read_info("/proc", fd[i]).mode);
		EXPECT_EQ(0, seek(fd[i], 0, SEEK_CUR));
		EXPECT_TRUE(reads(fd[i], OLD));
		EXPECT_EQ(i ? 1 : -1, pwrite(fd[i], &c, 1, F(0, 0)));
		/* fcntl(2) cannot change its mode. */
		EXPECT_EQ(0, fcntl(fd[i], F_SETFL, i ? O_RDONLY : O_RDWR));
		EXPECT_EQ(i ? 1 : -1, pwrite(fd[i], &c, 1, F(0, 0)));
	}
}

TEST_F(target, attach_checks_how_the_device_was_opened)
{
	int reader = open(PVMREAD_DEVICE, O_RDONLY | O_CLOEXEC);
	int writer = open(PVMREAD_DEVICE, O_WRONLY | O_CLOEXEC);
	int fd;

	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	EXPECT_EQ(EBADF, errno_of(attach(reader, self->pid, PVMREAD_WRITE, 0, 0)));
	EXPECT_EQ(EBADF, errno_of(attach(writer, self->pid, 0, 0, 0)));
	EXPECT_EQ(EBADF, errno_of(attach(writer, self->pid, PVMREAD_WRITE, 0, 0)));
	/* ATTACH checks the mode before it looks up the target. */
	EXPECT_EQ(EBADF, errno_of(attach(reader, -1, PVMREAD_WRITE, 0, 0)));
	EXPECT_EQ(EBADF, errno_of(attach(writer, -1, 0, 0, 0)));
	EXPECT_EQ(ESRCH, errno_of(attach(reader, -1, 0, 0, 0)));
	fd = attach(reader, self->pid, 0, 0, 0);
	ASSERT_LE(0, fd);
	/* The device is no longer needed. */
	close(reader);
	close(writer);
	close(dev);
	EXPECT_TRUE(reads(fd, OLD));
}

TEST_F(target, attach_leaks_nothing_on_emfile)
{
	struct rlimit old, limit;
	int refs = number_in(MODULE_REFS);
	int i, lowest, errors[2];

	ASSERT_LE(1, refs);
	lowest = dup(0);
	ASSERT_LE(0, lowest);
	close(lowest);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = lowest;
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		errors[0] = errno_of(attach_all(self->pid, 0));
		/* The target is checked first. */
		errors[1] = errno_of(attach_all(-1, 0));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		ASSERT_EQ(EMFILE, errors[0]);
		ASSERT_EQ(ESRCH, errors[1]);
	}
	EXPECT_EQ(refs, number_in(MODULE_REFS));
	/* The descriptor number is still free. */
	i = attach_all(self->pid, 0);
	EXPECT_EQ(lowest, i);
	EXPECT_EQ(refs + 1, number_in(MODULE_REFS));
	close(i);
	EXPECT_EQ(refs, number_in(MODULE_REFS));
}

static void ask_as_bob(void)
{
	static const unsigned int flags[] = { 0, PVMREAD_WRITE, PVMREAD_RESIDENT };
	int pidfd = open_pidfd(whom);
	size_t i;

	become(BOB);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		if (errno_of(attach_all(whom, flags[i])) != EPERM ||
		    errno_of(attach_all(pidfd, PVMREAD_PIDFD | flags[i])) != EPERM ||
		    errno_of(attach(dev, whom, flags[i], F(0, 0), 1)) != EPERM)
			_exit(1);
	}
	/* Errors found before the permission check tell nothing about the target */
	_exit(errno_of(attach(dev, whom, 0, F(0, 0), 0)) != EINVAL);
}

static void be_target_of_alice(void)
{
	become(ALICE);
	be_target();
}

TEST_F(target, other_user_may_not_attach)
{
	int refs = number_in(MODULE_REFS);

	whom = self->pid;
	EXPECT_EQ(0, run(ask_as_bob));
	whom = start_and_wait(be_target_of_alice);
	assert_started(_metadata, whom);
	EXPECT_EQ(0, run(ask_as_bob));
	EXPECT_EQ(refs, number_in(MODULE_REFS));
}

/* --- Moving bytes --- */

/* As with the system calls, bytes move page by page, up to the first page that fails. */
static const struct span spans[] = {
	/* no bytes, at any address */
	{ F(0, 0), 0, 0, 0 },
	{ F(1, PAGE - 1), 0, 0, 0 },
	{ F(HOLE, 0), 0, 0, 0 },
	/* inside of a page, and its edges */
	{ F(0, 0), 1, 1, 1 },
	{ F(0, 7), 100, 100, 100 },
	{ F(0, 0), PAGE, PAGE, PAGE },
	{ F(1, PAGE - 1), 1, 1, 1 },
	{ F(1, 1), PAGE - 1, PAGE - 1, PAGE - 1 },
	/* over edges */
	{ F(0, PAGE - 1), 2, 2, 2 },
	{ F(0, PAGE - 96), PAGE, PAGE, PAGE },
	{ F(1, PAGE - 96), 2 * PAGE + 17, 2 * PAGE + 17, 2 * PAGE + 17 },
	{ F(0, 0), 4 * PAGE, 4 * PAGE, 4 * PAGE },
	{ F(0, 1), 4 * PAGE - 2, 4 * PAGE - 2, 4 * PAGE - 2 },
	/* up to a hole, and into it */
	{ F(3, PAGE - 10), 10, 10, 10 },
	{ F(3, PAGE - 10), 11, 10, 10 },
	{ F(3, PAGE - 1), PAGE, 1, 1 },
	{ F(3, 0), 3 * PAGE, PAGE, PAGE },
	{ F(0, 5), 5 * PAGE, 4 * PAGE - 5, 4 * PAGE - 5 },
	/* a hole at the start, followed by mapped memory */
	{ F(HOLE, 0), 1, -EIO, -EIO },
	{ F(HOLE, 17), PAGE, -EIO, -EIO },
	{ F(HOLE, PAGE - 1), 2, -EIO, -EIO },
	{ F(HOLE, 0), 2 * PAGE, -EIO, -EIO },
	/* memory that cannot be written, or not accessed at all */
	{ F(ALONE, 0), PAGE, PAGE, PAGE },
	{ F(ALONE, PAGE - 6), 12, 12, 6 },
	{ F(READ_ONLY, 0), 1, 1, -EIO },
	{ F(READ_ONLY, 5), 100, 100, -EIO },
	{ F(READ_ONLY, PAGE - 1), 2, 1, -EIO },
	{ F(ALONE, 0), 3 * PAGE, 2 * PAGE, PAGE },
	{ F(NO_ACCESS, 0), 1, -EIO, -EIO },
	{ F(NO_ACCESS, PAGE - 1), 1, -EIO, -EIO },
	/* where nothing is ever mapped */
	{ 0, 1, -EIO, -EIO },
	{ 0, 2 * PAGE, -EIO, -EIO },
	{ NOT_CANONICAL - 1, 2, -EIO, -EIO },
	{ NOT_CANONICAL, PAGE, -EIO, -EIO },
	{ LLONG_MAX - 2 * PAGE, PAGE, -EIO, -EIO },
};

TEST_F(target, every_call_moves_bytes_up_to_a_hole)
{
	int fd = attach_all(self->pid, PVMREAD_WRITE);

	ASSERT_LE(0, fd);
	expect_spans(_metadata, fd, self->pid, spans, ARRAY_SIZE(spans));
}

static const struct span above_llong_max[] = {
	{ 1ULL << 63, 1, -EIO, -EIO },
	{ (1ULL << 63) + 1, 5 * PAGE, -EIO, -EIO },
	{ KERNEL_ADDR, 1, -EIO, -EIO },
	{ KERNEL_ADDR + PAGE - 1, 2, -EIO, -EIO },
	{ -2 * PAGE, PAGE, -EIO, -EIO },
	{ 1ULL << 63, 0, 0, 0 },
	/* to the end of the address space, and over it */
	{ -PAGE, PAGE - 1, -EIO, -EIO },
	{ -PAGE, PAGE, -EOVERFLOW, -EOVERFLOW },
	{ -PAGE, 2 * PAGE, -EOVERFLOW, -EOVERFLOW },
	/* across LLONG_MAX */
	{ LLONG_MAX, 1, -EIO, -EIO },
	{ LLONG_MAX, 2, -EIO, -EIO },
	{ LLONG_MAX - 5, 100, -EIO, -EIO },
};

TEST_F(target, addresses_over_llong_max_fail)
{
	const struct door *door;
	size_t i;
	int fd;

	if (sizeof(long) == 4)
		SKIP(return, "32-bit processes have no position above LLONG_MAX");
	fd = attach_all(self->pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	for (door = doors; goes_on(_metadata, door); door++) {
		for (i = 0; i < ARRAY_SIZE(above_llong_max) && door->unsigned_at; i++) {
			expect_read(_metadata, door, fd, &above_llong_max[i]);
			expect_write(_metadata, door, fd, self->pid, &above_llong_max[i]);
		}
	}
}

/* From the middle of a page to the middle of another. */
#define MUCH_AT		(BIG + 5)
#define MUCH		(BIG_LEN - 11)

static ssize_t read_much(const struct door *door, int fd)
{
	size_t done = 0, most = door->small ? PAGE_SPLICE * PAGE : MUCH;

	while (done < MUCH) {
		size_t part = MUCH - done < most ? MUCH - done : most;

		if (door->read(fd, LOCAL + done, part, MUCH_AT + done) != (ssize_t)part)
			break;
		done += part;
	}
	return done;
}

static ssize_t write_much(const struct door *door, int fd)
{
	size_t done = 0, most = door->small ? PAGE_SPLICE * PAGE : MUCH;

	while (done < MUCH) {
		size_t part = MUCH - done < most ? MUCH - done : most;

		if (door->write(fd, LOCAL + done, part, MUCH_AT + done) != (ssize_t)part)
			break;
		done += part;
	}
	return done;
}

TEST_F(target, every_call_moves_more_than_one_chunk)
{
	unsigned char *old, *new, *seen;
	const struct door *door;
	pid_t pid;
	int fd;

	pid = start_and_wait(be_big_target);
	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	old = malloc(BIG_LEN);
	new = malloc(BIG_LEN);
	seen = malloc(BIG_LEN);
	ASSERT_TRUE(old && new && seen);
	fill(old, BIG_LEN, BIG, OLD);
	for (door = doors; goes_on(_metadata, door); door++) {
		memset(LOCAL, GARBAGE, LOCAL_LEN);
		EXPECT_EQ((ssize_t)MUCH, read_much(door, fd));
		EXPECT_EQ(0, memcmp(LOCAL, old + 5, MUCH));
		EXPECT_TRUE(is_all(LOCAL + MUCH, PAGE, GARBAGE));
		if (door->write) {
			memcpy(new, old, BIG_LEN);
			fill(new + 5, MUCH, MUCH_AT, NEW);
			memcpy(LOCAL, new + 5, MUCH);
			EXPECT_EQ((ssize_t)MUCH, write_much(door, fd));
			ASSERT_TRUE(peek(pid, BIG, seen, BIG_LEN));
			EXPECT_EQ(0, memcmp(seen, new, BIG_LEN));
			ASSERT_TRUE(poke(pid, BIG, old, BIG_LEN));
		}
		if (_metadata->exit_code)
			TH_LOG("%s", door->name);
	}
}

/* The target's memory is good. The caller's buffer is bad from its first byte or a later one. */
TEST_F(target, bad_buffer_of_the_caller_is_efault_or_short)
{
	int fd = attach_all(self->pid, PVMREAD_WRITE);
	const struct door *door;

	ASSERT_LE(0, fd);
	/* The last page can be read, but not be the destination of a read. */
	ASSERT_EQ(0, mprotect(LOCAL_END - PAGE, PAGE, PROT_READ));
	for (door = doors; goes_on(_metadata, door); door++) {
		unsigned char *page = LOCAL_END - PAGE;

		if (!door->memory)
			continue;
		EXPECT_EQ(-1, door->read(fd, LOCAL_END, 10, F(0, 3)));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, door->read(fd, page, 10, F(0, 3)));
		EXPECT_EQ(EFAULT, errno);
		memset(page - 30, GARBAGE, 30);
		EXPECT_EQ(20, door->read(fd, page - 20, 100, F(0, 3)));
		EXPECT_TRUE(is_all(page - 30, 10, GARBAGE));
		EXPECT_EQ(20, differs(page - 20, 20, F(0, 3), OLD));
		EXPECT_EQ(20 + PAGE, door->read(fd, page - 20 - PAGE, 3 * PAGE, F(0, 3)));

		EXPECT_EQ(-1, door->write(fd, LOCAL_END, 10, F(0, 3)));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_TRUE(window_is_new(self->pid, 0, 0));
		ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ | PROT_WRITE));
		fill(LOCAL_END - 20, 20, F(0, PAGE - 6), NEW);
		ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
		EXPECT_EQ(20, door->write(fd, LOCAL_END - 20, 2 * PAGE, F(0, PAGE - 6)));
		EXPECT_TRUE(window_is_new(self->pid, F(0, PAGE - 6), F(1, 14)));
		EXPECT_TRUE(restore_window(self->pid));
		if (_metadata->exit_code)
			TH_LOG("%s", door->name);
	}
}

TEST_F(target, write_without_pvmread_write_is_ebadf)
{
	int fd = attach_all(self->pid, 0);
	const struct door *door;

	ASSERT_LE(0, fd);
	for (door = doors; goes_on(_metadata, door); door++) {
		struct span span = { F(0, 0), PAGE, PAGE, -EBADF };

		expect_read(_metadata, door, fd, &span);
		if (!door->write)
			continue;
		expect_write(_metadata, door, fd, self->pid, &span);
		/* Even if there is nothing to write to */
		span.at = F(HOLE, 0);
		expect_write(_metadata, door, fd, self->pid, &span);
	}
}

TEST_F(target, position_advances_by_bytes_moved)
{
	static const struct span moves[] = {
		{ F(0, 100), 50, 50, 50 },
		{ F(0, PAGE - 96), PAGE, PAGE, PAGE },
		{ F(3, PAGE - 96), PAGE, 96, 96 },
		{ F(HOLE, 3), 10, -EIO, -EIO },
		{ F(2, 0), 0, 0, 0 },
	};
	int fd = attach(dev, self->pid, PVMREAD_WRITE, F(0, 100), 3 * PAGE);
	const struct door *door;
	size_t i;

	ASSERT_LE(0, fd);
	EXPECT_EQ((off_t)F(0, 100), seek(fd, 0, SEEK_CUR));
	close(fd);
	fd = attach_all(self->pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, seek(fd, 0, SEEK_CUR));
	for (door = doors; goes_on(_metadata, door); door++) {
		for (i = 0; i < ARRAY_SIZE(moves); i++) {
			const struct span *span = &moves[i];
			uint64_t end = span->at + (span->read < 0 ? 0 : span->read);

			ASSERT_TRUE(go_to(fd, 12345));
			expect_read(_metadata, door, fd, span);
			EXPECT_EQ(door->seeks ? (off_t)end : 12345, seek(fd, 0, SEEK_CUR));
			if (door->write) {
				ASSERT_TRUE(go_to(fd, 12345));
				expect_write(_metadata, door, fd, self->pid, span);
				EXPECT_EQ(door->seeks ? (off_t)end : 12345,
					  seek(fd, 0, SEEK_CUR));
			}
			if (_metadata->exit_code) {
				TH_LOG("%s, row %zu", door->name, i);
				return;
			}
		}
	}
}

TEST_F(target, lseek_supports_only_seek_set_and_seek_cur)
{
	static const int whence[] = { SEEK_END, SEEK_DATA, SEEK_HOLE, 5, -1 };
	int fd = attach(dev, self->pid, 0, F(0, 0), PAGE);
	unsigned char buf[4];
	size_t i;

	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(whence); i++) {
		EXPECT_EQ(EINVAL, errno_of(seek(fd, 0, whence[i])));
		EXPECT_EQ((off_t)F(0, 0), seek(fd, 0, SEEK_CUR));
	}
	EXPECT_EQ((off_t)F(0, 30), seek(fd, 30, SEEK_CUR));
	EXPECT_EQ((off_t)F(0, 20), seek(fd, -10, SEEK_CUR));
	EXPECT_EQ(4, read(fd, buf, 4));
	EXPECT_EQ(4, differs(buf, 4, F(0, 20), OLD));
	EXPECT_EQ((off_t)F(0, 14), seek(fd, -10, SEEK_CUR));
	/* The attached range does not limit the position. */
	EXPECT_EQ(0, seek(fd, 0, SEEK_SET));
	EXPECT_EQ((off_t)F(5, 0), seek(fd, F(5, 0), SEEK_SET));
	EXPECT_EQ((off_t)NOT_CANONICAL, seek(fd, NOT_CANONICAL, SEEK_SET));
	EXPECT_EQ(LLONG_MAX, seek(fd, LLONG_MAX, SEEK_SET));
	/* _llseek(2), which 32-bit programs call, cannot return these positions. */
	if (sizeof(long) == 8) {
		EXPECT_EQ((off_t)KERNEL_ADDR, seek(fd, KERNEL_ADDR, SEEK_SET));
		EXPECT_EQ((off_t)KERNEL_ADDR + 1, seek(fd, 1, SEEK_CUR));
	}
	EXPECT_EQ((off_t)F(0, 0), seek(fd, F(0, 0), SEEK_SET));
	EXPECT_EQ(4, read(fd, buf, 4));
	EXPECT_EQ(4, differs(buf, 4, F(0, 0), OLD));
}

/* A target file cannot be polled, truncated or, without PVMREAD_WINDOW, mapped. */
TEST_F(target, cannot_be_mmapped_or_polled)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = attach_all(self->pid, PVMREAD_WRITE);
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_LE(0, epoll);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, F(0, 0)));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, F(0, 0)));
	EXPECT_EQ(ENODEV, errno);
	/* If the file could be polled, io_uring would poll it instead of asking a worker. */
	EXPECT_EQ(-1, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
}

/* --- A range --- */

static const struct {
	uint64_t start, length;
} ranges[] = {
	{ F(0, 0), PAGE }, { F(0, 100), 200 }, { F(1, PAGE - 96), PAGE + 500 },
	{ F(1, PAGE - 1), 2 }, { F(2, 17), 1 }, { F(0, 1), 4 * PAGE - 2 },
};

TEST_F(target, every_call_stays_in_the_attached_range)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges) && !_metadata->exit_code; i++) {
		uint64_t start = ranges[i].start, end = start + ranges[i].length;
		ssize_t len = ranges[i].length;
		const struct span edges[] = {
			{ start, len, len, len },
			{ start, len + 1, len, len },
			{ start, len + 2 * PAGE, len, len },
			{ start, 1, 1, 1 },
			{ end - 1, 1, 1, 1 },
			{ end - 1, 2, 1, 1 },
			{ end, 1, -EIO, -EIO },
			{ end, PAGE, -EIO, -EIO },
			{ end + 1, 1, -EIO, -EIO },
			{ start - 1, 1, -EIO, -EIO },
			{ start - 1, 2, -EIO, -EIO },
			{ start - 1, len + 2, -EIO, -EIO },
			{ start - PAGE, 2 * PAGE, -EIO, -EIO },
			{ 0, 1, -EIO, -EIO },
			/* no bytes: inside, at the edges and outside */
			{ start, 0, 0, 0 },
			{ end, 0, 0, 0 },
			{ end + 1, 0, 0, 0 },
			{ start - 1, 0, 0, 0 },
		};
		int fd = attach(dev, self->pid, PVMREAD_WRITE, start, len);

		ASSERT_LE(0, fd);
		expect_spans(_metadata, fd, self->pid, edges, ARRAY_SIZE(edges));
		close(fd);
	}
}

/* The attached range may contain holes of the target. */
TEST_F(target, holes_in_its_range_end_calls)
{
	static const struct span holes[] = {
		{ F(3, 50), PAGE, PAGE - 50, PAGE - 50 },
		{ F(HOLE, 0), 1, -EIO, -EIO },
		{ F(HOLE, PAGE - 1), 2, -EIO, -EIO },
		{ F(ALONE, 0), 50, 50, 50 },
		{ F(ALONE, 0), 51, 50, 50 },
		{ F(ALONE, 50), 1, -EIO, -EIO },
	};
	int fd = attach(dev, self->pid, PVMREAD_WRITE, F(3, 50), 2 * PAGE);

	ASSERT_LE(0, fd);
	expect_spans(_metadata, fd, self->pid, holes, ARRAY_SIZE(holes));
}

TEST_F(target, range_may_end_at_the_last_address)
{
	const uint64_t end = has_64_bit_kernel() ? UINT64_MAX : UINT32_MAX;
	int fd = attach(dev, self->pid, PVMREAD_WRITE, F(2, 0), end - F(2, 0));
	const struct span edges[] = {
		{ F(1, PAGE - 1), 2, -EIO, -EIO },
		{ F(2, 0), 1, 1, 1 },
		{ F(3, 0), PAGE, PAGE, PAGE },
		{ NOT_CANONICAL, 1, -EIO, -EIO },
	};

	ASSERT_LE(0, fd);
	expect_spans(_metadata, fd, self->pid, edges, ARRAY_SIZE(edges));
}

/* --- The top of user space --- */

/* Return: the highest unused page that user space can map, or 0. */
static uint64_t highest_page(void)
{
	uint64_t low = WINDOW, high = sizeof(long) == 8 ? 1ULL << 57 : 1ULL << 32;
	void *p;

	/* mmap() of a page below the end of user space succeeds, or fails with EEXIST. */
	while (high - low > PAGE) {
		uint64_t middle = (low + high) / 2 & ~(PAGE - 1);

		p = mmap((void *)(uintptr_t)middle, PAGE, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p != MAP_FAILED)
			munmap(p, PAGE);
		if (p == (void *)(uintptr_t)middle || (p == MAP_FAILED && errno == EEXIST))
			low = middle;
		else
			high = middle;
	}
	for (; low > WINDOW; low -= PAGE) {
		p = mmap((void *)(uintptr_t)low, PAGE, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == (void *)(uintptr_t)low) {
			munmap(p, PAGE);
			return low;
		}
	}
	return 0;
}

static uint64_t highest;

static void be_high_target(void)
{
	fill(map(highest, PAGE), PAGE, highest, OLD);
	be_target();
}

TEST_F(target, reaches_the_highest_page_of_user_space)
{
	const struct door *door;
	pid_t pid;
	int fd;

	highest = highest_page();
	ASSERT_LT(sizeof(long) == 8 ? 1ULL << 32 : 1ULL << 31, highest);
	TH_LOG("the page at %#llx", (unsigned long long)highest);
	pid = start_and_wait(be_high_target);
	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	for (door = doors; goes_on(_metadata, door); door++) {
		unsigned char seen[PAGE], old[PAGE];
		const struct span high[] = {
			{ highest, PAGE, PAGE, 0 },
			{ highest + 7, 100, 100, 0 },
			{ highest + PAGE - 1, 1, 1, 0 },
		};
		size_t i;

		for (i = 0; i < ARRAY_SIZE(high); i++)
			expect_read(_metadata, door, fd, &high[i]);
		if (!door->write)
			continue;
		ASSERT_TRUE(peek(pid, highest, old, PAGE));
		fill(LOCAL, PAGE, highest, NEW);
		EXPECT_EQ((ssize_t)PAGE, door->write(fd, LOCAL, PAGE, highest));
		ASSERT_TRUE(peek(pid, highest, seen, PAGE));
		EXPECT_EQ(0, memcmp(LOCAL, seen, PAGE));
		ASSERT_TRUE(poke(pid, highest, old, PAGE));
		if (_metadata->exit_code)
			TH_LOG("%s", door->name);
	}
}

/* The stack is near the top, and its contents are unique. */
TEST_F(target, reads_the_callers_stack)
{
	int fd = attach_all(getpid(), 0);
	unsigned char here[3 * PAGE], there[3 * PAGE];

	ASSERT_LE(0, fd);
	fill(here, sizeof(here), (uintptr_t)here, NEW);
	EXPECT_EQ((ssize_t)sizeof(here), pread(fd, there, sizeof(there), (uintptr_t)here));
	EXPECT_EQ(0, memcmp(here, there, sizeof(here)));
}

/* --- Late pages --- */

FIXTURE(late) {
	pid_t pid;
	int uffd;
	int fd;
	int refs;
};

FIXTURE_SETUP(late)
{
	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	set_up(_metadata);
	self->pid = start_and_wait(be_late_target);
	assert_started(_metadata, self->pid);
	self->uffd = take_fd(self->pid, board->uffd);
	ASSERT_LE(0, self->uffd);
	self->fd = attach_all(self->pid, PVMREAD_WRITE);
	ASSERT_LE(0, self->fd);
	self->refs = number_in(MODULE_REFS);
}

FIXTURE_TEARDOWN(late)
{
	end_children();
}

static uint64_t late(size_t page)
{
	return LATE + page * PAGE;
}

/* Results of requests that do not wait: they end at the first missing byte. */
static const struct span waits[] = {
	{ LATE, 1, -EAGAIN, -EAGAIN },
	{ LATE + 17, 2 * PAGE, -EAGAIN, -EAGAIN },
	{ LATE + PAGE - 1, 1, -EAGAIN, -EAGAIN },
	{ LATE - 50, 50, 50, 50 },
	{ LATE - 50, 51, 50, 50 },
	{ LATE - PAGE, 3 * PAGE, PAGE, PAGE },
	{ F(HOLE, 0), 1, -EIO, -EIO },
	{ F(HOLE, 17), 2 * PAGE, -EIO, -EIO },
	{ F(3, PAGE - 96), 200, 96, 96 },
	{ LATE - 2 * PAGE, 2 * PAGE, -EIO, -EIO },
};

TEST_F(late, rwf_nowait_and_nowait_files_do_not_wait)
{
	static const struct door once = {
		"RWF_NOWAIT", .read = by_preadv2, .write = by_pwritev2,
	};
	static const struct door ever = {
		"PVMREAD_NOWAIT", .read = by_pread, .write = by_pwrite,
	};
	static const struct door both = {
		"both", .read = by_preadv2, .write = by_pwritev2,
	};
	int nowait = attach_all(self->pid, PVMREAD_NOWAIT | PVMREAD_WRITE);
	const struct {
		const struct door *door;
		int fd;
	} rows[] = { { &once, self->fd }, { &ever, nowait }, { &both, nowait } };
	unsigned char old[PAGE];
	size_t i, j;

	ASSERT_LE(0, nowait);
	ASSERT_TRUE(peek(self->pid, LATE - PAGE, old, PAGE));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < ARRAY_SIZE(waits) && !_metadata->exit_code; j++) {
			expect_read(_metadata, rows[i].door, rows[i].fd, &waits[j]);
			expect_write(_metadata, rows[i].door, rows[i].fd, self->pid, &waits[j]);
			ASSERT_TRUE(poke(self->pid, LATE - PAGE, old, PAGE));
		}
		/* This page is untouched, but faulting it in needs no wait. */
		memset(LOCAL, GARBAGE, PAGE);
		EXPECT_EQ(100, rows[i].door->read(rows[i].fd, LOCAL, 100, late(LATE_PAGES)));
		EXPECT_TRUE(is_all(LOCAL, 100, 0));
	}
	/* No request has waited. */
	EXPECT_EQ(0, page_asked_for(self->uffd, 0));
	/* The late page can be read once it is present. */
	ASSERT_EQ(0, serve(self->uffd, LATE));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct span span = { LATE - 50, 100 + PAGE, 50 + PAGE, 0 };

		expect_read(_metadata, rows[i].door, rows[i].fd, &span);
	}
	EXPECT_EQ(0, page_asked_for(self->uffd, 0));
}

#define WAIT_LEN	(2 * PAGE + 100)

/*
 * The first of three pages is present, the others arrive late. io_uring first tries
 * without waiting, and must not accept the short result of that.
 */
TEST_F(late, every_read_call_waits_and_is_complete)
{
	const struct door *door;
	size_t page = 0;

	for (door = doors; goes_on(_metadata, door); door++) {
		struct span span = { late(page) + 50, WAIT_LEN, WAIT_LEN, 0 };
		struct server server;

		if (door->read == by_preadv2)
			continue;
		ASSERT_GT(LATE_PAGES, page + 3);
		ASSERT_EQ(0, serve(self->uffd, late(page)));
		ASSERT_TRUE(start_server(&server, self->uffd, 2));
		expect_read(_metadata, door, self->fd, &span);
		EXPECT_TRUE(has_served(&server));
		if (door->seeks)
			EXPECT_EQ((off_t)(span.at + WAIT_LEN), seek(self->fd, 0, SEEK_CUR));
		page += 4;
		if (_metadata->exit_code)
			TH_LOG("%s", door->name);
	}
	EXPECT_EQ(0, page_asked_for(self->uffd, 0));
}

TEST_F(late, every_write_call_waits_and_is_complete)
{
	unsigned char seen[3 * PAGE];
	const struct door *door;
	size_t page = 0;

	for (door = doors; goes_on(_metadata, door); door++) {
		uint64_t at = late(page) + 50;
		struct server server;

		if (!door->write || door->write == by_pwritev2)
			continue;
		ASSERT_GT(LATE_PAGES, page + 3);
		ASSERT_EQ(0, serve(self->uffd, late(page)));
		ASSERT_TRUE(start_server(&server, self->uffd, 2));
		fill(LOCAL, WAIT_LEN, at, NEW);
		EXPECT_EQ((ssize_t)WAIT_LEN, door->write(self->fd, LOCAL, WAIT_LEN, at));
		EXPECT_TRUE(has_served(&server));
		if (door->seeks)
			EXPECT_EQ((off_t)(at + WAIT_LEN), seek(self->fd, 0, SEEK_CUR));
		ASSERT_TRUE(peek(self->pid, late(page), seen, sizeof(seen)));
		EXPECT_EQ(50, differs(seen, 50, late(page), OLD));
		EXPECT_EQ(WAIT_LEN, differs(seen + 50, WAIT_LEN, at, NEW));
		EXPECT_EQ(3 * PAGE - 50 - WAIT_LEN,
			  differs(seen + 50 + WAIT_LEN, 3 * PAGE - 50 - WAIT_LEN, at + WAIT_LEN,
				  OLD));
		page += 4;
		if (_metadata->exit_code)
			TH_LOG("%s", door->name);
	}
	EXPECT_EQ(0, page_asked_for(self->uffd, 0));
}

/* --- io_uring --- */

static const struct uring_request plain_read = { .data = 1 };
static const struct uring_request async_read = { .flags = IOSQE_ASYNC, .data = 1 };

/* Without an io_uring worker, a request moves all its bytes or none. */
static const struct uring_request nowait_requests[] = {
	{ .how = PLAIN, .rw_flags = RWF_NOWAIT, .data = 3 },
	{ .how = VECTOR, .rw_flags = RWF_NOWAIT, .data = 4 },
	{ .how = FIXED, .rw_flags = RWF_NOWAIT, .data = 5 },
	{ .how = PLAIN, .write = true, .rw_flags = RWF_NOWAIT, .data = 6 },
	{ .how = VECTOR, .write = true, .rw_flags = RWF_NOWAIT, .data = 7 },
	{ .how = FIXED, .write = true, .rw_flags = RWF_NOWAIT, .data = 8 },
};

/* The first page comes from the cache, which cannot have the next one. */
TEST_F(late, io_uring_moves_all_or_nothing_of_a_cached_file)
{
	int fd = attach_all(self->pid, PVMREAD_CACHE);
	long end = now_ms() + PATIENCE_MS;
	char path[64];
	size_t i;

	if (fd < 0 && errno == EOPNOTSUPP)
		SKIP(return, "not in this kernel: MMU notifiers");
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	while (proc_number(path, "hits:") < 1) {
		ASSERT_EQ(10, pread(fd, LOCAL, 10, LATE - PAGE));
		ASSERT_GT(end, now_ms());
	}
	for (i = 0; i < ARRAY_SIZE(nowait_requests); i++) {
		const struct uring_request *req = &nowait_requests[i];

		if (req->write)
			continue;
		memset(LOCAL, GARBAGE, 3 * PAGE);
		EXPECT_EQ(EAGAIN, errno_of(by_uring(req, fd, LOCAL, 2, LATE - 1)));
		EXPECT_EQ(EAGAIN, errno_of(by_uring(req, fd, LOCAL, 3 * PAGE, LATE - PAGE)));
		EXPECT_TRUE(is_all(LOCAL, 3 * PAGE, GARBAGE));
	}
	close(fd);
}

TEST_F(late, io_uring_nowait_moves_all_or_nothing)
{
	int nowait = attach_all(self->pid, PVMREAD_NOWAIT);
	unsigned char old[PAGE], seen[PAGE];
	size_t i;

	ASSERT_LE(0, nowait);
	ASSERT_TRUE(peek(self->pid, LATE - PAGE, old, PAGE));
	for (i = 0; i < ARRAY_SIZE(nowait_requests); i++) {
		const struct uring_request *req = &nowait_requests[i];

		memset(LOCAL, GARBAGE, 3 * PAGE);
		EXPECT_EQ(EAGAIN, errno_of(by_uring(req, self->fd, LOCAL, 10, LATE + 5)));
		EXPECT_EQ(EAGAIN, errno_of(by_uring(req, self->fd, LOCAL, 3 * PAGE,
						    LATE - PAGE)));
		EXPECT_EQ(EAGAIN, errno_of(by_uring(req, self->fd, LOCAL, 2, LATE - 1)));
		EXPECT_EQ(EIO, errno_of(by_uring(req, self->fd, LOCAL, 10, F(HOLE, 5))));
		EXPECT_TRUE(is_all(LOCAL, 3 * PAGE, GARBAGE));
		ASSERT_TRUE(peek(self->pid, LATE - PAGE, seen, PAGE));
		EXPECT_EQ(0, memcmp(old, seen, PAGE));

		memcpy(LOCAL, old, PAGE);
		EXPECT_EQ((ssize_t)PAGE, by_uring(req, self->fd, LOCAL, PAGE, LATE - PAGE));
		EXPECT_EQ(0, memcmp(LOCAL, old, PAGE));
	}
	/* For a file attached with NOWAIT, the worker may not wait either. */
	for (i = 0; i < 3; i++) {
		struct uring_request req = { .how = i, .data = 9 };

		EXPECT_EQ(EAGAIN, errno_of(by_uring(&req, nowait, LOCAL, 10, LATE + 5)));
		EXPECT_EQ(EIO, errno_of(by_uring(&req, nowait, LOCAL, 10, F(HOLE, 5))));
		EXPECT_EQ((ssize_t)PAGE, by_uring(&req, nowait, LOCAL, PAGE, LATE - PAGE));
		EXPECT_EQ(PAGE, differs(LOCAL, PAGE, LATE - PAGE, OLD));
	}
	EXPECT_EQ(0, page_asked_for(self->uffd, 0));
}

TEST_F(target, io_uring_nowait_moves_at_most_one_chunk)
{
	const size_t most = MOST;
	pid_t pid = start_and_wait(be_big_target);
	size_t i;
	int fd;

	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	fill(LOCAL, most + 2, BIG, OLD);
	for (i = 0; i < ARRAY_SIZE(nowait_requests); i++) {
		const struct uring_request *req = &nowait_requests[i];

		EXPECT_EQ((ssize_t)most, by_uring(req, fd, LOCAL, most, BIG));
		EXPECT_EQ((ssize_t)most - 2, by_uring(req, fd, LOCAL + 1, most - 2, BIG + 1));
		EXPECT_EQ(most + 2, differs(LOCAL, most + 2, BIG, OLD));
		EXPECT_EQ(EAGAIN, errno_of(by_uring(req, fd, LOCAL, most + 1, BIG)));
		EXPECT_EQ((ssize_t)most, by_uring(req, fd, LOCAL + 1, most, BIG + 1));
	}
	/* A synchronous request or a worker has no such limit. */
	EXPECT_EQ((ssize_t)(2 * most), by_preadv2(fd, LOCAL, 2 * most, BIG));
	EXPECT_EQ(2 * most, differs(LOCAL, 2 * most, BIG, OLD));
	EXPECT_EQ((ssize_t)(2 * most), by_uring(&plain_read, fd, LOCAL, 2 * most, BIG + PAGE));
	EXPECT_EQ(2 * most, differs(LOCAL, 2 * most, BIG + PAGE, OLD));
}

#define IN_FLIGHT	4

TEST_F(late, io_uring_has_several_requests_in_flight)
{
	struct io_uring *ring = the_ring();
	bool asked[IN_FLIGHT] = {};
	size_t i;

	ASSERT_NE(NULL, ring);
	memset(LOCAL, GARBAGE, 2 * IN_FLIGHT * PAGE);
	for (i = 0; i < IN_FLIGHT; i++) {
		struct uring_request req = { .flags = i % 2 ? IOSQE_ASYNC : 0, .data = 10 + i };

		ASSERT_TRUE(uring_queue(ring, &req, self->fd, LOCAL + 2 * i * PAGE, 2 * PAGE,
					late(i) - i * PAGE / IN_FLIGHT));
	}
	/* The first two wait for the same page, the others for a page each. */
	ASSERT_EQ(IN_FLIGHT, io_uring_submit(ring));
	for (i = 0; i < IN_FLIGHT; i++) {
		uint64_t page = page_asked_for(self->uffd, PATIENCE_MS);

		ASSERT_LE(LATE, page);
		ASSERT_GT(late(IN_FLIGHT), page);
		asked[(page - LATE) / PAGE] = true;
	}
	EXPECT_EQ(0, io_uring_cq_ready(ring));
	ASSERT_TRUE(asked[0]);
	/* Serve the last first, so that each request ends when its own pages are present. */
	for (i = IN_FLIGHT + 1; i; i--)
		ASSERT_EQ(0, serve(self->uffd, late(i - 1)));
	for (i = 0; i < IN_FLIGHT; i++) {
		struct __kernel_timespec ts = { .tv_sec = PATIENCE_MS / 1000 };
		struct io_uring_cqe *cqe;
		size_t nr;

		ASSERT_EQ(0, io_uring_wait_cqe_timeout(ring, &cqe, &ts));
		nr = cqe->user_data - 10;
		ASSERT_GT(IN_FLIGHT, nr);
		EXPECT_EQ((int)(2 * PAGE), cqe->res);
		EXPECT_EQ(2 * PAGE, differs(LOCAL + 2 * nr * PAGE, 2 * PAGE,
					    late(nr) - nr * PAGE / IN_FLIGHT, OLD));
		io_uring_cqe_seen(ring, cqe);
	}
}

static bool link_two(struct io_uring *ring, int fd, const struct uring_request *first,
		     uint64_t at, size_t len, uint64_t then)
{
	struct uring_request one = *first;
	struct uring_request two = { .data = 2 };

	one.flags |= IOSQE_IO_LINK;
	one.data = 1;
	return uring_queue(ring, &one, fd, LOCAL, len, at) &&
	       uring_queue(ring, &two, fd, LOCAL + 2 * PAGE, len, then) &&
	       io_uring_submit(ring) == 2;
}

TEST_F(late, io_uring_keeps_the_order_of_linked_requests)
{
	static const struct uring_request write_req = { .write = true };
	struct io_uring *ring = the_ring();

	ASSERT_NE(NULL, ring);
	/* The second reads what the first has written. */
	fill(LOCAL, 200, F(1, PAGE - 96), NEW);
	ASSERT_TRUE(link_two(ring, self->fd, &write_req, F(1, PAGE - 96), 200, F(1, PAGE - 96)));
	EXPECT_EQ(200, uring_result(ring, 1));
	EXPECT_EQ(200, uring_result(ring, 2));
	EXPECT_EQ(200, differs(LOCAL + 2 * PAGE, 200, F(1, PAGE - 96), NEW));
	EXPECT_TRUE(restore_window(self->pid));

	/* The second does not start while the first waits. */
	ASSERT_TRUE(link_two(ring, self->fd, &plain_read, LATE, PAGE, F(0, 0)));
	ASSERT_EQ(LATE, page_asked_for(self->uffd, PATIENCE_MS));
	usleep(50000);
	EXPECT_EQ(0, io_uring_cq_ready(ring));
	ASSERT_EQ(0, serve(self->uffd, LATE));
	EXPECT_EQ((int)PAGE, uring_result(ring, 1));
	EXPECT_EQ((int)PAGE, uring_result(ring, 2));
	EXPECT_EQ(PAGE, differs(LOCAL, PAGE, LATE, OLD));
	EXPECT_EQ(PAGE, differs(LOCAL + 2 * PAGE, PAGE, F(0, 0), OLD));

	/* It does not start at all after one that failed or was short. */
	ASSERT_TRUE(link_two(ring, self->fd, &plain_read, F(HOLE, 0), PAGE, F(0, 0)));
	EXPECT_EQ(-EIO, uring_result(ring, 1));
	EXPECT_EQ(-ECANCELED, uring_result(ring, 2));
	ASSERT_TRUE(link_two(ring, self->fd, &async_read, F(3, PAGE - 96), PAGE, F(0, 0)));
	EXPECT_EQ(96, uring_result(ring, 1));
	EXPECT_EQ(-ECANCELED, uring_result(ring, 2));
}

/*
 * A worker that waits for a page can be killed but not interrupted. So the request
 * cannot end before the page arrives.
 */
TEST_F(late, cancelled_io_uring_request_ends_when_page_arrives)
{
	struct __kernel_timespec ts = { .tv_sec = PATIENCE_MS / 1000 };
	struct io_uring *ring = the_ring();
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	int cancel = 1, res = 0;
	size_t seen;

	ASSERT_NE(NULL, ring);
	ASSERT_TRUE(uring_queue(ring, &plain_read, self->fd, LOCAL, PAGE, LATE));
	ASSERT_EQ(1, io_uring_submit(ring));
	ASSERT_EQ(LATE, page_asked_for(self->uffd, PATIENCE_MS));
	sqe = io_uring_get_sqe(ring);
	ASSERT_NE(NULL, sqe);
	io_uring_prep_cancel64(sqe, plain_read.data, 0);
	sqe->user_data = 2;
	ASSERT_EQ(1, io_uring_submit(ring));
	for (seen = 0; seen < 2; seen++) {
		ASSERT_EQ(0, io_uring_wait_cqe_timeout(ring, &cqe, &ts));
		if (cqe->user_data == 2) {
			/* Serve the page only after the cancel request has ended. */
			cancel = cqe->res;
			ASSERT_EQ(0, serve(self->uffd, LATE));
		} else {
			ASSERT_EQ(1, cqe->user_data);
			res = cqe->res;
		}
		io_uring_cqe_seen(ring, cqe);
	}
	TH_LOG("the cancel request said %d, the read %d", cancel, res);
	EXPECT_TRUE(cancel == 0 || cancel == -EALREADY);
	EXPECT_TRUE(res == (int)PAGE || res == -ECANCELED || res == -EINTR);
	if (res == (int)PAGE)
		EXPECT_EQ(PAGE, differs(LOCAL, PAGE, LATE, OLD));
	/* The ring still works. */
	EXPECT_EQ(10, by_uring(&plain_read, self->fd, LOCAL, 10, F(0, 7)));
	EXPECT_EQ(10, differs(LOCAL, 10, F(0, 7), OLD));
}

/* Read a page that is never served, through a ring; then obey orders. */
static void be_ring_user(void)
{
	struct io_uring *ring = the_ring();

	if (!ring || !uring_queue(ring, &plain_read, inherited, LOCAL, PAGE, whom) ||
	    io_uring_submit(ring) != 1)
		broken("io_uring");
	for (;;) {
		switch (await_order()) {
		case 'r':
			io_uring_queue_exit(ring);
			tell();
			break;
		case 'q':
			_exit(0);
		}
	}
}

static const struct {
	const char *name;
	bool close_ring, exits;
} leaves[] = {
	{ "killed", false, false },
	{ "killed after it closed the ring", true, false },
	{ "exits", false, true },
	{ "exits after it closed the ring", true, true },
};

TEST_F(late, process_can_exit_while_its_io_uring_read_waits)
{
	size_t i;

	inherited = self->fd;
	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		int status, begin;
		pid_t pid;

		whom = late(i);
		pid = start(be_ring_user);
		ASSERT_LT(0, pid);
		ASSERT_EQ(late(i), page_asked_for(self->uffd, PATIENCE_MS));
		if (leaves[i].close_ring) {
			order('r');
			ASSERT_TRUE(is_told());
		}
		begin = now_ms();
		if (leaves[i].exits)
			order('q');
		else
			ASSERT_EQ(0, kill(pid, SIGKILL));
		status = reap(pid, LEAVE_MS);
		TH_LOG("process %s: %ld ms", leaves[i].name, now_ms() - begin);
		ASSERT_LE(0, status) {
			TH_LOG("is still there");
		}
		EXPECT_EQ(leaves[i].exits, WIFEXITED(status));
	}
	/* No ring or worker keeps the file either. */
	close(self->fd);
	EXPECT_TRUE(module_refs_become(self->refs - 1));
	EXPECT_TRUE(kill_and_reap(self->pid));
}

TEST_F(target, io_uring_reads_a_registered_file_that_was_closed)
{
	struct uring_request req = { .flags = IOSQE_FIXED_FILE, .data = 7 };
	struct io_uring *ring = the_ring();
	int fd = attach_all(self->pid, 0);
	int refs = number_in(MODULE_REFS);

	ASSERT_NE(NULL, ring);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, io_uring_register_files(ring, &fd, 1));
	close(fd);
	EXPECT_EQ(refs, number_in(MODULE_REFS));
	EXPECT_EQ(300, by_uring(&req, 0, LOCAL, 300, F(0, PAGE - 96)));
	EXPECT_EQ(300, differs(LOCAL, 300, F(0, PAGE - 96), OLD));
	req.flags |= IOSQE_ASYNC;
	EXPECT_EQ(96, by_uring(&req, 0, LOCAL, 300, F(3, PAGE - 96)));
	EXPECT_TRUE(kill_and_reap(self->pid));
	EXPECT_EQ(ESRCH, errno_of(by_uring(&req, 0, LOCAL, 300, F(0, PAGE - 96))));
	ASSERT_EQ(0, io_uring_unregister_files(ring));
	EXPECT_TRUE(module_refs_become(refs - 1));
}

/* --- splice and sendfile --- */

/* From one process to another, without a buffer of the caller. */
TEST_F(target, sendfile_to_another_target)
{
	pid_t pid = start_and_wait(be_target);
	off_t off = F(1, PAGE - 96);
	int from, to, self_fd;
	unsigned char c;

	assert_started(_metadata, pid);
	from = attach(dev, getpid(), 0, F(0, 0), 4 * PAGE);
	to = attach(dev, pid, PVMREAD_WRITE, F(0, 0), 4 * PAGE);
	self_fd = attach_all(self->pid, 0);
	ASSERT_TRUE(from >= 0 && to >= 0 && self_fd >= 0);
	/* Write NEW to the tester's own window, and send it to the same addresses. */
	fill((void *)F(1, PAGE - 96), 2 * PAGE, F(1, PAGE - 96), NEW);
	ASSERT_TRUE(go_to(to, F(1, PAGE - 96)));
	EXPECT_EQ((ssize_t)(2 * PAGE), sendfile(to, from, &off, 2 * PAGE));
	EXPECT_EQ((off_t)(F(1, PAGE - 96) + 2 * PAGE), off);
	EXPECT_EQ((off_t)(F(1, PAGE - 96) + 2 * PAGE), seek(to, 0, SEEK_CUR));
	EXPECT_TRUE(window_is_new(pid, F(1, PAGE - 96), F(1, PAGE - 96) + 2 * PAGE));
	EXPECT_TRUE(window_is_new(self->pid, 0, 0));
	/* sendfile() ends where the memory of the destination or of the source ends. */
	fill((void *)F(3, PAGE - 96), 96, F(3, PAGE - 96), NEW);
	off = F(3, PAGE - 96);
	ASSERT_TRUE(go_to(to, F(3, PAGE - 96)));
	ASSERT_TRUE(restore_window(pid));
	EXPECT_EQ(96, sendfile(to, from, &off, PAGE));
	EXPECT_TRUE(window_is_new(pid, F(3, PAGE - 96), F(HOLE, 0)));
	EXPECT_EQ(EIO, errno_of(sendfile(to, from, &off, PAGE)));
	off = F(0, 0);
	ASSERT_TRUE(go_to(to, F(HOLE, 0)));
	EXPECT_EQ(EIO, errno_of(sendfile(to, self_fd, &off, PAGE)));
	/* A file that was not attached for writing cannot be the destination. */
	off = F(0, 0);
	EXPECT_EQ(EBADF, errno_of(sendfile(self_fd, from, &off, PAGE)));
	EXPECT_EQ(1, pread(self_fd, &c, 1, F(0, 0)));
	EXPECT_EQ(1, differs(&c, 1, F(0, 0), OLD));
}

/* Send more than a pipe holds, past the end of the range. */
TEST_F(target, sendfile_stops_at_the_range_end)
{
	static unsigned char seen[BIG_LEN];
	pid_t pid = start_and_wait(be_big_target);
	uint64_t start = BIG + 100, len = 50 * PAGE;
	int sink = memfd_create("sink", MFD_CLOEXEC);
	off_t off = start;
	int fd;

	assert_started(_metadata, pid);
	ASSERT_LE(0, sink);
	fd = attach(dev, pid, 0, start, len);
	ASSERT_LE(0, fd);
	/* The position of a new file is the start of its range. */
	EXPECT_EQ((ssize_t)len, sendfile(sink, fd, NULL, 2 * len));
	EXPECT_EQ((off_t)(start + len), seek(fd, 0, SEEK_CUR));
	EXPECT_EQ((ssize_t)len, pread(sink, seen, sizeof(seen), 0));
	EXPECT_EQ(len, differs(seen, len, start, OLD));
	EXPECT_EQ(EIO, errno_of(sendfile(sink, fd, NULL, 1)));
	/* Again, with an offset and more than INT_MAX bytes */
	ASSERT_EQ(0, seek(sink, 0, SEEK_SET));
	EXPECT_EQ((ssize_t)len, sendfile(sink, fd, &off, ~0UL >> 1));
	EXPECT_EQ((off_t)(start + len), off);
	EXPECT_EQ(EIO, errno_of(sendfile(sink, fd, &off, ~0UL >> 1)));
	off = start - 1;
	EXPECT_EQ(EIO, errno_of(sendfile(sink, fd, &off, len)));
}

/* --- The file after the target has exited --- */

/* Return: the first operation that does not fail with ESRCH or that changes the buffer, or NULL. */
static const char *what_is_left(int fd)
{
	bool writes = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
	static const uint64_t at[] = { F(0, 5), F(HOLE, 0), 0, NOT_CANONICAL };
	struct pvmread_segment segment = {
		.remote = F(0, 5),
		.local = (uintptr_t)LOCAL,
		.length = 100,
	};
	const struct door *door;
	size_t i;

	memset(LOCAL, GARBAGE, PAGE);
	for (door = doors; door < doors + ARRAY_SIZE(doors); door++) {
		for (i = 0; i < ARRAY_SIZE(at); i++) {
			errno = 0;
			if (door->read(fd, LOCAL, 100, at[i]) != -1 || errno != ESRCH)
				return door->name;
			errno = 0;
			if (door->write && writes &&
			    (door->write(fd, LOCAL, 100, at[i]) != -1 || errno != ESRCH))
				return door->name;
		}
		/* Even if the caller's memory is not mapped either */
		if (door->memory && errno_of(door->read(fd, LOCAL_END, 1, F(0, 5))) != ESRCH)
			return "bad memory";
	}
	if (!is_all(LOCAL, PAGE, GARBAGE))
		return "bytes";
	if (!go_to(fd, F(0, 0)))
		return "lseek";
	if (errno_of(pread(fd, LOCAL, 0, F(0, 0))) != ESRCH ||
	    errno_of(read(fd, LOCAL, 0)) != ESRCH)
		return "a read of no bytes";
	if (errno_of(batch(fd, 0, NULL, 0)) != ESRCH ||
	    errno_of(batch(fd, 0, &segment, 1)) != ESRCH || segment.done || segment.error)
		return "BATCH";
	if (!writes)
		return NULL;
	if (errno_of(pwrite(fd, LOCAL, 0, F(0, 0))) != ESRCH ||
	    errno_of(write(fd, LOCAL, 0)) != ESRCH)
		return "a write of no bytes";
	if (errno_of(batch(fd, PVMREAD_WRITE, NULL, 0)) != ESRCH ||
	    errno_of(batch(fd, PVMREAD_WRITE, &segment, 1)) != ESRCH)
		return "BATCH with PVMREAD_WRITE";
	return NULL;
}

#define EXPECT_GONE(fd) do { \
	const char *left = what_is_left(fd); \
	\
	EXPECT_EQ(NULL, left) { \
		TH_LOG("left: %s", left ?: ""); \
	} \
} while (0)

TEST_F(target, is_esrch_after_the_target_exits)
{
	int fd[] = {
		attach_all(self->pid, PVMREAD_WRITE),
		attach_all(self->pid, 0),
		attach(dev, self->pid, PVMREAD_WRITE, F(0, 5), 100),
		attach_all(self->pid, PVMREAD_NOWAIT | PVMREAD_RESIDENT),
	};
	siginfo_t info;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		ASSERT_LE(0, fd[i]);
		EXPECT_TRUE(reads(fd[i], OLD));
	}
	order('q');
	/* A zombie has a number but no memory. */
	ASSERT_EQ(0, waitid(P_PID, self->pid, &info, WEXITED | WNOWAIT));
	for (i = 0; i < ARRAY_SIZE(fd); i++)
		EXPECT_GONE(fd[i]);
	ASSERT_EQ(self->pid, waitpid(self->pid, NULL, 0));
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		EXPECT_GONE(fd[i]);
		EXPECT_EQ(-1, read_info("/proc", fd[i]).pid);
	}
}

TEST_F(target, is_esrch_after_the_target_is_killed)
{
	int fd = attach_all(self->pid, PVMREAD_WRITE);

	ASSERT_LE(0, fd);
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_TRUE(kill_and_reap(self->pid));
	EXPECT_GONE(fd);
	EXPECT_EQ(-1, read_info("/proc", fd).pid);
}

/*
 * Use the file until the target has reported its new image. The file must show the
 * complete old image, and from some moment on fail with ESRCH.
 *
 * Return: what was wrong, or NULL.
 */
static const char *watch_exec(int fd)
{
	struct pollfd pfd = { .fd = told[0], .events = POLLIN };
	unsigned char seen[200], written[PAGE];
	long begin = now_ms();
	bool gone = false;

	fill(written, PAGE, F(1, 0), NEW);
	while (poll(&pfd, 1, 0) != 1) {
		ssize_t ret = pread(fd, seen, sizeof(seen), F(0, PAGE - 196));

		if (ret != sizeof(seen) && (ret != -1 || errno != ESRCH))
			return "a read that is neither complete nor ESRCH";
		if (ret > 0 && differs(seen, sizeof(seen), F(0, PAGE - 196), OLD) != sizeof(seen))
			return "bytes of the new image";
		if (ret > 0 && gone)
			return "a read of the old image after ESRCH";
		gone = ret < 0;
		ret = pwrite(fd, written, PAGE, F(1, 100));
		if (ret != (ssize_t)PAGE && (ret != -1 || errno != ESRCH))
			return "a write that is neither complete nor ESRCH";
		if (ret > 0 && gone)
			return "a write to the old image after ESRCH";
		if (now_ms() - begin > PATIENCE_MS)
			return "timeout: no new image";
	}
	if (!is_told())
		return "the new image did not report";
	return what_is_left(fd);
}

static bool window_is_image(pid_t pid)
{
	unsigned char seen[4 * PAGE];

	return peek(pid, F(0, 0), seen, sizeof(seen)) &&
	       differs(seen, sizeof(seen), F(0, 0), IMAGE) == sizeof(seen);
}

TEST_F(target, is_esrch_after_the_target_execs)
{
	int round;

	for (round = 0; round < 10; round++) {
		pid_t pid = start_and_wait(be_target);
		const char *wrong;
		int fd, again;

		assert_started(_metadata, pid);
		fd = attach_all(pid, PVMREAD_WRITE);
		ASSERT_LE(0, fd);
		EXPECT_TRUE(reads(fd, OLD));
		order('e');
		wrong = watch_exec(fd);
		ASSERT_EQ(NULL, wrong) {
			TH_LOG("%s: %s", wrong ?: "", strerror(errno));
		}
		/* A new ATTACH reaches the new image. */
		EXPECT_TRUE(window_is_image(pid));
		again = attach_all(pid, 0);
		ASSERT_LE(0, again);
		EXPECT_TRUE(reads(again, IMAGE));
		EXPECT_GONE(fd);
		/* A process with a new image is another target. */
		EXPECT_EQ(-1, read_info("/proc", fd).pid);
		EXPECT_EQ(pid, read_info("/proc", again).pid);
		EXPECT_TRUE(kill_and_reap(pid));
		EXPECT_GONE(again);
		close(fd);
		close(again);
	}
}

static char copy_dir[40], copy_path[sizeof(copy_dir) + 8];

/* Return: 0, or 1 if the file system is mounted nosuid, or -1. */
static int make_copy(mode_t mode)
{
	struct statvfs fs;

	snprintf(copy_dir, sizeof(copy_dir), "/tmp/pvmread-target.XXXXXX");
	if (!mkdtemp(copy_dir) || chmod(copy_dir, 0755))
		return -1;
	snprintf(copy_path, sizeof(copy_path), "%s/copy", copy_dir);
	if (copy_program(copy_path, mode) || statvfs(copy_path, &fs))
		return -1;
	return fs.f_flag & ST_NOSUID ? 1 : 0;
}

static void remove_copy(void)
{
	unlink(copy_path);
	rmdir(copy_dir);
}

static void be_set_uid_target_of_alice(void)
{
	become(ALICE);
	/* If Yama lets only ancestors attach, allow all processes. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	image = copy_path;
	image_user = "root";
	be_target();
}

static int orders_of_target;

static void watch_as_alice(void)
{
	const char *wrong;
	int fd;

	become(ALICE);
	fd = attach_all(whom, PVMREAD_WRITE);
	if (fd < 0)
		broken("ATTACH of the same user's process");
	if (!reads(fd, OLD))
		broken("reading the same user's process");
	if (write(orders_of_target, "e", 1) != 1)
		broken("ordering an exec");
	wrong = watch_exec(fd);
	if (wrong)
		broken(wrong);
	if (errno_of(attach_all(whom, 0)) != EPERM)
		broken("ATTACH of a set-uid program");
	if (what_is_left(fd))
		broken("a set-uid program");
}

TEST_F(target, never_shows_an_execed_set_uid_program)
{
	int nosuid = make_copy(04755), status;

	if (nosuid) {
		remove_copy();
		ASSERT_EQ(1, nosuid) {
			TH_LOG("copying this program: %s", strerror(errno));
		}
		SKIP(return, "/tmp is mounted nosuid");
	}
	whom = start_and_wait(be_set_uid_target_of_alice);
	orders_of_target = orders[1];
	status = whom > 0 ? run(watch_as_alice) : -1;
	remove_copy();
	ASSERT_EQ(0, status) {
		TH_LOG("%s", board->trouble);
	}
	/* Nothing has been written there either. */
	EXPECT_TRUE(window_is_image(whom));
}

static void be_target_with_child(void)
{
	pid_t pid;

	map_target_memory();
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (!pid) {
		alarm(LIFETIME_S);
		board->other = getpid();
		tell();
		stay();
	}
	obey();
}

TEST_F(target, is_esrch_after_exit_despite_a_forked_child)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = start_and_wait(be_target_with_child);
	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_GONE(fd);
	EXPECT_TRUE(kill_and_reap(board->other));
}

static char sibling_stack[4 * PAGE] __attribute__((aligned(16)));

/* It shares all memory with the target, and nothing else. */
static int be_sibling(void *unused)
{
	(void)unused;
	alarm(LIFETIME_S);
	board->other = syscall(SYS_getpid);
	tell();
	if (await_order() == 'e')
		exec_image();
	_exit(0);
}

static void start_sibling(int flags)
{
	map_target_memory();
	if (clone(be_sibling, sibling_stack + sizeof(sibling_stack), CLONE_VM | SIGCHLD | flags,
		  NULL) < 0)
		broken("clone");
}

static void be_target_with_sibling(void)
{
	start_sibling(0);
	/* Orders go to the sibling. */
	stay();
}

static void be_target_that_vforks(void)
{
	start_sibling(CLONE_VFORK);
	stay();
}

static void exec_on_signal(int sig)
{
	(void)sig;
	exec_image();
}

static void be_target_with_sibling_that_execs(void)
{
	signal(SIGUSR1, exec_on_signal);
	be_target_with_sibling();
}

TEST_F(target, is_readable_while_another_process_shares_mm)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = start_and_wait(be_target_with_sibling);
	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_EQ(1, pwrite(fd, "!", 1, F(1, 0)));
	order('q');
	EXPECT_EQ(0, reap(board->other, PATIENCE_MS));
	EXPECT_GONE(fd);
}

/* Another process can get the pid of a reaped process. */
TEST_F(target, fdinfo_hides_the_pid_of_a_reaped_process)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = start_and_wait(be_target_with_sibling);
	assert_started(_metadata, pid);
	fd = attach_all(pid, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(pid, read_info("/proc", fd).pid);
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_EQ(-1, read_info("/proc", fd).pid);
	EXPECT_TRUE(reads(fd, OLD));
	order('q');
	EXPECT_EQ(0, reap(board->other, PATIENCE_MS));
	EXPECT_EQ(-1, read_info("/proc", fd).pid);
}

TEST_F(target, old_mm_is_readable_after_exec_while_shared)
{
	pid_t pid = start_and_wait(be_target_with_sibling_that_execs);
	int fd;

	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ASSERT_TRUE(is_told());
	ASSERT_TRUE(window_is_image(pid));
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_EQ(1, pwrite(fd, "!", 1, F(1, 0)));
	EXPECT_TRUE(window_is_image(pid));
	order('q');
	EXPECT_TRUE(ends(board->other));
	/* The target itself still exists, with its new image. */
	EXPECT_TRUE(window_is_image(pid));
	EXPECT_GONE(fd);
}

TEST_F(target, attach_to_a_vfork_child_attaches_the_parents_mm)
{
	pid_t pid = start_and_wait(be_target_that_vforks);
	int fd;

	assert_started(_metadata, pid);
	ASSERT_NE(pid, board->other);
	fd = attach_all(board->other, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(reads(fd, OLD));
	order('e');
	ASSERT_TRUE(is_told());
	ASSERT_TRUE(window_is_image(board->other));
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_EQ(1, pwrite(fd, "!", 1, F(1, 0)));
	EXPECT_TRUE(window_is_image(board->other));
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_GONE(fd);
}

TEST_F(target, is_readable_until_last_thread_exits)
{
	char path[40], state = 0, line[256];
	long begin = now_ms();
	pid_t pid;
	int fd;

	pid = start_and_wait(be_target_with_thread);
	assert_started(_metadata, pid);
	fd = attach_all(pid, 0);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
	order('l');
	while (state != 'Z' && now_ms() - begin < PATIENCE_MS) {
		FILE *f = fopen(path, "re");

		ASSERT_NE(NULL, f);
		ASSERT_NE(NULL, fgets(line, sizeof(line), f));
		fclose(f);
		state = strrchr(line, ')')[2];
	}
	ASSERT_EQ('Z', state);
	/* ATTACH to the leader's number fails now. */
	EXPECT_EQ(ESRCH, errno_of(attach_all(pid, 0)));
	EXPECT_TRUE(reads(fd, OLD));
	EXPECT_EQ(pid, read_info("/proc", fd).pid);
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_GONE(fd);
}

/* A request uses the memory, so it still exists. */
TEST_F(late, mm_is_readable_while_a_request_waits_for_a_page)
{
	struct io_uring *ring = the_ring();

	ASSERT_NE(NULL, ring);
	EXPECT_TRUE(reads(self->fd, OLD));
	/* Touch the buffer: a request drops the target's mm to fault in the caller's memory. */
	memset(LOCAL + PAGE, 0, 2 * PAGE);
	ASSERT_TRUE(uring_queue(ring, &async_read, self->fd, LOCAL + PAGE, 2 * PAGE,
				LATE - PAGE));
	ASSERT_EQ(1, io_uring_submit(ring));
	ASSERT_EQ(LATE, page_asked_for(self->uffd, PATIENCE_MS));
	EXPECT_TRUE(kill_and_reap(self->pid));
	EXPECT_EQ(ESRCH, errno_of(attach_all(self->pid, 0)));
	EXPECT_TRUE(reads(self->fd, OLD));
	ASSERT_EQ(0, serve(self->uffd, LATE));
	EXPECT_EQ((int)(2 * PAGE), uring_result(ring, async_read.data));
	EXPECT_EQ(2 * PAGE, differs(LOCAL + PAGE, 2 * PAGE, LATE - PAGE, OLD));
	EXPECT_GONE(self->fd);
	EXPECT_EQ(-1, read_info("/proc", self->fd).pid);
}

#define MUCH_MEMORY	(96UL << 20)

static void be_target_with_much_memory(void)
{
	map_target_memory();
	fill(map(BIG, BIG_LEN), BIG_LEN, BIG, OLD);
	memset(map(0x70000000UL, MUCH_MEMORY), 1, MUCH_MEMORY);
	tell();
	obey();
}

/* Return: free memory in KiB, including the per-CPU page lists, which may be long. */
static long free_memory(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	char line[128];
	long pages = 0, n;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " nr_free_pages %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	}
	fclose(f);
	return pages * (long)(PAGE >> 10);
}

/* Expect three quarters: other memory is allocated and freed meanwhile. */
#define MOST_KIB	((long)(MUCH_MEMORY >> 10) * 3 / 4)

static long wait_for_free_memory(long kib)
{
	long begin = now_ms(), seen;

	do {
		seen = free_memory();
	} while (seen < kib && now_ms() - begin < PATIENCE_MS);
	return seen;
}

static void expect_memory_back(struct __test_metadata *_metadata, char how)
{
	long before, with, after;
	pid_t pid;
	int fd;

	before = free_memory();
	pid = start_and_wait(be_target_with_much_memory);
	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, pwrite(fd, "!", 1, 0x70000000UL + MUCH_MEMORY / 2));
	EXPECT_TRUE(reads(fd, OLD));
	with = free_memory();
	EXPECT_LE(MOST_KIB, before - with);
	order(how);
	ASSERT_TRUE(how == 'e' ? is_told() : !reap(pid, PATIENCE_MS));
	after = wait_for_free_memory(with + MOST_KIB);
	TH_LOG("free before: %ld KiB, with the target: %ld KiB, %s: %ld KiB", before, with,
	       how == 'e' ? "after its execve" : "after its end", after);
	EXPECT_LE(MOST_KIB, after - with);
	EXPECT_GONE(fd);
}

TEST_F(target, exit_frees_the_targets_memory)
{
	expect_memory_back(_metadata, 'q');
}

TEST_F(target, exec_frees_the_targets_memory)
{
	expect_memory_back(_metadata, 'e');
}

struct stalled {
	pthread_t thread;
	int fd;
	bool batch;
	ssize_t ret;
	int err;
};

/* Reads the target into memory whose first page the tester must serve. */
static void *be_stalled(void *arg)
{
	struct stalled *stalled = arg;
	struct pvmread_segment segment = {
		.remote = BIG,
		.local = LATE,
		.length = 2 * MOST,
	};

	if (stalled->batch) {
		stalled->ret = batch(stalled->fd, 0, &segment, 1);
		if (!stalled->ret)
			stalled->ret = segment.done;
		stalled->err = segment.error;
	} else {
		stalled->ret = pread(stalled->fd, (void *)LATE, 2 * MOST, BIG);
		stalled->err = stalled->ret < 0 ? errno : 0;
	}
	return NULL;
}

/* A caller that stalls its own page fault keeps nothing of the target. */
static void stall(struct __test_metadata *_metadata, bool by_batch)
{
	struct uffdio_register reg = {
		.range = { .start = LATE, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct stalled stalled = { .batch = by_batch };
	int uffd = open_uffd();
	long with, after;
	pid_t pid;

	if (uffd < 0)
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	map(LATE, 2 * MOST);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	pid = start_and_wait(be_target_with_much_memory);
	assert_started(_metadata, pid);
	stalled.fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, stalled.fd);
	with = free_memory();
	ASSERT_EQ(0, pthread_create(&stalled.thread, NULL, be_stalled, &stalled));
	ASSERT_EQ(LATE, page_asked_for(uffd, PATIENCE_MS));
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_GONE(stalled.fd);
	EXPECT_EQ(-1, read_info("/proc", stalled.fd).pid);
	after = wait_for_free_memory(with + MOST_KIB);
	TH_LOG("free with the target: %ld KiB, after its end: %ld KiB", with, after);
	EXPECT_LE(MOST_KIB, after - with);

	ASSERT_EQ(0, serve(uffd, LATE));
	ASSERT_EQ(0, pthread_join(stalled.thread, NULL));
	EXPECT_EQ(by_batch ? 0 : -1, stalled.ret);
	EXPECT_EQ(ESRCH, stalled.err);
	EXPECT_GONE(stalled.fd);
}

TEST_F(target, stalled_read_does_not_keep_an_exited_targets_mm)
{
	stall(_metadata, false);
}

TEST_F(target, stalled_batch_does_not_keep_an_exited_targets_mm)
{
	stall(_metadata, true);
}

/* --- A grant: a range of own memory for another user --- */

#define GRANT		F(0, PAGE - 96)
#define GRANT_LEN	300UL
#define GIFT		F(2, 50)
#define GIFT_LEN	100UL

/* Alice gives a range for reading and another one for writing. */
static void be_granter(void)
{
	int fd[2], child;

	map_target_memory();
	become(ALICE);
	if (open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC) >= 0)
		broken("the device is open to everyone");
	fd[0] = attach(dev, getpid(), 0, GRANT, GRANT_LEN);
	fd[1] = attach(dev, getpid(), PVMREAD_WRITE, GIFT, GIFT_LEN);
	if (fd[0] < 0 || fd[1] < 0)
		broken("ATTACH of oneself");
	/* In Yama's scopes 2 and 3 she may not attach to another process, even to her child. */
	child = start(stay);
	if (number_in(YAMA_SCOPE) > 1 && errno_of(attach_all(child, 0)) != EPERM)
		broken("Yama");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (send_fd(sock[0], fd[0]) || send_fd(sock[0], fd[1]))
		broken("passing the files");
	/* The passed files work after she has closed hers. */
	close(fd[0]);
	close(fd[1]);
	close(dev);
	tell();
	stay();
}

static const char *has_range(int fd, uint64_t start, size_t len, enum flavour flavour)
{
	unsigned char buf[GRANT_LEN + 2];

	if (pread(fd, buf, len + 2, start) != (ssize_t)len ||
	    differs(buf, len, start, flavour) != len)
		return "the range";
	if (errno_of(pread(fd, buf, 1, start - 1)) != EIO ||
	    errno_of(pread(fd, buf, len + 2, start - 1)) != EIO)
		return "a byte before the range";
	if (errno_of(pread(fd, buf, 1, start + len)) != EIO)
		return "a byte after the range";
	if (errno_of(pread(fd, buf, 1, F(3, 0))) != EIO)
		return "another page";
	return NULL;
}

static bool can_be_opened_again(int fd)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	char path[40];
	size_t i;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (open(path, modes[i] | O_CLOEXEC) >= 0)
			return true;
	return false;
}

/* Bob can access what he was given, and not a byte more. */
static void be_grantee(void)
{
	unsigned char buf[GRANT_LEN];
	struct iovec local = { buf, 10 };
	struct iovec remote = { (void *)GRANT, 10 };
	struct request req = {
		.pid = whom,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};
	struct pvmread_segment segment = {
		.remote = GRANT,
		.local = (uintptr_t)buf,
		.length = 10,
	};
	const char *wrong;
	int grant, gift;
	char path[40];

	become(BOB);
	grant = receive_fd(sock[1]);
	gift = receive_fd(sock[1]);
	if (grant < 0 || gift < 0)
		broken("receiving the files");
	errno = 0;
	wrong = has_range(grant, GRANT, GRANT_LEN, OLD);
	if (wrong)
		broken(wrong);
	if (batch(grant, 0, &segment, 1) || segment.done != 10 || segment.error)
		broken("BATCH");

	/* He may not write, whatever he tries. */
	if (errno_of(pwrite(grant, buf, 1, GRANT)) != EBADF ||
	    errno_of(write(grant, buf, 1)) != EBADF ||
	    errno_of(batch(grant, PVMREAD_WRITE, &segment, 1)) != EBADF)
		broken("writing to the grant");
	if (can_be_opened_again(grant))
		broken("the grant was opened again");
	if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, grant, 0) != MAP_FAILED)
		broken("the grant was mapped");

	/* He may not attach to more. */
	if (send_syscall(&req) != -1 || errno != EPERM)
		broken("process_vm_readv");
	if (send_ioctl(dev, &req, NULL) != -1 || errno != EPERM)
		broken("READV");
	if (errno_of(attach(dev, whom, 0, GRANT, GRANT_LEN)) != EPERM)
		broken("ATTACH");
	snprintf(path, sizeof(path), "/proc/%d/mem", whom);
	if (open(path, O_RDONLY | O_CLOEXEC) >= 0)
		broken("/proc/PID/mem");

	/* He may write the range granted for writing, up to its edges. */
	errno = 0;
	wrong = has_range(gift, GIFT, GIFT_LEN, OLD);
	if (wrong)
		broken(wrong);
	fill(buf, GIFT_LEN + 1, GIFT, NEW);
	if (errno_of(pwrite(gift, buf, 1, GIFT - 1)) != EIO ||
	    errno_of(pwrite(gift, buf, 1, GIFT + GIFT_LEN)) != EIO ||
	    pwrite(gift, buf, GIFT_LEN + 1, GIFT) != (ssize_t)GIFT_LEN)
		broken("writing to the gift");
	errno = 0;
	wrong = has_range(gift, GIFT, GIFT_LEN, NEW);
	if (wrong)
		broken(wrong);
}

FIXTURE(grant) {
	int scope;
};

FIXTURE_SETUP(grant)
{
	set_up(_metadata);
	self->scope = number_in(YAMA_SCOPE);
	if (self->scope >= 0 && self->scope < 2)
		ASSERT_EQ(0, set_number(YAMA_SCOPE, 2));
}

FIXTURE_TEARDOWN(grant)
{
	end_children();
	if (self->scope >= 0 && self->scope < 2)
		set_number(YAMA_SCOPE, self->scope);
}

TEST_F(grant, gives_another_user_only_the_range_in_any_yama_scope)
{
	TH_LOG("ptrace_scope: %d", number_in(YAMA_SCOPE));
	whom = start_and_wait(be_granter);
	assert_started(_metadata, whom);
	EXPECT_EQ(0, run(be_grantee)) {
		TH_LOG("%s", board->trouble);
	}
	EXPECT_TRUE(window_is_new(whom, GIFT, GIFT + GIFT_LEN));
}

/* --- fdinfo --- */

static bool has_word(const char *words, const char *word)
{
	char copy[40], *at;

	snprintf(copy, sizeof(copy), "%s", words);
	for (at = strtok(copy, " "); at; at = strtok(NULL, " "))
		if (!strcmp(at, word))
			return true;
	return false;
}

TEST_F(target, fdinfo_shows_the_attach_arguments)
{
	static const struct {
		unsigned int flags;
		uint64_t start, length;
		const char *range;
	} rows[] = {
		{ 0, F(0, 0), 0x1234, "60000000-60001234" },
		{ PVMREAD_WRITE, F(0, 0x105), 1, "60000105-60000106" },
		{ PVMREAD_NOWAIT, 0, 1, "00000000-00000001" },
		{ PVMREAD_RESIDENT, 0xabcde, 0x10, "000abcde-000abcee" },
		{ PVMREAD_NOWAIT | PVMREAD_RESIDENT, 0x7fffffffff00, 0x100,
		  "7fffffffff00-800000000000" },
		{ PVMREAD_WRITE | PVMREAD_NOWAIT | PVMREAD_RESIDENT, KERNEL_ADDR, 0x1234,
		  "ffff888000000000-ffff888000001234" },
		{ PVMREAD_WRITE | PVMREAD_RESIDENT, 0, 0, NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned long start = 1, end = 0;
		struct info info;
		int fd;

		if (!has_64_bit_kernel() && rows[i].start > UINT32_MAX)
			continue;
		fd = attach(dev, self->pid, rows[i].flags, rows[i].start, rows[i].length);
		ASSERT_LE(0, fd);
		info = read_info("/proc", fd);
		ASSERT_EQ(INFO_FIELDS, info.fields);
		EXPECT_EQ(self->pid, info.pid);
		if (rows[i].range) {
			EXPECT_STREQ(rows[i].range, info.range);
		} else {
			/* All of the memory: from 0 to at least the highest page */
			ASSERT_TRUE(sscanf(info.range, "%lx-%lx", &start, &end) == 2);
			EXPECT_EQ(0, start);
			EXPECT_LE(highest_page() + PAGE, end);
		}
		EXPECT_EQ(!(rows[i].flags & PVMREAD_WRITE), has_word(info.mode, "r"));
		EXPECT_EQ(!!(rows[i].flags & PVMREAD_WRITE), has_word(info.mode, "rw"));
		EXPECT_EQ(!!(rows[i].flags & PVMREAD_NOWAIT), has_word(info.mode, "nowait"));
		EXPECT_EQ(!!(rows[i].flags & PVMREAD_RESIDENT), has_word(info.mode, "resident"));
		EXPECT_EQ(0, info.read);
		EXPECT_EQ(0, info.written);
		EXPECT_EQ(0, info.faults);
		close(fd);
	}
}

#define EXPECT_COUNTS(fd, r, w, f) do { \
	struct info info = read_info("/proc", fd); \
	\
	EXPECT_EQ(INFO_FIELDS, info.fields); \
	EXPECT_EQ((unsigned long long)(r), info.read); \
	EXPECT_EQ((unsigned long long)(w), info.written); \
	EXPECT_EQ((unsigned long long)(f), info.faults); \
} while (0)

TEST_F(target, fdinfo_counts_bytes_moved_and_faults)
{
	unsigned long long r = 0, w = 0, f = 0;
	int fd = attach_all(self->pid, PVMREAD_WRITE);
	int other = attach_all(self->pid, 0);
	struct pvmread_segment segments[] = {
		{ .remote = F(0, 0), .local = (uintptr_t)LOCAL, .length = 10 },
		{ .remote = F(HOLE, 0), .local = (uintptr_t)LOCAL, .length = 10 },
		{ .remote = F(3, PAGE - 96), .local = (uintptr_t)LOCAL, .length = 100 },
	};
	int copy = dup(fd);

	ASSERT_LE(0, copy);
	ASSERT_LE(0, other);
	EXPECT_COUNTS(fd, 0, 0, 0);
	/* whole */
	EXPECT_EQ(100, pread(fd, LOCAL, 100, F(0, 0)));
	EXPECT_COUNTS(fd, r += 100, w, f);
	EXPECT_EQ(1000, pwrite(fd, LOCAL, 1000, F(0, 0)));
	EXPECT_COUNTS(fd, r, w += 1000, f);
	EXPECT_EQ((ssize_t)(3 * PAGE), by_readv(fd, LOCAL, 3 * PAGE, F(0, 0)));
	EXPECT_COUNTS(fd, r += 3 * PAGE, w, f);
	EXPECT_EQ(7, by_uring_write_async(fd, LOCAL, 7, F(0, 0)));
	EXPECT_COUNTS(fd, r, w += 7, f);
	EXPECT_EQ((ssize_t)PAGE, by_splice(fd, LOCAL, PAGE, F(0, 9)));
	EXPECT_COUNTS(fd, r += PAGE, w, f);
	EXPECT_EQ((ssize_t)PAGE, by_sendfile_in(fd, LOCAL, PAGE, F(0, 9)));
	EXPECT_COUNTS(fd, r, w += PAGE, f);
	/* nothing */
	EXPECT_EQ(0, pread(fd, LOCAL, 0, F(HOLE, 0)));
	EXPECT_COUNTS(fd, r, w, f);
	/* short, and nothing at all */
	EXPECT_EQ(96, pread(fd, LOCAL, PAGE, F(3, PAGE - 96)));
	EXPECT_COUNTS(fd, r += 96, w, f += 1);
	EXPECT_EQ(EIO, errno_of(pread(fd, LOCAL, PAGE, F(HOLE, 0))));
	EXPECT_COUNTS(fd, r, w, f += 1);
	EXPECT_EQ(6, pwrite(fd, LOCAL, 10, F(ALONE, PAGE - 6)));
	EXPECT_COUNTS(fd, r, w += 6, f += 1);
	EXPECT_EQ(EIO, errno_of(pwrite(fd, LOCAL, 10, F(READ_ONLY, 0))));
	EXPECT_COUNTS(fd, r, w, f += 1);
	/* an error in the caller's memory does not count */
	EXPECT_EQ(EFAULT, errno_of(pread(fd, LOCAL_END, 10, F(0, 0))));
	EXPECT_EQ(EFAULT, errno_of(pwrite(fd, LOCAL_END, 10, F(0, 0))));
	EXPECT_EQ(5, pread(fd, LOCAL_END - 5, 10, F(0, 0)));
	EXPECT_COUNTS(fd, r += 5, w, f);
	/* in pieces */
	EXPECT_EQ(0, batch(fd, 0, segments, ARRAY_SIZE(segments)));
	EXPECT_COUNTS(fd, r += 10 + 96, w, f += 2);
	EXPECT_EQ(0, batch(fd, PVMREAD_WRITE, segments, ARRAY_SIZE(segments)));
	EXPECT_COUNTS(fd, r, w += 10 + 96, f += 2);
	/* The counters belong to the file, whatever its descriptor, and to no other file. */
	EXPECT_COUNTS(copy, r, w, f);
	EXPECT_COUNTS(other, 0, 0, 0);
	/* They stay when the target has exited. */
	EXPECT_TRUE(kill_and_reap(self->pid));
	EXPECT_EQ(ESRCH, errno_of(pread(fd, LOCAL, 10, F(0, 0))));
	EXPECT_COUNTS(fd, r, w, f);
	EXPECT_EQ(-1, read_info("/proc", fd).pid);
}

/* Process 1 of a new pid namespace, whose /proc is mounted beside the old one. */
static void be_first_in_namespace(void)
{
	char dir[] = "/tmp/pvmread-proc.XXXXXX";
	int fd, pid = getpid();

	die_with_parent();
	map_target_memory();
	fd = attach_all(pid, 0);
	if (pid != 1 || fd < 0)
		broken("process 1 of a pid namespace");
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(dir))
		broken("a mount namespace");
	if (mount("none", dir, "proc", 0, NULL)) {
		rmdir(dir);
		broken("mounting /proc");
	}
	board->result[0] = read_info(dir, fd).pid;
	board->result[1] = read_info("/proc", fd).pid;
	/* A process that has no number there */
	board->result[2] = read_info(dir, inherited).pid;
	umount(dir);
	rmdir(dir);
	/* Wait until the parent has stored the pid that the tester needs. */
	while (!board->other)
		usleep(1000);
	tell();
	stay();
}

static void be_parent_of_namespace(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		broken("a pid namespace");
	pid = fork();
	if (pid < 0)
		broken("fork");
	if (!pid)
		be_first_in_namespace();
	board->other = pid;
	waitpid(pid, NULL, 0);
	_exit(4);
}

TEST_F(target, fdinfo_pid_is_of_the_pid_namespace_of_proc)
{
	pid_t pid;
	int fd;

	inherited = attach_all(self->pid, 0);
	ASSERT_LE(0, inherited);
	board->result[2] = -2;
	pid = start_and_wait(be_parent_of_namespace);
	assert_started(_metadata, pid);
	EXPECT_EQ(1, board->result[0]);
	EXPECT_EQ(board->other, board->result[1]);
	EXPECT_EQ(0, board->result[2]);
	fd = attach_all(board->other, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(board->other, read_info("/proc", fd).pid);
	EXPECT_TRUE(reads(fd, OLD));
	ASSERT_EQ(0, kill(board->other, SIGKILL));
	EXPECT_EQ(4 << 8, reap(pid, PATIENCE_MS));
	EXPECT_EQ(-1, read_info("/proc", fd).pid);
	EXPECT_GONE(fd);
}

/* --- One file in several processes --- */

#define THREADS		4
#define ROUNDS		500
#define PIECE		700

struct worker {
	pthread_t thread;
	int fd;
	int id;
	int wrong;
};

/* Read and write the worker's own piece; read a hole, and up to a hole. */
static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t at = F(0, PAGE - PIECE / 2) + w->id * PIECE;
	unsigned char buf[PIECE];
	enum flavour is = OLD;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		if (i % 3) {
			w->wrong += pread(w->fd, buf, PIECE, at) != PIECE;
			w->wrong += differs(buf, PIECE, at, is) != PIECE;
		} else {
			is = is == OLD ? NEW : OLD;
			fill(buf, PIECE, at, is);
			w->wrong += pwrite(w->fd, buf, PIECE, at) != PIECE;
		}
		w->wrong += errno_of(pread(w->fd, buf, 1, F(HOLE, w->id))) != EIO;
		w->wrong += pread(w->fd, buf, 50, F(3, PAGE - 10 - w->id)) != 10 + w->id;
	}
	return NULL;
}

TEST_F(target, threads_can_share_it_and_its_counters)
{
	unsigned long long r = 0, w = 0, f = 0;
	struct worker worker[THREADS];
	int fd = attach_all(self->pid, PVMREAD_WRITE);
	int i;

	ASSERT_LE(0, fd);
	for (i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ .fd = fd, .id = i };
		ASSERT_EQ(0, pthread_create(&worker[i].thread, NULL, work, &worker[i]));
	}
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(0, worker[i].wrong);
		w += (ROUNDS + 2) / 3 * PIECE;
		r += (ROUNDS - (ROUNDS + 2) / 3) * PIECE + ROUNDS * (10 + i);
		f += 2 * ROUNDS;
	}
	EXPECT_COUNTS(fd, r, w, f);
}

static void read_on(void)
{
	unsigned char buf[10];

	if (read(inherited, buf, 10) != 10 || differs(buf, 10, F(0, 110), OLD) != 10)
		broken("reading on after fork");
	if (pwrite(inherited, "!", 1, F(1, 0)) != 1)
		broken("writing after fork");
}

TEST_F(target, position_is_shared_after_dup_and_fork)
{
	int copy, fd = attach_all(self->pid, PVMREAD_WRITE);
	unsigned char buf[10], c;

	ASSERT_LE(0, fd);
	copy = dup(fd);
	ASSERT_LE(0, copy);
	ASSERT_TRUE(go_to(fd, F(0, 100)));
	EXPECT_EQ(10, read(copy, buf, 10));
	EXPECT_EQ(10, differs(buf, 10, F(0, 100), OLD));
	inherited = copy;
	EXPECT_EQ(0, run(read_on)) {
		TH_LOG("%s", board->trouble);
	}
	EXPECT_EQ(10, read(fd, buf, 10));
	EXPECT_EQ(10, differs(buf, 10, F(0, 120), OLD));
	ASSERT_TRUE(peek(self->pid, F(1, 0), &c, 1));
	EXPECT_EQ('!', c);
	close(fd);
	EXPECT_TRUE(reads(copy, OLD));
}

/* Read the parent's memory through an inherited file. */
static void read_parent(void)
{
	unsigned char *mine = (void *)F(0, 5);

	memset(mine, GARBAGE, 100);
	if (!reads(inherited, MINE))
		broken("the parent's memory");
	if (!is_all(mine, 100, GARBAGE))
		broken("the child's own memory");
}

TEST_F(target, inherited_file_still_reads_the_original_target)
{
	inherited = attach_all(getpid(), 0);
	ASSERT_LE(0, inherited);
	EXPECT_EQ(0, run(read_parent)) {
		TH_LOG("%s", board->trouble);
	}
	EXPECT_TRUE(reads(inherited, MINE));
}

/* Permission is checked only once. */
static void read_as_nobody(void)
{
	become(BOB);
	if (errno_of(attach_all(whom, 0)) != EPERM)
		broken("ATTACH");
	if (!reads(inherited, OLD))
		broken("reading after root was dropped");
	if (pwrite(inherited, "!", 1, F(1, 0)) != 1)
		broken("writing after root was dropped");
}

TEST_F(target, works_after_its_holder_drops_privileges)
{
	inherited = attach_all(self->pid, PVMREAD_WRITE);
	ASSERT_LE(0, inherited);
	whom = self->pid;
	EXPECT_EQ(0, run(read_as_nobody)) {
		TH_LOG("%s", board->trouble);
	}
}

static void be_target_that_rises(void)
{
	map_target_memory();
	if (setgroups(0, NULL) || setresgid(ALICE, ALICE, ALICE) ||
	    setresuid(ALICE, ALICE, 0) || prctl(PR_SET_DUMPABLE, 1))
		broken("changing the user");
	die_with_parent();
	if (seteuid(ALICE) || setresuid(ALICE, ALICE, ALICE) || prctl(PR_SET_DUMPABLE, 1))
		broken("changing the user");
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	die_with_parent();
	tell();
	await_order();
	if (prctl(PR_SET_DUMPABLE, 0))
		broken("PR_SET_DUMPABLE");
	tell();
	stay();
}

static void read_undumpable(void)
{
	int fd;

	become(ALICE);
	fd = attach_all(whom, 0);
	if (fd < 0 || !reads(fd, OLD))
		broken("ATTACH of the same user's process");
	if (write(orders_of_target, "u", 1) != 1 || !is_told())
		broken("an undumpable target");
	if (errno_of(attach_all(whom, 0)) != EPERM)
		broken("ATTACH of an undumpable process");
	if (!reads(fd, OLD))
		broken("reading a process that has become undumpable");
}

TEST_F(target, works_after_the_target_becomes_undumpable)
{
	whom = start_and_wait(be_target_that_rises);
	assert_started(_metadata, whom);
	orders_of_target = orders[1];
	EXPECT_EQ(0, run(read_undumpable)) {
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
	set_up(_metadata);
}

FIXTURE_TEARDOWN(module)
{
	end_children();
	/* The programs after this one need the module. */
	if (access(PVMREAD_DEVICE, F_OK))
		load("windows=1");
}

/* delete_module(2) fails with EWOULDBLOCK; the text of rmmod(8) varies. */
TEST_F(module, stays_while_a_target_file_is_open)
{
	int fd = attach_all(getpid(), PVMREAD_WRITE);
	int copy;

	ASSERT_LE(0, fd);
	EXPECT_EQ(EWOULDBLOCK, errno_of(unload(O_NONBLOCK)));
	/* Now only the target file holds the module. */
	ASSERT_EQ(0, close(dev));
	EXPECT_EQ(EWOULDBLOCK, errno_of(unload(O_NONBLOCK)));
	EXPECT_TRUE(reads(fd, MINE));
	copy = dup(fd);
	ASSERT_LE(0, copy);
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(EWOULDBLOCK, errno_of(unload(O_NONBLOCK)));
	EXPECT_TRUE(reads(copy, MINE));
	ASSERT_EQ(0, close(copy));
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load("windows=1"));
}

TEST_F(module, stays_while_a_file_of_an_exited_target_is_open)
{
	pid_t pid = start_and_wait(be_target);
	int fd;

	assert_started(_metadata, pid);
	fd = attach_all(pid, PVMREAD_WRITE);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, close(dev));
	EXPECT_TRUE(kill_and_reap(pid));
	EXPECT_EQ(EWOULDBLOCK, errno_of(unload(O_NONBLOCK)));
	EXPECT_GONE(fd);
	ASSERT_EQ(0, close(fd));
	/* io_uring's worker releases the file after it has completed the request. */
	EXPECT_TRUE(module_refs_become(0));
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load("windows=1"));
}

/* A file in flight between two processes is in no file table. */
TEST_F(module, stays_while_a_target_file_is_in_a_socket)
{
	int fd = attach_all(getpid(), 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, send_fd(sock[0], fd));
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, close(dev));
	EXPECT_EQ(EWOULDBLOCK, errno_of(unload(O_NONBLOCK)));
	fd = receive_fd(sock[1]);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(reads(fd, MINE));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load("windows=1"));
}

TEST_F(module, stays_while_a_ring_has_a_target_file)
{
	struct uring_request req = { .flags = IOSQE_FIXED_FILE, .data = 7 };
	struct io_uring *ring = the_ring();
	int fd = attach_all(getpid(), 0);

	ASSERT_NE(NULL, ring);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, io_uring_register_files(ring, &fd, 1));
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, close(dev));
	EXPECT_EQ(EWOULDBLOCK, errno_of(unload(O_NONBLOCK)));
	EXPECT_EQ(100, by_uring(&req, 0, LOCAL, 100, F(0, 0)));
	EXPECT_EQ(100, differs(LOCAL, 100, F(0, 0), MINE));
	io_uring_queue_exit(ring);
	EXPECT_TRUE(module_refs_become(0));
	EXPECT_EQ(0, unload(O_NONBLOCK));
	EXPECT_EQ(0, load("windows=1"));
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "--image"))
		main_of_image(argc, argv);
	return test_harness_run(argc, argv);
}
