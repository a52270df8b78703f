/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Goes through the memory of a target without making the target larger.
 *
 * Pages that are resident or in swap are read from the process. Pages of a file
 * mapping that are not resident are read from the file. Untouched private memory is zeros.
 */
#ifndef WALK_H
#define WALK_H

#include <linux/fs.h>

#include "cmd.h"

/* The most that one walk_next() reads; enough to make the system call's cost negligible. */
#define WALK_CHUNK	(1024 * 1024)
/* The number of runs of pages in one query. */
#define WALK_RUNS	512

/* From linux/fs.h of 6.7. */
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN	_IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT	(1 << 3)
#define PAGE_IS_SWAPPED	(1 << 4)

struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#endif

/**
 * enum piece_kind - what a piece of memory is
 * @PIECE_BYTES: bytes, in the buffer
 * @PIECE_ZEROS: memory that reads as zeros and has no pages: it is untouched, or a hole
 *	of a file
 * @PIECE_ABSENT: memory that cannot be read
 */
enum piece_kind {
	PIECE_BYTES,
	PIECE_ZEROS,
	PIECE_ABSENT,
};

/**
 * struct piece - a part of the memory
 * @addr: its first address
 * @length: bytes, at least 1
 * @error: PIECE_ABSENT: an errno value; or 0 if nothing is missing, because the process
 *	itself cannot read it either (a guard page, the end of a file)
 * @why: PIECE_ABSENT: text for a message
 */
struct piece {
	enum piece_kind kind;
	uint64_t addr;
	uint64_t length;
	int error;
	const char *why;
};

/**
 * struct walk - the state of a walk
 * @target: the target
 * @flags: PVMREAD_NOWAIT, PVMREAD_RESIDENT
 * @resident: a target file with PVMREAD_RESIDENT
 * @pagemap: the target's /proc/PID/pagemap, or -1
 * @swapped: @pagemap is -1, and the target has memory in swap
 * @map: the mapping
 * @at: the next address
 * @end: where to stop in @map
 * @runs: resident or swapped pages, in the order of their addresses
 * @run_count: the number of @runs
 * @known: pages below this address that are not in @runs are neither resident nor in swap
 * @file: the file of @map, or -1 if it is not open
 * @file_asked: an attempt to open it was made
 * @file_is_zeros: the file is /dev/zero, mapped privately
 * @file_size: size of the file in bytes
 * @file_error: why the file cannot be read, as in &struct piece
 * @file_why: the same as text
 */
struct walk {
	const struct target *target;
	unsigned int flags;
	int resident;
	int pagemap;
	bool swapped;
	const struct mapping *map;
	uint64_t at;
	uint64_t end;
	struct page_region runs[WALK_RUNS];
	size_t run_count;
	uint64_t known;
	int file;
	bool file_asked;
	bool file_is_zeros;
	uint64_t file_size;
	int file_error;
	const char *file_why;
};

/**
 * walk_start() - get ready, or fail()
 * @flags: PVMREAD_NOWAIT: leave out pages that the walk would have to wait for;
 *	PVMREAD_RESIDENT: leave out pages that are not resident
 */
void walk_start(struct walk *walk, const struct target *target, unsigned int flags);

/* walk_range() - continue with the range from @start to @end, which is in @map */
void walk_range(struct walk *walk, const struct mapping *map, uint64_t start, uint64_t end);

/**
 * walk_next() - the next piece of the range
 * @buf: the destination, %WALK_CHUNK bytes. If NULL, nothing is read: PIECE_BYTES then
 *	is memory that appears readable, of any length
 *
 * fail()s if the target is gone.
 *
 * Return: false at the end of the range, or when interrupted.
 */
bool walk_next(struct walk *walk, void *buf, struct piece *piece);

/**
 * walk_end() - finish, or fail() if the target is gone
 *
 * An exited target has no resident pages, so its exit may have looked like holes. If
 * walk_end() returns, everything read since target_open(), even from /proc/PID, belongs
 * to one program.
 */
void walk_end(struct walk *walk);

#endif /* WALK_H */
