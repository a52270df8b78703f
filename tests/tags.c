// SPDX-License-Identifier: GPL-2.0
/*
 * Memory tags (arm64's MTE): every kind of request moves as many bytes as the system call,
 * whatever the tags of the memory and of the addresses on both sides.
 *
 * Target and tester have two pages at the same address. Each granule of 16 bytes has a tag,
 * and each address has one. The kernel checks the tags of the caller's memory, and ignores
 * the tag of an address in the target.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/uio.h>

#include <kselftest_harness.h>

#include "process.h"

#define GRANULE	16UL

/* From linux/prctl.h and asm/mman.h of Linux 5.10, for older headers */
#ifndef PR_MTE_TCF_SYNC
#define PR_MTE_TCF_SYNC		(1UL << 1)
#define PR_MTE_TAG_SHIFT	3
#endif
#define TAGS_ENABLE	(PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC | 0xfffeUL << PR_MTE_TAG_SHIFT)
#define PROT_TAGS	0x20

/* Not 0, the tag of new memory */
enum { RIGHT_TAG = 5, WRONG_TAG = 9 };

static unsigned char *with_tag(unsigned char *at, unsigned int tag)
{
	return (unsigned char *)((uintptr_t)at | (uintptr_t)tag << 56);
}

/* Set the tag of the granules from @at to @end. */
static void set_tags(unsigned char *at, unsigned char *end, unsigned int tag)
{
	for (; at < end; at += GRANULE) {
#ifdef __aarch64__
		asm volatile(".arch armv8.5-a+memtag\n\tstg %0, [%0]"
			     : : "r" (with_tag(at, tag)) : "memory");
#else
		(void)tag;
#endif
	}
}

/* glibc's memset() takes a tag check fault in QEMU 7.2. */
static void fill(volatile unsigned char *at, unsigned char byte, size_t len)
{
	while (len--)
		*at++ = byte;
}

/* Return: how many bytes the request moved; negative if it failed */
typedef ssize_t (*move_fn)(int dev, int file, pid_t pid, void *local, void *remote, size_t len,
			   bool write);

static ssize_t by_syscall(int dev, int file, pid_t pid, void *local, void *remote, size_t len,
			  bool write)
{
	struct iovec here = { local, len }, there = { remote, len };

	(void)dev;
	(void)file;
	return write ? process_vm_writev(pid, &here, 1, &there, 1, 0) :
		       process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static ssize_t by_ioctl(int dev, int file, pid_t pid, void *local, void *remote, size_t len,
			bool write)
{
	struct iovec here = { local, len }, there = { remote, len };
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.pid = pid,
		.local = (uintptr_t)&here,
		.local_count = 1,
		.remote = (uintptr_t)&there,
		.remote_count = 1,
	};

	(void)file;
	if (ioctl(dev, write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &rw))
		return -1;
	return rw.transferred;
}

static ssize_t by_file(int dev, int file, pid_t pid, void *local, void *remote, size_t len,
		       bool write)
{
	(void)dev;
	(void)pid;
	return write ? pwrite(file, local, len, (uintptr_t)remote) :
		       pread(file, local, len, (uintptr_t)remote);
}

static ssize_t by_batch(int dev, int file, pid_t pid, void *local, void *remote, size_t len,
			bool write)
{
	struct pvmread_segment seg = {
		.remote = (uintptr_t)remote,
		.local = (uintptr_t)local,
		.length = len,
	};
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = write ? PVMREAD_WRITE : 0,
		.segments = (uintptr_t)&seg,
		.count = 1,
	};

	(void)dev;
	(void)pid;
	if (ioctl(file, PVMREAD_IOC_BATCH, &batch))
		return -2;
	return seg.done ? (ssize_t)seg.done : seg.error ? -1 : 0;
}

static const struct way {
	const char *name;
	move_fn move;
	bool cached;
} ways[] = {
	{ "the ioctl", by_ioctl, false },
	{ "a target file", by_file, false },
	{ "BATCH", by_batch, false },
	{ "a target file with the cache", by_file, true },
	{ "BATCH with the cache", by_batch, true },
};

FIXTURE(tags) {
	unsigned char *page;
	pid_t target;
	int dev;
	int file;
	int cached;
	unsigned int partial;
};

