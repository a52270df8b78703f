// SPDX-License-Identifier: GPL-2.0
/*
 * BATCH: many segments in one request, each with its own result.
 *
 * Nearly all requests here are sent by agree(). It first asks a model, which has a copy of
 * both memories and knows which pages can be read and written. The model executes the
 * segments one after the other. Then the kernel does. The kernel's results must match the
 * model's: errno and @completed, @done and @error of each segment, and every byte of both
 * memories. Nothing else in the array may change. The model itself is compared with
 * process_vm_readv(2) of the same pieces.
 *
 * Environment:
 *   CASES=n  number of random cases to run (2,000)
 *   SEED=n   seed of 32 bits (a new one every time)
 *   CASE=n   run one case again and print it. n is the number that a divergence
 *            prints, and holds seed and case. The cases before it with the same target
 *            run first, because they change the target.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include <kselftest_harness.h>

#include "chunks.h"
#include "numbers.h"
#include "process.h"
#include "random.h"

/* These addresses are free in each process: above the program and its heap, below all else. */
#define LBASE		0x50000000UL	/* the arena: the caller's memory */
#define VBASE		0x58000000UL	/* the segment array */
#define RBASE		0x60000000UL	/* the target's memory */
#define XBASE		0x70000000UL	/* more memory of caller or target */
#define YBASE		0x100000000ULL	/* and more; 32-bit processes cannot map it */

#define MAX_PAGES	1320UL
#define MAX_BATCH	65536UL
#define MAX_RW_COUNT	(INT_MAX & ~(PAGE - 1))
/* The most bytes that are moved at a time. */
#define MOST		65536UL
/* Nothing is mapped after these pages: an array is placed at their end. */
#define VEC_SIZE	(((MAX_BATCH + 2) * sizeof(struct pvmread_segment) / PAGE + 1) * PAGE)
#define VEND		(VBASE + VEC_SIZE)

#define KERNEL_ADDR	0xffff888000000000ULL
#define ODD_ADDR	0x0000f00000000000ULL	/* not canonical */

/* A result that has not been written. */
#define NO_DONE		0xa5a5a5a5a5a5a5a5ULL
#define NO_ERROR	0xa5a5a5a5U

/*
 * Memory is described by a string, one character for each page:
 *
 *	w  anonymous, written, read-write
 *	r  anonymous, written, read-only
 *	-  PROT_NONE, never touched
 *	u  anonymous, never touched, read-write
 *	z  anonymous, never touched, read-only
 *	c  anonymous, read-write, shared with the tester since fork(); target only
 *	p  private file mapping, read-write
 *	q  private file mapping, read-only
 *	s  shared file mapping, read-write
 *	t  shared file mapping, read-only
 *	e  shared file mapping past the end of the file
 *	.  nothing
 */
#define CAN_READ	"wruzcpqst"
#define CAN_WRITE	"wucps"
#define HAS_CONTENTS	"wrcpqst"
#define IN_PRIVATE_FILE	"pq"
#define IN_SHARED_FILE	"st"

/**
 * struct side - the memory of caller or target, and the model of it
 * @base: its first address
 * @map: its description
 * @image: what it must hold
 * @priv: the file behind private mappings
 * @shared: the file behind shared ones
 */
struct side {
	uintptr_t base;
	char map[MAX_PAGES + 1];
	unsigned char *image;
	int priv;
	int shared;
};

enum which {
	PLAIN, READ_ONLY, RANGED, FILE_NOWAIT, FILE_RESIDENT, CACHED, RANGED_CACHED, FILES
};

/**
 * struct world - a target and the arena
 * @dev: the device
 * @target: the process
 * @pagemap: its /proc/PID/pagemap
 * @file: target files, attached in every way
 * @cache: PVMREAD_CACHE if the kernel has it, else 0
 * @start: start of the range of the files RANGED and RANGED_CACHED
 * @end: end of that range
 * @local: the arena
 * @remote: the target's memory
 * @present: which of the target's pages are in its page tables
 * @common: a checksum of the memory shared with the target at fork
 * @completed: number of segments of the last request that have a result
 * @open: all of this has been set up
 */
struct world {
	int dev;
	bool open;
	pid_t target;
	int pagemap;
	int file[FILES];
	uint32_t cache;
	uint64_t start;
	uint64_t end;
	struct side local;
	struct side remote;
	bool present[MAX_PAGES];
	uint64_t common;
	size_t completed;
};

/**
 * struct plan - a request
 * @file: the target file to send it to
 * @flags: of the batch
 * @count: number of segments
 * @gap: bytes between the array and the hole after it
 * @seg: the segments
 */
struct plan {
	enum which file;
	uint32_t flags;
	size_t count;
	size_t gap;
	struct pvmread_segment seg[MAX_BATCH];
};

/**
 * struct verdict - the model's result for a segment
 * @done: number of bytes moved
 * @errors: bit n: errno n is correct. Two bits if both sides end at the same byte
 */
struct verdict {
	uint64_t done;
	uint32_t errors;
};

static struct world world;
static struct plan plan;
static struct verdict want[MAX_BATCH];
static unsigned char images[2][MAX_PAGES * PAGE];
static unsigned char scratch[MAX_PAGES * PAGE];

/* --- Numbers --- */

static uint64_t min3(uint64_t a, uint64_t b, uint64_t c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

/* --- Memory --- */

static size_t run_length(const char *map)
{
	return strspn(map, (char []){ *map, 0 });
}

static bool is_kind(char page, const char *kinds)
{
	return page && strchr(kinds, page);
}

/* No two pages are equal, and they contain strings of every length. */
static void fill_page(unsigned char *page, struct rng *rng)
{
	uint64_t *word = (uint64_t *)page;
	uint64_t style = below(rng, 5);
	size_t i;

	for (i = 0; i < PAGE / sizeof(*word); i++)
		word[i] = below(rng, UINT64_MAX);
	if (!style)
		return;
	if (style == 4) {
		for (i = 0; i < PAGE; i++)
			page[i] = page[i] < 16 ? 0 : page[i];
		return;
	}
	for (i = 0; i < PAGE; i++)
		page[i] += !page[i];
	if (style == 1)
		return;
	if (style == 2)
		for (i = 0; i < 8; i++)
			page[below(rng, PAGE)] = 0;
	else
		page[below(rng, 2) ? 0 : PAGE - 1] = 0;
}

static bool open_side(struct side *s, struct rng *rng)
{
	size_t len = strlen(s->map) * PAGE;
	size_t i;

	s->priv = memfd_create("private", MFD_CLOEXEC);
	s->shared = memfd_create("shared", MFD_CLOEXEC);
	if (s->priv < 0 || s->shared < 0 || ftruncate(s->priv, len) ||
	    ftruncate(s->shared, len))
		return false;
	for (i = 0; s->map[i]; i++) {
		unsigned char *page = s->image + i * PAGE;
		ssize_t put = PAGE;

		if (is_kind(s->map[i], HAS_CONTENTS))
			fill_page(page, rng);
		else
			memset(page, 0, PAGE);
		if (is_kind(s->map[i], IN_PRIVATE_FILE))
			put = pwrite(s->priv, page, PAGE, i * PAGE);
		else if (is_kind(s->map[i], IN_SHARED_FILE))
			put = pwrite(s->shared, page, PAGE, i * PAGE);
		if (put != (ssize_t)PAGE)
			return false;
	}
	return true;
}

static void close_side(struct side *s)
{
	munmap((void *)s->base, strlen(s->map) * PAGE);
	close(s->priv);
	close(s->shared);
}

/* Touch every other page first, so that neighbours are not adjacent in physical memory. */
static void fill_pages(unsigned char *to, const unsigned char *from, size_t n)
{
	size_t first, i;

	for (first = 0; first < 2; first++)
		for (i = first; i < n; i += 2)
			memcpy(to + i * PAGE, from + i * PAGE, PAGE);
}

static bool build_side(const struct side *s)
{
	size_t i, n;

	for (i = 0; s->map[i]; i += n) {
		void *at = (void *)(s->base + i * PAGE);
		int prot = PROT_READ | PROT_WRITE;
		int flags = MAP_FIXED | MAP_PRIVATE;
		int fd = -1;
		off_t off = 0;

		n = run_length(s->map + i);
		switch (s->map[i]) {
		case 'c':
			continue;
		case '.':
			if (munmap(at, n * PAGE))
				return false;
			continue;
		case 'w':
		case 'r':
			flags |= MAP_ANONYMOUS;
			break;
		case '-':
			prot = PROT_NONE;
			flags |= MAP_ANONYMOUS;
			break;
		case 'z':
		case 'u':
			flags |= MAP_ANONYMOUS;
			break;
		case 'q':
		case 'p':
			fd = s->priv;
			off = i * PAGE;
			break;
		case 't':
		case 's':
			flags = MAP_FIXED | MAP_SHARED;
			fd = s->shared;
			off = i * PAGE;
			break;
		case 'e':
			flags = MAP_FIXED | MAP_SHARED;
			fd = s->shared;
			off = (strlen(s->map) + i) * PAGE;
			break;
		}
		if (is_kind(s->map[i], "zqt"))
			prot = PROT_READ;
		if (mmap(at, n * PAGE, prot, flags, fd, off) != at)
			return false;
		if (is_kind(s->map[i], "wr"))
			fill_pages(at, s->image + i * PAGE, n);
		if (s->map[i] == 'r' && mprotect(at, n * PAGE, PROT_READ))
			return false;
	}
	return true;
}

/* Build the memory that a forked child shares with us. */
static bool build_common(const struct side *s)
{
	size_t i, n;

	for (i = 0; s->map[i]; i += n) {
		void *at = (void *)(s->base + i * PAGE);

		n = run_length(s->map + i);
		if (s->map[i] != 'c')
			continue;
		if (mmap(at, n * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
			return false;
		memcpy(at, s->image + i * PAGE, n * PAGE);
	}
	return true;
}

/* Return: a checksum of our own pages that build_common() made. */
static uint64_t sum_up_common(const struct side *s)
{
	const uint64_t *word;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; s->map[i]; i++) {
		if (s->map[i] != 'c')
			continue;
		word = (const uint64_t *)(s->base + i * PAGE);
		while ((uintptr_t)word < s->base + (i + 1) * PAGE)
			sum = mix(sum + *word++);
	}
	return sum;
}

/* Return: the page of @s that contains @addr, or -1. */
static long page_of(const struct side *s, uint64_t addr)
{
	if (addr < s->base || addr - s->base >= strlen(s->map) * PAGE)
		return -1;
	return (addr - s->base) / PAGE;
}

/* Return: how many of @len bytes at @addr can be accessed. */
static uint64_t reach(const struct side *s, uint64_t addr, uint64_t len, bool write,
		      const bool *present)
{
	uint64_t got = 0;

	while (got < len) {
		long page = page_of(s, addr + got);

		if (page < 0 ||
		    !is_kind(s->map[page], write ? CAN_WRITE : CAN_READ) ||
		    (present && !present[page]))
			break;
		got += PAGE - (addr + got) % PAGE;
	}
	return got < len ? got : len;
}

static unsigned char *image_at(const struct side *s, uint64_t addr)
{
	return s->image + (addr - s->base);
}

/* --- The world --- */

static bool attach_range(struct world *w, uint64_t start, uint64_t length)
{
	close(w->file[RANGED]);
	close(w->file[RANGED_CACHED]);
	w->start = start;
	w->end = start + length;
	w->file[RANGED] = attach(w->dev, w->target, PVMREAD_WRITE, start, length);
	w->file[RANGED_CACHED] = attach(w->dev, w->target, PVMREAD_WRITE | w->cache, start,
					length);
	return w->file[RANGED] >= 0 && w->file[RANGED_CACHED] >= 0;
}

static bool attach_all(struct world *w)
{
	const uint32_t cache = has_feature(w->dev, PVMREAD_FEATURE_CACHE) ? PVMREAD_CACHE : 0;
	const uint32_t flags[FILES] = {
		[PLAIN] = PVMREAD_WRITE,
		[READ_ONLY] = 0,
		[RANGED] = PVMREAD_WRITE,
		[FILE_NOWAIT] = PVMREAD_WRITE | PVMREAD_NOWAIT,
		[FILE_RESIDENT] = PVMREAD_WRITE | PVMREAD_RESIDENT,
		[CACHED] = PVMREAD_WRITE | cache,
		[RANGED_CACHED] = PVMREAD_WRITE | cache,
	};
	int i;

	w->cache = cache;
	for (i = 0; i < FILES; i++) {
		w->file[i] = attach(w->dev, w->target, flags[i], 0, 0);
		if (w->file[i] < 0)
			return false;
	}
	w->start = 0;
	w->end = UINT64_MAX;
	return true;
}

/**
 * start_target() - fork a child that builds its own memory
 * @build: builds the memory
 * @arg: argument of @build
 *
 * Return: its pid once it is ready; 0 on failure.
 */
static pid_t start_target(bool (*build)(void *), void *arg)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe2(ready, O_CLOEXEC))
		return 0;
	pid = fork();
	if (!pid) {
		/* One touch would make a whole huge page present. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
		    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) || !build(arg) ||
		    write(ready[1], "r", 1) != 1)
			_exit(1);
		alarm(LIFETIME_S);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &c, 1) != 1) {
		waitpid(pid, NULL, 0);
		pid = 0;
	}
	close(ready[0]);
	return pid > 0 ? pid : 0;
}

static void stop_target(pid_t *pid)
{
	if (*pid) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static bool build_remote(void *side)
{
	return build_side(side);
}

static bool open_world(struct world *w, const char *lmap, const char *rmap, uint64_t seed)
{
	struct rng rng = { seed };
	char path[40];

	w->local.base = LBASE;
	w->local.image = images[0];
	memcpy(w->local.map, lmap, strlen(lmap) + 1);
	w->remote.base = RBASE;
	w->remote.image = images[1];
	memcpy(w->remote.map, rmap, strlen(rmap) + 1);
	if (!open_side(&w->local, &rng) || !open_side(&w->remote, &rng) ||
	    !build_common(&w->remote))
		goto fail;
	w->common = sum_up_common(&w->remote);
	w->target = start_target(build_remote, &w->remote);
	if (!w->target || !build_side(&w->local))
		goto fail;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", w->target);
	w->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (w->pagemap < 0 || !attach_all(w))
		goto fail;
	w->open = true;
	return true;
fail:
	stop_target(&w->target);
	say("cannot build the memory to test with: %s", strerror(errno));
	return false;
}

static void close_world(struct world *w)
{
	int i;

	if (!w->open)
		return;
	w->open = false;
	stop_target(&w->target);
	for (i = 0; i < FILES; i++)
		close(w->file[i]);
	close(w->pagemap);
	close_side(&w->local);
	close_side(&w->remote);
}

static void *pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* Change a byte of the target and of the model. */
static bool poke(struct world *w, uint64_t addr, unsigned char c)
{
	struct iovec local = { &c, 1 }, remote = { pointer(addr), 1 };

	*image_at(&w->remote, addr) = c;
	return process_vm_writev(w->target, &local, 1, &remote, 1, 0) == 1;
}

static bool look_at_page_tables(struct world *w)
{
	static uint64_t entry[MAX_PAGES];
	size_t n = strlen(w->remote.map), i;

	if (pread(w->pagemap, entry, n * 8, w->remote.base / PAGE * 8) != (ssize_t)(n * 8))
		return false;
	for (i = 0; i < n; i++)
		w->present[i] = entry[i] >> 63;
	return true;
}

/* --- The model --- */

static bool is_resident(const struct plan *p)
{
	return (p->flags & PVMREAD_RESIDENT) || p->file == FILE_RESIDENT;
}

static bool is_ranged(const struct plan *p)
{
	return p->file == RANGED || p->file == RANGED_CACHED;
}

static bool is_cached(const struct world *w, const struct plan *p)
{
	return w->cache && (p->file == CACHED || p->file == RANGED_CACHED);
}

/*
 * The remote address of @seg without arm64's tag in the top byte. In a ranged file the tag
 * stays: the module compares the whole address with the range.
 */
static uint64_t remote_of(const struct plan *p, const struct pvmread_segment *seg)
{
#ifdef __aarch64__
	if (!is_ranged(p) && !(seg->remote >> 55 & 1))
		return seg->remote << 8 >> 8;
#endif
	(void)p;
	return seg->remote;
}

static struct verdict predict(const struct world *w, const struct plan *p,
			      const struct pvmread_segment *seg)
{
	bool write = p->flags & PVMREAD_WRITE;
	uint64_t len = seg->length, remote = remote_of(p, seg), ranged, l, r;
	struct verdict v = { 0, 1U << 0 };
	const unsigned char *nul;

	if (seg->flags & ~PVMREAD_SEGMENT_STRING || (seg->flags && write)) {
		v.errors = 1U << EINVAL;
		return v;
	}
	if (len > MAX_RW_COUNT)
		len = MAX_RW_COUNT;
	ranged = len;
	if (is_ranged(p)) {
		if (seg->remote < w->start || seg->remote >= w->end)
			ranged = 0;
		else if (ranged > w->end - seg->remote)
			ranged = w->end - seg->remote;
	}
	r = reach(&w->remote, remote, ranged, write,
		  is_resident(p) ? w->present : NULL);
	l = reach(&w->local, seg->local, len, !write, NULL);
	v.done = min3(len, l, r);
	if (seg->flags && v.done) {
		nul = memchr(image_at(&w->remote, remote), 0, v.done);
		if (nul) {
			v.done = nul + 1 - image_at(&w->remote, remote);
			return v;
		}
	}
	if (v.done == len)
		return v;
	v.errors = (r == v.done ? 1U << EIO : 0) | (l == v.done ? 1U << EFAULT : 0);
	return v;
}

static void apply(struct world *w, const struct plan *p, const struct pvmread_segment *seg,
		  uint64_t done)
{
	unsigned char *l = image_at(&w->local, seg->local);
	unsigned char *r = image_at(&w->remote, remote_of(p, seg));

	if (!done)
		return;
	if (p->flags & PVMREAD_WRITE)
		memcpy(r, l, done);
	else
		memcpy(l, r, done);
}

static void run_model(struct world *w, const struct plan *p)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		want[i] = predict(w, p, &p->seg[i]);
		apply(w, p, &p->seg[i], want[i].done);
		if ((p->flags & PVMREAD_STOP) && want[i].errors != 1U << 0) {
			i++;
			break;
		}
	}
	w->completed = i;
}

