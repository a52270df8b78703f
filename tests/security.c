// SPDX-License-Identifier: GPL-2.0
/*
 * Security: what a hostile program can pass, rewrite during the call, or look for in
 * the results. permission.c tests who may access which process.
 *
 * The two sides are two windows of memory: the caller's at NEAR, the target's at FAR.
 * Each window holds LEN bytes that end at a page boundary. Canaries surround them and a
 * hole follows, so that a request of any length can reach only these bytes. The tester
 * has a second mapping of every window.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <kselftest_harness.h>

#include "process.h"

#define NEAR		0x30000000UL
#define FAR		0x38000000UL
#define LATE		0x3c000000UL	/* a page that the tester serves */
#define LEN		100U

/* The pages of a window. */
enum { BEFORE, BUFFER, HOLE, AFTER, PAGES };

/* Where the LEN bytes are. */
#define AT(base)	((base) + HOLE * PAGE - LEN)

#define CANARY		0xc5
#define OURS		0x11	/* in the caller's buffer */
#define THEIRS		0x22	/* in the target's */
#define SECRET		0x66	/* in the memory of the process that must not be accessed */

#define ALICE		1000
#define BOB		1001

/* --- The two sides --- */

/**
 * struct window - one side's memory
 * @fd: its three pages as a file
 * @view: the tester's mapping of the same pages
 */
struct window {
	int fd;
	unsigned char *view;
};

static void set_bytes(const struct window *w, unsigned char byte)
{
	memset(w->view, CANARY, 3 * PAGE);
	memset(w->view + HOLE * PAGE - LEN, byte, LEN);
}

static bool is_all(const unsigned char *at, size_t len, unsigned char byte)
{
	return !len || (*at == byte && !memcmp(at, at + 1, len - 1));
}

static bool canaries_live(const struct window *w)
{
	return is_all(w->view, HOLE * PAGE - LEN, CANARY) &&
	       is_all(w->view + HOLE * PAGE, PAGE, CANARY);
}

/* Are the first @moved bytes equal to @with, the rest equal to @set, and the canaries intact? */
static bool holds(const struct window *w, size_t moved, unsigned char with, unsigned char set)
{
	const unsigned char *at = w->view + HOLE * PAGE - LEN;

	return canaries_live(w) && is_all(at, moved, with) && is_all(at + moved, LEN - moved, set);
}

static bool make_window(struct window *w)
{
	w->fd = memfd_create("window", MFD_CLOEXEC);
	if (w->fd < 0 || ftruncate(w->fd, 3 * PAGE))
		return false;
	w->view = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	return w->view != MAP_FAILED;
}

static bool map_window(const struct window *w, uintptr_t base)
{
	const int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;
	const int prot = PROT_READ | PROT_WRITE;

	return mmap((void *)base, 2 * PAGE, prot, flags, w->fd, 0) == (void *)base &&
	       mmap((void *)(base + AFTER * PAGE), PAGE, prot, flags, w->fd, 2 * PAGE) ==
	       (void *)(base + AFTER * PAGE);
}

/* --- Children --- */

/* A child's error message, and its counters. */
struct board {
	char trouble[200];
	unsigned long done;
	unsigned long failed;
	uintptr_t at;
	pid_t child;
};

static struct board *board;
static int dev = -1;

static __attribute__((noreturn)) void broken(const char *what)
{
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what, strerror(errno));
	_exit(1);
}

static void become(uid_t id)
{
	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id) ||
	    prctl(PR_SET_DUMPABLE, 1))
		broken("changing the user");
	die_with_parent();
}

/**
 * start() - start a process that waits to be killed
 * @id: its user
 * @build: called first, as root
 * @data: argument of @build
 *
 * Return: its pid once it is ready, or -1.
 */
static pid_t start(uid_t id, void (*build)(const void *data), const void *data)
{
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		die_with_parent();
		build(data);
		if (id)
			become(id);
		if (write(ready[1], "r", 1) != 1)
			broken("telling that it is ready");
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid > 0 && !is_sent(ready[0])) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(ready[0]);
	return pid;
}

static void stop(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static void build_window(const void *w)
{
	if (!map_window(w, FAR))
		broken("the target's window");
}

/* Run @part in a child. Return: 0 if it returned; otherwise see board->trouble. */
static int run(void (*part)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		die_with_parent();
		part();
		_exit(0);
	}
	status = reap(pid, PATIENCE_MS);
	if (status == -1) {
		stop(pid);
		snprintf(board->trouble, sizeof(board->trouble), "it did not end");
	}
	return status;
}

static void expect_run(struct __test_metadata *_metadata, void (*part)(void))
{
	EXPECT_EQ(0, run(part)) {
		TH_LOG("%s", board->trouble);
	}
}

static bool set_up(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	return board != MAP_FAILED && dev >= 0;
}

#define YAMA_SCOPE	"/proc/sys/kernel/yama/ptrace_scope"

/* Yama may refuse processes that are not children. A ptrace_scope of 3 cannot be lowered. */
static bool turn_yama_off(void)
{
	return access(YAMA_SCOPE, F_OK) || !write_file(YAMA_SCOPE, "0");
}

FIXTURE(request) {
	struct window near;
	struct window far;
	pid_t pid;
	int file;
};

FIXTURE_SETUP(request)
{
	ASSERT_TRUE(set_up()) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	ASSERT_TRUE(make_window(&self->near));
	ASSERT_TRUE(make_window(&self->far));
	self->pid = start(0, build_window, &self->far);
	ASSERT_LT(0, self->pid) {
		TH_LOG("%s", board->trouble);
	}
	ASSERT_TRUE(map_window(&self->near, NEAR));
	set_bytes(&self->near, OURS);
	set_bytes(&self->far, THEIRS);
	self->file = attach(dev, self->pid, PVMREAD_WRITE, 0, 0);
	ASSERT_LE(0, self->file);
}

FIXTURE_TEARDOWN(request)
{
	stop(self->pid);
	close(self->file);
	close(dev);
}

/* --- A kernel pointer, or another bad value, in every field --- */

/* Some are kernel addresses on one architecture and unused on another. */
static const uint64_t hostile[] = {
	0, 1,
	0x60001000,			/* User mode Linux's text */
	0xfffff000, 0xffffffff, 1ULL << 32,
	(1ULL << 47) - PAGE - 1, (1ULL << 47) - PAGE, (1ULL << 47) - 1,	/* TASK_SIZE */
	1ULL << 47, 0x1234567812345678,	/* not canonical */
	(1ULL << 56) - PAGE, 1ULL << 56,	/* TASK_SIZE, five levels of page tables */
	(1ULL << 63) - 1, 1ULL << 63, (1ULL << 63) | (NEAR + PAGE),
	0xffff800000000000,
	0xffff888000000000, 0xffff888001000000,	/* the direct map */
	0xffffc90000000000, 0xffffc90000001000,	/* vmalloc */
	0xffffea0000000000,		/* struct page */
	0xfffffe0000000000,		/* the CPUs' entry areas */
	0xffffffff81000000, 0xffffffff82000000,	/* text, data */
	0xffffffffa0000000, 0xffffffffc0000000,	/* modules */
	0xffffffffff578000, 0xffffffffff5fd000,	/* fixmap */
	0xffffffffff600000,		/* vsyscall */
	-PAGE, -PAGE + 1, -4095ULL, -LEN, -8ULL, -2ULL, -1ULL,
};

static size_t least(uint64_t a, size_t b)
{
	return a < b ? a : b;
}

#define MAX_VALUES	(ARRAY_SIZE(hostile) + 2)

/* The address of a symbol, or 0. */
static uint64_t symbol(const char *wanted)
{
	unsigned long long addr, found = 0;
	char line[256], name[128];
	FILE *f = fopen("/proc/kallsyms", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx %*c %127s", &addr, name) == 2 && !strcmp(name, wanted))
			found = addr;
	}
	if (f)
		fclose(f);
	return found;
}

/* Covers the limit of a stack's growth and the stack's randomized offset. */
#define STACK_REACH	(64UL << 20)

/* Is the address mapped, or would the stack grow to it? */
static bool is_mapped(uint64_t addr)
{
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	unsigned char in_memory;

	if (here - (uintptr_t)addr < STACK_REACH)
		return true;
	return !mincore((void *)((uintptr_t)addr & -PAGE), PAGE, &in_memory);
}

/* The addresses above, and the real ones of this kernel and the module. Return: their number. */
static size_t hostile_values(uint64_t *values)
{
	uint64_t real[] = { symbol("mm_access"), symbol("pvmread_ioctl") };
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(hostile) + ARRAY_SIZE(real); i++) {
		uint64_t value = i < ARRAY_SIZE(hostile) ? hostile[i] :
							   real[i - ARRAY_SIZE(hostile)];

		/* A 32-bit program has its stack where a 64-bit one has nothing mapped. */
		if (!is_mapped(value))
			values[n++] = value;
	}
	return n;
}

/* A request of each kind, for LEN bytes. */
struct forms {
	struct pvmread_info info;
	struct pvmread_rw rw;
	struct iovec local;
	struct iovec remote;
	struct pvmread_attach attach;
	struct pvmread_batch batch;
	struct pvmread_segment segment;
};

static void good_forms(struct forms *f, pid_t pid, bool write)
{
	*f = (struct forms){
		.info.size = sizeof(f->info),
		.rw = {
			.size = sizeof(f->rw),
			.pid = pid,
			.local = (uintptr_t)&f->local,
			.local_count = 1,
			.remote = (uintptr_t)&f->remote,
			.remote_count = 1,
		},
		.local = { (void *)AT(NEAR), LEN },
		.remote = { (void *)AT(FAR), LEN },
		.attach = {
			.size = sizeof(f->attach),
			.flags = write ? PVMREAD_WRITE : 0,
			.pid = pid,
			.start = FAR,
			.length = PAGES * PAGE,
		},
		.batch = {
			.size = sizeof(f->batch),
			.flags = write ? PVMREAD_WRITE : 0,
			.segments = (uintptr_t)&f->segment,
			.count = 1,
		},
		.segment = {
			.remote = AT(FAR),
			.local = AT(NEAR),
			.length = LEN,
		},
	};
}

/* Return: the number of bytes moved, or minus the reported error. */
typedef ssize_t (*send_fn)(int file, struct forms *f, bool write);

static ssize_t send_info(int file, struct forms *f, bool write)
{
	(void)file;
	(void)write;
	return ioctl(dev, PVMREAD_IOC_INFO, &f->info) ? -errno : 0;
}

static ssize_t send_rw(int file, struct forms *f, bool write)
{
	(void)file;
	if (ioctl(dev, write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &f->rw))
		return -errno;
	return f->rw.transferred;
}

static ssize_t send_attach(int file, struct forms *f, bool write)
{
	ssize_t ret;

	file = ioctl(dev, PVMREAD_IOC_ATTACH, &f->attach);
	if (file < 0)
		return -errno;
	ret = write ? pwrite(file, (void *)AT(NEAR), LEN, AT(FAR)) :
		      pread(file, (void *)AT(NEAR), LEN, AT(FAR));
	if (ret < 0)
		ret = -errno;
	close(file);
	return ret;
}

static ssize_t send_batch(int file, struct forms *f, bool write)
{
	(void)write;
	if (ioctl(file, PVMREAD_IOC_BATCH, &f->batch))
		return -errno;
	return f->segment.done ? (ssize_t)f->segment.done : -(ssize_t)f->segment.error;
}

static ssize_t send_rw_by_pidfd(int file, struct forms *f, bool write)
{
	f->rw.flags = PVMREAD_PIDFD;
	return send_rw(file, f, write);
}

static ssize_t send_attach_by_pidfd(int file, struct forms *f, bool write)
{
	f->attach.flags |= PVMREAD_PIDFD;
	return send_attach(file, f, write);
}

static ssize_t send_string(int file, struct forms *f, bool write)
{
	f->segment.flags = PVMREAD_SEGMENT_STRING;
	return send_batch(file, f, write);
}

/* The expected result of a value in a field: bytes moved, or minus errno. */
typedef ssize_t (*outcome_fn)(uint64_t value, bool write);

static ssize_t no_effect(uint64_t value, bool write)
{
	(void)value;
	(void)write;
	return LEN;
}

static ssize_t no_effect_on_info(uint64_t value, bool write)
{
	(void)value;
	(void)write;
	return 0;
}

static ssize_t fault(uint64_t value, bool write)
{
	(void)value;
	(void)write;
	return -EFAULT;
}

static ssize_t io_error(uint64_t value, bool write)
{
	(void)value;
	(void)write;
	return -EIO;
}

