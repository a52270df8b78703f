/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest tests share: one request, sent through either door.
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

/*
 * How long things may take. An emulated CPU that has every access checked, on a
 * machine with more to do, is hundreds of times slower than one that is not.
 */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	1800
#endif
/* A killed process must be gone by then: a second, but for such machines. */
#define LEAVE_MS	30000
/* What must happen at some time has not, if not by then. */
#define PATIENCE_MS	60000
/* Of processes that a test starts: none outlives the test for long. */
#define LIFETIME_S	900

/* The page size that the tests are built for: make PAGE_SIZE=16384 */
#ifndef PAGE
#define PAGE		4096UL
#endif

static __attribute__((constructor)) void check_page_size(void)
{
	if ((unsigned long)getpagesize() == PAGE)
		return;
	fprintf(stderr, "built for pages of %lu bytes: run make with PAGE_SIZE=%d\n", PAGE,
		getpagesize());
	_exit(2);
}

/* A line that is no result. */
#define say(fmt, ...)	ksft_print_msg(fmt "\n", ##__VA_ARGS__)

/**
 * struct request - what process_vm_readv(2) and process_vm_writev(2) take
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

/**
 * send_syscall() - the request as a system call
 * @req: the request
 *
 * Return: bytes moved, or -1 with errno set.
 */
static inline ssize_t send_syscall(const struct request *req)
{
	return syscall(req->write ? SYS_process_vm_writev :
				    SYS_process_vm_readv,
		       req->pid, req->local, req->local_count,
		       req->remote, req->remote_count, 0UL);
}

/**
 * send_ioctl() - the same request through the device
 * @fd: open file of PVMREAD_DEVICE
 * @req: the request
 * @rw: if not NULL, the struct as it came back
 *
 * Return: bytes moved, or -1 with errno set, as send_syscall().
 */
static inline ssize_t send_ioctl(int fd, const struct request *req,
				 struct pvmread_rw *rw)
{
	struct pvmread_rw arg = {
		.size = sizeof(arg),
		.pid = req->pid,
		.local = (uintptr_t)req->local,
		.local_count = req->local_count,
		.remote = (uintptr_t)req->remote,
		.remote_count = req->remote_count,
	};
	int ret;

	ret = ioctl(fd, req->write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV,
		    &arg);
	if (rw)
		*rw = arg;
	return ret ? -1 : (ssize_t)arg.transferred;
}

/**
 * open_uffd() - a userfaultfd for faults that the kernel takes, too
 *
 * The caller must be root for that.
 *
 * Return: the file descriptor, or -1 if this kernel has none.
 */
static inline int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	/* poll(2) says POLLERR of one that blocks. */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

/**
 * map_unserved() - map a page of a userfaultfd that no process serves
 * @length: the size of a page
 *
 * A thread that touches the page waits until this process exits.
 *
 * Return: its address, or NULL if this kernel has no userfaultfd.
 */
static inline void *map_unserved(size_t length)
{
	struct uffdio_register reg = {
		.range = { .len = length },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open_uffd();
	void *page;

	page = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || page == MAP_FAILED)
		return NULL;
	reg.range.start = (uintptr_t)page;
	return ioctl(fd, UFFDIO_REGISTER, &reg) ? NULL : page;
}

#endif /* PVMREAD_TEST_H */
