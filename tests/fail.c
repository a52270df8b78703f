// SPDX-License-Identifier: GPL-2.0
/*
 * Fail: every allocation and every copy from or to user space fails once, on
 * purpose.
 *
 * The kernel's fault injection makes the n-th such call of a thread fail, for n = 1, 2,
 * 3 ... until a request meets no failure. It can also make all calls of one kind fail
 * from the n-th on. The kernel decrements the "times" of a kind with each failure. It can
 * inject failures into copy_from_user() and the like, and into copies of an iov_iter. It
 * cannot inject them into get_user(), put_user(), unsafe_get_user() and unsafe_put_user():
 * abi.c and the tests "results" below cover those with memory that cannot be accessed.
 *
 * Whatever fails, a request returns what the header says about such a failure, has moved
 * the bytes that it reports and no others, leaks nothing, and succeeds the next time. The
 * kernel counts pins. It does not count page references, but a file cannot be sealed
 * while a reference to one of its pages exists.
 *
 * The allocations of a request depend on the state of the target's memory: see enum
 * state. A request that io_uring passes to a worker fails in the worker.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <kselftest_harness.h>

#include "load.h"
#include "process.h"

/*
 * The two regions. No process here uses these addresses for anything else, not even a
 * 32-bit one or one on User mode Linux. Each region has its own page tables.
 */
#define REMOTE		0x60000000UL
#define LOCAL		0xa0000000UL
#define REGION		(18 * PAGE)
/* The offset of a request in its region, on either side. */
#define HEAD		50UL
#define START		(REMOTE + HEAD)
/*
 * Bytes of a request. SMALL is in one page, MEDIUM in three. LARGE needs more than one
 * hold, and more page pointers than fit on the stack.
 */
#define SMALL		100UL
#define MEDIUM		(2 * PAGE + 1000)
#define LARGE		(16 * PAGE + 1000)
/* More pages than a pipe keeps for reuse (two): splice() must allocate some. */
#define PIPEFUL		(8 * PAGE)
/* Elements of an array: MANY do not fit on the stack, SEGMENTS are two chunks of a BATCH. */
#define MANY		9
#define SEGMENTS	25
/* The distance between NULs. */
#define STRING		200UL

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
/* References to the module: of the open device, and of the device and a sweep's target file. */
#define REFS_DEVICE	1
#define REFS_SWEEP	2
/* No request here makes this many calls, or allocates objects of this many bytes. */
#define MOST		1000000UL
#define ROUNDS		10
/* A reference that is not dropped within this time has leaked. */
#define SEAL_MS		10000
/* Values of "times": IN_A_ROW if all calls from the n-th on fail, otherwise TIMES. */
#define IN_A_ROW	64
#define TIMES		"1000000"

/* --- What fails --- */

enum kind { SLAB, PAGES, USERCOPY, KINDS };

#define BIT(nr)		(1U << (nr))
#define MEMORY		(BIT(SLAB) | BIT(PAGES))

static const char * const attribute[KINDS] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/**
 * struct setting - a file of the fault injection
 * @kind: the kind of failure
 * @name: its name
 * @value: the value for the test
 * @before: the previous value
 */
static struct setting {
	enum kind kind;
	const char *name;
	const char *value;
	char before[24];
} settings[] = {
	{ SLAB, "ignore-gfp-wait", "N", "" },
	{ SLAB, "cache-filter", "N", "" },
	{ SLAB, "probability", "0", "" },
	{ SLAB, "interval", "1", "" },
	{ SLAB, "task-filter", "Y", "" },
	{ SLAB, "verbose", "0", "" },
	{ SLAB, "space", "0", "" },
	{ SLAB, "times", TIMES, "" },
	{ PAGES, "ignore-gfp-wait", "N", "" },
	{ PAGES, "ignore-gfp-highmem", "N", "" },
	{ PAGES, "min-order", "0", "" },
	{ PAGES, "probability", "0", "" },
	{ PAGES, "interval", "1", "" },
	{ PAGES, "task-filter", "Y", "" },
	{ PAGES, "verbose", "0", "" },
	{ PAGES, "space", "0", "" },
	{ PAGES, "times", TIMES, "" },
	{ USERCOPY, "probability", "0", "" },
	{ USERCOPY, "interval", "1", "" },
	{ USERCOPY, "task-filter", "Y", "" },
	{ USERCOPY, "verbose", "0", "" },
	{ USERCOPY, "space", "0", "" },
	{ USERCOPY, "times", TIMES, "" },
};

/* Return: a file of this kind, or -1. */
static int open_attribute(enum kind kind, const char *name)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", attribute[kind], name);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* Return: true if all could be set, or restored. */
static bool apply_settings(bool back)
{
	struct setting *s;
	bool good = true;
	const char *text;
	int fd;

	for (s = settings; s < settings + ARRAY_SIZE(settings); s++) {
		fd = open_attribute(s->kind, s->name);
		if (fd < 0)
			return false;
		if (!back && read(fd, s->before, sizeof(s->before) - 1) <= 0)
			good = false;
		text = back ? s->before : s->value;
		if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
			good = false;
		close(fd);
	}
	return good;
}

static int nth_fd, make_it_fail_fd;

static bool put_number(int fd, long value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%ld", value);

	return write(fd, text, len) == len;
}

/* Return: what @fd shows, or -1. */
static long get_number(int fd)
{
	char text[24] = "";

	/* pread() does not work for some files. Others need it to be read a second time. */
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 &&
	    (errno != ESPIPE || read(fd, text, sizeof(text) - 1) <= 0))
		return -1;
	return strtol(text, NULL, 0);
}

static bool set_attribute(enum kind kind, const char *name, long value)
{
	int fd = open_attribute(kind, name);
	bool good = put_number(fd, value);

	close(fd);
	return good;
}

/* Return: how many failures of this kind are still allowed, or -1. */
static long times(enum kind kind)
{
	int fd = open_attribute(kind, "times");
	long n = get_number(fd);

	close(fd);
	return n;
}

/*
 * If @only is KINDS, the n-th call fails, whatever its kind. Otherwise all calls of the
 * kind @only fail: pages and copies from the n-th on, objects after the first n bytes.
 */
static enum kind only;
static long times_left[KINDS];

static void look_at_times(void)
{
	int i;

	for (i = 0; i < KINDS; i++)
		times_left[i] = times(i);
}

/* From here to disarm() this thread makes only the tested system call. */
static bool arm(unsigned long n)
{
	if (only == KINDS)
		return put_number(nth_fd, n);
	return set_attribute(only, "times", IN_A_ROW) && set_attribute(only, "space", n) &&
	       put_number(make_it_fail_fd, 1);
}

/*
 * Reading the counters and disabling the injection also copies from and to user space.
 * So disarm() itself may meet the failure that the request did not meet.
 *
 * Return: the number of failures that the request has met, with a bit in @met for each
 * kind; or -1 if the injection does not work as expected.
 */
static int disarm(unsigned int *met)
{
	int i, tries = 0, count = 0;
	long left;

	*met = 0;
	if (only != KINDS) {
		while (!put_number(make_it_fail_fd, 0))
			if (tries++ > IN_A_ROW)
				return -1;
		left = times(only);
		if (left < 0)
			return -1;
		count = IN_A_ROW - left - (only == USERCOPY ? tries : 0);
		if (count > 0)
			*met = BIT(only);
		return count;
	}
	left = get_number(nth_fd);
	while (!put_number(nth_fd, 0))
		if (tries++ > 1)
			return -1;
	if (left) {
		look_at_times();
		return 0;
	}
	for (i = 0; i < KINDS; i++) {
		if (times(i) == times_left[i])
			continue;
		times_left[i]--;
		*met |= BIT(i);
		count++;
	}
	/* Exactly one call must have failed. */
	return count == 1 ? 1 : -1;
}

/* No object has fewer than 8 bytes. */
static unsigned long first_n(void)
{
	return only == SLAB ? 8 : 1;
}

static unsigned long next_n(unsigned long n)
{
	return only == SLAB ? 2 * n : n + 1;
}

/* --- Memory --- */

/**
 * enum state - the state of the memory of a request
 * @PRESENT: in the page tables: pages of the region's file, mapped shared
 * @ABSENT: anonymous, never touched: no page, no page tables, no anon_vma
 * @FRONT: the first page is PRESENT, the following ones are ABSENT
 * @CACHED: the region's file, mapped privately and never touched
 * @NOTHING: there is no mapping
 */
enum state { PRESENT, ABSENT, FRONT, CACHED, NOTHING };

/* The contents of the regions. old_bytes and own_bytes have no byte value in common. */
static unsigned char zeros[REGION], front[REGION], old_bytes[REGION], own_bytes[REGION];

static __attribute__((constructor)) void fill_regions(void)
{
	size_t i;

	for (i = 0; i < REGION; i++) {
		old_bytes[i] = i % STRING == STRING - 1 ? 0 : 1 + (i * 7 + i / PAGE * 13) % 119;
		own_bytes[i] = 128 + (i * 5 + i / PAGE * 11) % 119;
	}
	memcpy(front, old_bytes, PAGE);
}

/* The contents of a region in this state before the request. */
static const unsigned char *contents(enum state state, const unsigned char *bytes)
{
	return state == ABSENT ? zeros : state == FRONT ? front : bytes;
}

/* The regions' files, for as long as a sweep or a wait takes. */
static int remote_fd = -1, local_fd = -1;

/* Return: a file with these bytes of a region, or -1. */
static int make_file(const unsigned char *bytes)
{
	int fd = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && write(fd, bytes, REGION) != (ssize_t)REGION) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool make_files(void)
{
	remote_fd = make_file(old_bytes);
	local_fd = make_file(own_bytes);
	return remote_fd >= 0 && local_fd >= 0;
}

/*
 * A file cannot be sealed while it has a writable mapping, or while a reference to one
 * of its pages exists. Sealing drains the page batches of the CPUs.
 */