/* --- The kernel, compared with the model --- */

/**
 * send_batch_at() - the ioctl
 * @fd: target file
 * @flags: of the batch
 * @array: address of the segments, any value
 * @count: number of segments
 * @completed: set to the kernel's @completed
 *
 * Return: 0 or the errno.
 */
static int send_batch_at(int fd, uint32_t flags, uint64_t array, uint64_t count,
			 uint64_t *completed)
{
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = flags,
		.segments = array,
		.count = count,
		.completed = NO_DONE,
	};
	int err = ioctl(fd, PVMREAD_IOC_BATCH, &batch) ? errno : 0;

	*completed = batch.completed;
	return err;
}

static int send_batch(int fd, uint32_t flags, const void *array, uint64_t count,
		      uint64_t *completed)
{
	return send_batch_at(fd, flags, (uintptr_t)array, count, completed);
}

static void say_plan(const struct plan *p, size_t from, size_t to)
{
	static const char * const name[FILES] = {
		"plain", "read-only", "ranged", "attached NOWAIT", "attached RESIDENT", "cached",
		"ranged cached"
	};

	say("%s file,%s%s%s%s %zu segments, done and errors are those wanted:", name[p->file],
	    p->flags & PVMREAD_WRITE ? " WRITE" : "", p->flags & PVMREAD_STOP ? " STOP" : "",
	    p->flags & PVMREAD_NOWAIT ? " NOWAIT" : "",
	    p->flags & PVMREAD_RESIDENT ? " RESIDENT" : "", p->count);
	for (; from < to && from < p->count; from++)
		say("  %4zu: remote %#llx local %#llx length %#llx flags %#x; done %llu errors %#x",
		    from, (unsigned long long)p->seg[from].remote,
		    (unsigned long long)p->seg[from].local,
		    (unsigned long long)p->seg[from].length, p->seg[from].flags,
		    (unsigned long long)want[from].done, want[from].errors);
}

static bool same_bytes(const char *what, uintptr_t at, const unsigned char *got,
		       const unsigned char *image, size_t len)
{
	size_t i = 0;

	if (!memcmp(got, image, len))
		return true;
	while (got[i] == image[i])
		i++;
	say("%s at %#zx is %02x, not %02x", what, at + i, got[i], image[i]);
	return false;
}

static bool same_arena(const struct world *w)
{
	size_t i, n;

	for (i = 0; w->local.map[i]; i += n) {
		uintptr_t at = w->local.base + i * PAGE;

		n = strspn(w->local.map + i, CAN_READ);
		if (n && !same_bytes("the arena", at, (void *)at, w->local.image + i * PAGE,
				     n * PAGE))
			return false;
		if (!n)
			n = strcspn(w->local.map + i, CAN_READ);
	}
	return true;
}

/* process_vm_readv(2) of one piece into scratch. */
static ssize_t oracle(const struct world *w, uint64_t addr, size_t len)
{
	struct iovec local = { scratch, len }, remote = { pointer(addr), len };

	/* A 32-bit process cannot ask for this address, and a 32-bit target has nothing there. */
	if ((uintptr_t)addr != addr)
		return -1;
	return process_vm_readv(w->target, &local, 1, &remote, 1, 0);
}

/*
 * Compare the target's memory. Without @all, skip pages that are not in its page
 * tables: reading would fault them in, and RESIDENT would find no page missing.
 */
static bool same_target(struct world *w, bool all)
{
	const char *map = w->remote.map;
	size_t i;

	if (!look_at_page_tables(w))
		return false;
	for (i = 0; map[i]; i++) {
		uintptr_t at = w->remote.base + i * PAGE;

		if (!is_kind(map[i], CAN_READ) || (!all && !w->present[i]))
			continue;
		if (oracle(w, at, PAGE) != (ssize_t)PAGE) {
			say("process_vm_readv cannot read %#zx", (size_t)at);
			return false;
		}
		if (!same_bytes("the target", at, scratch, w->remote.image + i * PAGE, PAGE))
			return false;
	}
	if (all && w->common != sum_up_common(&w->remote)) {
		say("a write to the target also changed its parent's memory");
		return false;
	}
	return true;
}

/* Does process_vm_readv(2) agree with the model? */
static bool same_oracle(const struct world *w, const struct plan *p)
{
	size_t i;

	if (p->flags & PVMREAD_WRITE)
		return true;
	for (i = 0; i < w->completed; i++) {
		const struct pvmread_segment *seg = &p->seg[i];
		uint64_t done = want[i].done;

		if (done && oracle(w, seg->remote, done) != (ssize_t)done) {
			say("process_vm_readv does not read segment %zu", i);
			return false;
		}
		if (done && !same_bytes("process_vm_readv: the target", seg->remote, scratch,
					image_at(&w->remote, remote_of(p, seg)), done))
			return false;
		if (want[i].errors == 1U << EIO && !is_ranged(p) && !is_resident(p) &&
		    oracle(w, seg->remote + done, 1) != -1) {
			say("process_vm_readv reads past the end of segment %zu", i);
			return false;
		}
	}
	return true;
}

static bool same_result(const struct plan *p, const struct pvmread_segment *array, size_t i,
			bool has_result)
{
	struct pvmread_segment got, expect = p->seg[i];

	/* The array may be misaligned. */
	memcpy(&got, &array[i], sizeof(got));
	expect.done = has_result ? want[i].done : NO_DONE;
	expect.error = NO_ERROR;
	if (has_result && got.error < 32 && (want[i].errors & 1U << got.error))
		expect.error = got.error;
	if (!memcmp(&got, &expect, sizeof(got)))
		return true;
	say("segment %zu, %s: done %llu error %u%s", i,
	    has_result ? "completed" : "not completed", (unsigned long long)got.done, got.error,
	    got.remote != expect.remote || got.local != expect.local ||
	    got.length != expect.length || got.flags != expect.flags ?
	    ", and its in fields were changed" : "");
	say_plan(p, i, i + 1);
	return false;
}

static struct pvmread_segment *place(const struct plan *p)
{
	struct pvmread_segment *array = (void *)(VEND - p->gap - p->count * sizeof(*array));
	struct pvmread_segment seg;
	size_t i;

	for (i = 0; i < p->count; i++) {
		seg = p->seg[i];
		seg.done = NO_DONE;
		seg.error = NO_ERROR;
		memcpy(&array[i], &seg, sizeof(seg));
	}
	return array;
}

/**
 * agree() - send a request and compare all its results with the model
 * @w: the world
 * @p: the request
 *
 * Return: true, or false after saying what differs.
 */
static bool agree(struct world *w, const struct plan *p)
{
	struct pvmread_segment *array = place(p);
	uint64_t completed;
	size_t i;
	int err;

	if (!look_at_page_tables(w))
		return false;
	run_model(w, p);
	err = send_batch(w->file[p->file], p->flags, array, p->count, &completed);
	if (err || completed != w->completed) {
		say("errno %d, completed %llu, wanted 0 and %zu", err,
		    (unsigned long long)completed, w->completed);
		say_plan(p, 0, 50);
		return false;
	}
	for (i = 0; i < p->count; i++)
		if (!same_result(p, array, i, i < w->completed))
			return false;
	if (same_arena(w) && (!(p->flags & PVMREAD_WRITE) || same_target(w, false)))
		return true;
	say_plan(p, 0, 50);
	return false;
}

static struct pvmread_segment piece(uint64_t remote, uint64_t local, uint64_t length,
				    uint32_t flags)
{
	return (struct pvmread_segment){
		.remote = remote,
		.local = local,
		.length = length,
		.flags = flags,
	};
}

/* Is this the model's result for the segment? A check of the model itself. */
static bool wanted(size_t i, uint64_t done, int error)
{
	if (want[i].done == done && want[i].errors == 1U << error)
		return true;
	say("the model wants done %llu errors %#x of segment %zu, not done %llu and %d",
	    (unsigned long long)want[i].done, want[i].errors, i, (unsigned long long)done, error);
	return false;
}

static void make_uniform(char *map, size_t n, char kind)
{
	memset(map, kind, n);
	map[n] = '\0';
}

/* --- The tests --- */

