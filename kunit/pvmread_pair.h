/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two sides that the tests of pvmread work on.
 *
 * The test thread has an mm of its own, the local side. The remote side is an
 * mm without a task: to access it, the thread switches to it with enter(). No
 * test may assert before it switches back, because the exit of the thread would
 * put the wrong mm.
 */
#ifndef PVMREAD_PAIR_H
#define PVMREAD_PAIR_H

#include <kunit/test.h>

#include <linux/mm.h>
#include <linux/types.h>
#include <linux/uio.h>

#include "pvmread.h"

/* More pages than READV, or the syscall, pins in one call. */
#define ARENA_PAGES	(PVMREAD_RW_MAX_PAGES + 4UL)
#define ARENA_SIZE	(ARENA_PAGES * PAGE_SIZE)

/* The size of one iovec array with one element more than allowed. */
#define VECTOR_SIZE	PAGE_ALIGN((UIO_MAXIOV + 1) * sizeof(struct iovec))

#define UNTOUCHED	0xa5

#define PG(n)	((n) * PAGE_SIZE)

/* The most segments that a row of a table has. */
#define MAX_SEGS	5

/**
 * struct pair - the two sides that a test works on
 * @local: the test thread's own mm
 * @remote: the target
 * @target: the mm that the next request gets
 * @here: address in @local of an arena of ARENA_SIZE bytes
 * @vectors: address in @local where the iovec arrays are put
 * @there: address in @remote of an arena of ARENA_SIZE bytes
 * @buf: kernel memory of ARENA_SIZE bytes, for filling and checking
 */
struct pair {
	struct mm_struct *local;
	struct mm_struct *remote;
	struct mm_struct *target;
	unsigned long here;
	unsigned long vectors;
	unsigned long there;
	u8 *buf;
};

/**
 * struct outcome - how a request ended
 * @ret: bytes moved, or the errno of a request that moved none
 * @reason: the engine's result: 0, the reason why it was short, or 1 for a string's NUL
 * @stop: the remote address at which it ended
 */
struct outcome {
	ssize_t ret;
	int reason;
	unsigned long stop;
};

/* A segment of a table: offset in the arena, and length. */
struct seg {
	size_t at;
	size_t len;
};

/*
 * Number of requests between two looks at the counts. The LRU's per-CPU batches hold a few
 * references for a while, so a count may change by one or two; a leak happens in each
 * request.
 */
#define ROUNDS		32
#define LRU_SLACK	4

void enter(struct mm_struct *from, struct mm_struct *to);
struct mm_struct *new_mm(void);
int new_remote(struct pair *p);
u8 pattern(size_t i);
int remote_write(struct pair *p, size_t at, const void *from, size_t len);
int remote_read(struct pair *p, size_t at, void *to, size_t len);
int remote_map(struct pair *p, struct file *file, size_t at, size_t len,
	       unsigned long prot, unsigned long flags);
int remote_unmap(struct pair *p, size_t at, size_t len);
void fill(struct kunit *test, size_t len);
struct outcome request_of(struct kunit *test, struct mm_struct *mm, bool write,
			  const struct iovec *local, u64 local_count,
			  const struct iovec *remote, u64 remote_count);
struct outcome request(struct kunit *test, bool write,
		       const struct iovec *local, u64 local_count,
		       const struct iovec *remote, u64 remote_count);
struct outcome move(struct kunit *test, bool write, size_t here,
		    size_t here_len, size_t there, size_t there_len);
size_t seg_iovecs(const struct seg *segs, unsigned long base,
		  struct iovec *iov);
void expect_read(struct kunit *test, const struct seg *local,
		 size_t n_local, const struct seg *remote,
		 size_t moved, size_t size);
void refill(struct kunit *test, struct file *file, size_t pages);
struct file *pattern_file(struct kunit *test, size_t pages, size_t size);
struct page *remote_page(struct kunit *test, size_t at);
void put_file(void *file);
void drop_page(void *page);
int pair_init(struct kunit *test);
void pair_exit(struct kunit *test);

extern struct kunit_case pvmread_rw_cases[];
extern struct kunit_case pvmread_target_cases[];
extern struct kunit_case pvmread_batch_cases[];
extern struct kunit_case pvmread_engine_cases[];
extern struct kunit_case pvmread_cache_cases[];
extern struct kunit_case pvmread_symbols_cases[];

#endif /* PVMREAD_PAIR_H */
