/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs the fuzzer's cases, and computes the expected result of each operation.
 */
#ifndef PVMREAD_FUZZ_MODEL_H
#define PVMREAD_FUZZ_MODEL_H

#include <liburing.h>
#include <limits.h>

#include "fuzz_memory.h"

#define MAX_VEC		1026U
#define MAX_RW_COUNT	(INT_MAX & ~(PAGE - 1))
#define MAX_BATCH	65536U
#define KERNEL_ADDR	0xffff888000000000UL
#define HALF		0x8000000000000000UL
#define PIPE_PAGES	16U
#define NO_PID		0x3fffffff
#define UNTOUCHED	0xa5

#define ALL_FLAGS	(PVMREAD_PIDFD | PVMREAD_NOWAIT | PVMREAD_RESIDENT)

/* The place of structs and arrays, followed by a hole. */
#define AREA_LEN	(12 * PAGE)
enum area_of { ARG, LVEC, RVEC, AREAS };

struct area {
	unsigned char *rw;
	unsigned char *ro;
};

/**
 * struct file - the expected state of a target file
 * @fd: -1 if the slot is empty
 * @who: LIVE or SELF; DEAD in GONE_SLOT
 * @flags: as attached
 * @start: the first address that it reaches
 * @last: the last one
 * @pos: its position
 * @moved: bytes read, bytes written
 * @faults: number of transfers that ended at the target's memory (EIO)
 * @unsure: @moved and @faults may differ from what fdinfo shows
 */
struct file {
	int fd;
	enum whom who;
	unsigned int flags;
	uint64_t start;
	uint64_t last;
	uint64_t pos;
	uint64_t moved[2];
	uint64_t faults;
	bool unsure;
};

/**
 * struct world - the environment of the cases
 * @dev: the device, opened in each of the ways of F_DEV
 * @side: the windows; for the target, what the tester knows of them
 * @order: the order to the target
 * @target: its process
 * @pid: pid of each process that a request can name
 * @pidfd: descriptor for each of them; some are not pidfds
 * @is_pidfd: which of them are
 * @pagemap: pagemap files of tester and target
 * @area: see &enum area_of
 * @vec: iovec arrays: left and right, each for the system call and for the module
 * @segs: the array of a BATCH
 * @file: the target files
 * @pipe: for splice(2)
 * @ring: of io_uring
 * @splice_most: the most that the kernel moves to a pipe at a time
 * @scratch: buffer for the bytes of a transfer
 * @wanted: their expected contents
 * @top: the first address that is not user space
 * @features: features from INFO
 * @own_big: the case may change the tester's block
 * @big: the case may change the target's block
 * @careful: compare all memory
 * @over: the case has ended, because memory was moved onto itself
 * @skip: pages of the tester that may differ, see side_compare()
 * @outcome: a number for the operation's result, which guides the fuzzer without KCOV
 * @why: the reason of a failure
 */
struct world {
	int dev[3];
	struct side side[SIDES];
	struct order *order;
	pid_t target;
	pid_t pid[WHOS];
	int pidfd[WHOS];
	bool is_pidfd[WHOS];
	int pagemap[SIDES];
	struct area area[AREAS];
	struct iovec vec[HANDS][2][MAX_VEC];
	struct pvmread_segment segs[MAX_VEC];
	struct file file[SLOTS];
	int pipe[2];
	struct io_uring ring;
	size_t splice_most;
	unsigned char *scratch;
	unsigned char *wanted;
	uint64_t top;
	uint64_t features;
	bool own_big;
	bool big;
	bool careful;
	bool over;
	unsigned int skip;
	uint32_t outcome;
	char why[400];
};

__attribute__((format(printf, 2, 3))) bool wrong(struct world *w, const char *fmt, ...);
long judge_local(const struct world *w, const struct iovec *l, unsigned long n, bool write);
void close_slot(struct file *f);
bool probe_splice(struct world *w);
bool run_case(struct world *w, const struct fuzz_case *c, void (*outcomes)(uint32_t));

#endif /* PVMREAD_FUZZ_MODEL_H */