FIXTURE(batch) {
	char lmap[MAX_PAGES + 1];
	char rmap[MAX_PAGES + 1];
};

FIXTURE_SETUP(batch)
{
	world.dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, world.dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	ASSERT_EQ((void *)VBASE, mmap((void *)VBASE, VEC_SIZE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	memset(&plan, 0, sizeof(plan));
}

FIXTURE_TEARDOWN(batch)
{
	close_world(&world);
	close(world.dev);
}

TEST_F(batch, info_reports_the_limits_of_a_batch)
{
	struct pvmread_info info = { .size = sizeof(info) };

	ASSERT_EQ(0, ioctl(world.dev, PVMREAD_IOC_INFO, &info));
	EXPECT_EQ(MAX_BATCH, info.max_batch);
	EXPECT_EQ(MAX_RW_COUNT, info.max_bytes);
	EXPECT_TRUE(info.features & PVMREAD_FEATURE_BATCH);
}

/* 8 bytes each, scattered over the target's pages, contiguous in the arena. */
static void make_small(struct plan *p, size_t count, size_t remote_pages)
{
	size_t i;

	p->count = count;
	for (i = 0; i < count; i++)
		p->seg[i] = piece(RBASE + i * 24 % (remote_pages * PAGE - 8), LBASE + i * 8, 8, 0);
}

TEST_F(batch, every_count_up_to_max_batch_works)
{
	static const size_t counts[] = { 0, 1, 2, 15, 16, 17, 31, 32, 33, 1000, MAX_BATCH };
	size_t i, j;

	make_uniform(self->lmap, MAX_BATCH * 8 / PAGE, 'w');
	ASSERT_TRUE(open_world(&world, self->lmap, "wwwwwwwwwwwwwwww", 1));
	for (plan.flags = 0; plan.flags <= PVMREAD_WRITE; plan.flags += PVMREAD_WRITE) {
		for (i = 0; i < ARRAY_SIZE(counts); i++) {
			make_small(&plan, counts[i], 16);
			ASSERT_TRUE(agree(&world, &plan)) {
				TH_LOG("%zu segments", counts[i]);
			}
			for (j = 0; j < counts[i]; j++)
				ASSERT_TRUE(wanted(j, 8, 0));
			ASSERT_TRUE(same_oracle(&world, &plan));
		}
	}
}

TEST_F(batch, counts_over_max_batch_are_einval_and_move_nothing)
{
	static const uint64_t counts[] = {
		MAX_BATCH + 1, 1ULL << 31, 1ULL << 32, (1ULL << 32) + 1,
		UINT64_MAX / sizeof(struct pvmread_segment) + 2, 1ULL << 63, UINT64_MAX,
	};
	struct pvmread_segment *array;
	uint64_t completed;
	size_t i, j;

	ASSERT_TRUE(open_world(&world, "wwwwwwww", "wwww", 2));
	make_small(&plan, 1000, 4);
	plan.gap = VEC_SIZE - plan.count * sizeof(*array);
	array = place(&plan);
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		EXPECT_EQ(EINVAL, send_batch(world.file[PLAIN], 0, array, counts[i],
					     &completed));
		EXPECT_EQ(0, completed);
		for (j = 0; j < plan.count; j++)
			ASSERT_TRUE(same_result(&plan, array, j, false));
		ASSERT_TRUE(same_arena(&world));
	}
	/* The array was good: only the count was wrong. */
	plan.gap = 0;
	EXPECT_TRUE(agree(&world, &plan));
}

TEST_F(batch, size_tail_and_flags_are_checked)
{
	struct {
		struct pvmread_batch batch;
		uint64_t tail;
	} arg;
	static const uint32_t unknown[] = { PVMREAD_PIDFD, 1U << 5, 1U << 31, ~0U };
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 3));
	make_small(&plan, 3, 2);
	arg.tail = 0;
	arg.batch = (struct pvmread_batch){
		.size = sizeof(arg),
		.segments = (uintptr_t)place(&plan),
		.count = 3,
	};
	EXPECT_EQ(0, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, &arg));
	EXPECT_EQ(3, arg.batch.completed);
	arg.tail = 1;
	EXPECT_EQ(-1, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, &arg));
	EXPECT_EQ(E2BIG, errno);
	arg.batch.size = sizeof(arg.batch) - 1;
	EXPECT_EQ(-1, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, &arg));
	EXPECT_EQ(EINVAL, errno);
	arg.batch.size = sizeof(arg.batch);
	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		arg.batch.flags = unknown[i];
		EXPECT_EQ(-1, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, &arg));
		EXPECT_EQ(EINVAL, errno);
	}
	arg.batch.flags = 0;
	/* BATCH is a command of target files only, and READV of the device only. */
	EXPECT_EQ(-1, ioctl(world.dev, PVMREAD_IOC_BATCH, &arg));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(world.file[PLAIN], PVMREAD_IOC_READV, &arg));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(0, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, &arg));
}

TEST_F(batch, unwritable_struct_moves_nothing)
{
	struct pvmread_batch *batch = (void *)(XBASE + PAGE - 16);
	unsigned char *pages = (void *)XBASE;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 4));
	make_small(&plan, 3, 2);
	ASSERT_EQ(pages, mmap(pages, 2 * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	*batch = (struct pvmread_batch){
		.size = sizeof(*batch),
		.segments = (uintptr_t)place(&plan),
		.count = 3,
	};
	/* @completed lies in the second page. */
	ASSERT_EQ(0, mprotect(pages + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(-1, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, batch));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(same_arena(&world));
	ASSERT_EQ(0, munmap(pages + PAGE, PAGE));
	EXPECT_EQ(-1, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, batch));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(same_arena(&world));
	munmap(pages, PAGE);
}

/* A request with two errors fails with the one that the header lists first. */
TEST_F(batch, errno_follows_the_order_of_the_checks)
{
	void *nowhere = (void *)VEND;
	uint64_t completed;
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 5));
	EXPECT_EQ(EFAULT, send_batch(world.file[PLAIN], 0, nowhere, 1, &completed));
	EXPECT_EQ(0, completed);
	EXPECT_EQ(0, send_batch(world.file[PLAIN], 0, nowhere, 0, &completed));
	EXPECT_EQ(0, completed);
	EXPECT_EQ(EBADF, send_batch(world.file[READ_ONLY], PVMREAD_WRITE, nowhere, MAX_BATCH + 1,
				    &completed));
	EXPECT_EQ(0, completed);
	EXPECT_EQ(EBADF, send_batch(world.file[READ_ONLY], PVMREAD_WRITE, nowhere, 0,
				    &completed));
	stop_target(&world.target);
	for (i = 0; i < FILES; i++) {
		EXPECT_EQ(ESRCH, send_batch(world.file[i], 0, nowhere, 1, &completed));
		EXPECT_EQ(0, completed);
		EXPECT_EQ(ESRCH, send_batch(world.file[i], 0, nowhere, 0, &completed));
		EXPECT_EQ(EINVAL, send_batch(world.file[i], 0, nowhere, MAX_BATCH + 1,
					     &completed));
	}
	EXPECT_EQ(EBADF, send_batch(world.file[READ_ONLY], PVMREAD_WRITE, nowhere, 1,
				    &completed));
	EXPECT_EQ(ESRCH, send_batch(world.file[PLAIN], PVMREAD_WRITE, nowhere, 1, &completed));
}

TEST_F(batch, write_through_a_read_only_file_is_ebadf)
{
	struct pvmread_segment *array;
	uint64_t completed;
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 6));
	make_small(&plan, 20, 2);
	plan.file = READ_ONLY;
	array = place(&plan);
	EXPECT_EQ(EBADF, send_batch(world.file[READ_ONLY], PVMREAD_WRITE, array, 20, &completed));
	EXPECT_EQ(0, completed);
	for (i = 0; i < plan.count; i++)
		ASSERT_TRUE(same_result(&plan, array, i, false));
	EXPECT_TRUE(same_target(&world, true));
	EXPECT_TRUE(agree(&world, &plan));
}

/* Try each kind of bad segment at each place among 40. */
TEST_F(batch, bad_segment_gets_errno_and_only_stop_ends_the_batch)
{
	static const struct {
		struct pvmread_segment seg;
		uint64_t done;
		int error;
	} bad[] = {
		{ { .remote = RBASE + 2 * PAGE + 5, .local = LBASE, .length = 8 }, 0, EIO },
		{ { .remote = RBASE + 2 * PAGE - 3, .local = LBASE, .length = 8 }, 3, EIO },
		{ { .remote = RBASE, .local = LBASE + 2 * PAGE, .length = 8 }, 0, EFAULT },
		{ { .remote = RBASE, .local = LBASE + 2 * PAGE - 5, .length = 8 }, 5, EFAULT },
		{ { .remote = RBASE, .local = LBASE, .length = 8, .flags = 2 }, 0, EINVAL },
		{ { .remote = KERNEL_ADDR, .local = LBASE, .length = 8 }, 0, EIO },
		{ { .remote = RBASE, .local = KERNEL_ADDR, .length = 8 }, 0, EFAULT },
	};
	size_t i, k;

	ASSERT_TRUE(open_world(&world, "ww.w", "ww.w", 7));
	for (plan.flags = 0; plan.flags < 2 * PVMREAD_STOP; plan.flags += PVMREAD_WRITE) {
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			for (k = 0; k < 40; k++) {
				make_small(&plan, 40, 2);
				plan.seg[k] = bad[i].seg;
				ASSERT_TRUE(agree(&world, &plan)) {
					TH_LOG("row %zu at %zu", i, k);
				}
				ASSERT_TRUE(wanted(k, bad[i].done, bad[i].error));
				if (!(plan.flags & PVMREAD_STOP))
					ASSERT_TRUE(wanted(39, k == 39 ? bad[i].done : 8,
							   k == 39 ? bad[i].error : 0));
			}
		}
	}
	EXPECT_TRUE(same_target(&world, true));
}

TEST_F(batch, order_of_addresses_does_not_matter)
{
	enum { SAME, UP, DOWN, NEIGHBOURS, SHUFFLED, PING_PONG, CROSSING, ORDERS };
	const size_t count = 1000;
	struct rng rng = { 8 };
	size_t order, i;

	make_uniform(self->lmap, count * 8 / PAGE + 1, 'w');
	make_uniform(self->rmap, 64, 'w');
	ASSERT_TRUE(open_world(&world, self->lmap, self->rmap, 8));
	for (plan.flags = 0; plan.flags <= 15; plan.flags++) {
		if (plan.flags & PVMREAD_PIDFD)
			continue;
		for (order = 0; order < ORDERS; order++) {
			make_small(&plan, count, 64);
			for (i = 0; i < count; i++) {
				uint64_t at = i * 256;

				switch (order) {
				case SAME:
					at = 3 * PAGE + i % 7;
					break;
				case DOWN:
					at = (count - 1 - i) * 256;
					break;
				case NEIGHBOURS:
					at = PAGE / 2 + i * 8;
					break;
				case SHUFFLED:
					at = below(&rng, 64 * PAGE - 8);
					break;
				case PING_PONG:
					at = i % 2 ? 10 : 63 * PAGE - 4;
					break;
				case CROSSING:
					at = (1 + i / 8 % 63) * PAGE - i % 8;
					break;
				}
				plan.seg[i].remote = RBASE + at;
			}
			ASSERT_TRUE(agree(&world, &plan)) {
				TH_LOG("order %zu, flags %u", order, plan.flags);
			}
			ASSERT_TRUE(wanted(0, 8, 0));
			ASSERT_TRUE(wanted(count - 1, 8, 0));
			ASSERT_TRUE(same_oracle(&world, &plan));
		}
	}
	EXPECT_TRUE(same_target(&world, true));
}

TEST_F(batch, segment_of_any_length_moves_whole_or_up_to_a_hole)
{
	const size_t pages = 1300, hole = 1200;
	static const size_t lengths[] = {
		1, PAGE - 1, PAGE, PAGE + 1, 15 * PAGE, MOST - 1, MOST, MOST + 1,
		17 * PAGE, 33 * PAGE + 77, 1023 * PAGE, 1024 * PAGE, 1024 * PAGE + 1,
		1100 * PAGE, 1199 * PAGE, 1200 * PAGE, 1201 * PAGE, 1300 * PAGE,
	};
	static const size_t offsets[] = { 0, 1, PAGE - 1, PAGE + 904 };
	size_t i, j, expect;

	make_uniform(self->lmap, pages + 2, 'w');
	make_uniform(self->rmap, pages, 'w');
	self->rmap[hole] = '.';
	ASSERT_TRUE(open_world(&world, self->lmap, self->rmap, 9));
	for (plan.flags = 0; plan.flags <= 15; plan.flags++) {
		if (plan.flags & PVMREAD_PIDFD)
			continue;
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			j = (i + plan.flags) % ARRAY_SIZE(offsets);
			/* Add small segments around it: pages stay held between segments. */
			plan.count = 3;
			plan.seg[0] = piece(RBASE + offsets[j], LBASE, 9, 0);
			plan.seg[1] = piece(RBASE + offsets[j], LBASE + 9, lengths[i], 0);
			plan.seg[2] = piece(RBASE + offsets[j] + lengths[i] - 1, LBASE, 1, 0);
			ASSERT_TRUE(agree(&world, &plan)) {
				TH_LOG("length %zu at %zu, flags %u", lengths[i], offsets[j],
				       plan.flags);
			}
			expect = hole * PAGE - offsets[j];
			ASSERT_TRUE(wanted(1, lengths[i] <= expect ? lengths[i] : expect,
					   lengths[i] <= expect ? 0 : EIO));
		}
		/* All of them in one batch. */
		plan.count = ARRAY_SIZE(lengths);
		for (i = 0; i < ARRAY_SIZE(lengths); i++)
			plan.seg[i] = piece(RBASE + 3 * i, LBASE + i, lengths[i], 0);
		ASSERT_TRUE(agree(&world, &plan));
	}
	EXPECT_TRUE(same_target(&world, true));
}