static bool seal_file(int fd)
{
	long end = now_ms() + SEAL_MS;

	while (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)) {
		if (errno != EBUSY || now_ms() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* Call this when both regions are unmapped. Return: NULL, or what has leaked. */
static const char *end_files(void)
{
	const char *left = NULL;

	if (!seal_file(remote_fd))
		left = "a reference to a page of the target is left";
	else if (!seal_file(local_fd))
		left = "a reference to a page of the caller is left";
	close(remote_fd);
	close(local_fd);
	return left;
}

static bool map_at(void *p, size_t len, int flags, int fd)
{
	return mmap(p, len, PROT_READ | PROT_WRITE, flags, fd, 0) == p;
}

/* The state of this process's only region. */
static enum state made = NOTHING;

static void unmake_region(uintptr_t at)
{
	if (made != NOTHING)
		munmap((void *)at, REGION);
	made = NOTHING;
}

/* Set the state of a region. Memory that must not be present loses its page tables. */
static bool make_region(uintptr_t at, enum state state, const unsigned char *bytes)
{
	int flags = state == PRESENT ? MAP_SHARED : MAP_PRIVATE;
	int fd = at == REMOTE ? remote_fd : local_fd;
	void *p = (void *)at;

	if (state == ABSENT || state == FRONT)
		flags |= MAP_ANONYMOUS;
	if (state != PRESENT || made != PRESENT) {
		unmake_region(at);
		if (!map_at(p, REGION, flags | MAP_FIXED_NOREPLACE,
			    flags & MAP_ANONYMOUS ? -1 : fd))
			return false;
		made = state;
		if (state == FRONT && !map_at(p, PAGE, MAP_SHARED | MAP_FIXED, fd))
			return false;
	}
	if (state == PRESENT || state == FRONT)
		memcpy(p, bytes, state == FRONT ? PAGE : REGION);
	return true;
}

static int dev = -1;

/* The target, and the tester's ends of the pipes to it and from it. */
static struct {
	pid_t pid;
	int pidfd;
	int in;
	int out;
} target;

static void be_target(int in, int out)
{
	char state;

	die_with_parent();
	made = NOTHING;
	while (read(in, &state, 1) == 1) {
		if (!make_region(REMOTE, state, old_bytes) || write(out, &state, 1) != 1)
			break;
	}
	_exit(0);
}

static bool start_target(void)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return false;
	target.pid = fork();
	if (!target.pid) {
		close(in[1]);
		close(out[0]);
		be_target(in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	target.in = in[1];
	target.out = out[0];
	target.pidfd = open_pidfd(target.pid);
	return target.pid > 0 && target.pidfd >= 0;
}

static void stop_target(void)
{
	kill(target.pid, SIGKILL);
	reap(target.pid, PATIENCE_MS);
	close(target.pidfd);
	close(target.in);
	close(target.out);
	target.pid = 0;
}

static bool reset_target(enum state state)
{
	struct pollfd pfd = { .fd = target.out, .events = POLLIN };
	char c = state;

	return write(target.in, &c, 1) == 1 && poll(&pfd, 1, PATIENCE_MS) == 1 &&
	       read(target.out, &c, 1) == 1;
}

/* --- Requests --- */

struct op;
struct outcome;

/**
 * struct door - an interface for requests
 * @call: makes the system call, and nothing else
 * @fits: does the result fit the failures met?
 * @begin: prepares each call; may be NULL
 * @end: records the result, copies bytes that arrived elsewhere to LOCAL, and frees what
 *	the call created. May be NULL
 */
struct door {
	void (*call)(const struct op *op, struct outcome *out);
	bool (*fits)(const struct op *op, const struct outcome *out, unsigned int met);
	bool (*begin)(const struct op *op);
	void (*end)(const struct op *op, struct outcome *out);
};

/**
 * struct op - a request
 * @name: its name
 * @door: its interface
 * @write: it writes the target
 * @flags: flags of the request, or of the ATTACH of its file
 * @remote: state of the target's memory
 * @local: state of the caller's memory
 * @len: how many bytes; 0 if it moves none
 * @count: number of pieces
 * @least: number of failures of each kind that it must meet, or the test would prove
 *	nothing
 */
struct op {
	const char *name;
	const struct door *door;
	bool write;
	uint32_t flags;
	enum state remote;
	enum state local;
	size_t len;
	unsigned int count;
	unsigned int least[KINDS];
};

/**
 * struct outcome - the result of a request
 * @ret: what the call returned
 * @err: its errno, 0 if it did not fail
 * @moved: how many bytes the call says it has moved, in all
 * @done: the same for each piece, if reported
 * @pieces: number of elements in @done
 * @told: @done is valid
 * @elsewhere: number of bytes that arrived, if the destination is not LOCAL
 * @rw: the struct of READV and WRITEV
 * @batch: the struct of BATCH
 * @good: all other conditions are met
 */
struct outcome {
	long ret;
	int err;
	size_t moved;
	size_t done[SEGMENTS];
	unsigned int pieces;
	bool told;
	long elsewhere;
	struct pvmread_rw rw;
	struct pvmread_batch batch;
	bool good;
};

/* No request returns this. */
#define CANARY		0x5ca1ab1eU

/* Each piece of a request is SMALL, except the last one, which is the rest. */
static size_t piece_len(const struct op *op, unsigned int i)
{
	return i + 1 < op->count ? SMALL : op->len - i * SMALL;
}

static struct iovec local_iov[MANY], remote_iov[MANY];

static void cut(const struct op *op, struct iovec *iov, uintptr_t at)
{
	unsigned int i;

	for (i = 0; i < op->count; i++)
		iov[i] = (struct iovec){ (void *)(at + i * SMALL), piece_len(op, i) };
}

/* Does the request allocate kernel memory in every state of the regions? */
static bool is_large(const struct op *op)
{
	return op->count > 8 || op->len > 15 * PAGE;
}

/* Can these failures end a transfer with this error? */
static bool is_reason(const struct op *op, unsigned int reason, unsigned int met)
{
	switch (reason) {
	case EFAULT:
		return met & (op->local == PRESENT ? BIT(USERCOPY) : ~0U);
	case ENOMEM:
		return op->remote != PRESENT && met & MEMORY;
	case EAGAIN:
		/* The target may be busy for a moment. */
		return op->flags & PVMREAD_NOWAIT;
	default:
		return false;
	}
}

static struct pvmread_rw rw;

static void call_rw(const struct op *op, struct outcome *out)
{
	out->ret = ioctl(dev, op->write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &rw);
	out->err = out->ret ? errno : 0;
}

static bool begin_rw(const struct op *op)
{
	cut(op, local_iov, LOCAL + HEAD);
	cut(op, remote_iov, START);
	rw = (struct pvmread_rw){
		.size = sizeof(rw),
		.flags = op->flags,
		.pid = op->flags & PVMREAD_PIDFD ? target.pidfd : target.pid,
		.error = CANARY,
		.local = (uintptr_t)local_iov,
		.local_count = op->count,
		.remote = (uintptr_t)remote_iov,
		.remote_count = op->count,
		.transferred = CANARY,
		.stop_addr = CANARY,
	};
	return true;
}

static void end_rw(const struct op *op, struct outcome *out)
{
	(void)op;
	out->rw = rw;
	out->moved = rw.transferred == CANARY ? 0 : rw.transferred;
}

static bool fits_rw(const struct op *op, const struct outcome *out, unsigned int met)
{
	uint32_t error = out->rw.error;

	/* The struct was not read, so it was not written. */
	if (error == CANARY || out->rw.transferred == CANARY || out->rw.stop_addr == CANARY)
		return error == CANARY && out->rw.transferred == CANARY &&
		       out->rw.stop_addr == CANARY && out->ret == -1 && out->err == EFAULT &&
		       met & BIT(USERCOPY);
	if (out->err == ENOMEM)
		return is_large(op) && met & MEMORY && error == ENOMEM && !out->moved &&
		       !out->rw.stop_addr;
	if (out->rw.stop_addr != START + out->moved || !out->moved != !!out->ret)
		return false;
	if (out->ret && out->err != EFAULT)
		return false;
	return out->moved == op->len ? !error : is_reason(op, error, met);
}

static const struct door rw_door = { call_rw, fits_rw, begin_rw, end_rw };

static int file = -1;

/* For a call that moves the file's position. */
static bool begin_at_start(const struct op *op)
{
	cut(op, local_iov, LOCAL + HEAD);
	return lseek(file, START, SEEK_SET) == (off_t)START;
}

static void end_at_position(const struct op *op, struct outcome *out)
{
	(void)op;
	out->good = lseek(file, 0, SEEK_CUR) == (off_t)(START + out->moved);
}

static void note(struct outcome *out, long ret)
{
	out->ret = ret;
	out->err = ret < 0 ? errno : 0;
	out->moved = ret < 0 ? 0 : ret;
}

static void call_pread(const struct op *op, struct outcome *out)
{
	note(out, op->write ? pwrite(file, (void *)(LOCAL + HEAD), op->len, START) :
			      pread(file, (void *)(LOCAL + HEAD), op->len, START));
}

static void call_read(const struct op *op, struct outcome *out)
{
	note(out, op->write ? write(file, (void *)(LOCAL + HEAD), op->len) :
			      read(file, (void *)(LOCAL + HEAD), op->len));
}

static void call_readv(const struct op *op, struct outcome *out)
{
	note(out, op->write ? writev(file, local_iov, op->count) :
			      readv(file, local_iov, op->count));
}

/* The flag belongs to the call, not to the file. */
static void call_preadv2(const struct op *op, struct outcome *out)
{
	note(out, op->write ? pwritev2(file, local_iov, op->count, START, RWF_NOWAIT) :
			      preadv2(file, local_iov, op->count, START, RWF_NOWAIT));
}

static bool fits_file(const struct op *op, const struct outcome *out, unsigned int met)
{
	if (!out->good)
		return false;
	if (out->ret == (long)op->len)
		return true;
	if (out->ret > 0)
		return out->ret < (long)op->len && (met || op->flags & PVMREAD_NOWAIT);
	return out->ret == -1 && (is_reason(op, out->err, met) ||
				  (out->err == ENOMEM && is_large(op) && met & MEMORY));
}

static bool begin_vector(const struct op *op)
{
	cut(op, local_iov, LOCAL + HEAD);
	return true;
}

static const struct door
	pread_door = { call_pread, fits_file, NULL, NULL },
	read_door = { call_read, fits_file, begin_at_start, end_at_position },
	readv_door = { call_readv, fits_file, begin_at_start, end_at_position },
	preadv2_door = { call_preadv2, fits_file, begin_vector, NULL };

static struct pvmread_segment segs[SEGMENTS];
static struct pvmread_batch batch;

static void call_batch(const struct op *op, struct outcome *out)
{
	(void)op;
	out->ret = ioctl(file, PVMREAD_IOC_BATCH, &batch);
	out->err = out->ret ? errno : 0;
}

static bool begin_batch_of(const struct op *op, uint32_t flags, uint32_t segment_flags)
{
	unsigned int i;

	for (i = 0; i < op->count; i++)
		segs[i] = (struct pvmread_segment){
			.remote = START + i * SMALL,
			.local = LOCAL + HEAD + i * SMALL,
			.length = piece_len(op, i),
			.flags = segment_flags,
			.error = CANARY,
			.done = CANARY,
		};
	batch = (struct pvmread_batch){
		.size = sizeof(batch),
		.flags = flags | (op->write ? PVMREAD_WRITE : 0),
		.segments = (uintptr_t)segs,
		.count = op->count,
		.completed = CANARY,
	};
	return true;
}

static bool begin_batch(const struct op *op)
{
	return begin_batch_of(op, 0, 0);
}

static bool begin_batch_stop(const struct op *op)
{
	return begin_batch_of(op, PVMREAD_STOP, 0);
}

static bool begin_batch_string(const struct op *op)
{
	return begin_batch_of(op, 0, PVMREAD_SEGMENT_STRING);
}

static void end_batch(const struct op *op, struct outcome *out)
{
	unsigned int i;

	(void)op;
	out->batch = batch;
	out->told = true;
	if (batch.completed == CANARY)
		return;
	for (i = 0; i < SEGMENTS && i < batch.completed; i++) {
		out->done[i] = segs[i].done;
		out->moved += segs[i].done;
	}
	out->pieces = i;
}

/* Return: the number of bytes of segment @i: a string ends with its NUL. */
static size_t whole(const struct op *op, unsigned int i)
{
	size_t n, len = piece_len(op, i), at = HEAD + i * SMALL;

	if (!(segs[i].flags & PVMREAD_SEGMENT_STRING))
		return len;
	for (n = 0; n < len; n++)
		if (!contents(op->remote, old_bytes)[at + n])
			return n + 1;
	return len;
}

/* Have all requested bytes moved? */
static bool is_whole(const struct op *op, const struct outcome *out)
{
	unsigned int i;

	if (!out->told)
		return !out->err && (!op->len || out->moved == op->len);
	for (i = 0; i < out->pieces; i++)
		if (segs[i].error)
			return false;
	return out->pieces == op->count;
}

static bool fits_batch(const struct op *op, const struct outcome *out, unsigned int met)
{
	unsigned int i, completed = out->batch.completed;

	/* The struct was not read. */
	if (completed == CANARY)
		return out->ret == -1 && out->err == EFAULT && met & BIT(USERCOPY);
	if (completed > op->count)
		return false;
	for (i = 0; i < op->count; i++) {
		/* Segments that were not processed have no result. */
		if (i >= completed) {
			if (segs[i].error != CANARY || segs[i].done != CANARY)
				return false;
			continue;
		}
		if (segs[i].done == whole(op, i) && !segs[i].error)
			continue;
		if (segs[i].done >= whole(op, i) || !is_reason(op, segs[i].error, met))
			return false;
		if (batch.flags & PVMREAD_STOP && i + 1 < completed)
			return false;
	}
	if (out->ret)
		return out->ret == -1 && out->err == EFAULT && met & BIT(USERCOPY) &&
		       completed < op->count;
	return completed == op->count ||
	       (batch.flags & PVMREAD_STOP && completed && segs[completed - 1].error);
}

static const struct door
	batch_door = { call_batch, fits_batch, begin_batch, end_batch },
	stop_door = { call_batch, fits_batch, begin_batch_stop, end_batch },
	string_door = { call_batch, fits_batch, begin_batch_string, end_batch };

static int pipes[2];
static int elsewhere;

static void call_splice(const struct op *op, struct outcome *out)
{
	note(out, op->write ? splice(pipes[0], NULL, file, NULL, op->len, 0) :
			      splice(file, NULL, pipes[1], NULL, op->len, 0));
}

/* The pipe to read from contains the caller's own pages. */
static bool begin_splice(const struct op *op)
{
	struct iovec iov = { (void *)(LOCAL + HEAD), op->len };

	if (!begin_at_start(op) || pipe2(pipes, O_CLOEXEC | O_NONBLOCK))
		return false;
	return !op->write || vmsplice(pipes[1], &iov, 1, 0) == (ssize_t)op->len;
}

static void end_splice(const struct op *op, struct outcome *out)
{
	end_at_position(op, out);
	if (op->write) {
		/* Bytes that were not moved are still in the pipe. */
		unsigned char rest[LARGE];
		ssize_t n = read(pipes[0], rest, sizeof(rest));

		if (n < 0)
			n = 0;
		if (n != (ssize_t)(op->len - out->moved) ||
		    memcmp(rest, (void *)(LOCAL + HEAD + out->moved), n))
			out->good = false;
	} else {
		out->elsewhere = read(pipes[0], (void *)(LOCAL + HEAD), op->len);
		if (out->elsewhere < 0)
			out->elsewhere = 0;
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* The pages that go to the target are from the caller's region. */
static void call_sendfile(const struct op *op, struct outcome *out)
{
	note(out, op->write ? sendfile(file, local_fd, NULL, op->len) :
			      sendfile(elsewhere, file, NULL, op->len));
}

static bool begin_sendfile(const struct op *op)
{
	elsewhere = memfd_create("elsewhere", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return elsewhere >= 0 && lseek(local_fd, HEAD, SEEK_SET) == (off_t)HEAD &&
	       begin_at_start(op);
}

static void end_sendfile(const struct op *op, struct outcome *out)
{
	end_at_position(op, out);
	if (op->write)
		out->good &= lseek(local_fd, 0, SEEK_CUR) == (off_t)(HEAD + out->moved);
	else
		out->elsewhere = pread(elsewhere, (void *)(LOCAL + HEAD), op->len, 0);
	out->good &= seal_file(elsewhere);
	close(elsewhere);
}

/* splice() and sendfile() allocate kernel memory for any number of bytes. */
static bool fits_splice(const struct op *op, const struct outcome *out, unsigned int met)
{
	if (!out->good || (!op->write && out->elsewhere != (long)out->moved))
		return false;
	if (out->ret > 0)
		return out->ret == (long)op->len || (out->ret < (long)op->len && met);
	return out->ret == -1 && out->err == ENOMEM && met & MEMORY;
}

static const struct door
	splice_door = { call_splice, fits_splice, begin_splice, end_splice },
	sendfile_door = { call_sendfile, fits_splice, begin_sendfile, end_sendfile };

/* --- A ring for one request --- */

static struct {
	int fd;
	unsigned char *rings;
	size_t size;
	struct io_uring_sqe *sqe;
	struct io_uring_params p;
} ring;

/* Add a request: the ring has room for one. */
static void put_on_ring(void)
{
	unsigned int *tail = (void *)(ring.rings + ring.p.sq_off.tail);

	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

/* Return: the number of completions; the first one is in @cqe. */
static unsigned int answers_on_ring(const struct io_uring_cqe **cqe)
{
	unsigned int *head = (void *)(ring.rings + ring.p.cq_off.head);
	unsigned int *tail = (void *)(ring.rings + ring.p.cq_off.tail);
	unsigned int *mask = (void *)(ring.rings + ring.p.cq_off.ring_mask);

	*cqe = (void *)(ring.rings + ring.p.cq_off.cqes);
	*cqe += *head & *mask;
	return __atomic_load_n(tail, __ATOMIC_ACQUIRE) - *head;
}

static long enter_ring(void)
{
	return syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

static bool begin_ring_of(const struct op *op, int opcode)
{
	struct iovec iov = { (void *)LOCAL, REGION };
	unsigned int *array;

	memset(&ring, 0, sizeof(ring));
	ring.fd = syscall(SYS_io_uring_setup, 1, &ring.p);
	if (ring.fd < 0)
		return false;
	ring.size = ring.p.cq_off.cqes + ring.p.cq_entries * sizeof(struct io_uring_cqe);
	if (ring.size < ring.p.sq_off.array + ring.p.sq_entries * sizeof(*array))
		ring.size = ring.p.sq_off.array + ring.p.sq_entries * sizeof(*array);
	ring.rings = mmap(NULL, ring.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			  ring.fd, IORING_OFF_SQ_RING);
	ring.sqe = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
			IORING_OFF_SQES);
	if (ring.rings == MAP_FAILED || ring.sqe == MAP_FAILED ||
	    !(ring.p.features & IORING_FEAT_SINGLE_MMAP))
		return false;
	if ((opcode == IORING_OP_READ_FIXED || opcode == IORING_OP_WRITE_FIXED) &&
	    syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &iov, 1))
		return false;
	*ring.sqe = (struct io_uring_sqe){
		.opcode = opcode,
		.fd = file,
		.addr = LOCAL + HEAD,
		.len = op->len,
		.off = START,
	};
	array = (void *)(ring.rings + ring.p.sq_off.array);
	array[0] = 0;
	put_on_ring();
	return true;
}

static bool begin_ring(const struct op *op)
{
	return begin_ring_of(op, op->write ? IORING_OP_WRITE : IORING_OP_READ);
}

static bool begin_ring_fixed(const struct op *op)
{
	return begin_ring_of(op, op->write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED);
}

static void call_ring(const struct op *op, struct outcome *out)
{
	(void)op;
	out->ret = enter_ring();
	out->err = out->ret < 0 ? errno : 0;
}

static void end_ring(const struct op *op, struct outcome *out)
{
	const struct io_uring_cqe *cqe;
	unsigned int got = answers_on_ring(&cqe);

	(void)op;
	out->good = got == (out->ret == 1);
	if (got) {
		out->err = cqe->res < 0 ? -cqe->res : 0;
		out->ret = cqe->res < 0 ? -1 : cqe->res;
		out->moved = cqe->res < 0 ? 0 : cqe->res;
	} else if (out->err == EAGAIN) {
		/* io_uring_enter(2) fails with EAGAIN if it has no memory for a request. */
		out->err = ENOMEM;
	}
	munmap(ring.rings, ring.size);
	munmap(ring.sqe, PAGE);
	close(ring.fd);
}

/* Return: the file @name of the only worker in /proc, or -1. */
static int open_worker_file(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	char path[80];
	int fd = -1;

	/* This process has no other thread. */
	while (fd < 0 && tasks && (entry = readdir(tasks))) {
		if (atoi(entry->d_name) <= 0 || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/%s", atoi(entry->d_name), name);
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (tasks)
		closedir(tasks);
	return fd;
}

/* The tester's own files, while nth_fd and make_it_fail_fd are those of a worker. */
static int own_nth_fd, own_make_it_fail_fd;

/*
 * A first request makes io_uring start its only worker. That request reads the device,
 * which fails in the worker.
 */
static bool begin_ring_with_worker(const struct op *op)
{
	unsigned int most[] = { 1, 1 }, *head;
	const struct io_uring_cqe *cqe;
	struct io_uring_sqe request;

	if (!begin_ring(op) || syscall(SYS_io_uring_register, ring.fd,
				       IORING_REGISTER_IOWQ_MAX_WORKERS, most, 2))
		return false;
	request = *ring.sqe;
	ring.sqe->flags = IOSQE_ASYNC;
	ring.sqe->opcode = IORING_OP_READ;
	ring.sqe->fd = dev;
	if (enter_ring() != 1 || answers_on_ring(&cqe) != 1 || cqe->res >= 0)
		return false;
	head = (void *)(ring.rings + ring.p.cq_off.head);
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	*ring.sqe = request;
	put_on_ring();
	return true;
}

/* The failure is in the worker, because io_uring does not try the request here first. */
static bool begin_worker(const struct op *op)
{
	if (!begin_ring_with_worker(op))
		return false;
	ring.sqe->flags = IOSQE_ASYNC;
	own_nth_fd = nth_fd;
	own_make_it_fail_fd = make_it_fail_fd;
	nth_fd = open_worker_file("fail-nth");
	make_it_fail_fd = open_worker_file("make-it-fail");
	return nth_fd >= 0 && make_it_fail_fd >= 0;
}

static void end_worker(const struct op *op, struct outcome *out)
{
	close(nth_fd);
	close(make_it_fail_fd);
	nth_fd = own_nth_fd;
	make_it_fail_fd = own_make_it_fail_fd;
	end_ring(op, out);
}

static bool fits_ring(const struct op *op, const struct outcome *out, unsigned int met)
{
	if (out->good && out->ret == -1 && out->err == ENOMEM && met & MEMORY)
		return true;
	return fits_file(op, out, met);
}

/* io_uring cancels a request if it has no memory for its first worker. */
static bool fits_ring_without_worker(const struct op *op, const struct outcome *out,
				     unsigned int met)
{
	return (out->good && out->ret == -1 && out->err == ECANCELED && met & MEMORY) ||
	       fits_ring(op, out, met);
}

static const struct door
	ring_door = { call_ring, fits_ring_without_worker, begin_ring, end_ring },
	fixed_door = { call_ring, fits_ring_without_worker, begin_ring_fixed, end_ring },
	both_door = { call_ring, fits_ring, begin_ring_with_worker, end_ring },
	worker_door = { call_ring, fits_ring, begin_worker, end_worker };

/* --- Requests that move nothing --- */

static struct pvmread_info info;

static bool begin_info(const struct op *op)
{
	(void)op;
	info = (struct pvmread_info){ .size = sizeof(info), .version = CANARY };
	return true;
}

static void call_info(const struct op *op, struct outcome *out)
{
	(void)op;
	note(out, ioctl(dev, PVMREAD_IOC_INFO, &info));
}

static bool fits_info(const struct op *op, const struct outcome *out, unsigned int met)
{
	(void)op;
	if (out->ret)
		return out->err == EFAULT && met & BIT(USERCOPY) && info.version == CANARY;
	return !met && info.version == PVMREAD_ABI_VERSION && info.max_batch;
}

/* A call that creates a file can fail for lack of memory, or in the copy of its argument. */
static bool fits_new_file(const struct op *op, const struct outcome *out, unsigned int met)
{
	(void)op;
	if (out->ret >= 0)
		return out->good;
	return (out->err == EFAULT && met & BIT(USERCOPY)) ||
	       (out->err == ENOMEM && met & MEMORY);
}

static struct pvmread_attach attach_arg;

static bool begin_attach(const struct op *op)
{
	attach_arg = (struct pvmread_attach){
		.size = sizeof(attach_arg),
		.flags = op->flags | PVMREAD_WRITE,
		.pid = op->flags & PVMREAD_PIDFD ? target.pidfd : target.pid,
	};
	return true;
}

static void call_attach(const struct op *op, struct outcome *out)
{
	(void)op;
	out->ret = ioctl(dev, PVMREAD_IOC_ATTACH, &attach_arg);
	out->err = out->ret < 0 ? errno : 0;
}

static void end_attach(const struct op *op, struct outcome *out)
{
	unsigned char c = 0;

	(void)op;
	if (out->ret < 0)
		return;
	out->good = pread(out->ret, &c, 1, START) == 1 && c == old_bytes[HEAD] &&
		    !close(out->ret);
}

/* A copy of a file table is only as large as necessary. */
static bool shrink_file_table(void)
{
	/* unshare(2) copies the table only if another process shares it. */
	pid_t sharer = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	bool good;

	if (!sharer) {
		die_with_parent();
		for (;;)
			pause();
	}
	if (sharer < 0)
		return false;
	good = !unshare(CLONE_FILES);
	kill(sharer, SIGKILL);
	reap(sharer, PATIENCE_MS);
	return good;
}

static int next_fd;

/* Every slot of the file table is used: another file needs a larger table. */
static bool begin_attach_full(const struct op *op)
{
	long size;

	if (!begin_attach(op) || !shrink_file_table())
		return false;
	size = proc_number("/proc/self/status", "FDSize:");
	while (dup(STDIN_FILENO) < size - 1)
		;
	return size > next_fd;
}

static void end_attach_full(const struct op *op, struct outcome *out)
{
	end_attach(op, out);
	syscall(SYS_close_range, next_fd, ~0U, 0);
}

static void call_open(const struct op *op, struct outcome *out)
{
	(void)op;
	out->ret = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	out->err = out->ret < 0 ? errno : 0;
}

static void end_open(const struct op *op, struct outcome *out)
{
	if (out->ret < 0)
		return;
	begin_info(op);
	out->good = !ioctl(out->ret, PVMREAD_IOC_INFO, &info) && !close(out->ret);
}

static int fdinfo, closing;
static char text[500];

static bool begin_close_device(const struct op *op)
{
	(void)op;
	closing = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	return closing >= 0;
}

static bool begin_close_file(const struct op *op)
{
	closing = attach(dev, target.pid, op->flags, 0, 0);
	return closing >= 0;
}

static void call_close(const struct op *op, struct outcome *out)
{
	(void)op;
	note(out, close(closing));
}

/* close(2) closes the file even if it cannot allocate memory. */
static bool fits_close(const struct op *op, const struct outcome *out, unsigned int met)
{
	(void)op;
	(void)met;
	return !out->ret && fcntl(closing, F_GETFD) == -1;
}

static bool begin_fdinfo(const struct op *op)
{
	char path[40];

	(void)op;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file);
	fdinfo = open(path, O_RDONLY | O_CLOEXEC);
	memset(text, 0, sizeof(text));
	return fdinfo >= 0;
}

static void call_fdinfo(const struct op *op, struct outcome *out)
{
	(void)op;
	out->ret = read(fdinfo, text, sizeof(text) - 1);
	out->err = out->ret < 0 ? errno : 0;
}

static void end_fdinfo(const struct op *op, struct outcome *out)
{
	char *p = strstr(text, "pid:\t");

	(void)op;
	out->good = p && atoi(p + 5) == target.pid && strstr(p, "\nfaults:\t");
	close(fdinfo);
}

/* Far from other mappings, so that a fault there needs page tables. */
#define WINDOW_AT	((void *)(uintptr_t)(sizeof(long) == 8 ? 0x3000000000ULL : 0xa0000000ULL))

static unsigned char *window;

static bool begin_map(const struct op *op)
{
	window = MAP_FAILED;
	return begin_close_file(op);
}

static void call_map(const struct op *op, struct outcome *out)
{
	(void)op;
	window = mmap(WINDOW_AT, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, closing,
		      START & ~(PAGE - 1));
	note(out, window == MAP_FAILED ? -1 : 0);
}

static void end_map(const struct op *op, struct outcome *out)
{
	uint64_t word;

	(void)op;
	close(closing);
	if (window == MAP_FAILED)
		return;
	out->good = load_word((uint64_t *)window, &word) &&
		    window[START % PAGE] == old_bytes[HEAD];
	munmap(window, PAGE);
}

static bool begin_load(const struct op *op)
{
	struct outcome out;

	if (!begin_map(op))
		return false;
	call_map(op, &out);
	return window != MAP_FAILED;
}

/* The first load takes a page fault. If the handler has no memory, the kernel repeats the fault. */
static void call_load(const struct op *op, struct outcome *out)
{
	uint64_t word;

	(void)op;
	errno = EFAULT;
	note(out, load_word((uint64_t *)window, &word) ? 0 : -1);
}

static bool fits_map(const struct op *op, const struct outcome *out, unsigned int met)
{
	(void)op;
	return out->ret ? out->err == ENOMEM && met & MEMORY : out->good;
}

static const struct door
	info_door = { call_info, fits_info, begin_info, NULL },
	attach_door = { call_attach, fits_new_file, begin_attach, end_attach },
	attach_full_door = { call_attach, fits_new_file, begin_attach_full, end_attach_full },
	open_door = { call_open, fits_new_file, NULL, end_open },
	close_device_door = { call_close, fits_close, begin_close_device, NULL },
	close_file_door = { call_close, fits_close, begin_close_file, NULL },
	map_door = { call_map, fits_map, begin_map, end_map },
	load_door = { call_load, fits_map, begin_load, end_map },
	fdinfo_door = { call_fdinfo, fits_new_file, begin_fdinfo, end_fdinfo };

/* --- The sweep --- */

/* The number of pins before the sweep. No request may change it, or next_fd. */
static long pins_before;
static unsigned char expected[REGION], found[REGION];

static int lowest_fd(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

static bool is_as_before(const char **what)
{
	*what = "a file descriptor is left";
	if (lowest_fd() != next_fd)
		return false;
	*what = "the module has too many references, or too few";
	return module_refs_become(REFS_SWEEP);
}

/* The moved bytes have arrived, and nothing else has changed. */
static bool bytes_are_right(const struct op *op, const struct outcome *out)
{
	const unsigned char *remote = contents(op->remote, old_bytes);
	const unsigned char *local = contents(op->local, own_bytes);
	/* Also compare the page after the request. */
	size_t at, n, span = HEAD + op->len + PAGE < REGION ? HEAD + op->len + PAGE : REGION;
	struct iovec to = { found, span }, from = { (void *)REMOTE, span };
	unsigned int i;

	if (!op->len)
		return true;
	memcpy(expected, op->write ? remote : local, span);
	for (i = 0; i < (out->told ? out->pieces : 1); i++) {
		at = HEAD + i * SMALL;
		n = out->told ? out->done[i] : out->moved;
		if (n > span - at)
			return false;
		memcpy(expected + at, (op->write ? local : remote) + at, n);
	}
	if (!op->write)
		return !memcmp((void *)LOCAL, expected, span);
	/* Read it through another path. */
	return process_vm_readv(target.pid, &to, 1, &from, 1, 0) == (ssize_t)span &&
	       !memcmp(found, expected, span);
}

/* Return: the number of failures met, or -1 with *@trouble set. */
static int one_call(const struct op *op, unsigned long n, struct outcome *out, unsigned int *met,
		    const char **trouble)
{
	int count = 0;

	*out = (struct outcome){ .good = true };
	*met = 0;
	*trouble = "the setup failed";
	if (!make_region(LOCAL, op->local, own_bytes) || (op->door->begin && !op->door->begin(op)))
		return -1;
	if (n && !arm(n))
		return -1;
	op->door->call(op, out);
	if (n)
		count = disarm(met);
	if (op->door->end)
		op->door->end(op, out);
	*trouble = "the fault injection does not work as expected";
	if (count < 0)
		return -1;
	*trouble = "wrong result";
	if (!op->door->fits(op, out, *met))
		return -1;
	*trouble = "wrong bytes";
	if (!bytes_are_right(op, out))
		return -1;
	if (!is_as_before(trouble))
		return -1;
	return count;
}

/* The next request succeeds completely; a target may be busy for a moment. */
static bool is_served(const struct op *op, struct outcome *out, const char **trouble)
{
	long end = now_ms() + PATIENCE_MS;
	unsigned int met;

	for (;;) {
		if (one_call(op, 0, out, &met, trouble) < 0)
			return false;
		*trouble = "a request without a failure did not complete";
		if (is_whole(op, out))
			return true;
		if (!(op->flags & PVMREAD_NOWAIT) || now_ms() > end)
			return false;
		usleep(1000);
	}
}

/* The tester's memory is locked, so that no failure hits an unrelated page fault. */
static bool begin_sweep(const struct op *op)
{
	/* RWF_NOWAIT belongs to the call, PVMREAD_PIDFD to the request. */
	uint32_t flags = op->door == &preadv2_door ? 0 :
			 op->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT | PVMREAD_CACHE);

	if (!make_files() || !start_target() || !reset_target(op->remote) ||
	    mlockall(MCL_CURRENT))
		return false;
	file = attach(dev, target.pid, PVMREAD_WRITE | flags, 0, 0);
	look_at_times();
	next_fd = lowest_fd();
	pins_before = pins_held();
	return file >= 0;
}

/*
 * No page is pinned any more, and no reference to the target's memory or to a page of
 * either side is left. Only the open device still holds a reference to the module.
 */
static bool end_sweep(const char **what)
{
	long end = now_ms() + PATIENCE_MS;
	const char *left;
	bool good = true;
	char c;

	while (good && pins_held() != pins_before) {
		*what = "a pin is left";
		good = now_ms() < end;
		usleep(1000);
	}
	stop_target();
	while (good && (pread(file, &c, 1, START) >= 0 || errno != ESRCH)) {
		*what = "the target has exited, but its memory is left";
		good = now_ms() < end;
		usleep(1000);
	}
	close(file);
	if (good && !module_refs_become(REFS_DEVICE)) {
		*what = "a reference to the target file is left";
		good = false;
	}
	munlockall();
	unmake_region(LOCAL);
	left = end_files();
	if (good && left) {
		*what = left;
		good = false;
	}
	return good;
}

/**
 * struct tally - counters of a sweep
 * @failures: failures of each kind
 * @full: requests that met a failure, but succeeded completely
 * @part: requests that met a failure, and succeeded in part
 * @refused: requests that met a failure, and failed
 */
struct tally {
	unsigned int failures[KINDS];
	unsigned int full;
	unsigned int part;
	unsigned int refused;
};

static void count_in(struct tally *tally, const struct op *op, const struct outcome *out,
		     unsigned int met)
{
	int i;

	for (i = 0; i < KINDS; i++)
		tally->failures[i] += !!(met & BIT(i));
	if (!met)
		return;
	if (is_whole(op, out))
		tally->full++;
	else if (out->moved)
		tally->part++;
	else
		tally->refused++;
}

/* Has a required kind of failure occurred too rarely? */
static bool is_blind(const struct op *op, const struct tally *tally)
{
	int i;

	for (i = 0; i < KINDS; i++) {
		if (only == KINDS ? tally->failures[i] < op->least[i] :
				    only == (enum kind)i && op->least[i] && !tally->failures[i])
			return true;
	}
	return false;
}

/* Let the first, second, third ... call fail, until there are no more. */
static void sweep_once(struct __test_metadata *_metadata, const struct op *op,
		       struct tally *tally)
{
	const char *trouble = "";
	struct outcome out;
	unsigned long n;
	unsigned int met;
	int count;

	for (n = first_n(); n < MOST; n = next_n(n)) {
		if (op->write || op->remote != PRESENT)
			ASSERT_TRUE(reset_target(op->remote));
		count = one_call(op, n, &out, &met, &trouble);
		ASSERT_LE(0, count) {
			TH_LOG("%s, n = %lu, met %#x: %s", op->name, n, met, trouble);
			TH_LOG("returned %ld errno %d moved %zu", out.ret, out.err, out.moved);
			TH_LOG("error %u stop_addr %#llx completed %llu", out.rw.error,
			       (unsigned long long)out.rw.stop_addr,
			       (unsigned long long)out.batch.completed);
		}
		count_in(tally, op, &out, met);
		ASSERT_TRUE(is_served(op, &out, &trouble)) {
			TH_LOG("%s, after n = %lu: %s", op->name, n, trouble);
			TH_LOG("returned %ld errno %d moved %zu", out.ret, out.err, out.moved);
		}
		if (!count)
			return;
	}
	ASSERT_GT(MOST, n) {
		TH_LOG("%s: the failures do not end", op->name);
	}
}

static void sweep(struct __test_metadata *_metadata, const struct op *op)
{
	struct tally tally = { 0 };
	const char *trouble = "";
	struct outcome out;
	int round;

	if (op->flags & PVMREAD_WINDOW && !has_feature(dev, PVMREAD_FEATURE_WINDOW)) {
		printf("# %s: not in this kernel: windows\n", op->name);
		return;
	}
	if (op->flags & PVMREAD_CACHE && !has_feature(dev, PVMREAD_FEATURE_CACHE)) {
		printf("# %s: not in this kernel: MMU notifiers\n", op->name);
		return;
	}
	ASSERT_TRUE(begin_sweep(op));
	/* Some objects are allocated only by the first request. */
	ASSERT_TRUE(is_served(op, &out, &trouble)) {
		TH_LOG("%s: %s", op->name, trouble);
	}
	/*
	 * Sometimes an object needs a new page. That changes the numbers of the calls that
	 * follow, so the sweep may skip one.
	 */
	for (round = 0; round < ROUNDS && (!round || is_blind(op, &tally)); round++)
		sweep_once(_metadata, op, &tally);
	printf("# %s: %u objects, %u pages, %u copies; ", op->name, tally.failures[SLAB],
	       tally.failures[PAGES], tally.failures[USERCOPY]);
	printf("%u answered in full, %u in part, %u refused\n", tally.full, tally.part,
	       tally.refused);
	EXPECT_FALSE(is_blind(op, &tally));
	ASSERT_TRUE(end_sweep(&trouble)) {
		TH_LOG("%s: %s", op->name, trouble);
	}
}

FIXTURE(fail) {
};

FIXTURE_VARIANT(fail) {
	enum kind only;
};

FIXTURE_VARIANT_ADD(fail, one) {
	.only = KINDS,
};

FIXTURE_VARIANT_ADD(fail, objects) {
	.only = SLAB,
};

FIXTURE_VARIANT_ADD(fail, pages) {
	.only = PAGES,
};

FIXTURE_VARIANT_ADD(fail, copies) {
	.only = USERCOPY,
};

static bool is_set_up;

FIXTURE_SETUP(fail)
{
	cpu_set_t first;
	int i, fd;

	if (access("/proc/self/fail-nth", R_OK))
		SKIP(return, "not in this kernel: fault injection");
	for (i = 0; i < KINDS; i++) {
		fd = open_attribute(i, "times");
		if (fd < 0 && errno == ENOENT)
			SKIP(return, "not in this kernel: %s", attribute[i]);
		close(fd);
	}
	ASSERT_TRUE(module_refs_become(0));
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	/* Otherwise one access, or khugepaged, could make a whole huge page present. */
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	/* Target and tester take turns: on one CPU that is much faster. */
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(first), &first));
	ASSERT_TRUE(apply_settings(false));
	is_set_up = true;
	only = variant->only;
	if (only != KINDS)
		ASSERT_TRUE(set_attribute(only, "probability", 100));
	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, nth_fd);
	make_it_fail_fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, make_it_fail_fd);
	ASSERT_LE(0, proc_number("/proc/vmstat", "nr_foll_pin_acquired"));
}

FIXTURE_TEARDOWN(fail)
{
	if (target.pid > 0)
		stop_target();
	if (is_set_up)
		EXPECT_TRUE(apply_settings(true));
	/*
	 * kmemleak disables itself if one of its own allocations fails. It would then find
	 * no leak, and this write would fail.
	 */
	if (!access(KMEMLEAK, W_OK))
		EXPECT_EQ(0, write_file(KMEMLEAK, "stack=on"));
}

static const struct op rest[] = {
	{ "INFO", &info_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 0, 0, 2 } },
	{ "ATTACH", &attach_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 3, 0, 1 } },
	{ "ATTACH, PIDFD", &attach_door, false, PVMREAD_PIDFD,
	  PRESENT, PRESENT, 0, 0, { 3, 0, 1 } },
	{ "ATTACH, CACHE", &attach_door, false, PVMREAD_CACHE,
	  PRESENT, PRESENT, 0, 0, { 5, 0, 1 } },
	{ "ATTACH, WINDOW", &attach_door, false, PVMREAD_WINDOW,
	  PRESENT, PRESENT, 0, 0, { 4, 0, 1 } },
	{ "mmap of a window", &map_door, false, PVMREAD_WINDOW,
	  PRESENT, PRESENT, 0, 0, { 2, 0, 0 } },
	{ "the first load from a window", &load_door, false, PVMREAD_WINDOW,
	  PRESENT, PRESENT, 0, 0, { 0, 1, 0 } },
	{ "ATTACH, with a larger file table", &attach_full_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 6, 0, 1 } },
	{ "open", &open_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 2, 0, 0 } },
	{ "close of the device", &close_device_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 0, 0, 0 } },
	{ "close of a target file", &close_file_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 0, 0, 0 } },
	{ "fdinfo", &fdinfo_door, false, 0,
	  PRESENT, PRESENT, 0, 0, { 1, 0, 1 } },
};