FIXTURE_SETUP(tags)
{
	int ready[2];
	char c;

	self->dev = -1;
	self->file = -1;
	self->cached = -1;
	if (prctl(PR_SET_TAGGED_ADDR_CTRL, TAGS_ENABLE, 0, 0, 0))
		SKIP(return, "not on this machine: memory tags");
	self->dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev);
	self->page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_TAGS,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	set_tags(self->page, self->page + 2 * PAGE, RIGHT_TAG);
	fill(with_tag(self->page, RIGHT_TAG), 0x11, 2 * PAGE);
	ASSERT_EQ(0, pipe(ready));
	self->target = fork();
	ASSERT_LE(0, self->target);
	if (!self->target) {
		die_with_parent();
		fill(with_tag(self->page, RIGHT_TAG), 0x77, 2 * PAGE);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	close(ready[0]);
	close(ready[1]);
	self->file = attach(self->dev, self->target, PVMREAD_WRITE, 0, 0);
	ASSERT_LE(0, self->file);
	self->cached = attach(self->dev, self->target, PVMREAD_WRITE |
			      (has_feature(self->dev, PVMREAD_FEATURE_CACHE) ? PVMREAD_CACHE : 0),
			      0, 0);
	ASSERT_LE(0, self->cached);
}

FIXTURE_TEARDOWN(tags)
{
	if (self->target > 0) {
		kill(self->target, SIGKILL);
		waitpid(self->target, NULL, 0);
	}
	close(self->cached);
	close(self->file);
	close(self->dev);
}

/* Every way must move what the system call moves. Try twice: the second read can hit the cache. */
static void compare(struct __test_metadata *_metadata, FIXTURE_DATA(tags) * const self,
		    unsigned char *local, unsigned char *remote, size_t len, bool write)
{
	ssize_t want = by_syscall(-1, -1, self->target, local, remote, len, write), got;
	size_t i, again;

	self->partial += want > 0 && want < (ssize_t)len;
	for (i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		for (again = 0; again < 2; again++) {
			got = ways[i].move(self->dev, ways[i].cached ? self->cached : self->file,
					   self->target, local, remote, len, write);
			EXPECT_EQ(want, got) {
				TH_LOG("%s, %s, local %p, remote %p, %zu bytes", ways[i].name,
				       write ? "written" : "read", local, remote, len);
			}
		}
}

TEST_F(tags, of_an_address_in_the_target_are_ignored)
{
	static const unsigned int tag[] = { 0, RIGHT_TAG, WRONG_TAG };
	unsigned char *local = with_tag(self->page, RIGHT_TAG);
	size_t i;
	int write;

	for (i = 0; i < 3; i++)
		for (write = 0; write < 2; write++) {
			unsigned char *remote = with_tag(self->page, tag[i]);

			compare(_metadata, self, local, remote, 100, write);
			compare(_metadata, self, local + PAGE - 50, remote + PAGE - 70, 140, write);
			EXPECT_EQ(100, by_syscall(-1, -1, self->target, local, remote, 100, write));
		}
	EXPECT_EQ(0x77, local[0]);
}

TEST_F(tags, of_the_callers_memory_are_checked)
{
	static const unsigned int tag[] = { 0, RIGHT_TAG, WRONG_TAG };
	size_t i;
	int write;

	for (i = 0; i < 3; i++)
		for (write = 0; write < 2; write++) {
			unsigned char *local = with_tag(self->page, tag[i]);

			compare(_metadata, self, local, self->page, 100, write);
			EXPECT_EQ(tag[i] == RIGHT_TAG ? 100 : -1,
				  by_syscall(-1, -1, self->target, local, self->page, 100, write));
		}
}

/* The copy ends where the tag changes. */
TEST_F(tags, that_change_in_the_callers_buffer_end_the_copy)
{
	const size_t change[] = { GRANULE, 4 * GRANULE, PAGE - GRANULE, PAGE, PAGE + GRANULE };
	static const size_t start[] = { 0, 1, 7, 8, 15 };
	size_t i, j;
	int write;

	for (i = 0; i < sizeof(change) / sizeof(*change); i++) {
		set_tags(self->page, self->page + change[i], RIGHT_TAG);
		set_tags(self->page + change[i], self->page + 2 * PAGE, WRONG_TAG);
		for (j = 0; j < sizeof(start) / sizeof(*start); j++)
			for (write = 0; write < 2; write++)
				compare(_metadata, self,
					with_tag(self->page, RIGHT_TAG) + start[j],
					self->page + 3 * j, 2 * PAGE - 20, write);
	}
	EXPECT_LT(0, self->partial);
}

/* The module compares the range with the whole address, tag included. */
TEST_F(tags, tagged_address_is_outside_the_attached_range)
{
	unsigned char *local = with_tag(self->page, RIGHT_TAG);
	int file = attach(self->dev, self->target, 0, (uintptr_t)self->page, PAGE);

	ASSERT_LE(0, file);
	EXPECT_EQ(16, pread(file, local, 16, (uintptr_t)self->page));
	EXPECT_EQ(-1, pread(file, local, 16, (uintptr_t)local));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, by_batch(-1, file, 0, local, local, 16, false));
	close(file);
}

TEST_HARNESS_MAIN
