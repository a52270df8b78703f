// SPDX-License-Identifier: GPL-2.0
/*
 * The device itself: what uapi/linux/pvmread.h promises beyond the system calls.
 * parity.c checks that the device and the system calls move the same bytes.
 *
 * The tester is its own target: two ranges of its memory are the two sides.
 *
 * Environment: READONLY=1 when the module was loaded with readonly=1.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "pvmread_test.h"

/* Every later module must accept the structs that a program was compiled with. */
static_assert(sizeof(struct pvmread_rw) == 64, "struct pvmread_rw");
static_assert(offsetof(struct pvmread_rw, size) == 0, "size");
static_assert(offsetof(struct pvmread_rw, flags) == 4, "flags");
static_assert(offsetof(struct pvmread_rw, pid) == 8, "pid");
static_assert(offsetof(struct pvmread_rw, error) == 12, "error");
static_assert(offsetof(struct pvmread_rw, local) == 16, "local");
static_assert(offsetof(struct pvmread_rw, local_count) == 24, "local_count");
static_assert(offsetof(struct pvmread_rw, remote) == 32, "remote");
static_assert(offsetof(struct pvmread_rw, remote_count) == 40, "remote_count");
static_assert(offsetof(struct pvmread_rw, transferred) == 48, "transferred");
static_assert(offsetof(struct pvmread_rw, stop_addr) == 56, "stop_addr");
static_assert(alignof(struct pvmread_rw) == 8, "alignment");

static_assert(sizeof(struct pvmread_info) == 40, "struct pvmread_info");
static_assert(offsetof(struct pvmread_info, size) == 0, "size");
static_assert(offsetof(struct pvmread_info, __reserved) == 4, "__reserved");
static_assert(offsetof(struct pvmread_info, version) == 8, "version");
static_assert(offsetof(struct pvmread_info, max_segments) == 12, "max_segments");
static_assert(offsetof(struct pvmread_info, features) == 16, "features");
static_assert(offsetof(struct pvmread_info, max_bytes) == 24, "max_bytes");
static_assert(offsetof(struct pvmread_info, max_batch) == 32, "max_batch");

static_assert(sizeof(struct pvmread_attach) == 32, "struct pvmread_attach");
static_assert(offsetof(struct pvmread_attach, size) == 0, "size");
static_assert(offsetof(struct pvmread_attach, flags) == 4, "flags");
static_assert(offsetof(struct pvmread_attach, pid) == 8, "pid");
static_assert(offsetof(struct pvmread_attach, __reserved) == 12, "__reserved");
static_assert(offsetof(struct pvmread_attach, start) == 16, "start");
static_assert(offsetof(struct pvmread_attach, length) == 24, "length");
static_assert(alignof(struct pvmread_attach) == 8, "alignment");

static_assert(sizeof(struct pvmread_segment) == 40, "struct pvmread_segment");
static_assert(offsetof(struct pvmread_segment, remote) == 0, "remote");
static_assert(offsetof(struct pvmread_segment, local) == 8, "local");
static_assert(offsetof(struct pvmread_segment, length) == 16, "length");
static_assert(offsetof(struct pvmread_segment, flags) == 24, "flags");
static_assert(offsetof(struct pvmread_segment, error) == 28, "error");
static_assert(offsetof(struct pvmread_segment, done) == 32, "done");
static_assert(alignof(struct pvmread_segment) == 8, "alignment");

static_assert(sizeof(struct pvmread_batch) == 32, "struct pvmread_batch");
static_assert(offsetof(struct pvmread_batch, size) == 0, "size");
static_assert(offsetof(struct pvmread_batch, flags) == 4, "flags");
static_assert(offsetof(struct pvmread_batch, segments) == 8, "segments");
static_assert(offsetof(struct pvmread_batch, count) == 16, "count");
static_assert(offsetof(struct pvmread_batch, completed) == 24, "completed");
static_assert(alignof(struct pvmread_batch) == 8, "alignment");

/* powerpc sets a bit in commands without a direction. */
#define NUMBER(command)	((command) & ~(_IOC_NONE << _IOC_DIRSHIFT))
static_assert(NUMBER(PVMREAD_IOC_INFO) == 0xd500, "INFO");
static_assert(NUMBER(PVMREAD_IOC_READV) == 0xd501, "READV");
static_assert(NUMBER(PVMREAD_IOC_WRITEV) == 0xd502, "WRITEV");
static_assert(NUMBER(PVMREAD_IOC_ATTACH) == 0xd503, "ATTACH");
static_assert(NUMBER(PVMREAD_IOC_BATCH) == 0xd504, "BATCH");
static_assert(PVMREAD_FEATURE_READV == 1, "READV");
static_assert(PVMREAD_FEATURE_WRITEV == 2, "WRITEV");
static_assert(PVMREAD_FEATURE_READONLY == 4, "READONLY");
static_assert(PVMREAD_FEATURE_ATTACH == 8, "ATTACH");
static_assert(PVMREAD_FEATURE_BATCH == 16, "BATCH");
static_assert(PVMREAD_FEATURE_PIDFD == 32, "PIDFD");
static_assert(PVMREAD_FEATURE_NOWAIT == 64, "NOWAIT");
static_assert(PVMREAD_FEATURE_RESIDENT == 128, "RESIDENT");
static_assert(PVMREAD_FEATURE_CACHE == 256, "CACHE");
static_assert(PVMREAD_FEATURE_WINDOW == 512, "WINDOW");
static_assert(PVMREAD_PIDFD == 1, "PIDFD");
static_assert(PVMREAD_NOWAIT == 2, "NOWAIT");
static_assert(PVMREAD_RESIDENT == 4, "RESIDENT");
static_assert(PVMREAD_WRITE == 8, "WRITE");
static_assert(PVMREAD_STOP == 16, "STOP");
static_assert(PVMREAD_SEGMENT_STRING == 1, "STRING");
static_assert(PVMREAD_ABI_VERSION == 1, "version");

/* The device knows the commands below DEVICE_END; a target file knows only TARGET_NR. */
#define DEVICE_END	0x04
#define TARGET_NR	0x04

#define RW_MIN		56
#define INFO_MIN	8

#define RW_FLAGS	(PVMREAD_PIDFD | PVMREAD_NOWAIT | PVMREAD_RESIDENT)
#define ATTACH_FLAGS	(PVMREAD_PIDFD | PVMREAD_NOWAIT | PVMREAD_RESIDENT | PVMREAD_WRITE | \
			 PVMREAD_CACHE | PVMREAD_WINDOW)
#define BATCH_FLAGS	(PVMREAD_WRITE | PVMREAD_STOP | PVMREAD_NOWAIT | PVMREAD_RESIDENT)

/* The kernel places no mapping here by itself, so a hole stays a hole. */
#define NEAR		0x50000000UL	/* the caller's side */
#define FAR		0x60000000UL	/* the target's side */
#define ARG		0x70000000UL	/* the ioctl's struct, if its address matters */
/* The pages of each side: four mapped, a hole, one mapped, one read-only, a hole. */
#define HOLE		4
#define ALONE		5
#define READ_ONLY	6
#define PAGES		8

#if __SIZEOF_POINTER__ == 8
#define KERNEL_ADDR	0xffff888000000000UL
#else
#define KERNEL_ADDR	0xfffff000UL
#endif

#define GARBAGE		0xa5
#define NEGATIVE	((size_t)SSIZE_MAX + 1)

static const unsigned char pattern[2] = { 'n', 'f' };

static unsigned char pattern_at(int side, size_t off)
{
	return pattern[side] + off % 251;
}

static uintptr_t base_of(int side)
{
	return side ? FAR : NEAR;
}

/* Is page @page of a side mapped? */
static bool mapped(size_t page)
{
	return page != HOLE && page < PAGES - 1;
}

/* Restore the contents of both sides. */
static void refill(void)
{
	size_t page, i;
	int side;

	for (side = 0; side < 2; side++)
		for (page = 0; page < PAGES; page++) {
			unsigned char *at = (void *)(base_of(side) + page * PAGE);

			if (!mapped(page) || page == READ_ONLY)
				continue;
			for (i = 0; i < PAGE; i++)
				at[i] = pattern_at(side, page * PAGE + i);
		}
}

