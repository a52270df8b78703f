/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stamps: memory that tells where it belongs, see race_stamp.c.
 */
#ifndef PVMREAD_RACE_STAMP_H
#define PVMREAD_RACE_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Nothing else is mapped there: it is above the program and its heap, below all else. */
#define WINDOW		0x60000000UL
#define OWNERS		(255 * 255)

/* Marks: the target's own, the crew's, and the crew's in a forked child. */
#define MARK_LOUD	128
#define MARK_CHILD	192

/**
 * struct rule - the expected contents of a window
 * @first: the owner, or the first of several
 * @last: the last of them
 * @also: one more owner, or 0
 * @period: places repeat after this many pages
 * @pages: number of pages in the window; nothing is mapped after it
 * @quiet: from this page on there are only the target's marks
 */
struct rule {
	uint32_t first;
	uint32_t last;
	uint32_t also;
	unsigned int period;
	unsigned int pages;
	unsigned int quiet;
};

uint64_t stamp(uint32_t owner, unsigned int place, unsigned char mark);
uint32_t stamp_owner(uint64_t word);
void draw(void *buf, uintptr_t addr, size_t len, unsigned int period, uint32_t owner,
	  unsigned char mark);
ssize_t inspect(const void *buf, uintptr_t addr, size_t len, const struct rule *rule,
		uint32_t *owner);

#endif /* PVMREAD_RACE_STAMP_H */
