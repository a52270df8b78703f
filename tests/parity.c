// SPDX-License-Identifier: GPL-2.0
/*
 * Parity: a request sent as process_vm_readv(2) or process_vm_writev(2), and the same
 * request sent through each door of the device, must have the same results: the return
 * value, the reason for the end, and every byte of both address spaces.
 *
 * The system call is the oracle. The targets are processes built from one description,
 * with equal addresses and contents. The caller's side, the arena, is restored before
 * each request. After the request the results are compared. The targets' memory is
 * read through other paths: the system call, /proc/PID/mem and the files of shared
 * mappings. See &enum door for the doors.
 *
 * One intended difference is not generated: the system call sees only the low 32 bits
 * of the local count.
 *
 * Environment:
 *   CASES=n  number of random cases to run (100,000)
 *   SEED=n   seed of 32 bits (a new one every time)
 *   CASE=n   run one case again and print it. A divergence prints n, which contains
 *            the seed and the number of the case. If n is only the number of a case,
 *            the seed is SEED. Earlier cases with the same targets run first, because
 *            they may have changed the targets.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#include <kselftest_harness.h>

#include "numbers.h"
#include "process.h"
#include "random.h"

/* Unused in every process here: above the program and its heap, below libraries. */
#define LBASE		0x50000000UL	/* the arena */
#define VBASE		0x58000000UL	/* the iovec arrays */
#define RBASE		0x60000000UL	/* the targets' memory */
#define XBASE		0x70000000UL	/* the targets' special memory */

#define MAX_SEGS	1026
#define VEC_PAGES	5UL		/* 1,025 elements of 16 bytes */
#define MAX_PAGES	1100UL
#define MAX_RW_COUNT	(INT_MAX & ~(PAGE - 1))

#if __SIZEOF_POINTER__ == 8
#define KERNEL_ADDR	0xffff888000000000UL
#define ODD_ADDR	0x0000f00000000000UL	/* not canonical */
#else
#define KERNEL_ADDR	0xfffff000UL
#define ODD_ADDR	0xf8000000UL
#endif

/*
 * A window of memory is described by a string, one character for each page:
 *
 *	w  anonymous, written, read-write
 *	r  anonymous, written, read-only
 *	-  anonymous, written, PROT_NONE
 *	u  anonymous, never touched, read-write
 *	z  anonymous, never touched, read-only
 *	c  anonymous, read-write, shared with the parent since fork()
 *	p  private file mapping, read-write
 *	q  private file mapping, read-only
 *	s  shared file mapping, read-write
 *	t  shared file mapping, read-only
 *	e  shared file mapping past the end of the file
 *	.  nothing
 */
#define CAN_READ	"wruzcpqst"
#define CAN_WRITE	"wucps"
#define IN_PRIVATE_FILE	"pq"
#define IN_SHARED_FILE	"st"
#define HAS_NO_COPY	"up"	/* until it is written */

struct range {
	uintptr_t base;
	size_t len;
};

/* The files that a window maps, and the tester's mappings of them. */
struct files {
	int priv;
	int shared;
	unsigned char *priv_alias;
	unsigned char *shared_alias;
	size_t len;
};

/**
 * enum door - the ways to send a request
 * @BY_SYSCALL: process_vm_readv(2) or process_vm_writev(2)
 * @BY_IOCTL: READV or WRITEV
 * @BY_PIDFD: the same with PVMREAD_PIDFD, every other time also with PVMREAD_NOWAIT: there
 *	is nothing to wait for, because all files are in the page cache
 * @BY_FILE: one preadv(2) or pwritev(2) of a target file for each remote element, until
 *	one of them moves less than it should
 * @BY_BATCH: BATCH with PVMREAD_STOP, with one segment for each &struct piece
 * @TARGETS: each door above has its own target. The doors below use one of these targets,
 *	after the target's own door has sent the same request
 * @BY_RESIDENT: READV or WRITEV with PVMREAD_RESIDENT, every other time with
 *	PVMREAD_NOWAIT. It goes to the target of @BY_IOCTL, in which all
 *	pages of the request are mapped by then
 * @BY_CACHED: as @BY_FILE and to the same target, with PVMREAD_CACHE; only for reads
 * @BY_CACHED_AGAIN: the same once more: the cache has the pages
 * @BY_CACHED_BATCH: as @BY_BATCH, by the file of @BY_CACHED
 * @DOORS: how many there are
 *
 * A target file does not see a request's arrays. So a request that fails because of its
 * arrays is not sent by @BY_FILE, @BY_BATCH and the like. If the process does not exist,
 * ATTACH fails.
 */
enum door {
	BY_SYSCALL,
	BY_IOCTL,
	BY_PIDFD,
	BY_FILE,
	BY_BATCH,
	TARGETS,
	BY_RESIDENT = TARGETS,
	BY_CACHED,
	BY_CACHED_AGAIN,
	BY_CACHED_BATCH,
	DOORS
};

static const char * const door_name[DOORS] = {
	[BY_SYSCALL] = "syscall",
	[BY_IOCTL] = "ioctl",
	[BY_PIDFD] = "pidfd",
	[BY_FILE] = "file",
	[BY_BATCH] = "batch",
	[BY_RESIDENT] = "resident",
	[BY_CACHED] = "cached",
	[BY_CACHED_AGAIN] = "cached again",
	[BY_CACHED_BATCH] = "cached batch",
};

/* The door whose target this door uses. */
static enum door host(enum door by)
{
	return by < TARGETS ? by : by == BY_RESIDENT ? BY_IOCTL : BY_FILE;
}

#define ALL_DOORS	((1U << DOORS) - 1)

struct target {
	pid_t pid;
	int pidfd;
	int file;		/* the target file; may be written */
	int cached;		/* another one, with PVMREAD_CACHE, or -1 */
	int mem;		/* /proc/PID/mem */
	int ask;		/* a byte asks for sum_up_hidden() */
	int answer;
	struct files files;
	pid_t tid;		/* of a second thread, if there is one */
};

/*
 * Which pages to compare after a request. Comparing all of them each time would take
 * most of the time of a case. The next full comparison finds errors in skipped pages.
 */
enum look {
	WRITTEN_TO,	/* those that it wrote to, and the one where it ended */
	TOUCHED,	/* all except untouched pages of the targets */
	ALL,
};

/**
 * struct world - equal targets and the arena
 * @dev: the device
 * @doors: bits of the doors to send requests through
 * @sent: number of requests through each
 * @overlooked: how often some bytes were allowed to differ, see may_differ()
 * @lmap: the arena's description
 * @rmap: the targets' description
 * @t: the target that each door leads to
 * @self: the tester
 * @gone: pidfd of an exited process
 * @special: builds more memory in a target; false if that is not available
 * @extra: special memory to compare
 * @hidden: the targets' PROT_NONE memory
 * @lfiles: the files of the arena
 * @pristine: contents of the arena before each request
 * @after: contents after the system call, in pages where they differ from @pristine
 * @changed: these pages
 * @touched: the targets' pages that requests have named so far. The other 'u' and
 *	'z' pages are read only at the end, because reading touches them
 * @lnamed: the arena's pages that the last request named
 * @written: the pages that it wrote to, and the one where it ended
 * @into_target: these are the targets' pages, not the arena's
 * @look: which pages to compare after a request
 * @fresh: ranges of the arena that have no private pages until they are written
 */
struct world {
	int dev;
	unsigned int doors;
	unsigned long sent[DOORS];
	unsigned long overlooked;
	const char *lmap;
	const char *rmap;
	struct target t[TARGETS];
	struct target self;
	int gone;
	bool (*special)(void);
	struct range extra;
	struct range hidden[MAX_PAGES];
	struct files lfiles;
	unsigned char *pristine;
	unsigned char *after;
	bool changed[MAX_PAGES];
	bool touched[MAX_PAGES];
	bool lnamed[MAX_PAGES];
	bool written[MAX_PAGES];
	bool into_target;
	enum look look;
	struct range fresh[MAX_PAGES];
};

enum whom { PEER, SELF, THREAD, NUMBER };

/**
 * struct plan - a request, before its target is chosen
 * @name: its name in the table, NULL for a random one
 * @write: direction
 * @whom: the target: the peer, its second thread, the tester itself or @pid
 * @pid: see @whom; an unused number
 * @fresh: pages of the arena have no private copies before the request
 * @nowait: BY_PIDFD uses PVMREAD_NOWAIT; if false, BY_RESIDENT uses it
 * @l: local elements
 * @r: remote elements
 * @ln: number of readable elements in @l
 * @rn: number of readable elements in @r
 * @lptr: what to pass as the local array
 * @rptr: what to pass as the remote array
 * @lcount: what to pass as the local array's length
 * @rcount: what to pass as the remote array's length
 */
struct plan {
	const char *name;
	bool write;
	enum whom whom;
	pid_t pid;
	bool fresh;
	bool nowait;
	struct iovec l[MAX_SEGS];
	struct iovec r[MAX_SEGS];
	unsigned long ln, rn;
	const struct iovec *lptr, *rptr;
	unsigned long lcount, rcount;
};

/**
 * struct outcome - the result of a request
 * @ret: bytes moved, or -1
 * @err: errno if @ret is -1
 * @rw: the ioctl's struct; for a target file or BATCH only @transferred and @error
 */
struct outcome {
	ssize_t ret;
	int err;
	struct pvmread_rw rw;
};

/* A part of a request that one element of each side holds. */
struct piece {
	uintptr_t local;
	uintptr_t remote;
	size_t len;
	unsigned long element;	/* the remote one */
};

static struct world world;
static struct plan plan;
static struct iovec vec_after[2][MAX_SEGS];
static struct piece pieces[2 * MAX_SEGS];
static unsigned char oracle[MAX_PAGES * PAGE];	/* the memory of the system call's target */
static unsigned char scratch[MAX_PAGES * PAGE];
static unsigned char junk[32 * PAGE];	/* what no target holds */

static void fill(void *to, size_t len, uint64_t seed)
{
	uint64_t *word = to;
	uint64_t x = mix(seed);
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		word[i] = x ^ (x >> 32);
	}
}

/* Return: the page of the window that contains @addr, or -1. */
static long page_of(uintptr_t addr, uintptr_t base, const char *map)
{
	if (addr < base || addr - base >= strlen(map) * PAGE)
		return -1;
	return (addr - base) / PAGE;
}

static size_t run_length(const char *map)
{
	return strspn(map, (char []){ *map, 0 });
}

/* The ranges of a window whose pages are of one of @kinds. */
static void find_ranges(struct range *out, uintptr_t base, const char *map, const char *kinds)
{
	size_t i, n;

	for (i = 0; map[i]; i += n) {
		n = strspn(map + i, kinds);
		if (n) {
			*out++ = (struct range){ base + i * PAGE, n * PAGE };
			continue;
		}
		n = strcspn(map + i, kinds);
	}
	*out = (struct range){ 0 };
}

/* Fill the pages of a file that are mapped with one of @kinds. */
static void fill_mapped(unsigned char *file, const char *map, const char *kinds, uint64_t seed)
{
	size_t i;

	for (i = 0; map[i]; i++)
		if (strchr(kinds, map[i]))
			fill(file + i * PAGE, PAGE, seed + i);
}

static bool open_files(struct files *f, const char *map, uint64_t seed)
{
	f->len = strlen(map) * PAGE;
	f->priv = memfd_create("private", MFD_CLOEXEC);
	f->shared = memfd_create("shared", MFD_CLOEXEC);
	if (f->priv < 0 || f->shared < 0 || ftruncate(f->priv, f->len) ||
	    ftruncate(f->shared, f->len))
		return false;
	f->priv_alias = mmap(NULL, f->len, PROT_READ | PROT_WRITE, MAP_SHARED, f->priv, 0);
	f->shared_alias = mmap(NULL, f->len, PROT_READ | PROT_WRITE, MAP_SHARED, f->shared, 0);
	if (f->priv_alias == MAP_FAILED || f->shared_alias == MAP_FAILED)
		return false;
	fill_mapped(f->priv_alias, map, IN_PRIVATE_FILE, mix(seed ^ 'p'));
	fill_mapped(f->shared_alias, map, IN_SHARED_FILE, mix(seed ^ 's'));
	return true;
}

static void close_files(struct files *f)
{
	munmap(f->priv_alias, f->len);
	munmap(f->shared_alias, f->len);
	close(f->priv);
	close(f->shared);
}

/**
 * build_window() - create the memory of a description
 * @base: its address
 * @map: the description
 * @f: the files to map
 * @seed: of the contents
 *
 * Return: true if all of it could be created.
 */
static bool build_window(uintptr_t base, const char *map, const struct files *f, uint64_t seed)
{
	size_t i, n;

	for (i = 0; map[i]; i += n) {
		int prot = strchr(CAN_WRITE, map[i]) ? PROT_READ | PROT_WRITE : PROT_READ;
		void *at = (void *)(base + i * PAGE);
		off_t off = i * PAGE;
		int flags = MAP_SHARED;
		int fd = f->shared;
		void *got;

		n = run_length(map + i);
		switch (map[i]) {
		case 'c':
			continue;
		case '.':
			if (munmap(at, n * PAGE))
				return false;
			continue;
		case 'w':
		case 'r':
		case '-':
			prot = PROT_READ | PROT_WRITE;
			flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
			fd = -1;
			break;
		case 'u':
		case 'z':
			flags = MAP_PRIVATE | MAP_ANONYMOUS;
			fd = -1;
			break;
		case 'p':
		case 'q':
			flags = MAP_PRIVATE;
			fd = f->priv;
			break;
		case 'e':
			off += f->len;
			break;
		}
		got = mmap(at, n * PAGE, prot, flags | MAP_FIXED, fd, fd < 0 ? 0 : off);
		if (got != at)
			return false;
		if (flags & MAP_POPULATE)
			fill(at, n * PAGE, seed + i);
		if (map[i] == 'r' && mprotect(at, n * PAGE, PROT_READ))
			return false;
		if (map[i] == '-' && mprotect(at, n * PAGE, PROT_NONE))
			return false;
	}
	return true;
}

static uint64_t sum_up(uint64_t sum, uintptr_t base, size_t len)
{
	const unsigned char *p = (void *)base;
	size_t i;

	for (i = 0; i < len; i++)
		sum = sum * 31 + p[i];
	return sum;
}

/*
 * Sum up the memory that only the target itself can always read: special memory, which
 * may be secret, and PROT_NONE memory, which only some kernels show in /proc/PID/mem.
 */
static uint64_t sum_up_hidden(const struct world *w)
{
	uint64_t sum = sum_up(1, w->extra.base, w->extra.len);
	const struct range *range;

	for (range = w->hidden; range->len; range++) {
		mprotect((void *)range->base, range->len, PROT_READ);
		sum = sum_up(sum, range->base, range->len);
		mprotect((void *)range->base, range->len, PROT_NONE);
	}
	return sum;
}

static void *sleep_forever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void *tell_tid(void *out)
{
	__atomic_store_n((pid_t *)out, syscall(SYS_gettid), __ATOMIC_RELEASE);
	return sleep_forever(NULL);
}

