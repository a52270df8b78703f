// SPDX-License-Identifier: GPL-2.0
/*
 * Wait: how long a request may take, and what it may do to its target.
 *
 * Three things make a request wait, and these tests cause each of them reliably:
 *
 *  - a page of the target that a userfaultfd does not serve
 *  - a page of a file whose file system does not answer: a FUSE server of the
 *    test's own that keeps the kernel's READs until it is told to answer them
 *  - the target's mmap_lock: mmap(2) of a FUSE file opened for direct I/O waits,
 *    under the lock, for the pages of that file to be read
 *
 * With PVMREAD_NOWAIT a request waits for none of them, nor for the teardown of an
 * exited target.
 *
 * With PVMREAD_RESIDENT the target must not even be affected. The tests check its page
 * tables, its counters in /proc, and our own count of page faults. The kernel counts the
 * page faults of a request as the reader's.
 *
 * To find a leaked page reference, the tests use F_SEAL_WRITE, which a memfd refuses
 * while a reference exists. The counters in /proc/vmstat show leaked pins.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 35
#include <fuse3/fuse_lowlevel.h>
#include <limits.h>
#include <linux/aio_abi.h>
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include <kselftest_harness.h>

#include "numbers.h"
#include "process.h"
#include "random.h"

/* These addresses are free in each process: above the program and its heap, below all else. */
#define LOCAL		((unsigned char *)0x50000000UL)	/* the caller's buffer */
#define LATE		0x60000000UL	/* the target's: pages that arrive late */
#define FILE_AT		0x62000000UL	/* a large file */
#define ANON_AT		0x68000000UL	/* anonymous memory */
#define HUGE_AT		0x70000000UL	/* huge pages */

#define FILE_PAGES	((64UL << 20) / PAGE)
#define ANON_PAGES	600UL
#define LOCAL_SIZE	(256 * PAGE)
#define FS_PAGES	64UL

/* A request that does not wait ends within AT_ONCE_MS. One that waits lasts over WAITING_MS. */
#define AT_ONCE_MS	250
#define AT_ONCE_TCG_MS	3000
#define WAITING_MS	300

#define PRESENT		0x8000000000000000ULL
#define PFN_MASK	((1ULL << 55) - 1)

/* Everything takes longer when QEMU emulates the CPU. */
static int at_once_ms(void)
{
	char text[4096] = "";
	int fd = open("/proc/cpuinfo", O_RDONLY);

	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strstr(text, "User Mode Linux") ? AT_ONCE_MS : AT_ONCE_TCG_MS;
}

/* --- Doors: every way to send a request --- */

enum kind {
	RW,		/* READV, WRITEV */
	ATTACHED,	/* pread(2), pwrite(2); the flags are the file's */
	IOCB,		/* preadv2(2), pwritev2(2) with RWF_NOWAIT */
	BATCH,		/* the flags are the batch's */
	BATCH_ATTACHED,	/* the flags are the file's */
};

static const struct door {
	const char *name;
	enum kind kind;
	bool write;
} doors[] = {
	{ "READV", RW, false },
	{ "WRITEV", RW, true },
	{ "pread", ATTACHED, false },
	{ "pwrite", ATTACHED, true },
	{ "BATCH", BATCH, false },
	{ "BATCH, written", BATCH, true },
	{ "preadv2 with RWF_NOWAIT", IOCB, false },
	{ "pwritev2 with RWF_NOWAIT", IOCB, true },
	{ "BATCH on a file with the flag", BATCH_ATTACHED, false },
	{ "BATCH on a file with the flag, written", BATCH_ATTACHED, true },
};

#define DOORS		ARRAY_SIZE(doors)
/* The doors that make sense without a flag. */
#define PLAIN_DOORS	6

static bool has_flags(const struct door *door, uint32_t flags)
{
	return door->kind == IOCB ? flags & PVMREAD_NOWAIT :
	       door->kind == BATCH_ATTACHED ? flags : true;
}

static const char *flag_names(uint32_t flags)
{
	static const char * const name[] = { "no flag", "NOWAIT", "RESIDENT", "NOWAIT|RESIDENT" };

	return name[flags / PVMREAD_NOWAIT];
}

/**
 * struct subject - a target
 * @pid: its pid
 * @file: target files of it, indexed by flags / PVMREAD_NOWAIT
 * @in: orders to it
 * @out: its answers
 */
struct subject {
	pid_t pid;
	int file[4];
	int in;
	int out;
};

/**
 * struct answer - the result of a request
 * @err: errno, 0 for success
 * @reason: why it ended, if the door tells: 0, EIO, EAGAIN ...
 * @moved: number of bytes moved
 * @stop_addr: where it ended, or 0 if the door does not tell
 * @ms: its time in milliseconds
 */
struct answer {
	int err;
	unsigned int reason;
	uint64_t moved;
	uint64_t stop_addr;
	long ms;
};

static int dev = -1;

static struct answer ask_rw(const struct door *door, const struct subject *who, uint32_t flags,
			    uintptr_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)addr, len };
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.flags = flags,
		.pid = who->pid,
		.local = (uintptr_t)&local,
		.local_count = 1,
		.remote = (uintptr_t)&remote,
		.remote_count = 1,
	};
	struct answer a = { 0 };

	if (ioctl(dev, door->write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &rw))
		a.err = errno;
	a.reason = rw.error;
	a.moved = rw.transferred;
	a.stop_addr = rw.stop_addr;
	return a;
}

static struct answer ask_file(const struct door *door, const struct subject *who, uint32_t flags,
			      uintptr_t addr, void *buf, size_t len)
{
	int fd = who->file[(door->kind == IOCB ? flags & ~PVMREAD_NOWAIT : flags) /
			   PVMREAD_NOWAIT];
	int rwf = door->kind == IOCB ? RWF_NOWAIT : 0;
	struct iovec iov = { buf, len };
	struct answer a = { 0 };
	ssize_t ret;

	if (door->write)
		ret = rwf ? pwritev2(fd, &iov, 1, addr, rwf) : pwrite(fd, buf, len, addr);
	else
		ret = rwf ? preadv2(fd, &iov, 1, addr, rwf) : pread(fd, buf, len, addr);
	if (ret < 0)
		a.err = errno;
	else
		a.moved = ret;
	a.reason = a.err;
	return a;
}

static struct answer ask_batch(const struct door *door, const struct subject *who, uint32_t flags,
			       uintptr_t addr, void *buf, size_t len)
{
	int fd = who->file[door->kind == BATCH_ATTACHED ? flags / PVMREAD_NOWAIT : 0];
	struct pvmread_segment seg = {
		.remote = addr,
		.local = (uintptr_t)buf,
		.length = len,
	};
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = (door->kind == BATCH ? flags : 0) | (door->write ? PVMREAD_WRITE : 0),
		.segments = (uintptr_t)&seg,
		.count = 1,
	};
	struct answer a = { 0 };

	if (ioctl(fd, PVMREAD_IOC_BATCH, &batch) || batch.completed != 1)
		a.err = errno;
	a.reason = seg.error;
	a.moved = seg.done;
	return a;
}

/* Move @len bytes between @buf and the target's memory at @addr. */
static struct answer ask(const struct door *door, const struct subject *who, uint32_t flags,
			 uintptr_t addr, void *buf, size_t len)
{
	long begin = now_ms();
	struct answer a;

	errno = 0;
	switch (door->kind) {
	case RW:
		a = ask_rw(door, who, flags, addr, buf, len);
		break;
	case ATTACHED:
	case IOCB:
		a = ask_file(door, who, flags, addr, buf, len);
		break;
	default:
		a = ask_batch(door, who, flags, addr, buf, len);
		break;
	}
	a.ms = now_ms() - begin;
	return a;
}

/* Is @a what pvmread.h documents for a request that moved @moved bytes and ended by @reason? */
static bool is_answer(const struct answer *a, const struct door *door, uint32_t flags,
		      uintptr_t addr, uint64_t moved, unsigned int reason)
{
	int err = 0;

	if (door->kind == RW) {
		err = reason && !moved ? EFAULT : 0;
	} else if (door->kind == ATTACHED || door->kind == IOCB) {
		/* A short count does not say why. */
		if (moved)
			reason = 0;
		err = reason;
	}
	if (a->err == err && a->reason == reason && a->moved == moved &&
	    (door->kind != RW || a->stop_addr == addr + moved))
		return true;
	say("%s, %s, at %#lx: errno %d reason %u moved %llu stop_addr %#llx; wanted %d, %u, %llu",
	    door->name, flag_names(flags), (unsigned long)addr, a->err, a->reason,
	    (unsigned long long)a->moved, (unsigned long long)a->stop_addr, err, reason,
	    (unsigned long long)moved);
	return false;
}

/* --- Memory shared by the processes of a test --- */

/* A request that another process sends. */
struct slot {
	int begun;
	int done;
	struct answer answer;
	unsigned char buf[2 * PAGE];
};

/**
 * struct board - memory that all processes of a test share
 * @trouble: why a child gave up
 * @uffd: a child's userfaultfd, a number in its own file table
 * @fs_reads: number of READs that the file system has received
 * @fs_writes: number of WRITEs that it has received; it does not answer them
 * @fs_direct: it opens files for direct I/O
 * @returned: the target's mmap(2) has returned, or its child exists
 * @rounds: number of times that the target has mapped and unmapped memory
 * @slot: one for each reader
 */
struct board {
	char trouble[200];
	int uffd;
	int fs_reads;
	int fs_writes;
	int fs_direct;
	int returned;
	unsigned long rounds;
	struct slot slot[DOORS];
};

static struct board *board;

static __attribute__((noreturn)) void broken(const char *what)
{
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what, strerror(errno));
	_exit(2);
}

static bool wait_for(int *flag, int limit)
{
	long end = now_ms() + limit;

	while (!get(flag) && now_ms() < end)
		usleep(1000);
	return get(flag);
}

static unsigned char *map(uintptr_t at, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = mmap((void *)at, len, prot, flags | MAP_FIXED_NOREPLACE, fd, off);

	if (p != (void *)at)
		broken("mmap");
	return p;
}

/* --- The file system --- */

#define FS_NAME		"slow"
#define FS_INO		2
#define MAX_HELD	64
/* Orders to the server: answer only the held requests, or also all later ones. */
#define FS_ONCE		'1'
#define FS_ALWAYS	'a'

static char dir[40];
static pid_t fs_pid;
static int fs_wake[2];
static bool fs_answers;
static int fs_count;
static struct {
	fuse_req_t req;
	size_t size;
	off_t off;
} fs_held[MAX_HELD];

/* The first byte of each page is unique and not 0. */
static unsigned char fs_byte(size_t i)
{
	return 1 + i / PAGE % 64 + i % 7;
}

static void fs_stat(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = ino == FS_INO ? S_IFREG | 0600 : S_IFDIR | 0700;
	st->st_nlink = 1;
	st->st_size = ino == FS_INO ? FS_PAGES * PAGE : 0;
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {
		.ino = FS_INO,
		.attr_timeout = 1e6,
		.entry_timeout = 1e6,
	};

	if (parent != FUSE_ROOT_ID || strcmp(name, FS_NAME)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fs_stat(FS_INO, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	fs_stat(ino, &st);
	fuse_reply_attr(req, &st, 1e6);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = get(&board->fs_direct);
	/* Otherwise the second open would wait for the pages that the first one reads. */
	fi->keep_cache = 1;
	/* Otherwise close() would wait for a WRITE. */
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void fs_answer_held(void)
{
	static char buf[FS_PAGES * PAGE];
	size_t i, n;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = fs_byte(i);
	while (fs_count) {
		fs_count--;
		n = sizeof(buf) - fs_held[fs_count].off;
		if (fs_held[fs_count].size < n)
			n = fs_held[fs_count].size;
		fuse_reply_buf(fs_held[fs_count].req, buf + fs_held[fs_count].off, n);
	}
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	if (fs_count == MAX_HELD || off < 0 || (size_t)off > FS_PAGES * PAGE) {
		fuse_reply_err(req, EIO);
		return;
	}
	fs_held[fs_count].req = req;
	fs_held[fs_count].size = size;
	fs_held[fs_count].off = off;
	fs_count++;
	__atomic_add_fetch(&board->fs_reads, 1, __ATOMIC_RELEASE);
	if (fs_answers)
		fs_answer_held();
}

static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)req;
	(void)ino;
	(void)buf;
	(void)size;
	(void)off;
	(void)fi;
	__atomic_add_fetch(&board->fs_writes, 1, __ATOMIC_RELEASE);
}

static const struct fuse_lowlevel_ops fs_ops = {
	.lookup = fs_lookup,
	.getattr = fs_getattr,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
};

/* The server. If it dies, all requests that it holds fail. */
static void be_file_system(int ready)
{
	char name[] = "wait", *argv[] = { name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *se;
	struct fuse_buf buf = { 0 };
	struct pollfd pfd[2];
	int got;
	char c;

	die_with_parent();
	se = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), NULL);
	if (!se || fuse_session_mount(se, dir))
		broken("mounting a FUSE file system");
	if (write(ready, "r", 1) != 1)
		broken("telling the tester");
	/* Do not block in read(2): a killed caller may withdraw the request after poll(2). */
	if (fcntl(fuse_session_fd(se), F_SETFL, O_NONBLOCK))
		broken("O_NONBLOCK on the FUSE session");
	pfd[0] = (struct pollfd){ .fd = fuse_session_fd(se), .events = POLLIN };
	pfd[1] = (struct pollfd){ .fd = fs_wake[0], .events = POLLIN };
	while (poll(pfd, 2, -1) > 0 && !fuse_session_exited(se)) {
		if (pfd[1].revents && read(fs_wake[0], &c, 1) == 1) {
			fs_answers = c == FS_ALWAYS;
			fs_answer_held();
		}
		if (!pfd[0].revents)
			continue;
		got = fuse_session_receive_buf(se, &buf);
		if (got == -EINTR || got == -EAGAIN)
			continue;
		if (got <= 0)
			break;
		fuse_session_process_buf(se, &buf);
	}
	_exit(0);
}

