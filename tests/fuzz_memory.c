// SPDX-License-Identifier: GPL-2.0
/*
 * The memory that the fuzzer's requests access.
 *
 * Tester and target each have a window of WINDOW pages and a block of BIG_PAGES pages.
 * There are two equal copies of each, the twins. A request goes to the second twins
 * through the module, and to the first ones as a system call. Then the twins must be
 * equal again. The addresses of two twins differ in one bit.
 *
 * Each character of a window is a page:
 *
 *	w  anonymous, written, read-write
 *	r  anonymous, written, read-only
 *	x  anonymous, written, write-only
 *	-  anonymous, written, PROT_NONE
 *	u  anonymous, never touched, read-write
 *	z  anonymous, never touched, read-only
 *	p  private file mapping, read-write
 *	q  private file mapping, read-only
 *	s  shared file mapping, read-write
 *	t  shared file mapping, read-only
 *	h  shared file mapping, read-write, of a file without that page
 *	e  shared file mapping past the end of the file
 *	.  nothing
 *
 * and, when an operation changed it in another way,
 *
 *	?  unknown memory
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/mman.h>

#include "fuzz_memory.h"
#include "process.h"
#include "random.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/* Faults fill these pages in, so each case maps them again. */
#define LAZY		"uzpqh"

#define PRESENT		0x8000000000000000ULL

/* Bytes that are mostly not 0: this gives strings of all lengths. */
static void fill(unsigned char *to, unsigned int pages, uint64_t seed)
{
	unsigned int page, i;

	for (page = 0; page < pages; page++, to += PAGE) {
		for (i = 0; i < PAGE; i++)
			to[i] = 1 + (mix(seed + page * PAGE + i) >> 32) % 255;
		switch (page % 4) {
		case 0:
			to[100] = 0;
			to[PAGE - 1] = 0;
			break;
		case 2:
			to[0] = 0;
			for (i = 40; i < PAGE; i += 1 + to[i - 1])
				to[i] = 0;
			break;
		}
	}
}

static int make_file(const char *name, unsigned char *content)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, WINDOW * PAGE) ||
	    (content && pwrite(fd, content, WINDOW * PAGE, 0) != WINDOW * PAGE))
		return -1;
	return fd;
}

/* Called before fork(): create the files and contents of a side, known to both processes. */
bool side_init(struct side *s, uintptr_t at, uintptr_t big, uint64_t seed)
{
	int i;

	*s = (struct side){ .at = at, .big = big };
	memset(s->now, '.', WINDOW);
	s->pattern = malloc(WINDOW * PAGE);
	s->big_pattern = malloc(BIG_PAGES * PAGE);
	if (!s->pattern || !s->big_pattern)
		return false;
	fill(s->pattern[0], WINDOW, seed);
	fill(s->big_pattern, BIG_PAGES, mix(seed));
	s->priv = make_file("private", s->pattern[0]);
	if (s->priv < 0)
		return false;
	for (i = 0; i < 2; i++) {
		s->shared[i] = make_file("shared", s->pattern[0]);
		s->holes[i] = make_file("holes", NULL);
		s->alias[i] = mmap(NULL, WINDOW * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
				   s->shared[i], 0);
		if (s->shared[i] < 0 || s->holes[i] < 0 || s->alias[i] == MAP_FAILED)
			return false;
	}
	return true;
}

/* Map the blocks of a side. The process that has this side must call it. */
bool side_map_big(struct side *s)
{
	int i;

	for (i = 0; i < 2; i++) {
		void *at = (void *)(s->big + i * TWIN);

		if (mmap(at, BIG_PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) != at)
			return false;
		memcpy(at, s->big_pattern, BIG_PAGES * PAGE);
	}
	return true;
}