/**
 * differs() - find the first byte of a side that has changed
 * @side: 0 the caller's, 1 the target's
 * @from: an address there
 *
 * Return: the address of the first such byte at or after @from, or 0.
 */
static uintptr_t differs(int side, uintptr_t from)
{
	size_t off;

	for (off = from - base_of(side); off < PAGES * PAGE; off++) {
		const unsigned char *at = (void *)(base_of(side) + off);

		if (mapped(off / PAGE) && *at != pattern_at(side, off))
			return (uintptr_t)at;
	}
	return 0;
}

/* Has nothing been moved? */
static bool untouched(void)
{
	return !differs(0, NEAR) && !differs(1, FAR);
}

/* Do the @len bytes at @at hold the pattern that @side has at @from? */
static bool holds(uintptr_t at, size_t len, int side, uintptr_t from)
{
	const unsigned char *byte = (void *)at;
	size_t i;

	for (i = 0; i < len; i++)
		if (byte[i] != pattern_at(side, from - base_of(side) + i))
			return false;
	return true;
}

FIXTURE(abi) {
	int fd;
	int target;
	int pidfd;
	bool readonly;
	struct iovec local;
	struct iovec remote;
	struct pvmread_rw rw;
	struct pvmread_attach attach;
	struct pvmread_batch batch;
	struct pvmread_segment segments[2];
};

/* A valid request for 100 bytes; its out fields hold garbage. */
static void good_request(FIXTURE_DATA(abi) * const self)
{
	refill();
	self->local = (struct iovec){ (void *)(NEAR + 8), 100 };
	self->remote = (struct iovec){ (void *)(FAR + PAGE + 3), 100 };
	memset(&self->rw, GARBAGE, sizeof(self->rw));
	self->rw.size = sizeof(self->rw);
	self->rw.flags = 0;
	self->rw.pid = getpid();
	self->rw.local = (uintptr_t)&self->local;
	self->rw.local_count = 1;
	self->rw.remote = (uintptr_t)&self->remote;
	self->rw.remote_count = 1;
}

/* An attach to this process, and a BATCH of the same 100 bytes in two segments. */
static void good_forms(FIXTURE_DATA(abi) * const self)
{
	size_t i;

	refill();
	self->attach = (struct pvmread_attach){
		.size = sizeof(self->attach),
		.pid = getpid(),
		.start = FAR,
		.length = PAGES * PAGE,
	};
	for (i = 0; i < 2; i++)
		self->segments[i] = (struct pvmread_segment){
			.remote = FAR + PAGE + 3 + 50 * i,
			.local = NEAR + 8 + 50 * i,
			.length = 50,
			.error = GARBAGE,
			.done = GARBAGE,
		};
	self->batch = (struct pvmread_batch){
		.size = sizeof(self->batch),
		.segments = (uintptr_t)self->segments,
		.count = 2,
		.completed = GARBAGE,
	};
}

static unsigned int command(bool write)
{
	return write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV;
}

/* Return: 0, or errno. */
static int send(int fd, unsigned int cmd, const void *arg)
{
	return ioctl(fd, cmd, arg) ? errno : 0;
}

/* The same for ATTACH: close the file that it returns. */
static int try_attach(int fd, const void *arg)
{
	int target = ioctl(fd, PVMREAD_IOC_ATTACH, arg);

	if (target < 0)
		return errno;
	close(target);
	return 0;
}

/* Whether PVMREAD_CACHE works: it needs MMU notifiers, and s390 does not support it. */
static bool can_have_cache(void)
{
#ifdef __s390x__
	return false;
#else
	static const char name[] = " mmu_interval_notifier_insert\n";
	FILE *symbols = fopen("/proc/kallsyms", "re");
	char line[512];
	bool found = false;

	while (!found && symbols && fgets(line, sizeof(line), symbols))
		found = strstr(line, name);
	if (symbols)
		fclose(symbols);
	return found && has_64_bit_kernel();
#endif
}

/* Whether PVMREAD_WINDOW works: the module must have been loaded with windows=1. */
static bool can_have_windows(void)
{
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || defined(__arm__)
	int fd = open("/sys/module/pvmread/parameters/windows", O_RDONLY | O_CLOEXEC);
	char c = 'N';

	if (read(fd, &c, 1) != 1)
		c = 'N';
	close(fd);
	return c == 'Y' && can_have_cache();
#else
	return false;
#endif
}

/* Return: the errno of ATTACH if nothing else is wrong. */
static int expected_of_attach(__u32 flags)
{
	if (flags & PVMREAD_WINDOW && flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT))
		return EINVAL;
	if (flags & PVMREAD_CACHE && !can_have_cache())
		return EOPNOTSUPP;
	return flags & PVMREAD_WINDOW && !can_have_windows() ? EOPNOTSUPP : 0;
}

/* The commands whose struct has never grown. */
enum form { ATTACH, BATCH, FORMS };

#define FORM_SIZE	32U
static_assert(sizeof(struct pvmread_attach) == FORM_SIZE, "ATTACH");
static_assert(sizeof(struct pvmread_batch) == FORM_SIZE, "BATCH");

static int send_form(const FIXTURE_DATA(abi) * const self, enum form form, const void *arg)
{
	return form == ATTACH ? try_attach(self->fd, arg) :
				send(self->target, PVMREAD_IOC_BATCH, arg);
}

static void *form_of(FIXTURE_DATA(abi) * const self, enum form form)
{
	return form == ATTACH ? (void *)&self->attach : (void *)&self->batch;
}

/* Both begin with their size, and flags. */
static void set_form(FIXTURE_DATA(abi) * const self, enum form form, __u32 size, __u32 flags)
{
	__u32 head[2] = { size, flags };

	good_forms(self);
	memcpy(form_of(self, form), head, sizeof(head));
}

/* READV is always there, WRITEV may be turned off. */
static int directions(const FIXTURE_DATA(abi) * const self)
{
	return self->readonly ? 1 : 2;
}

FIXTURE_SETUP(abi)
{
	const char *readonly = getenv("READONLY");
	size_t page, i;
	int side;

	self->readonly = readonly && *readonly == '1';
	self->fd = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->fd, 0) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	for (side = 0; side < 2; side++)
		for (page = 0; page < PAGES; page++) {
			unsigned char *at = (void *)(base_of(side) + page * PAGE);

			if (!mapped(page))
				continue;
			ASSERT_EQ(at, mmap(at, PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
					   0));
			for (i = 0; i < PAGE; i++)
				at[i] = pattern_at(side, page * PAGE + i);
			if (page == READ_ONLY)
				ASSERT_EQ(0, mprotect(at, PAGE, PROT_READ));
		}
	/* Three pages with nothing around them */
	ASSERT_EQ((void *)ARG,
		  mmap((void *)ARG, 3 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	good_request(self);
	self->pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	ASSERT_GE(self->pidfd, 0);
	good_forms(self);
	self->attach.flags = self->readonly ? 0 : PVMREAD_WRITE;
	self->target = ioctl(self->fd, PVMREAD_IOC_ATTACH, &self->attach);
	ASSERT_GE(self->target, 0) {
		TH_LOG("ATTACH: %s", strerror(errno));
	}
	good_forms(self);
}

FIXTURE_TEARDOWN(abi)
{
	close(self->target);
	close(self->pidfd);
	close(self->fd);
}

/*
 * Without this test, a bad good_request() would let tests of failures pass for the
 * wrong reason.
 */
TEST_F(abi, moves_requested_bytes)
{
	int write;

	for (write = 0; write < directions(self); write++) {
		int to = write ? 1 : 0;
		uintptr_t at = write ? FAR + PAGE + 3 : NEAR + 8;
		uintptr_t from = write ? NEAR + 8 : FAR + PAGE + 3;

		good_request(self);
		ASSERT_TRUE(untouched());
		ASSERT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(0, self->rw.error);
		EXPECT_EQ(100, self->rw.transferred);
		EXPECT_EQ(FAR + PAGE + 3 + 100, self->rw.stop_addr);
		EXPECT_TRUE(holds(at, 100, !to, from));
		EXPECT_EQ(at, differs(to, base_of(to)));
		EXPECT_EQ(0, differs(to, at + 100));
		EXPECT_EQ(0, differs(!to, base_of(!to)));
	}
}

/* The same test of good_forms(), for ATTACH and BATCH */
TEST_F(abi, attaches_and_moves_a_batch)
{
	int write;

	for (write = 0; write < directions(self); write++) {
		int to = write ? 1 : 0;
		uintptr_t at = write ? FAR + PAGE + 3 : NEAR + 8;
		uintptr_t from = write ? NEAR + 8 : FAR + PAGE + 3;
		size_t i;

		set_form(self, ATTACH, FORM_SIZE, write ? PVMREAD_WRITE : 0);
		EXPECT_EQ(0, try_attach(self->fd, &self->attach));
		EXPECT_TRUE(untouched());
		set_form(self, BATCH, FORM_SIZE, write ? PVMREAD_WRITE : 0);
		ASSERT_EQ(0, send(self->target, PVMREAD_IOC_BATCH, &self->batch));
		EXPECT_EQ(2, self->batch.completed);
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(0, self->segments[i].error);
			EXPECT_EQ(50, self->segments[i].done);
		}
		EXPECT_TRUE(holds(at, 100, !to, from));
		EXPECT_EQ(at, differs(to, base_of(to)));
		EXPECT_EQ(0, differs(to, at + 100));
		EXPECT_EQ(0, differs(!to, base_of(!to)));
	}
}