/*
 * A FUSE file system has a strict limit of dirty pages by default. A process that writes to shared
 * pages may have to wait until some are written back, and this server never answers a WRITE.
 */
static bool lift_dirty_limit(void)
{
	char path[64];
	struct stat st;

	if (stat(dir, &st))
		return false;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/strict_limit", major(st.st_dev),
		 minor(st.st_dev));
	return !set_number(path, 0);
}

/* Return: true once it is mounted on @dir and ready. */
static bool start_file_system(void)
{
	int ready[2];
	char c;

	/* A private mount namespace: the mount ends with this process. */
	snprintf(dir, sizeof(dir), "/tmp/pvmread-wait.XXXXXX");
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    pipe2(ready, O_CLOEXEC) || pipe2(fs_wake, O_CLOEXEC) || !mkdtemp(dir))
		return false;
	fs_pid = fork();
	if (!fs_pid) {
		close(ready[0]);
		be_file_system(ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		return false;
	close(ready[0]);
	return lift_dirty_limit();
}

static void stop_file_system(void)
{
	int status;

	if (fs_pid > 0) {
		/* Before the unmount, which waits for pages that are being read. */
		kill(fs_pid, SIGKILL);
		waitpid(fs_pid, &status, 0);
		umount2(dir, MNT_DETACH);
	}
	fs_pid = 0;
	if (dir[0])
		rmdir(dir);
}

static void let_file_system_answer(char how)
{
	(void)!write(fs_wake[1], &how, 1);
}

static int open_fs_file(int flags)
{
	char path[sizeof(dir) + 8];

	snprintf(path, sizeof(path), "%s/" FS_NAME, dir);
	return open(path, O_RDONLY | O_CLOEXEC | flags);
}

/* --- The target --- */

struct order {
	long (*what)(unsigned long arg);
	unsigned long arg;
};

static struct subject target;

static void be_target(void (*build)(void), int in, int out)
{
	struct order order;
	long ret = 0;

	die_with_parent();
	/* One touch would make a whole huge page present. */
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		broken("PR_SET_THP_DISABLE");
	build();
	do {
		if (write(out, &ret, sizeof(ret)) != sizeof(ret) ||
		    read(in, &order, sizeof(order)) != sizeof(order))
			break;
		ret = order.what(order.arg);
	} while (true);
	_exit(0);
}

/* Send an order to the target, without waiting for the result. */
static bool give_order(long (*what)(unsigned long arg), unsigned long arg)
{
	struct order order = { what, arg };

	return write(target.in, &order, sizeof(order)) == sizeof(order);
}

/* Return: the result of an order, or LONG_MIN if that takes too long. */
static long get_result(int limit)
{
	struct pollfd pfd = { .fd = target.out, .events = POLLIN };
	long ret;

	if (poll(&pfd, 1, limit) != 1 || read(target.out, &ret, sizeof(ret)) != sizeof(ret))
		return LONG_MIN;
	return ret;
}

static long order(long (*what)(unsigned long arg), unsigned long arg)
{
	return give_order(what, arg) ? get_result(PATIENCE_MS) : LONG_MIN;
}

static bool attach_all(struct subject *who)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(who->file); i++) {
		who->file[i] = attach(dev, who->pid, PVMREAD_WRITE | i * PVMREAD_NOWAIT, 0, 0);
		if (who->file[i] < 0)
			return false;
	}
	return true;
}

static void detach_all(struct subject *who)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(who->file); i++)
		close(who->file[i]);
}

static bool start_target(void (*build)(void))
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return false;
	target.pid = fork();
	if (!target.pid) {
		close(in[1]);
		close(out[0]);
		be_target(build, in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	target.in = in[1];
	target.out = out[0];
	return target.pid > 0 && !get_result(PATIENCE_MS) && attach_all(&target);
}

static void stop_target(void)
{
	int status;

	if (target.pid > 0) {
		kill(target.pid, SIGKILL);
		reap_in(target.pid, PATIENCE_MS, &status);
		detach_all(&target);
		close(target.in);
		close(target.out);
	}
	target.pid = 0;
}

static long read_byte(unsigned long at)
{
	return __atomic_load_n((unsigned char *)at, __ATOMIC_RELAXED);
}

static long write_byte(unsigned long at)
{
	__atomic_store_n((unsigned char *)at, 0x77, __ATOMIC_RELAXED);
	return 0;
}

/* Read the target's memory through another path. */
static bool peek(uintptr_t at, void *to, size_t len)
{
	struct iovec local = { to, len }, remote = { (void *)at, len };

	return process_vm_readv(target.pid, &local, 1, &remote, 1, 0) == (ssize_t)len;
}

/* Entries of a process's page tables. */
static bool look_at_pages(pid_t pid, uintptr_t at, size_t n, uint64_t *entry)
{
	char path[40];
	bool good;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	good = pread(fd, entry, n * 8, at / PAGE * 8) == (ssize_t)(n * 8);
	close(fd);
	return good;
}

static uint64_t page_entry(pid_t pid, uintptr_t at)
{
	uint64_t entry = 0;

	look_at_pages(pid, at, 1, &entry);
	return entry;
}

/* --- Leaks --- */

static long pins_before;
static int sealable = -1;

/*
 * Call this after all requests have ended. F_SEAL_WRITE waits some time until
 * references are dropped, and fails with EBUSY if they are not.
 */
static void expect_nothing_held(struct __test_metadata *_metadata)
{
	EXPECT_EQ(pins_before, pins_held());
	if (sealable < 0)
		return;
	EXPECT_EQ(0, fcntl(sealable, F_ADD_SEALS, F_SEAL_WRITE)) {
		TH_LOG("a page reference was not dropped: %s", strerror(errno));
	}
}

/* --- Late pages --- */

static int fs_fd = -1;
static unsigned char page_of_bytes[PAGE];

/*
 * Each door has a present page of the sealable file, followed by a missing page. A page to
 * write to must already be the target's private copy, because RESIDENT needs that.
 */
static uintptr_t spot(size_t door)
{
	return LATE + door * 2 * PAGE;
}

static unsigned char early_byte(size_t i)
{
	return 0x80 + i / PAGE % 32 + i % 11;
}

static bool make_sealable(void)
{
	size_t i, j;

	sealable = memfd_create("sealable", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	for (i = 0; i < DOORS; i++) {
		for (j = 0; j < PAGE; j++)
			page_of_bytes[j] = early_byte(i * PAGE + j);
		if (write(sealable, page_of_bytes, PAGE) != (ssize_t)PAGE)
			return false;
	}
	return true;
}

static void build_early_pages(void)
{
	unsigned char *page;
	size_t i;

	for (i = 0; i < DOORS; i++) {
		page = map(spot(i), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, sealable, i * PAGE);
		if (doors[i].write)
			page[0] = early_byte(i * PAGE);
		else
			read_byte((uintptr_t)page);
	}
}

static void leave_to_nobody(uintptr_t page)
{
	struct uffdio_register reg = {
		.range = { .start = page, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(board->uffd, UFFDIO_REGISTER, &reg))
		broken("UFFDIO_REGISTER");
}

static void build_on_userfaultfd(void)
{
	size_t i;

	build_early_pages();
	board->uffd = open_uffd();
	if (board->uffd < 0)
		broken("userfaultfd");
	for (i = 0; i < DOORS; i++) {
		map(spot(i) + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
		leave_to_nobody(spot(i) + PAGE);
	}
}

static void build_on_file_system(void)
{
	size_t i;

	build_early_pages();
	for (i = 0; i < DOORS; i++)
		map(spot(i) + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fs_fd, i * PAGE);
}

/* Serve all the missing pages of the target. */
static bool serve_all(bool file_system)
{
	size_t i, j;
	int uffd;

	if (file_system) {
		let_file_system_answer(FS_ALWAYS);
		return true;
	}
	uffd = take_fd(target.pid, get(&board->uffd));
	for (i = 0; i < DOORS; i++) {
		for (j = 0; j < PAGE; j++)
			page_of_bytes[j] = fs_byte(i * PAGE + j);
		if (!serve_page(uffd, spot(i) + PAGE, page_of_bytes))
			return false;
	}
	close(uffd);
	return true;
}

static unsigned char own_byte(size_t i)
{
	return 0x20 + i % 13;
}

static bool is_filled(const unsigned char *at, size_t len, unsigned char (*byte)(size_t),
		      size_t first)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (at[i] == byte(first + i))
			continue;
		say("byte %zu is %02x, not %02x", i, at[i], byte(first + i));
		return false;
	}
	return true;
}

static void fill(unsigned char *to, size_t len, unsigned char (*byte)(size_t))
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = byte(i);
}

static void setup(struct __test_metadata *_metadata)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ASSERT_NE(MAP_FAILED, board);
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	ASSERT_EQ(LOCAL, mmap(LOCAL, LOCAL_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1,
			      0));
	pins_before = pins_held();
}

static void teardown(void)
{
	/* Stop the server first: a target that waits for it cannot be killed. */
	stop_file_system();
	stop_target();
	if (sealable >= 0)
		close(sealable);
	close(dev);
}