/* The main loop of a target. It dies with the tester. */
static void live(struct world *w, struct target *t, int ask, int answer, uint64_t seed)
{
	pthread_t thread;
	pid_t tid = 0;
	uint64_t sum;
	char c;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || !build_window(RBASE, w->rmap, &t->files, seed))
		_exit(1);
	if (w->special) {
		if (pthread_create(&thread, NULL, tell_tid, &tid))
			_exit(1);
		while (!__atomic_load_n(&tid, __ATOMIC_ACQUIRE))
			usleep(100);
		if (!w->special())
			tid = -1;
	}
	if (write(answer, &tid, sizeof(tid)) != sizeof(tid))
		_exit(1);
	/* Also exits if the tester died before the prctl() */
	while (read(ask, &c, 1) == 1) {
		sum = sum_up_hidden(w);
		if (write(answer, &sum, sizeof(sum)) != sizeof(sum))
			break;
	}
	_exit(0);
}

static bool start_target(struct world *w, enum door by, uint64_t seed)
{
	struct target *t = &w->t[by];
	int ask[2], answer[2];
	char path[32];

	if (!open_files(&t->files, w->rmap, seed) || pipe2(ask, O_CLOEXEC) ||
	    pipe2(answer, O_CLOEXEC))
		return false;
	t->pid = fork();
	if (t->pid < 0)
		return false;
	if (!t->pid) {
		close(ask[1]);
		close(answer[0]);
		live(w, t, ask[0], answer[1], seed);
	}
	close(ask[0]);
	close(answer[1]);
	t->ask = ask[1];
	t->answer = answer[0];
	if (read(t->answer, &t->tid, sizeof(t->tid)) != sizeof(t->tid))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/mem", t->pid);
	t->mem = open(path, O_RDONLY | O_CLOEXEC);
	t->pidfd = open_pidfd(t->pid);
	if (by == BY_BATCH && w->doors & 1U << BY_PIDFD)
		t->file = attach(w->dev, t->pidfd, PVMREAD_WRITE | PVMREAD_PIDFD, 0, 0);
	else
		t->file = attach(w->dev, t->pid, PVMREAD_WRITE, 0, 0);
	t->cached = -1;
	if (by == BY_FILE && w->doors & 1U << BY_CACHED)
		t->cached = attach(w->dev, t->pid, PVMREAD_CACHE, 0, 0);
	return t->mem >= 0 && t->pidfd >= 0 && t->file >= 0;
}

static void stop_target(struct target *t)
{
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	close(t->pidfd);
	close(t->file);
	close(t->cached);
	close(t->mem);
	close(t->ask);
	close(t->answer);
	close_files(&t->files);
}

/**
 * open_world() - build the targets and the arena
 * @w: the world; @dev, @special and @extra are set
 * @lmap: the arena's description
 * @rmap: the targets' description
 * @seed: of all contents
 *
 * Return: true, or false after saying what is wrong.
 */
static bool open_world(struct world *w, const char *lmap, const char *rmap, uint64_t seed)
{
	size_t lsize = strlen(lmap) * PAGE;
	size_t i, n;

	w->lmap = lmap;
	w->rmap = rmap;
	memset(w->touched, 0, sizeof(w->touched));
	find_ranges(w->hidden, RBASE, rmap, "-");
	find_ranges(w->fresh, LBASE, lmap, HAS_NO_COPY);

	/* All children inherit these pages from here. */
	for (i = 0; rmap[i]; i += n) {
		void *at = (void *)(RBASE + i * PAGE);

		n = run_length(rmap + i);
		if (rmap[i] != 'c')
			continue;
		if (mmap(at, n * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) != at)
			goto fail;
		fill(at, n * PAGE, seed - i);
	}
	for (i = 0; i < TARGETS; i++)
		if (!start_target(w, i, seed))
			goto fail;

	if (!open_files(&w->lfiles, lmap, ~seed) || !build_window(LBASE, lmap, &w->lfiles, ~seed))
		goto fail;
	/* 'c' has no meaning here */
	if (strchr(lmap, 'c'))
		goto fail;
	w->pristine = malloc(lsize);
	w->after = malloc(lsize);
	if (!w->pristine || !w->after)
		goto fail;
	for (i = 0; lmap[i]; i++)
		if (strchr(CAN_READ, lmap[i]))
			memcpy(w->pristine + i * PAGE, (void *)(LBASE + i * PAGE), PAGE);
	return true;
fail:
	say("cannot build the memory to test with: %s", strerror(errno));
	return false;
}

static void close_world(struct world *w)
{
	size_t i;

	for (i = 0; i < TARGETS; i++)
		stop_target(&w->t[i]);
	munmap((void *)LBASE, strlen(w->lmap) * PAGE);
	munmap((void *)RBASE, strlen(w->rmap) * PAGE);
	close_files(&w->lfiles);
	free(w->pristine);
	free(w->after);
}

/* Are the bytes @b that a door left equal to the bytes @a that the system call left? */
static bool same_bytes(enum door by, const char *what, uintptr_t base, const unsigned char *a,
		       const unsigned char *b, size_t len)
{
	size_t i = 0;

	if (!memcmp(a, b, len))
		return true;
	while (a[i] == b[i])
		i++;
	say("first difference: %s, address %#lx: syscall %02x, %s %02x", what,
	    (unsigned long)(base + i), a[i], door_name[by], b[i]);
	return false;
}

/*
 * Drop the private copies that the last request made, even if the contents are the same.
 * A request of a process to itself needs that: its writes may break COW on a page that it
 * has pinned for reading.
 */
static void drop_copies(struct world *w)
{
	const struct range *range;

	for (range = w->fresh; range->len; range++)
		if (memchr(&w->lnamed[(range->base - LBASE) / PAGE], true, range->len / PAGE))
			madvise((void *)range->base, range->len, MADV_DONTNEED);
}

/* Is page @i of the arena to be compared? */
static bool in_view(const struct world *w, size_t i)
{
	if (!strchr(CAN_READ, w->lmap[i]))
		return false;
	return w->look >= TOUCHED || (w->written[i] && !w->into_target);
}

static void put_back(struct world *w, size_t i)
{
	memcpy((void *)(LBASE + i * PAGE), w->pristine + i * PAGE, PAGE);
}

/* Save what the system call did to the arena, and restore the arena. */
static void take_arena(struct world *w)
{
	size_t i;

	for (i = 0; w->lmap[i]; i++) {
		void *page = (void *)(LBASE + i * PAGE);

		w->changed[i] = in_view(w, i) && memcmp(page, w->pristine + i * PAGE, PAGE);
		if (!w->changed[i])
			continue;
		memcpy(w->after + i * PAGE, page, PAGE);
		put_back(w, i);
	}
}

/* Did another door do the same to the arena? Restore the arena. */
static bool same_arena(struct world *w, enum door by)
{
	size_t i;

	for (i = 0; w->lmap[i]; i++) {
		unsigned char *want = (w->changed[i] ? w->after : w->pristine) + i * PAGE;
		unsigned char *page = (void *)(LBASE + i * PAGE);

		if (!in_view(w, i))
			continue;
		if (!same_bytes(by, "the caller's memory", (uintptr_t)page, want, page, PAGE))
			return false;
		if (w->changed[i])
			put_back(w, i);
	}
	return true;
}

/*
 * Return: how many of the targets' pages from @i on to compare through one path: the file
 * of a shared mapping if @by_file, otherwise fetch().
 */
static size_t run_to_compare(const struct world *w, size_t i, enum look at, bool by_file)
{
	const char *map = w->rmap;
	size_t n;

	for (n = 0; map[i + n]; n++) {
		char kind = map[i + n];

		if (at == WRITTEN_TO && !w->written[i + n])
			break;
		if (strchr(".-e", kind) || !strchr(IN_SHARED_FILE, kind) == by_file)
			break;
		if (at == TOUCHED && strchr("uz", kind) && !w->touched[i + n])
			break;
	}
	return n;
}

/* How many bytes do the elements name? The sum saturates at the kernel's MAX_RW_COUNT. */
static size_t total(const struct iovec *iov, unsigned long n)
{
	size_t sum = 0;
	unsigned long i;

	for (i = 0; i < n; i++) {
		if (iov[i].iov_len > MAX_RW_COUNT - sum)
			return MAX_RW_COUNT;
		sum += iov[i].iov_len;
	}
	return sum;
}

/*
 * Read ranges of a target into @local. For WRITTEN_TO use the system call, which takes
 * all ranges at once, otherwise /proc/PID/mem.
 */
static bool fetch(const struct target *t, enum look at, const struct iovec *local,
		  const struct iovec *remote, unsigned long n)
{
	const struct request req = {
		.pid = t->pid,
		.local = local,
		.local_count = n,
		.remote = remote,
		.remote_count = n,
	};
	unsigned long i;

	if (at == WRITTEN_TO)
		return send_syscall(&req) == (ssize_t)total(local, n);
	for (i = 0; i < n; i++)
		if (pread(t->mem, local[i].iov_base, local[i].iov_len,
			  (uintptr_t)remote[i].iov_base) != (ssize_t)local[i].iov_len)
			return false;
	return true;
}

/**
 * read_target() - compare a target's memory
 * @w: the world
 * @by: the door of the target
 * @at: the pages
 *
 * The system call's target must be the first: its memory is saved, and the others are
 * compared with it.
 *
 * Return: true, or false after printing the first difference.
 */
static bool read_target(struct world *w, enum door by, enum look at)
{
	static struct iovec local[MAX_PAGES], remote[MAX_PAGES];
	const struct target *t = &w->t[host(by)];
	unsigned char *to = by == BY_SYSCALL ? oracle : scratch;
	unsigned long runs = 0;
	size_t i, n;

	if (at == WRITTEN_TO && !w->into_target)
		return true;
	for (i = 0; w->rmap[i]; i += n ? n : 1) {
		n = run_to_compare(w, i, at, true);
		if (!same_bytes(by, "the shared file", RBASE + i * PAGE,
				w->t[BY_SYSCALL].files.shared_alias + i * PAGE,
				t->files.shared_alias + i * PAGE, n * PAGE))
			return false;
		if (n)
			continue;
		n = run_to_compare(w, i, at, false);
		if (!n)
			continue;
		local[runs] = (struct iovec){ to + i * PAGE, n * PAGE };
		remote[runs++] = (struct iovec){ (void *)(RBASE + i * PAGE), n * PAGE };
	}
	if (runs && !fetch(t, at, local, remote, runs)) {
		say("cannot look at the target: %s", door_name[by]);
		return false;
	}
	for (i = 0; i < runs && by != BY_SYSCALL; i++) {
		uintptr_t base = (uintptr_t)remote[i].iov_base;

		if (!same_bytes(by, "the target's memory", base, oracle + (base - RBASE),
				local[i].iov_base, local[i].iov_len))
			return false;
	}
	return true;
}

/* Do all targets hold the same in memory that only they can look at? */
static bool same_hidden(const struct world *w)
{
	uint64_t sum, first = 0;
	enum door by;

	for (by = 0; by < TARGETS; by++) {
		const struct target *t = &w->t[by];

		if (write(t->ask, "?", 1) != 1 || read(t->answer, &sum, sizeof(sum)) != sizeof(sum))
			return false;
		if (!by)
			first = sum;
		if (sum != first) {
			say("PROT_NONE or special memory of the target differs: %s",
			    door_name[by]);
			return false;
		}
	}
	return true;
}

/**
 * same_rest() - compare what is too slow or intrusive to compare after each case
 * @w: the world
 * @seed: what it was built from
 *
 * Return: true, or false after saying what differs.
 */
static bool same_rest(struct world *w, uint64_t seed)
{
	const struct files *a = &w->t[BY_SYSCALL].files;
	enum door by;
	size_t i;

	for (by = 0; by < TARGETS; by++) {
		const struct files *b = &w->t[by].files;

		if (!read_target(w, by, ALL))
			return false;
		for (i = 0; w->rmap[i]; i++)
			if (strchr(IN_PRIVATE_FILE, w->rmap[i]) &&
			    !same_bytes(by, "the file under a private mapping", RBASE + i * PAGE,
					a->priv_alias + i * PAGE, b->priv_alias + i * PAGE, PAGE))
				return false;
	}
	if (!same_hidden(w))
		return false;
	/* The parent's view of pages that the targets share with it until they are written */
	for (i = 0; w->rmap[i]; i++) {
		size_t n = run_length(w->rmap + i);
		void *at = (void *)(RBASE + i * PAGE);

		if (w->rmap[i] != 'c')
			continue;
		fill(scratch, n * PAGE, seed - i);
		if (memcmp(scratch, at, n * PAGE)) {
			say("the parent's copy at %p has changed", at);
			return false;
		}
		i += n - 1;
	}
	for (i = 0; w->lmap[i]; i++) {
		size_t n = run_length(w->lmap + i);
		void *at = (void *)(LBASE + i * PAGE);

		if (w->lmap[i] != '-')
			continue;
		fill(scratch, n * PAGE, ~seed + i);
		if (mprotect(at, n * PAGE, PROT_READ) || memcmp(scratch, at, n * PAGE)) {
			say("the caller's PROT_NONE memory at %p has changed", at);
			return false;
		}
		mprotect(at, n * PAGE, PROT_NONE);
		i += n - 1;
	}
	return true;
}

/* Note which pages of a window the first @limit bytes of a vector lie in. */
static void note_pages(bool *named, uintptr_t base, const char *map, const struct iovec *iov,
		       unsigned long n, size_t limit)
{
	uintptr_t top = base + strlen(map) * PAGE;
	unsigned long i;

	for (i = 0; i < n; i++) {
		size_t len = iov[i].iov_len < limit ? iov[i].iov_len : limit;
		uintptr_t from = (uintptr_t)iov[i].iov_base;
		uintptr_t to = from + len;

		limit -= len;
		/* An end that wraps is also past the top */
		if (to > top || to < from)
			to = top;
		if (from < base)
			from = base;
		for (from -= from % PAGE; from < to; from += PAGE)
			named[(from - base) / PAGE] = true;
	}
}

/* Before a request is sent, note the pages that it names. */
static void note_named(struct world *w, const struct plan *p)
{
	memset(w->lnamed, 0, sizeof(w->lnamed));
	note_pages(w->lnamed, LBASE, w->lmap, p->l, p->ln, SIZE_MAX);
	if (p->whom == SELF)
		note_pages(w->lnamed, LBASE, w->lmap, p->r, p->rn, SIZE_MAX);
	else
		note_pages(w->touched, RBASE, w->rmap, p->r, p->rn, SIZE_MAX);
}

/* After the system call has moved @moved bytes, note the pages that it wrote to. */
static void note_written(struct world *w, const struct plan *p, ssize_t moved)
{
	size_t limit = moved < 0 ? 1 : moved + 1;

	memset(w->written, 0, sizeof(w->written));
	w->into_target = p->write && p->whom != SELF;
	if (w->into_target)
		note_pages(w->written, RBASE, w->rmap, p->r, p->rn, limit);
	else if (p->write)
		note_pages(w->written, LBASE, w->lmap, p->r, p->rn, limit);
	else
		note_pages(w->written, LBASE, w->lmap, p->l, p->ln, limit);
}

static void say_vector(const char *side, const struct iovec *iov, unsigned long n, const void *ptr,
		       unsigned long count, unsigned long max)
{
	unsigned long i;

	say("  %s: array at %p, count %lu, of which %lu can be read", side, ptr, count, n);
	for (i = 0; i < n && i < max; i++) {
		uintptr_t base = (uintptr_t)iov[i].iov_base;
		const struct world *w = &world;
		long page = page_of(base, LBASE, w->lmap);
		char kind = page < 0 ? ' ' : w->lmap[page];
		char window = page < 0 ? ' ' : 'L';

		if (page < 0) {
			page = page_of(base, RBASE, w->rmap);
			kind = page < 0 ? ' ' : w->rmap[page];
			window = page < 0 ? ' ' : 'R';
		}
		say("    [%lu] %#lx + %#lx  %c page %ld '%c' + %lu", i, (unsigned long)base,
		    (unsigned long)iov[i].iov_len, window, page, kind,
		    (unsigned long)base % PAGE);
	}
}

