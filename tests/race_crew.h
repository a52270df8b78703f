/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The crew: a process whose threads read and write a target through every interface
 * until they are stopped, and check each result and each byte.
 */
#ifndef PVMREAD_RACE_CREW_H
#define PVMREAD_RACE_CREW_H

#include "process.h"
#include "race_stamp.h"

#define THREADS		4
#define PIECES		16
#define HANDLES		4
#define BUFFER		(2UL << 20)
#define GARBAGE		0xa5
#define USER		1001

/**
 * struct plan - one race: what the target does, and the rules
 * @churn: a round of the target, repeated; NULL: it fills a page every millisecond
 * @step: a step of the tester, repeated; NULL: it waits
 * @crew: the readers and writers; NULL: be_crew()
 * @witness: a process of the tester that checks something meanwhile; NULL: none
 * @finish: last step of the tester, when the target has ended
 * @anon: the window's pages of private memory
 * @shared: pages after these, of a shared file
 * @private: pages after these, of the same file, mapped privately
 * @period: places repeat after this many pages; 0: never
 * @quiet: from this page on the crew writes nothing; 0: it may write all
 * @rounds: minimum number of rounds
 * @least_s: minimum number of seconds, unless there were @most rounds
 * @goals: minimum number of events specific to the race
 * @most: maximum number of rounds; 0: as many as there is time for
 * @longest: the longest piece of a transfer, in pages; 0: 64
 * @writes: number of writes in 256 transfers
 * @calm: the crew pauses up to this many microseconds after each transfer
 * @uid: uid of the crew
 * @mortal: the target, or a child of it, ends before the crew
 * @image: the target execs: its memory has another owner, its pid stays
 * @renumbered: a new target gets the pid of one that has ended
 * @refused: requests that name a pid or a pidfd may be refused with EPERM
 * @huge: the window consists of huge pages
 * @mergeable: KSM scans it
 * @solid: all of it can be read and written at any time
 * @parent: the owner of what a subject has inherited, or 0
 */
struct plan {
	void (*churn)(unsigned int round);
	void (*step)(void);
	void (*crew)(void);
	void (*witness)(void);
	void (*finish)(void);
	unsigned int anon;
	unsigned int shared;
	unsigned int private;
	unsigned int period;
	unsigned int quiet;
	unsigned int rounds;
	unsigned int goals;
	unsigned int most;
	int least_s;
	unsigned int longest;
	unsigned int writes;
	unsigned int calm;
	uid_t uid;
	bool mortal;
	bool image;
	bool renumbered;
	bool refused;
	bool huge;
	bool mergeable;
	bool solid;
	uint32_t parent;
};

enum { STOP_CREW = 1, STOP_ALL };

/**
 * struct board - memory shared by all processes of a race
 * @stop: STOP_CREW ends the crew; later, STOP_ALL also ends the target
 * @subject: the process that the crew reads and writes: its pid in the upper half, the
 *	owner of its stamps in the lower half; 0: none. An owner is announced before its
 *	first stamp is written
 * @filled: the owner whose window is filled
 * @rounds: number of completed rounds
 * @goals: counts of events specific to the race
 * @looks: number of checks by the witness
 * @moved: transfers that moved something, by subject and direction
 * @answers: transfers by the reason for their end; 0 is success
 * @complaints: number of complaints
 * @complaint: the first one
 */
struct board {
	int stop;
	uint64_t subject[2];
	uint32_t filled;
	unsigned int rounds;
	unsigned int goals;
	unsigned long looks;
	unsigned long moved[2][2];
	unsigned long answers[256];
	unsigned int complaints;
	char complaint[256];
};

extern struct board *board;
extern const struct plan *plan;
extern int dev;
extern uint64_t seed;
extern int limit_s;

#define count(p)	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED)

/**
 * struct handle - a file that stands for a process
 * @fd: a target file or a pidfd; -1: none
 * @pidfd: it is a pidfd
 * @write: attached with PVMREAD_WRITE
 * @nowait: attached with PVMREAD_NOWAIT
 * @resident: attached with PVMREAD_RESIDENT
 * @subject: index of the process that it was opened for
 * @pid: the pid of that process
 * @first: the owner of the memory, or the first possible one
 * @last: the last possible owner
 * @gone: it has returned ESRCH
 * @uses: number of uses left
 */
struct handle {
	int fd;
	bool pidfd;
	bool write;
	bool nowait;
	bool resident;
	unsigned int subject;
	pid_t pid;
	uint32_t first;
	uint32_t last;
	bool gone;
	unsigned int uses;
};

__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...);
__attribute__((noreturn)) void broken(const char *what);
unsigned int draw_lot(unsigned int n);
void pass_time(unsigned int most_us);
unsigned int window_pages(void);
pid_t subject_pid(uint64_t subject);
struct rule rule_for(uint32_t first, uint32_t last);
unsigned char lot_of_marks(unsigned int subject);
void drop_handle(struct handle *h);
void be_child(void);
void become(uid_t uid);
void be_crew(void);

#endif /* PVMREAD_RACE_CREW_H */