static bool have_fuse(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static void assert_started(struct __test_metadata *_metadata, bool started)
{
	ASSERT_TRUE(started) {
		TH_LOG("%s", board->trouble);
	}
}

FIXTURE(wait) {
};

FIXTURE_VARIANT(wait) {
	bool file_system;
};

FIXTURE_VARIANT_ADD(wait, userfaultfd) {
	.file_system = false,
};

FIXTURE_VARIANT_ADD(wait, file_system) {
	.file_system = true,
};

FIXTURE_SETUP(wait)
{
	if (!variant->file_system && !have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	if (variant->file_system && !have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	setup(_metadata);
	ASSERT_TRUE(make_sealable());
	if (variant->file_system) {
		assert_started(_metadata, start_file_system());
		fs_fd = open_fs_file(0);
		ASSERT_LE(0, fs_fd);
		assert_started(_metadata, start_target(build_on_file_system));
	} else {
		assert_started(_metadata, start_target(build_on_userfaultfd));
	}
}

FIXTURE_TEARDOWN(wait)
{
	teardown();
}

/* Send requests through each door: inside the missing page, and across its start. */
static long expect_at_once(struct __test_metadata *_metadata, uint32_t flags)
{
	/* RESIDENT does not distinguish why a page is missing. */
	unsigned int reason = flags & PVMREAD_RESIDENT ? EIO : EAGAIN;
	int limit = at_once_ms();
	unsigned char buf[200];
	struct answer a, b;
	long worst = 0;
	size_t i, tries;

	for (i = 0; i < DOORS; i++) {
		uintptr_t late = spot(i) + PAGE;

		if (!has_flags(&doors[i], flags))
			continue;
		/* The machine may be busy: take the fastest of three. */
		for (tries = 0; tries < 3; tries++) {
			fill(buf, sizeof(buf), own_byte);
			a = ask(&doors[i], &target, flags, late, buf, 100);
			ASSERT_TRUE(is_answer(&a, &doors[i], flags, late, 0, reason));
			b = ask(&doors[i], &target, flags, late - 96, buf, 200);
			ASSERT_TRUE(is_answer(&b, &doors[i], flags, late - 96, 96, reason));
			if (a.ms < limit && b.ms < limit)
				break;
		}
		EXPECT_NE(3, tries) {
			TH_LOG("%s: %ld and %ld ms", doors[i].name, a.ms, b.ms);
		}
		worst = a.ms > worst ? a.ms : worst;
		worst = b.ms > worst ? b.ms : worst;
		/* Only the present part was moved. */
		if (doors[i].write) {
			ASSERT_TRUE(peek(late - 96, buf, 96));
			EXPECT_TRUE(is_filled(buf, 96, own_byte, 0));
		} else {
			EXPECT_TRUE(is_filled(buf, 96, early_byte, (i + 1) * PAGE - 96));
			EXPECT_TRUE(is_filled(buf + 96, 104, own_byte, 96));
		}
	}
	return worst;
}

static long advise_random(unsigned long unused)
{
	size_t i;

	(void)unused;
	for (i = 0; i < DOORS; i++)
		if (madvise((void *)(spot(i) + PAGE), PAGE, MADV_RANDOM))
			return -1;
	return 0;
}

TEST_F(wait, nowait_and_resident_return_at_once)
{
	uint32_t flags;

	for (flags = PVMREAD_NOWAIT; flags <= (PVMREAD_NOWAIT | PVMREAD_RESIDENT);
	     flags += PVMREAD_NOWAIT)
		say("%s: %ld ms at most", flag_names(flags),
		    expect_at_once(_metadata, flags));
	expect_nothing_held(_metadata);
}

/* Without readahead a fault handler reads a page itself, despite FOLL_NOWAIT. */
TEST_F(wait, nowait_also_returns_at_once_without_readahead)
{
	ASSERT_EQ(0, order(advise_random, 0));
	say("NOWAIT: %ld ms at most", expect_at_once(_metadata, PVMREAD_NOWAIT));
	expect_nothing_held(_metadata);
}

TEST_F(wait, resident_never_requests_a_page)
{
	unsigned char buf[100];
	struct pollfd pfd = { .fd = -1, .events = POLLIN };
	uint32_t flags;
	struct answer a;
	size_t i;

	if (!variant->file_system)
		pfd.fd = take_fd(target.pid, get(&board->uffd));
	for (flags = PVMREAD_RESIDENT; flags <= (PVMREAD_NOWAIT | PVMREAD_RESIDENT);
	     flags += PVMREAD_NOWAIT) {
		for (i = 0; i < DOORS; i++) {
			if (!has_flags(&doors[i], flags))
				continue;
			a = ask(&doors[i], &target, flags, spot(i) + PAGE, buf, 100);
			EXPECT_TRUE(is_answer(&a, &doors[i], flags, spot(i) + PAGE, 0, EIO));
		}
	}
	/* Long enough for a server to be scheduled. */
	EXPECT_EQ(0, poll(&pfd, 1, 100));
	EXPECT_EQ(0, get(&board->fs_reads));
	close(pfd.fd);
}

static pid_t start_reader(size_t i, uint32_t flags, uintptr_t addr, void *buf, size_t len)
{
	struct slot *slot = &board->slot[i];
	pid_t pid;

	set(&slot->begun, 0);
	set(&slot->done, 0);
	pid = fork();
	if (pid)
		return pid;
	die_with_parent();
	set(&slot->begun, 1);
	slot->answer = ask(&doors[i], &target, flags, addr, buf, len);
	set(&slot->done, 1);
	_exit(0);
}

/* Start a request through each plain door, across the end of the present page. */
static void start_waiting(struct __test_metadata *_metadata, pid_t *reader)
{
	size_t i;

	for (i = 0; i < PLAIN_DOORS; i++) {
		fill(board->slot[i].buf, 200, own_byte);
		reader[i] = start_reader(i, 0, spot(i) + PAGE - 96, board->slot[i].buf, 200);
		ASSERT_LT(0, reader[i]);
	}
	for (i = 0; i < PLAIN_DOORS; i++)
		ASSERT_TRUE(wait_for(&board->slot[i].begun, PATIENCE_MS));
	usleep(WAITING_MS * 1000);
	for (i = 0; i < PLAIN_DOORS; i++) {
		EXPECT_EQ(0, get(&board->slot[i].done)) {
			TH_LOG("%s did not wait", doors[i].name);
		}
	}
}

static void kill_reader(struct __test_metadata *_metadata, size_t i, pid_t pid, long *worst)
{
	int status = 0;
	long ms;

	ASSERT_EQ(0, get(&board->slot[i].done));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ms = reap_in(pid, LEAVE_MS, &status);
	ASSERT_LE(0, ms) {
		TH_LOG("%s is still there after %d ms", doors[i].name, LEAVE_MS);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, get(&board->slot[i].done));
	if (ms > *worst)
		*worst = ms;
}

TEST_F(wait, wait_without_flags_ends_on_sigkill)
{
	pid_t reader[PLAIN_DOORS];
	long worst = 0;
	size_t i;

	start_waiting(_metadata, reader);
	for (i = 0; i < PLAIN_DOORS; i++)
		kill_reader(_metadata, i, reader[i], &worst);
	say("killed readers left after %ld ms at most", worst);
	expect_nothing_held(_metadata);
}

TEST_F(wait, wait_without_flags_ends_when_the_page_arrives)
{
	unsigned char buf[200];
	pid_t reader[PLAIN_DOORS];
	int status;
	size_t i;

	start_waiting(_metadata, reader);
	ASSERT_TRUE(serve_all(variant->file_system));
	for (i = 0; i < PLAIN_DOORS; i++) {
		struct slot *slot = &board->slot[i];

		ASSERT_LE(0, reap_in(reader[i], PATIENCE_MS, &status));
		EXPECT_EQ(0, status);
		ASSERT_EQ(1, get(&slot->done));
		EXPECT_TRUE(is_answer(&slot->answer, &doors[i], 0, spot(i) + PAGE - 96, 200, 0));
		if (doors[i].write) {
			ASSERT_TRUE(peek(spot(i) + PAGE - 96, buf, 200));
			EXPECT_TRUE(is_filled(buf, 200, own_byte, 0));
		} else {
			EXPECT_TRUE(is_filled(slot->buf, 96, early_byte, (i + 1) * PAGE - 96));
			EXPECT_TRUE(is_filled(slot->buf + 96, 104, fs_byte, i * PAGE));
		}
	}
	expect_nothing_held(_metadata);
}

/*
 * A page of a FUSE file must be mapped with the permission that the request needs. The
 * FUSE server may at any time drop a page that is cached but not mapped.
 */
TEST_F(wait, nowait_gets_the_page_after_it_arrives)
{
	unsigned char buf[100];
	struct answer a;
	size_t i;

	ASSERT_TRUE(serve_all(variant->file_system));
	for (i = 0; variant->file_system && i < DOORS; i++)
		ASSERT_EQ(1, pread(fs_fd, buf, 1, i * PAGE));
	for (i = 0; i < DOORS; i++) {
		if (variant->file_system) {
			ASSERT_FALSE(page_entry(target.pid, spot(i) + PAGE) & PRESENT);
			a = ask(&doors[i], &target, PVMREAD_NOWAIT, spot(i) + PAGE, buf, 100);
			EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, spot(i) + PAGE, 0,
					      EAGAIN));
			ASSERT_TRUE(peek(spot(i) + PAGE, buf, 100));
		}
		fill(buf, sizeof(buf), own_byte);
		a = ask(&doors[i], &target, PVMREAD_NOWAIT, spot(i) + PAGE, buf, 100);
		/* A write must first copy the file's page for the private mapping. */
		if (variant->file_system && doors[i].write) {
			EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, spot(i) + PAGE, 0,
					      EAGAIN));
			continue;
		}
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, spot(i) + PAGE, 100, 0));
		if (doors[i].write)
			ASSERT_TRUE(peek(spot(i) + PAGE, buf, 100));
		EXPECT_TRUE(is_filled(buf, 100, doors[i].write ? own_byte : fs_byte,
				      doors[i].write ? 0 : i * PAGE));
	}
	expect_nothing_held(_metadata);
}

/* --- The lock, and the teardown of an exited target --- */

FIXTURE(target) {
	char before[2000];
	char after[2000];
	uint64_t entry[FILE_PAGES];
	uint64_t entry_after[FILE_PAGES];
	struct pvmread_segment seg[FILE_PAGES];
};

FIXTURE_SETUP(target)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(target)
{
	teardown();
}

static int direct_fd = -1;