static void say_map(const char *what, const char *map)
{
	printf("#   %s ", what);
	for (; *map; map += run_length(map))
		printf(" %zu%c", run_length(map), *map);
	printf("\n");
}

static void say_plan(const struct plan *p)
{
	/* A long request of the table repeats its first elements */
	unsigned long max = p->name ? 12 : ULONG_MAX;
	static const char * const whom[] = {
		[PEER] = "the peer", [SELF] = "itself", [THREAD] = "the peer's thread",
		[NUMBER] = "by its number",
	};

	say("request: %s: %s, target %s", p->name ? p->name : "at random",
	    p->write ? "WRITEV" : "READV", whom[p->whom]);
	if (p->whom == NUMBER)
		say("  pid %d", p->pid);
	say_map("arena  ", world.lmap);
	say_map("targets", world.rmap);
	say_vector("local", p->l, p->ln, p->lptr, p->lcount, max);
	say_vector("remote", p->r, p->rn, p->rptr, p->rcount, max);
}

static void say_outcome(const char *who, const struct outcome *o)
{
	/* Only the device says why it stopped */
	const char *why = o->rw.error ? strerror(o->rw.error) : "-";

	if (o->ret < 0)
		say("  %-8s -1 %s; error %s", who, strerror(o->err), why);
	else
		say("  %-8s %zd; error %s", who, o->ret, why);
}

/* Return: the number of bytes that the request would move without errors. */
static size_t wanted(const struct plan *p)
{
	size_t ltotal = total(p->l, p->ln), rtotal = total(p->r, p->rn);

	return ltotal < rtotal ? ltotal : rtotal;
}

/* The address of byte @n of the vector, or 0 when it has fewer. */
static uintptr_t byte_at(const struct iovec *iov, unsigned long count, size_t n)
{
	unsigned long i;

	for (i = 0; i < count; i++) {
		if (n < iov[i].iov_len)
			return (uintptr_t)iov[i].iov_base + n;
		n -= iov[i].iov_len;
	}
	return 0;
}

/**
 * explains() - are the ioctl's additional results correct?
 * @p: the request
 * @o: its result
 *
 * Return: true when @error and @stop_addr fit the result.
 */
static bool explains(const struct plan *p, const struct outcome *o)
{
	uintptr_t next;

	if (o->ret < 0) {
		if (o->rw.transferred)
			return false;
		if (o->err != EFAULT)
			return o->rw.error == (unsigned int)o->err && !o->rw.stop_addr;
		next = byte_at(p->r, p->rn, 0);
		if (o->rw.error == EIO)
			return o->rw.stop_addr == next;
		return o->rw.error == EFAULT &&
		       (!o->rw.stop_addr || o->rw.stop_addr == next);
	}
	if (!o->rw.error != ((size_t)o->ret == wanted(p)))
		return false;
	next = byte_at(p->r, p->rn, o->ret);
	if (o->rw.error == EIO)
		return o->rw.stop_addr == next;
	/* A local fault between two remote elements may be reported for either */
	if (o->rw.error == EFAULT && o->rw.stop_addr == next)
		return true;
	if (o->rw.error && o->rw.error != EFAULT)
		return false;
	return o->rw.stop_addr == (o->ret ? byte_at(p->r, p->rn, o->ret - 1) + 1 : 0);
}

/**
 * cut() - cut a request wherever an element of either side ends
 * @p: the request, whose arrays could be read
 *
 * Return: how many @pieces it has.
 */
static unsigned long cut(const struct plan *p)
{
	unsigned long n = 0, l = 0, r = 0;
	size_t left = wanted(p);
	size_t loff = 0, roff = 0;

	while (left) {
		size_t len = p->l[l].iov_len - loff;

		if (len > p->r[r].iov_len - roff)
			len = p->r[r].iov_len - roff;
		if (len > left)
			len = left;
		if (len)
			pieces[n++] = (struct piece){
				.local = (uintptr_t)p->l[l].iov_base + loff,
				.remote = (uintptr_t)p->r[r].iov_base + roff,
				.len = len,
				.element = r,
			};
		left -= len;
		loff += len;
		roff += len;
		if (loff == p->l[l].iov_len) {
			l++;
			loff = 0;
		}
		if (roff == p->r[r].iov_len) {
			r++;
			roff = 0;
		}
	}
	return n;
}

/* Return: the target that @by leads to. */
static const struct target *target_for(const struct world *w, const struct plan *p, enum door by)
{
	return p->whom == SELF ? &w->self : &w->t[host(by)];
}

/* Return: the pid or thread id that the request names. */
static pid_t pid_for(const struct world *w, const struct plan *p, enum door by)
{
	const struct target *t = target_for(w, p, by);

	return p->whom == NUMBER ? p->pid : p->whom == THREAD ? t->tid : t->pid;
}

/* Return: the pidfd of the process that the request names, even if it names a thread. */
static int pidfd_for(const struct world *w, const struct plan *p, enum door by)
{
	return p->whom == NUMBER ? w->gone : target_for(w, p, by)->pidfd;
}

/* Return: a target file of the process that the request names, or -1 with errno set. */
static int file_for(const struct world *w, const struct plan *p, enum door by)
{
	if (p->whom == NUMBER || p->whom == THREAD)
		return attach(w->dev, pid_for(w, p, by),
			      by >= BY_CACHED ? PVMREAD_CACHE : PVMREAD_WRITE, 0, 0);
	return by >= BY_CACHED ? target_for(w, p, by)->cached : target_for(w, p, by)->file;
}

static void send_rw(int dev, const struct request *req, unsigned int flags, struct outcome *o)
{
	o->rw = (struct pvmread_rw){
		.size = sizeof(o->rw),
		.flags = flags,
		.pid = req->pid,
		.local = (uintptr_t)req->local,
		.local_count = req->local_count,
		.remote = (uintptr_t)req->remote,
		.remote_count = req->remote_count,
	};
	o->ret = ioctl(dev, req->write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &o->rw);
	if (!o->ret)
		o->ret = o->rw.transferred;
}

static ssize_t transfer(int file, bool write, const struct iovec *iov, int n, off64_t at)
{
	return write ? pwritev64(file, iov, n, at) : preadv64(file, iov, n, at);
}

/* A request through a target file. @error is the reason for its end. */
static void send_by_file(int file, const struct plan *p, struct outcome *o)
{
	static struct iovec slice[MAX_SEGS];
	unsigned long n = cut(p), i, j;
	struct iovec *iov = slice, *end = slice;
	off64_t at = 0;
	ssize_t got = 0;

	for (i = 0; i < n; i = j) {
		size_t len = 0;

		for (j = i; j < n && pieces[j].element == pieces[i].element; j++) {
			slice[j - i].iov_base = (void *)pieces[j].local;
			slice[j - i].iov_len = pieces[j].len;
			len += pieces[j].len;
		}
		end = slice + (j - i);
		at = pieces[i].remote;
		got = transfer(file, p->write, slice, end - slice, at);
		if (got > 0)
			o->rw.transferred += got;
		if (got != (ssize_t)len)
			break;
	}
	/* A short transfer does not say why it ended; an attempt to continue there does */
	if (i < n && got >= 0) {
		at += got;
		while (iov < end && (size_t)got >= iov->iov_len)
			got -= iov++->iov_len;
		iov->iov_base += got;
		iov->iov_len -= got;
		got = transfer(file, p->write, iov, end - iov, at);
	}
	/* The kernel itself rejects an address that is negative as a position */
	if (got < 0)
		o->rw.error = errno == EINVAL && at < 0 ? EIO : errno;
	o->ret = o->rw.transferred;
}

/* A request as a BATCH: true if the results of the segments are consistent. */
static bool send_by_batch(int file, const struct plan *p, struct outcome *o)
{
	static struct pvmread_segment segments[2 * MAX_SEGS];
	const struct pvmread_segment unset = { .error = 0xfeed, .done = ~0ULL };
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = PVMREAD_STOP | (p->write ? PVMREAD_WRITE : 0),
		.segments = (uintptr_t)segments,
		.count = cut(p),
	};
	unsigned long i;

	for (i = 0; i < batch.count; i++) {
		segments[i] = unset;
		segments[i].remote = pieces[i].remote;
		segments[i].local = pieces[i].local;
		segments[i].length = pieces[i].len;
	}
	o->ret = ioctl(file, PVMREAD_IOC_BATCH, &batch);
	if (o->ret)
		return true;
	for (i = 0; i < batch.count; i++) {
		const struct pvmread_segment *s = &segments[i];
		bool whole = s->done == s->length;

		if (s->remote != pieces[i].remote || s->local != pieces[i].local ||
		    s->length != pieces[i].len || s->flags)
			return false;
		if (i >= batch.completed) {
			/* It stopped before this one, for a reason */
			if (!o->rw.error || s->error != unset.error || s->done != unset.done)
				return false;
			continue;
		}
		/* Only the last one that has a result may be short */
		if (s->done > s->length || whole != !s->error ||
		    (!whole && i + 1 != batch.completed))
			return false;
		o->rw.transferred += s->done;
		o->rw.error = s->error;
	}
	o->ret = o->rw.transferred;
	return batch.completed <= batch.count;
}

/*
 * A request with PVMREAD_RESIDENT after the same one without it, so that all its pages
 * are present. Before a write, write other bytes to the target, because otherwise a write
 * without effect would go unnoticed.
 */
static bool send_by_resident(const struct world *w, struct request *req, const struct plan *p,
			     ssize_t moved, struct outcome *o)
{
	if (p->write && p->whom != SELF && moved > 0) {
		struct iovec other[(MAX_PAGES * PAGE + HUGE_PAGE) / sizeof(junk) + 1];
		struct request before = *req;
		size_t left = moved;
		unsigned long n;

		for (n = 0; left && n < ARRAY_SIZE(other); n++) {
			other[n].iov_base = junk;
			other[n].iov_len = left < sizeof(junk) ? left : sizeof(junk);
			left -= other[n].iov_len;
		}
		before.local = other;
		before.local_count = n;
		send_rw(w->dev, &before, 0, o);
		if (o->ret != moved)
			return false;
	}
	send_rw(w->dev, req, PVMREAD_RESIDENT | (p->nowait ? 0 : PVMREAD_NOWAIT), o);
	return true;
}

/**
 * send_by() - send a request through one of the doors
 * @w: the world
 * @p: the request
 * @by: the door
 * @moved: what the system call returned
 * @o: its result
 *
 * Return: true, or false if the request went wrong in a way that @o cannot say.
 */
static bool send_by(const struct world *w, const struct plan *p, enum door by, ssize_t moved,
		    struct outcome *o)
{
	struct request req = {
		.pid = pid_for(w, p, by),
		.write = p->write,
		.local = p->lptr,
		.local_count = p->lcount,
		.remote = p->rptr,
		.remote_count = p->rcount,
	};
	bool good = true;
	int file;

	errno = 0;
	switch (by) {
	case BY_SYSCALL:
		o->ret = send_syscall(&req);
		break;
	case BY_IOCTL:
		send_rw(w->dev, &req, 0, o);
		break;
	case BY_PIDFD:
		req.pid = pidfd_for(w, p, by);
		send_rw(w->dev, &req, PVMREAD_PIDFD | (p->nowait ? PVMREAD_NOWAIT : 0), o);
		break;
	case BY_RESIDENT:
		good = send_by_resident(w, &req, p, moved, o);
		break;
	default:
		file = file_for(w, p, by);
		if (file < 0)
			o->ret = -1;
		else if (by == BY_BATCH || by == BY_CACHED_BATCH)
			good = send_by_batch(file, p, o);
		else
			send_by_file(file, p, o);
		if (file >= 0 && (p->whom == NUMBER || p->whom == THREAD))
			close(file);
	}
	o->err = errno;
	return good;
}

/* Does the request use a page of the arena that has no private copy? */
static bool comes_to_fresh_page(const struct world *w, const struct plan *p)
{
	bool named[MAX_PAGES] = { 0 };
	size_t i;

	note_pages(named, LBASE, w->lmap, p->r, p->rn, SIZE_MAX);
	for (i = 0; w->lmap[i]; i++)
		if (named[i] && strchr(HAS_NO_COPY, w->lmap[i]))
			return true;
	return false;
}

/* Can the request be sent through this door? See &enum door. */
static bool leads_there(const struct world *w, const struct plan *p, enum door by,
			const struct outcome *dev)
{
	if (!(w->doors & 1U << by))
		return false;
	switch (by) {
	case BY_FILE:
	case BY_BATCH:
	case BY_CACHED:
	case BY_CACHED_AGAIN:
	case BY_CACHED_BATCH:
		if (p->write && by >= BY_CACHED)
			return false;
		if (p->whom == NUMBER)
			return by == BY_FILE;
		/* EFAULT without an address means that the kernel rejected an array */
		return dev->ret >= 0 ||
		       (dev->err == EFAULT && (dev->rw.error == EIO || dev->rw.stop_addr));
	case BY_RESIDENT:
		/* The tester has dropped what the previous request had faulted in */
		return p->whom != SELF || !comes_to_fresh_page(w, p);
	default:
		return true;
	}
}

/**
 * same_outcome() - does a door have the same result as the system call and the ioctl?
 * @p: the request
 * @by: the door
 * @all: the results of the doors, this one last
 *
 * Return: true, or false after saying what is wrong.
 */
static bool same_outcome(const struct plan *p, enum door by, const struct outcome *all)
{
	const struct outcome *sys = &all[BY_SYSCALL], *dev = &all[BY_IOCTL], *o = &all[by];
	bool same = sys->ret == o->ret && (sys->ret >= 0 || sys->err == o->err);

	switch (by) {
	case BY_IOCTL:
		if (same && !explains(p, o)) {
			say("error %u and stop_addr %#llx do not tell what happened", o->rw.error,
			    (unsigned long long)o->rw.stop_addr);
			return false;
		}
		break;
	case BY_FILE:
	case BY_BATCH:
	case BY_CACHED:
	case BY_CACHED_AGAIN:
	case BY_CACHED_BATCH:
		/* Here a fault at the first byte sets only rw.error: EIO for the target's memory */
		same = p->whom == NUMBER ? o->ret == -1 && o->err == ESRCH :
		       o->ret == (sys->ret > 0 ? sys->ret : 0) && o->rw.error == dev->rw.error;
		break;
	default:
		same = same && o->rw.transferred == dev->rw.transferred &&
		       o->rw.error == dev->rw.error && o->rw.stop_addr == dev->rw.stop_addr;
	}
	if (!same)
		say("the results differ: %s", door_name[by]);
	return same;
}

/*
 * If a process names itself, and a request reads what it has written, the order of the
 * steps matters. READV and WRITEV take the steps of the system call. Target files,
 * BATCH, PVMREAD_NOWAIT and PVMREAD_RESIDENT do not:
 *
 *  - The system call pins the page that READV reads. A write to that page may give the
 *    process a private copy, while the pinned page keeps the old bytes. The engine holds
 *    no page while the caller's memory is faulted in, and then looks the page up again. A
 *    BATCH keeps pages for its next segments.
 *  - The two sides of one piece overlap. The engine copies in other units, and
 *    continues where the caller's memory faulted.
 *
 * So a byte that the request has written may differ in three cases, and no other byte may:
 *
 *  - It was copied from a byte that may differ itself.
 *  - It was copied from a byte that the same piece writes.
 *  - READV copied it from a byte that an earlier piece wrote, in a page that had no
 *    private copy.
 */