TEST_F(abi, leaves_the_in_fields_alone)
{
	struct pvmread_rw before = self->rw;
	struct pvmread_attach attach;
	struct pvmread_batch batch;
	struct pvmread_segment segments[2];

	ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_READV, &self->rw));
	before.error = self->rw.error;
	before.transferred = self->rw.transferred;
	before.stop_addr = self->rw.stop_addr;
	EXPECT_EQ(0, memcmp(&before, &self->rw, sizeof(before)));

	good_forms(self);
	attach = self->attach;
	ASSERT_EQ(0, try_attach(self->fd, &self->attach));
	EXPECT_EQ(0, memcmp(&attach, &self->attach, sizeof(attach)));

	batch = self->batch;
	memcpy(segments, self->segments, sizeof(segments));
	ASSERT_EQ(0, send(self->target, PVMREAD_IOC_BATCH, &self->batch));
	batch.completed = 2;
	EXPECT_EQ(0, memcmp(&batch, &self->batch, sizeof(batch)));
	segments[0].error = 0;
	segments[1].error = 0;
	segments[0].done = 50;
	segments[1].done = 50;
	EXPECT_EQ(0, memcmp(segments, self->segments, sizeof(segments)));
}

TEST_F(abi, returns_enotty_for_unknown_commands)
{
	static const unsigned int cmds[] = {
		0, 1, 0x5401, 0xd400, 0xd401, 0xd402, 0xd601, 0xffffffff, 0x7fffffff,
		_IO(0xd4, 1), _IO(0x55, 1), _IO(0, 0xd5),
		_IOR(PVMREAD_IOC_TYPE, 1, struct pvmread_rw),
		_IOW(PVMREAD_IOC_TYPE, 1, struct pvmread_rw),
		_IOWR(PVMREAD_IOC_TYPE, 1, struct pvmread_rw),
		_IOWR(PVMREAD_IOC_TYPE, 0, struct pvmread_info),
		PVMREAD_IOC_READV | 1U << 16, PVMREAD_IOC_READV | 1U << 31,
		_IOW(PVMREAD_IOC_TYPE, 3, struct pvmread_attach),
		_IOWR(PVMREAD_IOC_TYPE, 4, struct pvmread_batch), 0x541b /* FIONREAD */,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		EXPECT_EQ(ENOTTY, send(self->fd, cmds[i], &self->rw)) {
			TH_LOG("command %#x", cmds[i]);
		}
		EXPECT_EQ(ENOTTY, send(self->target, cmds[i], &self->batch)) {
			TH_LOG("command %#x on a target file", cmds[i]);
		}
	}
	/* The device and a target file do not accept each other's commands. */
	for (i = 0; i < 256; i++) {
		unsigned int cmd = _IO(PVMREAD_IOC_TYPE, i);
		int err = i < DEVICE_END ? EFAULT : ENOTTY;

		EXPECT_EQ(err, send(self->fd, cmd, NULL)) {
			TH_LOG("command %#x", cmd);
		}
		if (err == ENOTTY)
			EXPECT_EQ(ENOTTY, send(self->fd, cmd, &self->batch));
		err = i == TARGET_NR ? EFAULT : ENOTTY;
		EXPECT_EQ(err, send(self->target, cmd, NULL)) {
			TH_LOG("command %#x on a target file", cmd);
		}
		if (err == ENOTTY) {
			EXPECT_EQ(ENOTTY, send(self->target, cmd, &self->rw));
			EXPECT_EQ(ENOTTY, send(self->target, cmd, &self->attach));
		}
	}
	EXPECT_TRUE(untouched());
}

/* Send a struct that must be refused: nothing may change, not even the struct. */
#define expect_refused(err, write) do { \
	struct pvmread_rw before = self->rw; \
	\
	EXPECT_EQ(err, send(self->fd, command(write), &self->rw)); \
	EXPECT_EQ(0, memcmp(&before, &self->rw, sizeof(before))); \
	EXPECT_TRUE(untouched()); \
} while (0)

/* The same for ATTACH and BATCH; the segments must not change either. */
#define expect_form_refused(err, kind) do { \
	struct pvmread_segment segments[2]; \
	unsigned char before[FORM_SIZE]; \
	enum form which = (kind); \
	void *arg = form_of(self, which); \
	\
	memcpy(before, arg, FORM_SIZE); \
	memcpy(segments, self->segments, sizeof(segments)); \
	EXPECT_EQ(err, send_form(self, which, arg)); \
	EXPECT_EQ(0, memcmp(before, arg, FORM_SIZE)); \
	EXPECT_EQ(0, memcmp(segments, self->segments, sizeof(segments))); \
	EXPECT_TRUE(untouched()); \
} while (0)

TEST_F(abi, refuses_unknown_flags)
{
	static const __u32 allowed[FORMS] = { ATTACH_FLAGS, BATCH_FLAGS };
	enum form form;
	int write, bit;

	for (write = 0; write < 2; write++)
		for (bit = 0; bit < 32; bit++) {
			if (RW_FLAGS & 1U << bit)
				continue;
			good_request(self);
			self->rw.flags = 1U << bit;
			expect_refused(EINVAL, write);
			/* A known flag beside it does not help. */
			self->rw.flags |= RW_FLAGS;
			expect_refused(EINVAL, write);
		}
	self->rw.flags = ~0U;
	expect_refused(EINVAL, 0);

	for (form = 0; form < FORMS; form++) {
		for (bit = 0; bit < 32; bit++) {
			if (allowed[form] & 1U << bit)
				continue;
			set_form(self, form, FORM_SIZE, 1U << bit);
			expect_form_refused(EINVAL, form);
			set_form(self, form, FORM_SIZE, 1U << bit | allowed[form]);
			expect_form_refused(EINVAL, form);
		}
		set_form(self, form, FORM_SIZE, ~0U);
		expect_form_refused(EINVAL, form);
	}
}

/* All mapped memory is resident, and no request has to wait. */
TEST_F(abi, accepts_all_known_flags)
{
	__u32 flags;
	int write;

	for (flags = 0; flags <= RW_FLAGS; flags++)
		for (write = 0; write < directions(self); write++) {
			uintptr_t at = write ? FAR + PAGE + 3 : NEAR + 8;
			uintptr_t from = write ? NEAR + 8 : FAR + PAGE + 3;

			good_request(self);
			self->rw.flags = flags;
			if (flags & PVMREAD_PIDFD)
				self->rw.pid = self->pidfd;
			EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
			EXPECT_EQ(0, self->rw.error);
			EXPECT_EQ(100, self->rw.transferred);
			EXPECT_TRUE(holds(at, 100, !write, from));
			EXPECT_EQ(0, differs(write, at + 100));
			EXPECT_EQ(0, differs(!write, base_of(!write)));
		}
	for (flags = 0; flags <= ATTACH_FLAGS; flags++) {
		if (flags & ~ATTACH_FLAGS || (flags & PVMREAD_WRITE && self->readonly))
			continue;
		set_form(self, ATTACH, FORM_SIZE, flags);
		if (flags & PVMREAD_PIDFD)
			self->attach.pid = self->pidfd;
		EXPECT_EQ(expected_of_attach(flags), try_attach(self->fd, &self->attach));
	}
	for (flags = 0; flags <= BATCH_FLAGS; flags++) {
		if (flags & ~BATCH_FLAGS || (flags & PVMREAD_WRITE && self->readonly))
			continue;
		set_form(self, BATCH, FORM_SIZE, flags);
		EXPECT_EQ(0, send(self->target, PVMREAD_IOC_BATCH, &self->batch));
		EXPECT_EQ(2, self->batch.completed);
		EXPECT_EQ(50, self->segments[1].done);
		EXPECT_FALSE(untouched());
	}
}

