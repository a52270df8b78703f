// SPDX-License-Identifier: GPL-2.0-only
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "walk.h"

/* From linux/fs.h of 6.15. */
#define GUARD		(1 << 8)
/* PAGE_IS_PFNZERO, in linux/fs.h since 6.7 like PAGEMAP_SCAN. */
#define ZERO_PAGE	(1 << 5)

/* The most pages that one call reports: 1 GiB of small ones. */
#define PAGES_MAX	(1 << 18)
/* Entries of /proc/PID/pagemap that are compared at once. */
#define ENTRIES		512

/* A page that is present now may be in swap, or unmapped, when it is read. */
#define ATTEMPTS	3

static uint64_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* has_swapped() - whether some of the target's memory is in swap, or may be */
static bool has_swapped(const struct target *target)
{
	size_t length;
	char *status = proc_read(target, "status", 8192, &length);
	char *line = status ? strstr(status, "\nVmSwap:") : NULL;
	const bool none = line && strtoull(line + strlen("\nVmSwap:"), NULL, 10) == 0;

	free(status);
	return !none;
}

void walk_start(struct walk *walk, const struct target *target, unsigned int flags)
{
	*walk = (struct walk){ .target = target, .flags = flags, .file = -1 };
	walk->resident = target_again(target, (flags & PVMREAD_NOWAIT) | PVMREAD_RESIDENT);
	walk->pagemap = target->proc == PROC_OURS ? proc_open(target, "pagemap", O_RDONLY) : -1;
	walk->swapped = walk->pagemap < 0 && has_swapped(target);
	if (!target_is_alive(target))
		fail(0, "%s: has exited", target->name);
}

static void close_file(struct walk *walk)
{
	if (walk->file >= 0)
		close(walk->file);
	walk->file = -1;
	walk->file_asked = false;
	walk->file_is_zeros = false;
}

void walk_end(struct walk *walk)
{
	char nothing;

	if (pvmread_read(walk->target->fd, 0, &nothing, 0) < 0)
		fail(0, "%s: %s", walk->target->name,
		     target_reason(walk->target, 0, errno, 0));
	close_file(walk);
	if (walk->pagemap >= 0)
		close(walk->pagemap);
	close(walk->resident);
}

void walk_range(struct walk *walk, const struct mapping *map, uint64_t start, uint64_t end)
{
	if (map != walk->map)
		close_file(walk);
	walk->map = map;
	walk->at = start;
	walk->end = end;
	walk->known = start;
	walk->run_count = 0;
}

/* --- what is resident or in swap --- */

/**
 * struct look - an ioctl(PAGEMAP_SCAN) by a thread
 */
struct look {
	int pagemap;
	int found;
	int error;
	size_t progress;
	struct pm_scan_arg arg;
	struct page_region runs[WALK_RUNS];
};

static void run_look(void *argument)
{
	struct look *look = argument;

	look->found = ioctl(look->pagemap, PAGEMAP_SCAN, &look->arg);
	look->error = look->found < 0 ? errno : 0;
}

static void __attribute__((noreturn)) fail_locked(const struct walk *walk)
{
	fail(0, "%s: its address space stays locked; try without --nowait",
	     walk->target->name);
}

/**
 * look_again() - query the runs of pages from @walk->at on
 * @pages: stop when this many are found
 *
 * Return: false if the kernel does not tell.
 */
static bool look_again(struct walk *walk, uint64_t pages)
{
	static bool no_guards;
	const uint64_t mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | (no_guards ? 0 : GUARD);
	struct look *look;

	if (walk->pagemap < 0)
		return false;
	look = calloc(1, sizeof(*look));
	if (!look)
		fail(ENOMEM, "pagemap");
	look->pagemap = walk->pagemap;
	look->arg = (struct pm_scan_arg){
		.size = sizeof(look->arg),
		.start = walk->at - walk->at % page_size(),
		.end = walk->end,
		.vec = (uintptr_t)look->runs,
		.vec_len = WALK_RUNS,
		.max_pages = pages,
		.category_anyof_mask = mask,
		.return_mask = mask | ZERO_PAGE,
	};
	if (!proc_in_time(walk->target, run_look, look, &look->progress))
		fail_locked(walk);
	if (look->error == EINVAL && !no_guards) {
		free(look);
		no_guards = true;
		return look_again(walk, pages);
	}
	/* An exited process also fails here; walk_end() reports it. */
	if (look->error) {
		free(look);
		close(walk->pagemap);
		walk->pagemap = -1;
		walk->swapped = has_swapped(walk->target);
		return false;
	}
	memcpy(walk->runs, look->runs, look->found * sizeof(*walk->runs));
	walk->run_count = look->found;
	walk->known = MIN(look->arg.walk_end, walk->end);
	free(look);
	return true;
}