/* New memory for pages of one kind. */
static bool map_pages(struct side *s, int twin, unsigned int page, unsigned int n, char kind)
{
	void *at = (void *)(s->at + twin * TWIN + page * PAGE);
	int prot = strchr("rzqt", kind) ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = MAP_SHARED | MAP_FIXED;
	off_t off = page * PAGE;
	int fd = s->shared[twin];

	switch (kind) {
	case '.':
		return !munmap(at, n * PAGE);
	case 'w':
	case 'r':
	case 'x':
	case '-':
		prot = PROT_READ | PROT_WRITE;
		flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE;
		fd = -1;
		break;
	case 'u':
	case 'z':
		flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
		fd = -1;
		break;
	case 'p':
	case 'q':
		flags = MAP_PRIVATE | MAP_FIXED;
		fd = s->priv;
		break;
	case 'h':
		fd = s->holes[twin];
		break;
	case 'e':
		off += WINDOW * PAGE;
		break;
	}
	if (mmap(at, n * PAGE, prot, flags, fd, fd < 0 ? 0 : off) != at)
		return false;
	if (flags & MAP_POPULATE)
		memcpy(at, s->pattern[page], n * PAGE);
	switch (kind) {
	case 'r':
		return !mprotect(at, n * PAGE, PROT_READ);
	case 'x':
		return !mprotect(at, n * PAGE, PROT_WRITE);
	case '-':
		return !mprotect(at, n * PAGE, PROT_NONE);
	case 's':
	case 't':
		memcpy(s->alias[twin] + page * PAGE, s->pattern[page], n * PAGE);
		return true;
	case 'h':
		return !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, n * PAGE);
	}
	return true;
}

/* Which of these pages does the process have in its page tables? */
bool get_presence(int pagemap, uintptr_t at, unsigned int n, bool *present)
{
	uint64_t entry[BIG_PAGES];
	ssize_t len = n * sizeof(*entry);
	unsigned int i;

	if (pread(pagemap, entry, len, at / PAGE * sizeof(*entry)) != len)
		return false;
	for (i = 0; i < n; i++)
		present[i] = entry[i] & PRESENT;
	return true;
}

/* Make the memory match a description, with fresh contents. */
bool side_reset(struct side *s, const char *map, bool big, int pagemap)
{
	bool present[2][WINDOW] = { 0 };
	unsigned int i, n;
	int twin;

	for (twin = 0; twin < 2 && strpbrk(s->now, LAZY); twin++)
		if (!get_presence(pagemap, s->at + twin * TWIN, WINDOW, present[twin]))
			return false;
	for (i = 0; i < WINDOW; i += n) {
		bool keep = s->now[i] == map[i];
		bool used = present[0][i] || present[1][i];

		for (n = 1; i + n < WINDOW && map[i + n] == map[i]; n++)
			if ((keep ? s->now[i + n] != map[i] : s->now[i + n] == map[i]) ||
			    used != (present[0][i + n] || present[1][i + n]))
				break;
		for (twin = 0; twin < 2; twin++) {
			void *at = (void *)(s->at + twin * TWIN + i * PAGE);

			if (keep && strchr("wx", map[i]))
				memcpy(at, s->pattern[i], n * PAGE);
			else if (keep && strchr("st", map[i]))
				memcpy(s->alias[twin] + i * PAGE, s->pattern[i], n * PAGE);
			else if ((!keep || map[i] == 'h' || (used && strchr(LAZY, map[i]))) &&
				 !map_pages(s, twin, i, n, map[i]))
				return false;
		}
	}
	memcpy(s->now, map, WINDOW);
	for (twin = 0; twin < 2 && big; twin++)
		memcpy((void *)(s->big + twin * TWIN), s->big_pattern, BIG_PAGES * PAGE);
	return true;
}

/**
 * side_compare() - are the twins the same?
 * @s: the side
 * @big: also compare the block
 * @careful: also compare pages that cannot be read
 * @skip: bits of window pages to skip; bit WINDOW skips the block
 * @pagemap: of this process
 *
 * Return: -1 if they are equal, -2 on failure, or the offset of a byte that differs:
 * from the start of the window, or, from WINDOW * PAGE on, in the block.
 */
long side_compare(struct side *s, bool big, bool careful, unsigned int skip, int pagemap)
{
	bool present[2][WINDOW] = { 0 };
	unsigned char *a, *b;
	unsigned int i, k;

	for (i = 0; i < 2 && strpbrk(s->now, LAZY); i++)
		if (!get_presence(pagemap, s->at + i * TWIN, WINDOW, present[i]))
			return -2;
	for (i = 0; i <= WINDOW; i++) {
		size_t len = PAGE, offset = i * PAGE;
		bool hidden;

		if (skip & BIT(i))
			continue;
		a = (unsigned char *)s->at + offset;
		if (i == WINDOW) {
			if (!big)
				break;
			a = (unsigned char *)s->big;
			len = BIG_PAGES * PAGE;
		} else if (strchr(".e", s->now[i]) || (s->now[i] == '-' && !careful) ||
			   (strchr(LAZY, s->now[i]) && !present[0][i] && !present[1][i])) {
			continue;
		}
		b = a + TWIN;
		hidden = i < WINDOW && strchr("x-?", s->now[i]);
		/* The page may be unreadable. */
		if (hidden && (mprotect(a, len, PROT_READ) || mprotect(b, len, PROT_READ)))
			return -2;
		if (!memcmp(a, b, len)) {
			if (hidden && s->now[i] != '?' &&
			    (mprotect(a, len, s->now[i] == 'x' ? PROT_WRITE : PROT_NONE) ||
			     mprotect(b, len, s->now[i] == 'x' ? PROT_WRITE : PROT_NONE)))
				return -2;
			continue;
		}
		for (k = 0; a[k] == b[k]; k++)
			;
		/* The next reset maps the page again. */
		if (i < WINDOW)
			s->now[i] = '?';
		return offset + k;
	}
	return -1;
}

