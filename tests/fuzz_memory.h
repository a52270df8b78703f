/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory of the fuzzer's requests, and the target. fuzz_memory.c explains the
 * characters of a window.
 */
#ifndef PVMREAD_FUZZ_MEMORY_H
#define PVMREAD_FUZZ_MEMORY_H

#include "fuzz_case.h"

/* Nothing else is mapped there: it is above the program and its heap, below all else. */
#define OWN_AT		0x52000000UL
#define OWN_BIG_AT	0x54000000UL
#define TARGET_AT	0x62000000UL
#define TARGET_BIG_AT	0x64000000UL
#define TWIN		0x08000000UL
/* Many holds of the engine, which takes 16 pages at a time. */
#define BIG_PAGES	270U

enum { OWN_SIDE, TARGET_SIDE, SIDES };

/**
 * struct side - the windows of one process
 * @at: the first twin's window
 * @big: the first twin's block
 * @pattern: contents of the window's pages
 * @big_pattern: contents of the block
 * @now: current description of the windows
 * @priv: the file that is mapped privately
 * @shared: each twin's file
 * @holes: each twin's file without pages
 * @alias: a permanent mapping of each twin's shared file
 */
struct side {
	uintptr_t at;
	uintptr_t big;
	unsigned char (*pattern)[PAGE];
	unsigned char *big_pattern;
	char now[WINDOW + 1];
	int priv;
	int shared[2];
	int holes[2];
	unsigned char *alias[2];
};

/* An order to the target, in shared memory. */
struct order {
	unsigned int given;
	unsigned int done;
	enum { RESET, COMPARE, CHANGE } what;
	bool big;
	bool careful;
	unsigned int skip;
	char map[WINDOW + 1];
	struct op op;
	long result;
};

bool side_init(struct side *s, uintptr_t at, uintptr_t big, uint64_t seed);
bool side_map_big(struct side *s);
bool get_presence(int pagemap, uintptr_t at, unsigned int n, bool *present);
bool side_reset(struct side *s, const char *map, bool big, int pagemap);
long side_compare(struct side *s, bool big, bool careful, unsigned int skip, int pagemap);
void side_note(struct side *s, const struct op *op);
bool side_change(struct side *s, const struct op *op);
__attribute__((noreturn)) void target_live(struct side *s, struct order *order);
long command(struct order *order);

#endif /* PVMREAD_FUZZ_MEMORY_H */
