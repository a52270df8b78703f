// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints pvmread:attach and pvmread:transfer show which caller accesses which target.
 *
 * Needs root; skips if the kernel has no tracefs.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "one_cpu.h"
#include "process.h"

#define TRACING		"/sys/kernel/tracing/"
#define EVENTS		TRACING "events/pvmread/"
#define NOBODY		65534

FIXTURE(trace) {
	int dev;
	pid_t target;
	unsigned char *page;	/* mapped only in the target; a hole follows */
	char buf[2 * PAGE];
	char line[512];
};

static ssize_t rw(int dev, unsigned long cmd, pid_t pid, unsigned int flags,
		  void *remote, const void *local, size_t len)
{
	/* The empty segment counts, but the transfer does not begin there. */
	struct iovec there[] = { { (void *)PAGE, 0 }, { remote, len } };
	struct iovec here = { (void *)local, len };
	struct pvmread_rw arg = {
		.size = sizeof(arg), .flags = flags, .pid = pid,
		.local = (uintptr_t)&here, .local_count = 1,
		.remote = (uintptr_t)there, .remote_count = 2,
	};

	return ioctl(dev, cmd, &arg) ? -1 : (ssize_t)arg.transferred;
}

FIXTURE_SETUP(trace)
{
	if (access(EVENTS, F_OK))
		SKIP(return, "this kernel has no tracefs, or no tracepoints");
	self->dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev);
	self->page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	memset(self->page, 'x', PAGE);
	ASSERT_EQ(0, munmap(self->page + PAGE, PAGE));
	/* The child inherits the name. */
	ASSERT_EQ(0, prctl(PR_SET_NAME, "traced"));
	self->target = fork();
	ASSERT_LE(0, self->target);
	if (!self->target) {
		die_with_parent();
		for (;;)
			pause();
	}
	ASSERT_EQ(0, munmap(self->page, PAGE));
	/* Break COW now: from now on the page is the target's own. */
	ASSERT_EQ(1, rw(self->dev, PVMREAD_IOC_WRITEV, self->target, 0, self->page, "x", 1));
	ASSERT_EQ(0, write_file(TRACING "trace", ""));
	leave_one_cpu();
	ASSERT_EQ(0, write_file(EVENTS "enable", "1"));
}

FIXTURE_TEARDOWN(trace)
{
	if (!self->target)
		return;
	write_file(EVENTS "enable", "0");
	bring_cpus_back();
	kill(self->target, SIGKILL);
	waitpid(self->target, NULL, 0);
	close(self->dev);
}

/**
 * events() - the events of one process
 * @pid: the process that caused them
 * @line: set to the last one, starting at the event's name
 *
 * Return: the number of events since the trace was cleared, or -1.
 */
static int events(pid_t pid, char *line, size_t size)
{
	FILE *trace = fopen(TRACING "trace", "re");
	char text[512], task[16];
	int n = 0;

	if (!trace)
		return -1;
	line[0] = '\0';
	/* "  NAME-PID  [CPU] FLAGS TIME: EVENT: ..." */
	snprintf(task, sizeof(task), "-%d ", pid);
	while (fgets(text, sizeof(text), trace)) {
		char *event = strstr(text, ": ");

		if (text[0] == '#' || !strstr(text, task) || !event)
			continue;
		n++;
		text[strcspn(text, "\n")] = '\0';
		snprintf(line, size, "%s", event + 2);
	}
	fclose(trace);
	return n;
}

/* expect_event() - check that this process caused one event, with this text */
#define expect_event(...) do {						\
	char expected[512];						\
	snprintf(expected, sizeof(expected), __VA_ARGS__);		\
	EXPECT_EQ(1, events(getpid(), self->line, sizeof(self->line)));	\
	EXPECT_STREQ(expected, self->line);				\
	EXPECT_EQ(0, write_file(TRACING "trace", ""));			\
} while (0)

#define expect_transfer(format, ...)					\
	expect_event("transfer: target=%d " format, self->target, __VA_ARGS__)

TEST_F(trace, readv_and_writev)
{
	ASSERT_EQ(100, rw(self->dev, PVMREAD_IOC_READV, self->target, 0,
			  self->page, self->buf, 100));
	expect_transfer("op=rw flags= addr=%p segments=2 bytes=100 error=0",
			self->page);
	ASSERT_EQ(PAGE, rw(self->dev, PVMREAD_IOC_WRITEV, self->target, PVMREAD_NOWAIT,
			   self->page, self->buf, PAGE));
	expect_transfer("op=rw flags=nowait|write addr=%p segments=2 bytes=%lu error=0",
			self->page, PAGE);
}

TEST_F(trace, transfer_error_code)
{
	ASSERT_EQ(PAGE, rw(self->dev, PVMREAD_IOC_READV, self->target,
			   PVMREAD_RESIDENT, self->page, self->buf, PAGE + 1));
	expect_transfer("op=rw flags=resident addr=%p segments=2 bytes=%lu error=%d",
			self->page, PAGE, EIO);
	ASSERT_EQ(-1, rw(self->dev, PVMREAD_IOC_READV, self->target, 0,
			 self->page + PAGE, self->buf, 2));
	expect_transfer("op=rw flags= addr=%p segments=2 bytes=0 error=%d",
			self->page + PAGE, EIO);
}

