// SPDX-License-Identifier: GPL-2.0
/*
 * A process with known bytes at known addresses, for the tests of the command.
 *
 *   command-target SECONDS [FILE...]
 *
 * Prints a line "NAME ADDRESS" for each place, and ends after SECONDS. Changes
 * "counter" ten times a second. The files are mapped under their names. The line "zombie"
 * has the pid of a child that has exited and is not reaped.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uffd.h"

#define PAGES	8
/* In User mode Linux, the host's limit on mappings also limits the pages. */
#define BIG_SIZE	(128UL << 20)

static const char text[] = "pvmread was here: a line of text, and one more";

static unsigned char *map(size_t pages, int flags, int fd)
{
	void *at = mmap(NULL, pages * getpagesize(), PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

static void protect(void *at, int protection)
{
	if (mprotect(at, getpagesize(), protection))
		err(1, "mprotect");
}

static void map_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

/* leave_to_nobody() - let every access to the page wait forever; false without permission */
static bool leave_to_nobody(void *page)
{
	if (hold_back((uintptr_t)page, getpagesize()) >= 0)
		return true;
	if (errno != EPERM)
		err(1, "userfaultfd");
	return false;
}

/* The test script cannot keep a zombie, because a shell may reap its children at any time. */
static pid_t leave_zombie(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0 || waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
		err(1, "zombie");
	return pid;
}

static void place(const char *name, const void *at)
{
	printf("%s 0x%lx\n", name, (unsigned long)(uintptr_t)at);
}

int main(int argc, char **argv)
{
	const size_t page = getpagesize();
	unsigned char *bytes, *file, *heap, *counter, *big, *stuck;
	unsigned int i, end;
	FILE *short_file;

	if (argc < 2)
		errx(1, "usage: command-target SECONDS [FILE...]");
	printf("zombie %d\n", leave_zombie());
	end = 10 * strtoul(argv[1], NULL, 10);
	for (i = 2; i < (unsigned int)argc; i++)
		map_file(argv[i]);

	/*
	 * Eight pages: the first two hold a pattern, the third cannot be read, the
	 * fourth cannot be written, the fifth and sixth are untouched, the seventh is
	 * a hole, and the last one is written.
	 */
	bytes = map(PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (i = 0; i < 2 * page; i++)
		bytes[i] = i * 7 + i / 256;
	memcpy(bytes + 100, text, sizeof(text));
	protect(bytes + 2 * page, PROT_NONE);
	memset(bytes + 3 * page, 'r', page);
	protect(bytes + 3 * page, PROT_READ);
	memset(bytes + 7 * page, 'l', page);

	/* A file of one page, mapped with two. */
	short_file = tmpfile();
	if (!short_file || ftruncate(fileno(short_file), page))
		err(1, "tmpfile");
	file = map(2, MAP_SHARED, fileno(short_file));

	/* From brk(2), so that there is a [heap] whatever malloc() does. */
	heap = sbrk(page);
	if (heap == (void *)-1)
		err(1, "sbrk");
	memset(heap, 'h', page);
	big = map(BIG_SIZE / page, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	counter = map(1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	stuck = map(2, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	*stuck = 's';
	if (!leave_to_nobody(stuck + page))
		stuck = NULL;
	/* Do this last, so that nothing else is mapped there. */
	if (munmap(bytes + 6 * page, page))
		err(1, "munmap");

	place("bytes", bytes);
	place("text", bytes + 100);
	place("unreadable", bytes + 2 * page);
	place("readonly", bytes + 3 * page);
	place("untouched", bytes + 4 * page);
	place("hole", bytes + 6 * page);
	place("last", bytes + 7 * page);
	place("short", file);
	place("heap", heap);
	place("counter", counter);
	place("big", big);
	if (stuck)
		place("stuck", stuck);
	puts("ready");
	fflush(stdout);
	for (i = 0; i < end; i++) {
		usleep(100000);
		__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
	}
	return 0;
}