static ssize_t size_of_info(uint64_t value, bool write)
{
	(void)write;
	return (uint32_t)value < 8 ? -EINVAL : -E2BIG;
}

static ssize_t size_of_rw(uint64_t value, bool write)
{
	(void)write;
	return (uint32_t)value < 56 ? -EINVAL : -E2BIG;
}

static ssize_t size_of_others(uint64_t value, bool write)
{
	(void)write;
	return (uint32_t)value < 32 ? -EINVAL : -E2BIG;
}

static ssize_t reserved(uint64_t value, bool write)
{
	(void)write;
	return (uint32_t)value ? -EINVAL : (ssize_t)LEN;
}

static ssize_t reserved_of_info(uint64_t value, bool write)
{
	(void)write;
	return (uint32_t)value ? -EINVAL : 0;
}

/* 1 is PVMREAD_PIDFD, and the pid is not a pidfd. */
static ssize_t flags_of_rw(uint64_t value, bool write)
{
	(void)write;
	if ((uint32_t)value > 1)
		return -EINVAL;
	return (uint32_t)value ? -EBADF : (ssize_t)LEN;
}

/* Without PVMREAD_WRITE the file is for reading. */
static ssize_t flags_of_attach(uint64_t value, bool write)
{
	if ((uint32_t)value > 1)
		return -EINVAL;
	return (uint32_t)value || write ? -EBADF : (ssize_t)LEN;
}

static ssize_t flags_of_segment(uint64_t value, bool write)
{
	if ((uint32_t)value > 1)
		return -EINVAL;
	return (uint32_t)value && write ? -EINVAL : (ssize_t)LEN;
}

/* Process 1 exists, but does not have this memory. */
static ssize_t pid_of_rw(uint64_t value, bool write)
{
	(void)write;
	return (int)value == 1 ? -EFAULT : -ESRCH;
}

static ssize_t pid_of_attach(uint64_t value, bool write)
{
	(void)write;
	return (int)value == 1 ? -EIO : -ESRCH;
}

static ssize_t pidfd(uint64_t value, bool write)
{
	(void)value;
	(void)write;
	return -EBADF;
}

static ssize_t iovec_count(uint64_t value, bool write)
{
	(void)write;
	return value > 1024 ? -EINVAL : value ? (ssize_t)LEN : 0;
}

static ssize_t segment_count(uint64_t value, bool write)
{
	(void)write;
	return value > 65536 ? -EINVAL : value ? (ssize_t)LEN : 0;
}

static ssize_t iovec_length(uint64_t value, bool write)
{
	const long length = value;	/* a 32-bit program has no more */

	(void)write;
	return length < 0 ? -EINVAL : (ssize_t)least(length, LEN);
}

static ssize_t segment_length(uint64_t value, bool write)
{
	(void)write;
	return least(value, LEN);
}

/* Strings can only be read, and none ends before the hole. */
static ssize_t remote_of_string(uint64_t value, bool write)
{
	return write ? -EINVAL : io_error(value, write);
}

static ssize_t local_of_string(uint64_t value, bool write)
{
	return write ? -EINVAL : fault(value, write);
}

static ssize_t length_of_string(uint64_t value, bool write)
{
	return write ? -EINVAL : segment_length(value, write);
}

/* The end of a range must fit in an unsigned long of the kernel. */
static bool has_end(uint64_t start, uint64_t length)
{
	uint64_t end = start + length;

	return end >= start && (has_64_bit_kernel() || end <= UINT32_MAX);
}

/* None of these ranges contains the LEN bytes. */
static ssize_t start_of_range(uint64_t value, bool write)
{
	(void)write;
	return has_end(value, PAGES * PAGE) ? -EIO : -EINVAL;
}

static ssize_t length_of_range(uint64_t value, bool write)
{
	const uint64_t before = AT(FAR) - FAR;

	(void)write;
	if (!value || !has_end(FAR, value))
		return -EINVAL;
	return value <= before ? -EIO : (ssize_t)least(value - before, LEN);
}

/**
 * struct field - one field of a request
 * @name: for a failure's report
 * @offset: where in &struct forms
 * @width: how many bytes it has
 * @send: the request it belongs to
 * @outcome: the expected result of a value there
 */
struct field {
	const char *name;
	size_t offset;
	size_t width;
	send_fn send;
	outcome_fn outcome;
};

#define WORD	sizeof(long)
#define FIELD(member, width, send, outcome) \
	{ #member, offsetof(struct forms, member), width, send, outcome }

static const struct field fields[] = {
	FIELD(info.size, 4, send_info, size_of_info),
	FIELD(info.__reserved, 4, send_info, reserved_of_info),
	FIELD(info.version, 4, send_info, no_effect_on_info),
	FIELD(info.max_segments, 4, send_info, no_effect_on_info),
	FIELD(info.features, 8, send_info, no_effect_on_info),
	FIELD(info.max_bytes, 8, send_info, no_effect_on_info),
	FIELD(info.max_batch, 8, send_info, no_effect_on_info),
	FIELD(rw.size, 4, send_rw, size_of_rw),
	FIELD(rw.flags, 4, send_rw, flags_of_rw),
	FIELD(rw.pid, 4, send_rw, pid_of_rw),
	FIELD(rw.pid, 4, send_rw_by_pidfd, pidfd),
	FIELD(rw.error, 4, send_rw, no_effect),
	FIELD(rw.local, 8, send_rw, fault),
	FIELD(rw.local_count, 8, send_rw, iovec_count),
	FIELD(rw.remote, 8, send_rw, fault),
	FIELD(rw.remote_count, 8, send_rw, iovec_count),
	FIELD(rw.transferred, 8, send_rw, no_effect),
	FIELD(rw.stop_addr, 8, send_rw, no_effect),
	FIELD(local.iov_base, WORD, send_rw, fault),
	FIELD(local.iov_len, WORD, send_rw, iovec_length),
	FIELD(remote.iov_base, WORD, send_rw, fault),
	FIELD(remote.iov_len, WORD, send_rw, iovec_length),
	FIELD(attach.size, 4, send_attach, size_of_others),
	FIELD(attach.flags, 4, send_attach, flags_of_attach),
	FIELD(attach.pid, 4, send_attach, pid_of_attach),
	FIELD(attach.pid, 4, send_attach_by_pidfd, pidfd),
	FIELD(attach.__reserved, 4, send_attach, reserved),
	FIELD(attach.start, 8, send_attach, start_of_range),
	FIELD(attach.length, 8, send_attach, length_of_range),
	FIELD(batch.size, 4, send_batch, size_of_others),
	FIELD(batch.segments, 8, send_batch, fault),
	FIELD(batch.count, 8, send_batch, segment_count),
	FIELD(batch.completed, 8, send_batch, no_effect),
	FIELD(segment.remote, 8, send_batch, io_error),
	FIELD(segment.local, 8, send_batch, fault),
	FIELD(segment.length, 8, send_batch, segment_length),
	FIELD(segment.remote, 8, send_string, remote_of_string),
	FIELD(segment.local, 8, send_string, local_of_string),
	FIELD(segment.length, 8, send_string, length_of_string),
	FIELD(segment.flags, 4, send_batch, flags_of_segment),
	FIELD(segment.error, 4, send_batch, no_effect),
	FIELD(segment.done, 8, send_batch, no_effect),
};

/* Store the low @width bytes of @value. */
static void put_field(void *field, uint64_t value, size_t width)
{
	const uint32_t low = value;

	if (width == sizeof(low))
		memcpy(field, &low, sizeof(low));
	else
		memcpy(field, &value, sizeof(value));
}

/* Send the request of @f. Only @want bytes, or none if @want is an error, may move. */
static void expect_outcome(struct __test_metadata *_metadata, FIXTURE_DATA(request) * const self,
			   send_fn send, struct forms *f, bool write, ssize_t want)
{
	size_t moved = want > 0 ? want : 0;

	set_bytes(&self->near, OURS);
	set_bytes(&self->far, THEIRS);
	EXPECT_EQ(want, send(self->file, f, write));
	EXPECT_TRUE(holds(&self->near, write ? 0 : moved, THEIRS, OURS));
	EXPECT_TRUE(holds(&self->far, write ? moved : 0, OURS, THEIRS));
}

TEST_F(request, hostile_field_changes_no_other_memory)
{
	static const send_fn all[] = { send_rw, send_attach, send_batch };
	uint64_t values[MAX_VALUES];
	struct forms f;
	size_t i, j, n;
	int write;

	n = hostile_values(values);
	TH_LOG("%zu values in %zu fields", n, ARRAY_SIZE(fields));
	ASSERT_LE(ARRAY_SIZE(hostile) - 12, n);
	for (write = 0; write < 2; write++) {
		/* Unless these are valid, the rest would fail for another reason. */
		for (i = 0; i < ARRAY_SIZE(all); i++) {
			good_forms(&f, self->pid, write);
			expect_outcome(_metadata, self, all[i], &f, write, LEN);
		}
		for (i = 0; i < ARRAY_SIZE(fields); i++) {
			const struct field *field = &fields[i];

			for (j = 0; j < n; j++) {
				good_forms(&f, self->pid, write);
				put_field((char *)&f + field->offset, values[j], field->width);
				expect_outcome(_metadata, self, field->send, &f, write,
					       field->outcome(values[j], write));
				if (_metadata->exit_code) {
					TH_LOG("%#llx in %s, %s", (unsigned long long)values[j],
					       field->name, write ? "written" : "read");
					return;
				}
			}
		}
	}
}

TEST_F(request, hostile_batch_flags_are_einval)
{
	uint64_t values[MAX_VALUES];
	struct forms f;
	size_t j, n;

	n = hostile_values(values);
	for (j = 0; j < n; j++) {
		/* Zero: a valid request. */
		good_forms(&f, self->pid, false);
		f.batch.flags = values[j];
		expect_outcome(_metadata, self, send_batch, &f, false,
			       f.batch.flags ? -EINVAL : (ssize_t)LEN);
	}
}

TEST_F(request, struct_at_hostile_address_is_efault)
{
	static const unsigned int commands[] = {
		PVMREAD_IOC_INFO, PVMREAD_IOC_READV, PVMREAD_IOC_WRITEV, PVMREAD_IOC_ATTACH,
		PVMREAD_IOC_BATCH,
	};
	uint64_t values[MAX_VALUES];
	size_t i, j, n;

	n = hostile_values(values);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		int fd = commands[i] == PVMREAD_IOC_BATCH ? self->file : dev;

		for (j = 0; j < n; j++) {
			EXPECT_EQ(-1, ioctl(fd, commands[i], (unsigned long)values[j]));
			EXPECT_EQ(EFAULT, errno) {
				TH_LOG("command %zu, struct at %#llx", i,
				       (unsigned long long)values[j]);
			}
		}
	}
	EXPECT_TRUE(holds(&self->near, 0, 0, OURS));
	EXPECT_TRUE(holds(&self->far, 0, 0, THEIRS));
}

/* pread(2) or pwrite(2). Return: bytes, or minus errno. */
static ssize_t move(int file, bool write, void *buf, size_t len, uint64_t at)
{
	ssize_t ret = write ? pwrite(file, buf, len, at) : pread(file, buf, len, at);

	return ret < 0 ? -errno : ret;
}

TEST_F(request, hostile_pread_changes_no_other_memory)
{
	uint64_t values[MAX_VALUES];
	size_t j, n;
	ssize_t ret;
	int write;

	n = hostile_values(values);
	for (write = 0; write < 2; write++)
		for (j = 0; j < n; j++) {
			const uint64_t v = values[j];
			void *near = (void *)AT(NEAR);
			struct iovec vec = { near, LEN };
			size_t moved, want = least((size_t)v, LEN);

			ret = move(self->file, write, (void *)(uintptr_t)v, LEN, AT(FAR));
			EXPECT_EQ(-EFAULT, ret);
			/* The VFS may refuse a position from which LEN bytes reach 2^63. */
			ret = move(self->file, write, near, LEN, v);
			EXPECT_TRUE(ret == -EIO ||
				    (v >= (1ULL << 63) - LEN &&
				     (ret == -EINVAL || ret == -EOVERFLOW)));
			/* lseek() may return a position that looks like an errno. */
			lseek(self->file, v, SEEK_SET);
			ret = write ? writev(self->file, &vec, 1) : readv(self->file, &vec, 1);
			EXPECT_EQ(-1, ret);
			EXPECT_TRUE(errno == EIO || errno == EOVERFLOW || errno == EINVAL);
			EXPECT_TRUE(holds(&self->near, 0, 0, OURS));
			EXPECT_TRUE(holds(&self->far, 0, 0, THEIRS));

			/* The VFS rejects a length that is negative or beyond user space. */
			ret = move(self->file, write, near, (size_t)v, AT(FAR));
			moved = ret > 0 ? ret : 0;
			EXPECT_TRUE(ret == (ssize_t)want ||
				    ((size_t)v > SSIZE_MAX && ret == -EINVAL) ||
				    ((size_t)v > LEN && ret == -EFAULT));
			EXPECT_TRUE(holds(&self->near, write ? 0 : moved, THEIRS, OURS));
			EXPECT_TRUE(holds(&self->far, write ? moved : 0, OURS, THEIRS));
			set_bytes(&self->near, OURS);
			set_bytes(&self->far, THEIRS);
			if (_metadata->exit_code) {
				TH_LOG("%#llx, %s", (unsigned long long)v,
				       write ? "pwrite" : "pread");
				return;
			}
		}
}