static bool may_differ(const struct plan *p, enum door by)
{
	return p->whom == SELF && by != BY_IOCTL && (by != BY_PIDFD || p->nowait);
}

enum { WRITTEN = 1, EITHER = 2, NO_COPY = 4 };

/* Mark the bytes of the arena that may differ. Return: are there any? */
static bool find_either(const struct world *w, const struct plan *p, size_t moved,
			unsigned char *mark)
{
	const size_t size = strlen(w->lmap) * PAGE;
	unsigned long n = cut(p), i;
	bool found = false;

	for (i = 0; w->lmap[i]; i++)
		memset(mark + i * PAGE, strchr(HAS_NO_COPY, w->lmap[i]) ? NO_COPY : 0, PAGE);
	for (i = 0; i < n && moved; i++) {
		size_t local = pieces[i].local - LBASE, remote = pieces[i].remote - LBASE;
		size_t to = p->write ? remote : local, from = p->write ? local : remote;
		size_t len = pieces[i].len < moved ? pieces[i].len : moved;
		size_t k;

		moved -= len;
		for (k = 0; k < len && to + k < size; k++) {
			unsigned char had = from + k < size ? mark[from + k] : 0;
			/* If the source lies before @to, the difference wraps and is large. */
			bool own = from + k - to < len;

			mark[to + k] &= ~EITHER;
			mark[to + k] |= WRITTEN;
			if (had & EITHER || own ||
			    (!p->write && had & WRITTEN && had & NO_COPY)) {
				mark[to + k] |= EITHER;
				found = true;
			}
		}
	}
	return found;
}

/* Accept the bytes of the arena that may differ. */
static void overlook(struct world *w, const struct plan *p, size_t moved)
{
	static unsigned char mark[MAX_PAGES * PAGE];
	size_t i;

	if (!find_either(w, p, moved, mark))
		return;
	w->overlooked++;
	for (i = 0; i < strlen(w->lmap) * PAGE; i++)
		if (mark[i] & EITHER)
			*(unsigned char *)(LBASE + i) =
				(w->changed[i / PAGE] ? w->after : w->pristine)[i];
}

static bool same_arrays(const struct plan *p, enum door by)
{
	if (!memcmp(vec_after[0], p->lptr, p->ln * sizeof(*p->l)) &&
	    !memcmp(vec_after[1], p->rptr, p->rn * sizeof(*p->r)))
		return true;
	say("the iovec arrays differ: %s", door_name[by]);
	return false;
}

static void put_arrays_back(const struct plan *p)
{
	memcpy((void *)p->lptr, p->l, p->ln * sizeof(*p->l));
	memcpy((void *)p->rptr, p->r, p->rn * sizeof(*p->r));
}

/**
 * agree() - send a request through all doors and compare all results
 * @w: the world; the arena must be in its initial state, and is restored afterwards
 * @p: the request
 * @o: if not NULL, set to the common result
 *
 * Return: true, or false after printing the request and the first difference.
 */
static bool agree(struct world *w, const struct plan *p, struct outcome *o)
{
	struct outcome all[DOORS] = { 0 };
	unsigned int tried = 0;
	bool same = true;
	enum door by;

	note_named(w, p);
	for (by = 0; same && by < DOORS; by++) {
		ssize_t moved = all[BY_SYSCALL].ret;

		if (!leads_there(w, p, by, &all[BY_IOCTL]))
			continue;
		tried |= 1U << by;
		w->sent[by]++;
		if (p->fresh)
			drop_copies(w);
		if (!send_by(w, p, by, moved, &all[by])) {
			say("the answer makes no sense: %s", door_name[by]);
			same = false;
		}
		if (by == BY_SYSCALL) {
			/* It may overwrite the arrays: the kernel has already copied them */
			memcpy(vec_after[0], p->lptr, p->ln * sizeof(*p->l));
			memcpy(vec_after[1], p->rptr, p->rn * sizeof(*p->r));
			note_written(w, p, all[by].ret);
			take_arena(w);
		} else {
			if (may_differ(p, by) && moved > 0)
				overlook(w, p, moved);
			same = same_outcome(p, by, all) && same;
			same = same_arrays(p, by) && same;
			same = same_arena(w, by) && same;
		}
		put_arrays_back(p);
		same = read_target(w, by, w->look) && same;
	}
	if (!same) {
		for (by = 0; by < DOORS; by++)
			if (tried & 1U << by)
				say_outcome(door_name[by], &all[by]);
		say_plan(p);
	}
	if (o) {
		*o = all[BY_SYSCALL];
		o->rw = all[BY_IOCTL].rw;
	}
	return same;
}

/*
 * The place of an iovec array. A hole follows an array area.
 */
enum vec {
	PLAIN,		/* at the area's start */
	FLUSH,		/* the last element ends where the area does */
	CUT,		/* the last but one ends there: the last cannot be read */
	SPLIT,		/* half of the last element is in the area */
	ODD,		/* not aligned */
	NOWHERE,	/* not mapped */
	NULL_PTR,
	KERNEL_PTR,
};

/**
 * place() - place an iovec array
 * @iov: the elements
 * @n: how many; on return how many of them can be read
 * @side: 0 for the local array's area, 1 for the remote's
 * @how: where in it
 *
 * Return: the address to pass.
 */
static const struct iovec *place(const struct iovec *iov, unsigned long *n, int side, enum vec how)
{
	unsigned char *area = (unsigned char *)VBASE + side * 16 * PAGE;
	unsigned char *end = area + VEC_PAGES * PAGE;
	size_t fits = *n * sizeof(*iov);
	unsigned char *at = area;

	switch (how) {
	case PLAIN:
		break;
	case FLUSH:
		at = end - fits;
		break;
	case CUT:
		fits = *n ? fits - sizeof(*iov) : 0;
		at = end - fits;
		break;
	case SPLIT:
		fits = *n ? fits - sizeof(*iov) / 2 : 0;
		at = end - fits;
		break;
	case ODD:
		at = area + 5;
		break;
	case NOWHERE:
		*n = 0;
		return (void *)end;
	case NULL_PTR:
		*n = 0;
		return NULL;
	case KERNEL_PTR:
		*n = 0;
		return (void *)KERNEL_ADDR;
	}
	memcpy(at, iov, fits);
	*n = fits / sizeof(*iov);
	return (void *)at;
}

/* A side of a request in the table */
struct side {
	const struct range *seg;
	unsigned long n;	/* elements in @seg */
	unsigned long repeat;	/* if not 0, the number of elements: @seg is repeated */
	unsigned long count;	/* if not 0, what to pass as count */
	enum vec vec;
};

/**
 * struct row - a named request of the table
 * @name: what is special about it
 * @l: the caller's side
 * @r: the target's side
 * @want: what READV and WRITEV must return, -errno or the number of bytes
 * @whom: the target
 * @pid: if @whom is NUMBER
 *
 * Agreement of the doors proves little if the request does not do what its name says.
 * So the table also has the result.
 */
struct row {
	const char *name;
	struct side l, r;
	ssize_t want[2];
	enum whom whom;
	pid_t pid;
	bool far;		/* too long for a 32-bit kernel's user space: ignore @want */
};

#define ANY		SSIZE_MAX	/* kernels and machines differ */
#define L(page, off, len)	{ LBASE + (page) * PAGE + (off), (len) }
#define R(page, off, len)	{ RBASE + (page) * PAGE + (off), (len) }
#define AT(addr, len)		{ (addr), (len) }
#define SEGS(...)	.seg = (const struct range[]){ __VA_ARGS__ }, \
			.n = sizeof((const struct range[]){ __VA_ARGS__ }) / sizeof(struct range)
#define BOTH(ret)	.want = { [0 ... 1] = (ret) }
#define EACH(rd, wr)	.want = { rd, wr }
#define NEGATIVE	((size_t)SSIZE_MAX + 1)

static unsigned long expand(struct iovec *iov, const struct side *side)
{
	unsigned long n = side->repeat ? side->repeat : side->n;
	unsigned long i;

	for (i = 0; i < n; i++) {
		iov[i].iov_base = (void *)side->seg[i % side->n].base;
		iov[i].iov_len = side->seg[i % side->n].len;
	}
	return n;
}

/* Is this what a request should return? It may be less if the caller's memory faults. */
static bool is_wanted(ssize_t got, ssize_t want)
{
	ssize_t moved = got == -EFAULT ? 0 : got;

	return got == want ||
	       (want > 0 && moved >= 0 && moved < want && moved >= want - COPY_SLACK);
}

/* Send one row of the table, in both directions. */
static bool try_row(struct world *w, const struct row *row)
{
	struct plan *p = &plan;
	struct outcome o;
	int dir;

	p->nowait = !p->nowait;
	for (dir = 0; dir < 2; dir++) {
		ssize_t want = row->want[dir];
		ssize_t got;

		p->name = row->name;
		p->write = dir;
		p->whom = row->whom;
		p->pid = row->pid;
		p->fresh = true;
		p->ln = expand(p->l, &row->l);
		p->rn = expand(p->r, &row->r);
		p->lcount = row->l.count ? row->l.count : p->ln;
		p->rcount = row->r.count ? row->r.count : p->rn;
		p->lptr = place(p->l, &p->ln, 0, row->l.vec);
		p->rptr = place(p->r, &p->rn, 1, row->r.vec);
		if (!agree(w, p, &o))
			return false;
		got = o.ret < 0 ? -o.err : o.ret;
		if (row->far && !has_64_bit_kernel())
			continue;
		if (want != ANY && !is_wanted(got, want)) {
			say("all doors returned %zd instead of %zd", got, want);
			say_plan(p);
			return false;
		}
	}
	return true;
}

#define TABLE_SEED	1

/**
 * try_rows() - send a part of the table
 * @w: the world, not open
 * @lmap: the arena
 * @rmap: the targets' memory
 * @row: the rows
 * @n: how many
 *
 * Return: true, or false after printing the divergence.
 */
static bool try_rows(struct world *w, const char *lmap, const char *rmap, const struct row *row,
		     size_t n)
{
	bool good = true;
	size_t i;

	if (!open_world(w, lmap, rmap, TABLE_SEED))
		return false;
	for (i = 0; good && i < n; i++)
		good = try_row(w, &row[i]);
	good = good && same_rest(w, TABLE_SEED);
	close_world(w);
	return good;
}

/* An unused process id, that of an exited child, and its pidfd. */
static pid_t dead_pid(int *pidfd)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pidfd)
		*pidfd = open_pidfd(pid);
	waitpid(pid, NULL, 0);
	return pid;
}

/* The doors that this module on this kernel has. */
static unsigned int find_doors(int dev)
{
	const unsigned long long all = PVMREAD_FEATURE_ATTACH | PVMREAD_FEATURE_BATCH |
				       PVMREAD_FEATURE_NOWAIT | PVMREAD_FEATURE_RESIDENT;
	struct pvmread_info info = { .size = sizeof(info) };
	unsigned int doors = ALL_DOORS;

	if (ioctl(dev, PVMREAD_IOC_INFO, &info) || (info.features & all) != all)
		return 0;
	if (!(info.features & PVMREAD_FEATURE_PIDFD)) {
		say("this kernel has no PVMREAD_PIDFD");
		doors &= ~(1U << BY_PIDFD);
	}
	if (!(info.features & PVMREAD_FEATURE_CACHE)) {
		say("this kernel has no PVMREAD_CACHE");
		doors &= ~(1U << BY_CACHED | 1U << BY_CACHED_AGAIN | 1U << BY_CACHED_BATCH);
	}
	return doors;
}

FIXTURE(parity) {
};

FIXTURE_SETUP(parity)
{
	int side;

	memset(&world, 0, sizeof(world));
	memset(junk, 0x5a, sizeof(junk));
	world.look = TOUCHED;
	world.dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_GE(world.dev, 0) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	world.doors = find_doors(world.dev);
	ASSERT_NE(0U, world.doors) {
		TH_LOG("the module does not have all doors");
	}
	dead_pid(&world.gone);
	ASSERT_GE(world.gone, 0);
	world.self.pid = getpid();
	world.self.pidfd = open_pidfd(getpid());
	ASSERT_GE(world.self.pidfd, 0);
	world.self.file = attach(world.dev, getpid(), PVMREAD_WRITE, 0, 0);
	ASSERT_GE(world.self.file, 0);
	world.self.cached = -1;
	if (world.doors & 1U << BY_CACHED)
		world.self.cached = attach(world.dev, getpid(), PVMREAD_CACHE, 0, 0);
	for (side = 0; side < 2; side++) {
		void *at = (void *)(VBASE + side * 16 * PAGE);

		ASSERT_EQ(at, mmap(at, VEC_PAGES * PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE,
				   -1, 0));
	}
}

FIXTURE_TEARDOWN(parity)
{
	close(world.dev);
}

static const char short_map[] = "wwwwwwww";