TEST_F(abi, refuses_a_struct_that_is_too_short)
{
	enum form form;
	int write;
	__u32 size;

	for (write = 0; write < 2; write++)
		for (size = 0; size < RW_MIN; size++) {
			good_request(self);
			self->rw.size = size;
			expect_refused(EINVAL, write);
		}
	for (size = 0; size < INFO_MIN; size++) {
		struct pvmread_info info = { .size = size };
		struct pvmread_info before = info;

		EXPECT_EQ(EINVAL, send(self->fd, PVMREAD_IOC_INFO, &info));
		EXPECT_EQ(0, memcmp(&before, &info, sizeof(before)));
	}
	for (form = 0; form < FORMS; form++)
		for (size = 0; size < FORM_SIZE; size++) {
			set_form(self, form, size, 0);
			expect_form_refused(EINVAL, form);
		}
}

/*
 * The struct of an older caller ends earlier. The module must not write past its end, or
 * to a field that the struct contains only in part.
 */
TEST_F(abi, accepts_a_shorter_struct_and_writes_nothing_past_it)
{
	struct pvmread_rw whole;
	int write;
	__u32 size;

	for (write = 0; write < directions(self); write++) {
		good_request(self);
		ASSERT_EQ(0, send(self->fd, command(write), &self->rw));
		whole = self->rw;
		for (size = RW_MIN; size <= sizeof(whole); size++) {
			unsigned char *end = (void *)(ARG + PAGE);
			unsigned char *arg = end - sizeof(whole);
			size_t i, used = size < sizeof(whole) ? RW_MIN : sizeof(whole);

			good_request(self);
			self->rw.size = size;
			whole.size = size;
			memset(arg, GARBAGE, sizeof(whole));
			memcpy(arg, &self->rw, used);
			ASSERT_EQ(0, send(self->fd, command(write), arg));
			EXPECT_EQ(0, memcmp(arg, &whole, used));
			for (i = used; i < sizeof(whole); i++)
				EXPECT_EQ(GARBAGE, arg[i]);
			EXPECT_FALSE(untouched());
		}
	}
}

TEST_F(abi, needs_no_memory_past_a_shorter_struct)
{
	unsigned char *end = (void *)(ARG + PAGE);
	int write;

	ASSERT_EQ(0, munmap(end, PAGE));
	for (write = 0; write < directions(self); write++) {
		good_request(self);
		self->rw.size = RW_MIN;
		memcpy(end - RW_MIN, &self->rw, RW_MIN);
		EXPECT_EQ(0, send(self->fd, command(write), end - RW_MIN));
		memcpy(&self->rw, end - RW_MIN, RW_MIN);
		EXPECT_EQ(100, self->rw.transferred);
		EXPECT_FALSE(untouched());
	}
}

/* A newer caller that uses nothing new */
TEST_F(abi, accepts_a_longer_struct_with_zero_tail)
{
	static const __u32 sizes[] = { 65, 71, 72, 127, 128, 1000, PAGE - 1, PAGE };
	unsigned char *arg = (void *)ARG;
	struct pvmread_info info;
	enum form form;
	size_t i, j;
	int write;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (write = 0; write < directions(self); write++) {
			good_request(self);
			self->rw.size = sizes[i];
			memset(arg, 0, sizes[i]);
			arg[sizes[i]] = GARBAGE;
			memcpy(arg, &self->rw, sizeof(self->rw));
			ASSERT_EQ(0, send(self->fd, command(write), arg));
			memcpy(&self->rw, arg, sizeof(self->rw));
			EXPECT_EQ(sizes[i], self->rw.size);
			EXPECT_EQ(100, self->rw.transferred);
			EXPECT_EQ(FAR + PAGE + 3 + 100, self->rw.stop_addr);
			EXPECT_FALSE(untouched());
			for (j = sizeof(self->rw); j < sizes[i]; j++)
				ASSERT_EQ(0, arg[j]);
			EXPECT_EQ(GARBAGE, arg[sizes[i]]);
		}
		memset(arg, 0, sizes[i]);
		memcpy(arg, &sizes[i], sizeof(sizes[i]));
		ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_INFO, arg));
		memcpy(&info, arg, sizeof(info));
		EXPECT_EQ(PVMREAD_ABI_VERSION, info.version);
		EXPECT_EQ(65536, info.max_batch);
		for (j = sizeof(info); j < sizes[i]; j++)
			ASSERT_EQ(0, arg[j]);
		for (form = 0; form < FORMS; form++) {
			set_form(self, form, sizes[i], 0);
			memset(arg, 0, sizes[i]);
			arg[sizes[i]] = GARBAGE;
			memcpy(arg, form_of(self, form), FORM_SIZE);
			EXPECT_EQ(0, send_form(self, form, arg));
			for (j = FORM_SIZE; j < sizes[i]; j++)
				ASSERT_EQ(0, arg[j]);
			EXPECT_EQ(GARBAGE, arg[sizes[i]]);
			EXPECT_EQ(form == ATTACH, untouched());
		}
	}
}

TEST_F(abi, refuses_a_longer_struct_with_nonzero_tail)
{
	const size_t size = PAGE;
	unsigned char *arg = (void *)ARG;
	enum form form;
	size_t i;
	int write;

	for (i = sizeof(self->rw); i < size; i++)
		for (write = 0; write < 2; write++) {
			self->rw.size = size;
			memset(arg, 0, size);
			memcpy(arg, &self->rw, sizeof(self->rw));
			arg[i] = 1U << i % 8;
			ASSERT_EQ(E2BIG, send(self->fd, command(write), arg)) {
				TH_LOG("byte %zu", i);
			}
			ASSERT_EQ(0, memcmp(arg, &self->rw, sizeof(self->rw)));
		}
	EXPECT_TRUE(untouched());
	for (i = sizeof(struct pvmread_info); i < size; i++) {
		struct pvmread_info info = { .size = size };

		memset(arg, 0, size);
		memcpy(arg, &info, sizeof(info));
		arg[i] = 1U << i % 8;
		ASSERT_EQ(E2BIG, send(self->fd, PVMREAD_IOC_INFO, arg)) {
			TH_LOG("byte %zu", i);
		}
		ASSERT_EQ(0, memcmp(arg, &info, sizeof(info)));
	}
	for (form = 0; form < FORMS; form++) {
		set_form(self, form, size, 0);
		for (i = FORM_SIZE; i < size; i++) {
			memset(arg, 0, size);
			memcpy(arg, form_of(self, form), FORM_SIZE);
			arg[i] = 1U << i % 8;
			ASSERT_EQ(E2BIG, send_form(self, form, arg)) {
				TH_LOG("byte %zu", i);
			}
			ASSERT_EQ(0, memcmp(arg, form_of(self, form), FORM_SIZE));
		}
		EXPECT_TRUE(untouched());
	}
	/* The shortest tail there is */
	for (form = 0; form < FORMS; form++) {
		set_form(self, form, FORM_SIZE + 1, 0);
		memset(arg, 0, size);
		memcpy(arg, form_of(self, form), FORM_SIZE);
		arg[FORM_SIZE] = 1;
		EXPECT_EQ(E2BIG, send_form(self, form, arg));
		EXPECT_TRUE(untouched());
	}
	good_request(self);
	memset(arg, 0, size);
	self->rw.size = sizeof(self->rw) + 1;
	memcpy(arg, &self->rw, sizeof(self->rw));
	arg[sizeof(self->rw)] = 1;
	EXPECT_EQ(E2BIG, send(self->fd, PVMREAD_IOC_READV, arg));
	EXPECT_TRUE(untouched());
}