static void build_pages_and_file(void)
{
	unsigned char *page;

	page = map(ANON_AT, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(page, 4 * PAGE, early_byte);
	map(LATE, PAGE, PROT_READ, MAP_PRIVATE, fs_fd, 0);
}

static long map_direct(unsigned long at)
{
	void *p = mmap((void *)at, PAGE, PROT_READ, MAP_PRIVATE, direct_fd, 0);

	set(&board->returned, 1);
	return p == MAP_FAILED ? errno : 0;
}

static char process_state(pid_t pid)
{
	char path[40], text[512] = "", *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	(void)!read(fd, text, sizeof(text) - 1);
	close(fd);
	p = strrchr(text, ')');
	return p && p[1] ? p[2] : 0;
}

/* Make the target wait in mmap(2), with its lock held. */
static void have_lock_held(struct __test_metadata *_metadata)
{
	long end = now_ms() + PATIENCE_MS, unused = 0;
	pid_t reader;

	/* mmap(2) will wait for this page, because the server does not answer the READ of it. */
	reader = start_reader(0, 0, LATE, board->slot[0].buf, 1);
	ASSERT_LT(0, reader);
	ASSERT_TRUE(wait_for(&board->fs_reads, PATIENCE_MS));
	kill_reader(_metadata, 0, reader, &unused);
	ASSERT_TRUE(give_order(map_direct, 0));
	while (process_state(target.pid) != 'D') {
		ASSERT_EQ(0, get(&board->returned));
		ASSERT_LT(now_ms(), end);
		usleep(1000);
	}
}

TEST_F(target, nowait_does_not_wait_for_the_mmap_lock)
{
	const uint32_t both = PVMREAD_NOWAIT | PVMREAD_RESIDENT;
	pid_t reader[PLAIN_DOORS];
	int limit = at_once_ms();
	long worst = 0;
	struct answer a;
	uint32_t flags;
	int status;
	size_t i, tries;

	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	assert_started(_metadata, start_file_system());
	fs_fd = open_fs_file(0);
	set(&board->fs_direct, 1);
	direct_fd = open_fs_file(0);
	ASSERT_LE(0, fs_fd);
	ASSERT_LE(0, direct_fd);
	assert_started(_metadata, start_target(build_pages_and_file));
	have_lock_held(_metadata);

	for (flags = PVMREAD_NOWAIT; flags <= both; flags += PVMREAD_RESIDENT) {
		for (i = 0; i < DOORS; i++) {
			for (tries = 0; tries < 3; tries++) {
				a = ask(&doors[i], &target, flags, ANON_AT, LOCAL, 100);
				ASSERT_TRUE(is_answer(&a, &doors[i], flags, ANON_AT, 0, EAGAIN));
				if (a.ms < limit)
					break;
			}
			EXPECT_NE(3, tries) {
				TH_LOG("%s: %ld ms", doors[i].name, a.ms);
			}
			worst = a.ms > worst ? a.ms : worst;
		}
	}
	say("NOWAIT: %ld ms at most", worst);

	/* A request without NOWAIT waits for the lock, killably, even with RESIDENT. */
	worst = 0;
	for (flags = 0; flags <= PVMREAD_RESIDENT; flags += PVMREAD_RESIDENT) {
		for (i = 0; i < PLAIN_DOORS; i++) {
			reader[i] = start_reader(i, flags, ANON_AT, board->slot[i].buf, 100);
			ASSERT_TRUE(wait_for(&board->slot[i].begun, PATIENCE_MS));
		}
		usleep(WAITING_MS * 1000);
		for (i = 0; i < PLAIN_DOORS; i++)
			kill_reader(_metadata, i, reader[i], &worst);
	}
	say("killed readers left after %ld ms at most", worst);

	/* The requests get the lock when the target drops it. */
	for (i = 0; i < PLAIN_DOORS; i++) {
		fill(board->slot[i].buf, 100, own_byte);
		reader[i] = start_reader(i, doors[i].write ? 0 : PVMREAD_RESIDENT,
					 ANON_AT + (doors[i].write ? PAGE : 0),
					 board->slot[i].buf, 100);
		ASSERT_TRUE(wait_for(&board->slot[i].begun, PATIENCE_MS));
	}
	ASSERT_EQ(0, get(&board->returned));
	let_file_system_answer(FS_ALWAYS);
	EXPECT_EQ(0, get_result(PATIENCE_MS));
	for (i = 0; i < PLAIN_DOORS; i++) {
		ASSERT_LE(0, reap_in(reader[i], PATIENCE_MS, &status));
		EXPECT_EQ(100, board->slot[i].answer.moved);
		if (!doors[i].write)
			EXPECT_TRUE(is_filled(board->slot[i].buf, 100, early_byte, 0));
	}
	expect_nothing_held(_metadata);
}

#define COMMAND "/usr/bin/pvmread"

/* Return: the exit status of the command, or -1 if it has not ended. */
static int run_command(const char *const *args, const char *pid)
{
	const char *argv[8] = { COMMAND, args[0], "--nowait", pid };
	int status, null;
	pid_t child;
	size_t i;

	for (i = 1; args[i]; i++)
		argv[i + 3] = args[i];
	child = fork();
	if (!child) {
		die_with_parent();
		null = open("/dev/null", O_WRONLY);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execv(COMMAND, (char *const *)argv);
		_exit(127);
	}
	if (child < 0)
		return -1;
	if (reap_in(child, PATIENCE_MS, &status) < 0) {
		kill(child, SIGKILL);
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * Newer kernels list mappings under RCU, if they are built with CONFIG_PER_VMA_LOCK.
 * Return: true if this kernel lists the target's mappings although its mmap_lock is held.
 */
static bool lists_mappings_without_lock(void)
{
	char path[32], text[4096];
	int status, fd;
	pid_t child;
	bool ended;

	snprintf(path, sizeof(path), "/proc/%d/maps", target.pid);
	child = fork();
	if (!child) {
		die_with_parent();
		fd = open(path, O_RDONLY);
		_exit(fd < 0 || read(fd, text, sizeof(text)) <= 0);
	}
	if (child < 0)
		return false;
	ended = reap_in(child, at_once_ms(), &status) >= 0;
	if (!ended) {
		kill(child, SIGKILL);
		reap(child, PATIENCE_MS);
	}
	return ended && !status;
}

TEST_F(target, command_with_nowait_does_not_wait_for_mmap_lock)
{
	static const struct {
		const char *args[4];
		int status;
		int if_listed;	/* if the kernel lists the mappings without the lock */
	} runs[] = {
		/* The module says that it would have to wait. */
		{ { "read", "0x68000000", "16" }, 1, 1 },
		{ { "watch", "0x68000000", "16" }, 1, 1 },
		/*
		 * The command gives up reading the mappings in /proc. If the kernel lists them, it
		 * cannot read any memory without waiting.
		 */
		{ { "read", "[heap]", "16" }, 2, 1 },
		{ { "maps" }, 2, 0 },
		{ { "scan", "x" }, 2, 2 },
		{ { "strings" }, 2, 2 },
		{ { "dump", "-o/tmp/pvmread-core" }, 2, 2 },
	};
	int status;
	bool listed;
	char pid[16];
	size_t i;

	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	if (access(COMMAND, X_OK))
		SKIP(return, "no " COMMAND " here");
	assert_started(_metadata, start_file_system());
	fs_fd = open_fs_file(0);
	set(&board->fs_direct, 1);
	direct_fd = open_fs_file(0);
	ASSERT_LE(0, fs_fd);
	ASSERT_LE(0, direct_fd);
	assert_started(_metadata, start_target(build_pages_and_file));
	have_lock_held(_metadata);
	listed = lists_mappings_without_lock();
	snprintf(pid, sizeof(pid), "%d", target.pid);
	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		status = listed ? runs[i].if_listed : runs[i].status;
		EXPECT_EQ(status, run_command(runs[i].args, pid)) {
			TH_LOG("%s %s", runs[i].args[0], runs[i].args[1] ?: "");
		}
	}
}

/* Every mmap() and munmap() takes the lock for writing. @arg is how much to map. */
static void *hammer(void *arg)
{
	size_t len = (uintptr_t)arg;

	for (;;) {
		void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		munmap(p, len);
		__atomic_fetch_add(&board->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static long start_hammer(unsigned long len)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, hammer, (void *)len);
}

static void build_pages(void)
{
	unsigned char *page;

	page = map(ANON_AT, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(page, 4 * PAGE, early_byte);
}

/* Return: the size of @pages pages, or what the module moves under one hold of the mmap_lock. */
static size_t in_one_hold(size_t pages)
{
	size_t len = pages * PAGE, most = 0x10000;	/* PVMREAD_ENGINE_CHUNK */

	return len < most ? len : most;
}

TEST_F(target, contended_mmap_lock_gives_data_or_eagain)
{
	size_t data = 0, again = 0, len = in_one_hold(3), i;
	const struct door *door;
	struct answer a;
	long end;

	assert_started(_metadata, start_target(build_pages));
	ASSERT_EQ(0, order(start_hammer, 64 * PAGE));
	end = now_ms() + 1000;
	for (i = 0; now_ms() < end || !data; i++) {
		door = &doors[i % DOORS];
		if (door->write)
			continue;
		memset(LOCAL, 0, len);
		a = ask(door, &target, PVMREAD_NOWAIT, ANON_AT, LOCAL, len);
		if (a.moved == len) {
			data++;
			ASSERT_EQ(0, a.err);
			ASSERT_TRUE(is_filled(LOCAL, len, early_byte, 0));
			continue;
		}
		/* Without the mmap_lock no byte moves, and one hold of it is enough for all. */
		again++;
		ASSERT_TRUE(is_answer(&a, door, PVMREAD_NOWAIT, ANON_AT, 0, EAGAIN));
	}
	say("%zu times data, %zu times EAGAIN", data, again);
}

static void build_many_pages(void)
{
	map(ANON_AT, LOCAL_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

/* How often a second the target maps and unmaps a page during requests. @door NULL: syscalls. */
static double hammer_rate(struct __test_metadata *_metadata, const struct door *door)
{
	struct iovec local = { LOCAL, LOCAL_SIZE }, remote = { (void *)ANON_AT, LOCAL_SIZE };
	unsigned long before = __atomic_load_n(&board->rounds, __ATOMIC_RELAXED);
	long begin = now_ms(), took;
	struct answer a;

	do {
		if (!door) {
			ASSERT_EQ((ssize_t)LOCAL_SIZE,
				  process_vm_readv(target.pid, &local, 1, &remote, 1, 0));
		} else {
			a = ask(door, &target, 0, ANON_AT, LOCAL, LOCAL_SIZE);
			ASSERT_TRUE(is_answer(&a, door, 0, ANON_AT, LOCAL_SIZE, 0));
		}
		took = now_ms() - begin;
	} while (took < 100);
	return (__atomic_load_n(&board->rounds, __ATOMIC_RELAXED) - before) * 1000.0 / took;
}

TEST_F(target, reader_does_not_starve_mmap_lock_writers)
{
	double rate[PLAIN_DOORS + 1] = { 0 };
	int round;
	size_t i;

	assert_started(_metadata, start_target(build_many_pages));
	ASSERT_EQ(0, order(start_hammer, PAGE));
	for (round = 0; round < 5; round++) {
		for (i = 0; i < PLAIN_DOORS; i++)
			rate[i] += hammer_rate(_metadata, &doors[i]) / 5;
		rate[i] += hammer_rate(_metadata, NULL) / 5;
	}
	say("mmap() and munmap() per second: %.0f during process_vm_readv()", rate[PLAIN_DOORS]);
	for (i = 0; i < PLAIN_DOORS; i++) {
		say("  %.0f during %s", rate[i], doors[i].name);
		/* A reader that steals the lock would leave the target a twentieth of its rate. */
		EXPECT_LT(rate[PLAIN_DOORS] / 4, rate[i]);
	}
}

static int direct_io_fd = -1;

static void build_pages_and_aio(void)
{
	static struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_nbytes = PAGE };
	struct iocb *cbs[] = { &cb };
	aio_context_t context = 0;

	build_pages();
	cb.aio_buf = ANON_AT + 3 * PAGE;
	cb.aio_fildes = direct_io_fd;
	if (syscall(SYS_io_setup, 1, &context) || syscall(SYS_io_submit, context, 1, cbs) != 1)
		broken("asynchronous I/O");
}

/* Map the page that the tester serves. */
static unsigned char *map_late_page(void)
{
	unsigned char *page;

	page = map(LATE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	board->uffd = hold_back(LATE, PAGE);
	if (board->uffd < 0)
		broken("userfaultfd");
	return page;
}

/* Reads into the page that the tester serves. */
static void be_late_reader(size_t i, uint32_t flags)
{
	unsigned char *page;

	die_with_parent();
	page = map_late_page();
	set(&board->slot[i].begun, 1);
	board->slot[i].answer = ask(&doors[i], &target, flags, ANON_AT, page, PAGE);
	set(&board->slot[i].done, 1);
	_exit(0);
}

/*
 * Do not read /proc/PID/stat: the tester could drop the last reference to the target's
 * mm, and would then wait for an answer that only the tester triggers.
 */
static bool has_died(pid_t child)
{
	siginfo_t info = { 0 };

	return !waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid == child;
}

static bool is_gone_or_whole(const struct answer *a)
{
	return a->moved == PAGE ||
	       (!a->moved && (a->reason == ESRCH || (!a->reason && a->err == ESRCH)));
}

/*
 * The target is killed while a reader waits for its own page. READV without a flag has
 * the last reference to the target's memory then. Freeing that waits for the target's
 * asynchronous I/O, which the file system does not answer. A reader with a flag leaves the
 * memory for the target to free. Return: true if the reader finished before the answer.
 */
static bool is_through_at_once(struct __test_metadata *_metadata, size_t i, uint32_t flags,
			       int limit, bool killed)
{
	struct slot *slot = &board->slot[i];
	struct pollfd pfd = { .events = POLLIN };
	long end;
	pid_t reader;
	int status;
	bool done;

	set(&board->fs_reads, 0);
	assert_started(_metadata, start_target(build_pages_and_aio));
	ASSERT_TRUE(wait_for(&board->fs_reads, PATIENCE_MS));
	set(&slot->begun, 0);
	set(&slot->done, 0);
	reader = fork();
	if (!reader)
		be_late_reader(i, flags);
	ASSERT_LT(0, reader);
	ASSERT_TRUE(wait_for(&slot->begun, PATIENCE_MS));
	pfd.fd = take_fd(reader, get(&board->uffd));
	ASSERT_EQ(1, poll(&pfd, 1, PATIENCE_MS));

	ASSERT_EQ(0, kill(target.pid, SIGKILL));
	/* The target dies if READV without a flag frees its memory. Otherwise it waits. */
	end = now_ms() + (flags ? WAITING_MS : PATIENCE_MS);
	while (!has_died(target.pid) && now_ms() < end)
		usleep(1000);
	if (!flags)
		ASSERT_TRUE(has_died(target.pid));
	memset(page_of_bytes, 0, PAGE);
	ASSERT_TRUE(serve_page(pfd.fd, LATE, page_of_bytes));
	done = wait_for(&slot->done, limit);
	if (killed) {
		/* SIGKILL does not end this wait in the kernel, as the README says. */
		ASSERT_EQ(0, kill(reader, SIGKILL));
		EXPECT_EQ(-1, reap_in(reader, WAITING_MS, &status));
	}
	let_file_system_answer(FS_ONCE);
	if (!killed) {
		ASSERT_TRUE(wait_for(&slot->done, PATIENCE_MS));
		/* READV without a flag keeps the target's memory, the others do not. */
		EXPECT_TRUE(flags ? is_gone_or_whole(&slot->answer) :
				    slot->answer.moved == PAGE);
	}
	ASSERT_LE(0, reap_in(reader, PATIENCE_MS, &status));
	close(pfd.fd);
	stop_target();
	return done;
}

TEST_F(target, nowait_does_not_wait_for_exit_of_the_target)
{
	uint32_t flags;
	size_t i;
	int fd;

	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	fd = syscall(SYS_io_setup, 1, NULL);
	if (fd < 0 && errno != EFAULT && errno != EINVAL)
		SKIP(return, "not in this kernel: asynchronous I/O: %s", strerror(errno));
	assert_started(_metadata, start_file_system());
	direct_io_fd = open_fs_file(O_DIRECT);
	ASSERT_LE(0, direct_io_fd);
	for (flags = PVMREAD_NOWAIT; flags <= (PVMREAD_NOWAIT | PVMREAD_RESIDENT);
	     flags += PVMREAD_RESIDENT) {
		for (i = 0; i < DOORS; i++) {
			if (doors[i].write)
				continue;
			EXPECT_TRUE(is_through_at_once(_metadata, i, flags, LEAVE_MS, false)) {
				TH_LOG("%s, %s", doors[i].name, flag_names(flags));
			}
		}
	}
	/* The test proves nothing unless READV without a flag waits. */
	EXPECT_FALSE(is_through_at_once(_metadata, 0, 0, WAITING_MS, false));
	EXPECT_FALSE(is_through_at_once(_metadata, 0, 0, WAITING_MS, true));
}

/* A page that the tester serves, and I/O that the file system does not answer. */
static void build_late_page_and_aio(void)
{
	build_pages_and_aio();
	map_late_page();
}

/*
 * The target is killed while a request without flags waits for one of its pages. So the
 * request has the last reference to the target's memory. Tearing that down waits for
 * the FUSE server. Return: true if SIGKILL ended the caller within @limit milliseconds,
 * before the server answered.
 */
static bool dies_before_the_answer(struct __test_metadata *_metadata, size_t i, int limit)
{
	struct pollfd pfd = { .events = POLLIN };
	long end = now_ms() + PATIENCE_MS;
	pid_t caller;
	int status;
	bool died;

	set(&board->fs_reads, 0);
	assert_started(_metadata, start_target(build_late_page_and_aio));
	ASSERT_TRUE(wait_for(&board->fs_reads, PATIENCE_MS));
	caller = fork();
	if (!caller) {
		die_with_parent();
		ask(&doors[i], &target, 0, LATE, page_of_bytes, PAGE);
		for (;;)
			pause();
	}
	ASSERT_LT(0, caller);
	pfd.fd = take_fd(target.pid, get(&board->uffd));
	ASSERT_EQ(1, poll(&pfd, 1, PATIENCE_MS));

	ASSERT_EQ(0, kill(target.pid, SIGKILL));
	while (!has_died(target.pid) && now_ms() < end)
		usleep(1000);
	ASSERT_TRUE(has_died(target.pid));
	ASSERT_TRUE(serve_page(pfd.fd, LATE, page_of_bytes));
	usleep(WAITING_MS * 1000);
	ASSERT_EQ(0, kill(caller, SIGKILL));
	died = reap_in(caller, limit, &status) >= 0;
	let_file_system_answer(FS_ONCE);
	if (!died)
		ASSERT_LE(0, reap_in(caller, PATIENCE_MS, &status));
	close(pfd.fd);
	stop_target();
	return died;
}

TEST_F(target, caller_with_the_last_mm_reference_can_be_killed)
{
	size_t i;
	bool dies;
	int fd;

	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	fd = syscall(SYS_io_setup, 1, NULL);
	if (fd < 0 && errno != EFAULT && errno != EINVAL)
		SKIP(return, "not in this kernel: asynchronous I/O: %s", strerror(errno));
	assert_started(_metadata, start_file_system());
	direct_io_fd = open_fs_file(O_DIRECT);
	ASSERT_LE(0, direct_io_fd);
	for (i = 0; i < PLAIN_DOORS; i++) {
		/* READV and WRITEV call mmput(), as the system calls do. */
		dies = doors[i].kind != RW;
		EXPECT_EQ(dies, dies_before_the_answer(_metadata, i,
						       dies ? LEAVE_MS : at_once_ms())) {
			TH_LOG("%s", doors[i].name);
		}
	}
}

/* --- Targets that are about to exit --- */

static const size_t chasers[] = { 0, 2, 4, 6 };

struct chase {
	const struct door *door;
	uint32_t flags;
	const struct subject *who;
	unsigned int data;
	unsigned int again;
	bool wrong;
	struct answer last;
};

/* Repeat until the target has exited. */
static void *chase(void *arg)
{
	static __thread unsigned char buf[2 * PAGE];
	size_t len = in_one_hold(2);
	struct chase *c = arg;
	long end = now_ms() + PATIENCE_MS;

	while (now_ms() < end) {
		memset(buf, 0, len);
		c->last = ask(c->door, c->who, c->flags, ANON_AT, buf, len);
		/* BATCH fails with ESRCH, or its segment does if the target exits midway. */
		if (c->last.reason == ESRCH || (!c->last.reason && c->last.err == ESRCH)) {
			c->wrong |= c->last.moved;
			return NULL;
		}
		if (c->last.moved == len && !c->last.err && !c->last.reason) {
			c->wrong |= !is_filled(buf, len, early_byte, 0);
			c->data++;
		} else if (!c->last.moved && c->last.reason == EAGAIN) {
			c->again++;
		} else {
			break;
		}
	}
	c->wrong = true;
	return NULL;
}

static long exit_soon(unsigned long us)
{
	usleep(us);
	_exit(0);
}

TEST_F(target, exiting_target_gives_data_or_error)
{
	pthread_t thread[ARRAY_SIZE(chasers)];
	unsigned int data = 0, again = 0;
	size_t round, i;
	int status;

	for (round = 0; round < 100; round++) {
		struct chase c[ARRAY_SIZE(chasers)] = { 0 };

		assert_started(_metadata, start_target(build_pages));
		for (i = 0; i < ARRAY_SIZE(chasers); i++) {
			c[i].door = &doors[chasers[i]];
			c[i].flags = PVMREAD_NOWAIT | (round + i) % 2 * PVMREAD_RESIDENT;
			c[i].who = &target;
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, chase, &c[i]));
		}
		ASSERT_TRUE(give_order(exit_soon, mix(round) % 3000));
		for (i = 0; i < ARRAY_SIZE(chasers); i++) {
			pthread_join(thread[i], NULL);
			ASSERT_FALSE(c[i].wrong) {
				TH_LOG("%s, %s: errno %d, reason %u, moved %llu", c[i].door->name,
				       flag_names(c[i].flags), c[i].last.err, c[i].last.reason,
				       (unsigned long long)c[i].last.moved);
			}
			data += c[i].data;
			again += c[i].again;
		}
		ASSERT_LE(0, reap_in(target.pid, PATIENCE_MS, &status));
		EXPECT_EQ(0, status);
		target.pid = 0;
		detach_all(&target);
		close(target.in);
		close(target.out);
	}
	say("%u times data, %u times EAGAIN", data, again);
	EXPECT_LT(0, data);
}

/* --- What a request does to the target --- */

/*
 * The facts in /proc about a process's memory and one of its mappings, except the
 * accessed bits.
 */
static void describe(pid_t pid, uintptr_t mapping, char *to, size_t size)
{
	static const char * const of_mapping[] = {
		"Rss:", "Pss:", "Shared_", "Private_", "Anonymous:", "AnonHugePages:", "Swap:",
		"Shared_Hugetlb:", "Private_Hugetlb:", "FilePmdMapped:", "ShmemPmdMapped:",
	};
	unsigned long from, end;
	char line[300], path[40];
	bool mine = false;
	size_t i, n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS", 5) || !strncmp(line, "Rss", 3) ||
		    !strncmp(line, "VmSwap", 6) || !strncmp(line, "VmPTE", 5))
			n += snprintf(to + n, size - n, "%s", line);
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &end) == 2) {
			mine = from <= mapping && mapping < end;
			continue;
		}
		for (i = 0; mine && i < ARRAY_SIZE(of_mapping); i++)
			if (!strncmp(line, of_mapping[i], strlen(of_mapping[i])))
				n += snprintf(to + n, size - n, "%s", line);
	}
	if (f)
		fclose(f);
}

