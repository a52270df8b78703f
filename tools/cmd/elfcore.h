/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of an ELF core file that are not memory: threads with their registers, notes.
 */
#ifndef ELFCORE_H
#define ELFCORE_H

#include "cmd.h"

/* Whether notes_make() can store the registers of this machine. */
#ifdef __x86_64__
#define KNOWS_REGISTERS	true
#else
#define KNOWS_REGISTERS	false
#endif

/**
 * struct thread - a thread of the target
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
 * Says on stderr how many threads have unknown registers.
 */
void threads_load(struct threads *threads, const struct target *target, bool verbose);

/* threads_check() - report which of them have run since threads_load() */
void threads_check(const struct threads *threads, const struct target *target);

/**
 * notes_make() - the contents of the core's PT_NOTE segment, or fail()
 * @elf32: the target is a 32-bit program
 * @guess: guess_frame() for each thread
 * @length: set to their number of bytes
 *
 * Return: the bytes, for free().
 */
void *notes_make(const struct target *target, const struct maps *maps,
		 const struct threads *threads, bool elf32, bool guess, size_t *length);

/* is_elf32() - whether it is a 32-bit program; fail() if its core format is not known */
bool is_elf32(const struct target *target);

/**
 * guess_frame() - what rbp is likely to be
 * @sp: the thread's stack pointer
 *
 * The innermost function that keeps a frame pointer has left a record on the stack,
 * [rbp of its caller][return address]. rbp points there: the functions that it calls
 * preserve rbp, or their unwind information says where they saved it. The return address
 * must follow a call to a function that keeps a frame pointer. An indirect call, such as the
 * one to main() or to a thread's function, does not show its callee. In that case the saved
 * rbp must be an address farther up on this stack, or the small number that the C library
 * puts there. Old frames in unused stack words can mislead both checks.
 *
 * Return: the address of the record; 0: none.
 */
uint64_t guess_frame(const struct target *target, const struct maps *maps, uint64_t sp);

#endif /* ELFCORE_H */