/**
 * find_run() - find the run of pages at @walk->at
 * @pages: for look_again(), if the kernel must be asked
 * @end: set to the end of the run
 *
 * Return: PAGE_IS_* of the pages; 0: neither resident nor in swap.
 */
static uint64_t find_run(struct walk *walk, uint64_t pages, uint64_t *end)
{
	size_t i;

	if (walk->at >= walk->known && !look_again(walk, pages)) {
		/* Unknown: try to read. */
		*end = walk->end;
		return PAGE_IS_PRESENT;
	}
	for (i = 0; i < walk->run_count && walk->runs[i].end <= walk->at; i++)
		;
	if (i == walk->run_count || walk->runs[i].start >= walk->end) {
		*end = walk->known;
		return 0;
	}
	if (walk->runs[i].start > walk->at) {
		*end = walk->runs[i].start;
		return 0;
	}
	*end = MIN(walk->runs[i].end, walk->end);
	return walk->runs[i].categories;
}

/**
 * enum entry - the page table entry of a page, as far as pagemap shows it
 * @ENTRY_NONE: none, or a marker that does not affect reads
 * @ENTRY_PRESENT: a page
 * @ENTRY_SWAPPED: a page in swap, or under migration
 * @ENTRY_HIDDEN: a page in swap, a guard page or poison: only CAP_SYS_ADMIN sees which
 * @ENTRY_GUARD: a guard page
 * @ENTRY_POISONED: poison
 */
enum entry {
	ENTRY_NONE,
	ENTRY_PRESENT,
	ENTRY_SWAPPED,
	ENTRY_HIDDEN,
	ENTRY_GUARD,
	ENTRY_POISONED,
};

/*
 * Linux 6.15 and later set bit 58 for a guard page. In all versions, an entry that
 * seems to be of the last swap file is a PTE marker. Readers with CAP_SYS_ADMIN also
 * see the marker's kind in the offset: 1 << 2 is a guard, 1 << 1 is poison, 1 << 0 is a
 * userfaultfd's write protection.
 */
static enum entry classify(uint64_t entry)
{
	enum { PRESENT = 63, SWAPPED = 62, GUARD_PAGE = 58, TYPE_BITS = 5, LAST_TYPE = 31 };
	const uint64_t offset = entry >> TYPE_BITS & ((UINT64_C(1) << 50) - 1);

	if (entry >> PRESENT & 1)
		return ENTRY_PRESENT;
	if (entry >> GUARD_PAGE & 1)
		return ENTRY_GUARD;
	if (!(entry >> SWAPPED & 1))
		return ENTRY_NONE;
	if (!offset)
		return ENTRY_HIDDEN;
	if ((entry & LAST_TYPE) != LAST_TYPE || offset > 7)
		return ENTRY_SWAPPED;
	return offset & 4 ? ENTRY_GUARD : offset & 2 ? ENTRY_POISONED : ENTRY_NONE;
}

/**
 * find_entry() - find the page table entry at @walk->at
 * @end: in: where to stop; out: the end of the equal entries
 *
 * Return: the kind of entry; ENTRY_HIDDEN if it cannot be read.
 */
static enum entry find_entry(const struct walk *walk, uint64_t *end)
{
	const uint64_t page = page_size(), number = walk->at / page;
	uint64_t entries[ENTRIES];
	enum entry entry;
	ssize_t got = 0;
	size_t i = 1;

	if (walk->pagemap >= 0)
		got = proc_pread(walk->target, walk->pagemap, entries,
				 MIN((*end - 1) / page - number + 1, ENTRIES) * sizeof(*entries),
				 number * sizeof(*entries));
	if (got < 0 && errno == EAGAIN)
		fail_locked(walk);
	if (got < (ssize_t)sizeof(*entries)) {
		*end = MIN(*end, (number + 1) * page);
		return ENTRY_HIDDEN;
	}
	entry = classify(entries[0]);
	while (i < got / sizeof(*entries) && classify(entries[i]) == entry)
		i++;
	*end = MIN(*end, (number + i) * page);
	return entry;
}