static long number_after(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? atol(p + strlen(name)) : -1;
}

/* The number of page faults of this process, including those of its requests. */
static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static int big_file = -1;

/* The first word of page @i of the mapping; never 0. */
static uint64_t mark(size_t i)
{
	return mix(i) | 1;
}

static bool make_big_file(void)
{
	uint64_t word;
	size_t i;

	big_file = memfd_create("big", MFD_CLOEXEC);
	if (big_file < 0 || ftruncate(big_file, FILE_PAGES * PAGE))
		return false;
	for (i = 0; i < FILE_PAGES; i++) {
		word = mark(i);
		if (pwrite(big_file, &word, 8, i * PAGE) != 8)
			return false;
	}
	return true;
}

/*
 * Read some pages, which also maps neighbours from the page cache, and drop some again.
 * This leaves runs of all lengths.
 */
static void build_big_file(void)
{
	unsigned char *at;
	size_t i, j;

	map(ANON_AT, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	at = map(FILE_AT, FILE_PAGES * PAGE, PROT_READ, MAP_SHARED, big_file, 0);
	for (i = 0; i < 300; i++)
		read_byte((uintptr_t)at + mix(i) % FILE_PAGES * PAGE);
	for (i = 0; i < 300; i++) {
		j = mix(mix(i)) % FILE_PAGES;
		madvise(at + j * PAGE, PAGE, MADV_DONTNEED);
	}
}

static void build_anon(void)
{
	unsigned char *at;
	size_t i;

	at = map(ANON_AT, ANON_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	for (i = 0; i < ANON_PAGES; i++) {
		if (mix(i) % 5 < 2)
			*(uint64_t *)(at + i * PAGE) = mark(i);
		else if (mix(i) % 5 == 2)
			read_byte((uintptr_t)at + i * PAGE);
	}
}

static size_t run_of(const uint64_t *entry, size_t from, size_t n)
{
	size_t i = from;

	while (i < n && !((entry[i] ^ entry[from]) & PRESENT))
		i++;
	return i - from;
}

/*
 * Each page of a mapping must be readable, alone or in a run, if and only if it is in the
 * target's page tables. No read may change the tables. Pages hold their mark; pages that
 * were only read are zero.
 */
static void expect_as_mapped(struct __test_metadata *_metadata, uintptr_t at, size_t pages,
			     uint64_t *entry, uint64_t *after, struct pvmread_segment *seg)
{
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = PVMREAD_RESIDENT,
		.segments = (uintptr_t)seg,
		.count = pages,
	};
	static const size_t walkers[] = { 0, 2, 4, 8 };
	size_t present = 0, moved, i, n, w;
	uint64_t word;
	struct answer a;
	long before;

	ASSERT_TRUE(look_at_pages(target.pid, at, pages, entry));
	for (i = 0; i < pages; i++) {
		seg[i] = (struct pvmread_segment){
			.remote = at + i * PAGE,
			.local = (uintptr_t)LOCAL + 8 * i,
			.length = 8,
		};
		present += entry[i] >> 63;
	}
	say("%zu of %zu pages are mapped", present, pages);
	/* Otherwise there is no difference to test. */
	ASSERT_LT(pages / 100, present);
	ASSERT_LT(present, pages);
	memset(LOCAL, 0xa5, LOCAL_SIZE);
	/* Fault in all of our own memory, so that only the request could add to the count. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	ASSERT_EQ(0, munlockall());

	before = faults();
	ASSERT_EQ(0, ioctl(target.file[0], PVMREAD_IOC_BATCH, &batch));
	EXPECT_EQ(before, faults());
	for (i = 0; i < pages; i++) {
		bool there = entry[i] >> 63;

		ASSERT_EQ(there ? 8 : 0, seg[i].done);
		ASSERT_EQ(there ? 0 : EIO, seg[i].error);
		memcpy(&word, LOCAL + 8 * i, 8);
		if (there && !word && at == ANON_AT)
			continue;
		ASSERT_EQ(there ? mark(i) : 0xa5a5a5a5a5a5a5a5ULL, word);
	}

	/* Read as much as possible from the start of each run. */
	for (w = 0; w < ARRAY_SIZE(walkers); w++) {
		const struct door *door = &doors[walkers[w]];

		/* Send a request first, to fault in our own stack. */
		a = ask(door, &target, PVMREAD_RESIDENT, at, LOCAL, LOCAL_SIZE);
		is_answer(&a, door, PVMREAD_RESIDENT, at, a.moved, a.reason);
		before = faults();
		for (i = 0; i < pages; i += n) {
			size_t len = (pages - i) * PAGE;

			if (len > LOCAL_SIZE)
				len = LOCAL_SIZE;
			n = run_of(entry, i, i + len / PAGE);
			a = ask(door, &target, PVMREAD_RESIDENT, at + i * PAGE, LOCAL, len);
			moved = entry[i] & PRESENT ? n * PAGE : 0;
			ASSERT_TRUE(is_answer(&a, door, PVMREAD_RESIDENT, at + i * PAGE, moved,
					      moved < len ? EIO : 0));
		}
		EXPECT_EQ(before, faults()) {
			TH_LOG("%s", door->name);
		}
	}
	ASSERT_TRUE(look_at_pages(target.pid, at, pages, after));
	EXPECT_EQ(0, memcmp(entry, after, pages * 8));
}

TEST_F(target, resident_reads_only_mapped_file_pages)
{
	const struct door *readv = &doors[0];
	struct answer a;
	size_t i;

	ASSERT_TRUE(make_big_file());
	assert_started(_metadata, start_target(build_big_file));
	describe(target.pid, FILE_AT, self->before, sizeof(self->before));
	say("Rss of the mapping: %ld kB", number_after(self->before, "Rss:"));
	ASSERT_LT(0, number_after(self->before, "Rss:"));
	expect_as_mapped(_metadata, FILE_AT, FILE_PAGES, self->entry, self->entry_after,
			 self->seg);
	describe(target.pid, FILE_AT, self->after, sizeof(self->after));
	EXPECT_STREQ(self->before, self->after);

	/* READV without the flag reads all pages, which maps them. */
	for (i = 0; i < FILE_PAGES * PAGE; i += LOCAL_SIZE) {
		a = ask(readv, &target, 0, FILE_AT + i, LOCAL, LOCAL_SIZE);
		ASSERT_TRUE(is_answer(&a, readv, 0, FILE_AT + i, LOCAL_SIZE, 0));
	}
	describe(target.pid, FILE_AT, self->after, sizeof(self->after));
	EXPECT_EQ(FILE_PAGES * PAGE / 1024, number_after(self->after, "\nRss:"));
	close(big_file);
}

TEST_F(target, resident_reads_only_mapped_anonymous_pages)
{
	const struct door *readv = &doors[0];
	struct answer a;

	assert_started(_metadata, start_target(build_anon));
	describe(target.pid, ANON_AT, self->before, sizeof(self->before));
	expect_as_mapped(_metadata, ANON_AT, ANON_PAGES, self->entry, self->entry_after,
			 self->seg);
	describe(target.pid, ANON_AT, self->after, sizeof(self->after));
	EXPECT_STREQ(self->before, self->after);

	a = ask(readv, &target, 0, ANON_AT, LOCAL, 200 * PAGE);
	ASSERT_TRUE(is_answer(&a, readv, 0, ANON_AT, 200 * PAGE, 0));
	ASSERT_TRUE(look_at_pages(target.pid, ANON_AT, ANON_PAGES, self->entry_after));
	EXPECT_NE(0, memcmp(self->entry, self->entry_after, 200 * 8));
}

static void build_private_zeros(void)
{
	build_anon();
	map(FILE_AT, DOORS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, big_file, 0);
}

TEST_F(target, nowait_faults_in_pages_without_waiting)
{
	struct answer a;
	uintptr_t at;
	size_t i;

	ASSERT_TRUE(make_big_file());
	assert_started(_metadata, start_target(build_anon));
	ASSERT_TRUE(look_at_pages(target.pid, ANON_AT, ANON_PAGES, self->entry));
	for (i = 0, at = ANON_AT; i < DOORS; i++, at += PAGE) {
		while (self->entry[(at - ANON_AT) / PAGE] & PRESENT)
			at += PAGE;
		fill(LOCAL, PAGE, own_byte);
		a = ask(&doors[i], &target, PVMREAD_NOWAIT, at, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, at, PAGE, 0));
		EXPECT_TRUE(page_entry(target.pid, at) & PRESENT);
		if (doors[i].write) {
			memset(LOCAL, 0, PAGE);
			ASSERT_TRUE(peek(at, LOCAL, PAGE));
			EXPECT_TRUE(is_filled(LOCAL, PAGE, own_byte, 0));
		} else {
			EXPECT_EQ(0, LOCAL[0]);
			EXPECT_EQ(0, memcmp(LOCAL, LOCAL + 1, PAGE - 1));
		}
	}
	stop_target();

	/* Also read a file that is in the page cache. */
	assert_started(_metadata, start_target(build_big_file));
	for (i = 0; i < FILE_PAGES * PAGE; i += LOCAL_SIZE) {
		a = ask(&doors[0], &target, PVMREAD_NOWAIT, FILE_AT + i, LOCAL, LOCAL_SIZE);
		ASSERT_TRUE(is_answer(&a, &doors[0], PVMREAD_NOWAIT, FILE_AT + i, LOCAL_SIZE, 0));
		ASSERT_EQ(mark(i / PAGE), *(uint64_t *)LOCAL);
	}
	close(big_file);

	/* A private mapping of /dev/zero is anonymous memory, but has a file. */
	big_file = open("/dev/zero", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, big_file);
	stop_target();
	assert_started(_metadata, start_target(build_private_zeros));
	for (i = 0; i < DOORS; i++) {
		at = FILE_AT + i * PAGE;
		fill(LOCAL, PAGE, own_byte);
		a = ask(&doors[i], &target, PVMREAD_NOWAIT, at, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, at, PAGE, 0));
		if (!doors[i].write)
			EXPECT_EQ(0, LOCAL[0]);
	}
	close(big_file);
}