static const struct row lengths[] = {
	{ "one segment each", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) }, BOTH(100) },
	{ "one byte", { SEGS(L(0, 8, 1)) }, { SEGS(R(1, PAGE - 1, 1)) }, BOTH(1) },
	{ "no local segment", { 0 }, { SEGS(R(0, 0, 100)) }, BOTH(0) },
	{ "no remote segment", { SEGS(L(0, 0, 100)) }, { 0 }, BOTH(0) },
	{ "no segment at all", { 0 }, { 0 }, BOTH(0) },
	{ "local length 0", { SEGS(L(0, 0, 0)) }, { SEGS(R(0, 0, 100)) }, BOTH(0) },
	{ "remote length 0", { SEGS(L(0, 0, 100)) }, { SEGS(R(0, 0, 0)) }, BOTH(0) },
	{ "all lengths 0, local",
	  { SEGS(L(0, 0, 0), L(1, 0, 0), L(2, 0, 0)) }, { SEGS(R(0, 0, 100)) }, BOTH(0) },
	{ "all lengths 0, remote",
	  { SEGS(L(0, 0, 100)) }, { SEGS(R(0, 0, 0), R(1, 0, 0), R(2, 0, 0)) }, BOTH(0) },
	{ "length 0 first",
	  { SEGS(L(0, 0, 0), L(1, 1, 50)) }, { SEGS(R(0, 0, 0), R(1, 7, 60)) }, BOTH(50) },
	{ "length 0 last",
	  { SEGS(L(1, 1, 60), L(0, 0, 0)) }, { SEGS(R(1, 7, 50), R(0, 0, 0)) }, BOTH(50) },
	{ "length 0 in between",
	  { SEGS(L(1, 1, 60), L(0, 0, 0), L(2, 3, 9)) },
	  { SEGS(R(1, 7, 9), R(0, 0, 0), R(1, 9, 60)) }, BOTH(69) },
	{ "length 0 in between, many",
	  { SEGS(L(1, 1, 6), L(0, 0, 0), L(2, 3, 0), L(3, 7, 11)), .repeat = 40 },
	  { SEGS(R(1, 7, 0), R(0, 0, 0), R(1, 9, 17)), .repeat = 30 }, BOTH(170) },
	{ "length 0 at a bad address, remote",
	  { SEGS(L(0, 0, 100)) }, { SEGS(AT(KERNEL_ADDR, 0), R(0, 0, 100)) }, BOTH(100) },
	{ "length 0 at a bad address, local",
	  { SEGS(AT(KERNEL_ADDR, 0), L(0, 0, 100)) }, { SEGS(R(0, 0, 100)) }, BOTH(ANY) },
	{ "length 0 at a bad address, nothing else",
	  { SEGS(AT(KERNEL_ADDR, 0)) }, { SEGS(AT(KERNEL_ADDR, 0)) }, BOTH(ANY) },
	{ "local longer than remote",
	  { SEGS(L(0, 8, PAGE + 904)) }, { SEGS(R(1, 1, PAGE + 903)) }, BOTH(PAGE + 903) },
	{ "remote longer than local",
	  { SEGS(L(0, 8, PAGE + 903)) }, { SEGS(R(1, 1, PAGE + 904)) }, BOTH(PAGE + 903) },
	{ "remote segment not reached",
	  { SEGS(L(0, 8, 10)) }, { SEGS(R(1, 1, 10), AT(KERNEL_ADDR, 8)) }, BOTH(10) },
	{ "local segment not reached",
	  { SEGS(L(0, 8, 10), L(100, 0, 8)) }, { SEGS(R(1, 1, 10)) }, BOTH(10) },
	{ "segments that overlap",
	  { SEGS(L(0, 8, 3000), L(0, 108, 3000)) }, { SEGS(R(1, 1, 4000), R(1, 2, 4000)) },
	  BOTH(6000) },
	{ "8 segments either side, the most that fit on the kernel's stack",
	  { SEGS(L(0, 8, 10)), .repeat = 8 }, { SEGS(R(0, 8, 10), R(1, 1, 10)), .repeat = 8 },
	  BOTH(80) },
	{ "9 segments either side",
	  { SEGS(L(0, 8, 10)), .repeat = 9 }, { SEGS(R(0, 8, 10), R(1, 1, 10)), .repeat = 9 },
	  BOTH(90) },
	{ "1,024 segments either side",
	  { SEGS(L(0, 8, 7)), .repeat = 1024 }, { SEGS(R(0, 8, 5)), .repeat = 1024 },
	  BOTH(5120) },
	{ "1,025 local segments",
	  { SEGS(L(0, 8, 7)), .repeat = 1025 }, { SEGS(R(0, 8, 5)) }, BOTH(-EINVAL) },
	{ "1,025 remote segments",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 5)), .repeat = 1025 }, BOTH(-EINVAL) },
	{ "1,025 local segments of length 0",
	  { SEGS(L(0, 8, 0)), .repeat = 1025 }, { SEGS(R(0, 8, 5)) }, BOTH(-EINVAL) },
	{ "1,025 remote segments of length 0",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 0)), .repeat = 1025 }, BOTH(-EINVAL) },
	{ "1,025 remote segments, nothing local",
	  { 0 }, { SEGS(R(0, 8, 5)), .repeat = 1025 }, BOTH(0) },
	{ "2^31 local segments",
	  { SEGS(L(0, 8, 7)), .count = 0x80000000UL }, { SEGS(R(0, 8, 5)) }, BOTH(-EINVAL) },
	{ "2^32 - 1 local segments",
	  { SEGS(L(0, 8, 7)), .count = 0xffffffffUL }, { SEGS(R(0, 8, 5)) }, BOTH(-EINVAL) },
	{ "2^31 remote segments",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 5)), .count = 0x80000000UL }, BOTH(-EINVAL) },
	{ "ULONG_MAX remote segments",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 5)), .count = ULONG_MAX }, BOTH(-EINVAL) },
#if __SIZEOF_POINTER__ == 8
	{ "2^32 remote segments",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 5)), .count = 1UL << 32 }, BOTH(-EINVAL) },
	{ "2^32 + 1 remote segments",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 5)), .count = (1UL << 32) + 1 }, BOTH(-EINVAL) },
	{ "2^63 remote segments",
	  { SEGS(L(0, 8, 7)) }, { SEGS(R(0, 8, 5)), .count = 1UL << 63 }, BOTH(-EINVAL) },
#endif
};

TEST_F(parity, counts_and_lengths_match_syscall)
{
	ASSERT_TRUE(try_rows(&world, short_map, short_map, lengths, ARRAY_SIZE(lengths)));
}

static const struct row numbers[] = {
	{ "negative local length", { SEGS(L(0, 8, NEGATIVE)) }, { SEGS(R(0, 0, 9)) },
	  BOTH(-EINVAL) },
	{ "negative remote length", { SEGS(L(0, 8, 9)) }, { SEGS(R(0, 0, NEGATIVE)) },
	  BOTH(-EINVAL) },
	{ "local length -1", { SEGS(L(0, 8, SIZE_MAX)) }, { SEGS(R(0, 0, 9)) }, BOTH(-EINVAL) },
	{ "remote length -1", { SEGS(L(0, 8, 9)) }, { SEGS(R(0, 0, SIZE_MAX)) }, BOTH(-EINVAL) },
	{ "negative local length first",
	  { SEGS(L(0, 8, NEGATIVE), L(1, 0, 9), L(2, 0, 9)) }, { SEGS(R(0, 0, 27)) },
	  BOTH(-EINVAL) },
	{ "negative local length in the middle",
	  { SEGS(L(0, 8, 9), L(1, 0, NEGATIVE), L(2, 0, 9)) }, { SEGS(R(0, 0, 27)) },
	  BOTH(-EINVAL) },
	{ "negative local length last",
	  { SEGS(L(0, 8, 9), L(1, 0, 9), L(2, 0, NEGATIVE)) }, { SEGS(R(0, 0, 27)) },
	  BOTH(-EINVAL) },
	{ "negative remote length first",
	  { SEGS(L(0, 8, 27)) }, { SEGS(R(0, 0, NEGATIVE), R(1, 0, 9), R(2, 0, 9)) },
	  BOTH(-EINVAL) },
	{ "negative remote length in the middle",
	  { SEGS(L(0, 8, 27)) }, { SEGS(R(0, 0, 9), R(1, 0, NEGATIVE), R(2, 0, 9)) },
	  BOTH(-EINVAL) },
	{ "negative remote length last, never reached",
	  { SEGS(L(0, 8, 9)) }, { SEGS(R(0, 0, 9), R(1, 0, 9), R(2, 0, NEGATIVE)) },
	  BOTH(-EINVAL) },
	{ "negative local length, no remote segment", { SEGS(L(0, 8, NEGATIVE)) }, { 0 },
	  BOTH(-EINVAL) },
	{ "negative remote length, no local segment", { 0 }, { SEGS(R(0, 8, NEGATIVE)) },
	  BOTH(0) },
	{ "negative local length after a kernel address",
	  { SEGS(AT(KERNEL_ADDR, 8), L(0, 0, NEGATIVE)) }, { SEGS(R(0, 0, 9)) },
	  BOTH(-EINVAL) },
	{ "longest local length", { SEGS(L(0, 0, SSIZE_MAX)) }, { SEGS(R(0, 0, 100)) },
	  BOTH(100), .far = true },
	{ "longest local length, second",
	  { SEGS(L(0, 0, 8), L(1, 0, SSIZE_MAX)) }, { SEGS(R(0, 0, 100)) }, BOTH(ANY) },
	{ "longest remote length", { SEGS(L(0, 0, 100)) }, { SEGS(R(0, 0, SSIZE_MAX)) },
	  BOTH(100) },
	{ "longest remote length, to the window's end",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(4, 4, SSIZE_MAX)) }, BOTH(4 * PAGE - 4) },
	{ "longest lengths on both sides",
	  { SEGS(L(0, 0, SSIZE_MAX)) }, { SEGS(R(2, 4, SSIZE_MAX)) },
	  BOTH(6 * PAGE - 4), .far = true },
	{ "lengths whose sum overflows",
	  { SEGS(L(0, 0, 100)) }, { SEGS(R(0, 0, 50), R(0, 0, SSIZE_MAX), R(1, 0, SSIZE_MAX)) },
	  BOTH(100) },
	{ "local base + length wraps", { SEGS(AT(-PAGE, 2 * PAGE)) }, { SEGS(R(0, 0, 100)) },
	  BOTH(-EFAULT) },
	{ "local base + length wraps, second",
	  { SEGS(L(0, 0, 8), AT(-PAGE, 2 * PAGE)) }, { SEGS(R(0, 0, 100)) }, BOTH(ANY) },
	{ "remote base + length wraps", { SEGS(L(0, 0, 100)) }, { SEGS(AT(-PAGE, 2 * PAGE)) },
	  BOTH(-EFAULT) },
	{ "remote base + length wraps to a mapped page",
	  { SEGS(L(0, 0, 100)) }, { SEGS(R(0, 0, 50), AT(-PAGE, RBASE + 2 * PAGE)) }, BOTH(50) },
	{ "remote base + length is 2^64", { SEGS(L(0, 0, 100)) }, { SEGS(AT(-PAGE, PAGE)) },
	  BOTH(-EFAULT) },
	{ "remote segment wraps, never reached",
	  { SEGS(L(0, 0, 50)) }, { SEGS(R(0, 0, 50), AT(-PAGE, 2 * PAGE)) }, BOTH(50) },
	{ "local kernel address", { SEGS(AT(KERNEL_ADDR, 8)) }, { SEGS(R(0, 0, 8)) },
	  BOTH(-EFAULT) },
	{ "local kernel address, second",
	  { SEGS(L(0, 0, 8), AT(KERNEL_ADDR, 8)) }, { SEGS(R(0, 0, 16)) }, BOTH(ANY) },
	{ "remote kernel address", { SEGS(L(0, 0, 8)) }, { SEGS(AT(KERNEL_ADDR, 8)) },
	  BOTH(-EFAULT) },
	{ "remote kernel address, second",
	  { SEGS(L(0, 0, 16)) }, { SEGS(R(0, 0, 8), AT(KERNEL_ADDR, 8)) }, BOTH(8) },
	{ "local address that is not canonical", { SEGS(AT(ODD_ADDR, 8)) }, { SEGS(R(0, 0, 8)) },
	  BOTH(-EFAULT) },
	{ "remote address that is not canonical", { SEGS(L(0, 0, 8)) }, { SEGS(AT(ODD_ADDR, 8)) },
	  BOTH(-EFAULT) },
	{ "local segment at 0", { SEGS(AT(0, 8)) }, { SEGS(R(0, 0, 8)) }, BOTH(-EFAULT) },
	{ "remote segment at 0", { SEGS(L(0, 0, 8)) }, { SEGS(AT(0, 8)) }, BOTH(-EFAULT) },
	{ "bad addresses on both sides", { SEGS(AT(KERNEL_ADDR, 8)) }, { SEGS(AT(0, 8)) },
	  BOTH(-EFAULT) },
};

TEST_F(parity, hostile_addresses_and_lengths_match_syscall)
{
	ASSERT_TRUE(try_rows(&world, short_map, short_map, numbers, ARRAY_SIZE(numbers)));
}

static const struct row arrays[] = {
	{ "local array flush with the end of memory",
	  { SEGS(L(0, 8, 10), L(1, 0, 10)), .vec = FLUSH }, { SEGS(R(0, 8, 20)) }, BOTH(20) },
	{ "remote array flush with the end of memory",
	  { SEGS(L(0, 8, 20)) }, { SEGS(R(0, 8, 10), R(1, 0, 10)), .vec = FLUSH }, BOTH(20) },
	{ "arrays not aligned",
	  { SEGS(L(0, 8, 10), L(1, 0, 10)), .vec = ODD },
	  { SEGS(R(0, 8, 10), R(1, 0, 10)), .vec = ODD }, BOTH(20) },
	{ "local array NULL", { SEGS(L(0, 8, 10)), .vec = NULL_PTR }, { SEGS(R(0, 8, 10)) },
	  BOTH(-EFAULT) },
	{ "remote array NULL", { SEGS(L(0, 8, 10)) }, { SEGS(R(0, 8, 10)), .vec = NULL_PTR },
	  BOTH(-EFAULT) },
	{ "both arrays NULL and empty", { .vec = NULL_PTR }, { .vec = NULL_PTR }, BOTH(0) },
	{ "remote array NULL, but nothing local", { 0 }, { SEGS(R(0, 8, 10)), .vec = NULL_PTR },
	  BOTH(0) },
	{ "local array NULL, count too large",
	  { SEGS(L(0, 8, 10)), .vec = NULL_PTR, .count = 1025 }, { SEGS(R(0, 8, 10)) },
	  BOTH(-EINVAL) },
	{ "remote array NULL, count too large",
	  { SEGS(L(0, 8, 10)) }, { SEGS(R(0, 8, 10)), .vec = NULL_PTR, .count = 1025 },
	  BOTH(-EINVAL) },
	{ "local array in the kernel",
	  { SEGS(L(0, 8, 10)), .vec = KERNEL_PTR }, { SEGS(R(0, 8, 10)) }, BOTH(-EFAULT) },
	{ "remote array in the kernel",
	  { SEGS(L(0, 8, 10)) }, { SEGS(R(0, 8, 10)), .vec = KERNEL_PTR }, BOTH(-EFAULT) },
	{ "local array not mapped", { SEGS(L(0, 8, 10)), .vec = NOWHERE }, { SEGS(R(0, 8, 10)) },
	  BOTH(-EFAULT) },
	{ "remote array not mapped",
	  { SEGS(L(0, 8, 10)) }, { SEGS(R(0, 8, 10)), .vec = NOWHERE }, BOTH(-EFAULT) },
	{ "local array runs into a hole",
	  { SEGS(L(0, 8, 10), L(1, 0, 10), L(2, 0, 10)), .vec = CUT }, { SEGS(R(0, 8, 20)) },
	  BOTH(-EFAULT) },
	{ "remote array runs into a hole, at an element that is not needed",
	  { SEGS(L(0, 8, 20)) }, { SEGS(R(0, 8, 10), R(1, 0, 10), R(2, 0, 10)), .vec = CUT },
	  BOTH(-EFAULT) },
	{ "local element half in a hole",
	  { SEGS(L(0, 8, 10), L(1, 0, 10), L(2, 0, 10)), .vec = SPLIT }, { SEGS(R(0, 8, 20)) },
	  BOTH(-EFAULT) },
	{ "remote element half in a hole",
	  { SEGS(L(0, 8, 20)) }, { SEGS(R(0, 8, 10), R(1, 0, 10), R(2, 0, 10)), .vec = SPLIT },
	  BOTH(-EFAULT) },
	{ "only local element half in a hole",
	  { SEGS(L(0, 8, 10)), .vec = SPLIT }, { SEGS(R(0, 8, 20)) }, BOTH(-EFAULT) },
	{ "1,024 local elements run into a hole",
	  { SEGS(L(0, 8, 10)), .repeat = 1024, .vec = CUT }, { SEGS(R(0, 8, 20)) },
	  BOTH(-EFAULT) },
	{ "1,024 remote elements run into a hole",
	  { SEGS(L(0, 8, 20)) }, { SEGS(R(0, 8, 10)), .repeat = 1024, .vec = CUT },
	  BOTH(-EFAULT) },
	{ "negative local length before the hole in the array",
	  { SEGS(L(0, 8, NEGATIVE), L(1, 0, 10), L(2, 0, 10)), .vec = CUT },
	  { SEGS(R(0, 8, 20)) }, BOTH(-EINVAL) },
	{ "negative remote length before the hole in the array",
	  { SEGS(L(0, 8, 10)) },
	  { SEGS(R(0, 8, NEGATIVE), R(1, 0, 10), R(2, 0, 10)), .vec = CUT }, BOTH(-EINVAL) },
	{ "kernel address before the hole in the local array",
	  { SEGS(AT(KERNEL_ADDR, 8), L(1, 0, 10), L(2, 0, 10)), .vec = CUT },
	  { SEGS(R(0, 8, 20)) }, BOTH(-EFAULT) },
	{ "both arrays bad, the local one by a length",
	  { SEGS(L(0, 8, NEGATIVE)) }, { SEGS(R(0, 8, 20)), .vec = NOWHERE }, BOTH(-EINVAL) },
	{ "both arrays bad, the remote one by its count",
	  { SEGS(L(0, 8, 8)), .vec = NOWHERE }, { SEGS(R(0, 8, 20)), .repeat = 1025 },
	  BOTH(-EFAULT) },
	{ "remote array bad, the process as well",
	  { SEGS(L(0, 8, 8)) }, { SEGS(R(0, 8, 20)), .vec = NOWHERE }, BOTH(-EFAULT),
	  .whom = NUMBER, .pid = -1 },
	{ "the transfer overwrites the arrays",
	  { SEGS(AT(VBASE, 64), AT(VBASE + 16 * PAGE, 64), L(0, 0, 64)) },
	  { SEGS(R(0, 8, 100), R(1, 0, 92)) }, BOTH(192) },
	{ "the transfer overwrites long arrays",
	  { SEGS(AT(VBASE, 8), AT(VBASE + 16 * PAGE, 8), L(0, 0, 64)), .repeat = 900 },
	  { SEGS(R(0, 8, 10), R(1, 0, 9)), .repeat = 900 }, BOTH(8550) },
};