/* --- Fetched once: changes after the kernel has read the request have no effect --- */

/* What arrives late: an array that the kernel reads, or the caller's memory. */
enum late { LATE_LOCAL, LATE_REMOTE, LATE_SEGMENT, LATE_MEMORY, LATES };

static const char * const late_names[LATES] = {
	"local array", "remote array", "segments", "caller's memory"
};

/**
 * struct meddler - rewrites a request while the kernel waits for one of its pages
 * @uffd: reports the wait
 * @page: the page's address
 * @content: its final contents
 * @forms: the request to rewrite
 * @first: the array element before the page
 * @late: what the page holds
 * @far: the forbidden process
 * @head: if not 0, only this many bytes at the start of a late struct are rewritten
 * @met: the kernel has waited for the page
 */
struct meddler {
	int uffd;
	uintptr_t page;
	const void *content;
	struct forms *forms;
	struct iovec *first;
	enum late late;
	pid_t far;
	size_t head;
	bool met;
};

#define GARBAGE		0xa5a5a5a5a5a5a5a5ULL
/* The part of a late struct that is present: its size and flags. */
#define HEAD		8U

/* Name another process, set all flags, and ask for more bytes in other places. */
static void rewrite_forms(const struct meddler *m)
{
	struct forms *f = m->forms;

	f->rw = (struct pvmread_rw){
		.size = f->rw.size == sizeof(f->rw) ? 56 : sizeof(f->rw),
		.flags = ~0U,
		.pid = m->far,
		.error = (uint32_t)GARBAGE,
		.local = AT(NEAR),
		.local_count = 1 << 20,
		.remote = ~0ULL,
		.remote_count = ~0ULL,
		.transferred = GARBAGE,
		.stop_addr = GARBAGE,
	};
	/* The arrays are read one after the other, and so are their elements. */
	if (m->late != LATE_LOCAL)
		f->local = (struct iovec){ (void *)(NEAR + PAGE), PAGE };
	if (m->late == LATE_MEMORY)
		f->remote = (struct iovec){ (void *)(FAR + PAGE), PAGE };
	if (m->late == LATE_LOCAL || m->late == LATE_REMOTE)
		*m->first = (struct iovec){ NULL, -1UL };
	f->batch = (struct pvmread_batch){
		.size = 1 << 20,
		.flags = ~0U,
		.segments = AT(NEAR),
		.count = ~0ULL,
		.completed = GARBAGE,
	};
	f->segment = (struct pvmread_segment){
		.remote = FAR + PAGE,
		.local = NEAR + PAGE,
		.length = ~0ULL,
		.flags = ~0U,
		.error = (uint32_t)GARBAGE,
		.done = GARBAGE,
	};
}

static void *meddle(void *arg)
{
	struct meddler *m = arg;

	if (page_asked_for(m->uffd, PATIENCE_MS)) {
		m->met = true;
		if (m->head)
			memset((void *)(LATE - HEAD), 0xff, m->head);
		else
			rewrite_forms(m);
	}
	/* In any case, because otherwise the request would wait forever. */
	serve_page(m->uffd, m->page, m->content);
	return NULL;
}

FIXTURE(fetch) {
	struct window near, far, secret;
	pid_t pid;
	int file;
	struct meddler meddler;
	unsigned char *page;
};

