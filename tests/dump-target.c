// SPDX-License-Identifier: GPL-2.0
/*
 * A process with known calls, strings and mappings, for the tests of
 * "pvmread scan" and "pvmread dump".
 *
 *   dump-target [away] [busy] [hole] [large] [many] [sparse] [stray]
 *
 * The main thread waits three calls deep, or runs with "busy"; a second thread also
 * waits. "away" puts its command line into an untouched page. "hole" maps three pages,
 * the second of which waits for a userfaultfd that is never served. "large" touches 64
 * MiB. "many" has more mappings than a 16-bit number can count. "sparse" maps 4 GiB and
 * touches two pages of it. "stray" has bytes that are not UTF-8. Prints "ready" when
 * everything is set up. On SIGUSR1 it executes itself without arguments.
 */
#include <err.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uffd.h"

#define KIB	1024UL
#define MIB	(1024 * KIB)
/* Known to the tests. */
#define BASE	0x20000000UL
#define AWAY	0x30000000UL
#define SPARSE	0x200000000UL
#define LARGE	0x300000000UL
#define MANY	0x400000000UL
#define PAGES	70000UL

char known_text[] = "a known text";
volatile unsigned int depth;

static char *map(uintptr_t at, size_t length, int flags, int fd)
{
	void *p = mmap((void *)at, length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_FIXED_NOREPLACE | flags, fd, 0);

	if (p != (void *)at)
		err(1, "mmap at %#lx", (unsigned long)at);
	return p;
}

/* put() - copy @shifted, each letter minus one, so that the text is only in the copy */
static void put(uintptr_t at, const char *shifted)
{
	volatile char *to = (volatile char *)at;

	while (*shifted)
		*to++ = *shifted++ - 1;
}

/*
 * 4 MiB, then a page with other permissions beside it, then a hole:
 *
 *  needle	40 times, 7 bytes apart, about the second MiB
 *  crossing	from the 4 MiB into the page
 *  halfway	the first half before the hole, the second half behind it
 *  L0...0R	60,002 bytes, about the first MiB
 *  K...K	200,000 bytes, about the third MiB
 */
static void put_patterns(void)
{
	char *bytes = map(BASE, 4 * MIB + 4 * KIB, MAP_ANONYMOUS, -1);
	int i;

	memset(bytes, 0, 4 * MIB + 4 * KIB);

	for (i = -20; i < 20; i++)
		put(BASE + 2 * MIB + i * 7, "offemf");
	put(BASE + 4 * MIB - 5, "dspttjoh");
	put(BASE + 4 * MIB + 4 * KIB - 4, "ibmg");
	map(BASE + 5 * MIB, 4 * KIB, MAP_ANONYMOUS, -1);
	put(BASE + 5 * MIB, "xbz");
	put(BASE + 5 * MIB + 8, "uxp\x0bmjoft");
	memset(bytes + MIB - 30000, '0', 60000);
	put(BASE + MIB - 30001, "M");
	put(BASE + MIB + 30000, "S");
	memset(bytes + 3 * MIB - 100000, 'K', 200000);
	/* The euro sign. */
	put(BASE + MIB + 512 * KIB - 1, "\xe3\x83\xad");
	if (mprotect(bytes + 4 * MIB, 4 * KIB, PROT_READ))
		err(1, "mprotect");
}

/* Map two pages of a file of two bytes. */
static void map_short_file(void)
{
	FILE *file = tmpfile();

	if (!file || ftruncate(fileno(file), 2))
		err(1, "tmpfile");
	map(BASE + 6 * MIB, 8 * KIB, 0, fileno(file));
}

/* Split [heap] into three mappings, with data in the last one. */
static void cut_heap(void)
{
	char *bytes = sbrk(16 * KIB);

	bytes += -(uintptr_t)bytes & (4 * KIB - 1);
	if (mprotect(bytes, 4 * KIB, PROT_READ))
		err(1, "mprotect");
	put((uintptr_t)bytes + 8 * KIB, "b!qjfdf");
}

static void map_sparse(void)
{
	char *bytes = map(SPARSE, 4096 * MIB, MAP_ANONYMOUS | MAP_NORESERVE, -1);

	madvise(bytes, 4096 * MIB, MADV_NOHUGEPAGE);
	put(SPARSE + 1234 * MIB, "gjstu!upvdife");
	put(SPARSE + 4096 * MIB - 4 * KIB, "mbtu!upvdife");
}