/* A segment, and its expected results when read and when written. */
struct row {
	const char *name;
	struct pvmread_segment seg;
	uint64_t done;
	int error;
};

#define R(off, loc, len)	{ .remote = RBASE + (off), .local = LBASE + (loc), .length = (len) }
#define FAR(rem, loc, len)	{ .remote = (rem), .local = (loc), .length = (len) }

/* Over the maps "www.ww-e" (arena) and "www.ww" (target). */
static const struct row odd_rows[] = {
	{ "length 0", R(0, 0, 0), 0, 0 },
	{ "length 0 in holes", R(3 * PAGE, 3 * PAGE, 0), 0, 0 },
	{ "length 0 in kernel memory", FAR(KERNEL_ADDR, KERNEL_ADDR, 0), 0, 0 },
	{ "length 0 at the end of the world", FAR(UINT64_MAX, UINT64_MAX, 0), 0, 0 },
	{ "length 2^31", R(100, 0, 1ULL << 31), 3 * PAGE - 100, EIO },
	{ "length 2^32", R(100, 0, 1ULL << 32), 3 * PAGE - 100, EIO },
	{ "length 2^32 + 8", R(100, 0, (1ULL << 32) + 8), 3 * PAGE - 100, EIO },
	{ "length 2^63 - 1", R(100, 0, INT64_MAX), 3 * PAGE - 100, EIO },
	{ "length 2^63", R(100, 0, 1ULL << 63), 3 * PAGE - 100, EIO },
	{ "length U64_MAX", R(100, 0, UINT64_MAX), 3 * PAGE - 100, EIO },
	{ "length U64_MAX, target's end wraps to itself", R(1, 0, UINT64_MAX), 3 * PAGE - 1, EIO },
	{ "length 2^63, arena ends", R(0, 5, 1ULL << 63), 3 * PAGE - 5, EFAULT },
	{ "length U64_MAX, arena ends", R(0, 100, UINT64_MAX), 3 * PAGE - 100, EFAULT },
	{ "remote hole", R(3 * PAGE, 0, 10), 0, EIO },
	{ "remote hole, last byte", R(4 * PAGE - 1, 0, 10), 0, EIO },
	{ "into a remote hole", R(3 * PAGE - 1, 0, 10), 1, EIO },
	{ "over a remote hole", R(2 * PAGE, 0, 3 * PAGE), PAGE, EIO },
	{ "out of the last mapping", R(6 * PAGE - 9, 0, 10), 9, EIO },
	{ "remote kernel memory", FAR(KERNEL_ADDR, LBASE, 10), 0, EIO },
	{ "remote non-canonical", FAR(ODD_ADDR, LBASE, 10), 0, EIO },
	{ "remote address 0", FAR(0, LBASE, 10), 0, EIO },
	{ "remote wraps", FAR(UINT64_MAX - 4, LBASE, 10), 0, EIO },
	{ "remote wraps into the target's memory",
	  FAR(UINT64_MAX - PAGE + 1, LBASE, RBASE + 2 * PAGE), 0, EIO },
	{ "remote end is 2^64", FAR(UINT64_MAX - 9, LBASE, 10), 0, EIO },
	{ "remote last address", FAR(UINT64_MAX, LBASE, 1), 0, EIO },
	{ "local hole", R(0, 3 * PAGE, 10), 0, EFAULT },
	{ "into a local hole", R(0, 3 * PAGE - 4, 10), 4, EFAULT },
	{ "into a local hole, page-wise", R(0, 2 * PAGE, 2 * PAGE), PAGE, EFAULT },
	{ "into a local hole, both unaligned", R(50, PAGE + 13, 3 * PAGE - 50), 2 * PAGE - 13,
	  EFAULT },
	{ "local PROT_NONE", R(0, 6 * PAGE, 10), 0, EFAULT },
	{ "into local PROT_NONE", R(0, 6 * PAGE - 2, 10), 2, EFAULT },
	{ "local past the end of a file", R(0, 7 * PAGE, 10), 0, EFAULT },
	{ "local kernel memory", FAR(RBASE, KERNEL_ADDR, 10), 0, EFAULT },
	{ "local non-canonical", FAR(RBASE, ODD_ADDR, 10), 0, EFAULT },
	{ "local address 0", FAR(RBASE, 0, 10), 0, EFAULT },
	{ "local wraps", FAR(RBASE, UINT64_MAX - 4, 10), 0, EFAULT },
	{ "local end is 2^64", FAR(RBASE, UINT64_MAX - 9, 10), 0, EFAULT },
	{ "local wraps into the arena", FAR(RBASE, UINT64_MAX - PAGE + 1, 2 * PAGE), 0, EFAULT },
	{ "remote ends before local", R(3 * PAGE - 10, 3 * PAGE - 20, 100), 10, EIO },
	{ "local ends before remote", R(3 * PAGE - 20, 3 * PAGE - 10, 100), 10, EFAULT },
};

/* Try each row alone, then all in one batch. */
static bool try_rows(struct world *w, struct plan *p, const struct row *row, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		p->count = 1;
		p->seg[0] = row[i].seg;
		if (!agree(w, p) || !wanted(0, row[i].done, row[i].error) ||
		    !same_oracle(w, p)) {
			say("row \"%s\"", row[i].name);
			return false;
		}
	}
	p->count = n;
	for (i = 0; i < n; i++)
		p->seg[i] = row[i].seg;
	return agree(w, p);
}

TEST_F(batch, odd_addresses_and_lengths_affect_only_their_segment)
{
	ASSERT_TRUE(open_world(&world, "www.ww-e", "www.ww", 10));
	for (plan.file = PLAIN; plan.file < FILES; plan.file++) {
		for (plan.flags = 0; plan.flags <= 15; plan.flags++) {
			if (plan.flags & PVMREAD_PIDFD ||
			    (plan.flags & PVMREAD_WRITE && plan.file == READ_ONLY))
				continue;
			ASSERT_TRUE(try_rows(&world, &plan, odd_rows, ARRAY_SIZE(odd_rows))) {
				TH_LOG("file %d, flags %u", plan.file, plan.flags);
			}
		}
	}
	EXPECT_TRUE(same_target(&world, true));
}

/*
 * The target's map is "wrqtz-e". BATCH must not write to a read-only page: the private
 * file's page also belongs to other processes.
 */
TEST_F(batch, target_mapping_protection_is_enforced)
{
	static const struct {
		const char *name;
		int read;
		int write;
	} row[] = {
		{ "read-write", 0, 0 },
		{ "read-only", 0, EIO },
		{ "private file, read-only", 0, EIO },
		{ "shared file, read-only", 0, EIO },
		{ "untouched, read-only", 0, EIO },
		{ "PROT_NONE", EIO, EIO },
		{ "past the end of the file", EIO, EIO },
	};
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "wrqtz-e", 11));
	for (plan.flags = 0; plan.flags <= PVMREAD_WRITE; plan.flags += PVMREAD_WRITE) {
		plan.count = ARRAY_SIZE(row);
		for (i = 0; i < ARRAY_SIZE(row); i++)
			plan.seg[i] = piece(RBASE + i * PAGE + 8, LBASE + i * 16, 16, 0);
		ASSERT_TRUE(agree(&world, &plan));
		for (i = 0; i < ARRAY_SIZE(row); i++) {
			int error = plan.flags ? row[i].write : row[i].read;

			EXPECT_TRUE(wanted(i, error ? 0 : 16, error)) {
				TH_LOG("%s", row[i].name);
			}
		}
	}
	EXPECT_TRUE(same_target(&world, true));
}

TEST_F(batch, unknown_segment_flag_fails_that_segment_alone)
{
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 12));
	for (plan.flags = 0; plan.flags <= PVMREAD_WRITE; plan.flags += PVMREAD_WRITE) {
		plan.count = 66;
		for (i = 0; i < 32; i++) {
			/* The first flag, STRING, is unknown only with WRITE. */
			plan.seg[2 * i] = piece(RBASE + i, LBASE + 64 * i, 10, 1U << i);
			plan.seg[2 * i + 1] = piece(RBASE + i, LBASE + 64 * i + 20, 10, 0);
		}
		/* Empty segments also get EINVAL, and so do segments that would fail anyway. */
		plan.seg[64] = piece(RBASE, LBASE, 0, 1U << 17);
		plan.seg[65] = piece(KERNEL_ADDR, KERNEL_ADDR, 10, 3);
		ASSERT_TRUE(agree(&world, &plan));
		for (i = 0; i < 32; i++) {
			if (i || plan.flags)
				EXPECT_TRUE(wanted(2 * i, 0, EINVAL));
			EXPECT_TRUE(wanted(2 * i + 1, 10, 0));
		}
		EXPECT_TRUE(wanted(64, 0, EINVAL));
		EXPECT_TRUE(wanted(65, 0, EINVAL));
	}
	EXPECT_TRUE(same_target(&world, true));
}

TEST_F(batch, nothing_outside_the_attached_range_is_moved)
{
	static const struct {
		uint64_t from, len;
	} range[] = {
		{ 0, PAGE }, { 0, 1 }, { PAGE, 2 * PAGE }, { PAGE + 100, 50 },
		{ 2 * PAGE - 7, 14 }, { 2 * PAGE - 1, 1 }, { 10, 4 * PAGE - 20 },
		{ 3 * PAGE - 10, 100 },
	};
	static const uint64_t lengths[] = { 0, 1, 2, 60, PAGE, 2 * PAGE + 3, UINT64_MAX };
	uint64_t local;
	size_t i, j, n;
	long k;

	ASSERT_TRUE(open_world(&world, "wwwwww", "wwww.w", 13));
	plan.file = RANGED;
	for (i = 0; i < ARRAY_SIZE(range); i++) {
		ASSERT_TRUE(attach_range(&world, RBASE + range[i].from, range[i].len));
		for (plan.flags = 0; plan.flags <= 15; plan.flags++) {
			if (plan.flags & PVMREAD_PIDFD)
				continue;
			n = 0;
			/* Start and end segments near the ends of the range. */
			for (j = 0; j < ARRAY_SIZE(lengths); j++) {
				for (k = -2; k <= 2; k++) {
					local = LBASE + 8 * n;
					plan.seg[n++] = piece(world.start + k, local,
							      lengths[j], 0);
					plan.seg[n++] = piece(world.end + k, local + 1,
							      lengths[j], 0);
					plan.seg[n++] = piece(world.start + k - lengths[j],
							      local + 2, lengths[j], 0);
				}
				plan.seg[n++] = piece(world.start - PAGE, LBASE, lengths[j], 0);
				plan.seg[n++] = piece(world.end + PAGE, LBASE, lengths[j], 0);
			}
			plan.count = n;
			ASSERT_TRUE(agree(&world, &plan)) {
				TH_LOG("range %zu, flags %u", i, plan.flags);
			}
			plan.count = 3;
			plan.seg[0] = piece(world.start - 1, LBASE, 2, 0);
			plan.seg[1] = piece(world.end - 1, LBASE, 2, 0);
			plan.seg[2] = piece(world.start, LBASE, 1, 0);
			ASSERT_TRUE(agree(&world, &plan));
			ASSERT_TRUE(wanted(0, 0, EIO));
			ASSERT_TRUE(wanted(1, 1, EIO));
			ASSERT_TRUE(wanted(2, 1, 0));
		}
	}
	EXPECT_TRUE(same_target(&world, true));
}

/* Map one side of a segment of more than 2 GiB. */
static bool map_filled_chunks(void *at)
{
	size_t i;

	if (!map_chunks(at))
		return false;
	for (i = 0; i < CHUNK; i += sizeof(uint64_t))
		*(uint64_t *)((char *)at + i) = mix(i + (uintptr_t)at);
	return true;
}