static const struct op vectors[] = {
	{ "READV, small", &rw_door, false, 0,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "READV, large", &rw_door, false, 0,
	  PRESENT, PRESENT, LARGE, MANY, { 3, 0, MANY } },
	{ "READV, small, absent", &rw_door, false, 0,
	  ABSENT, PRESENT, SMALL, 1, { 0, 1, 2 } },
	{ "READV, large, absent", &rw_door, false, 0,
	  ABSENT, PRESENT, LARGE, MANY, { 3, 1, MANY } },
	{ "READV, absent except the first page", &rw_door, false, 0,
	  FRONT, PRESENT, MEDIUM, MANY, { 2, 0, MANY } },
	{ "READV, cached", &rw_door, false, 0,
	  CACHED, PRESENT, MEDIUM, MANY, { 2, 1, MANY } },
	{ "READV, into absent memory", &rw_door, false, 0,
	  PRESENT, ABSENT, MEDIUM, MANY, { 3, 3, MANY } },
	{ "READV, PIDFD", &rw_door, false, PVMREAD_PIDFD,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "READV, NOWAIT", &rw_door, false, PVMREAD_NOWAIT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "READV, NOWAIT, absent", &rw_door, false, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, MANY, { 2, 1, MANY } },
	{ "READV, NOWAIT, cached", &rw_door, false, PVMREAD_NOWAIT,
	  CACHED, PRESENT, MEDIUM, MANY, { 2, 1, MANY } },
	{ "READV, RESIDENT", &rw_door, false, PVMREAD_RESIDENT,
	  PRESENT, PRESENT, LARGE, MANY, { 3, 0, MANY } },
	{ "READV, NOWAIT, RESIDENT", &rw_door, false, PVMREAD_NOWAIT | PVMREAD_RESIDENT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "WRITEV, small", &rw_door, true, 0,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "WRITEV, large", &rw_door, true, 0,
	  PRESENT, PRESENT, LARGE, MANY, { 3, 0, MANY } },
	{ "WRITEV, small, absent", &rw_door, true, 0,
	  ABSENT, PRESENT, SMALL, 1, { 1, 2, 2 } },
	{ "WRITEV, large, absent", &rw_door, true, 0,
	  ABSENT, PRESENT, LARGE, MANY, { 4, 17, MANY } },
	{ "WRITEV, absent except the first page", &rw_door, true, 0,
	  FRONT, PRESENT, MEDIUM, MANY, { 3, 2, MANY } },
	{ "WRITEV, cached", &rw_door, true, 0,
	  CACHED, PRESENT, MEDIUM, MANY, { 3, 3, MANY } },
	{ "WRITEV, from absent memory", &rw_door, true, 0,
	  PRESENT, ABSENT, MEDIUM, MANY, { 2, 1, MANY } },
	{ "WRITEV, PIDFD", &rw_door, true, PVMREAD_PIDFD,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "WRITEV, NOWAIT", &rw_door, true, PVMREAD_NOWAIT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
	{ "WRITEV, NOWAIT, absent", &rw_door, true, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, MANY, { 3, 3, MANY } },
	{ "WRITEV, NOWAIT, cached", &rw_door, true, PVMREAD_NOWAIT,
	  CACHED, PRESENT, MEDIUM, MANY, { 3, 3, MANY } },
	{ "WRITEV, RESIDENT", &rw_door, true, PVMREAD_RESIDENT,
	  PRESENT, PRESENT, LARGE, MANY, { 3, 0, MANY } },
	{ "WRITEV, NOWAIT, RESIDENT", &rw_door, true, PVMREAD_NOWAIT | PVMREAD_RESIDENT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 2 } },
};

