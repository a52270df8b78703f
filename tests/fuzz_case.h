/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A case of the fuzzer: a description of memory, and a short program of operations.
 * fuzz_case.c describes its text form.
 */
#ifndef PVMREAD_FUZZ_CASE_H
#define PVMREAD_FUZZ_CASE_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "pvmread_test.h"

#define WINDOW		12U	/* pages */
#define MAX_OPS		12
#define MAX_LIST	12

/**
 * enum base - the base of an address or a length
 * @ABSOLUTE: 0
 * @OWN: the tester's window
 * @OWN_BIG: the tester's block
 * @TARGET: the target's window
 * @TARGET_BIG: the target's block
 * @TOP: the end of user space
 * @KERNEL: a kernel address
 * @REST: for a length: from its address up to @TOP
 * @TURN: for a length: from its address up to 2^64
 * @BASES: how many there are
 */
enum base { ABSOLUTE, OWN, OWN_BIG, TARGET, TARGET_BIG, TOP, KERNEL, REST, TURN, BASES };

struct value {
	enum base base;
	uint64_t off;
};

/* An element of an iovec array, or one side of a segment of a BATCH. */
struct element {
	struct value addr;
	struct value len;
	uint32_t flags;
};

enum kind {
	OP_READV, OP_WRITEV, OP_ATTACH, OP_CLOSE, OP_READ, OP_WRITE, OP_SEEK, OP_SPLICE, OP_FEED,
	OP_BATCH, OP_INFO, OP_IOCTL, OP_FDINFO, OP_MAP, OP_PROTECT, OP_DROP, OP_TOUCH, KINDS
};

/* The process that a request names. */
enum whom { LIVE, SELF, DEAD, ZOMBIE, KTHREAD, NOBODY, ZERO, MINUS, DEVICE_FD, WHOS };

/* The place of a struct or array. From CUT on, only its first (place - CUT) bytes are mapped. */
enum place { GOOD, READ_ONLY, AT_NULL, IN_KERNEL, AT_HALF, CUT = 16 };

#define SLOTS		4
#define GONE_SLOT	3	/* a file of an exited process */
#define DEFAULT		UINT64_MAX

enum field {
	F_SLOT, F_WHO, F_FLAGS, F_SIZE, F_TAIL, F_RESERVED, F_DEV, F_AT, F_LAT, F_RAT, F_LCOUNT,
	F_RCOUNT, F_RWF, F_RING, F_WHENCE, F_CMD, F_SIDE, F_PAGE, F_PAGES, F_KIND, FIELDS
};

enum word { W_POS, W_LEN, WORDS };

#define BIT(nr)		(1U << (nr))
#define ON_DEVICE	(BIT(OP_READV) | BIT(OP_WRITEV) | BIT(OP_ATTACH))
#define VECTORED	(BIT(OP_READV) | BIT(OP_WRITEV))
#define ON_FILE		(BIT(OP_CLOSE) | BIT(OP_READ) | BIT(OP_WRITE) | BIT(OP_SEEK) | \
			 BIT(OP_SPLICE) | BIT(OP_FEED) | BIT(OP_BATCH) | BIT(OP_FDINFO))
#define WITH_STRUCT	(ON_DEVICE | BIT(OP_BATCH) | BIT(OP_INFO))
#define ON_MEMORY	(BIT(OP_MAP) | BIT(OP_PROTECT) | BIT(OP_DROP) | BIT(OP_TOUCH))

#define HAS_LEFT	(VECTORED | BIT(OP_BATCH) | BIT(OP_READ) | BIT(OP_WRITE))
#define HAS_RIGHT	(VECTORED | BIT(OP_BATCH))

enum flank { LEFT, RIGHT, HANDS };

/**
 * struct op - an operation
 * @kind: its kind
 * @f: its numbers
 * @w: its addresses and lengths
 * @count: number of elements in its lists. Both lists of a BATCH have the same length
 * @list: the left one is the local side, the right one the remote side
 */
struct op {
	enum kind kind;
	uint64_t f[FIELDS];
	struct value w[WORDS];
	unsigned int count[HANDS];
	struct element list[HANDS][MAX_LIST];
};

struct fuzz_case {
	char map[2][WINDOW + 1];
	unsigned int ops;
	struct op op[MAX_OPS];
};

/* The characters of a window; unused pages at its end are '.'. */
#define PAGE_KINDS	"wr-xuzpqsthe."

/**
 * struct field_info - a number that operations have
 * @name: in the text
 * @usual: its default value
 * @kinds: the operations that have it
 */
struct field_info {
	const char *name;
	uint64_t usual;
	unsigned int kinds;
};

/* The same for an address or a length. */
struct word_info {
	const char *name;
	struct value usual;
	unsigned int kinds;
};

extern const char * const kind_name[KINDS];
extern const struct field_info field[FIELDS];
extern const struct word_info word[WORDS];

/* Of fuzz_cases.c. */
extern const char * const kept_cases[];
extern const unsigned int kept_count;

void op_init(struct op *op, enum kind kind);
void print_case(FILE *out, const struct fuzz_case *c, const char *between);
bool parse_case(const char *text, struct fuzz_case *c);

#endif /* PVMREAD_FUZZ_CASE_H */