FIXTURE_SETUP(fetch)
{
	ASSERT_TRUE(set_up());
	ASSERT_TRUE(make_window(&self->near) && make_window(&self->far) &&
		    make_window(&self->secret));
	self->pid = start(0, build_window, &self->far);
	self->meddler.far = start(0, build_window, &self->secret);
	ASSERT_TRUE(self->pid > 0 && self->meddler.far > 0);
	ASSERT_TRUE(map_window(&self->near, NEAR));
	self->file = attach(dev, self->pid, PVMREAD_WRITE, 0, 0);
	ASSERT_LE(0, self->file);
	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	self->meddler.content = self->page;
	self->meddler.page = LATE;
	ASSERT_EQ((void *)(LATE - PAGE),
		  mmap((void *)(LATE - PAGE), PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	self->meddler.first = (struct iovec *)LATE - 1;
}

FIXTURE_TEARDOWN(fetch)
{
	stop(self->pid);
	stop(self->meddler.far);
}

/* Map an anonymous page at LATE with a userfaultfd. Return: the userfaultfd, or -1. */
static int map_late(void)
{
	if (mmap((void *)LATE, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)LATE)
		return -1;
	return hold_back(LATE, PAGE);
}

static void fetch_once(struct __test_metadata *_metadata, FIXTURE_DATA(fetch) * const self,
		       enum late late, uint32_t size, bool write)
{
	const bool batch = late == LATE_SEGMENT;
	struct pvmread_segment *segment;
	pthread_t thread;
	struct iovec vec;
	struct forms f;
	int ret;

	set_bytes(&self->near, OURS);
	set_bytes(&self->far, THEIRS);
	set_bytes(&self->secret, SECRET);
	good_forms(&f, self->pid, write);
	f.rw.size = size;
	/* Half of an array is before the page, and half is in it. */
	if (late == LATE_LOCAL || late == LATE_REMOTE) {
		vec = late == LATE_LOCAL ? f.local : f.remote;
		vec.iov_len /= 2;
		*self->meddler.first = vec;
		vec.iov_base = (char *)vec.iov_base + vec.iov_len;
		memcpy(self->page, &vec, sizeof(vec));
	}
	if (late == LATE_LOCAL) {
		f.rw.local = (uintptr_t)self->meddler.first;
		f.rw.local_count = 2;
	} else if (late == LATE_REMOTE) {
		f.rw.remote = (uintptr_t)self->meddler.first;
		f.rw.remote_count = 2;
	} else if (late == LATE_SEGMENT) {
		memcpy(self->page, &f.segment, sizeof(f.segment));
		f.batch.segments = LATE;
	} else {
		memset(self->page, OURS, PAGE);
		f.local.iov_base = (void *)LATE;
	}
	self->meddler.forms = &f;
	self->meddler.late = late;
	self->meddler.met = false;
	self->meddler.uffd = map_late();
	ASSERT_LE(0, self->meddler.uffd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, meddle, &self->meddler));
	if (batch)
		ret = ioctl(self->file, PVMREAD_IOC_BATCH, &f.batch);
	else
		ret = ioctl(dev, write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &f.rw);
	EXPECT_EQ(0, ret) {
		TH_LOG("%s", strerror(errno));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_TRUE(self->meddler.met);
	close(self->meddler.uffd);

	/* The results, in the original place and with the original size. */
	if (batch) {
		segment = (void *)LATE;
		EXPECT_EQ(1, f.batch.completed);
		EXPECT_EQ(0, segment->error);
		EXPECT_EQ(LEN, segment->done);
	} else {
		EXPECT_EQ(0, f.rw.error);
		EXPECT_EQ(LEN, f.rw.transferred);
		EXPECT_EQ(size == sizeof(f.rw) ? AT(FAR) + LEN : GARBAGE, f.rw.stop_addr);
	}
	/* The requested bytes, from the requested process. */
	if (late == LATE_MEMORY && !write) {
		EXPECT_TRUE(is_all((void *)LATE, LEN, THEIRS));
		EXPECT_TRUE(is_all((void *)(LATE + LEN), PAGE - LEN, OURS));
	} else {
		EXPECT_TRUE(holds(&self->near, write ? 0 : LEN, THEIRS, OURS));
	}
	EXPECT_TRUE(holds(&self->far, write ? LEN : 0, OURS, THEIRS));
	EXPECT_TRUE(holds(&self->secret, 0, 0, SECRET));
	ASSERT_EQ(0, munmap((void *)LATE, PAGE));
}

TEST_F(fetch, request_changed_after_fetch_has_no_effect)
{
	enum late late;
	int write, i;

	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	for (late = 0; late < LATES; late++)
		for (write = 0; write < 2; write++)
			for (i = 0; i < 2; i++) {
				fetch_once(_metadata, self, late,
					   i ? 56 : sizeof(struct pvmread_rw), write);
				if (_metadata->exit_code) {
					TH_LOG("%s late, %s", late_names[late],
					       write ? "write" : "read");
					return;
				}
			}
}

/* Return: the result of ioctl() for a struct with a tail of @more zero bytes. */
static int fetch_struct(struct __test_metadata *_metadata, FIXTURE_DATA(fetch) * const self,
			int fd, unsigned int cmd, const void *arg, uint32_t more)
{
	uint32_t size;
	pthread_t thread;
	int ret;

	memcpy(&size, arg, sizeof(size));
	memset(self->page, 0, PAGE);
	memcpy(self->page, (const char *)arg + HEAD, size - HEAD);
	memcpy((void *)(LATE - HEAD), arg, HEAD);
	size += more;
	memcpy((void *)(LATE - HEAD), &size, sizeof(size));
	/* If the struct is longer, the kernel has read only its size when it checks the tail. */
	self->meddler.head = more ? sizeof(size) : HEAD;
	self->meddler.met = false;
	self->meddler.uffd = map_late();
	EXPECT_LE(0, self->meddler.uffd);
	EXPECT_EQ(0, pthread_create(&thread, NULL, meddle, &self->meddler));
	ret = ioctl(fd, cmd, LATE - HEAD);
	EXPECT_LE(0, ret) {
		TH_LOG("command %#x, %u bytes: %s", cmd, size, strerror(errno));
	}
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_TRUE(self->meddler.met);
	close(self->meddler.uffd);
	return ret;
}

TEST_F(fetch, size_rewritten_during_fetch_has_no_effect)
{
	const struct pvmread_info *info = (void *)(LATE - HEAD);
	const struct pvmread_rw *rw = (void *)(LATE - HEAD);
	const struct pvmread_batch *batch = (void *)(LATE - HEAD);
	struct forms f;
	uint32_t more;
	int file;

#ifdef __s390x__
	/* The kernel sees only the rewritten struct, and rejects it like any bad request. */
	SKIP(return, "s390 copies a whole struct again after a page fault in it");
#endif
	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	for (more = 0; more <= 8; more += 8) {
		set_bytes(&self->near, OURS);
		set_bytes(&self->far, THEIRS);
		good_forms(&f, self->pid, false);
		fetch_struct(_metadata, self, dev, PVMREAD_IOC_INFO, &f.info, more);
		EXPECT_EQ(sizeof(f.info) + more, info->size);
		EXPECT_EQ(PVMREAD_ABI_VERSION, info->version);
		EXPECT_EQ(65536, info->max_batch);
		munmap((void *)LATE, PAGE);

		fetch_struct(_metadata, self, dev, PVMREAD_IOC_READV, &f.rw, more);
		EXPECT_EQ(LEN, rw->transferred);
		EXPECT_EQ(AT(FAR) + LEN, rw->stop_addr);
		EXPECT_TRUE(holds(&self->near, LEN, THEIRS, OURS));
		munmap((void *)LATE, PAGE);

		set_bytes(&self->near, OURS);
		fetch_struct(_metadata, self, dev, PVMREAD_IOC_WRITEV, &f.rw, more);
		EXPECT_EQ(LEN, rw->transferred);
		EXPECT_TRUE(holds(&self->far, LEN, OURS, THEIRS));
		munmap((void *)LATE, PAGE);

		/* All flags were set, but too late. */
		file = fetch_struct(_metadata, self, dev, PVMREAD_IOC_ATTACH, &f.attach, more);
		EXPECT_EQ(-EBADF, move(file, true, (void *)AT(NEAR), LEN, AT(FAR)));
		EXPECT_EQ(LEN, move(file, false, (void *)AT(NEAR), LEN, AT(FAR)));
		close(file);
		munmap((void *)LATE, PAGE);

		set_bytes(&self->near, OURS);
		set_bytes(&self->far, THEIRS);
		fetch_struct(_metadata, self, self->file, PVMREAD_IOC_BATCH, &f.batch, more);
		EXPECT_EQ(1, batch->completed);
		EXPECT_TRUE(holds(&self->near, LEN, THEIRS, OURS));
		EXPECT_TRUE(holds(&self->far, 0, 0, THEIRS));
		munmap((void *)LATE, PAGE);
	}
}

/* --- Rewritten all the time, by a process without any rights --- */

/**
 * struct flip - a field that alternates between a good value and bad ones
 * @at: its address
 * @width: how many bytes it has
 * @good: its right value
 * @bad: others
 */
struct flip {
	void *at;
	size_t width;
	uint64_t good;
	uint64_t bad[5];
};

/* The caller's data, in a page of its own followed by a hole. */
struct play {
	struct iovec local[2];
	struct iovec remote[2];
	struct pvmread_segment segment[2];
	union {
		struct pvmread_info info;
		struct pvmread_rw rw;
		struct pvmread_attach attach;
		struct pvmread_batch batch;
		unsigned char tail[80];
	};
};

/**
 * struct game - a caller, and a thread that rewrites its request
 * @send: sends one request and checks the result
 * @flips: the fields
 * @count: their number
 */
struct game {
	void (*send)(void);
	const struct flip *flips;
	size_t count;
};

#define ROUNDS		20000
#define LEAST_ROUNDS	50
#define GAME_MS		800

static struct play *play;
static const struct game *game;
static bool game_over;
static size_t requests;
static bool of_write;
static pid_t friend, foe;
static int friend_pidfd, foe_pidfd, friend_file;

static void set_field(const struct flip *flip, uint64_t value)
{
	/* One access each, as another program would do it. */
	if (flip->width == 8)
		__atomic_store_n((uint64_t *)flip->at, value, __ATOMIC_RELAXED);
	else
		__atomic_store_n((uint32_t *)flip->at, value, __ATOMIC_RELAXED);
}

/*
 * Wait until the next request has begun, and then for @delay, so that the rewrite falls
 * within the request. The other thread may share this one's CPU.
 */
static void await_request(size_t delay)
{
	const size_t seen = __atomic_load_n(&requests, __ATOMIC_RELAXED);

	while (seen == __atomic_load_n(&requests, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&game_over, __ATOMIC_RELAXED))
		sched_yield();
	while (delay--)
		__asm__ volatile("" : : : "memory");
}

static void *rewrite(void *unused)
{
	size_t round;

	for (round = 0; !__atomic_load_n(&game_over, __ATOMIC_RELAXED); round++) {
		const struct flip *flip = &game->flips[round % game->count];
		size_t i = round / game->count % ARRAY_SIZE(flip->bad);

		await_request(round % 61 * 16);
		set_field(flip, flip->bad[i]);
		await_request(round % 67 * 16);
		set_field(flip, flip->good);
	}
	return unused;
}

/* The bytes in the caller's memory are its own, or its friend's. */
static bool is_innocent(const unsigned char *at)
{
	size_t i;

	for (i = 0; i < LEN; i++)
		if (at[i] != OURS && at[i] != THEIRS)
			return false;
	return true;
}

/* Is @err documented for an invalid request? */
static void judge(int err)
{
	static const int documented[] = {
		EINVAL, E2BIG, EFAULT, ESRCH, EPERM, EBADF, EIO, EAGAIN
	};
	size_t i = 0;

	while (err && documented[i] != err)
		if (++i == ARRAY_SIZE(documented))
			broken("an errno that is not documented");
	if (err)
		board->failed++;
	else
		board->done++;
	errno = 0;
	if (!is_innocent((void *)AT(NEAR)))
		broken("the caller has bytes of the other process");
}

static void play_rw(void)
{
	const unsigned int cmd = of_write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV;

	judge(ioctl(dev, cmd, &play->rw) ? errno : 0);
}

static void play_attach(void)
{
	int file = ioctl(dev, PVMREAD_IOC_ATTACH, &play->attach);
	ssize_t ret;

	if (file < 0) {
		judge(errno);
		return;
	}
	ret = move(file, of_write, (void *)AT(NEAR), LEN, AT(FAR));
	close(file);
	judge(ret < 0 ? -ret : 0);
}

static void play_batch(void)
{
	judge(ioctl(friend_file, PVMREAD_IOC_BATCH, &play->batch) ? errno : 0);
}

static void play_info(void)
{
	const size_t used = sizeof(play->info);

	judge(ioctl(dev, PVMREAD_IOC_INFO, &play->info) ? errno : 0);
	if (!is_all(play->tail + used, sizeof(play->tail) - used, 0))
		broken("the kernel wrote past the end of the struct");
}

/* A child of the tester: Alice, who has the device and her friend's file from root. */
static void be_player(void)
{
	long end = now_ms() + GAME_MS;
	unsigned long done;
	pthread_t thread;
	size_t i;

	become(ALICE);
	if (pthread_create(&thread, NULL, rewrite, NULL))
		broken("pthread_create");
	for (i = 0; i < LEAST_ROUNDS || (i < ROUNDS && now_ms() < end); i++) {
		__atomic_fetch_add(&requests, 1, __ATOMIC_RELAXED);
		game->send();
		sched_yield();
	}
	__atomic_store_n(&game_over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	/* Without changes the request is valid. */
	for (i = 0; i < game->count; i++)
		set_field(&game->flips[i], game->flips[i].good);
	done = board->done;
	game->send();
	if (board->done != done + 1)
		broken("the unchanged request");
}

FIXTURE(rewritten) {
	struct window near, far, secret;
};

FIXTURE_VARIANT(rewritten) {
	bool write;
};

FIXTURE_VARIANT_ADD(rewritten, read) {
	.write = false,
};

FIXTURE_VARIANT_ADD(rewritten, written) {
	.write = true,
};

FIXTURE_SETUP(rewritten)
{
	unsigned char *page;

	ASSERT_TRUE(set_up());
	ASSERT_TRUE(turn_yama_off()) {
		TH_LOG("ptrace_scope is 3 already: boot the guest again");
	}
	ASSERT_TRUE(make_window(&self->near) && make_window(&self->far) &&
		    make_window(&self->secret));
	friend = start(ALICE, build_window, &self->far);
	foe = start(BOB, build_window, &self->secret);
	ASSERT_TRUE(friend > 0 && foe > 0) {
		TH_LOG("%s", board->trouble);
	}
	ASSERT_TRUE(map_window(&self->near, NEAR));
	set_bytes(&self->near, OURS);
	set_bytes(&self->far, THEIRS);
	set_bytes(&self->secret, SECRET);
	friend_pidfd = open_pidfd(friend);
	foe_pidfd = open_pidfd(foe);
	friend_file = attach(dev, friend, PVMREAD_WRITE, 0, 0);
	ASSERT_TRUE(friend_pidfd >= 0 && foe_pidfd >= 0 && friend_file >= 0);
	page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + PAGE, PAGE));
	play = (void *)(page + PAGE - sizeof(*play));
	of_write = variant->write;
}

FIXTURE_TEARDOWN(rewritten)
{
	stop(friend);
	stop(foe);
	close(friend_file);
	close(friend_pidfd);
	close(foe_pidfd);
	close(dev);
}

#define KERNEL		0xffffffff81000000ULL
#define FIELD_OF(member, good, ...) \
	{ &(member), sizeof(member), good, { __VA_ARGS__ } }

static void try_game(struct __test_metadata *_metadata, FIXTURE_DATA(rewritten) * const self,
		     void (*send)(void), const struct flip *flips, size_t count)
{
	struct game this = { send, flips, count };
	size_t i;

	for (i = 0; i < count; i++)
		set_field(&flips[i], flips[i].good);
	game = &this;
	expect_run(_metadata, be_player);
	TH_LOG("%lu requests done, %lu refused", board->done, board->failed);
	EXPECT_TRUE(holds(&self->secret, 0, 0, SECRET));
	EXPECT_TRUE(canaries_live(&self->near));
	EXPECT_TRUE(canaries_live(&self->far));
	EXPECT_TRUE(is_innocent((void *)AT(NEAR)));
	EXPECT_TRUE(is_innocent(self->far.view + HOLE * PAGE - LEN));
}

/* The pid twice, because it matters most. */
static void rewrite_rw(struct __test_metadata *_metadata, FIXTURE_DATA(rewritten) * const self,
		       uint32_t flags, uint32_t mine, uint32_t other)
{
	const struct flip flips[] = {
		FIELD_OF(play->rw.pid, mine, other, other, -1, other, 0),
		FIELD_OF(play->rw.size, sizeof(play->rw), 56, 80, 0, PAGE + 1, ~0U),
		FIELD_OF(play->rw.flags, flags, flags ^ PVMREAD_PIDFD, ~0U, PVMREAD_WRITE,
			 flags | PVMREAD_NOWAIT, flags | PVMREAD_RESIDENT),
		FIELD_OF(play->rw.pid, mine, other, other, other, other, other),
		FIELD_OF(play->rw.local, (uintptr_t)play->local, KERNEL, 0, AT(NEAR),
			 (uintptr_t)play->local + 8, NEAR + HOLE * PAGE),
		FIELD_OF(play->rw.local_count, 1, 0, 2, 1025, 1ULL << 32, ~0ULL),
		FIELD_OF(play->rw.remote, (uintptr_t)play->remote, KERNEL, 0, AT(NEAR),
			 (uintptr_t)play->remote + 8, NEAR + HOLE * PAGE),
		FIELD_OF(play->rw.remote_count, 1, 0, 2, 1025, 1ULL << 32, ~0ULL),
		FIELD_OF(play->local[0].iov_base, AT(NEAR), KERNEL, 0, -PAGE,
			 NEAR + HOLE * PAGE, AT(NEAR) + 1),
		FIELD_OF(play->local[0].iov_len, LEN, ~0ULL, 1ULL << 40, LONG_MAX, 0, PAGE),
		FIELD_OF(play->remote[0].iov_base, AT(FAR), KERNEL, 0, -PAGE,
			 FAR + HOLE * PAGE, AT(FAR) + 1),
		FIELD_OF(play->remote[0].iov_len, LEN, ~0ULL, 1ULL << 40, LONG_MAX, 0, PAGE),
	};

	try_game(_metadata, self, play_rw, flips, ARRAY_SIZE(flips));
}

TEST_F(rewritten, pid_request_reaches_no_other_memory)
{
	rewrite_rw(_metadata, self, 0, friend, foe);
}

TEST_F(rewritten, pidfd_request_reaches_no_other_memory)
{
	rewrite_rw(_metadata, self, PVMREAD_PIDFD, friend_pidfd, foe_pidfd);
}

TEST_F(rewritten, attach_reaches_no_other_memory)
{
	const uint32_t flags = of_write ? PVMREAD_WRITE : 0;
	const struct flip flips[] = {
		FIELD_OF(play->attach.pid, friend, foe, foe, -1, foe, 0),
		FIELD_OF(play->attach.size, sizeof(play->attach), 31, 40, 0, PAGE + 1, ~0U),
		FIELD_OF(play->attach.flags, flags, flags ^ PVMREAD_WRITE, ~0U,
			 flags | PVMREAD_PIDFD, flags | PVMREAD_NOWAIT, 1U << 30),
		FIELD_OF(play->attach.pid, friend, foe, foe, foe, foe, foe),
		FIELD_OF(play->attach.__reserved, 0, 1, ~0U, 1U << 31, 2, 3),
		FIELD_OF(play->attach.start, FAR, 0, KERNEL, ~0ULL, 1ULL << 63, AT(FAR)),
		FIELD_OF(play->attach.length, PAGES * PAGE, 0, ~0ULL, 1ULL << 63, 1, LONG_MAX),
	};

	try_game(_metadata, self, play_attach, flips, ARRAY_SIZE(flips));
}

TEST_F(rewritten, batch_reaches_no_other_memory)
{
	const uint32_t flags = of_write ? PVMREAD_WRITE : 0;
	struct pvmread_segment *seg = play->segment;
	const struct flip flips[] = {
		FIELD_OF(play->batch.size, sizeof(play->batch), 31, 40, 0, PAGE + 1, ~0U),
		FIELD_OF(play->batch.flags, flags, flags ^ PVMREAD_WRITE, ~0U, PVMREAD_PIDFD,
			 flags | PVMREAD_STOP, flags | PVMREAD_NOWAIT),
		FIELD_OF(play->batch.segments, (uintptr_t)seg, KERNEL, 0, -PAGE,
			 (uintptr_t)seg + 8, NEAR + HOLE * PAGE),
		FIELD_OF(play->batch.count, 2, 0, 1, 65537, 1ULL << 32, ~0ULL),
		FIELD_OF(seg[0].remote, AT(FAR), KERNEL, 0, -PAGE, FAR + HOLE * PAGE, AT(FAR) + 1),
		FIELD_OF(seg[0].local, AT(NEAR), KERNEL, 0, -PAGE, NEAR + HOLE * PAGE,
			 AT(NEAR) + 1),
		FIELD_OF(seg[0].length, LEN, ~0ULL, 1ULL << 40, LONG_MAX, 0, PAGE),
		FIELD_OF(seg[0].flags, 0, PVMREAD_SEGMENT_STRING, ~0U, 2, 1U << 31,
			 PVMREAD_SEGMENT_STRING),
		FIELD_OF(seg[0].error, 0, ~0U, 1, 2, 3, 4),
		FIELD_OF(seg[0].done, 0, ~0ULL, 1, LEN, PAGE, KERNEL),
		FIELD_OF(seg[1].remote, AT(FAR), KERNEL, 0, -PAGE, FAR + HOLE * PAGE, AT(FAR) + 9),
		FIELD_OF(seg[1].local, AT(NEAR), KERNEL, 0, -PAGE, NEAR + HOLE * PAGE,
			 AT(NEAR) + 1),
		FIELD_OF(seg[1].length, 8, ~0ULL, 1ULL << 40, LONG_MAX, 0, PAGE),
		FIELD_OF(seg[1].flags, 0, PVMREAD_SEGMENT_STRING, ~0U, 2, 1U << 31,
			 PVMREAD_SEGMENT_STRING),
	};

	try_game(_metadata, self, play_batch, flips, ARRAY_SIZE(flips));
}

TEST_F(rewritten, info_writes_nothing_past_struct)
{
	const struct flip flips[] = {
		FIELD_OF(play->info.size, sizeof(play->info), 7, 72, 0, PAGE + 1, ~0U),
		FIELD_OF(play->info.__reserved, 0, 1, ~0U, 1U << 31, 2, 3),
		FIELD_OF(play->info.size, sizeof(play->info), 8, 12, 16, 24, 39),
	};

	memset(play->tail, 0, sizeof(play->tail));
	try_game(_metadata, self, play_info, flips, ARRAY_SIZE(flips));
}

/* --- Kernel memory does not leak: poison and check --- */

#define MARK		0x5a

static const unsigned char patterns[] = { 0xaa, 0x33 };

/* Fill the kernel's stack and its freed memory with a known pattern. */
static void poison(void)
{
	static const unsigned int counts[] = { 8, 20, 100 };
	struct iovec marks[100];
	struct pollfd pfd[64];
	size_t i;

	memset(marks, MARK, sizeof(marks));
	memset(pfd, MARK, sizeof(pfd));
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		syscall(SYS_process_vm_readv, -1, marks, counts[i], marks, counts[i], 0);
	poll(pfd, ARRAY_SIZE(pfd), 0);
}

/**
 * struct answer - the page of a request, and its expected contents afterwards
 * @page: the request, surrounded by one pattern
 * @want: the page afterwards
 */
struct answer {
	unsigned char page[PAGE] __attribute__((aligned(PAGE)));
	unsigned char want[PAGE];
};

static struct answer *answer;

/* Place a request's struct of @size bytes in the page. The bytes after @used are zero. */
static void lay_out(unsigned char pattern, const void *head, size_t used, size_t size)
{
	memset(answer->page, pattern, PAGE);
	if (size > used && size <= PAGE)
		memset(answer->page + used, 0, size - used);
	memcpy(answer->page, head, used < size ? used : size);
	memcpy(answer->want, answer->page, PAGE);
}

/* Send it, and check each byte of the page. */
static void expect_page(struct __test_metadata *_metadata, int fd, unsigned int cmd, int err)
{
	int ret;

	poison();
	ret = ioctl(fd, cmd, answer->page);
	EXPECT_EQ(err, ret < 0 ? errno : 0);
	if (ret > 0)
		close(ret);
	if (memcmp(answer->page, answer->want, PAGE)) {
		size_t i = 0;

		while (answer->page[i] == answer->want[i])
			i++;
		EXPECT_EQ(answer->want[i], answer->page[i]) {
			TH_LOG("byte %zu of the page", i);
		}
	}
}

static bool make_answer(void)
{
	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	return answer != MAP_FAILED;
}

TEST_F(request, info_writes_only_whole_fields)
{
	struct pvmread_info info = { .size = sizeof(info) }, in;
	uint32_t size, used;
	size_t i;

	ASSERT_TRUE(make_answer());
	ASSERT_EQ(0, ioctl(dev, PVMREAD_IOC_INFO, &info));
	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		for (size = 0; size <= PAGE + 1; size += size < 64 ? 1 : 2017) {
			in = info;
			memset(&in.version, patterns[i], sizeof(in) - 8);
			in.size = size;
			lay_out(patterns[i], &in, sizeof(in), size < 8 ? 8 : size);
			info.size = size;
			if (size < 16)
				used = size & -4;
			else
				used = least(size & -8, sizeof(info));
			if (size >= 8 && size <= PAGE)
				memcpy(answer->want, &info, used);
			expect_page(_metadata, dev, PVMREAD_IOC_INFO,
				    size < 8 ? EINVAL : size > PAGE ? E2BIG : 0);
			ASSERT_EQ(0, _metadata->exit_code) {
				TH_LOG("a struct of %u bytes", size);
			}
		}
}

/**
 * struct ending - how a READV or WRITEV ends
 * @name: for a failure's report
 * @field: the bad field: its offset in &struct forms
 * @width: its size in bytes; 0: the request is valid
 * @value: its value
 * @err: errno of ioctl()
 * @error: error in the struct
 * @moved: number of bytes moved
 * @stop_addr: where it ended
 */
struct ending {
	const char *name;
	size_t field;
	size_t width;
	uint64_t value;
	int err;
	uint32_t error;
	uint64_t moved;
	uint64_t stop_addr;
};

#define WITH(member)	offsetof(struct forms, member)

static const struct ending endings[] = {
	{ "whole", 0, 0, 0, 0, 0, LEN, AT(FAR) + LEN },
	{ "the caller takes less", WITH(local.iov_len), WORD, 7, 0, 0, 7, AT(FAR) + 7 },
	{ "the caller's memory ends", WITH(local.iov_base), WORD, AT(NEAR) + 60,
	  0, EFAULT, LEN - 60, AT(FAR) + LEN - 60 },
	{ "the target's memory ends", WITH(remote.iov_base), WORD, AT(FAR) + 60,
	  0, EIO, LEN - 60, AT(FAR) + LEN },
	{ "the caller's memory is not mapped", WITH(local.iov_base), WORD, 0,
	  EFAULT, EFAULT, 0, AT(FAR) },
	{ "the target's memory is not mapped", WITH(remote.iov_base), WORD, FAR + HOLE * PAGE,
	  EFAULT, EIO, 0, FAR + HOLE * PAGE },
	{ "nothing to move", WITH(rw.local_count), 8, 0, 0, 0, 0, 0 },
	{ "too many segments", WITH(rw.remote_count), 8, 1025, EINVAL, EINVAL, 0, 0 },
	{ "no local array", WITH(rw.local), 8, 0, EFAULT, EFAULT, 0, 0 },
	{ "no remote array", WITH(rw.remote), 8, 0, EFAULT, EFAULT, 0, 0 },
	{ "a negative length", WITH(remote.iov_len), WORD, -1ULL, EINVAL, EINVAL, 0, 0 },
	{ "no process", WITH(rw.pid), 4, -1ULL, ESRCH, ESRCH, 0, 0 },
};

TEST_F(request, readv_and_writev_write_only_out_fields)
{
	static const uint32_t sizes[] = { 56, 57, 63, 64, 65, 72, 1000, PAGE };
	const unsigned int total = ARRAY_SIZE(sizes) * ARRAY_SIZE(patterns) * ARRAY_SIZE(endings);
	const struct ending *end;
	struct pvmread_rw out;
	struct forms f;
	unsigned int i;
	int write;

	ASSERT_TRUE(make_answer());
	for (i = 0; i < 2 * total; i++) {
		const unsigned char pattern = patterns[i / 2 % ARRAY_SIZE(patterns)];
		const uint32_t size = sizes[i / 4 % ARRAY_SIZE(sizes)];

		write = i % 2;
		end = &endings[i / 4 / ARRAY_SIZE(sizes)];
		set_bytes(&self->near, write ? OURS : pattern);
		set_bytes(&self->far, THEIRS);
		good_forms(&f, self->pid, write);
		put_field((char *)&f + end->field, end->value, end->width);
		f.rw.size = size;
		memset(&f.rw.error, pattern, sizeof(f.rw.error));
		memset(&f.rw.transferred, pattern, sizeof(f.rw.transferred));
		memset(&f.rw.stop_addr, pattern, sizeof(f.rw.stop_addr));
		lay_out(pattern, &f.rw, sizeof(f.rw), size);
		out = f.rw;
		out.error = end->error;
		out.transferred = end->moved;
		if (size >= sizeof(out))
			out.stop_addr = end->stop_addr;
		memcpy(answer->want, &out, least(size, sizeof(out)));
		expect_page(_metadata, dev, write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV,
			    end->err);
		/* No other byte of the caller's memory has changed either. */
		EXPECT_TRUE(canaries_live(&self->near));
		if (!write && f.local.iov_base == (void *)AT(NEAR))
			EXPECT_TRUE(holds(&self->near, end->moved, THEIRS, pattern));
		ASSERT_EQ(0, _metadata->exit_code) {
			TH_LOG("%s, %s, a struct of %u bytes", end->name,
			       write ? "write" : "read", size);
		}
	}
}

TEST_F(request, attach_does_not_write_its_struct)
{
	struct forms f;
	size_t i;

	ASSERT_TRUE(make_answer());
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		good_forms(&f, self->pid, true);
		lay_out(patterns[i], &f.attach, sizeof(f.attach), sizeof(f.attach));
		expect_page(_metadata, dev, PVMREAD_IOC_ATTACH, 0);
		f.attach.pid = -1;
		lay_out(patterns[i], &f.attach, sizeof(f.attach), sizeof(f.attach));
		expect_page(_metadata, dev, PVMREAD_IOC_ATTACH, ESRCH);
		f.attach.length = 0;
		lay_out(patterns[i], &f.attach, sizeof(f.attach), sizeof(f.attach));
		expect_page(_metadata, dev, PVMREAD_IOC_ATTACH, EINVAL);
	}
}