static const struct op files[] = {
	{ "pread, small", &pread_door, false, 0,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "pread, large", &pread_door, false, 0,
	  PRESENT, PRESENT, LARGE, 1, { 0, 0, 2 } },
	{ "pread, small, absent", &pread_door, false, 0,
	  ABSENT, PRESENT, SMALL, 1, { 0, 1, 1 } },
	{ "pread, absent", &pread_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "pread, absent except the first page", &pread_door, false, 0,
	  FRONT, PRESENT, MEDIUM, 1, { 0, 0, 1 } },
	{ "pread, cached", &pread_door, false, 0,
	  CACHED, PRESENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "pread, into absent memory", &pread_door, false, 0,
	  PRESENT, ABSENT, MEDIUM, 1, { 1, 3, 1 } },
	{ "pread, attached NOWAIT, absent", &pread_door, false, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "pread, attached RESIDENT", &pread_door, false, PVMREAD_RESIDENT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "pread, CACHE", &pread_door, false, PVMREAD_CACHE,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "pread, CACHE, large", &pread_door, false, PVMREAD_CACHE,
	  PRESENT, PRESENT, LARGE, 1, { 0, 0, 2 } },
	{ "pread, CACHE, absent", &pread_door, false, PVMREAD_CACHE,
	  ABSENT, PRESENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "pread, CACHE, into absent memory", &pread_door, false, PVMREAD_CACHE,
	  PRESENT, ABSENT, MEDIUM, 1, { 1, 3, 1 } },
	{ "readv, CACHE", &readv_door, false, PVMREAD_CACHE,
	  PRESENT, PRESENT, MEDIUM, MANY, { 1, 0, MANY } },
	{ "read", &read_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "readv", &readv_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, MANY, { 1, 1, MANY } },
	{ "preadv2, RWF_NOWAIT", &preadv2_door, false, PVMREAD_NOWAIT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "preadv2, RWF_NOWAIT, absent", &preadv2_door, false, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, MANY, { 1, 1, MANY } },
	{ "preadv2, RWF_NOWAIT, absent except the first page", &preadv2_door, false,
	  PVMREAD_NOWAIT, FRONT, PRESENT, MEDIUM, MANY, { 1, 0, MANY } },
	{ "preadv2, RWF_NOWAIT, cached", &preadv2_door, false, PVMREAD_NOWAIT,
	  CACHED, PRESENT, MEDIUM, MANY, { 1, 1, MANY } },
	{ "pwrite, small", &pread_door, true, 0,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "pwrite, large", &pread_door, true, 0,
	  PRESENT, PRESENT, LARGE, 1, { 0, 0, 2 } },
	{ "pwrite, small, absent", &pread_door, true, 0,
	  ABSENT, PRESENT, SMALL, 1, { 1, 2, 1 } },
	{ "pwrite, absent", &pread_door, true, 0,
	  ABSENT, PRESENT, MEDIUM, 1, { 1, 3, 1 } },
	{ "pwrite, absent except the first page", &pread_door, true, 0,
	  FRONT, PRESENT, MEDIUM, 1, { 1, 2, 1 } },
	{ "pwrite, cached", &pread_door, true, 0,
	  CACHED, PRESENT, MEDIUM, 1, { 1, 3, 1 } },
	{ "pwrite, from absent memory", &pread_door, true, 0,
	  PRESENT, ABSENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "pwrite, attached NOWAIT, absent", &pread_door, true, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, 1, { 1, 3, 1 } },
	{ "pwrite, attached RESIDENT", &pread_door, true, PVMREAD_RESIDENT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "write", &read_door, true, 0,
	  ABSENT, PRESENT, MEDIUM, 1, { 1, 3, 1 } },
	{ "writev", &readv_door, true, 0,
	  ABSENT, PRESENT, MEDIUM, MANY, { 2, 3, MANY } },
	{ "pwritev2, RWF_NOWAIT", &preadv2_door, true, PVMREAD_NOWAIT,
	  PRESENT, PRESENT, SMALL, 1, { 0, 0, 1 } },
	{ "pwritev2, RWF_NOWAIT, absent", &preadv2_door, true, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, MANY, { 2, 3, MANY } },
	{ "pwritev2, RWF_NOWAIT, absent except the first page", &preadv2_door, true,
	  PVMREAD_NOWAIT, FRONT, PRESENT, MEDIUM, MANY, { 2, 2, MANY } },
	{ "pwritev2, RWF_NOWAIT, cached", &preadv2_door, true, PVMREAD_NOWAIT,
	  CACHED, PRESENT, MEDIUM, MANY, { 2, 3, MANY } },
};