/* Set the characters of the pages that an operation has changed. */
void side_note(struct side *s, const struct op *op)
{
	unsigned int i = op->f[F_PAGE], end = i + op->f[F_PAGES];

	for (; i < end; i++) {
		switch (op->kind) {
		case OP_MAP:
			s->now[i] = op->f[F_KIND];
			break;
		case OP_PROTECT:
			if (!strchr(".eh", s->now[i]))
				s->now[i] = '?';
			break;
		case OP_DROP:
			if (strchr("wr-", s->now[i]))
				s->now[i] = '?';
			break;
		default:
			break;
		}
	}
}

/* Carry out an operation on memory. Holes in it do not matter. */
bool side_change(struct side *s, const struct op *op)
{
	/* Never PROT_WRITE alone: only the character 'x' tells the model of such a page. */
	static const int prot[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE
	};
	unsigned int page = op->f[F_PAGE], n = op->f[F_PAGES], i;
	int twin;

	for (twin = 0; twin < 2; twin++) {
		char *at = (char *)s->at + twin * TWIN + page * PAGE;

		switch (op->kind) {
		case OP_MAP:
			if (n && !map_pages(s, twin, page, n, op->f[F_KIND]))
				return false;
			break;
		case OP_PROTECT:
			/*
			 * User mode Linux lets the kernel read a PROT_NONE page of the
			 * caller if it is present. So make it present in both twins.
			 */
			if (!prot[op->f[F_KIND] & 3])
				madvise(at, n * PAGE, MADV_POPULATE_READ);
			for (i = 0; i < n; i++)
				if (!strchr(".eh", s->now[page + i]) &&
				    mprotect(at + i * PAGE, PAGE, prot[op->f[F_KIND] & 3]))
					return false;
			break;
		case OP_DROP:
			madvise(at, n * PAGE, MADV_DONTNEED);
			break;
		case OP_TOUCH:
			for (i = 0; i < n; i++)
				madvise(at + i * PAGE, PAGE,
					op->f[F_KIND] & 2 ? MADV_POPULATE_WRITE :
							    MADV_POPULATE_READ);
			break;
		default:
			return false;
		}
	}
	side_note(s, op);
	return true;
}

/* --- The target --- */

static void futex_wait(unsigned int *word, unsigned int value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(unsigned int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The main loop of the target. It dies with the tester. */
__attribute__((noreturn)) void target_live(struct side *s, struct order *order)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned int seen = 0, given;

	if (pagemap < 0 || !side_map_big(s))
		_exit(1);
	for (;;) {
		while ((given = __atomic_load_n(&order->given, __ATOMIC_ACQUIRE)) == seen)
			futex_wait(&order->given, seen);
		seen = given;
		switch (order->what) {
		case RESET:
			order->result = side_reset(s, order->map, order->big, pagemap);
			break;
		case COMPARE:
			order->result = side_compare(s, order->big, order->careful, order->skip,
						     pagemap);
			break;
		case CHANGE:
			order->result = side_change(s, &order->op);
			break;
		}
		__atomic_store_n(&order->done, seen, __ATOMIC_RELEASE);
		futex_wake(&order->done);
	}
}

/* Let the target execute *order. */
long command(struct order *order)
{
	unsigned int nr = order->given + 1, done;

	__atomic_store_n(&order->given, nr, __ATOMIC_RELEASE);
	futex_wake(&order->given);
	while ((done = __atomic_load_n(&order->done, __ATOMIC_ACQUIRE)) != nr)
		futex_wait(&order->done, done);
	return order->result;
}