/* Where in the page the segments of a BATCH lie. */
#define SEGMENTS_AT	1024

TEST_F(request, batch_writes_only_its_results)
{
	static const struct {
		uint64_t remote, local, length, done;
		uint32_t flags, error;
	} rows[] = {
		{ AT(FAR), AT(NEAR), LEN, LEN, 0, 0 },
		{ AT(FAR), AT(NEAR), 0, 0, 0, 0 },
		{ AT(FAR), AT(NEAR), LEN, 0, 1U << 31, EINVAL },
		{ AT(FAR) + 60, AT(NEAR), LEN, LEN - 60, 0, EIO },
		{ AT(FAR), AT(NEAR) + 60, LEN, LEN - 60, 0, EFAULT },
		{ FAR + HOLE * PAGE, AT(NEAR), LEN, 0, 0, EIO },
		{ AT(FAR), 0, LEN, 0, 0, EFAULT },
		{ AT(FAR), AT(NEAR), 8, 8, 0, 0 },
	};
	const size_t n = ARRAY_SIZE(rows);
	struct pvmread_segment segments[ARRAY_SIZE(rows)];
	unsigned int i, stop, write;
	struct forms f;
	size_t j;

	ASSERT_TRUE(make_answer());
	for (i = 0; i < 4 * ARRAY_SIZE(patterns); i++) {
		const unsigned char pattern = patterns[i / 4];

		write = i & 1;
		stop = i / 2 & 1;
		set_bytes(&self->near, OURS);
		set_bytes(&self->far, THEIRS);
		good_forms(&f, self->pid, write);
		memset(&f.batch.completed, pattern, sizeof(f.batch.completed));
		f.batch.segments = (uintptr_t)answer->page + SEGMENTS_AT;
		f.batch.count = n;
		if (stop)
			f.batch.flags |= PVMREAD_STOP;
		memset(segments, pattern, sizeof(segments));
		for (j = 0; j < n; j++) {
			segments[j].remote = rows[j].remote;
			segments[j].local = rows[j].local;
			segments[j].length = rows[j].length;
			segments[j].flags = rows[j].flags;
		}
		lay_out(pattern, &f.batch, sizeof(f.batch), sizeof(f.batch));
		memcpy(answer->page + SEGMENTS_AT, segments, sizeof(segments));
		/* The segments after the last processed one are unchanged. */
		f.batch.completed = stop ? 3 : n;
		for (j = 0; j < f.batch.completed; j++) {
			segments[j].error = rows[j].error;
			segments[j].done = rows[j].done;
		}
		memcpy(answer->want, &f.batch, sizeof(f.batch));
		memcpy(answer->want + SEGMENTS_AT, segments, sizeof(segments));
		expect_page(_metadata, self->file, PVMREAD_IOC_BATCH, 0);
		EXPECT_TRUE(canaries_live(&self->near));
		EXPECT_TRUE(canaries_live(&self->far));
		/* If the whole BATCH is rejected, only @completed changes: it becomes 0. */
		f.batch.count = ~0ULL;
		memset(&f.batch.completed, pattern, sizeof(f.batch.completed));
		lay_out(pattern, &f.batch, sizeof(f.batch), sizeof(f.batch));
		f.batch.completed = 0;
		memcpy(answer->want, &f.batch, sizeof(f.batch));
		expect_page(_metadata, self->file, PVMREAD_IOC_BATCH, EINVAL);
		ASSERT_EQ(0, _metadata->exit_code) {
			TH_LOG("%s%s", write ? "written" : "read", stop ? ", with STOP" : "");
		}
	}
}