static const struct op batches[] = {
	{ "BATCH", &batch_door, false, 0,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, absent", &batch_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 0, 1, 4 } },
	{ "BATCH, absent except the first page", &batch_door, false, 0,
	  FRONT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, cached", &batch_door, false, 0,
	  CACHED, PRESENT, MEDIUM, SEGMENTS, { 0, 1, 4 } },
	{ "BATCH, STOP", &stop_door, false, 0,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, STOP, absent", &stop_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 0, 1, 4 } },
	{ "BATCH, STOP, absent except the first page", &stop_door, false, 0,
	  FRONT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, NOWAIT, absent", &batch_door, false, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 0, 1, 4 } },
	{ "BATCH, RESIDENT", &batch_door, false, PVMREAD_RESIDENT,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, CACHE", &batch_door, false, PVMREAD_CACHE,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, CACHE, absent", &batch_door, false, PVMREAD_CACHE,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 0, 1, 4 } },
	{ "BATCH, one segment, into absent memory", &batch_door, false, 0,
	  PRESENT, ABSENT, MEDIUM, 1, { 1, 3, 3 } },
	{ "BATCH, written", &batch_door, true, 0,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, written, absent", &batch_door, true, 0,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 1, 3, 4 } },
	{ "BATCH, written, absent except the first page", &batch_door, true, 0,
	  FRONT, PRESENT, MEDIUM, SEGMENTS, { 1, 2, 4 } },
	{ "BATCH, written, cached", &batch_door, true, 0,
	  CACHED, PRESENT, MEDIUM, SEGMENTS, { 1, 3, 4 } },
	{ "BATCH, written, STOP", &stop_door, true, 0,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, written, STOP, absent", &stop_door, true, 0,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 1, 3, 4 } },
	{ "BATCH, written, NOWAIT, absent", &batch_door, true, PVMREAD_NOWAIT,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 1, 3, 4 } },
	{ "BATCH, written, RESIDENT", &batch_door, true, PVMREAD_RESIDENT,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, 4 } },
	{ "BATCH, written, one segment, from absent memory", &batch_door, true, 0,
	  PRESENT, ABSENT, MEDIUM, 1, { 0, 1, 3 } },
	{ "BATCH, STRING", &string_door, false, 0,
	  PRESENT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, SEGMENTS } },
	{ "BATCH, STRING, absent", &string_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, SEGMENTS, { 0, 1, SEGMENTS } },
	{ "BATCH, STRING, absent except the first page", &string_door, false, 0,
	  FRONT, PRESENT, MEDIUM, SEGMENTS, { 0, 0, SEGMENTS } },
	{ "BATCH, STRING, cached", &string_door, false, 0,
	  CACHED, PRESENT, MEDIUM, SEGMENTS, { 0, 1, SEGMENTS } },
};

static const struct op splices[] = {
	{ "splice from a file", &splice_door, false, 0,
	  PRESENT, PRESENT, PAGE, 1, { 1, 1, 0 } },
	{ "splice from a file, absent", &splice_door, false, 0,
	  ABSENT, PRESENT, PAGE, 1, { 1, 2, 0 } },
	{ "splice from a file, absent except the first page", &splice_door, false, 0,
	  FRONT, PRESENT, PAGE, 1, { 1, 1, 0 } },
	{ "splice to a file", &splice_door, true, 0,
	  PRESENT, PRESENT, PIPEFUL, 1, { 1, 0, 0 } },
	{ "splice to a file, absent", &splice_door, true, 0,
	  ABSENT, PRESENT, PIPEFUL, 1, { 2, 9, 0 } },
	{ "splice to a file, absent except the first page", &splice_door, true, 0,
	  FRONT, PRESENT, PIPEFUL, 1, { 2, 8, 0 } },
	{ "sendfile from a file", &sendfile_door, false, 0,
	  PRESENT, PRESENT, PIPEFUL, 1, { 1, 8, 0 } },
	{ "sendfile from a file, absent", &sendfile_door, false, 0,
	  ABSENT, PRESENT, PIPEFUL, 1, { 1, 9, 0 } },
	{ "sendfile to a file", &sendfile_door, true, 0,
	  PRESENT, PRESENT, PIPEFUL, 1, { 1, 0, 0 } },
	{ "sendfile to a file, absent", &sendfile_door, true, 0,
	  ABSENT, PRESENT, PIPEFUL, 1, { 2, 9, 0 } },
};

static const struct op rings[] = {
	{ "io_uring, READ", &ring_door, false, 0,
	  PRESENT, PRESENT, MEDIUM, 1, { 0, 0, 1 } },
	{ "io_uring, READ, absent", &ring_door, false, 0,
	  ABSENT, PRESENT, SMALL, 1, { 0, 1, 1 } },
	{ "io_uring, WRITE", &ring_door, true, 0,
	  PRESENT, PRESENT, MEDIUM, 1, { 0, 0, 1 } },
	{ "io_uring, WRITE, absent", &ring_door, true, 0,
	  ABSENT, PRESENT, SMALL, 1, { 1, 2, 1 } },
	{ "io_uring, READ_FIXED", &fixed_door, false, 0,
	  PRESENT, PRESENT, LARGE, 1, { 1, 0, 0 } },
	{ "io_uring, READ_FIXED, absent", &fixed_door, false, 0,
	  ABSENT, PRESENT, SMALL, 1, { 0, 1, 0 } },
	{ "io_uring, WRITE_FIXED", &fixed_door, true, 0,
	  PRESENT, PRESENT, LARGE, 1, { 1, 0, 0 } },
	{ "io_uring, WRITE_FIXED, absent", &fixed_door, true, 0,
	  ABSENT, PRESENT, SMALL, 1, { 1, 2, 0 } },
	/* The first attempt moves all or nothing: it releases its page. The worker moves all. */
	{ "io_uring, READ, absent except the first page", &both_door, false, 0,
	  FRONT, PRESENT, MEDIUM, 1, { 1, 0, 0 } },
	{ "io_uring, WRITE, absent except the first page", &both_door, true, 0,
	  FRONT, PRESENT, MEDIUM, 1, { 1, 0, 0 } },
	{ "io_uring, READ, by a worker", &worker_door, false, 0,
	  PRESENT, PRESENT, LARGE, 1, { 0, 0, 1 } },
	{ "io_uring, READ, by a worker, absent", &worker_door, false, 0,
	  ABSENT, PRESENT, MEDIUM, 1, { 0, 1, 1 } },
	{ "io_uring, WRITE, by a worker", &worker_door, true, 0,
	  PRESENT, PRESENT, LARGE, 1, { 0, 0, 1 } },
	{ "io_uring, WRITE, by a worker, absent", &worker_door, true, 0,
	  ABSENT, PRESENT, MEDIUM, 1, { 1, 3, 1 } },
};

static bool is_user_mode_linux(void)
{
	char line[80];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		found |= !!strstr(line, "User Mode Linux");
	if (f)
		fclose(f);
	return found;
}

static void sweep_all(struct __test_metadata *_metadata, const struct op *op, size_t count)
{
	/* A copy fails on User mode Linux if the kernel cannot allocate a page table for it. */
	bool no_local_faults = is_user_mode_linux();

	for (; count; count--, op++) {
		if (no_local_faults && op->local == ABSENT)
			printf("# %s: not on User mode Linux\n", op->name);
		else
			sweep(_metadata, op);
	}
}

TEST_F_TIMEOUT(fail, other_commands_fail_as_documented, 1200)
{
	sweep_all(_metadata, rest, ARRAY_SIZE(rest));
}

TEST_F_TIMEOUT(fail, readv_and_writev_fail_as_documented, 1200)
{
	sweep_all(_metadata, vectors, ARRAY_SIZE(vectors));
}

TEST_F_TIMEOUT(fail, target_files_fail_as_documented, 1200)
{
	sweep_all(_metadata, files, ARRAY_SIZE(files));
}

TEST_F_TIMEOUT(fail, batch_fails_as_documented, 1200)
{
	sweep_all(_metadata, batches, ARRAY_SIZE(batches));
}

TEST_F_TIMEOUT(fail, splice_and_sendfile_fail_as_documented, 1200)
{
	sweep_all(_metadata, splices, ARRAY_SIZE(splices));
}

TEST_F_TIMEOUT(fail, io_uring_fails_as_documented, 1200)
{
	struct io_uring_params p = { 0 };
	int fd = syscall(SYS_io_uring_setup, 1, &p);

	if (fd < 0)
		SKIP(return, "not in this kernel: io_uring: %s", strerror(errno));
	close(fd);
	sweep_all(_metadata, rings, ARRAY_SIZE(rings));
}

TEST(leaked_reference_is_detected)
{
	int fd = make_file(old_bytes), ends[2];
	struct iovec iov = { NULL, PAGE };

	ASSERT_LE(0, fd);
	iov.iov_base = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, iov.iov_base);
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	ASSERT_EQ((ssize_t)PAGE, vmsplice(ends[1], &iov, 1, 0));
	ASSERT_EQ(0, munmap(iov.iov_base, REGION));
	EXPECT_EQ(-1, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(EBUSY, errno);
	/* Closing the pipe frees its pages. */
	close(ends[0]);
	close(ends[1]);
	EXPECT_TRUE(seal_file(fd));
	close(fd);
}

/* --- Signals --- */

/**
 * enum place - where a call waits
 * @TARGETS_PAGE: for an unserved page of the target, after a present one
 * @TARGETS_FILE: the same for a page that a file system does not serve
 * @CALLERS_PAGE: for a page of the caller's memory that is to be moved
 * @STRUCT: for the page of the struct that is its argument
 * @ARRAY: for the page of the arrays that the struct names
 * @STRUCT_AFTER: for the page of the struct again, after the bytes have moved
 * @ARRAY_AFTER: the same for the page of the arrays
 * @MMAP_LOCK: for the target's mmap_lock
 * @EXECVE: for the target's execve(2)
 * @PAGE_LOCK: for the lock of a page of the target, after writing to it
 *
 * TARGETS_FILE and the last three use a file system of the test, whose server does not
 * answer. mmap(2) of a file opened for direct I/O waits for a read(2) of it. execve(2)
 * waits for a process that shares its memory and is in that mmap(2). open(2) writes
 * dirty pages back, and keeps them locked meanwhile.
 */
enum place {
	TARGETS_PAGE, TARGETS_FILE, CALLERS_PAGE, STRUCT, ARRAY, STRUCT_AFTER, ARRAY_AFTER,
	MMAP_LOCK, EXECVE, PAGE_LOCK
};

enum way {
	BY_READV, BY_WRITEV, BY_PREAD, BY_PWRITE, BY_PWRITEV, BY_BATCH, BY_BATCH_WRITE,
	BY_BATCH_SMALL, BY_BATCH_STRING, BY_SPLICE, BY_SPLICE_WRITE, BY_SENDFILE,
	BY_SENDFILE_WRITE, BY_ATTACH, BY_INFO, WAYS
};

static const char * const way_name[] = {
	"READV", "WRITEV", "pread", "pwrite", "pwritev", "BATCH", "BATCH, written",
	"BATCH, a few bytes", "BATCH, STRING", "splice from a file", "splice to a file",
	"sendfile from a file", "sendfile to a file", "ATTACH", "INFO",
};

#define BATCHES		(BIT(BY_BATCH) | BIT(BY_BATCH_WRITE))
/* The bytes of these are in one page. */
#define SHORT		(BIT(BY_BATCH_SMALL) | BIT(BY_BATCH_STRING))
#define IOCTLS		(BIT(BY_READV) | BIT(BY_WRITEV) | BATCHES)
#define VECTORS		(IOCTLS | BIT(BY_PREAD) | BIT(BY_PWRITE) | BIT(BY_PWRITEV))
#define SPLICES		(BIT(BY_SPLICE) | BIT(BY_SPLICE_WRITE) | BIT(BY_SENDFILE) | \
			 BIT(BY_SENDFILE_WRITE))