/* --- NOWAIT: private pages over a file hole, and FUSE files --- */

/*
 * Each door's page is private, written, and shared copy-on-write with a child. Its file
 * no longer has a page there.
 */
static void build_copies_of_nothing(void)
{
	size_t i, j;
	char *page;

	page = (char *)map(FILE_AT, DOORS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, big_file, 0);
	for (i = 0; i < DOORS; i++)
		for (j = 0; j < PAGE; j++)
			page[i * PAGE + j] = early_byte(i * PAGE + j);
	if (fallocate(big_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, DOORS * PAGE))
		broken("punching a hole");
	switch (fork()) {
	case -1:
		broken("fork");
	case 0:
		die_with_parent();
		set(&board->returned, 1);
		pause();
	}
	/* Otherwise the child would outlive a parent that is killed before die_with_parent(). */
	if (!wait_for(&board->returned, PATIENCE_MS))
		broken("waiting for a child");
}

TEST_F(target, nowait_moves_private_pages_over_a_file_hole)
{
	struct answer a;
	size_t i;

	ASSERT_TRUE(make_big_file());
	assert_started(_metadata, start_target(build_copies_of_nothing));
	for (i = 0; i < DOORS; i++) {
		uintptr_t at = FILE_AT + i * PAGE;

		fill(LOCAL, PAGE, own_byte);
		a = ask(&doors[i], &target, PVMREAD_NOWAIT, at, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, at, PAGE, 0));
		if (doors[i].write) {
			ASSERT_TRUE(peek(at, LOCAL, PAGE));
			EXPECT_TRUE(is_filled(LOCAL, PAGE, own_byte, 0));
		} else {
			EXPECT_TRUE(is_filled(LOCAL, PAGE, early_byte, i * PAGE));
		}
	}
	close(big_file);
}

static void build_fs_mapping(void)
{
	map(FILE_AT, FS_PAGES * PAGE, PROT_READ, MAP_SHARED, fs_fd, 0);
}

/* How many pages of the file are in the page cache, from the first one on? */
static size_t cached_pages(const void *mapping)
{
	unsigned char there[FS_PAGES];
	size_t i = 0;

	if (mincore((void *)mapping, FS_PAGES * PAGE, there))
		return 0;
	while (i < FS_PAGES && there[i] & 1)
		i++;
	return i;
}

/*
 * A FUSE server can drop pages from the cache at any time, even during a fault. So a read
 * of a page that is only cached may wait, but a read of a mapped page does not.
 */
TEST_F(target, nowait_reads_only_mapped_pages_on_fuse)
{
	size_t i, n, had = 0;
	struct answer a;
	void *mapping;
	int asked;

	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	assert_started(_metadata, start_file_system());
	fs_fd = open_fs_file(0);
	ASSERT_LE(0, fs_fd);
	mapping = mmap(NULL, FS_PAGES * PAGE, PROT_READ, MAP_SHARED, fs_fd, 0);
	ASSERT_NE(MAP_FAILED, mapping);
	assert_started(_metadata, start_target(build_fs_mapping));
	let_file_system_answer(FS_ALWAYS);
	ASSERT_EQ(1, pread(fs_fd, LOCAL, 1, 0));
	let_file_system_answer(FS_ONCE);
	/* The pages of one answer arrive one after the other. */
	for (i = 0, n = 0; i < 1000 && (n < 2 || n != had); i++) {
		had = n;
		usleep(20000);
		n = cached_pages(mapping);
	}
	asked = get(&board->fs_reads);
	say("%zu of %lu pages are cached, after %d requests", n, FS_PAGES, asked);
	/* Some pages must be uncached: a page with PG_readahead would trigger the read of them. */
	ASSERT_LT(1, n);
	ASSERT_GT(FS_PAGES, n);

	for (i = 0; i < DOORS * n; i++) {
		const struct door *door = &doors[i % DOORS];
		uintptr_t at = FILE_AT + i / DOORS * PAGE;

		if (door->write)
			continue;
		a = ask(door, &target, PVMREAD_NOWAIT, at, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, door, PVMREAD_NOWAIT, at, 0, EAGAIN));
	}
	/* Long enough for a server to be scheduled. */
	usleep(100000);
	EXPECT_EQ(asked, get(&board->fs_reads));
	/* READV without a flag maps the page. */
	a = ask(&doors[0], &target, 0, FILE_AT, LOCAL, PAGE);
	EXPECT_TRUE(is_answer(&a, &doors[0], 0, FILE_AT, PAGE, 0));
	for (i = 0; i < DOORS; i++) {
		if (doors[i].write)
			continue;
		memset(LOCAL, 0, PAGE);
		a = ask(&doors[i], &target, PVMREAD_NOWAIT, FILE_AT, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_NOWAIT, FILE_AT, PAGE, 0));
		EXPECT_TRUE(is_filled(LOCAL, PAGE, fs_byte, 0));
	}
	munmap(mapping, FS_PAGES * PAGE);
}

/* Pages of the file that the target has written to. */
static void build_written_fs_pages(void)
{
	*map(FILE_AT, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fs_fd, 0) = 1;
	*map(FILE_AT + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fs_fd, PAGE) = 1;
	/* A private page right before a shared one. */
	*map(ANON_AT, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
	*map(ANON_AT + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fs_fd, 2 * PAGE) = 1;
}

/*
 * After a write, the module locks the page to mark it dirty. A FUSE server can keep that page
 * locked.
 */
TEST_F(target, nowait_does_not_write_to_shared_pages_on_fuse)
{
	struct answer a;
	size_t i;

	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	assert_started(_metadata, start_file_system());
	let_file_system_answer(FS_ALWAYS);
	fs_fd = open_fs_file(O_RDWR);
	ASSERT_LE(0, fs_fd);
	assert_started(_metadata, start_target(build_written_fs_pages));
	fill(LOCAL, 2 * PAGE, own_byte);
	for (i = 0; i < DOORS; i++) {
		const struct door *door = &doors[i];

		if (!door->write)
			continue;
		/* Writeback may have made the page read-only. */
		if (i < PLAIN_DOORS) {
			a = ask(door, &target, 0, FILE_AT, LOCAL, PAGE);
			EXPECT_TRUE(is_answer(&a, door, 0, FILE_AT, PAGE, 0));
		}
		a = ask(door, &target, PVMREAD_NOWAIT, FILE_AT, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, door, PVMREAD_NOWAIT, FILE_AT, 0, EAGAIN));
		a = ask(door, &target, PVMREAD_NOWAIT, FILE_AT + PAGE, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, door, PVMREAD_NOWAIT, FILE_AT + PAGE, PAGE, 0));
		a = ask(door, &target, PVMREAD_NOWAIT, ANON_AT, LOCAL, 2 * PAGE);
		EXPECT_TRUE(is_answer(&a, door, PVMREAD_NOWAIT, ANON_AT, PAGE, EAGAIN));
	}
	/* Otherwise the kernel would wait for the server to write the page. */
	ASSERT_EQ(0, kill(fs_pid, SIGKILL));
}