TEST_F(batch, segment_is_cut_at_max_rw_count)
{
	struct pvmread_segment seg[2] = {
		{ .remote = XBASE, .local = YBASE, .length = 1ULL << 63 },
		{ .remote = XBASE + 8, .local = YBASE, .length = 8 },
	};
	char *local = pointer(YBASE);
	uint64_t completed;
	pid_t pid;
	int fd;

	if (sizeof(void *) < 8)
		SKIP(return, "32-bit processes have no room for 2 GiB twice");
	pid = start_target(map_filled_chunks, (void *)XBASE);
	ASSERT_NE(0, pid);
	fd = attach(world.dev, pid, 0, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(map_filled_chunks(local));
	/* STOP ends the batch at a segment that was cut. */
	EXPECT_EQ(0, send_batch(fd, PVMREAD_STOP, seg, 2, &completed));
	EXPECT_EQ(1, completed);
	EXPECT_EQ(MAX_RW_COUNT, seg[0].done);
	EXPECT_EQ(0, seg[0].error);
	EXPECT_EQ(0, send_batch(fd, 0, seg, 2, &completed));
	stop_target(&pid);
	EXPECT_EQ(2, completed);
	EXPECT_EQ(MAX_RW_COUNT, seg[0].done);
	EXPECT_EQ(0, seg[0].error);
	EXPECT_EQ(8, seg[1].done);
	EXPECT_EQ(0, seg[1].error);
	/* The second segment has overwritten the first 8 bytes of the first one. */
	EXPECT_EQ(mix(XBASE + 8), *(uint64_t *)local);
	EXPECT_EQ(mix(XBASE + 16), *(uint64_t *)(local + 16));
	EXPECT_EQ(mix(XBASE + CHUNK - 8), *(uint64_t *)(local + CHUNK - 8));
	munmap(local, CHUNK * CHUNKS);
	close(fd);
}

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

/* Send a batch while a timer raises signals, the first one after @us. */
static int send_beside_signals(int fd, struct pvmread_segment *seg, size_t count, long us,
			       uint64_t *completed)
{
	const struct itimerval often = {
		.it_value.tv_usec = us,
		.it_interval.tv_usec = us,
	};
	int ret;

	signal(SIGALRM, count_signal);
	if (setitimer(ITIMER_REAL, &often, NULL))
		return -1;
	ret = send_batch(fd, 0, seg, count, completed);
	setitimer(ITIMER_REAL, &(struct itimerval){}, NULL);
	say("%llu segments, %d signals", (unsigned long long)*completed, (int)signals);
	return ret;
}

/* The module reads all 12 segments from the array at once. */
TEST_F(batch, signal_ends_a_batch_that_moved_max_rw_count)
{
	enum { LENGTH = 256 << 20, COUNT = 12 };
	struct pvmread_segment seg[COUNT];
	uint64_t completed;
	pid_t pid;
	size_t i;
	int fd;

	if (sizeof(void *) < 8)
		SKIP(return, "32-bit processes have no room for 2 GiB twice");
	for (i = 0; i < COUNT; i++)
		seg[i] = (struct pvmread_segment) {
			.remote = XBASE,
			.local = YBASE,
			.length = LENGTH,
			.done = NO_DONE,
		};
	pid = start_target(map_filled_chunks, (void *)XBASE);
	ASSERT_NE(0, pid);
	fd = attach(world.dev, pid, 0, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(map_filled_chunks(pointer(YBASE)));
	EXPECT_EQ(0, send_beside_signals(fd, seg, COUNT, 1000, &completed));
	stop_target(&pid);
	EXPECT_LE(1, signals);
	EXPECT_LE((MAX_RW_COUNT + LENGTH - 1) / LENGTH, completed);
	EXPECT_GT(COUNT, completed);
	for (i = 0; i < COUNT; i++)
		EXPECT_EQ(i < completed ? LENGTH : NO_DONE, seg[i].done);
	munmap(pointer(YBASE), CHUNK * CHUNKS);
	close(fd);
}

/* Each segment that fails may have waited for a page fault of the target. */
TEST_F(batch, signal_ends_a_batch_in_which_128_segments_failed)
{
	enum { COUNT = 65536 };
	struct pvmread_segment *seg;
	uint64_t completed = 0, local = 0;
	pid_t pid;
	size_t i;
	int fd;

	seg = calloc(COUNT, sizeof(*seg));
	ASSERT_NE(NULL, seg);
	for (i = 0; i < COUNT; i++)
		seg[i] = (struct pvmread_segment) {
			.remote = XBASE + CHUNKS * CHUNK,
			.local = (uintptr_t)&local,
			.length = 1,
			.done = NO_DONE,
		};
	pid = start_target(map_filled_chunks, (void *)XBASE);
	ASSERT_NE(0, pid);
	fd = attach(world.dev, pid, 0, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, send_beside_signals(fd, seg, COUNT, 20, &completed));
	stop_target(&pid);
	EXPECT_LE(1, signals);
	EXPECT_LE(128, completed);
	EXPECT_GT(COUNT, completed);
	for (i = 0; i < COUNT; i++) {
		ASSERT_EQ(i < completed ? 0 : NO_DONE, seg[i].done);
		ASSERT_EQ(i < completed ? EIO : 0, seg[i].error);
	}
	free(seg);
	close(fd);
}

/* --- What no segment asks for --- */

TEST_F(batch, page_that_no_segment_needs_is_not_faulted_in)
{
	static const uint32_t flags[] = { 0, 2 };
	size_t i, f;

	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		ASSERT_TRUE(open_world(&world, "wwwwwwww", "wuuuuuuu", 16));
		plan.count = 8;
		plan.seg[0] = piece(RBASE, LBASE, 8, 0);
		/* Segments of length 0, or with an unknown flag, in each following page. */
		for (i = 1; i < 8; i++)
			plan.seg[i] = piece(RBASE + i * PAGE + 8, LBASE + i * 8, flags[f] ? 8 : 0,
					    flags[f]);
		ASSERT_TRUE(agree(&world, &plan));
		ASSERT_TRUE(look_at_page_tables(&world));
		for (i = 1; i < 8; i++)
			EXPECT_FALSE(world.present[i]);
		/* A request for the page would fault it in. */
		plan.count = 2;
		plan.seg[1] = piece(RBASE + PAGE, LBASE + PAGE, 8, 0);
		ASSERT_TRUE(agree(&world, &plan));
		ASSERT_TRUE(look_at_page_tables(&world));
		EXPECT_TRUE(world.present[1]);
		EXPECT_FALSE(world.present[2]);
		close_world(&world);
	}
}

/* --- Strings --- */

/* The target's map is "www.wu". Its "w" pages have no NUL except those that a test writes. */
static bool open_strings(struct world *w)
{
	size_t i;

	if (!open_world(w, "wwwwww.w", "www.wu", 14))
		return false;
	for (i = 0; i < 6 * PAGE; i++) {
		if (i / PAGE == 3 || i / PAGE == 5)
			continue;
		if (!w->remote.image[i] && !poke(w, RBASE + i, 1 + i % 255))
			return false;
	}
	return true;
}

TEST_F(batch, string_ends_with_its_nul)
{
	/* The place of the NUL, or -1; the segment; its expected results. */
	static const struct {
		const char *name;
		long nul;
		struct pvmread_segment seg;
		uint64_t done;
		int error;
	} row[] = {
		{ "empty", 100, R(100, 0, 50), 1, 0 },
		{ "empty, the first byte of a page", PAGE, R(PAGE, 0, 50), 1, 0 },
		{ "one byte", 101, R(100, 0, 50), 2, 0 },
		{ "within a page", 140, R(100, 0, 50), 41, 0 },
		{ "NUL is the last byte of the length", 149, R(100, 0, 50), 50, 0 },
		{ "NUL just behind the length", 150, R(100, 0, 50), 50, 0 },
		{ "no NUL within the length", -1, R(100, 0, 50), 50, 0 },
		{ "length 1, no NUL", -1, R(100, 0, 1), 1, 0 },
		{ "length 1, NUL", 100, R(100, 0, 1), 1, 0 },
		{ "length 0", 100, R(100, 0, 0), 0, 0 },
		{ "NUL at the end of a page", PAGE - 1, R(PAGE - 20, 0, 50), 20, 0 },
		{ "NUL at the begin of the next page", PAGE, R(PAGE - 20, 0, 50), 21, 0 },
		{ "across a page", PAGE + 10, R(PAGE - 20, 0, 50), 31, 0 },
		{ "across a page, no NUL", -1, R(PAGE - 20, 0, 50), 50, 0 },
		{ "across two pages", 2 * PAGE + 5, R(PAGE - 20, 0, 3 * PAGE), PAGE + 26, 0 },
		{ "three pages, NUL at the end before a hole", 3 * PAGE - 1, R(0, 0, 3 * PAGE),
		  3 * PAGE, 0 },
		{ "length reaches into the hole behind the NUL", 3 * PAGE - 1,
		  R(3 * PAGE - 30, 0, 100), 30, 0 },
		{ "length reaches far behind the hole", 3 * PAGE - 1, R(3 * PAGE - 30, 0, 1 << 20),
		  30, 0 },
		{ "length 2^63", 3 * PAGE - 2, R(3 * PAGE - 30, 0, 1ULL << 63), 29, 0 },
		{ "length U64_MAX", 3 * PAGE - 2, R(3 * PAGE - 30, 0, UINT64_MAX), 29, 0 },
		{ "no NUL before the hole", -1, R(3 * PAGE - 30, 0, 100), 30, EIO },
		{ "no NUL before the hole, length 2^63", -1, R(PAGE + 1, 0, 1ULL << 63),
		  2 * PAGE - 1, EIO },
		{ "begins in the hole", -1, R(3 * PAGE, 0, 100), 0, EIO },
		{ "kernel address", -1, FAR(KERNEL_ADDR, LBASE, 10), 0, EIO },
		{ "local ends behind the NUL", 20, R(0, 6 * PAGE - 21, 100), 21, 0 },
		{ "local ends just before the NUL", 20, R(0, 6 * PAGE - 20, 100), 20, EFAULT },
		{ "local ends before the NUL", 500, R(0, 6 * PAGE - 20, 1000), 20, EFAULT },
		{ "local hole", 20, R(0, 6 * PAGE, 100), 0, EFAULT },
		{ "local kernel address", 20, FAR(RBASE, KERNEL_ADDR, 10), 0, EFAULT },
		{ "untouched memory", -1, R(5 * PAGE + 7, 0, 100), 1, 0 },
		{ "into untouched memory", -1, R(5 * PAGE - 7, 0, 100), 8, 0 },
	};
	static const uint32_t flags[] = { 0, PVMREAD_NOWAIT, PVMREAD_STOP, PVMREAD_RESIDENT };
	size_t i, j;

	ASSERT_TRUE(open_strings(&world));
	for (j = 0; j < ARRAY_SIZE(flags); j++) {
		plan.flags = flags[j];
		for (i = 0; i < ARRAY_SIZE(row); i++) {
			unsigned char old = 0;

			if (row[i].nul >= 0) {
				old = world.remote.image[row[i].nul];
				ASSERT_TRUE(poke(&world, RBASE + row[i].nul, 0));
			}
			plan.count = 1;
			plan.seg[0] = row[i].seg;
			plan.seg[0].flags = PVMREAD_SEGMENT_STRING;
			EXPECT_TRUE(agree(&world, &plan) &&
				    wanted(0, row[i].done, row[i].error)) {
				TH_LOG("\"%s\", flags %u", row[i].name, plan.flags);
			}
			if (row[i].nul >= 0)
				ASSERT_TRUE(poke(&world, RBASE + row[i].nul, old));
		}
	}
}

TEST_F(batch, strings_and_other_segments_share_a_batch)
{
	size_t i;

	ASSERT_TRUE(open_strings(&world));
	/* Words of length 0 to 99 in a row, across two pages. */
	for (i = 0; i < 100; i++)
		ASSERT_TRUE(poke(&world, RBASE + i * (i + 1) / 2 + i + PAGE - 2048, 0));
	plan.count = 200;
	for (i = 0; i < 100; i++) {
		uint64_t at = RBASE + PAGE - 2048 + (i ? (i - 1) * i / 2 + i : 0);

		plan.seg[2 * i] = piece(at, LBASE + 200 * i, 190, PVMREAD_SEGMENT_STRING);
		plan.seg[2 * i + 1] = piece(at, LBASE + 200 * i + 190, 10, 0);
	}
	ASSERT_TRUE(agree(&world, &plan));
	for (i = 1; i < 100; i++) {
		EXPECT_TRUE(wanted(2 * i, i + 1, 0));
		EXPECT_TRUE(wanted(2 * i + 1, 10, 0));
	}
	ASSERT_TRUE(same_oracle(&world, &plan));
	/* A string that has ended is complete: STOP does not stop there. */
	plan.flags = PVMREAD_STOP;
	ASSERT_TRUE(agree(&world, &plan));
}

TEST_F(batch, page_after_the_nul_is_not_faulted_in)
{
	static const uint64_t from[] = { 0, PAGE - 1, PAGE, 2 * PAGE - 100, 2 * PAGE - 1 };
	size_t i;

	/* Anonymous memory: a fault does not map neighbours. */
	ASSERT_TRUE(open_world(&world, "wwwwwwww", "wwuuuuuu", 15));
	for (i = 0; i < 2 * PAGE; i++)
		ASSERT_TRUE(world.remote.image[i] || poke(&world, RBASE + i, 1));
	ASSERT_TRUE(poke(&world, RBASE + 2 * PAGE - 1, 0));
	for (i = 0; i < ARRAY_SIZE(from); i++) {
		plan.count = 1;
		plan.seg[0] = piece(RBASE + from[i], LBASE, 6 * PAGE, PVMREAD_SEGMENT_STRING);
		ASSERT_TRUE(agree(&world, &plan));
		ASSERT_TRUE(wanted(0, 2 * PAGE - from[i], 0));
		ASSERT_TRUE(look_at_page_tables(&world));
		EXPECT_FALSE(world.present[2]);
		EXPECT_FALSE(world.present[3]);
	}
	/* A segment that reaches these pages faults them in. */
	plan.seg[0].length = 3 * PAGE;
	plan.seg[0].flags = 0;
	ASSERT_TRUE(agree(&world, &plan));
	ASSERT_TRUE(look_at_page_tables(&world));
	EXPECT_TRUE(world.present[2]);
	EXPECT_TRUE(world.present[3]);
	EXPECT_FALSE(world.present[7]);
}

/* --- The array --- */

TEST_F(batch, array_may_cross_pages)
{
	static const size_t gaps[] = { 1, 2, 3, 4, 5, 6, 7, 8, 12, 36, 39, PAGE, PAGE + 1 };
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "ww.", 16));
	for (i = 0; i < ARRAY_SIZE(gaps); i++) {
		make_small(&plan, 350, 2);
		plan.seg[120].remote = RBASE + 2 * PAGE - 3;
		plan.gap = gaps[i];
		ASSERT_TRUE(agree(&world, &plan)) {
			TH_LOG("%zu bytes before the end of a page", gaps[i]);
		}
		ASSERT_TRUE(wanted(120, 3, EIO));
		ASSERT_TRUE(wanted(349, 8, 0));
	}
}