/* Map three pages. The userfaultfd of the second is never served, so an access waits. */
static void map_three_unserved(void)
{
	map(BASE + 7 * MIB, 12 * KIB, MAP_ANONYMOUS, -1);
	put(BASE + 7 * MIB, "cfgpsf");
	put(BASE + 7 * MIB + 8 * KIB, "cfijoe");
	if (hold_back(BASE + 7 * MIB, 12 * KIB) < 0)
		err(1, "userfaultfd");
}

/* Map bytes of 0x80, which can only continue a UTF-8 character, and a text twice. */
static void map_stray(void)
{
	char *bytes = map(BASE + 8 * MIB, 3 * MIB, MAP_ANONYMOUS, -1);

	memset(bytes, 0x80, 3 * MIB);
	put(BASE + 9 * MIB + 1, "xijtqfs");
	put(BASE + 10 * MIB - 3, "xijtqfs");
}

static void map_large(void)
{
	memset(map(LARGE, 64 * MIB, MAP_ANONYMOUS, -1), 'l', 64 * MIB);
}

/* Every other page has other permissions. */
static void map_many(void)
{
	char *bytes = map(MANY, PAGES * 4 * KIB, MAP_ANONYMOUS | MAP_NORESERVE, -1);
	unsigned long i;

	for (i = 0; i < PAGES; i += 2)
		if (mprotect(bytes + i * 4 * KIB, 4 * KIB, PROT_READ))
			err(1, "mprotect; is vm.max_map_count over %lu?", PAGES);
	put(MANY + (PAGES - 1) * 4 * KIB, "uif!mbtu!pg!nboz");
}

static void on_usr1(int number)
{
	char *const none[] = { "dump-target", NULL };
	sigset_t this;

	/* Otherwise the signal would stay blocked across the execve(2). */
	sigemptyset(&this);
	sigaddset(&this, number);
	sigprocmask(SIG_UNBLOCK, &this, NULL);
	execv("/proc/self/exe", none);
	_exit(1);
}

/* --- calls that a debugger must show; none is a tail call --- */

__attribute__((noinline)) static int innermost(int number)
{
	char byte;
	int end[2];

	if (pipe(end))
		err(1, "pipe");
	puts("ready");
	fflush(stdout);
	depth += read(end[0], &byte, number);
	return depth;
}

__attribute__((noinline)) static int middle(int number)
{
	int got = innermost(number - 1);

	depth++;
	return got + 1;
}

__attribute__((noinline)) static int outermost(int number)
{
	int got = middle(number - 1);

	depth++;
	return got + 2;
}

__attribute__((noinline)) static int thread_waits(int number)
{
	depth += poll(NULL, 0, -1);
	return depth + number;
}

__attribute__((noinline)) static int thread_calls(int number)
{
	int got = thread_waits(number + 1);

	depth++;
	return got;
}

static void *thread_starts(void *argument)
{
	depth += thread_calls(5);
	depth++;
	return argument;
}

static void move_arguments(void)
{
	map(AWAY, 4 * KIB, MAP_ANONYMOUS, -1);
	/* The start must never be above the end, which is on the stack. */
	if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, AWAY, 0, 0) ||
	    prctl(PR_SET_MM, PR_SET_MM_ARG_END, AWAY + 20, 0, 0))
		err(1, "moving the arguments");
}

int main(int argc, char **argv)
{
	int busy = 0, i;
	pthread_t thread;

	put_patterns();
	map_short_file();
	cut_heap();
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "away"))
			move_arguments();
		else if (!strcmp(argv[i], "sparse"))
			map_sparse();
		else if (!strcmp(argv[i], "many"))
			map_many();
		else if (!strcmp(argv[i], "hole"))
			map_three_unserved();
		else if (!strcmp(argv[i], "large"))
			map_large();
		else if (!strcmp(argv[i], "stray"))
			map_stray();
		else if (!strcmp(argv[i], "busy"))
			busy = 1;
		else
			errx(2, "%s: not one of away, busy, hole, large, many, sparse, stray",
			     argv[i]);
	}
	signal(SIGUSR1, on_usr1);
	if (pthread_create(&thread, NULL, thread_starts, NULL))
		errx(1, "pthread_create");
	usleep(100000);
	if (busy) {
		puts("ready");
		fflush(stdout);
	}
	while (busy)
		depth++;
	return outermost(3);
}