TEST_F(abi, refuses_a_struct_of_more_than_a_page)
{
	static const __u32 sizes[] = { PAGE + 1, PAGE + 8, 2 * PAGE, INT_MAX, 1U << 31, UINT_MAX };
	unsigned char *arg = (void *)ARG;
	enum form form;
	size_t i;
	int write;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (form = 0; form < FORMS; form++) {
			set_form(self, form, sizes[i], 0);
			memset(arg, 0, 2 * PAGE);
			memcpy(arg, form_of(self, form), FORM_SIZE);
			EXPECT_EQ(E2BIG, send_form(self, form, arg));
			EXPECT_EQ(0, memcmp(arg, form_of(self, form), FORM_SIZE));
		}
		self->rw.size = sizes[i];
		memset(arg, 0, 2 * PAGE);
		memcpy(arg, &self->rw, sizeof(self->rw));
		for (write = 0; write < 2; write++)
			EXPECT_EQ(E2BIG, send(self->fd, command(write), arg));
		EXPECT_EQ(0, memcmp(arg, &self->rw, sizeof(self->rw)));
		memset(arg, 0, 2 * PAGE);
		memcpy(arg, &sizes[i], sizeof(sizes[i]));
		EXPECT_EQ(E2BIG, send(self->fd, PVMREAD_IOC_INFO, arg));
	}
	EXPECT_TRUE(untouched());
}

TEST_F(abi, refuses_a_reserved_field_that_is_not_zero)
{
	int bit;

	for (bit = 0; bit < 32; bit++) {
		struct pvmread_info info = { .size = sizeof(info), .__reserved = 1U << bit };
		struct pvmread_info before = info;

		EXPECT_EQ(EINVAL, send(self->fd, PVMREAD_IOC_INFO, &info));
		EXPECT_EQ(0, memcmp(&before, &info, sizeof(info)));
		good_forms(self);
		self->attach.__reserved = 1U << bit;
		expect_form_refused(EINVAL, ATTACH);
	}
}

TEST_F(abi, unmapped_struct_is_efault_and_moves_nothing)
{
	unsigned char *hole = (void *)(ARG + 3 * PAGE);
	void *const bad[] = { NULL, (void *)1, hole, (void *)KERNEL_ADDR, (void *)-PAGE,
			      (void *)-1 };
	enum form form;
	size_t i;
	int write;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (write = 0; write < 2; write++)
			EXPECT_EQ(EFAULT, send(self->fd, command(write), bad[i])) {
				TH_LOG("struct at %p", bad[i]);
			}
		EXPECT_EQ(EFAULT, send(self->fd, PVMREAD_IOC_INFO, bad[i]));
		for (form = 0; form < FORMS; form++)
			EXPECT_EQ(EFAULT, send_form(self, form, bad[i]));
	}
	/* Each byte of it in turn is the first unmapped one. */
	for (i = 1; i < sizeof(self->rw); i++) {
		memcpy(hole - i, &self->rw, i);
		for (write = 0; write < 2; write++)
			EXPECT_EQ(EFAULT, send(self->fd, command(write), hole - i)) {
				TH_LOG("only %zu bytes of the struct", i);
			}
		EXPECT_EQ(0, memcmp(hole - i, &self->rw, i));
	}
	for (i = 1; i < sizeof(struct pvmread_info); i++) {
		struct pvmread_info info = { .size = sizeof(info) };

		memcpy(hole - i, &info, i);
		EXPECT_EQ(EFAULT, send(self->fd, PVMREAD_IOC_INFO, hole - i));
	}
	for (form = 0; form < FORMS; form++)
		for (i = 1; i < FORM_SIZE; i++) {
			memcpy(hole - i, form_of(self, form), i);
			EXPECT_EQ(EFAULT, send_form(self, form, hole - i)) {
				TH_LOG("only %zu bytes of form %d", i, form);
			}
			EXPECT_EQ(0, memcmp(hole - i, form_of(self, form), i));
		}
	EXPECT_EQ(GARBAGE, self->segments[0].done);
	EXPECT_TRUE(untouched());
}

/* An unwritable struct must be detected before bytes are moved. */
TEST_F(abi, unwritable_struct_is_efault_and_moves_nothing)
{
	unsigned char *arg = (void *)(ARG + 2 * PAGE);
	struct pvmread_info info = { .size = sizeof(info) };
	size_t i;
	int write;

	/* First the whole struct is in the read-only page, at last only its final byte. */
	for (i = 0; i < sizeof(self->rw); i++) {
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ | PROT_WRITE));
		memcpy(arg - i, &self->rw, sizeof(self->rw));
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
		for (write = 0; write < 2; write++)
			EXPECT_EQ(EFAULT, send(self->fd, command(write), arg - i)) {
				TH_LOG("%zu bytes can be written", i);
			}
	}
	/* Only BATCH: ATTACH does not write to its struct. */
	for (i = 0; i < FORM_SIZE; i++) {
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ | PROT_WRITE));
		memcpy(arg - i, &self->batch, FORM_SIZE);
		ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
		EXPECT_EQ(EFAULT, send(self->target, PVMREAD_IOC_BATCH, arg - i)) {
			TH_LOG("%zu bytes can be written", i);
		}
		EXPECT_EQ(GARBAGE, self->segments[0].done);
	}
	EXPECT_TRUE(untouched());
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ | PROT_WRITE));
	memcpy(arg, &info, sizeof(info));
	ASSERT_EQ(0, mprotect(arg, PAGE, PROT_READ));
	EXPECT_EQ(EFAULT, send(self->fd, PVMREAD_IOC_INFO, arg));
}

TEST_F(abi, accepts_an_unaligned_struct)
{
	unsigned char *arg = (void *)(ARG + PAGE - 29);

	memcpy(arg, &self->rw, sizeof(self->rw));
	ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_READV, arg));
	memcpy(&self->rw, arg, sizeof(self->rw));
	EXPECT_EQ(100, self->rw.transferred);
	EXPECT_TRUE(holds(NEAR + 8, 100, 1, FAR + PAGE + 3));

	good_forms(self);
	arg += 6;
	memcpy(arg, &self->attach, sizeof(self->attach));
	EXPECT_EQ(0, try_attach(self->fd, arg));
	/* Its segments also cross a page boundary. */
	memcpy(arg + PAGE - 10, self->segments, sizeof(self->segments));
	self->batch.segments = (uintptr_t)arg + PAGE - 10;
	memcpy(arg, &self->batch, sizeof(self->batch));
	ASSERT_EQ(0, send(self->target, PVMREAD_IOC_BATCH, arg));
	memcpy(&self->batch, arg, sizeof(self->batch));
	memcpy(self->segments, arg + PAGE - 10, sizeof(self->segments));
	EXPECT_EQ(2, self->batch.completed);
	EXPECT_EQ(50, self->segments[0].done);
	EXPECT_EQ(50, self->segments[1].done);
	EXPECT_TRUE(holds(NEAR + 8, 100, 1, FAR + PAGE + 3));
}

TEST_F(abi, info_lists_features)
{
	/* Every tested kernel has the symbols that PIDFD needs. */
	__u64 features = PVMREAD_FEATURE_READV | PVMREAD_FEATURE_WRITEV |
			 PVMREAD_FEATURE_ATTACH | PVMREAD_FEATURE_BATCH | PVMREAD_FEATURE_PIDFD |
			 PVMREAD_FEATURE_NOWAIT | PVMREAD_FEATURE_RESIDENT;
	struct pvmread_info info;
	__u32 size;

	if (self->readonly)
		features |= PVMREAD_FEATURE_READONLY;
	if (can_have_cache())
		features |= PVMREAD_FEATURE_CACHE;
	if (can_have_windows())
		features |= PVMREAD_FEATURE_WINDOW;
	memset(&info, GARBAGE, sizeof(info));
	info.size = sizeof(info);
	info.__reserved = 0;
	ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_INFO, &info));
	EXPECT_EQ(sizeof(info), info.size);
	EXPECT_EQ(0, info.__reserved);
	EXPECT_EQ(PVMREAD_ABI_VERSION, info.version);
	EXPECT_EQ(1024, info.max_segments);
	EXPECT_EQ(features, info.features);
	EXPECT_EQ(INT_MAX & ~(PAGE - 1), info.max_bytes);
	EXPECT_EQ(65536, info.max_batch);

	for (size = INFO_MIN; size < sizeof(info); size++) {
		/* version and max_segments have 4 bytes, the later fields 8 */
		__u32 i, used = size < 16 ? size & ~3U : size & ~7U;
		unsigned char arg[sizeof(info)];

		info.size = size;
		memset(arg, GARBAGE, sizeof(arg));
		memcpy(arg, &info, INFO_MIN);
		ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_INFO, arg));
		EXPECT_EQ(0, memcmp(arg, &info, used));
		for (i = used; i < sizeof(arg); i++) {
			ASSERT_EQ(GARBAGE, arg[i]) {
				TH_LOG("byte %u of a struct of %u bytes", i, size);
			}
		}
	}
}