TEST_F(parity, iovec_arrays_match_syscall)
{
	ASSERT_TRUE(try_rows(&world, short_map, short_map, arrays, ARRAY_SIZE(arrays)));
}

static const struct row pages[] = {
	{ "two bytes across a page boundary",
	  { SEGS(L(0, PAGE - 1, 2)) }, { SEGS(R(3, PAGE - 1, 2)) }, BOTH(2) },
	{ "a page from the middle of one to the middle of the next",
	  { SEGS(L(0, 100, PAGE)) }, { SEGS(R(3, 2000, PAGE)) }, BOTH(PAGE) },
	{ "15 pages", { SEGS(L(0, 0, 15 * PAGE)) }, { SEGS(R(0, 0, 15 * PAGE)) },
	  BOTH(15 * PAGE) },
	{ "16 pages, the most whose pointers fit on the kernel's stack",
	  { SEGS(L(0, 0, 16 * PAGE)) }, { SEGS(R(0, 0, 16 * PAGE)) }, BOTH(16 * PAGE) },
	{ "15 pages and 2 bytes, in 17 pages",
	  { SEGS(L(0, 0, 17 * PAGE)) }, { SEGS(R(0, PAGE - 1, 15 * PAGE + 2)) },
	  BOTH(15 * PAGE + 2) },
	{ "17 pages", { SEGS(L(0, 0, 17 * PAGE)) }, { SEGS(R(0, 0, 17 * PAGE)) },
	  BOTH(17 * PAGE) },
	{ "1,023 pages", { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(0, 0, 1023 * PAGE)) },
	  BOTH(1023 * PAGE) },
	{ "1,024 pages, the most that are pinned at once",
	  { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(0, 0, 1024 * PAGE)) }, BOTH(1024 * PAGE) },
	{ "1,024 pages, the last by one byte",
	  { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(0, 1, 1023 * PAGE)) }, BOTH(1023 * PAGE) },
	{ "1,025 pages", { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(0, 0, 1025 * PAGE)) },
	  BOTH(1025 * PAGE) },
	{ "1,025 pages, the last by one byte",
	  { SEGS(L(0, 7, 1030 * PAGE)) }, { SEGS(R(0, 1, 1024 * PAGE)) }, BOTH(1024 * PAGE) },
	{ "the local side ends within the first pin, the remote does not",
	  { SEGS(L(0, 7, 1000)) }, { SEGS(R(0, 1, 1030 * PAGE)) }, BOTH(1000) },
	{ "the local side ends with the first pin",
	  { SEGS(L(0, 0, 1024 * PAGE)) }, { SEGS(R(0, 0, 1030 * PAGE)) }, BOTH(1024 * PAGE) },
	{ "the local side ends with the last byte but one of the first pin",
	  { SEGS(L(0, 0, 1024 * PAGE - 1)) }, { SEGS(R(0, 0, 1030 * PAGE)) },
	  BOTH(1024 * PAGE - 1) },
	{ "the local side ends a byte after the first pin",
	  { SEGS(L(0, 0, 1024 * PAGE + 1)) }, { SEGS(R(0, 0, 1030 * PAGE)) },
	  BOTH(1024 * PAGE + 1) },
	{ "boundaries that never line up",
	  { SEGS(L(0, 0, PAGE - 1), L(7, 13, 1), L(9, PAGE - 96, 977), L(20, 1, 2 * PAGE - 1)),
	    .repeat = 100 },
	  { SEGS(R(0, 1, PAGE + 1), R(13, 5, 3), R(30, PAGE - 3, 997)), .repeat = 100 },
	  BOTH(34 * PAGE + 33034) },
	{ "a big segment against small ones",
	  { SEGS(L(3, 3, 40 * PAGE)) }, { SEGS(R(0, PAGE - 6, 13)), .repeat = 1024 },
	  BOTH(13 * 1024) },
	{ "small segments against a big one",
	  { SEGS(L(0, PAGE - 6, 13), L(3, 7, 1), L(4, PAGE - 1, 2)), .repeat = 1023 },
	  { SEGS(R(3, 3, 40 * PAGE)) }, BOTH(16 * 341) },
};

TEST_F(parity, page_and_pin_batch_boundaries_match_syscall)
{
	char map[1040 + 1] = "";

	memset(map, 'w', 1040);
	ASSERT_TRUE(try_rows(&world, map, map, pages, ARRAY_SIZE(pages)));
}

static const struct row far_holes[] = {
	{ "hole at the last page of the first pin",
	  { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(1, 0, 1030 * PAGE)) }, BOTH(1023 * PAGE) },
	{ "hole where the second pin begins",
	  { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(0, 0, 1030 * PAGE)) }, BOTH(1024 * PAGE) },
	{ "hole far into the first pin, unaligned",
	  { SEGS(L(0, 0, 1030 * PAGE)) }, { SEGS(R(500, 500, 1030 * PAGE)) },
	  BOTH(524 * PAGE - 500) },
	{ "hole after the local side has ended",
	  { SEGS(L(0, 0, 1000 * PAGE)) }, { SEGS(R(0, 0, 1030 * PAGE)) }, BOTH(1000 * PAGE) },
	{ "hole at the byte after the local side's last",
	  { SEGS(L(0, 0, 1024 * PAGE)) }, { SEGS(R(0, 0, 1030 * PAGE)) }, BOTH(1024 * PAGE) },
	{ "local hole in the second pin",
	  { SEGS(L(20, 0, 1030 * PAGE)) }, { SEGS(R(0, 0, 1024 * PAGE), R(0, 0, 30 * PAGE)) },
	  BOTH(1016 * PAGE) },
};

TEST_F(parity, holes_in_later_pin_batches_match_syscall)
{
	char lmap[1043 + 1] = "", rmap[1041 + 1] = "";

	memset(lmap, 'w', 1043);
	memset(lmap + 1036, '.', 3);
	memset(rmap, 'w', 1041);
	rmap[1024] = '.';
	ASSERT_TRUE(try_rows(&world, lmap, rmap, far_holes, ARRAY_SIZE(far_holes)));
}

/*                               0123456789012345678 */
static const char hole_local[] = "wwwwwwww.wwwr-wweww";
static const char hole_remote[] = ".www.www-wwwrwwwe.w";

static const struct row holes[] = {
	{ "hole first", { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(0, 0, 2 * PAGE)) },
	  BOTH(-EFAULT) },
	{ "hole first, then a good segment",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(0, 0, 10), R(1, 0, 10)) }, BOTH(-EFAULT) },
	{ "hole in the middle of a segment",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(3, 100, 2 * PAGE)) }, BOTH(PAGE - 100) },
	{ "hole in the last page of a segment",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(1, 0, 3 * PAGE + 1)) }, BOTH(3 * PAGE) },
	{ "hole in a later segment",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(1, 0, 10), R(5, 7, 11), R(4, 0, 1), R(1, 0, 9)) },
	  BOTH(21) },
	{ "one byte before the hole",
	  { SEGS(L(0, 0, PAGE)) }, { SEGS(R(3, PAGE - 1, 2)) }, BOTH(1) },
	{ "hole that the local side does not reach",
	  { SEGS(L(0, 0, 96)) }, { SEGS(R(3, PAGE - 96, 200)) }, BOTH(96) },
	{ "hole one byte further than the local side reaches",
	  { SEGS(L(0, 0, 97)) }, { SEGS(R(3, PAGE - 96, 200)) }, BOTH(96) },
	{ "PROT_NONE first", { SEGS(L(0, 0, PAGE)) }, { SEGS(R(8, 5, 20)) }, BOTH(-EFAULT) },
	{ "PROT_NONE in the middle",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(7, 5, 3 * PAGE)) }, BOTH(PAGE - 5) },
	{ "read-only first",
	  { SEGS(L(0, 0, PAGE)) }, { SEGS(R(12, 5, 20)) }, EACH(20, -EFAULT) },
	{ "read-only in the middle",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(11, 5, 3 * PAGE)) },
	  EACH(3 * PAGE, PAGE - 5) },
	{ "past the end of a file", { SEGS(L(0, 0, PAGE)) }, { SEGS(R(16, 5, 20)) },
	  BOTH(-EFAULT) },
	{ "past the end of a file, later",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(14, 5, 3 * PAGE)) }, BOTH(2 * PAGE - 5) },
	{ "nothing after the last page",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(R(18, 0, 3 * PAGE)) }, BOTH(PAGE) },
	{ "local hole first", { SEGS(L(8, 0, 10)) }, { SEGS(R(1, 0, 10)) }, BOTH(-EFAULT) },
	{ "local hole first, then a good segment",
	  { SEGS(L(8, 0, 10), L(0, 0, 10)) }, { SEGS(R(1, 0, 10)) }, BOTH(-EFAULT) },
	{ "local hole in the middle of a segment",
	  { SEGS(L(7, PAGE - 96, 200)) }, { SEGS(R(1, 0, 3 * PAGE)) }, BOTH(96) },
	{ "local hole in the middle of a segment, unaligned",
	  { SEGS(L(7, PAGE - 95, 200)) }, { SEGS(R(1, 3, 3 * PAGE)) }, BOTH(95) },
	{ "local hole some pages into a segment",
	  { SEGS(L(2, 50, 7 * PAGE)) }, { SEGS(R(9, 3, 3 * PAGE - 3), R(13, 3, 3 * PAGE - 3)) },
	  BOTH(6 * PAGE - 50) },
	{ "local hole in a later segment",
	  { SEGS(L(0, 0, 10), L(1, 0, 10), L(8, 0, 1)) }, { SEGS(R(1, 0, 100)) }, BOTH(20) },
	{ "local hole between two remote segments",
	  { SEGS(L(7, PAGE - 96, 200)) }, { SEGS(R(1, 0, 96), R(2, 0, 100)) }, BOTH(96) },
	{ "local hole that the remote side does not reach",
	  { SEGS(L(7, PAGE - 96, 200)) }, { SEGS(R(1, 0, 96)) }, BOTH(96) },
	{ "local hole one byte further than the remote side reaches",
	  { SEGS(L(7, PAGE - 96, 200)) }, { SEGS(R(1, 0, 97)) }, BOTH(96) },
	{ "local read-only",
	  { SEGS(L(12, 4, 100)) }, { SEGS(R(1, 0, 100)) }, EACH(-EFAULT, 100) },
	{ "local read-only in the middle",
	  { SEGS(L(11, PAGE - 96, 200)) }, { SEGS(R(1, 0, 200)) }, EACH(96, 200) },
	/* User mode Linux only checks that the page is present, so it may read PROT_NONE memory */
	{ "local PROT_NONE", { SEGS(L(13, 4, 100)) }, { SEGS(R(1, 0, 100)) }, EACH(-EFAULT, ANY) },
	{ "local past the end of a file",
	  { SEGS(L(15, PAGE - 96, 100)) }, { SEGS(R(1, 0, 100)) }, BOTH(96) },
	{ "both sides bad at once",
	  { SEGS(L(8, 0, 10)) }, { SEGS(R(0, 0, 10)) }, BOTH(-EFAULT) },
	{ "both sides end at the same byte",
	  { SEGS(L(7, PAGE - 96, 200)) }, { SEGS(R(3, PAGE - 96, 200)) }, BOTH(96) },
	{ "the local side is bad a byte before the remote",
	  { SEGS(L(7, PAGE - 95, 200)) }, { SEGS(R(3, PAGE - 96, 200)) }, BOTH(95) },
	{ "the remote side is bad a byte before the local",
	  { SEGS(L(7, PAGE - 96, 200)) }, { SEGS(R(3, PAGE - 95, 200)) }, BOTH(95) },
	{ "every other byte of many segments, then a hole",
	  { SEGS(L(0, 0, 1), L(0, 2, 1), L(0, 4, 1)), .repeat = 600 },
	  { SEGS(R(1, 0, 300), R(1, 50, 200), R(4, 0, 1)), .repeat = 30 }, BOTH(500) },
};

TEST_F(parity, holes_and_permissions_match_syscall)
{
	ASSERT_TRUE(try_rows(&world, hole_local, hole_remote, holes, ARRAY_SIZE(holes)));
}

/*                               012345678901234567890123456789 */
static const char file_local[] = "ppqqssttuuzzww";
static const char file_remote[] = "ppppqqqqssssttttuuuuuuzzzzccccw";

static const struct row files[] = {
	{ "private file, never read", { SEGS(L(12, 9, PAGE)) }, { SEGS(R(0, 5, PAGE)) },
	  BOTH(PAGE) },
	{ "private file, then read-only",
	  { SEGS(L(0, 0, 2 * PAGE)) }, { SEGS(R(3, 5, 2 * PAGE)) }, EACH(2 * PAGE, PAGE - 5) },
	{ "private file, read-only",
	  { SEGS(L(4, 0, 99)) }, { SEGS(R(5, 5, 99)) }, EACH(99, -EFAULT) },
	{ "shared file", { SEGS(L(12, 3, PAGE)) }, { SEGS(R(8, 5, PAGE)) }, BOTH(PAGE) },
	{ "shared file, then read-only",
	  { SEGS(L(4, 3, 2 * PAGE)) }, { SEGS(R(11, 5, PAGE)) }, EACH(PAGE, PAGE - 5) },
	{ "shared file, read-only",
	  { SEGS(L(12, 3, 99)) }, { SEGS(R(12, 5, 99)) }, EACH(99, -EFAULT) },
	{ "anonymous, never touched", { SEGS(L(12, 3, 99)) }, { SEGS(R(16, 5, 99)) }, BOTH(99) },
	{ "anonymous, never touched, more of it than the local side takes",
	  { SEGS(L(12, 3, 99)) }, { SEGS(R(17, 5, 3 * PAGE)) }, BOTH(99) },
	{ "anonymous, never touched, read-only",
	  { SEGS(L(12, 3, 99)) }, { SEGS(R(23, 5, 99)) }, EACH(99, -EFAULT) },
	{ "anonymous, shared with the parent since fork",
	  { SEGS(L(12, 3, 2 * PAGE - 3)) }, { SEGS(R(26, 5, 3 * PAGE)) }, BOTH(2 * PAGE - 3) },
	{ "all of it",
	  { SEGS(L(12, 0, 2 * PAGE)), .repeat = 16 }, { SEGS(R(0, 0, 31 * PAGE)) },
	  EACH(31 * PAGE, 4 * PAGE) },
	{ "local private file",
	  { SEGS(L(0, 5, PAGE)) }, { SEGS(R(30, 0, PAGE)) }, BOTH(PAGE) },
	{ "local private file, then read-only",
	  { SEGS(L(1, 5, PAGE)) }, { SEGS(R(30, 0, PAGE)) }, EACH(PAGE - 5, PAGE) },
	{ "local shared file", { SEGS(L(4, 5, PAGE)) }, { SEGS(R(30, 0, PAGE)) }, BOTH(PAGE) },
	{ "local shared file, then read-only",
	  { SEGS(L(5, 5, PAGE)) }, { SEGS(R(30, 0, PAGE)) }, EACH(PAGE - 5, PAGE) },
	{ "local anonymous, never touched",
	  { SEGS(L(8, 5, PAGE)) }, { SEGS(R(30, 0, PAGE)) }, BOTH(PAGE) },
	{ "local anonymous, never touched, then read-only",
	  { SEGS(L(9, 5, PAGE)) }, { SEGS(R(30, 0, PAGE)) }, EACH(PAGE - 5, PAGE) },
};