/* A string that ends at @nul, read with length @length. */
static void expect_string(struct __test_metadata *_metadata, FIXTURE_DATA(request) * const self,
			  unsigned char pattern, size_t nul, size_t length)
{
	const unsigned char *near = self->near.view + HOLE * PAGE - LEN;
	const size_t text = least(nul, length), done = least(nul + 1, length);
	struct forms f;

	set_bytes(&self->near, pattern);
	set_bytes(&self->far, THEIRS);
	self->far.view[HOLE * PAGE - LEN + nul] = 0;
	good_forms(&f, self->pid, false);
	f.segment.flags = PVMREAD_SEGMENT_STRING;
	f.segment.length = length;
	poison();
	EXPECT_EQ(0, ioctl(self->file, PVMREAD_IOC_BATCH, &f.batch));
	EXPECT_EQ(0, f.segment.error);
	EXPECT_EQ(done, f.segment.done);
	EXPECT_TRUE(is_all(near, text, THEIRS));
	EXPECT_TRUE(done == text || !near[text]);
	EXPECT_TRUE(is_all(near + done, LEN - done, pattern));
	EXPECT_TRUE(canaries_live(&self->near));
	if (_metadata->exit_code)
		TH_LOG("NUL at %zu of %zu", nul, length);
}

TEST_F(request, string_writes_nothing_past_its_nul)
{
	size_t nul;

	for (nul = 0; nul < LEN && !_metadata->exit_code; nul++) {
		expect_string(_metadata, self, patterns[nul % 2], nul, nul);
		expect_string(_metadata, self, patterns[nul % 2], nul, nul + 1);
		expect_string(_metadata, self, patterns[nul % 2], nul, LEN);
		expect_string(_metadata, self, patterns[1 - nul % 2], nul, LEN);
	}
}

TEST_F(request, fdinfo_shows_only_documented_fields)
{
	static const struct {
		unsigned int flags;
		uint64_t start, length;
		const char *range, *mode;
	} rows[] = {
		{ 0, 0, 0, NULL, "r" },
		{ PVMREAD_WRITE, FAR, 0x1234, "38000000-38001234", "rw" },
		{ PVMREAD_NOWAIT | PVMREAD_RESIDENT, FAR, 1, "38000000-38000001",
		  "r nowait resident" },
		{ PVMREAD_WRITE | PVMREAD_RESIDENT, 0x1000, 0x10, "00001000-00001010",
		  "rw resident" },
	};
	char path[40], text[1024], want[1024], range[40];
	int mount, fd, info, got;
	unsigned long ino;
	const char *end;
	ssize_t len;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		poison();
		fd = attach(dev, self->pid, rows[i].flags, rows[i].start, rows[i].length);
		ASSERT_LE(0, fd);
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		info = open(path, O_RDONLY | O_CLOEXEC);
		len = read(info, text, sizeof(text) - 1);
		ASSERT_LT(0, len);
		text[len] = '\0';
		got = sscanf(text, "pos: %*d flags: %*o mnt_id: %d ino: %lu", &mount, &ino);
		ASSERT_EQ(2, got);
		/* The range of all memory ends at the kernel's ULONG_MAX. */
		end = strstr(text, "-ffffffffffffffff\n") ? "ffffffffffffffff" : "ffffffff";
		snprintf(range, sizeof(range), "00000000-%s", end);
		snprintf(want, sizeof(want),
			 "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\npid:\t%d\nrange:\t%s\n"
			 "mode:\t%s\nread:\t0\nwritten:\t0\nfaults:\t0\n",
			 (long long)rows[i].start,
			 O_CLOEXEC | (rows[i].flags & PVMREAD_WRITE ? O_RDWR : O_RDONLY),
			 mount, ino, self->pid, rows[i].range ?: range, rows[i].mode);
		EXPECT_STREQ(want, text);
		close(info);
		close(fd);
	}
}

/* --- Memory that must not be accessible at all --- */

#ifndef SYS_memfd_secret
#define SYS_memfd_secret	447
#endif

static uintptr_t map_file(const char *path, int fd, off_t offset, size_t page)
{
	unsigned char *at;

	if (path)
		fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	at = mmap(NULL, (page + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	close(fd);
	return at == MAP_FAILED ? 0 : (uintptr_t)at + page * PAGE;
}

static uintptr_t map_secret(void)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	uintptr_t at;

	if (fd < 0 || ftruncate(fd, PAGE))
		return 0;
	at = map_file(NULL, fd, 0, 0);
	if (at)
		memset((void *)at, SECRET, PAGE);
	return at;
}

/* The BIOS, which can be mapped even with STRICT_DEVMEM. */
static uintptr_t map_physical(void)
{
	return map_file("/dev/mem", -1, 0xf0000, 0);
}

static uintptr_t map_to_execute(void)
{
	unsigned char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);

	if (at == MAP_FAILED)
		return 0;
	memset(at, SECRET, PAGE);
	return mprotect(at, PAGE, PROT_EXEC) ? 0 : (uintptr_t)at;
}

static uintptr_t map_of_nothing(void)
{
	void *at = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? 0 : (uintptr_t)at;
}

/* Return: the address of the mapping that /proc/self/maps calls @name, or 0. */
static uintptr_t named(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long long found = 0;
	char line[256];

	while (f && !found && fgets(line, sizeof(line), f))
		if (strstr(line, name))
			found = strtoull(line, NULL, 16);
	if (f)
		fclose(f);
	return found;
}

static uintptr_t map_vvar(void)
{
	return named("[vvar]");
}

static uintptr_t map_vvar_vclock(void)
{
	return named("[vvar_vclock]");
}

static uintptr_t map_vsyscall(void)
{
	return named("[vsyscall]");
}

static uintptr_t map_vdso(void)
{
	return named("[vdso]");
}

static uintptr_t map_ring(void)
{
	struct io_uring_params params = { 0 };

	return map_file(NULL, syscall(SYS_io_uring_setup, 64, &params), IORING_OFF_SQES, 0);
}

/* The page behind the first: nothing changes it. */
static uintptr_t map_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.disabled = 1,
	};

	return map_file(NULL, syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), 0, 1);
}

/**
 * struct kind - a kind of mapping
 * @name: for a report
 * @map: creates one; returns its address, or 0 if this kernel has none
 * @refused: no access is allowed; otherwise the result is the syscall's
 * @device: it has no pages of its own: VM_IO, VM_PFNMAP or VM_MIXEDMAP
 */
struct kind {
	const char *name;
	uintptr_t (*map)(void);
	bool refused;
	bool device;
};

static void build_kind(const void *data)
{
	const struct kind *kind = data;

	board->at = kind->map();
}

/* Does /proc/PID/smaps say that the mapping at @at has no pages? */
static bool is_device(pid_t pid, uintptr_t at)
{
	unsigned long long from, to;
	bool here = false, found = false;
	char line[512];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/smaps", pid);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			here = from <= at && at < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, " io") || strstr(line, " pf") || strstr(line, " mm");
	}
	if (f)
		fclose(f);
	return found;
}

enum door { SYSCALL, IOCTL, FILE_AT, FILE_NOWAIT, BATCH, STRING, DOORS };

static const char * const door_names[DOORS] = {
	"syscall", "ioctl", "file", "file with RWF_NOWAIT", "batch", "string"
};

/* Move LEN bytes at @at through a door. Return: number of bytes, or minus errno. */
static ssize_t ask(enum door door, uint32_t flags, bool write, pid_t pid, uintptr_t at)
{
	struct forms f;
	struct request req = {
		.pid = pid,
		.write = write,
		.local = &f.local,
		.local_count = 1,
		.remote = &f.remote,
		.remote_count = 1,
	};
	ssize_t ret;
	int file;

	good_forms(&f, pid, write);
	f.remote.iov_base = (void *)at;
	f.rw.flags = flags;
	f.batch.flags |= flags;
	f.segment.remote = at;
	if (door == SYSCALL) {
		ret = send_syscall(&req);
		return ret < 0 ? -errno : ret;
	}
	if (door == IOCTL)
		return send_rw(-1, &f, write);
	/* BATCH takes the flags itself, instead of the file. */
	file = attach(dev, pid, (write ? PVMREAD_WRITE : 0) | (door < BATCH ? flags : 0), 0, 0);
	if (file < 0)
		return -errno;
	if (door == FILE_AT) {
		ret = move(file, write, (void *)AT(NEAR), LEN, at);
	} else if (door == FILE_NOWAIT) {
		ret = lseek(file, at, SEEK_SET) < 0 ? -1 :
		      write ? pwritev2(file, &f.local, 1, -1, RWF_NOWAIT) :
			      preadv2(file, &f.local, 1, -1, RWF_NOWAIT);
		if (ret < 0)
			ret = -errno;
	} else {
		f.segment.flags = door == STRING ? PVMREAD_SEGMENT_STRING : 0;
		ret = send_batch(file, &f, write);
	}
	close(file);
	return ret;
}

/* @want is the result of the syscall, without flags. */
static bool is_as_the_syscall(const struct kind *kind, enum door door, uint32_t flags,
			      ssize_t want, ssize_t ret)
{
	const ssize_t refusal = door == IOCTL ? -EFAULT : -EIO;
	const int64_t pos = board->at;

	/* An address in the kernel half is not a valid file position. */
	if (pos < 0 && (door == FILE_AT || door == FILE_NOWAIT))
		return ret == -EINVAL;
	/* EAGAIN means that a retry may succeed: wrong for memory that is always refused. */
	if (ret == -EAGAIN)
		return !kind->refused && (flags & PVMREAD_NOWAIT || door == FILE_NOWAIT);
	if (want < 0)
		return ret == refusal;
	if (ret < 0)
		return flags && ret == refusal;
	return door == STRING ? ret <= want : ret == want;
}

static void expect_kind(struct __test_metadata *_metadata, struct window *near,
			const struct kind *kind, pid_t pid)
{
	unsigned char *bytes = near->view + HOLE * PAGE - LEN, seen[LEN];
	const uintptr_t at = board->at;
	ssize_t want, ret;
	enum door door;
	uint32_t flags;
	int write;

	for (write = 0; write < 2; write++) {
		/* If writing is allowed, write the existing contents. */
		if (!write)
			set_bytes(near, OURS);
		want = ask(SYSCALL, 0, write, pid, at);
		if (kind->refused)
			EXPECT_EQ(-EFAULT, want);
		if (!write)
			memcpy(seen, bytes, LEN);
		for (flags = 0; flags <= (PVMREAD_NOWAIT | PVMREAD_RESIDENT);
		     flags += PVMREAD_NOWAIT)
			for (door = IOCTL; door < DOORS; door++) {
				if (write && door == STRING)
					continue;
				if (!write)
					set_bytes(near, OURS);
				ret = ask(door, flags, write, pid, at);
				EXPECT_TRUE(is_as_the_syscall(kind, door, flags, want, ret));
				EXPECT_TRUE(canaries_live(near));
				if (!write && ret > 0)
					EXPECT_EQ(0, memcmp(bytes, seen, ret));
				if (!write && ret <= 0)
					EXPECT_TRUE(is_all(bytes, LEN, OURS));
				if (_metadata->exit_code) {
					TH_LOG("%s: %s by %s, flags %#x: %zd and not %zd",
					       kind->name, write ? "write" : "read",
					       door_names[door], flags, ret, want);
					return;
				}
			}
		memcpy(bytes, seen, LEN);
	}
}