/*
 * An array with @good elements and @rest bytes of the next one before VEND. Nothing is
 * mapped after it.
 */
static bool try_cut_array(struct world *w, struct plan *p, size_t good, size_t rest, size_t behind)
{
	struct pvmread_segment *array = (void *)(VEND - rest - good * sizeof(*array));
	unsigned char before[sizeof(*array)], after[sizeof(*array)];
	struct pvmread_segment seg;
	uint64_t completed;
	size_t i;
	int err;

	make_small(p, good + behind, 2);
	for (i = 0; i <= good; i++) {
		seg = p->seg[i];
		seg.done = NO_DONE;
		seg.error = NO_ERROR;
		memcpy(&array[i], &seg, i < good ? sizeof(seg) : rest);
	}
	memcpy(before, &array[good], rest);
	/* The model knows only the good ones. */
	p->count = good;
	run_model(w, p);
	err = send_batch(w->file[p->file], p->flags, array, good + behind, &completed);
	memcpy(after, &array[good], rest);
	if (err != EFAULT || completed != good) {
		say("errno %d, completed %llu", err, (unsigned long long)completed);
		return false;
	}
	for (i = 0; i < good; i++)
		if (!same_result(p, array, i, true))
			return false;
	if (memcmp(before, after, rest)) {
		say("the incomplete element was written");
		return false;
	}
	return same_arena(w) && same_target(w, true);
}

TEST_F(batch, array_with_unmapped_tail_counts_completed_segments)
{
	static const size_t rest[] = { 0, 1, 8, 28, 32, 39 };
	static const size_t behind[] = { 1, 5, 40 };
	size_t good, i, j;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 17));
	for (plan.flags = 0; plan.flags <= PVMREAD_WRITE; plan.flags += PVMREAD_WRITE) {
		for (good = 0; good < 35; good++) {
			for (i = 0; i < ARRAY_SIZE(rest); i++) {
				j = (good + i) % ARRAY_SIZE(behind);
				ASSERT_TRUE(try_cut_array(&world, &plan, good, rest[i],
							  behind[j])) {
					TH_LOG("%zu elements, %zu bytes, %zu behind", good,
					       rest[i], behind[j]);
				}
			}
		}
		ASSERT_TRUE(try_cut_array(&world, &plan, 1000, 20, MAX_BATCH - 1000));
	}
}

/* An array whose tail can be read, but not written. */
TEST_F(batch, unwritable_array_element_moves_nothing)
{
	static const size_t rest[] = { 0, 8, 28, 32, 36 };
	struct pvmread_segment seg;
	size_t good, i, j;
	uint64_t completed;
	char *tail = (char *)VEND - PAGE;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 18));
	for (plan.flags = 0; plan.flags <= PVMREAD_WRITE; plan.flags += PVMREAD_WRITE) {
		for (good = 0; good < 35; good++) {
			for (i = 0; i < ARRAY_SIZE(rest); i++) {
				struct pvmread_segment *array =
					(void *)(tail - rest[i] - good * sizeof(*array));

				make_small(&plan, good + 20, 2);
				ASSERT_EQ(0, mprotect(tail, PAGE, PROT_READ | PROT_WRITE));
				for (j = 0; j < good + 20; j++) {
					seg = plan.seg[j];
					seg.done = NO_DONE;
					seg.error = NO_ERROR;
					memcpy(&array[j], &seg, sizeof(seg));
				}
				ASSERT_EQ(0, mprotect(tail, PAGE, PROT_READ));
				plan.count = good;
				run_model(&world, &plan);
				EXPECT_EQ(EFAULT, send_batch(world.file[PLAIN], plan.flags, array,
							     good + 20, &completed));
				EXPECT_EQ(good, completed);
				for (j = 0; j < good; j++)
					ASSERT_TRUE(same_result(&plan, array, j, true));
				plan.count = good + 20;
				ASSERT_TRUE(same_arena(&world) && same_target(&world, true)) {
					TH_LOG("%zu elements, %zu bytes", good, rest[i]);
				}
			}
		}
	}
	ASSERT_EQ(0, mprotect(tail, PAGE, PROT_READ | PROT_WRITE));
}

/* An array whose head can be read, but not written. All of it is read at once. */
TEST_F(batch, unwritable_first_result_moves_nothing)
{
	char *tail = (char *)VEND - PAGE, *head = tail - PAGE;
	struct pvmread_segment seg;
	uint64_t completed;
	size_t bad, j;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 18));
	for (plan.flags = 0; plan.flags <= PVMREAD_WRITE; plan.flags += PVMREAD_WRITE) {
		for (bad = 1; bad < 14; bad++) {
			struct pvmread_segment *array = (void *)(tail - bad * sizeof(*array));

			make_small(&plan, 14, 2);
			ASSERT_EQ(0, mprotect(head, PAGE, PROT_READ | PROT_WRITE));
			for (j = 0; j < 14; j++) {
				seg = plan.seg[j];
				seg.done = NO_DONE;
				seg.error = NO_ERROR;
				memcpy(&array[j], &seg, sizeof(seg));
			}
			ASSERT_EQ(0, mprotect(head, PAGE, PROT_READ));
			plan.count = 0;
			run_model(&world, &plan);
			EXPECT_EQ(EFAULT, send_batch(world.file[PLAIN], plan.flags, array, 14,
						     &completed));
			EXPECT_EQ(0, completed);
			plan.count = 14;
			ASSERT_TRUE(same_arena(&world) && same_target(&world, true));
		}
	}
	ASSERT_EQ(0, mprotect(head, PAGE, PROT_READ | PROT_WRITE));
}

TEST_F(batch, array_at_a_bad_address_is_efault)
{
	static const uint64_t addr[] = {
		0, 1, KERNEL_ADDR, ODD_ADDR, UINT64_MAX, UINT64_MAX - 39, UINT64_MAX - 100,
		VEND, VEND - 1, VBASE - 1, VBASE | 1ULL << 40,
	};
	uint64_t completed;
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 19));
	for (i = 0; i < ARRAY_SIZE(addr); i++) {
		EXPECT_EQ(EFAULT, send_batch_at(world.file[PLAIN], 0, addr[i], 1, &completed)) {
			TH_LOG("address %#llx", (unsigned long long)addr[i]);
		}
		EXPECT_EQ(0, completed);
		EXPECT_EQ(EFAULT, send_batch_at(world.file[PLAIN], 0, addr[i], MAX_BATCH,
						&completed));
		EXPECT_EQ(0, completed);
		EXPECT_EQ(0, send_batch_at(world.file[PLAIN], 0, addr[i], 0, &completed));
	}
}

/*
 * A segment may overwrite its own array. The result is the caller's problem, but the
 * request must end, and no other byte may change.
 */
TEST_F(batch, batch_overwriting_its_own_array_ends)
{
	const size_t count = 100;
	struct pvmread_segment *array = (void *)(VEND - count * sizeof(*array));
	struct pvmread_segment *crafted;
	uint64_t completed;
	size_t i, k;
	int err;

	ASSERT_TRUE(open_world(&world, "www", "wwwww", 20));
	/* Put segments into the target that read to the arena's first page. */
	crafted = (void *)world.remote.image;
	for (i = 0; i < count; i++)
		crafted[i] = piece(RBASE + 8 * i, LBASE + 8 * i, 8, 0);
	{
		struct iovec local = { crafted, count * sizeof(*array) };
		struct iovec remote = { (void *)RBASE, count * sizeof(*array) };

		ASSERT_EQ((ssize_t)local.iov_len,
			  process_vm_writev(world.target, &local, 1, &remote, 1, 0));
	}
	for (k = 0; k < count; k++) {
		for (i = 0; i < count; i++)
			array[i] = piece(RBASE + 8 * i, LBASE + 8 * i, 8, 0);
		/* Overwrite the array with the crafted one and random bytes, alternately. */
		array[k] = piece(RBASE + (k % 2 ? 2 * PAGE : 0), (uintptr_t)array,
				 count * sizeof(*array), 0);
		err = send_batch(world.file[PLAIN], 0, array, count, &completed);
		EXPECT_EQ(0, err);
		EXPECT_EQ(count, completed);
		/* All segments are meant to read to the first page: the others must not change. */
		EXPECT_TRUE(same_bytes("the arena", LBASE + PAGE, (void *)(LBASE + PAGE),
				       world.local.image + PAGE, 2 * PAGE));
		/* The segment's result was written after its bytes. */
		EXPECT_EQ(count * sizeof(*array), array[k].done);
	}
	/* Overwrite only this element and the next one. */
	for (k = 0; k < count - 1; k++) {
		for (i = 0; i < count; i++)
			array[i] = piece(RBASE + 8 * i, LBASE + 8 * i, 8, 0);
		array[k] = piece(RBASE, (uintptr_t)&array[k], 2 * sizeof(*array), 0);
		EXPECT_EQ(0, send_batch(world.file[PLAIN], 0, array, count, &completed));
		EXPECT_EQ(count, completed);
		EXPECT_EQ(2 * sizeof(*array), array[k].done);
		EXPECT_EQ(0, array[k].error);
	}
	EXPECT_TRUE(same_target(&world, true));
}

TEST_F(batch, struct_overwritten_by_its_batch_is_read_once)
{
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.segments = (uintptr_t)VBASE,
		.count = 40,
	};
	struct pvmread_segment *array = (void *)VBASE;
	size_t i, k;

	ASSERT_TRUE(open_world(&world, "ww", "ww", 21));
	for (i = 0; i < PAGE; i++)
		ASSERT_TRUE(poke(&world, RBASE + i, 0xff));
	for (k = 0; k < 40; k++) {
		batch.segments = (uintptr_t)array;
		batch.count = 40;
		batch.flags = 0;
		batch.size = sizeof(batch);
		for (i = 0; i < 40; i++)
			array[i] = piece(RBASE, LBASE + 8 * i, 8, 0);
		array[k].local = (uintptr_t)&batch;
		array[k].length = sizeof(batch);
		EXPECT_EQ(0, ioctl(world.file[PLAIN], PVMREAD_IOC_BATCH, &batch));
		EXPECT_EQ(40, batch.completed);
		EXPECT_EQ(UINT64_MAX, batch.count);
		for (i = 0; i < 40; i++)
			EXPECT_EQ(i == k ? sizeof(batch) : 8, array[i].done);
	}
}

/* --- Concurrent changes --- */

/**
 * struct meddler - a thread that acts when the kernel faults on a page
 * @page: the page of this process
 * @uffd: the page's userfaultfd
 * @what: the action
 * @arg: argument of @what
 * @met: the fault has happened
 */
struct meddler {
	unsigned char *page;
	int uffd;
	void (*what)(void *arg);
	void *arg;
	bool met;
};

static void *meddle(void *arg)
{
	static const unsigned char zeros[PAGE];
	struct meddler *m = arg;

	if (page_asked_for(m->uffd, PATIENCE_MS)) {
		m->what(m->arg);
		m->met = true;
	}
	serve_page(m->uffd, (uintptr_t)m->page, zeros);
	return NULL;
}

