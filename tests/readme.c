// SPDX-License-Identifier: GPL-2.0
/*
 * The programs of doc/library.md and README.md, piece by piece: each does what the page
 * says.
 *
 * readme.inc consists of the C blocks of both pages, in order.
 */
#include "readme.inc"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "pvmread_test.h"

#define PAGES	4

/* A target with the same mapping as ours, and a device to reach it. */
FIXTURE(readme) {
	int dev;
	int target;
	pid_t pid;
	char *mem;
	size_t page;
};

FIXTURE_SETUP(readme)
{
	size_t i;

	self->page = sysconf(_SC_PAGESIZE);
	self->mem = mmap(NULL, PAGES * self->page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->mem, MAP_FAILED);
	for (i = 0; i < PAGES * self->page; i++)
		self->mem[i] = i + i / self->page;
	/* The last page is the hole. */
	ASSERT_EQ(munmap(self->mem + (PAGES - 1) * self->page, self->page), 0);
	memcpy(self->mem + 100, "a name", sizeof("a name"));

	self->dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->dev, 0);
	self->pid = fork();
	ASSERT_GE(self->pid, 0);
	if (!self->pid) {
		alarm(60);
		pause();
		_exit(0);
	}
	self->target = attach(self->dev, self->pid);
	ASSERT_GE(self->target, 0);
}

FIXTURE_TEARDOWN(readme)
{
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
	close(self->target);
	close(self->dev);
	munmap(self->mem, (PAGES - 1) * self->page);
}

TEST_F(readme, peek_reads_a_process_and_leaves_no_file_open)
{
	char buf[64];
	int next = dup(0);

	close(next);
	EXPECT_EQ(peek(self->pid, (uintptr_t)self->mem, buf, sizeof(buf)), (ssize_t)sizeof(buf));
	EXPECT_EQ(memcmp(buf, self->mem, sizeof(buf)), 0);
	EXPECT_EQ(peek(self->pid, 8, buf, sizeof(buf)), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(peek(0x7fffffff, (uintptr_t)self->mem, buf, sizeof(buf)), -1);
	EXPECT_EQ(errno, ESRCH);
	EXPECT_EQ(dup(0), next);
	close(next);
}

TEST_F(readme, watch_shows_a_counter_and_leaves_no_file_open)
{
	const volatile uint64_t *counter;
	struct pvmread_info info;
	int next = dup(0);
	uint64_t there;

	close(next);
	ASSERT_EQ(pvmread_get_info(self->dev, &info), 0);
	memcpy(&there, self->mem + 8, sizeof(there));
	counter = watch(self->dev, self->pid, (uintptr_t)self->mem + 8);
	EXPECT_EQ(dup(0), next);
	close(next);
	if (!(info.features & PVMREAD_FEATURE_WINDOW)) {
		EXPECT_EQ(counter, NULL);
		SKIP(return, "not in this kernel: windows");
	}
	ASSERT_NE(counter, NULL);
	EXPECT_EQ(*counter, there);
	EXPECT_EQ(pvmread_unmap((void *)counter, sizeof(*counter)), 0);
}

TEST_F(readme, read_memory_stops_at_a_hole)
{
	size_t all = (PAGES - 1) * self->page;
	char *buf = calloc(PAGES, self->page);

	ASSERT_NE(buf, NULL);
	EXPECT_EQ(read_memory(self->dev, self->pid, (uintptr_t)self->mem, buf,
			      PAGES * self->page, 0), (ssize_t)all);
	EXPECT_EQ(memcmp(buf, self->mem, all), 0);
	EXPECT_EQ(read_memory(self->dev, self->pid, (uintptr_t)self->mem + all,
			      buf, 1, PVMREAD_RESIDENT), -1);
	EXPECT_EQ(errno, EFAULT);
	free(buf);
}

TEST_F(readme, pread_is_esrch_after_target_exit)
{
	char buf[64];

	EXPECT_EQ(pread(self->target, buf, sizeof(buf), (uintptr_t)self->mem),
		  (ssize_t)sizeof(buf));
	EXPECT_EQ(memcmp(buf, self->mem, sizeof(buf)), 0);
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
	EXPECT_EQ(pread(self->target, buf, sizeof(buf), (uintptr_t)self->mem), -1);
	EXPECT_EQ(errno, ESRCH);
}

TEST_F(readme, granted_fd_reads_only_its_range)
{
	char control[CMSG_SPACE(sizeof(int))], byte, buf[16];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	uintptr_t start = (uintptr_t)self->mem + 10;
	int pair[2], fd;

	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ASSERT_EQ(grant(self->dev, self->mem + 10, 16, pair[0]), 0);
	ASSERT_EQ(recvmsg(pair[1], &msg, 0), 1);
	ASSERT_NE(CMSG_FIRSTHDR(&msg), NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));

	EXPECT_EQ(pread(fd, buf, sizeof(buf), start), 16);
	EXPECT_EQ(memcmp(buf, self->mem + 10, 16), 0);
	EXPECT_EQ(pread(fd, buf, 1, start - 1), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(pread(fd, buf, 1, start + 16), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(pwrite(fd, buf, 1, start), -1);
	EXPECT_EQ(errno, EBADF);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

TEST_F(readme, a_batch_reads_a_counter_and_a_name)
{
	uintptr_t mem = (uintptr_t)self->mem;
	uint64_t value;
	char text[32];

	ASSERT_EQ(read_counter_and_name(self->target, mem, mem + 100, &value,
					text, sizeof(text)), 0);
	EXPECT_EQ(memcmp(&value, self->mem, sizeof(value)), 0);
	EXPECT_STREQ(text, "a name");
	EXPECT_EQ(read_counter_and_name(self->target,
					mem + (PAGES - 1) * self->page,
					mem + 100, &value, text, sizeof(text)),
		  -1);
}

TEST_F(readme, read_now_reads_mapped_memory)
{
	char buf[64];

	EXPECT_EQ(read_now(self->target, (uintptr_t)self->mem, buf, sizeof(buf)),
		  (ssize_t)sizeof(buf));
	EXPECT_EQ(memcmp(buf, self->mem, sizeof(buf)), 0);
}

TEST_F(readme, io_uring_reads_a_target_file)
{
	struct io_uring ring;
	char buf[64];

	ASSERT_EQ(io_uring_queue_init(4, &ring, 0), 0);
	EXPECT_EQ(read_uring(&ring, self->target, (uintptr_t)self->mem, buf,
			     sizeof(buf)), (int)sizeof(buf));
	EXPECT_EQ(memcmp(buf, self->mem, sizeof(buf)), 0);
	io_uring_queue_exit(&ring);
}

TEST_HARNESS_MAIN
