// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench: measures what it costs to read another process; every way reads the same bytes
 *
 *   bench [-t] PART...
 *
 * The parts are small (single reads of 8 B to 64 KiB, scattered ones, strings),
 * linear (up to 1 GiB and 65,536 segments), huge (huge pages), bulk (4 KiB pages,
 * 64 KiB to 64 MiB), cost (what PVMREAD_CACHE costs the target), window (1 MiB through
 * a window) and shim (what the preload shim costs). The ways:
 *
 *   syscall      process_vm_readv(2), 1,024 pieces a call
 *   procmem      pread(2) of /proc/PID/mem, a call for each piece
 *   readv        PVMREAD_IOC_READV, 1,024 pieces a call
 *   target       pread(2) of a target file, a call for each piece
 *   batch        PVMREAD_IOC_BATCH, one call
 *   cached       pread(2) of a target file with PVMREAD_CACHE
 *   cached_batch PVMREAD_IOC_BATCH on that file
 *   memcpy       memcpy(3) of this process' own copy of the bytes: the floor
 *   syscall_one_local  as syscall, with one local buffer for all the pieces
 *   syscall_each       process_vm_readv(2), a call for each piece
 *   shim         process_vm_readv() of libpvmread-preload.so
 *
 * Prints a line of JSON for each case. It lists the ways that the loaded module does
 * not support as missing. If a way reads wrong bytes, the program exits with status 1.
 *
 * The unit is the instruction. The time stamp counter must count instructions, as with
 * QEMU -icount shift=0; the program checks this. The figure is the least of some rounds,
 * because timer interrupts fall into some of them. With -t the unit is the nanosecond,
 * and the figure is the median. The ways alternate, in another order each round. The
 * ratio to the syscall is taken in each round; the median of these ratios is printed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/pvmread.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PAGE		4096UL
#define KIB		1024UL
#define MIB		(1024 * KIB)
#define HUGE		(2 * MIB)
/* The most elements that an iovec array may have. */
#define MAX_IOV		1024UL
/* The number of pieces of the scattered cases, and of strings. */
#define PIECES		1024UL
#define WORD		sizeof(uint64_t)
/* The number of bytes to read of a string whose length is not known. */
#define STRING_MAX	256UL
#define STRING_SLOT	1024UL
/* Memory that is mapped more than once to make a large source. */
#define ALIAS_SIZE	(64 * MIB)

#define MAX_ROUNDS	61

/**
 * enum layout - how an arena gets its pages
 * @IN_ORDER: touched from the first to the last, so many are physical neighbours
 * @SHUFFLED: touched in a random order, so few are physical neighbours
 * @HUGE_PAGES: transparent huge pages, or the program ends
 * @ALIASED: a file of ALIAS_SIZE, mapped over and over
 */
enum layout { IN_ORDER, SHUFFLED, HUGE_PAGES, ALIASED };

/**
 * struct arena - memory of the target, and the same bytes here
 * @remote: its address in the target; also mapped here, but never touched
 * @mirror: this process' own copy of it
 * @size: its bytes
 * @step: distance of the words in it that are filled in; a large one saves time
 * @layout: its pages in the target
 * @strings: filled with strings, not with words
 */
struct arena {
	char *remote;
	char *mirror;
	size_t size;
	size_t step;
	enum layout layout;
	bool strings;
};

/**
 * struct work - the bytes that every way reads
 * @count: the number of pieces
 * @remote: where they are in the target
 * @local: where they go; same lengths
 * @segments: both, as BATCH takes them
 * @one_local: all of @local, or length 0 if it is not contiguous
 * @mirror: what to add to a remote address to get the same byte here
 * @bytes: the total length
 * @lengths: the lengths of strings, as a way found them; NULL if there are no strings
 * @rest_remote: room for the parts of strings that a second request reads
 * @rest_local: the same
 */
struct work {
	unsigned long count;
	struct iovec *remote;
	struct iovec *local;
	struct pvmread_segment *segments;
	struct iovec one_local;
	ptrdiff_t mirror;
	size_t bytes;
	size_t *lengths;
	struct iovec *rest_remote;
	struct iovec *rest_local;
};

static pid_t target;
static int device;
static int procmem;
static int target_file = -1;
static int cached_file = -1;
static uint64_t features;
static bool wall;
static char *local_buffer;
static size_t local_size;
static __typeof__(process_vm_readv) *shim_readv;

/* --- Clocks -------------------------------------------------------------- */

