// SPDX-License-Identifier: GPL-2.0
/*
 * The process that strace and eu-stack show in tests/programs.sh. Its calls, stack and
 * memory are known. It is linked dynamically, with its symbols.
 *
 *   target probe        reads itself by process_vm_readv(2), prints the result
 *   target show FILE    opens FILE, and writes it out in one write(2)
 *   target block        says "ready", and waits at the end of a known stack
 *   target hostile      says "ready", then passes a page that never arrives to write(-1).
 *                       write(2) fails before it reads the page, so only a tracer waits
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../pvmread_test.h"

static char buffer[1 << 16];

static int probe(void)
{
	struct iovec local = { buffer, 6 };
	struct iovec remote = { "memory", 6 };
	ssize_t n;

	n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	printf("process_vm_readv: %s\n", n < 0 ? strerrorname_np(errno) : buffer);
	memset(buffer, 0, sizeof(buffer));
	n = syscall(SYS_process_vm_readv, getpid(), &local, 1UL, &remote, 1UL, 0UL);
	printf("syscall: %s\n", n < 0 ? strerrorname_np(errno) : buffer);
	return 0;
}

static int show(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		err(1, "cannot open %s", path);
	n = read(fd, buffer, sizeof(buffer));
	if (n < 0)
		err(1, "cannot read %s", path);
	if (write(STDOUT_FILENO, buffer, n) != n)
		err(1, "cannot write %s to standard output", path);
	return 0;
}

static int hostile(void)
{
	char ready[] = "ready\n";
	void *page = map_unserved(4096);

	if (!page)
		errx(1, "this kernel has no userfaultfd");
	if (write(STDOUT_FILENO, ready, strlen(ready)) < 0)
		err(1, "cannot write to standard output");
	if (write(-1, page, 16) >= 0 || errno != EBADF)
		errx(1, "write to file -1 did not fail with EBADF");
	return 0;
}

/* The empty asm after each call prevents a tail call, which would leave no frame. */
static __attribute__((noinline)) void third_function(void)
{
	pause();
	asm volatile("");
}

static __attribute__((noinline)) void second_function(void)
{
	third_function();
	asm volatile("");
}

static __attribute__((noinline)) void first_function(void)
{
	second_function();
	asm volatile("");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "probe"))
		return probe();
	if (argc == 3 && !strcmp(argv[1], "show"))
		return show(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "block")) {
		puts("ready");
		fflush(stdout);
		first_function();
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "hostile"))
		return hostile();
	errx(2, "usage: %s probe|show FILE|block|hostile", argv[0]);
}
