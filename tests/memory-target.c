// SPDX-License-Identifier: GPL-2.0
/*
 * A process with one kind of memory, for the tests of the pvmread command.
 *
 *   memory-target KIND [BYTES]
 *
 * Prints the address of the memory and "ready", and waits to be killed.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

__thread char thread_text[] = "of one thread";

static char *map(size_t length, int protection, int flags, int fd)
{
	char *at = mmap(NULL, length, protection, flags, fd, 0);

	if (at == MAP_FAILED)
		err(errno == ENOMEM ? 77 : 1, "mmap of %zu bytes", length);
	return at;
}

static char *private(size_t length)
{
	char *at = map(length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	madvise(at, length, MADV_NOHUGEPAGE);
	return at;
}

/* A memfd of @size bytes, mapped as if it had @length */
static char *file(size_t size, size_t length, int flags)
{
	int fd = memfd_create("memory", 0);

	if (fd < 0 || ftruncate(fd, size))
		err(1, "memfd");
	return map(length, PROT_READ | PROT_WRITE, flags, fd);
}

/* Map memory of this kind. Each page of "zeros" is the kernel's zero page. */
static char *build(const char *kind, size_t length)
{
	const size_t page = getpagesize();
	char *at;

	if (!strcmp(kind, "private")) {
		at = private(length);
		memcpy(at, "at the beginning", sizeof("at the beginning"));
		memcpy(at + length - page, "at the end", sizeof("at the end"));
	} else if (!strcmp(kind, "reserved")) {
		at = map(length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	} else if (!strcmp(kind, "shared")) {
		at = map(length, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1);
		memcpy(at + page, "shared by all", sizeof("shared by all"));
	} else if (!strcmp(kind, "written")) {
		/* In the page cache, but in no page table. */
		at = file(length, length, MAP_SHARED);
		memcpy(at + 3 * page, "written and unmapped", sizeof("written and unmapped"));
		if (madvise(at, length, MADV_DONTNEED))
			err(1, "madvise");
	} else if (!strcmp(kind, "tail")) {
		at = file(page, length, MAP_SHARED);
		memcpy(at, "a short file", sizeof("a short file"));
	} else if (!strcmp(kind, "hugetlb")) {
		at = map(length, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);
		memcpy(at, "a huge page", sizeof("a huge page"));
	} else if (!strcmp(kind, "secret")) {
		at = private(length);
		memset(at, 'x', length);
		memcpy(at, "kept out of cores", sizeof("kept out of cores"));
		if (madvise(at, length, MADV_DONTDUMP))
			err(1, "madvise");
	} else if (!strcmp(kind, "guard")) {
		at = private(length);
		memset(at, 'g', length);
		if (madvise(at + page, page, MADV_GUARD_INSTALL))
			err(errno == EINVAL ? 77 : 1, "madvise");
	} else if (!strcmp(kind, "zeros")) {
		at = private(length);
		for (size_t i = 0; i < length; i += page)
			*(volatile char *)(at + i);
	} else {
		errx(2, "%s: no such kind of memory", kind);
	}
	return at;
}

static void *wait_for_the_end(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(int argc, char **argv)
{
	const bool leaderless = argc > 1 && !strcmp(argv[1], "leaderless");
	size_t length = argc > 2 ? strtoull(argv[2], NULL, 0) : 4UL * getpagesize();
	pthread_t thread;
	char *at;

	if (argc < 2)
		errx(2, "usage: memory-target KIND [BYTES]");
	at = build(leaderless ? "private" : argv[1], length);
	thread_text[0] = 'O';
	if (pthread_create(&thread, NULL, wait_for_the_end, NULL))
		errx(1, "pthread_create");
	printf("at %#lx\nready\n", (unsigned long)(uintptr_t)at);
	fflush(stdout);
	/* The other thread lives on. */
	if (leaderless)
		pthread_exit(NULL);
	pause();
	return 0;
}
