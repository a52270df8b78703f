// SPDX-License-Identifier: GPL-2.0
/*
 * sample-stack PID [SAMPLES] - the inner loop of a profiler
 *
 * Each sample is one BATCH that reads the outermost 8 pages of the main thread's stack, one
 * segment for each page. PVMREAD_RESIDENT skips pages that are not mapped. So such a read never
 * waits for the target, and causes no page fault in it. At the end the program prints the
 * code addresses that were on the stack most often. A real profiler would read the stack of
 * each thread.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libpvmread.h>

#define PAGE	4096UL
#define PAGES	8
#define WORDS	(PAGE / sizeof(unsigned long))

static unsigned long stack[PAGES][WORDS], code, code_end, stack_end;
static bool resident[PAGES];
static unsigned int *seen;	/* how often each code address was on the stack */

/* See proc_pid_stat(5): fields 26 to 28 are startcode, endcode and startstack. */
static void read_stat(const char *pid)
{
	char path[64], text[1024] = "", *field;
	int fd, i;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		err(1, "%s", path);
	close(fd);
	field = strrchr(text, ')');	/* field 2 may contain blanks */
	for (i = 2; field && i < 26; i++)
		field = strchr(field + 1, ' ');
	if (!field || sscanf(field, "%lu %lu %lu", &code, &code_end, &stack_end) != 3 ||
	    code >= code_end)
		errx(1, "%s hides the code addresses: you may not ptrace the process", path);
}

static void sample(int target, unsigned int flags)
{
	struct pvmread_segment segs[PAGES];
	size_t i, word;

	for (i = 0; i < PAGES; i++)
		segs[i] = (struct pvmread_segment){
			.remote = (stack_end & -PAGE) - (PAGES - 1 - i) * PAGE,
			.local = (uintptr_t)stack[i],
			.length = flags & PVMREAD_RESIDENT || resident[i] ? PAGE : 0,
		};
	if (pvmread_batch(target, segs, PAGES, flags) != PAGES)
		errx(1, "cannot read the stack: %s", pvmread_strerror(errno));
	for (i = 0; i < PAGES; i++) {
		resident[i] = segs[i].done == PAGE;
		for (word = 0; word < segs[i].done / sizeof(unsigned long); word++)
			if (stack[i][word] >= code && stack[i][word] < code_end)
				seen[stack[i][word] - code]++;
	}
}

int main(int argc, char **argv)
{
	int samples = argc > 2 ? atoi(argv[2]) : 100, dev = pvmread_open(O_RDONLY), target, i;
	struct pvmread_info info;
	unsigned long at, most;
	bool cache;

	if (argc < 2)
		errx(2, "usage: sample-stack PID [SAMPLES]");
	if (dev < 0 || pvmread_get_info(dev, &info))
		errx(1, "%s", pvmread_strerror(errno));
	cache = info.features & PVMREAD_FEATURE_CACHE;
	target = pvmread_attach(dev, atoi(argv[1]), cache ? PVMREAD_CACHE : 0, 0, 0);
	if (target < 0)
		errx(1, "process %s: %s", argv[1], pvmread_strerror(errno));
	read_stat(argv[1]);
	seen = calloc(code_end - code, sizeof(*seen));
	if (!seen)
		err(1, "no memory");
	for (i = 0; i < samples; i++) {
		/* A read with RESIDENT does not fill the cache: now and then read without it. */
		sample(target, cache && i % 1000 == 1 ? 0 : PVMREAD_RESIDENT);
		usleep(1000);
	}
	printf("%d samples, %s\n", i, cache ? "cached" : "not cached");
	for (i = 0; i < 10; i++) {
		for (at = most = 0; at < code_end - code; at++)
			most = seen[at] > seen[most] ? at : most;
		if (seen[most])
			printf("%6u %#lx\n", seen[most], code + most);
		seen[most] = 0;
	}
	return 0;
}