static uint64_t now(void)
{
	struct timespec ts;

	if (!wall)
		return __rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Check the clock with a loop whose number of instructions is known. */
static void check_clock(void)
{
	uint64_t least = UINT64_MAX;
	int i;

	/*
	 * A kernel that has just booted has work to do, which would be counted.
	 * In this guest, waiting takes no real time.
	 */
	sleep(10);
	for (i = 0; i < 5; i++) {
		uint64_t begin = now(), took;
		unsigned int count = 1000000;

		asm volatile("1: dec %0; jnz 1b" : "+r" (count));
		took = now() - begin;
		if (took < least)
			least = took;
	}
	printf("# clock: a loop of 2,000,000 instructions takes %llu\n",
	       (unsigned long long)least);
	if (least < 2000000 || least > 2020000)
		errx(1, "the time stamp counter does not count instructions");
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The quantile @part (0 to 1) of the @count values; sorts them. */
static double quantile(double *values, int count, double part)
{
	double at = (count - 1) * part;
	int low = at;

	qsort(values, count, sizeof(*values), compare);
	if (low + 1 >= count)
		return values[low];
	return values[low] + (values[low + 1] - values[low]) * (at - low);
}

/* --- Memory -------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* A random order of 0 to @count - 1, the same one each time for a @seed. */
static unsigned long *shuffled(unsigned long count, uint64_t seed)
{
	unsigned long *order = calloc(count, sizeof(*order));
	uint64_t state = seed;
	unsigned long i;

	if (!order)
		err(1, "calloc");
	for (i = 0; i < count; i++) {
		unsigned long j = next_random(&state) % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

static char *map(void *addr, size_t size, int flags, int fd)
{
	char *mem = mmap(addr, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (mem == MAP_FAILED)
		err(1, "mmap of %zu bytes", size);
	return mem;
}

static char *map_private(size_t size)
{
	char *mem = map(NULL, size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	/* EINVAL: this kernel has no huge pages. */
	if (madvise(mem, size, MADV_NOHUGEPAGE) && errno != EINVAL)
		err(1, "MADV_NOHUGEPAGE");
	return mem;
}

/* Map @fd again and again, at consecutive addresses. */
static char *map_aliased(size_t size, int fd)
{
	char *mem = map_private(size);
	size_t at;

	for (at = 0; at < size; at += ALIAS_SIZE)
		map(mem + at, size - at < ALIAS_SIZE ? size - at : ALIAS_SIZE,
		    MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd);
	return mem;
}

static char *map_huge(size_t size)
{
	char *mem = map(NULL, size + HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	mem += -(uintptr_t)mem & (HUGE - 1);
	if (madvise(mem, size, MADV_HUGEPAGE))
		err(1, "MADV_HUGEPAGE");
	return mem;
}

static void make_arena(struct arena *arena)
{
	int fd;

	if (!arena->step)
		arena->step = WORD;
	switch (arena->layout) {
	case ALIASED:
		fd = memfd_create("bench", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, ALIAS_SIZE))
			err(1, "memfd");
		arena->remote = map_aliased(arena->size, fd);
		arena->mirror = map_aliased(arena->size, fd);
		close(fd);
		return;
	case HUGE_PAGES:
		arena->remote = map_huge(arena->size);
		break;
	default:
		arena->remote = map_private(arena->size);
	}
	arena->mirror = map_private(arena->size);
}

/*
 * Strings of 8 to 32 bytes, one in each slot. Every 32nd crosses the end of a page.
 * The bytes between the strings are not 0.
 */
static size_t string_at(size_t slot, size_t *length)
{
	uint64_t state = slot;
	size_t at = slot * STRING_SLOT;

	*length = 8 + next_random(&state) % 25;
	if (slot % 32 == 31)
		return at + STRING_SLOT - *length / 2;
	return at + 32 + next_random(&state) % (STRING_SLOT - 96);
}

static void fill(const struct arena *arena, char *mem)
{
	size_t size = arena->layout == ALIASED ? ALIAS_SIZE : arena->size;
	uint64_t state = 2;
	size_t i, length;

	if (!arena->strings) {
		for (i = 0; i < size; i += arena->step)
			*(uint64_t *)(mem + i) = next_random(&state);
		return;
	}
	for (i = 0; i < size; i++)
		mem[i] = 'a' + i % 26;
	for (i = 0; i + 1 < size / STRING_SLOT; i++) {
		size_t at = string_at(i, &length);

		mem[at + length] = '\0';
	}
}

/* Fill an arena in the target; no other process has touched this memory. */
static void touch(const struct arena *arena)
{
	unsigned long *order, i;

	if (arena->layout == SHUFFLED) {
		order = shuffled(arena->size / PAGE, 1);
		for (i = 0; i < arena->size / PAGE; i++)
			arena->remote[order[i] * PAGE] = 1;
		free(order);
	}
	fill(arena, arena->remote);
}

/* Map a buffer to read @size bytes to, and fault its pages in. */
static void make_local(size_t size)
{
	local_buffer = map_private(size);
	local_size = size;
	memset(local_buffer, 0xff, size);
}

static int attach_to(pid_t pid, unsigned int flags)
{
	struct pvmread_attach attach = {
		.size = sizeof(attach),
		.flags = flags,
		.pid = pid,
	};
	int fd = ioctl(device, PVMREAD_IOC_ATTACH, &attach);

	if (fd < 0)
		err(1, "PVMREAD_IOC_ATTACH");
	return fd;
}

static void stop_target(void)
{
	if (target <= 0)
		return;
	if (target_file >= 0)
		close(target_file);
	target_file = -1;
	if (cached_file >= 0)
		close(cached_file);
	cached_file = -1;
	close(procmem);
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	target = 0;
}

/*
 * Start the target with the arenas, mirror them here, and make a buffer of @local
 * bytes. Fill memory only after the fork: the processes would share pages that were
 * filled before, and the first write would copy them.
 */
static void start_target(struct arena *arenas, size_t count, size_t local)
{
	char path[32];
	int fds[2];
	size_t i;
	char c;

	for (i = 0; i < count; i++)
		make_arena(&arenas[i]);
	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC))
		err(1, "pipe2");
	target = fork();
	if (target < 0)
		err(1, "fork");
	if (!target) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (i = 0; i < count; i++)
			touch(&arenas[i]);
		if (write(fds[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	for (i = 0; i < count; i++)
		fill(&arenas[i], arenas[i].mirror);
	if (read(fds[0], &c, 1) != 1)
		errx(1, "the target ended early");
	close(fds[0]);

	snprintf(path, sizeof(path), "/proc/%d/mem", target);
	procmem = open(path, O_RDONLY | O_CLOEXEC);
	if (procmem < 0)
		err(1, "%s", path);
	if (features & PVMREAD_FEATURE_ATTACH)
		target_file = attach_to(target, 0);
	if (features & PVMREAD_FEATURE_CACHE)
		cached_file = attach_to(target, PVMREAD_CACHE);
	make_local(local);
}

static void end_target(const struct arena *arenas, size_t count)
{
	size_t i;

	stop_target();
	for (i = 0; i < count; i++) {
		munmap(arenas[i].remote, arenas[i].size);
		munmap(arenas[i].mirror, arenas[i].size);
	}
	munmap(local_buffer, local_size);
}

/* The fraction of the target's pages that are followed by their physical neighbour. */
static double contiguous(const struct arena *arena)
{
	size_t pages = arena->size / PAGE, i, next = 0;
	uint64_t *entries = calloc(pages, sizeof(*entries));
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", target);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !entries)
		err(1, "%s", path);
	if (pread(fd, entries, pages * sizeof(*entries),
		  (uintptr_t)arena->remote / PAGE * sizeof(*entries)) !=
	    (ssize_t)(pages * sizeof(*entries)))
		err(1, "reading %s", path);
	for (i = 0; i + 1 < pages; i++) {
		/* Bits 0 to 54 are the page's number, 63: present. */
		if (!(entries[i] >> 63) || !(entries[i] << 9))
			errx(1, "%s: page %zu is not present", path, i);
		next += entries[i] + 1 == entries[i + 1];
	}
	close(fd);
	free(entries);
	return (double)next / (pages - 1);
}

/* How many bytes of huge pages the target has in the arena. */
static size_t huge_bytes(const struct arena *arena)
{
	unsigned long start, end, kib;
	bool inside = false;
	size_t bytes = 0;
	char path[32];
	char line[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", target);
	file = fopen(path, "re");
	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start < (uintptr_t)arena->remote + arena->size &&
				 (uintptr_t)arena->remote < end;
		else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
			bytes += kib * KIB;
	}
	fclose(file);
	return bytes;
}

/* --- Ways ---------------------------------------------------------------- */

/*
 * Each way returns the number of bytes read, or of strings found. A short read is an
 * error, as a failed one is.
 */

static ssize_t request_syscall(const struct iovec *local, unsigned long locals,
			       const struct iovec *remote, unsigned long remotes)
{
	return process_vm_readv(target, local, locals, remote, remotes, 0);
}

static ssize_t request_readv(const struct iovec *local, unsigned long locals,
			     const struct iovec *remote, unsigned long remotes)
{
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.pid = target,
		.local = (uintptr_t)local,
		.local_count = locals,
		.remote = (uintptr_t)remote,
		.remote_count = remotes,
	};

	if (ioctl(device, PVMREAD_IOC_READV, &rw))
		return -1;
	return rw.transferred;
}

static ssize_t request_shim(const struct iovec *local, unsigned long locals,
			    const struct iovec *remote, unsigned long remotes)
{
	return shim_readv(target, local, locals, remote, remotes, 0);
}

static inline __attribute__((always_inline)) size_t
read_vectors(const struct iovec *local, const struct iovec *remote,
	     unsigned long count,
	     ssize_t (*request)(const struct iovec *local, unsigned long locals,
				const struct iovec *remote,
				unsigned long remotes))
{
	unsigned long i, n;
	size_t bytes = 0;

	for (i = 0; i < count; i += n) {
		n = count - i < MAX_IOV ? count - i : MAX_IOV;
		bytes += request(&local[i], n, &remote[i], n);
	}
	return bytes;
}

static size_t way_syscall(const struct work *work)
{
	return read_vectors(work->local, work->remote, work->count,
			    request_syscall);
}

static size_t way_readv(const struct work *work)
{
	return read_vectors(work->local, work->remote, work->count,
			    request_readv);
}

static size_t way_shim(const struct work *work)
{
	return read_vectors(work->local, work->remote, work->count,
			    request_shim);
}

static size_t way_syscall_one_local(const struct work *work)
{
	return process_vm_readv(target, &work->one_local, 1, work->remote,
				work->count, 0);
}

static size_t way_syscall_each(const struct work *work)
{
	size_t bytes = 0;
	unsigned long i;

	for (i = 0; i < work->count; i++)
		bytes += process_vm_readv(target, &work->local[i], 1,
					  &work->remote[i], 1, 0);
	return bytes;
}

static inline __attribute__((always_inline)) size_t
read_pieces(const struct work *work, int fd)
{
	size_t bytes = 0;
	unsigned long i;

	for (i = 0; i < work->count; i++)
		bytes += pread(fd, work->local[i].iov_base,
			       work->local[i].iov_len,
			       (uintptr_t)work->remote[i].iov_base);
	return bytes;
}

static size_t way_procmem(const struct work *work)
{
	return read_pieces(work, procmem);
}

static size_t way_target(const struct work *work)
{
	return read_pieces(work, target_file);
}

static size_t way_cached(const struct work *work)
{
	return read_pieces(work, cached_file);
}

static bool send_batch(const struct work *work, int fd)
{
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.segments = (uintptr_t)work->segments,
		.count = work->count,
	};

	return !ioctl(fd, PVMREAD_IOC_BATCH, &batch) &&
	       batch.completed == work->count;
}

static inline __attribute__((always_inline)) size_t
read_batch(const struct work *work, int fd)
{
	size_t bytes = 0;
	unsigned long i;

	if (!send_batch(work, fd))
		return -1;
	/* Every caller must look at each result. */
	for (i = 0; i < work->count; i++)
		bytes += work->segments[i].done;
	return bytes;
}

static size_t way_batch(const struct work *work)
{
	return read_batch(work, target_file);
}

static size_t way_cached_batch(const struct work *work)
{
	return read_batch(work, cached_file);
}

static size_t way_memcpy(const struct work *work)
{
	unsigned long i;

	for (i = 0; i < work->count; i++)
		memcpy(work->local[i].iov_base,
		       (char *)work->remote[i].iov_base + work->mirror,
		       work->local[i].iov_len);
	return work->bytes;
}

/*
 * The same for strings. An iovec for a string must not cross the end of a page: if the
 * next page is not mapped, the request ends there for all strings. So a string without a
 * NUL before the end of its page takes a second request.
 */

static inline __attribute__((always_inline)) size_t
find_strings(const struct work *work,
	     ssize_t (*request)(const struct iovec *local, unsigned long locals,
				const struct iovec *remote,
				unsigned long remotes),
	     bool each)
{
	unsigned long i, rest = 0, found = 0;
	size_t had;
	char *nul;

	if (!each)
		read_vectors(work->local, work->remote, work->count, request);
	for (i = 0; i < work->count; i++) {
		char *local = work->local[i].iov_base;

		had = work->local[i].iov_len;
		if (each)
			request(&work->local[i], 1, &work->remote[i], 1);
		nul = memchr(local, 0, had);
		if (nul) {
			work->lengths[i] = nul - local;
			found++;
			continue;
		}
		work->rest_local[rest].iov_base = local + had;
		work->rest_local[rest].iov_len = STRING_MAX - had;
		work->rest_remote[rest].iov_base =
			(char *)work->remote[i].iov_base + had;
		work->rest_remote[rest].iov_len = STRING_MAX - had;
		if (each)
			request(&work->rest_local[rest], 1,
				&work->rest_remote[rest], 1);
		work->lengths[i] = SIZE_MAX;
		rest++;
	}
	if (!rest)
		return found;
	if (!each)
		read_vectors(work->rest_local, work->rest_remote, rest,
			     request);
	for (i = 0; i < work->count; i++) {
		char *local = work->local[i].iov_base;

		if (work->lengths[i] != SIZE_MAX)
			continue;
		had = work->local[i].iov_len;
		nul = memchr(local + had, 0, STRING_MAX - had);
		if (!nul)
			continue;
		work->lengths[i] = nul - local;
		found++;
	}
	return found;
}

static size_t strings_syscall(const struct work *work)
{
	return find_strings(work, request_syscall, false);
}

static size_t strings_syscall_each(const struct work *work)
{
	return find_strings(work, request_syscall, true);
}

static size_t strings_readv(const struct work *work)
{
	return find_strings(work, request_readv, false);
}

/* pread() is short if it meets a hole, so it may go past the end of a page. */
static inline __attribute__((always_inline)) size_t
find_pieces(const struct work *work, int fd)
{
	unsigned long i, found = 0;

	for (i = 0; i < work->count; i++) {
		char *local = work->local[i].iov_base, *nul;
		ssize_t had = pread(fd, local, STRING_MAX,
				    (uintptr_t)work->remote[i].iov_base);

		nul = had > 0 ? memchr(local, 0, had) : NULL;
		if (!nul)
			continue;
		work->lengths[i] = nul - local;
		found++;
	}
	return found;
}

static size_t strings_procmem(const struct work *work)
{
	return find_pieces(work, procmem);
}

static size_t strings_target(const struct work *work)
{
	return find_pieces(work, target_file);
}

static size_t strings_cached(const struct work *work)
{
	return find_pieces(work, cached_file);
}

static inline __attribute__((always_inline)) size_t
find_batch(const struct work *work, int fd)
{
	unsigned long i, found = 0;

	if (!send_batch(work, fd))
		return -1;
	for (i = 0; i < work->count; i++) {
		const struct pvmread_segment *seg = &work->segments[i];

		if (seg->error || !seg->done)
			continue;
		work->lengths[i] = seg->done - 1;
		found++;
	}
	return found;
}

static size_t strings_batch(const struct work *work)
{
	return find_batch(work, target_file);
}

static size_t strings_cached_batch(const struct work *work)
{
	return find_batch(work, cached_file);
}

static size_t strings_memcpy(const struct work *work)
{
	unsigned long i, found = 0;

	for (i = 0; i < work->count; i++) {
		char *local = work->local[i].iov_base;
		char *end = memccpy(local, (char *)work->remote[i].iov_base +
					   work->mirror, 0, STRING_MAX);

		if (!end)
			continue;
		work->lengths[i] = end - local - 1;
		found++;
	}
	return found;
}

/*
 * The same for an empty request, which costs only entry and exit. The overhead_*() ways
 * exist only for this.
 */

static size_t empty_syscall(const struct work *work)
{
	return process_vm_readv(target, NULL, 0, NULL, 0, 0) + work->bytes;
}

static size_t empty_readv(const struct work *work)
{
	return request_readv(NULL, 0, NULL, 0) + work->bytes;
}

static size_t empty_procmem(const struct work *work)
{
	return pread(procmem, work->local->iov_base, 0,
		     (uintptr_t)work->remote->iov_base) + work->bytes;
}

static size_t empty_target(const struct work *work)
{
	return pread(target_file, work->local->iov_base, 0,
		     (uintptr_t)work->remote->iov_base) + work->bytes;
}

static size_t empty_batch(const struct work *work)
{
	struct pvmread_batch batch = { .size = sizeof(batch) };

	return ioctl(target_file, PVMREAD_IOC_BATCH, &batch) + work->bytes;
}

static size_t overhead_getppid(const struct work *work)
{
	return syscall(SYS_getppid) > 0 ? work->bytes : 0;
}

static size_t overhead_clock(const struct work *work)
{
	return now() ? work->bytes : 0;
}

static size_t overhead_loop(const struct work *work)
{
	return work->bytes;
}

/**
 * struct way - one of the ways
 * @name: as it is printed
 * @needs: features of the module
 * @run: reads the work
 * @strings: the same for strings
 * @empty: the same for nothing
 */
struct way {
	const char *name;
	uint64_t needs;
	size_t (*run)(const struct work *work);
	size_t (*strings)(const struct work *work);
	size_t (*empty)(const struct work *work);
};

/* The first is what the others are compared with. */
static const struct way ways[] = {
	{ "syscall", 0,
	  way_syscall, strings_syscall, empty_syscall },
	{ "procmem", 0,
	  way_procmem, strings_procmem, empty_procmem },
	{ "readv", PVMREAD_FEATURE_READV,
	  way_readv, strings_readv, empty_readv },
	{ "target", PVMREAD_FEATURE_ATTACH,
	  way_target, strings_target, empty_target },
	{ "batch", PVMREAD_FEATURE_ATTACH | PVMREAD_FEATURE_BATCH,
	  way_batch, strings_batch, empty_batch },
	{ "cached", PVMREAD_FEATURE_CACHE,
	  way_cached, strings_cached, NULL },
	{ "cached_batch", PVMREAD_FEATURE_CACHE,
	  way_cached_batch, strings_cached_batch, NULL },
	{ "memcpy", 0,
	  way_memcpy, strings_memcpy, NULL },
	{ "syscall_one_local", 0,
	  way_syscall_one_local, NULL, NULL },
	{ "syscall_each", 0,
	  way_syscall_each, strings_syscall_each, NULL },
	{ "shim", PVMREAD_FEATURE_READV, way_shim, NULL, NULL },
	{ "getppid", 0, NULL, NULL, overhead_getppid },
	{ "clock", 0, NULL, NULL, overhead_clock },
	{ "loop", 0, NULL, NULL, overhead_loop },
};

/* --- Measuring ----------------------------------------------------------- */

/*
 * FRESH: the caller's memory has no pages before a call, and the call faults them in.
 * COLD: the file with PVMREAD_CACHE is attached anew before each call.
 */
enum kind { PIECEWISE, STRINGS, EMPTY, FRESH, COLD };

/**
 * struct result - what one way took
 * @way: which
 * @run: its function
 * @reps: number of calls between two readings of the clock
 * @values: per call, in each round
 * @ratios: the same as ratios to the syscall in the same round
 */
struct result {
	const struct way *way;
	size_t (*run)(const struct work *work);
	unsigned long reps;
	double values[MAX_ROUNDS];
	double ratios[MAX_ROUNDS];
};

/* The number of rounds and the length of one. If a way takes @too_long: FEW_ROUNDS. */
struct pace {
	int rounds;
	double span;
	double too_long;
};

static const struct pace pace_instructions = { 9, 500e3, 20e6 };
static const struct pace pace_wall = { MAX_ROUNDS, 5e6, 1e12 };
#define FEW_ROUNDS	2

static size_t wanted(const struct work *work, enum kind kind)
{
	return kind == STRINGS ? work->count : work->bytes;
}

/* Whether the bytes read equal those of the mirror. */
static bool right_bytes(const struct work *work, enum kind kind)
{
	unsigned long i;

	for (i = 0; i < work->count; i++) {
		const char *local = work->local[i].iov_base;
		const char *mirror = (char *)work->remote[i].iov_base +
				     work->mirror;
		size_t len = work->local[i].iov_len;

		if (kind == STRINGS) {
			if (work->lengths[i] != strlen(mirror))
				return false;
			len = work->lengths[i] + 1;
		}
		if (memcmp(local, mirror, len))
			return false;
	}
	return true;
}

/*
 * Run a way once, into a buffer of other bytes, and check what it read. Return: what
 * this first run took; the CPU's caches may have held none of the bytes.
 */
static double try_out(const struct work *work, enum kind kind,
		      const struct result *result, const char *name)
{
	uint64_t begin, end;
	unsigned long i;
	size_t got;

	for (i = 0; kind != EMPTY && i < work->count; i++) {
		memset(work->local[i].iov_base, 0xff, kind == STRINGS ?
		       STRING_MAX : work->local[i].iov_len);
		work->segments[i].done = 0;
		if (kind == STRINGS)
			work->lengths[i] = 0;
	}
	begin = now();
	got = result->run(work);
	end = now();
	if (got != wanted(work, kind))
		errx(1, "%s, %s: %zd of %zu", name, result->way->name, got,
		     wanted(work, kind));
	if (kind != EMPTY && !right_bytes(work, kind))
		errx(1, "%s, %s: the wrong bytes", name, result->way->name);
	return end - begin;
}

/* Drop the pages of the buffer; the work is one piece. */
static void drop_local_pages(const struct work *work)
{
	size_t len = (work->bytes + PAGE - 1) & ~(PAGE - 1);

	if (madvise(work->local->iov_base, len, MADV_DONTNEED))
		err(1, "madvise");
}

static double take_time(const struct work *work, enum kind kind,
			const struct result *result, unsigned long reps,
			const char *name)
{
	size_t want = wanted(work, kind), bad = 0;
	uint64_t begin, end, sum = 0;
	unsigned long i;

	/* Warm up the CPU's caches, which the previous way has filled. */
	if (wall)
		bad |= result->run(work) ^ want;
	begin = now();
	for (i = 0; i < reps; i++) {
		if (kind == FRESH)
			drop_local_pages(work);
		if (kind == COLD && features & PVMREAD_FEATURE_CACHE) {
			close(cached_file);
			cached_file = attach_to(target, PVMREAD_CACHE);
			/* A kernel worker makes the cache ready. */
			usleep(10000);
		}
		if (kind == FRESH || kind == COLD)
			sum -= now();
		bad |= result->run(work) ^ want;
		if (kind == FRESH || kind == COLD)
			sum += now();
	}
	end = now();
	if (kind == FRESH || kind == COLD)
		end = begin + sum;
	if (bad)
		errx(1, "%s, %s: failed in the loop", name, result->way->name);
	return (double)(end - begin) / reps;
}

static void print_list(const char *key, const struct result *results,
		       size_t count, const double *values, const char *format)
{
	size_t i;

	printf(",\"%s\":{", key);
	for (i = 0; i < count; i++) {
		printf("%s\"%s\":", i ? "," : "", results[i].way->name);
		printf(format, values[i]);
	}
	printf("}");
}

/**
 * run_case() - measure one case, all ways, and print it
 * @group: which the case belongs to
 * @name: its own name
 * @x: the number that grows from case to case in the group
 * @work: what is to be read
 * @kind: what sort of work it is
 * @names: the ways, with blanks between them
 * @extra: more members for the JSON object, or ""
 */
static void run_case(const char *group, const char *name, unsigned long x,
		     const struct work *work, enum kind kind,
		     const char *names, const char *extra)
{
	const struct pace *pace = wall ? &pace_wall : &pace_instructions;
	struct result results[ARRAY_SIZE(ways)];
	double figures[ARRAY_SIZE(ways)], first[ARRAY_SIZE(ways)];
	double third[ARRAY_SIZE(ways)], ratios[ARRAY_SIZE(ways)];
	const char *missing[ARRAY_SIZE(ways)];
	size_t count = 0, absent = 0, i;
	int rounds = pace->rounds, r;
	char *list, *word, *save;

	list = strdup(names);
	for (word = strtok_r(list, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		const struct way *way = ways;

		while (strcmp(way->name, word))
			way++;
		if (~features & way->needs) {
			missing[absent++] = way->name;
			continue;
		}
		results[count].way = way;
		results[count].run = kind == STRINGS ? way->strings :
				     kind == EMPTY ? way->empty : way->run;
		count++;
	}
	free(list);

	for (i = 0; i < count; i++) {
		double took = try_out(work, kind, &results[i], name);

		results[i].reps = took < pace->span ? pace->span / took + 1 : 1;
		if (took > pace->too_long)
			rounds = FEW_ROUNDS;
	}
	for (r = 0; r < rounds; r++) {
		unsigned long *order = shuffled(count, r);

		for (i = 0; i < count; i++) {
			struct result *result = &results[order[i]];

			result->values[r] = take_time(work, kind, result,
						      result->reps, name);
		}
		free(order);
		for (i = 0; i < count; i++)
			results[i].ratios[r] = results[i].values[r] /
					       results[0].values[r];
	}

	for (i = 0; i < count; i++) {
		struct result *result = &results[i];

		ratios[i] = quantile(result->ratios, rounds, 0.5);
		first[i] = quantile(result->values, rounds, wall ? 0.25 : 0);
		third[i] = quantile(result->values, rounds, wall ? 0.75 : 1);
		figures[i] = quantile(result->values, rounds, wall ? 0.5 : 0);
	}
	printf("{\"group\":\"%s\",\"name\":\"%s\",\"x\":%lu,\"unit\":\"%s\"",
	       group, name, x, wall ? "ns" : "instructions");
	printf(",\"pieces\":%lu,\"bytes\":%zu,\"rounds\":%d%s", work->count,
	       work->bytes, rounds, extra);
	print_list("figures", results, count, figures, "%.1f");
	print_list("low", results, count, first, "%.1f");
	print_list("high", results, count, third, "%.1f");
	if (wall)
		print_list("paired_ratios", results, count, ratios, "%.4f");
	printf(",\"missing\":[");
	for (i = 0; i < absent; i++)
		printf("%s\"%s\"", i ? "," : "", missing[i]);
	printf("]}\n");
	fflush(stdout);
}

/* --- Cases --------------------------------------------------------------- */

static void make_work(struct work *work, unsigned long count,
		      const struct arena *arena)
{
	*work = (struct work) {
		.count = count,
		.remote = calloc(count, sizeof(*work->remote)),
		.local = calloc(count, sizeof(*work->local)),
		.segments = calloc(count, sizeof(*work->segments)),
		.mirror = arena->mirror - arena->remote,
	};
	if (!work->remote || !work->local || !work->segments)
		err(1, "calloc");
}

static void free_work(struct work *work)
{
	free(work->remote);
	free(work->local);
	free(work->segments);
	free(work->lengths);
	free(work->rest_remote);
	free(work->rest_local);
}

static void set_piece(struct work *work, unsigned long i, char *remote,
		      char *local, size_t length)
{
	work->remote[i].iov_base = remote;
	work->remote[i].iov_len = length;
	work->local[i].iov_base = local;
	work->local[i].iov_len = length;
	work->segments[i].remote = (uintptr_t)remote;
	work->segments[i].local = (uintptr_t)local;
	work->segments[i].length = length;
	work->bytes += length;
}

static const char *size_name(size_t size)
{
	static char name[32];

	if (size >= 1024 * MIB)
		snprintf(name, sizeof(name), "%zu GiB", size / MIB / 1024);
	else if (size >= MIB)
		snprintf(name, sizeof(name), "%zu MiB", size / MIB);
	else if (size >= 4 * KIB)
		snprintf(name, sizeof(name), "%zu KiB", size / KIB);
	else
		snprintf(name, sizeof(name), "%zu B", size);
	return name;
}

#define USUAL	"syscall procmem readv target batch cached cached_batch memcpy"

/* One piece from the beginning of the arena. */
static void run_sizes_of(enum kind kind, const char *group,
			 const struct arena *arena, const size_t *sizes,
			 size_t count, const char *extra)
{
	struct work work;
	size_t i;

	for (i = 0; i < count; i++) {
		make_work(&work, 1, arena);
		set_piece(&work, 0, arena->remote, local_buffer, sizes[i]);
		run_case(group, size_name(sizes[i]), sizes[i], &work, kind,
			 USUAL, extra);
		free_work(&work);
	}
}

static void run_sizes(const char *group, const struct arena *arena,
		      const size_t *sizes, size_t count, const char *extra)
{
	run_sizes_of(PIECEWISE, group, arena, sizes, count, extra);
}

enum order { ASCENDING, DESCENDING, RANDOM };

/* @count words, @per_page of them in each page, in this order */
static void make_scattered(struct work *work, const struct arena *arena,
			   unsigned long count, unsigned long per_page,
			   enum order order)
{
	unsigned long *random = shuffled(count, 1);
	unsigned long i;

	make_work(work, count, arena);
	for (i = 0; i < count; i++) {
		unsigned long k = order == ASCENDING ? i :
				  order == DESCENDING ? count - 1 - i : random[i];
		size_t in_page = k % per_page * (PAGE / per_page);

		/* Not always the same line of the cache. */
		if (per_page == 1)
			in_page = k * 64 % PAGE;
		set_piece(work, i,
			  arena->remote + k / per_page * PAGE + in_page,
			  local_buffer + i * WORD, WORD);
	}
	work->one_local.iov_base = local_buffer;
	work->one_local.iov_len = work->bytes;
	free(random);
}

static void run_scattered(const struct arena *arena)
{
	static const char * const orders[] = {
		"ascending", "descending", "random"
	};
	static const unsigned long pages[] = { 16, 1024 };
	enum order order;
	struct work work;
	char name[80];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		for (order = ASCENDING; order <= RANDOM; order++) {
			make_scattered(&work, arena, PIECES, PIECES / pages[i],
				       order);
			snprintf(name, sizeof(name), "1,024 x 8 B in %s pages, %s",
				 pages[i] == 16 ? "16" : "1,024", orders[order]);
			run_case("scattered", name, pages[i], &work, PIECEWISE,
				 USUAL " syscall_one_local syscall_each", "");
			free_work(&work);
		}
	}
}

/* The first read of each page: the cache does not have it yet. */
static void run_cold(const struct arena *arena)
{
	struct work work;

	make_scattered(&work, arena, PIECES, 1, RANDOM);
	run_case("cold", "1,024 x 8 B in 1,024 pages, random", PIECES, &work, COLD,
		 "syscall target batch cached cached_batch syscall_each", "");
	free_work(&work);
}

/* More pages than the cache has entries. */
static void run_thrash(const struct arena *arena)
{
	static const unsigned long pages[] = { 4096, 8192, 65536 };
	static const char * const names[] = { "4,096", "8,192", "65,536" };
	struct work work;
	char name[80];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		make_scattered(&work, arena, pages[i], 1, RANDOM);
		snprintf(name, sizeof(name), "%s x 8 B in as many pages, random",
			 names[i]);
		run_case("thrash", name, pages[i], &work, PIECEWISE, USUAL, "");
		free_work(&work);
	}
}

static void run_strings(const struct arena *arena)
{
	struct work work;
	unsigned long i;
	size_t length;

	make_work(&work, PIECES, arena);
	work.lengths = calloc(PIECES, sizeof(*work.lengths));
	work.rest_remote = calloc(PIECES, sizeof(*work.rest_remote));
	work.rest_local = calloc(PIECES, sizeof(*work.rest_local));
	if (!work.lengths || !work.rest_remote || !work.rest_local)
		err(1, "calloc");
	for (i = 0; i < PIECES; i++) {
		char *remote = arena->remote + string_at(i, &length);
		size_t to_end = -(uintptr_t)remote & (PAGE - 1);

		if (!to_end || to_end > STRING_MAX)
			to_end = STRING_MAX;
		set_piece(&work, i, remote, local_buffer + i * STRING_MAX,
			  to_end);
		work.segments[i].length = STRING_MAX;
		work.segments[i].flags = PVMREAD_SEGMENT_STRING;
	}
	run_case("strings", "1,024 strings in 256 pages", PIECES, &work,
		 STRINGS, USUAL " syscall_each", "");
	free_work(&work);
}

static void run_overhead(const char *group, const struct arena *arena)
{
	struct work work;

	make_work(&work, 1, arena);
	set_piece(&work, 0, arena->remote, local_buffer, WORD);
	run_case(group, "nothing", 0, &work, EMPTY,
		 "syscall procmem readv target batch getppid clock loop", "");
	free_work(&work);
}

static void part_small(void)
{
	static const size_t sizes[] = {
		8, 64, 512, 4 * KIB, 16 * KIB, 64 * KIB
	};
	static const size_t fresh[] = { 8, 4 * KIB, 64 * KIB };
	struct arena arenas[] = {
		{ .size = PIECES * PAGE, .layout = SHUFFLED },
		{ .size = (PIECES + 1) * STRING_SLOT, .strings = true },
	};

	start_target(arenas, ARRAY_SIZE(arenas), PIECES * STRING_MAX);
	run_overhead("overhead", &arenas[0]);
	run_sizes("size", &arenas[0], sizes, ARRAY_SIZE(sizes), "");
	run_sizes_of(FRESH, "fresh", &arenas[0], fresh, ARRAY_SIZE(fresh), "");
	run_scattered(&arenas[0]);
	run_cold(&arenas[0]);
	run_strings(&arenas[1]);
	end_target(arenas, ARRAY_SIZE(arenas));
}

/*
 * The source has page tables for 1 GiB, but less memory: it is a file of 64 MiB, mapped
 * 16 times. The buffer here is ordinary memory.
 */
static void part_linear(void)
{
	static const size_t sizes[] = {
		64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB,
		256 * MIB, 1024 * MIB
	};
	static const size_t fresh[] = { MIB, 64 * MIB };
	static const struct {
		unsigned long count;
		const char *name;
	} words[] = {
		{ 1, "1 x 8 B" },
		{ 16, "16 x 8 B" },
		{ 256, "256 x 8 B" },
		{ 4096, "4,096 x 8 B" },
		{ 65536, "65,536 x 8 B" },
	};
	static const unsigned long per_page[] = { 64, 1 };
	struct arena segments = { .size = 65536 * PAGE, .step = 64 };
	struct arena bytes = { .size = 1024 * MIB, .layout = ALIASED };
	struct work work;
	char group[32];
	size_t i, j;

	start_target(&segments, 1, 65536 * WORD);
	for (i = 0; i < ARRAY_SIZE(per_page); i++) {
		for (j = 0; j < ARRAY_SIZE(words); j++) {
			make_scattered(&work, &segments, words[j].count,
				       per_page[i], ASCENDING);
			snprintf(group, sizeof(group), "segments_%lu_a_page",
				 per_page[i]);
			run_case(group, words[j].name, words[j].count, &work,
				 PIECEWISE, USUAL, "");
			free_work(&work);
		}
	}
	run_thrash(&segments);
	end_target(&segments, 1);

	start_target(&bytes, 1, bytes.size);
	run_sizes("bytes", &bytes, sizes, ARRAY_SIZE(sizes), "");
	run_sizes_of(FRESH, "fresh_long", &bytes, fresh, ARRAY_SIZE(fresh), "");
	end_target(&bytes, 1);
}

static void part_huge(void)
{
	static const size_t sizes[] = {
		64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB
	};
	struct arena arena = { .size = 16 * MIB, .layout = HUGE_PAGES };
	size_t huge;

	start_target(&arena, 1, arena.size);
	huge = huge_bytes(&arena);
	if (huge != arena.size)
		errx(1, "only %zu of %zu bytes are huge pages", huge, arena.size);
	run_sizes("huge", &arena, sizes, ARRAY_SIZE(sizes),
		  ",\"contiguous\":1");
	end_target(&arena, 1);
}

static void part_bulk(void)
{
	static const size_t sizes[] = {
		64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB
	};
	static const struct {
		enum layout layout;
		const char *group;
	} layouts[] = {
		{ SHUFFLED, "bulk_scattered" },
		{ IN_ORDER, "bulk_in_order" },
	};
	char extra[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct arena arena = {
			.size = 64 * MIB,
			.layout = layouts[i].layout,
		};

		start_target(&arena, 1, arena.size);
		snprintf(extra, sizeof(extra), ",\"contiguous\":%.3f",
			 contiguous(&arena));
		if (!i)
			run_overhead("overhead_time", &arena);
		run_sizes(layouts[i].group, &arena, sizes, ARRAY_SIZE(sizes),
			  extra);
		end_target(&arena, 1);
	}
}

/* --- What a cached file costs the target -------------------------------- */

/* The target is this process. The files are target files of its own memory. */
static int files[8];
static unsigned int attached;

static void attach_files(unsigned int count, unsigned int flags)
{
	while (attached > count)
		close(files[--attached]);
	while (attached < count)
		files[attached++] = attach_to(getpid(), flags);
}

static char *own_page;

static size_t cost_dontneed(const struct work *work)
{
	*own_page = 1;
	return madvise(own_page, PAGE, MADV_DONTNEED) + work->bytes;
}

static size_t cost_munmap(const struct work *work)
{
	char *mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	*mem = 1;
	return munmap(mem, PAGE) + work->bytes;
}

static size_t cost_fork(const struct work *work)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return (waitpid(pid, NULL, 0) == pid) * work->bytes;
}

static size_t cost_attach(const struct work *work)
{
	int fd = attach_to(target, PVMREAD_CACHE);

	return close(fd) + work->bytes;
}

static size_t cost_attach_plain(const struct work *work)
{
	int fd = attach_to(target, 0);

	return close(fd) + work->bytes;
}

static double least_of(size_t (*run)(const struct work *work), const struct work *work,
		       int rounds)
{
	double least = 1e30;
	uint64_t begin;

	while (rounds--) {
		begin = now();
		if (run(work) != work->bytes)
			errx(1, "a step of the target failed");
		if (now() - begin < least)
			least = now() - begin;
	}
	return least;
}

static void print_costs(const char *group, const char *name, unsigned long x,
			const char * const *ways, const double *figures, int count)
{
	int i;

	printf("{\"group\":\"%s\",\"name\":\"%s\",\"x\":%lu,\"unit\":\"instructions\"",
	       group, name, x);
	printf(",\"pieces\":1,\"bytes\":1,\"rounds\":1");
	printf(",\"figures\":{");
	for (i = 0; i < count; i++)
		printf("%s\"%s\":%.1f", i ? "," : "", ways[i], figures[i]);
	printf("},\"missing\":[]}\n");
	fflush(stdout);
}

static void part_cost(void)
{
	static const struct {
		const char *name;
		size_t (*run)(const struct work *work);
	} steps[] = {
		{ "write a page, MADV_DONTNEED", cost_dontneed },
		{ "mmap, write a page, munmap", cost_munmap },
		{ "fork, exit, wait", cost_fork },
	};
	static const unsigned int counts[] = { 0, 1, 8 };
	static const unsigned long mappings[] = { 0, 1024, 16384 };
	static const char * const files_ways[] = { "files_0", "files_1", "files_8" };
	static const char * const attach_ways[] = { "attach_plain", "attach_first", "attach_next" };
	struct work work = { .bytes = 1 };
	double figures[3];
	size_t i, k;

	if (!(features & PVMREAD_FEATURE_CACHE))
		return;
	own_page = map_private(PAGE);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		for (k = 0; k < ARRAY_SIZE(counts); k++) {
			attach_files(counts[k], PVMREAD_CACHE);
			figures[k] = least_of(steps[i].run, &work, 50);
		}
		attach_files(0, 0);
		print_costs("cost", steps[i].name, i, files_ways, figures, 3);
	}
	for (i = 0; i < ARRAY_SIZE(mappings); i++) {
		int fds[2], fd;
		char name[64], c;

		if (pipe2(fds, O_CLOEXEC))
			err(1, "pipe2");
		fflush(NULL);
		target = fork();
		if (!target) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			/* Neighbours with other permissions are not merged. */
			for (k = 0; k < mappings[i]; k++)
				if (mmap(NULL, PAGE, k % 2 ? PROT_READ : PROT_NONE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
					_exit(1);
			if (write(fds[1], "", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		/* Otherwise read() would never return if the target exits early. */
		close(fds[1]);
		if (target < 0 || read(fds[0], &c, 1) != 1)
			errx(1, "the target ended early");
		close(fds[0]);
		figures[0] = least_of(cost_attach_plain, &work, 20);
		figures[1] = least_of(cost_attach, &work, 1);
		fd = attach_to(target, PVMREAD_CACHE);
		figures[2] = least_of(cost_attach, &work, 20);
		close(fd);
		snprintf(name, sizeof(name), "%lu more mappings", mappings[i]);
		print_costs("attach", name, mappings[i], attach_ways, figures, 3);
		kill(target, SIGKILL);
		waitpid(target, NULL, 0);
		target = 0;
	}
}

/* --- Windows --------------------------------------------------------------- */

#define WINDOW_SIZE	MIB
#define WINDOW_PAGES	(WINDOW_SIZE / PAGE)

/* What is mapped: a target file at the target's address, or shared memory of this process. */
static struct {
	int fd;
	off_t offset;
	char *at;
} mapped;

static void map_window(void)
{
	mapped.at = mmap(NULL, WINDOW_SIZE, PROT_READ, MAP_SHARED, mapped.fd, mapped.offset);
	if (mapped.at == MAP_FAILED)
		err(1, "mmap");
}

static void touch_window(size_t first, size_t pages)
{
	size_t i;

	for (i = first; i < first + pages; i++)
		*(volatile char *)(mapped.at + i * PAGE);
}

static size_t window_map(const struct work *work)
{
	map_window();
	return munmap(mapped.at, WINDOW_SIZE) + work->bytes;
}

static size_t window_map_read(const struct work *work)
{
	map_window();
	memcpy(local_buffer, mapped.at, WINDOW_SIZE);
	return munmap(mapped.at, WINDOW_SIZE) + work->bytes;
}

static size_t window_read(const struct work *work)
{
	memcpy(local_buffer, mapped.at, WINDOW_SIZE);
	return work->bytes;
}

/* Touch unmapped pages in a row; an earlier page is mapped. Return: the cost of one page. */
static double first_touch(void)
{
	const size_t some = 16, pages = WINDOW_PAGES - some;
	double least = 1e30, took;
	uint64_t begin;
	int i;

	for (i = 0; i < 20; i++) {
		map_window();
		touch_window(0, 1);
		begin = now();
		touch_window(some, pages);
		took = (double)(now() - begin) / pages;
		if (took < least)
			least = took;
		munmap(mapped.at, WINDOW_SIZE);
	}
	return least;
}

static double syscall_1m(const struct arena *arena)
{
	struct iovec local = { local_buffer, WINDOW_SIZE }, remote = { arena->remote, WINDOW_SIZE };
	double least = 1e30;
	uint64_t begin;
	int i;

	for (i = 0; i < 20; i++) {
		begin = now();
		if (process_vm_readv(target, &local, 1, &remote, 1, 0) != (ssize_t)WINDOW_SIZE)
			err(1, "process_vm_readv");
		if (now() - begin < least)
			least = now() - begin;
	}
	return least;
}

/*
 * What @step costs the target, this process, while the first @count files have windows that
 * map @own_page. The cost of mapping it there is not counted.
 */
static double cost_beside_windows(size_t (*step)(const struct work *work), unsigned int count)
{
	struct work work = { .bytes = 1 };
	char *windows[ARRAY_SIZE(files)];
	double least = 1e30;
	uint64_t begin;
	unsigned int k;
	int i;

	attach_files(count, PVMREAD_WINDOW);
	for (k = 0; k < count; k++) {
		windows[k] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, files[k],
				  (uintptr_t)own_page);
		if (windows[k] == MAP_FAILED)
			err(1, "mmap");
	}
	for (i = 0; i < 50; i++) {
		*own_page = 1;
		for (k = 0; k < count; k++)
			if (*(volatile char *)windows[k] != 1)
				errx(1, "a window shows the wrong byte");
		begin = now();
		if (step(&work) != work.bytes)
			errx(1, "a step of the target failed");
		if (now() - begin < least)
			least = now() - begin;
	}
	for (k = 0; k < count; k++)
		munmap(windows[k], PAGE);
	attach_files(0, 0);
	return least;
}

static void print_window_costs(void)
{
	static const struct {
		const char *name;
		size_t (*step)(const struct work *work);
	} steps[] = {
		{ "write a page, MADV_DONTNEED", cost_dontneed },
		{ "fork, exit, wait", cost_fork },
	};
	static const unsigned int counts[] = { 0, 1, 8 };
	static const char * const ways[] = { "windows_0", "windows_1", "windows_8" };
	double figures[3];
	size_t i, k;

	/* Not munmap(): its cost varies too much with the mapping's place in the VMA tree. */
	own_page = map_private(PAGE);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		for (k = 0; k < ARRAY_SIZE(counts); k++)
			figures[k] = cost_beside_windows(steps[i].step, counts[k]);
		print_costs("window_cost", steps[i].name, i, ways, figures, 3);
	}
}

/* Compare a window with a mapping of shared memory. */
static void part_window(void)
{
	static const char * const ways[] = { "syscall", "shared", "window" };
	struct arena arena = { .size = WINDOW_SIZE, .layout = IN_ORDER };
	struct work work = { .bytes = 1 };
	double map[2], touch[2], once[3], again[3];
	int shared;
	size_t i;

	if (!(features & PVMREAD_FEATURE_WINDOW))
		return;
	start_target(&arena, 1, WINDOW_SIZE);
	shared = memfd_create("bench", MFD_CLOEXEC);
	if (shared < 0 || ftruncate(shared, WINDOW_SIZE))
		err(1, "memfd_create");
	mapped.fd = shared;
	map_window();
	/* Give it pages. */
	touch_window(0, WINDOW_PAGES);
	munmap(mapped.at, WINDOW_SIZE);
	for (i = 0; i < 2; i++) {
		mapped.fd = i ? attach_to(target, PVMREAD_WINDOW) : shared;
		mapped.offset = i ? (uintptr_t)arena.remote : 0;
		map[i] = least_of(window_map, &work, 20);
		touch[i] = first_touch();
		once[i + 1] = least_of(window_map_read, &work, 20);
		map_window();
		again[i + 1] = least_of(window_read, &work, 20);
		munmap(mapped.at, WINDOW_SIZE);
		close(mapped.fd);
	}
	once[0] = syscall_1m(&arena);
	again[0] = once[0];
	print_costs("window", "mmap, munmap", 0, ways + 1, map, 2);
	print_costs("window", "first touch, one of 240 pages in a row", 1, ways + 1, touch, 2);
	print_costs("window", "mmap, memcpy, munmap", 2, ways, once, 3);
	print_costs("window", "memcpy again", 3, ways, again, 3);
	end_target(&arena, 1);
	print_window_costs();
}

/* --- What the preload shim costs ----------------------------------------- */

static void run_shim(const char *group, const struct arena *arena)
{
	static const size_t sizes[] = { 8, 512, 4 * KIB, 64 * KIB };
	struct work work;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		make_work(&work, 1, arena);
		set_piece(&work, 0, arena->remote, local_buffer, sizes[i]);
		run_case(group, size_name(sizes[i]), sizes[i], &work, PIECEWISE,
			 "syscall readv shim", "");
		free_work(&work);
	}
}

/*
 * The shim opens the device at its first call. So measure it without a device first: with
 * an empty /dev, in a private mount namespace.
 */
static void part_shim(void)
{
	struct arena arena = { .size = 64 * KIB, .layout = SHUFFLED };
	void *shim = dlopen("libpvmread-preload.so", RTLD_NOW | RTLD_LOCAL);

	if (!shim)
		errx(1, "%s", dlerror());
	shim_readv = (__typeof__(shim_readv))dlsym(shim, "process_vm_readv");
	if (!shim_readv)
		errx(1, "%s", dlerror());

	start_target(&arena, 1, arena.size);
	if (unshare(CLONE_NEWNS) || (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
				     errno != EINVAL))
		err(1, "cannot create a mount namespace");
	if (mount("none", "/dev", "ramfs", 0, NULL))
		err(1, "cannot mount an empty /dev");
	run_shim("shim_no_device", &arena);
	if (umount("/dev"))
		err(1, "cannot unmount the empty /dev");
	/* The shim tries to open the device again only after a second. */
	sleep(2);
	run_shim("shim", &arena);
	end_target(&arena, 1);
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "small", part_small },
	{ "linear", part_linear },
	{ "huge", part_huge },
	{ "bulk", part_bulk },
	{ "cost", part_cost },
	{ "window", part_window },
	{ "shim", part_shim },
};

/*
 * Turn address randomization off. The place of a mapping in the VMA tree changes the
 * figures by some instructions, and random addresses change that place at each start.
 */
static void fix_addresses(char **argv)
{
	int old = personality(0xffffffff);

	if (old < 0 || old & ADDR_NO_RANDOMIZE)
		return;
	if (personality(old | ADDR_NO_RANDOMIZE) < 0)
		err(1, "personality");
	execv("/proc/self/exe", argv);
	err(1, "exec of itself");
}

int main(int argc, char **argv)
{
	struct pvmread_info info = { .size = sizeof(info) };
	struct utsname uts;
	size_t i;
	int c;

	fix_addresses(argv);
	while ((c = getopt(argc, argv, "t")) != -1) {
		if (c != 't')
			errx(2, "usage: bench [-t] small|linear|huge|bulk|cost|window|shim...");
		wall = true;
	}
	device = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		err(1, "%s", PVMREAD_DEVICE);
	if (ioctl(device, PVMREAD_IOC_INFO, &info))
		err(1, "PVMREAD_IOC_INFO");
	features = info.features;
	atexit(stop_target);
	uname(&uts);
	printf("{\"kernel\":\"%s\",\"features\":%llu}\n", uts.release,
	       (unsigned long long)features);
	if (!wall)
		check_clock();
	for (; optind < argc; optind++) {
		for (i = 0; i < ARRAY_SIZE(parts); i++) {
			if (!strcmp(argv[optind], parts[i].name))
				break;
		}
		if (i == ARRAY_SIZE(parts))
			errx(2, "no part is named %s", argv[optind]);
		parts[i].run();
	}
	return 0;
}