FIXTURE(memory) {
	struct window near;
	pid_t pid;
};

FIXTURE_VARIANT(memory) {
	struct kind kind;
};

FIXTURE_VARIANT_ADD(memory, secret) {
	.kind = { "memfd_secret", map_secret, true, false },
};

FIXTURE_VARIANT_ADD(memory, physical) {
	.kind = { "/dev/mem", map_physical, true, true },
};

FIXTURE_VARIANT_ADD(memory, vvar) {
	.kind = { "[vvar]", map_vvar, true, true },
};

FIXTURE_VARIANT_ADD(memory, vvar_vclock) {
	.kind = { "[vvar_vclock]", map_vvar_vclock, true, true },
};

FIXTURE_VARIANT_ADD(memory, vsyscall) {
	.kind = { "[vsyscall]", map_vsyscall, true, false },
};

FIXTURE_VARIANT_ADD(memory, execute_only) {
	.kind = { "execute-only memory", map_to_execute, true, false },
};

FIXTURE_VARIANT_ADD(memory, prot_none) {
	.kind = { "PROT_NONE", map_of_nothing, true, false },
};

FIXTURE_VARIANT_ADD(memory, vdso) {
	.kind = { "[vdso]", map_vdso, false, false },
};

FIXTURE_VARIANT_ADD(memory, ring) {
	.kind = { "a ring of io_uring", map_ring, false, false },
};

FIXTURE_VARIANT_ADD(memory, perf) {
	.kind = { "a buffer of perf", map_perf, false, false },
};

FIXTURE_SETUP(memory)
{
	const struct kind *kind = &variant->kind;

	ASSERT_TRUE(set_up());
	ASSERT_TRUE(make_window(&self->near) && map_window(&self->near, NEAR));
	if (sizeof(long) == 4 && kind->map == map_vsyscall)
		SKIP(return, "32-bit processes have no [vsyscall]");
	self->pid = start(0, build_kind, kind);
	ASSERT_LT(0, self->pid);
	if (!board->at)
		SKIP(return, "not in this kernel: %s", kind->name);
	EXPECT_TRUE(!kind->device || is_device(self->pid, board->at)) {
		TH_LOG("%s is another kind of memory", kind->name);
	}
}

FIXTURE_TEARDOWN(memory)
{
	stop(self->pid);
	close(dev);
}

TEST_F(memory, transfer_matches_syscall_or_is_refused)
{
	expect_kind(_metadata, &self->near, &variant->kind, self->pid);
}

/* --- A child writes to pages that it shared with the target, which has exited --- */

/* Unused, also in a 32-bit program. */
#define HUGE_AT		0x80000000UL
#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"
/* More than the target, the child and a private copy need. */
#define HUGE_PAGES	4

/*
 * The target has a huge page of hugetlbfs, whose first two pages the tester reads, and
 * a single page before it. The child was forked from it, before or during the read. It
 * keeps the pages when the target has exited, and then writes to them.
 */
FIXTURE(child) {
	long had;
	pid_t pid;
	unsigned char *near;
	int uffd;
};

FIXTURE_VARIANT(child) {
	bool late;
};

FIXTURE_VARIANT_ADD(child, forked_before_read) {
	.late = false,
};

FIXTURE_VARIANT_ADD(child, forked_during_read) {
	.late = true,
};

static bool set_huge_pages(long nr)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", nr);
	return !write_file(NR_HUGEPAGES, text) &&
	       proc_number("/proc/meminfo", "HugePages_Total:") >= nr;
}

/* The tester is the child's parent: a child of the target would die with the target. */
static void fork_child(int unused)
{
	pid_t pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	(void)unused;
	if (pid < 0)
		broken("clone");
	if (pid) {
		__atomic_store_n(&board->child, pid, __ATOMIC_RELEASE);
		return;
	}
	die_with_parent();
	while (!__atomic_load_n(&board->at, __ATOMIC_ACQUIRE))
		usleep(1000);
	memset((void *)(HUGE_AT - PAGE), SECRET, 3 * PAGE);
	__atomic_store_n(&board->done, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static void build_huge(const void *late)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	const size_t len = proc_number("/proc/meminfo", "Hugepagesize:") * 1024;
	void *at = (void *)(HUGE_AT - PAGE);

	if (mmap(at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != at ||
	    mmap(at + PAGE, len, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0) != at + PAGE)
		broken("a huge page");
	memset(at, THEIRS, 3 * PAGE);
	if (late)
		signal(SIGUSR1, fork_child);
	else
		fork_child(0);
}

/*
 * Wait until the read needs the caller's second page. Then end the target, let the child
 * write, and serve the page.
 */
static void *outlive_target(void *arg)
{
	FIXTURE_DATA(child) * const self = arg;
	struct pollfd pfd = { .fd = self->uffd, .events = POLLIN };
	struct uffdio_zeropage zero = { .range = { .start = LATE, .len = PAGE } };
	long end = now_ms() + PATIENCE_MS;

	if (poll(&pfd, 1, PATIENCE_MS) == 1) {
		if (!board->child)
			kill(self->pid, SIGUSR1);
		while (!__atomic_load_n(&board->child, __ATOMIC_ACQUIRE) && now_ms() < end)
			usleep(1000);
		stop(self->pid);
		__atomic_store_n(&board->at, 1, __ATOMIC_RELEASE);
		while (!__atomic_load_n(&board->done, __ATOMIC_ACQUIRE) && now_ms() < end)
			usleep(1000);
	}
	ioctl(self->uffd, UFFDIO_ZEROPAGE, &zero);
	return NULL;
}

FIXTURE_SETUP(child)
{
	ASSERT_TRUE(set_up());
	self->had = proc_number("/proc/meminfo", "HugePages_Total:");
	if (self->had < 0)
		SKIP(return, "not in this kernel: huge pages of hugetlbfs");
	self->uffd = map_late();
	if (self->uffd < 0)
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	ASSERT_TRUE(set_huge_pages(self->had + HUGE_PAGES));
	self->near = mmap((void *)(LATE - PAGE), PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ((void *)(LATE - PAGE), self->near);
	memset(self->near, OURS, PAGE);
	self->pid = start(0, build_huge, variant->late ? self : NULL);
	ASSERT_LT(0, self->pid) {
		TH_LOG("%s", board->trouble);
	}
}

FIXTURE_TEARDOWN(child)
{
	stop(self->pid);
	stop(board->child);
	set_huge_pages(self->had);
	close(dev);
}

/* Two pages, of which the second one waits until the child has written. */
static ssize_t read_by_pread(int file)
{
	ssize_t ret = pread(file, (void *)(LATE - PAGE), 2 * PAGE, HUGE_AT);

	return ret < 0 ? -errno : ret;
}

static ssize_t read_by_batch(int file)
{
	struct pvmread_segment segs[] = {
		{ .remote = HUGE_AT, .local = LATE - PAGE, .length = PAGE },
		/* These bytes go to the first page, which is present: the copy does not wait. */
		{ .remote = HUGE_AT + PAGE, .local = LATE - 8, .length = 8 },
		{ .remote = HUGE_AT + PAGE, .local = LATE, .length = PAGE },
	};
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.segments = (uintptr_t)segs,
		.count = ARRAY_SIZE(segs),
	};

	if (ioctl(file, PVMREAD_IOC_BATCH, &batch))
		return -errno;
	return segs[2].error ? -(ssize_t)segs[2].error : (ssize_t)(segs[0].done + segs[2].done);
}

static void read_as_it_was(struct __test_metadata *_metadata, FIXTURE_DATA(child) * const self,
			   unsigned int flags, ssize_t (*read_by)(int file))
{
	int file = attach(dev, self->pid, flags, 0, 0);
	pthread_t thread;

	ASSERT_LE(0, file);
	/* Break the COW sharing with the target, so that a copy to this page does not fault. */
	memset(self->near, OURS, PAGE);
	ASSERT_EQ(0, pthread_create(&thread, NULL, outlive_target, self));
	/* The target exits before the caller's second page is served: nothing is read into it. */
	EXPECT_EQ(read_by == read_by_batch ? -ESRCH : (ssize_t)PAGE, read_by(file));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, board->done);
	EXPECT_TRUE(is_all(self->near, PAGE, THEIRS));
	EXPECT_TRUE(is_all((unsigned char *)LATE, PAGE, 0)) {
		TH_LOG("%#x, written by a process that nobody has attached",
		       *(unsigned char *)LATE);
	}
	close(file);
}

TEST_F(child, write_is_not_seen_by_a_read_of_the_target)
{
	read_as_it_was(_metadata, self, 0, read_by_pread);
}

TEST_F(child, write_is_not_seen_by_a_resident_read_of_the_target)
{
	read_as_it_was(_metadata, self, PVMREAD_RESIDENT, read_by_pread);
}

TEST_F(child, write_is_not_seen_by_a_batch_of_the_target)
{
	read_as_it_was(_metadata, self, 0, read_by_batch);
}

/* A read does not break COW in the target, so it takes no huge page from the pool. */
TEST_F(child, still_shares_the_page_after_a_read)
{
	static const unsigned int flags[] = { 0, PVMREAD_NOWAIT, PVMREAD_RESIDENT };
	long free_pages = proc_number("/proc/meminfo", "HugePages_Free:");
	/* More pages than one hold of the engine has, unless a huge page is smaller. */
	static unsigned char buf[400 * PAGE];
	size_t huge = proc_number("/proc/meminfo", "Hugepagesize:") * 1024;
	size_t len = huge + PAGE < sizeof(buf) ? huge + PAGE : sizeof(buf);
	struct iovec local = { buf, len };
	struct iovec remote = { (void *)(HUGE_AT - PAGE), len };
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.flags = PVMREAD_RESIDENT,
		.pid = self->pid,
		.local = (uintptr_t)&local,
		.local_count = 1,
		.remote = (uintptr_t)&remote,
		.remote_count = 1,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		int file = attach(dev, self->pid, flags[i], 0, 0);

		ASSERT_LE(0, file);
		memset(buf, OURS, len);
		/* A single page and then a huge one. */
		EXPECT_EQ(len, pread(file, buf, len, HUGE_AT - PAGE));
		EXPECT_TRUE(is_all(buf, 3 * PAGE, THEIRS));
		EXPECT_TRUE(is_all(buf + 3 * PAGE, len - 3 * PAGE, 0));
		close(file);
	}
	memset(buf, OURS, len);
	EXPECT_EQ(0, ioctl(dev, PVMREAD_IOC_READV, &rw));
	EXPECT_EQ(len, rw.transferred);
	EXPECT_TRUE(is_all(buf, 3 * PAGE, THEIRS));
	EXPECT_TRUE(is_all(buf + 3 * PAGE, len - 3 * PAGE, 0));
	EXPECT_EQ(free_pages, proc_number("/proc/meminfo", "HugePages_Free:"));
}

/* --- Pages that move out of the attached range --- */

#define RANGE_AT	0x80000000UL	/* the attached page */
#define MOVED_AT	0x80100000UL	/* where it goes */
/* Bytes moved before the caller's page is faulted in. A 32-bit copy stops at a whole word. */
#define PART		(sizeof(long) == 8 ? 50UL : 48UL)

/* A process attaches one page of its own, and moves that page while it is being read. */
FIXTURE(moved) {
	int uffd;
	int file;
	unsigned char *near;
};

static void *move_the_page(void *arg)
{
	FIXTURE_DATA(moved) * const self = arg;
	static unsigned char ours[PAGE] __attribute__((aligned(PAGE)));
	struct pollfd pfd = { .fd = self->uffd, .events = POLLIN };

	memset(ours, OURS, PAGE);
	if (poll(&pfd, 1, PATIENCE_MS) == 1 &&
	    mremap((void *)RANGE_AT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   (void *)MOVED_AT) == (void *)MOVED_AT) {
		memset((void *)MOVED_AT, SECRET, PAGE);
		board->done = 1;
	}
	serve_page(self->uffd, LATE, ours);
	return NULL;
}

FIXTURE_SETUP(moved)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	const int prot = PROT_READ | PROT_WRITE;

	ASSERT_TRUE(set_up());
	self->uffd = map_late();
	if (self->uffd < 0)
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	self->near = mmap((void *)(LATE - PAGE), PAGE, prot, flags, -1, 0);
	ASSERT_EQ((void *)(LATE - PAGE), self->near);
	memset(self->near, OURS, PAGE);
	ASSERT_EQ((void *)RANGE_AT, mmap((void *)RANGE_AT, PAGE, prot, flags, -1, 0));
	memset((void *)RANGE_AT, THEIRS, PAGE);
	self->file = attach(dev, getpid(), PVMREAD_WRITE, RANGE_AT, PAGE);
	ASSERT_LE(0, self->file);
}

