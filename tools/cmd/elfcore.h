/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of an ELF core file is not memory: threads with their registers, notes.
 */
#ifndef ELFCORE_H
#define ELFCORE_H

#include "cmd.h"

/**
 * struct thread - one of the target
 * @syscall: its line of /proc/PID/task/TID/syscall
 */
struct thread {
	pid_t tid;
	char syscall[256];
};

struct threads {
	struct thread *threads;
	size_t count;
};

/**
 * threads_load() - the target's threads, the main one first, or fail()
 *
 * Says on stderr whose registers are unknown.
 */
void threads_load(struct threads *threads, const struct target *target, bool verbose);

/* threads_check() - say which of them have run since threads_load() */
void threads_check(const struct threads *threads, const struct target *target);

/**
 * notes_make() - the contents of the core's PT_NOTE segment, or fail()
 * @length: set to their number of bytes
 *
 * Return: the bytes, for free().
 */
void *notes_make(const struct target *target, const struct maps *maps,
		 const struct threads *threads, size_t *length);

/* check_machine() - fail() if the target is a program that has another core format */
void check_machine(const struct target *target);

#endif /* ELFCORE_H */