/*
 * Send a request that moves nothing. It must set errno to @err (0: succeed), error to
 * @detail, stop_addr to @stop and transferred to 0.
 */
#define expect_failure(err, detail, stop, write) do { \
	EXPECT_EQ(err, send(self->fd, command(write), &self->rw)); \
	EXPECT_EQ(detail, self->rw.error); \
	EXPECT_EQ(0, self->rw.transferred); \
	EXPECT_EQ(stop, self->rw.stop_addr); \
	EXPECT_TRUE(untouched()); \
} while (0)

TEST_F(abi, checks_counts_as_64_bits)
{
	static const __u64 counts[] = {
		1025, 1026, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 32, (1ULL << 32) + 1,
		(1ULL << 32) + 1024, 1ULL << 48 | 1, 1ULL << 63, (1ULL << 63) + 1, ~0ULL - 1,
		~0ULL,
	};
	size_t i;
	int write;

	for (i = 0; i < ARRAY_SIZE(counts); i++)
		for (write = 0; write < directions(self); write++) {
			good_request(self);
			self->rw.local_count = counts[i];
			expect_failure(EINVAL, EINVAL, 0, write);
			good_request(self);
			self->rw.remote_count = counts[i];
			expect_failure(EINVAL, EINVAL, 0, write);
		}
}

/* Each address is valid except for one high bit, which the kernel must not ignore. */
TEST_F(abi, reads_addresses_as_64_bits)
{
	static const int bits[] = { sizeof(long) == 4 ? 32 : 57, 62, 63 };
	size_t i;
	int write;

	for (i = 0; i < ARRAY_SIZE(bits); i++)
		for (write = 0; write < directions(self); write++) {
			good_request(self);
			self->rw.local |= 1ULL << bits[i];
			expect_failure(EFAULT, EFAULT, 0, write);
			good_request(self);
			self->rw.remote |= 1ULL << bits[i];
			expect_failure(EFAULT, EFAULT, 0, write);
		}
	for (i = 0; i < ARRAY_SIZE(bits); i++)
		for (write = 0; write < directions(self); write++) {
			set_form(self, BATCH, FORM_SIZE, write ? PVMREAD_WRITE : 0);
			self->batch.segments |= 1ULL << bits[i];
			EXPECT_EQ(EFAULT, send(self->target, PVMREAD_IOC_BATCH, &self->batch));
			EXPECT_EQ(0, self->batch.completed);
			EXPECT_EQ(GARBAGE, self->segments[0].done);
			set_form(self, BATCH, FORM_SIZE, write ? PVMREAD_WRITE : 0);
			self->segments[0].local |= 1ULL << bits[i];
			self->segments[1].remote |= 1ULL << bits[i];
			EXPECT_EQ(0, send(self->target, PVMREAD_IOC_BATCH, &self->batch));
			EXPECT_EQ(2, self->batch.completed);
			EXPECT_EQ(EFAULT, self->segments[0].error);
			EXPECT_EQ(EIO, self->segments[1].error);
			EXPECT_EQ(0, self->segments[0].done + self->segments[1].done);
			EXPECT_TRUE(untouched());
		}
}

/* A pidfd of this process, and one of a process that exits at a known time. */
TEST_F(abi, accepts_only_a_pidfd_of_a_live_process)
{
	int write, pipefd[2], exited;
	siginfo_t info;
	pid_t pid;

	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(0);
	exited = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_GE(exited, 0);
	ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	ASSERT_EQ(0, pipe(pipefd));
	for (write = 0; write < directions(self); write++) {
		const int no_pidfd[] = { -1, INT_MIN, INT_MAX, 1000000, pipefd[0], self->fd,
					 self->target, getpid() };
		size_t i;

		for (i = 0; i < ARRAY_SIZE(no_pidfd); i++) {
			good_request(self);
			self->rw.flags = PVMREAD_PIDFD;
			self->rw.pid = no_pidfd[i];
			expect_failure(EBADF, EBADF, 0, write);
			/* If there is nothing to move, the process is not looked up. */
			good_request(self);
			self->rw.flags = PVMREAD_PIDFD;
			self->rw.pid = no_pidfd[i];
			self->rw.remote_count = 0;
			expect_failure(0, 0, 0, write);
		}
		/* A pidfd is not accepted as a pid. Give it a number that is not a pid. */
		good_request(self);
		self->rw.pid = 900;
		while (!kill(self->rw.pid, 0))
			self->rw.pid++;
		ASSERT_EQ(self->rw.pid, dup3(self->pidfd, self->rw.pid, O_CLOEXEC));
		expect_failure(ESRCH, ESRCH, 0, write);
		close(self->rw.pid);
		/* First a zombie, then no process */
		good_request(self);
		self->rw.flags = PVMREAD_PIDFD;
		self->rw.pid = exited;
		expect_failure(ESRCH, ESRCH, 0, write);
		if (write == directions(self) - 1) {
			ASSERT_EQ(pid, waitpid(pid, NULL, 0));
			good_request(self);
			self->rw.flags = PVMREAD_PIDFD;
			self->rw.pid = exited;
			expect_failure(ESRCH, ESRCH, 0, write);
		}
	}
	close(pipefd[0]);
	close(pipefd[1]);
	close(exited);
}

/* If the pidfd named the tester, its own bytes would be read. */
TEST_F(abi, moves_the_bytes_of_the_process_that_the_pidfd_names)
{
	unsigned char *mine = (void *)(FAR + PAGE + 3);
	int pidfd, ready[2], status;
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		alarm(LIFETIME_S);
		memset(mine, GARBAGE, 100);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_GE(pidfd, 0);
	self->rw.flags = PVMREAD_PIDFD;
	self->rw.pid = pidfd;
	EXPECT_EQ(0, send(self->fd, PVMREAD_IOC_READV, &self->rw));
	EXPECT_EQ(100, self->rw.transferred);
	for (c = 0; c < 100; c++)
		EXPECT_EQ(GARBAGE, ((unsigned char *)NEAR)[8 + c]);
	EXPECT_EQ(0, differs(1, FAR));
	if (!self->readonly) {
		good_request(self);
		self->rw.flags = PVMREAD_PIDFD;
		self->rw.pid = pidfd;
		EXPECT_EQ(0, send(self->fd, PVMREAD_IOC_WRITEV, &self->rw));
		EXPECT_TRUE(untouched());
		EXPECT_EQ(0, send(self->fd, PVMREAD_IOC_READV, &self->rw));
		EXPECT_TRUE(untouched());
	}
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	close(pidfd);
}

TEST_F(abi, error_field_is_the_errno)
{
	int write;

	for (write = 0; write < directions(self); write++) {
		good_request(self);
		self->local.iov_len = NEGATIVE;
		expect_failure(EINVAL, EINVAL, 0, write);
		good_request(self);
		self->remote.iov_len = NEGATIVE;
		expect_failure(EINVAL, EINVAL, 0, write);
		good_request(self);
		self->rw.local = 0;
		expect_failure(EFAULT, EFAULT, 0, write);
		good_request(self);
		self->rw.remote = ARG + 3 * PAGE;
		expect_failure(EFAULT, EFAULT, 0, write);
		good_request(self);
		self->rw.pid = 0;
		expect_failure(ESRCH, ESRCH, 0, write);
		good_request(self);
		self->rw.pid = -1;
		expect_failure(ESRCH, ESRCH, 0, write);
	}
}