/* --- A long page fault --- */

static void *write_back(void *page)
{
	msync(page, PAGE, MS_SYNC);
	return NULL;
}

static void *write_again(void *page)
{
	if (wait_for(&board->fs_writes, PATIENCE_MS))
		*(volatile unsigned char *)page = 2;
	return NULL;
}

/* The second write waits for the writeback of the first, which the server does not end. */
static void build_fault_in_progress(void)
{
	unsigned char *page = map(FILE_AT, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fs_fd, 0);
	pthread_t thread;

	*page = 1;
	if (pthread_create(&thread, NULL, write_back, page) ||
	    pthread_create(&thread, NULL, write_again, page))
		broken("pthread_create");
}

/*
 * To register an MMU notifier, the kernel waits for page faults that run with a VMA lock.
 * SIGKILL does not end that wait, during which the kernel holds a system-wide lock. So the
 * module must first wait for these faults itself, killably.
 */
TEST_F(target, attach_with_cache_can_be_killed_during_a_page_fault)
{
	struct pvmread_info info = { .size = sizeof(info) };
	pid_t caller, other;
	int status, fd;
	bool died;

	if (kernel_version() >= 6015 && kernel_version() <= 6019)
		SKIP(return, "Linux 6.15 to 6.19: no signal ends this wait");
	if (!have_fuse())
		SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(dev, PVMREAD_IOC_INFO, &info));
	if (!(info.features & PVMREAD_FEATURE_CACHE))
		SKIP(return, "not in this kernel: PVMREAD_CACHE");
	assert_started(_metadata, start_file_system());
	let_file_system_answer(FS_ALWAYS);
	fs_fd = open_fs_file(O_RDWR);
	ASSERT_LE(0, fs_fd);
	assert_started(_metadata, start_target(build_fault_in_progress));
	ASSERT_TRUE(wait_for(&board->fs_writes, PATIENCE_MS));
	usleep(WAITING_MS * 1000);

	caller = fork();
	if (!caller)
		_exit(attach(dev, target.pid, PVMREAD_CACHE, 0, 0) < 0);
	ASSERT_LT(0, caller);
	/* Unless it waits, the test proves nothing. */
	EXPECT_GT(0, reap_in(caller, WAITING_MS, &status));
	other = fork();
	if (!other) {
		fd = attach(dev, getpid(), PVMREAD_CACHE, 0, 0);
		_exit(fd < 0);
	}
	ASSERT_LT(0, other);
	EXPECT_LE(0, reap_in(other, LEAVE_MS, &status)) {
		TH_LOG("another process waits as well");
	}
	ASSERT_EQ(0, kill(caller, SIGKILL));
	died = reap_in(caller, LEAVE_MS, &status) >= 0;
	EXPECT_TRUE(died);
	/* The requests that the server holds end when it exits. */
	ASSERT_EQ(0, kill(fs_pid, SIGKILL));
	if (!died)
		ASSERT_LE(0, reap_in(caller, PATIENCE_MS, &status));
}

/* --- Shared memory stays shared --- */

/* The same page in both page tables? */
static bool is_same_page(uint64_t a, uint64_t b)
{
	return (a & b & PRESENT) && !((a ^ b) & PFN_MASK);
}

static void build_nothing(void)
{
}

/* On s390 a read pins its pages. GUP would have to unshare a copy-on-write page to pin it. */
#ifdef __s390x__
#define READS_PIN	true
#else
#define READS_PIN	false
#endif

TEST_F(target, resident_read_does_not_break_cow_of_a_forked_page)
{
	const uint32_t both = PVMREAD_NOWAIT | PVMREAD_RESIDENT;
	uint64_t ours, theirs;
	unsigned char *page;
	struct answer a;
	uint32_t flags;
	bool refused;
	size_t i;

	page = map(ANON_AT, DOORS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	fill(page, DOORS * PAGE, early_byte);
	assert_started(_metadata, start_target(build_nothing));
	ours = page_entry(getpid(), ANON_AT);
	theirs = page_entry(target.pid, ANON_AT);
	ASSERT_NE(0, ours & PFN_MASK);
	ASSERT_TRUE(is_same_page(ours, theirs));
	for (flags = PVMREAD_RESIDENT; flags <= both; flags += PVMREAD_NOWAIT) {
		for (i = 0; i < DOORS; i++) {
			if (!has_flags(&doors[i], flags))
				continue;
			fill(LOCAL, PAGE, own_byte);
			a = ask(&doors[i], &target, flags, ANON_AT, LOCAL, PAGE);
			refused = doors[i].write || READS_PIN;
			EXPECT_TRUE(is_answer(&a, &doors[i], flags, ANON_AT,
					      refused ? 0 : PAGE, refused ? EIO : 0));
			if (!refused)
				EXPECT_TRUE(is_filled(LOCAL, PAGE, early_byte, 0));
			EXPECT_EQ(ours, page_entry(getpid(), ANON_AT));
			EXPECT_EQ(theirs, page_entry(target.pid, ANON_AT));
			EXPECT_TRUE(is_filled(page, PAGE, early_byte, 0));
		}
	}

	/* The target has its own copy after it has written to the page. */
	ASSERT_EQ(0, order(write_byte, ANON_AT));
	EXPECT_FALSE(is_same_page(ours, page_entry(target.pid, ANON_AT)));
	theirs = page_entry(target.pid, ANON_AT);
	for (i = 0; i < DOORS; i++) {
		if (!doors[i].write || !has_flags(&doors[i], PVMREAD_RESIDENT))
			continue;
		fill(LOCAL, PAGE, own_byte);
		LOCAL[0] = i;
		a = ask(&doors[i], &target, PVMREAD_RESIDENT, ANON_AT, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_RESIDENT, ANON_AT, PAGE, 0));
		memset(LOCAL, 0, PAGE);
		ASSERT_TRUE(peek(ANON_AT, LOCAL, PAGE));
		EXPECT_EQ(i, LOCAL[0]);
		EXPECT_TRUE(is_filled(LOCAL + 1, PAGE - 1, own_byte, 1));
		EXPECT_EQ(theirs & PFN_MASK, page_entry(target.pid, ANON_AT) & PFN_MASK);
		EXPECT_TRUE(is_filled(page, PAGE, early_byte, 0));
	}

	/* A NOWAIT write breaks COW first, so only the target sees it. */
	a = ask(&doors[1], &target, PVMREAD_NOWAIT, ANON_AT + PAGE, LOCAL, PAGE);
	EXPECT_TRUE(is_answer(&a, &doors[1], PVMREAD_NOWAIT, ANON_AT + PAGE, PAGE, 0));
	EXPECT_TRUE(is_filled(page + PAGE, PAGE, early_byte, PAGE));

	/* READV without the flag unshares the page, as the syscall does; a target file does not. */
	for (i = 0; i < PLAIN_DOORS; i += 2) {
		uintptr_t at = ANON_AT + (2 + i) * PAGE;

		ASSERT_TRUE(is_same_page(page_entry(getpid(), at), page_entry(target.pid, at)));
		a = ask(&doors[i], &target, 0, at, LOCAL, PAGE);
		EXPECT_TRUE(is_answer(&a, &doors[i], 0, at, PAGE, 0));
		EXPECT_TRUE(is_filled(LOCAL, PAGE, early_byte, (2 + i) * PAGE));
		EXPECT_EQ(doors[i].kind != RW && !READS_PIN,
			  is_same_page(page_entry(getpid(), at), page_entry(target.pid, at)));
	}
	munmap(page, DOORS * PAGE);
}

static void build_zeros_and_files(void)
{
	map(ANON_AT, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map(FILE_AT, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, big_file, 0);
	map(LATE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, big_file, 0);
	read_byte(ANON_AT);
	read_byte(FILE_AT);
	write_byte(FILE_AT + PAGE);
	/* Dirty the page after its mark, because FILE_AT maps the same page of the file. */
	write_byte(LATE + 100);
}

TEST_F(target, resident_write_needs_a_writable_page_table_entry)
{
	static const struct {
		const char *name;
		uintptr_t at;
		bool writable;
	} row[] = {
		{ "the zero page", ANON_AT + 8, false },
		{ "the page cache's page of a private mapping", FILE_AT + 8, false },
		{ "the copied page of a private mapping", FILE_AT + PAGE + 8, true },
		{ "a dirty page of a shared mapping", LATE + 200, true },
		{ "an untouched page of a private mapping", FILE_AT + (FILE_PAGES - 1) * PAGE,
		  false },
	};
	unsigned char buf[16], in_file[3 * PAGE], in_file_after[3 * PAGE];
	uint64_t before;
	struct answer a;
	size_t i, j;

	ASSERT_TRUE(make_big_file());
	assert_started(_metadata, start_target(build_zeros_and_files));
	ASSERT_EQ(sizeof(in_file), pread(big_file, in_file, sizeof(in_file), 0));
	for (j = 0; j < ARRAY_SIZE(row); j++) {
		for (i = 0; i < DOORS; i++) {
			if (!doors[i].write || !has_flags(&doors[i], PVMREAD_RESIDENT))
				continue;
			before = page_entry(target.pid, row[j].at);
			fill(buf, sizeof(buf), own_byte);
			a = ask(&doors[i], &target, PVMREAD_RESIDENT, row[j].at, buf, sizeof(buf));
			EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_RESIDENT, row[j].at,
					      row[j].writable ? sizeof(buf) : 0,
					      row[j].writable ? 0 : EIO)) {
				TH_LOG("%s", row[j].name);
			}
			EXPECT_EQ((before ^ page_entry(target.pid, row[j].at)) &
				  (PRESENT | PFN_MASK), 0);
			if (!row[j].writable)
				continue;
			memset(buf, 0, sizeof(buf));
			ASSERT_TRUE(peek(row[j].at, buf, sizeof(buf)));
			EXPECT_TRUE(is_filled(buf, sizeof(buf), own_byte, 0));
		}
	}
	/* The file has only the data written to its shared mapping. */
	fill(in_file + 200, sizeof(buf), own_byte);
	ASSERT_EQ(sizeof(in_file), pread(big_file, in_file_after, sizeof(in_file), 0));
	EXPECT_EQ(0, memcmp(in_file, in_file_after, sizeof(in_file)));

	/* All that is mapped can be read. */
	for (i = 0; i < DOORS; i += 2) {
		if (!has_flags(&doors[i], PVMREAD_RESIDENT))
			continue;
		before = page_entry(target.pid, ANON_AT);
		ASSERT_TRUE(before & PRESENT);
		memset(buf, 1, sizeof(buf));
		a = ask(&doors[i], &target, PVMREAD_RESIDENT, ANON_AT, buf, sizeof(buf));
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_RESIDENT, ANON_AT, sizeof(buf), 0));
		EXPECT_EQ(0, buf[0]);
		EXPECT_EQ(0, memcmp(buf, buf + 1, sizeof(buf) - 1));
		EXPECT_EQ(before, page_entry(target.pid, ANON_AT));
		a = ask(&doors[i], &target, PVMREAD_RESIDENT, FILE_AT, buf, 8);
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_RESIDENT, FILE_AT, 8, 0));
		EXPECT_EQ(mark(0), *(uint64_t *)buf);
	}
	close(big_file);
}

#ifndef SYS_memfd_secret
#define SYS_memfd_secret	447
#endif

static const struct {
	const char *name;
	int prot;
	int flags;
	bool read;
	bool write;
} permissions[] = {
	{ "PROT_NONE, private", PROT_NONE, MAP_ANONYMOUS | MAP_PRIVATE, false, false },
	{ "PROT_NONE, shared", PROT_NONE, MAP_ANONYMOUS | MAP_SHARED, false, false },
	{ "PROT_READ, private", PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, true, false },
	{ "PROT_READ, shared", PROT_READ, MAP_ANONYMOUS | MAP_SHARED, true, false },
	{ "PROT_WRITE, private", PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, false, true },
	{ "PROT_READ | PROT_WRITE, shared", PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_SHARED,
	  true, true },
	/* A file that has not been read yet; the third row is past its end. */
	{ "PROT_NONE, not in memory", PROT_NONE, MAP_SHARED, false, false },
	{ "PROT_NONE, not in memory, private", PROT_NONE, MAP_PRIVATE, false, false },
	{ "past the end of the file", PROT_READ | PROT_WRITE, MAP_SHARED, false, false },
};