/* --- pages of the mapped file --- */

/* is_same_file() - whether @map is a mapping of the file of @st */
static bool is_same_file(const struct mapping *map, const struct stat *st)
{
	return st->st_ino == map->inode && major(st->st_dev) == map->dev_major &&
	       minor(st->st_dev) == map->dev_minor;
}

/* is_link_to() - whether the link @name in /proc/PID leads to @path */
static bool is_link_to(const struct walk *walk, const char *name, const char *path)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(walk->target->proc_dir, name, target, sizeof(target) - 1);

	if (length < 0)
		return false;
	target[length] = '\0';
	return !strcmp(target, path);
}

/**
 * find_file() - get an O_PATH descriptor of the file
 *
 * Only root can use /proc/PID/map_files. Other users find only files that still have
 * their name.
 *
 * Return: the descriptor, or -1.
 */
static int find_file(const struct walk *walk)
{
	const struct mapping *map = walk->map;
	char name[PATH_MAX];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	fd = proc_open(walk->target, name, O_PATH);
	/* Another file may be mapped there now. Some file systems tell stat() another inode. */
	if (fd >= 0 && (fstat(fd, &st) ||
			(st.st_ino != map->inode && !is_link_to(walk, name, map->name)))) {
		close(fd);
		return -1;
	}
	if (fd >= 0 || (errno != EPERM && errno != EACCES) || *map->name != '/')
		return fd;
	if (snprintf(name, sizeof(name), "root%s", map->name) >= (int)sizeof(name))
		return -1;
	fd = proc_open(walk->target, name, O_PATH | O_NOFOLLOW);
	if (fd >= 0 && (fstat(fd, &st) || !is_same_file(map, &st))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* open_file() - open the file of the mapping, or set the reason why it cannot be read */
static void open_file(struct walk *walk)
{
	int path = find_file(walk);
	char name[64];
	struct stat st;

	walk->file_asked = true;
	walk->file_error = EIO;
	walk->file_why = "not resident, and its file cannot be opened";
	if (path < 0 && !target_is_alive(walk->target))
		fail(0, "%s: has exited", walk->target->name);
	if (path < 0)
		return;
	/* Opening a device can have side effects. */
	if (fstat(path, &st) || !S_ISREG(st.st_mode)) {
		walk->file_why = "a device";
		walk->file_is_zeros = S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5) &&
				      walk->map->perms[3] == 'p';
		close(path);
		return;
	}
	snprintf(name, sizeof(name), "/proc/self/fd/%d", path);
	/* Do not wait for the holder of a lease. */
	walk->file = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	close(path);
	if (walk->file < 0)
		return;
	walk->file_size = st.st_size;
	walk->file_error = 0;
}

/* absent() - make @piece an absent piece up to @end */
static void absent(struct walk *walk, struct piece *piece, uint64_t end, int error,
		   const char *why)
{
	*piece = (struct piece){
		.kind = PIECE_ABSENT, .addr = walk->at, .length = end - walk->at,
		.error = error, .why = why,
	};
}

/* zeros() - make @piece a piece of zeros up to @end */
static void zeros(struct walk *walk, struct piece *piece, uint64_t end)
{
	*piece = (struct piece){
		.kind = PIECE_ZEROS, .addr = walk->at, .length = end - walk->at,
	};
}

/* read_file() - read a piece from the file, up to @end at most */
static void read_file(struct walk *walk, uint64_t end, void *buf, struct piece *piece)
{
	const uint64_t offset = walk->map->offset + (walk->at - walk->map->start);
	const uint64_t size = roundup(walk->file_size, page_size());
	off_t data, hole;
	uint64_t left;
	ssize_t got;

	if (offset >= size) {
		absent(walk, piece, end, 0, "past the end of its file");
		return;
	}
	left = MIN(end - walk->at, size - offset);
	zeros(walk, piece, walk->at + left);
	data = lseek(walk->file, offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return;
	/* A file system without support for holes has none. Some have holes smaller than a page. */
	data = data < 0 ? (off_t)offset : data - data % (off_t)page_size();
	if (data >= (off_t)(offset + left))
		return;
	if (data > (off_t)offset) {
		piece->length = data - offset;
		return;
	}
	hole = lseek(walk->file, offset, SEEK_HOLE);
	/* The end of the file also counts as a hole, but the rest of its page is zeros. */
	if (hole > (off_t)offset && hole < (off_t)walk->file_size)
		left = MIN(left, roundup((uint64_t)hole, page_size()) - offset);
	piece->kind = PIECE_BYTES;
	piece->length = left;
	if (!buf)
		return;
	left = MIN(left, WALK_CHUNK);
	got = pread(walk->file, buf, left, offset);
	if (got < 0 && errno != EIO) {
		/* A file of sysfs, secretmem or the like, which cannot be read at all. */
		absent(walk, piece, end, EIO, "its file cannot be read");
		return;
	}
	if (got < 0 || (!got && offset < walk->file_size)) {
		absent(walk, piece, walk->at + MIN(left, page_size() - walk->at % page_size()),
		       EIO, got < 0 ? "its file cannot be read" : "its file was truncated");
		return;
	}
	if ((uint64_t)got < left && offset + got < walk->file_size)
		left = got;
	else
		memset((char *)buf + got, 0, left - got);
	piece->length = left;
}

/* --- a piece --- */

/**
 * read_vdso() - read a piece of the [vdso]: all processes share one
 *
 * Return: false if the target's is not the same as our own.
 */
static bool read_vdso(struct walk *walk, uint64_t end, void *buf, struct piece *piece)
{
	const unsigned char *own = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)own;
	const uint64_t offset = walk->at - walk->map->start;
	unsigned char first[4096];
	uint64_t size;

	if (strcmp(walk->map->name, "[vdso]") || !own || header->e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	size = roundup(header->e_shoff + header->e_shnum * header->e_shentsize, page_size());
	if (end - walk->map->start > size || end - walk->at > WALK_CHUNK ||
	    pvmread_read(walk->resident, walk->map->start, first, sizeof(first)) !=
	    sizeof(first) || memcmp(first, own, sizeof(first)))
		return false;
	*piece = (struct piece){
		.kind = PIECE_BYTES, .addr = walk->at, .length = end - walk->at,
	};
	if (buf)
		memcpy(buf, own + offset, piece->length);
	return true;
}

/* read_gap() - read a piece that is neither resident nor in swap, up to @end */
static void read_gap(struct walk *walk, uint64_t end, void *buf, struct piece *piece)
{
	const struct mapping *map = walk->map;

	if (mapping_is_anonymous(map) && !(map->flags & MAPPING_USERFAULT)) {
		zeros(walk, piece, end);
		return;
	}
	if (map->flags & MAPPING_IO) {
		absent(walk, piece, end, EIO, "a device");
		return;
	}
	if (!mapping_has_file(map) && !mapping_is_anonymous(map)) {
		if (read_vdso(walk, end, buf, piece))
			return;
		absent(walk, piece, end, 0, "kernel memory");
		return;
	}
	if (walk->flags & PVMREAD_RESIDENT) {
		absent(walk, piece, end, EIO, "not resident");
		return;
	}
	if (walk->flags & PVMREAD_NOWAIT) {
		absent(walk, piece, end, EAGAIN, "not available without waiting");
		return;
	}
	if (map->flags & MAPPING_USERFAULT) {
		absent(walk, piece, end, EIO, "not served by its userfaultfd yet");
		return;
	}
	if (!walk->file_asked)
		open_file(walk);
	if (walk->file_is_zeros)
		zeros(walk, piece, end);
	else if (walk->file < 0)
		absent(walk, piece, end, walk->file_error, walk->file_why);
	else
		read_file(walk, end, buf, piece);
}

/* unreadable() - the end of the unreadable resident part at @walk->at */
static uint64_t unreadable(const struct walk *walk, uint64_t end)
{
	struct pvmread_segment segs[ENTRIES] = {};
	const uint64_t page = page_size(), first = walk->at - walk->at % page;
	uint64_t at = first;
	size_t count, i;
	char byte;

	do {
		count = MIN((end - at + page - 1) / page, ENTRIES);
		for (i = 0; i < count; i++)
			segs[i] = (struct pvmread_segment){
				.local = (uintptr_t)&byte, .remote = at + i * page, .length = 1,
			};
		if (pvmread_batch(walk->resident, segs, count, 0) < (ssize_t)count)
			return MIN(end, at + page);
		for (i = 0; i < count; i++)
			if (segs[i].done)
				/* The first page has just failed to be read. */
				return MIN(end, MAX(at + i * page, first + page));
		at += count * page;
	} while (at < end && !interrupted);
	return MIN(at, end);
}

/**
 * read_pages() - read a piece of resident or swapped pages
 *
 * Return: 0, or an errno value if there is none: EIO, EAGAIN, ENOMEM.
 */
static int read_pages(struct walk *walk, int fd, uint64_t end, void *buf, struct piece *piece)
{
	ssize_t got;

	*piece = (struct piece){
		.kind = PIECE_BYTES, .addr = walk->at, .length = end - walk->at,
	};
	if (!buf)
		return 0;
	got = pvmread_read(fd, walk->at, buf, MIN(end - walk->at, WALK_CHUNK));
	if (got > 0) {
		piece->length = got;
		return 0;
	}
	if (!got || errno == EIO || errno == EAGAIN || errno == ENOMEM)
		return got ? errno : EIO;
	fail(0, "0x%" PRIx64 " of %s: %s", walk->at, walk->target->name,
	     target_reason(walk->target, walk->at, errno, 0));
}

/**
 * read_swapped() - read a piece of pages that PAGEMAP_SCAN reports as swapped
 *
 * Each may be in swap or under migration, or be a marker. Faulting a marker in would
 * allocate memory.
 */
static void read_swapped(struct walk *walk, uint64_t end, void *buf, struct piece *piece)
{
	const enum entry entry = find_entry(walk, &end);
	int error;

	switch (entry) {
	case ENTRY_GUARD:
		absent(walk, piece, end, 0, "a guard page");
		return;
	case ENTRY_POISONED:
		absent(walk, piece, end, EIO, "poisoned");
		return;
	case ENTRY_NONE:
		read_gap(walk, end, buf, piece);
		return;
	default:
		break;
	}
	if (!read_pages(walk, walk->resident, end, buf, piece) && buf)
		return;
	/* Shared memory in swap is not in the page table. */
	if (walk->map->perms[3] == 's') {
		read_gap(walk, end, buf, piece);
		return;
	}
	if (walk->flags & PVMREAD_RESIDENT) {
		absent(walk, piece, end, EIO, "not resident");
		return;
	}
	if (walk->flags & PVMREAD_NOWAIT) {
		absent(walk, piece, end, EAGAIN, "not available without waiting");
		return;
	}
	if (entry == ENTRY_HIDDEN && !mapping_is_anonymous(walk->map)) {
		absent(walk, piece, end, EIO, "in swap, or poisoned");
		return;
	}
	error = read_pages(walk, walk->target->fd, end, buf, piece);
	if (error == EIO && entry == ENTRY_HIDDEN)
		absent(walk, piece, end, 0, "a guard page, or poisoned");
	else if (error)
		absent(walk, piece, end, error,
		       error == EIO ? "poisoned" : pvmread_strerror(error));
}

bool walk_next(struct walk *walk, void *buf, struct piece *piece)
{
	uint64_t end, state, first_end = 0;
	int error, attempt;

	if (walk->at >= walk->end || interrupted)
		return false;
	for (attempt = 0; ; attempt++) {
		state = find_run(walk, attempt ? 1 : PAGES_MAX, &end);
		first_end = MAX(first_end, end);
		if (state & GUARD) {
			absent(walk, piece, end, 0, "a guard page");
			break;
		}
		if (state & PAGE_IS_SWAPPED) {
			read_swapped(walk, end, buf, piece);
			break;
		}
		if (state & ZERO_PAGE && mapping_is_anonymous(walk->map)) {
			zeros(walk, piece, end);
			break;
		}
		if (!state) {
			read_gap(walk, end, buf, piece);
			break;
		}
		error = read_pages(walk, walk->resident, end, buf, piece);
		if (!error)
			break;
		if (walk->pagemap < 0) {
			end = unreadable(walk, end);
			if (error != EIO)
				absent(walk, piece, end, error, error == EAGAIN ?
				       "not available without waiting" : pvmread_strerror(error));
			else if (walk->swapped && walk->map->perms[3] == 'p')
				absent(walk, piece, end, error, "not resident");
			else
				read_gap(walk, end, buf, piece);
			break;
		}
		/* A page that is present but still fails cannot be read at all. */
		if (attempt == ATTEMPTS) {
			end = unreadable(walk, first_end);
			absent(walk, piece, end, error, error == EIO ? "a device or secretmem" :
			       error == EAGAIN ? "not available without waiting" :
			       pvmread_strerror(error));
			break;
		}
		walk->known = walk->at;
	}
	walk->at += piece->length;
	return true;
}