#define WRITES		(BIT(BY_WRITEV) | BIT(BY_PWRITE) | BIT(BY_PWRITEV) | \
			 BIT(BY_BATCH_WRITE) | BIT(BY_SPLICE_WRITE) | BIT(BY_SENDFILE_WRITE))
#define MOVES_NOTHING	(BIT(BY_ATTACH) | BIT(BY_INFO))

/* The interfaces that can wait at each place. */
static const unsigned int ways_to[] = {
	[TARGETS_PAGE] = VECTORS | SPLICES,
	[TARGETS_FILE] = VECTORS | SPLICES,
	[CALLERS_PAGE] = VECTORS | SHORT,
	[STRUCT] = IOCTLS | MOVES_NOTHING,
	[ARRAY] = IOCTLS,
	[STRUCT_AFTER] = IOCTLS,
	[ARRAY_AFTER] = BATCHES,
	[MMAP_LOCK] = VECTORS | SPLICES,
	[EXECVE] = BIT(BY_READV) | BIT(BY_WRITEV) | BIT(BY_ATTACH),
	/* A write through a target file holds no pin while the caller's page is faulted in. */
	[PAGE_LOCK] = BIT(BY_WRITEV),
};

/* After the caller's region. */
#define ARGUMENT	(LOCAL + 32 * PAGE)
/* The page of the target that the call waits for. */
#define LATE		(REMOTE + PAGE)

/* The argument of an ioctl. */
union ask {
	struct pvmread_rw rw;
	struct pvmread_batch batch;
	struct pvmread_attach attach;
	struct pvmread_info info;
};

/* And the arrays that it names. */
struct arrays {
	struct iovec local;
	struct iovec remote;
	struct pvmread_segment seg;
};

/**
 * struct board - memory shared by tester, caller, target and server
 * @uffd: the caller's userfaultfd, a number in its own file table
 * @done: the call is over
 * @signals: how many signals the caller has handled
 * @ret: the return value
 * @err: its errno
 * @reason: the error that READV, WRITEV or the segment reports
 * @told: done of the segment for STRUCT_AFTER, completed of the BATCH for ARRAY_AFTER
 * @right: all bytes that were read are correct
 * @hold: tells the server not to answer
 * @held: the server holds back a request
 * @direct: the next file is opened for direct I/O
 * @ask: contents of the page for which STRUCT waits
 * @arrays: contents of the page for which ARRAY waits
 * @page: the contents as bytes, also for STRUCT_AFTER and ARRAY_AFTER
 */
struct board {
	int uffd;
	int done;
	int signals;
	long ret;
	int err;
	unsigned int reason;
	unsigned long told;
	bool right;
	int hold;
	int held;
	int direct;
	union {
		union ask ask;
		struct arrays arrays;
		unsigned char page[PAGE];
	};
};

static struct board *board;
/* It has the same address in each image of this program, and these contents at first. */
static char witness[64] = "the same before and after execve(2)";

static bool wait_until(int *flag, bool is_set)
{
	long end = now_ms() + PATIENCE_MS;

	while (get(flag) != is_set && now_ms() < end)
		usleep(1000);
	return get(flag) == is_set;
}

static void count_signal(int sig)
{
	(void)sig;
	board->signals++;
}

static bool is_of_target(enum place place)
{
	return place == TARGETS_PAGE || place == TARGETS_FILE;
}

/* Does the FUSE server, rather than a userfaultfd, make the call wait? */
static bool is_by_server(enum place place)
{
	return place == TARGETS_FILE || place == MMAP_LOCK || place == EXECVE ||
	       place == PAGE_LOCK;
}

static bool is_after(enum place place)
{
	return place == STRUCT_AFTER || place == ARRAY_AFTER;
}

/* Is the second half of the bytes in the page LATE? */
static bool needs_late_page(enum place place)
{
	return is_of_target(place) || is_after(place);
}

static uintptr_t begin_of(enum place place)
{
	if (place == EXECVE)
		return (uintptr_t)witness;
	return needs_late_page(place) ? REMOTE + PAGE / 2 : REMOTE;
}

/* Return: the caller's page that the tester holds back with a userfaultfd, or 0. */
static uintptr_t left_by_caller(enum place place)
{
	if (place == CALLERS_PAGE || place == PAGE_LOCK)
		return LOCAL;
	return place == TARGETS_PAGE || is_by_server(place) ? 0 : ARGUMENT;
}

/* At most a page: splice(2) may move no more at a time. */
static size_t length_of(enum place place, enum way way)
{
	if (way == BY_BATCH_SMALL)
		return SMALL;
	/* With its NUL. */
	if (way == BY_BATCH_STRING)
		return STRING;
	return place == EXECVE ? sizeof(witness) : PAGE;
}

static void fill_ask(union ask *ask, enum way way, pid_t pid, const struct arrays *arrays)
{
	memset(ask, 0, sizeof(*ask));
	if (way == BY_READV || way == BY_WRITEV)
		ask->rw = (struct pvmread_rw){
			.size = sizeof(ask->rw),
			.pid = pid,
			.local = (uintptr_t)&arrays->local,
			.local_count = 1,
			.remote = (uintptr_t)&arrays->remote,
			.remote_count = 1,
		};
	else if (BIT(way) & (BATCHES | SHORT))
		ask->batch = (struct pvmread_batch){
			.size = sizeof(ask->batch),
			.flags = way == BY_BATCH_WRITE ? PVMREAD_WRITE : 0,
			.segments = (uintptr_t)&arrays->seg,
			.count = 1,
		};
	else if (way == BY_INFO)
		ask->info.size = sizeof(ask->info);
	else
		ask->attach = (struct pvmread_attach){ .size = sizeof(ask->attach), .pid = pid };
}

static void fill_arrays(struct arrays *arrays, enum way way, uintptr_t from, size_t len)
{
	*arrays = (struct arrays){
		.local = { (void *)LOCAL, len },
		.remote = { (void *)from, len },
		.seg = { .remote = from, .local = LOCAL, .length = len },
	};
	if (way == BY_BATCH_STRING)
		arrays->seg.flags = PVMREAD_SEGMENT_STRING;
}

/*
 * The tested system call: it moves the target's bytes to LOCAL, or writes in the other
 * direction. splice(2) uses the pipe @ends, sendfile(2) uses @other.
 */