static bool put_on_uffd(unsigned char *page, int *uffd)
{
	if (mmap(page, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
		return false;
	*uffd = hold_back((uintptr_t)page, PAGE);
	return *uffd >= 0;
}

/*
 * Send 40 segments, @step bytes apart in the target. Call @what in the middle of
 * segment @k, which goes to a page at XBASE. Return: the errno, or -1 if @what was not
 * called.
 */
static int send_with_meddler(struct world *w, struct pvmread_segment *array, size_t step,
			     size_t k, void (*what)(void *), void *arg, uint64_t *completed)
{
	struct meddler m = { .page = (void *)XBASE, .what = what, .arg = arg };
	pthread_t thread;
	size_t i;
	int err;

	if (!put_on_uffd(m.page, &m.uffd) || pthread_create(&thread, NULL, meddle, &m))
		return -1;
	for (i = 0; i < 40; i++) {
		array[i] = piece(RBASE + step * i, LBASE + 8 * i, 8, 0);
		array[i].done = NO_DONE;
		array[i].error = NO_ERROR;
	}
	array[k].local = XBASE;
	err = send_batch(w->file[PLAIN], 0, array, 40, completed);
	pthread_join(thread, NULL);
	close(m.uffd);
	return m.met ? err : -1;
}

static void kill_target(void *w)
{
	stop_target(&((struct world *)w)->target);
}

/* The request holds nothing of the target while the caller's page is faulted in. */
TEST_F(batch, segments_after_the_target_exits_are_esrch)
{
	static const size_t at[] = { 0, 1, 11, 12, 15, 16, 20 };
	struct pvmread_segment *array = (void *)VBASE;
	const size_t step = 2 * PAGE + 8;
	uint64_t completed;
	size_t i, k, gone;
	int err;

	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	make_uniform(self->rmap, 82, 'w');
	for (k = 0; k < ARRAY_SIZE(at); k++) {
		ASSERT_TRUE(open_world(&world, "ww", self->rmap, 22));
		err = send_with_meddler(&world, array, step, at[k], kill_target, &world,
					&completed);
		EXPECT_EQ(0, err);
		EXPECT_EQ(40, completed);
		for (gone = 0; gone < 40 && !array[gone].error; gone++) {
			EXPECT_EQ(8, array[gone].done);
			EXPECT_EQ(0, memcmp(pointer(array[gone].local),
					    world.remote.image + step * gone, 8));
		}
		EXPECT_EQ(at[k], gone);
		for (i = gone; i < 40; i++) {
			EXPECT_EQ(0, array[i].done);
			EXPECT_EQ(ESRCH, array[i].error);
			if (i == at[k])
				continue;
			EXPECT_EQ(0, memcmp(pointer(array[i].local),
					    world.local.image + 8 * i, 8));
		}
		EXPECT_EQ(ESRCH, send_batch(world.file[PLAIN], 0, array, 40, &completed));
		EXPECT_EQ(0, completed);
		close_world(&world);
	}
}

static void unmap_array(void *array)
{
	munmap(array, PAGE);
}

TEST_F(batch, array_unmapped_during_the_batch_is_efault)
{
	static const size_t at[] = { 0, 7, 15, 16, 39 };
	struct pvmread_segment *array = (void *)VBASE;
	uint64_t completed;
	size_t k;
	int err;

	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	ASSERT_TRUE(open_world(&world, "ww", "ww", 23));
	for (k = 0; k < ARRAY_SIZE(at); k++) {
		err = send_with_meddler(&world, array, 100, at[k], unmap_array, array, &completed);
		EXPECT_EQ(EFAULT, err);
		/* The result of segment at[k] cannot have been written. */
		EXPECT_LE(completed, at[k]);
		ASSERT_EQ(array, mmap(array, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	}
	make_small(&plan, 40, 2);
	EXPECT_TRUE(agree(&world, &plan));
}

static void spoil_array(void *array)
{
	struct pvmread_segment *seg = array;
	size_t i;

	for (i = 0; i < 40; i++)
		seg[i] = piece(RBASE + 8 * i, LBASE + PAGE + 8 * i, 1ULL << 63, i % 3);
}

TEST_F(batch, array_rewritten_once_changes_no_other_memory)
{
	static const size_t at[] = { 0, 7, 15, 16, 39 };
	struct pvmread_segment *array = (void *)VBASE;
	uint64_t completed;
	size_t k;
	int err;

	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	/* A hole follows the arena's good pages. A segment of 2^63 bytes ends there. */
	ASSERT_TRUE(open_world(&world, "ww.www", "www.", 24));
	for (k = 0; k < ARRAY_SIZE(at); k++) {
		err = send_with_meddler(&world, array, 100, at[k], spoil_array, array, &completed);
		EXPECT_EQ(0, err);
		EXPECT_EQ(40, completed);
		/* Segment at[k] was read before the array changed, and has its result. */
		EXPECT_EQ(8, array[at[k]].done);
		EXPECT_EQ(0, array[at[k]].error);
	}
	EXPECT_TRUE(same_bytes("the arena", LBASE + 3 * PAGE, (void *)(LBASE + 3 * PAGE),
			       world.local.image + 3 * PAGE, 3 * PAGE));
	EXPECT_TRUE(same_target(&world, true));
}

static bool stop_rewriting;

static void *rewrite(void *unused)
{
	struct pvmread_segment *array = (void *)VBASE;
	struct rng rng = { 25 };

	while (!__atomic_load_n(&stop_rewriting, __ATOMIC_RELAXED)) {
		static const uint64_t lengths[] = { 0, 8, 5000, 1ULL << 63, UINT64_MAX };
		static const uint64_t remotes[] = {
			RBASE, RBASE + PAGE - 4, RBASE + 3 * PAGE, KERNEL_ADDR, UINT64_MAX - 3
		};
		static const uint64_t locals[] = {
			LBASE, LBASE + 2 * PAGE - 4, LBASE + 2 * PAGE, KERNEL_ADDR, UINT64_MAX - 3
		};
		struct pvmread_segment *seg = &array[below(&rng, 1000)];

		__atomic_store_n(&seg->length, lengths[below(&rng, 5)], __ATOMIC_RELAXED);
		__atomic_store_n(&seg->remote, remotes[below(&rng, 5)], __ATOMIC_RELAXED);
		__atomic_store_n(&seg->local, locals[below(&rng, 5)], __ATOMIC_RELAXED);
		__atomic_store_n(&seg->flags, below(&rng, one_in(&rng, 8) ? 1ULL << 32 : 2),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&seg->done, below(&rng, UINT64_MAX), __ATOMIC_RELAXED);
	}
	return unused;
}

TEST_F(batch, array_rewritten_by_a_thread_changes_no_other_memory)
{
	struct pvmread_segment *array = (void *)VBASE;
	long end = now_ms() + 1500;
	unsigned long runs = 0;
	uint64_t completed;
	pthread_t thread;
	size_t i;

	ASSERT_TRUE(open_world(&world, "ww.www", "www.", 26));
	for (i = 0; i < 1000; i++)
		array[i] = piece(RBASE, LBASE, 8, 0);
	stop_rewriting = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, rewrite, NULL));
	while (now_ms() < end || runs < 3) {
		ASSERT_EQ(0, send_batch(world.file[PLAIN], 0, array, 1000, &completed));
		ASSERT_EQ(1000, completed);
		runs++;
	}
	__atomic_store_n(&stop_rewriting, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	TH_LOG("%lu batches", runs);
	EXPECT_TRUE(same_bytes("the arena", LBASE + 3 * PAGE, (void *)(LBASE + 3 * PAGE),
			       world.local.image + 3 * PAGE, 3 * PAGE));
	EXPECT_TRUE(same_target(&world, true));
}

/* Memory shared by the tester, the target and the reader that is killed. */
struct legacy {
	int uffd;
	int begun;
	int ended;
	struct pvmread_batch batch;
	struct pvmread_segment seg[40];
};

static struct legacy *legacy;

static bool build_late(void *unused)
{
	(void)unused;
	return build_side(&world.remote) &&
	       put_on_uffd((unsigned char *)XBASE, &legacy->uffd);
}

static void be_reader(int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFETIME_S);
	__atomic_store_n(&legacy->begun, 1, __ATOMIC_RELEASE);
	ioctl(fd, PVMREAD_IOC_BATCH, &legacy->batch);
	__atomic_store_n(&legacy->ended, 1, __ATOMIC_RELEASE);
	_exit(0);
}

TEST_F(batch, reader_killed_during_a_batch_exits)
{
	static const size_t at[] = { 0, 1, 15, 16, 20, 39 };
	unsigned long long c;
	struct uffd_msg msg;
	struct pollfd pfd;
	size_t i, k;
	int status;
	pid_t reader;
	long ms;

	if (!have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	legacy = mmap(NULL, sizeof(*legacy), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, legacy);
	ASSERT_TRUE(open_world(&world, "ww", "ww", 27));
	stop_target(&world.target);
	world.target = start_target(build_late, NULL);
	ASSERT_NE(0, world.target);
	close(world.file[PLAIN]);
	world.file[PLAIN] = attach(world.dev, world.target, PVMREAD_WRITE, 0, 0);
	ASSERT_LE(0, world.file[PLAIN]);
	pfd = (struct pollfd){
		.fd = take_fd(world.target, legacy->uffd),
		.events = POLLIN,
	};
	ASSERT_LE(0, pfd.fd);
	for (k = 0; k < ARRAY_SIZE(at); k++) {
		for (i = 0; i < 40; i++) {
			legacy->seg[i] = piece(RBASE + 100 * i, LBASE + 8 * i, 8, 0);
			legacy->seg[i].done = NO_DONE;
			legacy->seg[i].error = NO_ERROR;
		}
		legacy->seg[at[k]].remote = XBASE;
		legacy->batch = (struct pvmread_batch){
			.size = sizeof(legacy->batch),
			.segments = (uintptr_t)legacy->seg,
			.count = 40,
		};
		legacy->begun = 0;
		reader = fork();
		if (!reader)
			be_reader(world.file[PLAIN]);
		ASSERT_LT(0, reader);
		ASSERT_EQ(1, poll(&pfd, 1, PATIENCE_MS));
		ASSERT_EQ(sizeof(msg), read(pfd.fd, &msg, sizeof(msg)));
		usleep(100000);
		EXPECT_EQ(0, legacy->ended);
		ASSERT_EQ(0, kill(reader, SIGKILL));
		ms = reap_in(reader, LEAVE_MS, &status);
		ASSERT_LE(0, ms) {
			TH_LOG("the reader is still there after %d ms", LEAVE_MS);
		}
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(0, legacy->ended);
		c = legacy->batch.completed;
		TH_LOG("killed in segment %zu: left after %ld ms, completed %llu", at[k], ms, c);
		/* The segments before at[k] were complete; at[k] and those after it were not. */
		ASSERT_LE(c, at[k] + 1);
		for (i = 0; i < c; i++) {
			EXPECT_EQ(i < at[k] ? 8 : 0, legacy->seg[i].done);
			EXPECT_EQ(i < at[k] ? 0 : EINTR, legacy->seg[i].error);
		}
		for (i = at[k] + 1; i < 40; i++) {
			EXPECT_EQ(NO_DONE, legacy->seg[i].done);
			EXPECT_EQ(NO_ERROR, legacy->seg[i].error);
		}
	}
	close(pfd.fd);
	munmap(legacy, sizeof(*legacy));
}

TEST_F(batch, process_reads_and_writes_itself)
{
	unsigned char *own = (void *)XBASE;
	struct pvmread_segment seg[64];
	const size_t part = 2 * PAGE / ARRAY_SIZE(seg);
	uint64_t completed;
	size_t i;
	int fd;

	ASSERT_EQ(own, mmap(own, 4 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	for (i = 0; i < 4 * PAGE; i++)
		own[i] = i < 2 * PAGE ? 1 + i % 251 : 0;
	fd = attach(world.dev, getpid(), PVMREAD_WRITE, 0, 0);
	ASSERT_LE(0, fd);
	for (i = 0; i < 64; i++)
		seg[i] = piece(XBASE + part * i, XBASE + 2 * PAGE + part * i, part, 0);
	ASSERT_EQ(0, send_batch(fd, 0, seg, 64, &completed));
	EXPECT_EQ(64, completed);
	EXPECT_EQ(0, memcmp(own, own + 2 * PAGE, 2 * PAGE));
	for (i = 0; i < 64; i++) {
		EXPECT_EQ(part, seg[i].done);
		EXPECT_EQ(0, seg[i].error);
	}

	memset(own, 7, 2 * PAGE);
	for (i = 0; i < 64; i++)
		seg[i] = piece(XBASE + part * i, XBASE + 2 * PAGE + part * i, part, 0);
	ASSERT_EQ(0, send_batch(fd, PVMREAD_WRITE, seg, 64, &completed));
	EXPECT_EQ(64, completed);
	EXPECT_EQ(0, memcmp(own, own + 2 * PAGE, 2 * PAGE));

	/* Copy memory onto itself, with overlap: the batch must end. */
	seg[0] = piece(XBASE, XBASE, 4 * PAGE, 0);
	seg[1] = piece(XBASE, XBASE + 1, 3 * PAGE, 0);
	seg[2] = piece(XBASE + 1, XBASE, 3 * PAGE, 0);
	ASSERT_EQ(0, send_batch(fd, 0, seg, 3, &completed));
	EXPECT_EQ(3, completed);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(i ? 3 * PAGE : 4 * PAGE, seg[i].done);
	close(fd);
	munmap(own, 4 * PAGE);
}

/* --- Random requests --- */

#define CASES_DEFAULT	2000
#define CASES_PER_WORLD	100
#define GOOD_PAGES	26	/* at the start of each side, for runs of over 16 pages */
#define SIDE_PAGES	48

/* The classes of cases that were generated. Each must occur, or the test proves nothing. */
enum class {
	WHOLE, PART_REMOTE, PART_LOCAL, FAULT_REMOTE, FAULT_LOCAL, BAD_FLAG, NOTHING_ASKED,
	STRING_FOUND, STRING_WHOLE, STRING_CUT, WROTE, STOPPED, OVER_16_PAGES, NOT_RESIDENT,
	RESIDENT_READ, RESIDENT_WROTE, NOWAIT_MOVED, PAST_RANGE, OVER_100, CACHE_HIT,
	CACHE_HIT_STRING, CLASSES
};

static const char * const class_name[CLASSES] = {
	[WHOLE] = "segments moved whole",
	[PART_REMOTE] = "segments ended by the target's memory, a part moved",
	[PART_LOCAL] = "segments ended by the caller's memory, a part moved",
	[FAULT_REMOTE] = "segments ended by the target's memory at once",
	[FAULT_LOCAL] = "segments ended by the caller's memory at once",
	[BAD_FLAG] = "segments with a flag that is refused",
	[NOTHING_ASKED] = "segments of length 0",
	[STRING_FOUND] = "strings ended by their NUL",
	[STRING_WHOLE] = "strings without a NUL",
	[STRING_CUT] = "strings ended before their NUL",
	[WROTE] = "segments written to the target",
	[STOPPED] = "batches that stopped",
	[OVER_16_PAGES] = "segments of more than 16 pages moved",
	[NOT_RESIDENT] = "segments ended by a page that was not resident",
	[RESIDENT_READ] = "segments read from resident pages",
	[RESIDENT_WROTE] = "segments written to resident pages",
	[NOWAIT_MOVED] = "segments moved with NOWAIT",
	[PAST_RANGE] = "segments ended by the attached range",
	[OVER_100] = "batches of more than 100 segments",
	[CACHE_HIT] = "segments served by the cache",
	[CACHE_HIT_STRING] = "strings served by the cache (a lower bound)",
};

static void classify(unsigned long *met, const struct world *w, const struct plan *p)
{
	size_t completed = w->completed;
	size_t i;

	met[OVER_100] += p->count > 100;
	met[STOPPED] += completed && (p->flags & PVMREAD_STOP) &&
			want[completed - 1].errors != 1U << 0;
	for (i = 0; i < completed; i++) {
		const struct pvmread_segment *seg = &p->seg[i];
		const struct verdict *v = &want[i];
		bool string = seg->flags & PVMREAD_SEGMENT_STRING;
		bool ok = v->errors == 1U << 0;
		long page = page_of(&w->remote, remote_of(p, seg) + v->done);

		met[WHOLE] += ok && seg->length && !string;
		met[NOTHING_ASKED] += ok && !seg->length;
		met[BAD_FLAG] += v->errors == 1U << EINVAL;
		met[PART_REMOTE] += v->done && v->errors == 1U << EIO;
		met[PART_LOCAL] += v->done && v->errors == 1U << EFAULT;
		met[FAULT_REMOTE] += !v->done && v->errors == 1U << EIO;
		met[FAULT_LOCAL] += !v->done && v->errors == 1U << EFAULT;
		met[STRING_FOUND] += string && ok && v->done < seg->length;
		met[STRING_WHOLE] += string && ok && v->done == seg->length;
		met[STRING_CUT] += string && v->done && !ok && v->errors != 1U << EINVAL;
		met[WROTE] += v->done && (p->flags & PVMREAD_WRITE);
		met[OVER_16_PAGES] += v->done > 16 * PAGE;
		met[NOWAIT_MOVED] += v->done && (p->flags & PVMREAD_NOWAIT);
		if (is_resident(p)) {
			met[NOT_RESIDENT] += v->errors == 1U << EIO && page >= 0 &&
					     is_kind(w->remote.map[page], CAN_READ) &&
					     !w->present[page];
			met[RESIDENT_READ] += v->done && !(p->flags & PVMREAD_WRITE);
			met[RESIDENT_WROTE] += v->done && (p->flags & PVMREAD_WRITE);
		}
		met[PAST_RANGE] += is_ranged(p) && v->errors == 1U << EIO &&
				   seg->remote + v->done == w->end;
	}
}

static void make_map(struct rng *rng, char *map, const char *good, const char *kinds)
{
	size_t i = 0, n;
	char kind;

	while (i < SIDE_PAGES) {
		const char *from = i < GOOD_PAGES ? good : kinds;

		kind = from[below(rng, strlen(from))];
		for (n = 1 + below(rng, 5); n && i < SIDE_PAGES; n--)
			map[i++] = kind;
		if (i > GOOD_PAGES && from == good)
			i = GOOD_PAGES;
	}
	map[i] = '\0';
}

static uint64_t pick_length(struct rng *rng, bool clean)
{
	static const uint64_t huge[] = {
		1ULL << 31, (1ULL << 32) + 5, 1ULL << 63, UINT64_MAX, UINT64_MAX - PAGE,
		MAX_RW_COUNT, MAX_RW_COUNT + 1ULL,
	};
	uint64_t dice = below(rng, 100);

	if (dice < 35)
		return 1 + below(rng, 32);
	if (dice < 50)
		return 8;
	if (dice < 65)
		return 1 + below(rng, 300);
	if (dice < 80)
		return 1 + below(rng, 2 * PAGE);
	if (dice < 86)
		return 1 + below(rng, 6 * PAGE);
	if (dice < 90)
		return 16 * PAGE + below(rng, 6 * PAGE);
	if (dice < 94)
		return 0;
	return clean ? 16 : huge[below(rng, ARRAY_SIZE(huge))];
}

static uint64_t pick_odd(struct rng *rng, uint64_t base)
{
	switch (below(rng, 7)) {
	case 0:
		return KERNEL_ADDR + below(rng, PAGE);
	case 1:
		return UINT64_MAX - below(rng, 100);
	case 2:
		return below(rng, PAGE);
	case 3:
		return ODD_ADDR;
	case 4:
		return base - 1 - below(rng, 100);
	case 5:
		return base + SIDE_PAGES * PAGE - below(rng, 100);
	default:
		/*
		 * On arm64 the kernel ignores bit 63 of a remote address, as part of a tag. Only a
		 * 64-bit process can ask the syscall for such an address.
		 */
		return base | 1ULL << (sizeof(void *) < 8 ? 40 : 63);
	}
}

static void make_batch(struct rng *rng, const struct world *w, struct plan *p, bool sure)
{
	enum { ANYWHERE, UP, DOWN, PAGE_AGAIN, NEIGHBOURS, STEPS, ORDERS };
	uint64_t order = below(rng, ORDERS), dice = below(rng, 100);
	/* The cache serves only segments that lie within a block of 4 KiB. */
	bool small = one_in(rng, 4);
	bool clean = small || below(rng, 2), packed = below(rng, 2);
	size_t pages = clean ? GOOD_PAGES : SIDE_PAGES;
	uint64_t strings = one_in(rng, 3) ? 2 : 0;
	uint64_t at = below(rng, pages * PAGE), cursor = below(rng, pages * PAGE);
	size_t i;

	p->count = dice < 2 ? 0 : dice < 15 ? 15 + below(rng, 3) :
		   dice < 20 ? 100 + below(rng, 900) : 1 + below(rng, 40);
	p->gap = one_in(rng, 4) ? below(rng, 50) : 0;
	dice = below(rng, 10);
	p->file = small ? CACHED + below(rng, 2) :
		  dice < 3 ? PLAIN : dice < 5 ? RANGED : dice < 6 ? FILE_NOWAIT :
		  dice < 7 ? FILE_RESIDENT : dice < 9 ? CACHED : RANGED_CACHED;
	p->flags = 0;
	if (one_in(rng, 4))
		p->flags |= PVMREAD_STOP;
	if (one_in(rng, 5))
		p->flags |= PVMREAD_NOWAIT;
	if (one_in(rng, 5))
		p->flags |= PVMREAD_RESIDENT;
	/* Without @sure it is unknown which page RESIDENT can write without a fault. */
	if (below(rng, 10) < 4 && (sure || !is_resident(p)))
		p->flags |= PVMREAD_WRITE;
	for (i = 0; i < p->count; i++) {
		struct pvmread_segment *seg = &p->seg[i];

		*seg = piece(0, 0, small ? 1 + below(rng, 100) : pick_length(rng, clean), 0);
		switch (order) {
		case ANYWHERE:
			at = below(rng, pages * PAGE);
			break;
		case UP:
			at += below(rng, 64);
			break;
		case DOWN:
			at -= below(rng, 64);
			break;
		case PAGE_AGAIN:
			at = at / PAGE * PAGE + below(rng, PAGE);
			break;
		case STEPS:
			at += PAGE;
			break;
		}
		if (at >= pages * PAGE)
			at = below(rng, pages * PAGE);
		seg->remote = w->remote.base + at;
		if (order == NEIGHBOURS)
			at += seg->length;
		if (!packed)
			cursor = below(rng, pages * PAGE);
		else if (cursor >= pages * PAGE)
			cursor = below(rng, PAGE);
		seg->local = w->local.base + cursor;
		cursor += seg->length;
		/* Good elements must end in good pages. */
		if (clean && seg->length > GOOD_PAGES * PAGE - (seg->local - w->local.base))
			seg->length = 8;
		if (strings && below(rng, strings + 1) &&
		    (!(p->flags & PVMREAD_WRITE) || one_in(rng, 30)))
			seg->flags = PVMREAD_SEGMENT_STRING;
		if (is_ranged(p) && one_in(rng, 8))
			seg->remote = (below(rng, 2) ? w->start : w->end) - below(rng, 100);
		if (clean)
			continue;
		if (one_in(rng, 25))
			seg->remote = pick_odd(rng, w->remote.base);
		if (one_in(rng, 25))
			seg->local = pick_odd(rng, w->local.base);
		if (one_in(rng, 40))
			seg->flags |= 1U << below(rng, 32);
	}
}

/*
 * The first run may fill the cache, so that the second one can hit it. A batch that writes
 * runs once, because its second run would have other results.
 */
static bool agree_twice(struct world *w, const struct plan *p, unsigned long *met)
{
	char path[64];
	long hits;
	size_t i;

	if (!agree(w, p))
		return false;
	if (!is_cached(w, p) || (p->flags & PVMREAD_WRITE))
		return true;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", w->file[p->file]);
	hits = -proc_number(path, "hits:");
	if (!agree(w, p))
		return false;
	hits += proc_number(path, "hits:");
	met[CACHE_HIT] += hits;
	for (i = 0; i < w->completed; i++)
		hits -= !p->seg[i].flags;
	met[CACHE_HIT_STRING] += hits > 0 ? hits : 0;
	return true;
}

/**
 * run_world() - run the random cases that share a target
 * @seed: seed of the run
 * @first: number of the first case
 * @end: number of the last case plus one
 * @show: print the last case
 * @met: counts by class
 *
 * Return: true, or false after printing the divergence.
 */
static bool run_world(uint32_t seed, uint64_t first, uint64_t end, bool show, unsigned long *met)
{
	uint64_t key = mix(mix(seed) + first / CASES_PER_WORLD);
	struct rng rng = { key };
	char lmap[SIDE_PAGES + 8], rmap[SIDE_PAGES + 8];
	bool sure = one_in(&rng, 3);
	bool good;
	uint64_t n, from;

	make_map(&rng, lmap, "wwwpsu", "wwwwppssuurqtz-e..");
	if (sure)
		make_map(&rng, rmap, "w", "wwwwwwrzqt-e.");
	else
		make_map(&rng, rmap, "wwwpsuc", "wwwwppqsstuuzccr-e..");
	if (!open_world(&world, lmap, rmap, key))
		return false;
	from = below(&rng, 8 * PAGE);
	good = attach_range(&world, RBASE + from, 1 + below(&rng, SIDE_PAGES * PAGE - from));
	for (n = first; good && n < end; n++) {
		rng.state = mix(mix(~(uint64_t)seed) + n);
		make_batch(&rng, &world, &plan, sure);
		good = agree_twice(&world, &plan, met);
		if (good && one_in(&rng, 8))
			good = same_oracle(&world, &plan);
		if (good && show && n == end - 1)
			say_plan(&plan, 0, plan.count);
		if (good)
			classify(met, &world, &plan);
		else
			say("to repeat it: CASE=%llu, maps %s and %s, range %#llx to %#llx",
			    (unsigned long long)seed << 32 | n, lmap, rmap,
			    (unsigned long long)world.start, (unsigned long long)world.end);
	}
	good = good && same_target(&world, true);
	close_world(&world);
	return good;
}

TEST_F_TIMEOUT(batch, random_batches_match_the_model, 7200)
{
	uint64_t cases = number_from("CASES", CASES_DEFAULT);
	uint64_t one = number_from("CASE", UINT64_MAX);
	unsigned long met[CLASSES] = { 0 };
	uint64_t first = 0, end, i;
	uint32_t seed = choose_seed();

	if (one != UINT64_MAX) {
		if (one >> 32)
			seed = one >> 32;
		one = (uint32_t)one;
		first = one - one % CASES_PER_WORLD;
		cases = one + 1;
	}
	say("SEED=%u CASES=%llu", seed, (unsigned long long)cases);
	for (; first < cases; first = end) {
		end = first + CASES_PER_WORLD;
		if (end > cases)
			end = cases;
		ASSERT_TRUE(run_world(seed, first, end, one != UINT64_MAX, met));
	}
	if (one != UINT64_MAX)
		return;
	say("%llu cases, SEED=%u. They had", (unsigned long long)cases, seed);
	for (i = 0; i < CLASSES; i++)
		say("%8lu  %s", met[i], class_name[i]);
	for (i = 0; i < CLASSES && cases >= CASES_DEFAULT; i++) {
		if (i >= CACHE_HIT && !has_feature(world.dev, PVMREAD_FEATURE_CACHE))
			break;
		EXPECT_NE(0UL, met[i]) {
			TH_LOG("the generator never made %s", class_name[i]);
		}
	}
}

TEST_HARNESS_MAIN