FIXTURE_TEARDOWN(moved)
{
	close(self->file);
	close(dev);
}

/* PART bytes to or from the near page, and the same number for the missing page. */
static ssize_t by_pread(int file)
{
	return pread(file, (void *)(LATE - PART), 2 * PART, RANGE_AT);
}

static ssize_t by_pwrite(int file)
{
	return pwrite(file, (void *)(LATE - PART), 2 * PART, RANGE_AT);
}

static ssize_t by_segment(int file, unsigned int flags, unsigned int segment_flags)
{
	struct pvmread_segment seg = {
		.remote = RANGE_AT, .local = LATE - PART, .length = 2 * PART,
		.flags = segment_flags,
	};
	struct pvmread_batch batch = {
		.size = sizeof(batch), .flags = flags, .segments = (uintptr_t)&seg, .count = 1,
	};

	return ioctl(file, PVMREAD_IOC_BATCH, &batch) ? -1 : (ssize_t)seg.done;
}

static ssize_t by_batch(int file)
{
	return by_segment(file, 0, 0);
}

static ssize_t by_batch_string(int file)
{
	return by_segment(file, 0, PVMREAD_SEGMENT_STRING);
}

static ssize_t by_batch_write(int file)
{
	return by_segment(file, PVMREAD_WRITE, 0);
}

static void move_while(struct __test_metadata *_metadata, FIXTURE_DATA(moved) * const self,
		       ssize_t (*transfer)(int file), bool write)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, move_the_page, self));
	EXPECT_EQ(PART, transfer(self->file));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, board->done);
	EXPECT_TRUE(is_all((unsigned char *)MOVED_AT, PAGE, SECRET));
	EXPECT_TRUE(is_all((unsigned char *)LATE, PAGE, OURS));
	EXPECT_TRUE(is_all(self->near, PAGE - PART, OURS));
	EXPECT_TRUE(is_all(self->near + PAGE - PART, PART, write ? OURS : THEIRS));
}

TEST_F(moved, page_is_not_read_outside_the_range)
{
	move_while(_metadata, self, by_pread, false);
}

TEST_F(moved, page_is_not_read_outside_the_range_by_a_batch)
{
	move_while(_metadata, self, by_batch, false);
}

TEST_F(moved, page_is_not_read_outside_the_range_as_a_string)
{
	move_while(_metadata, self, by_batch_string, false);
}

TEST_F(moved, page_is_not_written_outside_the_range)
{
	move_while(_metadata, self, by_pwrite, true);
}

TEST_F(moved, page_is_not_written_outside_the_range_by_a_batch)
{
	move_while(_metadata, self, by_batch_write, true);
}

/* --- The node --- */

#define GROUP		4242

FIXTURE(node) {
	struct window far, secret;
	struct stat before;
};

FIXTURE_SETUP(node)
{
	ASSERT_EQ(0, stat(PVMREAD_DEVICE, &self->before));
	ASSERT_TRUE(set_up());
	ASSERT_TRUE(turn_yama_off()) {
		TH_LOG("ptrace_scope is 3 already: boot the guest again");
	}
	ASSERT_TRUE(make_window(&self->far) && make_window(&self->secret));
	set_bytes(&self->far, THEIRS);
	set_bytes(&self->secret, SECRET);
	friend = start(ALICE, build_window, &self->far);
	foe = start(BOB, build_window, &self->secret);
	ASSERT_TRUE(friend > 0 && foe > 0) {
		TH_LOG("%s", board->trouble);
	}
}

FIXTURE_TEARDOWN(node)
{
	stop(friend);
	stop(foe);
	close(dev);
	/* Restore the old mode; a test checks whether it is correct. */
	if (chown(PVMREAD_DEVICE, self->before.st_uid, self->before.st_gid) ||
	    chmod(PVMREAD_DEVICE, self->before.st_mode & 07777))
		abort();
}

static void become_member(uid_t id, gid_t group)
{
	if (setgroups(1, &group) || setresgid(id, id, id) || setresuid(id, id, id) ||
	    prctl(PR_SET_DUMPABLE, 1))
		broken("changing the user");
	die_with_parent();
}

/* Is every way to open @path refused to the caller? */
static bool is_closed(const char *path)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (open(path, modes[i] | O_NONBLOCK | O_CLOEXEC) >= 0 || errno != EACCES)
			return false;
	return true;
}

static bool can_be_opened_by_its_number(int fd, int mode)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_CLOEXEC) >= 0 || errno != EACCES;
}

/* The errno of READV or WRITEV of a process. */
static int rw_errno(int fd, pid_t pid, bool write)
{
	unsigned char buf[LEN] = { 0 };
	struct iovec local = { buf, LEN };
	struct iovec remote = { (void *)AT(FAR), LEN };
	struct request req = {
		.pid = pid,
		.write = write,
		.local = &local,
		.local_count = 1,
		.remote = &remote,
		.remote_count = 1,
	};
	ssize_t ret = send_ioctl(fd, &req, NULL);

	if (ret < 0)
		return errno;
	return write || is_all(buf, ret, THEIRS) ? 0 : EILSEQ;
}

static int attach_errno(int fd, pid_t pid, uint32_t flags)
{
	int file = attach(fd, pid, flags, 0, 0);

	if (file < 0)
		return errno;
	close(file);
	return 0;
}

static void try_closed_node(void)
{
	struct pvmread_info info = { .size = sizeof(info) };
	int fd;

	if (!is_closed(PVMREAD_DEVICE))
		broken("the node is open to everyone");
	/* An O_PATH descriptor does not open it. */
	fd = open(PVMREAD_DEVICE, O_PATH | O_CLOEXEC);
	if (fd < 0)
		broken("O_PATH");
	if (ioctl(fd, PVMREAD_IOC_INFO, &info) != -1 || errno != EBADF)
		broken("an ioctl by O_PATH");
	if (can_be_opened_by_its_number(fd, O_RDONLY) || can_be_opened_by_its_number(fd, O_RDWR))
		broken("opening what O_PATH names");
}

static void as_a_user_without_the_group(void)
{
	become(ALICE);
	try_closed_node();
}

/* The node's group is root's, but has no permission. */
static void as_a_user_of_the_group_of_root(void)
{
	become_member(ALICE, 0);
	try_closed_node();
}

/* A descriptor that root opened with O_PATH, and that a user tries to open again. */
static int path_of_root;

static void with_a_path_of_root(void)
{
	struct pvmread_info info = { .size = sizeof(info) };

	become(ALICE);
	if (ioctl(path_of_root, PVMREAD_IOC_INFO, &info) != -1 || errno != EBADF)
		broken("an ioctl by root's O_PATH");
	if (can_be_opened_by_its_number(path_of_root, O_RDONLY))
		broken("opening what root's O_PATH names");
}

/* The node belongs to root; the memory of other users does not. */
static void as_root_without_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	int fd;

	if (syscall(SYS_capset, &head, none))
		broken("capset");
	fd = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		broken("opening the device");
	if (rw_errno(fd, foe, false) != EPERM || rw_errno(fd, foe, true) != EPERM ||
	    attach_errno(fd, foe, 0) != EPERM)
		broken("a process of another user");
}

TEST_F(node, is_only_for_root_by_default)
{
	EXPECT_EQ(S_IFCHR | 0600, self->before.st_mode);
	EXPECT_EQ(0, self->before.st_uid);
	EXPECT_EQ(0, self->before.st_gid);
	expect_run(_metadata, as_a_user_without_the_group);
	expect_run(_metadata, as_a_user_of_the_group_of_root);
	expect_run(_metadata, as_root_without_capabilities);
	path_of_root = open(PVMREAD_DEVICE, O_PATH | O_CLOEXEC);
	ASSERT_LE(0, path_of_root);
	expect_run(_metadata, with_a_path_of_root);
}

/* A user that may open it can access what ptrace allows, and nothing else. */
static void use_the_node(void)
{
	int fd = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		broken("opening the device");
	errno = 0;
	if (rw_errno(fd, friend, false) || rw_errno(fd, friend, true) ||
	    attach_errno(fd, friend, PVMREAD_WRITE))
		broken("a process of the same user");
	if (rw_errno(fd, foe, false) != EPERM || rw_errno(fd, foe, true) != EPERM ||
	    attach_errno(fd, foe, 0) != EPERM || attach_errno(fd, foe, PVMREAD_WRITE) != EPERM)
		broken("a process of another user");
	if (rw_errno(fd, 1, false) != EPERM || attach_errno(fd, 1, 0) != EPERM)
		broken("a process of root's");
}

static void as_a_member(void)
{
	become_member(ALICE, GROUP);
	use_the_node();
}

static void as_anyone(void)
{
	become(ALICE);
	use_the_node();
}

TEST_F(node, mode_0660_gives_a_group_no_extra_rights)
{
	ASSERT_EQ(0, chown(PVMREAD_DEVICE, 0, GROUP));
	ASSERT_EQ(0, chmod(PVMREAD_DEVICE, 0660));
	expect_run(_metadata, as_a_member);
	expect_run(_metadata, as_a_user_without_the_group);
	EXPECT_TRUE(holds(&self->secret, 0, 0, SECRET));
}

TEST_F(node, mode_0666_gives_nobody_extra_rights)
{
	ASSERT_EQ(0, chmod(PVMREAD_DEVICE, 0666));
	expect_run(_metadata, as_anyone);
	EXPECT_TRUE(holds(&self->secret, 0, 0, SECRET));
}

static void as_a_member_that_may_read(void)
{
	int fd;

	become_member(ALICE, GROUP);
	if (open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES ||
	    open(PVMREAD_DEVICE, O_WRONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		broken("the node is open for writing");
	fd = open(PVMREAD_DEVICE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		broken("opening the device for reading");
	/* A file keeps the mode that it was opened with. */
	if (can_be_opened_by_its_number(fd, O_RDWR) || can_be_opened_by_its_number(fd, O_WRONLY))
		broken("opening it again for writing");
	if (fcntl(fd, F_SETFL, O_RDWR))
		broken("F_SETFL");
	if (rw_errno(fd, friend, true) != EBADF || attach_errno(fd, friend, PVMREAD_WRITE) != EBADF)
		broken("writing");
	errno = 0;
	if (rw_errno(fd, friend, false) || attach_errno(fd, friend, 0))
		broken("reading");
}

TEST_F(node, mode_0640_lets_a_group_only_read)
{
	ASSERT_EQ(0, chown(PVMREAD_DEVICE, 0, GROUP));
	ASSERT_EQ(0, chmod(PVMREAD_DEVICE, 0640));
	expect_run(_metadata, as_a_member_that_may_read);
	EXPECT_TRUE(holds(&self->far, 0, 0, THEIRS));
}

/* LANDLOCK_ACCESS_FS_IOCTL_DEV, which headers before Linux 6.10 lack. */
#define IOCTL_DEV	0x8000ULL

static int landlock_ruleset(void)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = IOCTL_DEV };

	return syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
}

static void in_a_domain_without_ioctls(void)
{
	struct pvmread_info info = { .size = sizeof(info) };
	int ruleset = landlock_ruleset(), fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0))
		broken("entering a Landlock domain");
	fd = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		broken("opening the device");
	if (ioctl(fd, PVMREAD_IOC_INFO, &info) != -1 || errno != EACCES ||
	    rw_errno(fd, getpid(), false) != EACCES || attach_errno(fd, getpid(), 0) != EACCES)
		broken("an ioctl on a device that was opened in the domain");
	/* Landlock does not restrict a file that was opened outside the domain. */
	if (ioctl(dev, PVMREAD_IOC_INFO, &info))
		broken("an ioctl on what was open before");
}

TEST_F(node, landlock_without_ioctl_dev_blocks_every_ioctl)
{
	int ruleset = landlock_ruleset();

	if (ruleset < 0)
		SKIP(return, "not in this kernel: Landlock for the ioctls of devices");
	close(ruleset);
	expect_run(_metadata, in_a_domain_without_ioctls);
}

TEST_F(node, readonly_parameter_cannot_be_changed)
{
	static const char parameter[] = "/sys/module/pvmread/parameters/readonly";
	struct stat st;

	ASSERT_EQ(0, stat(parameter, &st));
	EXPECT_EQ(S_IFREG | 0444, st.st_mode);
	EXPECT_EQ(-1, open(parameter, O_WRONLY | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_HARNESS_MAIN