static void call_by(enum place place, enum way way, pid_t pid, int fd, const int ends[2], int other)
{
	uintptr_t from = begin_of(place);
	size_t len = length_of(place, way);
	struct iovec halves[2] = {
		{ (void *)LOCAL, len / 2 }, { (void *)(LOCAL + len / 2), len - len / 2 },
	};
	union ask own_ask, *ask = &own_ask;
	struct arrays own_arrays, *arrays = &own_arrays;
	off_t begin = 0;
	long ret;

	if (place == STRUCT || place == STRUCT_AFTER)
		ask = (void *)ARGUMENT;
	if (place == ARRAY || place == ARRAY_AFTER)
		arrays = (void *)ARGUMENT;
	/* The tester later copies contents from the board to the page that the call waits for. */
	fill_ask(place == STRUCT ? &board->ask : ask, way, pid, arrays);
	fill_arrays(place == ARRAY ? &board->arrays : arrays, way, from, len);
	switch (way) {
	case BY_READV:
	case BY_WRITEV:
		ret = ioctl(dev, way == BY_READV ? PVMREAD_IOC_READV : PVMREAD_IOC_WRITEV,
			    &ask->rw);
		break;
	case BY_PREAD:
		ret = pread(fd, (void *)LOCAL, len, from);
		break;
	case BY_PWRITE:
		ret = pwrite(fd, (void *)LOCAL, len, from);
		break;
	case BY_PWRITEV:
		ret = pwritev(fd, halves, 2, from);
		break;
	case BY_BATCH:
	case BY_BATCH_WRITE:
	case BY_BATCH_SMALL:
	case BY_BATCH_STRING:
		ret = ioctl(fd, PVMREAD_IOC_BATCH, &ask->batch);
		break;
	case BY_SPLICE:
		ret = splice(fd, NULL, ends[1], NULL, len, 0);
		break;
	case BY_SPLICE_WRITE:
		ret = splice(ends[0], NULL, fd, NULL, len, 0);
		break;
	case BY_SENDFILE:
		ret = sendfile(other, fd, NULL, len);
		break;
	case BY_SENDFILE_WRITE:
		ret = sendfile(fd, other, &begin, len);
		break;
	case BY_INFO:
		ret = ioctl(dev, PVMREAD_IOC_INFO, &ask->info);
		break;
	default:
		ret = ioctl(dev, PVMREAD_IOC_ATTACH, &ask->attach);
		break;
	}
	board->err = ret < 0 ? errno : 0;
	if (is_after(place) && board->err == EFAULT) {
		/* The page of the struct or of the arrays is gone. */
		if (BIT(way) & BATCHES)
			board->told = place == STRUCT_AFTER ? arrays->seg.done :
							      ask->batch.completed;
	} else if (way == BY_READV || way == BY_WRITEV) {
		board->reason = ask->rw.error;
		ret = ret ?: (long)ask->rw.transferred;
	} else if (BIT(way) & (BATCHES | SHORT)) {
		board->reason = arrays->seg.error;
		ret = ret ?: (long)arrays->seg.done;
	}
	board->ret = ret;
	set(&board->done, 1);
}

/* The file of the caller's page ARGUMENT. */
static int argument_fd = -1;

static __attribute__((noreturn)) void be_caller(enum place place, enum way way, pid_t pid)
{
	struct sigaction action = { .sa_handler = count_signal };
	uintptr_t from = begin_of(place);
	const void *bytes = place == EXECVE ? (void *)witness : old_bytes + (from - REMOTE);
	size_t len = length_of(place, way);
	struct iovec iov = { (void *)LOCAL, len };
	int fd = -1, other = local_fd, ends[2];

	die_with_parent();
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &action, NULL);
	if (place != EXECVE)
		fd = attach(dev, pid, PVMREAD_WRITE, 0, 0);
	made = NOTHING;
	if (!make_region(LOCAL, left_by_caller(place) == LOCAL ? ABSENT : PRESENT, own_bytes) ||
	    !map_at((void *)ARGUMENT, PAGE, MAP_SHARED | MAP_FIXED_NOREPLACE, argument_fd))
		_exit(1);
	if (left_by_caller(place)) {
		board->uffd = hold_back(left_by_caller(place), PAGE);
		if (board->uffd < 0)
			_exit(1);
	}
	if (BIT(way) & SPLICES) {
		if (pipe2(ends, O_CLOEXEC) || lseek(fd, from, SEEK_SET) != (off_t)from)
			_exit(1);
		if (way == BY_SPLICE_WRITE && vmsplice(ends[1], &iov, 1, 0) != (ssize_t)len)
			_exit(1);
		if (way == BY_SENDFILE)
			other = memfd_create("elsewhere", MFD_CLOEXEC);
	}
	tell();
	call_by(place, way, pid, fd, ends, other);
	if (way == BY_SPLICE)
		(void)!read(ends[0], (void *)LOCAL, len);
	else if (way == BY_SENDFILE)
		(void)!pread(other, (void *)LOCAL, len, 0);
	board->right = !memcmp((void *)LOCAL, bytes, len);
	_exit(0);
}

static void hold_answer(void)
{
	if (!get(&board->hold))
		return;
	set(&board->held, 1);
	while (get(&board->hold))
		usleep(1000);
	set(&board->held, 0);
}

/* The file system's root is a file of one page: the second page of the target's region. */
static __attribute__((noreturn)) void be_server(int fd)
{
	static union {
		struct fuse_in_header head;
		char space[2 * FUSE_MIN_READ_BUFFER];
	} in;
	struct {
		struct fuse_out_header head;
		union {
			struct fuse_init_out init;
			struct fuse_open_out open;
			struct fuse_attr_out attr;
			struct fuse_write_out write;
			unsigned char page[PAGE];
		};
	} out;

	die_with_parent();
	while (read(fd, &in, sizeof(in)) > 0 || errno == EINTR || errno == ENOENT) {
		memset(&out, 0, sizeof(out));
		out.head.len = sizeof(out.head);
		out.head.unique = in.head.unique;
		switch (in.head.opcode) {
		case FUSE_INIT:
			out.init.major = FUSE_KERNEL_VERSION;
			out.init.minor = 31;
			/* The wait for a page is killable only if readahead reads the page. */
			out.init.max_readahead = PAGE;
			out.init.flags = FUSE_ASYNC_READ;
			out.init.max_write = PAGE;
			out.head.len += sizeof(out.init);
			break;
		case FUSE_OPEN:
			/* A process that exits or calls execve(2) must not wait for a flush. */
			out.open.open_flags = FOPEN_NOFLUSH;
			if (get(&board->direct))
				out.open.open_flags |= FOPEN_DIRECT_IO;
			out.head.len += sizeof(out.open);
			break;
		case FUSE_GETATTR:
			out.attr.attr.ino = in.head.nodeid;
			out.attr.attr.mode = S_IFREG | 0600;
			out.attr.attr.nlink = 1;
			out.attr.attr.size = PAGE;
			out.head.len += sizeof(out.attr);
			break;
		case FUSE_READ:
			hold_answer();
			memcpy(out.page, old_bytes + PAGE, PAGE);
			out.head.len += PAGE;
			break;
		case FUSE_WRITE:
			hold_answer();
			out.write.size = PAGE;
			out.head.len += sizeof(out.write);
			break;
		case FUSE_RELEASE:
			break;
		default:
			out.head.error = -ENOSYS;
			break;
		}
		if (in.head.opcode != FUSE_FORGET)
			(void)!write(fd, &out, out.head.len);
	}
	_exit(0);
}

static char path[40];

/* Return: the file, or -1. Its pages are neither cached nor being read. */
static int open_served(int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size == (off_t)PAGE)
		return fd;
	close(fd);
	return -1;
}

/* Return: true once @pid waits and cannot be interrupted, false if it does not by @end. */
static bool is_waiting(pid_t pid, long end)
{
	char name[40], text[300] = "";
	int fd;

	/* In later kernels even /proc/PID/stat waits for an execve(2). */
	snprintf(name, sizeof(name), "/proc/%d/status", pid);
	do {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		(void)!read(fd, text, sizeof(text) - 1);
		close(fd);
		if (strstr(text, "\nState:\tD"))
			return true;
		usleep(1000);
	} while (!get(&board->done) && now_ms() < end);
	return false;
}

/* The file, opened for direct I/O. */
static int direct_fd = -1;

static int map_direct(void *unused)
{
	(void)unused;
	return mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, direct_fd, 0) == MAP_FAILED;
}

/* Read the page that map_direct() will wait for. */
static __attribute__((noreturn)) void be_reader(void)
{
	int fd = open_served(O_RDONLY);
	char c;

	die_with_parent();
	set(&board->hold, 1);
	(void)!pread(fd, &c, 1, 0);
	_exit(0);
}

