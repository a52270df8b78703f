/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the memory of a target from one address to another, holes and all.
 */
#ifndef WALK_H
#define WALK_H

#include "cmd.h"

/* What one walk_read() takes at most; enough that the system call costs nothing. */
#define WALK_CHUNK	(1024 * 1024)

/**
 * struct walk - how the memory is read
 * @target: whose
 * @pagemap: its /proc/PID/pagemap, which tells without a fault what is
 *	resident; -1: not asked
 */
struct walk {
	const struct target *target;
	int pagemap;
};

/**
 * walk_start() - get ready, or fail()
 * @resident: the target was opened with PVMREAD_RESIDENT
 */
void walk_start(struct walk *walk, const struct target *target, bool resident);

/**
 * walk_end() - the last that is done with the target, or fail()
 *
 * fail()s if the target is gone: of what has ended nothing is resident, so that
 * its end may have looked like holes. Otherwise all that was learnt since
 * target_open(), from /proc/PID too, is of one program.
 */
void walk_end(struct walk *walk);

/**
 * walk_present() - the first run of resident pages
 * @pages: the most pages to look for, or 0
 * @start: in: where to begin; out: where the run begins
 * @end: in: where to give up; out: where the run ends
 *
 * Where the kernel does not tell, all of it counts as resident: reading finds out.
 *
 * Return: false if there is none.
 */
bool walk_present(const struct walk *walk, uint64_t pages, uint64_t *start, uint64_t *end);

/**
 * walk_read() - the next bytes, or how far there are none
 * @addr: from here
 * @end: to here, or less
 * @buf: where to, %WALK_CHUNK bytes
 * @length: set to the bytes read, or to the bytes from @addr on that cannot be
 *	for the same reason
 *
 * fail()s if the target is gone.
 *
 * Return: 0, or why there are none: EIO, EAGAIN, ENOMEM.
 */
int walk_read(const struct walk *walk, uint64_t addr, uint64_t end, void *buf, uint64_t *length);

#endif /* WALK_H */
