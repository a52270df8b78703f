/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers of the guest tests: processes that exit by themselves, target files, and
 * numbers that the kernel shows.
 */
#ifndef PVMREAD_PROCESS_H
#define PVMREAD_PROCESS_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "pvmread_test.h"

/* The module's file in a guest, and its name when it is loaded. */
#define MODULE_FILE	"/pvmread.ko"
#define MODULE_NAME	"pvmread"
/* The file that shows the number of references to the module. */
#define MODULE_REFS	"/sys/module/" MODULE_NAME "/refcnt"

/**
 * struct pins - pages pinned and unpinned since boot
 * @acquired: by pin_user_pages() and its like; -1 if this kernel does not count
 * @released: by unpin_user_pages() and its like
 */
struct pins {
	long acquired;
	long released;
};

/* Read and write a word in shared memory. */
#define get(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define set(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

/* The pipe on which a child tells the tester that it is ready. */
extern int told[2];

long now_ms(void);
void die_with_parent(void);
int open_pidfd(pid_t pid);
long reap_in(pid_t pid, int limit, int *status);
int reap(pid_t pid, int limit);
void tell(void);
bool is_sent(int fd);
bool is_told(void);
pid_t await_ready(pid_t child);
int take_fd(pid_t pid, int number);
int copy_program(const char *path, mode_t mode);
int attach(int dev, pid_t pid, unsigned int flags, uint64_t start, uint64_t length);
bool has_feature(int dev, uint64_t feature);
int send_fd(int sock, int fd);
int receive_fd(int sock);
long proc_number(const char *path, const char *name);
int write_file(const char *path, const char *text);
int load(const char *parameters);
int unload(int flags);
bool module_refs_become(long refs);
struct pins pins(void);
long pins_held(void);
long stray_pages(void);

#endif /* PVMREAD_PROCESS_H */