TEST_F(trace, a_target_file)
{
	int fd = attach(self->dev, self->target, PVMREAD_WRITE, (uintptr_t)self->page, PAGE);

	ASSERT_LE(0, fd);
	expect_event("attach: target=%d comm=traced range=%p-%p flags=write error=0",
		     self->target, self->page, self->page + PAGE - 1);
	ASSERT_EQ(8, pread(fd, self->buf, 8, (uintptr_t)self->page));
	expect_transfer("op=file flags= addr=%p segments=1 bytes=8 error=0",
			self->page);
	ASSERT_EQ(8, pwrite(fd, self->buf, 16, (uintptr_t)self->page + PAGE - 8));
	expect_transfer("op=file flags=write addr=%p segments=1 bytes=8 error=%d",
			self->page + PAGE - 8, EIO);

	/* An access to a target that has exited logs nothing. */
	kill(self->target, SIGKILL);
	ASSERT_EQ(self->target, waitpid(self->target, NULL, 0));
	ASSERT_EQ(-1, pread(fd, self->buf, 8, (uintptr_t)self->page));
	ASSERT_EQ(ESRCH, errno);
	ASSERT_EQ(0, events(getpid(), self->line, sizeof(self->line)));
	close(fd);
}

TEST_F(trace, attach_full_range)
{
	int fd = attach(self->dev, self->target, 0, 0, 0);

	ASSERT_LE(0, fd);
	expect_event("attach: target=%d comm=traced range=0x0-%#lx flags= error=0",
		     self->target, ~0UL);
	close(fd);
}

TEST_F(trace, a_batch)
{
	struct pvmread_segment segs[40] = {};
	struct pvmread_batch batch = {
		.size = sizeof(batch), .segments = (uintptr_t)segs, .count = 40,
	};
	int i, fd = attach(self->dev, self->target, 0, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, write_file(TRACING "trace", ""));
	for (i = 0; i < 40; i++) {
		segs[i].remote = (uintptr_t)self->page + i * 8;
		segs[i].local = (uintptr_t)self->buf;
		segs[i].length = 8;
	}
	/* A segment in the hole fails, which ends the BATCH only with STOP. */
	segs[20].remote = (uintptr_t)self->page + PAGE;
	ASSERT_EQ(0, ioctl(fd, PVMREAD_IOC_BATCH, &batch));
	expect_transfer("op=batch flags= addr=0x0 segments=40 bytes=%d error=0",
			39 * 8);
	batch.flags = PVMREAD_STOP;
	ASSERT_EQ(0, ioctl(fd, PVMREAD_IOC_BATCH, &batch));
	expect_transfer("op=batch flags=stop addr=0x0 segments=21 bytes=%d error=0",
			20 * 8);
	close(fd);
}

/* Refused requests interest an administrator most. */
TEST_F(trace, refused_calls)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
			_exit(1);
		if (rw(self->dev, PVMREAD_IOC_READV, self->target, 0, self->page,
		       self->buf, 8) != -1 || errno != EPERM)
			_exit(2);
		if (attach(self->dev, self->target, 0, 0, 0) != -1 || errno != EPERM)
			_exit(3);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	/* The last of the two is ATTACH's. */
	EXPECT_EQ(2, events(child, self->line, sizeof(self->line)));
	snprintf(self->buf, sizeof(self->buf),
		 "attach: target=%d comm=traced range=0x0-%#lx flags= error=%d",
		 self->target, ~0UL, EPERM);
	EXPECT_STREQ(self->buf, self->line);
}

/* The number is of the initial pid namespace, not of the caller's. */
TEST_F(trace, shows_pids_of_the_initial_pid_namespace)
{
	pid_t child, wrapper = fork();
	int status;

	ASSERT_LE(0, wrapper);
	if (!wrapper) {
		if (unshare(CLONE_NEWPID))
			_exit(errno == EINVAL ? 4 : 1);
		child = fork();
		if (!child)
			_exit(rw(self->dev, PVMREAD_IOC_READV, 1, 0, self->buf,
				 self->buf + PAGE, 8) == 8 ? 0 : 2);
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			_exit(3);
		if (events(child, self->line, sizeof(self->line)) != 1)
			_exit(5);
		snprintf(self->buf, sizeof(self->buf), "transfer: target=%d op=rw ", child);
		_exit(strncmp(self->buf, self->line, strlen(self->buf)) ? 6 : 0);
	}
	ASSERT_EQ(wrapper, waitpid(wrapper, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no pid namespaces in this kernel");
	EXPECT_EQ(0, status);
}

/* perf and BPF tools decode an event by its print fmt, and do not know C constants. */
TEST_F(trace, event_format_has_no_c_constants)
{
	static const char * const formats[] = { EVENTS "attach/format", EVENTS "transfer/format" };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		int fd = open(formats[i], O_RDONLY | O_CLOEXEC);
		ssize_t n;

		ASSERT_LE(0, fd);
		n = read(fd, self->buf, sizeof(self->buf) - 1);
		close(fd);
		ASSERT_LT(0, n);
		self->buf[n] = '\0';
		EXPECT_NE(NULL, strstr(self->buf, "print fmt: "));
		EXPECT_EQ(NULL, strstr(self->buf, "PVMREAD_"));
	}
}

TEST_F(trace, rejected_request_or_disabled_event_logs_nothing)
{
	struct pvmread_rw arg = { .size = sizeof(arg), .flags = ~0 };

	/* The first request is rejected before the process is looked up. The second finds none. */
	ASSERT_EQ(-1, ioctl(self->dev, PVMREAD_IOC_READV, &arg));
	ASSERT_EQ(-1, rw(self->dev, PVMREAD_IOC_READV, 0x7ffffff0, 0, self->page,
			 self->buf, 8));
	EXPECT_EQ(0, events(getpid(), self->line, sizeof(self->line)));
	ASSERT_EQ(0, write_file(EVENTS "enable", "0"));
	ASSERT_EQ(8, rw(self->dev, PVMREAD_IOC_READV, self->target, 0, self->page,
			self->buf, 8));
	EXPECT_EQ(0, events(getpid(), self->line, sizeof(self->line)));
}

TEST_HARNESS_MAIN
