/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Code of the guest tests: one request, sent by system call or through the device.
 */
#ifndef PVMREAD_TEST_H
#define PVMREAD_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/pvmread.h>
#include <linux/userfaultfd.h>

#include "uffd.h"

/*
 * Time limits. An emulated CPU with checkers, on a busy machine, is hundreds of times
 * slower than a real one.
 */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	1800
#endif
/* A killed process must be gone by then: a second would do, except on such machines. */
#define LEAVE_MS	30000
/* The limit for events that must happen eventually. */
#define PATIENCE_MS	60000
/* The lifetime of processes that a test starts: none outlives the test for long. */
#define LIFETIME_S	900

/* The page size that the tests are built for: make PAGE_SIZE=16384 */
#ifndef PAGE
#define PAGE		4096UL
#endif

/* A huge page: as much as one table of page-table entries maps. */
#ifdef __powerpc64__
#define HUGE_PAGE	(2UL << 20)	/* with radix tables, for pages of any size */
#else
#define HUGE_PAGE	(PAGE / 8 * PAGE)
#endif

/*
 * A copy to or from the caller's memory may stop up to this many bytes before the first byte
 * that faults. On riscv the kernel copies words, or blocks of eight words, and counts only
 * complete ones. A 32-bit x86 kernel copies words.
 */
#if defined(__riscv)
#define COPY_SLACK	71
#elif defined(__i386__)
#define COPY_SLACK	(has_64_bit_kernel() ? 0 : 3)
#else
#define COPY_SLACK	0
#endif

static __attribute__((constructor)) void check_page_size(void)
{
	if ((unsigned long)getpagesize() == PAGE)
		return;
	fprintf(stderr, "built for pages of %lu bytes: run make with PAGE_SIZE=%d\n", PAGE,
		getpagesize());
	_exit(2);
}

/* kselftest.h also defines it. */
#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* Print a line that is not a result. */
#define say(fmt, ...)	ksft_print_msg(fmt "\n", ##__VA_ARGS__)

/**
 * struct request - the arguments of process_vm_readv(2) and process_vm_writev(2)
 * @pid: the target
 * @write: false to read the target, true to write it
 * @local: iovec array of this process; not dereferenced here
 * @local_count: its length
 * @remote: iovec array of the target; not dereferenced here
 * @remote_count: its length
 */
struct request {
	pid_t pid;
	bool write;
	const struct iovec *local;
	unsigned long local_count;
	const struct iovec *remote;
	unsigned long remote_count;
};

bool has_64_bit_kernel(void);
unsigned int kernel_version(void);
ssize_t send_syscall(const struct request *req);
ssize_t send_ioctl(int fd, const struct request *req, struct pvmread_rw *rw);

#endif /* PVMREAD_TEST_H */