TEST_F(parity, every_kind_of_mapping_matches_syscall)
{
	ASSERT_TRUE(try_rows(&world, file_local, file_remote, files, ARRAY_SIZE(files)));
}

/*                               012345678901 */
static const char self_local[] = "wwww.wwrrw-w";

static const struct row selves[] = {
	{ "itself", { SEGS(L(0, 8, 100)) }, { SEGS(L(1, 16, 100)) }, BOTH(100), SELF },
	{ "itself, the same bytes",
	  { SEGS(L(0, 8, PAGE)) }, { SEGS(L(0, 8, PAGE)) }, BOTH(PAGE), SELF },
	{ "itself, a byte further",
	  { SEGS(L(0, 9, PAGE)) }, { SEGS(L(0, 8, PAGE)) }, BOTH(PAGE), SELF },
	{ "itself, a byte back",
	  { SEGS(L(0, 8, PAGE)) }, { SEGS(L(0, 9, PAGE)) }, BOTH(PAGE), SELF },
	{ "itself, a page further",
	  { SEGS(L(1, 0, 3 * PAGE)) }, { SEGS(L(0, 0, 3 * PAGE)) }, BOTH(3 * PAGE), SELF },
	{ "itself, a page back",
	  { SEGS(L(0, 0, 3 * PAGE)) }, { SEGS(L(1, 0, 3 * PAGE)) }, BOTH(3 * PAGE), SELF },
	{ "itself, many overlapping segments",
	  { SEGS(L(0, 0, 300), L(0, 100, 300), L(0, 50, 300)), .repeat = 99 },
	  { SEGS(L(0, 40, 111), L(0, 10, 222)), .repeat = 99 }, BOTH(50 * 111 + 49 * 222), SELF },
	{ "itself, from a hole", { SEGS(L(0, 8, 100)) }, { SEGS(L(4, 0, 100)) }, BOTH(-EFAULT),
	  SELF },
	{ "itself, into a hole", { SEGS(L(4, 8, 100)) }, { SEGS(L(0, 0, 100)) }, BOTH(-EFAULT),
	  SELF },
	{ "itself, across read-only memory",
	  { SEGS(L(0, 8, 3 * PAGE)) }, { SEGS(L(6, 9, 3 * PAGE)) },
	  EACH(3 * PAGE, PAGE - 9), SELF },
	{ "itself, PROT_NONE", { SEGS(L(0, 8, 99)) }, { SEGS(L(10, 9, 99)) }, BOTH(-EFAULT),
	  SELF },
	{ "itself, the arrays are the source",
	  { SEGS(L(0, 8, 48), L(1, 0, 1)) }, { SEGS(AT(VBASE + 4, 24), AT(VBASE, 8)) },
	  EACH(32, 32), SELF },
	{ "the peer's second thread", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) }, BOTH(100),
	  THREAD },
	{ "pid 0", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) }, BOTH(-ESRCH), NUMBER, 0 },
	{ "pid -1", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) }, BOTH(-ESRCH), NUMBER, -1 },
	{ "smallest pid", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) }, BOTH(-ESRCH), NUMBER,
	  INT_MIN },
	{ "largest pid", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) }, BOTH(-ESRCH), NUMBER,
	  INT_MAX },
	{ "no such process, no local segment", { 0 }, { SEGS(R(1, 16, 100)) }, BOTH(0), NUMBER,
	  -1 },
	{ "no such process, no remote segment", { SEGS(L(1, 16, 100)) }, { 0 }, BOTH(0), NUMBER,
	  -1 },
	{ "no such process, empty remote segments",
	  { SEGS(L(1, 16, 100)) }, { SEGS(R(1, 0, 0), R(2, 0, 0)) }, BOTH(0), NUMBER, -1 },
	{ "no such process, too many remote segments, nothing local",
	  { 0 }, { SEGS(R(1, 16, 100)), .repeat = 1025 }, BOTH(0), NUMBER, -1 },
	{ "no such process, too many remote segments",
	  { SEGS(L(1, 16, 100)) }, { SEGS(R(1, 16, 100)), .repeat = 1025 }, BOTH(-EINVAL), NUMBER,
	  -1 },
	{ "no such process, negative remote length",
	  { SEGS(L(1, 16, 100)) }, { SEGS(R(1, 16, NEGATIVE)) }, BOTH(-EINVAL), NUMBER, -1 },
	{ "no such process, bad memory on both sides",
	  { SEGS(L(4, 16, 100)) }, { SEGS(AT(KERNEL_ADDR, 100)) }, BOTH(-ESRCH), NUMBER, -1 },
};

static bool nothing_special(void)
{
	return true;
}

TEST_F(parity, target_lookup_and_self_access_match_syscall)
{
	struct row gone[] = {
		{ "a process that is gone", { SEGS(L(0, 8, 100)) }, { SEGS(R(1, 16, 100)) },
		  BOTH(-ESRCH), NUMBER },
		{ "a process that is gone, no segment", { 0 }, { 0 }, BOTH(0), NUMBER },
	};

	gone[0].pid = dead_pid(NULL);
	gone[1].pid = gone[0].pid;
	ASSERT_TRUE(try_rows(&world, short_map, short_map, gone, ARRAY_SIZE(gone)));
	world.special = nothing_special;
	ASSERT_TRUE(try_rows(&world, self_local, short_map, selves, ARRAY_SIZE(selves)));
}

/* The memory at XBASE in the targets, if available */

#define STACK		(XBASE + 512 * PAGE)
#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static bool map_huge(void)
{
	void *at = (void *)XBASE;

	if (mmap(at, HUGE_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED_NOREPLACE, -1, 0) != at)
		return false;
	fill(at, HUGE_PAGE, 7);
	return true;
}

static bool map_secret(void)
{
#ifdef SYS_memfd_secret
	void *at = (void *)XBASE;
	int fd = syscall(SYS_memfd_secret, 0);

	if (fd < 0 || ftruncate(fd, 2 * PAGE) ||
	    mmap(at, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
		 0) != at)
		return false;
	fill(at, 2 * PAGE, 9);
	return true;
#else
	return false;
#endif
}

static bool map_stack(void)
{
	void *at = (void *)STACK;

	if (mmap(at, 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0) != at)
		return false;
	fill(at, 2 * PAGE, 11);
	return true;
}

/**
 * try_special() - send rows about memory at XBASE
 * @w: the world, not open
 * @special: creates that memory
 * @base: start of the part to compare
 * @len: its length
 * @row: the rows
 * @n: how many
 *
 * Return: 1, or 0 after printing the divergence, or -1 if there is no such memory.
 */
static int try_special(struct world *w, bool (*special)(void), uintptr_t base, size_t len,
		       const struct row *row, size_t n)
{
	int good = 1;
	size_t i;

	w->special = special;
	w->extra = (struct range){ base, len };
	if (!open_world(w, short_map, short_map, TABLE_SEED))
		return 0;
	for (i = 0; i < TARGETS; i++)
		if (w->t[i].tid < 0)
			good = -1;
	for (i = 0; good > 0 && i < n; i++)
		good = try_row(w, &row[i]) && same_hidden(w);
	if (good > 0)
		good = same_rest(w, TABLE_SEED);
	close_world(w);
	return good;
}

static const struct row huge_rows[] = {
	{ "huge page",
	  { SEGS(L(0, 8, PAGE + 904)) }, { SEGS(AT(XBASE + 100, PAGE + 904)) },
	  BOTH(PAGE + 904) },
	{ "end of a huge page",
	  { SEGS(L(0, 8, 5000)) }, { SEGS(AT(XBASE + HUGE_PAGE - 3000, 5000)) },
	  BOTH(3000) },
	{ "a huge page whole",
	  { SEGS(L(0, 0, 8 * PAGE)), .repeat = HUGE_PAGE / (8 * PAGE) },
	  { SEGS(AT(XBASE, HUGE_PAGE)) }, BOTH(HUGE_PAGE) },
};

TEST_F(parity, huge_pages_match_syscall)
{
	long had = number_in(NR_HUGEPAGES);
	int got;

	if (had < 0)
		SKIP(return, "no huge pages in this kernel");
	if (had < TARGETS)
		set_number(NR_HUGEPAGES, TARGETS);
	got = try_special(&world, map_huge, XBASE, HUGE_PAGE, huge_rows, 3);
	if (had < TARGETS)
		set_number(NR_HUGEPAGES, had);
	if (got < 0)
		SKIP(return, "no %d free huge pages", TARGETS);
	ASSERT_EQ(1, got);
}

static const struct row secret_rows[] = {
	{ "secret memory", { SEGS(L(0, 8, 50)) }, { SEGS(AT(XBASE + 100, 50)) },
	  BOTH(-EFAULT) },
	{ "secret memory, second segment",
	  { SEGS(L(0, 8, 50)) }, { SEGS(R(0, 0, 20), AT(XBASE + 100, 50)) }, BOTH(20) },
};

TEST_F(parity, secret_memory_matches_syscall)
{
	int got = try_special(&world, map_secret, XBASE, 2 * PAGE, secret_rows, 2);

	if (got < 0)
		SKIP(return, "no memfd_secret in this kernel");
	ASSERT_EQ(1, got);
}

/* Find a mapping of process @pid by name, or by an address in it. Return: true if found. */
static bool find_mapping(pid_t pid, const char *name, uintptr_t addr, struct range *out)
{
	unsigned long from = 0, to = 0;
	bool found = false;
	char line[256];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/maps", pid);
	f = fopen(line, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		found = name ? !!strstr(line, name) : from <= addr && addr < to;
	}
	fclose(f);
	*out = (struct range){ from, to - from };
	return found;
}

/*
 * How far below a stack to read. The kernel may log "GUP no longer grows the stack", with
 * a stack trace, for an access less than 64 KiB below.
 */
#define BELOW	(17 * PAGE)

static const struct row stack_rows[] = {
	{ "a growing region", { SEGS(L(0, 8, 50)) }, { SEGS(AT(STACK + 100, 50)) }, BOTH(50) },
	{ "past the end of a growing region",
	  { SEGS(L(0, 0, 8 * PAGE)) }, { SEGS(AT(STACK, 5 * PAGE)) }, BOTH(2 * PAGE) },
	{ "below a growing region, in its guard gap",
	  { SEGS(L(0, 8, 50)) }, { SEGS(AT(STACK - BELOW, 50)) }, BOTH(-EFAULT) },
	{ "far below a growing region",
	  { SEGS(L(0, 8, 50)) }, { SEGS(AT(STACK - 300 * PAGE, 50)) }, BOTH(-EFAULT) },
};

TEST_F(parity, a_stack_does_not_grow)
{
	struct world *w = &world;
	struct range range[TARGETS];
	struct row row = {
		"", { SEGS(L(0, 8, 50)) }, { .n = 1 }, BOTH(-EFAULT)
	};
	size_t i;

	ASSERT_EQ(1, try_special(w, map_stack, STACK, 2 * PAGE, stack_rows, 4));

	/* Neither the region nor the real stack may grow */
	ASSERT_TRUE(open_world(w, short_map, short_map, TABLE_SEED));
	for (i = 0; i < 4; i++)
		ASSERT_TRUE(try_row(w, &stack_rows[i]));
	for (i = 0; i < TARGETS; i++) {
		ASSERT_TRUE(find_mapping(w->t[i].pid, NULL, STACK, &range[i]));
		ASSERT_EQ(STACK, range[i].base);
		ASSERT_TRUE(find_mapping(w->t[i].pid, "[stack]", 0, &range[i]));
		ASSERT_EQ(range[0].base, range[i].base);
	}
	row.name = "below the stack";
	row.r.seg = &(struct range){ range[0].base - BELOW, 50 };
	ASSERT_TRUE(try_row(w, &row));
	row.name = "the stack's lowest page";
	row.want[0] = 50;
	row.want[1] = 50;
	row.r.seg = &(struct range){ range[0].base, 50 };
	ASSERT_TRUE(try_row(w, &row));
	for (i = 0; i < TARGETS; i++) {
		struct range later;

		ASSERT_TRUE(find_mapping(w->t[i].pid, "[stack]", 0, &later));
		ASSERT_EQ(range[i].base, later.base);
	}
	close_world(w);
}