static __attribute__((noreturn)) void be_target_that_waits(enum place place)
{
	static char stack[4 * PAGE] __attribute__((aligned(16)));
	pid_t holder;

	die_with_parent();
	if (place == MMAP_LOCK) {
		tell();
		if (map_direct(NULL))
			_exit(1);
		for (;;)
			pause();
	}
	/* Its own page faults would also wait, as would the store to clear_child_tid. */
	if (mlockall(MCL_CURRENT) || syscall(SYS_set_tid_address, NULL) < 0)
		_exit(1);
	/*
	 * fork(2) clears the accessed bit of the pages it copies. In User mode Linux
	 * the next access to such a page is a page fault, even if the page is locked. So
	 * call is_waiting() once before the holder takes the lock.
	 */
	if (is_waiting(getpid(), now_ms()))
		_exit(1);
	holder = clone(map_direct, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (holder < 0 || !is_waiting(holder, now_ms() + PATIENCE_MS))
		_exit(1);
	tell();
	execl("/proc/self/exe", "fail", "--image", NULL);
	_exit(1);
}

/**
 * struct wait - a call that waits, and what it waits for
 * @place: where it waits
 * @caller: the process that made the call
 * @target: the target, if it is not the tester; or the process that locks the target's page
 * @reader: the process that reads the page that map_direct() waits for
 * @server: the server of the file system, for all of a test
 * @targets_uffd: the userfaultfd that holds back the target's page
 * @callers_uffd: the one that holds back the caller's
 */
struct wait {
	enum place place;
	pid_t caller;
	pid_t target;
	pid_t reader;
	pid_t server;
	int targets_uffd;
	int callers_uffd;
};

FIXTURE(signals) {
	struct wait wait;
};

FIXTURE_VARIANT(signals) {
	enum place place;
};

FIXTURE_VARIANT_ADD(signals, targets_page) {
	.place = TARGETS_PAGE,
};

FIXTURE_VARIANT_ADD(signals, targets_file) {
	.place = TARGETS_FILE,
};

FIXTURE_VARIANT_ADD(signals, callers_page) {
	.place = CALLERS_PAGE,
};

FIXTURE_VARIANT_ADD(signals, argument) {
	.place = STRUCT,
};

FIXTURE_VARIANT_ADD(signals, arrays_of_the_argument) {
	.place = ARRAY,
};

FIXTURE_VARIANT_ADD(signals, argument_after) {
	.place = STRUCT_AFTER,
};

FIXTURE_VARIANT_ADD(signals, arrays_after) {
	.place = ARRAY_AFTER,
};

FIXTURE_VARIANT_ADD(signals, mmap_lock) {
	.place = MMAP_LOCK,
};

FIXTURE_VARIANT_ADD(signals, execve) {
	.place = EXECVE,
};

FIXTURE_VARIANT_ADD(signals, lock_on_a_page) {
	.place = PAGE_LOCK,
};

/* Start a call that will wait. */
static void start_call(struct __test_metadata *_metadata, struct wait *wait, enum way way)
{
	enum place place = wait->place;
	pid_t pid = getpid();
	int fd;

	memset(board, 0, sizeof(*board));
	ASSERT_TRUE(make_files());
	argument_fd = memfd_create("argument", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(argument_fd, PAGE));
	ASSERT_TRUE(make_region(REMOTE, needs_late_page(place) ? FRONT : PRESENT, old_bytes));
	if (place == TARGETS_FILE) {
		fd = open_served(O_RDONLY);
		ASSERT_LE(0, fd);
		ASSERT_TRUE(map_at((void *)LATE, PAGE, MAP_PRIVATE | MAP_FIXED, fd));
		close(fd);
		set(&board->hold, 1);
	} else if (place == PAGE_LOCK) {
		fd = open_served(O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_TRUE(map_at((void *)REMOTE, PAGE, MAP_SHARED | MAP_FIXED, fd));
		close(fd);
		memcpy((void *)REMOTE, old_bytes, PAGE);
	} else if (needs_late_page(place)) {
		wait->targets_uffd = hold_back(LATE, PAGE);
		ASSERT_LE(0, wait->targets_uffd);
	}
	/* The page is present until drop_argument(). */
	if (is_after(place))
		ASSERT_EQ(1, write(argument_fd, "", 1));
	if (place == MMAP_LOCK || place == EXECVE) {
		set(&board->direct, 1);
		direct_fd = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, direct_fd);
		set(&board->direct, 0);
		wait->reader = fork();
		if (!wait->reader)
			be_reader();
		ASSERT_TRUE(wait_until(&board->held, true));
		wait->target = fork();
		if (!wait->target)
			be_target_that_waits(place);
		pid = wait->target;
		ASSERT_TRUE(is_told());
		ASSERT_TRUE(is_waiting(pid, now_ms() + PATIENCE_MS));
	}
	wait->caller = fork();
	if (!wait->caller)
		be_caller(place, way, pid);
	ASSERT_TRUE(is_told());
	if (left_by_caller(place)) {
		wait->callers_uffd = take_fd(wait->caller, board->uffd);
		ASSERT_LE(0, wait->callers_uffd);
	}
}

/* The bytes move, and the results go to a page that is not present. */
static void drop_argument(struct __test_metadata *_metadata, struct wait *wait)
{
	ASSERT_TRUE(page_asked_for(wait->targets_uffd, PATIENCE_MS));
	ASSERT_EQ((ssize_t)PAGE, pread(argument_fd, board->page, PAGE, 0));
	ASSERT_EQ(0, fallocate(argument_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	ASSERT_TRUE(serve_page(wait->targets_uffd, LATE, old_bytes + PAGE));
}

/* The page that the call has pinned is locked and clean when the bytes arrive. */
static void lock_page(struct __test_metadata *_metadata, struct wait *wait)
{
	ASSERT_TRUE(page_asked_for(wait->callers_uffd, PATIENCE_MS));
	set(&board->hold, 1);
	wait->target = fork();
	if (!wait->target) {
		die_with_parent();
		_exit(open(path, O_RDONLY) < 0);
	}
	ASSERT_TRUE(wait_until(&board->held, true));
	ASSERT_TRUE(serve_page(wait->callers_uffd, LOCAL, own_bytes));
}

/* Run until a call waits; it then waits until let_go(). */
static void must_wait(struct __test_metadata *_metadata, struct wait *wait, enum way way)
{
	bool waits;

	start_call(_metadata, wait, way);
	if (is_after(wait->place))
		drop_argument(_metadata, wait);
	else if (wait->place == PAGE_LOCK)
		lock_page(_metadata, wait);
	if (wait->place == TARGETS_PAGE)
		waits = page_asked_for(wait->targets_uffd, PATIENCE_MS);
	else if (!is_by_server(wait->place))
		waits = page_asked_for(wait->callers_uffd, PATIENCE_MS);
	else if (wait->place == TARGETS_FILE)
		waits = wait_until(&board->held, true);
	else
		waits = is_waiting(wait->caller, now_ms() + PATIENCE_MS);
	/* A process that exits with a page to write back waits for an answer. */
	if (!waits)
		set(&board->hold, 0);
	ASSERT_TRUE(waits) {
		TH_LOG("%s: over %d: %ld, %s", way_name[way], get(&board->done), board->ret,
		       strerror(board->err));
	}
}

static void let_go(struct __test_metadata *_metadata, struct wait *wait)
{
	/* If the call reads the target, it overwrites these bytes. */
	const unsigned char *page = wait->place == CALLERS_PAGE ? own_bytes : board->page;
	bool served = true;

	set(&board->hold, 0);
	if (wait->place == TARGETS_PAGE)
		served = serve_page(wait->targets_uffd, LATE, old_bytes + PAGE);
	else if (!is_by_server(wait->place))
		served = serve_page(wait->callers_uffd, left_by_caller(wait->place), page);
	ASSERT_TRUE(served);
}

static void end_wait(struct __test_metadata *_metadata, struct wait *wait)
{
	const char *left;
	int status;

	close(wait->targets_uffd);
	close(wait->callers_uffd);
	close(argument_fd);
	wait->targets_uffd = -1;
	wait->callers_uffd = -1;
	set(&board->hold, 0);
	ASSERT_TRUE(wait_until(&board->held, false));
	if (wait->target > 0) {
		kill(wait->target, SIGKILL);
		ASSERT_LE(0, reap_in(wait->target, PATIENCE_MS, &status));
	}
	if (wait->reader > 0) {
		kill(wait->reader, SIGKILL);
		ASSERT_LE(0, reap_in(wait->reader, PATIENCE_MS, &status));
		close(direct_fd);
	}
	wait->target = 0;
	wait->reader = 0;
	wait->caller = 0;
	EXPECT_EQ(pins_before, pins_held());
	unmake_region(REMOTE);
	left = end_files();
	EXPECT_EQ(NULL, left) {
		TH_LOG("%s", left);
	}
}

static void set_up_wait(struct __test_metadata *_metadata, struct wait *wait, enum place place)
{
	char options[80];
	int fd;

	wait->targets_uffd = -1;
	wait->callers_uffd = -1;
	wait->place = place;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, board);
	ASSERT_EQ(0, pipe2(told, O_CLOEXEC));
	if (left_by_caller(place) || place == TARGETS_PAGE) {
		if (!have_uffd())
			SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	}
	if (is_by_server(place)) {
		fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			SKIP(return, "not in this kernel: FUSE: /dev/fuse: %s", strerror(errno));
		/* A private mount, which goes away with this process. */
		ASSERT_EQ(0, unshare(CLONE_NEWNS));
		ASSERT_EQ(0, mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
		snprintf(path, sizeof(path), "/tmp/pvmread-fail.XXXXXX");
		close(mkstemp(path));
		snprintf(options, sizeof(options),
			 "fd=%d,rootmode=100600,user_id=0,group_id=0", fd);
		ASSERT_EQ(0, mount("fail", path, "fuse", 0, options));
		wait->server = fork();
		if (!wait->server)
			be_server(fd);
		close(fd);
	}
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	pins_before = pins_held();
}

static void tear_down_wait(struct wait *wait)
{
	int status;

	if (wait->caller > 0)
		kill(wait->caller, SIGKILL);
	if (wait->target > 0)
		kill(wait->target, SIGKILL);
	if (wait->reader > 0)
		kill(wait->reader, SIGKILL);
	if (wait->server > 0) {
		/* The end of the server also ends every wait for its answer. */
		kill(wait->server, SIGKILL);
		reap_in(wait->server, PATIENCE_MS, &status);
		umount2(path, MNT_DETACH);
	}
	if (path[0])
		unlink(path);
}

FIXTURE_SETUP(signals)
{
	set_up_wait(_metadata, &self->wait, variant->place);
}

FIXTURE_TEARDOWN(signals)
{
	tear_down_wait(&self->wait);
}

/* Does the target have the written bytes? */
static bool has_moved_to(const struct wait *wait)
{
	struct iovec to = { found, sizeof(witness) }, from = { witness, sizeof(witness) };

	/* The page is no longer in the file. The file has only the bytes written back before. */
	if (wait->place == PAGE_LOCK)
		return true;
	if (wait->place != EXECVE)
		return !memcmp((void *)begin_of(wait->place), own_bytes, PAGE);
	return process_vm_readv(wait->target, &to, 1, &from, 1, 0) == (ssize_t)sizeof(witness) &&
	       !memcmp(found, own_bytes, sizeof(witness));
}

/* The call has completed as if nothing had happened. */
static void expect_served(struct __test_metadata *_metadata, struct wait *wait,
			  enum way way)
{
	int status = -1;

	ASSERT_LE(0, reap_in(wait->caller, PATIENCE_MS, &status));
	EXPECT_EQ(0, status);
	ASSERT_EQ(1, get(&board->done));
	if (wait->place == EXECVE && way != BY_ATTACH && board->ret < 0) {
		/* The new image was not mapped yet. */
		EXPECT_EQ(EFAULT, board->err);
		EXPECT_EQ(EIO, board->reason);
	} else if (BIT(way) & MOVES_NOTHING) {
		EXPECT_LE(0, board->ret);
	} else {
		EXPECT_EQ((long)length_of(wait->place, way), board->ret) {
			TH_LOG("%s: %s", way_name[way], strerror(board->err));
		}
		EXPECT_EQ(0, board->reason);
		EXPECT_TRUE(BIT(way) & WRITES ? has_moved_to(wait) : board->right);
	}
}

/*
 * The signal did not end the wait. But between reading and writing, sendfile(2) itself checks
 * for signals, whatever the file is.
 */
static void expect_interrupted(struct __test_metadata *_metadata, struct wait *wait)
{
	int status = -1;

	ASSERT_LE(0, reap_in(wait->caller, PATIENCE_MS, &status));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-1, board->ret);
	EXPECT_EQ(EINTR, board->err);
}

static bool goes(enum place place, enum way way)
{
	return ways_to[place] & BIT(way);
}

/* The call still waits, and the caller has handled no signal. */
static void expect_unmoved(struct __test_metadata *_metadata, enum way way)
{
	usleep(100000);
	EXPECT_EQ(0, get(&board->done)) {
		TH_LOG("%s: %ld, %s", way_name[way], board->ret, strerror(board->err));
	}
	EXPECT_EQ(0, board->signals);
}

TEST_F(signals, handled_signal_ends_no_wait)
{
	const int sigs[] = { SIGUSR1, SIGUSR2 };	/* the second with SA_RESTART */
	enum way way;
	size_t i;

	for (way = 0; way < WAYS; way++) {
		for (i = 0; goes(variant->place, way) && i < ARRAY_SIZE(sigs); i++) {
			must_wait(_metadata, &self->wait, way);
			ASSERT_EQ(0, kill(self->wait.caller, sigs[i]));
			expect_unmoved(_metadata, way);
			let_go(_metadata, &self->wait);
			if (way == BY_SENDFILE && sigs[i] == SIGUSR1)
				expect_interrupted(_metadata, &self->wait);
			else
				expect_served(_metadata, &self->wait, way);
			EXPECT_EQ(1, board->signals);
			end_wait(_metadata, &self->wait);
		}
	}
}

TEST_F(signals, sigstop_ends_no_wait)
{
	bool served_first;
	enum way way;
	int i;

	for (way = 0; way < WAYS; way++) {
		for (i = 0; goes(variant->place, way) && i < 2; i++) {
			served_first = i;
			must_wait(_metadata, &self->wait, way);
			ASSERT_EQ(0, kill(self->wait.caller, SIGSTOP));
			expect_unmoved(_metadata, way);
			if (served_first)
				let_go(_metadata, &self->wait);
			ASSERT_EQ(0, kill(self->wait.caller, SIGCONT));
			if (!served_first) {
				expect_unmoved(_metadata, way);
				let_go(_metadata, &self->wait);
			}
			expect_served(_metadata, &self->wait, way);
			end_wait(_metadata, &self->wait);
		}
	}
}

TEST_F(signals, sigkill_ends_a_wait)
{
	enum way way;
	int status;
	long ms;

	for (way = 0; way < WAYS; way++) {
		if (!goes(variant->place, way))
			continue;
		must_wait(_metadata, &self->wait, way);
		ASSERT_EQ(0, kill(self->wait.caller, SIGKILL));
		if (variant->place == PAGE_LOCK) {
			/* Only the lock ends this wait, as pvmread(4) says. */
			EXPECT_EQ(-1, reap_in(self->wait.caller, 300, &status));
			let_go(_metadata, &self->wait);
		}
		ms = reap_in(self->wait.caller, LEAVE_MS, &status);
		ASSERT_LE(0, ms) {
			TH_LOG("%s: still there after %d ms", way_name[way], LEAVE_MS);
		}
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(0, get(&board->done));
		/* The target has the bytes only if the call waited after it had written them. */
		if (!is_of_target(variant->place) && variant->place != EXECVE &&
		    variant->place != PAGE_LOCK)
			EXPECT_EQ(is_after(variant->place) && BIT(way) & WRITES,
				  has_moved_to(&self->wait));
		printf("# %s: left after %ld ms\n", way_name[way], ms);
		end_wait(_metadata, &self->wait);
	}
}

FIXTURE(results) {
	struct wait wait;
};

FIXTURE_VARIANT(results) {
	enum place place;
};

FIXTURE_VARIANT_ADD(results, in_the_argument) {
	.place = STRUCT_AFTER,
};

FIXTURE_VARIANT_ADD(results, in_the_arrays) {
	.place = ARRAY_AFTER,
};

FIXTURE_SETUP(results)
{
	set_up_wait(_metadata, &self->wait, variant->place);
}

FIXTURE_TEARDOWN(results)
{
	tear_down_wait(&self->wait);
}

/* The page of the results is truncated while the call waits for the target's bytes. */
TEST_F(results, unwritable_results_are_efault)
{
	struct wait *wait = &self->wait;
	enum way way;
	int status;

	for (way = 0; way < WAYS; way++) {
		if (!goes(variant->place, way))
			continue;
		start_call(_metadata, wait, way);
		ASSERT_TRUE(page_asked_for(wait->targets_uffd, PATIENCE_MS));
		ASSERT_EQ(0, ftruncate(argument_fd, 0));
		ASSERT_TRUE(serve_page(wait->targets_uffd, LATE, old_bytes + PAGE));
		ASSERT_LE(0, reap_in(wait->caller, PATIENCE_MS, &status));
		EXPECT_EQ(0, status);
		EXPECT_EQ(-1, board->ret) {
			TH_LOG("%s", way_name[way]);
		}
		EXPECT_EQ(EFAULT, board->err);
		EXPECT_TRUE(BIT(way) & WRITES ? has_moved_to(wait) : board->right);
		if (BIT(way) & BATCHES)
			EXPECT_EQ(variant->place == STRUCT_AFTER ? PAGE : 0, board->told);
		end_wait(_metadata, wait);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--image")) {
		die_with_parent();
		for (;;)
			pause();
	}
	return test_harness_run(argc, argv);
}