TEST_F(abi, empty_request_looks_up_no_process)
{
	int write;

	for (write = 0; write < directions(self); write++) {
		/* The process is not looked up, so it need not exist. */
		good_request(self);
		self->rw.pid = -1;
		self->local.iov_len = 0;
		expect_failure(0, 0, 0, write);
		good_request(self);
		self->rw.pid = -1;
		self->rw.local_count = 0;
		self->rw.local = 0;
		self->rw.remote_count = 1025;
		expect_failure(0, 0, 0, write);
		good_request(self);
		self->rw.pid = -1;
		self->remote.iov_len = 0;
		expect_failure(0, 0, 0, write);
		good_request(self);
		self->rw.pid = -1;
		self->rw.remote_count = 0;
		self->rw.remote = 0;
		expect_failure(0, 0, 0, write);
	}
}

/**
 * struct stop - the end of a transfer with one remote segment
 * @local: the start of the local segment
 * @llen: its length
 * @remote: the start of the remote one
 * @rlen: its length
 * @moved: how many bytes are moved
 * @error: the reason for the end
 */
struct stop {
	uintptr_t local;
	size_t llen;
	uintptr_t remote;
	size_t rlen;
	size_t moved;
	unsigned int error;
};

#define N(page, off)	(NEAR + (page) * PAGE + (off))
#define F(page, off)	(FAR + (page) * PAGE + (off))

static const struct stop stops[] = {
	/* both sides used up */
	{ N(0, 0), 1, F(0, 0), 1, 1, 0 },
	{ N(0, 7), 2 * PAGE, F(1, 9), 2 * PAGE, 2 * PAGE, 0 },
	/* up to the last byte before a hole */
	{ N(0, 0), 10, F(3, PAGE - 10), 10, 10, 0 },
	{ N(3, PAGE - 10), 10, F(0, 0), 10, 10, 0 },
	/* one side used up */
	{ N(0, 7), 99, F(1, 9), PAGE + 1000, 99, 0 },
	{ N(0, 7), PAGE + 1000, F(1, 9), PAGE + 999, PAGE + 999, 0 },
	{ N(0, 7), 96, F(3, PAGE - 96), 97, 96, 0 },
	{ N(3, PAGE - 96), 97, F(0, 7), 96, 96, 0 },
	/* remote hole: at the first byte, after some bytes, after some pages */
	{ N(0, 0), 10, F(HOLE, 0), 10, 0, EIO },
	{ N(0, 0), 10, F(HOLE, 17), 10, 0, EIO },
	{ N(0, 0), 10, F(3, PAGE - 1), 10, 1, EIO },
	{ N(0, 0), 97, F(3, PAGE - 96), 97, 96, EIO },
	{ N(0, 5), 4 * PAGE - 5, F(1, 5), 4 * PAGE, 3 * PAGE - 5, EIO },
	{ N(0, 0), 10, KERNEL_ADDR, 10, 0, EIO },
	/* local hole */
	{ N(HOLE, 0), 10, F(0, 3), 10, 0, EFAULT },
	{ N(3, PAGE - 1), 10, F(0, 3), 10, 1, EFAULT },
	{ N(3, PAGE - 96), 200, F(0, 3), 200, 96, EFAULT },
	{ N(1, 5), 4 * PAGE, F(0, 5), 4 * PAGE - 5, 3 * PAGE - 5, EFAULT },
};

TEST_F(abi, says_where_and_why_a_transfer_ended)
{
	size_t i;
	int write;

	for (i = 0; i < ARRAY_SIZE(stops); i++)
		for (write = 0; write < directions(self); write++) {
			const struct stop *s = &stops[i];
			uintptr_t at = write ? s->remote : s->local;
			uintptr_t from = write ? s->local : s->remote;

			good_request(self);
			self->local = (struct iovec){ (void *)s->local, s->llen };
			self->remote = (struct iovec){ (void *)s->remote, s->rlen };
			if (!s->moved) {
				expect_failure(EFAULT, s->error, s->remote, write);
			} else {
				size_t moved, slack = s->error == EFAULT ? COPY_SLACK : 0;

				EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
				EXPECT_EQ(s->error, self->rw.error);
				moved = self->rw.transferred;
				EXPECT_GE(s->moved, moved);
				EXPECT_LE(s->moved, moved + slack);
				EXPECT_EQ(s->remote + moved, self->rw.stop_addr);
				EXPECT_TRUE(holds(at, moved, !write, from));
				EXPECT_EQ(at, differs(write, base_of(write)));
				EXPECT_EQ(0, differs(write, at + moved));
				EXPECT_EQ(0, differs(!write, base_of(!write)));
			}
			if (!_metadata->exit_code)
				continue;
			TH_LOG("in row %zu, %s", i, write ? "WRITEV" : "READV");
			return;
		}
}

TEST_F(abi, says_in_which_segment_a_transfer_ended)
{
	struct iovec far[] = {
		{ (void *)F(0, 0), 10 }, { (void *)F(1, 0), 0 }, { (void *)F(2, 7), 20 },
		{ (void *)F(3, PAGE - 6), 30 }, { (void *)F(0, 100), 40 },
	};
	struct iovec near[] = {
		{ (void *)N(0, 0), 15 }, { (void *)N(1, 1), 3 }, { (void *)N(2, 0), 500 },
	};
	int write;

	for (write = 0; write < directions(self); write++) {
		good_request(self);
		self->rw.local = (uintptr_t)near;
		self->rw.local_count = ARRAY_SIZE(near);
		self->rw.remote = (uintptr_t)far;
		self->rw.remote_count = ARRAY_SIZE(far);
		/* A hole in the middle of the fourth */
		EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(EIO, self->rw.error);
		EXPECT_EQ(36, self->rw.transferred);
		EXPECT_EQ(F(HOLE, 0), self->rw.stop_addr);

		/* A hole at the beginning of the fourth */
		far[3].iov_base = (void *)F(HOLE, 9);
		EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(EIO, self->rw.error);
		EXPECT_EQ(30, self->rw.transferred);
		EXPECT_EQ(F(HOLE, 9), self->rw.stop_addr);

		/* Not reached: the local side ends in the third */
		self->rw.local_count = 2;
		EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(0, self->rw.error);
		EXPECT_EQ(18, self->rw.transferred);
		EXPECT_EQ(F(2, 7) + 8, self->rw.stop_addr);

		/* Not reached: the remote side ends with the third */
		self->rw.local_count = ARRAY_SIZE(near);
		self->rw.remote_count = 3;
		EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(0, self->rw.error);
		EXPECT_EQ(30, self->rw.transferred);
		EXPECT_EQ(F(2, 7) + 20, self->rw.stop_addr);

		/* The local side ends exactly with the first remote segment */
		near[0].iov_len = 10;
		self->rw.local_count = 1;
		EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(0, self->rw.error);
		EXPECT_EQ(10, self->rw.transferred);
		EXPECT_EQ(F(0, 10), self->rw.stop_addr);

		/* The local side is bad in the third remote segment */
		near[1] = (struct iovec){ (void *)N(3, PAGE - 4), 10 };
		self->rw.local_count = ARRAY_SIZE(near);
		EXPECT_EQ(0, send(self->fd, command(write), &self->rw));
		EXPECT_EQ(EFAULT, self->rw.error);
		EXPECT_GE(14, self->rw.transferred);
		EXPECT_LE(14, self->rw.transferred + COPY_SLACK);
		EXPECT_EQ(F(2, 7) - 10 + self->rw.transferred, self->rw.stop_addr);

		near[0].iov_len = 15;
		near[1] = (struct iovec){ (void *)N(1, 1), 3 };
		far[3].iov_base = (void *)F(3, PAGE - 6);
	}
}