TEST_F(parity, vvar_vdso_and_vsyscall_match_syscall)
{
	static const char * const names[] = { "[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]" };
	struct world *w = &world;
	struct row row = {
		"", { SEGS(L(0, 8, 200)) }, { .n = 1 }, EACH(ANY, ANY)
	};
	struct range found, part;
	unsigned int met = 0;
	size_t i;

	ASSERT_TRUE(open_world(w, short_map, short_map, TABLE_SEED));
	for (i = 0; i < 4; i++) {
		if (!find_mapping(getpid(), names[i], 0, &found))
			continue;
		met++;
		row.name = names[i];
		row.r.seg = &part;
		part = (struct range){ found.base, 100 };
		ASSERT_TRUE(try_row(w, &row));
		part = (struct range){ found.base + found.len - 100, 200 };
		ASSERT_TRUE(try_row(w, &row));
	}
	close_world(w);
	if (!met)
		SKIP(return, "this kernel makes no mapping of its own");
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * A transfer is truncated at MAX_RW_COUNT only after it has moved that much: two doors
 * each move 2 GiB in both directions, through mappings of 2 MiB of memory. The other doors
 * truncate each piece of a request separately, or differ from BY_IOCTL only by a flag.
 */
TEST_F_TIMEOUT(parity, cut_at_max_rw_count_matches_syscall, 1200)
{
	static const size_t piece = 2UL << 20;
	char map[512 + 1] = "";
	struct row row = {
		"a small part of it, to see how fast this machine is",
		{ SEGS(L(0, 0, piece)), .repeat = 32 }, { SEGS(R(0, 0, piece)), .repeat = 32 },
		BOTH(32 * piece)
	};
	const double budget = 240;
	double start, took;

	memset(map, 'w', piece / PAGE);
	ASSERT_TRUE(open_world(&world, map, map, TABLE_SEED));
	world.doors = 1U << BY_SYSCALL | 1U << BY_IOCTL;
	start = now();
	ASSERT_TRUE(try_row(&world, &row));
	took = (now() - start) * 32;
	row.name = "over MAX_RW_COUNT on both sides";
	row.l.repeat = 1024;
	row.r.repeat = 1024;
	row.want[0] = MAX_RW_COUNT;
	row.want[1] = MAX_RW_COUNT;
	if (took < budget)
		ASSERT_TRUE(try_row(&world, &row));
	row.name = "over MAX_RW_COUNT, but of memory that is not mapped";
	row.l.seg = (const struct range[]){ L(0, 0, piece), L(600, 0, SSIZE_MAX) };
	row.l.n = 2;
	row.want[0] = ANY;
	row.want[1] = ANY;
	ASSERT_TRUE(try_row(&world, &row));
	close_world(&world);
	if (took >= budget)
		SKIP(return, "it would take %.0f s on this machine", took);
}

/* The random part */

#define CASES_DEFAULT	100000UL
#define CASES_PER_WORLD	400UL
#define CASES_PER_LOOK	40UL	/* how often all of the memory is compared */
#define ARENA_PAGES	32
#define TARGET_PAGES	56

/* A random description of a window: runs of pages. @kinds repeats the more frequent kinds. */
static void make_map(struct rng *rng, char *map, size_t len, const char *kinds)
{
	size_t i = 4;

	memset(map, 'w', 4);
	while (i < len) {
		char kind = kinds[below(rng, strlen(kinds))];
		size_t n = 1 + below(rng, strchr(".-e", kind) ? 2 : 7);

		for (; n && i < len; n--)
			map[i++] = kind;
	}
	map[len] = 0;
}

static unsigned long make_count(struct rng *rng)
{
	uint32_t dice = below(rng, 100);

	if (dice < 30)
		return 1;
	if (dice < 60)
		return 2 + below(rng, 6);
	if (dice < 80)
		return 8 + below(rng, 2);
	if (dice < 95)
		return 10 + below(rng, 31);
	if (dice < 98)
		return 41 + below(rng, 984);
	return 0;
}

static size_t make_length(struct rng *rng, size_t to_page_end)
{
	switch (below(rng, 16)) {
	case 0:
		return 0;
	case 1:
	case 2:
	case 3:
	case 4:
		return 1 + below(rng, 16);
	case 5:
	case 6:
	case 7:
	case 8:
		return below(rng, PAGE);
	case 9:
		return PAGE;
	case 10:
		return to_page_end;
	case 11:
		return to_page_end + below(rng, 3);
	case 12:
	case 13:
		return below(rng, 6 * PAGE);
	case 14:
		return 15 * PAGE + below(rng, 3 * PAGE);
	default:
		return below(rng, TARGET_PAGES * PAGE);
	}
}

/**
 * make_side() - random segments of a window
 * @rng: the random number generator
 * @iov: the result
 * @n: how many
 * @base: the window
 * @map: its description
 * @good: the kinds of page that a transfer can go through
 * @clean: use only those
 */
static void make_side(struct rng *rng, struct iovec *iov, unsigned long n, uintptr_t base,
		      const char *map, const char *good, bool clean)
{
	/* To limit the time of a case, most cases with many segments have small ones */
	size_t budget = 24 * PAGE;
	size_t pages = strlen(map);
	unsigned long i;

	for (i = 0; i < n; i++) {
		size_t page, run, off, len;

		do
			page = below(rng, pages);
		while (!strchr(good, map[page]) && (clean || !one_in(rng, 8)));
		switch (below(rng, 4)) {
		case 0:
			off = 0;
			break;
		case 1:
			off = below(rng, 64);
			break;
		case 2:
			off = PAGE - 1 - below(rng, 64);
			break;
		default:
			off = below(rng, PAGE);
		}
		len = make_length(rng, PAGE - off);
		if (len > budget)
			len = 1 + below(rng, 24);
		run = strspn(map + page, good) * PAGE;
		if (clean && len > run - off)
			len = run - off;
		budget -= len < budget ? len : budget;
		iov[i].iov_base = (void *)(base + page * PAGE + off);
		iov[i].iov_len = len;
	}
}

/* Make one element bad, or the array's address or count. */
static void spoil(struct rng *rng, struct iovec *iov, unsigned long n, unsigned long *count,
		  enum vec *vec, bool local)
{
	static const uintptr_t bad[] = {
		KERNEL_ADDR, ODD_ADDR, 0, -PAGE, -8, LBASE - PAGE, RBASE - 1
	};
	static const unsigned long counts[] = {
		1025, 1026, 4096, 0x80000000UL, 0xffffffffUL,
		/* Only for the remote side, as the top of this file says: */
		ULONG_MAX, LONG_MAX, (unsigned long)LONG_MAX + 1,
#if __SIZEOF_POINTER__ == 8
		1UL << 32, (1UL << 32) + 1,
#endif
	};
	struct iovec *one = &iov[n ? below(rng, n) : 0];

	switch (below(rng, 8)) {
	case 0:
		one->iov_len = NEGATIVE + below(rng, 3);
		break;
	case 1:
		one->iov_len = SIZE_MAX - below(rng, PAGE);
		break;
	case 2:
		one->iov_len = SSIZE_MAX - below(rng, PAGE);
		break;
	case 3:
	case 4:
		one->iov_base = (void *)bad[below(rng, ARRAY_SIZE(bad))];
		break;
	case 5:
		*count = counts[below(rng, local ? 5 : ARRAY_SIZE(counts))];
		break;
	default:
		*vec = CUT + below(rng, KERNEL_PTR - CUT + 1);
	}
}

/**
 * make_plan() - a random request
 * @rng: the random number generator
 * @w: the world
 * @p: the result
 * @dead: an unused process id
 */
static void make_plan(struct rng *rng, const struct world *w, struct plan *p, pid_t dead)
{
	const pid_t nobody[] = { dead, 0, -1, INT_MIN, INT_MAX };
	enum vec lvec = one_in(rng, 4) ? FLUSH : PLAIN;
	enum vec rvec = one_in(rng, 4) ? FLUSH : PLAIN;
	uint32_t dice = below(rng, 100);
	bool clean = below(rng, 2);

	p->name = NULL;
	p->write = below(rng, 2);
	p->whom = dice < 78 ? PEER : dice < 95 ? SELF : NUMBER;
	p->pid = nobody[below(rng, 5)];
	p->ln = make_count(rng);
	p->rn = make_count(rng);
	make_side(rng, p->l, p->ln, LBASE, w->lmap, p->write ? CAN_READ : CAN_WRITE, clean);
	make_side(rng, p->r, p->rn, p->whom == SELF ? LBASE : RBASE,
		  p->whom == SELF ? w->lmap : w->rmap, p->write ? CAN_WRITE : CAN_READ, clean);
	/* Both sides with equal length, which would otherwise be rare */
	if (p->ln == 1 && p->rn == 1 && p->r->iov_len < p->l->iov_len)
		p->l->iov_len = p->r->iov_len;
	if (p->whom == SELF && p->ln && p->rn && one_in(rng, 4))
		p->l->iov_base = (char *)p->r->iov_base + below(rng, 17) - 8;

	/* Not always: in some guests page faults take most of a case's time */
	p->fresh = p->whom == SELF || one_in(rng, 4);
	p->nowait = one_in(rng, 2);

	p->lcount = p->ln;
	p->rcount = p->rn;
	if (one_in(rng, 8))
		lvec = ODD;
	if (one_in(rng, 8))
		rvec = ODD;
	if (one_in(rng, 10))
		spoil(rng, p->l, p->ln, &p->lcount, &lvec, true);
	if (one_in(rng, 10))
		spoil(rng, p->r, p->rn, &p->rcount, &rvec, false);
	p->lptr = place(p->l, &p->ln, 0, lvec);
	p->rptr = place(p->r, &p->rn, 1, rvec);
}

/*
 * The classes of generated requests. Each must occur in a long run, or the requests
 * prove nothing.
 */
enum class {
	READ_ALL, READ_PART, WRITE_ALL, WRITE_PART, MOVED_NOTHING, LOCAL_LEFT, REMOTE_LEFT,
	STOPPED_LOCAL, STOPPED_REMOTE, FAULT_LOCAL, FAULT_REMOTE, BAD_ARGUMENT, NO_PROCESS,
	OWN_MEMORY, OWN_OVERLAP, ONE_EACH, OVER_STACK_VEC, OVER_STACK_PAGES, OVER_100_SEGS,
	PRIVATE_FILE, SHARED_FILE, UNTOUCHED, CLASSES
};

static const char * const class_name[CLASSES] = {
	[READ_ALL] = "read all that was asked for",
	[READ_PART] = "read a part",
	[WRITE_ALL] = "wrote all that was asked for",
	[WRITE_PART] = "wrote a part",
	[MOVED_NOTHING] = "returned 0",
	[LOCAL_LEFT] = "moved all, local side longer",
	[REMOTE_LEFT] = "moved all, remote side longer",
	[STOPPED_LOCAL] = "moved a part, then a local fault",
	[STOPPED_REMOTE] = "moved a part, then a remote fault",
	[FAULT_LOCAL] = "EFAULT, the caller's memory or an array",
	[FAULT_REMOTE] = "EFAULT, the target's memory",
	[BAD_ARGUMENT] = "EINVAL",
	[NO_PROCESS] = "ESRCH",
	[OWN_MEMORY] = "moved within the caller",
	[OWN_OVERLAP] = "moved within the caller, overlapping",
	[ONE_EACH] = "moved, one segment each",
	[OVER_STACK_VEC] = "moved, more than 8 segments on both sides",
	[OVER_STACK_PAGES] = "moved, a segment of more than 16 pages",
	[OVER_100_SEGS] = "moved, more than 100 segments on a side",
	[PRIVATE_FILE] = "began in a private file mapping",
	[SHARED_FILE] = "began in a shared file mapping",
	[UNTOUCHED] = "began in memory never written",
};

static void classify(unsigned long *met, const struct world *w, const struct plan *p,
		     const struct outcome *o)
{
	size_t ltotal = total(p->l, p->ln), rtotal = total(p->r, p->rn);
	unsigned long i, j;
	long page;

	if (o->ret < 0) {
		met[BAD_ARGUMENT] += o->err == EINVAL;
		met[NO_PROCESS] += o->err == ESRCH;
		met[FAULT_REMOTE] += o->err == EFAULT && o->rw.error == EIO;
		met[FAULT_LOCAL] += o->err == EFAULT && o->rw.error == EFAULT;
		return;
	}
	if (!o->ret) {
		met[MOVED_NOTHING]++;
		return;
	}
	if (o->rw.error) {
		met[p->write ? WRITE_PART : READ_PART]++;
		met[STOPPED_REMOTE] += o->rw.error == EIO;
		met[STOPPED_LOCAL] += o->rw.error == EFAULT;
	} else {
		met[p->write ? WRITE_ALL : READ_ALL]++;
		met[LOCAL_LEFT] += ltotal > rtotal;
		met[REMOTE_LEFT] += rtotal > ltotal;
	}
	met[ONE_EACH] += p->ln == 1 && p->rn == 1;
	met[OVER_STACK_VEC] += p->ln > 8 && p->rn > 8;
	met[OVER_100_SEGS] += p->ln > 100 || p->rn > 100;
	for (i = 0; i < p->rn; i++) {
		uintptr_t base = (uintptr_t)p->r[i].iov_base;

		if (p->r[i].iov_len <= 16 * PAGE || base % PAGE + o->ret <= 16 * PAGE)
			continue;
		met[OVER_STACK_PAGES]++;
		break;
	}
	if (p->whom != SELF) {
		page = page_of(byte_at(p->r, p->rn, 0), RBASE, w->rmap);
		met[PRIVATE_FILE] += page >= 0 && strchr("pq", w->rmap[page]);
		met[SHARED_FILE] += page >= 0 && strchr("st", w->rmap[page]);
		met[UNTOUCHED] += page >= 0 && strchr("uz", w->rmap[page]);
		return;
	}
	met[OWN_MEMORY]++;
	for (i = 0; i < p->ln; i++)
		for (j = 0; j < p->rn; j++)
			if (p->l[i].iov_base < p->r[j].iov_base + p->r[j].iov_len &&
			    p->r[j].iov_base < p->l[i].iov_base + p->l[i].iov_len) {
				met[OWN_OVERLAP]++;
				return;
			}
}

/**
 * run_world() - the random cases that share their targets
 * @seed: of the run
 * @first: number of the first case
 * @end: number of the last case, plus one
 * @show: print the last case
 * @careful: compare all of the targets' memory after each case
 * @met: counts by class
 *
 * Return: true, or false after printing the divergence.
 */
static bool run_world(uint32_t seed, uint64_t first, uint64_t end, bool show, bool careful,
		      unsigned long *met)
{
	uint64_t key = mix(mix(seed) + first / CASES_PER_WORLD);
	char lmap[ARENA_PAGES + 1], rmap[TARGET_PAGES + 1];
	struct rng rng = { key };
	pid_t dead = dead_pid(NULL);
	struct outcome o;
	bool good = true;
	uint64_t n;

	make_map(&rng, lmap, ARENA_PAGES, "wwwwwwwppssuurqtz-e..");
	make_map(&rng, rmap, TARGET_PAGES, "wwwwwwppqsstuuzccr-e..");
	if (!open_world(&world, lmap, rmap, key))
		return false;
	for (n = first; good && n < end; n++) {
		rng.state = mix(mix(~(uint64_t)seed) + n);
		make_plan(&rng, &world, &plan, dead);
		world.look = careful || !(n % CASES_PER_LOOK) ? TOUCHED : WRITTEN_TO;
		good = agree(&world, &plan, &o);
		if (show && good && n == end - 1) {
			say_outcome("all", &o);
			say_plan(&plan);
		}
		if (good && n == end - 1)
			good = same_rest(&world, key);
		if (good)
			classify(met, &world, &plan, &o);
		else
			say("to repeat it: CASE=%llu", (unsigned long long)seed << 32 | n);
	}
	close_world(&world);
	if (good || careful)
		return good;
	say("once more, with all memory compared after each case:");
	if (run_world(seed, first, n, false, true, met))
		say("it did not happen again");
	return false;
}

TEST_F_TIMEOUT(parity, random_requests_match_syscall, 7200)
{
	uint64_t cases = number_from("CASES", CASES_DEFAULT);
	uint64_t one = number_from("CASE", UINT64_MAX);
	unsigned long met[CLASSES] = { 0 };
	uint64_t first = 0, end, i;
	uint32_t seed = choose_seed();
	double start = now();

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
		ASSERT_TRUE(run_world(seed, first, end, one != UINT64_MAX,
				      one != UINT64_MAX, met));
	}
	if (one != UINT64_MAX)
		return;
	say("%llu cases in %.1f s, none diverged; SEED=%u. They", (unsigned long long)cases,
	    now() - start, seed);
	for (i = 0; i < CLASSES; i++)
		say("%8lu  %s", met[i], class_name[i]);
	for (i = 0; i < DOORS; i++)
		say("%8lu  went by %s", world.sent[i], door_name[i]);
	say("%8lu  of these were allowed to differ in some bytes", world.overlooked);
	for (i = 0; i < CLASSES && cases >= 10000; i++)
		EXPECT_NE(0UL, met[i]) {
			TH_LOG("the generator never made a case that %s", class_name[i]);
		}
}

TEST_HARNESS_MAIN