/* Anonymous pages are written first, and then protected. */
static void build_protected(void)
{
	bool anonymous;
	unsigned char *at;
	size_t i;
	int fd;

	fd = memfd_create("sparse", MFD_CLOEXEC);
	/* The file ends before the page of the last row. */
	if (fd < 0 || ftruncate(fd, (ARRAY_SIZE(permissions) - 1) * PAGE))
		broken("memfd_create");
	for (i = 0; i < ARRAY_SIZE(permissions); i++) {
		anonymous = permissions[i].flags & MAP_ANONYMOUS;
		at = map(ANON_AT + i * PAGE, PAGE, PROT_READ | PROT_WRITE, permissions[i].flags,
			 anonymous ? -1 : fd, anonymous ? 0 : i * PAGE);
		if (anonymous)
			fill(at, PAGE, early_byte);
		if (mprotect(at, PAGE, permissions[i].prot))
			broken("mprotect");
	}
	fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	if (fd < 0)
		return;
	if (ftruncate(fd, PAGE))
		broken("memfd_secret");
	at = map(LATE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fill(at, PAGE, early_byte);
}

static uintptr_t find_mapping(pid_t pid, const char *name)
{
	unsigned long from = 0;
	char line[256];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/maps", pid);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, name)) {
			from = strtoul(line, NULL, 16);
			break;
		}
	}
	if (f)
		fclose(f);
	return from;
}

/* EIO with all flags: waiting would not help. */
static void expect_refused(struct __test_metadata *_metadata, uintptr_t at, const char *name,
			   bool read, bool write)
{
	uint32_t flags;
	struct answer a;
	size_t i;

	for (flags = 0; flags <= (PVMREAD_NOWAIT | PVMREAD_RESIDENT); flags += PVMREAD_NOWAIT) {
		for (i = 0; i < DOORS; i++) {
			bool good = doors[i].write ? write : read;

			if (!has_flags(&doors[i], flags))
				continue;
			a = ask(&doors[i], &target, flags, at, LOCAL, 100);
			EXPECT_TRUE(is_answer(&a, &doors[i], flags, at, good ? 100 : 0,
					      good ? 0 : EIO)) {
				TH_LOG("%s", name);
			}
		}
	}
}

TEST_F(target, no_flag_bypasses_permissions)
{
	uintptr_t special;
	size_t i;

	assert_started(_metadata, start_target(build_protected));
	for (i = 0; i < ARRAY_SIZE(permissions); i++)
		expect_refused(_metadata, ANON_AT + i * PAGE, permissions[i].name,
			       permissions[i].read, permissions[i].write);
	expect_refused(_metadata, ANON_AT + 100 * PAGE, "a hole", false, false);
	/* In a 32-bit program this address becomes 0. */
	expect_refused(_metadata, (uintptr_t)0xf00000000000ULL, "an unmapped high address", false,
		       false);
	if (find_mapping(target.pid, "secretmem"))
		expect_refused(_metadata, LATE, "secret memory", false, false);
	else
		say("not in this kernel: memfd_secret");
	/* GUP refuses the data of the vDSO. */
	special = find_mapping(target.pid, "[vvar]");
	if (special)
		expect_refused(_metadata, special, "[vvar]", false, false);
	else
		say("not in this kernel: [vvar]");
}

/* --- Pages of another kind --- */

#define KSM		"/sys/kernel/mm/ksm/"
#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static void build_mergeable(void)
{
	unsigned char *page;
	size_t i;

	page = map(ANON_AT, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < 4; i++)
		fill(page + i * PAGE, PAGE, early_byte);
	if (madvise(page, 4 * PAGE, MADV_MERGEABLE))
		broken("MADV_MERGEABLE");
}

TEST_F(target, resident_read_does_not_unmerge_ksm)
{
	long had_run = number_in(KSM "run");
	long had_sleep = number_in(KSM "sleep_millisecs");
	long end = now_ms() + PATIENCE_MS;
	uint64_t entry[4];
	struct answer a;
	bool refused;
	size_t i;

	if (had_run < 0)
		SKIP(return, "not in this kernel: " KSM);
	assert_started(_metadata, start_target(build_mergeable));
	set_number(KSM "sleep_millisecs", 10);
	set_number(KSM "run", 1);
	do {
		usleep(20000);
		ASSERT_TRUE(look_at_pages(target.pid, ANON_AT, 4, entry));
	} while (!is_same_page(entry[0], entry[3]) && now_ms() < end);
	/* Merged pages stay merged, and no other pages are merged meanwhile. */
	set_number(KSM "run", 0);
	ASSERT_TRUE(look_at_pages(target.pid, ANON_AT, 4, entry));
	if (!is_same_page(entry[0], entry[3])) {
		set_number(KSM "sleep_millisecs", had_sleep);
		SKIP(return, "the kernel did not merge equal pages in %d s", PATIENCE_MS / 1000);
	}
	for (i = 0; i < DOORS; i++) {
		if (!has_flags(&doors[i], PVMREAD_RESIDENT))
			continue;
		fill(LOCAL, PAGE, own_byte);
		a = ask(&doors[i], &target, PVMREAD_RESIDENT, ANON_AT, LOCAL, PAGE);
		refused = doors[i].write || READS_PIN;
		EXPECT_TRUE(is_answer(&a, &doors[i], PVMREAD_RESIDENT, ANON_AT,
				      refused ? 0 : PAGE, refused ? EIO : 0));
		if (!refused)
			EXPECT_TRUE(is_filled(LOCAL, PAGE, early_byte, 0));
		EXPECT_EQ(entry[0], page_entry(target.pid, ANON_AT));
		EXPECT_EQ(entry[3], page_entry(target.pid, ANON_AT + 3 * PAGE));
	}
	/* Only report this: both results are allowed. */
	ask(&doors[0], &target, 0, ANON_AT, LOCAL, PAGE);
	say("READV without a flag leaves it %s",
	    is_same_page(entry[3], page_entry(target.pid, ANON_AT)) ? "merged" :
	    "the target's own");
	/* Unmerge all pages, and restore the settings. */
	set_number(KSM "run", 2);
	set_number(KSM "run", had_run);
	set_number(KSM "sleep_millisecs", had_sleep);
}

static void build_huge(void)
{
	uint64_t *at;
	size_t i;

	if (prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0))
		broken("PR_SET_THP_DISABLE");
	at = (void *)map(HUGE_AT, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(at, 2 * HUGE_PAGE, MADV_HUGEPAGE);
	for (i = 0; i < HUGE_PAGE / 8; i++)
		at[i] = mark(i);
}

static void build_hugetlb(void)
{
	uint64_t *at;
	size_t i;

	at = (void *)map(HUGE_AT, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	for (i = 0; i < HUGE_PAGE / 8; i++)
		at[i] = mark(i);
}

/* The first of two huge pages is present and is read completely; the second is not read. */
static void expect_first_huge_page(struct __test_metadata *_metadata, uint32_t flags, int error,
				   char *before, char *after, size_t size)
{
	size_t len = LOCAL_SIZE, i, j, k;
	struct answer a;

	if (len > HUGE_PAGE)
		len = HUGE_PAGE;
	describe(target.pid, HUGE_AT, before, size);
	for (i = 0; i < DOORS; i += 2) {
		if (!has_flags(&doors[i], flags))
			continue;
		for (j = 0; j < HUGE_PAGE; j += len) {
			memset(LOCAL, 0, len);
			a = ask(&doors[i], &target, flags, HUGE_AT + j, LOCAL, len);
			ASSERT_TRUE(is_answer(&a, &doors[i], flags, HUGE_AT + j, len, 0));
			for (k = 0; k < len / 8; k++)
				ASSERT_EQ(mark(j / 8 + k), ((uint64_t *)LOCAL)[k]);
		}
		a = ask(&doors[i], &target, flags, HUGE_AT + HUGE_PAGE - 100, LOCAL, 200);
		EXPECT_TRUE(is_answer(&a, &doors[i], flags, HUGE_AT + HUGE_PAGE - 100, 100,
				      error));
		a = ask(&doors[i], &target, flags, HUGE_AT + HUGE_PAGE, LOCAL, 200);
		EXPECT_TRUE(is_answer(&a, &doors[i], flags, HUGE_AT + HUGE_PAGE, 0, error));
	}
	describe(target.pid, HUGE_AT, after, size);
	EXPECT_STREQ(before, after);
}

static long fork_sleeper(unsigned long unused)
{
	pid_t pid = fork();

	(void)unused;
	if (pid)
		return pid;
	die_with_parent();
	for (;;)
		pause();
}

TEST_F(target, resident_read_keeps_a_huge_page_intact)
{
	uint64_t entry;
	long sleeper;

	assert_started(_metadata, start_target(build_huge));
	describe(target.pid, HUGE_AT, self->before, sizeof(self->before));
	if (number_after(self->before, "AnonHugePages:") < (long)(HUGE_PAGE / 1024))
		SKIP(return, "could not allocate a transparent huge page");
	expect_first_huge_page(_metadata, PVMREAD_RESIDENT, EIO, self->before, self->after,
			       sizeof(self->before));
	/* The same when it is shared with a child. */
	sleeper = order(fork_sleeper, 0);
	ASSERT_LT(0, sleeper);
	entry = page_entry(target.pid, HUGE_AT);
	EXPECT_TRUE(is_same_page(entry, page_entry(sleeper, HUGE_AT)));
	expect_first_huge_page(_metadata, PVMREAD_RESIDENT, EIO, self->before, self->after,
			       sizeof(self->before));
	EXPECT_LE((long)(HUGE_PAGE / 1024), number_after(self->after, "AnonHugePages:"));
	EXPECT_TRUE(is_same_page(entry, page_entry(target.pid, HUGE_AT)));
	kill(sleeper, SIGKILL);
}

TEST_F(target, resident_or_nowait_read_faults_in_no_hugetlb_page)
{
	long had = number_in(NR_HUGEPAGES);

	if (had < 0)
		SKIP(return, "not in this kernel: huge pages");
	set_number(NR_HUGEPAGES, had + 2);
	if (number_in(NR_HUGEPAGES) < had + 2) {
		set_number(NR_HUGEPAGES, had);
		SKIP(return, "could not allocate two huge pages");
	}
	assert_started(_metadata, start_target(build_hugetlb));
	expect_first_huge_page(_metadata, PVMREAD_RESIDENT, EIO, self->before, self->after,
			       sizeof(self->before));
	/* hugetlb_fault() may wait for a fault that clears a page, so NOWAIT must not call it. */
	expect_first_huge_page(_metadata, PVMREAD_NOWAIT, EAGAIN, self->before, self->after,
			       sizeof(self->before));
	stop_target();
	set_number(NR_HUGEPAGES, had);
}

/* --- Itself --- */

TEST_F(target, flags_apply_to_the_callers_own_memory)
{
	struct subject own = { .pid = getpid() };
	unsigned char *page;
	uint32_t flags;
	struct answer a;
	size_t i;

	page = map(ANON_AT, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(page, PAGE, early_byte);
	ASSERT_TRUE(attach_all(&own));
	for (flags = PVMREAD_RESIDENT; flags <= (PVMREAD_NOWAIT | PVMREAD_RESIDENT);
	     flags += PVMREAD_NOWAIT) {
		for (i = 0; i < DOORS; i++) {
			if (!has_flags(&doors[i], flags))
				continue;
			a = ask(&doors[i], &own, flags, ANON_AT + PAGE - 100, LOCAL, 200);
			EXPECT_TRUE(is_answer(&a, &doors[i], flags, ANON_AT + PAGE - 100, 100,
					      EIO));
			EXPECT_FALSE(page_entry(getpid(), ANON_AT + PAGE) & PRESENT);
			EXPECT_TRUE(is_filled(LOCAL, 100, early_byte, PAGE - 100));
		}
	}
	/* The flags apply to the target: the caller's side is faulted in. */
	ASSERT_EQ(0, madvise(page + PAGE, PAGE, MADV_DONTNEED));
	a = ask(&doors[0], &own, PVMREAD_RESIDENT | PVMREAD_NOWAIT, ANON_AT, page + PAGE, PAGE);
	EXPECT_TRUE(is_answer(&a, &doors[0], PVMREAD_RESIDENT | PVMREAD_NOWAIT, ANON_AT, PAGE, 0));
	EXPECT_TRUE(is_filled(page + PAGE, PAGE, early_byte, 0));
	detach_all(&own);
	munmap(page, 2 * PAGE);
}

TEST_HARNESS_MAIN