TEST_F(abi, writes_nothing_to_read_only_memory)
{
	if (self->readonly)
		SKIP(return, "WRITEV is turned off");
	self->remote.iov_base = (void *)F(READ_ONLY, 5);
	expect_failure(EFAULT, EIO, F(READ_ONLY, 5), 1);

	/* The page before it is written, as by the system call */
	good_request(self);
	self->remote.iov_base = (void *)F(ALONE, PAGE - 4);
	ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_WRITEV, &self->rw));
	EXPECT_EQ(EIO, self->rw.error);
	EXPECT_EQ(4, self->rw.transferred);
	EXPECT_EQ(F(READ_ONLY, 0), self->rw.stop_addr);
	EXPECT_EQ(F(ALONE, PAGE - 4), differs(1, FAR));
	EXPECT_EQ(0, differs(1, F(READ_ONLY, 0)));

	/* The page can be read, */
	good_request(self);
	self->remote.iov_base = (void *)F(READ_ONLY, 5);
	ASSERT_EQ(0, send(self->fd, PVMREAD_IOC_READV, &self->rw));
	EXPECT_EQ(100, self->rw.transferred);
	EXPECT_TRUE(holds(NEAR + 8, 100, 1, F(READ_ONLY, 5)));

	/* but not be the destination of a read. */
	good_request(self);
	self->local.iov_base = (void *)N(READ_ONLY, 5);
	expect_failure(EFAULT, EFAULT, FAR + PAGE + 3, 0);
}

TEST_F(abi, refuses_writes_if_loaded_with_readonly_1)
{
	char c = 0;
	int fd;

	if (!self->readonly)
		SKIP(return, "the module was not loaded with readonly=1");
	expect_failure(EROFS, EROFS, 0, 1);

	/* EROFS comes before all errors in the request itself, */
	good_request(self);
	self->rw.local_count = 1025;
	self->rw.pid = -1;
	expect_failure(EROFS, EROFS, 0, 1);
	good_request(self);
	self->rw.local_count = 0;
	expect_failure(EROFS, EROFS, 0, 1);

	/* but after errors in the struct. */
	good_request(self);
	self->rw.flags = 1U << 31;
	expect_refused(EINVAL, 1);

	good_request(self);
	EXPECT_EQ(0, send(self->fd, PVMREAD_IOC_READV, &self->rw));
	EXPECT_EQ(100, self->rw.transferred);

	/* ATTACH for writing fails, even to this process, */
	set_form(self, ATTACH, FORM_SIZE, PVMREAD_WRITE);
	expect_form_refused(EROFS, ATTACH);
	set_form(self, ATTACH, FORM_SIZE, PVMREAD_WRITE | PVMREAD_NOWAIT | PVMREAD_RESIDENT);
	expect_form_refused(EROFS, ATTACH);
	self->attach.pid = -1;
	expect_form_refused(EROFS, ATTACH);
	self->attach.length = 0;
	expect_form_refused(EINVAL, ATTACH);
	fd = open(PVMREAD_DEVICE, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	self->attach.length = PAGE;
	EXPECT_EQ(EBADF, try_attach(fd, &self->attach));
	close(fd);

	/* and a file for reading cannot write. */
	set_form(self, BATCH, FORM_SIZE, PVMREAD_WRITE);
	EXPECT_EQ(EBADF, send(self->target, PVMREAD_IOC_BATCH, &self->batch));
	EXPECT_EQ(0, self->batch.completed);
	EXPECT_EQ(GARBAGE, self->segments[0].done);
	EXPECT_EQ(-1, write(self->target, &c, 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_TRUE(untouched());
}

TEST_F(abi, node_is_only_for_root)
{
	struct stat st;
	int status;
	pid_t pid;

	ASSERT_EQ(0, stat(PVMREAD_DEVICE, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
	EXPECT_EQ(0, st.st_gid);
	EXPECT_EQ(10, major(st.st_rdev));	/* misc devices */

	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(255);
		_exit(open(PVMREAD_DEVICE, O_RDONLY) < 0 ? errno : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

/* This lets an administrator give a group a node for reading only. */
TEST_F(abi, refuses_a_direction_not_in_the_open_mode)
{
	static const struct {
		int mode, readv, writev;
	} rows[] = {
		{ O_RDONLY, 0, EBADF },
		{ O_WRONLY, EBADF, 0 },
		{ O_RDWR, 0, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = open(PVMREAD_DEVICE, rows[i].mode | O_CLOEXEC);
		int writev = rows[i].writev ?: self->readonly ? EROFS : 0;

		ASSERT_GE(fd, 0);
		/* First send the direction that is refused: it must change nothing. */
		good_request(self);
		if (rows[i].writev) {
			EXPECT_EQ(EBADF, send(fd, PVMREAD_IOC_WRITEV, &self->rw));
			EXPECT_EQ(EBADF, self->rw.error);
			EXPECT_EQ(0, self->rw.transferred);
			EXPECT_TRUE(untouched());
		}
		if (rows[i].readv) {
			EXPECT_EQ(EBADF, send(fd, PVMREAD_IOC_READV, &self->rw));
			EXPECT_EQ(EBADF, self->rw.error);
			EXPECT_TRUE(untouched());
		}
		good_request(self);
		EXPECT_EQ(rows[i].readv, send(fd, PVMREAD_IOC_READV, &self->rw));
		good_request(self);
		EXPECT_EQ(writev, send(fd, PVMREAD_IOC_WRITEV, &self->rw));
		good_request(self);
		close(fd);
	}
}

TEST_F(abi, read_write_mmap_fail)
{
	char byte = 0;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->fd, &byte, 1, FAR));
	EXPECT_NE(0, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_TRUE(untouched());
}

/* The local side is the caller's memory, not that of the process that opened the device. */
TEST_F(abi, local_side_is_the_childs_after_fork)
{
	int status, copy = dup(self->fd);
	pid_t pid;

	ASSERT_GE(copy, 0);
	ASSERT_EQ(0, close(self->fd));
	self->fd = copy;
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		self->rw.pid = getppid();
		*(unsigned char *)(FAR + PAGE + 3) = GARBAGE;
		if (send(copy, PVMREAD_IOC_READV, &self->rw) || self->rw.transferred != 100)
			_exit(1);
		/* The parent's byte, not the child's */
		_exit(!holds(NEAR + 8, 100, 1, FAR + PAGE + 3));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(untouched());
	EXPECT_EQ(0, send(copy, PVMREAD_IOC_READV, &self->rw));
	EXPECT_EQ(100, self->rw.transferred);
}

#define THREADS	4
#define ROUNDS	2000

struct worker {
	pthread_t thread;
	int fd;
	int id;
	bool readonly;
	unsigned long wrong;
};

/* Move this thread's bytes, with its own holes: other threads must not affect it. */
static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char here[3000], there[3000];
	struct iovec local[2] = {
		{ here, 500 + w->id }, { here + 500 + w->id, sizeof(here) - 500 - w->id }
	};
	struct iovec remote[2] = {
		{ there, sizeof(there) - 100 * w->id }, { (void *)F(HOLE, w->id), 1 }
	};
	struct request req = {
		.pid = getpid(),
		.local = local,
		.local_count = 2,
		.remote = remote,
		.remote_count = 2,
	};
	struct pvmread_rw rw;
	size_t len = remote[0].iov_len;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		unsigned char from = i + 64 * w->id;
		unsigned char *src, *dst;

		req.write = i % 2 && !w->readonly;
		src = req.write ? here : there;
		dst = req.write ? there : here;
		memset(src, from, sizeof(here));
		memset(dst, ~from, sizeof(here));
		/* Thread 0 reaches no hole: its remote[0] is as long as its local side */
		w->wrong += send_ioctl(w->fd, &req, &rw) != (ssize_t)len;
		w->wrong += rw.error != (w->id ? EIO : 0);
		w->wrong += rw.stop_addr != (w->id ? F(HOLE, w->id) : (uintptr_t)there + len);
		w->wrong += memcmp(src, dst, len) != 0;
		w->wrong += w->id && dst[len] != (unsigned char)~from;
	}
	return NULL;
}

TEST_F(abi, threads_can_share_the_fd)
{
	struct worker worker[THREADS];
	int i;

	for (i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ .fd = self->fd, .id = i, .readonly = self->readonly };
		ASSERT_EQ(0, pthread_create(&worker[i].thread, NULL, work, &worker[i]));
	}
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(worker[i].thread, NULL));
		EXPECT_EQ(0, worker[i].wrong);
	}
}

TEST_HARNESS_MAIN
